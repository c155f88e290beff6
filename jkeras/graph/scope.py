"""What surrounds a call while it is traced: the values of variables, the training flag, the key, and what it adds.

Built-in layers are pure pairs and need none of this. A layer in Keras style reads `self.kernel`, asks for the learning
phase, draws numbers, adds losses and updates, all without being handed anything: a `Scope` is where it finds them and
where what it adds is collected, for exactly as long as the call lasts. A variable that nothing stands for is an error,
or, in a `Finder`, noted.
"""

import builtins
import contextlib
import contextvars
import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import get_opaque_trace_state

from jkeras import config

__all__ = ["Again", "Finder", "Scope", "UnboundVariableError", "as_of_now", "current_scope", "outside"]

_current: contextvars.ContextVar["Scope | None"] = contextvars.ContextVar("scope", default=None)


def current_scope() -> "Scope | None":
    """The innermost scope of the call being traced, or None outside one."""
    return _current.get()


@contextlib.contextmanager
def outside():
    """Inside, there is no scope and nothing is traced: what is made is made for good, not for the call at hand."""
    with config.holding(_current, None), jax.ensure_compile_time_eval():
        yield


class UnboundVariableError(ValueError):
    """A variable was read inside a pure function that was not handed a value for it."""

    def __init__(self, variable: Any):
        super().__init__(
            f"The variable {variable.name!r} of shape {variable.shape} is read inside a function that was not handed a "
            "value for it: its value now would become a constant of the compiled program. A Model finds the variables "
            "that its layers and weights' regularizers read when it is made, and keeps them in the state that `init` "
            "returns: hand that on, as in model.regularization(params, state). Of a loss, name them: "
            "make_step(..., variables=[it])."
        )
        self.variable = variable


class Scope:
    """The surroundings of one call.

    Arguments:
        bindings: variable or other symbol -> the (traced) array that stands for it in this call.
        layer: whose call it is, if it is one of a layer.
        training: whether the call is part of training.
        key: the call's `jkeras.random.Key`, or None.

    Attributes:
        updates: variable -> its next value, as the call asked for.
        losses: scalars that the call adds to the loss.
        draws: how many draws it made so far.
    """

    #: Whether what stands around this scope cannot be seen from inside.
    is_boundary = False

    def __init__(self, bindings: dict | None = None, *, layer: Any = None, training: bool = False, key: Any = None):
        self.bindings = {} if bindings is None else bindings
        self.layer = layer
        self.training = training
        self.key = key
        self.updates: dict = {}
        self.losses: list = []
        self.parent: Scope | None = None
        self.draws = 0
        #: The copy of the layer on which its `call` ran.
        self.twin: Any = None

    def __enter__(self):
        self.parent = _current.get()
        self._token, self._trace = _current.set(self), get_opaque_trace_state()
        return self

    def __exit__(self, exception_type, exception, traceback):
        _current.reset(self._token)

    def lookup(self, symbol: Any) -> Any:
        """The array that stands for `symbol` here or in an enclosing scope; None for a symbol without a value.

        Raises:
            UnboundVariableError: for a variable that nothing stands for.
        """
        if getattr(symbol, "is_learning_phase", False):
            return self.training
        scope = self
        while True:
            found = scope.found_here(symbol)
            if found is not None:
                return found
            if scope.is_boundary or scope.parent is None:
                return scope.missing(symbol)
            scope = scope.parent

    def found_here(self, symbol: Any) -> Any:
        """The array that stands for `symbol` in this very scope, or None."""
        return self.bindings.get(symbol)

    def missing(self, symbol: Any) -> Any:
        """What an outermost scope says of a symbol that nothing was bound to."""
        return symbol.unbound()

    def update(self, variable: Any, value: Any) -> None:
        """Ask for `value` to be the next value of `variable`, in the scope that binds it (or in this one)."""
        scope = self
        while not scope.takes(variable):
            if scope.is_boundary or scope.parent is None:
                if variable.is_of_this_call:
                    raise ValueError(
                        f"{variable.name} of shape {variable.shape} was made in the call that updates it, and is "
                        "another one in each run: nothing would come of it. Make it before, in __init__ or build."
                    )
                scope.missing(variable)
                scope.touched(variable)
                scope = self
                break
            scope = scope.parent
        scope.updates[variable] = value

    def takes(self, variable: Any) -> bool:
        """Whether updates of `variable` end here."""
        return variable in self.bindings

    def touched(self, variable: Any) -> None:
        """Tell who looks for variables that one from outside is updated."""
        if self.parent is not None:
            self.parent.touched(variable)

    def assigned(self, layer: Any, attributes: dict) -> None:
        """Tell who looks on what a call of `layer` has assigned to `self`."""
        if self.parent is not None:
            self.parent.assigned(layer, attributes)

    def called(self, layer: Any, outputs: Any) -> None:
        """Tell who looks on that `layer` was called inside of another, and gave `outputs`."""
        if self.parent is not None and not self.is_boundary:
            self.parent.called(layer, outputs)

    def add_losses(self, losses: Any, layer: Any) -> None:
        """Take what a call of `layer` inside of this one adds to the loss.

        Raises:
            ValueError: if that is computed in a function which JAX transforms, out of which it could not come.
        """
        if losses and get_opaque_trace_state() != self._trace:
            raise ValueError(
                f"Layer {layer.name} ({type(layer).__name__}) adds to the loss (activity_regularizer or add_loss) "
                "inside of a function that is transformed (jax.jit, jax.checkpoint, jax.vmap, jax.lax.scan ...) within "
                f"another layer's call. There use call = {layer.name}.run(params, state, inputs) in place of apply, "
                "return call.losses from that function, and hand them to self.add_loss outside of it."
            )
        self.losses.extend(losses)

    def next_key(self) -> Any:
        """A key for the next draw of this call."""
        if self.key is None:
            raise ValueError(
                "This call draws random numbers and was given no key: pass `key=` (for example jax.random.key(0))."
            )
        self.draws += 1
        return self.key.fold("draw", self.draws)


class Again(Scope):
    """Around a second run of what was computed in `scope` after so many `draws`: it draws the same, and its updates and
    losses were taken the first time."""

    def __init__(self, scope: Scope, draws: int):
        super().__init__(training=scope.training, key=scope.key)
        self.draws = draws

    def takes(self, variable: Any) -> bool:
        return True


class Finder(Scope):
    """Around an abstract run: notes the variables that nothing stands for, in `found`, and those from outside that are
    updated, in `updated`; and what calls of layers assigned to `self`, in `assignments`."""

    is_boundary = True

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.found: dict = {}
        self.updated: dict = {}
        self.assignments: dict = {}

    def missing(self, symbol: Any) -> Any:
        return symbol.noted(self.found)

    def touched(self, variable: Any) -> None:
        self.updated[variable] = True

    def assigned(self, layer: Any, attributes: dict) -> None:
        self.assignments.setdefault(layer, []).append(attributes)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """`code` and that of the functions made in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


#: What a function knows its module by, as imports inside of it do.
_MODULE = ("__builtins__", "__name__", "__package__", "__path__", "__spec__")


def as_of_now(function: Any) -> Any:
    """`function` with the values that the names around it have now: in `for i in range(3): Lambda(lambda x: x[:, i])`
    each has its own i, however often and late it is traced. One that itself assigns to such names stays as it is, and
    so does one of whose names there is none yet.

    Example:
        >>> scale = 2
        >>> double = as_of_now(lambda x: scale * x)
        >>> scale = 3
        >>> double(1)
        2
    """
    if not isinstance(function, types.FunctionType):
        return function
    codes = list(_codes(function.__code__))
    steps = [step for code in codes for step in dis.get_instructions(code)]
    free = set(function.__code__.co_freevars)
    if any(step.opname == "STORE_GLOBAL" or (step.opname == "STORE_DEREF" and step.argval in free) for step in steps):
        return function
    around = function.__globals__
    read = {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}
    if any(name not in around and not hasattr(builtins, name) for name in read):
        return function
    names = {*_MODULE, *(name for code in codes for name in code.co_names)} & around.keys()
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(types.CellType(cell.cell_contents))
        except ValueError:  # has no value yet
            cells.append(cell)
    twin = types.FunctionType(function.__code__, {name: around[name] for name in names}, closure=tuple(cells))
    twin.__kwdefaults__, twin.__defaults__ = function.__kwdefaults__, function.__defaults__
    return functools.update_wrapper(twin, function)
