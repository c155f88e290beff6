"""Symbols and their values: variables, placeholders, the learning phase, functions, gradients, updates."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config, sparse
from jkeras.backend.sizes import Sizes, array_of, as_shape, int_shape
from jkeras.graph import tensor
from jkeras.graph.function import Function, gradients_or_none
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Node, SymbolicTensor, Variable, is_symbol, symbols_in, unique_name
from jkeras.graph.value import new_value
from jkeras.lift import Symbol, lift
from jkeras.trees import as_list
from jkeras.typing import Array, ArrayLike, DType, Name, Shape

# --------------------------------------------------------------------------------------------------------- variables


def _made(array, name, stem):
    """Inside a layer's call `array` itself, elsewhere a variable that has it as its value."""
    if current_scope() is not None:
        return new_value(jnp.asarray(array))
    return Variable(array.shape, array.dtype, f"{name or unique_name(stem)}:0", value=array, trainable=False)


def variable(value: Any, dtype: DType = None, name: Name = None, constraint: Function | None = None) -> Variable:
    """A symbol with a current value, which updates and `set_value` change.

    Arguments:
        value: a number, an array, a sparse matrix of scipy, or a symbol whose value can be computed.
        dtype: its type, the default float type unless given.
        name: its name.
        constraint: a function that optimizers apply to it after each update.
    """
    if sparse.is_sparse(value):
        value = sparse.as_bcoo(value, jnp.dtype(dtype or config.floatx()))
        return SparseVariable(value.shape, value.dtype, f"{name or unique_name('Variable')}:0", value=value)
    if is_symbol(value):
        value = eval(value)
    array = np.array(value, dtype=jnp.dtype(dtype or config.floatx()))
    return Variable(
        array.shape, array.dtype, f"{name or unique_name('Variable')}:0", value=array, constraint=constraint
    )


def constant(value: Any, dtype: DType = None, shape: Sequence[int] | None = None, name: Name = None) -> Any:
    """A value that does not change; a single number fills `shape`.

    Raises:
        ValueError: if `value` does not fill `shape`.
    """
    array = np.asarray(value, dtype=jnp.dtype(dtype or config.floatx()))
    if shape is not None:
        array = np.broadcast_to(array, shape) if array.size == 1 else array.reshape(shape)
    made = _made(array, name, "Const")
    if isinstance(made, Variable):
        made.is_constant = True
    return made


@lift
def _full(shape, value, dtype):
    return jnp.full(as_shape(shape), value, dtype)


def _filled(shape, value, dtype, name):
    """A variable, or where the sizes are not known yet, and in traced code, the array itself."""
    dtype = str(jnp.dtype(dtype or config.floatx()))
    if current_scope() is not None or symbols_in(shape):
        return new_value(_full(shape, value, dtype))
    return _made(np.full(as_shape(shape), value, jnp.dtype(dtype)), name, "Variable")


def zeros(shape: Sequence[Any], dtype: DType = None, name: Name = None) -> Any:
    """A variable full of zeros. With sizes of `K.shape` that are not known yet, a symbol."""
    return _filled(shape, 0, dtype, name)


def ones(shape: Sequence[Any], dtype: DType = None, name: Name = None) -> Any:
    """A variable full of ones. With sizes of `K.shape` that are not known yet, a symbol."""
    return _filled(shape, 1, dtype, name)


@lift
def _eye(size, dtype):
    return jnp.eye(*as_shape(size), dtype=jnp.dtype(dtype))


def eye(size: Any, dtype: DType = None, name: Name = None) -> Any:
    """A variable that is the identity matrix of `size` rows. With a size that is not known yet, a symbol."""
    dtype = str(jnp.dtype(dtype or config.floatx()))
    if current_scope() is not None or symbols_in(size):
        return new_value(_eye(size, dtype))
    return _made(np.eye(int(size), dtype=jnp.dtype(dtype)), name, "Variable")


@lift
def zeros_like(x: ArrayLike, dtype: DType = None, name: Name = None) -> Array:
    """Zeros in the shape of `x`."""
    return jnp.zeros_like(x, dtype=dtype)


@lift
def ones_like(x: ArrayLike, dtype: DType = None, name: Name = None) -> Array:
    """Ones in the shape of `x`."""
    return jnp.ones_like(x, dtype=dtype)


def placeholder(
    shape: Shape | None = None, ndim: int | None = None, dtype: DType = None, sparse: bool = False, name: Name = None
) -> SymbolicTensor:
    """A hole: a symbol that is given a value when a `function` is called.

    Arguments:
        shape: its sizes, None where unknown; or
        ndim: how many axes it has, all of unknown size.
        dtype: its type, the default float type unless given.
        sparse: whether it is fed sparse matrices, as of scipy. `dot` and `concatenate` compute with them as they are,
            other functions with `to_dense` of it.

    Raises:
        ValueError: if neither `shape` nor `ndim` is given.
    """
    if shape is None:
        if ndim is None:
            raise ValueError("placeholder: `shape` or `ndim` is needed.")
        shape = (None,) * ndim
    made = SymbolicTensor(tuple(shape), dtype or config.floatx(), f"{name or unique_name('Placeholder')}:0")
    return sparse_if(sparse, made)


# ------------------------------------------------------------------------------------------------------------ sparse


class SparseVariable(Variable):
    """A variable whose value is a sparse array."""

    sparse = True

    def device_value(self):
        return self.current()

    def numpy(self) -> np.ndarray:
        return np.asarray(sparse.to_dense(self.current()))

    def __jax_array__(self):
        return jnp.asarray(sparse.to_dense(self.value))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)


def sparse_if(condition: bool, x: Any) -> Any:
    """`x`, a symbol that is marked as sparse if `condition` holds."""
    if condition and is_symbol(x):
        x.sparse = True
    return x


def is_sparse(tensor: Any) -> bool:
    """Whether `tensor` is sparse: a symbol or variable that is, a matrix of scipy, a BCOO of JAX."""
    if isinstance(tensor, Symbol):
        return getattr(tensor, "sparse", False)
    return sparse.is_sparse(tensor)


@lift
def _dense(tensor):
    return jnp.asarray(tensor)


def to_dense(tensor: Any) -> Any:
    """`tensor` with its zeros written out; one that is dense is returned as it is."""
    if isinstance(tensor, Symbol):
        return _dense(tensor) if is_sparse(tensor) else tensor
    return sparse.to_dense(tensor)


def is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def is_placeholder(x: Any) -> bool:
    """Whether `x` is a hole (a `placeholder`, or an `Input`)."""
    return is_symbol(x) and x.node is None and not isinstance(x, (Variable, _LearningPhase)) or _is_input(x)


def _is_input(x) -> bool:
    history = getattr(x, "_keras_history", None)
    return history is not None and getattr(history[0], "is_placeholder", False)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a symbol, an array of JAX, or what `shape` gives."""
    return isinstance(x, (Symbol, jax.Array, Sizes))


def is_keras_tensor(x: Any) -> bool:
    """Whether a layer made the symbol `x` (an `Input` counts).

    Raises:
        ValueError: if `x` is no tensor at all.
    """
    if not is_tensor(x):
        raise ValueError(f"Unexpectedly found an instance of type `{type(x)}`. Expected a symbolic tensor instance.")
    return hasattr(x, "_keras_history")


def dtype(x: Any) -> str:
    """The name of the type of `x`."""
    return str(x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype)


def get_variable_shape(x: Any) -> tuple:
    """The sizes of a variable."""
    return int_shape(x)


# ------------------------------------------------------------------------------------------------------------ values


def eval(x: Any) -> np.ndarray:
    """The current value of a symbol that depends on no hole."""
    if isinstance(x, (list, tuple)):
        return np.asarray([eval(part) for part in x])
    if is_symbol(x):
        return x.eval()
    return np.asarray(sparse.to_dense(x))


def get_value(x: Any) -> np.ndarray:
    """The current value of a variable, or of a number of an optimizer (as `optimizer.lr`)."""
    if isinstance(x, Variable):
        return x.numpy()
    return np.array(x.value) if hasattr(x, "value") else eval(x)


def set_value(x: Any, value: Any) -> None:
    """Set the value of a variable, or a number of an optimizer (as `optimizer.lr`).

    Raises:
        ValueError: if the shape does not fit.
    """
    if is_sparse(x):
        x.value = sparse.as_bcoo(value, jnp.dtype(x.dtype))
    else:
        x.value = np.array(sparse.to_dense(value), dtype=jnp.dtype(x.dtype))


def batch_get_value(ops: Sequence[Any]) -> list:
    """The current values of several variables."""
    return [get_value(x) for x in ops]


def batch_set_value(tuples: Iterable[tuple[Any, Any]]) -> None:
    """Set several variables: pairs (variable, value)."""
    for x, value in tuples:
        set_value(x, value)


def clear_session() -> None:
    """Start the numbering of names anew, and leave the learning phase to the functions again."""
    tensor.reset_names()
    _phase.value = None


def get_uid(prefix: str = "") -> int:
    """The next number for names that begin with `prefix`."""
    return tensor.unique_number(prefix)


def reset_uids() -> None:
    """Start the numbering of names anew."""
    tensor.reset_names()


# ----------------------------------------------------------------------------------------------------------- updates


class Update(SymbolicTensor):
    """The symbol of a variable's next value; evaluating it sets the variable. Also the pair (variable, next value)."""

    #: What is updated along with the variable: pairs (variable, next value).
    beside: tuple = ()

    def __init__(self, target: Variable, new: Any):
        node = Node(_as_type, (new, target.dtype), {})
        super().__init__(target.shape, target.dtype, f"{target.name}_update", node)
        node.result, node.outputs = self, [self]
        self.target, self.new = target, new

    def __iter__(self):
        return iter((self.target, self.new))


def _as_type(x, dtype):
    return jnp.asarray(x, jax.dtypes.canonicalize_dtype(dtype))  # 'int64' where only 32 bits are computed with


def _update(target, new):
    return (target, new) if current_scope() is not None else Update(target, new)


def update(x: Variable, new_x: ArrayLike) -> Any:
    """Ask for `new_x` to be the next value of the variable `x`."""
    return _update(x, new_x)


def update_add(x: Variable, increment: ArrayLike) -> Any:
    """Ask for x + increment to be the next value of the variable `x`."""
    return _update(x, x + increment)


def update_sub(x: Variable, decrement: ArrayLike) -> Any:
    """Ask for x - decrement to be the next value of the variable `x`."""
    return _update(x, x - decrement)


def moving_average_update(x: Variable, value: ArrayLike, momentum: ArrayLike) -> Any:
    """Ask for the variable `x` to become a moving average.

        next = x * momentum + value * (1 - momentum)

    As TensorFlow does for Keras 2.2.4, the average is zero-debiased outside of layers: it starts from nothing, and the
    first update replaces the value of `x`. Inside a layer's call it goes on from the value of `x`.
    """
    if current_scope() is not None:
        return _update(x, x * momentum + value * (1.0 - momentum))
    biased = variable(np.zeros(x.shape), x.dtype, f"{x.name}/biased")
    steps = variable(0, x.dtype, f"{x.name}/local_step")
    next_biased, next_steps = biased * momentum + value * (1.0 - momentum), steps + 1
    made = Update(x, next_biased / (1.0 - momentum**next_steps))
    made.beside = ((biased, next_biased), (steps, next_steps))
    return made


def function(inputs: Sequence[Any], outputs: Sequence[Any], updates: Sequence[Any] | None = None, **kwargs) -> Function:
    """A compiled function from the values of `inputs` to those of `outputs`, which also carries out `updates`.

    Arguments:
        inputs: a list of placeholders, inputs of models, intermediate symbols; the learning phase may be one of them.
        outputs: a list of symbols.
        updates: a list of what `update` and its like return, or of pairs (variable, next value).

    Raises:
        TypeError: if one of these is no list.
        ValueError: if there are other arguments: sessions and their options do not exist here.

    Example:
        >>> x = placeholder(shape=(2,))
        >>> function([x], [x * 2.0])([[1.0, 2.0]])[0].tolist()
        [2.0, 4.0]
    """
    if isinstance(outputs, (list, tuple)):
        outputs = [array_of(output) if isinstance(output, Sizes) else output for output in outputs]
    return Function(inputs, outputs, updates, **kwargs)


@lift
def _total(values):
    return sum(jnp.sum(value) for value in values)


def gradients(loss: Any, variables: Any) -> list:
    """The symbols of the derivatives of the sum of `loss`; None for what it does not depend on.

    Arguments:
        loss: a symbol, or a list of them, whose sums are added.
        variables: symbols (inputs, intermediate ones, variables), or a list of them.
    """
    if isinstance(loss, (list, tuple)):
        loss = loss[0] if len(loss) == 1 else _total(list(loss))
    return gradients_or_none(loss, as_list(variables))


# ----------------------------------------------------------------------------------------------------- learning phase


class _LearningPhase(SymbolicTensor):
    """The symbol for whether a computation is part of training. `value` is what `set_learning_phase` fixed, or None."""

    is_learning_phase = True
    value = None


_phase = _LearningPhase((), "bool", "keras_learning_phase:0")


def learning_phase() -> Any:
    """Whether it is training: in a layer's call a bool, elsewhere a symbol unless `set_learning_phase` fixed it."""
    scope = current_scope()
    if scope is not None:
        return scope.training
    return _phase if _phase.value is None else _phase.value


def set_learning_phase(value: int) -> None:
    """Fix what `learning_phase()` is where a graph is written, to 0 or 1. Training and prediction set their own.

    Raises:
        ValueError: if it is neither.
    """
    if value not in (0, 1):
        raise ValueError("Expected learning phase to be 0 or 1.")
    _phase.value = int(value)


@lift
def _choose(training, x, alt):
    if isinstance(training, (bool, int)):
        return x if training else alt
    return jnp.where(training, x, alt)


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """`x` while training, `alt` otherwise.

    Arguments:
        x, alt: values, or functions without arguments that return them.
        training: whether it is training, instead of `learning_phase()`.
    """
    if training is None:
        training = learning_phase()
    if isinstance(training, (bool, int, np.integer)):
        chosen = x if training else alt
        return chosen() if callable(chosen) else chosen
    return _choose(training, *(option() if callable(option) else option for option in (x, alt)))


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """`x` except while training, then `alt`; see `in_train_phase`."""
    return in_train_phase(alt, x, training=training)
