"""Keras's address of `Sequence` and its enqueuers."""

from jkeras.data.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, Sequence, SequenceEnqueuer

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Sequence", "SequenceEnqueuer"]
