"""Keras's address of `Sequential`."""

from jkeras.models import Sequential

__all__ = ["Sequential"]
