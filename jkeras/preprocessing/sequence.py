"""Sequences made into arrays: padding, skip-grams, windows of a time series."""

import functools
import itertools
import json
import random
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jkeras.data import enqueuers
from jkeras.serialize.texts import parsed_json
from jkeras.serialize.trust import at
from jkeras.typing import Seed

__all__ = [
    "TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams", "timeseries_generator_from_json",
]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- padding


def pad_sequences(
    sequences: Sequence[Any], maxlen: int | None = None, dtype: Any = "int32", padding: str = "pre",
    truncating: str = "pre", value: Any = 0.0,
) -> np.ndarray:  # fmt: skip
    """Sequences of different lengths as one array: the short ones filled up, the long ones cut.

    Arguments:
        sequences: lists or arrays; their items are numbers or strings, or arrays of one shape.
        maxlen: the length of the rows; None for that of the longest sequence.
        dtype: of the result; `object` for strings of any length.
        padding: 'pre' or 'post': where to fill up.
        truncating: 'pre' or 'post': where to cut.
        value: what to fill up with.

    Returns:
        An array of shape (len(sequences), maxlen, *shape of an item).

    Raises:
        ValueError: if something is not a sequence, the shapes of items differ, an option has no such value, or `dtype`
            cannot hold `value`.

    Example:
        >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
        array([[0, 1],
               [2, 3],
               [5, 6]], dtype=int32)
    """
    for name, option in (("padding", padding), ("truncating", truncating)):
        if option not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post'; got {option!r}.")
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(
            f"pad_sequences: dtype {dtype} cannot hold value={value!r}; use dtype=object for strings of any length."
        )
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"pad_sequences: a list of sequences was expected; got {type(sequences).__name__}.")
    lengths, shape = _lengths(sequences)
    maxlen = max(lengths, default=0) if maxlen is None else maxlen
    result: Any = np.full((len(lengths), maxlen, *shape), value, dtype)
    packer = None if shape else _packer(result.dtype)
    for place, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        if length > maxlen:
            sequence = sequence[length - maxlen :] if truncating == "pre" else sequence[:maxlen]
            length = maxlen
        first = maxlen - length if padding == "pre" else 0
        if packer is not None and isinstance(sequence, (list, tuple)):
            try:
                packer(length).pack_into(result, (place * maxlen + first) * result.itemsize, *sequence)
                continue
            except (struct.error, OverflowError, TypeError):
                pass  # not plain numbers, or too large ones: numpy's rules decide
        items = sequence if isinstance(sequence, np.ndarray) else _items(sequence, result.dtype, place)
        if length and items.shape[1:] != shape:
            raise ValueError(
                f"pad_sequences: the items of sequence number {place} have the shape {items.shape[1:]}; those before "
                f"have {shape}."
            )
        if length:
            result[place, first : first + length] = items
    return result


def _items(sequence, dtype, place):
    """The array of a sequence, which is number `place` of all."""
    try:
        return np.asarray(sequence, dtype)
    except (OverflowError, TypeError, ValueError) as error:
        kind = next(kind for kind in (OverflowError, TypeError, ValueError) if isinstance(error, kind))
        raise kind(f"pad_sequences: sequence number {place} is not of dtype {dtype}: {error}") from error


def _lengths(sequences):
    """The length of each sequence, and the shape of an item."""
    try:
        lengths = list(map(len, sequences))
    except TypeError:
        place, wrong = next((at, each) for at, each in enumerate(sequences) if not hasattr(each, "__len__"))
        raise ValueError(f"pad_sequences: number {place} is no sequence: {wrong!r}.") from None
    first = next((sequence for sequence in sequences if len(sequence)), ())
    return lengths, np.shape(first)[1:]


def _packer(dtype):
    """length -> what writes so many Python numbers into an array, in half of numpy's time; None where it cannot."""
    if dtype.char not in "bBhHiIlLqQfd" or not dtype.isnative:
        return None
    return functools.cache(lambda length: struct.Struct(f"{length}{dtype.char}"))


# ------------------------------------------------------------------------------------------------------ skip-grams


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray:
    """For each word, by its rank in frequency, the probability with which word2vec keeps it: rare words more often.

    min(1, sqrt(sampling_factor / f(rank))), where f is the frequency that Zipf's law gives,
    1 / f(rank) = rank * (log(rank) + 0.577) + 1/2 - 1 / (12 * rank).

    Arguments:
        size: how many words.
        sampling_factor: the larger, the more is kept.

    Example:
        >>> make_sampling_table(3).round(4)
        array([0.0032, 0.0032, 0.0055])
    """
    rank = np.arange(size)
    rank[:1] = 1
    inverse = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)
    scaled = sampling_factor * inverse
    return np.minimum(1.0, scaled / np.sqrt(scaled))


def skipgrams(
    sequence: Sequence[int], vocabulary_size: int, window_size: int = 4, negative_samples: float = 1.0,
    shuffle: bool = True, categorical: bool = False, sampling_table: Any = None, seed: Seed = None,
) -> tuple[list, list]:  # fmt: skip
    """Pairs (word, word near it) with the label 1, and (word, any word) with the label 0, to learn embeddings from.

    Draws come from Python's global `random`, as in Keras; with `shuffle` it is left seeded with `seed`.

    Arguments:
        sequence: the numbers of words; 0 is no word.
        vocabulary_size: the largest number that a word can have, plus one.
        window_size: how far apart two words of a pair may stand.
        negative_samples: how many pairs with label 0 for each with label 1.
        shuffle: whether the pairs are shuffled.
        categorical: whether the labels are [0, 1] and [1, 0] in place of 1 and 0.
        sampling_table: for each word the probability with which it is kept, as of `make_sampling_table`.
        seed: of the order of the pairs.

    Returns:
        couples, labels: two lists; a couple is a list of two numbers.

    Reference:
        Mikolov et al., "Efficient Estimation of Word Representations in Vector Space", arXiv:1301.3781.

    Example:
        >>> skipgrams([1, 2, 3], 4, window_size=1, negative_samples=0, shuffle=False)
        ([[1, 2], [2, 1], [2, 3], [3, 2]], [1, 1, 1, 1])
    """
    if isinstance(sequence, np.ndarray):
        sequence = sequence.tolist()
    couples = []
    for place, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        near = sequence[max(0, place - window_size) : place], sequence[place + 1 : place + window_size + 1]
        couples += [[word, other] for part in near for other in part if other]
    positive, negative = ([0, 1], [1, 0]) if categorical else (1, 0)
    labels: list[Any] = [positive] * len(couples)
    if negative_samples > 0:
        count = int(len(couples) * negative_samples)
        words = _shuffled([couple[0] for couple in couples])
        others = _integers(1, vocabulary_size - 1, count)
        couples += [[word, other] for word, other in zip(itertools.cycle(words), others, strict=False)]
        labels += [negative] * count
    if categorical:
        labels = [list(label) for label in labels]
    if shuffle:
        random.seed(random.randint(0, 10_000_000) if seed is None else seed)
        order = _shuffled(list(range(len(couples))))
        couples, labels = [couples[place] for place in order], [labels[place] for place in order]
    return couples, labels


def _shuffled(items):
    """What random.shuffle(items) makes of a list, in half of its time."""
    draw = random.getrandbits
    for last in range(len(items) - 1, 0, -1):
        bits = (last + 1).bit_length()
        while (other := draw(bits)) > last:
            pass
        items[last], items[other] = items[other], items[last]
    return items


def _integers(low, high, count):
    """`count` draws of random.randint(low, high), the same numbers in a third of the time."""
    if count and high < low:
        raise ValueError(f"skipgrams: there is no word to draw from: vocabulary_size={high + 1}.")
    width, bits = high - low + 1, (high - low + 1).bit_length()
    draws = (low + draw for draw in map(random.getrandbits, itertools.repeat(bits)) if draw < width)
    return list(itertools.islice(draws, count))


def _remove_long_seq(maxlen: int, seq: Iterable[Any], label: Iterable[Any]) -> tuple[list, list]:
    """The sequences shorter than `maxlen`, and their labels. (Keras's name, which scripts import.)"""
    kept = [(x, y) for x, y in zip(seq, label, strict=True) if len(x) < maxlen]
    return [x for x, _ in kept], [y for _, y in kept]


# ----------------------------------------------------------------------------------------------------- time series


class TimeseriesGenerator(enqueuers.Sequence):
    """Windows of a time series and what comes next, as a `Sequence` of batches.

    Example number `i` is `data[i - length : i : sampling_rate]` with the target `targets[i]`.

    Arguments:
        data: the series, time first: an array, a list, or what can be sliced as one.
        targets: what belongs to each time of `data`.
        length: of a window, in times of `data`.
        sampling_rate: every how many times a window has a step.
        stride: every how many times a window is taken.
        start_index, end_index: the part of `data` to use, both included; None for its end.
        shuffle: whether examples are drawn, with repetitions, from numpy's global generator; else they come in order.
        reverse: whether the steps of a window are turned round.
        batch_size: how many windows make a batch.

    Raises:
        ValueError: if `data` and `targets` differ in length, or no whole window fits.

    Example:
        >>> batches = TimeseriesGenerator([[i] for i in range(10)], range(10), length=4, sampling_rate=2, batch_size=2)
        >>> inputs, targets = batches[0]
        >>> inputs[..., 0].tolist(), targets.tolist()
        ([[0, 2], [1, 3]], [4, 5])
    """

    def __init__(
        self, data: Any, targets: Any, length: int, sampling_rate: int = 1, stride: int = 1, start_index: int = 0,
        end_index: int | None = None, shuffle: bool = False, reverse: bool = False, batch_size: int = 128,
    ):  # fmt: skip
        if len(data) != len(targets):
            raise ValueError(
                f"TimeseriesGenerator: data has {len(data)} times and targets {len(targets)}; they must be as many."
            )
        for name, given in (("sampling_rate", sampling_rate), ("stride", stride), ("batch_size", batch_size)):
            if given < 1:
                raise ValueError(f"TimeseriesGenerator: {name} must be at least 1; got {given}.")
        self.data, self.targets, self.length = data, targets, length
        self.sampling_rate, self.stride = sampling_rate, stride
        self.start_index = start_index + length  # the first target, as in Keras
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"TimeseriesGenerator: `start_index+length={self.start_index} > end_index={self.end_index}` is "
                "disallowed, as no time would be left to be a target."
            )
        if self.end_index >= len(data):
            raise ValueError(f"TimeseriesGenerator: end_index={end_index}, and data has {len(data)} times.")

    def __len__(self):
        span = self.batch_size * self.stride
        return (self.end_index - self.start_index + span) // span

    def __getitem__(self, index):
        if self.shuffle:
            rows = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            rows = np.arange(first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride)
        windows = np.array([self.data[row - self.length : row : self.sampling_rate] for row in rows])
        targets = np.array([self.targets[row] for row in rows])
        return (windows[:, ::-1] if self.reverse else windows), targets

    def get_config(self) -> dict:
        """The arguments, data and targets as JSON; `start_index` is, as in Keras, that of the first target.

        Raises:
            TypeError: if data or targets cannot be written as JSON.
        """
        names = ["length", "sampling_rate", "stride", "start_index", "end_index", "shuffle", "reverse", "batch_size"]
        return {
            "data": _as_json("data", self.data),
            "targets": _as_json("targets", self.targets),
            **{name: getattr(self, name) for name in names},
        }

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON, which `timeseries_generator_from_json` reads.

        Arguments:
            kwargs: for `json.dumps`.
        """
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def _as_json(name, values):
    try:
        return json.dumps(values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values)
    except TypeError as error:
        raise TypeError(f"TimeseriesGenerator: {name} cannot be written as JSON: {error}.") from None


def timeseries_generator_from_json(json_string: str) -> TimeseriesGenerator:
    """The generator that `to_json` described, here or in Keras.

    keras_preprocessing adds `length` to the start once more each time it reads one; this does not.

    Raises:
        LoadError: if the text is something else; a `ValueError`.
    """
    with at("JSON of a TimeseriesGenerator"):
        config = parsed_json(json_string)["config"]
        config["data"], config["targets"] = parsed_json(config["data"]), parsed_json(config["targets"])
        config["start_index"] -= config["length"]
        return TimeseriesGenerator(**config)
