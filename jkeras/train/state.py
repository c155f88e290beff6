"""`TrainState`: everything that training changes, as one immutable tree."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras.random import Key
from jkeras.typing import Array

__all__ = ["TrainState", "means"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "params", "frozen", "state", "opt_state", "key", "metrics"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """What a training step takes and gives.

    Attributes:
        step: how many steps were taken, an int32 scalar.
        params: the parameters that training changes, nested dicts of arrays.
        frozen: those that it leaves alone, in the same form.
        state: what layers keep beside parameters (moving averages, states of stateful layers).
        opt_state: the optimizer's state.
        key: the run's key, from which and `step` a step's key is derived; None as long as there is no run.
        metrics: running sums over examples of the loss and the metrics since they were last reset, and their count; of
            metrics that keep a running state themselves the latest value.
    """

    step: Array | np.integer
    params: dict
    frozen: dict
    state: dict
    opt_state: Any
    key: Key | None
    metrics: dict

    def replace(self, **changes) -> "TrainState":
        """The same state with some parts exchanged."""
        return TrainState(**{**vars(self), **changes})


def means(metrics: dict, numpy: Any = jnp) -> dict:
    """The running means of the loss and the metrics, from their running sums; computed with `numpy`."""
    count = numpy.maximum(metrics["count"], 1.0)
    return {name: total / count for name, total in metrics["sums"].items()} | metrics["latest"]
