"""Zeros around, cropping, and repetition along the spatial axes, in both layouts."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jkeras.layers.kernels.windows import spatial_axes
from jkeras.typing import Array

__all__ = ["crop", "pad", "upsample"]


def pad(inputs: ArrayLike, padding: Sequence, data_format: str = "channels_last"):
    """Zeros before and behind each spatial axis.

    Arguments:
        inputs: (batch, *space, channels), or (batch, channels, *space) for channels_first.
        padding: (before, behind) for each spatial axis.
    """
    inputs = jnp.asarray(inputs)
    pads = [(0, 0)] * inputs.ndim
    for axis, pair in zip(spatial_axes(len(padding), data_format), padding, strict=True):
        pads[axis] = tuple(pair)
    return jnp.pad(inputs, pads)


def crop(inputs: Array, cropping: Sequence, data_format: str = "channels_last"):
    """Without the first and last entries of each spatial axis.

    Arguments:
        inputs: (batch, *space, channels), or (batch, channels, *space) for channels_first.
        cropping: (how many first, how many last) for each spatial axis.
    """
    for axis, (first, last) in zip(spatial_axes(len(cropping), data_format), cropping, strict=True):
        inputs = lax.slice_in_dim(inputs, first, inputs.shape[axis] - last, axis=axis)
    return inputs


def upsample(
    inputs: ArrayLike, factors: Sequence[int], data_format: str = "channels_last", interpolation: str = "nearest"
):
    """Each spatial axis longer by an integer factor.

    nearest: every entry repeated.
    bilinear: out[i * factor + j] = (1 - j / factor) * in[i] + j / factor * in[i + 1], the last entry standing for the
    one behind it (TensorFlow's resize without aligned corners).

    Arguments:
        inputs: (batch, *space, channels), or (batch, channels, *space) for channels_first.
        factors: one integer per spatial axis.
        interpolation: 'nearest' or 'bilinear'.

    Raises:
        ValueError: if `interpolation` is neither.
    """
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f'interpolation should be one of "nearest" or "bilinear". Received: {interpolation}')
    inputs = jnp.asarray(inputs)
    for axis, factor in zip(spatial_axes(len(factors), data_format), factors, strict=True):
        if factor == 1:
            continue
        *before, size = inputs.shape[: axis + 1]
        after = inputs.shape[axis + 1 :]
        here = jnp.expand_dims(inputs, axis + 1)
        if interpolation == "bilinear":
            last = lax.slice_in_dim(inputs, size - 1, size, axis=axis)
            following = jnp.concatenate([lax.slice_in_dim(inputs, 1, size, axis=axis), last], axis)
            share = jnp.arange(factor, dtype=jnp.result_type(inputs, float)) / factor
            share = share.reshape(factor, *(1,) * len(after))
            repeated = here + share * (jnp.expand_dims(following, axis + 1) - here)
        else:
            repeated = jnp.broadcast_to(here, (*before, size, factor, *after))
        inputs = repeated.reshape((*before, size * factor, *after))
    return inputs
