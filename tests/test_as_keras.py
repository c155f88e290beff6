"""Scripts that say `import keras`, run in processes of their own by `python -m jkeras`, beside plain python."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(folder, *arguments, program=("-m", "jkeras"), **given):
    """What a Python process with these arguments, in `folder`, writes and returns."""
    drop = ("KERAS_BACKEND", "JKERAS_REPAIR")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    return subprocess.run(
        [sys.executable, *program, *arguments], cwd=folder, env=env | {"PYTHONPATH": str(ROOT)} | given,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        path = tmp_path / "scripts" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path.relative_to(tmp_path))

    return write


def test_keras_is_jkeras(tmp_path, script):
    path = script(
        """
        import sys
        import keras.layers.core
        from keras import backend as K
        import keras.backend as again, jkeras.backend, jkeras.layers.core
        from keras.models import Sequential
        assert K is again is jkeras.backend and Sequential is jkeras.Sequential
        assert keras.layers.core is jkeras.layers.core
        assert keras.layers.core.__spec__.name == "jkeras.layers.core"
        assert keras.backend is K and keras.models.Sequential is Sequential
        for missing in ("keras.nothing", "keras.layers.nothing"):
            try:
                __import__(missing)
            except ModuleNotFoundError as error:
                assert missing in str(error)
            else:
                raise AssertionError(missing)
        print(keras.__version__, K.backend(), jkeras.__version__ != keras.__version__)
        """
    )
    assert run(tmp_path, path).stdout == "2.2.4 tensorflow True\n"
    assert run(tmp_path, path, KERAS_BACKEND="jax").stdout == "2.2.4 jax True\n"
    assert run(tmp_path, "--backend", "jax", path).stdout == "2.2.4 jax True\n"
    old = run(tmp_path, path, KERAS_BACKEND="theano")
    assert old.stdout == "2.2.4 tensorflow True\n"
    assert "KERAS_BACKEND: backend cannot be 'theano'; JAX computes, and K.backend() answers" in old.stderr
    other = run(tmp_path, "--backend", "theano", path)
    assert (other.returncode, other.stdout) == (2, "") and "cannot answer 'theano'" in other.stderr.splitlines()[-1]
    assert (
        run(tmp_path, "-c", "import jkeras.as_keras, keras; print(keras.__version__)", program=()).stdout == "2.2.4\n"
    )


# What plain python and `python -m jkeras` must do alike.
SCRIPTS = {
    "arguments": "import sys; print(sys.argv, __name__, __file__, sys.path[0], __spec__, __package__)",
    "main": "import sys; x = 1; print(sys.modules['__main__'].x, __doc__, __loader__ is None)",
    "exit": "import sys; sys.exit(7)",
    "exit with text": "raise SystemExit('no')",
    "error": "def f():\n    raise ValueError(3)\ntry:\n    f()\nexcept ValueError:\n    [].x\n",
    "syntax": "a = (",
    "interrupted": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass",
    "at exit": "import atexit\natexit.register(lambda: print(len(text)))\ntext = 'late'\n1 / 0",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in SCRIPTS.items()])
def test_scripts_run_as_under_python(tmp_path, script, text):
    path = script(text)
    ours, plain = run(tmp_path, path, "a", "-b"), run(tmp_path, path, "a", "-b", program=())
    assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)
    # What python does by a signal when it is interrupted in a script, it does by the same number under -m.
    assert ours.returncode in (plain.returncode, 128 + signal.SIGINT if plain.returncode == -signal.SIGINT else None)


def test_modules_and_code(tmp_path, script):
    script("import sys; print(sys.argv[1:], __name__, __spec__.name, __package__)", name="tool.py")
    folder = tmp_path / "scripts"
    assert run(folder, "-m", "tool", "x").stdout == run(folder, "-m", "tool", "x", program=()).stdout
    assert run(folder, "-c", "import sys, keras; print(sys.argv)", "x").stdout == "['-c', 'x']\n"
    assert run(folder, "-m", "no_such_module").returncode == 1
    assert run(folder, "no_such_file.py").returncode == 2
    assert "usage" in run(folder).stderr


def test_processes_of_a_script_know_keras_too(tmp_path, script):
    path = script(
        """
        import multiprocessing, subprocess, sys
        import keras

        def version(x):
            return keras.__version__

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(version, [1]))
            sys.stdout.flush()
            subprocess.run([sys.executable, "-c", "import keras.layers; print(keras.__version__)"])
        """
    )
    assert run(tmp_path, path).stdout == "['2.2.4']\n2.2.4\n"


def test_repairs_are_made_on_request_and_listed(tmp_path, script):
    path = script(
        """
        import inspect, re
        import numpy as np
        from collections import Iterable
        print(np.zeros(1, np.float).dtype, inspect.getargspec(lambda a, b=1: 0).args, isinstance([], Iterable))
        print(np.array([[1, 2], [3]]).dtype, np.asarray([[1, 2]]).dtype, np.copy([[1, 2], [3]]).shape)
        print(re.split("a", "bab"), re.split("(x+)", "axxbxc", 1), re.split("( +)?", "to the end"))
        np.no_such_name
        """
    )
    assert "cannot import name 'Iterable'" in run(tmp_path, path).stderr
    repaired = run(tmp_path, "--repair", path)
    assert repaired.stdout == "float64 ['a', 'b'] True\nobject int64 (2,)\n" + (
        "['b', 'b'] ['a', 'xx', 'bxc'] ['to', ' ', 'the', ' ', 'end']\n"
    )
    assert "no attribute 'no_such_name'" in repaired.stderr
    listed = [line.split()[2:5] for line in repaired.stderr.splitlines() if line.startswith("jkeras --repair")]
    assert [line[0].rpartition(":")[2] for line in listed] == ["4", "5", "5", "6", "6", "7"]
    names = ["collections.Iterable", "numpy.float", "inspect.getargspec", "numpy.array", "numpy.copy", "re.split"]
    assert [line[2].strip(",") for line in listed] == names


def test_report_lists_what_is_missing_and_what_stands_for_tensorflow(tmp_path, script):
    script("import keras.backend as K\nK.no_such_function(1)\n", name="helper.py")
    path = script(
        """
        import keras
        from keras.layers import Dense, NoLayer
        from keras import backend as K
        import tensorflow as tf
        from tensorflow.python.framework import ops
        x = keras.nowhere.at_all
        y = tf.reduce_mean(tf.nn.relu(K.zeros(3, shap=2)))
        z = tf.nn.relu(K.zeros((2, 3)).shape.as_list())
        w = Dense(3, units=4)
        tf.float32, tf.einsum, tf.keras.layers.Dense, tf.something_odd
        """
    )
    ran = run(tmp_path, "--report", path)
    assert ran.returncode == 1 and "NoLayer" in ran.stderr
    report = ran.stderr.partition("jkeras --report\n")[2]
    lines = [line.strip().removeprefix(str(tmp_path / path)) for line in report.splitlines()]
    assert lines == [
        ":3: keras.layers.NoLayer: missing",
        ":6: tf.python.framework.ops: TensorFlow; use no known counterpart",
        ":7: keras.nowhere: missing",
        ":8: tf.reduce_mean: TensorFlow; use K.mean",
        ":8: tf.nn.relu: TensorFlow; use K.relu",
        ":8: keras.backend.zeros: called otherwise: got an unexpected keyword argument 'shap'",
        ":10: keras.layers.Dense: called otherwise: multiple values for argument 'units'",
        ":11: tf.float32: TensorFlow; use 'float32'",
        ":11: tf.einsum: TensorFlow; use jnp.einsum",
        ":11: tf.keras.layers.Dense: TensorFlow; use keras.layers.Dense",
        ":11: tf.something_odd: TensorFlow; use no known counterpart",
    ]
    clean = run(tmp_path, "--report", script("import keras\nimport helper\n", name="main.py"))
    assert "helper.py:2: keras.backend.no_such_function: missing" in clean.stderr
