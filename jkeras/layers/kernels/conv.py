"""Convolutions of any rank, in both layouts: plain, transposed, depthwise and separable.

Everything is computed channels_last, (batch, *space, channels); XLA folds the transposes of the other layout into the
convolution. For CPUs some convolutions are written as matrix products or shifted products, which XLA runs several times
faster there; each place says how much.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from jkeras.layers.kernels import forms
from jkeras.layers.kernels.windows import check_window, same_padding

__all__ = ["bias_add", "convolve", "convolve_transpose", "depthwise", "pointwise", "separable"]

# More places of a window than this are not written out one by one.
_MOST_PLACES = 64


def _channels_last(array, data_format: str):
    return array if data_format == "channels_last" else jnp.moveaxis(array, 1, -1)


def _back(array, data_format: str):
    return array if data_format == "channels_last" else jnp.moveaxis(array, -1, 1)


def _same_type(*arrays):
    dtype = jnp.result_type(*arrays)
    return [jnp.asarray(array, dtype) for array in arrays]


def _pads(inputs, window, strides, padding: str, dilation_rate) -> list:
    """(before, after) for each spatial axis of `inputs`, (batch, *space, channels)."""
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation_rate, strict=True)]
    if padding == "causal":
        return [(span - 1, 0) for span in spans]
    if padding == "valid":
        return [(0, 0)] * len(spans)
    return [same_padding(*sizes) for sizes in zip(inputs.shape[1:-1], spans, strides, strict=True)]


def _conv(inputs, kernel, strides, pads, dilation_rate, *, groups=1, input_dilation=None, kernel_layout="IO"):
    """The convolution of XLA. inputs: (batch, *space, in); kernel: (*window, in / groups, out)."""
    space = "DHW"[3 - len(strides) :]
    return lax.conv_general_dilated(
        inputs,
        kernel,
        strides,
        pads,
        lhs_dilation=input_dilation,
        rhs_dilation=dilation_rate,
        dimension_numbers=(f"N{space}C", space + kernel_layout, f"N{space}C"),
        feature_group_count=groups,
    )


def _shifts(inputs, window, strides, pads, dilation_rate):
    """For each place of the window: the place, and what the inputs hold there, (batch, *output space, channels)."""
    if any(map(any, pads)):
        inputs = lax.pad(inputs, np.zeros((), inputs.dtype), [(0, 0, 0), *((*pair, 0) for pair in pads), (0, 0, 0)])
    steps = [
        (size - (k - 1) * d - 1) // s
        for size, k, s, d in zip(inputs.shape[1:-1], window, strides, dilation_rate, strict=True)
    ]
    for place in itertools.product(*map(range, window)):
        starts = [p * d for p, d in zip(place, dilation_rate, strict=True)]
        ends = [start + n * s + 1 for start, n, s in zip(starts, steps, strides, strict=True)]
        yield (place, lax.slice(inputs, (0, *starts, 0), (inputs.shape[0], *ends, inputs.shape[-1]), (1, *strides, 1)))


def _product(inputs, matrix):
    """inputs: (batch, *space, in); matrix: (in, out)."""
    return (inputs.reshape(-1, inputs.shape[-1]) @ matrix).reshape(*inputs.shape[:-1], matrix.shape[-1])


def _plain(inputs, kernel, strides, padding, dilation_rate, groups=1):
    if padding == "causal":
        pads = _pads(inputs, kernel.shape[:-2], strides, padding, dilation_rate)
    else:
        pads = padding.upper()  # not counted here: sizes may be unknown
    return _conv(inputs, kernel, strides, pads, dilation_rate, groups=groups)


def _summed(inputs, kernel, strides, padding, dilation_rate):
    """One matrix product per place of the window."""
    window = kernel.shape[:-2]
    pads = _pads(inputs, window, strides, padding, dilation_rate)
    shifts = _shifts(inputs, window, strides, pads, dilation_rate)
    return functools.reduce(lax.add, (_product(shifted, kernel[place]) for place, shifted in shifts))


def _widened(inputs, kernel, strides, padding, dilation_rate):
    """One more column than asked for, dropped again."""
    outputs = _conv(inputs, kernel, strides, [(0, 0), (0, strides[1])], dilation_rate)
    return lax.slice_in_dim(outputs, 0, outputs.shape[2] - 1, axis=2)


def _gathered(inputs, kernel, strides, padding, dilation_rate):
    """One matrix product of all windows with the kernel."""
    window = kernel.shape[:-2]
    pads = _pads(inputs, window, strides, padding, dilation_rate)
    shifts = _shifts(inputs, window, strides, pads, dilation_rate)
    return _product(jnp.concatenate([shifted for _, shifted in shifts], axis=-1), kernel.reshape(-1, kernel.shape[-1]))


def _forms_on_cpu(window, padding) -> dict:
    """What `convolve` offers for a CPU: the form, and that with a gradient."""
    if math.prod(window) == 1 or len(window) == 3 and math.prod(window) <= _MOST_PLACES:
        # A window of one: 2 to 4 times faster, its gradient for the kernel too. Volumes: 2 to 10 times faster.
        return {"cpu": _summed}
    if len(window) == 2 and padding == "valid":
        # Without any padding XLA takes a path that is up to 2 times slower in the gradient for the kernel.
        return {"cpu_gradient": _widened}
    return {}


def convolve(
    inputs: ArrayLike, kernel: ArrayLike, strides: tuple, padding: str = "valid", data_format: str = "channels_last",
    dilation_rate: tuple | None = None, in_loop: bool = False,
) -> jax.Array:  # fmt: skip
    """outputs[n, p, o] = sum over w, i of inputs[n, p * strides + w * dilation_rate, i] * kernel[w, i, o],

    with w the places of the window and i the input channels.

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        kernel: (*window, in, out), one, two or three window axes.
        strides: a tuple, one stride per window axis.
        padding: 'valid', 'same' (TensorFlow's: the odd zero goes behind) or 'causal' (all zeros in front).
        dilation_rate: a tuple, one per window axis, or None for ones.
        in_loop: whether this is the body of a loop. There, on a CPU, the gradient of a convolution for its kernel is 10
            times slower than that of one matrix product of all windows with the kernel.

    Raises:
        ValueError: if the window is larger than the inputs and `padding` is 'valid'.
    """
    inputs, kernel = _same_type(inputs, kernel)
    window = kernel.shape[:-2]
    dilation_rate = dilation_rate or (1,) * len(window)
    inputs = _channels_last(inputs, data_format)
    check_window(inputs.shape[1:-1], window, padding, dilation_rate)
    on_cpu = {"cpu": _gathered} if in_loop else _forms_on_cpu(window, padding)
    options = {"strides": tuple(strides), "padding": padding, "dilation_rate": tuple(dilation_rate)}
    outputs = forms.offer(_plain, inputs, kernel, **on_cpu, **options)
    return _back(outputs, data_format)


def convolve_transpose(
    inputs: ArrayLike, kernel: ArrayLike, output_size: Sequence, strides: tuple, padding: str = "valid",
    data_format: str = "channels_last", dilation_rate: tuple | None = None,
) -> jax.Array:  # fmt: skip
    """The transpose of `convolve` as a linear map: from (batch, *space, in) to (batch, *output_size, out).

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        kernel: (*window, out, in).
        output_size: the spatial size of the outputs, which `convolve` would bring back to that of the inputs.
        strides, padding, dilation_rate: those of that `convolve`.
    """
    inputs, kernel = _same_type(inputs, kernel)
    window = kernel.shape[:-2]
    dilation_rate = dilation_rate or (1,) * len(window)
    inputs = _channels_last(inputs, data_format)
    pads = []  # those of that `convolve`
    for size, out, k, s, d in zip(inputs.shape[1:-1], output_size, window, strides, dilation_rate, strict=True):
        overlap = (size - 1) * s + (k - 1) * d + 1 - out
        before = max(overlap, 0) // 2 if padding == "same" else 0
        pads.append((before, overlap - before))
    outputs = _transposed(inputs, kernel, tuple(strides), tuple(pads), tuple(dilation_rate))
    return _back(outputs, data_format)


def _transpose_map(inputs, kernel, strides, pads, dilation_rate):
    # Correlation against the kernel turned around, with strides - 1 zeros between the inputs.
    reach = [(k - 1) * d for k, d in zip(kernel.shape, dilation_rate, strict=False)]
    pads = [(r - before, r - behind) for r, (before, behind) in zip(reach, pads, strict=True)]
    turned = lax.rev(kernel, range(len(strides)))
    ones = (1,) * len(strides)
    return _conv(inputs, turned, ones, pads, dilation_rate, input_dilation=strides, kernel_layout="OI")


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _transposed(inputs, kernel, strides, pads, dilation_rate):
    """inputs: (batch, *space, in); kernel: (*window, out, in)."""
    return _transpose_map(inputs, kernel, strides, pads, dilation_rate)


def _transposed_jvp(strides, pads, dilation_rate, primals, tangents):
    # The derivative for the kernel is written as the transpose of the gradient of `_conv` for its kernel, so that
    # reverse mode runs that gradient: on a CPU 15 to 70 times faster than the one it would find by itself.
    inputs, kernel = primals
    outputs = _transposed(inputs, kernel, strides, pads, dilation_rate)

    def kernel_gradient(outputs):
        _, gradient = jax.vjp(lambda kernel: _conv(outputs, kernel, strides, pads, dilation_rate), kernel)
        return gradient(inputs)[0]

    parts = []
    if not isinstance(tangents[0], SymbolicZero):
        parts.append(_transpose_map(tangents[0], kernel, strides, pads, dilation_rate))
    if not isinstance(tangents[1], SymbolicZero):
        parts += jax.linear_transpose(kernel_gradient, outputs)(tangents[1])
    return outputs, sum(parts[1:], start=parts[0])


_transposed.defjvp(_transposed_jvp, symbolic_zeros=True)


def _grouped(inputs, kernel, strides, padding, dilation_rate):
    *window, channels, multiplier = kernel.shape
    kernel = kernel.reshape(*window, 1, channels * multiplier)
    return _plain(inputs, kernel, strides, padding, dilation_rate, groups=channels)


def _shifted_products(inputs, kernel, strides, padding, dilation_rate):
    # 10 to 40 times faster forward than grouped convolution, with the gradient 1.5 to 40 times.
    *window, channels, multiplier = kernel.shape
    shifts = _shifts(inputs, window, strides, _pads(inputs, window, strides, padding, dilation_rate), dilation_rate)
    outputs = functools.reduce(lax.add, (shifted[..., None] * kernel[place] for place, shifted in shifts))
    return outputs.reshape(*outputs.shape[:-2], channels * multiplier)


def depthwise(
    inputs: ArrayLike,
    kernel: ArrayLike,
    strides: tuple,
    padding: str = "valid",
    data_format: str = "channels_last",
    dilation_rate: tuple | None = None,
) -> jax.Array:
    """Each channel convolved with kernels of its own: outputs[..., i * multiplier + m] from inputs[..., i].

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        kernel: (*window, in, multiplier).
        strides, padding, dilation_rate: as in `convolve`.
    """
    inputs, kernel = _same_type(inputs, kernel)
    window = kernel.shape[:-2]
    dilation_rate = dilation_rate or (1,) * len(window)
    inputs = _channels_last(inputs, data_format)
    check_window(inputs.shape[1:-1], window, padding, dilation_rate)
    cpu = _shifted_products if math.prod(window) <= _MOST_PLACES else None
    options = {"strides": tuple(strides), "padding": padding, "dilation_rate": tuple(dilation_rate)}
    outputs = forms.offer(_grouped, inputs, kernel, cpu=cpu, **options)
    return _back(outputs, data_format)


def pointwise(inputs: ArrayLike, kernel: jax.Array, data_format: str = "channels_last") -> jax.Array:
    """A matrix product over the channels. kernel: (1, ..., 1, in, out)."""
    return convolve(inputs, kernel, (1,) * (kernel.ndim - 2), "valid", data_format)


def separable(
    inputs: ArrayLike, depthwise_kernel: ArrayLike, pointwise_kernel: jax.Array, strides: tuple, padding: str = "valid",
    data_format: str = "channels_last", dilation_rate: tuple | None = None,
) -> jax.Array:  # fmt: skip
    """`depthwise`, then `pointwise`.

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        depthwise_kernel: (*window, in, multiplier).
        pointwise_kernel: (1, ..., 1, in * multiplier, out).
    """
    inner = depthwise(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return pointwise(inner, pointwise_kernel, data_format)


def bias_add(inputs: ArrayLike, bias: ArrayLike, data_format: str = "channels_last") -> jax.Array:
    """inputs + bias.

    Arguments:
        inputs: (batch, *space, channels), or (batch, channels, *space) for channels_first.
        bias: (channels,), or (*space, channels) in either layout.

    Raises:
        ValueError: if `bias` has another number of axes.
    """
    inputs, bias = jnp.asarray(inputs), jnp.asarray(bias)
    if bias.ndim not in (1, inputs.ndim - 1):
        raise ValueError(f"Unexpected bias dimensions {bias.ndim}, expect to be 1 or {inputs.ndim - 1} dimensions")
    if data_format == "channels_first" and inputs.ndim > 2:
        bias = jnp.moveaxis(bias, -1, 0).reshape((bias.shape[-1], *(bias.shape[:-1] or (1,) * (inputs.ndim - 2))))
    return inputs + bias
