"""Models that are written as a class with a `call`: once the shapes of their inputs are known, a network of one layer.

That layer, the `Body`, runs the model's `call` on a copy of the model, and is made of the layers that the model's
attributes hold.
"""

import functools
from typing import Any

from jkeras.graph import adapter
from jkeras.graph.infer import infer
from jkeras.graph.layer import Layer, free_name
from jkeras.graph.scope import Finder
from jkeras.graph.topology import Input, Network
from jkeras.trees import as_list

__all__ = ["Body", "connect", "layers_of", "output_shapes"]

#: The attributes in which a network keeps the layers of its graph.
_GRAPH = {"_layers", "_names", "_stack", "_made", "calls", "nodes", "input_layers", "output_layers"}


def layers_of(model: Network) -> dict:
    """name -> layer, of those that the attributes of a subclassed model hold, also in lists, tuples and dicts."""
    found: dict = {}
    own = {name: value for name, value in vars(model).items() if name not in _GRAPH}
    for path, layer in adapter.layers_in(own):
        if layer not in found.values() and layer is not model and not adapter.reaches(layer, model):
            found[free_name("_".join(path).lstrip("_"), found)] = layer
    return found


class Body(Layer):
    """The `call` of a subclassed model, as a layer.

    Arguments:
        model: the model.
    """

    calls_user_code = True

    def __init__(self, model: Network):
        super().__init__(name="call")
        self.model = model

    def sublayers(self):
        inner = layers_of(self.model)
        return inner | {free_name(f"made_{place}", inner): layer for place, layer in enumerate(self._made)}

    def build(self, input_shape: Any):
        """The layers are built when the model calls them."""
        self.built = True

    @property
    def call(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The model's `call`, on a copy of it."""
        twin = adapter.with_readings(self.model.twin())

        def called(*args, **kwargs):
            with adapter.noting_assignments(self.model, twin):
                return type(self.model).call(twin, *args, **kwargs)

        return functools.wraps(type(self.model).call)(called)

    def compute_mask(self, inputs: Any, mask: Any = None):
        method = type(self.model).compute_mask
        return None if not adapter.is_written_by_user(method) else method(self.model, inputs, mask)


class _Calls(Finder):
    """Notes the shapes of what layers gave: layer -> list of them."""

    def __init__(self):
        super().__init__()
        self.shapes: dict = {}

    def called(self, layer: Any, outputs: Any) -> None:
        shapes = [one._keras_shape for one in as_list(outputs)]
        self.shapes.setdefault(layer, []).append(shapes if isinstance(outputs, (list, tuple)) else shapes[0])


def output_shapes(model: Any) -> dict:
    """layer -> the shapes of its outputs, one for each of its calls, of those that a subclassed model calls."""
    called, arguments = model.calls[0].program(training=False)
    with _Calls() as found:
        infer(lambda *arrays: called(*arrays)[0].outputs, arguments)
    return found.shapes


def connect(model: Any, shapes: list) -> None:
    """Make the graph of a subclassed model for inputs of `shapes`."""
    inputs = [Input(batch_shape=shape, name=f"input_{place}") for place, shape in enumerate(shapes, 1)]
    body = Body(model)
    outputs = body(inputs if len(inputs) > 1 else inputs[0])
    names = [f"output_{place}" for place in range(1, len(as_list(outputs)) + 1)]
    model.make_graph(inputs, outputs, names)
