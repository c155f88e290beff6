"""Optimizers from elsewhere."""

import jax

from jkeras.optimizers.base import Optimizer
from jkeras.optimizers.state import OptimizerState

__all__ = ["OptaxOptimizer", "TFOptimizer"]


class OptaxOptimizer(Optimizer):
    """An optax transformation where a Keras optimizer is expected.

    Made with `optax.inject_hyperparams(...)(learning_rate=number)` its rate is `lr`, and callbacks can change it.

    Arguments:
        transformation: anything with `init(params)` and `update(gradients, state, params)`.
    """

    def __init__(self, transformation):
        super().__init__()
        import optax

        self.optax, self._trees = transformation, optax.tree_utils
        try:
            rate = self._trees.tree_get(transformation.init({}), "learning_rate")
        except Exception:  # whatever a transformation may raise on no parameters: it then has no rate to be set
            rate = None
        if rate is not None:
            self._keep(lr=rate)

    def first_state(self, params):
        return OptimizerState(self._start(), {}, {}, self.optax.init(params))

    def update(self, gradients, state, params=None):
        updates, slots = self.optax.update(gradients, state.slots, params)
        return updates, state._replace(iterations=state.iterations + 1, slots=slots)

    def _with_numbers(self, state, numbers):
        if "lr" in numbers:
            state = state._replace(slots=self._trees.tree_set(state.slots, learning_rate=numbers["lr"]))
        return state

    def _saved(self, state, *order):
        return [state.iterations, *jax.tree.leaves(state.slots)]

    def get_config(self):
        raise NotImplementedError(
            "An optax transformation has no config. Save the model with include_optimizer=False, and compile it again."
        )


class TFOptimizer(Optimizer):
    """Where Keras wraps an optimizer of TensorFlow: not available."""

    def __init__(self, optimizer=None):
        raise NotImplementedError(
            "TFOptimizer: there is no TensorFlow here. Pass an optax transformation instead, as optax.adamw(1e-3)."
        )
