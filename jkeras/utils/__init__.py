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
from jkeras.utils.io_utils import H5Dict, HDF5Matrix, h5dict
from jkeras.utils.layer_utils import convert_all_kernels_in_model, get_source_inputs, print_summary
from jkeras.utils.multi_gpu_utils import multi_gpu_model
from jkeras.utils.np_utils import normalize, to_categorical
from jkeras.utils.vis_utils import plot_model

__all__ = [
    "CustomObjectScope", "GeneratorEnqueuer", "H5Dict", "HDF5Matrix", "OrderedEnqueuer", "Progbar", "Sequence",
    "convert_all_kernels_in_model", "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_file",
    "get_source_inputs", "h5dict", "multi_gpu_model", "normalize", "plot_model", "print_summary",
    "serialize_keras_object", "to_categorical",
]  # fmt: skip
