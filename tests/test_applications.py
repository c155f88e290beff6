"""Networks trained on ImageNet: their images and predictions."""

import json

import numpy as np
import pytest

from jkeras import backend as K
from jkeras.applications import imagenet_utils

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
