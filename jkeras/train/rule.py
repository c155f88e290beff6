"""How gradients change parameters: a `Rule`, the same for Keras's optimizers and for optax's transformations.

rule.init(params)                                    -> opt_state
rule(gradients, opt_state, params, value=loss, ...)  -> params, opt_state      (pure; constraints included)
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import lax

from jkeras import batch

__all__ = ["Rule", "as_rule", "by_updates", "extra_arguments", "of_whole_batch"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """How gradients change parameters: two pure functions.

    Attributes:
        init: `init(params) -> opt_state`, a tree of arrays none of which is one of `params`.
        step: `step(gradients, opt_state, params, *, value, key, value_fn) -> params, opt_state`.
        sees_to_constraints: whether `step` applies the constraints of the parameters itself.
        view: how users see the state, if the optimizer is one of Keras's: see `optimizers.view`.
    """

    init: Callable[[Any], Any]
    step: Callable[..., tuple[Any, Any]]
    sees_to_constraints: bool = False
    view: Any = None

    def __call__(
        self, gradients: Any, opt_state: Any, params: Any, *, value: jax.Array | None = None, key: Any = None,
        value_fn: Callable[[Any], Any] | None = None, constrain: Callable[[Any], Any] | None = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """The next parameters and the next state.

        Arguments:
            gradients, params: trees alike.
            opt_state: what `init` or the last call gave.
            value: the loss of the whole batch.
            key: the step's key, the same on all devices.
            value_fn: `value_fn(params)` -> the loss of the whole batch, for optimizers that search along a line; see
                `of_whole_batch`.
            constrain: `constrain(params) -> params`, applied to the result.
        """
        params, opt_state = self.step(gradients, opt_state, params, value=value, key=key, value_fn=value_fn)
        if constrain is not None and not self.sees_to_constraints:
            params = constrain(params)
        return params, opt_state


def as_rule(optimizer: Any, weights: Mapping[tuple, Any] | None = None) -> Rule:
    """The rule of an optimizer.

    Arguments:
        optimizer: one of Keras's (anything with `as_rule(weights)`), an optax transformation (`init` and `update`), or
            a rule.
        weights: path -> variable, of the parameters that are trained, in Keras's order, where there are variables.

    Raises:
        TypeError: if it is none of these.
    """
    if isinstance(optimizer, Rule):
        return optimizer
    own = getattr(optimizer, "as_rule", None)
    if own is not None:
        return own(weights)
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(
            f"An optimizer was expected (of jkeras.optimizers, or an optax transformation); got {optimizer!r}. Names "
            "are looked up by jkeras.optimizers.get."
        )
    return by_updates(optimizer.init, optimizer.update)


def by_updates(init: Callable[[Any], Any], update: Callable[..., tuple[Any, Any]]) -> Rule:
    """The rule that adds updates to parameters.

    Arguments:
        init: `init(params) -> opt_state`.
        update: `update(gradients, opt_state, params) -> updates, opt_state`, which may take `value`, `grad` and
            `value_fn` too.
    """

    def first(params):
        return _apart(init(params), params)

    def step(gradients, opt_state, params, *, value=None, key=None, value_fn=None):
        del key
        extra = extra_arguments(update, value=value, grad=gradients, value_fn=value_fn)
        updates, after = update(gradients, opt_state, params, **extra)
        params = jax.tree.map(lambda old, change: (old + change).astype(old.dtype), params, updates)
        # A state whose types change would be compiled for twice, and cannot be carried through a loop.
        return params, jax.tree.map(lambda old, new: lax.convert_element_type(new, old.dtype), opt_state, after)

    return Rule(first, step)


def of_whole_batch(loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`loss(params)`, of the part of a batch that a device has, as a function of the whole batch: its value and its
    derivative are means over the devices. (The derivative of a mean over devices is that of each device alone.)"""
    if batch.shards() == 1:
        return loss

    @jax.custom_vjp
    def value_fn(params):
        return batch.mean(loss(params))

    def forward(params):
        return batch.means(jax.value_and_grad(loss)(params))

    def backward(gradients, factor):
        return (jax.tree.map(lambda gradient: (factor * gradient).astype(gradient.dtype), gradients),)

    value_fn.defvjp(forward, backward)
    return value_fn


def extra_arguments(function: Callable, **given: Any) -> dict[str, Any]:
    """Those of the `given` arguments, None being none, that `function` takes."""
    taken = inspect.signature(function).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    return {name: value for name, value in given.items() if value is not None and (takes_all or name in taken)}


def _apart(state, params):
    """`state` with copies of leaves that are parameters, or stand in it twice: a program that takes over the memory of
    its arguments must be given each only once."""
    seen = {id(leaf): leaf for leaf in jax.tree.leaves(params)}

    def own(leaf):
        if not isinstance(leaf, jax.Array):
            leaf = np.asarray(leaf)
            leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
        if id(leaf) in seen:
            leaf = leaf.copy()
        if getattr(leaf, "weak_type", False):  # it would not be weak after the first step
            leaf = lax.convert_element_type(leaf, leaf.dtype)
        seen[id(leaf)] = leaf
        return leaf

    return jax.tree.map(own, state)
