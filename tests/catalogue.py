"""Every layer in every group of its options, on tiny inputs: the one table that the tests of all layers go through.

A layer is made by `make(k)`, where `k` holds the names of a Keras (see `names`): so the real Keras 2.2.4, on its
Python 3.7, can make the same ones. `data/ask_keras.py` had it do so, and wrote down in `data/keras_layers.json` what it
says of each. This file is read by both: it imports neither, and keeps to the older Python.
"""

import dataclasses
import types
import typing

import numpy as np


@dataclasses.dataclass(frozen=True)
class Entry:
    """A layer and what it is called on.

    Arguments:
        id: what the tests call it.
        make: `make(k)` returns a new layer.
        inputs: the shapes of its inputs, batch size first; integers are marked by "int32" behind the shape.
        options: "stateful": it needs a batch size. "partial": its config holds code, or not all of it. "draws": it
            draws random numbers in training. "consumes": it leaves out what is masked. "zeros": some time steps of the
            inputs are zeros. "gpu": Keras 2.2.4 runs it on GPUs only.
        unknown: the shapes of one example, None where Keras takes sizes that are not known; () if nowhere.
    """

    id: str
    make: typing.Callable
    inputs: tuple
    options: frozenset = frozenset()
    unknown: tuple = ()

    @property
    def several(self) -> bool:
        return len(self.inputs) > 1

    def shapes(self) -> list:
        return [shape[:-1] if isinstance(shape[-1], str) else shape for shape in self.inputs]

    def dtypes(self, floats="float32") -> list:
        return [shape[-1] if isinstance(shape[-1], str) else floats for shape in self.inputs]

    def arrays(self) -> list:
        """The inputs: numbers between -1 and 1, or integers below five."""
        arrays = []
        for number, (shape, dtype) in enumerate(zip(self.shapes(), self.dtypes())):  # noqa: B905
            generator = np.random.RandomState(number)
            integers = dtype == "int32"
            array = generator.randint(5, size=shape) if integers else generator.uniform(-1, 1, shape)
            if "zeros" in self.options:
                array[0, 1] = array[1, -1] = 0
            arrays.append(array.astype(dtype))
        return arrays

    def masks(self) -> list:
        """Which of the time steps count, for each input: (batch, time), never all of an example."""
        masks = []
        for number, shape in enumerate(self.shapes()):
            mask = np.random.RandomState(7 + number).uniform(size=shape[:2]) < 0.6
            mask[:, 0], mask[:, 1] = True, False
            masks.append(mask)
        return masks


def weight(number, name, shape):
    """A value for the weight `number` of a layer: between -0.5 and 0.5, of variances between 0.5 and 1.5."""
    values = np.random.RandomState(100 + number).uniform(-0.5, 0.5, shape)
    return (values + ("variance" in name)).astype("float32")


def fingerprint(array) -> float:
    """One number in which every entry of `array` counts."""
    flat = np.asarray(array, "float64").ravel()
    return float(np.sum(flat * np.cos(np.arange(flat.size))))


def names(layers, models, backend):
    """The names that `make` finds on its argument."""
    return types.SimpleNamespace(**dict(vars(layers), Model=models.Model, Sequential=models.Sequential, K=backend))


def entries(inputs, options="", unknown=(), **makes) -> list:
    """Entries that share their inputs: name -> make."""
    inputs = tuple(inputs) if isinstance(inputs, list) else (inputs,)
    unknown = tuple(unknown) if isinstance(unknown, list) else (unknown,) if unknown else ()
    return [Entry(name, make, inputs, frozenset(options.split()), unknown) for name, make in makes.items()]


VECTOR, SEQUENCE, SHORT, INDICES = (2, 4), (2, 4, 3), (2, 2, 3), (2, 4, "int32")
IMAGE, IMAGE_FIRST, VOLUME, VOLUME_FIRST = (2, 6, 5, 3), (2, 3, 6, 5), (2, 4, 3, 4, 2), (2, 2, 4, 3, 4)
VIDEO, VIDEO_FIRST = (2, 3, 5, 4, 2), (2, 3, 2, 5, 4)
TIMES, SIDES, SIDES_FIRST = (None, 3), (None, None, 3), (3, None, None)
SPACE, SPACE_FIRST = (None, None, None, 2), (2, None, None, None)
FIRST = "channels_first"


def double(x):
    return x * 2.0


def scaled(x, factor):
    return x * factor


# ---------------------------------------------------------------------------------- models and cells used in the table


def small_model(k):
    x = k.Input(shape=(3,))
    return k.Model(x, k.Dense(2)(k.BatchNormalization()(k.Dense(4, activation="tanh")(x))))


def model_of_two(k):
    a, b = k.Input(shape=(4,)), k.Input(shape=(3,))
    shared = k.Dense(3, activation="tanh")
    return k.Model([a, b], [k.add([shared(a), b]), k.Activation("elu")(shared(a))])


def nested_model(k):
    x = k.Input(shape=(4, 3))
    return k.Model(x, k.LSTM(2)(k.TimeDistributed(small_model(k))(x)))


def masking_model(k):
    x = k.Input(shape=(4, 3))
    return k.Model(x, k.Dense(2)(k.Masking()(x)))


def sequential(k):
    return k.Sequential([k.Dense(3, input_shape=(4,)), k.Dropout(0.5), k.Dense(2, activation="softmax")])


def user_layer(k):
    """A layer in Keras style: two weights of one name, and one that training leaves alone."""

    class Affine(k.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(name="w", shape=(input_shape[-1],), initializer="ones")
            self.offset = self.add_weight(name="w", shape=(input_shape[-1],), initializer="zeros")
            self.still = self.add_weight(name="still", shape=(1,), initializer="ones", trainable=False)
            super(Affine, self).build(input_shape)  # noqa: UP008

        def call(self, inputs):
            return inputs * self.factor + self.offset * self.still

        def compute_output_shape(self, input_shape):
            return input_shape

    return Affine()


def user_cell(k):
    """An `RNN` around a cell in Keras style that takes a constant."""

    class Minimal(k.Layer):
        def __init__(self, units, **kwargs):
            self.units = self.state_size = units
            super(Minimal, self).__init__(**kwargs)  # noqa: UP008

        def build(self, input_shape):
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[0][-1], self.units), initializer="uniform")
            self.state_kernel = self.add_weight(name="recurrent", shape=(3, 3), initializer="uniform")
            self.built = True

        def call(self, inputs, states, constants):
            output = k.K.tanh(k.K.dot(inputs, self.kernel) + k.K.dot(states[0] + constants[0], self.state_kernel))
            return output, [output]

    layer = k.RNN(Minimal(3), return_sequences=True)
    layer.num_constants = 1
    return layer


def stack(k, **arguments):
    return k.RNN([k.LSTMCell(3), k.GRUCell(2), k.SimpleRNNCell(2, use_bias=False)], **arguments)


def reversed_stack(k):
    cells = k.StackedRNNCells([k.LSTMCell(3), k.GRUCell(2)], reverse_state_order=True)
    return k.RNN(cells, return_state=True)


def making(name, always, **kinds) -> dict:
    """Makes of one class, named by it and by the kind: with the arguments `always` and those of the kind."""

    def make_with(arguments):
        return lambda k: getattr(k, name)(*always, **arguments)

    return {name.lower() + "_" + kind: make_with(arguments) for kind, arguments in kinds.items()}


ALL, SUMMARY = {"return_sequences": True}, {"return_sequences": True, "return_state": True}
FORGET = {
    "unit_forget_bias": False, "activation": "softmax", "kernel_regularizer": "l2", "recurrent_constraint": "max_norm",
    "activity_regularizer": "l1",
}  # fmt: skip
GATES = {"recurrent_activation": "sigmoid", "activation": "softsign", "use_bias": False, "implementation": 2}


def recurrent_entries(name, **own) -> list:
    """The entries of `SimpleRNN`, `GRU` or `LSTM`; `own` are options that not all of them have."""
    states = [(2, 3)] * (2 if name == "LSTM" else 1)
    looped = {"plain": {}, "state": SUMMARY, "backwards": dict(ALL, go_backwards=True)}
    drops = {"dropout": 0.5, "recurrent_dropout": 0.3}
    dropping = {"dropout": drops}
    if name != "SimpleRNN":
        dropping["dropout_2"] = dict(drops, implementation=2, return_sequences=True)
    return [
        *entries(SEQUENCE, "consumes", TIMES, **making(name, [3], **dict(looped, **own))),
        *entries(SHORT, "consumes", **making(name, [2], unrolled=dict(SUMMARY, unroll=True))),
        *entries(SEQUENCE, "consumes draws", **making(name, [3], **dropping)),
        *entries(SEQUENCE, "consumes stateful", **making(name, [3], stateful={"stateful": True})),
        *entries([SEQUENCE, *states], "consumes", **making(name, [3], initial_state=ALL)),
    ]


# ------------------------------------------------------------------------------------------------------------ the table

CORE = [
    *entries(
        VECTOR,
        dense=lambda k: k.Dense(3),
        dense_no_bias=lambda k: k.Dense(3, activation="tanh", use_bias=False),
        dense_penalties=lambda k: k.Dense(
            3, kernel_regularizer="l2", bias_constraint="non_neg", activity_regularizer="l1"
        ),
        reshape=lambda k: k.Reshape((2, 2)),
        reshape_rest=lambda k: k.Reshape((-1, 2)),
        repeat_vector=lambda k: k.RepeatVector(3),
        activity_regularization=lambda k: k.ActivityRegularization(l1=0.1, l2=0.2),
    ),
    *entries(
        VECTOR,
        "partial",
        user_layer=user_layer,
        lambda_arguments=lambda k: k.Lambda(scaled, arguments={"factor": 3.0}, output_shape=(4,)),
    ),
    *entries(
        VECTOR,
        "draws",
        dropout=lambda k: k.Dropout(0.5),
        dropout_seed=lambda k: k.Dropout(0.2, seed=3),
        gaussian_noise=lambda k: k.GaussianNoise(0.5),
        gaussian_dropout=lambda k: k.GaussianDropout(0.5),
        alpha_dropout=lambda k: k.AlphaDropout(0.3),
        dropout_none=lambda k: k.Dropout(0.0),
    ),
    *entries(
        SEQUENCE,
        "draws",
        TIMES,
        spatial_dropout_1d=lambda k: k.SpatialDropout1D(0.5),
        dropout_noise_shape=lambda k: k.Dropout(0.5, noise_shape=(None, 1, None)),
    ),
    *entries(
        SEQUENCE,
        "draws partial",
        TIMES,
        alpha_dropout_noise_shape=lambda k: k.AlphaDropout(0.5, noise_shape=(2, 1, 3)),
    ),
    *entries(IMAGE, "draws", SIDES, spatial_dropout_2d=lambda k: k.SpatialDropout2D(0.5)),
    *entries(VOLUME, "draws", SPACE, spatial_dropout_3d=lambda k: k.SpatialDropout3D(0.5)),
    *entries(
        IMAGE_FIRST, "draws partial", spatial_dropout_2d_first=lambda k: k.SpatialDropout2D(0.5, data_format=FIRST)
    ),
    *entries(
        VOLUME_FIRST, "draws partial", spatial_dropout_3d_first=lambda k: k.SpatialDropout3D(0.5, data_format=FIRST)
    ),
    *entries(
        SEQUENCE,
        unknown=TIMES,
        dense_sequence=lambda k: k.Dense(2, activation="softmax"),
        permute=lambda k: k.Permute((2, 1)),
        reshape_sequence=lambda k: k.Reshape((-1,)),
    ),
    *entries(
        SEQUENCE,
        "partial",
        TIMES,
        lambda_plain=lambda k: k.Lambda(double),
        lambda_mask=lambda k: k.Lambda(double, mask=lambda inputs, mask: mask),
        distributed_user=lambda k: k.TimeDistributed(user_layer(k)),
    ),
    *entries(SEQUENCE, "zeros", TIMES, masking=lambda k: k.Masking(), masking_value=lambda k: k.Masking(0.5)),
    *entries(SEQUENCE, flatten=lambda k: k.Flatten()),
    *entries(IMAGE, unknown=SIDES, dense_image=lambda k: k.Dense(2, activation="relu")),
    *entries(IMAGE, flatten_image=lambda k: k.Flatten(), permute_image=lambda k: k.Permute((3, 1, 2))),
    *entries(IMAGE_FIRST, flatten_first=lambda k: k.Flatten(data_format=FIRST)),
    *entries(
        INDICES,
        unknown=(None,),
        embedding=lambda k: k.Embedding(5, 3),
        embedding_mask=lambda k: k.Embedding(5, 3, mask_zero=True, embeddings_constraint="unit_norm"),
    ),
    *entries(INDICES, embedding_length=lambda k: k.Embedding(5, 3, input_length=4, embeddings_regularizer="l2")),
    *entries((2, 3, 4, "int32"), embedding_rank=lambda k: k.Embedding(5, 2, input_length=(3, 4))),
]

ACTIVATIONS = [
    *(
        entry
        for name in (
            "elu",
            "exponential",
            "hard_sigmoid",
            "linear",
            "relu",
            "selu",
            "sigmoid",
            "softmax",
            "softplus",
            "softsign",
            "tanh",
        )
        for entry in entries(VECTOR, **making("Activation", [name], **{name: {}}))
    ),
    *entries(
        VECTOR,
        leaky_relu=lambda k: k.LeakyReLU(0.2),
        elu=lambda k: k.ELU(0.7),
        thresholded_relu=lambda k: k.ThresholdedReLU(0.3),
        relu=lambda k: k.ReLU(),
        relu_options=lambda k: k.ReLU(max_value=0.8, negative_slope=0.1, threshold=0.2),
        prelu=lambda k: k.PReLU(alpha_regularizer="l2"),
        softmax=lambda k: k.Softmax(),
    ),
    *entries(SEQUENCE, unknown=TIMES, softmax_axis=lambda k: k.Softmax(axis=1)),
    *entries(IMAGE, unknown=SIDES, prelu_shared=lambda k: k.PReLU(shared_axes=[1, 2])),
    *entries(
        VECTOR,
        batch_norm=lambda k: k.BatchNormalization(),
        batch_norm_momentum=lambda k: k.BatchNormalization(momentum=0.5, epsilon=0.1),
    ),
    *entries(VECTOR, batch_norm_bare=lambda k: k.BatchNormalization(center=False, scale=False)),
    *entries(SEQUENCE, unknown=TIMES, batch_norm_sequence=lambda k: k.BatchNormalization(scale=False)),
    *entries(IMAGE, unknown=SIDES, batch_norm_image=lambda k: k.BatchNormalization(beta_regularizer="l2")),
    *entries(IMAGE_FIRST, unknown=SIDES_FIRST, batch_norm_first=lambda k: k.BatchNormalization(axis=1, center=False)),
]

CONVOLUTIONS = [
    *entries(
        SEQUENCE,
        unknown=TIMES,
        conv1d=lambda k: k.Conv1D(2, 3),
        conv1d_same=lambda k: k.Conv1D(2, 2, strides=2, padding="same", activation="tanh"),
        conv1d_causal=lambda k: k.Conv1D(2, 2, padding="causal", dilation_rate=2, use_bias=False),
        separable_conv1d=lambda k: k.SeparableConv1D(2, 2, depth_multiplier=2),
        separable_conv1d_same=lambda k: k.SeparableConv1D(2, 3, padding="same", dilation_rate=2, use_bias=False),
        up_sampling1d=lambda k: k.UpSampling1D(3),
        zero_padding1d=lambda k: k.ZeroPadding1D((1, 2)),
        cropping1d=lambda k: k.Cropping1D((1, 0)),
    ),
    *entries(
        (2, 3, 5),
        unknown=(3, None),
        conv1d_first=lambda k: k.Conv1D(2, 3, data_format=FIRST, padding="same", activation="relu"),
        separable_conv1d_first=lambda k: k.SeparableConv1D(2, 2, data_format=FIRST),
    ),
    *entries(
        IMAGE,
        unknown=SIDES,
        conv2d=lambda k: k.Conv2D(2, 3, kernel_regularizer="l2", kernel_constraint="max_norm", activation="elu"),
        conv2d_one=lambda k: k.Conv2D(2, 1, strides=2),
        conv2d_same=lambda k: k.Conv2D(2, (3, 2), strides=2, padding="same", use_bias=False),
        conv2d_dilated=lambda k: k.Conv2D(2, 2, dilation_rate=(2, 1), activation="softmax"),
        conv2d_dilated_same=lambda k: k.Conv2D(2, 3, dilation_rate=2, padding="same"),
        conv2d_transpose=lambda k: k.Conv2DTranspose(2, 3, strides=2),
        conv2d_transpose_same=lambda k: k.Conv2DTranspose(2, 3, strides=(2, 1), padding="same", activation="tanh"),
        conv2d_transpose_extra=lambda k: k.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1),
        conv2d_transpose_dilated=lambda k: k.Conv2DTranspose(2, 2, dilation_rate=2, use_bias=False),
        separable_conv2d=lambda k: k.SeparableConv2D(2, 3, activation="relu", depthwise_regularizer="l2"),
        separable_conv2d_same=lambda k: k.SeparableConv2D(2, 2, strides=2, padding="same", depth_multiplier=2),
        separable_conv2d_dilated=lambda k: k.SeparableConv2D(2, 2, dilation_rate=2, use_bias=False),
        depthwise_conv2d=lambda k: k.DepthwiseConv2D(3, depth_multiplier=2),
        depthwise_conv2d_same=lambda k: k.DepthwiseConv2D(2, strides=2, padding="same", use_bias=False),
        up_sampling2d=lambda k: k.UpSampling2D((2, 3)),
        up_sampling2d_bilinear=lambda k: k.UpSampling2D(2, interpolation="bilinear"),
        zero_padding2d=lambda k: k.ZeroPadding2D(((1, 0), (2, 1))),
        cropping2d=lambda k: k.Cropping2D(((1, 0), (2, 1))),
    ),
    *entries(
        IMAGE_FIRST,
        unknown=SIDES_FIRST,
        conv2d_first=lambda k: k.Conv2D(2, 3, strides=2, padding="same", data_format=FIRST),
        conv2d_transpose_first=lambda k: k.Conv2DTranspose(2, 3, strides=2, data_format=FIRST),
        separable_conv2d_first=lambda k: k.SeparableConv2D(2, 2, data_format=FIRST),
        depthwise_conv2d_first=lambda k: k.DepthwiseConv2D(2, data_format=FIRST, depth_multiplier=2, activation="tanh"),
        up_sampling2d_first=lambda k: k.UpSampling2D((2, 1), data_format=FIRST),
        zero_padding2d_first=lambda k: k.ZeroPadding2D((1, 2), data_format=FIRST),
        cropping2d_first=lambda k: k.Cropping2D(1, data_format=FIRST),
    ),
    *entries(
        VOLUME,
        unknown=SPACE,
        conv3d=lambda k: k.Conv3D(2, 2, activation="tanh"),
        conv3d_same=lambda k: k.Conv3D(2, (3, 2, 1), strides=(2, 1, 2), padding="same", use_bias=False),
        conv3d_dilated=lambda k: k.Conv3D(2, 2, dilation_rate=2, padding="same"),
        conv3d_transpose=lambda k: k.Conv3DTranspose(2, 2, strides=2),
        conv3d_transpose_same=lambda k: k.Conv3DTranspose(2, 3, strides=(1, 2, 1), padding="same", use_bias=False),
        up_sampling3d=lambda k: k.UpSampling3D((2, 1, 2)),
        zero_padding3d=lambda k: k.ZeroPadding3D((1, 0, 2)),
        cropping3d=lambda k: k.Cropping3D(((1, 1), (0, 1), (1, 0))),
    ),
    *entries(
        VOLUME_FIRST,
        unknown=SPACE_FIRST,
        conv3d_first=lambda k: k.Conv3D(2, 2, strides=2, data_format=FIRST),
        conv3d_transpose_first=lambda k: k.Conv3DTranspose(3, 2, strides=2, padding="same", data_format=FIRST),
        up_sampling3d_first=lambda k: k.UpSampling3D(2, data_format=FIRST),
        zero_padding3d_first=lambda k: k.ZeroPadding3D(1, data_format=FIRST),
        cropping3d_first=lambda k: k.Cropping3D(1, data_format=FIRST),
    ),
    *entries(
        (2, 5, 3),
        local_1d=lambda k: k.LocallyConnected1D(2, 2, activation="tanh"),
        local_1d_strides=lambda k: k.LocallyConnected1D(2, 3, strides=2, use_bias=False, kernel_regularizer="l2"),
    ),
    *entries(IMAGE, local_2d=lambda k: k.LocallyConnected2D(2, (3, 2), strides=(2, 1))),
    *entries(IMAGE_FIRST, local_2d_first=lambda k: k.LocallyConnected2D(2, 3, data_format=FIRST, activation="relu")),
]

POOLINGS = []
for _kind in ("Max", "Average"):
    for _rank, _shape, _open in ((1, (2, 5, 3), TIMES), (2, IMAGE, SIDES), (3, VOLUME, SPACE)):
        _name = "%sPooling%dD" % (_kind, _rank)  # noqa: UP031
        POOLINGS += entries(
            _shape, unknown=_open,
            **making(_name, [], plain={}, same={"padding": "same"}, strides={"pool_size": 2, "strides": 1}),
        )  # fmt: skip
        _consumes = "consumes" if _name == "AveragePooling1D" else ""
        POOLINGS += entries(_shape, _consumes, _open, **making("Global" + _name, [], plain={}))
        _shape, _open = {1: ((2, 3, 5), (3, None)), 2: (IMAGE_FIRST, SIDES_FIRST), 3: (VOLUME_FIRST, SPACE_FIRST)}[
            _rank
        ]
        _first = {"data_format": FIRST}
        POOLINGS += entries(_shape, unknown=_open, **making(_name, [], first=dict(_first, padding="same")))
        POOLINGS += entries(_shape, unknown=_open, **making("Global" + _name, [], first=_first))

RECURRENT = [
    *recurrent_entries("SimpleRNN", relu={"activation": "relu", "use_bias": False}),
    *recurrent_entries("GRU", gates=GATES, reset_after={"reset_after": True}),
    *recurrent_entries("LSTM", gates=GATES, forget=FORGET),
    *entries(SEQUENCE, "consumes", TIMES, rnn_stack_equal=lambda k: k.RNN([k.LSTMCell(2), k.GRUCell(2)], **SUMMARY)),
    *entries(SEQUENCE, unknown=TIMES, rnn_stack=lambda k: stack(k, **SUMMARY)),  # no masks: the sizes differ
    *entries(SEQUENCE, "consumes", TIMES, rnn=lambda k: k.RNN(k.LSTMCell(3))),
    *entries(SHORT, "consumes", rnn_unrolled=lambda k: k.RNN(k.GRUCell(3), unroll=True)),
    *entries(SEQUENCE, "stateful", rnn_stateful=lambda k: stack(k, stateful=True)),
    *entries(SEQUENCE, "consumes partial", TIMES, rnn_stack_reversed=reversed_stack),
    *entries([SEQUENCE, (2, 3)], "consumes partial", rnn_constants=user_cell),
    *entries(
        SEQUENCE,
        "gpu",
        TIMES,
        cudnn_lstm=lambda k: k.CuDNNLSTM(3),
        cudnn_gru_state=lambda k: k.CuDNNGRU(3, **SUMMARY),
    ),
    *entries(SEQUENCE, "gpu stateful", cudnn_lstm_stateful=lambda k: k.CuDNNLSTM(3, stateful=True)),
    *entries(
        VIDEO,
        "consumes",
        (None, None, None, 2),
        conv_lstm=lambda k: k.ConvLSTM2D(2, 2, activation="relu"),
        conv_lstm_state=lambda k: k.ConvLSTM2D(2, (3, 2), strides=(2, 1), padding="same", **SUMMARY),
        conv_lstm_dilated=lambda k: k.ConvLSTM2D(
            2, 2, dilation_rate=2, padding="same", use_bias=False, go_backwards=True
        ),
        conv_rnn=lambda k: k.ConvRNN2D(k.ConvLSTM2DCell(2, 2), return_sequences=True),
    ),
    *entries(
        VIDEO, "consumes draws", conv_lstm_dropout=lambda k: k.ConvLSTM2D(2, 2, dropout=0.4, recurrent_dropout=0.4)
    ),
    *entries(VIDEO, "consumes stateful", conv_lstm_stateful=lambda k: k.ConvLSTM2D(2, 2, stateful=True)),
    *entries(
        VIDEO_FIRST, "consumes", (None, 2, None, None), conv_lstm_first=lambda k: k.ConvLSTM2D(2, 2, data_format=FIRST)
    ),
]

MERGES = [
    *entries(
        [VECTOR, VECTOR, VECTOR],
        add=lambda k: k.Add(),
        multiply=lambda k: k.Multiply(),
        average=lambda k: k.Average(),
        maximum=lambda k: k.Maximum(),
        minimum=lambda k: k.Minimum(),
        concatenate=lambda k: k.Concatenate(),
    ),
    *entries(
        [VECTOR, VECTOR],
        subtract=lambda k: k.Subtract(),
        dot=lambda k: k.Dot(1),
        dot_cosine=lambda k: k.Dot(-1, normalize=True),
    ),
    *entries(
        [SEQUENCE, SEQUENCE],
        unknown=[TIMES, TIMES],
        add_sequences=lambda k: k.Add(),
        subtract_sequences=lambda k: k.Subtract(),
        concatenate_sequences=lambda k: k.Concatenate(axis=-1),
        concatenate_times=lambda k: k.Concatenate(axis=1),
        dot_sequences=lambda k: k.Dot(axes=2),
    ),
    *entries(
        [SEQUENCE, (2, 3)],
        unknown=[TIMES, (3,)],
        add_ranks=lambda k: k.Add(),
        average_ranks=lambda k: k.Average(),
        maximum_ranks=lambda k: k.Maximum(),
        dot_ranks=lambda k: k.Dot(axes=(2, 1)),
    ),
    *entries(
        [SEQUENCE, (2, 4, 1)], multiply_broadcast=lambda k: k.Multiply(), subtract_broadcast=lambda k: k.Subtract()
    ),
    *entries([(2, 1, 3), (2, 4, 1)], add_broadcast=lambda k: k.Add()),
    *entries([SEQUENCE, (2, 3, 2)], dot_matrices=lambda k: k.Dot(axes=(2, 1)), dot_both=lambda k: k.Dot((2, 1), True)),
    *entries([IMAGE, (2, 6, 5, 2)], unknown=[SIDES, (None, None, 2)], concatenate_images=lambda k: k.Concatenate()),
]

WRAPPERS = [
    *entries(
        SEQUENCE,
        unknown=TIMES,
        distributed=lambda k: k.TimeDistributed(k.Dense(2, kernel_regularizer="l2", activity_regularizer="l2")),
        distributed_norm=lambda k: k.TimeDistributed(k.BatchNormalization()),
        distributed_model=lambda k: k.TimeDistributed(small_model(k)),
        model_sequence=masking_model,
    ),
    *entries(SEQUENCE, "draws", TIMES, distributed_dropout=lambda k: k.TimeDistributed(k.Dropout(0.5))),
    *entries(VIDEO, unknown=(None, 5, 4, 2), distributed_conv=lambda k: k.TimeDistributed(k.Conv2D(2, 2))),
    *entries(
        (2, 3, 4, 3),
        unknown=(None, 4, 3),
        distributed_lstm=lambda k: k.TimeDistributed(k.LSTM(2)),
        distributed_twice=lambda k: k.TimeDistributed(k.TimeDistributed(k.Dense(2))),
        distributed_both=lambda k: k.TimeDistributed(k.Bidirectional(k.GRU(2))),
        distributed_masking=lambda k: k.TimeDistributed(masking_model(k)),
    ),
    *entries((2, 3, 4, "int32"), distributed_embedding=lambda k: k.TimeDistributed(k.Embedding(5, 2, mask_zero=True))),
    *entries(
        SEQUENCE,
        "consumes",
        TIMES,
        bidirectional=lambda k: k.Bidirectional(k.LSTM(2)),
        bidirectional_sum=lambda k: k.Bidirectional(k.SimpleRNN(2, return_sequences=True), merge_mode="sum"),
        bidirectional_mul=lambda k: k.Bidirectional(k.SimpleRNN(2, return_sequences=True), merge_mode="mul"),
        bidirectional_ave=lambda k: k.Bidirectional(k.SimpleRNN(2, return_sequences=True), merge_mode="ave"),
        bidirectional_none=lambda k: k.Bidirectional(k.SimpleRNN(2, return_sequences=True), merge_mode=None),
        bidirectional_state=lambda k: k.Bidirectional(k.LSTM(2, **SUMMARY)),
    ),
    *entries(SEQUENCE, unknown=TIMES, bidirectional_stack=lambda k: k.Bidirectional(stack(k))),
    *entries(SEQUENCE, "consumes draws", bidirectional_dropout=lambda k: k.Bidirectional(k.GRU(2, dropout=0.5))),
    *entries(
        [SEQUENCE, (2, 2), (2, 2)],
        "consumes",
        bidirectional_initial_state=lambda k: k.Bidirectional(k.GRU(2, return_sequences=True)),
    ),
    *entries(SEQUENCE, "gpu", bidirectional_cudnn=lambda k: k.Bidirectional(k.CuDNNGRU(2, return_sequences=True))),
]

MODELS = [
    *entries(VECTOR, "draws", sequential=sequential),
    *entries([VECTOR, (2, 3)], model_of_two=model_of_two),
    *entries(SEQUENCE, nested_model=nested_model),
]

LEGACY = [
    *entries(
        VECTOR,
        highway=lambda k: k.Highway(activation="tanh"),
        highway_no_bias=lambda k: k.Highway(bias=False, W_regularizer="l2"),
        maxout=lambda k: k.MaxoutDense(3, nb_feature=2),
        maxout_no_bias=lambda k: k.MaxoutDense(3, bias=False, W_constraint="max_norm"),
        old_dense=lambda k: k.Dense(output_dim=3, init="uniform", W_regularizer="l2", bias=False),
    ),
    *entries(IMAGE, unknown=SIDES, old_conv=lambda k: k.Convolution2D(2, 3, 2, border_mode="same", subsample=(2, 2))),
    *entries(SEQUENCE, "consumes", TIMES, old_lstm=lambda k: k.LSTM(output_dim=3, inner_init="normal")),
    *entries((2, 5, 3), unknown=TIMES, old_pool=lambda k: k.MaxPooling1D(pool_length=3, stride=2)),
    *entries(SEQUENCE, unknown=TIMES, old_atrous=lambda k: k.AtrousConvolution1D(2, 2, atrous_rate=2)),
]

CATALOGUE = [*CORE, *ACTIVATIONS, *CONVOLUTIONS, *POOLINGS, *RECURRENT, *MERGES, *WRAPPERS, *MODELS, *LEGACY]
