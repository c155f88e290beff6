"""Models written as a class with a `call`."""

import jax
import numpy as np
import pytest
from kit import close, draw, same_bits

from jkeras import backend as K
from jkeras.layers import BatchNormalization, Dense, Dropout, Embedding, Input
from jkeras.models import Model, Sequential, clone_model

X, Y = draw(16, 4), draw(16, 2, seed=1)


class Written(Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Dense(5, activation="relu", kernel_regularizer="l2")
        self.rest = [BatchNormalization(), {"drop": Dropout(0.5)}]
        self.last = Dense(2)

    def call(self, inputs, training=None):
        x = self.rest[0](self.first(inputs))
        self.add_loss(0.0 * K.mean(x))
        return self.last(self.rest[1]["drop"](x))


class Several(Model):
    """Two inputs, two outputs, a model inside."""

    def __init__(self):
        super().__init__(name="several")
        self.inside, self.sum = Written(), Sequential([Dense(3)])

    def call(self, inputs):
        one, other = inputs
        return [self.inside(one), self.sum(other)]


def test_it_trains_predicts_and_saves(tmp_path):
    model = Written()
    model.compile("adam", "mse", metrics=["mae"])
    with pytest.raises(ValueError, match="before it is called"):
        model.save_weights(tmp_path / "early.h5")
    history = model.fit(X, Y, epochs=2, batch_size=8, verbose=0, validation_split=0.25)
    assert sorted(history.history) == ["loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error"]
    assert len(model.evaluate(X, Y, verbose=0)) == 2 and model.predict(X).shape == (16, 2)
    assert [layer.name.rpartition("_")[0] for layer in model.layers] == [
        "dense", "batch_normalization", "dropout", "dense"
    ]  # fmt: skip
    assert len(model.trainable_weights) == 6 and len(model.weights) == 8 and model.count_params() == 57
    before = model.get_weights()
    model.train_on_batch(X, Y)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    model.save_weights(tmp_path / "weights.h5")
    again = Written()
    with pytest.raises(ValueError, match="before it is called"):
        again.load_weights(tmp_path / "weights.h5")
    again.build((None, 4))
    again.load_weights(tmp_path / "weights.h5")
    assert same_bits(model.predict(X), again.predict(X))
    lines: list = []
    model.summary(print_fn=lines.append)
    assert "Total params: 57" in lines and "Trainable params: 47" in lines


def test_it_is_a_pure_pair_and_a_layer():
    model = Written()
    x = Input((4,))
    around = Model(x, Dense(1)(model(x)))
    assert around.count_params() == model.count_params() + 3
    params, state = model.init(jax.random.key(0))
    again = model.init(jax.random.key(0))[0]
    assert same_bits(params, again)
    model.set_trees(params, state)
    close(model.apply(params, state, X)[0], model.predict(X))


def test_several_inputs_and_outputs_and_models_inside():
    model = Several()
    model.compile("sgd", {"output_1": "mse", "output_2": "mae"})
    model.fit([X, X], [Y, draw(16, 3)], verbose=0)
    assert [output.shape for output in model.predict([X, X])] == [(16, 2), (16, 3)]
    assert [layer.name for layer in model.layers] == [model.inside.name, model.sum.name]
    assert len(model.trainable_weights) == 8


def test_what_it_cannot_do():
    model = Written()
    with pytest.raises(ValueError, match="not yet been built"):
        model.summary()
    model.predict(X)
    for ask in (model.get_config, model.to_json, lambda: model.save("model.h5")):
        with pytest.raises(NotImplementedError, match="subclassed"):
            ask()
    with pytest.raises(ValueError, match="subclassed"):
        clone_model(model)

    class Forgot(Model):
        def __init__(self):
            self.layer = Dense(2)

    with pytest.raises(RuntimeError, match="super"):
        Forgot()
    with pytest.raises(TypeError, match="inputs"):
        Model()


def test_integers_reach_an_embedding():
    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table = Embedding(10, 3)

        def call(self, inputs):
            return K.mean(self.table(inputs), axis=1)

    model = Words()
    assert model.predict(np.arange(8).reshape(2, 4)).shape == (2, 3)
    table = model.get_weights()[0]
    close(model.predict(np.arange(8).reshape(2, 4))[0], table[:4].mean(0))


class Shared(Model):
    """Layers that are called twice, a list of layers, one that is never called, two outputs."""

    def __init__(self):
        super().__init__(name="shared")
        self.dense, self.both = Dense(3), Dense(2)
        self.parts = [Sequential([Dense(5)]), BatchNormalization(), Dense(7)]

    def call(self, inputs):
        x = self.dense(inputs)
        y = self.parts[0](x)
        return [self.parts[1](y), self.both(K.expand_dims(x, 1)), self.both(x)]


def test_summary():
    model, lines = Shared(), []
    model.build((None, 4))
    model.summary(print_fn=lines.append)
    rows = [line.rstrip() for line in lines if "(" in line and "Layer" not in line]
    assert [row[29:] for row in rows] == [  # as Keras 2.2.4 has it, which knows none of the list
        f"{shape:26}{count}"
        for shape, count in [("(None, 3)", 15), ("multiple", 8), ("(None, 5)", 20), ("(None, 5)", 20), ("multiple", 0)]
    ]
    assert lines[0] == "_" * 65 and "Connected to" not in lines[1]
