"""Keras's second address for the pieces that models are made of; and files."""

from typing import Any

from jkeras.graph.layer import InputSpec, Layer
from jkeras.graph.topology import Input, InputLayer
from jkeras.utils.layer_utils import get_source_inputs

__all__ = ["Input", "InputLayer", "InputSpec", "Layer", "Model", "get_source_inputs"]


def __getattr__(name: str) -> Any:
    if name == "Model":  # models read and write files by `engine.saving`, so they come after this
        from jkeras.models import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
