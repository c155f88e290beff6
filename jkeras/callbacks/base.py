"""`Callback`, which all callbacks are, and `CallbackList`, which calls several.

A callback overrides the hooks that it wants. One that overrides no batch hook costs nothing per batch: the loop then
runs many steps in one go, keeps running means on the device, and reports them now and then to the callbacks that define
`on_progress(seen, logs)`.
"""

import copy
import time
import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jkeras.typing import Function, Logs

__all__ = ["Callback", "CallbackList", "LambdaCallback"]


class Callback:
    """The base of all callbacks: every hook does nothing.

    Attributes:
        model: the model that trains.
        params: dict of 'epochs', 'samples', 'steps', 'batch_size', 'verbose', 'do_validation' and 'metrics', the names
            of what is logged.
        validation_data: what the model is validated on, or None.

    Each hook gets `logs`, a dict name -> number: at the end of an epoch the loss and the metrics over it, also on the
    validation data as 'val_...'; before a batch its 'batch' and 'size'; after it also its loss and metrics.

    A run that is to go on after a restart keeps what `get_state` gives and, after `on_train_begin`, hands it to
    `set_state`. A callback that counts or remembers names the attributes in question:

        >>> class Longest(Callback):
        ...     state_names = ("epochs",)
        ...     epochs = 0
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.epochs += 1
        >>> callback = Longest()
        >>> callback.on_epoch_end(0)
        >>> callback.get_state()
        {'epochs': 1}
    """

    validation_data: Any = None
    model: Any = None
    params: Any = None
    #: The attributes that have to survive a restart: numbers, strings, None, arrays, and lists and dicts of these.
    state_names: tuple = ()

    def get_state(self) -> dict:
        """A copy of what has to survive a restart: name -> value."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.state_names}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which `get_state` gave in an earlier run; called after `on_train_begin`.

        Raises:
            ValueError: if it is the state of another kind of callback.
        """
        if set(state) != set(self.state_names):
            raise ValueError(
                f"{type(self).__name__}.set_state: the state has the entries {sorted(state)}; expected "
                f"{sorted(self.state_names)}."
            )
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))

    #: Whether it keeps what an interrupted run goes on from; see `BackupAndRestore`.
    keeps_backups = False

    def observer(self, fitting: Any) -> Any:
        """What looks at the steps of training for this callback: a `jkeras.train.Observer`, or None.

        Arguments:
            fitting: the run of `fit`: its `model`, `trainer`, `epoch`, and `steps_before` the epoch.
        """

    def set_params(self, params: dict) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called before an epoch; they are counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called after an epoch and its validation. What is put into `logs` is seen by the callbacks after this one."""

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch; they are counted from 0 in each epoch."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called before training."""

    def on_train_end(self, logs: Logs = None) -> None:
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

    def __init__(self, callbacks: "Iterable[Callback] | None" = None, queue_length: int = 10):
        self.callbacks = list(callbacks or [])
        self.queue_length = queue_length
        self._forget_times()

    def append(self, callback: Callback) -> None:
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

    def set_params(self, params: dict) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def _call(self, hook, *arguments, logs):
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments, logs)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._call("on_train_begin", logs=logs)

    def on_train_end(self, logs: Logs = None) -> None:
        self._call("on_train_end", logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._call("on_epoch_begin", epoch, logs=logs)
        self._forget_times()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._call("on_epoch_end", epoch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._timed("on_batch_begin", batch, logs)
        self._entered = time.time()

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._entered is not None:
            self._batch_seconds = time.time() - self._entered
        self._timed("on_batch_end", batch, logs)
        for callback in self._listeners():
            if hasattr(callback, "add_batch"):
                callback.add_batch({} if logs is None else logs)

    def on_progress(self, seen: int, logs: Mapping[str, Any]) -> None:
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
        self, on_epoch_begin: Function | None = None, on_epoch_end: Function | None = None,
        on_batch_begin: Function | None = None, on_batch_end: Function | None = None,
        on_train_begin: Function | None = None, on_train_end: Function | None = None, **kwargs,
    ):  # fmt: skip
        hooks = {name: hook for name, hook in locals().items() if name.startswith("on_") and hook is not None}
        self.__dict__.update(kwargs, **hooks)
