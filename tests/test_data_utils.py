"""Queues of batches: every batch once and in order, errors that arrive, and nothing left running."""

import contextlib
import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import h5py
import jax
import numpy as np
import pytest

import jkeras
from jkeras.data import workers as machine
from jkeras.utils import GeneratorEnqueuer, HDF5Matrix, OrderedEnqueuer, Sequence, io_utils

KINDS = ["threads", "processes", "generator thread", "generator processes"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class Numbers(Sequence):
    """Item i of epoch e is [e, i]. `act` is called with each index first."""

    def __init__(self, count=5, act=None):
        self.count, self.act, self.epoch, self.computed = count, act, 0, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.computed.append(index)
        if self.act is not None:
            self.act(index)
        return np.array([self.epoch, index])

    def on_epoch_end(self):
        self.epoch += 1


class Odd(Exception):
    """Pickle would call `__init__` again, with other arguments."""

    def __init__(self, number, unit):
        super().__init__(f"{number} {unit}")
        self.unit = unit


def waits(seconds, index):
    time.sleep(seconds)


def fails(at, error, index):
    if index == at:
        raise error()


def dies(how, index):
    if index == 3:
        os._exit(3) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)


def key_error():
    return KeyError("label")


def odd():
    return Odd(3, "metres")


def unpicklable():
    error = ValueError("holds a lock")
    error.lock = threading.Lock()
    return error


def missing():
    return FileNotFoundError(2, "No such file", "cat.png")


class WithNotebookClass(Sequence):
    """Cannot be made again in a worker."""

    def __len__(self):
        return 1

    def __reduce__(self):
        return unpickled_only_here, (os.getpid(),)


def unpickled_only_here(pid):
    if os.getpid() != pid:
        raise AttributeError("no such class here")
    return WithNotebookClass()


class Arrays(Sequence):
    def __len__(self):
        return len(ARRAYS)

    def __getitem__(self, index):
        return ARRAYS[index]


class Settings(Sequence):
    """What a worker process sees of JAX."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return os.environ["JAX_PLATFORMS"], jax.default_backend(), os.getpid()


ARRAYS = [
    np.zeros((300, 100), "float32"),
    (np.ones((3, 4)), [np.arange(6, dtype="int8")], {"mask": np.array([True, False]), "name": "a"}),
    np.asfortranarray(np.arange(60000.0).reshape(300, 200)),
    np.arange(60000.0).reshape(300, 200)[::2, ::3],
    np.zeros((0, 7)),
    np.array(["word", None, 3], dtype=object),
    (np.arange(40000), np.arange(50000, dtype="uint8"), 7),
]


def items(count, act=None):
    for index in range(count):
        if act is not None:
            act(index)
        yield np.array([0, index])


def enqueuer_of(kind, count=5, act=None):
    if "generator" in kind:
        return GeneratorEnqueuer(items(count, act), use_multiprocessing="processes" in kind)
    return OrderedEnqueuer(Numbers(count, act), use_multiprocessing="processes" in kind)


def take(batches, count):
    return [tuple(int(number) for number in next(batches)) for _ in range(count)]


def left_running():
    threads = [each.name for each in threading.enumerate() if each.name.startswith(("worker ", "end of epoch"))]
    return threads + [each.name for each in multiprocessing.active_children()]


@pytest.fixture(autouse=True)
def nothing_left():
    jax.devices()  # from here on, JAX warns of forks
    yield
    assert left_running() == []


# ---------------------------------------------------------------------------------------------- each once, in order


@pytest.mark.parametrize("workers, size", [(1, 1), (3, 2), (2, 10)])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_each_item_once_per_epoch_in_order(kind, workers, size):
    with enqueuer_of(kind) as enqueuer:
        enqueuer.start(workers, size)
        assert take(enqueuer.get(), 17) == [(number // 5, number % 5) for number in range(17)]
        assert enqueuer.is_running()
    assert not enqueuer.is_running()


def test_slow_items_do_not_change_the_order():
    with enqueuer_of("threads", 8, lambda index: time.sleep(0.01 * (index % 3 == 0))) as enqueuer:
        enqueuer.start(4)
        assert take(enqueuer.get(), 16) == [(number // 8, number % 8) for number in range(16)]


def test_shuffle_is_that_of_random():
    random.seed(5)
    indices, expected = list(range(6)), []
    for epoch in range(3):
        random.shuffle(indices)
        expected += [(epoch, index) for index in indices]
    random.seed(5)
    with OrderedEnqueuer(Numbers(6), shuffle=True) as enqueuer:
        enqueuer.start(2)
        assert take(enqueuer.get(), 18) == expected


@pytest.mark.parametrize("multiprocessing", [False, True])
def test_order_is_a_function_of_the_epoch_and_can_start_anywhere(multiprocessing):
    def order(epoch):
        return np.random.default_rng([7, epoch]).permutation(6)

    with OrderedEnqueuer(Numbers(6), multiprocessing, order=order) as whole:
        whole.start(2)
        expected = [index for _, index in take(whole.get(), 18)]
    assert sorted(expected[6:12]) == list(range(6)) and expected[:6] != expected[6:12]
    resumed = Numbers(6)
    with OrderedEnqueuer(resumed, multiprocessing, order=order, epoch=1, position=4) as rest:
        rest.start(2, 1)
        assert [index for _, index in take(rest.get(), 8)] == expected[10:]
    assert resumed.computed[:2] == ([] if multiprocessing else expected[10:12])


def test_number_of_batches_is_read_once_or_given_by_order():
    class Grows(Numbers):
        def on_epoch_end(self):
            self.count += 1

    for order, expected in [(None, [0, 1, 0, 1, 0]), (range, [0, 0, 1, 0, 1])]:
        sequence = Grows(2)
        with OrderedEnqueuer(sequence, order=order, epoch=1 if order else 0) as enqueuer:
            enqueuer.start()
            assert [index for _, index in take(enqueuer.get(), 5)] == expected


@pytest.mark.parametrize("limit, computed, ended", [(7, 7, 1), (10, 10, 2), (0, 0, 0)])
def test_limit_of_a_sequence(limit, computed, ended):
    sequence = Numbers()
    enqueuer = OrderedEnqueuer(sequence, limit=limit)
    enqueuer.start(2, 8)
    assert [tuple(item) for item in enqueuer.get()] == [(number // 5, number % 5) for number in range(limit)]
    assert (len(sequence.computed), sequence.epoch, left_running()) == (computed, ended, [])


@pytest.mark.parametrize("size", [1, 2, 10])
def test_limit_of_a_generator_leaves_the_rest_in_it(size):
    generator = iter([1, None, None, 2, 3, 4])
    with GeneratorEnqueuer(generator, limit=2) as enqueuer:
        enqueuer.start(1, size)
        assert list(enqueuer.get()) == [1, 2]
    assert next(generator) == 3


def test_items_that_are_none_are_left_out():
    with GeneratorEnqueuer(iter([1, None, 2])) as enqueuer:
        enqueuer.start()
        assert list(enqueuer.get()) == [1, 2]


@pytest.mark.parametrize("workers, size", [(1, 1), (4, 3), (2, 10)])
def test_generator_in_a_thread_ends_after_its_last_item(workers, size):
    enqueuer = enqueuer_of("generator thread", 7)
    enqueuer.start(workers, size)
    assert take(enqueuer.get(), 3) + [tuple(item) for item in enqueuer.get()] == [(0, index) for index in range(7)]
    assert not enqueuer.is_running() and left_running() == []
    enqueuer.stop()


@linux
@pytest.mark.parametrize("workers, size", [(1, 1), (3, 2), (2, 10)])
def test_generator_in_processes_gives_each_item_once_per_worker(workers, size):
    with enqueuer_of("generator processes", 4) as enqueuer:
        enqueuer.start(workers, size)
        assert [tuple(item) for item in enqueuer.get()] == [(0, index) for index in range(4) for _ in range(workers)]


@linux
def test_random_seed_of_worker_processes():
    def draws():
        while True:
            yield np.random.rand()

    with GeneratorEnqueuer(draws(), use_multiprocessing=True, random_seed=3) as enqueuer:
        enqueuer.start(2)
        found = [next(enqueuer.get()) for _ in range(2)]
    assert found == [np.random.RandomState(seed).rand() for seed in (3, 4)]


def test_arrays_survive_the_way_between_processes():
    with OrderedEnqueuer(Arrays(), use_multiprocessing=True) as enqueuer:
        enqueuer.start(2)
        batches = enqueuer.get()
        for expected in ARRAYS:
            found = next(batches)
            jax.tree.map(np.testing.assert_array_equal, found, expected)
            for array in jax.tree.leaves(found):
                assert not isinstance(array, np.ndarray) or array.flags.writeable


def test_worker_processes_leave_accelerators_alone():
    with OrderedEnqueuer(Settings(), use_multiprocessing=True) as enqueuer:
        enqueuer.start()
        platforms, backend, pid = next(enqueuer.get())
    assert (platforms, backend) == ("cpu", "cpu") and pid != os.getpid()


# ---------------------------------------------------------------------------------------------------- end of epoch


def test_on_epoch_end_comes_once_and_before_the_next_epoch():
    events = []

    class Watched(Numbers):
        def __getitem__(self, index):
            events.append(index)
            return super().__getitem__(index)

        def on_epoch_end(self):
            events.append("end")

    with OrderedEnqueuer(Watched(3)) as enqueuer:
        enqueuer.start(3)
        take(enqueuer.get(), 9)
    assert [events[place] for place in (3, 7, 11)] == ["end"] * 3 and events.count("end") == 3
    assert sorted(events[4:7]) == [0, 1, 2]


def test_the_next_epoch_is_prepared_while_nobody_asks_but_not_at_once():
    sequence = Numbers(2)
    with OrderedEnqueuer(sequence) as enqueuer:
        enqueuer.start()
        take(enqueuer.get(), 2)
        assert sequence.epoch == 0
        deadline = time.monotonic() + 5
        while len(sequence.computed) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sequence.epoch == 1 and sequence.computed == [0, 1, 0, 1]


@pytest.mark.parametrize("taken, expected", [(1, "the first"), (2, "stop")])
def test_an_error_in_on_epoch_end_is_not_lost(taken, expected):
    class Broken(Numbers):
        def on_epoch_end(self):
            raise LookupError("no more")

    enqueuer = OrderedEnqueuer(Broken(taken))
    enqueuer.start()
    batches = enqueuer.get()
    take(batches, taken)
    with pytest.raises(LookupError, match="no more"):
        next(batches) if expected == "the first" else enqueuer.stop()
    enqueuer.stop()


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "make, kind_of_error, message",
    [
        (key_error, KeyError, "'label'"),
        (missing, FileNotFoundError, "[Errno 2] No such file: 'cat.png'"),
        (odd, Odd, "3 metres"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_workers_reach_the_consumer(kind, make, kind_of_error, message):
    enqueuer = enqueuer_of(kind, 5, partial(fails, 2, make))
    enqueuer.start(2)
    batches = enqueuer.get()
    with pytest.raises(kind_of_error) as caught:
        for _ in range(20):
            next(batches)
    assert str(caught.value) == message and getattr(caught.value, "unit", "metres") == "metres"
    # Where it happened can be read, too.
    if "processes" in kind:
        assert "in fails" in str(caught.value.__cause__)
    else:
        assert "fails" in [entry.name for entry in caught.traceback]
    assert not enqueuer.is_running() and left_running() == []
    with pytest.raises(StopIteration):
        next(enqueuer.get())


def test_an_error_that_cannot_be_pickled_is_quoted():
    with enqueuer_of("processes", 5, partial(fails, 0, unpicklable)) as enqueuer:
        enqueuer.start()
        with pytest.raises(RuntimeError, match="^ValueError: holds a lock"):
            next(enqueuer.get())


@pytest.mark.parametrize("how, code", [("exit", "3"), ("kill", "-9")])
@pytest.mark.parametrize("kind", [KINDS[1], pytest.param(KINDS[3], marks=linux)])
def test_a_worker_process_that_dies_is_an_error(kind, how, code):
    enqueuer = enqueuer_of(kind, 6, partial(dies, how))
    enqueuer.start(2)
    with pytest.raises(RuntimeError, match=f"ended with exit code {code} while"):
        take(enqueuer.get(), 12)
    assert left_running() == []


@pytest.mark.parametrize(
    "make, arguments, error, message",
    [
        (lambda: OrderedEnqueuer(Numbers()), (0,), ValueError, "workers must be at least 1; got 0"),
        (lambda: GeneratorEnqueuer(iter("a")), (1, 0), ValueError, "max_queue_size must be at least 1; got 0"),
        (lambda: OrderedEnqueuer(Numbers(0)), (), ValueError, "epoch 0 has 0 batches"),
        (lambda: OrderedEnqueuer(Numbers(3), position=3), (), ValueError, "has 3 batches, and cannot start at 3"),
        (lambda: OrderedEnqueuer(Numbers(), order=range, shuffle=True), (), ValueError, "not both"),
        (lambda: OrderedEnqueuer(Numbers(act=lambda index: index), True), (), Exception, "[Pp]ickle"),
        (lambda: OrderedEnqueuer(WithNotebookClass(), True), (), AttributeError, "no such class here"),
        (lambda: OrderedEnqueuer(Sequence()), (), NotImplementedError, "Sequence must define __len__"),
        (lambda: GeneratorEnqueuer(iter("a"), wait_time=0.1), (), DeprecationWarning, "wait_time"),
    ],
)
def test_mistakes(make, arguments, error, message):
    with pytest.raises(error, match=message), make() as enqueuer:
        enqueuer.start(*arguments)
        next(enqueuer.get())


def test_get_before_start_and_start_twice():
    enqueuer = enqueuer_of("threads")
    with pytest.raises(RuntimeError, match="call start"):
        next(enqueuer.get())
    with enqueuer:
        enqueuer.start()
        with pytest.raises(RuntimeError, match="runs already"):
            enqueuer.start()


def test_generator_in_processes_where_nothing_can_be_forked(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(ValueError, match="Use a Sequence"):
        enqueuer_of("generator processes").start()


# -------------------------------------------------------------------------------------------------------------- stop


@pytest.mark.parametrize("taken, workers, size", [(0, 2, 1), (3, 3, 2), (0, 1, 10)])
@pytest.mark.parametrize("kind", KINDS)
def test_stop_in_the_middle(kind, taken, workers, size):
    """Also with a full queue, before anything was taken; twice; and it can be started again."""
    enqueuer = enqueuer_of(kind, 100)
    enqueuer.stop()
    enqueuer.start(workers, size)
    batches = enqueuer.get()
    take(batches, taken)
    enqueuer.stop()
    assert left_running() == []
    assert list(batches) == []
    enqueuer.stop()
    if taken and "generator" not in kind:
        enqueuer.start(workers, size)
        assert take(enqueuer.get(), 2) == [(0, 0), (0, 1)]
        enqueuer.stop()


@pytest.mark.parametrize("kind, seconds", [("threads", 0.4), ("processes", 60), ("generator processes", 60)])
def test_stop_does_not_wait_for_slow_processes(kind, seconds):
    enqueuer = enqueuer_of(kind, 5, partial(waits, seconds))
    enqueuer.start(2)
    time.sleep(0.1)
    begin = time.monotonic()
    enqueuer.stop()
    assert time.monotonic() - begin < 3
    assert left_running() == []


def test_stop_does_not_wait_for_ever_for_threads(monkeypatch):
    gate, inside = threading.Event(), threading.Event()
    enqueuer = GeneratorEnqueuer(items(3, lambda index: (inside.set(), gate.wait())))
    enqueuer.start()
    assert inside.wait(5)
    enqueuer.stop(timeout=0.05)
    monkeypatch.setattr(machine, "PATIENCE_SECONDS", 0.05)
    with pytest.warns(RuntimeWarning, match="did not end in"):
        enqueuer.stop()
    gate.set()
    enqueuer.stop(timeout=5)


def test_stop_wakes_a_consumer():
    gate, inside, found = threading.Event(), threading.Event(), []
    enqueuer = GeneratorEnqueuer(items(3, lambda index: (inside.set(), gate.wait())))
    enqueuer.start()
    assert inside.wait(5)
    consumer = threading.Thread(target=lambda: found.extend(enqueuer.get()))
    consumer.start()
    enqueuer.stop(timeout=0.05)
    consumer.join(5)
    assert not consumer.is_alive() and found == []
    gate.set()
    enqueuer.stop(timeout=5)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_that_nobody_stops_end_when_they_are_forgotten(kind):
    enqueuer = enqueuer_of(kind, 4)
    enqueuer.start(2)
    batches = enqueuer.get()
    take(batches, 5 if kind in KINDS[:2] else 3)
    del enqueuer, batches
    deadline = time.monotonic() + 5
    while left_running() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert left_running() == []


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_keyboard_interrupt_in_the_consumer(kind, inside):
    """In the body of the loop, or, by a signal, while it waits for a batch."""
    act = partial(waits, 0.3) if inside else None
    with contextlib.suppress(KeyboardInterrupt), enqueuer_of(kind, 50, act) as enqueuer:
        enqueuer.start(2)
        if inside:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        for _ in enqueuer.get():
            if not inside:
                raise KeyboardInterrupt
    assert left_running() == []


def test_several_consumers_share_the_batches():
    found = []
    with GeneratorEnqueuer(iter(range(200))) as enqueuer:
        enqueuer.start()
        consumers = [threading.Thread(target=lambda: found.extend(enqueuer.get())) for _ in range(4)]
        for consumer in consumers:
            consumer.start()
        for consumer in consumers:
            consumer.join()
    assert sorted(found) == list(range(200))


SCRIPT = """
import os, time
from jkeras.utils import GeneratorEnqueuer, OrderedEnqueuer, Sequence

class Pids(Sequence):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        if index > 1:
            time.sleep(60)
        return os.getpid()

def pids():
    yield os.getpid()
    time.sleep(60)

if __name__ == "__main__":
    found = set()
    for enqueuer, count in (OrderedEnqueuer(Pids(), True), 2), (GeneratorEnqueuer(pids(), True), 2):
        enqueuer.start(2)
        batches = enqueuer.get()
        found.update(next(batches) for _ in range(count))
    print(*found, flush=True)
    time.sleep(60)
"""


@linux
@pytest.mark.slow
def test_no_worker_survives_a_killed_parent(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    root = os.path.dirname(os.path.dirname(jkeras.__file__))
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, env=environment) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) >= 3
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ------------------------------------------------------------------------------------------------------ HDF5Matrix


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.arange(24.0, dtype="float32").reshape(12, 2)
        file["y"] = np.arange(12)
    return str(tmp_path / "data.h5")


WINDOW = np.arange(24.0, dtype="float32").reshape(12, 2)[2:10]


@pytest.mark.parametrize(
    "key",
    [0, 7, -1, np.int64(3), slice(None), slice(2, 5), slice(0, 8), slice(5, None), slice(-3, None), slice(1, 8, 3)]
    + [np.arange(8) % 3 == 1, [True, False] * 4, np.zeros(8, bool)]
    + [slice(20, None), slice(4, 2), [0, 1], [5, 2, 2, 7], (1, 3), range(2, 4), [], np.array([6, -8]), np.arange(0)],
    ids=str,
)
@pytest.mark.parametrize("normalizer", [None, lambda rows: (rows / 2).astype("float64")])
def test_rows_are_those_of_the_array(path, key, normalizer):
    matrix = HDF5Matrix(path, "x", 2, 10, normalizer)
    expected = WINDOW[
        list(key) if isinstance(key, tuple) else np.asarray(key, None if key else int) if isinstance(key, list) else key
    ]
    expected = expected if normalizer is None else normalizer(expected)
    np.testing.assert_array_equal(matrix[key], expected, strict=True)
    assert (matrix.shape, matrix.ndim, matrix.size, len(matrix)) == ((8, 2), 2, 16, 8)
    assert matrix.dtype == expected.dtype


@pytest.mark.parametrize(
    "key, error",
    [(8, IndexError), (-9, IndexError), (slice(1000, 1001), IndexError), (slice(0, 9), IndexError)]
    + [([0, 8], IndexError), (range(8, 9), IndexError), (np.array([8]), IndexError), (None, TypeError)]
    + [
        (True, TypeError),
        ([True], IndexError),
        (np.ones(9, bool), IndexError),
        ([0.5], TypeError),
        (np.array([[0]]), TypeError),
        (slice(5, 2, -1), ValueError),
    ],
    ids=str,
)
def test_rows_that_are_not_there(path, key, error):
    with pytest.raises(error):
        HDF5Matrix(path, "x", 2, 10)[key]


def test_a_file_that_was_closed_is_named(path):
    matrix = HDF5Matrix(path, "x")
    matrix.data.file.close()
    for read in (lambda: matrix[0], lambda: matrix[:], lambda: matrix[[1, 0]]):
        with pytest.raises(ValueError, match="HDF5Matrix: the file .*data.h5 was closed"):
            read()


@pytest.mark.parametrize("start, end", [(5, 4), (0, 13), (-1, 3)])
def test_windows_that_are_not_there(path, start, end):
    with pytest.raises(ValueError, match="which has 12"):
        HDF5Matrix(path, "x", start, end)


def test_matrices_share_the_file_and_the_last_one_closes_it(path):
    first, second = HDF5Matrix(path, "x"), HDF5Matrix(path, "y", 3)
    assert first.data.file == second.data.file and second.shape == (9,)
    copy = pickle.loads(pickle.dumps(second))
    np.testing.assert_array_equal(copy[:], np.arange(3, 12))
    del first, second, copy
    with h5py.File(path, "r+") as file:  # cannot be opened for writing while it is open for reading
        file["z"] = [1]


def test_an_hdf5_matrix_trains_like_the_array(path):
    def weights(x, y):
        model = jkeras.Sequential([jkeras.layers.Dense(1, input_shape=(2,), kernel_initializer="ones")])
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0)
        return model.predict(x, batch_size=4), *model.get_weights()

    with h5py.File(path) as file:
        x, y = file["x"][1:9] / 24, file["y"][1:9]
    found = weights(HDF5Matrix(path, "x", 1, 9, lambda rows: rows / 24), HDF5Matrix(path, "y", 1, 9))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, weights(x, y))


@pytest.mark.parametrize("answers, expected", [(["y"], True), (["N"], False), (["perhaps", "", " Y "], True)])
def test_ask_to_proceed_with_overwrite(monkeypatch, answers, expected):
    given = iter(answers)
    monkeypatch.setattr("builtins.input", lambda prompt: next(given))
    assert io_utils.ask_to_proceed_with_overwrite("model.h5") is expected
    assert list(given) == []
