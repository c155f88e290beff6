"""Small checks of what users pass: counts, class numbers, arrays that hide something."""

import math
import reprlib
import warnings
from typing import Any

import numpy as np

from jkeras.typing import ArrayLike

__all__ = ["check_open", "unmasked", "whole_number", "wrong_labels"]


def whole_number(value: Any, name: str, least: int | None = None, *, up: bool = False) -> int:
    """`value`, a count that a user gave, as an int.

    Arguments:
        value: an integer, of Python or numpy.
        name: what the user calls it.
        least: the smallest that it may be.
        up: whether a fraction is rounded up, as in Keras's loops over generators.

    Raises:
        ValueError: if it is no whole number, or too small.

    Example:
        >>> whole_number(46.9, "steps_per_epoch", up=True)
        47
    """
    found = None
    if not isinstance(value, (bool, np.bool_)):
        if up and isinstance(value, (float, np.floating)) and math.isfinite(value):
            found = math.ceil(float(value))
        elif hasattr(value, "__index__") and np.ndim(value) == 0:
            found = int(value)
    if found is None or (least is not None and found < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} must be a whole number{bound}. Found: {reprlib.repr(value)}")
    return found


def wrong_labels(labels: ArrayLike, classes: int) -> str:
    """What is wrong with class numbers on the host: the ends of them, where not all are from 0 to `classes` - 1."""
    labels = np.asarray(labels)
    if labels.size == 0:
        return ""
    low, high = labels.min(), labels.max()
    if low > -1 and high < classes:  # false of NaN; fractions are cut off, as in Keras
        return ""
    return (
        f"labels from {low:g} to {high:g}; the output has {classes} classes, which are numbered from 0 to {classes - 1}"
    )


def unmasked(array: Any, where: str) -> np.ndarray:
    """A masked array of numpy's without its mask, as Keras takes it; with a warning where that hides something."""
    count = np.ma.count_masked(array)
    if count:
        warnings.warn(
            f"{where} has {count} masked values; the mask is ignored, as in Keras, and what stands under it is taken. "
            "Fill them before (`array.filled(0)`), or weigh their examples 0 by `sample_weight`.",
            stacklevel=2,
        )
    return np.ma.getdata(array)


def check_open(value: Any, where: str) -> None:
    """Check that what may be a data set of an HDF5 file can be read.

    Raises:
        ValueError: if its file was closed.
    """
    if type(value).__module__.partition(".")[0] == "h5py" and not value:
        raise ValueError(f"{where}: a data set of an HDF5 file that was closed ({value!r}). Keep the file open.")
