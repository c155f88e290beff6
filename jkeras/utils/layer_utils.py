"""What a model looks like on the screen, and how many parameters it has."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jkeras.graph.function import nodes_between

__all__ = ["count_params", "print_summary"]


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
    plain = _is_stack(model)
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
        fields = [f"{layer.name} ({type(layer).__name__})", _shape(layer), layer.count_params()]
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


def _shape(layer):
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
