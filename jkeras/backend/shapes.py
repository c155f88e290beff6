"""Functions of the shape: joining, splitting, turning, repeating, padding."""

import builtins
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config, sparse
from jkeras.backend.sizes import Sizes, are_sizes, as_shape, is_size
from jkeras.backend.variables import constant, is_sparse, sparse_if
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Variable, symbols_in
from jkeras.graph.value import new_value
from jkeras.layers.kernels import spatial
from jkeras.lift import lift
from jkeras.typing import Array, ArrayLike, DTypeLike, Ints, Layout


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: DTypeLike = "int32") -> Any:
    """The numbers from `start` (0 if only one is given) up to, not with, `stop`; each may be a size."""
    start, stop, step = (_known(part) for part in (start, stop, step))
    if stop is None:
        start, stop = 0, builtins.max(start, 0) if isinstance(start, (int, float)) else start
    if current_scope() is None and not symbols_in([start, stop, step]):
        return constant(np.arange(start, stop, step), dtype)
    return new_value(_range(start, stop, step, str(jnp.dtype(dtype))))


def _known(number):
    """`number`, of a constant its value."""
    return number.numpy().item() if isinstance(number, Variable) and number.is_constant else number


@lift
def _range(start, stop, step, dtype):
    numbers: list[Any] = [part if isinstance(part, float) else as_shape(part)[0] for part in (start, stop, step)]
    return jnp.arange(*numbers).astype(jnp.dtype(dtype))


def concatenate(tensors: Sequence[ArrayLike], axis: int = -1) -> Any:
    """The arrays of a list one behind the other along `axis`; of sparse ones a sparse one, of sizes sizes."""
    parts: list[Any] = list(tensors)
    if builtins.all(map(are_sizes, parts)) and not builtins.all(isinstance(part, np.ndarray) for part in parts):
        return Sizes(itertools.chain(*parts))
    return sparse_if(builtins.all(map(is_sparse, parts)), _concatenate(parts, axis))


@lift
@sparse.takes_sparse
def _concatenate(tensors, axis):
    if builtins.all(map(sparse.is_bcoo, tensors)):
        return sparse.joined(tensors, axis)
    return jnp.concatenate([jnp.asarray(sparse.to_dense(tensor)) for tensor in tensors], axis=axis)


def stack(x: Sequence[ArrayLike], axis: int = 0) -> Any:
    """The arrays of a list side by side along a new axis; of sizes sizes."""
    return Sizes(x) if are_sizes(x) else _stack(x, axis)


@lift
def _stack(x, axis):
    return jnp.stack([jnp.asarray(part) for part in x], axis=axis)


@lift
def reshape(x: ArrayLike, shape: Sequence[Any]) -> Array:
    """x in another shape; one size may be -1: what remains."""
    return jnp.reshape(jnp.asarray(x), as_shape(shape))


@lift
def flatten(x: ArrayLike) -> Array:
    """x in one row."""
    return jnp.reshape(jnp.asarray(x), (-1,))


@lift
def batch_flatten(x: ArrayLike) -> Array:
    """Each example of x in one row."""
    x = jnp.asarray(x)
    return x.reshape((x.shape[0], math.prod(x.shape[1:])))


def expand_dims(x: ArrayLike, axis: int = -1) -> Any:
    """x with a new axis of size one; of a size sizes."""
    return Sizes([x]) if is_size(x) else _expand_dims(x, axis)


@lift
def _expand_dims(x, axis):
    return jnp.expand_dims(jnp.asarray(x), axis)


@lift
def squeeze(x: ArrayLike, axis: int) -> Array:
    """x without an axis of size one."""
    return jnp.squeeze(jnp.asarray(x), axis)


@lift
def permute_dimensions(x: ArrayLike, pattern: Sequence[int]) -> Array:
    """x with the axes in the order of `pattern`."""
    return jnp.transpose(jnp.asarray(x), tuple(pattern))


@lift
def repeat_elements(x: ArrayLike, rep: int, axis: int) -> Array:
    """Each entry along `axis` repeated `rep` times."""
    return jnp.repeat(jnp.asarray(x), rep, axis=axis)


@lift
def repeat(x: ArrayLike, n: Any) -> Array:
    """x (batch, features) n times as a sequence: (batch, n, features).

    Raises:
        ValueError: if x has not two axes.
    """
    x = jnp.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"repeat: an array of two axes was expected, one of shape {x.shape} was given.")
    return jnp.broadcast_to(x[:, None], (x.shape[0], *as_shape(n), x.shape[1]))


@lift
def tile(x: ArrayLike, n: Any) -> Array:
    """x repeated n times, or along each axis as often as `n` (a list) says."""
    return jnp.tile(jnp.asarray(x), as_shape(n))


@lift
def reverse(x: ArrayLike, axes: Ints) -> Array:
    """x with the entries along one axis, or several, in reverse order."""
    return jnp.flip(jnp.asarray(x), axes if isinstance(axes, int) else tuple(axes))


@lift
def slice(x: ArrayLike, start: Sequence[int], size: Sequence[int]) -> Array:
    """`size` entries from `start` on, of each axis; size -1: all that remain. Where to start may be computed on the
    device, of an axis whose size is given."""
    x = jnp.asarray(x)
    for axis, (first, count) in enumerate(zip(start, as_shape(size), strict=True)):
        if isinstance(first, jax.core.Tracer) and count != -1:
            x = jax.lax.dynamic_slice_in_dim(x, first, count, axis)
        else:
            (first,) = as_shape([first])
            x = jax.lax.slice_in_dim(x, first, None if count == -1 else first + count, axis=axis)
    return x


@lift
def gather(reference: ArrayLike, indices: ArrayLike) -> Array:
    """The rows of `reference` at `indices`, in the shape of `indices`."""
    return jnp.take(jnp.asarray(reference), jnp.asarray(indices).astype(jnp.int32), axis=0)


@lift
def one_hot(indices: ArrayLike, num_classes: Any) -> Array:
    """For each index, a row with a one at its place and zeros elsewhere."""
    places = jnp.arange(*as_shape(num_classes))
    return (jnp.asarray(indices)[..., None] == places).astype(config.floatx())


# ---------------------------------------------------------------------------------------------------- spatial shapes


def _check_pairs(padding, count, name):
    pairs = tuple(tuple(pair) for pair in padding)
    if len(pairs) != count or builtins.any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name}: `padding` should be {count} pairs (before, behind). Found: {padding}")
    return pairs


@lift
def temporal_padding(x: ArrayLike, padding: Sequence[int] = (1, 1)) -> Array:
    """Zeros before and behind the time axis of (batch, time, features)."""
    return spatial.pad(x, _check_pairs([padding], 1, "temporal_padding"), "channels_last")


@lift
def spatial_2d_padding(
    x: ArrayLike, padding: Sequence[Sequence[int]] = ((1, 1), (1, 1)), data_format: Layout = None
) -> Array:
    """Zeros around images: (before, behind) for rows and columns."""
    pairs = _check_pairs(padding, 2, "spatial_2d_padding")
    return spatial.pad(x, pairs, config.data_format(data_format))


@lift
def spatial_3d_padding(
    x: ArrayLike, padding: Sequence[Sequence[int]] = ((1, 1), (1, 1), (1, 1)), data_format: Layout = None
) -> Array:
    """Zeros around volumes: (before, behind) for each of the three spatial axes."""
    pairs = _check_pairs(padding, 3, "spatial_3d_padding")
    return spatial.pad(x, pairs, config.data_format(data_format))


@lift
def resize_images(
    x: ArrayLike, height_factor: int, width_factor: int, data_format: Layout, interpolation: str = "nearest"
) -> Array:
    """Images larger by integer factors; 'nearest' or 'bilinear'."""
    return spatial.upsample(x, (height_factor, width_factor), config.data_format(data_format), interpolation)


@lift
def resize_volumes(
    x: ArrayLike, depth_factor: int, height_factor: int, width_factor: int, data_format: Layout
) -> Array:
    """Volumes larger by integer factors, every entry repeated."""
    factors = (depth_factor, height_factor, width_factor)
    return spatial.upsample(x, factors, config.data_format(data_format))
