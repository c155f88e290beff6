"""Random draws: inside a layer's call with its key; elsewhere symbols that draw anew each time they are evaluated."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras import random as keys
from jkeras.backend.variables import variable
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Node, SymbolicTensor, Variable, is_symbol, map_symbols, symbols_in, unique_name
from jkeras.graph.value import new_value
from jkeras.typing import Array, DType, DTypeLike, Function, Name, Seed


class DrawNode(Node):
    """A draw that is made when its symbol is evaluated, with the key of that evaluation."""

    def __init__(self, stem: str, draw: Function, shape: Sequence[Any], dtype: DTypeLike, seed: Seed):
        self.function, self.shape, self.inputs = draw, tuple(shape), symbols_in(tuple(shape))
        name = unique_name(stem)
        # As in Keras, numpy's generator says which draw it is: the same script draws the same again.
        self.has_seed = seed is not None
        self.place = ("draw", keys.next_number() if seed is None else int(seed))
        sizes = [None if is_symbol(size) else size for size in self.shape]
        self.result = SymbolicTensor(sizes, dtype, name, self)
        self.outputs = [self.result]

    def evaluate(self, execution: Any) -> None:
        if execution.key is None:
            raise ValueError(f"{self.result.name} draws random numbers and was given no key.")
        shape = map_symbols(execution.value, self.shape)
        execution.values[self.result] = self.function(execution.key.fold(*self.place), shape)


def _drawn(stem, draw, parameters, shape, dtype, seed):
    """What `draw(key, shape, *parameters, dtype)` draws inside a layer's call, elsewhere the symbol of it."""
    scope = current_scope()
    dtype = str(jnp.dtype(dtype or config.floatx()))
    shape = tuple(shape) if isinstance(shape, (list, tuple)) else tuple(np.asarray(shape))

    def drawn(key, shape):
        return draw(key, shape, *parameters, dtype)

    if scope is None:
        return DrawNode(stem, drawn, shape, dtype, seed).result
    key = scope.next_key()
    return new_value(drawn(key if seed is None else key.fold("seed", int(seed)), shape))


def random_normal(
    shape: Sequence[Any], mean: float = 0.0, stddev: float = 1.0, dtype: DType = None, seed: Seed = None
) -> Array:
    """Normal draws of the given shape; `seed` keeps draws of one call apart, the key decides all of them."""
    return _drawn("random_normal", keys.normal, (mean, stddev), shape, dtype, seed)


def random_uniform(
    shape: Sequence[Any], minval: float = 0.0, maxval: float = 1.0, dtype: DType = None, seed: Seed = None
) -> Array:
    """Uniform draws in [minval, maxval) of the given shape; see `random_normal` for `seed`."""
    return _drawn("random_uniform", keys.uniform, (minval, maxval), shape, dtype, seed)


def _binomial(key, shape, p, dtype):
    return keys.bernoulli(key, p, shape).astype(dtype)


def random_binomial(shape: Sequence[Any], p: float = 0.0, dtype: DType = None, seed: Seed = None) -> Array:
    """Ones with probability p, else zeros, of the given shape; see `random_normal` for `seed`."""
    return _drawn("random_binomial", _binomial, (p,), shape, dtype, seed)


def truncated_normal(
    shape: Sequence[Any], mean: float = 0.0, stddev: float = 1.0, dtype: DType = None, seed: Seed = None
) -> Array:
    """Normal draws redrawn until within two standard deviations of the mean; see `random_normal` for `seed`."""
    return _drawn("truncated_normal", keys.truncated_normal, (mean, stddev), shape, dtype, seed)


def _generator(seed) -> np.random.RandomState:
    return keys.host(keys.next_key()) if seed is None else np.random.RandomState(seed)


def random_normal_variable(
    shape: Sequence[int], mean: float, scale: float, dtype: DType = None, name: Name = None, seed: Seed = None
) -> Variable:
    """A variable with normal draws as its value."""
    return variable(_generator(seed).normal(mean, scale, shape), dtype, name)


def random_uniform_variable(
    shape: Sequence[int], low: float, high: float, dtype: DType = None, name: Name = None, seed: Seed = None
) -> Variable:
    """A variable with uniform draws in [low, high) as its value."""
    return variable(_generator(seed).uniform(low, high, shape), dtype, name)
