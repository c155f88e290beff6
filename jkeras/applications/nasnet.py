"""NASNet-A: two cells that a search found, repeated.

Zoph, Vasudevan, Shlens and Le, Learning Transferable Architectures for Scalable Image Recognition,
https://arxiv.org/abs/1707.07012
"""

import warnings
from typing import Any, NamedTuple

from jkeras import config
from jkeras.applications.building import File, Wanted, chain, downsampling_pad, spatial_sizes
from jkeras.applications.imagenet_utils import decode_predictions
from jkeras.applications.scaled import preprocess_input
from jkeras.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Cropping2D,
    MaxPooling2D,
    SeparableConv2D,
    ZeroPadding2D,
)
from jkeras.models import Model
from jkeras.typing import PathLike, Shape

__all__ = ["NASNet", "NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]

_ORIGIN = "https://github.com/titu1994/Keras-NASNet/releases/download/v1.2/NASNet-"
#: By the size of the images.
FILES = {
    224: {
        True: File(_ORIGIN + "mobile.h5", "020fb642bf7360b370c678b08e0adf61", "nasnet_mobile.h5"),
        False: File(_ORIGIN + "mobile-no-top.h5", "1ed92395b5b598bdda52abe5c0dbfd63", "nasnet_mobile_no_top.h5"),
    },
    331: {
        True: File(_ORIGIN + "large.h5", "11577c9a518f0070763c2b964a382f17", "nasnet_large.h5"),
        False: File(_ORIGIN + "large-no-top.h5", "d81d89dc07e6e56530c4e77faddd61b5", "nasnet_large_no_top.h5"),
    },
}

#: Only this layout: the layers are told, whatever the process's is.
LAYOUT = "channels_last"


class Step(NamedTuple):
    """One of the two summands of a sum in a cell.

    Attributes:
        source: what it is made of: "h", the output of the cell before, "p", that of the cell before that one, both
            brought to the filters of the cell; "padded", h with zeros around; or one of the sums, "x1", "x2", ...
        operation: "separable", "average" or "maximum"; None for the source itself.
        place: a part of the names of its layers.
        size: of the windows.
    """

    source: str
    operation: str | None = None
    place: str = ""
    size: int = 3


class Cell(NamedTuple):
    """A cell.

    Attributes:
        kind: how the names of its layers begin. strides: of what is done to "h", "p" and "padded".
        sums: the name of the layer (None for none), and the two summands.
        outputs: what is laid side by side.
    """

    kind: str
    strides: int
    sums: tuple
    outputs: tuple


#: Figure 4.
NORMAL = Cell(
    "normal",
    1,
    (
        ("add_1", Step("h", "separable", "left1", 5), Step("p", "separable", "right1")),
        ("add_2", Step("p", "separable", "left2", 5), Step("p", "separable", "right2")),
        ("add_3", Step("h", "average", "left3"), Step("p")),
        ("add_4", Step("p", "average", "left4"), Step("p", "average", "right4")),
        ("add_5", Step("h", "separable", "left5"), Step("h")),
    ),
    ("p", "x1", "x2", "x3", "x4", "x5"),
)
REDUCTION = Cell(
    "reduction",
    2,
    (
        ("add_1", Step("h", "separable", "left1", 5), Step("p", "separable", "right1", 7)),
        ("add_2", Step("padded", "maximum", "left2"), Step("p", "separable", "right2", 7)),
        ("add3", Step("padded", "average", "left3"), Step("p", "separable", "right3", 5)),
        (None, Step("x2"), Step("x1", "average", "left4")),
        ("add4", Step("x1", "separable", "left4"), Step("padded", "maximum", "right5")),
    ),
    ("x2", "x3", "x4", "x5"),
)


def NASNet(
    input_shape: Shape | None = None, penultimate_filters: int = 4032, num_blocks: int = 6,
    stem_block_filters: int = 96, skip_reduction: bool = True, filter_multiplier: int = 2, include_top: bool = True,
    weights: PathLike | None = None, input_tensor: Any = None, pooling: str | None = None, classes: int = 1000,
    default_size: int | None = None, **kwargs: Any,
) -> Model:  # fmt: skip
    """A network of the cells of NASNet-A, for images with channels last.

    Arguments:
        penultimate_filters: the channels of the last cell: P of "NASNet-A (N @ P)".
        num_blocks: how often the normal cell is repeated, each of three times: N.
        stem_block_filters: the filters of the first convolution.
        skip_reduction: whether the cell behind a reduction is handed what the reduction was handed second.
        filter_multiplier: how many times as wide the network gets at each reduction.
        default_size: the rows and columns of the images, where nothing else is said; None for 331. Weights were
            published for 224, as `NASNetMobile`, and 331, as `NASNetLarge`.
        The others are those of `VGG16`. Sizes are to be known, also without the top.

    Raises:
        ValueError: if an argument is wrong, or weights do not fit.

    Example:
        >>> model = NASNet((32, 32, 3), 24 * 4, num_blocks=1, stem_block_filters=8, include_top=False)
        >>> model.output_shape
        (None, 1, 1, 96)
    """
    size = 331 if default_size is None else default_size
    function = {224: "NASNetMobile", 331: "NASNetLarge"}.get(size, "NASNet")
    wanted = Wanted(function, include_top, weights, input_tensor, input_shape, pooling, classes, kwargs, LAYOUT)
    if wanted.pretrained and size not in FILES:
        raise wanted.wrong("default_size", f"one of {tuple(FILES)} with weights='imagenet'", default_size)
    if penultimate_filters % (24 * filter_multiplier**2):
        raise wanted.wrong("penultimate_filters", "a multiple of 24 * filter_multiplier ** 2", penultimate_filters)
    if config.image_data_format() != LAYOUT:
        warnings.warn(
            f"{function} takes images with channels last only, although image_data_format is "
            f"{config.image_data_format()!r}.",
            stacklevel=2,
        )
    image = wanted.image(size, least=32, static=True)
    filters, times = penultimate_filters // 24, filter_multiplier
    x = chain(
        image,
        _convolution(stem_block_filters, 3, strides=2, padding="valid", name="stem_conv1"),
        _normalization("stem_bn1"),
    )
    x, before = _cell(REDUCTION, x, x, filters // times**2, "stem_1")
    x, before = _cell(REDUCTION, x, before, filters // times, "stem_2")
    for stage in range(3):
        if stage:
            reduced, previous = _cell(REDUCTION, x, before, filters * times**stage, f"reduce_{stage * num_blocks}")
            x, before = reduced, before if skip_reduction else previous
        for number in range(num_blocks):
            place = stage * num_blocks + number + (stage > 0)
            x, before = _cell(NORMAL, x, before, filters * times**stage, str(place))
    x = wanted.head(Activation("relu")(x), pool=None)
    return wanted.model(image, x, "NASNet", FILES.get(size, {}))


def NASNetLarge(
    input_shape: Shape | None = None, include_top: bool = True, weights: PathLike | None = "imagenet",
    input_tensor: Any = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """NASNet-A (6 @ 4032), for images of 331x331 pixels. The arguments are those of `VGG16`.

    Images have their channels last; sizes are to be known, also without the top.
    """
    return NASNet(
        input_shape, 4032, 6, 96, True, 2, include_top, weights, input_tensor, pooling, classes, default_size=331,
        **kwargs,
    )  # fmt: skip


def NASNetMobile(
    input_shape: Shape | None = None, include_top: bool = True, weights: PathLike | None = "imagenet",
    input_tensor: Any = None, pooling: str | None = None, classes: int = 1000, **kwargs: Any,
) -> Model:  # fmt: skip
    """NASNet-A (4 @ 1056), for images of 224x224 pixels. The arguments are those of `VGG16`.

    Images have their channels last; sizes are to be known, also without the top.
    """
    return NASNet(
        input_shape, 1056, 4, 32, False, 2, include_top, weights, input_tensor, pooling, classes, default_size=224,
        **kwargs,
    )  # fmt: skip


def _convolution(filters, size=1, strides=1, padding="same", name=None, kind: Any = Conv2D):
    return kind(
        filters, size, strides=strides, padding=padding, data_format=LAYOUT, use_bias=False,
        kernel_initializer="he_normal", name=name,
    )  # fmt: skip


def _normalization(name):
    return BatchNormalization(axis=-1, momentum=0.9997, epsilon=1e-3, name=name)


def _cell(cell, x, before, filters, place):
    """The output of a cell and of the one before it.

    Arguments:
        x, before: the outputs of the cell before this one, and of the one before that.
        place: a part of the names of its layers.
    """
    kind = cell.kind
    values = {"p": _adjusted(before, x, filters, place)}
    values["h"] = chain(
        x,
        Activation("relu"),
        _convolution(filters, name=f"{kind}_conv_1_{place}"),
        _normalization(f"{kind}_bn_1_{place}"),
    )
    if cell.strides == 2:
        pad = downsampling_pad(values["h"], 3, LAYOUT)
        values["padded"] = ZeroPadding2D(pad, data_format=LAYOUT, name=f"{kind}_pad_1_{place}")(values["h"])
    for number, (name, *steps) in enumerate(cell.sums, 1):
        summands = [_summand(values[step.source], step, cell, filters, place) for step in steps]
        values[f"x{number}"] = Add(name=name and f"{kind}_{name}_{place}")(summands)
    outputs = [values[source] for source in cell.outputs]
    return Concatenate(axis=-1, name=f"{kind}_concat_{place}")(outputs), x


def _summand(x, step, cell, filters, place):
    """What `step` makes of `x`."""
    name = f"{cell.kind}_{step.place}_{place}"
    strides = 1 if step.source.startswith("x") else cell.strides
    if step.operation is None:
        return x
    if step.operation == "separable":
        return _separable(x, filters, step.size, strides, name)
    pool = AveragePooling2D if step.operation == "average" else MaxPooling2D
    padding = "same" if strides == 1 else "valid"
    return pool(step.size, strides=strides, padding=padding, data_format=LAYOUT, name=name)(x)


def _separable(x, filters, size, strides, name):
    """Rectified, convolved and normalized, twice."""
    x = Activation("relu")(x)
    padding = "same"
    if strides == 2:
        pad = downsampling_pad(x, size, LAYOUT)
        x = ZeroPadding2D(pad, data_format=LAYOUT, name=f"separable_conv_1_pad_{name}")(x)
        padding = "valid"
    return chain(
        x,
        _convolution(filters, size, strides, padding, f"separable_conv_1_{name}", SeparableConv2D),
        _normalization(f"separable_conv_1_bn_{name}"),
        Activation("relu"),
        _convolution(filters, size, name=f"separable_conv_2_{name}", kind=SeparableConv2D),
        _normalization(f"separable_conv_2_bn_{name}"),
    )


def _adjusted(p, x, filters, place):
    """`p` with the rows and columns of `x`, and with `filters` channels."""
    if spatial_sizes(p.shape, LAYOUT) != spatial_sizes(x.shape, LAYOUT):
        p = Activation("relu", name=f"adjust_relu_1_{place}")(p)
        shifted = chain(
            p,
            ZeroPadding2D(((0, 1), (0, 1)), data_format=LAYOUT),
            Cropping2D(((1, 0), (1, 0)), data_format=LAYOUT),
        )
        halves = [
            chain(
                values,
                AveragePooling2D(1, strides=2, data_format=LAYOUT, name=f"adjust_avg_pool_{number}_{place}"),
                _convolution(filters // 2, name=f"adjust_conv_{number}_{place}"),
            )
            for number, values in enumerate((p, shifted), 1)
        ]
        return chain(Concatenate(axis=-1)(halves), _normalization(f"adjust_bn_{place}"))
    if p is not x and p.shape[-1] != filters:
        return chain(
            p,
            Activation("relu"),
            _convolution(filters, name=f"adjust_conv_projection_{place}"),
            _normalization(f"adjust_bn_{place}"),
        )
    return p
