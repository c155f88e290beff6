"""Batches for the device, from data in memory, too big for it, or made by somebody else."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jkeras.data import arrays

__all__ = ["Arrays", "Batches", "Mapped", "Stream"]


class Arrays:
    """Examples along axis 0 of arrays: resident on the device if they fit, else cut into batches on the host.

    Arguments:
        data: (inputs, targets, weights), lists of arrays; weights may be None.
        batch_size: examples per batch.
        order: `order(epoch, examples)` -> the rows in the order of that epoch; None for as they are.
        resident_bytes: up to which size the data is put on the device whole.
    """

    def __init__(
        self, data: tuple, batch_size: int, order: Callable[[int, int], np.ndarray] | None, resident_bytes: int
    ):
        self.data, self.batch_size = data, batch_size
        self._order = order
        leaves = jax.tree.leaves(data)
        counted = [leaf for leaf in leaves if not isinstance(leaf, arrays.Computed)]
        self.examples = len(counted[0]) if counted else 0
        self.steps = -(-self.examples // max(batch_size, 1))
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        if self.examples == 0:
            raise ValueError("There are no examples: the arrays have length 0.")
        in_memory = all(isinstance(leaf, (np.ndarray, jax.Array)) for leaf in leaves)
        self.resident = in_memory and sum(leaf.nbytes for leaf in leaves) <= resident_bytes
        self._placed = None

    def placed(self) -> tuple:
        """The data on the device; moved there once."""
        if self._placed is None:
            self._placed = jax.device_put(self.data)
        return self._placed

    def order(self, epoch: int) -> np.ndarray:
        """The rows in the order of `epoch`."""
        return np.arange(self.examples) if self._order is None else self._order(epoch, self.examples)

    def example(self) -> tuple:
        """Data, and how many of its rows make a batch."""
        return self.data, min(self.batch_size, self.examples)

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple]:
        """The batches of an epoch from number `start` on, cut on the host."""
        order = self.order(epoch)
        for first, stop in arrays.batch_slices(self.examples, self.batch_size)[start:]:
            yield tuple(arrays.slice_rows(part, order[first:stop]) for part in self.data)


class Batches:
    """Batches that are at hand, or can be made again.

    Arguments:
        make: gives an iterator over them.
        steps: how many there are.
        examples: how many examples in all, None if nobody counts.
    """

    resident = False

    def __init__(self, make: Callable[[], Iterator[Any]], steps: int = 1, examples: int | None = None):
        self._make, self.steps, self.examples = make, steps, examples

    def batches(self, epoch: int, start: int = 0):
        """The batches from number `start` on."""
        return itertools.islice(self._make(), start, None)

    def example(self):
        """The first batch, and None: all of its rows."""
        return next(iter(self._make())), None


class Mapped:
    """The batches of a source, each handed to a function when its turn comes.

    Arguments:
        source: an `Arrays` or a `Batches`.
        function: from a batch to a batch.
    """

    resident = False

    def __init__(self, source: Any, function: Callable[[Any], Any]):
        self.source, self._function = source, function
        self.steps, self.examples = source.steps, source.examples

    def order(self, epoch: int) -> Any:
        """The rows in the order of `epoch`."""
        return self.source.order(epoch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch from number `start` on."""
        return map(self._function, self.source.batches(epoch, start))

    def example(self) -> tuple:
        """The first batch, and None: all of its rows."""
        data, rows = self.source.example()
        return self._function(data if rows is None else arrays.slice_rows(data, 0, rows)), None


class Stream:
    """Batches that somebody else makes, one after the other over all epochs.

    Arguments:
        made: an iterator over what users' generators and Sequences give.
        steps: how many batches make an epoch.
        standardize: what brings one of them into (inputs, targets, weights), lists of arrays.
        name: what they are called in messages.
    """

    resident = False
    batch_size = examples = None

    def __init__(self, made: Iterable[Any], steps: int, standardize: Callable[[Any], tuple], name: str):
        if steps < 1:
            raise ValueError(f"{name}: there must be at least one batch per epoch; got {steps} steps.")
        self._made, self.steps, self._standardize, self._name = iter(made), steps, standardize, name
        self._ahead: list = []
        self._given = 0

    def _next(self):
        try:
            made = next(self._made)
        except StopIteration:
            raise RuntimeError(
                f"{self._name}: the generator ended after {self._given} batches; an epoch has {self.steps} steps. A "
                "generator must go on for as many epochs as there are."
            ) from None
        self._given += 1
        try:
            return self._standardize(made)
        except (TypeError, ValueError) as error:
            error.add_note(f"{self._name}: this is batch number {self._given} of the generator.")
            raise

    def example(self) -> tuple:
        """The next batch, which stays the next, and None: all of its rows."""
        if not self._ahead:
            self._ahead.append(self._next())
        return self._ahead[0], None

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple]:
        """The batches of an epoch, which follow those that were given before; there are `start` fewer."""
        for _ in range(start, self.steps):
            yield self._ahead.pop() if self._ahead else self._next()
