"""Stories of the kind that Keras's guides and FAQ tell: what people write first, from the first line to the last."""

import h5py
import numpy as np
import pytest
from kit import close, draw, same_bits

from jkeras import backend as K
from jkeras import layers
from jkeras.callbacks import EarlyStopping
from jkeras.layers import LSTM, Conv2D, Dense, Dropout, Embedding, Flatten, Input, TimeDistributed
from jkeras.models import Model, Sequential, load_model, model_from_json, model_from_yaml
from jkeras.optimizers import SGD
from jkeras.utils import CustomObjectScope, HDF5Matrix, multi_gpu_model, to_categorical

X, Y = draw(12, 4), to_categorical(np.arange(12) % 3, 3)
QUESTION = np.random.RandomState(2).randint(9, size=(6, 5))
YES = np.arange(6).reshape(6, 1) % 2


def classifier(hidden=5):
    return Sequential([Dense(hidden, activation="relu", input_dim=4), Dropout(0.5), Dense(3, activation="softmax")])


def vision():
    return Sequential([Conv2D(2, (3, 3), activation="relu", input_shape=(5, 5, 1)), Flatten()])


# ------------------------------------------------------------------------------------------------- models and training


def test_a_first_classifier():
    model = Sequential()
    model.add(Dense(5, input_dim=4))
    model.add(layers.Activation("relu"))
    model.add(Dense(3))
    model.add(layers.Activation("softmax"))
    listed = Sequential([Dense(5, activation="relu", input_shape=(4,)), Dense(3, activation="softmax")])
    listed.set_weights(model.get_weights())
    close(model.predict(X), listed.predict(X))

    def mean_pred(y_true, y_pred):
        return K.mean(y_pred)

    model.compile("rmsprop", "mse")
    model.compile(SGD(lr=0.5, decay=1e-6, momentum=0.9, nesterov=True), "categorical_crossentropy", ["acc", mean_pred])
    history = model.fit(X, Y, epochs=4, batch_size=6, verbose=0).history
    assert set(history) == {"loss", "acc", "mean_pred"} and history["loss"][-1] < history["loss"][0]
    assert model.metrics_names == ["loss", "acc", "mean_pred"]
    loss, accuracy, mean = model.evaluate(X, Y, batch_size=5, verbose=0)
    predicted = model.predict(X)
    close(loss, -np.log(predicted[Y == 1]).mean())
    close([accuracy, mean], [(predicted.argmax(1) == Y.argmax(1)).mean(), predicted.mean()])
    close(loss, model.test_on_batch(X, Y)[0])


def test_early_stopping_on_a_part_of_the_data():
    model = classifier()
    model.compile(SGD(0.0), "categorical_crossentropy")
    stopping = EarlyStopping(monitor="val_loss", patience=2)
    history = model.fit(X, Y, validation_split=0.25, epochs=9, callbacks=[stopping], verbose=0).history
    assert len(history["val_loss"]) == len(history["loss"]) == 3
    before = model.get_weights()
    with_names = model.predict(X[9:])
    close(history["val_loss"][0], -np.log(with_names[Y[9:] == 1]).mean())
    close(model.get_weights(), before)


def test_layers_are_taken_off():
    model = classifier()
    first = model.get_weights()[:2]
    model.pop()
    model.pop()
    assert len(model.layers) == 1 and model.output_shape == (None, 5)
    close(model.predict(X), np.maximum(X @ first[0] + first[1], 0))
    model.add(Dense(1))
    assert model.predict(X).shape == (12, 1)


# -------------------------------------------------------------------------------------------------------- functional


def test_a_model_is_called_like_a_layer():
    inputs = Input(shape=(4,))
    model = Model(inputs, Dense(3, activation="softmax")(Dense(5, activation="relu")(inputs)))
    frames = Input(shape=(2, 4))
    each = Model(frames, TimeDistributed(model)(frames))
    sequences = X.reshape(6, 2, 4)
    assert each.output_shape == (None, 2, 3)
    close(each.predict(sequences), model.predict(X).reshape(6, 2, 3))
    again = Input(shape=(4,))
    close(Model(again, model(again)).predict(X), model.predict(X))


def headlines():
    headline = Input(shape=(5,), dtype="int32", name="headline")
    read = LSTM(3)(Embedding(input_dim=9, output_dim=4, input_length=5)(headline))
    early = Dense(1, activation="sigmoid", name="early")(read)
    extra = Input(shape=(2,), name="extra")
    x = Dense(4, activation="relu")(layers.concatenate([read, extra]))
    return Model([headline, extra], [Dense(1, activation="sigmoid", name="late")(x), early])


def test_two_inputs_and_two_outputs_in_order_or_by_name():
    extra = draw(6, 2)
    model, named = headlines(), headlines()
    named.set_weights(model.get_weights())
    model.compile("rmsprop", "binary_crossentropy", loss_weights=[1.0, 0.2])
    named.compile(
        optimizer="rmsprop", loss={"late": "binary_crossentropy", "early": "binary_crossentropy"},
        loss_weights={"late": 1.0, "early": 0.2},
    )  # fmt: skip
    arguments = {"epochs": 2, "batch_size": 3, "shuffle": False, "verbose": 0}
    history = model.fit([QUESTION, extra], [YES, YES], **arguments).history
    by_name = named.fit({"headline": QUESTION, "extra": extra}, {"late": YES, "early": YES}, **arguments).history
    assert set(history) == {"loss", "late_loss", "early_loss"}
    close(history["loss"][0], history["late_loss"][0] + 0.2 * history["early_loss"][0])
    close(by_name, history)
    close(named.get_weights(), model.get_weights())


def test_one_layer_reads_two_sequences():
    a, b = Input(shape=(3, 4)), Input(shape=(3, 4))
    shared = LSTM(2)
    encoded = [shared(a), shared(b)]
    assert shared.get_output_at(1) is encoded[1] and not hasattr(shared, "output")
    model = Model([a, b], Dense(1, activation="sigmoid")(layers.concatenate(encoded, axis=-1)))
    assert len(model.get_weights()) == 5 and model.count_params() == 4 * 2 * (4 + 2 + 1) + 5
    data = draw(6, 3, 4)
    alone = Model(a, encoded[0])
    close(Model([a, b], encoded).predict([data, data]), [alone.predict(data)] * 2)
    model.compile(SGD(1.0), "binary_crossentropy", ["accuracy"])
    before = alone.predict(data)
    losses = model.fit([data, data[::-1]], YES, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and np.abs(alone.predict(data) - before).max() > 1e-4


def test_towers_and_residues_have_the_right_shapes():
    picture = Input(shape=(8, 8, 3))
    one = Conv2D(4, (3, 3), padding="same", activation="relu")(Conv2D(4, (1, 1), padding="same")(picture))
    two = Conv2D(4, (1, 1), padding="same")(layers.MaxPooling2D((3, 3), strides=(1, 1), padding="same")(picture))
    towers = layers.concatenate([one, two], axis=1)
    same = Conv2D(3, (3, 3), padding="same")
    assert K.int_shape(towers) == (None, 16, 8, 4)
    assert K.int_shape(layers.add([picture, same(picture)])) == same.input_shape == (None, 8, 8, 3)
    same(Input(shape=(6, 6, 3)))
    assert [same.get_input_shape_at(place) for place in (0, 1)] == [(None, 8, 8, 3), (None, 6, 6, 3)]
    with pytest.raises(AttributeError, match="different input shapes"):
        _ = same.input_shape


def test_questions_about_pictures_and_about_films():
    seeing = vision()
    picture, question = Input(shape=(5, 5, 1)), Input(shape=(5,), dtype="int32")
    asked = LSTM(3)(Embedding(input_dim=9, output_dim=4, input_length=5)(question))
    about_pictures = Model(
        [picture, question], Dense(2, activation="softmax")(layers.concatenate([asked, seeing(picture)]))
    )

    film, film_question = Input(shape=(2, 5, 5, 1)), Input(shape=(5,), dtype="int32")
    frames = TimeDistributed(seeing)(film)
    encoder = Model(question, asked)
    merged = layers.concatenate([LSTM(3)(frames), encoder(film_question)])
    about_films = Model([film, film_question], Dense(2, activation="softmax")(merged))

    films = draw(6, 2, 5, 5, 1)
    each = np.stack([seeing.predict(films[:, time]) for time in range(2)], axis=1)
    close(Model(film, frames).predict(films), each)
    before = about_pictures.predict([films[:, 0], QUESTION])
    about_films.compile(SGD(1.0), "categorical_crossentropy")
    losses = about_films.fit([films, QUESTION], to_categorical(YES, 2), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert np.abs(about_pictures.predict([films[:, 0], QUESTION]) - before).max() > 1e-4  # they share what they learn
    inside = [id(weight) for weight in about_pictures.weights]
    assert sum(id(weight) in inside for weight in about_films.weights) == 6


# ----------------------------------------------------------------------------------------------------- what people ask


def test_a_state_that_stays_between_batches():
    long = draw(2, 7, 3)
    model = Sequential([LSTM(4, input_shape=(3, 3), batch_size=2, stateful=True), Dense(3, activation="softmax")])
    model.compile(SGD(0.0), "categorical_crossentropy")
    whole = Sequential([LSTM(4, input_shape=(None, 3)), Dense(3, activation="softmax")])
    whole.set_weights(model.get_weights())
    model.train_on_batch(long[:, :3], Y[:2])
    followed = model.predict(long[:, 3:6], batch_size=2)
    close(followed, whole.predict(long[:, :6]))
    model.reset_states()
    close(model.predict(long[:, 3:6], batch_size=2), whole.predict(long[:, 3:6]))
    model.layers[0].reset_states()
    close(model.predict(long[:, :3], batch_size=2), whole.predict(long[:, :3]))


def test_outputs_in_the_middle_of_a_model():
    model = classifier(hidden=40)
    middle = Model(inputs=model.input, outputs=model.get_layer(index=1).output).predict(X)
    places = [model.layers[0].input], [model.layers[1].output]
    close(K.function(*places)([X])[0], middle)
    phased = K.function([*places[0], K.learning_phase()], places[1])
    close(phased([X, 0])[0], middle)
    trained = phased([X, 1])[0]
    kept = trained != 0
    assert 0.2 < kept.sum() / (middle != 0).sum() < 0.8
    close(trained[kept], 2 * middle[kept])


def test_one_layer_frozen_in_one_model_and_trained_in_another():
    x = Input(shape=(4,))
    layer = Dense(4)
    layer.trainable = False
    y = layer(x)
    frozen = Model(x, y)
    frozen.compile("sgd", "mse")
    layer.trainable = True
    trained = Model(x, y)
    trained.compile("sgd", "mse")
    before = layer.get_weights()
    with pytest.warns(UserWarning, match="Discrepancy between trainable weights"):
        frozen.fit(X, X, verbose=0)
    assert same_bits(layer.get_weights(), before)
    trained.fit(X, X, verbose=0)
    assert not same_bits(layer.get_weights(), before)
    close(frozen.predict(X), trained.predict(X))
    assert not Dense(2, trainable=False).trainable


def test_fine_tuning():
    base = vision()
    head = Dense(2, activation="softmax")(base.output)
    model = Model(base.input, head)
    for layer in base.layers:
        layer.trainable = False
    model.compile("sgd", "categorical_crossentropy")
    assert len(model.trainable_weights) == 2
    pictures, kinds = draw(6, 5, 5, 1), to_categorical(YES, 2)
    start = model.get_weights()
    model.fit(pictures, kinds, verbose=0)
    new_head = model.get_weights()
    assert same_bits(new_head[:2], start[:2]) and not same_bits(new_head[2:], start[2:])
    for layer in model.layers[1:]:
        layer.trainable = True
    model.compile(SGD(lr=0.1, momentum=0.9), "categorical_crossentropy")
    model.fit(pictures, kinds, verbose=0)
    assert not same_bits(model.get_weights()[:2], start[:2])
    assert same_bits(base.get_weights(), model.get_weights()[:2])


class Attention(layers.Layer):
    """Weighs the features of its input."""

    def build(self, input_shape):
        self.scores = self.add_weight(name="scores", shape=(input_shape[-1],), initializer="uniform")
        super().build(input_shape)

    def call(self, x):
        return x * K.softmax(K.expand_dims(self.scores, 0))


def test_saved_and_loaded(tmp_path):
    path, custom = str(tmp_path / "model.h5"), {"Attention": Attention}
    model = Sequential([Attention(input_shape=(4,)), Dense(3, activation="softmax", name="kept")])
    model.compile("adam", "categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(path)
    loaded = load_model(path, custom_objects=custom)
    with CustomObjectScope(custom):
        close(load_model(path).predict(X), model.predict(X))
    with pytest.raises(ValueError, match="Unknown layer: Attention"):
        load_model(path)
    for each in (model, loaded):  # training goes on where it was
        each.train_on_batch(X, Y)
    close(loaded.get_weights(), model.get_weights())

    weights = str(tmp_path / "weights.h5")
    model.save_weights(weights)
    for described in (
        model_from_json(model.to_json(), custom_objects=custom),
        model_from_yaml(model.to_yaml(), custom_objects=custom),
    ):
        described.load_weights(weights)
        close(described.predict(X), model.predict(X))
    other = Sequential([Dense(3, input_dim=4, name="kept"), Dense(7, name="new")])
    before = other.get_weights()
    other.load_weights(weights, by_name=True)
    assert same_bits(other.get_weights()[:2], model.layers[1].get_weights())
    assert same_bits(other.get_weights()[2:], before[2:])


def test_data_in_an_hdf5_file(tmp_path):
    path = str(tmp_path / "data.h5")
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = X, Y
    model = classifier()
    model.compile("sgd", "categorical_crossentropy")
    with h5py.File(path, "r") as file:
        close(model.predict(file["x"]), model.predict(X))
    x, y = HDF5Matrix(path, "x", end=8), HDF5Matrix(path, "y", end=8)
    model.fit(x, y, batch_size=4, shuffle="batch", verbose=0)
    close(model.evaluate(x, y, verbose=0), model.evaluate(X[:8], Y[:8], verbose=0))


def test_on_several_devices():
    model = Sequential([Dense(3, activation="softmax", input_dim=4)])
    parallel = multi_gpu_model(model, gpus=2)
    alone = Sequential([Dense(3, activation="softmax", input_dim=4)])
    alone.set_weights(model.get_weights())
    for each in (parallel, alone):
        each.compile("rmsprop", "categorical_crossentropy")
        each.fit(X, Y, batch_size=6, shuffle=False, verbose=0)
    close(model.get_weights(), alone.get_weights())
    close(parallel.predict(X), alone.predict(X))
