"""`fit_generator` and its like: the same numbers as on arrays, in any way of feeding, and a clean end in any case."""

import functools
import itertools
import os
import signal
import threading

import numpy as np
import pytest
from kit import close, same_bits

from jkeras import callbacks, layers
from jkeras.layers import Dense, Dropout
from jkeras.models import Model, Sequential
from jkeras.utils import Sequence

X = np.random.RandomState(0).randn(34, 5).astype("float32")
Y = (X[:, :2] > 0).astype("float32")
SIZE, STEPS = 8, 5


class Slices(Sequence):
    """The rows of X and Y, eight at a time; `ended` counts epochs."""

    def __init__(self):
        self.ended, self.asked = 0, []

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        self.asked.append(index)
        rows = slice(index * SIZE, (index + 1) * SIZE)
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.ended += 1


def endless():
    while True:
        yield from Slices()


def small(dropout=0.0):
    model = Sequential([Dense(2, activation="sigmoid", input_shape=(5,)), Dropout(dropout)])
    model.set_weights([np.full((5, 2), 0.3), np.zeros(2)])
    model.compile("sgd", "mse", metrics=["acc"])
    return model


@pytest.fixture(autouse=True)
def nobody_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


ON_ARRAYS = {"batch_size": SIZE, "epochs": 2, "verbose": 0, "shuffle": False, "key": 3}


@functools.cache
def on_arrays():
    """The weights and the history after training on the arrays themselves."""
    model = small(0.4)
    history = model.fit(X, Y, validation_data=(X, Y), **ON_ARRAYS).history
    return model.get_weights(), history


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("source", [Slices, endless])
@pytest.mark.parametrize("validation", ["arrays", "sequence", "generator"])
def test_the_numbers_are_those_on_arrays(workers, source, validation):
    weights, expected = on_arrays()
    model = small(0.4)
    held_out = {"arrays": (X, Y), "sequence": Slices(), "generator": endless()}[validation]
    found = model.fit_generator(
        source(),
        steps_per_epoch=STEPS,
        epochs=2,
        verbose=0,
        shuffle=False,
        key=3,
        workers=workers,
        validation_data=held_out,
        validation_steps=STEPS,
    ).history
    assert same_bits(model.get_weights(), weights)
    assert set(found) == set(expected)
    close(found, expected, rtol=1e-6, atol=0)


def test_evaluating_and_predicting():
    model = small()
    expected = model.evaluate(X, Y, batch_size=SIZE, verbose=0)
    assert model.evaluate_generator(Slices()) == model.evaluate_generator(endless(), STEPS, workers=0) == expected
    outputs = model.predict(X)
    assert np.array_equal(model.predict_generator(Slices(), workers=2), outputs)
    for form in (lambda x, y: x, lambda x, y: (x,), lambda x, y: (x, y), lambda x, y: (x, y, None)):
        assert np.array_equal(model.predict_generator((form(x, y) for x, y in Slices()), STEPS), outputs)
    x = layers.Input((5,))
    double = Model(x, [Dense(2)(x), Dense(3)(x)])
    assert [part.shape for part in double.predict_generator(Slices())] == [(34, 2), (34, 3)]


def test_batches_of_several_inputs_and_weights():
    a, b = layers.Input((5,), name="a"), layers.Input((5,), name="b")
    model = Model([a, b], Dense(2, name="out")(layers.add([a, b])))
    model.compile("sgd", "mse")
    start = model.get_weights()
    weight = np.linspace(0, 1, 34)
    model.fit([X, X], Y, batch_size=34, sample_weight=weight, verbose=0, shuffle=False)
    expected = model.get_weights()
    for form in (
        ([X, X], Y, weight),
        ({"a": X, "b": X}, {"out": Y}, {"out": weight}),
        ([X, X], [Y], [weight]),
    ):
        model.set_weights(start)
        model.fit_generator(iter([form]), 1, verbose=0)
        assert same_bits(model.get_weights(), expected)


def test_class_weights_of_batches():
    def trained(**options):
        model = Sequential([Dense(2, activation="softmax", input_shape=(5,))])
        model.set_weights([np.full((5, 2), 0.3), np.zeros(2)])
        model.compile("sgd", "categorical_crossentropy")
        targets = np.eye(2)[np.arange(34) % 2]
        if options:
            return model.fit_generator(iter([(X, targets)]), 1, verbose=0, **options).history
        return model.fit(X, targets, batch_size=34, verbose=0, class_weight={0: 0.2, 1: 3.0}, shuffle=False).history

    assert trained(class_weight={0: 0.2, 1: 3.0}) == trained()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sequence_is_read_whole_in_the_keys_order(workers):
    def epochs(key):
        sequence = Slices()
        small().fit_generator(sequence, epochs=3, verbose=0, workers=workers, key=key, max_queue_size=2)
        assert sequence.ended == 3
        return sequence.asked

    asked = epochs(1)
    if workers == 0:
        assert asked == epochs(1) != epochs(2)
        assert asked[:5] != asked[5:10]
    assert sorted(asked) == sorted(list(range(STEPS)) * 3)


def test_the_key_decides_whoever_computes():
    one, many = (
        small(0.5).fit_generator(Slices(), epochs=2, verbose=0, key=5, workers=workers).history for workers in (1, 4)
    )
    assert one == many


def test_what_callbacks_see():
    seen = []
    watch = callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: seen.append((batch, logs["size"])),
        on_train_begin=lambda logs: None,
    )
    model = small()
    model.fit_generator(Slices(), verbose=0, shuffle=False, callbacks=[watch], validation_data=(X, Y))
    assert seen == [(0, 8), (1, 8), (2, 8), (3, 8), (4, 2)]
    assert watch.params == {
        "epochs": 1,
        "steps": STEPS,
        "verbose": 0,
        "do_validation": True,
        "metrics": ["loss", "acc", "val_loss", "val_acc"],
    }
    assert len(watch.validation_data) == 3


def test_progress_counts_steps(capsys):
    small().fit_generator(endless(), 5, verbose=1, validation_data=(X, Y))
    shown = capsys.readouterr().out
    assert "5/5 [" in shown and "val_acc" in shown


def stopped(batch_to_stop_at):
    model = small()

    def stop(batch, logs):
        model.stop_training = batch == batch_to_stop_at

    watch = callbacks.LambdaCallback(on_batch_end=stop)
    return model.fit_generator(Slices(), epochs=3, verbose=0, callbacks=[watch], validation_data=Slices()).history


def test_a_callback_stops_in_the_middle():
    assert set(stopped(2)) == {"loss", "acc"}
    # As in Keras: after the last batch the epoch is validated all the same.
    assert set(stopped(4)) == {"loss", "acc", "val_loss", "val_acc"}


def failing():
    yield X[:8], Y[:8]
    raise OSError("the disk is gone")


class Failing(Slices):
    def __getitem__(self, index):
        if index == 3:
            raise OSError("the disk is gone")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("source", [failing, Failing])
def test_an_error_of_the_source_reaches_the_caller(source, workers):
    model = small()
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit_generator(source(), 5, epochs=2, verbose=0, workers=workers)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interruption_leaves_living_weights(workers):
    def interrupt(batch, logs):
        if batch == 3:
            raise KeyboardInterrupt

    model = small()
    with pytest.raises(KeyboardInterrupt):
        watch = [callbacks.LambdaCallback(on_batch_end=interrupt)]
        model.fit_generator(Slices(), epochs=2, verbose=0, workers=workers, callbacks=watch)
    assert not np.array_equal(model.get_weights()[0], np.full((5, 2), 0.3, "float32"))
    model.fit_generator(Slices(), epochs=1, verbose=0, workers=workers)


@pytest.mark.parametrize("inside", ["generator", "fit"])
def test_ctrl_c_with_workers_and_then_once_more(inside):
    """SIGINT itself, while a worker computes or the loop waits: afterwards nothing runs, and training goes on."""
    model = small()

    def batches():
        for number in itertools.count():
            if number == 6 and inside == "generator":
                os.kill(os.getpid(), signal.SIGINT)  # the main thread gets it
            yield X[:8], Y[:8]

    def interrupt(batch, logs):
        if batch == 4 and inside == "fit":
            os.kill(os.getpid(), signal.SIGINT)

    watch, before = [callbacks.LambdaCallback(on_batch_end=interrupt)], threading.active_count()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            model.fit_generator(batches(), 50, epochs=100, verbose=0, workers=2, callbacks=watch)
        assert threading.active_count() == before
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit_generator(Slices(), epochs=1, verbose=0, workers=2)


def test_training_in_another_thread_and_twice_from_one_generator():
    model, source, histories = small(), endless(), []

    def train():
        for _ in range(2):
            histories.append(model.fit_generator(source, 3, epochs=2, verbose=0, workers=2))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join(120)
    assert [history.epoch for history in histories] == [[0, 1], [0, 1]]
    assert int(model.optimizer.iterations.value) == 12


MISTAKES = [
    (
        lambda m: m.fit_generator(endless(), verbose=0),
        ValueError,
        "fit_generator: `steps_per_epoch=None` is only valid",
    ),
    (
        lambda m: m.fit_generator(Slices(), verbose=0, validation_data=endless()),
        ValueError,
        "`validation_steps=None` is only valid",
    ),
    (lambda m: m.evaluate_generator(endless()), ValueError, "evaluate_generator: `steps=None`"),
    (lambda m: m.predict_generator(endless()), ValueError, "predict_generator: `steps=None`"),
    (lambda m: m.fit_generator(iter([3]), 1, verbose=0), ValueError, "a tuple `.x, y, sample_weight.` or .*int 3"),
    (lambda m: m.fit_generator(iter([(X,)]), 1, verbose=0), ValueError, "a tuple `.x, y, sample_weight.`"),
    (lambda m: m.fit_generator(iter([(X[:, :3], Y)]), 1, verbose=0), ValueError, "have shape .5,. but got .*.3,."),
    (lambda m: m.fit_generator(iter([(X, Y[:3])]), 1, verbose=0), ValueError, "same number of samples"),
    (
        lambda m: m.fit_generator(iter([(X, Y)]), 3, verbose=0),
        RuntimeError,
        "ended after 1 batches; an epoch has 3 steps",
    ),
    (
        lambda m: m.fit_generator(endless(), 0, verbose=0),
        ValueError,
        "steps_per_epoch must be a whole number of at least 1",
    ),
    (lambda m: m.fit_generator(3, 1), TypeError, "a generator or a Sequence is needed; got int"),
    (lambda m: m.fit_generator(endless(), 1, nonsense=2), TypeError, "unexpected keyword argument 'nonsense'"),
    (lambda m: m.predict_generator(iter([(X, Y, Y, Y)]), 1), ValueError, "predict_generator: Output of generator"),
    (
        lambda m: m.fit_generator(endless(), 1, verbose=0, validation_data=(X, Y, Y, Y)),
        ValueError,
        "must contain 2 .x_val, y_val. or 3",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call(small())


def test_not_compiled():
    with pytest.raises(RuntimeError, match="compile"):
        Sequential([Dense(2, input_shape=(5,))]).fit_generator(Slices())


def test_the_names_of_keras_1():
    class Sized:
        batch_size = SIZE

        def __iter__(self):
            return self

        def __next__(self):
            return X[:SIZE], Y[:SIZE]

    with pytest.warns(UserWarning, match="Keras 1") as caught:
        history = small().fit_generator(
            Sized(), samples_per_epoch=16, nb_epoch=2, max_q_size=2, nb_worker=1, pickle_safe=False, verbose=0
        )
    assert len(history.epoch) == 2 and history.params["steps"] == 2 and len(caught) == 5
