"""ImageNet: images as its networks take them, and the names of the classes that they tell apart."""

import json
from typing import Any

import numpy as np

from jkeras import config
from jkeras.typing import Layout
from jkeras.utils.download import get_file

__all__ = ["decode_predictions", "preprocess_input"]

INDEX_ORIGIN = "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
INDEX_DIGEST = "c2c37ea517e94d9795004a39431a14cb"
CLASSES = 1000

# Of all images, per channel; those of "torch" with values from 0 to 1.
BGR_MEANS = (103.939, 116.779, 123.68)
RGB_MEANS, RGB_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocess_input(x: Any, data_format: Layout | None = None, mode: str = "caffe", **kwargs: Any) -> Any:
    """Images with values from 0 to 255, as a network wants them.

    As in Keras, a numpy array of floats is written over (but for "caffe", the array keeps its order of channels).

    Arguments:
        x: an image or a batch of images, RGB: an array (or what makes one, as a list) or a symbol.
        data_format: where its channels are; None for the global setting.
        mode: 'caffe' for BGR, the mean of each channel subtracted; 'tf' for values from -1 to 1; 'torch' for values
            from 0 to 1, standardized per channel.
        kwargs: the modules of Keras that `keras_applications` is handed; not needed here.

    Raises:
        ValueError: if there is no such mode or layout, or `x` has not three channels where the mode needs them.

    Example:
        >>> import numpy as np
        >>> preprocess_input(np.array([[[0.0, 127.5, 255.0]]]), "channels_last", mode="tf").tolist()
        [[[-1.0, 0.0, 1.0]]]
    """
    layout = config.image_data_format() if data_format is None else data_format
    if layout not in ("channels_first", "channels_last"):
        raise ValueError(f"data_format is 'channels_first' or 'channels_last', not {layout!r}.")
    if mode not in ("caffe", "tf", "torch"):
        raise ValueError(f"mode is 'caffe', 'tf' or 'torch', not {mode!r}.")
    x = x if hasattr(x, "dtype") else np.asarray(x)
    axis = -1 if layout == "channels_last" else -3
    if not x.shape or mode != "tf" and (len(x.shape) < 3 or x.shape[axis] not in (3, None)):
        raise ValueError(f"x is images of 3 channels (RGB, {layout}); got the shape {tuple(x.shape)}.")
    host = isinstance(x, np.ndarray)
    if host and not np.issubdtype(x.dtype, np.floating):
        x = x.astype(config.floatx())
    if mode == "tf":
        x /= 127.5
        x -= 1.0
        return x

    def per_channel(values):
        values = np.asarray(values, x.dtype if host else config.floatx())
        return values if layout == "channels_last" else values[:, None, None]

    if mode == "torch":
        x /= 255.0
        x -= per_channel(RGB_MEANS)
        x /= per_channel(RGB_DEVIATIONS)
        return x
    x = x[..., ::-1] if layout == "channels_last" else x[..., ::-1, :, :]
    x -= per_channel(BGR_MEANS)
    return x


def decode_predictions(preds: Any, top: int = 5, **kwargs: Any) -> list[list[tuple[str, str, Any]]]:
    """The likeliest classes of ImageNet, by name.

    The names come from the net when they are first needed.

    Arguments:
        preds: (batch, 1000), the scores of the classes.
        top: how many classes to tell.
        kwargs: the modules of Keras that `keras_applications` is handed; not needed here.

    Returns:
        For each example, triples (number in WordNet, name, score), the highest score first.

    Raises:
        ValueError: if `preds` has another shape.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != CLASSES:
        raise ValueError(f"preds are scores of shape (batch, {CLASSES}), not {preds.shape}.")
    path = get_file("imagenet_class_index.json", INDEX_ORIGIN, cache_subdir="models", file_hash=INDEX_DIGEST)
    with open(path, encoding="utf-8") as file:
        names = json.load(file)
    best = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [[(*names[str(i)], row[i]) for i in order] for row, order in zip(preds, best, strict=True)]
