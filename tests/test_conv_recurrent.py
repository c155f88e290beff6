"""ConvLSTM2D, ConvRNN2D and their cell: against the formula, in both layouts, with masks, states and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, draw

from jkeras import layers, models, random
from jkeras.graph.topology import Input, Network
from jkeras.layers.kernels import conv

KEY = jax.random.key(0)


def variables(layer, shape):
    """Drawn weights of the layer for inputs of `shape`."""
    params, state = layer.init(KEY, shape)
    leaves, treedef = jax.tree.flatten(params)
    drawn = [draw(*leaf.shape, seed=at) / 3 for at, leaf in enumerate(leaves)]
    return jax.tree.unflatten(treedef, drawn), state


def by_hand(layer, params, x, masks=None):
    """The outputs of all steps, step by step, with `conv.convolve`; channels_last."""
    weights = params["cell"]
    arguments = layer.strides, layer.padding, "channels_last", layer.dilation_rate
    outputs, hidden = [], None
    for time in range(x.shape[1]):
        sums = conv.convolve(x[:, time], weights["kernel"], *arguments) + weights.get("bias", 0)
        if hidden is None:
            hidden = carry = jnp.zeros((*sums.shape[:3], layer.filters))
        sums = sums + conv.convolve(hidden, weights["recurrent_kernel"], (1, 1), "same")
        i, f, c, o = jnp.split(sums, 4, axis=-1)
        new = layer.recurrent_activation(f) * carry + layer.recurrent_activation(i) * layer.activation(c)
        output = layer.recurrent_activation(o) * layer.activation(new)
        if masks is not None:
            keep = masks[:, time, None, None, None]
            new, output = jnp.where(keep, new, carry), jnp.where(keep, output, hidden)
        hidden, carry = output, new
        outputs.append(output)
    return jnp.stack(outputs, 1)


# fmt: off
VARIANTS = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": (2, 1)},
    "strides_same": {"strides": 2, "padding": "same"},
    "dilation": {"dilation_rate": (1, 2), "padding": "same"},
    "no_bias": {"use_bias": False},
    "activations": {"activation": "relu", "recurrent_activation": "sigmoid"},
}
# fmt: on


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", VARIANTS)
def test_follows_the_formula(name, data_format):
    layer = layers.ConvLSTM2D(2, (2, 3), data_format=data_format, return_sequences=True, **VARIANTS[name])
    x = draw(2, 3, 5, 6, 3)
    given = jnp.moveaxis(x, -1, 2) if data_format == "channels_first" else x
    params, state = variables(layer, given.shape)
    outputs, _ = layer.apply(params, state, given)
    assert layer.compute_output_shape((None, *given.shape[1:])) == (None, *outputs.shape[1:])
    assert layer.compute_output_shape((None, None, *given.shape[2:])) == (None, None, *outputs.shape[2:])
    if data_format == "channels_first":
        outputs = jnp.moveaxis(outputs, 2, -1)
    close(outputs, by_hand(layer, params, x))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("strides", "padding", "dilation"),
    [((1, 1), "valid", (1, 1)), ((2, 1), "same", (1, 1)), ((1, 1), "same", (2, 1)), ((2, 3), "valid", (1, 1))],
)
def test_convolution_in_a_loop_is_the_convolution(strides, padding, dilation, layout):
    x, kernel = draw(2, 7, 7, 7), draw(3, 2, 7, 4, seed=1)
    arguments = strides, padding, layout, dilation
    close(conv.convolve(x, kernel, *arguments, in_loop=True), conv.convolve(x, kernel, *arguments), 1e-4)


@pytest.mark.parametrize("sequences", [False, True])
def test_backwards_masks_and_states(sequences):
    layer = layers.ConvLSTM2D(2, 2, padding="same", return_sequences=sequences, return_state=True, go_backwards=True)
    x = draw(2, 3, 4, 4, 1)
    mask = np.array([[1, 1, 0], [0, 1, 1]], bool)
    params, state = variables(layer, x.shape)
    (output, hidden, carry), _ = layer.apply(params, state, x, mask=mask)
    expected = by_hand(layer, params, x[:, ::-1], mask[:, ::-1])
    close(output, expected if sequences else expected[:, -1])
    close(hidden, expected[:, -1])
    assert carry.shape == hidden.shape == (2, 4, 4, 2)
    # two halves of a sequence, the second from where the first ended
    layer = layers.ConvLSTM2D(2, 2, padding="same", return_state=True)
    (_, *states), _ = layer.apply(params, state, x[:, :2])
    close(layer.apply(params, state, [x[:, 2:], *states])[0], layer.apply(params, state, x)[0])


def test_a_sweep_is_the_loop():
    """All inputs convolved at once, or in each step: the same numbers and gradients."""
    x = draw(2, 3, 5, 5, 2)

    class Other(layers.ConvLSTM2DCell):
        pass

    results = []
    for cell in (layers.ConvLSTM2DCell, Other):
        layer = layers.ConvRNN2D(cell(3, 2, bias_initializer="ones"), return_sequences=True)
        params, state = variables(layer, x.shape)
        results.append(jax.value_and_grad(lambda p, layer=layer: jnp.sum(layer.apply(p, {}, x)[0] ** 2))(params))
    close(*results, 1e-4)


@pytest.mark.parametrize("rates", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=lambda rates: next(iter(rates)))
def test_dropout(rates):
    layer = layers.ConvLSTM2D(2, 2, padding="same", return_sequences=True, **rates)
    x = draw(4, 3, 4, 4, 2)
    params, state = variables(layer, x.shape)
    plain, _ = layer.apply(params, state, x)
    close(plain, by_hand(layer, params, x))
    one, again, other = (
        layer.apply(params, state, x, key=jax.random.key(seed), training=True)[0] for seed in (1, 1, 2)
    )
    close(one, again, 0)
    assert not np.allclose(one, plain)
    assert not np.allclose(one, other)
    part, _ = layer.apply(params, state, x[2:], key=random.as_key(jax.random.key(1)).at(2), training=True)
    close(one[2:], part)
    with pytest.raises(ValueError, match="no key"):
        layer.apply(params, state, x, training=True)


def test_dropout_masks_hold_for_the_sequence_and_differ_between_gates():
    cell = layers.ConvLSTM2DCell(2, 1, dropout=0.5)
    x = jnp.ones((1, 4, 4, 3))
    params, _ = cell.init(KEY, x.shape)
    states = [jnp.zeros((1, 4, 4, 2))] * 2
    step = cell.bind(params, {}, x, states, key=KEY, training=True)
    close(step(x, states, 0), step(x, states, 5), 0)
    mask = cell._mask(random.as_key(KEY), x, 0.5)
    assert mask.shape == (1, 4, 4, 4, 3)
    assert not np.array_equal(mask[:, 0], mask[:, 1])


def test_stateful():
    layer = layers.ConvLSTM2D(2, 2, stateful=True, batch_input_shape=(2, 2, 4, 5, 1))
    model = models.Sequential([layer])
    assert [weight.shape for weight in model.get_weights()] == [(2, 2, 1, 8), (2, 2, 2, 8), (8,)]
    x = draw(2, 4, 4, 5, 1)
    halves = [model.predict(half, batch_size=2) for half in (x[:, :2], x[:, 2:])]
    params = {"cell": dict(zip(("kernel", "recurrent_kernel", "bias"), model.get_weights(), strict=True))}
    close(halves[1], by_hand(layer, params, x)[:, -1])
    model.reset_states()
    close(model.predict(x[:, :2], batch_size=2), halves[0])
    layer.reset_states([np.ones((2, 3, 4, 2)), np.zeros((2, 3, 4, 2))])
    assert not np.allclose(model.predict(x[:, :2], batch_size=2), halves[0])
    with pytest.raises(ValueError, match=r"expected shape=\(2, 3, 4, 2\)"):
        layer.reset_states([np.ones((2, 2))] * 2)


def test_symbolic_initial_state_and_weights():
    x, hidden, carry = Input((3, 4, 4, 1)), Input((4, 4, 2)), Input((4, 4, 2))
    layer = layers.ConvLSTM2D(2, 3, padding="same", name="clstm", kernel_regularizer="l2")
    model = Network([x, hidden, carry], layer(x, initial_state=[hidden, carry]))
    assert [weight.name for weight in layer.weights] == [f"clstm/{n}:0" for n in ("kernel", "recurrent_kernel", "bias")]
    params, state = model.init(KEY)
    close(jax.tree.leaves(params)[0], np.repeat([0, 1, 0, 0], 2))  # the bias
    zeros = np.zeros((2, 4, 4, 2), "float32")
    images = draw(2, 3, 4, 4, 1)
    close(
        model.apply(params, state, [images, zeros, zeros])[0],
        layer.apply({"cell": next(iter(params.values()))["cell"]}, {}, images)[0],
    )
    assert layer.cell.kernel.regularizer is not None


class Blur(layers.Layer):
    """A convolutional cell of the user, in Keras style."""

    filters, kernel_size, strides, padding, dilation_rate = 2, (2, 2), (1, 1), "valid", (1, 1)
    data_format = "channels_last"
    state_size = 2

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(2, 2, input_shape[-1], 2), name="kernel", initializer="uniform")
        self.built = True

    def call(self, inputs, states):
        output = conv.convolve(inputs, self.kernel.value, (1, 1)) + states[0] / 2
        return output, [output]


def test_a_cell_of_the_user():
    layer = layers.ConvRNN2D(Blur())
    x = draw(2, 3, 4, 5, 1)
    params, state = layer.init(KEY, x.shape)
    kernel = params["cell"]["kernel"]
    steps = [conv.convolve(x[:, time], kernel, (1, 1)) / 2 ** (2 - time) for time in range(3)]
    close(layer.apply(params, state, x)[0], sum(steps))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.ConvLSTM2D(2, 2, unroll=True), TypeError, "Unrolling isn't possible"),
        (lambda: layers.ConvRNN2D([layers.ConvLSTM2DCell(2, 2)] * 2), TypeError, "not possible .* to stack"),
        (lambda: layers.ConvLSTM2D(2, 2, strides=2, dilation_rate=2), ValueError, "not supported in conjunction"),
        (lambda: layers.ConvLSTM2D(2, 2, padding="causal"), ValueError, "only Conv1D"),
        (lambda: layers.ConvLSTM2D(2, (2, 2, 2)), ValueError, "tuple of 2 integers"),
        (lambda: layers.ConvLSTM2D(2, 2)(Input((3, 4, 1))), ValueError, "expected ndim=5"),
        (lambda: layers.ConvLSTM2D(2, 5)(Input((3, 4, 4, 1))), ValueError, "does not fit"),
        (lambda: layers.ConvLSTM2D(2, 2)(Input((3, 4, 4, None))), ValueError, "channel dimension"),
        (
            lambda: layers.ConvLSTM2D(2, 2, stateful=True)(Input(batch_shape=(2, 3, None, 4, 1))),
            ValueError,
            "number of rows and columns",
        ),
        (
            lambda: layers.ConvLSTM2D(2, 2)(Input((3, 4, 4, 1)), initial_state=[Input((3, 3, 5)), Input((3, 3, 5))]),
            ValueError,
            "not compatible with `cell.state_size`",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.ConvLSTM2D(2, 2, return_state=True, dropout=0.2, padding="SAME"),
        lambda: layers.ConvLSTM2DCell(2, 2, strides=[1, 2]),
        lambda: layers.ConvRNN2D(layers.ConvLSTM2DCell(2, 2), return_sequences=True),
        lambda: layers.Bidirectional(layers.ConvLSTM2D(2, 2, return_sequences=True)),
    ],
)
def test_config(make):
    layer = make()
    again = layers.deserialize(layers.serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_unknown_sizes_and_training():
    """As in the Keras example of a moving square: any number of steps, rows and columns."""
    model = models.Sequential(
        [
            layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True, input_shape=(None, None, None, 1)),
            layers.BatchNormalization(),
            layers.ConvLSTM2D(3, (3, 2), strides=2, return_sequences=True, dropout=0.1),
            layers.Conv3D(1, 3, padding="same", activation="sigmoid", data_format="channels_last"),
        ]
    )
    assert model.output_shape == (None, None, None, None, 1)
    model.compile("adadelta", "binary_crossentropy")
    x = draw(4, 3, 7, 7, 1)
    y = np.zeros((4, 3, 3, 3, 1), "float32")
    losses = model.fit(x, y, batch_size=2, epochs=3, verbose=0, key=jax.random.key(1)).history["loss"]
    assert losses[-1] < losses[0]
