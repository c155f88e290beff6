"""Keras's address of the base of all layers."""

from jkeras.graph.connect import LayerNode as Node
from jkeras.graph.layer import InputSpec, Layer

__all__ = ["InputSpec", "Layer", "Node"]
