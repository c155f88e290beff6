"""Keras's address of the graph that a model is."""

from jkeras.graph.connect import LayerNode as Node
from jkeras.graph.layer import Layer
from jkeras.graph.topology import InputLayer, Network
from jkeras.utils.layer_utils import get_source_inputs

__all__ = ["InputLayer", "Layer", "Network", "Node", "get_source_inputs"]
