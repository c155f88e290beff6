"""Nested dicts of arrays: what params and state are. A path is the tuple of names that leads to a leaf or a part."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["OUTSIDE", "as_list", "drop", "empty", "get", "leaves", "mapped", "merge", "numbered", "own", "put", "split"]

#: The name, in the state of a model, of the variables from outside that it reads. No layer can have it.
OUTSIDE = "(outside)"


def as_list(value: Any) -> list:
    """`value` as a list: itself if it is a list or tuple, else the only entry."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def numbered(values: Iterable) -> dict:
    """`values` by names that sort in their order: JAX sorts names as text."""
    return {f"{place:04}": value for place, value in enumerate(values)}


def leaves(tree: dict, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """(path, leaf) of every leaf, in the order of the dicts."""
    for name, part in tree.items():
        if isinstance(part, dict):
            yield from leaves(part, (*path, name))
        else:
            yield (*path, name), part


def empty(tree: dict, path: tuple = ()) -> Iterator[tuple]:
    """The paths of the dicts with nothing in them."""
    for name, part in tree.items():
        if isinstance(part, dict):
            yield from empty(part, (*path, name)) if part else [(*path, name)]


def mapped(function: Callable[[tuple, Any], Any], tree: dict, path: tuple = ()) -> dict:
    """`tree` with `function(path, leaf)` in place of each leaf."""
    return {
        name: mapped(function, part, (*path, name)) if isinstance(part, dict) else function((*path, name), part)
        for name, part in tree.items()
    }


def own(tree: dict) -> dict:
    """`tree` without the variables from outside, at any depth: they belong to the outermost layer."""
    return {name: own(part) if isinstance(part, dict) else part for name, part in tree.items() if name != OUTSIDE}


def get(tree: dict, path: tuple, default: Any = None) -> Any:
    """What stands at `path`; `default` if nothing does."""
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return default
        tree = tree[name]
    return tree


def put(tree: dict, path: tuple, value: Any) -> Any:
    """`tree` with `value` at `path`; nothing is changed in place."""
    if not path:
        return value
    return {**tree, path[0]: put(tree.get(path[0], {}), path[1:], value)}


def drop(tree: dict, path: tuple) -> dict:
    """`tree` without what stands at `path`, and without parts that are empty then."""
    if get(tree, path) is None:
        return tree
    first, *below = path
    rest = {name: part for name, part in tree.items() if name != first}
    inner = drop(tree[first], tuple(below)) if below else {}
    return {**rest, first: inner} if inner else rest


def split(tree: dict, chosen: Callable[[tuple], bool], path: tuple = ()) -> tuple[dict, dict]:
    """`tree` in two: the leaves whose path `chosen(path)` accepts, and the others. Neither has empty parts."""
    first, second = {}, {}
    for name, part in tree.items():
        if isinstance(part, dict):
            for target, inner in zip((first, second), split(part, chosen, (*path, name)), strict=True):
                if inner:
                    target[name] = inner
        else:
            (first if chosen((*path, name)) else second)[name] = part
    return first, second


def merge(first: dict, second: dict) -> dict:
    """The tree of which `first` and `second` are the two parts; `first` wins where both have a leaf."""
    if not first:
        return second
    merged = dict(second)
    for name, part in first.items():
        merged[name] = merge(part, merged[name]) if isinstance(part, dict) and name in merged else part
    return merged
