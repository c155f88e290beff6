"""Batches from a `Sequence` or a generator, computed ahead of time by threads or processes."""

import collections
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from jkeras.data import workers as work

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Sequence", "SequenceEnqueuer"]

# When nobody asks for the next epoch, its preparation begins after this time: what `on_epoch_end` does to the data
# must not reach a last batch, perhaps a view of them, that was handed over only a moment ago.
_TURN_SECONDS = 0.1


class Sequence:
    """Batches with numbers: the base of data sets that several workers can read, each batch once per epoch.

    A subclass defines `__getitem__` (one whole batch), `__len__` (how many there are) and perhaps `on_epoch_end`. With
    worker processes it must be picklable: files are best opened in `__getitem__`.

    Example:
        >>> class Squares(Sequence):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         return index**2
        >>> list(Squares())
        [0, 1, 4]
    """

    def __getitem__(self, index):
        """Batch number `index`: `(inputs, targets)` or `(inputs, targets, sample_weights)`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__.")

    def __len__(self):
        """The number of batches in an epoch."""
        raise NotImplementedError(f"{type(self).__name__} must define __len__.")

    def on_epoch_end(self):
        """Called after each epoch, before any batch of the next one is computed; for shuffling, for instance."""

    def __iter__(self):
        """The batches of one epoch, in the order of their numbers."""
        for index in range(len(self)):
            yield self[index]


class SequenceEnqueuer:
    """What `OrderedEnqueuer` and `GeneratorEnqueuer` share: start, stop, and taking batches.

    Used in a `with`, it stops at the end of the block, whatever happens there.

    Arguments:
        sequence: where the batches come from.
        use_multiprocessing: whether the workers are processes; else they are threads.
        limit: how many batches will be taken in all: no more are computed. None for no end.
    """

    def __init__(self, sequence: Any, use_multiprocessing: bool = False, *, limit: int | None = None):
        self.sequence = sequence
        self.use_multiprocessing = use_multiprocessing
        self.workers = 0
        self._limit = sys.maxsize if limit is None else limit
        self._left = 0  # how many batches may still be asked for
        self._crew: work.Crew | None = None
        self._taking = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def is_running(self) -> bool:
        """Whether workers are at work."""
        return self._crew is not None and not self._crew.stopping.is_set()

    def start(self, workers: int = 1, max_queue_size: int = 10) -> None:
        """Start the workers.

        Arguments:
            workers: how many.
            max_queue_size: how many batches may be under way or wait to be taken.

        Raises:
            ValueError: if one of the two is not at least 1.
            RuntimeError: if the workers run already.
        """
        for name, value in (("workers", workers), ("max_queue_size", max_queue_size)):
            if value < 1:
                raise ValueError(f"{type(self).__name__}.start: {name} must be at least 1; got {value}.")
        if self.is_running():
            raise RuntimeError(f"This {type(self).__name__} runs already; call stop() first.")
        self.workers, self._left = workers, self._limit
        self._begin(workers, max_queue_size)

    def stop(self, timeout: float | None = None) -> None:
        """Stop the workers and wait until they are gone. Batches not taken are lost. Does nothing if none run.

        A worker process is ended by force in the middle of an item; a thread cannot be, and finishes its item.

        Arguments:
            timeout: for how many seconds to wait for threads in the user's code, which then end by themselves later;
                None is ten seconds, and a warning if that was not enough.
        """
        if self._crew is None:
            return
        left, unseen = self._crew.stop(work.PATIENCE_SECONDS if timeout is None else timeout)
        if left and timeout is None:
            warnings.warn(
                f"{type(self).__name__}: the threads {left} did not end in {work.PATIENCE_SECONDS:.0f} seconds; they "
                f"are in the code of {type(self.sequence).__name__} and end when it returns.",
                RuntimeWarning,
                stacklevel=2,
            )
        if unseen:
            raise unseen[0]

    def get(self, *, with_none: bool = False):
        """The batches, as an iterator; a None among them is left out unless `with_none`.

        An error in a worker is raised here, with its own type and message, after everything was stopped.

        Raises:
            RuntimeError: if `start` was not called, or a worker process died.
        """
        crew = self._crew
        if crew is None:
            raise RuntimeError(f"{type(self).__name__}.get: call start() first.")
        try:
            while True:
                # Whoever takes a ticket also asks for the next, before anybody else takes one.
                with self._taking:
                    ticket = crew.take()
                    if ticket is None:
                        break
                    is_batch = ticket.lane is not None and ticket.answer is not work.END
                    left_out = is_batch and ticket.answer is None and not with_none
                    if ticket.error is None:
                        self._left += left_out  # so it does not count
                        self._advance(crew, ticket)
                if ticket.error is not None:
                    raise ticket.error
                if is_batch and not left_out:
                    yield ticket.answer
        except GeneratorExit:
            raise  # somebody stopped listening; somebody else may go on
        except BaseException:
            self._end(crew)
            raise
        self._end(crew)

    def _end(self, crew):
        if crew is self._crew and not crew.stopping.is_set():
            self.stop()

    def _begin(self, workers, size):
        """Make the crew and the first tickets."""
        raise NotImplementedError(f"{type(self).__name__} must define _begin.")

    def _advance(self, crew, ticket):
        """Ask for what comes after an answered ticket."""
        raise NotImplementedError(f"{type(self).__name__} must define _advance.")


class OrderedEnqueuer(SequenceEnqueuer):
    """The batches of a `Sequence`, epoch after epoch without end, each once per epoch, in order.

    `on_epoch_end` is called once for each epoch whose batches were all taken: when the next batch is asked for, a tenth
    of a second later, or at `stop`, whatever comes first. Then the next epoch's batches are computed. As in Keras, the
    number of batches is read once; an `order` can say otherwise.

    Worker processes get the Sequence by pickle, and again after each `on_epoch_end` that changed it.

    Arguments:
        sequence: a `Sequence`.
        use_multiprocessing: whether the workers are processes; else they are threads.
        shuffle: whether each epoch's order is drawn by Python's `random`.
        order: `order(epoch)` gives the numbers of the batches of that epoch; made from a key it makes every epoch
            repeatable. None for rising or, with `shuffle`, random order.
        epoch: the number of the first epoch.
        position: how many batches of the first epoch to leave out. They are not computed.
        limit: how many batches will be taken in all: no more are computed. None for no end.

    Raises:
        ValueError: if `order` and `shuffle` are both given, or an epoch has no batches.

    Example:
        >>> class Letters(Sequence):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         return "abc"[index]
        >>> enqueuer = OrderedEnqueuer(Letters(), order=lambda epoch: [2, 0, 1], position=1)
        >>> with enqueuer:
        ...     enqueuer.start(workers=2)
        ...     letters = enqueuer.get()
        ...     [next(letters) for _ in range(5)]
        ['a', 'b', 'c', 'a', 'b']
    """

    def __init__(
        self, sequence: Any, use_multiprocessing: bool = False, shuffle: bool = False, *,
        order: Callable[[int], Iterable[int]] | None = None, epoch: int = 0, position: int = 0,
        limit: int | None = None,
    ):  # fmt: skip
        super().__init__(sequence, use_multiprocessing, limit=limit)
        if order is not None and shuffle:
            raise ValueError("OrderedEnqueuer: give either order or shuffle=True, not both.")
        self.shuffle = shuffle
        self._order, self._start_at = order, (epoch, position)
        self._indices, self._parcel, self._size = [], work.Parcel(), 0
        self._epoch, self._plan = epoch, collections.deque()

    def _begin(self, workers, size):
        epoch, position = self._start_at
        self._indices = list(range(len(self.sequence))) if self._order is None else []
        self._size = size
        self._plan_epoch(epoch, position)
        stopping = threading.Event()
        if self.use_multiprocessing:
            computes = work.fresh(workers, stopping, self._parcel)
        else:
            computes = [self.sequence.__getitem__] * workers
        self._crew = work.Crew(computes, stopping)
        self._ask(self._crew, size)

    def _plan_epoch(self, epoch, position=0):
        if self._order is not None:
            self._indices = [int(index) for index in self._order(epoch)]
        elif self.shuffle:
            random.shuffle(self._indices)
        if not 0 <= position < len(self._indices):
            raise ValueError(
                f"OrderedEnqueuer: epoch {epoch} has {len(self._indices)} batches, and cannot start at {position}."
            )
        self._epoch, self._plan = epoch, collections.deque(self._indices[position:])
        if self.use_multiprocessing:
            self._parcel.pack(self.sequence)

    def _ask(self, crew, count):
        count = min(count, self._left, len(self._plan))
        self._left -= count
        for _ in range(count):
            crew.ask(self._plan.popleft())

    def _advance(self, crew, ticket):
        if ticket.lane is None:
            return  # the turn has asked for the first batches of its epoch
        self._ask(crew, 1)
        if not crew.pending and not self._plan:
            crew.ask_for_turn(lambda epoch: self._turn(crew, epoch), self._epoch)

    def _turn(self, crew, epoch):
        """From one epoch to the next, while the consumer is busy with the last batch or waits for the first."""
        crew.asked.wait(_TURN_SECONDS)
        self.sequence.on_epoch_end()
        if self._left and not crew.stopping.is_set():
            self._plan_epoch(epoch + 1)
            self._ask(crew, self._size)


class GeneratorEnqueuer(SequenceEnqueuer):
    """The batches of a generator, in the order in which it gives them; ends with it, after the last of them.

    A generator cannot be in two places at once, so in threads there is one worker, whatever the number asked for; a
    generator needs no lock of its own. With processes each worker is a forked copy of this process and runs its own
    copy of the generator, so each batch comes once per worker, as in Keras; the copies take turns. A `Sequence` is the
    better way to several workers.

    Arguments:
        sequence: a generator, or any iterator.
        use_multiprocessing: whether the workers are processes, in which the generator must not use JAX; else a thread.
        wait_time: not used any more.
        random_seed: worker process number i seeds numpy's global generator with `random_seed + i`. None leaves all with
            the state it has here, the same in each.
        limit: how many batches will be taken in all: no more are asked of the generator. None for no end.

    Example:
        >>> enqueuer = GeneratorEnqueuer(iter("ab"))
        >>> enqueuer.start()
        >>> list(enqueuer.get())
        ['a', 'b']
    """

    def __init__(
        self, sequence: Any, use_multiprocessing: bool = False, wait_time: float | None = None,
        random_seed: int | None = None, *, limit: int | None = None,
    ):  # fmt: skip
        super().__init__(sequence, use_multiprocessing, limit=limit)
        self.random_seed = random_seed
        if wait_time is not None:
            warnings.warn("GeneratorEnqueuer does not use `wait_time` any more.", DeprecationWarning, stacklevel=2)

    def _begin(self, workers, size):
        stopping = threading.Event()
        if self.use_multiprocessing:
            computes = work.fork(self.sequence, workers, self.random_seed, stopping)
        else:
            computes = [work.Next(self.sequence)]
        crew = self._crew = work.Crew(computes, stopping, own_lanes=True)
        for _ in range(max(1, size // len(computes))):
            for lane in range(len(computes)):
                self._ask(crew, lane)

    def _ask(self, crew, lane):
        if self._left:
            self._left -= 1
            crew.ask(None, lane)

    def _advance(self, crew, ticket):
        if ticket.answer is not work.END:
            self._ask(crew, ticket.lane)
