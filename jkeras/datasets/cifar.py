"""What CIFAR10 and CIFAR100 share."""

from typing import Any

import numpy as np

from jkeras import config
from jkeras.datasets.pickled import read_pickle
from jkeras.typing import PathLike

__all__ = ["column", "images", "load_batch"]


def load_batch(fpath: PathLike, label_key: str = "labels") -> tuple[np.ndarray, list[int]]:
    """The images, uint8 of shape (n, 3, 32, 32), and labels in a file of CIFAR.

    Arguments:
        fpath: the file.
        label_key: what the labels are called in it.

    Raises:
        ValueError: if the file is damaged.
    """
    with open(fpath, "rb") as file:
        batch = read_pickle(file, str(fpath))
    return batch[b"data"].reshape(-1, 3, 32, 32), batch[label_key.encode()]


def images(data: np.ndarray) -> np.ndarray:
    """Images with the channels where `image_data_format` wants them."""
    return data.transpose(0, 2, 3, 1) if config.image_data_format() == "channels_last" else data


def column(labels: Any, dtype: Any = None) -> np.ndarray:
    """Labels as an array of shape (n, 1)."""
    return np.asarray(labels, dtype).reshape(-1, 1)
