"""Batches for the device, from data in memory or too big for it."""

import jax
import numpy as np

from jkeras.data import arrays

__all__ = ["Arrays"]


class Arrays:
    """Examples along axis 0 of arrays: resident on the device if they fit, else cut into batches on the host.

    Arguments:
        data: (inputs, targets, weights), lists of arrays; weights may be None.
        batch_size: examples per batch.
        order: `order(epoch, examples)` -> the rows in the order of that epoch; None for as they are.
        resident_bytes: up to which size the data is put on the device whole.
    """

    def __init__(self, data, batch_size, order, resident_bytes):
        self.data, self.batch_size = data, batch_size
        self._order = order
        leaves = jax.tree.leaves(data)
        self.examples = len(leaves[0])
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        if self.examples == 0:
            raise ValueError("There are no examples: the arrays have length 0.")
        in_memory = all(isinstance(leaf, (np.ndarray, jax.Array)) for leaf in leaves)
        self.resident = in_memory and sum(leaf.nbytes for leaf in leaves) <= resident_bytes
        self._placed = None

    def placed(self):
        """The data on the device; moved there once."""
        if self._placed is None:
            self._placed = jax.device_put(self.data)
        return self._placed

    def order(self, epoch):
        """The rows in the order of `epoch`."""
        return np.arange(self.examples) if self._order is None else self._order(epoch, self.examples)

    def batches(self, order):
        """The batches of an epoch, cut on the host."""
        for start, stop in arrays.batch_slices(self.examples, self.batch_size):
            rows = order[start:stop]
            yield tuple(arrays.slice_rows(part, rows) for part in self.data)
