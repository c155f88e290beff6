"""Networks trained on ImageNet: what they are made of, their weights, their images and predictions.

Their outputs are compared with those of the real Keras in `tests/interop`.
"""

import base64
import hashlib
import importlib
import io
import json

import h5py
import numpy as np
import pytest
from kit import close, same_bits

from jkeras import applications, config
from jkeras import backend as K
from jkeras.applications import densenet, imagenet_utils, mobilenet, mobilenet_v2, nasnet
from jkeras.applications.building import File
from jkeras.layers import Conv2D, Dense, Input, Lambda
from jkeras.models import Model
from jkeras.optimizers import SGD
from jkeras.preprocessing.image import ImageDataGenerator
from jkeras.serialize import published

IMAGE = np.array([[[0.0, 127.5, 255.0]]], "float32")
WANTED = {
    "caffe": [255 - 103.939, 127.5 - 116.779, -123.68],
    "tf": [-1, 0, 1],
    "torch": [-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225],
}


@pytest.mark.parametrize("mode", list(WANTED))
def test_images_as_networks_want_them(mode):
    wanted = np.array([[WANTED[mode]]])
    for last in (IMAGE, IMAGE[None], IMAGE.astype("uint8")):
        tolerance = 0.02 if last.dtype == "uint8" else 1e-5  # half a value is cut off
        for data_format, to, back in (
            ("channels_last", lambda a: a, lambda a: a),
            ("channels_first", lambda a: np.moveaxis(a, -1, -3), lambda a: np.moveaxis(a, -3, -1)),
        ):
            images = np.array(to(last))
            symbol = K.eval(imagenet_utils.preprocess_input(K.constant(images), data_format, mode=mode))
            given = imagenet_utils.preprocess_input(images, data_format, mode=mode)
            for found in (given, symbol):
                np.testing.assert_allclose(back(found) / 255, np.broadcast_to(wanted, last.shape) / 255, atol=tolerance)
            assert np.shares_memory(given, images) == (last.dtype == "float32")


def test_a_mode_or_layout_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="mode is .* not 'tensorflow'"):
        imagenet_utils.preprocess_input(IMAGE, mode="tensorflow")
    with pytest.raises(ValueError, match="data_format is .* not 'last'"):
        imagenet_utils.preprocess_input(IMAGE, "last")


def test_images_in_a_list():
    close(imagenet_utils.preprocess_input(IMAGE.tolist()), np.reshape(WANTED["caffe"], (1, 1, 3)), 1e-5)


@pytest.mark.parametrize(
    "images, mode, shape",
    [
        (np.ones((2, 4, 4, 1)), "caffe", r"\(2, 4, 4, 1\)"),
        (np.ones((4, 4, 4)), "torch", r"\(4, 4, 4\)"),
        (np.ones((4, 4)), "torch", r"\(4, 4\)"),
        (None, "tf", r"\(\)"),
    ],
)
def test_what_is_no_image_is_named_by_its_shape(images, mode, shape):
    with pytest.raises(ValueError, match=rf"images of 3 channels \(RGB, channels_last\); got the shape {shape}"):
        imagenet_utils.preprocess_input(images, mode=mode)


def test_predictions_are_told_by_name(tmp_path, monkeypatch):
    """The names are a file in the cache."""
    path = tmp_path / "index.json"
    path.write_text(json.dumps({str(i): [f"n{i}", f"class {i}"] for i in range(1000)}))
    monkeypatch.setattr(imagenet_utils, "get_file", lambda *args, **kwargs: str(path))
    scores = np.zeros((2, 1000))
    scores[0, [7, 3]], scores[1, 999] = [0.9, 0.1], 1
    found = imagenet_utils.decode_predictions(scores, top=2)
    assert found[0] == [("n7", "class 7", 0.9), ("n3", "class 3", 0.1)] and found[1][0] == ("n999", "class 999", 1.0)
    with pytest.raises(ValueError, match=r"\(batch, 1000\), not \(2, 10\)"):
        imagenet_utils.decode_predictions(scores[:, :10])


# -------------------------------------------------------------------------------------------------------- networks

# name: parameters, layers, a digest of the layers' names, classes and the shapes of their outputs and weights, as in
# Keras 2.2.4 with keras_applications 1.0.8; the name of the model.
NETWORKS = {
    "VGG16": (138357544, 23, "1a5c31e3a8f9", "vgg16"),
    "VGG19": (143667240, 26, "6483558cc55f", "vgg19"),
    "ResNet50": (25636712, 177, "de90f285ea65", "resnet50"),
    "Xception": (22910480, 134, "4e9306964cb7", "xception"),
    "InceptionV3": (23851784, 313, "26093990aeef", "inception_v3"),
    "InceptionResNetV2": (55873736, 782, "81e8f587d5a1", "inception_resnet_v2"),
    "MobileNet": (4253864, 93, "1fc8708efada", "mobilenet_1.00_224"),
    "MobileNetV2": (3538984, 157, "8d94a2ade10c", "mobilenetv2_1.00_224"),
    "DenseNet121": (8062504, 429, "038f5ac6c685", "densenet121"),
    "DenseNet169": (14307880, 597, "4a29a62bf9b3", "densenet169"),
    "DenseNet201": (20242984, 709, "29036ad4a411", "densenet201"),
    "NASNetMobile": (5326716, 771, "3e07b9d228b4", "NASNet"),
    "NASNetLarge": (88949818, 1041, "5ec624790dc7", "NASNet"),
}
MODULES = {
    "VGG16": "vgg16", "VGG19": "vgg19", "ResNet50": "resnet50", "Xception": "xception", "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2", "MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2",
    "DenseNet121": "densenet", "DenseNet169": "densenet", "DenseNet201": "densenet", "NASNetMobile": "nasnet",
    "NASNetLarge": "nasnet",
}  # fmt: skip


def digest(model):
    told = [
        [layer.name, type(layer).__name__, layer.output_shape, [K.int_shape(weight) for weight in layer.weights]]
        for layer in model.layers
    ]
    return hashlib.sha256(json.dumps(told, default=int).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_layers_are_those_of_keras(name):
    parameters, layers, told, called = NETWORKS[name]
    K.clear_session()
    model = getattr(applications, name)(weights=None)
    assert (model.count_params(), len(model.layers), model.name) == (parameters, layers, called)
    assert digest(model) == told and model.output_shape == (None, 1000)
    assert getattr(importlib.import_module(f"jkeras.applications.{MODULES[name]}"), name) is getattr(applications, name)


def test_a_network_without_its_top():
    """Features as images, or one number for each channel; sizes may be unknown."""
    shape = lambda **arguments: applications.VGG16(include_top=False, weights=None, **arguments).output_shape  # noqa: E731
    assert shape() == (None, None, None, 512) and shape(input_shape=(64, 32, 1)) == (None, 2, 1, 512)
    assert shape(pooling="avg") == shape(pooling="max") == (None, 512)
    model = applications.DenseNet121(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="max")
    assert model.layers[-1].name == "max_pool" and model.output_shape == (None, 1024)


def test_other_widths():
    """Filters as shares of those of the paper, in multiples of 8 in MobileNetV2."""
    notop = {"weights": None, "include_top": False}
    wide = applications.MobileNetV2((32, 32, 3), alpha=1.4, **notop)
    narrow = applications.MobileNetV2((32, 32, 3), alpha=0.35, **notop)
    assert [model.output_shape[-1] for model in (wide, narrow)] == [1792, 1280]
    assert narrow.get_layer("Conv1").filters == 16  # not 8, which is less than nine tenths of 11.2
    assert narrow.name == "mobilenetv2_0.35_32"
    model = applications.MobileNet((32, 32, 3), 0.25, depth_multiplier=2, dropout=0.5, weights=None, classes=7)
    assert model.get_layer("conv_dw_1").output_shape[-1] == 16 and model.get_layer("dropout").rate == 0.5
    assert model.output_shape == (None, 7) and model.name == "mobilenet_0.25_32"
    assert applications.MobileNet(np.array([64, 32, 3]), 0.25, **notop).input_shape == (None, 64, 32, 3)


def test_channels_first():
    """The same numbers from the same weights; NASNet stays with channels last."""
    images = np.random.RandomState(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    build = lambda shape: densenet.DenseNet([1, 1, 1, 1], weights=None, input_shape=shape, classes=3)  # noqa: E731
    last = build((32, 32, 3))
    config.set_image_data_format("channels_first")
    first = build((3, 32, 32))
    first.set_weights(last.get_weights())
    close(first.predict(images.transpose(0, 3, 1, 2)), last.predict(images), 1e-4)
    with pytest.warns(UserWarning, match="NASNetMobile takes images with channels last only"):
        assert applications.NASNetMobile(weights=None, include_top=False).input_shape == (None, 224, 224, 3)


def test_a_network_on_what_other_layers_made():
    before = Input((32, 32, 1))
    model = applications.MobileNet(
        input_tensor=Conv2D(3, 1)(before), include_top=False, weights=None, alpha=0.25, pooling="avg"
    )
    assert model.inputs == [before] and model.layers[1].name.startswith("conv2d")
    images = K.variable(np.zeros((2, 32, 32, 3)))
    assert applications.VGG16(input_tensor=images, include_top=False, weights=None).output_shape == (2, 1, 1, 512)
    with pytest.raises(ValueError, match="MobileNetV2: input_shape must be that of the images of input_tensor"):
        applications.MobileNetV2((64, 64, 3), input_tensor=Input((32, 32, 3)), weights=None)


NOTOP = {"include_top": False, "weights": None}


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("VGG16", {"weights": "imgnet"}, "VGG16: weights must be None, 'imagenet' or the path .*; got 'imgnet'"),
        ("VGG16", {"weights": [1]}, "weights must be .* got \\[1\\]"),
        ("ResNet50", {"classes": 10}, "classes must be 1000 with weights='imagenet' and include_top=True; got 10"),
        ("ResNet50", {"input_shape": (96, 96, 3)}, r"input_shape must be \(224, 224, 3\) with weights='imagenet'"),
        ("ResNet50", {"input_shape": (96, 96, 1), "include_top": False}, "input_shape must be of images of 3 channels"),
        ("ResNet50", {"input_tensor": 1}, "input_tensor must be a symbol.*; got 1"),
        ("VGG19", NOTOP | {"input_shape": (32, 31, 3)}, "VGG19: input_shape must be of images of 32x32 pixels at leas"),
        ("Xception", NOTOP | {"input_shape": (70, 70, 3)}, "71x71 pixels at least .*; got"),
        ("InceptionV3", NOTOP | {"input_shape": (74, 80, 3)}, "75x75 pixels at least .*; got"),
        ("InceptionResNetV2", NOTOP | {"input_shape": (3, 3)}, "input_shape must be three numbers"),
        ("DenseNet121", {"weights": None, "input_shape": (None, 64, 3)}, "without None where the network has a top"),
        ("NASNetMobile", NOTOP | {"input_shape": (None, None, 3)}, "input_shape must be without None"),
        (
            "MobileNet",
            {"alpha": 0.3},
            r"alpha must be one of \(1.0, 0.75, 0.5, 0.25\) with weights='imagenet'; got 0.3",
        ),
        ("VGG16", {"weights": None, "classes": "2"}, "VGG16: classes must be a positive integer; got '2'"),
        (
            "VGG16",
            NOTOP | {"input_shape": (3, 224, 3)},
            r"32x32 pixels at least \(channels_last\); got \(3, 224, 3",
        ),
        ("VGG16", NOTOP | {"input_tensor": np.ones((2, 2))}, r"got array\(\[\[1., 1.\], \[1., 1.\]\]\)\.$"),
        ("MobileNet", {"depth_multiplier": 2}, "depth_multiplier must be 1 with weights='imagenet'; got 2"),
        ("MobileNetV2", {"alpha": 0.3}, "MobileNetV2: alpha must be one of"),
        ("MobileNetV2", NOTOP | {"pooling": "mean"}, "pooling must be None, 'avg' or 'max'; got 'mean'"),
    ],
)
def test_what_cannot_be_built(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(applications, name)(**arguments)


def test_other_mistakes():
    with pytest.raises(TypeError, match=r"VGG16: unknown arguments \['top'\]"):
        applications.VGG16(top=False)
    assert applications.VGG16(weights=None, backend=K, layers=None, models=None, utils=None).name == "vgg16"
    with pytest.warns(UserWarning, match=r"images usually have 1 or 3 channels; those of .* have 4"):
        applications.VGG16(input_shape=(32, 32, 4), **NOTOP)
    with pytest.raises(ValueError, match="NASNet: default_size must be one of .* got 96"):
        nasnet.NASNet(default_size=96, weights="imagenet")
    with pytest.raises(ValueError, match="penultimate_filters must be a multiple of 24"):
        nasnet.NASNet(penultimate_filters=100)


def test_residual_sums_are_known_by_their_code():
    """In files of InceptionResNetV2, which hold them as code that is never run, wherever Keras is installed."""
    layer = Lambda(published.scaled_sum, arguments={"scale": 0.5}, name="sum")
    written = layer.get_config()
    code = base64.b64decode(written["function"][0])
    assert code[:-40].startswith(b"\xe3\x02") and b"inception_resnet_v2.py" in code
    elsewhere = code.replace(b"\x16inception_resnet_v2.py", b"\x0c/a/other.py~")
    config = json.loads(json.dumps(written | {"function": [base64.encodebytes(elsewhere).decode(), None, None]}))
    assert Lambda.from_config(config).function is published.scaled_sum
    close(Lambda.from_config(config).apply({}, {}, [np.ones(2), np.full(2, 4.0)])[0], np.full(2, 3.0))
    for other in (code[:60] + b"!" + code[61:], b"\xe3"):
        with pytest.raises(ValueError, match="code"):
            Lambda.from_config(config | {"function": [base64.encodebytes(other).decode(), None, None]})


# --------------------------------------------------------------------------------------------------------- weights


def layout_of(model, version=b"2.2.4"):
    """A file of weights as it was published: the older ones do not say which Keras wrote them."""
    file = io.BytesIO()
    with h5py.File(file, "w") as group:
        model.save_weights(group)
        if version is None:
            del group.attrs["keras_version"], group.attrs["backend"]
    return file.getvalue()


def small(**arguments):
    return applications.MobileNet((128, 128, 3), 0.25, **arguments)


@pytest.fixture
def weights_on_server(server, monkeypatch):
    """MobileNet's smallest weights, on a server on this machine. Returns the server and the models they are of."""
    models = {True: small(weights=None), False: small(weights=None, include_top=False)}
    files = {}
    for top, version in ((True, None), (False, b"2.2.4")):
        path = mobilenet.FILES[0.25, 128][top].origin.rpartition("/")[2]
        server.files[f"/{path}"] = layout_of(models[top], version)
        files[top] = File(f"{server.url}/{path}", hashlib.md5(server.files[f"/{path}"]).hexdigest())
    monkeypatch.setitem(mobilenet.FILES, (0.25, 128), files)
    return server, models


@pytest.mark.parametrize("top", [True, False])
def test_published_weights_are_fetched_once(weights_on_server, tmp_path, top):
    server, models = weights_on_server
    for _ in range(2):
        assert same_bits(small(include_top=top).get_weights(), models[top].get_weights())
    name = "mobilenet_2_5_128_tf.h5" if top else "mobilenet_2_5_128_tf_no_top.h5"
    assert len(server.asked) == 1 and (tmp_path / "home" / "models" / name).exists()
    config.set_image_data_format("channels_first")
    assert same_bits(
        applications.MobileNet((3, 128, 128), 0.25, include_top=top).get_weights(), models[top].get_weights()
    )


def test_weights_of_a_path(weights_on_server, tmp_path):
    _, models = weights_on_server
    path = tmp_path / "weights.h5"
    models[False].save_weights(path)
    assert same_bits(small(include_top=False, weights=path).get_weights(), models[False].get_weights())
    with pytest.raises(ValueError, match="MobileNet: weights cannot be loaded: .*weights.h5"):
        small(weights=str(path))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OSError, match="MobileNet: weights cannot be loaded: .*weights.h5"):
        small(include_top=False, weights=path)


def test_a_damaged_download(weights_on_server, tmp_path, monkeypatch):
    """With a digest, it is not kept; without one, the error says what to do."""
    server, models = weights_on_server
    (path,) = (path for path in server.files if "no_top" in path)
    whole, server.files[path] = server.files[path], server.files[path][:5000]
    with pytest.raises(ValueError, match="digest .* was expected"):
        small(include_top=False)
    file = mobilenet.FILES[0.25, 128][False]
    monkeypatch.setitem(mobilenet.FILES[0.25, 128], False, File(file.origin))
    with pytest.raises(OSError, match="cannot be loaded: .* If it was damaged, remove it: it is downloaded again then"):
        small(include_top=False)
    server.files[path] = whole
    (tmp_path / "home" / "models" / path[1:]).unlink()
    assert same_bits(small(include_top=False).get_weights(), models[False].get_weights())


def test_weights_for_images_of_no_published_size(weights_on_server):
    """Those for 224 are loaded, with a warning."""
    server, _ = weights_on_server
    with (
        pytest.warns(UserWarning, match=r"with input_shape=\(96, 96, 3\), those for 224 are loaded"),
        pytest.raises(OSError, match="URL fetch failure"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setitem(mobilenet.FILES, (0.25, 224), {False: File(f"{server.url}/mobilenet_2_5_224_tf_no_top.h5")})
        applications.MobileNet((96, 96, 3), 0.25, include_top=False)
    with pytest.raises(ValueError, match="input_tensor must be images of 3 channels"):
        applications.MobileNet(input_tensor=Input((128, 128, 1)), include_top=False)


def test_every_published_file_has_an_address():
    files = [
        file
        for name in set(MODULES.values())
        for file in found(importlib.import_module(f"jkeras.applications.{name}").FILES)
    ]
    assert len(files) == len({file.origin for file in files}) == 26 - 2 * 2 + 2 * 4 * 4 + 2 * 6 * 5
    assert all(file.origin.startswith("https://") and file.origin.endswith(".h5") for file in files)
    assert all(len(file.digest) == 32 for file in files if file.digest)
    assert len([file for file in files if file.digest]) == 22
    assert (
        mobilenet_v2.FILES[0.35, 96][False].origin.rpartition("/")[2]
        == "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    )


def found(files):
    return [files] if isinstance(files, File) else [file for part in files.values() for file in found(part)]


@pytest.mark.parametrize("name", sorted({*MODULES.values()}))
def test_each_module_knows_its_images(name):
    """`preprocess_input` of the network, in Keras's mode."""
    mode = {"densenet": "torch"}.get(name, "caffe" if name in ("vgg16", "vgg19", "resnet50") else "tf")
    module = importlib.import_module(f"jkeras.applications.{name}")
    close(module.preprocess_input(np.array(IMAGE)), np.array([[WANTED[mode]]]), 1e-4)
    first = module.preprocess_input(np.array(IMAGE.T), data_format="channels_first")
    close(first, np.array(WANTED[mode]).reshape(3, 1, 1), 1e-4)
    assert module.decode_predictions is imagenet_utils.decode_predictions


@pytest.mark.slow
def test_fine_tuning(tmp_path):
    """As the guides tell it: a new head on a frozen base, trained from a folder of images; then the last block, too."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.RandomState(0)
    np.random.seed(0)  # which initial weights and the order of images follow
    for kind, color in (("dark", 40), ("light", 210)):
        (tmp_path / kind).mkdir()
        for number in range(4):
            pixels = np.clip(rng.normal(color, 30, (50, 40, 3)), 0, 255).astype("uint8")
            image.fromarray(pixels).save(tmp_path / kind / f"{number}.png")
    flow = ImageDataGenerator(preprocessing_function=mobilenet_v2.preprocess_input).flow_from_directory(
        tmp_path, target_size=(96, 96), batch_size=4, class_mode="binary", seed=1
    )
    base = applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    model = Model(base.input, Dense(1, activation="sigmoid")(base.output))
    for layer in base.layers:
        layer.trainable = False
    assert len(model.trainable_weights) == 2
    before = base.get_weights()
    model.compile(SGD(0.01), "binary_crossentropy", metrics=["acc"])
    history = model.fit_generator(flow, steps_per_epoch=2, epochs=8, verbose=0).history
    assert np.mean(history["loss"][-3:]) < np.mean(history["loss"][:2])
    assert same_bits(base.get_weights(), before)  # the moving averages, too
    # As in Keras 2.2.4, a frozen batch normalization still normalizes by the batch while training.
    assert abs(model.evaluate_generator(flow, steps=2)[0] - history["loss"][-1]) > 1e-3
    tail = base.layers[base.layers.index(base.get_layer("block_16_expand")) :]
    for layer in tail:
        layer.trainable = True
    model.compile(SGD(0.001), "binary_crossentropy")
    model.fit_generator(flow, steps_per_epoch=2, epochs=1, verbose=0)
    moved = [
        any(not np.array_equal(*pair) for pair in zip(layer.get_weights(), old, strict=True))
        for layer, old in zip(base.layers, layers_of(base, before), strict=True)
        if layer.weights
    ]
    count = sum(bool(layer.weights) for layer in tail)
    assert not any(moved[:-count]) and all(moved[-count:])


def layers_of(model, arrays):
    """The arrays of each layer."""
    rest = list(arrays)
    return [[rest.pop(0) for _ in layer.weights] for layer in model.layers]
