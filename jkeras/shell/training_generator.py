"""`fit_generator`, `evaluate_generator`, `predict_generator`: training on batches that somebody else makes."""

import contextlib
import itertools
import warnings
from collections.abc import Iterable
from typing import Any

from jkeras import callbacks as cbks
from jkeras.data import feeding
from jkeras.data.checks import whole_number
from jkeras.data.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, Sequence
from jkeras.data.workers import END
from jkeras.shell.fed import computed
from jkeras.shell.fitting import Fitting, Outputs, begun, in_precision, unpack
from jkeras.train.dispatch import RESIDENT_BYTES
from jkeras.typing import Function

__all__ = ["OnGenerators"]

# Keras 1's names of arguments, and today's.
_RENAMED = {
    "nb_epoch": "epochs",
    "nb_worker": "workers",
    "max_q_size": "max_queue_size",
    "pickle_safe": "use_multiprocessing",
    "nb_val_samples": "validation_steps",
    "val_samples": "steps",
    "samples_per_epoch": "steps_per_epoch",
}


class OnGenerators:
    """The methods of a model that work on generators and Sequences of batches."""

    @in_precision
    def fit_generator(
        self, generator: Any, steps_per_epoch: int | None = None, epochs: int = 1, verbose: int = 1,
        callbacks: Iterable | None = None, validation_data: Any = None, validation_steps: int | None = None,
        class_weight: Any = None, max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False,
        shuffle: bool = True, initial_epoch: int = 0, *, key: Any = None, **kwargs: Any,
    ):  # fmt: skip
        """Train on batches that are made while training goes on.

        Arguments:
            generator: a `jkeras.utils.Sequence`, or a generator that never ends; each batch is (x, y) or
                (x, y, sample_weight), of any number of examples.
            steps_per_epoch: the number of batches in an epoch; all of them for a Sequence, unless given.
            validation_data: a Sequence or a generator too, or (x, y), or (x, y, sample_weights).
            validation_steps: the number of batches to validate on; all of them for a Sequence, unless given.
            class_weight: dict class -> factor.
            max_queue_size: how many batches may be made ahead.
            workers: how many threads (or processes) make them; 0 makes each batch when it is needed.
            use_multiprocessing: whether the workers are processes.
            shuffle: whether the batches of a Sequence come in another order in each epoch.
            epochs, verbose, callbacks, initial_epoch, key: as in `fit`.

        Returns:
            A `History`.

        Raises:
            RuntimeError: if the model was not compiled, or the generator ends too early.
            ValueError: for steps that are needed and not given, and for batches that do not fit, naming what.
        """
        named = renamed(
            kwargs, "fit_generator", generator, steps_per_epoch=steps_per_epoch, epochs=epochs, workers=workers,
            validation_steps=validation_steps, max_queue_size=max_queue_size, use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        epochs = whole_number(named["epochs"], "fit_generator: epochs", up=True)
        initial_epoch = whole_number(initial_epoch, "fit_generator: initial_epoch")
        makers = Workers(named["workers"], named["max_queue_size"], named["use_multiprocessing"])
        steps = number_of_steps(generator, named["steps_per_epoch"], "steps_per_epoch", "fit_generator")
        self._check_compiled(generator)
        run, saved = begun(callbacks, key)
        done = 0 if saved is None else saved["epoch"] - initial_epoch
        names = self.spec.metrics_names
        metrics = names + [f"val_{name}" for name in names]
        params = {"epochs": epochs, "steps": steps, "verbose": verbose, "metrics": metrics}
        skip = 0 if saved is None else done * steps + saved["batch"]
        left, order = epochs - initial_epoch - done, _order_of(generator, run) if shuffle else None
        with (
            streaming(
                generator, steps, self._batch_maker("fit_generator", class_weight), makers, "fit_generator",
                epochs=left, order=order, skip=skip,
            ) as source,
            self._validation_source(validation_data, named["validation_steps"], makers, left, done) as (held_out, kept),
        ):  # fmt: skip
            return Fitting(self, source, held_out, run, callbacks, params, kept)(initial_epoch, saved)

    @contextlib.contextmanager
    def _validation_source(self, data, steps, workers, epochs, epochs_done):
        """The source of validation batches, and the arrays if it is some; (None, None) without validation data."""
        if data is None or (isinstance(data, (list, tuple)) and not data):
            yield None, None
        elif is_generator(data):
            steps = number_of_steps(data, steps, "validation_steps", "fit_generator")
            maker = self._batch_maker("fit_generator, validation_data")
            name, skip = "fit_generator, validation_data", epochs_done * steps
            with streaming(data, steps, maker, workers, name, epochs=epochs, skip=skip) as source:
                yield source, None
        else:
            _, arrays = self._validation(None, 0.0, data)
            size = self.inputs[0].shape[0] or 32
            yield feeding.Arrays(arrays, size, None, RESIDENT_BYTES), arrays

    def _check_compiled(self, source):
        """A model that waits for the shape of its data is built from the first batch of a Sequence."""
        if not self.built and isinstance(source, Sequence):
            self._ensure_built(pair_of(source[0], "fit_generator")[0])
        self.spec  # noqa: B018

    def _batch_maker(self, name, class_weight=None):
        """The function from what a generator gives to (inputs, targets, weights)."""

        def standardize(made):
            x, y, sample_weight = pair_of(made, name)
            return computed(self._standardize(x, y, sample_weight, class_weight))

        return standardize

    @in_precision
    def evaluate_generator(
        self, generator: Any, steps: int | None = None, max_queue_size: int = 10, workers: int = 1,
        use_multiprocessing: bool = False, verbose: int = 0, **kwargs: Any,
    ):  # fmt: skip
        """The loss, or [loss, metrics...], over `steps` batches; see `fit_generator` for the arguments."""
        named = renamed(
            kwargs, "evaluate_generator", generator, steps=steps, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        makers = Workers(named["workers"], named["max_queue_size"], named["use_multiprocessing"])
        steps = number_of_steps(generator, named["steps"], "steps", "evaluate_generator")
        self._check_compiled(generator)
        progress = cbks.Progbar(steps) if verbose == 1 else None
        told = None if progress is None else lambda seen, done, report: progress.update(done)
        maker = self._batch_maker("evaluate_generator")
        with streaming(generator, steps, maker, makers, "evaluate_generator") as source:
            return self._evaluate(source, told)

    @in_precision
    def predict_generator(
        self, generator: Any, steps: int | None = None, max_queue_size: int = 10, workers: int = 1,
        use_multiprocessing: bool = False, verbose: int = 0, **kwargs: Any,
    ):  # fmt: skip
        """The outputs for `steps` batches, joined: a numpy array, or a list of them.

        Arguments:
            generator: gives x, or a tuple that begins with it.
            steps: how many batches; all of them for a Sequence, unless given.
            max_queue_size, workers, use_multiprocessing: see `fit_generator`.
            verbose: 1 shows progress.
        """
        named = renamed(
            kwargs, "predict_generator", generator, steps=steps, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        makers = Workers(named["workers"], named["max_queue_size"], named["use_multiprocessing"])
        steps = number_of_steps(generator, named["steps"], "steps", "predict_generator")
        progress = cbks.Progbar(steps) if verbose == 1 else None
        outputs = Outputs(None, None if progress is None else lambda seen, steps: progress.update(steps))
        standardize = lambda made: computed(self._standardize_inputs(inputs_of(made, "predict_generator")))  # noqa: E731
        with streaming(generator, steps, standardize, makers, "predict_generator") as source:
            self.trainer.run("predict", source, [outputs])
        return unpack(outputs.finish())


class Workers:
    """Who computes batches ahead of time.

    Arguments:
        workers: how many; 0 for nobody: the training loop computes each batch when it needs it.
        max_queue_size: how many batches may wait.
        use_multiprocessing: whether they are processes; else they are threads.
    """

    def __init__(self, workers: int, max_queue_size: int, use_multiprocessing: bool):
        self.workers = max(whole_number(workers, "workers"), 0)
        self.max_queue_size = whole_number(max_queue_size, "max_queue_size")
        self.use_multiprocessing = use_multiprocessing

    def batches(self, source: Any, limit: int, order: Function | None = None, skip: int = 0):
        """`limit` batches of `source`, the first `skip` ones left out; `order(epoch)` are the numbers of a Sequence's
        batches. Nothing is asked of it before the first batch is; the workers end when this generator is closed."""
        if isinstance(source, Sequence):
            yield from self._of_sequence(source, limit, order, *divmod(skip, max(len(source), 1)))
            return
        source = iter(source)
        for _ in range(skip):
            next(source, None)
        if self.workers:
            yield from self._ahead(GeneratorEnqueuer(source, self.use_multiprocessing, limit=limit))
        else:
            while (made := next(source, END)) is not END:  # `yield from` would close the user's generator
                yield made

    def _of_sequence(self, source, limit, order, epoch, position):
        for past in range(epoch):  # for orders that go on from the one before, and data that change with epochs
            if order is not None:
                order(past)
            source.on_epoch_end()
        if self.workers:
            yield from self._ahead(
                OrderedEnqueuer(
                    source, self.use_multiprocessing, order=order, epoch=epoch, position=position, limit=limit
                )
            )
        else:
            yield from _in_turn(source, order, epoch, position)

    def _ahead(self, enqueuer):
        with enqueuer:
            enqueuer.start(self.workers, self.max_queue_size)
            yield from enqueuer.get(with_none=True)


def _order_of(source, run):
    """`order(epoch)`, the numbers of a Sequence's batches in the order in which they come; None for as they are."""
    order = run.order(True, 1) if isinstance(source, Sequence) else None
    return None if order is None else lambda epoch: order(epoch, len(source))


def _in_turn(sequence, order, first, position):
    """The batches of a Sequence, each computed when it is asked for."""
    for epoch in itertools.count(first):
        numbers = list(range(len(sequence)) if order is None else order(epoch))
        for place in range(position if epoch == first else 0, len(numbers)):
            try:
                yield sequence[int(numbers[place])]
            except GeneratorExit:  # nobody wants more
                if place == len(numbers) - 1:
                    sequence.on_epoch_end()
                raise
        sequence.on_epoch_end()


def is_generator(source: Any) -> bool:
    """Whether `source` gives batches, not arrays."""
    return isinstance(source, Sequence) or hasattr(source, "__next__")


def number_of_steps(source: Any, steps: int | None, argument: str, name: str):
    """How many batches make an epoch: `steps`, a fraction being rounded up as in Keras, or all of a Sequence.

    Raises:
        ValueError: if they are no number, or not given for a generator, naming the method and the argument.
    """
    if steps is not None:
        return whole_number(steps, f"{name}: {argument}", 1, up=True)
    if isinstance(source, Sequence):
        return len(source)
    raise ValueError(
        f"{name}: `{argument}=None` is only valid for a generator based on the `jkeras.utils.Sequence` class. Please "
        f"specify `{argument}` or use the `jkeras.utils.Sequence` class."
    )


@contextlib.contextmanager
def streaming(source: Any, steps: int, standardize: Function, workers: Workers, name: str, epochs: int = 1, **options):
    """`source`, a generator or a Sequence, as a `Stream` of `epochs` epochs of `steps` batches, which is asked for its
    first one when that is needed."""
    if not is_generator(source):
        if not hasattr(source, "__iter__"):
            raise TypeError(f"{name}: a generator or a Sequence is needed; got {type(source).__name__}.")
        source = iter(source)
    if not isinstance(source, Sequence) and workers.use_multiprocessing and workers.workers > 1:
        warnings.warn(
            "A generator in several processes is copied into each, and all copies give the same data. Use a "
            "jkeras.utils.Sequence, whose batches are divided among them.",
            stacklevel=5,
        )
    with contextlib.closing(workers.batches(source, max(epochs, 0) * steps, **options)) as made:
        yield feeding.Stream(made, steps, standardize, name)


def pair_of(made: Any, name: str):
    """(x, y, sample_weight or None), from what a generator gave.

    Raises:
        ValueError: if it is not a tuple of two or three.
    """
    if isinstance(made, (tuple, list)) and len(made) in (2, 3):
        return (*made, None) if len(made) == 2 else tuple(made)
    raise ValueError(
        f"{name}: Output of generator should be a tuple `(x, y, sample_weight)` or `(x, y)`. Found: {_shown(made)}"
    )


def inputs_of(made: Any, name: str):
    """x, from what a generator gave: x itself, or a tuple with targets and weights, as for training.

    Raises:
        ValueError: if it is a tuple of another length.
    """
    if not isinstance(made, tuple):
        return made
    if len(made) not in (1, 2, 3):
        raise ValueError(
            f"{name}: Output of generator should be a tuple `(x, y, sample_weight)` or `(x, y)`. Found: {_shown(made)}"
        )
    return made[0]


def _shown(made) -> str:
    text = repr(made)
    return f"{type(made).__name__} {text if len(text) < 200 else text[:200] + '...'}"


def renamed(kwargs: dict, name: str, generator: Any, **arguments) -> dict:
    """`arguments` with those that were given under their names of Keras 1.

    Raises:
        TypeError: for any other argument in `kwargs`.
    """
    for old, value in kwargs.items():
        new = _RENAMED.get(old)
        if new not in arguments:
            raise TypeError(f"{name}() got an unexpected keyword argument {old!r}.")
        if old == "samples_per_epoch" and hasattr(generator, "batch_size"):
            value = value // generator.batch_size
        warnings.warn(
            f"The argument `{old}` of `{name}` is Keras 1's. Use `{new}={value!r}`; steps are batches, not examples.",
            stacklevel=4,
        )
        arguments[new] = value
    return arguments
