"""Training speed against what users would pick instead: paired runs, ratios to a plain hand-written JAX loop.

    python benchmarks/training.py [--cases digits_mlp,mnist_mlp,mnist_cnn,lstm] [--contenders hand,jkeras,keras3]

Every contender trains the same network on the same random data with shuffling and an accuracy metric on, in a process
of its own; a round runs each of them once, one after the other. Printed are, as ratios to `hand`, the time of one
epoch (the fastest of a run, the median over rounds) and the time from imports done to the first step done. `hand` is
what a careful person writes: one jitted, donated step per batch, numpy batches in, the loss and accuracy accumulated
on the device.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

CASES = {  # name: (examples, batch size, timed epochs)
    "digits_mlp": (1797, 32, 30),
    "mnist_mlp": (12800, 128, 6),
    "mnist_cnn": (1280, 128, 4),
    "lstm": (1024, 32, 4),
}


def data(case):
    """Random inputs and one-hot (lstm: binary) targets of a case."""
    examples = CASES[case][0]
    rng = np.random.RandomState(0)
    if case == "lstm":
        return rng.randint(0, 20000, (examples, 80)).astype("int32"), rng.randint(0, 2, (examples, 1)).astype("float32")
    shape = {"digits_mlp": (64,), "mnist_mlp": (784,), "mnist_cnn": (28, 28, 1)}[case]
    x = rng.rand(examples, *shape).astype("float32")
    return x, np.eye(10, dtype="float32")[rng.randint(0, 10, examples)]


def build(case, layers, sequential):
    """The network of a case, written in Keras (both libraries take it)."""
    if case == "digits_mlp":
        return sequential([layers.Input((64,)), layers.Dense(32, "relu"), layers.Dense(10, "softmax")])
    if case == "mnist_mlp":
        return sequential(
            [
                layers.Input((784,)),
                layers.Dense(512, "relu"),
                layers.Dropout(0.2),
                layers.Dense(512, "relu"),
                layers.Dropout(0.2),
                layers.Dense(10, "softmax"),
            ]
        )
    if case == "mnist_cnn":
        return sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(32, 3, activation="relu"),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Dropout(0.25),
                layers.Flatten(),
                layers.Dense(128, "relu"),
                layers.Dropout(0.5),
                layers.Dense(10, "softmax"),
            ]
        )
    return sequential(
        [
            layers.Input((80,), dtype="int32"),
            layers.Embedding(20000, 128),
            layers.LSTM(128),
            layers.Dense(1, "sigmoid"),
        ]
    )


class Clock:
    """When the first step and each epoch ended. As a callback of either library it asks for no batch hooks."""

    def __init__(self):
        self.start = time.perf_counter()
        self.marks = []

    def mark(self):
        self.marks.append(time.perf_counter())

    def result(self):
        epochs = np.diff([self.start, *self.marks]).tolist()
        return {"first": epochs[0], "epoch": min(epochs[2:])}


def run_keras(case, library):
    if library == "jkeras":
        from jkeras import callbacks, layers
        from jkeras.models import Sequential
    else:
        os.environ["KERAS_BACKEND"] = "jax"
        from keras import Sequential, callbacks, layers
    x, y = data(case)
    _, size, epochs = CASES[case]
    clock = Clock()
    model = build(case, layers, lambda stack: with_input(stack, Sequential, layers, library))
    model.compile("adam", "binary_crossentropy" if case == "lstm" else "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:size], y[:size], batch_size=size, epochs=1, verbose=0)
    clock.mark()
    end = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: clock.mark())
    model.fit(x, y, batch_size=size, epochs=epochs + 1, verbose=0, shuffle=True, callbacks=[end])
    return clock.result()


def with_input(stack, sequential, layers, library):
    if library == "keras3":
        return sequential(stack)
    from jkeras.models import Model

    symbol, *rest = stack
    x = symbol
    for layer in rest:
        x = layer(x)
    return Model(symbol, x)


def run_hand(case):
    import hand
    import jax

    x, y = data(case)
    _, size, epochs = CASES[case]
    clock = Clock()
    state, step = hand.make(case)
    key = jax.random.key(1)
    state, logs = step(state, x[:size], y[:size], key)
    jax.block_until_ready(state)
    clock.mark()
    rng = np.random.RandomState(0)
    for _ in range(epochs + 1):
        order = rng.permutation(len(x))
        totals = []
        for number, start in enumerate(range(0, len(x), size)):
            rows = order[start : start + size]
            state, logs = step(state, x[rows], y[rows], jax.random.fold_in(key, number))
            totals.append(logs)
        loss, accuracy = (float(sum(column)) / len(totals) for column in zip(*totals, strict=True))
        assert np.isfinite(loss) and 0 <= accuracy <= 1
        clock.mark()
    return clock.result()


def measure(case, contender):
    """One run in a process of its own."""
    command = [sys.executable, os.path.abspath(__file__), "--one", f"{case}:{contender}"]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {"PYTHONPATH": root, "JKERAS_COMPILATION_CACHE": "off", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{case} {contender} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--contenders", default="hand,jkeras,keras3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        case, contender = arguments.one.split(":")
        print(json.dumps(run_hand(case) if contender == "hand" else run_keras(case, contender)))
        return
    contenders = arguments.contenders.split(",")
    print(f"{'case':12s} {'contender':10s} {'epoch / hand':>13s} {'first / hand':>13s} {'epoch s':>9s} {'first s':>9s}")
    for case in arguments.cases.split(","):
        runs = {contender: [] for contender in contenders}
        for _ in range(arguments.rounds):
            for contender in contenders:
                runs[contender].append(measure(case, contender))
        for contender in contenders:
            ratio = {
                what: statistics.median(
                    own[what] / hand[what] for own, hand in zip(runs[contender], runs[contenders[0]], strict=True)
                )
                for what in ("epoch", "first")
            }
            epoch, first = (statistics.median(run[what] for run in runs[contender]) for what in ("epoch", "first"))
            print(
                f"{case:12s} {contender:10s} {ratio['epoch']:13.2f} {ratio['first']:13.2f} {epoch:9.4f} {first:9.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
