"""What all tests share: eight devices to split batches over, and settings that every test finds as they start.

XLA is told to compile in a hurry, as a program that runs once takes longer to compile than to run: loops are written
the older, quicker way and LLVM does not improve them, which changes the last bits of numbers and nothing else. With
`--optimised` programs are what users get; `.ci/run` has the tests marked `bits` run once more that way.
"""

import gc
import os
import signal
import tempfile
import threading

import pytest

#: JAX reads these when it starts.
DEVICES = "--xla_force_host_platform_device_count=8"
HURRY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

# Set before anything imports JAX. The workers of one run inherit the folders of the process that started them.
os.environ.setdefault("NPROC", "8")
os.environ["JKERAS_ALLOCATOR"] = "off"  # a thousand small programs in one process would only hold its memory
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # nobody reads where in the source an operation stood
if "PYTEST_XDIST_WORKER" not in os.environ:
    # The settings file of whoever runs the tests must not decide what they see, nor what an earlier run compiled.
    _folders = [tempfile.TemporaryDirectory(prefix=f"jkeras-{kind}-") for kind in ("tests", "compiled")]
    os.environ["KERAS_HOME"], os.environ["JKERAS_COMPILATION_CACHE"] = (folder.name for folder in _folders)


def pytest_addoption(parser):
    parser.addoption("--optimised", action="store_true", help="let XLA optimise programs as it does for users")


def pytest_configure(config):
    flags = [DEVICES] if config.getoption("optimised") else [DEVICES, *HURRY.split()]
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = " ".join([given, *(flag for flag in flags if flag.split("=")[0] not in given)])
    if threading.current_thread() is threading.main_thread():  # a shell starts what runs behind it deaf to Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(100_000, 20, 50)  # tracing makes many objects and few cycles


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """A worker for each core; none where tests are chosen, because starting them takes longer than a few tests do."""
    chosen = config.option.keyword or not all(map(os.path.isdir, config.args))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if chosen or cores == 1 else cores


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no worker begins one of them when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def settings():
    """Put floatx, epsilon and the image layout back after each test."""
    from jkeras import config

    before = config.floatx(), config.epsilon(), config.image_data_format()
    yield
    config.set_floatx(before[0])
    config.set_epsilon(before[1])
    config.set_image_data_format(before[2])


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of files, and an empty cache for what is downloaded from it."""
    from serving import serving

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    with serving() as server:
        yield server


def pytest_make_parametrize_id(config, val, argname):
    """Bytes are no names: those of an archive tell the time, and the processes that share the tests must agree."""
    return argname if isinstance(val, bytes) else None
