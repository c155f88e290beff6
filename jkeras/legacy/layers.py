"""Keras's address of the layers that it kept of Keras 1."""

from jkeras.layers.convolutional import AtrousConvolution1D, AtrousConvolution2D
from jkeras.layers.legacy import ConvRecurrent2D, Highway, MaxoutDense, Recurrent

__all__ = ["AtrousConvolution1D", "AtrousConvolution2D", "ConvRecurrent2D", "Highway", "MaxoutDense", "Recurrent"]
