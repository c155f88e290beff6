"""Metric functions: (y_true, y_pred) to one number per example and place, or to one number (the top-k accuracies)."""

# ruff: noqa: I001 (names that are only passed on stand close together)
from typing import Any

import jax.numpy as jnp
from jax import dtypes

# fmt: off
from jkeras import config, traits
from jkeras.lift import lift
from jkeras.losses import (
    MAE, MAPE, MSE, MSLE, as_float, binary_crossentropy, categorical_crossentropy, cosine, cosine_proximity, hinge,
    kullback_leibler_divergence, labels_like, logcosh, mae, mape, mean_absolute_error, mean_absolute_percentage_error,
    mean_squared_error, mean_squared_logarithmic_error, mse, msle, poisson, same_float, sparse_categorical_crossentropy,
    squared_hinge,
)
from jkeras.serialize.objects import deserialize_keras_object, get_function, named, serialize_keras_object
from jkeras.traits import set_traits
from jkeras.typing import Array, ArrayLike, CustomObjects, Function, Shape
# fmt: on

__all__ = [
    "MAE", "MAPE", "MSE", "MSLE", "binary_accuracy", "binary_crossentropy", "categorical_accuracy",
    "categorical_crossentropy", "cosine", "cosine_proximity", "deserialize", "get", "hinge",
    "kullback_leibler_divergence", "logcosh", "mae", "mape", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "mse", "msle", "poisson", "serialize",
    "sparse_categorical_accuracy", "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy",
    "squared_hinge", "top_k_categorical_accuracy",
]  # fmt: skip


def _as_floatx(hits):
    return hits.astype(dtypes.canonicalize_dtype(config.floatx()))


@lift
def in_top_k(predictions: ArrayLike, targets: ArrayLike, k: int) -> Array:
    """Whether fewer than `k` classes are predicted higher than the target class; a tie counts as being in.

    False where the target is no class, or a prediction of its row is not finite.

    Arguments:
        predictions: (..., classes).
        targets: integers (...).
        k: how many classes count as the top.
    """
    predictions, targets = as_float(predictions), jnp.asarray(targets).astype(int)
    classes = predictions.shape[-1]
    known = (targets >= 0) & (targets < classes) & jnp.all(jnp.isfinite(predictions), axis=-1)
    chosen = jnp.take_along_axis(predictions, jnp.clip(targets, 0, classes - 1)[..., None], axis=-1)
    return known & (jnp.sum(predictions > chosen, axis=-1) < k)


@set_traits("binary", per_example=True)
@lift
def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """The share of the last axis where y_pred, rounded, is y_true."""
    y_true, y_pred = same_float(y_true, y_pred)
    return jnp.mean(_as_floatx(y_true == jnp.round(y_pred)), axis=-1)


@set_traits("one-hot", per_example=True)
@lift
def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 where the largest of y_pred is where the largest of y_true (one-hot) is."""
    return _as_floatx(jnp.argmax(y_true, axis=-1) == jnp.argmax(y_pred, axis=-1))


@set_traits("classes", per_example=True)
@lift
def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 where the largest of y_pred is at the label y_true.

    Unlike Keras 2.2.4, which fails on sequences, they are scored place by place: labels
    (batch, time) or (batch, time, 1).
    """
    y_pred = jnp.asarray(y_pred)
    return _as_floatx(labels_like(y_true, y_pred, "sparse_categorical_accuracy") == jnp.argmax(y_pred, axis=-1))


@set_traits("one-hot")  # one number over the batch
@lift
def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """The share of the examples whose class, the largest of y_true, is among the `k` largest of y_pred: one number."""
    return jnp.mean(_as_floatx(in_top_k(y_pred, jnp.argmax(y_true, axis=-1), k)), axis=-1)


@set_traits("classes")  # one number over the batch
@lift
def sparse_top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """The share of the examples whose label, y_true, is among the `k` largest of y_pred: one number."""
    y_pred = jnp.asarray(y_pred)
    labels = labels_like(y_true, y_pred, "sparse_top_k_categorical_accuracy")
    return jnp.mean(_as_floatx(in_top_k(y_pred, labels, k)), axis=-1)


_SHORT = {"accuracy": "acc", "acc": "acc", "crossentropy": "ce", "ce": "ce"}
_BY_TARGETS = {
    "acc": {"binary": binary_accuracy, "classes": sparse_categorical_accuracy, None: categorical_accuracy},
    "ce": {"binary": binary_crossentropy, "classes": sparse_categorical_crossentropy, None: categorical_crossentropy},
}


def beside(identifier: Any, loss: Function | None, shape: Shape) -> tuple[str, Function]:
    """The name and the function of a metric beside a loss.

    What 'accuracy' ('acc') and 'crossentropy' ('ce') mean goes by the targets of the loss (see `jkeras.traits`) and by
    the output: one number is a yes or no.

    Arguments:
        identifier: a name, a function `(y_true, y_pred)`, or an object that is called like one.
        loss: the loss of the output.
        shape: the shape of the output.

    Raises:
        ValueError: if the name is unknown, or `identifier` is neither a name nor a callable.
    """
    short = _SHORT.get(identifier) if isinstance(identifier, str) else None
    if short:
        targets = "binary" if shape[-1] == 1 else traits.of(loss).targets
        return short, _BY_TARGETS[short].get(targets, _BY_TARGETS[short][None])
    function = get(identifier)
    if not callable(function):
        raise ValueError(f"A metric must be a name, a function (y_true, y_pred) or an object; got {identifier!r}.")
    return getattr(function, "name", None) or getattr(function, "__name__", type(function).__name__), function


_functions = named(globals())


def serialize(metric: Function | None) -> str | dict | None:
    """The name of a metric function (or class name and config of a metric object)."""
    return serialize_keras_object(metric)


def deserialize(config: str | dict, custom_objects: CustomObjects = None) -> Function:
    """The metric function that `config` names."""
    return deserialize_keras_object(config, _functions, custom_objects, "metric function")


def get(identifier: str | dict | Function) -> Function:
    """The metric function that `identifier` means: a name, or the function itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is neither a name nor a callable.
    """
    return get_function(identifier, _functions, "metric function")
