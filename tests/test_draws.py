"""What is drawn in training: from the right distribution, by the key and the example's place alone."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, same_bits

from jkeras import backend as K
from jkeras import layers, models, optimizers, random

KEY = jax.random.key(3)
FIRST = "channels_first"


# Layers that drop: make, shape of the inputs, rate, and the axes along which a draw serves all entries.
DROPS = {
    "dropout": (lambda: layers.Dropout(0.3), (300, 40), 0.3, ()),
    "dropout_often": (lambda: layers.Dropout(0.9), (300, 40), 0.9, ()),
    "dropout_seed": (lambda: layers.Dropout(0.3, seed=5), (300, 40), 0.3, ()),
    "dropout_sequence": (lambda: layers.Dropout(0.3), (60, 6, 40), 0.3, ()),
    "noise_shape_times": (lambda: layers.Dropout(0.3, noise_shape=(None, 1, None)), (300, 6, 40), 0.3, (1,)),
    "noise_shape_features": (lambda: layers.Dropout(0.3, noise_shape=(None, 1)), (9000, 3), 0.3, (1,)),
    "noise_shape_batch": (lambda: layers.Dropout(0.3, noise_shape=(1, None)), (4, 9000), 0.3, (0,)),
    "noise_shape_stated": (lambda: layers.Dropout(0.3, noise_shape=(300, 1, 40)), (300, 6, 40), 0.3, (1,)),
    "spatial_1d": (lambda: layers.SpatialDropout1D(0.4), (300, 5, 40), 0.4, (1,)),
    "spatial_2d": (lambda: layers.SpatialDropout2D(0.4), (300, 3, 2, 40), 0.4, (1, 2)),
    "spatial_3d": (lambda: layers.SpatialDropout3D(0.4), (300, 3, 2, 2, 40), 0.4, (1, 2, 3)),
    "spatial_2d_first": (lambda: layers.SpatialDropout2D(0.4, data_format=FIRST), (300, 40, 3, 2), 0.4, (2, 3)),
    "spatial_3d_first": (lambda: layers.SpatialDropout3D(0.4, data_format=FIRST), (300, 40, 2, 2, 2), 0.4, (2, 3, 4)),
    "distributed": (lambda: layers.TimeDistributed(layers.Dropout(0.3)), (60, 6, 40), 0.3, ()),
    "distributed_spatial": (lambda: layers.TimeDistributed(layers.SpatialDropout1D(0.3)), (60, 6, 3, 40), 0.3, (2,)),
}  # fmt: skip
NORMAL = {
    "gaussian_noise": (lambda: layers.GaussianNoise(0.7), 0.7),
    "gaussian_dropout": (lambda: layers.GaussianDropout(0.2), 0.5),
    "distributed_noise": (lambda: layers.TimeDistributed(layers.GaussianNoise(0.7)), 0.7),
}
#: Layers with weights that drop inside, and all of the above on small inputs: what the rules for keys are tried on.
SMALL = {
    **{
        name: (make, (4, *shape[1:-1], min(shape[-1], 40)))
        for name, (make, shape, _, _) in DROPS.items()
        if shape[0] != 4
    },
    **{name: (make, (4, 3, 5)) for name, (make, _) in NORMAL.items()},
    "noise_shape_stated": (lambda: layers.Dropout(0.3, noise_shape=(4, 1, 40)), (4, 6, 40)),
    "noise_shape_batch": (lambda: layers.Dropout(0.3, noise_shape=(1, None)), (4, 40)),
    "alpha_dropout": (lambda: layers.AlphaDropout(0.3), (4, 20)),
    "simple_rnn": (lambda: layers.SimpleRNN(6, dropout=0.5), (4, 3, 5)),
    "gru": (lambda: layers.GRU(6, recurrent_dropout=0.5), (4, 3, 5)),
    "lstm": (lambda: layers.LSTM(6, dropout=0.5, recurrent_dropout=0.5, implementation=2), (4, 3, 5)),
    "stacked": (lambda: layers.RNN([layers.LSTMCell(4, dropout=0.5), layers.GRUCell(4, dropout=0.5)]), (4, 3, 5)),
    "conv_lstm": (lambda: layers.ConvLSTM2D(2, 2, dropout=0.5, recurrent_dropout=0.5), (4, 3, 4, 3, 2)),
    "bidirectional": (lambda: layers.Bidirectional(layers.SimpleRNN(6, dropout=0.5)), (4, 3, 5)),
    "distributed_lstm": (lambda: layers.TimeDistributed(layers.LSTM(4, dropout=0.5)), (4, 2, 3, 5)),
}


def drawn(layer, inputs, key=KEY, params=None):
    """The outputs in training, with initial weights unless some are given."""
    own, state = layer.init(jax.random.key(0), inputs.shape)
    return np.asarray(layer.apply(own if params is None else params, state, inputs, key=key, training=True)[0])


def check_kept(kept, rate, together):
    """Check which entries were kept: as many as should be, within five sigma, alike where they should be alike, and
    independent elsewhere."""
    if together:
        assert np.array_equal(kept.all(axis=together), kept.any(axis=together))
        kept = kept.any(axis=together)
    sigma = math.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * sigma
    centered = (kept - kept.mean()) / kept.std()
    for axis in range(kept.ndim):
        if kept.shape[axis] > 1:
            first, second = (np.take(centered, range(s, kept.shape[axis] - 1 + s), axis) for s in (0, 1))
            assert abs(np.mean(first * second)) < 5 / math.sqrt(first.size)


@pytest.mark.parametrize("name", DROPS)
def test_dropout(name):
    make, shape, rate, together = DROPS[name]
    outputs = drawn(make(), jnp.full(shape, 2.0))
    kept = outputs != 0
    np.testing.assert_allclose(outputs[kept], 2.0 / (1 - rate), rtol=1e-6)
    check_kept(kept, rate, together)


@pytest.mark.parametrize("noise_shape", [None, (None, 1)])
def test_alpha_dropout(noise_shape):
    rate = 0.3
    layer = layers.AlphaDropout(rate, noise_shape=noise_shape)
    inputs = np.random.RandomState(0).normal(size=(3000, 40))
    outputs = drawn(layer, jnp.asarray(inputs, "float32"))
    dropped = -1.7580993408473766
    scale = ((1 - rate) * (1 + rate * dropped**2)) ** -0.5
    shift = -scale * dropped * rate
    kept = ~np.isclose(outputs, scale * dropped + shift, rtol=0, atol=1e-6)
    np.testing.assert_allclose(outputs[kept], (scale * inputs + shift)[kept], rtol=1e-4, atol=1e-5)
    check_kept(kept, rate, (1,) if noise_shape else ())
    assert abs(outputs.mean()) < 5 / math.sqrt(kept.size if noise_shape is None else kept.size / 40)
    assert abs(outputs.var() - 1) < 0.05


def distance_from_normal(values):
    """Kolmogorov's: the largest distance of the distribution of `values` from the normal one, times sqrt(n)."""
    ordered = np.sort(values.ravel())
    expected = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in ordered])
    steps = np.arange(ordered.size + 1) / ordered.size
    return max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max()) * math.sqrt(ordered.size)


@pytest.mark.parametrize("name", NORMAL)
def test_normal_noise(name):
    """Below 1.95, which a sample of a normal distribution exceeds once in a thousand times."""
    make, stddev = NORMAL[name]
    noise = (drawn(make(), jnp.full((50, 4, 25), 1.0)) - 1.0) / stddev
    assert distance_from_normal(noise) < 1.95 < distance_from_normal(noise * 1.1)
    first, second = noise[:-1], noise[1:]
    assert abs(np.mean(first * second)) < 5 / math.sqrt(first.size)


# ---------------------------------------------------------------------------------------------------- recurrent layers

UNITS, EXAMPLES, TIMES = 40, 120, 3
LINEAR = {"activation": "linear", "return_sequences": True}
#: For each gate of a cell, what lets its sum through to the output: the gate, the biases, and the initial states.
GATES = {
    "LSTM": {0: {2: 1, 3: 1}, 1: {3: 1}, 2: {0: 1, 3: 1}, 3: {0: 1, 2: 1}},
    "GRU": {0: {}, 1: {}, 2: {}},
}


def gate_masks(name, implementation):
    """The dropout masks of the inputs of each gate at the first step, brought to light by weights that pass one on."""
    masks = []
    gates = 4 if name == "LSTM" else 3
    options = {**LINEAR, "recurrent_activation": "linear", "dropout": 0.4, "implementation": implementation}
    layer = getattr(layers, name)(UNITS, **options)
    inputs = jnp.ones((EXAMPLES, TIMES, UNITS))
    states = [jnp.ones((EXAMPLES, UNITS))] * (2 if name == "LSTM" else 1)
    for gate, open_gates in GATES[name].items():
        params = {
            "kernel": np.zeros((UNITS, gates * UNITS), "float32"),
            "recurrent_kernel": np.zeros((UNITS, gates * UNITS), "float32"),
            "bias": np.zeros(gates * UNITS, "float32"),
        }
        params["kernel"][:, gate * UNITS : (gate + 1) * UNITS] = np.eye(UNITS)
        for place, value in open_gates.items():
            params["bias"][place * UNITS : (place + 1) * UNITS] = value
        if name == "GRU" and gate == 1:  # r reaches the output by way of the state
            params["recurrent_kernel"][:, 2 * UNITS :] = np.eye(UNITS)
        arguments = {"key": KEY, "training": True, "initial_state": states}
        masks.append(np.asarray(layer.apply({"cell": params}, {}, inputs, **arguments)[0])[:, 0])
    return np.stack(masks)


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("name", GATES)
def test_masks_of_gates(name, implementation):
    masks = gate_masks(name, implementation)
    np.testing.assert_allclose(masks[masks != 0], 1 / 0.6, rtol=1e-6)
    check_kept(masks != 0, 0.4, (0,) if implementation == 2 else ())


def test_one_mask_for_a_sequence():
    """Of the inputs: the same entries at every step. Of the state: its powers. Both ways of a Bidirectional: two."""
    eye, zero = np.eye(UNITS, dtype="float32"), np.zeros((UNITS, UNITS), "float32")
    inputs, state = jnp.ones((EXAMPLES, TIMES, UNITS)), [jnp.ones((EXAMPLES, UNITS))]
    layer = layers.SimpleRNN(UNITS, use_bias=False, dropout=0.3, recurrent_dropout=0.6, **LINEAR)
    arguments = {"key": KEY, "training": True, "initial_state": state}
    outputs, _ = layer.apply({"cell": {"kernel": eye, "recurrent_kernel": zero}}, {}, inputs, **arguments)
    kept = np.asarray(outputs) != 0
    np.testing.assert_allclose(outputs[kept], 1 / 0.7, rtol=1e-6)
    check_kept(kept, 0.3, (1,))
    outputs, _ = layer.apply({"cell": {"kernel": zero, "recurrent_kernel": eye}}, {}, inputs, **arguments)
    check_kept(np.asarray(outputs) != 0, 0.6, (1,))
    for time in range(TIMES):
        np.testing.assert_allclose(np.unique(outputs[:, time]), [0, 0.4 ** -(time + 1)], rtol=1e-5)
    both = layers.Bidirectional(layers.SimpleRNN(UNITS, use_bias=False, dropout=0.3, **LINEAR), merge_mode=None)
    weights = {"cell": {"kernel": eye, "recurrent_kernel": zero}}
    outputs, _ = both.apply({"forward_layer": weights, "backward_layer": weights}, {}, inputs, key=KEY, training=True)
    check_kept(np.stack(outputs) != 0, 0.3, (2,))


def test_one_mask_for_a_video():
    layer = layers.ConvLSTM2D(
        5, 1, dropout=0.4, recurrent_activation="linear", bias_initializer="ones", unit_forget_bias=False, **LINEAR
    )
    params, _ = layer.init(jax.random.key(0), (None, TIMES, 3, 4, 5))
    cell = {name: np.zeros_like(array) for name, array in params["cell"].items()}
    cell["kernel"][0, 0, :, 10:15] = np.eye(5)  # the candidate's
    cell["bias"][:5] = cell["bias"][15:] = 1  # the input and output gates are open, the forget gate is shut
    outputs = drawn(layer, jnp.ones((EXAMPLES, TIMES, 3, 4, 5)), params={"cell": cell})
    np.testing.assert_allclose(outputs[outputs != 0], 1 / 0.6, rtol=1e-6)
    check_kept(outputs != 0, 0.4, (1,))


# ------------------------------------------------------------------------------------------------ what draws depend on


def small(name):
    make, shape = SMALL[name]
    return make(), jnp.asarray(np.random.RandomState(0).uniform(0.5, 1, shape), "float32")


@pytest.mark.parametrize("name", SMALL)
def test_a_draw_depends_on_key_and_place_alone(name):
    """The same key draws the same, another key or step differently; a part of a batch draws what it would in the whole;
    and nothing is drawn but in training."""
    layer, inputs = small(name)
    params, state = layer.init(jax.random.key(0), inputs.shape)
    draw = jax.jit(lambda inputs, key: layer.apply(params, state, inputs, key=key, training=True)[0])
    key = random.as_key(KEY)
    outputs = draw(inputs, key)
    np.testing.assert_array_equal(draw(inputs, key), outputs)
    for other in (random.as_key(4), key.step(1)):
        assert not np.array_equal(draw(inputs, other), outputs)
    if "stated" not in name:  # whose noise has the size of the whole batch
        np.testing.assert_allclose(draw(inputs[2:], key.at(2)), outputs[2:], rtol=1e-5, atol=1e-6)
    quiet = str(jax.make_jaxpr(lambda inputs: layer.apply(params, state, inputs, key=KEY)[0])(inputs))
    assert "random" not in quiet and "threefry" not in quiet
    assert "random" in str(jax.make_jaxpr(lambda x: layer.apply(params, state, x, key=KEY, training=True)[0])(inputs))


@pytest.mark.parametrize("name", [name for name in SMALL if name in DROPS or name in NORMAL])
def test_two_layers_and_two_calls_draw_differently(name):
    layer, inputs = small(name)
    twin = type(layer).from_config(layer.get_config() | {"name": "twin"})
    if "first" in name:
        twin.data_format = "channels_first"  # which Keras leaves out of the config
    x = layers.Input(inputs.shape[1:])
    model = models.Model(x, [layer(x), layer(x), twin(x)])
    first, again, other = model.apply(*model.init(KEY), inputs, key=KEY, training=True)[0]
    assert not np.array_equal(first, again) and not np.array_equal(first, other) and not np.array_equal(again, other)


def flat(x):
    return x.reshape((x.shape[0], -1))


#: One of each kind, for a model that is compiled twice.
KINDS = (
    "dropout", "noise_shape_times", "noise_shape_batch", "noise_shape_stated", "spatial_2d", "distributed",
    "gaussian_noise", "gaussian_dropout", "alpha_dropout", "simple_rnn", "lstm", "bidirectional",
)  # fmt: skip


def trained(devices, keys):
    """For each key, the weights behind each of the layers after three steps: they show what was drawn."""
    random.seed(0)
    inputs, outputs, data = [], [], []
    for name in KINDS:
        layer, values = small(name)
        inputs.append(layers.Input(values.shape[1:]))
        hidden = layers.Lambda(flat)(layer(inputs[-1]))
        outputs.append(layers.Dense(1, use_bias=False, name=name)(hidden))
        data.append(np.concatenate([values] * 3))
    model = models.Model(inputs, layers.concatenate(outputs))
    model.compile(optimizers.SGD(lr=0.1), "mse", devices=devices)
    start, after = model.get_weights(), []
    for key in keys:
        model.set_weights(start)
        model.fit(data, np.ones((12, len(KINDS))), batch_size=4, shuffle=False, verbose=0, key=key)
        after.append({name: model.get_layer(name).get_weights()[0] for name in KINDS})
    return after


def test_draws_do_not_depend_on_the_number_of_devices():
    one, other = trained(None, [KEY, jax.random.key(5)])
    (two,) = trained(2, [KEY])
    for name, weights in one.items():
        close(two[name], weights, rtol=1e-4, atol=1e-6, err_msg=name)
        assert not np.allclose(other[name], weights, rtol=1e-4, atol=1e-6), name


@pytest.fixture
def unseeded():
    random.seed(None)


@pytest.mark.usefixtures("unseeded")
def test_numpys_seed_makes_a_script_repeatable():
    """As in Keras: weights, order of the examples and dropout are those of the same script again."""

    def script(seed):
        np.random.seed(seed)
        x, y = np.random.rand(8, 3), np.random.rand(8, 1)
        model = models.Sequential([layers.Dense(4, input_shape=(3,)), layers.Dropout(0.5), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=4, epochs=2, verbose=0)
        return [*model.get_weights(), model.evaluate(x, y, verbose=0)]

    first, again, other = script(1), script(1), script(2)
    close(again, first, rtol=0, atol=0)
    assert not np.allclose(first[0], other[0])


def _noise():
    x = layers.Input((4,))
    return x, layers.Lambda(lambda x: K.dropout(x, 0.5))(layers.GaussianNoise(1.0)(x))


def _trained():
    model = models.Sequential([layers.Dense(4, input_shape=(4,)), layers.Dropout(0.5)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 4)))
    return model.get_weights()[0]


#: Scripts whose draws nobody seeds but numpy's generator, and which it alone moves between runs.
DRAWING = {
    "train": _trained,
    "predict": lambda: models.Model(*_noise()).predict(np.ones((2, 4))),
    "draw": lambda: K.eval(K.random_normal((2, 4))),
    "function": lambda: K.function([], [K.random_uniform((4,)), K.random_uniform((4,))])([])[1],
    "model function": lambda: (lambda m: K.function([m.input, K.learning_phase()], [m.output]))(
        models.Model(*_noise())
    )([np.ones((2, 4)), 1])[0],
}


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("draw", DRAWING.values(), ids=DRAWING)
def test_the_same_script_in_the_same_process_draws_the_same(draw):
    """Whatever was named, made and drawn before, if numpy's generator is seeded in between."""
    found = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        found.append([draw(), draw()])
    close(found[0], found[1], rtol=0, atol=0)
    assert not np.allclose(found[0], found[2]) and not np.allclose(*found[0])


@pytest.mark.usefixtures("unseeded")
def test_two_runs_from_one_state_of_numpys_generator_draw_apart():
    model = models.Sequential([layers.Dropout(0.5, input_shape=(64,)), layers.Lambda(lambda x: x)])
    model.compile("sgd", "mse")
    np.random.seed(0)
    state, keys = np.random.get_state()[1].copy(), [random.next_run_key() for _ in range(2)]
    assert np.array_equal(np.random.get_state()[1], state)
    words = [np.asarray(jax.random.key_data(key.base)).tolist() for key in keys]
    assert words[0] != words[1]


DRAWN = {
    "uniform": (random.uniform, jax.random.uniform),
    "normal": (random.normal, jax.random.normal),
    "bernoulli": (
        lambda key, shape: random.bernoulli(key, 0.3, shape),
        lambda key, s: jax.random.bernoulli(key, 0.3, s),
    ),
    "truncated_normal": (
        random.truncated_normal,
        lambda key, shape: jax.random.truncated_normal(key, -2.0, 2.0, shape),
    ),
    "64 bits": (
        lambda key, shape: random.uniform(key, shape, dtype=jnp.float64),
        lambda key, shape: jax.random.uniform(key, shape, dtype=jnp.float64),
    ),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("around", [lambda f: f, jax.jit, jax.vmap])
def test_draws_are_those_of_jax(name, around):
    """The numbers of `jax.random`, with a key for each example, in whatever form the generator is written."""
    ours, theirs = DRAWN[name]
    keys = jax.random.split(jax.random.key(3), 2) if around is jax.vmap else jax.random.key(3)

    def examples(key):
        inner = random.as_key(key).fold("name").draw_key()
        return jnp.stack([theirs(jax.random.fold_in(inner, place), (2, 3)) for place in range(4)])

    with jax.enable_x64(name == "64 bits"):
        found = around(lambda key: ours(random.as_key(key).fold("name"), (4, 2, 3)))(keys)
        expected = around(examples)(keys)
    assert found.dtype == expected.dtype and same_bits(found, expected)


def test_a_draw_is_stored_for_all_that_take_it():
    """Where its rounds were computed in each operation that takes it, 40 masks would take half a minute to compile."""

    def loss(x, key):
        for place in range(3):
            kept = random.bernoulli(random.as_key(key).fold(place), 0.5, x.shape)
            x = jnp.where(kept, x, 0.0) * jnp.mean(jnp.where(kept, x, 1.0))
        return jnp.sum(x)

    program = jax.jit(jax.grad(loss)).lower(jnp.ones((4, 8)), jax.random.key(0)).compile().as_text()
    assert program.count(" conditional(") == 3
