"""Metric functions: (y_true, y_pred) to one number per example and place, or to one number (the top-k accuracies)."""

import jax.numpy as jnp
from jax import dtypes

from jkeras import config
from jkeras.lift import lift
from jkeras.losses import (
    MAE,
    MAPE,
    MSE,
    MSLE,
    as_float,
    binary_crossentropy,
    categorical_crossentropy,
    cosine,
    cosine_proximity,
    hinge,
    kullback_leibler_divergence,
    labels_like,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    same_float,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from jkeras.serialize.objects import deserialize_keras_object, get_function, serialize_keras_object

__all__ = [
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "cosine",
    "cosine_proximity",
    "deserialize",
    "get",
    "hinge",
    "kullback_leibler_divergence",
    "logcosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]


def _as_floatx(hits):
    return hits.astype(dtypes.canonicalize_dtype(config.floatx()))


@lift
def in_top_k(predictions, targets, k):
    """Whether fewer than `k` classes are predicted higher than the target class; a tie counts as being in.

    False where the target is no class, or a prediction of its row is not finite.

    Arguments:
        predictions: (..., classes).
        targets: integers (...).
        k: how many classes count as the top.
    """
    predictions, targets = as_float(predictions), jnp.asarray(targets)
    classes = predictions.shape[-1]
    known = (targets >= 0) & (targets < classes) & jnp.all(jnp.isfinite(predictions), axis=-1)
    chosen = jnp.take_along_axis(predictions, jnp.clip(targets, 0, classes - 1)[..., None], axis=-1)
    return known & (jnp.sum(predictions > chosen, axis=-1) < k)


@lift
def binary_accuracy(y_true, y_pred):
    """The share of the last axis where y_pred, rounded, is y_true."""
    y_true, y_pred = same_float(y_true, y_pred)
    return jnp.mean(_as_floatx(y_true == jnp.round(y_pred)), axis=-1)


@lift
def categorical_accuracy(y_true, y_pred):
    """1 where the largest of y_pred is where the largest of y_true (one-hot) is."""
    return _as_floatx(jnp.argmax(y_true, axis=-1) == jnp.argmax(y_pred, axis=-1))


@lift
def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest of y_pred is at the label y_true.

    Unlike Keras 2.2.4, which fails on sequences, they are scored place by place: labels
    (batch, time) or (batch, time, 1).
    """
    y_pred = jnp.asarray(y_pred)
    return _as_floatx(labels_like(y_true, y_pred, "sparse_categorical_accuracy") == jnp.argmax(y_pred, axis=-1))


@lift
def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """The share of the examples whose class, the largest of y_true, is among the `k` largest of y_pred: one number."""
    return jnp.mean(_as_floatx(in_top_k(y_pred, jnp.argmax(y_true, axis=-1), k)), axis=-1)


@lift
def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """The share of the examples whose label, y_true, is among the `k` largest of y_pred: one number."""
    y_pred = jnp.asarray(y_pred)
    labels = labels_like(y_true, y_pred, "sparse_top_k_categorical_accuracy")
    return jnp.mean(_as_floatx(in_top_k(y_pred, labels, k)), axis=-1)


_functions = {name: globals()[name] for name in __all__ if name not in ("deserialize", "get", "serialize")}


def serialize(metric):
    """The name of a metric function (or class name and config of a metric object)."""
    return serialize_keras_object(metric)


def deserialize(config, custom_objects=None):
    """The metric function that `config` names."""
    return deserialize_keras_object(config, _functions, custom_objects, "metric function")


def get(identifier):
    """The metric function that `identifier` means: a name, or the function itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is neither a name nor a callable.
    """
    return get_function(identifier, _functions, "metric function")
