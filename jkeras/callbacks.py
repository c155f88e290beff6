"""Callbacks: what users have called while a model trains.

A callback overrides the hooks that it wants. One that overrides no batch hook costs nothing per batch: the loop then
runs many steps in one go, keeps running means on the device, and reports them now and then to the callbacks that define
`on_progress(seen, logs)`.
"""

import csv
import inspect
import os
import time
import warnings
from collections import deque

import numpy as np

from jkeras.utils.generic_utils import Progbar

__all__ = [
    "BaseLogger",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Progbar",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]


class Callback:
    """The base of all callbacks: every hook does nothing.

    Attributes:
        model: the model that trains.
        params: dict of 'epochs', 'samples', 'steps', 'batch_size', 'verbose', 'do_validation' and 'metrics', the names
            of what is logged.
        validation_data: what the model is validated on, or None.

    Each hook gets `logs`, a dict name -> number: at the end of an epoch the loss and the metrics over it, also on the
    validation data as 'val_...'; before a batch its 'batch' and 'size'; after it also its loss and metrics.
    """

    validation_data = None
    model = None
    params = None

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self.model = model

    def on_epoch_begin(self, epoch, logs=None):
        """Called before an epoch; they are counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Called after an epoch and its validation. What is put into `logs` is seen by the callbacks after this one."""

    def on_batch_begin(self, batch, logs=None):
        """Called before a batch; they are counted from 0 in each epoch."""

    def on_batch_end(self, batch, logs=None):
        """Called after a batch."""

    def on_train_begin(self, logs=None):
        """Called before training."""

    def on_train_end(self, logs=None):
        """Called after training."""


def _overrides(callback, name) -> bool:
    method = getattr(callback, name)
    return getattr(method, "__func__", method) is not getattr(Callback, name)


class CallbackList:
    """Several callbacks, called one after the other.

    Arguments:
        callbacks: a list of callbacks.
        queue_length: over how many batches the time spent in batch hooks is watched.
    """

    def __init__(self, callbacks=None, queue_length: int = 10):
        self.callbacks = list(callbacks or [])
        self.queue_length = queue_length
        self._forget_times()

    def append(self, callback):
        """Add a callback at the end."""
        self.callbacks.append(callback)

    def __iter__(self):
        return iter(self.callbacks)

    @property
    def needs_batches(self) -> bool:
        """Whether a callback overrides a batch hook, so that each batch has to be a step of its own."""
        hooks = ("on_batch_begin", "on_batch_end")
        return any(_overrides(callback, name) for callback in self.callbacks for name in hooks)

    @property
    def needs_progress(self) -> bool:
        """Whether a callback wants to hear `on_progress`."""
        return bool(self._listeners())

    def _listeners(self):
        return [callback for callback in self.callbacks if hasattr(callback, "on_progress")]

    def set_params(self, params):
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        for callback in self.callbacks:
            callback.set_model(model)

    def _call(self, hook, *arguments, logs):
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments, logs)

    def on_train_begin(self, logs=None):
        self._call("on_train_begin", logs=logs)

    def on_train_end(self, logs=None):
        self._call("on_train_end", logs=logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._call("on_epoch_begin", epoch, logs=logs)
        self._forget_times()

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_end", epoch, logs=logs)

    def on_batch_begin(self, batch, logs=None):
        self._timed("on_batch_begin", batch, logs)
        self._entered = time.time()

    def on_batch_end(self, batch, logs=None):
        if self._entered is not None:
            self._batch_seconds = time.time() - self._entered
        self._timed("on_batch_end", batch, logs)
        for callback in self._listeners():
            if hasattr(callback, "add_batch"):
                callback.add_batch({} if logs is None else logs)

    def on_progress(self, seen, logs):
        """Tell how far the epoch is: now and then where batches are not driven one by one, and at the end.

        Arguments:
            seen: examples so far, or steps where they are what is counted.
            logs: name -> mean over the epoch so far.
        """
        for callback in self._listeners():
            callback.on_progress(seen, logs)

    def _forget_times(self):
        self._batch_seconds, self._entered = 0.0, None
        self._spent = {hook: deque(maxlen=self.queue_length) for hook in ("on_batch_begin", "on_batch_end")}

    def _timed(self, hook, batch, logs):
        started = time.time()
        self._call(hook, batch, logs=logs)
        self._spent[hook].append(time.time() - started)
        median = np.median(self._spent[hook])
        if self._batch_seconds > 0 and median > max(0.95 * self._batch_seconds, 0.1):
            warnings.warn(
                f"Method {hook}() is slow compared to the batch update ({median:f}). Check your callbacks.",
                stacklevel=3,
            )


class BaseLogger(Callback):
    """Puts the means of all batches of an epoch, weighted by their sizes, into the epoch's logs.

    Training does this by itself, on the device; this is for those who drive callbacks by hand.

    Arguments:
        stateful_metrics: names of metrics that are kept as they stand, not averaged.
    """

    def __init__(self, stateful_metrics=None):
        self.stateful_metrics = set(stateful_metrics or ())
        self.seen, self.totals = 0, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.seen, self.totals = 0, {}

    def on_batch_end(self, batch, logs=None):
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

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            means = self.means()
            logs.update({name: means[name] for name in self.params["metrics"] if name in means})


class TerminateOnNaN(Callback):
    """Stops training when the loss of a batch is not finite."""

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class ProgbarLogger(Callback):
    """Shows progress and running means on the standard output.

    It hears of batches by `on_progress`, so that it never makes training run batch by batch.

    Arguments:
        count_mode: 'samples' or 'steps', what is counted.
        stateful_metrics: names of metrics that are shown as they stand where batches are driven one by one.

    Raises:
        ValueError: for another `count_mode`.
    """

    def __init__(self, count_mode: str = "samples", stateful_metrics=None):
        if count_mode not in ("samples", "steps"):
            raise ValueError(f"Unknown `count_mode`: {count_mode} (expected 'samples' or 'steps')")
        self.use_steps = count_mode == "steps"
        self.stateful_metrics = set(stateful_metrics or ())
        self.verbose, self.epochs, self.seen = 0, None, 0

    def on_train_begin(self, logs=None):
        self.verbose, self.epochs = self.params["verbose"], self.params["epochs"]

    def on_epoch_begin(self, epoch, logs=None):
        self.seen = 0
        self._means = BaseLogger(self.stateful_metrics)
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.epochs}")
            self.target = self.params["steps" if self.use_steps else "samples"]
            # The numbers that arrive are means already.
            self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.params["metrics"])

    def on_progress(self, seen, logs):
        """Show the means so far. The end of the epoch is shown by `on_epoch_end`."""
        self.seen = seen
        if self.verbose and (self.target is None or seen < self.target):
            self.progbar.update(seen, self._shown(logs))

    def add_batch(self, logs):
        """Count a batch and its logs where batches are driven one by one."""
        self._means.on_batch_end(0, logs)
        self.on_progress(self.seen + (1 if self.use_steps else logs.get("size", 0)), self._means.means())

    def on_epoch_end(self, epoch, logs=None):
        if self.verbose:
            self.progbar.update(self.seen, self._shown(logs or {}))

    def _shown(self, logs):
        return [(name, logs[name]) for name in self.params["metrics"] if name in logs]


class History(Callback):
    """Keeps the logs of all epochs; `fit` returns it.

    Attributes:
        epoch: the epochs' numbers.
        history: name -> list of the values at the ends of these epochs.
    """

    def on_train_begin(self, logs=None):
        self.epoch, self.history = [], {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


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

    def __init__(
        self,
        filepath,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: int = 1,
    ):
        self.filepath = os.fspath(filepath)
        self.monitor, self.verbose, self.period = monitor, verbose, period
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.epochs_since_last_save = 0
        maximized = _is_maximized(self, mode, monitor, lambda name: "acc" in name or name.startswith("fmeasure"))
        self.monitor_op, self.best = (np.greater, -np.inf) if maximized else (np.less, np.inf)

    def on_epoch_end(self, epoch, logs=None):
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

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
    ):
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

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
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

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1:05d}: early stopping")

    def get_monitor_value(self, logs):
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

    def __init__(self, schedule, verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose

    def _takes_rate(self) -> bool:
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
        except TypeError:
            return False
        except ValueError:  # some built-in functions do not tell their signature
            pass
        return True

    def on_epoch_begin(self, epoch, logs=None):
        rate = float(_learning_rate(self.model))
        rate = self.schedule(epoch, rate) if self._takes_rate() else self.schedule(epoch)
        array = np.asarray(rate)
        if array.dtype.kind != "f" or array.ndim:
            raise ValueError(f'The output of the "schedule" function should be float; it gave {rate!r}.')
        self.model.optimizer.lr = array[()]
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {array}.")

    def on_epoch_end(self, epoch, logs=None):
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

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **kwargs,
    ):
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

    def monitor_op(self, current, best) -> bool:
        """Whether `current` is better than `best` by more than `min_delta`."""
        return current > best + self.min_delta if self.maximized else current < best - self.min_delta

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
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


class CSVLogger(Callback):
    """Writes one line of numbers per epoch to a file, at once.

    Arguments:
        filename: the file.
        separator: what stands between numbers.
        append: whether to go on with the file if it exists, instead of starting it anew.
    """

    def __init__(self, filename, separator: str = ",", append: bool = False):
        self.filename, self.sep, self.append = filename, separator, append
        self.keys = self.writer = self.csv_file = None
        self.append_header = True

    def on_train_begin(self, logs=None):
        self.on_train_end()  # of a run that was broken off
        begun = self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        self.append_header = not begun
        mode = "a" if self.append else "w"
        self.csv_file = open(self.filename, mode, newline="\n", encoding="utf-8")  # noqa: SIM115 (closed at the end)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
        if self.writer is None:
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], restval="NA", delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        row = {name: _in_one_cell(logs[name]) for name in self.keys if name in logs}
        self.writer.writerow({"epoch": epoch, **row})
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        if self.csv_file is not None:
            self.csv_file.close()
        self.writer = self.csv_file = None


def _in_one_cell(value):
    """A number or text as it is, anything listed as one text."""
    if isinstance(value, str) or not np.ndim(value):
        return str(value)
    return f'"[{", ".join(map(str, value))}]"'


class LambdaCallback(Callback):
    """A callback made of functions.

    Arguments:
        on_epoch_begin, on_epoch_end: `function(epoch, logs)`.
        on_batch_begin, on_batch_end: `function(batch, logs)`; without these it costs nothing per batch.
        on_train_begin, on_train_end: `function(logs)`.
        **kwargs: further attributes.

    Example:
        >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
        >>> show.on_epoch_end(0, {"loss": 0.5})
        0 0.5
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_batch_begin=None,
        on_batch_end=None,
        on_train_begin=None,
        on_train_end=None,
        **kwargs,
    ):
        hooks = {name: hook for name, hook in locals().items() if name.startswith("on_") and hook is not None}
        self.__dict__.update(kwargs, **hooks)
