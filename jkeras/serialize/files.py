"""Files that are whole or not there."""

import contextlib
import os
import secrets
from collections.abc import Iterator

from jkeras.interrupt import Shield
from jkeras.typing import PathLike

__all__ = ["whole_file"]


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[str]:
    """The path of a new file beside `path`, which takes its place when the block ends; if the block fails, nothing
    happens. What is at `path` after a crash or a power cut is all of the old file or all of the new one. Ctrl-C waits
    for the end of the block: libraries that are interrupted while they write raise errors of their own."""
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    with Shield():
        try:
            yield aside
            if os.path.exists(path):
                os.chmod(aside, os.stat(path).st_mode)
            _sync(aside)
            os.replace(aside, path)
            _sync(folder)
        finally:
            if os.path.exists(aside):
                os.remove(aside)


def _sync(path):
    """Wait until `path` is on the disk."""
    if os.name == "nt" and os.path.isdir(path):  # folders cannot be opened there, and need not be
        return
    descriptor = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
