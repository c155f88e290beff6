"""`Core`: what training is handed of a model. A pure pair, and what belongs to it while a step is computed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

__all__ = ["Bound", "Core", "PureCore", "as_core"]


class Bound(Protocol):
    """A model while params and state stand for its weights, and for what user code reads without being handed it."""

    def run(self, inputs: Any) -> Any:
        """The model on `inputs`: something with `outputs`, `state`, `mask` and `losses`."""
        ...

    def penalties(self) -> list:
        """The scalars that weights add to the loss."""
        ...

    def next_state(self) -> dict:
        """The state that the model's run gave, with the updates that were asked for since."""
        ...


class Core(Protocol):
    """A model as training sees it. Which weights are trained is fixed; nothing of it changes while it is in use.

    Attributes:
        output_names: the names of the outputs.
    """

    output_names: list

    def init(self, key: Any) -> tuple[dict, dict]:
        """First params and state, nested dicts of arrays; variables from outside are part of the state."""
        ...

    def outside(self) -> dict:
        """The part of the state that is not the model's own: {} or {OUTSIDE: ...}, with the current values."""
        ...

    def bind(self, params: dict, state: dict, *, key: Any, training: bool) -> AbstractContextManager[Bound]:
        """The context in which the model and all that belongs to a step (losses, penalties) are computed."""
        ...

    def constrain(self, params: dict, state: dict) -> dict:
        """`params` with the constraints of the weights applied."""
        ...

    def is_trainable(self, path: tuple) -> bool:
        """Whether training changes the parameter at `path`."""
        ...

    def keeps_state(self, path: tuple) -> bool:
        """Whether training leaves the piece of state at `path` alone: averages of a frozen layer."""
        ...

    def moves_on(self, path: tuple) -> bool:
        """Whether the piece of state at `path` also moves when only testing or predicting."""
        ...

    def precision(self) -> AbstractContextManager:
        """A context in which JAX has the types that the model has: 64 bits where it has any such."""
        ...

    def reading(self, trace: Callable, variables: tuple = ()) -> "Core":
        """The core whose state also holds `variables`, and what is found to be read beside the state by
        `trace(core, looking)`, which traces inside of the context `looking`."""
        ...

    def example(self) -> tuple | None:
        """What params, state and inputs look like (shapes with dtypes), or None if that is not known."""
        ...


class PureCore:
    """The core of a pure pair: all of it is trained, and it reads nothing but what it is handed.

    Arguments:
        pair: `init(key) -> params, state`, and `apply(params, state, inputs, *, key, training) -> outputs, state` or
            `run` with the same arguments, giving something with `outputs`, `state`, `mask` and `losses`. May have
            `regularization(params)` -> scalars and `constrain(params)` -> params.
    """

    output_names = ["output"]

    def __init__(self, pair: Any):
        self.pair = pair

    def init(self, key: Any) -> tuple[dict, dict]:
        return self.pair.init(key)

    def outside(self) -> dict:
        return {}

    @contextmanager
    def bind(self, params: dict, state: dict, *, key: Any, training: bool):
        yield _BoundPair(self.pair, params, state, key, training)

    def constrain(self, params: dict, state: dict) -> dict:
        constrain = getattr(self.pair, "constrain", None)
        return params if constrain is None else constrain(params)

    def is_trainable(self, path: tuple) -> bool:
        return True

    def keeps_state(self, path: tuple) -> bool:
        return False

    def moves_on(self, path: tuple) -> bool:
        return False

    def precision(self) -> AbstractContextManager:
        return nullcontext()

    def reading(self, trace: Callable, variables: tuple = ()) -> "PureCore":
        return self

    def example(self) -> tuple | None:
        return None


class _BoundPair:
    def __init__(self, pair, params, state, key, training):
        self.pair, self.params, self.state, self.options = pair, params, state, {"key": key, "training": training}

    def run(self, inputs):
        weights = self.params, self.state
        if hasattr(self.pair, "run"):
            call = self.pair.run(*weights, inputs, **self.options)
        else:
            call = _Outcome(*self.pair.apply(*weights, inputs, **self.options))
        self.state = call.state
        return call

    def penalties(self):
        return self.pair.regularization(self.params) if hasattr(self.pair, "regularization") else []

    def next_state(self):
        return self.state


class _Outcome:
    """What a call of `apply` gave, in the form of what `run` gives."""

    def __init__(self, outputs, state):
        self.outputs, self.state, self.losses = outputs, state, []
        self.mask = [None] * len(outputs) if isinstance(outputs, (list, tuple)) else None


def as_core(model: Any) -> Core:
    """The core of a model: what its method `core()` gives, or for anything else its pure pair."""
    return model.core() if hasattr(model, "core") else PureCore(model)
