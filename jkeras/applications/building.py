"""How the building of each network begins and ends: arguments are checked and the input is made; the head is added and
the weights are loaded."""

import dataclasses
import numbers
import os
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from jkeras import config
from jkeras.graph.tensor import is_symbol
from jkeras.layers import Dense, GlobalAveragePooling2D, GlobalMaxPooling2D
from jkeras.models import Input, Model
from jkeras.serialize.trust import LoadError
from jkeras.typing import PathLike, Shape
from jkeras.utils.download import get_file
from jkeras.utils.layer_utils import get_source_inputs

__all__ = ["File", "Wanted", "chain", "channel_axis", "downsampling_pad", "published", "spatial_sizes"]

CLASSES = 1000
#: Keras's modules, which `keras_applications` is handed.
_MODULES = {"backend", "layers", "models", "utils"}


class File(NamedTuple):
    """A published file of weights: its address, its MD5 digest if one was published, its name in the cache."""

    origin: str
    digest: str | None = None
    fname: str | None = None


def published(origin: str, digest: str | None, digest_without_top: str | None, without_top: str = "_notop"):
    """The files of a network, by `include_top`.

    Arguments:
        origin: the address of both, {} standing for what is added where the top is missing.
        without_top: what is added.
    """
    return {True: File(origin.format(""), digest), False: File(origin.format(without_top), digest_without_top)}


def channel_axis(last: int = 3) -> int:
    """The axis of the channels of images, which counts as `last` where it is the last one."""
    return 1 if config.image_data_format() == "channels_first" else last


def spatial_sizes(shape: Shape, layout: str | None = None) -> tuple:
    """The rows and columns of a batch of images, or, of a shape without the batch axis, of one."""
    first = config.data_format(layout) == "channels_first"
    return tuple(shape[-2:] if first else shape[-3:-1])


def downsampling_pad(x: Any, size: int, layout: str | None = None) -> tuple:
    """The zeros around an image with which windows of `size`, two apart, cover it as those of TensorFlow's 'same' do.

    Sizes that are not known are taken to be even.
    """
    half = size // 2
    return tuple((half - (1 if n is None else 1 - n % 2), half) for n in spatial_sizes(x.shape, layout))


def chain(x: Any, *layers: Any) -> Any:
    """`x` through the layers, one after the other."""
    for layer in layers:
        x = layer(x)
    return x


@dataclasses.dataclass
class Wanted:
    """What is asked of a network: the arguments that all of them have.

    Arguments:
        function: the name of the function that was called, for errors.
        include_top, weights, input_tensor, input_shape, pooling, classes: see `jkeras.applications.VGG16`.
        others: what else was given: at most the modules that `keras_applications` is handed.
        layout: of the images; None for the process's.

    Raises:
        TypeError: if there are other arguments.
        ValueError: if an argument is none that can be given.
    """

    function: str
    include_top: bool
    weights: PathLike | None
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    others: Mapping[str, Any]
    layout: str | None = None

    def __post_init__(self):
        if unknown := sorted(set(self.others) - _MODULES):
            raise TypeError(f"{self.function}: unknown arguments {unknown}.")
        self.layout = config.data_format(self.layout)
        self.pretrained = isinstance(self.weights, str) and self.weights == "imagenet"
        is_path = isinstance(self.weights, (str, os.PathLike))
        if not (self.weights is None or self.pretrained or is_path and os.path.isfile(self.weights)):
            raise self.wrong("weights", "None, 'imagenet' or the path of a file that exists", self.weights)
        if self.pretrained and self.include_top and self.classes != CLASSES:
            raise self.wrong("classes", f"{CLASSES} with weights='imagenet' and include_top=True", self.classes)
        if self.include_top and not (isinstance(self.classes, numbers.Integral) and self.classes > 0):
            raise self.wrong("classes", "a positive integer", self.classes)
        if not self.include_top and self.pooling not in (None, "avg", "max"):
            raise self.wrong("pooling", "None, 'avg' or 'max'", self.pooling)

    def wrong(self, argument: str, expected: str, given: Any) -> ValueError:
        """The error that says what `argument` is to be."""
        return ValueError(f"{self.function}: {argument} must be {expected}; got {' '.join(repr(given).split()):.200}.")

    def image(self, size: int, least: int, static: bool | None = None) -> Any:
        """The symbol of the images.

        Arguments:
            size: rows and columns, where nothing else is said.
            least: how many of them there must be.
            static: whether they must be known; None where there is a top.
        """
        self.input_shape = self._checked_shape(size, least, self.include_top if static is None else static)
        if self.input_tensor is None:
            return Input(shape=self.input_shape)
        if not is_symbol(self.input_tensor):
            raise self.wrong("input_tensor", "a symbol, as `Input` gives", self.input_tensor)
        shape = self.input_tensor.shape
        if self.pretrained and len(shape) == 4 and shape[1 if self.layout == "channels_first" else 3] != 3:
            raise self.wrong("input_tensor", "images of 3 channels with weights='imagenet'", shape)
        made_by_layer = hasattr(self.input_tensor, "_keras_history")
        return self.input_tensor if made_by_layer else Input(tensor=self.input_tensor)

    def _checked_shape(self, size, least, static):
        given = None if self.input_shape is None else tuple(self.input_shape) or None
        place = 0 if self.layout == "channels_first" else 2
        ordered = lambda channels, *sizes: (channels, *sizes) if place == 0 else (*sizes, channels)  # noqa: E731
        if given is None:
            return ordered(3, size, size) if static else ordered(3, None, None)
        if len(given) != 3:
            raise self.wrong("input_shape", f"three numbers, as {ordered(3, size, size)}", given)
        if self.pretrained and static and given != ordered(3, size, size):
            expected = f"{ordered(3, size, size)} with weights='imagenet' and include_top=True"
            raise self.wrong("input_shape", expected, given)
        if self.pretrained and given[place] != 3:
            raise self.wrong("input_shape", "of images of 3 channels with weights='imagenet'", given)
        if given[place] not in (1, 3):
            warnings.warn(
                f"{self.function}: images usually have 1 or 3 channels; those of input_shape={given} have "
                f"{given[place]}.",
                stacklevel=5,
            )
        sizes = spatial_sizes(given, self.layout)
        if any(n is not None and n < least for n in sizes):
            raise self.wrong("input_shape", f"of images of {least}x{least} pixels at least ({self.layout})", given)
        if static and None in given:
            raise self.wrong("input_shape", "without None where the network has a top", given)
        return given

    def head(self, x: Any, pool: str | None = "avg_pool", scores: str = "predictions", pooled: Mapping | None = None):
        """The scores of the classes, from the mean over each channel; without a top, what `pooling` says.

        Arguments:
            pool, scores: the names of the layers of the top.
            pooled: `pooling` -> the name of its layer.
        """
        if self.include_top:
            return chain(x, self.pool("avg", pool), Dense(self.classes, activation="softmax", name=scores))
        if self.pooling is None:
            return x
        return self.pool(self.pooling, (pooled or {}).get(self.pooling))(x)

    def pool(self, kind: str, name: str | None = None):
        """The layer that pools each channel."""
        layer = GlobalAveragePooling2D if kind == "avg" else GlobalMaxPooling2D
        return layer(data_format=self.layout, name=name)

    def model(self, image: Any, outputs: Any, name: str, files: Mapping[bool, File]) -> Model:
        """The model from `image` to `outputs`, with the weights that are wanted.

        Arguments:
            files: the published weights, with and without the top.

        Raises:
            OSError: if the weights cannot be fetched.
            LoadError: if they cannot be read, or are no weights of this network; it is an OSError and a ValueError.
        """
        model = Model(get_source_inputs(image), outputs, name=name)
        if self.weights is None:
            return model
        path, hint = self.weights, ""
        if self.pretrained:
            file = files[bool(self.include_top)]
            path = get_file(file.fname, file.origin, cache_subdir="models", file_hash=file.digest)
            hint = "" if file.digest else " If it was damaged, remove it: it is downloaded again then."
        try:
            model.load_weights(path)
        except (OSError, ValueError) as error:
            raise LoadError(f"{self.function}: weights cannot be loaded: {error!s:.600}{hint}") from error
        return model
