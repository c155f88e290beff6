"""Trees of numbers, texts and arrays in one file: whole or not there, and nothing in it is ever run.

The file is a numpy `.npz` of the arrays and of a JSON text that says where in the tree each one stands. Types come back
as they were, bit for bit: Python numbers, numpy scalars and arrays of any JAX type, JAX keys, tuples and lists.
"""

import io
import json
import math
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras.serialize.files import whole_file
from jkeras.serialize.texts import parsed_json
from jkeras.serialize.trust import LoadError, at, check_regular, shown
from jkeras.typing import PathLike, Tree

__all__ = ["array_header", "read", "write"]

_TREE = "tree"


def write(path: PathLike, tree: Tree) -> None:
    """Write `tree` to `path`: dicts (with texts as keys), lists, tuples, None, bools, numbers, texts, bytes, arrays.

    Raises:
        TypeError: if something else is in it, saying where.
    """
    arrays: dict = {}
    text = json.dumps(_encoded(tree, arrays, "tree"))
    arrays[_TREE] = np.frombuffer(text.encode(), np.uint8)
    with whole_file(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)


def read(path: PathLike) -> Tree:
    """The tree in the file `path`; arrays are numpy arrays.

    Raises:
        FileNotFoundError: if there is no such file.
        LoadError: if it is not what `write` writes, or was damaged; a `ValueError`.
    """
    size = check_regular(path)
    with at(f"{path} is no checkpoint, or was damaged"):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > size:
                raise LoadError(f"its arrays claim more than the {size} bytes of the file.")
            arrays = {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}
        return _decoded(parsed_json(arrays[_TREE].tobytes()), arrays)


def _array(archive, name) -> np.ndarray:
    """An array of an archive, which may be changed."""
    with at(shown(name)), archive.open(name) as file:
        content = bytearray(file.read())
        header = io.BytesIO(content[:_HEADER_LENGTH])
        shape, fortran, dtype = array_header(header)
        if dtype.kind not in "biufc" or len(content) - header.tell() != dtype.itemsize * math.prod(shape):
            raise LoadError(f"{len(content)} bytes are no array of {dtype} with the shape {shape}.")
        return np.frombuffer(content, dtype, offset=header.tell()).reshape(shape, order="F" if fortran else "C")


#: Longer ones numpy refuses.
_HEADER_LENGTH = 10_100


def array_header(file: Any) -> tuple[tuple, bool, np.dtype]:
    """(shape, whether it is in Fortran's order, type) of the array in an open .npy file, which stands at the data then.

    Raises:
        ValueError: if it is none.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise LoadError(f"arrays of the version {version} are not read.")
    return readers[version](file)


def _stored(array, arrays) -> dict:
    """Put `array` with the others; returns how to find it again."""
    name = f"array_{len(arrays)}"
    array = np.asarray(array)
    builtin = array.dtype.isbuiltin == 1 and array.dtype.kind in "biufc"
    arrays[name] = array if builtin else np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, -1)
    return {"array": name} if builtin else {"array": name, "dtype": array.dtype.name}


def _encoded(value, arrays, place) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"checkpoint: the keys of a dict must be texts; {place} has {key!r}.")
        return {"dict": {key: _encoded(part, arrays, f"{place}[{key!r}]") for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_encoded(part, arrays, f"{place}[{number}]") for number, part in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {"key": _stored(jax.random.key_data(value), arrays), "impl": str(jax.random.key_impl(value))}
    if isinstance(value, np.generic):
        return {"scalar": _stored(value, arrays)}
    if isinstance(value, (np.ndarray, jax.Array)) and value.dtype.kind not in "OSUMm":
        return _stored(value, arrays)
    raise TypeError(
        f"checkpoint: {place} is a {type(value).__name__}; only dicts, lists, tuples, numbers, texts and arrays of "
        "numbers can be kept."
    )


def _decoded(value, arrays) -> Any:
    if isinstance(value, list):
        return [_decoded(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _decoded(part, arrays) for key, part in value["dict"].items()}
    if "tuple" in value:
        return tuple(_decoded(part, arrays) for part in value["tuple"])
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "key" in value:
        return jax.random.wrap_key_data(_decoded(value["key"], arrays), impl=value["impl"])
    if "scalar" in value:
        return _decoded(value["scalar"], arrays)[()]
    array = arrays[value["array"]]
    if "dtype" not in value:
        return array
    dtype = jnp.dtype(str(value["dtype"]))
    if dtype.isbuiltin != 2:  # all but those that JAX adds to numpy's stand in the archive as they are
        raise LoadError(f"arrays of the type {shown(dtype)} are not read.")
    return array.view(dtype).reshape(array.shape[:-1])
