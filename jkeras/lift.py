"""Lifting: a function written for arrays, given a symbol, makes a node of the graph instead of computing.

A *symbol* is a value that does not exist yet (an `Input`, a layer's output, a weight). The functions that users write
models with (activations, losses, the backend) are written once, for arrays, and decorated with `lift`: on arrays they
compute, on symbols they ask the symbol to remember the call. What a remembered call looks like is the graph's business.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import jax

__all__ = ["Symbol", "lift", "lifted"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Symbol(jax.Array if TYPE_CHECKING else object):  # a type checker lets it stand wherever an array may
    """A value that does not exist yet. The graph's tensors derive from it."""

    def __lift__(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Remember `function(*args, **kwargs)`, one of whose arguments is this symbol; return the result's
        symbol(s)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a call on it is remembered.")


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
