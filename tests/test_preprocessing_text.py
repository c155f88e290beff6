"""Sequences and texts made into arrays. Properties are tables of seeds."""

import json
import random
import tracemalloc

import numpy as np
import pytest

from jkeras.preprocessing import sequence
from jkeras.preprocessing.sequence import (
    TimeseriesGenerator,
    make_sampling_table,
    pad_sequences,
    skipgrams,
    timeseries_generator_from_json,
)
from jkeras.preprocessing.text import Tokenizer, hashing_trick, one_hot, text_to_word_sequence, tokenizer_from_json

SEEDS = range(8)


# --------------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [list, tuple, np.array])
@pytest.mark.parametrize("padding, truncating", [("pre", "pre"), ("pre", "post"), ("post", "pre"), ("post", "post")])
def test_rows_are_the_sequences_cut_and_filled_up(seed, kind, padding, truncating):
    stream = np.random.RandomState(seed)
    dtype = ["int32", "float32", "int64", "float64", "uint8", "float16", "bool", ">i4"][seed]
    shape = (2,) * (seed % 3)
    rows = [stream.randint(0, 200, (length, *shape)).tolist() for length in stream.randint(0, 6, 7)]
    maxlen = [None, 0, 1, 3, 9][seed % 5]
    found = pad_sequences([kind(row) for row in rows], maxlen, dtype, padding, truncating, value=1)
    width = max(map(len, rows)) if maxlen is None else maxlen
    assert found.dtype == dtype and found.shape == (7, width, *(shape if any(rows) else ()))
    for row, expected in zip(found, rows, strict=True):
        kept = (expected[max(0, len(expected) - width) :] if truncating == "pre" else expected)[:width]
        fill = [np.ones(shape).tolist()] * (width - len(kept))
        assert row.tolist() == np.array(fill + kept if padding == "pre" else kept + fill, dtype).tolist()


@pytest.mark.parametrize(
    "sequences, options, expected",
    [
        ([], {}, np.zeros((0, 0), "int32")),
        ([[], []], {}, np.zeros((2, 0), "int32")),
        ([[], []], {"maxlen": 1, "value": 7}, np.array([[7], [7]], "int32")),
        ([[1.9, -1.9]], {}, np.array([[1, -1]], "int32")),
        ([[True, 2]], {"dtype": "float32"}, np.array([[1, 2]], "float32")),
        ([[1e300]], {"dtype": "float32"}, np.array([[np.inf]], "float32")),
        ([np.array([1, 300])], {"dtype": "uint8"}, np.array([[1, 44]], "uint8")),
        ([["a"], ["b", "cd"]], {"dtype": object, "value": ""}, np.array([["", "a"], ["b", "cd"]], object)),
        ([["a"], ["b", "cd"]], {"dtype": "<U2", "value": "-"}, np.array([["-", "a"], ["b", "cd"]])),
        ([["1"], ["2", "3"]], {}, np.array([[0, 1], [2, 3]], "int32")),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_padding_of_odd_items(sequences, options, expected):
    np.testing.assert_array_equal(pad_sequences(sequences, **options), expected, strict=True)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (([[1], 2],), ValueError, "number 1 is no sequence: 2"),
        ((iter([[1]]),), ValueError, "a list of sequences was expected; got list_iterator"),
        (([[1]], None, "int32", "both"), ValueError, "padding must be 'pre' or 'post'; got 'both'"),
        (([[1]], None, "int32", "pre", "mid"), ValueError, "truncating must be 'pre' or 'post'; got 'mid'"),
        (([[1]], None, "int32", "pre", "pre", "x"), ValueError, "dtype int32 cannot hold value='x'"),
        (([[[1, 2]], [[3]]],), ValueError, r"number 1 have the shape \(1,\); those before have \(2,\)"),
        (([[1], [[3]]],), (ValueError, TypeError), "number 1|setting an array element|sequence"),
        (([["x"]],), ValueError, "sequence number 0 is not of dtype int32: invalid literal"),
        (([[1], [None]],), TypeError, "sequence number 1 is not of dtype int32"),
        (([[2**40]],), OverflowError, "sequence number 0 is not of dtype int32: .*(out of bounds|too large)"),
    ],
)
def test_padding_that_fails(arguments, error, message):
    with pytest.raises(error, match=message):
        pad_sequences(*arguments)


# ------------------------------------------------------------------------------------------------------ skip-grams


def skipgrams_in_words(words, size, window, negative, table, seed):
    """What `skipgrams` says, without its short cuts."""
    couples = []
    for i, word in enumerate(words):
        if not word or (table is not None and table[word] < random.random()):
            continue
        for j in range(max(0, i - window), min(len(words), i + window + 1)):
            if j != i and words[j]:
                couples.append([word, words[j]])
    labels = [1] * len(couples)
    drawn = [couple[0] for couple in couples]
    count = int(len(labels) * negative)
    if negative > 0:
        random.shuffle(drawn)
        couples += [[drawn[i % len(drawn)], random.randint(1, size - 1)] for i in range(count)]
        labels += [0] * count
    seed = random.randint(0, 10_000_000) if seed is None else seed
    for values in (couples, labels):
        random.seed(seed)
        random.shuffle(values)
    return couples, labels, random.random()


@pytest.mark.parametrize("seed", SEEDS)
def test_skipgrams_are_drawn_as_by_the_standard_library(seed):
    stream = random.Random(seed)
    words = [stream.randint(0, 9) for _ in range(stream.choice([0, 1, 5, 60]))]
    table = make_sampling_table(10, 0.1) if seed % 2 else None
    options = stream.choice([1, 3, 99]), stream.choice([0, 0.7, 2.0]), table, stream.choice([None, 5])
    random.seed(seed)
    expected = skipgrams_in_words(words, 10, *options)
    for kind in (list, np.array):
        for categorical in (False, True):
            random.seed(seed)
            window, negative, table, seed_given = options
            couples, labels = skipgrams(
                kind(words), 10, window, negative, categorical=categorical, sampling_table=table, seed=seed_given
            )
            assert (couples, [label[1] if categorical else label for label in labels]) == expected[:2]
            assert random.random() == expected[2]


def test_skipgrams_without_words_to_draw():
    with pytest.raises(ValueError, match="vocabulary_size=1"):
        skipgrams([1, 2], 1)


def test_sampling_tables_grow_to_one():
    table = make_sampling_table(1000, 1e-3)
    assert table.shape == (1000,) and np.all(np.diff(table) >= 0) and 0 < table[0] == table[1] and table[-1] == 1
    assert make_sampling_table(0).shape == (0,)


# ----------------------------------------------------------------------------------------------------- time series


@pytest.mark.parametrize("seed", SEEDS)
def test_windows_of_a_time_series(seed):
    stream = np.random.RandomState(seed)
    data, targets = stream.rand(30, 2), stream.rand(30)
    length, rate, stride, size = (int(stream.randint(1, high)) for high in (9, 4, 4, 6))
    start, end, reverse = int(stream.randint(5)), [None, 25][seed % 2], bool(seed % 3)
    batches = TimeseriesGenerator(data, targets, length, rate, stride, start, end, reverse=reverse, batch_size=size)
    rows = range(start + length, (29 if end is None else end) + 1, stride)
    found = [batches[number] for number in range(len(batches))]
    assert len(found) == -(-len(rows) // size)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), targets[list(rows)])
    expected = [data[row - length : row : rate][:: -1 if reverse else 1] for row in rows]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), expected)
    back = timeseries_generator_from_json(batches.to_json(sort_keys=True))
    assert back.get_config() == batches.get_config()
    for batch, expected in zip(back, found, strict=True):
        np.testing.assert_allclose(batch[0], expected[0])
        np.testing.assert_allclose(batch[1], expected[1])


def test_drawn_windows_come_from_numpys_generator():
    batches = TimeseriesGenerator(np.arange(20), np.arange(20), 3, shuffle=True, batch_size=4)
    np.random.seed(3)
    inputs, targets = batches[0]
    assert targets.tolist() == np.random.RandomState(3).randint(3, 20, 4).tolist()
    np.testing.assert_array_equal(inputs, targets[:, None] + [-3, -2, -1])


@pytest.mark.parametrize(
    "arguments, options, error, message",
    [
        (([1, 2], [1], 1), {}, ValueError, "data has 2 times and targets 1"),
        (([1, 2], [1, 2], 2), {}, ValueError, "start_index.length=2 > end_index=1. is disallowed"),
        (([1, 2], [1, 2], 1), {"end_index": 2}, ValueError, "end_index=2, and data has 2 times"),
        (([1, 2], [1, 2], 1), {"stride": 0}, ValueError, "stride must be at least 1; got 0"),
        (([1, 2], [1, 2], 1), {"batch_size": -1}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_time_series_that_fail(arguments, options, error, message):
    with pytest.raises(error, match=message):
        TimeseriesGenerator(*arguments, **options)


def test_a_time_series_that_is_no_json():
    with pytest.raises(TypeError, match="data cannot be written as JSON"):
        TimeseriesGenerator([object()] * 3, [1] * 3, 1).to_json()


# ------------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    "text, options, expected",
    [
        ("", {}, []),
        (" \t\n.,!", {}, []),
        ("It's a FOX; a dog\tand--a cat", {}, ["it's", "a", "fox", "a", "dog", "and", "a", "cat"]),
        ("A b", {"lower": False}, ["A", "b"]),
        ("a b,c", {"split": ","}, ["a b", "c"]),
        ("a::b:c", {"split": "::", "filters": ""}, ["a", "b:c"]),
        ("xaxbx", {"filters": ["x"]}, ["a", "b"]),
        ("Ünïcode, STRASSE! İ 日本。語 \U0001f600", {}, ["ünïcode", "strasse", "i̇", "日本。語", "\U0001f600"]),
        ("a\xa0b\u2003c", {}, ["a\xa0b\u2003c"]),
    ],
)
def test_words(text, options, expected):
    assert text_to_word_sequence(text, **options) == expected


def test_hashes():
    assert hashing_trick("the fox the dog", 20, "md5") == [17, 5, 17, 17]
    assert hashing_trick("a bb ccc", 3, len) == [2, 1, 2]
    words = [f"w{number}" for number in range(200)]
    numbers = one_hot(" ".join(words), 7)
    assert set(numbers) == set(range(1, 7)) and numbers == [hash(word) % 6 + 1 for word in words]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: hashing_trick("a", 1), ValueError, "n must be at least 2"),
        (lambda: hashing_trick("a", 9, "sha1"), ValueError, "hash_function must be 'md5'"),
        (lambda: text_to_word_sequence(None), TypeError, "A text was expected, and NoneType was given"),
        (lambda: text_to_word_sequence(b"a"), TypeError, "bytes"),
        (lambda: Tokenizer(words=3), TypeError, r"unknown arguments \['words'\]"),
        (
            lambda: Tokenizer().fit_on_texts(["a", float("nan")]),
            TypeError,
            "string or a list of tokens; got float: nan",
        ),
        (lambda: Tokenizer(char_level=True).fit_on_texts([3]), TypeError, "got int: 3"),
        (lambda: Tokenizer().fit_on_texts([["a", 1]]), TypeError, "tokens must be strings"),
        (lambda: Tokenizer().texts_to_sequences([None]), TypeError, "got NoneType"),
        (lambda: Tokenizer().sequences_to_matrix([[1]]), ValueError, "no width yet"),
        (lambda: Tokenizer(3).sequences_to_matrix([[1]], "tfidf"), ValueError, "fit on some texts first"),
        (lambda: Tokenizer(3).sequences_to_matrix([[1]], "sum"), ValueError, "mode must be .*; got 'sum'"),
        (lambda: Tokenizer(3).sequences_to_matrix([[0.5]], "count"), IndexError, "integer"),
    ],
)
def test_texts_that_fail(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_old_name_of_num_words():
    with pytest.warns(UserWarning, match="now called `num_words`"):
        assert Tokenizer(nb_words=3).num_words == 3


# -------------------------------------------------------------------------------------------------------- tokenizer


def corpus(seed):
    """Texts of made-up words, some of them empty."""
    stream = random.Random(seed)
    words = ["".join(stream.choices("abcdeé", k=stream.randint(1, 4))) for _ in range(30)]
    return [" ".join(stream.choices(words, k=stream.randint(0, 12))) for _ in range(20)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("oov_token", [None, "<oov>"])
def test_texts_come_back_from_their_sequences(seed, oov_token):
    texts = corpus(seed)
    tokenizer = Tokenizer(oov_token=oov_token, filters="")
    tokenizer.fit_on_texts(texts)
    assert tokenizer.sequences_to_texts(tokenizer.texts_to_sequences(texts)) == texts
    words = [word for text in texts for word in text.split()]
    counts = [words.count(tokenizer.index_word[number]) for number in range(1 + bool(oov_token), len(set(words)) + 1)]
    assert counts == sorted(counts, reverse=True) and sum(tokenizer.word_counts.values()) == len(words)
    assert tokenizer.document_count == len(texts)
    for word, number in tokenizer.word_index.items():
        assert tokenizer.index_word[number] == word
        assert tokenizer.index_docs.get(number, 0) == sum(word in text.split() for text in texts)


@pytest.mark.parametrize("seed", SEEDS)
def test_rare_and_unknown_words(seed):
    texts = corpus(seed)
    whole, few, marked = Tokenizer(), Tokenizer(num_words=8), Tokenizer(num_words=8, oov_token="?")
    for tokenizer in (whole, few, marked):
        tokenizer.fit_on_texts(texts)
    assert whole.word_index == few.word_index
    asked = [*texts, "never seen", ""]
    for all_words, frequent, with_mark in zip(
        *(tokenizer.texts_to_sequences(asked) for tokenizer in (whole, few, marked)), strict=True
    ):
        assert frequent == [number for number in all_words if number < 8]
        known = [number + 1 if number < 7 else 1 for number in all_words]
        assert with_mark == known or (with_mark, known) == ([1, 1], [])


@pytest.mark.parametrize("seed", SEEDS)
def test_matrices(seed):
    texts = corpus(seed)
    tokenizer = Tokenizer(num_words=[None, 6][seed % 2])
    tokenizer.fit_on_texts(texts)
    sequences = tokenizer.texts_to_sequences(texts) + [[500, 1]]
    width = tokenizer.num_words or len(tokenizer.word_index) + 1
    count = np.array([[row.count(number) for number in range(width)] for row in sequences], float)
    lengths = np.array([[max(1, len(row))] for row in sequences])
    texts_with = np.array([tokenizer.index_docs.get(number, 0) for number in range(width)])
    with np.errstate(divide="ignore"):
        tfidf = np.where(count > 0, 1 + np.log(count), 0) * np.log(1 + len(texts) / (1 + texts_with))
    expected = {"binary": count > 0, "count": count, "freq": count / lengths, "tfidf": tfidf}
    for mode, matrix in expected.items():
        np.testing.assert_allclose(tokenizer.sequences_to_matrix(sequences, mode), matrix, rtol=1e-15)
    np.testing.assert_array_equal(tokenizer.texts_to_matrix(texts), expected["binary"][:-1])


def test_characters_tokens_and_case():
    tokenizer = Tokenizer(char_level=True, lower=False)
    tokenizer.fit_on_texts(["aAb", "a"])
    assert tokenizer.texts_to_sequences(["Aba!"]) == [[2, 3, 1]]
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts([["New York", "is"], ("is",), "is new"])
    assert tokenizer.word_index == {"is": 1, "new york": 2, "new": 3}
    assert tokenizer.texts_to_sequences([["NEW YORK"], "new york"]) == [[2], [3]]


def test_learning_goes_on():
    once, twice = Tokenizer(), Tokenizer()
    once.fit_on_texts(corpus(0) + corpus(1))
    twice.fit_on_texts(corpus(0))
    twice.fit_on_texts(corpus(1))
    assert once.word_index == twice.word_index and once.word_docs == twice.word_docs


def test_sequences_tell_how_rare_words_are():
    tokenizer = Tokenizer(num_words=4)
    tokenizer.fit_on_sequences([[1, 2, 2], [1], [3]])
    assert tokenizer.document_count == 3 and dict(tokenizer.index_docs) == {1: 2, 2: 1, 3: 1}
    np.testing.assert_allclose(
        tokenizer.sequences_to_matrix([[2, 2]], "tfidf"), [[0, 0, (1 + np.log(2)) * np.log(1 + 3 / 2), 0]]
    )


def test_nothing_is_learnt_from_texts_of_which_one_is_none():
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(["a b"])
    before = tokenizer.to_json()
    with pytest.raises(TypeError):
        tokenizer.fit_on_texts(["c", None])
    assert tokenizer.to_json() == before


@pytest.mark.parametrize("seed", SEEDS)
def test_tokenizers_as_json(seed):
    tokenizer = Tokenizer(num_words=seed or None, oov_token=[None, "?"][seed % 2], char_level=seed > 5)
    tokenizer.fit_on_texts(corpus(seed))
    back = tokenizer_from_json(tokenizer.to_json(indent=1))
    assert back.get_config() == tokenizer.get_config()
    assert back.texts_to_sequences(corpus(seed)) == tokenizer.texts_to_sequences(corpus(seed))
    back.fit_on_texts(corpus(seed + 1))
    tokenizer.fit_on_texts(corpus(seed + 1))
    assert back.word_index == tokenizer.word_index


def test_the_json_is_keras_s():
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(["b a b"])
    config = json.loads(tokenizer.to_json())
    assert config["class_name"] == "Tokenizer"
    assert json.loads(config["config"]["index_docs"]) == {"1": 1, "2": 1}
    assert json.loads(config["config"]["word_index"]) == {"b": 1, "a": 2}


def test_a_big_corpus_is_read_in_little_memory():
    def texts(count):
        for number in range(count):
            yield " ".join(str(number * 7 % 97 + place) for place in range(100))

    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(texts(10))
    tracemalloc.start()
    try:
        tokenizer.fit_on_texts(texts(3000))  # 1.2 MB of text
        total = sum(map(len, tokenizer.texts_to_sequences_generator(texts(3000))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 300_000 and peak < 300_000


def test_long_sequences_are_left_out():
    # Keras's name, which data sets in the wild import.
    assert sequence._remove_long_seq(3, [[1], [1, 2, 3]], "ab") == ([[1]], ["a"])
