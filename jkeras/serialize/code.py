"""Python functions in configs: those that this process wrote are known again; code from elsewhere is never run here.

A config in memory carries the function itself beside its code. In a text or a file only the code is left: its digest
leads back to the function, as long as that lives, or is one of the last that were written.
"""

import collections
import hashlib
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jkeras.serialize.published import function_of

__all__ = ["Written", "known_function", "plain"]


def plain(value: Any) -> Any:
    """What JSON keeps of an object that it does not know.

    Raises:
        TypeError: if there is nothing to keep.
    """
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__name__"):
        return value.__name__
    raise TypeError(f"Not JSON Serializable: {value!r}")


class Written(tuple):
    """The code of a function, with its default arguments and closure, as a config holds it.

    Arguments:
        parts: what `func_dump` gives.
        function: whose code it is.
    """

    function: Callable

    def __new__(cls, parts: Sequence, function: Callable):
        written = super().__new__(cls, parts)
        written.function = function
        _remember(parts, function)
        return written

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):  # another process gets what a file would hold
        return tuple, (tuple(self),)


#: digest -> function, and the last functions, which are held so that a file outlives its model.
_functions: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_latest: collections.deque = collections.deque(maxlen=64)


def _several():
    """Stands for functions that differ although their text is the same."""


def _digest(parts) -> tuple[str, list]:
    """A digest of the text of `parts`, and the objects in there of which JSON keeps only a name."""
    named = []

    def kept(value):
        if not isinstance(value, (np.ndarray, np.generic)):
            named.append(value)
        try:
            return plain(value)
        except TypeError:
            return type(value).__name__

    text = json.dumps(list(parts), default=kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), named


def _remember(parts, function) -> None:
    try:
        digest, named = _digest(parts)
    except (TypeError, ValueError):  # which no file can hold
        return
    before = _functions.get(digest, function)
    if before is not function:
        held = [cell.cell_contents for cell in before.__closure__ or ()]
        others = _digest([before.__name__, before.__defaults__, held])[1] if before is not _several else [None]
        alike = len(others) == len(named) and all(one is other for one, other in zip(named, others, strict=True))
        if not alike or before.__globals__ is not function.__globals__:
            function = _several
    _functions[digest] = function
    if function not in list(_latest):  # a copy: another thread may add to it
        _latest.append(function)


def known_function(parts: Any, names: Mapping | None = None) -> Callable | None:
    """The function of this process whose code `parts` is; None if it is from elsewhere, or that of several.

    Arguments:
        parts: what a config holds of a function.
        names: name -> object, of what the function is to see in place of its own globals.
    """
    function = getattr(parts, "function", None)
    if function is None:
        try:
            function = _functions.get(_digest(parts)[0])
        except (TypeError, ValueError):
            return None
    if function is None or function is _several:
        return function_of(parts)
    own = function.__globals__
    if all(own.get(name, value) is value for name, value in (names or {}).items()):
        return function
    seen = {**own, **(names or {})}
    return type(function)(function.__code__, seen, function.__name__, function.__defaults__, function.__closure__)
