"""Arguments of layers, checked where a layer is made, in messages that name it."""

import functools
import numbers
import operator

__all__ = ["check_fraction", "count", "names_layer"]


def names_layer(method):
    """`method` of a layer that takes its arguments, with the class put before errors that do not name the layer."""

    @functools.wraps(method)
    def naming(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except (TypeError, ValueError) as error:
            kind, message = type(self).__name__, str(error)
            if kind in message or f"Layer {getattr(self, 'name', '')}:" in message:
                raise
            raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{kind}: {message}") from error

    return naming


def count(layer, argument: str, value) -> int:
    """`value` as an integer above zero; `argument` is what the message calls it.

    Raises:
        ValueError: if it is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{type(layer).__name__}: `{argument}` must be a positive integer. Received: {value!r}")
    return number


def check_fraction(layer, argument: str, value) -> None:
    """Check that `value` is a number between 0 and 1; `argument` is what the message calls it.

    Raises:
        ValueError: if it is not.
    """
    if not (isinstance(value, numbers.Real) and 0 <= value <= 1):
        raise ValueError(f"{type(layer).__name__}: `{argument}` must be a number between 0 and 1. Received: {value!r}")
