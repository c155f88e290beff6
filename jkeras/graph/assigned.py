"""What is assigned to the attributes of a layer, in its `call` and afterwards.

What a `call` assigns to `self`, or puts into a list or dict there, goes to a copy: `apply` has no effects. Keras runs
`call` once, when the graph is made, and what it assigned is there from then on. So what its abstract runs give alike
(numbers, shapes, flags) is kept when a graph is made; each run starts from what was there before the first. Of the rest
(tensors, what depends on unknown sizes or on the phase) the name is kept, so that who asks for it is told
(`HoldsWeights.__getattr__`).
"""

from typing import Any

import jax
import jax.export
import numpy as np

from jkeras.graph.adapter import layers_in
from jkeras.graph.tensor import symbols_in
from jkeras.graph.value import Value
from jkeras.lift import Shape, map_nest

__all__ = ["check_held", "keep_assignments"]


def keep_assignments(assignments: dict) -> None:
    """Give layers what the runs of their `call`s assigned to `self`: layer -> for each run, name -> value."""
    for layer, runs in assignments.items():
        own = vars(layer)
        for name in dict.fromkeys(name for run in runs for name in run):
            first, *others = [run[name] for run in runs if name in run]
            if symbols_in(own.get(name)) or any(True for _ in layers_in([first, own.get(name)])):
                continue  # weights, and layers: what becomes of them is known
            before = own.setdefault("_before_call", {})
            before.setdefault(name, [own[name]] if name in own else [])
            if _is_traced(first) or not all(_is_same(first, other) for other in others):
                own.pop(name, None)
            else:
                own[name] = map_nest(Shape, first, Shape)


def _is_traced(value) -> bool:
    """Whether in `value`, or in the lists, tuples and dicts in it, there is anything of the trace at hand."""
    if isinstance(value, (list, tuple, set)):
        return any(map(_is_traced, value))
    if isinstance(value, dict):
        return any(map(_is_traced, value.values()))
    return isinstance(value, (Value, jax.core.Tracer)) or jax.export.is_symbolic_dim(value)


def _is_same(one, other) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    return one is other or bool(np.all(one == other))


def check_held(layer: Any, name: str, value: Any) -> None:
    """Check that `layer`, which was called, still holds the layers that it computes with if attribute `name` is
    `value`.

    Raises:
        ValueError: if one that is built would be gone, and its weights with it.
    """
    before = [one for _, one in layers_in(vars(layer).get(name)) if one.built]
    if not before:
        return
    held = set(layer.held_layers().values()) - {one for _, one in layers_in({**vars(layer), name: value})}
    for one in filter(held.__contains__, before):
        raise ValueError(
            f"{layer.name}.{name} cannot be replaced: {layer.name} ({type(layer).__name__}) was called, and computes "
            f"with the weights of {one.name}. Set it before the first call, or make a new {type(layer).__name__}."
        )
