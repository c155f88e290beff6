"""Configs and files: what goes out comes back, files are whole or not there, reading runs no code."""

import copy
import json
import os
import pickle
import resource
import warnings

import h5py
import numpy as np
import pytest
from kit import close

from jkeras import backend as K
from jkeras import layers, models, optimizers
from jkeras.engine import saving
from jkeras.layers import core
from jkeras.serialize import bounded, checkpoint, code, files, hdf5
from jkeras.serialize.trust import LoadError

X = np.random.RandomState(0).uniform(-1, 1, (6, 4)).astype("float32")
Y = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2]]


def stack():
    return models.Sequential(
        [layers.Dense(5, activation="tanh", kernel_regularizer="l2", input_shape=(4,)), layers.Dense(3, name="last")]
    )


def deferred():
    model = models.Sequential([layers.Dense(3)])
    model.build((None, 4))
    return model


def branches():
    x = layers.Input((4,), name="x")
    shared = layers.Dense(4, activation="relu")
    twice = shared(shared(x))
    return models.Model(x, layers.Dense(3)(layers.concatenate([twice, x])))


def nested():
    inner = models.Sequential([layers.Dense(4, input_shape=(4,)), layers.BatchNormalization()], name="inner")
    x = layers.Input((4,))
    return models.Model(x, layers.Dense(3)(layers.add([inner(x), inner(inner(x))])))


def partly():
    """Built from the middle of a larger graph: calls are numbered anew."""
    x = layers.Input((4,))
    shared = layers.Dense(4)
    shared(shared(x))
    return models.Model(x, layers.Dense(3)(shared(x)))


MODELS = [stack, deferred, branches, nested, partly]


def text_round_trip(write, read):
    return lambda model, path: read(write(model))


def file_round_trip(model, path):
    model.save(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No training configuration")
        return models.load_model(path)


ROUND_TRIPS = {
    "config": lambda model, path: type(model).from_config(model.get_config()),
    "json": text_round_trip(lambda model: model.to_json(indent=1), models.model_from_json),
    "yaml": text_round_trip(lambda model: model.to_yaml(), models.model_from_yaml),
    "hdf5": file_round_trip,
    "pickle": text_round_trip(saving.pickle_model, saving.unpickle_model),
}


@pytest.mark.parametrize("how", ROUND_TRIPS)
@pytest.mark.parametrize("build", MODELS)
def test_round_trip(build, how, tmp_path):
    model = build()
    again = ROUND_TRIPS[how](model, tmp_path / "model.h5")
    assert json.loads(again.to_json()) == json.loads(model.to_json())
    if how in ("hdf5", "pickle"):
        for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected)
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-6)


def test_calls_are_numbered_within_the_model():
    config = partly().get_config()
    assert [len(layer["inbound_nodes"]) for layer in config["layers"]] == [0, 1, 1]
    assert config["layers"][2]["inbound_nodes"][0][0][1] == 0


def test_older_list_of_layers():
    model = stack()
    assert models.Sequential.from_config(model.get_config()["layers"]).output_shape == (None, 3)
    with pytest.raises(TypeError, match="not a list"):
        models.model_from_config(model.get_config()["layers"])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda config: config["layers"][1].update(class_name="Nonsense"), "Unknown layer: Nonsense"),
        (lambda config: config["layers"][1]["inbound_nodes"][0][0].__setitem__(0, "gone"), "gone"),
        (lambda config: config["layers"][1]["inbound_nodes"][0][0].__setitem__(1, 7), "never come to exist"),
        (lambda config: config["layers"][1]["inbound_nodes"][0][0].append(1), "Improperly formatted"),
    ],
)
def test_configs_that_make_no_graph(change, message):
    config = branches().get_config()
    change(config)
    with pytest.raises(ValueError, match=message):
        models.Model.from_config(config)


def test_a_stack_on_a_stack_on_an_input_states_its_shape():
    inner = models.Sequential([layers.InputLayer((4,)), layers.Dense(3)])
    config = models.Sequential([inner, layers.Dense(2)]).get_config()
    assert config["build_input_shape"] == config["layers"][0]["config"]["build_input_shape"] == (None, 4)
    assert models.Sequential.from_config(config).output_shape == (None, 2)


def test_the_shape_that_keras_writes_for_embeddings_of_several_sizes():
    config = layers.Embedding(5, 2, input_length=(3, 4)).get_config() | {"batch_input_shape": [None, [3, 4]]}
    assert models.Sequential([layers.Embedding.from_config(config)]).output_shape == (None, 3, 4, 2)


def test_the_graph_of_a_stack_is_made_once(monkeypatch):
    made = []
    connect = models.Sequential.make_graph
    monkeypatch.setattr(models.Sequential, "make_graph", lambda *given, **how: made.append(connect(*given, **how)))
    model = models.Sequential([layers.Dense(2, input_shape=(2,)), *(layers.Dense(2) for _ in range(5))])
    again = models.Sequential.from_config(model.get_config())
    assert len(made) == 2 and len(model.layers) == len(again.layers) == 6
    again.add_all([])
    again.add_all([layers.Dense(3), layers.Dense(1)])
    assert len(made) == 3 and again.output_shape == (None, 1)
    with pytest.raises(TypeError, match="must be an instance of class Layer"):
        again.add_all([layers.Dense(4), "dense"])
    assert again.output_shape == (None, 4)


def test_what_a_dict_gives_under_a_layer_is_for_all_its_outputs():
    x = layers.Input((2, 2))
    model = models.Model(x, layers.GRU(2, return_state=True, name="gru")(x))
    model.compile("sgd", {"gru": "mse"}, loss_weights={"gru": 0.5}, metrics={"gru": "mae"})
    losses = model.evaluate(np.zeros((1, 2, 2)), [np.ones((1, 2))] * 2, verbose=0)
    close(losses, [1, 1, 1, 1, 1])


# ------------------------------------------------------------------------------------------------------------- copies


class Halves(models.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs) / 2.0


def of_own_parts():
    """What no file could hold: a variable among the arguments, functions and classes without names, an added loss."""

    class Plus(layers.Layer):
        def call(self, inputs):
            return inputs + 1.0

    x, factor = layers.Input((4,)), K.variable(3.0)
    y = Plus()(layers.Lambda(lambda t, factor: t * factor, arguments={"factor": factor})(x))
    model = models.Model(x, layers.Dense(3, activation=lambda t: t)(y))
    model.add_loss(K.mean(K.square(y)))
    model.parts, model.factor = [model.layers[-1], y], factor
    return model


@pytest.mark.parametrize("build", [*MODELS, of_own_parts, Halves])
def test_deep_copies_train_alike_and_apart(build):
    model = build()
    model.compile(optimizers.Adam(0.1), lambda y_true, y_pred: K.mean(K.square(y_true - y_pred)))
    model.train_on_batch(X, Y)
    twin = copy.deepcopy(model)
    assert type(twin) is type(model) and not set(twin.layers) & set(model.layers)
    close(twin.optimizer.get_weights(), model.optimizer.get_weights(), 0)
    expected = [model.train_on_batch(X, Y) for _ in range(2)]
    close([twin.train_on_batch(X, Y) for _ in range(2)], expected)
    close(twin.predict(X), model.predict(X))
    if build is of_own_parts:
        assert twin.parts[0] is twin.layers[-1] and twin.layers[1].arguments["factor"] is model.factor
        again = models.Model.from_config(model.get_config(), {"Plus": type(model.layers[2]), "<lambda>": lambda t: t})
        assert again.layers[1].arguments["factor"] is model.factor


def test_layers_of_a_deep_graph_are_copied_and_pickled_alone():
    x = y = layers.Input((2,))
    for _ in range(60):
        y = layers.Dense(2)(y)
    model = models.Model(x, y)
    for again in copy.deepcopy(model.layers[30]), pickle.loads(pickle.dumps(model.layers[30])):
        close(again.get_weights(), model.layers[30].get_weights(), 0)
        assert again._inbound_nodes == []


# -------------------------------------------------------------------------------------------------------- the layout


def test_layout_of_a_file(tmp_path):
    K.clear_session()
    model = stack()
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert set(file.attrs) == {"backend", "keras_version", "model_config", "training_config"}
        weights = file["model_weights"]
        assert bounded.Group(weights).names("layer_names") == ["dense_1", "last"]
        assert bounded.Group(weights)["last"].names("weight_names") == ["last/kernel:0", "last/bias:0"]
        assert weights["dense_1/dense_1/kernel:0"].shape == (4, 5)
        training = json.loads(file.attrs["training_config"])
    assert training["loss"] == "mse" and training["metrics"] == ["accuracy"]
    assert training["optimizer_config"]["class_name"] == "SGD"


@pytest.mark.parametrize("count", [0, 3, 5000])
def test_lists_of_names_of_any_length(tmp_path, count):
    names = [f"a_layer_with_a_long_name_{number}" for number in range(count)]
    with h5py.File(tmp_path / "names.h5", "w") as file:
        hdf5.write_names(file, "names", names)
    with h5py.File(tmp_path / "names.h5") as file:
        assert bounded.Group(file).names("names") == names


def test_a_name_that_is_too_long(tmp_path):
    with h5py.File(tmp_path / "names.h5", "w") as file, pytest.raises(RuntimeError, match="bytes"):
        hdf5.write_names(file, "names", ["x" * 70000])


def test_equal_names_are_numbered(tmp_path):
    arrays = [np.full(2, float(number)) for number in range(3)]
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        hdf5.write_arrays(file, [("a/kernel:0", array) for array in arrays])
        assert bounded.Group(file).names("weight_names") == ["a/kernel:0", "a/kernel_1:0", "a/kernel_2:0"]
        np.testing.assert_array_equal([stored.read() for stored in bounded.Group(file).arrays()], arrays)


def test_groups_of_an_open_file(tmp_path):
    model = stack()
    with h5py.File(tmp_path / "several.h5", "w") as file:
        models.save_model(model, file.create_group("model"), include_optimizer=False)
        model.save_weights(file.create_group("weights"))
        again = models.load_model(file["model"], compile=False)
        again.load_weights(file["weights"])
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-6)


# ----------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "nadam"])
def test_training_goes_on_after_loading(tmp_path, optimizer):
    model = stack()
    model.compile(optimizer, "mse", metrics=["mae"], loss_weights=[0.5])
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.h5")
    again = models.load_model(tmp_path / "model.h5")
    assert again.metrics_names == model.metrics_names
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for got, expected in zip(again.optimizer.get_weights(), model.optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    if optimizer != "nadam":  # whose schedule, as in Keras, is not in the file
        np.testing.assert_allclose(again.train_on_batch(X, Y), model.train_on_batch(X, Y), rtol=1e-6)
        np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-5)


def test_custom_objects_of_all_kinds(tmp_path):
    def twice(x):
        return 2 * x

    def off(y_true, y_pred):
        return K.mean(K.abs(y_true - y_pred))

    class Plus(layers.Layer):
        def call(self, inputs):
            return inputs + 1.0

    class Slow(optimizers.SGD):
        pass

    objects = {"twice": twice, "off": off, "Plus": Plus, "Slow": Slow}
    model = models.Sequential([layers.Dense(3, activation=twice, input_shape=(4,)), Plus()])
    model.compile(Slow(lr=0.1), off, metrics=[off])
    model.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="Unknown"):
        models.load_model(tmp_path / "model.h5")
    again = models.load_model(tmp_path / "model.h5", custom_objects=objects)
    assert type(again.optimizer).__name__ == "Slow"
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-6)


def test_without_compile_arguments(tmp_path):
    stack().save(tmp_path / "model.h5")
    with pytest.warns(UserWarning, match="No training configuration"):
        assert models.load_model(tmp_path / "model.h5").optimizer is None
    assert models.load_model(tmp_path / "model.h5", compile=False).optimizer is None


def test_optimizer_state_that_does_not_fit_is_left_out(tmp_path):
    model = stack()
    model.compile("adam", "mse")
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "a") as file:
        names = bounded.Group(file)["optimizer_weights"].names("weight_names")
        hdf5.write_names(file["optimizer_weights"], "weight_names", names[:-1])
    with pytest.warns(UserWarning, match="freshly initialized"):
        again = models.load_model(tmp_path / "model.h5")
    assert int(again.optimizer.iterations) == 0


# ------------------------------------------------------------------------------------------------------------ weights


def other(name="last", units=3):
    return models.Sequential([layers.Dense(5, input_shape=(4,), name="first"), layers.Dense(units, name=name)])


def test_by_order_and_by_name(tmp_path):
    source, by_order, by_name = stack(), other(name="end"), other()
    source.save_weights(tmp_path / "weights.h5")
    before = by_name.get_weights()
    by_order.load_weights(tmp_path / "weights.h5")
    by_name.load_weights(tmp_path / "weights.h5", by_name=True)
    for place, (a, b, c) in enumerate(
        zip(source.get_weights(), by_order.get_weights(), by_name.get_weights(), strict=True)
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, a if place >= 2 else before[place])


@pytest.mark.parametrize(
    "build, by_name, message",
    [
        (lambda: other(units=2), False, "last/kernel:0 has shape .5, 2., but the saved weight has shape .5, 3."),
        (lambda: other(units=2), True, "last/kernel:0 has shape"),
        (deferred, False, "containing 2 layers into a model with 1 layers"),
        (
            lambda: models.Sequential(
                [layers.Dense(5, input_shape=(4,), name="a"), layers.Dense(3, use_bias=False, name="last")]
            ),
            True,
            "expects 1 weight.s., but the saved weights have 2",
        ),
    ],
)
def test_weights_that_do_not_fit_change_nothing(tmp_path, build, by_name, message):
    stack().save_weights(tmp_path / "weights.h5")
    model = build()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.load_weights(tmp_path / "weights.h5", by_name=by_name)
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_kernels_of_images_that_do_not_fit_are_told_as_they_are(tmp_path):
    build = lambda filters: models.Sequential([layers.Conv2D(filters, 2, input_shape=(4, 4, 3))])  # noqa: E731
    build(5).save_weights(tmp_path / "weights.h5")
    with pytest.raises(ValueError, match=r"has shape \(2, 2, 3, 6\), but the saved weight has shape \(2, 2, 3, 5\)"):
        build(6).load_weights(tmp_path / "weights.h5")


def test_skip_mismatch_and_reshape(tmp_path):
    stack().save_weights(tmp_path / "weights.h5")
    model = other(units=2)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="Skipping loading of weights for layer last"):
        model.load_weights(tmp_path / "weights.h5", by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[2], before[2])
    flat = models.Sequential([layers.Dense(4, use_bias=False, input_shape=(5,))])
    flat.save_weights(tmp_path / "flat.h5")
    turned = models.Sequential([layers.Dense(10, use_bias=False, input_shape=(2,))])
    turned.load_weights(tmp_path / "flat.h5", reshape=True)
    np.testing.assert_array_equal(turned.get_weights()[0].ravel(), flat.get_weights()[0].ravel())


# ------------------------------------------------------------------------------------------------------------- safety


def failing(model, monkeypatch, path):
    """Save `model` to `path`, and fail in the middle."""

    def fail(*arguments):
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(hdf5, "write_arrays", fail)
        with pytest.raises(OSError, match="disk is full"):
            model.save(path)


def test_a_save_is_complete_or_did_not_happen(tmp_path, monkeypatch):
    path = tmp_path / "model.h5"
    failing(stack(), monkeypatch, path)
    assert list(tmp_path.iterdir()) == []
    model = stack()
    model.save_weights(path)
    before = path.read_bytes()
    failing(stack(), monkeypatch, path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


@pytest.mark.parametrize("write", [models.Sequential.save, models.Sequential.save_weights])
def test_saves_clean_up_after_killed_ones_but_not_after_others(tmp_path, write):
    path, model = tmp_path / "model.h5", stack()
    with files.whole_file(path) as aside:  # another writer, who is at it
        others = os.path.basename(aside)
        abandoned = tmp_path / f"{others[:18]}.0123abcd.part"
        abandoned.write_text("left by a process that was killed")
        unrelated = tmp_path / ".0123456789abcdef.0123abcd.part"
        unrelated.write_text("of another file")
        write(model, path)
        assert {entry.name for entry in tmp_path.iterdir()} == {"model.h5", others, unrelated.name}
        with open(aside, "w") as file:
            file.write("the other writer ends later")
    assert path.read_text() == "the other writer ends later"
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.h5", unrelated.name}


def test_who_may_read_a_file_stays_from_the_first_byte_on(tmp_path):
    path, modes = tmp_path / "model.h5", []
    for mode in (0o600, 0o640, 0o444):
        path.touch()
        path.chmod(mode)
        with files.whole_file(path) as aside:
            modes.append(os.stat(aside).st_mode & 0o077 & ~mode)
        assert path.stat().st_mode & 0o777 == mode
    assert modes == [0, 0, 0]
    before = os.umask(0o027)
    try:
        stack().save(tmp_path / "new.h5")
    finally:
        os.umask(before)
    assert (tmp_path / "new.h5").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 120, "a b\n.h5"])
def test_any_name_that_the_system_takes(tmp_path, name):
    stack().save(tmp_path / name)
    assert models.load_model(tmp_path / name, compile=False).output_shape == (None, 3)


def test_errors_of_the_system_name_the_file_and_leave_it(tmp_path):
    path, model = tmp_path / "model.h5", stack()
    model.save(path)
    before, still_open = path.read_bytes(), h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))  # a disk that is full after so many bytes
    try:
        for write in (model.save, model.save_weights, lambda path: checkpoint.write(path, {"x": np.zeros(9999)})):
            with pytest.raises(OSError, match=str(path)):
                write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    # With a file that HDF5 could not close, the process would crash when it writes another one.
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == still_open
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", tmp_path, "/dev/null"):
        with pytest.raises(OSError, match="no file"):
            model.save(target)
    with pytest.raises(FileNotFoundError, match="there/model.h5"):
        model.save(tmp_path / "not" / "there" / "model.h5")


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(tmp_path, monkeypatch):
    path, model = tmp_path / "model.h5", stack()
    path.write_text("precious")
    for save in (model.save, model.save_weights):
        with pytest.raises(FileExistsError, match="overwrite=False"):
            save(path, overwrite=False)
    assert path.read_text() == "precious"
    for answer, kept in ((False, True), (True, False)):
        monkeypatch.setattr(saving, "ask_to_proceed_with_overwrite", lambda filepath, answer=answer: answer)
        model.save(path, overwrite=False)
        assert (path.read_bytes() == b"precious") == kept


def with_code():
    return models.Sequential([layers.Lambda(lambda x: x * 2.0, input_shape=(4,), name="code")])


def readers_of(model, path):
    """What reads `model` from a file, from JSON and from YAML."""
    model.save(path)
    json_text, yaml_text = model.to_json(), model.to_yaml()
    return {
        "file": lambda **options: models.load_model(path, compile=False, **options),
        "json": lambda **options: models.model_from_json(json_text, **options),
        "yaml": lambda **options: models.model_from_yaml(yaml_text, **options),
    }


def test_code_from_elsewhere_is_not_run(tmp_path, monkeypatch):
    readers = readers_of(with_code(), tmp_path / "model.h5")
    monkeypatch.setattr(code, "_functions", {})  # as in another process
    for read in readers.values():
        with pytest.raises(ValueError, match="allow_code"):
            read()
        np.testing.assert_allclose(read(allow_code=True).predict(X), 2 * X)
        given = read(custom_objects={"code": lambda x: x * 3.0})
        np.testing.assert_allclose(given.predict(X), 3 * X)
        with pytest.raises(ValueError, match="allow_code"):
            read()


def negative(x):
    return -x


def scaling(factor, of=negative):
    return layers.Lambda(lambda x: of(x) * factor, input_shape=(4,))


def test_functions_of_this_process_are_known_again(tmp_path, monkeypatch):
    monkeypatch.setattr(core, "func_load", None)  # code is never run
    for factor in (2.0, np.arange(4.0, dtype="float32")):
        model = models.Sequential([scaling(factor)])
        config, readers = model.get_config(), readers_of(model, tmp_path / "model.h5")
        assert models.clone_model(model).layers[0].function is model.layers[0].function
        del model
        again = [models.Sequential.from_config(config), *(read() for read in readers.values())]
        for model in again:
            np.testing.assert_allclose(model.predict(X), -factor * X)


def test_functions_whose_texts_are_alike_are_told_apart_or_refused():
    first, second = models.Sequential([scaling(2.0, lambda x: x)]), models.Sequential([scaling(2.0, lambda x: -x)])
    texts = first.to_json(), second.to_json()  # of what is called there, only the name `<lambda>` is left
    for model in (first, second):
        assert models.clone_model(model).layers[0].function is model.layers[0].function
    for text in texts:
        with pytest.raises(ValueError, match="allow_code"):
            models.model_from_json(text)


def test_custom_objects_stand_for_what_a_known_function_sees(monkeypatch):
    monkeypatch.setitem(globals(), "factor_seen", 2.0)
    model = models.Sequential([layers.Lambda(lambda x: x * factor_seen, input_shape=(4,))])  # noqa: F821
    for given, factor in ({}, 2.0), ({"factor_seen": 3.0}, 3.0):
        read = models.model_from_json(model.to_json(), custom_objects=given)
        np.testing.assert_allclose(read.predict(X), factor * X)


def test_yaml_makes_no_objects():
    with pytest.raises(LoadError, match="YAML: could not determine a constructor"):
        models.model_from_yaml("!!python/object/apply:os.getcwd []")
    text = stack().to_yaml().replace("batch_input_shape:", "batch_input_shape: !!python/tuple")
    assert models.model_from_yaml(text).input_shape == (None, 4)


def test_a_file_without_a_model(tmp_path):
    stack().save_weights(tmp_path / "weights.h5")
    with pytest.raises(ValueError, match="No model found"):
        models.load_model(tmp_path / "weights.h5")


# ------------------------------------------------------------------------------------------------------------ summary


@pytest.mark.parametrize(
    "build, expected",
    [
        (stack, ["dense_1 (Dense)              (None, 5)                 25        "]),
        (
            branches,
            [
                "dense_1 (Dense)                 (None, 4)            20          x[0][0]                          ",
                "                                                                 dense_1[0][0]                    ",
            ],
        ),
    ],
)
def test_summary(build, expected):
    K.clear_session()
    lines = []
    build().summary(print_fn=lines.append)
    for line in expected:
        assert line in lines
    assert len({len(line) for line in lines if line.startswith(("_", "="))}) == 1


def test_summary_counts_what_was_frozen():
    model = stack()
    model.layers[0].trainable = False
    lines = []
    model.summary(print_fn=lines.append, line_length=80)
    assert lines[-4:] == ["Total params: 43", "Trainable params: 18", "Non-trainable params: 25", "_" * 80]
