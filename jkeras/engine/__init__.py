"""Keras's second address for the pieces that models are made of, and what `compile` and files mean."""
