"""VGG networks: windows of 3x3 only, and three dense layers on top.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
https://arxiv.org/abs/1409.1556
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jkeras.applications.building import File, Wanted, chain, published
from jkeras.applications.imagenet_utils import decode_predictions, preprocess_input
from jkeras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]

FILTERS = (64, 128, 256, 512, 512)
#: How many convolutions each block has: column D of Table 1.
CONVOLUTIONS = (2, 2, 3, 3, 3)

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/"
    "vgg16_weights_tf_dim_ordering_tf_kernels{}.h5",
    "64373286793e3c8b2b4e3219cbf3544b",
    "6d6bbae143d832006294945121d1f1fc",
)


def VGG16(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """VGG with 16 layers, for images of 224x224 pixels.

    Arguments:
        include_top: whether the network ends with the layers that classify.
        weights: 'imagenet' for the published ones, which are downloaded if they are not in the cache; the path of an
            HDF5 file; or None for weights that are drawn.
        input_tensor: a symbol of images to build the network on.
        input_shape: the shape of an image, (rows, columns, channels), or (channels, rows, columns) with channels
            first. Without the top, rows and columns may be None, and are unless it is given.
        pooling: without the top, 'avg' or 'max' for one number per channel; None for its whole image.
        classes: how many classes the top tells apart.
        kwargs: the modules that `keras_applications` is handed; not needed here.

    Returns:
        A `Model`.

    Raises:
        ValueError: if an argument is wrong, or weights do not fit.
        OSError: if weights cannot be fetched or read.

    Example:
        >>> model = VGG16(include_top=False, weights=None, pooling="avg")
        >>> model.output_shape
        (None, 512)
    """
    wanted = Wanted("VGG16", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    return vgg(wanted, CONVOLUTIONS, FILES)


def vgg(wanted: Wanted, convolutions: Sequence[int], files: Mapping[bool, File]) -> Model:
    """A VGG network.

    Arguments:
        convolutions: how many each block has.
        files: its weights.
    """
    x = image = wanted.image(size=224, least=32)
    for block, (filters, count) in enumerate(zip(FILTERS, convolutions, strict=True), 1):
        for number in range(1, count + 1):
            x = Conv2D(filters, 3, activation="relu", padding="same", name=f"block{block}_conv{number}")(x)
        x = MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    if wanted.include_top:
        x = chain(
            x,
            Flatten(name="flatten"),
            Dense(4096, activation="relu", name="fc1"),
            Dense(4096, activation="relu", name="fc2"),
            Dense(wanted.classes, activation="softmax", name="predictions"),
        )
    else:
        x = wanted.head(x)
    return wanted.model(image, x, wanted.function.lower(), files)
