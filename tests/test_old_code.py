"""What code of Keras's time asks of a model, and what it hands to one."""

import threading

import numpy as np
import pytest
import scipy.sparse
from kit import close, draw

from jkeras import backend as K
from jkeras import layers, optimizers
from jkeras.callbacks import Callback
from jkeras.models import Model, Sequential
from jkeras.utils import Sequence

X, Y, Z = draw(8, 3), draw(8, 2, seed=1), draw(8, 1, seed=2)
WEIGHTS = [np.arange(8) / 4, np.ones(8)]


def two_outputs(**arguments):
    x = layers.Input((3,), name="x")
    h = layers.Dense(4, activation="tanh", kernel_regularizer="l2", activity_regularizer="l1")(x)
    model = Model(x, [layers.Dense(2, name="y")(h), layers.Dense(1, name="z")(h)])
    model.set_weights([draw(*weight.shape, seed=3) for weight in model.get_weights()])
    model.compile(optimizers.SGD(0.1), "mse", ["mae"], loss_weights=[1.0, 0.5], **arguments)
    return model


def one_layer(x=None, **arguments):
    x = layers.Input((3,)) if x is None else x
    model = Model(x, layers.Dense(2, name="y")(x))
    model.set_weights([draw(3, 2, seed=4), np.zeros(2)])
    model.compile("sgd", "mse", **arguments)
    return model


# ------------------------------------------------------------------------------------------------- what it is asked


def test_symbols_of_the_loss():
    model = two_outputs()
    holes = model.inputs + model.targets + model.sample_weights
    symbols = [model.total_loss, *model.metrics_tensors, *K.gradients(model.total_loss, model.trainable_weights)]
    found = K.function([*holes, K.learning_phase()], symbols)([X, Y, Z, *WEIGHTS, 1])
    names = model.metrics_names
    close(found[: len(names)], model.test_on_batch(X, [Y, Z], WEIGHTS))
    before = model.get_weights()
    model.train_on_batch(X, [Y, Z], WEIGHTS)
    close([weight - 0.1 * g for weight, g in zip(before, found[len(names) :], strict=True)], model.get_weights())
    own = model.optimizer.get_gradients(model.total_loss, model.trainable_weights)
    assert [symbol.shape for symbol in own] == [weight.shape for weight in model.trainable_weights]
    assert model.total_loss is model.total_loss and len(model.losses) == 2
    assert [symbol.name for symbol in model.targets] == ["y_target:0", "z_target:0"]


def test_functions_of_one_batch():
    model, like = two_outputs(), two_outputs()
    batch = [X, Y, Z, *WEIGHTS]
    assert not model.optimizer.weights
    model._make_train_function()
    assert len(model.optimizer.weights) == 1 + len(model.trainable_weights)
    for phase in ([], [1.0]):
        close(model.train_function(batch + phase), like.train_on_batch(X, [Y, Z], WEIGHTS))
    for phase in ([], [0], [1]):
        close(model.test_function(batch + phase), like.test_on_batch(X, [Y, Z], WEIGHTS))
        close(model.predict_function([X] + phase), like.predict_on_batch(X))
    model.train_function = None
    with pytest.raises(AttributeError, match="make_step"):
        model.train_function = print
    with pytest.raises(ValueError, match="takes 5 arrays"):
        model.test_function([X])


def test_what_is_fed():
    model = two_outputs(sample_weight_mode=[None, None])
    asked = {
        "_feed_inputs": model.inputs,
        "_feed_input_names": ["x"],
        "_feed_input_shapes": [(None, 3)],
        "_feed_outputs": model.outputs,
        "_feed_output_names": ["y", "z"],
        "_feed_output_shapes": [(None, 2), (None, 1)],
        "_feed_targets": model.targets,
        "_feed_sample_weights": model.sample_weights,
        "_feed_sample_weight_modes": [None, None],
        "_feed_loss_fns": model.loss_functions,
        "_collected_trainable_weights": model.trainable_weights,
        "stateful_metric_names": [],
        "state_updates": [],
        "uses_learning_phase": False,
        "_is_graph_network": True,
        "_is_compiled": True,
    }
    assert {name: getattr(model, name) for name in asked} == asked
    assert [len(model._layers_by_depth[depth]) for depth in (0, 1, 2)] == [2, 1, 1]
    x, y, weights = model._standardize_user_data(X, [Y, Z])
    close([*x, *y, *weights], [X, Y, Z, np.ones(8), np.ones(8)])
    for name in ("targets", "total_loss"):
        assert not hasattr(Sequential([layers.Dense(1, input_shape=(2,))]), name)


def test_updates():
    model = Sequential([layers.BatchNormalization(input_shape=(3,))])
    model.compile("sgd", "mse")
    assert len(model.updates) >= 2 and model.uses_learning_phase
    like = Sequential([layers.BatchNormalization(input_shape=(3,))])
    like.compile("sgd", "mse")
    like.train_on_batch(X, X)
    K.function([model.input, K.learning_phase()], [], updates=model.updates)([X, 1])
    close(model.get_weights()[2:], like.get_weights()[2:])
    model.trainable = False
    assert not model.updates


def counts(**options):
    """A layer that counts its calls in a weight, and adds that to its inputs."""

    class Counts(layers.Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)
            super().build(input_shape)

        def call(self, inputs):
            self.add_update([(self.calls, self.calls + 1)], inputs)
            return inputs + self.calls

    return Counts(**options)


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("make", [layers.BatchNormalization, counts])
def test_updates_beside_outputs(make, phase):
    """What a layer's call gives, its gradients, and its updates are all made of its state before the function runs."""
    model, fresh = (Sequential([make(input_shape=(3,))]) for _ in range(2))
    asked = [model.output, model.layers[0].weights[-1], *K.gradients(K.sum(model.output**2), model.inputs)]
    alone = K.function([model.input, K.learning_phase()], asked)
    run = K.function([model.input, K.learning_phase()], asked, updates=model.updates)
    for batch in (X, 3 * X + 1):
        expected = alone([batch, phase])
        close(run([batch, phase]), expected)
    update = K.function([fresh.input, K.learning_phase()], [], updates=fresh.updates)
    for batch in (X, 3 * X + 1):
        update([batch, phase])
    close(model.get_weights(), fresh.get_weights())


def test_updates_of_what_is_not_the_layers():
    seen = K.variable(1.0)

    class Sees(layers.Layer):
        def call(self, inputs):
            self.add_update([(seen, 2 * seen)], inputs)
            return inputs + seen

    model = Sequential([Sees(input_shape=(3,)), Sees()])
    run = K.function(model.inputs, [model.output], updates=model.updates)
    assert [len(part.updates) for part in (model, *model.layers)] == [2, 1, 1]
    for times in (2, 4):
        close(run([X])[0], X + times)
    assert K.get_value(seen) == 4
    model.add(layers.Dense(1))
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, :1])
    assert K.get_value(seen) == 8  # as when it trains


def test_states_beside_outputs():
    steps = layers.Input(batch_shape=(2, 2, 3))
    carried = layers.SimpleRNN(2, stateful=True, activation=None, recurrent_initializer="identity")
    model = Model(steps, carried(steps))
    batch = draw(2, 2, 3)
    expected = [model.predict(batch, batch_size=2) for _ in range(3)]
    model.reset_states()
    run = K.function([steps], [model.output], updates=model.state_updates)
    close([run([batch])[0] for _ in range(3)], expected)


def test_numbers_are_numpy_scalars():
    model = two_outputs()
    assert {type(number) for number in model.train_on_batch(X, [Y, Z])} == {np.float32}
    assert {type(number) for number in model.evaluate(X, [Y, Z], verbose=0)} == {np.float64}
    seen = []
    watch = Callback()
    watch.on_batch_end = lambda batch, logs: seen.append({type(logs[name]) for name in model.metrics_names})
    history = model.fit(X, [Y, Z], verbose=0, validation_split=0.5, callbacks=[watch]).history
    assert seen == [{np.float32}] and {type(values[0]) for values in history.values()} == {np.float64}


# ------------------------------------------------------------------------------------------------- what it is handed


def test_symbols_as_data():
    """Inputs and targets that symbols give train like the arrays, whatever of both is one."""
    like = one_layer()
    like.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    expected = like.get_weights(), like.evaluate(X, Y, verbose=0), like.predict(X)
    x, y = K.variable(X), K.variable(Y) * 1.0
    cases = [
        (one_layer(), (x, y)),
        (one_layer(layers.Input(tensor=x)), (None, Y)),
        (one_layer(target_tensors=y), (X, None)),
        (one_layer(layers.Input(tensor=x), target_tensors={"y": y}), (None, None)),
        (one_layer(), (X, Y)),
    ]
    for model, data in cases:
        model.fit(*data, epochs=2, steps_per_epoch=1, verbose=0)
        model.train_on_batch(*data)
        found = model.evaluate(*data, steps=2, verbose=0), model.predict(data[0], steps=1)
        close((model.get_weights(), *found), expected)
        close(model.test_on_batch(*data), expected[1])
        model.fit(*data, epochs=1, steps_per_epoch=1, validation_data=data, validation_steps=1, verbose=0)


def test_symbols_beside_arrays():
    a, b = layers.Input(tensor=K.variable(X)), layers.Input((3,), name="b")
    model = Model([a, b], layers.Add()([a, b]))
    model.compile("sgd", "mse")
    close(model.predict({"b": X}, batch_size=8), 2 * X)
    assert model.evaluate(X, 2 * X, verbose=0) < 1e-9
    assert model._feed_input_names == ["b"]


def test_draws_are_new_for_each_batch_and_of_one_run():
    noise = K.random_normal((4, 3))
    model = one_layer(layers.Input(tensor=noise), target_tensors=K.dot(noise, K.constant(draw(3, 2, seed=4))))
    found = model.predict(None, steps=2)
    assert not np.allclose(found[:4], found[4:])
    assert model.evaluate(None, None, steps=2, verbose=0) < 1e-9


@pytest.mark.parametrize(
    "run, message",
    [
        (lambda model: model.fit(K.variable(X), K.variable(Y), batch_size=4), "should specify the `steps_per_epoch`"),
        (lambda model: model.fit(X, Y, batch_size=4, steps_per_epoch=2), "`batch_size` must be None"),
        (lambda model: model.fit(X, Y, validation_data=(X, Y), steps_per_epoch=2), "Must specify `validation_steps`"),
        (lambda model: model.fit(X, Y, validation_steps=2), "`validation_steps` goes with `steps_per_epoch`"),
        (
            lambda model: model.fit(K.variable(X), K.variable(Y), steps_per_epoch=1, validation_split=0.5),
            "you cannot use `validation_split`",
        ),
        (lambda model: model.train_on_batch(None, Y), "no data for the inputs"),
        (lambda model: model.train_on_batch(X, None), r"no data for the targets \['y'\]"),
        (lambda model: model.compile("sgd", "mse", target_tensors=[X, X]), "passed target_tensors="),
    ],
)
def test_mistakes(run, message):
    with pytest.raises(ValueError, match=message):
        run(one_layer())


@pytest.mark.parametrize("form", ["csr_matrix", "coo_matrix"])
def test_sparse_matrices(form):
    x, y = X * (X > 0.3), Y * (Y > 0)
    sparse = [getattr(scipy.sparse, form)(array) for array in (x, y)]
    model, like = one_layer(layers.Input((3,), sparse=True)), one_layer()
    for each, data in ((model, sparse), (like, (x, y))):
        each.fit(*data, batch_size=3, epochs=2, verbose=0, shuffle=False, validation_split=0.25)
        each.train_on_batch(*data)
    close(model.get_weights(), like.get_weights())
    close(model.evaluate(*sparse, verbose=0), like.evaluate(x, y, verbose=0))
    close(model.predict(sparse[0], batch_size=3), like.predict(x))
    waiting = Sequential([layers.Dense(1)])
    assert waiting.compile("sgd", "mse") is None and waiting.predict(sparse[0]).shape == (8, 1)


def test_names_of_keras_1():
    x = layers.Input((3,))
    with pytest.warns(UserWarning, match="Keras 2 API") as told:
        model = Model(input=x, output=layers.Dense(2)(x))
    assert len(told) == 2 and model.output_shape == (None, 2)
    with pytest.raises(TypeError, match="inputs"):
        Model(x)


def test_class_weights_that_keras_ignores():
    model, like = one_layer(), one_layer()
    with pytest.warns(UserWarning, match="ignored"):
        model.train_on_batch(X, Y, class_weight=[1.0, 5.0])
    like.train_on_batch(X, Y)
    close(model.get_weights(), like.get_weights())


# ----------------------------------------------------------------------------------------- generators: when, and what


class Numbered(Sequence):
    def __init__(self, name, events):
        self.name, self.events = name, events

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self.events.append(self.name)
        return X, Y


def numbered(name, events):
    while True:
        events.append(name)
        yield X, Y


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("make", [Numbered, numbered])
def test_a_batch_is_first_asked_for_when_the_epoch_has_begun(make, workers):
    events: list = []
    watch = Callback()
    watch.on_train_begin = lambda logs: events.append("train begins")
    watch.on_epoch_begin = lambda epoch, logs: events.append("epoch begins")
    watch.on_batch_begin = lambda batch, logs: events.append("batch begins")
    one_layer().fit_generator(
        make("batch", events), 2, 2, verbose=0, callbacks=[watch], workers=workers,
        validation_data=make("validation", events), validation_steps=2,
    )  # fmt: skip
    assert events[:3] == ["train begins", "epoch begins", "batch"]
    if workers == 0:
        assert events[3:9] == ["batch begins", "batch", "batch begins", "validation", "validation", "epoch begins"]


def ends_with(last):
    yield X, Y
    if isinstance(last, Exception):
        raise last
    while last is None:
        yield None


@pytest.mark.parametrize("workers, processes", [(0, False), (1, False), (3, False), (1, True)])
@pytest.mark.parametrize(
    "last, error, message",
    [(None, ValueError, "Output of generator"), ("end", RuntimeError, "ended after 1"), (KeyError("x"), KeyError, "x")],
)
def test_a_generator_that_fails_is_named(last, error, message, workers, processes):
    options = {"workers": workers, "use_multiprocessing": processes}
    model = one_layer()
    with pytest.raises(error, match=message):
        model.fit_generator(ends_with(last), 3, 1, verbose=0, **options)
    with pytest.raises(error, match=message):
        model.evaluate_generator(ends_with(last), 3, **options)
    with pytest.raises(error, match=message):
        model.fit_generator(numbered("", []), 1, 1, verbose=0, validation_data=ends_with(last), validation_steps=2)


# -------------------------------------------------------------------------------------------------------- optimizers


class Counting(optimizers.Optimizer):
    """Plain descent that counts its steps in a variable of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lr, self.steps = K.variable(0.1), K.variable(0.0)

    def get_updates(self, loss, params):
        self.updates = [K.update_add(self.iterations, 1), K.update_add(self.steps, 1.0)]
        self.weights = [self.iterations, self.steps]
        for param, gradient in zip(params, self.get_gradients(loss, params), strict=True):
            self.updates.append(K.update(param, param - self.lr * gradient))
        return self.updates


class Twice(optimizers.Optimizer):
    """An optimizer around another one, which assigns again what that one assigned."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    iterations = property(lambda self: self.inner.iterations)
    weights = property(lambda self: self.inner.weights)

    def get_updates(self, loss, params):
        updates = self.inner.get_updates(loss, params)
        again = [(update.target, update.new) for update in updates if update.target in params]
        return [*updates, *(K.update(param, 2 * new - param) for param, new in again)]


@pytest.mark.parametrize("make", [lambda lr: optimizers.SGD(lr, momentum=0.9), lambda lr: optimizers.Adam(lr)])
def test_an_optimizer_around_another(make):
    """Twice the step of the inner one, whose state it has."""
    model, like = one_layer(), one_layer()
    model.compile(Twice(make(0.01)), "mse")
    like.compile(make(0.02), "mse")
    for each in (model, like):
        each.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    close(model.get_weights(), like.get_weights())
    assert len(model.optimizer.weights) == len(like.optimizer.weights)
    assert int(K.get_value(model.optimizer.iterations)) == 3


@pytest.mark.parametrize("read", [lambda own: own.steps, lambda own: K.cast(own.iterations, "float32")])
def test_a_loss_may_read_what_the_optimizer_moves_on(read):
    own, model = Counting(), one_layer()
    model.compile(own, lambda y_true, y_pred: read(own) + 0 * y_pred)
    assert [float(model.train_on_batch(X, Y)) for _ in range(3)] == [0, 1, 2]
    assert model.fit(X, Y, batch_size=2, epochs=2, verbose=0).history["loss"] == [4.5, 8.5]
    assert model.evaluate(X, Y, verbose=0) == 11


@pytest.mark.parametrize("make", [Counting, optimizers.Adam])
def test_two_threads_may_train_with_one_optimizer(make):
    own = make()
    models = [one_layer() for _ in range(2)]
    errors: list = []
    for model in models:
        model.compile(own, "mse")

    def train(model):
        try:
            for _ in range(3):
                model.fit(X, Y, batch_size=4, epochs=5, verbose=0)
                model.train_on_batch(X, Y)
                own.get_weights()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=train, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)
    assert all(np.isfinite(model.evaluate(X, Y, verbose=0)) for model in models)


# ------------------------------------------------------------------------------------------ layers as people wrote them


class Asking(layers.Layer):
    """Tells one input from several by the type of their shape, and whether it has a bias by the bias."""

    supports_masking = True

    def build(self, input_shape):
        self.several = type(input_shape[0]) is tuple
        self.kernel = self.add_weight("kernel", (2, 2), initializer="ones")
        self.bias = self.add_weight("bias", (2,), initializer="ones")
        super().build(input_shape)

    def call(self, inputs, mask=None):
        out = K.dot(inputs[0] if self.several else inputs, self.kernel)
        if self.bias:
            out += self.bias
        return out

    def compute_output_shape(self, input_shape):
        return input_shape[0] if type(input_shape[0]) is tuple else input_shape


def test_a_layer_that_asks_what_it_was_given():
    x = layers.Input((3,))
    h = layers.Embedding(5, 2, mask_zero=True, embeddings_initializer="ones")(x)
    for inputs, several in ((h, False), ([h, layers.Dense(2)(h)], True)):
        layer = Asking()
        out = layer(inputs)
        assert layer.several == several and K.int_shape(out) == (None, 3, 2) and out._keras_mask is not None
        assert type(layer.output_shape) is tuple and bool(layer.bias)
        close(Model(x, out).predict(np.ones((1, 3))), np.full((1, 3, 2), 3))


def test_unknown_sizes_that_only_the_data_tell():
    """A loss of what a detector finds on images of any size, as a layer, and a product with a graph's matrix."""
    images, shapes = layers.Input((None, None, 1)), [(2, 3), (4, 6)]
    found = [layers.UpSampling2D(1)(images), layers.UpSampling2D(2)(images)]
    wanted = [layers.Input((*shape, 1, 1)) for shape in shapes]

    def loss(values):
        parts = [
            y - K.expand_dims(x) * K.ones((*K.int_shape(y)[1:3], 1, 1))
            for x, y in zip(values[:2], values[2:], strict=True)
        ]
        return sum(K.sum(K.square(part)) for part in parts)

    model = Model([images, *wanted], layers.Lambda(loss, output_shape=(1,))([*found, *wanted]))
    data = [np.ones((2, 2, 3, 1)), *(np.zeros((2, *shape, 1, 1)) for shape in shapes)]
    close(model.predict(data), np.full(2, 60))  # one number for the batch is that of each example
    close(model.predict([x[[0, 1, 0]] for x in data], batch_size=2), np.array([60, 60, 30]))

    nodes, graph = layers.Input((3,)), layers.Input(batch_shape=(None, None))
    mixed = layers.Lambda(lambda pair: K.dot(pair[0], K.concatenate([pair[1], pair[1]])))([graph, nodes])
    assert K.int_shape(layers.Dense(2)(mixed)) == (None, 2) and K.int_shape(mixed) == (None, 6)


def test_an_array_beside_a_symbol():
    x = K.placeholder((2,))
    two = K.sqrt(np.float32(4))
    found = K.function([x], [two * x, two - x, two > x, two**x])([[1.0, 3.0]])
    close(found, [np.array(one) for one in ([2, 6], [1, -1], [True, False], [2, 8])])


def test_a_slice_from_where_a_loop_is():
    x = np.arange(12.0).reshape(2, 6)

    def step(_, states):
        at = K.cast(states[0][0, 0], "int32")
        return K.slice(K.constant(x), [0, at], [-1, 2]), [states[0] + 1]

    _, found, _ = K.rnn(step, K.zeros((2, 4, 1)), [K.zeros((2, 1))])
    close(K.eval(found), np.stack([x[:, at : at + 2] for at in range(4)], axis=1))


class Careless(optimizers.Optimizer):
    """All that its constructor knows is on it, `kwargs` too."""

    def __init__(self, lr=0.1, **kwargs):
        super().__init__(**kwargs)
        self.__dict__.update(locals())

    def get_updates(self, loss, params):
        return [K.update_sub(p, self.lr * g) for p, g in zip(params, self.get_gradients(loss, params), strict=True)]

    def get_config(self):
        return {"lr": self.lr} | super().get_config()


def test_an_optimizer_that_keeps_all_arguments():
    assert Careless.from_config(Careless(0.2, clipnorm=1.0).get_config()).get_config() == {"lr": 0.2, "clipnorm": 1.0}


@pytest.mark.parametrize("wrapped", [lambda layer: layer, layers.TimeDistributed])
def test_what_a_lambda_reads_is_that_of_its_call(wrapped):
    global column
    x, parts = layers.Input((2, 3)), []
    for column in range(3):
        shift = 10 * column
        parts.append(wrapped(layers.Lambda(lambda t: t[..., column : column + 1] + shift))(x))  # noqa: B023
    column = 0
    data = draw(2, 2, 3)
    close(Model(x, parts).predict(data), [data[..., k : k + 1] + 10 * k for k in range(3)])


def test_a_lambda_that_counts():
    calls = 0

    def count(x):
        nonlocal calls
        calls += 1
        return x

    layer = layers.Lambda(count)
    layer(layers.Input((2,)))
    assert calls and layer.function is count


def test_a_lambda_in_an_unfinished_module():
    module = {"__name__": "jkeras.written_by_a_user", "__package__": "jkeras"}
    exec("def function(x):\n    from . import trees\n    return later(x, trees)", module)
    layer, x = layers.Lambda(module["function"]), layers.Input((2,))
    with pytest.raises(NameError, match="later"):
        layer(x)
    module["later"] = lambda x, trees: x * len(trees.as_list(x))
    close(Model(x, layer(x)).predict(np.ones((1, 2))), np.ones((1, 2)))


def test_losses_and_metrics_have_the_values_around_them_of_when_the_model_was_compiled():
    compiled = []
    for scale in (1.0, 10.0):
        model = Sequential([layers.Dense(1, kernel_initializer="ones", input_shape=(2,))])
        model.compile("sgd", lambda y, p: scale * p, metrics=[lambda y, p: -scale * p])  # noqa: B023
        compiled.append(model)
    found = [model.evaluate(np.ones((2, 2)), np.ones((2, 1)), verbose=0) for model in compiled]
    np.testing.assert_allclose(found, [[2.0, -2.0], [20.0, -20.0]])
