"""What all tests share: eight devices to split batches over, and settings that every test finds as they start."""

import os
import tempfile

# Read when JAX starts, so set before anything imports it.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("NPROC", "8")
os.environ["JKERAS_ALLOCATOR"] = "off"  # a thousand small programs in one process would only hold its memory
os.environ.setdefault("MPLBACKEND", "Agg")
# The settings file of whoever runs the tests must not decide what they see.
_keras_home = tempfile.TemporaryDirectory(prefix="jkeras-tests-")
os.environ["KERAS_HOME"] = _keras_home.name

# Nor what an earlier run compiled; within one run, equal programs are compiled once.
_compiled = tempfile.TemporaryDirectory(prefix="jkeras-compiled-")
os.environ["JKERAS_COMPILATION_CACHE"] = _compiled.name

import pytest  # noqa: E402

from jkeras import config  # noqa: E402


@pytest.fixture(autouse=True)
def settings():
    """Put floatx, epsilon and the image layout back after each test."""
    before = config.floatx(), config.epsilon(), config.image_data_format()
    yield
    config.set_floatx(before[0])
    config.set_epsilon(before[1])
    config.set_image_data_format(before[2])
