"""Backend functions: against numpy on arrays and on symbols, gradients, functions with updates, phases, draws."""

import copy
import importlib.util
import warnings

import jax
import numpy as np
import pytest

from jkeras import backend as K
from jkeras import random
from jkeras.layers import Dense, Dropout, Lambda
from jkeras.models import Input, Model

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (3, 4)).astype("float32")
Y = RNG.uniform(-2, 2, (3, 4)).astype("float32")
CUBE = RNG.uniform(-1, 1, (2, 3, 4)).astype("float32")
IMAGES = RNG.uniform(-1, 1, (2, 5, 4, 3)).astype("float32")

# name of the function: its arguments, and what numpy says
CASES = {
    "abs": ((X,), np.abs(X)),
    "all": ((X > 0, 1), (X > 0).all(1)),
    "any": ((X > 1, 1), (X > 1).any(1)),
    "arange": ((2, 7, 2), np.arange(2, 7, 2)),
    "argmax": ((X,), X.argmax(-1)),
    "argmin": ((X, 0), X.argmin(0)),
    "batch_dot": ((CUBE, CUBE, (2, 2)), np.einsum("bij,bkj->bik", CUBE, CUBE)),
    "batch_flatten": ((CUBE,), CUBE.reshape(2, 12)),
    "bias_add": ((X, Y[0]), X + Y[0]),
    "cast": ((X, "int32"), X.astype("int32")),
    "clip": ((X, -0.5, 0.5), X.clip(-0.5, 0.5)),
    "concatenate": (([X, Y], 1), np.concatenate([X, Y], 1)),
    "cos": ((X,), np.cos(X)),
    "cumprod": ((X, 1), X.cumprod(1)),
    "cumsum": ((X,), X.cumsum(0)),
    "dot": ((X, Y.T), X @ Y.T),
    "equal": ((X, Y), X == Y),
    "exp": ((X,), np.exp(X)),
    "expand_dims": ((X, 1), X[:, None]),
    "eye": ((3,), np.eye(3)),
    "flatten": ((CUBE,), CUBE.ravel()),
    "gather": ((X, np.array([[2, 0]])), X[[[2, 0]]]),
    "greater": ((X, Y), X > Y),
    "greater_equal": ((X, X), X >= X),
    "identity": ((X,), X),
    "in_top_k": ((np.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]]), np.array([2, 0]), 2), [True, False]),
    "l2_normalize": ((X, 1), X / np.sqrt((X**2).sum(1, keepdims=True))),
    "less": ((X, Y), X < Y),
    "less_equal": ((X, Y), X <= Y),
    "log": ((np.abs(X),), np.log(np.abs(X))),
    "logsumexp": ((X, 1), np.log(np.exp(X).sum(1))),
    "max": ((X, 1), X.max(1)),
    "maximum": ((X, Y), np.maximum(X, Y)),
    "mean": ((X, [0, 1]), X.mean()),
    "min": ((X, 1, True), X.min(1, keepdims=True)),
    "minimum": ((X, Y), np.minimum(X, Y)),
    "not_equal": ((X, Y), X != Y),
    "one_hot": ((np.array([2, 0]), 3), np.eye(3)[[2, 0]]),
    "ones": (((2, 3),), np.ones((2, 3))),
    "ones_like": ((X,), np.ones_like(X)),
    "permute_dimensions": ((CUBE, (2, 0, 1)), CUBE.transpose(2, 0, 1)),
    "pow": ((X, 2), X**2),
    "prod": ((X, 0), X.prod(0)),
    "repeat": ((X, 2), np.repeat(X[:, None], 2, 1)),
    "repeat_elements": ((X, 2, 1), X.repeat(2, 1)),
    "reshape": ((X, (4, -1)), X.reshape(4, 3)),
    "resize_images": ((IMAGES, 2, 3, "channels_last"), IMAGES.repeat(2, 1).repeat(3, 2)),
    "reverse": ((X, [0, 1]), X[::-1, ::-1]),
    "round": ((np.array([0.5, 1.5, -0.6]),), [0.0, 2.0, -1.0]),
    "sign": ((X,), np.sign(X)),
    "sin": ((X,), np.sin(X)),
    "slice": ((CUBE, [0, 1, 2], [1, 2, -1]), CUBE[:1, 1:, 2:]),
    "softmax": ((X, 0), np.exp(X) / np.exp(X).sum(0)),
    "spatial_2d_padding": ((IMAGES, ((1, 0), (0, 2)), None), np.pad(IMAGES, ((0, 0), (1, 0), (0, 2), (0, 0)))),
    "sqrt": ((X,), np.sqrt(X.clip(0))),
    "square": ((X,), X**2),
    "squeeze": ((X[:, None], 1), X),
    "stack": (([X, Y], 1), np.stack([X, Y], 1)),
    "std": ((X, 0), X.std(0)),
    "sum": ((X, 0), X.sum(0)),
    "switch": ((np.array([True, False, True]), X, Y), np.where(np.array([[1], [0], [1]]), X, Y)),
    "temporal_padding": ((CUBE, (1, 2)), np.pad(CUBE, ((0, 0), (1, 2), (0, 0)))),
    "tile": ((X, [2, 1]), np.tile(X, (2, 1))),
    "transpose": ((X,), X.T),
    "var": ((X, 1), X.var(1)),
    "zeros": (((2, 3),), np.zeros((2, 3))),
    "zeros_like": ((X,), np.zeros_like(X)),
}


def symbolic(argument):
    """The arguments with a variable in place of each array."""
    if isinstance(argument, np.ndarray):
        return K.variable(argument, dtype=argument.dtype if argument.dtype != "float64" else None)
    return [symbolic(part) for part in argument] if isinstance(argument, list) else argument


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wrap", [lambda argument: argument, symbolic], ids=["arrays", "symbols"])
def test_function(name, wrap):
    arguments, expected = CASES[name]
    result = K.eval(getattr(K, name)(*(wrap(argument) for argument in arguments)))
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("unknown", [(None, 4), (None, None)])
def test_a_function_of_placeholders_takes_any_size(unknown):
    a, b = K.placeholder(shape=unknown), K.placeholder(ndim=2)
    both = K.function([a, b], [a * 2.0 + b, K.sum(a, axis=-1)])
    total, sums = both([X, Y])
    np.testing.assert_allclose(total, 2 * X + Y, rtol=1e-6)
    np.testing.assert_allclose(sums, X.sum(-1), rtol=1e-5)
    assert both([X[:2], Y[:2]])[0].shape == (2, 4)


@pytest.mark.parametrize(
    "arguments, error",
    [((1, []), TypeError), (([], 1), TypeError), (([], [], 1), TypeError)],
    ids=["inputs", "outputs", "updates"],
)
def test_function_wants_lists(arguments, error):
    with pytest.raises(error, match="should be a list"):
        K.function(*arguments)


def test_the_learning_phase_may_be_left_out_of_a_call():
    """It is 0 then, as in Keras on TensorFlow, whose placeholder for it has that default."""
    x = K.placeholder(shape=(None, 4))
    function = K.function([x, K.learning_phase()], [K.in_train_phase(x * 2.0, x)])
    for values, factor in ([X], 1), ([X, 0], 1), ([X, 1], 2):
        np.testing.assert_allclose(function(values)[0], X * factor)
    with pytest.raises(ValueError, match="2 inputs was called with 0 values"):
        function([])


def test_function_says_what_does_not_fit():
    x = K.placeholder(shape=(None, 4), name="x")
    with pytest.raises(ValueError, match="x:0.*shape.*3, 5"):
        K.function([x], [x])([np.zeros((3, 5))])
    with pytest.raises(ValueError, match="2 values"):
        K.function([x], [x])([X, X])
    with pytest.raises(ValueError, match="disconnected"):
        K.function([], [x])


@pytest.mark.parametrize("left", [2.0, X, "constant"], ids=["number", "numpy", "constant"])
def test_operators_with_a_symbol_on_the_right(left):
    value = X if isinstance(left, str) else left
    left = K.constant(X) if isinstance(left, str) else left
    np.testing.assert_allclose(K.eval(left * K.variable(Y) - 1.0), value * Y - 1.0, rtol=1e-6)
    np.testing.assert_allclose(K.eval(left / K.variable(Y)), value / Y, rtol=1e-5)


# ------------------------------------------------------------------------------------------------ variables, updates


def test_updates_are_simultaneous_and_follow_set_value():
    v, w = K.variable(1.0), K.variable(10.0)
    swap = K.function([], [v + w], updates=[(v, w), K.update_add(w, v)])
    assert swap([]) == [11.0]
    assert K.batch_get_value([v, w]) == [10.0, 11.0]
    K.batch_set_value([(v, 5.0), (w, 6.0)])
    assert swap([]) == [11.0]
    assert K.batch_get_value([v, w]) == [6.0, 11.0]
    assert K.eval(K.update_sub(w, 1.0)) == 10.0
    assert K.get_value(w) == 10.0


def test_moving_average_starts_with_the_first_value():
    v = K.variable(100.0)
    value = K.placeholder(shape=())
    step = K.function([value], [], updates=[K.moving_average_update(v, value, 0.9)])
    step([2.0])
    assert K.get_value(v) == pytest.approx(2.0, rel=1e-5)
    step([4.0])
    assert K.get_value(v) == pytest.approx((0.9 * 2.0 + 4.0) / 1.9, rel=1e-5)


def test_set_value_checks_the_shape():
    with pytest.raises(ValueError, match="shape"):
        K.set_value(K.variable(X), X[:2])


def test_gradients():
    x, other = K.variable(X), K.variable(Y)
    first, none = K.gradients(K.sum(K.square(x) * 3.0), [x, other])
    np.testing.assert_allclose(K.eval(first), 6 * X, rtol=1e-5)
    assert none is None
    (second,) = K.gradients(K.sum(K.square(first)), x)
    np.testing.assert_allclose(K.eval(second), 72 * X, rtol=1e-5)


def test_gradients_of_several():
    x = K.variable(X)
    (slope,) = K.gradients([x * 2.0, K.sum(x, axis=0)], [x])
    np.testing.assert_allclose(K.eval(slope), np.full_like(X, 3))


def test_gradients_with_respect_to_inputs_and_weights_of_a_model():
    x = Input(shape=(4,))
    layer = Dense(1, use_bias=False)
    y = layer(x)
    of_input, of_kernel = K.gradients(K.sum(y), [x, layer.kernel])
    results = K.function([x], [of_input, of_kernel])
    kernel = layer.get_weights()[0]
    got = results([X])
    np.testing.assert_allclose(got[0], np.broadcast_to(kernel.T, X.shape), rtol=1e-5)
    np.testing.assert_allclose(got[1], X.sum(0)[:, None], rtol=1e-5)
    layer.set_weights([kernel * 2])  # weights are read at each call
    np.testing.assert_allclose(results([X])[0], 2 * np.broadcast_to(kernel.T, X.shape), rtol=1e-5)


# ------------------------------------------------------------------------------------------------- phases, and draws


@pytest.mark.parametrize("phase, expected", [(None, 3.0), (0, 3.0), (1, 2.0)])
def test_learning_phase(phase, expected):
    x = K.placeholder(shape=(None, 4))
    chosen = K.in_train_phase(x * 2.0, lambda: x * 3.0)
    given = [] if phase is None else [phase]
    result = K.function([x, *([] if phase is None else [K.learning_phase()])], [chosen])([X, *given])[0]
    np.testing.assert_allclose(result, expected * X, rtol=1e-6)


@pytest.mark.parametrize("training", [0, 1])
def test_stated_phase(training):
    assert K.in_train_phase("train", "test", training=training) == ("test", "train")[training]
    assert K.in_test_phase("test", "train", training=training) == ("test", "train")[training]


def test_set_learning_phase_until_the_session_is_cleared():
    K.set_learning_phase(1)
    assert K.learning_phase() == 1
    assert K.in_train_phase("train", "test") == "train"
    K.clear_session()
    assert K.is_tensor(K.learning_phase())
    with pytest.raises(ValueError, match="0 or 1"):
        K.set_learning_phase(2)


def test_dropout_layer_in_both_phases():
    x = Input(shape=(4,))
    y = Dropout(0.5)(x)
    f = K.function([x, K.learning_phase()], [y])
    ones = np.ones((50, 4), "float32")
    np.testing.assert_array_equal(f([ones, 0])[0], ones)
    dropped = f([ones, 1])[0]
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped != f([ones, 1])[0]).any()


DRAWS = {
    "random_normal": ({"mean": 1.0, "stddev": 2.0}, 1.0, 2.0),
    "random_uniform": ({"minval": -1.0, "maxval": 1.0}, 0.0, 1 / np.sqrt(3)),
    "random_binomial": ({"p": 0.3}, 0.3, np.sqrt(0.21)),
    "truncated_normal": ({"stddev": 1.0}, 0.0, 0.88),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws(name):
    arguments, mean, deviation = DRAWS[name]
    random.seed(0)
    symbol = getattr(K, name)((2000, 5), **arguments)
    assert symbol.shape == (2000, 5)
    first, second = K.eval(symbol), K.eval(symbol)
    assert (first != second).any()
    assert first.mean() == pytest.approx(mean, abs=0.06)
    assert first.std() == pytest.approx(deviation, abs=0.06)


def test_draws_of_the_size_of_an_input_in_and_outside_of_a_layer():
    x = Input(shape=(4,))
    noise = K.random_normal(shape=(K.shape(x)[0], 4))
    assert noise.shape == (None, 4)
    assert K.function([x], [x + noise])([X])[0].shape == X.shape

    sampled = Lambda(lambda z: z + K.random_normal(shape=(K.shape(z)[0], K.int_shape(z)[1])))
    model = Model(x, sampled(x))
    outputs, _ = model.apply({}, {}, X, key=0)
    again, _ = model.apply({}, {}, X, key=0)
    assert (outputs != X).all()
    np.testing.assert_array_equal(outputs, again)


# ----------------------------------------------------------------------------------------------- loops, neural things


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_rnn(unroll, backwards):
    weight = K.variable(0.5)

    def step(x, states):
        new = weight * states[0] + x + states[1]
        return new, [new]

    constant, start = K.constant(1.0, shape=(2, 4)), K.zeros((2, 4))
    last, outputs, states = K.rnn(
        step, K.variable(CUBE), [start], go_backwards=backwards, constants=[constant], unroll=unroll
    )
    expected, state = [], np.zeros((2, 4))
    for time in range(3)[:: -1 if backwards else 1]:
        state = 0.5 * state + CUBE[:, time] + 1
        expected.append(state)
    np.testing.assert_allclose(K.eval(outputs), np.stack(expected, 1), rtol=1e-5)
    np.testing.assert_allclose(K.eval(last), expected[-1], rtol=1e-5)
    np.testing.assert_allclose(K.eval(states[0]), expected[-1], rtol=1e-5)


@pytest.mark.parametrize(
    "fold, expected", [("foldl", ((1 * 2 + 2) * 2 + 3) * 2 + 4), ("foldr", ((4 * 2 + 3) * 2 + 2) * 2 + 1)]
)
def test_folds(fold, expected):
    assert K.eval(getattr(K, fold)(lambda a, x: 2 * a + x, K.variable([1.0, 2.0, 3.0, 4.0]))) == expected


def test_map_fn_of_several():
    mapped = K.map_fn(lambda pair: pair[0] * K.sum(pair[1]), [K.variable(X), K.variable(Y)], dtype="float32")
    np.testing.assert_allclose(K.eval(mapped), X * Y.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("greedy", [True, False])
def test_ctc_decode_merges_repeated_labels_and_drops_blanks(greedy):
    blank = 3
    path = [0, 0, blank, 1, 2, 2, blank]
    sure = np.full((1, 7, 4), 0.01, "float32")
    sure[0, range(7), path] = 0.97
    labels, scores = K.ctc_decode(K.variable(sure), K.constant([7], dtype="int32"), greedy=greedy)
    assert K.eval(labels[0]).tolist() == [[0, 1, 2]]
    assert K.eval(scores).shape == (1, 1)


def test_ctc_cost_sums_over_alignments():
    even = np.full((1, 2, 3), 1 / 3, "float32")
    cost = K.ctc_batch_cost(K.constant([[1]], dtype="int32"), K.variable(even), K.constant([[2]]), K.constant([[1]]))
    # label, blank; blank, label; label, label: three of the nine paths of two steps
    assert K.eval(cost)[0, 0] == pytest.approx(-np.log(3 / 9), rel=1e-4)


# ----------------------------------------------------------------------------------------------------------- settings


def test_names_start_again_when_the_session_is_cleared():
    K.clear_session()
    assert Dense(1).name == "dense_1"
    assert Dense(1).name == "dense_2"
    K.clear_session()
    assert Dense(1).name == "dense_1"


def test_what_symbols_say_of_themselves():
    x, v = Input(shape=(4,)), K.variable(X, name="weights")
    hole = K.placeholder(shape=(None, 2), dtype="int32")
    assert K.int_shape(x) == (None, 4) and K.ndim(hole) == 2 and K.dtype(hole) == "int32"
    assert K.count_params(v) == 12 and v.name == "weights:0"
    assert [K.is_placeholder(s) for s in (x, hole, v)] == [True, True, False]
    assert [K.is_keras_tensor(s) for s in (x, hole, v)] == [True, False, False]
    assert K.eval(K.shape(v)).tolist() == [3, 4]
    with pytest.raises(ValueError, match="Unexpectedly found"):
        K.is_keras_tensor(X)


def test_constant_fills_a_shape():
    assert K.eval(K.constant(2.5, shape=(2, 2))).tolist() == [[2.5, 2.5], [2.5, 2.5]]
    assert K.eval(K.constant([1, 2, 3, 4], shape=(2, 2), dtype="int32")).tolist() == [[1, 2], [3, 4]]


# -------------------------------------------------------------------------------------------- shapes that are tensors


def shaped(function, feed=IMAGES):
    """What `function` gives of a placeholder of unknown batch size: the sizes inferred, and the value."""
    x = K.placeholder((None, 5, 4, 3))
    y = function(x, K.shape(x))
    return K.int_shape(y), K.function([x], [y])([feed])[0]


# what is computed of x and K.shape(x): (what, its inferred sizes, its sizes for two images)
SHAPED = {
    "reshape": (lambda x, s: K.reshape(x, (s[0], -1)), (None, 60), (2, 60)),
    "reshape to a stack": (lambda x, s: K.reshape(x, K.stack([s[0] * 5, -1])), (None, 12), (10, 12)),
    "reshape to a concatenation": (
        lambda x, s: K.reshape(x, K.concatenate([s[:1], [5, -1]])),
        (None, 5, 12),
        (2, 5, 12),
    ),
    "reshape to lists": (lambda x, s: K.reshape(x, K.concatenate([[s[0]], [5, -1]])), (None, 5, 12), (2, 5, 12)),
    "reshape to products": (lambda x, s: K.reshape(x, (K.prod(s[:2]), s[2] * s[3])), (None, 12), (10, 12)),
    "zeros": (lambda x, s: K.zeros(s), (None, 5, 4, 3), (2, 5, 4, 3)),
    "ones": (lambda x, s: K.ones((s[0], 3)), (None, 3), (2, 3)),
    "eye": (lambda x, s: K.eye(s[0]), (None, None), (2, 2)),
    "draw": (lambda x, s: K.random_uniform((s[0], 3)), (None, 3), (2, 3)),
    "draw of a shape": (lambda x, s: K.random_normal(s[:2]), (None, 5), (2, 5)),
    "draw beside": (lambda x, s: K.random_uniform((2, 1, 1, 1)) * x, (2, 5, 4, 3), (2, 5, 4, 3)),
    "tile": (lambda x, s: K.tile(x, [1, 1, s[1], 1]), (None, 5, 20, 3), (2, 5, 20, 3)),
    "tile unknown": (lambda x, s: K.tile(K.ones((1, 3)), [s[0], 1]), (None, 3), (2, 3)),
    "arange": (lambda x, s: K.arange(s[1]), (5,), (5,)),
    "arange unknown": (lambda x, s: K.arange(0, s[0] * 2), (None,), (4,)),
    "one_hot": (lambda x, s: K.one_hot(K.argmax(x), s[0]), (None, 5, 4, None), (2, 5, 4, 2)),
    "repeat": (lambda x, s: K.repeat(K.batch_flatten(x), s[0]), (None, None, 60), (2, 2, 60)),
    "cut": (lambda x, s: x[:, : s[1] // 2], (None, 2, 4, 3), (2, 2, 4, 3)),
    "cast": (lambda x, s: K.zeros(K.cast(s, "int64")), (None, 5, 4, 3), (2, 5, 4, 3)),
    "expand_dims": (lambda x, s: K.ones(K.expand_dims(s[0], 0)), (None,), (2,)),
    "slice": (lambda x, s: K.slice(x, [0, s[1] - 2, 0, 0], [-1, 2, 1, -1]), (None, 2, 1, 3), (2, 2, 1, 3)),
}


@pytest.mark.parametrize("name", SHAPED)
def test_sizes_stand_in_shapes(name):
    function, inferred, sizes = SHAPED[name]
    known, value = shaped(function)
    assert (known, value.shape) == (inferred, sizes)
    in_a_layer = Lambda(lambda x: function(x, K.shape(x)))
    x = Input((5, 4, 3))
    assert Model(x, in_a_layer(x)).apply({}, {}, IMAGES, key=0)[0].shape == sizes


# K.shape(x) as numbers: what, for two images
NUMBERS = {
    "shape": (lambda s: s, [2, 5, 4, 3]),
    "cut and times": (lambda s: s[1:3] * 32, [160, 128]),
    "times cut": (lambda s: 32 * s[0:2] + 1, [65, 161]),
    "with a list": (lambda s: s - [1, 2, 3, 3], [1, 3, 1, 0]),
    "modulo": (lambda s: s % 3, [2, 2, 1, 0]),
    "one size": (lambda s: s[0], 2),
    "backwards": (lambda s: s[::-1], [3, 4, 5, 2]),
    "halves": (lambda s: s * 0.5, [1, 2.5, 2, 1.5]),
    "quotients": (lambda s: 60 / s, [30, 12, 15, 20]),
    "divided": (lambda s: s / s[::-1], [2 / 3, 5 / 4, 4 / 5, 3 / 2]),
    "with a vector": (lambda s: s * np.array([0.5, 1, 1, 1], "float32"), [1, 5, 4, 3]),
    "cast": (lambda s: K.cast(s, "float32"), [2, 5, 4, 3]),
    "cast of one": (lambda s: K.cast(s[0], "float32") / 4.0, 0.5),
    "product of a cast": (lambda s: K.prod(K.cast(s, "float32")), 120),
    "largest": (lambda s: K.max(s), 5),
    "equal": (lambda s: K.equal(s[0], 2), True),
    "gather": (lambda s: K.gather(s, np.array([1, 1])), [5, 5]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_sizes_compute(name):
    function, expected = NUMBERS[name]
    np.testing.assert_allclose(shaped(lambda x, s: function(s))[1], expected, rtol=1e-6)
    np.testing.assert_allclose(K.eval(function(K.shape(K.variable(IMAGES)))), expected, rtol=1e-6)


def test_a_shape_answers_as_a_tensor():
    sizes = K.shape(K.placeholder((None, 4)))
    assert K.is_tensor(sizes)
    assert (K.int_shape(sizes), K.ndim(sizes), K.dtype(sizes)) == ((2,), 1, "int32")


def test_what_is_no_size_is_named():
    x = K.placeholder((None, 4))
    with pytest.raises(TypeError, match="is no size.*K.shape"):
        K.reshape(x, (K.argmax(K.flatten(x)), -1))


# --------------------------------------------------------------------------------------------------------- batch_dot

# shapes of x and y, axes, and the einsum that Keras 2.2.4 on TensorFlow computes then
BATCH_DOTS = [
    ((2, 3), (2, 3), 1, "bi,bi->b"),
    ((2, 3), (2, 3, 5), (1, 1), "bi,bij->bj"),
    ((2, 3), (2, 5, 3), (1, 2), "bi,bji->bj"),
    ((2, 3, 5), (2, 3), (1, 1), "bij,bi->bj"),
    ((2, 4, 3), (2, 3), (2, 1), "bji,bi->bj"),
    ((2, 4, 3), (2, 3, 5), None, "bij,bjk->bik"),
    ((2, 3, 4), (2, 3, 5), (1, 1), "bji,bjk->bik"),
    ((2, 4, 3), (2, 5, 3), 2, "bij,bkj->bik"),
    ((2, 4, 3), (2, 4, 3), -1, "bji,bjk->bik"),
    ((2, 4, 3), (2, 4, 3, 6), (2, 2), "bni,bnij->bnj"),
    ((2, 4, 3), (2, 4, 5, 3), (2, 3), "bni,bnji->bnj"),
    ((2, 4, 3, 6), (2, 4, 3, 5), (2, 2), "bnij,bnik->bnjk"),
    ((2, 4, 5, 3), (2, 4, 3, 6), None, "bnij,bnjk->bnik"),
    ((2, 4, 5, 3), (2, 4, 6, 3), 3, "bnij,bnkj->bnik"),
    ((2, 4, 5, 3), (2, 4, 5, 6, 3), (3, 4), "bmni,bmnji->bmnj"),
]


@pytest.mark.parametrize("x, y, axes, formula", BATCH_DOTS)
def test_batch_dot(x, y, axes, formula):
    x, y = RNG.normal(size=x).astype("float32"), RNG.normal(size=y).astype("float32")
    expected = np.einsum(formula, x, y)
    found = K.eval(K.batch_dot(x, y, axes))
    np.testing.assert_allclose(found, expected[:, None] if expected.ndim == 1 else expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ sparse


class Coordinates:
    """What of a matrix of scipy is needed."""

    def __init__(self, dense):
        self.dense, self.shape, self.dtype = dense, dense.shape, dense.dtype
        self.row, self.col = np.nonzero(dense)
        self.data = dense[self.row, self.col]

    def tocoo(self):
        return self

    def toarray(self):
        return self.dense


MATRIX = np.where(X > 0.5, X, 0)
SPARSE = {
    "dot": (lambda x: K.dot(x, K.constant(Y.T)), MATRIX @ Y.T, False),
    "concatenate": (lambda x: K.concatenate([x, x], 0), np.concatenate([MATRIX, MATRIX]), True),
    "concatenate with dense": (lambda x: K.concatenate([x, K.constant(Y)]), np.concatenate([MATRIX, Y], 1), False),
    "to_dense": (K.to_dense, MATRIX, False),
    "what knows no sparse arrays": (lambda x: K.sum(x, axis=0), MATRIX.sum(0), False),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse(name):
    function, expected, stays = SPARSE[name]
    matrix = Coordinates(MATRIX)
    variable, hole = K.variable(matrix), K.placeholder((None, 4), sparse=True)
    assert K.is_sparse(variable) and K.is_sparse(hole) and not K.is_sparse(K.variable(MATRIX))
    of_variable, of_hole = function(variable), function(hole)
    assert (K.is_sparse(of_variable), K.is_sparse(of_hole)) == (stays, stays)
    np.testing.assert_allclose(K.eval(of_variable), expected, rtol=1e-5)
    np.testing.assert_allclose(K.function([hole], [of_hole])([matrix])[0], expected, rtol=1e-5)


def test_sparse_variables_are_set_and_read():
    variable = K.variable(Coordinates(MATRIX))
    np.testing.assert_array_equal(K.get_value(variable), MATRIX)
    K.set_value(variable, Coordinates(2 * MATRIX))
    np.testing.assert_array_equal(K.eval(variable), 2 * MATRIX)


def test_gradients_pass_sparse_matrices():
    weights, hole = K.variable(Y.T), K.placeholder((None, 4), sparse=True)
    (slope,) = K.gradients(K.sum(K.dot(hole, weights)), weights)
    got = K.function([hole], [slope])([Coordinates(MATRIX)])[0]
    np.testing.assert_allclose(got, np.repeat(MATRIX.sum(0)[:, None], 3, 1), rtol=1e-5)


def test_ctc_labels_without_what_fills_them_up():
    labels = K.ctc_label_dense_to_sparse(K.constant([[1, 2], [3, 4]], dtype="int32"), K.constant([2, 1], dtype="int32"))
    assert K.is_sparse(labels)
    assert K.eval(labels).tolist() == [[1, 2], [3, 0]]


# --------------------------------------------------------------------------------------------------- compiling little


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(event) if "backend_compile" in event else None
)


def test_what_is_asked_for_again_compiles_nothing():
    draw, x = K.random_uniform((3,)), K.placeholder((None, 3))
    scaled = K.function([x], [x * 2.0])

    def ask():
        scaled([np.ones((2, 3))])
        return float(K.eval(draw)[0])

    COMPILED.clear()
    ask(), ask()
    assert COMPILED
    COMPILED.clear()
    assert len({ask() for _ in range(5)}) == 5
    assert not COMPILED


def test_symbols_tell_their_values():
    """As tensors of Theano and TensorFlow do; for holes, given ones."""
    x, variable = K.placeholder(shape=(2,)), K.variable([1.0, 2.0])
    total = x + variable
    assert (variable * 2).eval().tolist() == (variable * 2).numpy().tolist() == [2.0, 4.0]
    assert variable.eval().tolist() == [1.0, 2.0] and total.eval({x: np.array([3.0, 4.0])}).tolist() == [4.0, 6.0]
    with pytest.raises(ValueError, match="disconnected"):
        total.eval()


def test_what_was_evaluated_can_be_copied():
    total = K.sum(K.variable(X))
    K.eval(total), K.eval(total)
    assert K.eval(copy.deepcopy(total)) == K.eval(total)


def test_a_small_graph_that_is_written_again_compiles_nothing():
    def ask():
        return K.eval(K.sum(K.square(K.variable(X)) + K.random_normal((3, 4), seed=1)))

    ask()
    COMPILED.clear()
    assert len({float(ask()) for _ in range(3)}) == 3
    assert not COMPILED


# ------------------------------------------------------------------------------------------------- the rest of the API


def test_the_other_address():
    from jkeras.backend import tensorflow_backend

    assert K.tensorflow_backend is tensorflow_backend
    assert all(getattr(tensorflow_backend, name) is getattr(K, name) for name in K.__all__)
    assert len(K.tensorflow_backend._get_available_gpus()) == len(jax.local_devices())


@pytest.mark.parametrize(
    "ask, error, message",
    [
        (lambda: K.function([0], []), TypeError, "are symbols"),
        (lambda: K.get_session(), NotImplementedError, "K.eval"),
        (lambda: K.set_session(None), NotImplementedError, "XLA_PYTHON_CLIENT_MEM_FRACTION"),
        (lambda: K.tf, AttributeError, "jax.numpy"),
        (lambda: K.no_such_thing, AttributeError, "no_such_thing"),
        (lambda: K.function([], [], options=1), ValueError, "sessions"),
        (lambda: K.function([], [])(1.0), TypeError, "list of values"),
        (lambda: K.set_image_dim_ordering("xy"), ValueError, "'tf' or 'th'"),
        (lambda: K.manual_variable_initialization("yes"), TypeError, "bool"),
        (lambda: K.dropout(K.variable(X), level=-0.5), ValueError, "level"),
        (lambda: K.pool2d(IMAGES, (2, 2), padding="twice"), ValueError, "padding"),
        (lambda: K.conv2d(IMAGES, np.zeros((1, 1, 3, 1)), padding="causal"), ValueError, "padding"),
    ],
    ids=range(12),
)
def test_what_there_is_not(ask, error, message):
    with pytest.raises(error, match=message):
        ask()


def test_old_names_of_the_image_layout():
    assert K.image_dim_ordering() == "tf"
    K.set_image_dim_ordering("th")
    assert (K.image_dim_ordering(), K.image_data_format()) == ("th", "channels_first")


def test_arange_of_constants():
    assert K.eval(K.arange(K.constant(2, dtype="int32"))).tolist() == [0, 1]
    assert K.eval(K.arange(K.constant(-1, dtype="int32"))).size == 0


# -------------------------------------------------------------------------------------------------------- keras.json


@pytest.mark.parametrize(
    "text, environment, expected, warns",
    [
        (None, "", {}, []),
        ('{"floatx": "float64", "epsilon": 1e-5, "image_data_format": "channels_first", "backend": "tensorflow"}', "",
         {"floatx": "float64", "epsilon": 1e-5, "image_data_format": "channels_first", "backend": "tensorflow"}, []),
        ('{"floatx": "float128", "epsilon": "small"}', "", {}, ["floatx cannot be 'float128'", "epsilon cannot be"]),
        ('{"backend": "theano"}', "tensorflow", {"backend": "tensorflow"}, ["keras.json: backend cannot be 'theano'"]),
        (None, "cntk", {}, ["KERAS_BACKEND: backend cannot be 'cntk'"]),
        ("[1]", "", {}, ["no JSON file of settings"]),
        ("[" * 5000, "", {}, ["no JSON file of settings"]),
        ('{"epsilon": 1e-3}' + " " * 100_000, "", {}, ["no JSON file of settings"]),
    ],
    ids=["none", "all", "wrong values", "file and environment", "environment", "a list", "nested", "large"],
)  # fmt: skip
def test_settings_file(tmp_path, monkeypatch, text, environment, expected, warns):
    if text is not None:
        (tmp_path / "keras.json").write_text(text)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", environment)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spec = importlib.util.find_spec("jkeras.config")
        fresh = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fresh)
    assert [any(part in str(warning.message) for warning in caught) for part in warns] == [True] * len(warns)
    assert len(caught) == len(warns)
    defaults = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "backend": "jax"}
    found = {name: getattr(fresh, name)() for name in defaults}
    assert found == defaults | expected
    assert (tmp_path / "keras.json").exists() == (text is not None)
