"""Batches of images read from files: by folders that are classes, or by a table of names."""

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.preprocessing.image.files import ENDINGS, img_to_array, load_img
from jkeras.preprocessing.image.iterator import ImageIterator, working_dtype
from jkeras.typing import DType, Layout, PathLike, Seed

__all__ = ["DataFrameIterator", "DirectoryIterator"]

_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}


class _FileIterator(ImageIterator):
    """Batches of the images in the files `filepaths`, with targets by `class_mode` from `labels`."""

    name_numbers = 10_000_000
    class_mode: str | None
    class_indices: dict
    filenames: list

    def set_processing_attrs(
        self, image_data_generator: Any, target_size: Sequence[int], color_mode: str, data_format: Layout,
        save_to_dir: PathLike | None, save_prefix: str, save_format: str, subset: str | None, interpolation: str,
    ) -> None:  # fmt: skip
        """Check and keep what says how files become a batch; see `DirectoryIterator`."""
        if color_mode not in _CHANNELS:
            raise ValueError(f"color_mode must be 'rgb', 'rgba' or 'grayscale'; got {color_mode!r}.")
        self.image_data_generator, self.color_mode, self.interpolation = image_data_generator, color_mode, interpolation
        self.target_size = tuple(target_size) if np.iterable(target_size) else (target_size,)
        if len(self.target_size) != 2 or not all(isinstance(n, (int, np.integer)) for n in self.target_size):
            raise ValueError(f"target_size must be (height, width), two integers; got {target_size!r}.")
        self.data_format = config.data_format(data_format)
        channels = (_CHANNELS[color_mode],)
        last = self.data_format == "channels_last"
        self.image_shape = self.target_size + channels if last else channels + self.target_size
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        if subset not in (None, "training", "validation"):
            raise ValueError(f"subset must be 'training' or 'validation'; got {subset!r}.")
        if subset is not None and image_data_generator is None:
            raise ValueError("subset needs an image_data_generator, whose validation_split says how large it is.")
        share = 0 if subset is None else image_data_generator.validation_split
        self.subset = subset
        self.split = {None: None, "validation": (0, share), "training": (share, 1)}[subset]

    def _part(self, items):
        """The items of this subset."""
        if self.split is None:
            return items
        return items[int(self.split[0] * len(items)) : int(self.split[1] * len(items))]

    def _check_any(self, where):
        if not self.filenames:
            which = "" if self.subset is None else f" for the subset {self.subset!r}"
            raise ValueError(f"{type(self).__name__}: there are no images{which} in {where}.")

    @property
    def filepaths(self) -> list[str]:
        """The files."""
        return self._filepaths

    @property
    def labels(self) -> Any:
        """What the targets are made of, one for each file."""
        return self.classes

    @property
    def sample_weight(self) -> Any:
        """The weight of each file; None for none."""
        return None

    def _image(self, index):
        image = load_img(
            self.filepaths[index],
            color_mode=self.color_mode,
            target_size=self.target_size,
            interpolation=self.interpolation,
        )
        return img_to_array(image, self.data_format, working_dtype(self.dtype))

    def _with_targets(self, batch, index_array):
        if self.class_mode is None:
            return batch
        if self.class_mode == "input":
            targets = batch.copy()
        elif self.class_mode == "multi_output":
            targets = [each[index_array] for each in self.labels]
        elif self.class_mode == "raw":
            targets = self.labels[index_array]
        elif self.class_mode == "categorical":
            targets = np.zeros((len(batch), len(self.class_indices)), self.dtype)
            for row, index in zip(targets, index_array, strict=True):
                row[self.classes[index]] = 1
        else:
            targets = np.array([self.classes[index] for index in index_array], self.dtype)
        if self.sample_weight is None:
            return batch, targets
        return batch, targets, self.sample_weight[index_array]


class DirectoryIterator(_FileIterator):
    """Batches of the images in the folders of a folder, each of which is a class.

    Arguments:
        directory: the folder of folders. Images count that lie in one of these, at any depth.
        image_data_generator: an `ImageDataGenerator`; None for images as they are.
        target_size: (height, width) to resize to.
        color_mode: 'rgb', 'rgba' or 'grayscale'.
        classes: the names of the folders, in the order of the classes; None for all, by name.
        class_mode: what targets are: 'categorical' (one-hot rows), 'binary' or 'sparse' (numbers of classes), 'input'
            (the images), or None for batches without.
        batch_size, shuffle, seed: see `Iterator`.
        data_format: where the channels are.
        save_to_dir, save_prefix, save_format: a folder in which a copy of each batch is put, how the names of the
            files begin, and their format.
        follow_links: whether links to folders are followed.
        subset: 'training' or 'validation', by the generator's `validation_split`; of each class the first part is for
            validation.
        interpolation: how images are resized; see `load_img`.
        dtype: of the batches; None for `floatx`.

    Raises:
        ValueError: if there are no images, or an option has no such value.
    """

    allowed_class_modes = {"categorical", "binary", "sparse", "input", None}

    def __init__(
        self, directory: PathLike, image_data_generator: Any, target_size: Sequence[int] = (256, 256),
        color_mode: str = "rgb", classes: Iterable[str] | None = None, class_mode: str | None = "categorical",
        batch_size: int = 32, shuffle: bool = True, seed: Seed = None, data_format: Layout = None,
        save_to_dir: PathLike | None = None, save_prefix: str = "", save_format: str = "png",
        follow_links: bool = False, subset: str | None = None, interpolation: str = "nearest", dtype: DType = None,
    ):  # fmt: skip
        self.set_processing_attrs(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix, save_format, subset,
            interpolation,
        )  # fmt: skip
        _check_class_mode(class_mode, self.allowed_class_modes)
        self.directory, self.class_mode = os.fspath(directory), class_mode
        self.dtype = config.floatx() if dtype is None else dtype
        if isinstance(classes, str):
            raise ValueError(f"DirectoryIterator: classes must be a list of names of folders; got {classes!r}.")
        names = [] if classes is None else list(classes)
        if not names:
            names = sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir())
        self.num_classes = len(names)
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.filenames, numbers = [], []
        for number, name in enumerate(names):
            found = self._part(_images_in(os.path.join(self.directory, name), follow_links))
            self.filenames += [os.path.join(name, path) for path in found]
            numbers += [number] * len(found)
        self.classes, self.samples = np.array(numbers, "int32"), len(self.filenames)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        hint = "" if names else " (each class must be a folder in it; classes=['.'] takes all images as one class)"
        self._check_any(f"the folders {names} of {self.directory}{hint}")
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        super().__init__(self.samples, batch_size, shuffle, seed)


def _check_class_mode(class_mode, allowed):
    if class_mode not in allowed:
        raise ValueError(f"class_mode must be one of {sorted(map(str, allowed))}; got {class_mode!r}.")


def _images_in(folder, follow_links):
    """The images in a folder and the folders in it, as paths from there: folder by folder, each by name."""
    return [
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in sorted(os.walk(folder, followlinks=follow_links), key=lambda found: found[0])
        for name in sorted(names)
        if name.lower().endswith(ENDINGS)
    ]


class DataFrameIterator(_FileIterator):
    """Batches of the images that a table names, with targets from its other columns.

    Arguments:
        dataframe: a pandas data frame, or anything with columns by name.
        directory: the folder that the names start from; None if they are whole paths.
        image_data_generator: an `ImageDataGenerator`; None for images as they are.
        x_col: the column of names.
        y_col: the column of targets; a list of columns for 'multi_output' and, if wanted, 'raw'.
        weight_col: the column of sample weights; None for none.
        target_size: (height, width) to resize to.
        color_mode: 'rgb', 'rgba' or 'grayscale'.
        classes: the classes to use, the others are left out; None for all in `y_col`. They are numbered by name.
        class_mode: what targets are: 'categorical' (rows of zeros and ones; the column has the name of a class, or a
            list of names), 'binary' or 'sparse' (numbers of classes), 'raw' (the column as it is), 'multi_output' (a
            list of columns), 'input' (the images), or None for batches without.
        batch_size, shuffle, seed: see `Iterator`.
        data_format: where the channels are.
        save_to_dir, save_prefix, save_format: a folder in which a copy of each batch is put, how the names of the
            files begin, and their format.
        subset: 'training' or 'validation', by the generator's `validation_split`; the first part is for validation.
        interpolation: how images are resized; see `load_img`.
        dtype: of the batches; None for `floatx`.
        validate_filenames: whether rows are left out whose file is not there or has no ending of an image.

    Raises:
        KeyError: if there is no such column.
        TypeError: if a column has values that `class_mode` has no use for.
        ValueError: if there are no images, or an option has no such value.
    """

    allowed_class_modes = {"binary", "categorical", "input", "multi_output", "raw", "sparse", None}

    def __init__(
        self, dataframe: Any, directory: PathLike | None = None, image_data_generator: Any = None,
        x_col: str = "filename", y_col: str | list[str] = "class", weight_col: str | None = None,
        target_size: Sequence[int] = (256, 256), color_mode: str = "rgb", classes: Iterable[str] | None = None,
        class_mode: str | None = "categorical", batch_size: int = 32, shuffle: bool = True, seed: Seed = None,
        data_format: Layout = None, save_to_dir: PathLike | None = None, save_prefix: str = "",
        save_format: str = "png", subset: str | None = None, interpolation: str = "nearest", dtype: DType = None,
        validate_filenames: bool = True,
    ):  # fmt: skip
        self.set_processing_attrs(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix, save_format, subset,
            interpolation,
        )  # fmt: skip
        _check_class_mode(class_mode, self.allowed_class_modes)
        self.directory, self.class_mode = os.fspath(directory or ""), class_mode
        self.dtype = config.floatx() if dtype is None else dtype
        names, weights, classes = _column(dataframe, x_col), None, [] if classes is None else list(classes)
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"DataFrameIterator: all values in column x_col={x_col!r} must be strings.")
        if weight_col is not None:
            weights = np.asarray(_column(dataframe, weight_col))
            if weights.dtype.kind not in "biuf":
                raise TypeError(f"DataFrameIterator: the column weight_col={weight_col!r} must be numbers.")
        rows = np.arange(len(names))
        if validate_filenames:
            rows = self._rows_with_files(names, x_col)
        by_class = class_mode in ("binary", "categorical", "sparse")
        if by_class:
            rows, labels = self._rows_with_classes(rows, dataframe, y_col, classes)
            labels = dict(zip(rows, labels, strict=True))
        elif classes and class_mode is not None:
            warnings.warn(f"DataFrameIterator: class_mode={class_mode!r} has no use for `classes`.", stacklevel=3)
        rows = self._part(rows)
        if by_class:
            self.classes = [labels[row] for row in rows]
        elif class_mode in ("multi_output", "raw"):
            self._targets = _targets(dataframe, y_col, class_mode, rows)
        self._sample_weight = None if weights is None else weights[rows]
        self.filenames = [names[row] for row in rows]
        self.samples = len(self.filenames)
        validated = "validated" if validate_filenames else "non-validated"
        belonging = f" belonging to {len(self.class_indices)} classes" if by_class else ""
        print(f"Found {self.samples} {validated} image filenames{belonging}.")
        self._check_any(f"the table (column {x_col!r}, folder {self.directory!r})")
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        super().__init__(self.samples, batch_size, shuffle, seed)

    def _rows_with_files(self, names, x_col):
        paths = [os.path.join(self.directory, name) for name in names]
        good = np.array([path.lower().endswith(ENDINGS) and os.path.isfile(path) for path in paths], bool)
        if not good.all():
            warnings.warn(
                f"Found {np.sum(~good)} invalid image filename(s) in x_col={x_col!r}. They are left out.",
                stacklevel=4,
            )
        return np.flatnonzero(good)

    def _rows_with_classes(self, rows, dataframe, y_col, classes):
        """Those of `rows` that have a class, and its number for each; a list of numbers where it has several."""
        if not isinstance(y_col, str):
            raise TypeError(f"DataFrameIterator: class_mode={self.class_mode!r} needs one column y_col; got {y_col!r}.")
        values = _column(dataframe, y_col)
        kinds = (str, list, tuple) if self.class_mode == "categorical" else str
        if not all(isinstance(value, kinds) for value in values):
            raise TypeError(
                f"DataFrameIterator: with class_mode={self.class_mode!r} all values in column y_col={y_col!r} must be "
                f"strings{'' if kinds is str else ', or lists of them'}."
            )
        found = {name for row in rows for name in _names_of(values[row])}
        wanted = set(classes or (found if self.class_mode != "binary" else set(values)))
        if self.class_mode == "binary" and len(wanted) != 2:
            raise ValueError(f"DataFrameIterator: class_mode='binary' needs 2 classes; there are {len(wanted)}.")
        self.class_indices = {name: number for number, name in enumerate(sorted(wanted if classes else found))}
        kept, numbers = [], []
        for row in rows:
            ours = [self.class_indices[name] for name in _names_of(values[row]) if name in self.class_indices]
            if ours:
                kept.append(row)
                numbers.append(ours[0] if isinstance(values[row], str) else ours)
        return kept, numbers

    @property
    def labels(self) -> Any:
        return self._targets if self.class_mode in ("multi_output", "raw") else self.classes

    @property
    def sample_weight(self) -> Any:
        return self._sample_weight


def _names_of(value):
    return [value] if isinstance(value, str) else value


def _column(table, name):
    try:
        return list(table[name])
    except KeyError:
        raise KeyError(f"The table has no column {name!r}; it has {list(table)}.") from None


def _targets(table, y_col, class_mode, rows):
    """The columns `y_col` of the rows."""
    if class_mode == "multi_output":
        if not isinstance(y_col, list):
            raise TypeError(f"DataFrameIterator: class_mode='multi_output' needs a list y_col; got {y_col!r}.")
        return [np.array(_column(table, name))[rows] for name in y_col]
    if isinstance(y_col, list):
        return np.stack([np.asarray(_column(table, name)) for name in y_col], axis=1)[rows]
    return np.asarray(_column(table, y_col))[rows]
