"""`NetworkCore`: a network as training sees it, with what user code reads during a step without being handed it.

A loss, a metric, a constraint or a `Lambda` may refer to a `K.variable`, to weights of this model or of another one,
and to symbols of the model's graph. While a step is traced, a scope around it gives the arrays that stand for them
there. Variables that are no weights of the model are found by tracing once, and are part of the state: a value that is
set between steps reaches the next step without a new trace.
"""

import contextlib
import contextvars
import copy

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import batch, config, random, trees
from jkeras.graph.function import layers_of, nodes_between
from jkeras.graph.scope import Scope
from jkeras.graph.tensor import Variable
from jkeras.graph.topology import Network
from jkeras.train.core import OUTSIDE

__all__ = ["NetworkCore"]

# What the traces inside of `_looking` met: the variables that nothing stood for, and those that were updated.
_seen: contextvars.ContextVar["_Seen | None"] = contextvars.ContextVar("seen", default=None)

#: The sizes that unknown ones have in an example: of the batch, and of any other axis.
_BATCH, _LENGTH = 2, 16


class _Seen:
    def __init__(self):
        self.unbound: dict = {}
        self.updated: dict = {}


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
        trained, frozen = set(self.trained), _frozen_state(network)
        self._trained = {path for path, variable in trees.leaves(self._own[0]) if variable in trained}
        self._kept = {path for path, variable in trees.leaves(self._own[1]) if variable in frozen}
        self._stateful = _stateful(network)
        self._take_up((), frozenset())

    def _take_up(self, outside, updated):
        self.outside_variables, self.updated = tuple(outside), updated
        found = {f"{place:05}": variable for place, variable in enumerate(self.outside_variables)}
        self.variables = (self._own[0], self._own[1] | ({OUTSIDE: found} if found else {}))
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

    def init(self, key) -> tuple[dict, dict]:
        params, state = self.network.init(key)
        return params, self.outside() | state

    def outside(self) -> dict:
        found = self.variables[1].get(OUTSIDE)
        return {OUTSIDE: {name: np.array(variable.current()) for name, variable in found.items()}} if found else {}

    def example(self) -> tuple:
        def spec(symbol):
            sizes = [_LENGTH if size is None else size for size in symbol.shape]
            if symbol.shape and symbol.shape[0] is None:
                sizes[0] = _BATCH
            return jax.ShapeDtypeStruct(tuple(sizes), symbol.dtype)

        with self.precision():
            return (*jax.tree.map(spec, self.variables), [spec(symbol) for symbol in self.network.inputs])

    # ------------------------------------------------------------------------------------------------ while computed

    @contextlib.contextmanager
    def bind(self, params: dict, state: dict, *, key, training: bool):
        own_state = {name: part for name, part in state.items() if name != OUTSIDE}
        outside, known = state.get(OUTSIDE, {}), self.variables[1].get(OUTSIDE, {})
        bindings = {known[name]: value for name, value in outside.items() if name in known}
        for tree, values in zip(self._own, (params, own_state), strict=True):
            bindings |= dict(zip(jax.tree.leaves(tree), jax.tree.leaves(values), strict=True))
        scope_key = None if key is None else random.as_key(key).fold("surroundings")
        with _Around(bindings, training=training, key=scope_key) as around:
            yield _Bound(self, params, own_state, outside, {"key": key, "training": training}, around)

    def constrain(self, params: dict, state: dict) -> dict:
        with self.bind(params, state, key=None, training=True):
            return self.network.constrain(params)

    # ------------------------------------------------------------------------------------------- variables from outside

    def reading(self, trace, variables: tuple = ()) -> "NetworkCore":
        """The core whose state also holds `variables`, and what `trace(core)` is found to read beside the state."""
        core = self.with_outside(variables, ())
        while True:
            seen = _Seen()
            token = _seen.set(seen)
            try:
                trace(core)
            finally:
                _seen.reset(token)
            known = core.outside_variables
            if all(one in known for one in seen.unbound) and all(one in core.updated for one in seen.updated):
                return core
            core = core.with_outside(seen.unbound, seen.updated)

    def with_outside(self, variables, updated) -> "NetworkCore":
        """The core whose state also holds `variables`; steps update `updated`. Itself if that is nothing new."""
        known = {*self.outside_variables, *jax.tree.leaves(self._own)}
        new = [variable for variable in dict.fromkeys(variables) if variable not in known]
        if not new and self.updated.issuperset(updated):
            return self
        grown = copy.copy(self)
        grown._take_up((*self.outside_variables, *new), self.updated | set(updated))
        return grown


class _Bound:
    """A network while params and state are bound; see `train.core.Bound`."""

    def __init__(self, core, params, state, outside, options, around):
        self.core, self.params, self.state, self.outside = core, params, state, outside
        self.options, self.around = options, around

    def run(self, inputs):
        call = self.core.network.run(self.params, self.state, inputs, **self.options)
        # From now on symbols of the model's graph stand for what they were in this call.
        self.around.execution, self.around.shards = call.execution, batch.shards()
        return call

    def penalties(self):
        return self.core.network.regularization(self.params)

    def next_state(self, state):
        updates, known, seen = self.around.updates, self.core.variables[1].get(OUTSIDE, {}), _seen.get()
        following = dict(self.outside)
        for name, variable in known.items():
            if variable in updates:
                following[name] = jnp.asarray(updates[variable], variable.dtype).reshape(variable.shape)
                if seen is not None:
                    seen.updated[variable] = True
        return {**state, OUTSIDE: following} if following else state


class _Around(Scope):
    """The scope around one step.

    Attributes:
        execution: the execution of the model's graph, once it has run; shards: into how many parts the batch was split.
    """

    execution = None
    shards = 1

    def missing(self, symbol):
        if not isinstance(symbol, Variable):
            return None if self.execution is None else self._computed(symbol)
        if symbol.is_constant:
            return None
        seen = _seen.get()
        if seen is None:
            raise ValueError(
                f"The variable {symbol.name!r} {symbol.shape} is read in a step, and is not part of its state: it was "
                "not found when the step was made. Name it: make_step(..., variables=[it])."
            )
        seen.unbound[symbol] = True
        return None

    def _computed(self, symbol):
        """The value of a symbol of the graph, computed from what the execution has if it was not needed so far."""
        execution, gathered = self.execution, batch.shards() != self.shards
        with batch.mapped(self.shards) if gathered else contextlib.nullcontext():
            if symbol not in execution.values:
                try:
                    nodes = nodes_between(list(execution.values), [symbol])
                except ValueError:  # it depends on other inputs
                    return None
                for layer in layers_of(nodes):
                    if layer not in execution.weights:
                        execution.weights[layer] = jax.tree.map(lambda variable: variable.value, layer.variables())
                execution.run(nodes)
            value = execution.values[symbol]
            # A loss that is given the whole batch meets symbols of the whole batch.
            return batch.whole(value) if gathered and symbol.shape[:1] == (None,) else value

    def next_key(self):
        key = super().next_key()
        return key if batch.shards() == self.shards else key.at(0)


def _frozen_state(network) -> set:
    """The state variables of layers that are frozen (and not stateful): Keras 2.2.4 does not update those."""
    found: set = set()

    def walk(layer, frozen):
        frozen = frozen or not layer.trainable
        if frozen and not layer.stateful:
            found.update(layer._non_trainable_weights + layer._unsaved_state)
        for part in layer.sublayers().values():
            walk(part, frozen)

    walk(network, False)
    return found


def _stateful(network) -> set:
    """The state variables of stateful layers."""
    found: set = set()

    def walk(layer):
        if layer.stateful and not isinstance(layer, Network):
            found.update(jax.tree.leaves(layer.variables()[1]))
        for part in layer.sublayers().values():
            walk(part)

    walk(network)
    return found
