"""`Observer`: what looks at a run, and how often it has to. `View`: what it sees."""

import time
from collections.abc import Callable
from typing import Any

__all__ = ["Observer", "Progress", "View"]


class Observer:
    """Looks at a run before and after dispatches, each of which takes several steps. The base does nothing.

    What it raises ends the run, with the weights of the last step.

    Example:
        >>> class Norms(Observer):
        ...     def __init__(self):
        ...         self.norms = []
        ...     def room(self, step):
        ...         return 10 - step % 10
        ...     def after(self, view):
        ...         self.norms.append(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(view.train_state.params)))

    A callback brings one along by a method `observer(fitting)` that returns it.
    """

    def room(self, step: int) -> int | None:
        """How many steps there may be until it must look, `step` steps of the pass being done; None for any number."""
        return None

    def before(self, view: "View") -> None:
        """Called before a dispatch."""

    def after(self, view: "View") -> None:
        """Called after a dispatch."""


class View:
    """What observers see of a run over one pass of data.

    Attributes:
        kind: 'train', 'test' or 'predict'.
        step, examples: how many steps and examples of the pass are done.
        steps, size: how many steps the dispatch takes, and of how many examples each.
        results: of the last step of the dispatch, still on the device: what was measured, by name ('loss' and metrics),
            or of predictions the outputs. None before it.
        report: name -> running mean over the pass, still on the device. None before the dispatch.
        batches: functions that give the batches of the dispatch.
        stopped: whether the pass ends after this dispatch.
    """

    def __init__(self, kind: str, held: Any, step: int):
        self.kind, self._held, self.step, self.examples = kind, held, step, 0
        self.steps, self.size, self.stopped = 0, 0, False
        self.results: Any = None
        self.report: Any = None
        self.batches: list[Callable] = []

    @property
    def train_state(self):
        """The state now: arrays that the next dispatch takes over, so copy what is to be kept. It may be set."""
        return self._held.train_state

    @train_state.setter
    def train_state(self, train_state: Any):
        self._held.replace(train_state)

    def stop(self) -> None:
        """End the pass after this dispatch."""
        self.stopped = True


class Progress(Observer):
    """Tells now and then how far a pass is.

    Arguments:
        tell: `tell(examples, steps, report)`, the last a dict of numbers on the device.
    """

    _BEAT = 0.1

    def __init__(self, tell: Callable):
        self.tell = tell
        self._told, self._last = time.perf_counter(), None

    def after(self, view: View):
        # The dispatch before this one has ended; of the last one nobody waits for the numbers.
        now, before = time.perf_counter(), self._last
        self._last = (view.examples, view.step, view.report)
        if before is not None and now - self._told > self._BEAT:
            self._told = now
            self.tell(*before)

    def finish(self) -> None:
        """Tell of the end."""
        if self._last is not None:
            self.tell(*self._last)
