"""The host side of training: compiled programs, and the loop that runs them over an epoch.

Data that fits lives on the device, and a program takes the rows of several batches and runs as many steps as it is
told in one dispatch; the host waits only for the report of the dispatch before, so that a device is never idle.
Anything else is fed batch by batch.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from jkeras.train import parallel, process
from jkeras.train.state import means
from jkeras.train.step import batch_size

__all__ = ["RESIDENT_BYTES", "Pauses", "Runner"]

#: In-memory data up to this size is put on the device whole.
RESIDENT_BYTES = 1 << 30

# How long one dispatch should take, in seconds: long against what a dispatch costs, short against a progress bar's
# beat.
_DISPATCH_SECONDS = 0.1

# Batches that come one after the other run in one dispatch if they come fast and are small: so many at most, of so many
# bytes together, that were there within so many seconds.
_GROUP, _GROUP_BYTES, _MOMENT = 16, 1 << 22, 0.02


def _primitives(jaxpr):
    """The names of all primitives in `jaxpr`, at any depth."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for parameter in equation.params.values():
            for inner in parameter if isinstance(parameter, (list, tuple)) else [parameter]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _primitives(inner)


def _slow_in_a_loop(step, *arguments) -> bool:
    """Whether `step` is better dispatched one by one: on a CPU, XLA trains convolutions 35 to 50 times slower in a
    loop."""
    if jax.default_backend() != "cpu":
        return False
    return "conv_general_dilated" in _primitives(jax.make_jaxpr(step)(*arguments).jaxpr)


class Runner:
    """The compiled programs of a model's steps, each made when first needed and kept.

    Arguments:
        steps: see `train.step.Steps`.
        devices: a list of devices to map over, or None for the default one.
    """

    def __init__(self, steps, devices=None):
        process.prepare()
        self.steps, self.devices = steps, devices
        self._programs: dict = {}
        self._loops: dict = {}
        self._pace = 8
        #: (kind, carry) after the last dispatch: what is left of the state when an epoch is interrupted.
        self.latest: Any = None
        # A step that is jitted is traced once, also when it is inspected and when a loop is built around it.
        self._step = {kind: jax.jit(self._plain(kind)) for kind in ("train", "test")}
        self._predict = parallel.on_devices(steps.predict, None, 1, None, donate=())

    # ---------------------------------------------------------------------------------------------------- programs

    def _program(self, name, count, make):
        if (name, count) not in self._programs:
            self._programs[name, count] = make()
        return self._programs[name, count]

    def _metrics(self, kind, carry):
        return carry.metrics if kind == "train" else carry[1]

    def _resident(self, kind, count, loops):
        """carry, fixed, data, rows (steps, batch), start, how many -> carry, the last step's logs, running means."""
        # The jit inside is traced once, though it is called twice here.
        step = self._traced_step(kind, count)

        def take(data, rows):
            return jax.tree.map(lambda array: array.at[rows].get(mode="promise_in_bounds"), data)

        def program(carry, fixed, data, rows, start, number):
            if loops:
                logs = jax.eval_shape(step, carry, fixed, take(data, rows[0]))[1]
                logs = jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), logs)
                carry, logs = lax.fori_loop(
                    0, number, lambda i, held: step(held[0], fixed, take(data, rows[start + i])), (carry, logs)
                )
            else:
                carry, logs = step(carry, fixed, take(data, rows[start]))
            return carry, logs, means(self._metrics(kind, carry))

        return parallel.on_devices(program, self.devices, count, (False, False, False, True, False, False))

    def _traced_step(self, kind, count):
        """The step as a function that is traced once; under a mapped axis it must be another one."""
        return self._step[kind] if count == 1 else jax.jit(self._plain(kind))

    def _plain(self, kind):
        """The step with the signature that all kinds share: carry, fixed, data -> carry, logs."""
        if kind == "train":
            return lambda carry, fixed, data: self.steps.train(carry, data)
        return self.steps.test

    def _streamed(self, kind, count):
        """carry, fixed, batch -> carry, logs, running means."""
        step = self._traced_step(kind, count)

        def program(carry, fixed, data):
            carry, logs = step(carry, fixed, data)
            return carry, logs, means(self._metrics(kind, carry))

        return parallel.on_devices(program, self.devices, count, (False, False, True))

    # -------------------------------------------------------------------------------------------------------- loops

    def explore(self, kind, carry, fixed, data, size=None):
        """Trace the step of `kind` on `size` examples of `data` (all unless given) without computing anything. A later
        run on one device does not trace it again."""
        jax.eval_shape(self._step[kind], carry, fixed, _examples(data, size))

    def explore_predict(self, *arguments):
        """Trace what `predict` does without computing anything."""
        jax.eval_shape(self._predict, *arguments)

    def _should_loop(self, kind, carry, fixed, data, rows):
        """Whether several steps run in one dispatch. The same program then runs them one by one where hooks ask for
        it."""
        if kind not in self._loops:
            example = _examples(data, rows.shape[1])
            self._loops[kind] = kind == "test" or not _slow_in_a_loop(self._step[kind], carry, fixed, example)
        return self._loops[kind]

    def epoch(
        self, kind, carry, fixed, data, order, size, *, start=0, hooks=None, on_progress=None, pauses=None, watch=None
    ):
        """Run `kind` ('train' or 'test') over the rows of resident `data` in the given order, `size` at a time.

        Arguments:
            carry, fixed: what the step changes, and what it only reads.
            start: the number of the first batch to run.
            hooks: `begin(number, size, carry) -> carry` and `end(number, size, carry, logs) -> carry`, or None. With
                hooks every step is a dispatch of its own.
            on_progress: `on_progress(examples seen, steps done, running means)`, called now and then.
            pauses: see `Pauses`.
            watch: `before(carry)` is called before each dispatch, and `after(carry, batches)`, with a list of functions
                that give the batches of it, after it.

        Returns:
            The next carry. The loop ends early where `hooks.stop` is true.
        """
        order = np.asarray(order, np.int32)
        full = len(order) // size
        segments = [order[: full * size].reshape(full, size), order[full * size :].reshape(1, -1)]
        progress = _Progress(on_progress, start * size, start)
        number = start
        for first, rows in zip((0, full), segments, strict=True):
            begin = number - first
            if rows.size == 0 or begin >= len(rows):
                continue
            loops = self._should_loop(kind, carry, fixed, data, rows)
            count = parallel.how_many(self.devices, rows.shape[1])
            program = self._program((kind, "resident"), count, lambda: self._resident(kind, count, loops))  # noqa: B023
            placed = jax.device_put(rows) if count == 1 else parallel.cut(rows, count, axis=1)
            # Segments may run on different numbers of devices. What the loop only reads is copied there once.
            if self.devices is not None:
                carry, near_fixed, near_data = parallel.everywhere((carry, fixed, data), self.devices, count)
            else:
                near_fixed, near_data = fixed, data
            while begin < len(rows):
                steps = min(self._pace, len(rows) - begin) if loops and hooks is None else 1
                steps = steps if pauses is None else min(steps, pauses.room(number))
                if hooks is not None:
                    carry = hooks.begin(number, rows.shape[1], carry)
                if watch is not None:
                    watch.before(carry)
                arguments = (near_fixed, near_data, placed, np.int32(begin), np.int32(steps))
                carry, logs, report = program(carry, *arguments)
                if watch is not None:
                    watch.after(carry, [functools.partial(_rows, data, chosen) for chosen in rows[begin:][:steps]])
                begin, number = begin + steps, number + steps
                carry, stop = self._after(kind, carry, logs, number, rows.shape[1], hooks, pauses)
                if stop:
                    return carry
                seconds = progress.dispatched(steps * rows.shape[1], steps, report)
                if seconds is not None and steps == self._pace:
                    self._pace = int(np.clip(_DISPATCH_SECONDS / max(seconds, 1e-7), 1, 4096))
        progress.finish()
        return carry

    def stream(self, kind, carry, fixed, batches, *, start=0, hooks=None, on_progress=None, pauses=None, watch=None):
        """Run `kind` on `batches`, one after the other as they come; otherwise as `epoch`."""
        progress = _Progress(on_progress, 0, start)
        number = start
        most = 1 if hooks is not None or self.devices is not None else _GROUP

        def room():
            return most if pauses is None else min(most, pauses.room(number))

        for group in _groups(batches, room):
            size = batch_size(group[0])
            if hooks is not None:
                carry = hooks.begin(number, size, carry)
            if watch is not None:
                watch.before(carry)
            if most > 1:
                carry, logs, report = self._several(kind, carry, fixed, group)
            else:
                carry, logs, report = self.batch(kind, carry, fixed, group[0])
            if watch is not None:
                watch.after(carry, [lambda data=data: data for data in group])
            number += len(group)
            carry, stop = self._after(kind, carry, logs, number, size, hooks, pauses)
            if stop:
                return carry
            progress.dispatched(len(group) * size, len(group), report)
        progress.finish()
        return carry

    def _several(self, kind, carry, fixed, group):
        """Run `kind` on batches of one form, in one dispatch if that is faster."""
        size, slots = batch_size(group[0]), _slots(group[0])
        rows = np.arange(slots * size, dtype=np.int32).reshape(slots, size)
        if slots == 1 or not self._should_loop(kind, carry, fixed, group[0], rows):
            for data in group:
                carry, logs, report = self.batch(kind, carry, fixed, data)
            return carry, logs, report

        def side_by_side(*arrays):
            """The batches one after the other, with room for as many as there may be in a group."""
            joined = np.empty((slots * size, *arrays[0].shape[1:]), arrays[0].dtype)
            for place, array in enumerate(arrays):
                joined[place * size : (place + 1) * size] = array
            return joined

        program = self._program((kind, "resident"), 1, lambda: self._resident(kind, 1, True))
        data = jax.tree.map(side_by_side, *group)
        carry, logs, report = program(carry, fixed, data, rows, np.int32(0), np.int32(len(group)))
        self.latest = (kind, carry)
        return carry, logs, report

    def _after(self, kind, carry, logs, number, size, hooks, pauses):
        """After a dispatch that `number` batches of the epoch are done with: the carry, and whether to stop."""
        self.latest = (kind, carry)
        if hooks is not None:
            carry = hooks.end(number - 1, size, carry, logs)
            self.latest = (kind, carry)
        if pauses is not None:
            pauses.after(number, carry)
        return carry, hooks is not None and hooks.stop

    def batch(self, kind, carry, fixed, data):
        """Run `kind` on one batch: the next carry, the batch's logs, the running means."""
        count = parallel.how_many(self.devices, batch_size(data))
        program = self._program((kind, "streamed"), count, lambda: self._streamed(kind, count))
        if self.devices is not None:
            carry, fixed = parallel.everywhere((carry, fixed), self.devices, count)
        carry, logs, report = program(carry, fixed, parallel.cut(data, count))
        self.latest = (kind, carry)
        return carry, logs, report

    def predict(self, params, state, inputs, key, number):
        """The outputs for one batch of inputs (a list, still on the device), and the next state."""
        count = parallel.how_many(self.devices, batch_size(inputs))

        if count == 1:
            return self._predict(params, state, inputs, key, number)

        def make():
            outputs_only = lambda *arguments: self.steps.predict(*arguments)[0]  # noqa: E731
            split = (False, False, True, False, False)
            return parallel.on_devices(outputs_only, self.devices, count, split, donate=(), joined=True)

        outputs = self._program("predict", count, make)(params, state, parallel.cut(inputs, count), key, number)
        return [np.asarray(output).reshape(-1, *output.shape[2:]) for output in outputs], state


def _slots(data) -> int:
    """How many batches like `data` run in one dispatch at most: small ones, that lie on the host."""
    leaves = jax.tree.leaves(data)
    if not all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return 1
    return int(np.clip(_GROUP_BYTES // max(sum(leaf.nbytes for leaf in leaves), 1), 1, _GROUP))


def _form(data):
    leaves, treedef = jax.tree.flatten(data)
    return treedef, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _groups(batches, room):
    """Lists of consecutive batches of one form that came within a moment, at most `room()` in one."""
    group: list = []
    form, began, last = None, 0.0, time.perf_counter()
    for data in batches:
        now = time.perf_counter()
        if group and (now - began > _MOMENT or _form(data) != form):
            yield group
            group = []
        if not group:
            form, began, most = _form(data), now, min(room(), _slots(data))
        group.append(data)
        # Who waits for batches does not wait for groups of them.
        if len(group) >= most or now - last > _MOMENT:
            yield group
            group = []
        last = time.perf_counter()
    if group:
        yield group


def _rows(data, rows):
    """The examples of `data` at `rows`."""
    return jax.tree.map(lambda array: array[rows], data)


def _examples(data, size):
    """What `size` examples of `data` look like (all, if None)."""
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct((size or array.shape[0], *array.shape[1:]), array.dtype), data
    )


@dataclasses.dataclass(frozen=True)
class Pauses:
    """Steps after which something is done with what training has come to.

    Attributes:
        every: after how many steps.
        before: how many steps were taken before the epoch.
        act: `act(number, carry)`, called after so many batches of the epoch.
    """

    every: int
    before: int
    act: Callable

    def room(self, number) -> int:
        """How many steps there are from batch `number` of the epoch to the next pause."""
        return self.every - (self.before + number) % self.every

    def after(self, number, carry) -> None:
        """Pause if it is time to, `number` batches of the epoch being done."""
        if (self.before + number) % self.every == 0:
            self.act(number, carry)


class _Progress:
    """Waits for the dispatch before the last, tells how long a step took, and reports now and then."""

    def __init__(self, on_progress, seen, steps):
        self.on_progress = on_progress
        self.seen, self.steps = seen, steps
        self.waiting = None
        self.last_ready = None
        self.last_told = time.perf_counter()

    def dispatched(self, examples, steps, report):
        """Note a dispatch of so many steps; returns the seconds per step of the one before, once known."""
        before, self.seen, self.steps = self.waiting, self.seen + examples, self.steps + steps
        self.waiting = (self.seen, self.steps, steps, report)
        if before is None:
            return None
        seen, done, steps, report = before
        jax.block_until_ready(report)
        now = time.perf_counter()
        seconds = None if self.last_ready is None else (now - self.last_ready) / steps
        self.last_ready = now
        if self.on_progress is not None and now - self.last_told > 0.1:
            self.last_told = now
            self.on_progress(seen, done, report)
        return seconds

    def finish(self):
        """Report the last dispatch."""
        if self.on_progress is not None and self.waiting is not None:
            seen, done, _, report = self.waiting
            self.on_progress(seen, done, report)
