"""What is fed to a step: batches of what users pass, in which what symbols give is computed when its turn comes."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax

from jkeras.data import arrays, feeding
from jkeras.data.checks import whole_number
from jkeras.graph.function import Function
from jkeras.train.dispatch import RESIDENT_BYTES

__all__ = ["batches_of", "computed"]


@functools.lru_cache(maxsize=32)
def _together(*symbols):
    return Function([], symbols)


def computed(data: Any) -> Any:
    """`data` as arrays that a step takes: what symbols give is computed, all at once; lazy arrays are read."""
    symbols = [leaf.symbol for leaf in jax.tree.leaves(data) if isinstance(leaf, arrays.Computed)]
    values = iter(_together(*symbols)([]) if symbols else ())

    def at_hand(leaf):
        if isinstance(leaf, arrays.Computed):
            return next(values)
        return leaf[0 : leaf.shape[0]] if arrays.is_lazy(leaf) else leaf

    return jax.tree.map(at_hand, data)


def batches_of(
    data: Any, batch_size: int | None, steps: int | None, argument: str, order: Callable | None = None,
    resident: bool = True,
) -> Any:  # fmt: skip
    """The source of the batches of a pass over `data`.

    Arguments:
        data: nests of what `data.arrays` makes of what users pass.
        batch_size: examples per batch, 32 unless given; None with `steps`.
        steps: how often all of the data make a batch; None for batches of rows.
        argument: what the user calls `steps`.
        order: see `data.feeding.Arrays`.
        resident: whether data that fit may lie on the device.

    Raises:
        ValueError: if both are given, one is no count, or `steps` is needed: symbols do not say how many rows they
            have.
    """
    leaves = jax.tree.leaves(data)
    symbolic = [leaf for leaf in leaves if isinstance(leaf, arrays.Computed)]
    if steps is None and len(symbolic) == len(leaves):
        raise ValueError(
            f"If your data is in the form of symbolic tensors, you should specify the `{argument}` argument (instead "
            "of the `batch_size` argument): each batch is what they give."
        )
    if steps is not None and batch_size is not None:
        raise ValueError(f"If `{argument}` is set, the `batch_size` must be None.")
    if steps is not None:
        steps = whole_number(steps, argument, 1)
        source: Any = feeding.Batches(lambda: itertools.repeat(data, steps), steps)
        return feeding.Mapped(source, computed)
    examples = next(leaf.shape[0] for leaf in leaves if not isinstance(leaf, arrays.Computed))
    size = min(32 if batch_size is None else whole_number(batch_size, "batch_size", 1), examples)
    if resident:
        source = feeding.Arrays(data, size, order, RESIDENT_BYTES)
    else:
        slices = arrays.batch_slices(examples, size)
        rows = lambda: (arrays.slice_rows(data, *each) for each in slices)  # noqa: E731
        source = feeding.Batches(rows, len(slices), examples)
    return feeding.Mapped(source, computed) if symbolic else source
