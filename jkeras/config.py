"""The few settings that hold for a whole process: float type, fuzz factor, image layout, the name of the backend.

They start from `$KERAS_HOME/keras.json` (default `~/.keras/keras.json`) where that file exists, as in Keras 2.2.4, and
the name of the backend from `$KERAS_BACKEND`. The file is only read: where Keras would write one with its defaults,
importing this leaves the home folder as it is. What the file says wrongly is named in a warning and left out.
"""

import contextlib
import contextvars
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = [
    "BACKENDS", "backend", "data_format", "epsilon", "floatx", "holding", "image_data_format", "precision",
    "set_backend", "set_epsilon", "set_floatx", "set_image_data_format", "settled",
]  # fmt: skip

_FLOAT_TYPES = ("float16", "bfloat16", "float32", "float64")
_WIDE = ("float64", "int64", "uint64", "complex128")
_DATA_FORMATS = ("channels_last", "channels_first")
#: What computes, and what it may answer to: programs ask for the name to choose between the ways of two backends.
BACKENDS = ("jax", "tensorflow")
#: A settings file is a few lines; what is larger is something else.
_LARGEST = 1 << 16

_ALLOWED: dict[str, Any] = {
    "floatx": _FLOAT_TYPES.__contains__,
    "epsilon": lambda value: isinstance(value, float) and 0 < value < 1,
    "image_data_format": _DATA_FORMATS.__contains__,
    "backend": BACKENDS.__contains__,
}


@contextlib.contextmanager
def holding(variable: contextvars.ContextVar, value: Any) -> Iterator[None]:
    """Inside, in this thread, `variable` has another value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _read_file(path: str) -> dict:
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        warnings.warn(f"{path} cannot be read ({error}); the default settings hold.", stacklevel=2)
        return {}
    try:
        found = json.loads(text) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    warnings.warn(f"{path} is no JSON file of settings; the default settings hold.", stacklevel=2)
    return {}


def _read_settings() -> dict:
    settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "backend": "jax"}
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    path = os.path.join(os.path.expanduser(home), "keras.json")
    stated = [(path, name, value) for name, value in _read_file(path).items() if name in _ALLOWED]
    if os.environ.get("KERAS_BACKEND"):
        stated.append(("The environment variable KERAS_BACKEND", "backend", os.environ["KERAS_BACKEND"]))
    for place, name, value in stated:
        if isinstance(value, (str, float)) and _ALLOWED[name](value):
            settings[name] = value
        else:
            instead = f"it is {settings[name]!r}"
            if name == "backend":
                instead = f"JAX computes, and K.backend() answers {' or '.join(map(repr, BACKENDS))}"
            warnings.warn(f"{place}: {name} cannot be {value!r}; {instead}.", stacklevel=2)
    return settings


_settings = _read_settings()


def floatx() -> str:
    """The default float type of weights and inputs, 'float32' unless set."""
    return _settings["floatx"]


def set_floatx(floatx: str) -> None:
    """Set the default float type: 'float16', 'bfloat16', 'float32' or 'float64'.

    Raises:
        ValueError: if it is none of these.
    """
    if floatx not in _FLOAT_TYPES:
        raise ValueError(f"set_floatx: unknown float type {floatx!r}; expected one of {', '.join(_FLOAT_TYPES)}.")
    _settings["floatx"] = str(floatx)


def backend() -> str:
    """The name that `K.backend()` answers: 'jax' unless set."""
    return _settings["backend"]


def set_backend(name: str) -> None:
    """Set the name that `K.backend()` answers. Whatever it is, JAX computes."""
    _settings["backend"] = str(name)


def epsilon() -> float:
    """The fuzz factor that keeps logarithms and divisions finite, 1e-7 unless set."""
    return _settings["epsilon"]


def set_epsilon(e: float) -> None:
    """Set the fuzz factor."""
    _settings["epsilon"] = float(e)


def image_data_format() -> str:
    """'channels_last' (batch, height, width, channels) or 'channels_first' (batch, channels, height, width)."""
    return _settings["image_data_format"]


def set_image_data_format(data_format: str) -> None:
    """Set the default image layout.

    Raises:
        ValueError: if it is neither 'channels_last' nor 'channels_first'.
    """
    if data_format not in _DATA_FORMATS:
        raise ValueError(
            f"set_image_data_format: unknown layout {data_format!r}; expected one of {', '.join(_DATA_FORMATS)}."
        )
    _settings["image_data_format"] = str(data_format)


def data_format(value: str | None) -> str:
    """`value`, or the process's image layout where it is None.

    Raises:
        ValueError: if it is neither 'channels_last' nor 'channels_first'.
    """
    value = image_data_format() if value is None else str(value).lower()
    if value not in _DATA_FORMATS:
        raise ValueError(
            f"The `data_format` argument must be one of 'channels_first', 'channels_last'. Received: {value}"
        )
    return value


def settled(tree: Any, dtypes: Iterable[Any]):
    """`tree`, its traced arrays having the types that they show: `jax.vmap` holds arrays of numpy as they are, which in
    a context of 64 bits are of other types than they were said to be."""
    import jax

    if jax.config.jax_enable_x64 or not any(str(dtype) in _WIDE for dtype in dtypes):
        return tree
    return jax.tree.map(lambda leaf: jax.numpy.copy(leaf) if isinstance(leaf, jax.core.Tracer) else leaf, tree)


def precision(dtypes: Iterable[Any]):
    """A context in which JAX computes with 64 bits where one of `dtypes` has them, and as it is otherwise."""
    import jax

    wide = any(str(dtype) in _WIDE for dtype in dtypes)
    return jax.enable_x64(True) if wide else contextlib.nullcontext()
