"""Windows that slide over spatial axes: their arguments as tuples, and the sizes that go in and come out."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jkeras.serialize.trust import check_size

__all__ = [
    "check_window", "conv_input_length", "conv_output_length", "convert_kernel", "deconv_length", "normalize_padding",
    "normalize_tuple", "same_padding", "spatial_axes",
]  # fmt: skip


def normalize_tuple(value: Any, n: int, name: str, least: int | None = None) -> tuple:
    """`value` (an integer, or `n` of them) as a tuple of `n` integers; `name` is what messages call it.

    Raises:
        ValueError: if it is neither, or one of them is below `least`.
    """
    message = f"The `{name}` argument must be a tuple of {n} integers. Received: {value}"
    if not isinstance(value, (list, tuple, np.ndarray)):
        value = (value,) * n
    if len(value) != n:
        raise ValueError(message)
    sizes = []
    for single in value:
        try:
            sizes.append(operator.index(single))
        except TypeError:
            if not (isinstance(single, float) and single.is_integer()):
                raise ValueError(f"{message} including element {single!r} of type {type(single)}") from None
            sizes.append(int(single))
    if least is not None and min(sizes) < least:
        raise ValueError(f"{message}; expected integers of at least {least}.")
    return tuple(sizes)


def normalize_padding(value: str) -> str:
    """`value` in lower case: 'valid', 'same' or 'causal'.

    Raises:
        ValueError: if it is none of these.
    """
    padding = str(value).lower()
    if padding not in ("valid", "same", "causal"):
        raise ValueError(
            f'The `padding` argument must be one of "valid", "same" (or "causal" for Conv1D). Received: {value}'
        )
    return padding


def spatial_axes(rank: int, data_format: str) -> tuple:
    """The spatial axes of an array with a batch axis, `rank` spatial axes and channels."""
    first = 1 if data_format == "channels_last" else 2
    return tuple(range(first, first + rank))


def check_window(
    sizes: Sequence, window: Sequence[int], padding: str, dilation_rate: Sequence[int] | None = None, *, layer: str = ""
) -> None:
    """Check that a window fits into spatial `sizes` (unknown ones are taken to fit); `layer` is named in the message.

    Raises:
        ValueError: if it does not, and `padding` is 'valid'; with padding, if memory would not hold that.
    """
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation_rate or (1,) * len(window), strict=True)]
    where = f"Layer {layer}: " if layer else ""
    if padding != "valid":
        check_size(spans, f"{where}what a window slides over")
    elif any(isinstance(n, int) and n < span for n, span in zip(sizes, spans, strict=True)):
        raise ValueError(
            f"{where}Negative dimension size: a window that spans {tuple(spans)} does not fit into an input of spatial "
            f"size {tuple(sizes)} with padding 'valid'."
        )


def same_padding(size: int, span: int, stride: int) -> tuple:
    """The zeros before and behind an axis of `size` for padding 'same', TensorFlow's: the odd one goes behind."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


# ----------------------------------------------------------------------------- sizes along one axis; None is unknown


def conv_output_length(input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1):
    """How many places a window of `filter_size` has along an axis of `input_length`.

    Arguments:
        padding: 'valid', 'same', 'causal' or 'full'.
    """
    if input_length is None:
        return None
    span = (filter_size - 1) * dilation + 1
    lengths = {
        "valid": input_length - span + 1,
        "same": input_length,
        "causal": input_length,
        "full": input_length + span - 1,
    }
    assert padding in lengths, f"padding must be one of {list(lengths)}. Received: {padding!r}"  # as in Keras
    length = lengths[padding]
    return (length + stride - 1) // stride


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int):
    """The length of the axis along which a window of `filter_size` has `output_length` places."""
    if output_length is None:
        return None
    pad = {"valid": 0, "same": filter_size // 2, "full": filter_size - 1}[padding]
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None,
    stride_size: int,
    kernel_size: int,
    padding: str,
    output_padding: int | None,
    dilation: int = 1,
):
    """The length of an axis after a transposed convolution.

    Arguments:
        dim_size: its length before.
        output_padding: how much longer than the shortest the result is; None for the usual length.
    """
    if dim_size is None:
        return None
    span = (kernel_size - 1) * dilation + 1
    if output_padding is None:
        extra = {"valid": max(span - stride_size, 0), "same": 0, "full": 2 - stride_size - span}[padding]
        return dim_size * stride_size + extra
    pad = {"valid": 0, "same": span // 2, "full": span - 1}[padding]
    return (dim_size - 1) * stride_size + span - 2 * pad + output_padding


def convert_kernel(kernel: ArrayLike):
    """`kernel`, (*window, in, out), with its window turned around: convolution to correlation and back.

    Raises:
        ValueError: if it has not three, four or five axes.
    """
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"Invalid kernel shape: {kernel.shape}; expected three to five axes.")
    return np.flip(kernel, axis=tuple(range(kernel.ndim - 2))).copy()
