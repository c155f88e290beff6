"""What a cell is, and what a recurrent layer is called on: inputs, initial states, constants.

A cell is a layer with a `state_size`. Its `bind` settles all that is the same at every time step (weights, dropout
masks, constants) and returns `step(x, states, time) -> output, states`. A cell in Keras style (`build` and
`call(inputs, states)`) gets its step from `_bind_called`.
"""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jkeras import batch, random
from jkeras.graph import adapter
from jkeras.graph.layer import Layer, free_name
from jkeras.graph.tensor import is_symbol
from jkeras.graph.value import as_arrays, tried
from jkeras.serialize.objects import has_arg
from jkeras.trees import as_list
from jkeras.typing import CustomObjects, Shape

__all__ = [
    "Cell", "StackedRNNCells", "arguments_of", "bind", "check_cell", "first", "first_shape", "listed", "join_inputs",
    "output_size", "part_of_batch", "set_states", "sizes", "split_inputs", "whole_batch",
]  # fmt: skip


def listed(value: Any) -> list:
    """`value` as a list: of nothing for None."""
    return [] if value is None else as_list(value)


def first(value: Any) -> Any:
    """The first of a list or tuple, or `value` itself."""
    return value[0] if isinstance(value, (list, tuple)) else value


def sizes(cell: Any) -> list:
    """The sizes of the states of `cell`."""
    return as_list(cell.state_size)


def output_size(cell: Any) -> Any:
    """The size of the output of `cell`: that of its first state if it does not say."""
    size = getattr(cell, "output_size", None)
    return sizes(cell)[0] if size is None else size


def check_cell(cell: Any, who: str) -> None:
    """Check that `cell` is one; `who` is what the message calls it.

    Raises:
        ValueError: if it is not.
    """
    for attribute, what in (("call", "method"), ("state_size", "attribute (an integer or a tuple of integers)")):
        if not hasattr(cell, attribute):
            raise ValueError(f"{who} should have a `{attribute}` {what}. Received: {cell!r}")


def split_inputs(inputs: Any, initial_state: Any, constants: Any, num_constants: int | None) -> tuple:
    """What a recurrent layer was called on, as: inputs, list of initial states or None, list of constants or None.

    Arguments:
        inputs: a symbol or array, or the list of it, initial states and constants.
        initial_state, constants: those given apart. num_constants: how many at the end of `inputs` are constants.
    """
    if isinstance(inputs, (list, tuple)):
        inputs, *rest = inputs
        if num_constants and constants is None:
            rest, constants = rest[:-num_constants], rest[-num_constants:]
        if rest and initial_state is None:
            initial_state = rest
    return inputs, listed(initial_state) or None, listed(constants) or None


def join_inputs(layer: Layer, inputs: Any, initial_state: Any, constants: Any) -> tuple:
    """What `Layer.__call__` is given: symbols that layers made become inputs, other values stay arguments."""
    given = {"initial_state": initial_state, "constants": constants}
    given = {name: values for name, values in given.items() if values}
    extra = [one for values in given.values() for one in values]
    made = [hasattr(one, "_keras_history") for one in extra]
    if any(made) and not all(made):
        raise ValueError(
            f"Layer {layer.name}: The initial state or constants of an RNN layer cannot be specified with a mix of "
            "Keras tensors and non-Keras tensors (a Keras tensor is one that a layer returned, or `Input`)."
        )
    if extra and (all(made) or not is_symbol(inputs)):
        return [inputs, *extra], {}
    return inputs, given


# ------------------------------------------------------------------------------------------------------------- cells


def bind(
    cell: Any, params: dict, state: dict, inputs: Any, states: Any, *, constants: Any = None, key: Any = None,
    training: bool = False,
):  # fmt: skip
    """The step of any cell: `step(x, states, time) -> output, list of states`.

    Arguments:
        params, state: the cell's. inputs, states: those of the first time step. constants: a list or None.
        key: a key or None. training: a Python bool.
    """
    for base in type(cell).__mro__:
        if "bind" in vars(base):
            return cell.bind(params, state, inputs, states, constants=constants, key=key, training=training)
        if "call" in vars(base):
            break
    return _bind_called(cell, params, state, inputs, states, constants=constants, key=key, training=training)


def _bind_called(cell, params, state, inputs, states, *, constants=None, key=None, training=False):
    """The step of a cell that computes in `call(inputs, states)`, which may also take `constants` and `training`."""
    if isinstance(cell, Layer) and not cell.built:
        cell = copy.copy(cell)
        shapes = [tuple(array.shape) for array in [inputs, *listed(constants)]]
        cell.build(shapes if constants else shapes[0])
    arguments = {"training": training} if has_arg(cell.call, "training") else {}

    def bound(form):
        made = copy.copy(cell)
        if constants:
            arguments["constants"] = form(constants)

        def step(x, states, time):
            if not isinstance(made, Layer):
                output, states = as_arrays(made.call(form(x), form(states), **arguments))
                return output, list(states)
            inner = None if key is None else random.as_key(key).step(time)
            with adapter.bound_scope(made, params, state, key=inner, training=training) as scope:
                output, states = as_arrays(adapter.with_readings(made, form).call(form(x), form(states), **arguments))
                if scope.losses or scope.updates:
                    raise ValueError(
                        f"Cell {made.name} ({type(made).__name__}): add_loss and add_update have no meaning inside a "
                        "cell's `call`, which runs at every time step; use them in the layer around it."
                    )
            return output, list(states)

        step(inputs, states, 0)  # what `call` keeps on the cell from its first run (a dropout mask) holds for all steps
        return step

    return tried(bound)


def arguments_of(cls: type) -> list:
    """The names of the arguments of `cls`'s constructor."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]


def first_shape(shape: Any) -> Any:
    """The first shape of a list of shapes, or the shape itself."""
    return shape[0] if isinstance(shape[0], (list, tuple)) else shape


class Cell(Layer):
    """The base of the built-in cells.

    They have a `step(params, inputs, states, masks) -> output, states` on arrays, `gates`, and the arguments `units`,
    `dropout`, `recurrent_dropout` and, some, `implementation`: 1 draws a dropout mask per gate, 2 one for all.
    """

    gates = 1
    implementation = 1
    #: The window of its kernels, and the axis of a time step that they connect.
    kernel_size: tuple = ()
    channel_axis = -1
    #: How many states of the size of the output it has.
    state_count = 1

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_size = self.units
        self.state_size = self.units if self.state_count == 1 else (self.units,) * self.state_count

    def declare(self, input_shape: Any):
        size, inputs = self.gates * self.units, first_shape(input_shape)[self.channel_axis]
        if inputs is None:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}): the size of the channel dimension, the last axis of its "
                f"input (axis 1 in channels_first), must be known. Found shape of a time step: "
                f"{tuple(first_shape(input_shape))}."
            )
        recurrent_shape = (*self.kernel_size, self.units, size)
        params = {
            "kernel": self.weight("kernel", (*self.kernel_size, inputs, size)),
            "recurrent_kernel": self.weight("recurrent_kernel", recurrent_shape, prefix="recurrent"),
        }
        if self.use_bias:
            params["bias"] = self.weight("bias", self.bias_shape(), self.initial_bias())
        return params, {}

    def bias_shape(self) -> tuple:
        """The shape of the bias."""
        return (self.gates * self.units,)

    def initial_bias(self):
        """The initializer of the bias."""
        return self.bias_initializer

    def bind(
        self, params: dict, state: dict, inputs: Any, states: Any, *, constants: Any = None, key: Any = None,
        training: bool = False,
    ):  # fmt: skip
        """The step with the dropout masks of this sequence."""
        if constants:
            raise ValueError(
                f"RNN cell does not support constants: {self.name} ({type(self).__name__}) was given some."
            )
        masks = (None, None)
        if training and self.drops():
            key = self.draw_key(key)
            masks = (
                self._mask(key.fold("dropout"), inputs, self.dropout),
                self._mask(key.fold("recurrent_dropout"), states[0], self.recurrent_dropout),
            )
        return lambda x, states, time: self.step(params, x, states, masks)

    def drops(self) -> bool:
        """Whether training draws dropout masks."""
        return 0 < self.dropout < 1 or 0 < self.recurrent_dropout < 1

    def _mask(self, key, like, rate):
        """A dropout mask for each gate, or one for all: (batch, gates, ...); None if nothing is dropped."""
        if not 0 < rate < 1:
            return None
        gates = self.gates if self.implementation == 1 else 1
        keep = random.bernoulli(key, 1 - rate, (like.shape[0], gates, *like.shape[1:]))
        return keep.astype(like.dtype) / (1 - rate)

    def apply(
        self, params: dict, state: dict, inputs: Any, *, states: Any, key: Any = None, training: bool = False,
        mask: Any = None, constants: Any = None,
    ):  # fmt: skip
        """One time step: (output, list of next states), and `state`.

        Arguments:
            inputs: (batch, size). states: a list of (batch, units).
        """
        states = list(states)
        step = self.bind(params, state, inputs, states, constants=constants, key=key, training=training)
        return step(inputs, states, 0), state

    def call(self, inputs: Any, states: Any, training: bool | None = None):
        """One time step inside the `call` of a layer in Keras style: output, list of next states."""
        return adapter.call_native(self, inputs, states=states, training=training)


class StackedRNNCells(Layer):
    """Several cells as one: the output of each is the input of the next.

    Arguments:
        cells: a list of cells.
        reverse_state_order: whether the states are listed from the last cell to the first.

    States: those of all cells, in order. The output is that of the last cell.

    Example:
        >>> layer = RNN(StackedRNNCells([LSTMCell(8), GRUCell(4)]))
        >>> layer.compute_output_shape((None, 10, 3))
        (None, 4)
    """

    def __init__(self, cells: Sequence, **kwargs: Any):
        if not isinstance(cells, (list, tuple)) or not cells:
            raise ValueError(f"StackedRNNCells: `cells` must be a list of at least one cell. Received: {cells!r}")
        for cell in cells:
            check_cell(cell, "StackedRNNCells: All cells")
        self.cells = list(cells)
        self.calls_user_code = len(self.sublayers()) < len(cells)  # a cell that is no layer can only be the user's
        self.reverse_state_order = kwargs.pop("reverse_state_order", False)
        super().__init__(**kwargs)

    runs_parts = True
    declare = Layer.declare  # which does not go through `build` below

    def build(self, input_shape: Shape):
        """Build the cells. Their weights share a name scope, so equal names get a number: 'rnn_1/kernel_1:0'."""
        super().build(input_shape)
        taken: list = []
        for cell in self.sublayers().values():
            for weight in cell.weights:
                stem, colon, place = weight.name.partition(":")
                weight.name = free_name(stem, taken) + colon + place
                taken.append(weight.name.partition(":")[0])

    def _in_state_order(self, items):
        return list(items)[::-1] if self.reverse_state_order else list(items)

    @property
    def state_size(self):
        return tuple(size for cell in self._in_state_order(self.cells) for size in sizes(cell))

    @property
    def output_size(self):
        return output_size(self.cells[-1])

    def sublayers(self):
        cells = {f"cell_{place}": cell for place, cell in enumerate(self.cells) if isinstance(cell, Layer)}
        return self.held_layers(cells)

    def sublayer_shapes(self, input_shape: Any):
        shape, *constants = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        shapes = {}
        for place, cell in enumerate(self.cells):
            with_constants = constants and has_arg(cell.call, "constants")
            shapes[f"cell_{place}"] = [shape, *constants] if with_constants else shape
            shape = (shape[0], output_size(cell))
        return shapes

    def bind(
        self, params: dict, state: dict, inputs: Any, states: Any, *, constants: Any = None, key: Any = None,
        training: bool = False,
    ):  # fmt: skip
        """The step that goes through the cells."""
        steps = []
        for place, (cell, part) in enumerate(zip(self.cells, self._parts(states), strict=True)):
            name = f"cell_{place}"
            step = bind(
                cell,
                params.get(name, {}),
                state.get(name, {}),
                inputs,
                part,
                constants=constants if has_arg(cell.call, "constants") else None,
                key=None if key is None else random.as_key(key).fold(name),
                training=training,
            )
            steps.append(step)
            if cell is not self.cells[-1]:
                inputs, _ = step(inputs, part, 0)

        def through(x, states, time):
            after = []
            for step, part in zip(steps, self._parts(states), strict=True):
                x, part = step(x, part, time)
                after.append(part)
            return x, [one for part in self._in_state_order(after) for one in part]

        return through

    def _parts(self, states):
        """The states of each cell."""
        parts, start = [], 0
        for cell in self._in_state_order(self.cells):
            stop = start + len(sizes(cell))
            parts.append(list(states[start:stop]))
            start = stop
        return self._in_state_order(parts)

    apply = Cell.apply  # pyright: ignore[reportAssignmentType]

    def call(self, inputs: Any, states: Any, constants: Any = None, training: bool | None = None):
        """One time step inside the `call` of a layer in Keras style: output, list of next states."""
        return adapter.call_native(self, inputs, states=states, constants=constants, training=training)

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        from jkeras.layers import deserialize

        cells = [deserialize(cell, custom_objects=custom_objects) for cell in config["cells"]]
        return cls(**{**config, "cells": cells})


# ------------------------------------------------------------------------------------------ states from batch to batch


def set_states(layer: Layer, variables: Sequence, states: Any) -> None:
    """Set the states of a stateful layer to zeros, or to `states`, a list of arrays.

    Raises:
        ValueError: if their number or a shape is wrong; then nothing is changed.
    """
    arrays = [np.zeros(one.shape) for one in variables] if states is None else list(map(np.asarray, listed(states)))
    if len(arrays) != len(variables):
        raise ValueError(
            f"Layer {layer.name} expects {len(variables)} states, but it received {len(arrays)} state values."
        )
    for place, (array, variable) in enumerate(zip(arrays, variables, strict=True)):
        if array.shape != variable.shape:
            raise ValueError(
                f"State {place} is incompatible with layer {layer.name}: expected shape={variable.shape}, found "
                f"shape={array.shape}"
            )
    for array, variable in zip(arrays, variables, strict=True):
        variable.value = array.astype(variable.dtype)


def part_of_batch(whole: Any, size: int) -> Any:
    """Of the states of the whole batch those of the `size` examples at hand."""
    if batch.shards() == 1:
        return whole
    return lax.dynamic_slice_in_dim(whole, batch.first_place(size), size)


def whole_batch(part: Any) -> Any:
    """The states of the whole batch from those of the examples at hand: each part in its place, summed up."""
    shards, size = batch.shards(), part.shape[0]
    if shards == 1:
        return part
    placed = jnp.zeros((size * shards, *part.shape[1:]), part.dtype)
    return batch.mean(lax.dynamic_update_slice_in_dim(placed, shards * part, batch.first_place(size), 0))
