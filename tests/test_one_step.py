"""What one step of training is made of, each part against a few lines of numpy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, draw, same_bits

from jkeras import backend as K
from jkeras import constraints, layers, optimizers, random, regularizers
from jkeras.layers import Dense, Input
from jkeras.models import Model, Sequential

RATE, ROWS = 0.1, 8
X, KERNEL, BIAS = draw(ROWS, 3), draw(3, 2, seed=1), draw(2, seed=2)
Y = np.eye(2, dtype="float32")[np.arange(ROWS) % 2]
WEIGHTS = np.linspace(0, 2, ROWS).astype("float32")  # the first example counts for nothing


def mean_of(scores, weights=None):
    """Keras 2.2.4's weighted mean: over the examples that have a weight at all."""
    return jnp.mean(scores) if weights is None else jnp.mean(scores * weights) / jnp.mean(weights != 0)


def squares(kernel, bias):
    """For each example, the squared error."""
    return jnp.mean(jnp.square(X @ kernel + bias - Y), axis=1)


def plain(kernel, bias):
    return mean_of(squares(kernel, bias))


def with_penalty(penalty):
    return lambda kernel, bias: plain(kernel, bias) + penalty(kernel, bias)


def at_most_half(kernel):
    norms = np.sqrt(np.sum(np.square(kernel), axis=0))
    return kernel * np.minimum(norms, 0.5) / (1e-7 + norms)


# options of the layer, of compile and of fit; the loss that follows from them; what becomes of the new kernel
CASES = {
    "plain": ({}, {}, {}, plain, None),
    "kernel_regularizer": (
        {"kernel_regularizer": regularizers.l2(0.3)}, {}, {},
        with_penalty(lambda kernel, bias: 0.3 * jnp.sum(kernel**2)), None,
    ),
    "bias_regularizer": (
        {"bias_regularizer": regularizers.l1(0.3)}, {}, {},
        with_penalty(lambda kernel, bias: 0.3 * jnp.sum(jnp.abs(bias))), None,
    ),
    "activity_regularizer": (
        {"activity_regularizer": regularizers.l2(0.2)}, {}, {},
        with_penalty(lambda kernel, bias: 0.2 * jnp.sum((X @ kernel + bias) ** 2)), None,
    ),
    "kernel_constraint": ({"kernel_constraint": constraints.max_norm(0.5)}, {}, {}, plain, at_most_half),
    "sample_weight": (
        {}, {}, {"sample_weight": WEIGHTS}, lambda kernel, bias: mean_of(squares(kernel, bias), WEIGHTS), None,
    ),
    "class_weight": (
        {}, {}, {"class_weight": {0: 1.0, 1: 4.0}},
        lambda kernel, bias: mean_of(squares(kernel, bias), np.where(Y[:, 0] == 1, 1.0, 4.0)), None,
    ),
    "loss_weights": ({}, {"loss_weights": [0.25]}, {}, lambda kernel, bias: 0.25 * plain(kernel, bias), None),
}  # fmt: skip


def dense(options, arguments):
    model = Sequential([Dense(2, input_shape=(3,), **options)])
    model.set_weights([KERNEL, BIAS])
    model.compile(optimizers.SGD(lr=RATE), "mse", **arguments)
    return model


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(("options", "arguments", "fitting", "loss", "after"), CASES.values(), ids=CASES)
def test_a_step_follows_the_loss(options, arguments, fitting, loss, after, devices):
    model = dense(options, {"devices": devices, **arguments})
    history = model.fit(X, Y, batch_size=ROWS, epochs=1, verbose=0, **fitting).history
    value, (kernel, bias) = jax.value_and_grad(loss, argnums=(0, 1))(KERNEL, BIAS)
    expected = KERNEL - RATE * kernel
    close(model.get_weights(), [after(expected) if after else expected, BIAS - RATE * bias])
    close(history["loss"], [value])


def test_metrics_are_weighted_where_asked_for():
    model = dense({}, {"metrics": ["mae"], "weighted_metrics": ["mse"]})
    by_hand = [
        mean_of(squares(KERNEL, BIAS), WEIGHTS),
        jnp.mean(jnp.abs(X @ KERNEL + BIAS - Y)),
        mean_of(squares(KERNEL, BIAS), WEIGHTS),
    ]
    assert model.metrics_names == ["loss", "mean_absolute_error", "weighted_mean_squared_error"]
    close(model.test_on_batch(X, Y, sample_weight=WEIGHTS), by_hand)
    close(model.train_on_batch(X, Y, sample_weight=WEIGHTS), by_hand)


def test_losses_of_several_outputs_are_weighted_and_added():
    x = Input((3,))
    model = Model(x, [Dense(2, name="a")(x), Dense(2, name="b")(x)])
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.5, "b": 3.0})
    total, first, second = model.evaluate(X, [Y, Y], verbose=0)
    outputs = model.predict(X)
    close([first, second], [np.mean((outputs[0] - Y) ** 2), np.mean(np.abs(outputs[1] - Y))])
    assert total == pytest.approx(0.5 * first + 3.0 * second, rel=1e-5)


def test_masked_steps_are_left_out_of_the_loss():
    sequences, targets = draw(4, 5, 3, seed=3), draw(4, 5, 2, seed=4)
    sequences[0, 2:] = sequences[1, :1] = 0
    model = Sequential([layers.Masking(input_shape=(5, 3)), layers.TimeDistributed(Dense(2))])
    model.compile(optimizers.SGD(lr=RATE), "mse", metrics=["mae"])
    before, here = model.get_weights(), np.any(sequences != 0, axis=-1)

    def loss(kernel, bias):
        return jnp.mean(jnp.mean(jnp.square(sequences @ kernel + bias - targets), axis=-1)[here])

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(*before)
    absolute = np.mean(np.abs(sequences @ before[0] + before[1] - targets)[here])
    close(model.train_on_batch(sequences, targets), [value, absolute])
    close(model.get_weights(), [weight - RATE * step for weight, step in zip(before, gradients, strict=True)])


def test_a_mean_is_over_examples_whatever_the_batches():
    """Eight examples in batches of three: the last counts two thirds of the others."""
    model = dense({}, {"metrics": ["mae"]})
    found = model.evaluate(X, Y, batch_size=3, verbose=0)
    close(found, [plain(KERNEL, BIAS), np.mean(np.abs(X @ KERNEL + BIAS - Y))])
    model.optimizer.lr = 0.0
    history = model.fit(X, Y, batch_size=3, verbose=0, validation_data=(X, Y)).history
    close([history[name][0] for name in ("loss", "mean_absolute_error")], found)
    close([history[name][0] for name in ("val_loss", "val_mean_absolute_error")], found)


def normed(frozen):
    norm = layers.BatchNormalization(input_shape=(3,), name="norm", trainable=not frozen)
    model = Sequential([norm, Dense(2)])
    model.compile("sgd", "mse")
    return model, norm


def test_averages_move_in_training_alone_and_not_if_frozen():
    for frozen in (False, True):
        model, norm = normed(frozen)
        before = norm.get_weights()
        model.evaluate(X, Y, verbose=0)
        model.test_on_batch(X, Y)
        model.predict(X)
        assert same_bits(before, norm.get_weights())
        model.fit(X, Y, epochs=1, verbose=0)
        assert same_bits(before[2:], norm.get_weights()[2:]) == frozen
        assert same_bits(before[:2], norm.get_weights()[:2]) == frozen


def test_every_step_and_every_batch_draws_anew():
    x = Input((200,))
    model = Model(x, layers.Dropout(0.5)(x, training=True))
    model.compile(optimizers.SGD(0.0), "mse")
    ones = np.ones((2, 200), "float32")
    random.seed(1)
    first, second = model.predict(ones, batch_size=1)
    assert not np.array_equal(first, second)
    drop = Sequential([layers.Dropout(0.5, input_shape=(200,)), Dense(1)])
    drop.compile(optimizers.SGD(0.0), "mse")
    drop.set_weights([draw(200, 1), np.zeros(1)])
    seen = {drop.train_on_batch(ones[:1], ones[:1, :1]) for _ in range(3)}
    assert len(seen) == 3


class Counting(layers.Layer):
    """A layer in Keras style that counts the batches it has seen."""

    def build(self, input_shape):
        self.count = self.add_weight("count", (1,), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs):
        self.add_update(K.update_add(self.count, 1.0))
        return inputs


def test_updates_are_made_by_training_alone():
    layer = Counting(input_shape=(3,))
    model = Sequential([layer, Dense(2)])
    model.compile("sgd", "mse")
    counted = []
    for act in (model.evaluate, model.test_on_batch, lambda x, y: model.predict(x), model.train_on_batch, model.fit):
        act(X, Y)
        counted.append(float(layer.get_weights()[0][0]))
    assert counted == [0, 0, 0, 1, 2]
