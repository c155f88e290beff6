"""Interrupts `fit` by Ctrl-C at random moments; afterwards all weights must be of one step, and training must go on.

    python tests/interrupt.py [--times 100] [--seed 0]

In turn: arrays, arrays with batch hooks, a generator with two workers, backups every few steps, single batches in a
loop, validation, four devices (`pmap`), a mesh. The model is such that every weight counts the steps.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import threading

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("NPROC", "8")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from test_loop import X, Y, counting, interrupted_after, steps_of

from jkeras import callbacks
from jkeras.train import Meshed, Pmapped

ROUNDS = 10**6  # epochs, far more than there is time for


def arrays(model, **options):
    model.fit(X, Y, batch_size=8, epochs=ROUNDS, verbose=0, **options)


def hooks(model):
    arrays(model, callbacks=[callbacks.LambdaCallback(on_batch_end=lambda batch, logs: model.optimizer.iterations)])


def generator(model):
    batches = ((X[i : i + 8], Y[i : i + 8]) for _ in itertools.count() for i in range(0, 64, 8))
    model.fit_generator(batches, 8, epochs=ROUNDS, verbose=0, workers=2)


def backups(model):
    with tempfile.TemporaryDirectory() as directory:
        arrays(model, callbacks=[callbacks.BackupAndRestore(directory, every=5)])


def single_batches(model):
    while True:
        model.train_on_batch(X[:8], Y[:8])
        model.get_weights()


def validation(model):
    arrays(model, validation_data=(X, Y))


WAYS = {
    "arrays": (arrays, None),
    "batch hooks": (hooks, None),
    "generator": (generator, None),
    "backups": (backups, None),
    "single batches": (single_batches, None),
    "validation": (validation, None),
    "pmapped": (arrays, lambda: Pmapped(4)),
    "meshed": (arrays, lambda: Meshed(4)),
}


def prepared(mapping):
    model = counting(mapping=mapping and mapping())
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, validation_data=(X, Y))
    model.train_on_batch(X[:8], Y[:8])
    return model


def attempt(model, way, seconds):
    """What went wrong, or None."""
    before = steps_of(model.get_weights())
    threads = threading.active_count()
    try:
        with interrupted_after(seconds):
            way(model)
    except KeyboardInterrupt:
        pass
    else:
        return "it was not interrupted"
    try:
        after = steps_of(model.get_weights())
        if after != int(model.optimizer.iterations.value) or after < before:
            return f"{after} steps in the weights, {int(model.optimizer.iterations.value)} in the optimizer"
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
        if steps_of(model.get_weights()) != after + 8:
            return "training did not go on from there"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return "SIGINT was left handled"
    return "threads were left" if threading.active_count() > threads else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw, good = random.Random(arguments.seed), 0
    models = {name: prepared(mapping) for name, (_, mapping) in WAYS.items()}
    for number, name in zip(range(arguments.times), itertools.cycle(WAYS)):  # noqa: B905
        seconds = draw.uniform(0.0005, 0.2)
        problem = attempt(models[name], WAYS[name][0], seconds)
        good += problem is None
        if problem:
            print(f"{number:3}: {name} after {seconds:.4f} s: {problem}", flush=True)
    print(f"{good} of {arguments.times} interruptions left whole weights")
    return 0 if good == arguments.times else 1


if __name__ == "__main__":
    sys.exit(main())
