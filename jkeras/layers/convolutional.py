"""Convolutional layers. One engine for all ranks; what differs between the classes is data.

Padding, cropping and upsampling, whose Keras address is this module too, are written in `layers.resizing`.
"""

import warnings
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from jkeras.graph.layer import InputSpec, Layer, call_with_training
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
from jkeras.layers.kernels import conv
from jkeras.layers.kernels.windows import check_window, deconv_length, normalize_tuple, spatial_axes
from jkeras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from jkeras.layers.resizing import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from jkeras.typing import Shape
from jkeras.utils.generic_utils import transpose_shape  # noqa: F401

__all__ = [
    "AtrousConv1D", "AtrousConv2D", "AtrousConvolution1D", "AtrousConvolution2D", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose",
    "Convolution1D", "Convolution2D", "Convolution2DTranspose", "Convolution3D", "Cropping1D", "Cropping2D",
    "Cropping3D", "Deconv2D", "Deconv3D", "Deconvolution2D", "Deconvolution3D", "DepthwiseConv2D", "MaxPooling1D",
    "MaxPooling2D", "MaxPooling3D", "SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D",
    "SeparableConvolution2D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D",
]  # fmt: skip


def _output_padding(value, name, layer):
    return None if value is None else normalize_tuple(value, layer.rank, name, least=0)


OutputPadding: TypeAlias = Annotated[int | Sequence[int] | None, _output_padding]


class _Conv(Layer):
    """The engine: `activation(linear map of the inputs by windows + bias)`, the map being `_weights` and `_outputs`."""

    rank = 2
    #: Arguments of other layers that Keras 2.2.4 accepts here and does nothing with.
    _ignored: tuple = ()

    def __init__(self, kwargs: dict):
        super().__init__(**{name: value for name, value in kwargs.items() if name not in self._ignored})
        if self.padding == "causal" and not isinstance(self, Conv1D):
            raise ValueError(f"Layer {self.name}: Invalid padding: causal; only Conv1D has it.")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"Layer {self.name}: strides > 1 not supported in conjunction with dilation_rate > 1. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}"
            )
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _channel_axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def _weights(self, channels) -> dict:
        return {"kernel": self.weight("kernel", (*self.kernel_size, channels, self.filters))}

    def _channels(self, params) -> int:
        """How many input channels the weights are made for."""
        return params["kernel"].shape[-2]

    def _outputs(self, params, inputs):
        arguments = self.strides, self.padding, self.data_format, self.dilation_rate
        return conv.convolve(inputs, params["kernel"], *arguments)

    def declare(self, input_shape: Shape):
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"Layer {self.name}: the channel dimension of the inputs should be defined. Found `None` in the input "
                f"shape {tuple(input_shape)} ({self.data_format})."
            )
        params = self._weights(channels)
        if self.use_bias:
            params["bias"] = self.weight("bias", (self._bias_size(channels),))
        return params, {}

    def _bias_size(self, channels) -> int:
        return self.filters

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        expected = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: self._channels(params)})
        problem = expected.mismatch(inputs.shape)
        if problem:
            raise ValueError(f"Input 0 is incompatible with layer {self.name}: {problem}.")
        sizes = [inputs.shape[axis] for axis in spatial_axes(self.rank, self.data_format)]
        if not isinstance(self, _Transposed):
            check_window(sizes, self.kernel_size, self.padding, self.dilation_rate, layer=self.name)
        outputs = self._outputs(params, inputs)
        if self.use_bias:
            outputs = conv.bias_add(outputs, params["bias"], self.data_format)
        return outputs if self.activation is None else self.activation(outputs), state


class Conv1D(_Conv):
    """Convolution along time.

    outputs[n, t, o] =
        activation(sum over w, i of inputs[n, t * stride + w * dilation_rate, i] * kernel[w, i, o] + bias[o])
    with w the place in the window, i the input channel.

    Arguments:
        padding: 'valid', 'same', or 'causal': zeros in front only, so that no output sees a later input (channels_last
            only; van den Oord et al., WaveNet, https://arxiv.org/abs/1609.03499).
        The others are those of `Conv2D`.

    Input shape: (batch, steps, channels), or (batch, channels, steps) for channels_first.
    Output shape: (batch, new_steps, filters), or (batch, filters, new_steps).

    Example:
        >>> layer = Conv1D(4, 3, padding="causal")
        >>> params, state = layer.init(jax.random.key(0), (None, 10, 2))
        >>> layer.apply(params, state, jnp.ones((1, 10, 2)))[0].shape
        (1, 10, 4)
    """

    rank = 1

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = 1, padding: Padding = "valid",
        data_format: Layout = "channels_last", dilation_rate: Window = 1, activation: ActivationLike = None,
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)
        if self.padding == "causal" and self.data_format != "channels_last":
            raise ValueError(
                f'Layer {self.name}: when using causal padding in `Conv1D`, `data_format` must be "channels_last" '
                f"(temporal data). Received: {self.data_format}"
            )


class Conv2D(_Conv):
    """Convolution of images.

    outputs[n, p, o] =
        activation(sum over w, i of inputs[n, p * strides + w * dilation_rate, i] * kernel[w, i, o] + bias[o])
    with p the place in the output and w the place in the window, both (row, column), and i the input channel.

    Arguments:
        filters: the number of output channels.
        kernel_size: the size of the window, one integer or (rows, columns).
        strides: the distance between windows, one integer or one per axis.
        padding: 'valid' (windows lie inside of the inputs) or 'same' (zeros around, so that stride 1 keeps the size).
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.
        dilation_rate: the distance between the places of a window; other than 1 only with strides of 1.
        activation: name or function.
        use_bias: whether to add a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: penalty on the output, added to the loss.
        kernel_constraint, bias_constraint: what the weights are brought back to after each update.

    Weights: kernel (rows, columns, channels, filters), bias (filters,).
    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, filters), or (batch, filters, new_rows, new_columns).

    Example:
        >>> layer = Conv2D(8, 3, padding="same", activation="relu")
        >>> params, state = layer.init(jax.random.key(0), (None, 28, 28, 1))
        >>> layer.apply(params, state, jnp.ones((2, 28, 28, 1)))[0].shape
        (2, 28, 28, 8)
    """

    rank = 2

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1), activation: ActivationLike = None,
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)


class Conv3D(_Conv):
    """Convolution of volumes: `Conv2D` with one more axis.

    Arguments: those of `Conv2D`, tuples having three entries.

    Weights: kernel (depth, rows, columns, channels, filters), bias (filters,).
    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: (batch, new_depth, new_rows, new_columns, filters), or with the filters in front of the space.

    Example:
        >>> layer = Conv3D(4, 2, strides=2)
        >>> params, state = layer.init(jax.random.key(0), (None, 8, 8, 8, 1))
        >>> layer.apply(params, state, jnp.ones((1, 8, 8, 8, 1)))[0].shape
        (1, 4, 4, 4, 4)
    """

    rank = 3

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1, 1), activation: ActivationLike = None,
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)


class _Transposed(_Conv):
    """What the transposed convolutions of all ranks share."""

    dilation_rate = (1, 1, 1)

    def _weights(self, channels):
        return {"kernel": self.weight("kernel", (*self.kernel_size, self.filters, channels))}

    def _channels(self, params):
        return params["kernel"].shape[-1]

    def _outputs(self, params, inputs):
        output_size = [
            deconv_length(inputs.shape[axis], stride, window, self.padding, extra, dilation)
            for axis, stride, window, extra, dilation in zip(
                spatial_axes(self.rank, self.data_format),
                self.strides,
                self.kernel_size,
                self.output_padding or (None,) * self.rank,
                self.dilation_rate,
                strict=True,
            )
        ]
        arguments = self.strides, self.padding, self.data_format, self.dilation_rate
        return conv.convolve_transpose(inputs, params["kernel"], output_size, *arguments)

    def _check_output_padding(self):
        if any(extra >= stride for stride, extra in zip(self.strides, self.output_padding or (), strict=False)):
            raise ValueError(
                f"Layer {self.name}: Stride {self.strides} must be greater than output padding {self.output_padding}"
            )


class Conv2DTranspose(_Transposed, Conv2D):
    """Transposed convolution of images ("deconvolution"): from the outputs of a `Conv2D` back to its inputs.

    The linear map is the gradient of that `Conv2D` with respect to its inputs. Each side gets the length
    size * stride + max(window - stride, 0) for padding 'valid' and size * stride for 'same'; with `output_padding`
    (size - 1) * stride + window - 2 * pad + output_padding, where pad is 0 for 'valid' and window // 2 for 'same'.

    Arguments:
        output_padding: one integer or two, smaller than the strides; None for the usual output size.
        The others are those of `Conv2D`.

    Weights: kernel (rows, columns, filters, channels), bias (filters,).
    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, filters), or (batch, filters, new_rows, new_columns).

    Reference:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning, https://arxiv.org/abs/1603.07285

    Example:
        >>> layer = Conv2DTranspose(3, 4, strides=2, padding="same")
        >>> params, state = layer.init(jax.random.key(0), (None, 8, 8, 16))
        >>> layer.apply(params, state, jnp.ones((1, 8, 8, 16)))[0].shape
        (1, 16, 16, 3)
    """

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        output_padding: OutputPadding = None, data_format: Layout = None, dilation_rate: Window = (1, 1),
        activation: ActivationLike = None, use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)
        self._check_output_padding()


class Conv3DTranspose(_Transposed, Conv3D):
    """Transposed convolution of volumes: `Conv2DTranspose` with one more axis, without dilation.

    Arguments: those of `Conv2DTranspose` but `dilation_rate`, tuples having three entries.

    Weights: kernel (depth, rows, columns, filters, channels), bias (filters,).
    Input shape: (batch, depth, rows, columns, channels), or (batch, channels, depth, rows, columns) for channels_first.
    Output shape: (batch, new_depth, new_rows, new_columns, filters), or with the filters in front of the space.

    Example:
        >>> layer = Conv3DTranspose(2, 2, strides=2)
        >>> params, state = layer.init(jax.random.key(0), (None, 4, 4, 4, 3))
        >>> layer.apply(params, state, jnp.ones((1, 4, 4, 4, 3)))[0].shape
        (1, 8, 8, 8, 2)
    """

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1, 1), padding: Padding = "valid",
        output_padding: OutputPadding = None, data_format: Layout = None, activation: ActivationLike = None,
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)
        self._check_output_padding()


_KERNEL_ARGUMENTS = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")


class _Depthwise(_Conv):
    """What the layers with a kernel per channel share."""

    _ignored = _KERNEL_ARGUMENTS

    def _weights(self, channels):
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        return {"depthwise_kernel": self.weight("depthwise_kernel", shape, prefix="depthwise")}

    def _channels(self, params):
        return params["depthwise_kernel"].shape[-2]

    def _outputs(self, params, inputs):
        arguments = self.strides, self.padding, self.data_format, self.dilation_rate
        return conv.depthwise(inputs, params["depthwise_kernel"], *arguments)


class _Separable(_Depthwise):
    """What the separable convolutions of all ranks share."""

    def _weights(self, channels):
        shape = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        pointwise = self.weight("pointwise_kernel", shape, prefix="pointwise")
        return {**super()._weights(channels), "pointwise_kernel": pointwise}

    def _outputs(self, params, inputs):
        return conv.pointwise(super()._outputs(params, inputs), params["pointwise_kernel"], self.data_format)


class SeparableConv1D(_Separable):
    """Depthwise convolution along time, then a matrix product over the channels: `SeparableConv2D` with one axis.

    Arguments: those of `SeparableConv2D`.

    Weights: depthwise_kernel (steps, channels, depth_multiplier), pointwise_kernel (1, channels * depth_multiplier,
    filters), bias (filters,).
    Input shape: (batch, steps, channels), or (batch, channels, steps) for channels_first.
    Output shape: (batch, new_steps, filters), or (batch, filters, new_steps).

    Example:
        >>> layer = SeparableConv1D(4, 3)
        >>> params, state = layer.init(jax.random.key(0), (None, 10, 2))
        >>> layer.apply(params, state, jnp.ones((1, 10, 2)))[0].shape
        (1, 8, 4)
    """

    rank = 1

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = 1, padding: Padding = "valid",
        data_format: Layout = "channels_last", dilation_rate: Window = 1, depth_multiplier: Count = 1,
        activation: ActivationLike = None, use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None, pointwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        depthwise_constraint: ConstraintLike = None, pointwise_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)


class SeparableConv2D(_Separable):
    """Depthwise convolution of images, then a matrix product over the channels.

    inner[n, p, i * depth_multiplier + m] =
        sum over w of inputs[n, p * strides + w * dilation_rate, i] * depthwise[w, i, m]
    outputs[n, p, o] = activation(sum over c of inner[n, p, c] * pointwise[c, o] + bias[o])

    Arguments:
        depth_multiplier: how many inner channels each input channel gets.
        depthwise_initializer, pointwise_initializer, depthwise_regularizer, pointwise_regularizer,
        depthwise_constraint, pointwise_constraint: as in `Conv2D`, for each of the two kernels. As in Keras 2.2.4, a
            `kernel_initializer`, `kernel_regularizer` or `kernel_constraint` is accepted and has no effect.
        The others are those of `Conv2D`.

    Weights: depthwise_kernel (rows, columns, channels, depth_multiplier), pointwise_kernel (1, 1, channels *
    depth_multiplier, filters), bias (filters,).
    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, filters), or (batch, filters, new_rows, new_columns).

    Reference:
        Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, https://arxiv.org/abs/1610.02357

    Example:
        >>> layer = SeparableConv2D(8, 3, padding="same")
        >>> params, state = layer.init(jax.random.key(0), (None, 16, 16, 3))
        >>> layer.apply(params, state, jnp.ones((1, 16, 16, 3)))[0].shape
        (1, 16, 16, 8)
    """

    rank = 2

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1), depth_multiplier: Count = 1,
        activation: ActivationLike = None, use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None, pointwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        depthwise_constraint: ConstraintLike = None, pointwise_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)


class DepthwiseConv2D(_Depthwise, Conv2D):
    """Depthwise convolution of images: each input channel is convolved with `depth_multiplier` kernels of its own.

    outputs[n, p, i * depth_multiplier + m] =
        activation(sum over w of inputs[n, p * strides + w * dilation_rate, i] * kernel[w, i, m] + bias)

    Arguments:
        depth_multiplier: how many output channels each input channel gets.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: as in `Conv2D`, for the kernel. As in Keras
            2.2.4, a `kernel_initializer`, `kernel_regularizer` or `kernel_constraint` is accepted and has no effect.
        The others are those of `Conv2D`.

    Weights: depthwise_kernel (rows, columns, channels, depth_multiplier), bias (channels * depth_multiplier,).
    Input shape: (batch, rows, columns, channels), or (batch, channels, rows, columns) for channels_first.
    Output shape: (batch, new_rows, new_columns, channels * depth_multiplier), or with these channels in front.

    Example:
        >>> layer = DepthwiseConv2D(3, depth_multiplier=2)
        >>> params, state = layer.init(jax.random.key(0), (None, 8, 8, 3))
        >>> layer.apply(params, state, jnp.ones((1, 8, 8, 3)))[0].shape
        (1, 6, 6, 6)
    """

    call = call_with_training

    @keeps_arguments
    def __init__(
        self, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid", depth_multiplier: Count = 1,
        data_format: Layout = None, activation: ActivationLike = None, use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, depthwise_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, dilation_rate: Window = (1, 1), **kwargs: Any,
    ):  # fmt: skip
        _Conv.__init__(self, kwargs)

    def _bias_size(self, channels):
        return channels * self.depth_multiplier


def AtrousConvolution1D(*args, **kwargs):
    """`Conv1D` with `atrous_rate` for `dilation_rate`: a name of Keras 1, deprecated."""
    return _atrous(Conv1D, args, kwargs)


def AtrousConvolution2D(*args, **kwargs):
    """`Conv2D` with `atrous_rate` for `dilation_rate`: a name of Keras 1, deprecated."""
    return _atrous(Conv2D, args, kwargs)


def _atrous(cls, args, kwargs):
    kwargs["dilation_rate"] = kwargs.pop("atrous_rate", 1)
    name = cls.__name__
    warnings.warn(
        f"The `Atrous{name.replace('Conv', 'Convolution')}` layer has been deprecated. Use instead the `{name}` layer "
        "with the `dilation_rate` argument.",
        stacklevel=3,
    )
    return cls(*args, **kwargs)


# The names these layers had before, which Keras 2.2.4 keeps.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
Convolution2DTranspose = Conv2DTranspose
Deconvolution2D = Deconv2D = Conv2DTranspose
Deconvolution3D = Deconv3D = Conv3DTranspose
AtrousConv1D = AtrousConvolution1D
AtrousConv2D = AtrousConvolution2D
