"""Keras's address of `Sequence`, its enqueuers, and `get_file`."""

from jkeras.data.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, Sequence, SequenceEnqueuer
from jkeras.utils.download import _hash_file, get_file, validate_file

__all__ = [
    "GeneratorEnqueuer", "OrderedEnqueuer", "Sequence", "SequenceEnqueuer", "_hash_file", "get_file", "validate_file",
]  # fmt: skip
