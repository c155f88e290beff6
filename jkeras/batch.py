"""What reaches across the examples of a batch: a mean over all of them, and an example's place among them.

Layers do not know that devices exist. When a step is mapped over devices, each traces on its share of the batch under
the named axis `"batch"`; the few questions whose answer needs the whole batch are asked here.
"""

import contextvars
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jkeras import config

__all__ = ["AXIS", "first_place", "gathered", "mapped", "mean", "means", "shards", "whole"]

AXIS = "batch"
_shards: contextvars.ContextVar[int | None] = contextvars.ContextVar("shards", default=None)


def mapped(shards: int) -> AbstractContextManager:
    """Say that what is traced inside runs on `shards` equal parts of a batch, under the axis named "batch"."""
    return config.holding(_shards, shards)


def gathered() -> AbstractContextManager:
    """Say that what is computed inside has been given the `whole` batch: nothing reaches across parts there."""
    return config.holding(_shards, None)


def shards() -> int:
    """Into how many equal parts the batch is split where we are: 1 outside a mapped step."""
    return _shards.get() or 1


def mean(value: Any):
    """The mean of `value` over the parts of the batch: `value` itself outside a mapped step."""
    return value if _shards.get() is None else lax.pmean(value, AXIS)


def means(tree: Any):
    """`mean` of every leaf, in one collective per dtype instead of one per leaf."""
    if _shards.get() is None:
        return tree
    leaves, treedef = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    by_dtype: dict = {}
    for index, leaf in enumerate(leaves):
        by_dtype.setdefault(leaf.dtype, []).append(index)
    for dtype, indices in by_dtype.items():
        flat = lax.pmean(jnp.concatenate([leaves[i].ravel() for i in indices]), AXIS).astype(dtype)
        start = 0
        for i in indices:
            stop = start + leaves[i].size
            leaves[i] = flat[start:stop].reshape(leaves[i].shape)
            start = stop
    return jax.tree.unflatten(treedef, leaves)


def whole(tree: Any):
    """Every array of `tree`, of which each part of the batch has its examples, with the examples of all parts."""
    if _shards.get() is None:
        return tree
    return jax.tree.map(lambda array: lax.all_gather(array, AXIS, tiled=True) if jnp.ndim(array) else array, tree)


def first_place(local_size: Any):
    """The place, in the whole batch, of the first of this part's `local_size` examples."""
    return 0 if _shards.get() is None else lax.axis_index(AXIS) * local_size
