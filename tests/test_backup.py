"""Runs that were interrupted end where they would have ended; checkpoints are whole or not there."""

import functools
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import same_bits

import jkeras
from jkeras import backend as K
from jkeras import callbacks, layers, losses
from jkeras.models import Sequential
from jkeras.serialize import checkpoint
from jkeras.serialize.files import whole_file

pytestmark = pytest.mark.bits
X = np.random.RandomState(0).randn(38, 4).astype("float32")
Y = np.eye(3, dtype="float32")[np.random.RandomState(1).randint(0, 3, 38)]
EPOCHS = 4


class Interruption(Exception):
    """What stops a run in the middle."""


def build(optimizer="adam", **options):
    jkeras.random.seed(5)
    model = Sequential(
        [
            layers.Dense(6, activation="tanh", input_shape=(4,)),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer() if callable(optimizer) else optimizer, "categorical_crossentropy", **options)
    return model


def watchers(model):
    if not hasattr(model.optimizer, "lr"):
        return [callbacks.EarlyStopping(patience=9)]
    return [
        callbacks.ReduceLROnPlateau(patience=1, min_delta=10.0, factor=0.5),
        callbacks.EarlyStopping(patience=9, restore_best_weights=True),
    ]


def stop_at(epoch, where):
    """A callback that breaks the run off in `epoch`: at its begin, its end, or (costing no batch hook) in between."""

    def stop(now, logs):
        if now == epoch:
            raise Interruption

    return callbacks.LambdaCallback(**{where: stop})


def run(model, directory=None, every="epoch", stop=None, extra=(), **options):
    watch = [*watchers(model), *extra, stop or callbacks.Callback()]
    if stop is None:
        watch[-1] = callbacks.LambdaCallback()
    if directory is not None:
        watch.append(callbacks.BackupAndRestore(directory, every))
    options = {"batch_size": 8, "epochs": EPOCHS, "verbose": 0, "key": 3, "validation_split": 0.2, **options}
    history = model.fit(X, Y, callbacks=watch, **options)
    return model.get_weights(), model.optimizer.get_weights(), history.epoch, history.history


def same(first, second):
    return same_bits(first[:2], second[:2]) and first[2:] == second[2:]


@functools.cache
def undisturbed():
    return run(build())


@pytest.mark.parametrize(
    ("every", "epoch", "where"),
    [
        ("epoch", 2, "on_epoch_end"),
        ("epoch", 2, "on_epoch_begin"),
        (3, 0, "on_epoch_end"),
        (3, 2, "on_epoch_end"),
        (4, 2, "on_epoch_end"),
        (100, 2, "on_epoch_end"),
    ],
)
def test_it_ends_where_it_would_have_ended(tmp_path, every, epoch, where):
    expected = undisturbed()
    with pytest.raises(Interruption):
        run(build(), tmp_path, every, stop_at(epoch, where))
    assert same(run(build(), tmp_path, every), expected)
    assert not os.listdir(tmp_path)
    assert int(expected[1][0]) == EPOCHS * 4


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"optimizer": lambda: jkeras.optimizers.SGD(momentum=0.9, decay=1e-2)}, {}),
        ({"optimizer": lambda: __import__("optax").adamw(1e-2)}, {}),
        ({"devices": 2}, {"batch_size": 6}),
        ({}, {"shuffle": "batch"}),
        ({}, {"initial_epoch": 1}),
    ],
    ids=["sgd", "optax", "two devices", "batches shuffled", "later start"],
)
def test_whatever_the_options(tmp_path, options, arguments):
    def one(stop=None):
        return run(build(**options), tmp_path, 3, stop, **arguments)

    expected = one()
    with pytest.raises(Interruption):
        one(stop_at(2, "on_epoch_end"))
    assert same(one(), expected)


def test_without_a_key_the_backup_has_it(tmp_path, monkeypatch):
    """The order comes from numpy's global generator, the draws from a key of the process's: both are in the backup."""
    monkeypatch.setattr(jkeras.random, "is_seeded", lambda: False)
    with pytest.raises(Interruption):
        run(build(), tmp_path, 3, stop_at(2, "on_epoch_end"), key=None)
    saved = checkpoint.read(tmp_path / "backup.npz")
    np.random.rand(5)  # a resumed process stands somewhere else in numpy's stream
    resumed = run(build(), tmp_path, 3, key=None)
    undisturbed = jkeras.random.Run(jkeras.random.Key(saved["key"]), saved["numpy_state"])
    assert saved["numpy_state"] is not None and same(run(build(), key=undisturbed), resumed)


def test_what_variables_and_schedules_have_come_to(tmp_path):
    """A variable in the loss, a schedule that goes on from the rate before, and a callback of the user's."""

    class Count(callbacks.Callback):
        state_names = ("epochs",)
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    def one(stop=None):
        weight, count = K.variable(1.0), Count()
        model = build()
        model.compile("sgd", lambda y_true, y_pred: weight * losses.mean_squared_error(y_true, y_pred))
        extra = [
            count,
            callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: K.set_value(weight, K.get_value(weight) * 0.5)),
        ]
        return (*run(model, tmp_path, 3, stop, extra), count.epochs, float(K.get_value(weight)))

    expected = one()
    with pytest.raises(Interruption):
        one(stop_at(2, "on_epoch_end"))
    found = one()
    assert same(found[:4], expected[:4]) and found[4:] == expected[4:] == (EPOCHS, 0.5**EPOCHS)


@pytest.mark.parametrize("every", ["epoch", 3])
def test_a_log_has_every_epoch_once(tmp_path, every):
    def log(name, stop=None):
        run(build(), tmp_path / "backup", every, stop, [callbacks.CSVLogger(tmp_path / name)])

    log("undisturbed.csv")
    with pytest.raises(Interruption):
        log("resumed.csv", stop_at(2, "on_epoch_end"))
    assert len((tmp_path / "resumed.csv").read_text().splitlines()) == 4  # that of the interrupted epoch among them
    log("resumed.csv")
    assert (tmp_path / "resumed.csv").read_text() == (tmp_path / "undisturbed.csv").read_text()


def test_a_finished_run_stays_finished(tmp_path):
    """Killed after its last epoch, or after it stopped early: nothing is trained again."""

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    def fail(logs):
        raise Interruption

    expected = run(build(), extra=[Stop()])
    with pytest.raises(Interruption):
        run(build(), tmp_path, stop=callbacks.LambdaCallback(on_train_end=fail), extra=[Stop()])
    assert same(run(build(), tmp_path, extra=[Stop()]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: {"key": 4}, "backup of a run with another key"),
        (lambda model: {"extra": [callbacks.TerminateOnNaN()]}, "its callbacks are not those of this one"),
        (lambda model: model.add(layers.Dense(3)) or model.compile("adam", "mse") or {}, "its weights and states"),
    ],
)
def test_a_backup_of_another_run_is_refused(tmp_path, change, message):
    with pytest.raises(Interruption):
        run(build(), tmp_path, stop=stop_at(2, "on_epoch_end"))
    model = build()
    with pytest.raises(ValueError, match=message):
        run(model, tmp_path, **change(model))
    assert os.path.exists(tmp_path / "backup.npz")


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "batch", None])
def test_every(every):
    with pytest.raises(ValueError, match="every must be 'epoch' or a number of steps"):
        callbacks.BackupAndRestore("/tmp", every)


def test_one_backup_is_enough(tmp_path):
    with pytest.raises(ValueError, match="there can be one BackupAndRestore"):
        build().fit(X, Y, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)] * 2)


# ------------------------------------------------------------------------------------------------------ checkpoints

TREES = {
    "numbers": [1, -(2**80), 2.5, True, None, "text", b"bytes", float("inf")],
    "numpy": (np.float32(0.1), np.int64(3), np.bool_(True), np.arange(6).reshape(2, 3).T, np.zeros((0, 2), "uint8")),
    "jax": {"a": jnp.arange(3.0), "half": jnp.ones((2, 2), "bfloat16"), "none": jnp.zeros((), "bfloat16")},
    "deep": {"": [{"x": ({},)}, []], "array": {"array": "array"}},
    "generator": np.random.RandomState(3).get_state(),
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_trees_come_back_bit_for_bit(tmp_path, tree):
    checkpoint.write(tmp_path / "tree", tree)
    back = checkpoint.read(tmp_path / "tree")
    first, second = jax.tree.leaves(tree), jax.tree.leaves(back)
    assert jax.tree.structure(tree) == jax.tree.structure(back)
    for ours, theirs in zip(first, second, strict=True):
        if isinstance(ours, (np.ndarray, np.generic, jax.Array)):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs) and np.shape(ours) == np.shape(theirs)
            assert isinstance(theirs, np.generic) == isinstance(ours, np.generic)
        else:
            assert type(ours) is type(theirs) and ours == theirs


def test_keys_come_back(tmp_path):
    for key in (jax.random.key(3), jax.random.key(3, impl="rbg"), jax.random.split(jax.random.key(1), 4)):
        checkpoint.write(tmp_path / "key", {"key": key})
        back = checkpoint.read(tmp_path / "key")["key"]
        assert back.dtype == key.dtype and np.array_equal(jax.random.key_data(back), jax.random.key_data(key))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "tree"
    checkpoint.write(path, [1])
    with pytest.raises(TypeError, match=r"tree\['a'\]\[1\] is a object"):
        checkpoint.write(path, {"a": [1, object()]})
    with pytest.raises(TypeError, match="keys of a dict must be texts"):
        checkpoint.write(path, {1: 2})
    assert checkpoint.read(path) == [1] and os.listdir(tmp_path) == ["tree"]


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "tree"
    checkpoint.write(path, {"a": np.arange(1000.0)})
    whole = path.read_bytes()
    damaged = [b"", b"nonsense", whole[:-30], whole[:500], whole[:900] + b"\x00\x01" + whole[902:]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no checkpoint, or was damaged"):
            checkpoint.read(path)
    np.savez(tmp_path / "other.npz", a=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="is no checkpoint"):
        checkpoint.read(tmp_path / "other.npz")


# ------------------------------------------------------------------------------------------------------- SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--every", "7"], ["--feeding", "sequence"]])
def test_killed_and_resumed(options):
    here = pathlib.Path(__file__).resolve().parent
    command = [sys.executable, str(here / "kill_and_resume.py"), "--kills", "2", *options]
    environment = {**os.environ, "PYTHONPATH": str(here.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs ended as the undisturbed one" in done.stdout


def test_ctrl_c_waits_for_a_file_that_is_being_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "file") as aside:
        os.kill(os.getpid(), signal.SIGINT)
        pathlib.Path(aside).write_text("whole")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["whole"]
