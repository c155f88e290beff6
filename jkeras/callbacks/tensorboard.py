"""`TensorBoard`: what happens in training, written for TensorBoard to show."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jkeras import config
from jkeras.callbacks.base import Callback
from jkeras.callbacks.events import EventFile, Histogram, grey, require_tensorboardx
from jkeras.data import arrays
from jkeras.graph.function import Function, nodes_between
from jkeras.trees import as_list
from jkeras.typing import Logs, PathLike

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes what TensorBoard shows: the logs, and if wanted the graph, weights, activations, gradients, embeddings.

    Arguments:
        log_dir: the folder.
        histogram_freq: every how many epochs to write histograms of the weights and, on the validation data, of the
            outputs of the layers; 0 for never.
        batch_size: how many examples to compute at a time for these.
        write_graph: whether to write the graph of the layers.
        write_grads: whether to write, with the histograms, those of the gradients of the loss on the validation data.
        write_images: whether to write, with the histograms, the weights as pictures.
        embeddings_freq: every how many epochs to write the outputs of some layers for the projector; 0 for never.
        embeddings_layer_names: the names of these layers; None for all `Embedding` layers.
        embeddings_metadata: a file of labels for the examples, relative to `log_dir`; or dict layer's name -> file.
        embeddings_data: the inputs for them: an array, or a list of arrays.
        update_freq: 'epoch' writes the logs of epochs; 'batch', or a number of examples, also those of a batch each
            time that so many were seen. Then the examples seen are the x axis, and each batch is a step of its own.

    What is in the logs and is no single number is not written. A histogram is over all validation data (Keras 2.2.4
    writes one for each batch of it).

    Raises:
        ImportError: without tensorboardX (`pip install jkeras[tensorboard]`).
        ValueError: before the first epoch, if validation data or embeddings' data or layers are missing.

    Example:
        >>> board = TensorBoard("logs/run_1", histogram_freq=5)  # for `model.fit(..., callbacks=[board])`
    """

    state_names = ("next_step", "samples_seen", "samples_seen_at_last_write")

    def __init__(
        self, log_dir: PathLike = "./logs", histogram_freq: int = 0, batch_size: int = 32, write_graph: bool = True,
        write_grads: bool = False, write_images: bool = False, embeddings_freq: int = 0,
        embeddings_layer_names: Sequence[str] | None = None,
        embeddings_metadata: PathLike | Mapping[str, PathLike] | None = None, embeddings_data: Any = None,
        update_freq: str | int = "epoch",
    ):  # fmt: skip
        require_tensorboardx()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.batch_size = histogram_freq, batch_size
        self.write_graph, self.write_grads, self.write_images = write_graph, write_grads, write_images
        self.embeddings_freq, self.embeddings_layer_names = embeddings_freq, embeddings_layer_names
        self.embeddings_metadata, self.embeddings_data = embeddings_metadata or {}, embeddings_data
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.samples_seen, self.samples_seen_at_last_write, self.next_step = 0, 0, 0
        self._events: Any = None
        if self.update_freq == "epoch" and type(self).on_batch_end is TensorBoard.on_batch_end:
            self.on_batch_end = super().on_batch_end  # which does nothing: no batch has to be a step of its own

    # ----------------------------------------------------------------------------------------------------- the hooks

    def on_train_begin(self, logs: Logs = None) -> None:
        self._close()  # of a run that was broken off
        self._events = EventFile(self.log_dir)
        if self.write_graph:
            self._events.graph(self.model)
        self._activations: Any = None
        self._embeddings: Any = None

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._events.restart(self.next_step)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.histogram_freq and not self.validation_data:
            raise ValueError(
                "TensorBoard: for histograms (histogram_freq) validation_data must be provided, as arrays: it "
                "cannot be a generator."
            )
        if self.embeddings_freq and self.embeddings_data is None:
            raise ValueError("TensorBoard: to write embeddings (embeddings_freq), embeddings_data must be provided.")
        if self.embeddings_freq and self._embeddings is None:
            self._embeddings = self._embedding_function()

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if self.update_freq != "epoch":
            self.samples_seen += logs.get("size", 0)
            if self.samples_seen - self.samples_seen_at_last_write >= self.update_freq:
                self._write_logs(logs, self.samples_seen)
                self.samples_seen_at_last_write = self.samples_seen

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
            self._write_activations(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)
        self._write_logs(logs or {}, epoch if self.update_freq == "epoch" else self.samples_seen)

    def on_train_end(self, logs: Logs = None) -> None:
        self._close()

    def _close(self):
        if self._events is not None:
            self._events.close()
        self._events = None

    def _write_logs(self, logs, step):
        for name, value in logs.items():
            if name not in ("batch", "size") and np.size(value) == 1 and np.asarray(value).dtype.kind in "fiub":
                self._events.scalar(name, np.asarray(value).item(), step)
        self._events.flush()
        self.next_step = step + 1

    # ---------------------------------------------------------------------------------------- weights and activations

    def _write_weights(self, epoch):
        gradients = self._mean_gradients() if self.write_grads else {}
        for tag, weight in _tagged([weight for layer in self.model.layers for weight in layer.weights]):
            value = weight.numpy()
            self._events.histogram(tag, Histogram(value), epoch)
            if weight in gradients:
                self._events.histogram(f"{tag}_grad", Histogram(gradients[weight]), epoch)
            for place, picture in enumerate(_pictures(value) if self.write_images else ()):
                # TensorFlow numbers the second summary of a name.
                self._events.image(f"{tag}_1/image/{place}", grey(picture), epoch)

    def _write_activations(self, epoch):
        if self._activations is None:
            tags, symbols = _layer_outputs(self.model)
            self._activations = (tags, Function(self.model.inputs, symbols))
        tags, function = self._activations
        histograms = [Histogram() for _ in tags]
        for inputs, _, _ in self._validation_batches():
            for histogram, output in zip(histograms, function(inputs), strict=True):
                histogram.add(output)
        for tag, histogram in zip(tags, histograms, strict=True):
            self._events.histogram(tag, histogram, epoch)

    def _validation_batches(self):
        """(inputs, targets, weights) of the validation data, `batch_size` examples at a time."""
        count = len(self.model.inputs)
        outputs = (len(self.validation_data) - count) // 2
        data = (
            self.validation_data[:count],
            self.validation_data[count : count + outputs],
            self.validation_data[count + outputs : count + 2 * outputs],
        )
        for start, stop in arrays.batch_slices(len(data[0][0]), self.batch_size):
            yield arrays.slice_rows(data, start, stop)

    def _mean_gradients(self) -> dict:
        """weight -> the gradient of the loss on the validation data."""
        totals, examples = {}, 0
        for inputs, *others in self._validation_batches():
            inputs = [np.asarray(rows, symbol.dtype) for symbol, rows in zip(self.model.inputs, inputs, strict=True)]
            for weight, gradient in self.model.trainer.loss_gradients((inputs, *others)).items():
                totals[weight] = totals.get(weight, 0.0) + len(inputs[0]) * np.asarray(gradient)
            examples += len(inputs[0])
        return {weight: total / examples for weight, total in totals.items()}

    # ---------------------------------------------------------------------------------------------------- embeddings

    def _embedding_function(self):
        """The layers, the data, and the function from these to the layers' outputs."""
        layers = self._embedding_layers()
        shapes, dtypes = zip(*((symbol.shape, symbol.dtype) for symbol in self.model.inputs), strict=True)
        data = arrays.standardize_inputs(self.embeddings_data, self.model.input_names, shapes, dtypes)
        return layers, data, Function(self.model.inputs, [layer.output for layer in layers])

    def _write_embeddings(self, epoch):
        layers, data, function = self._embeddings
        slices = arrays.batch_slices(len(data[0]), self.batch_size)
        parts = [function(arrays.slice_rows(data, start, stop)) for start, stop in slices]
        os.makedirs(os.path.join(self.log_dir, f"{epoch:05d}"), exist_ok=True)
        for layer, outputs in zip(layers, zip(*parts, strict=True), strict=True):
            path = f"{epoch:05d}/{layer.name.replace('/', '_')}.tsv"
            rows = np.concatenate(outputs).reshape(len(data[0]), -1)
            np.savetxt(os.path.join(self.log_dir, path), rows, fmt="%.8g", delimiter="\t")
            self._configure_projector(f"{layer.name}:{epoch:05d}", path, self._metadata(layer.name))

    def _embedding_layers(self) -> list:
        if self.embeddings_layer_names:
            return [self.model.get_layer(name) for name in self.embeddings_layer_names]
        layers = [layer for layer in self.model.layers if type(layer).__name__ == "Embedding"]
        if not layers:
            raise ValueError(f"TensorBoard: {self.model.name} has no Embedding layer; name embeddings_layer_names.")
        return layers

    def _metadata(self, name):
        labels = self.embeddings_metadata
        return labels.get(name) if isinstance(labels, dict) else labels

    def _configure_projector(self, name, path, metadata):
        """Enter a table into the projector's list of them, unless it is there from an earlier run."""
        lines = [f'  tensor_name: "{name}"', f'  tensor_path: "{path}"']
        lines += [f'  metadata_path: "{os.fspath(metadata)}"'] if metadata else []
        entry = "\n".join(["embeddings {", *lines, "}\n"])
        with open(os.path.join(self.log_dir, "projector_config.pbtxt"), "a+", encoding="utf-8") as file:
            file.seek(0)
            if entry not in file.read():
                file.write(entry)


def _tagged(weights):
    """(tag, weight) of each weight; where names occur again, they are numbered."""
    seen: dict = {}
    for weight in weights:
        tag = weight.name.replace(":", "_")
        seen[tag] = count = seen.get(tag, -1) + 1
        yield f"{tag}_{count}" if count else tag, weight


def _pictures(value) -> list:
    """A weight as arrays (height, width), three at most: none for what has no such form."""
    value = np.squeeze(value)
    if value.ndim == 1:
        return [value[:, None]]
    if value.ndim == 2:
        return [value.T if value.shape[0] > value.shape[1] else value]
    if value.ndim != 3:
        return []
    if config.image_data_format() == "channels_last":
        value = np.moveaxis(value, -1, 0)
    return list(value[:3])


def _layer_outputs(model):
    """The tags and the symbols of the outputs of the layers that have been called once, in this model."""
    tags, symbols = [], []
    for layer in model.layers:
        outputs = getattr(layer, "output", None)
        if outputs is None:
            continue
        several = isinstance(outputs, list)
        outputs = as_list(outputs)
        try:
            nodes_between(model.inputs, outputs)
        except ValueError:  # the call belongs to another model
            continue
        tags += [f"{layer.name}_out_{place}" for place in range(len(outputs))] if several else [f"{layer.name}_out"]
        symbols += outputs
    return tags, symbols
