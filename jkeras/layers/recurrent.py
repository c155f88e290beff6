"""Recurrent layers: `RNN` runs a cell over the time steps; `SimpleRNN`, `GRU` and `LSTM` make their cell themselves.

What a cell is: see `jkeras.layers.cell`. The arithmetic: see `jkeras.layers.kernels.rnn`.
"""

import operator
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import activations, config, initializers, random, regularizers
from jkeras.graph import adapter
from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import (
    ActivationLike,
    Clamped,
    ConstraintLike,
    Count,
    Implementation,
    InitializerLike,
    RegularizerLike,
    keeps_arguments,
)
from jkeras.layers.cell import (
    Cell,
    StackedRNNCells,
    arguments_of,
    bind,
    check_cell,
    first,
    first_shape,
    join_inputs,
    part_of_batch,
    set_states,
    sizes,
    split_inputs,
    whole_batch,
)
from jkeras.layers.kernels import rnn
from jkeras.layers.legacy import Recurrent
from jkeras.lift import lift
from jkeras.serialize.objects import CustomObjectScope, has_arg
from jkeras.typing import CustomObjects, Shape
from jkeras.utils.generic_utils import to_list  # noqa: F401

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Recurrent", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells"]

#: An unrolled loop is compiled step by step; a program of more steps would take hours to compile.
UNROLLED_STEPS = 10_000

# With these activations the whole-sequence kernels apply: one element of the result depends on one element only.
# fmt: off
_ELEMENTWISE = {
    activations.elu, activations.exponential, activations.hard_sigmoid, activations.linear, activations.relu,
    activations.selu, activations.sigmoid, activations.softplus, activations.softsign, activations.tanh,
}
# fmt: on


class SimpleRNNCell(Cell):
    """One step of `SimpleRNN`: h = activation(x W + h U + b).

    Arguments: as of `SimpleRNN`.

    Weights: kernel (size, units), recurrent_kernel (units, units), bias (units,). States: h.
    """

    @keeps_arguments
    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0, recurrent_dropout: Clamped = 0.0, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        """output, [h] after `inputs` (batch, size) and `states` [h]."""
        from_hidden = rnn.project(states[0], params["recurrent_kernel"], None, masks[1])
        output = self.activation(rnn.project(inputs, params["kernel"], params.get("bias"), masks[0]) + from_hidden)
        return output, [output]


class GRUCell(Cell):
    """One step of `GRU`.

    Arguments: as of `GRU`.

    Weights: kernel (size, 3 * units), recurrent_kernel (units, 3 * units), bias (3 * units,), or with `reset_after`
    (2, 3 * units); the gates in the order z (update), r (reset), h (candidate). States: h.
    """

    gates = 3

    @keeps_arguments
    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", recurrent_activation: ActivationLike = "hard_sigmoid",
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0,
        recurrent_dropout: Clamped = 0.0, implementation: Implementation = 1, reset_after: bool = False, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)

    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _biases(self, params):
        """The bias of the inputs' products and that of the state's."""
        bias = params.get("bias")
        return (bias[0], bias[1]) if bias is not None and self.reset_after else (bias, None)

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        """output, [h] after `inputs` (batch, size) and `states` [h]."""
        bias, recurrent_bias = self._biases(params)
        output, _, _ = rnn.gru_step(
            rnn.project(inputs, params["kernel"], bias, masks[0]),
            states[0],
            params["recurrent_kernel"],
            recurrent_bias,
            self.activation,
            self.recurrent_activation,
            reset_after=self.reset_after,
            masks=masks[1],
        )
        return output, [output]

    def sweep(self, params: dict, inputs: Any, states: Sequence, keep: Any, sequences: bool):
        """All steps at once: outputs (time, batch, units) or None, and the last states."""
        options = (self.activation, self.recurrent_activation, self.reset_after, sequences)
        weights = (params["kernel"], params["recurrent_kernel"], *self._biases(params))
        outputs, state = rnn.gru(options, weights, inputs, states[0], keep)
        return outputs, [state]


class LSTMCell(Cell):
    """One step of `LSTM`.

    Arguments: as of `LSTM`.

    Weights: kernel (size, 4 * units), recurrent_kernel (units, 4 * units), bias (4 * units,); the gates in the order
    i (input), f (forget), c (cell), o (output). States: h, c.
    """

    gates = 4
    state_count = 2

    @keeps_arguments
    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", recurrent_activation: ActivationLike = "hard_sigmoid",
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True, kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0, recurrent_dropout: Clamped = 0.0,
        implementation: Implementation = 1, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)

    def initial_bias(self):
        if not self.unit_forget_bias:
            return self.bias_initializer

        def with_forget_ones(shape, dtype=None, *, key=None):
            bias = initializers.draw(self.bias_initializer, key, shape, dtype)
            bias[self.units : 2 * self.units] = 1
            return bias

        return with_forget_ones

    def step(self, params: dict, inputs: Any, states: Sequence, masks: Sequence = (None, None)):
        """output, [h, c] after `inputs` (batch, size) and `states` [h, c]."""
        gates = rnn.project(inputs, params["kernel"], params.get("bias"), masks[0])
        gates = gates + rnn.project(states[0], params["recurrent_kernel"], None, masks[1])
        hidden, carry = rnn.lstm_step(gates, states[1], self.activation, self.recurrent_activation)
        return hidden, [hidden, carry]

    def sweep(self, params: dict, inputs: Any, states: Sequence, keep: Any, sequences: bool):
        """All steps at once: outputs (time, batch, units) or None, and the last states."""
        options = (self.activation, self.recurrent_activation, sequences)
        weights = (params["kernel"], params["recurrent_kernel"], params.get("bias"))
        outputs, *states = rnn.lstm(options, weights, inputs, states[0], states[1], keep)
        return outputs, states


# ------------------------------------------------------------------------------------------------------------ layers


def _cell(value, name, layer):
    """The form of a cell; a list of cells is stacked."""
    cell = StackedRNNCells(value) if isinstance(value, (list, tuple)) else value
    check_cell(cell, f"{type(layer).__name__}: `{name}`")
    return cell


CellLike: TypeAlias = Annotated[Any, _cell]


class RNN(Layer):
    """Run a cell over the time steps of a sequence.

    Arguments:
        cell: a cell: a layer with `state_size` (an integer, or a tuple of them) and `call(inputs, states)` that returns
            (output, new states) and may also take `constants` and `training`; or a list of cells to be stacked.
        return_sequences: whether to return the outputs of all steps instead of the last.
        return_state: whether to return the last states, too.
        go_backwards: from the last step to the first; a returned sequence is in that order.
        stateful: whether the last states of a batch are the initial states of the next. The batch size must be fixed.
        unroll: a longer program in place of a loop; the number of time steps must be fixed.
        input_dim, input_length: size and number of time steps of the input, another way to say `input_shape`.

    Input shape: (batch, time, size). As a list: [inputs, *initial states, *constants].

    Output shape: (batch, units), or with `return_sequences` (batch, time, units); with `return_state` a list of it and
    of the states, (batch, units) each.

    A mask (batch, time): where it is false, the states stay as they are. The output there is the first state, which for
    stacked cells is not the output's; unrolled it is the previous output.

    Initial states are zeros unless given, as symbols `layer(x, initial_state=[...])`, or by `reset_states`. `layer(x,
    constants=[...])` hands the cell the same values at every step.

    Example:
        >>> layer = RNN(LSTMCell(8), return_sequences=True)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 5, 8)
    """

    supports_masking = runs_parts = True

    @keeps_arguments
    def __init__(
        self, cell: CellLike, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, unroll: bool = False, **kwargs: Any,
    ):  # fmt: skip
        if kwargs.get("input_dim") is not None and "input_shape" not in kwargs:
            kwargs["input_shape"] = (kwargs.pop("input_length", None), kwargs.pop("input_dim"))
        self.num_constants = kwargs.pop("num_constants", None)
        self.calls_user_code = not isinstance(cell, Layer)  # a cell that is no layer can only be the user's
        super().__init__(**kwargs)
        self.input_spec = [InputSpec(ndim=3)]

    # ------------------------------------------------------------------------------------------------ the pure pair

    def sublayers(self):
        return self.held_layers({"cell": self.cell} if isinstance(self.cell, Layer) else {})

    def sublayer_shapes(self, input_shape: Any):
        shape = tuple(first_shape(input_shape))
        step = (shape[0], *shape[2:])
        constants = list(input_shape[-self.num_constants :]) if self.num_constants else []
        return {"cell": [step, *constants] if constants else step}

    def state_shapes(self, input_shape: Shape) -> list:
        """The shapes of the states for inputs of `input_shape`."""
        return [(input_shape[0], size) for size in sizes(self.cell)]

    @property
    def unsaved_state(self):
        return tuple(f"state_{place}" for place in range(len(sizes(self.cell))))

    def declare(self, input_shape: Any):
        params, state = super().declare(input_shape)
        if self.stateful:
            shape = first_shape(input_shape)
            if not shape[0]:
                raise ValueError(
                    f"Layer {self.name}: If a RNN is stateful, it needs to know its batch size. Specify the batch size "
                    "of your input tensors: `batch_input_shape=(...)` of the first layer of a Sequential model, or "
                    f"`batch_shape=(...)` of Input. Input shape: {tuple(shape)}."
                )
            dtype = jnp.dtype(config.floatx())
            for name, state_shape in zip(self.unsaved_state, self.state_shapes(shape), strict=True):
                state[name] = np.zeros(state_shape, dtype)
        return params, state

    def apply(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
        initial_state: Any = None, constants: Any = None,
    ):  # fmt: skip
        inputs, initial_state, constants = split_inputs(inputs, initial_state, constants, self.num_constants)
        weights = params.get("cell", {}), state.get("cell", {})
        inputs = jnp.asarray(inputs)
        inputs = inputs.astype(jnp.result_type(inputs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(weights[0]))))
        if initial_state is None:
            initial_state = self._carried(state, inputs) if self.stateful else self.get_initial_state(inputs)
        if len(initial_state) != len(sizes(self.cell)):
            raise ValueError(
                f"Layer {self.name} has {len(sizes(self.cell))} states but was passed {len(initial_state)} initial "
                "states."
            )
        initial_state = [self._fitted(jnp.asarray(one, inputs.dtype), inputs.shape[0]) for one in initial_state]
        key = None if key is None else random.as_key(key).fold("cell")
        run = self._sweep if self._sweeps(training, constants) else self._loop
        last, outputs, states = run(weights, inputs, initial_state, first(mask), constants, key, training)
        if self.stateful:
            state = {**state, **dict(zip(self.unsaved_state, (whole_batch(one) for one in states), strict=True))}
        output = outputs if self.return_sequences else last
        return ([output, *states] if self.return_state else output), state

    def _sweeps(self, training, constants) -> bool:
        """Whether the cell can run the whole sequence at once: a built-in one, elementwise, without dropout."""
        cell = self.cell
        if self.unroll or constants or type(cell) not in (GRUCell, LSTMCell) or (training and cell.drops()):
            return False
        return {cell.activation, cell.recurrent_activation} <= _ELEMENTWISE

    def _sweep(self, weights, inputs, states, mask, constants, key, training):
        steps, keep = rnn.time_major(inputs, mask, self.go_backwards)
        outputs, states = self.cell.sweep(weights[0], steps, states, keep, self.return_sequences)
        return states[0], None if outputs is None else jnp.moveaxis(outputs, 0, 1), states

    def _loop(self, weights, inputs, states, mask, constants, key, training):
        start = inputs[:, -1 if self.go_backwards else 0]
        params, state = weights
        cell = self.cell
        if not self.built:  # what its `call` calls is then not built either
            shapes = [one.shape for one in (inputs, *states, *constants)] if constants else inputs.shape
            cell = (adapter.whole(self, shapes) or self).cell
        step = bind(cell, params, state, start, states, constants=constants, key=key, training=training)
        return rnn.loop(
            step,
            inputs,
            states,
            mask=mask,
            go_backwards=self.go_backwards,
            unroll=self.unroll,
            sequences=self.return_sequences,
        )

    def _fitted(self, state, examples):
        """An initial state, checked to be for as many examples as the inputs."""
        if not isinstance(examples, int):  # an abstract run, of any number of examples
            return jnp.broadcast_to(state[:1], (examples, *state.shape[1:]))
        if state.shape[0] != examples:
            raise ValueError(
                f"Layer {self.name} was given an initial state for {state.shape[0]} examples and inputs of {examples}."
            )
        return state

    def get_initial_state(self, inputs: Any) -> list:
        """Zeros, for `inputs` (batch, time, ...), an array or a symbol."""
        return lift(self._zero_states)(inputs)

    def _zero_states(self, inputs):
        return [jnp.zeros(shape, inputs.dtype) for shape in self.state_shapes(inputs.shape)]

    def _carried(self, state, inputs):
        """The states that the previous batch left."""
        states = [part_of_batch(state[name], inputs.shape[0]) for name in self.unsaved_state]
        if states[0].shape[0] != inputs.shape[0]:
            raise ValueError(
                f"Layer {self.name} is stateful for batches of {states[0].shape[0]} examples; a batch of "
                f"{inputs.shape[0]} was given."
            )
        return states

    def compute_mask(self, inputs: Any, mask: Any = None):
        output = first(mask) if self.return_sequences else None
        return [output] + [None] * len(sizes(self.cell)) if self.return_state else output

    # --------------------------------------------------------------------------------------------- call on symbols

    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **arguments: Any):
        """Call the layer on a symbol, or on [inputs, *initial states, *constants], which may also be given by name."""
        inputs, initial_state, constants = split_inputs(inputs, initial_state, constants, self.num_constants)
        if constants is not None:
            if not has_arg(self.cell.call, "constants"):
                raise ValueError(f"Layer {self.name}: RNN cell does not support constants.")
            self.num_constants = len(constants)
        if initial_state is not None:
            self.check_states([tuple(one.shape) for one in initial_state])
        inputs, given = join_inputs(self, inputs, initial_state, constants)
        return super().__call__(inputs, **given, **arguments)

    def check_states(self, shapes: Sequence):
        """Check the shapes of initial states.

        Raises:
            ValueError: if they are not as many, or not of the size, that the cell has.
        """
        if [shape[-1] for shape in shapes] != sizes(self.cell):
            raise ValueError(
                f"Layer {self.name}: An `initial_state` was passed that is not compatible with `cell.state_size`. "
                f"Received states of shapes {shapes}; however `cell.state_size` is {self.cell.state_size}"
            )

    def assert_input_compatibility(self, shapes: Sequence):
        super().assert_input_compatibility(shapes[:1])
        if self.unroll and (shapes[0][1] or 0) > UNROLLED_STEPS:
            raise ValueError(
                f"Layer {self.name}: unroll=True writes down each of {shapes[0][1]} time steps, which are more "
                f"than {UNROLLED_STEPS}. Use unroll=False."
            )
        if self.unroll and shapes[0][1] in (None, 1):
            raise ValueError(
                f"Layer {self.name}: Cannot unroll a RNN if the time dimension is undefined or equal to 1. Give the "
                "number of time steps: `input_shape` or `batch_input_shape` of the first layer of a Sequential model "
                f"(`input_length` of an Embedding), `shape` of Input. Input shape: {tuple(shapes[0])}."
            )

    def build(self, input_shape: Any):
        super().build(input_shape)
        shape = first_shape(input_shape)
        self.input_spec = [InputSpec(shape=(shape[0] if self.stateful else None, None, *shape[2:]))]
        if isinstance(self.cell, Layer):
            self.cell.built = True

    # ------------------------------------------------------------------------------------------------------ states

    @property
    def states(self) -> list:
        """The variables of the states of a stateful layer; Nones before it is built, and if it is not stateful."""
        return list(self._unsaved_state) or [None] * len(sizes(self.cell))

    def reset_states(self, states: Any = None):
        """Set the states of a stateful layer to zeros, or to `states`, a list of arrays (batch, units).

        Raises:
            AttributeError: if it is not stateful.
            ValueError: if it is not built, or their number or a shape is wrong.
        """
        if not self.stateful:
            raise AttributeError(f"Layer must be stateful. Layer {self.name} is not.")
        variables = self._unsaved_state
        if not variables:
            raise ValueError(f"Layer {self.name} has no states yet: call it on an input with a fixed batch size first.")
        set_states(self, variables, states)

    # ------------------------------------------------------------------------------------------------------ config

    def get_config(self):
        constants = {} if self.num_constants is None else {"num_constants": self.num_constants}
        return super().get_config() | constants

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        if isinstance(config.get("cell"), dict):
            from jkeras.layers import deserialize

            config = {**config, "cell": deserialize(config["cell"], custom_objects=custom_objects)}
        with CustomObjectScope(custom_objects):
            return cls(**config)


# ------------------------------------------------------------------------------------- layers that make their own cell


class CellLayer(RNN):
    """The base of the layers that take the arguments of a cell (`cell_class`), of `RNN`, and `activity_regularizer`.

    The cell keeps its arguments; the layer shows them as properties.
    """

    cell_class: type

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in arguments_of(cls.cell_class) if "cell_class" in vars(cls) else ():
            setattr(cls, name, property(operator.attrgetter("cell." + name), doc=f"The cell's `{name}`."))

    def __init__(self, arguments: dict, kwargs: dict):
        if arguments.get("implementation") == 0:
            # So says Keras 2.2.4, and keeps the 0, with which it computes as with 2.
            warnings.warn(
                "`implementation=0` has been deprecated, and now defaults to `implementation=1`.", stacklevel=3
            )
        cell = self.cell_class(**{name: arguments[name] for name in arguments_of(self.cell_class)})
        super().__init__(cell, **{name: arguments[name] for name in arguments_of(RNN) if name != "cell"}, **kwargs)
        self.activity_regularizer = regularizers.get(arguments["activity_regularizer"])

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        if config.get("implementation") == 0:
            config = {**config, "implementation": 1}
        return super().from_config(config, custom_objects)


class SimpleRNN(CellLayer):
    """A fully connected recurrent layer: h = activation(x W + h U + b), and h is the output.

    Arguments, input and output shape: as of `LSTM`, without `recurrent_activation`, `unit_forget_bias` and
    `implementation`.

    Example:
        >>> layer = SimpleRNN(8)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 8)
    """

    cell_class = SimpleRNNCell

    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros", kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0,
        recurrent_dropout: Clamped = 0.0, return_sequences: bool = False, return_state: bool = False,
        go_backwards: bool = False, stateful: bool = False, unroll: bool = False, **kwargs: Any,
    ):  # fmt: skip
        if kwargs.pop("implementation", None) is not None:
            warnings.warn("The `implementation` argument in `SimpleRNN` has been deprecated.", stacklevel=2)
        super().__init__(locals(), kwargs)


class GRU(CellLayer):
    """Gated recurrent unit.

    z, r = recurrent_activation(x W + h U + b);  h' = z h + (1 - z) activation(x W + (r h) U + b),
    with `reset_after` instead activation(x W + b + r (h U + b')). h is the output.

    Arguments, input and output shape: as of `LSTM`, without `unit_forget_bias`, and
        reset_after: whether the reset gate comes after the matrix product, as in cuDNN.

    With `implementation=2` and `recurrent_dropout`, the state that is mixed with the candidate has its dropout mask,
    too, as in Keras 2.2.4.

    Reference:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation,
        https://arxiv.org/abs/1406.1078

    Example:
        >>> layer = GRU(8, return_sequences=True)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 5, 8)
    """

    cell_class = GRUCell

    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", recurrent_activation: ActivationLike = "hard_sigmoid",
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None, recurrent_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0, recurrent_dropout: Clamped = 0.0,
        implementation: Implementation = 1, return_sequences: bool = False, return_state: bool = False,
        go_backwards: bool = False, stateful: bool = False, unroll: bool = False, reset_after: bool = False,
        **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals(), kwargs)


class LSTM(CellLayer):
    """Long short-term memory.

    i, f, o = recurrent_activation(x W + h U + b);  c' = f c + i activation(x W + h U + b);  h' = o activation(c'), and
    h is the output.

    Arguments:
        units: the size of the output and of each state.
        activation: of the candidate and of the cell state; recurrent_activation: of the gates. Names or functions.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: of the weights.
        unit_forget_bias: whether the bias of the forget gate starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: applied to the weights after each update.
        dropout, recurrent_dropout: the fractions of the inputs and of the state to drop; one mask for a whole sequence.
        implementation: 1: each gate has a dropout mask of its own; 2: one mask for all. Otherwise the same.
        return_sequences, return_state, go_backwards, stateful, unroll: as of `RNN`.

    Input shape: (batch, time, size).

    Output shape: (batch, units), or with `return_sequences` (batch, time, units); with `return_state` a list of it, h
    and c.

    Reference:
        Hochreiter and Schmidhuber, Long Short-Term Memory, http://www.bioinf.jku.at/publications/older/2604.pdf;
        Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks,
        https://arxiv.org/abs/1512.05287

    Example:
        >>> layer = LSTM(8)
        >>> params, state = layer.init(jax.random.key(0), (2, 5, 3))
        >>> layer.apply(params, state, jnp.ones((2, 5, 3)))[0].shape
        (2, 8)
    """

    cell_class = LSTMCell

    def __init__(
        self, units: Count, activation: ActivationLike = "tanh", recurrent_activation: ActivationLike = "hard_sigmoid",
        use_bias: bool = True, kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal", bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True, kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        recurrent_constraint: ConstraintLike = None, bias_constraint: ConstraintLike = None, dropout: Clamped = 0.0,
        recurrent_dropout: Clamped = 0.0, implementation: Implementation = 1, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        **kwargs: Any,
    ):  # fmt: skip
        super().__init__(locals(), kwargs)
