"""The layers of core, merge, normalization, embeddings, noise, advanced_activations and local: one catalogue, and what
holds for every layer in it; then the numbers of each, re-derived in numpy."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import draw

from jkeras import batch, layers, random
from jkeras.graph.topology import Input, Network
from jkeras.layers import core
from jkeras.layers.merge import batch_dot
from jkeras.layers.normalization import normalize

KEY = jax.random.key(0)


def indices(*shape, below=5):
    return np.random.RandomState(0).randint(below, size=shape).astype("int32")


def square(x):
    return x * x


# What each layer is called on: arrays of two examples or more.
CATALOGUE = {
    "dense": (lambda: layers.Dense(3, activation="tanh"), [draw(4, 5)]),
    "dense_sequence": (lambda: layers.Dense(3, use_bias=False), [draw(4, 6, 5)]),
    "activation": (lambda: layers.Activation("softmax"), [draw(4, 5)]),
    "activity_regularization": (lambda: layers.ActivityRegularization(0.1, 0.2), [draw(4, 5)]),
    "masking": (lambda: layers.Masking(0.5), [draw(4, 6, 5)]),
    "dropout": (lambda: layers.Dropout(0.5), [draw(4, 5)]),
    "dropout_noise_shape": (lambda: layers.Dropout(0.5, noise_shape=(None, 1, None), seed=3), [draw(4, 6, 5)]),
    "spatial_dropout_1d": (lambda: layers.SpatialDropout1D(0.5), [draw(4, 6, 5)]),
    "reshape": (lambda: layers.Reshape((2, -1)), [draw(4, 6)]),
    "permute": (lambda: layers.Permute((2, 1)), [draw(4, 6, 5)]),
    "flatten": (lambda: layers.Flatten(), [draw(4, 3, 5)]),
    "flatten_channels_first": (lambda: layers.Flatten("channels_first"), [draw(4, 3, 2, 5)]),
    "repeat_vector": (lambda: layers.RepeatVector(3), [draw(4, 5)]),
    "lambda": (lambda: layers.Lambda(square), [draw(4, 5)]),
    "embedding": (lambda: layers.Embedding(5, 3, mask_zero=True), [indices(4, 6)]),
    "batch_normalization": (lambda: layers.BatchNormalization(), [draw(6, 5)]),
    "batch_normalization_sequence": (lambda: layers.BatchNormalization(scale=False), [draw(6, 3, 5)]),
    "batch_normalization_image": (lambda: layers.BatchNormalization(center=False), [draw(6, 3, 3, 5)]),
    "batch_normalization_axis": (lambda: layers.BatchNormalization(axis=1), [draw(6, 5, 3, 3)]),
    "leaky_relu": (lambda: layers.LeakyReLU(0.2), [draw(4, 5)]),
    "prelu": (lambda: layers.PReLU("random_normal"), [draw(4, 5)]),
    "prelu_shared": (lambda: layers.PReLU("random_normal", shared_axes=[1, 2]), [draw(4, 2, 3, 5)]),
    "elu": (lambda: layers.ELU(0.7), [draw(4, 5)]),
    "thresholded_relu": (lambda: layers.ThresholdedReLU(0.3), [draw(4, 5)]),
    "softmax": (lambda: layers.Softmax(axis=1), [draw(4, 5, 3)]),
    "relu": (lambda: layers.ReLU(1.0, 0.1, 0.2), [draw(4, 5)]),
    "gaussian_noise": (lambda: layers.GaussianNoise(0.3), [draw(4, 5)]),
    "gaussian_dropout": (lambda: layers.GaussianDropout(0.3), [draw(4, 5)]),
    "alpha_dropout": (lambda: layers.AlphaDropout(0.3, noise_shape=(None, 1)), [draw(4, 5)]),
    "add": (lambda: layers.Add(), [draw(4, 5), draw(4, 5, seed=1), draw(4, 5, seed=2)]),
    "subtract": (lambda: layers.Subtract(), [draw(4, 5), draw(4, 5, seed=1)]),
    "multiply_broadcast": (lambda: layers.Multiply(), [draw(4, 1, 5), draw(4, 6, 1, seed=1)]),
    "average_ranks": (lambda: layers.Average(), [draw(4, 6, 5), draw(4, 5, seed=1)]),
    "maximum": (lambda: layers.Maximum(), [draw(4, 5), draw(4, 5, seed=1)]),
    "minimum": (lambda: layers.Minimum(), [draw(4, 5), draw(4, 5, seed=1)]),
    "concatenate": (lambda: layers.Concatenate(axis=1), [draw(4, 2, 5), draw(4, 3, 5, seed=1)]),
    "dot": (lambda: layers.Dot(axes=1), [draw(4, 5), draw(4, 5, seed=1)]),
    "dot_normalize": (lambda: layers.Dot(axes=(2, 1), normalize=True), [draw(4, 3, 5), draw(4, 5, 2, seed=1)]),
    "local_1d": (lambda: layers.LocallyConnected1D(3, 2, strides=2), [draw(4, 6, 5)]),
    "local_2d": (lambda: layers.LocallyConnected2D(3, (2, 3), strides=(2, 1)), [draw(4, 5, 5, 2)]),
    "local_2d_channels_first": (
        lambda: layers.LocallyConnected2D(3, 2, data_format="channels_first", bias_initializer="random_normal"),
        [draw(4, 2, 4, 5)],
    ),
}
each_layer = pytest.mark.parametrize("name", CATALOGUE)


def made(name):
    """The layer, its params and state, and its input: an array, or a list of them."""
    make, arrays = CATALOGUE[name]
    layer, inputs = make(), arrays if len(arrays) > 1 else arrays[0]
    shapes = [(None, *array.shape[1:]) for array in arrays]
    params, state = layer.init(KEY, shapes if len(arrays) > 1 else shapes[0])
    return layer, params, state, inputs


def check_trees(got, wanted, **tolerance):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


@each_layer
def test_inferred_shape_is_real_shape(name):
    layer, params, state, inputs = made(name)
    arrays = inputs if isinstance(inputs, list) else [inputs]
    symbols = [Input(shape=array.shape[1:], dtype=str(array.dtype)) for array in arrays]
    outputs, _ = layer.apply(params, state, inputs)
    symbol = layer(symbols if len(symbols) > 1 else symbols[0])
    assert symbol.shape == (None, *outputs.shape[1:])
    assert symbol.dtype == outputs.dtype
    shapes = [(None, *array.shape[1:]) for array in arrays]
    assert layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0]) == symbol.shape
    model = Network(symbols, symbol)
    built = model.init(KEY)
    (place,) = [place for place, one in model.sublayers().items() if one is layer]
    for tree, part in zip(built, (params, state), strict=True):
        assert jax.tree.map(jnp.shape, tree.get(place, {})) == jax.tree.map(jnp.shape, part)
    assert model.apply(*built, inputs)[0].shape == outputs.shape


@each_layer
@pytest.mark.parametrize("training", [False, True])
def test_jit_is_eager_and_nothing_is_left_on_the_layer(name, training):
    layer, params, state, inputs = made(name)
    before = dict(vars(layer))

    def apply(params, state, inputs, key):
        return layer.apply(params, state, inputs, key=key, training=training)

    eager = apply(params, state, inputs, KEY)
    check_trees(jax.jit(apply)(params, state, inputs, KEY), eager)
    check_trees(apply(params, state, inputs, KEY), eager, rtol=0, atol=0)
    assert vars(layer) == before


@each_layer
def test_config_makes_the_same_layer(name):
    layer, params, state, inputs = made(name)
    objects = {layer.name: square}
    twin = layers.deserialize(layers.serialize(layer), custom_objects=objects)
    assert type(twin) is type(layer)
    assert twin.get_config() == layer.get_config()
    check_trees(twin.apply(params, state, inputs)[0], layer.apply(params, state, inputs)[0])


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE if name.startswith(("dense", "embedding", "batch", "prelu", "local"))]
)
def test_gradients_are_those_of_differences(name):
    layer, params, state, inputs = made(name)
    inputs = jax.tree.map(jnp.asarray, inputs)
    weight = draw(*layer.apply(params, state, inputs, key=KEY, training=True)[0].shape, seed=7)
    direction = jax.tree.map(lambda value: draw(*value.shape, seed=8), params)

    @jax.jit
    def loss(distance):
        moved = jax.tree.map(lambda value, step: value + distance * step, params, direction)
        return jnp.sum(weight * layer.apply(moved, state, inputs, key=KEY, training=True)[0])

    difference = (loss(1e-2) - loss(-1e-2)) / 2e-2
    assert difference != 0
    np.testing.assert_allclose(jax.grad(loss)(0.0), difference, rtol=2e-2, atol=2e-3)


@each_layer
def test_one_device_is_two_devices(name):
    layer, params, state, inputs = made(name)
    key = random.as_key(KEY)
    outputs, new_state = layer.apply(params, state, inputs, key=key, training=True)

    def on_part(inputs):
        with batch.mapped(2):
            return layer.apply(params, state, inputs, key=key, training=True)

    parts = jax.tree.map(lambda x: x.reshape((2, x.shape[0] // 2, *x.shape[1:])), inputs)
    part_outputs, part_state = jax.pmap(on_part, axis_name=batch.AXIS)(parts)
    check_trees(jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), part_outputs), outputs, rtol=1e-4, atol=1e-5)
    check_trees(jax.tree.map(lambda x: x[0], part_state), jax.tree.map(jnp.asarray, new_state), rtol=1e-4)


# ------------------------------------------------------------------------------------------------------------- core


@pytest.mark.parametrize(
    ("layer", "inputs", "wanted"),
    [
        (layers.Masking(1.0), [[[1, 1], [1, 2]]], [[[0, 0], [1, 2]]]),
        (layers.Reshape((2, 2)), [[1, 2, 3, 4]], [[[1, 2], [3, 4]]]),
        (layers.Flatten("channels_first"), [[[1, 2], [3, 4]]], [[1, 3, 2, 4]]),
        (layers.RepeatVector(2), [[1, 2]], [[[1, 2], [1, 2]]]),
        (layers.Lambda(lambda x, by: x * by, arguments={"by": 3}), [[1, 2]], [[3, 6]]),
        (layers.LeakyReLU(0.5), [[-2, 0, 2]], [[-1, 0, 2]]),
        (layers.ThresholdedReLU(1.0), [[0, 1, 2]], [[0, 0, 2]]),
        (layers.ReLU(3.0, 0.5, 1.0), [[-1, 0, 1, 2, 4]], [[-1, -0.5, 0, 2, 3]]),
        (layers.ELU(2.0), [[-1, 1]], [[2 * np.expm1(-1), 1]]),
    ],
)
def test_values(layer, inputs, wanted):
    outputs, state = layer.apply({}, {}, jnp.asarray(inputs, "float32"))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-6)
    assert state == {}


@pytest.mark.parametrize(
    ("layer", "shape", "together"),
    [
        (layers.Dropout(0.5), (40, 50), ()),
        (layers.Dropout(0.5, noise_shape=(None, 1)), (2000, 3), (1,)),
        (layers.Dropout(0.5, noise_shape=(1, None)), (3, 2000), (0,)),
        (layers.Dropout(0.5, noise_shape=(2000, 1)), (2000, 3), (1,)),
        (layers.Dropout(0.5, noise_shape=(2000,)), (3, 2000), (0,)),
        (layers.SpatialDropout1D(0.5), (50, 3, 40), (1,)),
        (layers.SpatialDropout2D(0.5), (50, 2, 3, 40), (1, 2)),
        (layers.SpatialDropout3D(0.5, "channels_first"), (50, 40, 2, 2, 3), (2, 3, 4)),
    ],
)
def test_dropout_drops_together_what_it_should(layer, shape, together):
    outputs = np.asarray(layer.apply({}, {}, jnp.ones(shape), key=KEY, training=True)[0])
    assert set(np.unique(outputs)) == {0.0, 2.0}
    kept = np.all(outputs == 2.0, axis=together)
    assert np.all(kept == np.any(outputs == 2.0, axis=together))
    assert abs(kept.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(layer.apply({}, {}, jnp.ones(shape))[0], 1.0)


def test_seeds_draw_differently_from_one_key():
    draws = [
        np.asarray(layers.Dropout(0.5, seed=seed).apply({}, {}, jnp.ones((20, 20)), key=KEY, training=True)[0])
        for seed in (None, 1, 2, 1)
    ]
    assert not np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[1], draws[2])
    np.testing.assert_array_equal(draws[1], draws[3])


@pytest.mark.parametrize(
    ("layer", "mean", "stddev"),
    [(layers.GaussianNoise(0.3), 1, 0.3), (layers.GaussianDropout(0.2), 1, 0.5), (layers.AlphaDropout(0.2), None, 1)],
)
def test_noise_has_its_moments(layer, mean, stddev):
    inputs = jnp.ones((300, 300)) if mean is not None else draw(300, 300)
    outputs = np.asarray(layer.apply({}, {}, inputs, key=KEY, training=True)[0])
    assert abs(outputs.mean() - (mean or 0.0)) < 0.02
    assert abs(outputs.std() - stddev) < 0.02
    np.testing.assert_array_equal(layer.apply({}, {}, inputs)[0], inputs)


@pytest.mark.parametrize("rate", [0, 0.0, 1, 1.0])
def test_dropout_at_the_ends_drops_nothing(rate):
    assert layers.Dropout(rate).apply({}, {}, 7.0, training=True)[0] == 7.0


def test_masks_pass():
    x = draw(2, 3, 4)
    x[0, 1] = x[1, 2] = 0
    symbol = Input(shape=(3, 4))
    masked = layers.Dropout(0.5)(layers.Dense(2)(layers.Masking()(symbol)))
    model = Network(symbol, masked)
    call = model.run(*model.init(KEY), x)
    np.testing.assert_array_equal(call.mask, [[True, False, True], [True, True, False]])
    with pytest.raises(TypeError, match="does not support masking"):
        layers.Flatten()(masked)


# ----------------------------------------------------------------------------------------------------------- lambda


def test_lambda_is_handed_mask_and_training():
    layer = layers.Lambda(lambda x, mask=None, training=None: (mask, training))
    assert layer.apply({}, {}, jnp.ones(2), training=True, mask="mask")[0] == ("mask", True)
    assert layers.Lambda(square, mask=lambda x, mask: 7).compute_mask(1, None) == 7


@pytest.mark.parametrize(
    ("output_shape", "wanted"),
    [(None, (None, 3)), ((5,), (None, 5)), ([5], (None, 5)), (lambda s: [s[0], 7], (None, 7))],
)
def test_lambda_states_its_output_shape(output_shape, wanted):
    assert layers.Lambda(square, output_shape=output_shape).compute_output_shape((None, 3)) == wanted


def test_lambda_code_is_not_run_unless_allowed():
    offset = 2.0
    layer = layers.Lambda(lambda x, factor=3.0: factor * x + offset, name="affine", arguments={"factor": 4.0})
    config = layer.get_config()
    assert config["function_type"] == "lambda" and config["output_shape_type"] == "raw"
    assert layers.Lambda.from_config(config).function is layer.function
    foreign = config | {"function": core.func_dump(lambda x, factor=3.0: factor * x + offset)}
    with pytest.raises(ValueError, match=r"affine.*allow_code=True"):
        layers.Lambda.from_config(foreign)
    with core.allow_code():
        twin = layers.Lambda.from_config(foreign)
    assert twin.apply({}, {}, jnp.ones(1))[0].tolist() == [6.0]
    given = layers.deserialize(layers.serialize(layer), {"affine": lambda x, factor: -x})
    assert given.apply({}, {}, jnp.ones(1))[0].tolist() == [-1.0]
    with pytest.raises(ValueError, match="version of Python"):
        core.func_load("bm8gY29kZQ==\n")


def test_lambda_finds_functions_by_name():
    class Doubling:
        __name__ = "doubling"

        def __call__(self, x):
            return 2 * x

    layer = layers.Lambda(Doubling(), name="twice")
    config = layer.get_config()
    assert (config["function"], config["function_type"]) == ("doubling", "function")
    with pytest.raises(ValueError, match="doubling"):
        layers.Lambda.from_config(config)
    twin = layers.Lambda.from_config(config, custom_objects={"doubling": Doubling()})
    assert twin.apply({}, {}, jnp.ones(1))[0].tolist() == [2.0]


# ---------------------------------------------------------------------------------------------- batch normalization


def batch_norm_by_hand(layer, params, batches, axis):
    """Outputs of the last batch and moving averages after all, in float64."""
    biased = {"mean": 0.0, "variance": 0.0}
    for count, x in enumerate(batches, 1):
        x = x.astype("float64")
        others = tuple(i for i in range(x.ndim) if i != axis)
        mean, variance = x.mean(others, keepdims=True), x.var(others, keepdims=True)
        number = x.size / x.shape[axis]
        sample = variance * number / (number - 1 - layer.epsilon)
        if x.ndim == 4 and axis == 3:
            sample = sample * number / (number - 1)
        for name, value in (("mean", mean.ravel()), ("variance", sample.ravel())):
            biased[name] = layer.momentum * biased[name] + (1 - layer.momentum) * value
        moving = {name: value / (1 - layer.momentum**count) for name, value in biased.items()}
        shape = mean.shape
        gamma, beta = (np.asarray(params[name]).reshape(shape) for name in ("gamma", "beta"))
        outputs = (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta
    return outputs, moving


@pytest.mark.parametrize(("shape", "axis"), [((6, 4), -1), ((6, 3, 4), -1), ((6, 3, 2, 4), -1), ((6, 4, 3, 2), 1)])
def test_batch_normalization_follows_the_formula(shape, axis):
    layer = layers.BatchNormalization(
        axis, momentum=0.8, epsilon=1e-2, gamma_initializer="random_normal", beta_initializer="random_normal"
    )
    params, state = layer.init(KEY, (None, *shape[1:]))
    batches = [draw(*shape, seed=seed) * (seed + 1) + seed for seed in range(3)]
    for x in batches:
        outputs, state = layer.apply(params, state, x, training=True)
    wanted, moving = batch_norm_by_hand(layer, params, batches, axis % len(shape))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)
    for name, value in moving.items():
        np.testing.assert_allclose(state["moving_" + name], value, rtol=1e-5, atol=1e-6)
    inferred, after = layer.apply(params, state, batches[0])
    assert after is state
    view = [-1 if i == axis % len(shape) else 1 for i in range(len(shape))]
    mean, variance = (moving[name].reshape(view) for name in ("mean", "variance"))
    gamma, beta = (np.asarray(params[name]).reshape(view) for name in ("gamma", "beta"))
    np.testing.assert_allclose(inferred, (batches[0] - mean) / np.sqrt(variance + 1e-2) * gamma + beta, atol=1e-5)


def test_batch_normalization_of_images_knows_no_smaller_epsilon():
    layer, x = layers.BatchNormalization(epsilon=1e-7), draw(4, 3, 3, 2) * 1e-3
    params, state = layer.init(KEY, (None, 3, 3, 2))
    outputs, _ = layer.apply(params, state, x, training=True)
    wanted = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1.001e-5)
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)


def test_batch_normalization_saves_no_shadows():
    layer = layers.BatchNormalization(name="norm")
    layer(Input(shape=(3,)))
    names = [f"norm/{name}:0" for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    assert [weight.name for weight in layer.saved_weights()] == names
    assert [weight.name for weight in layer.trainable_weights] == names[:2]
    assert sorted(layer.variables()[1]) == sorted(layer.init(KEY, (None, 3))[1])


@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 1), ((4, 2, 3), 2), ((4, 3, 2, 2), 1)])
def test_normalize_has_the_derivatives_of_the_plain_formula(shape, axis):
    x, c = jnp.asarray(draw(*shape)), shape[axis]
    others = tuple(i for i in range(x.ndim) if i != axis)

    def plainly_normalized(x, gamma, beta):
        mean, variance = jnp.mean(x, others, keepdims=True), jnp.var(x, others, keepdims=True)
        outputs = (x - mean) / jnp.sqrt(variance + 1e-3) * gamma.reshape(mean.shape) + beta.reshape(mean.shape)
        return outputs, mean.ravel(), variance.ravel()

    gamma, beta, weight, moments = draw(c, seed=1), draw(c, seed=2), draw(*shape, seed=3), draw(c, seed=4)

    def loss(function):
        def total(x, gamma, beta):
            outputs, mean, variance = function(x, gamma, beta)
            return jnp.sum(weight * jnp.sin(outputs)) + jnp.sum(moments * (mean + jnp.square(variance)))

        return total

    ours = loss(lambda x, gamma, beta: normalize(x, gamma, beta, jnp.zeros(c), axis, 1e-3))
    plain = loss(plainly_normalized)
    tangents = draw(*shape, seed=5), draw(c, seed=6), draw(c, seed=7)
    stack = jnp.stack([x, 2 * x + 1])

    def derivatives(function):
        first = jax.grad(function, (0, 1, 2))
        return (
            first(x, gamma, beta),
            jax.jvp(function, (x, gamma, beta), tangents),
            jax.vmap(first, (0, None, None))(stack, gamma, beta),
            jax.jvp(first, (x, gamma, beta), tangents),  # second derivatives
        )

    check_trees(
        jax.jit(derivatives, static_argnums=0)(ours),
        jax.jit(derivatives, static_argnums=0)(plain),
        rtol=1e-2,
        atol=1e-3,
    )


def test_normalize_has_the_same_gradients_on_two_devices():
    x, gamma, beta, weight = draw(6, 3), draw(3, seed=1), draw(3, seed=2), draw(6, 3, seed=3)

    def loss(x, gamma, beta, weight):
        outputs, _, variance = normalize(x, gamma, beta, jnp.zeros(3), 1, 1e-3)
        return jnp.mean(weight * jnp.sin(outputs)) + jnp.sum(variance**2)

    def on_part(x, weight):
        with batch.mapped(2):
            by_x, *by_weights = jax.grad(loss, (0, 1, 2))(x, gamma, beta, weight)
            return by_x / 2, batch.means(by_weights)

    by_x, *by_weights = jax.grad(loss, (0, 1, 2))(x, gamma, beta, weight)
    parts, part_weights = jax.pmap(on_part, axis_name=batch.AXIS)(x.reshape(2, 3, 3), weight.reshape(2, 3, 3))
    np.testing.assert_allclose(parts.reshape(6, 3), by_x, rtol=1e-4, atol=1e-5)
    check_trees([part[0] for part in part_weights], by_weights, rtol=1e-4, atol=1e-5)


def test_batch_normalization_keeps_its_digits_far_from_zero():
    x = draw(64, 8, 4) + 1000
    exact = x.astype("float64").var((0, 1))
    _, mean, variance = normalize(jnp.asarray(x), jnp.ones(4), jnp.zeros(4), jnp.zeros(4), 2, 1e-3)
    np.testing.assert_allclose(mean, x.astype("float64").mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(variance, exact, rtol=1e-5)

    def on_part(x):
        with batch.mapped(2):
            return normalize(x, jnp.ones(4), jnp.zeros(4), jnp.full(4, 999.5), 2, 1e-3)[2]

    parts = jax.pmap(on_part, axis_name=batch.AXIS)(x.reshape(2, 32, 8, 4))
    np.testing.assert_allclose(parts[0], exact, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "float32", "uint8"])
def test_embedding_looks_up(dtype):
    layer, params, _, inputs = made("embedding")
    outputs, _ = layer.apply(params, {}, inputs.astype(dtype))
    np.testing.assert_array_equal(outputs, np.asarray(params["embeddings"])[inputs])
    np.testing.assert_array_equal(layer.compute_mask(inputs.astype(dtype)), inputs != 0)
    gradient = jax.grad(lambda p: jnp.sum(layer.apply(p, {}, inputs)[0]))(params)["embeddings"]
    np.testing.assert_array_equal(gradient[:, 0], np.bincount(inputs.ravel(), minlength=5))


@pytest.mark.parametrize("index", [-1, 5, 10**9])
def test_embedding_shows_indices_out_of_range(index):
    layer, params, _, _ = made("embedding")
    outputs, _ = layer.apply(params, {}, jnp.array([[0, index]]))
    assert np.isnan(outputs[0, 1]).all() and not np.isnan(outputs[0, 0]).any()


@pytest.mark.parametrize(
    ("input_length", "shape", "wanted"),
    [
        (None, (None, None), (None, None, 3)),
        (6, (None, None), (None, 6, 3)),
        ((2, None), (None, 2, 4), (None, 2, 4, 3)),
    ],
)
def test_embedding_knows_its_length(input_length, shape, wanted):
    assert layers.Embedding(5, 3, input_length=input_length)(Input(batch_shape=shape)).shape == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("add", lambda a, b, c: a + b + c),
        ("subtract", lambda a, b: a - b),
        ("multiply_broadcast", lambda a, b: a * b),
        ("average_ranks", lambda a, b: (a + b[:, None]) / 2),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
        ("concatenate", lambda a, b: np.concatenate([a, b], 1)),
        ("dot", lambda a, b: np.sum(a * b, axis=1, keepdims=True)),
        (
            "dot_normalize",
            lambda a, b: (
                (a / np.linalg.norm(a, axis=2, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True))
            ),
        ),
    ],
)
def test_merges(name, wanted):
    layer, _, _, inputs = made(name)
    np.testing.assert_allclose(layer.apply({}, {}, inputs)[0], wanted(*inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "axes", "formula"),
    [
        (((2, 3, 4), (2, 4)), (2, 1), "bij,bj->bi"),
        (((2, 4), (2, 3, 4)), (1, 2), "bj,bij->bi"),
        (((2, 4, 3), (2, 5, 4)), (1, 2), "bji,bkj->bik"),
        (((2, 5, 3, 4), (2, 4)), (3, 1), "bhij,bj->bhi"),
        (((2, 5, 3, 4), (2, 5, 4, 6)), (3, 2), "bhij,bhjk->bhik"),
        (((2, 5, 3, 4), (2, 5, 6, 4)), 3, "bhij,bhkj->bhik"),
    ],
)
def test_batch_dot(shapes, axes, formula):
    x, y = (draw(*shape, seed=seed) for seed, shape in enumerate(shapes))
    np.testing.assert_allclose(batch_dot(jnp.asarray(x), jnp.asarray(y), axes), np.einsum(formula, x, y), rtol=1e-4)


@pytest.mark.parametrize("merge", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"])
def test_functions_call_layers(merge):
    symbols = [Input(shape=(4,)), Input(shape=(4,))]
    symbol = getattr(layers, merge)(symbols, name="merged")
    layer = symbol._keras_history[0]
    assert (type(layer).__name__.lower(), layer.name) == (merge, "merged")
    assert layers.concatenate([Input(shape=(2, 3)), Input(shape=(5, 3))], axis=1).shape == (None, 7, 3)


@pytest.mark.parametrize(("name", "gradients"), [("Maximum", [1.0, 0.0]), ("Minimum", [1.0, 0.0])])
def test_the_first_of_equal_inputs_gets_the_gradient(name, gradients):
    merged = getattr(layers, name)()
    by = jax.grad(lambda x: merged.apply({}, {}, list(x))[0].sum())(jnp.ones((2, 1, 1)))
    assert by.ravel().tolist() == gradients


@pytest.mark.parametrize(
    ("layer", "shapes", "masks", "wanted"),
    [
        (layers.Add(), [(1, 2, 3)] * 2, [None, None], None),
        (layers.Add(), [(1, 2, 3)] * 2, [[[True, False]], None], [[True, False]]),
        (layers.Add(), [(1, 2, 3)] * 2, [[[True, False]], [[True, True]]], [[True, False]]),
        (layers.Concatenate(), [(1, 2, 3)] * 2, [[[True, False]], [[True, True]]], [[True, False]]),
        (layers.Concatenate(), [(1, 2, 3)] * 2, [[[True, False]], None], [[True, False]]),
        (layers.Concatenate(1), [(1, 2, 3), (1, 1, 3)], [[[True, False]], [[True]]], [[True, False, True]]),
        (layers.Concatenate(-2), [(1, 2, 3), (1, 1, 3)], [[[True, False]], None], [[True, False, True]]),
        (layers.Concatenate(), [(1, 2), (1, 1)], [[[True, True]], [[False]]], [False]),
        (layers.Dot(1), [(1, 2, 3)] * 2, [[[True, False]], None], None),
    ],
)
def test_masks_of_merges(layer, shapes, masks, wanted):
    masks = [None if mask is None else jnp.array(mask) for mask in masks]
    mask = layer.compute_mask([jnp.ones(shape) for shape in shapes], masks)
    assert (mask if mask is None else mask.tolist()) == wanted


@pytest.mark.parametrize("name", ["local_1d", "local_2d", "local_2d_channels_first"])
def test_locally_connected_by_hand(name):
    layer, params, _, x = made(name)
    kernel, bias = np.asarray(params["kernel"]), np.asarray(params["bias"])
    first = layer.data_format == "channels_first"
    wanted = np.zeros((len(x), *bias.shape), "float32")
    for number, place in enumerate(np.ndindex(*bias.shape[:-1])):
        starts = [at * stride for at, stride in zip(place, layer.strides, strict=True)]
        window = [slice(start, start + size) for start, size in zip(starts, layer.kernel_size, strict=True)]
        patch = x[(slice(None), slice(None), *window)] if first else x[(slice(None), *window)]
        wanted[(slice(None), *place)] = patch.reshape(len(x), -1) @ kernel[number]
    wanted = np.moveaxis(wanted, -1, 1) if first else wanted
    wanted = wanted + bias.reshape(wanted.shape[1:])
    np.testing.assert_allclose(layer.apply(params, {}, x)[0], wanted, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------- configs and errors


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (lambda: layers.Dropout(0.3, (None, 1), 3), {"rate": 0.3, "noise_shape": (None, 1), "seed": 3}),
        (lambda: layers.SpatialDropout2D(0.3, "channels_first"), {"rate": 0.3, "noise_shape": None, "seed": None}),
        (lambda: layers.AlphaDropout(0.3, seed=4), {"rate": 0.3}),
        (lambda: layers.Reshape([2, -1]), {"target_shape": (2, -1)}),
        (lambda: layers.Flatten(), {"data_format": "channels_last"}),
        (lambda: layers.ActivityRegularization(l2=0.5), {"l1": 0.0, "l2": 0.5}),
        (lambda: layers.LeakyReLU(1), {"alpha": 1.0}),
        (lambda: layers.ReLU(6), {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
        (lambda: layers.Concatenate(1), {"axis": 1}),
        (lambda: layers.Dot((1, 2), normalize=True), {"axes": (1, 2), "normalize": True}),
        (lambda: layers.Add(), {}),
        (
            lambda: layers.PReLU(shared_axes=1, trainable=False),
            {
                "alpha_initializer": {"class_name": "Zeros", "config": {}},
                "alpha_regularizer": None,
                "alpha_constraint": None,
                "shared_axes": [1],
                "trainable": False,
            },
        ),
    ],
)
def test_configs(layer, wanted):
    layer = layer()
    assert layer.get_config() == {"name": layer.name, "trainable": True, **wanted}


def test_config_of_a_locally_connected_layer_lacks_the_layout():
    config = layers.LocallyConnected1D(2, 3).get_config()
    assert "data_format" not in config and config["kernel_size"] == (3,) and config["activation"] == "linear"


def train(layer):
    """Run a layer without weights while training."""
    return layer.apply({}, {}, jnp.ones((2, 2)), key=KEY, training=True)


def on(layer, *shapes):
    """A call of the layer on inputs of these shapes."""
    return lambda: layer()([Input(shape=shape) for shape in shapes] if len(shapes) > 1 else Input(shape=shapes[0]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.Dense(0), ValueError, "Dense.*units.*positive integer.*0"),
        (lambda: layers.Dense(3, activation="no"), ValueError, "no"),
        (lambda: layers.Dense(3, unit=2), TypeError, "unit.*Dense"),
        (on(lambda: layers.Dense(3, name="d"), (None,)), ValueError, "Layer d .*last axis"),
        (lambda: layers.Reshape((-1, -1)), ValueError, "only specify one unknown"),
        (on(lambda: layers.Reshape((4,), name="r"), (3,)), ValueError, "Layer r .*total size.*unchanged"),
        (lambda: layers.Permute((0, 1)), ValueError, "permutation"),
        (on(lambda: layers.Permute((2, 1)), (3,)), ValueError, "expected ndim=3"),
        (on(lambda: layers.Flatten(), (3,)), ValueError, "expected min_ndim=3"),
        (lambda: layers.Flatten("last"), ValueError, "data_format"),
        (lambda: layers.Lambda(3), TypeError, "function.*callable"),
        (
            lambda: layers.Dropout(0.5, name="d").apply({}, {}, jnp.ones((2, 2)), training=True),
            ValueError,
            "Layer d .*key",
        ),
        (lambda: train(layers.Dropout(0.5, (3, 1))), ValueError, "noise_shape=.3, 1. does not broadcast"),
        (lambda: train(layers.Dropout(0.5, (2, 1, 1))), ValueError, "noise_shape=.2, 1, 1. has more axes"),
        (on(lambda: layers.BatchNormalization(name="b"), (None,)), ValueError, "Layer b .*axis -1"),
        (on(lambda: layers.PReLU(name="p"), (None, 3)), ValueError, "Layer p .*shared_axes"),
        (lambda: layers.ReLU(max_value=-1), ValueError, "max_value.*negative.*-1"),
        (on(lambda: layers.Embedding(5, 3, input_length=4, name="e"), (6,)), ValueError, "Layer e .*input_length.*4"),
        (on(lambda: layers.Add(), (3,)), ValueError, "list of at least 2"),
        (on(lambda: layers.Add(name="a"), (3,), (4,)), ValueError, "Layer a .*broadcast.*3.*4"),
        (on(lambda: layers.Subtract(), (3,), (3,), (3,)), ValueError, "exactly 2"),
        (on(lambda: layers.Concatenate(), (3, 2), (4, 2)), ValueError, "matching shapes"),
        (on(lambda: layers.Concatenate(3), (3,), (4,)), ValueError, "no axis 3"),
        (on(lambda: layers.Dot(1), (3,), (4,)), ValueError, "3 != 4"),
        (on(lambda: layers.LocallyConnected1D(2, 3), (None, 3)), ValueError, "fully-defined"),
        (lambda: layers.LocallyConnected2D(2, 3, padding="same"), ValueError, 'only "valid"'),
        (lambda: layers.deserialize({"class_name": "Dance", "config": {}}), ValueError, "Dance"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


@pytest.mark.parametrize("name", [name for name in layers.__all__ if isinstance(getattr(layers, name), type)])
def test_the_table_of_layers_has_each_class(name):
    root = pathlib.Path(__file__).resolve().parent.parent
    rows = [line.split(" | ") for line in (root / "docs" / "layers.md").read_text(encoding="utf-8").splitlines()]
    found = [row for row in rows if row[0].startswith("| ") and f"`{name}`" in row[0]]
    assert len(found) == 1 and len(found[0]) == 4
    path = getattr(layers, name).__module__.replace(".", "/") + ".py"
    assert f"(../{path})" in found[0][1] and (root / path).exists()
