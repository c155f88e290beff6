"""The host loop: it sends dispatches to the devices, owns the latest state, and lets observers look.

The host waits only for the report of the dispatch before, so that a device is never idle.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jkeras.interrupt import Shield
from jkeras.train.dispatch import Dispatch, Feed
from jkeras.train.observe import View
from jkeras.train.state import TrainState
from jkeras.train.step import Steps

__all__ = ["Held", "run"]

# How long one dispatch should take, in seconds: long against what a dispatch costs, short against a progress bar's
# beat.
_DISPATCH_SECONDS = 0.1


class Held:
    """A state that one loop moves on, and that others may read or set, whole, in between.

    Arguments:
        train_state: arrays that nobody else holds, as far as steps move them on.
        lock: held while the state changes.

    Attributes:
        version: changes with the state.
    """

    def __init__(self, train_state: TrainState, lock: Any = None):
        self.train_state, self.version = train_state, 0
        self.lock = lock or threading.RLock()

    def replace(self, train_state: TrainState) -> None:
        """Go on from another state."""
        with self.lock:
            self.version += 1
            self.train_state = train_state

    def settle(self) -> None:
        """Called before each dispatch: take over what was set elsewhere."""

    def advance(self, steps: Steps, kind: str, dispatch: Dispatch):
        """Move on by a dispatch; gives its results."""
        with self.lock:
            moving, still = dispatch.mapping.near(steps.parts(kind, self.train_state))
            moving, results = dispatch.program(moving, still, *dispatch.arguments)
            self.replace(steps.joined(self.train_state, moving))
        return results


def run(held: Held, feed: Feed, shield: Shield, observers: Sequence = (), *, epoch: int = 0, start: int = 0) -> View:
    """One pass over a feed, from batch `start` on; `shield` is closed. Interrupted at any moment, or whatever is
    raised, `held` has the state after some step.

    Arguments:
        held: the state that is moved on.
        feed: see `dispatch.Feed`.
        observers: see `observe.Observer`. Before a dispatch the last one comes first, after it the first one.

    Returns:
        What observers saw last.
    """
    programs, kind = feed.programs, feed.kind
    view, clock = View(kind, held, start), _Clock(programs)

    def room(most):
        limits = [limit for limit in (observer.room(view.step) for observer in observers) if limit is not None]
        return max(min([most, *limits]), 1)

    def parts():
        return programs.steps.parts(kind, held.train_state)

    dispatches = feed.dispatches(epoch, start, room, parts)
    while not view.stopped:
        with shield.open():
            dispatch = next(dispatches, None)
            if dispatch is None:
                break
            view.steps, view.size, view.batches = dispatch.steps, dispatch.size, dispatch.batches
            view.results = view.report = None
            held.settle()
            for observer in reversed(observers):
                observer.before(view)
                held.settle()
            if dispatch.fresh:  # compiling may take long
                prepared = dispatch.mapping.near(parts())
                dispatch.program.prepare(*prepared, *dispatch.arguments)
        results = held.advance(programs.steps, kind, dispatch)
        view.results, view.report = (dispatch.mapping.joined(results), None) if kind == "predict" else results
        view.step, view.examples = view.step + dispatch.steps, view.examples + dispatch.steps * dispatch.size
        with shield.open():
            for observer in observers:
                observer.after(view)
            clock.dispatched(dispatch.steps, view.results if view.report is None else view.report)
    dispatches.close()
    return view


class _Clock:
    """Waits for the dispatch before the last, and sets the pace by how long a step of it took."""

    def __init__(self, programs):
        self.programs = programs
        self._waiting, self._ready = None, None

    def dispatched(self, steps, report):
        before, self._waiting = self._waiting, (steps, report)
        if before is None:
            return
        steps, report = before
        jax.block_until_ready(report)
        now = time.perf_counter()
        if self._ready is not None and steps == self.programs.pace:
            seconds = (now - self._ready) / steps
            self.programs.pace = int(np.clip(_DISPATCH_SECONDS / max(seconds, 1e-7), 1, 4096))
        self._ready = now
