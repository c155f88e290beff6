"""Regularizers: a weight or an output to a number that is added to the loss."""

import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras.lift import lift
from jkeras.losses import absolute
from jkeras.serialize.objects import deserialize_keras_object, get_instance, named, serialize_keras_object
from jkeras.typing import ArrayLike, CustomObjects, Function

__all__ = ["L1L2", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2", "serialize"]


class Regularizer:
    """The base of all regularizers: costs nothing."""

    def __call__(self, x: ArrayLike):
        return 0.0

    @classmethod
    def from_config(cls, config: dict) -> "Regularizer":
        """The regularizer that `get_config` described."""
        return cls(**config)


class L1L2(Regularizer):
    """sum(l1 * |x|) + sum(l2 * x^2).

    Arguments:
        l1: factor of the absolute values.
        l2: factor of the squares.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        # in the default float type, as Keras keeps them: a config says 0.009999999776482582 for 0.01
        self.l1 = np.asarray(l1, jnp.dtype(config.floatx()))
        self.l2 = np.asarray(l2, jnp.dtype(config.floatx()))

    @lift
    def __call__(self, x: ArrayLike):
        x = jnp.asarray(x)
        cost = 0.0
        if self.l1:
            cost += jnp.sum(float(self.l1) * absolute(x))
        if self.l2:
            cost += jnp.sum(float(self.l2) * jnp.square(x))
        return cost

    def get_config(self) -> dict:
        """The factors."""
        return {"l1": float(self.l1), "l2": float(self.l2)}


def l1(l: float = 0.01):  # noqa: E741 (Keras's name)
    """sum(l * |x|)."""
    return L1L2(l1=l)


def l2(l: float = 0.01):  # noqa: E741 (Keras's name)
    """sum(l * x^2)."""
    return L1L2(l2=l)


def l1_l2(l1: float = 0.01, l2: float = 0.01):
    """sum(l1 * |x|) + sum(l2 * x^2)."""
    return L1L2(l1=l1, l2=l2)


_objects = named(globals())


def serialize(regularizer: Function | None) -> str | dict | None:
    """The class name and config of a regularizer (the name, of a function)."""
    return serialize_keras_object(regularizer)


def deserialize(config: str | dict, custom_objects: CustomObjects = None):
    """The regularizer that `config`, a dict of class_name and config, describes."""
    return deserialize_keras_object(config, _objects, custom_objects, "regularizer")


def get(identifier: str | dict | Function | None):
    """The regularizer that `identifier` means: None for None, a name, a config, or the regularizer itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is none of these.
    """
    return None if identifier is None else get_instance(identifier, _objects, "regularizer")
