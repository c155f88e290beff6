"""Callbacks on a model that only notes what is done to it, and the exact text of the progress bar."""

import sys
import time
import warnings

import numpy as np
import pytest

from jkeras import callbacks, utils
from jkeras.callbacks import CallbackList, EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from jkeras.optimizers import SGD
from jkeras.utils import generic_utils
from jkeras.utils.generic_utils import Progbar

VALUES = (0.5, 0.4, 0.45, 0.45, 0.3, 0.6, 0.6, 0.7, 0.7, 0.8)
LOGS = [{"val_loss": value, "acc": 1 - value} for value in VALUES]


class Model:
    stop_training = False

    def __init__(self):
        self.optimizer, self.weights, self.saved = SGD(lr=0.5), None, []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=True):
        self.saved.append(path)

    def save_weights(self, path, overwrite=True):
        self.saved.append(f"weights {path}")


def train(callback, logs=LOGS, model=None):
    """What fit does around epochs: the model and its history afterwards."""
    model, history = model or Model(), callbacks.History()
    several = CallbackList([callback, history])
    several.set_model(model)
    several.set_params({"metrics": ["val_loss", "acc"], "epochs": len(logs), "verbose": 0})
    several.on_train_begin()
    for epoch, values in enumerate(logs):
        several.on_epoch_begin(epoch)
        model.weights = epoch
        several.on_epoch_end(epoch, dict(values))
        if model.stop_training:
            break
    several.on_train_end()
    return model, history


# ----------------------------------------------------------------------------------------------------- stopping, saving


@pytest.mark.parametrize(
    ("options", "epochs", "weights"),
    [
        ({}, 3, 2),
        ({"patience": 2}, 4, 3),
        ({"patience": 3}, 8, 7),
        ({"patience": 3, "restore_best_weights": True}, 8, 4),
        ({"patience": 1, "min_delta": 0.2}, 2, 1),
        ({"patience": 3, "baseline": 0.35}, 3, 2),
        ({"patience": 3, "baseline": 0.1, "restore_best_weights": True}, 3, 2),
        ({"patience": 3, "monitor": "acc"}, 8, 7),
        ({"patience": 2, "mode": "max"}, 3, 2),
        ({"patience": 99}, 10, 9),
    ],
)
def test_early_stopping(options, epochs, weights):
    callback = EarlyStopping(**options)
    for _ in range(2):  # it can be used again
        model, history = train(callback)
        assert history.epoch == list(range(epochs))
        assert model.weights == weights
        assert model.stop_training is (epochs < len(LOGS))


def test_early_stopping_tells(capsys):
    train(EarlyStopping(patience=2, restore_best_weights=True, verbose=1))
    assert capsys.readouterr().out == (
        "Restoring model weights from the end of the best epoch\nEpoch 00004: early stopping\n"
    )


PATH = "{epoch:02d}-{val_loss:.2f}.h5"
ALL = [f"{epoch:02d}-{value:.2f}.h5" for epoch, value in enumerate(VALUES, 1)]


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({}, ALL),
        ({"period": 3}, ALL[2::3]),
        ({"save_best_only": True}, [ALL[0], ALL[1], ALL[4]]),
        ({"save_best_only": True, "monitor": "acc"}, [ALL[0], ALL[1], ALL[4]]),
        ({"save_best_only": True, "mode": "max"}, [ALL[0], ALL[5], ALL[7], ALL[9]]),
        ({"save_best_only": True, "period": 2}, [ALL[1]]),
        ({"period": 10, "save_weights_only": True}, [f"weights {ALL[9]}"]),
    ],
)
def test_model_checkpoint(options, saved):
    assert train(ModelCheckpoint(PATH, **options))[0].saved == saved


def test_model_checkpoint_tells(capsys, tmp_path):
    model, _ = train(ModelCheckpoint(tmp_path / "m.h5", save_best_only=True, verbose=1), LOGS[:3])
    path = str(tmp_path / "m.h5")
    assert model.saved == [path, path]
    assert capsys.readouterr().out == (
        f"\nEpoch 00001: val_loss improved from inf to 0.50000, saving model to {path}\n"
        f"\nEpoch 00002: val_loss improved from 0.50000 to 0.40000, saving model to {path}\n"
        "\nEpoch 00003: val_loss did not improve from 0.40000\n"
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: ModelCheckpoint("m.h5", save_best_only=True, **options),
        EarlyStopping,
        ReduceLROnPlateau,
    ],
)
def test_what_is_not_logged_or_not_known_warns(make):
    with pytest.warns(RuntimeWarning, match="nope.*available|nope available"):
        train(make(monitor="nope"), LOGS[:1])
    with pytest.warns(RuntimeWarning, match="mode sideways is unknown"):
        make(mode="sideways")


# ----------------------------------------------------------------------------------------------------- learning rates


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.25 / (epoch + 1), [0.25, 0.125]),
        (lambda epoch, lr: lr * 0.5, [0.25, 0.125]),
        (lambda epoch, lr=8.0: np.float32(lr), [0.5, 0.5]),
        (lambda epoch, *, factor=2.0: factor, [2.0, 2.0]),
    ],
)
def test_scheduler(schedule, rates):
    model, history = train(callbacks.LearningRateScheduler(schedule), [{}, {}])
    assert history.history["lr"] == rates
    assert float(model.optimizer.lr) == rates[-1]


def test_scheduler_wants_floats_and_a_rate(capsys):
    with pytest.raises(ValueError, match="should be float.*gave 1"):
        train(callbacks.LearningRateScheduler(lambda epoch: 1))

    def broken(epoch, lr):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):  # not taken for a schedule of one argument
        train(callbacks.LearningRateScheduler(broken))
    model = Model()
    model.optimizer = object()
    with pytest.raises(ValueError, match='"lr" attribute'):
        train(callbacks.LearningRateScheduler(lambda epoch: 0.1), model=model)
    train(callbacks.LearningRateScheduler(lambda epoch: 0.25, verbose=1), [{}])
    assert capsys.readouterr().out == "\nEpoch 00001: LearningRateScheduler setting learning rate to 0.25.\n"


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"patience": 2, "factor": 0.5}, [0.5] * 4 + [0.25] * 3 + [0.125] * 2 + [0.0625]),
        ({"patience": 1, "factor": 0.5, "cooldown": 3}, [0.5] * 3 + [0.25] * 3 + [0.125] * 3 + [0.0625]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.25, "monitor": "acc"}, [0.5] * 3 + [0.25] * 7),
        (
            {"patience": 2, "factor": 0.5, "min_delta": 0.3},
            [0.5] * 3 + [0.25] * 2 + [0.125] * 2 + [0.0625] * 2 + [1 / 32],
        ),
        ({"patience": 9, "mode": "max"}, [0.5] * 10),
    ],
)
def test_plateau(options, rates):
    model, history = train(ReduceLROnPlateau(**options))
    assert history.history["lr"] == rates
    assert model.optimizer.lr.dtype == np.float32


def test_plateau_arguments():
    with pytest.raises(ValueError, match="factor >= 1.0"):
        ReduceLROnPlateau(factor=1.0)
    with pytest.raises(TypeError, match="minlr"):
        ReduceLROnPlateau(minlr=0.1)
    with pytest.warns(UserWarning, match="epsilon"):
        assert ReduceLROnPlateau(epsilon=0.5).min_delta == 0.5


# -------------------------------------------------------------------------------------------------------- the others


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    logs = [{"b": np.float32(0.1), "a": [1, 2], "c": "x,y"}, {"b": np.float64(0.1), "a": 1e-5}]
    logger = callbacks.CSVLogger(path)
    lines = ["epoch,a,b,c\r\n", '0,"""[1, 2]""",0.1,"x,y"\r\n', "1,1e-05,0.1,NA\r\n"]
    train(logger, logs)
    assert path.read_bytes().decode() == "".join(lines)
    train(logger, logs)  # starts anew
    assert path.read_bytes().decode() == "".join(lines)
    train(callbacks.CSVLogger(path, append=True), logs[:1])
    assert path.read_bytes().decode() == "".join([*lines, lines[1]])
    train(callbacks.CSVLogger(tmp_path / "new.tsv", separator="\t", append=True), [{"a": 1}])
    assert (tmp_path / "new.tsv").read_bytes() == b"epoch\ta\r\n0\t1\r\n"


def test_csv_lines_are_there_at_once(tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,loss", "0,1"]
    logger.on_train_end()


@pytest.mark.parametrize(("loss", "stops"), [(0.5, False), (None, False), (float("nan"), True), (-float("inf"), True)])
def test_terminate_on_nan(loss, stops, capsys):
    callback, model = callbacks.TerminateOnNaN(), Model()
    callback.set_model(model)
    callback.on_batch_end(3, {} if loss is None else {"loss": loss})
    assert model.stop_training is stops
    assert capsys.readouterr().out == ("Batch 3: Invalid loss, terminating training\n" if stops else "")


def test_base_logger_averages():
    logger = callbacks.BaseLogger(stateful_metrics=["recall"])
    logger.set_params({"metrics": ["loss", "recall", "val_loss"]})
    for _ in range(2):
        logger.on_epoch_begin(0)
        for size, loss in ((4, 1.0), (4, 2.0), (2, 5.0)):
            logger.on_batch_end(0, {"batch": 0, "size": size, "loss": loss, "recall": loss})
        logs = {}
        logger.on_epoch_end(0, logs)
        assert logs == {"loss": 2.2, "recall": 5.0}


class Batches(callbacks.Callback):
    def on_batch_end(self, batch, logs=None):
        self.seen = logs


@pytest.mark.parametrize(
    ("callback", "needs"),
    [
        (callbacks.Callback(), False),
        (Batches(), True),
        (callbacks.TerminateOnNaN(), True),
        (callbacks.ProgbarLogger(), False),
        (callbacks.History(), False),
        (EarlyStopping(), False),
        (LambdaCallback(on_epoch_end=print), False),
        (LambdaCallback(on_batch_begin=print), True),
        (LambdaCallback(on_batch_end=print), True),
    ],
)
def test_needs_batches(callback, needs):
    assert CallbackList([callbacks.History(), callback]).needs_batches is needs
    assert CallbackList([callback]).needs_progress is isinstance(callback, callbacks.ProgbarLogger)


def test_lambda_callback_passes_everything_on():
    calls = []
    names = ["train_begin", "epoch_begin", "batch_begin", "batch_end", "epoch_end", "train_end"]
    hooks = {f"on_{name}": lambda *a, name=name: calls.append((name, *a)) for name in names}
    callback = LambdaCallback(**hooks, color="red")
    several = CallbackList()
    several.append(callback)
    assert list(several) == [callback]
    several.on_train_begin()
    several.on_epoch_begin(2)
    several.on_batch_begin(5, {"size": 1})
    several.on_batch_end(5, {"loss": 1})
    several.on_epoch_end(2, {"loss": 2})
    several.on_train_end()
    assert calls == [
        ("train_begin", {}),
        ("epoch_begin", 2, {}),
        ("batch_begin", 5, {"size": 1}),
        ("batch_end", 5, {"loss": 1}),
        ("epoch_end", 2, {"loss": 2}),
        ("train_end", {}),
    ]
    assert callback.color == "red"


def test_what_one_callback_logs_the_next_one_sees():
    empty = {}
    CallbackList([LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=1))]).on_epoch_end(0, empty)
    assert empty == {"mine": 1}


def test_slow_batch_hooks_warn():
    several = CallbackList([LambdaCallback(on_batch_end=lambda batch, logs: time.sleep(0.11))])
    several.on_epoch_begin(0)
    several.on_batch_begin(0)
    with pytest.warns(UserWarning, match="on_batch_end.* is slow"):
        several.on_batch_end(0, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick = CallbackList([LambdaCallback(on_batch_end=lambda batch, logs: None)])
        quick.on_epoch_begin(0)
        quick.on_batch_begin(0)
        quick.on_batch_end(0, {})


# ------------------------------------------------------------------------------------------------------- progress bar


class Clock:
    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(generic_utils, "time", clock)
    return clock


def drive(bar, clock, steps, seconds, values):
    for current in steps:
        clock.now += seconds
        bar.update(current, values)


@pytest.mark.parametrize(
    ("options", "steps", "seconds", "values", "text"),
    [
        ({}, (5, 10), 1.0, [], "\n 5/10 [==============>...............] - ETA: 1s"
         "\n10/10 [==============================] - 2s 200ms/step\n"),
        ({"width": 10}, (1, 10), 0.001, [("loss", 0.5)], "\n 1/10 [>.........] - ETA: 0s - loss: 0.5000"
         "\n10/10 [==========] - 0s 200us/step - loss: 0.5000\n"),
        ({"target": 3, "width": 5}, (1,), 40.0, [], "\n1/3 [>....] - ETA: 1:20"),
        ({"target": 3, "width": 5}, (1,), 4000.0, [], "\n1/3 [>....] - ETA: 2:13:20"),
        ({"target": 3, "width": 5}, (3,), 6.0, [("a", -1e-4)], "\n3/3 [=====] - 6s 2s/step - a: -1.0000e-04\n"),
        ({"target": None}, (7,), 0.7, [("a", 2)], "\n      7/Unknown - 1s 100ms/step - a: 2.0000"),
        ({"interval": 2, "width": 5}, (0, 4, 10), 1.0, [], "\n 0/10 [.....] - ETA: 0s"
         "\n10/10 [=====] - 3s 300ms/step\n"),
        ({"verbose": 2}, (5, 10), 1.0, [("a", -0.5), ("b", 0.5)], " - 2s - a: -5.0000e-01 - b: 0.5000\n"),
        ({"verbose": 0}, (5, 10), 1.0, [("a", 1)], ""),
    ],
)  # fmt: skip
def test_bar_in_a_file(options, steps, seconds, values, text, clock, capsys):
    drive(Progbar(**{"target": 10, **options}), clock, steps, seconds, values)
    assert capsys.readouterr().out == text


def test_bar_on_a_terminal_is_drawn_over(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    bar = Progbar(10, width=5)
    clock.now += 600
    bar.update(5, [("loss", 1.0)])
    clock.now += 1
    bar.add(5, [("loss", 2.0)])
    first = " 5/10 [=>...] - ETA: 10:00 - loss: 1.0000"
    last = "10/10 [=====] - 601s 60s/step - loss: 1.5000"
    assert capsys.readouterr().out == "\r" + first + "\b" * len(first) + "\r" + last + "\n"
    bar = Progbar(10, width=5)
    bar.update(5, [("a_long_name", 1.0)])
    drawn = len(capsys.readouterr().out.lstrip("\r"))
    bar._values.clear()
    bar.update(10)
    shorter = capsys.readouterr().out
    assert len(shorter.lstrip("\b\r").rstrip("\n")) == drawn  # blanks over the rest


def test_bar_averages_unless_told_otherwise(clock, capsys):
    bar = Progbar(10, width=5, stateful_metrics=["last"])
    drive(bar, clock, (2, 10), 1.0, [("mean", 1.0), ("last", 1.0)])
    bar = Progbar(10, width=5, stateful_metrics=["last"])
    bar.update(2, [("mean", 1.0), ("last", 1.0)])
    bar.update(10, [("mean", 2.0), ("last", 2.0)])
    assert capsys.readouterr().out.endswith("mean: 1.8000 - last: 2.0000\n")


PARAMS = {"epochs": 2, "samples": 10, "steps": 3, "metrics": ["loss", "acc", "val_loss"]}
LINES = [
    "\n 4/10 [===========>..................] - ETA: 0s - loss: 0.2500 - acc: 0.0000e+00",
    "\n 8/10 [=======================>......] - ETA: 0s - loss: 0.7500 - acc: 0.0500    ",  # blanks over the rest
    "\n10/10 [==============================] - 2s 150ms/step - loss: 1.0500 - acc: 0.0800 - val_loss: 0.1250\n",
]


def by_batches(several, clock):
    for batch, size in enumerate((4, 4, 2)):
        clock.now += 0.5
        several.on_batch_begin(batch, {"batch": batch, "size": size})
        logs = {"batch": batch, "size": size, "loss": batch + 0.25, "acc": 0.1 * batch}
        several.on_batch_end(batch, logs)


def by_progress(several, clock):
    for seen, loss, acc in ((4, 0.25, 0.0), (8, 0.75, 0.05), (10, 1.05, 0.08)):
        clock.now += 0.5
        several.on_progress(seen, {"acc": np.float32(acc), "loss": np.float32(loss)})


@pytest.mark.parametrize("epoch", [by_batches, by_progress])
@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_progbar_logger(epoch, verbose, clock, capsys):
    several = CallbackList([callbacks.ProgbarLogger()])
    several.set_params({**PARAMS, "verbose": verbose})
    several.on_train_begin()
    expected = ["", "".join(LINES), " - 2s - loss: 1.0500 - acc: 0.0800 - val_loss: 0.1250\n"][verbose]
    for number in range(2):
        several.on_epoch_begin(number)
        epoch(several, clock)
        several.on_epoch_end(number, {"val_loss": 0.125, "loss": 1.05, "acc": 0.08})
        assert capsys.readouterr().out == (f"Epoch {number + 1}/2\n{expected}" if verbose else "")


def test_progbar_logger_counts_steps(clock, capsys):
    several = CallbackList([callbacks.ProgbarLogger("steps")])
    several.set_params({**PARAMS, "verbose": 1})
    several.on_train_begin()
    several.on_epoch_begin(0)
    by_batches(several, clock)
    several.on_epoch_end(0, {"loss": 1.05})
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["Epoc", "", "1/3 ", "2/3 ", "3/3 "][: len(lines)]
    with pytest.raises(ValueError, match="count_mode.*epochs"):
        callbacks.ProgbarLogger("epochs")


# ----------------------------------------------------------------------------------------------------- small helpers


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (generic_utils.to_list(1), [1]),
        (generic_utils.to_list([1, 2]), [1, 2]),
        (generic_utils.to_list((1, 2)), [(1, 2)]),
        (generic_utils.to_list((1, 2), allow_tuple=True), [1, 2]),
        (generic_utils.unpack_singleton([3]), 3),
        (generic_utils.unpack_singleton([3, 4]), [3, 4]),
        (generic_utils.is_all_none(None), True),
        (generic_utils.is_all_none((None, None)), True),
        (generic_utils.is_all_none([None, 0]), False),
        (generic_utils.slice_arrays(None), [None]),
        (generic_utils.slice_arrays([[1, 2, 3], None], 1, 3), [[2, 3], None]),
        (generic_utils.slice_arrays((1, 2, 3), 1), (2, 3)),
        (generic_utils.transpose_shape((2, 3, 4, 5), "channels_first", (1, 2)), (2, 5, 3, 4)),
        (generic_utils.transpose_shape([3, 4, 5], "channels_first", (0, 1)), [5, 3, 4]),
        (generic_utils.transpose_shape((2, 3), "channels_last", (0,)), (2, 3)),
        (generic_utils.to_snake_case("MaxPooling2D"), "max_pooling2d"),
        (generic_utils.to_snake_case("_Mine"), "private__mine"),
        (generic_utils.object_list_uid(PARAMS), str(id(PARAMS))),
        (generic_utils.has_arg(Progbar.update, "values"), True),
    ],
)
def test_helpers(got, expected):
    assert got == expected


def test_array_helpers():
    rows = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(generic_utils.slice_arrays(rows, np.array([2, 0])), rows[[2, 0]])
    np.testing.assert_array_equal(generic_utils.slice_arrays([rows], 1)[0], rows[1:])
    with pytest.raises(ValueError, match="channels_middle"):
        generic_utils.transpose_shape((1, 2), "channels_middle", (0,))


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        ([0, 2], {}, [[1, 0, 0], [0, 0, 1]]),
        ([[0], [1]], {"num_classes": 3, "dtype": "int32"}, [[1, 0, 0], [0, 1, 0]]),
        ([[0, 1], [1, 1]], {}, [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]),
        (1, {"num_classes": 2}, [0, 1]),
        ([1], {}, [[0, 1]]),
    ],
)
def test_to_categorical(labels, options, expected):
    got = utils.to_categorical(labels, **options)
    assert got.dtype == options.get("dtype", "float32")
    np.testing.assert_array_equal(got, expected)


def test_labels_out_of_range_are_an_error():
    with pytest.raises(IndexError):
        utils.to_categorical([3], num_classes=3)


def test_normalize():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(utils.normalize(rows), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(utils.normalize(rows, axis=0, order=1), [[1, 1], [0, 0]])
    assert utils.Progbar is Progbar
