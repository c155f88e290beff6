"""A graph of layer calls as one layer: `Network`, the pure core of `Model` and `Sequential`."""

import jax
import numpy as np

from jkeras import config, random
from jkeras.graph.connect import LayerNode, mask_key
from jkeras.graph.function import Execution, layers_of, nodes_between
from jkeras.graph.layer import Call, Layer, as_shape
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import SymbolicTensor, is_symbol, unique_number

__all__ = ["Input", "InputLayer", "Network"]


class InputLayer(Layer):
    """Where data enters a graph. `Input` makes one and returns its symbol.

    Arguments:
        input_shape: the shape of one example; batch_size: the batch size, None for any.
        batch_input_shape: both in one, instead.
        dtype: the type of the data, 'float32' unless set otherwise.
        sparse: not available on JAX.
        input_tensor: an existing symbol to use as the input.
        name: its name.
    """

    def __init__(
        self, input_shape=None, batch_size=None, batch_input_shape=None, dtype=None, input_tensor=None, sparse=False,
        name=None,
    ):  # fmt: skip
        if sparse:
            raise ValueError(
                f"InputLayer {name or ''}: sparse=True has no counterpart on JAX. Feed dense arrays, or integer "
                "indices into an Embedding layer."
            )
        if input_tensor is not None:
            if not is_symbol(input_tensor):
                raise ValueError(
                    f"InputLayer {name or ''}: input_tensor must be a symbol (K.placeholder, K.variable or a result of "
                    f"backend functions); got {type(input_tensor).__name__}."
                )
            batch_input_shape, dtype = input_tensor.shape, input_tensor.dtype
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
        self.sparse = False
        self.built = True
        self.trainable = False
        self.is_placeholder = input_tensor is None
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


def Input(shape=None, batch_shape=None, name=None, dtype=None, sparse=False, tensor=None):
    """The symbol of an input.

    Arguments:
        shape: the shape of one example, without the batch axis; None for unknown sizes, as in (None, 32).
        batch_shape: the shape with the batch size in front, instead, as in (10, 32).
        name: its name, unique in a model.
        dtype: the type, as 'float32', 'int32'; the default float type unless given.
        sparse: not available on JAX.
        tensor: an existing symbol to use as the input.

    Raises:
        ValueError: if neither a shape nor a tensor is given, or for `sparse=True`.
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


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


class Network(Layer):
    """The layer that a graph from `inputs` to `outputs` is.

    Arguments:
        inputs, outputs: symbols, or lists of symbols.
        name: its name.

    Attributes:
        inputs, outputs: lists of symbols.
        input_layers, output_layers: whose they are; input_names, output_names: their names, unique.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        name = name or f"{_prefix(self)}_{unique_number(_prefix(self))}"
        super().__init__(name=name, **kwargs)
        self._connect(inputs, outputs)

    def _connect(self, inputs, outputs):
        self.inputs, self.outputs = _as_list(inputs), _as_list(outputs)
        self._check(inputs)
        calls = nodes_between(self.inputs, self.outputs)
        for node in calls:
            if node.layer is None:
                function = getattr(node.function, "__name__", node.function)
                raise ValueError(
                    "Output tensors to a Model must be the output of a Keras `Layer`; between the inputs and outputs "
                    f"of {self.name} stands the backend function {function!r}. Wrap it in a Lambda layer."
                )
        self._arrange(calls)
        self._calls = calls
        self._aliases = _shared_places(self)
        self.output_layers = [symbol._keras_history[0] for symbol in self.outputs]
        self.output_names = [layer.name for layer in self.output_layers]
        for place, output_name in enumerate(self.output_names):
            if self.output_names.count(output_name) > 1 and place > 0:
                number = [layer.name for layer in self.output_layers[:place]].count(output_name)
                if number:
                    self.output_names[place] = f"{output_name}_{number}"
        self._positions = {layer: position for position, layer in enumerate(self._layers)}
        self.built = True
        if not self._inbound_nodes:
            LayerNode.of_network(self)

    def _check(self, inputs):
        for symbol in self.inputs:
            if not hasattr(symbol, "_keras_history"):
                raise ValueError(
                    f"Input tensors to a {type(self).__name__} must come from `jkeras.layers.Input`. "
                    f"Received: {symbol!r} (missing previous layer metadata)."
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
                    f"past layer metadata). Found: {symbol!r}. Wrap the computation in a Lambda layer."
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
        self._nodes_by_depth = {}
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
        return {layer.name: layer for layer in self._layers}

    def sublayer_shapes(self, input_shape=None):
        return {layer.name: _call_shape(layer) for layer in self._layers}

    def init(self, key, input_shape=None):
        """Initial weights and state of all layers: params, state.

        Arguments:
            key: a JAX key.
            input_shape: not needed; the graph knows it.

        Example:
            >>> params, state = model.init(jax.random.key(0))
        """
        params, state = {}, {}
        for position, layer in enumerate(self._layers):
            inner = None if key is None else random.as_key(key).fold(position)
            for tree, part in zip((params, state), layer.init(inner, _call_shape(layer)), strict=True):
                if part:
                    tree[layer.name] = part
        return _contract(params, self._aliases), _contract(state, self._aliases)

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        """Outputs and next state for `inputs`: an array, a list in the order of `inputs`, or a dict by input name.

        Arguments:
            params, state: as from `init`.
            key: a JAX key, needed when `training` and a layer draws random numbers.
            training: a Python bool.
            mask: the mask(s) of the inputs, or None.
        """
        call = self.run(params, state, inputs, key=key, training=training, mask=mask)
        scope = current_scope()
        if scope is not None:  # called inside another layer's call: what its layers add to the loss counts there
            scope.losses.extend(call.losses)
        return call.outputs, call.state

    def run(self, params, state, inputs, *, key=None, training=False, mask=None):
        """The graph on values: outputs, next state, masks of the outputs, and what the layers add to the loss."""
        values = self._place(inputs, mask)
        full_params, full_state = _expand(params, self._aliases), _expand(state, self._aliases)
        weights = {
            layer: (full_params.get(layer.name, {}), full_state.get(layer.name, {})) for layer in layers_of(self._calls)
        }
        execution = Execution(values, weights, key=key, training=training, positions=self._positions)
        for node in self._calls:
            execution.step(node)
            if self._aliases and node.layer in execution.state:
                self._share_state(execution, node.layer)
        new_state = dict(state)
        for layer, part in execution.state.items():
            if part:
                new_state[layer.name] = part
        outputs = [execution.values[symbol] for symbol in self.outputs]
        masks = [execution.values.get(mask_key(symbol)) for symbol in self.outputs]
        losses = execution.losses
        if self._added_losses:
            nodes = nodes_between([*self.inputs, *filter(is_symbol, execution.values)], self._added_losses)
            losses = losses + [execution.run(nodes).value(symbol) for symbol in self._added_losses]
        single = len(outputs) == 1
        return Call(
            outputs[0] if single else outputs,
            _contract(new_state, self._aliases),
            masks[0] if single else masks,
            losses,
            execution,
        )

    def _place(self, inputs, mask):
        """The inputs' symbols and masks with their values."""
        if isinstance(inputs, dict):
            missing = [name for name in self.input_names if name not in inputs]
            if missing or len(inputs) != len(self.input_names):
                raise ValueError(f"Model {self.name} has the inputs {self.input_names}; it was given {sorted(inputs)}.")
            inputs = [inputs[name] for name in self.input_names]
        inputs = _as_list(inputs)
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
        for symbol, part in zip(self.inputs, _as_list(mask) if mask is not None else [], strict=False):
            if part is not None:
                values[mask_key(symbol)] = part
        return values

    def _share_state(self, execution, layer):
        """After a call of `layer`: where a layer has two places in the tree, both get the newer state."""
        for duplicate, owner in self._aliases:
            for source, target in ((duplicate, owner), (owner, duplicate)):
                if source[0] == layer.name and target[0] != layer.name:
                    other = next(one for one in self._layers if one.name == target[0])
                    current = execution.state.get(
                        other, execution.weights[other][1] if other in execution.weights else {}
                    )
                    part = _get(execution.state[layer], source[1:])
                    if part is not None:
                        execution.state[other] = _put(current, target[1:], part)

    def compute_mask(self, inputs, mask=None):
        """The masks of the outputs for `inputs` (arrays) and their masks, by the current weights.

        Where other weights are at hand, `run` gives masks and outputs for these.
        """
        if mask is None and all(symbol._keras_mask is None for symbol in self.outputs):
            return None
        params, state = jax.tree.map(lambda variable: variable.value, self.variables())
        return self.run(params, state, inputs, mask=mask).mask

    def build(self, input_shape):
        """A network's layers were built when they were called."""
        self.built = True

    # ---------------------------------------------------------------------------------------------- weights, layers

    def variables(self):
        params, state = super().variables()
        return _contract(params, self._aliases), _contract(state, self._aliases)

    def saved_weights(self) -> list:
        """The weights layer by layer, each layer's trainable ones first: the order of `get_weights` and of files."""
        return [weight for layer in self.layers for weight in layer.weights]

    def regularization(self, params):
        params = _expand(params, self._aliases)
        seen = {duplicate for duplicate, _ in self._aliases}
        return _penalties(self, params, (), seen)

    @property
    def layers(self) -> list:
        """The layers of the graph, inputs first, in Keras's order."""
        return list(self._layers)

    def get_layer(self, name=None, index=None):
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
        raise ValueError(f"No such layer: {name}. The layers are: {', '.join(layer.name for layer in self.layers)}.")

    @property
    def stateful(self):
        return any(layer.stateful for layer in self.layers)

    def reset_states(self):
        """Set the states of all stateful layers to zero."""
        for layer in self.layers:
            if layer.stateful and hasattr(layer, "reset_states"):
                layer.reset_states()


def _prefix(network) -> str:
    """'model' or 'sequential': the class name in lower case, as Keras numbers models."""
    return type(network).__name__.lower()


def _call_shape(layer):
    """The input shape(s) of the first call of `layer`."""
    shapes = [symbol.shape for symbol in layer._inbound_nodes[0].input_tensors]
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


# ------------------------------------------------------------------------------- layers that have two places in a model
#
# A layer used both directly and inside a nested model would have two places in the tree of params. It owns the first;
# the trees that users and optimizers see hold only that one, and the second refers to it while the graph runs.


def _shared_places(network) -> list:
    """(second place, first place) of each layer that has two, as paths of names."""
    owners: dict = {}
    aliases = []

    def walk(layer, path):
        for name, part in layer.sublayers().items():
            place = (*path, name)
            if part in owners and owners[part] != place:
                aliases.append((place, owners[part]))
            else:
                owners[part] = place
                walk(part, place)

    walk(network, ())
    return aliases


def _get(tree, path):
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    return tree


def _put(tree, path, value):
    if not path:
        return value
    tree = tree or {}
    return {**tree, path[0]: _put(tree.get(path[0]), path[1:], value)}


def _drop(tree, path):
    if _get(tree, path) is None:
        return tree
    if len(path) == 1:
        return {name: part for name, part in tree.items() if name != path[0]}
    inner = _drop(tree[path[0]], path[1:])
    rest = {name: part for name, part in tree.items() if name != path[0]}
    return {**rest, path[0]: inner} if inner else rest


def _expand(tree, aliases):
    """`tree` with the second places filled in from the first."""
    for duplicate, owner in aliases:
        part = _get(tree, owner)
        if part is not None and _get(tree, duplicate) is None:
            tree = _put(tree, duplicate, part)
    return tree


def _contract(tree, aliases):
    """`tree` without the second places."""
    for duplicate, _ in aliases:
        tree = _drop(tree, duplicate)
    return tree


def _penalties(layer, params, path, skip):
    """The regularization of a layer's parts, each shared one once."""
    if not isinstance(layer, Network):
        return layer.regularization(params)
    penalties = []
    for name, part in layer.sublayers().items():
        if (*path, name) not in skip:
            penalties += _penalties(part, params.get(name, {}), (*path, name), skip)
    return penalties
