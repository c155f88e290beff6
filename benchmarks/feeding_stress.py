"""Queues of batches under strain: each scenario many times, with other numbers of workers, queue sizes and delays.

    python benchmarks/feeding_stress.py [50]

JAX computes all the while, as it does in training. A batch that is lost, doubled or out of order, a thread or process
that stays, or a run that hangs ends the program with exit code 1. Linux only.
"""

import argparse
import faulthandler
import functools
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import numpy as np

from jkeras.utils import GeneratorEnqueuer, OrderedEnqueuer, Sequence

HANG_SECONDS = 60


class Items(Sequence):
    """Item i of epoch e is [e, i, ...], after a delay of up to `delay` seconds; `event` happens at item `at`."""

    def __init__(self, count, delay, event=None, at=None, width=2):
        self.count, self.delay, self.event, self.at, self.width, self.epoch = count, delay, event, at, width, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.delay:
            time.sleep(random.random() * self.delay)
        if index == self.at:
            if self.event == "error":
                raise KeyError(index)
            if self.event == "exit":
                os._exit(7)
            if self.event == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.event == "sleep":
                time.sleep(0.3 if threading.current_thread().name.startswith("worker") else 600)
        item = np.zeros(self.width, "int64")
        item[:2] = self.epoch, index
        return item

    def on_epoch_end(self):
        self.epoch += 1


def generate(items):
    for index in range(len(items)):
        yield items[index]


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def enqueuer_of(kind, items):
    if kind.startswith("generator"):
        return GeneratorEnqueuer(generate(items), use_multiprocessing=kind.endswith("processes"))
    return OrderedEnqueuer(items, use_multiprocessing=kind == "processes")


def pairs(batches):
    for batch in batches:
        yield int(batch[0]), int(batch[1])


def expected_of(kind, count, workers, epochs):
    """What is to come: epochs of a Sequence; a generator once, or once per process."""
    if kind.startswith("generator"):
        copies = workers if kind.endswith("processes") else 1
        return [(0, index) for index in range(count) for _ in range(copies)]
    return [(epoch, index) for epoch in range(epochs) for index in range(count)]


def settings(draw):
    """Numbers of batches and workers, size of the queue, delay, and numbers per batch."""
    return (
        *(draw.randint(1, high) for high in (20, 8, 8)),
        draw.choice([0, 0, 0.002]),
        draw.choice([2, 10, 200_000]),
    )


def once_and_in_order(kind, draw):
    count, workers, size, delay, width = settings(draw)
    expected = expected_of(kind, count, workers, epochs=3)
    with enqueuer_of(kind, Items(count, delay, width=width)) as enqueuer:
        enqueuer.start(workers, size)
        batches = pairs(enqueuer.get())
        found = [next(batches) for _ in expected]
        check(found == expected, f"expected {expected}, found {found}")
        if kind.startswith("generator"):
            check(not list(batches), "more than everything")


def stopped_early(kind, draw):
    count, workers, size, delay, width = settings(draw)
    expected = expected_of(kind, count, workers, epochs=2)
    enqueuer = enqueuer_of(kind, Items(count, delay, width=width))
    enqueuer.start(workers, size)
    batches = pairs(enqueuer.get())
    number = draw.randrange(len(expected))
    found = [next(batches) for _ in range(number)]
    time.sleep(draw.choice([0, 0.005]))
    stop(enqueuer)
    check(found == expected[:number], f"expected {expected[:number]}, found {found}")
    check(not list(batches), "batches after stop")


def fails(event, error, kind, draw):
    """What comes before the item that fails is delivered; then the error."""
    count, workers, size, delay, _ = settings(draw)
    at = draw.randrange(count)
    enqueuer = enqueuer_of(kind, Items(count, delay, event, at))
    enqueuer.start(workers, size)
    expected = expected_of(kind, count, workers, epochs=1)
    until = next(number for number, (_, index) in enumerate(expected) if index == at)
    found = []
    try:
        for pair in pairs(enqueuer.get()):
            found.append(pair)
    except error:
        check(found == expected[:until], f"expected {expected[:until]}, found {found}")
    else:
        check(False, f"no {error.__name__} came")
    check(not enqueuer.is_running(), "it still runs")


def stopped_while_slow(kind, draw):
    count, workers, size, _, _ = settings(draw)
    enqueuer = enqueuer_of(kind, Items(count, 0, "sleep", at=0))
    enqueuer.start(workers, size)
    time.sleep(draw.choice([0, 0.05]))
    stop(enqueuer)


def interrupted(kind, draw):
    count, workers, size, delay, _ = settings(draw)
    try:
        with enqueuer_of(kind, Items(count, delay)) as enqueuer:
            enqueuer.start(workers, size)
            for _ in enqueuer.get():
                if draw.random() < 0.3:
                    raise KeyboardInterrupt
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        check(not enqueuer.is_running(), "it still runs")


def stop(enqueuer):
    begin = time.monotonic()
    enqueuer.stop()
    check(time.monotonic() - begin < 5, f"stop took {time.monotonic() - begin:.1f} s")


def orphans():
    """Threads of workers, and processes below this one other than the two servers of multiprocessing."""
    found = [each.name for each in threading.enumerate() if each.name.startswith(("worker ", "end of epoch"))]
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_text()
        except OSError:
            continue  # it has just ended
        parents[int(stat.parent.name)] = (int(parent), state, command)
    for pid, (parent, state, command) in parents.items():
        server = parent == os.getpid() and ("forkserver" in command or "resource_tracker" in command)
        line = parent
        while line in parents and line != os.getpid():
            line = parents[line][0]
        if line == os.getpid() and not server and not (state == "Z" and parent != os.getpid()):
            found.append(f"process {pid}")
    return found


EVERY = ("threads", "processes", "generator thread", "generator processes")
SCENARIOS = {
    "once and in order": (once_and_in_order, EVERY),
    "stopped early": (stopped_early, EVERY),
    "error in a worker": (functools.partial(fails, "error", KeyError), EVERY),
    "worker exits": (functools.partial(fails, "exit", RuntimeError), EVERY[1::2]),
    "worker killed": (functools.partial(fails, "kill", RuntimeError), EVERY[1::2]),
    "stopped while slow": (stopped_while_slow, EVERY),
    "interrupted": (interrupted, EVERY),
}


def compute(enough):
    """Keep JAX's threads at work: a fork must do no harm then either."""
    step = jax.jit(lambda x: x @ x / 64)
    x = np.ones((64, 64), "float32")
    while not enough.wait(0.002):
        x = step(x)


def stress(repetitions: int = 50) -> int:
    """Run every scenario so many times and print a line for each.

    Returns:
        The number of runs that failed.
    """
    enough, failures = threading.Event(), 0
    busy = threading.Thread(target=compute, args=(enough,))
    busy.start()
    for name, (scenario, kinds) in SCENARIOS.items():
        for kind in kinds:
            begin, failed = time.monotonic(), 0
            for repetition in range(repetitions):
                faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
                try:
                    scenario(kind, random.Random(f"{name} {kind} {repetition}"))
                    check(not orphans(), f"left running: {orphans()}")
                except Exception:
                    failed += 1
                    traceback.print_exc()
            faulthandler.cancel_dump_traceback_later()
            seconds = time.monotonic() - begin
            print(f"{name:20} {kind:20} {repetitions} runs, {failed} failed, {seconds:6.1f} s", flush=True)
            failures += failed
    enough.set()
    busy.join()
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("repetitions", type=int, nargs="?", default=50)
    if not os.path.isdir("/proc") or "fork" not in multiprocessing.get_all_start_methods():
        sys.exit("This needs Linux: it looks for processes in /proc, and it forks.")
    sys.exit(1 if stress(parser.parse_args().repetitions) else 0)
