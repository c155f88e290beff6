"""`Shield`: Ctrl-C waits until what must be whole is whole."""

import contextlib
import signal
import threading
from collections.abc import Callable

__all__ = ["Shield"]


class Shield:
    """Inside, SIGINT is noted, and acted on where the shield is `open` (user code, waiting) or at its end.

    Python delivers Ctrl-C right after a compiled call returns, before its result is stored: by then the call has taken
    over the memory of its arguments. Only the main thread is ever interrupted; elsewhere this does nothing.
    """

    def __init__(self):
        self._noted, self._closed = False, True
        self._before: Callable | None = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # else nobody listens, or the process just ends
                self._before = before
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception):
        if self._before is not None:
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, self._before)
            self._act()

    def _handle(self, number, frame):
        if self._closed:
            self._noted = True
        else:
            self._closed = True  # what is left is to put results back
            self._interrupt(number, frame)

    def _act(self):
        if self._noted:
            self._noted = False
            self._interrupt(signal.SIGINT, None)

    def _interrupt(self, number, frame):
        assert self._before is not None, "only with a handler before is there one of this shield"
        self._before(number, frame)

    @contextlib.contextmanager
    def open(self):
        """Inside, Ctrl-C is acted on at once."""
        was, self._closed = self._closed, False
        try:
            self._act()
            yield
        finally:
            self._closed = was
