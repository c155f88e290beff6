"""Pooling over windows, in both layouts and for any rank."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jkeras.layers.kernels import forms
from jkeras.layers.kernels.windows import check_window, same_padding, spatial_axes

__all__ = ["average_pool", "max_pool"]


def _places(inputs, axes, window, strides):
    """What `inputs` holds at each place of the window along `axes`, in row-major order of the places."""
    starts, limits, steps = [0] * inputs.ndim, list(inputs.shape), [1] * inputs.ndim
    for place in np.ndindex(*window):
        for axis, at, k, s in zip(axes, place, window, strides, strict=True):
            starts[axis], steps[axis] = at, s
            limits[axis] = at + (inputs.shape[axis] - k) // s * s + 1
        yield lax.slice(inputs, starts, limits, steps)


def _larger(a, b):
    # Not jnp.maximum: among equal values the whole gradient goes to the first, as in Keras. NaN wins, as in lax.max.
    return jnp.where((b > a) | (b != b), b, a)


def _windows(inputs, window, strides, padding, axes, start, combine, reducer):
    """`inputs` combined over the places of the window; outside of the inputs there is `start`."""
    full_window, full_strides = [1] * inputs.ndim, [1] * inputs.ndim
    for axis, k, s in zip(axes, window, strides, strict=True):
        full_window[axis], full_strides[axis] = k, s
    start = np.asarray(start, inputs.dtype)
    return lax.reduce_window(inputs, start, reducer, full_window, full_strides, padding.upper())


def _slices(inputs, window, strides, padding, axes, start, combine, reducer):
    """The same, the places being slices of the inputs."""
    pads = [(0, 0)] * inputs.ndim
    if padding == "same":
        for axis, k, s in zip(axes, window, strides, strict=True):
            pads[axis] = same_padding(inputs.shape[axis], k, s)
    inputs = jnp.pad(inputs, pads, constant_values=start)
    if math.prod(window) <= 4:
        return functools.reduce(combine, _places(inputs, axes, window, strides))
    # Axis by axis there are fewer slices. From the last axis to the first, ties fall as in row-major order.
    for axis, k, s in reversed(list(zip(axes, window, strides, strict=True))):
        inputs = functools.reduce(combine, _places(inputs, (axis,), (k,), (s,)))
    return inputs


def _pool(inputs, window, strides, padding, axes, start, combine, reducer):
    check_window([inputs.shape[axis] for axis in axes], window, padding)
    # The gradient of reduce_window is up to 30 times slower than that of slices. Without a gradient it is what XLA
    # joins best with a convolution before it.
    options = {"window": tuple(window), "strides": tuple(strides), "padding": padding, "axes": tuple(axes)}
    options |= {"start": start, "combine": combine, "reducer": reducer}
    return forms.offer(_windows, inputs, cpu_gradient=_slices, **options)


def max_pool(
    inputs: ArrayLike, window: tuple, strides: tuple, padding: str = "valid", data_format: str = "channels_last"
) -> jax.Array:
    """The largest value in each window. Of equal ones the first, in row-major order, gets the gradient.

    Arguments:
        inputs: (batch, *space, channels), or (batch, channels, *space) for channels_first.
        window, strides: tuples, one number per spatial axis.
        padding: 'valid' or 'same' (what is outside does not count).

    Raises:
        ValueError: if the window is larger than the inputs and `padding` is 'valid'.
    """
    inputs = jnp.asarray(inputs)
    floating = jnp.issubdtype(inputs.dtype, jnp.floating)
    lowest = -np.inf if floating else jnp.iinfo(inputs.dtype).min
    axes = spatial_axes(len(window), data_format)
    return _pool(inputs, window, strides, padding, axes, lowest, _larger, lax.max)


def average_pool(
    inputs: ArrayLike, window: tuple, strides: tuple, padding: str = "valid", data_format: str = "channels_last"
) -> jax.Array:
    """The mean over each window, of the values that are inside of the inputs; arguments as for `max_pool`."""
    inputs = jnp.asarray(inputs)
    axes = spatial_axes(len(window), data_format)
    total = _pool(inputs, window, strides, padding, axes, 0, lax.add, lax.add)
    if padding == "valid":
        return total / math.prod(window)
    for axis, k, s in zip(axes, window, strides, strict=True):
        inside = _pool(jnp.ones(inputs.shape[axis], inputs.dtype), (k,), (s,), padding, (0,), 0, lax.add, lax.add)
        total = total / inside.reshape((-1,) + (1,) * (inputs.ndim - 1 - axis))
    return total
