"""Dispatches: what is sent to the devices at once. Programs of several steps, and the stream of them over a pass.

Data that fits lives on the device, and a program takes the rows of several batches and runs as many steps as it is
told. Anything else is fed batch by batch, or in small groups.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import lax

from jkeras.train.compiling import equations
from jkeras.train.mapping import OneDevice, Program
from jkeras.train.state import TrainState, means
from jkeras.train.step import Steps, batch_size

__all__ = ["RESIDENT_BYTES", "Dispatch", "Feed", "Programs"]

#: In-memory data up to this size is put on the device whole.
RESIDENT_BYTES = 1 << 30

# Batches that come one after the other run in one dispatch if they come fast and are small: so many at most, of so many
# bytes together, that were there within so many seconds.
_GROUP, _GROUP_BYTES, _MOMENT = 16, 1 << 22, 0.02


@dataclasses.dataclass
class Dispatch:
    """Several steps that are sent to the devices at once.

    Attributes:
        steps, size: how many steps, and of how many examples each.
        mapping: on which devices.
        program: `program(moving, still, *arguments) -> moving, (results, report)`; `fresh` if it never ran.
        batches: functions that give the batches.
    """

    steps: int
    size: int
    mapping: Any
    program: Any
    arguments: tuple
    batches: list[Callable]
    fresh: bool = False


class Programs:
    """The compiled programs of a model's steps, each made when first needed and kept.

    Arguments:
        steps: see `train.step.Steps`.
        mapping: see `train.mapping`.

    Attributes:
        pace: how many steps of resident data go into one dispatch; the loop adapts it.
    """

    def __init__(self, steps: Steps, mapping: OneDevice):
        self.steps, self.mapping, self.pace = steps, mapping, 8
        self._made: dict = {}
        self._loops: dict = {}
        self._met: set = set()
        # A step that is jitted is traced once, also when it is inspected and when a loop is built around it.
        self._step = {kind: jax.jit(steps.on_parts(kind)) for kind in ("train", "test", "predict")}

    def explore(self, kind: str, train_state: TrainState, data: Any, size: int | None = None):
        """Trace the step of `kind` on `size` examples of `data` (all unless given) without computing anything. A later
        run on one device does not trace it again."""
        jax.eval_shape(self._step[kind], *_alike(self.steps.parts(kind, train_state)), _examples(data, size))

    def loops(self, kind: str, parts: Any, data: Any, size: int | None) -> bool:
        """Whether several steps run in one dispatch: not where XLA trains convolutions 35 to 50 times slower in a
        loop, on a CPU. The same program then runs them one by one where somebody wants to look at each."""
        if kind not in self._loops:
            slow = kind == "train" and self.mapping.platform == "cpu"
            if slow:
                jaxpr = jax.make_jaxpr(self._step[kind])(*_alike(parts), _examples(data, size)).jaxpr
                slow = any(one.primitive.name == "conv_general_dilated" for one in equations(jaxpr, "cpu"))
            self._loops[kind] = not slow
        return self._loops[kind]

    def _program(self, name, mapping, make):
        if (name, mapping) not in self._made:
            self._made[name, mapping] = make()
        return self._made[name, mapping]

    def is_fresh(self, program: Program, examples: Any) -> bool:
        """Whether `program` meets examples of this form for the first time, so that it has to be compiled."""
        form = (program, tuple(leaf.shape for leaf in jax.tree.leaves(examples)))
        fresh = form not in self._met
        self._met.add(form)
        return fresh

    def _traced(self, kind, mapping):
        """The step as a function that is traced once; for another mapping it must be another one."""
        if mapping is self.mapping and mapping.groups:
            return self._step[kind]
        return jax.jit(self.steps.on_parts(kind))

    def resident(self, kind: str, mapping: OneDevice, loops: bool):
        """moving, still, data, rows (steps, batch), start, how many -> moving, (the last step's logs, running means)"""

        def take(data, rows):
            return jax.tree.map(lambda array: array.at[rows].get(mode="promise_in_bounds"), data)

        def make():
            step = self._traced(kind, mapping)

            def program(moving, still, data, rows, start, number):
                if loops:
                    logs = jax.eval_shape(step, moving, still, take(data, rows[0]))[1]
                    logs = jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), logs)
                    moving, logs = lax.fori_loop(
                        0, number, lambda i, now: step(now[0], still, take(data, rows[start + i])), (moving, logs)
                    )
                else:
                    moving, logs = step(moving, still, take(data, rows[start]))
                return moving, (logs, means(moving["metrics"]))

            return mapping.compile(program, split=3)

        return self._program((kind, "resident"), mapping, make)

    def streamed(self, kind: str, mapping: OneDevice):
        """moving, still, batch -> moving, (logs, running means); of predictions moving, outputs"""

        def make():
            step = self._traced(kind, mapping)

            def program(moving, still, data):
                moving, logs = step(moving, still, data)
                return moving, (logs, means(moving["metrics"]))

            if kind == "predict":
                return mapping.compile(step, split=2, joined=True)
            return mapping.compile(program, split=2)

        return self._program((kind, "streamed"), mapping, make)


class Feed:
    """The dispatches of the passes over a source of batches (see `data.feeding`).

    Arguments:
        programs: see `Programs`.
        kind: 'train', 'test' or 'predict'.
        source: has `resident`, whether its `placed()` data are taken by rows in the `order(epoch)`; else
            `batches(epoch, start)`.
    """

    def __init__(self, programs: Programs, kind: str, source: Any):
        self.programs, self.kind, self.source = programs, kind, source
        self._near: dict = {}

    def dispatches(self, epoch: int, start: int, room: Callable[[int], int], parts: Any) -> Iterator[Dispatch]:
        """Those of one pass, each made when it is asked for.

        Arguments:
            start: the number of the first batch to run.
            room: `room(most)` -> of how many steps the next one may be, at most `most`.
            parts: `parts()` -> what of the state moves, and what does not.
        """
        if self.source.resident:
            yield from self._resident(np.asarray(self.source.order(epoch), np.int32), start, room, parts)
        else:
            yield from self._streamed(self.source.batches(epoch, start), room, parts)

    def _resident(self, order, number, room, parts):
        data, size = self.source.placed(), self.source.batch_size
        full = len(order) // size
        segments = [order[: full * size].reshape(full, size), order[full * size :].reshape(1, -1)]
        for first, rows in zip((0, full), segments, strict=True):
            begin = number - first
            if rows.size == 0 or begin >= len(rows):
                continue
            loops = self.programs.loops(self.kind, parts(), data, rows.shape[1])
            mapping = self.programs.mapping.for_batch(rows.shape[1])
            if mapping not in self._near:
                self._near[mapping] = mapping.everywhere(data)
            placed = mapping.cut(jax.device_put(rows) if mapping.groups else rows, axis=1)
            while begin < len(rows):
                steps = room(min(self.programs.pace, len(rows) - begin) if loops else 1)
                program = self.programs.resident(self.kind, mapping, loops)
                fresh = self.programs.is_fresh(program, placed)
                arguments = (self._near[mapping], placed, np.int32(begin), np.int32(steps))
                batches = [functools.partial(_rows, data, chosen) for chosen in rows[begin : begin + steps]]
                yield Dispatch(steps, rows.shape[1], mapping, program, arguments, batches, fresh)
                begin, number = begin + steps, number + steps

    def _streamed(self, batches, room, parts):
        most = _GROUP if self.programs.mapping.groups and self.kind != "predict" else 1
        for group, limit in _groups(batches, lambda: room(most)) if most > 1 else (([data], 1) for data in batches):
            size = batch_size(group[0])
            if limit > 1 and self.programs.loops(self.kind, parts(), group[0], size):
                yield self._side_by_side(group, size, _slots(group[0]))
                continue
            for data in group:
                mapping = self.programs.mapping.for_batch(size)
                program = self.programs.streamed(self.kind, mapping)
                fresh = self.programs.is_fresh(program, data)
                yield Dispatch(1, size, mapping, program, (mapping.cut(data),), [lambda data=data: data], fresh)

    def _side_by_side(self, group, size, slots):
        """Batches of one form in one dispatch, one after the other, with room for as many as there may be in a
        group."""

        def joined(*arrays):
            together = np.empty((slots * size, *arrays[0].shape[1:]), arrays[0].dtype)
            for place, array in enumerate(arrays):
                together[place * size : (place + 1) * size] = array
            return together

        mapping = self.programs.mapping
        program = self.programs.resident(self.kind, mapping, True)
        rows = np.arange(slots * size, dtype=np.int32).reshape(slots, size)
        arguments = (jax.tree.map(joined, *group), rows, np.int32(0), np.int32(len(group)))
        fresh = self.programs.is_fresh(program, arguments[:2])
        batches = [lambda data=data: data for data in group]
        return Dispatch(len(group), size, mapping, program, arguments, batches, fresh)


def _slots(data) -> int:
    """How many batches like `data` run in one dispatch at most: small ones, that lie on the host."""
    leaves = jax.tree.leaves(data)
    if not all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return 1
    return min(max(_GROUP_BYTES // max(sum(leaf.nbytes for leaf in leaves), 1), 1), _GROUP)


def _form(data):
    leaves, treedef = jax.tree.flatten(data)
    return treedef, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _groups(batches, room):
    """(batches, how many there might have been): consecutive ones of one form that came within a moment, at most
    `room()` together."""
    group: list = []
    form, began, most, last = None, 0.0, 1, time.perf_counter()
    for data in batches:
        now = time.perf_counter()
        if group and (now - began > _MOMENT or _form(data) != form):
            yield group, most
            group = []
        if not group:
            form, began, most = _form(data), now, min(room(), _slots(data))
        group.append(data)
        # Who waits for batches does not wait for groups of them.
        if len(group) >= most or now - last > _MOMENT:
            yield group, most
            group = []
        last = time.perf_counter()
    if group:
        yield group, most


def _rows(data, rows):
    """The examples of `data` at `rows`."""
    return jax.tree.map(lambda array: array[rows], data)


def _alike(tree):
    """What the arrays of `tree` look like, wherever they are: so a step is traced once for all places."""

    def one(array):
        kind = jax.typeof(array)
        return jax.ShapeDtypeStruct(kind.shape, kind.dtype, weak_type=getattr(kind, "weak_type", False))

    return jax.tree.map(one, tree)


def _examples(data, size):
    """What `size` examples of `data` look like (all, if None)."""
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct((size or array.shape[0], *array.shape[1:]), array.dtype), data
    )
