"""A graph of layer calls as one layer: `Network`, the pure core of `Model` and `Sequential`."""

import contextlib
import re
import textwrap
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import batch, config, random, trees
from jkeras.graph import adapter
from jkeras.graph.connect import LayerNode, mask_key, mask_list
from jkeras.graph.function import Execution, nodes_between, variables_of
from jkeras.graph.infer import infer
from jkeras.graph.layer import Call, Layer, as_shape, snake_case
from jkeras.graph.scope import Finder, current_scope
from jkeras.graph.tensor import SymbolicTensor, Variable, is_hole, is_symbol, unique_number
from jkeras.trees import OUTSIDE, as_list

__all__ = ["Bound", "Input", "InputLayer", "Network"]


class InputLayer(Layer):
    """Where data enters a graph. `Input` makes one and returns its symbol.

    Arguments:
        input_shape: the shape of one example; batch_size: the batch size, None for any.
        batch_input_shape: both in one, instead.
        dtype: the type of the data, 'float32' unless set otherwise.
        sparse: whether sparse matrices are expected; they are made dense batch by batch.
        input_tensor: an existing symbol to use as the input. Unless it is a hole, nothing is fed for it: it is computed
            for each batch.
        name: its name.
    """

    def __init__(
        self, input_shape: Any = None, batch_size: int | None = None, batch_input_shape: Any = None, dtype: Any = None,
        input_tensor: Any = None, sparse: bool = False, name: str | None = None,
    ):  # fmt: skip
        if input_tensor is not None:
            if not is_symbol(input_tensor):
                raise ValueError(
                    f"InputLayer {name or ''}: input_tensor must be a symbol (K.placeholder, K.variable or a result of "
                    f"backend functions); got {type(input_tensor).__name__}."
                )
            batch_input_shape, dtype = input_tensor._keras_shape, input_tensor.dtype
        elif batch_input_shape is None:
            if input_shape is None:
                raise ValueError("An InputLayer should be passed either a `batch_input_shape` or an `input_shape`.")
            batch_input_shape = (batch_size, *as_shape(input_shape, "input_shape", f"InputLayer {name or ''}"))
        elif input_shape is not None:
            raise ValueError(
                "Only provide the input_shape OR batch_input_shape argument to InputLayer, not both at the same time."
            )
        name = name or f"input_{unique_number('input')}"
        super().__init__(name=name, batch_input_shape=tuple(batch_input_shape), dtype=dtype or config.floatx())
        self.sparse = bool(sparse)
        self.built = True
        self.trainable = False
        self.is_placeholder = input_tensor is None or is_hole(input_tensor)
        symbol = input_tensor
        if symbol is None:
            symbol = SymbolicTensor(self.batch_input_shape, self.dtype, f"{name}:0")
        LayerNode.of_input(self, symbol)

    def get_config(self):
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "name": self.name,
        }


def Input(
    shape: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
    dtype: Any = None,
    sparse: bool = False,
    tensor: Any = None,
):
    """The symbol of an input.

    Arguments:
        shape: the shape of one example, without the batch axis; None for unknown sizes, as in (None, 32).
        batch_shape: the shape with the batch size in front, instead, as in (10, 32).
        name: its name, unique in a model.
        dtype: the type, as 'float32', 'int32'; the default float type unless given.
        sparse: whether sparse matrices are expected; they are made dense batch by batch.
        tensor: an existing symbol to use as the input; see `InputLayer`.

    Raises:
        ValueError: if neither a shape nor a tensor is given.
        TypeError: if the shape is no tuple of integers and Nones.

    Example:
        >>> x = Input(shape=(32,))
        >>> x.shape
        (None, 32)
    """
    if shape is None and batch_shape is None and tensor is None:
        raise ValueError(
            "Please provide to Input either a `shape` or a `batch_shape` argument. Note that `shape` does not include "
            "the batch dimension."
        )
    if batch_shape is not None:
        batch_shape = as_shape(batch_shape, "batch_shape", "Input")
    elif shape is not None:
        batch_shape = (None, *as_shape(shape, "shape", "Input"))
    layer = InputLayer(batch_input_shape=batch_shape, name=name, dtype=dtype, sparse=sparse, input_tensor=tensor)
    return layer._inbound_nodes[0].result


class Network(Layer):
    """The layer that a graph from `inputs` to `outputs` is.

    Arguments:
        inputs, outputs: symbols, or lists of symbols.
        name: its name.

    Attributes:
        inputs, outputs: lists of symbols.
        input_layers, output_layers: whose they are; input_names, output_names: their names, unique.
        calls: the nodes of the calls of layers, in order; order: with those that their further arguments are made by.
    """

    has_graph = True
    # Before there is a graph: a Sequential that waits for the shape of its input.
    calls: list = []
    nodes: list = []
    order: list = []
    _names: dict = {}
    _second_places: list = []
    _outside: tuple = (0, {})
    _dtypes: set = set()

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any):
        name = name or f"{_prefix(self)}_{unique_number(_prefix(self))}"
        super().__init__(name=name, **kwargs)
        self._connect(inputs, outputs)

    def _connect(self, inputs, outputs):
        self.inputs, self.outputs = as_list(inputs), as_list(outputs)
        self._check(inputs)
        self.order = nodes_between(self.inputs, self.outputs)
        self.calls = [node for node in self.order if node.layer is not None]
        for symbol in [*self.outputs, *(symbol for node in self.calls for symbol in node.call_inputs)]:
            if symbol.node is not None and symbol.node.layer is None and symbol not in self.inputs:
                function = getattr(symbol.node.function, "__name__", symbol.node.function)
                raise ValueError(
                    "Output tensors to a Model must be the output of a Keras `Layer`; between the inputs and outputs "
                    f"of {self.name} stands the backend function {function!r}. Wrap it in a Lambda layer."
                )
        self._arrange(self.calls)
        self._names = _relative_names(self._layers)
        self._second_places = _second_places(self)
        _note_elsewhere(self._layers)
        self._outside = -1, {}  # how many losses had been added when it was looked up, and what was found
        if not random.is_seeded():  # as in Keras where the layers were called that draw
            random.next_number()
        self._dtypes = {symbol.dtype for symbol in [*jax.tree.leaves(self.variables()), *self.inputs]}
        self.output_layers = [symbol._keras_history[0] for symbol in self.outputs]
        self.output_names = [layer.name for layer in self.output_layers]
        for place, output_name in enumerate(self.output_names):
            if self.output_names.count(output_name) > 1 and place > 0:
                number = [layer.name for layer in self.output_layers[:place]].count(output_name)
                if number:
                    self.output_names[place] = f"{output_name}_{number}"
        self.built = True
        if not self._inbound_nodes:
            LayerNode.of_network(self)

    def _check(self, inputs):
        for symbol in self.inputs:
            if not hasattr(symbol, "_keras_history"):
                raise ValueError(
                    f"Input tensors to a {type(self).__name__} must come from `jkeras.layers.Input`. "
                    f"Received: {symbol!r} (missing previous layer metadata).{_meant(symbol, 'input')}"
                )
            if not isinstance(symbol._keras_history[0], InputLayer):
                raise ValueError(
                    f"Graph disconnected: the input {symbol!r} of {self.name} is the output of layer "
                    f"{symbol._keras_history[0].name}. Call the layers that follow on a new Input of this shape; or "
                    "use K.function([input], [output]), which starts anywhere."
                )
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError(
                "The list of inputs passed to the model is redundant. All inputs should only appear once. "
                f"Found: {inputs}"
            )
        for symbol in self.outputs:
            if not hasattr(symbol, "_keras_history"):
                raise ValueError(
                    f"Output tensors to a {type(self).__name__} must be the output of a Keras `Layer` (thus holding "
                    f"past layer metadata). Found: {symbol!r}."
                    f"{_meant(symbol, 'output') or ' Wrap the computation in a Lambda layer.'}"
                )

    def _arrange(self, calls):
        """Order layers and calls as Keras does: by distance from the outputs, then by first visit from the outputs."""
        visited = _visit_order(self.inputs, self.outputs)
        depths: dict = {}
        node_depths: dict = {}
        for node in reversed(self._input_nodes(calls) + calls):
            depth = max(node_depths.get(node, 0), depths.get(node.layer, 0))
            depths[node.layer] = node_depths[node] = depth
            for symbol in node.call_inputs:
                previous = symbol._keras_history[0]._inbound_nodes[symbol._keras_history[1]]
                node_depths[previous] = max(depth + 1, node_depths.get(previous, 0))
        self.input_layers = [symbol._keras_history[0] for symbol in self.inputs]
        for layer in self.input_layers:  # inputs that no output depends on
            depths.setdefault(layer, 0)
            visited.setdefault(layer, -1)
            node_depths.setdefault(layer._inbound_nodes[0], 0)
        self._layers = sorted(depths, key=lambda layer: (-depths[layer], visited[layer]))
        self.input_names = [layer.name for layer in self.input_layers]
        self.nodes, self._nodes_by_depth = list(node_depths), {}
        for node, depth in node_depths.items():
            self._nodes_by_depth.setdefault(depth, []).append(node)
        names = [layer.name for layer in self._layers]
        for name in names:
            if names.count(name) != 1:
                raise ValueError(
                    f'The name "{name}" is used {names.count(name)} times in the model. All layer names '
                    "should be unique."
                )

    def _input_nodes(self, calls):
        """The nodes of the input layers, in the order in which a walk from the outputs meets them."""
        nodes = []
        for node in calls:
            for symbol in node.call_inputs:
                if symbol in self.inputs:
                    layer, index, _ = symbol._keras_history
                    nodes.append(layer._inbound_nodes[index])
        nodes += [s._keras_history[0]._inbound_nodes[s._keras_history[1]] for s in self.outputs if s in self.inputs]
        return list(dict.fromkeys(nodes))

    # ------------------------------------------------------------------------------------------------ the pure pair

    def sublayers(self):
        """name -> layer. A layer that was given no name is numbered within the model: params fit every model that is
        built by the same code, however many layers were made before."""
        return {self._names.get(layer, layer.name): layer for layer in self._layers}

    def sublayer_shapes(self, input_shape: Any = None):
        return {self._names[layer]: _call_shape(layer) for layer in self._layers}

    @property
    def outside(self) -> dict:
        """name -> variable, of those that the layers, regularizers and constraints read without owning them, as they
        stand in the state."""
        if self._outside[0] != len(self.added_losses):
            symbols = list(filter(is_symbol, self.added_losses))
            added = nodes_between(self.inputs, symbols)
            read = [variable for node in [*self.order, *added] for variable in node.reads]
            read += variables_of([*self.order, *added], symbols)
            read += self._read_by_weights()
            own = set(jax.tree.leaves(self.variables()))
            read = [variable for variable in dict.fromkeys(read) if variable not in own and not variable.is_constant]
            self._outside = len(self.added_losses), trees.numbered(read)
        return self._outside[1]

    def _read_by_weights(self) -> Iterable:
        """The variables that regularizers and constraints read, found by an abstract run of those that users wrote."""
        params = jax.tree.leaves(self.variables()[0])
        with Finder() as finder:
            for one in params:
                for function in filter(adapter.is_written_by_user, (one.regularizer, one.constraint)):
                    with contextlib.suppress(Exception):  # a failure shows where it is called
                        infer(function, [one])
        return finder.found

    def init(self, key: Any, input_shape: Any = None) -> tuple[dict, dict]:
        """Initial weights and state of all layers: params, state. Variables from outside that the layers read are part
        of the state, with their current values (see `outside`).

        Arguments:
            key: a JAX key.
            input_shape: not needed; the graph knows it.

        Example:
            >>> params, state = model.init(jax.random.key(0))
        """
        both: tuple = ({}, {})
        for position, layer in enumerate(self._layers):
            parts = layer.init(random.as_key(key).fold(position), _call_shape(layer))
            self.place_parts(both, self._names[layer], parts)
        params, state = (self._first_places(tree) for tree in both)
        outside = {name: variable.current() for name, variable in self.outside.items()}
        return params, ({**state, OUTSIDE: outside} if outside else state)

    def compute_call(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None
    ) -> Call:
        """The graph on values: outputs, next state, masks of the outputs, and what the layers add to the loss.

        Arguments:
            params, state: as from `init`.
            inputs: an array, a list in the order of `inputs`, or a dict by input name.
            key: a JAX key, needed when `training` and a layer draws random numbers.
            training: a Python bool.
            mask: the mask(s) of the inputs, or None.
        """
        if current_scope() is None:
            inputs = config.settled(inputs, self._dtypes)
        with self._precision(), self.bind(params, state, key=key, training=training) as bound:
            return bound.run(inputs, mask)

    def _precision(self):
        """64-bit types where the network has any; what is around it, if anything is, sees to that itself."""
        if current_scope() is not None:
            return contextlib.nullcontext()
        return config.precision(self._dtypes)

    def bind(
        self, params: dict, state: dict, *, key: Any = None, training: bool = False, also: dict | None = None
    ) -> "Bound":
        """The scope of one run on `params` and `state`: see `Bound`. `also` names variables from outside beside those
        that the layers read."""
        return Bound(self, params, state, {**self.outside, **(also or {})}, key=key, training=training)

    def place(self, inputs: Any, mask: Any = None) -> dict:
        """The inputs' symbols and masks with their values.

        Raises:
            ValueError: if they do not fit the model's inputs.
        """
        if isinstance(inputs, dict):
            missing = [name for name in self.input_names if name not in inputs]
            if missing or len(inputs) != len(self.input_names):
                raise ValueError(f"Model {self.name} has the inputs {self.input_names}; it was given {sorted(inputs)}.")
            inputs = [inputs[name] for name in self.input_names]
        inputs = as_list(inputs)
        if len(inputs) != len(self.inputs):
            raise ValueError(f"Model {self.name} has {len(self.inputs)} inputs; it was given {len(inputs)} arrays.")
        for symbol, value in zip(self.inputs, inputs, strict=True):
            shape = np.shape(value)
            if len(shape) != len(symbol.shape):
                raise ValueError(
                    f"Model {self.name}: input {symbol.name.partition(':')[0]!r} has shape {symbol.shape}; an array of "
                    f"shape {shape} was given."
                )
        values = dict(zip(self.inputs, inputs, strict=True))
        for symbol, part in zip(self.inputs, as_list(mask) if mask is not None else [], strict=False):
            if part is not None:
                values[mask_key(symbol)] = part
        return values

    def compute_mask(self, inputs: Any, mask: Any = None):
        """The masks of the outputs for `inputs` (arrays) and their masks, by the current weights.

        Where other weights are at hand, `run` gives masks and outputs for these.
        """
        if all(part is None for part in [*as_list(mask), *(symbol._keras_mask for symbol in self.outputs)]):
            return [None] * len(self.outputs) if len(self.outputs) > 1 else None
        return self.run(*self.get_trees(), inputs, mask=mask).mask

    def build(self, input_shape: Any):
        """A network's layers were built when they were called."""
        self.built = True

    # ---------------------------------------------------------------------------------------------- weights, layers

    def variables(self):
        params, state = super().variables()
        return self._first_places(params), self._first_places(state)

    def all_variables(self):
        params, state = self.variables()
        return params, ({**state, OUTSIDE: self.outside} if self.outside else state)

    def _first_places(self, tree):
        """`tree` without the second places of layers that have two."""
        for place in self._second_places:
            tree = trees.drop(tree, place)
        return tree

    def saved_weights(self) -> list:
        """The weights layer by layer, each layer's trainable ones first: the order of `get_weights` and of files."""
        return [weight for layer in self.layers for weight in layer.weights]

    @property
    def layers(self) -> list:
        """The layers of the graph, inputs first, in Keras's order."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None):
        """A layer, by its name or by its position in `layers`.

        Raises:
            ValueError: if there is none, or neither is given.
        """
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(self.layers)} layers."
                )
            return self.layers[index]
        if not name:
            raise ValueError("Provide either a layer name or layer index.")
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(f"No such layer: {name}. The layers are: {textwrap.shorten(names, 1000, placeholder='...')}.")

    @property
    def stateful(self):
        return any(layer.stateful for layer in self.layers)

    @property
    def asked_calls(self) -> list:
        """The calls about which `losses` and `updates` tell: those of its layers."""
        return self.calls

    @property
    def state_updates(self) -> list:
        """Those of `updates` that belong to stateful layers, which predictions carry out too."""
        return [pair for node in self.calls if node.layer.stateful for pair in node.updates.items()]

    def run_internal_graph(self, inputs: Any, masks: Any = None) -> tuple[list, list, list]:
        """The graph on other inputs: lists of the outputs, of their masks (or None) and of their shapes.

        Arguments:
            inputs: a list of symbols; inside the `call` of a layer, of what that is handed.
            masks: a list of their masks, or None.
        """
        outputs = as_list(self.call(inputs, masks))
        made = mask_list(self.compute_mask(inputs, masks), len(outputs))
        return outputs, made, [tuple(output.shape) for output in outputs]

    def reset_states(self):
        """Set the states of all stateful layers to zero."""
        for layer in self.layers:
            if layer.stateful and hasattr(layer, "reset_states"):
                layer.reset_states()


def _meant(given, end: str) -> str:
    """A hint where a layer was given in place of its input or output."""
    return f" Use its `.{end}`: it is a layer." if isinstance(given, Layer) else ""


def _prefix(network) -> str:
    """'model' or 'sequential': the class name in lower case, as Keras numbers models."""
    return type(network).__name__.lower()


def _call_shape(layer):
    """The input shape(s) of the first call of `layer`."""
    shapes = [symbol._keras_shape for symbol in layer._inbound_nodes[0].input_tensors]
    return shapes[0] if len(shapes) == 1 else shapes


def _visit_order(inputs, outputs) -> dict:
    """layer -> when a depth-first walk from the outputs first meets it."""
    given = set(inputs)
    order: dict = {}
    seen = set()
    stack = list(reversed(outputs))
    while stack:
        symbol = stack.pop()
        layer, index, _ = symbol._keras_history
        node = layer._inbound_nodes[index]
        if node in seen:
            continue
        seen.add(node)
        order.setdefault(layer, len(order))
        if symbol not in given:
            stack.extend(reversed(node.call_inputs))
    return order


# --------------------------------------------------------------------------------------------------- names and places


def _relative_names(layers) -> dict:
    """layer -> its name within the model: as it is, but numbers that were counted in the whole process start at 1."""
    numbered: dict = {}
    for layer in layers:
        found = re.fullmatch(r"(.+)_(\d+)", layer.name)
        stems = {snake_case(type(layer).__name__), type(layer).__name__.lower(), "input"}
        if found and found[1] in stems:
            numbered.setdefault(found[1], []).append((int(found[2]), layer))
    names = {layer: layer.name for layer in layers}
    for stem, found in numbered.items():
        found.sort(key=lambda pair: pair[0])
        taken = set(names.values()) - {layer.name for _, layer in found}
        free = (name for number in range(1, len(layers) + 1 + len(taken)) if (name := f"{stem}_{number}") not in taken)
        names.update(zip((layer for _, layer in found), free, strict=False))
    return names


def _note_elsewhere(layers) -> None:
    """Let layers that hold others know which of these have a place of their own among `layers`."""
    found = set(layers)
    waiting = [layer for layer in layers if not isinstance(layer, Network) and layer.held_layers()]
    for layer in waiting:
        held = [inner for inner in layer.held_layers().values() if not isinstance(inner, Network)]
        layer.elsewhere = layer.elsewhere | (found & set(layer.held_layers().values()))
        waiting += [inner for inner in held if inner.held_layers()]


def _second_places(network) -> list:
    """The second places of layers that have two: used both directly and inside a nested model. They own the first; the
    trees that users and optimizers see hold only that one."""
    owners: dict = {}
    second = []

    def walk(layer, path):
        for name, part in layer.sublayers().items():
            place = (*path, name)
            if owners.setdefault(part, place) != place:
                second.append(place)
            else:
                walk(part, place)

    walk(network, ())
    return second


# ------------------------------------------------------------------------------------------------------------ one run


class Bound(Execution):
    """A run of a network, and the scope around it: its variables stand for the arrays of `params` and `state`, the
    symbols of its graph for what they come to. Losses, metrics and penalties computed inside may read them.

    Arguments:
        network: whose run it is.
        params, state: as from its `init`.
        outside: name -> variable, of those from outside that `state` has arrays for.
        key, training: as of `apply`.

    Raises:
        ValueError: if a weight has no array.
    """

    def __init__(
        self, network: Any, params: dict, state: dict, outside: dict, *, key: Any = None, training: bool = False
    ):
        self.network, self.params, self.given = network, params, state
        own = network.variables()
        self._state = own[1]
        values = {}
        for what, tree, arrays in zip(("params", "state"), own, (params, state), strict=True):
            for path, variable in trees.leaves(tree):
                values[variable] = trees.get(arrays, path)
                if values[variable] is None:
                    raise ValueError(
                        f"Model {network.name}: the {what} it was given have nothing at {'/'.join(path)!r}, where "
                        f"{variable.name} of shape {variable.shape} was expected."
                    )
        given = state.get(OUTSIDE, {})
        self._outside = {name: variable for name, variable in outside.items() if name in given}
        values |= {variable: given[name] for name, variable in self._outside.items()}
        positions = {layer: position for position, layer in enumerate(network.sublayers().values())}
        super().__init__(values, key=key, training=training, positions=positions)

    def run(self, inputs: Any, mask: Any = None) -> Call:
        """The graph on `inputs`; see `Network.run`."""
        network = self.network
        self.values.update(network.place(inputs, mask))
        self.compute(network.order)
        outputs = [self.values[symbol] for symbol in network.outputs]
        masks = [self.values.get(mask_key(symbol)) for symbol in network.outputs]
        losses = [*self.losses, *self._added()]
        single = len(outputs) == 1
        outputs, masks = (outputs[0], masks[0]) if single else (outputs, masks)
        return Call(outputs, self.next_state(), masks, losses)

    def _added(self) -> list:
        """The losses that were added to the network: those of symbols of the whole batch, as they may mix examples."""
        added = self.network.added_losses
        symbols = list(filter(is_symbol, added))
        return [jnp.asarray(one, config.floatx()) for one in added if not is_symbol(one)] + self._values_of(symbols)

    def _values_of(self, symbols) -> list:
        nodes = nodes_between(list(filter(is_symbol, self.values)), symbols) if symbols else []
        if not nodes or batch.shards() == 1:
            return [self.compute(nodes).value(symbol) for symbol in symbols]
        made = {symbol for node in nodes for symbol in node.outputs}
        needed = {symbol for node in nodes for symbol in node.inputs} - made
        values = {symbol: self.value(symbol) for symbol in needed}
        whole = batch.whole({one: value for one, value in values.items() if not isinstance(one, Variable)})
        with batch.gathered(), self.fresh({**values, **whole}) as inner:
            inner.compute(nodes)
            return [inner.value(symbol) for symbol in symbols]

    def penalties(self) -> list:
        """The penalties of the weights' regularizers: a list of scalars."""
        return self.network.regularization(self.params)

    def next_state(self) -> dict:
        """The state after all that has run in this scope, with the updates that were asked for."""
        state = self.given
        outside = {(OUTSIDE, name): variable for name, variable in self._outside.items()}
        for path, variable in [*trees.leaves(self._state), *outside.items()]:
            value = self.moved.get(variable, self.values[variable])
            if variable in self.updates:
                if path[0] == OUTSIDE:
                    self.touched(variable)
                value = self.updates[variable]
                value = jnp.asarray(value, variable.dtype).reshape(variable.shape)
            if value is not trees.get(state, path):
                state = trees.put(state, path, value)
        return state
