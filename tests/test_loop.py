"""Who holds what while training runs: interruptions, threads, models that share layers, observers."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import jkeras
from jkeras import backend as K
from jkeras import callbacks, layers, optimizers
from jkeras.layers import Dense, Input
from jkeras.models import Model, Sequential
from jkeras.train import Observer

X = np.random.RandomState(0).randn(64, 6).astype("float32")
Y = np.random.RandomState(1).randn(64, 3).astype("float32")


def counting(optimizer=None, mapping=None):
    """Every weight is 1 after one step, 2 after two, and so on: the gradient is -1 and the rate 1."""
    model = Sequential(
        [
            Dense(3, kernel_initializer="zeros", input_shape=(6,)),
            Dense(3, kernel_initializer="zeros"),
        ]
    )
    weights = model.trainable_weights

    def loss(y_true, y_pred):
        return 0.0 * y_pred[:, 0] - sum(K.sum(weight) for weight in weights)

    model.compile(optimizer or optimizers.SGD(lr=1.0), loss, mapping=mapping)
    return model


def steps_of(arrays):
    """The one number that all arrays are full of."""
    numbers = {float(number) for array in arrays for number in np.ravel(array)}
    assert len(numbers) == 1, f"weights of several steps: {sorted(numbers)}"
    return numbers.pop()


# ------------------------------------------------------------------------------------------------------ interruptions


@contextlib.contextmanager
def interrupted_after(seconds):
    """SIGINT comes so many seconds from now, by a timer of the process."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("hooks", [False, True])
def test_interrupted_at_any_moment_the_weights_are_of_one_step(hooks):
    model, draw = counting(), np.random.RandomState(3)
    watch = [callbacks.LambdaCallback(on_batch_end=lambda batch, logs: None)] if hooks else []
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=watch)
    for _ in range(5):
        before = steps_of(model.get_weights())
        with pytest.raises(KeyboardInterrupt), interrupted_after(draw.uniform(0.001, 0.05)):
            model.fit(X, Y, batch_size=8, epochs=100000, verbose=0, callbacks=watch)
        assert steps_of(model.get_weights()) == int(model.optimizer.iterations.value) >= before
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=watch)


@pytest.mark.slow
def test_a_hundred_interruptions():
    script = pathlib.Path(__file__).resolve().parent / "interrupt.py"
    environment = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        [sys.executable, str(script), "--times", "100"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", ["on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end", "on_train_end"])
def test_what_a_callback_raises_leaves_the_weights_of_a_step(place):
    model = counting()

    def fail(*arguments):
        if place == "on_train_end" or steps_of(model.get_weights()) >= 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[callbacks.LambdaCallback(**{place: fail})])
    assert steps_of(model.get_weights()) in (3, 4, 12)
    model.fit(X, Y, epochs=1, verbose=0)


# ------------------------------------------------------------------------------------------------------------ threads


def test_predictions_in_threads_beside_a_fit():
    """Every prediction is by the weights of one step: the outputs of this model tell which."""
    model = counting()
    ones = np.ones((4, 6), "float32")
    expected = {step: 3 * step * (6 * step + step) + step for step in range(100000)}
    failures, seen, enough = [], set(), threading.Event()

    def predict():
        while not enough.is_set():
            try:
                outputs = model.predict(ones)
                assert len(set(outputs.ravel())) == 1
                step = int(np.sqrt(outputs[0, 0] / 21))
                assert outputs[0, 0] in (expected[step], expected[step + 1]), outputs[0, 0]
                seen.add(step)
                steps_of(model.get_weights()[:1])
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    threads = [threading.Thread(target=predict) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        model.fit(X, Y, batch_size=8, epochs=15, verbose=0)
    enough.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert len(seen) > 1 and steps_of(model.get_weights()) == 360


def test_two_fits_of_one_model_at_once_are_refused():
    model = counting()
    caught = []

    def again(epoch, logs):
        try:
            model.fit(X, Y, epochs=1, verbose=0)
        except RuntimeError as error:
            caught.append(str(error))

    model.fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=again)])
    assert len(caught) == 1 and "being trained already" in caught[0]


def test_two_fits_of_one_model_in_two_threads():
    """One of them says so and leaves the other alone."""
    model = counting()
    begun, enough, caught = threading.Event(), threading.Event(), []

    def train():
        def wait(batch, logs):
            begun.set()
            enough.wait(60)

        model.fit(X, Y, batch_size=32, epochs=2, verbose=0, callbacks=[callbacks.LambdaCallback(on_batch_end=wait)])

    thread = threading.Thread(target=train)
    thread.start()
    assert begun.wait(60)
    ways = [
        lambda: model.fit(X, Y, verbose=0),
        lambda: model.fit_generator(iter([(X, Y)]), 1, verbose=0, workers=0),
    ]
    for way in ways:
        try:
            way()
        except RuntimeError as error:
            caught.append(str(error))
    enough.set()
    thread.join()
    assert len(caught) == 2 and all("is being trained already" in message for message in caught)
    assert steps_of(model.get_weights()) == 4 and model.history.epoch == [0, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_copy_of_the_process_says_that_it_cannot_compute():
    """JAX's threads are not copied: whatever waits for one of them would wait for ever."""
    program = """
import os, sys, warnings
import numpy as np, jkeras
from jkeras import backend as K
warnings.simplefilter("ignore")
model = jkeras.Sequential([jkeras.layers.Dense(3, input_shape=(6,))])
model.compile("sgd", "mse")
x, y, square = np.ones((8, 6)), np.ones((8, 3)), K.square(K.variable([2.0]))
model.fit(x, y, verbose=0)
ways = [lambda: model.predict(x), lambda: model.fit(x, y, verbose=0), lambda: model.train_on_batch(x, y),
        lambda: K.eval(square)]
for way in ways:
    child = os.fork()
    if not child:
        try:
            way()
        except RuntimeError as error:
            os._exit(7 if "a copy, made by os.fork" in str(error) and len(model.get_weights()) == 2 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
model.predict(x)
"""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(jkeras.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------------------ who holds what


def test_arrays_taken_from_variables_stay():
    model = counting(optimizers.Adam(0.1))
    kernel, taken = model.layers[0].kernel, []
    watch = callbacks.LambdaCallback(on_batch_end=lambda batch, logs: taken.append(kernel.value))
    for _ in range(2):
        taken.append(kernel.value)
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[watch])
        model.train_on_batch(X, Y)
        model.evaluate(X, Y, verbose=0)
    assert len(taken) == 18 and len({float(np.asarray(array)[0, 0]) for array in taken}) == 18


def test_what_is_set_while_a_run_has_the_weights_counts():
    model = counting()
    model.train_on_batch(X, Y)
    model.set_weights([np.full_like(weight, 10.0) for weight in model.get_weights()])
    assert steps_of(model.get_weights()) == 10
    model.train_on_batch(X, Y)
    assert steps_of(model.get_weights()) == 11

    def set_them(epoch, logs):
        model.set_weights([np.full_like(weight, 100.0) for weight in model.get_weights()])

    model.fit(X, Y, batch_size=32, epochs=1, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_begin=set_them)])
    assert steps_of(model.get_weights()) == 102
    model.compile(optimizers.SGD(lr=0.0), "mse")
    model.train_on_batch(X, Y)
    assert steps_of(model.get_weights()) == 102


@pytest.mark.parametrize("look", [False, True])
def test_models_that_share_layers_train_in_turn(look):
    """As in a GAN: the discriminator by itself, then the generator through the frozen discriminator."""

    def make():
        jkeras.random.seed(4)
        generator = Sequential([Dense(6, input_shape=(2,), activation="tanh")])
        judge = Sequential([Dense(4, input_shape=(6,), activation="tanh"), Dense(1, activation="sigmoid")])
        judge.compile(optimizers.Adam(0.05), "binary_crossentropy")
        judge.trainable = False
        x = Input((2,))
        both = Model(x, judge(generator(x)))
        both.compile(optimizers.Adam(0.05), "binary_crossentropy")
        return generator, judge, both

    def run(predict):
        generator, judge, both = make()
        noise, losses = np.random.RandomState(0).randn(5, 8, 2), []
        for draw in noise:
            made = generator.predict(draw) if predict else None
            if made is None:
                kernel, bias = generator.get_weights()
                made = np.tanh(draw.astype("float32") @ kernel + bias)
            with pytest.warns(UserWarning, match="Discrepancy"):
                losses.append(judge.train_on_batch(np.concatenate([X[:8], made]), np.repeat([1.0, 0.0], 8)))
            losses.append(both.train_on_batch(draw, np.ones(8)))
            if look:
                losses.append(both.evaluate(draw, np.ones(8), verbose=0))
        return losses, both.get_weights()

    (losses, weights), (others, other_weights) = run(True), run(False)
    np.testing.assert_allclose(losses, others, rtol=1e-4)
    for ours, theirs in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_loop_of_single_batches_copies_nothing(monkeypatch):
    model = counting()
    model.train_on_batch(X, Y)
    copies = []
    monkeypatch.setattr(jax, "device_put", lambda *arguments, **options: copies.append(arguments))
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert not copies


# ---------------------------------------------------------------------------------------------------------- observers


class Every(Observer):
    """Looks every so many steps."""

    def __init__(self, steps):
        self.steps, self.seen, self.begun = steps, [], []

    def room(self, step):
        return self.steps - step % self.steps

    def before(self, view):
        self.begun.append(view.step)

    def after(self, view):
        weights = [np.asarray(leaf) for leaf in jax.tree.leaves(view.train_state.params)]
        self.seen.append((view.step, view.steps, view.size, view.examples, steps_of(weights), len(view.batches)))


class Brings(callbacks.Callback):
    def __init__(self, made):
        self.made = made

    def observer(self, fitting):
        assert fitting.model is self.model and fitting.steps_before == 0
        return self.made


def test_an_observer_looks_when_it_must():
    model, looker = counting(), Every(3)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[Brings(looker)])
    assert looker.seen == [(3, 3, 8, 24, 3.0, 3), (6, 3, 8, 48, 6.0, 3), (8, 2, 8, 64, 8.0, 2)]
    assert looker.begun == [0, 3, 6]


def test_an_observer_may_change_the_state_and_end_the_pass():
    class Meddle(Observer):
        def room(self, step):
            return 1

        def after(self, view):
            params = jax.tree.map(lambda leaf: leaf * 0 + 50, view.train_state.params)
            view.train_state = view.train_state.replace(params=params)
            if view.step == 2:
                view.stop()

    model = counting()
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[Brings(Meddle())])
    assert steps_of(model.get_weights()) == 50 and int(model.optimizer.iterations.value) == 2


def test_dropout_draws_the_same_whoever_looks():
    def run(watch):
        jkeras.random.seed(1)
        model = Sequential([Dense(8, input_shape=(6,)), layers.Dropout(0.5), Dense(3)])
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, key=3, callbacks=watch)
        return model.get_weights()

    class Often(Observer):
        def room(self, step):
            return 3

    for ours, theirs in zip(run([]), run([Brings(Often())]), strict=True):
        assert np.array_equal(ours, theirs)
