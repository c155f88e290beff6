"""TimeDistributed and Bidirectional around layers, models and layers of the user."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, draw

from jkeras import layers, random
from jkeras.graph.topology import Input, Network

KEY = jax.random.key(0)


class Scale(layers.Layer):
    """A layer in Keras style."""

    def build(self, input_shape):
        self.factor = self.add_weight("factor", (input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, inputs):
        self.add_loss(jnp.sum(inputs))
        return inputs * self.factor.value


def model():
    x = Input((4,))
    return Network(x, layers.Dense(2, activity_regularizer="l2")(layers.Dense(3, activation="tanh")(x)))


INNER = {
    "dense": (lambda: layers.Dense(3, activation="tanh"), (4,), (3,)),
    "flatten": (lambda: layers.Flatten(), (3, 2), (6,)),
    "convolution": (lambda: layers.Conv2D(2, 2), (4, 4, 3), (3, 3, 2)),
    "lstm": (lambda: layers.LSTM(3), (4, 2), (3,)),
    "nested": (lambda: layers.TimeDistributed(layers.Dense(3)), (3, 4), (3, 3)),
    "both_ways": (lambda: layers.Bidirectional(layers.SimpleRNN(3)), (3, 4), (6,)),
    "model": (model, (4,), (2,)),
    "keras_style": (Scale, (4,), (4,)),
}


@pytest.mark.parametrize("name", INNER)
def test_every_step_is_an_example(name):
    make, size, out = INNER[name]
    layer = layers.TimeDistributed(make())
    assert layer.compute_output_shape((None, None, *size)) == (None, None, *out)
    x = draw(2, 3, *size)
    params, state = layer.init(KEY, x.shape)
    output, _ = layer.apply(params, state, x)
    assert output.shape == (2, 3, *out)
    for time in range(3):
        close(output[:, time], layer.layer.apply(params.get("layer", {}), {}, x[:, time])[0])


def test_batch_normalization_over_all_steps():
    layer = layers.TimeDistributed(layers.BatchNormalization())
    x = draw(4, 3, 5)
    params, state = layer.init(KEY, x.shape)
    output, after = layer.apply(params, state, x, training=True)
    flat, inner = layer.layer.apply(params["layer"], state["layer"], x.reshape(12, 5), training=True)
    close(output, flat.reshape(4, 3, 5))
    close(after["layer"], inner)


def test_dropout_differs_between_steps_and_not_with_the_split():
    layer = layers.TimeDistributed(layers.Dropout(0.5))
    x = np.ones((4, 3, 50), "float32")
    whole, _ = layer.apply({}, {}, x, key=KEY, training=True)
    part, _ = layer.apply({}, {}, x[2:], key=random.as_key(KEY).at(2), training=True)
    close(whole[2:], part)
    assert not np.allclose(whole[:, 0], whole[:, 1])


def test_losses_of_the_layer_inside():
    x = draw(2, 3, 4)
    dense = layers.TimeDistributed(layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l1"))
    i = Input((3, 4))
    network = Network(i, dense(i))
    params, state = network.init(KEY)
    call = network.run(params, state, x)
    assert float(sum(call.losses)) == pytest.approx(0.01 * float(jnp.sum(call.outputs**2)), rel=1e-5)
    kernel = params["time_distributed_1"]["layer"]["kernel"]
    assert [float(p) for p in network.regularization(params)] == pytest.approx([0.01 * np.abs(kernel).sum()], rel=1e-5)
    nested = layers.TimeDistributed(model())
    call = nested.run(*nested.init(KEY, x.shape), x)
    assert float(sum(call.losses)) == pytest.approx(0.01 * float(jnp.sum(call.outputs**2)), rel=1e-5)
    scale = layers.TimeDistributed(Scale())
    params, state = scale.init(KEY, x.shape)
    assert float(sum(scale.run(params, state, x).losses)) == pytest.approx(float(x.sum()), rel=1e-4)


PENALIZED = {
    "time": lambda: layers.TimeDistributed(layers.Dense(2, activity_regularizer="l2")),
    "time_nested": lambda: layers.TimeDistributed(layers.TimeDistributed(layers.Dense(2, activity_regularizer="l2"))),
    "time_recurrent": lambda: layers.TimeDistributed(layers.LSTM(2, activity_regularizer="l2")),
    "both_ways": lambda: layers.Bidirectional(layers.LSTM(2, activity_regularizer="l2")),
    "both_ways_list": lambda: layers.Bidirectional(layers.GRU(2, activity_regularizer="l2"), merge_mode=None),
    "both_ways_states": lambda: layers.Bidirectional(
        layers.LSTM(2, activity_regularizer="l2", return_state=True), merge_mode="sum"
    ),
}


@pytest.mark.parametrize("name", PENALIZED)
def test_the_penalty_inside_is_one_of_the_outputs_outside(name):
    """As in Keras 2.2.4: of all outputs of the wrapper, once."""
    layer = PENALIZED[name]()
    x = draw(2, 3, 4, 5) if name in ("time_nested", "time_recurrent") else draw(2, 3, 4)
    call = layer.run(*layer.init(KEY, x.shape), x)
    assert float(sum(call.losses)) == pytest.approx(
        0.01 * sum(float(jnp.sum(one**2)) for one in jax.tree.leaves(call.outputs)), rel=1e-5
    )


def test_masks_of_steps():
    x = np.zeros((2, 3, 4, 5), "float32")
    mask = np.array([[[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]] * 2, bool)
    over_dense = layers.TimeDistributed(layers.TimeDistributed(layers.Dense(2)))
    close(over_dense.compute_mask(x, mask), mask)
    over_lstm = layers.TimeDistributed(layers.LSTM(2))
    close(over_lstm.compute_mask(x, mask), mask.any(-1))
    assert over_lstm.compute_mask(x, None) is None
    over_masking = layers.TimeDistributed(layers.Masking())
    close(over_masking.compute_mask(x, None), np.zeros((2, 3, 4), bool))
    params, state = over_lstm.init(KEY, x.shape)
    masked, _ = over_lstm.apply(params, state, x + 1, mask=mask)
    cut, _ = over_lstm.apply(params, state, x[:, :, :1] + 1)
    close(masked[:, 2], cut[:, 2])
    close(masked[:, 1], np.zeros((2, 2)))


# ------------------------------------------------------------------------------------------------------- Bidirectional

MERGES = {
    "sum": np.add,
    "mul": np.multiply,
    "ave": lambda f, b: (f + b) / 2,
    "concat": lambda f, b: np.concatenate([f, b], -1),
    None: lambda f, b: [f, b],
}


class Cell(layers.Layer):
    """A cell in Keras style, which no table of layers knows."""

    state_size = 4

    def __init__(self, activation=None, **kwargs):
        self.activation = activation
        super().__init__(**kwargs)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}

    def call(self, inputs, states):
        output = inputs + 0.5 * states[0]
        return output, [output]


def own_activation(x):
    return jnp.tanh(2 * x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.LSTM(3, return_sequences=True, return_state=True),
        lambda: layers.GRU(3, go_backwards=True, activation=own_activation),
        lambda: layers.RNN([Cell(), layers.SimpleRNNCell(3)], return_sequences=True),
    ],
)
@pytest.mark.parametrize("mode", MERGES)
def test_both_ways(mode, make):
    layer = layers.Bidirectional(make(), merge_mode=mode)
    x = draw(2, 5, 4)
    params, state = layer.init(KEY, x.shape)
    outputs, _ = layer.apply(params, state, x)
    inner = layer.layer
    forward, *states = np_list(inner.apply(params["forward_layer"], {}, x)[0])
    inner.go_backwards = not inner.go_backwards
    backward, *more = np_list(inner.apply(params["backward_layer"], {}, x)[0])
    if inner.return_sequences:
        backward = backward[:, ::-1]
    merged = np_list(MERGES[mode](forward, backward))
    close(np_list(outputs), [*merged, *states, *more])
    mask = np.ones((2, 5), bool)
    masks = np_list(layer.compute_mask(x, mask))  # the sequences' own; none for what is left of them, nor for states
    sequences = len(merged) if inner.return_sequences else 0
    assert [one is mask for one in masks] == [True] * sequences + [False] * (len(masks) - sequences)
    assert len(masks) == len(np_list(outputs)) or (sequences, masks) == (0, [None])
    assert all(one is None for one in np_list(layer.compute_mask(x, None)))


def np_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def test_mask():
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    layer = layers.Bidirectional(layers.LSTM(3))
    x = draw(2, 5, 4)
    params, state = layer.init(KEY, x.shape)
    close(layer.apply(params, state, x, mask=mask)[0][:1], layer.apply(params, state, x[:1, :2])[0])
    assert layer.compute_mask(x, mask) is None
    layer = layers.Bidirectional(layers.LSTM(3, return_sequences=True, return_state=True), None)
    assert [m is mask for m in layer.compute_mask(x, mask)] == [True, True, False, False, False, False]


def test_initial_states():
    x, states = Input((5, 4)), [Input((3,)) for _ in range(4)]
    layer = layers.Bidirectional(layers.LSTM(3), weights=[draw(*s) for s in [(4, 12), (3, 12), (12,)] * 2])
    network = Network([x, *states], layer(x, initial_state=states))
    close(layer.get_weights()[3], draw(4, 12))
    values = [draw(2, 5, 4), *(draw(2, 3, seed=seed) for seed in range(4))]
    params, state = jax.tree.map(lambda v: v.value, network.variables())
    output, _ = network.apply(params, state, values)
    inner = params["bidirectional_1"]
    forward = layers.LSTM(3).apply(inner["forward_layer"], {}, values[:3])[0]
    backward = layers.LSTM(3, go_backwards=True).apply(inner["backward_layer"], {}, [values[0], *values[3:]])[0]
    close(output, np.concatenate([forward, backward], -1))


def test_states_of_a_stateful_layer():
    x, layer = Input(batch_shape=(2, 5, 4)), layers.Bidirectional(layers.GRU(3, stateful=True))
    network = Network(x, layer(x))
    assert not network.stateful
    _, state = network.apply(*network.init(KEY), draw(2, 5, 4))
    for variable, value in zip(
        jax.tree.leaves(network.variables()[1]), jax.tree.leaves(state), strict=True
    ):  # fmt: skip
        assert value.any()
        variable.value = value
    layer.reset_states()
    assert not np.any(layer.forward_layer.states[0].numpy())


def test_dropout_of_the_two_layers_differs():
    layer = layers.Bidirectional(layers.SimpleRNN(4, "linear", False, "identity", "zeros", dropout=0.5), None)
    x = np.ones((50, 1, 4), "float32")
    params, state = layer.init(KEY, x.shape)
    forward, backward = layer.apply(params, state, x, key=KEY, training=True)[0]
    assert not np.allclose(forward, backward)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: layers.TimeDistributed(layers.Dense(3), name="w"), ["w/kernel:0", "w/bias:0"]),
        (
            lambda: layers.Bidirectional(layers.SimpleRNN(3, name="r", use_bias=False), name="w"),
            [f"w/{way}_r/{name}:0" for way in ("forward", "backward") for name in ("kernel", "recurrent_kernel")],
        ),
    ],
)
def test_names_and_configs(make, names):
    layer = make()
    layer(Input((5, 4)))
    assert [w.name for w in layer.weights] == names
    config = layer.get_config()
    assert set(config) == {"name", "trainable", "layer"} | ({"merge_mode"} & set(config))
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == config
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(names)


def test_custom_objects():
    layer = layers.TimeDistributed(layers.RNN(Cell()))
    again = layers.deserialize(layers.serialize(layer), custom_objects={"Cell": Cell})
    assert again.get_config() == layer.get_config()


def test_making_a_wrapper_sets_trainable():
    dense, recurrent = layers.Dense(3, trainable=False), layers.LSTM(3, trainable=False)
    assert layers.TimeDistributed(dense).trainable
    assert dense.trainable
    assert layers.Bidirectional(recurrent).forward_layer.trainable
    assert not recurrent.trainable
    assert not layers.Bidirectional(recurrent, trainable=False).backward_layer.trainable


class Doubled(layers.TimeDistributed):
    """Extends a wrapper by its own `call`."""

    def call(self, inputs):
        return 2 * super().call(inputs)


def test_a_wrapper_extended_by_the_user():
    layer, plain = Doubled(Scale()), layers.TimeDistributed(Scale())
    x = draw(2, 3, 4)
    network = Network(i := Input((3, 4)), layer(i))
    params, state = network.init(KEY)
    call = network.run(params, state, x)
    inner = params["doubled_1"]
    close(call.outputs, 2 * plain.apply(inner, {}, x)[0])
    assert float(sum(call.losses)) == pytest.approx(float(x.sum()), rel=1e-4)


class Twice(layers.Wrapper):
    """A wrapper in Keras style."""

    def call(self, inputs):
        return self.layer(self.layer(inputs))


def test_wrapper_of_the_user():
    layer = Twice(layers.Dense(4))
    x = Input((4,))
    network = Network(x, layer(x))
    assert [w.name for w in network.weights] == [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]
    params, state = network.init(KEY)
    kernel = params["twice_1"]["layer"]["kernel"]
    close(network.apply(params, state, draw(2, 4))[0], draw(2, 4) @ kernel @ kernel)


ERRORS = {
    "not_a_layer": (lambda: layers.TimeDistributed(3), "wraps a layer"),
    "rank": (lambda: layers.TimeDistributed(layers.Dense(3))(Input((4,))), "min_ndim=3"),
    "merge_mode": (lambda: layers.Bidirectional(layers.LSTM(3), "both"), "Invalid merge mode"),
    "not_recurrent": (lambda: layers.Bidirectional(layers.Dense(3)), "wraps a recurrent layer"),
    "odd_states": (
        lambda: layers.Bidirectional(layers.GRU(3))(Input((5, 4)), initial_state=[Input((3,))]),
        "containing the states of the underlying RNNs",
    ),
    "states": (
        lambda: layers.Bidirectional(layers.GRU(3))(Input((5, 4)), initial_state=[Input((3,)), Input((2,))]),
        "not compatible with",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        make()
