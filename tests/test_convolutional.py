"""Convolutions, pooling, padding, cropping, upsampling: against sums in numpy, in both layouts, for all ranks."""

import itertools

import jax
import jax.numpy as jnp
import kit
import numpy as np
import pytest
from kit import draw

from jkeras.graph.topology import Input, Network
from jkeras.layers import convolutional, pooling
from jkeras.layers.kernels import conv, forms, pool, spatial, windows


def close(got, expected, tolerance=1e-4):
    kit.close(got, expected, tolerance)


def run(function, *arguments, arrays):
    """function(*arrays, *arguments), compiled: by itself each little operation is a program to compile."""
    return jax.jit(lambda *arrays: function(*arrays, *arguments))(*arrays)


def first(array):
    """channels_last to channels_first."""
    return np.moveaxis(np.asarray(array), -1, 1)


# ------------------------------------------------------------------------------------------ references, written out


def padded(inputs, window, strides, padding, dilation, value=0.0):
    pads = []
    for size, k, s, d in zip(inputs.shape[1:-1], window, strides, dilation, strict=True):
        span = (k - 1) * d + 1
        total = {"valid": 0, "same": max((-(-size // s) - 1) * s + span - size, 0), "causal": span - 1}[padding]
        before = total if padding == "causal" else total // 2
        pads.append((before, total - before))
    return np.pad(inputs, [(0, 0), *pads, (0, 0)], constant_values=value)


def views(inputs, window, strides, dilation):
    """(place of the output, place of the window, what is there) for padded inputs."""
    out = [
        (n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(inputs.shape[1:-1], window, strides, dilation, strict=True)
    ]
    for p in np.ndindex(*out):
        for w in np.ndindex(*window):
            at = tuple(a * s + b * d for a, s, b, d in zip(p, strides, w, dilation, strict=True))
            yield out, p, w, inputs[(slice(None), *at)]


def naive_conv(inputs, kernel, strides, padding, dilation):
    window = kernel.shape[:-2]
    outputs = None
    for out, p, w, values in views(padded(inputs, window, strides, padding, dilation), window, strides, dilation):
        if outputs is None:
            outputs = np.zeros((len(inputs), *out, kernel.shape[-1]))
        outputs[(slice(None), *p)] += values @ kernel[w]
    return outputs


def naive_pool(inputs, window, strides, padding, combine):
    ones = (1,) * len(window)
    cells, outputs = {}, None
    for out, p, _, values in views(padded(inputs, window, strides, padding, ones, np.nan), window, strides, ones):
        if outputs is None:
            outputs = np.zeros((len(inputs), *out, inputs.shape[-1]))
        cells.setdefault(p, []).append(values)
    for p, values in cells.items():
        outputs[(slice(None), *p)] = combine(values, axis=0)
    return outputs


# ---------------------------------------------------------------------------------------------------------- kernels

CONVOLUTIONS = [  # inputs, kernel, strides, padding, dilation
    ((2, 8, 3), (3, 3, 4), (1,), "valid", (1,)),
    ((2, 7, 3), (2, 3, 4), (2,), "same", (1,)),
    ((2, 9, 2), (3, 2, 3), (1,), "causal", (2,)),
    ((2, 9, 2), (3, 2, 3), (2,), "causal", (1,)),
    ((2, 6, 7, 2), (3, 3, 2, 3), (1, 1), "valid", (1, 1)),
    ((2, 7, 6, 3), (2, 3, 3, 4), (2, 1), "same", (1, 1)),
    ((2, 8, 7, 2), (4, 3, 2, 2), (3, 3), "same", (1, 1)),
    ((2, 9, 8, 2), (3, 2, 2, 2), (2, 3), "valid", (1, 1)),
    ((2, 8, 9, 2), (2, 3, 2, 2), (1, 1), "same", (2, 3)),
    ((2, 8, 8, 2), (3, 3, 2, 2), (1, 1), "valid", (2, 2)),
    ((2, 5, 6, 3), (1, 1, 3, 4), (2, 2), "same", (1, 1)),
    ((2, 5, 6, 3), (1, 1, 3, 4), (1, 1), "valid", (1, 1)),
    ((1, 4, 5, 4, 2), (2, 1, 3, 2, 3), (1, 2, 1), "same", (1, 1, 1)),
    ((1, 4, 5, 4, 2), (2, 2, 2, 2, 3), (1, 1, 1), "valid", (2, 1, 1)),
]


@pytest.fixture(params=["for the CPU", "general"])
def both_forms(request, monkeypatch):
    """Run a test with the forms for the CPU, and with those for other devices."""
    if request.param == "general":
        monkeypatch.setattr(forms, "_by_platform", lambda general, cpu, *arrays: general(*arrays))


@pytest.mark.parametrize("shape, kernel_shape, strides, padding, dilation", CONVOLUTIONS)
def test_convolve(shape, kernel_shape, strides, padding, dilation, both_forms):
    inputs, kernel = draw(*shape), draw(*kernel_shape, seed=1)
    expected = naive_conv(inputs, kernel, strides, padding, dilation)
    got = run(conv.convolve, strides, padding, "channels_last", dilation, arrays=(inputs, kernel))
    close(got, expected)
    if padding != "causal":
        got = run(conv.convolve, strides, padding, "channels_first", dilation, arrays=(first(inputs), kernel))
        close(got, first(expected))


@pytest.mark.parametrize("shape, kernel_shape, strides, padding, dilation", CONVOLUTIONS)
def test_gradients_of_the_forms_agree(shape, kernel_shape, strides, padding, dilation, monkeypatch):
    inputs, kernel = draw(*shape), draw(*kernel_shape, seed=1)

    def gradients(in_loop=False):
        def loss(inputs, kernel):
            outputs = conv.convolve(inputs, kernel, strides, padding, "channels_last", dilation, in_loop)
            return jnp.sum(jnp.sin(outputs))

        return jax.jit(jax.grad(loss, (0, 1)))(inputs, kernel)

    offered = gradients(), gradients(in_loop=True)
    monkeypatch.setattr(forms, "_by_platform", lambda general, cpu, *arrays: general(*arrays))
    for own, in_loop, general in zip(*offered, gradients(), strict=True):
        close(own, general)
        close(in_loop, general)


TRANSPOSED = [  # inputs, window, strides, padding, output_padding, dilation
    ((5,), (3,), (2,), "same", None, (1,)),
    ((4, 5), (3, 3), (1, 1), "valid", None, (1, 1)),
    ((4, 5), (3, 3), (2, 2), "same", None, (1, 1)),
    ((4, 3), (2, 3), (2, 1), "valid", None, (1, 1)),
    ((4, 4), (3, 3), (2, 2), "same", (1, 1), (1, 1)),
    ((4, 4), (3, 3), (2, 2), "valid", (1, 0), (1, 1)),
    ((3, 4), (2, 2), (3, 3), "valid", None, (1, 1)),
    ((5, 4), (3, 3), (1, 1), "same", None, (2, 2)),
    ((2, 3, 2), (3, 2, 3), (2, 2, 1), "same", None, (1, 1, 1)),
]


@pytest.mark.parametrize("space, window, strides, padding, extra, dilation", TRANSPOSED)
def test_transposed_convolution_is_the_transpose(space, window, strides, padding, extra, dilation):
    inputs, kernel = draw(2, *space, 3), draw(*window, 4, 3, seed=1)
    size = [
        windows.deconv_length(n, s, k, padding, e, d)
        for n, s, k, e, d in zip(space, strides, window, extra or (None,) * len(space), dilation, strict=True)
    ]

    @jax.jit
    def map_back(inputs, kernel):
        return conv.convolve_transpose(inputs, kernel, size, strides, padding, "channels_last", dilation)

    outputs = map_back(inputs, kernel)
    assert outputs.shape == (2, *size, 4)
    other = draw(*outputs.shape, seed=2)
    forth = naive_conv(other, kernel, strides, padding, dilation)
    close(np.vdot(forth, inputs), np.vdot(other, outputs), 1e-3)
    # The derivative has a rule of its own: forward and reverse mode, alone and under vmap, against differences.
    direction = draw(*inputs.shape, seed=3), draw(*kernel.shape, seed=4)
    _, forward = jax.jvp(map_back, (inputs, kernel), direction)
    close(forward, map_back(direction[0], kernel) + map_back(inputs, direction[1]))
    gradients = jax.jit(jax.grad(lambda *both: jnp.vdot(other, map_back(*both)), (0, 1)))(inputs, kernel)
    total = sum(float(np.vdot(g, d)) for g, d in zip(gradients, direction, strict=True))
    close(total, float(np.vdot(other, forward)), 1e-3)

    gradient = jax.grad(lambda kernel, inputs: jnp.sum(map_back(inputs, kernel) ** 2))
    stacked = jax.jit(jax.vmap(gradient, (None, 0)))(kernel, inputs[:, None])
    close(np.sum(stacked, 0), jax.jit(gradient)(kernel, inputs), 1e-3)


def test_transposed_convolution_has_a_hessian():
    inputs, kernel = draw(1, 3, 2), draw(2, 2, 2, seed=1)

    def loss(kernel):
        return jnp.sum(conv.convolve_transpose(inputs, kernel, [6], (2,), "same") ** 3)

    hessian = np.reshape(jax.jit(jax.hessian(loss))(kernel), (8, 8))
    close(hessian, hessian.T)
    step = draw(8, seed=2) * 1e-2
    gradient = jax.jit(jax.grad(loss))
    difference = gradient(kernel + step.reshape(2, 2, 2)) - gradient(kernel - step.reshape(2, 2, 2))
    close(2 * hessian @ step, np.ravel(difference), 1e-3)


@pytest.mark.parametrize(
    "shape, window, multiplier, strides, padding, dilation",
    [
        ((2, 6, 5, 3), (3, 3), 1, (1, 1), "valid", (1, 1)),
        ((2, 7, 6, 2), (2, 3), 2, (2, 2), "same", (1, 1)),
        ((2, 7, 6, 2), (3, 3), 2, (1, 1), "same", (2, 2)),
        ((2, 9, 2), (3,), 3, (2,), "same", (1,)),
    ],
)
def test_depthwise(shape, window, multiplier, strides, padding, dilation, both_forms):
    channels = shape[-1]
    inputs, kernel = draw(*shape), draw(*window, channels, multiplier, seed=1)
    expected = np.concatenate(
        [
            naive_conv(inputs[..., c : c + 1], kernel[..., c : c + 1, :], strides, padding, dilation)
            for c in range(channels)
        ],
        -1,
    )
    last = strides, padding, "channels_last", dilation
    close(run(conv.depthwise, *last, arrays=(inputs, kernel)), expected)
    got = run(conv.depthwise, strides, padding, "channels_first", dilation, arrays=(first(inputs), kernel))
    close(got, first(expected))
    mix = draw(*(1,) * len(window), channels * multiplier, 4, seed=2)
    close(run(conv.separable, *last, arrays=(inputs, kernel, mix)), expected @ mix.reshape(-1, 4))


POOLS = [  # inputs, window, strides, padding
    ((2, 8, 3), (2,), (2,), "valid"),
    ((2, 9, 3), (3,), (2,), "same"),
    ((2, 7, 6, 2), (2, 2), (2, 2), "valid"),
    ((2, 6, 5, 2), (3, 2), (2, 1), "same"),
    ((2, 8, 7, 2), (2, 2), (3, 3), "same"),
    ((2, 7, 7, 2), (3, 3), (1, 1), "same"),
    ((2, 7, 7, 2), (3, 3), (2, 2), "valid"),
    ((1, 4, 5, 4, 2), (2, 2, 3), (1, 2, 2), "same"),
]


@pytest.mark.parametrize("kernel, combine", [(pool.max_pool, np.nanmax), (pool.average_pool, np.nanmean)])
@pytest.mark.parametrize("shape, window, strides, padding", POOLS)
@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning", "ignore:Mean of empty:RuntimeWarning")
def test_pool(kernel, combine, shape, window, strides, padding, both_forms):
    inputs = draw(*shape)
    expected = naive_pool(inputs, window, strides, padding, combine)
    close(run(kernel, window, strides, padding, arrays=(inputs,)), expected)
    close(run(kernel, window, strides, padding, "channels_first", arrays=(first(inputs),)), first(expected))


@pytest.mark.parametrize("window, strides", [((2, 2), (2, 2)), ((3, 3), (1, 1)), ((3, 2), (2, 2)), ((1, 4), (1, 2))])
def test_gradient_of_equal_values_goes_to_the_first(window, strides, both_forms):
    inputs = np.random.RandomState(0).randint(0, 3, size=(2, 6, 6, 2)).astype("float32")
    expected = np.zeros_like(inputs)
    for at in itertools.product(range(2), range(0, 7 - window[0], strides[0]), range(0, 7 - window[1], strides[1])):
        n, row, column = at
        for channel in range(2):
            cut = inputs[n, row : row + window[0], column : column + window[1], channel]
            place = np.unravel_index(np.argmax(cut), cut.shape)
            expected[n, row + place[0], column + place[1], channel] += 1
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(pool.max_pool(x, window, strides))))(inputs)
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bfloat16"])
def test_max_pool_of_other_types(dtype):
    inputs = jnp.arange(16).reshape(1, 4, 4, 1).astype(dtype)
    outputs = run(pool.max_pool, (3, 3), (2, 2), "same", arrays=(inputs,))
    assert outputs.dtype == dtype
    np.testing.assert_array_equal(outputs.astype("float32").ravel(), [10, 11, 14, 15])


def test_upsample_values():
    inputs = np.array([1.0, 4.0, 2.0], "float32").reshape(1, 3, 1)
    np.testing.assert_array_equal(spatial.upsample(inputs, (2,)).ravel(), [1, 1, 4, 4, 2, 2])
    between = np.array([1, 2, 3, 4, 10 / 3, 8 / 3, 2, 2, 2])
    close(spatial.upsample(inputs, (3,), interpolation="bilinear").ravel(), between)
    image = draw(2, 3, 4, 2)
    both = run(spatial.upsample, (2, 3), "channels_last", "bilinear", arrays=(image,))
    np.testing.assert_array_equal(np.asarray(both)[:, ::2, ::3], image)
    close(first(both), run(spatial.upsample, (2, 3), "channels_first", "bilinear", arrays=(first(image),)))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_bias_add(layout):
    inputs, one, many = draw(2, 3, 4, 5), draw(5, seed=1), draw(3, 4, 5, seed=2)
    turn = first if layout == "channels_first" else np.asarray
    for bias in (one, many):
        close(conv.bias_add(turn(inputs), bias, layout), turn(inputs + bias))
    with pytest.raises(ValueError, match="Unexpected bias dimensions 2"):
        conv.bias_add(inputs, draw(4, 5), layout)


# ----------------------------------------------------------------------------------------------------------- layers

L = convolutional
P = pooling
LAYERS = [  # class, arguments, input shape, output shape, weights
    (L.Conv1D, {"filters": 4, "kernel_size": 3, "padding": "causal"}, (9, 2), (9, 4), [(3, 2, 4), (4,)]),
    (L.Conv1D, {"filters": 4, "kernel_size": 3, "strides": 2}, (9, 2), (4, 4), [(3, 2, 4), (4,)]),
    (L.Conv2D, {"filters": 4, "kernel_size": 3}, (6, 7, 2), (4, 5, 4), [(3, 3, 2, 4), (4,)]),
    (
        L.Conv2D,
        {"filters": 4, "kernel_size": (3, 2), "padding": "SAME", "strides": 2, "use_bias": False},
        (7, 6, 2),
        (4, 3, 4),
        [(3, 2, 2, 4)],
    ),
    (
        L.Conv3D,
        {"filters": 3, "kernel_size": 2, "dilation_rate": 2},
        (4, 5, 4, 2),
        (2, 3, 2, 3),
        [(2, 2, 2, 2, 3), (3,)],
    ),
    (L.Conv2DTranspose, {"filters": 3, "kernel_size": 3, "strides": 2}, (4, 5, 2), (9, 11, 3), [(3, 3, 3, 2), (3,)]),
    (
        L.Conv2DTranspose,
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0},
        (4, 5, 2),
        (7, 9, 3),
        [(3, 3, 3, 2), (3,)],
    ),
    (
        L.Conv3DTranspose,
        {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"},
        (2, 3, 2, 2),
        (4, 6, 4, 3),
        [(2, 2, 2, 3, 2), (3,)],
    ),
    (L.SeparableConv1D, {"filters": 3, "kernel_size": 3}, (8, 2), (6, 3), [(3, 2, 1), (1, 2, 3), (3,)]),
    (
        L.SeparableConv2D,
        {"filters": 3, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
        (6, 5, 2),
        (6, 5, 3),
        [(3, 3, 2, 2), (1, 1, 4, 3), (3,)],
    ),
    (L.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2}, (6, 5, 2), (4, 3, 4), [(3, 3, 2, 2), (4,)]),
    (L.UpSampling1D, {"size": 3}, (4, 2), (12, 2), []),
    (L.UpSampling2D, {"size": (1, 3)}, (4, 5, 2), (4, 15, 2), []),
    (L.UpSampling2D, {"size": 2, "interpolation": "bilinear"}, (4, 5, 2), (8, 10, 2), []),
    (L.UpSampling3D, {"size": (1, 2, 3)}, (2, 3, 2, 2), (2, 6, 6, 2), []),
    (L.ZeroPadding1D, {"padding": (0, 2)}, (4, 2), (6, 2), []),
    (L.ZeroPadding2D, {"padding": ((1, 0), (2, 1))}, (4, 5, 2), (5, 8, 2), []),
    (L.ZeroPadding3D, {"padding": (1, 0, 2)}, (2, 3, 2, 2), (4, 3, 6, 2), []),
    (L.Cropping1D, {"cropping": 1}, (4, 2), (2, 2), []),
    (L.Cropping2D, {"cropping": ((1, 0), (2, 1))}, (4, 5, 2), (3, 2, 2), []),
    (L.Cropping3D, {"cropping": (0, 1, 0)}, (2, 3, 2, 2), (2, 1, 2, 2), []),
    (P.MaxPooling1D, {"pool_size": 2}, (7, 2), (3, 2), []),
    (P.MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, (6, 7, 2), (3, 4, 2), []),
    (P.MaxPooling3D, {}, (4, 5, 4, 2), (2, 2, 2, 2), []),
    (P.AveragePooling1D, {"pool_size": 3, "strides": 1, "padding": "same"}, (7, 2), (7, 2), []),
    (P.AveragePooling2D, {"pool_size": (2, 3), "padding": "same"}, (5, 7, 2), (3, 3, 2), []),
    (P.AveragePooling3D, {"strides": 1}, (3, 4, 3, 2), (2, 3, 2, 2), []),
    (P.GlobalMaxPooling1D, {}, (7, 2), (2,), []),
    (P.GlobalMaxPooling2D, {}, (4, 5, 2), (2,), []),
    (P.GlobalMaxPooling3D, {}, (2, 3, 2, 2), (2,), []),
    (P.GlobalAveragePooling1D, {}, (7, 2), (2,), []),
    (P.GlobalAveragePooling2D, {}, (4, 5, 2), (2,), []),
    (P.GlobalAveragePooling3D, {}, (2, 3, 2, 2), (2,), []),
]
NAMES = [f"{cls.__name__}-{number}" for number, (cls, *_) in enumerate(LAYERS)]


@pytest.mark.parametrize("cls, arguments, shape, expected, weights", LAYERS, ids=NAMES)
def test_layer(cls, arguments, shape, expected, weights):
    layer = cls(**arguments)
    symbol = Input(shape)
    outputs = layer(symbol)
    assert outputs.shape == (None, *expected)
    assert layer.compute_output_shape((None, *shape)) == (None, *expected)
    assert [weight.shape for weight in layer.get_weights()] == weights
    params, state = layer.init(jax.random.key(0), (None, *shape))
    inputs = draw(3, *shape)
    eager, _ = layer.apply(params, state, inputs, training=True)
    compiled, _ = jax.jit(lambda p, s, x: layer.apply(p, s, x))(params, state, inputs)
    assert eager.shape == (3, *expected)
    close(eager, compiled)
    config = layer.get_config()
    again = cls.from_config(config)
    assert again.get_config() == config
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(again.apply(params, state, x)[0] ** 2)))(inputs)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize("cls, arguments, shape, expected, weights", LAYERS, ids=NAMES)
def test_unknown_sizes(cls, arguments, shape, expected, weights):
    *space, channels = shape
    outputs = cls(**arguments)(Input((*[None] * len(space), channels)))
    assert outputs.shape == (*[None] * len(expected), expected[-1])


@pytest.mark.parametrize("cls, arguments, shape, expected, weights", LAYERS, ids=NAMES)
def test_channels_first(cls, arguments, shape, expected, weights):
    if "data_format" not in cls(**arguments).get_config() or arguments.get("padding") == "causal":
        pytest.skip("has no channels_first")
    last = cls(**arguments, data_format="channels_last")
    params, state = last.init(jax.random.key(0), (None, *shape))
    inputs = draw(2, *shape)
    layer = cls(**arguments, data_format="channels_first")
    symbol = Input((shape[-1], *shape[:-1]))
    assert layer(symbol).shape == (None, expected[-1], *expected[:-1])
    got, _ = run(layer.apply, arrays=(params, state, first(inputs)))
    expected_values, _ = run(last.apply, arrays=(params, state, inputs))
    close(got, first(expected_values) if len(expected) > 1 else expected_values)


@pytest.mark.parametrize("data_format, axis", [("channels_last", 1), ("channels_first", 2)])
def test_global_average_with_a_mask(data_format, axis):
    inputs, mask = draw(2, 4, 4), np.array([[True, True, False, False], [True, False, True, True]])
    layer = P.GlobalAveragePooling1D(data_format)
    got, _ = layer.apply({}, {}, inputs, mask=mask)
    kept = np.moveaxis(inputs, axis, 1)
    close(got, np.stack([kept[n][mask[n]].mean(0) for n in range(2)]))
    assert layer.compute_mask(inputs, mask) is None


def test_activity_and_weight_penalties_reach_the_model():
    layer = L.Conv2D(2, 2, kernel_regularizer="l2", activity_regularizer="l1", activation="relu")
    symbol = Input((4, 4, 1))
    model = Network(symbol, layer(symbol))
    params, state = model.init(jax.random.key(0))
    call = layer.run(*layer.init(jax.random.key(0), (None, 4, 4, 1)), draw(1, 4, 4, 1))
    close(call.losses[0], 0.01 * np.abs(call.outputs).sum())
    kernel = next(leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4)
    close(sum(model.regularization(params)), 0.01 * np.square(kernel).sum())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: L.Conv2D(3, (1, 2, 3)), "`kernel_size` argument must be a tuple of 2 integers"),
        (lambda: L.Conv2D(3, "ab"), "`kernel_size` argument must be a tuple of 2 integers"),
        (lambda: L.Conv2D(3, 2, padding="foo"), 'must be one of "valid", "same"'),
        (lambda: L.Conv2D(3, 2, padding="causal"), "Invalid padding: causal"),
        (lambda: L.SeparableConv1D(3, 2, padding="causal"), "Invalid padding: causal"),
        (lambda: P.MaxPooling2D(2, padding="causal"), "Invalid padding: causal"),
        (lambda: L.Conv2D(3, 2, data_format="last"), "`data_format` argument must be one of"),
        (lambda: L.Conv2D(3, 2, strides=2, dilation_rate=2), "strides > 1 not supported in conjunction"),
        (lambda: L.Conv1D(3, 2, padding="causal", data_format="channels_first"), 'must be "channels_last"'),
        (lambda: L.Conv2DTranspose(1, 2, strides=2, output_padding=2), "must be greater than output padding"),
        (lambda: L.UpSampling2D(2, interpolation="cubic"), 'one of "nearest" or "bilinear"'),
        (lambda: L.ZeroPadding2D((1, 2, 3)), "`padding` should have two elements"),
        (lambda: L.ZeroPadding3D(1.5), "`padding` should be either an int"),
        (lambda: L.Cropping2D("a"), "`cropping` should have two elements"),
        (lambda: L.Conv2D(3, 2)(Input((5, 5, None))), "channel dimension of the inputs should be defined"),
        (lambda: L.Conv2D(3, 2, name="c")(Input((5, 5))), "Input 0 is incompatible with layer c: expected ndim=4"),
        (lambda: L.Conv2D(3, 7, name="c")(Input((5, 5, 1))), "^Layer c .Conv2D. called on .*: Negative dimension size"),
        (lambda: P.MaxPooling2D(5, name="p")(Input((3, 3, 1))), "^Layer p .MaxPooling2D. .*: Negative dimension size"),
        (lambda: L.Cropping1D(3, name="c")(Input((5, 1))), "^Layer c .Cropping1D. .*more than the 5 entries"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_other_channels_than_the_weights_have():
    layer = L.Conv2D(3, 2, name="c")
    layer(Input((5, 5, 2)))
    with pytest.raises(ValueError, match="^Layer c .Conv2D. .*: expected axis -1 of input shape to have value 2"):
        layer(Input((5, 5, 3)))


def test_keras_ignores_kernel_arguments_of_depthwise_layers():
    for layer in (
        L.SeparableConv2D(3, 2, kernel_initializer="he_normal"),
        L.DepthwiseConv2D(2, kernel_constraint="max_norm"),
    ):
        assert not any(name.startswith("kernel_i") or name == "kernel_constraint" for name in layer.get_config())


@pytest.mark.parametrize("make, rate", [(L.AtrousConvolution1D, (2,)), (L.AtrousConv2D, (2, 2))])
def test_old_names(make, rate):
    with pytest.warns(UserWarning, match="has been deprecated"):
        layer = make(3, 2, atrous_rate=2)
    assert layer.dilation_rate == rate
    assert L.Deconvolution2D is L.Conv2DTranspose and P.MaxPool2D is P.MaxPooling2D


@pytest.mark.parametrize(
    "length, size, padding, stride, dilation, expected",
    [
        (7, 3, "valid", 2, 1, 3),
        (7, 3, "same", 2, 1, 4),
        (7, 3, "causal", 1, 2, 7),
        (7, 3, "full", 1, 1, 9),
        (None, 3, "valid", 1, 1, None),
    ],
)
def test_conv_output_length(length, size, padding, stride, dilation, expected):
    assert windows.conv_output_length(length, size, padding, stride, dilation) == expected
