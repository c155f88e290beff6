"""Arrays in HDF5 files, read as they are needed; such files as dicts; a question before a file is overwritten."""

import math
import reprlib
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from jkeras.serialize import hdf5
from jkeras.serialize.bounded import Group, open_file
from jkeras.serialize.trust import at
from jkeras.typing import Function, PathLike

__all__ = ["H5Dict", "HDF5Matrix", "ask_to_proceed_with_overwrite", "h5dict"]


class HDF5Matrix:
    """Rows `start` to `end` of a dataset in an HDF5 file, in place of an array: rows are read when asked for.

    Where rows are asked for by number, any order will do, and a row may come twice; a boolean mask, one entry for each
    row, chooses those where it is true. A slice beyond the end is an error,
    as in Keras, where numpy would cut it off. It can be pickled: a copy opens the file again.

    Arguments:
        datapath: path of the file.
        dataset: name of the dataset in it.
        start: first row.
        end: the row after the last one; None is the end of the dataset.
        normalizer: a function applied to whatever is read, (rows, ...) to (rows, ...).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if `start` and `end` are not rows of the dataset, or there is none, or its data are in other files.

    Example:
        >>> import h5py, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "data.h5")
        >>> with h5py.File(path, "w") as file:
        ...     file["x"] = np.arange(6).reshape(3, 2)
        >>> matrix = HDF5Matrix(path, "x", start=1)
        >>> matrix.shape
        (2, 2)
        >>> matrix[[1, 0]]
        array([[4, 5],
               [2, 3]])
    """

    # Files that some matrix uses now, by path: matrices of one file share it, and the last one closes it.
    refs = weakref.WeakValueDictionary()

    def __init__(
        self,
        datapath: PathLike,
        dataset: str,
        start: int = 0,
        end: int | None = None,
        normalizer: Function | None = None,
    ):
        self._arguments = (datapath, dataset, start, end, normalizer)
        self._file = _open(self.refs, datapath)
        self.start, self.normalizer = start, normalizer
        with at(str(datapath)):
            self.data: Any = Group(self._file).dataset(dataset)
            self.end = len(self.data) if end is None else end
            if not 0 <= self.start <= self.end <= len(self.data):
                raise ValueError(
                    f"HDF5Matrix: start={start} and end={end} must be rows, in this order, of the dataset {dataset!r}, "
                    f"which has {len(self.data)}."
                )
        first = self._read(slice(0, 1))
        self._row_shape, self._dtype = first.shape[1:], first.dtype

    def __reduce__(self):
        return type(self), self._arguments

    def __len__(self):
        return self.end - self.start

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self._read(self._rows_of_slice(key))
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            return self._read(int(self._checked(np.array([key]))[0]))
        rows = self._chosen(key)
        if not rows.size:
            return self._read(slice(0, 0))
        # HDF5 reads rows in rising order only, and each once.
        rising, places = np.unique(self._checked(rows), return_inverse=True)
        if rising[-1] - rising[0] + 1 == rising.size:
            return self._read(slice(int(rising[0]), int(rising[-1]) + 1), places)
        return self._read(rising, places)

    def _chosen(self, key):
        """The numbers of the rows that a list, an array or a mask chooses."""
        rows = np.asarray(key)
        rows = rows if rows.size else rows.astype(int)
        if rows.ndim == 1 and rows.dtype == bool:
            if len(rows) != len(self):
                raise IndexError(f"HDF5Matrix: a mask of {len(rows)} entries was given for {len(self)} rows.")
            return np.flatnonzero(rows)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise TypeError(
                "HDF5Matrix: rows are chosen by a slice, a number, a list of numbers or a mask; got "
                f"{reprlib.repr(key)}."
            )
        return rows

    def _rows_of_slice(self, key):
        if key.stop is not None and key.stop > len(self):
            raise IndexError(f"HDF5Matrix: {key} ends beyond its {len(self)} rows.")
        first, stop, step = key.indices(len(self))
        if step < 1:
            raise ValueError(f"HDF5Matrix: {key} goes backwards; HDF5 reads forwards only.")
        return slice(self.start + first, self.start + max(first, stop), step)

    def _checked(self, rows):
        """Rows of the dataset for rows of this matrix."""
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.min() < 0 or rows.max() >= len(self):
            raise IndexError(f"HDF5Matrix: there are {len(self)} rows; asked for {rows.min()} to {rows.max()}.")
        return rows + self.start

    def _read(self, rows, places=None):
        """The rows of the dataset, in the order of `places` in them, normalized."""
        if not self.data:
            raise ValueError(f"HDF5Matrix: the file {self._arguments[0]} was closed.")
        found = self.data[rows]
        found = found if places is None else found[places]
        return found if self.normalizer is None else self.normalizer(found)

    @property
    def shape(self) -> tuple:
        """Rows, and the shape of one."""
        return (len(self), *self._row_shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers, after the normalizer."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)


def _open(files, path):
    """The file at `path`, opened for reading; the one in `files` where it is open still."""
    file = files.get(path)
    if not file:  # a file that was closed is false
        file = files[path] = open_file(path)
    return file


def ask_to_proceed_with_overwrite(filepath: PathLike) -> bool:
    """Ask on the terminal whether the file at `filepath` may be overwritten.

    Returns:
        Whether the answer was "y"; it asks until it is "y" or "n".
    """
    answer = input(f"{filepath} exists. Overwrite it? [y/n] ").strip().lower()
    while answer not in ("y", "n"):
        answer = input('Please answer "y" to overwrite it, or "n" to keep it: ').strip().lower()
    if answer == "y":
        print("With overwrite=True this question is not asked.")
    return answer == "y"


class H5Dict:
    """An HDF5 file or group, or a dict, as one kind of dict: of texts, lists of names, arrays, and dicts of such.

    What is asked for and is not there is made, a group, unless the mode is 'r'.

    Arguments:
        path: a path, an h5py group, or a dict.
        mode: as of `open`: 'r' to read, 'w' to write anew, 'a' for both.

    Raises:
        TypeError: if `path` is none of these.

    Example:
        >>> held = H5Dict({})
        >>> held["layers"]["size"] = np.arange(3)
        >>> held["layers"]["size"]
        array([0, 1, 2])
    """

    def __init__(self, path: Any, mode: str = "a"):
        import h5py

        self.read_only, self._opened = mode == "r", isinstance(path, str)
        if self._opened:
            self.data: Any = open_file(path) if mode == "r" else h5py.File(path, mode)
        elif isinstance(path, (h5py.Group, dict)):
            self.data = path
            if mode == "w":
                path.clear()
        else:
            raise TypeError(f"H5Dict: a path, an h5py group or a dict was expected. Received: {type(path).__name__}")

    def _part(self, group):
        return H5Dict(group, "r" if self.read_only else "a")

    def __getitem__(self, attr: str) -> Any:
        if attr not in self:
            if self.read_only:
                raise ValueError(f"H5Dict: there is no {attr!r}, and in read only mode none can be made.")
            if isinstance(self.data, dict):
                self.data[attr] = {}
            else:
                self.data.create_group(attr)
        if isinstance(self.data, dict):
            value = self.data[attr]
            return self._part(value) if isinstance(value, dict) else value
        held = Group(self.data)
        if attr in held:
            value = held.found(attr)
            return held.stored(attr).read() if hasattr(value, "dtype") else self._part(value)
        value = held.attribute(attr)
        if value is None:
            return held.names(attr)
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "SO" else value

    def __setitem__(self, attr: str, val: Any) -> None:
        if self.read_only:
            raise ValueError(f"H5Dict: {attr!r} cannot be set in read only mode.")
        if not isinstance(self.data, dict) and attr in self.data:
            raise KeyError(f"H5Dict: there is a group or an array named {attr!r} already.")
        if isinstance(self.data, dict):
            self.data[attr] = val
        elif isinstance(val, (np.ndarray, np.generic)):
            self.data.create_dataset(attr, data=val)
        elif isinstance(val, list):
            hdf5.write_names(self.data, attr, [name.decode() if isinstance(name, bytes) else name for name in val])
        else:
            self.data.attrs[attr] = val

    def __contains__(self, key: str) -> bool:
        if isinstance(self.data, dict):
            return key in self.data
        return key in self.data or key in self.data.attrs or f"{key}0" in self.data.attrs

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator:
        return iter(self.data)

    iter = __iter__

    def __getattr__(self, attr: str) -> Any:
        if attr == "data":  # while it is copied or unpickled
            raise AttributeError(attr)
        return getattr(self.data, attr)

    def get(self, key: str, default: Any = None) -> Any:
        """What is there under `key`, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401 (this is what `get` means)

    def update(self, *args: Any) -> None:
        """Set each item of a dict, or of (key, value) pairs."""
        for key, value in dict(*args).items():
            self[key] = value

    def close(self) -> None:
        """Write what was set, and close the file that `path` named."""
        if not isinstance(self.data, dict):
            self.data.file.flush()
        if self._opened:
            self.data.close()


h5dict = H5Dict
