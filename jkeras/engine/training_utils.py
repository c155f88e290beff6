"""The helpers around data and losses that `Model` has in Keras, for code that calls them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.data import arrays
from jkeras.data.arrays import batch_slices as make_batches
from jkeras.data.arrays import check_loss_and_target_compatibility
from jkeras.lift import lifted
from jkeras.random import shuffled_batches
from jkeras.shell.training_utils import collect_metrics
from jkeras.train.objective import weighted_mean
from jkeras.typing import ArrayLike, Function, Shape

__all__ = [
    "batch_shuffle", "check_array_length_consistency", "check_loss_and_target_compatibility", "check_num_samples",
    "collect_metrics", "iter_sequence_infinite", "make_batches", "standardize_class_weights",
    "standardize_input_data", "standardize_sample_or_class_weights", "standardize_sample_weights",
    "standardize_single_array", "standardize_weights", "weighted_masked_objective",
]  # fmt: skip


def standardize_single_array(x: Any) -> Any:
    """`x`, (n,) as (n, 1); None stays None."""
    return x if x is None or len(x.shape) != 1 else x[:, None]


def standardize_input_data(
    data: Any,
    names: Sequence[str],
    shapes: Sequence[Shape | None] | None = None,
    check_batch_axis: bool = True,
    exception_prefix: str = "",
) -> list:
    """What users pass as data, as a list of arrays, one for each of `names`.

    Arguments:
        data: an array, a list of arrays, or a dict of them by name; None for none.
        names: what the model calls them.
        shapes: the expected shapes with their batch axis, None for any.
        check_batch_axis: whether the first axis is compared, too.
        exception_prefix: what the data are called in messages.

    Raises:
        ValueError: if a name is missing, or the number of arrays, a rank or a size does not agree.
    """
    if data is None:
        return [None] * len(names)
    shapes = [None] * len(names) if shapes is None else list(shapes)
    standard = arrays.standardize_inputs(data, names, shapes, label=exception_prefix)
    for name, array, shape in zip(names, standard, shapes, strict=True):
        if check_batch_axis and shape is not None and shape[0] not in (None, array.shape[0]):
            raise ValueError(
                f"Error when checking {exception_prefix}: expected {name} to have shape {tuple(shape)} but got array "
                f"with shape {tuple(array.shape)}"
            )
    return standard


def standardize_sample_or_class_weights(x_weight: Any, output_names: Sequence[str], weight_type: str) -> list:
    """`sample_weight` or `class_weight` as a list with one entry, maybe None, for each output.

    Arguments:
        x_weight: the weights of the only output; or a list, or a dict by name, of those of each output.
        output_names: the names of the outputs.
        weight_type: what the argument is called in messages.

    Raises:
        ValueError, TypeError: if it is no list or dict for several outputs, or not of as many.
    """
    return arrays.weights_by_output(x_weight, list(output_names), [True] * len(output_names), weight_type)


def standardize_class_weights(class_weight: Any, output_names: Sequence[str]) -> list:
    """`class_weight` output by output; see `standardize_sample_or_class_weights`."""
    return standardize_sample_or_class_weights(class_weight, output_names, "class_weight")


def standardize_sample_weights(sample_weight: Any, output_names: Sequence[str]) -> list:
    """`sample_weight` output by output; see `standardize_sample_or_class_weights`."""
    return standardize_sample_or_class_weights(sample_weight, output_names, "sample_weight")


def standardize_weights(
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping | None = None,
    sample_weight_mode: str | None = None,
) -> np.ndarray:
    """The weight of each example of the targets `y`, or of each of their time steps; ones where none are given.

    Arguments:
        y: (n, ...).
        sample_weight: (n,), or (n, t) in the mode 'temporal'.
        class_weight: class number -> weight; ignored beside `sample_weight`.
        sample_weight_mode: None or 'temporal'.

    Raises:
        ValueError: if the shapes do not agree, or a class has no weight.
    """
    y = np.asarray(y)
    (weights,) = arrays.standardize_weights(sample_weight, class_weight, ["output"], [sample_weight_mode], [y])
    return np.ones(y.shape[: 2 if sample_weight_mode else 1], config.floatx()) if weights is None else weights


def check_array_length_consistency(inputs: Any, targets: Any, weights: Any = None) -> None:
    """Check that there are as many inputs as targets and weights; None counts as no rows, `weights` that are not given
    too.

    Arguments:
        inputs, targets, weights: lists of arrays or Nones, or None.

    Raises:
        ValueError: if there are not.
    """
    lengths = {}
    for kind, given in (("input", inputs), ("target", targets), ("sample_weight", weights)):
        found = {0 if array is None else len(array) for array in ([None] if given is None else given)}
        if len(found) > 1:
            raise ValueError(f"All {kind} arrays should have the same number of samples. Found: {sorted(found)}")
        lengths[kind] = found.pop() if found else 0
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Input, target and weight arrays should have the same number of samples. Found: {lengths}")


def check_num_samples(
    ins: Sequence, batch_size: int | None = None, steps: int | None = None, steps_name: str = "steps"
) -> int | None:
    """The number of rows of the first array in `ins`; None where `steps` says how long to go on.

    Raises:
        ValueError: if both `steps` and `batch_size` are given, or there is neither an array nor `steps`.
    """
    if steps is not None and batch_size is not None:
        raise ValueError(f"If {steps_name} is set, the `batch_size` must be None.")
    if steps is None and not ins:
        raise ValueError(f"Without arrays to feed, the `{steps_name}` argument must say how many batches there are.")
    return int(ins[0].shape[0]) if steps is None and hasattr(ins[0], "shape") else None


def batch_shuffle(index_array: np.ndarray, batch_size: int) -> np.ndarray:
    """`index_array`, (n,), its whole batches in another order, by numpy's global generator; what is left stays last."""
    return shuffled_batches(np.random, index_array, batch_size)


def weighted_masked_objective(fn: Function | None) -> Callable | None:
    """A loss `fn(y_true, y_pred)` as a scalar function (y_true, y_pred, weights, mask=None) of arrays or symbols."""
    if fn is None:
        return None

    @lifted("weighted", "The mean of the loss under weights (batch,) or (batch, time) and a mask (batch, time).")
    def weighted(y_true, y_pred, weights, mask=None):
        return weighted_mean(fn(y_true, y_pred), weights, mask)

    return weighted


def iter_sequence_infinite(seq: Sequence) -> Iterator:
    """The batches of a `Sequence`, over and over."""
    while True:
        yield from (seq[place] for place in range(len(seq)))
