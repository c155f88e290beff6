"""Constraints: what a weight is replaced by after each update."""

import jax.numpy as jnp

from jkeras import config
from jkeras.lift import lift
from jkeras.serialize.objects import (
    config_from_signature,
    deserialize_keras_object,
    get_instance,
    named,
    serialize_keras_object,
)
from jkeras.typing import ArrayLike, CustomObjects, Function, Ints

__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm", "maxnorm",
    "min_max_norm", "non_neg", "nonneg", "serialize", "unit_norm", "unitnorm",
]  # fmt: skip


def _norms(w, axis):
    axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return jnp.sqrt(jnp.sum(jnp.square(w), axis=axis, keepdims=True))


class Constraint:
    """The base of all constraints: leaves the weight as it is."""

    def __call__(self, w: ArrayLike):
        return w

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return config_from_signature(self)


class MaxNorm(Constraint):
    """w * min(norm(w), max_value) / (epsilon + norm(w)): no weight vector is longer than `max_value`.

    Arguments:
        max_value: the largest length.
        axis: the axis, or list of axes, along which a weight vector lies: 0 for `Dense` (input, units), [0, 1, 2] for
            `Conv2D` (rows, columns, channels, filters).

    Reference:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 15, 2014
    """

    def __init__(self, max_value: float = 2, axis: Ints = 0):
        self.max_value = max_value
        self.axis = axis

    @lift
    def __call__(self, w: ArrayLike):
        norms = _norms(w, self.axis)
        return w * (jnp.clip(norms, 0, max(0, self.max_value)) / (config.epsilon() + norms))


class NonNeg(Constraint):
    """max(w, 0): no weight is negative."""

    @lift
    def __call__(self, w: ArrayLike):
        w = jnp.asarray(w)
        return w * (w >= 0).astype(w.dtype)


class UnitNorm(Constraint):
    """w / (epsilon + norm(w)): all weight vectors have length one.

    Arguments:
        axis: as in `MaxNorm`.
    """

    def __init__(self, axis: Ints = 0):
        self.axis = axis

    @lift
    def __call__(self, w: ArrayLike):
        return w / (config.epsilon() + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """w * (rate * clip(norm(w), min_value, max_value) + (1 - rate) * norm(w)) / (epsilon + norm(w)).

    Arguments:
        min_value: the smallest length of a weight vector.
        max_value: the largest length.
        rate: 1 enforces the bounds at once; below 1 the length moves towards them at each step.
        axis: as in `MaxNorm`.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Ints = 0):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    @lift
    def __call__(self, w: ArrayLike):
        norms = _norms(w, self.axis)
        bounded = jnp.clip(norms, self.min_value, max(self.min_value, self.max_value))
        desired = self.rate * bounded + (1 - self.rate) * norms
        return w * (desired / (config.epsilon() + norms))


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm

_objects = named(globals())


def serialize(constraint: Function | None) -> str | dict | None:
    """The class name and config of a constraint (the name, of a function)."""
    return serialize_keras_object(constraint)


def deserialize(config: str | dict, custom_objects: CustomObjects = None):
    """The constraint that `config`, a dict of class_name and config, describes."""
    return deserialize_keras_object(config, _objects, custom_objects, "constraint")


def get(identifier: str | dict | Function | None):
    """The constraint that `identifier` means: None for None, a name, a config, or the constraint itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is none of these.
    """
    return None if identifier is None else get_instance(identifier, _objects, "constraint")
