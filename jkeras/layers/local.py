"""Locally connected layers: convolutions whose every place has a kernel of its own."""

import itertools
import math
from typing import Any

import jax.numpy as jnp

from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import (
    ActivationLike,
    ConstraintLike,
    Count,
    InitializerLike,
    Layout,
    Padding,
    RegularizerLike,
    Window,
    keeps_arguments,
)
from jkeras.layers.kernels.windows import check_window, conv_output_length
from jkeras.typing import Shape

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]


class _LocallyConnected(Layer):
    """The engine of locally connected layers; `rank` is how many spatial axes there are.

    outputs[b, p, f] = activation(sum_i patches[b, p, i] * kernel[p, i, f] + bias[p, f])
    """

    rank: int
    data_format = "channels_last"

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.padding != "valid":
            raise ValueError(
                f'Invalid border mode for {type(self).__name__} (only "valid" is supported): padding={self.padding!r}'
            )
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _places(self, sizes) -> tuple:
        """How many places the window has along each spatial axis."""
        windows = zip(sizes, self.kernel_size, self.strides, strict=True)
        return tuple(conv_output_length(size, window, "valid", stride) for size, window, stride in windows)

    def declare(self, input_shape: Shape):
        *sizes, channels = input_shape[1:]
        if self.data_format == "channels_first":
            channels, *sizes = input_shape[1:]
        if channels is None or None in sizes:
            raise ValueError(
                f"The spatial dimensions and channels of the inputs to a {type(self).__name__} layer should be "
                f"fully-defined, but layer {self.name} received the inputs shape {tuple(input_shape)}"
            )
        check_window(sizes, self.kernel_size, self.padding, layer=self.name)
        places = self._places(sizes)
        shape = (math.prod(places), math.prod(self.kernel_size) * channels, self.filters)
        params = {"kernel": self.weight("kernel", shape)}
        if self.use_bias:
            params["bias"] = self.weight("bias", (*places, self.filters))
        return params, {}

    def _patches(self, inputs, places):
        """What each place sees: (batch, places, window and channels), in the order of the layout."""
        offsets = itertools.product(*(range(size) for size in self.kernel_size))
        first = self.data_format == "channels_first"
        parts = []
        for offset in offsets:
            window = tuple(
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(offset, places, self.strides, strict=True)
            )
            part = inputs[(slice(None), slice(None), *window)] if first else inputs[(slice(None), *window)]
            parts.append(jnp.moveaxis(part, 1, -1) if first else part)  # (batch, *places, channels)
        stacked = jnp.stack(parts, axis=-1 if first else -2)
        return stacked.reshape((inputs.shape[0], math.prod(places), -1))

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        first = self.data_format == "channels_first"
        places = self._places(inputs.shape[2:] if first else inputs.shape[1:-1])
        outputs = jnp.einsum("bpi,pif->bpf", self._patches(inputs, places), params["kernel"])
        outputs = outputs.reshape((inputs.shape[0], *places, self.filters))
        outputs = jnp.moveaxis(outputs, -1, 1) if first else outputs
        if self.use_bias:
            # Keras 2.2.4 reshapes the bias to channels_first, where a transposition was meant: so do its weights.
            outputs = outputs + params["bias"].reshape(outputs.shape[1:])
        return self.activation(outputs), state


class LocallyConnected1D(_LocallyConnected):
    """A convolution over time whose every step has a kernel of its own.

    Arguments:
        filters: the number of outputs of a step.
        kernel_size, strides: the length of the window, and its stride: integers.
        padding: 'valid'.
        data_format: not used, as in Keras 2.2.4, and not part of the layer's config.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, bias_constraint: as of `Dense`.

    Input shape: (batch, time, channels), known but for the batch. Output shape: (batch, places, filters).

    Weights: kernel (places, kernel_size * channels, filters), bias (places, filters).

    Raises:
        ValueError: if a size of the input is not known, or `padding` is not 'valid'.

    Example:
        >>> import jax
        >>> layer = LocallyConnected1D(4, 3)
        >>> params, state = layer.init(jax.random.key(0), (None, 10, 2))
        >>> layer.apply(params, state, jnp.ones((1, 10, 2)))[0].shape
        (1, 8, 4)
    """

    rank = 1

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = 1, padding: Padding = "valid",
        data_format: Layout = None, activation: ActivationLike = None, use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.data_format = "channels_last"  # whatever was given

    @classmethod
    def _config_names(cls):
        return [name for name in super()._config_names() if name != "data_format"]


class LocallyConnected2D(_LocallyConnected):
    """A convolution over images whose every place has a kernel of its own.

    Arguments:
        filters: the number of outputs of a place.
        kernel_size, strides: the size of the window, and its stride: integers, or two of them.
        padding: 'valid'.
        data_format: 'channels_last' or 'channels_first'.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
        activity_regularizer, kernel_constraint, bias_constraint: as of `Dense`.

    Input shape: (batch, rows, columns, channels) or (batch, channels, rows, columns), known but for the batch.
    Output shape: the same with the places of the window in place of rows and columns, filters in place of channels.

    Weights: kernel (places, window * channels, filters), bias (rows, columns, filters).

    Raises:
        ValueError: if a size of the input is not known, or `padding` is not 'valid'.
    """

    rank = 2

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, activation: ActivationLike = None, use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
