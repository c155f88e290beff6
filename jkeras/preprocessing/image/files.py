"""Image files and arrays. Pillow reads, writes and resizes."""

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.typing import DType, Layout, PathLike

__all__ = ["ENDINGS", "array_to_img", "img_to_array", "list_pictures", "load_img", "pillow", "save_img"]

#: The ends of the names of image files.
ENDINGS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

_MODES = {"grayscale": ("L", "I;16", "I"), "rgb": ("RGB",), "rgba": ("RGBA",)}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def pillow(name: str):
    """The module PIL.<name>, which is imported when it is first needed.

    Raises:
        ImportError: if Pillow is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"PIL.{name}")
    except ImportError as error:
        raise ImportError("Images need Pillow: pip install 'jkeras[image]'.") from error


def array_to_img(x: Any, data_format: Layout = None, scale: bool = True, dtype: DType = None):
    """An array as a Pillow image.

    Arguments:
        x: of rank 3, with 1, 3 or 4 channels.
        data_format: where the channels of `x` are.
        scale: whether the values are stretched to 0 ... 255.
        dtype: in which to compute; None for `floatx`.

    Raises:
        ValueError: if the rank, the layout or the number of channels is another.
    """
    x = np.asarray(x, dtype=config.floatx() if dtype is None else dtype)
    if x.ndim != 3:
        raise ValueError(f"array_to_img: one image, of rank 3, was expected; got the shape {x.shape}.")
    if config.data_format(data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if scale:
        x = x - np.min(x)
        largest = np.max(x)
        x = x * 255 if largest == 0 else x / largest * 255
    channels = x.shape[2]
    if channels not in (1, 3, 4):
        raise ValueError(f"array_to_img: 1, 3 or 4 channels were expected; got the shape {x.shape}.")
    if channels == 1:
        x = x[:, :, 0]
    wide = channels == 1 and np.max(x) > 255  # Pillow's mode I
    return pillow("Image").fromarray(x.astype("int32" if wide else "uint8"))


def img_to_array(img: Any, data_format: Layout = None, dtype: DType = None) -> np.ndarray:
    """A Pillow image as an array of rank 3.

    Arguments:
        img: the image.
        data_format: where to put the channels.
        dtype: of the array; None for `floatx`.

    Raises:
        ValueError: if it has no rank of 2 or 3, or there is no such layout.
    """
    first = config.data_format(data_format) == "channels_first"
    x = np.asarray(img, dtype=config.floatx() if dtype is None else dtype)
    if x.ndim == 2:
        return x[None] if first else x[:, :, None]
    if x.ndim != 3:
        raise ValueError(f"img_to_array: an image of rank 2 or 3 was expected; got the shape {x.shape}.")
    return x.transpose(2, 0, 1) if first else x


def save_img(
    path: Any, x: Any, data_format: Layout = None, file_format: str | None = None, scale: bool = True, **kwargs: Any
) -> None:
    """Write an array as an image file.

    Arguments:
        path: the file, or an open one.
        x: of rank 3, with 1, 3 or 4 channels.
        data_format: where the channels of `x` are.
        file_format: None to go by the name of the file.
        scale: whether the values are stretched to 0 ... 255.
        kwargs: for Pillow's `save`.
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    file_format = "jpeg" if file_format == "jpg" else file_format
    if image.mode == "RGBA" and file_format == "jpeg":
        warnings.warn("save_img: JPEG has no fourth channel; it is left out.", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)


def load_img(
    path: PathLike, grayscale: bool = False, color_mode: str = "rgb", target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
):  # fmt: skip
    """An image file as a Pillow image, read to its end.

    Arguments:
        path: the file.
        grayscale: the old way to say color_mode="grayscale".
        color_mode: 'rgb', 'rgba' or 'grayscale' (which keeps 16 and 32 bits).
        target_size: (height, width) to resize to; None for the size of the file.
        interpolation: how to resize: 'nearest', 'bilinear', 'bicubic', 'hamming', 'box' or 'lanczos'.

    Raises:
        ImportError: if Pillow is not installed.
        OSError: if there is no such file, or it is no whole image.
        ValueError: if there is no such color_mode or interpolation.
    """
    if grayscale:
        warnings.warn("load_img: instead of `grayscale=True` say `color_mode='grayscale'`.", stacklevel=2)
        color_mode = "grayscale"
    if color_mode not in _MODES:
        raise ValueError(f"load_img: color_mode must be one of {', '.join(_MODES)}; got {color_mode!r}.")
    module = pillow("Image")
    with open(path, "rb") as file:
        try:
            image = module.open(file)
            image.load()
        except Exception as error:  # also SyntaxError, of a broken PNG
            raise OSError(f"load_img: {os.fspath(path)} is no whole image: {error}") from error
    if image.mode not in _MODES[color_mode]:
        image = image.convert(_MODES[color_mode][0])
    if target_size is not None and image.size != (target_size[1], target_size[0]):
        if interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"load_img: interpolation must be one of {', '.join(_INTERPOLATIONS)}; got {interpolation!r}."
            )
        image = image.resize((target_size[1], target_size[0]), module.Resampling[interpolation.upper()])
    return image


def list_pictures(
    directory: PathLike, ext: str | Iterable[str] = ("jpg", "jpeg", "bmp", "png", "ppm", "tif", "tiff")
) -> list[str]:
    """The paths of the image files in a folder and all folders in it.

    Arguments:
        directory: the folder.
        ext: the ends of their names.
    """
    endings = tuple(f".{each}" for each in ([ext] if isinstance(ext, str) else ext))
    return [
        os.path.join(folder, name)
        for folder, _, names in os.walk(directory)
        for name in names
        if name.lower().endswith(endings)
    ]
