"""The arguments of layers: their types, and the form in which a layer keeps each.

    @keeps_arguments
    def __init__(self, units: Count, activation: ActivationLike = None, **kwargs: Any):
        super().__init__(**kwargs)

has `self.units`, a positive integer, and `self.activation`, a function, whatever the user wrote, before the body runs.
The types say how: each is `Annotated` with the function that makes the kept value of the given one, or raises.
Arguments of other types are kept as they are. Configs follow from the same signatures (`Layer.get_config`).
"""

import functools
import inspect
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

import numpy as np

from jkeras import activations, config, constraints, initializers, regularizers
from jkeras.layers.kernels.windows import normalize_padding, normalize_tuple

__all__ = [
    "ActivationLike", "Axis", "Clamped", "ConstraintLike", "Count", "Fraction", "Implementation", "InitializerLike",
    "Layout", "NotNegative", "OptionalWindow", "Padding", "Real", "RegularizerLike", "Seed", "Window",
    "keeps_arguments",
]  # fmt: skip


def keeps_arguments(constructor: Callable) -> Callable:
    """`constructor` of a layer, whose arguments are attributes of the layer before it runs; what is wrong raises an
    error that names the class."""
    signature = inspect.signature(constructor)
    kept = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    forms = {p.name: getattr(p.annotation, "__metadata__", (_as_it_is,))[0] for p in kept}
    plain = [
        p.replace(annotation=getattr(p.annotation, "__origin__", p.annotation)) for p in signature.parameters.values()
    ]

    @functools.wraps(constructor)
    def keeping(self, *args, **kwargs):
        kind = type(self).__name__
        try:
            given = signature.bind(self, *args, **kwargs)
            given.apply_defaults()
            for name, form in forms.items():
                given.arguments[name] = form(given.arguments[name], name, self)
                if not _is_taken(self, name):
                    setattr(self, name, given.arguments[name])
            constructor(*given.args, **given.kwargs)
        except (TypeError, ValueError) as error:
            message = str(error)
            if kind in message or f"Layer {getattr(self, 'name', '')}:" in message:
                raise
            raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{kind}: {message}") from error

    keeping.__signature__ = signature.replace(parameters=plain)  # what `help` shows
    return keeping


def _is_taken(layer, name: str) -> bool:
    """Whether the class means something else by `name`: a method, or a property that cannot be set."""
    meaning = getattr(type(layer), name, None)
    return inspect.isfunction(meaning) or (isinstance(meaning, property) and meaning.fset is None)


# ------------------------------------------------------------- form(value, name of the argument, layer) -> kept value


def _as_it_is(value, name, layer):
    return value


def _by(convert: Callable) -> Callable:
    """The form that `convert(value)` makes."""
    return lambda value, name, layer: convert(value)


def _count(value, name, layer) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}")
    return number


def _fraction(value, name, layer):
    if not (isinstance(value, numbers.Real) and 0 <= float(value) <= 1):
        raise ValueError(f"`{name}` must be a number between 0 and 1. Received: {value!r}")
    return value


def _not_negative(value, name, layer):
    if isinstance(value, str) or (isinstance(value, numbers.Real) and value < 0):
        raise ValueError(f"`{name}` must be a number not below zero. Received: {value!r}")
    return value


def _implementation(value, name, layer):
    if value not in (0, 1, 2):
        raise ValueError(f"`{name}` must be 1 or 2. Received: {value!r}")
    return value


def _axis(value, name, layer):
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be one integer. Received: {value!r}")
    return value


def _window(value, name, layer) -> tuple:
    return normalize_tuple(value, layer.rank, name, least=1)


def _optional_window(value, name, layer) -> tuple | None:
    return None if value is None else _window(value, name, layer)


#: What a name, a config or the object itself tells; None for none (as an activation, for the linear one).
ActivationLike: TypeAlias = Annotated[str | Callable | None, _by(activations.get)]
InitializerLike: TypeAlias = Annotated[str | Callable | Mapping, _by(initializers.get)]
RegularizerLike: TypeAlias = Annotated[str | Callable | Mapping | None, _by(regularizers.get)]
ConstraintLike: TypeAlias = Annotated[str | Callable | Mapping | None, _by(constraints.get)]
#: 'channels_last' or 'channels_first'; None for the process's.
Layout: TypeAlias = Annotated[str | None, _by(config.data_format)]
#: 'valid', 'same' or 'causal'.
Padding: TypeAlias = Annotated[str, _by(normalize_padding)]
#: A positive integer for all spatial axes, or one for each: as many as the `rank` of the layer says.
Window: TypeAlias = Annotated[int | Sequence[int], _window]
#: The same, or None.
OptionalWindow: TypeAlias = Annotated[int | Sequence[int] | None, _optional_window]
#: A positive integer.
Count: TypeAlias = Annotated[int, _count]
#: An axis of an array.
Axis: TypeAlias = Annotated[int, _axis]
Real: TypeAlias = Annotated[float, _by(float)]
#: A number between 0 and 1.
Fraction: TypeAlias = Annotated[float, _fraction]
#: A number that is taken to the nearest one between 0 and 1.
Clamped: TypeAlias = Annotated[float, _by(lambda value: min(1.0, max(0.0, value)))]
#: How a recurrent layer draws its dropout masks: 1 or 2; 0 as 1.
Implementation: TypeAlias = Annotated[int, _implementation]
NotNegative: TypeAlias = Annotated[float, _not_negative]
Seed: TypeAlias = Annotated[int | None, _by(lambda value: None if value is None else operator.index(value))]
