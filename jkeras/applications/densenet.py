"""Densely connected networks: each layer sees the outputs of all layers of its block.

Huang, Liu, van der Maaten and Weinberger, Densely Connected Convolutional Networks, https://arxiv.org/abs/1608.06993
"""

from collections.abc import Sequence
from typing import Any

from jkeras.applications import imagenet_utils
from jkeras.applications.building import Wanted, chain, channel_axis, published
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from jkeras.models import Model
from jkeras.typing import Layout, PathLike, Shape

__all__ = ["DenseNet", "DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

GROWTH = 32  # the channels that each layer adds
EPSILON = 1.001e-5
#: Layers of the four blocks, by the number of all layers: Table 1.
BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}

_ORIGIN = (
    "https://github.com/keras-team/keras-applications/releases/download/densenet/"
    "densenet{}_weights_tf_dim_ordering_tf_kernels{{}}.h5"
)
_DIGESTS = {
    121: ("9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
    169: ("d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
    201: ("1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
}
FILES = {layers: published(_ORIGIN.format(layers), *digests) for layers, digests in _DIGESTS.items()}


def DenseNet(
    blocks: Sequence[int], include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """A densely connected network, for images of 224x224 pixels.

    Arguments:
        blocks: how many layers each of the four blocks has. Weights were published for those of `DenseNet121`,
            `DenseNet169` and `DenseNet201`.
        The others are those of `VGG16`.

    Example:
        >>> DenseNet([1, 1, 1, 1], weights=None, input_shape=(32, 32, 1), classes=10).output_shape
        (None, 10)
    """
    layers = next((number for number, counts in BLOCKS.items() if counts == tuple(blocks)), 0)
    function = f"DenseNet{layers or ''}"
    wanted = Wanted(function, include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    if len(blocks) != 4:
        raise wanted.wrong("blocks", "four numbers", blocks)
    if wanted.pretrained and not layers:
        raise wanted.wrong("blocks", f"one of {list(BLOCKS.values())} with weights='imagenet'", blocks)
    image = wanted.image(size=224, least=32)
    x = chain(
        image,
        ZeroPadding2D(3),
        Conv2D(64, 7, strides=2, use_bias=False, name="conv1/conv"),
        *_rectified("conv1/bn", "conv1/relu"),
        ZeroPadding2D(1),
        MaxPooling2D(3, strides=2, name="pool1"),
    )
    for stage, count in enumerate(blocks, 2):
        if stage > 2:
            x = _transition(x, f"pool{stage - 1}")
        for number in range(1, count + 1):
            x = _layer(x, f"conv{stage}_block{number}")
    x = chain(x, *_rectified("bn", "relu"))
    x = wanted.head(x, scores="fc1000", pooled={"avg": "avg_pool", "max": "max_pool"})
    return wanted.model(image, x, function.lower(), FILES.get(layers, {}))


def _rectified(normalization, activation):
    yield BatchNormalization(axis=channel_axis(), epsilon=EPSILON, name=normalization)
    yield Activation("relu", name=activation)


def _layer(x, name):
    """Channels made of all those before, beside them."""
    y = chain(
        x,
        *_rectified(f"{name}_0_bn", f"{name}_0_relu"),
        Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{name}_1_conv"),
        *_rectified(f"{name}_1_bn", f"{name}_1_relu"),
        Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv"),
    )
    return Concatenate(axis=channel_axis(), name=f"{name}_concat")([x, y])


def _transition(x, name):
    """Half the channels, half the rows and columns."""
    channels = x.shape[channel_axis()]
    return chain(
        x,
        *_rectified(f"{name}_bn", f"{name}_relu"),
        Conv2D(channels // 2, 1, use_bias=False, name=f"{name}_conv"),
        AveragePooling2D(2, strides=2, name=f"{name}_pool"),
    )


def DenseNet121(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """The densely connected network of 121 layers. The arguments are those of `VGG16`."""
    return DenseNet(BLOCKS[121], include_top, weights, input_tensor, input_shape, pooling, classes, **kwargs)


def DenseNet169(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """The densely connected network of 169 layers. The arguments are those of `VGG16`."""
    return DenseNet(BLOCKS[169], include_top, weights, input_tensor, input_shape, pooling, classes, **kwargs)


def DenseNet201(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """The densely connected network of 201 layers. The arguments are those of `VGG16`."""
    return DenseNet(BLOCKS[201], include_top, weights, input_tensor, input_shape, pooling, classes, **kwargs)


def preprocess_input(x: Any, data_format: Layout | None = None, **kwargs: Any) -> Any:
    """Images with values from 0 to 255 as these networks take them; see `imagenet_utils.preprocess_input`, 'torch'."""
    return imagenet_utils.preprocess_input(x, data_format, mode="torch", **kwargs)
