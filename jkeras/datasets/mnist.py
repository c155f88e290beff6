"""Hand-written digits of 28 by 28 pixels: 60,000 to train on and 10,000 to test on."""

import numpy as np

from jkeras.datasets.pickled import read_npz
from jkeras.utils.download import get_file

__all__ = ["load_data"]

ORIGIN = "https://s3.amazonaws.com/img-datasets/mnist.npz"
DIGEST = "8a61469f7ea1b51cbae51d4f78837e45"


def load_data(path: str = "mnist.npz") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The digits as `(x_train, y_train), (x_test, y_test)`.

    Arguments:
        path: the name of the file in the cache, or its whole path.

    Returns:
        Images, uint8 of shape (n, 28, 28), and labels, uint8 of shape (n,).
    """
    arrays = read_npz(get_file(path, origin=ORIGIN, file_hash=DIGEST))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
