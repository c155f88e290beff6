"""`compile`, `fit`, `evaluate`, `predict`: the thin shell between what Keras users pass and the trainer.

What users pass is checked here; the state of a run, and what runs on it, belong to `shell.trainer`.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jkeras import callbacks as cbks
from jkeras import optimizers
from jkeras.data import arrays, feeding
from jkeras.data.checks import whole_number
from jkeras.graph.tensor import map_symbols
from jkeras.shell.core import NetworkCore
from jkeras.shell.fed import batches_of, computed
from jkeras.shell.fitting import Fitting, Outputs, begun, in_precision, measured, numbers_of, unpack
from jkeras.shell.symbols import Answers
from jkeras.shell.trainer import Trainer
from jkeras.shell.training_generator import OnGenerators
from jkeras.shell.training_utils import resolve_compile
from jkeras.train.mapping import OneDevice, as_mapping
from jkeras.train.observe import Progress

__all__ = ["Trainable"]


class Trainable(OnGenerators, Answers):
    """A network that can be compiled, trained, evaluated and asked for predictions."""

    #: Over which devices batches are split unless `compile` says so.
    default_devices = None
    stop_training = False
    history = None
    _trainer: Trainer | None = None
    _mapping: OneDevice | None = None

    # ----------------------------------------------------------------------------------------------------- compile

    def compile(
        self, optimizer: Any, loss: Any = None, metrics: Any = None, loss_weights: Any = None,
        sample_weight_mode: Any = None, weighted_metrics: Any = None, target_tensors: Any = None,
        devices: int | Sequence | None = None, *, mapping: OneDevice | None = None,
    ):  # fmt: skip
        """Say how the model is to be trained.

        Arguments:
            optimizer: a name, an object of `jkeras.optimizers`, or any optax transformation.
            loss: a name, a function (y_true, y_pred), or a list or dict (by output name) of them; None for outputs
                whose loss is added in the model.
            metrics, weighted_metrics: a list, or a dict by output name, of names, functions and metric objects; to the
                latter sample weights apply.
            loss_weights: a list or dict of factors for the outputs' losses.
            sample_weight_mode: None or 'temporal' (weights of shape (batch, time)), or a list or dict of these.
            target_tensors: a symbol, or a list or dict (by output name) of symbols, that are the targets. Unless it is
                a hole, nothing is fed for one: it is computed for each batch.
            devices: a number of devices, or a list of them, over which each batch is split; None for one.
            mapping: how that is done, instead: one of `jkeras.train.OneDevice`, `Pmapped` (what `devices` means) and
                `Meshed` (sharded batches, and weights by rules).

        Raises:
            ValueError, TypeError: for unknown names, lists of the wrong length, devices that are not there.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.metrics, self.loss_weights = loss, metrics or [], loss_weights
        self.sample_weight_mode, self.weighted_metrics = sample_weight_mode, weighted_metrics
        self._mapping = mapping or as_mapping(self.default_devices if devices is None else devices)
        self._compile_arguments = (loss, loss_weights, metrics, weighted_metrics, sample_weight_mode, target_tensors)
        if self.built:
            self.renew_trainer()

    def renew_trainer(self) -> None:
        """Drop the trainer: the graph, or what `compile` was told, is another one. Which weights are trained is fixed
        anew."""
        if self._trainer is not None:
            self._trainer.land()
        self._trainer = self._spec = self._symbols = None
        if self.optimizer is None:
            return
        self._spec = resolve_compile(self, *self._compile_arguments)
        if not self._spec.targets and not self.losses:
            raise ValueError("The model cannot be compiled because it has no loss to optimize.")
        mapping = OneDevice() if self.stateful else self._mapping
        self._trainer = Trainer(self.core(), self._spec.objective, self.optimizer, mapping)

    def core(self) -> NetworkCore:
        """What training needs of the model; see `jkeras.train.Core`. Which weights are trained is fixed by it."""
        return NetworkCore(self)

    @property
    def trainer(self) -> Trainer:
        """What runs steps of the model; of one that was not compiled, predictions only."""
        if self._trainer is None:
            self._trainer = Trainer(self.core(), mapping=None if self.stateful else self._mapping)
        return self._trainer

    @property
    def spec(self):
        """What the arguments of `compile` mean.

        Raises:
            RuntimeError: if the model was not compiled.
        """
        if self._spec is None:
            raise RuntimeError(
                "You must compile a model before training/testing. Use `model.compile(optimizer, loss)`."
            )
        return self._spec

    @property
    def metrics_names(self) -> list:
        """The names of what `evaluate` and `train_on_batch` return, in order."""
        return list(self.spec.metrics_names)

    def check_trainable(self) -> None:
        """Warn if `trainable` was changed since `compile`."""
        if self._spec is not None and len(dict.fromkeys(self.trainable_weights)) != len(self.trainer.core.trained):
            warnings.warn(
                "Discrepancy between trainable weights and collected trainable weights, did you set `model.trainable` "
                "without calling `model.compile` after?",
                stacklevel=4,
            )

    def reset_metrics(self) -> None:
        """Start stateful metric objects anew."""
        for metric in self.spec.stateful_metrics.values():
            metric.reset_states()

    # ---------------------------------------------------------------------------------------------------- user data

    def _ensure_built(self, x):
        """A network is built from the start; a `Sequential` may wait for the shape of `x`."""

    def _standardize_inputs(self, x):
        self._ensure_built(x)
        shapes = [symbol.shape for symbol in self._feed_inputs]
        dtypes = [symbol.dtype for symbol in self._feed_inputs]
        x = map_symbols(arrays.Computed, x)
        fed = iter(arrays.standardize_inputs(x, self._feed_input_names, shapes, dtypes, "input"))
        inputs = [
            next(fed) if layer.is_placeholder else arrays.Computed(symbol)
            for layer, symbol in zip(self.input_layers, self.inputs, strict=True)
        ]
        if any(array is None for array in inputs):
            raise ValueError(f"There are no data for the inputs {self._feed_input_names} of model {self.name}.")
        if inputs and inputs[0].shape[0] == 0:
            raise ValueError("There are no examples: the arrays have length 0.")
        return inputs

    def _standardize(self, x, y, sample_weight=None, class_weight=None):
        """Checked (inputs, targets, weights), lists of arrays."""
        self._ensure_built(x)
        spec = self.spec
        names = [self.output_names[place] for place in spec.targets]
        inputs = self._standardize_inputs(x)
        found = arrays.standardize_targets(
            map_symbols(arrays.Computed, y),
            [self.output_names[place] for place in spec.fed],
            [self.outputs[place].shape for place in spec.fed],
            [self.outputs[place].dtype for place in spec.fed],
            [spec.loss_functions[place] for place in spec.fed],
        )
        if any(target is None for target in found):
            raise ValueError(f"There are no data for the targets {self._feed_output_names} of model {self.name}.")
        fed = dict(zip(spec.fed, found, strict=True))
        targets = [
            fed[place] if place in fed else arrays.Computed(spec.target_tensors[place]) for place in spec.targets
        ]
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
            if any(isinstance(array, arrays.Computed) for array in jax.tree.leaves(data)):
                raise ValueError("With data that symbols give, you cannot use `validation_split`.")
            return arrays.split_validation(data, validation_split)
        return data, None

    # --------------------------------------------------------------------------------------------------------- fit

    @in_precision
    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1, verbose: int = 1,
        callbacks: Iterable | None = None, validation_split: float = 0.0, validation_data: Any = None,
        shuffle: bool | str = True, class_weight: Any = None, sample_weight: Any = None, initial_epoch: int = 0,
        steps_per_epoch: int | None = None, validation_steps: int | None = None, *, key: Any = None, **kwargs: Any,
    ):  # fmt: skip
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
        epochs = whole_number(_legacy_epochs(kwargs, epochs), "fit: epochs")
        initial_epoch = whole_number(initial_epoch, "fit: initial_epoch")
        self._ensure_built(x)
        spec = self.spec
        if validation_steps is not None and steps_per_epoch is None:
            raise ValueError("`validation_steps` goes with `steps_per_epoch`, which was not given.")
        run, saved = begun(callbacks, key)
        data = self._standardize(x, y, sample_weight, class_weight)
        data, validation = self._validation(data, validation_split, validation_data)
        if validation_steps is not None and validation is None:
            validation = self._standardize(None, None)  # all of which is computed
        if validation is not None and steps_per_epoch is not None and validation_steps is None:
            raise ValueError("Must specify `validation_steps` to perform validation when doing step-wise training.")
        order = run.order(shuffle, 32 if batch_size is None else batch_size)
        source = batches_of(data, batch_size, steps_per_epoch, "steps_per_epoch", order)
        held_out = (
            None if validation is None else batches_of(validation, batch_size, validation_steps, "validation_steps")
        )
        metrics = spec.metrics_names + [f"val_{name}" for name in spec.metrics_names if held_out is not None]
        if steps_per_epoch is None and batch_size is None:
            batch_size = 32
        params = {"batch_size": batch_size, "epochs": epochs, "steps": steps_per_epoch, "samples": source.examples,
                  "verbose": verbose, "metrics": metrics}  # fmt: skip
        shown = validation if steps_per_epoch is None else None  # what symbols give are no arrays
        return Fitting(self, source, held_out, run, callbacks, params, shown)(initial_epoch, saved)

    # --------------------------------------------------------------------------------------------------- one batch

    @in_precision
    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None):
        """One step of training on one batch; returns the loss, or [loss, metrics...] of the batch before the step."""
        data = computed(self._standardize(x, y, sample_weight, class_weight))
        self.check_trainable()
        self.trainer.ready("train", lambda: (data, None))
        return unpack(numbers_of(self.trainer.train_batch(data).results, self.spec.metrics_names))

    @in_precision
    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None):
        """The loss, or [loss, metrics...], of one batch."""
        data = computed(self._standardize(x, y, sample_weight))
        _, view = self.trainer.run("test", feeding.Batches(lambda: iter([data])))
        return unpack(numbers_of(view.results, self.spec.metrics_names))

    @in_precision
    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: int = 1, sample_weight: Any = None,
        steps: int | None = None,
    ):  # fmt: skip
        """The loss, or [loss, metrics...], over all examples, `batch_size` (32) at a time; names in `metrics_names`."""
        self._ensure_built(x)
        self.spec  # noqa: B018
        source = batches_of(self._standardize(x, y, sample_weight), batch_size, steps, "steps")
        return self._evaluate(source, _teller(source, verbose))

    def _evaluate(self, source, tell=None):
        """The loss, or [loss, metrics...], over a pass of `source`."""
        self.reset_metrics()
        progress = None if tell is None else Progress(tell)
        state, _ = self.trainer.run("test", source, [] if progress is None else [progress])
        if progress is not None:
            progress.finish()
        return unpack(measured(state.metrics, self.spec.metrics_names))

    # ------------------------------------------------------------------------------------------------- predictions

    @in_precision
    def predict(self, x: Any, batch_size: int | None = None, verbose: int = 0, steps: int | None = None):
        """The outputs for all examples of x, `batch_size` (32) at a time: numpy arrays, a list if there are several."""
        inputs = self._standardize_inputs(x)
        self._check_batch_size(inputs)
        source = batches_of(inputs, batch_size, steps, "steps", resident=False)
        outputs = Outputs(source.examples, _teller(source, verbose))
        self.trainer.run("predict", source, [outputs])
        return unpack(outputs.finish())

    @in_precision
    def predict_on_batch(self, x: Any):
        """The outputs for one batch: a numpy array, a list if there are several."""
        inputs = computed(self._standardize_inputs(x))
        _, view = self.trainer.run("predict", feeding.Batches(lambda: iter([inputs])))
        return unpack([np.asarray(output) for output in view.results])


def _teller(source, verbose):
    """`tell(examples, steps, report)`, which shows the progress of a pass over `source`; None if that is not wanted."""
    if verbose != 1:
        return None
    progress = cbks.Progbar(source.examples or source.steps)
    return lambda seen, steps, report=None: progress.update(seen if source.examples else steps)


def _length(value):
    return len(value) if hasattr(value, "__len__") else 1


def _legacy_epochs(kwargs, epochs):
    """`epochs`, or Keras 1's `nb_epoch`, which is accepted with its warning; other arguments `fit` does not know."""
    unknown = set(kwargs) - {"nb_epoch"}
    if unknown:
        raise TypeError(f"fit() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    if "nb_epoch" in kwargs:
        warnings.warn("The `nb_epoch` argument in `fit` has been renamed `epochs`.", stacklevel=4)
    return kwargs.get("nb_epoch", epochs)
