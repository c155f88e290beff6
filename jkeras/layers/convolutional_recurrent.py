"""Recurrent layers over images: `ConvRNN2D` runs a cell over the time steps; `ConvLSTM2D` makes its cell itself."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import (
    ActivationLike,
    Clamped,
    ConstraintLike,
    Count,
    InitializerLike,
    Layout,
    Padding,
    RegularizerLike,
    Window,
    keeps_arguments,
)
from jkeras.layers.cell import Cell, first_shape, sizes
from jkeras.layers.kernels import conv, rnn
from jkeras.layers.kernels.windows import check_window, conv_output_length, spatial_axes
from jkeras.layers.legacy import ConvRecurrent2D, Recurrent
from jkeras.layers.recurrent import RNN, CellLayer, LSTMCell
from jkeras.serialize.objects import has_arg
from jkeras.typing import Shape
from jkeras.utils.generic_utils import to_list, transpose_shape  # noqa: F401

__all__ = ["ConvLSTM2D", "ConvLSTM2DCell", "ConvRNN2D", "ConvRecurrent2D", "Layer", "Recurrent", "has_arg"]


class ConvLSTM2DCell(Cell):
    """One step of `ConvLSTM2D`.

    Arguments: as of `ConvLSTM2D`.

    Weights: kernel (rows, columns, channels, 4 * filters), recurrent_kernel (rows, columns, filters, 4 * filters), bias
    (4 * filters,); the gates in the order i (input), f (forget), c (cell), o (output). States: h, c.
    """

    gates = 4
    state_count = 2
    rank = 2
    initial_bias = LSTMCell.initial_bias

    @keeps_arguments
    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1), activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "hard_sigmoid", use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros", unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike = None, recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0,
        recurrent_dropout: Clamped = 0.0, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if self.padding == "causal":
            raise ValueError(f"Layer {self.name}: Invalid padding: causal; only Conv1D has it.")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"Layer {self.name}: strides > 1 not supported in conjunction with dilation_rate > 1. Received: "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}"
            )

    @property
    def units(self):
        """The size of the states along the channel axis: `filters`."""
        return self.filters

    @property
    def channel_axis(self) -> int:
        """The axis of the channels of a time step."""
        return 1 if self.data_format == "channels_first" else -1

    def input_conv(self, x: Any, w: Any, b: Any = None, padding: str = "valid"):
        """The convolution of the inputs of a step: x (batch, rows, columns, channels), w a kernel, b a bias or None."""
        outputs = conv.convolve(x, w, self.strides, padding, self.data_format, self.dilation_rate, in_loop=True)
        return outputs if b is None else conv.bias_add(outputs, b, self.data_format)

    def recurrent_conv(self, x: Any, w: Any):
        """The convolution of the state h, which keeps its size: x (batch, rows, columns, filters), w a kernel."""
        return conv.convolve(x, w, (1, 1), "same", self.data_format, (1, 1), in_loop=True)

    def _sums(self, convolve, inputs, kernel, masks):
        """The convolution of `inputs` with the kernels of all gates, under the dropout mask of each."""
        if masks is None:
            return convolve(inputs, kernel)
        kernels = jnp.split(kernel, self.gates, axis=-1)
        parts = [convolve(inputs * masks[:, gate], kernel) for gate, kernel in enumerate(kernels)]
        return jnp.concatenate(parts, axis=self.channel_axis)

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        """output, [h, c] after `inputs` (batch, rows, columns, channels) and `states` [h, c]."""
        sums = self._sums(lambda x, w: self.input_conv(x, w, padding=self.padding), inputs, params["kernel"], masks[0])
        if self.use_bias:
            sums = conv.bias_add(sums, params["bias"], self.data_format)
        return self.advance(params, sums, states, masks[1])

    def advance(self, params: dict, sums: Any, states: Sequence, masks: Any = None):
        """output, [h, c] after `states` [h, c] and the inputs' part of the gates' sums, with 4 * filters channels."""
        hidden, carry = states
        sums = sums + self._sums(self.recurrent_conv, hidden, params["recurrent_kernel"], masks)
        i, f, c, o = jnp.split(sums, self.gates, axis=self.channel_axis)
        carry = self.recurrent_activation(f) * carry + self.recurrent_activation(i) * self.activation(c)
        hidden = self.recurrent_activation(o) * self.activation(carry)
        return hidden, [hidden, carry]

    def sequence_sums(self, params: dict, inputs: Any):
        """The inputs' part of the gates' sums for all steps at once, of `inputs` (batch, time, ...)."""
        batch, time, *image = inputs.shape
        arguments = self.strides, self.padding, self.data_format, self.dilation_rate
        sums = conv.convolve(inputs.reshape((batch * time, *image)), params["kernel"], *arguments)
        if self.use_bias:
            sums = conv.bias_add(sums, params["bias"], self.data_format)
        return sums.reshape((batch, time, *sums.shape[1:]))


class ConvRNN2D(RNN):
    """Run a convolutional cell over the time steps of a sequence of images.

    Arguments:
        cell: a cell as of `RNN` that also has `filters`, `kernel_size`, `strides`, `padding`, `dilation_rate` and
            `data_format`, those of the convolution from its inputs to its states; `state_size` counts channels.
        return_sequences, return_state, go_backwards, stateful: as of `RNN`. For `stateful`, the numbers of rows and
            columns must be fixed, too.
        unroll: only False; cells cannot be stacked, either. As in Keras 2.2.4.

    Input shape: (batch, time, rows, columns, channels), or (batch, time, channels, rows, columns) for channels_first.
    As a list: [inputs, *initial states, *constants].

    Output shape: (batch, new_rows, new_columns, filters), or with the filters in front, with `return_sequences` after a
    time axis; with `return_state` a list of it and of the states.

    Raises:
        TypeError: for `unroll`, or a list of cells.

    Example:
        >>> layer = ConvRNN2D(ConvLSTM2DCell(4, 3, padding="same"), return_sequences=True)
        >>> layer.compute_output_shape((None, 5, 8, 8, 1))
        (None, 5, 8, 8, 4)
    """

    def __init__(
        self, cell: Any, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, unroll: bool = False, **kwargs: Any,
    ):  # fmt: skip
        if unroll:
            raise TypeError(f"{type(self).__name__}: Unrolling isn't possible with convolutional RNNs.")
        if isinstance(cell, (list, tuple)):
            raise TypeError(
                f"{type(self).__name__}: It is not possible at the moment to stack convolutional cells. Received "
                f"{len(cell)} cells; stack layers with return_sequences=True instead."
            )
        super().__init__(cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs)
        self.input_spec = [InputSpec(ndim=5)]

    @property
    def _channel_axis(self):
        return 1 if self.cell.data_format == "channels_first" else 3

    def state_shapes(self, input_shape: Shape) -> list:
        cell = self.cell
        image = [input_shape[axis + 1] for axis in spatial_axes(2, cell.data_format)]
        check_window(image, cell.kernel_size, cell.padding, cell.dilation_rate, layer=self.name)
        image = [
            conv_output_length(size, window, cell.padding, stride, dilation)
            for size, window, stride, dilation in zip(
                image, cell.kernel_size, cell.strides, cell.dilation_rate, strict=True
            )
        ]
        if cell.data_format == "channels_first":
            return [(input_shape[0], channels, *image) for channels in sizes(cell)]
        return [(input_shape[0], *image, channels) for channels in sizes(cell)]

    def declare(self, input_shape: Any):
        shape = first_shape(input_shape)
        if self.stateful and any(None in state_shape for state_shape in self.state_shapes(shape)):
            raise ValueError(
                f"Layer {self.name}: If a RNN is stateful, it needs to know its batch size. Specify the batch size of "
                "your input tensors: `batch_input_shape=(...)` of the first layer of a Sequential model, or "
                "`batch_shape=(...)` of Input. The same thing goes for the number of rows and columns. Input shape: "
                f"{tuple(shape)}."
            )
        return super().declare(input_shape)

    def check_states(self, shapes: Sequence):
        """Check the shapes of initial states.

        Raises:
            ValueError: if they are not as many, or have not as many channels, as those of the cell.
        """
        if any(len(shape) != 4 for shape in shapes) or [shape[self._channel_axis] for shape in shapes] != sizes(
            self.cell
        ):
            raise ValueError(
                f"Layer {self.name}: An `initial_state` was passed that is not compatible with `cell.state_size`. "
                f"Received states of shapes {shapes}; however `cell.state_size` is {self.cell.state_size} "
                f"({self.cell.data_format})"
            )

    def _sweeps(self, training, constants) -> bool:
        """Whether one convolution can treat the inputs of all steps at once: for the built-in cell, without dropout."""
        return type(self.cell) is ConvLSTM2DCell and not constants and not (training and self.cell.drops())

    def _sweep(self, weights, inputs, states, mask, constants, key, training):
        params = weights[0]
        return rnn.loop(
            lambda sums, states, time: self.cell.advance(params, sums, states),
            self.cell.sequence_sums(params, inputs),
            states,
            mask=mask,
            go_backwards=self.go_backwards,
            sequences=self.return_sequences,
        )


class ConvLSTM2D(CellLayer, ConvRNN2D):
    """`LSTM` over images: its matrix products are convolutions.

    i, f, o = recurrent_activation(x * W + h * U + b);  c' = f c + i activation(x * W + h * U + b);
    h' = o activation(c'), with * a convolution, and h is the output. There are no connections from c to the gates.

    Arguments:
        filters: the number of channels of the output and of each state.
        kernel_size: the size of the window, one integer or (rows, columns), for the inputs and for the state.
        strides, padding, dilation_rate: of the convolution of the inputs, as of `Conv2D`; that of the state keeps its
            size.
        data_format: 'channels_last', 'channels_first', or None for `K.image_data_format()`.
        dropout, recurrent_dropout: the fractions of the inputs and of the state to drop; one mask per gate for a whole
            sequence.
        The others are those of `LSTM`. `return_state` is a keyword only.

    Input shape: (batch, time, rows, columns, channels), or (batch, time, channels, rows, columns) for channels_first.

    Output shape: (batch, new_rows, new_columns, filters), or with the filters in front, with `return_sequences` after a
    time axis; with `return_state` a list of it, h and c.

    Reference:
        Shi et al., Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
        https://arxiv.org/abs/1506.04214

    Example:
        >>> layer = ConvLSTM2D(4, 3, padding="same")
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 8, 8, 1))
        >>> layer.apply(params, state, jnp.ones((2, 5, 8, 8, 1)))[0].shape
        (2, 8, 8, 4)
    """

    cell_class = ConvLSTM2DCell

    def __init__(
        self, filters: Count, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1), activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "hard_sigmoid", use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros", unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike = None, recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, return_sequences: bool = False, go_backwards: bool = False,
        stateful: bool = False, dropout: Clamped = 0.0, recurrent_dropout: Clamped = 0.0, **kwargs: Any,
    ):  # fmt: skip
        keywords = {name: kwargs.pop(name, False) for name in ("return_state", "unroll")}
        super().__init__(keywords | locals(), kwargs)

    def get_config(self):
        return super().get_config() | {"return_state": self.return_state, "unroll": self.unroll}
