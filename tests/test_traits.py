"""What is known about losses and metrics: that it is said of all, that it is true, and what follows from it."""

import functools

import jax
import numpy as np
import pytest

from jkeras import losses, metrics, traits
from jkeras.data import arrays
from jkeras.layers import Input
from jkeras.traits import Traits, set_traits

OUTPUT = np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
TARGETS = {
    "output": np.array([[0.4, 0.1, 0.5], [1.0, 0.5, 0.2], [0.3, 0.9, 0.0]], np.float32),
    "one-hot": np.eye(3, dtype=np.float32)[[1, 2, 2]],
    "binary": np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], np.float32),
    "classes": np.array([[1], [2], [2]]),
}
LOOK_UPS = {"deserialize", "get", "serialize"}
FUNCTIONS = {name: getattr(losses, name) for name in losses.__all__ if name not in LOOK_UPS}
FUNCTIONS |= {name: getattr(metrics, name) for name in metrics.__all__ if name not in LOOK_UPS}


def unknown(y_true, y_pred):
    return y_pred[:, 0]


@set_traits("classes", per_example=True)
def labelled(y_true, y_pred):
    return y_pred[:, 0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_said_of_ours_is_true(name):
    """Scores of rows by themselves are those of the rows of a batch, exactly if it says `per_example`."""
    function = FUNCTIONS[name]
    target = TARGETS[traits.of(function).targets]
    whole = np.asarray(function(target, OUTPUT))
    rows = [np.asarray(function(target[row : row + 1], OUTPUT[row : row + 1])) for row in range(3)]
    if traits.of(function).per_example:
        np.testing.assert_allclose(whole, np.concatenate(rows), rtol=1e-6)
    else:
        assert whole.shape == ()


def test_nothing_is_known_of_a_users_function():
    assert traits.of(unknown) == traits.of(lambda y_true, y_pred: y_pred) == traits.of(None) == Traits(None, False)
    unknown_object = type("Loss", (), {"traits": "something else", "__call__": unknown})()
    assert traits.of(unknown_object) == Traits()


@pytest.mark.parametrize(
    "given", ["mse", losses.mse, jax.jit(losses.mse), functools.wraps(losses.mse)(lambda *pair: 0)]
)
def test_traits_by_name_compiled_and_wrapped(given):
    assert traits.of(losses.get(given)) == Traits("output", per_example=True)


def test_a_function_with_traits_takes_symbols():
    x = Input((3,))
    assert losses.mse(x, x).shape == (None,)


def test_unknown_targets_are_refused():
    with pytest.raises(ValueError, match="output, one-hot, binary, classes"):
        set_traits("sparse")


@pytest.mark.parametrize(
    ("loss", "width", "accuracy", "crossentropy"),
    [
        ("mse", 3, "categorical_accuracy", "categorical_crossentropy"),
        ("mse", 1, "binary_accuracy", "binary_crossentropy"),
        ("categorical_crossentropy", 3, "categorical_accuracy", "categorical_crossentropy"),
        ("binary_crossentropy", 3, "binary_accuracy", "binary_crossentropy"),
        ("sparse_categorical_crossentropy", 3, "sparse_categorical_accuracy", "sparse_categorical_crossentropy"),
        ("sparse_categorical_crossentropy", 1, "binary_accuracy", "binary_crossentropy"),
        (labelled, 3, "sparse_categorical_accuracy", "sparse_categorical_crossentropy"),
        (unknown, 3, "categorical_accuracy", "categorical_crossentropy"),
        (None, 3, "categorical_accuracy", "categorical_crossentropy"),
    ],
)
def test_accuracy_and_crossentropy_beside_a_loss(loss, width, accuracy, crossentropy):
    meant = functools.partial(metrics.beside, loss=losses.get(loss), shape=(None, width))
    assert meant("acc") == meant("accuracy") == ("acc", metrics.get(accuracy))
    assert meant("ce") == meant("crossentropy") == ("ce", metrics.get(crossentropy))


def test_other_metrics_beside_a_loss():
    named = type("Metric", (), {"name": "count", "__call__": unknown})()
    for given, name in (("mae", "mean_absolute_error"), (unknown, "unknown"), (named, "count")):
        assert metrics.beside(given, losses.mse, (None, 1)) == (name, metrics.get(given))
    for wrong in ("no_such_metric", 3):
        with pytest.raises(ValueError):
            metrics.beside(wrong, losses.mse, (None, 1))


def test_targets_of_a_users_loss():
    call = (["out"], [(None, 3)], None)
    assert arrays.standardize_targets([1, 2, 2], *call, [labelled])[0].shape == (3, 1)
    assert arrays.standardize_targets(np.zeros((3, 7)), *call, [unknown])[0].shape == (3, 7)
    with pytest.raises(ValueError, match="the loss is `labelled`"):
        arrays.standardize_targets(OUTPUT, *call, [labelled])
