"""Images as most of the networks take them: with values from -1 to 1."""

from typing import Any

from jkeras.applications import imagenet_utils
from jkeras.typing import Layout

__all__ = ["preprocess_input"]


def preprocess_input(x: Any, data_format: Layout | None = None, **kwargs: Any) -> Any:
    """Images with values from 0 to 255 as this network takes them; see `imagenet_utils.preprocess_input`, 'tf'."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf", **kwargs)
