"""`as_rule`: what an optimizer does in one step, as a pure function of gradients, its state and parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["Rule", "as_rule"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """One step of an optimizer, constraints included.

    Attributes:
        optimizer: `init(params)` and `update(gradients, opt_state, params)`; or, if it `assigns`, `assign`.
    """

    optimizer: Any

    def init(self, params: Any) -> Any:
        """The state before the first step."""
        return self.optimizer.init(params)

    def __call__(
        self,
        gradients: Any,
        opt_state: Any,
        params: Any,
        *,
        value: Any = None,
        key: Any = None,
        value_fn: Callable | None = None,
        constrain: Callable | None = None,
    ) -> tuple:
        """The next parameters and the next state.

        Arguments:
            value: the loss; value_fn: `value_fn(params)`, the loss of the same batch with other parameters.
            key: a key, the same on all devices.
            constrain: `constrain(params)`, applied unless the optimizer sees to that itself.
        """
        if getattr(self.optimizer, "assigns", False):
            return self.optimizer.assign(gradients, opt_state, params, value=value, key=key)
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        params = jax.tree.map(lambda old, update: (old + update).astype(old.dtype), params, updates)
        return params if constrain is None else constrain(params), opt_state


def as_rule(optimizer: Any) -> Rule:
    """The rule of an optimizer: one of `jkeras.optimizers`, or any optax transformation."""
    return optimizer if isinstance(optimizer, Rule) else Rule(optimizer)
