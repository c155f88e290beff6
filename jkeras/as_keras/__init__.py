"""`import keras` means this package, for code that was written for Keras 2.

`import jkeras.as_keras`, anywhere before the first `import keras`; or a script as it is:

    python -m jkeras script.py arguments
    python -m jkeras -m pytest tests

`keras` and its submodules are then jkeras's, the same module objects; only `keras.__version__` is that of the version
whose API this is. `K.backend()` answers "tensorflow", as code that asks has its documented behaviour in that branch;
KERAS_BACKEND=jax in the environment says otherwise. (Of another backend, as theano, there is nothing here.)
"""

import importlib
import importlib.abc
import importlib.util
import os
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import jkeras
from jkeras.config import BACKENDS

__all__ = ["KERAS_VERSION", "install"]

KERAS_VERSION = "2.2.4"
# A folder whose only module, `keras`, imports this one: what processes that this one starts find on their path.
_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `keras.x` where `jkeras.x` is, and hands over that module."""

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith("keras.") or importlib.util.find_spec("j" + fullname) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec):
        module = importlib.import_module("j" + spec.name)
        spec.loader_state = module.__spec__  # the import writes its own over it
        return module

    def exec_module(self, module: Any):
        module.__spec__ = module.__spec__.loader_state


def _keras() -> types.ModuleType:
    """The module `keras`: jkeras, of another version."""
    module: Any = types.ModuleType("keras", jkeras.__doc__)
    module.__path__ = []  # submodules are the finder's
    module.__file__ = jkeras.__file__
    module.__version__ = KERAS_VERSION
    module.__all__ = list(jkeras.__all__)
    module.__getattr__ = lambda name: getattr(jkeras, name)
    module.__dir__ = lambda: sorted({*dir(jkeras), *vars(module)})
    module.__spec__ = ModuleSpec("keras", None, is_package=True)
    return module


def install(backend: str | None = None) -> types.ModuleType:
    """Let `keras` mean jkeras in this process, and in those that it starts.

    Arguments:
        backend: what `K.backend()` answers, "tensorflow" or "jax"; None for the environment variable KERAS_BACKEND if
            that is one of them, or else "tensorflow".

    Returns:
        The module `keras`.

    Raises:
        ImportError: if another `keras` was imported before.
        ValueError: if `backend` is another one.
    """
    if backend not in (None, *BACKENDS):
        raise ValueError(f"K.backend() cannot answer {backend!r}: JAX computes; give one of {', '.join(BACKENDS)}.")
    present: Any = sys.modules.get("keras")
    if present is not None and present.__file__ != jkeras.__file__:
        raise ImportError(f"Import jkeras.as_keras before keras: {present.__file__} was imported already.")
    if present is None:
        present = sys.modules["keras"] = _keras()
        sys.meta_path.insert(0, _Finder())
        sys.path.insert(min(1, len(sys.path)), _PATH)  # behind the script's folder, before another Keras
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([_PATH, *([before] if before else [])])
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    name = os.environ.get("KERAS_BACKEND")
    name = name if name in BACKENDS else "tensorflow"
    answering: Any = importlib.import_module("jkeras.backend")
    answering.backend = lambda: name
    return present


install()
