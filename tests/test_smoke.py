"""The shortest proof that the installed versions work together: build, train, predict, the explicit way."""

import jax
import numpy as np
import optax

import jkeras
from jkeras import layers
from jkeras.models import Model, load_model
from jkeras.train import make_step


def test_smoke(tmp_path):
    rng = np.random.RandomState(0)
    x = rng.randn(40, 6, 6, 1).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")[:, None]
    image = layers.Input((6, 6, 1))
    h = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(image))
    h = layers.Dropout(0.1)(layers.BatchNormalization()(layers.Flatten()(h)))
    model = Model(image, layers.Dense(2, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=16, validation_split=0.2, verbose=0, key=0)
    assert set(history.history) == {"loss", "acc", "val_loss", "val_acc"}
    model.save(str(tmp_path / "model.h5"))
    assert np.array_equal(load_model(str(tmp_path / "model.h5")).predict(x), model.predict(x))

    words = layers.Input((5,), dtype="int32")
    tagger = Model(words, layers.Dense(1)(layers.LSTM(3)(layers.Embedding(7, 4, mask_zero=True)(words))))
    init_state, step = make_step(tagger, jkeras.losses.mean_squared_error, optax.sgd(0.1))
    state = init_state(jax.random.key(0))
    batch = rng.randint(0, 7, (8, 5)), rng.randn(8, 1).astype("float32")
    losses = []
    for _ in range(5):
        state, logs = jax.jit(step)(state, batch)
        losses.append(float(logs["loss"]))
    assert losses[-1] < losses[0]


def test_two_devices():
    x = np.random.RandomState(0).randn(24, 3).astype("float32")
    results = []
    for devices in (1, min(2, len(jax.devices()))):
        jkeras.random.seed(0)
        model = jkeras.Sequential([layers.Dense(2, input_shape=(3,))])
        model.compile("sgd", "mse", devices=devices)
        model.fit(x, x[:, :2], epochs=2, batch_size=8, verbose=0, key=0)
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
