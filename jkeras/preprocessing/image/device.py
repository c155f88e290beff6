"""What `ImageDataGenerator` does, as pure functions for compiled code: a whole batch at once, on the accelerator.

The transformations are the host's, number for number where the parameters are given; drawn parameters have the same
distribution, from a key.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import random
from jkeras.preprocessing.image.affine import is_part
from jkeras.preprocessing.image.iterator import working_dtype
from jkeras.typing import Array, ArrayLike

__all__ = ["draw", "standardize", "transform"]

# How far outside of an image a place in it may come to lie, in pixels, when it is computed in 32 bits.
_ROUNDING = 1e-3


def draw(generator: Any, key: Any, shape: tuple[int, ...]) -> dict[str, Array]:
    """What to do with each image of a batch: arrays of shape (batch,), called as in `get_random_transform`.

    Arguments:
        generator: an `ImageDataGenerator`.
        key: what `jkeras.random.as_key` takes; each example has a key of its own.
        shape: of the batch.
    """
    key, count = random.as_key(key), shape[0]
    height, width = (shape[2], shape[3]) if generator.data_format == "channels_first" else (shape[1], shape[2])

    def uniform(name, low=0.0, high=1.0):
        return random.uniform(key.fold(name), (count,), low, high)

    def shift(name, given: Any, size):
        if is_part(given):
            drawn = uniform(name, -given, given)
        else:
            choices = np.arange(given) if np.ndim(given) == 0 else np.asarray(given)
            if not choices.size:
                return jnp.zeros(count)
            place = (uniform(name) * choices.size).astype(int)
            drawn = jnp.asarray(choices)[place] * jnp.sign(uniform(f"sign of {name}") - 0.5)
        return drawn * size if np.max(given) < 1 else drawn

    drawn = {}
    for name, most in (("theta", generator.rotation_range), ("shear", generator.shear_range)):
        if most:
            drawn[name] = uniform(name, -most, most)
    if np.any(generator.height_shift_range) or np.any(generator.width_shift_range):
        drawn["tx"] = shift("tx", generator.height_shift_range, height)
        drawn["ty"] = shift("ty", generator.width_shift_range, width)
    if generator.zoom_range != [1, 1]:
        drawn |= {name: uniform(name, *generator.zoom_range) for name in ("zx", "zy")}
    for name in ("flip_horizontal", "flip_vertical"):
        if getattr(generator, name.partition("_")[2] + "_flip"):
            drawn[name] = uniform(name) < 0.5
    if generator.channel_shift_range:
        most = generator.channel_shift_range
        drawn["channel_shift_intensity"] = uniform("channel_shift_intensity", -most, most)
    if generator.brightness_range is not None:
        drawn["brightness"] = uniform("brightness", *generator.brightness_range)
    return drawn


def transform(generator: Any, images: ArrayLike, parameters: Mapping[str, ArrayLike]) -> Array:
    """A batch of images transformed; see `ImageDataGenerator.apply_transform`.

    Arguments:
        generator: an `ImageDataGenerator`, with an `interpolation_order` of 0 or 1.
        images: of rank 4.
        parameters: see `draw`; what is not there is not done.
    """
    given = {name: jnp.asarray(value) for name, value in parameters.items()}
    x = jnp.asarray(images, working_dtype(generator.dtype))
    first = generator.data_format == "channels_first"
    x = x.transpose(0, 2, 3, 1) if first else x  # (batch, height, width, channels)
    flips = (("flip_horizontal", 2), ("flip_vertical", 1))
    if any(name in given for name in ("theta", "tx", "ty", "shear", "zx", "zy")):
        x, flips = _affine(generator, x, given), ()  # flipped as well
    if "channel_shift_intensity" in given:
        low, high = x.min((1, 2, 3), keepdims=True), x.max((1, 2, 3), keepdims=True)
        x = jnp.clip(x + _spread(given["channel_shift_intensity"]), low, high)
    for name, axis in flips:
        if name in given:
            x = jnp.where(_spread(given[name]), jnp.flip(x, axis), x)
    if "brightness" in given:
        x = _brighten(x, _spread(given["brightness"]))
    return x.transpose(0, 3, 1, 2) if first else x


def _spread(values):
    """(batch,) as (batch, 1, 1, 1)."""
    return values[:, None, None, None]


def _matrices(given, count):
    """The affine matrices, of shape (batch, 2, 2), and the shifts, (batch, 2), before centring."""
    zero, one = jnp.zeros(count), jnp.ones(count)
    theta, shear = jnp.deg2rad(given.get("theta", zero)), jnp.deg2rad(given.get("shear", zero))
    shift = jnp.stack([given.get("tx", zero), given.get("ty", zero)], -1)
    zx, zy = given.get("zx", one), given.get("zy", one)

    def matrix(*entries):
        return jnp.stack(entries, -1).reshape(count, 2, 2)

    cos, sin = jnp.cos(theta), jnp.sin(theta)
    turned = matrix(cos, -sin, sin, cos)
    shifts = jnp.einsum("nij,nj->ni", turned, shift, precision="highest")
    sheared = matrix(zx, -jnp.sin(shear) * zy, zero, jnp.cos(shear) * zy)
    return jnp.einsum("nij,njk->nik", turned, sheared, precision="highest"), shifts


def _affine(generator, x, given):
    """Images transformed and flipped; what comes between the two on the host is the same for flipped images."""
    if generator.interpolation_order not in (0, 1):
        raise ValueError(
            f"In compiled code interpolation_order must be 0 or 1; this generator has {generator.interpolation_order}."
        )
    count, height, width, channels = x.shape
    matrices, shifts = _matrices(given, count)
    centre = jnp.array([height, width]) / 2 + 0.5
    shifts = shifts + centre - jnp.einsum("nij,j->ni", matrices, centre, precision="highest")
    rows = _places(height, given.get("flip_vertical"))[:, :, None]
    columns = _places(width, given.get("flip_horizontal"))[:, None, :]
    neighbours, parts, outside = [], [], False
    for axis, size in enumerate((height, width)):
        entry = matrices[:, axis, :, None, None]
        at = shifts[:, axis, None, None] + entry[:, 0] * rows + entry[:, 1] * columns  # (batch, height, width)
        if generator.fill_mode == "constant":
            outside = outside | (at < -_ROUNDING) | (at > size - 1 + _ROUNDING)
        at = at if generator.fill_mode == "reflect" else _within(at, size, generator.fill_mode)
        at = jnp.floor(at + 0.5) if generator.interpolation_order == 0 else at
        place = jnp.floor(at)
        neighbours.append([_index(place.astype(int) + step, size) for step in (0, 1)])
        parts.append((at - place)[..., None])
    flat = x.reshape(count, height * width, channels)

    def pixels(row, column):
        index = (row * width + column).reshape(count, -1, 1)
        return jnp.take_along_axis(flat, index, 1, mode="promise_in_bounds").reshape(x.shape)

    (row, next_row), (column, next_column) = neighbours
    if generator.interpolation_order == 0:
        result = pixels(row, column)
    else:
        down, right = parts
        top = pixels(row, column) * (1 - right) + pixels(row, next_column) * right
        bottom = pixels(next_row, column) * (1 - right) + pixels(next_row, next_column) * right
        result = top * (1 - down) + bottom * down
    return result if outside is False else jnp.where(outside[..., None], generator.cval, result)


def _places(size, flip):
    """The numbers of pixels along an axis, of shape (batch or 1, size), turned round where `flip` says so."""
    places = jnp.arange(size)[None]
    return places if flip is None else jnp.where(flip[:, None], size - 1 - places, places)


def _within(at, size, fill_mode):
    """Coordinates in the image for those outside, as scipy has them: 'wrap' repeats every size - 1 pixels."""
    if fill_mode == "wrap" and size > 1:
        period = size - 1
        below = at + period * (jnp.floor(-at / period) + 1)
        above = at - period * jnp.floor(at / period)
        return jnp.where(at < 0, below, jnp.where(at > period, above, at))
    return jnp.clip(at, 0, size - 1)


def _index(place, size):
    """The pixel at `place` of an image that is mirrored at its edges."""
    place = place % (2 * size)
    return jnp.minimum(place, 2 * size - 1 - place)


def _brighten(x, factor):
    """Pillow's brightness, of the values stretched to 0 ... 255; a fourth channel stays."""
    x = x - x.min((1, 2, 3), keepdims=True)
    largest = x.max((1, 2, 3), keepdims=True)
    x = jnp.floor(x / jnp.where(largest == 0, 1, largest) * 255)
    bright = jnp.floor(jnp.clip(x * factor, 0, 255))
    return jnp.concatenate([bright[..., :3], x[..., 3:]], -1) if x.shape[-1] == 4 else bright


def standardize(generator: Any, images: Array) -> Array:
    """The values of each image standardized; see `ImageDataGenerator.standardize`.

    Arguments:
        generator: an `ImageDataGenerator`; its `preprocessing_function` must be written for JAX.
        images: of rank 4.
    """
    x = images if generator.preprocessing_function is None else jax.vmap(generator.preprocessing_function)(images)
    if generator.rescale:
        x = x * generator.rescale
    if generator.samplewise_center:
        x = x - x.mean((1, 2, 3), keepdims=True)
    if generator.samplewise_std_normalization:
        x = x / (x.std((1, 2, 3), keepdims=True) + 1e-6)
    if generator.is_fitted("featurewise_center", generator.mean):
        x = x - generator.mean
    if generator.is_fitted("featurewise_std_normalization", generator.std):
        x = x / (generator.std + 1e-6)
    if generator.is_fitted("zca_whitening", generator.principal_components):
        x = (x.reshape(len(x), -1) @ generator.principal_components).reshape(x.shape)
    return x.astype(jnp.dtype(generator.dtype))
