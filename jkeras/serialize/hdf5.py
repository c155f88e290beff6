"""The HDF5 files of Keras 2.2.4: texts, lists of names and arrays in groups, and files that are whole or not there."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jkeras.serialize import files
from jkeras.typing import PathLike

__all__ = [
    "BACKEND", "KERAS_VERSION", "ask_to_proceed_with_overwrite", "read_arrays", "read_names", "read_text", "reading",
    "write_arrays", "write_names", "write_text", "writing",
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
def reading(source: Any) -> Iterator[Any]:
    """The group to read from: `source` itself if it is an h5py file or group, else the opened file of that path."""
    import h5py

    if isinstance(source, h5py.Group):
        yield source
        return
    with h5py.File(os.fspath(source), "r") as file:
        yield file


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
    with files.whole_file(target) as aside, h5py.File(aside, "x") as file:
        yield file


# --------------------------------------------------------------------------------------------------- texts and names


def write_text(group: Any, name: str, text: str) -> None:
    """Write `text` as the attribute `name`; it may be long."""
    group.attrs[name] = text.encode()


def read_text(group: Any, name: str) -> str | None:
    """The attribute `name` as text; None if there is none."""
    return _text(group.attrs[name]) if name in group.attrs else None


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


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


def read_names(group: Any, name: str) -> list:
    """The list of names that `write_names` wrote."""
    if name in group.attrs:
        return [_text(entry) for entry in group.attrs[name]]
    names: list = []
    number = 0
    while f"{name}{number}" in group.attrs:
        names += [_text(entry) for entry in group.attrs[f"{name}{number}"]]
        number += 1
    return names


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


def read_arrays(group: Any) -> list:
    """The arrays of a group, in the order of `weight_names`."""
    return [np.asarray(group[name]) for name in read_names(group, "weight_names")]
