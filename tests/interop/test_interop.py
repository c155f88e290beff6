"""Files cross over both ways: what jkeras saved, the real Keras 2.2.4 loads and trains on, and the other way round.

Needs an interpreter that has Keras 2.2.4: the environment variable `JKERAS_KERAS224` names it, or `keras224` is on
the PATH. The real Keras runs in one other process, which is asked by lines of JSON (`keras_side.py`). Each file is
read by both, so that what Keras keeps out of its files (schedules, shadows of moving averages) is equal on both sides.

Figures of a run: `pytest tests/interop -s -k figures` prints the largest differences of each model.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import crossing
import numpy as np
import pytest
from kit import close

KERAS = os.environ.get("JKERAS_KERAS224") or shutil.which("keras224")
SIDE = pathlib.Path(__file__).with_name("keras_side.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(KERAS is None, reason="no Keras 2.2.4: JKERAS_KERAS224 names no interpreter that has it"),
    pytest.mark.filterwarnings("ignore"),
]


class Keras:
    """The process that has the real Keras, started when it is first asked."""

    def __init__(self):
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "KERAS_HOME": tempfile.mkdtemp(prefix="keras224-")}
        environment = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "XLA"))}
        self.process = subprocess.Popen(
            [str(KERAS), str(SIDE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment,
        )  # fmt: skip
        self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, f"{KERAS} {SIDE} ended: {self.process.wait()}"
        answer = json.loads(line)
        if "failed" in answer:
            pytest.fail("the real Keras: " + answer["failed"])
        return answer

    def __call__(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self):
        self.process.communicate()


@pytest.fixture(scope="module")
def sides():
    """name -> what does the actions of `crossing` there."""
    keras, own = Keras(), crossing.names("jkeras")
    yield {"keras": keras, "jkeras": lambda action, *arguments: crossing.ACTIONS[action](own, *arguments)}
    keras.end()


@pytest.fixture(scope="module")
def written(sides, tmp_path_factory):
    """`written(writer, case id)`: the path of the file, and what the writer says of the model in it."""
    folder, done = tmp_path_factory.mktemp("crossing"), {}

    def write(writer, name):
        if (writer, name) not in done:
            path = str(folder / f"{name}_by_{writer}.h5")
            done[writer, name] = path, sides[writer]("write", name, path)
        return done[writer, name]

    return write


def graph(answer):
    """The graph without who wrote it."""
    return {key: value for key, value in answer["graph"].items() if key not in ("keras_version", "backend")}


CASES = pytest.mark.parametrize("name", list(crossing.BY_ID))
FIGURES: dict = {}


def difference(found, expected, relative=False) -> float:
    """The largest difference between two nests of numbers."""
    pairs = [(np.asarray(one), np.asarray(other)) for one, other in zip(found, expected, strict=True)]
    scale = max([1e-3, *(np.abs(other).max(initial=0) for _, other in pairs)]) if relative else 1
    return float(max([0, *(np.abs(one - other).max(initial=0) for one, other in pairs)]) / scale)


def unlike(one, other, place=""):
    """Where two nests of plain data differ, and how. Of a stack on an `InputLayer` Keras forgets the shape; it rounds
    some numbers to float32."""
    if type(one) is type(other) is dict and one.keys() - {"build_input_shape"} == other.keys() - {"build_input_shape"}:
        one = {key: value for key, value in one.items() if key in other}
        return [line for key in other for line in unlike(one.get(key), other[key], f"{place}/{key}")]
    if type(one) is type(other) is list and len(one) == len(other):
        return [
            line
            for number, pair in enumerate(zip(one, other, strict=True))
            for line in unlike(*pair, f"{place}/{number}")
        ]
    if isinstance(one, float) and isinstance(other, float) and np.float32(one) == np.float32(other):
        return []
    return [] if one == other else [f"{place}: {str(one)[:200]} is not {str(other)[:200]}"]


@CASES
def test_the_graph_is_the_same_key_for_key(written, name):
    assert not unlike(graph(written("jkeras", name)[1]), graph(written("keras", name)[1]))


@pytest.mark.parametrize("writer", ["jkeras", "keras"])
@CASES
def test_a_file_crosses_over(sides, written, writer, name):
    path, wrote = written(writer, name)
    here, there = (sides[reader]("read", name, path) for reader in ("jkeras", "keras"))
    assert not unlike(graph(here), graph(there)) + unlike(graph(there), graph(wrote))
    for part in ("optimizer", "shapes"):
        assert not unlike(here[part], there[part], part)
    # Several outputs of one layer have one name in Keras, and numbers here.
    assert [name.split("_")[0] for name in here["metrics_names"]] == [n.split("_")[0] for n in there["metrics_names"]]
    close(here["predictions"], there["predictions"])
    close(here["predictions"], wrote["predictions"])
    figures = FIGURES[name, writer] = [difference(here["predictions"], there["predictions"])]
    if here["state"]:
        close(here["state"], there["state"])
    if crossing.BY_ID[name].trains:
        figures += [difference(here[part], there[part], part == "losses") for part in ("losses", "after")]
        close(here["losses"], there["losses"], rtol=1e-4, atol=1e-5)
        close(here["after"], there["after"], 1e-4)


def test_figures(request):
    """The largest differences between the two of all models that were read."""
    print(
        "\n\n| model | saved by | predictions | losses (relative) | predictions after training |\n|---|---|---|---|---|"
    )
    for (name, writer), figures in FIGURES.items():
        print(f"| {name} | {writer} | " + " | ".join(f"{figure:.0e}" for figure in figures) + " |")
