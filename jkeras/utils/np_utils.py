"""Arrays of labels and of examples, on the host."""

import numpy as np

from jkeras.typing import ArrayLike, DTypeLike

__all__ = ["normalize", "to_categorical"]


def to_categorical(y: ArrayLike, num_classes: int | None = None, dtype: DTypeLike = "float32") -> np.ndarray:
    """One-hot rows of integer labels.

    Arguments:
        y: integers from 0 to num_classes - 1, of any shape; a last axis of size 1 is dropped where there is another.
        num_classes: the number of classes; None is the largest label plus one.
        dtype: the type of the result.

    Returns:
        An array of the labels' shape with one more axis of size num_classes.

    Raises:
        IndexError: if a label is not smaller than num_classes.

    Example:
        >>> to_categorical([0, 2])
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    labels = np.array(y, dtype="int")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not num_classes:
        num_classes = int(labels.max()) + 1
    if labels.size and labels.max() >= num_classes:
        raise IndexError(
            f"to_categorical: with num_classes={num_classes}, labels go up to {num_classes - 1}; got {labels.max()}."
        )
    one_hot = np.zeros((labels.size, num_classes), dtype)
    one_hot[np.arange(labels.size), labels.ravel()] = 1
    return one_hot.reshape(*labels.shape, num_classes)


def normalize(x: ArrayLike, axis: int = -1, order: int = 2) -> np.ndarray:
    """`x` divided by its norm along an axis; what is all zero stays zero.

    Arguments:
        x: an array.
        axis: along which the norm is taken.
        order: as in `numpy.linalg.norm`.
    """
    x = np.asarray(x)
    norm = np.expand_dims(np.linalg.norm(x, order, axis), axis)
    return x / np.where(norm == 0, 1, norm)
