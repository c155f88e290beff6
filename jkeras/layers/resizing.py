"""Layers that change the size of the space and nothing else: zeros around, cropping, upsampling.

Their Keras address is `layers.convolutional`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import Layout, Window, keeps_arguments
from jkeras.layers.kernels import spatial
from jkeras.layers.kernels.windows import normalize_tuple, spatial_axes

__all__ = [
    "Cropping1D", "Cropping2D", "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D",
    "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip


def _pairs(value, name: str, layer) -> tuple:
    """The form of one pair (before, behind) per axis: an integer for all, or per axis an integer or a pair. A single
    pair for layers with one axis."""
    rank = layer.rank
    if rank == 1:
        return normalize_tuple(value, 2, name, least=0)
    if isinstance(value, int):
        return (normalize_tuple(value, 2, name, least=0),) * rank
    if not hasattr(value, "__len__"):
        raise ValueError(
            f"`{name}` should be either an int, a tuple of {rank} ints, or a tuple of {rank} tuples of 2 ints. "
            f"Found: {value}"
        )
    if len(value) != rank:
        raise ValueError(f"`{name}` should have {'two' if rank == 2 else rank} elements. Found: {value}")
    return tuple(normalize_tuple(entry, 2, f"entry {n + 1} of {name}", least=0) for n, entry in enumerate(value))


Pairs: TypeAlias = Annotated[int | Sequence, _pairs]


class _Resizing(Layer):
    """The engine: `_resize` of the inputs, which has neither weights nor state."""

    rank = 2
    data_format = "channels_last"

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _resize(self, inputs):
        raise NotImplementedError(f"{type(self).__name__} does not say how it resizes.")

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return self._resize(inputs), state


class _UpSampling(_Resizing):
    interpolation = "nearest"

    def _resize(self, inputs):
        return spatial.upsample(
            inputs, normalize_tuple(self.size, self.rank, "size"), self.data_format, self.interpolation
        )


class UpSampling1D(_UpSampling):
    """Every time step repeated `size` times.

    Arguments:
        size: integer, how often.

    Input shape: (batch, steps, features).
    Output shape: (batch, steps * size, features).

    Example:
        >>> UpSampling1D(2).apply({}, {}, jnp.ones((1, 4, 3)))[0].shape
        (1, 8, 3)
    """

    rank = 1

    @keeps_arguments
    def __init__(self, size: Window = 2, **kwargs: Any):
        super().__init__(**kwargs)
        (self.size,) = self.size


class UpSampling2D(_UpSampling):
    """Images with rows and columns repeated, or interpolated.

    nearest: every entry repeated.
    bilinear: out[i * size + j] = (1 - j / size) * in[i] + j / size * in[i + 1] along each axis, the last entry standing
    for the one behind it.

    Arguments:
        size: the factors, one integer or (rows, columns).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.
        interpolation: 'nearest' or 'bilinear'.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: the same with rows and columns times their factors.

    Example:
        >>> UpSampling2D((2, 3)).apply({}, {}, jnp.ones((1, 4, 4, 3)))[0].shape
        (1, 8, 12, 3)
    """

    rank = 2

    @keeps_arguments
    def __init__(
        self, size: Window = (2, 2), data_format: Layout = None, interpolation: str = "nearest", **kwargs: Any
    ):
        super().__init__(**kwargs)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(
                f'Layer {self.name}: interpolation should be one of "nearest" or "bilinear". Received: {interpolation}'
            )


class UpSampling3D(_UpSampling):
    """Volumes with every entry repeated along each axis.

    Arguments:
        size: the factors, one integer or (depth, rows, columns).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: the same with the sizes times their factors.

    Example:
        >>> UpSampling3D(2).apply({}, {}, jnp.ones((1, 2, 2, 2, 3)))[0].shape
        (1, 4, 4, 4, 3)
    """

    rank = 3

    @keeps_arguments
    def __init__(self, size: Window = (2, 2, 2), data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)


class _ZeroPadding(_Resizing):
    def _resize(self, inputs):
        pairs = (self.padding,) if self.rank == 1 else self.padding
        return spatial.pad(inputs, pairs, self.data_format)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a sequence.

    Arguments:
        padding: how many, one integer or (before, after).

    Input shape: (batch, steps, features).
    Output shape: (batch, before + steps + after, features).

    Example:
        >>> ZeroPadding1D((0, 2)).apply({}, {}, jnp.ones((1, 4, 3)))[0].shape
        (1, 6, 3)
    """

    rank = 1

    @keeps_arguments
    def __init__(self, padding: Pairs = 1, **kwargs: Any):
        super().__init__(**kwargs)


class ZeroPadding2D(_ZeroPadding):
    """Rows and columns of zeros around images.

    Arguments:
        padding: how many: one integer, (rows, columns), or ((top, bottom), (left, right)).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: the same with more rows and columns.

    Example:
        >>> ZeroPadding2D(((1, 0), (2, 2))).apply({}, {}, jnp.ones((1, 4, 4, 3)))[0].shape
        (1, 5, 8, 3)
    """

    rank = 2

    @keeps_arguments
    def __init__(self, padding: Pairs = (1, 1), data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes.

    Arguments:
        padding: how many: one integer, three, or three pairs (before, behind), for depth, rows and columns.
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: the same with a larger space.

    Example:
        >>> ZeroPadding3D(1).apply({}, {}, jnp.ones((1, 2, 2, 2, 3)))[0].shape
        (1, 4, 4, 4, 3)
    """

    rank = 3

    @keeps_arguments
    def __init__(self, padding: Pairs = (1, 1, 1), data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)


class _Cropping(_Resizing):
    def _resize(self, inputs):
        pairs = (self.cropping,) if self.rank == 1 else self.cropping
        for axis, pair in zip(spatial_axes(self.rank, self.data_format), pairs, strict=True):
            size = inputs.shape[axis]
            if isinstance(size, int) and sum(pair) > size:
                raise ValueError(f"Layer {self.name}: cropping {pair} is more than the {size} entries of axis {axis}.")
        return spatial.crop(inputs, pairs, self.data_format)


class Cropping1D(_Cropping):
    """A sequence without its first and last time steps.

    Arguments:
        cropping: how many, one integer or (first, last).

    Input shape: (batch, steps, features).
    Output shape: (batch, steps - first - last, features).

    Example:
        >>> Cropping1D((0, 2)).apply({}, {}, jnp.ones((1, 6, 3)))[0].shape
        (1, 4, 3)
    """

    rank = 1

    @keeps_arguments
    def __init__(self, cropping: Pairs = (1, 1), **kwargs: Any):
        super().__init__(**kwargs)


class Cropping2D(_Cropping):
    """Images without their outermost rows and columns.

    Arguments:
        cropping: how many: one integer, (rows, columns), or ((top, bottom), (left, right)).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: the same with fewer rows and columns.

    Example:
        >>> Cropping2D(((1, 0), (2, 2))).apply({}, {}, jnp.ones((1, 6, 6, 3)))[0].shape
        (1, 5, 2, 3)
    """

    rank = 2

    @keeps_arguments
    def __init__(self, cropping: Pairs = ((0, 0), (0, 0)), data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)


class Cropping3D(_Cropping):
    """Volumes without their outermost entries.

    Arguments:
        cropping: how many: one integer, three, or three pairs (first, last), for depth, rows and columns.
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: the same with a smaller space.

    Example:
        >>> Cropping3D().apply({}, {}, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 2, 2, 2, 3)
    """

    rank = 3

    @keeps_arguments
    def __init__(self, cropping: Pairs = ((1, 1), (1, 1), (1, 1)), data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)
