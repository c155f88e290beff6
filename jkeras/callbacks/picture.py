"""The picture of a history: curves over the epochs."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["plot_history"]


def plot_history(
    epochs: Sequence[int], history: Mapping[str, Sequence[Any]], metrics: Sequence[str] | None = None, ax: Any = None
):
    """The figure of `History.plot`, which see.

    Arguments:
        epochs: the epochs' numbers, from 0; they are shown from 1.
        history: name -> values at the ends of the epochs.
    """
    names = _quantities(history, metrics)
    axes = _new_axes(len(names)) if ax is None else list(np.ravel(ax))
    if len(axes) != len(names):
        raise ValueError(f"History.plot: {len(axes)} axes were given for {len(names)} quantities ({', '.join(names)}).")
    for name, axis in zip(names, axes, strict=True):
        validation = f"val_{name}"
        for key, label, color in ((name, "training", "C0"), (validation, "validation", "C1")):
            if key in history:
                values = history[key]
                # A single epoch is a point: without a marker it could not be seen.
                marker = "o" if len(values) <= 20 else None
                numbers = np.asarray(epochs[: len(values)]) + 1
                axis.plot(numbers, values, label=label, color=color, marker=marker, markersize=4)
        axis.set_xlabel("epoch")
        axis.set_ylabel(name)
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.grid(alpha=0.3)
        if validation in history:
            axis.legend()
    return axes[0].figure


def _quantities(history, metrics) -> list:
    """The names of the panels: those asked for, or all that was logged and is a number."""
    if metrics is not None:
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        for name in names:
            if name not in history and f"val_{name}" not in history:
                raise ValueError(f"History.plot: {name!r} was not logged; there are {', '.join(history) or 'no logs'}.")
    else:
        numbers = [name for name, values in history.items() if all(_is_number(value) for value in values)]
        names = list(dict.fromkeys(name.removeprefix("val_") for name in numbers))
    if not names:
        raise ValueError("History.plot: there is nothing to draw: no epoch was finished, or `metrics` is empty.")
    return names


def _is_number(value) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiub"


def _new_axes(count) -> list:
    """Axes side by side in a figure of their own: matplotlib's list of open figures is left alone."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("History.plot needs matplotlib: pip install jkeras[plot]") from error

    class Picture(Figure):
        def _repr_png_(self):
            buffer = io.BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Picture(figsize=(4.5 * columns, 3.2 * rows), layout="constrained")
    return [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
