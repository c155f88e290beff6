"""`compile`, `fit`, `evaluate`, `predict`: the thin shell between what Keras users pass and the pure steps of `train`.

The layers' variables own the weights. A method that computes gathers them into a `TrainState`, runs compiled steps,
and puts the results back by reference whenever the host regains control.
"""

import warnings
from typing import Any

import jax
import numpy as np

from jkeras import callbacks as cbks
from jkeras import optimizers, random
from jkeras.data import arrays, feeding
from jkeras.engine.fitting import Fitting, backup_among, in_precision, run_over, unpack
from jkeras.engine.post_mortem import reproduce
from jkeras.engine.surroundings import PLACE, Surroundings
from jkeras.engine.training_generator import OnGenerators
from jkeras.engine.training_utils import resolve_compile
from jkeras.graph.topology import Network
from jkeras.train import parallel
from jkeras.train.loop import RESIDENT_BYTES, Runner
from jkeras.train.objective import Objective
from jkeras.train.state import TrainState, means, merge, split
from jkeras.train.step import Steps

__all__ = ["Trainable"]


def _scalars(values) -> list:
    return [float(value) for value in jax.device_get(list(values))]


class Trainable(OnGenerators, Network):
    """A network that can be compiled, trained, evaluated and asked for predictions."""

    #: Over which devices batches are split unless `compile` says so.
    default_devices = None
    optimizer = None
    stop_training = False
    history = None
    _spec = None
    _run_key = None
    _predicted = 0
    _predictor: Any = None

    # ----------------------------------------------------------------------------------------------------- compile

    def compile(
        self,
        optimizer,
        loss=None,
        metrics=None,
        loss_weights=None,
        sample_weight_mode=None,
        weighted_metrics=None,
        target_tensors=None,
        devices=None,
    ):
        """Say how the model is to be trained.

        Arguments:
            optimizer: a name, an object of `jkeras.optimizers`, or any optax transformation.
            loss: a name, a function (y_true, y_pred), or a list or dict (by output name) of them; None for outputs
                whose loss is added in the model.
            metrics, weighted_metrics: a list, or a dict by output name, of names, functions and metric objects; to the
                latter sample weights apply.
            loss_weights: a list or dict of factors for the outputs' losses.
            sample_weight_mode: None or 'temporal' (weights of shape (batch, time)), or a list or dict of these.
            target_tensors: not available; targets are passed to `fit`.
            devices: a number of devices, or a list of them, over which each batch is split; None for one.

        Raises:
            ValueError, TypeError: for unknown names, lists of the wrong length, devices that are not there.
        """
        if target_tensors is not None:
            raise ValueError("compile: target_tensors are not supported; pass the targets to fit, or use a generator.")
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.metrics, self.loss_weights = loss, metrics or [], loss_weights
        self.sample_weight_mode, self.weighted_metrics = sample_weight_mode, weighted_metrics
        self._device_list = parallel.resolve(self.default_devices if devices is None else devices)
        self._compile_arguments = (loss, loss_weights, metrics, weighted_metrics, sample_weight_mode)
        if self.built:
            self._finish_compile()

    def _finish_compile(self):
        """Resolve the arguments of `compile` against the graph, and fix which weights are trained."""
        self._spec = resolve_compile(self, *self._compile_arguments)
        if not self._spec.targets and not self._has_own_losses():
            raise ValueError("The model cannot be compiled because it has no loss to optimize.")
        self._collected = list(dict.fromkeys(self.trainable_weights))
        self._make_steps()
        self._opt_state = None
        self._claim_optimizer()
        self._step_number = 0
        self._run_key = None

    def _make_steps(self):
        """The steps and their programs, for what is trained and what they were found to read."""
        trained, frozen_state = set(self._collected), self._frozen_state()
        params, state = self.variables()
        places = _places(params)
        kept = {path for path, variable in _places(state).items() if variable in frozen_state}
        stateful = self._stateful_places()
        self._steps = Steps(
            self,
            self._spec.objective,
            self.optimizer,
            is_trainable=lambda path: places[path] in trained,
            keeps_state=lambda path: path in kept,
            is_stateful=lambda path: path[0] == PLACE or stateful(path),
            surroundings=self._surroundings,
        )
        trainable, frozen = split(params, self._steps.is_trainable)
        self._variables = {"params": trainable, "frozen": frozen, "state": state | self._surroundings.tree()}
        self._runner = Runner(self._steps, None if self.stateful else self._device_list)
        self._explored: set = set()

    @property
    def _surroundings(self):
        if "_around" not in self.__dict__:
            self._around = Surroundings(self)
        return self._around

    def _ready(self, kind, key, example):
        """The TrainState for steps of `kind` ('train' or 'test'): all that they read is part of it. `example()` gives
        data, and how many of its rows make a batch."""
        train_state = self._gather(key)
        if kind not in self._explored:
            carry, fixed = (train_state, ()) if kind == "train" else self._test_arguments(train_state)
            with self._surroundings.finding():
                self._runner.explore(kind, carry, fixed, *example())
            if self._grown():
                train_state = self._gather(key)
            self._explored.add(kind)
        return train_state

    def _grown(self):
        """Whether the last trace read variables that are not part of the state: from now on they are."""
        if not self._surroundings.grow():
            return False
        self._predictor = None
        self.__dict__.pop("_dtype_set", None)
        if self._spec is not None:
            self._make_steps()
        return True

    def _test_arguments(self, train_state):
        """What a pass of tests changes, and what it only reads."""
        carry = (train_state.state, self._steps.no_metrics())
        return carry, (merge(train_state.params, train_state.frozen), train_state.key)

    @property
    def metrics_names(self) -> list:
        """The names of what `evaluate` and `train_on_batch` return, in order."""
        return list(self._compiled().metrics_names)

    def _compiled(self):
        if self._spec is None:
            raise RuntimeError(
                "You must compile a model before training/testing. Use `model.compile(optimizer, loss)`."
            )
        return self._spec

    def _has_own_losses(self):
        return bool(self._added_losses or self.losses)

    @property
    def losses(self) -> list:
        """What the layers add to the loss: the scalars of weight regularizers now, and `add_loss` symbols."""
        weights = jax.tree.map(lambda variable: variable.value, self.variables()[0])
        return self.regularization(weights) + list(self._added_losses)

    def _frozen_state(self) -> set:
        """The state variables of layers that are frozen (and not stateful): Keras 2.2.4 does not update those."""
        found: set = set()

        def walk(layer, frozen):
            frozen = frozen or not layer.trainable
            if frozen and not layer.stateful:
                found.update(layer._non_trainable_weights + layer._unsaved_state)
            for part in layer.sublayers().values():
                walk(part, frozen)

        walk(self, False)
        return found

    def _stateful_places(self):
        """Of the path of a piece of state, whether it belongs to a stateful layer."""
        found: set = set()

        def walk(layer):
            if layer.stateful and not isinstance(layer, Network):
                found.update(jax.tree.leaves(layer.variables()[1]))
            for part in layer.sublayers().values():
                walk(part)

        walk(self)
        places = {path for path, variable in _places(self.variables()[1]).items() if variable in found}
        return lambda path: path in places

    def _dtypes(self):
        if "_dtype_set" not in self.__dict__:
            leaves = jax.tree.leaves(self.variables())
            self._dtype_set = {leaf.dtype for leaf in [*leaves, *self.inputs, *self._surroundings.names().values()]}
        return self._dtype_set

    def _claim_optimizer(self):
        """Make the optimizer object tell of this model. Models that share one share its numbers, not its slots."""
        leaves = {variable: place for place, variable in enumerate(jax.tree.leaves(self._variables["params"]))}
        state, iterations = self._opt_state, self.optimizer.iterations.value
        self.optimizer.state = None if state is None else state._replace(iterations=np.asarray(iterations))
        self.optimizer.order = [leaves[variable] for variable in self._collected if variable in leaves]
        self.optimizer.owner = self

    # ------------------------------------------------------------------------------------------- weights <-> state

    def _gather(self, key) -> TrainState:
        """The variables' current values as a TrainState."""
        trees = {name: jax.tree.map(lambda v: v.device_value(), tree) for name, tree in self._variables.items()}
        if self.optimizer.owner is not self:
            self._claim_optimizer()
        opt_state = self.optimizer.state
        if opt_state is None:
            opt_state = self.optimizer.init(trees["params"])
        return TrainState(
            step=jax.device_put(np.asarray(self._step_number, np.int32)),
            opt_state=self.optimizer.with_hyperparameters(opt_state),
            key=key.copy(),
            metrics=self._steps.no_metrics(),
            **trees,
        )

    def _check_trainable(self):
        if self._spec is not None and len(dict.fromkeys(self.trainable_weights)) != len(self._collected):
            warnings.warn(
                "Discrepancy between trainable weights and collected trainable weights, did you set `model.trainable` "
                "without calling `model.compile` after?",
                stacklevel=4,
            )

    def _publish(self, train_state):
        """Put the results back: each variable refers to its new value."""
        for name, tree in self._variables.items():
            values = parallel.one_copy(getattr(train_state, name))
            for variable, value in zip(jax.tree.leaves(tree), jax.tree.leaves(values), strict=True):
                variable._value = value
        self.optimizer.state = self._opt_state = train_state.opt_state
        self._step_number = train_state.step
        self._published = {name: _values(tree) for name, tree in self._variables.items()}

    def _absorb(self, train_state):
        """The TrainState after user code ran: weights and hyperparameters that it set are taken over."""
        changes = {}
        for name, tree in self._variables.items():
            values = _values(tree)
            if any(now is not then for now, then in zip(values, self._published[name], strict=True)):
                changes[name] = jax.tree.map(lambda variable: variable.device_value(), tree)
                self._published[name] = _values(tree)
        opt_state = self.optimizer.state if self.optimizer.state is not None else train_state.opt_state
        return train_state.replace(opt_state=self.optimizer.with_hyperparameters(opt_state), **changes)

    # ---------------------------------------------------------------------------------------------------- user data

    def _ensure_built(self, x):
        """A network is built from the start; a `Sequential` may wait for the shape of `x`."""

    def _standardize_inputs(self, x):
        self._ensure_built(x)
        shapes = [symbol.shape for symbol in self.inputs]
        dtypes = [symbol.dtype for symbol in self.inputs]
        return arrays.standardize_inputs(x, self.input_names, shapes, dtypes, "input")

    def _standardize(self, x, y, sample_weight=None, class_weight=None):
        """Checked (inputs, targets, weights), lists of arrays."""
        self._ensure_built(x)
        spec = self._compiled()
        outputs = [self.outputs[place] for place in spec.targets]
        names = [self.output_names[place] for place in spec.targets]
        inputs = self._standardize_inputs(x)
        targets = arrays.standardize_targets(
            y,
            names,
            [symbol.shape for symbol in outputs],
            [symbol.dtype for symbol in outputs],
            [spec.loss_functions[place] for place in spec.targets],
        )
        weights = arrays.standardize_weights(sample_weight, class_weight, names, spec.modes, targets)
        arrays.check_lengths(inputs, targets, weights)
        self._check_batch_size(inputs)
        return inputs, targets, weights

    def _check_batch_size(self, inputs, batch_size=None):
        size = self.inputs[0].shape[0]
        if self.stateful and size is not None and batch_size is None and len(inputs[0]) % size:
            raise ValueError(
                "In a stateful network, you should only pass inputs with a number of samples that can be divided by "
                f"the batch size ({size}). Found: {len(inputs[0])} samples."
            )

    def _validation(self, data, validation_split, validation_data):
        """(training data, validation data or None) from what `fit` was given."""
        if validation_data is not None:
            if not isinstance(validation_data, (list, tuple)) or len(validation_data) not in (2, 3):
                raise ValueError(
                    "When passing validation_data, it must contain 2 (x_val, y_val) or 3 (x_val, y_val, "
                    f"val_sample_weights) items, however it contains {_length(validation_data)} items"
                )
            return data, self._standardize(*validation_data)
        if validation_split:
            return arrays.split_validation(data, validation_split)
        return data, None

    # --------------------------------------------------------------------------------------------------------- fit

    @in_precision
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose=1,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        *,
        key=None,
        **kwargs,
    ):
        """Train on arrays.

        Arguments:
            x, y: the inputs and targets: an array, or a list or dict (by name) of arrays, examples along axis 0.
            batch_size: examples per step, 32 unless given.
            epochs, initial_epoch: train from epoch `initial_epoch` up to (not with) `epochs`.
            verbose: 0 silent, 1 a progress bar, 2 a line per epoch.
            callbacks: a list of `jkeras.callbacks.Callback`.
            validation_split: the share of the data, from its end, that is held out; or
            validation_data: (x, y) or (x, y, sample_weights).
            shuffle: True, False, or 'batch' (the order of batches only).
            class_weight: dict class -> factor. sample_weight: (n,) or, in temporal mode, (n, time).
            steps_per_epoch, validation_steps: for generators; see `fit_generator`.
            key: a JAX key that determines the shuffling and every random draw of the run. Without one, draws come
                from the process's keys (see `jkeras.random.seed`), and, unless those are seeded, the order of the
                examples from numpy's global generator, as in Keras. `history.key` repeats the run.

        Returns:
            A `History`; `history.history` maps each logged name to its values per epoch.

        Raises:
            RuntimeError: if the model was not compiled.
            ValueError: for data that does not fit, naming what was given and what was expected.
        """
        batch_size = _legacy_epochs(kwargs, batch_size)
        epochs = kwargs.get("nb_epoch", epochs)
        self._ensure_built(x)
        self._compiled()
        if x is None or steps_per_epoch is not None or validation_steps is not None:
            raise ValueError(
                "fit trains on arrays: x and y are needed, and steps_per_epoch/validation_steps do not apply. For "
                "generators use fit_generator."
            )
        run, saved = self._begun(callbacks, key)
        batch_size = 32 if batch_size is None else int(batch_size)
        data = self._standardize(x, y, sample_weight, class_weight)
        data, validation = self._validation(data, validation_split, validation_data)
        source = feeding.Arrays(data, batch_size, run.order(shuffle, batch_size), RESIDENT_BYTES)
        held_out = None if validation is None else feeding.Arrays(validation, batch_size, None, RESIDENT_BYTES)
        names = self._log_names()
        params = {
            "batch_size": batch_size,
            "epochs": epochs,
            "steps": None,
            "samples": source.examples,
            "verbose": verbose,
            "metrics": names + ([f"val_{name}" for name in names] if held_out is not None else []),
        }
        return Fitting(self, source, held_out, run, callbacks, params, validation)(initial_epoch, saved)

    def _begun(self, callbacks, key):
        """The run to train by, and the backup that it goes on from, or None."""
        backup = backup_among(callbacks)
        saved = None if backup is None else backup.load()
        if saved is None:
            return random.as_run(key), None
        run = random.Run(random.Key(saved["key"]), saved["numpy_state"])
        given = None if key is None else random.as_run(key).key.base
        if given is not None and not np.array_equal(*(jax.random.key_data(base) for base in (given, run.key.base))):
            raise ValueError(f"BackupAndRestore: {backup.path} is the backup of a run with another key.")
        return run, saved

    def _restore(self, train_state):
        """After an interruption: the variables hold what the last finished dispatch left."""
        kind, carry = self._runner.latest or ("train", train_state)
        self._publish(train_state.replace(state=carry[0]) if kind == "test" else carry)

    @in_precision
    def _reproduce_step(self, path):
        """See `callbacks.NaNPostMortem.reproduce`."""
        self._compiled()
        return reproduce(self, path)

    def reset_metrics(self):
        """Start stateful metric objects anew."""
        for metric in self._spec.stateful_metrics.values():
            metric.reset_states()

    def _log_names(self):
        return self._spec.metrics_names

    def _logged(self, metrics):
        """What was measured, in the order of `metrics_names`: numbers on the host."""
        return [float(value) for value in self._in_order(means(jax.device_get(metrics), np)).values()]

    def _in_order(self, report):
        return {name: report[name] for name in self._log_names()}

    # --------------------------------------------------------------------------------------------------- one batch

    def _one_batch_key(self):
        if self._run_key is None:
            self._run_key = random.next_run_key()
        return self._run_key

    @in_precision
    def train_on_batch(self, x, y, sample_weight=None, class_weight=None):
        """One step of training on one batch; returns the loss, or [loss, metrics...] of the batch before the step."""
        data = self._standardize(x, y, sample_weight, class_weight)
        self._check_trainable()
        train_state = self._ready("train", self._one_batch_key(), lambda: (data, None))
        train_state, logs, _ = self._runner.batch("train", train_state, (), data)
        self._publish(train_state)
        return unpack(_scalars(self._in_order(logs).values()))

    @in_precision
    def test_on_batch(self, x, y, sample_weight=None):
        """The loss, or [loss, metrics...], of one batch."""
        data = self._standardize(x, y, sample_weight)
        train_state = self._ready("test", self._one_batch_key(), lambda: (data, None))
        carry, logs, _ = self._runner.batch("test", *self._test_arguments(train_state), data)
        self._publish(train_state.replace(state=carry[0]))
        return unpack(_scalars(self._in_order(logs).values()))

    @in_precision
    def evaluate(self, x=None, y=None, batch_size=None, verbose=1, sample_weight=None, steps=None):
        """The loss, or [loss, metrics...], over all examples, `batch_size` (32) at a time; names in `metrics_names`."""
        self._ensure_built(x)
        self._compiled()
        if x is None or steps is not None:
            raise ValueError("evaluate works on arrays: x and y are needed, and steps does not apply.")
        data = self._standardize(x, y, sample_weight)
        source = feeding.Arrays(data, 32 if batch_size is None else int(batch_size), None, RESIDENT_BYTES)
        progress = cbks.Progbar(source.examples) if verbose == 1 else None
        return self._evaluate(source, None if progress is None else lambda seen, steps, report: progress.update(seen))

    def _evaluate(self, source, on_progress=None):
        """The loss, or [loss, metrics...], over a pass of `source`."""
        self.reset_metrics()
        train_state = self._ready("test", self._one_batch_key(), source.example)
        self._runner.latest = None
        try:
            carry = run_over(
                self._runner, "test", *self._test_arguments(train_state), source, 0, on_progress=on_progress
            )
        except BaseException:
            self._restore(train_state)
            raise
        self._publish(train_state.replace(state=carry[0]))
        return unpack(self._logged(carry[1]))

    # ------------------------------------------------------------------------------------------------- predictions

    def _prediction(self, inputs):
        """The runner of predictions on such inputs, and the current (params, state); needs no compile."""
        if self._predictor is None:
            self._make_predictor()
            runner, params, state = self._prediction(inputs)
            with self._surroundings.finding():
                runner.explore_predict(params, state, inputs, self._one_batch_key(), np.int32(0))
            if self._grown():
                self._make_predictor()
        runner, *flat = self._predictor
        params, state = (
            jax.tree.unflatten(treedef, [variable.device_value() for variable in variables])
            for variables, treedef in flat
        )
        return runner, params, state

    def _make_predictor(self):
        steps = Steps(self, Objective([]), None, is_stateful=self._stateful_places(), surroundings=self._surroundings)
        params, state = self.variables()
        trees = (params, state | self._surroundings.tree())
        self._predictor = (Runner(steps, getattr(self, "_device_list", None)), *map(jax.tree.flatten, trees))

    def _predict_batch(self, runner, params, state, inputs):
        self._predicted += 1
        return runner.predict(params, state, inputs, self._one_batch_key(), np.int32(self._predicted))

    def _keep_state(self, state):
        if self.stateful:
            for variable, value in zip(self._predictor[2][0], jax.tree.leaves(state), strict=True):
                variable._value = value

    @in_precision
    def predict(self, x, batch_size=None, verbose=0, steps=None):
        """The outputs for all examples of x, `batch_size` (32) at a time: numpy arrays, a list if there are several."""
        if steps is not None:
            raise ValueError("predict works on arrays: steps does not apply. For generators use predict_generator.")
        inputs = self._standardize_inputs(x)
        self._check_batch_size(inputs)
        examples, size = len(inputs[0]), 32 if batch_size is None else int(batch_size)
        runner, params, state = self._prediction(arrays.slice_rows(inputs, 0, min(size, examples)))
        progress = cbks.Progbar(examples) if verbose == 1 else None
        results, waiting = None, []

        def store(start, outputs):
            nonlocal results
            parts = [np.asarray(output) for output in outputs]
            if results is None:
                results = [np.empty((examples, *part.shape[1:]), part.dtype) for part in parts]
            for result, part in zip(results, parts, strict=True):
                result[start : start + len(part)] = part
            if progress:
                progress.update(min(start + size, examples))

        for start, stop in arrays.batch_slices(examples, size):
            outputs, state = self._predict_batch(runner, params, state, arrays.slice_rows(inputs, start, stop))
            waiting.append((start, outputs))
            if len(waiting) > 2:
                store(*waiting.pop(0))
        for start, outputs in waiting:
            store(start, outputs)
        self._keep_state(state)
        return unpack(results)

    @in_precision
    def predict_on_batch(self, x):
        """The outputs for one batch: a numpy array, a list if there are several."""
        inputs = self._standardize_inputs(x)
        runner, params, state = self._prediction(inputs)
        outputs, state = self._predict_batch(runner, params, state, inputs)
        self._keep_state(state)
        return unpack([np.asarray(output) for output in outputs])


def _places(tree, path=()) -> dict:
    """path -> leaf, of nested dicts."""
    found = {}
    for name, part in tree.items():
        found |= _places(part, (*path, name)) if isinstance(part, dict) else {(*path, name): part}
    return found


def _values(tree) -> list:
    """The arrays that the variables of a tree hold now."""
    return [variable._value for variable in jax.tree.leaves(tree)]


def _length(value):
    return len(value) if hasattr(value, "__len__") else 1


def _legacy_epochs(kwargs, batch_size):
    """Check the arguments that `fit` does not know; Keras 1's `nb_epoch` is accepted with its warning."""
    unknown = set(kwargs) - {"nb_epoch"}
    if unknown:
        raise TypeError(f"fit() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    if "nb_epoch" in kwargs:
        warnings.warn("The `nb_epoch` argument in `fit` has been renamed `epochs`.", stacklevel=4)
    return batch_size
