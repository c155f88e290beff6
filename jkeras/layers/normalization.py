"""Batch normalization."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jkeras import batch
from jkeras.graph.layer import InputSpec, Layer, call_with_training
from jkeras.layers.arguments import (
    Axis,
    ConstraintLike,
    Fraction,
    InitializerLike,
    NotNegative,
    RegularizerLike,
    keeps_arguments,
)
from jkeras.typing import Shape

__all__ = ["BatchNormalization", "InputSpec"]

# The fused operation, which Keras uses for images in channels_last, knows no smaller epsilon.
_FUSED_EPSILON = 1.001e-5


def _along(vector, rank: int, axis: int):
    """`vector`, (size of `axis`,), in a shape that broadcasts along all other axes."""
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])


def _reduce(values, axis: int):
    """The means over all axes but one."""
    return jnp.mean(values, axis=[i for i in range(values.ndim) if i != axis])


def _moments(inputs, origin, axis: int):
    """Mean and variance over the whole batch, of all devices together.

    One pass over the inputs and one exchange between devices. So that a mean much larger than the spread does not cost
    digits, squares are taken of the distance from the first example, and across devices of that from `origin`.
    """
    rank = inputs.ndim
    sizes = [size if i == axis else 1 for i, size in enumerate(inputs.shape)]
    first = lax.stop_gradient(lax.slice(inputs, [0] * rank, sizes))
    centered = inputs - first
    first = first.reshape(-1)
    mean, square = _reduce(centered, axis), _reduce(jnp.square(centered), axis)
    variance = jnp.maximum(square - jnp.square(mean), 0)
    if batch.shards() == 1:
        return mean + first, variance
    distance = mean + first - origin
    distance, square = batch.means((distance, variance + jnp.square(distance)))
    return distance + origin, jnp.maximum(square - jnp.square(distance), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def normalize(inputs: Any, gamma: Any, beta: Any, origin: Any, axis: int, epsilon: float):
    """Inputs normalized by the moments of the batch, scaled and shifted; and these moments.

        (inputs - mean) / sqrt(variance + epsilon) * gamma + beta

    Arguments:
        inputs: array; `axis` is the one that is not averaged over.
        gamma, beta: (size of `axis`,).
        origin: (size of `axis`,), anything near the mean, the same on all devices.

    Returns:
        outputs, mean, variance.
    """
    return _normalized(inputs, gamma, beta, origin, axis, epsilon)[:3]


def _normalized(inputs, gamma, beta, origin, axis, epsilon):
    """What `normalize` returns, and what it scales and shifts, which the derivative needs too: written once, it is
    computed and stored once."""
    along = functools.partial(_along, rank=inputs.ndim, axis=axis)
    mean, variance = _moments(inputs, origin, axis)
    normalized = (inputs - along(mean)) * along(lax.rsqrt(variance + epsilon))
    return normalized * along(gamma) + along(beta), mean, variance, normalized


@normalize.defjvp
def _normalize_jvp(axis, epsilon, primals, tangents):
    # Linear in the tangents by way of two vectors: transposed, this takes two sums and one pass over the inputs.
    inputs, gamma, beta, origin = primals
    inputs_dot, gamma_dot, beta_dot, _ = tangents
    outputs, mean, variance, normalized = _normalized(inputs, gamma, beta, origin, axis, epsilon)
    along = functools.partial(_along, rank=inputs.ndim, axis=axis)
    inverse = lax.rsqrt(variance + epsilon)
    mean_dot, slope = batch.means((_reduce(inputs_dot, axis), _reduce(normalized * inputs_dot, axis)))
    scale = gamma * inverse
    outputs_dot = (
        along(scale) * inputs_dot + along(beta_dot - scale * mean_dot) + normalized * along(gamma_dot - scale * slope)
    )
    return (outputs, mean, variance), (outputs_dot, mean_dot, 2 * slope / inverse)


class BatchNormalization(Layer):
    """Normalizes its inputs to mean 0 and variance 1 over the batch, then scales and shifts them.

        outputs = (inputs - mean) / sqrt(variance + epsilon) * gamma + beta

    While training, mean and variance are those of the batch (of all devices together), and the moving averages are
    updated; otherwise they are the moving averages. A layer with `trainable=False` normalizes in the same way, but
    keeps its moving averages.

    Moving averages are those of Keras 2.2.4 on TensorFlow, which are unbiased from the first step on:

        biased <- momentum * biased + (1 - momentum) * value,  moving = biased / (1 - momentum ** updates)

    So the first update replaces whatever the averages were initialized with or loaded from a file. The biased averages
    are state too, but not among the weights: averaging starts anew in a model that was read from a weight file, and
    goes on in one that was restored from a checkpoint. The variance that enters is that of the batch times
    N / (N - 1 - epsilon), where N is how many numbers it is taken of; for images in channels_last, where Keras uses a
    fused operation, once more times N / (N - 1), and there `epsilon` counts as at least 1.001e-5.

    Arguments:
        axis: the axis that is not averaged over, usually that of the features.
        momentum: of the moving averages.
        epsilon: added to the variance.
        center: whether there is a `beta`. scale: whether there is a `gamma`.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: how weights start.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: of the weights.

    Input and output shape: any with at least two axes, the same.

    Weights: gamma, beta; moving_mean, moving_variance (not trainable); each of the size of `axis`.

    Raises:
        ValueError: if the size of `axis` is not known.

    Reference:
        Ioffe and Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift,
        https://arxiv.org/abs/1502.03167

    Example:
        >>> layer = BatchNormalization()
        >>> params, state = layer.init(jax.random.key(0), (None, 3))
        >>> inputs = jnp.arange(12.0).reshape(4, 3)
        >>> outputs, state = layer.apply(params, state, inputs, training=True)
        >>> [round(float(mean), 3) for mean in state["moving_mean"]]
        [4.5, 5.5, 6.5]
    """

    supports_masking = True
    call = call_with_training
    unsaved_state = ("biased_mean", "biased_variance", "updates")

    @keeps_arguments
    def __init__(
        self, axis: Axis = -1, momentum: Fraction = 0.99, epsilon: NotNegative = 1e-3, center: bool = True,
        scale: bool = True, beta_initializer: InitializerLike = "zeros", gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros", moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None, gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None, gamma_constraint: ConstraintLike = None, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)

    def declare(self, input_shape: Shape):
        rank = len(input_shape)
        size = input_shape[self.axis] if -rank <= self.axis < rank else None
        if size is None:
            raise ValueError(
                f"Layer {self.name} (BatchNormalization): axis {self.axis} of its input should have a defined "
                f"dimension, but the layer received an input with shape {tuple(input_shape)}."
            )
        params = {}
        if self.scale:
            params["gamma"] = self.weight("gamma", (size,))
        if self.center:
            params["beta"] = self.weight("beta", (size,))
        state = {name: self.weight(name, (size,)) for name in ("moving_mean", "moving_variance")}
        wide = jnp.promote_types(state["moving_mean"].dtype, jnp.float32)  # small increments are lost in halves
        state |= {name: np.zeros((size,), wide) for name in ("biased_mean", "biased_variance")}
        return params, state | {"updates": np.zeros((), wide)}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        axis = self.axis % inputs.ndim
        fused = inputs.ndim == 4 and axis == 3
        epsilon = max(self.epsilon, _FUSED_EPSILON) if fused else self.epsilon
        wide = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))  # moments of halves need more digits
        gamma = params["gamma"].astype(wide.dtype) if self.scale else jnp.ones((inputs.shape[axis],), wide.dtype)
        beta = params["beta"].astype(wide.dtype) if self.center else jnp.zeros((inputs.shape[axis],), wide.dtype)
        if training:
            origin = lax.stop_gradient(state["moving_mean"].astype(wide.dtype))
            outputs, mean, variance = normalize(wide, gamma, beta, origin, axis, epsilon)
            state = self._updated(state, mean, variance * self._correction(inputs.shape, axis, fused))
        else:
            along = functools.partial(_along, rank=inputs.ndim, axis=axis)
            scale = gamma * lax.rsqrt(state["moving_variance"].astype(wide.dtype) + epsilon)
            outputs = wide * along(scale) + along(beta - state["moving_mean"] * scale)
        return outputs.astype(inputs.dtype), state

    def _correction(self, shape, axis: int, fused: bool):
        """By what the variance of the batch is multiplied before it enters the moving average."""
        examples = jnp.asarray(math.prod(size for i, size in enumerate(shape) if i != axis), jnp.float32)
        examples = examples * batch.shards()
        factor = examples / (examples - (1.0 + self.epsilon))
        return factor * examples / jnp.maximum(examples - 1, 1) if fused else factor

    def _updated(self, state, mean, variance):
        """`state` after one update of the moving averages."""
        updates = state["updates"] + 1
        # 1 - momentum ** updates, to the last digit also where that is small
        unbias = -jnp.expm1(updates * math.log(self.momentum)) if self.momentum > 0 else 1.0
        new = {"updates": updates}
        for name, value in (("mean", mean), ("variance", variance)):
            biased = state["biased_" + name]
            biased = biased - (biased - value.astype(biased.dtype)) * (1.0 - self.momentum)
            new["biased_" + name] = biased
            new["moving_" + name] = (biased / unbias).astype(state["moving_" + name].dtype)
        return state | new
