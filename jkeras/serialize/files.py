"""Files that are whole or not there."""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

from jkeras.interrupt import Shield
from jkeras.typing import PathLike

fcntl: Any = None
with contextlib.suppress(
    ImportError
):  # not on Windows: what a killed process leaves there, nobody can tell from others
    import fcntl

__all__ = ["whole_file"]


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[str]:
    """The path of a new, empty file beside `path`, to be filled, not replaced. It takes the place of `path` when the
    block ends; if the block fails, nothing happens. What is at `path` after a crash or a power cut is all of the old
    file or all of the new one, and what a killed process leaves is removed by the next one. Ctrl-C waits for the end
    of the block: libraries that are interrupted while they write raise errors of their own.

    Raises:
        OSError: if the file cannot be written; then it names `path`.
    """
    path = os.path.realpath(os.fspath(path))
    with Shield(), _naming(path):
        mode = _mode(path)
        aside, lock = _begin(path, 0o666 if mode is None else mode | 0o600)
        try:
            yield aside
            if mode is not None:
                os.chmod(aside, mode)
            _sync(aside)
            os.replace(aside, path)
            _sync(os.path.dirname(path))
        finally:
            with contextlib.suppress(FileNotFoundError):  # it has taken its place
                os.remove(aside)
            if lock is not None:
                os.close(lock)


@contextlib.contextmanager
def _naming(path):
    """Errors of the system name `path`, not what is beside it."""
    try:
        yield
    except OSError as error:
        if path in str(error):
            raise
        if error.errno is None:  # those of HDF5
            raise OSError(f"{path} was not written: {' '.join(str(error).split())[:400]}") from error
        raise type(error)(error.errno, f"{error.strerror}, so nothing was written", path) from error


def _mode(path) -> int | None:
    """Who may do what with the file at `path`; None if there is none.

    Raises:
        OSError: if it is a folder, a device or a pipe, in whose place no file shall be put.
    """
    if not os.path.lexists(path):
        return None
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is no file, and is not replaced by one.")
    return stat.S_IMODE(mode)


def _begin(path, mode) -> tuple[str, int | None]:
    """A new file beside `path`, and the descriptor whose lock tells others that it is being written, or None.

    Its name is short whatever that of `path` is. Who may read it is decided when it is made.
    """
    folder, name = os.path.split(path)
    start = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}."
    while True:
        if fcntl:
            _remove_abandoned(folder, start)
        aside = os.path.join(folder, f"{start}{secrets.token_hex(4)}.part")
        lock = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if fcntl and (_locked(lock) is None or os.fstat(lock).st_nlink):
            return aside, lock
        os.close(lock)
        if not fcntl:
            return aside, None
        # Another process took it for abandoned before it was locked.


def _locked(descriptor) -> bool | None:
    """Whether this process has the lock of a file now; None if there are no locks here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(folder, start):
    """Remove what killed processes left of a file: files with such names that nobody has locked."""
    with contextlib.suppress(OSError):  # it is gone, or not ours
        for name in os.listdir(folder):
            if name.startswith(start) and name.endswith(".part"):
                path = os.path.join(folder, name)
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if _locked(descriptor):
                        os.remove(path)
                finally:
                    os.close(descriptor)


def _sync(path):
    """Wait until `path` is on the disk."""
    if os.name == "nt" and os.path.isdir(path):  # folders cannot be opened there, and need not be
        return
    descriptor = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
