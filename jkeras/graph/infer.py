"""Shapes are inferred, not written twice: an abstract run of the function itself, unknown sizes as symbols."""

import contextvars
import dataclasses
import functools
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from jkeras import config

__all__ = ["Spec", "infer", "stand_in"]

#: The sizes that stand for unknown ones in the abstract run that is under way; None outside of one.
_sizes: contextvars.ContextVar[tuple | None] = contextvars.ContextVar("sizes", default=None)


@dataclasses.dataclass(frozen=True)
class Spec:
    """The shape (None where unknown) and type of a value."""

    shape: tuple
    dtype: str


@functools.cache
def _unknown_sizes() -> tuple:
    """One symbolic size per axis. Unknown sizes on the same axis of several inputs are taken to be equal."""
    return tuple(jax.export.symbolic_shape(", ".join(f"size{axis}" for axis in range(12))))


# Sizes to try where a function branches on an unknown size.
_PROBES = ((2,) + (36,) * 11, (3,) + (48,) * 11)
#: A batch of one fits beside anything that the function brings along for a batch of its own size.
_SINGLE = ((1,) + (36,) * 11, (1,) + (48,) * 11)
#: A graph's matrix is as wide as the batch, its nodes, is long.
_SQUARE = ((36,) * 12, (48,) * 12)


def _filled(shape, sizes) -> tuple:
    """`shape` with unknown sizes filled in."""
    return tuple(sizes[axis] if size is None else size for axis, size in enumerate(shape))


def _run(function, values, sizes):
    """The structs of what `function` returns where the unknown sizes of `values` are `sizes`."""
    structs = [jax.ShapeDtypeStruct(_filled(value.shape, sizes), jnp.dtype(value.dtype)) for value in values]
    with config.holding(_sizes, sizes), config.precision(value.dtype for value in values):
        return jax.eval_shape(function, *structs)


def stand_in(shape: tuple, dtype: Any) -> Any:
    """Zeros in place of a value of `shape` that is not at hand in the abstract run under way; None outside of one."""
    sizes = _sizes.get()
    return None if sizes is None else jnp.zeros(_filled(shape, sizes), jnp.dtype(dtype))


def _sizes_beside(values, sizes):
    """`sizes`, with the largest size known on an axis of any of the inputs in place of what was to be tried there."""
    known = [[value.shape[axis] for value in values if axis < len(value.shape)] for axis in range(len(sizes))]
    return tuple(
        max((one for one in found if one is not None), default=size) for found, size in zip(known, sizes, strict=True)
    )


def _paired(values) -> list:
    """`values`, the unknown sizes (of examples excepted) of one being those that another has there: first beside first,
    second beside second, as a loss is called on the outputs of a detector and on what they should be."""
    known = [value.shape for value in values if len(value.shape) > 2 and None not in value.shape[1:]]
    paired = []
    for value in values:
        shape = value.shape
        if None in shape[1:] and known:
            like = known.pop(0)
            shape = (shape[0], *(n if m is None else m for m, n in zip_longest(shape[1:], like[1 : len(shape)])))
        paired.append(Spec(shape, value.dtype))
    return paired


def _spec(struct) -> Spec:
    return Spec(tuple(size if isinstance(size, int) else None for size in struct.shape), str(struct.dtype))


def infer(function: Callable, inputs: Any):
    """What `function(*arrays)` returns for arrays like `inputs` (each with `.shape`, None where unknown, and `.dtype`).

    Returns:
        The function's result with a `Spec` in place of each array.
    """
    if all(size is not None for value in inputs for size in value.shape):
        return jax.tree.map(_spec, _run(function, inputs, _PROBES[0]))
    try:
        return jax.tree.map(_spec, _run(function, inputs, _unknown_sizes()))
    except Exception:  # A branch on an unknown size fails in as many ways as there are functions: try real sizes.
        return _tried(function, inputs)


def _tried(function, inputs):
    """`infer` by pairs of runs on real sizes: a size of the result that differs between the two is unknown."""
    # An unknown size may have to be the one that another input has on the same axis.
    beside = [_sizes_beside(inputs, sizes) for sizes in _PROBES]
    failed: list = []
    tries = [(inputs, pair) for pair in (_PROBES, beside, _SINGLE, _SQUARE)]
    for values, pair in [*tries, (_paired(inputs), _PROBES)]:
        try:
            first, second = (_run(function, values, sizes) for sizes in pair)
        except Exception as error:
            failed.append(error)
            continue

        def common(a, b, single=pair is _SINGLE):
            sizes = [m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)]
            if single and sizes[:1] == [1]:
                sizes[0] = None
            return Spec(tuple(sizes), str(a.dtype))

        return jax.tree.map(common, first, second)
    raise failed[1]
