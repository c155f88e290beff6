"""What users pass to `fit`, `evaluate` and `predict`, checked and brought into lists of arrays.

Everything here is a pure function of the data and of what the model expects (names, shapes, dtypes, losses); no model
object is seen. Five kinds of array come out, each as it came in wherever that is possible:

* numpy arrays, cast on the host to the wanted dtype;
* jax arrays, which stay on their device (a wanted dtype other than theirs is a cast on that device);
* lazy arrays (HDF5 datasets, memory maps: what has `shape`, `dtype` and rows; sparse matrices, whose rows come out
  dense), read, and cast, as rows are asked for;
* `Computed`, for data that a symbol gives, which somebody computes anew for each batch;
* None, for an output without a loss.
"""

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config, traits
from jkeras.data.checks import check_open, unmasked, whole_number, wrong_labels
from jkeras.typing import DType, Function, Shape

__all__ = [
    "Computed", "batch_slices", "check_lengths", "check_loss_and_target_compatibility", "is_lazy", "slice_rows",
    "split_validation", "standardize_inputs", "standardize_targets", "standardize_weights", "weights_by_output",
    "with_ones",
]  # fmt: skip

_ONE_HOT_HINT = (
    "`categorical_crossentropy` expects targets to be binary matrices (1s and 0s) of shape (samples, classes). For "
    "integer classes, either convert them with `to_categorical` from `jkeras.utils`, or use the loss "
    "`sparse_categorical_crossentropy`."
)


# ------------------------------------------------------------------------------------------------- one array


class Computed:
    """Stands for a batch that a symbol gives: any rows of it are itself, until somebody computes it.

    Arguments:
        symbol: has `shape` and `dtype`.
    """

    def __init__(self, symbol: Any):
        self.symbol, self.shape, self.dtype = symbol, tuple(symbol.shape), jnp.dtype(symbol.dtype)

    def __getitem__(self, rows):
        return self


class _SparseRows:
    """A sparse matrix of scipy's kind as a lazy array, whose rows come out dense."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.dtype = matrix.tocsr(), tuple(matrix.shape), np.dtype(matrix.dtype)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        return self.matrix[rows].toarray()


def is_lazy(array: Any) -> bool:
    """Whether rows of `array` are read from a file when asked for: an HDF5 dataset, an `HDF5Matrix`, a memory map."""
    if isinstance(array, np.memmap):
        return True
    if isinstance(array, (np.ndarray, np.generic, jax.Array)):
        return False
    return isinstance(getattr(array, "dtype", None), np.dtype) and all(
        hasattr(array, name) for name in ("shape", "__getitem__", "__len__")
    )


def _is_number(value) -> bool:
    return isinstance(value, (numbers.Number, np.bool_))


def _read(array) -> np.ndarray:
    """All rows of any array as a numpy array on the host."""
    return np.asarray(array[0 : array.shape[0]] if is_lazy(array) else array)


def _as_array(value, name, label):
    """`value` as a numpy, jax or lazy array; None stays None."""
    where = f"Error when checking {label} {name}"
    check_open(value, where)
    if isinstance(value, np.ma.MaskedArray):
        value = unmasked(value, where)
    if value is None or isinstance(value, (np.ndarray, jax.Array)):
        array = value
    elif isinstance(value, Computed):
        return value
    elif hasattr(value, "__lift__"):
        raise ValueError(f"{where}: a symbol ({value!r}) has no rows to feed; pass arrays.")
    elif hasattr(value, "tocsr"):
        array = _SparseRows(value)
    elif hasattr(value, "values") and not callable(value.values):  # a pandas DataFrame or Series
        array = np.asarray(value.values)
    elif is_lazy(value):
        array = value
    elif isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{where}: the nested list makes no array, its rows differ in length (or lie more than 64 deep)."
            ) from error
    else:
        raise TypeError(
            f"Error when checking model {label}: data should be a Numpy array, or list/dict of Numpy arrays. "
            f"Found for {name}: {type(value).__name__}."
        )
    if array is not None and len(array.shape) == 0:
        raise ValueError(
            f"{where}: a scalar ({array}) was given; expected an array whose first axis counts the samples."
        )
    return array


def _plain(array, where):
    """An object array of numbers as an array of numbers (mixed pandas columns come so)."""
    if array.dtype == object and all(_is_number(value) for value in array.flat):
        return np.array(array.tolist())
    if array.dtype.kind in "OSUVMm" and not jnp.issubdtype(array.dtype, np.number):
        raise ValueError(f"{where} holds values of dtype {array.dtype}; expected numbers.")
    return array


def _cast(array, dtype, where):
    """`array` in `dtype`, exact where that is a whole-number type. A lazy array is cast as its rows are read."""
    if array is None or isinstance(array, Computed):
        return array
    if is_lazy(array):
        same = dtype is None or array.dtype == jnp.dtype(dtype)
        return array if same else _CheckedRows(array, dtype, lambda rows: _cast(rows, dtype, where))
    if isinstance(array, np.ndarray):
        array = _plain(array, where)
    dtype = array.dtype if dtype is None else jnp.dtype(dtype)
    if array.dtype == dtype:
        return array
    if jnp.issubdtype(array.dtype, np.complexfloating) and not jnp.issubdtype(dtype, np.complexfloating):
        raise ValueError(f"{where} holds complex values; expected {dtype}.")
    if jnp.issubdtype(dtype, np.integer) and isinstance(array, np.ndarray):
        with np.errstate(invalid="ignore"):
            cast = array.astype(dtype)
        if not np.array_equal(cast, array):
            raise ValueError(f"{where} holds values ({array.dtype}) that are not whole numbers of type {dtype}.")
        return cast
    if isinstance(array, jax.Array) and dtype.itemsize == 8:
        with jax.enable_x64(True):
            return array.astype(dtype)
    return array.astype(dtype)


class _CheckedRows:
    """A lazy array whose rows come through a function."""

    def __init__(self, source, dtype, function):
        self.source, self.shape, self.dtype, self._function = source, tuple(source.shape), jnp.dtype(dtype), function

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        return self._function(np.asarray(self.source[rows]))


# ---------------------------------------------------------------------------------------------- inputs and targets


def _by_name(data, names):
    """The entries of the dict `data` in the order of `names`. Others are ignored: generators carry more than the model
    takes (texts to print, for one)."""
    missing = [name for name in names if name not in data]
    if missing:
        raise ValueError(
            f'No data provided for "{missing[0]}". Need data for each key in: {list(names)}. '
            f"Found: {sorted(map(str, data))}."
        )
    return [data[name] for name in names]


def _as_list(data, names, label):
    """`data` (an array, list, tuple or dict) as a list with one entry for each of `names`."""
    if not names:
        if data is not None and hasattr(data, "__len__") and len(data):
            raise ValueError(f"Error when checking model {label}: expected no data, but got {_describe(data)}.")
        return []
    if data is None:
        return [None] * len(names)
    if isinstance(data, dict):
        return _by_name(data, names)
    if not isinstance(data, (list, tuple)):
        data = [data]
    elif len(names) == 1 and data and _is_number(data[0]):
        data = [np.asarray(data)]
    if len(data) != len(names):
        raise ValueError(
            f"Error when checking model {label}: the list of Numpy arrays that you are passing to your model is not "
            f"the size the model expected. Expected to see {len(names)} array(s) ({', '.join(names)}), but instead got "
            f"the following list of {len(data)} arrays: {_describe(data)}."
        )
    return list(data)


def _describe(data) -> str:
    if isinstance(data, dict):
        return f"a dict with the keys {sorted(map(str, data))}"
    if hasattr(data, "shape"):
        return f"an array of shape {tuple(data.shape)}"
    return str([tuple(item.shape) if hasattr(item, "shape") else type(item).__name__ for item in data[:8]])


def _fit_shape(array, shape, name, label):
    """`array` with a trailing axis where a 1-D array stands for a column; rank and sizes checked against `shape`."""
    if array is None or isinstance(array, Computed):
        return array
    if len(array.shape) == 1 and (shape is None or len(shape) == 2):
        array = (_read(array) if is_lazy(array) else array)[:, None]
    if shape is None:
        return array
    given, expected = tuple(array.shape), tuple(shape)
    if len(given) != len(expected):
        raise ValueError(
            f"Error when checking {label}: expected {name} to have {len(expected)} dimensions, but got array with "
            f"shape {given}"
        )
    # The first axis counts the samples: how many of them run at once is the batch size's business.
    if any(want not in (None, size) for size, want in zip(given[1:], expected[1:], strict=True)):
        raise ValueError(
            f"Error when checking {label}: expected {name} to have shape {expected[1:]} but got array with shape "
            f"{given[1:]}"
        )
    return array


def standardize_inputs(
    data: Any,
    names: Sequence[str],
    shapes: Sequence[Shape | None] | None = None,
    dtypes: Sequence[DType] | None = None,
    label: str = "input",
) -> list:
    """What users pass as `x`, as a list of arrays, one for each of `names`.

    Arguments:
        data: an array, a list of numbers, a list or tuple of arrays, or a dict of them by name. pandas objects and
            nested lists become numpy arrays; jax arrays stay on their device; HDF5 datasets stay as they are.
        names: what the model calls its inputs, in order.
        shapes: the expected shapes, as (None, 28, 28), None for any size; None instead of a shape: anything goes. A 1-D
            array of n numbers is taken as (n, 1) where two axes, or anything, are expected.
        dtypes: the wanted dtypes, None to leave one as it is.
        label: what the data are called in messages.

    Raises:
        ValueError: if a name is missing, or the number of arrays, a rank, a size or the kind of values does not agree.
        TypeError: if something is no array at all.
    """
    data = _as_list(data, names, label)
    arrays = [_as_array(value, name, label) for value, name in zip(data, names, strict=True)]
    shapes = [None] * len(names) if shapes is None else shapes
    dtypes = [None] * len(names) if dtypes is None else dtypes
    arrays = [_fit_shape(*each, label) for each in zip(arrays, shapes, names, strict=True)]
    return [
        _cast(array, dtype, f"Error when checking {label}: {name}")
        for array, dtype, name in zip(arrays, dtypes, names, strict=True)
    ]


def _target_shape(shape, loss):
    """The shape that targets of an output of the given shape must have, None where nothing is known of it."""
    known = traits.of(loss)
    if known.targets is None or shape is None:
        return None
    if known.alike:
        return tuple(shape)
    if config.image_data_format() == "channels_first" and len(shape) in (4, 5):
        return (shape[0], 1, *shape[2:])
    return (*shape[:-1], 1)


def _spread(data, names, used):
    """A list for the outputs in use, or for all of them with None at the others, as a list for the outputs in use."""
    if not isinstance(data, (list, tuple)) or len(data) != len(names) or all(used):
        return data
    if any(value is not None for value, use in zip(data, used, strict=True) if not use):
        return data
    return [value for value, use in zip(data, used, strict=True) if use]


def standardize_targets(
    data: Any,
    names: Sequence[str],
    shapes: Sequence[Shape | None],
    dtypes: Sequence[DType] | None,
    losses: Sequence[Function | None],
    label: str = "target",
) -> list:
    """What users pass as `y`, as a list of arrays, one for each of `names`; None for outputs without a loss.

    What is known of a loss (see `jkeras.traits`) says what its targets are: of the shape of the output, or a single
    class number (n,) or (n, 1) in place of the last axis. A target that would only broadcast against its output is an
    error. Targets of a loss of which nothing is known may have any shape.

    Arguments:
        data: as for `standardize_inputs`; outputs without a loss are left out of a list, or None in it.
        names: what the model calls its outputs, in order.
        shapes: the shapes of the outputs, as (None, 10); None instead of a shape: nothing is known.
        dtypes: the wanted dtypes, None to leave one as it is.
        losses: the loss functions, None for an output without one.
        label: what the data are called in messages.

    Raises:
        ValueError, TypeError: as `standardize_inputs`, and if a target does not fit its loss.
    """
    used = [loss is not None for loss in losses]
    dtypes = [None] * len(names) if dtypes is None else dtypes
    places = [place for place, use in enumerate(used) if use]
    used_names = [names[place] for place in places]
    targets = _as_list(_spread(data, names, used), used_names, label)
    result: list = [None] * len(names)
    for place, value in zip(places, targets, strict=True):
        name, shape, loss = names[place], shapes[place], losses[place]
        target = _as_array(value, name, label)
        try:
            target = _fit_shape(target, _target_shape(shape, loss), name, label)
        except ValueError as error:
            raise ValueError(f"{error}. {_misfit(target, shape, loss)}") from None
        check_loss_and_target_compatibility([target], [loss], [shape])
        where = f"Error when checking {label}: {name}"
        result[place] = _labelled(_cast(target, dtypes[place], where), shape, loss, where)
    return result


def _title(loss) -> str:
    return f"`{getattr(loss, '__name__', type(loss).__name__)}`"


def _misfit(target, shape, loss) -> str:
    """Both whole shapes, for a target that does not have its output's, and what to do about it."""
    given, targets = tuple(target.shape), traits.of(loss).targets
    text = f"The whole target has shape {given}, the output {tuple(shape)}, the loss is {_title(loss)}."
    if targets == "one-hot" and (len(given) < len(shape) or given[-1] == 1):
        return f"{text} {_ONE_HOT_HINT}"
    if targets == "classes" and given[1:] == tuple(shape[1:]):
        return f"{text} For targets that are binary matrices use the loss `categorical_crossentropy`."
    return text


def _labelled(target, shape, loss, where):
    """`target`, its numbers checked where it holds those of classes and lies on the host. (The loss of others is NaN;
    Keras refuses them on a CPU.)"""
    classes = shape[-1] if traits.of(loss).targets == "classes" and shape is not None else None
    if classes is None or target is None or isinstance(target, (Computed, jax.Array)):
        return target
    if is_lazy(target):
        return _CheckedRows(target, target.dtype, lambda rows: _labelled(rows, shape, loss, where))
    wrong = wrong_labels(target, classes)
    if wrong:
        raise ValueError(f"{where} has {wrong} (loss: {_title(loss)}).")
    return target


def check_loss_and_target_compatibility(
    targets: Sequence[Any], losses: Sequence[Function | None], shapes: Sequence[Shape | None]
) -> None:
    """Check that targets of the losses that compare element by element have the shapes of their outputs.

    Arguments:
        targets: arrays, None where there is none.
        losses: the loss functions, None where there is none.
        shapes: the outputs' shapes, None for unknown sizes.

    Raises:
        ValueError: if a target is a column of classes under a loss of one-hot targets (`categorical_crossentropy`), or
            not of its output's shape.
    """
    for target, loss, shape in zip(targets, losses, shapes, strict=True):
        known = traits.of(loss)
        if target is None or shape is None or isinstance(target, Computed):
            continue
        given = tuple(target.shape)
        if known.targets == "one-hot" and given[-1] == 1:
            raise ValueError(
                f"You are passing a target array of shape {given} while using as loss {_title(loss)}. {_ONE_HOT_HINT}"
            )
        # Class numbers have their own shape; `standardize_targets` looks at it before it comes here.
        if known.alike and any(want not in (None, size) for size, want in zip(given[1:], shape[1:])):  # noqa: B905
            raise ValueError(
                f"A target array with shape {given} was passed for an output of shape {tuple(shape)} while using as "
                f"loss {_title(loss)}. This loss expects targets to have the same shape as the output."
            )


# ------------------------------------------------------------------------------------------------------- weights


def weights_by_output(weights: Any, names: Sequence[str], used: Sequence[bool], kind: str) -> list:
    """`sample_weight` or `class_weight`, as `kind` says, as a list with one entry, maybe None, for each of `names`."""
    check_open(weights, f"`{kind}`")
    if weights is None or (hasattr(weights, "__len__") and len(weights) == 0):
        return [None] * len(names)
    used_names = [name for name, use in zip(names, used, strict=True) if use]
    weights = _spread(weights, names, used)
    if len(used_names) == 1 and not (isinstance(weights, dict) and used_names[0] in weights):
        if isinstance(weights, (list, tuple)) and len(weights) == 1 and not _is_number(weights[0]):
            weights = weights[0]
        weights = {used_names[0]: weights}
    elif isinstance(weights, list):
        if len(weights) != len(used_names):
            raise ValueError(
                f"Provided `{kind}` was a list of {len(weights)} elements, but the model has {len(used_names)} outputs "
                f"({', '.join(used_names)}). One `{kind}` per output was expected, None where there is none."
            )
        weights = dict(zip(used_names, weights, strict=True))
    elif not isinstance(weights, dict):
        raise TypeError(
            f"The model has multiple outputs, so `{kind}` should be either a list or a dict. Provided `{kind}` type "
            f"not understood: {type(weights).__name__}."
        )
    unknown = [name for name in weights if name not in names]
    if any(not hasattr(name, "__lift__") for name in unknown):
        raise ValueError(f"`{kind}` names {unknown}; the model's outputs are {list(names)}.")
    if unknown:
        warnings.warn(
            f"`{kind}` is ignored, as in Keras 2.2.4, for {unknown}: outputs go by their names, {list(names)}.",
            stacklevel=4,
        )
    return [weights.get(name) if use else None for name, use in zip(names, used, strict=True)]


def _check_temporal(mode, target, weight, name):
    """Check the rank of a sample weight against the output's `sample_weight_mode`."""
    if mode not in (None, "temporal"):
        raise ValueError(f'"sample_weight_mode" of {name} should be None or "temporal". Found: {mode!r}')
    if mode == "temporal" and len(target.shape) < 3:
        raise ValueError(
            f"Found a sample_weight array for an input with shape {tuple(target.shape)} ({name}). Timestep-wise sample "
            'weighting (use of sample_weight_mode="temporal") is restricted to outputs that are at least 3D, i.e. that '
            "have a time dimension."
        )
    if weight is None or len(weight.shape) == (2 if mode else 1):
        return
    advice = (
        "you should pass a 2D sample_weight array."
        if mode
        else 'you should specify sample_weight_mode="temporal" in compile(). If you just mean to use sample-wise '
        "weights, make sure your sample_weight array is 1D."
    )
    raise ValueError(
        f"Found a sample_weight array with shape {tuple(weight.shape)} for {name}. In order to use timestep-wise "
        f"sample weighting, {advice}"
    )


def _sample_weights(weight, target, name):
    if tuple(target.shape[: len(weight.shape)]) != tuple(weight.shape):
        raise ValueError(
            f"Found a sample_weight array with shape {tuple(weight.shape)} for an input with shape "
            f"{tuple(target.shape)} ({name}). sample_weight cannot be broadcast."
        )
    return _cast(_read(weight) if is_lazy(weight) else weight, config.floatx(), f"sample_weight of {name}")


def _class_weights(class_weight, target, name):
    """The weight of each row's class: of the column of class numbers, or of the largest entry of each row."""
    if len(target.shape) > 2:
        raise ValueError(
            f"`class_weight` not supported for 3+ dimensional targets; the target of {name} has shape "
            f"{tuple(target.shape)}."
        )
    rows = _read(target)
    classes = rows.argmax(axis=1) if rows.ndim == 2 and rows.shape[1] > 1 else rows.reshape(-1)
    present, places = np.unique(classes, return_inverse=True)
    missing = [number.item() for number in present if number.item() not in class_weight]
    if missing:
        raise ValueError(
            f"`class_weight` must contain all classes in the data. The classes {missing} exist in the data of {name} "
            f"but not in `class_weight`, which has {list(class_weight)}."
        )
    weights = np.asarray([class_weight[number.item()] for number in present])
    return _cast(weights[places.reshape(-1)], config.floatx(), f"class_weight of {name}")


def standardize_weights(
    sample_weight: Any,
    class_weight: Any,
    names: Sequence[str],
    modes: Sequence[str | None] | None,
    targets: Sequence[Any],
) -> list:
    """Weights of the examples, or of their time steps, one array for each output; None where all weigh the same.

    As in Keras 2.2.4 a sample weight takes the place of a class weight given beside it, with a warning.

    Arguments:
        sample_weight: an array (n,), or (n, t) for a "temporal" output; for several outputs a list of them (None
            where there is none) or a dict by the outputs' names.
        class_weight: a dict from class numbers to weights; for several outputs a list or a dict by name of such.
        names: what the model calls its outputs, in order.
        modes: None or "temporal", for each output; None for all of them None.
        targets: the targets as `standardize_targets` gives them: (n, k) one-hot or (n, 1) class numbers for
            `class_weight`; None for an output without a loss.

    Raises:
        ValueError: if a name, a rank, a shape or a class does not agree.
        TypeError: if the weights of several outputs are neither a list nor a dict, or `class_weight` is no dict.
    """
    used = [target is not None for target in targets]
    modes = [None] * len(names) if modes is None else modes
    of_samples = weights_by_output(sample_weight, names, used, "sample_weight")
    of_classes = weights_by_output(class_weight, names, used, "class_weight")
    result = []
    for name, mode, target, samples, classes in zip(names, modes, targets, of_samples, of_classes, strict=True):
        if target is None or isinstance(target, Computed):  # the latter weigh all the same, as in Keras
            result.append(None)
            continue
        if isinstance(samples, dict):
            raise ValueError(f"`sample_weight` is a dict with the keys {list(samples)}; the output is called {name}.")
        samples = _as_array(samples, name, "sample_weight")
        _check_temporal(mode, target, samples, name)
        if samples is not None and classes is not None:
            warnings.warn(
                f"Found both `sample_weight` and `class_weight` for {name}: `class_weight` argument will be ignored.",
                stacklevel=3,
            )
        if samples is not None:
            result.append(_sample_weights(samples, target, name))
        elif classes is None or isinstance(classes, dict):
            result.append(None if classes is None else _class_weights(classes, target, name))
        else:
            warnings.warn(
                f"`class_weight` of {name} is ignored, as in Keras 2.2.4: it should be a dict from class numbers to "
                f"weights. Found: {classes!r}.",
                stacklevel=3,
            )
            result.append(None)
    return result


def with_ones(targets: Sequence[Any], weights: Sequence[Any]) -> list:
    """Weights of the examples, 1 where none are given for a target."""
    return [
        np.ones(target.shape[0], config.floatx()) if weight is None else weight
        for target, weight in zip(targets, weights, strict=True)
    ]


# -------------------------------------------------------------------------------------------------------- rows


def _row_counts(arrays) -> set:
    return {int(array.shape[0]) for array in jax.tree.leaves(arrays) if not isinstance(array, Computed)}


def check_lengths(inputs: Any, targets: Any = None, weights: Any = None) -> None:
    """Check that all arrays have the same number of rows. None, as a list or in one, is skipped.

    Raises:
        ValueError: if they have not.
    """
    kinds = (("input arrays (x)", inputs), ("target arrays (y)", targets), ("sample_weight arrays", weights))
    for kind, arrays in kinds:
        if len(_row_counts(arrays)) > 1:
            shapes = [tuple(array.shape) for array in jax.tree.leaves(arrays)]
            raise ValueError(f"All {kind} should have the same number of samples. Got array shapes: {shapes}")
    of_inputs, of_targets, of_weights = (_row_counts(arrays) for _, arrays in kinds)
    if of_inputs and of_targets and of_inputs != of_targets:
        raise ValueError(
            f"Input arrays should have the same number of samples as target arrays. Found {of_inputs.pop()} input "
            f"samples and {of_targets.pop()} target samples."
        )
    if of_targets and of_weights and of_targets != of_weights:
        raise ValueError(
            f"Sample_weight arrays should have the same number of samples as target arrays. Got {of_targets.pop()} "
            f"target samples and {of_weights.pop()} sample weights."
        )


def split_validation(arrays: Any, fraction: float) -> tuple:
    """The first int(n * (1 - fraction)) rows of each array, and the rest of them, both in the structure of `arrays`.

    Arguments:
        arrays: arrays of n rows each, in lists or tuples of any depth; None stays None.
        fraction: what part of the rows, the last ones, is for validation; between 0 and 1.

    Raises:
        ValueError: if the fraction is not between 0 and 1, or leaves one of the parts empty.
    """
    if not isinstance(fraction, numbers.Real) or not 0.0 < fraction < 1.0:
        raise ValueError(f"validation_split must be a number between 0 and 1, both excluded. Found: {fraction!r}")
    counts = _row_counts(arrays)
    if len(counts) != 1:
        raise ValueError(f"validation_split={fraction} needs arrays of one length; found lengths {sorted(counts)}.")
    count = counts.pop()
    split = int(count * (1.0 - fraction))
    if split in (0, count):
        raise ValueError(
            f"validation_split={fraction} of {count} samples leaves {split} for training and {count - split} for "
            "validation; expected at least one each."
        )
    return slice_rows(arrays, 0, split), slice_rows(arrays, split)


def _take(array, rows):
    """The given rows of one array. HDF5 reads rows in rising order only, and each once."""
    if not is_lazy(array):
        return array[rows]
    if rows.size == 0:
        return array[0:0]
    first = int(rows[0])
    if np.array_equal(rows, np.arange(first, first + rows.size)):  # as `shuffle='batch'` has them
        return np.asarray(array[first : first + rows.size])
    rising, places = np.unique(rows, return_inverse=True)
    contiguous = rising[-1] - rising[0] + 1 == rising.size
    return np.asarray(array[int(rising[0]) : int(rising[-1]) + 1] if contiguous else array[rising])[places]


def slice_rows(arrays: Any, start: Any, stop: int | None = None) -> Any:
    """Rows of each array: `array[start:stop]`, or those that the index array `start` names, in its order.

    Lazy arrays are read here. The result has the structure of `arrays` (an array, or lists and tuples of them); None
    stays None.
    """
    if hasattr(start, "__len__"):
        rows = np.asarray(start, dtype=np.intp)
        return jax.tree.map(lambda array: _take(array, rows), arrays)
    # A lazy array wants to be told where to stop.
    return jax.tree.map(lambda array: array[start : array.shape[0] if stop is None else stop], arrays)


def batch_slices(size: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch of `size` rows; the last one may be smaller.

    Example:
        >>> batch_slices(5, 2)
        [(0, 2), (2, 4), (4, 5)]

    Raises:
        ValueError: if `batch_size` is not a positive whole number.
    """
    batch_size = whole_number(batch_size, "batch_size", 1)
    return [(start, min(start + batch_size, size)) for start in range(0, size, batch_size)]
