"""Networks of `applications` cross over, as files, to the real Keras 2.2.4 and back: by order, by name and whole.

    JKERAS_KERAS224=/path/to/python python -m pytest -n0 -rP tests/interop/test_interop_applications.py

The variable names a Python that has Keras 2.2.4 with keras_applications 1.0.8. `-rP` shows the figures.
"""

import json
import os
import subprocess
import sys

import pytest

import jkeras
import jkeras.applications
import jkeras.backend

sys.path.insert(0, os.path.dirname(__file__))

import applications_side as side  # noqa: E402

PYTHON = os.environ.get("JKERAS_KERAS224")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="JKERAS_KERAS224 names no Python with Keras 2.2.4"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

LEAST = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
NAMES = [name for name in jkeras.applications.__all__ if name[0].isupper()]


@pytest.fixture(scope="module")
def keras():
    """Asks the process that has the real Keras."""
    command = [str(PYTHON), "-W", "ignore", side.__file__]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:

        def ask(*request):
            print(json.dumps(request), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline())
            assert not isinstance(answer, dict), answer["failed"]
            return answer

        yield ask
        process.stdin.close()


@pytest.mark.parametrize("include_top", [True, False], ids=["top", "notop"])
@pytest.mark.parametrize("name", NAMES)
def test_networks_cross_over(keras, name, include_top, tmp_path):
    size = LEAST.get(name, 32)
    arguments = {"include_top": include_top, "input_shape": [size, size, 3]}
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir(), ours.mkdir()
    written = keras("write", name, arguments, 1, str(theirs))
    there = side.read(jkeras, name, arguments, 1, str(theirs))
    assert side.write(jkeras, name, arguments, 2, str(ours)) == written
    back = keras("read", name, arguments, 2, str(ours))
    print(f"{name}, {'with' if include_top else 'without'} top: read here {there}, read there {back}")
    for same, difference, _ in (there, back):
        assert same and difference < 1e-4
