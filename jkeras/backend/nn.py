"""Neural network functions: activations, convolutions, pooling, normalization, cross entropies, loops, CTC."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jkeras import activations, config, losses
from jkeras.backend.random import random_binomial
from jkeras.backend.sizes import shape
from jkeras.graph.scope import Scope, current_scope
from jkeras.layers.kernels import conv, pool
from jkeras.layers.kernels import rnn as rnn_kernel
from jkeras.lift import lift, lifted
from jkeras.typing import Array, ArrayLike, DType, Function, Ints, Layout, Name, Seed, Tree

# ------------------------------------------------------------------------------------------------------- activations

elu = activations.elu
hard_sigmoid = activations.hard_sigmoid
relu = activations.relu
sigmoid = activations.sigmoid
softplus = activations.softplus
softsign = activations.softsign
tanh = activations.tanh


@lift
def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`."""
    return jax.nn.softmax(jnp.asarray(x), axis=axis)


def dropout(x: ArrayLike, level: float, noise_shape: Sequence[Any] | None = None, seed: Seed = None) -> Array:
    """x with the share `level` of its entries set to zero and the others scaled up so that the sum stays.

    Arguments:
        x: an array inside a layer's call, or a symbol.
        level: the share that is dropped, in [0, 1).
        noise_shape: the shape in which entries are dropped, which is broadcast to that of x.
        seed: keeps the draws of one call apart; the key decides all of them.

    Raises:
        ValueError: if `level` is outside of [0, 1).
    """
    if isinstance(level, (int, float)) and not 0 <= level < 1:
        raise ValueError(f"dropout: `level` must be in [0, 1); {level} was given.")
    kept = random_binomial(noise_shape or shape(x), 1.0 - level, seed=seed)
    return kept * x / (1.0 - level)


# ------------------------------------------------------------------------------------------------------ convolutions


def _tuple(value, count) -> tuple:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _padding(value, *allowed) -> str:
    """`value`, if it is the name of a way to pad.

    Raises:
        ValueError: if it is not.
    """
    if value not in ("same", "valid", *allowed):
        raise ValueError(f"Invalid padding: {value!r}; expected one of {('same', 'valid', *allowed)}.")
    return value


@lift
def bias_add(x: ArrayLike, bias: ArrayLike, data_format: Layout = None) -> Array:
    """x + bias, the bias one number per channel, or one per place and channel.

    As in Keras 2.2.4 the numbers of a bias (*space, channels) are for channels_first read as (channels, *space), in the
    order in which they stand.

    Raises:
        ValueError: if the bias has another number of axes.
    """
    x, bias = jnp.asarray(x), jnp.asarray(bias)
    if config.data_format(data_format) == "channels_first" and bias.ndim > 1 and bias.ndim == x.ndim - 1:
        return x + bias.reshape((bias.shape[-1], *bias.shape[:-1]))
    return conv.bias_add(x, bias, config.data_format(data_format))


def _convolution(name, text, one: Ints):
    """A convolution along as many axes as `one`, a stride of one along each, says."""
    axes = len(_tuple(one, 1))

    @lifted(name, text)
    def convolution(
        x: ArrayLike,
        kernel: ArrayLike,
        strides: Ints = one,
        padding: str = "valid",
        data_format: Layout = None,
        dilation_rate: Ints = one,
    ) -> Array:
        data_format = config.data_format(data_format)
        padding = _padding(padding, *(["causal"] if axes == 1 else []))
        return conv.convolve(x, kernel, _tuple(strides, axes), padding, data_format, _tuple(dilation_rate, axes))

    return convolution


conv1d = _convolution(
    "conv1d",
    "Convolution over time. x: (batch, time, in); kernel: (window, in, out); padding 'valid', 'same' or 'causal'.",
    1,
)
conv2d = _convolution(
    "conv2d", "Convolution of images. x: (batch, rows, columns, in); kernel: (rows, columns, in, out).", (1, 1)
)
conv3d = _convolution(
    "conv3d", "Convolution of volumes. x: (batch, *space, in); kernel: (*window, in, out).", (1, 1, 1)
)


def _transposed(x, kernel, output_shape, strides, padding, data_format, dilation_rate=None):
    data_format = config.data_format(data_format)
    size = tuple(output_shape)[1:-1] if data_format == "channels_last" else tuple(output_shape)[2:]
    return conv.convolve_transpose(x, kernel, size, tuple(strides), _padding(padding), data_format, dilation_rate)


@lift
def conv2d_transpose(
    x: ArrayLike, kernel: ArrayLike, output_shape: Sequence[int], strides: Ints = (1, 1), padding: str = "valid",
    data_format: Layout = None, dilation_rate: Ints = (1, 1),
) -> Array:  # fmt: skip
    """The transpose of a convolution of images, to the shape `output_shape`. kernel: (rows, columns, out, in)."""
    dilation_rate = _tuple(dilation_rate, 2)
    return _transposed(x, kernel, output_shape, _tuple(strides, 2), padding, data_format, dilation_rate)


@lift
def conv3d_transpose(
    x: ArrayLike,
    kernel: ArrayLike,
    output_shape: Sequence[int],
    strides: Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: Layout = None,
) -> Array:
    """The transpose of a convolution of volumes, to the shape `output_shape`. kernel: (*window, out, in)."""
    return _transposed(x, kernel, output_shape, _tuple(strides, 3), padding, data_format)


def _separable(name, text, one: Ints):
    """A separable convolution; `one` as in `_convolution`."""
    axes = len(_tuple(one, 1))

    @lifted(name, text)
    def separable(
        x: ArrayLike, depthwise_kernel: ArrayLike, pointwise_kernel: ArrayLike, strides: Ints = one,
        padding: str = "valid", data_format: Layout = None, dilation_rate: Ints = one,
    ) -> Array:  # fmt: skip
        options = (
            _tuple(strides, axes),
            _padding(padding, "causal"),
            config.data_format(data_format),
            _tuple(dilation_rate, axes),
        )
        return conv.separable(x, depthwise_kernel, jnp.asarray(pointwise_kernel), *options)

    return separable


separable_conv1d = _separable(
    "separable_conv1d",
    "Each channel convolved over time by itself, then mixed. Kernels: (window, in, multiplier), (1, in * m, out).",
    1,
)
separable_conv2d = _separable(
    "separable_conv2d",
    "Each channel convolved by itself, then mixed. Kernels: (rows, columns, in, multiplier), (1, 1, in * m, out).",
    (1, 1),
)


@lift
def depthwise_conv2d(
    x: ArrayLike,
    depthwise_kernel: ArrayLike,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: Layout = None,
    dilation_rate: Ints = (1, 1),
) -> Array:
    """Each channel convolved by itself. Kernel: (rows, columns, in, multiplier)."""
    data_format = config.data_format(data_format)
    return conv.depthwise(
        x, depthwise_kernel, _tuple(strides, 2), _padding(padding), data_format, _tuple(dilation_rate, 2)
    )


@lift
def local_conv1d(
    inputs: ArrayLike, kernel: ArrayLike, kernel_size: Ints, strides: Ints, data_format: Layout = None
) -> Array:
    """A convolution over time whose kernel differs from place to place.

    Arguments:
        inputs: (batch, time, in). kernel: (output time, window * in, out).
    """
    config.data_format(data_format)
    (window,), (stride,) = _tuple(kernel_size, 1), _tuple(strides, 1)
    x, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    places = jnp.stack([x[:, i * stride : i * stride + window] for i in range(kernel.shape[0])])
    places = places.reshape((*places.shape[:2], -1))  # (output time, batch, window * in)
    return jnp.einsum("tbi,tio->bto", places, kernel)


@lift
def local_conv2d(
    inputs: ArrayLike,
    kernel: ArrayLike,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    output_shape: Sequence[int],
    data_format: Layout = None,
) -> Array:
    """A convolution of images whose kernel differs from place to place.

    Arguments:
        inputs: (batch, rows, columns, in), or (batch, in, rows, columns) for channels_first.
        kernel: (output rows * output columns, what a window holds, out).
        output_shape: (output rows, output columns).
    """
    first = config.data_format(data_format) == "channels_first"
    x, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    (height, width), (down, right), (rows, columns) = kernel_size, strides, output_shape
    places = []
    for row in range(rows):
        for column in range(columns):
            window = (slice(row * down, row * down + height), slice(column * right, column * right + width))
            part = x[(slice(None), slice(None), *window) if first else (slice(None), *window)]
            places.append(part.reshape((part.shape[0], -1)))
    outputs = jnp.einsum("pbi,pio->bpo", jnp.stack(places), kernel)
    outputs = outputs.reshape((outputs.shape[0], rows, columns, outputs.shape[-1]))
    return jnp.moveaxis(outputs, -1, 1) if first else outputs


def _pooling(name, text, one):
    kinds = {"max": pool.max_pool, "avg": pool.average_pool}

    @lifted(name, f"The largest ('max') or mean ('avg') value in each window of {text}.")
    def pooling(
        x: ArrayLike,
        pool_size: Ints,
        strides: Ints = one,
        padding: str = "valid",
        data_format: Layout = None,
        pool_mode: str = "max",
    ) -> Array:
        if pool_mode not in kinds:
            raise ValueError(f"Invalid pooling mode: {pool_mode}; expected 'max' or 'avg'.")
        window, strides = _tuple(pool_size, len(one)), _tuple(strides, len(one))
        return kinds[pool_mode](x, window, strides, _padding(padding), config.data_format(data_format))

    return pooling


pool2d = _pooling("pool2d", "images", (1, 1))
pool3d = _pooling("pool3d", "volumes", (1, 1, 1))


# ----------------------------------------------------------------------------------------------------- normalization


@lift
def batch_normalization(
    x: ArrayLike, mean: ArrayLike, var: ArrayLike, beta: ArrayLike | None, gamma: ArrayLike | None, axis: int = -1,
    epsilon: float = 1e-3,
) -> Array:  # fmt: skip
    """gamma * (x - mean) / sqrt(var + epsilon) + beta.

    Arguments:
        mean, var, beta, gamma: vectors along `axis`, or of shapes that broadcast to that of x; beta, gamma may be None.
    """
    x = jnp.asarray(x)

    def placed(value):
        value = jnp.asarray(value)
        if value.ndim != 1 and value.size != x.shape[axis]:
            return value
        return value.reshape([-1 if place == axis % x.ndim else 1 for place in range(x.ndim)])

    scale = lax.rsqrt(placed(var) + epsilon)
    if gamma is not None:
        scale = scale * placed(gamma)
    outputs = (x - placed(mean)) * scale
    return outputs if beta is None else outputs + placed(beta)


@lift
def normalize_batch_in_training(
    x: ArrayLike, gamma: ArrayLike | None, beta: ArrayLike | None, reduction_axes: Sequence[int], epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """x normalized by its own mean and variance, then gamma * x + beta.

    Arguments:
        reduction_axes: the axes over which mean and variance are taken.

    Returns:
        normalized x, mean, variance. As in Keras 2.2.4 the variance of images over (0, 1, 2) is the unbiased one.
    """
    x = jnp.asarray(x)
    axes = tuple(reduction_axes)
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    kept = [1 if place in axes else size for place, size in enumerate(x.shape)]
    outputs = (x - mean) * lax.rsqrt(variance + epsilon)
    if gamma is not None:
        outputs = outputs * jnp.asarray(gamma).reshape(kept)
    if beta is not None:
        outputs = outputs + jnp.asarray(beta).reshape(kept)
    if x.ndim == 4 and axes == (0, 1, 2):
        count = x.size // x.shape[-1]
        variance = variance * (count / max(count - 1, 1))
    return outputs, jnp.squeeze(mean, axes), jnp.squeeze(variance, axes)


# ----------------------------------------------------------------------------------------------------- cross entropies


@lift
def categorical_crossentropy(target: ArrayLike, output: ArrayLike, from_logits: bool = False, axis: int = -1) -> Array:
    """-sum(target * log(output)) over `axis`, the outputs scaled to sum to one."""
    return losses.categorical_terms(target, output, from_logits, axis)


@lift
def sparse_categorical_crossentropy(
    target: ArrayLike, output: ArrayLike, from_logits: bool = False, axis: int = -1
) -> Array:
    """-log(output[target]) over `axis`, for integer targets."""
    return losses.sparse_categorical_terms(target, output, from_logits, axis)


@lift
def binary_crossentropy(target: ArrayLike, output: ArrayLike, from_logits: bool = False) -> Array:
    """-(target * log(output) + (1 - target) * log(1 - output)), elementwise."""
    return losses.binary_terms(target, output, from_logits)


# ------------------------------------------------------------------------------------------------- control, and loops


@lift
def _where(condition, then_expression, else_expression):
    condition = jnp.asarray(condition).astype(bool)
    then_expression, else_expression = jnp.asarray(then_expression), jnp.asarray(else_expression)
    if condition.ndim > then_expression.ndim:
        raise ValueError(
            "Rank of `condition` should be less than or equal to rank of `then_expression` and `else_expression`. "
            f"ndim(condition)={condition.ndim}, ndim(then_expression)={then_expression.ndim}"
        )
    extra = then_expression.ndim - condition.ndim
    return jnp.where(condition.reshape(condition.shape + (1,) * extra), then_expression, else_expression)


def switch(
    condition: ArrayLike,
    then_expression: ArrayLike | Callable[[], ArrayLike],
    else_expression: ArrayLike | Callable[[], ArrayLike],
) -> Array:
    """`then_expression` where `condition` holds, `else_expression` elsewhere; both are computed.

    Arguments:
        condition: a scalar, or an array whose axes are the first ones of the expressions.
        then_expression, else_expression: values, or functions without arguments that return them.

    Raises:
        ValueError: if `condition` has more axes than the expressions.
    """
    branches = [one() if callable(one) else one for one in (then_expression, else_expression)]
    return _where(condition, *branches)


def _inside(function):
    """`function` called as user code inside a layer's call: variables in it stand for their values."""
    scope = current_scope()
    training, key = (False, None) if scope is None else (scope.training, scope.key)

    def called(*arguments):
        with Scope(training=training, key=key):
            return function(*arguments)

    return called


@lift
def rnn(
    step_function: Function, inputs: ArrayLike, initial_states: Sequence[ArrayLike], go_backwards: bool = False,
    mask: ArrayLike | None = None, constants: Sequence[ArrayLike] | None = None, unroll: bool = False,
    input_length: int | None = None,
) -> tuple:  # fmt: skip
    """Run a step function over the time axis.

    Arguments:
        step_function: `step(x, states) -> output, new states`; states is a list: the states, then the
            constants.
        inputs: (batch, time, ...). initial_states: a list.
        go_backwards: from the last step to the first.
        mask: (batch, time); at masked steps states stay, and the output is the first state (unrolled: the last output).
        constants: a list of arrays that each step is handed.
        unroll: a Python loop instead of a compiled one.

    Returns:
        last output, outputs (batch, time, ...), list of last states.

    Raises:
        ValueError: if the inputs have fewer than three axes, or masks are used without states.
    """
    inputs = jnp.asarray(inputs)
    if inputs.ndim < 3:
        raise ValueError("Input should be at least 3D.")
    if mask is not None and jnp.ndim(mask) == 3:
        mask = jnp.asarray(mask)[..., 0]
    constants = [jnp.asarray(value) for value in constants or []]
    step = _inside(lambda x, states: step_function(x, [*states, *constants]))
    return rnn_kernel.loop(
        lambda x, states, time: step(x, states),
        inputs,
        list(initial_states),
        mask=mask,
        go_backwards=go_backwards,
        unroll=unroll,
    )


@lift
def map_fn(fn: Function, elems: Tree, name: Name = None, dtype: DType = None) -> Tree:
    """`fn` of each entry along the first axis (of arrays in a list: of the entries together)."""
    mapped = lax.map(_inside(fn), jax.tree.map(jnp.asarray, elems))
    return mapped if dtype is None else jax.tree.map(lambda part: part.astype(dtype), mapped)


def _fold(fn, elems, initializer, backwards):
    elems = jax.tree.map(jnp.asarray, elems)
    if backwards:
        elems = jax.tree.map(lambda part: jnp.flip(part, 0), elems)
    if initializer is None:
        initializer = jax.tree.map(lambda part: part[0], elems)
        elems = jax.tree.map(lambda part: part[1:], elems)
    fn = _inside(fn)
    folded, _ = lax.scan(lambda carry, x: (fn(carry, x), None), initializer, elems)
    return folded


@lift
def foldl(fn: Function, elems: Tree, initializer: Tree = None, name: Name = None) -> Tree:
    """fn(...fn(fn(initializer, elems[0]), elems[1])...); the first entry begins unless `initializer` is given."""
    return _fold(fn, elems, initializer, backwards=False)


@lift
def foldr(fn: Function, elems: Tree, initializer: Tree = None, name: Name = None) -> Tree:
    """`foldl` from the last entry to the first."""
    return _fold(fn, elems, initializer, backwards=True)
