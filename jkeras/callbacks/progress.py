"""`ProgbarLogger`: how far training is, on the standard output or in a notebook."""

from collections.abc import Iterable, Mapping
from typing import Any

from jkeras.callbacks.base import Callback
from jkeras.callbacks.log import BaseLogger
from jkeras.callbacks.notebook import LiveProgress, in_notebook
from jkeras.typing import Logs
from jkeras.utils.generic_utils import Progbar

__all__ = ["ProgbarLogger"]


class ProgbarLogger(Callback):
    """Shows progress and running means: a bar on the standard output, or in a notebook one display for all epochs.

    It hears of batches by `on_progress`, so that it never makes training run batch by batch.

    Arguments:
        count_mode: 'samples' or 'steps', what is counted.
        stateful_metrics: names of metrics that are shown as they stand where batches are driven one by one.

    Raises:
        ValueError: for another `count_mode`.
    """

    def __init__(self, count_mode: str = "samples", stateful_metrics: Iterable[str] | None = None):
        if count_mode not in ("samples", "steps"):
            raise ValueError(f"Unknown `count_mode`: {count_mode} (expected 'samples' or 'steps')")
        self.use_steps = count_mode == "steps"
        self.stateful_metrics = set(stateful_metrics or ())
        self.verbose, self.epochs, self.seen = 0, None, 0
        self._live: LiveProgress | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.verbose, self.epochs = self.params["verbose"], self.params["epochs"]
        self._live = None
        if self.verbose == 1 and in_notebook():
            self._live = LiveProgress(self.epochs, None if self.use_steps else self.params.get("batch_size"))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.seen = 0
        self._means = BaseLogger(self.stateful_metrics)
        if self.verbose:
            self.target = self.params["steps" if self.use_steps else "samples"]
            if self._live:
                self._live.start(epoch, self.target)
                return
            print(f"Epoch {epoch + 1}/{self.epochs}")
            # The numbers that arrive are means already.
            self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.params["metrics"])

    def on_progress(self, seen: int, logs: Mapping[str, Any]):
        """Show the means so far. The end of the epoch is shown by `on_epoch_end`."""
        self.seen = seen
        if self.verbose and (self.target is None or seen < self.target):
            (self._live or self.progbar).update(seen, self._shown(logs))

    def add_batch(self, logs: dict[str, Any]):
        """Count a batch and its logs where batches are driven one by one."""
        self._means.on_batch_end(0, logs)
        self.on_progress(self.seen + (1 if self.use_steps else logs.get("size", 0)), self._means.means())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self._live:
            self._live.finish(self.seen, self._shown(logs or {}))
        elif self.verbose:
            self.progbar.update(self.seen, self._shown(logs or {}))

    def on_train_end(self, logs: Logs = None) -> None:
        if self._live:
            self._live.draw()

    def _shown(self, logs):
        return [(name, logs[name]) for name in self.params["metrics"] if name in logs]
