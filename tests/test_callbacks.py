"""Callbacks, most of them on a model that only notes what is done to it; and small helpers."""

import http.server
import json
import sys
import threading
import time
import urllib.parse
import warnings

import numpy as np
import pytest

from jkeras import callbacks, utils
from jkeras.callbacks import CallbackList, EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from jkeras.layers import Dense
from jkeras.models import Sequential
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


def train(callback, logs=LOGS, model=None, start=0, state=None):
    """What fit does around epochs, from epoch `start` with a saved state: the model and its history afterwards."""
    model, history = model or Model(), callbacks.History()
    several = CallbackList([callback, history])
    several.set_model(model)
    several.set_params({"metrics": ["val_loss", "acc"], "epochs": len(logs), "verbose": 0})
    several.on_train_begin()
    if state is not None:
        callback.set_state(state)
    for epoch, values in enumerate(logs, start):
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
    path = tmp_path / "log.csv"
    path.write_text("an earlier run")
    logger = callbacks.CSVLogger(path)
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1})
    assert path.read_text().splitlines() == ["epoch,loss", "0,1"]
    logger.on_train_end()
    train(logger, [])
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("epoch,a\r\n0,1\r\n1,2\r\n", "epoch,a\r\n0,1\r\n1,3\r\n2,4\r\n"),  # epoch 1 is done again
        ("epoch,a\r\n0,1\r\n1", "epoch,a\r\n0,1\r\n1,3\r\n2,4\r\n"),  # killed while it was written
        ("epoch,a\r\n", "epoch,a\r\n1,3\r\n2,4\r\n"),
        ("", "epoch,a\r\n1,3\r\n2,4\r\n"),
        ("kept\r\n", "epoch,a\r\n1,3\r\n2,4\r\n"),
    ],
)
@pytest.mark.parametrize("append", [False, True])
def test_csv_goes_on_after_a_restart(present, expected, append, tmp_path):
    path = tmp_path / "log.csv"
    logger = callbacks.CSVLogger(path)
    if present == "kept\r\n":  # nothing was written before the restart, and the file was not to be kept
        state = {"keys": None, "size": 0}
    else:
        train(logger, [{"a": 1}])
        state = logger.get_state()
        assert state == {"keys": ["a"], "size": path.stat().st_size}
    path.write_bytes(present.encode())
    again = callbacks.CSVLogger(path, append=append)
    missing = state["size"] > len(present)
    with pytest.warns(UserWarning, match="earlier epochs are missing") if missing else warnings.catch_warnings():
        train(again, [{"a": 3}, {"a": 4}], start=1, state=state)
    assert path.read_bytes().decode() == expected


@pytest.mark.parametrize("cut", [1, 3, 5])
@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping(patience=4, restore_best_weights=True),
        lambda: EarlyStopping(patience=3, baseline=0.35),
        lambda: ReduceLROnPlateau(patience=2, factor=0.5, cooldown=2),
        lambda: ModelCheckpoint(PATH, save_best_only=True),
        lambda: ModelCheckpoint(PATH, period=3),
        callbacks.History,
        callbacks.TerminateOnNaN,
    ],
)
def test_what_a_restart_does_not_change(make, cut):
    whole, first, second = make(), make(), make()
    expected, _ = train(whole)
    model, _ = train(first, LOGS[:cut])
    if not model.stop_training:
        train(second, LOGS[cut:], model, start=cut, state=first.get_state())
        assert second.get_state() == whole.get_state()
    for name in ("stop_training", "weights", "saved"):
        assert getattr(model, name) == getattr(expected, name)
    assert float(model.optimizer.lr) == float(expected.optimizer.lr)


def test_states_are_copies_of_what_is_named():
    class Counts(callbacks.Callback):
        state_names = ("seen",)

        def __init__(self):
            self.seen, self.other = [1], 2

    first, second = Counts(), Counts()
    state = first.get_state()
    first.seen.append(2)
    assert state == {"seen": [1]}
    second.set_state(state)
    second.seen.append(3)
    assert state == {"seen": [1]}
    assert callbacks.Callback().get_state() == {}
    with pytest.raises(ValueError, match=r"EarlyStopping.set_state.*\['seen'\].*'wait'"):
        EarlyStopping().set_state(state)


class Server(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it; answers 500 under /broken."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.posts = []
        self.address = f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posts.append((self.path, self.headers, body))
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, format, *args):
        """Silent."""


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("options", "path", "kind", "read"),
    [
        ({}, "/publish/epoch/end/", "application/x-www-form-urlencoded", lambda b: urllib.parse.parse_qs(b)["data"][0]),
        (
            {"path": "/mine", "field": "log"},
            "/mine",
            "application/x-www-form-urlencoded",
            lambda body: urllib.parse.parse_qs(body)["log"][0],
        ),
        ({"send_as_json": True, "headers": {"X-Run": "7"}}, "/publish/epoch/end/", "application/json", str),
    ],
)
def test_remote_monitor(options, path, kind, read, server):
    logs = {"loss": np.float32(0.5), "lr": np.array(0.25), "list": np.arange(2), "text": "a&b=c", "n": np.int64(3)}
    train(callbacks.RemoteMonitor(server.address, **options), [logs])
    ((posted, headers, body),) = server.posts
    assert (posted, headers["Content-Type"], headers["X-Run"]) == (path, kind, options.get("headers", {}).get("X-Run"))
    expected = {"epoch": 0, "loss": 0.5, "lr": 0.25, "list": [0, 1], "text": "a&b=c", "n": 3}
    assert json.loads(read(body)) == expected


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nowhere", "http://no such host", None])
def test_remote_monitor_only_warns(address, server):
    monitor = callbacks.RemoteMonitor(address or server.address, path="/broken")
    with pytest.warns(UserWarning, match=f"Could not reach RemoteMonitor root server at {address or server.address}"):
        _, history = train(monitor, LOGS[:1])
    assert history.epoch == [0]


# --------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("logs", "metrics", "expected"),
    [
        (LOGS, None, {"loss": [VALUES], "acc": [tuple(1 - value for value in VALUES)]}),
        (LOGS[:1], "loss", {"loss": [VALUES[:1]]}),
        ([{"loss": 1, "val_loss": 2, "lr": 3, "text": "x"}] * 2, None, {"loss": [(1, 1), (2, 2)], "lr": [(3, 3)]}),
        ([{"loss": 1, "val_loss": 2, "lr": 3}] * 2, ["lr"], {"lr": [(3, 3)]}),
        ([{"loss": 1, "val_loss": 2}, {"loss": 1}], None, {"loss": [(1, 1), (2,)]}),
    ],
)
def test_plot(logs, metrics, expected):
    pytest.importorskip("matplotlib")
    _, history = train(callbacks.Callback(), logs)
    figure = history.plot(metrics)
    found = {axis.get_ylabel(): [tuple(line.get_ydata()) for line in axis.lines] for axis in figure.axes}
    assert found == expected
    for axis in figure.axes:
        for line in axis.lines:
            assert list(line.get_xdata()) == list(range(1, len(line.get_ydata()) + 1))
        assert (axis.get_legend() is not None) == (f"val_{axis.get_ylabel()}" in history.history)
        assert all(tick == int(tick) for tick in axis.get_xticks())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_plot_into_axes_that_are_there(monkeypatch):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots(1, 2)
    _, history = train(callbacks.Callback())
    assert history.plot(ax=axes) is history.plot("acc", ax=axes[0]) is figure
    assert [len(axis.lines) for axis in axes] == [2, 1]
    with pytest.raises(ValueError, match="2 axes were given for 1 quantities"):
        history.plot("acc", ax=axes)
    with pytest.raises(ValueError, match="'accuracy' was not logged; there are val_loss, acc"):
        history.plot("accuracy")
    with pytest.raises(ValueError, match="nothing to draw"):
        callbacks.History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install jkeras\[plot\]"):
        history.plot()


# ------------------------------------------------------------------------------------ the hooks as Keras 2.2.4 has them


class Recorder(callbacks.Callback):
    """Notes each hook, and what it was told."""

    def __init__(self):
        self.calls = []

    def set_model(self, model):
        super().set_model(model)
        self.calls.append("model")

    def set_params(self, params):
        super().set_params(params)
        self.calls.append("params")

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin", sorted(logs)))

    def on_train_end(self, logs=None):
        shapes = self.validation_data and [np.shape(array) for array in self.validation_data[:2]]
        self.calls.append(("train end", sorted(logs), shapes))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch, sorted(logs)))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, sorted(logs)))

    def on_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begin", batch, list(logs), logs["batch"], logs["size"]))

    def on_batch_end(self, batch, logs=None):
        self.calls.append(("batch end", batch, list(logs), logs["batch"], logs["size"]))


def batches(*sizes):
    calls = []
    for number, size in enumerate(sizes):
        calls.append(("batch begin", number, ["batch", "size"], number, size))
        calls.append(("batch end", number, ["batch", "size", *METRICS], number, size))
    return calls


METRICS = ["loss", "mean_absolute_error"]
HELD_OUT = sorted([*METRICS, *(f"val_{name}" for name in METRICS)])


@pytest.mark.parametrize(
    ("options", "stop_at", "params", "epochs", "shapes"),
    [
        ({}, None, {"samples": 5}, [(0, METRICS, (2, 2, 1))], None),
        ({"epochs": 3, "initial_epoch": 2}, None, {"samples": 5, "epochs": 3}, [(2, METRICS, (2, 2, 1))], None),
        ({"validation_split": 0.4}, None, {"samples": 3}, [(0, HELD_OUT, (2, 1))], [(2, 2), (2, 1)]),
        ({"epochs": 3}, 1, {"samples": 5, "epochs": 3}, [(0, METRICS, (2, 2))], None),
        ({"epochs": 3, "validation_split": 0.2}, 1, {"samples": 4, "epochs": 3}, [(0, METRICS, (2, 2))],
         [(1, 2), (1, 1)]),
    ],
)  # fmt: skip
def test_hooks(options, stop_at, params, epochs, shapes):
    model, recorder = Sequential([Dense(1, input_shape=(2,))]), Recorder()
    model.compile("sgd", "mse", metrics=["mae"])
    stop = LambdaCallback(on_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == stop_at))
    x, y = np.ones((5, 2)), np.ones((5, 1))
    model.fit(x, y, batch_size=2, verbose=0, callbacks=[stop, recorder], **options)
    expected = ["model", "params", ("train begin", [])]
    for number, names, sizes in epochs:
        expected += [("epoch begin", number, []), *batches(*sizes), ("epoch end", number, names)]
    assert recorder.calls == [*expected, ("train end", [], shapes)]
    validates = "validation_split" in options
    defaults = {"batch_size": 2, "epochs": 1, "steps": None, "verbose": 0, "do_validation": validates}
    names = METRICS + ([f"val_{name}" for name in METRICS] if validates else [])
    assert recorder.params == {**defaults, "metrics": names, **params}


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
        (generic_utils.object_list_uid(VALUES) == str(id(VALUES)), True),
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
    with pytest.raises(IndexError, match="to_categorical: with num_classes=3, labels go up to 2; got 3"):
        utils.to_categorical([3], num_classes=3)


def test_normalize():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(utils.normalize(rows), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(utils.normalize(rows, axis=0, order=1), [[1, 1], [0, 0]])
    assert utils.Progbar is Progbar


@pytest.mark.parametrize("given", [EarlyStopping, [EarlyStopping], ["stop"], EarlyStopping("loss")])
def test_what_is_no_list_of_callbacks_is_told(given):
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="`callbacks` must be a list of callbacks"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=given, verbose=0)
