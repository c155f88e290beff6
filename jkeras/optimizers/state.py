"""What an optimizer keeps from step to step, and the numbers of it that users change while training."""

import contextvars
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Variable
from jkeras.lift import Symbol, lift

__all__ = ["Hyperparameter", "OptimizerState", "float_type", "on_host", "writing"]

_writing: contextvars.ContextVar[bool] = contextvars.ContextVar("writing", default=False)


def writing():
    """While updates are written as symbols (in a `get_updates`): arithmetic on hyperparameters makes symbols too."""
    return config.holding(_writing, True)


class OptimizerState(NamedTuple):
    """What an optimizer keeps from step to step.

    Attributes:
        iterations: how many updates were made, an int32 scalar.
        hyperparameters: name -> scalar, the numbers that may be changed while training.
        scalars: name -> scalar, what the optimizer itself carries on.
        slots: name -> a tree like the parameters; of an optax transformation its state; of a `get_updates` the list of
            the values of its variables.
    """

    iterations: Any
    hyperparameters: dict
    scalars: dict
    slots: Any


def float_type() -> np.dtype:
    """The type of an optimizer's numbers."""
    # 64 bits only where they are asked for; 16 bits are too few for a decay or a beta close to 1.
    return np.dtype(np.float64 if config.floatx() == "float64" else np.float32)


def on_host(variable: Variable) -> np.ndarray:
    """A copy on the host of a variable's value, in the widest type that JAX now computes with: a compiled step takes
    over the memory of what it is given."""
    return np.array(variable.numpy(), jax.dtypes.canonicalize_dtype(variable.dtype))


class Hyperparameter(np.lib.mixins.NDArrayOperatorsMixin, Variable):
    """A number of an optimizer that may be changed while training: a variable that reads and computes like a numpy
    scalar. In a `get_updates`, and together with symbols, it computes as a symbol.

    Arguments:
        value: the number.
        name: its name.
        dtype: its type, that of an optimizer's numbers unless given.

    Raises:
        ValueError: if the value is not one number.
    """

    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]
    #: Its number is part of the optimizer's state already, and lives on the host.
    lends = False

    def __init__(self, value: Any, name: str, dtype: Any = None):
        dtype = np.dtype(dtype or float_type())
        super().__init__((), dtype, name, trainable=False)
        self.dtype = dtype
        self.value = value

    @Variable.value.setter
    def value(self, value: Any):
        array = np.asarray(value)
        if array.dtype.kind in "OSUMm" or array.shape != ():
            raise ValueError(
                f"The hyperparameter '{self.name}' of an optimizer must be one number; {value!r} was given. A schedule "
                "goes to the callback LearningRateScheduler, or into an optax optimizer."
            )
        Variable.value.__set__(self, self.dtype.type(array))

    def current(self) -> Any:
        """The current number, also inside traced code."""
        return self.dtype.type(np.asarray(super().current()))

    def device_value(self) -> np.ndarray:
        """The current number, for compiled code: it stays on the host, where it is often read and set."""
        return np.asarray(self.current())

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.current(), dtype=dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if _writing.get() or current_scope() is not None:
            return lift(getattr(jnp, ufunc.__name__))(*inputs)
        inputs = [value.current() if isinstance(value, Hyperparameter) else value for value in inputs]
        return getattr(ufunc, method)(*inputs, **options)

    def __eq__(self, other):
        return self is other if isinstance(other, Symbol) else self.current() == other

    def __ne__(self, other):
        return not self == other

    def __float__(self):
        return float(self.current())

    def __int__(self):
        return int(self.current())

    def __bool__(self):
        return bool(self.current())

    def __format__(self, specification):
        return format(self.current(), specification)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r} {self.current()}>"
