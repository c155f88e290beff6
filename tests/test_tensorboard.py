"""What the TensorBoard callback writes, read back from its files. The numbers are those that Keras 2.2.4 writes."""

import os
import struct
import sys
import zlib

import numpy as np
import pytest

from jkeras import callbacks, config
from jkeras.layers import Activation, Add, BatchNormalization, Conv2D, Dense, Embedding, Flatten, Input
from jkeras.models import Model, Sequential

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import Event, SessionLog  # noqa: E402
from tensorboardX.proto.graph_pb2 import GraphDef  # noqa: E402

X = np.arange(10.0).reshape(5, 2) / 10
Y = np.ones((5, 1))


def read(folder) -> list:
    """All events of the files in a folder; the format is length, checksum, data, checksum."""
    found = []
    for name in sorted(os.listdir(folder)):
        if "tfevents" in name:
            data = (folder / name).read_bytes()
            while data:
                (length,) = struct.unpack_from("<Q", data)
                found.append(Event.FromString(data[12 : 12 + length]))
                data = data[16 + length :]
    return found


def values(folder, kind) -> list:
    """(tag, step, value) of all summaries of a kind."""
    return [
        (value.tag, event.step, getattr(value, kind))
        for event in read(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == kind
    ]


def scalars(folder) -> list:
    return [(tag, step, pytest.approx(number, abs=2e-5)) for tag, step, number in values(folder, "simple_value")]


def small_model():
    model = Sequential(
        [
            Dense(3, input_shape=(2,), name="a", kernel_initializer="ones"),
            Activation("relu", name="act"),
            Dense(1, name="b", kernel_initializer="ones"),
        ]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def train(folder, epochs=1, model=None, data=(X, Y), callback=callbacks.TensorBoard, **options):
    board = callback(folder, **options)
    held_out = tuple(part[:3] for part in data)
    (model or small_model()).fit(
        *data,
        batch_size=2,
        epochs=epochs,
        verbose=0,
        shuffle=False,
        validation_data=held_out,
        callbacks=[board],
    )
    return board


# --------------------------------------------------------------------------------------------------------- the logs

FIRST = [("val_loss", 0.58247), ("val_mean_absolute_error", 0.6763)]
FIRST += [("loss", 4.88305), ("mean_absolute_error", 1.86356)]
SECOND = [("val_loss", 0.57784), ("val_mean_absolute_error", 0.65039)]
SECOND += [("loss", 1.93455), ("mean_absolute_error", 1.19238)]


def at(step, pairs):
    return [(name, step, value) for name, value in pairs]


def batch(step, loss, error):
    return at(step, [("loss", loss), ("mean_absolute_error", error)])


@pytest.mark.parametrize(
    ("update_freq", "expected"),
    [
        ("epoch", at(0, FIRST) + at(1, SECOND)),
        ("batch", batch(2, 0.37, 0.6) + batch(4, 5.64399, 2.29911) + batch(5, 12.38725, 3.51955) + at(5, FIRST)),
        (
            3,
            batch(4, 5.64399, 2.29911) + at(5, FIRST) + batch(7, 0.65171, 0.68129) + batch(10, 5.32253, 2.30706)
            + at(10, SECOND),
        ),
    ],
)  # fmt: skip
def test_logs(update_freq, expected, tmp_path):
    train(tmp_path, 1 if update_freq == "batch" else 2, update_freq=update_freq, write_graph=False)
    found = scalars(tmp_path)
    assert found == expected
    assert read(tmp_path)[0].file_version == "brain.Event:2"


class Mine(callbacks.TensorBoard):
    def on_batch_end(self, batch, logs=None):
        super().on_batch_end(batch, logs)


@pytest.mark.parametrize(
    ("callback", "update_freq", "needs"),
    [
        (callbacks.TensorBoard, "epoch", False),
        (callbacks.TensorBoard, "batch", True),
        (callbacks.TensorBoard, 100, True),
        (Mine, "epoch", True),
    ],
)
def test_batches_are_watched_only_where_they_are_written(callback, update_freq, needs, tmp_path):
    assert callbacks.CallbackList([callback(tmp_path, update_freq=update_freq)]).needs_batches is needs


def test_a_subclass_may_watch_batches_too(tmp_path):
    train(tmp_path, callback=Mine, update_freq=4, write_graph=False)
    assert [step for tag, step, _ in values(tmp_path, "simple_value") if tag == "loss"] == [4, 5]


def test_what_is_no_number_is_left_out(tmp_path):
    board = callbacks.TensorBoard(tmp_path, write_graph=False)
    board.on_train_begin()
    logs = {"a b:0": np.float32(1), "one": np.array([2.0]), "list": [1, 2], "text": "x", "size": 3, "whole": 4}
    board.on_epoch_end(7, logs)
    assert scalars(tmp_path) == [("a_b_0", 7, 1.0), ("one", 7, 2.0), ("whole", 7, 4.0)]  # there at once
    board.on_train_end()


def test_each_run_has_a_file_of_its_own(tmp_path):
    model, board = small_model(), callbacks.TensorBoard(tmp_path, write_graph=False)
    for _ in range(2):
        model.fit(X, Y, verbose=0, callbacks=[board])
    assert len(os.listdir(tmp_path)) == 2


def test_a_restart_takes_back_what_was_written_after_it(tmp_path):
    board = train(tmp_path, 2, update_freq=3, write_graph=False)
    state = board.get_state()
    assert state == {"next_step": 11, "samples_seen": 10, "samples_seen_at_last_write": 10}
    board = callbacks.TensorBoard(tmp_path, update_freq=3, write_graph=False)
    board.on_train_begin()
    board.set_state(state)
    board.on_batch_end(0, {"size": 3, "loss": 1.0})
    board.on_train_end()
    assert values(tmp_path, "simple_value")[-1][:2] == ("loss", 13)
    (start,) = [event for event in read(tmp_path) if event.WhichOneof("what") == "session_log"]
    assert (start.step, start.session_log.status) == (11, SessionLog.START)


# ------------------------------------------------------------------------------------------ weights and activations

WEIGHTS = {
    "a/kernel_0": (6, 0.91059, 0.92163, 5.49665),
    "a/bias_0": (3, -0.11043, -0.11043, -0.3313),
    "b/kernel_0": (3, 0.83189, 0.83189, 2.49568),
    "b/bias_0": (1, -0.11437, -0.11437, -0.11437),
}
OUTPUTS = {
    "a_out": (9, -0.01937, 0.71351, 3.12363),
    "act_out": (9, 0.0, 0.71351, 3.18175),
    "b_out": (3, -0.11437, 1.66633, 2.30376),
}
GRADIENTS = {
    "a/kernel_0_grad": (6, 0.12029, 0.14348, 0.79129),
    "a/bias_0_grad": (3, 0.23189, 0.23189, 0.69568),
    "b/kernel_0_grad": (3, 0.25953, 0.25953, 0.77858),
    "b/bias_0_grad": (1, -0.46416, -0.46416, -0.46416),
}


@pytest.mark.parametrize("batch_size", [2, 32])
@pytest.mark.parametrize("write_grads", [False, True])
def test_histograms(batch_size, write_grads, tmp_path):
    train(tmp_path, histogram_freq=1, batch_size=batch_size, write_grads=write_grads, write_graph=False)
    found = {tag: (h.num, h.min, h.max, h.sum) for tag, step, h in values(tmp_path, "histo") if step == 0}
    expected = WEIGHTS | OUTPUTS | (GRADIENTS if write_grads else {})
    assert found.keys() == expected.keys()
    for tag, numbers in expected.items():
        assert found[tag] == pytest.approx(numbers, abs=2e-5), tag


def test_histograms_every_so_many_epochs(tmp_path):
    train(tmp_path, 3, histogram_freq=2, write_graph=False)
    assert [step for tag, step, _ in values(tmp_path, "histo") if tag == "a_out"] == [0, 2]


def test_buckets_are_those_of_tensorflow(tmp_path):
    histogram = callbacks.tensorboard.Histogram([0.0, 1.0, np.nan])
    histogram.add([[1.0, -2.0], [5.5, np.inf]])
    message = histogram.message()
    limits = [-2.1628190051, -1.9661990956, 0, 1e-12, 0.9172463890, 1.0089710279, 5.0998140792, 5.6097954871]
    assert list(message.bucket_limit) == pytest.approx([*limits, sys.float_info.max], abs=1e-9)
    assert list(message.bucket) == [0, 1, 0, 1, 0, 2, 0, 1, 0]
    assert (message.num, message.sum, message.sum_squares) == (5, 5.5, 36.25)
    assert (message.min, message.max) == (-2, 5.5)


def test_names_that_occur_twice_and_layers_of_other_models(tmp_path):
    shared = Dense(2, name="d")
    twice, other = Input((2,), name="twice"), Input((2,), name="other")
    shared(other)  # its first call is not in the model
    inner = Sequential([Dense(2, input_shape=(2,), name="d"), BatchNormalization(name="norm")], name="inner")
    model = Model(twice, Dense(1, name="out")(inner(shared(twice))))
    model.compile("sgd", "mse")
    train(tmp_path, model=model, histogram_freq=1, write_grads=True, write_graph=False)
    tags = [tag for tag, _, _ in values(tmp_path, "histo")]
    assert tags.count("d/kernel_0") == tags.count("d/kernel_0_1") == 1
    assert "d_out" not in tags and {"twice_out", "out_out"} <= set(tags)
    assert "norm/gamma_0_grad" in tags and "norm/moving_mean_0" in tags and "norm/moving_mean_0_grad" not in tags


# --------------------------------------------------------------------------------------------------------- pictures


def pixels(image) -> np.ndarray:
    """The grey levels in a PNG file as written here: chunks of length, kind, data, checksum."""
    data, found = image.encoded_image_string[8:], {}
    while data:
        length, kind = struct.unpack_from(">I4s", data)
        found[kind] = data[8 : 8 + length]
        assert struct.unpack_from(">I", data, 8 + length)[0] == zlib.crc32(data[4 : 8 + length])
        data = data[12 + length :]
    width, height = struct.unpack_from(">II", found[b"IHDR"])
    assert (height, width) == (image.height, image.width)
    return np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, width + 1)[:, 1:]


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (
            "channels_last",
            {
                **{f"c/kernel_0_1/image/{place}": (3, 2) for place in range(3)},
                "c/bias_0_1/image/0": (4, 1),
                "c2/kernel_0_1/image/0": (2, 4),
                "c2/bias_0_1/image/0": (2, 1),
                "d/kernel_0_1/image/0": (12, 1),
            },
        ),
        ("channels_first", {f"c/kernel_0_1/image/{place}": (2, 4) for place in range(3)}),
    ],
)
def test_weights_as_pictures(layout, expected, tmp_path):
    config.set_image_data_format(layout)
    shape = (4, 4, 1) if layout == "channels_last" else (1, 4, 4)
    layers = [Conv2D(4, (3, 2), input_shape=shape, name="c"), Conv2D(2, 1, name="c2"), Flatten(name="f")]
    model = Sequential([*layers, Dense(1, name="d")])
    model.compile("sgd", "mse")
    data = np.random.RandomState(0).rand(4, *shape), np.ones((4, 1))
    train(tmp_path, model=model, data=data, histogram_freq=1, write_images=True, write_graph=False)
    found = {tag: pixels(image).shape for tag, _, image in values(tmp_path, "image")}
    assert expected.items() <= found.items()
    assert not any(tag.startswith("d/bias") and shape != (1, 1) for tag, shape in found.items())


@pytest.mark.parametrize(
    ("row", "levels"),
    [
        ([0.5, -1, 2], [159, 64, 255]),
        ([0, 1, 2], [0, 127, 255]),
        ([-0.5, -1, -0.25], [64, 1, 96]),
        ([0, 0, 0], [0, 0, 0]),
        ([1, np.nan, 2], [127, 255, 255]),
    ],
)
def test_grey_levels_are_those_of_tensorflow(row, levels, tmp_path):
    file = callbacks.tensorboard.EventFile(tmp_path)
    file.image("x", callbacks.tensorboard.grey([row, row]), 3)
    file.close()
    ((tag, step, image),) = values(tmp_path, "image")
    assert (tag, step, pixels(image).tolist()) == ("x", 3, [levels, levels])


# ------------------------------------------------------------------------------------------------ graph, embeddings


def graph(folder) -> dict:
    """name -> (operation, inputs, shapes of the outputs) of the graph that was written."""
    (text,) = [event.graph_def for event in read(folder) if event.WhichOneof("what") == "graph_def"]
    return {
        node.name: (
            node.op,
            list(node.input),
            [[dim.size for dim in shape.dim] for shape in node.attr["_output_shapes"].list.shape],
        )
        for node in GraphDef.FromString(text).node
    }


def test_graph(tmp_path):
    x, shared = Input((2,), name="x"), Dense(2, name="d")
    inner = Sequential([Dense(2, input_shape=(2,), name="first"), Dense(2, name="last")], name="inner")
    outputs = Add(name="add")([shared(shared(x)), inner(x)])
    model = Model(x, Dense(1, name="y")(outputs))
    model.compile("sgd", "mse")
    train(tmp_path, model=model)
    assert graph(tmp_path) == {
        "x": ("InputLayer", [], [[-1, 2]]),
        "d": ("Dense", ["x"], [[-1, 2]]),
        "d_1": ("Dense", ["d"], [[-1, 2]]),
        "inner/first": ("Dense", ["x"], [[-1, 2]]),
        "inner/last": ("Dense", ["inner/first"], [[-1, 2]]),
        "add": ("Add", ["d_1", "inner/last"], [[-1, 2]]),
        "y": ("Dense", ["add"], [[-1, 1]]),
    }


WORDS = np.arange(12).reshape(4, 3) % 5


def words_model():
    model = Sequential([Embedding(5, 2, input_length=3, name="e"), Flatten(), Dense(1, name="d")])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("options", "layer", "metadata"),
    [
        ({}, "e", None),
        ({"embeddings_metadata": "labels.tsv", "batch_size": 3}, "e", "labels.tsv"),
        ({"embeddings_metadata": {"e": "e.tsv"}, "embeddings_layer_names": ["d"]}, "d", None),
    ],
)
def test_embeddings(options, layer, metadata, tmp_path):
    model, shown = words_model(), []
    look = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: shown.append(_outputs(model, layer)))
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=2, embeddings_data=WORDS, write_graph=False, **options)
    model.fit(WORDS, np.ones((4, 1)), epochs=3, verbose=0, callbacks=[board, look])
    entries = ""
    for epoch in (0, 2):
        written = np.loadtxt(tmp_path / f"{epoch:05d}" / f"{layer}.tsv", delimiter="\t").reshape(4, -1)
        np.testing.assert_allclose(written, shown[epoch], rtol=1e-6)
        entries += f'embeddings {{\n  tensor_name: "{layer}:{epoch:05d}"\n  tensor_path: "{epoch:05d}/{layer}.tsv"\n'
        entries += (f'  metadata_path: "{metadata}"\n' if metadata else "") + "}\n"
    assert (tmp_path / "projector_config.pbtxt").read_text() == entries
    model.fit(WORDS, np.ones((4, 1)), verbose=0, callbacks=[board])  # epoch 0 again
    assert (tmp_path / "projector_config.pbtxt").read_text() == entries


def _outputs(model, layer):
    return Model(model.inputs, model.get_layer(layer).output).predict(WORDS).reshape(4, -1)


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"histogram_freq": 1}, ValueError, "validation_data must be provided"),
        ({"embeddings_freq": 1}, ValueError, "embeddings_data must be provided"),
        ({"embeddings_freq": 1, "embeddings_data": X}, ValueError, "has no Embedding layer"),
        ({"embeddings_freq": 1, "embeddings_data": X, "embeddings_layer_names": ["z"]}, ValueError, "z"),
        ({"embeddings_freq": 1, "embeddings_data": X[:, :1], "embeddings_layer_names": ["a"]}, ValueError, "shape"),
    ],
)
def test_mistakes(options, error, message, tmp_path):
    board = callbacks.TensorBoard(tmp_path, **options)
    with pytest.raises(error, match=message):
        small_model().fit(X, Y, verbose=0, callbacks=[board])
    board.on_train_end()


def test_without_tensorboardx_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install jkeras\[tensorboard\]"):
        callbacks.TensorBoard(tmp_path)
