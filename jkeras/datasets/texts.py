"""What the data sets of texts share: words as numbers, and which of them are kept."""

import itertools
import json
import warnings
from typing import Any

import numpy as np

__all__ = ["numbered", "read_index", "renamed", "shuffled"]


def renamed(num_words: int | None, others: dict) -> int | None:
    """`num_words`, which was once called `nb_words`.

    Raises:
        TypeError: if there are other arguments.
    """
    if "nb_words" in others:
        warnings.warn("load_data: `nb_words` is now called `num_words`.", stacklevel=3)
        num_words = others.pop("nb_words")
    if others:
        raise TypeError(f"load_data: unknown arguments {sorted(others)}.")
    return num_words


def shuffled(*arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays in one order, drawn from numpy's global generator."""
    order = np.arange(len(arrays[0]))
    np.random.shuffle(order)
    return [array[order] for array in arrays]


def numbered(
    texts: Any, labels: np.ndarray, num_words: int | None, skip_top: int, maxlen: int | None, start_char: int | None,
    oov_char: int | None, index_from: int | None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The texts that are short enough, with the words that are wanted, and their labels.

    Arguments:
        texts: lists of numbers.
        labels: one for each.
        num_words, skip_top, maxlen, start_char, oov_char, index_from: see `imdb.load_data`.

    Raises:
        ValueError: if no text is shorter than `maxlen`.
    """
    begin = [] if start_char is None else [start_char]
    if maxlen:
        short = np.array([len(begin) + len(text) < maxlen for text in texts], bool)
        texts, labels = texts[short], labels[short]
        if not len(texts):
            raise ValueError(f"load_data: no text is shorter than maxlen={maxlen}; make it larger.")
    lengths = np.array([len(text) for text in texts], int)
    words = np.fromiter(itertools.chain.from_iterable(texts), np.int64, int(lengths.sum())) + (index_from or 0)
    num_words = num_words or max([*begin, words.max(initial=0)])

    def wanted(word):
        return (skip_top <= word) & (word < num_words)

    begin = [word if wanted(word) else oov_char for word in begin if wanted(word) or oov_char is not None]
    good = wanted(words)
    ends = np.cumsum(lengths)
    if oov_char is None:
        ends = np.concatenate([[0], np.cumsum(good)])[ends]
        words = words[good]
    else:
        words[~good] = oov_char
    result, start = np.empty(len(lengths), object), 0
    for place, end in enumerate(ends):
        result[place] = begin + words[start:end].tolist()
        start = end
    return result, labels


def read_index(path: str) -> dict[str, int]:
    """word -> number, from a file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)
