"""Embedding: integers to vectors."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jkeras import config
from jkeras.graph.layer import Layer
from jkeras.layers.arguments import ConstraintLike, Count, InitializerLike, RegularizerLike, keeps_arguments
from jkeras.layers.core import take_as
from jkeras.typing import Shape
from jkeras.utils.generic_utils import to_list  # noqa: F401

__all__ = ["Embedding"]


class Embedding(Layer):
    """A vector for each index.

        outputs[b, t] = embeddings[inputs[b, t]]

    An index below zero or not below `input_dim` gives a vector of NaN (Keras 2.2.4 raises on CPU, which compiled code
    cannot): the loss shows it at once, where a clipped index would train on.

    Arguments:
        input_dim: how many indices there are; with `mask_zero`, index 0 is one of them.
        output_dim: the length of the vectors.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table of vectors.
        activity_regularizer: penalty of the outputs.
        mask_zero: whether index 0 is padding, to be masked.
        input_length: the length of the sequences, where it is fixed; needed before `Flatten` and `Dense`.

    Input shape: (batch, time), or with further axes; integers, or floats that are cast to integers.
    Output shape: (batch, time, output_dim).

    Weights: embeddings (input_dim, output_dim).

    Raises:
        ValueError: if `input_dim` or `output_dim` is no positive integer, or the input's length is not `input_length`.

    Reference:
        Gal and Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks,
        https://arxiv.org/abs/1512.05287

    Example:
        >>> import jax
        >>> layer = Embedding(10, 4)
        >>> params, state = layer.init(jax.random.key(0), (None, 6))
        >>> layer.apply(params, state, jnp.array([[1, 2, 3]]))[0].shape
        (1, 3, 4)
    """

    @keeps_arguments
    def __init__(
        self, input_dim: Count, output_dim: Count, embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None, activity_regularizer: RegularizerLike = None,
        embeddings_constraint: ConstraintLike = None, mask_zero: bool = False,
        input_length: int | Sequence | None = None, **kwargs: Any,
    ):  # fmt: skip
        stated = kwargs.get("batch_input_shape")
        if stated and isinstance(stated[-1], (list, tuple)):  # as Keras writes it in configs
            kwargs["batch_input_shape"] = (stated[0], *stated[-1])
        if "input_shape" not in kwargs:
            several = isinstance(input_length, (list, tuple))
            kwargs["input_shape"] = tuple(input_length) if several else (input_length or None,)
        super().__init__(**kwargs)
        self.supports_masking = mask_zero

    def declare(self, input_shape: Shape):
        dtype = self.dtype if jnp.issubdtype(self.dtype, jnp.floating) else config.floatx()
        return {"embeddings": self.weight("embeddings", (self.input_dim, self.output_dim), dtype=dtype)}, {}

    def compute_mask(self, inputs: Any, mask: Any = None):
        return inputs != 0 if self.mask_zero else None

    def _at_length(self, inputs):
        """`inputs`, checked against `input_length`."""
        lengths = self.input_length if isinstance(self.input_length, (list, tuple)) else (self.input_length,)
        shape = inputs.shape
        fits = len(lengths) == len(shape) - 1
        for axis, length in enumerate(lengths, 1):
            fits = fits and (length is None or not isinstance(shape[axis], int) or length == shape[axis])
            if fits and length is not None:
                inputs = take_as(inputs, axis, length)
        if not fits:
            raise ValueError(
                f'Layer {self.name} (Embedding): "input_length" is {self.input_length}, but received input has shape '
                f"{shape}"
            )
        return inputs

    def apply(self, params: dict, state: dict, inputs: Any, *, key: Any = None, training=False, mask: Any = None):
        if self.input_length is not None:
            inputs = self._at_length(inputs)
        # Unsigned, so that indices below zero are out of range too instead of counting from the end.
        indices = inputs.astype(jnp.int32).astype(jnp.uint32)
        return jnp.take(params["embeddings"], indices, axis=0, mode="fill"), state
