"""Work done ahead of time by threads and processes, and taken in the order in which it was asked for.

Whoever takes results also asks for them: at the start as many as may wait, then one more for each one taken. What is
asked for is a *ticket*; tickets are answered in any order and taken in the order in which they were made. So order
needs no sorting, the bound needs no counting, and no result is lost or comes twice. Tickets are answered by threads. A
worker process has a thread here that passes tickets to it over a socket, owns it and ends it; so there is one machine
for threads and for processes.
"""

import collections
import gc
import os
import pickle
import queue
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jkeras.typing import Function, Seed

__all__ = ["CHECK_SECONDS", "END", "PATIENCE_SECONDS", "Crew", "Next", "Parcel", "fork", "fresh"]

END = object()  # the answer of a generator that has ended
CHECK_SECONDS = 0.2  # how often whoever waits looks whether there is still something to wait for
GRACE_SECONDS = 0.2  # how long a worker process may take to leave by itself
PATIENCE_SECONDS = 10.0  # how long to wait for a thread that is in the user's code
_OWN_WAY_BYTES = 2**14  # from which size an array is sent by itself; below, one more message costs more than copying


# ----------------------------------------------------------------------------------------------------- tickets


class _Ticket:
    """What is asked for; once `done` can be acquired, the answer or the error. Lane None is for the end of an epoch."""

    __slots__ = ("answer", "done", "error", "lane", "request")

    def __init__(self, request, lane: int | None = 0):
        self.request, self.lane = request, lane
        self.answer = self.error = None
        # A bare lock is a quarter of the price of an Event.
        self.done = threading.Lock()
        self.done.acquire()

    def fill(self, compute):
        try:
            self.answer = compute(self.request)
        except BaseException as error:  # also SystemExit: it ends the consumer, as it would without workers
            what = f"at the end of epoch {self.request}" if self.lane is None else f"for {_title(self.request)}"
            error.add_note(f"Raised in the thread {threading.current_thread().name!r} {what}.")
            self.error = error
        self.done.release()


def _title(request):
    return "the next batch of the generator" if request is None else f"item {request} of the Sequence"


def _work(compute, tickets, stopping):
    """The life of a worker thread."""
    try:
        while (ticket := tickets.get()) is not None and not stopping.is_set():
            ticket.fill(compute)
            ticket = None  # it holds a batch, which must not live until the next one is asked for
    finally:
        if isinstance(compute, _WorkerProcess):
            compute.close()


def _dismiss(stopping, lanes):
    stopping.set()
    for lane in lanes:
        lane.put(None)


class Crew:
    """The threads of one run, the tickets on their way, and the end of it all.

    Arguments:
        computes: a function from request to answer for each thread.
        stopping: the Event that ends the run.
        own_lanes: whether each thread has tickets of its own, or takes the next of all.
    """

    def __init__(self, computes: Sequence[Function], stopping: threading.Event, own_lanes: bool = False):
        self.stopping, self.pending = stopping, collections.deque()
        self.asked = threading.Event()  # somebody waits for the next epoch
        count = len(computes)
        self._lanes = [queue.SimpleQueue() for _ in range(count)] if own_lanes else [queue.SimpleQueue()] * count
        self._threads = [
            threading.Thread(target=_work, args=(compute, lane, stopping), name=f"worker {number}", daemon=True)
            for number, (compute, lane) in enumerate(zip(computes, self._lanes, strict=True))
        ]
        # Also where nobody calls `stop`: the threads end when the crew is forgotten, or the program ends.
        weakref.finalize(self, _dismiss, stopping, self._lanes)
        for thread in self._threads:
            thread.start()

    def ask(self, request: Any, lane: int = 0):
        """Have `request` answered by the threads of `lane`."""
        ticket = _Ticket(request, lane)
        self.pending.append(ticket)
        self._lanes[lane].put(ticket)

    def ask_for_turn(self, turn: Function, epoch: int):
        """Have `turn(epoch)` done by a thread of its own."""
        self.asked.clear()
        ticket = _Ticket(epoch, None)
        self.pending.append(ticket)
        thread = threading.Thread(target=ticket.fill, args=(turn,), name="end of epoch", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def take(self):
        """The first pending ticket, answered; None if there is none or the run is over."""
        if self.stopping.is_set() or not self.pending:
            return None
        try:
            ticket = self.pending.popleft()
        except IndexError:
            return None  # stopped just now
        if ticket.lane is None:
            self.asked.set()
        while not ticket.done.acquire(timeout=CHECK_SECONDS):
            if self.stopping.is_set():
                return None
        return ticket

    def stop(self, timeout: float):
        """End the threads; wait for them, at most `timeout` seconds, and forget the tickets.

        Returns:
            The names of the threads that still run, and the error of an end of epoch that nobody has seen.
        """
        _dismiss(self.stopping, self._lanes)
        self.asked.set()
        deadline = time.monotonic() + timeout
        # One that was not started yet when we were interrupted has nothing to be waited for.
        begun = [thread for thread in self._threads if thread.ident is not None]
        others = [thread for thread in begun if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        unseen = [ticket.error for ticket in self.pending if ticket.lane is None and ticket.error is not None]
        self.pending.clear()
        return [thread.name for thread in others if thread.is_alive()], unseen


# ----------------------------------------------------------------------------------------------------- processes


class _Channel:
    """Objects over a socket; arrays go and come without being copied into the pickle.

    Arguments:
        connection: one end of a socket pair.
        check: called now and then while the other side is silent; raises to end the wait. None waits for ever.
    """

    def __init__(self, connection, check=None):
        self._connection, self._check = connection, check
        connection.settimeout(None if check is None else CHECK_SECONDS)

    def send(self, packed):
        """Send what `_pack` made: the two lengths, the bytes, the lengths of the buffers, the buffers."""
        data, buffers = packed
        head = struct.pack("<QQ", len(data), len(buffers))
        sizes = struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
        for part in (head + data + sizes, *buffers):
            self._move(self._connection.send, part)

    def receive(self):
        """The next object that the other side sent.

        Raises:
            EOFError: if there is no other side any more.
        """
        length, count = struct.unpack("<QQ", self._read(16))
        data = self._read(length + 8 * count)
        sizes = struct.unpack_from(f"<{count}Q", data, length)
        return pickle.loads(data, buffers=[self._read(size) for size in sizes])

    def _read(self, size) -> Any:
        data = np.empty(size, np.uint8)  # a bytearray would be filled with zeros first
        self._move(self._connection.recv_into, data)
        return data

    def _move(self, transfer, data):
        left = memoryview(data).cast("B")
        while left:
            try:
                count = transfer(left)
            except TimeoutError:
                if self._check is not None:
                    self._check()
                continue
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError("The other side is gone.")
            left = left[count:]


def _pack(value):
    """`value` as bytes and the buffers that these refer to."""
    buffers = []

    def inside(buffer):
        raw = buffer.raw()
        if len(raw) < _OWN_WAY_BYTES:
            return True
        buffers.append(raw)
        return False

    return pickle.dumps(value, 5, buffer_callback=inside), buffers


class _WorkerTraceback(Exception):
    """What a worker process saw; the cause of the error that is raised here."""

    def __str__(self):
        return f'\n"""\n{self.args[0]}"""'


def _rebuilt(kind, arguments, attributes):
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class _WithoutInit:
    """An exception, pickled so that its `__init__`, which may want other arguments, is not called again."""

    def __init__(self, error):
        self._error = error

    def __reduce__(self):
        return _rebuilt, (type(self._error), self._error.args, self._error.__dict__)


def _pack_error(error):
    """An exception and its traceback, packed; a RuntimeError that quotes it if it survives no pickling."""
    text = "".join(traceback.format_exception(error))
    for form in (error, _WithoutInit(error)):
        try:
            data = pickle.dumps(form)
            back = pickle.loads(data)
        except Exception:
            continue
        if type(back) is type(error) and str(back) == str(error):
            return _pack(("error", (data, text)))
    return _pack(("error", (pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}")), text)))


def _leave_with_parent():
    """End this process with its parent, also in the middle of an item."""
    import multiprocessing

    def watch():
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()


def _serve(connection, compute: Any = None):
    """The life of a worker process: answers requests until there is nobody to ask.

    Arguments:
        connection: its end of the socket pair.
        compute: from request to answer; None is for a Sequence, which comes, pickled, as the first request.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and decides
    _leave_with_parent()
    channel = _Channel(connection)
    while True:
        try:
            kind, content = channel.receive()
        except EOFError:
            return
        try:
            if kind == "sequence":
                compute = _unpickle_sequence(content).__getitem__
                reply = _pack(("ready", None))
            else:
                answer = compute(content)
                reply = _pack(("end", None) if answer is END else ("item", answer))
        except BaseException as error:
            reply = _pack_error(error)
        try:
            channel.send(reply)
        except EOFError:
            return


def _serve_sequence(connection):
    """A worker process that began as a fresh interpreter; a JAX in it must leave the accelerators to the parent."""
    import jax

    os.environ["JAX_PLATFORMS"] = "cpu"
    jax.config.update("jax_platforms", "cpu")
    _serve(connection)


def _serve_generator(connection, generator, seed):
    """A worker process that began as a copy of the parent.

    What it inherited is never collected: freeing the parent's JAX arrays would call into a runtime whose threads were
    not copied.
    """
    gc.freeze()
    gc.enable()
    if seed is not None:
        np.random.seed(seed)
    _serve(connection, Next(generator))


class _Stopped(Exception):
    """The run is over while a worker process is busy."""


class _WorkerProcess:
    """A worker process, as the thread that owns it sees it: a function from request to answer.

    Arguments:
        context: a multiprocessing context.
        target, arguments: what the process runs, after its end of a socket pair.
        stopping: the Event that ends the run.
        parcel: the Sequence to send there; None for a process that has its work already.
    """

    def __init__(self, context, target, arguments, stopping, parcel=None):
        self._context, self._target, self._arguments = context, target, arguments
        self._stopping, self._parcel = stopping, parcel
        self._process: Any = None
        self._channel: Any = None
        self._connection = self._known = None

    def start(self):
        """Start the process."""
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._channel = _Channel(self._connection, self._check)
            self._process = self._context.Process(
                target=self._target, args=(theirs, *self._arguments), name="jkeras worker", daemon=True
            )
            self._process.start()

    def __call__(self, request):
        if self._process is None:
            self.start()
        if self._parcel is not None and (data := self._parcel.data) is not self._known:
            self._ask("sequence", pickle.PickleBuffer(data), request)
            self._known = data
        return self._ask("item", request, request)

    def _ask(self, kind, content, request):
        try:
            self._channel.send(_pack((kind, content)))
            kind, content = self._channel.receive()
        except EOFError:
            self._process.join(GRACE_SECONDS)
            raise RuntimeError(
                f"A worker process ended with exit code {self._process.exitcode} while it computed {_title(request)} "
                "(a negative code is the signal that killed it). What it printed stands above, if anything; common "
                "causes are lack of memory, and a script that starts training without an "
                "`if __name__ == '__main__':`, which each worker then runs again."
            ) from None
        if kind == "error":
            data, text = content
            raise pickle.loads(data) from _WorkerTraceback(text)
        return END if kind == "end" else content

    def _check(self):
        if self._stopping.is_set():
            raise _Stopped
        if not self._process.is_alive():
            raise EOFError

    def close(self):
        """End the process: at once if it is idle, by force if it is busy."""
        if self._connection is not None:
            # Closing would not do: a sibling that was forked later holds a copy of this end.
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._connection.close()  # the other side went first
            self._connection.close()
        if self._process is not None and self._process.pid is not None:
            self._process.join(GRACE_SECONDS)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(PATIENCE_SECONDS)


class Parcel:
    """A Sequence as bytes, for worker processes, which are sent `data` when it is another object than before."""

    def __init__(self):
        self.data = b""

    def pack(self, sequence: Any):
        """Take in a Sequence as it is now."""
        try:
            data = pickle.dumps(sequence, 5)
        except Exception as error:
            error.add_note(
                f"Worker processes get the {type(sequence).__name__} by pickle. Keep open files, locks and lambdas out "
                "of it (see object.__getstate__), or use threads: use_multiprocessing=False."
            )
            raise
        if data != self.data:
            self.data = data


def _unpickle_sequence(data):
    try:
        return pickle.loads(data)
    except Exception as error:
        error.add_note(
            "A worker process could not make its copy of the Sequence: its class must be in a module or script that "
            "can be imported (in a notebook, write it to a file), or use threads: use_multiprocessing=False."
        )
        raise


class Next:
    """What a generator gives next; once it has ended, it is not asked again."""

    def __init__(self, generator: Iterator[Any]):
        self._generator, self._ended = generator, False

    def __call__(self, _):
        answer = END if self._ended else next(self._generator, END)
        self._ended = answer is END
        return answer


def fresh(count: int, stopping: threading.Event, parcel: "Parcel"):
    """Worker processes for a Sequence. They are no copies of this one: its JAX has threads that would be missing there.

    Arguments:
        count: how many.
        stopping: the Event that ends the run.
        parcel: the `Parcel` with the Sequence.

    Returns:
        A function from request to answer for each. The process starts with the first request.
    """
    import multiprocessing

    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # The server imports this module, and JAX with it, once, and each worker is a copy of the server: three workers
        # start in 0.03 seconds instead of 3. It has no effect where a server runs already.
        context.set_forkserver_preload([__name__])
    return [_WorkerProcess(context, _serve_sequence, (), stopping, parcel) for _ in range(count)]


def fork(generator: Iterator[Any], count: int, seed: Seed, stopping: threading.Event):
    """Worker processes that are copies of this one, each with its own copy of a generator.

    Arguments:
        generator: an iterator.
        count: how many.
        seed: process number i seeds numpy's global generator with `seed + i`; None for not at all.
        stopping: the Event that ends the run.

    Returns:
        A function from request to answer for each.

    Raises:
        ValueError: where the system cannot copy a process safely.
    """
    import multiprocessing

    if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        raise ValueError(
            "A generator cannot be sent to worker processes, and this system cannot fork. Use a Sequence, or a thread: "
            "use_multiprocessing=False."
        )
    context = multiprocessing.get_context("fork")
    seeds = [None if seed is None else seed + number for number in range(count)]
    processes = [_WorkerProcess(context, _serve_generator, (generator, each), stopping) for each in seeds]
    collecting = gc.isenabled()
    try:
        # JAX and Python warn that locks held by other threads stay locked in the copy. The copy takes none of JAX's: it
        # runs nothing but the generator, frees nothing it inherited, and never returns from here.
        gc.disable()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            warnings.filterwarnings("ignore", r".*use of fork\(\) may lead to deadlocks", DeprecationWarning)
            for process in processes:
                process.start()
    except BaseException:
        for process in processes:
            process.close()
        raise
    finally:
        if collecting:
            gc.enable()
    return processes
