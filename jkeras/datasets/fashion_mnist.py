"""Articles of clothing of 28 by 28 pixels, in 10 classes: 60,000 to train on and 10,000 to test on."""

import gzip
import os
import zlib

import numpy as np

from jkeras.utils.download import get_file

__all__ = ["load_data"]

ORIGIN = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
#: What fashion-mnist's own page gives; Keras does not check them.
DIGESTS = {
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
}


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The images as `(x_train, y_train), (x_test, y_test)`.

    Returns:
        Images, uint8 of shape (n, 28, 28), and labels, uint8 of shape (n,).
    """
    folder = os.path.join("datasets", "fashion-mnist")
    paths = [get_file(name, origin=ORIGIN + name, file_hash=DIGESTS[name], cache_subdir=folder) for name in DIGESTS]
    y_train, x_train, y_test, x_test = map(_read_idx, paths)
    return (x_train, y_train), (x_test, y_test)


def _read_idx(path):
    """An array of bytes in the IDX format: two zeros, type 8, rank, sizes, bytes."""
    try:
        with gzip.GzipFile(path) as file:
            content = file.read()
        shape = np.frombuffer(content, ">i4", content[3], 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
