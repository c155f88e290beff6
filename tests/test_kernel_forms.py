"""Kernels take their form from what a program is compiled for and from whether it is differentiated, nothing else."""

import collections
import functools
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras.layers.kernels import conv, forms, pool


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


def arrays(*shapes):
    rng = np.random.RandomState(0)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def bind(kernel, *arguments, **options):
    return lambda *arrays: kernel(*arrays, *arguments, **options)


KERNELS = {  # function of arrays; their shapes; whether a CPU has a form of its own without and with a gradient
    "window of one": (bind(conv.convolve, (2, 1), "same"), [(2, 5, 4, 3), (1, 1, 3, 2)], True, True),
    "padded convolution": (bind(conv.convolve, (1, 1), "same"), [(2, 5, 4, 3), (3, 3, 3, 2)], False, False),
    "unpadded convolution": (bind(conv.convolve, (2, 1)), [(2, 7, 6, 3), (3, 2, 3, 2)], False, True),
    "volumes": (bind(conv.convolve, (1, 1, 1), "same"), [(1, 3, 4, 3, 2), (2, 1, 1, 2, 2)], True, True),
    "channels first": (
        bind(conv.convolve, (1, 1), "valid", "channels_first"),
        [(2, 3, 6, 5), (2, 2, 3, 2)],
        False,
        True,
    ),
    "in a loop": (bind(conv.convolve, (1, 1), "same", in_loop=True), [(2, 5, 4, 3), (2, 2, 3, 2)], True, True),
    "depthwise": (bind(conv.depthwise, (2, 2), "same"), [(2, 7, 6, 2), (2, 2, 2, 2)], True, True),
    "transposed": (bind(conv.convolve_transpose, (9, 8), (2, 2), "same"), [(2, 5, 4, 3), (3, 3, 2, 3)], False, False),
    "maxima": (bind(pool.max_pool, (2, 2), (2, 2)), [(2, 7, 6, 2)], False, True),
    "maxima of large windows": (bind(pool.max_pool, (3, 3), (2, 2), "same"), [(2, 7, 6, 2)], False, True),
    "means": (bind(pool.average_pool, (2, 2), (2, 2), "same"), [(2, 7, 6, 2)], False, True),
}
TABLE = pytest.mark.parametrize("function, shapes, own_form, own_gradient", KERNELS.values(), ids=KERNELS.keys())


def compiled(function):
    """Not optimised: numbers do not depend on it."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": "0"})


def forward(function):
    return lambda *arrays: function(*arrays)


def gradient(function):
    return lambda *arrays: jax.grad(lambda *arrays: jnp.sum(jnp.sin(function(*arrays))), range(len(arrays)))(*arrays)


def operations(function, shapes, platform):
    """How often each operation stands in the program that is exported for `platform`."""
    specs = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    text = jax.export.export(jax.jit(function), platforms=[platform])(*specs).mlir_module()
    counts = collections.Counter(re.findall(r"(?:stablehlo|chlo)\.(\w+)", text))
    for name in ("case", "return", "constant", "broadcast_in_dim"):  # what a choice itself is written with
        del counts[name]
    return counts


@pytest.fixture
def without_forms(monkeypatch):
    """A function that makes every kernel take the form for any device."""
    return lambda: monkeypatch.setattr(forms, "_by_platform", lambda general, cpu, *arrays: general(*arrays))


@TABLE
def test_another_platform_gets_no_form_of_a_cpu(function, shapes, own_form, own_gradient, without_forms):
    exported = {
        (transform, platform): operations(transform(function), shapes, platform)
        for transform in (forward, gradient)
        for platform in ("cpu", "cuda", "tpu")
    }
    without_forms()
    for (transform, platform), found in exported.items():
        general = operations(transform(function), shapes, platform)
        own = own_gradient if transform is gradient else own_form
        assert (found == general) == (platform != "cpu" or not own), (transform, platform, found, general)


@pytest.mark.parametrize("name", ["volumes", "depthwise", "maxima"])
def test_an_exported_program_for_both_runs_here(name):
    function, shapes, *_ = KERNELS[name]
    values = arrays(*shapes)
    both = jax.export.export(jax.jit(gradient(function)), platforms=["cpu", "tpu"])(*values)
    for got, expected in zip(both.call(*values), jax.jit(gradient(function))(*values), strict=True):
        close(got, expected)


def _twice(function):
    """The gradient of the norm of a gradient, as gradient penalties have it."""
    norm = lambda *arrays: sum(jnp.sum(part**2) for part in gradient(function)(*arrays))  # noqa: E731
    return lambda *arrays: jax.grad(norm, range(len(arrays)))(*arrays)


def _forward_mode(function):
    return lambda *arrays: jax.jvp(function, arrays, tuple(jnp.cos(array) for array in arrays))[1]


def _of_the_last(function):
    """The gradient for the last argument alone, as the first layer of a model has it."""
    return lambda *arrays: jax.grad(lambda last: jnp.sum(function(*arrays[:-1], last) ** 2))(arrays[-1])


def _partly_mapped(function):
    def mapped(first, *others):
        return jax.vmap(gradient(function), (0, *(None for _ in others)))(jnp.stack([first, 2 * first]), *others)

    return mapped


def _scanned(function):
    def loss(*arrays):
        def body(total, scale):
            return total + jnp.sum(jnp.sin(scale * function(*arrays))), None

        return jax.lax.scan(body, 0.0, jnp.arange(1.0, 3.0))[0]

    return lambda *arrays: jax.grad(loss, range(len(arrays)))(*arrays)


def _recomputed(function):
    return gradient(jax.checkpoint(function))


TRANSFORMS = [gradient, _twice, _forward_mode, _of_the_last, _partly_mapped, _scanned, _recomputed]


@TABLE
def test_forms_agree(function, shapes, own_form, own_gradient, without_forms):
    values = arrays(*shapes)
    got = compiled(lambda *arrays: [transform(function)(*arrays) for transform in TRANSFORMS])(*values)
    without_forms()
    expected = compiled(lambda *arrays: [transform(function)(*arrays) for transform in TRANSFORMS])(*values)
    for transform, *both in zip(TRANSFORMS, got, expected, strict=True):
        for one, other in zip(*map(jax.tree.leaves, both), strict=True):
            assert np.abs(other).max() > 0, transform
            close(one, other)


@pytest.mark.parametrize("name", ["unpadded convolution", "maxima"])
def test_forms_over_devices(name):
    function, shapes, *_ = KERNELS[name]
    twice = [np.stack([array, 2 * array]) for array in arrays(*shapes)]
    mapped = jax.pmap(gradient(function), "batch")(*twice)
    for one, other in zip(mapped, jax.jit(jax.vmap(gradient(function)))(*twice), strict=True):
        close(one, other)


@TABLE
def test_unknown_sizes_pass(function, shapes, own_form, own_gradient):
    (size,) = jax.export.symbolic_shape("size")
    first, *others = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    unknown = jax.ShapeDtypeStruct((size, *first.shape[1:]), "float32")
    known = jax.eval_shape(function, first, *others)
    outputs = jax.eval_shape(function, unknown, *others)
    assert (outputs.shape, outputs.dtype) == ((size, *known.shape[1:]), known.dtype)
    gradients = jax.eval_shape(gradient(function), unknown, *others)
    assert [array.shape for array in gradients] == [unknown.shape, *(other.shape for other in others)]


def test_no_form_loses_a_nan():
    kernel = functools.partial(pool.max_pool, window=(3, 2), strides=(1, 2))
    for place in np.ndindex(4, 4):
        inputs = np.zeros((1, 4, 4, 1), "float32")
        inputs[0, *place, 0] = np.nan
        plain, differentiated = jax.jit(lambda x: (kernel(x), jax.jvp(kernel, [x], [x])[0]))(inputs)
        assert np.isnan(plain).any()
        np.testing.assert_array_equal(plain, differentiated)
