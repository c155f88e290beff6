"""What the real Keras 2.2.4 says of the layers of the catalogue: writes `keras_layers.json` beside this file.

Run it with a Python that has Keras 2.2.4 and TensorFlow 1, after a change of the catalogue:

    python tests/data/ask_keras.py

For each layer, an entry by its id, of which only what there is to say is written:

    weights: [name, shape] of each of `weights`; `order`: which of them `get_weights` returns, if not in this order.
    shape: of its outputs, batch size left out; `unknown`: for inputs of which not all sizes are known.
    values: of each output the `fingerprint`, on the catalogue's inputs and weights.
    masked: the same where some time steps are masked, or "refused" if the layer takes no mask; neither if
        Keras fails on the way.
    masks: of each output then, as rows of 0 and 1; null for none.
"""

import importlib
import json
import pathlib
import sys
import warnings

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from catalogue import CATALOGUE, fingerprint, names, weight  # noqa: E402

keras = importlib.import_module("keras")
K = keras.backend


class WithMask(keras.layers.Layer):
    """The first of two inputs, with the second as its mask."""

    supports_masking = True

    def call(self, inputs):
        return K.identity(inputs[0])

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def compute_mask(self, inputs, mask=None):
        return K.cast(inputs[1], "bool")


def listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def called(layer, symbols):
    return listed(layer(symbols if len(symbols) > 1 else symbols[0]))


def inputs_of(entry, shapes):
    """Symbols for inputs whose examples have these shapes."""
    size = entry.inputs[0][0] if "stateful" in entry.options else None
    return [
        keras.layers.Input(batch_shape=(size,) + tuple(shape), dtype=dtype)
        for shape, dtype in zip(shapes, entry.dtypes())  # noqa: B905
    ]


def fingerprints(arrays):
    return [float(f"{fingerprint(array):.7g}") for array in arrays]


def on_masked(entry, layer, symbols):
    """What the layer makes of masked inputs: fingerprints and masks of its outputs."""
    masks = [keras.layers.Input(batch_shape=mask.shape) for mask in entry.masks()]
    arrays = entry.arrays() + [mask.astype("float32") for mask in entry.masks()]
    outputs = called(layer, [WithMask()([x, m]) for x, m in zip(symbols, masks)])  # noqa: B905
    found = listed(layer.get_output_mask_at(-1))
    made = [mask for mask in found if mask is not None]
    for reset in [layer.reset_states] if "stateful" in entry.options else []:
        reset()
    values = K.function(symbols + masks, outputs + [K.cast(mask, "int32") for mask in made])(arrays)
    rest = iter(values[len(outputs) :])
    return {
        "masked": fingerprints(values[: len(outputs)]),
        "masks": [None if mask is None else next(rest).tolist() for mask in found],
    }


def ask(entry):
    """The answers for one entry."""
    K.clear_session()
    layer, symbols = entry.make(names(keras.layers, keras.models, K)), inputs_of(entry, [s[1:] for s in entry.shapes()])
    outputs = called(layer, symbols)
    answers = {"weights": [[w.name, list(K.int_shape(w))] for w in layer.weights]}
    answers["shape"] = [list(output._keras_shape[1:]) for output in outputs]
    if "gpu" not in entry.options:
        values = [weight(n, w.name, K.int_shape(w)) for n, w in enumerate(layer.weights)]
        K.batch_set_value(list(zip(layer.weights, values)))  # noqa: B905
        order = [[fingerprint(value) for value in values].index(fingerprint(w)) for w in layer.get_weights()]
        if order != sorted(order):
            answers["order"] = order
        answers["values"] = fingerprints(K.function(symbols, outputs)(entry.arrays()))
    try:
        answers.update(on_masked(entry, layer, symbols))
    except Exception as error:
        if "does not support masking" in str(error) or "Masking is not supported" in str(error):
            answers["masked"] = "refused"
        else:
            print("with a mask,", entry.id, "fails:", str(error).splitlines()[0][:150])
    if entry.unknown:
        K.clear_session()
        layer = entry.make(names(keras.layers, keras.models, K))
        outputs = called(layer, inputs_of(entry, entry.unknown))
        answers["unknown"] = [list(output._keras_shape[1:]) for output in outputs]
    return answers


def main():
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    lines = []
    for entry in CATALOGUE:
        try:
            lines.append(json.dumps(entry.id) + ": " + json.dumps(ask(entry), default=int))
        except Exception as error:
            print(entry.id, "fails:", str(error)[:300])
    (HERE / "keras_layers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
