"""`Model` and `Sequential`: Keras's way of writing models, a thin shell around the pure core."""

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jkeras.engine import saving
from jkeras.engine.saving import load_model, model_from_config, model_from_json, model_from_yaml, save_model
from jkeras.graph import adapter, describe, subclassed
from jkeras.graph.layer import Layer
from jkeras.graph.scope import outside
from jkeras.graph.tensor import Node, is_symbol, map_symbols, symbols_in
from jkeras.graph.topology import Input, InputLayer, Network
from jkeras.shell.training import Trainable
from jkeras.trees import as_list
from jkeras.typing import CustomObjects, Function, Name, PathLike, Shape
from jkeras.utils.generic_utils import has_arg, to_list  # noqa: F401
from jkeras.utils.layer_utils import print_summary

__all__ = [
    "Input", "InputLayer", "Layer", "Model", "Sequential", "clone_model", "load_model", "model_from_config",
    "model_from_json", "model_from_yaml", "save_model",
]  # fmt: skip


#: What a network keeps of its graph, which copies make anew, and of its runs, which they do not have.
_OF_RUNS = {"_trainer", "_spec", "_symbols", "history"}
_OF_GRAPH = _OF_RUNS | {
    "_mapping", "default_devices", "_inbound_nodes", "_outbound_nodes", "_layers", "_stack", "_names",
    "_nodes_by_depth", "_outside", "_second_places", "calls", "input_layers", "inputs", "nodes", "order",
    "output_layers", "outputs",
}  # fmt: skip


class Model(Trainable):
    """A model: a graph of layer calls from inputs to outputs, which can be trained.

    It is also a layer (call it on symbols), and a pure pair: `model.init(key)`, `model.apply(params, state, x)`.

    Arguments:
        inputs, outputs: symbols, or lists of symbols.
        name: its name.

    Raises:
        ValueError: if an output cannot be computed from the inputs, or two layers have the same name.

    Example:
        >>> x = Input(shape=(4,))
        >>> model = Model(x, Dense(2)(x))
        >>> model.output_shape
        (None, 2)
    """

    #: Whether it was written as a class with a `call`.
    is_subclassed = False

    def __init__(self, inputs: Any = None, outputs: Any = None, name: Name = None, **kwargs: Any):
        for old, new in {"input": "inputs", "output": "outputs"}.items():  # Keras 1's names
            if old in kwargs:
                warnings.warn(
                    f"Update your `Model` call to the Keras 2 API: `{new}=` in place of `{old}=`.", stacklevel=2
                )
        inputs, outputs = kwargs.pop("input", inputs), kwargs.pop("output", outputs)
        if inputs is None and outputs is None and adapter.is_written_by_user(type(self).call):
            Layer.__init__(self, name=name or describe.numbered_name(type(self)), **kwargs)
            self.inputs, self.outputs, self._layers, self.is_subclassed = [], [], [], True
            return
        if inputs is None or outputs is None:
            raise TypeError(
                f"{type(self).__name__} needs `inputs` and `outputs`, or a method `call`; got {inputs!r} and "
                f"{outputs!r}."
            )
        super().__init__(inputs, outputs, name=name, **kwargs)

    def __setattr__(self, name, value):
        if isinstance(value, Layer) and "name" not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__}: a subclass of Model must call super().__init__() before it sets layers."
            )
        super().__setattr__(name, value)

    def __call__(self, inputs: Any, **arguments: Any):
        if self.is_subclassed and not self.built and symbols_in(as_list(inputs)):
            self.build([tuple(symbol.shape) for symbol in as_list(inputs)])
        return super().__call__(inputs, **arguments)

    def build(self, input_shape: Any = None) -> None:
        """Make the graph of a subclassed model, for inputs of `input_shape` (with the batch axis; or a list)."""
        if self.is_subclassed and not self.built:
            several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
            with outside():
                subclassed.connect(self, list(input_shape) if several else [input_shape])
        super().build(input_shape)

    def make_graph(self, inputs: Any, outputs: Any, output_names: list | None = None) -> None:
        """Take the graph from `inputs` to `outputs` for that of the model, in place of any that it had."""
        self._inbound_nodes = []
        self._connect(inputs, outputs)
        self.output_names = output_names or self.output_names
        self.renew_trainer()

    @property
    def layers(self) -> list:
        """The layers of the graph, inputs first, in Keras's order; of a subclassed model, those it holds."""
        return list(subclassed.layers_of(self).values()) if self.is_subclassed else super().layers

    def held_layers(self, named: dict | None = None) -> dict:
        return {**(named or {}), **(subclassed.layers_of(self) if self.is_subclassed else {})}

    def _ensure_built(self, x):
        if self.is_subclassed and not self.built and x is not None:
            self.build([(None, *np.shape(array)[1:]) for array in as_list(x)])

    def _check_built(self, what):
        if self.is_subclassed and not self.built:
            raise ValueError(
                f"Model {self.name} ({type(self).__name__}) has no weights before it is called: call it, train it, or "
                f"call build(input_shape), and then {what}."
            )

    def __reduce__(self):
        return saving.unpickle_model, (saving.pickle_model(self),)

    def __deepcopy__(self, memo):
        """The same graph of copies of the layers, with their weights; compiled alike, with a copy of the optimizer."""
        memo |= {id(variable): variable for variable in self.outside.values()} if self.built else {}
        memo[id(self)] = twin = copy.copy(self)
        rest = {name: value for name, value in vars(self).items() if name not in _OF_GRAPH}
        twin.__dict__.update(dict.fromkeys(_OF_RUNS), _inbound_nodes=[], _outbound_nodes=[])
        if self.is_subclassed:
            twin.__dict__.update(copy.deepcopy(rest, memo), inputs=[], outputs=[], _layers=[], built=False)
            if self.built:
                twin.build([tuple(symbol.shape) for symbol in self.inputs])
        else:
            inputs = {layer: _clone_layer(layer) for layer in self._layers if isinstance(layer, InputLayer)}
            copies = inputs | {layer: copy.deepcopy(layer, memo) for layer in self._layers if layer not in inputs}
            tensors = [inputs[layer]._inbound_nodes[0].result for layer in (self.input_layers if self.built else [])]
            made = _calls_made(self, tensors, copies)
            memo |= {id(one): other for one, other in [*copies.items(), *made.items()]}
            twin.__dict__.update(copy.deepcopy(rest, memo), _layers=[copies[layer] for layer in self._layers])
            twin._stack = [copies[layer] for layer in getattr(self, "_stack", [])]
            if self.built:
                twin.make_graph(tensors, [made[symbol] for symbol in self.outputs], self.output_names)
        if self.optimizer is not None and self.optimizer.state is not None:
            with twin.trainer.core.precision():
                twin.trainer.begin()
                twin.optimizer.state = self.optimizer.state
        return twin

    def get_config(self):
        """The graph as nested dicts: layers, their calls, inputs and outputs.

        Raises:
            NotImplementedError: of a subclassed model, whose graph is code.
        """
        if self.is_subclassed:
            raise NotImplementedError(
                f"{type(self).__name__} is a subclassed model: what it computes is code, which no config holds. Save "
                "its weights (save_weights), or define get_config and from_config."
            )
        return describe.graph_config(self)

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        """A new model, with new weights, from a config as `get_config` gives."""
        return describe.graph_from_config(cls, config, custom_objects)

    def summary(
        self, line_length: int | None = None, positions: Sequence | None = None, print_fn: Function | None = None
    ) -> None:
        """Print the layers, their output shapes, numbers of parameters and connections.

        Arguments:
            line_length: the width of a line.
            positions: where the columns end, as shares of the width or absolute.
            print_fn: called with each line; `print` unless given.
        """
        if not self.built:
            raise ValueError(
                "This model has not yet been built. Build the model first by calling build() or calling fit() with "
                "some data. Or specify input_shape or batch_input_shape in the first layer for automatic build."
            )
        self.check_trainable()
        print_summary(self, line_length=line_length, positions=positions, print_fn=print_fn)

    def save(self, filepath: PathLike, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Save graph, weights, compile arguments and optimizer state in one HDF5 file, completely or not at all."""
        save_model(self, filepath, overwrite=overwrite, include_optimizer=include_optimizer)

    def save_weights(self, filepath: PathLike, overwrite: bool = True) -> None:
        """Save the weights in one HDF5 file, completely or not at all."""
        self._check_built("save its weights")
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(
        self, filepath: PathLike, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
    ) -> None:
        """Load weights from an HDF5 file, by the order of the layers or `by_name`.

        Arguments:
            skip_mismatch: with `by_name`, leave out layers whose weights do not fit, with a warning.
            reshape: reshape arrays that have the right number of entries.

        Raises:
            ValueError: if the weights do not fit; then nothing is changed.
        """
        self._check_built("load them")
        saving.load_weights(self, filepath, by_name=by_name, skip_mismatch=skip_mismatch, reshape=reshape)

    def to_json(self, **kwargs) -> str:
        """The graph as JSON text."""
        return saving.to_json(self, **kwargs)

    def to_yaml(self, **kwargs) -> str:
        """The graph as YAML text."""
        return saving.to_yaml(self, **kwargs)


class Sequential(Model):
    """A stack of layers.

    Arguments:
        layers: a list of layers to add.
        name: its name.

    The first layer needs an `input_shape`; without one, the model is built when it first sees data, or by `build`.

    Example:
        >>> model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(1)])
        >>> model.output_shape
        (None, 1)
    """

    def __init__(self, layers: Sequence[Layer] | None = None, name: Name = None):
        Layer.__init__(self, name=name or describe.numbered_name(type(self)))
        self.inputs, self.outputs, self._layers = [], [], []
        self.add_all(layers or [])

    @property
    def model(self) -> "Sequential":
        """Itself: in Keras 1 a stack had a `Model` inside."""
        return self

    @property
    def layers(self) -> list:
        """The layers that were added, without the input that was made for them."""
        return self._layers[1:] if self._layers and isinstance(self._layers[0], InputLayer) else list(self._layers)

    def add(self, layer: Layer) -> None:
        """Add a layer on top.

        Raises:
            TypeError: if it is no layer.
            ValueError: if it has several outputs.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"The added layer must be an instance of class Layer. Found: {layer}")
        self.built = False
        if not self._layers:
            self._start(layer)
            if not self.outputs:  # no input shape yet: built when there is one
                self._layers.append(layer)
                return
        elif self.outputs:
            self.outputs = [self._single(layer, layer(self.outputs[0]))]
        else:
            self._layers.append(layer)
            return
        self._stack = [*getattr(self, "_stack", []), layer]
        if self._adding_more:
            self._layers.append(layer)
        else:
            self._reconnect()

    #: Whether more layers are to come before anybody asks for the graph.
    _adding_more = False

    def add_all(self, layers: Iterable[Layer]) -> None:
        """Add layers on top, one after the other, and make the graph once, which takes as long as all of it is."""
        self._adding_more = True
        try:
            for layer in layers:
                self.add(layer)
        finally:
            self._adding_more = False
            if self.outputs and not self.built:
                self._reconnect()

    def _start(self, layer):
        """The input for the first layer, if its shape is known, and the layer's call on it."""
        if isinstance(layer, InputLayer):
            self.inputs = self.outputs = [layer._inbound_nodes[0].outputs[0]]
            return
        if isinstance(layer, Network) and layer.inputs:
            shape, dtype = layer.inputs[0].shape, layer.inputs[0].dtype
        else:
            shape, dtype = getattr(layer, "batch_input_shape", None), getattr(layer, "dtype", None)
        if shape is not None:
            symbol = Input(batch_shape=shape, dtype=dtype, name=layer.name + "_input")
            self.inputs = [symbol]
            self.outputs = [self._single(layer, layer(symbol))]

    @staticmethod
    def _single(layer, output):
        if isinstance(output, (list, tuple)):
            raise ValueError(
                "All layers in a Sequential model should have a single output tensor. For multi-output layers, use the "
                f"functional API. Layer {layer.name} has {len(output)} outputs."
            )
        return output

    def _reconnect(self):
        self.make_graph(self.inputs, self.outputs)

    def pop(self) -> None:
        """Remove the last layer.

        Raises:
            TypeError: if there is none.
        """
        if not self.layers:
            raise TypeError("There are no layers in the model.")
        layer = self.layers[-1]
        if not self.outputs:
            self._layers.pop()
            return
        self._stack.pop()
        if not self._stack:
            self.inputs, self.outputs, self._layers, self._inbound_nodes, self.built = [], [], [], [], False
            return
        layer._inbound_nodes.pop()
        last = self._stack[-1]
        last._outbound_nodes = []
        self.outputs = [last._inbound_nodes[-1].outputs[0]]
        self._reconnect()

    def init(self, key: Any, input_shape: Any = None) -> tuple[dict, dict]:
        """Initial weights and state of all layers: params, state.

        Raises:
            ValueError: if the model still waits for the shape of its input.
        """
        if not self.built:
            raise ValueError(
                f"Sequential {self.name} does not know the shape of its input: give its first layer an `input_shape`, "
                "or call build(input_shape)."
            )
        return super().init(key, input_shape)

    def build(self, input_shape: Shape | None = None) -> None:
        """Build a model whose first layer has no input shape, for inputs of `input_shape` (with the batch axis)."""
        if self.outputs or input_shape is None:
            return
        waiting, self._layers = self._layers, []
        symbol = Input(batch_shape=tuple(input_shape), name=self.name + "_input")
        self.inputs = self.outputs = [symbol]
        self._stack = []
        for layer in waiting:
            self.outputs = [self._single(layer, layer(self.outputs[0]))]
            self._stack.append(layer)
        self._reconnect()

    def get_config(self):
        """The name of the model and the configs of its layers."""
        return describe.sequential_config(self)

    @classmethod
    def from_config(cls, config: dict | list, custom_objects: CustomObjects = None):
        """A new model, with new weights, from a config as `get_config` gives."""
        return describe.sequential_from_config(cls, config, custom_objects)

    def predict_classes(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Any:
        """The class of each example: the index of the largest output, or whether a single output is above 0.5."""
        probabilities: Any = self.predict(x, batch_size=batch_size, verbose=verbose)
        if probabilities.shape[-1] > 1:
            return probabilities.argmax(axis=-1)
        return (probabilities > 0.5).astype("int32")

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Any:
        """`predict`, for models whose outputs are probabilities."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

    def _ensure_built(self, x):
        if not self.built and x is not None:
            array = x[0] if isinstance(x, (list, tuple)) and len(x) == 1 else x
            shape = array.shape if hasattr(array, "shape") else np.shape(array)
            self.build((None, *shape[1:]))


def clone_model(model: Model, input_tensors: Any = None) -> Model:
    """A model with the same graph, and new layers with new weights.

    Arguments:
        model: the model to copy.
        input_tensors: symbols to build the copy on, one per input; new inputs unless given.

    Raises:
        ValueError: if `model` is no model, or the number of symbols is wrong.
    """
    if not isinstance(model, Model):
        raise ValueError(f"Expected `model` argument to be a `Model` instance, got {type(model).__name__}: {model}")
    if model.is_subclassed:
        raise ValueError(f"clone_model: model {model.name} is subclassed: make another by its class.")
    if isinstance(model, Sequential) and (input_tensors is None or not model.outputs):
        return Sequential([_clone_layer(layer) for layer in model.layers], name=model.name)
    if input_tensors is None:
        tensors = [_clone_layer(layer)._inbound_nodes[0].result for layer in model.input_layers]
    else:
        tensors = list(input_tensors) if isinstance(input_tensors, (list, tuple)) else [input_tensors]
        if len(tensors) != len(model.inputs) or not all(is_symbol(tensor) for tensor in tensors):
            raise ValueError(
                f"clone_model: model {model.name} has {len(model.inputs)} inputs; input_tensors must be as many "
                f"symbols, got {input_tensors}."
            )
        tensors = [tensor if hasattr(tensor, "_keras_history") else Input(tensor=tensor) for tensor in tensors]
    copies = {layer: _clone_layer(layer) for layer in model._layers if not isinstance(layer, InputLayer)}
    made = _calls_made(model, tensors, copies)
    return Model(tensors, [made[symbol] for symbol in model.outputs], name=model.name)


def _calls_made(model, tensors, copies) -> dict:
    """symbol of `model` -> what stands for it where the layers are `copies`, called on `tensors`."""
    made = dict(zip(model.inputs, tensors, strict=True))
    for node in model.order:
        if node.layer is None:  # a backend function, which makes an argument of a call
            again = Node(node.function, *map_symbols(made.__getitem__, [node.args, node.kwargs]))
            made.update(zip(node.outputs, again.outputs, strict=True))
            continue
        inputs, arguments = map_symbols(made.__getitem__, [node.call_inputs, node.arguments])
        results = copies[node.layer](inputs if len(inputs) > 1 else inputs[0], **arguments)
        results = results if isinstance(results, list) else [results]
        made.update(zip(node.outputs, results, strict=True))
    return made


def _clone_layer(layer):
    if isinstance(layer, Model):
        return clone_model(layer)
    return type(layer).from_config(layer.get_config())
