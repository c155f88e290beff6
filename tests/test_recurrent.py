"""Recurrent layers and cells: their numbers re-derived in numpy, masks, dropout, states, cells that users write."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, draw

from jkeras import batch, layers, random
from jkeras.graph.tensor import Variable
from jkeras.graph.topology import Input, Network
from jkeras.layers.kernels import rnn

KEY = jax.random.key(0)


MASK = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)


def filled(params):
    """Weights of the given shapes that are nowhere zero, biases included."""
    return jax.tree.map(lambda leaf: 0.5 * draw(*leaf.shape, seed=leaf.size), params)


# ------------------------------------------------------------------------------------------------ the formulas in numpy


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def simple(weights, x, states):
    h = np.tanh(x @ weights["kernel"] + states[0] @ weights["recurrent_kernel"] + weights.get("bias", 0))
    return h, [h]


def gru(weights, x, states, reset_after=False):
    units, h = states[0].shape[1], states[0]
    bias = weights.get("bias", np.zeros((2, 1)) if reset_after else 0)
    inner, outer = (bias[0], bias[1]) if reset_after else (bias, 0)
    a, u = x @ weights["kernel"] + inner, weights["recurrent_kernel"]
    b = h @ u + outer
    z = hard_sigmoid(a[:, :units] + b[:, :units])
    r = hard_sigmoid(a[:, units : 2 * units] + b[:, units : 2 * units])
    candidate = r * b[:, 2 * units :] if reset_after else (r * h) @ u[:, 2 * units :]
    h = z * h + (1 - z) * np.tanh(a[:, 2 * units :] + candidate)
    return h, [h]


def lstm(weights, x, states):
    h, c = states
    i, f, g, o = np.split(x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights.get("bias", 0), 4, axis=1)
    c = hard_sigmoid(f) * c + hard_sigmoid(i) * np.tanh(g)
    h = hard_sigmoid(o) * np.tanh(c)
    return h, [h, c]


def expected(step, weights, x, states, mask=None, go_backwards=False):
    """All outputs, and the last states."""
    outputs = []
    for t in reversed(range(x.shape[1])) if go_backwards else range(x.shape[1]):
        output, new = step(weights, x[:, t], states)
        if mask is not None:
            keep = mask[:, t, None]
            output = np.where(keep, output, states[0])
            new = [np.where(keep, n, s) for n, s in zip(new, states, strict=True)]
        states = new
        outputs.append(output)
    return np.stack(outputs, 1), states


KINDS = {
    "simple": (layers.SimpleRNN, simple, {}),
    "simple_no_bias": (layers.SimpleRNN, simple, {"use_bias": False}),
    "gru": (layers.GRU, gru, {}),
    "gru_2": (layers.GRU, gru, {"implementation": 2}),
    "gru_reset_after": (layers.GRU, lambda *a: gru(*a, reset_after=True), {"reset_after": True}),
    "lstm": (layers.LSTM, lstm, {}),
    "lstm_2": (layers.LSTM, lstm, {"implementation": 2, "use_bias": False}),
}
WAYS = {
    "loop": ({}, None),
    "backwards": ({"go_backwards": True}, None),
    "unrolled": ({"unroll": True}, None),
    "masked": ({}, MASK),
    "masked_backwards": ({"go_backwards": True}, MASK),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_numbers(kind, way):
    cls, step, arguments = KINDS[kind]
    options, mask = WAYS[way]
    x, states = draw(3, 5, 4), [draw(3, 2, seed=1), draw(3, 2, seed=2)][: 2 if cls is layers.LSTM else 1]
    layer = cls(2, return_sequences=True, return_state=True, **arguments, **options)
    params, state = layer.init(KEY, x.shape)
    params = filled(params)
    outputs, last = expected(step, params["cell"], x, states, mask, layer.go_backwards)
    close(layer.apply(params, state, x, mask=mask, initial_state=states)[0], [outputs, *last])
    layer.return_sequences = layer.return_state = False
    zeros = [np.zeros_like(one) for one in states]
    outputs, _ = expected(step, params["cell"], x, zeros, mask, layer.go_backwards)
    close(layer.apply(params, state, x, mask=mask)[0], outputs[:, -1])


@pytest.mark.parametrize(
    ("cls", "mask", "arguments"),
    [
        (layers.LSTM, MASK, {"return_sequences": True}),
        (layers.LSTM, None, {"use_bias": False, "activation": "relu", "go_backwards": True}),
        (layers.GRU, None, {"recurrent_activation": "sigmoid", "return_sequences": True}),
        (layers.GRU, MASK, {"reset_after": True}),
    ],
)
def test_gradients_of_whole_sequences_are_those_of_the_loop(cls, mask, arguments, monkeypatch):
    layer = cls(2, return_state=True, **arguments)
    x = draw(3, 5, 4)
    params, state = layer.init(KEY, x.shape)
    states = [draw(3, 2, seed=seed) for seed, _ in enumerate(layer.states)]

    def total(params, x, states):
        outputs, _ = layer.apply(params, state, x, mask=mask, initial_state=states)
        return sum(jnp.sum(jnp.sin(output + place)) for place, output in enumerate(outputs))

    def derivatives(params, x, states):
        first = jax.grad(total, (0, 1, 2))
        second = jax.grad(lambda x: jnp.sum(jax.grad(total, 1)(params, x, states) ** 2))
        forward = jax.jvp(total, (params, x, states), (params, jnp.ones_like(x), states))
        return jax.vmap(lambda x: first(params, x, states))(jnp.stack([x, 2 * x])), second(x), forward

    swept = jax.jit(derivatives)(filled(params), x, states)
    monkeypatch.setattr(type(layer), "_sweeps", lambda *a: False)
    close(swept, jax.jit(lambda *a: derivatives(*a))(filled(params), x, states), 1e-4)


def test_softmax_is_not_elementwise():
    layer = layers.LSTM(2, activation="softmax")
    params, state = layer.init(KEY, (3, 5, 4))
    x = draw(3, 5, 4)
    looped = layers.LSTM(2, activation="softmax", unroll=True)
    grads = [jax.grad(lambda p, one=one: jnp.sum(one.apply(p, state, x)[0] ** 2))(params) for one in (layer, looped)]
    close(*grads)


def test_stacked_cells_masked():
    """In the loop a masked step outputs the first state of all, unrolled the previous output."""
    cells = [layers.SimpleRNNCell(3), layers.SimpleRNNCell(3)]
    layer = layers.RNN(cells, return_sequences=True, return_state=True)
    x = draw(3, 5, 4)
    params, state = layer.init(KEY, x.shape)
    outputs, first, second = layer.apply(params, state, x, mask=MASK)[0]
    close(outputs[0, 4], first[0])
    close(outputs[0, 3], second[0])
    layer.unroll = True
    outputs, _, second = layer.apply(params, state, x, mask=MASK)[0]
    close(outputs[0, 4], second[0])
    close(outputs[2], np.zeros((5, 3)))


@pytest.mark.parametrize("reverse", [False, True])
def test_stacked_cells(reverse):
    stack = layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)], reverse_state_order=reverse)
    assert stack.state_size == ((2, 3, 3) if reverse else (3, 3, 2))
    assert stack.output_size == 2
    x = draw(3, 5, 4)
    layer = layers.RNN(stack, return_state=True)
    params, state = layer.init(KEY, x.shape)
    output, *states = layer.apply(params, state, x)[0]
    cells = params["cell"]
    middle, lasts = expected(lstm, cells["cell_0"], x, [np.zeros((3, 3))] * 2)
    outputs, last = expected(gru, cells["cell_1"], middle, [np.zeros((3, 2))])
    close(output, outputs[:, -1])
    close(states, last + lasts if reverse else lasts + last)
    layer(Input((5, 4)))
    assert [weight.shape for weight in layer.weights][3:] == [(3, 6), (2, 6), (6,)]


# ------------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("cls", [layers.GRU, layers.LSTM])
def test_dropout(cls, implementation):
    layer = cls(6, dropout=0.5, recurrent_dropout=0.5, implementation=implementation, return_sequences=True)
    x = draw(4, 5, 3)
    params, state = layer.init(KEY, x.shape)

    @jax.jit
    def train(key, x=x):
        return layer.apply(params, state, x, key=key, training=True)[0]

    close(train(KEY), train(KEY))
    assert not np.allclose(train(KEY), train(jax.random.key(1)))
    close(train(random.as_key(KEY).at(2), x[2:]), train(KEY)[2:])
    with pytest.raises(ValueError, match="given no key"):
        layer.apply(params, state, x, training=True)


@pytest.mark.parametrize(("implementation", "masks"), [(1, 4), (2, 1)])
def test_dropout_masks(implementation, masks):
    """Each gate has its own mask, or all share one; it is the same at all time steps and scaled to keep the mean."""
    cell = layers.LSTMCell(3, dropout=0.5, implementation=implementation)
    params, _ = cell.init(KEY, (2000, 1))
    params = jax.tree.map(np.ones_like, params)
    x, states = np.ones((2000, 1), "float32"), [np.zeros((2000, 3), "float32")] * 2
    step = cell.bind(params, {}, x, states, key=KEY, training=True)
    close(step(x, states, 0), step(x, states, 7))
    drawn = cell._mask(random.as_key(KEY), x, 0.5)
    assert drawn.shape == (2000, masks, 1)
    assert set(np.unique(drawn)) == {0.0, 2.0}
    assert abs(float(drawn.mean()) - 1) < 0.1


def test_simple_rnn_dropout_is_the_same_at_all_steps():
    layer = layers.SimpleRNN(
        6, "linear", False, "identity", "zeros", dropout=0.5, return_sequences=True
    )  # fmt: skip
    x = np.ones((8, 7, 6), "float32")
    params, state = layer.init(KEY, x.shape)
    y = np.asarray(layer.apply(params, state, x, key=KEY, training=True)[0])
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()
    assert not (y == y[:1]).all()


# -------------------------------------------------------------------------------------------------------------- states


def test_initial_states_are_inputs():
    x, h, c = Input((5, 4)), Input((3,)), Input((3,))
    by_name, by_list = layers.LSTM(3, name="a"), layers.LSTM(3, name="b")
    models = [Network([x, h, c], by_name(x, initial_state=[h, c])), Network([x, h, c], by_list([x, h, c]))]
    models[1].set_weights(models[0].get_weights())
    values = [draw(2, 5, 4), draw(2, 3, seed=1), draw(2, 3, seed=2)]
    outputs = []
    for model in models:
        params, state = jax.tree.map(lambda v: v.value, model.variables())
        outputs.append(model.apply(params, state, values)[0])
        assert model.layers[-1]._inbound_nodes[0].arguments == {}
    close(*outputs)
    close(outputs[0], expected(lstm, arrays_by_name(by_name), values[0], values[1:])[1][0])


def arrays_by_name(layer):
    return {name: variable.numpy() for name, variable in layer.variables()[0]["cell"].items()}


@pytest.mark.parametrize("wrap", [lambda a: Variable(a.shape, "float32", "v", value=a), lambda a: a])
def test_initial_states_are_values(wrap):
    x, layer, h = Input((5, 4)), layers.GRU(3), draw(2, 3)
    model = Network(x, layer(x, initial_state=wrap(h)))
    value = draw(2, 5, 4)
    params, state = model.init(KEY)
    output, _ = model.apply(params, state, value)
    close(output, expected(gru, params["gru_1"]["cell"], value, [h])[1][0])


@pytest.mark.parametrize("make", [lambda: layers.LSTM(3, stateful=True), lambda: layers.RNN(
    [layers.LSTMCell(2), layers.SimpleRNNCell(3)], stateful=True, unroll=True)])  # fmt: skip
def test_stateful(make):
    x, layer = Input(batch_shape=(2, 5, 4)), make()
    assert set(layer.states) == {None}
    model = Network(x, layer(x))
    assert [w.shape for w in layer.states] == [(2, size) for size in np.ravel(layer.cell.state_size)]
    assert len(model.get_weights()) == len(layer.get_weights()) == len(layer.cell.get_weights())
    value = draw(2, 10, 4)
    params, state = model.init(KEY)
    first, state = model.apply(params, state, value[:, :5])
    second, _ = model.apply(params, state, value[:, 5:])
    whole = type(layer).from_config({**layer.get_config(), "stateful": False, "unroll": False})
    (inner,) = params.values()
    close(second, whole.apply(inner, {}, value)[0])
    assert not np.allclose(first, second)


def test_stateful_where_the_batch_is_split():
    layer = layers.LSTM(3, stateful=True)
    x = draw(4, 5, 4)
    params, state = layer.init(KEY, x.shape)
    state = filled(state)

    def part(x):
        with batch.mapped(2):
            return layer.apply(params, state, x)

    outputs, states = jax.vmap(part, axis_name=batch.AXIS)(x.reshape(2, 2, 5, 4))
    whole, whole_state = layer.apply(params, state, x)
    close(outputs.reshape(4, 3), whole)
    for place in range(2):
        close(jax.tree.map(lambda leaf, place=place: leaf[place], states), whole_state)


def test_reset_states():
    x, layer = Input(batch_shape=(2, 5, 4)), layers.LSTM(3, stateful=True)
    layer(x)
    states = [draw(2, 3), draw(2, 3, seed=1)]
    layer.reset_states(states)
    close([v.numpy() for v in layer.states], states)
    layer.reset_states()
    close([v.numpy() for v in layer.states], [np.zeros((2, 3))] * 2)


# -------------------------------------------------------------------------------------------------- cells of the user


class Minimal(layers.Layer):
    def __init__(self, units, **kwargs):
        self.units = self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, self.units))
        self.built = True

    def call(self, inputs, states):
        output = jnp.tanh(inputs @ self.kernel.value + states[0] @ self.recurrent_kernel.value)
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WithConstants(Minimal):
    def build(self, input_shape):
        inputs, constants = input_shape
        super().build(inputs)
        self.constant_kernel = self.add_weight("constant_kernel", (constants[-1], self.units))

    def call(self, inputs, states, constants):
        return super().call(inputs + 0 * inputs, [states[0] + constants[0] @ self.constant_kernel.value])


class Remembering(Minimal):
    """Draws a mask at its first step and keeps it, as Keras's own cells do."""

    mask = None

    def call(self, inputs, states, training=None):
        if self.mask is None:
            self.mask = inputs[:, :1] * 0 + np.random.RandomState(0).normal()
        return self.mask, [states[0]]


class Doubled(layers.LSTMCell):
    def call(self, inputs, states, training=None):
        output, states = super().call(inputs, states, training=training)
        return 2 * output, states


class Plain:
    """Not a layer at all."""

    state_size = 4

    def call(self, inputs, states):
        return states[0] + inputs, [states[0] + inputs]


class Losing(Minimal):
    def call(self, inputs, states):
        self.add_loss(jnp.sum(inputs))
        return inputs, states


@pytest.mark.parametrize("built", [False, True])
def test_cell_in_keras_style(built):
    layer = layers.RNN(Minimal(3), return_sequences=True)
    x = draw(2, 5, 4)
    if built:
        layer(Input((None, 4)))
        assert [w.name for w in layer.weights] == [f"{layer.name}/kernel:0", f"{layer.name}/recurrent_kernel:0"]
    params, state = layer.init(KEY, x.shape)
    output, _ = layer.apply(params, state, x)
    close(output, expected(simple, params["cell"], x, [np.zeros((2, 3))])[0])
    assert layer.compute_output_shape((None, None, 4)) == (None, None, 3)
    again = layers.RNN.from_config(layer.get_config(), custom_objects={"Minimal": Minimal})
    assert again.get_config() == layer.get_config()


def test_constants():
    x, c, h = Input((5, 4)), Input((2,)), Input((3,))
    layer = layers.RNN(WithConstants(3))
    model = Network([x, h, c], layer(x, initial_state=h, constants=c))
    assert layer.get_config()["num_constants"] == 1
    again = layers.RNN.from_config(layer.get_config(), custom_objects={"WithConstants": WithConstants})
    params, state = model.init(KEY)
    values = [draw(2, 5, 4), draw(2, 3, seed=1), draw(2, 2, seed=2)]
    output, _ = model.apply(params, state, values)
    close(again.apply(params["rnn_1"], {}, values)[0], output)
    cell = params["rnn_1"]["cell"]
    moved = [values[1] + values[2] @ cell["constant_kernel"]]
    for t in range(5):
        moved = [np.tanh(values[0][:, t] @ cell["kernel"] + moved[0] @ cell["recurrent_kernel"])]
        last, moved = moved[0], [moved[0] + values[2] @ cell["constant_kernel"]]
    close(output, last)


def test_other_cells():
    x = draw(2, 5, 4)
    layer = layers.RNN(Remembering(1), return_sequences=True)
    y = layer.apply(*layer.init(KEY, x.shape), x, training=True)[0]
    assert np.unique(y).size == 1
    assert layer.cell.mask is None
    layer = layers.RNN(Doubled(3))
    params, state = layer.init(KEY, x.shape)
    close(layer.apply(params, state, x)[0], 2 * layers.LSTM(3).apply(params, state, x)[0])
    layer = layers.RNN(Plain())
    close(layer.apply(*layer.init(KEY, x.shape), x)[0], x.sum(1))


# --------------------------------------------------------------------------------------------------- the loop by itself


def test_loop_without_states():
    last, outputs, states = rnn.loop(lambda x, states, time: (x * (time + 1), []), draw(2, 3, 4), [])
    close(outputs, draw(2, 3, 4) * np.arange(1, 4)[:, None])
    close(last, outputs[:, -1])
    assert states == []
    with pytest.raises(ValueError, match="No initial states"):
        rnn.loop(lambda x, states, time: (x, []), draw(2, 3, 4), [], mask=np.ones((2, 3), bool))


# ------------------------------------------------------------------------------------------------- description, errors

CELLS = {
    "simple": lambda: layers.SimpleRNNCell(3, dropout=1.5, recurrent_dropout=-1),
    "gru": lambda: layers.GRUCell(3, reset_after=True, kernel_regularizer="l2"),
    "lstm": lambda: layers.LSTMCell(3, bias_constraint="non_neg", unit_forget_bias=False),
    "stack": lambda: layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)]),
    "rnn": lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], return_state=True, input_shape=(5, 4)),
    "simple_rnn": lambda: layers.SimpleRNN(3, input_dim=4, input_length=5),
    "gru_rnn": lambda: layers.GRU(3, activity_regularizer="l1", go_backwards=True),
    "lstm_rnn": lambda: layers.LSTM(3, recurrent_constraint="max_norm", implementation=2, batch_input_shape=(2, 5, 4)),
}


@pytest.mark.parametrize("name", CELLS)
def test_config(name):
    layer = CELLS[name]()
    config = layer.get_config()
    again = layers.deserialize(layers.serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == config
    if isinstance(layer, layers.LSTM):
        assert "cell" not in config
        assert layer.units == layer.cell.units == config["units"]


def test_old_implementations():
    assert layers.LSTM.from_config({"units": 3, "implementation": 0}).implementation == 1
    with pytest.warns(UserWarning, match="deprecated"):
        assert layers.GRU(3, implementation=0).implementation == 0
    with pytest.warns(UserWarning, match="deprecated"):
        layers.SimpleRNN(3, implementation=1)


def test_weights():
    layer = layers.LSTM(3, name="lstm", bias_initializer="ones")
    layer(Input((None, 4)))
    assert [w.name for w in layer.weights] == ["lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0"]
    assert [w.shape for w in layer.get_weights()] == [(4, 12), (3, 12), (12,)]
    layer = layers.LSTM(3)
    close(layer.init(KEY, (None, 5, 4))[0]["cell"]["bias"], np.repeat([0, 1, 0, 0], 3))
    recurrent = layer.init(KEY, (None, 5, 4))[0]["cell"]["recurrent_kernel"]
    close(recurrent @ recurrent.T, np.eye(3))


def test_penalties():
    x = Input((5, 4))
    layer = layers.LSTM(3, kernel_regularizer="l2", recurrent_regularizer="l1", activity_regularizer="l2")
    model = Network(x, layer(x))
    params, state = model.init(KEY)
    weights = params["lstm_1"]["cell"]
    penalty = sum(float(one) for one in model.regularization(params))
    assert penalty == pytest.approx(
        0.01 * np.square(weights["kernel"]).sum() + 0.01 * np.abs(weights["recurrent_kernel"]).sum(), rel=1e-5
    )
    call = model.run(params, state, draw(2, 5, 4))
    assert float(sum(call.losses)) == pytest.approx(0.01 * float(jnp.sum(call.outputs**2)), rel=1e-5)


def lstm_on(*shape, batch_shape=None, call=None, **arguments):
    x = Input(shape or None, batch_shape=batch_shape)
    return layers.LSTM(3, **arguments)(x, **(call or {}))


ERRORS = {
    "rank": (lambda: lstm_on(5), "expected ndim=3"),
    "unroll": (lambda: lstm_on(None, 4, unroll=True), "Cannot unroll a RNN"),
    "stateful": (lambda: lstm_on(5, 4, stateful=True), "needs to know its batch size"),
    "states_count": (lambda: lstm_on(5, 4, call={"initial_state": [Input((3,))]}), "not compatible with"),
    "states_size": (lambda: lstm_on(5, 4, call={"initial_state": [Input((2,)), Input((3,))]}), "not compatible with"),
    "states_mixed": (lambda: lstm_on(5, 4, call={"initial_state": [Input((3,)), np.zeros((2, 3))]}), "a mix of"),
    "constants": (lambda: lstm_on(5, 4, call={"constants": [Input((3,))]}), "does not support constants"),
    "cell": (lambda: layers.RNN(3), "should have a `call` method"),
    "cells": (lambda: layers.StackedRNNCells([layers.LSTMCell(3), layers.Dense(3)]), "`state_size`"),
    "add_loss": (lambda: layers.RNN(Losing(3))(Input((5, 3))), "add_loss and add_update"),
    "states_batch": (
        lambda: layers.GRU(3).apply(*layers.GRU(3).init(KEY, (2, 5, 4)), draw(2, 5, 4), initial_state=draw(3, 3)),
        "3 examples",
    ),
    "pure_states": (lambda: layers.LSTM(3).apply({}, {}, draw(2, 5, 4), initial_state=[draw(2, 3)]), "2 states"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_errors_of_reset_states():
    with pytest.raises(AttributeError, match="must be stateful"):
        layers.LSTM(3).reset_states()
    layer = layers.LSTM(3, stateful=True)
    with pytest.raises(ValueError, match="no states yet"):
        layer.reset_states()
    layer(Input(batch_shape=(2, 5, 4)))
    with pytest.raises(ValueError, match="expects 2 states"):
        layer.reset_states(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="State 1 is incompatible"):
        layer.reset_states([np.zeros((2, 3)), np.zeros((3, 3))])
    with pytest.raises(ValueError, match="stateful for batches of 2"):
        layer.apply(*layer.init(KEY, (2, 5, 4)), draw(3, 5, 4))
