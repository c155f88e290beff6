"""Keras's address of the sizes and arguments of windows that slide over an array."""

from jkeras.layers.kernels.windows import (
    conv_input_length,
    conv_output_length,
    convert_kernel,
    deconv_length,
    normalize_padding,
    normalize_tuple,
)

__all__ = [
    "conv_input_length", "conv_output_length", "convert_kernel", "deconv_length", "normalize_padding",
    "normalize_tuple",
]  # fmt: skip
