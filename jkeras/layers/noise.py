"""Layers that add or multiply noise while training."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jkeras import random
from jkeras.graph.layer import Layer, call_with_training
from jkeras.layers.arguments import Fraction, NotNegative, Seed, keeps_arguments
from jkeras.layers.core import Dropout

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]


class GaussianNoise(Layer):
    """Adds normal noise while training.

        outputs = inputs + Normal(0, stddev)

    Arguments:
        stddev: the standard deviation of the noise.

    Input and output shape: any, the same.
    """

    supports_masking = True
    call = call_with_training

    @keeps_arguments
    def __init__(self, stddev: NotNegative, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if not training:
            return inputs, state
        noise = random.normal(self.draw_key(key), inputs.shape, 0.0, self.stddev)
        return inputs + noise.astype(inputs.dtype), state


class GaussianDropout(Layer):
    """Multiplies by normal noise while training.

        outputs = inputs * Normal(1, sqrt(rate / (1 - rate)))

    Arguments:
        rate: between 0 and 1; the noise has the variance of a `Dropout` of that rate.

    Input and output shape: any, the same.

    Reference:
        Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting,
        https://jmlr.org/papers/v15/srivastava14a.html
    """

    supports_masking = True
    call = call_with_training

    @keeps_arguments
    def __init__(self, rate: Fraction, **kwargs: Any):
        super().__init__(**kwargs)

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if not training or not 0 < self.rate < 1:
            return inputs, state
        stddev = (self.rate / (1.0 - self.rate)) ** 0.5
        noise = random.normal(self.draw_key(key), inputs.shape, 1.0, stddev)
        return inputs * noise.astype(inputs.dtype), state


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1 of inputs that come from `selu`.

        outputs = a * where(kept, inputs, alpha') + b,  P(kept) = 1 - rate,
        alpha' = -1.7580993..., a = ((1 - rate) (1 + rate alpha'^2))^(-1/2), b = -a alpha' rate

    Arguments:
        rate: the part of the inputs that is dropped, between 0 and 1.
        noise_shape, seed: as of `Dropout`. As in Keras 2.2.4 they are not part of the layer's config.

    Input and output shape: any, the same.

    Reference:
        Klambauer et al., Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515
    """

    def __init__(self, rate: Fraction, noise_shape: Sequence | None = None, seed: Seed = None, **kwargs: Any):
        super().__init__(rate, noise_shape, seed, **kwargs)
        self.rate = rate

    @classmethod
    def _config_names(cls):
        return ["rate"]

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if not training or not 0.0 < self.rate < 1.0:
            return inputs, state
        dropped = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946
        a = ((1.0 - self.rate) * (1.0 + self.rate * dropped**2)) ** -0.5
        b = -a * dropped * self.rate
        return a * jnp.where(self._kept(key, inputs.shape), inputs, dropped).astype(inputs.dtype) + b, state
