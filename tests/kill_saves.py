"""Kills a process while it writes a file, at random moments: what is there must be all of the old or of the new file.

    python tests/kill_saves.py [--kills 50] [--seed 0]

In turn: a model, its weights, a checkpoint. After each kill the file is read, and written once more: then nothing else
may be in the folder.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np


def made(number):
    """A model of half a megabyte whose weights are all `number`."""
    from jkeras import layers, models

    model = models.Sequential([layers.Dense(300, input_shape=(400,)) for _ in range(1)])
    model.set_weights([np.full_like(weight, number) for weight in model.get_weights()])
    return model


def write(kind, path, model):
    from jkeras.serialize import checkpoint

    if kind == "model":
        model.save(path)
    elif kind == "weights":
        model.save_weights(path)
    else:
        checkpoint.write(path, {"weights": model.get_weights()})


def read(kind, path) -> list:
    """The weights in the file."""
    from jkeras import models
    from jkeras.serialize import checkpoint

    if kind == "model":
        return models.load_model(path, compile=False).get_weights()
    if kind == "checkpoint":
        return checkpoint.read(path)["weights"]
    model = made(-1)
    model.load_weights(path)
    return model.get_weights()


def work(kind, path):
    """Write the file again and again, as another model each time."""
    numbered = [made(number) for number in range(3)]
    write(kind, path, numbered[0])
    print("begun", flush=True)
    while True:
        for model in numbered:
            write(kind, path, model)


def killed(kind, seconds) -> str:
    """What is wrong after a process that wrote for so many seconds was killed; '' if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.h5")
        command = [sys.executable, os.path.abspath(__file__), "--work", kind, path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = len(os.listdir(folder)) - 1
        values = np.unique(np.concatenate([weight.ravel() for weight in read(kind, path)]))
        if len(values) != 1 or values[0] not in (0, 1, 2):
            return f"the file holds {values[:5]}"
        write(kind, path, made(7))
        if os.listdir(folder) != ["file.h5"]:
            return f"{os.listdir(folder)} are left after the next save"
        return "left" if left else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
    draw, wrong, left = random.Random(options.seed), 0, 0
    for number in range(options.kills):
        kind = ("model", "weights", "checkpoint")[number % 3]
        found = killed(kind, draw.uniform(0, 0.2))
        left += found == "left"
        if found not in ("", "left"):
            wrong += 1
            print(f"{number}: {kind}: {found}", flush=True)
    print(f"{options.kills - wrong} of {options.kills} files were whole, and nothing was left after the next save;")
    print(f"{left} kills left something that the next save removed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
