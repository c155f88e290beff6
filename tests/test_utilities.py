"""Utilities: weights in other layouts, where symbols come from, files as dicts, functions as text, pictures, and the
helpers that one tests layers with."""

import marshal
import sys
import types

import h5py
import numpy as np
import pytest

from jkeras import utils
from jkeras.engine import saving, training_utils
from jkeras.layers import (
    GRU,
    LSTM,
    Add,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    ConvLSTM2D,
    CuDNNGRU,
    CuDNNLSTM,
    Dense,
    Dropout,
    Flatten,
    Input,
    Lambda,
    TimeDistributed,
)
from jkeras.legacy import interfaces
from jkeras.losses import categorical_crossentropy, mean_absolute_error
from jkeras.models import Model, Sequential
from jkeras.utils import generic_utils, layer_utils, test_utils, vis_utils

RANDOM = np.random.RandomState(0)


# ------------------------------------------------------------------------------------------------------------ layers


def test_source_inputs():
    x, y = Input((3,)), Input((3,))
    shared = Dense(3)
    hidden = shared(x)
    total = Add()([shared(y), hidden, hidden])
    assert utils.get_source_inputs(total) == [y, x]
    assert utils.get_source_inputs(shared.get_output_at(1)) == [y] and utils.get_source_inputs(total, shared, 0) == [x]
    assert utils.get_source_inputs(x) == [x] and utils.get_source_inputs(3) == 3
    assert utils.get_source_inputs(Model(x, hidden)(y)) == [y]


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_weights_for_the_other_layout(layout):
    """The same network in the other layout gives the same of transposed images."""
    first = layout == "channels_first"
    other = "channels_last" if first else "channels_first"
    x = RANDOM.normal(size=(2, 3, 5, 4) if first else (2, 5, 4, 3)).astype("float32")
    moved = np.moveaxis(x, 1, -1) if first else np.moveaxis(x, -1, 1)

    def network(layout, shape):
        convolution = Conv2D(2, (3, 2), data_format=layout, input_shape=shape)
        return Sequential([convolution, Flatten(), Dense(3)])

    model, twin = network(layout, x.shape[1:]), network(other, moved.shape[1:])
    wanted = model.predict(x)
    layer_utils.convert_dense_weights_data_format(model.layers[2], (3, 3, 2) if first else (2, 3, 3), other)
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin.predict(moved), wanted, rtol=1e-4, atol=1e-5)
    kernel = model.layers[0].get_weights()[0]
    utils.convert_all_kernels_in_model(model)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel[::-1, ::-1])
    with pytest.raises(ValueError, match="target_data_format"):
        layer_utils.convert_dense_weights_data_format(model.layers[2], (2, 3, 3), "channels_middle")


# ------------------------------------------------------------------------------------- weights of others, in files


def weights_of(layer, shape):
    layer.build(shape)
    return [RANDOM.normal(size=weight.shape) for weight in layer.get_weights()]


@pytest.mark.parametrize(
    ("plain", "cudnn"),
    [(lambda: LSTM(3), lambda: CuDNNLSTM(3)), (lambda: GRU(3, reset_after=True), lambda: CuDNNGRU(3))],
)
@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional, lambda layer: Sequential([layer])])
def test_cudnn_weights_become_plain_ones_and_back(plain, cudnn, wrap, tmp_path):
    x = RANDOM.normal(size=(2, 4, 2)).astype("float32")

    def network(layer):
        symbol = Input((4, 2))
        return Model(symbol, wrap(layer)(symbol))

    source, target = network(cudnn()), network(plain())
    source.set_weights([RANDOM.normal(size=weight.shape) for weight in source.get_weights()])
    source.save_weights(tmp_path / "cudnn.h5")
    target.load_weights(tmp_path / "cudnn.h5")
    back = saving.preprocess_weights_for_loading(source.layers[-1], target.layers[-1].get_weights())
    for given, again in zip(source.layers[-1].get_weights(), back, strict=True):
        if given.ndim == 2 or type(source.layers[-1]) is CuDNNGRU:  # an LSTM's two biases become one
            np.testing.assert_allclose(again, given, rtol=1e-6)
    assert target.predict(x).shape == source.predict(x).shape


def test_gru_weights_that_do_not_fit_are_refused():
    cudnn = weights_of(CuDNNGRU(3), (None, 4, 2))
    with pytest.raises(ValueError, match="CuDNNGRU is not compatible with GRU"):
        saving.preprocess_weights_for_loading(GRU(3), cudnn)
    with pytest.raises(ValueError, match="Invalid bias shape"):
        saving.preprocess_weights_for_loading(LSTM(3), [*cudnn[:2], np.zeros(5)])


# layer, input shape, the axes of its kernel in the order that Keras 1 had
KERNELS_OF_KERAS_1 = [
    (Conv2D(4, (2, 3), data_format="channels_first"), (None, 5, 8, 8), (3, 2, 0, 1)),
    (Conv2D(4, (2, 3)), (None, 8, 8, 5), (0, 1, 2, 3)),
    (Conv3D(4, (2, 3, 2), data_format="channels_first"), (None, 5, 8, 8, 8), (4, 3, 0, 1, 2)),
    (Conv2DTranspose(4, (2, 3), data_format="channels_first"), (None, 5, 8, 8), (2, 3, 0, 1)),
    (Conv2DTranspose(4, (2, 3)), (None, 8, 8, 5), (0, 1, 3, 2)),
]


@pytest.mark.parametrize(("layer", "shape", "order"), KERNELS_OF_KERAS_1)
def test_kernels_of_keras_1(layer, shape, order):
    kernel, bias = weights_of(layer, shape)
    found = saving.preprocess_weights_for_loading(layer, [np.transpose(kernel, order), bias], "1")
    np.testing.assert_array_equal(found[0], kernel)


def test_kernels_of_keras_1_in_one_dimension():
    layer = Conv1D(4, 2)
    kernel, bias = weights_of(layer, (None, 8, 3))
    for old in (kernel[:, None], np.transpose(kernel[:, None], (3, 2, 0, 1))):
        found = saving.preprocess_weights_for_loading(TimeDistributed(layer), [old, bias], "1")
        np.testing.assert_array_equal(found[0], kernel)


@pytest.mark.parametrize(
    ("layer", "shape", "order"),
    [
        (GRU(2), (None, 4, 3), (0, 1, 2)),
        (LSTM(2), (None, 4, 3), (0, 2, 1, 3)),
        (ConvLSTM2D(2, (1, 2)), (None, 3, 4, 4, 3), (0, 2, 1, 3)),
    ],
)
def test_gates_of_keras_1(layer, shape, order):
    """Each gate had a kernel, a recurrent kernel and a bias of its own."""
    now = weights_of(layer, shape)
    parts = [np.split(weight, len(order), axis=-1) for weight in now]
    old = [parts[kind][gate] for gate in order for kind in range(3)]
    for found, wanted in zip(saving.preprocess_weights_for_loading(layer, old, "1"), now, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_kernels_of_theano_are_turned_and_of_another_shape_reshaped():
    layer = Conv2D(4, (2, 3))
    kernel, bias = weights_of(layer, (None, 8, 8, 5))
    turned = saving.preprocess_weights_for_loading(layer, [kernel, bias], "2.2.4", "theano")[0]
    np.testing.assert_array_equal(turned, kernel[::-1, ::-1])
    flat = saving.preprocess_weights_for_loading(layer, [kernel.reshape(6, 1, 5, 4), bias], reshape=True)[0]
    np.testing.assert_array_equal(flat, kernel)
    with pytest.raises(ValueError, match="equal size"):
        saving.preprocess_weights_for_loading(layer, [kernel[:1], bias], reshape=True)


def test_groups_of_weights(tmp_path):
    model = Sequential([Dense(2, input_shape=(3,), name="a"), BatchNormalization(name="b")])
    twin = Sequential([Dense(2, input_shape=(3,), name="a"), BatchNormalization(name="b")])
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        saving.save_weights_to_hdf5_group(file, model.layers)
        saving.load_weights_from_hdf5_group(file, twin.layers)
        np.testing.assert_array_equal(twin.get_weights()[0], model.get_weights()[0])
        model.layers[0].set_weights([np.ones((3, 2)), np.ones(2)])
        saving.load_weights_from_hdf5_group_by_name(file, [model.layers[0]])
    np.testing.assert_array_equal(twin.get_weights()[0], model.get_weights()[0])


# ------------------------------------------------------------------------------------------ files, functions, pictures


@pytest.mark.parametrize("place", ["file", "dict"])
def test_h5dict(tmp_path, place):
    path = str(tmp_path / "held.h5") if place == "file" else {"old": 1}
    held = utils.h5dict(path, "w")
    names = ["n" * 60 + str(number) for number in range(2000)]  # too long for one attribute
    held["text"], held["names"], held["many"] = "abcd", [b"ef", b"g"], names
    held["inner"]["deep"]["array"] = RANDOM.normal(size=(2, 3))
    held.update({"number": np.float32(3)})
    if place == "file":
        with pytest.raises(KeyError, match="already"):
            held["inner"] = np.zeros(1)
    held.close()
    found = utils.H5Dict(path, "r")
    assert found["text"] == "abcd" and found["names"] == [b"ef", b"g"] and found["many"] == names
    assert found["inner"]["deep"]["array"].shape == (2, 3) and found["number"] == 3
    assert "inner" in found and "old" not in found and found.get("old", 5) == 5
    assert len(found) >= 2 and set(found) == set(found.iter()) and list(found.keys())
    for change in (lambda: found["new"], lambda: found.__setitem__("new", 1)):
        with pytest.raises(ValueError, match="read only"):
            change()
    found.close()
    with pytest.raises(TypeError, match="h5py group"):
        utils.H5Dict(3)


def test_functions_as_text():
    offset = 2

    def function(x, factor=3):
        return factor * x + offset

    text = generic_utils.func_dump(function)
    assert generic_utils.func_load(text)(1) == generic_utils.func_load(list(text))(1) == 5
    old = marshal.dumps(function.__code__).decode("raw_unicode_escape")  # before Keras 2.1.2
    assert generic_utils.func_load(old, function.__defaults__, function.__closure__)(1) == 5
    lines = generic_utils.func_load(generic_utils.func_dump(lambda x: np_.sum(x)), globs={"np_": np})  # noqa: F821
    assert lines([1, 2]) == 3


@pytest.fixture(scope="module")
def pictured():
    x = Input((3,), name="in")
    hidden = Dense(4, name="a|b")(x)
    inner = Sequential([Dense(4, input_shape=(4,))], name="inner")
    return Model(x, [Add(name="sum")([hidden, inner(hidden)]), Dense(2, name="out")(hidden)])


def test_pictures_of_models(pictured, tmp_path):
    pytest.importorskip("pydot")
    dot = vis_utils.model_to_dot(pictured, show_shapes=True)
    labels = " ".join(node.get_label() for node in dot.get_nodes() if node.get_label())
    assert len(dot.get_edges()) == 5 and r"a\|b: Dense" in labels and "(None, 4)" in labels
    named = vis_utils.model_to_dot(Sequential([TimeDistributed(Dense(2, name="d"), name="t", input_shape=(3, 2))]))
    assert "t(d): TimeDistributed(Dense)" in named.to_string()
    assert "Add" in vis_utils.model_to_dot(pictured, show_layer_names=False, rankdir="LR").to_string()
    utils.plot_model(pictured, tmp_path / "model.dot")
    assert "inner: Sequential" in (tmp_path / "model.dot").read_text()
    with pytest.raises(ValueError, match="not been built"):
        utils.plot_model(Sequential([Dense(2)]))


def test_pictures_say_what_they_need(pictured, tmp_path, monkeypatch):
    pydot = pytest.importorskip("pydot")

    def absent(*arguments, **options):
        raise FileNotFoundError("dot")

    monkeypatch.setattr(pydot.Dot, "write", absent)
    with pytest.raises(OSError, match="Graphviz"):
        utils.plot_model(pictured, tmp_path / "model.png")
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(ImportError, match=r"jkeras\[plot\]"):
        utils.plot_model(pictured)


def test_pictures_are_shown_in_notebooks(pictured, tmp_path, monkeypatch):
    pydot = pytest.importorskip("pydot")
    monkeypatch.setattr(pydot.Dot, "write", lambda self, path, **options: None)
    assert utils.plot_model(pictured, tmp_path / "model.svg") is None
    display = types.SimpleNamespace(SVG=lambda filename: ("SVG", filename), PNG=None, Image=None)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=object))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert utils.plot_model(pictured, tmp_path / "model.svg") == ("SVG", str(tmp_path / "model.svg"))


# --------------------------------------------------------------------------------------------- layers under test


@pytest.mark.parametrize(
    ("layer", "kwargs", "options"),
    [
        (Dense, {"units": 3}, {"input_shape": (None, 2)}),
        (Dropout, {"rate": 0.5}, {"input_data": np.ones((2, 3), "float32"), "expected_output": np.ones((2, 3))}),
        (Lambda, {"function": lambda x: x + 1}, {"input_shape": (3, 2), "fixed_batch_size": True}),
    ],
)
def test_layer_test_passes(layer, kwargs, options):
    assert test_utils.layer_test(layer, kwargs, **options).ndim == 2


class Wrong(Dense):
    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units + 1)


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (Wrong, {}, "compute_output_shape said"),
        (Dense, {"expected_output": np.full((2, 3), 7.0)}, "Not equal"),
        (Dense, {"expected_output_dtype": "int32"}, "dtype is float32"),
    ],
)
def test_layer_test_finds(layer, options, message):
    with pytest.raises(AssertionError, match=message):
        test_utils.layer_test(layer, {"units": 3}, input_shape=(2, 2), **options)


def test_data_to_train_on():
    (x, y), (x_test, y_test) = test_utils.get_test_data(6, 3, (2, 2), num_classes=3)
    assert (x.shape, y.shape, x_test.shape, y_test.shape) == ((6, 2, 2), (6,), (3, 2, 2), (3,))
    assert x.dtype == np.float32 and set(y) <= {0, 1, 2}
    (x, y), _ = test_utils.get_test_data(6, 3, (2,), (4,), classification=False)
    assert x.shape == (6, 2) and y.shape == (6, 4) and y.dtype == np.float32


def test_names_start_anew_after_a_test():
    @test_utils.keras_test
    def named():
        return Dense(2).name

    named()
    assert named() == "dense_1"


# --------------------------------------------------------------------------------------- helpers of training, Keras 1


def test_helpers_of_training():
    x, y = np.ones((4, 3)), np.ones((4,))
    (found,) = training_utils.standardize_input_data(y, ["y"], [(None, 1)])
    assert found.shape == (4, 1)
    assert training_utils.standardize_input_data({"b": x, "a": y}, ["a", "b"])[1].shape == (4, 3)
    with pytest.raises(ValueError, match="shape"):
        training_utils.standardize_input_data(x, ["x"], [(5, 3)])
    assert training_utils.standardize_input_data(x, ["x"], [(5, 3)], check_batch_axis=False)[0].shape == (4, 3)
    assert training_utils.standardize_sample_weights({"b": y}, ["a", "b"])[0] is None
    np.testing.assert_array_equal(training_utils.standardize_weights(np.eye(2), class_weight={0: 1, 1: 5}), [1, 5])
    assert training_utils.standardize_weights(np.ones((2, 3, 1)), sample_weight_mode="temporal").shape == (2, 3)
    training_utils.check_array_length_consistency([x], [y], [y])
    for wrong in (([x, y[:2]], None), ([x], [y], None), ([x], [y[:2]]), ([x], [None]), ([x], [y], [y[:2]])):
        with pytest.raises(ValueError, match="same number"):
            training_utils.check_array_length_consistency(*wrong)
    with pytest.raises(ValueError, match="to have the same shape"):
        training_utils.check_loss_and_target_compatibility([x], [categorical_crossentropy], [(None, 5)])
    assert training_utils.check_num_samples([x]) == 4 and training_utils.check_num_samples([x], steps=3) is None
    assert training_utils.make_batches(5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert sorted(training_utils.batch_shuffle(np.arange(7), 3)) == list(range(7))
    assert training_utils.batch_shuffle(np.arange(7), 3)[-1] == 6
    assert training_utils.collect_metrics({"a": "mae"}, ["a", "b"]) == [["mae"], []]
    batches = training_utils.iter_sequence_infinite([1, 2])
    assert [next(batches) for _ in range(3)] == [1, 2, 1]


def test_a_loss_with_weights_and_a_mask():
    function = training_utils.weighted_masked_objective(mean_absolute_error)
    y_true, y_pred, mask = np.zeros((2, 2, 3)), np.ones((2, 2, 3)), np.array([[1, 0], [1, 1]])
    assert float(function(y_true, y_pred, np.array([1.0, 0.0]), mask)) == pytest.approx(0.5 / 0.75 / 2 / 0.5)
    symbol = Input((3,))
    assert function(symbol, symbol, None).shape == ()


class Old:
    @interfaces.legacy_recurrent_support
    def __init__(self, units, **kwargs):
        self.given = {"units": units, **kwargs}

    @interfaces.legacy_get_updates_support
    def get_updates(self, loss, params):
        return loss, params

    @interfaces.legacy_add_weight_support
    def add_weight(self, name, shape, **kwargs):
        return name, shape

    @interfaces.legacy_generator_methods_support
    def fit_generator(self, generator, steps_per_epoch=None, epochs=1):
        return steps_per_epoch, epochs

    @interfaces.generate_legacy_method_interface(["x"], [("old", "new")], None, {"old": {1: 2}})
    def method(self, x, new=0):
        return x, new


def test_old_arguments_of_what_users_write():
    with pytest.warns(UserWarning, match=r"`Old\(units=3, implementation=2\)`"):
        old = Old(output_dim=3, consume_less="gpu")
    assert old.given == {"units": 3, "implementation": 2}
    for arguments, named in (
        (([1], {}, 5), {}),
        (([1], {}), {"loss": 5}),
        ((5, [1]), {}),
        ((), {"loss": 5, "params": [1]}),
    ):
        assert old.get_updates(*arguments, **named) == (5, [1])
    assert old.add_weight((2,), "w", trainable=True) == old.add_weight("w", (2,)) == ("w", (2,))
    generator = types.SimpleNamespace(batch_size=2)
    with pytest.warns(UserWarning, match="steps_per_epoch"):
        assert old.fit_generator(generator, samples_per_epoch=6, nb_epoch=3) == (3, 3)
    with pytest.warns(UserWarning, match=r"`method\(1, new=2\)`"):
        assert old.method(1, old=1) == (1, 2)
    with pytest.raises(TypeError, match="by position"):
        old.method(1, 2)
    with pytest.raises(TypeError, match="both"):
        old.method(1, old=1, new=2)
