"""Elementwise functions, reductions, comparisons and linear algebra, for arrays and symbols."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jkeras import config, sparse
from jkeras.backend.sizes import Sizes, is_size, product
from jkeras.layers.merge import batch_dot as _batch_dot
from jkeras.lift import lift, lifted
from jkeras.losses import absolute
from jkeras.metrics import in_top_k as in_top_k
from jkeras.typing import Array, ArrayLike, Axes, DTypeLike, Ints, Name, Tree


def _elementwise(name, function, formula):
    @lifted(name, f"{formula}, elementwise.")
    def elementwise(x: ArrayLike) -> Array:
        return function(jnp.asarray(x))

    return elementwise


abs = _elementwise("abs", absolute, "|x|")
square = _elementwise("square", jnp.square, "x^2")
exp = _elementwise("exp", jnp.exp, "e^x")
log = _elementwise("log", jnp.log, "The natural logarithm of x")
sin = _elementwise("sin", jnp.sin, "sin(x)")
cos = _elementwise("cos", jnp.cos, "cos(x)")
sign = _elementwise("sign", jnp.sign, "-1, 0 or 1, the sign of x")
round = _elementwise("round", jnp.round, "x to the nearest integer, halves to the even one")
sqrt = _elementwise("sqrt", lambda x: jnp.sqrt(jnp.where(x < 0, 0, x)), "The square root of x, of negative ones 0")


def _comparison(name, function, symbol):
    @lifted(name, f"x {symbol} y, elementwise: an array of bool.")
    def comparison(x: ArrayLike, y: ArrayLike) -> Array:
        return function(jnp.asarray(x), jnp.asarray(y))

    return comparison


equal = _comparison("equal", jnp.equal, "==")
not_equal = _comparison("not_equal", jnp.not_equal, "!=")
greater = _comparison("greater", jnp.greater, ">")
greater_equal = _comparison("greater_equal", jnp.greater_equal, ">=")
less = _comparison("less", jnp.less, "<")
less_equal = _comparison("less_equal", jnp.less_equal, "<=")


@lift
def maximum(x: ArrayLike, y: ArrayLike) -> Array:
    """The larger of x and y, elementwise; where they are equal the gradient goes to x."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.where(x >= y, x, y)


@lift
def minimum(x: ArrayLike, y: ArrayLike) -> Array:
    """The smaller of x and y, elementwise; where they are equal the gradient goes to x."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.where(x <= y, x, y)


@lift
def pow(x: ArrayLike, a: ArrayLike) -> Array:
    """x^a, elementwise."""
    return jnp.power(jnp.asarray(x), a)


@lift
def clip(x: ArrayLike, min_value: ArrayLike | None, max_value: ArrayLike | None) -> Array:
    """x, at least `min_value` and at most `max_value` (None: no bound), elementwise."""
    x = jnp.asarray(x)
    if isinstance(min_value, (int, float)) and isinstance(max_value, (int, float)) and max_value < min_value:
        max_value = min_value
    if max_value is not None:
        x = jnp.where(x > max_value, jnp.asarray(max_value, x.dtype), x)
    return x if min_value is None else jnp.where(x < min_value, jnp.asarray(min_value, x.dtype), x)


def cast(x: ArrayLike, dtype: DTypeLike) -> Any:
    """x as another type; in 64 bits only where these are enabled, as by `K.set_floatx('float64')`. Sizes stay sizes
    where the type is one of integers."""
    dtype = jnp.dtype(dtype)
    if (isinstance(x, Sizes) or is_size(x)) and jnp.issubdtype(dtype, jnp.integer):
        return dtype.type(x) if isinstance(x, int) else x
    return _cast(x, str(dtype))


@lift
def _cast(x, dtype):
    return jnp.asarray(x).astype(jax.dtypes.canonicalize_dtype(dtype))


@lift
def identity(x: ArrayLike, name: Name = None) -> Array:
    """x."""
    return jnp.asarray(x)


@lift
def stop_gradient(variables: Tree) -> Tree:
    """The same values (one or a list), of which gradients take no notice."""
    return jax.tree.map(lax.stop_gradient, variables)


# ------------------------------------------------------------------------------------------------------- reductions


def _axes(axis):
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def _reduction(name, function, text):
    @lifted(name, f"{text} along `axis`: an integer, a list of them, or None for all.")
    def reduction(x: ArrayLike, axis: Axes = None, keepdims: bool = False) -> Array:
        return function(jnp.asarray(x), axis=_axes(axis), keepdims=keepdims)

    return reduction


def _float(x):
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(config.floatx())


def _product(x, axis, keepdims):
    return jnp.prod(x, axis=axis, keepdims=keepdims)


def _variance(x, axis, keepdims):
    x = _float(x)
    return jnp.mean(jnp.square(x - jnp.mean(x, axis=axis, keepdims=True)), axis=axis, keepdims=keepdims)


max = _reduction("max", jnp.max, "The largest value")
min = _reduction("min", jnp.min, "The smallest value")
sum = _reduction("sum", jnp.sum, "The sum")
_prod = _reduction("prod", _product, "The product")
mean = _reduction("mean", lambda x, **where: jnp.mean(_float(x), **where), "The mean")
var = _reduction("var", _variance, "The variance")
std = _reduction("std", lambda x, **where: jnp.sqrt(_variance(x, **where)), "The standard deviation")
any = _reduction("any", lambda x, **where: jnp.any(x.astype(bool), **where), "Whether any is true (not zero)")
all = _reduction("all", lambda x, **where: jnp.all(x.astype(bool), **where), "Whether all are true (not zero)")
logsumexp = _reduction("logsumexp", jax.nn.logsumexp, "log(sum(exp(x)))")


def prod(x: ArrayLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """The product along `axis`: an integer, a list of them, or None for all. That of sizes is a size."""
    return product(x) if isinstance(x, Sizes) and not keepdims else _prod(x, axis, keepdims)


@lift
def argmax(x: ArrayLike, axis: int = -1) -> Array:
    """The place of the largest value along `axis`."""
    return jnp.argmax(jnp.asarray(x), axis=axis)


@lift
def argmin(x: ArrayLike, axis: int = -1) -> Array:
    """The place of the smallest value along `axis`."""
    return jnp.argmin(jnp.asarray(x), axis=axis)


@lift
def cumsum(x: ArrayLike, axis: int = 0) -> Array:
    """The sum of all values up to here along `axis`."""
    return jnp.cumsum(jnp.asarray(x), axis=axis)


@lift
def cumprod(x: ArrayLike, axis: int = 0) -> Array:
    """The product of all values up to here along `axis`."""
    return jnp.cumprod(jnp.asarray(x), axis=axis)


@lift
def l2_normalize(x: ArrayLike, axis: Axes = None) -> Array:
    """x / sqrt(max(sum(x^2), 1e-12)), the sum taken along `axis`."""
    x = jnp.asarray(x)
    return x * lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=_axes(axis), keepdims=True), 1e-12))


# --------------------------------------------------------------------------------------------------- linear algebra


@lift
@sparse.takes_sparse
def dot(x: ArrayLike, y: ArrayLike) -> Array:
    """The sum of products over the last axis of x and the last but one of y (the only one of a vector).

    A sparse x (as `K.placeholder(sparse=True)` is) is multiplied as it is.
    """
    if sparse.is_sparse(x):
        return sparse.as_bcoo(x) @ jnp.asarray(y)
    return jnp.dot(jnp.asarray(x), jnp.asarray(y))


@lift
def batch_dot(x: ArrayLike, y: ArrayLike, axes: Ints | None = None) -> Array:
    """For each example, the sum of products over one axis of x and one of y.

    Arguments:
        x, y: arrays of two or more axes, the first one the batch.
        axes: the axis of x and that of y, or one integer for both; by default the last of x, last but one of y.

    Raises:
        ValueError: if an axis of x or y is a list.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    axes = (axes, axes) if isinstance(axes, int) else (x.ndim - 1, y.ndim - 2) if axes is None else tuple(axes)
    for axis in axes:
        if not isinstance(axis, int):
            raise ValueError(
                f"Multiple target dimensions are not supported. Expected: None, int, (int, int), Provided: {axes}"
            )
    return _batch_dot(x, y, axes)


@lift
def transpose(x: ArrayLike) -> Array:
    """x with the axes in reverse order."""
    return jnp.transpose(jnp.asarray(x))
