"""One, two, four, eight devices, by `pmap` or over a mesh: the same numbers, also of losses that mix examples and with
weights that are split."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import jkeras
from jkeras import backend as K
from jkeras import layers, optimizers
from jkeras.layers import Dense, Input, Lambda
from jkeras.models import Model, Sequential
from jkeras.train import Meshed, OneDevice, Pmapped
from jkeras.train.mapping import whole

X = np.random.RandomState(0).randn(38, 6).astype("float32")
Y = np.eye(4, dtype="float32")[np.random.RandomState(1).randint(0, 4, 38)]
MAPPINGS = {
    f"{kind.__name__} {count}": functools.partial(kind, count) for kind in (Pmapped, Meshed) for count in (2, 4, 8)
}


def classifier():
    stack = [Dense(8, activation="tanh", input_shape=(6,)), layers.BatchNormalization(), layers.Dropout(0.4)]
    return Sequential([*stack, Dense(4, activation="softmax")]), "categorical_crossentropy"


def mixing():
    """A user's loss that is no mean over examples."""

    def loss(y_true, y_pred):
        centred = y_pred - K.mean(y_pred, axis=0, keepdims=True)
        return K.sum(K.square(centred - y_true)) / 50.0 + K.max(K.abs(y_pred))

    return Sequential([Dense(8, activation="tanh", input_shape=(6,)), Dense(4)]), loss


def autoencoder():
    """A user's loss of each example that reads a symbol of the graph, and draws."""
    x = Input((6,))
    code = Dense(3)(x)
    model = Model(x, Dense(4)(code))

    def loss(y_true, y_pred):
        noise = K.random_normal(K.shape(y_pred), stddev=0.1)
        return K.sum(K.square(y_pred + noise - y_true), -1) + 0.1 * K.sum(K.square(code), -1)

    return model, loss


def trained(make, mapping=None, batch_size=16):
    jkeras.random.seed(2)
    model, loss = make()
    model.compile(optimizers.SGD(0.05, momentum=0.9), loss, metrics=["mae"], mapping=mapping)
    history = model.fit(X, Y, batch_size=batch_size, epochs=2, verbose=0, key=0, validation_split=0.2).history
    history["tested"] = model.evaluate(X, Y, batch_size=batch_size, verbose=0)
    history["predicted"] = model.predict(X, batch_size=batch_size)
    return model, history


@functools.cache
def on_one_device(make):
    return trained(make)


def check_alike(found, expected):
    (model, history), (other, other_history) = found, expected
    pairs = list(zip(model.get_weights(), other.get_weights(), strict=True))
    assert pairs and history.keys() == other_history.keys()
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    for name in history:
        np.testing.assert_allclose(history[name], other_history[name], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("make", [classifier, mixing, autoencoder])
@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
def test_any_number_of_devices_gives_the_same_numbers(make, mapping):
    """Of 30 examples 16, and 14, which 4 or 8 do not divide."""
    check_alike(trained(make, mapping()), on_one_device(make))


@pytest.mark.parametrize("mapping", [lambda: Pmapped(4), lambda: Meshed(4)], ids=["pmapped", "meshed"])
def test_batches_that_come_one_by_one(mapping):
    def run(mapping):
        jkeras.random.seed(2)
        model, loss = classifier()
        model.compile(optimizers.SGD(0.1), loss, mapping=mapping)
        losses = [model.train_on_batch(X[:12], Y[:12]), model.train_on_batch(X[:7], Y[:7])]
        made = ((X[i : i + 8], Y[i : i + 8]) for _ in range(3) for i in range(0, 32, 8))
        losses += model.fit_generator(made, 4, epochs=2, verbose=0, key=0).history["loss"]
        return losses, model.get_weights()

    (losses, weights), (expected, others) = run(mapping()), run(None)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for ours, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------------- weights that are split


def perceptron():
    return Sequential([Dense(16, activation="tanh", input_shape=(6,)), layers.Dropout(0.3), Dense(4)]), "mse"


def block():
    """Attention and a feed-forward part over two positions of three numbers."""
    x = Input((6,))
    h = layers.Reshape((2, 3))(x)
    query, key, value = (Dense(8, name=name)(h) for name in ("query", "key", "value"))
    scores = layers.Activation("softmax")(layers.Dot(axes=2)([query, key]))
    mixed = layers.Dot(axes=(2, 1))([scores, value])
    h = layers.Add()([mixed, Lambda(lambda x: K.tanh(x))(query)])
    h = layers.Dense(8, name="down")(Dense(32, activation="relu", name="up")(layers.Dropout(0.2)(h)))
    return Model(x, Dense(4, name="out")(layers.Flatten()(h))), "mse"


WIDE, DEEP = PartitionSpec(None, "model"), PartitionSpec("model", None)
SPLITS = {
    "perceptron over all": (perceptron, {"batch": 1, "model": 4}, {"*/kernel": WIDE}),
    "perceptron and batch": (perceptron, {"batch": 2, "model": 2}, {"*/kernel": DEEP}),
    "block over all": (block, {"batch": 1, "model": 4}, {"up/kernel": WIDE, "down/kernel": DEEP, "out/kernel": WIDE}),
    "block and batch": (block, {"batch": 2, "model": 2}, {"query/bias": PartitionSpec("model"), "up/kernel": WIDE}),
}


class Looker(jkeras.train.Observer):
    """Notes which leaves of the state are really split."""

    def after(self, view):
        def split(tree):
            return [leaf.shape for leaf in jax.tree.leaves(tree) if not leaf.sharding.is_fully_replicated]

        self.params, self.slots = split(view.train_state.params), split(view.train_state.opt_state)


@pytest.mark.parametrize(("make", "axes", "rules"), SPLITS.values(), ids=SPLITS)
def test_split_weights_train_to_the_numbers_of_one_device(make, axes, rules):
    looker = Looker()

    class Look(jkeras.callbacks.Callback):
        def observer(self, fitting):
            return looker

    def run(mapping, callbacks=()):
        jkeras.random.seed(2)
        model, loss = make()
        # Adam would blow up the noise in gradients that are zero: those of the keys' bias.
        model.compile(optimizers.SGD(0.1, momentum=0.9), loss, mapping=mapping)
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, key=0, callbacks=list(callbacks))
        return model

    split, one = run(Meshed(4, axes=axes, rules=rules), [Look()]), run(None)
    for ours, theirs in zip(split.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert looker.params and sorted(looker.slots) == sorted(looker.params)
    np.testing.assert_allclose(split.predict(X), one.predict(X), atol=1e-5)
    split.layers[1].set_weights([2 * weight for weight in split.layers[1].get_weights()])
    split.fit(X, Y, batch_size=16, epochs=1, verbose=0)


def test_what_is_really_split_comes_back_whole():
    mesh = Mesh(np.asarray(jax.devices()[:4]), ("batch",))
    array = jax.device_put(jnp.arange(8.0), jax.sharding.NamedSharding(mesh, PartitionSpec("batch")))
    same = jax.device_put(jnp.arange(8.0), jax.sharding.NamedSharding(mesh, PartitionSpec()))
    for tree in whole([array, same]):
        assert np.array_equal(tree, np.arange(8.0))


MISTAKES = [
    (lambda: Meshed(99), "99"),
    (lambda: Pmapped([]), "at least one"),
    (lambda: Meshed(4, axes={"batch": 3}), "another size"),
    (lambda: Meshed(4, axes={"model": 4}), "must be called 'batch'"),
    (lambda: Meshed(4, rules={"*": PartitionSpec("nobody")}), "nobody"),
    (
        lambda: trained(classifier, Meshed(4, rules={"nothing/*": PartitionSpec("batch")})),
        "'nothing/[*]' matches no parameter.*kernel",
    ),
    (
        lambda: trained(classifier, Meshed(4, axes={"batch": 1, "model": 4}, rules={"*/kernel": DEEP})),
        r"kernel of shape \(6, 8\)",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_name_what_was_given(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def test_the_default_is_one_device():
    assert type(jkeras.train.mapping.as_mapping(None)) is type(jkeras.train.mapping.as_mapping(1)) is OneDevice
    assert isinstance(jkeras.train.mapping.as_mapping(jax.devices()[:2]), Pmapped)


@pytest.mark.parametrize("kind", [OneDevice, functools.partial(Pmapped, 2), functools.partial(Meshed, 2)])
def test_what_xla_is_told_holds_on_any_number_of_devices(kind, monkeypatch):
    said = {"xla_disable_hlo_passes": "fusion"}
    monkeypatch.setattr(jkeras.train.mapping, "options", lambda program, platform: said)
    check_alike(trained(classifier, kind()), on_one_device(classifier))
    said = {"xla_no_such_option": "1"}
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        trained(classifier, kind())
