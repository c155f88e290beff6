"""What the tests draw and compare with. A comparison of nothing with nothing fails."""

import jax
import numpy as np


def draw(*shape, seed=0):
    """Normal numbers, always the same for one shape and seed."""
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


def numbers(tree) -> list:
    """The leaves of a tree as arrays, None among them. Fails if they hold no number at all."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda leaf: leaf is None)
    arrays = [leaf if leaf is None else np.asarray(leaf) for leaf in leaves]
    assert any(array is not None and array.size for array in arrays), f"There is nothing to compare in {tree!r}."
    return arrays


def pairs(found, expected) -> list:
    """The arrays of two trees, side by side. Fails if one has leaves, Nones or shapes that the other has not."""
    together = list(zip(numbers(found), numbers(expected), strict=True))
    for place, (one, other) in enumerate(together):
        shapes = [None if array is None else array.shape for array in (one, other)]
        assert shapes[0] == shapes[1], f"leaf {place}: {shapes[0]} is not {shapes[1]}"
    return [(one, other) for one, other in together if one is not None]


def close(found, expected, tolerance=1e-5, *, rtol=None, atol=None, err_msg=""):
    """Fails unless two trees hold the same numbers, within the tolerance; NaN is near to nothing."""
    limits = {"rtol": tolerance if rtol is None else rtol, "atol": tolerance if atol is None else atol}
    for one, other in pairs(found, expected):
        np.testing.assert_allclose(one, other, equal_nan=False, err_msg=err_msg, **limits)


def same_bits(first, second) -> bool:
    """Whether all numbers of two trees of one form are equal."""
    return all(np.array_equal(one, other) for one, other in pairs(first, second))
