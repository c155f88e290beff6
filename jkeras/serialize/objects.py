"""Names to objects and back: what a config says (a name, or a class name and its config) and the object it means.

A name is looked up in three tables, in this order: the `custom_objects` of the call, the objects of the enclosing
`custom_object_scope` or `get_custom_objects()`, and the table of the module that asks. Nothing else is ever looked up,
imported or executed.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from jkeras.serialize.trust import LoadError, at, shown, unknown_names
from jkeras.typing import CustomObjects, Function

__all__ = [
    "CustomObjectScope", "config_from_signature", "custom_object_scope", "deserialize_keras_object",
    "get_custom_objects", "get_function", "get_instance", "has_arg", "named", "serialize_keras_object",
]  # fmt: skip

_LOOK_UPS = ("deserialize", "draw", "get", "serialize")
_custom_objects: dict = {}


def get_custom_objects() -> dict:
    """The live table of custom objects, name -> class or function, that holds for the whole process.

    Example:
        >>> get_custom_objects()["twice"] = lambda x: 2 * x
        >>> get_custom_objects().clear()
    """
    return _custom_objects


class CustomObjectScope:
    """A `with` block inside which the given names are known; on leaving it, the table is what it was before.

    Arguments:
        *objects: dicts name -> class or function (None is an empty one).

    Example:
        >>> with CustomObjectScope({"twice": lambda x: 2 * x}):
        ...     "twice" in get_custom_objects()
        True
    """

    def __init__(self, *objects):
        self.custom_objects = objects
        self.backup = []

    def __enter__(self):
        self.backup.append(dict(_custom_objects))
        for objects in self.custom_objects:
            _custom_objects.update(objects or {})
        return self

    def __exit__(self, *exception):
        _custom_objects.clear()
        _custom_objects.update(self.backup.pop())


def custom_object_scope(*objects) -> CustomObjectScope:
    """A `CustomObjectScope` of the given dicts."""
    return CustomObjectScope(*objects)


def named(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """name -> object: what a module has under its `__all__`, but for the functions that look there."""
    return {name: namespace[name] for name in namespace["__all__"] if name not in _LOOK_UPS}


def has_arg(fn: Function, name: str, accept_all: bool = False) -> bool:
    """Whether `fn` can be called with the keyword argument `name`.

    Arguments:
        fn: any callable.
        name: the argument's name.
        accept_all: the answer where `fn` has no such argument but takes `**kwargs`.
    """
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # some built-in functions do not tell their signature
        return False
    found = parameters.get(name)
    if found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY):
        return True
    return accept_all and any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())


def serialize_keras_object(instance: Any) -> str | dict | None:
    """What a config keeps of `instance`: its name (a function), or its class name and config.

    Raises:
        ValueError: if it has neither `get_config` nor a name.
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config") and not isinstance(instance, type):
        return {"class_name": type(instance).__name__, "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return instance.__name__
    raise ValueError(f"Cannot serialize {instance!r}: it has neither a `get_config` method nor a `__name__`.")


def config_from_signature(instance: Any) -> dict:
    """The config of an object that keeps each argument of its constructor under the argument's name."""
    parameters = inspect.signature(type(instance)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [parameter.name for parameter in parameters if parameter.kind in named]
    return {name: getattr(instance, name) for name in names if hasattr(instance, name)}


def _find(name, module_objects, custom_objects, printable):
    for table in (custom_objects, _custom_objects, module_objects):
        if table and table.get(name) is not None:
            return table[name]
    raise unknown_names([(printable, name)])


def deserialize_keras_object(
    identifier: str | dict,
    module_objects: Mapping[str, Function] | None = None,
    custom_objects: CustomObjects = None,
    printable_module_name: str = "object",
) -> Any:
    """The object that `identifier` names.

    Arguments:
        identifier: a name (gives the function or class itself) or a dict of `class_name` and `config` (gives an
            instance).
        module_objects: dict name -> class or function, the table of the module that asks.
        custom_objects: dict name -> class or function, looked up first; also known while the config is read.
        printable_module_name: what to call the thing in error messages.

    Raises:
        LoadError: if the name is unknown, or `identifier` is neither a string nor such a dict, or no object can be made
            of it; a `ValueError`.
    """
    if isinstance(identifier, str):
        return _find(identifier, module_objects, custom_objects, printable_module_name)
    if not isinstance(identifier, dict):
        raise LoadError(
            f"Could not interpret serialized {printable_module_name}: {shown(identifier)}. "
            f"Expected a name or a dict of 'class_name' and 'config'."
        )
    if "class_name" not in identifier or "config" not in identifier:
        raise LoadError(
            f"Improper config format: {shown(identifier)}. A {printable_module_name} needs 'class_name' and 'config'."
        )
    name, config = identifier["class_name"], identifier["config"]
    if not isinstance(name, str):
        raise LoadError(f"Improper config format: 'class_name' is {shown(name)}; a name was expected.")
    found = _find(name, module_objects, custom_objects, printable_module_name)
    own = f" {shown(config['name'])}" if isinstance(config, dict) and "name" in config else ""
    with at(f"{printable_module_name} {name}{own}", config):
        return _made(found, config, custom_objects, trusted=found is (module_objects or {}).get(name))


def _made(found, config, custom_objects, trusted):
    """The object that `config` says, of what its class name means."""
    if hasattr(found, "from_config"):
        if has_arg(found.from_config, "custom_objects"):
            return found.from_config(config, custom_objects={**_custom_objects, **(custom_objects or {})})
    elif isinstance(found, type):
        taken = inspect.signature(found).parameters
        surplus = [name for name in config if name not in taken]
        if surplus:
            raise LoadError(f"{found.__name__} does not take {shown(surplus)}.")
    elif not trusted:
        raise LoadError(
            f"{shown(found)} is a function, and functions are not called with what a file says. Register a class with "
            "a method from_config."
        )
    with CustomObjectScope(custom_objects):
        return found.from_config(config) if hasattr(found, "from_config") else found(**config)


def get_function(
    identifier: Any, module_objects: Mapping[str, Function] | None, printable_module_name: str
) -> Function:
    """The function that `identifier` names, or `identifier` itself where it can be called.

    Arguments:
        identifier: a name, a dict of `class_name` and `config`, or any callable.
        module_objects, printable_module_name: as in `deserialize_keras_object`.

    Raises:
        ValueError: if it is none of these, or the name is unknown.
    """
    if isinstance(identifier, (str, dict)):
        return deserialize_keras_object(identifier, module_objects, printable_module_name=printable_module_name)
    if callable(identifier):
        return identifier
    raise ValueError(
        f"Could not interpret {printable_module_name} identifier: {identifier!r}. Expected a name or a callable."
    )


def _needs_arguments(found) -> bool:
    """Whether `found` is a function that cannot be called without arguments: then it is the object, not its maker."""
    if not inspect.isroutine(found):
        return False
    needed = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    parameters = inspect.signature(found).parameters.values()
    return any(parameter.default is parameter.empty and parameter.kind in needed for parameter in parameters)


def get_instance(identifier: Any, module_objects: Mapping[str, Function] | None, printable_module_name: str) -> Any:
    """An instance of what `identifier` names, or `identifier` itself where it can be called.

    Arguments:
        identifier: the name of a class or of a function that returns an instance, a dict of `class_name` and `config`,
            a class, or any callable. The name of a function that needs arguments (a user's `f(shape)`) gives that
            function.
        module_objects, printable_module_name: as in `deserialize_keras_object`.

    Raises:
        ValueError: if it is none of these, or the name is unknown.
    """
    found = get_function(identifier, module_objects, printable_module_name)
    if isinstance(found, type) or (
        isinstance(identifier, str) and inspect.isroutine(found) and not _needs_arguments(found)
    ):
        return found()
    return found
