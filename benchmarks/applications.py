"""Networks of `applications` against the real Keras 2.2.4, Keras 3 on JAX and torchvision, on the same cores.

    python benchmarks/applications.py start [--networks ResNet50,MobileNetV2,DenseNet121] [--rounds 3]
    python benchmarks/applications.py infer [--networks ...] [--batches 1,16]

`start`: the seconds to build a network (224x224 unless that is too small for it), to its first prediction, and to its
first training step (96x96, batch 8, of a network of its own); jkeras also with a filled compilation cache (`cached`).
`infer`: images per second.

Every run is a process of its own; contenders take turns, and figures are medians over rounds. Shown are wall time and,
in brackets, processor time, which says more on a machine that is busy. Pythons of the others are named by environment
variables; who has none is left out: JKERAS_KERAS224 (Keras 2.2.4), JKERAS_PEERS (Keras 3 with JAX, torchvision).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

PEERS = {"jkeras": None, "cached": None, "keras2": "JKERAS_KERAS224", "keras3": "JKERAS_PEERS", "torch": "JKERAS_PEERS"}
TORCH = {"ResNet50": "resnet50", "MobileNetV2": "mobilenet_v2", "DenseNet121": "densenet121"}
SIZES = {"Xception": 299, "InceptionV3": 299, "InceptionResNetV2": 299, "NASNetLarge": 331}


def library(contender):
    """The modules (applications, backend) of a contender."""
    if contender == "keras2":
        import keras

        return keras.applications, keras.backend
    if contender == "keras3":
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        return keras.applications, keras.backend
    import jkeras.applications
    import jkeras.backend

    return jkeras.applications, jkeras.backend


class Watch:
    """Wall and processor seconds since it was last read."""

    def __init__(self):
        self.read()

    def read(self):
        """Both, since the last time."""
        now = time.perf_counter(), time.process_time()
        last = getattr(self, "last", now)
        self.last = now
        return [b - a for a, b in zip(last, now)]  # noqa: B905 - also run by Python 3.7


def start(contender, network):
    """Seconds to build, to the first prediction, to the first training step."""
    applications, _ = library(contender)
    build, size = getattr(applications, network), SIZES.get(network, 224)
    images = np.random.RandomState(0).rand(8, size, size, 3).astype("float32")
    watch = Watch()
    model = build(weights=None)
    found = {"build": watch.read()}
    model.predict(images[:1], verbose=0)
    found["predict"] = watch.read()
    model = build(weights=None, include_top=True, input_shape=(96, 96, 3), classes=10)
    model.compile("sgd", "categorical_crossentropy")
    watch.read()
    targets = np.eye(10, dtype="float32")[np.arange(8)]
    model.train_on_batch(images[:, :96, :96], targets)
    found["train"] = watch.read()
    steps = []
    for _ in range(5):
        model.train_on_batch(images[:, :96, :96], targets)
        steps.append(watch.read())
    found["step"] = min(steps)
    return found


def infer(contender, network, batch):
    """Seconds per image."""
    size = SIZES.get(network, 224)
    images = np.random.RandomState(0).rand(batch, size, size, 3).astype("float32")
    if contender == "torch":
        import torch
        import torchvision

        model = getattr(torchvision.models, TORCH[network])(weights=None).eval()
        tensor = torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)

        def run():
            with torch.inference_mode():
                model(tensor)
    else:
        model = getattr(library(contender)[0], network)(weights=None)

        def run():
            model.predict_on_batch(images)

    run()
    watch, times = Watch(), []
    while sum(wall for wall, _ in times) < 3 or len(times) < 5:
        run()
        times.append(watch.read())
    return {"image": [min(column) / batch for column in zip(*times)]}  # noqa: B905


def measure(contender, what, *arguments, cache="off"):
    """One run in a process of its own; None for a contender that is not here."""
    variable = PEERS[contender]
    python = sys.executable if variable is None else os.environ.get(variable)
    if not python:
        return None
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "JKERAS_COMPILATION_CACHE": cache, "PYTHONPATH": root if variable is None else ""}
    command = [python, "-W", "ignore", os.path.abspath(__file__), "one", contender, what, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{contender} {what} {arguments} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(title, contenders, run, rounds):
    """Run all contenders in turns, and print the medians."""
    runs = {}
    for _ in range(rounds):
        for contender in contenders:
            found = run(contender)  # this file is read by Python 3.7, too
            if found is not None:
                runs.setdefault(contender, []).append(found)
    for contender, found in runs.items():
        parts = []
        for name in found[0]:
            wall, processor = (statistics.median(one[name][place] for one in found) for place in (0, 1))
            parts.append(f"{name} {wall:.4g} ({processor:.4g})")
        print(f"{title:24s} {contender:8s} {', '.join(parts)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "infer"])
    parser.add_argument("--networks", default="ResNet50,MobileNetV2,DenseNet121")
    parser.add_argument("--contenders")
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    default = {"start": "jkeras,cached,keras2", "infer": "jkeras,keras2,keras3,torch"}[arguments.what]
    contenders = (arguments.contenders or default).split(",")
    for network in arguments.networks.split(","):
        if arguments.what == "infer":
            for batch in map(int, arguments.batches.split(",")):
                run = lambda contender, n=network, b=batch: measure(contender, "infer", n, b)  # noqa: E731
                report(f"{network}, batch {batch}", contenders, run, arguments.rounds)
            continue
        with tempfile.TemporaryDirectory() as cache:
            if "cached" in contenders:
                measure("jkeras", "start", network, cache=cache)
            run = lambda contender, n=network, c=cache: measure(  # noqa: E731
                contender, "start", n, cache=c if contender == "cached" else "off"
            )
            report(network, contenders, run, arguments.rounds)


def one(contender, what, network, *rest):
    """What a process of its own does."""
    name = "jkeras" if contender == "cached" else contender
    print(json.dumps({"start": start, "infer": infer}[what](name, network, *map(int, rest))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
    else:
        main()
