"""VGG with 19 layers."""

from typing import Any

from jkeras.applications.building import Wanted, published
from jkeras.applications.imagenet_utils import decode_predictions, preprocess_input
from jkeras.applications.vgg16 import vgg
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

#: Column E of Table 1.
CONVOLUTIONS = (2, 2, 4, 4, 4)

FILES = published(
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/"
    "vgg19_weights_tf_dim_ordering_tf_kernels{}.h5",
    "cbe5617147190e668d6c5d5026f83318",
    "253f8cb515780f3b799900260a226db6",
)


def VGG19(
    include_top: bool = True, weights: PathLike | None = "imagenet", input_tensor: Any = None,
    input_shape: Shape | None = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """VGG with 19 layers, for images of 224x224 pixels. The arguments are those of `VGG16`.

    Example:
        >>> len(VGG19(weights=None).layers)
        26
    """
    wanted = Wanted("VGG19", include_top, weights, input_tensor, input_shape, pooling, classes, kwargs)
    return vgg(wanted, CONVOLUTIONS, FILES)
