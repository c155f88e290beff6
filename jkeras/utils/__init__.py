"""Utilities, under Keras's names."""

from jkeras.utils.data_utils import GeneratorEnqueuer, OrderedEnqueuer, Sequence, get_file
from jkeras.utils.generic_utils import (
    CustomObjectScope,
    Progbar,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    serialize_keras_object,
)
from jkeras.utils.io_utils import HDF5Matrix
from jkeras.utils.layer_utils import print_summary
from jkeras.utils.multi_gpu_utils import multi_gpu_model
from jkeras.utils.np_utils import normalize, to_categorical

__all__ = [
    "CustomObjectScope", "GeneratorEnqueuer", "HDF5Matrix", "OrderedEnqueuer", "Progbar", "Sequence",
    "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_file", "multi_gpu_model", "normalize",
    "print_summary", "serialize_keras_object", "to_categorical",
]  # fmt: skip
