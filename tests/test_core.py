"""The pure core: what a function reads is handed to it, and the same arguments give the same result."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jkeras
from jkeras import backend as K
from jkeras import random
from jkeras.graph.scope import UnboundVariableError
from jkeras.layers import Dense, Dropout, Embedding, Input, Lambda, Layer, TimeDistributed
from jkeras.models import Model, Sequential

KEY = jax.random.key(0)


def draw(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def same(first, second, tolerance=0.0):
    """Compare two trees of arrays; there must be something to compare."""
    leaves, others = jax.tree.leaves(first), jax.tree.leaves(second)
    assert len(leaves) == len(others) > 0
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(leaves, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------- variables from outside


def test_apply_is_pure_where_a_lambda_reads_a_variable():
    factor = K.variable(2.0)
    x = Input((3,))
    model = Model(x, Lambda(lambda t: t * factor)(x))
    params, state = model.init(KEY)
    before = model.apply(params, state, jnp.ones((1, 3)))[0]
    K.set_value(factor, 5.0)
    same(model.apply(params, state, jnp.ones((1, 3)))[0], before)
    same(jax.jit(model.apply)(params, state, jnp.ones((1, 3)))[0], before)
    same(model.predict(np.ones((1, 3))), np.full((1, 3), 5.0, "float32"))
    same(model.apply(*model.init(KEY), jnp.ones((1, 3)))[0], jnp.full((1, 3), 5.0))


def test_many_variables_keep_their_values():
    numbers = [K.variable(float(i)) for i in range(12)]

    def loss(y_true, y_pred):
        return K.mean(y_pred * 0.0) + sum(10.0**-i * number for i, number in enumerate(numbers))

    x = Input((2,))
    weighed = Lambda(lambda t: t + sum(10.0**-i * number for i, number in enumerate(numbers)))(Dense(1)(x))
    model = Model(x, weighed)
    expected = sum(10.0**-i * i for i in range(12))
    model.compile("sgd", loss)
    assert model.evaluate(np.ones((4, 2)), np.ones((4, 1)), verbose=0) == pytest.approx(expected, rel=1e-6)
    params, state = model.init(KEY)
    zeros = jax.tree.map(jnp.zeros_like, params)
    assert float(model.apply(zeros, state, jnp.ones((1, 2)))[0][0, 0]) == pytest.approx(expected, rel=1e-6)


def test_an_unbound_variable_raises_and_is_named():
    factor = K.variable(2.0, name="annealing")
    with pytest.raises(UnboundVariableError, match="annealing"):
        Lambda(lambda t: t * factor).apply({}, {}, jnp.ones(3))


def test_a_variable_that_is_read_in_training_only():
    factor = K.variable(2.0)
    x = Input((3,))
    model = Model(x, Lambda(lambda t: K.in_train_phase(lambda: t * factor, lambda: t))(x))
    params, state = model.init(KEY)
    same(model.apply(params, state, jnp.ones((1, 3)), training=True, key=KEY)[0], jnp.full((1, 3), 2.0))


def tied():
    """A model whose output layer reads the weights of its embedding."""
    words, embedding = Input((1,), dtype="int32"), Embedding(5, 3, name="table")
    vectors = Lambda(lambda t: t[:, 0])(embedding(words))
    return Model(words, Lambda(lambda t: K.dot(t, K.transpose(embedding.embeddings)))(Dense(3)(vectors)))


def test_tied_weights_have_their_whole_gradient():
    model = tied()
    params, state = model.init(KEY)
    words = jnp.array([[1], [4]])

    def total(params):
        return jnp.sum(model.apply(params, state, words)[0] ** 2)

    def by_hand(params):
        table, dense = params["table"]["embeddings"], params["dense_1"]
        return jnp.sum(((table[words[:, 0]] @ dense["kernel"] + dense["bias"]) @ table.T) ** 2)

    same(jax.grad(total)(params), jax.grad(by_hand)(params), 1e-6)


def test_tied_weights_outside_of_the_nested_model_that_owns_them():
    inner = Sequential([Dense(3, use_bias=False, input_shape=(3,), name="mixing")])
    x = Input((3,))
    mixing = inner.layers[0]
    model = Model(x, Lambda(lambda t: K.dot(t, mixing.kernel))(inner(x)))
    params, state = model.init(KEY)
    kernel = params["sequential_1"]["mixing"]["kernel"]
    value = draw(2, 3)
    same(model.apply(params, state, value)[0], value @ kernel @ kernel, 1e-5)
    gradient = jax.grad(lambda p: jnp.sum(model.apply(p, state, value)[0]))(params)
    expected = jax.grad(lambda k: jnp.sum(value @ k @ k))(kernel)
    same(gradient["sequential_1"]["mixing"]["kernel"], expected, 1e-5)


# ------------------------------------------------------------------------------------------------------ names of trees


def dense_stack(count=11):
    return Sequential([Dense(2, input_shape=(2,)), *(Dense(2) for _ in range(count - 1))])


def test_params_fit_every_build_of_the_same_code():
    first, second = dense_stack(), dense_stack()
    params, state = first.init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(second.init(KEY)[0])
    value = draw(2, 2)
    same(second.apply(params, state, value)[0], first.apply(params, state, value)[0])
    same(params, second.init(KEY)[0])


def test_names_that_were_given_stay():
    x = Input((2,))
    model = Model(x, Dense(2)(Dense(2, name="dense_1")(Dense(2, name="head")(x))))
    names = [name for name, layer in model.sublayers().items() if isinstance(layer, Dense)]
    assert len(set(names)) == 3 and "head" in names


def test_a_shared_layer_has_one_place():
    shared = Dense(2, name="shared")
    inner = Sequential([shared])
    inner.build((None, 2))
    x = Input((2,))
    model = Model(x, shared(inner(x)))
    params, state = model.init(KEY)
    leaves = jax.tree.leaves(params)
    assert len(leaves) == 2
    kernel = next(leaf for leaf in leaves if leaf.ndim == 2)
    value = draw(3, 2)
    same(model.apply(params, state, value)[0], value @ kernel @ kernel, 1e-5)


# --------------------------------------------------------------------------------------- a layer written as a pure pair


class Block(Layer):
    """Calls another layer, of which it holds the weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Dense(3, activity_regularizer="l2")

    def init(self, key, input_shape):
        first, second = jax.random.split(key)
        params, state = self.inner.init(first, input_shape)
        return {"inner": params, "deep": {"scale": jax.random.normal(second, (3,))}}, state

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        outputs, _ = self.inner.apply(params["inner"], {}, inputs)
        if training:
            outputs = outputs * jax.random.bernoulli(key, 0.5, outputs.shape)
        return outputs * params["deep"]["scale"], state


def test_a_pure_layer_keeps_the_penalty_of_the_layer_it_calls():
    layer = Block()
    params, state = layer.init(KEY, (None, 2))
    value = draw(4, 2)
    call = layer.run(params, state, value)
    inner = value @ params["inner"]["kernel"] + params["inner"]["bias"]
    assert float(sum(call.losses)) == pytest.approx(0.01 * float(jnp.sum(inner**2)), rel=1e-5)


@pytest.mark.parametrize("around", [lambda layer: layer, TimeDistributed])
def test_a_pure_layer_trains(around):
    shape = (2,) if around is not TimeDistributed else (5, 2)
    model = Sequential([around(Block()), Lambda(lambda t: K.sum(t, axis=-1, keepdims=True))])
    model.build((None, *shape))
    model.compile("sgd", "mse")
    value = draw(8, *shape)
    before = model.get_weights()
    assert len(before) == 3
    model.fit(value, np.zeros((*value.shape[:-1], 1)), epochs=1, verbose=0, key=KEY)
    assert all(not np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


# ---------------------------------------------------------------------------------------------------- draws and devices


def test_equal_names_draw_equally():
    for name in (3, "a"):
        key = random.as_key(0)
        alike = np.int64(name) if name == 3 else np.str_(name)
        assert jax.random.key_data(key.fold(name).draw_key()).tolist() == (
            jax.random.key_data(key.fold(alike).draw_key()).tolist()
        )
    layers = [Dropout(0.5, seed=seed) for seed in (3, np.int64(3))]
    outputs = [layer.apply({}, {}, jnp.ones((4, 8)), key=KEY, training=True)[0] for layer in layers]
    same(*outputs)


class SumOfOutputs(Layer):
    """Adds a loss that is a sum over the batch."""

    def call(self, inputs):
        self.add_loss(K.sum(inputs**2) / 100.0)
        return inputs


def models_with_losses():
    x = Input((4,))
    hidden = Dense(3, name="hidden")(x)
    yield Model(x, SumOfOutputs()(hidden))
    model = Model(x, Lambda(lambda t: t)(Dense(3, name="hidden")(x)))
    model.add_loss(K.sum(model.outputs[0] ** 2) / 100.0)
    yield model
    block = Model(x, Dense(3, name="hidden", activity_regularizer="l2")(x))
    yield block


@pytest.mark.parametrize("which", range(3))
def test_losses_over_the_batch_do_not_depend_on_devices(which):
    results = []
    for devices in (None, 4):
        model = list(models_with_losses())[which]
        model.set_weights([draw(*weight.shape) for weight in model.get_weights()])
        model.compile("sgd", "mse", devices=devices)
        history = model.fit(draw(8, 4), draw(8, 3, seed=1), batch_size=8, epochs=2, verbose=0, shuffle=False, key=KEY)
        results.append((model.get_weights(), history.history["loss"]))
    same(*results, 1e-5)


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_draws_do_not_depend_on_devices(kind):
    results = []
    for devices in (None, 2):
        model = Sequential([Dropout(0.5, input_shape=(6,)), Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mse", devices=devices)
        key = jax.random.key(7, impl=kind)
        results.append(model.fit(np.ones((8, 6)), np.ones(8), 8, epochs=2, verbose=0, key=key).history["loss"])
    same(*results, 1e-6)


# ------------------------------------------------------------------------------------------------------- steps by hand


def test_a_step_by_hand_reads_a_variable_of_the_model():
    factor = K.variable(2.0)
    x = Input((3,))
    model = Model(x, Lambda(lambda t: t * factor)(Dense(1)(x)))
    init_state, step = jkeras.train.make_step(model, jkeras.losses.mean_squared_error, optax.sgd(0.1))
    first = init_state(KEY)
    K.set_value(factor, 9.0)
    after, logs = jax.jit(step)(first, (draw(4, 3), draw(4, 1)))
    again, _ = step(first, (draw(4, 3), draw(4, 1)))
    same(after.params, again.params, 1e-6)
    assert np.isfinite(float(logs["loss"]))


def test_what_a_first_state_is_made_of_survives_a_donating_step():
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    model.fit(draw(4, 3), draw(4, 1), verbose=0)
    init_state, step = jkeras.train.make_step(model, jkeras.losses.mean_squared_error, optax.sgd(0.1))
    key = jax.random.key(0)
    jax.jit(step, donate_argnums=0)(init_state(key, *model.get_trees()), (draw(4, 3), draw(4, 1)))
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert jax.random.uniform(key) >= 0


def test_a_model_of_64_bits_computes_in_64_bits():
    K.set_floatx("float64")
    model = Sequential([Dense(2, input_shape=(3,))])
    assert K.dtype(model.output) == "float64"
    params, state = model.get_trees()
    value = np.random.RandomState(0).randn(4, 3)
    outputs, _ = model.apply(params, state, value)
    assert outputs.dtype == "float64"
    same(outputs, value @ np.asarray(params["dense_1"]["kernel"]), 1e-14)


def test_a_sublayer_without_a_shape_is_named():
    class Around(Layer):
        def sublayers(self):
            return {"inner": Dense(2)}

    with pytest.raises(ValueError, match="'inner'.*sublayer_shapes"):
        Around()(Input((3,)))


def test_a_stateful_layer_inside_another_moves_in_training_only():
    model = Sequential([jkeras.layers.Bidirectional(jkeras.layers.LSTM(2, stateful=True), batch_input_shape=(2, 3, 1))])
    model.compile("sgd", "mse")
    value, target = draw(2, 3, 1), draw(2, 4)
    first = model.predict(value, batch_size=2)
    same(model.predict(value, batch_size=2), first)
    model.evaluate(value, target, batch_size=2, verbose=0)
    same(model.predict(value, batch_size=2), first)


def test_sublayers_that_are_built_already_draw_apart():
    class Pair(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.parts = {"a": Dense(2), "b": Dense(2)}
            for part in self.parts.values():
                part.build((None, 3))

        def sublayers(self):
            return self.parts

    params, _ = Pair().init(KEY, (None, 3))
    assert not np.array_equal(params["a"]["kernel"], params["b"]["kernel"])


def test_penalties_and_constraints_take_what_they_read_from_the_state():
    factor = K.variable(2.0, name="strength")
    options = {"kernel_regularizer": lambda w: factor * K.sum(w), "kernel_constraint": lambda w: factor * w}
    model = Sequential([Dense(2, input_shape=(3,), **options)])
    params, state = model.init(KEY)
    K.set_value(factor, 9.0)
    kernel = params["dense_1"]["kernel"]
    same(model.regularization(params, state), [2.0 * kernel.sum()], 1e-6)
    same(model.constrain(params, state)["dense_1"]["kernel"], 2.0 * kernel)
    for method in (model.regularization, model.constrain):
        with pytest.raises(UnboundVariableError, match="strength"):
            method(params)


def test_a_copy_of_a_layer_reads_the_same_variable():
    factor = K.variable(2.0)
    first = Lambda(lambda t, by: t * by * factor, arguments={"by": factor})
    first(Input((3,)))
    second = copy.deepcopy(first)
    x = Input((3,))
    model = Model(x, second(x))
    K.set_value(factor, 3.0)
    same(model.predict(np.ones((1, 3))), np.full((1, 3), 9.0, "float32"))


def test_batches_in_numpy_are_mapped_over_in_64_bits():
    K.set_floatx("float64")
    model = Sequential([Dense(2, input_shape=(3,))])
    init_state, step = jkeras.train.make_step(model, jkeras.losses.mean_squared_error, optax.sgd(0.1))
    data = np.random.RandomState(0).randn(2, 4, 3), np.ones((2, 4, 2))
    mapped = jax.vmap(step, in_axes=(None, 0))(init_state(KEY), data)[1]["loss"]
    same(mapped, jnp.stack([step(init_state(KEY), (x, y))[1]["loss"] for x, y in zip(*data, strict=True)]), 1e-6)
    outputs = jax.vmap(lambda x: model.apply(*model.get_trees(), x)[0])(data[0])
    assert outputs.shape == (2, 4, 2)
