"""Backups of a run, from which the same script goes on after it was killed."""

import contextlib
import os
from typing import Any

from jkeras.callbacks.base import Callback
from jkeras.serialize import checkpoint
from jkeras.train.observe import Observer
from jkeras.typing import PathLike, Tree

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Makes an interrupted run end where it would have ended.

    Run the same script again: `fit` finds the backup and goes on from there, to the same bits on the same devices. The
    backup holds weights, states, the optimizer, the run's key, the position in the data, the running metrics, the
    history and what the other callbacks name in their `state_names`. It is written whole or not at all, and removed
    when `fit` has finished. Arrays and Sequences go on at their position; a generator is made to skip what was used.

    Arguments:
        directory: where to keep the backup; made if it is not there. Each `fit` of a script needs one of its own.
        every: "epoch", or after how many steps a backup is made.

    Raises:
        ValueError: for another `every`; by `fit`, if the backup is of another model, other callbacks or another key.

    Example:
        >>> backup = BackupAndRestore("/tmp/run_1", every=100)
        >>> backup.every
        100
    """

    keeps_backups = True

    def __init__(self, directory: PathLike, every: str | int = "epoch"):
        if every != "epoch" and not (isinstance(every, int) and not isinstance(every, bool) and every > 0):
            raise ValueError(f"BackupAndRestore: every must be 'epoch' or a number of steps; got {every!r}.")
        self.directory, self.every = os.fspath(directory), every

    def observer(self, fitting: Any):
        return None if self.every == "epoch" else _Saving(fitting, self.every)

    @property
    def path(self) -> str:
        """The file of the backup."""
        return os.path.join(self.directory, "backup.npz")

    def load(self) -> dict | None:
        """The backup, or None if there is none.

        Raises:
            ValueError: if the file is damaged, or no backup.
        """
        if not os.path.exists(self.path):
            return None
        saved = checkpoint.read(self.path)
        missing = {"key", "numpy_state", "epoch", "batch", "stopped", "names", "leaves", "callbacks"} - set(saved)
        if missing:
            raise ValueError(f"BackupAndRestore: {self.path} is no backup of a run (it has no {sorted(missing)}).")
        return saved

    def save(self, tree: Tree) -> None:
        """Write a backup in place of the one before."""
        os.makedirs(self.directory, exist_ok=True)
        checkpoint.write(self.path, tree)

    def remove(self) -> None:
        """Remove the backup: the run has finished."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path)


class _Saving(Observer):
    """Has a run backed up every so many steps."""

    def __init__(self, fitting, every):
        self.fitting, self.every = fitting, every

    def room(self, step):
        return self.every - (self.fitting.steps_before + step) % self.every

    def after(self, view):
        if self.room(view.step) == self.every:
            self.fitting.save(self.fitting.epoch, view.step)
