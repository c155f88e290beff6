"""Trains a small convolutional network on hand-written digits, looks at it, saves it and reads it back.

    scripts/demo                      # one device
    scripts/demo --devices 2          # the same run, each batch split over two

In well under a minute on two processor cores the network reads more than 98 of 100 test digits. It leaves `curves.png`,
`predictions.png`, `model.h5` and `predictions.npy` in the output folder. A second process then loads `model.h5` and
must find the same predictions, bit for bit.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from matplotlib.figure import Figure

import jkeras
from jkeras.datasets import digits
from jkeras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from jkeras.models import Model, load_model
from jkeras.optimizers import Adam
from jkeras.utils import to_categorical

WANTED_ACCURACY = 0.98
BATCH_SIZE = 64


def read_digits():
    """Images as (n, 8, 8, 1) between 0 and 1, labels as (n, 10) binary matrices."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    x_train, x_test = (x[..., None].astype("float32") / 16.0 for x in (x_train, x_test))
    return (x_train, to_categorical(y_train, 10)), (x_test, to_categorical(y_test, 10))


def build_model() -> Model:
    """Two convolutions and two dense layers."""
    image = Input(shape=(8, 8, 1), name="image")
    x = Conv2D(32, (3, 3), padding="same", use_bias=False)(image)
    x = BatchNormalization()(x)
    x = Activation("relu")(x)
    x = Conv2D(64, (3, 3), padding="same", activation="relu")(x)
    x = MaxPooling2D((2, 2))(x)
    x = Dropout(0.25)(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu")(x)
    x = Dropout(0.5)(x)
    return Model(image, Dense(10, activation="softmax", name="digit")(x), name="digits")


def compile_model(model: Model, devices: int) -> None:
    """Compile for training, with each batch split over `devices` where there are several."""
    several = {"devices": devices} if devices > 1 else {}
    model.compile(optimizer=Adam(lr=1e-3), loss="categorical_crossentropy", metrics=["accuracy"], **several)


def draw_curves(history: dict, path: str) -> None:
    """Loss and accuracy by epoch, in training and on the test digits."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axis, name, title in zip(figure.subplots(1, 2), ("loss", "acc"), ("Loss", "Accuracy"), strict=True):
        epochs = range(1, len(history[name]) + 1)
        axis.plot(epochs, history[name], label="training")
        axis.plot(epochs, history["val_" + name], label="test")
        axis.set_xlabel("epoch")
        axis.set_title(title)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)


def draw_predictions(images, labels, predictions, path: str) -> None:
    """The forty test digits the network was least sure of, each with what it saw; mistakes in red."""
    least_sure = np.argsort(predictions.max(axis=1), kind="stable")[:40]
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    for axis, index in zip(figure.subplots(4, 10).flat, least_sure, strict=True):
        axis.axis("off")
        seen, true = predictions[index].argmax(), labels[index].argmax()
        axis.imshow(images[index, :, :, 0], cmap="gray_r")
        axis.set_title(
            f"{seen} ({predictions[index, seen]:.0%})" + ("" if seen == true else f", is {true}"),
            color="black" if seen == true else "red",
            fontsize=8,
        )
    figure.savefig(path, dpi=120)


def reload(out: str, devices: int) -> int:
    """The second process: load the model and compare its predictions with those on disk."""
    _, (x_test, _) = read_digits()
    model = load_model(os.path.join(out, "model.h5"))
    if devices > 1:  # the split is no part of the file; another split rounds differently
        compile_model(model, devices)
    predictions = model.predict(x_test, batch_size=BATCH_SIZE)
    same = np.array_equal(predictions, np.load(os.path.join(out, "predictions.npy"), allow_pickle=False))
    print("A second process loaded model.h5:", "the same predictions, bit for bit." if same else "OTHER PREDICTIONS.")
    return 0 if same else 1


def train(out: str, devices: int, epochs: int) -> int:
    """The first process: train, evaluate, draw, save, and have a second process read the model back."""
    os.makedirs(out, exist_ok=True)
    jkeras.random.seed(0)
    (x_train, y_train), (x_test, y_test) = read_digits()
    model = build_model()
    model.summary()
    compile_model(model, devices)

    start = time.perf_counter()
    history = model.fit(
        x_train, y_train, batch_size=BATCH_SIZE, epochs=epochs, verbose=1, validation_data=(x_test, y_test)
    )
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test, batch_size=BATCH_SIZE, verbose=0)
    predictions = model.predict(x_test, batch_size=BATCH_SIZE)

    draw_curves(history.history, os.path.join(out, "curves.png"))
    draw_predictions(x_test, y_test, predictions, os.path.join(out, "predictions.png"))
    model.save(os.path.join(out, "model.h5"))
    np.save(os.path.join(out, "predictions.npy"), predictions)
    print(f"{epochs} epochs on {devices} device(s) took {seconds:.1f} s; pictures and model are in {out}")
    print(f"Test loss {loss:.4f}, test accuracy {accuracy:.2%}")

    command = [sys.executable, os.path.abspath(__file__), "--reload", "--out", out, "--devices", str(devices)]
    if subprocess.run(command, check=False).returncode != 0:
        return 1
    if accuracy < WANTED_ACCURACY:
        print(f"The test accuracy {accuracy:.2%} is below {WANTED_ACCURACY:.0%}.", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1, help="over how many devices each batch is split (1)")
    parser.add_argument("--epochs", type=int, default=30, help="how many times to go through the digits (30)")
    parser.add_argument("--out", default="./demo_output", help="the folder to write to (./demo_output)")
    parser.add_argument("--reload", action="store_true", help="only load the model of --out and check its predictions")
    arguments = parser.parse_args()
    if arguments.devices < 1 or arguments.epochs < 1:
        parser.error("--devices and --epochs must be at least 1")
    if arguments.reload:
        return reload(arguments.out, arguments.devices)
    return train(arguments.out, arguments.devices, arguments.epochs)


if __name__ == "__main__":
    sys.exit(main())
