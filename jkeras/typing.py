"""Names for the types that many arguments have.

A symbol stands for an array: where a function takes an `ArrayLike` and is lifted (see `jkeras.lift`), it takes symbols.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
from jax.typing import ArrayLike, DTypeLike

__all__ = [
    "Array", "ArrayLike", "Axes", "CustomObjects", "DType", "DTypeLike", "Function", "Ints", "Layout", "Logs", "Name",
    "PathLike", "Seed", "Shape", "Tree",
]  # fmt: skip

Array: TypeAlias = jax.Array
Function: TypeAlias = Callable[..., Any]
PathLike: TypeAlias = str | os.PathLike[str]

#: What it is called; None for a name that is made.
Name: TypeAlias = str | None
#: A type; None for the default one, or for the type that it has.
DType: TypeAlias = DTypeLike | None
#: What keeps draws apart, or repeatable; None for neither.
Seed: TypeAlias = int | None
#: 'channels_last' or 'channels_first'; None for the process's.
Layout: TypeAlias = str | None
#: One number for all spatial axes, or one for each.
Ints: TypeAlias = int | Sequence[int]
#: One axis, several, or None for all.
Axes: TypeAlias = int | Sequence[int] | None
#: Sizes, None where unknown.
Shape: TypeAlias = Sequence[int | None]

#: Arrays, or what stands for them, in lists, tuples and dicts of any depth.
Tree: TypeAlias = Any
#: name -> class or function, for what a config names and jkeras does not know.
CustomObjects: TypeAlias = Mapping[str, Function] | None
#: name -> number: what callbacks are told.
Logs: TypeAlias = dict[str, Any] | None
