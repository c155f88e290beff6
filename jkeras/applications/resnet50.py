"""The residual network of 50 layers.

He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385. As in Keras,
blocks are strided in their first convolution, and convolutions have a bias.
"""

from typing import Any

from jkeras.applications.building import Wanted, chain, channel_axis, published
from jkeras.applications.imagenet_utils import decode_predictions, preprocess_input
from jkeras.layers import Activation, BatchNormalization, Conv2D, MaxPooling2D, ZeroPadding2D, add
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]

#: Filters and blocks of conv2_x to conv5_x: the 50-layer column of Table 1.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.2/"
    "resnet50_weights_tf_dim_ordering_tf_kernels{}.h5",
    "a7b3fe01876f51b976af0dea6bc144eb",
    "a268eb855778b3df3c7506639542a6af",
)


def ResNet50(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """The residual network of 50 layers, for images of 224x224 pixels. The arguments are those of `VGG16`.

    Example:
        >>> ResNet50(weights=None, classes=10).output_shape
        (None, 10)
    """
    wanted = Wanted("ResNet50", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    image = wanted.image(size=224, least=32)
    x = chain(
        image,
        ZeroPadding2D(3, name="conv1_pad"),
        Conv2D(64, 7, strides=2, kernel_initializer="he_normal", name="conv1"),
        BatchNormalization(axis=channel_axis(), name="bn_conv1"),
        Activation("relu"),
        ZeroPadding2D(1, name="pool1_pad"),
        MaxPooling2D(3, strides=2),
    )
    for stage, (filters, blocks) in enumerate(STAGES, 2):
        for letter in "abcdef"[:blocks]:
            x = _block(x, filters, f"{stage}{letter}", strides=2 if letter == "a" and stage > 2 else 1)
    return wanted.model(image, wanted.head(x, scores="fc1000"), "resnet50", FILES)


def _block(x, filters, place, strides):
    """1x1, 3x3 and 1x1, with a shortcut, which has a convolution in the first block ("a") of a stage."""

    def convolve(x, branch, filters, size=1, strides=1):
        padding, name = "same" if size > 1 else "valid", f"{place}_branch{branch}"
        return chain(
            x,
            Conv2D(filters, size, strides=strides, padding=padding, kernel_initializer="he_normal", name=f"res{name}"),
            BatchNormalization(axis=channel_axis(), name=f"bn{name}"),
        )

    y = Activation("relu")(convolve(x, "2a", filters, strides=strides))
    y = Activation("relu")(convolve(y, "2b", filters, size=3))
    y = convolve(y, "2c", 4 * filters)
    if place.endswith("a"):
        x = convolve(x, "1", 4 * filters, strides=strides)
    return Activation("relu")(add([y, x]))
