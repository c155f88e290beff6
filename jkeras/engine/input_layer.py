"""Keras's address of what models start from."""

from jkeras.graph.topology import Input, InputLayer

__all__ = ["Input", "InputLayer"]
