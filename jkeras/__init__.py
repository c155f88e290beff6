"""The Keras 2.2.4 API as a pure-functional library on JAX.

A model is written down as a graph of symbols; that graph becomes one pure function, and training one compiled step.

Example:
    >>> import jkeras
    >>> model = jkeras.Sequential([jkeras.layers.Dense(2, input_shape=(4,))])
    >>> params, state = model.init(0)
    >>> outputs, state = model.apply(params, state, [[1.0, 2.0, 3.0, 4.0]])
    >>> outputs.shape
    (1, 2)
"""

import importlib

from jkeras import (
    activations,
    callbacks,
    constraints,
    engine,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    random,
    regularizers,
    train,
    utils,
)
from jkeras.models import Input, Model, Sequential

__version__ = "0.1.0"


# Nothing inside needs these; they are imported when somebody asks for them.
_OUTER = ("applications", "backend", "datasets", "preprocessing", "wrappers")


def __getattr__(name):
    if name in _OUTER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Input", "Model", "Sequential", "activations", "applications", "backend", "callbacks", "constraints", "datasets",
    "engine", "initializers", "layers", "losses", "metrics", "models", "optimizers", "preprocessing", "random",
    "regularizers", "train", "utils",
]  # fmt: skip
