"""Weights that another version of Keras, another backend or the other kind of recurrent layer wrote, as a layer has
them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jkeras.graph.topology import Network
from jkeras.layers.wrappers import Bidirectional, TimeDistributed
from jkeras.utils.conv_utils import convert_kernel

__all__ = ["preprocess_weights_for_loading"]

# Weights of the gates, as Keras 1 had them one by one, in the order in which they are laid side by side now.
_GATES_OF_KERAS_1 = {"GRU": (0, 3, 6), "LSTM": (0, 6, 3, 9), "ConvLSTM2D": (0, 6, 3, 9)}
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D")


def preprocess_weights_for_loading(
    layer: Any,
    weights: Sequence,
    original_keras_version: str | None = None,
    original_backend: str | None = None,
    reshape: bool = False,
) -> list:
    """The weights of a file as those of `layer`.

    Weights of Keras 1, kernels of Theano, and weights of cuDNN layers for plain ones and the other way round, are
    converted; also those of layers inside of wrappers and models.

    Arguments:
        layer: whose weights they shall be.
        weights: arrays, in the order of the file.
        original_keras_version: '1' for Keras 1.
        original_backend: 'theano' where kernels are to be turned around.
        reshape: whether a convolution kernel of another shape, of as many numbers, is reshaped.

    Raises:
        ValueError: if weights of one kind of recurrent layer cannot be those of the other, or a kernel cannot be
            reshaped.
    """
    weights = list(weights)

    def of(inner, part):
        return preprocess_weights_for_loading(inner, part, original_keras_version, original_backend)

    if isinstance(layer, Bidirectional):
        half = len(weights) // 2
        return of(layer.forward_layer, weights[:half]) + of(layer.backward_layer, weights[half:])
    if isinstance(layer, TimeDistributed):
        return of(layer.layer, weights)
    if isinstance(layer, Network):
        return _of_network(layer, weights, of)
    kind = type(layer).__name__
    if original_keras_version == "1":
        weights = _from_keras_1(layer, kind, weights)
    if kind in _CONVOLUTIONS and weights:
        weights = _kernels(layer, kind, weights, original_backend == "theano", reshape)
    if kind in ("LSTM", "CuDNNLSTM") and len(weights) == 3:
        return _lstm(kind, weights)
    if kind in ("GRU", "CuDNNGRU") and len(weights) == 3:
        return _gru(layer, kind, weights)
    return weights


def _of_network(network, weights: list, of: Callable) -> list:
    """A network's weights: first what its layers train, then the rest."""
    converted, first = [], 0
    for part in ("trainable_weights", "non_trainable_weights"):
        for layer in network.layers:
            count = len(getattr(layer, part))
            if count:
                converted += of(layer, weights[first : first + count])
                first += count
    return converted + weights[first:]


def _from_keras_1(layer, kind: str, weights: list) -> list:
    first = getattr(layer, "data_format", None) == "channels_first"
    if kind in _GATES_OF_KERAS_1 and len(weights) == 3 * len(_GATES_OF_KERAS_1[kind]):
        gates = _GATES_OF_KERAS_1[kind]
        weights = [np.concatenate([weights[place + gate] for gate in gates], axis=-1) for place in range(3)]
        if kind == "ConvLSTM2D" and first:
            weights[:2] = [np.transpose(kernel, (2, 3, 1, 0)) for kernel in weights[:2]]
    elif kind == "Conv1D":
        kernel = weights[0]
        if kernel.shape[:2] != (layer.kernel_size[0], 1) or kernel.shape[3] != layer.filters:
            kernel = np.transpose(kernel, (2, 3, 1, 0))  # (filters, channels, length, 1) of Keras 1.1
        weights[0] = kernel[:, 0]
    elif kind == "Conv2D" and first:
        weights[0] = np.transpose(weights[0], (2, 3, 1, 0))
    elif kind == "Conv3D" and first:
        weights[0] = np.transpose(weights[0], (2, 3, 4, 1, 0))
    elif kind == "Conv2DTranspose":
        weights[0] = np.transpose(weights[0], (2, 3, 0, 1) if first else (0, 1, 3, 2))
    return weights


def _kernels(layer, kind: str, weights: list, turned: bool, reshape: bool) -> list:
    kernels = 2 if kind == "ConvLSTM2D" else 1
    if turned:
        weights[:kernels] = [convert_kernel(kernel) for kernel in weights[:kernels]]
    shape = tuple(layer.weights[0].shape)
    if shape == weights[0].shape:
        return weights
    if reshape:
        if weights[0].size != np.prod(shape):
            raise ValueError(
                f"Weights must be of equal size to apply a reshape operation. The kernel of layer {layer.name} has "
                f"shape {shape}; the one to load has shape {weights[0].shape}."
            )
        weights[0] = weights[0].reshape(shape)
    elif tuple(np.moveaxis(weights[0], (3, 2), (0, 1)).shape if weights[0].ndim == 4 else ()) == shape:
        weights[:kernels] = [np.transpose(kernel, (3, 2, 0, 1)) for kernel in weights[:kernels]]
    return weights


# ------------------------------------------------------------------------------------------------------------ cuDNN


def _between_cudnn(weights: list, gates: int, from_cudnn: bool) -> list:
    """Input and recurrent kernels in the other layout: cuDNN keeps those of each gate transposed."""
    order = "F" if from_cudnn else "C"
    kernels = [kernel.T.reshape(kernel.shape, order=order) for kernel in np.hsplit(weights[0], gates)]
    recurrent = [kernel.T for kernel in np.hsplit(weights[1], gates)]
    return [np.hstack(kernels), np.hstack(recurrent)]


def _lstm(kind: str, weights: list) -> list:
    size = 4 * weights[1].shape[0]
    sources = {(2 * size,): "CuDNNLSTM", (size,): "LSTM"}
    source = sources.get(weights[2].shape)
    if source is None:
        raise ValueError(f"Invalid bias shape: {weights[2].shape}; expected one of {list(sources)}.")
    if source == kind:
        return weights
    from_cudnn = source == "CuDNNLSTM"
    # cuDNN adds two biases.
    bias = np.sum(np.split(weights[2], 2), axis=0) if from_cudnn else np.tile(0.5 * weights[2], 2)
    return [*_between_cudnn(weights, 4, from_cudnn), bias]


def _gru(layer, kind: str, weights: list) -> list:
    size = 3 * weights[1].shape[0]
    sources = {(2 * size,): "CuDNNGRU", (2, size): "GRU(reset_after=True)", (size,): "GRU(reset_after=False)"}
    source = sources.get(weights[2].shape)
    if source is None:
        raise ValueError(f"Invalid bias shape: {weights[2].shape}; expected one of {list(sources)}.")
    target = kind if kind == "CuDNNGRU" else f"GRU(reset_after={bool(layer.reset_after)})"
    if source == target:
        return weights
    if "GRU(reset_after=False)" in (source, target):
        raise ValueError(f"{source} is not compatible with {target}")
    from_cudnn = source == "CuDNNGRU"
    return [*_between_cudnn(weights, 3, from_cudnn), weights[2].reshape((2, -1) if from_cudnn else -1)]
