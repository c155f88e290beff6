"""CuDNNGRU and CuDNNLSTM: the same numbers as GRU and LSTM, from weights in cuDNN's layout."""

import numpy as np
import pytest
from kit import close, draw

from jkeras import layers, models
from jkeras.layers.cudnn_recurrent import convert_weights

# fmt: off
PAIRS = {
    "LSTM": (layers.CuDNNLSTM, lambda units, **kw: layers.LSTM(units, recurrent_activation="sigmoid", **kw)),
    "GRU": (
        layers.CuDNNGRU, lambda units, **kw: layers.GRU(units, recurrent_activation="sigmoid", reset_after=True, **kw)
    ),
}
# fmt: on
pairs = pytest.mark.parametrize("kind", PAIRS)


def canonical(layer, x):
    """The layer's last output in plain numpy, its weights read as cuDNN reads them: (units, size) per gate."""
    kernel, recurrent_kernel, bias = layer.get_weights()
    units = layer.units
    gates = kernel.shape[1] // units
    w = [part.reshape(-1).reshape(units, -1) for part in np.split(kernel, gates, axis=1)]
    r = [part.reshape(-1).reshape(units, units) for part in np.split(recurrent_kernel, gates, axis=1)]
    bw, br = bias.reshape(2, gates, units)
    h = c = np.zeros((len(x), units))

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    for step in np.moveaxis(x, 1, 0):
        a = [step @ w[at].T + bw[at] for at in range(gates)]
        b = [h @ r[at].T + br[at] for at in range(gates)]
        if gates == 4:
            i, f, o = (sigmoid(a[at] + b[at]) for at in (0, 1, 3))
            c = f * c + i * np.tanh(a[2] + b[2])
            h = o * np.tanh(c)
        else:
            z, r_gate = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            h = z * h + (1 - z) * np.tanh(a[2] + r_gate * b[2])
    return h


def model_of(make, **arguments):
    """A model of one layer with drawn weights."""
    inputs = layers.Input(batch_shape=(2, 4, 5))
    model = models.Model(inputs, make(3, **arguments)(inputs))
    model.set_weights([draw(*weight.shape, seed=at) for at, weight in enumerate(model.weights)])
    return model


@pairs
def test_numbers_are_those_of_cudnn(kind):
    x = draw(2, 4, 5)
    model = model_of(PAIRS[kind][0])
    close(model.predict(x), canonical(model.layers[1], x), 1e-4)


@pairs
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"return_sequences": True},
        {"go_backwards": True, "return_sequences": True},
        {"return_state": True},
        {"stateful": True},
    ],
    ids=lambda arguments: "-".join(arguments) or "last",
)
def test_numbers_are_those_of_the_plain_layer(kind, arguments):
    cudnn, plain = (model_of(make, **arguments) for make in PAIRS[kind])
    plain.set_weights(convert_weights(plain.layers[1], cudnn.get_weights()))
    x = draw(2, 4, 5)
    for _ in range(2):
        close(cudnn.predict(x, batch_size=2), plain.predict(x, batch_size=2))
    back = convert_weights(cudnn.layers[1], plain.get_weights())
    close(back[:2], cudnn.get_weights()[:2], 0)
    cudnn.set_weights(back)
    cudnn.reset_states()
    plain.reset_states()
    close(cudnn.predict(x, batch_size=2), plain.predict(x, batch_size=2))


@pairs
def test_training_follows_the_plain_layer(kind):
    cudnn, plain = (model_of(make) for make in PAIRS[kind])
    plain.set_weights(convert_weights(plain.layers[1], cudnn.get_weights()))
    x, y = draw(2, 4, 5), draw(2, 3, seed=9)
    losses = []
    for model in (cudnn, plain):
        model.compile("sgd", "mse")
        losses.append(model.train_on_batch(x, y))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    close(convert_weights(plain.layers[1], cudnn.get_weights())[:2], plain.get_weights()[:2], 1e-4)


@pairs
def test_weights_and_config(kind):
    cls = PAIRS[kind][0]
    layer = cls(3, go_backwards=True, kernel_regularizer="l2", input_shape=(4, 5), name="fast")
    model = models.Sequential([layer])
    gates = 4 if kind == "LSTM" else 3
    assert [(weight.name, weight.shape) for weight in model.weights] == [
        ("fast/kernel:0", (5, 3 * gates)),
        ("fast/recurrent_kernel:0", (3, 3 * gates)),
        ("fast/bias:0", (6 * gates,)),
    ]
    assert layer.kernel is model.weights[0]
    forget = np.zeros(6 * gates)
    if kind == "LSTM":
        forget[15:18] = 1
    np.testing.assert_array_equal(layer.get_weights()[2], forget)
    config = layer.get_config()
    assert config["go_backwards"]
    assert not {"unroll", "activation", "implementation", "cell"} & set(config)
    assert cls.from_config(config).get_config() == config


@pairs
def test_bidirectional(kind):
    model = models.Sequential([layers.Bidirectional(PAIRS[kind][0](3), input_shape=(4, 5))])
    assert model.predict(draw(2, 4, 5)).shape == (2, 6)


@pairs
def test_masks_are_refused(kind):
    with pytest.raises(ValueError, match="Masking is not supported for CuDNN RNNs"):
        models.Sequential([layers.Masking(input_shape=(4, 5)), PAIRS[kind][0](3)])


@pytest.mark.parametrize(
    ("layer", "bias", "message"),
    [
        (lambda: layers.LSTM(3), (7,), "Invalid bias shape"),
        (lambda: layers.GRU(3), (18,), "CuDNNGRU is not compatible with GRU.reset_after=False"),
        (lambda: layers.CuDNNGRU(3), (9,), "GRU.reset_after=False. is not compatible with CuDNNGRU"),
    ],
)
def test_weights_that_cannot_be_converted(layer, bias, message):
    gates = 4 if bias == (7,) else 3
    with pytest.raises(ValueError, match=message):
        convert_weights(layer(), [np.zeros((5, 3 * gates)), np.zeros((3, 3 * gates)), np.zeros(bias)])


def test_other_weights_stay():
    weights = [np.ones((2, 3)), np.ones(3)]
    assert convert_weights(layers.Dense(3), weights) == weights
    assert convert_weights(layers.LSTM(3, use_bias=False), weights) == weights
