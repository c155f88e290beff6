"""Convolutions of any rank, in both layouts: plain, transposed, depthwise and separable.

Everything is computed channels_last, (batch, *space, channels); XLA folds the transposes of the other layout into the
convolution. On a CPU some convolutions are written as matrix products or shifted products, which XLA runs several times
faster there; each place says how much.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

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


def _on_cpu(inputs) -> bool:
    """Whether to write a convolution out for the CPU: there, and where all sizes are known."""
    return jax.default_backend() == "cpu" and all(isinstance(size, int) for size in inputs.shape)


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
    inputs = jnp.pad(inputs, [(0, 0), *pads, (0, 0)])
    steps = [
        (size - (k - 1) * d - 1) // s
        for size, k, s, d in zip(inputs.shape[1:-1], window, strides, dilation_rate, strict=True)
    ]
    for place in itertools.product(*map(range, window)):
        starts = [p * d for p, d in zip(place, dilation_rate, strict=True)]
        ends = [start + n * s + 1 for start, n, s in zip(starts, steps, strides, strict=True)]
        yield (
            place,
            lax.slice(inputs, (0, *starts, 0), (inputs.shape[0], *ends, inputs.shape[-1]), (1, *strides, 1)),
        )


def _product(inputs, matrix):
    """inputs: (batch, *space, in); matrix: (in, out)."""
    return (inputs.reshape(-1, inputs.shape[-1]) @ matrix).reshape(*inputs.shape[:-1], matrix.shape[-1])


def _convolve_on_cpu(inputs, kernel, strides, padding, dilation_rate):
    *window, _, _ = kernel.shape
    pads = _pads(inputs, window, strides, padding, dilation_rate)
    if math.prod(window) == 1:
        # A window of one is a matrix product: 2 to 4 times faster, its gradient for the kernel too.
        ((_, shifted),) = _shifts(inputs, window, strides, pads, dilation_rate)
        return _product(shifted, kernel.reshape(kernel.shape[-2:]))
    if len(window) == 3 and math.prod(window) <= _MOST_PLACES:
        # Volumes: 2 to 10 times faster as one matrix product per place of the window.
        shifts = _shifts(inputs, window, strides, pads, dilation_rate)
        return sum(_product(shifted, kernel[place]) for place, shifted in shifts)
    if len(window) == 2 and padding == "valid":
        # Without any padding XLA takes a path that is up to 4 times slower, in the gradient for the kernel 2 times: one
        # more column than asked for, dropped again, avoids it.
        pads = [pads[0], (0, strides[1])]
        outputs = _conv(inputs, kernel, strides, pads, dilation_rate)
        return lax.slice_in_dim(outputs, 0, outputs.shape[2] - 1, axis=2)
    return _conv(inputs, kernel, strides, pads, dilation_rate)


def convolve(inputs, kernel, strides, padding="valid", data_format="channels_last", dilation_rate=None):
    """outputs[n, p, o] = sum over w, i of inputs[n, p * strides + w * dilation_rate, i] * kernel[w, i, o],

    with w the places of the window and i the input channels.

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        kernel: (*window, in, out), one, two or three window axes.
        strides: a tuple, one stride per window axis.
        padding: 'valid', 'same' (TensorFlow's: the odd zero goes behind) or 'causal' (all zeros in front).
        dilation_rate: a tuple, one per window axis, or None for ones.

    Raises:
        ValueError: if the window is larger than the inputs and `padding` is 'valid'.
    """
    inputs, kernel = _same_type(inputs, kernel)
    window = kernel.shape[:-2]
    dilation_rate = dilation_rate or (1,) * len(window)
    inputs = _channels_last(inputs, data_format)
    check_window(inputs.shape[1:-1], window, padding, dilation_rate)
    if _on_cpu(inputs):
        outputs = _convolve_on_cpu(inputs, kernel, strides, padding, dilation_rate)
    else:
        pads = _pads(inputs, window, strides, padding, dilation_rate) if padding == "causal" else padding.upper()
        outputs = _conv(inputs, kernel, strides, pads, dilation_rate)
    return _back(outputs, data_format)


def convolve_transpose(
    inputs, kernel, output_size, strides, padding="valid", data_format="channels_last", dilation_rate=None
):
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


@_transposed.defjvp
def _transposed_jvp(strides, pads, dilation_rate, primals, tangents):
    # The derivative for the kernel is written as the transpose of the gradient of `_conv` for its kernel, so that
    # reverse mode runs that gradient: on a CPU 15 to 70 times faster than the one it would find by itself.
    inputs, kernel = primals
    outputs = _transposed(inputs, kernel, strides, pads, dilation_rate)

    def kernel_gradient(outputs):
        _, gradient = jax.vjp(lambda kernel: _conv(outputs, kernel, strides, pads, dilation_rate), kernel)
        return gradient(inputs)[0]

    (by_kernel,) = jax.linear_transpose(kernel_gradient, outputs)(tangents[1])
    by_inputs = _transpose_map(tangents[0], kernel, strides, pads, dilation_rate)
    return outputs, by_inputs + by_kernel


def depthwise(inputs, kernel, strides, padding="valid", data_format="channels_last", dilation_rate=None):
    """Each channel convolved with kernels of its own: outputs[..., i * multiplier + m] from inputs[..., i].

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        kernel: (*window, in, multiplier).
        strides, padding, dilation_rate: as in `convolve`.
    """
    inputs, kernel = _same_type(inputs, kernel)
    *window, channels, multiplier = kernel.shape
    dilation_rate = dilation_rate or (1,) * len(window)
    inputs = _channels_last(inputs, data_format)
    check_window(inputs.shape[1:-1], window, padding, dilation_rate)
    if _on_cpu(inputs) and math.prod(window) <= _MOST_PLACES:
        # Shifted products: 10 to 40 times faster forward than grouped convolution, with the gradient 1.5 to 40 times.
        pads = _pads(inputs, window, strides, padding, dilation_rate)
        shifts = _shifts(inputs, window, strides, pads, dilation_rate)
        outputs = sum(shifted[..., None] * kernel[place] for place, shifted in shifts)
        outputs = outputs.reshape(*outputs.shape[:-2], channels * multiplier)
    else:
        grouped = kernel.reshape(*window, 1, channels * multiplier)
        outputs = _conv(inputs, grouped, strides, padding.upper(), dilation_rate, groups=channels)
    return _back(outputs, data_format)


def pointwise(inputs, kernel, data_format="channels_last"):
    """A matrix product over the channels. kernel: (1, ..., 1, in, out)."""
    return convolve(inputs, kernel, (1,) * (kernel.ndim - 2), "valid", data_format)


def separable(
    inputs,
    depthwise_kernel,
    pointwise_kernel,
    strides,
    padding="valid",
    data_format="channels_last",
    dilation_rate=None,
):
    """`depthwise`, then `pointwise`.

    Arguments:
        inputs: (batch, *space, in), or (batch, in, *space) for channels_first.
        depthwise_kernel: (*window, in, multiplier).
        pointwise_kernel: (1, ..., 1, in * multiplier, out).
    """
    inner = depthwise(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return pointwise(inner, pointwise_kernel, data_format)


def bias_add(inputs, bias, data_format="channels_last"):
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
