"""InceptionV3: convolutions of several sizes side by side, large ones made of small ones.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception Architecture for Computer Vision,
https://arxiv.org/abs/1512.00567
"""

from typing import Any

from jkeras.applications.building import Wanted, published
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.inception import AVERAGE, MAXIMUM, STEM, Branch, Conv, Fork, mixed, reducing, through
from jkeras.applications.scaled import preprocess_input
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.5/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels{}.h5",
    "9a0d58056eeedaa3f26cb7ebd46da564",
    "bcbd6486424b2319ff4ef7d526e38f63",
)


def _small(pooled: int) -> tuple[Branch, ...]:
    """5x5 as two of 3x3: Figure 5."""
    return (
        (Conv(64),),
        (Conv(48), Conv(64, 5)),
        (Conv(64), Conv(96, 3), Conv(96, 3)),
        (AVERAGE, Conv(pooled)),
    )


def _long(n: int) -> tuple[Branch, ...]:
    """7x7 as 1x7 and 7x1: Figure 6."""
    row, column = (1, 7), (7, 1)
    return (
        (Conv(192),),
        (Conv(n), Conv(n, row), Conv(192, column)),
        (Conv(n), Conv(n, column), Conv(n, row), Conv(n, column), Conv(192, row)),
        (AVERAGE, Conv(192)),
    )


def _wide(name: str) -> tuple[Branch, ...]:
    """3x3 as 1x3 beside 3x1: Figure 7."""
    sides = (Conv(384, (1, 3)), Conv(384, (3, 1)))
    return (
        (Conv(320),),
        (Conv(384), Fork(sides, name)),
        (Conv(448), Conv(384, 3), Fork(sides)),
        (AVERAGE, Conv(192)),
    )


#: The blocks, called mixed0 to mixed10: Table 1; those that halve rows and columns are of Figure 10.
BLOCKS: tuple[tuple[Branch, ...], ...] = (
    _small(32),
    _small(64),
    _small(64),
    ((reducing(384),), (Conv(64), Conv(96, 3), reducing(96)), (MAXIMUM,)),
    _long(128),
    _long(160),
    _long(160),
    _long(192),
    ((Conv(192), reducing(320)), (Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), reducing(192)), (MAXIMUM,)),
    _wide("mixed9_0"),
    _wide("mixed9_1"),
)


def InceptionV3(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """InceptionV3, for images of 299x299 pixels, 75x75 at least. The arguments are those of `VGG16`.

    Example:
        >>> InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3)).output_shape
        (None, 1, 1, 2048)
    """
    wanted = Wanted("InceptionV3", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    image = wanted.image(size=299, least=75)
    x = through(image, STEM)
    for number, branches in enumerate(BLOCKS):
        x = mixed(x, branches, f"mixed{number}")
    return wanted.model(image, wanted.head(x), "inception_v3", FILES)
