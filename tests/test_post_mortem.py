"""The first layer, loss, input or weight that made a NaN or an infinity is named, and the step can be repeated."""

import os
import subprocess
import sys

import numpy as np
import pytest

from jkeras import backend as K
from jkeras import callbacks, layers, optimizers
from jkeras.layers import LSTM, BatchNormalization, Conv1D, Dense, Dropout, Embedding, Flatten, Input, Lambda
from jkeras.models import Model, Sequential

X = np.random.RandomState(0).uniform(-1, 1, (32, 5)).astype("float32")
Y = (X[:, :2] > 0).astype("float32")
SEQUENCES = np.random.RandomState(1).uniform(-1, 1, (32, 4, 3)).astype("float32")


def root_of_zero(x):
    """Finite, but its gradient is not."""
    return K.sqrt(x * 0.0)


def between(layer, **options):
    """`layer` between two dense ones."""
    return lambda: Sequential([Dense(4, input_shape=(5,), name="first"), layer(), Dense(2, name="last")])


def after_sequences(*made):
    return lambda: Sequential([Dense(3, input_shape=(4, 3), name="first"), *(make() for make in made), Dense(2)])


def nested():
    inner = Sequential([Dense(4, input_shape=(5,)), Lambda(K.log, name="log"), Dense(4)], name="inner")
    x = Input((5,))
    return Model(x, Dense(2)(inner(x)))


def shared():
    """The second call of a layer is the bad one."""
    x = Input((5,))
    layer = Lambda(lambda x: K.log(x + 2.0), name="log")
    return Model(x, Dense(2)(layer(Lambda(lambda x: x * 0.0 - 3.0)(layer(x)))))


class Shrink(layers.Layer):
    """A layer in Keras style with a weight that makes the trouble."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (1,), initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        return x / self.scale


def log_loss(y_true, y_pred):
    return K.log(y_pred - 100.0)


def distance(y_true, y_pred):
    return K.sqrt(K.sum(K.square(y_pred * 0.0), axis=-1))


def steep(y_true, y_pred):
    return 1e4 * K.square(y_pred - y_true - 1.0)


def bad_inputs():
    x = X.copy()
    x[13] = np.nan
    return x


def plain():
    return Sequential([Dense(4, input_shape=(5,), name="first"), Dense(2, name="last")])


# model, arguments of compile, input, where, name
CASES = {
    "dense": (between(lambda: Dense(3, activation=K.log, name="bad")), {}, X, "forward", "bad"),
    "lambda": (between(lambda: Lambda(K.log, name="bad")), {}, X, "forward", "bad"),
    "lambda backward": (between(lambda: Lambda(root_of_zero, name="bad")), {}, X, "backward", "bad"),
    "activation": (between(lambda: layers.Activation(root_of_zero, name="bad")), {}, X, "backward", "bad"),
    "keras style": (between(lambda: Shrink(name="bad")), {}, X, "forward", "bad"),
    "large numbers": (
        lambda: Sequential([Lambda(lambda x: x * 1e30, input_shape=(5,)), BatchNormalization(name="bad"), Dense(2)]),
        {},
        X,
        "forward",
        "bad",
    ),
    "dropout": (between(lambda: Lambda(lambda x: K.dropout(x, 0.5) / 0.0, name="bad")), {}, X, "forward", "bad"),
    "nested": (nested, {}, X, "forward", "inner/log"),
    "shared": (shared, {}, X, "forward", "log"),
    "recurrent": (
        after_sequences(lambda: LSTM(3, activation=lambda x: K.log(x - 2.0), name="bad")),
        {},
        SEQUENCES,
        "forward",
        "bad",
    ),
    "recurrent backward": (
        after_sequences(lambda: layers.SimpleRNN(3, activation=root_of_zero, name="bad")),
        {},
        SEQUENCES,
        "backward",
        "bad",
    ),
    "convolution": (
        after_sequences(
            lambda: Conv1D(2, 2, kernel_initializer=lambda shape, dtype=None: np.full(shape, 3e38), name="bad"), Flatten
        ),
        {},
        SEQUENCES,
        "forward",
        "bad",
    ),
    "every step": (
        after_sequences(lambda: layers.TimeDistributed(Lambda(K.log), name="bad"), Flatten),
        {},
        SEQUENCES,
        "forward",
        "bad",
    ),
    "embedding": (
        lambda: Sequential(
            [Embedding(9, 2, input_length=5, name="e"), Lambda(root_of_zero, name="bad"), Flatten(), Dense(2)]
        ),
        {},
        np.abs(X * 8).astype("int32"),
        "backward",
        "bad",
    ),
    "loss": (plain, {"loss": log_loss}, X, "loss", "log_loss"),
    "loss backward": (plain, {"loss": distance}, X, "backward", "distance"),
    "penalty": (
        lambda: Sequential([Dense(2, input_shape=(5,), kernel_regularizer=lambda w: K.sum(K.log(w)), name="bad")]),
        {},
        X,
        "loss",
        "bad",
    ),
    "activity": (
        between(lambda: layers.Dense(3, activity_regularizer=lambda x: K.sum(K.log(x)), name="bad")),
        {},
        X,
        "forward",
        "bad",
    ),
    "input": (plain, {}, bad_inputs(), "input", "first_input"),
    "weight": (
        lambda: Sequential(
            [Dense(2, input_shape=(5,), bias_initializer=lambda shape, dtype=None: np.full(shape, np.nan), name="bad")]
        ),
        {},
        X,
        "weights",
        "bad/bias:0",
    ),
    "constraint": (
        lambda: Sequential([Dense(2, input_shape=(5,), kernel_constraint=lambda w: w / 0.0)]),
        {},
        X,
        "optimizer",
        "SGD",
    ),
    "learning rate": (plain, {"optimizer": optimizers.SGD(lr=3e38), "loss": steep}, X, "optimizer", "SGD"),
}


@pytest.mark.parametrize(("make", "options", "x", "where", "name"), CASES.values(), ids=CASES)
def test_it_is_named(tmp_path, make, options, x, where, name):
    model = make()
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    with pytest.raises(FloatingPointError, match=r"Step \d+: NaN or infinity in ") as caught:
        model.fit(x, Y, batch_size=8, epochs=2, verbose=0, key=0, callbacks=[callbacks.NaNPostMortem(tmp_path / "nan")])
    path = str(caught.value).rpartition(" is in ")[2][:-1]
    finding = callbacks.NaNPostMortem.reproduce(path, model)
    assert (finding["where"], finding["name"]) == (where, name)
    assert finding["message"] in str(caught.value)


def test_nothing_happens_while_all_is_finite(tmp_path):
    def weights(watch):
        model = Sequential([Dense(4, input_shape=(5,)), Dropout(0.5), BatchNormalization(), Dense(2)])
        model.set_weights([np.full(w.shape, 0.1) for w in model.get_weights()])
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, key=0, callbacks=watch)
        return model.get_weights()

    for ours, theirs in zip(weights([]), weights([callbacks.NaNPostMortem(tmp_path)]), strict=True):
        assert np.array_equal(ours, theirs)
    assert not os.listdir(tmp_path)


SCRIPT = """
import sys
import numpy as np
from jkeras import callbacks, layers, models, backend as K
model = models.Sequential([layers.Dense(4, input_shape=(5,)), layers.Lambda(K.log, name="bad"), layers.Dense(2)])
model.compile("adam", "mse")
if sys.argv[1] == "train":
    x = np.random.RandomState(0).uniform(-1, 1, (32, 5))
    model.fit(x, x[:, :2], verbose=0, callbacks=[callbacks.NaNPostMortem(sys.argv[2])])
else:
    print(callbacks.NaNPostMortem.reproduce(sys.argv[2], model)["name"])
"""


def test_a_fresh_process_repeats_it(tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, "-c", SCRIPT, *map(str, arguments)], capture_output=True, text=True)

    first = run("train", tmp_path)
    assert "FloatingPointError" in first.stderr and "the output of the layer 'bad'" in first.stderr
    assert run("repeat", tmp_path / "step_0.npz").stdout.strip() == "bad"


def test_a_file_of_another_model_is_refused(tmp_path):
    model = Sequential([Dense(4, input_shape=(5,)), Lambda(K.log), Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(FloatingPointError):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.NaNPostMortem(tmp_path)])
    other = Sequential([Dense(3, input_shape=(5,)), Lambda(K.log), Dense(2)])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="of another model"):
        callbacks.NaNPostMortem.reproduce(tmp_path / "step_0.npz", other)
