"""Keras's address of what it kept of Keras 1."""
