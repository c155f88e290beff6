"""Progress in a notebook: one display that is drawn over, and stays in the saved file as it was last."""

import html
import sys
import time
from collections.abc import Iterable
from typing import Any

from jkeras.utils.generic_utils import _pace, _remaining

__all__ = ["LiveProgress", "in_notebook"]


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook. Does not import IPython."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)


class LiveProgress:
    """The epochs of one training as a table, and the running one as a bar with its means.

    Arguments:
        epochs: how many epochs there are to be.
        batch_size: examples per step where examples are counted; None where steps are.

    Attributes:
        interval: the least time between two drawings, in seconds.
        rows: how many of the last epochs are shown.
    """

    interval = 0.2
    rows = 20
    _seen = 0

    def __init__(self, epochs: int, batch_size: int | None = None):
        self.epochs, self.batch_size = epochs, batch_size
        self._handle = None
        self._drawn = 0.0
        self._finished: list = []  # (epoch's number, name -> value, seconds, steps)
        self._running = None  # the number of the running epoch, counted from 1

    def start(self, epoch: int, target: int | None):
        """An epoch begins; they are counted from 0. `target` is how much there is to count, or None."""
        self._running, self._target, self._began = epoch + 1, target, time.time()
        self.update(0, [])

    def update(self, seen: int, values: Iterable[tuple[str, Any]]):
        """So much is done, with these means: pairs (name, value)."""
        self._seen, self._values = seen, dict(values)
        if time.time() - self._drawn >= self.interval:
            self.draw()

    def finish(self, seen: int, values: Iterable[tuple[str, Any]]):
        """The running epoch is over; so much was done, with these values: pairs (name, value)."""
        self._seen = seen
        self._finished.append((self._running, dict(values), time.time() - self._began, self._steps()))
        self._running = None
        if time.time() - self._drawn >= self.interval:
            self.draw()

    def draw(self):
        """Show how things stand now."""
        bundle = {"text/html": self._html(), "text/plain": self._text()}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        self._drawn = time.time()

    def _steps(self):
        return -(-self._seen // self.batch_size) if self.batch_size else self._seen

    def _now(self) -> list:
        """What is told of the running epoch beside its bar."""
        passed, steps = time.time() - self._began, self._steps()
        parts = [f"{self._seen}/{self._target}" if self._target else f"{self._seen}"]
        if steps:
            parts.append(_pace(passed / steps))
            if self._target:
                parts.append(f"ETA: {_remaining(passed / self._seen * (self._target - self._seen))}")
        return parts + [f"{name}: {_number(value)}" for name, value in self._values.items()]

    def _table(self) -> list:
        """Rows of texts: the names, and the last finished epochs."""
        shown = self._finished[-self.rows :]
        names = list(dict.fromkeys(name for _, values, _, _ in shown for name in values))
        table = [["epoch", *names, "time", ""]] if shown else []
        for number, values, seconds, steps in shown:
            numbers = [_number(values[name]) if name in values else "" for name in names]
            table.append([str(number), *numbers, f"{seconds:.1f}s", _pace(seconds / max(steps, 1))])
        return table

    def _html(self) -> str:
        parts = []
        if self._running is not None:
            bar = f'<progress value="{self._seen}" max="{self._target}"></progress>' if self._target else ""
            told = html.escape(" \N{MIDDLE DOT} ".join(self._now()))
            parts.append(f"<div>Epoch {self._running}/{self.epochs} {bar} {told}</div>")
        for place, row in enumerate(self._table()):
            tag = "td" if place else "th"
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            parts.append(f"{'' if place else '<table>'}<tr>{cells}</tr>")
        return "".join(parts) + ("</table>" if self._finished else "")

    def _text(self) -> str:
        lines = [f"Epoch {self._running}/{self.epochs} - {' - '.join(self._now())}"] if self._running else []
        table = self._table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join(lines)


def _number(value) -> str:
    """As in the progress bar of a terminal."""
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
