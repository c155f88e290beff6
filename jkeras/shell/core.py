"""`NetworkCore`: a network as training sees it.

Losses, metrics and constraints may read `K.variable`s and weights of other models. They are found by tracing once, and
are part of the state beside those that the network's layers read: a value that is set between steps reaches the next
step without a new trace.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jkeras import config, trees
from jkeras.graph.scope import Finder
from jkeras.graph.topology import Network

__all__ = ["NetworkCore", "frozen_state"]

#: The sizes that unknown ones have in an example: of the batch, and of any other axis.
_BATCH, _LENGTH = 2, 16


class NetworkCore:
    """The core of a network; which of its weights are trained is fixed when it is made.

    Attributes:
        trained: the variables that training changes, in Keras's order.
        variables: params and state, nested dicts of `Variable`s.
        outside_variables: those from outside of the network that are part of the state, in the order in which they were
            found; updated: those of them that steps update.
    """

    def __init__(self, network: Network):
        self.network = network
        self.output_names = list(network.output_names)
        self.trained = list(dict.fromkeys(network.trainable_weights))
        self._own = network.variables()
        trained, frozen = set(self.trained), frozen_state(network)
        self._trained = {path for path, variable in trees.leaves(self._own[0]) if variable in trained}
        self._kept = {path for path, variable in trees.leaves(self._own[1]) if variable in frozen}
        self._stateful = _stateful(network)
        self._take_up(network.outside.values(), frozenset())

    def _take_up(self, outside, updated):
        self.outside_variables, self.updated = tuple(outside), updated
        found = trees.numbered(self.outside_variables)
        self.variables = (self._own[0], self._own[1] | ({trees.OUTSIDE: found} if found else {}))
        moving = self._stateful | updated
        self._moving = {path for path, variable in trees.leaves(self.variables[1]) if variable in moving}
        self._dtypes = {leaf.dtype for leaf in [*jax.tree.leaves(self.variables), *self.network.inputs]}

    # ------------------------------------------------------------------------------------------------- what is what

    def is_trainable(self, path: tuple) -> bool:
        return path in self._trained

    def keeps_state(self, path: tuple) -> bool:
        return path in self._kept

    def moves_on(self, path: tuple) -> bool:
        return path in self._moving

    def precision(self):
        return config.precision(self._dtypes)

    def init(self, key: Any) -> tuple[dict, dict]:
        params, state = self.network.init(key)
        return params, self.outside() | state

    def outside(self) -> dict:
        found = self.variables[1].get(trees.OUTSIDE)
        return (
            {trees.OUTSIDE: {name: np.array(variable.current()) for name, variable in found.items()}} if found else {}
        )

    def example(self) -> tuple:
        def spec(symbol):
            sizes = [_LENGTH if size is None else size for size in symbol.shape]
            if symbol.shape and symbol.shape[0] is None:
                sizes[0] = _BATCH
            return jax.ShapeDtypeStruct(tuple(sizes), symbol.dtype)

        with self.precision():
            return (*jax.tree.map(spec, self.variables), [spec(symbol) for symbol in self.network.inputs])

    # ------------------------------------------------------------------------------------------------ while computed

    def bind(self, params: dict, state: dict, *, key: Any, training: bool):
        return self.network.bind(params, state, key=key, training=training, also=self.variables[1].get(trees.OUTSIDE))

    def constrain(self, params: dict, state: dict) -> dict:
        with self.bind(params, state, key=None, training=True):
            return self.network.constrain(params)

    # ------------------------------------------------------------------------------------------- variables from outside

    def reading(self, trace: Callable, variables: tuple = ()) -> "NetworkCore":
        """The core whose state also holds `variables`, and what is found to be read beside the state by
        `trace(core, looking)`, which traces inside of the context `looking`."""
        core = self.with_outside(variables, ())
        while True:
            seen = Finder()
            trace(core, seen)
            known = core.outside_variables
            if all(one in known for one in seen.found) and all(one in core.updated for one in seen.updated):
                return core
            core = core.with_outside(seen.found, seen.updated)

    def with_outside(self, variables: Iterable, updated: Iterable) -> "NetworkCore":
        """The core whose state also holds `variables`; steps update `updated`. Itself if that is nothing new."""
        known = {*self.outside_variables, *jax.tree.leaves(self._own)}
        new = [variable for variable in dict.fromkeys(variables) if variable not in known]
        if not new and self.updated.issuperset(updated):
            return self
        grown = copy.copy(self)
        grown._take_up((*self.outside_variables, *new), self.updated | set(updated))
        return grown


def frozen_state(network: Network) -> set:
    """The state variables of layers that are frozen (and not stateful): Keras 2.2.4 does not update those."""
    found: set = set()

    def walk(layer, frozen):
        frozen = frozen or not layer.trainable
        if frozen and not layer.stateful:
            found.update(jax.tree.leaves(layer.own_variables()[1]))
        for part in layer.sublayers().values():
            walk(part, frozen)

    walk(network, False)
    return found


def _stateful(network) -> set:
    """The state variables of stateful layers. One inside a layer that is not stateful itself (a Bidirectional) moves in
    training only, as in Keras."""
    found: set = set()

    def walk(layer):
        if isinstance(layer, Network):
            for part in layer.sublayers().values():
                walk(part)
        elif layer.stateful:
            found.update(jax.tree.leaves(layer.variables()[1]))

    walk(network)
    return found
