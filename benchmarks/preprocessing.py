"""Speed of preprocessing against keras_preprocessing 1.1.2, the newest there is.

    pip install --no-deps keras_preprocessing six
    python benchmarks/preprocessing.py [--rounds 7]

Both libraries work on the same data in one process, turn by turn; printed is, for each row, the fastest time of jkeras
and the median of the ratios within a round (above 1: jkeras is faster). The row `on device` is the compiled function of
`ImageDataGenerator.on_device` on JAX's default device, against `flow`.
"""

import argparse
import contextlib
import functools
import io
import os
import random
import statistics
import sys
import tempfile
import time
import types

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

OPTIONS = {
    "rotation_range": 20,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.2,
    "horizontal_flip": True,
}


def libraries():
    """The modules sequence, text and image of both."""
    from scipy import ndimage

    from jkeras import preprocessing

    # Names that numpy and scipy have dropped since keras_preprocessing was written.
    setattr(np, "unicode_", np.str_)  # noqa: B010
    ndimage.interpolation = types.SimpleNamespace(affine_transform=ndimage.affine_transform)
    import keras_preprocessing.image
    import keras_preprocessing.sequence
    import keras_preprocessing.text

    return {"jkeras": preprocessing, "keras_preprocessing": keras_preprocessing}


def corpus():
    """10,000 texts of 200 words, frequent and rare as in a language, and 25,000 sequences of 50 to 500 numbers."""
    stream = np.random.RandomState(0)
    words = ["".join(map(chr, stream.randint(97, 123, stream.randint(2, 10)))) for _ in range(20_000)]
    share = 1 / np.arange(1, 20_001)
    drawn = stream.choice(20_000, (10_000, 200), p=share / share.sum())
    texts = [" ".join(words[number] for number in row) + "." for row in drawn]
    return texts, [stream.randint(1, 20_000, stream.randint(50, 500)).tolist() for _ in range(25_000)]


def save_pictures(folder):
    """256 PNG files of 80 by 80 pixels in 2 folders."""
    from jkeras.preprocessing.image import save_img

    stream = np.random.RandomState(0)
    for number in range(256):
        os.makedirs(os.path.join(folder, str(number % 2)), exist_ok=True)
        picture = np.add.outer(stream.randint(0, 100, (80, 1)), stream.randint(0, 100, (80, 3)))[:, 0]
        save_img(os.path.join(folder, str(number % 2), f"{number}.png"), picture, scale=False)


def fit(library, texts):
    tokenizer = library.text.Tokenizer(num_words=10_000)
    tokenizer.fit_on_texts(texts)
    return tokenizer


def skip(library, words):
    random.seed(0)
    return library.sequence.skipgrams(words, 20_000)


def flow(library, size, count):
    images = np.random.RandomState(0).randint(0, 256, (2 * count, size, size, 3)).astype("uint8")
    return functools.partial(next, library.image.ImageDataGenerator(**OPTIONS).flow(images, batch_size=count, seed=0))


def folder_flow(library, folder, workers):
    """A function that reads an epoch."""
    from jkeras.utils import OrderedEnqueuer

    with contextlib.redirect_stdout(io.StringIO()):
        generator = library.image.ImageDataGenerator(**OPTIONS)
        batches = generator.flow_from_directory(folder, (64, 64), batch_size=16, seed=0)

    def epoch():
        with OrderedEnqueuer(batches, limit=len(batches)) as enqueuer:
            enqueuer.start(workers)
            for _ in zip(range(len(batches)), enqueuer.get(), strict=False):
                pass

    return epoch


def on_device(libraries, size=32, count=128):
    """The compiled function, against a batch of `flow`."""
    import jax

    images = jax.device_put(np.random.RandomState(0).randint(0, 256, (count, size, size, 3)).astype("uint8"))
    augment = jax.jit(libraries["jkeras"].image.ImageDataGenerator(**OPTIONS).on_device())
    key = jax.random.key(0)
    return {
        "jkeras": lambda: augment(key, images).block_until_ready(),
        "keras_preprocessing": flow(libraries["keras_preprocessing"], size, count),
    }


def rows(libraries, folder):
    """name of the row -> name of the library -> what is timed."""
    texts, sequences = corpus()
    long = sum(sequences[:20], [])

    def each(make):
        return {name: make(library) for name, library in libraries.items()}

    return {
        "Tokenizer.fit_on_texts": each(lambda library: lambda: fit(library, texts)),
        "Tokenizer.texts_to_sequences": each(
            lambda library: functools.partial(fit(library, texts).texts_to_sequences, texts)
        ),
        "pad_sequences": each(lambda library: lambda: library.sequence.pad_sequences(sequences, 400)),
        "skipgrams": each(lambda library: lambda: skip(library, long)),
        "flow 32x32, batch 128": each(lambda library: flow(library, 32, 128)),
        "flow 224x224, batch 16": each(lambda library: flow(library, 224, 16)),
        "flow_from_directory, 1 worker": each(lambda library: folder_flow(library, folder, 1)),
        "flow_from_directory, 2 workers": each(lambda library: folder_flow(library, folder, 2)),
        "on device 32x32, batch 128": on_device(libraries),
    }


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        save_pictures(folder)
        for row, functions in rows(libraries(), folder).items():
            for function in functions.values():
                function()
            times = [{name: seconds(function) for name, function in functions.items()} for _ in range(rounds)]
            ratio = statistics.median(one["keras_preprocessing"] / one["jkeras"] for one in times)
            print(f"{row:32} {min(one['jkeras'] for one in times) * 1e3:9.1f} ms {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
