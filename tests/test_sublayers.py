"""Layers inside users' layers: their weights are in params, are counted, train, are saved; each once."""

import copy

import jax
import numpy as np
import pytest
from kit import close, draw, same_bits

from jkeras import backend as K
from jkeras import layers, regularizers
from jkeras.layers import LSTM, RNN, BatchNormalization, Bidirectional, Dense, Input, Layer, TimeDistributed, Wrapper
from jkeras.models import Model, Sequential

X = draw(8, 4)


class Attribute(Layer):
    """Holds a layer, which is built when it is called."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class InBuild(Attribute):
    """Makes and builds the layer in `build`, and lists its weights itself."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        del self.dense

    def build(self, input_shape):
        self.dense = Dense(self.units)
        self.dense.build(input_shape)
        self._trainable_weights = self.dense.trainable_weights
        super().build(input_shape)


class Nested(Attribute):
    """Holds a layer in a list in a dict."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.parts = {"a": [self.__dict__.pop("dense")]}

    def call(self, inputs):
        return self.parts["a"][0](inputs)


class InCall(Attribute):
    """Makes the layer in `call`."""

    def call(self, inputs):
        self.dense = Dense(self.units, name="inner")
        return self.dense(inputs)


class Anonymous(Attribute):
    """Makes the layer in `call` and forgets it."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        del self.dense

    def call(self, inputs):
        return Dense(self.units)(inputs)


class Unseen:
    """What is no container holds a layer."""

    def __init__(self, layer):
        self.layer = layer


class Stated(Attribute):
    """Only the property `trainable_weights` tells of the weights."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.unseen = Unseen(self.__dict__.pop("dense"))

    def build(self, input_shape):
        self.unseen.layer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs):
        return self.unseen.layer.call(inputs)

    @property
    def trainable_weights(self):
        return self.unseen.layer.trainable_weights


class Deep(Attribute):
    """A layer in a layer in a layer."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.dense = Nested(units)
        self.dense.parts["a"][0] = InBuild(units)


class Applied(Attribute):
    """Calls the `call` of the layer inside."""

    def build(self, input_shape):
        self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, inputs):
        return self.dense.call(inputs)


KINDS = [Attribute, InBuild, Nested, InCall, Anonymous, Stated, Deep, Applied]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_weights_are_there_once_train_and_are_saved(kind, tmp_path):
    x = Input((4,))
    layer = kind(3)
    model = Model(x, layer(x))
    assert [weight.shape for weight in layer.weights] == [(4, 3), (3,)] == [w.shape for w in model.weights]
    assert layer.count_params() == model.count_params() == 15
    params, state = model.init(jax.random.key(0))
    assert sorted(np.shape(leaf) for leaf in jax.tree.leaves(params)) == [(3,), (4, 3)] and not jax.tree.leaves(state)
    close(model.predict(X), X @ model.get_weights()[0] + model.get_weights()[1])
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(X, np.zeros((8, 3)))
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    model.save_weights(tmp_path / "weights.h5")
    again = Model(x, kind.from_config(layer.get_config())(x))
    again.load_weights(tmp_path / "weights.h5")
    assert same_bits(model.predict(X), again.predict(X))
    again.set_weights(before)
    assert same_bits(before, again.get_weights())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Stated])  # whose property does not ask
def test_freezing(kind):
    x = Input((4,))
    layer = kind(3)
    layer.trainable = False
    model = Model([x], Dense(1)(layer(x)))
    assert len(model.trainable_weights) == 2 and len(layer.non_trainable_weights) == 2


@pytest.mark.parametrize("kind", [Attribute, InBuild, Nested, InCall, Deep])
def test_the_pure_pair(kind):
    layer = kind(3)
    params, state = layer.init(jax.random.key(0), (None, 4))
    assert not layer.weights and not layer.built
    outputs, _ = layer.apply(params, state, X)
    built = kind(3)
    model = Model((x := Input((4,))), built(x))
    again, _ = built.init(jax.random.key(0), (None, 4))
    assert same_bits(params, again) and outputs.shape == (8, 3)
    (name,) = model.init(0)[0]
    close(model.apply({name: params}, {}, X)[0], outputs)
    assert kind(5).compute_output_shape((None, 4)) == (None, 5)


def test_an_inner_layer_can_be_frozen():
    layer = InBuild(3)
    x = Input((4,))
    model = Model(x, layer(x))
    layer.dense.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 2


class Block(Layer):
    """Two layers with penalties, and a batch normalization."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Dense(3, kernel_regularizer=regularizers.l2(0.1), activity_regularizer=regularizers.l1(0.01))
        self.norm = BatchNormalization(momentum=0.5)
        self.drop = layers.Dropout(0.5)

    def call(self, inputs):
        return self.drop(self.norm(self.dense(inputs)))


def test_penalties_and_moving_averages_of_inner_layers():
    x, inner = Input((4,)), Block()
    outer = Model(x, inner(x))
    dense, norm = Dense(3, kernel_regularizer="l2", activity_regularizer=regularizers.l1(0.01)), BatchNormalization()
    dense.kernel_regularizer, norm.momentum = regularizers.l2(0.1), 0.5
    flat = Model(x, layers.Dropout(0.5)(norm(dense(x))))
    for model in (outer, flat):
        model.compile("sgd", "mse")
    flat.set_weights(outer.get_weights())
    target = np.zeros((8, 3))
    close(outer.test_on_batch(X, target), flat.test_on_batch(X, target))
    before = outer.get_weights()
    outer.train_on_batch(X, target)
    assert all(np.any(old != new) for old, new in zip(before[-2:], outer.get_weights()[-2:], strict=True))
    assert [w.name.split("/")[-1] for w in inner.non_trainable_weights] == ["moving_mean:0", "moving_variance:0"]


class Step(Layer):
    """A cell with a layer inside."""

    state_size = 3

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.into, self.over = Dense(3), Dense(3, use_bias=False)

    def call(self, inputs, states):
        output = K.tanh(self.into(inputs) + self.over(states[0]))
        return output, [output]


class Followed(Wrapper):
    """A wrapper in Keras style, with a layer of its own."""

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.after = Dense(2)

    def call(self, inputs):
        return self.after(self.layer.call(inputs))


AROUND = {
    "RNN": (lambda: RNN(Step(), return_sequences=True), 3),
    "RNN of several": (lambda: RNN([layers.GRUCell(3), Step(), Step()]), 9),
    "Bidirectional RNN": (lambda: Bidirectional(RNN(Step())), 6),
    "Bidirectional": (lambda: Bidirectional(LSTM(3, return_sequences=True)), 6),
    "TimeDistributed": (lambda: TimeDistributed(Attribute(3)), 2),
    "Wrapper": (lambda: Followed(InBuild(3)), 4),
    "Wrapper of a wrapper": (lambda: TimeDistributed(Followed(Dense(3))), 4),
    "model": (lambda: Holder(Sequential([Dense(3, input_shape=(5, 4))])), 2),
    "model without input shape": (lambda: Holder(Sequential([Dense(3), Dense(2)])), 4),
}


class Holder(Layer):
    """Holds a model."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, inputs):
        return self.model(inputs)


@pytest.mark.parametrize("name", AROUND)
def test_layers_around_such_layers(name):
    make, count = AROUND[name]
    x = Input((5, 4))
    layer = make()
    model = Model(x, layer(x))
    assert len(model.trainable_weights) == count == len(set(model.trainable_weights))
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(draw(8, 5, 4), np.ones((8, *model.output_shape[1:])))
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", AROUND)
def test_layers_around_such_layers_without_a_graph(name):
    make, count = AROUND[name]
    x, layer = draw(2, 5, 4), make()
    params, state = layer.init(jax.random.key(0), x.shape)
    assert len(jax.tree.leaves(params)) == count
    y = layer.apply(params, state, x)[0]
    built = make()
    built(Input((5, 4)))
    assert jax.tree.structure(built.get_trees()) == jax.tree.structure((params, state))
    close(built.apply(params, state, x)[0], y)


def test_a_shared_layer_counts_once():
    class Tied(Layer):
        def __init__(self, to, **kwargs):
            super().__init__(**kwargs)
            self.to = to

        def call(self, inputs):
            return K.dot(inputs, K.transpose(self.to.kernel))

    x, dense = Input((4,)), Dense(3)
    tied = Tied(dense)
    model = Model(x, tied(dense(x)))
    assert [w.shape for w in model.weights] == [(4, 3), (3,)] == [np.shape(w) for w in model.get_weights()]
    assert tied.weights == [] and model.count_params() == 15
    kernel, bias = model.get_weights()
    close(model.predict(X), (X @ kernel + bias) @ kernel.T)
    both = Model(x, layers.add([Attribute()(x), Attribute()(x)]))
    assert len(both.weights) == 4
    one, first, second = Dense(3), Attribute(), Attribute()
    first.dense = second.dense = one
    shared = Model(x, layers.add([first(x), second(x)]))
    shared.compile("sgd", "mse")
    before = one.get_weights()
    shared.train_on_batch(X, np.ones((8, 3)))
    assert len(set(shared.trainable_weights)) == 2 and np.any(before[0] != one.get_weights()[0])


def test_a_layer_that_holds_the_one_that_holds_it():
    first, second = Attribute(), Attribute()
    first.friend, second.friend = second, first
    x = Input((4,))
    assert len(Model(x, second(first(x))).weights) == 4


def test_what_cannot_be_tracked_raises():
    class MakesWeights(Layer):
        def call(self, inputs):
            return K.dot(inputs, self.add_weight("kernel", (4, 3)))

    class Changes(Layer):
        def call(self, inputs):
            kinds.append(Dense if len(kinds) % 2 else layers.Activation)
            return kinds[-1]("relu" if kinds[-1] is layers.Activation else 3)(inputs)

    kinds = []
    with pytest.raises(ValueError, match=r"makes_weights_\d+.*Make the weights in build"):
        MakesWeights()(Input((4,)))
    with pytest.raises(ValueError, match=r"changes_\d+.*Make the layers in __init__"):
        Model((x := Input((4,))), Changes()(x)).predict(X)


class Wider(Dense):
    """Followed the units of a Dense layer, in Keras style."""

    def call(self, inputs):
        outputs = super().call(inputs)
        return K.concatenate([outputs, outputs])

    def compute_output_shape(self, input_shape):
        *outer, units = super().compute_output_shape(input_shape)
        return (*outer, 2 * units)


def test_super_compute_output_shape_is_that_of_the_built_in():
    assert Wider(3).compute_output_shape((None, 4)) == (None, 6)
    layer = Wider(3)
    assert layer(Input((4,))).shape == (None, 6) == layer.compute_output_shape((None, 4))

    class Same(Layer):
        def call(self, inputs):
            return inputs

        def compute_output_shape(self, input_shape):
            return super().compute_output_shape(input_shape)

    assert Same().compute_output_shape((None, 4)) == (None, 4)


# ----------------------------------------------------------------------------------- as packages of the time have them


class SelfAttention(Layer):
    """Additive attention over a sequence, with a penalty, masks and sizes that are asked for."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units

    def build(self, input_shape):
        size = int(input_shape[2])
        self.Wt = self.add_weight(shape=(size, self.units), name=f"{self.name}_Wt", initializer="ones")
        self.Wa = self.add_weight(shape=(self.units, 1), name=f"{self.name}_Wa", initializer="ones")
        super().build(input_shape)

    def call(self, inputs, mask=None, **kwargs):
        batch, length = K.shape(inputs)[0], K.shape(inputs)[1]
        assert K.int_shape(inputs)[2] == 4
        q = K.expand_dims(K.dot(inputs, self.Wt), 2) + K.expand_dims(K.dot(inputs, self.Wt), 1)
        e = K.reshape(K.dot(K.tanh(q), self.Wa), (batch, length, length))
        e = K.exp(e - K.max(e, axis=-1, keepdims=True))
        if mask is not None:
            e = e * K.expand_dims(K.cast(mask, K.floatx()), 1)
        a = e / (K.sum(e, axis=-1, keepdims=True) + K.epsilon())
        self.add_loss(K.sum(K.square(a)) / K.cast(batch, K.floatx()))
        return K.batch_dot(a, inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_mask(self, inputs, mask=None):
        return mask


class Heads(Wrapper):
    """Copies of a layer side by side, which the class's own properties list."""

    def __init__(self, layer, count=2, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True
        self.layers = [copy.deepcopy(layer) for _ in range(count)]
        for place, one in enumerate(self.layers):
            one.name = f"{layer.name}_{place}"
        self.layer = self.layers[0]

    def build(self, input_shape):
        for layer in self.layers:
            layer.build(input_shape)
            layer.built = True
        super().build(input_shape)

    @property
    def trainable_weights(self):
        return [weight for layer in self.layers for weight in layer.trainable_weights]

    def call(self, inputs, training=None, mask=None):
        return K.stack([layer.call(inputs, mask=mask) for layer in self.layers], axis=-1)


def test_attention_in_heads_behind_a_mask():
    x = Input((5,))
    embedded = layers.Embedding(7, 4, mask_zero=True)(x)
    heads = Heads(SelfAttention())
    model = Model(x, layers.Lambda(lambda x: K.mean(x, axis=(1, 3)))(layers.Lambda(lambda x: x)(heads(embedded))))
    assert heads(embedded).shape == (None, 5, 4, 2)
    assert [weight.shape for weight in heads.weights] == [(4, 3), (3, 1)] * 2 and len(model.trainable_weights) == 5
    model.compile("sgd", "mse")
    words = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 1]])
    target = np.zeros((2, 4))
    assert model.test_on_batch(words, target) > np.mean(model.predict(words) ** 2) + 1  # two penalties
    before = model.get_weights()
    model.train_on_batch(words, target)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))


class Recurrent(Layer):
    """A recurrent layer that is no RNN: it has one."""

    def __init__(self, units, return_sequences=True, return_state=False, go_backwards=False, **kwargs):
        super().__init__(**kwargs)
        self.units, self.return_sequences, self.return_state = units, return_sequences, return_state
        self.go_backwards = go_backwards
        self.inner = LSTM(units, return_sequences=return_sequences, go_backwards=go_backwards)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        given = {name: getattr(self, name) for name in ("units", "return_sequences", "return_state", "go_backwards")}
        return {"name": self.name, **given}


def test_bidirectional_wraps_what_answers_as_a_recurrent_layer():
    model = Sequential([Bidirectional(Recurrent(2), input_shape=(4, 3))])
    plain = Sequential([Bidirectional(LSTM(2, return_sequences=True), input_shape=(4, 3))])
    assert len(model.trainable_weights) == 6
    plain.set_weights(model.get_weights())
    steps = draw(2, 4, 3)
    close(model.predict(steps), plain.predict(steps))
    close(Sequential.from_config(model.get_config(), {"Recurrent": Recurrent}).predict(steps).shape, (2, 4, 4))


class Subclassed(Model):
    """A model that holds a layer, also in a list."""

    def __init__(self):
        super().__init__()
        self.dense, self.parts = Dense(3), [Dense(3)]

    def call(self, inputs):
        return self.parts[0](self.dense(inputs))


def called_layer():
    layer = Attribute(3)
    layer(Input((4,)))
    return layer


def called_model():
    model = Subclassed()
    model.predict(X)
    return model


@pytest.mark.parametrize("called, name", [(called_layer, "dense"), (called_model, "dense"), (called_model, "parts")])
def test_a_layer_with_weights_in_use_is_not_replaced(called, name):
    holder = called()
    before = getattr(holder, name)
    with pytest.raises(ValueError, match=rf"{holder.name}.{name} cannot be replaced: .*weights of dense_"):
        setattr(holder, name, Dense(7))
    assert getattr(holder, name) is before
    holder.other = before
    setattr(holder, name, None)  # its weights are where they were, under another name
    assert len(holder.held_layers()) == (1 if called is called_layer else 2)
    fresh = type(holder)()
    setattr(fresh, name, [Dense(7)] if name == "parts" else Dense(7))


def test_a_variable_made_in_the_call_that_updates_it_is_named():
    class Counting(Layer):
        def call(self, inputs):
            count = K.variable(0.0, name="count")
            self.add_update(K.update_add(count, 1.0))
            return inputs + count

    with pytest.raises(ValueError, match="count:0 of shape .* was made in the call that updates it"):
        Counting()(Input((4,)))
