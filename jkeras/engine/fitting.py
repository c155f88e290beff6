"""One run of `fit`: epochs over a source of batches, with validation, callbacks and backups."""

import functools

import jax
import numpy as np

from jkeras import callbacks as cbks
from jkeras import config
from jkeras.callbacks.backup import BackupAndRestore
from jkeras.callbacks.post_mortem import NaNPostMortem
from jkeras.engine.post_mortem import Watch
from jkeras.train.loop import Pauses

__all__ = ["Fitting", "backup_among", "in_precision", "run_over", "unpack"]


def in_precision(method):
    """Run `method` with 64-bit types enabled if the model has any."""

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        with config.precision(self._dtypes()):
            return method(self, *args, **kwargs)

    return wrapped


def unpack(values):
    """The only one of `values`, or all of them."""
    return values[0] if len(values) == 1 else values


def backup_among(callbacks):
    """The `BackupAndRestore` among the callbacks that `fit` was given, or None.

    Raises:
        ValueError: if there are several.
    """
    found = [callback for callback in callbacks or () if isinstance(callback, BackupAndRestore)]
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
    """

    def __init__(self, model, source, held_out, run, callbacks, params, validation=None):
        self.model, self.source, self.held_out, self.run = model, source, held_out, run
        self.verbose, self.epochs = params["verbose"], params["epochs"]
        self.backup = backup_among(callbacks)
        asked = [callback for callback in callbacks or () if isinstance(callback, NaNPostMortem)]
        self.watch = Watch(model, asked[0].directory) if asked else None
        model.history = cbks.History()
        model.history.key = run
        own = []
        if self.verbose:
            mode = "steps" if source.examples is None else "samples"
            own.append(cbks.ProgbarLogger(mode, stateful_metrics=list(model._spec.stateful_metrics)))
        self.callbacks = cbks.CallbackList([*own, *(callbacks or []), model.history])
        self.callbacks.set_model(model)
        self.callbacks.set_params({**params, "do_validation": held_out is not None})
        held_out_arrays = None if validation is None else _with_weights(*validation)
        for callback in self.callbacks:
            callback.validation_data = held_out_arrays
        self.hooks = _Hooks(model, self.callbacks) if self.callbacks.needs_batches else None

    def __call__(self, initial_epoch, saved=None):
        """Train; go on from `saved`, a backup of this run, if there is one. Returns the history."""
        model = self.model
        model._check_trainable()
        if self.held_out is not None:
            model._ready("test", self.run.key, self.held_out.example)
        train_state = model._ready("train", self.run.key, self.source.example)
        model._runner.latest = None
        model.stop_training = False
        epoch, start = (initial_epoch, 0) if saved is None else (saved["epoch"], saved["batch"])
        self._first, self._trained = initial_epoch, None
        if self.source.examples is not None and self.run.numpy_state is not None:
            for past in range(initial_epoch, epoch):
                self.source.order(past)  # numpy's generator goes on from the order of the epoch before
        try:
            model._publish(train_state)
            self.callbacks.on_train_begin()
            train_state = model._absorb(train_state)
            if saved is not None and start == 0:
                train_state = self._restored(train_state, saved)
            while epoch < self.epochs and not model.stop_training:
                train_state = self._epoch(train_state, epoch, start, saved if start else None)
                epoch, start = epoch + 1, 0
            model._publish(train_state)
            self.callbacks.on_train_end()
        except BaseException:
            model._restore(self._trained or train_state)
            raise
        if self.backup is not None:
            self.backup.remove()
        return model.history

    def _epoch(self, train_state, epoch, start, saved):
        model, names = self.model, self.model._log_names()
        if saved is None:
            model.reset_metrics()
        self.callbacks.on_epoch_begin(epoch)
        if saved is None:
            train_state = model._absorb(train_state).replace(metrics=model._steps.no_metrics())
        else:
            train_state = self._restored(train_state, saved)
        train_state, broken_off = self._train(train_state, epoch, start)
        self._trained = train_state
        logs = dict(zip(names, model._logged(train_state.metrics), strict=True))
        if self.held_out is not None and not broken_off:
            train_state, results = self._test(train_state)
            # Validation first, as in Keras's logs.
            logs = {f"val_{name}": value for name, value in zip(names, results, strict=True)} | logs
        model._publish(train_state)
        self.callbacks.on_epoch_end(epoch, logs)
        train_state = model._absorb(train_state)
        model._runner.latest = ("train", train_state)
        if self.backup is not None and self.backup.every == "epoch":
            self._save(train_state, epoch + 1, 0)
        return train_state

    def _train(self, train_state, epoch, start):
        """The TrainState after the epoch, and whether a callback broke it off."""
        source, hooks = self.source, self.hooks
        options = {"start": start, "hooks": hooks, "watch": self.watch}
        options["on_progress"] = None if hooks else self._progress
        if self.backup is not None and self.backup.every != "epoch":
            before = (epoch - self._first) * source.steps
            options["pauses"] = Pauses(self.backup.every, before, lambda number, now: self._save(now, epoch, number))
        train_state = run_over(self.model._runner, "train", train_state, (), source, epoch, **options)
        broken_off = hooks is not None and hooks.stop
        # A pass over arrays that is broken off at its last batch counts as broken off, one over a generator does not.
        return train_state, broken_off and (source.examples is not None or hooks.done < source.steps)

    def _progress(self, seen, steps, report):
        self.callbacks.on_progress(steps if self.source.examples is None else seen, self.model._in_order(report))

    def _test(self, train_state):
        """The TrainState after a pass over the held-out data (states of stateful layers may change), and what was
        measured."""
        model = self.model
        if model._spec.stateful_metrics:
            model._publish(train_state)
            model.reset_metrics()
            train_state = model._absorb(train_state)
        carry, fixed = model._test_arguments(train_state)
        carry = run_over(model._runner, "test", carry, fixed, self.held_out, 0)
        return train_state.replace(state=carry[0]), model._logged(carry[1])

    # --------------------------------------------------------------------------------------------------- backups

    def _save(self, train_state, epoch, batch):
        """Back up all that the rest of the run depends on, `batch` batches of `epoch` being done."""
        names, leaves, _ = self._flat(train_state)
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

    def _restored(self, train_state, saved):
        """The TrainState of a backup, its numbers and its callbacks' states being taken over."""
        names, leaves, rebuild = self._flat(train_state)
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
        model = self.model
        model.stop_training = saved["stopped"]
        model.optimizer.take_hyperparameters(train_state.opt_state)
        model._publish(train_state)
        return train_state

    def _flat(self, train_state):
        """The names of the leaves, the leaves, and the function that makes a TrainState of such leaves.

        Layers are named by their places in the model: a model that is built again in the same process gets other names.
        """
        places = {name: f"{place:05}" for place, name in enumerate(dict.fromkeys(_layer_names(self.model)))}
        paths, treedef = jax.tree_util.tree_flatten_with_path(train_state)
        keys = ["/".join(places.get(part, part) for part in _parts(path)) for path, _ in paths]
        order = sorted(range(len(keys)), key=keys.__getitem__)

        def rebuild(leaves):
            placed = dict(zip(order, leaves, strict=True))
            return treedef.unflatten([placed[number] for number in range(len(order))])

        return [keys[number] for number in order], [paths[number][1] for number in order], rebuild


def _with_weights(inputs, targets, weights):
    """The arrays of validation data in one list, as Keras hands them to callbacks: without weights all weigh 1."""
    ones = [
        np.ones(len(target), np.float32) if weight is None else weight
        for target, weight in zip(targets, weights, strict=True)
    ]
    return [*inputs, *targets, *ones]


def _layer_names(layer):
    """The names of the layers inside `layer`, in order, each model before what is in it."""
    for name, part in layer.sublayers().items():
        yield name
        yield from _layer_names(part)


def _parts(path):
    """The parts of a path in a tree: the names in dicts, and whatever else leads there."""
    for part in path:
        yield part.key if isinstance(part, jax.tree_util.DictKey) else str(part)


def run_over(runner, kind, carry, fixed, source, epoch, **options):
    """Run `kind` ('train' or 'test') over an epoch of `source`; see `train.loop.Runner`."""
    if source.resident:
        rows = source.order(epoch)
        return runner.epoch(kind, carry, fixed, source.placed(), rows, source.batch_size, **options)
    return runner.stream(kind, carry, fixed, source.batches(epoch, options.get("start", 0)), **options)


def _agree(what, before, now):
    if list(before) != list(now):
        first = next((pair for pair in zip(before, now, strict=False) if pair[0] != pair[1]), (len(before), len(now)))
        raise ValueError(
            f"BackupAndRestore: the backup is of another run; its {what} are not those of this one (there {first[0]}, "
            f"here {first[1]})."
        )


class _Hooks:
    """Callbacks with batch hooks, honoured exactly: before and after every step."""

    def __init__(self, model, callbacks):
        self.model, self.callbacks = model, callbacks
        self.stop, self.done = False, 0

    def begin(self, number, size, train_state):
        self.model._publish(train_state)
        self.callbacks.on_batch_begin(number, {"batch": number, "size": size})
        return self.model._absorb(train_state)

    def end(self, number, size, train_state, logs):
        model, self.done = self.model, number + 1
        model._publish(train_state)
        named = model._in_order(logs)
        values = dict(zip(named, map(float, jax.device_get(list(named.values()))), strict=True))
        self.callbacks.on_batch_end(number, {"batch": number, "size": size} | values)
        self.stop = model.stop_training
        return model._absorb(train_state)
