"""Which programs are compiled with options of their own, and where compiled ones are kept."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras.layers.kernels import conv, pool
from jkeras.train import compiling, process


def images(filters, padding):
    """A function of the kernels and images: convolutions, the first with one input channel or as many as given."""

    def forward(kernels, x):
        for kernel in kernels:
            x = jax.nn.relu(conv.convolve(x, kernel, (1, 1), padding))
        return jnp.mean(pool.max_pool(x, (2, 2), (2, 2)))

    def shapes(*image):
        sizes = [image[-1], *filters]
        kernels = [(3, 3, *pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)]
        return [jax.ShapeDtypeStruct(kernel, "float32") for kernel in kernels], jax.ShapeDtypeStruct(image, "float32")

    return forward, shapes


def dense():
    forward = lambda weights, x: jnp.mean(jnp.tanh(x @ weights[0]))  # noqa: E731
    return forward, lambda *x: ([jax.ShapeDtypeStruct((x[-1], 512), "float32")], jax.ShapeDtypeStruct(x, "float32"))


MNIST, RESNET, BOTTLENECK = images((32, 64), "valid"), images((16,) * 6, "same"), images((128,) * 3, "same")
PROGRAMS = [  # what; images; trained; whether convolutions are taken from the library
    (MNIST, (32, 28, 28, 1), True, True),
    (MNIST, (32, 28, 28, 1), False, True),
    (MNIST, (8, 28, 28, 1), False, False),
    (RESNET, (128, 32, 32, 16), False, False),
    (MNIST, (2, 28, 28, 1), True, False),
    (RESNET, (128, 32, 32, 16), True, True),
    (RESNET, (8, 32, 32, 16), True, False),
    (BOTTLENECK, (8, 12, 12, 128), True, False),
    (dense(), (4096, 1024), True, False),
]


@pytest.mark.parametrize("what, shape, trained, own", PROGRAMS)
def test_options(what, shape, trained, own, monkeypatch):
    forward, shapes = what
    traced = jax.jit(jax.value_and_grad(forward) if trained else forward).trace(*shapes(*shape))
    assert compiling.options(traced.jaxpr, "cpu") == (compiling._known(compiling._NO_CONVOLUTIONS) if own else {})
    assert compiling.options(traced.jaxpr, "gpu") == compiling.options(traced.jaxpr, "tpu") == {}
    monkeypatch.setattr(compiling, "_NO_CONVOLUTIONS", {"xla_no_such_option": "1"})
    assert compiling.options(traced.jaxpr, "cpu") == {}


def test_deep_programs_are_compiled_sooner(monkeypatch):
    def program(x, count):
        for _ in range(count):
            x = -x
        return x

    deep = jax.make_jaxpr(lambda x: program(x, compiling._DEEP))(1.0)
    monkeypatch.setenv("XLA_FLAGS", "")
    assert compiling.options(deep, "cpu") == compiling._known(compiling._SOONER)
    assert compiling.options(deep, "gpu") == {} == compiling.options(jax.make_jaxpr(jnp.negative)(1.0), "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=true")  # who says it has it
    assert compiling.options(deep, "cpu") == {}


def test_options_change_no_numbers():
    forward, shapes = images((8, 24), "same")
    kernels, x = jax.tree.map(lambda spec: np.random.RandomState(0).rand(*spec.shape) / 9, shapes(20, 36, 36, 1))
    step = jax.value_and_grad(forward)
    options = compiling.options(jax.make_jaxpr(step)(kernels, x), "cpu")
    assert options == compiling._known(compiling._NO_CONVOLUTIONS)
    plain, with_options = jax.jit(step)(kernels, x), jax.jit(step, compiler_options=options)(kernels, x)
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(with_options), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_equations_are_those_of_the_platform():
    def both(x, kernel):
        return conv.depthwise(x, kernel, (1, 1))

    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((2, 6, 6, 3), (3, 3, 3, 1))]
    program = jax.make_jaxpr(lambda *arrays: jax.lax.scan(lambda c, _: (c, both(*arrays)), 0.0, None, 2))(*shapes)
    found = {
        platform: {equation.primitive.name for equation in compiling.equations(program.jaxpr, platform)}
        for platform in ("cpu", "gpu", "tpu")
    }
    assert ["conv_general_dilated" in names for names in found.values()] == [False, True, True]


def chain(count, width):
    """The gradient of a chain of elementwise operations, each with a weight of its own."""

    def loss(weights, x):
        for weight in weights:
            x = jnp.maximum(x, 0) - weight * jnp.maximum(-x, 0)
        return jnp.mean(x)

    return jax.grad(loss), (
        [np.full((width,), 0.3, "float32")] * count,
        np.linspace(-1, 1, 8 * width).reshape(8, width),
    )


def test_deep_chains_are_not_joined(monkeypatch):
    programs = {}
    for count in (8, 60):
        step, arguments = chain(count, 2)
        programs[count] = jax.make_jaxpr(step)(*arguments)
    looped = jax.make_jaxpr(lambda *a: jax.lax.fori_loop(0, 3, lambda _, w: step(w, a[1]), a[0]))(*arguments)
    name = "xla_disable_hlo_passes"
    assert compiling.options(programs[8], "cpu") == {} == compiling.options(programs[60], "gpu")
    assert compiling.options(programs[60], "cpu") == compiling.options(looped, "cpu") == {name: "fusion"}
    monkeypatch.setenv("XLA_FLAGS", f"--{name}=algsimp --xla_other=1")
    assert compiling.options(programs[60], "cpu") == {name: "algsimp,fusion"}
    told = compiling.options(programs[60], "cpu")
    plain, apart = chain(12, 2)[0], jax.jit(chain(12, 2)[0], compiler_options=told)
    for one, other in zip(jax.jit(plain)(*chain(12, 2)[1]), apart(*chain(12, 2)[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(("width", "narrow"), [(1, True), (4, False)])
def test_narrow_products_are_part_of_a_chain(width, narrow):
    def loss(kernels, x):
        for kernel in kernels:
            x = x @ kernel
        return jnp.sum(x)

    program = jax.make_jaxpr(jax.grad(loss))([np.ones((width, width))] * 150, np.ones((8, width)))
    assert (compiling.repetitions(program.jaxpr, "cpu") > 36) == narrow


@pytest.fixture
def no_cache():
    """No compilation cache was chosen; afterwards it is that of before."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_of_programs_is_made_for_its_owner_alone(tmp_path, monkeypatch, no_cache):
    folder = tmp_path / "home" / "jkeras"
    monkeypatch.setenv("JKERAS_COMPILATION_CACHE", str(folder))
    for _ in range(2):
        process.prepare.__wrapped__()
        assert jax.config.jax_compilation_cache_dir == str(folder) and folder.stat().st_mode & 0o777 == 0o700
        jax.config.update("jax_compilation_cache_dir", None)


@pytest.mark.parametrize("trouble", ["is a link", "can be written by others", "cannot be made", "another user"])
def test_a_cache_into_which_others_can_write_is_not_used(trouble, tmp_path, monkeypatch, no_cache):
    folder = tmp_path / "cache"
    if trouble == "is a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif trouble == "cannot be made":
        folder.write_text("a file")
    else:
        folder.mkdir()
        folder.chmod(0o777 if "written" in trouble else 0o700)
    if trouble == "another user":
        own = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: own + 1)
    monkeypatch.setenv("JKERAS_COMPILATION_CACHE", f"{folder}/")
    with pytest.warns(UserWarning, match=f"Compiled programs are not kept: .*{trouble}"):
        process.prepare.__wrapped__()
    assert jax.config.jax_compilation_cache_dir is None
