"""Laws that hold of any data: hypothesis looks for those that break them."""

import functools

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jkeras.data import arrays
from jkeras.preprocessing.image import ImageDataGenerator, array_to_img, img_to_array
from jkeras.preprocessing.sequence import TimeseriesGenerator, pad_sequences
from jkeras.preprocessing.text import Tokenizer, tokenizer_from_json
from jkeras.utils import OrderedEnqueuer

SIDES = st.sampled_from(["pre", "post"])
LAYOUTS = st.sampled_from(["channels_last", "channels_first"])
NUMBERS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), max_size=6)
# Words of any script, in lower case and without what the filter takes for a separator.
WORDS = st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=4).filter(lambda w: w == w.lower())
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=8)


def law(*strategies, examples=50, **named):
    """A test of so many draws, the same in each run."""
    chosen = settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    return lambda test: chosen(given(*strategies, **named)(test))


def images(count, side=5, layout="channels_last"):
    drawn = np.random.RandomState(count * side).randint(0, 256, (count, side, side + 1, 3)).astype("float32")
    return drawn.transpose(0, 3, 1, 2) if layout == "channels_first" else drawn


# ------------------------------------------------------------------------------------------------------ sequences


@law(NUMBERS, st.none() | st.integers(0, 8), SIDES, SIDES, st.integers(-5, 5))
def test_padding_keeps_one_end(rows, maxlen, padding, truncating, value):
    found = pad_sequences(rows, maxlen, padding=padding, truncating=truncating, value=value)
    width = max(map(len, rows), default=0) if maxlen is None else maxlen
    assert found.shape == (len(rows), width)
    for row, given_row in zip(found.tolist(), rows, strict=True):
        kept = given_row[max(len(given_row) - width, 0) :] if truncating == "pre" else given_row[:width]
        rest = [value] * (width - len(kept))
        assert row == (rest + kept if padding == "pre" else kept + rest)


@law(NUMBERS, st.integers(1, 8), SIDES)
def test_padding_twice_is_padding_once(rows, maxlen, side):
    once = pad_sequences(rows, maxlen, padding=side, truncating=side)
    np.testing.assert_array_equal(pad_sequences(once, maxlen, padding=side, truncating=side), once)


@law(st.integers(2, 30), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5))
def test_windows_come_before_their_targets(times, length, rate, stride, size):
    assume(length < times)
    batches = TimeseriesGenerator(np.arange(times), np.arange(times), length, rate, stride, batch_size=size)
    windows = [(x.tolist(), y) for inputs, targets in batches for x, y in zip(inputs, targets, strict=True)]
    assert [y for _, y in windows] == list(range(length, times, stride))
    assert all(x == list(range(y - length, y, rate)) for x, y in windows)


# ---------------------------------------------------------------------------------------------------------- texts


@law(TEXTS, st.sampled_from([None, "<oov>"]))
def test_texts_come_back(texts, oov_token):
    tokenizer = Tokenizer(oov_token=oov_token)
    tokenizer.fit_on_texts(texts)
    sequences = tokenizer.texts_to_sequences(texts)
    assert tokenizer.sequences_to_texts(sequences) == texts
    again = tokenizer_from_json(tokenizer.to_json())
    assert again.texts_to_sequences(texts) == sequences and again.word_counts == tokenizer.word_counts
    assert sum(map(len, sequences)) == sum(tokenizer.word_counts.values())


@law(TEXTS, TEXTS)
def test_learning_in_parts_is_learning_at_once(first, second):
    parts, whole = Tokenizer(), Tokenizer()
    for texts in (first, second):
        parts.fit_on_texts(iter(texts))
    whole.fit_on_texts(first + second)
    assert parts.word_counts == whole.word_counts and parts.word_docs == whole.word_docs
    assert parts.word_index == whole.word_index and parts.document_count == whole.document_count


@law(TEXTS.filter(any))
def test_counts_and_shares_fit_together(texts):
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(texts)
    count, binary, freq = (tokenizer.texts_to_matrix(texts, mode) for mode in ("count", "binary", "freq"))
    np.testing.assert_array_equal(binary, count > 0)
    np.testing.assert_allclose(freq.sum(1), count.any(1))
    assert count.sum() == sum(tokenizer.word_counts.values()) and not count[:, 0].any()


# --------------------------------------------------------------------------------------------------------- images


@law(LAYOUTS, st.integers(1, 9), st.sampled_from(["flip_horizontal", "flip_vertical"]))
def test_flips_are_involutions(layout, side, flip):
    generator, x = ImageDataGenerator(data_format=layout), images(1, side, layout)[0]
    once = generator.apply_transform(x, {flip: True})
    np.testing.assert_array_equal(generator.apply_transform(once, {flip: True}), x)
    np.testing.assert_array_equal(np.sort(once, axis=None), np.sort(x, axis=None))


@law(
    LAYOUTS,
    st.integers(1, 9),
    st.sampled_from(["nearest", "constant", "reflect", "wrap"]),
    st.sets(st.sampled_from(["theta", "tx", "ty", "shear", "zx", "zy", "channel_shift_intensity", "flip_vertical"])),
)
def test_the_identity_is_the_identity(layout, side, fill_mode, names):
    neutral = {name: 1 if name in ("zx", "zy") else False if name == "flip_vertical" else 0 for name in names}
    x = images(1, side, layout)[0]
    generator = ImageDataGenerator(data_format=layout, fill_mode=fill_mode, cval=-1)
    np.testing.assert_array_equal(generator.apply_transform(x, neutral), x)


@law(LAYOUTS, st.integers(1, 9))
def test_images_come_back_from_pillow(layout, side):
    x = images(1, side, layout)[0]
    back = img_to_array(array_to_img(x, layout, scale=False), layout)
    np.testing.assert_array_equal(back, x)


@law(st.integers(1, 12), st.integers(1, 5), st.integers(0, 4), st.booleans(), st.integers(0, 3), examples=25)
def test_each_example_comes_once_per_epoch(count, size, workers, shuffle, seed):
    generator = ImageDataGenerator(rotation_range=30, horizontal_flip=True)
    flow = generator.flow(images(count), np.arange(count), size, shuffle, seed=seed)
    steps = len(flow)
    assert steps == -(-count // size)
    with OrderedEnqueuer(flow) as enqueuer:
        if workers:
            enqueuer.start(workers, 3)
        take = functools.partial(next, enqueuer.get() if workers else flow)
        for _ in range(2):
            seen = [number for _ in range(steps) for number in take()[1].tolist()]
            assert sorted(seen) == list(range(count)) and (shuffle or seen == sorted(seen))


# ----------------------------------------------------------------------------------------------------------- rows


@law(st.integers(0, 50), st.integers(1, 60))
def test_batches_are_the_rows_in_order(count, size):
    slices = arrays.batch_slices(count, size)
    assert [row for start, stop in slices for row in range(start, stop)] == list(range(count))
    assert all(stop - start == size for start, stop in slices[:-1])
