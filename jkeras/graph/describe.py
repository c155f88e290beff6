"""Graphs as configs and back: the nested dicts that JSON, YAML and HDF5 files of models hold."""

import copy
import json
import warnings
from typing import Any

from jkeras.graph.layer import Layer
from jkeras.graph.tensor import symbols_in, unique_number
from jkeras.graph.topology import Network
from jkeras.serialize.objects import deserialize_keras_object
from jkeras.serialize.trust import LoadError, Unknown, at, shown
from jkeras.typing import CustomObjects

__all__ = [
    "graph_config", "graph_from_config", "layer_from_config", "layer_table", "numbered_name", "sequential_config",
    "sequential_from_config",
]  # fmt: skip


#: Models in models may run so many layers, besides those of the outer one: each may call the one inside twice.
RUNS = 20_000


def numbered_name(cls: type) -> str:
    """The next name of a model of class `cls`: 'sequential_1', 'sequential_2', ..."""
    prefix = cls.__name__.lower()
    return f"{prefix}_{unique_number(prefix)}"


# ----------------------------------------------------------------------------------------------------------- layers


def layer_table() -> dict:
    """class name -> class, of all layers and models of this package (not of its users)."""
    package = __name__.partition(".")[0]
    table, waiting = {}, [Layer]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.partition(".")[0] == package:
                table.setdefault(cls.__name__, cls)
    return table


def layer_from_config(config: dict, custom_objects: CustomObjects = None) -> Layer:
    """A new layer from {'class_name': ..., 'config': ...}.

    Arguments:
        config: such a dict.
        custom_objects: dict name -> class or function, of what is not this package's.

    Raises:
        ValueError: if the class is not known.
    """
    return deserialize_keras_object(config, layer_table(), custom_objects, "layer")


def _layers_from_configs(configs, custom_objects):
    """The layers of a list of configs; of names that are not known, all are told at once."""
    unknown, layers = Unknown(), []
    for number, config in enumerate(configs):
        with unknown.noted(), at(f"layers[{number}]"):
            if not isinstance(config, dict):
                raise LoadError(f"it is {shown(config)}; a dict of 'class_name' and 'config' was expected.")
            layers.append(layer_from_config(config, custom_objects))
    unknown.tell()
    return layers


def _apart(configs: Any) -> Any:
    """A deep copy, in which variables that the arguments of a function hold are the same: it reads them."""
    return copy.deepcopy(configs, {id(symbol): symbol for symbol in symbols_in(configs)})


# ----------------------------------------------------------------------------------------------------------- graphs


def _kept_places(network) -> dict:
    """node -> its number among the calls of its layer that belong to `network`."""
    relevant = set(network.nodes)
    places = {}
    for layer in network.layers:
        first = 1 if isinstance(layer, Network) else 0  # call 0 of a network is its own inputs and outputs
        kept = [node for node in layer._inbound_nodes if node in relevant]
        places.update((node, number) for number, node in enumerate(kept, first))
    return places


def _call_arguments(node) -> dict:
    """The keyword arguments of a call, if they can be written down."""
    try:
        json.dumps(node.arguments)
    except TypeError:
        warnings.warn(
            f"Layer {node.layer.name} was passed non-serializable keyword arguments: {node.arguments}. They will not "
            "be included in the serialized model (and thus will be missing at deserialization time).",
            stacklevel=5,
        )
        return {}
    return node.arguments


def _call_config(node, places) -> list:
    """One call: [layer name, node, tensor, arguments] of each of its inputs."""
    arguments = _call_arguments(node)
    sources = [_coordinates(symbol, places) for symbol in node.call_inputs]
    return [[*source, arguments] for source in sources]


def _coordinates(symbol, places) -> list:
    layer, index, tensor = symbol._keras_history
    return [layer.name, places.get(layer._inbound_nodes[index], 0), tensor]


def graph_config(network: Network) -> dict:
    """The config of `network`: layers with their configs and calls, and where the inputs and outputs are.

    Nodes are numbered among the calls that belong to this network: a layer may be used elsewhere too.
    """
    places = _kept_places(network)
    layers = []
    for layer in network.layers:
        calls = [node for node in layer._inbound_nodes if node in places and node.call_inputs]
        layers.append(
            {
                "name": layer.name,
                "class_name": type(layer).__name__,
                "config": layer.get_config(),
                "inbound_nodes": [_call_config(node, places) for node in calls],
            }
        )
    config = {
        "name": network.name,
        "layers": layers,
        "input_layers": [_coordinates(symbol, places) for symbol in network.inputs],
        "output_layers": [_coordinates(symbol, places) for symbol in network.outputs],
    }
    return _apart(config)


def _runs(config) -> int:
    """How many layers run in a model of this config, those in models that are called twice counted twice."""
    parts = config
    if isinstance(config, dict):
        parts = config.get("layers") or [config.get("layer")]
    total = 0
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            calls = part.get("inbound_nodes")
            total += (len(calls) if isinstance(calls, list) and calls else 1) * (1 + _runs(part.get("config")))
    return total


class _Rebuild:
    """The layers of a config, and their calls made one after another as their inputs come to exist."""

    def __init__(self, config, custom_objects):
        layers = _layers_from_configs(config["layers"], custom_objects)
        self.layers = {data["name"]: layer for data, layer in zip(config["layers"], layers, strict=True)}
        self.waiting = {data["name"]: list(data["inbound_nodes"]) for data in config["layers"]}

    def symbol(self, name: str, node: int, tensor: int) -> Any:
        """The symbol at these coordinates; None if its call was not made yet."""
        if name not in self.layers:
            raise ValueError(f"Improper model config: it refers to a layer {name!r} that it does not contain.")
        nodes = self.layers[name]._inbound_nodes
        outputs = nodes[node].outputs if 0 <= node < len(nodes) else []
        if node < 0 or (outputs and not 0 <= tensor < len(outputs)):
            raise ValueError(f"Improper model config: there is no call {node}, output {tensor} of the layer {name!r}.")
        return outputs[tensor] if outputs else None

    def call_all(self):
        """Make all calls: those of one layer in their order, those of different layers as soon as they can be made."""
        while any(self.waiting.values()):
            progress = False
            for name, calls in self.waiting.items():
                while calls and self._call(self.layers[name], calls[0]):
                    calls.pop(0)
                    progress = True
            if not progress:
                stuck = [name for name, calls in self.waiting.items() if calls]
                raise ValueError(f"Improper model config: the inputs of the layers {shown(stuck)} never come to exist.")

    def _call(self, layer, sources) -> bool:
        sources = [list(source) for source in sources]
        if any(len(source) not in (3, 4) for source in sources):
            raise ValueError(
                f"Improperly formatted model config: a call of layer {layer.name} is {shown(sources)}; each input "
                "should be [layer name, node, tensor] or [layer name, node, tensor, arguments]."
            )
        symbols = [self.symbol(*source[:3]) for source in sources]
        if any(symbol is None for symbol in symbols):
            return False
        arguments = sources[0][3] if sources and len(sources[0]) == 4 else {}
        layer(symbols[0] if len(symbols) == 1 else symbols, **arguments)
        return True


def graph_from_config(cls: type, config: dict, custom_objects: CustomObjects = None) -> Any:
    """A new network of class `cls`, with new weights, from what `graph_config` gives.

    Arguments:
        cls: called as `cls(inputs=..., outputs=..., name=...)`.
        config: dict of 'name', 'layers', 'input_layers', 'output_layers'.
        custom_objects: dict name -> class or function, of what is not this package's.

    Raises:
        ValueError: if a class is not known, or the calls do not make a graph.
    """
    with at("graph", config):
        if _runs(config) > RUNS + len(config["layers"]):
            raise LoadError(f"its models call one another, so that more than {RUNS} layers would run.")
        rebuild = _Rebuild(config, custom_objects)
        rebuild.call_all()
        inputs = [rebuild.symbol(*place) for place in config["input_layers"]]
        outputs = [rebuild.symbol(*place) for place in config["output_layers"]]
        return cls(inputs=inputs, outputs=outputs, name=config.get("name"))


# ----------------------------------------------------------------------------------------------------------- stacks


def sequential_config(model: Any) -> dict:
    """The config of a stack: its name and the configs of its layers.

    Where no layer states the input's shape (it was given to `build` or to an `InputLayer`, which stacks leave out, or
    came with the data), the stack does. Keras looks for it at the very first layer, also inside of a first stack.
    """
    layers = [{"class_name": type(layer).__name__, "config": layer.get_config()} for layer in model.layers]
    config = {"name": model.name, "layers": _apart(layers)}
    if model.inputs and model.layers:
        first = model.layers[0]
        while isinstance(first, Network) and first.layers:
            first = first.layers[0]
        if getattr(first, "batch_input_shape", None) is None:
            config["build_input_shape"] = model.inputs[0].shape
    return config


def sequential_from_config(cls: type, config: dict | list, custom_objects: CustomObjects = None) -> Any:
    """A new stack of class `cls`, with new weights, from what `sequential_config` gives.

    A list of layer configs, as older files have it, is read too.
    """
    described = isinstance(config, dict)
    with at("stack", config):
        model = cls(name=config.get("name") if described else None)
        model.add_all(_layers_from_configs(config["layers"] if described else config, custom_objects))
        shape = config.get("build_input_shape") if described else None
        if shape and not model.inputs:
            model.build(tuple(shape))
        return model
