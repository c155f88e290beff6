"""What one tests layers with."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.backend import clear_session
from jkeras.models import Input, Model
from jkeras.serialize.objects import has_arg
from jkeras.typing import ArrayLike, Shape

__all__ = ["get_test_data", "keras_test", "layer_test"]


def get_test_data(
    num_train: int = 1000,
    num_test: int = 500,
    input_shape: Sequence[int] = (10,),
    output_shape: Sequence[int] = (2,),
    classification: bool = True,
    num_classes: int = 2,
) -> tuple:
    """Clouds of points to train on, drawn from numpy's global generator: (x_train, y_train), (x_test, y_test).

    Arguments:
        num_train, num_test: how many examples.
        input_shape: of an example. Its numbers are normal, of deviation 0.7 around the class or, without classes,
            around a number between 0 and 1.
        output_shape: of a target without classes, drawn around the same number.
        classification: whether the targets are classes, integers (n,).
        num_classes: how many.
    """
    count = num_train + num_test
    if classification:
        centers = y = np.random.randint(0, num_classes, size=(count,))
    else:
        centers = y = np.random.random((count,))

    def around(shape):
        return np.stack([np.random.normal(center, 0.7, shape) for center in centers]).astype("float32")

    x = around(tuple(input_shape))
    if not classification:
        y = around(tuple(output_shape))
    return (x[:num_train], y[:num_train]), (x[num_train:], y[num_train:])


def layer_test(
    layer_cls: Callable,
    kwargs: dict | None = None,
    input_shape: Shape | None = None,
    input_dtype: Any = None,
    input_data: Any = None,
    expected_output: ArrayLike | None = None,
    expected_output_dtype: Any = None,
    fixed_batch_size: bool = False,
) -> np.ndarray:
    """Put a layer of one input and one output through what layers go through, and give what it predicts.

    It is made, called, asked for its output's shape and type, used in a model that predicts and is made again from its
    config with the same weights, trained for a step if its `call` knows `training`, and made again from its own config.

    Arguments:
        layer_cls: the class, or what makes a layer from `kwargs`.
        kwargs: its arguments.
        input_shape: with the batch axis, None for sizes to draw; that of `input_data` unless given.
        input_dtype: the type of the input, the default float type or that of `input_data` unless given.
        input_data: what it is called on; drawn unless given.
        expected_output: what it shall predict, to 0.1%.
        expected_output_dtype: the type of its output, that of the input unless given.
        fixed_batch_size: whether the model is told the batch size.

    Raises:
        AssertionError: if something does not hold.
        ValueError: without `input_shape` and `input_data`.
    """
    kwargs = {} if kwargs is None else kwargs
    if input_data is None:
        if input_shape is None:
            raise ValueError("layer_test: pass `input_shape` or `input_data`.")
        shape = [np.random.randint(1, 4) if size is None else size for size in input_shape]
        input_dtype = input_dtype or config.floatx()
        input_data = (10 * np.random.random(shape)).astype(input_dtype)
    input_shape = tuple(input_data.shape if input_shape is None else input_shape)
    input_dtype = str(input_dtype or input_data.dtype)
    layer = layer_cls(**kwargs)
    weights = layer.get_weights()
    layer.set_weights(weights)
    if weights and has_arg(layer_cls.__init__, "weights"):
        layer = layer_cls(**{**kwargs, "weights": weights})
    promised = layer.compute_output_shape(input_shape)
    x = (
        Input(batch_shape=input_shape, dtype=input_dtype)
        if fixed_batch_size
        else Input(input_shape[1:], dtype=input_dtype)
    )
    y = layer(x)
    assert str(y.dtype) == str(expected_output_dtype or input_dtype), f"the output's dtype is {y.dtype}"
    output = _in_model(layer, Model(x, y), input_data, promised, expected_output)
    type(layer).from_config({**layer.get_config(), "batch_input_shape": input_shape})
    return output


def _in_model(layer, model, data, promised, expected) -> np.ndarray:
    """What `model`, of just `layer`, predicts, which it does again when it is made anew."""
    output = model.predict(data)
    for promise, size in zip(promised, output.shape, strict=True):
        assert promise in (None, size), f"compute_output_shape said {promised}; the output has shape {output.shape}"
    if expected is not None:
        np.testing.assert_allclose(output, expected, rtol=1e-3)
    again = type(model).from_config(model.get_config())
    if model.weights:
        again.set_weights(model.get_weights())
        np.testing.assert_allclose(again.predict(data), output, rtol=1e-3)
    if has_arg(layer.call, "training"):
        model.compile("rmsprop", "mse")
        model.train_on_batch(data, output)
    return output


def keras_test(func: Callable) -> Callable:
    """A test after which the names of layers start anew."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        finally:
            clear_session()

    return wrapper
