"""What users pass to `compile`, `fit` and the rest by mistake: a named error before anything is compiled, or, where
Keras 2.2.4 takes it, what Keras does."""

import json

import h5py
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from jkeras import layers, optimizers
from jkeras import random as keys
from jkeras.models import Model, Sequential, model_from_json
from jkeras.utils import Sequence

X = np.random.RandomState(0).randn(16, 4).astype("float32")
Y = np.random.RandomState(1).randn(16, 3).astype("float32")
CLASSES = np.arange(16) % 3
RECORDS = np.zeros((16, 4), [("a", "f4"), ("b", "f4")])
RAGGED = np.empty((16, 4), object)
RAGGED[:] = [[np.zeros(length) for length in range(4)]] * 16


def model(loss="mse", **options):
    made = Sequential([layers.Dense(3, input_shape=(4,), activation="softmax", name="out")])
    made.compile("sgd", loss, **options)
    return made


def sparse():
    return model("sparse_categorical_crossentropy")


def endless(*batches):
    while True:
        yield from batches


def nested(depth, inner=1.0):
    for _ in range(depth):
        inner = [inner]
    return inner


class Nothing(Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return None


FILED = {}  # data sets, while the tests of this file run


@pytest.fixture(scope="module", autouse=True)
def filed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with h5py.File(folder / "closed.h5", "w") as file:
        FILED["closed"] = file.create_dataset("x", data=X)
    with h5py.File(folder / "open.h5", "w") as file:
        file["records"], file["classes"], file["one"] = RECORDS, CLASSES[:, None] + 1, 3.0
        FILED.update(file)
        yield
    FILED.clear()


@pytest.fixture
def compiled():
    """The programs that XLA compiles meanwhile."""
    found = []
    listener = lambda name, seconds, **_: found.append(name) if "backend_compile" in name else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    yield found
    jax.monitoring.unregister_event_duration_listener(listener)


def fit(x=X, y=Y, **options):
    return model().fit(x, y, verbose=0, **options)


def stream(*batches, **options):
    return model().fit_generator(endless(*batches), 2, verbose=0, **options)


def of_config(place, number):
    """A model from a config in which one number of a call is another one."""
    x = layers.Input((3,), name="in")
    config = json.loads(Model(x, layers.Dense(2)(x)).to_json())
    config["config"]["layers"][1]["inbound_nodes"][0][0][place] = number
    return model_from_json(json.dumps(config))


LABELS = "out has labels from {} to {}; the output has 3 classes, .* from 0 to 2 .loss: `sparse_categorical_crossen"
COUNT = "must be a whole number"
# What is done, and what the error says.
BAD = {
    "predict nothing": (lambda: model().predict(X[:0]), "There are no examples"),
    "one batch of nothing": (lambda: model().train_on_batch(X[:0], Y[:0]), "There are no examples"),
    "validate on nothing": (lambda: fit(validation_data=(X[:0], Y[:0])), "There are no examples"),
    "no targets": (lambda: fit(y=None), r"no data for the targets \['out'\]"),
    "no validation targets": (lambda: fit(validation_data=(X, None)), r"no data for the targets \['out'\]"),
    "no targets in a batch": (lambda: model().test_on_batch(X, None), r"no data for the targets \['out'\]"),
    "labels beyond": (lambda: sparse().fit(X, CLASSES + 1), LABELS.format(1, 3)),
    "labels below": (lambda: sparse().fit(X, CLASSES - 1), LABELS.format(-1, 1)),
    "labels of floats": (lambda: sparse().fit(X, (CLASSES + 1.0)[:, None]), LABELS.format(1, 3)),
    "labels of NaN": (lambda: sparse().fit(X, np.where(CLASSES, CLASSES, np.nan)), LABELS.format("nan", "nan")),
    "labels to validate on": (lambda: sparse().fit(X, CLASSES, validation_data=(X, CLASSES + 1)), LABELS.format(1, 3)),
    "labels to evaluate": (lambda: sparse().evaluate(X, CLASSES + 1), LABELS.format(1, 3)),
    "labels of a generator": (
        lambda: sparse().fit_generator(endless((X, CLASSES + 1)), 2),
        f"{LABELS.format(1, 3)}.*(\n.*)*fit_generator: this is batch number 1",
    ),
    "labels in a file": (lambda: sparse().evaluate(X, FILED["classes"], verbose=0), LABELS.format(1, 3)),
    "empty batches": (lambda: stream((X[:0], Y[:0])), "There are no examples.*(\n.*)*batch number 1"),
    "empty lists": (lambda: stream(([], [])), "list of 0 arrays"),
    "empty batches to predict": (lambda: model().predict_generator(endless(X[:0]), 1), "There are no examples"),
    "batches of None": (lambda: stream(None, workers=2), "a tuple .*Found: NoneType None"),
    "a Sequence of None": (lambda: model().fit_generator(Nothing(), workers=2), "a tuple .*Found: NoneType None"),
    "None to predict": (lambda: model().predict_generator(Nothing(), workers=2), r"no data for the inputs \['out_inp"),
    **{
        f"batch_size {size!r}, {name}": (lambda do=do, size=size: do(size), f"batch_size {COUNT} of at least 1")
        for size in (2.5, 32.0, "32", -1, float("nan"), [8])
        for name, do in {
            "fit": lambda size: fit(batch_size=size),
            "predict": lambda size: model().predict(X, size),
            "evaluate": lambda size: model().evaluate(X, Y, size),
        }.items()
    },
    "epochs": (lambda: fit(epochs="2"), f"fit: epochs {COUNT}. Found: '2'"),
    "epochs of a generator": (lambda: stream((X, Y), epochs="2"), f"fit_generator: epochs {COUNT}"),
    "initial_epoch": (lambda: fit(initial_epoch=None), f"fit: initial_epoch {COUNT}"),
    "steps": (lambda: model().fit_generator(endless((X, Y)), "2"), f"steps_per_epoch {COUNT}"),
    "steps without end": (lambda: model().predict_generator(endless(X), float("inf")), f"steps {COUNT}"),
    "validation_steps": (
        lambda: stream((X, Y), validation_data=endless((X, Y)), validation_steps="1"),
        f"validation_steps {COUNT}",
    ),
    "steps of arrays": (lambda: model().predict(X, steps=1.5), f"steps {COUNT}"),
    "workers": (lambda: stream((X, Y), workers="2"), f"workers {COUNT}"),
    "max_queue_size": (lambda: stream((X, Y), max_queue_size="2"), f"max_queue_size {COUNT}"),
    "callbacks": (lambda: fit(callbacks=5), "`callbacks` must be a list of callbacks"),
    "callbacks of a generator": (lambda: stream((X, Y), callbacks="a"), "`callbacks` must be a list of callbacks"),
    "callbacks that are none": (lambda: fit(callbacks=[None]), "`callbacks` must be a list of callbacks"),
    "key": (lambda: fit(key=2**70), "takes one of 64 bits; one of 71 was given"),
    "seed": (lambda: keys.seed(-(2**70)), "takes one of 64 bits"),
    "shuffle": (lambda: fit(shuffle=np.arange(2)), "shuffle must be True, False or 'batch'"),
    "validation_split": (lambda: fit(validation_split="a"), "validation_split must be a number between 0 and 1"),
    "a closed file": (lambda: fit(FILED["closed"]), "input out_input: a data set of an HDF5 file that was closed"),
    "targets in a closed file": (lambda: fit(y=FILED["closed"]), "target out: a data set of an HDF5 file"),
    "weights in a closed file": (lambda: fit(sample_weight=FILED["closed"]), "`sample_weight`: a data set of"),
    "a number in a file": (lambda: fit(FILED["one"]), "a scalar"),
    "ragged arrays": (lambda: fit(RAGGED), "out_input holds values of dtype object; expected numbers"),
    "ragged lists": (lambda: fit([[[1, 2], [3]]]), "makes no array, its rows differ in length"),
    "records": (lambda: fit(RECORDS), "out_input holds values of dtype .*; expected numbers"),
    "records in a file": (lambda: fit(FILED["records"]), "out_input holds values of dtype .*; expected numbers"),
    "records as weights": (lambda: fit(sample_weight=RECORDS[:, 0]), "sample_weight of out holds values of dtype"),
    "dates": (lambda: fit(np.zeros((16, 4), "M8[s]")), "out_input holds values of dtype datetime64"),
    "x 300 deep": (lambda: fit(nested(300)), "the nested list makes no array.*64 deep"),
    "y 300 deep": (lambda: fit(y=nested(300, Y)), "the nested list makes no array.*64 deep"),
    "a batch 300 deep": (lambda: stream((nested(300), Y)), "the nested list makes no array.*64 deep"),
    "weights 300 deep": (lambda: fit(sample_weight=nested(300)), "the nested list makes no array.*64 deep"),
    "a generator": (lambda: fit(endless((X, Y))), "data should be a Numpy array.*generator"),
    "a file's name": (lambda: fit("x.csv"), "data should be a Numpy array.*str"),
    "clipnorm": (lambda: optimizers.SGD(clipnorm="a"), "SGD: clipnorm must be a number. Found: 'a'"),
    "clipvalue": (lambda: optimizers.Adam(clipvalue=[1.0]), "Adam: clipvalue must be a number"),
    "epsilon": (lambda: optimizers.Adam(epsilon="a"), "Adam: epsilon must be a number"),
    "sample_weight_mode": (lambda: model(sample_weight_mode="evil"), "must be None or 'temporal'. Found: 'evil'"),
    "sample_weight_modes": (lambda: model(sample_weight_mode=[nested(300)]), r"must be None .*Found: \[\[\["),
    "loss_weights": (lambda: model(loss_weights=["a"]), "Each of the loss_weights must be a number. Found: 'a'"),
    "a name that is none": (lambda: layers.Dense(3, name=5), "The name of a Dense must be text. Found: 5"),
    "call -1": (lambda: of_config(1, -1), "there is no call -1, output 0 of the layer 'in'"),
    "output -1": (lambda: of_config(2, -1), "there is no call 0, output -1 of the layer 'in'"),
    "output 7": (lambda: of_config(2, 7), "there is no call 0, output 7 of the layer 'in'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_named_before_anything_is_compiled(name, compiled):
    act, message = BAD[name]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        act()
    assert len(str(caught.value)) < 600 and not compiled


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b"])
def test_names_that_no_file_can_hold(name, tmp_path):
    named = Sequential([layers.Dense(3, input_shape=(4,), name=name)])
    for save in (named.save, named.save_weights):
        with pytest.raises(ValueError, match="cannot be that of a group in an HDF5 file"):
            save(str(tmp_path / "model.h5"))
    assert not list(tmp_path.iterdir())


# As Keras 2.2.4 does: what is done, and what comes out of it.
TAKEN = {
    "a batch_size beyond the data": (lambda: model().predict(X, 10**20).shape, (16, 3)),
    "batches beyond the data, shuffled": (lambda: len(fit(batch_size=10**20, shuffle="batch").epoch), 1),
    "a batch_size of numpy's": (lambda: model().predict(X, np.int64(5)).shape, (16, 3)),
    "no epochs": (lambda: fit(epochs=-1).history, {}),
    "fractions of steps": (lambda: model().predict_generator(endless(X), 2.5).shape, (48, 3)),
    "fractions of epochs": (lambda: len(stream((X, Y), epochs=1.5).epoch), 2),
    "no workers": (lambda: len(stream((X, Y), workers=-1).epoch), 1),
    "no shuffling": (lambda: len(fit(shuffle=None).epoch), 1),
    "fractions of labels": (lambda: np.isfinite(sparse().test_on_batch(X, CLASSES / 2)), True),
    "a mask that hides nothing": (lambda: len(fit(np.ma.masked_array(X)).epoch), 1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_keras_takes_is_taken(name):
    act, expected = TAKEN[name]
    assert act() == expected


def test_masks_are_ignored_with_a_warning():
    masked = np.ma.masked_array(X, mask=X > 1)
    with pytest.warns(UserWarning, match=f"out_input has {(X > 1).sum()} masked values; the mask is ignored, as in K"):
        assert model().predict(masked).shape == (16, 3)


def test_labels_on_a_device_are_named_by_the_post_mortem(tmp_path):
    from jkeras.callbacks import NaNPostMortem

    with pytest.raises(
        FloatingPointError, match="target 'out' of the batch has labels from 0 to 3; the output has 3 cl"
    ):
        sparse().fit(X, jnp.arange(16) % 4, verbose=0, callbacks=[NaNPostMortem(tmp_path)])
