"""What is known about a loss or a metric, standing on the function itself."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeVar

__all__ = ["Traits", "of", "set_traits"]

_F = TypeVar("_F", bound=Callable)
_KINDS = ("output", "one-hot", "binary", "classes")


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a function `(y_true, y_pred) -> scores` expects and does. As it stands: nothing is known about it.

    Attributes:
        targets: what `y_true` is. "output": numbers in the shape of the output; "one-hot" and "binary": such numbers,
            which say the class, or yes and no; "classes": class numbers in place of the output's last axis; None:
            anything. It decides which targets are refused, and what 'accuracy' and 'crossentropy' mean beside a loss.
        per_example: whether it scores each example by itself; if not, it is always given the whole batch, however many
            devices that is split over.
    """

    targets: Literal["output", "one-hot", "binary", "classes"] | None = None
    per_example: bool = False

    def __post_init__(self):
        if self.targets is not None and self.targets not in _KINDS:
            raise ValueError(f"Traits: `targets` must be one of {', '.join(_KINDS)}, or None; got {self.targets!r}.")

    @property
    def alike(self) -> bool:
        """Whether targets must have the shape of the output."""
        return self.targets not in (None, "classes")


def set_traits(targets: Any = None, per_example: bool = False) -> Callable[[_F], _F]:
    """Say of the decorated loss or metric what is known about it; see `Traits`.

    Example:
        >>> @set_traits("output", per_example=True)
        ... def cubed(y_true, y_pred):
        ...     return abs(y_pred - y_true) ** 3
        >>> of(cubed).targets
        'output'
    """
    traits = Traits(targets, per_example)

    def with_traits(function):
        function.traits = traits
        return function

    return with_traits


def of(function: Any) -> Traits:
    """What is known about a loss or metric: of a function that says nothing, nothing."""
    traits = getattr(function, "traits", None)
    return traits if isinstance(traits, Traits) else Traits()
