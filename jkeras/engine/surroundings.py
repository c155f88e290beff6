"""What user code reads during a step without being handed it.

A loss, a metric, an optimizer of penalties or a `Lambda` may refer to a `K.variable`, to weights of this model or of
another one, and to symbols of the model's graph. While a step is traced, a scope around it gives the arrays that stand
for them there. Variables that are no weights of the model are found by tracing once, and become part of the training
state: a value that is set between steps reaches the next step without a new trace.
"""

import jax
import jax.numpy as jnp

from jkeras import random
from jkeras.graph.function import layers_of, nodes_between
from jkeras.graph.scope import Scope
from jkeras.graph.tensor import Variable

__all__ = ["PLACE", "Surroundings"]

#: The name, in the tree of state, of the variables from outside. No layer can have it.
PLACE = "(outside)"


class Surroundings:
    """What surrounds the steps of `model`.

    Attributes:
        variables: those from outside the model, in the order in which they were found.
    """

    def __init__(self, model):
        self.model = model
        self.variables: list = []
        self._found: dict = {}

    def tree(self) -> dict:
        """The variables from outside, as they stand in the tree of state."""
        found = {str(place): variable for place, variable in enumerate(self.variables)}
        return {PLACE: found} if found else {}

    def grow(self) -> bool:
        """Take up the variables that traces have met since; whether there were any."""
        new = [variable for variable in self._found if variable not in self.variables]
        self.variables += new
        self._found.clear()
        return bool(new)

    def __call__(self, params, state, key, training):
        """The scope around one step on `params` and `state`."""
        own = self.model.variables()
        bindings = dict(zip(self.variables, state.get(PLACE, {}).values(), strict=False))
        for tree, values in zip(own, (params, {name: state[name] for name in own[1]}), strict=True):
            bindings |= dict(zip(jax.tree.leaves(tree), jax.tree.leaves(values), strict=True))
        key = None if key is None else random.as_key(key).fold("surroundings")
        return _Around(bindings, self._found, training=training, key=key)


class _Around(Scope):
    """The scope around one step; it keeps note of variables that nothing stands for."""

    def __init__(self, bindings, found, **options):
        super().__init__(bindings, **options)
        self.found, self.execution = found, None

    def ran(self, call):
        """Let the symbols of the model's graph stand for what they were in `call`."""
        self.execution = call.execution

    def missing(self, symbol):
        if not isinstance(symbol, Variable):
            return None if self.execution is None else self._computed(symbol)
        if not symbol.is_constant:
            self.found[symbol] = True
        return None

    def _computed(self, symbol):
        """The value of a symbol of the graph, computed from what the execution has if it was not needed so far."""
        execution = self.execution
        if symbol not in execution.values:
            try:
                nodes = nodes_between(list(execution.values), [symbol])
            except ValueError:  # it depends on other inputs
                return None
            for layer in layers_of(nodes):
                if layer not in execution.weights:
                    execution.weights[layer] = jax.tree.map(lambda variable: variable.value, layer.variables())
            execution.run(nodes)
        return execution.values[symbol]

    def next_state(self, state):
        """`state` with the updates that were asked for of variables from outside."""
        outside = dict(state.get(PLACE, {}))
        places = list(self.bindings)[: len(outside)]
        for name, variable in zip(outside, places, strict=True):
            if variable in self.updates:
                outside[name] = jnp.asarray(self.updates[variable], variable.dtype).reshape(variable.shape)
        return {**state, PLACE: outside} if outside else state
