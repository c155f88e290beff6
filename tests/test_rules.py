"""Rules: every kind of optimizer behind one signature; optax's train as in a loop of optax's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from written_optimizers import MADE, X, Y, network

from jkeras import backend as K
from jkeras import constraints, layers, losses, models, optimizers
from jkeras.train import make_step
from jkeras.train.rule import as_rule

OPTAX = {
    "lbfgs": lambda: optax.lbfgs(memory_size=3),
    "polyak": lambda: optax.polyak_sgd(max_learning_rate=0.5),
    "plateau": lambda: optax.chain(
        optax.sgd(0.3), optax.contrib.reduce_on_plateau(patience=1, rtol=0.5, accumulation_size=1)
    ),
    "backtracking": lambda: optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(5)),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "holds parameters": lambda: optax.contrib.schedule_free_sgd(0.3),
    "every second": lambda: optax.MultiSteps(optax.adam(0.1), 2),
    "no extra": lambda: optax.adamw(0.1),
}
STEPS = 6


def loss_of(model):
    """params -> the mean squared error on (x, y)."""
    _, state = model.init(jax.random.key(0))

    def loss(params, x, y):
        outputs, _ = model.apply(params, state, x, key=None, training=True)
        return jnp.mean(jnp.square(outputs - y))

    return loss


def by_hand(transformation, model, params, batches):
    """The parameters after a loop over batches as optax's documentation has it."""
    transformation = optax.with_extra_args_support(transformation)
    state, loss = transformation.init(params), loss_of(model)

    @jax.jit
    def step(params, state, x, y):
        def value_fn(params):
            return loss(params, x, y)

        value, gradients = jax.value_and_grad(value_fn)(params)
        extra = {"value": value, "grad": gradients, "value_fn": value_fn}
        updates, state = transformation.update(gradients, state, params, **extra)
        return optax.apply_updates(params, updates), state

    for x, y in batches:
        params, state = step(params, state, x, y)
    return params


def arrays_of(model):
    return jax.tree.map(lambda variable: jnp.array(variable.numpy()), model.variables()[0])


def plain_network():
    model = models.Sequential([layers.Dense(3, activation="tanh", input_shape=(2,)), layers.Dense(2)])
    model.set_weights([np.sin(1.7 * np.arange(w.size) + 1.0).reshape(w.shape) for w in model.get_weights()])
    return model


def agree(left, right, tolerance=1e-6):
    left, right = jax.tree.leaves(left), jax.tree.leaves(right)
    assert left
    for got, wanted in zip(left, right, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


BATCHES = [(X[:4], Y[:4]), (X[4:], Y[4:])] * (STEPS // 2)


@pytest.mark.parametrize("name", OPTAX)
def test_fit_is_the_loop_of_optax(name):
    model = plain_network()
    before = arrays_of(model)
    expected = by_hand(OPTAX[name](), model, before, BATCHES)
    model.compile(OPTAX[name](), "mse")
    for epochs in (1, 2):  # the second goes on with the state of the first
        model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    assert not np.allclose(jax.tree.leaves(before)[-1], jax.tree.leaves(expected)[-1], rtol=0, atol=1e-3)
    agree(arrays_of(model), expected)
    assert int(model.optimizer.iterations) == STEPS


@pytest.mark.parametrize("name", ["lbfgs", "polyak", "plateau", "backtracking"])
def test_devices_search_together(name):
    found = []
    for devices in (None, 2):
        model = plain_network()
        model.compile(OPTAX[name](), "mse", devices=devices)
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights())
    agree(*found, tolerance=2e-5)


@pytest.mark.parametrize("name", ["lbfgs", "plateau", "holds parameters"])
def test_make_step_takes_them_and_donates(name):
    model = plain_network()
    params = arrays_of(model)
    expected = by_hand(OPTAX[name](), model, params, BATCHES)
    init_state, step = make_step(model, losses.mean_squared_error, OPTAX[name]())
    train_state = init_state(jax.random.key(0), params, {})
    held = [id(leaf) for leaf in jax.tree.leaves((train_state.params, train_state.opt_state))]
    assert len(set(held)) == len(held)
    traces = []
    jitted = jax.jit(lambda *arguments: traces.append(1) or step(*arguments), donate_argnums=0)
    for batch in BATCHES:
        train_state, _ = jitted(train_state, batch)
    agree(train_state.params, expected)
    assert len(traces) == 1


def test_a_search_sees_the_penalties_and_the_noise_of_the_step():
    """The loss that is searched along is the one that gradients are of: with regularizers, with the same dropout."""
    model = models.Sequential(
        [
            layers.Dense(8, activation="tanh", input_shape=(2,), kernel_regularizer="l2"),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )
    seen = []

    def update(gradients, state, params=None, *, value, value_fn, **extra):
        ahead, slope = jax.value_and_grad(value_fn)(params)
        jax.debug.callback(lambda *values: seen.append(values), value, ahead, gradients, slope)
        return jax.tree.map(lambda g: -0.1 * g, gradients), state

    model.compile(optax.GradientTransformationExtraArgs(lambda params: (), update), "mse")
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    jax.effects_barrier()
    assert len(seen) == 4
    for value, ahead, gradients, slope in seen:
        np.testing.assert_allclose(value, ahead, rtol=1e-6)
        agree(gradients, slope)


# ------------------------------------------------------------------------------------------------ the rule by itself

PARAMS = {"b": np.float32([1.0, -2.0]), "a": {"kernel": np.float32([[3.0, 4.0]])}}
KINDS = {
    "formula": lambda: optimizers.Adam(lr=0.5),
    "get_updates": MADE["adam"],
    "optax": lambda: optax.adam(0.5),
    "optax as Keras's": lambda: optimizers.get(optax.adam(0.5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_signature(kind):
    rule = as_rule(KINDS[kind]())
    assert as_rule(rule) is rule
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.init = None
    state = jax.jit(rule.init)(PARAMS)
    agree(jax.tree.leaves(state), jax.tree.leaves(rule.init(PARAMS)))

    def halved(params):
        return jax.tree.map(lambda leaf: leaf / 2, params)

    params, _ = jax.jit(rule)(PARAMS, state, PARAMS)
    constrained, after = rule(PARAMS, state, PARAMS, constrain=halved)
    assert not np.allclose(params["b"], PARAMS["b"])
    agree(constrained, halved(params))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert all(isinstance(leaf, (jax.Array, np.ndarray, np.generic)) for leaf in jax.tree.leaves(after))


def test_no_optimizer_is_an_error():
    with pytest.raises(TypeError, match="optax transformation.*'adam'"):
        as_rule("adam")


def test_a_state_has_arrays_of_its_own():
    shared = jnp.ones(2)
    transformation = optax.GradientTransformation(
        lambda params: {
            "mean": params,
            "last": params,
            "ones": [shared, shared],
            "number": 3,
            "weak": jnp.asarray(1.0),
        },
        lambda gradients, state, params=None: (gradients, state),
    )
    params = {"a": jnp.zeros(3)}
    state = as_rule(transformation).init(params)
    leaves = jax.tree.leaves((params, state))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves if isinstance(leaf, jax.Array)}) == 6
    assert not any(getattr(leaf, "weak_type", False) for leaf in leaves)
    assert int(state["number"]) == 3


def test_the_state_keeps_its_types():
    def update(gradients, state, params=None, *, value, **extra):
        return gradients, {"value": value, "count": state["count"] + 1.0, "key": jax.random.fold_in(state["key"], 1)}

    first = {"value": jnp.float16(0), "count": 0, "key": jax.random.key(0)}
    rule = as_rule(optax.GradientTransformationExtraArgs(lambda params: first, update))
    _, state = rule(PARAMS, rule.init(PARAMS), PARAMS, value=jnp.float32(3))
    assert (state["value"].dtype, state["count"].dtype.kind) == (jnp.float16, "i")


def test_constraints_are_applied_to_weights_that_the_method_was_not_shown():
    """Outside of a model a `get_updates` sees stand-ins, which have no constraints."""
    model = models.Sequential([layers.Dense(2, input_shape=(2,), kernel_constraint=constraints.max_norm(0.1))])
    init_state, step = make_step(model, losses.mean_squared_error, MADE["adam"]())
    train_state, _ = step(init_state(0), (X, Y))
    kernel = [leaf for leaf in jax.tree.leaves(train_state.params) if leaf.ndim == 2][0]
    assert np.all(np.linalg.norm(kernel, axis=0) < 0.1001)


# ------------------------------------------------------------------------------------------- programs of get_updates


class Scaled(optimizers.Optimizer):
    """SGD with a rate of which one factor is an attribute, one a variable, and one the value of the first weight."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.rate = factor, K.variable(0.5)

    def get_updates(self, loss, params):
        first = [K.variable(K.get_value(p)) for p in params]
        self.weights = first
        grads = self.get_gradients(loss, params)
        return [
            K.update(p, p - self.factor * self.rate * g + 0.0 * s) for p, g, s in zip(params, grads, first, strict=True)
        ]


def test_a_second_run_has_first_values_of_its_own():
    rule = as_rule(Scaled())
    other = jax.tree.map(lambda leaf: 2 * leaf, PARAMS)
    traces = []
    step = jax.jit(lambda *arguments: traces.append(1) or rule(*arguments))
    for params in (PARAMS, other, PARAMS):
        state = rule.init(params)
        agree(state.slots, jax.tree.leaves(params), 0)
        agree(step(params, state, params)[0], jax.tree.map(lambda leaf: 0.5 * leaf, params))
    assert len(traces) == 1
    with pytest.raises(ValueError, match="another structure"):
        rule({"c": other["b"]}, state, {"c": other["b"]})


@pytest.mark.parametrize("way", ["variable", "attribute and compile"])
def test_a_changed_number_is_seen(way):
    optimizer, model = Scaled(), network()
    model.compile(optimizer, "mse")
    model.train_on_batch(X, Y)
    if way == "variable":
        K.set_value(optimizer.rate, 0.0)
    else:
        optimizer.factor = 0.0
        model.compile(optimizer, "mse")
    before = model.get_weights()
    model.train_on_batch(X, Y)
    agree(model.get_weights(), before, 0)


@pytest.mark.parametrize("kind", ["formula", "get_updates", "optax as Keras's"])
def test_what_is_held_is_of_the_run_that_is_watched(kind):
    """Two models share an optimizer: the variables of each go on with its own run; the iterations are common."""
    optimizer = KINDS[kind]()
    first, second = network(), network()
    held = {}
    for model in (first, second):
        model.compile(optimizer, "mse")
        model.train_on_batch(X, Y)
        held[model] = optimizer.weights[1]
    second.train_on_batch(X, -Y)
    values = {model: K.get_value(variable) for model, variable in held.items()}
    assert not np.allclose(values[first], values[second])
    first.train_on_batch(X, Y)
    assert int(K.get_value(optimizer.iterations)) == 4
    np.testing.assert_array_equal(K.get_value(held[second]), values[second])
    np.testing.assert_array_equal(K.get_value(held[first]), optimizer.get_weights()[1])
    K.set_value(held[first], np.zeros_like(values[first]))
    assert not np.any(optimizer.get_weights()[1])
    K.set_value(optimizer.iterations, 10)
    second.train_on_batch(X, Y)
    assert int(optimizer.get_weights()[0]) == 11


def test_a_variable_of_two_runs_is_one():
    """What the constructor made belongs to the object, as in Keras, whichever of its models is trained."""
    optimizer = MADE["penalized"]()
    sizes = []
    first, second = network(), network()
    for model in (first, second):
        model.compile(optimizer, "mse")
    for model in (first, second, first):
        model.train_on_batch(X, Y)
        sizes.append(float(K.get_value(optimizer.lr)))
    np.testing.assert_allclose(sizes, 0.05 * 0.9 ** np.arange(1, 4), rtol=1e-6)
