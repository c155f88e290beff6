"""Images: files, transformations, iterators. Properties are tables of seeds."""

import os
import pickle
import threading

import jax
import numpy as np
import pytest

import jkeras
from jkeras import config
from jkeras.preprocessing import image
from jkeras.preprocessing.image import ImageDataGenerator, device
from jkeras.utils import OrderedEnqueuer

PIL = pytest.importorskip("PIL.Image")

SEEDS = range(6)
LAYOUTS = ["channels_last", "channels_first"]


def images(count=7, height=6, width=9, channels=3, seed=0, layout="channels_last"):
    x = np.random.RandomState(seed).randint(0, 256, (count, height, width, channels)).astype("uint8")
    return x if layout == "channels_last" else x.transpose(0, 3, 1, 2)


@pytest.fixture
def folder(tmp_path):
    """A folder with 5 images of cats, one of them deeper, and 3 of dogs, and things that are none."""
    for name, count in (("cats", 4), ("dogs", 3), ("cats/kittens", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            image.save_img(tmp_path / name / f"{number}.png", images(1, seed=number)[0], scale=False)
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    (tmp_path / "readme.png").write_text("in no class")
    return tmp_path


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_images_come_back_from_files(tmp_path, layout, channels, ending):
    config.set_image_data_format(layout)
    x = images(1, channels=channels, layout=layout)[0]
    if channels == 4 and ending == "bmp":
        x[3 if layout == "channels_first" else ...] = 255
    image.save_img(tmp_path / f"a.{ending}", x, scale=False)
    mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[channels]
    back = image.img_to_array(image.load_img(tmp_path / f"a.{ending}", color_mode=mode))
    np.testing.assert_array_equal(back, x.astype("float32"), strict=True)


def test_values_are_stretched():
    x = np.array([[[2.0], [4.0], [3.0]]])
    assert image.img_to_array(image.array_to_img(x)).ravel().tolist() == [0, 255, 127]
    assert image.img_to_array(image.array_to_img(x * 0 + 5)).ravel().tolist() == [0, 0, 0]
    assert image.array_to_img(x * 300, scale=False).mode == "I"
    assert image.img_to_array(image.array_to_img(x * 300, scale=False), dtype="int32").max() == 1200
    config.set_floatx("float64")
    assert image.img_to_array(image.array_to_img(x)).dtype == "float64"


def test_loading_resizes(folder):
    path = folder / "cats" / "0.png"
    for interpolation in ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"):
        loaded = image.load_img(path, target_size=(4, 5), interpolation=interpolation)
        assert loaded.size == (5, 4)
    with pytest.warns(UserWarning, match="color_mode='grayscale'"):
        assert image.load_img(path, grayscale=True).mode == "L"


def test_jpeg_has_no_alpha(tmp_path):
    with pytest.warns(UserWarning, match="no fourth channel"):
        image.save_img(tmp_path / "a.jpg", images(1, channels=4)[0], file_format="jpg")
    assert image.load_img(tmp_path / "a.jpg").mode == "RGB"


def test_pictures_are_listed(folder):
    found = image.list_pictures(folder, "png")
    assert len(found) == 9 and set(found) == set(image.list_pictures(folder, ("jpg", "png")))
    assert image.list_pictures(folder, "gif") == []


def cut_png(size):
    """A function that writes the beginning of an image file."""

    def write(path):
        image.save_img(path, images(1)[0], file_format="png")
        content = path.read_bytes()
        path.write_bytes(content[:size] if size else content.replace(b"IDAT", b"IDAX"))

    return write


@pytest.mark.parametrize(
    "write", [lambda path: path.write_bytes(b""), lambda path: path.write_text("text"), *map(cut_png, (9, 40, 70, 0))]
)
def test_broken_images_are_named(tmp_path, write):
    path = tmp_path / "broken.png"
    write(path)
    with pytest.raises(OSError, match=r"broken\.png is no whole image"):
        image.load_img(path)


X = images(1)[0]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: image.load_img("missing.png"), FileNotFoundError, r"missing\.png"),
        (lambda: image.load_img("missing.png", color_mode="cmyk"), ValueError, "color_mode must be one of"),
        (lambda: image.array_to_img(X[0]), ValueError, r"of rank 3, was expected; got the shape \(9, 3\)"),
        (lambda: image.array_to_img(X[..., :2]), ValueError, "1, 3 or 4 channels"),
        (lambda: image.array_to_img(X, "last"), ValueError, "data_format"),
        (lambda: image.img_to_array(X[0, 0]), ValueError, "rank 2 or 3"),
        (lambda: image.random_zoom(X, (1, 2, 3)), ValueError, "zoom_range must be two numbers"),
        (lambda: image.random_brightness(X, (1,)), ValueError, "brightness_range must be two numbers"),
        (lambda: ImageDataGenerator(zoom_range=(1, 2, 3)), ValueError, "zoom_range must be a number or two"),
        (lambda: ImageDataGenerator(fill_mode="zeros"), ValueError, "fill_mode must be .*; got 'zeros'"),
        (lambda: ImageDataGenerator(brightness_range=(1,)), ValueError, "brightness_range must be two"),
        (lambda: ImageDataGenerator(validation_split=1), ValueError, "between 0 and 1; got 1"),
        (lambda: ImageDataGenerator(data_format="last"), ValueError, "data_format"),
        (lambda: ImageDataGenerator().fit(X), ValueError, "rank 4 were expected"),
        (lambda: ImageDataGenerator().flow(X), ValueError, "rank 4 were expected"),
        (lambda: ImageDataGenerator().flow(images(), [1]), ValueError, "same length; got 7 and 1"),
        (lambda: ImageDataGenerator().flow(images(), sample_weight=[1]), ValueError, "`sample_weight` should"),
        (lambda: ImageDataGenerator().flow((images(), np.ones(1))), ValueError, r"same length; got \[7, 1\]"),
        (lambda: ImageDataGenerator().flow((X, X, X)), ValueError, "or a pair .*; got 3 items"),
        (lambda: ImageDataGenerator().flow(images(), batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda: ImageDataGenerator().flow(images(), subset="test"), ValueError, "subset must be .*; got 'test'"),
        (lambda: ImageDataGenerator(validation_split=0.4).flow(images(), range(7), subset="training"), ValueError,
         "do not have the same targets"),
        (lambda: ImageDataGenerator().flow(images())[2 - 1], ValueError, "batch 1 was asked for, and there are 1"),
        (lambda: ImageDataGenerator().flow(images())[-1], ValueError, "batch -1"),
        (lambda: next(ImageDataGenerator().flow(images(0))), ValueError, "there are no examples"),
    ],
)  # fmt: skip
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -------------------------------------------------------------------------------------------------- transformations


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_laws_of_transformations(seed, layout):
    generator = ImageDataGenerator(data_format=layout, rotation_range=40, fill_mode="constant", cval=-1)
    x = images(1, seed=seed, channels=[1, 3, 4][seed % 3], layout=layout)[0].astype("float32")
    neutral = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": False}
    for parameters in ({}, neutral, {"channel_shift_intensity": 0.0}):
        np.testing.assert_array_equal(generator.apply_transform(x, parameters), x)
    for flip in ("flip_horizontal", "flip_vertical"):
        once = generator.apply_transform(x, {flip: True})
        np.testing.assert_array_equal(generator.apply_transform(once, {flip: True}), x)
        assert not np.array_equal(once, x)
    stream = np.random.RandomState(seed)
    tx, ty = stream.randint(-3, 4, 2)
    shifted = generator.apply_transform(x, {"tx": tx, "ty": ty})
    there = np.full_like(x, -1)
    rows, columns = (1, 2) if layout == "channels_first" else (0, 1)
    for row in range(x.shape[rows]):
        for column in range(x.shape[columns]):
            if 0 <= row + tx < x.shape[rows] and 0 <= column + ty < x.shape[columns]:
                place = (row, column) if layout == "channels_last" else (slice(None), row, column)
                source = (row + tx, column + ty) if layout == "channels_last" else (slice(None), row + tx, column + ty)
                there[place] = x[source]
    np.testing.assert_allclose(shifted, there, atol=1e-4)


def test_channels_are_shifted_within_the_range():
    x = np.array([[[0.0, 5.0, 10.0]]])
    assert image.apply_channel_shift(x, 6, 2).tolist() == [[[6, 10, 10]]]
    assert image.apply_channel_shift(x, -6, 2).tolist() == [[[0, 0, 4]]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_brightness(layout):
    x = images(1, channels=1, layout=layout)[0].astype("float32")
    x.flat[:2] = 0, 255  # nothing is left to stretch
    dark = ImageDataGenerator(data_format=layout).apply_transform(x, {"brightness": 0.5})
    np.testing.assert_allclose(dark, x / 2, atol=1)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
def test_interpolation_is_scipy_s(fill_mode, order):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = images(1, 12, 9)[0].astype("float32")
    angle = np.deg2rad(33)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = image.transform_matrix_offset_center(matrix @ np.diag([1.3, 0.8, 1]), 12, 9)
    expected = [
        ndimage.affine_transform(x[..., c], matrix[:2, :2], matrix[:2, 2], order=order, mode=fill_mode, cval=7)
        for c in range(3)
    ]
    found = image.apply_affine_transform(x, 33, zx=1.3, zy=0.8, fill_mode=fill_mode, cval=7, order=order)
    np.testing.assert_allclose(found, np.stack(expected, -1), rtol=1e-5, atol=1e-3)
    assert found.dtype == x.dtype


@pytest.mark.parametrize(
    "given, low, high, kind",
    [(0.5, -5, 5, float), (2.5, -2.5, 2.5, float), (3, -2, 2, int), ([1, 4], -4, 4, int), ([0.1, 0.3], -3, 3, float)],
)
def test_shifts(given, low, high, kind):
    generator = ImageDataGenerator(height_shift_range=given, width_shift_range=given)
    drawn = [generator.get_random_transform((10, 10, 3), seed)["tx"] for seed in range(60)]
    assert low <= min(drawn) < low / 2 and high / 2 < max(drawn) <= high
    assert kind is float or all(shift == int(shift) for shift in drawn)
    if isinstance(given, list):
        assert {abs(round(shift, 6)) for shift in drawn} == {each * (10 if each < 1 else 1) for each in given}


def test_the_seed_is_numpys():
    generator = ImageDataGenerator(rotation_range=10, zoom_range=0.2, channel_shift_range=5.0, horizontal_flip=True)
    np.random.seed(3)
    drawn = generator.get_random_transform((4, 4, 3))
    assert drawn == generator.get_random_transform((4, 4, 3), seed=3)
    stream = np.random.RandomState(3)
    assert drawn["theta"] == stream.uniform(-10, 10)
    assert [drawn["zx"], drawn["zy"]] == list(stream.uniform(0.8, 1.2, 2))


# -------------------------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize("layout", LAYOUTS)
def test_statistics_of_features(layout):
    x = images(20, layout=layout)
    generator = ImageDataGenerator(
        featurewise_center=True, featurewise_std_normalization=True, rescale=1 / 255, data_format=layout
    )
    with pytest.warns(UserWarning, match="needs `fit`") as told:
        generator.standardize(x[0].astype("float32"))
    assert len(told) == 2
    generator.fit(x)
    found = np.stack([generator.standardize(each) for each in x])
    assert found.dtype == "float32" and x.dtype == "uint8"
    axes = (0, 1, 2) if layout == "channels_last" else (0, 2, 3)
    np.testing.assert_allclose(found.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axes), 1, atol=1e-4)


def test_statistics_of_samples():
    generator = ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True)
    found = generator.standardize(images(1)[0].astype("float64"))
    np.testing.assert_allclose([found.mean(), found.std()], [0, 1], atol=1e-6)


def test_whitening():
    x = images(200, 2, 2).astype("float32")
    generator = ImageDataGenerator(zca_whitening=True, featurewise_center=True)
    generator.fit(x)
    flat = generator.standardize(x.copy()).reshape(200, -1)
    np.testing.assert_allclose(flat.T @ flat / 200, np.eye(12), atol=1e-2)


@pytest.mark.parametrize(
    "options, name",
    [
        ({"zca_whitening": True}, "featurewise_center"),
        ({"featurewise_std_normalization": True}, "featurewise_center"),
        ({"samplewise_std_normalization": True}, "samplewise_center"),
    ],
)  # fmt: skip
def test_what_statistics_imply(options, name):
    with pytest.warns(UserWarning, match=f"sets `{name}` to True"):
        assert getattr(ImageDataGenerator(**options), name)


def test_odd_channels_are_told():
    with pytest.warns(UserWarning, match="have 2"):
        ImageDataGenerator().flow(images(channels=2))


# ---------------------------------------------------------------------------------------------------------- streams

GENERATORS = {
    "plain": {},
    "transformed": {"rotation_range": 30, "width_shift_range": 0.2, "zoom_range": 0.3, "horizontal_flip": True},
    "user draws": {"rotation_range": 30, "preprocessing_function": lambda x: x + np.random.uniform()},
}


def taken(batches, count):
    return [tuple(part.tolist() for part in next(batches)) for _ in range(count)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", GENERATORS)
def test_any_number_of_workers_gives_the_same_stream(kind, shuffle):
    """By `next`, by numbers, and by one or more threads; each example comes once per epoch."""

    def flow():
        return ImageDataGenerator(**GENERATORS[kind]).flow(images(), np.arange(7), 2, shuffle, seed=5)

    expected = taken(flow(), 12)
    numbered = flow()
    found = []
    for _ in range(3):
        found += [tuple(part.tolist() for part in numbered[number]) for number in range(4)]
        numbered.on_epoch_end()
    assert found == expected
    backwards = flow()
    assert [tuple(part.tolist() for part in backwards[number]) for number in (3, 1, 0, 2, 0)] == [
        expected[number] for number in (3, 1, 0, 2, 0)
    ]
    for workers in (1, 3):
        with OrderedEnqueuer(flow()) as enqueuer:
            enqueuer.start(workers, 4)
            assert taken(enqueuer.get(), 12) == expected
    orders = [sum((batch[1] for batch in expected[4 * epoch : 4 * epoch + 4]), []) for epoch in range(3)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(map(tuple, orders))) == (3 if shuffle else 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 5])
def test_processes_give_each_example_once(seed):
    flow = ImageDataGenerator(rotation_range=30).flow(images(), np.arange(7), 2, seed=seed)
    expected = taken(ImageDataGenerator(rotation_range=30).flow(images(), np.arange(7), 2, seed=seed), 8)
    with OrderedEnqueuer(flow, use_multiprocessing=True) as enqueuer:
        enqueuer.start(2)
        found = taken(enqueuer.get(), 8)
    assert seed is None or found == expected
    for epoch in range(2):
        assert sorted(sum((batch[1] for batch in found[4 * epoch : 4 * epoch + 4]), [])) == list(range(7))


def test_without_a_seed_numpys_generator_decides():
    flow = ImageDataGenerator(horizontal_flip=True).flow(images(), np.arange(7), 7)
    np.random.seed(1)
    first = flow[0]
    np.random.seed(1)
    order = np.random.permutation(7)
    flips = [(np.random.random() < 0.5, np.random.random())[0] for _ in range(7)]
    assert first[1].tolist() == order.tolist()
    for x, place, flip in zip(first[0], order, flips, strict=True):
        np.testing.assert_array_equal(x, images()[place][:, ::-1] if flip else images()[place])


def test_pairs_of_streams_fit_together():
    options = {"rotation_range": 40, "horizontal_flip": True, "fill_mode": "constant"}
    pictures = ImageDataGenerator(**options).flow(images(), batch_size=3, seed=1)
    masks = ImageDataGenerator(**options).flow(images().astype("float32") * 2, batch_size=3, seed=1)
    for _, picture, mask in zip(range(6), pictures, masks, strict=False):
        np.testing.assert_allclose(picture * 2, mask, rtol=1e-4, atol=1e-2)


def test_iterators_are_pickled_with_their_order():
    flow = ImageDataGenerator(rotation_range=9).flow(images(), np.arange(7), 2)
    copies = [pickle.loads(pickle.dumps(flow)) for _ in range(2)]
    for copy in copies:
        assert [copy[number][1].tolist() for number in range(4)] == [flow[number][1].tolist() for number in range(4)]
    next(copies[0])


def test_an_error_does_not_end_a_stream():
    calls = []

    def fails_once(x):
        calls.append(x)
        if len(calls) == 3:
            raise RuntimeError("once")
        return x

    flow = ImageDataGenerator(preprocessing_function=fails_once).flow(images(), np.arange(7), 2, seed=0)
    next(flow)
    with pytest.raises(RuntimeError, match="once"):
        next(flow)
    assert next(flow)[1].shape == (2,)
    done = threading.Thread(target=lambda: next(flow))  # nothing is held by the one that failed
    done.start()
    done.join(5)
    assert not done.is_alive()


def test_derived_iterators():
    """As Keras's users write them: `index_generator` behind `lock`, and draws of their own."""

    class Noise(image.Iterator):
        def next(self):
            with self.lock:
                index_array = next(self.index_generator)
            return self._get_batches_of_transformed_samples(index_array)

        def _get_batches_of_transformed_samples(self, index_array):
            return index_array, np.random.uniform(size=len(index_array))

    found = taken(Noise(5, 2, True, 3), 6)
    assert found == taken(Noise(5, 2, True, 3), 6)
    numbered = Noise(5, 2, True, 3)
    assert [tuple(part.tolist() for part in numbered[number]) for number in range(3)] == found[:3]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
def test_the_type_of_batches(dtype):
    flow = ImageDataGenerator(rescale=0.5, dtype=dtype).flow(images(), shuffle=False)
    batch = next(flow)
    assert batch.dtype == dtype
    np.testing.assert_allclose(batch, images() / 2, atol=0.5 if dtype == "uint8" else 0.1)


def test_other_inputs_weights_and_subsets():
    x, other, weights = images(10), np.arange(10), np.arange(10.0)
    labels = np.arange(10) % 2
    generator = ImageDataGenerator(validation_split=0.4)
    for subset, rows in (("validation", range(4)), ("training", range(4, 10))):
        flow = generator.flow((x, [other, -other]), labels, 10, False, weights, subset=subset)
        (found, first, second), y, w = next(flow)
        np.testing.assert_array_equal(found, x[list(rows)])
        assert (
            first.tolist() == list(rows) == (-second).tolist() == w.tolist()
            and y.tolist() == labels[list(rows)].tolist()
        )
    assert isinstance(next(generator.flow((x, other))), list)


def test_copies_of_batches(tmp_path):
    flow = ImageDataGenerator().flow(images(), batch_size=3, seed=0, save_to_dir=tmp_path, save_prefix="a")
    next(flow), flow[0]
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 3 and all(name.startswith("a_") and name.endswith(".png") for name in names)
    assert image.load_img(tmp_path / names[0]).size == (9, 6)


# ---------------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("color_mode, channels", [("rgb", 3), ("rgba", 4), ("grayscale", 1)])
def test_folders_are_classes(folder, capsys, layout, color_mode, channels):
    generator = ImageDataGenerator(data_format=layout)
    flow = generator.flow_from_directory(folder, (4, 5), color_mode, batch_size=8, shuffle=False)
    assert "Found 8 images belonging to 2 classes." in capsys.readouterr().out
    assert flow.class_indices == {"cats": 0, "dogs": 1} and flow.classes.tolist() == [0] * 5 + [1] * 3
    assert flow.filenames[4] == os.path.join("cats", "kittens", "0.png") and os.path.isfile(flow.filepaths[4])
    x, y = next(flow)
    assert x.shape[1:] == flow.image_shape == ((4, 5, channels) if layout == "channels_last" else (channels, 4, 5))
    np.testing.assert_array_equal(y, np.eye(2, dtype="float32")[flow.classes], strict=True)


@pytest.mark.parametrize(
    "class_mode, expected", [("sparse", [1.0, 0.0]), ("binary", [1.0, 0.0]), ("input", None), (None, None)]
)
def test_targets_of_folders(folder, class_mode, expected):
    flow = ImageDataGenerator().flow_from_directory(
        folder, (6, 9), classes=["dogs", "cats"], class_mode=class_mode, shuffle=False
    )
    batch = next(flow)
    x = batch if class_mode is None else batch[0]
    np.testing.assert_array_equal(x[0], images(1)[0])
    if expected:
        assert batch[1].tolist() == [0.0] * 3 + [1.0] * 5
    elif class_mode:
        np.testing.assert_array_equal(batch[1], x)
        assert batch[1] is not x


def test_subsets_of_folders(folder):
    generator = ImageDataGenerator(validation_split=0.4)
    flows = [generator.flow_from_directory(folder, subset=subset) for subset in ("validation", "training")]
    names = [set(flow.filenames) for flow in flows]
    assert [len(each) for each in names] == [3, 5] and not names[0] & names[1]


def test_folders_that_fail(folder, tmp_path):
    flow = ImageDataGenerator().flow_from_directory
    (tmp_path / "nothing" / "empty").mkdir(parents=True)
    for call, error, message in (
        (lambda: flow(tmp_path / "missing"), FileNotFoundError, "missing"),
        (lambda: flow(tmp_path / "nothing"), ValueError, r"no images in the folders \['empty'\] of"),
        (
            lambda: flow(tmp_path / "nothing" / "empty"),
            ValueError,
            r"no images in the folders \[\] of .*each class must be a",
        ),
        (lambda: flow(tmp_path, classes="cats"), ValueError, "classes must be a list .*; got 'cats'"),
        (lambda: flow(tmp_path, target_size=8), ValueError, r"target_size must be \(height, width\).*; got 8"),
        (lambda: flow(tmp_path, target_size=(8, 8, 3)), ValueError, r"target_size must be .*; got \(8, 8, 3\)"),
        (lambda: flow(folder, color_mode="cmyk"), ValueError, "color_mode must be"),
        (lambda: flow(folder, class_mode="multi"), ValueError, "class_mode must be one of"),
        (lambda: flow(folder, subset="test"), ValueError, "subset must be"),
        (lambda: image.DirectoryIterator(folder, None, subset="training"), ValueError, "needs an image_data_generator"),
        (lambda: flow(folder, subset="validation"), ValueError, "no images for the subset 'validation'"),
        (lambda: next(flow(folder, interpolation="cubic")), ValueError, "interpolation must be one of"),
    ):
        with pytest.raises(error, match=message):
            call()
    (folder / "cats" / "z.png").write_bytes(b"broken")
    with pytest.raises(OSError, match=r"z\.png is no whole image"):
        flow(folder, batch_size=9)[0]


# ----------------------------------------------------------------------------------------------------------- tables


def tables():
    """What makes a table of columns: a dict will do, and pandas."""
    try:
        import pandas
    except ImportError:
        return [dict]
    return [dict, pandas.DataFrame]


TABLE = {
    "filename": ["cats/0.png", "dogs/0.png", "cats/missing.png", "cats/1.png", "cats/notes.txt", "dogs/1.png"],
    "class": ["cat", "dog", "cat", "cat", "cat", "cow"],
    "tags": [["a", "b"], ["b"], [], ("a",), ["c"], ["c", "a"]],
    "height": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "width": [10, 20, 30, 40, 50, 60],
}


@pytest.mark.parametrize("make", tables())
@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        ({"class_mode": "sparse"}, [0, 2, 0, 1]),
        ({"class_mode": "sparse", "classes": ["dog", "cat"]}, [0, 1, 0]),
        ({"class_mode": "binary", "classes": ["dog", "cat"]}, [0, 1, 0]),
        ({"y_col": "tags"}, [[1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1]]),
        ({"y_col": "tags", "classes": ["b", "c"]}, [[1, 0], [1, 0], [0, 1]]),
        ({"y_col": "height", "class_mode": "raw"}, [1, 2, 4, 6]),
        ({"y_col": ["height", "width"], "class_mode": "raw"}, [[1, 10], [2, 20], [4, 40], [6, 60]]),
        ({"y_col": ["width", "height"], "class_mode": "multi_output"}, [[10, 20, 40, 60], [1, 2, 4, 6]]),
    ],
)
def test_tables_name_images(folder, make, options, expected, capsys):
    with pytest.warns(UserWarning, match="2 invalid image filename"):
        flow = ImageDataGenerator().flow_from_dataframe(
            make(TABLE), folder, weight_col="width", target_size=(6, 9), shuffle=False, **options
        )
    x, y, weights = next(flow)
    assert [np.asarray(part).tolist() for part in y] == expected
    assert len(x) == len(weights) == flow.samples and f"Found {flow.samples} validated" in capsys.readouterr().out
    np.testing.assert_array_equal(x[0], images(1)[0])


@pytest.mark.parametrize("make", tables())
def test_tables_without_targets_and_in_subsets(folder, make):
    table = make({"x": [str(folder / "cats" / f"{number}.png") for number in range(4)]})
    options = {"x_col": "x", "class_mode": None, "shuffle": False, "target_size": (6, 9)}
    generator = ImageDataGenerator(validation_split=0.25)
    whole = next(generator.flow_from_dataframe(table, validate_filenames=False, **options))
    assert whole.shape == (4, 6, 9, 3)
    for subset, part in (("validation", whole[:1]), ("training", whole[1:])):
        np.testing.assert_array_equal(next(generator.flow_from_dataframe(table, subset=subset, **options)), part)


@pytest.mark.filterwarnings("ignore:Found 2 invalid")
@pytest.mark.parametrize("make", tables())
@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"x_col": "path"}, KeyError, "no column 'path'; it has"),
        ({"y_col": "label"}, KeyError, "no column 'label'"),
        ({"x_col": "width"}, TypeError, "x_col='width' must be strings"),
        ({"y_col": "width"}, TypeError, "y_col='width' must be strings, or lists of them"),
        ({"y_col": "tags", "class_mode": "sparse"}, TypeError, "must be strings"),
        ({"class_mode": "binary"}, ValueError, "needs 2 classes; there are 3"),
        ({"class_mode": "binary", "classes": ["cat"]}, ValueError, "needs 2 classes; there are 1"),
        ({"class_mode": "multi_output"}, TypeError, "needs a list y_col"),
        ({"y_col": ["width"]}, TypeError, "needs one column y_col"),
        ({"weight_col": "class"}, TypeError, "weight_col='class' must be numbers"),
        ({"class_mode": "any"}, ValueError, "class_mode must be one of"),
        ({"classes": ["bird"]}, ValueError, "no images in the table"),
        ({"columns": 3}, TypeError, "unknown argument 'columns'"),
    ],
)
def test_tables_that_fail(folder, make, options, error, message):
    with pytest.raises(error, match=message):
        ImageDataGenerator().flow_from_dataframe(make(TABLE), folder, **options)


def test_old_arguments_of_tables(folder):
    generator = ImageDataGenerator()
    table = {"filename": ["cats/0.png"], "class": [3]}
    with pytest.warns(DeprecationWarning, match="'other' is now called 'raw'"):
        assert next(generator.flow_from_dataframe(table, folder, class_mode="other"))[1].tolist() == [3]
    with pytest.warns(DeprecationWarning, match="`has_ext` is not used"):
        generator.flow_from_dataframe(table, folder, class_mode=None, has_ext=True)
    with pytest.warns(UserWarning, match="no use for `classes`"):
        generator.flow_from_dataframe(table, folder, class_mode="raw", classes=["a"])


# ------------------------------------------------------------------------------------------------------------ story


def test_training_from_files(tmp_path):
    """PNG files, augmentation, a subset for validation, and a file that breaks in the middle and is mended."""
    stream = np.random.RandomState(0)
    for number in range(32):
        x = stream.randint(0, 60, (8, 8, 3))
        x[..., number % 2] += 150
        (tmp_path / "rg"[number % 2]).mkdir(exist_ok=True)
        image.save_img(tmp_path / "rg"[number % 2] / f"{number}.png", x, scale=False)
    generator = ImageDataGenerator(
        rescale=1 / 255, rotation_range=20, zoom_range=0.2, horizontal_flip=True, validation_split=0.25
    )
    flows = [
        generator.flow_from_directory(tmp_path, (8, 8), class_mode="binary", batch_size=5, seed=1, subset=subset)
        for subset in ("training", "validation")
    ]
    model = jkeras.Sequential(
        [
            jkeras.layers.GlobalAveragePooling2D(input_shape=(8, 8, 3)),
            jkeras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros"),
        ]
    )
    model.compile(jkeras.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    broken = flows[0].filepaths[7]
    with open(broken, "rb") as file:
        content = file.read()
    with open(broken, "wb") as file:
        file.write(content[:60])
    with pytest.raises(OSError, match="is no whole image"):
        model.fit_generator(flows[0], epochs=3, validation_data=flows[1], workers=2, verbose=0)
    with open(broken, "wb") as file:
        file.write(content)
    history = model.fit_generator(flows[0], epochs=8, validation_data=flows[1], workers=2, verbose=0)
    assert history.history["val_acc"][-1] == 1.0 and np.isfinite(model.get_weights()[0]).all()


# --------------------------------------------------------------------------------------------------------- on device


DEVICE_OPTIONS = {
    "affine": {"rotation_range": 40, "width_shift_range": 0.3, "height_shift_range": [2, 5], "shear_range": 20.0},
    "zoom": {"zoom_range": (0.5, 2.0), "fill_mode": "constant", "cval": 9.0},
    "reflect": {"rotation_range": 90, "width_shift_range": 25, "fill_mode": "reflect", "data_format": "channels_first"},
    "wrap": {"rotation_range": 90, "height_shift_range": 20.5, "fill_mode": "wrap"},
    "nearest pixel": {"rotation_range": 50, "zoom_range": 0.3, "interpolation_order": 0},
    "values": {"channel_shift_range": 60.0, "horizontal_flip": True, "vertical_flip": True, "rescale": 1 / 255},
    "brightness": {"brightness_range": (0.4, 1.6), "samplewise_center": True, "samplewise_std_normalization": True},
}


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", DEVICE_OPTIONS)
def test_the_device_transforms_as_the_host(name, channels):
    generator = ImageDataGenerator(**DEVICE_OPTIONS[name])
    x = images(6, channels=channels, layout=generator.data_format).astype("float32")
    np.random.seed(1)
    drawn = [generator.get_random_transform(each.shape) for each in x]
    expected = np.stack(
        [generator.standardize(generator.apply_transform(each, one)) for each, one in zip(x, drawn, strict=True)]
    )
    stacked = {key: np.array([one[key] for one in drawn]) for key in drawn[0] if drawn[0][key] is not None}
    found = jax.jit(lambda x, given: device.standardize(generator, device.transform(generator, x, given)))(x, stacked)
    # Where a pixel is found by rounding, or is just inside or outside, 32 bits may decide otherwise.
    wrong = np.abs(found - expected) > 2e-2
    assert wrong.mean() < (0.02 if name in ("zoom", "nearest pixel", "brightness") else 1e-9)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("name", DEVICE_OPTIONS)
def test_the_device_draws_as_the_host(name):
    """Mean and spread of each parameter, within five standard errors, and the two ends."""
    generator = ImageDataGenerator(**DEVICE_OPTIONS[name])
    shape = (3, 10, 10) if generator.data_format == "channels_first" else (10, 10, 3)
    np.random.seed(0)
    host = [generator.get_random_transform(shape) for _ in range(1000)]
    drawn = jax.jit(lambda key: device.draw(generator, key, (2000, *shape)))(jax.random.key(0))
    moving = {key for key in host[0] if len({one[key] for one in host}) > 1}
    assert moving <= set(drawn)
    for key, found in drawn.items():
        expected, found = np.array([one[key] for one in host], float), np.asarray(found, float)
        error = 5 * max(expected.std(), 1e-6) / np.sqrt(600)
        np.testing.assert_allclose([found.mean(), found.std()], [expected.mean(), expected.std()], atol=error)
        np.testing.assert_allclose([found.min(), found.max()], [expected.min(), expected.max()], atol=2 * error)


def test_augmentation_is_a_pure_function_of_key_and_images():
    generator = ImageDataGenerator(rotation_range=30, zoom_range=0.2, featurewise_center=True, dtype="float16")
    generator.fit(images())
    augment, x, key = jax.jit(generator.on_device()), images(8), jax.random.key(1)
    np.testing.assert_array_equal(augment(key, x), augment(key, x))
    assert not np.array_equal(augment(key, x), augment(jax.random.key(2), x)) and augment(key, x).dtype == "float16"
    np.testing.assert_array_equal(augment(key, x)[:3], augment(key, x[:3]))  # each example draws by itself
    with pytest.raises(ValueError, match="interpolation_order must be 0 or 1; this generator has 3"):
        ImageDataGenerator(rotation_range=3, interpolation_order=3).on_device()(0, x)
