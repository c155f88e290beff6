"""Files of events, which TensorBoard shows: numbers, histograms, pictures, graphs. Needs tensorboardX, for the format.

Tags, buckets and grey levels are those of TensorFlow 1's summaries.
"""

import functools
import os
import re
import socket
import struct
import sys
import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jkeras.graph.function import nodes_between
from jkeras.graph.topology import Network
from jkeras.typing import ArrayLike, PathLike

__all__ = ["EventFile", "Histogram", "require_tensorboardx"]


def require_tensorboardx():
    """Raise an ImportError that says what to do if tensorboardX is not there."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError("TensorBoard needs the package tensorboardX: pip install jkeras[tensorboard]") from error


class EventFile:
    """A new file of events in a folder. What was written is in the file after `flush`.

    Arguments:
        folder: where; it is made if need be.
    """

    def __init__(self, folder: PathLike):
        from tensorboardX import RecordWriter

        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter(os.path.join(folder, name))
        self._event(file_version="brain.Event:2")

    def _event(self, step=0, **what):
        from tensorboardX.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=int(step), **what)
        self._records.write(event.SerializeToString())

    def _summary(self, tag, step, **value):
        from tensorboardX.proto.summary_pb2 import Summary

        tag = re.sub(r"[^-/\w.]", "_", tag).lstrip("/")
        self._event(step, summary=Summary(value=[Summary.Value(tag=tag, **value)]))

    def scalar(self, tag: str, number: float, step: int):
        """Write a number."""
        self._summary(tag, step, simple_value=float(number))

    def histogram(self, tag: str, histogram: "Histogram", step: int):
        """Write a `Histogram`, unless it is empty."""
        if histogram.num:
            self._summary(tag, step, histo=histogram.message())

    def image(self, tag: str, pixels: np.ndarray, step: int):
        """Write a grey picture: an array of bytes (height, width)."""
        from tensorboardX.proto.summary_pb2 import Summary

        height, width = pixels.shape
        image = Summary.Image(height=height, width=width, colorspace=1, encoded_image_string=_png(pixels))
        self._summary(tag, step, image=image)

    def graph(self, network: Any):
        """Write a network as a graph of its layers."""
        from tensorboardX.proto.graph_pb2 import GraphDef

        self._event(graph_def=GraphDef(node=_graph_nodes(network)).SerializeToString())

    def restart(self, step: int):
        """Say that what was written for `step` and later, before a restart, is not to be shown."""
        from tensorboardX.proto.event_pb2 import SessionLog

        self._event(step, session_log=SessionLog(status=SessionLog.START))

    def flush(self):
        """Put what was written into the file."""
        self._records.flush()

    def close(self):
        """Finish the file."""
        self._records.close()


# ------------------------------------------------------------------------------------------------------- histograms


@functools.cache
def _bucket_limits() -> np.ndarray:
    """The upper limits of the buckets: 1e-12 times powers of 1.1, on both sides of zero."""
    positive = [1e-12]
    while positive[-1] * 1.1 < 1e20:
        positive.append(positive[-1] * 1.1)
    positive.append(sys.float_info.max)
    return np.array([*(-limit for limit in reversed(positive)), 0.0, *positive])


class Histogram:
    """How values are distributed; they may come in parts. Values that are not finite are left out."""

    def __init__(self, values: ArrayLike | Sequence[float] = ()):
        self.num, self.sum, self.sum_squares = 0, 0.0, 0.0
        self.min, self.max = np.inf, -np.inf
        self._counts = np.zeros(len(_bucket_limits()), np.int64)
        self.add(values)

    def add(self, values: ArrayLike | Sequence[float]):
        """Count more values: an array of any shape."""
        numbers = np.asarray(values, np.float64).ravel()
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size:
            self.num += numbers.size
            self.sum += numbers.sum()
            self.sum_squares += numbers @ numbers
            self.min, self.max = min(self.min, numbers.min()), max(self.max, numbers.max())
            places = np.searchsorted(_bucket_limits(), numbers, side="right")
            self._counts += np.bincount(np.minimum(places, self._counts.size - 1), minlength=self._counts.size)

    def message(self):
        """The histogram as TensorBoard's file holds it. Of neighbouring empty buckets only the last is written."""
        from tensorboardX.proto.summary_pb2 import HistogramProto

        filled = self._counts > 0
        kept = filled | np.append(filled[1:], True)
        return HistogramProto(
            min=self.min,
            max=self.max,
            num=self.num,
            sum=self.sum,
            sum_squares=self.sum_squares,
            bucket_limit=_bucket_limits()[kept],
            bucket=self._counts[kept],
        )


# --------------------------------------------------------------------------------------------------------- pictures


def grey(values: ArrayLike) -> np.ndarray:
    """An array of numbers as bytes: the largest is 255; where some are negative, zero is 128. Not finite: 255."""
    values = np.asarray(values, np.float32)
    finite = np.isfinite(values)
    known = np.where(finite, values, 0)
    negative = known.min() < 0
    largest = np.abs(known).max()
    scale = (127 if negative else 255) / largest if largest > 0 else 0
    return np.where(finite, known * scale + (128 if negative else 0), 255).astype(np.uint8)


def _png(pixels) -> bytes:
    """Bytes (height, width) as a grey PNG file."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = np.insert(pixels, 0, 0, axis=1).tobytes()  # before each line the number of its filter: none
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


# ----------------------------------------------------------------------------------------------------------- graphs


def _graph_nodes(network) -> list:
    """The calls of the layers between a network's inputs and outputs, as nodes of a graph."""
    found = []
    names = {}
    for layer, symbol in zip(network.input_layers, network.inputs, strict=True):
        found.append(_graph_node(layer.name, "InputLayer", [], [symbol]))
        names[symbol] = layer.name
    _add_calls(network, "", names, found)
    return found


def _add_calls(network, prefix, names, found):
    """Append the nodes of a network's calls to `found`; `names` maps symbols to who makes them, the inputs at first.

    The layers of a network inside another stand under its name, so that TensorBoard shows it as a box.
    """
    calls: dict = {}
    for node in nodes_between(network.inputs, network.outputs):
        layer = node.layer
        calls[layer] = call = calls.get(layer, -1) + 1
        name = prefix + layer.name + (f"_{call}" if call else "")
        inputs = [names[symbol] for symbol in node.call_inputs]
        if isinstance(layer, Network):
            inner = dict(zip(layer.inputs, inputs, strict=True))
            _add_calls(layer, f"{name}/", inner, found)
            names.update((symbol, inner[own]) for symbol, own in zip(node.outputs, layer.outputs, strict=True))
        else:
            found.append(_graph_node(name, type(layer).__name__, inputs, node.outputs))
            names.update((symbol, f"{name}:{k}" if k else name) for k, symbol in enumerate(node.outputs))


def _graph_node(name, operation, inputs, outputs):
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto as Shape

    shapes = [Shape(dim=[Shape.Dim(size=-1 if size is None else size) for size in symbol.shape]) for symbol in outputs]
    attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=shapes))}
    return NodeDef(name=name, op=operation, input=inputs, attr=attributes)
