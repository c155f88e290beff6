"""What user code reads without being handed it: variables, weights, symbols; and metrics that keep a running state."""

import jax
import numpy as np
import pytest
from kit import close, same_bits

from jkeras import backend as K
from jkeras import callbacks, layers, losses, optimizers, random
from jkeras.layers import Dense, Input, Lambda
from jkeras.models import Model, Sequential
from jkeras.train import make_step

X = np.random.RandomState(0).randn(32, 5).astype("float32")
Y = (X[:, :2] > 0).astype("float32")


class Traced:
    """A loss that counts its traces and can be weighted by a variable."""

    def __init__(self):
        self.times, self.weight = 0, K.variable(1.0)

    def __call__(self, y_true, y_pred):
        self.times += 1
        return self.weight * losses.mean_squared_error(y_true, y_pred)


def small(loss, optimizer="sgd", **options):
    model = Sequential([Dense(2, activation="sigmoid", input_shape=(5,))])
    model.set_weights([np.full((5, 2), 0.3), np.zeros(2)])
    model.compile(optimizer, loss, **options)
    return model


def fit(model, **options):
    return model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "verbose": 0, "shuffle": False, "key": 0, **options})


# ------------------------------------------------------------------------------------------------ set while training


def test_a_variable_in_a_loss_is_set_without_a_new_trace():
    loss = Traced()
    model = small(loss)
    first = fit(model).history["loss"][0]
    before, weights = loss.times, model.get_weights()
    K.set_value(loss.weight, 0.0)
    assert fit(model).history["loss"] == [0.0, 0.0]
    assert same_bits(weights, model.get_weights())
    K.set_value(loss.weight, 2.0)
    model.set_weights([np.full((5, 2), 0.3), np.zeros(2)])
    model.optimizer.lr = 0.005  # twice the loss, half the rate: the same steps
    np.testing.assert_allclose(fit(model).history["loss"][0], 2 * first, rtol=1e-5)
    assert loss.times == before


def test_a_callback_anneals_a_variable():
    loss = Traced()
    anneal = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: K.set_value(loss.weight, epoch))
    model = small(loss, optimizers.SGD(lr=0.0))
    logs = fit(model, epochs=4, callbacks=[anneal]).history["loss"]
    np.testing.assert_allclose(logs, np.arange(4) * logs[1], rtol=1e-6)


def change_rate(model, weight):
    K.set_value(model.optimizer.lr, 0.5)


def change_loss_weight(model, weight):
    K.set_value(weight, 3.0)


def change_nothing(model, weight):
    """The class weights differ."""


@pytest.mark.parametrize("change", [change_rate, change_loss_weight, change_nothing])
def test_rates_and_weights_change_without_a_new_trace(change):
    seen, weight = [], K.variable(1.0)

    def count(x):
        seen.append(1)
        return x

    x = Input((5,))
    h = Lambda(count)(Dense(4)(x))
    model = Model(x, [Dense(2, name="a", activation="softmax")(h), Dense(2, name="b")(h)])
    model.compile("sgd", ["categorical_crossentropy", "mse"], loss_weights=[weight, 0.5])
    plain = [{0: 1.0, 1: 2.0}, {0: 5.0, 1: 0.1}]
    targets = [np.eye(2)[np.arange(32) % 2], Y]

    def one_epoch(class_weight):
        weights = {"a": class_weight, "b": None}
        return model.fit(x=X, y=targets, class_weight=weights, epochs=1, verbose=0, shuffle=False, key=0).history

    one_epoch(plain[0])
    before, start = len(seen), model.get_weights()
    reference = one_epoch(plain[0])
    reached = model.get_weights()
    model.set_weights(start)
    change(model, weight)
    changed = one_epoch(plain[1] if change is change_nothing else plain[0])
    assert len(seen) == before
    assert changed["loss"] != reference["loss"] or not np.array_equal(reached[0], model.get_weights()[0])


def test_predictions_follow_a_variable():
    scale = K.variable(1.0)
    model = Sequential([Lambda(lambda x: x * scale, input_shape=(5,))])
    first = model.predict(X)
    K.set_value(scale, 3.0)
    np.testing.assert_allclose(model.predict(X), 3 * first, rtol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(X), 3 * first, rtol=1e-6)


def test_a_constant_costs_no_second_trace():
    def traces(*read):
        seen = []

        def loss(y_true, y_pred):
            seen.append(1)
            return losses.mean_absolute_error(y_true, sum(read, y_pred))

        fit(small(loss))
        return len(seen)

    assert traces(K.constant([1.0, 2.0])) == traces() > 0


def test_the_weights_of_another_model_are_read_not_copied():
    teacher = Sequential([Dense(2, input_shape=(5,))])
    student = Sequential([Dense(5, input_shape=(5,))])
    student.compile(optimizers.SGD(0.0), lambda y_true, y_pred: K.square(teacher(y_true) - teacher(y_pred)))
    loss = student.evaluate(X, X, verbose=0)
    expected = np.mean((teacher.predict(X) - teacher.predict(student.predict(X))) ** 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    teacher.set_weights([2 * weight for weight in teacher.get_weights()])
    np.testing.assert_allclose(student.evaluate(X, X, verbose=0), 4 * expected, rtol=1e-5)


# -------------------------------------------------------------------------------------- the model's weights and symbols


def test_a_loss_may_read_the_models_weights_and_trains_them():
    model = Sequential([Dense(5, input_shape=(5,))])
    kernel = model.layers[0].kernel
    model.compile(optimizers.SGD(0.25), lambda y_true, y_pred: 0.0 * y_pred[:, 0] + K.sum(K.square(kernel)))
    before = model.get_weights()[0]
    model.train_on_batch(X, X)
    np.testing.assert_allclose(model.get_weights()[0], before / 2, rtol=1e-5)


@pytest.mark.parametrize("nested", [False, True])
def test_a_loss_may_read_symbols_of_the_graph(nested):
    """The variational autoencoder of the Keras blog: its loss reads the code, not only the output."""
    random.seed(0)
    x = Input((5,))
    code = Dense(3, name="code")(x)
    encoder = Model(x, code)
    decoder = Sequential([Dense(5, input_shape=(3,))])
    model = Model(x, decoder(encoder(x) if nested else code))
    model.compile(
        optimizers.SGD(0.1),
        lambda y_true, y_pred: losses.mean_squared_error(y_true, y_pred) + 0.1 * K.sum(K.square(code), 1),
    )
    codes = encoder.predict(X)
    expected = np.mean((model.predict(X) - X) ** 2) + 0.1 * np.mean(np.sum(codes**2, axis=1))
    np.testing.assert_allclose(model.evaluate(X, X, verbose=0), expected, rtol=1e-5)
    model.fit(X, X, epochs=20, verbose=0, key=0)
    assert np.sum(encoder.predict(X) ** 2) < 0.5 * np.sum(codes**2)


def test_draws_in_a_loss_come_from_the_runs_key():
    def noisy(y_true, y_pred):
        return losses.mean_squared_error(y_true, y_pred + K.random_normal(K.shape(y_pred)))

    first, again, other = (fit(small(noisy), key=key).history["loss"] for key in (1, 1, 2))
    assert first == again != other and first[0] != first[1]


# ------------------------------------------------------------------------------------------------- stateful metrics


class TruePositives(layers.Layer):
    """Counts over the whole epoch, as Keras 2.2.4's own test of stateful metrics does."""

    def __init__(self, name="true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.stateful = True
        self.count = K.variable(0, dtype="int32")

    def reset_states(self):
        K.set_value(self.count, 0)

    def __call__(self, y_true, y_pred):
        hits = K.sum(K.cast(K.round(y_true) * K.round(y_pred), "int32"))
        now = self.count * 1
        self.add_update(K.update_add(self.count, hits), inputs=[y_true, y_pred])
        return now + hits


def hits_of(model):
    return int(np.sum(np.round(model.predict(X)) * Y))


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("feeding", ["resident", "batches", "generator"])
def test_stateful_metrics(devices, feeding):
    metric = TruePositives()
    model = small("mse", optimizers.SGD(0.0), metrics=[metric, "acc"], devices=devices)
    assert model.metrics_names == ["loss", "true_positives", "acc"]
    hits = hits_of(model)
    options = {"validation_data": (X[:16], Y[:16])}
    if feeding == "batches":
        options["callbacks"] = [callbacks.LambdaCallback(on_batch_end=lambda batch, logs: logs)]
    if feeding == "generator":
        made = ((X[i : i + 8], Y[i : i + 8]) for _ in range(9) for i in range(0, 32, 8))
        logs = model.fit_generator(made, 4, epochs=2, verbose=0, **options).history
    else:
        logs = fit(model, **options).history
    first_half = int(np.sum(np.round(model.predict(X[:16])) * Y[:16]))
    assert logs["true_positives"] == [hits, hits] and logs["val_true_positives"] == [first_half] * 2
    assert model.evaluate(X, Y, batch_size=8, verbose=0)[1] == hits
    assert K.get_value(metric.count) == hits
    metric.reset_states()
    totals = [model.train_on_batch(X[:16], Y[:16])[1] for _ in range(2)]
    assert totals == [first_half, 2 * first_half]


def test_a_metric_of_the_whole_batch_is_the_same_on_any_number_of_devices():
    def spread(y_true, y_pred):
        return K.max(y_pred) - K.min(y_pred)

    one, several = (small("mse", metrics=[spread], devices=devices).evaluate(X, Y, verbose=0) for devices in (1, 4))
    np.testing.assert_allclose(one, several, rtol=1e-6)


def one_pure_step(model, loss):
    """The weights of the two layers after a step of `make_step`, and those before."""
    init_state, step = make_step(model, loss, optimizers.SGD(0.1))
    start = init_state(jax.random.key(0))
    state, logs = jax.jit(step)(start, (X, Y))
    assert int(state.step) == 1 and set(logs) == {"loss"}
    params, after = ({**one.frozen, **one.params} for one in (start, state))
    return [(params[layer.name], after[layer.name]) for layer in model.layers]


def test_a_pure_step_leaves_frozen_layers_alone():
    """As `fit` does."""
    model = Sequential([Dense(3, trainable=False, input_shape=(5,), name="a"), Dense(2, name="b")])
    frozen, trained = one_pure_step(model, losses.mean_squared_error)
    assert same_bits(*frozen) and not same_bits(*trained)


def test_a_pure_step_trains_the_weights_that_its_loss_reads():
    """As `fit` does: the gradient of sum(w^2) is 2 w, so a step of 0.1 leaves 0.8 of the weight."""
    model = Sequential([Dense(2, input_shape=(5,), name="a")])
    kernel = model.layers[0].kernel
    ((before, after),) = one_pure_step(model, lambda y_true, y_pred: 0.0 * y_pred[:, 0] + K.sum(K.square(kernel)))
    close(after["kernel"], 0.8 * before["kernel"])
