"""A rule for one array, applied to all: the pure half of the optimizers that are not written with `get_updates`."""

import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras.lift import lift
from jkeras.optimizers.state import OptimizerState
from jkeras.optimizers.view import places_of

__all__ = ["Formula", "clip_norm"]


def clip_norm(g: Any, c: float, n: Any) -> Any:
    """`g`, scaled by c / n where the norm `n` is at least `c`; unchanged if c <= 0."""
    return g if c <= 0 else _clip_norm(g, c, n)


@lift
def _clip_norm(g, c, n):
    return g * jnp.where(n >= c, c / jnp.where(n > 0, n, 1), 1).astype(g.dtype)


class Formula:
    """What is kept for each parameter, and how that and a gradient make its update.

    Attributes:
        slot_names: the names of the arrays kept for each parameter, in the order in which they are saved.
        first_scalars: name -> first value of what is carried on beside the slots.
        initial_decay: the decay at the beginning; if it was 0, there is none.
        saves_iterations: whether what is saved starts with the number of updates.
    """

    slot_names: tuple = ()
    first_scalars: dict = {}
    initial_decay = 0.0
    saves_iterations = True

    def clipped(self, gradients: list) -> list:
        """`gradients`, first scaled together to a norm of at most `clipnorm`, then cut at +- `clipvalue`."""
        clipnorm, clipvalue = getattr(self, "clipnorm", None), getattr(self, "clipvalue", None)
        if clipnorm and clipnorm > 0:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
            gradients = [clip_norm(gradient, clipnorm, norm) for gradient in gradients]
        if clipvalue and clipvalue > 0:
            gradients = [jnp.clip(gradient, -clipvalue, clipvalue) for gradient in gradients]
        return gradients

    def slot(self, name: str, leaf: Any, shape: tuple | None = None) -> Any:
        """The first value of the slot `name` of the parameter `leaf`: zeros of its shape, in at least 32 bits."""
        # On the host where we are not traced, so that nothing is compiled.
        make = jnp.zeros if isinstance(leaf, jax.core.Tracer) else np.zeros
        return make(np.shape(leaf) if shape is None else shape, jnp.promote_types(leaf.dtype, jnp.float32))

    def prepare(self, now: types.SimpleNamespace) -> None:
        """Compute what all parameters have in common, before the rule, from `now` and into it."""

    def rule(self, now: types.SimpleNamespace, gradient: Any, *slots: Any) -> tuple:
        """The update of one parameter and its next slots: `(update, *slots)`.

        Arguments:
            now: the hyperparameters and scalars by name; `rate`, the learning rate after decay; `t`, the number of this
                update, starting at 1; and what `prepare` added.
            gradient: after clipping, in at least 32 bits.
            slots: the slots of this parameter.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither a `rule` nor `get_updates` nor an `update`.")

    def advance(self, gradients: Any, state: OptimizerState, params: Any = None) -> tuple[Any, OptimizerState]:
        """The updates and the next state, from gradients that are clipped already and have at least 32 bits."""
        del params
        now = types.SimpleNamespace(**state.hyperparameters, **state.scalars)
        now.t = state.iterations.astype(np.float32) + 1
        now.rate = getattr(now, "lr", None)
        if self.initial_decay > 0:
            now.rate = now.lr * (1.0 / (1.0 + now.decay * (now.t - 1)))
        self.prepare(now)
        scalars = {name: getattr(now, name).astype(old.dtype) for name, old in state.scalars.items()}
        leaves, treedef = jax.tree.flatten(gradients)
        slots = [treedef.flatten_up_to(state.slots[name]) for name in self.slot_names]
        results = [self.rule(now, gradient, *old) for gradient, *old in zip(leaves, *slots, strict=True)]
        trees = [
            treedef.unflatten([result[place].astype(old.dtype) for result, old in zip(results, like, strict=True)])
            for place, like in enumerate([leaves, *slots])
        ]
        slots = dict(zip(self.slot_names, trees[1:], strict=True))
        return trees[0], OptimizerState(state.iterations + 1, state.hyperparameters, scalars, slots)

    def saved(self, state: OptimizerState, weights: Mapping[tuple, Any] | None = None) -> list:
        """The parts of `state` that are saved, in Keras's order; `weights` as for `train.rule.as_rule`."""
        saved = [state.iterations] if self.saves_iterations else []
        for tree in (state.slots[name] for name in self.slot_names):
            leaves = jax.tree.leaves(tree)
            saved += leaves if weights is None else [leaves[place] for place in places_of(tree, weights)]
        return saved
