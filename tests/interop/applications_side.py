"""What both sides do with a network of `applications`.

Run with the real Keras's Python, this file answers requests, one line of JSON each, until its input ends.
"""

import json
import os
import sys

import numpy as np


def fill(model, seed):
    """Weights from a seed, with which numbers neither vanish nor grow without bound on their way through the layers."""
    rng = np.random.RandomState(seed)
    arrays = []
    for layer in model.layers:
        kind = type(layer).__name__
        for number, weight in enumerate(layer.get_weights()):
            shape = weight.shape
            if kind == "BatchNormalization" and number == len(layer.get_weights()) - 1:
                array = rng.uniform(1.5, 3.0, shape)  # the moving variance
            elif kind == "BatchNormalization" and number == 0 and layer.scale:
                array = rng.uniform(0.7, 1.1, shape)
            elif len(shape) == 1:
                array = rng.normal(0.0, 0.1, shape)
            else:
                alone = kind == "DepthwiseConv2D" or (kind == "SeparableConv2D" and number == 0)
                array = rng.normal(0.0, 1.0, shape) * np.sqrt(2.0 / np.prod(shape[: 2 if alone else -1]))
                array *= 0.1 if kind == "Dense" and layer is model.layers[-1] else 1.0
            arrays.append(array.astype("float32"))
    model.set_weights(arrays)


def images(model, seed):
    """Two images."""
    return np.random.RandomState(seed).uniform(-1.0, 1.0, (2,) + model.input_shape[1:]).astype("float32")


def write(keras, name, arguments, seed, folder):
    """Build the network, give it weights, save it in two files: what it predicts, in a third."""
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None, **arguments)
    fill(model, seed)
    model.save_weights(os.path.join(folder, "weights.h5"))
    model.save(os.path.join(folder, "model.h5"))
    np.savez(os.path.join(folder, "told.npz"), predictions=model.predict(images(model, seed)))
    return [len(model.layers), int(model.count_params())]


def read(keras, name, arguments, seed, folder):
    """Read these files by order, by name and as a whole: the weights are the same, and so is what is predicted, up to
    the share of the largest number that is returned."""
    told = np.load(os.path.join(folder, "told.npz"))["predictions"]
    models = []
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None, **arguments)
    for by_name in (True, False):
        if models:
            model.set_weights([np.zeros_like(array) for array in models[0]])
        model.load_weights(os.path.join(folder, "weights.h5"), by_name=by_name)
        models.append(model.get_weights())
    keras.backend.clear_session()
    model = keras.models.load_model(os.path.join(folder, "model.h5"), compile=False)
    models.append(model.get_weights())
    same = len({len(arrays) for arrays in models}) == 1 and all(
        all(map(np.array_equal, models[0], arrays)) for arrays in models[1:]
    )
    predictions = model.predict(images(model, seed))
    assert predictions.shape == told.shape and np.isfinite(told).all()
    return [bool(same), float(np.abs(predictions - told).max() / np.abs(told).max()), float(np.abs(told).max())]


ACTIONS = {"write": write, "read": read}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import keras

    assert keras.__version__ == "2.2.4", keras.__version__
    for line in sys.stdin:
        action, *arguments = json.loads(line)
        try:
            answer = ACTIONS[action](keras, *arguments)
        except Exception as error:
            answer = {"failed": repr(error)[-2000:]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
