"""Texts made into numbers: words, their hashes, and a vocabulary learnt from a corpus."""

import collections
import functools
import hashlib
import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from jkeras.serialize.texts import parsed_json
from jkeras.serialize.trust import at

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

#: A text, or its tokens.
Text: TypeAlias = str | list[str]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(
    text: str, filters: str | Sequence[str] = _FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """The words of a text.

    Arguments:
        text: the text.
        filters: characters that part words, as `split` does.
        lower: whether to turn the text to lower case.
        split: what stands between words.

    Example:
        >>> text_to_word_sequence("Don't panic: it is only a text.")
        ["don't", 'panic', 'it', 'is', 'only', 'a', 'text']
    """
    if not isinstance(text, str):
        raise TypeError(f"A text was expected, and {type(text).__name__} was given: {text!r}.")
    if lower:
        text = text.lower()
    return list(filter(None, text.translate(_translation(tuple(filters), split)).split(split)))


@functools.lru_cache
def _translation(filters, split):
    return str.maketrans(dict.fromkeys(filters, split))


def one_hot(
    text: str, n: int, filters: str | Sequence[str] = _FILTERS, lower: bool = True, split: str = " "
) -> list[int]:
    """The words of a text as numbers from 1 to n - 1, by Python's `hash`, which differs from process to process.

    The arguments are those of `hashing_trick`.
    """
    return hashing_trick(text, n, hash, filters, lower, split)


def hashing_trick(
    text: str, n: int, hash_function: Callable[[str], int] | str | None = None,
    filters: str | Sequence[str] = _FILTERS, lower: bool = True, split: str = " ",
) -> list[int]:  # fmt: skip
    """The words of a text as numbers from 1 to n - 1, by a hash: two words may have the same number.

    Arguments:
        text: the text.
        n: one more than the largest number.
        hash_function: 'md5', which is the same everywhere; a function from word to integer; None for Python's `hash`,
            which differs from process to process.
        filters, lower, split: see `text_to_word_sequence`.

    Example:
        >>> hashing_trick("The fox and the dog", 100, "md5")
        [51, 11, 69, 51, 33]
    """
    if n < 2:
        raise ValueError(f"hashing_trick: n must be at least 2, as words have numbers from 1 to n - 1; got {n}.")
    function = hash if hash_function is None else _md5 if hash_function == "md5" else hash_function
    if not callable(function):
        raise ValueError(f"hashing_trick: hash_function must be 'md5', a function or None; got {hash_function!r}.")
    return [function(word) % (n - 1) + 1 for word in text_to_word_sequence(text, filters, lower, split)]


def _md5(word):
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


class Tokenizer:
    """A vocabulary learnt from texts, which turns texts into sequences of numbers or into rows of a matrix, and back.

    Words are numbered from 1 in the order of their frequency; 0 is no word.

    Arguments:
        num_words: sequences have only words with numbers below this; None for all.
        filters, lower, split: see `text_to_word_sequence`.
        char_level: whether each character is a token.
        oov_token: what stands for words that are not known or not frequent enough; it is word number 1. None leaves
            such words out.
        document_count: how many texts were seen before.

    Attributes:
        word_counts: word -> how often it was seen.
        word_docs: word -> in how many texts it was seen.
        word_index, index_word: word -> number, and number -> word.
        index_docs: number -> in how many texts its word was seen.
        document_count: how many texts were seen.

    Example:
        >>> tokenizer = Tokenizer(num_words=4)
        >>> tokenizer.fit_on_texts(["The fox saw the dog.", "The dog saw nothing."])
        >>> tokenizer.texts_to_sequences(["Nothing saw the dog!"])
        [[2, 1, 3]]
    """

    def __init__(
        self, num_words: int | None = None, filters: str | Sequence[str] = _FILTERS, lower: bool = True,
        split: str = " ", char_level: bool = False, oov_token: str | None = None, document_count: int = 0,
        **kwargs: Any,
    ):  # fmt: skip
        if "nb_words" in kwargs:
            warnings.warn("Tokenizer: `nb_words` is now called `num_words`.", stacklevel=2)
            num_words = kwargs.pop("nb_words")
        if kwargs:
            raise TypeError(f"Tokenizer: unknown arguments {sorted(kwargs)}.")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.document_count = char_level, oov_token, document_count
        self.word_counts: dict[str, int] = collections.OrderedDict()
        self.word_docs: dict[str, int] = collections.defaultdict(int)
        self.index_docs: dict[int, int] = collections.defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def _tokens(self, text):
        """A text as a sequence of tokens."""
        if isinstance(text, str):
            if not self.char_level:
                return text_to_word_sequence(text, self.filters, self.lower, self.split)
            return text.lower() if self.lower else text
        if not isinstance(text, (list, tuple)):
            raise TypeError(
                f"Tokenizer: each text must be a string or a list of tokens; got {type(text).__name__}: {text!r}."
            )
        try:
            return [token.lower() for token in text] if self.lower else text
        except AttributeError:
            raise TypeError(f"Tokenizer: with lower=True tokens must be strings; got {text!r}.") from None

    def fit_on_texts(self, texts: Iterable[Text]) -> None:
        """Learn the vocabulary, in addition to what is known already. If a text is none, nothing is learnt.

        Arguments:
            texts: strings or lists of tokens; a generator is read once, and nothing of it is kept.
        """
        counts, docs, seen = collections.Counter(), collections.Counter(), 0
        for text in texts:
            tokens = self._tokens(text)
            counts.update(tokens)
            docs.update(dict.fromkeys(tokens).keys())
            seen += 1
        self.document_count += seen
        for word, count in counts.items():
            self.word_counts[word] = self.word_counts.get(word, 0) + count
        for word, count in docs.items():
            self.word_docs[word] = self.word_docs.get(word, 0) + count
        ranked = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        words = ranked if self.oov_token is None else [self.oov_token, *ranked]
        self.word_index = {word: number for number, word in enumerate(words, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        self.index_docs.update((self.word_index[word], count) for word, count in self.word_docs.items())

    def fit_on_sequences(self, sequences: Sequence[Iterable[int]]) -> None:
        """Learn in how many texts words occur, from sequences of their numbers; mode 'tfidf' needs it."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for number in set(sequence):
                self.index_docs[number] = self.index_docs.get(number, 0) + 1

    def texts_to_sequences(self, texts: Iterable[Text]) -> list[list[int]]:
        """The numbers of the words of each text; see `oov_token` for those that have none."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Text]) -> Iterator[list[int]]:
        """As `texts_to_sequences`, one text at a time."""
        limit, oov = self._limit(), self._oov_number()
        number_of, beyond = self.word_index.get, itertools.repeat(limit)
        for text in texts:
            tokens = self._tokens(text)
            if oov is None:
                yield [number for number in map(number_of, tokens, beyond) if number < limit]
            else:
                yield [number if number < limit else oov for number in map(number_of, tokens, beyond)]

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words with the numbers of each sequence, with blanks between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """As `sequences_to_texts`, one sequence at a time."""
        limit, oov = self._limit(), self._oov_number()
        unknown = None if oov is None else self.index_word[oov]
        for sequence in sequences:
            words = [self.index_word.get(number, unknown) if number < limit else unknown for number in sequence]
            yield " ".join(word for word in words if word is not None)

    def _limit(self):
        """The first number that no word of a sequence has."""
        return self.num_words or sys.maxsize

    def _oov_number(self):
        return None if self.oov_token is None else self.word_index.get(self.oov_token)

    def texts_to_matrix(self, texts: Iterable[Text], mode: str = "binary") -> np.ndarray:
        """A row for each text; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Sequence[Sequence[int]], mode: str = "binary") -> np.ndarray:
        """A row for each sequence, with a column for each number.

        Arguments:
            sequences: the numbers of words.
            mode: 'binary': whether the word occurs; 'count': how often; 'freq': its share in the sequence; 'tfidf':
                (1 + log(count)) * log(1 + document_count / (1 + in how many texts)).

        Returns:
            float64 of shape (len(sequences), num_words).

        Raises:
            ValueError: if the number of columns or, for 'tfidf', of texts is not known, or there is no such mode.
        """
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"Tokenizer: mode must be 'binary', 'count', 'freq' or 'tfidf'; got {mode!r}.")
        if not self.num_words and not self.word_index:
            raise ValueError("Tokenizer: give `num_words`, or fit on some texts first: the matrix has no width yet.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Tokenizer: fit on some texts first: mode 'tfidf' needs to know in how many words occur.")
        width = self.num_words or len(self.word_index) + 1
        rarity = self._rarity(width) if mode == "tfidf" else None
        result = np.zeros((len(sequences), width))
        for row, sequence in zip(result, sequences, strict=True):
            known = [number for number in sequence if number < width]
            if known:
                numbers, counts = np.unique(known, return_counts=True)
                if mode == "freq":
                    counts = counts / len(sequence)
                elif rarity is not None:
                    counts = (1 + np.log(counts)) * rarity[numbers]
                row[numbers] = 1 if mode == "binary" else counts
        return result

    def _rarity(self, width):
        """For each number, how rare the texts are in which its word occurs."""
        texts = np.array([self.index_docs.get(number, 0) for number in range(width)])
        return np.log(1 + self.document_count / (1 + texts))

    def get_config(self) -> dict:
        """The arguments and what was learnt, the dicts as JSON."""
        plain = ["num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count"]
        learnt = ["word_counts", "word_docs", "index_docs", "index_word", "word_index"]
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: json.dumps(getattr(self, name)) for name in learnt},
        }

    def to_json(self, **kwargs: Any) -> str:
        """Arguments and vocabulary as JSON, which `tokenizer_from_json` and Keras read.

        Arguments:
            kwargs: for `json.dumps`.
        """
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The tokenizer that `to_json` described, here or in Keras.

    Raises:
        LoadError: if the text is something else; a `ValueError`.

    Example:
        >>> tokenizer = Tokenizer()
        >>> tokenizer.fit_on_texts(["one two", "two"])
        >>> tokenizer_from_json(tokenizer.to_json()).word_index
        {'two': 1, 'one': 2}
    """
    with at("JSON of a tokenizer"):
        config = parsed_json(json_string)["config"]
        learnt = {
            name: parsed_json(config.pop(name))
            for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        }
        tokenizer = Tokenizer(**config)
        tokenizer.word_counts.update(learnt["word_counts"])
        tokenizer.word_docs.update(learnt["word_docs"])
        tokenizer.word_index.update(learnt["word_index"])
        tokenizer.index_word.update((int(number), word) for number, word in learnt["index_word"].items())
        tokenizer.index_docs.update((int(number), count) for number, count in learnt["index_docs"].items())
        return tokenizer
