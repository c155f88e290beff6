"""The objective: losses, metrics, sample weights and masks of all outputs as one pure function.

Keras 2.2.4's arithmetic: a mask multiplies the scores and divides by its mean; weights multiply the scores and divide
by the share of weights that are not zero; then the mean over everything.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp

from jkeras import batch

__all__ = ["Metric", "Objective", "Output", "weighted_mean"]


def weighted_mean(scores: Any, weights: Any = None, mask: Any = None):
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
class Metric:
    """What is measured at one output.

    Attributes:
        name: its name in the logs.
        function: `function(y_true, y_pred)` -> scores.
        weighted: whether sample weights apply.
        per_example: whether it scores each example by itself; if not, it is always given the whole batch, however many
            devices that is split over.
        running: whether it keeps a running state itself, so that its values are not averaged over batches.
    """

    name: str
    function: Callable
    weighted: bool = False
    per_example: bool = False
    running: bool = False


@dataclasses.dataclass(frozen=True)
class Output:
    """What is asked of one output.

    Attributes:
        name: the output's name.
        loss: `loss(y_true, y_pred)` -> scores, or None for an output without one.
        loss_name: under which its loss is logged, or None.
        weight: what its loss is multiplied by in the total: a number, or something that has a `value` when it is asked
            for while a step is traced.
        metrics: see `Metric`.
        per_example: whether the loss scores each example by itself; if not, it is always given the whole batch.
        alike: whether targets must have the shape of the prediction.
    """

    name: str
    loss: Callable | None
    loss_name: str | None = None
    weight: Any = 1.0
    metrics: tuple = ()
    per_example: bool = False
    alike: bool = False


class Objective:
    """The pure function of a model's outputs and targets that training minimises.

    Arguments:
        outputs: one `Output` for each output of the model.
    """

    def __init__(self, outputs: Iterable[Output]):
        self.outputs = tuple(outputs)

    @property
    def names(self) -> list:
        """The names of what is logged beside 'loss', in order."""
        names = [output.loss_name for output in self.outputs if output.loss and output.loss_name]
        return names + [metric.name for output in self.outputs if output.loss for metric in output.metrics]

    @property
    def running(self) -> list:
        """The names of the metrics that keep a running state themselves."""
        return [metric.name for output in self.outputs if output.loss for metric in output.metrics if metric.running]

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
            target = _fitted(target, prediction, output)
            loss = _scored(output, output.loss, output.per_example, target, prediction, weight, mask)
            total = total + getattr(output.weight, "value", output.weight) * loss
            if output.loss_name:
                losses[output.loss_name] = loss
            for metric in output.metrics:
                used = weight if metric.weighted else None
                metrics[metric.name] = _scored(
                    output, metric.function, metric.per_example, target, prediction, used, mask
                )
        return total, losses | metrics


def _scored(output, function, per_example, *arguments):
    """The weighted mean of the scores that `function` gives; of the whole batch unless it is `per_example`."""
    arguments = arguments if per_example else batch.whole(arguments)
    target, prediction, weight, mask = arguments
    with contextlib.nullcontext() if per_example else batch.gathered():
        try:
            scores = function(target, prediction)
            if scores is None:
                raise TypeError("A loss or metric must return its scores, and returned None.")
        except Exception as error:
            name = getattr(function, "__name__", function)
            error.add_note(
                f"This was `{name}`, of the output {output.name!r}: targets {jnp.shape(target)}, outputs "
                f"{jnp.shape(prediction)}."
            )
            raise
        return weighted_mean(scores, weight, mask)


def _fitted(target, prediction, output):
    """`target` with a trailing axis where (n,) stands for (n, 1).

    Raises:
        ValueError: if the shapes must agree and do not.
    """
    given, expected = jnp.shape(target), jnp.shape(prediction)
    if len(given) == 1 and len(expected) > 1:
        target = jnp.reshape(target, (*given, 1))
        given = jnp.shape(target)
    if output.alike and given != expected:
        name = getattr(output.loss, "__name__", output.loss)
        raise ValueError(
            f"A target of shape {given} was given for the output {output.name!r} of shape {expected}. The loss "
            f"`{name}` compares them element by element: they must have the same shape."
        )
    return target
