"""What Python and numpy have dropped since Keras 2 was new, put back on request."""

import collections
import collections.abc
import fractions
import functools
import inspect
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["install", "print_used"]

_used: dict[str, str] = {}  # name -> the place where it was used first

ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")


def _getargspec(func: Callable) -> ArgSpec:
    return ArgSpec(*inspect.getfullargspec(func)[:4])


def _asscalar(a: Any) -> Any:
    return np.asarray(a).item()


_NUMPY = {
    "float": float, "int": int, "bool": bool, "object": object, "str": str, "complex": complex, "long": int,
    "unicode": str, "float_": np.float64, "complex_": np.complex128, "string_": np.bytes_, "unicode_": np.str_,
    "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan, "NAN": np.nan,
    "product": np.prod, "cumproduct": np.cumprod, "sometrue": np.any, "alltrue": np.all, "asscalar": _asscalar,
    "row_stack": np.vstack, "in1d": np.isin, "trapz": np.trapezoid, "msort": functools.partial(np.sort, axis=0),
}  # fmt: skip
# module -> name -> what stands for it. Each is only asked for where the module itself does not have it.
_DROPPED: dict[Any, Mapping[str, Any]] = {
    np: _NUMPY,
    inspect: {"getargspec": _getargspec, "ArgSpec": ArgSpec},
    collections: {name: getattr(collections.abc, name) for name in collections.abc.__all__},
    fractions: {"gcd": math.gcd},
    time: {"clock": time.perf_counter},
}


def _note(name, frame: Any):
    """Remember where `name` was used first; importing is no use of its own."""
    while frame.f_globals.get("__name__") == "importlib._bootstrap":  # `from module import name`
        frame = frame.f_back
    _used.setdefault(name, f"{frame.f_code.co_filename}:{frame.f_lineno}")


def _of_ragged(make):
    """`np.array` and its like, making an array of objects of rows that differ in shape, as they did."""
    array = np.array

    @functools.wraps(make)
    def made(*args, **kwargs):
        try:
            return make(*args, **kwargs)
        except ValueError as error:
            if "inhomogeneous" not in str(error) or len(args) != 1 or kwargs.get("dtype") is not None:
                raise
            frame: Any = inspect.currentframe()
            _note(f"numpy.{make.__name__} of rows that differ in shape", frame.f_back)
            return make(array(args[0], dtype=object), **kwargs)

    return made


def _split(pattern: Any, string: Any, maxsplit: int = 0, flags: int = 0) -> list:
    """`re.split` as before Python 3.7: where a pattern matches nothing it does not split."""
    found = list(re.finditer(pattern, string, flags))
    splits = [match for match in found if match.group()]
    if len(splits) < len(found):
        frame: Any = inspect.currentframe()
        _note("re.split by a pattern that also matches nothing", frame.f_back)
    parts, start = [], 0
    for match in splits[: maxsplit or None]:
        parts += [string[start : match.start()], *match.groups()]
        start = match.end()
    return [*parts, string[start:]]


def _repair(module, dropped):
    """Let `module` have what is in `dropped`, and note who asks for it."""
    otherwise = vars(module).get("__getattr__")

    def find(name):
        if name in dropped:
            frame: Any = inspect.currentframe()
            _note(f"{module.__name__}.{name}", frame.f_back)
            return dropped[name]
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = find


def install() -> None:
    """Put back what was dropped, in this process and in those that it starts."""
    os.environ["JKERAS_REPAIR"] = "1"
    for module, dropped in _DROPPED.items():
        _repair(module, dropped)
    np.array, np.asarray, np.copy = [_of_ragged(make) for make in (np.array, np.asarray, np.copy)]
    re.split = _split


def print_used() -> None:
    """Print what was put back and used, and where first."""
    for name, place in _used.items():
        print(f"jkeras --repair: {place} uses {name}, which is no longer there", file=sys.stderr)
