"""1,797 hand-written digits of 8 by 8 pixels, part of the package: nothing is downloaded.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49 (its test set, by 13 writers), under the Creative Commons Attribution 4.0 International
licence (CC BY 4.0). Changes made here: the rows are stored as 8 by 8 bytes, in their order, and compressed.
"""

import os

import numpy as np

__all__ = ["load_data"]

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits.npz")


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The digits as `(x_train, y_train), (x_test, y_test)`.

    The split is fixed: of each digit, in the order of the source, every fifth example is for the test. That makes 1,442
    examples to train on and 355 to test on, a fifth of each digit.

    Returns:
        x_train, x_test: uint8 of shape (n, 8, 8), 0 (paper) to 16 (ink).
        y_train, y_test: uint8 of shape (n,), 0 to 9.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_test.shape
        ((1442, 8, 8), (355, 8, 8))
    """
    with np.load(_PATH, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[4::5]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])
