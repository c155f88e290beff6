"""Layers that make one output of several inputs, and the functions that call them."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jkeras.graph.layer import Layer
from jkeras.layers.arguments import Axis, keeps_arguments

__all__ = [
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract", "add", "average",
    "batch_dot", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract",
]  # fmt: skip


def _shapes(layer: Layer, input_shape) -> list:
    """`input_shape`, which must be a list of two shapes or more."""
    if not isinstance(input_shape, (list, tuple)) or not isinstance(input_shape[0], (list, tuple)):
        raise ValueError(
            f"Layer {layer.name}: a `{type(layer).__name__}` layer should be called on a list of at least 2 inputs. "
            f"Received one input of shape {input_shape}."
        )
    return [tuple(shape) for shape in input_shape]


def _broadcast(first, second):
    """The shape of an elementwise result of two shapes (without batch axis); None where unknown."""
    if len(first) < len(second):
        first, second = second, first
    sizes = list(first[: len(first) - len(second)])
    for one, other in zip(first[len(sizes) :], second, strict=True):
        if None in (one, other):
            sizes.append(None)
        elif 1 in (one, other) or one == other:
            sizes.append(other if one == 1 else one)
        else:
            raise ValueError(f"Operands could not be broadcast together with shapes {tuple(first)} {tuple(second)}")
    return tuple(sizes)


def _same_rank(arrays) -> list:
    """`arrays` with axes of size 1 put in after the batch axis, until all have as many axes."""
    rank = max(array.ndim for array in arrays)
    return [array.reshape((array.shape[0],) + (1,) * (rank - array.ndim) + array.shape[1:]) for array in arrays]


def _given(layer: Layer, inputs, mask) -> list:
    """The masks that are not None, of a list with one for each input."""
    if mask is None:
        return []
    if not (isinstance(mask, (list, tuple)) and isinstance(inputs, (list, tuple)) and len(mask) == len(inputs)):
        raise ValueError(
            f"Layer {layer.name}: `inputs` and `mask` must be lists of one length. Received: {inputs!r} and {mask!r}."
        )
    return [part for part in mask if part is not None]


class _Merge(Layer):
    """An elementwise function of several inputs: a variant defines `_merge_function(inputs)`.

    Inputs broadcast; to one with fewer axes, axes of size 1 are added after the batch axis.
    """

    supports_masking = True
    masks_by_masks = True

    def _merge_function(self, inputs):
        raise NotImplementedError(f"{type(self).__name__} does not define `_merge_function(self, inputs)`.")

    def declare(self, input_shape: Any):
        shapes = _shapes(self, input_shape)
        if len({shape[0] for shape in shapes} - {None}) > 1:
            raise ValueError(
                f"Layer {self.name}: can not merge tensors with different batch sizes. Got tensors with shapes: "
                f"{shapes}"
            )
        try:
            functools.reduce(_broadcast, [shape[1:] for shape in shapes])
        except ValueError as error:
            raise ValueError(f"Layer {self.name} ({type(self).__name__}): {error}") from None
        return {}, {}

    def assert_input_compatibility(self, shapes: Sequence):
        _shapes(self, shapes if len(shapes) > 1 else shapes[0])

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return self._merge_function(_same_rank(inputs)), state

    def compute_mask(self, inputs: Any, mask: Any = None):
        masks = _given(self, inputs, mask)
        return functools.reduce(jnp.logical_and, _same_rank(masks)) if masks else None


class Add(_Merge):
    """The sum of the inputs.

    Input shape: a list of shapes that broadcast. Output shape: what they broadcast to.

    Example:
        >>> Add().apply({}, {}, [jnp.ones((1, 2)), jnp.ones((1, 2))])[0].tolist()
        [[2.0, 2.0]]
    """

    def _merge_function(self, inputs):
        return functools.reduce(operator.add, inputs)


class Subtract(_Merge):
    """The first input minus the second.

    Input shape: a list of two shapes that broadcast. Output shape: what they broadcast to.

    Raises:
        ValueError: if there are not two inputs.
    """

    def declare(self, input_shape: Any):
        if len(_shapes(self, input_shape)) != 2:
            raise ValueError(
                f"Layer {self.name}: a `Subtract` layer should be called on exactly 2 inputs. Got {len(input_shape)}."
            )
        return super().declare(input_shape)

    def _merge_function(self, inputs):
        minuend, subtrahend = inputs
        return minuend - subtrahend


class Multiply(_Merge):
    """The product of the inputs, elementwise.

    Input shape: a list of shapes that broadcast. Output shape: what they broadcast to.
    """

    def _merge_function(self, inputs):
        return functools.reduce(operator.mul, inputs)


class Average(_Merge):
    """The mean of the inputs.

    Input shape: a list of shapes that broadcast. Output shape: what they broadcast to.
    """

    def _merge_function(self, inputs):
        return functools.reduce(operator.add, inputs) / len(inputs)


class Maximum(_Merge):
    """The largest of the inputs, elementwise. Of equal ones the first gets the gradient.

    Input shape: a list of shapes that broadcast. Output shape: what they broadcast to.
    """

    def _merge_function(self, inputs):
        return functools.reduce(lambda x, y: jnp.where(x < y, y, x), inputs)


class Minimum(_Merge):
    """The smallest of the inputs, elementwise. Of equal ones the first gets the gradient.

    Input shape: a list of shapes that broadcast. Output shape: what they broadcast to.
    """

    def _merge_function(self, inputs):
        return functools.reduce(lambda x, y: jnp.where(x > y, y, x), inputs)


class Concatenate(_Merge):
    """The inputs one after the other along an axis.

    Arguments:
        axis: the axis.

    Input shape: a list of shapes that differ in `axis` only. Output shape: the same, of `axis` the sum of the sizes.

    Raises:
        ValueError: if there are fewer than two inputs, or their shapes differ elsewhere.

    Example:
        >>> Concatenate().apply({}, {}, [jnp.ones((1, 2)), jnp.ones((1, 3))])[0].shape
        (1, 5)
    """

    @keeps_arguments
    def __init__(self, axis: Axis = -1, **kwargs: Any):
        super().__init__(**kwargs)

    def declare(self, input_shape: Any):
        shapes = _shapes(self, input_shape)
        if any(not -len(shape) <= self.axis < len(shape) for shape in shapes):
            raise ValueError(f"Layer {self.name} (Concatenate): there is no axis {self.axis} in inputs of {shapes}.")
        others = {tuple(size for i, size in enumerate(s) if i != self.axis % len(s)) for s in shapes}
        if len(others) > 1:
            raise ValueError(
                f"Layer {self.name}: a `Concatenate` layer requires inputs with matching shapes except for the concat "
                f"axis {self.axis}. Got inputs shapes: {shapes}"
            )
        return {}, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return jnp.concatenate(inputs, axis=self.axis), state

    def compute_mask(self, inputs: Any, mask: Any = None):
        masks = _given(self, inputs, mask)
        if not masks:
            return None
        rank = min(part.ndim for part in masks)
        axis = self.axis % inputs[0].ndim
        if axis >= rank:  # all parts of a step, side by side, share its place in the mask
            return functools.reduce(jnp.logical_and, masks)
        parts = [
            jnp.ones(array.shape[:rank], bool) if part is None else part
            for array, part in zip(inputs, mask, strict=True)
        ]
        joined = jnp.concatenate(parts, axis=axis)
        return jnp.all(joined, axis=-1) if rank == inputs[0].ndim else joined


def batch_dot(x: Any, y: Any, axes: int | Sequence[int]):
    """For each example, the sum of products of `x` and `y` along one axis of each.

    Of arrays of equal rank, or of rank n and n + 1, all axes but the last two are batch axes, as in Keras 2.2.4; there
    an axis other than the last (so also a negative one) stands for the last but one.

    Arguments:
        x, y: arrays (batch, ...).
        axes: an integer, or one for each array; the batch axis is 0.

    Returns:
        (batch, other axes of x, other axes of y); of two matrices (batch, 1).
    """
    first, second = (axes, axes) if isinstance(axes, int) else axes
    if x.ndim == y.ndim == 2:
        outputs = jnp.sum((x if first == second else x.T) * y, axis=second)
        return outputs[:, None]
    missing = y.ndim - x.ndim
    if missing not in (0, 1) and (x.ndim, y.ndim) != (3, 2):
        return lax.dot_general(x, y, (((first % x.ndim,), (second % y.ndim,)), ((0,), (0,))))
    x, y = (part if part.ndim == max(x.ndim, y.ndim) else part[..., None] for part in (x, y))
    x = x if first == x.ndim - 1 else jnp.swapaxes(x, -1, -2)
    y = y if second != y.ndim - 1 else jnp.swapaxes(y, -1, -2)
    outputs = jnp.matmul(x, y)
    return outputs if missing == 0 else jnp.squeeze(outputs, -2 if missing == 1 else -1)


class Dot(_Merge):
    """For each example, the sum of products of two inputs along one axis of each: of vectors, the dot product.

    Of two inputs of equal rank above three the axes but the last two count as batch axes, as the numbers of Keras 2.2.4
    do (the output shape it states is another one).

    Arguments:
        axes: an integer, or one for each input, counted with the batch axis (0).
        normalize: whether to divide each input by its norm along the axis first: of vectors, the output is then the
            cosine.

    Input shape: a list of two shapes. Output shape: (batch, other axes of the first, other axes of the second), or
    (batch, 1) of two vectors.

    Raises:
        TypeError, ValueError: if `axes` is none of these, or the sizes of the two axes differ.

    Example:
        >>> Dot(axes=1).apply({}, {}, [jnp.ones((2, 3)), jnp.ones((2, 3))])[0].tolist()
        [[3.0], [3.0]]
    """

    @keeps_arguments
    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(f"invalid type for `axes`: expected an integer or two of them. Received: {axes!r}")
            if len(axes) != 2 or not all(isinstance(axis, int) for axis in axes):
                raise ValueError(f"invalid format for `axes`: expected two integers. Received: {axes!r}")

    def _axes(self, ranks) -> tuple:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return tuple(axis % rank for axis, rank in zip(axes, ranks, strict=True))

    def declare(self, input_shape: Any):
        shapes = _shapes(self, input_shape)
        if len(shapes) != 2:
            raise ValueError(
                f"Layer {self.name}: a `Dot` layer should be called on a list of 2 inputs. Got {len(shapes)}."
            )
        given = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        if any(not -len(s) < axis < len(s) or axis == 0 for s, axis in zip(shapes, given, strict=True)):
            raise ValueError(
                f"Layer {self.name} (Dot): axes={self.axes} must each be an axis of the input, and not 0, that of the "
                f"batch. Layer shapes: {shapes[0]}, {shapes[1]}"
            )
        sizes = [shape[axis] for shape, axis in zip(shapes, given, strict=True)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f"Layer {self.name} (Dot): dimension incompatibility {sizes[0]} != {sizes[1]} along axes={self.axes}. "
                f"Layer shapes: {shapes[0]}, {shapes[1]}"
            )
        return {}, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        axes = self._axes([array.ndim for array in inputs])
        if self.normalize:
            inputs = [
                array * lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(array), axis=axis, keepdims=True), 1e-12))
                for array, axis in zip(inputs, axes, strict=True)
            ]
        first, second = inputs
        return batch_dot(first, second, axes), state

    def compute_mask(self, inputs: Any, mask: Any = None):
        return None


def add(inputs: Any, **kwargs):
    """The symbol of an `Add` layer called on `inputs`, a list of symbols."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs):
    """The symbol of a `Subtract` layer called on `inputs`, a list of two symbols."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs):
    """The symbol of a `Multiply` layer called on `inputs`, a list of symbols."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs):
    """The symbol of an `Average` layer called on `inputs`, a list of symbols."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs):
    """The symbol of a `Maximum` layer called on `inputs`, a list of symbols."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs):
    """The symbol of a `Minimum` layer called on `inputs`, a list of symbols."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs):
    """The symbol of a `Concatenate` layer called on `inputs`, a list of symbols."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: int | Sequence[int], normalize: bool = False, **kwargs):
    """The symbol of a `Dot` layer called on `inputs`, a list of two symbols."""
    return Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
