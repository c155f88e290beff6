"""Callbacks that steer training: stop it, change the learning rate, save the model."""

import inspect
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from jkeras.callbacks.base import Callback
from jkeras.typing import Function, Logs, PathLike

__all__ = ["EarlyStopping", "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau", "TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stops training when the loss of a batch is not finite."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


def _is_maximized(callback, mode, monitor, larger_is_better) -> bool:
    """Whether `mode` ('min', 'max' or 'auto') means that the larger value of `monitor` is the better one."""
    if mode not in ("auto", "min", "max"):
        warnings.warn(
            f"{type(callback).__name__} mode {mode} is unknown, fallback to auto mode.", RuntimeWarning, stacklevel=3
        )
        mode = "auto"
    return larger_is_better(monitor) if mode == "auto" else mode == "max"


def _missing(what, monitor, logs):
    warnings.warn(
        f"{what} conditioned on metric `{monitor}` which is not available. Available metrics are: {','.join(logs)}",
        RuntimeWarning,
        stacklevel=3,
    )


class ModelCheckpoint(Callback):
    """Saves the model after epochs. A file is complete or not there.

    Arguments:
        filepath: where; may name the epoch (from 1) and logs, as in 'weights.{epoch:02d}-{val_loss:.2f}.h5'.
        monitor: the name of what is watched.
        verbose: 1 tells of each epoch.
        save_best_only: whether to save only what is better than all before.
        save_weights_only: whether to save by `save_weights` instead of `save`.
        mode: whether 'min' or 'max' is best; 'auto' goes by the name.
        period: save every so many epochs.
    """

    state_names = ("best", "epochs_since_last_save")

    def __init__(
        self, filepath: PathLike, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", period: int = 1,
    ):  # fmt: skip
        self.filepath = os.fspath(filepath)
        self.monitor, self.verbose, self.period = monitor, verbose, period
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.epochs_since_last_save = 0
        maximized = _is_maximized(self, mode, monitor, lambda name: "acc" in name or name.startswith("fmeasure"))
        self.monitor_op, self.best = (np.greater, -np.inf) if maximized else (np.less, np.inf)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save < self.period:
            return
        self.epochs_since_last_save = 0
        filepath = self.filepath.format(**{**logs, "epoch": epoch + 1})
        if not self.save_best_only:
            self._tell(epoch, f"saving model to {filepath}")
            self._save(filepath)
            return
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Can save best model only with {self.monitor} available, skipping.", RuntimeWarning, stacklevel=2
            )
        elif self.monitor_op(current, self.best):
            change = f"{self.monitor} improved from {self.best:0.5f} to {current:0.5f}"
            self._tell(epoch, f"{change}, saving model to {filepath}")
            self.best = current
            self._save(filepath)
        else:
            self._tell(epoch, f"{self.monitor} did not improve from {self.best:0.5f}")

    def _tell(self, epoch, text):
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: {text}")

    def _save(self, filepath):
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(filepath, overwrite=True)


class EarlyStopping(Callback):
    """Stops training when a watched number no longer improves.

    Arguments:
        monitor: its name.
        min_delta: the least change that counts as an improvement.
        patience: after how many epochs without improvement to stop.
        verbose: 1 tells of it.
        mode: whether it should fall ('min') or rise ('max'); 'auto' goes by the name.
        baseline: what it must be better than from the start.
        restore_best_weights: whether to go back to the weights of the best epoch when training is stopped.
    """

    state_names = ("best", "best_weights", "stopped_epoch", "wait")

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0, mode: str = "auto",
        baseline: float | None = None, restore_best_weights: bool = False,
    ):  # fmt: skip
        self.monitor, self.patience, self.verbose, self.baseline = monitor, patience, verbose, baseline
        self.restore_best_weights = restore_best_weights
        maximized = _is_maximized(self, mode, monitor, lambda name: "acc" in name)
        self.monitor_op = np.greater if maximized else np.less
        self.min_delta = min_delta if maximized else -min_delta
        self._reset()

    def _reset(self):
        self.wait, self.stopped_epoch, self.best_weights = 0, 0, None
        self.best = -np.inf if self.monitor_op is np.greater else np.inf
        if self.baseline is not None:
            self.best = self.baseline

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        current = self.get_monitor_value(logs or {})
        if current is None:
            return
        if self.monitor_op(current - self.min_delta, self.best):
            self.best, self.wait = current, 0
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.best_weights is not None:  # None where no epoch was better than the baseline
                if self.verbose > 0:
                    print("Restoring model weights from the end of the best epoch")
                self.model.set_weights(self.best_weights)

    def on_train_end(self, logs: Logs = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1:05d}: early stopping")

    def get_monitor_value(self, logs: Mapping[str, Any]):
        """The watched number, or None with a warning if it is not logged."""
        value = logs.get(self.monitor)
        if value is None:
            _missing("Early stopping", self.monitor, logs)
        return value


def _learning_rate(model):
    """The learning rate of the model's optimizer, as a numpy number."""
    if not hasattr(model.optimizer, "lr"):
        raise ValueError('Optimizer must have a "lr" attribute.')
    return np.asarray(model.optimizer.lr)[()]


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Arguments:
        schedule: `schedule(epoch, lr)` or `schedule(epoch)` -> the new rate, a float; epochs count from 0.
        verbose: 1 tells of it.

    Raises:
        ValueError: if the optimizer has no `lr`, or the schedule does not give a float.
    """

    def __init__(self, schedule: Function, verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose

    def _takes_rate(self) -> bool:
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
        except TypeError:
            return False
        except ValueError:  # some built-in functions do not tell their signature
            pass
        return True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        rate = float(_learning_rate(self.model))
        rate = self.schedule(epoch, rate) if self._takes_rate() else self.schedule(epoch)
        array = np.asarray(rate)
        if array.dtype.kind != "f" or array.ndim:
            raise ValueError(f'The output of the "schedule" function should be float; it gave {rate!r}.')
        self.model.optimizer.lr = array[()]
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {array}.")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            logs["lr"] = _learning_rate(self.model)


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a watched number no longer improves.

    Arguments:
        monitor: its name.
        factor: what the rate is multiplied by, less than 1.
        patience: after how many epochs without improvement.
        verbose: 1 tells of it.
        mode: whether it should fall ('min') or rise ('max'); 'auto' goes by the name.
        min_delta: the least change that counts as an improvement.
        cooldown: for how many epochs after a change not to count.
        min_lr: where to stop.

    Raises:
        ValueError: if the factor is not less than 1.
        TypeError: for unknown arguments.
    """

    state_names = ("best", "cooldown_counter", "wait")

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
        min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0, **kwargs,
    ):  # fmt: skip
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. (factor={factor})")
        if "epsilon" in kwargs:
            min_delta = kwargs.pop("epsilon")
            warnings.warn("`epsilon` argument is deprecated, use `min_delta` instead.", stacklevel=2)
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau got unexpected keyword arguments: {', '.join(sorted(kwargs))}")
        self.monitor, self.factor, self.patience, self.verbose = monitor, factor, patience, verbose
        self.min_delta, self.cooldown, self.min_lr = min_delta, cooldown, min_lr
        self.maximized = _is_maximized(self, mode, monitor, lambda name: "acc" in name)
        self.mode = mode if mode in ("auto", "min", "max") else "auto"
        self._reset()

    def _reset(self):
        self.cooldown_counter, self.wait = 0, 0
        self.best = -np.inf if self.maximized else np.inf

    def monitor_op(self, current: float, best: float) -> bool:
        """Whether `current` is better than `best` by more than `min_delta`."""
        return current > best + self.min_delta if self.maximized else current < best - self.min_delta

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = {} if logs is None else logs
        logs["lr"] = _learning_rate(self.model)
        current = logs.get(self.monitor)
        if current is None:
            _missing("Reduce LR on plateau", self.monitor, logs)
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.monitor_op(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch, float(logs["lr"]))

    def _reduce(self, epoch, rate):
        if rate <= self.min_lr:
            return
        rate = max(rate * self.factor, self.min_lr)
        self.model.optimizer.lr = rate
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: ReduceLROnPlateau reducing learning rate to {rate}.")
        self.cooldown_counter, self.wait = self.cooldown, 0

    def in_cooldown(self) -> bool:
        """Whether a change was so recent that epochs do not count."""
        return self.cooldown_counter > 0
