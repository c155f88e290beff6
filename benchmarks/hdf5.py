"""Training from an HDF5 file of 1 GB: memory above that of the model, and speed against reading the file alone.

    python benchmarks/hdf5.py [--megabytes 1024] [--folder DIRECTORY]

Each row is a process of its own, which trains an epoch in batches of 128 with `shuffle="batch"`. Printed is the peak of
its memory, less that of the same on the first 4 MB of the file, and the speed; `read alone` reads the same batches and
does nothing with them.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WIDTH, BATCH = 1024, 128  # a row is 4 kB
ROW = 4 * WIDTH


def write(path, rows):
    stream = np.random.RandomState(0)
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (rows, WIDTH), "float32")
        y = file.create_dataset("y", (rows, 1), "int64")
        for first in range(0, rows, 4096):
            count = min(4096, rows - first)
            x[first : first + count] = stream.rand(count, WIDTH)
            y[first : first + count] = stream.randint(0, 10, (count, 1))


def model():
    import jkeras
    from jkeras.layers import Dense

    made = jkeras.Sequential([Dense(64, activation="relu", input_shape=(WIDTH,)), Dense(10, activation="softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


def read_alone(x, y):
    for batch in np.random.RandomState(0).permutation(len(x) // BATCH):
        rows = slice(int(batch) * BATCH, int(batch) * BATCH + BATCH)
        x[rows], y[rows]


def fit(x, y):
    model().fit(x, y, BATCH, verbose=0, shuffle="batch")


def fit_shuffled(x, y):
    model().fit(x, y, BATCH, verbose=0)


def evaluate(x, y):
    model().evaluate(x, y, BATCH, verbose=0)


def predict(x, y):
    model().predict(x, BATCH)


WAYS = {"read alone": read_alone, "fit": fit, "evaluate": evaluate, "predict": predict, "fit, rows": fit_shuffled}


def one(way, kind, path, rows):
    """What a process of its own prints: seconds, and the peak of its memory in MB."""
    from jkeras.utils import HDF5Matrix

    with h5py.File(path) as file:
        if kind == "HDF5Matrix":
            x, y = HDF5Matrix(path, "x", 0, rows), HDF5Matrix(path, "y", 0, rows)
        elif rows == len(file["x"]):
            x, y = file["x"], file["y"]
        else:
            x, y = file["x"][:rows], file["y"][:rows]
        begin = time.perf_counter()
        WAYS[way](x, y)
        print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measured(way, kind, path, rows):
    call = [sys.executable, os.path.abspath(__file__), "--one", way, kind, path, str(rows)]
    return map(float, subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--folder")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, kind, path, rows = arguments.one
        one(way, kind, path, int(rows))
        return
    rows = arguments.megabytes * 2**20 // ROW
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = os.path.join(folder, "data.h5")
        write(path, rows)
        for way in WAYS:
            for kind in ("data set", "HDF5Matrix"):
                little, below = measured(way, kind, path, 4 * 2**20 // ROW)
                seconds, peak = measured(way, kind, path, rows)
                speed = arguments.megabytes / (seconds - little)
                print(f"{way:12} {kind:12} {peak - below:8.0f} MB more {speed:8.0f} MB/s", flush=True)


if __name__ == "__main__":
    main()
