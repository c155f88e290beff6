"""Images: files and arrays, random transformations, and iterators of batches, under Keras's names."""

from jkeras.preprocessing.image.affine import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
    transform_matrix_offset_center,
)
from jkeras.preprocessing.image.files import array_to_img, img_to_array, list_pictures, load_img, save_img
from jkeras.preprocessing.image.folders import DataFrameIterator, DirectoryIterator
from jkeras.preprocessing.image.generator import ImageDataGenerator
from jkeras.preprocessing.image.iterator import Iterator, NumpyArrayIterator

__all__ = [
    "DataFrameIterator", "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator",
    "apply_affine_transform", "apply_brightness_shift", "apply_channel_shift", "array_to_img", "flip_axis",
    "img_to_array", "list_pictures", "load_img", "random_brightness", "random_channel_shift", "random_rotation",
    "random_shear", "random_shift", "random_zoom", "save_img", "transform_matrix_offset_center",
]  # fmt: skip
