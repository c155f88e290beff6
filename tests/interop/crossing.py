"""What both sides do with a model: `write` makes, trains and saves one, `read` loads one and goes on.

Read by jkeras's tests and by the process that has the real Keras, on its older Python. Results are plain data.
"""

import importlib
import json
import os
import sys
import types
import warnings

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from architectures import CASES  # noqa: E402

BY_ID = {case.id: case for case in CASES}


def names(keras):
    """The names that the builders find on their argument, of the package `keras`."""
    parts = [importlib.import_module(keras + "." + name) for name in ("layers", "models")]
    found = {name: value for part in parts for name, value in vars(part).items() if not name.startswith("_")}
    for name in ("optimizers", "regularizers", "constraints", "initializers"):
        found[name] = importlib.import_module(keras + "." + name)
    return types.SimpleNamespace(**dict(found, K=importlib.import_module(keras + ".backend")))


def listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def plain(arrays):
    return [np.asarray(array).astype("float64").tolist() for array in arrays]


class _Run:
    """A case in one of the two, with numbers of its type."""

    def __init__(self, k, name):
        self.k, self.case = k, BY_ID[name]

    def __enter__(self):
        self.k.K.clear_session()
        self.k.K.set_floatx("float64" if "double" in self.case.options else "float32")
        warnings.simplefilter("ignore")
        return self

    def __exit__(self, *error):
        self.k.K.set_floatx("float32")

    def predict(self, model):
        return self._from_the_start(model, lambda x: listed(model.predict(x, batch_size=len(x[0]))))

    def train(self, model, steps):
        """The losses and metrics of some steps on the same batch."""
        outputs = self.predict(model)
        targets = self.case.targets(outputs)
        return self._from_the_start(
            model,
            lambda x: [[float(number) for number in listed(model.train_on_batch(x, targets))] for _ in range(steps)],
        )

    def _from_the_start(self, model, function):
        for layer in model.layers:  # Keras's `model.reset_states` leaves `Bidirectional` out
            if getattr(getattr(layer, "forward_layer", layer), "stateful", False):
                layer.reset_states()
        return function(self.case.arrays())


def write(k, name, path):
    """Make the model, train it a little, save it: its graph and its predictions."""
    with _Run(k, name) as run:
        model = run.case.build(k)
        model.compile(**run.case.compiled(k))
        if run.case.trains:
            run.train(model, 2)
        model.save(path)
        return {"graph": json.loads(model.to_json()), "predictions": plain(run.predict(model))}


def read(k, name, path):
    """Load the model, and train it on: its graph, compile arguments, predictions, losses, and predictions after."""
    with _Run(k, name) as run:
        model = k.load_model(path, custom_objects=run.case.objects(k))
        found = {
            "graph": json.loads(model.to_json()),
            "predictions": plain(run.predict(model)),
            "optimizer": [type(model.optimizer).__name__, model.optimizer.get_config()],
            "state": plain(model.optimizer.get_weights()),
            "metrics_names": model.metrics_names,
            "shapes": [list(np.shape(weight)) for weight in model.get_weights()],
        }
        if run.case.trains:
            found["losses"] = run.train(model, 3)
            found["after"] = plain(run.predict(model))
        return json.loads(json.dumps(found, default=float))


ACTIONS = {"write": write, "read": read}
