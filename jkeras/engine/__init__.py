"""Keras's second address for the pieces that models are made of; and files."""

from jkeras.graph.layer import InputSpec, Layer
from jkeras.graph.topology import Input, InputLayer

__all__ = ["Input", "InputLayer", "InputSpec", "Layer"]
