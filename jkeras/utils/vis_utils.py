"""Pictures of models: their layers and who feeds whom, drawn by Graphviz."""

import importlib
import os
import sys
from typing import Any

from jkeras.graph.function import nodes_between
from jkeras.typing import PathLike

__all__ = ["model_to_dot", "plot_model"]

# In the label of a record these have a meaning of their own.
_ESCAPED = str.maketrans({character: "\\" + character for character in "{}|<>"})


def _pydot():
    try:
        import pydot
    except ImportError as error:
        raise ImportError(
            "Pictures of models need the package `pydot` (pip install jkeras[plot]) and the program Graphviz "
            "(https://graphviz.org)."
        ) from error
    return pydot


def _label(layer, show_shapes: bool, show_layer_names: bool) -> str:
    name, kind = layer.name, type(layer).__name__
    inner: Any = getattr(layer, "layer", None)
    if hasattr(inner, "name"):  # a wrapper
        name, kind = f"{name}({inner.name})", f"{kind}({type(inner).__name__})"
    label = (f"{name}: {kind}" if show_layer_names else kind).translate(_ESCAPED)
    if not show_shapes:
        return label
    shapes = []
    for attribute in ("input_shape", "output_shape"):
        try:
            shapes.append(str(getattr(layer, attribute)))
        except AttributeError:  # called several times, on inputs of different shapes
            shapes.append("multiple")
    return f"{label}\n|{{input:|output:}}|{{{{{shapes[0]}}}|{{{shapes[1]}}}}}"


def model_to_dot(model: Any, show_shapes: bool = False, show_layer_names: bool = True, rankdir: str = "TB") -> Any:
    """The layers of a model and their connections as a `pydot.Dot`.

    Arguments:
        model: a built model.
        show_shapes: whether the shapes of inputs and outputs are shown.
        show_layer_names: whether the layers' names stand beside their classes.
        rankdir: where the model flows: 'TB' from top to bottom, 'LR' from left to right.

    Raises:
        ImportError: without pydot.
        ValueError: if the model is not built.
    """
    pydot = _pydot()
    if not model.built:
        raise ValueError(f"Model {model.name} has not been built: build it, or give its first layer an input_shape.")
    dot = pydot.Dot(rankdir=rankdir, concentrate=True)
    dot.set_node_defaults(shape="record")
    shown = {layer: str(id(layer)) for layer in model.layers}
    for layer, number in shown.items():
        dot.add_node(pydot.Node(number, label=_label(layer, show_shapes, show_layer_names)))
    for node in nodes_between(model.inputs, model.outputs):
        for symbol in node.call_inputs:
            source = symbol._keras_history[0]
            if source in shown and node.layer in shown:
                dot.add_edge(pydot.Edge(shown[source], shown[node.layer]))
    return dot


def plot_model(
    model: Any,
    to_file: PathLike = "model.png",
    show_shapes: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
) -> Any:
    """Draw a model into a file; in a notebook, shown there too.

    Arguments:
        to_file: the file; its ending says the format: png, svg, pdf, dot, ... (png without one).
        model, show_shapes, show_layer_names, rankdir: as of `model_to_dot`.

    Returns:
        In a notebook the picture; else None.

    Raises:
        ImportError: without pydot.
        OSError: without Graphviz.
    """
    dot = model_to_dot(model, show_shapes, show_layer_names, rankdir)
    kind = os.path.splitext(to_file)[1][1:] or "png"
    try:
        dot.write(os.fspath(to_file), format="raw" if kind == "dot" else kind)
    except FileNotFoundError as error:
        raise OSError(
            f"The picture {os.fspath(to_file)!r} was not drawn: the program `dot` of Graphviz (https://graphviz.org) "
            "is not on the path. Without it the text of the graph can be had: `to_file='model.dot'`."
        ) from error
    return _shown(to_file, kind)


def _shown(path, kind):
    """The picture as a notebook shows it, None elsewhere."""
    shell: Any = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return None
    display: Any = importlib.import_module("IPython.display")
    pictures = {"svg": display.SVG, "png": display.Image, "jpg": display.Image}
    return pictures[kind](filename=os.fspath(path)) if kind in pictures else None
