"""Layers: what models are made of."""

from jkeras.graph.layer import InputSpec, Layer
from jkeras.graph.topology import Input, InputLayer, Network
from jkeras.layers.advanced_activations import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from jkeras.layers.convolutional import (
    AtrousConv1D,
    AtrousConv2D,
    AtrousConvolution1D,
    AtrousConvolution2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Convolution1D,
    Convolution2D,
    Convolution2DTranspose,
    Convolution3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Deconv2D,
    Deconv3D,
    Deconvolution2D,
    Deconvolution3D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution1D,
    SeparableConvolution2D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from jkeras.layers.convolutional_recurrent import ConvLSTM2D, ConvLSTM2DCell, ConvRNN2D
from jkeras.layers.core import (
    Activation,
    ActivityRegularization,
    Dense,
    Dropout,
    Flatten,
    Lambda,
    Masking,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from jkeras.layers.cudnn_recurrent import CuDNNGRU, CuDNNLSTM
from jkeras.layers.embeddings import Embedding
from jkeras.layers.legacy import ConvRecurrent2D, Highway, MaxoutDense, Recurrent, accept_old_calls
from jkeras.layers.local import LocallyConnected1D, LocallyConnected2D
from jkeras.layers.merge import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from jkeras.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from jkeras.layers.normalization import BatchNormalization
from jkeras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from jkeras.layers.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells
from jkeras.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from jkeras.serialize.objects import deserialize_keras_object, serialize_keras_object
from jkeras.typing import CustomObjects
from jkeras.utils.generic_utils import func_dump, func_load, has_arg, object_list_uid, to_list, transpose_shape  # noqa: F401

__all__ = [
    "ELU", "GRU", "LSTM", "RNN", "Activation", "ActivityRegularization", "Add", "AlphaDropout", "AtrousConv1D",
    "AtrousConv2D", "AtrousConvolution1D", "AtrousConvolution2D", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D", "BatchNormalization", "Bidirectional", "Concatenate",
    "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvLSTM2D", "ConvLSTM2DCell", "ConvRNN2D",
    "ConvRecurrent2D", "Convolution1D", "Convolution2D", "Convolution2DTranspose", "Convolution3D", "Cropping1D",
    "Cropping2D", "Cropping3D", "CuDNNGRU", "CuDNNLSTM", "Deconv2D", "Deconv3D", "Deconvolution2D", "Deconvolution3D",
    "Dense", "DepthwiseConv2D", "Dot", "Dropout", "Embedding", "Flatten", "GRUCell", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalAvgPool1D",
    "GlobalAvgPool2D", "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "Highway", "Input", "InputLayer", "InputSpec",
    "LSTMCell", "Lambda", "Layer", "LeakyReLU", "LocallyConnected1D", "LocallyConnected2D", "Masking", "MaxPool1D",
    "MaxPool2D", "MaxPool3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "MaxoutDense", "Minimum",
    "Multiply", "PReLU", "Permute", "ReLU", "Recurrent", "RepeatVector", "Reshape", "SeparableConv1D",
    "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D", "SimpleRNN", "SimpleRNNCell", "Softmax",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "StackedRNNCells", "Subtract", "ThresholdedReLU",
    "TimeDistributed", "UpSampling1D", "UpSampling2D", "UpSampling3D", "Wrapper", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D", "add", "average", "concatenate", "deserialize", "dot", "maximum", "minimum", "multiply",
    "serialize", "subtract",
]  # fmt: skip

accept_old_calls(globals())


def serialize(layer: Layer):
    """The class name and config of a layer, from which `deserialize` makes the same one."""
    return serialize_keras_object(layer)


def deserialize(config: dict, custom_objects: CustomObjects = None):
    """A new layer (or model) from its class name and config.

    Arguments:
        config: dict of 'class_name' and 'config', as from `serialize`.
        custom_objects: dict name -> class or function, for names that are not Keras's own.

    Raises:
        ValueError: if a name is unknown.

    Example:
        >>> deserialize(serialize(Dense(3, name="out"))).units
        3
    """
    known = {name: value for name, value in globals().items() if isinstance(value, type) and issubclass(value, Layer)}
    return deserialize_keras_object(config, known | _networks(Network), custom_objects, "layer")


def _networks(base: type) -> dict:
    """`Model` and `Sequential` by name. Models are made of layers, so this room cannot import them: they are found."""
    found = {}
    for kind in base.__subclasses__():
        if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
            found |= {kind.__name__: kind} | _networks(kind)
    return found
