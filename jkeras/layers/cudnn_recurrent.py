"""`CuDNNGRU` and `CuDNNLSTM`: `GRU` and `LSTM` with the weights that cuDNN has. They run on any device.

What is cuDNN's: sigmoid gates, the reset gate after the matrix product, two biases (of the inputs and of the state), and
the kernel of each gate written row by row as (units, size) into an array of shape (size, units).
"""

import operator

import numpy as np

from jkeras.graph.layer import InputSpec
from jkeras.layers.cell import first
from jkeras.layers.recurrent import GRU, LSTM, RNN, CellLayer, GRUCell, LSTMCell

__all__ = ["CuDNNGRU", "CuDNNLSTM", "InputSpec", "RNN", "convert_weights"]


def _from_cudnn(kernel, gates: int):
    """A kernel of cuDNN's layout, (size, gates * units), as `LSTM` and `GRU` hold it."""
    size, units = kernel.shape[0], kernel.shape[1] // gates
    kernel = kernel.reshape(size, gates, units).swapaxes(0, 1).reshape(gates, units, size)
    return kernel.transpose(2, 0, 1).reshape(size, gates * units)


def _to_cudnn(kernel, gates: int):
    """The inverse of `_from_cudnn`."""
    size, units = kernel.shape[0], kernel.shape[1] // gates
    kernel = kernel.reshape(size, gates, units).transpose(1, 2, 0).reshape(gates, size, units)
    return kernel.swapaxes(0, 1).reshape(size, gates * units)


def convert_weights(layer, weights) -> list:
    """Weights of an LSTM or GRU, of Keras's layout or of cuDNN's, in the layout of `layer`.

    Arguments:
        layer: a layer; only for an LSTM, GRU, CuDNNLSTM or CuDNNGRU there is something to convert.
        weights: a list of arrays; if there are three, kernel, recurrent kernel and bias, the bias tells the layout.

    Raises:
        ValueError: if the bias fits neither layout, or a GRU without `reset_after` is on one side.
    """
    gates = next((gates for kinds, gates in _GATES.items() if isinstance(layer, kinds)), None)
    if gates is None or len(weights) != 3:
        return list(weights)
    kernel, recurrent_kernel, bias = map(np.asarray, weights)
    size = gates * recurrent_kernel.shape[0]
    if bias.shape not in ((2 * size,), (size,), *([(2, size)] if gates == 3 else [])):
        raise ValueError(f"Layer {layer.name}: Invalid bias shape: {bias.shape}, with {size // gates} units.")
    given, wanted = bias.shape, layer.cell.bias_shape()
    if gates == 4:
        wanted = (wanted[0] // layer.units * (size // gates),)
        new_bias = bias.reshape(2, size).sum(0) if given == (2 * size,) else np.tile(bias / 2, 2)
    elif given != wanted and (size,) in (given, layer.cell.bias_shape()):
        raise ValueError(f"Layer {layer.name}: {_gru_kind(given)} is not compatible with {_gru_kind(wanted)}")
    else:
        new_bias = bias.reshape(-1 if given == (2, size) else (2, size))
    if given == wanted:
        return [kernel, recurrent_kernel, bias]
    convert = _from_cudnn if given == (2 * size,) else _to_cudnn
    return [convert(kernel, gates), convert(recurrent_kernel, gates), new_bias]
