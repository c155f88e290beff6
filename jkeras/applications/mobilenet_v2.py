"""MobileNetV2: blocks that are narrow outside and wide inside, where each channel is convolved alone.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381
"""

from typing import Any

from jkeras.applications.building import Wanted, chain, channel_axis, downsampling_pad, published, spatial_sizes
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.mobilenet import weights_size
from jkeras.applications.scaled import preprocess_input
from jkeras.layers import Add, BatchNormalization, Conv2D, DepthwiseConv2D, ReLU, ZeroPadding2D
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

#: Expansion, filters, blocks, and strides of the first one: t, c, n and s of Table 2.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

#: Weights were published for these widths and sizes of images, without digests.
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
SIZES = (96, 128, 160, 192, 224)
FILES = {
    (alpha, size): published(
        "https://github.com/JonathanCMitchell/mobilenet_v2_keras/releases/download/v1.1/"
        f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}{{}}.h5",
        None,
        None,
        without_top="_no_top",
    )
    for alpha in WIDTHS
    for size in SIZES
}


def MobileNetV2(
    input_shape: Shape | None = None, alpha: float = 1.0, include_top: bool = True,
    weights: PathLike | None = "imagenet", input_tensor: Any = None, pooling: str | None = None, classes: int = 1000,
    **kwargs: Any,
) -> Model:  # fmt: skip
    """MobileNetV2, for images of 224x224 pixels.

    Arguments:
        alpha: the width: how many of the filters there are, as a share, rounded to multiples of 8. Weights were
            published for 0.35, 0.5, 0.75, 1, 1.3 and 1.4, for images of 96, 128, 160, 192 and 224 rows and columns;
            for all others, those for 224 are loaded.
        The others are those of `VGG16`.

    Example:
        >>> MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None).output_shape
        (None, 3, 3, 1280)
    """
    wanted = Wanted("MobileNetV2", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    image = wanted.image(_default_size(wanted), least=32)
    size = weights_size(wanted, alpha, WIDTHS, SIZES)
    x = chain(
        image,
        ZeroPadding2D(downsampling_pad(image, 3), name="Conv1_pad"),
        Conv2D(_eights(32 * alpha), 3, strides=2, use_bias=False, name="Conv1"),
        _normalization("bn_Conv1"),
        ReLU(6.0, name="Conv1_relu"),
    )
    number = 0
    for expansion, filters, blocks, strides in STAGES:
        for place in range(blocks):
            # Twice cut off, as in Keras: the paper's networks have these filters.
            x = _block(x, number, expansion, _eights(int(filters * alpha)), strides if place == 0 else 1)
            number += 1
    x = chain(
        x,
        Conv2D(_eights(1280 * max(alpha, 1.0)), 1, use_bias=False, name="Conv_1"),
        _normalization("Conv_1_bn"),
        ReLU(6.0, name="out_relu"),
    )
    x = wanted.head(x, pool=None, scores="Logits")
    return wanted.model(image, x, f"mobilenetv2_{alpha:0.2f}_{size}", FILES.get((alpha, size or 0), {}))


def _default_size(wanted):
    """The rows of the images: those of `input_shape` or `input_tensor`, if weights were published for them.

    Raises:
        ValueError: if these two differ.
    """
    shape, tensor = wanted.input_shape, getattr(wanted.input_tensor, "shape", None)
    sizes = spatial_sizes(shape) if shape and len(shape) == 3 else None
    if tensor is not None and len(tensor) == 4:
        if sizes is not None and spatial_sizes(tensor) != sizes:
            raise wanted.wrong("input_shape", f"that of the images of input_tensor, {tensor[1:]}", shape)
        sizes = spatial_sizes(tensor)
    return sizes[0] if sizes is not None and sizes[0] == sizes[1] and sizes[0] in SIZES else 224


def _eights(filters: float) -> int:
    """The multiple of 8 nearest to `filters`, not less than nine tenths of it."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest


def _normalization(name):
    return BatchNormalization(axis=channel_axis(-1), epsilon=1e-3, momentum=0.999, name=name)


def _block(x, number, expansion, filters, strides):
    """Widened, each channel convolved, narrowed; added to what came in if it is as large."""
    name = f"block_{number}" if number else "expanded_conv"
    channels, y = x.shape[channel_axis(-1)], x
    if number:
        y = chain(
            y,
            Conv2D(expansion * channels, 1, padding="same", use_bias=False, name=f"{name}_expand"),
            _normalization(f"{name}_expand_BN"),
            ReLU(6.0, name=f"{name}_expand_relu"),
        )
    padding = "same"
    if strides == 2:
        y, padding = ZeroPadding2D(downsampling_pad(y, 3), name=f"{name}_pad")(y), "valid"
    y = chain(
        y,
        DepthwiseConv2D(3, strides=strides, padding=padding, use_bias=False, name=f"{name}_depthwise"),
        _normalization(f"{name}_depthwise_BN"),
        ReLU(6.0, name=f"{name}_depthwise_relu"),
        Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project"),
        _normalization(f"{name}_project_BN"),
    )
    return Add(name=f"{name}_add")([x, y]) if strides == 1 and channels == filters else y
