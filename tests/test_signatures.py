"""Name, order and default of every argument of the public functions, classes and methods, pinned in a data file.

`tests/data/signatures.json` holds, module by module, what is public and how it is called; and where Keras 2.2.4 has the
same thing but calls it in another way, Keras's own arguments and why they differ. `python tests/test_signatures.py`
adds what is new to the file; what is there already is changed by hand, on purpose.
"""

import importlib
import inspect
import json
import pathlib
import pkgutil
import re

import pytest

import jkeras

DATA = pathlib.Path(__file__).parent / "data" / "signatures.json"
# Machine rooms, which nobody writes models with.
INNER = re.compile(
    r"(__main__|as_keras|wrappers|graph|shell|train|data|serialize|engine|trees|typing)(\.|$)|(backend|callbacks|optimizers)\.|layers\.(kernels|cell|arguments|legacy)"
    r"|applications\.(building|inception|scaled)$"
)


def modules():
    """The dotted names of the public modules, without "jkeras", the shortest first."""
    names = [module.name.removeprefix("jkeras.") for module in pkgutil.walk_packages(jkeras.__path__, "jkeras.")]
    return sorted((name for name in names if not INNER.match(name)), key=lambda name: (name.count("."), name))


def arguments(function, bound=False):
    """The arguments of a function as text, without types: "x, axis=-1, *, key=None"."""
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    parts, star = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = parameter.default
        shown = getattr(default, "__name__", None) or repr(default)
        parts.append(mark + parameter.name + ("" if default is parameter.empty else f"={shown}"))
    return ", ".join(parts)


def methods(cls):
    """name -> arguments of a class's constructor (as "") and public methods; "property" for a property."""
    found = {"": "" if cls.__init__ is object.__init__ else arguments(cls.__init__, bound=True)}
    for name in sorted(name for name in dir(cls) if name == "__call__" or not name.startswith("_")):
        attribute = inspect.getattr_static(cls, name)
        if isinstance(attribute, property):
            found[name] = "property"
        elif isinstance(attribute, (classmethod, staticmethod)):
            found[name] = arguments(getattr(cls, name))
        elif inspect.isfunction(attribute):
            found[name] = arguments(attribute, bound=True)
    return found


def entry(value, known):
    """What is pinned of a function or class: of a class, what differs from the nearest public class above it."""
    if not isinstance(value, type):
        return arguments(value)
    above = next((methods(base) for base in value.__mro__[1:] if id(base) in known), {})
    return {name: text for name, text in methods(value).items() if name == "" or above.get(name) != text}


def public():
    """(module, name) -> what is public. What stands at several addresses is taken at the first."""
    found = {}
    for module_name in modules():
        module = importlib.import_module(f"jkeras.{module_name}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and not any(value is other for other in found.values()):
                found[module_name, name] = value
    return found


PINNED = json.loads(DATA.read_text(encoding="utf-8"))
PUBLIC = public()
KNOWN = {id(value) for value in PUBLIC.values()}


@pytest.mark.parametrize("module", PINNED["arguments"])
def test_arguments_are_the_pinned_ones(module):
    where, changed = importlib.import_module(f"jkeras.{module}"), {}
    for name, pinned in PINNED["arguments"][module].items():
        value = getattr(where, name, None)
        found = methods(value) if isinstance(value, type) else {"": arguments(value)} if callable(value) else {}
        for method, text in (pinned if isinstance(pinned, dict) else {"": pinned}).items():
            if found.get(method) != text:
                changed[f"{name}.{method}"] = f"{text} -> {found.get(method)}"
    assert not changed


def test_everything_public_is_pinned():
    new = []
    for (module, name), value in PUBLIC.items():
        pinned, found = PINNED["arguments"].get(module, {}).get(name), entry(value, KNOWN)
        if pinned is None:
            new.append(f"{module}.{name}")
        elif isinstance(found, dict):
            new += [f"{module}.{name}.{method}" for method in found if method not in pinned]
    assert not new, f"to pin them run python tests/test_signatures.py: {new}"


@pytest.mark.parametrize(
    ("name", "keras"), [pytest.param(*each, id=each[0]) for group in PINNED["differences"].values() for each in group]
)
def test_what_differs_from_keras_is_known(name, keras):
    """A difference that has gone is to leave the list."""
    module, _, rest = name.rpartition(":")
    value, _, method = rest.partition(".")
    value = getattr(importlib.import_module(f"jkeras.{module}"), value)
    assert (methods(value)[method] if isinstance(value, type) else arguments(value)) != keras


def write(pinned):
    """Write the data file, one line for each public name."""
    blocks = []
    for part, lists in pinned.items():
        inner = []
        for key, content in lists.items():
            lines = content.items() if isinstance(content, dict) else [(None, each) for each in content]
            rows = [("" if name is None else json.dumps(name) + ": ") + json.dumps(value) for name, value in lines]
            opening, closing = "{}" if isinstance(content, dict) else "[]"
            inner.append(f"  {json.dumps(key)}: {opening}\n   " + ",\n   ".join(rows) + f"\n  {closing}")
        blocks.append(f" {json.dumps(part)}: {{\n" + ",\n".join(inner) + "\n }")
    DATA.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    for (module, name), value in PUBLIC.items():
        pins, content = PINNED["arguments"].setdefault(module, {}), entry(value, KNOWN)
        old = pins.setdefault(name, content)
        if isinstance(old, dict):
            pins[name] = {**content, **old}
    write(PINNED)
