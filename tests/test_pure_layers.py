"""Layers written as a pure pair by a researcher: `init` and `apply`, with nested dicts and plain JAX keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras import layers, models
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
