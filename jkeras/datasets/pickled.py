"""Pickled arrays read without running what a pickle may say: only arrays of numbers and plain Python objects come out.

A pickle names functions and has them called. Here a name stands for a small class of this module that only keeps what
it is given, or for nothing: then the file is refused.
"""

import pickle
import zipfile
from typing import Any

import numpy as np

from jkeras.serialize.bounded import COMPRESSED_BYTES, COMPRESSED_RATIO
from jkeras.serialize.checkpoint import array_header
from jkeras.serialize.trust import LoadError, at, check_regular, shown
from jkeras.typing import PathLike

__all__ = ["read_npz", "read_pickle"]


class _Type:
    """In the place of numpy.dtype: its code and byte order."""

    def __init__(self, code: str | bytes, *_: Any):
        self.code = code.decode() if isinstance(code, bytes) else code
        self.order: Any = "="

    def __setstate__(self, state):
        order = state[1]
        self.order = order.decode() if isinstance(order, bytes) else order

    def dtype(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.kind not in "biufO" or self.order not in "<>=|":
            raise pickle.UnpicklingError(f"arrays of the type {self.order}{self.code} are not read.")
        return dtype.newbyteorder(self.order)


class _Array:
    """In the place of an array that is being put together."""

    value: Any

    def __setstate__(self, state):
        _, shape, kind, fortran, content = state
        dtype = kind.dtype()
        if dtype.kind != "O":
            flat = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype)
        else:
            flat = np.empty(len(content), object)
            for place, item in enumerate(content):
                flat[place] = _plain(item)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    """In the place of _codecs.encode, by which old protocols write bytes."""
    if encoding != "latin1":  # others may take quadratic time
        raise pickle.UnpicklingError(f"bytes are written as latin1, not as {shown(encoding)}.")
    return text.encode(encoding)


def _from_buffer(content, kind, shape, order):
    """In the place of the function by which protocol 5 makes arrays."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


_NAMES = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name, global_name):
        try:
            return _NAMES[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which is not run.") from None


def _plain(value):
    """`value` with arrays in the place of what stands for them, at the top and in the values of a dict there."""
    if isinstance(value, dict):  # not what is in there: it may be the same many times
        return {key: each.value if isinstance(each, _Array) else each for key, each in value.items()}
    return value.value if isinstance(value, _Array) else value


def read_pickle(file: Any, what: str) -> Any:
    """What was pickled into an open file; strings of Python 2 as bytes.

    Arguments:
        file: open for reading bytes.
        what: what it is called in an error.

    Raises:
        LoadError: if the pickle is damaged, or holds anything else than numbers, strings, lists, dicts and arrays; a
            `ValueError`.
    """
    with at(f"{what} cannot be read"):  # a damaged pickle may raise anything
        return _plain(_Reader(file, encoding="bytes").load())


def read_npz(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, those of objects included.

    Raises:
        FileNotFoundError: if there is no such file.
        LoadError: if the file is damaged; see `read_pickle`.
    """
    arrays, size = {}, check_regular(path)
    with at(f"{path} is damaged"), zipfile.ZipFile(path) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
        if claimed > COMPRESSED_RATIO * size + COMPRESSED_BYTES:
            raise LoadError(f"its {size} bytes claim to unpack to {claimed}.")
        for name in archive.namelist():
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = _read_npy(file, f"{path} ({name})")
    return arrays


def _read_npy(file, what):
    shape, fortran, dtype = array_header(file)
    if dtype.hasobject:
        value = read_pickle(file, what)
        if not isinstance(value, np.ndarray) or value.shape != shape:
            raise ValueError(f"{what} does not hold an array of the shape {shape}.")
        return value
    content = file.read()
    if len(content) != dtype.itemsize * int(np.prod(shape)):
        raise ValueError(f"{what} is damaged: {len(content)} bytes for the shape {shape} of {dtype}.")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()
