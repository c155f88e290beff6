"""What is left of Keras 1: old arguments of the layers, and Highway, MaxoutDense, Recurrent."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import draw

from jkeras import backend as K
from jkeras import layers, models
from jkeras.graph.topology import Input, Network
from jkeras.layers.legacy import RULES

KEY = jax.random.key(0)
DENSE = {"kernel_regularizer": "l1", "bias_constraint": "max_norm", "kernel_initializer": "normal", "use_bias": False}
STATE = {
    "kernel_initializer": "normal", "recurrent_initializer": "glorot_uniform", "recurrent_activation": "sigmoid",
    "kernel_regularizer": "l1", "recurrent_regularizer": "l2", "bias_regularizer": "l1", "dropout": 0.1,
    "recurrent_dropout": 0.2, "unit_forget_bias": True,
}  # fmt: skip
OLD_STATE = {
    "init": "normal", "inner_init": "glorot_uniform", "inner_activation": "sigmoid", "W_regularizer": "l1",
    "U_regularizer": "l2", "b_regularizer": "l1", "dropout_W": 0.1, "dropout_U": 0.2, "forget_bias_init": "one",
}  # fmt: skip


# class, old call, new call: (positional, keyword) each
CALLS = [
    ("Dense", ((), {"output_dim": 2, "input_dim": 3}), ((2,), {"input_shape": (3,)})),
    (
        "Dense",
        ((2,), {"W_regularizer": "l1", "b_constraint": "max_norm", "init": "normal", "bias": False}),
        ((2,), DENSE),
    ),
    ("Dropout", ((), {"p": 0.3}), ((0.3,), {})),
    ("SpatialDropout1D", ((), {"p": 0.3}), ((0.3,), {})),
    ("SpatialDropout2D", ((), {"p": 0.3, "dim_ordering": "th"}), ((0.3,), {"data_format": "channels_first"})),
    ("GaussianNoise", ((), {"sigma": 0.3}), ((0.3,), {})),
    ("GaussianDropout", ((), {"p": 0.3}), ((0.3,), {})),
    ("PReLU", ((), {"init": "ones"}), (("ones",), {})),
    (
        "Embedding",
        ((4, 2), {"init": "normal", "W_constraint": "non_neg"}),
        ((4, 2), {"embeddings_initializer": "normal", "embeddings_constraint": "non_neg"}),
    ),
    (
        "BatchNormalization",
        ((), {"mode": 0, "beta_init": "ones", "gamma_init": "normal"}),
        ((), {"beta_initializer": "ones", "gamma_initializer": "normal"}),
    ),
    (
        "Conv1D",
        ((5,), {"filter_length": 3, "input_dim": 3, "input_length": 4, "subsample_length": 2, "border_mode": "same"}),
        ((5, 3), {"input_shape": (4, 3), "strides": 2, "padding": "same"}),
    ),
    ("LocallyConnected1D", ((), {"nb_filter": 5, "filter_length": 3}), ((5, 3), {})),
    ("Conv2D", ((5, 3, 4), {}), ((5, (3, 4)), {})),
    ("Convolution2D", ((5, 3), {"nb_col": 4}), ((5, (3, 4)), {})),
    ("Convolution2D", ((5,), {"nb_row": 3, "nb_col": 4}), ((5, (3, 4)), {})),
    ("Convolution2D", ((), {"nb_filter": 5, "nb_row": 3, "nb_col": 4}), ((5, (3, 4)), {})),
    (
        "Conv2D",
        ((5, 3, 4), {"subsample": (2, 2), "border_mode": "same", "dim_ordering": "tf"}),
        ((5, (3, 4)), {"strides": 2, "padding": "same", "data_format": "channels_last"}),
    ),
    ("LocallyConnected2D", ((5, 3, 3), {"dim_ordering": "default"}), ((5, 3), {})),
    ("SeparableConv2D", ((5, 3, 3), {"init": "normal"}), ((5, 3), dict.fromkeys(
        ("depthwise_initializer", "pointwise_initializer"), "normal"))),
    ("Deconvolution2D", ((5, 3, 4, (6, 7, 5)), {}), ((5, (3, 4)), {})),
    ("Deconvolution2D", ((5, 3, 4), {"output_shape": (6, 7, 5), "subsample": 2}), ((5, (3, 4)), {"strides": 2})),
    ("Conv3D", ((5, 3, 4, 5), {}), ((5, (3, 4, 5)), {})),
    ("Convolution3D", ((5, 3), {"kernel_dim2": 4, "kernel_dim3": 5}), ((5, (3, 4, 5)), {})),
    ("Convolution3D", ((), {"nb_filter": 5, "kernel_dim1": 3, "kernel_dim2": 4, "kernel_dim3": 5}),
     ((5, (3, 4, 5)), {})),
    ("LSTM", ((), {"output_dim": 2, **OLD_STATE, "consume_less": "gpu"}), ((2,), {**STATE, "implementation": 2})),
    (
        "GRU",
        ((), {"output_dim": 2, "input_dim": 3, "input_length": 4, "consume_less": "mem"}),
        ((2,), {"input_shape": (4, 3), "implementation": 1}),
    ),
    ("SimpleRNN", ((2,), {"inner_init": "zeros"}), ((2,), {"recurrent_initializer": "zeros"})),
    ("ConvLSTM2D", ((5, 3, 4), {**OLD_STATE, "subsample": 2}), ((5, (3, 4)), {**STATE, "strides": 2})),
    ("MaxPooling1D", ((), {"pool_length": 3, "stride": 2, "border_mode": "same"}), ((3, 2, "same"), {})),
    (
        "AveragePooling2D",
        ((3,), {"border_mode": "same", "dim_ordering": "th"}),
        ((3,), {"padding": "same", "data_format": "channels_first"}),
    ),
    ("MaxPool3D", ((), {"border_mode": "same"}), ((), {"padding": "same"})),
    ("GlobalMaxPool2D", ((), {"dim_ordering": "th"}), ((), {"data_format": "channels_first"})),
    ("UpSampling1D", ((), {"length": 3}), ((3,), {})),
    ("UpSampling2D", ((3,), {"dim_ordering": "th"}), ((3,), {"data_format": "channels_first"})),
    ("ZeroPadding2D", (({"top_pad": 1, "right_pad": 4},), {}), ((((1, 0), (0, 4)),), {})),
    ("ZeroPadding2D", ((), {"padding": {"left_pad": 3}, "dim_ordering": "tf"}), ((((0, 0), (3, 0)),), {})),
    ("Cropping3D", ((), {"dim_ordering": "th"}), ((), {"data_format": "channels_first"})),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new"), CALLS, ids=[f"{call[0]}{at}" for at, call in enumerate(CALLS)])
def test_old_calls_give_the_same_layer(name, old, new):
    cls = getattr(layers, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = cls(*old[0], **old[1], name="same")
    assert any("Keras 2 API" in str(one.message) for one in caught)
    assert all(one.filename == __file__ for one in caught)
    assert made.get_config() == cls(*new[0], **new[1], name="same").get_config()


def test_the_warning_shows_the_new_call():
    with pytest.warns(UserWarning) as caught:
        layers.Convolution2D(64, 3, 3, border_mode="same", init=np.zeros, name="a_name_that_is_long")
    assert str(caught[0].message) == (
        'Update your `Conv2D` call to the Keras 2 API: `Conv2D(64, (3, 3), name="a_name_that_is_long", '
        'padding="same", kernel_initializer=<built-in ...)`'
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.Dense(output_dim=3, units=4), TypeError, "both the legacy keyword argument `output_dim`"),
        (lambda: layers.Conv2D(5, 3, 3, padding="same"), ValueError, "It seems that you are using the Keras 2"),
        (lambda: layers.Conv2D(5, 3, 3, "same"), TypeError, "at most 3 positional arguments"),
        (lambda: layers.Conv3D(5, 3, 3), TypeError, "at most 4 positional arguments"),
        (lambda: layers.BatchNormalization(1e-3), TypeError, "does not accept positional arguments"),
        (lambda: layers.BatchNormalization(mode=1), TypeError, "no longer exists"),
        (lambda: layers.Dense(2, nb_filter=3), TypeError, "not understood: 'nb_filter'"),
    ],
)
def test_wrong_old_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Embedding(4, 2, dropout=0.2), "SpatialDropout1D"),
        (lambda: layers.LSTM(2, forget_bias_init="zero"), "has been ignored"),
        (lambda: layers.ConvLSTM2D(2, 2, forget_bias_init="zero"), "has been ignored"),
    ],
)
def test_arguments_that_are_gone(call, message):
    with pytest.warns(UserWarning, match=message) as caught:
        call()
    assert [one.filename for one in caught] == [__file__]


def test_signatures_stay_and_new_calls_are_silent():
    assert set(RULES) <= set(vars(layers))
    assert list(inspect.signature(layers.Dense).parameters)[:3] == ["units", "activation", "use_bias"]
    assert "units" in layers.Dense._config_names()

    class Mine(layers.Dense):
        def __init__(self, size, **kwargs):
            super().__init__(size, **kwargs)

    assert Mine(3).get_config()["units"] == 3
    with pytest.warns(UserWarning, match="Update your `Mine` call"):
        assert Mine(3, init="zeros").kernel_initializer.get_config() == {}


# --------------------------------------------------------------------------------------------------------- old layers


def highway(x, W, W_carry, b, b_carry):
    gate = 1 / (1 + np.exp(-(x @ W_carry + b_carry)))
    return gate * np.tanh(x @ W + b) + (1 - gate) * x


OLD_LAYERS = {
    "highway": (lambda **kw: layers.Highway(activation="tanh", **kw), highway, ["W", "W_carry", "b", "b_carry"]),
    "maxout": (
        lambda **kw: layers.MaxoutDense(3, nb_feature=5, **kw),
        lambda x, W, b: np.max(np.stack([x @ one for one in W], 1) + b, axis=1),
        ["W", "b"],
    ),
}


@pytest.mark.parametrize("name", OLD_LAYERS)
def test_old_layers(name):
    make, formula, names = OLD_LAYERS[name]
    with pytest.warns(UserWarning, match="deprecated"):
        layer = make(input_dim=4, init="normal", W_regularizer="l2", name="old")
    model = models.Sequential([layer])
    assert [weight.name for weight in model.weights] == [f"old/{one}:0" for one in names]
    model.set_weights([draw(*weight.shape, seed=at) for at, weight in enumerate(model.weights)])
    x = draw(3, 4)
    np.testing.assert_allclose(model.predict(x), formula(x, *model.get_weights()), rtol=1e-5, atol=1e-6)
    config = layer.get_config()
    assert config["init"]["class_name"] == "RandomNormal"
    assert config["W_regularizer"]["class_name"] == "L1L2"
    with pytest.warns(UserWarning, match="deprecated"):
        again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == config
    with pytest.warns(UserWarning, match="deprecated"):
        start = make(input_dim=4, weights=model.get_weights())
    np.testing.assert_allclose(models.Sequential([start]).predict(x), model.predict(x))


def test_highway_starts_open_and_without_bias():
    with pytest.warns(UserWarning, match="deprecated"):
        params, _ = layers.Highway(bias=False).init(KEY, (None, 4))
        assert list(params) == ["W", "W_carry"]
        np.testing.assert_array_equal(layers.Highway().init(KEY, (None, 4))[0]["b_carry"], np.ones(4))


class Decay(layers.Recurrent):
    """h = rate * h + x W: an old-style layer of the user."""

    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate

    def build(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        self.input_spec = [layers.InputSpec(shape=(shape[0] if self.stateful else None, None, shape[2]))]
        self.states = [None]
        if self.stateful:
            self.reset_states()
        self.kernel = self.add_weight(shape=(shape[2], self.units), name="kernel", initializer="uniform")
        self.built = True

    def get_constants(self, inputs, training=None):
        return [K.cast_to_floatx(self.rate)]

    def step(self, inputs, states):
        output = states[0] * states[1] + K.dot(inputs, self.kernel)
        return output, [output]


def decay(x, kernel, start=0.0, rate=0.5):
    outputs, state = [], start
    for time in range(x.shape[1]):
        state = rate * state + x[:, time] @ kernel
        outputs.append(state)
    return np.stack(outputs, 1)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_recurrent_of_the_user(sequences, unroll):
    layer = Decay(2, return_sequences=sequences, unroll=unroll)
    x = draw(3, 4, 5)
    model = models.Sequential([layers.Dense(5, input_shape=(4, 5), kernel_initializer="identity"), layer])
    expected = decay(x, layer.get_weights()[0])
    np.testing.assert_allclose(model.predict(x), expected if sequences else expected[:, -1], rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    before = layer.get_weights()[0]
    model.train_on_batch(x, np.zeros(model.predict(x).shape))
    assert not np.allclose(before, layer.get_weights()[0])


def test_recurrent_states_masks_and_initial_states():
    x, start = draw(3, 4, 5), draw(3, 2, seed=1)
    inputs, first = Input((4, 5)), Input((2,))
    layer = Decay(2, return_state=True)
    model = Network([inputs, first], layer(inputs, initial_state=first))
    params, state = model.init(KEY)
    output, last = model.apply(params, state, [x, start])[0]
    expected = decay(x, jax.tree.leaves(params)[0], start)[:, -1]
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-6)

    x[:, 2:] = 0
    masked = models.Sequential([layers.Masking(input_shape=(4, 5)), Decay(2)])
    expected = decay(x[:, :2], masked.get_weights()[0])[:, -1]
    np.testing.assert_allclose(masked.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_recurrent_stateful():
    x = draw(3, 4, 5)
    layer = Decay(2, stateful=True, batch_input_shape=(3, 2, 5))
    model = models.Sequential([layer])
    assert len(model.get_weights()) == 1
    expected = decay(x, layer.get_weights()[0])
    halves = [model.predict(half, batch_size=3) for half in (x[:, :2], x[:, 2:])]
    np.testing.assert_allclose(halves[1], expected[:, -1], rtol=1e-5, atol=1e-6)
    model.reset_states()
    np.testing.assert_allclose(model.predict(x[:, :2], batch_size=3), halves[0], rtol=1e-6)
    layer.reset_states([np.ones((3, 2))])
    expected = decay(x[:, :2], layer.get_weights()[0], 1.0)[:, -1]
    np.testing.assert_allclose(model.predict(x[:, :2], batch_size=3), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected shape=\(3, 2\)"):
        layer.reset_states([np.ones((2, 2))])


def test_conv_recurrent_config():
    config = layers.ConvRecurrent2D(2, 3, return_state=True).get_config()
    assert {"kernel_size": (3, 3), "filters": 2, "return_state": True, "unroll": False}.items() <= config.items()
    with pytest.raises(NotImplementedError, match="no `step"):
        layers.Recurrent().step(jnp.ones(1), [])
