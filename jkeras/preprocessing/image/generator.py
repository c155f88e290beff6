"""`ImageDataGenerator`: which random transformations images get, and how their values are standardized."""

import numbers
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.preprocessing.image import device
from jkeras.preprocessing.image.affine import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    is_part,
)
from jkeras.preprocessing.image.folders import DataFrameIterator, DirectoryIterator
from jkeras.preprocessing.image.iterator import NumpyArrayIterator, check_images, working_dtype
from jkeras.typing import DType, Layout, PathLike, Seed

__all__ = ["ImageDataGenerator"]

#: How far to shift: a part or a number of pixels, whole pixels below a number, or one of a list.
Shift = float | int | Sequence[float]


class ImageDataGenerator:
    """Batches of images with random transformations.

    Transformations are drawn from numpy's global generator, as in Keras: the same seeds give the same images.

    Arguments:
        featurewise_center, featurewise_std_normalization: whether the mean of all images is subtracted, and they are
            divided by their standard deviation, per channel; `fit` finds both.
        samplewise_center, samplewise_std_normalization: the same for each image by itself, over all its values.
        zca_whitening, zca_epsilon: whether pixels are decorrelated, and what is added to the variances; needs `fit`.
        rotation_range: the largest angle, in degrees.
        width_shift_range, height_shift_range: a float below 1 is the largest part of the size, from 1 on the largest
            number of pixels; an integer n is for -(n - 1) ... n - 1 whole pixels; a list is of what to choose from,
            with either sign.
        brightness_range: the smallest and the largest factor of the brightness; the images then have values 0 ... 255.
        shear_range: the largest angle, in degrees.
        zoom_range: the smallest and the largest factor, or a number z for 1 - z and 1 + z.
        channel_shift_range: the largest number that is added to all channels.
        fill_mode, cval: what is outside of a transformed image; see `apply_affine_transform`.
        horizontal_flip, vertical_flip: whether half of the images are turned over.
        rescale: what values are multiplied by; None for nothing.
        preprocessing_function: from an image to one of the same shape; comes after the transformations and before
            everything that changes values.
        data_format: where the channels are.
        validation_split: the part of the data that is for validation, for the iterators' `subset`.
        dtype: of the batches; None for `floatx`. (Keras's `flow` and `flow_from_directory` give float32 always.)
        interpolation_order: of the splines that interpolate.

    Raises:
        ValueError: if an option has no such value.

    Example:
        >>> generator = ImageDataGenerator(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
        >>> images, labels = np.zeros((10, 8, 8, 3), "uint8"), np.arange(10)
        >>> inputs, targets = next(generator.flow(images, labels, batch_size=4, seed=0))
        >>> inputs.shape, inputs.dtype
        ((4, 8, 8, 3), dtype('float32'))
    """

    def __init__(
        self, featurewise_center: bool = False, samplewise_center: bool = False,
        featurewise_std_normalization: bool = False, samplewise_std_normalization: bool = False,
        zca_whitening: bool = False, zca_epsilon: float = 1e-6, rotation_range: float = 0,
        width_shift_range: Shift = 0.0, height_shift_range: Shift = 0.0,
        brightness_range: Sequence[float] | None = None, shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0, channel_shift_range: float = 0.0, fill_mode: str = "nearest",
        cval: float = 0.0, horizontal_flip: bool = False, vertical_flip: bool = False, rescale: float | None = None,
        preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None, data_format: Layout = None,
        validation_split: float = 0.0, dtype: DType = None, interpolation_order: int = 1,
    ):  # fmt: skip
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range, self.channel_shift_range = (
            rotation_range,
            shear_range,
            channel_shift_range,
        )
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        if fill_mode not in ("constant", "mirror", "nearest", "reflect", "wrap"):
            raise ValueError(
                f"ImageDataGenerator: fill_mode must be 'constant', 'nearest', 'reflect' or 'wrap'; got {fill_mode!r}."
            )
        self.fill_mode, self.cval, self.interpolation_order = fill_mode, cval, interpolation_order
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.dtype = config.floatx() if dtype is None else dtype
        self.data_format = config.data_format(data_format)
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(f"ImageDataGenerator: validation_split must be between 0 and 1; got {validation_split}.")
        self.validation_split = validation_split
        zoom: Any = zoom_range
        self.zoom_range = [1 - zoom, 1 + zoom] if isinstance(zoom, numbers.Real) else list(zoom)
        if len(self.zoom_range) != 2:
            raise ValueError(f"ImageDataGenerator: zoom_range must be a number or two; got {zoom_range!r}.")
        if brightness_range is not None and len(brightness_range) != 2:
            raise ValueError(f"ImageDataGenerator: brightness_range must be two numbers; got {brightness_range!r}.")
        self.brightness_range = brightness_range
        self.mean = self.std = self.principal_components = None
        self._settle_statistics()

    def _settle_statistics(self):
        """Set what the statistics that are asked for imply."""

        def imply(cause, name, value):
            if getattr(self, cause) and getattr(self, name) != value:
                setattr(self, name, value)
                warnings.warn(f"ImageDataGenerator: `{cause}` sets `{name}` to {value}.", stacklevel=4)

        imply("zca_whitening", "featurewise_center", True)
        imply("zca_whitening", "featurewise_std_normalization", False)
        imply("featurewise_std_normalization", "featurewise_center", True)
        imply("samplewise_std_normalization", "samplewise_center", True)

    # ------------------------------------------------------------------------------------------------- iterators

    def flow(
        self, x: Any, y: Any = None, batch_size: int = 32, shuffle: bool = True, sample_weight: Any = None,
        seed: Seed = None, save_to_dir: PathLike | None = None, save_prefix: str = "", save_format: str = "png",
        subset: str | None = None,
    ) -> NumpyArrayIterator:  # fmt: skip
        """Batches of the images of an array; the arguments are those of `NumpyArrayIterator`."""
        return NumpyArrayIterator(
            x, y, self, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight, seed=seed,
            data_format=self.data_format, save_to_dir=save_to_dir, save_prefix=save_prefix, save_format=save_format,
            subset=subset, dtype=self.dtype,
        )  # fmt: skip

    def flow_from_directory(
        self, directory: PathLike, target_size: Sequence[int] = (256, 256), color_mode: str = "rgb",
        classes: Iterable[str] | None = None, class_mode: str | None = "categorical", batch_size: int = 32,
        shuffle: bool = True, seed: Seed = None, save_to_dir: PathLike | None = None, save_prefix: str = "",
        save_format: str = "png", follow_links: bool = False, subset: str | None = None,
        interpolation: str = "nearest",
    ) -> DirectoryIterator:  # fmt: skip
        """Batches of the images in the folders of a folder; the arguments are those of `DirectoryIterator`."""
        return DirectoryIterator(
            directory, self, target_size=target_size, color_mode=color_mode, classes=classes, class_mode=class_mode,
            batch_size=batch_size, shuffle=shuffle, seed=seed, data_format=self.data_format, save_to_dir=save_to_dir,
            save_prefix=save_prefix, save_format=save_format, follow_links=follow_links, subset=subset,
            interpolation=interpolation, dtype=self.dtype,
        )  # fmt: skip

    def flow_from_dataframe(
        self, dataframe: Any, directory: PathLike | None = None, x_col: str = "filename",
        y_col: str | list[str] = "class", weight_col: str | None = None, target_size: Sequence[int] = (256, 256),
        color_mode: str = "rgb", classes: Iterable[str] | None = None, class_mode: str | None = "categorical",
        batch_size: int = 32, shuffle: bool = True, seed: Seed = None, save_to_dir: PathLike | None = None,
        save_prefix: str = "", save_format: str = "png", subset: str | None = None, interpolation: str = "nearest",
        validate_filenames: bool = True, **kwargs: Any,
    ) -> DataFrameIterator:  # fmt: skip
        """Batches of the images that a table names; the arguments are those of `DataFrameIterator`.

        `has_ext`, `sort`, `drop_duplicates` and class_mode='other' are from before Keras 2.2.4's keras_preprocessing.
        """
        for name in kwargs:
            if name not in ("has_ext", "sort", "drop_duplicates"):
                raise TypeError(f"flow_from_dataframe: unknown argument {name!r}.")
            warnings.warn(f"flow_from_dataframe: `{name}` is not used any more.", DeprecationWarning, stacklevel=2)
        if class_mode == "other":
            warnings.warn("flow_from_dataframe: 'other' is now called 'raw'.", DeprecationWarning, stacklevel=2)
            class_mode = "raw"
        return DataFrameIterator(
            dataframe, directory, self, x_col=x_col, y_col=y_col, weight_col=weight_col, target_size=target_size,
            color_mode=color_mode, classes=classes, class_mode=class_mode, batch_size=batch_size, shuffle=shuffle,
            seed=seed, data_format=self.data_format, save_to_dir=save_to_dir, save_prefix=save_prefix,
            save_format=save_format, subset=subset, interpolation=interpolation, dtype=self.dtype,
            validate_filenames=validate_filenames,
        )  # fmt: skip

    def draws_first(self) -> bool:
        """Whether all that is random about an image is drawn by `get_random_transform`: the user's code may draw."""
        kind = type(self)
        return (
            self.preprocessing_function is None
            and kind.apply_transform is ImageDataGenerator.apply_transform
            and kind.standardize is ImageDataGenerator.standardize
        )

    def on_device(self) -> Callable[[Any, Any], Any]:
        """Transformations and standardization as a pure function for compiled code: `(key, images) -> images`.

        It does to a batch what `flow` does to each image, with parameters drawn from the key (each example by itself)
        in the same distribution. `interpolation_order` must be 0 or 1, `preprocessing_function` written for JAX.

        Example:
            >>> import jax
            >>> augment = jax.jit(ImageDataGenerator(rotation_range=20, horizontal_flip=True).on_device())
            >>> augment(jax.random.key(0), np.zeros((8, 32, 32, 3), "uint8")).shape
            (8, 32, 32, 3)
        """

        def augment(key, images):
            return device.standardize(self, device.transform(self, images, device.draw(self, key, images.shape)))

        return augment

    # -------------------------------------------------------------------------------------------- transformations

    def get_random_transform(self, img_shape: Sequence[int], seed: Seed = None) -> dict[str, Any]:
        """What `apply_transform` is to do with an image, drawn.

        Arguments:
            img_shape: the shape of the image.
            seed: of numpy's global generator; None to draw from it as it is.

        Returns:
            'theta', 'tx', 'ty', 'shear', 'zx', 'zy', 'flip_horizontal', 'flip_vertical', 'channel_shift_intensity' and
            'brightness'.
        """
        if seed is not None:
            np.random.seed(seed)
        uniform: Any = np.random.uniform
        # The order of the draws is Keras's.
        theta = uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0
        tx = _shift(self.height_shift_range, img_shape[self.row_axis - 1])
        ty = _shift(self.width_shift_range, img_shape[self.col_axis - 1])
        shear = uniform(-self.shear_range, self.shear_range) if self.shear_range else 0
        zx, zy = (1, 1) if self.zoom_range == [1, 1] else uniform(self.zoom_range[0], self.zoom_range[1], 2)
        flip_horizontal = (np.random.random() < 0.5) * self.horizontal_flip
        flip_vertical = (np.random.random() < 0.5) * self.vertical_flip
        shift = self.channel_shift_range
        intensity = uniform(-shift, shift) if shift != 0 else None
        brightness = None if self.brightness_range is None else uniform(*self.brightness_range)
        return {
            "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy, "flip_horizontal": flip_horizontal,
            "flip_vertical": flip_vertical, "channel_shift_intensity": intensity, "brightness": brightness,
        }  # fmt: skip

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """An image transformed.

        Arguments:
            x: of rank 3.
            transform_parameters: see `get_random_transform`; what is not there is not done.
        """
        get = transform_parameters.get
        row, col, channel = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        x = apply_affine_transform(
            x, get("theta", 0), get("tx", 0), get("ty", 0), get("shear", 0), get("zx", 1), get("zy", 1),
            row_axis=row, col_axis=col, channel_axis=channel, fill_mode=self.fill_mode, cval=self.cval,
            order=self.interpolation_order,
        )  # fmt: skip
        intensity, brightness = get("channel_shift_intensity"), get("brightness")
        if intensity is not None:
            x = apply_channel_shift(x, intensity, channel)
        if get("flip_horizontal", False):
            x = flip_axis(x, col)
        if get("flip_vertical", False):
            x = flip_axis(x, row)
        if brightness is not None:
            x = np.moveaxis(apply_brightness_shift(np.moveaxis(x, channel, 2), brightness), 2, channel)
        return x

    def random_transform(self, x: np.ndarray, seed: Seed = None) -> np.ndarray:
        """An image transformed at random.

        Arguments:
            x: of rank 3.
            seed: see `get_random_transform`.
        """
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Change the values of an image, or a batch, as the arguments say: in place if they are floats.

        As in Keras, 'samplewise' takes a batch for one sample.
        """
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if not np.issubdtype(x.dtype, np.floating):
            x = x.astype(working_dtype(self.dtype))
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.is_fitted("featurewise_center", self.mean):
            x -= self.mean
        if self.is_fitted("featurewise_std_normalization", self.std):
            x /= self.std + 1e-6  # type: ignore[operator]
        if self.is_fitted("zca_whitening", self.principal_components):
            flat = x.reshape(-1, np.prod(x.shape[-3:]))
            x = np.dot(flat, self.principal_components).reshape(x.shape)  # type: ignore[arg-type]
        return x

    def is_fitted(self, name: str, statistic: Any) -> bool:
        """Whether the option `name` is set and its statistic is there; warns if it is not."""
        if getattr(self, name) and statistic is None:
            warnings.warn(f"ImageDataGenerator: `{name}` needs `fit`, which was not called.", stacklevel=3)
        return getattr(self, name) and statistic is not None

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: Seed = None) -> None:
        """Find the statistics that the options need: mean, standard deviation, principal components.

        Arguments:
            x: images, of rank 4. They are rescaled first; `preprocessing_function` is not called, as in Keras.
            augment: whether to take transformed images.
            rounds: how many of each, with `augment`.
            seed: of numpy's global generator; None to draw from it as it is.

        Raises:
            ValueError: if the rank is not 4.
        """
        x = np.array(x, working_dtype(self.dtype))
        check_images("ImageDataGenerator.fit", x.shape, self.data_format)
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            x *= self.rescale
        if augment:
            x = np.stack([self.random_transform(image) for _ in range(rounds) for image in x])
        axes, shape = (0, self.row_axis, self.col_axis), [1, 1, 1]
        shape[self.channel_axis - 1] = x.shape[self.channel_axis]
        if self.featurewise_center:
            self.mean = np.mean(x, axis=axes).reshape(shape)
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.std(x, axis=axes).reshape(shape)
            x /= self.std + 1e-6
        if self.zca_whitening:
            flat = x.reshape(len(x), -1)
            u, s, _ = np.linalg.svd(np.dot(flat.T, flat) / len(flat))
            self.principal_components = np.dot(u / np.sqrt(s + self.zca_epsilon), u.T)


def _shift(given: Any, size):
    """A shift drawn from one of the options `width_shift_range` and `height_shift_range`, in pixels."""
    if np.size(given) == 0 or (np.ndim(given) == 0 and not given):
        return 0
    if is_part(given):
        drawn = np.random.uniform(-given, given)
    else:
        drawn = np.random.choice(given) * np.random.choice([-1, 1])
    return drawn * size if np.max(given) < 1 else drawn
