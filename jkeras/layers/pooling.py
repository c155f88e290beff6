"""Pooling layers: over windows, and over the whole space. One engine for all ranks."""

from typing import Any

import jax.numpy as jnp

from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import Layout, OptionalWindow, Padding, Window, keeps_arguments
from jkeras.layers.kernels import pool
from jkeras.layers.kernels.windows import check_window, spatial_axes

__all__ = [
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalAvgPool1D", "GlobalAvgPool2D",
    "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D",
]  # fmt: skip


class _Pooling(Layer):
    """The engine of pooling over windows: `kernel`, with the window's arguments."""

    rank = 2
    kernel = staticmethod(pool.max_pool)

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.strides is None:
            self.strides = self.pool_size
        if self.padding == "causal":
            raise ValueError(f"Layer {self.name}: Invalid padding: causal; expected 'valid' or 'same'.")
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        sizes = [inputs.shape[axis] for axis in spatial_axes(self.rank, self.data_format)]
        check_window(sizes, self.pool_size, self.padding, layer=self.name)
        return self.kernel(inputs, self.pool_size, self.strides, self.padding, self.data_format), state


class _Pooling1D(_Pooling):
    rank = 1

    @keeps_arguments
    def __init__(
        self, pool_size: Window = 2, strides: OptionalWindow = None, padding: Padding = "valid",
        data_format: Layout = "channels_last", **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)


class _Pooling2D(_Pooling):
    rank = 2

    @keeps_arguments
    def __init__(
        self, pool_size: Window = (2, 2), strides: OptionalWindow = None, padding: Padding = "valid",
        data_format: Layout = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)


class _Pooling3D(_Pooling):
    rank = 3

    @keeps_arguments
    def __init__(
        self, pool_size: Window = (2, 2, 2), strides: OptionalWindow = None, padding: Padding = "valid",
        data_format: Layout = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)


class MaxPooling1D(_Pooling1D):
    """The largest value of each window along time. Of equal ones the first gets the gradient.

    Arguments:
        pool_size: the size of the window.
        strides: the distance between windows, None for `pool_size`.
        padding: 'valid' or 'same' (what is outside does not count).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, steps, features), or (batch, features, steps) for channels_first.
    Output shape: (batch, new_steps, features), or (batch, features, new_steps).

    Example:
        >>> MaxPooling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0], [2.0], [0.0]]]))[0].ravel()
        Array([3., 2.], dtype=float32)
    """


class MaxPooling2D(_Pooling2D):
    """The largest value of each window of an image. Of equal ones the first, row by row, gets the gradient.

    Arguments:
        pool_size: the size of the window, one integer or (rows, columns).
        strides: the distance between windows, None for `pool_size`.
        padding: 'valid' or 'same' (what is outside does not count).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, channels), or (batch, channels, new_rows, new_columns).

    Example:
        >>> MaxPooling2D(2).apply({}, {}, jnp.ones((1, 28, 28, 8)))[0].shape
        (1, 14, 14, 8)
    """


class MaxPooling3D(_Pooling3D):
    """The largest value of each window of a volume: `MaxPooling2D` with one more axis.

    Arguments: those of `MaxPooling2D`, tuples having three entries.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: the same with a smaller space.

    Example:
        >>> MaxPooling3D(2).apply({}, {}, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 2, 2, 2, 3)
    """


class AveragePooling1D(_Pooling1D):
    """The mean of each window along time.

    Arguments: those of `MaxPooling1D`.

    Input shape: (batch, steps, features), or (batch, features, steps) for channels_first.
    Output shape: (batch, new_steps, features), or (batch, features, new_steps).

    Example:
        >>> AveragePooling1D(2).apply({}, {}, jnp.array([[[1.0], [3.0], [2.0], [0.0]]]))[0].ravel()
        Array([2., 1.], dtype=float32)
    """

    kernel = staticmethod(pool.average_pool)


class AveragePooling2D(_Pooling2D):
    """The mean of each window of an image.

    Arguments: those of `MaxPooling2D`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, channels), or (batch, channels, new_rows, new_columns).

    Example:
        >>> AveragePooling2D(2).apply({}, {}, jnp.ones((1, 28, 28, 8)))[0].shape
        (1, 14, 14, 8)
    """

    kernel = staticmethod(pool.average_pool)


class AveragePooling3D(_Pooling3D):
    """The mean of each window of a volume: `AveragePooling2D` with one more axis.

    Arguments: those of `MaxPooling2D`, tuples having three entries.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: the same with a smaller space.

    Example:
        >>> AveragePooling3D(2).apply({}, {}, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 2, 2, 2, 3)
    """

    kernel = staticmethod(pool.average_pool)


class _GlobalPooling(Layer):
    """The engine of pooling over the whole space: `reduce` over the spatial axes."""

    rank = 2
    reduce = staticmethod(jnp.max)

    @keeps_arguments
    def __init__(self, data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return self.reduce(inputs, axis=spatial_axes(self.rank, self.data_format)), state


class _GlobalPooling1D(_GlobalPooling):
    rank = 1

    def __init__(self, data_format: Layout = "channels_last", **kwargs: Any):
        super().__init__(data_format, **kwargs)


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value of each feature over all time steps.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, steps, features), or (batch, features, steps) for channels_first.
    Output shape: (batch, features).

    Example:
        >>> GlobalMaxPooling1D().apply({}, {}, jnp.ones((1, 7, 3)))[0].shape
        (1, 3)
    """


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each feature over the time steps that the mask keeps.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, steps, features), or (batch, features, steps) for channels_first.
    Output shape: (batch, features). As in Keras 2.2.4, an example whose steps are all masked gives NaN.

    Example:
        >>> layer = GlobalAveragePooling1D()
        >>> inputs, mask = jnp.array([[[1.0], [2.0], [9.0]]]), jnp.array([[True, True, False]])
        >>> layer.apply({}, {}, inputs, mask=mask)[0]
        Array([[1.5]], dtype=float32)
    """

    supports_masking = True
    reduce = staticmethod(jnp.mean)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if mask is None:
            return super().apply(params, state, inputs)
        (axis,) = spatial_axes(1, self.data_format)
        weights = jnp.expand_dims(jnp.asarray(mask, inputs.dtype), 3 - axis)
        return jnp.sum(inputs * weights, axis) / jnp.sum(weights, axis), state

    def compute_mask(self, inputs: Any, mask: Any = None):
        """None: the output has no time axis."""
        return


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel of an image.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, channels).

    Example:
        >>> GlobalMaxPooling2D().apply({}, {}, jnp.ones((1, 7, 7, 3)))[0].shape
        (1, 3)
    """


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of an image.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, channels).

    Example:
        >>> GlobalAveragePooling2D().apply({}, {}, jnp.ones((1, 7, 7, 3)))[0].shape
        (1, 3)
    """

    reduce = staticmethod(jnp.mean)


class GlobalMaxPooling3D(_GlobalPooling):
    """The largest value of each channel of a volume.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: (batch, channels).

    Example:
        >>> GlobalMaxPooling3D().apply({}, {}, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 3)
    """

    rank = 3


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel of a volume.

    Arguments:
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.

    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: (batch, channels).

    Example:
        >>> GlobalAveragePooling3D().apply({}, {}, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 3)
    """

    rank = 3
    reduce = staticmethod(jnp.mean)


# The short names of Keras 2.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
