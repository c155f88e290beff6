"""The graph: layers called on symbols, shared, nested, asked for their calls; user layers; functions and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kit import close, same_bits

from jkeras import backend as K
from jkeras import layers
from jkeras.models import Model, Sequential, clone_model

X = np.random.RandomState(0).randn(5, 4).astype("float32")


class Scale(layers.Layer):
    """Keras style: weights in build, a loss and an update in call."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", shape=(input_shape[-1],), initializer="ones")
        self.count = self.add_weight("count", shape=(1,), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, x, training=None):
        self.add_loss(0.5 * K.mean(K.square(x)), inputs=x)
        self.add_update([(self.count, self.count + 1.0)], x)
        self.seen = x  # must not stay behind
        return x * self.scale * (2.0 if training else 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape


class Twice(layers.Dense):
    """A built-in layer, extended."""

    def call(self, x):
        return 2 * super().call(x)


def test_calls_of_a_layer():
    a, b = layers.Input((3, 4)), layers.Input((5, 4))
    lstm = layers.LSTM(2, name="lstm_1")
    with pytest.raises(AttributeError, match="not connected"):
        _ = lstm.output
    first = lstm(a)
    assert lstm.output is first and lstm.input is a and lstm.output_shape == (None, 2)
    second = lstm(b)
    assert (lstm.get_output_at(0), lstm.get_output_at(1)) == (first, second) and lstm.get_input_at(1) is b
    assert lstm.get_input_shape_at(0) == (None, 3, 4) and lstm.get_output_shape_at(1) == (None, 2)
    with pytest.raises(AttributeError) as caught:
        _ = lstm.output
    assert str(caught.value) == (
        'Layer lstm_1 has multiple inbound nodes, hence the notion of "layer output" is ill-defined. '
        "Use `get_output_at(node_index)` instead."
    )
    with pytest.raises(AttributeError, match='multiple inbound nodes, with different input shapes.*"input shape"'):
        _ = lstm.input_shape
    with pytest.raises(ValueError, match="node 2.*only 2"):
        lstm.get_output_at(2)


def test_symbols():
    x = layers.Input((4,), name="x")
    y = layers.Dense(3)(x)
    assert x.shape == x._keras_shape == (None, 4) and y.dtype == "float32" and x.name == "x:0"
    assert y._keras_history[1:] == (0, 0)
    total = (2 * y + 1 - y / 2) ** 2
    assert total.shape == (None, 3)
    weights = y._keras_history[0].get_weights()
    plain = X @ weights[0] + weights[1]
    np.testing.assert_allclose(K.function([x], [total])([X])[0], (2 * plain + 1 - plain / 2) ** 2, rtol=1e-5)
    for misuse in (lambda: bool(y), lambda: np.asarray(y), lambda: len(x)):
        with pytest.raises(TypeError):
            misuse()


def _one(shape=(4,), **arguments):
    return layers.Input(shape, **arguments)


MISTAKES = [
    ("no shape", lambda: layers.Input(), ValueError, "shape"),
    ("array", lambda: layers.Dense(2)(X), ValueError, "isn't a symbolic tensor"),
    ("rank", lambda: layers.Conv2D(2, 2)(_one()), ValueError, "conv2d.*expected ndim=4, found ndim=2"),
    ("keyword", lambda: layers.Dense(2, colour="red"), TypeError, "colour"),
    (
        "starts inside",
        lambda: Model(h := layers.Dense(2)(_one()), layers.Dense(2)(h)),
        ValueError,
        r"dense_\d.*new Input",
    ),
    ("disconnected", lambda: Model(_one(), layers.Dense(2)(_one())), ValueError, "Graph disconnected"),
    (
        "names",
        lambda: (lambda x: Model(x, layers.Dense(2, name="a")(layers.Dense(2, name="a")(x))))(_one()),
        ValueError,
        'The name "a" is used 2 times',
    ),
    ("twice", lambda: (lambda x: Model([x, x], layers.Dense(2)(x)))(_one()), ValueError, "redundant"),
    ("no layer", lambda: (lambda x: Model(x, layers.Dense(2)(x) * 2))(_one()), ValueError, "Lambda"),
    ("a layer for its output", lambda: Model(_one(), layers.Dense(2)), ValueError, "Use its `.output`: it is a layer"),
    (
        "a model for its input",
        lambda: (lambda m: Model(m, m.output))(Model(x := _one(), layers.Dense(2)(x))),
        ValueError,
        "Use its `.input`: it is a layer",
    ),
    (
        "no such layer of many",
        lambda: Sequential([layers.Dropout(0.5, name="a" * 600), layers.Dropout(0.5, name="b" * 600)]).get_layer("c"),
        ValueError,
        r"^No such layer: c. The layers are: a{600},\.\.\.\.$",
    ),
    ("inside", lambda: (lambda x: Model(x, layers.Dense(2)(x * 2)))(_one()), ValueError, "Lambda"),
    ("no such layer", lambda: (lambda x: Model(x, layers.Dense(2)(x)))(_one()).get_layer("b"), ValueError, "b"),
    ("no layer to add", lambda: Sequential().add("dense"), TypeError, "dense"),
    ("nothing to pop", lambda: Sequential().pop(), TypeError, "no layers"),
    ("mask", lambda: layers.Flatten()(layers.Masking()(_one((3, 4)))), TypeError, "does not support masking"),
]


@pytest.mark.parametrize("mistake,error,message", [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_mistakes(mistake, error, message):
    with pytest.raises(error, match=message):
        mistake()


def test_several_inputs_outputs_and_nested_models():
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    inner_in = layers.Input((4,))
    inner = Model(inner_in, layers.Dense(3, activation="relu")(inner_in), name="inner")
    joined = layers.concatenate([inner(a), inner(b)])
    model = Model([a, b], [layers.Dense(2, name="left")(joined), joined])
    assert [layer.name for layer in model.layers[:3]] == ["a", "b", "inner"] and len(model.get_weights()) == 4
    left, both = model.predict({"a": X, "b": -X})
    kernel, bias = inner.get_weights()
    wanted = np.maximum(np.concatenate([X @ kernel + bias, -X @ kernel + bias], axis=1), 0)
    np.testing.assert_allclose(both, wanted, rtol=1e-5, atol=1e-6)
    assert left.shape == (5, 2) and model.output_names[0] == "left"
    params, state = model.init(jax.random.key(0))
    assert set(params) == {"inner", "left"}
    np.testing.assert_array_equal(*(jax.tree.leaves(model.init(jax.random.key(0))[0])[0] for _ in range(2)))


def test_an_unused_input_is_accepted_as_in_keras():
    a, b = layers.Input((4,)), layers.Input((2,))
    model = Model([a, b], layers.Dense(3)(a))
    assert model.predict([X, X[:, :2]]).shape == (5, 3)


def test_user_layers():
    x = layers.Input((4,))
    scale, twice = Scale(name="a_scale"), Twice(3, name="a_twice")
    model = Model(x, twice(scale(x)))
    assert [w.name.partition("/")[2] for w in model.weights] == ["scale:0", "kernel:0", "bias:0", "count:0"]
    assert not hasattr(scale, "seen")
    params, state = model.init(jax.random.key(0))
    outputs, after = model.apply(params, state, X, training=True)
    dense = params[twice.name]
    np.testing.assert_allclose(outputs, 2 * (2 * X @ dense["kernel"] + dense["bias"]), rtol=1e-5)
    assert after[scale.name]["count"][0] == 1.0 and state[scale.name]["count"][0] == 0.0
    model.compile("sgd", lambda y_true, y_pred: 0.0 * y_pred)
    np.testing.assert_allclose(model.evaluate(X, np.zeros((5, 3)), verbose=0), 0.5 * np.mean(X**2), rtol=1e-5)
    model.train_on_batch(X, np.zeros((5, 3)))
    assert scale.get_weights()[1][0] == 1.0
    pure = Scale()
    params, state = pure.init(jax.random.key(0), (None, 4))
    np.testing.assert_allclose(pure.apply(params, state, X)[0], X)
    assert not pure.built and not hasattr(pure, "seen")


def test_functions_and_gradients():
    x = layers.Input((4,))
    dense = layers.Dense(3, activation="tanh")
    h = dense(x)
    y = layers.Dropout(0.5)(h)
    f = K.function([x, K.learning_phase()], [h, y])
    hidden, dropped = f([X, 0])
    np.testing.assert_allclose(hidden, dropped)
    assert not np.array_equal(*f([X, 1]))
    loss = K.sum(K.square(h))
    by_input, by_hidden, by_kernel = K.gradients(loss, [x, h, dense.kernel])
    values = K.function([x], [by_input, by_hidden, by_kernel])([X])
    kernel, bias = dense.get_weights()

    def plain(x, kernel):
        return jnp.sum(jnp.tanh(x @ kernel + bias) ** 2)

    wanted = [jax.grad(plain)(X, kernel), 2 * hidden, jax.grad(plain, 1)(X, kernel)]
    for value, expected in zip(values, wanted, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


class Slope(layers.Layer):
    """The gradient of another model's output, of what it computes itself with a draw in it, and of its weight."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def build(self, input_shape):
        self.scale = self.add_weight("scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        shifted = x + K.random_uniform((1, 4))
        own, by_scale, nothing = K.gradients(K.sum(K.square(shifted) * self.scale), [shifted, self.scale, x + 1])
        assert nothing is None
        inner = K.gradients(self.inner(x), x)[0]
        return [inner, own - 2 * shifted, by_scale - K.sum(K.square(shifted), axis=0)]


def test_gradients_inside_of_a_call():
    x = layers.Input((4, 4, 2))
    before = layers.Conv2D(3, 1)(x)
    after = layers.MaxPooling2D()(before)
    where = layers.Lambda(lambda pair: K.gradients(K.sum(pair[1]), pair[0]))([before, after])  # a list of one
    assert K.int_shape(where) == (None, 4, 4, 3)
    images = np.random.RandomState(1).randn(3, 4, 4, 2).astype("float32")
    values, switches = Model(x, [before, where]).predict(images)
    parts = values.reshape(3, 2, 2, 2, 2, 3)
    np.testing.assert_array_equal(switches.reshape(parts.shape), parts == parts.max(axis=(2, 4), keepdims=True))
    upwards = Model(x, layers.Conv2D(2, 1)(layers.multiply([layers.UpSampling2D()(after), where])))
    upwards.compile("sgd", "mse")
    losses = upwards.fit(images, images, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    inner = Sequential([layers.Dense(3, activation="tanh", input_dim=4), layers.Dense(1)])
    y = layers.Input((4,))
    first, bias, last, _ = inner.get_weights()
    slope = (1 - np.tanh(X @ first + bias) ** 2) * last[:, 0] @ first.T
    of_phase = K.function([y, K.learning_phase()], [*Slope(inner)(y)])
    for found, expected in zip(of_phase([X, 1]), [slope, np.zeros((5, 4)), np.zeros(4)], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_loss_reads_gradients():
    critic = Sequential([layers.Dense(3, activation="tanh", input_dim=4), layers.Dense(1)])
    x, z = layers.Input((4,)), layers.Input((4,))
    between = layers.average([x, z])

    def penalty(y_true, y_pred):
        return K.square(1 - K.sqrt(K.sum(K.square(K.gradients(y_pred, between)[0]), axis=1)))

    model = Model([x, z], critic(between))
    model.compile("adam", penalty)
    first, bias, last, _ = critic.get_weights()
    slope = (1 - np.tanh(X @ first + bias) ** 2) * last[:, 0] @ first.T
    expected = np.mean((1 - np.linalg.norm(slope, axis=1)) ** 2)
    np.testing.assert_allclose(model.train_on_batch([X - 1, X + 1], np.zeros((5, 1))), expected, rtol=1e-4)
    assert model.test_on_batch([X - 1, X + 1], np.zeros((5, 1))) < expected


class Curved(layers.Layer):
    """Derivatives of derivatives, with respect to the input, to what was computed of it, and to a weight."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", shape=(1,), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        square = x**2
        cube = self.scale**2 * square * x
        (slope,) = K.gradients(cube, x)  # 3 s^2 x^2
        (by_square,) = K.gradients(square * square, square)  # 2 x^2
        (nothing,) = K.gradients(slope, square)
        assert nothing is None
        found = [K.gradients(K.sum(slope), x), K.gradients(by_square, x), K.gradients(slope, self.scale)]
        third = K.gradients(K.gradients(slope, x)[0] * x, x)  # 12 s^2 x
        return [*(one for (one,) in found), *third]


def test_gradients_of_gradients_inside_of_a_call():
    x = layers.Input((4,))
    found = K.function([x], Curved()(x))([X])
    for one, expected in zip(found, [6 * X, 4 * X, [np.sum(6 * X**2)], 12 * X], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def test_a_loss_reads_gradients_of_gradients():
    x = layers.Input((4,))
    scale = layers.Dense(1, use_bias=False)

    def bent(y_true, y_pred):
        (slope,) = K.gradients(y_pred**3, y_pred)
        return K.square(K.gradients(slope, y_pred)[0])  # (6 y)^2

    model = Model(x, scale(x))
    model.compile("sgd", bent)
    kernel = scale.get_weights()[0]
    y = X @ kernel
    np.testing.assert_allclose(model.train_on_batch(X, np.zeros((5, 1))), np.mean(36 * y**2), rtol=1e-4)
    np.testing.assert_allclose(scale.get_weights()[0], kernel - 0.01 * 72 * X.T @ y / 5, rtol=1e-4, atol=1e-5)


def test_a_symbol_added_to_the_loss():
    x = layers.Input((4,))
    h = layers.Dense(2, use_bias=False)(x)
    model = Model(x, h)
    model.add_loss(K.mean(K.square(h)))
    model.compile("sgd", None)
    kernel = model.get_weights()[0]
    np.testing.assert_allclose(model.evaluate(X, [], verbose=0), np.mean((X @ kernel) ** 2), rtol=1e-5)


@pytest.mark.parametrize("on", ["layer", "model"])
def test_a_number_added_to_the_loss_shows_in_it(on):
    """As where `build` adds what it computes from `get_weights()`: nothing that would train."""
    layer = layers.Dense(2, kernel_initializer="zeros")
    model = Sequential([layer])
    model.build((None, 4))
    (layer if on == "layer" else model).add_loss([K.sum(K.square(np.full((2, 2), 0.5, "float32"))), 0.25])
    model.compile("sgd", "mse")
    assert [float(K.eval(loss)) for loss in model.losses] == [1.0, 0.25]
    np.testing.assert_allclose(model.train_on_batch(X, np.ones((len(X), 2))), 1 + 1.25, rtol=1e-6)


def test_masks_reach_the_loss():
    tokens = layers.Input((4,), dtype="int32")
    h = layers.LSTM(3, return_sequences=True)(layers.Embedding(9, 2, mask_zero=True)(tokens))
    model = Model(tokens, layers.TimeDistributed(layers.Dense(1))(h))
    model.compile("sgd", "mse")
    data = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    error = model.predict(data)[..., 0] ** 2
    np.testing.assert_allclose(
        model.evaluate(data, np.zeros((2, 4, 1)), verbose=0), error[data > 0].sum() / (data > 0).sum(), rtol=1e-5
    )


def test_sequential():
    model = Sequential([layers.Dense(3), layers.Dense(2)])
    assert not model.built
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    assert model.input_shape == (None, 4) and len(model.get_weights()) == 4
    model.pop()
    assert model.output_shape == (None, 3) and len(model.layers) == 1
    model.add(layers.Dense(5, name="top"))
    assert model.predict(X).shape == (5, 5) and model.get_layer("top").count_params() == 20
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()


def test_initial_weights():
    def build():
        x = layers.Input((4,))
        return Model(x, layers.Dense(3)(layers.Dense(4)(x)))

    first, second = build(), build()
    key = jax.random.key(5)
    drawn = [jax.tree.leaves(model.init(key)) for model in (first, second)]  # whatever the names
    assert same_bits(*drawn)
    keys = jax.random.split(key, 3)
    together = jax.vmap(lambda key: first.init(key)[0])(keys)
    for number in range(3):
        alone = first.init(keys[number])[0]
        assert same_bits(jax.tree.map(lambda leaf, number=number: leaf[number], together), alone)


# ------------------------------------------------------------------------------------------------- Keras's questions


def test_a_layer_answers_for_its_losses():
    x, other = layers.Input((4,)), layers.Input((4,))
    dense = layers.Dense(3, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2")
    for symbol in (x, other):
        dense(symbol)
    assert (len(dense.losses), len(dense.get_losses_for(None)), len(dense.get_losses_for(x))) == (4, 2, 1)
    assert dense.losses[0] is dense.get_losses_for(None)[0]
    close(K.eval(dense.losses[0]), 0.01 * np.sum(dense.get_weights()[0] ** 2))
    outputs = dense.get_output_at(0)
    (given,) = dense.get_losses_for(x)
    values = K.function([x], [given, outputs])([X])
    close(values[0], 0.01 * np.sum(values[1] ** 2))
    dense.add_loss(0, inputs=x)
    dense.add_loss([1], inputs=None)
    assert dense.get_losses_for(x) == [given, 0] and dense.get_losses_for(None)[-1] == 1
    cells = [layers.LSTMCell(3), layers.LSTMCell(2, kernel_regularizer="l1")]
    rnn = layers.RNN(cells)
    rnn(sequence := layers.Input((5, 4)))
    cells[0].add_loss(K.sum(sequence), inputs=sequence)
    assert (len(rnn.losses), len(rnn.get_losses_for(sequence)), len(cells[1].losses)) == (2, 1, 1)


def test_a_layer_answers_for_its_updates():
    x = layers.Input((4,))
    norm = layers.TimeDistributed(layers.BatchNormalization(momentum=0.5))
    norm(sequence := layers.Input((5, 4)))
    assert (len(norm.updates), len(norm.get_updates_for(sequence)), len(norm.get_updates_for(None))) == (2, 2, 0)
    norm.trainable = False
    assert norm.updates == norm.get_updates_for(sequence) == []
    dense = layers.Dense(2)
    dense.add_update(0, inputs=x)
    dense.add_update([1])
    assert (dense.get_updates_for(x), dense.get_updates_for(None), dense.updates) == ([0], [1], [0, 1])
    plain = layers.BatchNormalization(momentum=0.5)
    plain(x)
    batch = 3 + np.random.RandomState(0).randn(64, 4)
    K.function([x], [], updates=plain.updates)([batch])
    close(plain.get_weights()[2], batch.mean(0))


def test_a_symbol_knows_whether_the_phase_matters():
    x = layers.Input((4,))
    dropped = layers.Dropout(0.5)(x)
    nested = Model(x, dropped)
    cases = [
        (layers.Dense(3)(x), False),
        (dropped, True),
        (layers.Dense(3)(dropped), True),
        (layers.Dropout(0.5)(x, training=True), False),
        (layers.Dropout(0.0)(x), False),
        (nested(layers.Input((4,))), True),
        (layers.Bidirectional(layers.LSTM(2, dropout=0.5))(layers.Input((3, 2))), True),
        (layers.Lambda(lambda x: K.in_train_phase(x, 2 * x))(x), True),
        (K.in_train_phase(x, 2 * x), True),
        (x + dropped, True),
    ]
    assert [symbol._uses_learning_phase for symbol, _ in cases] == [expected for _, expected in cases]


def test_call_and_compute_mask_take_symbols():
    x = layers.Input((3, 2))
    lstm = layers.LSTM(3)
    direct = lstm.call(x)
    assert direct.shape == (None, 3) and not lstm._inbound_nodes
    values = K.function([x], [direct, lstm(x)])([np.ones((2, 3, 2))])
    close(values[0], values[1])
    node = lstm._inbound_nodes[0]
    assert node.get_config()["outbound_layer"] == lstm.name and node.get_config()["node_indices"] == [0]
    masked = layers.TimeDistributed(layers.Masking()).compute_mask(layers.Input((None, 3, 2)))
    assert masked.shape == (None, None, 3)
    symbols, masks = [K.variable(np.ones((2, 3)))] * 2, [K.variable([1, 0, 1], dtype="bool"), None]
    assert layers.Average().compute_mask(symbols, masks) is not None


ACTS_IN_TRAINING = [
    (layers.Dropout, 0.5),
    (layers.SpatialDropout1D, 0.5),
    (layers.GaussianDropout, 0.5),
    (layers.GaussianNoise, 0.5),
    (layers.AlphaDropout, 0.5),
    (layers.BatchNormalization, -1),
    (layers.TimeDistributed, layers.Dropout(0.5)),
]


@pytest.mark.parametrize(("cls", "argument"), ACTS_IN_TRAINING, ids=[cls.__name__ for cls, _ in ACTS_IN_TRAINING])
def test_training_is_the_second_argument_of_call(cls, argument):
    class Always(cls):
        def call(self, x, training=None):
            return super().call(x, True)

    layer, data = Always(argument), np.stack([X, -X], axis=1)
    params, state = layer.init(jax.random.key(0), data.shape)
    outputs, _ = layer.apply(params, state, data, key=jax.random.key(1))
    expected, _ = cls(argument).apply(params, state, data, key=jax.random.key(1), training=True)
    plain, _ = cls(argument).apply(params, state, data)
    assert abs(outputs - plain).max() > 0.01
    # The layer inside the subclass draws by a key of its own.
    close(outputs.std(), expected.std(), 0.5) if cls is not layers.BatchNormalization else close(outputs, expected)


def test_a_network_is_run_on_other_inputs():
    words = layers.Input((3,))
    model = Model(words, layers.Embedding(5, 2, mask_zero=True)(words))
    outputs, masks, shapes = model.run_internal_graph([K.variable(np.array([[1, 0, 2]]))])
    assert shapes == [(1, 3, 2)] and K.eval(masks[0]).tolist() == [[True, False, True]]
    close(K.eval(outputs[0]), model.predict(np.array([[1, 0, 2]])))
    x = layers.Input((4,))
    outputs, masks, shapes = Model(x, [layers.Dense(2)(x), x]).run_internal_graph([K.placeholder((7, 4))])
    assert masks == [None, None] and shapes == [(7, 2), (7, 4)] and K.is_tensor(outputs[1])


def test_what_stateful_layers_and_constrained_weights_tell():
    x = layers.Input(batch_shape=(2, 3, 4))
    both = layers.Bidirectional(layers.GRU(2, kernel_constraint="non_neg"))
    carried = layers.LSTM(2, stateful=True)
    model = Sequential([layers.InputLayer(input_tensor=x), carried, layers.BatchNormalization()])
    assert model.state_updates == carried.updates != [] and model.model is model
    both(x)
    assert sorted(both.constraints, key=id) == sorted((w for w in both.weights if w.constraint), key=id)
    assert len(both.constraints) == 2 and layers.CuDNNLSTM(3).cell.state_size == (3, 3)


def test_a_number_is_added_to_the_loss():
    x = layers.Input((4,))
    model = Model(x, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    before = model.evaluate(X, np.zeros((5, 2)), verbose=0)
    model.add_loss(2)
    model.compile("sgd", "mse")
    close(model.evaluate(X, np.zeros((5, 2)), verbose=0), before + 2)


def test_masks_of_merges_need_no_inputs():
    first, second = layers.Input((4, 5)), layers.Input((4, 5))
    masks = [K.variable(np.ones((2, 4, 5))), K.variable(np.zeros((2, 4, 5)))]
    for layer, shape in (layers.Add(), (2, 4, 5)), (layers.Concatenate(axis=1), (2, 8)):
        found = K.eval(layer.compute_mask([first, second], masks))
        assert found.shape == shape and found.any() != isinstance(layer, layers.Add)
        for wrong in (([first, second], masks[0]), (first, masks), ([first, second], [None])):
            with pytest.raises(ValueError, match="lists of one length"):
                layer.compute_mask(*wrong)
        layer([first, second])
        with pytest.raises(ValueError, match="at least 2 inputs"):
            layer([first])


def test_lists_of_numbers_are_operands():
    x = layers.Input((2,))
    outputs = [layers.Lambda(lambda t: [1.5, 2.5] - t)(x), layers.Lambda(lambda t: t * (2, 3))(x)]
    values = K.function([x], [*outputs, x + [1, 2]])([np.ones((1, 2))])
    assert [value.tolist() for value in values] == [[[0.5, 1.5]], [[2.0, 3.0]], [[2.0, 3.0]]]
    assert all(value.dtype == "float32" for value in values)


def test_initial_states_of_symbols():
    (states,) = layers.SimpleRNN(5).get_initial_state(x := layers.Input((None, 6)))
    assert states.shape == (None, 5)
    assert not K.function([x], [states])([np.ones((3, 2, 6))])[0].any()


def test_what_a_layer_is_called_with_beside_its_inputs_may_be_computed():
    """As in `layer(x, initial_state=layer.get_initial_state(x))`."""
    x = layers.Input((3, 4))
    layer = layers.SimpleRNN(2)
    model = Model(x, layer(x, initial_state=[1.0 + state for state in layer.get_initial_state(x)]))
    array = np.random.RandomState(0).rand(5, 3, 4).astype("float32")
    params, state = model.get_trees()
    expected = layer.apply(*layer.get_trees(), array, initial_state=[jnp.ones((5, 2))])[0]
    close(model.apply(params, state, array)[0], expected)
    close(model.predict(array), expected)
    clone = clone_model(model)
    clone.set_weights(model.get_weights())
    close(clone.predict(array), expected)
    assert len(clone.layers) == 2
    model.compile("sgd", "mse")
    assert model.train_on_batch(array, np.zeros((5, 2))) == pytest.approx(float((expected**2).mean()), rel=1e-5)
    with pytest.raises(ValueError, match="stands the backend function"):
        Model(x, layers.Dense(1)(K.square(x)))
