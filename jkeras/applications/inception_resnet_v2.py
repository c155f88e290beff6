"""InceptionResNetV2: blocks of branches, a share of whose outputs is added to what came in.

Szegedy, Ioffe, Vanhoucke and Alemi, Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning,
https://arxiv.org/abs/1602.07261; filters and names are those of TF-Slim, as in Keras.
"""

from typing import Any

from jkeras.applications.building import Wanted, channel_axis, published
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.inception import AVERAGE, MAXIMUM, STEM, Branch, Conv, mixed, reducing, through
from jkeras.applications.scaled import preprocess_input
from jkeras.layers import Activation, Conv2D, Lambda
from jkeras.models import Model
from jkeras.serialize.published import scaled_sum
from jkeras.typing import PathLike, Shape

__all__ = ["InceptionResNetV2", "decode_predictions", "preprocess_input"]

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.7/"
    "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels{}.h5",
    "e693bd0210a403b3192acc6073ad2e96",
    "d19885ff4a710c122648d3b5c3b684e4",
)

MIXED_5B: tuple[Branch, ...] = (
    (Conv(96),),
    (Conv(48), Conv(64, 5)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (AVERAGE, Conv(64)),
)
MIXED_6A: tuple[Branch, ...] = ((reducing(384),), (Conv(256), Conv(256, 3), reducing(384)), (MAXIMUM,))
MIXED_7A: tuple[Branch, ...] = (
    (Conv(256), reducing(384)),
    (Conv(256), reducing(288)),
    (Conv(256), Conv(288, 3), reducing(320)),
    (MAXIMUM,),
)
BLOCK_35: tuple[Branch, ...] = ((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(48, 3), Conv(64, 3)))
BLOCK_17: tuple[Branch, ...] = ((Conv(192),), (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))))
BLOCK_8: tuple[Branch, ...] = ((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))))

#: What comes in front: its name and branches; then the residual blocks: their name, branches, number and share.
STAGES = (
    ("mixed_5b", MIXED_5B, "block35", BLOCK_35, 10, 0.17),
    ("mixed_6a", MIXED_6A, "block17", BLOCK_17, 20, 0.1),
    ("mixed_7a", MIXED_7A, "block8", BLOCK_8, 9, 0.2),
)


def InceptionResNetV2(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """InceptionResNetV2, for images of 299x299 pixels, 75x75 at least. The arguments are those of `VGG16`.

    Example:
        >>> InceptionResNetV2(include_top=False, weights=None, pooling="max").output_shape
        (None, 1536)
    """
    wanted = Wanted("InceptionResNetV2", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    image = wanted.image(size=299, least=75)
    x = through(image, STEM)
    for name, front, block, branches, count, share in STAGES:
        x = mixed(x, front, name)
        for number in range(1, count + 1):
            x = Activation("relu", name=f"{block}_{number}_ac")(_residual(x, branches, f"{block}_{number}", share))
    x = _residual(x, BLOCK_8, "block8_10", 1.0)
    x = Conv(1536, name="conv_7b")(x)
    return wanted.model(image, wanted.head(x), "inception_resnet_v2", FILES)


def _residual(x, branches, name, share):
    """`x` plus a share of its branches, which are brought to as many channels."""
    y = mixed(x, branches, f"{name}_mixed")
    y = Conv2D(x.shape[channel_axis()], 1, padding="same", name=f"{name}_conv")(y)
    return Lambda(scaled_sum, output_shape=x.shape[1:], arguments={"scale": share}, name=name)([x, y])
