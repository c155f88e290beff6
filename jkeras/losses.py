"""Loss functions: (y_true, y_pred) of shape (batch, ..., features) to one number per example and place, (batch, ...).

The cross entropies take probabilities, as Keras 2.2.4 does on TensorFlow, with its clipping; logits are for
`categorical_terms`, `sparse_categorical_terms` and `binary_terms`, which the backend's functions are made of.
"""

import jax
import jax.numpy as jnp
from jax import dtypes

from jkeras import config
from jkeras.lift import lift
from jkeras.serialize.objects import deserialize_keras_object, get_function, named, serialize_keras_object
from jkeras.traits import set_traits
from jkeras.typing import Array, ArrayLike, CustomObjects, Function

__all__ = [
    "KLD", "MAE", "MAPE", "MSE", "MSLE", "binary_crossentropy", "categorical_crossentropy", "categorical_hinge",
    "cosine", "cosine_proximity", "deserialize", "get", "hinge", "kld", "kullback_leibler_divergence", "logcosh", "mae",
    "mape", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "mean_squared_logarithmic_error", "mse", "msle", "poisson", "serialize", "sparse_categorical_crossentropy",
    "squared_hinge",
]  # fmt: skip


def as_float(value: ArrayLike) -> Array:
    """`value` as an array of a float type: its own, or the default one for integers and booleans."""
    value = jnp.asarray(value)
    if jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return value.astype(dtypes.canonicalize_dtype(config.floatx()))


def same_float(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Both as arrays of the float type of `y_pred`."""
    y_pred = as_float(y_pred)
    return jnp.asarray(y_true).astype(y_pred.dtype), y_pred


def labels_like(y_true: ArrayLike, y_pred: ArrayLike, name: str) -> Array:
    """Integer labels of the shape of `y_pred` without its last axis.

    Raises:
        ValueError: if there are not as many labels as places in `y_pred`; `name` says for whom.
    """
    try:
        return jnp.asarray(y_true).reshape(y_pred.shape[:-1]).astype(int)
    except TypeError as error:
        raise ValueError(
            f"{name}: one integer label per place was expected, {y_pred.shape[:-1]} for outputs of shape "
            f"{y_pred.shape}, and labels of shape {jnp.shape(y_true)} were given."
        ) from error


def absolute(x: Array) -> Array:
    """|x|, with the gradient 0 at 0 that Keras has there (that of jnp.abs is 1)."""
    return x * jnp.sign(x)


def _clip(x, low, high):
    # not jnp.clip, which halves the gradient where x is the bound: a saturated probability often is 1 - epsilon exactly
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def _at_least(x, low):
    return jnp.where(x < low, low, x)


def _mean(x):
    return jnp.mean(x, axis=-1)


# --------------------------------------------------------------------------------------------------- distances


@set_traits("output", per_example=True)
@lift
def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean((y_pred - y_true)^2) over the last axis."""
    y_true, y_pred = same_float(y_true, y_pred)
    return _mean(jnp.square(y_pred - y_true))


@set_traits("output", per_example=True)
@lift
def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(|y_pred - y_true|) over the last axis."""
    y_true, y_pred = same_float(y_true, y_pred)
    return _mean(absolute(y_pred - y_true))


@set_traits("output", per_example=True)
@lift
def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """100 * mean(|y_true - y_pred| / max(|y_true|, epsilon)) over the last axis."""
    y_true, y_pred = same_float(y_true, y_pred)
    return 100.0 * _mean(absolute((y_true - y_pred) / _at_least(absolute(y_true), config.epsilon())))


@set_traits("output", per_example=True)
@lift
def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean((log(1 + y_pred) - log(1 + y_true))^2) over the last axis, of values not below epsilon."""
    y_true, y_pred = same_float(y_true, y_pred)
    first = jnp.log(_at_least(y_pred, config.epsilon()) + 1.0)
    second = jnp.log(_at_least(y_true, config.epsilon()) + 1.0)
    return _mean(jnp.square(first - second))


@set_traits("output", per_example=True)
@lift
def logcosh(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(log(cosh(y_pred - y_true))) over the last axis: the square's half when small, the distance when large."""
    y_true, y_pred = same_float(y_true, y_pred)
    error = y_pred - y_true
    return _mean(error + jax.nn.softplus(-2.0 * error) - jnp.log(2.0).astype(error.dtype))


@set_traits("output", per_example=True)
@lift
def cosine_proximity(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """-sum(y_true * y_pred) over the last axis, both scaled to length one: -1 for the same direction."""
    y_true, y_pred = same_float(y_true, y_pred)
    return -jnp.sum(_unit(y_true) * _unit(y_pred), axis=-1)


def _unit(x):
    return x * jax.lax.rsqrt(_at_least(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-12))


# ----------------------------------------------------------------------------------------------------- margins


@set_traits("output", per_example=True)
@lift
def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(max(1 - y_true * y_pred, 0)) over the last axis; y_true is -1 or 1."""
    y_true, y_pred = same_float(y_true, y_pred)
    return _mean(_at_least(1.0 - y_true * y_pred, 0.0))


@set_traits("output", per_example=True)
@lift
def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(max(1 - y_true * y_pred, 0)^2) over the last axis; y_true is -1 or 1."""
    y_true, y_pred = same_float(y_true, y_pred)
    return _mean(jnp.square(_at_least(1.0 - y_true * y_pred, 0.0)))


@set_traits("output", per_example=True)
@lift
def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """max(0, 1 + max((1 - y_true) * y_pred) - sum(y_true * y_pred)) over the last axis; y_true is one-hot."""
    y_true, y_pred = same_float(y_true, y_pred)
    positive = jnp.sum(y_true * y_pred, axis=-1)
    negative = jnp.max((1.0 - y_true) * y_pred, axis=-1)
    margin = negative - positive + 1.0
    return jnp.where(margin > 0, margin, 0.0)


# ----------------------------------------------------------------------------------------------- cross entropies


def _check_axis(axis, ndim, name):
    if axis != -1 and not 0 <= axis < ndim:
        raise ValueError(
            f"{name}: unexpected channels axis {axis}; expected -1 or one of the {ndim} axes of the output."
        )


@lift
def categorical_terms(target: ArrayLike, output: ArrayLike, from_logits: bool = False, axis: int = -1) -> Array:
    """-sum(target * log(output)) over `axis`, of outputs scaled to sum to one, then kept within [epsilon, 1 - epsilon].

    Arguments:
        target: probabilities of the classes, usually one-hot, of the shape of `output`.
        output: probabilities, or logits.
        from_logits: whether `output` are logits; the classes are then on the last axis whatever `axis` is, as in Keras
        axis: where the classes are.

    Raises:
        ValueError: if `axis` is neither -1 nor an axis of `output`.
    """
    target, output = same_float(target, output)
    _check_axis(axis, output.ndim, "categorical_crossentropy")
    if from_logits:
        return -jnp.sum(target * jax.nn.log_softmax(output, axis=-1), axis=-1)
    output = output / jnp.sum(output, axis=axis, keepdims=True)
    return -jnp.sum(target * jnp.log(_clip(output, config.epsilon(), 1.0 - config.epsilon())), axis=axis)


@lift
def sparse_categorical_terms(target: ArrayLike, output: ArrayLike, from_logits: bool = False, axis: int = -1) -> Array:
    """log(sum(output)) - log(output[target]) over `axis`, of outputs kept within [epsilon, 1 - epsilon].

    A label that is no class gives NaN.

    Arguments:
        target: integer labels, one per place of `output`, in any shape of that size (such as (batch, 1)).
        output: probabilities, or logits.
        from_logits: whether `output` are logits.
        axis: where the classes are.

    Raises:
        ValueError: if `axis` is neither -1 nor an axis of `output`, or there are not as many labels as places.
    """
    output = as_float(output)
    _check_axis(axis, output.ndim, "sparse_categorical_crossentropy")
    output = jnp.moveaxis(output, axis, -1)
    labels = labels_like(target, output, "sparse_categorical_crossentropy")
    logits = output if from_logits else jnp.log(_clip(output, config.epsilon(), 1.0 - config.epsilon()))
    labels = jnp.where(labels < 0, logits.shape[-1], labels)  # negative indices would count from the end
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="fill")[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


@lift
def binary_terms(target: ArrayLike, output: ArrayLike, from_logits: bool = False) -> Array:
    """-(target * log(output) + (1 - target) * log(1 - output)), of outputs kept within [epsilon, 1 - epsilon].

    Arguments:
        target: probabilities, usually 0 or 1, of the shape of `output`.
        output: probabilities, or logits.
        from_logits: whether `output` are logits.
    """
    target, output = same_float(target, output)
    if not from_logits:
        output = _clip(output, config.epsilon(), 1.0 - config.epsilon())
        output = jnp.log(output / (1.0 - output))
    positive = output >= 0  # not softplus, which next to a large logit rounds the rest away
    rest = jnp.log1p(jnp.exp(jnp.where(positive, -output, output)))
    return jnp.where(positive, output, 0) - output * target + rest


@set_traits("one-hot", per_example=True)
@lift
def categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """-sum(y_true * log(y_pred)) over the last axis; y_true is one-hot, y_pred sums to one."""
    return categorical_terms(y_true, y_pred)


@set_traits("classes", per_example=True)
@lift
def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """-log(y_pred[y_true]) over the last axis; y_true are integer labels, y_pred sums to one."""
    return sparse_categorical_terms(y_true, y_pred)


@set_traits("binary", per_example=True)
@lift
def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean of -(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred)) over the last axis."""
    return _mean(binary_terms(y_true, y_pred))


@set_traits("output", per_example=True)
@lift
def kullback_leibler_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """sum(y_true * log(y_true / y_pred)) over the last axis, of values kept within [epsilon, 1]."""
    y_true, y_pred = same_float(y_true, y_pred)
    y_true, y_pred = (_clip(y, config.epsilon(), 1.0) for y in (y_true, y_pred))
    return jnp.sum(y_true * jnp.log(y_true / y_pred), axis=-1)


@set_traits("output", per_example=True)
@lift
def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(y_pred - y_true * log(y_pred + epsilon)) over the last axis."""
    y_true, y_pred = same_float(y_true, y_pred)
    return _mean(y_pred - y_true * jnp.log(y_pred + config.epsilon()))


mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence
cosine = cosine_proximity

_functions = named(globals())


def serialize(loss: Function | None) -> str | dict | None:
    """The name of a loss function (or class name and config of a loss object)."""
    return serialize_keras_object(loss)


def deserialize(name: str | dict, custom_objects: CustomObjects = None) -> Function:
    """The loss function called `name`."""
    return deserialize_keras_object(name, _functions, custom_objects, "loss function")


def get(identifier: str | dict | Function | None) -> Function | None:
    """The loss function that `identifier` means: None for None, a name, or the function itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is neither a name nor a callable.
    """
    return None if identifier is None else get_function(identifier, _functions, "loss function")
