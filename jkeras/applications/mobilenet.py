"""MobileNet: each convolution is one of every channel alone, and one across channels.

Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
https://arxiv.org/abs/1704.04861
"""

import warnings
from typing import Any

from jkeras.applications.building import Wanted, chain, channel_axis, published, spatial_sizes
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.scaled import preprocess_input
from jkeras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    ReLU,
    Reshape,
    ZeroPadding2D,
)
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

#: Filters and strides of the blocks: Table 1.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip

#: Weights were published for these widths and sizes of images, without digests.
WIDTHS = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
SIZES = (128, 160, 192, 224)
FILES = {
    (alpha, size): published(
        "https://github.com/fchollet/deep-learning-models/releases/download/v0.6/"
        f"mobilenet_{text}_{size}_tf{{}}.h5",
        None,
        None,
        without_top="_no_top",
    )
    for alpha, text in WIDTHS.items()
    for size in SIZES
}  # fmt: skip


def MobileNet(
    input_shape: Shape | None = None, alpha: float = 1.0, depth_multiplier: int = 1, dropout: float = 1e-3,
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """MobileNet, for images of 224x224 pixels.

    Arguments:
        alpha: the width: how many of the filters there are, as a share. Weights were published for 0.25, 0.5, 0.75
            and 1, for images of 128, 160, 192 and 224 rows and columns; for all others, those for 224 are loaded.
        depth_multiplier: how many outputs the convolutions of single channels have for each.
        dropout: the rate before the layer that classifies.
        The others are those of `VGG16`.

    Example:
        >>> MobileNet(alpha=0.25, weights=None).name
        'mobilenet_0.25_224'
    """
    wanted = Wanted("MobileNet", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    rows, columns = spatial_sizes(input_shape) if input_shape is not None and len(input_shape) == 3 else (None, None)
    image = wanted.image(size=rows if rows == columns and rows in SIZES else 224, least=32)
    size = weights_size(wanted, alpha, tuple(WIDTHS), SIZES)
    if wanted.pretrained and depth_multiplier != 1:
        raise wanted.wrong("depth_multiplier", "1 with weights='imagenet'", depth_multiplier)
    width = lambda filters: int(filters * alpha)  # noqa: E731
    x = chain(
        image,
        ZeroPadding2D(((0, 1), (0, 1)), name="conv1_pad"),
        Conv2D(width(32), 3, strides=2, use_bias=False, name="conv1"),
        *_rectified("conv1"),
    )
    for number, (filters, strides) in enumerate(BLOCKS, 1):
        if strides == 2:
            x = ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
        x = chain(
            x,
            DepthwiseConv2D(
                3, strides=strides, padding="valid" if strides == 2 else "same", depth_multiplier=depth_multiplier,
                use_bias=False, name=f"conv_dw_{number}",
            ),
            *_rectified(f"conv_dw_{number}"),
            Conv2D(width(filters), 1, padding="same", use_bias=False, name=f"conv_pw_{number}"),
            *_rectified(f"conv_pw_{number}"),
        )  # fmt: skip
    x = _classified(x, width(1024), dropout, classes) if include_top else wanted.head(x)
    return wanted.model(image, x, f"mobilenet_{alpha:0.2f}_{size}", FILES.get((alpha, size or 0), {}))


def weights_size(wanted: Wanted, alpha: float, widths: tuple, sizes: tuple) -> int | None:
    """The rows of the images that the network and its weights are for.

    Arguments:
        widths, sizes: the values of `alpha`, and the rows, that weights were published for.

    Raises:
        ValueError: if published weights are wanted and there are none for `alpha`.
    """
    rows, columns = spatial_sizes(wanted.input_shape)
    if not wanted.pretrained:
        return rows
    if alpha not in widths:
        raise wanted.wrong("alpha", f"one of {widths} with weights='imagenet'", alpha)
    if rows == columns and rows in sizes:
        return rows
    warnings.warn(
        f"{wanted.function}: weights were published for images of {sizes} rows and columns; with "
        f"input_shape={wanted.input_shape}, those for 224 are loaded.",
        stacklevel=4,
    )
    return 224


def _rectified(name):
    yield BatchNormalization(axis=channel_axis(-1), name=f"{name}_bn")
    yield ReLU(6.0, name=f"{name}_relu")


def _classified(x, channels, dropout, classes):
    return chain(
        x,
        GlobalAveragePooling2D(),
        Reshape((channels, 1, 1) if channel_axis() == 1 else (1, 1, channels), name="reshape_1"),
        Dropout(dropout, name="dropout"),
        Conv2D(classes, 1, padding="same", name="conv_preds"),
        Reshape((classes,), name="reshape_2"),
        Activation("softmax", name="act_softmax"),
    )
