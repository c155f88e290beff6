"""What a model looks like on the screen, how many parameters it has, where it starts; weights in other layouts."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jkeras.graph import subclassed
from jkeras.graph.function import nodes_between
from jkeras.utils.conv_utils import convert_kernel

__all__ = [
    "convert_all_kernels_in_model", "convert_dense_weights_data_format", "convert_kernel", "count_params",
    "get_source_inputs", "print_summary",
]  # fmt: skip


def count_params(weights: Iterable[Any]) -> int:
    """The number of numbers in `weights`, each weight counted once."""
    return sum(math.prod(weight.shape) for weight in set(weights))


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    """Print the layers of a model: name, output shape, number of parameters, and where the graph branches, connections.

    Arguments:
        model: a `Model` or `Sequential`.
        line_length: the width of a line, 65 unless given, 98 with connections.
        positions: where the columns end, absolute or, if the last is 1, as shares of the width.
        print_fn: called with each line; `print` unless given.
    """
    print_fn = print_fn or print
    inside = subclassed.output_shapes(model) if getattr(model, "is_subclassed", False) else None
    plain = inside is not None or _is_stack(model)
    line_length = line_length or (65 if plain else 98)
    positions = positions or ([0.45, 0.85, 1.0] if plain else [0.33, 0.55, 0.67, 1.0])
    scale = line_length if positions[-1] <= 1 else 1
    ends = [int(scale * position) for position in positions]
    titles = ["Layer (type)", "Output Shape", "Param #", "Connected to"]

    def print_row(*fields):
        line = ""
        for field, end in zip(fields, ends, strict=False):
            line = f"{line[:-1]} {field}" if line else str(field)
            line = line[:end].ljust(end)
        print_fn(line)

    print_fn("_" * line_length)
    print_row(*titles[: 3 if plain else 4])
    print_fn("=" * line_length)
    for number, layer in enumerate(model.layers, 1):
        fields = [f"{layer.name} ({type(layer).__name__})", _shape(layer, inside or {})]
        fields.append(layer.count_params() if layer.built else 0)  # one that a subclassed model holds and never calls
        connections = [] if plain else _connections(model, layer)
        print_row(*fields, *(connections[:1] or [""] * (not plain)))
        for connection in connections[1:]:
            print_row("", "", "", connection)
        print_fn(("=" if number == len(model.layers) else "_") * line_length)

    # What was collected at compile is what is trained, whatever `trainable` says by now.
    collected = getattr(model, "_collected", None)
    trainable = count_params(model.trainable_weights if collected is None else collected)
    frozen = count_params(model.non_trainable_weights)
    print_fn(f"Total params: {trainable + frozen:,}")
    print_fn(f"Trainable params: {trainable:,}")
    print_fn(f"Non-trainable params: {frozen:,}")
    print_fn("_" * line_length)


def _is_stack(model) -> bool:
    """Whether each layer is called once, on one output, one after the other: then connections say nothing."""
    if any(cls.__name__ == "Sequential" for cls in type(model).__mro__):
        return True
    calls = nodes_between(model.inputs, model.outputs)
    if len({node.layer for node in calls}) < len(calls):
        return False
    before = [model.inputs, *(node.outputs for node in calls)]
    single = all(len(symbols) == 1 for symbols in before)
    return single and all(node.call_inputs == symbols for node, symbols in zip(calls, before, strict=False))


def _shape(layer, inside):
    """The output shape of a layer's calls; those of layers `inside` a subclassed model are noted there."""
    if layer in inside:
        first, *others = inside[layer]
        return first if all(shape == first for shape in others) else "multiple"
    try:
        return layer.output_shape
    except AttributeError:  # called several times, on inputs of different shapes
        return "multiple"


def _connections(model, layer) -> list:
    """'name[call][output]' of each input of the layer's calls in this model."""
    relevant = set(nodes_between(model.inputs, model.outputs))
    return [
        f"{source.name}[{index}][{tensor}]"
        for node in layer._inbound_nodes
        if node in relevant
        for source, index, tensor in (symbol._keras_history for symbol in node.call_inputs)
    ]


def get_source_inputs(tensor: Any, layer: Any = None, node_index: int | None = None) -> Any:
    """The inputs that `tensor` is computed from, each once; of what no layer made, the tensor itself.

    Arguments:
        tensor: a symbol.
        layer, node_index: the layer and the number of its call to start from, in place of those that made `tensor`.

    Example:
        >>> x = Input(shape=(4,))
        >>> get_source_inputs(Dense(2)(x)) == [x]
        True
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return tensor
    if layer is None or node_index:
        layer, node_index, _ = history
    if not layer._inbound_nodes:
        return [tensor]
    node = layer._inbound_nodes[node_index or 0]
    if not node.call_inputs:
        return list(node.outputs)
    found: list = []
    for symbol in node.call_inputs:
        sources = get_source_inputs(symbol)
        found += [source for source in (sources if isinstance(sources, list) else [sources]) if source not in found]
    return found


def convert_all_kernels_in_model(model: Any) -> None:
    """Turn the windows of all convolution kernels of a model around: Theano's convolutions and TensorFlow's."""
    for layer in model.layers:
        if type(layer).__name__ in ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose"):
            kernel, *rest = layer.get_weights()
            layer.set_weights([convert_kernel(kernel), *rest])


def convert_dense_weights_data_format(
    dense: Any, previous_feature_map_shape: Sequence[int], target_data_format: str = "channels_first"
) -> None:
    """Reorder the weights of a `Dense` layer for features in another layout that a `Flatten` puts in one row.

    Arguments:
        dense: the layer behind the `Flatten`.
        previous_feature_map_shape: three sizes, of the features before the `Flatten` in the target layout.
        target_data_format: the layout of the model that the weights are for.

    Raises:
        ValueError: if the layout is neither 'channels_first' nor 'channels_last'.
    """
    if target_data_format == "channels_first":
        channels, *window = previous_feature_map_shape
        before, order = (*window, channels), (2, 0, 1, 3)
    elif target_data_format == "channels_last":
        *window, channels = previous_feature_map_shape
        before, order = (channels, *window), (1, 2, 0, 3)
    else:
        raise ValueError(
            "`target_data_format` must be 'channels_first' or 'channels_last'. Received: " + repr(target_data_format)
        )
    kernel, *bias = dense.get_weights()
    moved = np.transpose(kernel.reshape(*before, -1), order)
    dense.set_weights([moved.reshape(kernel.shape), *bias])
