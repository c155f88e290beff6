"""What files and configs from strangers may ask for: one kind of error, one place for limits."""

import contextlib
import functools
import math
import os
import reprlib
import stat
from collections.abc import Iterable
from typing import Any

from jkeras.typing import PathLike

__all__ = [
    "LoadError", "Unknown", "at", "check_nesting", "check_regular", "check_size", "shown", "unknown_names",
]  # fmt: skip

#: How deep configs may be nested (a model in a model takes four levels), and how long error messages are at most.
DEPTH, MESSAGE_LENGTH, PLACE_LENGTH = 400, 700, 120
#: Parts of a config that stand in several places at once (YAML's aliases), and the letters of its texts, count in each;
#: texts are allowed this much besides their length.
EXPANDED_PARTS = 100_000
#: One array may take this part of the memory: a step needs it, what becomes of it, and the gradient of either.
MEMORY_PART = 4


class LoadError(ValueError, OSError):
    """A file, or a config, cannot be used. Its message names the file, the place in it, and what is wrong there.

    It is a `ValueError`, as Keras raises for contents that do not fit, and an `OSError`, as h5py raises for damage.

    Arguments:
        what: what is wrong.
        unknown: (kind, name) pairs of classes and functions that are not known.
    """

    def __init__(self, what: str, unknown: Iterable[tuple[str, str]] = ()):
        super().__init__(_cut(what, MESSAGE_LENGTH))
        self.unknown = tuple(unknown)
        self.places: list = []

    def __str__(self):
        places = self.places if len(self.places) <= 6 else [*self.places[:3], "...", *self.places[-3:]]
        return ": ".join([*places, str(self.args[0])])


class at:  # noqa: N801 - reads as a preposition
    """Inside, every error is a `LoadError`, which says that it came up at `place`.

    Arguments:
        place: a file, or where in it.
        value: what stands there, to be shown with errors that do not say it themselves.

    Example:
        >>> with at("model.h5"), at("layers[0]"):
        ...     {}["name"]
        Traceback (most recent call last):
        jkeras.serialize.trust.LoadError: model.h5: layers[0]: there is no 'name'.
    """

    def __init__(self, place: str, value: Any = None):
        self.place, self.value = place, value

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if not isinstance(error, Exception) or isinstance(error, Warning):
            return
        told = error if isinstance(error, LoadError) else LoadError(self._said(error))
        told.places.insert(0, _cut(self.place, PLACE_LENGTH))
        if told is not error:
            raise told from error

    def _said(self, error) -> str:
        text = str(error)
        if isinstance(error, KeyError) and error.args:
            text = f"there is no {shown(error.args[0])}."
        elif not isinstance(error, (ValueError, OSError)) or not text:
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        if isinstance(error, (ValueError, OSError)) or self.value is None:
            return text
        return f"{text.rstrip('.')}, where there is {shown(self.value)}."


class Unknown:
    """Collects the names that are not known while several things are read, so that all are told at once.

    Example:
        >>> unknown = Unknown()
        >>> for name in ("First", "Second"):
        ...     with unknown.noted():
        ...         raise unknown_names([("layer", name)])
        >>> unknown.tell()
        Traceback (most recent call last):
        jkeras.serialize.trust.LoadError: Unknown layers: First, Second. If they are yours, pass them by name: ...
    """

    def __init__(self):
        self.names: dict = {}

    def noted(self):
        """A block whose unknown names are noted; any other error leaves it."""
        return _Noted(self.names)

    def tell(self) -> None:
        """Raise an error that names all that was noted, if there is anything."""
        if self.names:
            raise unknown_names(self.names)


class _Noted:
    def __init__(self, names):
        self.names = names

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        unknown = getattr(error, "unknown", ())
        self.names.update(dict.fromkeys(unknown))
        return bool(unknown)


def unknown_names(pairs: Iterable[tuple[str, str]]) -> LoadError:
    """The error that tells of (kind, name) pairs that they are not known."""
    by_kind: dict = {}
    for kind, name in pairs:
        by_kind.setdefault(kind, []).append(name)
    several = sum(map(len, by_kind.values())) > 1
    said = "; unknown ".join(
        f"{kind}{'s' * (len(names) > 1)}: {', '.join(map(_cut, names))}" for kind, names in by_kind.items()
    )
    objects = ", ".join(f"{_cut(name)!r}: ..." for names in by_kind.values() for name in names)
    return LoadError(
        f"Unknown {said}. If {'they are yours, pass them' if several else 'it is one of yours, pass it'} by name: "
        f"custom_objects={{{objects}}}, or use custom_object_scope.",
        [(kind, name) for kind, names in by_kind.items() for name in names],
    )


# -------------------------------------------------------------------------------------------------------- messages


_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxdict, _repr.maxlist, _repr.maxtuple, _repr.maxset = 3, 6, 6, 6, 6
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


def shown(value: Any) -> str:
    """`repr(value)`, of bounded length, whatever it is."""
    try:
        return _cut(_repr.repr(value), 200)
    except Exception:  # what an object of a stranger's making shows may fail
        return f"a {type(value).__name__}"


def _cut(text, length=80) -> str:
    """`text` in one line of at most `length` characters."""
    text = " ".join(str(text[: 4 * length]).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)  # terminals do what some letters say
    half = length // 2 - 3
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


# ---------------------------------------------------------------------------------------------------------- limits


def check_regular(path: PathLike) -> int:
    """The size of the file at `path`, in bytes.

    Raises:
        LoadError: if it is a folder, a device, or a pipe, at which one would wait for ever.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
        raise LoadError(f"{path} is a {kind}; a file was expected.")
    return status.st_size


@functools.cache
def _memory() -> int:
    """The bytes of memory that this process may have."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 40]
    with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max") as file:
        sizes.append(int(file.read()))  # that of a container; "max" is none
    with contextlib.suppress(ImportError):
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        sizes += [allowed] if allowed != resource.RLIM_INFINITY else []
    return min(sizes)


def check_size(shape: Iterable, what: str, part: int = MEMORY_PART) -> None:
    """Whether an array of numbers of 4 bytes fits into a part of the memory; sizes that are not known count as one.

    Raises:
        ValueError: if not.
    """
    needed = 4 * math.prod(size for size in shape if isinstance(size, int))
    if needed > _memory() // part:
        raise ValueError(
            f"{what} of shape {shown(tuple(shape))} would take {needed / 2**30:.3g} GiB; this machine has memory of "
            f"{_memory() / 2**30:.3g} GiB."
        )


def _check_left(left):
    if left < 0:
        raise LoadError(f"it has aliases that stand for more than {EXPANDED_PARTS} parts and letters.")


def check_nesting(value: Any, text_length: int = 0) -> Any:
    """`value`, a tree of dicts, lists and tuples.

    Arguments:
        text_length: of the text that it was read from.

    Raises:
        LoadError: if it is nested too deep, or holds itself; if there is a text, also if its parts are repeated too
            often, or are no plain data.
    """
    left = EXPANDED_PARTS + text_length if text_length else None
    open_parts = [iter((value,))]
    while open_parts:
        for part in open_parts[-1]:
            if isinstance(part, (dict, list, tuple)):
                if len(open_parts) > DEPTH:
                    raise LoadError(f"it is nested deeper than {DEPTH} levels.")
                open_parts.append(iter(part.values() if isinstance(part, dict) else part))
                if left is not None:
                    left -= len(part) + 1 + sum(len(key) for key in part if isinstance(key, str))
                    _check_left(left)
                break
            if left is not None and isinstance(part, str):
                left -= len(part)
                _check_left(left)
            elif left is not None and not isinstance(part, (int, float, type(None))):
                raise LoadError(f"it holds {shown(part)}; numbers, texts, lists and dicts were expected.")
        else:
            open_parts.pop()
    return value
