"""Keras's address of `Sequence`, its enqueuers, `get_file`, and of what goes with data."""

from jkeras.data.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, Sequence, SequenceEnqueuer
from jkeras.utils.download import _hash_file, get_file, validate_file
from jkeras.utils.generic_utils import Progbar

__all__ = [
    "GeneratorEnqueuer", "OrderedEnqueuer", "Progbar", "Sequence", "SequenceEnqueuer", "_hash_file", "get_file",
    "validate_file",
]  # fmt: skip
