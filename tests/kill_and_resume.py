"""Kills a training run at random moments, runs the same script again, and compares what comes out, bit for bit.

    python tests/kill_and_resume.py [--kills 20] [--every 7] [--feeding sequence]

The run has dropout, BatchNormalization, Adam, ReduceLROnPlateau, EarlyStopping, validation data and a last batch that
is smaller than the others. It is first run undisturbed; then, for each kill, in a new directory: started, killed by
SIGKILL at a random moment of `fit`, and started again until it ends. Compared are the SHA-256 of the weights, of the
optimizer's arrays (the number of steps taken among them) and of the history.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

EPOCHS, BATCH = 40, 16


def train(directory, every, feeding):
    """The script that is killed: trains with a backup in `directory`; prints what came out."""
    import numpy as np

    import jkeras
    from jkeras import callbacks, layers

    rng = np.random.RandomState(0)
    x = rng.randn(400, 12).astype("float32")
    y = np.eye(3, dtype="float32")[np.argmax(x[:, :3] + rng.randn(400, 3), axis=1)]
    x, x_val, y, y_val = x[:314], x[314:], y[:314], y[314:]  # 20 batches, the last of 10

    jkeras.random.seed(1)
    model = jkeras.models.Sequential(
        [
            layers.Dense(32, activation="relu", input_shape=(12,)),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(jkeras.optimizers.Adam(0.02), "categorical_crossentropy", metrics=["accuracy"])
    watch = [
        callbacks.ReduceLROnPlateau(patience=2, factor=0.5, min_delta=1e-3),
        callbacks.EarlyStopping(patience=25, restore_best_weights=True),
        callbacks.BackupAndRestore(directory, every=every),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: time.sleep(0.03)),
    ]
    options = {"epochs": EPOCHS, "verbose": 0, "callbacks": watch, "validation_data": (x_val, y_val), "key": 7}
    print("fit", flush=True)
    if feeding == "arrays":
        history = model.fit(x, y, batch_size=BATCH, **options)
    else:
        made = batches(x, y, feeding)
        history = model.fit_generator(made, steps_per_epoch=-(-len(x) // BATCH), workers=2, **options)
    arrays = {"weights": model.get_weights(), "optimizer": model.optimizer.get_weights()}
    found = {name: digest(b"".join(array.tobytes() for array in values)) for name, values in arrays.items()}
    logs = {name: [float(value) for value in values] for name, values in history.history.items()}
    found["history"] = digest(json.dumps([history.epoch, logs]).encode())
    found["steps"] = int(model.optimizer.get_weights()[0])
    print(json.dumps(found), flush=True)


def batches(x, y, feeding):
    """The batches of (x, y) as a Sequence, or as a generator without end."""
    from jkeras.utils import Sequence

    class Slices(Sequence):
        def __len__(self):
            return -(-len(x) // BATCH)

        def __getitem__(self, index):
            rows = slice(index * BATCH, (index + 1) * BATCH)
            return x[rows], y[rows]

    def endless():
        while True:
            yield from Slices()

    return Slices() if feeding == "sequence" else endless()


def digest(data) -> str:
    return hashlib.sha256(data).hexdigest()


def start(directory, options):
    """The script in a process of its own."""
    command = [sys.executable, os.path.abspath(__file__), "--train", directory]
    command += ["--every", str(options.every), "--feeding", options.feeding]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process):
    """What the script printed, and for how long it was in `fit`."""
    assert process.stdout.readline() == "fit\n"
    began = time.perf_counter()
    line = process.stdout.readline()
    seconds = time.perf_counter() - began
    assert process.wait() == 0, "the script failed"
    return json.loads(line), seconds


def compare(options):
    """Run, kill, resume, compare; returns how many of the killed runs came out otherwise."""
    draw, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as scratch:
        outcome(start(os.path.join(scratch, "warm"), options))  # fills the cache of compiled programs
        expected, seconds = outcome(start(os.path.join(scratch, "undisturbed"), options))
        assert not os.path.exists(os.path.join(scratch, "undisturbed", "backup.npz"))
        print(f"undisturbed: {expected['steps']} steps, {seconds:.2f} s in fit", flush=True)
        for number in range(options.kills):
            directory = os.path.join(scratch, str(number))
            process = start(directory, options)
            assert process.stdout.readline() == "fit\n"
            moment = draw.uniform(0, seconds)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            process.stdout.close()
            backup = os.path.exists(os.path.join(directory, "backup.npz"))
            found, _ = outcome(start(directory, options))
            same = found == expected
            wrong += not same
            print(
                f"{number + 1:3}: {'killed' if killed else 'had ended'} {moment:.2f} s into fit, "
                f"{'with' if backup else 'without'} a backup: {'same' if same else f'DIFFERS: {found}'}",
                flush=True,
            )
    print(f"{options.kills - wrong} of {options.kills} runs ended as the undisturbed one")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", default="epoch", type=lambda text: text if text == "epoch" else int(text))
    parser.add_argument("--feeding", choices=("arrays", "sequence", "generator"), default="arrays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.every, options.feeding)
        return 0
    return 1 if compare(options) else 0


if __name__ == "__main__":
    sys.exit(main())
