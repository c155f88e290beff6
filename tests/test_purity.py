"""Every layer is a pure pair: same arguments, same bits, nothing left behind, and its shapes are those it infers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras import layers
from jkeras.graph.layer import Layer
from jkeras.graph.tensor import SymbolicTensor
from jkeras.models import Model

IMAGE, IMAGES, SEQUENCE, VOLUME = (2, 6, 5, 3), (2, 3, 6, 5, 2), (2, 4, 3), (2, 4, 4, 5, 2)

# Layer, and the shape(s) of its input. Integer inputs are marked by a dtype behind the shape.
CATALOGUE = [
    (lambda: layers.Dense(3, activation="tanh"), (2, 4)),
    (lambda: layers.Activation("softmax"), (2, 4)),
    (lambda: layers.Dropout(0.5), (2, 4)),
    (lambda: layers.SpatialDropout1D(0.5), SEQUENCE),
    (lambda: layers.SpatialDropout2D(0.5), IMAGE),
    (lambda: layers.SpatialDropout3D(0.5), VOLUME),
    (lambda: layers.Flatten(), IMAGE),
    (lambda: layers.Reshape((3, -1)), (2, 4, 6)),
    (lambda: layers.Permute((2, 1)), SEQUENCE),
    (lambda: layers.RepeatVector(3), (2, 4)),
    (lambda: layers.Lambda(lambda x, factor: x * factor, arguments={"factor": 2.0}), (2, 4)),
    (lambda: layers.ActivityRegularization(l1=0.1), (2, 4)),
    (lambda: layers.Masking(), SEQUENCE),
    (lambda: layers.Embedding(7, 3, mask_zero=True), (2, 4, "int32")),
    (lambda: layers.Conv1D(2, 2, padding="causal"), SEQUENCE),
    (lambda: layers.Conv2D(2, 3, padding="same", strides=2), IMAGE),
    (lambda: layers.Conv3D(2, 2), VOLUME),
    (lambda: layers.Conv2DTranspose(2, 3, strides=2), IMAGE),
    (lambda: layers.Conv3DTranspose(2, 2), VOLUME),
    (lambda: layers.SeparableConv1D(2, 2), SEQUENCE),
    (lambda: layers.SeparableConv2D(2, 3), IMAGE),
    (lambda: layers.DepthwiseConv2D(3, padding="same"), IMAGE),
    (lambda: layers.UpSampling1D(2), SEQUENCE),
    (lambda: layers.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    (lambda: layers.UpSampling3D(2), VOLUME),
    (lambda: layers.ZeroPadding1D(1), SEQUENCE),
    (lambda: layers.ZeroPadding2D(1), IMAGE),
    (lambda: layers.ZeroPadding3D(1), VOLUME),
    (lambda: layers.Cropping1D(1), SEQUENCE),
    (lambda: layers.Cropping2D(1), IMAGE),
    (lambda: layers.Cropping3D(1), VOLUME),
    (lambda: layers.MaxPooling1D(2), SEQUENCE),
    (lambda: layers.MaxPooling2D(2, padding="same"), IMAGE),
    (lambda: layers.MaxPooling3D(2), VOLUME),
    (lambda: layers.AveragePooling1D(2), SEQUENCE),
    (lambda: layers.AveragePooling2D(2, padding="same"), IMAGE),
    (lambda: layers.AveragePooling3D(2), VOLUME),
    (lambda: layers.GlobalMaxPooling1D(), SEQUENCE),
    (lambda: layers.GlobalMaxPooling2D(), IMAGE),
    (lambda: layers.GlobalMaxPooling3D(), VOLUME),
    (lambda: layers.GlobalAveragePooling1D(), SEQUENCE),
    (lambda: layers.GlobalAveragePooling2D(), IMAGE),
    (lambda: layers.GlobalAveragePooling3D(), VOLUME),
    (lambda: layers.LocallyConnected1D(2, 2), SEQUENCE),
    (lambda: layers.LocallyConnected2D(2, 3), IMAGE),
    (lambda: layers.SimpleRNN(3, dropout=0.2), SEQUENCE),
    (lambda: layers.GRU(3, recurrent_dropout=0.2), SEQUENCE),
    (lambda: layers.LSTM(3, return_sequences=True, return_state=True), SEQUENCE),
    (lambda: layers.LSTM(3, stateful=True, go_backwards=True, unroll=True), SEQUENCE),
    (lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2), layers.SimpleRNNCell(2)]), SEQUENCE),
    (lambda: layers.CuDNNGRU(3), SEQUENCE),
    (lambda: layers.CuDNNLSTM(3), SEQUENCE),
    (lambda: layers.ConvLSTM2D(2, 2), IMAGES),
    (lambda: layers.Add(), [(2, 4), (2, 4)]),
    (lambda: layers.Subtract(), [(2, 4), (2, 4)]),
    (lambda: layers.Multiply(), [(2, 4), (2, 4)]),
    (lambda: layers.Average(), [(2, 4), (2, 4)]),
    (lambda: layers.Maximum(), [(2, 4), (2, 4)]),
    (lambda: layers.Minimum(), [(2, 4), (2, 4)]),
    (lambda: layers.Concatenate(), [(2, 4), (2, 3)]),
    (lambda: layers.Dot(1, normalize=True), [(2, 4), (2, 4)]),
    (lambda: layers.LeakyReLU(), (2, 4)),
    (lambda: layers.PReLU(), (2, 4)),
    (lambda: layers.ELU(), (2, 4)),
    (lambda: layers.ThresholdedReLU(), (2, 4)),
    (lambda: layers.Softmax(), (2, 4)),
    (lambda: layers.ReLU(max_value=1.0), (2, 4)),
    (lambda: layers.BatchNormalization(), IMAGE),
    (lambda: layers.GaussianNoise(0.1), (2, 4)),
    (lambda: layers.GaussianDropout(0.1), (2, 4)),
    (lambda: layers.AlphaDropout(0.1), (2, 4)),
    (lambda: layers.TimeDistributed(layers.Dense(2)), SEQUENCE),
    (lambda: layers.Bidirectional(layers.LSTM(2)), SEQUENCE),
]
PARTS = {"Layer", "InputLayer", "Wrapper", "ConvRNN2D"}  # bases, and where data enters
CELLS = {"SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells", "ConvLSTM2DCell"}  # run inside RNNs above
IDS = [f"{number}-{type(make()).__name__}" for number, (make, _) in enumerate(CATALOGUE)]


def inputs_of(shapes):
    """Arrays, and their shapes, of an entry of the catalogue."""
    rng = np.random.RandomState(0)

    def one(shape):
        if isinstance(shape[-1], str):
            return rng.randint(0, 5, shape[:-1]).astype(shape[-1])
        return rng.randn(*shape).astype("float32")

    arrays = [one(shape) for shape in shapes] if isinstance(shapes, list) else one(shapes)
    return arrays, jax.tree.map(lambda array: array.shape, arrays)


def same(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def contents(layer):
    """What hangs on a layer and its parts, by identity."""
    parts = [layer, *layer.sublayers().values()]
    return [{name: id(value) for name, value in vars(part).items()} for part in parts]


def test_the_catalogue_is_complete():
    found = {type(make()) for make, _ in CATALOGUE}
    for name in layers.__all__:
        thing = getattr(layers, name)
        if isinstance(thing, type) and issubclass(thing, Layer) and thing.__name__ not in PARTS | CELLS:
            assert thing in found or thing.__module__ == "jkeras.layers.legacy", name


@pytest.mark.parametrize("make,shapes", CATALOGUE, ids=IDS)
def test_pure(make, shapes):
    layer = make()
    arrays, shape = inputs_of(shapes)
    key = jax.random.key(1)
    before = contents(layer)
    with jax.checking_leaks():
        params, state = layer.init(key, shape)
        again = layer.init(key, shape)
        results = [layer.apply(params, state, arrays, key=key, training=training) for training in (True, True, False)]
    assert same((params, state), again)
    assert same(results[0], results[1])
    assert jax.tree.structure(results[0][1]) == jax.tree.structure(state)
    assert contents(layer) == before
    assert not any(isinstance(leaf, SymbolicTensor) for leaf in jax.tree.leaves((params, state)))


@pytest.mark.parametrize("make,shapes", CATALOGUE, ids=IDS)
def test_on_symbols(make, shapes):
    """The inferred shape is the actual one, compiled is eager, and a config makes the same layer again."""
    layer = make()
    arrays, shape = inputs_of(shapes)
    several = isinstance(arrays, list)
    batch = None if not layer.stateful else 2
    symbols = [
        layers.Input(batch_shape=(batch, *array.shape[1:]), dtype=str(array.dtype))
        for array in (arrays if several else [arrays])
    ]
    model = Model(symbols if several else symbols[0], layer(symbols if several else symbols[0]))
    params, state = model.init(jax.random.key(0))
    eager, _ = model.apply(params, state, arrays)
    compiled, _ = jax.jit(model.apply)(params, state, arrays)
    for symbol, a, b in zip(model.outputs, jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        assert symbol.shape == (batch, *a.shape[1:]) and symbol.dtype == str(a.dtype)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)
    if isinstance(layer, layers.Lambda):
        return  # its function is code: see the tests of Lambda
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    own = (tree.get(layer.name, {}) for tree in (params, state))
    assert same(twin.apply(*own, arrays)[0], eager)


@pytest.mark.parametrize("make,shapes", CATALOGUE, ids=IDS)
def test_gradient_is_that_of_finite_differences(make, shapes):
    layer = make()
    arrays, shape = inputs_of(shapes)
    params, state = layer.init(jax.random.key(0), shape)
    params = jax.tree.map(jnp.asarray, params)
    if not jax.tree.leaves(params):
        return

    def loss(params):
        outputs = layer.apply(params, state, arrays, key=jax.random.key(2), training=True)[0]
        return sum(jnp.sum(jnp.sin(output)) for output in jax.tree.leaves(outputs))

    rng = np.random.RandomState(1)
    direction = jax.tree.map(lambda leaf: rng.randn(*leaf.shape).astype("float32"), params)
    step = 3e-3
    ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * d, params, direction) for s in (step, -step))
    slope = (loss(ahead) - loss(behind)) / (2 * step)
    gradient = jax.grad(loss)(params)
    along = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(slope, along, rtol=3e-2, atol=3e-2)
