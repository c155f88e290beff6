"""Photographs of 32 by 32 pixels in 10 classes: 50,000 to train on and 10,000 to test on."""

import os

import numpy as np

from jkeras.datasets.cifar import column, images, load_batch
from jkeras.utils.download import get_file

__all__ = ["load_data"]

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
#: Published later; Keras 2.2.4 does not check it.
DIGEST = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The photographs as `(x_train, y_train), (x_test, y_test)`.

    Returns:
        Images, uint8 of shape (n, 32, 32, 3), or (n, 3, 32, 32) with channels first, and labels of shape (n, 1).
    """
    path = get_file("cifar-10-batches-py", origin=ORIGIN, untar=True, file_hash=DIGEST)
    batches = [load_batch(os.path.join(path, f"data_batch_{number}")) for number in range(1, 6)]
    x_train = np.concatenate([data for data, _ in batches])
    y_train = column(np.concatenate([labels for _, labels in batches]), "uint8")
    x_test, y_test = load_batch(os.path.join(path, "test_batch"))
    return (images(x_train), y_train), (images(x_test), column(y_test))
