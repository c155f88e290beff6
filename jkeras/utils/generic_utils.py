"""The progress bar, functions as text, and small helpers on lists, arrays, shapes and names."""

import codecs
import marshal
import re
import sys
import time
import types
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jkeras.serialize.objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    has_arg,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope", "Progbar", "custom_object_scope", "deserialize_keras_object", "func_dump", "func_load",
    "get_custom_objects", "has_arg", "is_all_none", "object_list_uid", "serialize_keras_object", "slice_arrays",
    "to_list", "to_snake_case", "transpose_shape", "unpack_singleton",
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------ progress bar


def _remaining(seconds) -> str:
    """Seconds as 59s, 1:00 or 1:00:00."""
    if seconds > 3600:
        return f"{seconds // 3600:.0f}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    if seconds > 60:
        return f"{seconds // 60:.0f}:{int(seconds % 60):02d}"
    return f"{int(seconds)}s"


def _pace(seconds) -> str:
    """Seconds per step in the unit that suits them."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}/step"
    return f"{seconds * 1e6:.0f}us/step"


class Progbar:
    """A progress bar on the standard output, as Keras draws it.

    On a terminal and in a notebook the line is drawn over; in a file each report is a line of its own.

    Arguments:
        target: the number of steps expected, None if not known.
        width: of the bar, in characters.
        verbose: 0 silent, 1 a bar, 2 one line at the end.
        interval: the least time between two reports, in seconds.
        stateful_metrics: names of values that are shown as given; all others are shown as their mean over the steps.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
    ):
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.stateful_metrics = set(stateful_metrics or ())
        self._dynamic_display = sys.stdout.isatty() if hasattr(sys.stdout, "isatty") else False
        self._dynamic_display = self._dynamic_display or "ipykernel" in sys.modules
        self._total_width = 0
        self._seen_so_far = 0
        self._values: dict = {}  # name -> [sum of values times steps, steps]
        self._start = time.time()
        self._last_update = 0.0

    def update(self, current: int, values: Iterable[tuple[str, Any]] | None = None):
        """Report that `current` steps are done.

        Arguments:
            current: the number of steps done since the start.
            values: pairs (name, value): of the steps since the last report, or for stateful ones as they stand.
        """
        steps = current - self._seen_so_far
        for name, value in values or ():
            if name in self.stateful_metrics:
                self._values[name] = [value, 1]
            else:
                held = self._values.setdefault(name, [0, 0])
                self._values[name] = [held[0] + value * steps, held[1] + steps]
        self._seen_so_far = current
        done = self.target is not None and current >= self.target
        now = time.time()
        if self.verbose == 1:
            if self.target is not None and not done and now - self._last_update < self.interval:
                return
            self._draw(current, done, now)
        elif self.verbose == 2 and (done or self.target is None):
            sys.stdout.write(f" - {now - self._start:.0f}s{self._means()}\n")
            sys.stdout.flush()
        self._last_update = now

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None):
        """Report `n` more steps; see `update`."""
        self.update(self._seen_so_far + n, values)

    def _draw(self, current, done, now):
        before = self._total_width
        sys.stdout.write("\b" * before + "\r" if self._dynamic_display else "\n")
        bar = self._bar(current)
        pace = (now - self._start) / current if current else 0
        if self.target is not None and not done:
            info = f" - ETA: {_remaining(pace * (self.target - current))}"
        else:
            info = f" - {now - self._start:.0f}s {_pace(pace)}"
        info += self._means()
        self._total_width = len(bar) + len(info)
        # Blanks over what is left of a longer line.
        sys.stdout.write(bar + info + " " * (before - self._total_width) + ("\n" if done else ""))
        sys.stdout.flush()

    def _bar(self, current) -> str:
        if self.target is None:
            return f"{current:7d}/Unknown"
        target = int(self.target)
        filled = int(self.width * current / target) if target else self.width
        head = ">" if current < target else "="
        drawn = "=" * (filled - 1) + head if filled > 0 else ""
        return f"{int(current):{len(str(target))}d}/{target} [{drawn}{'.' * (self.width - filled)}]"

    def _means(self) -> str:
        shown = ""
        for name, (total, steps) in self._values.items():
            mean = total / max(1, steps)
            mean = np.mean(mean) if np.ndim(mean) else mean
            # Keras's line of verbose=2 writes every negative number in scientific notation.
            plain = (abs(mean) if self.verbose == 1 else mean) > 1e-3
            shown += f" - {name}: {mean:.4f}" if plain else f" - {name}: {mean:.4e}"
        return shown


# ------------------------------------------------------------------------------------------------ functions as text


def func_dump(func: Any) -> tuple:
    """A Python function as (code, defaults, closure): the code in base64, as Keras writes it."""
    code = codecs.encode(marshal.dumps(func.__code__), "base64").decode("ascii")
    closure = tuple(cell.cell_contents for cell in func.__closure__) if func.__closure__ else None
    return code, func.__defaults__, closure


def func_load(code: Any, defaults: Any = None, closure: Any = None, globs: dict | None = None):
    """The function that `func_dump` wrote. Calling it runs that code: only for what comes from whom you trust.

    Arguments:
        code: the code in base64, or all that `func_dump` returned, also as a list; also in the form of Keras before
            2.1.2, which has no base64.
        defaults, closure: the default arguments and the values (or cells) of the enclosing variables.
        globs: the names that the function sees as globals, those of this module if not given.

    Raises:
        ValueError: if it is no code, or that of another version of Python.
    """
    if isinstance(code, (list, tuple)):
        code, defaults, closure = code
    try:
        try:
            raw = codecs.decode(code.encode("ascii"), "base64")
        except ValueError:
            raw = code.encode("raw_unicode_escape")
        function_code = marshal.loads(raw)
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(
            f"The code of a function could not be read ({error}): Python code in files can only be read by the version "
            "of Python that wrote it."
        ) from error
    cells = None
    if closure is not None:
        cells = tuple(value if isinstance(value, types.CellType) else types.CellType(value) for value in closure)
    defaults = None if defaults is None else tuple(defaults)
    return types.FunctionType(function_code, globals() if globs is None else globs, None, defaults, cells)


# ---------------------------------------------------------------------------------------------------- small helpers


def to_list(x: Any, allow_tuple: bool = False) -> list:
    """`x` if it is a list, else a list of it; with `allow_tuple` a tuple counts as a list."""
    if isinstance(x, list):
        return x
    return list(x) if allow_tuple and isinstance(x, tuple) else [x]


def unpack_singleton(x: Any) -> Any:
    """The only element of `x`, or `x` itself if it has several or none."""
    return x[0] if len(x) == 1 else x


def object_list_uid(object_list: Any) -> str:
    """A name for just these objects in this order."""
    return ", ".join(str(abs(id(value))) for value in to_list(object_list))


def is_all_none(iterable_or_element: Any) -> bool:
    """Whether `iterable_or_element` is None, or a list or tuple of nothing else."""
    return all(element is None for element in to_list(iterable_or_element, allow_tuple=True))


def slice_arrays(arrays: Any, start: Any = None, stop: int | None = None) -> Any:
    """`arrays[start:stop]`, or with a list of indices as `start` the rows that it names; of each array of a list.

    Arguments:
        arrays: an array, a list of arrays (or None), or None.
        start: an integer, or a list or array of indices.
        stop: an integer, or None.
    """
    if arrays is None:
        return [None]
    rows = slice(start, stop)
    if hasattr(start, "__len__"):
        rows = start.tolist() if hasattr(start, "shape") else start  # HDF5 takes lists only
    if isinstance(arrays, list):
        return [None if array is None else array[rows] for array in arrays]
    return arrays[rows]


def transpose_shape(shape: list | tuple, target_format: str, spatial_axes: Sequence[int]) -> list | tuple:
    """A shape (or anything listed like one) that is written channels last, in the order of `target_format`.

    Arguments:
        shape: a tuple or list of the sizes, channels last.
        target_format: 'channels_last' or 'channels_first'.
        spatial_axes: the places of the spatial sizes in `shape`.

    Raises:
        ValueError: if the format is neither.

    Example:
        >>> transpose_shape((16, 128, 64, 3), "channels_first", spatial_axes=(1, 2))
        (16, 3, 128, 64)
    """
    if target_format == "channels_last":
        return shape
    if target_format == "channels_first":
        return type(shape)([*shape[: spatial_axes[0]], shape[-1], *(shape[axis] for axis in spatial_axes)])
    raise ValueError(
        f'The `data_format` argument must be one of "channels_first", "channels_last". Received: {target_format}'
    )


def to_snake_case(name: str) -> str:
    """'MaxPooling2D' -> 'max_pooling2d', as Keras names layers."""
    name = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
    return "private" + name if name.startswith("_") else name
