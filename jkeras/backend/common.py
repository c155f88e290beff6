"""Keras's other address of the settings of the backend."""

from jkeras.backend import cast_to_floatx
from jkeras.backend.legacy import image_dim_ordering, set_image_dim_ordering
from jkeras.config import data_format as normalize_data_format
from jkeras.config import epsilon, floatx, image_data_format, set_epsilon, set_floatx, set_image_data_format

__all__ = [
    "cast_to_floatx", "epsilon", "floatx", "image_data_format", "image_dim_ordering", "normalize_data_format",
    "set_epsilon", "set_floatx", "set_image_data_format", "set_image_dim_ordering",
]  # fmt: skip
