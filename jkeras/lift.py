"""Lifting: a function written for arrays, given a symbol, makes a node of the graph instead of computing.

A *symbol* is a value that does not exist yet (an `Input`, a layer's output, a weight). The functions that users write
models with (activations, losses, the backend) are written once, for arrays, and decorated with `lift`: on arrays they
compute, on symbols they ask the symbol to remember the call. What a remembered call looks like is the graph's business.
"""

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import jax

__all__ = ["Shape", "Symbol", "instances", "lift", "lifted", "map_nest"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Shape(tuple):
    """The sizes of a value. What is None in `as_list()` is not known to the model (the batch size, say), even where
    the sizes themselves are those of one run.

    Arguments:
        sizes: the sizes.
        known: a function without arguments that returns those known to the model; they are `sizes` unless given.
    """

    def __new__(cls, sizes: Iterable, known: Callable | None = None):
        self = super().__new__(cls, sizes)
        self._known = known
        return self

    def as_list(self) -> list:
        """The sizes as a list, None where the model does not know them."""
        return list(self if self._known is None else self._known())

    def __reduce__(self):
        return Shape, (tuple(self),)

    @property
    def ndims(self) -> int:
        return len(self)


class Symbol(jax.Array if TYPE_CHECKING else object):  # a type checker lets it stand wherever an array may
    """A value that does not exist yet. The graph's tensors derive from it."""

    def __lift__(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Remember `function(*args, **kwargs)`, one of whose arguments is this symbol; return the result's
        symbol(s)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a call on it is remembered.")

    def traced(self) -> Any:
        """In the code that is being traced, the array that stands for this symbol there; None if there is none."""
        raise NotImplementedError(f"{type(self).__name__} does not say what stands for it.")


def map_nest(function: Callable, nest: Any, kind: type) -> Any:
    """`nest` (lists, tuples and dicts of anything) with `function` applied to each instance of `kind` in it."""
    if isinstance(nest, kind):
        return function(nest)
    if isinstance(nest, (list, tuple)) and not hasattr(nest, "_fields"):
        parts = [map_nest(function, value, kind) for value in nest]
        return parts if isinstance(nest, list) else tuple(parts)
    if isinstance(nest, dict):
        return {key: map_nest(function, value, kind) for key, value in nest.items()}
    return nest


def instances(nest: Any, kind: Any) -> list:
    """The instances of `kind` in `nest` (as `map_nest` walks it), in order."""
    found: list = []
    map_nest(found.append, nest, kind)
    return found


def _first_symbol(values):
    for value in values:
        if isinstance(value, Symbol):
            return value
        if isinstance(value, (list, tuple)):
            found = _first_symbol(value)
            if found is not None:
                return found
    return None


def lift(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let `function`, written for arrays, also accept symbols among its arguments (also inside lists and tuples).

    Example:
        >>> @lift
        ... def double(x):
        ...     return 2 * x
        >>> double(3)
        6
    """

    @functools.wraps(function)
    def lifted(*args, **kwargs):
        symbol = _first_symbol(args)
        if symbol is None:
            symbol = _first_symbol(kwargs.values())
        if symbol is None:
            return function(*args, **kwargs)
        return symbol.__lift__(function, args, kwargs)

    return lifted


def lifted(name: str, documentation: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """`lift` for one of a family of functions that another function makes: with a name and documentation of its own."""

    def with_name(function):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = documentation
        return lift(function)

    return with_name
