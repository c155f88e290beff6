"""Speed of feeding: generators and Sequences against Keras 3's, and what logging costs on a tiny network.

    python benchmarks/feeding.py [--rounds 5]

The networks and the data are those of `training.py`. Feeding: each contender runs in a process of its own, a round runs
each of them once, one after the other; printed is the median over rounds of the fastest epoch, as a ratio to Keras 3's.
Logging: one process trains with each `verbose` in turn, again and again; printed is the fastest run of 20 epochs, as a
ratio to that of verbose=0.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from training import CASES, build, data, with_input  # noqa: E402

EPOCHS = {"digits_mlp": 20, "mnist_mlp": 6}
FEEDING = ("sequence", "sequence, 4 threads", "generator")
LOGGING = (0, 1, 2)  # values of verbose


def imports(library):
    if library == "jkeras":
        from jkeras import callbacks, layers
        from jkeras.models import Sequential
        from jkeras.utils import Sequence
    else:
        os.environ["KERAS_BACKEND"] = "jax"
        from keras import Sequential, callbacks, layers
        from keras.utils import PyDataset as Sequence
    return callbacks, layers, Sequential, Sequence


def slices(x, y, size, sequence, **options):
    """The batches of (x, y) as a Sequence, Keras 3's PyDataset."""

    class Slices(sequence):
        def __len__(self):
            return -(-len(x) // size)

        def __getitem__(self, index):
            rows = slice(index * size, (index + 1) * size)
            return x[rows], y[rows]

    return Slices(**options)


def run(case, library, how):
    """Seconds of the fastest epoch."""
    callbacks, layers, sequential, sequence = imports(library)
    x, y = data(case)
    size = CASES[case][1]
    model = build(case, layers, lambda stack: with_input(stack, sequential, layers, library))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    marks = []
    watch = [callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: marks.append(time.perf_counter()))]
    options = {"epochs": EPOCHS[case] + 2, "callbacks": watch, "verbose": 0}
    train(model, library, how, x, y, size, sequence, options)
    return min(after - before for before, after in zip(marks[1:], marks[2:], strict=False))


def train(model, library, how, x, y, size, sequence, options):
    threads = {"workers": 4} if "threads" in how else {}
    if how.startswith("sequence") and library == "jkeras":
        model.fit_generator(slices(x, y, size, sequence), shuffle=False, **threads, **options)
    elif how.startswith("sequence"):
        model.fit(slices(x, y, size, sequence, **threads), shuffle=False, **options)
    else:
        steps = -(-len(x) // size)
        made = ((x[at : at + size], y[at : at + size]) for _ in iter(int, 1) for at in range(0, len(x), size))
        (model.fit_generator if library == "jkeras" else model.fit)(made, steps_per_epoch=steps, **options)


def logging(rounds):
    """Seconds of the fastest run for each `verbose`."""
    _, layers, sequential, _ = imports("jkeras")
    x, y = data("digits_mlp")
    model = build("digits_mlp", layers, lambda stack: with_input(stack, sequential, layers, "jkeras"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    seconds = {verbose: [] for verbose in LOGGING}
    for _ in range(rounds):
        for verbose, found in seconds.items():
            # What is printed goes to memory: how fast a terminal is is not the question.
            with contextlib.redirect_stdout(io.StringIO()):
                start = time.perf_counter()
                model.fit(x, y, epochs=20, verbose=verbose)
                found.append(time.perf_counter() - start)
    return {verbose: min(found) for verbose, found in seconds.items()}


def measure(case, library, how):
    """One run in a process of its own."""
    command = [sys.executable, os.path.abspath(__file__), "--one", json.dumps([case, library, how])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case} {library} {how} failed:\n{done.stderr[-3000:]}")
    return float(done.stdout.strip().splitlines()[-1])


def compare(case, contenders, rounds):
    """Medians of the ratios to the first contender, and of the seconds."""
    runs = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            runs[contender].append(measure(case, *contender))
    for contender in contenders:
        pairs = zip(runs[contender], runs[contenders[0]], strict=True)
        ratio = statistics.median(own / first for own, first in pairs)
        library, how = contender
        print(
            f"{case:12s} {how:20s} {library:8s} {ratio:8.2f} {1e3 * statistics.median(runs[contender]):9.2f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("feeding", "logging"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(run(*json.loads(arguments.one)))
        return
    print(f"{'case':12s} {'how':20s} {'library':8s} {'ratio':>8s} {'epoch ms':>9s}")
    if arguments.only != "logging":
        for case in EPOCHS:
            for how in FEEDING:
                compare(case, [("keras3", how), ("jkeras", how)], arguments.rounds)
    if arguments.only != "feeding":
        for verbose, seconds in (found := logging(20 * arguments.rounds)).items():
            shown = f"{seconds / found[0]:8.3f} {50 * seconds:9.3f}"
            print(f"{'digits_mlp':12s} {f'verbose={verbose}':20s} {'jkeras':8s} {shown}", flush=True)


if __name__ == "__main__":
    main()
