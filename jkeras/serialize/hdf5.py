"""The HDF5 files of Keras 2.2.4: texts, lists of names and arrays in groups, and files that are whole or not there.

What is read is what such a file holds, `jkeras.serialize.bounded` sees to that.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jkeras.serialize import files
from jkeras.typing import PathLike

__all__ = [
    "BACKEND", "KERAS_VERSION", "ask_to_proceed_with_overwrite", "write_arrays", "write_names", "write_text", "writing",
]  # fmt: skip

#: What files say about who wrote them: the version whose layout they have, and the backend whose kernels' they have.
KERAS_VERSION = "2.2.4"
BACKEND = "tensorflow"

_ATTRIBUTE_LIMIT = 64512  # bytes: HDF5 keeps small attributes in an object header of 64 KB


# ------------------------------------------------------------------------------------------------------------ files


def ask_to_proceed_with_overwrite(filepath: PathLike) -> bool:
    """Ask on the terminal whether the existing file may be overwritten.

    Raises:
        FileExistsError: if there is no terminal to ask on.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise FileExistsError(f"{filepath} already exists, and overwrite=False was given.")
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"[WARNING] {filepath} already exists - overwrite? [y/n] ").strip().lower()
    return answer == "y"


@contextlib.contextmanager
def writing(target: Any) -> Iterator[Any]:
    """The group to write to. A path gets its file when the block ends, whole; if the block fails, nothing happens.

    Arguments:
        target: a path, or an h5py file or group, which is written to as it is.
    """
    import h5py

    if isinstance(target, h5py.Group):
        yield target
        target.file.flush()
        return
    with files.whole_file(target) as aside, open(aside, "r+b", buffering=0) as raw:
        sink = _Sink(raw)
        with h5py.File(sink, "w") as file:
            yield file
        if sink.error:
            raise sink.error


class _Sink:
    """A file that HDF5 writes to. Of an error of the system, such as a full disk, HDF5 is not told: it could not close
    the file then, and the process would crash when it writes the next one.

    Arguments:
        raw: the file, open for reading and writing, without a buffer.

    Attributes:
        error: the first error, after which nothing more is written.
    """

    def __init__(self, raw: Any):
        self._raw = raw
        self.error: OSError | None = None
        self.read, self.seek, self.tell, self.flush = raw.read, raw.seek, raw.tell, raw.flush

    def write(self, content: Any) -> int:
        left = memoryview(content)
        while left and not self.error:
            try:
                left = left[self._raw.write(left) :]
            except OSError as error:
                self.error = error
        return len(content)

    def truncate(self, size: int) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size

    def readinto(self, buffer: Any) -> int:
        found = self._raw.readinto(buffer)
        if self.error:  # what was not written
            buffer[found:] = bytes(len(buffer) - found)
        return len(buffer) if self.error else found


# --------------------------------------------------------------------------------------------------- texts and names


def write_text(group: Any, name: str, text: str) -> None:
    """Write `text` as the attribute `name`; it may be long."""
    group.attrs[name] = text.encode()


def write_names(group: Any, name: str, names: Iterable[str]) -> None:
    """Write a list of names as the attribute `name`, or, if that is too long for one, as `name0`, `name1`, ...

    Raises:
        RuntimeError: if a single name is too long for an attribute.
    """
    encoded = [entry.encode() for entry in names]
    for entry in encoded:
        if len(entry) > _ATTRIBUTE_LIMIT:
            raise RuntimeError(
                f"The name {entry[:40]!r}... has {len(entry)} bytes; an attribute of an HDF5 file can hold names of up "
                f"to {_ATTRIBUTE_LIMIT} bytes."
            )
    whole = np.array(encoded, dtype="S") if encoded else np.array([])
    count = 1
    chunks = [whole]
    while any(chunk.nbytes > _ATTRIBUTE_LIMIT for chunk in chunks):
        count += 1
        chunks = np.array_split(whole, count)
    for number, chunk in enumerate(chunks):
        group.attrs[name if count == 1 else f"{name}{number}"] = chunk


# ------------------------------------------------------------------------------------------------------------ arrays


def write_arrays(group: Any, named_arrays: Iterable[tuple[str, Any]]) -> None:
    """Write (name, array) pairs as datasets, and their order as `weight_names`; equal names are numbered."""
    taken: list = []
    for name, array in named_arrays:
        unique, number = name, 0
        stem, colon, place = name.partition(":")
        while unique in taken:
            number += 1
            unique = f"{stem}_{number}{colon}{place}"
        taken.append(unique)
        array = np.asarray(array)
        if array.dtype.kind == "V":  # bfloat16 and its like, which HDF5 has no name for
            array = array.astype(np.float32)
        group.create_dataset(unique, data=array)
    write_names(group, "weight_names", taken)
