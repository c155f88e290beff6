"""Callbacks that keep, write or send the numbers of each epoch."""

import csv
import http.client
import json
import os
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jkeras.callbacks.base import Callback
from jkeras.callbacks.picture import plot_history
from jkeras.typing import Logs, PathLike

__all__ = ["BaseLogger", "CSVLogger", "History", "RemoteMonitor"]


class BaseLogger(Callback):
    """Puts the means of all batches of an epoch, weighted by their sizes, into the epoch's logs.

    Training does this by itself, on the device; this is for those who drive callbacks by hand.

    Arguments:
        stateful_metrics: names of metrics that are kept as they stand, not averaged.
    """

    def __init__(self, stateful_metrics: Iterable[str] | None = None):
        self.stateful_metrics = set(stateful_metrics or ())
        self.seen, self.totals = 0, {}

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.seen, self.totals = 0, {}

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = logs or {}
        size = logs.get("size", 0)
        self.seen += size
        for name, value in logs.items():
            if name in self.stateful_metrics:
                self.totals[name] = value
            else:
                self.totals[name] = self.totals.get(name, 0) + value * size

    def means(self) -> dict:
        """name -> mean over the batches so far, or last value."""
        seen = max(self.seen, 1)
        return {name: total if name in self.stateful_metrics else total / seen for name, total in self.totals.items()}

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            means = self.means()
            logs.update({name: means[name] for name in self.params["metrics"] if name in means})


class History(Callback):
    """Keeps the logs of all epochs; `fit` returns it.

    Attributes:
        epoch: the epochs' numbers.
        history: name -> list of the values at the ends of these epochs.

    Example:
        >>> history = History()
        >>> history.on_train_begin()
        >>> history.on_epoch_end(0, {"loss": 0.5})
        >>> history.history
        {'loss': [0.5]}
    """

    state_names = ("epoch", "history")

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch, self.history = [], {}

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self, metrics: Sequence[str] | None = None, ax: Any = None):
        """Draw the curves: a panel for each quantity, training and validation together. Needs matplotlib.

        Arguments:
            metrics: names, or one name, without 'val_'; None for all that was logged.
            ax: matplotlib axes to draw into, one for each quantity (a single one for a single quantity).

        Returns:
            The matplotlib `Figure`. A notebook shows it; `savefig` writes it to a file.

        Raises:
            ImportError: without matplotlib.
            ValueError: for a quantity that was not logged, or another number of axes than of quantities.
        """
        return plot_history(getattr(self, "epoch", []), getattr(self, "history", {}), metrics, ax)


class CSVLogger(Callback):
    """Writes one line of numbers per epoch to a file, at once.

    Arguments:
        filename: the file.
        separator: what stands between numbers.
        append: whether to go on with the file if it exists, instead of starting it anew.

    Example:
        >>> logger = CSVLogger("training.csv", append=True)  # for `model.fit(..., callbacks=[logger])`
    """

    #: `size` is the length of the file, in bytes, as far as it holds this run's lines (and those it was appended to).
    state_names = ("keys", "size")

    def __init__(self, filename: PathLike, separator: str = ",", append: bool = False):
        self.filename, self.sep, self.append = filename, separator, append
        self.keys = None
        self.size = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        with self._open():  # a file that cannot be written is an error now
            # What is in it is cut off only when a line is written: a resumed run goes on with it.
            self.size = os.path.getsize(self.filename) if self.append else 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
        row = {name: _in_one_cell(logs[name]) for name in self.keys if name in logs}
        with self._open() as file:
            self._cut(file)
            writer = csv.DictWriter(file, ["epoch", *self.keys], restval="NA", delimiter=self.sep)
            if self.size == 0:
                writer.writeheader()
            writer.writerow({"epoch": epoch, **row})
        self.size = os.path.getsize(self.filename)

    def on_train_end(self, logs: Logs = None) -> None:
        with self._open() as file:
            self._cut(file)

    def _open(self):
        return open(self.filename, "a", newline="\n", encoding="utf-8")

    def _cut(self, file):
        """Take off what is not of this run: the lines of an earlier one, or of the epochs that are done again."""
        present = os.path.getsize(self.filename)
        if present < self.size:
            warnings.warn(
                f"CSVLogger: {self.filename} has {present} bytes and had {self.size} before the restart: lines of "
                "earlier epochs are missing.",
                stacklevel=4,
            )
            self.size = present
        file.truncate(self.size)


def _in_one_cell(value):
    """A number or text as it is, anything listed as one text."""
    if isinstance(value, str) or not np.ndim(value):
        return str(value)
    return f'"[{", ".join(map(str, value))}]"'


class RemoteMonitor(Callback):
    """Sends the logs of each epoch to a server, by HTTP POST. A server that cannot be reached is a warning.

    Arguments:
        root: the address of the server.
        path: where on it.
        field: the name of the form field that holds the JSON text; not used with `send_as_json`.
        headers: dict of further HTTP headers.
        send_as_json: whether to send the JSON text itself (as application/json) instead of a form.

    What is sent is an object of 'epoch' and all logs.

    Example:
        >>> monitor = RemoteMonitor("http://localhost:9000", send_as_json=True)
    """

    #: How long to wait for the server, in seconds.
    timeout = 10

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ):
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        body = json.dumps({"epoch": epoch, **(logs or {})}, default=_as_json)
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        if not self.send_as_json:
            body = urllib.parse.urlencode({self.field: body})
        try:
            request = urllib.request.Request(
                self.root + self.path, body.encode(), {"Content-Type": kind, **(self.headers or {})}, method="POST"
            )
            urllib.request.urlopen(request, timeout=self.timeout).close()
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: the address is none
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}: {error}", stacklevel=2)


def _as_json(value):
    """A numpy or JAX value as numbers and lists, anything else as text."""
    return np.asarray(value).tolist() if hasattr(value, "dtype") else str(value)
