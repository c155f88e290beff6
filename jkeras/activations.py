"""Activation functions: elementwise (softmax apart), for arrays and symbols of any shape."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp

from jkeras.lift import lift
from jkeras.serialize.objects import deserialize_keras_object, get_function, named, serialize_keras_object
from jkeras.typing import Array, ArrayLike, CustomObjects, Function

__all__ = [
    "deserialize", "elu", "exponential", "get", "hard_sigmoid", "linear", "relu", "selu", "serialize", "sigmoid",
    "softmax", "softplus", "softsign", "tanh",
]  # fmt: skip


@lift
def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`.

    As in Keras 2.2.4, `axis` holds for three and more dimensions only: of a matrix always the rows sum to one.

    Arguments:
        x: array of at least two dimensions.
        axis: integer, the axis that sums to one.

    Raises:
        ValueError: if `x` has fewer than two dimensions.
    """
    x = jnp.asarray(x)
    if x.ndim < 2:
        raise ValueError(f"Cannot apply softmax to a tensor that is 1D. Received an input of shape {x.shape}.")
    return jax.nn.softmax(x, axis=-1 if x.ndim == 2 else axis)


@lift
def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """Exponential linear unit: x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Reference:
        Clevert et al., Fast and Accurate Deep Network Learning by Exponential Linear Units,
        https://arxiv.org/abs/1511.07289
    """
    return jax.nn.elu(x, alpha)


@lift
def selu(x: ArrayLike) -> Array:
    """Scaled exponential linear unit: 1.0507... * elu(x, 1.6732...).

    It keeps mean 0 and variance 1 from layer to layer; goes with the `lecun_normal` initializer and `AlphaDropout`.

    Reference:
        Klambauer et al., Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515
    """
    return jax.nn.selu(x)


@lift
def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x))."""
    return jax.nn.softplus(x)


@lift
def softsign(x: ArrayLike) -> Array:
    """x / (1 + abs(x))."""
    return jax.nn.soft_sign(x)


def _is_zero(value) -> bool:
    """Whether `value` is known to be zero: a traced one is not known."""
    return not isinstance(value, jax.core.Tracer) and jnp.ndim(value) == 0 and float(value) == 0


@lift
def relu(x: ArrayLike, alpha: ArrayLike = 0.0, max_value: ArrayLike | None = None, threshold: ArrayLike = 0.0) -> Array:
    """Rectified linear unit: max(x, 0), or, with options,

    max_value where x >= max_value; x where threshold <= x < max_value; alpha * (x - threshold) elsewhere.

    As in Keras 2.2.4, `alpha` without the other two gives max(x, alpha * x): above one it is the slope where x > 0.

    Arguments:
        x: array of any shape.
        alpha: slope below the threshold.
        max_value: the largest result, None for no bound.
        threshold: below it the result is the sloped part.
    """
    x = jnp.asarray(x)
    no_slope, no_threshold = _is_zero(alpha), _is_zero(threshold)
    if not no_slope and no_threshold and max_value is None:
        sloped = jnp.asarray(alpha, x.dtype) * x
        return jnp.where(x > sloped, x, sloped)  # not jnp.maximum: at 0 the gradient is alpha, as in Keras
    result = jax.nn.relu(x) if no_threshold else jnp.where(x > threshold, x, 0)
    if max_value is not None:
        result = result if no_threshold else jnp.where(result < 0, 0, result)
        result = jnp.where(result > max_value, max_value, result).astype(x.dtype)
    return result if no_slope else result - alpha * jax.nn.relu(threshold - x)


@lift
def tanh(x: ArrayLike) -> Array:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


@lift
def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x))."""
    return jax.nn.sigmoid(x)


@lift
def hard_sigmoid(x: ArrayLike) -> Array:
    """0.2 * x + 0.5, kept within 0 and 1."""
    line = 0.2 * jnp.asarray(x) + 0.5
    return jnp.where(line < 0, 0, jnp.where(line > 1, 1, line))


@lift
def exponential(x: ArrayLike) -> Array:
    """exp(x)."""
    return jnp.exp(x)


def linear(x: Any) -> Any:
    """x itself."""
    return x


_functions = named(globals())


def serialize(activation: Function | None) -> str | dict | None:
    """The name of an activation function."""
    return serialize_keras_object(activation)


def deserialize(name: str | dict, custom_objects: CustomObjects = None) -> Function:
    """The activation function called `name`."""
    return deserialize_keras_object(name, _functions, custom_objects, "activation function")


def get(identifier: str | dict | Function | None) -> Function:
    """The activation function that `identifier` means: `linear` for None, a name, or the function itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is neither a name nor a callable.
    """
    if identifier is None:
        return linear
    if hasattr(identifier, "get_weights"):
        warnings.warn(
            f"Do not pass a layer instance (such as {type(identifier).__name__}) as the activation argument of another "
            f"layer: use it as a layer of its own.",
            stacklevel=2,
        )
    return get_function(identifier, _functions, "activation function")
