"""What the Inception networks share: convolutions that are normalized and rectified, side by side in branches."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from jkeras.applications.building import channel_axis
from jkeras.layers import Activation, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, MaxPooling2D

__all__ = ["AVERAGE", "MAXIMUM", "STEM", "Branch", "Conv", "Fork", "mixed", "reducing", "through"]


class Conv(NamedTuple):
    """A convolution, its size one number or (rows, columns), normalized and rectified."""

    filters: int
    size: int | tuple[int, int] = 1
    strides: int = 1
    padding: str = "same"
    name: str | None = None

    def __call__(self, x):
        x = Conv2D(self.filters, self.size, strides=self.strides, padding=self.padding, use_bias=False, name=self.name)(
            x
        )
        named = lambda end: self.name and f"{self.name}_{end}"  # noqa: E731
        x = BatchNormalization(axis=channel_axis(), scale=False, name=named("bn"))(x)
        return Activation("relu", name=named("ac"))(x)


class Fork(NamedTuple):
    """Convolutions side by side, in a branch."""

    convolutions: Sequence[Conv]
    name: str | None = None

    def __call__(self, x):
        return mixed(x, [(convolution,) for convolution in self.convolutions], self.name)


def AVERAGE(x: Any) -> Any:
    """Means of 3x3 pixels around each."""
    return AveragePooling2D(3, strides=1, padding="same")(x)


def MAXIMUM(x: Any) -> Any:
    """Maxima of 3x3 pixels, two apart."""
    return MaxPooling2D(3, strides=2)(x)


def reducing(filters: int) -> Conv:
    """A convolution that halves rows and columns."""
    return Conv(filters, 3, 2, "valid")


#: What is done one after the other: convolutions, forks and poolings.
Branch: TypeAlias = Sequence[Any]

#: How these networks begin: Table 1 of https://arxiv.org/abs/1512.00567.
STEM: Branch = (
    reducing(32), Conv(32, 3, padding="valid"), Conv(64, 3), MAXIMUM,
    Conv(80, 1, padding="valid"), Conv(192, 3, padding="valid"), MAXIMUM,
)  # fmt: skip


def through(x: Any, branch: Branch) -> Any:
    """`x` through a branch."""
    for step in branch:
        x = step(x)
    return x


def mixed(x: Any, branches: Iterable[Branch], name: str | None = None) -> Any:
    """The outputs of the branches, one behind the other along the channels."""
    return Concatenate(axis=channel_axis(), name=name)([through(x, branch) for branch in branches])
