"""Xception: convolutions of every channel alone and across channels, with shortcuts.

Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, https://arxiv.org/abs/1610.02357
"""

from typing import Any

from jkeras.applications.building import Wanted, chain, channel_axis, published
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.scaled import preprocess_input
from jkeras.layers import Activation, BatchNormalization, Conv2D, MaxPooling2D, SeparableConv2D, add
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["Xception", "decode_predictions", "preprocess_input"]

#: The filters of the blocks 2 to 13, and whether they halve rows and columns: Figure 5.
BLOCKS = (
    ((128, 128), True), ((256, 256), True), ((728, 728), True),
    *[((728, 728, 728), False)] * 8,
    ((728, 1024), True),
)  # fmt: skip

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.4/"
    "xception_weights_tf_dim_ordering_tf_kernels{}.h5",
    "0a58e3b7378bc2990ea3b43d5981f1f6",
    "b0042744bf5b25fce3cb969f33bebb97",
)


def Xception(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """Xception, for images of 299x299 pixels, 71x71 at least. The arguments are those of `VGG16`.

    Example:
        >>> Xception(include_top=False, weights=None).output_shape
        (None, None, None, 2048)
    """
    wanted = Wanted("Xception", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    image = wanted.image(size=299, least=71)
    x = chain(
        image,
        Conv2D(32, 3, strides=2, use_bias=False, name="block1_conv1"),
        _normalization("block1_conv1_bn"),
        Activation("relu", name="block1_conv1_act"),
        Conv2D(64, 3, use_bias=False, name="block1_conv2"),
        _normalization("block1_conv2_bn"),
        Activation("relu", name="block1_conv2_act"),
    )
    for number, (filters, halved) in enumerate(BLOCKS, 2):
        x = _block(x, f"block{number}", filters, halved, rectified_before=number == 2)
    for number, filters in enumerate((1536, 2048), 1):
        name = f"block14_sepconv{number}"
        x = chain(x, *_separable(filters, name), Activation("relu", name=f"{name}_act"))
    return wanted.model(image, wanted.head(x), "xception", FILES)


def _normalization(name=None):
    return BatchNormalization(axis=channel_axis(-1), name=name)


def _separable(filters, name):
    yield SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)
    yield _normalization(f"{name}_bn")


def _block(x, name, filters, halved, rectified_before):
    """Separable convolutions, rectified before each; the shortcut is convolved where the block halves the size."""
    shortcut = x
    if halved:
        shortcut = chain(x, Conv2D(filters[-1], 1, strides=2, padding="same", use_bias=False), _normalization())
    for number, count in enumerate(filters, 1):
        place = f"{name}_sepconv{number}"
        if number > 1 or not rectified_before:
            x = Activation("relu", name=f"{place}_act")(x)
        x = chain(x, *_separable(count, place))
    if halved:
        x = MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return add([x, shortcut])
