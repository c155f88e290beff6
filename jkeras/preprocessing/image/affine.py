"""Transformations of one image, given and random.

Random ones draw from numpy's global generator, as in Keras. scipy interpolates.
"""

import numbers
from typing import Any

import numpy as np

from jkeras.preprocessing.image.files import array_to_img, img_to_array, pillow

__all__ = [
    "apply_affine_transform", "apply_brightness_shift", "apply_channel_shift", "flip_axis", "is_part",
    "random_brightness", "random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom",
    "transform_matrix_offset_center",
]  # fmt: skip


def is_part(given: Any) -> bool:
    """Whether an option that shifts is a single float, to draw from the numbers below it."""
    return isinstance(given, numbers.Real) and not isinstance(given, numbers.Integral)


def flip_axis(x: Any, axis: int) -> np.ndarray:
    """`x` with one axis turned round."""
    return np.flip(np.asarray(x), axis)


def transform_matrix_offset_center(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """The 3 by 3 matrix that transforms about the centre of an image of height `x` and width `y`."""
    centre_x, centre_y = float(x) / 2 + 0.5, float(y) / 2 + 0.5
    there = np.array([[1, 0, centre_x], [0, 1, centre_y], [0, 0, 1]])
    back = np.array([[1, 0, -centre_x], [0, 1, -centre_y], [0, 0, 1]])
    return np.dot(np.dot(there, matrix), back)


def _matrix(theta, tx, ty, shear, zx, zy):
    """The product of rotation, shift, shear and zoom; None if all of them do nothing."""
    factors = []
    if theta != 0:
        angle = np.deg2rad(theta)
        factors.append([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    if tx != 0 or ty != 0:
        factors.append([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    if shear != 0:
        angle = np.deg2rad(shear)
        factors.append([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])
    if zx != 1 or zy != 1:
        factors.append([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])
    if not factors:
        return None
    matrix = np.array(factors[0])
    for factor in factors[1:]:
        matrix = np.dot(matrix, factor)
    return matrix


def apply_affine_transform(
    x: np.ndarray, theta: float = 0, tx: float = 0, ty: float = 0, shear: float = 0, zx: float = 1, zy: float = 1,
    row_axis: int = 0, col_axis: int = 1, channel_axis: int = 2, fill_mode: str = "nearest", cval: float = 0.0,
    order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Rotate, shift, shear and zoom an image about its centre, in one interpolation.

    Arguments:
        x: an image of rank 3.
        theta: the angle to rotate by, in degrees.
        tx, ty: how far to shift along the height and the width, in pixels.
        shear: the angle to shear by, in degrees.
        zx, zy: how many times as much is seen of the height and the width: 2 halves what is in the picture.
        row_axis, col_axis, channel_axis: the axes of height, width and channels.
        fill_mode: what is outside: 'nearest', 'constant', 'reflect' or 'wrap'.
        cval: the constant of 'constant'.
        order: of the splines that interpolate, 0 to 5.

    Returns:
        `x` itself if nothing is to be done, else a new image of the same shape.
    """
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    if matrix is None:
        return x
    matrix = transform_matrix_offset_center(matrix, x.shape[row_axis], x.shape[col_axis])
    pixels = np.moveaxis(x, channel_axis, 2)
    usual = order == 1 and fill_mode in ("nearest", "constant") and x.dtype.kind == "f" and min(pixels.shape[:2]) > 1
    if usual:
        result = _bilinear(pixels, matrix, cval if fill_mode == "constant" else None)
    else:
        result = _splines(pixels, matrix, order=order, mode=fill_mode, cval=cval)
    return np.moveaxis(result, 2, channel_axis)


def _splines(pixels, matrix, **options):
    """scipy's interpolation of each channel."""
    from scipy import ndimage

    offset: Any = matrix[:2, 2]
    return np.stack(
        [ndimage.affine_transform(plane, matrix[:2, :2], offset, **options) for plane in np.moveaxis(pixels, 2, 0)], 2
    )


def _bilinear(pixels, matrix, cval):
    """What `_splines` gives with order 1, for all channels at once; `cval` is None for the nearest pixel.

    Arguments:
        pixels: floats of shape (height, width, channels), both sizes at least 2.
    """
    height, width, channels = pixels.shape
    dtype = np.result_type(pixels.dtype, np.float32)
    places, parts, outside = [], [], False
    for axis, size in enumerate((height, width)):
        # In the order in which scipy adds, so that what is just outside of the image is so here.
        at = (matrix[axis, 2] + matrix[axis, 0] * np.arange(height))[:, None] + matrix[axis, 1] * np.arange(width)
        if cval is not None:
            outside = outside | (at < 0) | (at > size - 1)
        np.clip(at, 0, size - 1, out=at)
        place = np.minimum(at.astype(np.intp), size - 2)
        places.append(place)
        parts.append((at - place).astype(dtype)[:, :, None])
    flat = np.ascontiguousarray(pixels, dtype).reshape(-1, channels)
    corner = places[0] * width + places[1]
    top, right, bottom, last = (np.take(flat, corner + step, axis=0) for step in (0, 1, width, width + 1))
    for left_one, right_one in ((top, right), (bottom, last)):
        right_one -= left_one
        right_one *= parts[1]
        left_one += right_one
    bottom -= top
    bottom *= parts[0]
    top += bottom
    if cval is not None:
        top[outside] = cval
    return top.astype(pixels.dtype, copy=False)


def apply_channel_shift(x: np.ndarray, intensity: float, channel_axis: int = 0) -> np.ndarray:
    """Add `intensity` to all channels; what leaves the range of the image's values is clipped."""
    return np.clip(x + intensity, np.min(x), np.max(x))


def apply_brightness_shift(x: Any, brightness: float) -> np.ndarray:
    """Multiply the brightness of an image, channels last, by `brightness`.

    As in Keras, the values are stretched to 0 ... 255 first, and the result is float32.
    """
    image = array_to_img(x, "channels_last", dtype="float32")
    return img_to_array(pillow("ImageEnhance").Brightness(image).enhance(brightness), "channels_last", dtype="float32")


def random_rotation(
    x: np.ndarray, rg: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest",
    cval: float = 0.0, interpolation_order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Rotate an image by a random angle.

    Like Keras, this and the other `random_` functions take the first two axes for height and width when they look for
    the centre: with channels first, they transform about a point that is not the centre.

    Arguments:
        x: an image of rank 3.
        rg: the largest angle, in degrees.
        row_axis, col_axis, channel_axis: the axes of height, width and channels.
        fill_mode, cval: what is outside; see `apply_affine_transform`.
        interpolation_order: of the splines that interpolate.
    """
    theta = np.random.uniform(-rg, rg)
    return apply_affine_transform(
        x, theta=theta, channel_axis=channel_axis, fill_mode=fill_mode, cval=cval, order=interpolation_order
    )


def random_shift(
    x: np.ndarray, wrg: float, hrg: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0,
    fill_mode: str = "nearest", cval: float = 0.0, interpolation_order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Shift an image by random parts of its width and height.

    Arguments:
        wrg, hrg: the largest parts.
        x, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order: see `random_rotation`.
    """
    tx = np.random.uniform(-hrg, hrg) * x.shape[row_axis]
    ty = np.random.uniform(-wrg, wrg) * x.shape[col_axis]
    return apply_affine_transform(
        x, tx=tx, ty=ty, channel_axis=channel_axis, fill_mode=fill_mode, cval=cval, order=interpolation_order
    )


def random_shear(
    x: np.ndarray, intensity: float, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0,
    fill_mode: str = "nearest", cval: float = 0.0, interpolation_order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Shear an image by a random angle.

    Arguments:
        intensity: the largest angle, in degrees.
        x, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order: see `random_rotation`.
    """
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(
        x, shear=shear, channel_axis=channel_axis, fill_mode=fill_mode, cval=cval, order=interpolation_order
    )


def random_zoom(
    x: np.ndarray, zoom_range: tuple[float, float], row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0,
    fill_mode: str = "nearest", cval: float = 0.0, interpolation_order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Zoom an image by random factors, one for its height and one for its width.

    Arguments:
        zoom_range: the smallest and the largest factor.
        x, row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order: see `random_rotation`.

    Raises:
        ValueError: if `zoom_range` is not two numbers.
    """
    if len(zoom_range) != 2:
        raise ValueError(f"random_zoom: zoom_range must be two numbers; got {zoom_range!r}.")
    zx, zy = (1, 1) if tuple(zoom_range) == (1, 1) else np.random.uniform(zoom_range[0], zoom_range[1], 2)
    return apply_affine_transform(
        x, zx=zx, zy=zy, channel_axis=channel_axis, fill_mode=fill_mode, cval=cval, order=interpolation_order
    )


def random_channel_shift(x: np.ndarray, intensity_range: float, channel_axis: int = 0) -> np.ndarray:
    """Add a random number, at most `intensity_range` large, to all channels; see `apply_channel_shift`."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def random_brightness(x: Any, brightness_range: tuple[float, float]) -> np.ndarray:
    """Multiply the brightness by a random factor from a range; see `apply_brightness_shift`.

    Raises:
        ValueError: if `brightness_range` is not two numbers.
    """
    if len(brightness_range) != 2:
        raise ValueError(f"random_brightness: brightness_range must be two numbers; got {brightness_range!r}.")
    return apply_brightness_shift(x, np.random.uniform(brightness_range[0], brightness_range[1]))
