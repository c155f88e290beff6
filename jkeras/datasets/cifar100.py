"""Photographs of 32 by 32 pixels in 100 classes, 20 coarse ones: 50,000 to train on and 10,000 to test on."""

import os

import numpy as np

from jkeras.datasets.cifar import column, images, load_batch
from jkeras.utils.download import get_file

__all__ = ["load_data"]

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
#: Published later; Keras 2.2.4 does not check it.
DIGEST = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(
    label_mode: str = "fine",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The photographs as `(x_train, y_train), (x_test, y_test)`.

    Arguments:
        label_mode: 'fine' for the 100 classes, 'coarse' for the 20.

    Returns:
        Images, uint8 of shape (n, 32, 32, 3), or (n, 3, 32, 32) with channels first, and labels of shape (n, 1).

    Raises:
        ValueError: if there is no such label_mode.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"cifar100.load_data: label_mode must be 'fine' or 'coarse'; got {label_mode!r}.")
    path = get_file("cifar-100-python", origin=ORIGIN, untar=True, file_hash=DIGEST)
    train, test = (load_batch(os.path.join(path, part), f"{label_mode}_labels") for part in ("train", "test"))
    return (images(train[0]), column(train[1])), (images(test[0]), column(test[1]))
