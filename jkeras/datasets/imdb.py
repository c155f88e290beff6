"""Reviews of films, good (1) and bad (0), as numbers of words: 25,000 to train on and 25,000 to test on."""

from typing import Any

import numpy as np

from jkeras.datasets.pickled import read_npz
from jkeras.datasets.texts import numbered, read_index, renamed, shuffled
from jkeras.typing import Seed
from jkeras.utils.download import get_file

__all__ = ["get_word_index", "load_data"]

ORIGIN = "https://s3.amazonaws.com/text-datasets/imdb.npz"
DIGEST = "599dadb1135973df5b59232a0e9a887c"
INDEX_ORIGIN = "https://s3.amazonaws.com/text-datasets/imdb_word_index.json"
INDEX_DIGEST = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: str = "imdb.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
    seed: Seed = 113, start_char: int | None = 1, oov_char: int | None = 2, index_from: int = 3, **kwargs: Any,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The reviews as `(x_train, y_train), (x_test, y_test)`.

    Two things are as in Keras 2.2.4 and later ones do otherwise: without `num_words` the word with the largest number
    counts as unknown; and with `maxlen` the first 25,000 of all reviews that are left are for training.

    Arguments:
        path: the name of the file in the cache, or its whole path.
        num_words: words count as known whose number is below this; None for all.
        skip_top: words count as known whose number is at least this.
        maxlen: reviews of this length, or longer, are left out; None for none.
        seed: of numpy's global generator, from which the orders are drawn.
        start_char: what each review begins with; None for nothing.
        oov_char: what stands for unknown words; None to leave them out.
        index_from: what is added to the number of each word.

    Returns:
        Reviews, an array of lists of numbers, and labels, int64.

    Raises:
        ValueError: if no review is shorter than `maxlen`.
    """
    num_words = renamed(num_words, kwargs)
    arrays = read_npz(get_file(path, origin=ORIGIN, file_hash=DIGEST))
    np.random.seed(seed)
    x_train, y_train = shuffled(arrays["x_train"], arrays["y_train"])
    x_test, y_test = shuffled(arrays["x_test"], arrays["y_test"])
    x, y = numbered(
        np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]), num_words, skip_top, maxlen, start_char,
        oov_char, index_from,
    )  # fmt: skip
    border = len(x_train)
    return (x[:border], y[:border]), (x[border:], y[border:])


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """word -> its number, before `index_from` is added.

    Arguments:
        path: the name of the file in the cache, or its whole path.
    """
    return read_index(get_file(path, origin=INDEX_ORIGIN, file_hash=INDEX_DIGEST))
