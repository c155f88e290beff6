"""How layers are connected: the node of a layer's call on symbols, and what a layer tells of its calls."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jkeras import random, trees
from jkeras.graph.adapter import is_adapted, runs_user_code
from jkeras.graph.assigned import keep_assignments
from jkeras.graph.infer import infer
from jkeras.graph.scope import Finder
from jkeras.graph.tensor import Node, SymbolicTensor, map_symbols, symbols_in
from jkeras.graph.value import Value

__all__ = ["LayerNode", "NodeAccess", "mask_key", "mask_list"]


def _unpack(values):
    return values[0] if len(values) == 1 else values


def _value_of(value, symbol):
    return Value(value(symbol), like=symbol)


def mask_list(mask: Any, count: int) -> list:
    """One mask (or None) per output. A layer that hands on the masks of more inputs has those of the first ones."""
    if isinstance(mask, (list, tuple)):
        return list(mask[:count])
    return [mask] + [None] * (count - 1)


@dataclasses.dataclass(frozen=True)
class MaskOf:
    """Stands for the mask of `symbol` where the graph was made without one.

    (A network that was made of unmasked inputs may be called on masked ones.)
    """

    symbol: SymbolicTensor

    @property
    def name(self) -> str:
        return f"the mask of {self.symbol.name}"


def mask_key(symbol: SymbolicTensor) -> Any:
    """Under what an execution holds the mask of `symbol`."""
    return MaskOf(symbol) if symbol._keras_mask is None else symbol._keras_mask


class LayerNode(Node):
    """The call of a layer on symbols.

    Attributes:
        layer: who was called.
        inputs: the symbols it was called on; `arguments`: the keyword arguments of the call.
        result: the symbol, or list of symbols, of its outputs; `outputs`: the same as a list.
        masks: the symbols of the outputs' masks, None where an output has none.
        losses: the symbols of what the call adds to the loss while training.
    """

    losses: list = []

    def __init__(self, layer: Any, inputs: Iterable, arguments: dict):
        self.layer, self.call_inputs, self.arguments = layer, list(inputs), dict(arguments)
        in_masks = [symbol._keras_mask for symbol in inputs]
        self.inputs = symbols_in([self.call_inputs, in_masks, self.arguments])
        self.input_masks = in_masks
        outputs, masks, losses = self._infer()
        several = isinstance(outputs, (list, tuple))
        outputs = list(outputs) if several else [outputs]
        shapes = self._stated_shapes(len(outputs))
        index = len(layer._inbound_nodes)
        stem = layer.name if index == 0 else f"{layer.name}_{index}"
        self.outputs, self.masks = [], []
        for place, (spec, mask) in enumerate(zip(outputs, mask_list(masks, len(outputs)), strict=True)):
            shape = spec.shape if shapes is None else shapes[place]
            symbol = SymbolicTensor(shape, spec.dtype, f"{stem}/output_{place}:0", self)
            symbol._keras_history = (layer, index, place)
            if mask is not None:
                symbol._keras_mask = SymbolicTensor(mask.shape, mask.dtype, f"{stem}/mask_{place}:0", self)
            self.outputs.append(symbol)
            self.masks.append(symbol._keras_mask)
        self.result = _unpack(self.outputs)  # also what a layer returned as a list of one
        self.losses = [
            SymbolicTensor(spec.shape, spec.dtype, f"{stem}/loss_{place}:0", self) for place, spec in enumerate(losses)
        ]
        self._register()

    @classmethod
    def of_input(cls, layer: Any, symbol: SymbolicTensor) -> "LayerNode":
        """The node of an input layer: nobody was called, the symbol is there."""
        node = cls.__new__(cls)
        node.layer, node.call_inputs, node.arguments, node.inputs = layer, [], {}, []
        node.outputs, node.input_masks, node.masks, node.result = [symbol], [None], [None], symbol
        node.updates = {}
        symbol._keras_history = (layer, 0, 0)
        layer._inbound_nodes.append(node)
        return node

    @classmethod
    def of_network(cls, network: Any) -> "LayerNode":
        """The node of a network's own inputs and outputs, its call number 0."""
        node = cls.__new__(cls)
        node.layer, node.call_inputs, node.arguments, node.inputs = network, network.inputs, {}, network.inputs
        node.input_masks = [symbol._keras_mask for symbol in network.inputs]
        node.outputs, node.result = network.outputs, _unpack(network.outputs)
        node.masks = [symbol._keras_mask for symbol in network.outputs]
        node.updates = {}
        network._inbound_nodes.append(node)
        return node

    def _register(self):
        self.layer._inbound_nodes.append(self)
        for symbol in self.call_inputs:
            history = getattr(symbol, "_keras_history", None)
            if history is not None:
                history[0]._outbound_nodes.append(self)

    def program(self, training: bool) -> tuple:
        """The call as a function of arrays, to be traced: it gives the `Call` and the state it began with; and what
        these arrays are, symbols and variables."""
        leaves, treedef = jax.tree.flatten(self.layer.variables())

        def called(*arrays):
            values = dict(zip(self.inputs, arrays, strict=False))
            params, state = jax.tree.unflatten(treedef, arrays[len(self.inputs) :])
            masks = [None if mask is None else values[mask] for mask in self.input_masks]
            # A call may draw whatever the phase (a sampling Lambda, Dropout with training=True).
            key = random.as_key(0)
            return self.run(values.__getitem__, params, state, masks, key=key, training=training), state

        return called, [*self.inputs, *leaves]

    def _specs(self, training):
        """The specs of outputs, masks and losses, by an abstract run."""
        called, arguments = self.program(training)

        def run(*arrays):
            call, _ = called(*arrays)
            losses = [jnp.asarray(loss) for loss in call.losses]
            return call.outputs, mask_list(call.mask, len(jax.tree.leaves(call.outputs))), losses

        return infer(run, arguments)

    def _infer(self):
        """The specs of outputs, masks and losses; notes the variables that are read."""
        try:
            with Finder() as finder:
                outputs, masks, losses = self._specs(training=False)
                # What user code reads and adds to the loss while training may be more; a failure shows there.
                if runs_user_code(self.layer):
                    with contextlib.suppress(Exception):
                        *_, losses = self._specs(training=True)
            own = set(jax.tree.leaves(self.layer.variables()))  # some of which the run itself may have made
            self.reads = [variable for variable in finder.found if variable not in own]
            keep_assignments(finder.assignments)
            return outputs, masks, losses
        except Exception as error:
            shapes = _unpack([symbol._keras_shape for symbol in self.call_inputs])
            where = f"Layer {self.layer.name} ({type(self.layer).__name__}) called on input of shape {shapes}"
            if isinstance(error, (TypeError, ValueError)) and not is_adapted(self.layer):
                # The layer is named once, also where the message does that.
                name = re.escape(self.layer.name)
                named = rf"^Layer {name}( \(\w+\))?:? | with layer {name}(?=:)"
                raise type(error)(f"{where}: {re.sub(named, '', str(error))}") from error
            error.add_note(where)
            raise

    def _stated_shapes(self, count):
        """The output shapes that the layer's own `compute_output_shape` states; None if it has none."""
        method = type(self.layer).compute_output_shape
        if method.__module__.startswith(__name__.partition(".")[0] + "."):
            return None
        shape = self.layer.compute_output_shape(_unpack([symbol._keras_shape for symbol in self.call_inputs]))
        several = isinstance(shape, list) and shape and isinstance(shape[0], (list, tuple))
        shapes = [tuple(s) for s in shape] if several else [tuple(shape)]
        if len(shapes) != count:
            raise ValueError(
                f"Layer {self.layer.name}: compute_output_shape states {len(shapes)} outputs, call returns {count}."
            )
        return shapes

    def run(self, value, params, state, masks, *, key, training):
        if self.layer.takes_values:
            value = functools.partial(_value_of, value)
        arguments = map_symbols(value, self.arguments)
        stated = arguments.pop("training", None)
        training = training if stated is None else bool(stated)
        mask = arguments.pop("mask", None)
        if mask is None:
            mask = _unpack(masks)
        inputs = _unpack([value(symbol) for symbol in self.call_inputs])
        return self.layer.run(params, state, inputs, key=key, training=training, mask=mask, **arguments)

    def masks_in(self, execution: Any) -> list:
        """The masks of the inputs in `execution`."""
        return [
            execution.values.get(MaskOf(symbol)) if mask is None else execution.value(mask)
            for symbol, mask in zip(self.call_inputs, self.input_masks, strict=True)
        ]

    def evaluate(self, execution: Any) -> None:
        """Run the layer in `execution`: values of its outputs and masks, its next state, its losses."""
        key, params, state = execution.enter(self.layer)
        masks = self.masks_in(execution)
        call = self.run(execution.value, params, state, masks, key=key, training=execution.training)
        execution.leave(self.layer, call.state, call.losses)
        outputs = list(call.outputs) if isinstance(call.outputs, (list, tuple)) else [call.outputs]
        for symbol, value in zip(self.outputs, outputs, strict=True):
            execution.values[symbol] = value
        for symbol, mask in zip(self.outputs, mask_list(call.mask, len(outputs)), strict=True):
            if mask is not None:
                execution.values[mask_key(symbol)] = mask
        # Those that are added in training only are not there else.
        execution.values.update(zip(self.losses, call.losses, strict=False))

    @functools.cached_property
    def updates(self) -> dict:
        """Variable of the layer's state -> the symbol of what the call makes of it while training."""
        return UpdateNode(self).symbols

    @functools.cached_property
    def uses_learning_phase(self) -> bool:
        """Whether the call computes in another way while training, or is made on what does."""
        if any(symbol._uses_learning_phase for symbol in self.call_inputs):
            return True
        programs: list = []

        def both(*arrays):
            for training in (False, True):
                called, _ = self.program(training)
                programs.append(str(jax.make_jaxpr(lambda *arrays, called=called: called(*arrays)[0].outputs)(*arrays)))
            return arrays

        with Finder():
            infer(both, self.program(training=False)[1])
        return programs[-2] != programs[-1]

    # What Keras calls these things.
    @property
    def outbound_layer(self):
        return self.layer

    @property
    def input_tensors(self):
        return self.call_inputs or self.outputs

    @property
    def output_tensors(self):
        return self.outputs

    @property
    def input_shapes(self):
        return [symbol._keras_shape for symbol in self.input_tensors]

    @property
    def output_shapes(self):
        return [symbol._keras_shape for symbol in self.outputs]

    @property
    def output_masks(self):
        return self.masks

    @property
    def inbound_layers(self):
        return [symbol._keras_history[0] for symbol in self.call_inputs]

    @property
    def node_indices(self):
        return [symbol._keras_history[1] for symbol in self.call_inputs]

    @property
    def tensor_indices(self):
        return [symbol._keras_history[2] for symbol in self.call_inputs]

    def get_config(self) -> dict:
        """The names of the layers that the call connects, and which of their calls and outputs it is made on."""
        return {
            "outbound_layer": self.layer.name,
            "inbound_layers": [layer.name for layer in self.inbound_layers],
            "node_indices": self.node_indices,
            "tensor_indices": self.tensor_indices,
        }


class UpdateNode(Node):
    """What the call `call` of a layer makes of its state while training, whatever the phase of who asks.

    Attributes:
        symbols: variable -> the symbol of its next value.
    """

    def __init__(self, call: LayerNode):
        self.call, self.layer, self.inputs, self.reads = call, call.layer, call.inputs, call.reads
        state = self.layer.variables()[1]
        updated, outside = self._updated() if jax.tree.leaves(state) or self.reads else ((), ())
        self.paths, self.outside = [path for path, _ in trees.leaves(state) if path in updated], list(outside)
        variables = [trees.get(state, path) for path in self.paths] + self.outside
        self.result = self.outputs = [
            SymbolicTensor(one.shape, one.dtype, f"{one.name}_update", self) for one in variables
        ]
        self.symbols = dict(zip(variables, self.outputs, strict=True))

    def _updated(self) -> tuple:
        """The paths of the state that moves, and the variables from outside that do, by an abstract run."""
        called, arguments = self.call.program(training=True)
        updated: set = set()

        def run(*arrays):
            call, before = called(*arrays)
            updated.update(path for path, old in trees.leaves(before) if trees.get(call.state, path) is not old)
            return arrays

        with Finder() as finder:
            infer(run, arguments)
        return updated, finder.updated

    def evaluate(self, execution: Any) -> None:
        """Run the layer as while training, and forget what it returns."""
        key = None if execution.key is None else execution.key.fold(execution.place(self.layer), "update")
        params, state = execution.weights(self.layer, execution.asked)
        masks = self.call.masks_in(execution)
        outside = {one: execution.value(one) for one in self.outside}
        with execution.fresh(execution.values | outside) as inner:
            after = self.call.run(inner.value, params, state, masks, key=key, training=True).state
        values = [trees.get(after, path) for path in self.paths]
        values += [inner.updates.get(one, value) for one, value in outside.items()]
        execution.asked.update(zip(self.symbols, values, strict=True))
        execution.values.update(zip(self.outputs, values, strict=True))


class NodeAccess:
    """What a layer tells of its calls, in Keras's terms: `input`, `output_shape`, `get_output_at`, ..."""

    _inbound_nodes: list
    name: str

    def _node_value(self, index: int, attribute: str, what: str):
        if not self._inbound_nodes:
            raise RuntimeError(f"The layer has never been called and thus has no defined {what}.")
        if not -len(self._inbound_nodes) <= index < len(self._inbound_nodes):
            raise ValueError(
                f"Asked to get {what} at node {index}, but the layer has only {len(self._inbound_nodes)} inbound nodes."
            )
        return _unpack(getattr(self._inbound_nodes[index], attribute))

    def get_input_at(self, node_index: int):
        """The input symbol(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "input_tensors", "input")

    def get_output_at(self, node_index: int):
        """The output symbol(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "outputs", "output")

    def get_input_shape_at(self, node_index: int):
        """The input shape(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "input_shapes", "input shape")

    def get_output_shape_at(self, node_index: int):
        """The output shape(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "output_shapes", "output shape")

    def get_input_mask_at(self, node_index: int):
        """The input mask(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "input_masks", "input mask")

    def get_output_mask_at(self, node_index: int):
        """The output mask(s) of the layer's call number `node_index`."""
        return self._node_value(node_index, "masks", "output mask")

    def _only(self, attribute: str, what: str, alternative: str):
        if len(self._inbound_nodes) > 1:
            raise AttributeError(
                f'Layer {self.name} has multiple inbound nodes, hence the notion of "layer {what}" is ill-defined. '
                f"Use `{alternative}(node_index)` instead."
            )
        if not self._inbound_nodes:
            raise AttributeError(f"Layer {self.name} is not connected, no {what} to return.")
        return _unpack(getattr(self._inbound_nodes[0], attribute))

    @property
    def input(self):
        """The input symbol(s), of a layer that was called once."""
        return self._only("input_tensors", "input", "get_input_at")

    @property
    def output(self):
        """The output symbol(s), of a layer that was called once."""
        return self._only("outputs", "output", "get_output_at")

    @property
    def input_mask(self):
        """The input mask(s), of a layer that was called once."""
        return self._only("input_masks", "input mask", "get_input_mask_at")

    @property
    def output_mask(self):
        """The output mask(s), of a layer that was called once."""
        return self._only("masks", "output mask", "get_output_mask_at")

    def _only_shape(self, attribute: str, what: str, alternative: str):
        if not self._inbound_nodes:
            raise AttributeError(f"The layer has never been called and thus has no defined {what}.")
        shapes = [getattr(node, attribute) for node in self._inbound_nodes]
        if any(shape != shapes[0] for shape in shapes):
            raise AttributeError(
                f'The layer "{self.name}" has multiple inbound nodes, with different {what}s. Hence the notion of '
                f'"{what}" is ill-defined for the layer. Use `{alternative}(node_index)` instead.'
            )
        return _unpack(shapes[0])

    @property
    def input_shape(self):
        """The input shape(s), if the same in every call."""
        return self._only_shape("input_shapes", "input shape", "get_input_shape_at")

    @property
    def output_shape(self):
        """The output shape(s), if the same in every call."""
        return self._only_shape("output_shapes", "output shape", "get_output_shape_at")
