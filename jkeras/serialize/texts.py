"""JSON and YAML of strangers, parsed within bounds: plain data, nested and repeated no more than models need."""

import json
from typing import Any

from jkeras.serialize.trust import LoadError, check_nesting

__all__ = ["parsed_json", "parsed_yaml"]

#: Digits of whole numbers; of longer ones (and of those in base 60) YAML's reader takes quadratic time.
_DIGITS = 100
#: Its time is quadratic in the depth of brackets, too, of which Keras writes few.
_BRACKETS = 100


def parsed_json(text: Any) -> Any:
    """What a JSON text says.

    Raises:
        ValueError, TypeError, RecursionError: if it is none, or is nested too deep.
    """
    return check_nesting(json.loads(text))


def parsed_yaml(text: Any) -> Any:
    """What a YAML text says; of Python's tags, those of tuples and texts are known, which Keras writes.

    Raises:
        ValueError, YAMLError: if it is none, or names other things, or is nested or repeated too much.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML's safe loader, and the harmless tags that Keras writes: tuples, and the texts of Python 2."""

        def fetch_flow_collection_start(self, token):
            if self.flow_level > _BRACKETS:
                raise LoadError(f"brackets are nested deeper than {_BRACKETS} levels.")
            super().fetch_flow_collection_start(token)

        def flatten_mapping(self, node):
            if any(key.tag.endswith(":merge") for key, _ in node.value):
                raise LoadError("merge keys (<<) are not read.")

    def whole_number(loader, node):
        if len(loader.construct_scalar(node)) > _DIGITS:
            raise LoadError(f"a number has more than {_DIGITS} digits.")
        return loader.construct_yaml_int(node)

    for tag, reader in {
        "python/tuple": lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
        "python/unicode": lambda loader, node: loader.construct_scalar(node),
        "int": whole_number,
    }.items():
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", reader)
    try:
        return check_nesting(yaml.load(text, Loader), len(text))
    except yaml.YAMLError as error:
        raise LoadError(str(error)) from error
