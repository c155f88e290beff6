"""`CuDNNGRU` and `CuDNNLSTM`: `GRU` and `LSTM` with the weights that cuDNN has. They run on any device.

What is cuDNN's: sigmoid gates, the reset gate after the matrix product, two biases (the inputs' and the state's), and
the kernel of each gate written row by row as (units, size) into an array of shape (size, units).
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import ConstraintLike, Count, InitializerLike, RegularizerLike
from jkeras.layers.cell import first
from jkeras.layers.recurrent import GRU, LSTM, RNN, CellLayer, GRUCell, LSTMCell

__all__ = ["CuDNNGRU", "CuDNNLSTM", "InputSpec", "RNN", "convert_weights"]


def _from_cudnn(kernel, gates: int):
    """A kernel in cuDNN's layout, (size, gates * units), as `LSTM` and `GRU` hold it."""
    size, units = kernel.shape[0], kernel.shape[1] // gates
    kernel = kernel.reshape(size, gates, units).swapaxes(0, 1).reshape(gates, units, size)
    return kernel.transpose(2, 0, 1).reshape(size, gates * units)


def _to_cudnn(kernel, gates: int):
    """The inverse of `_from_cudnn`."""
    size, units = kernel.shape[0], kernel.shape[1] // gates
    kernel = kernel.reshape(size, gates, units).transpose(1, 2, 0).reshape(gates, size, units)
    return kernel.swapaxes(0, 1).reshape(size, gates * units)


def convert_weights(layer: Layer, weights: Sequence) -> list:
    """Weights of an LSTM or a GRU, in Keras's layout or in cuDNN's, in the layout of `layer`.

    Arguments:
        layer: any layer; the weights of others than LSTM, GRU, CuDNNLSTM and CuDNNGRU stay as they are.
        weights: a list of arrays: kernel, recurrent kernel and bias, whose shape tells the layout. Other than three
            stay as they are.

    Raises:
        ValueError: if the bias fits no layout, or one side is a GRU without `reset_after`, which cuDNN does not have.
    """
    if not isinstance(layer, (LSTM, GRU, _CuDNN)) or len(weights) != 3:
        return list(weights)
    kernel, recurrent_kernel, bias = map(np.asarray, weights)
    gates = layer.cell.gates
    size = gates * recurrent_kernel.shape[0]
    if gates == 4:
        kinds = {(size,): "LSTM", (2 * size,): "CuDNNLSTM"}
        target = "CuDNNLSTM" if isinstance(layer, _CuDNN) else "LSTM"
    else:
        kinds = {(size,): "GRU(reset_after=False)", (2, size): "GRU(reset_after=True)", (2 * size,): "CuDNNGRU"}
        target = "CuDNNGRU" if isinstance(layer, _CuDNN) else f"GRU(reset_after={bool(layer.reset_after)})"
    source = kinds.get(bias.shape)
    if source is None:
        raise ValueError(f"Layer {layer.name}: Invalid bias shape: {bias.shape}; expected one of {list(kinds)}.")
    if source == target:
        return [kernel, recurrent_kernel, bias]
    if "GRU(reset_after=False)" in (source, target):
        raise ValueError(f"Layer {layer.name}: {source} is not compatible with {target}")
    if source.startswith("CuDNN"):
        convert, biases = _from_cudnn, bias.reshape(2, size)
        bias = biases if gates == 3 else biases.sum(axis=0)
    else:  # only the sum of an LSTM's two biases matters
        convert, bias = _to_cudnn, bias.reshape(-1) if gates == 3 else np.tile(bias / 2, 2)
    return [convert(kernel, gates), convert(recurrent_kernel, gates), bias]


class _CuDNNLSTMCell(LSTMCell):
    """`LSTMCell` with cuDNN's weights; the bias is (8 * units,): those of the inputs, then those of the state."""

    def bias_shape(self):
        return (8 * self.units,)

    def initial_bias(self):
        if not self.unit_forget_bias:
            return self.bias_initializer
        single = super().initial_bias()

        def with_forget_ones(shape, dtype=None, *, key=None):
            bias = single(shape, dtype, key=key)  # whose ones stand where the inputs' biases have their forget gate
            return np.roll(bias, 4 * self.units)

        return with_forget_ones

    def _plain(self, params):
        biases = params["bias"].reshape(2, -1)
        return {**_plain_kernels(params, self.gates), "bias": biases[0] + biases[1]}

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        return super().step(self._plain(params), inputs, states, masks)

    def sweep(self, params: dict, inputs: Any, states: Sequence, keep: Any, sequences: bool):
        return super().sweep(self._plain(params), inputs, states, keep, sequences)


class _CuDNNGRUCell(GRUCell):
    """`GRUCell` with cuDNN's weights; the bias is (6 * units,): those of the inputs, then those of the state."""

    def bias_shape(self):
        return (6 * self.units,)

    def _plain(self, params):
        return {**_plain_kernels(params, self.gates), "bias": params["bias"].reshape(2, -1)}

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        return super().step(self._plain(params), inputs, states, masks)

    def sweep(self, params: dict, inputs: Any, states: Sequence, keep: Any, sequences: bool):
        return super().sweep(self._plain(params), inputs, states, keep, sequences)


def _plain_kernels(params, gates):
    return {name: _from_cudnn(params[name], gates) for name in ("kernel", "recurrent_kernel")}


# The arguments of the cells that cuDNN leaves no choice about.
_FIXED = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "implementation": 1,
    "reset_after": True,
    "unroll": False,
}


class _CuDNN(CellLayer):
    """What `CuDNNGRU` and `CuDNNLSTM` share."""

    #: What it does in one step, made by the constructor.
    cell: Any = None
    kernel = property(operator.attrgetter("cell.kernel"), doc="The variable of the kernel.")
    recurrent_kernel = property(operator.attrgetter("cell.recurrent_kernel"), doc="That of the recurrent kernel.")
    bias = property(operator.attrgetter("cell.bias"), doc="That of both biases.")

    def __init__(self, arguments: dict, kwargs: dict):
        keywords = {"go_backwards": kwargs.pop("go_backwards", False)}
        super().__init__({**_FIXED, **keywords, **arguments}, kwargs)
        self.supports_masking = False

    def _sweeps(self, training, constants):
        return True

    def apply(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
        initial_state: Any = None, constants: Any = None,
    ):  # fmt: skip
        if first(mask) is not None:
            raise ValueError(
                f"Layer {self.name}: Masking is not supported for CuDNN RNNs. Use the `LSTM` or `GRU` layer, which are "
                "as fast here."
            )
        given = {"initial_state": initial_state, "constants": constants}
        return super().apply(params, state, inputs, key=key, training=training, **given)

    def get_config(self):
        return super().get_config() | {"go_backwards": self.go_backwards}


class CuDNNGRU(_CuDNN):
    """`GRU(units, recurrent_activation="sigmoid", reset_after=True)` with the weights that cuDNN has.

    In Keras 2.2.4 this layer needs a GPU; here it runs anywhere, as fast as `GRU`. Masks are not supported.

    Arguments: as of `GRU`. `go_backwards` is a keyword only.

    Weights: kernel (size, 3 * units), recurrent_kernel (units, 3 * units), bias (6 * units,): the inputs', then the
    state's; the gates in the order z, r, h. `convert_weights` brings them to `GRU` and back.

    Input and output shape: as of `GRU`.

    Example:
        >>> layer = CuDNNGRU(8, return_sequences=True)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 5, 8)
    """

    cell_class = _CuDNNGRUCell

    def __init__(
        self, units: Count, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, return_sequences: bool = False, return_state: bool = False,
        stateful: bool = False, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals(), kwargs)


class CuDNNLSTM(_CuDNN):
    """`LSTM(units, recurrent_activation="sigmoid")` with the weights that cuDNN has.

    In Keras 2.2.4 this layer needs a GPU; here it runs anywhere, as fast as `LSTM`. Masks are not supported.

    Arguments: as of `LSTM`. `go_backwards` is a keyword only.

    Weights: kernel (size, 4 * units), recurrent_kernel (units, 4 * units), bias (8 * units,): the inputs', then the
    state's; the gates in the order i, f, c, o. `convert_weights` brings them to `LSTM` and back.

    Input and output shape: as of `LSTM`.

    Example:
        >>> layer = CuDNNLSTM(8)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 8)
    """

    cell_class = _CuDNNLSTMCell

    def __init__(
        self, units: Count, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True, kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None,
        return_sequences: bool = False, return_state: bool = False, stateful: bool = False, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals(), kwargs)
