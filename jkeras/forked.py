"""A process that was copied by `os.fork` after JAX had computed in it: what is computed in the copy waits for ever, as
JAX's threads were not copied."""

import os

__all__ = ["check_not_forked"]

_used: list = []  # the process that computed first


def check_not_forked() -> None:
    """Note that this process computes.

    Raises:
        RuntimeError: if it is a copy of one that did.
    """
    if not _used:
        _used.append(os.getpid())
    elif _used[0] != os.getpid():
        raise RuntimeError(
            "This process is a copy, made by os.fork, of one in which JAX had computed; JAX's threads are not copied, "
            "and nothing can be computed here. Start processes afresh: multiprocessing.get_context('spawn')."
        )
