"""Progress: the exact text of the bar, the callback that draws it, and the display of notebooks."""

import pathlib
import re
import sys
import textwrap
import types

import numpy as np
import pytest

from jkeras import callbacks
from jkeras.callbacks import CallbackList, notebook
from jkeras.utils import generic_utils
from jkeras.utils.generic_utils import Progbar


class Clock:
    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(generic_utils, "time", clock)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # which another test may have brought in
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


# ---------------------------------------------------------------------------------------------------------- notebooks


class Display:
    """Stands for IPython's: keeps what is shown, as (text, HTML)."""

    def __init__(self):
        self.shown, self.displays = [], 0

    def __call__(self, bundle, raw, display_id):
        assert raw and display_id
        self.displays += 1
        self.update(bundle, raw=True)
        return self

    def update(self, bundle, raw):
        self.shown.append((bundle["text/plain"], bundle["text/html"]))


class ZMQInteractiveShell:
    """Has the name of a notebook kernel's shell."""


@pytest.fixture
def display(monkeypatch, clock):
    """A notebook: IPython as far as it is used."""
    display = Display()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    monkeypatch.setattr(notebook, "time", clock)
    return display


def run(epoch, clock, verbose=1, epochs=2, mode="samples", **params):
    several = CallbackList([callbacks.ProgbarLogger(mode)])
    several.set_params({**PARAMS, "epochs": epochs, "verbose": verbose, **params})
    several.on_train_begin()
    for number in range(epochs):
        several.on_epoch_begin(number)
        epoch(several, clock)
        several.on_epoch_end(number, {"val_loss": 0.125, "loss": 1.05 - number, "acc": 0.08})
    several.on_train_end()


RUNNING = [
    "0/10",
    "4/10 - 500ms/step - ETA: 0s - loss: 0.2500 - acc: 0.0000e+00",
    "8/10 - 500ms/step - ETA: 0s - loss: 0.7500 - acc: 0.0500",
]
TABLE = [
    "epoch    loss     acc  val_loss  time           ",
    "    1  1.0500  0.0800    0.1250  1.5s  500ms/step",
    "    2  0.0500  0.0800    0.1250  1.5s  500ms/step",
]


@pytest.mark.parametrize("epoch", [by_batches, by_progress])
def test_notebook_display(epoch, clock, display, capsys):
    run(epoch, clock, batch_size=4)
    first = [f"Epoch 1/2 - {line}" for line in RUNNING] + ["\n".join(TABLE[:2])]
    second = ["\n".join([f"Epoch 2/2 - {line}", *TABLE[:2]]) for line in RUNNING[1:]]
    shown = [text.replace(" \n", "\n").rstrip() for text, _ in display.shown]
    tidy = [re.sub(" +\n", "\n", text) for text in shown]
    assert tidy == [re.sub(" +\n", "\n", text) for text in [*first, *second, "\n".join(TABLE), "\n".join(TABLE)]]
    assert display.displays == 1  # drawn over
    assert capsys.readouterr().out == ""
    running, finished = display.shown[1][1], display.shown[-1][1]
    assert '<progress value="4" max="10"></progress>' in running and "<table>" not in running
    rows = [re.findall(">([^<]*)</t[hd]>", row) for row in finished.split("<tr>")[1:]]
    assert [" ".join(row).split() for row in rows] == [row.split() for row in TABLE]
    assert "<progress" not in finished


def quick(several, clock):
    for seen in range(100):
        clock.now += 0.001
        several.on_progress(seen, {"<b>": 1.0, "loss": 1.0})


def test_notebook_display_is_throttled_and_short(clock, display):
    run(quick, clock, epochs=30, samples=100, metrics=["<b>", "loss"])
    assert len(display.shown) <= 30 * 0.1 / 0.2 + 2
    assert all("<b>" not in page for _, page in display.shown)
    text, page = display.shown[-1]
    assert [line.split()[0] for line in text.splitlines()] == ["epoch", *map(str, range(11, 31))]
    assert page.count("<tr>") == 21


def test_notebook_display_without_a_known_length(clock, display):
    run(by_batches, clock, mode="steps", steps=None, epochs=1)
    assert display.shown[1][0].startswith("Epoch 1/1 - 1 - 500ms/step - loss: 0.2500")
    assert "<progress" not in "".join(page for _, page in display.shown)


@pytest.mark.parametrize(("verbose", "shell"), [(0, ZMQInteractiveShell), (2, ZMQInteractiveShell), (1, type(None))])
def test_elsewhere_it_is_the_bar_and_the_lines(verbose, shell, clock, display, capsys):
    sys.modules["IPython"].get_ipython = shell
    run(by_progress, clock, verbose=verbose)
    assert display.displays == 0
    assert capsys.readouterr().out.count("Epoch") == (2 if verbose else 0)


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()
    assert "IPython" not in sys.modules


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_notebook(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parent.parent))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    code = """
    import numpy as np
    from jkeras.layers import Dense
    from jkeras.models import Sequential

    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((64, 2)), np.ones((64, 1)), epochs=3)
    """
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(text)) for text in (code, "history.plot()")]
    saved = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(saved, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (progress,), (picture,) = (cell.outputs for cell in saved.cells)
    assert [line.split()[0] for line in progress["data"]["text/plain"].splitlines()] == ["epoch", "1", "2", "3"]
    assert progress["data"]["text/html"].count("<tr>") == 4
    assert "image/png" in picture["data"]
