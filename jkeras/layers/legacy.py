"""What Keras 2.2.4 keeps of Keras 1: old arguments of its layers, and the layers `Highway`, `MaxoutDense`, `Recurrent`.

Old arguments: `RULES` says for each class which names became which; `accept_old_calls` lets the classes take them.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jkeras import activations, config
from jkeras.graph.layer import InputSpec, Layer, config_value
from jkeras.layers.arguments import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    Layout,
    Padding,
    RegularizerLike,
    Window,
    keeps_arguments,
)
from jkeras.layers.cell import first, first_shape, join_inputs, part_of_batch, set_states, split_inputs, whole_batch
from jkeras.layers.kernels import rnn
from jkeras.typing import Shape

__all__ = [
    "RULES", "ConvRecurrent2D", "Highway", "MaxoutDense", "Recurrent", "Rule", "accept_old_calls", "accepting",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------ old arguments


@dataclasses.dataclass(frozen=True)
class Rule:
    """How calls of a class changed.

    Arguments:
        renamed: old name -> new name.
        prepare: `prepare(args, kwargs) -> args, changed` for what is not a new name: it changes `kwargs` in place.
        values: old name -> old value -> new value; None for what `dim_ordering` and `consume_less` were.
    """

    renamed: dict
    prepare: Callable = lambda args, kwargs: (args, False)
    values: dict | None = None


_VALUES = {
    "dim_ordering": {"tf": "channels_last", "th": "channels_first", "default": None},
    "consume_less": {"cpu": 0, "mem": 1, "gpu": 2},
}


def _window(*names):
    """A `prepare` that makes one `kernel_size` of a size per axis, given by position or by one of `names`."""

    def prepare(args, kwargs):
        sizes, rest = args[1:], names[len(args[1:]) :]
        integers = [isinstance(size, (int, np.integer)) for size in sizes]
        if all(integers) and len(sizes) <= len(names) and all(name in kwargs for name in rest):
            if len(sizes) == 2 and any(name in kwargs for name in ("padding", "strides", "data_format")):
                raise ValueError(
                    "It seems that you are using the Keras 2 and you are passing both `kernel_size` and `strides` as "
                    "integer positional arguments. For safety reasons, this is disallowed. Pass `strides` as a keyword "
                    "argument instead."
                )
            window = (*sizes, *(kwargs.pop(name) for name in rest))
            if args:
                return (args[0], window), True
            kwargs["kernel_size"] = window
            return args, True
        if len(sizes) >= 2 and all(integers[:2]):  # sizes of a window, or a size and a stride?
            raise TypeError(
                f"Layer can receive at most {len(names) + 1} positional arguments, `filters` and the {len(names)} "
                f"sizes of a window, when the second and third are integers. Received: {list(args)}. Pass a tuple as "
                "`kernel_size`, and what follows as keyword arguments."
            )
        return args, False

    return prepare


def _conv1d(args, kwargs):
    if "input_dim" not in kwargs:
        return args, False
    kwargs["input_shape"] = (kwargs.pop("input_length", None), kwargs.pop("input_dim"))
    return args, True


def _separable(args, kwargs):
    old = "init" in kwargs
    if old:
        kwargs["depthwise_initializer"] = kwargs["pointwise_initializer"] = kwargs.pop("init")
    args, changed = _window("nb_row", "nb_col")(args, kwargs)
    return args, changed or old


def _deconvolution(args, kwargs):
    old = "output_shape" in kwargs
    kwargs.pop("output_shape", None)
    if len(args) == 4 and isinstance(args[3], tuple):
        args, old = args[:3], True
    args, changed = _window("nb_row", "nb_col")(args, kwargs)
    return args, changed or old


def _forget_bias(kwargs) -> bool:
    if "forget_bias_init" not in kwargs:
        return False
    if kwargs.pop("forget_bias_init") == "one":
        kwargs["unit_forget_bias"] = True
        return True
    warnings.warn(
        "The `forget_bias_init` argument has been ignored. Use `unit_forget_bias=True` instead to initialize with "
        "ones.",
        stacklevel=4,
    )
    return False


def _recurrent(args, kwargs):
    return args, _forget_bias(kwargs)


def _conv_lstm(args, kwargs):
    old = _forget_bias(kwargs)
    args, changed = _window("nb_row", "nb_col")(args, kwargs)
    return args, changed or old


def _embedding(args, kwargs):
    if "dropout" in kwargs:
        kwargs.pop("dropout")
        warnings.warn(
            "The `dropout` argument is no longer support in `Embedding`. You can apply a `keras.layers."
            "SpatialDropout1D` layer right after the `Embedding` layer to get the same behavior.",
            stacklevel=3,
        )
    return args, False


def _batch_normalization(args, kwargs):
    if args and isinstance(args[0], float):  # the first argument was `epsilon`, and is `axis`
        raise TypeError(
            "The `BatchNormalization` layer does not accept positional arguments. Use keyword arguments instead. "
            f"Received: {list(args)}"
        )
    if "mode" not in kwargs:
        return args, False
    if kwargs.pop("mode") != 0:
        raise TypeError(
            "The `mode` argument of `BatchNormalization` no longer exists. `mode=1` and `mode=2` are no longer "
            "supported."
        )
    return args, True


def _zero_padding(args, kwargs):
    padding = args[0] if args else kwargs.get("padding")
    sides = ("top_pad", "bottom_pad", "left_pad", "right_pad")
    if not isinstance(padding, dict) or not set(padding) <= set(sides):
        return args, False
    warnings.warn(
        "The `padding` argument in the Keras 2 API no longer accepts dict types. You can now input argument as: "
        "`padding=((top_pad, bottom_pad), (left_pad, right_pad))`.",
        stacklevel=3,
    )
    top, bottom, left, right = (padding.get(side, 0) for side in sides)
    kwargs["padding"] = ((top, bottom), (left, right))
    return (), False


_FORMAT = {"dim_ordering": "data_format"}
_SIMPLE_BIAS = {"b_regularizer": "bias_regularizer", "bias": "use_bias"}
_BIAS = {**_SIMPLE_BIAS, "b_constraint": "bias_constraint"}
_KERNEL = {"init": "kernel_initializer", "W_regularizer": "kernel_regularizer", "W_constraint": "kernel_constraint"}
_FILTERS = {"nb_filter": "filters", "subsample": "strides", "border_mode": "padding"}
_CONV1D = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample_length": "strides",
    "border_mode": "padding",
}
_STATE = {
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_POOL1D = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
_POOL = {"border_mode": "padding", **_FORMAT}
_WINDOW2D, _WINDOW3D = _window("nb_row", "nb_col"), _window("kernel_dim1", "kernel_dim2", "kernel_dim3")

_CONV1D_RULE = Rule(_CONV1D | _KERNEL | _BIAS, _conv1d)
_CONV2D_RULE = Rule(_FILTERS | _FORMAT | _KERNEL | _BIAS, _WINDOW2D)
_RECURRENT_RULE = Rule({"output_dim": "units", **_STATE, "consume_less": "implementation"}, _recurrent)

#: What changed since Keras 1, by class name.
RULES = {
    "Dense": Rule({"output_dim": "units", **_KERNEL, **_BIAS}),
    "Dropout": Rule({"p": "rate"}),
    "SpatialDropout1D": Rule({"p": "rate"}),
    **dict.fromkeys(("SpatialDropout2D", "SpatialDropout3D"), Rule({"p": "rate", **_FORMAT})),
    "GaussianDropout": Rule({"p": "rate"}),
    "GaussianNoise": Rule({"sigma": "stddev"}),
    "PReLU": Rule({"init": "alpha_initializer"}),
    "Embedding": Rule(
        {old: new.replace("kernel", "embeddings") for old, new in _KERNEL.items()},
        _embedding,
    ),
    "BatchNormalization": Rule(
        {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"}, _batch_normalization
    ),
    **dict.fromkeys(("Conv1D", "LocallyConnected1D"), _CONV1D_RULE),
    **dict.fromkeys(("Conv2D", "LocallyConnected2D"), _CONV2D_RULE),
    "Conv3D": dataclasses.replace(_CONV2D_RULE, prepare=_WINDOW3D),
    "Conv2DTranspose": dataclasses.replace(_CONV2D_RULE, prepare=_deconvolution),
    "SeparableConv2D": Rule(_FILTERS | _FORMAT | _BIAS, _separable),
    "ConvLSTM2D": Rule(_FILTERS | _FORMAT | _STATE | {"bias": "use_bias"}, _conv_lstm),
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM"), _RECURRENT_RULE),
    **dict.fromkeys(("MaxPooling1D", "AveragePooling1D"), Rule(_POOL1D)),
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D", "MaxPooling3D", "AveragePooling3D"), Rule(_POOL)),
    **dict.fromkeys(("GlobalMaxPooling2D", "GlobalAveragePooling2D"), Rule(_FORMAT)),
    **dict.fromkeys(("GlobalMaxPooling3D", "GlobalAveragePooling3D"), Rule(_FORMAT)),
    "UpSampling1D": Rule({"length": "size"}),
    **dict.fromkeys(("UpSampling2D", "UpSampling3D"), Rule(_FORMAT)),
    "ZeroPadding2D": Rule(_FORMAT, _zero_padding),
    "ZeroPadding3D": Rule(_FORMAT),
    **dict.fromkeys(("Cropping2D", "Cropping3D"), Rule(_FORMAT)),
    "InputLayer": Rule({"input_dtype": "dtype"}),
}  # fmt: skip


def accept_old_calls(classes: dict, rules: dict = RULES) -> None:
    """Let the constructors of `classes`, by name, take the old arguments of `rules`, with a warning that says how to
    write the call now."""
    for name, rule in rules.items():
        classes[name].__init__ = accepting(classes[name].__init__, rule)


def accepting(function: Callable, rule: Rule, name: str | None = None) -> Callable:
    """A constructor or method that takes the old arguments of `rule`, too; its signature stays.

    Arguments:
        name: what warnings call it; the name of the class unless given.
    """
    shown, values = name, _VALUES if rule.values is None else rule.values

    @functools.wraps(function)
    def with_old_arguments(self, *args, **kwargs):
        name = shown or type(self).__name__
        args, changed = rule.prepare(args, kwargs)
        for old in [old for old in rule.renamed if old in kwargs]:
            new, value = rule.renamed[old], kwargs.pop(old)
            if new in kwargs:
                raise TypeError(
                    f"For the `{new}` argument, the layer received both the legacy keyword argument `{old}` and the "
                    f"Keras 2 keyword argument `{new}`. Stick to the latter! (Layer class: {name})"
                )
            if old in values:
                value = values[old].get(value, value)
            kwargs[new] = value
            changed = True
        if changed:
            warnings.warn(f"Update your `{name}` call to the Keras 2 API: `{_call(name, args, kwargs)}`", stacklevel=2)
        return function(self, *args, **kwargs)

    return with_old_arguments


def _call(name, args, kwargs) -> str:
    """The call as one would write it, long values cut short."""
    return f"{name}({', '.join([*map(_text, args), *(f'{key}={_text(value)}' for key, value in kwargs.items())])})"


def _text(value) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    text = "array" if isinstance(value, np.ndarray) else str(value)
    return text if len(text) <= 10 else text[:10] + "..."


# --------------------------------------------------------------------------------------------------------- old layers


class _OldLayer(Layer):
    """What `Highway` and `MaxoutDense` share: the arguments of Keras 1, under their old names in the config."""

    input_spec = InputSpec(ndim=2)

    def __init__(self, init: InitializerLike, **kwargs: Any):
        warnings.warn(
            f"The `{type(self).__name__}` layer is deprecated and will be removed after 06/2017.", stacklevel=4
        )
        if self.input_dim:
            kwargs["input_shape"] = (self.input_dim,)
        super().__init__(**kwargs)
        self.initializer = init  # `init` is what the layer does with a key

    @classmethod
    def _config_names(cls):
        return [name for name in super()._config_names() if name not in ("init", "weights")]

    def get_config(self):
        return super().get_config() | {"init": config_value(self.initializer)}


class MaxoutDense(_OldLayer):
    """The largest of several dense layers: outputs[n, o] = max over k of (inputs W[k] + b[k])[n, o]. Deprecated.

    Arguments:
        output_dim: the size of the output.
        nb_feature: how many dense layers there are.
        init: the initializer of W. weights: initial weights, as of `get_weights`.
        W_regularizer, b_regularizer, activity_regularizer: penalties, added to the loss.
        W_constraint, b_constraint: what the weights are brought back to after each update.
        bias: whether there is a bias.
        input_dim: the size of the input, for the first layer of a `Sequential`.

    Weights: W (nb_feature, size, output_dim), b (nb_feature, output_dim).
    Input shape: (batch, size). Output shape: (batch, output_dim).

    Reference:
        Goodfellow et al., Maxout Networks, https://arxiv.org/abs/1302.4389

    Example:
        >>> layer = MaxoutDense(3)
        >>> params, state = layer.init(jax.random.key(0), (None, 4))
        >>> layer.apply(params, state, jnp.ones((2, 4)))[0].shape
        (2, 3)
    """

    @keeps_arguments
    def __init__(
        self, output_dim: int, nb_feature: int = 4, init: InitializerLike = "glorot_uniform",
        weights: Sequence | None = None, W_regularizer: RegularizerLike = None, b_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, W_constraint: ConstraintLike = None,
        b_constraint: ConstraintLike = None, bias: bool = True, input_dim: int | None = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(init, weights=weights, **kwargs)

    def declare(self, input_shape: Shape):
        params = {"W": self.weight("W", (self.nb_feature, input_shape[1], self.output_dim), self.initializer)}
        if self.bias:
            params["b"] = self.weight("b", (self.nb_feature, self.output_dim), "zeros")
        return params, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        outputs = jnp.einsum("ni,kio->nko", inputs, params["W"])  # (batch, nb_feature, output_dim)
        if self.bias:
            outputs = outputs + params["b"]
        return jnp.max(outputs, axis=1), state


class Highway(_OldLayer):
    """A dense layer with a way around it: t activation(inputs W + b) + (1 - t) inputs, t = sigmoid(inputs W' + b').

    Deprecated.

    Arguments:
        init: the initializer of W and of W' (`W_carry`). b' (`b_carry`) starts at one.
        activation: name or function.
        The others are those of `MaxoutDense`; regularizers and constraints are for W and b only.

    Weights: W and W_carry (size, size), b and b_carry (size,), in the order W, W_carry, b, b_carry.
    Input and output shape: (batch, size).

    Reference:
        Srivastava et al., Highway Networks, https://arxiv.org/abs/1505.00387

    Example:
        >>> layer = Highway(activation="relu")
        >>> params, state = layer.init(jax.random.key(0), (None, 4))
        >>> layer.apply(params, state, jnp.ones((2, 4)))[0].shape
        (2, 4)
    """

    @keeps_arguments
    def __init__(
        self, init: InitializerLike = "glorot_uniform", activation: ActivationLike = None,
        weights: Sequence | None = None, W_regularizer: RegularizerLike = None, b_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, W_constraint: ConstraintLike = None,
        b_constraint: ConstraintLike = None, bias: bool = True, input_dim: int | None = None, **kwargs: Any,
    ):  # fmt: skip
        if "transform_bias" in kwargs:
            kwargs.pop("transform_bias")
            warnings.warn("`transform_bias` argument is deprecated and has been removed.", stacklevel=3)
        super().__init__(init, weights=weights, **kwargs)

    def declare(self, input_shape: Shape):
        size = input_shape[1]
        params = {name: self.weight(name, (size, size), self.initializer) for name in ("W", "W_carry")}
        if self.bias:
            params["b"] = self.weight("b", (size,), "zeros")
            params["b_carry"] = self.weight("b_carry", (size,), "ones")
        return params, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        outputs, gate = inputs @ params["W"], inputs @ params["W_carry"]
        if self.bias:
            outputs, gate = outputs + params["b"], gate + params["b_carry"]
        gate = activations.sigmoid(gate)
        return gate * self.activation(outputs) + (1 - gate) * inputs, state


class Recurrent(Layer):
    """The base of recurrent layers as Keras 1 and 2.0 had them, for layers of the user; new ones are cells of an `RNN`.

    A subclass has `units` and `states`, a list with as many Nones as it has states; it makes its weights in `build`,
    where it also calls `self.reset_states()` if it is `stateful`; and it computes in

        step(inputs, states) -> output, list of next states

    with inputs (batch, ...) and states followed by the arrays of `get_constants(inputs, training)`. It may also define
    `preprocess_input(inputs, training)`, for all steps at once, and `get_initial_state(inputs)`.

    Arguments: as of `RNN`. `implementation` is kept for the subclass.

    Input shape: (batch, time, size). As a list: [inputs, *initial states].

    Output shape: (batch, units), or with `return_sequences` (batch, time, units); with `return_state` a list of it and
    of the states.
    """

    supports_masking = True

    @keeps_arguments
    def __init__(
        self, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, unroll: bool = False, implementation: int = 0, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.input_spec = [InputSpec(ndim=3)]
        self.state_spec = None
        self.dropout = 0
        self.recurrent_dropout = 0

    @property
    def unsaved_state(self):
        return tuple(f"state_{place}" for place in range(len(getattr(self, "states", ()))))

    def step(self, inputs: Any, states: Sequence) -> tuple:
        """output, list of next states after `inputs` (batch, ...) and `states`, followed by the constants."""
        raise NotImplementedError(f"{type(self).__name__} is a Recurrent layer and defines no `step(inputs, states)`.")

    def get_constants(self, inputs: Any, training: Any = None) -> list:
        """Arrays that each step finds behind the states."""
        return []

    def preprocess_input(self, inputs: Any, training: Any = None) -> Any:
        """What the steps are given in place of `inputs` (batch, time, size)."""
        return inputs

    def get_initial_state(self, inputs: Any) -> list:
        """Zeros, (batch, units) for each state."""
        return [jnp.zeros((inputs.shape[0], self.units), inputs.dtype) for _ in self.states]

    def __call__(self, inputs: Any, initial_state: Any = None, **arguments: Any):
        """Call the layer on a symbol, or on [inputs, *initial states], which may also be given by name."""
        inputs, initial_state, _ = split_inputs(inputs, initial_state, None, None)
        inputs, given = join_inputs(self, inputs, initial_state, None)
        return super().__call__(inputs, **given, **arguments)

    def assert_input_compatibility(self, shapes: Sequence):
        super().assert_input_compatibility(shapes[:1])

    def build(self, input_shape: Any):
        """Called by `build` of a subclass that has no weights to make: a stateful layer gets its states."""
        if self.stateful:
            self.input_spec = [InputSpec(shape=tuple(first_shape(input_shape)))]
            self.reset_states()
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None):
        inputs, initial_state, _ = split_inputs(inputs, initial_state, None, None)
        inputs = jnp.asarray(inputs)
        if initial_state is None and self.stateful:
            initial_state = [part_of_batch(variable.value, inputs.shape[0]) for variable in self.states]
        elif initial_state is None:
            initial_state = self.get_initial_state(inputs)
        if len(initial_state) != len(self.states):
            raise ValueError(
                f"Layer {self.name} has {len(self.states)} states but was passed {len(initial_state)} initial states."
            )
        constants = list(self.get_constants(inputs, training=None))

        def step(x, states, time):
            output, states = self.step(x, [*states, *constants])
            return output, list(states)

        last, outputs, states = rnn.loop(
            step, self.preprocess_input(inputs, training=None), initial_state, mask=first(mask),
            go_backwards=self.go_backwards, unroll=self.unroll, sequences=self.return_sequences,
        )  # fmt: skip
        if self.stateful:
            after = (whole_batch(state) for state in states)
            self.add_update(list(zip(self.states, after, strict=True)))
        output = outputs if self.return_sequences else last
        return [output, *states] if self.return_state else output

    def compute_mask(self, inputs: Any, mask: Any = None):
        output = first(mask) if self.return_sequences else None
        return [output] + [None] * len(self.states) if self.return_state else output

    def reset_states(self, states: Any = None):
        """Set the states of a stateful layer to zeros, or to `states`, a list of arrays (batch, units).

        Raises:
            AttributeError: if it is not stateful.
            ValueError: if the batch size is not known, or the number of states or a shape is wrong.
        """
        if not self.stateful:
            raise AttributeError(f"Layer must be stateful. Layer {self.name} is not.")
        shape = getattr(first(self.input_spec), "shape", None)
        if not shape or not shape[0]:
            raise ValueError(
                f"Layer {self.name}: If a RNN is stateful, it needs to know its batch size: `batch_input_shape=(...)` "
                "of the first layer of a Sequential model, or `batch_shape=(...)` of Input."
            )
        if not self._unsaved_state:
            for name in self.unsaved_state:
                self.adopt_weight((name,), np.zeros((shape[0], self.units), config.floatx()), trainable=False)
            self.states = list(self._unsaved_state)
        set_states(self, self.states, states)


class ConvRecurrent2D(Recurrent):
    """`Recurrent` with the arguments of a convolution: the base of convolutional recurrent layers of the user.

    Arguments: `filters`, `kernel_size`, `strides`, `padding`, `data_format` and `dilation_rate` as of `Conv2D`, the
    others as of `Recurrent`. A subclass says in `get_initial_state` what shape its states have.

    Input shape: (batch, time, rows, columns, channels), or (batch, time, channels, rows, columns) for channels_first.
    """

    rank = 2

    @keeps_arguments
    def __init__(
        self, filters: int, kernel_size: Window, strides: Window = (1, 1), padding: Padding = "valid",
        data_format: Layout = None, dilation_rate: Window = (1, 1), return_sequences: bool = False,
        go_backwards: bool = False, stateful: bool = False, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(return_sequences, go_backwards=go_backwards, stateful=stateful, **kwargs)
        self.input_spec = [InputSpec(ndim=5)]

    def get_config(self):
        inherited = ("return_state", "unroll", "implementation")
        return super().get_config() | {name: getattr(self, name) for name in inherited}
