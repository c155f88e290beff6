"""Training as stories: one key is one run, on any number of devices, however many steps one dispatch takes."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from kit import close, same_bits

import jkeras
from jkeras import backend as K
from jkeras import callbacks, layers, losses, optimizers
from jkeras.models import Model, Sequential
from jkeras.train import make_step

pytestmark = pytest.mark.bits
RNG = np.random.RandomState(0)
X = RNG.randn(62, 6).astype("float32")
Y = np.eye(3, dtype="float32")[RNG.randint(0, 3, 62)]


def network(seen=None):
    """Dropout and BatchNormalization in a small classifier; `seen` counts how often it is traced."""

    def count(x):
        if seen is not None:
            seen.append(1)
        return x

    x = layers.Input((6,))
    h = layers.Dense(8, activation="tanh")(x)
    h = layers.BatchNormalization()(h)
    h = layers.Dropout(0.3)(layers.Lambda(count)(h))
    return Model(x, layers.Dense(3, activation="softmax")(h))


def compiled(seen=None, optimizer=None, **arguments):
    jkeras.random.seed(3)
    model = network(seen)
    model.compile(optimizer or optimizers.Adam(lr=0.01), "categorical_crossentropy", metrics=["accuracy"], **arguments)
    return model


def trained(devices=None, hooks=False, batch_size=12, epochs=3, key=0):
    model = compiled(devices=devices)
    seen = []
    watch = [callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(logs))] if hooks else []
    history = model.fit(X, Y, batch_size=batch_size, epochs=epochs, verbose=0, key=jax.random.key(key), callbacks=watch)
    if hooks:
        assert len(seen) == epochs * -(-len(X) // batch_size) and set(seen[0]) == {"batch", "size", "loss", "acc"}
    return model.get_weights(), history.history


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_any_number_of_devices_gives_the_same_weights(devices):
    one, logs = trained()
    several, other_logs = trained(devices)
    close(one, several, rtol=0)
    close(logs, other_logs, rtol=0)


def test_one_key_is_one_run_to_the_bit():
    first, logs = trained()
    second, again = trained()
    assert same_bits(first, second) and logs == again
    assert not same_bits(first, trained(key=1)[0])


def test_one_step_per_dispatch_gives_the_same_bits_as_many():
    many, logs = trained()
    single, hooked_logs = trained(hooks=True)
    assert same_bits(many, single)
    close(logs, hooked_logs, rtol=1e-6, atol=0)


def test_a_run_without_a_key_records_one_that_repeats_it():
    def run(key):
        model = compiled()
        start = model.get_weights()
        history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0, key=key)
        return start, model.get_weights(), history.key

    start, first, key = run(None)
    again, second, _ = run(key)
    assert same_bits(start, again) and same_bits(first, second)


def test_shuffling_follows_numpys_seed_where_no_key_is_given(monkeypatch):
    model = Sequential([layers.Dense(1, input_shape=(6,))])
    model.compile("sgd", "mse")
    seen = []
    order = np.arange(40)
    np.random.seed(5)
    np.random.shuffle(order)
    np.random.seed(5)
    monkeypatch.setattr(jkeras.random, "is_seeded", lambda: False)
    inputs = np.repeat(np.arange(40, dtype="float32")[:, None], 6, 1)
    watch = callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    weights = model.get_weights()
    model.optimizer.lr = 0.0
    model.fit(inputs, inputs[:, :1], batch_size=8, epochs=1, verbose=0, callbacks=[watch])
    predicted = inputs @ weights[0] + weights[1]
    wanted = [np.mean((predicted - inputs[:, :1])[rows] ** 2) for rows in order.reshape(5, 8)]
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)


def test_a_second_call_traces_nothing():
    seen = []
    model = compiled(seen)

    def use():
        model.fit(X, Y, batch_size=12, epochs=2, verbose=0, validation_data=(X[:20], Y[:20]))
        model.evaluate(X, Y, batch_size=12, verbose=0)
        model.predict(X, batch_size=12)
        model.predict_on_batch(X[:12])
        model.train_on_batch(X[:12], Y[:12])
        model.test_on_batch(X[:12], Y[:12])

    use()
    before = len(seen)
    use()
    model.optimizer.lr = 0.5
    use()
    assert len(seen) == before > 0


def test_the_last_smaller_batch_counts_as_much_as_its_examples():
    model = compiled()
    loss, accuracy = model.evaluate(X, Y, batch_size=7, verbose=0)
    predicted = model.predict(X)
    np.testing.assert_allclose(loss, -np.mean(np.log(np.sum(predicted * Y, axis=1))), rtol=1e-5)
    np.testing.assert_allclose(accuracy, np.mean(predicted.argmax(1) == Y.argmax(1)), rtol=1e-6)


def test_the_explicit_way():
    model = network()
    init_state, step = make_step(model, losses.categorical_crossentropy, optax.adam(0.01))
    keys = jax.random.split(jax.random.key(0), 4)

    def run(key):
        def body(train_state, rows):
            return step(train_state, (jnp.asarray(X)[rows], jnp.asarray(Y)[rows]))

        return jax.lax.scan(body, init_state(key), np.arange(60).reshape(5, 12))

    together, logs = jax.jit(jax.vmap(run))(keys)
    for number in range(4):
        train_state, own_logs = jax.jit(run)(keys[number])
        close(jax.tree.map(lambda leaf, number=number: leaf[number], together.params), train_state.params, rtol=0)
        np.testing.assert_allclose(logs["loss"][number], own_logs["loss"], rtol=1e-5)


def test_gradients_through_apply_are_those_of_finite_differences():
    model = network()
    params, state = model.init(jax.random.key(0))

    def loss(params):
        outputs, _ = model.apply(params, state, X[:9], key=jax.random.key(1), training=True)
        return jnp.sum(outputs * Y[:9])

    gradient = jax.grad(loss)(params)
    direction = jax.tree.map(lambda leaf: np.cos(np.arange(leaf.size, dtype="float32")).reshape(leaf.shape), params)
    shifted = [jax.tree.map(lambda p, d, h=h: p + h * d, params, direction) for h in (1e-2, -1e-2)]
    slope = (loss(shifted[0]) - loss(shifted[1])) / 2e-2
    along = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(slope, along, rtol=2e-2)


def test_layers_that_draw_whatever_the_phase():
    x = layers.Input((6,))
    model = Model(x, layers.Dropout(0.5)(x, training=True))
    model.compile("sgd", "mse")
    first, second = model.predict(X), model.predict(X)
    assert set(np.unique(np.round(first[X != 0] / X[X != 0], 4))) == {0.0, 2.0} and not np.array_equal(first, second)
    assert model.evaluate(X, X, verbose=0) > 0
    model.fit(X, X, verbose=0)


def test_fit_learns():
    model = compiled(optimizer=optax.adam(0.05))
    labels = np.eye(3, dtype="float32")[np.argmax(X[:, :3], axis=1)]
    history = model.fit(X, labels, epochs=60, batch_size=16, verbose=0, validation_split=0.2, key=1)
    assert model.evaluate(X[:48], labels[:48], verbose=0)[1] > 0.95
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert len(history.history["val_loss"]) == 60


def test_interrupted_training_leaves_living_weights():
    model = compiled()

    def interrupt(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    for callback in ({"on_epoch_end": interrupt}, {"on_batch_end": interrupt}, {"on_epoch_begin": interrupt}):
        with pytest.raises(KeyboardInterrupt):
            callback = callbacks.LambdaCallback(**callback)
            model.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[callback])
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    model.fit(X, Y, epochs=1, verbose=0)


def test_what_a_callback_sets_at_the_end_stays():
    model = compiled()
    zeros = [np.zeros_like(weight) for weight in model.get_weights()]
    end = callbacks.LambdaCallback(on_train_end=lambda logs: model.set_weights(zeros))
    model.fit(X, Y, epochs=1, verbose=0, validation_data=(X, Y), callbacks=[end])
    assert same_bits(zeros, model.get_weights())


def test_callbacks_may_change_weights_and_learning_rate():
    model = compiled(optimizer=optimizers.SGD(lr=0.1))
    zeros = [np.zeros_like(weight) for weight in model.get_weights()]

    def freeze(epoch, logs=None):
        model.set_weights(zeros)
        model.optimizer.lr = 0.0

    model.fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_begin=freeze)])
    kernel = model.layers[1].get_weights()[0]
    assert np.array_equal(kernel, np.zeros_like(kernel))


def test_trainable_is_fixed_at_compile():
    model = compiled()
    frozen = model.layers[1]
    frozen.trainable = False
    with pytest.warns(UserWarning, match="Discrepancy between trainable weights"):
        model.train_on_batch(X, Y)
    model.compile("sgd", "categorical_crossentropy")
    before = frozen.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, Y, verbose=0)
    assert same_bits(before, frozen.get_weights())


def test_shared_layers_have_one_place():
    shared = layers.Dense(4, name="shared")
    x = layers.Input((4,))
    encoder = Model(x, shared(x), name="encoder")
    y = shared(encoder(x))
    model = Model(x, y)
    params, state = model.init(jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 20 == model.count_params()
    model.compile(optimizers.SGD(lr=0.1), "mse")
    kernel, bias = shared.get_weights()
    inputs, targets = X[:8, :4], X[:8, 1:5]

    def loss(weights):
        return jnp.mean(((inputs @ weights[0] + weights[1]) @ weights[0] + weights[1] - targets) ** 2)

    gradient = jax.grad(loss)([kernel, bias])
    model.train_on_batch(inputs, targets)
    for new, old, change in zip(shared.get_weights(), [kernel, bias], gradient, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * change, rtol=1e-5, atol=1e-6)


MISTAKES = [
    ("x shape", lambda m: m.fit(X[:, :5], Y), r"\(6,\).*\(5,\)"),
    ("y shape", lambda m: m.fit(X, Y[:, :2]), r"\(3,\).*\(2,\)"),
    ("lengths", lambda m: m.fit(X[:10], Y), "10"),
    ("two inputs for one", lambda m: m.fit([X, X], Y), "2"),
    ("unknown input name", lambda m: m.fit({"nobody": X}, Y), "nobody"),
    ("text", lambda m: m.fit(np.array([["a"] * 6] * 4), Y[:4]), "dtype"),
    ("validation_split", lambda m: m.fit(X, Y, validation_split=1.5), "1.5"),
    ("shuffle", lambda m: m.fit(X, Y, shuffle="sometimes"), "sometimes"),
    ("batch_size", lambda m: m.fit(X, Y, batch_size=0), "0"),
    ("no examples", lambda m: m.fit(X[:0], Y[:0]), "0"),
    ("loss name", lambda m: m.compile("sgd", "nobody"), "nobody"),
    ("optimizer name", lambda m: m.compile("nobody", "mse"), "nobody"),
    ("loss dict", lambda m: m.compile("sgd", {"nobody": "mse"}), "nobody"),
    ("loss list", lambda m: m.compile("sgd", ["mse", "mse"]), "1 outputs"),
    ("loss weights", lambda m: m.compile("sgd", "mse", loss_weights={"nobody": 1}), "nobody"),
    ("metric", lambda m: m.compile("sgd", "mse", metrics=["nobody"]), "nobody"),
    ("devices", lambda m: m.compile("sgd", "mse", devices=99), "99"),
    ("class weight", lambda m: m.fit(X, Y, class_weight={0: 1.0}), "class"),
    ("sample weight", lambda m: m.fit(X, Y, sample_weight=np.ones((62, 2))), "weight"),
]


@pytest.mark.parametrize("name,mistake,message", MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistakes_name_what_was_given(name, mistake, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mistake(compiled())


def test_a_column_of_targets_against_several_outputs_is_an_error():
    model = Sequential([layers.Dense(3, input_shape=(6,))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"\(1,\)|\(62, 1\)"):
        model.fit(X, Y[:, :1], verbose=0)


def test_an_uncompiled_model_says_so():
    model = network()
    for method in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(RuntimeError, match="compile"):
            method(X, Y)
    assert model.predict(X).shape == (62, 3)


def test_models_may_share_an_optimizer():
    optimizer = optimizers.Adam(lr=0.01)
    models = [compiled(optimizer=optimizer), Sequential([layers.Dense(3, input_shape=(6,))])]
    models[1].compile(optimizer, "mse")
    for _ in range(2):
        for model in models:
            model.train_on_batch(X, Y)
    assert optimizer.iterations.value == 4
    models[0].layers[1].trainable = False
    models[0].compile(optimizer, "categorical_crossentropy")
    models[0].train_on_batch(X, Y)
    assert optimizer.iterations.value == 5


def test_multi_gpu_model_shares_the_weights():
    one, _ = trained(epochs=1)
    jkeras.random.seed(3)
    model = network()
    parallel_model = jkeras.utils.multi_gpu_model(model, gpus=4)
    parallel_model.compile(optimizers.Adam(lr=0.01), "categorical_crossentropy", metrics=["accuracy"])
    parallel_model.fit(X, Y, batch_size=12, epochs=1, verbose=0, key=jax.random.key(0))
    close(one, model.get_weights(), rtol=0)
    for wrong in (1, [0], 99):
        with pytest.raises(ValueError, match="gpus"):
            jkeras.utils.multi_gpu_model(model, gpus=wrong)


def test_a_forgotten_compile_is_warned_of():
    inner = Sequential([layers.Dense(4, input_shape=(6,))])
    inner.trainable = False
    x = layers.Input((6,))
    model = Model(x, layers.Dense(3)(inner(x)))
    model.compile("sgd", "mse")
    inner.trainable = True
    for act in (lambda: model.summary(print_fn=len), lambda: model.train_on_batch(X, Y)):
        with pytest.warns(UserWarning, match="Discrepancy between trainable weights"):
            act()


@pytest.mark.parametrize("function", [lambda h: K.cast(K.argmax(h), "float32"), K.stop_gradient, K.round])
def test_a_loss_without_a_gradient_says_so(function):
    x = layers.Input((6,))
    model = Model(x, layers.Dense(3)(x))
    model.compile("sgd", lambda y_true, y_pred: K.mean(function(y_pred)))
    with pytest.raises(ValueError, match=r"no gradient.*K.softmax in place of K.argmax"):
        model.train_on_batch(X, Y)
    model.trainable = False  # then there is nothing that it should depend on
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
