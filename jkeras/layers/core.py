"""Layers that stand between others: densely connected units, dropout, shapes, masks, and any function as a layer."""

import contextvars
import copy
import math
import types
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax.numpy as jnp
import numpy as np

from jkeras import batch, config, random, regularizers
from jkeras.graph.layer import InputSpec, Layer, call_with_training
from jkeras.graph.scope import as_of_now
from jkeras.graph.tensor import symbols_in
from jkeras.graph.value import as_arrays, tried
from jkeras.layers.arguments import (
    ActivationLike,
    ConstraintLike,
    Count,
    Fraction,
    InitializerLike,
    Layout,
    RegularizerLike,
    Seed,
    keeps_arguments,
)
from jkeras.serialize.code import Written, known_function
from jkeras.serialize.objects import deserialize_keras_object, has_arg
from jkeras.serialize.published import parts_of
from jkeras.serialize.trust import shown
from jkeras.typing import CustomObjects, Shape
from jkeras.utils.generic_utils import func_dump, func_load

__all__ = [
    "Activation", "ActivityRegularization", "Dense", "Dropout", "Flatten", "Lambda", "Masking", "Permute",
    "RepeatVector", "Reshape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "allow_code", "func_dump",
    "func_load", "take_as",
]  # fmt: skip


def take_as(inputs: Any, axis: int, size: int):
    """`inputs`, its `axis` taken to have `size`: changes nothing but an abstract run in which that size is unknown."""
    if isinstance(inputs.shape[axis], int):
        return inputs
    return jnp.take(inputs, np.arange(size), axis=axis, mode="clip")


class Dense(Layer):
    """Densely connected units.

        outputs = activation(inputs . kernel + bias)

    Arguments:
        units: the number of outputs.
        activation: a name or function; None passes the sum on as it is.
        use_bias: whether `bias` is added.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties of the weights.
        activity_regularizer: penalty of the outputs.
        kernel_constraint, bias_constraint: applied to the weights after each update.

    Input shape: (batch, ..., inputs); of an input with more than two axes the last one is connected.
    Output shape: (batch, ..., units).

    Weights: kernel (inputs, units), bias (units,).

    Raises:
        ValueError: if `units` is no positive integer, or the size of the last axis is not known.

    Example:
        >>> import jax
        >>> layer = Dense(3, activation="relu")
        >>> params, state = layer.init(jax.random.key(0), (None, 4))
        >>> outputs, state = layer.apply(params, state, jax.numpy.ones((2, 4)))
        >>> outputs.shape
        (2, 3)
    """

    supports_masking = True
    input_spec = InputSpec(min_ndim=2)

    @keeps_arguments
    def __init__(
        self, units: Count, activation: ActivationLike = None, use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform", bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None, bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None, kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)

    def declare(self, input_shape: Shape):
        if input_shape[-1] is None:
            raise ValueError(
                f"Layer {self.name} (Dense): the size of the last axis of its input must be known. "
                f"Found shape: {tuple(input_shape)}. Give the model's input a shape without None, or pool."
            )
        params = {"kernel": self.weight("kernel", (input_shape[-1], self.units))}
        if self.use_bias:
            params["bias"] = self.weight("bias", (self.units,))
        return params, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        problem = InputSpec(axes={-1: params["kernel"].shape[0]}).mismatch(inputs.shape)
        if problem:
            raise ValueError(f"Input 0 is incompatible with layer {self.name}: {problem}.")
        outputs = jnp.dot(inputs, params["kernel"])  # (batch, ..., units)
        if self.use_bias:
            outputs = outputs + params["bias"]
        return self.activation(outputs), state


class Activation(Layer):
    """An activation function as a layer.

    Arguments:
        activation: a name or function.

    Input and output shape: any, the same.

    Example:
        >>> layer = Activation("relu")
        >>> layer.apply({}, {}, jnp.array([[-1.0, 2.0]]))[0].tolist()
        [[0.0, 2.0]]
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, activation: ActivationLike, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return self.activation(inputs), state


class ActivityRegularization(Layer):
    """The inputs, unchanged; l1 * sum(abs(inputs)) + l2 * sum(inputs ** 2) is added to the loss.

    Arguments:
        l1, l2: factors of the two penalties.

    Input and output shape: any, the same.
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.activity_regularizer = regularizers.L1L2(l1=l1, l2=l2)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return inputs, state


class Masking(Layer):
    """Masks the time steps all of whose features equal `mask_value`, and sets them to zero.

    Layers after this one that know masks skip these steps; one that does not support masks raises.

    Arguments:
        mask_value: the value that marks a step to skip.

    Input and output shape: (batch, time, ..., features), the same.
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, mask_value: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None):
        return jnp.any(inputs != self.mask_value, axis=-1)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return inputs * self.compute_mask(inputs)[..., None].astype(inputs.dtype), state


# ---------------------------------------------------------------------------------------------------------- dropout


class Dropout(Layer):
    """Sets a random part of the inputs to zero while training, and scales up the rest so that the sum stays.

        outputs = where(kept, inputs / (1 - rate), 0),  P(kept) = 1 - rate

    Arguments:
        rate: the part that is dropped, between 0 and 1. At 0 and, as in Keras 2.2.4, at 1 nothing is dropped.
        noise_shape: the shape of `kept`, which is broadcast to the inputs' shape: None where an axis has the inputs'
            size, 1 where its entries are kept or dropped together.
        seed: an integer: layers with different seeds draw differently from the same key.

    Input and output shape: any, the same.

    Raises:
        ValueError: if `rate` is not between 0 and 1 (where Keras 2.2.4 silently drops nothing), `noise_shape` does not
            fit the inputs, or while training without a key.

    Reference:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting,
        https://jmlr.org/papers/v15/srivastava14a.html

    Example:
        >>> import jax
        >>> outputs, _ = Dropout(0.5).apply({}, {}, jnp.ones((2, 3)), key=jax.random.key(0), training=True)
        >>> sorted({float(value) for value in outputs.ravel()})
        [0.0, 2.0]
    """

    supports_masking = True
    call = call_with_training

    @keeps_arguments
    def __init__(self, rate: Fraction, noise_shape: Sequence | None = None, seed: Seed = None, **kwargs: Any):
        super().__init__(**kwargs)
        if noise_shape is not None and not isinstance(noise_shape, (list, tuple)):
            raise TypeError(f"`noise_shape` must be a tuple. Received: {noise_shape!r}")
        self.rate = float(rate)

    def _noise_shape(self, shape) -> tuple:
        """The shape of `kept` for inputs of `shape`, None where it has their size."""
        return (None,) * len(shape) if self.noise_shape is None else tuple(self.noise_shape)

    def declare(self, input_shape: Shape):
        noise_shape = self._noise_shape(input_shape)
        # From the last axis back, without the batch, whose size is not known yet.
        pairs = zip(noise_shape[::-1], input_shape[:0:-1], strict=False)
        if len(noise_shape) > len(input_shape) or any(noise not in (None, 1, size) and size for noise, size in pairs):
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}): noise_shape={noise_shape} does not broadcast to the input "
                f"shape {tuple(input_shape)}: each entry must be None, 1 or the size of that axis."
            )
        return {}, {}

    def _kept(self, key, shape):
        """Which of the inputs are kept: an array of bool that broadcasts to `shape`."""
        key = self.draw_key(key)
        if self.seed is not None:
            key = key.fold("seed", self.seed)
        noise_shape = self._noise_shape(shape)
        if len(noise_shape) > len(shape):
            raise ValueError(
                f"Layer {self.name}: noise_shape={noise_shape} has more axes than the input of shape {tuple(shape)}."
            )
        sizes = [size if noise is None else noise for noise, size in zip(noise_shape, shape, strict=False)]
        sizes = [1] * (len(shape) - len(sizes)) + sizes
        if sizes[0] != 1 and sizes[0] == shape[0] * batch.shards():
            sizes[0] = shape[0]  # it states the size of the whole batch, of which this is one part
        for size, whole in zip(sizes, shape, strict=True):
            if size is not whole and size not in (1, whole):
                raise ValueError(
                    f"Layer {self.name}: noise_shape={noise_shape} does not broadcast to the shape {tuple(shape)} of "
                    "the input: each entry must be None, 1 or the size of that axis."
                )
        per_example = noise_shape[0] != 1 and len(noise_shape) == len(shape)
        return random.bernoulli(key, 1.0 - self.rate, tuple(sizes), per_example=per_example)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if not training or not 0.0 < self.rate < 1.0:
            return inputs, state
        kept = self._kept(key, inputs.shape)
        return jnp.where(kept, inputs / (1.0 - self.rate), 0).astype(inputs.dtype), state


class _SpatialDropout(Dropout):
    """Dropout of whole feature maps: all places of a channel together."""

    data_format = "channels_last"

    @classmethod
    def _config_names(cls):
        # Keras 2.2.4 leaves out data_format here, so a layer read from its config has the default one.
        return ["rate", "noise_shape", "seed"]

    def _noise_shape(self, shape):
        places = (1,) * (len(shape) - 2)
        return (None, None, *places) if self.data_format == "channels_first" else (None, *places, None)


class SpatialDropout1D(_SpatialDropout):
    """`Dropout` of whole channels of sequences: all time steps of one together.

    Arguments:
        rate: the part of the channels that is dropped.

    Input and output shape: (batch, time, channels), the same.

    Reference:
        Tompson et al., Efficient Object Localization Using Convolutional Networks, https://arxiv.org/abs/1411.4280
    """

    input_spec = InputSpec(ndim=3)

    def __init__(self, rate: Fraction, **kwargs: Any):
        super().__init__(rate, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """`Dropout` of whole channels of images.

    Arguments:
        rate: the part of the channels that is dropped.
        data_format: 'channels_last' or 'channels_first'. As in Keras 2.2.4 it is not part of the layer's config.

    Input and output shape: (batch, rows, columns, channels) or (batch, channels, rows, columns), the same.

    Reference:
        Tompson et al., Efficient Object Localization Using Convolutional Networks, https://arxiv.org/abs/1411.4280
    """

    input_spec = InputSpec(ndim=4)

    @keeps_arguments
    def __init__(self, rate: Fraction, data_format: Layout = None, **kwargs: Any):
        super().__init__(rate, **kwargs)


class SpatialDropout3D(_SpatialDropout):
    """`Dropout` of whole channels of volumes.

    Arguments:
        rate: the part of the channels that is dropped.
        data_format: 'channels_last' or 'channels_first'. As in Keras 2.2.4 it is not part of the layer's config.

    Input and output shape: (batch, x, y, z, channels) or (batch, channels, x, y, z), the same.

    Reference:
        Tompson et al., Efficient Object Localization Using Convolutional Networks, https://arxiv.org/abs/1411.4280
    """

    input_spec = InputSpec(ndim=5)

    @keeps_arguments
    def __init__(self, rate: Fraction, data_format: Layout = None, **kwargs: Any):
        super().__init__(rate, **kwargs)


# ----------------------------------------------------------------------------------------------------------- shapes


class Reshape(Layer):
    """The inputs of each example in another shape.

    Arguments:
        target_shape: the shape of one example; one of its sizes may be -1: what remains.

    Input shape: (batch, ...). Output shape: (batch, *target_shape).

    Raises:
        ValueError: if two sizes are -1, or the sizes do not multiply to those of the input.

    Example:
        >>> Reshape((-1, 2)).apply({}, {}, jnp.zeros((5, 6)))[0].shape
        (5, 3, 2)
    """

    @keeps_arguments
    def __init__(self, target_shape: Sequence, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(target_shape, (list, tuple, np.ndarray)):
            raise TypeError(f"`target_shape` must be a tuple of integers. Received: {target_shape!r}")
        self.target_shape = tuple(target_shape)
        if not all(isinstance(size, (int, np.integer)) and size >= -1 for size in self.target_shape):
            raise ValueError(f"`target_shape` must hold sizes, or -1 once. Received: {self.target_shape}")
        if sum(size < 0 for size in self.target_shape) > 1:
            raise ValueError(f"can only specify one unknown dimension. Received: {self.target_shape}")

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        shape, target = inputs.shape[1:], self.target_shape
        known = math.prod(size for size in target if size >= 0)
        if all(isinstance(size, int) for size in shape):
            size = math.prod(shape)
            if (size % known if known else 1) if -1 in target else size != known:
                raise ValueError(
                    f"Layer {self.name} (Reshape): total size of new array must be unchanged: an input of shape "
                    f"{shape} has {size} numbers for each example, the target shape is {target}."
                )
        elif -1 not in target:
            inputs = take_as(inputs.reshape((inputs.shape[0], -1)), 1, known)
        return inputs.reshape((inputs.shape[0], *target)), state


class Permute(Layer):
    """The axes of each example in another order.

    Arguments:
        dims: the axes of the input in the order of the output's, counted from 1 (the batch axis stays): (2, 1) swaps
            two.

    Input shape: (batch, ...). Output shape: (batch, ...), the sizes in the new order.

    Raises:
        ValueError: if `dims` is not a permutation of 1, 2, ...

    Example:
        >>> Permute((2, 1)).apply({}, {}, jnp.zeros((5, 10, 64)))[0].shape
        (5, 64, 10)
    """

    @keeps_arguments
    def __init__(self, dims: Sequence, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(dims, (list, tuple)):
            raise TypeError(f"`dims` must be a tuple of integers. Received: {dims!r}")
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"`dims` must be a permutation of 1 to {len(self.dims)}. Received: {self.dims}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return jnp.transpose(inputs, (0, *self.dims)), state


class Flatten(Layer):
    """The inputs of each example in one row.

    Arguments:
        data_format: of inputs in 'channels_first' the channels become the fastest axis, so that what follows sees the
            same order in either layout.

    Input shape: (batch, ...), three axes or more. Output shape: (batch, product of the sizes).

    Example:
        >>> Flatten().apply({}, {}, jnp.zeros((5, 4, 3)))[0].shape
        (5, 12)
    """

    input_spec = InputSpec(min_ndim=3)

    @keeps_arguments
    def __init__(self, data_format: Layout = None, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if self.data_format == "channels_first":
            inputs = jnp.moveaxis(inputs, 1, -1)
        return inputs.reshape((inputs.shape[0], math.prod(inputs.shape[1:]))), state


class RepeatVector(Layer):
    """The inputs of each example `n` times, as a sequence.

    Arguments:
        n: how many times.

    Input shape: (batch, features). Output shape: (batch, n, features).
    """

    input_spec = InputSpec(ndim=2)

    @keeps_arguments
    def __init__(self, n: Count, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return jnp.repeat(inputs[:, None, :], self.n, axis=1), state


# ------------------------------------------------------------------------------------------- any function as a layer

_code_allowed: contextvars.ContextVar[bool] = contextvars.ContextVar("code_allowed", default=False)


def allow_code(allowed: bool = True) -> AbstractContextManager:
    """Inside, `Lambda` layers may be made from code that a config holds. Only for files from whom you trust."""
    return config.holding(_code_allowed, allowed)


def _dump(function):
    """(what a config holds of `function`, how it holds it): Python functions as code, other callables by name."""
    if isinstance(function, types.FunctionType):
        return Written(parts_of(function) or func_dump(function), function), "lambda"
    if callable(function):
        return getattr(function, "__name__", type(function).__name__), "function"
    return function, "raw"


def _numbers(value) -> np.ndarray:
    """The array that a config holds as nested lists. Of texts, numpy would make each as long as the longest."""
    parts = [value]
    while parts:
        part = parts.pop()
        if isinstance(part, (list, tuple)):
            parts += part
        elif isinstance(part, str):
            raise ValueError(f"an array of numbers was expected; it has {shown(part)}.")
    return np.array(value)


class Lambda(Layer):
    """A function of arrays as a layer.

    Arguments:
        function: called with the input (of several inputs, a list); if it has an argument `mask` or `training` it is
            handed those too. Backend functions inside of it see the layer's training flag and key. The names around it
            have the values of when the layer was first called on symbols.
        output_shape: the shape of one example of the output, or a function of the input shape; as shapes are inferred
            it is only what `compute_output_shape` answers.
        mask: the output's mask, or a function of (inputs, mask) that returns it.
        arguments: dict of further keyword arguments of `function`.

    Configs hold `function` as Keras's do: a Python function as code. Where a config or file is read by the process that
    wrote it, that very function is taken again; code from elsewhere is not run, unless it is allowed (see
    `from_config`).

    Input shape: any. Output shape: what `function` returns.

    Example:
        >>> Lambda(lambda x, power: x**power, arguments={"power": 2}).apply({}, {}, jnp.array([3.0]))[0].tolist()
        [9.0]
    """

    calls_user_code = takes_values = True
    _built_with: tuple = (None, None)  # the function, and that of it which is called

    def __init__(
        self, function: Callable, output_shape: Any = None, mask: Any = None, arguments: dict | None = None,
        **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"In Lambda, `function` must be callable. Received: {function!r}")
        if output_shape is not None and not isinstance(output_shape, (list, tuple)) and not callable(output_shape):
            raise TypeError(
                f"In Lambda, `output_shape` must be a list, a tuple, or a function. Received: {output_shape!r}"
            )
        self.function = function
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        self.mask = mask
        self._output_shape = tuple(output_shape) if isinstance(output_shape, list) else output_shape

    def build(self, input_shape: Any) -> None:
        self._built_with = self.function, as_of_now(self.function)
        super().build(input_shape)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        arguments = dict(self.arguments)
        for name, value in (("mask", mask), ("training", training)):
            if name not in arguments and has_arg(self.function, name):
                arguments[name] = value
        stated, then = self._built_with
        function = then if stated is self.function else self.function
        return tried(lambda form: as_arrays(function(form(inputs), **form(arguments)))), state

    def compute_mask(self, inputs: Any, mask: Any = None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if not callable(self._output_shape):
            first = input_shape[0] if isinstance(input_shape, list) else input_shape
            return (first[0] if first else None, *self._output_shape)
        shape = self._output_shape(input_shape)
        if not isinstance(shape, (list, tuple)):
            raise ValueError(
                f"Layer {self.name} (Lambda): the `output_shape` function must return a tuple or a list of tuples. "
                f"It returned: {shape!r}"
            )
        return tuple(shape) if not isinstance(shape[0], (list, tuple)) else shape

    def get_config(self):
        function, function_type = _dump(self.function)
        output_shape, output_shape_type = _dump(self._output_shape)
        return super().get_config() | {
            "function": function,
            "function_type": function_type,
            "output_shape": output_shape,
            "output_shape_type": output_shape_type,
            "arguments": self.arguments,
        }

    def __deepcopy__(self, memo):
        # The variables that the function is handed are not its own: the copy reads the same.
        memo |= {id(symbol): symbol for symbol in symbols_in(self.arguments)}
        memo[id(self)] = twin = copy.copy(self)
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return twin

    @classmethod
    def _config_names(cls):
        return []

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        """A new layer from a config as `get_config` gives.

        Arguments:
            custom_objects: dict name -> function. A function that the config holds by its name is looked up here; in
                place of code that the config holds, the function under the layer's name is taken.

        Raises:
            ValueError: if the config holds code from elsewhere, no function stands for it and running code was not
                allowed.
        """
        config = dict(config)
        named = config.get("function") if config.get("function_type") == "function" else None
        for part in ("function", "output_shape"):
            kind = config.pop(part + "_type", "raw")
            stands_for = config.get("name") if part == "function" else f"{config.get('name')}_output_shape"
            if kind == "function":
                config[part] = deserialize_keras_object(
                    config[part], custom_objects=custom_objects, printable_module_name=f"{part} in Lambda layer"
                )
            elif kind == "lambda" and callable(given := (custom_objects or {}).get(str(stands_for))):
                config[part], named = given, stands_for if part == "function" else named
            elif kind == "lambda" and (own := known_function(config[part], custom_objects)):
                config[part] = own
            elif kind == "lambda":
                if not _code_allowed.get():
                    raise ValueError(
                        f"Layer {config.get('name')} (Lambda): its {part} is Python code in the file, and reading a "
                        "file does not run code from it. If you trust its source, allow that by load_model(..., "
                        f"allow_code=True); or pass the function itself: custom_objects={{{stands_for!r}: function}}."
                    )
                config[part] = func_load(config[part], globs={**globals(), **(custom_objects or {})})
            elif kind != "raw":
                raise TypeError(f"Layer {config.get('name')} (Lambda): unknown {part} type: {kind!r}")
        config["arguments"] = {
            name: _numbers(value["value"]) if isinstance(value, dict) and value.get("type") == "ndarray" else value
            for name, value in (config.get("arguments") or {}).items()
        }
        surplus = [name for name in config["arguments"] if named and not has_arg(config["function"], name)]
        if surplus:
            raise ValueError(
                f"Layer {config.get('name')} (Lambda): the function {named} has no arguments {shown(surplus)}."
            )
        return cls(**config)
