"""Whoever reads weights, while a run is under way and between runs, finds those of now: on the second run, too."""

import copy

import numpy as np
import pytest
from kit import draw, same_bits

from jkeras import backend as K
from jkeras import callbacks
from jkeras.layers import BatchNormalization, Dense, Input
from jkeras.models import Model, Sequential, load_model
from jkeras.optimizers import SGD

X, Y = draw(32, 4), draw(32, 2, seed=1)


def network():
    model = Sequential([Dense(3, activation="relu", input_shape=(4,)), BatchNormalization(), Dense(2)])
    model.compile("sgd", "mse")
    return model


def by_file(model, folder):
    model.save(folder / "read.h5")
    return load_model(folder / "read.h5").get_weights()


READERS = {
    "get_weights": lambda model, folder: model.get_weights(),
    "get_value": lambda model, folder: [K.get_value(weight) for weight in model.weights],
    "batch_get_value": lambda model, folder: K.batch_get_value(model.weights),
    "arrays": lambda model, folder: [np.asarray(weight.value) for weight in model.weights],
    "trees": lambda model, folder: model.get_trees(),
    "file": by_file,
    "predict": lambda model, folder: model.predict(X),
    "evaluate": lambda model, folder: np.asarray(model.evaluate(X, Y, verbose=0)),
    "copy": lambda model, folder: copy.deepcopy(model).get_weights(),
}


@pytest.mark.filterwarnings("ignore:Method on_batch_end")  # writing a file is slower than a batch
@pytest.mark.parametrize("every_batch", [False, True])
@pytest.mark.parametrize("name", READERS)
def test_the_same_run_again_is_read_anew(name, every_batch, tmp_path):
    model, seen = network(), []
    read = lambda *_: seen.append(READERS[name](model, tmp_path))  # noqa: E731
    hook = callbacks.LambdaCallback(**{"on_batch_end" if every_batch else "on_epoch_end": read})
    for _ in range(3):
        model.fit(X, Y, batch_size=16, epochs=1, verbose=0, callbacks=[hook])
        assert same_bits(seen[-1], READERS[name](model, tmp_path))
    assert not same_bits(seen[-1], seen[len(seen) // 3 - 1])


@pytest.mark.parametrize("name", READERS)
def test_steps_and_runs_in_turn_are_read_anew(name, tmp_path):
    model, seen = network(), []
    for _ in range(2):
        model.train_on_batch(X, Y)
        seen.append(READERS[name](model, tmp_path))
        model.fit(X, Y, epochs=1, verbose=0)
    assert not same_bits(*seen)


def test_the_best_weights_of_a_run_are_restored_not_those_of_another():
    model = network()
    for _ in range(3):
        best = []
        stop = callbacks.EarlyStopping("val_loss", restore_best_weights=True, patience=1, mode="max")
        note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, best=best: best.append(logs["val_loss"]))
        model.fit(X, Y, batch_size=32, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[stop, note])
        assert model.evaluate(X, Y, verbose=0) == pytest.approx(max(best), rel=1e-5)


def test_models_that_share_layers_train_on_what_the_other_left():
    def trained(touch):
        x = Input((4,))
        shared = Dense(3, kernel_initializer="ones")(x)
        first = Model(x, Dense(2, kernel_initializer="ones")(shared))
        second = Model(x, Dense(1, kernel_initializer="ones")(shared))
        for model in (first, second):
            model.compile(SGD(0.01), "mse")
        for _ in range(2):
            first.train_on_batch(X, Y)
            touch(first, second)
            second.train_on_batch(X, Y[:, :1])
            touch(first, second)
            first.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
            touch(first, second)
        first.train_on_batch(X, Y)
        return first.get_weights(), second.get_weights()

    undisturbed = trained(lambda *models: None)
    assert same_bits(undisturbed, trained(lambda *models: [model.get_weights() for model in models]))
    assert same_bits(undisturbed, trained(lambda *models: [m.set_weights(m.get_weights()) for m in models]))


@pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
def test_predictions_of_nothing_are_an_error(method):
    with pytest.raises(ValueError, match="no examples"):
        getattr(network(), method)(X[:0])
