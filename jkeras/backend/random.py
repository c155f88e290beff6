"""Random draws: inside a layer's call with its key; elsewhere symbols that draw anew each time they are evaluated."""

import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras import random as keys
from jkeras.backend.variables import variable
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Node, SymbolicTensor, is_symbol, map_symbols, symbols_in, unique_name

__all__ = [
    "random_binomial",
    "random_normal",
    "random_normal_variable",
    "random_uniform",
    "random_uniform_variable",
    "truncated_normal",
]


class DrawNode(Node):
    """A draw that is made when its symbol is evaluated, with the key of that evaluation."""

    def __init__(self, draw, shape, dtype, seed):
        self.function, self.shape, self.inputs = draw, tuple(shape), symbols_in(tuple(shape))
        name = unique_name(draw.__name__)
        self.place = ("draw", name if seed is None else int(seed))
        sizes = [None if is_symbol(size) else size for size in self.shape]
        self.result = SymbolicTensor(sizes, dtype, name, self)
        self.outputs = [self.result]

    def evaluate(self, execution):
        if execution.key is None:
            raise ValueError(f"{self.result.name} draws random numbers and was given no key.")
        shape = map_symbols(execution.value, self.shape)
        execution.values[self.result] = self.function(execution.key.fold(*self.place), shape)


def _drawn(draw, shape, dtype, seed):
    """What `draw(key, shape)` draws, or the symbol of it."""
    scope = current_scope()
    shape = tuple(shape) if isinstance(shape, (list, tuple)) else tuple(np.asarray(shape))
    if scope is None:
        return DrawNode(draw, shape, dtype, seed)
    key = scope.next_key()
    return draw(key if seed is None else key.fold("seed", int(seed)), shape)


def _type(dtype) -> str:
    return str(jnp.dtype(dtype or config.floatx()))


def random_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal draws of the given shape; `seed` keeps draws of one call apart, the key decides all of them."""
    dtype = _type(dtype)

    def random_normal(key, shape):
        return keys.normal(key, shape, mean, stddev, dtype)

    return _symbol(_drawn(random_normal, shape, dtype, seed))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Uniform draws in [minval, maxval) of the given shape; see `random_normal` for `seed`."""
    dtype = _type(dtype)

    def random_uniform(key, shape):
        return keys.uniform(key, shape, minval, maxval, dtype)

    return _symbol(_drawn(random_uniform, shape, dtype, seed))


def random_binomial(shape, p=0.0, dtype=None, seed=None):
    """Ones with probability p, else zeros, of the given shape; see `random_normal` for `seed`."""
    dtype = _type(dtype)

    def random_binomial(key, shape):
        return keys.bernoulli(key, p, shape).astype(dtype)

    return _symbol(_drawn(random_binomial, shape, dtype, seed))


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal draws redrawn until within two standard deviations of the mean; see `random_normal` for `seed`."""
    dtype = _type(dtype)

    def truncated_normal(key, shape):
        return keys.truncated_normal(key, shape, mean, stddev, dtype)

    return _symbol(_drawn(truncated_normal, shape, dtype, seed))


def _symbol(drawn):
    return drawn.result if isinstance(drawn, DrawNode) else drawn


def _generator(seed) -> np.random.RandomState:
    return keys.host(keys.next_key()) if seed is None else np.random.RandomState(seed)


def random_normal_variable(shape, mean, scale, dtype=None, name=None, seed=None):
    """A variable with normal draws as its value."""
    return variable(_generator(seed).normal(mean, scale, shape), dtype, name)


def random_uniform_variable(shape, low, high, dtype=None, name=None, seed=None):
    """A variable with uniform draws in [low, high) as its value."""
    return variable(_generator(seed).uniform(low, high, shape), dtype, name)
