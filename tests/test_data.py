"""What users pass as data, checked on the host."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras import config, losses
from jkeras.data import arrays
from jkeras.datasets import digits

A = np.arange(12.0).reshape(4, 3)


class Frame:
    """What pandas objects are for us: something with `values`."""

    def __init__(self, values):
        self.values = np.asarray(values)


class Symbol:
    def __lift__(self, function, args, kwargs):
        raise AssertionError("data are not computed with")


@pytest.fixture
def dataset(tmp_path):
    """An HDF5 file with integer images `x` (6, 2) and labels `y` (6,)."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.arange(12).reshape(6, 2)
        file["y"] = np.arange(6)
        yield file


# ------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    "data, names, shapes, expected",
    [
        (A, ["a"], [(None, 3)], [A]),
        ([A], ["a"], [(None, 3)], [A]),
        ((A, A[:, :1]), ["a", "b"], [(None, 3), (None, None)], [A, A[:, :1]]),
        ({"b": A[:, :1], "a": A, "more": ["text"]}, ["a", "b"], None, [A, A[:, :1]]),
        (Frame(A), ["a"], [(None, 3)], [A]),
        ({"a": Frame(A[:, 0])}, ["a"], [(None, 1)], [A[:, :1]]),
        ([1, 2.5], ["a"], [(None, 1)], [[[1.0], [2.5]]]),
        ([[1, 2], [3, 4]], ["a", "b"], None, [[[1], [2]], [[3], [4]]]),
        ([A.tolist()], ["a"], [(None, 3)], [A]),
        (A[:, 0], ["a"], [(None,)], [A[:, 0]]),
        (A[:, 0], ["a"], None, [A[:, :1]]),
        (A > 3, ["a"], [(2, 3)], [A > 3]),
        (np.array([[1, 2.5], [True, 4]], dtype=object), ["a"], [(None, 2)], [[[1, 2.5], [1, 4]]]),
        (None, ["a", "b"], [(None, 3), (None, 1)], [None, None]),
        (None, [], [], []),
        ([], [], [], []),
    ],
)
def test_inputs(data, names, shapes, expected):
    result = arrays.standardize_inputs(data, names, shapes, ["float32"] * len(names))
    assert len(result) == len(expected)
    for array, value in zip(result, expected, strict=True):
        if value is None:
            assert array is None
        else:
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, np.asarray(value, np.float32))


@pytest.mark.parametrize(
    "data, names, shapes, error, message",
    [
        (A, ["a"], [(None, 4)], ValueError, r"checking input: expected a to have shape \(4,\) but got array .* \(3,\)"),
        (A, ["a"], [(None, 3, 1)], ValueError, r"expected a to have 3 dimensions, but got array with shape \(4, 3\)"),
        (A[:, 0], ["a"], [(None, 3)], ValueError, r"expected a to have shape \(3,\) but got array with shape \(1,\)"),
        ([A, A], ["a"], None, ValueError, r"checking model input: the list of Numpy arrays .* see 1 array\(s\) \(a\)"),
        (A, ["a", "b"], None, ValueError, r"Expected to see 2 array\(s\) \(a, b\).* list of 1 arrays: \[\(4, 3\)\]"),
        ([], ["a"], None, ValueError, "list of 0 arrays"),
        ({"c": A}, ["a"], None, ValueError, r'No data provided for "a".* \[\'a\'\]. Found: \[\'c\'\]'),
        (A, [], [], ValueError, "expected no data, but got an array of shape"),
        ("text", ["a"], None, TypeError, "data should be a Numpy array, or list/dict of Numpy arrays.* a: str"),
        (iter([A]), ["a"], None, TypeError, "Found for a: list_iterator"),
        (np.float64(3), ["a"], None, ValueError, "scalar 3.0|scalar .3.0.*counts"),
        (np.array([["x"]]), ["a"], None, ValueError, "a holds values of dtype <U1"),
        (np.array([["x", 1]], dtype=object), ["a"], None, ValueError, "a holds values of dtype object"),
        ([[[1, 2], [3]]], ["a"], None, ValueError, "a: the nested list makes no array"),
        (A * 1j, ["a"], None, ValueError, "a holds complex values; expected float32"),
        (Symbol(), ["a"], None, ValueError, "a symbol"),
    ],
)
def test_input_errors(data, names, shapes, error, message):
    with pytest.raises(error, match=message):
        arrays.standardize_inputs(data, names, shapes, ["float32"] * len(names))


@pytest.mark.parametrize(
    "given, wanted, expected",
    [
        (np.float64([[1.5]]), "float32", "float32"),
        (np.float32([[1.5]]), "float64", "float64"),
        (np.uint8([[3]]), "float32", "float32"),
        (np.float32([[3.0]]), "int32", "int32"),
        (np.float32([[1.5]]), "bfloat16", "bfloat16"),
        (np.float64([[1.5]]), None, "float64"),
    ],
)
def test_casts(given, wanted, expected):
    (array,) = arrays.standardize_inputs(given, ["a"], None, [wanted])
    assert array.dtype == jnp.dtype(expected)
    np.testing.assert_array_equal(array.astype(given.dtype), given)


@pytest.mark.parametrize("given", [[[1.5]], [[np.nan]], [[2.0**40]]])
def test_only_whole_numbers_become_integers(given):
    with pytest.raises(ValueError, match="a holds values .float64. that are not whole numbers of type int32"):
        arrays.standardize_inputs(np.asarray(given), ["a"], None, ["int32"])


def test_arrays_of_the_wanted_dtype_are_not_copied():
    host, device = np.ones((2, 3), np.float32), jnp.ones((2, 3))
    result = arrays.standardize_inputs([host, device], ["a", "b"], [(None, 3)] * 2, ["float32"] * 2)
    assert result[0] is host and result[1] is device


@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_device_arrays_are_cast_on_their_device(wanted):
    device = jax.devices()[-1]
    (array,) = arrays.standardize_inputs(jax.device_put(np.int32([[1], [2]]), device), ["a"], None, [wanted])
    assert isinstance(array, jax.Array) and array.devices() == {device} and array.dtype == wanted


def test_hdf5_stays_in_its_file(dataset):
    source = dataset["x"]
    x, y = arrays.standardize_inputs(
        [source, dataset["y"]], ["a", "b"], [(None, 2), (None, 1)], [source.dtype, "float32"]
    )
    assert x is source
    assert y.dtype == np.float32 and y.shape == (6, 1)
    with pytest.raises(ValueError, match=r"expected a to have shape \(3,\)"):
        arrays.standardize_inputs(dataset["x"], ["a"], [(None, 3)])


def test_lazy_rows_are_cast_as_they_are_read(dataset, tmp_path):
    np.save(tmp_path / "x.npy", dataset["x"][:])
    memory_map = np.load(tmp_path / "x.npy", mmap_mode="r")
    for source in (dataset["x"], memory_map):
        (lazy,) = arrays.standardize_inputs(source, ["a"], [(None, 2)], ["float32"])
        assert arrays.is_lazy(lazy) and len(lazy) == 6
        rows = arrays.slice_rows(lazy, [4, 0, 4])
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, [[8, 9], [0, 1], [8, 9]])


# ------------------------------------------------------------------------------------------------------ targets

CLASSES = np.eye(3)[[0, 2, 1, 0]]


def mean_squared_error(y_true, y_pred):
    """A user's own loss, though its name is one of ours."""
    return y_pred


@pytest.mark.parametrize(
    "data, shape, loss, expected",
    [
        (A, (None, 3), losses.mean_squared_error, (4, 3)),
        (A[:, 0], (None, 1), losses.binary_crossentropy, (4, 1)),
        (CLASSES, (None, 3), losses.categorical_crossentropy, (4, 3)),
        ([0, 2, 1], (None, 3), losses.sparse_categorical_crossentropy, (3, 1)),
        (np.zeros((4, 5, 1)), (None, 5, 3), losses.sparse_categorical_crossentropy, (4, 5, 1)),
        (np.zeros((4, 5, 2)), (None, None, None), losses.mean_squared_error, (4, 5, 2)),
        (A[:, 0], (None, 3), lambda y_true, y_pred: y_pred, (4, 1)),
        (A, (None, 7, 7), mean_squared_error, (4, 3)),
        (A, None, losses.mean_squared_error, (4, 3)),
    ],
)
def test_targets(data, shape, loss, expected):
    (target,) = arrays.standardize_targets(data, ["out"], [shape], ["float32"], [loss])
    assert target.shape == expected and target.dtype == np.float32


@pytest.mark.parametrize(
    "data, shape, loss, message",
    [
        (
            A[:, 0],
            (None, 3),
            losses.mean_squared_error,
            r"target: expected out .* \(3,\) but got .* \(1,\).*\(None, 3\)",
        ),
        (A[:, :1], (None, 3), losses.mean_absolute_error, r"\(4, 1\), the output \(None, 3\).*`mean_absolute_error`"),
        (A[:, 0], (None, 3), losses.categorical_crossentropy, "sparse_categorical_crossentropy"),
        (A[:, 0], (None, 1), losses.categorical_crossentropy, "You are passing a target array of shape"),
        (CLASSES, (None, 3), losses.sparse_categorical_crossentropy, "binary matrices use the loss `categorical_cross"),
        (A, (None, 5, 3), losses.mean_squared_error, "expected out to have 3 dimensions"),
        (None, (None, 3), losses.mean_squared_error, None),
    ],
)
def test_target_errors(data, shape, loss, message):
    call = (data, ["out"], [shape], [None], [loss])
    if message is None:
        assert arrays.standardize_targets(*call) == [None]
    else:
        with pytest.raises(ValueError, match=message):
            arrays.standardize_targets(*call)


def test_sparse_targets_channels_first():
    config.set_image_data_format("channels_first")
    call = (["out"], [(None, 3, 5, 5)], None, [losses.sparse_categorical_crossentropy])
    assert arrays.standardize_targets(np.zeros((2, 1, 5, 5)), *call)[0].shape == (2, 1, 5, 5)
    with pytest.raises(ValueError, match=r"expected out to have shape \(1, 5, 5\)"):
        arrays.standardize_targets(np.zeros((2, 5, 5, 1)), *call)


@pytest.mark.parametrize("data", [A, [A], [None, A], {"b": A}])
def test_outputs_without_a_loss_have_no_target(data):
    none, target = arrays.standardize_targets(
        data, ["a", "b"], [(None, 2), (None, 3)], None, [None, losses.mean_squared_error]
    )
    assert none is None and target is A


@pytest.mark.parametrize(
    "target, loss, shape, message",
    [
        ((2, 1, 3), "categorical_crossentropy", (2, 1, 3), None),
        ((2, 1, 3), "categorical_crossentropy", (2, None, 3), None),
        ((2, 3, 1), "categorical_crossentropy", (2, 3, 1), "You are passing a target array"),
        ((2, 3, 5), "categorical_crossentropy", (2, 3, 6), "targets to have the same shape"),
        ((2, 3, 5), "mean_squared_error", (2, 4, 5), "targets to have the same shape"),
        ((2, 3, 1), "sparse_categorical_crossentropy", (2, 3, 6), None),
    ],
)
def test_loss_and_target(target, loss, shape, message):
    call = [np.zeros(target)], [getattr(losses, loss)], [shape]
    if message is None:
        arrays.check_loss_and_target_compatibility(*call)
    else:
        with pytest.raises(ValueError, match=message):
            arrays.check_loss_and_target_compatibility(*call)


# ------------------------------------------------------------------------------------------------------ weights

W = np.array([1.0, 2.0, 3.0, 4.0])
COLUMN = np.array([[0], [2], [1], [0]])
BY_CLASS = {0: 1.0, 1: 2.0, 2: 5.0}
STEPS = np.zeros((4, 2, 3))


@pytest.mark.parametrize(
    "sample_weight, class_weight, names, modes, targets, expected",
    [
        (None, None, ["a"], [None], [A], [None]),
        ([], {}, ["a"], None, [A], [None]),
        (W, None, ["a"], None, [A], [W]),
        (W.tolist(), None, ["a"], None, [A], [W]),
        ([W], None, ["a"], None, [A], [W]),
        ([5.0], None, ["a"], None, [A[:1]], [[5.0]]),
        ({"a": W}, None, ["a"], None, [A], [W]),
        (Frame(W), None, ["a"], None, [A], [W]),
        (np.ones((4, 2)), None, ["a"], ["temporal"], [STEPS], [np.ones((4, 2))]),
        ({"b": W}, None, ["a", "b"], None, [A, A], [None, W]),
        ([None, W], None, ["a", "b"], None, [A, A], [None, W]),
        (W, None, ["a", "b"], None, [None, A], [None, W]),
        ([None, W], None, ["a", "b"], None, [None, A], [None, W]),
        (None, BY_CLASS, ["a"], None, [COLUMN], [[1, 5, 2, 1]]),
        (None, BY_CLASS, ["a"], None, [CLASSES], [[1, 5, 2, 1]]),
        (None, BY_CLASS, ["a"], None, [COLUMN.astype("float32")], [[1, 5, 2, 1]]),
        (None, BY_CLASS, ["a"], None, [jnp.asarray(COLUMN)], [[1, 5, 2, 1]]),
        (None, {np.int64(0): 3, 1: 1, 2: 1, 7: 9}, ["a"], None, [COLUMN], [[3, 1, 1, 3]]),
        (None, {"a": BY_CLASS}, ["a"], None, [COLUMN], [[1, 5, 2, 1]]),
        (None, {"b": BY_CLASS}, ["a", "b"], None, [A, COLUMN], [None, [1, 5, 2, 1]]),
        (None, [BY_CLASS, None], ["a", "b"], None, [CLASSES, A], [[1, 5, 2, 1], None]),
        ([W, None], {"b": BY_CLASS}, ["a", "b"], None, [A, COLUMN], [W, [1, 5, 2, 1]]),
    ],
)
def test_weights(sample_weight, class_weight, names, modes, targets, expected):
    result = arrays.standardize_weights(sample_weight, class_weight, names, modes, targets)
    assert len(result) == len(expected)
    for array, value in zip(result, expected, strict=True):
        if value is None:
            assert array is None
        else:
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, value)


@pytest.mark.parametrize(
    "sample_weight, class_weight, names, modes, targets, error, message",
    [
        (W[:, None], None, ["a"], None, [A], ValueError, r"\(4, 1\) for a.*sample_weight_mode=\"temporal\""),
        (W, None, ["a"], ["temporal"], [STEPS], ValueError, "pass a 2D sample_weight array"),
        (None, None, ["a"], ["temporal"], [A], ValueError, "restricted to outputs that are at least 3D"),
        (None, None, ["a"], ["steps"], [A], ValueError, "should be None or \"temporal\". Found: 'steps'"),
        (
            W[:3],
            None,
            ["a"],
            None,
            [A],
            ValueError,
            r"shape \(3,\) .* shape \(4, 3\) \(a\). sample_weight cannot be broad",
        ),
        (np.ones((4, 3)), None, ["a"], ["temporal"], [STEPS], ValueError, "cannot be broadcast"),
        (W, None, ["a", "b"], None, [A, A], TypeError, "should be either a list or a dict.*ndarray"),
        ([W], None, ["a", "b"], None, [A, A], ValueError, "list of 1 elements, but the model has 2 outputs"),
        ({"c": W}, None, ["a", "b"], None, [A, A], ValueError, r"`sample_weight` names \['c'\]"),
        ({"c": W}, None, ["a"], None, [A], ValueError, "output is called a"),
        (None, BY_CLASS, ["a", "b"], None, [COLUMN, A], ValueError, r"`class_weight` names \[0, 1, 2\]"),
        (
            None,
            {0: 1.0},
            ["a"],
            None,
            [COLUMN],
            ValueError,
            r"must contain all classes.* \[1, 2\] exist in the data of a",
        ),
        (None, BY_CLASS, ["a"], None, [STEPS], ValueError, "not supported for 3"),
        (None, [1.0, 2.0], ["a"], None, [COLUMN], UserWarning, "`class_weight` of a is ignored"),
        (None, "auto", ["a"], None, [COLUMN], UserWarning, "Found: 'auto'"),
    ],
)
def test_weight_errors(sample_weight, class_weight, names, modes, targets, error, message):
    with pytest.raises(error, match=message):
        arrays.standardize_weights(sample_weight, class_weight, names, modes, targets)


def test_a_sample_weight_takes_the_place_of_a_class_weight():
    with pytest.warns(UserWarning, match="`class_weight` argument will be ignored"):
        (weights,) = arrays.standardize_weights(W, BY_CLASS, ["a"], None, [COLUMN])
    np.testing.assert_array_equal(weights, W)


# --------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "inputs, targets, weights, message",
    [
        ([A, A], [A, None], [W, None], None),
        ([A], None, None, None),
        (None, None, None, None),
        ([A, A[:3]], None, None, r"All input arrays \(x\).*\[\(4, 3\), \(3, 3\)\]"),
        ([A], [A, A[:3]], None, r"All target arrays \(y\)"),
        ([A], [A], [W, W[:3]], "All sample_weight arrays"),
        ([A], [None, A[:3]], None, "Found 4 input samples and 3 target samples"),
        ([A], [A], [W[:3]], "Got 4 target samples and 3 sample weights"),
    ],
)
def test_lengths(inputs, targets, weights, message):
    if message is None:
        arrays.check_lengths(inputs, targets, weights)
    else:
        with pytest.raises(ValueError, match=message):
            arrays.check_lengths(inputs, targets, weights)


@pytest.mark.parametrize("count, fraction", [(10, 0.2), (10, 0.33), (7, 0.5), (3, 0.34)])
def test_split_validation(count, fraction):
    x, y = np.arange(count), np.arange(count) * 2
    train, validation = arrays.split_validation(([x], [y, None], None), fraction)
    split = int(count * (1.0 - fraction))
    np.testing.assert_array_equal(train[0][0], x[:split])
    np.testing.assert_array_equal(validation[1][0], y[split:])
    assert train[1][1] is None and validation[2] is None


@pytest.mark.parametrize(
    "count, fraction, message",
    [
        (10, 0.0, "between 0 and 1"),
        (10, 1.0, "between 0 and 1"),
        (10, -0.1, "between 0 and 1"),
        (10, float("nan"), "between 0 and 1"),
        (1, 0.5, "of 1 samples leaves 0 for training and 1 for validation"),
        (0, 0.5, "of 0 samples"),
    ],
)
def test_split_validation_errors(count, fraction, message):
    with pytest.raises(ValueError, match=message):
        arrays.split_validation([np.zeros(count)], fraction)


@pytest.mark.parametrize("rows", [[3, 1, 1, 5], [2, 3, 4], [4, 3], [0], []])
def test_index_rows(dataset, rows):
    x = dataset["x"][:]
    for result in arrays.slice_rows([x, dataset["x"], jnp.asarray(x)], np.asarray(rows)):
        np.testing.assert_array_equal(np.asarray(result).reshape(-1, 2), x[np.asarray(rows, int)])


@pytest.mark.parametrize("start, stop", [(0, 2), (2, 6), (4, None), (3, 3)])
def test_slice_rows(dataset, start, stop):
    x = dataset["x"][:]
    first, (none, second) = arrays.slice_rows([x, (None, dataset["x"])], start, stop)
    assert none is None
    np.testing.assert_array_equal(first, x[start:stop])
    np.testing.assert_array_equal(second, x[start:stop])


@pytest.mark.parametrize(
    "size, batch_size, expected", [(5, 2, [(0, 2), (2, 4), (4, 5)]), (4, np.int64(2), [(0, 2), (2, 4)]), (0, 3, [])]
)
def test_batch_slices(size, batch_size, expected):
    assert arrays.batch_slices(size, batch_size) == expected


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_batch_slices_errors(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        arrays.batch_slices(5, batch_size)


# ------------------------------------------------------------------------------------------------------- digits


def test_digits():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, x_test.shape) == ((1442, 8, 8), (355, 8, 8))
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert (x_train.min(), x_train.max(), x_test.min(), x_test.max()) == (0, 16, 0, 16)
    np.testing.assert_array_equal(np.bincount(y_test), np.bincount(np.concatenate([y_train, y_test])) // 5)
    np.testing.assert_array_equal(x_train[0, 0], [0, 0, 5, 13, 9, 1, 0, 0])
