"""The few settings that hold for a whole process: float type, fuzz factor, image layout.

They start from `$KERAS_HOME/keras.json` (default `~/.keras/keras.json`) where that file exists, as in Keras 2.2.4; the
file is only read, never written.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from typing import Any

__all__ = [
    "data_format", "epsilon", "floatx", "image_data_format", "precision", "set_epsilon", "set_floatx",
    "set_image_data_format",
]  # fmt: skip

_FLOAT_TYPES = ("float16", "bfloat16", "float32", "float64")
_DATA_FORMATS = ("channels_last", "channels_first")


def _read_settings() -> dict:
    settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        with open(os.path.join(home, "keras.json"), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return settings
    if not isinstance(found, dict):
        return settings
    if found.get("floatx") in _FLOAT_TYPES:
        settings["floatx"] = found["floatx"]
    if isinstance(found.get("epsilon"), float):
        settings["epsilon"] = found["epsilon"]
    if found.get("image_data_format") in _DATA_FORMATS:
        settings["image_data_format"] = found["image_data_format"]
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


def precision(dtypes: Iterable[Any]):
    """A context in which JAX computes with 64 bits where one of `dtypes` has them, and as it is otherwise."""
    import jax

    wide = any(str(dtype) in ("float64", "int64", "uint64", "complex128") for dtype in dtypes)
    return jax.enable_x64(True) if wide else contextlib.nullcontext()
