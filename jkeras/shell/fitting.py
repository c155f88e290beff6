"""One run of `fit`: epochs over a source of batches, with validation, callbacks and backups."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jkeras import callbacks as cbks
from jkeras import random
from jkeras.data import arrays
from jkeras.forked import check_not_forked
from jkeras.train.observe import Observer, Progress, View
from jkeras.train.state import means
from jkeras.typing import Function

__all__ = ["Fitting", "Outputs", "begun", "in_precision", "measured", "numbers_of", "unpack"]


def in_precision(method: Function):
    """Run `method` with 64-bit types enabled if the model has any."""

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        if not self.built:  # which knows no types yet
            return method(self, *args, **kwargs)
        with self.trainer.core.precision():
            return method(self, *args, **kwargs)

    return wrapped


def unpack(values: Sequence):
    """The only one of `values`, or all of them."""
    return values[0] if len(values) == 1 else values


def numbers_of(report: dict, names: Sequence) -> list:
    """The numbers of a report in the order of `names`, numpy scalars."""
    return [np.asarray(value)[()] for value in jax.device_get([report[name] for name in names])]


def measured(metrics: dict, names: Sequence) -> list:
    """What running sums of losses and metrics have come to, in the order of `names`."""
    found = means(jax.device_get(metrics), np)
    return [np.float64(found[name]) for name in names]


def begun(callbacks: Iterable | None, key: Any):
    """The run to train by, and the backup that it goes on from, or None.

    Raises:
        ValueError: if several callbacks keep backups, or the backup is of a run with another key.
    """
    check_not_forked()
    backup = _backup_among(callbacks)
    saved = None if backup is None else backup.load()
    if backup is None or saved is None:
        return random.as_run(key), None
    run = random.Run(random.Key(saved["key"]), saved["numpy_state"])
    given = None if key is None else random.as_run(key).key.base
    if given is not None and not np.array_equal(jax.random.key_data(given), jax.random.key_data(run.key.base)):
        raise ValueError(f"BackupAndRestore: {backup.path} is the backup of a run with another key.")
    return run, saved


def _backup_among(callbacks):
    for callback in callbacks if isinstance(callbacks, Iterable) else [callbacks] * (callbacks is not None):
        if isinstance(callback, type) or not hasattr(callback, "on_epoch_end") or callback is callbacks:
            raise TypeError(f"fit: `callbacks` must be a list of callbacks (objects, no classes); got {callbacks!r}.")
    found = [callback for callback in callbacks or () if getattr(callback, "keeps_backups", False)]
    if len(found) > 1:
        raise ValueError(f"fit: there can be one BackupAndRestore callback; {len(found)} were given.")
    return found[0] if found else None


class Fitting:
    """A run of `fit` on a compiled model.

    Arguments:
        model: what is trained.
        source: the batches to train on; held_out: those to validate on, or None. See `data.feeding`.
        run: the `jkeras.random.Run` that determines every draw.
        callbacks: the user's.
        params: what callbacks are told, besides what is known here.
        validation: the arrays of the validation data, for callbacks, or None.

    Attributes:
        trainer: what runs the steps; flight: the run of it that is under way.
        epoch: the number of the epoch; steps_before: how many steps were taken before it.
    """

    def __init__(self, model: Any, source: Any, held_out: Any, run: random.Run, callbacks: Iterable | None,
                 params: dict, validation: tuple | None = None):  # fmt: skip
        self.model, self.source, self.held_out, self.run = model, source, held_out, run
        self.trainer, self.names = model.trainer, model.spec.metrics_names
        self.trainer.check_free()
        self.flight: Any = None
        self.verbose, self.epochs, self.epoch, self._first = params["verbose"], params["epochs"], 0, 0
        self.backup: Any = _backup_among(callbacks)
        model.history = cbks.History()
        model.history.key = run
        own = []
        if self.verbose:
            mode = "steps" if source.examples is None else "samples"
            own.append(cbks.ProgbarLogger(mode, stateful_metrics=list(model.spec.stateful_metrics)))
        self.callbacks = cbks.CallbackList([*own, *(callbacks or []), model.history])
        self.callbacks.set_model(model)
        self.callbacks.set_params({**params, "do_validation": held_out is not None})
        held_out_arrays = None
        if validation is not None:
            inputs, targets, weights = validation
            held_out_arrays = [*inputs, *targets, *arrays.with_ones(targets, weights)]  # as Keras hands them over
        for callback in self.callbacks:
            callback.validation_data = held_out_arrays

    @property
    def steps_before(self) -> int:
        return (self.epoch - self._first) * self.source.steps

    def __call__(self, initial_epoch, saved=None):
        """Train; go on from `saved`, a backup of this run, if there is one. Returns the history."""
        model, trainer = self.model, self.trainer
        model.check_trainable()
        model.stop_training = False
        epoch, start = (initial_epoch, 0) if saved is None else (saved["epoch"], saved["batch"])
        self._first = initial_epoch
        if self.source.examples is not None and self.run.numpy_state is not None:
            for past in range(initial_epoch, epoch):
                self.source.order(past)  # numpy's generator goes on from the order of the epoch before
        self._observers = self._made_observers()
        self.callbacks.on_train_begin()
        with trainer.flight(self.run.key) as self.flight:
            if saved is not None:  # which knows all that is read
                self._get_ready()
                if start == 0:
                    self._restore(saved)
            while epoch < self.epochs and not model.stop_training:
                self.epoch = epoch
                self._run_epoch(start, saved if start else None)
                epoch, start = epoch + 1, 0
        self.callbacks.on_train_end()
        if self.backup is not None:
            self.backup.remove()
        return model.history

    def _get_ready(self):
        """Find what steps read, from the first batches: a generator is first asked for one here, as in Keras."""
        with self.flight.open():
            self.trainer.ready("train", self.source.example)
            if self.held_out is not None and self.held_out.examples is not None:
                self.trainer.ready("test", self.held_out.example)

    def _made_observers(self):
        """What looks at the training steps: what callbacks bring along, those that want every batch, or progress, and
        the backup last."""
        brought = [callback.observer(self) for callback in self.callbacks if callback is not self.backup]
        self._hooks = BatchHooks(self) if self.callbacks.needs_batches else None
        self._progress = None if self._hooks else Progress(self._tell)
        last = None if self.backup is None else self.backup.observer(self)
        return [each for each in (*brought, self._hooks or self._progress, last) if each is not None]

    def _run_epoch(self, start, saved):
        model, flight, epoch = self.model, self.flight, self.epoch
        with flight.open():
            if saved is None:
                model.reset_metrics()
            self.callbacks.on_epoch_begin(epoch)
        self._get_ready()
        if saved is None:
            flight.start_metrics()
        else:
            self._restore(saved)
        view = flight.run("train", self.source, self._observers, epoch=epoch, start=start)
        with flight.open():
            if self._progress is not None and not view.stopped:
                self._progress.finish()
            logs = dict(zip(self.names, measured(flight.held.train_state.metrics, self.names), strict=True))
            # Over arrays a pass that ends at its last batch counts as broken off, over a generator it does not.
            broken_off = view.stopped and (self.source.examples is not None or view.step < self.source.steps)
            if self.held_out is not None and not broken_off and self.model.spec.stateful_metrics:
                model.reset_metrics()
        if self.held_out is not None and not broken_off:
            flight.start_metrics()
            with flight.open():
                self.trainer.ready("test", self.held_out.example)
            flight.run("test", self.held_out)
            with flight.open():
                results = measured(flight.held.train_state.metrics, self.names)
            # Validation first, as in Keras's logs.
            logs = {f"val_{name}": value for name, value in zip(self.names, results, strict=True)} | logs
        with flight.open():
            self.callbacks.on_epoch_end(epoch, logs)
        flight.held.settle()
        if self.backup is not None and self.backup.every == "epoch":
            self.save(epoch + 1, 0)

    def _tell(self, examples, steps, report):
        seen = steps if self.source.examples is None else examples
        self.callbacks.on_progress(seen, {name: report[name] for name in self.names})

    # --------------------------------------------------------------------------------------------------- backups

    def save(self, epoch: int, batch: int) -> None:
        """Back up all that the rest of the run depends on, `batch` batches of `epoch` being done."""
        names, leaves, _ = self._flat(self.flight.held.train_state)
        self.backup.save(
            {
                "key": self.run.key.base,
                "numpy_state": self.run.numpy_state,
                "epoch": epoch,
                "batch": batch,
                "stopped": bool(self.model.stop_training),
                "names": names,
                "leaves": jax.device_get(leaves),
                "callbacks": [[type(callback).__name__, callback.get_state()] for callback in self.callbacks],
            }
        )

    def _restore(self, saved):
        """Go on from a backup: its state, its numbers and its callbacks' states."""
        names, leaves, rebuild = self._flat(self.flight.held.train_state)
        _agree("weights and states", saved["names"], names)
        for name, leaf, before in zip(names, leaves, saved["leaves"], strict=True):
            if np.shape(leaf) != np.shape(before):
                raise ValueError(
                    f"BackupAndRestore: {name} has shape {np.shape(leaf)} here and {np.shape(before)} in "
                    f"{self.backup.path}, which is the backup of another run."
                )
        kept = list(self.callbacks)
        _agree("callbacks", [name for name, _ in saved["callbacks"]], [type(callback).__name__ for callback in kept])
        for callback, (_, state) in zip(kept, saved["callbacks"], strict=True):
            callback.set_state(state)
        train_state = rebuild(saved["leaves"])
        self.model.stop_training = saved["stopped"]
        self.model.optimizer.take_hyperparameters(train_state.opt_state)
        self.flight.restore(train_state)

    @staticmethod
    def _flat(train_state):
        """The names of the leaves, the leaves, and the function that makes a TrainState of such leaves."""
        paths, treedef = jax.tree_util.tree_flatten_with_path(train_state)
        names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
        return names, [leaf for _, leaf in paths], treedef.unflatten


def _agree(what, before, now):
    if list(before) != list(now):
        first = next((pair for pair in zip(before, now, strict=False) if pair[0] != pair[1]), (len(before), len(now)))
        raise ValueError(
            f"BackupAndRestore: the backup is of another run; its {what} are not those of this one (there {first[0]}, "
            f"here {first[1]})."
        )


class BatchHooks(Observer):
    """Callbacks with batch hooks, honoured exactly: before and after every step."""

    def __init__(self, fitting: Fitting):
        self.model, self.callbacks, self.names = fitting.model, fitting.callbacks, fitting.names

    def room(self, step: int):
        return 1

    def before(self, view: View):
        self.callbacks.on_batch_begin(view.step, {"batch": view.step, "size": view.size})

    def after(self, view: View):
        values = dict(zip(self.names, numbers_of(view.results, self.names), strict=True))
        number = view.step - 1
        self.callbacks.on_batch_end(number, {"batch": number, "size": view.size} | values)
        if self.model.stop_training:
            view.stop()


class Outputs(Observer):
    """Collects predictions, on the host.

    Arguments:
        examples: of how many examples there will be some, None if that is not known.
        tell: `tell(examples, steps)` is called with what is done, or None.
    """

    def __init__(self, examples: int | None = None, tell: Function | None = None):
        self._examples, self._tell = examples, tell
        self._waiting: list = []
        self._parts: list = []
        self._joined: list = []
        self._done = 0

    def after(self, view: View):
        self._waiting.append((view.results, view.examples, view.step))
        if len(self._waiting) > 2:  # the device is ahead by two
            self._store(*self._waiting.pop(0))

    def _store(self, outputs, seen, steps):
        parts = [np.asarray(output) for output in outputs]
        if self._examples is None:
            self._parts.append(parts)
        else:
            if not self._joined:
                self._joined = [np.empty((self._examples, *part.shape[1:]), part.dtype) for part in parts]
            for joined, part in zip(self._joined, parts, strict=True):
                joined[self._done : seen] = part  # which may be one for the whole batch
            self._done = seen
        if self._tell is not None:
            self._tell(seen, steps)

    def finish(self) -> list:
        """All outputs, an array each."""
        for waiting in self._waiting:
            self._store(*waiting)
        self._waiting = []
        if self._examples is not None:
            return self._joined
        return [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
