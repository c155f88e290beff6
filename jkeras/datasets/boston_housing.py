"""Prices of houses near Boston, with 13 figures about the surroundings of each: 506 examples."""

import numpy as np

from jkeras.datasets.pickled import read_npz
from jkeras.datasets.texts import shuffled
from jkeras.typing import Seed
from jkeras.utils.download import get_file

__all__ = ["load_data"]

ORIGIN = "https://s3.amazonaws.com/keras-datasets/boston_housing.npz"
DIGEST = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(
    path: str = "boston_housing.npz", test_split: float = 0.2, seed: Seed = 113
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The figures and prices as `(x_train, y_train), (x_test, y_test)`.

    Arguments:
        path: the name of the file in the cache, or its whole path.
        test_split: the part of the examples that is for testing.
        seed: of numpy's global generator, from which their order is drawn.

    Returns:
        Figures, float64 of shape (n, 13), and prices in thousands of dollars, float64 of shape (n,).

    Raises:
        ValueError: if `test_split` is not at least 0 and below 1.
    """
    if not 0 <= test_split < 1:
        raise ValueError(f"boston_housing.load_data: test_split must be at least 0 and below 1; got {test_split}.")
    arrays = read_npz(get_file(path, origin=ORIGIN, file_hash=DIGEST))
    np.random.seed(seed)
    x, y = shuffled(arrays["x"], arrays["y"])
    border = int(len(x) * (1 - test_split))
    return (x[:border], y[:border]), (x[border:], y[border:])
