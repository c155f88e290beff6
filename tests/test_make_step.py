"""A loop over `make_step` is what `fit` runs, to the bit; what a step reads is found, or named."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from kit import close

from jkeras import backend as K
from jkeras import constraints, layers, losses, optimizers, random, trees
from jkeras.layers import Dense, Input, Lambda
from jkeras.models import Model, Sequential
from jkeras.train import make_step
from jkeras.trees import OUTSIDE

X = np.random.RandomState(0).randn(30, 5).astype("float32")
Y = (X[:, :2] > 0).astype("float32")
SEQUENCES = np.random.RandomState(1).randint(0, 3, (30, 6)).astype("float32")
ROWS, EPOCHS = 8, 2


def frozen_layers():
    """Frozen weights, and the averages of a frozen layer, stay."""
    stack = [Dense(6, input_shape=(5,)), layers.BatchNormalization(), Dense(4), layers.BatchNormalization(), Dense(2)]
    model = Sequential(stack)
    stack[0].trainable = stack[1].trainable = False
    return model, losses.mean_squared_error, X, [Y]


def draws_and_averages():
    stack = [Dense(8, activation="tanh", input_shape=(5,)), layers.BatchNormalization(), layers.Dropout(0.4)]
    return Sequential([*stack, layers.GaussianNoise(0.1), Dense(2)]), losses.mean_squared_error, X, [Y]


def masks():
    stack = [layers.Embedding(3, 4, mask_zero=True, input_length=6), layers.LSTM(3), Dense(2)]
    return Sequential(stack), losses.mean_squared_error, SEQUENCES, [Y]


def penalties_and_constraints():
    stack = [
        Dense(6, input_shape=(5,), kernel_regularizer="l2", activity_regularizer="l1"),
        Dense(2, kernel_constraint=constraints.MaxNorm(0.3)),
    ]
    return Sequential(stack), losses.mean_squared_error, X, [Y]


def loss_of_a_weight():
    model = Sequential([Dense(3, input_shape=(5,)), Dense(2)])
    kernel = model.layers[0].kernel
    return model, lambda y_true, y_pred: K.square(y_pred - y_true) + K.sum(K.square(kernel)), X, [Y]


def variables_from_outside():
    """Twelve of them: their names in the state must sort as they were found."""
    scales = [K.variable(number / 10.0) for number in range(12)]
    model = Sequential([Dense(2, input_shape=(5,)), Lambda(lambda x: x * scales[11])])
    return model, lambda t, p: sum((n + 1) * s * K.square(p - t) for n, s in enumerate(scales)), X, [Y]


def several_outputs():
    x = Input((5,))
    h = Dense(4, activation="tanh")(x)
    model = Model(x, [Dense(2, name="a")(h), Dense(1, name="b")(layers.Dropout(0.5)(h))])
    return model, [losses.mean_squared_error, losses.mean_absolute_error], X, [Y, Y[:, 0]]


def sixty_four_bits():
    K.set_floatx("float64")
    model = Sequential([Dense(3, input_shape=(5,)), layers.Dropout(0.5), Dense(2)])
    return model, losses.mean_squared_error, X.astype("float64"), [Y.astype("float64")]


MODELS = [
    frozen_layers,
    draws_and_averages,
    masks,
    penalties_and_constraints,
    loss_of_a_weight,
    variables_from_outside,
    several_outputs,
]


def values(model):
    """The model's params and state as numpy arrays."""
    return jax.tree.map(lambda variable: variable.numpy(), model.variables())


def by_hand(model, loss, x, y, optimizer, key, **options):
    """What `fit` does, written out."""
    init_state, step = make_step(model, loss, optimizer, **options)
    train_state = init_state(key, *values(model))
    order = random.as_run(key).order(True, ROWS)
    step = jax.jit(step)
    for epoch in range(EPOCHS):
        rows = order(epoch, len(x))
        for start in range(0, len(x), ROWS):
            chosen = rows[start : start + ROWS]
            train_state, logs = step(train_state, (x[chosen], [target[chosen] for target in y]))
    return train_state, logs


@pytest.mark.bits
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("optimizer", [lambda: optimizers.Adam(0.02), lambda: optimizers.SGD(0.1, momentum=0.9)])
def test_a_loop_over_make_step_is_what_fit_runs(make, optimizer, request):
    model, loss, x, y = make()
    key = jax.random.key(7)
    train_state, _ = by_hand(model, loss, x, y, optimizer(), key)
    before = values(model)
    model.compile(optimizer(), loss)
    model.fit(x, y, batch_size=ROWS, epochs=EPOCHS, verbose=0, key=key)
    params, state = values(model)
    ours = (
        trees.merge(train_state.params, train_state.frozen),
        {k: v for k, v in train_state.state.items() if k != OUTSIDE},
    )
    assert jax.tree.structure(ours) == jax.tree.structure((params, state))
    # To the bit in programs as users have them; compiled in a hurry, two programs may differ in the last digits.
    close(ours, (params, state), 0 if request.config.getoption("optimised") else 1e-3)
    changed = {path for path, leaf in trees.leaves(params) if not np.array_equal(leaf, trees.get(before[0], path))}
    assert changed >= {path for path, _ in trees.leaves(train_state.params) if path[-1] == "kernel"}
    assert not changed & {path for path, _ in trees.leaves(train_state.frozen)}
    assert bool(train_state.frozen) == (make is frozen_layers)


def test_a_model_of_64_bits_trains_in_64_bits():
    model, loss, x, y = sixty_four_bits()
    init_state, step = make_step(model, loss, optimizers.SGD(0.1))
    _, logs = step(init_state(jax.random.key(0)), (x, y))
    assert logs["loss"].dtype == "float64"
    with jax.enable_x64(True):  # where a step is compiled by the user, 64 bits are asked for by the user
        train_state, logs = by_hand(model, loss, x, y, optimizers.SGD(0.1), jax.random.key(0))
    assert logs["loss"].dtype == "float64"
    model.compile(optimizers.SGD(0.1), loss)
    model.fit(x, y, batch_size=ROWS, epochs=EPOCHS, verbose=0, key=jax.random.key(0))
    compared = list(zip(jax.tree.leaves(train_state.params), jax.tree.leaves(values(model)[0]), strict=True))
    assert compared and all(ours.dtype == "float64" and np.array_equal(ours, theirs) for ours, theirs in compared)


def test_a_variable_that_is_set_is_set_in_the_state():
    scale = K.variable(2.0)
    model = Sequential([Lambda(lambda x: x * scale, input_shape=(2,)), Dense(2)])
    init_state, step = make_step(model, losses.mean_squared_error, optax.sgd(0.1))
    first = init_state(jax.random.key(0))
    assert jax.tree.leaves(first.state[OUTSIDE]) == [2.0]
    logs = step(first, (Y, Y))[1]
    K.set_value(scale, 5.0)
    assert step(first, (Y, Y))[1]["loss"] == logs["loss"]


def sparse_and_weighted(weight):
    return lambda y_true, y_pred: (
        weight * losses.sparse_categorical_crossentropy(y_true, y_pred) / (y_true.shape[-1] == 1)
    )


def test_what_is_not_found_is_named_and_can_be_given():
    weight = K.variable(3.0, name="annealed")
    model = Sequential([Dense(4, activation="softmax", input_shape=(5,))])
    classes = np.arange(30) % 4

    def loss(y_true, y_pred):
        if y_true.shape[-1] != 1:
            raise ValueError("this wants classes")
        return weight * losses.sparse_categorical_crossentropy(y_true, y_pred)

    init_state, step = make_step(model, loss, optax.sgd(0.1))
    with pytest.raises(ValueError, match="'annealed:0'.*not handed.*variables="):
        step(init_state(jax.random.key(0)), (X, classes))
    init_state, step = make_step(model, loss, optax.sgd(0.1), variables=[weight])
    state = init_state(jax.random.key(0))
    plain = make_step(model, losses.sparse_categorical_crossentropy, optax.sgd(0.1))[1]
    np.testing.assert_allclose(
        step(state, (X, classes))[1]["loss"], 3 * plain(state, (X, classes))[1]["loss"], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("rows", "target", "fits"), [(1, (30,), True), (1, (30, 1), True), (2, (30,), False), (1, (30, 2), False)]
)
def test_targets_must_fit_their_outputs(rows, target, fits):
    model = Sequential([Dense(rows, input_shape=(5,))])
    init_state, step = make_step(model, losses.mean_squared_error, optax.sgd(0.1))
    state, y = init_state(jax.random.key(0)), np.resize(Y[:, 0], target)
    if not fits:
        with pytest.raises(ValueError, match=rf"\({target[0]}, {target[1] if target[1:] else 1}\).*\(30, {rows}\)"):
            step(state, (X, y))
        return
    _, logs = step(state, (X, y))
    outputs, _ = model.apply(trees.merge(state.params, state.frozen), {}, X)
    np.testing.assert_allclose(logs["loss"], jnp.mean((outputs[:, 0] - Y[:, 0]) ** 2), rtol=1e-5)


def test_a_pure_pair_of_anybodys_trains():
    class Line:
        def init(self, key):
            return {"w": jnp.zeros(5)}, {"seen": jnp.zeros(())}

        def apply(self, params, state, x, *, key, training):
            return x @ params["w"], {"seen": state["seen"] + 1}

    init_state, step = make_step(Line(), lambda t, p: (t - p) ** 2, optax.sgd(0.1))
    state = init_state(0)
    for _ in range(3):
        state, logs = step(state, (X, X[:, 0]))
    assert state.state["seen"] == 3 and 0 < logs["loss"] < 1
