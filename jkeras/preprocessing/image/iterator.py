"""Batches of images, as a `Sequence` and as a stream without end.

Batch number `i` of the stream is drawn from numpy's global generator, seeded, where a seed was given, with `seed + i`.
So do `iterator[i]` in the first epoch, `iterator[i]` in the next with `len(iterator) + i`, and so on: what a batch is
depends neither on who asks first nor on how many workers there are.
"""

import contextlib
import itertools
import os
import threading
import warnings
from collections.abc import Iterator as IteratorType
from typing import Any

import numpy as np

from jkeras import config
from jkeras.data import enqueuers
from jkeras.preprocessing.image.files import ENDINGS, array_to_img
from jkeras.typing import DType, Layout, PathLike, Seed

__all__ = ["ImageIterator", "Iterator", "NumpyArrayIterator", "check_images", "turn", "turn_over", "working_dtype"]


_lock = threading.RLock()
_mine = threading.local()


def _renew():
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # who holds the lock does not exist in the copy
    os.register_at_fork(after_in_child=_renew)


@contextlib.contextmanager
def turn():
    """A block in which numpy's global generator is for this thread alone, to its end or until `turn_over()`."""
    before = getattr(_mine, "block", None)
    with contextlib.ExitStack() as block:
        block.enter_context(_lock)
        _mine.block = block
        try:
            yield
        finally:
            _mine.block = before


def turn_over() -> None:
    """This thread draws no more: the rest of its `turn` may run beside others."""
    block = getattr(_mine, "block", None)
    if block is not None:
        block.close()


class Iterator(enqueuers.Sequence):
    """The base of iterators over images: which examples make a batch, in which order.

    A subclass defines `_get_batches_of_transformed_samples(index_array)`, from the places of examples to a batch.

    Arguments:
        n: how many examples there are.
        batch_size: how many make a batch.
        shuffle: whether each epoch has an order of its own.
        seed: of order and transformations; None to draw from numpy's global generator as it is, which no worker
            thread or process repeats.
    """

    white_list_formats = ENDINGS

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: Seed):
        if batch_size < 1:
            raise ValueError(f"{type(self).__name__}: batch_size must be at least 1; got {batch_size}.")
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.batch_index = self.total_batches_seen = self.epochs_seen = 0
        self.index_array: Any = None
        self._start()

    def _start(self):
        # Keras's names; classes derived from this one use them.
        self.lock = threading.Lock()
        self.index_generator = map(self._next_index_array, itertools.repeat(None))

    def __getstate__(self):
        with turn():
            if self.index_array is None:  # all copies must have the same order
                self._seed_for(self.epochs_seen * len(self))
                self._set_index_array()
        return {name: value for name, value in self.__dict__.items() if name not in ("lock", "index_generator")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._start()

    def _set_index_array(self):
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _seed_for(self, number):
        if self.seed is not None:
            np.random.seed(self.seed + number)

    def __len__(self):
        return -(-self.n // self.batch_size)

    def __getitem__(self, idx):
        if not 0 <= idx < len(self):
            raise ValueError(f"{type(self).__name__}: batch {idx} was asked for, and there are {len(self)}.")
        with turn():
            first = self.epochs_seen * len(self)
            if self.index_array is None or (idx == 0 and self.seed is not None):
                self._seed_for(first)
                self._set_index_array()
            if idx > 0:
                self._seed_for(first + idx)  # batch 0 goes on from where its epoch's order was drawn
            self.total_batches_seen += 1
            return self._get_batches_of_transformed_samples(self._rows(idx))

    def on_epoch_end(self):
        self.epochs_seen += 1
        with turn():
            self._seed_for(self.epochs_seen * len(self))
            self._set_index_array()

    def reset(self) -> None:
        """Begin the stream's current epoch again, with an order of its own."""
        self.batch_index = 0

    def _next_index_array(self, _):
        if not self.n:
            raise ValueError(f"{type(self).__name__}: there are no examples.")
        self._seed_for(self.total_batches_seen)
        if self.batch_index == 0:
            self._set_index_array()
        number = self.batch_index
        self.batch_index = (number + 1) % len(self)
        self.total_batches_seen += 1
        return self._rows(number)

    def _rows(self, number):
        return self.index_array[self.batch_size * number : self.batch_size * (number + 1)]

    def __iter__(self) -> IteratorType:
        """The stream: this object, which has no end."""
        return self

    def __next__(self):
        return self.next()

    def next(self):
        """The next batch of the stream."""
        with turn():
            with self.lock:
                index_array = next(self.index_generator)
            return self._get_batches_of_transformed_samples(index_array)

    def _get_batches_of_transformed_samples(self, index_array):
        raise NotImplementedError(f"{type(self).__name__} must define _get_batches_of_transformed_samples.")


class ImageIterator(Iterator):
    """What iterators over arrays and over files share: batches of transformed images, and copies of them in files.

    A subclass defines `_image(index)` and `_with_targets(batch, index_array)`, and sets `image_data_generator`,
    `image_shape`, `data_format`, `dtype`, `save_to_dir`, `save_prefix` and `save_format`.
    """

    image_data_generator: Any
    image_shape: tuple
    data_format: str
    dtype: Any
    save_to_dir: PathLike | None
    save_prefix: str
    save_format: str
    #: The names of copies end with a number below this.
    name_numbers: int

    def _image(self, index):
        raise NotImplementedError

    def _with_targets(self, batch, index_array):
        raise NotImplementedError

    def _get_batches_of_transformed_samples(self, index_array):
        generator, count, names = self.image_data_generator, len(index_array), None
        if generator is None:
            draws = itertools.repeat(None, count)
        else:
            draws = map(generator.get_random_transform, itertools.repeat(self.image_shape, count))
        if generator is None or generator.draws_first():
            # Everything random is drawn; the work may go on in several threads.
            draws, names = list(draws), self._names(index_array)
            turn_over()
        elif self.seed is None:
            turn_over()
        batch = np.empty((count, *self.image_shape), self.dtype)
        for place, (index, draw) in enumerate(zip(index_array, draws, strict=True)):
            image = self._image(index)
            if generator is not None:
                image = generator.standardize(generator.apply_transform(image, draw))
            batch[place] = image
        for name, image in zip(self._names(index_array) if names is None else names, batch, strict=False):
            array_to_img(image, self.data_format).save(name)
        return self._with_targets(batch, index_array)

    def _names(self, index_array):
        """Where to put copies of the images; nowhere without `save_to_dir`."""
        if not self.save_to_dir:
            return []
        return [
            os.path.join(
                self.save_to_dir,
                f"{self.save_prefix}_{index}_{np.random.randint(self.name_numbers)}.{self.save_format}",
            )
            for index in index_array
        ]


def working_dtype(dtype: Any) -> np.dtype:
    """The type in which images are transformed that are wanted as `dtype`."""
    dtype = np.dtype(dtype)
    return dtype if dtype.kind == "f" else np.dtype("float32")


class NumpyArrayIterator(ImageIterator):
    """Batches of the images of an array, transformed, with their targets and weights.

    Arguments:
        x: images, of rank 4; or a pair of them and one or several other arrays, which are handed on as they are.
        y: targets; None for batches without.
        image_data_generator: an `ImageDataGenerator`.
        batch_size, shuffle, seed: see `Iterator`.
        sample_weight: of each example. With `subset` they are cut like `x` (in Keras they are not).
        data_format: where the channels are.
        save_to_dir, save_prefix, save_format: a folder in which a copy of each batch is put, how the names of the
            files begin, and their format.
        subset: 'training' or 'validation', by the generator's `validation_split`; the first part is for validation.
        dtype: of the batches; None for `floatx`.

    Raises:
        ValueError: if the lengths differ, the rank is not 4, there is no such subset, or one of the two subsets lacks
            targets that the other has.
    """

    name_numbers = 10_000

    def __init__(
        self, x: Any, y: Any, image_data_generator: Any, batch_size: int = 32, shuffle: bool = False,
        sample_weight: Any = None, seed: Seed = None, data_format: Layout = None, save_to_dir: PathLike | None = None,
        save_prefix: str = "", save_format: str = "png", subset: str | None = None, dtype: DType = None,
    ):  # fmt: skip
        x_misc = []
        if isinstance(x, (tuple, list)):
            if len(x) != 2:
                raise ValueError(f"NumpyArrayIterator: `x` is an array, or a pair (array, others); got {len(x)} items.")
            x, others = x
            x_misc = [np.asarray(other) for other in (others if isinstance(others, list) else [others])]
        for name, given in (("`y` (labels)", y), ("`sample_weight`", sample_weight)):
            if given is not None and len(given) != len(x):
                raise ValueError(
                    f"`x` (images tensor) and {name} should have the same length; got {len(x)} and {len(given)}."
                )
        if any(len(other) != len(x) for other in x_misc):
            raise ValueError(
                f"All of the arrays in `x` should have the same length; got {[len(each) for each in (x, *x_misc)]}."
            )
        part = slice(None) if subset is None else _subset(subset, image_data_generator, len(x), y)
        self.x = np.asarray(x[part] if subset is not None else x)
        self.x_misc = [other[part] for other in x_misc]
        self.y = None if y is None else np.asarray(y)[part]
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)[part]
        self.data_format = config.data_format(data_format)
        check_images("NumpyArrayIterator", self.x.shape, self.data_format)
        self.dtype = config.floatx() if dtype is None else dtype
        self.image_data_generator, self.image_shape = image_data_generator, self.x.shape[1:]
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _image(self, index):
        return self.x[index].astype(working_dtype(self.dtype))

    def _with_targets(self, batch, index_array):
        inputs = [batch, *(other[index_array] for other in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return inputs
        targets = self.y[index_array]
        if self.sample_weight is None:
            return inputs, targets
        return inputs, targets, self.sample_weight[index_array]


def _subset(subset, generator, count, y):
    """The rows of a subset."""
    if subset not in ("training", "validation"):
        raise ValueError(f"subset must be 'training' or 'validation'; got {subset!r}.")
    border = int(count * generator.validation_split)
    if y is not None and not np.array_equal(np.unique(y[:border]), np.unique(y[border:])):
        raise ValueError(
            "Training and validation subsets do not have the same targets: one class, or more, is only in one of them. "
            "If the data are sorted by class, shuffle them first."
        )
    return slice(border) if subset == "validation" else slice(border, None)


def check_images(what: str, shape: tuple, data_format: str) -> None:
    """Raise unless `shape` is that of a batch of images; warn if these have an odd number of channels."""
    if len(shape) != 4:
        raise ValueError(f"{what}: images of rank 4 were expected, one row for each; got the shape {shape}.")
    channels = shape[3 if data_format == "channels_last" else 1]
    if channels not in (1, 3, 4):
        warnings.warn(
            f"{what}: images have 1, 3 or 4 channels; these, of shape {shape}, have {channels} ({data_format}).",
            stacklevel=4,
        )
