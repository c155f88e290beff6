"""Newswires in 46 topics, as numbers of words: 11,228 in all."""

from typing import Any

import numpy as np

from jkeras.datasets.pickled import read_npz
from jkeras.datasets.texts import numbered, read_index, renamed, shuffled
from jkeras.typing import Seed
from jkeras.utils.download import get_file

__all__ = ["get_word_index", "load_data"]

ORIGIN = "https://s3.amazonaws.com/text-datasets/reuters.npz"
DIGEST = "87aedbeb0cb229e378797a632c1997b6"
INDEX_ORIGIN = "https://s3.amazonaws.com/text-datasets/reuters_word_index.json"
INDEX_DIGEST = "4d44cc38712099c9e383dc6e5f11a921"


def load_data(
    path: str = "reuters.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
    test_split: float = 0.2, seed: Seed = 113, start_char: int | None = 1, oov_char: int | None = 2,
    index_from: int = 3, **kwargs: Any,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The newswires as `(x_train, y_train), (x_test, y_test)`.

    Without `num_words` the word with the largest number counts as unknown, as in Keras 2.2.4.

    Arguments:
        test_split: the part of the newswires that is for testing.
        path, num_words, skip_top, maxlen, seed, start_char, oov_char, index_from: see `imdb.load_data`.

    Returns:
        Newswires, an array of lists of numbers, and topics, int64.

    Raises:
        ValueError: if no newswire is shorter than `maxlen`.
    """
    num_words = renamed(num_words, kwargs)
    arrays = read_npz(get_file(path, origin=ORIGIN, file_hash=DIGEST))
    np.random.seed(seed)
    x, y = shuffled(arrays["x"], arrays["y"])
    x, y = numbered(x, y, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    border = int(len(x) * (1 - test_split))
    return (x[:border], y[:border]), (x[border:], y[border:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """word -> its number, before `index_from` is added.

    Arguments:
        path: the name of the file in the cache, or its whole path.
    """
    return read_index(get_file(path, origin=INDEX_ORIGIN, file_hash=INDEX_DIGEST))
