"""The objective: losses, metrics, sample weights and masks of all outputs as one pure function.

Keras 2.2.4's arithmetic: a mask multiplies the scores and divides by its mean; weights multiply the scores and divide
by the share of weights that are not zero; then the mean over everything.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from jkeras import batch

__all__ = ["Objective", "Output", "weighted_mean"]


def weighted_mean(scores, weights=None, mask=None):
    """The mean of `scores` with the weights and the mask that Keras gives them.

    Arguments:
        scores: (batch, ...), or a scalar.
        weights: (batch,) or (batch, time), or None.
        mask: (batch, time), or None.
    """
    scores = jnp.asarray(scores)
    if mask is not None:
        mask = jnp.asarray(mask).astype(scores.dtype)
        scores = scores * mask / batch.mean(jnp.mean(mask))
    if weights is not None:
        weights = jnp.asarray(weights).astype(scores.dtype)
        scores = jnp.mean(scores, axis=tuple(range(weights.ndim, scores.ndim)))
        scores = scores * weights / batch.mean(jnp.mean((weights != 0).astype(scores.dtype)))
    return jnp.mean(scores)


@dataclasses.dataclass(frozen=True)
class Output:
    """What is asked of one output.

    Attributes:
        name: the output's name.
        loss: `loss(y_true, y_pred)` -> scores, or None for an output without one.
        loss_name: under which its loss is logged, or None.
        weight: what its loss is multiplied by in the total.
        metrics: (name in the logs, function, whether sample weights apply).
    """

    name: str
    loss: Callable | None
    loss_name: str | None = None
    weight: float = 1.0
    metrics: tuple = ()


class Objective:
    """The pure function of a model's outputs and targets that training minimises.

    Arguments:
        outputs: one `Output` for each output of the model.
    """

    def __init__(self, outputs):
        self.outputs = tuple(outputs)

    @property
    def names(self) -> list:
        """The names of what is logged beside 'loss', in order."""
        names = [output.loss_name for output in self.outputs if output.loss and output.loss_name]
        return names + [name for output in self.outputs if output.loss for name, _, _ in output.metrics]

    def __call__(self, predictions, masks, targets, weights):
        """The total loss of the outputs, and the logs.

        Arguments:
            predictions, masks: one per output (a mask may be None).
            targets, weights: one per output with a loss (weights may be None).
        """
        total = 0.0
        losses, metrics = {}, {}
        with_loss = [
            (output, prediction, mask)
            for output, prediction, mask in zip(self.outputs, predictions, masks, strict=True)
            if output.loss
        ]
        for (output, prediction, mask), target, weight in zip(with_loss, targets, weights, strict=True):
            loss = weighted_mean(output.loss(target, prediction), weight, mask)
            total = total + output.weight * loss
            if output.loss_name:
                losses[output.loss_name] = loss
            for name, function, weighted in output.metrics:
                metrics[name] = weighted_mean(function(target, prediction), weight if weighted else None, mask)
        return total, losses | metrics
