"""The address that all of these had before Keras 2.2."""

from jkeras.graph.connect import LayerNode as Node
from jkeras.graph.layer import InputSpec, Layer
from jkeras.graph.topology import Input, InputLayer, Network
from jkeras.utils.layer_utils import get_source_inputs

__all__ = ["Input", "InputLayer", "InputSpec", "Layer", "Network", "Node", "get_source_inputs"]
