"""Symbols: `SymbolicTensor` (a value that does not exist yet), `Variable` (one with a current value), and `Node` (a
call)."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import sparse
from jkeras.graph.infer import infer, stand_in
from jkeras.graph.scope import Finder, UnboundVariableError, current_scope
from jkeras.graph.value import compute, give_operators, on_arrays
from jkeras.lift import Shape, Symbol, instances, lift, map_nest

__all__ = [
    "Node", "SymbolicTensor", "Variable", "is_hole", "is_symbol", "map_symbols", "symbols_in", "unique_name",
    "values_of",
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ names

_counters: dict[str, int] = {}


def unique_name(prefix: str, *, zero_based: bool = False) -> str:
    """`prefix_1`, `prefix_2`, ... as Keras numbers layers."""
    _counters[prefix] = number = _counters.get(prefix, 0) + 1
    return f"{prefix}_{number - 1 if zero_based else number}"


def unique_number(prefix: str) -> int:
    """The next number of `prefix`: 1, 2, ..."""
    _counters[prefix] = _counters.get(prefix, 0) + 1
    return _counters[prefix]


def reset_names() -> None:
    """Start the numbering of layers anew."""
    _counters.clear()


# ------------------------------------------------------------------------------------------------ nests of symbols


def is_symbol(value: Any) -> bool:
    return isinstance(value, SymbolicTensor)


def is_hole(value: Any) -> bool:
    """Whether `value` is a symbol that nobody makes, so that a value has to be handed in."""
    return isinstance(value, SymbolicTensor) and value.node is None and not isinstance(value, Variable)


def map_symbols(function: Callable, nest: Any) -> Any:
    """`nest` (lists, tuples and dicts of anything) with `function` applied to each symbol in it."""
    return map_nest(function, nest, SymbolicTensor)


def symbols_in(nest: Any) -> list:
    """The symbols in `nest`, in order."""
    return instances(nest, SymbolicTensor)


# ---------------------------------------------------------------------------------------------------------- symbols


class NoValue:
    """What JAX is given in place of the array of a symbol that has none: its operators leave the symbol's own to do it
    (`array * symbol`), its functions say what they were given."""

    def __init__(self, symbol: Any):
        self.symbol = symbol

    def __repr__(self):
        return (
            f"{self.symbol!r} is a symbol without a value: jax.numpy functions cannot take it. Wrap the computation in "
            "a Lambda layer, or use jkeras.backend functions."
        )

    def __array__(self, dtype=None, copy=None):
        raise TypeError(repr(self))


class SymbolicTensor(Symbol):
    """A value that does not exist yet: an input, or an output of a call on other symbols.

    Attributes:
        shape: the sizes, None where unknown.
        dtype: the name of the type, as 'float32'.
        name: its name.
        node: the call that makes it, or None for an input.
        _keras_history: (layer, node index, tensor index) if a layer made it.
    """

    def __init__(self, shape: Any, dtype: Any, name: str | None = None, node: Any = None):
        self.shape = Shape(None if size is None else int(size) for size in shape)
        self.dtype = str(jnp.dtype(dtype))
        self.name = name or unique_name("tensor")
        self.node = node
        self._keras_mask = None

    @property
    def _keras_shape(self):
        return tuple(self.shape)

    @_keras_shape.setter
    def _keras_shape(self, shape):
        self.shape = Shape(shape)

    @property
    def _uses_learning_phase(self) -> bool:
        """Whether it is computed in another way while training."""
        stated = self.__dict__.get("_phase_stated")
        if stated is None:
            return getattr(self, "is_learning_phase", False) if self.node is None else self.node.uses_learning_phase
        return stated

    @_uses_learning_phase.setter
    def _uses_learning_phase(self, value):
        self._phase_stated = bool(value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def get_shape(self) -> Any:
        """The shape, as `shape`."""
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """State sizes that could not be inferred; None leaves one as it is."""
        self.shape = Shape(old if new is None else int(new) for old, new in zip(self.shape, shape, strict=True))

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r} shape={self.shape} dtype={self.dtype}>"

    def __lift__(self, function, args, kwargs):
        """Remember a call as a node; inside traced code compute it, if all its symbols have values there."""
        if current_scope() is None or any(symbol.traced() is None for symbol in symbols_in([args, kwargs])):
            return Node(function, args, kwargs).result
        return compute(function, args, kwargs)

    #: Whether its value is a sparse array.
    sparse = False
    #: The function that gives its value, once that was asked for.
    evaluator: Any = None

    def __getstate__(self):
        return {**vars(self), "evaluator": None}

    @property
    def roots(self) -> list:
        """The symbols whose shapes and types decide what stands for this one where shapes are inferred: itself."""
        return [self]

    def inferred(self, known: dict) -> Any:
        """What stands for it where shapes are inferred and `known` has what stands for its `roots`."""
        return known[self]

    def eval(self, values: Mapping | None = None) -> np.ndarray:
        """Its value, for those of the holes that it depends on, which `values` maps to arrays."""
        from jkeras.graph.function import Function  # which is made of symbols

        if values:
            return Function(list(values), [self])(list(values.values()))[0]
        # Kept with the symbol: what is asked for again is compiled, once.
        self.evaluator = self.evaluator or Function([], [self])
        return self.evaluator([])[0]

    def numpy(self) -> np.ndarray:
        """Its value, which depends on no hole, on the host."""
        return self.eval()

    def traced(self):
        """Inside traced code the array that stands for this symbol there, or None."""
        scope = current_scope()
        return None if scope is None else scope.lookup(self)

    def unbound(self):
        """What stands for it where nothing was bound to it: nothing."""

    def noted(self, found: dict):
        """What stands for it in an abstract run that looks for variables: an array of its shape."""
        return stand_in(self.shape, self.dtype)

    def __jax_array__(self):
        value = self.traced()
        return NoValue(self) if value is None else jnp.asarray(value)

    def __bool__(self):
        raise TypeError(
            f"{self!r} has no value yet, so it is neither true nor false. In a model use K.switch or jax.numpy.where."
        )

    def __iter__(self):
        raise TypeError(f"{self!r} has no value yet: it cannot be iterated over. Take its parts by index.")

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            f"{self!r} is a symbol without a value: numpy and jax.numpy functions cannot take it. "
            "Wrap the computation in a Lambda layer, or use jkeras.backend functions."
        )

    #: So that `array * symbol` asks the symbol, with numpy arrays too.
    __array_ufunc__ = None


give_operators(SymbolicTensor)


class Variable(SymbolicTensor):
    """A symbol with a current value: a weight of a layer, or a `K.variable`.

    Arguments:
        shape, dtype, name: as of any symbol; all sizes known.
        value: its value (an array), or None.
        draw: `draw(key) -> array`, its initial value. Called when the value is first asked for, so that values which
            are loaded or discarded are never drawn.
        trainable: whether training changes it.
        regularizer, constraint: what training adds to the loss for it, and applies to it after each update.
        key: the key of its initial value where it is drawn outside of a model's `init`.

    Attributes:
        value: the current array; inside traced code, the traced array bound to it there.
    """

    def __init__(
        self, shape: Any, dtype: Any, name: str, *, value: Any = None, draw: Callable | None = None,
        trainable: bool = True, regularizer: Callable | None = None, constraint: Callable | None = None,
        key: Any = None,
    ):  # fmt: skip
        super().__init__(shape, dtype, name)
        self.draw = draw
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self._value = value
        self.key = key
        self._owner, self._times_lent = None, 0
        scope = current_scope()
        self._made_in = None if scope is None else weakref.ref(scope)

    def __bool__(self):
        """There is one, as `if self.bias:` asks in layers; in Keras too its value does not matter."""
        return True

    #: Whether the value never changes: traced code may hold it as it is.
    is_constant = False
    #: Of a layer's weight, the path of names that leads to it in the layer's params or state.
    place: tuple | None = None

    @property
    def value(self):
        scope = current_scope()
        return self.current() if scope is None else scope.lookup(self)

    def current(self):
        """The current array, also inside traced code; while it is lent, a copy that its owner gives."""
        if self._owner is not None:
            return self._owner.read([self])[0]
        value = self._value
        if value is None and self._owner is not None:  # lent by another thread, just now
            return self.current()
        if value is None:
            assert self.draw is not None, "a variable is made with a value or with how to draw it"
            with jax.ensure_compile_time_eval():
                self._value = value = self.draw(self.key)
        return value

    @value.setter
    def value(self, value: Any):
        if tuple(value.shape) != self.shape:
            raise ValueError(f"{self.name} has shape {self.shape}; a value of shape {tuple(value.shape)} was given.")
        self._value = value
        if self._owner is not None:
            self._owner.set(self)

    #: Whether a run may have the value while it moves it on.
    lends = True

    def lend(self, owner: Any, *, holding: bool = True) -> None:
        """Let `owner` know the value from now on: `owner.read([self])` gives it, `owner.set(self)` takes over what was
        stored. Unless `holding`, nothing is stored meanwhile."""
        self._times_lent += 1
        self._owner = owner  # before the value goes: who finds no value asks the owner
        if not holding:
            self._value = None

    def give_back(self, array: Any) -> None:
        """Hold `array`, unchecked, and no longer ask anybody."""
        self._value = array
        self._owner = None

    @property
    def lent_to(self):
        """Whom it is lent to, or None."""
        return self._owner

    @property
    def lease(self) -> tuple:
        """Whom it is lent to, and how often it was lent: as long as that is the same, so is who has the value."""
        return self._owner, self._times_lent

    @property
    def stored(self):
        """What the variable holds itself, also while it is lent; None if that was not drawn yet."""
        return self._value

    def __getstate__(self):
        return {
            **super().__getstate__(),
            "_value": self.current(),
            "draw": None,
            "_owner": None,
            "_made_in": None,
            "_penalty": (None, None),
        }

    def device_value(self):
        """The current value as a JAX array, placed on the device once and kept there."""
        value = self.current()
        if not isinstance(value, jax.Array):
            value = jax.device_put(np.asarray(value, jnp.dtype(self.dtype)))
            if self._owner is None:
                self._value = value
        return value

    @property
    def is_of_this_call(self) -> bool:
        """Whether it was made in the call that is being traced, which makes another in each run."""
        scope, home = current_scope(), self._made_in and self._made_in()
        while home is not None and scope is not None:
            if scope is home:
                return True
            scope = scope.parent
        return False

    def unbound(self):
        """The value of a constant, and of what the call at hand made.

        Raises:
            UnboundVariableError: for any other variable.
        """
        if self.is_constant or self.is_of_this_call:
            return self.current()
        raise UnboundVariableError(self)

    def noted(self, found: dict):
        """Note that it was read; an array like it."""
        if self.is_constant or self.is_of_this_call:
            return self.current()
        found[self] = True
        return jnp.zeros(self.shape, jnp.dtype(self.dtype))

    @property
    def penalty(self):
        """The symbol of what its regularizer adds to the loss; None if it has none."""
        made_by, symbol = self.__dict__.get("_penalty", (None, None))
        if self.regularizer is None:
            return None
        if made_by is not self.regularizer:
            made_by, symbol = self.regularizer, lift(self.regularizer)(self)
            self._penalty = made_by, symbol
        return symbol

    def eval(self, values: Mapping | None = None) -> np.ndarray:
        """Its value; it depends on nothing."""
        return self.numpy()

    def numpy(self) -> np.ndarray:
        """A copy of the current value on the host, also inside traced code."""
        return np.array(self.current())

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype=dtype)

    def __jax_array__(self):
        return jnp.asarray(self.value)


def values_of(variables: Iterable, read: Callable = lambda variable: variable.device_value()) -> list:
    """The current arrays of variables, on the device unless they are `read` otherwise; those that one owner has, all of
    one step."""
    variables = list(variables)
    while True:
        leases = [variable.lease for variable in variables]
        lent: dict = {}
        for variable, (owner, _) in zip(variables, leases, strict=True):
            if owner is not None:
                lent.setdefault(owner, []).append(variable)
        found = {}
        for owner, group in lent.items():
            found |= dict(zip(group, owner.read(group), strict=True))
        values = [found[variable] if variable in found else read(variable) for variable in variables]
        if all(variable.lease == lease for variable, lease in zip(variables, leases, strict=True)):
            return values


# ------------------------------------------------------------------------------------------------------------ nodes


class Node:
    """A remembered call of a function of arrays on symbols. (`graph.layer.LayerNode` is the call of a layer.)

    Attributes:
        inputs: the symbols among its arguments, in order.
        reads: the variables that it reads without having them as arguments.
        result: the symbol, or the nest of symbols, of what it returns.
        outputs: the symbols in `result`, in order.
    """

    layer = None
    reads: list = []

    def __init__(self, function: Callable, args: Any, kwargs: dict):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.inputs = symbols_in([args, kwargs])
        name = getattr(function, "__name__", "function").strip("_<>")
        roots = list(dict.fromkeys(root for symbol in self.inputs for root in symbol.roots))

        def abstract(*arrays):
            known = dict(zip(roots, arrays, strict=True))
            result = self._call(*(symbol.inferred(known) for symbol in self.inputs))
            return jax.tree.map(sparse.to_dense, result, is_leaf=sparse.is_sparse)

        with Finder() as finder:
            structure = infer(abstract, roots)
        self.reads = list(finder.found)
        self.result = jax.tree.map(
            lambda spec: SymbolicTensor(spec.shape, spec.dtype, unique_name(name), self), structure
        )
        self.outputs = jax.tree.leaves(self.result, is_leaf=is_symbol)

    @property
    def uses_learning_phase(self) -> bool:
        """Whether the result depends on whether it is training."""
        return any(symbol._uses_learning_phase for symbol in self.inputs)

    def _call(self, *values):
        remaining = iter(values)
        args, kwargs = map_symbols(lambda symbol: next(remaining), [self.args, self.kwargs])
        return on_arrays(self.function, args, kwargs)

    def evaluate(self, execution: Any):
        """Compute the outputs in `execution` (see `graph.function`)."""
        values = (execution.value(symbol) for symbol in self.inputs)
        result = self._call(
            *(values if getattr(self.function, "takes_sparse", False) else map(sparse.to_dense, values))
        )
        for symbol, value in zip(self.outputs, jax.tree.leaves(result, is_leaf=sparse.is_sparse), strict=True):
            execution.values[symbol] = value
