"""Keras's address of `Sequence` and its enqueuers, and of what goes with data."""

from jkeras.data.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, Sequence, SequenceEnqueuer
from jkeras.utils.generic_utils import Progbar

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Progbar", "Sequence", "SequenceEnqueuer"]
