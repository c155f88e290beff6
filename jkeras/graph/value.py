"""What user code in Keras style is handed: a `Value`, an array that also answers what Keras asks of a tensor.

Inside `call`, a `Lambda`, a user's loss, Keras's questions have Keras's answers (`K.int_shape(x)` is (None, 10)
whatever the size of this batch), and code for arrays goes on working: a `Value` has the operators, attributes and
methods of its array, and `jax.numpy` functions and transformations take it. What comes out of those are plain arrays.
What backend functions make of Values are Values; the sizes that a model knows of them are inferred when asked for.
"""

import contextlib
import contextvars
import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config, random
from jkeras.graph.infer import Spec, infer
from jkeras.graph.scope import Finder, as_of_now, current_scope
from jkeras.lift import Shape, Symbol, instances, lift, map_nest

__all__ = [
    "Reading", "Value", "as_arrays", "as_values", "compute", "give_operators", "new_value", "on_arrays", "tried",
    "with_values",
]  # fmt: skip


class Value(Symbol):
    """An array in user code, and what the model knows of it.

    Arguments:
        array: the array, mostly a traced one.
        like: the symbol that it is the value of: it has its sizes and name.
        shape: the sizes that the model knows, None for others; those of `array` unless given.

    Attributes:
        array: the array.
        like: the symbol that it is the value of, or None.
        recipe: the function, positional and keyword arguments that it was made by, which of the results it is, and how
            many draws the call had made before; or None.
        shape: the sizes of `array`; `shape.as_list()`, `K.int_shape`: those that the model knows, None for others.
    """

    def __init__(self, array: Any, *, like: Any = None, shape: Any = None):
        self.array = array
        self._known = shape if like is None else like._keras_shape
        self.recipe: tuple | None = None
        self._name = None if like is None else like.name
        self.like = like

    # ---------------------------------------------------------------------------------------- what Keras asks for

    @property
    def name(self) -> str:
        """The name of the symbol it stands for, or of the function that made it."""
        return self._name or "value:0"

    @name.setter
    def name(self, name: str):
        self._name = name

    @property
    def shape(self) -> Shape:
        return Shape(self.array.shape, lambda: self._keras_shape)

    @property
    def _keras_shape(self) -> tuple:
        if self._known is None:
            _infer_all(self)
        return self._known or ()

    @_keras_shape.setter
    def _keras_shape(self, shape):
        self._known = tuple(shape)

    def get_shape(self) -> Shape:
        """The sizes that the model knows, None for others."""
        return Shape(self._keras_shape)

    def set_shape(self, shape: Any) -> None:
        """State sizes that the model could not know; None leaves one as it is."""
        self._known = tuple(old if new is None else int(new) for old, new in zip(self._keras_shape, shape, strict=True))

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self):
        return self.array.dtype

    # ------------------------------------------------------------------------------------------ what arrays answer

    def traced(self):
        return self.array

    def __lift__(self, function, args, kwargs):
        return compute(function, args, kwargs)

    def __jax_array__(self):
        return jnp.asarray(self.array)

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.array, jax.core.Tracer):
            raise TypeError(
                f"{self!r} is being traced: numpy functions cannot take it. Use jkeras.backend or jax.numpy functions."
            )
        return np.asarray(self.array, dtype=dtype)

    def __getattr__(self, name):
        if name in ("_keras_history", "_uses_learning_phase") and self.like is not None:
            return getattr(self.like, name)
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.array, name)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r} of {self.array!r}>"

    def __bool__(self):
        return bool(self.array)

    def __int__(self):
        return int(self.array)

    def __float__(self):
        return float(self.array)

    def __index__(self):
        return operator.index(self.array)

    def __iter__(self):
        raise TypeError(f"{self!r}: a 'Value' is no container. Take its parts by index, or use K.unstack or jnp.split.")

    # Of arrays elementwise; of symbols, which are keys of dicts, identity.
    __eq__ = lift(operator.eq)  # pyright: ignore[reportAssignmentType]
    __ne__ = lift(operator.ne)  # pyright: ignore[reportAssignmentType]
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    #: So that `array * value` asks the value, with numpy arrays too.
    __array_ufunc__ = None


class Reading(Value):
    """What a variable of a layer is inside the layer's `call`: its value there. Updates of it are of the variable."""

    def __init__(self, variable: Any):
        super().__init__(None, like=variable)
        self.variable = variable

    @property
    def array(self):
        return self.variable.value

    @array.setter
    def array(self, array):
        """It is that of the variable."""

    @property
    def value(self):
        return self.variable.value

    def __bool__(self):
        return bool(self.variable)

    def __getattr__(self, name):
        known = name in vars(self.variable) or hasattr(type(self.variable), name)
        return getattr(self.variable if known else self.array, name)


# A transformation of JAX takes a Value for the array in it, and hands that on: inside it there are plain arrays.
for _kind in (Value, Reading):
    jax.tree_util.register_pytree_node(_kind, lambda value: ((value.array,), None), lambda _, parts: parts[0])


def _array_beside(value, other):
    """`value`, where it is a list of numbers as an array; fractions in the type of `other`, if that holds some."""
    if not isinstance(value, (list, tuple)):
        return value
    array = jnp.asarray(value)
    both = (array, other) if hasattr(other, "dtype") else ()
    return array.astype(other.dtype) if both and all(jnp.issubdtype(one.dtype, jnp.floating) for one in both) else array


def give_operators(cls: type) -> None:
    """Let `cls`, of symbols, have the operators of arrays, lifted."""

    def give(name, function, *, reflected=False):
        def method(self, other):
            return lifted(other, self) if reflected else lifted(self, other)

        def on_arrays(first, second):
            return function(_array_beside(first, second), _array_beside(second, first))

        lifted = lift(functools.wraps(function)(on_arrays))
        method.__name__ = method.__qualname__ = name
        method.__doc__ = f"The symbol of {function.__name__} of the two, elementwise with broadcasting."
        setattr(cls, name, method)

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
        give(f"__{name}__", getattr(operator, name))
        give(f"__r{name}__", getattr(operator, name), reflected=True)
    for name in ("lt", "le", "gt", "ge", "and_", "or_"):
        give(f"__{name.rstrip('_')}__", getattr(operator, name))
    for name in ("neg", "abs", "invert"):
        setattr(cls, f"__{name}__", lift(getattr(operator, name)))
    cls.__getitem__ = lift(operator.getitem)


give_operators(Value)


# ------------------------------------------------------------------------------------------------------- computing

#: Whether the code at hand is a user's that was handed Values.
_handed: contextvars.ContextVar[bool] = contextvars.ContextVar("handed", default=False)


def _handing(values: bool):
    return config.holding(_handed, values)


def on_arrays(function: Callable, args: Any, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`, which is handed arrays and computes with them."""
    with _handing(False):
        return function(*args, **kwargs)


def new_value(array: Any) -> Any:
    """`array`, made of nothing, as what the code at hand computes with: a Value where that was handed Values."""
    return Value(array) if _handed.get() and isinstance(array, jax.Array) else array


def compute(function: Callable, args: Any, kwargs: dict) -> Any:
    """`function(*args, **kwargs)` on the arrays that stand for the symbols in it; of its arrays, Values.

    Raises:
        TypeError: if nothing stands for a symbol.
    """
    arrays, scope = map_nest(_traced, [args, kwargs], Symbol), current_scope()
    draws = 0 if scope is None else scope.draws
    result = on_arrays(function, *arrays)
    if isinstance(result, (list, tuple, dict)):
        leaves, treedef = jax.tree.flatten(result)
        return treedef.unflatten(
            [_made(leaf, (function, args, kwargs, place, draws)) for place, leaf in enumerate(leaves)]
        )
    return _made(result, (function, args, kwargs, 0, draws))


def _made(array, recipe):
    """The Value of one of the arrays that a call gave; what is no array stays."""
    if not isinstance(array, jax.Array):
        return array
    value = Value(array)
    value._name = getattr(recipe[0], "__name__", "value").strip("_<>")
    value.recipe = recipe
    return value


def _traced(symbol):
    array = symbol.traced()
    if array is None:
        raise TypeError(
            f"{symbol!r} is used inside traced code and has no value there: it is a symbol of another graph. Make it "
            "an input of the layer."
        )
    return array


def _infer_all(value):
    """Find what the model knows of the sizes of `value`, and so of those it was made of."""
    waiting = [value]
    while waiting:
        last = waiting[-1]
        if last.recipe is not None and last._known is None:
            unknown = [
                one for one in instances(last.recipe[1:3], Symbol) if isinstance(one, Value) and one._known is None
            ]
            if unknown:
                waiting += unknown
                continue
        waiting.pop()
        if last._known is None:
            last._known = _inferred(last)


def _inferred(value) -> tuple:
    sizes = tuple(size if isinstance(size, int) else None for size in value.array.shape)
    if value.recipe is None:
        return sizes
    function, args, kwargs, place, _ = value.recipe
    symbols = instances([args, kwargs], Symbol)
    given = [Spec(tuple(one._keras_shape), str(one.dtype)) for one in symbols]
    if all(None not in spec.shape for spec in given):
        return sizes

    def run(*arrays):
        remaining = iter(arrays)
        inner = map_nest(lambda _: next(remaining), [args, kwargs], Symbol)
        return on_arrays(function, *inner)

    batches = {one.traced().shape[0] for one, spec in zip(symbols, given, strict=True) if spec.shape[:1] == (None,)}
    # Whose sizes are those of this run: beside them an unknown size is not found out.
    plain = instances([args, kwargs], jax.Array)
    found = sizes
    with contextlib.suppress(Exception), Finder(key=random.as_key(0)):
        found = jax.tree.leaves(infer(run, given))[place].shape
    if (plain or found is sizes) and sizes and value.array.shape[0] in batches:
        return (None, *found[1:])
    return found


# -------------------------------------------------------------------------------------- in and out of user functions


def as_values(nest: Any) -> Any:
    """`nest` with Values in place of JAX arrays."""
    return map_nest(Value, nest, jax.Array)


def as_arrays(nest: Any) -> Any:
    """`nest` with the arrays in place of Values, and of symbols that have a value here."""
    return map_nest(_traced, nest, Symbol)


def tried(run: Callable) -> Any:
    """`run(as_values)`; where that hands a Value to a function of JAX that takes arrays only, `run(as_arrays)`."""
    try:
        with _handing(True):
            return run(as_values)
    except (AttributeError, TypeError, ValueError) as error:
        if not any(word in str(error) for word in ("__jax_array__", "'Value'", "'Reading'", __name__)):
            raise
        try:
            with _handing(False):
                return run(as_arrays)
        except Exception:
            error.add_note(
                "Inside `call`, jax.numpy functions take tensors and weights as they are; functions of jax.lax, and "
                "carries of its loops, must be arrays: write jax.numpy.asarray(x)."
            )
            raise error from None


def with_values(function: Callable, *known: Any) -> Callable:
    """`function`, a user's in Keras style, as one that takes and returns arrays: it is handed Values. The names that it
    reads have the values of now, see `as_of_now`.

    Arguments:
        function: any function of arrays.
        known: what the model knows of the first arguments: the symbols that they are the values of, or their sizes,
            None for unknown ones.

    Example:
        >>> shapes = []
        >>> loss = with_values(lambda y_true, y_pred: shapes.append(y_pred.shape.as_list()) or y_pred, None, (None, 3))
        >>> loss(jnp.ones((2, 3)), jnp.ones((2, 3))).shape, shapes
        ((2, 3), [[None, 3]])
    """

    then = as_of_now(function)

    @functools.wraps(function)
    def called(*args, **kwargs):
        args = list(args)
        for place, (arg, like) in enumerate(zip(args, known, strict=False)):
            if isinstance(arg, jax.Array):
                args[place] = Value(arg, **{"like" if isinstance(like, Symbol) else "shape": like})
        return tried(lambda form: as_arrays(then(*form(args), **form(kwargs))))

    return called
