"""Speed and memory of files: saving and loading a model of many weights against h5py and the bytes alone.

    python benchmarks/files.py [--weights 1500] [--megabytes 350] [--rounds 5]

A stack of dense layers; h5py writes and reads the same arrays under the same names, and syncs the file to the disk as
jkeras does. All contenders run in one process, one after the other, in each round; printed is the fastest of each, as
a ratio to h5py's. Memory is that of a process which loads once: how much higher than before the load its peak was, as a
ratio to the size of the weights.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

LOADS = ("load_weights", "load_model", "load_model, compiled")


def stack(weights, megabytes):
    """A stack of as many weights, of equal layers, of about that size."""
    from jkeras import layers
    from jkeras.models import Sequential

    count = weights // 2
    units = int((megabytes * 2**20 / 4 / count) ** 0.5)
    first = layers.Dense(units, activation="relu", input_shape=(units,))
    return Sequential([first, *(layers.Dense(units, activation="relu") for _ in range(count - 1))])


def write_bytes(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def read_bytes(path):
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: arrays.update({name: np.asarray(item)} if hasattr(item, "shape") else {}))
    return arrays


def loading(how, model, folder):
    """What loads, by its name in the table."""
    from jkeras.models import load_model

    if how == "load_weights":
        return lambda: model.load_weights(os.path.join(folder, "weights.h5"))
    compiled = how.endswith("compiled")
    return lambda: load_model(os.path.join(folder, "compiled.h5" if compiled else "model.h5"), compile=compiled)


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_of(how, arguments, folder):
    """How much memory a load takes at its peak, in another process: bytes."""
    command = [sys.executable, __file__, "--load", how, "--folder", folder]
    command += ["--weights", str(arguments.weights), "--megabytes", str(arguments.megabytes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_load(arguments):
    """Load once, and print by how much that raised the highest use of memory."""
    import jax

    jax.device_put(np.zeros(3)).block_until_ready()
    model = stack(arguments.weights, arguments.megabytes)
    load = loading(arguments.load, model, arguments.folder)
    with open("/proc/self/clear_refs", "w") as file:  # the highest use starts anew
        file.write("5")
    before = field("VmHWM")
    kept = load()
    print(field("VmHWM") - before)
    return kept


def field(name):
    with open("/proc/self/status") as file:
        return 1024 * int(next(line.split()[1] for line in file if line.startswith(name)))


def compare(arguments, folder):
    model = stack(arguments.weights, arguments.megabytes)
    model.save_weights(os.path.join(folder, "weights.h5"))
    model.save(os.path.join(folder, "model.h5"))
    model.compile("sgd", "mse")
    model.save(os.path.join(folder, "compiled.h5"))
    arrays = read_bytes(os.path.join(folder, "weights.h5"))
    size = sum(array.nbytes for array in arrays.values())
    path, bare = os.path.join(folder, "saved.h5"), os.path.join(folder, "bare.h5")
    saves = {
        "h5py writes": lambda: write_bytes(bare, arrays),
        "save_weights": lambda: model.save_weights(path),
        "save": lambda: model.save(path),
    }
    loads = {"h5py reads": lambda: read_bytes(bare), **{how: loading(how, model, folder) for how in LOADS}}
    loads["from_config, no weights"] = lambda: type(model).from_config(model.get_config())
    seconds: dict = {name: [] for name in (*saves, *loads)}
    for _ in range(arguments.rounds):
        for name, function in (saves | loads).items():
            seconds[name].append(timed(function))
    print(f"{len(arrays)} weights, {size / 2**20:.0f} MB\n\n| what | seconds | ratio to h5py | peak of memory |")
    print("|---|---|---|---|")
    for group in (saves, loads):
        bare_seconds = min(seconds[next(iter(group))])
        for name in group:
            peak = f"{peak_of(name, arguments, folder) / size:.2f}" if name in LOADS else ""
            print(f"| {name} | {min(seconds[name]):.2f} | {min(seconds[name]) / bare_seconds:.2f} | {peak} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=int, default=1500)
    parser.add_argument("--megabytes", type=float, default=350)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", choices=LOADS, help="for the process that loads once")
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    if arguments.load:
        measure_load(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, folder)


if __name__ == "__main__":
    main()
