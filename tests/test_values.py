"""What user code in Keras style is handed: values that answer Keras's questions and compute as arrays do."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from kit import close, draw

from jkeras import backend as K
from jkeras.graph.value import with_values
from jkeras.layers import RNN, BatchNormalization, Dense, Dropout, Input, Lambda, Layer
from jkeras.models import Model, Sequential

X = draw(4, 3)


class Written(Layer):
    """A layer whose `call` is `function(layer, x)`, with a weight `kernel` (3, 2) of ones."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (3, 2), initializer="ones")
        self.moving = self.add_weight("moving", (2,), initializer="zeros", trainable=False)
        self.column = self.kernel[:, :1]
        self.both = [self.kernel, {"moving": self.moving}]
        super().build(input_shape)

    def call(self, x):
        return self.function(self, x)


def predicted(function):
    x = Input((3,))
    return Model(x, Written(function)(x)).predict(X)


# ------------------------------------------------------------------------------------------------------------ Keras

QUESTIONS = {
    "int_shape": (K.int_shape, (None, 3)),
    "_keras_shape": (lambda x: x._keras_shape, (None, 3)),
    "get_shape": (lambda x: x.get_shape().as_list(), [None, 3]),
    "shape": (lambda x: x.shape.as_list(), [None, 3]),
    "ndims": (lambda x: (x.shape.ndims, x.ndim, K.ndim(x)), (2, 2, 2)),
    "dtype": (lambda x: (K.dtype(x), x.dtype == "float32"), ("float32", True)),
    "is_keras_tensor": (K.is_keras_tensor, True),
    "of a sum": (lambda x: K.int_shape(K.sum(x, -1) + 1), (None,)),
    "of a product": (lambda x: K.int_shape(K.dot(x, K.ones((3, 5)))[:, 1:]), (None, 4)),
    "of what is flat": (lambda x: K.int_shape(K.reshape(x, (-1, 1))), (None, 1)),
    "of what knows its size": (lambda x: K.int_shape(K.sum(x, 0)), (3,)),
    "of a part": (
        lambda x: [K.int_shape(one) for one in (x[0], x[:, :2], x[:, None])],
        [(3,), (None, 2), (None, 1, 3)],
    ),
    "beside an array": (lambda x: K.int_shape(x * jnp.asarray(x.array)), (None, 3)),
    "a result is no layer's": (lambda x: K.is_keras_tensor(x + 1), False),
    "is no container": (lambda x: (hasattr(x, "__len__"), hasattr(K.placeholder((2, 3)), "__len__")), (False, False)),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_value_answers_as_a_tensor_of_keras(name):
    question, expected = QUESTIONS[name]
    answers = []
    predicted(lambda layer, x: answers.append(question(x)) or x)
    assert all(answer == expected for answer in answers), answers


def test_sizes_can_be_stated():
    def call(layer, x):
        y = K.reshape(x, (-1, 3))
        y.set_shape((2, None))
        x._keras_shape = (None, 7)
        seen.append((K.int_shape(y), K.int_shape(x)))
        return y

    seen = []
    predicted(call)
    assert set(seen) == {((2, 3), (None, 7))}


def test_a_symbol_states_its_sizes_too():
    symbol = K.placeholder((None, 3))
    symbol.set_shape((2, None))
    assert (symbol.shape, symbol.get_shape().as_list(), symbol._keras_shape) == ((2, 3), [2, 3], (2, 3))
    with pytest.raises(TypeError, match="iterated"):
        iter(symbol)


# -------------------------------------------------------------------------------------------------------------- JAX

KERNEL = np.ones((3, 2), "float32")
CODE = {
    "jnp.dot with a weight": (lambda s, x: jnp.dot(x, s.kernel), X @ KERNEL),
    "@": (lambda s, x: x @ s.kernel, X @ KERNEL),
    "K.dot": (lambda s, x: K.dot(x, s.kernel), X @ KERNEL),
    "K.dot with a weight in a list": (lambda s, x: K.dot(x, s.both[0]) + s.both[1]["moving"], X @ KERNEL),
    "lax.dot with a weight": (lambda s, x: lax.dot(x, s.kernel), X @ KERNEL),
    "the value of a weight": (lambda s, x: jnp.dot(x, s.kernel.value), X @ KERNEL),
    "made in build": (lambda s, x: K.dot(x, s.column), X @ KERNEL[:, :1]),
    "made in build, jnp": (lambda s, x: jnp.asarray(x) @ s.column, X @ KERNEL[:, :1]),
    "jax.nn": (lambda s, x: jax.nn.relu(x), np.maximum(X, 0)),
    "at": (lambda s, x: x.at[:, 0].set(1.0), np.concatenate([np.ones((4, 1)), X[:, 1:]], -1)),
    "methods": (lambda s, x: x.sum(-1, keepdims=True).astype("float32"), X.sum(-1, keepdims=True)),
    "sizes": (lambda s, x: x * jnp.ones((x.shape[0], 1)) / len(x.shape), X / 2),
    "comparison": (lambda s, x: jnp.where((x == 0) | (x > 0), x, 0), np.maximum(X, 0)),
    "numpy array * value": (lambda s, x: np.arange(3.0, dtype="float32") * x, np.arange(3) * X),
    "traced + value": (lambda s, x: jnp.sin(x) + x, np.sin(X) + X),
    "vmap": (lambda s, x: jax.vmap(lambda row: row * row[0])(x), X * X[:, :1]),
    "scan over": (lambda s, x: lax.scan(lambda c, row: (row + c, row + c), jnp.zeros(3), x)[1], np.cumsum(X, 0)),
    "scan from": (lambda s, x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=2)[0], np.sin(np.sin(X))),
    "scan closes over": (lambda s, x: lax.scan(lambda c, _: (c + x, None), 0 * x, None, length=2)[0], 2 * X),
    "cond": (lambda s, x: lax.cond(True, lambda a: a * 2, lambda a: jnp.sin(a), x), 2 * X),
    "grad": (lambda s, x: jax.grad(lambda a: K.sum(a**2))(x), 2 * X),
    "jit": (lambda s, x: jax.jit(lambda a: a * 2)(x), 2 * X),
    "lax": (lambda s, x: lax.neg(x) + lax.concatenate([x, x], 1)[:, :3], 0 * X),
    "einsum": (lambda s, x: jnp.einsum("ij,jk->ik", x, s.kernel), X @ KERNEL),
    "indices": (lambda s, x: jnp.arange(3.0)[K.argmax(x)], np.argmax(X, -1)),
    "split": (lambda s, x: jnp.concatenate(jnp.split(x, 3, -1)[::-1], -1), X[:, ::-1]),
}


@pytest.mark.parametrize("name", CODE)
def test_code_for_arrays_computes_on_values(name):
    code, expected = CODE[name]
    close(predicted(code), expected.astype("float32"))


def test_gradients_reach_what_was_made_of_a_weight_in_build():
    x = Input((3,))
    model = Model(x, Written(lambda layer, x: K.dot(x, layer.column))(x))
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    model.train_on_batch(X, np.zeros((4, 1)))
    change = model.get_weights()[0] - before
    assert np.all(change[:, 0] != 0) and np.all(change[:, 1] == 0)


def test_numpy_in_call_is_told_what_to_use():
    with pytest.raises(TypeError, match=r"jkeras.backend or jax.numpy"):
        predicted(lambda layer, x: np.linalg.norm(x))


def test_a_lambda_sees_values():
    x = Input((3,))
    y = Lambda(lambda x: K.reshape(x, (-1, K.int_shape(x)[1], 1)))(x)
    assert y.shape == (None, 3, 1)
    assert Model(x, y).predict(X).shape == (4, 3, 1)


def test_a_lambda_reads_another_symbol_of_the_graph():
    x, other = Input((3,)), Input((3,))
    double = Dense(3, use_bias=False, kernel_initializer="ones")(other)
    model = Model([x, other], Lambda(lambda x: x + double)(x))
    close(model.predict([X, X]), X + X.sum(-1, keepdims=True))


def test_a_cell_is_handed_values_and_what_its_build_made():
    class Cell(Layer):
        state_size = 2

        def build(self, input_shape):
            self.kernel = self.add_weight("kernel", (3, 4), initializer="ones")
            self.into, self.over = self.kernel[:, :2], self.kernel[:2, 2:]

        def call(self, x, states):
            assert x.shape.as_list()[-1] == 3
            output = K.dot(x, self.into) + jnp.dot(states[0], self.kernel[:2, 2:]) + 0 * K.dot(states[0], self.over)
            return output, [output]

    x = Input((2, 3))
    model = Model(x, RNN(Cell())(x))
    model.compile("sgd", "mse")
    steps = draw(4, 2, 3)
    first, second = steps.sum(-1).T
    close(model.predict(steps), np.repeat((first * 2 + second)[:, None], 2, -1))
    before = model.get_weights()[0]
    model.train_on_batch(steps, np.zeros((4, 2)))
    assert np.all((model.get_weights()[0] != before)[:, :2]) and np.all((model.get_weights()[0] != before)[:2])


def test_a_function_with_values():
    seen = []
    loss = with_values(
        lambda y, p: seen.append(K.int_shape(K.square(y - p))) or K.mean(y - p, -1), (None, 3), (None, 3)
    )
    assert jax.jit(loss)(X, X).shape == (4,) and seen == [(None, 3)]


def test_losses_and_metrics_of_users_are_handed_what_answers_as_tensors():
    seen = {}

    def loss(y_true, y_pred):
        seen["loss"] = K.int_shape(y_true), K.int_shape(y_pred), y_pred.get_shape().as_list()
        return K.mean(K.square(y_pred - y_true), axis=-1)

    def metric(y_true, y_pred):
        seen["metric"] = K.int_shape(y_pred)
        return jnp.mean(jnp.abs(y_true - y_pred))

    model = Sequential([Dense(2, input_shape=(3,))])
    model.compile("sgd", loss, metrics=[metric])
    assert np.isfinite(model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))).all()
    assert seen == {"loss": ((None, None), (None, 2), [None, 2]), "metric": (None, 2)}


def test_a_variable_that_call_makes_is_of_that_call():
    """A constant of it: in Keras, where `call` runs once, nothing trains it either."""
    layer = Written(lambda layer, x: x * K.variable([1.0, 2.0, 3.0]))
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((4, 1)), verbose=0)
    close(K.function([model.inputs[0]], [layer.output])([X])[0], X * np.array([1.0, 2.0, 3.0]))


def test_a_call_that_returns_nothing_is_told():
    with pytest.raises(TypeError, match="Layer nothing .* `call` must return tensors, and returned None"):
        Written(lambda layer, x: None, name="nothing")(Input((3,)))


@pytest.mark.parametrize("kind", ["loss", "metrics"])
@pytest.mark.parametrize(
    ("function", "message"),
    [(lambda y, p: None, "returned None"), (lambda y, p: y - p[:, :2], "incompatible|broadcast")],
)
def test_a_loss_or_metric_that_fails_is_named(kind, function, message):
    function.__name__ = "mine"
    model = Sequential([Dense(3, input_shape=(3,), name="out")])
    model.compile("sgd", **({"loss": function} if kind == "loss" else {"loss": "mse", "metrics": [function]}))
    with pytest.raises(TypeError, match=message) as raised:
        model.train_on_batch(X, X)
    assert "`mine`, of the output 'out'" in "".join(raised.value.__notes__)


@pytest.mark.parametrize("wrt", ["input", "between", "weight"])
def test_gradients_of_what_call_makes(wrt):
    """The same draws when that is run again, and updates once."""

    def call(layer, x):
        between = K.dropout(K.dot(x, layer.kernel), 0.5)
        of = {"input": x, "between": between, "weight": layer.kernel}[wrt]
        (slope, none) = K.gradients(K.sum(K.square(between)), [of, K.zeros_like(x)])
        assert none is None
        layer.add_update([(layer.moving, K.mean(between, axis=0))])
        drawn = K.cast(between != 0, "float32")
        back = 2.0 * between * (1.0 if wrt == "between" else drawn * 2.0)
        expected = {"input": back @ layer.kernel.T, "between": back, "weight": K.transpose(x) @ back}[wrt]
        return K.mean(K.abs(slope - expected)) + 0.0 * K.sum(x, axis=-1, keepdims=True)

    model = Sequential([Written(call, input_shape=(3,))])
    params, state = model.init(jax.random.key(0))
    apply = jax.jit(lambda x: model.apply(params, state, x, key=jax.random.key(1), training=True))
    outputs, after = apply(X)
    close(outputs, np.zeros((4, 1)), atol=1e-5)
    assert np.any(jax.tree.leaves(after)[0] != 0.0)


MADE = {
    "zeros": lambda x: K.zeros((1, 3)),
    "range": lambda x: K.arange(0, 3, dtype="float32"),
    "constant": lambda x: K.constant([1.0, 2.0, 3.0]),
    "draw": lambda x: K.random_normal(K.shape(x)),
    "dropout": lambda x: K.dropout(x, 0.5),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_what_call_makes_of_nothing_answers_too(make):
    layer = Written(lambda layer, x: K.reshape((y := make(x) * x), (-1, *y.get_shape().as_list()[1:])))
    assert layer(Input((3,))).shape == (None, 3)
    assert Written(lambda layer, x: lax.tanh(make(x)) + x)(Input((3,))).shape == (None, 3)


class Differentiates(Layer):
    """What layers inside make, and its derivatives."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout, self.normalization = Dropout(0.5), BatchNormalization()
        self.dense = Dense(2, activity_regularizer="l2")

    def call(self, x):
        dropped = self.dropout(x)
        kept = K.gradients(K.sum(dropped), x)[0]
        made = K.sum(self.dense(self.normalization(x)))
        return [kept * x - dropped, x + K.gradients(made, x)[0]]

    def compute_output_shape(self, input_shape):
        return [input_shape, input_shape]


def test_gradients_run_layers_again_as_they_ran():
    """The same draws; states move and losses count once, and nothing leaks out of the derivative."""
    x = Input((3,))
    model = Model(x, Differentiates()(x))
    params, state = model.init(jax.random.key(0))

    @jax.jit
    def run(x):
        call = model.run(params, state, x, key=jax.random.key(1), training=True)
        return call.outputs, call.state, call.losses

    with jax.checking_leaks():
        (nothing, _), after, found = run(X)
    close(nothing, np.zeros((4, 3)), atol=1e-6)
    assert len(found) == 1 and len(jax.tree.leaves(after)) == len(jax.tree.leaves(state))


# --------------------------------------------------------------------------------------------- what `call` assigns


def assigning(layer, x):
    layer.calls = getattr(layer, "calls", 0) + 1
    layer.sizes, layer.shape = K.int_shape(x), x.get_shape()
    layer.found = {"name": "seen", "table": np.arange(3), "flags": [True, None]}
    layer.product, layer.rows, layer.phase = K.dot(x, layer.kernel), x.shape[0], [K.learning_phase()]
    return layer.product


def test_what_every_run_of_call_assigns_alike_is_kept_when_the_graph_is_made():
    x, layer = Input((3,)), Written(assigning)
    model = Model(x, layer(x))
    assert (layer.calls, layer.sizes, layer.shape.as_list(), layer.found["flags"]) == (
        1,
        (None, 3),
        [None, 3],
        [True, None],
    )
    assert layer.found["table"].tolist() == [0, 1, 2]
    kept = dict(vars(layer))
    jax.jit(layer.apply)(*layer.get_trees(), X)
    close(model.predict(X), X @ np.ones((3, 2)))
    assert vars(layer) == kept
    layer(Input((3,)))
    assert layer.calls == 1  # each run starts from what was there before the first


def growing(layer, x):
    layer.seen.append(x.shape[-1])
    layer.steps += 1
    layer.scale = layer.scale * 2 if hasattr(layer, "scale") else 3
    return x * layer.scale * len(layer.seen) + layer.steps


def test_runs_of_a_call_start_from_what_was_there_before_the_first():
    x, layer = Input((3,)), Written(growing)
    layer.seen, layer.steps = [], 0
    model = Model(x, layer(x))
    for _ in range(2):
        close(model.predict(X), X * 3 + 1)
        close(layer.apply(*layer.get_trees(), X)[0], X * 3 + 1)
    assert (layer.seen, layer.steps, layer.scale) == ([3], 1, 3)
    layer.steps = 5
    close(layer.apply(*layer.get_trees(), X)[0], X * 3 + 6)


@pytest.mark.parametrize("name", ["product", "rows", "phase"])
def test_other_things_that_call_assigns_are_named_when_they_are_asked_for(name):
    layer = Written(assigning)
    setattr(layer, name, None)
    layer(Input((3,)))
    with pytest.raises(AttributeError, match=rf"{layer.name}.{name} is assigned in the `call` of Written"):
        getattr(layer, name)
    assert not hasattr(layer, name)
    assert copy.deepcopy(layer)(Input((3,))).shape == (None, 2)
    setattr(layer, name, 3)
    assert getattr(layer, name) == 3


def test_the_next_call_does_not_see_the_tensors_of_the_last():
    def cached(layer, x):
        if layer.cache is None:
            layer.cache = 2 * x
        return layer.cache

    layer = Written(cached)
    layer.cache = None
    shared = Sequential([layer, layer])
    close(shared.predict(X), 4 * X)


class MaskOfItsOwn(Layer):
    """Its mask is found in `call`."""

    supports_masking = True

    def call(self, x):
        self.positive = K.any(x > 0, axis=-1)
        return x

    def compute_mask(self, inputs, mask=None):
        return self.positive


def test_compute_mask_sees_what_call_assigned():
    x, data = Input((5, 3)), draw(2, 5, 3)
    y = MaskOfItsOwn()(x)
    found = Model(x, Lambda(lambda x, mask: K.cast(mask, "float32"), mask=lambda x, mask: mask)(y)).predict(data)
    assert np.array_equal(found, np.any(data > 0, axis=-1))


def test_a_subclassed_model_keeps_what_its_call_assigned():
    class Counting(Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(2)

        def call(self, x):
            self.features, self.hidden = K.int_shape(x)[1], self.dense(x)
            return self.hidden

    model = Counting()
    model.predict(X)
    assert model.features == 3
    with pytest.raises(AttributeError, match="hidden is assigned in the `call` of Counting"):
        model.hidden  # noqa: B018
