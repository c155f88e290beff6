"""The one function that files of published networks hold as code: it is known by that code, which is never run."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

__all__ = ["function_of", "parts_of", "scaled_sum"]


def scaled_sum(inputs: Any, scale: float) -> Any:
    """The first of two inputs plus a share of the second: how a residual block of InceptionResNetV2 ends."""
    return inputs[0] + inputs[1] * scale


#: This function as Python 3.6 and 3.7 write it: what it does; then come the path of a file, which differs between
#: installations of Keras, and what tracebacks show.
_DOES = base64.b64decode(
    "4wIAAAAAAAAAAgAAAAMAAABTAAAAcxQAAAB8AGQBGQB8AGQCGQB8ARQAFwBTACkDTukAAAAA6QEAAACpACkC2gZpbnB1dHPaBXNjYWxlcgMAAAByAwAA"
    "AA=="
)
_FILE = b"inception_resnet_v2.py"
_CODE = _DOES + b"\xfa" + bytes([len(_FILE)]) + _FILE + b"\xda\x08<lambda>\xa8\x00\x00\x00\xf3\x00\x00\x00\x00"


def parts_of(function: Callable) -> tuple | None:
    """What a config of Keras 2.2.4 holds of `function`; None if it is none that was published."""
    return (base64.encodebytes(_CODE).decode(), None, None) if function is scaled_sum else None


def function_of(parts: Any) -> Callable | None:
    """The published function that a config holds as `parts`; None if it holds another one."""
    try:
        code, defaults, closure = parts
        same = base64.b64decode(code).startswith(_DOES) and defaults is None and closure is None
    except (TypeError, ValueError, binascii.Error):
        return None
    return scaled_sum if same else None
