"""Sizes: what `K.shape` gives.

In Keras 2 a shape is a tensor of integers: one multiplies it, cuts it, joins it, and has things reshaped to it. XLA
wants to know all sizes when it compiles. So `K.shape` gives `Sizes`, a tuple of integers that computes as a vector
does, and as long as only sizes and integers enter, what comes out are sizes again. A size is

* an integer, where it is known;
* a symbolic dimension of JAX, where a function is traced for unknown sizes;
* outside of traced code a `Size`: the symbol of a size that is not known yet, which is an integer wherever it has a
  value.

Anything else that is done with them (a cast to float, a product with an array) turns them into an ordinary int32 array.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jkeras.graph.tensor import Node, SymbolicTensor, map_symbols, symbols_in, unique_name
from jkeras.lift import Symbol, lift

__all__ = [
    "Size",
    "Sizes",
    "are_sizes",
    "array_of",
    "as_shape",
    "count_params",
    "int_shape",
    "is_size",
    "ndim",
    "product",
    "shape",
]


@functools.cache
def _dimension() -> type:
    """The class of JAX's symbolic dimensions."""
    return type(jax.export.symbolic_shape("n")[0])


def is_size(value: Any) -> bool:
    """Whether `value` is an integer, a symbolic dimension or a `Size`."""
    if isinstance(value, (int, np.integer)):
        return not isinstance(value, bool)
    return isinstance(value, (Size, _dimension()))


def are_sizes(values: Any) -> bool:
    """Whether `values` is a list or tuple of sizes, or a numpy vector of integers."""
    if isinstance(values, np.ndarray):
        return values.ndim == 1 and np.issubdtype(values.dtype, np.integer)
    return isinstance(values, (list, tuple)) and all(map(is_size, values))


class _SizeNode(Node):
    """A computation of a size from symbols: it is known as soon as their shapes are."""

    def __init__(self, function: Callable, args: tuple):
        self.function, self.args, self.kwargs = function, args, {}
        self.inputs = symbols_in(args)
        self.result = Size((), "int32", unique_name("size"), self)
        self.outputs = [self.result]

    def inferred(self, known: dict) -> Any:
        """The size where the symbols that it depends on stand for the arrays of `known`."""
        return self.function(*map_symbols(lambda symbol: symbol.inferred(known), self.args))


class Size(SymbolicTensor):
    """The symbol of a size that is not known yet: an int32 scalar that may stand in shapes."""

    @property
    def roots(self) -> list:
        return list(dict.fromkeys(root for symbol in self.node.inputs for root in symbol.roots))

    def inferred(self, known: dict) -> Any:
        return self.node.inferred(known)


def _exact(function: Callable, *args: Any) -> Any:
    """`function` of sizes: a size."""
    return _SizeNode(function, args).result if any(isinstance(arg, Size) for arg in args) else function(*args)


def _size_operators(name: str) -> None:
    function, usual = getattr(operator, name), getattr(SymbolicTensor, f"__{name}__")
    usual_reflected = getattr(SymbolicTensor, f"__r{name}__")

    def method(self, other):
        return _exact(function, self, other) if is_size(other) else usual(self, other)

    def reflected(self, other):
        return _exact(function, other, self) if is_size(other) else usual_reflected(self, other)

    setattr(Size, f"__{name}__", method)
    setattr(Size, f"__r{name}__", reflected)


class Sizes(tuple):
    """A vector of sizes. It computes as an int32 vector does, and may be given wherever a shape is wanted.

    Example:
        >>> sizes = shape(np.zeros((2, 8, 8, 3)))[1:3] * 32
        >>> sizes
        Sizes((256, 256))
        >>> np.zeros(sizes).shape
        (256, 256)
    """

    dtype, ndim = np.dtype("int32"), 1

    @property
    def shape(self) -> tuple:
        return (len(self),)

    def __repr__(self):
        return f"Sizes({tuple(self)})"

    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        return Sizes(found) if isinstance(where, slice) else found

    def __array__(self, dtype=None, copy=None):
        return np.array(tuple(self), dtype or "int32")

    def __jax_array__(self):
        return jnp.stack([jnp.asarray(size, jnp.int32) for size in self]) if self else jnp.zeros((0,), jnp.int32)

    #: So that `array * sizes` asks the sizes.
    __array_ufunc__ = None


@lift
def _array(sizes):
    return jnp.asarray(sizes)


def array_of(sizes: Any) -> Any:
    """Sizes as the array, or the symbol of the array, that they are."""
    return _array(sizes)


def _sizes_operators(name: str) -> None:
    function = getattr(operator, name)

    def joined(first, second):
        """Elementwise, one of them a `Sizes`; None if they are not both sizes."""
        if is_size(first):
            first = [first] * len(second)
        if is_size(second):
            second = [second] * len(first)
        if not (are_sizes(first) and are_sizes(second)):
            return None
        if len(first) != len(second) and 1 in (len(first), len(second)):
            first, second = (
                part * max(len(first), len(second)) if len(part) == 1 else part for part in (list(first), list(second))
            )
        return Sizes(_exact(function, a, b) for a, b in zip(first, second, strict=True))

    def plain(value):
        return jnp.asarray(value) if isinstance(value, (list, tuple)) and not symbols_in(value) else value

    def method(self, other):
        sizes = joined(self, other)
        return function(array_of(self), plain(other)) if sizes is None else sizes

    def reflected(self, other):
        sizes = joined(other, self)
        return function(plain(other), array_of(self)) if sizes is None else sizes

    setattr(Sizes, f"__{name}__", method)
    setattr(Sizes, f"__r{name}__", reflected)


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    _size_operators(_name)
    _sizes_operators(_name)


def _true_division(self, other):
    return array_of(self) / (array_of(other) if isinstance(other, Sizes) else other)


Sizes.__truediv__ = _true_division
Sizes.__rtruediv__ = lambda self, other: other / array_of(self)


def as_shape(sizes: Any) -> tuple:
    """What was handed over as a shape (a list, tuple or vector, or one number), as JAX takes it: a tuple of sizes.

    Raises:
        TypeError: if one of them is only known when the compiled program runs.
    """
    if isinstance(sizes, jax.core.Tracer):
        raise TypeError(_NOT_A_SIZE.format(sizes))
    return tuple(map(_as_size, sizes if isinstance(sizes, (list, tuple)) or np.ndim(sizes) else [sizes]))


_NOT_A_SIZE = (
    "{!r} is no size: XLA compiles for fixed sizes, and this number is only known when the program runs. Compute sizes "
    "from K.shape, K.int_shape and integers, with + - * // %, K.stack, K.concatenate and K.prod."
)


def _as_size(value):
    if is_size(value):
        return value if isinstance(value, _dimension()) else int(value)
    if isinstance(value, jax.core.Tracer) or np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.integer):
        raise TypeError(_NOT_A_SIZE.format(value))
    return int(value)


def product(sizes: Sequence[Any]) -> Any:
    """The product of sizes: a size."""
    return _exact(lambda *parts: math.prod(parts), *sizes)


# ----------------------------------------------------------------------------------------------- asking for sizes


def _size(x, axis):
    return jnp.shape(x)[axis]


def shape(x: Any) -> Sizes:
    """The sizes of `x`, a vector: of what is known integers, of what is not their symbols.

    Example:
        >>> from jkeras.graph.tensor import SymbolicTensor
        >>> x = SymbolicTensor((None, 4), "float32")
        >>> shape(x)[1] * 2
        8
    """
    if isinstance(x, SymbolicTensor):
        here = x.traced()
        if here is None:
            return Sizes(_SizeNode(_size, (x, axis)).result if n is None else n for axis, n in enumerate(x.shape))
        x = here
    return Sizes(x.__jax_array__().shape if isinstance(x, Symbol) else np.shape(x))


def int_shape(x: Any) -> tuple:
    """The sizes of `x`, None where unknown."""
    sizes = x._keras_shape if isinstance(x, Symbol) else x.shape if hasattr(x, "shape") else np.shape(x)
    return tuple(None if size is None or isinstance(size, _dimension()) else int(size) for size in sizes)


def ndim(x: Any) -> int:
    """How many axes `x` has."""
    return len(int_shape(x))


def count_params(x: Any) -> int:
    """How many numbers `x` has."""
    return int(np.prod(int_shape(x)))
