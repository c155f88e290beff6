"""Models that cross over between jkeras and the real Keras 2.2.4: one table, read by both.

A model is made by `build(k)`, where `k` holds the names of a Keras (see `crossing.names`). As the catalogue of layers,
which most of the table is made of, this file imports neither and keeps to the older Python.
"""

import dataclasses
import os
import sys
import typing

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from catalogue import CATALOGUE, SEQUENCE, VECTOR, VIDEO, user_layer  # noqa: E402


def plainly(k):
    return {"optimizer": k.optimizers.SGD(lr=0.05), "loss": "mse"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and how it is trained.

    Arguments:
        id: what the tests call it.
        build: `build(k)` returns a new model, not compiled.
        inputs: the shapes of its inputs, batch size first; integers are marked by "int32" behind the shape.
        compiled: `compiled(k)` returns the arguments of `compile`.
        objects: `objects(k)` returns the custom objects that loading needs.
        options: "draws": training draws random numbers, so it is only predicted with. "stateful": its inputs have a
            batch size. "classes": the targets are probabilities. "double": it is of float64.
    """

    id: str
    build: typing.Callable
    inputs: tuple
    compiled: typing.Callable = plainly
    objects: typing.Callable = lambda k: {}
    options: frozenset = frozenset()

    @property
    def trains(self):
        return "draws" not in self.options

    def arrays(self):
        """The inputs: numbers between -1 and 1, or integers below five, zero (where masks begin) once in each row."""
        found = []
        for number, shape in enumerate(self.inputs):
            generator = np.random.RandomState(number)
            if shape[-1] == "int32":
                array = generator.randint(1, 5, size=shape[:-1])
                array[:, -1] = 0
            else:
                array = generator.uniform(-1, 1, shape).astype("float32")
            found.append(array)
        return found

    def targets(self, outputs):
        """Targets in the shapes of the outputs."""
        found = []
        for number, output in enumerate(outputs):
            array = np.random.RandomState(50 + number).uniform(0, 1, np.shape(output))
            if "classes" in self.options:
                array = array / array.sum(-1, keepdims=True)
            found.append(array.astype("float32"))
        return found


def symbols(k, inputs, **arguments):
    return [
        k.Input(batch_shape=((shape[0] if arguments else None),) + tuple(shape[1:]))
        if shape[-1] != "int32"
        else k.Input(shape=shape[1:-1], dtype="int32")
        for shape in inputs
    ]


# ---------------------------------------------------------------------------------------- every layer, a dozen a model

#: Code in the config (which only the version of Python that wrote it reads), or not all of the layer; GPUs.
LEFT_OUT = {"partial", "gpu"}
#: Where the `input_length` of an embedding has several sizes, the `batch_input_shape` that Keras writes is none. A
#: model inside of `TimeDistributed`, with its batch norm, it trains as it tests, unless another layer tells it apart.
WRONG_IN_KERAS = {"embedding_rank", "nested_model", "distributed_model"}


def of_layers(entries):
    """`build` for a model in which each of `entries` is a branch of its own."""

    def build(k):
        inputs = {}
        for entry in entries:
            for shape in entry.inputs:
                if shape not in inputs:
                    inputs[shape] = symbols(k, [shape], **({"size": True} if "stateful" in entry.options else {}))[0]
        outputs = [k.Dense(1)(next(s for shape, s in inputs.items() if len(shape) == 2 and shape[-1] != "int32"))]
        for entry in entries:
            given = [inputs[shape] for shape in entry.inputs]
            made = entry.make(k)(given if len(given) > 1 else given[0])
            outputs += made if isinstance(made, list) else [made]
        return k.Model(list(inputs.values()), outputs)

    shapes = list(dict.fromkeys(shape for entry in entries for shape in entry.inputs))
    return build, tuple(shapes)


def catalogue_cases(size=12):
    """The catalogue in models of up to `size` layers: those that draw, those with states, and the others."""
    found = []
    for kind in ("plain", "draws", "stateful"):
        of_kind = [
            entry
            for entry in CATALOGUE
            if not entry.options & LEFT_OUT
            and entry.id not in WRONG_IN_KERAS
            and kind == next((option for option in ("draws", "stateful") if option in entry.options), "plain")
        ]
        for first in range(0, len(of_kind), size):
            entries = of_kind[first : first + size]
            shapes = [shape for entry in entries for shape in entry.inputs]
            if not any(len(shape) == 2 for shape in shapes):  # something to train
                entries = [*entries, next(e for e in CATALOGUE if e.id == "repeat_vector")]
            build, inputs = of_layers(entries)
            name = f"{kind}_{entries[0].id}_to_{of_kind[first : first + size][-1].id}"
            found.append(Case(name, build, inputs, options=frozenset([kind]) - {"plain"}))
    return found


# ------------------------------------------------------------------------------------------------------------ the graph


def stack(k):
    return k.Sequential(
        [
            k.Dense(5, activation="tanh", input_shape=(4,), kernel_regularizer="l2", bias_regularizer="l1"),
            k.BatchNormalization(),
            k.Dense(4, kernel_initializer="he_normal", bias_initializer="ones", kernel_constraint="max_norm"),
            k.Dense(3, activation="softmax", name="last"),
        ]
    )


def built_later(k):
    model = k.Sequential([k.Dense(3), k.Dense(2)])
    model.build((None, 4))
    return model


def stack_of_stacks(k):
    inner = k.Sequential([k.InputLayer((4,)), k.Dense(3)])
    return k.Sequential([inner, k.Sequential([k.Dense(4, input_shape=(3,)), k.BatchNormalization()]), k.Dense(2)])


def inputs_and_outputs(k):
    a, b, c = k.Input((4,), name="a"), k.Input((3,), name="b"), k.Input((4, 3), name="c")
    joined = k.concatenate([k.Dense(3)(a), b, k.GRU(2)(c)])
    main = k.Dense(3, activation="softmax", name="main")(joined)
    side = k.Dense(1, name="side")(k.add([b, k.Dense(3, use_bias=False)(joined)]))
    return k.Model([a, b, c], [main, side, joined])


def with_losses_by_name(k):
    joined = "concatenate_1"
    return {
        "optimizer": k.optimizers.Adam(lr=0.01),
        "loss": {"main": "categorical_crossentropy", "side": "mae", joined: "logcosh"},
        "loss_weights": {"main": 1.0, "side": 0.3, joined: 0.1},
        "metrics": {"main": ["accuracy", "cosine"], "side": ["mse", "mae"]},
    }


def shared(k):
    x, y = k.Input((4,)), k.Input((4,))
    twice = k.Dense(4, activation="relu", name="twice")
    return k.Model([x, y], [twice(twice(x)), k.subtract([twice(y), x])])


def nested(k):
    """What normalises over the batch is called once: of several calls' updates Keras leaves open which one counts."""
    inner = k.Sequential([k.Dense(4, input_shape=(4,)), k.Dense(4, activation="tanh")], name="inner")
    x = k.Input((4,))
    once = inner(x)
    norm = k.Sequential([k.BatchNormalization(input_shape=(4,)), k.Dropout(0.0)])
    middle = k.Model(x, k.multiply([norm(once), inner(once)]), name="middle")
    y = k.Input((4,))
    return k.Model(y, k.Dense(3)(k.add([middle(y), inner(y)])))


def nested_many(k):
    a, b = k.Input((4,)), k.Input((3,))
    inner = k.Model([a, b], [k.Dense(3)(a), k.add([k.Dense(3)(a), b])], name="pair")
    c, d = k.Input((4,)), k.Input((3,))
    first, second = inner([c, d])
    third, _ = inner([c, second])
    return k.Model([c, d], [k.maximum([first, third]), second])


def frozen(k):
    """What is frozen inside of a nested model goes behind what is trained."""
    still = k.Dense(4, name="still")
    still.trainable = False
    inner = k.Sequential([still, k.BatchNormalization(name="norm"), k.Dense(3, name="moves")], name="inner")
    x = k.Input((4,))
    outer = k.Dense(4, name="outer", trainable=False)
    model = k.Model(x, k.Dense(2)(inner(outer(x))))
    inner.layers[1].trainable = False
    return model


def from_the_middle(k):
    """Of a larger graph: calls are numbered anew."""
    x = k.Input((4,))
    layer = k.Dense(4)
    layer(layer(x))
    return k.Model(x, k.Dense(3)(layer(x)))


def residual(k):
    x = k.Input((6, 5, 3))
    y = k.Activation("relu")(k.BatchNormalization()(k.Conv2D(3, 3, padding="same", use_bias=False)(x)))
    y = k.add([k.SeparableConv2D(3, 3, padding="same")(y), x])
    towers = [k.Conv2D(2, size, padding="same", strides=2)(y) for size in (1, 3)] + [
        k.MaxPooling2D(2, padding="same")(y)
    ]
    y = k.concatenate(towers)
    return k.Model(x, k.Dense(3, activation="softmax")(k.Dropout(0.0)(k.GlobalAveragePooling2D()(y))))


def digits(k):
    return k.Sequential(
        [
            k.Conv2D(3, (3, 3), activation="relu", input_shape=(6, 5, 3)),
            k.ZeroPadding2D(1),
            k.MaxPooling2D((2, 2)),
            k.Flatten(),
            k.Dense(4, activation="relu"),
            k.Dense(3, activation="softmax"),
        ]
    )


def long_names(k):
    """Lists of names beyond the 64 KB of an HDF5 attribute: of layers, and of the weights of a nested model."""
    x = k.Input((4,))
    inner, y = k.Input((4,)), x
    z = inner
    for number in range(40):
        z = k.PReLU(name=f"p{number:02d}" + "x" * 1700)(z)
    for number in range(300):
        y = k.Activation("tanh" if number % 100 == 0 else "linear", name=f"a{number:03d}" + "y" * 240)(y)
    return k.Model(x, k.Dense(2)(k.Model(inner, z)(y)))


def names_with_slashes(k):
    x = k.Input((4,), name="in/put")
    return k.Model(x, k.Dense(2, name="b/c")(k.Dense(3, name="b/d")(x)), name="a_model")


GRAPHS = [
    Case("stack", stack, (VECTOR,), options=frozenset(["classes"])),
    Case("built_later", built_later, (VECTOR,)),
    Case("stack_of_stacks", stack_of_stacks, (VECTOR,)),
    Case("inputs_and_outputs", inputs_and_outputs, (VECTOR, (2, 3), SEQUENCE), with_losses_by_name),
    Case("shared", shared, (VECTOR, VECTOR)),
    Case("nested", nested, (VECTOR,)),
    Case("nested_many", nested_many, (VECTOR, (2, 3))),
    Case("frozen", frozen, (VECTOR,)),
    Case("from_the_middle", from_the_middle, (VECTOR,)),
    Case("residual", residual, ((3, 6, 5, 3),), options=frozenset(["classes"])),
    Case("digits", digits, ((3, 6, 5, 3),), options=frozenset(["classes"])),
    Case("long_names", long_names, (VECTOR,)),
    Case("names_with_slashes", names_with_slashes, (VECTOR,)),
    Case("double", stack, (VECTOR,), options=frozenset(["classes", "double"])),
]

# ------------------------------------------------------------------------------------------------------------ recurrent


def encoder_decoder(k):
    source, target = k.Input((None, 3)), k.Input((None, 3))
    _, h, c = k.LSTM(4, return_state=True)(source)
    decoded, _, _ = k.LSTM(4, return_sequences=True, return_state=True)(target, initial_state=[h, c])
    return k.Model([source, target], k.TimeDistributed(k.Dense(3, activation="softmax"))(decoded))


def both_ways(k):
    x = k.Input((4, 3))
    y, f, b = k.Bidirectional(k.GRU(2, return_sequences=True, return_state=True, reset_after=True))(x)
    z = k.Bidirectional(k.LSTM(2), merge_mode="ave")(y)
    return k.Model(x, [k.Dense(2)(z), k.average([f, b])])


def masked(k):
    words = k.Input((4,), dtype="int32")
    x = k.Embedding(5, 3, mask_zero=True)(words)
    x = k.Bidirectional(k.LSTM(2, return_sequences=True), merge_mode="sum")(x)
    return k.Model(words, [k.TimeDistributed(k.Dense(2))(x), k.GRU(2)(k.Masking(0.0)(x))])


def weighted_in_time(k):
    return {"optimizer": k.optimizers.SGD(lr=0.05), "loss": "mse", "sample_weight_mode": [None, None]}


def cells(k):
    x = k.Input((4, 3))
    stacked = k.RNN(k.StackedRNNCells([k.LSTMCell(3), k.GRUCell(2, implementation=2)]), return_state=True)(x)
    single = k.RNN(k.SimpleRNNCell(2, activation="relu"), return_sequences=True, go_backwards=True, unroll=True)(x)
    return k.Model(x, list(stacked) + [single])


def stateful(k):
    x = k.Input(batch_shape=(2, 4, 3))
    y = k.LSTM(3, stateful=True, return_sequences=True)(x)
    return k.Model(x, k.Bidirectional(k.GRU(2, stateful=True))(y))


def frames(k):
    return k.Sequential(
        [
            k.ConvLSTM2D(2, 2, padding="same", return_sequences=True, input_shape=(3, 5, 4, 2)),
            k.BatchNormalization(),
            k.ConvLSTM2D(2, (2, 3), recurrent_activation="sigmoid"),
            k.TimeDistributed(k.Dense(2)),
        ]
    )


def distributed(k):
    x = k.Input((3, 4, 3))
    y = k.Input((4, 3))
    inner = k.Model(y, k.Dense(2)(k.LSTM(3)(y)))
    return k.Model(x, k.Bidirectional(k.SimpleRNN(2))(k.TimeDistributed(inner)(x)))


def with_constants(k):
    x, constant = k.Input((4, 3)), k.Input((2,))
    return k.Model(
        [x, constant], k.Dense(2)(k.RNN(constants_cell(k)(3), return_sequences=False)(x, constants=constant))
    )


def constants_cell(k):
    class Constant(k.Layer):
        def __init__(self, units, **kwargs):
            self.units = self.state_size = units
            super(Constant, self).__init__(**kwargs)  # noqa: UP008

        def build(self, input_shape):
            sizes = {"kernel": input_shape[0][-1], "again": self.units, "given": input_shape[1][-1]}
            self.made = [self.add_weight(name=n, shape=(sizes[n], self.units), initializer="uniform") for n in sizes]
            self.built = True

        def call(self, inputs, states, constants):
            parts = zip([inputs, states[0], constants[0]], self.made)  # noqa: B905
            output = sum((k.K.dot(part, matrix) for part, matrix in parts), 0.0)
            return output, [output]

        def get_config(self):
            return dict(super(Constant, self).get_config(), units=self.units)  # noqa: UP008

    return Constant


def of_constants(k):
    return {"Constant": constants_cell(k)}


RECURRENT = [
    Case("encoder_decoder", encoder_decoder, (SEQUENCE, (2, 3, 3)), options=frozenset(["classes"])),
    Case("both_ways", both_ways, (SEQUENCE,)),
    Case("masked", masked, ((2, 4, "int32"),), weighted_in_time),
    Case("cells", cells, (SEQUENCE,)),
    Case("stateful", stateful, (SEQUENCE,), options=frozenset(["stateful"])),
    Case("frames", frames, (VIDEO,)),
    Case("distributed", distributed, ((2, 3, 4, 3),)),
    Case("with_constants", with_constants, (SEQUENCE, (2, 2)), objects=of_constants),
]

# ------------------------------------------------------------------------------------------- what users bring with them


class Named:
    """Something callable, which a config holds by its name."""

    __name__ = "halved"

    def __call__(self, x, factor=0.5):
        return x * factor


def with_lambda(k):
    x = k.Input((4,))
    y = k.Lambda(Named(), output_shape=(4,), arguments={"factor": 0.25}, name="by_name")(k.Dense(4)(x))
    return k.Model(x, k.Lambda(Named(), output_shape=(4,))(y))


def own_objects(k):
    def swish(x):
        return x * k.K.sigmoid(x)

    def off(y_true, y_pred):
        return k.K.mean(k.K.abs(y_true - y_pred), axis=-1)

    def far(y_true, y_pred):
        return k.K.max(k.K.abs(y_true - y_pred))

    class Small(k.regularizers.Regularizer):
        def __call__(self, w):
            return 0.01 * k.K.sum(k.K.abs(w))

        def get_config(self):
            return {}

    class Halves(k.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return k.K.constant(np.full(shape, 0.5), dtype=dtype)

    class Slow(k.optimizers.SGD):
        pass

    found = {"swish": swish, "off": off, "far": far, "Small": Small, "Halves": Halves, "Slow": Slow}
    found["Affine"] = type(user_layer(k))
    return found


def brought(k):
    own = own_objects(k)
    x = k.Input((4,))
    y = k.Dense(3, activation=own["swish"], kernel_initializer=own["Halves"](), kernel_regularizer=own["Small"]())(x)
    return k.Model(x, k.Activation(own["swish"])(own["Affine"]()(y)))


def brought_along(k):
    own = own_objects(k)
    return {"optimizer": own["Slow"](lr=0.1, momentum=0.5), "loss": own["off"], "metrics": [own["far"], "mae"]}


OWN = [
    Case("with_lambda", with_lambda, (VECTOR,), objects=lambda k: {"halved": Named()}),
    Case("brought", brought, (VECTOR,), brought_along, own_objects),
]

# ---------------------------------------------------------------------- optimizers, losses, initializers and the like


def penalised(k):
    r, c = k.regularizers, k.constraints
    return k.Sequential(
        [
            k.Dense(
                4, input_shape=(4,), kernel_regularizer=r.l1_l2(0.01, 0.02), kernel_constraint=c.MinMaxNorm(0.5, 1.5)
            ),
            k.Dense(
                4, kernel_constraint=c.UnitNorm(axis=0), activity_regularizer=r.l2(0.01), bias_constraint=c.NonNeg()
            ),
            k.Dense(3, kernel_constraint=c.MaxNorm(0.7, axis=1), bias_regularizer=r.l1(0.1)),
        ]
    )


OPTIMIZERS = {
    "sgd": lambda o: o.SGD(lr=0.1, momentum=0.9, decay=0.1, nesterov=True, clipnorm=0.1),
    "rmsprop": lambda o: o.RMSprop(lr=0.01, rho=0.8, decay=0.05),
    "adagrad": lambda o: o.Adagrad(lr=0.05, decay=0.1),
    "adadelta": lambda o: o.Adadelta(lr=0.9, rho=0.9),
    "adam": lambda o: o.Adam(lr=0.02, decay=0.1, clipvalue=0.05),
    "amsgrad": lambda o: o.Adam(lr=0.02, beta_1=0.5, amsgrad=True),
    "adamax": lambda o: o.Adamax(lr=0.02, decay=0.2),
    "nadam": lambda o: o.Nadam(lr=0.02, schedule_decay=0.01),
}


def with_optimizer(name):
    return lambda k: {"optimizer": OPTIMIZERS[name](k.optimizers), "loss": "mse", "metrics": ["mae"]}


LOSSES = [
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "squared_hinge", "hinge", "categorical_hinge",
    "kullback_leibler_divergence", "poisson", "cosine_proximity", "binary_crossentropy",
]  # fmt: skip


def one_for_each_loss(k):
    x = k.Input((4,))
    return k.Model(x, [k.Dense(3, activation="softmax")(x) for _ in LOSSES])


def all_losses(k):
    return {"optimizer": "adam", "loss": LOSSES, "loss_weights": [0.1] * len(LOSSES), "metrics": ["acc", "mse"]}


def all_initializers(k):
    i = k.initializers
    made = [
        i.Zeros(), i.Ones(), i.Constant(0.3), i.RandomNormal(0.1, 0.2, seed=1), i.RandomUniform(-0.1, 0.1),
        i.TruncatedNormal(stddev=0.1), i.VarianceScaling(2.0, "fan_avg", "uniform", seed=2), i.Orthogonal(0.5),
        i.Identity(0.5), i.lecun_uniform(), i.glorot_normal(3), i.he_uniform(), i.lecun_normal(),
    ]  # fmt: skip
    return k.Sequential([k.Dense(4, input_shape=(4,), kernel_initializer=one, activation="tanh") for one in made])


STATES = [
    *(Case("optimizer_" + name, penalised, (VECTOR,), with_optimizer(name)) for name in OPTIMIZERS),
    Case("losses", one_for_each_loss, (VECTOR,), all_losses, options=frozenset(["classes"])),
    Case("initializers", all_initializers, (VECTOR,)),
]

CASES = [*catalogue_cases(), *GRAPHS, *RECURRENT, *OWN, *STATES]
