"""Initializers: a shape to a numpy array of initial weights.

The numbers are drawn on the host (see `jkeras.random.host`): nothing is compiled, and one key gives the same numbers
everywhere.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jkeras import config, random
from jkeras.serialize.objects import (
    config_from_signature,
    deserialize_keras_object,
    get_instance,
    has_arg,
    named,
    serialize_keras_object,
)
from jkeras.typing import ArrayLike, CustomObjects, DType, Function, Seed

__all__ = [
    "Constant", "Identity", "Initializer", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal",
    "VarianceScaling", "Zeros", "constant", "deserialize", "draw", "get", "glorot_normal", "glorot_uniform",
    "he_normal", "he_uniform", "identity", "lecun_normal", "lecun_uniform", "normal", "one", "ones", "orthogonal",
    "random_normal", "random_uniform", "serialize", "truncated_normal", "uniform", "zero", "zeros",
]  # fmt: skip

_CHUNK = 1 << 16  # numbers drawn at a time: they stay in the cache until they are in the weight's own type


def _dtype(dtype) -> np.dtype:
    return jnp.dtype(config.floatx() if dtype is None else dtype)


class Initializer:
    """The base of all initializers: `initializer(shape, dtype=None, *, key=None)` is a numpy array.

    Those that draw have a `seed`: with it they give the same numbers at every call, whatever the key. Without a key and
    a seed the process's next key is taken.
    """

    seed: int | None = None

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not define `__call__(self, shape, dtype=None)`.")

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return config_from_signature(self)

    @classmethod
    def from_config(cls, config: dict) -> "Initializer":
        """The initializer that `get_config` described. A `dtype`, which tf.keras writes, is left out."""
        return cls(**{name: value for name, value in config.items() if name != "dtype"})

    def _generator(self, key) -> np.random.RandomState:
        if self.seed is not None:
            return random.host(random.as_key(self.seed))
        return random.host(random.next_key() if key is None else key)


def _fill(sample, shape, dtype) -> np.ndarray:
    """An array of what `sample(count)` draws."""
    flat = np.empty(int(np.prod(shape, dtype=np.int64)), _dtype(dtype))
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        part[:] = sample(part.size)
    return flat.reshape(shape)


def _uniform(generator, shape, dtype, low, high):
    return _fill(lambda count: generator.random_sample(count) * (high - low) + low, shape, dtype)


def _normal(generator, shape, dtype, mean, stddev):
    return _fill(lambda count: generator.standard_normal(count) * stddev + mean, shape, dtype)


def _truncated_normal(generator, shape, dtype, mean, stddev):
    def sample(count):
        values = generator.standard_normal(count)
        outside = np.flatnonzero(np.abs(values) > 2)
        while outside.size:
            values[outside] = generator.standard_normal(outside.size)
            outside = outside[np.abs(values[outside]) > 2]
        return values * stddev + mean

    return _fill(sample, shape, dtype)


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        return np.zeros(shape, _dtype(dtype))


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        return np.ones(shape, _dtype(dtype))


class Constant(Initializer):
    """All the same value, or the values of an array.

    Arguments:
        value: a number, or an array of as many numbers as the weight has.
    """

    def __init__(self, value: ArrayLike = 0):
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        value = np.asarray(self.value)
        if value.size == 1:
            return np.full(shape, value.item(), _dtype(dtype))
        if value.size != np.prod(shape, dtype=np.int64):
            raise ValueError(f"Constant: {value.size} values were given for a weight of shape {tuple(shape)}.")
        return value.reshape(shape).astype(_dtype(dtype))


class RandomNormal(Initializer):
    """Normal draws.

    Arguments:
        mean: their mean.
        stddev: their standard deviation.
        seed: an integer, to draw the same numbers at every call.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean = mean
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        return _normal(self._generator(key), shape, dtype, self.mean, self.stddev)


class RandomUniform(Initializer):
    """Uniform draws from [minval, maxval).

    Arguments:
        minval: the lower bound.
        maxval: the upper bound.
        seed: an integer, to draw the same numbers at every call.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval = minval
        self.maxval = maxval
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        return _uniform(self._generator(key), shape, dtype, self.minval, self.maxval)


class TruncatedNormal(RandomNormal):
    """Normal draws, drawn again until within two standard deviations of the mean.

    Arguments:
        mean: their mean.
        stddev: the standard deviation before truncation; after it, 0.87962566 times that.
        seed: an integer, to draw the same numbers at every call.
    """

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        return _truncated_normal(self._generator(key), shape, dtype, self.mean, self.stddev)


class VarianceScaling(Initializer):
    """Draws of variance scale / n, where n counts the inputs, the outputs, or the mean of both, of a unit.

    Arguments:
        scale: positive factor of the variance.
        mode: what n is: 'fan_in', 'fan_out' or 'fan_avg'.
        distribution: 'normal' (truncated at two standard deviations) or 'uniform', from [-limit, limit] with
            limit = sqrt(3 * scale / n).
        seed: an integer, to draw the same numbers at every call.

    Raises:
        ValueError: if `scale` is not positive, or `mode` or `distribution` is none of the above.
    """

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", seed: int | None = None):
        if scale <= 0.0:
            raise ValueError(f"VarianceScaling: `scale` must be positive. Got: {scale}")
        self.scale = scale
        self.mode = str(mode).lower()
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"VarianceScaling: `mode` must be 'fan_in', 'fan_out' or 'fan_avg'. Got: {mode!r}")
        self.distribution = str(distribution).lower()
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"VarianceScaling: `distribution` must be 'normal' or 'uniform'. Got: {distribution!r}")
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        fan_in, fan_out = _compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = np.sqrt(3.0 * variance)
            return _uniform(self._generator(key), shape, dtype, -limit, limit)
        # the standard deviation of a standard normal truncated at -2 and 2
        return _truncated_normal(self._generator(key), shape, dtype, 0.0, np.sqrt(variance) / 0.87962566103423978)


class Orthogonal(Initializer):
    """A random orthogonal matrix.

    Of the weight as a matrix (all axes but the last, last axis), the vectors of the shorter side are orthonormal.

    Arguments:
        gain: factor of the matrix.
        seed: an integer, to draw the same numbers at every call.

    Raises:
        ValueError: if the weight has fewer than two axes.

    Reference:
        Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear neural networks,
        https://arxiv.org/abs/1312.6120
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain = gain
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: a weight of at least two axes was expected. Got the shape {tuple(shape)}")
        rows, columns = int(np.prod(shape[:-1])), shape[-1]
        noise = self._generator(key).standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(noise)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without this the signs would not be uniform
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(_dtype(dtype))


class Identity(Initializer):
    """The identity matrix, repeated along the longer side where that is a multiple of the shorter.

    Arguments:
        gain: factor of the matrix.

    Raises:
        ValueError: if the weight is no matrix, or its longer side no multiple of the shorter.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: DType = None, *, key: Any = None) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity can only be used for 2D matrices. Got the shape {tuple(shape)}")
        size = min(shape)
        if max(shape) % size:
            raise ValueError(f"Identity: the long side should be a multiple of the short side. Got {tuple(shape)}")
        matrix = np.asarray(self.gain * np.identity(size), _dtype(dtype))
        return np.tile(matrix, (shape[0] // size, shape[1] // size))


def lecun_uniform(seed: Seed = None) -> VarianceScaling:
    """Uniform within sqrt(3 / fan_in).

    Reference:
        LeCun et al., Efficient BackProp, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf
    """
    return VarianceScaling(1.0, "fan_in", "uniform", seed)


def lecun_normal(seed: Seed = None) -> VarianceScaling:
    """Truncated normal of standard deviation sqrt(1 / fan_in); goes with `selu`.

    Reference:
        Klambauer et al., Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515
    """
    return VarianceScaling(1.0, "fan_in", "normal", seed)


def glorot_uniform(seed: Seed = None) -> VarianceScaling:
    """Uniform within sqrt(6 / (fan_in + fan_out)).

    Reference:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010
    """
    return VarianceScaling(1.0, "fan_avg", "uniform", seed)


def glorot_normal(seed: Seed = None) -> VarianceScaling:
    """Truncated normal of standard deviation sqrt(2 / (fan_in + fan_out)).

    Reference:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010
    """
    return VarianceScaling(1.0, "fan_avg", "normal", seed)


def he_uniform(seed: Seed = None) -> VarianceScaling:
    """Uniform within sqrt(6 / fan_in).

    Reference:
        He et al., Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """
    return VarianceScaling(2.0, "fan_in", "uniform", seed)


def he_normal(seed: Seed = None) -> VarianceScaling:
    """Truncated normal of standard deviation sqrt(2 / fan_in).

    Reference:
        He et al., Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """
    return VarianceScaling(2.0, "fan_in", "normal", seed)


zero = zeros = Zeros
one = ones = Ones
constant = Constant
uniform = random_uniform = RandomUniform
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
identity = Identity
orthogonal = Orthogonal


def _compute_fans(shape, data_format="channels_last"):
    """The numbers of inputs and of outputs that one unit of a weight of this shape has.

    Two axes are (inputs, outputs); three to five are a convolution kernel; of any other number nothing is known,
    and both are the square root of the size.

    Arguments:
        shape: of the weight.
        data_format: of a kernel: 'channels_last' (..., inputs, outputs) or 'channels_first' (outputs, inputs, ...).

    Raises:
        ValueError: if `data_format` is neither.
    """
    if len(shape) == 2:
        return shape[0], shape[1]
    if not 3 <= len(shape) <= 5:
        return (np.sqrt(np.prod(shape)),) * 2
    if data_format == "channels_last":
        *window, inputs, outputs = shape
    elif data_format == "channels_first":
        outputs, inputs, *window = shape
    else:
        raise ValueError(f"Invalid data_format: {data_format!r}; expected 'channels_last' or 'channels_first'.")
    return inputs * int(np.prod(window)), outputs * int(np.prod(window))


def draw(initializer: Function, key: Any, shape: Sequence[int], dtype: DType = None) -> np.ndarray:
    """The initial value that any initializer gives, also one the user wrote.

    Arguments:
        initializer: an `Initializer`; or a function `f(shape)`, which may also take `dtype` and `key` (it is given a
            plain JAX key); or a JAX one, `f(key, shape, dtype)`. It may return an array or a variable.
        key: a key (see `jkeras.random.as_key`), or None for the process's next one.
        shape: of the weight.
        dtype: of the weight, None for the default float type.

    Raises:
        ValueError: if what it returns has not the shape asked for.
    """
    shape, dtype = tuple(shape), _dtype(dtype)
    ours = isinstance(initializer, Initializer)
    options = {"dtype": dtype} if has_arg(initializer, "dtype", accept_all=True) else {}
    if not has_arg(initializer, "key"):
        value = initializer(shape, **options)
    elif ours:
        value = initializer(shape, key=key, **options)
    else:
        plain = random.host_key(random.next_key() if key is None else key)
        first = next(iter(inspect.signature(initializer).parameters))
        value = initializer(plain, shape, **options) if first == "key" else initializer(shape, key=plain, **options)
    value = np.asarray(getattr(value, "value", value))
    if value.shape != shape:
        name = getattr(initializer, "__name__", type(initializer).__name__)
        raise ValueError(
            f"The initializer {name} was asked for a weight of shape {shape} and returned one of shape {value.shape}."
        )
    return value.astype(dtype, copy=not ours)  # a user's array stays the user's: it may be changed later


_objects = named(globals())


def serialize(initializer: Function | None) -> str | dict | None:
    """The class name and config of an initializer (the name, of a function)."""
    return serialize_keras_object(initializer)


def deserialize(config: str | dict, custom_objects: CustomObjects = None) -> Any:
    """The initializer that `config`, a dict of class_name and config, describes."""
    return deserialize_keras_object(config, _objects, custom_objects, "initializer")


def get(identifier: str | dict | Function | None) -> Any:
    """The initializer that `identifier` means: a name, a config, a class, or the initializer itself.

    Raises:
        ValueError: if the name is unknown, or `identifier` is none of these.
    """
    return get_instance(identifier, _objects, "initializer")
