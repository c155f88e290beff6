"""Sparse matrices: scipy's, known by what they can do, and JAX's `BCOO`. Nothing here needs scipy."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["as_bcoo", "is_bcoo", "is_scipy_sparse", "is_sparse", "joined", "takes_sparse", "to_dense", "where"]


def is_scipy_sparse(value: Any) -> bool:
    """Whether `value` is a sparse matrix or array of scipy, in any of its formats."""
    return hasattr(value, "tocoo") and hasattr(value, "toarray")


def is_bcoo(value: Any) -> bool:
    """Whether `value` is a sparse array of JAX."""
    from jax.experimental import sparse  # a tenth of a second: only who may hold one asks

    return isinstance(value, sparse.BCOO)


def is_sparse(value: Any) -> bool:
    """Whether `value` is sparse: a matrix of scipy, or a `jax.experimental.sparse.BCOO`."""
    return is_scipy_sparse(value) or (hasattr(value, "todense") and is_bcoo(value))


def takes_sparse(function: Callable) -> Callable:
    """Mark a function as one that computes with sparse arrays as they are. Others are handed dense ones."""
    function.takes_sparse = True
    return function


def to_dense(value: Any, dtype: Any = None) -> Any:
    """`value` with its zeros written out: of a scipy matrix a numpy array, of a BCOO a JAX array, else `value`.

    Arguments:
        dtype: the type of the result, that of `value` unless given.

    Example:
        >>> to_dense(np.eye(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if is_scipy_sparse(value):
        return np.asarray(value.toarray(), dtype=dtype)
    if hasattr(value, "todense") and is_bcoo(value):
        return value.todense() if dtype is None else value.todense().astype(dtype)
    return value


def as_bcoo(value: Any, dtype: Any = None) -> Any:
    """A sparse matrix of scipy, or a dense array, as a BCOO.

    The number of entries is rounded up to a power of two (with entries that lie outside and count nothing), so that
    matrices of like density share compiled programs.
    """
    from jax.experimental import sparse

    if is_bcoo(value):
        return value
    if is_scipy_sparse(value):
        coo = value.tocoo()
        places, data, shape = np.stack([coo.row, coo.col], axis=1), coo.data, coo.shape
    else:
        dense = np.asarray(value)
        places, shape = np.argwhere(dense), dense.shape
        data = dense[tuple(places.T)]
    missing = (1 << max(len(data) - 1, 0).bit_length()) - len(data)
    places = np.concatenate([places, np.broadcast_to(np.asarray(shape), (missing, len(shape)))]).astype(np.int32)
    data = np.concatenate([data, np.zeros(missing, data.dtype)]).astype(data.dtype if dtype is None else dtype)
    return sparse.BCOO((jnp.asarray(data), jnp.asarray(places)), shape=tuple(map(int, shape)))


def joined(values: Sequence[Any], axis: int) -> Any:
    """BCOO arrays one behind the other along `axis`, as one BCOO."""
    from jax.experimental import sparse

    return sparse.bcoo_concatenate(list(values), dimension=axis % values[0].ndim)


def where(condition: jax.Array, array: jax.Array) -> Any:
    """The entries of `array` for which `condition` holds, as a BCOO; both may be traced."""
    from jax.experimental import sparse

    places = jnp.stack(jnp.meshgrid(*map(jnp.arange, array.shape), indexing="ij"), axis=-1)
    places = jnp.where(condition[..., None], places, jnp.asarray(array.shape))  # outside: does not count
    data = jnp.where(condition, array, 0).reshape(-1)
    return sparse.BCOO((data, places.reshape(-1, array.ndim)), shape=array.shape)
