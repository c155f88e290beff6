"""Optimizers from elsewhere."""

from collections.abc import Mapping
from typing import Any

import jax

from jkeras.optimizers.base import Optimizer
from jkeras.optimizers.state import OptimizerState, on_host
from jkeras.train.rule import extra_arguments

__all__ = ["OptaxOptimizer", "TFOptimizer"]


class OptaxOptimizer(Optimizer):
    """An optax transformation where a Keras optimizer is expected.

    Made with `optax.inject_hyperparams(...)(learning_rate=number)` its rate is `lr`, and callbacks can change it.

    Arguments:
        transformation: anything with `init(params)` and `update(gradients, state, params)`. Where its `update` takes
            `value`, `grad` and `value_fn` (as that of `optax.lbfgs()`), it is given the loss of the whole batch, the
            gradients, and the loss of the batch as a function of the parameters.
    """

    def __init__(self, transformation: Any):
        super().__init__()
        import optax

        self.optax, self._trees = transformation, optax.tree_utils
        try:
            rate = self._trees.tree_get(transformation.init({}), "learning_rate")
        except Exception:  # whatever a transformation may raise on no parameters: it then has no rate to be set
            rate = None
        if rate is not None:
            self._keep(lr=rate)

    def first_state(self, params: Any) -> OptimizerState:
        return OptimizerState(on_host(self.iterations), self.hyperparameters(), {}, self.optax.init(params))

    def update(
        self, gradients: Any, state: OptimizerState, params: Any = None, **extra: Any
    ) -> tuple[Any, OptimizerState]:
        slots = state.slots
        if state.hyperparameters:
            rate = state.hyperparameters["lr"].astype(self._trees.tree_get(slots, "learning_rate").dtype)
            slots = self._trees.tree_set(slots, learning_rate=rate)
        extra = extra_arguments(self.optax.update, **extra)
        updates, slots = self.optax.update(gradients, slots, params, **extra)
        return updates, state._replace(iterations=state.iterations + 1, slots=slots)

    def saved(self, state: OptimizerState, weights: Mapping[tuple, Any] | None = None) -> list:
        return [state.iterations, *jax.tree.leaves(state.slots)]

    def get_config(self) -> dict:
        raise NotImplementedError(
            "An optax transformation has no config. Save the model with include_optimizer=False, and compile it again."
        )


class TFOptimizer(Optimizer):
    """Where Keras wraps an optimizer of TensorFlow: not available."""

    def __init__(self, optimizer: Any = None):
        raise NotImplementedError(
            "TFOptimizer: there is no TensorFlow here. Pass an optax transformation instead, as optax.adamw(1e-3)."
        )
