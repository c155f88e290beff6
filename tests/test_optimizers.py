"""Optimizers: three steps against the formulas in numpy, saved order, configs, jit and vmap, no second trace."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jkeras import config, optimizers
from jkeras.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop
from jkeras.optimizers.view import Held
from jkeras.serialize.objects import custom_object_scope

RANDOM = np.random.RandomState(0)
SHAPES = {"b": (3,), "a": (2, 3)}  # written in Keras's order, which is not the order of the leaves
PARAMS = {name: RANDOM.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}
GRADIENTS = [{name: RANDOM.normal(size=shape).astype("float32") for name, shape in SHAPES.items()} for _ in range(3)]
WEIGHTS = {(name,): None for name in SHAPES}
EPSILON = 1e-7


# The formulas, in float64, with loops of their own: expected(gradients, **options) -> updates, then the saved slots.


def sgd(gradients, lr=0.01, momentum=0.0, decay=0.0, nesterov=False):
    v = 0
    for t, g in enumerate(gradients):
        rate = lr / (1 + decay * t)
        v = momentum * v - rate * g
        yield (momentum * v - rate * g) if nesterov else v
    yield [v]


def rmsprop(gradients, lr=0.001, rho=0.9, epsilon=EPSILON, decay=0.0):
    a = 0
    for t, g in enumerate(gradients):
        a = rho * a + (1 - rho) * g**2
        yield -lr / (1 + decay * t) * g / (np.sqrt(a) + epsilon)
    yield [a]


def adagrad(gradients, lr=0.01, epsilon=EPSILON, decay=0.0):
    a = 0
    for t, g in enumerate(gradients):
        a = a + g**2
        yield -lr / (1 + decay * t) * g / (np.sqrt(a) + epsilon)
    yield [a]


def adadelta(gradients, lr=1.0, rho=0.95, epsilon=EPSILON, decay=0.0):
    a = d = 0
    for t, g in enumerate(gradients):
        a = rho * a + (1 - rho) * g**2
        u = g * np.sqrt(d + epsilon) / np.sqrt(a + epsilon)
        d = rho * d + (1 - rho) * u**2
        yield -lr / (1 + decay * t) * u
    yield [a, d]


def adam(gradients, lr=0.001, beta_1=0.9, beta_2=0.999, epsilon=EPSILON, decay=0.0, amsgrad=False):
    m = v = largest = 0
    for t, g in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        largest = np.maximum(largest, v) if amsgrad else v
        rate = lr / (1 + decay * (t - 1)) * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        yield -rate * m / (np.sqrt(largest) + epsilon)
    yield [m, v, largest if amsgrad else np.zeros(1)]


def adamax(gradients, lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=EPSILON, decay=0.0):
    m = u = 0
    for t, g in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * g
        u = np.maximum(beta_2 * u, np.abs(g))
        yield -lr / (1 + decay * (t - 1)) / (1 - beta_1**t) * m / (u + epsilon)
    yield [m, u]


def nadam(gradients, lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=EPSILON, schedule_decay=0.004):
    def mu(t):
        return beta_1 * (1 - 0.5 * 0.96 ** (t * schedule_decay))

    m = v = 0
    for t, g in enumerate(gradients, 1):
        product = np.prod([mu(i) for i in range(1, t + 1)])
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        ahead = (1 - mu(t)) * g / (1 - product) + mu(t + 1) * m / (1 - product * mu(t + 1))
        yield -lr * ahead / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
    yield [m, v]


CASES = [
    (SGD, sgd, {}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    (SGD, sgd, {"lr": 0.1, "decay": 0.5}),
    (RMSprop, rmsprop, {}),
    (RMSprop, rmsprop, {"lr": 0.02, "rho": 0.7, "epsilon": 1e-2, "decay": 0.3}),
    (Adagrad, adagrad, {}),
    (Adagrad, adagrad, {"lr": 0.05, "epsilon": 1e-2, "decay": 0.3}),
    (Adadelta, adadelta, {}),
    (Adadelta, adadelta, {"lr": 0.5, "rho": 0.8, "epsilon": 1e-3, "decay": 0.3}),
    (Adam, adam, {}),
    (Adam, adam, {"lr": 0.02, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-2, "decay": 0.3}),
    (Adam, adam, {"beta_2": 0.2, "amsgrad": True}),
    (Adamax, adamax, {}),
    (Adamax, adamax, {"lr": 0.02, "beta_1": 0.7, "beta_2": 0.5, "epsilon": 1e-2, "decay": 0.3}),
    (Nadam, nadam, {}),
    (Nadam, nadam, {"lr": 0.02, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-2, "schedule_decay": 2.0}),
]
IDS = [f"{case[0].__name__}-{'-'.join(case[2]) or 'default'}" for case in CASES]
ITERATIONS = {SGD: True, Adam: True, Adamax: True, Nadam: True, RMSprop: False, Adagrad: False, Adadelta: False}


def run(optimizer, steps=3, state=None):
    """The updates of some steps under one jit, and the last state."""
    update = jax.jit(optimizer.update)
    state = optimizer.init(PARAMS) if state is None else state
    updates = []
    for gradients in GRADIENTS[:steps]:
        result, state = update(gradients, state, PARAMS)
        updates.append(result)
    return updates, state


@pytest.mark.parametrize(("cls", "formula", "options"), CASES, ids=IDS)
def test_three_steps(cls, formula, options):
    optimizer = cls(**options)
    updates, state = run(optimizer)
    optimizer.watch(Held(optimizer.as_rule(WEIGHTS), state))
    expected = {}
    for name in SHAPES:
        *steps, expected[name] = formula([gradient[name].astype("float64") for gradient in GRADIENTS], **options)
        for got, wanted in zip(updates, steps, strict=True):
            np.testing.assert_allclose(got[name], wanted, rtol=2e-5)
    saved = optimizer.get_weights()
    if ITERATIONS[cls]:
        iterations = saved.pop(0)
        assert iterations == 3
        assert iterations.dtype == np.int64
    slots = [[expected[name][place] for name in SHAPES] for place in range(len(expected["a"]))]
    for got, wanted in zip(saved, [array for arrays in slots for array in arrays], strict=True):
        assert got.shape == np.shape(wanted)
        np.testing.assert_allclose(got, wanted, rtol=2e-5)


@pytest.mark.parametrize(("cls", "formula", "options"), CASES, ids=IDS)
def test_eager_equals_jit_and_types_stay(cls, formula, options):
    optimizer = cls(**options)
    eager = jitted = optimizer.init(PARAMS)
    for gradients in GRADIENTS:
        left, eager = optimizer.update(gradients, eager)
        right, jitted = jax.jit(optimizer.update)(gradients, jitted)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9), (left, eager), (right, jitted)
        )
    specs = [jax.tree.map(lambda a: (np.shape(a), a.dtype), state) for state in (optimizer.init(PARAMS), jitted)]
    assert specs[0] == specs[1]


@pytest.mark.parametrize(("cls", "formula", "options"), CASES, ids=IDS)
def test_config_round_trip(cls, formula, options):
    optimizer = cls(clipnorm=1.5, **options)
    kept = optimizer.get_config()
    assert kept["clipnorm"] == 1.5
    for name, value in options.items():
        assert kept[name] == pytest.approx(value, rel=1e-6)
    assert kept["lr"] == float(optimizer.lr)
    assert all(type(value) in (float, bool) for value in kept.values())
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(again) is cls
    assert again.get_config() == kept


def test_config_has_keras_names():
    assert SGD().get_config().keys() == {"lr", "momentum", "decay", "nesterov"}
    assert Nadam(clipvalue=0.5).get_config().keys() == {
        "clipvalue", "lr", "beta_1", "beta_2", "epsilon", "schedule_decay"
    }  # fmt: skip
    assert Adam().get_config()["lr"] == float(np.float32(0.001))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clipvalue": 0.25}, [[-0.25], [0.25, 0.25]]),
        ({"clipnorm": 1.5}, [[-0.5], [1.0, 1.0]]),  # the norm of all together is 3
        ({"clipnorm": 3.5}, [[-1.0], [2.0, 2.0]]),
        ({"clipnorm": 0.0, "clipvalue": 0.0}, [[-1.0], [2.0, 2.0]]),
    ],
)
def test_clipping(options, expected):
    gradients = [np.float32([-1]), np.float32([2, 2])]
    optimizer = SGD(lr=1.0, **options)
    updates, _ = optimizer.update(gradients, optimizer.init(gradients))
    for got, wanted in zip(updates, expected, strict=True):
        np.testing.assert_allclose(-got, wanted, rtol=1e-6)


def test_norm_is_clipped_before_values():
    gradients = [np.float32([30.0, 40.0])]
    optimizer = SGD(lr=1.0, clipnorm=1.0, clipvalue=0.7)
    updates, _ = optimizer.update(gradients, optimizer.init(gradients))
    np.testing.assert_allclose(-updates[0], [0.6, 0.7], rtol=1e-6)
    zero = jax.tree.map(np.zeros_like, gradients)
    assert not np.any(optimizer.update(zero, optimizer.init(zero))[0][0])


def test_changing_numbers_traces_once():
    traces = []
    optimizer = Adam(lr=0.1, decay=0.1)

    @jax.jit
    def step(gradients, state):
        traces.append(1)
        return optimizer.update(gradients, state)

    state, updates = optimizer.init(PARAMS), []
    for lr in (0.1, 0.1, 0.2):
        optimizer.lr = lr
        optimizer.beta_1 = 0.0
        result, state = step(GRADIENTS[0], optimizer.with_hyperparameters(state))
        updates.append(result["a"])
    assert len(traces) == 1
    # With one gradient and beta_1 = 0 all updates are lr / (1 + decay * t) in size.
    for t, (lr, got) in enumerate(zip((0.1, 0.1, 0.2), updates, strict=True)):
        np.testing.assert_allclose(np.abs(got), lr / (1 + 0.1 * t), rtol=1e-4)


def test_decay_that_was_zero_stays_zero():
    optimizer = SGD(lr=1.0)
    optimizer.decay = 5.0
    updates, _ = run(optimizer)
    np.testing.assert_allclose(updates[2]["a"], -GRADIENTS[2]["a"])


def test_vmap_over_seeds_and_optax_chain():
    optimizer = Adam()
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), PARAMS)
    state = jax.vmap(optimizer.init)(stacked)
    updates, _ = jax.vmap(optimizer.update)(stacked, state, stacked)
    alone, _ = optimizer.update(PARAMS, optimizer.init(PARAMS))
    np.testing.assert_allclose(updates["a"][0], alone["a"], rtol=1e-6)
    chain = optax.chain(optimizer.transformation(), optax.scale(2.0))
    doubled, _ = chain.update(PARAMS, chain.init(PARAMS), PARAMS)
    np.testing.assert_allclose(doubled["a"], 2 * alone["a"], rtol=1e-6)


def test_scan_carries_the_state():
    optimizer = Nadam()
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *GRADIENTS)
    state = jax.tree.map(jnp.asarray, optimizer.init(PARAMS))
    _, updates = jax.lax.scan(lambda state, g: optimizer.update(g, state)[::-1], state, stacked)
    np.testing.assert_allclose(updates["a"][2], run(optimizer)[0][2]["a"], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_parameters_have_wide_slots(dtype):
    params = {"a": jnp.ones(3, dtype)}
    optimizer = Adam(lr=0.5)
    state = optimizer.init(params)
    updates, state = jax.jit(optimizer.update)(params, state)
    assert updates["a"].dtype == dtype
    assert state.slots["v"]["a"].dtype == jnp.float32
    np.testing.assert_allclose(updates["a"].astype("float32"), -0.5, rtol=1e-2)


def test_float64_is_64_bits(monkeypatch):
    monkeypatch.setitem(config._settings, "floatx", "float64")
    with jax.enable_x64(True):
        optimizer = Adam()
        gradients = [{name: g.astype("float64") for name, g in step.items()} for step in GRADIENTS]
        state = optimizer.init(jax.tree.map(np.float64, PARAMS))
        for step in gradients:
            updates, state = jax.jit(optimizer.update)(step, state)
        *_, wanted, _ = adam([step["a"] for step in gradients])
        assert updates["a"].dtype == jnp.float64
        np.testing.assert_allclose(updates["a"], wanted, rtol=1e-12)


# -------------------------------------------------------------------------------------------- weights and numbers


@pytest.mark.parametrize("cls", list(ITERATIONS))
def test_weights_go_round(cls):
    options = {"decay": 0.1} if cls is not Nadam else {}
    first, second = cls(**options), cls(**options)
    for optimizer in (first, second):
        optimizer.watch(Held(optimizer.as_rule(WEIGHTS)))
    _, first.state = run(first, steps=2)
    second.set_weights(first.get_weights())  # before training: kept for init
    assert [w.shape for w in second.get_weights()] == [w.shape for w in first.get_weights()]
    state = second.source.rule.init(PARAMS)
    for name in cls.slot_names:
        jax.tree.map(np.testing.assert_array_equal, state.slots[name], first.state.slots[name])
    assert int(state.iterations) == (2 if ITERATIONS[cls] else 0)  # what Keras does not save starts again
    second.state = state
    second.set_weights([weight + 1 for weight in second.get_weights()])
    for got, before in zip(second.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(got, before + 1)


def test_wrong_weights_are_named():
    optimizer = RMSprop()
    assert optimizer.get_weights() == []
    optimizer.state = optimizer.init(PARAMS)
    with pytest.raises(ValueError, match=r"RMSprop.*weight list \(1\).*optimizer \(2\)"):
        optimizer.set_weights([np.zeros(3)])
    with pytest.raises(ValueError, match=r"RMSprop.*\(2, 3\) not compatible.*\(3,\)"):
        optimizer.set_weights([np.zeros(3), np.zeros(3)])
    fresh = RMSprop()
    fresh.set_weights([np.zeros(7)] * 2)
    with pytest.raises(ValueError, match=r"\(2, 3\) not compatible.*\(7,\)"):
        fresh.init(PARAMS)


def test_hyperparameters_read_like_numbers():
    optimizer = SGD(lr=0.5, momentum=0.25)
    held = optimizer.lr
    assert (held.name, held.shape, held.dtype) == ("lr", (), np.float32)
    optimizer.lr = optimizer.lr * 0.5
    assert held is optimizer.lr
    assert float(held) == 0.25
    held.value = 2
    assert held.value == np.float32(2)
    assert type(held.value) is np.float32
    assert (held + 1, 1 / held, held**2, -held, held > 1) == (3, 0.5, 4, -2, True)
    assert held + optimizer.momentum == 2.25
    assert f"{held:.2f}" == "2.00"
    assert np.asarray(held, "float64") == 2.0
    assert hash(held)
    assert optimizer.hyperparameters() == {"lr": 2.0, "momentum": 0.25, "decay": 0.0}


@pytest.mark.parametrize("value", ["0.1", None, [0.1], lambda step: 0.1])
def test_hyperparameters_are_numbers(value):
    with pytest.raises(ValueError, match="'lr'.*one number"):
        Adam(lr=value)
    with pytest.raises(ValueError, match="'lr'.*one number"):
        Adam().lr = value


def test_iterations_can_be_read_and_set():
    optimizer = Adam(decay=0.1)
    optimizer.iterations = 7
    assert int(optimizer.iterations) == 7
    optimizer.state = run(optimizer)[1]
    assert optimizer.iterations.value == 10
    optimizer.iterations.value = 3
    assert int(optimizer.state.iterations) == 3
    optimizer.state = None  # as when compiled again: slots start anew, iterations go on
    assert int(optimizer.init(PARAMS).iterations) == 3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_are_independent(duplicate):
    optimizer = Adam(lr=0.5, clipnorm=1.0)
    optimizer.state = optimizer.init(PARAMS)
    other = duplicate(optimizer)
    other.lr, other.iterations = 0.25, 4
    assert (float(optimizer.lr), int(optimizer.iterations)) == (0.5, 0)
    assert (float(other.lr), int(other.iterations)) == (0.25, 4)


# ----------------------------------------------------------------------------------------------------------- get


@pytest.mark.parametrize("cls", list(ITERATIONS))
def test_names_in_any_case(cls):
    for name in (cls.__name__, cls.__name__.lower(), cls.__name__.upper()):
        assert type(optimizers.get(name)) is cls
    assert getattr(optimizers, cls.__name__.lower()) is cls
    asked = {"class_name": cls.__name__, "config": {"lr": 0.5}}
    assert float(optimizers.get(asked).lr) == 0.5
    assert asked["class_name"] == cls.__name__.lower()  # as Keras leaves it
    instance = cls()
    assert optimizers.get(instance) is instance


class Signs(optimizers.Optimizer):
    """What a user may write: the update is -lr * sign(g)."""

    def __init__(self, lr=0.1, **kwargs):
        super().__init__(**kwargs)
        self.lr = optimizers.Hyperparameter(lr, "lr")

    def rule(self, now, gradient):
        return (-now.rate * jnp.sign(gradient),)


def test_users_own():
    with custom_object_scope({"Signs": Signs}):
        optimizer = optimizers.get("Signs")
        assert optimizers.serialize(optimizer) == {"class_name": "Signs", "config": {"lr": float(np.float32(0.1))}}
    updates, state = optimizer.update(PARAMS, optimizer.init(PARAMS))
    np.testing.assert_allclose(updates["a"], -0.1 * np.sign(PARAMS["a"]), rtol=1e-6)
    assert int(state.iterations) == 1


@pytest.mark.parametrize("wrong", ["nope", Adam, 3, None, {"class_name": "nope", "config": {}}, {"lr": 1}])
def test_unknown_is_an_error(wrong):
    with pytest.raises(ValueError, match="optimizer"):
        optimizers.get(wrong)


def test_unknown_arguments_and_tensorflow():
    with pytest.raises(TypeError, match="learning_rate.*Adam"):
        Adam(learning_rate=0.1)
    with pytest.raises(NotImplementedError, match="optax"):
        optimizers.TFOptimizer(None)


def test_optax_is_taken_as_it_is():
    transformation = optax.adamw(1e-2)
    optimizer = optimizers.get(transformation)
    assert isinstance(optimizer, optimizers.OptaxOptimizer)
    assert not hasattr(optimizer, "lr")
    _, inner = transformation.update(PARAMS, transformation.init(PARAMS), PARAMS)
    expected, _ = transformation.update(GRADIENTS[0], inner, PARAMS)
    state = optimizer.init(PARAMS)
    _, state = optimizer.update(PARAMS, state, PARAMS)
    updates, state = optimizer.update(GRADIENTS[0], optimizer.with_hyperparameters(state), PARAMS)
    np.testing.assert_array_equal(updates["a"], expected["a"])
    optimizer.state = state
    saved = optimizer.get_weights()
    assert saved[0] == 2
    other = optimizers.get(transformation)
    other.set_weights(saved)
    jax.tree.map(np.testing.assert_array_equal, other.init(PARAMS), state)
    with pytest.raises(NotImplementedError, match="include_optimizer=False"):
        optimizer.get_config()


def test_optax_with_a_rate_that_can_be_set():
    optimizer = optimizers.get(optax.chain(optax.trace(0.0), optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)))
    traces = []
    update = jax.jit(lambda *arguments: traces.append(1) or optimizer.update(*arguments))
    state = optimizer.init(PARAMS)
    for lr in (0.5, 0.25, 0.125):
        optimizer.lr = lr
        updates, state = update(PARAMS, optimizer.with_hyperparameters(state), PARAMS)
        np.testing.assert_allclose(updates["a"], -lr * PARAMS["a"], rtol=1e-6)
    assert len(traces) == 1
    scheduled = optax.inject_hyperparams(optax.sgd)(learning_rate=optax.constant_schedule(0.5))
    assert not hasattr(optimizers.get(scheduled), "lr")


def test_init_compiles_nothing():
    leaves = jax.tree.leaves(Adam().init(PARAMS))
    assert all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves)
