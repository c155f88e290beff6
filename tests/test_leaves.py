"""The pure leaves: values against formulas in float64, delicate gradients, config round trips, distributions."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jkeras import activations, config, constraints, initializers, losses, metrics, objectives, regularizers
from jkeras.lift import Symbol
from jkeras.serialize import objects

pytestmark = pytest.mark.filterwarnings("error")

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(4, 5)) * 3
PREDICTED = RANDOM.dirichlet(np.ones(5), size=4)
ONE_HOT = np.eye(5)[[1, 0, 4, 2]]
LABELS = ONE_HOT.argmax(-1)
REAL = RANDOM.normal(size=(4, 5))
EPSILON = 1e-7


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def unit(x):
    return x / np.sqrt(np.square(x).sum(-1, keepdims=True))


ACTIVATIONS = {
    "softmax": softmax,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "exponential": np.exp,
    "linear": lambda x: x,
}

LOSSES = {
    "mean_squared_error": (REAL, X, lambda t, p: np.square(p - t).mean(-1)),
    "mean_absolute_error": (REAL, X, lambda t, p: np.abs(p - t).mean(-1)),
    "mean_absolute_percentage_error": (REAL, X, lambda t, p: 100 * np.abs((t - p) / t).mean(-1)),
    "mean_squared_logarithmic_error": (
        REAL,
        X,
        lambda t, p: np.square(np.log1p(np.maximum(p, EPSILON)) - np.log1p(np.maximum(t, EPSILON))).mean(-1),
    ),
    "squared_hinge": (2 * ONE_HOT - 1, REAL, lambda t, p: np.square(np.maximum(1 - t * p, 0)).mean(-1)),
    "hinge": (2 * ONE_HOT - 1, REAL, lambda t, p: np.maximum(1 - t * p, 0).mean(-1)),
    "categorical_hinge": (
        ONE_HOT,
        REAL,
        lambda t, p: np.maximum(0, ((1 - t) * p).max(-1) - (t * p).sum(-1) + 1),
    ),
    "logcosh": (REAL, X, lambda t, p: np.log(np.cosh(p - t)).mean(-1)),
    "categorical_crossentropy": (ONE_HOT, 3 * PREDICTED, lambda t, p: -(t * np.log(p / 3)).sum(-1)),
    "sparse_categorical_crossentropy": (
        LABELS[:, None],
        3 * PREDICTED,
        lambda t, p: (
            np.log(np.minimum(p, 1 - EPSILON).sum(-1)) - np.log(np.minimum(p, 1 - EPSILON)[np.arange(4), t[:, 0]])
        ),
    ),
    "binary_crossentropy": (ONE_HOT, PREDICTED, lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)),
    "kullback_leibler_divergence": (
        PREDICTED[::-1],
        PREDICTED,
        lambda t, p: (t * np.log(t / p)).sum(-1),
    ),
    "poisson": (ONE_HOT, PREDICTED, lambda t, p: (p - t * np.log(p + EPSILON)).mean(-1)),
    "cosine_proximity": (REAL, X, lambda t, p: -(unit(t) * unit(p)).sum(-1)),
}

ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kullback_leibler_divergence",
    "cosine": "cosine_proximity",
}


class Recorder(Symbol):
    """A symbol that tells what was asked of it."""

    def __lift__(self, function, args, kwargs):
        return function, args, kwargs


# ------------------------------------------------------------------------------------------------- activations


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation(name):
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert activations.serialize(function) == name
    x = jnp.asarray(X, jnp.float32)
    for value in (function(X), jax.jit(function)(x), jax.vmap(function)(x[:, None])[:, 0]):
        assert value.dtype == jnp.float32 or name == "linear"
        np.testing.assert_allclose(value, ACTIVATIONS[name](X), rtol=2e-5, atol=1e-6)
    assert function(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"linear"}))
def test_activation_of_a_symbol(name):
    symbol = Recorder()
    function, args, _ = getattr(activations, name)(symbol)
    assert args == (symbol,)
    np.testing.assert_allclose(function(X), ACTIVATIONS[name](X), rtol=2e-5, atol=1e-6)


def test_linear_leaves_a_symbol_alone():
    symbol = Recorder()
    assert activations.linear(symbol) is symbol
    assert activations.get(None) is activations.linear


@pytest.mark.parametrize(
    ("options", "values", "slopes"),
    [
        ({}, [0, 0, 0, 0, 0.5, 2], [0, 0, 0, 0, 1, 1]),
        ({"alpha": 0.1}, [-0.2, -0.1, -0.05, 0, 0.5, 2], [0.1, 0.1, 0.1, 0.1, 1, 1]),
        ({"alpha": 1.5}, [-2, -1, -0.5, 0, 0.75, 3], None),
        ({"alpha": -0.5}, [1, 0.5, 0.25, 0, 0.5, 2], [-0.5, -0.5, -0.5, -0.5, 1, 1]),
        ({"max_value": 2.0}, [0, 0, 0, 0, 0.5, 2], [0, 0, 0, 0, 1, 1]),
        ({"max_value": 0.4}, [0, 0, 0, 0, 0.4, 0.4], [0, 0, 0, 0, 0, 0]),
        ({"threshold": 0.5}, [0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 1]),
        ({"threshold": -0.7}, [0, 0, -0.5, 0, 0.5, 2], [0, 0, 1, 1, 1, 1]),
        ({"alpha": 0.1, "threshold": 0.5}, [-0.25, -0.15, -0.1, -0.05, 0, 2], [0.1, 0.1, 0.1, 0.1, 0, 1]),
        (
            {"alpha": 0.1, "max_value": 1.0, "threshold": -0.7},
            [-0.13, -0.03, 0, 0, 0.5, 1],
            [0.1, 0.1, 0, 1, 1, 0],
        ),
    ],
)
def test_relu_options(options, values, slopes):
    x = jnp.asarray([-2, -1, -0.5, 0, 0.5, 2])
    np.testing.assert_allclose(activations.relu(x, **options), values, atol=1e-7)
    traced = jax.jit(activations.relu)(x, **{name: jnp.asarray(value) for name, value in options.items()})
    np.testing.assert_allclose(traced, values, atol=1e-7)
    if slopes is not None:
        slope = jax.grad(lambda x: activations.relu(x, **options).sum())(x)
        np.testing.assert_allclose(slope, slopes, atol=1e-7)


@pytest.mark.parametrize(("shape", "axis", "sums_along"), [((2, 3), 0, 1), ((2, 3, 4), 1, 1), ((2, 3, 4), -1, 2)])
def test_softmax_axis(shape, axis, sums_along):
    value = activations.softmax(np.arange(np.prod(shape)).reshape(shape) * 0.1, axis=axis)
    np.testing.assert_allclose(value.sum(sums_along), 1, rtol=1e-6)


def test_softmax_of_a_vector():
    with pytest.raises(ValueError, match="1D"):
        activations.softmax(np.zeros(3))


def test_a_layer_is_no_activation():
    class Layer:
        def get_weights(self):
            return []

        def __call__(self, x):
            return x

    with pytest.warns(UserWarning, match="Do not pass a layer instance"):
        activations.get(Layer())


# ------------------------------------------------------------------------------------------- losses and metrics


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss(name):
    y_true, y_pred, formula = LOSSES[name]
    function = losses.get(name)
    assert function is getattr(objectives, name)
    assert losses.serialize(function) == name
    expected = formula(y_true, y_pred)
    t, p = jnp.asarray(y_true), jnp.asarray(y_pred, jnp.float32)
    for value in (function(y_true, y_pred), jax.jit(function)(t, p), jax.vmap(function)(t, p)):
        assert value.dtype == jnp.float32
        assert value.shape == (4,)
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6)
    assert jnp.all(jnp.isfinite(jax.grad(lambda p: function(t, p).sum())(p)))
    symbol = Recorder()
    lifted, args, _ = function(y_true, symbol)
    assert args[1] is symbol
    np.testing.assert_array_equal(lifted(y_true, y_pred), function(y_true, y_pred))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss_of_integer_targets(name):
    targets = LABELS[:, None] if name.startswith("sparse") else ONE_HOT.astype(int)
    function = losses.get(name)
    whole = function(targets, np.float32(PREDICTED))
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(whole, function(targets.astype("float32"), np.float32(PREDICTED)), rtol=1e-6)
    assert function(targets, jnp.asarray(PREDICTED, jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize(("alias", "name"), [*ALIASES.items(), *((a.upper(), n) for a, n in list(ALIASES.items())[:5])])
def test_loss_alias(alias, name):
    assert losses.get(alias) is getattr(losses, name)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (6,)])
def test_sparse_crossentropy_of_sequences(shape):
    predicted = RANDOM.dirichlet(np.ones(4), size=(2, 3))
    labels = np.arange(6) % 4
    value = losses.sparse_categorical_crossentropy(labels.reshape(shape), predicted)
    expected = losses.categorical_crossentropy(np.eye(4)[labels.reshape(2, 3)], predicted)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_sparse_crossentropy_of_wrong_labels():
    value = losses.sparse_categorical_crossentropy(np.array([0, 5, -1]), np.full((3, 5), 0.2))
    np.testing.assert_array_equal(np.isnan(value), [False, True, True])
    with pytest.raises(ValueError, match=r"sparse_categorical_crossentropy: .*\(3,\).*\(3, 2\)"):
        losses.sparse_categorical_crossentropy(np.zeros((3, 2)), np.full((3, 5), 0.2))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("from_logits", [False, True])
def test_crossentropy_terms_agree(axis, from_logits):
    logits = RANDOM.normal(size=(2, 3, 4))
    labels = np.array([[0, 1, 3], [2, 2, 0]])
    given = logits if from_logits else softmax(logits)
    expected = -np.log(np.take_along_axis(softmax(logits), labels[..., None], -1))[..., 0]
    moved = np.moveaxis(given, -1, axis)
    np.testing.assert_allclose(losses.sparse_categorical_terms(labels, moved, from_logits, axis), expected, rtol=1e-5)
    if axis == -1 or not from_logits:
        value = losses.categorical_terms(np.moveaxis(np.eye(4)[labels], -1, axis), moved, from_logits, axis)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="axis 3"):
        losses.categorical_terms(given, given, axis=3)


def test_gradients_where_delicate():
    """At a tie, at a bound and at zero the gradient is that of Keras, not the one of JAX's max, clip and abs."""
    gradient = jax.grad(lambda p, loss, t: loss(t, p).sum())
    zero, one = jnp.zeros((1, 2)), jnp.ones((1, 2))
    np.testing.assert_array_equal(gradient(one, losses.mean_absolute_error, one), 0)
    np.testing.assert_array_equal(gradient(one, losses.hinge, one), -0.5)
    np.testing.assert_array_equal(jax.grad(regularizers.l1(0.5))(zero), 0)
    bound = jnp.full((1, 1), np.float32(1 - EPSILON))
    np.testing.assert_allclose(gradient(bound, losses.binary_crossentropy, jnp.ones((1, 1))), -1, atol=0.1)
    np.testing.assert_allclose(losses.binary_terms([[1.0]], bound), 1.19e-7, rtol=0.01)
    assert np.all(gradient(jnp.ones((1, 1)), losses.binary_crossentropy, jnp.ones((1, 1))) == 0)


def test_sizes_may_be_unknown():
    batch, classes = export.symbolic_shape("batch, 5")
    y_pred = jax.ShapeDtypeStruct((batch, classes), jnp.float32)
    for function, shape in [
        (losses.sparse_categorical_crossentropy, (batch, 1)),
        (losses.categorical_crossentropy, (batch, 5)),
        (metrics.sparse_categorical_accuracy, (batch, 1)),
    ]:
        assert jax.eval_shape(function, jax.ShapeDtypeStruct(shape, jnp.float32), y_pred).shape == (batch,)


SCORES = np.array([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3]])
CLASSES = np.array([1, 1, 0, 2])


@pytest.mark.parametrize(
    ("metric", "y_true", "expected"),
    [
        (metrics.binary_accuracy, np.eye(3)[CLASSES], [2 / 3, 1 / 3, 1 / 3, 2 / 3]),
        (metrics.categorical_accuracy, np.eye(3)[CLASSES], [1, 0, 0, 0]),
        (metrics.sparse_categorical_accuracy, CLASSES, [1, 0, 0, 0]),
        (metrics.sparse_categorical_accuracy, CLASSES[:, None].astype("float32"), [1, 0, 0, 0]),
        (lambda t, p: metrics.top_k_categorical_accuracy(t, p, k=1), np.eye(3)[CLASSES], 0.25),
        (lambda t, p: metrics.top_k_categorical_accuracy(t, p, k=2), np.eye(3)[CLASSES], 1.0),
        (lambda t, p: metrics.sparse_top_k_categorical_accuracy(t, p, k=1), CLASSES[:, None], 0.25),
        (lambda t, p: metrics.sparse_top_k_categorical_accuracy(t, p, k=2), CLASSES, 1.0),
        (metrics.sparse_top_k_categorical_accuracy, [0, 1, 2, 3], 0.75),
    ],
)
def test_metric(metric, y_true, expected):
    for function in (metric, jax.jit(metric)):
        value = function(jnp.asarray(y_true), jnp.asarray(SCORES))
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_metrics_of_sequences():
    labels, scores = CLASSES.reshape(2, 2), SCORES.reshape(2, 2, 3)
    for given in (labels, labels[..., None]):
        np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(given, scores), [[1, 0], [0, 0]])


def test_binary_accuracy_rounds_half_to_even():
    np.testing.assert_array_equal(metrics.binary_accuracy([[0], [1]], [[0.5], [0.5]]), [1, 0])


def test_in_top_k_of_what_is_not_finite():
    value = metrics.in_top_k(np.array([[0.1, np.nan, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]), np.array([2, -1, 0]), 3)
    np.testing.assert_array_equal(value, [False, False, True])


@pytest.mark.parametrize("name", sorted(set(metrics.__all__) - {"deserialize", "get", "serialize"}))
def test_metric_by_name(name):
    assert metrics.get(name) is getattr(metrics, name)
    assert metrics.deserialize(metrics.serialize(metrics.get(name))) is metrics.get(name)


# --------------------------------------------------------------------------------- regularizers and constraints


@pytest.mark.parametrize(
    ("regularizer", "formula", "factors"),
    [
        (regularizers.l1(0.1), lambda w: 0.1 * np.abs(w).sum(), (0.1, 0)),
        (regularizers.l2(0.2), lambda w: 0.2 * np.square(w).sum(), (0, 0.2)),
        (regularizers.l1_l2(), lambda w: 0.01 * (np.abs(w) + np.square(w)).sum(), (0.01, 0.01)),
        (regularizers.L1L2(), lambda w: 0.0, (0, 0)),
    ],
)
def test_regularizer(regularizer, formula, factors):
    np.testing.assert_allclose(regularizer(X), formula(X), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(regularizer)(X), formula(X), rtol=1e-6)
    described = regularizers.serialize(regularizer)
    assert described == {
        "class_name": "L1L2",
        "config": {"l1": float(np.float32(factors[0])), "l2": float(np.float32(factors[1]))},
    }
    assert regularizers.serialize(regularizers.deserialize(described)) == described
    symbol = Recorder()
    assert regularizer(symbol)[1] == (regularizer, symbol)


def norms(w, axis=0):
    return np.sqrt(np.square(w).sum(axis, keepdims=True))


@pytest.mark.parametrize(
    ("constraint", "formula"),
    [
        (constraints.MaxNorm(), lambda w: w * np.minimum(norms(w), 2) / norms(w)),
        (constraints.MaxNorm(1.5, axis=[0, 1]), lambda w: w * np.minimum(norms(w, (0, 1)), 1.5) / norms(w, (0, 1))),
        (constraints.NonNeg(), lambda w: np.maximum(w, 0)),
        (constraints.UnitNorm(axis=1), lambda w: w / norms(w, 1)),
        (
            constraints.MinMaxNorm(0.5, 1.0, rate=0.3),
            lambda w: w * (0.3 * np.clip(norms(w), 0.5, 1.0) + 0.7 * norms(w)) / norms(w),
        ),
    ],
)
def test_constraint(constraint, formula):
    np.testing.assert_allclose(constraint(X), formula(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(constraint)(X), formula(X), rtol=1e-5, atol=1e-6)
    described = constraints.serialize(constraint)
    assert constraints.serialize(constraints.deserialize(described)) == described
    assert np.all(np.isfinite(constraint(np.zeros((3, 2)))))
    symbol = Recorder()
    assert constraint(symbol)[1] == (constraint, symbol)


@pytest.mark.parametrize("module", [regularizers, constraints, initializers])
def test_what_get_takes(module):
    names = sorted(set(module.__all__) - {"deserialize", "draw", "get", "serialize"})
    for name in names:
        instance = module.get(name)
        assert callable(instance)
        assert not isinstance(instance, type)
        assert module.get(instance) is instance
        if hasattr(instance, "get_config"):
            assert type(module.get({"class_name": name, "config": {}})) is type(instance)
        if isinstance(getattr(module, name), type):
            assert type(module.get(getattr(module, name))) is type(instance)


@pytest.mark.parametrize("module", [activations, constraints, initializers, losses, metrics, regularizers])
def test_unknown(module):
    with pytest.raises(ValueError, match=r"^Unknown .*: nothing.*custom_objects"):
        module.get("nothing")
    with pytest.raises(ValueError, match="Could not interpret"):
        module.get(3)
    for name in ("np", "jnp", "config", "get", "objects"):  # what a module imports is not what a file may name
        with pytest.raises(ValueError, match=f"Unknown .*: {name}"):
            module.get(name)

    def nothing(x, y=None):
        return x

    with objects.custom_object_scope({"nothing": nothing}):
        assert module.get("nothing") is nothing
    assert module.deserialize("nothing", custom_objects={"nothing": nothing}) is nothing


@pytest.mark.parametrize("module", [constraints, losses, regularizers])
def test_none(module):
    assert module.get(None) is None


# ------------------------------------------------------------------------------------------------- initializers

SHAPE = (60, 80)
DISTRIBUTIONS = [
    (initializers.RandomNormal(0.1, 0.3), 0.1, 0.3, None),
    (initializers.TruncatedNormal(0.1, 0.3), 0.1, 0.3 * 0.8796256, 0.7),
    (initializers.RandomUniform(-0.2, 0.5), 0.15, 0.7 / 12**0.5, 0.5),
    (initializers.glorot_uniform(), 0, (1 / 70) ** 0.5, (3 / 70) ** 0.5),
    (initializers.glorot_normal(), 0, (1 / 70) ** 0.5, 2 * (1 / 70) ** 0.5 / 0.8796256),
    (initializers.he_uniform(), 0, (2 / 60) ** 0.5, (6 / 60) ** 0.5),
    (initializers.he_normal(), 0, (2 / 60) ** 0.5, None),
    (initializers.lecun_uniform(), 0, (1 / 60) ** 0.5, (3 / 60) ** 0.5),
    (initializers.lecun_normal(), 0, (1 / 60) ** 0.5, None),
    (initializers.VarianceScaling(3.0, "FAN_OUT", "Uniform"), 0, (3 / 80) ** 0.5, (9 / 80) ** 0.5),
]


@pytest.mark.parametrize(("initializer", "mean", "stddev", "bound"), DISTRIBUTIONS)
def test_distribution(initializer, mean, stddev, bound):
    values = initializer(SHAPE, key=0)
    assert isinstance(values, np.ndarray)
    assert (values.shape, values.dtype) == (SHAPE, np.float32)
    np.testing.assert_allclose(values.mean(), mean, atol=4 * stddev / values.size**0.5)
    np.testing.assert_allclose(values.std(), stddev, rtol=0.04)
    if bound is not None:
        assert 0.97 * bound < values.max() <= np.float32(bound)


@pytest.mark.parametrize("initializer", [row[0] for row in DISTRIBUTIONS] + [initializers.Orthogonal(2.0)])
def test_keys_and_seeds(initializer):
    first = initializer(SHAPE, key=0)
    np.testing.assert_array_equal(first, initializer(SHAPE, key=jax.random.key(0)))
    assert not np.array_equal(first, initializer(SHAPE, key=1))
    assert not np.array_equal(initializer(SHAPE), initializer(SHAPE))
    described = initializers.serialize(initializer)
    again = initializers.get(described)
    np.testing.assert_array_equal(first, again(SHAPE, key=0))
    assert initializers.serialize(again) == described
    described["config"]["seed"] = 0
    seeded = initializers.get(described)
    np.testing.assert_array_equal(seeded(SHAPE), seeded(SHAPE, key=5))
    np.testing.assert_array_equal(seeded(SHAPE), first)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", np.float32])
@pytest.mark.parametrize("name", ["zeros", "ones", "glorot_uniform", "he_normal", "orthogonal", "identity"])
def test_dtype(name, dtype):
    values = initializers.get(name)((3, 6), dtype, key=0)
    assert values.dtype == jnp.dtype(dtype)
    reference = initializers.get(name)((3, 6), "float64", key=0)
    np.testing.assert_allclose(values.astype("float64"), reference, rtol=1e-2, atol=1e-3)


def test_default_dtype():
    config.set_floatx("float64")
    try:
        assert initializers.he_normal()((2, 3)).dtype == np.float64
        assert regularizers.serialize(regularizers.l1(0.1))["config"]["l1"] == 0.1
    finally:
        config.set_floatx("float32")


def test_many_numbers_are_one_stream():
    """What is drawn in parts is what one call of numpy would draw."""
    key = 3
    generator = initializers.random.host(key)
    values = initializers.RandomUniform(0.0, 1.0)((1 << 16, 2), "float64", key=key)
    np.testing.assert_array_equal(values.ravel(), generator.random_sample(values.size))


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5), (3, 2, 4, 6)])
def test_orthogonal(shape):
    matrix = initializers.Orthogonal(gain=1.5)(shape, key=0).reshape(-1, shape[-1]) / 1.5
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


@pytest.mark.parametrize(
    ("initializer", "shape", "expected"),
    [
        (initializers.Zeros(), (2, 3), np.zeros((2, 3))),
        (initializers.Ones(), (2,), np.ones(2)),
        (initializers.Constant(0.3), (2, 1), np.full((2, 1), 0.3)),
        (initializers.Constant([1, 2, 3, 4]), (2, 2), [[1, 2], [3, 4]]),
        (initializers.Identity(2.0), (2, 4), [[2, 0, 2, 0], [0, 2, 0, 2]]),
        (initializers.Identity(), (4, 2), [[1, 0], [0, 1], [1, 0], [0, 1]]),
    ],
)
def test_fixed_values(initializer, shape, expected):
    np.testing.assert_allclose(initializer(shape), expected, rtol=1e-7)
    described = initializers.serialize(initializer)
    np.testing.assert_allclose(initializers.get(described)(shape), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("shape", "data_format", "fans"),
    [
        ((3, 4), "channels_last", (3, 4)),
        ((5, 3, 4), "channels_last", (15, 20)),
        ((2, 5, 3, 4), "channels_last", (30, 40)),
        ((4, 3, 2, 5), "channels_first", (30, 40)),
        ((2, 2, 2, 3, 4), "channels_last", (24, 32)),
        ((16,), "channels_last", (4, 4)),
        ((), "channels_last", (1, 1)),
    ],
)
def test_fans(shape, data_format, fans):
    assert initializers._compute_fans(shape, data_format) == fans


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=0), "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode.*'fan'"),
        (lambda: initializers.VarianceScaling(distribution="cauchy"), "distribution.*'cauchy'"),
        (lambda: initializers.Identity()((2, 3)), "multiple"),
        (lambda: initializers.Identity()((2, 2, 2)), "2D"),
        (lambda: initializers.Orthogonal()((3,)), "two axes"),
        (lambda: initializers.Constant([1, 2])((3,)), "2 values.*3"),
        (lambda: initializers._compute_fans((1, 2, 3), "sideways"), "sideways"),
        (lambda: initializers.draw(lambda shape: np.zeros(3), 0, (2,)), r"\(2,\).*\(3,\)"),
    ],
)
def test_initializer_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Variable:
    def __init__(self, value):
        self.value = value


KEPT = np.full((2, 3), 7.0)


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (initializers.Ones(), 1),
        (lambda shape: np.full(shape, 7), 7),
        (lambda shape, dtype=None: np.full(shape, 7, dtype), 7),
        (lambda shape, name=None, **options: np.full(shape, 7, options["dtype"]), 7),
        (lambda shape, dtype=None: Variable(jnp.full(shape, 7, dtype)), 7),
        (lambda shape: KEPT, 7),
        (lambda shape, *, key: jax.random.uniform(key, shape) * 0 + 7, 7),
        (jax.nn.initializers.constant(7), 7),
    ],
)
def test_draw(initializer, expected):
    value = initializers.draw(initializer, 0, (2, 3), "float16")
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.float16
    np.testing.assert_array_equal(value, np.full((2, 3), expected))
    assert not np.shares_memory(value, KEPT)


def test_draw_follows_the_key():
    he_normal = jax.nn.initializers.he_normal()
    for initializer in (initializers.he_normal(), he_normal):
        values = [initializers.draw(initializer, key, SHAPE) for key in (0, 0, 1)]
        np.testing.assert_array_equal(values[0], values[1])
        assert not np.array_equal(values[0], values[2])
    np.testing.assert_array_equal(initializers.draw(he_normal, 0, SHAPE), he_normal(jax.random.key(0), SHAPE))


# ------------------------------------------------------------------------------------------------- the registry


def test_scope_is_left_as_it_was():
    table = objects.get_custom_objects()
    before = dict(table)
    scope = objects.CustomObjectScope({"a": 1}, None, {"b": 2})
    with scope:
        with scope:
            table["c"] = 3
        assert table == {**before, "a": 1, "b": 2}
    assert table == before


class Thing:
    def __init__(self, part=None):
        self.part = part

    def get_config(self):
        return objects.config_from_signature(self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(custom_objects[config["part"]])


class Plain(Thing):
    @classmethod
    def from_config(cls, config):
        return cls(objects.deserialize_keras_object(config["part"], {}))


@pytest.mark.parametrize("kind", [Thing, Plain])
def test_custom_objects_reach_what_is_inside(kind):
    described = {"class_name": "kind", "config": {"part": "max"}}
    thing = objects.deserialize_keras_object(described, {}, {"kind": kind, "max": max})
    assert thing.part is max
    assert objects.serialize_keras_object(thing) == {"class_name": kind.__name__, "config": {"part": max}}
    assert "max" not in objects.get_custom_objects()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objects.deserialize_keras_object("foo", {}, printable_module_name="layer"), "Unknown layer: foo"),
        (lambda: objects.deserialize_keras_object({"class_name": "foo", "config": {}}, {}), "Unknown object: foo"),
        (lambda: objects.deserialize_keras_object({"class_name": "foo"}, {}), "Improper config"),
        (lambda: objects.deserialize_keras_object(3, {}), "Could not interpret"),
        (lambda: objects.serialize_keras_object(object()), "Cannot serialize"),
    ],
)
def test_registry_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("function", "name", "accept_all", "expected"),
    [
        (lambda a: a, "a", False, True),
        (lambda a: a, "b", True, False),
        (lambda *, a: a, "a", False, True),
        (lambda **a: a, "b", False, False),
        (lambda **a: a, "b", True, True),
        (lambda *a: a, "a", False, False),
        (lambda a, /: a, "a", False, False),
        (Thing, "part", False, True),
        (int, "x", True, False),
    ],
)
def test_has_arg(function, name, accept_all, expected):
    assert objects.has_arg(function, name, accept_all) is expected


def test_serialize_a_name():
    assert objects.serialize_keras_object(None) is None
    assert objects.serialize_keras_object(max) == "max"
    assert objects.serialize_keras_object(Thing) == "Thing"


def test_no_warning_is_raised_by_a_plain_activation():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert activations.get(jax.nn.gelu) is jax.nn.gelu
