"""What XLA is told when a step is compiled, beside the step itself."""

import functools
import math
import operator
import os
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

__all__ = ["equations", "options"]

_LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
# What XLA leaves to that library by default, without the convolutions.
_NO_CONVOLUTIONS = {_LIBRARY: "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}

# Operands of so many bytes are large, windows of so many places are images. The library is not used where it is slow at
# this share of the convolutions' arithmetic.
_LARGE_BYTES, _IMAGE_PLACES, _SHARE = 1 << 21, 64, 0.15

# From so many `repetitions` on, elementwise operations are not joined.
_REPETITIONS = 36

# How a program of so many equations, that of a deep network, is compiled sooner.
_DEEP = 4000
_SOONER = {"xla_cpu_use_fusion_emitters": False}


def equations(jaxpr: Jaxpr, platform: str) -> Iterator:
    """All equations of `jaxpr`, at any depth; of what depends on the platform, those for `platform` alone."""
    for equation in jaxpr.eqns:
        yield equation
        for body in _bodies(equation, platform):
            yield from equations(body, platform)


def _bodies(equation, platform) -> Iterator[Jaxpr]:
    """The programs inside of an equation; of what depends on the platform, that for `platform` alone."""
    platforms = equation.params.get("branches_platforms")
    for name, parameter in equation.params.items():
        parts = parameter if isinstance(parameter, (list, tuple)) else [parameter]
        if name == "branches" and platforms is not None:
            chosen = (place for place, names in enumerate(platforms) if names is None or platform in names)
            parts = [parts[next(chosen)]]
        for inner in parts:
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield inner


def _is_slow(equation) -> bool:
    """Whether a convolution is one that the library is slow at."""
    images, kernel = (variable.aval for variable in equation.invars)
    _, _, *space = equation.params["dimension_numbers"].rhs_spec
    places = math.prod(kernel.shape[axis] for axis in space)
    if places >= _IMAGE_PLACES and kernel.size * kernel.dtype.itemsize >= _LARGE_BYTES:
        return True  # the gradient for the kernel
    unpadded = not any(map(any, equation.params["padding"]))
    return unpadded and places > 1 and images.size * images.dtype.itemsize >= _LARGE_BYTES


def _work(equation) -> int:
    """The multiplications of a convolution."""
    kernel, (output,) = equation.invars[1].aval, equation.outvars
    features = equation.params["dimension_numbers"].rhs_spec[0]
    return math.prod(output.aval.shape) * kernel.size // kernel.shape[features]


def _known(stated: dict) -> dict:
    """`stated`, options, if this jaxlib knows them; else none."""
    return stated if _is_known(tuple(stated.items())) else {}


@functools.cache
def _is_known(stated: tuple) -> bool:
    try:
        jax.jit(jnp.negative, compiler_options=dict(stated)).lower(np.float32(0)).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- fusion

# What XLA does not compute number by number as a part of what needs it.
_APART = re.compile(
    "conv_general_dilated|reduce_window.*|select_and_.*|gather|scatter.*|sort|top_k|cum.*|fft|random_.*|threefry2x32|"
    "cholesky|triangular_solve|pure_callback|io_callback"
)
_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "custom_jvp_call", "custom_vjp_call")


def _is_narrow(product) -> bool:
    """Whether a product of matrices has a size 1, so that XLA makes a product of numbers of it, and a sum."""
    summed, batched = product.params["dimension_numbers"]
    shapes = [variable.aval.shape for variable in product.invars]
    free = [
        math.prod(size for axis, size in enumerate(shape) if axis not in (*axes, *others))
        for shape, axes, others in zip(shapes, summed, batched, strict=True)
    ]
    return 1 in (*free, math.prod(shapes[0][axis] for axis in summed[0]))


def repetitions(program: Jaxpr, platform: str) -> float:
    """How often each elementwise operation is computed, on average, if every sum computes anew all that it is made of:
    back to products of matrices, convolutions and the like, whose results are stored."""
    operations, summands = 0, 0

    def walk(jaxpr, made_of):
        # Of each variable, the operations that it is made of, as the bits of a number.
        nonlocal operations, summands
        known = dict(zip(jaxpr.invars, made_of, strict=True))
        look_up = lambda variable: 0 if isinstance(variable, Literal) else known.get(variable, 0)  # noqa: E731
        for equation in jaxpr.eqns:
            name, bodies = equation.primitive.name, list(_bodies(equation, platform))
            parts = [look_up(variable) for variable in equation.invars]
            results = [0] * len(equation.outvars)
            if name in _CALLS or "branches_platforms" in equation.params and len(bodies) == 1:
                results = walk(bodies[0], parts[len(parts) - len(bodies[0].invars) :])
            elif bodies:
                for body in bodies:
                    walk(body, [0] * len(body.invars))
            elif not _APART.fullmatch(name) and not (name == "dot_general" and not _is_narrow(equation)):
                operation = functools.reduce(operator.or_, parts, 1 << operations)
                operations += 1
                if name == "dot_general" or name.startswith("reduce_"):
                    summands += operation.bit_count()
                results = [operation] * len(equation.outvars)
            known.update(zip(equation.outvars, results, strict=True))
        return [look_up(variable) for variable in jaxpr.outvars]

    walk(program, [0] * len(program.invars))
    return summands / max(operations, 1)


def _as_told(passes: str) -> dict[str, str]:
    """The option that leaves out `passes`, and those that `$XLA_FLAGS` leaves out."""
    told = re.findall(r"--xla_disable_hlo_passes=(\S+)", os.environ.get("XLA_FLAGS", ""))
    return {"xla_disable_hlo_passes": ",".join([*told[-1:], passes])}


# -------------------------------------------------------------------------------------------------------- what is said


def options(program: ClosedJaxpr, platform: str) -> dict[str, Any]:
    """The `compiler_options` with which `jax.jit` compiles a program fastest to run, and a deep one sooner.

    Arguments:
        program: as `jax.make_jaxpr` or `jax.jit(...).trace(...).jaxpr` gives it.
        platform: what it is compiled for, as `device.platform`.
    """
    if platform != "cpu":
        return {}
    everything = list(equations(program.jaxpr, platform))
    return {**_of_chains(program.jaxpr, platform), **_of_deep_networks(everything), **_of_convolutions(everything)}


def _of_convolutions(everything) -> dict:
    """Whether convolutions go to a library.

    For a CPU, XLA (jax 0.10) hands each convolution to a library, YNNPACK, which is faster in most, by a fifth. But it
    is up to 2.7 times slower in the gradient for the kernel where the gradient of the outputs does not fit into a
    core's cache, and up to 1.6 times where large images are not padded. A program that spends much of its
    convolutions' arithmetic on these is compiled without it; products and sums stay with the library.

    Measured (jax 0.10.2, two cores, processor time in ms), with the library's convolutions / without:

    | images (batch, rows, columns, channels), 3x3 | forward | gradient for the images | for the kernel |
    |---|---|---|---|
    | (32, 26, 26, 32) to 64, unpadded | 15.5 / 9.5 | 12.6 / 12.4 | 42.4 / 15.7 |
    | (32, 15, 15, 64) to 64, unpadded | 6.8 / 6.8 | | |
    | (32, 84, 84, 4) to 32, 8x8, strides 4, unpadded | 6.8 / 4.2 | | |
    | (32, 9, 9, 64) to 64, unpadded | 1.4 / 1.6 | | |
    | (128, 32, 32, 16) | 13.8 / 14.3 | 16.1 / 17.5 | 42.6 / 25.4 |
    | (128, 16, 16, 32) | 8.6 / 10.1 | 7.3 / 10.0 | 46.4 / 18.3 |
    | (32, 32, 32, 16) | 3.5 / 2.9 | 3.5 / 3.2 | 8.0 / 6.2 |
    | (32, 16, 16, 32) | 3.0 / 3.9 | 2.0 / 2.6 | 4.9 / 4.6 |
    | (32, 24, 24, 64) | 13.3 / 15.4 | 15.5 / 19.4 | 53.2 / 21.5 |
    | (8, 24, 24, 64) | 4.2 / 6.8 | 3.4 / 5.7 | 5.0 / 7.5 |
    | (8, 6, 6, 256) | 4.7 / 5.0 | 6.1 / 5.4 | 4.5 / 4.5 |

    Whole programs, chosen where marked +: training mnist_cnn, batch 32, 65 / 47 +, batch 128, 248 / 166 +; ResNet-20,
    batch 32, 284 / 285, batch 128, 1153 / 1040 +; on images of 96x96, batch 8, MobileNetV2 314 / 312 +, ResNet50
    632 / 622.
    Predictions: mnist_cnn, batch 128, 28 / 24 +; MobileNetV2 19 / 19, ResNet50 128 / 134.
    """
    convolutions = [equation for equation in everything if equation.primitive.name == "conv_general_dilated"]
    slow = sum(_work(equation) for equation in convolutions if _is_slow(equation))
    if slow == 0 or slow < _SHARE * sum(map(_work, convolutions)):
        return {}
    return _known(_NO_CONVOLUTIONS)


def _of_chains(jaxpr, platform) -> dict:
    """Whether elementwise operations are joined.

    XLA joins elementwise operations, and computes again what several need. In a deep chain whose gradients are
    summed at every layer, each sum computes the chain anew: time and memory to compile grow with its square, and the
    program gets slower, too. Where the `repetitions` are many, it is told not to (the pass called "fusion").

    Training steps, batch 32, joined / not: time to the first step in s, its memory in MB, then each step in ms.

    | | repetitions | first step | memory | step |
    |---|---|---|---|---|
    | 60 PReLU of 2 units | 53 | 8.2 / 1.1 | 760 / 322 | 1.18 / 0.91 |
    | 60 PReLU of 64 units, batch 256 | 53 | 13.5 / 2.7 | 875 / 348 | 66.7 / 7.0 |
    | 40 Dense of 1 unit, tanh | 51 | 8.1 / 1.6 | 428 / 286 | 1.50 / 1.38 |
    | LSTM of 32 units, 60 steps unrolled | 54 | 74.9 / 8.4 | 1027 / 525 | 12.3 / 4.1 |
    | 30 BatchNormalization of 2 units | 40 | 34.7 / 4.2 | 646 / 346 | 4.0 / 2.8 |
    | 24 blocks of attention, 32 units | 26 | 18.0 / 14.1 | 520 / 575 | 43.7 / 52.4 |
    | 12 blocks of attention, 32 units | 13 | 6.5 / 13.3 | 428 / 478 | 17.9 / 25.5 |
    | 40 Dropout of 2 units | 6 | 8.7 / 12.6 | 408 / 508 | 1.5 / 3.0 |
    """
    return _as_told("fusion") if repetitions(jaxpr, platform) >= _REPETITIONS else {}


def _of_deep_networks(everything) -> dict:
    """Whether each kernel is written in MLIR first.

    A deep network is a thousand small kernels, and what XLA spends on each of them alone is most of the time to its
    first step: a program of MLIR for each, in a context of its own. A program of many equations is compiled without.

    Training steps on images of 96x96, batch 8, processor time: compiling in s, then each step in ms.

    | | with | without |
    |---|---|---|
    | DenseNet of 18 layers in blocks | 13.1, 158 | 11.3, 152 |
    | MobileNetV2 | 18.3, 340 | 14.8, 307 |
    """
    if len(everything) < _DEEP or any(name in os.environ.get("XLA_FLAGS", "") for name in _SOONER):
        return {}
    return _known(_SOONER)
