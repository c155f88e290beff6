"""Activations that have weights or arguments, as layers."""

from collections.abc import Sequence
from typing import Any

from jkeras import activations
from jkeras.graph.layer import InputSpec, Layer
from jkeras.layers.arguments import ConstraintLike, InitializerLike, Real, RegularizerLike, keeps_arguments
from jkeras.typing import Shape
from jkeras.utils.generic_utils import to_list  # noqa: F401

__all__ = ["ELU", "InputSpec", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"]


class LeakyReLU(Layer):
    """x where x > 0, alpha * x elsewhere.

    Arguments:
        alpha: slope where x < 0.

    Input and output shape: any, the same.

    Reference:
        Maas et al., Rectifier Nonlinearities Improve Neural Network Acoustic Models,
        https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf

    Example:
        >>> import jax
        >>> LeakyReLU(0.5).apply({}, {}, jax.numpy.array([[-2.0, 2.0]]))[0].tolist()
        [[-1.0, 2.0]]
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, alpha: Real = 0.3, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return activations.relu(inputs, alpha=self.alpha), state


class PReLU(Layer):
    """x where x > 0, alpha * x elsewhere, alpha learned.

    Arguments:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the slopes.
        shared_axes: the axes (1 is the first after the batch) along which one slope serves all places, as [1, 2] for
            one slope per channel of images.

    Input and output shape: any, the same.

    Weights: alpha, the shape of one example, 1 on the shared axes.

    Raises:
        ValueError: if the size of an axis that is not shared is not known.

    Reference:
        He et al., Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification,
        https://arxiv.org/abs/1502.01852
    """

    supports_masking = True

    @keeps_arguments
    def __init__(
        self,
        alpha_initializer: InitializerLike = "zeros",
        alpha_regularizer: RegularizerLike = None,
        alpha_constraint: ConstraintLike = None,
        shared_axes: int | Sequence | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if shared_axes is not None:
            shared_axes = list(shared_axes) if isinstance(shared_axes, Sequence) else [shared_axes]
        self.shared_axes = shared_axes

    def declare(self, input_shape: Shape):
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            if axis == 0 or not -len(shape) < axis <= len(shape):
                raise ValueError(
                    f"Layer {self.name} (PReLU): shared_axes={self.shared_axes} must be axes of the input, counted "
                    f"from 1 (0 is the batch). Found shape: {tuple(input_shape)}."
                )
            shape[axis - 1] = 1
        if None in shape:
            raise ValueError(
                f"Layer {self.name} (PReLU): the size of each axis that is not in shared_axes={self.shared_axes} must "
                f"be known. Found shape: {tuple(input_shape)}."
            )
        return {"alpha": self.weight("alpha", tuple(shape))}, {}

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return activations.relu(inputs) - params["alpha"] * activations.relu(-inputs), state


class ELU(Layer):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Arguments:
        alpha: the negative of the limit for small x.

    Input and output shape: any, the same.

    Reference:
        Clevert et al., Fast and Accurate Deep Network Learning by Exponential Linear Units,
        https://arxiv.org/abs/1511.07289
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, alpha: Real = 1.0, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return activations.elu(inputs, self.alpha), state


class ThresholdedReLU(Layer):
    """x where x > theta, 0 elsewhere.

    Arguments:
        theta: the threshold.

    Input and output shape: any, the same.

    Reference:
        Konda et al., Zero-Bias Autoencoders and the Benefits of Co-Adapting Features, https://arxiv.org/abs/1402.3337
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, theta: Real = 1.0, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return inputs * (inputs > self.theta).astype(inputs.dtype), state


class Softmax(Layer):
    """exp(x) / sum(exp(x)) along `axis`.

    Arguments:
        axis: the axis that sums to one. As in Keras 2.2.4, of inputs with two axes it is always the last one.

    Input and output shape: any, the same.
    """

    supports_masking = True

    @keeps_arguments
    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        return activations.softmax(inputs, axis=self.axis), state


class ReLU(Layer):
    """max_value where x >= max_value, x where threshold < x < max_value, negative_slope * (x - threshold) elsewhere.

    Arguments:
        max_value: the largest output, None for no bound.
        negative_slope: slope below the threshold.
        threshold: below it the output is the sloped part.

    Input and output shape: any, the same.

    Raises:
        ValueError: if `max_value` or `negative_slope` is negative.
    """

    supports_masking = True

    @keeps_arguments
    def __init__(
        self, max_value: float | None = None, negative_slope: Real = 0.0, threshold: Real = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        for name, value in (("max_value", max_value), ("negative_slope", negative_slope)):
            if value is not None and value < 0.0:
                raise ValueError(f"{name} of ReLU layer cannot be negative value: {value}")
        self.max_value = None if max_value is None else float(max_value)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        outputs = activations.relu(
            inputs, alpha=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )
        return outputs, state
