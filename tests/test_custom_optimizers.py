"""Optimizers that users write for Keras 2.2.4 with `get_updates`: its numbers, compiled into the same step.

The weights in `EXPECTED` are those of the real Keras 2.2.4 (TensorFlow 1.14, all new values computed from the old ones
before any is assigned): the text of `written_optimizers.py` below its imports was run there, and for each `name` the
`network()` compiled with `MADE[name]()` and 'mse' was trained ten times by `train_on_batch(X, Y)`.
"""

import copy
import dataclasses

import jax
import numpy as np
import optax
import pytest
from written_optimizers import MADE, Multiplied, WrittenAdam, X, Y, network

import jkeras
from jkeras import backend as K
from jkeras import callbacks, constraints, layers, models
from jkeras.optimizers import SGD, Adam, Nadam, Optimizer, RMSprop, serialize

# fmt: off
EXPECTED = {
    "adam": [
        0.987291, 0.06789346, -0.8041747, 0.1589214, 0.6196705, 0.28391, 0.4821072, 0.07071128, -0.6998159,
        1.193236, 0.1512027, -0.6000594, 0.1673528, 0.6490945, 0.2561483, 1.193016, 0.07102565,
    ],
    "amsgrad": [
        0.9698031, 0.009067033, -0.7530712, 0.2438892, 0.5179033, 0.3812313, 0.370975, -0.02314, -0.6919749,
        1.30171, 0.1538087, -0.4741432, 0.2606221, 0.5375957, 0.3028465, 1.311655, -0.0678561,
    ],
    "multiplied": [
        0.9507002, 0.2123606, -0.9248413, 0.2616221, 0.5478526, 0.1489384, 0.09760428, 0.7375698, -0.8217148,
        1.233203, 0.4947962, -0.3484178, 0.1556487, 0.5583502, -0.1292041, 1.755028, -0.3624239,
    ],
    "accumulated": [
        0.9986213, 0.2854374, -0.9178759, 0.05248814, 0.7296693, 0.03139611, 0.6595197, 0.4961052, -0.9547302,
        1.208555, 0.2822534, -0.4078592, -0.02290822, 0.6022214, 0.08977328, 1.222653, -0.1459697,
    ],
    "accumulated adam": [
        0.9986264, 0.1596587, -0.9327576, 0.05239401, 0.683475, 0.1584885, 0.6038182, 0.2006869, -0.72655,
        1.078989, 0.1956663, -0.7137622, 0.03118374, 0.7610049, 0.1613513, 1.078946, 0.1898384,
    ],
    "averaged": [
        0.9612972, 0.3459047, -0.9269331, -0.01141299, 0.8390772, 0.003378332, 0.7359153, 0.4813132, -0.9586669,
        1.141617, 0.2908414, -0.5293579, -0.08576873, 0.6825978, 0.09262732, 1.163911, -0.04121773,
    ],
    "penalized": [
        0.8743908, 0.3295695, -0.8954208, -0.09164614, 0.8283362, -0.02796161, 0.7676789, 0.3936135, -0.8661393,
        0.9907871, 0.2869388, -0.7587638, -0.1480777, 0.8102818, 0.05621149, 1.008036, 0.2224076,
    ],
    "centered": [
        0.8028365, 0.8260937, -0.987978, -0.1435292, 0.5167092, 0.1545936, 0.3481205, 0.3279807, -0.8967013,
        1.269506, 0.02189158, -0.4829156, 0.3120429, 0.5454186, 0.2688211, 1.266653, -0.0240569,
    ],
}
# fmt: on


def trained(optimizer, steps=10):
    model = network()
    model.compile(optimizer, "mse")
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return model


def flat(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.parametrize("name", MADE)
def test_the_numbers_are_those_of_keras(name):
    np.testing.assert_allclose(flat(trained(MADE[name]())), EXPECTED[name], rtol=2e-5, atol=1e-5)


def test_the_formula_and_the_built_in_agree():
    options = {"lr": 0.05, "decay": 0.1, "clipnorm": 0.8}
    written, own = trained(WrittenAdam(**options)), trained(Adam(**options))
    np.testing.assert_allclose(flat(written), flat(own), rtol=0, atol=2e-6)
    saved = [model.optimizer.get_weights() for model in (written, own)]
    for got, expected in zip(*saved, strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------------------------------------------ in a model


def counted(optimizer):
    """The optimizer, and a list that grows with each trace of a step."""
    traces = []
    own = optimizer.as_rule

    def as_rule(weights=None):
        rule = own(weights)
        return dataclasses.replace(rule, step=lambda *args, **kwargs: traces.append(1) or rule.step(*args, **kwargs))

    optimizer.__dict__["as_rule"] = as_rule
    return optimizer, traces


WAYS = {
    "set_value": lambda model, rate: K.set_value(model.optimizer.lr, rate),
    "attribute": lambda model, rate: setattr(model.optimizer, "lr", rate),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [WrittenAdam, Multiplied], ids=["variables", "built-in's numbers"])
def test_a_new_learning_rate_compiles_nothing(make, way):
    optimizer, traces = counted(make(lr=0.1))
    model = network()
    model.compile(optimizer, "mse")
    model.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    seen = len(traces)
    assert seen > 0
    WAYS[way](model, 0.0)
    before = flat(model)
    model.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    if make is WrittenAdam:  # no momentum that goes on by itself
        np.testing.assert_allclose(flat(model), before, rtol=0, atol=1e-6)
    schedule = callbacks.LearningRateScheduler(lambda epoch: 0.1 * (epoch + 1))
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[schedule])
    assert not np.allclose(flat(model), before, rtol=0, atol=1e-3)
    assert K.get_value(model.optimizer.lr) == np.float32(0.3)
    assert int(K.get_value(model.optimizer.iterations)) == 10
    assert len(traces) == seen


def test_slots_and_iterations_can_be_read_and_set():
    model = trained(WrittenAdam(lr=0.1), steps=2)
    optimizer = model.optimizer
    assert int(K.get_value(optimizer.iterations)) == int(optimizer.state.iterations) == 2
    assert [variable.shape for variable in optimizer.weights] == [weight.shape for weight in optimizer.get_weights()]
    assert np.any(K.get_value(optimizer.weights[1]))
    K.set_value(optimizer.iterations, 7)
    K.set_value(optimizer.weights[1], np.full((2, 3), 100.0))
    model.train_on_batch(X[:4], Y[:4])
    assert optimizer.get_weights()[0] == 8
    assert optimizer.get_weights()[0].dtype == np.int64
    np.testing.assert_allclose(K.get_value(optimizer.weights[1]), np.full((2, 3), 90.0), atol=1.0)
    np.testing.assert_array_equal(K.get_value(optimizer.weights[1]), optimizer.get_weights()[1])
    model.compile(optimizer, "mse")  # forgets the slots, not the iterations, as in Keras
    assert optimizer.weights == optimizer.get_weights() == []
    model.train_on_batch(X, Y)
    assert optimizer.get_weights()[0] == 9


def test_devices_give_the_same_weights():
    results = []
    for devices in (None, 2):
        model = network()
        model.compile(MADE["accumulated adam"](), "mse", devices=devices)
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, key=3)
        results.append(flat(model))
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "multiplied"])
def test_training_goes_on_after_loading(name, tmp_path):
    model = trained(MADE[name](), steps=3)
    model.save(tmp_path / "model.h5")
    objects = {"WrittenAdam": WrittenAdam, "Multiplied": Multiplied}
    again = models.load_model(tmp_path / "model.h5", custom_objects=objects)
    assert serialize(again.optimizer) == serialize(model.optimizer)
    for got, expected in zip(again.optimizer.get_weights(), model.optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    for one in (model, again):
        one.train_on_batch(X, Y)
    np.testing.assert_allclose(flat(again), flat(model), rtol=1e-6)


def test_models_may_share_one():
    optimizer = WrittenAdam(lr=0.05)
    first, second = network(), network()
    for model in (first, second):
        model.compile(optimizer, "mse")
    for _ in range(2):
        first.train_on_batch(X, Y)
        second.train_on_batch(X[:5], Y[:5])
    assert int(K.get_value(optimizer.iterations)) == 4
    assert optimizer.source is second.trainer.optimized
    slots = optimizer.get_weights()
    first.train_on_batch(X, Y)
    assert not np.allclose(slots[1], optimizer.get_weights()[1])


def test_copies_are_independent():
    optimizer = trained(WrittenAdam(lr=0.5), steps=1).optimizer
    other = copy.deepcopy(optimizer)
    other.lr = 0.25
    assert (float(K.get_value(optimizer.lr)), float(K.get_value(other.lr))) == (0.5, 0.25)


# ---------------------------------------------------------------------------------------------------- as a function

PARAMS = {"b": np.float32([1.0, -2.0]), "a": {"kernel": np.float32([[3.0, 4.0]])}}


class Plain(Optimizer):
    """SGD whose next values are those that `write(g, p, loss)` gives; what it saw is kept."""

    def __init__(self, write=None, **kwargs):
        super().__init__(**kwargs)
        self.write = write or (lambda p, g, loss: p - 0.5 * g)
        self.last = K.variable(0.0)

    def get_updates(self, loss, params):
        self.names = [p.name for p in params]
        grads = self.get_gradients(loss, params)
        return [(p, self.write(p, g, loss)) for p, g in zip(params, grads, strict=True)]


def step(optimizer, **given):
    rule = optimizer.as_rule()
    return rule(PARAMS, rule.init(PARAMS), PARAMS, **given)[0]


def test_outside_of_a_model():
    optimizer = Plain()
    np.testing.assert_allclose(step(optimizer)["a"]["kernel"], [[1.5, 2.0]])
    assert optimizer.names == ["a/kernel:0", "b:0"]
    updates, _ = jax.jit(optimizer.update)(PARAMS, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["b"], [-0.5, 1.0])
    chain = optax.chain(Plain().transformation(), optax.scale(2.0))
    doubled, _ = chain.update(PARAMS, chain.init(PARAMS), PARAMS)
    np.testing.assert_allclose(doubled["b"], [-1.0, 2.0])


def test_another_seed_compiles_nothing():
    optimizer, traces = WrittenAdam(), []

    @jax.jit
    def update(params, state):
        traces.append(1)
        return optimizer.update(params, state, params)

    first = update(PARAMS, optimizer.init(PARAMS))[1]
    second = update(PARAMS, optimizer.init(PARAMS))[1]
    assert len(traces) == 1
    jax.tree.map(np.testing.assert_array_equal, first, second)
    optimizer.amsgrad = True  # another program
    update(PARAMS, optimizer.init(PARAMS))
    assert len(traces) == 2
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), PARAMS)
    states = jax.vmap(optimizer.init)(stacked)
    updates, _ = jax.vmap(optimizer.update)(stacked, states, stacked)
    alone, _ = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["b"][0], alone["b"], rtol=1e-5)


@pytest.mark.parametrize("make", [WrittenAdam, Adam])
def test_numbers_go_into_the_state_and_back(make):
    optimizer = make(lr=0.5)
    state = optimizer.init(PARAMS)
    optimizer.lr = 0.25
    state = optimizer.with_hyperparameters(state)
    optimizer.lr = 0.125
    optimizer.take_hyperparameters(state)
    assert K.get_value(optimizer.lr) == 0.25


VALUES = {
    "loss": lambda p, g, loss: p * 0.0 + loss,
    "square of the loss": lambda p, g, loss: K.gradients(K.square(loss), [p])[0] / (2.0 * g),
    "scaled loss": lambda p, g, loss: K.gradients(7.0 * loss, [p])[0] * 3.0 / (7.0 * g),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_value_of_the_loss(name):
    for leaf in jax.tree.leaves(step(Plain(VALUES[name]), value=3.0)):
        np.testing.assert_allclose(leaf, np.full_like(leaf, 3.0), rtol=1e-6)
    if name == "loss":
        with pytest.raises(ValueError, match=r"Plain.get_updates uses the value of the loss.*value="):
            step(Plain(VALUES[name]))
    if name == "square of the loss":
        assert np.all(np.isnan(step(Plain(VALUES[name]))["b"]))


def test_random_numbers_come_from_the_key():
    def noisy():
        return Plain(lambda p, g, loss: p + K.random_normal(K.int_shape(p)))

    first, again, other = (step(noisy(), key=jax.random.key(seed))["b"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match=r"Plain.get_updates draws random numbers.*key="):
        step(noisy())


def returning(function):
    class Odd(Optimizer):
        def get_updates(self, loss, params):
            return function(self, loss, params)

    return Odd()


def test_what_is_added_adds_up():
    def twice(self, loss, params):
        updates = [K.update(p, p * 2.0) for p in params]
        return updates + [K.update_sub(p, 1.0) for p in params] + [K.update_add(p, 0.5) for p in params]

    np.testing.assert_allclose(step(returning(twice))["b"], 2 * PARAMS["b"] - 0.5)


def test_an_update_that_only_goes_into_others_counts():
    def nested(self, loss, params):
        self.last = K.variable(5.0)
        self.weights = [self.last]
        last = K.update(self.last, self.last + 1.0)
        return [K.update(p, p * 0.0 + last) for p in params]

    optimizer = returning(nested)
    rule = optimizer.as_rule()
    params, state = rule(PARAMS, rule.init(PARAMS), PARAMS)
    np.testing.assert_allclose(params["b"], [6.0, 6.0])
    assert [float(value) for value in state.slots] == [6.0]


def two_assignments(self, loss, params):
    return [K.update(p, p * factor) for p in params for factor in (2.0, 3.0)]


def on_a_condition(self, loss, params):
    return [K.switch(K.equal(self.iterations, 0), K.update(p, p * 2.0), p) for p in params]


MISTAKES = {
    "nothing": (
        lambda self, loss, params: [],
        ValueError,
        r"Odd.get_updates returned no update of any of the 2 weights",
    ),
    "None": (lambda self, loss, params: None, TypeError, "Odd.get_updates must return a list of updates.*None"),
    "no update": (lambda self, loss, params: params, TypeError, "Odd.*what K.update and its like return"),
    "no variable": (lambda self, loss, params: [(loss, 1.0)], TypeError, "Odd.*no variable"),
    "shape": (lambda self, loss, params: [(params[0], params[1])], ValueError, r"Odd.*\(1, 2\).*\(2,\)"),
    "condition": (on_a_condition, TypeError, "Odd.*K.switch"),
    "hole": (lambda self, loss, params: [(p, p + K.placeholder(shape=())) for p in params], ValueError, "Odd.*input"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    function, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        returning(function).init(PARAMS)


# ------------------------------------------------------------------------------------------ get_updates of built-ins


BUILT_IN = {
    "SGD": lambda: SGD(lr=0.1, momentum=0.9, nesterov=True, decay=0.1),
    "RMSprop": lambda: RMSprop(lr=0.02),
    "Adam": lambda: Adam(lr=0.05, clipnorm=0.8, amsgrad=True),
    "Nadam": lambda: Nadam(lr=0.05, clipvalue=0.1),
    "optax": lambda: jkeras.optimizers.get(optax.adam(0.05)),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_function_that_trains(name):
    """`K.function(updates=opt.get_updates(...))`, as in reinforcement learning, makes the steps of `train_on_batch`."""
    expected = trained(BUILT_IN[name](), steps=4)
    model, optimizer = network(), BUILT_IN[name]()
    targets = K.placeholder(shape=(None, 2))
    loss = K.mean(K.square(model.output - targets))
    updates = optimizer.get_updates(loss=loss, params=model.trainable_weights)
    train = K.function([model.input, targets], [loss], updates=updates)
    losses = [float(train([X, Y])[0]) for _ in range(4)]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(flat(model), flat(expected), rtol=0, atol=2e-6)
    assert len(optimizer.weights) == len(expected.optimizer.weights)
    if name != "optax":  # whose slots follow the order of the leaves
        for got, wanted in zip(optimizer.get_weights(), K.batch_get_value(expected.optimizer.weights), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-6)
    optimizer.set_weights([weight * 0 for weight in optimizer.get_weights()])
    assert not any(np.any(K.get_value(variable)) for variable in optimizer.weights)
    if name != "optax":
        optimizer.lr = 0.0
        before = flat(model)
        train([X, Y])
        np.testing.assert_allclose(flat(model), before, rtol=0, atol=1e-6)


def test_a_function_that_trains_by_an_optimizer_of_the_users():
    expected, model = trained(MADE["adam"](), steps=4), network()
    targets = K.placeholder(shape=(None, 2))
    loss = K.mean(K.square(model.output - targets))
    optimizer = MADE["adam"]()
    train = K.function([model.input, targets], [], updates=optimizer.get_updates(loss, model.trainable_weights))
    for _ in range(4):
        train([X, Y])
    np.testing.assert_allclose(flat(model), flat(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "ask",
    [
        lambda opt, loss, x: opt.get_updates(loss, [x]),
        lambda opt, loss, x: opt.get_updates(params=[x], loss=loss),
        lambda opt, loss, x: opt.get_updates([x], {}, loss),
        lambda opt, loss, x: opt.get_updates([x], {}, loss=loss),
    ],
)
def test_the_arguments_of_keras_1_and_2(ask):
    x = K.variable([4.0, -3.0])
    optimizer = SGD(lr=0.25)
    updates = ask(optimizer, K.sum(K.square(x)), x)
    assert updates is optimizer.updates
    K.function([], [], updates=updates)([])
    np.testing.assert_allclose(K.get_value(x), [2.0, -1.5])
    assert int(K.get_value(optimizer.iterations)) == 1


def test_constraints_and_missing_gradients():
    x, other = K.variable([4.0, -3.0], constraint=constraints.non_neg()), K.variable(1.0, name="other")
    loss = K.sum(K.square(x))
    K.function([], [], updates=SGD(lr=0.25).get_updates(loss, [x]))([])
    np.testing.assert_allclose(K.get_value(x), [2.0, 0.0])
    with pytest.raises(ValueError, match="SGD.get_gradients: .*`None` for other"):
        SGD().get_updates(loss, [x, other])
    with pytest.raises(TypeError, match="loss, params"):
        SGD().get_updates(loss)


def test_super_get_updates():
    class Decayed(Adam):
        def get_updates(self, loss, params):
            updates = super().get_updates(loss, params)
            return updates + [K.update_sub(p, 0.1 * self.lr * p) for p in params]

    decayed, plain = trained(Decayed(lr=0.5), steps=1), trained(Adam(lr=0.5), steps=1)
    kernel = network().get_weights()[2]
    change = decayed.get_weights()[2] - plain.get_weights()[2]
    np.testing.assert_allclose(change, -0.05 * kernel, rtol=1e-4, atol=1e-6)
    assert [v.shape for v in decayed.optimizer.weights] == [v.shape for v in plain.optimizer.weights]


# ------------------------------------------------------------------- what the step hands over: key, loss, constraints


def fitted(make, devices=None, constraint=None, epochs=2):
    model = models.Sequential([layers.Dense(3, input_shape=(2,), kernel_constraint=constraint), layers.Dense(2)])
    model.set_weights([np.sin(1.7 * np.arange(w.size) + 1.0).reshape(w.shape) for w in model.get_weights()])
    model.compile(make(), "mse", devices=devices)
    model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, key=3)
    return model


def test_noise_comes_from_the_key_of_the_run():
    def noisy():
        return Plain(lambda p, g, loss: p - 0.1 * g + 0.01 * K.random_normal(K.int_shape(p)))

    one, again, two = (flat(fitted(noisy, devices)) for devices in (None, None, 2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)
    quiet = flat(fitted(lambda: Plain(lambda p, g, loss: p - 0.1 * g)))
    assert np.all(np.abs(one - quiet) > 0)
    assert not np.allclose((one - quiet)[:2], (one - quiet)[2:4])


def test_the_loss_of_the_step_can_be_kept():
    class Keeping(Plain):
        def get_updates(self, loss, params):
            return [*super().get_updates(loss, params), K.update(self.last, loss)]

    model = network()
    model.compile(Keeping(), "mse")
    loss = model.train_on_batch(X, Y)
    np.testing.assert_allclose(K.get_value(model.optimizer.last), loss, rtol=1e-6)


@pytest.mark.parametrize("times", [0, 1])
def test_constraints_are_the_optimizers_to_apply(times):
    halfway = constraints.MinMaxNorm(min_value=0.0, max_value=0.1, rate=0.5)  # not the same twice as once

    class Constrained(Plain):
        def get_updates(self, loss, params):
            updates = [(p, p - 0.0 * g) for p, g in zip(params, self.get_gradients(loss, params), strict=True)]
            return [(p, p.constraint(new) if p.constraint and times else new) for p, new in updates]

    before = np.sin(1.7 * np.arange(6) + 1.0).reshape(2, 3)
    kernel = fitted(Constrained, constraint=halfway, epochs=1).get_weights()[0]
    expected = before
    for _ in range(2 * times):  # two batches
        norms = np.sqrt(np.sum(expected**2, axis=0))
        expected = expected * (0.5 * np.clip(norms, 0.0, 0.1) + 0.5 * norms) / (1e-7 + norms)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)
