"""Layers written as a pure pair by a researcher: `init` and `apply`, with nested dicts and plain JAX keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras import backend as K
from jkeras import batch, layers, models, train
from jkeras.graph.layer import Call, Layer

KEY = jax.random.key(0)


class Nested(Layer):
    """Params in dicts of dicts, as a module of another library has them."""

    def init(self, key, input_shape):
        first, second = jax.random.split(key)
        size = input_shape[-1]
        block = {"kernel": jax.random.normal(first, (size, 3)), "norm": {"scale": jax.random.normal(second, (3,))}}
        return {"block": block}, {}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        return jnp.tanh(inputs @ params["block"]["kernel"]) * params["block"]["norm"]["scale"], state


class OnHost(Layer):
    """Params drawn by numpy, which cannot be traced."""

    def init(self, key, input_shape):
        seed = int(jax.random.randint(key, (), 0, 1000))
        return {"kernel": np.random.RandomState(seed).normal(size=(input_shape[-1], 3)).astype("float32")}, {}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        return inputs @ params["kernel"], state


class Noisy(Layer):
    """Draws with `jax.random` in training, and counts."""

    def init(self, key, input_shape):
        return {}, {"seen": jnp.zeros(())}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        if not training:
            return inputs, state
        noise = jax.random.normal(jax.random.fold_in(key, 1), inputs.shape)
        return inputs + noise, {"seen": state["seen"] + 1}


class Inside(Layer):
    """Holds a layer, draws its weights and calls its `apply`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(3, activity_regularizer="l2")

    def init(self, key, input_shape):
        params, state = self.inner.init(key, input_shape)
        return {"inner": params}, {"inner": state}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        outputs, _ = self.inner.apply(params["inner"], {}, inputs, key=key, training=training)
        return outputs, state


class Composed(Layer):
    """Names its sublayers and calls their `apply`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"dense": layers.Dense(3, activity_regularizer="l2"), "noise": layers.Dropout(0.5)}

    def sublayers(self):
        return self.parts

    def sublayer_shapes(self, input_shape):
        return {"dense": input_shape, "noise": (*input_shape[:-1], 3)}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        outputs, _ = self.parts["dense"].apply(params["dense"], {}, inputs)
        outputs, _ = self.parts["noise"].apply({}, {}, outputs, key=key, training=training)
        return outputs, state


class Merged(Composed):
    """The same by value: what the calls give is merged."""

    def compute_call(self, params, state, inputs, *, key=None, training=False, mask=None):
        dense = self.parts["dense"].run(params["dense"], {}, inputs)
        key = key if key is None else jax.random.fold_in(key, 7)
        noise = self.parts["noise"].run({}, {}, dense.outputs, key=key, training=training)
        return Call(noise.outputs, state, mask, [*dense.losses, *noise.losses])


class ByRun(Composed):
    """The same, handing on the losses by `add_loss`."""

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        dense = self.parts["dense"].run(params["dense"], {}, inputs)
        self.add_loss(dense.losses)
        return self.parts["noise"].run({}, {}, dense.outputs, key=key, training=training).outputs, state


class Adding(Layer):
    """In Keras style; adds to the loss."""

    def call(self, inputs):
        self.add_loss(0.01 * jnp.sum(inputs**2))
        return inputs


class AroundAdding(Layer):
    """A pure pair around a layer in Keras style."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Adding()

    def init(self, key, input_shape):
        return {"scale": jnp.ones(input_shape[-1:])}, {}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        return self.inner.apply({}, {}, inputs * params["scale"])[0], state


# class: (the names of its params, whether its outputs are penalized by 0.01 times their squares)
LAYERS = {
    Nested: ({"block": {"kernel", "norm"}}, False),
    OnHost: ({"kernel"}, False),
    Noisy: ({}, False),
    Inside: ({"inner": {"kernel", "bias"}}, True),
    Composed: ({"dense": {"kernel", "bias"}}, True),
    Merged: ({"dense": {"kernel", "bias"}}, True),
    ByRun: ({"dense": {"kernel", "bias"}}, True),
    AroundAdding: ({"scale"}, True),
}
each_layer = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)


def functional(layer):
    x = layers.Input((4,))
    return models.Model(x, layer(x))


MODELS = {
    "sequential": (lambda layer: models.Sequential([layers.InputLayer((4,)), layer]), (6, 4)),
    "functional": (functional, (6, 4)),
    "time_distributed": (
        lambda layer: models.Sequential([layers.InputLayer((2, 4)), layers.TimeDistributed(layer)]),
        (6, 2, 4),
    ),
}


def draw(*shape):
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def close(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def deepest(tree):
    """The params of the layer itself, below the names of those around it."""
    while set(tree) & {"time_distributed_1", "layer"} or (len(tree) == 1 and next(iter(tree)).endswith("_1")):
        (tree,) = tree.values()
    return tree


@each_layer
def test_alone(cls):
    layer, (names, penalized) = cls(), LAYERS[cls]
    x = draw(6, 4)
    params, state = layer.init(KEY, (None, 4))
    assert {name: set(part) if isinstance(part, dict) else {} for name, part in params.items()} == {
        name: names[name] if isinstance(names, dict) else {} for name in names
    }
    call = layer.run(params, state, x)
    close(layer.apply(params, state, x)[0], call.outputs)
    close(sum(call.losses), 0.01 * jnp.sum(call.outputs**2) if penalized else 0)
    trained = jax.jit(lambda *trees: layer.apply(*trees, key=KEY, training=True))(params, state, x)
    assert jax.tree.structure(trained[1]) == jax.tree.structure(state)


@pytest.mark.parametrize("kind", MODELS)
@each_layer
def test_in_a_model(cls, kind):
    layer, (_, penalized) = cls(), LAYERS[cls]
    make, shape = MODELS[kind]
    model, x = make(layer), draw(*shape)
    params, state = model.init(KEY)
    call = model.run(params, state, x)
    flat = x.reshape(-1, 4)
    own = layer.apply(deepest(params), deepest(state), flat)[0] if params else flat
    close(call.outputs, own.reshape((*shape[:-1], -1)))
    close(sum(call.losses), 0.01 * jnp.sum(call.outputs**2) if penalized else 0)
    assert not any(np.array_equal(one, other) for one, other in zip(*map(drawn, (KEY, 1), [model] * 2), strict=True))

    model.compile("sgd", "mse")
    before = model.get_weights()
    y = np.ones(call.outputs.shape, "float32")
    losses = model.fit(x, y, batch_size=6, epochs=2, verbose=0, key=KEY).history["loss"]
    assert np.isfinite(losses).all()
    assert all(np.any(one != other) for one, other in zip(before, model.get_weights(), strict=True))
    outputs = model.predict(x)
    penalty = 0.01 * np.sum(outputs**2) if penalized else 0
    close(model.evaluate(x, y, batch_size=6, verbose=0), np.mean((outputs - y) ** 2) + penalty)


def drawn(key, model):
    """The arrays that `init` draws at random."""
    return [leaf for leaf in jax.tree.leaves(model.init(key)) if np.std(leaf) > 0]


def test_a_seed_of_numpy_is_that_seed():
    x = np.ones((4, 8), "float32")
    for cls in (layers.Dropout, layers.AlphaDropout):
        first, second = (cls(0.5, seed=seed).apply({}, {}, x, key=KEY, training=True)[0] for seed in (3, np.int64(3)))
        np.testing.assert_array_equal(first, second)


class AroundModel(Layer):
    """A pure pair around a model that has no weights and reads a variable."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def init(self, key, input_shape):
        params, state = self.inner.init(key, input_shape)
        return {"inner": params}, {"inner": state}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        outputs, after = self.inner.apply(params["inner"], state["inner"], inputs, key=key, training=training)
        return outputs, {"inner": after}


def test_a_variable_that_a_model_inside_reads_is_not_frozen():
    factor = K.variable(2.0)
    inner = functional(layers.Lambda(lambda x: x * factor))
    layer = AroundModel(inner)
    model = functional(layer)
    close(model.predict(np.ones((1, 4))), np.full((1, 4), 2.0))
    K.set_value(factor, 5.0)
    close(model.predict(np.ones((1, 4))), np.full((1, 4), 5.0))
    assert [variable.name for variable in model.outside.values()] == [factor.name]
    params, state = model.init(KEY)
    K.set_value(factor, 7.0)
    close(model.apply(params, state, jnp.ones((1, 4)))[0], np.full((1, 4), 5.0))
    assert jax.tree.structure((params, state)) == jax.tree.structure(model.get_trees())
    close(layer.apply(*layer.init(KEY, (None, 4)), jnp.ones((1, 4)))[0], np.full((1, 4), 7.0))


class Transformed(Layer):
    """Calls a penalized layer inside of a function that is transformed."""

    def __init__(self, around, by_run, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.around, self.by_run = layers.Dense(3, activity_regularizer="l2", name="inner"), around, by_run

    def sublayers(self):
        return {"inner": self.inner}

    def sublayer_shapes(self, input_shape):
        return {"inner": input_shape}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        def one(params, inputs):
            if not self.by_run:
                return self.inner.apply(params, {}, inputs)[0], []
            call = self.inner.run(params, {}, inputs)
            return call.outputs, call.losses

        outputs, losses = self.around(one)(params["inner"], inputs)
        self.add_loss([jnp.sum(loss) for loss in losses])
        return outputs, state


def over_rows(function):
    mapped = jax.vmap(lambda params, row: jax.tree.map(lambda x: x, function(params, row[None])), (None, 0))
    return lambda params, rows: (lambda outputs, losses: (outputs[:, 0], losses))(*mapped(params, rows))


@pytest.mark.parametrize("around", [jax.jit, jax.checkpoint, over_rows], ids=["jit", "checkpoint", "vmap"])
def test_a_penalty_leaves_a_transformed_function_by_run(around):
    with pytest.raises(ValueError, match="Layer inner .Dense. adds to the loss.*inner.run"):
        functional(Transformed(around, False))
    model, x = functional(Transformed(around, True)), draw(6, 4)
    model.compile("sgd", "mse")
    outputs = model.predict(x)
    expected = np.mean((outputs - 1) ** 2) + 0.01 * np.sum(outputs**2)
    close(model.fit(x, np.ones((6, 3)), batch_size=6, verbose=0, key=KEY).history["loss"], [expected])


def test_lists_among_params_are_named():
    class Listed(Nested):
        def init(self, key, input_shape):
            return {"layers": [jnp.ones((4, 3)), jnp.ones((3, 3))]}, {}

    with pytest.raises(TypeError, match="Listed.*params.*a list at .'layers'"):
        functional(Listed())


def test_a_traced_phase_is_named():
    model = functional(layers.Dropout(0.5))
    with pytest.raises(TypeError, match='static_argnames="training"'):
        jax.jit(model.apply)(*model.init(KEY), jnp.ones((1, 4)), training=True, key=KEY)
    right = jax.jit(model.apply, static_argnames="training")
    assert float(jnp.sum(right(*model.init(KEY), jnp.ones((1, 4)), training=True, key=KEY)[0])) in range(0, 9, 2)


class Centred(Layer):
    """Mixes examples: by `mean` it takes the mean over those it sees."""

    def __init__(self, mean, **kwargs):
        super().__init__(**kwargs)
        self.mean = mean

    def call(self, inputs):
        return inputs - self.mean(jnp.mean(inputs, axis=0))


@pytest.mark.parametrize(
    ("mapping", "mean", "alike"),
    [
        (train.Pmapped, lambda value: value, False),
        (train.Pmapped, batch.mean, True),
        (train.Meshed, lambda value: value, True),
    ],
)
def test_a_layer_that_mixes_examples_on_several_devices(mapping, mean, alike):
    x, results = draw(4, 4), []
    for devices in (None, mapping(2)):
        model = functional(Centred(mean))
        model.compile("sgd", "mse", mapping=devices)
        results.append(model.evaluate(x, np.zeros((4, 4)), batch_size=4, verbose=0))
    assert (results[0] == pytest.approx(results[1], rel=1e-5)) == alike
