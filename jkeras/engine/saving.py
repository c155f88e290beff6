"""Models in files that Keras 2.2.4 reads and writes too: HDF5 with weights and training state, JSON and YAML.

Reading never runs code from a file unless the caller allows it in the call; a file is written completely or not at all.
"""

import contextlib
import io
import json
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jkeras import losses, metrics, optimizers
from jkeras.engine.conversion import preprocess_weights_for_loading
from jkeras.graph import describe
from jkeras.interrupt import Shield
from jkeras.layers.core import allow_code as code_allowed
from jkeras.serialize import hdf5
from jkeras.serialize.bounded import Group, reading
from jkeras.serialize.code import plain
from jkeras.serialize.hdf5 import ask_to_proceed_with_overwrite
from jkeras.serialize.texts import parsed_json, parsed_yaml
from jkeras.serialize.trust import LoadError, Unknown, at, check_nesting, check_size
from jkeras.typing import CustomObjects, PathLike

__all__ = [
    "load_model", "load_weights", "load_weights_from_hdf5_group", "load_weights_from_hdf5_group_by_name",
    "model_from_config", "model_from_json", "model_from_yaml", "pickle_model", "preprocess_weights_for_loading",
    "save_model", "save_weights", "save_weights_to_hdf5_group", "to_json", "to_yaml", "unpickle_model",
]  # fmt: skip


# ---------------------------------------------------------------------------------------------------- graphs as text


def _described(model) -> dict:
    return {"class_name": type(model).__name__, "config": model.get_config()}


def to_json(model: Any, **kwargs) -> str:
    """The graph of `model`, without weights, as JSON text; `kwargs` go to `json.dumps`."""
    written_by = {"keras_version": hdf5.KERAS_VERSION, "backend": hdf5.BACKEND}
    return json.dumps(_described(model) | written_by, default=plain, **kwargs)


def to_yaml(model: Any, **kwargs) -> str:
    """The graph of `model`, without weights, as YAML text; `kwargs` go to `yaml.dump`."""
    import yaml

    return yaml.safe_dump(json.loads(to_json(model)), **kwargs)


def model_from_config(config: dict, custom_objects: CustomObjects = None, *, allow_code: bool = False):
    """A new model, not compiled, from {'class_name': ..., 'config': ...}.

    Arguments:
        config: such a dict.
        custom_objects: dict name -> class or function, of what is not this package's.
        allow_code: whether Python code in the config (of `Lambda` layers) may be run. Only for what you trust.

    Raises:
        TypeError: if `config` is a list: that is what `Sequential.from_config` takes.
        LoadError: if classes are not known, or the config holds code and that was not allowed, or makes no model. It is
            a `ValueError`, which says where in the config.
    """
    if isinstance(config, list):
        raise TypeError(
            "`model_from_config` expects a dictionary, not a list. Maybe you meant to use "
            "`Sequential.from_config(config)`?"
        )
    with at("config"), code_allowed() if allow_code else contextlib.nullcontext():
        model = describe.layer_from_config(check_nesting(config), custom_objects)
        check_size([sum(math.prod(weight.shape) for weight in model.weights)], "its weights", part=1)
        return model


def model_from_json(json_string: str, custom_objects: CustomObjects = None, *, allow_code: bool = False):
    """A new model, not compiled, from what `to_json` gave; see `model_from_config`."""
    with at("JSON"):
        return model_from_config(parsed_json(json_string), custom_objects, allow_code=allow_code)


def model_from_yaml(yaml_string: str, custom_objects: CustomObjects = None, *, allow_code: bool = False):
    """A new model, not compiled, from what `to_yaml` gave; see `model_from_config`."""
    with at("YAML"):
        return model_from_config(parsed_yaml(yaml_string), custom_objects, allow_code=allow_code)


# ----------------------------------------------------------------------------------------------------------- weights


def save_weights_to_hdf5_group(f: Any, layers: Sequence) -> None:
    """Write the weights of `layers` into an h5py group, as Keras does."""
    hdf5.write_names(f, "layer_names", [layer.name for layer in layers])
    hdf5.write_text(f, "backend", hdf5.BACKEND)
    hdf5.write_text(f, "keras_version", hdf5.KERAS_VERSION)
    for layer in layers:
        if layer.name in ("", ".", "/") or "\0" in layer.name:
            raise ValueError(f"The layer name {layer.name!r} cannot be that of a group in an HDF5 file.")
        named = [(weight.name, weight.numpy()) for weight in layer.weights]
        hdf5.write_arrays(f.create_group(layer.name), named)


class _Misfit(LoadError):
    """The weights of a file are not those of the model."""


@contextlib.contextmanager
def _as_in_keras():
    """Inside, weights that do not fit are a plain `ValueError`: the file may be right, and the model another one."""
    try:
        yield
    except _Misfit as error:
        raise ValueError(str(error)) from error


def _fitted(array, variable, reshape):
    """`array` as a value of `variable`; None if its shape does not fit."""
    if array.shape != variable.shape and reshape and array.size == np.prod(variable.shape):
        array = array.reshape(variable.shape)
    return np.asarray(array, dtype=jnp.dtype(variable.dtype)) if array.shape == variable.shape else None


def _origin(group: Group) -> tuple[str, str | None]:
    """The version of Keras and the backend whose weights are in `group`."""
    return group.text("keras_version") or "1", group.text("backend")


def _arrays(stored: list, origin: tuple[str, str | None], layer, reshape) -> list:
    """Arrays of a file as weights of `layer`. If there is far more than its weights hold, which no conversion makes
    fit, then something of the same shapes."""
    if sum(one.size for one in stored) > 2 * sum(math.prod(weight.shape) for weight in layer.weights):
        return [one.stand_in() for one in stored]
    arrays = [one.read() for one in stored]
    with at(f"the weights of layer {layer.name}", [array.shape for array in arrays]):
        return preprocess_weights_for_loading(layer, arrays, *origin, reshape)


def load_weights_from_hdf5_group(f: Any, layers: Sequence, reshape: bool = False) -> None:
    """Give `layers` the weights in an h5py group, in its order; see `load_weights`."""
    with _as_in_keras(), reading(f) as group:
        pairs = _matched_by_order(group, layers, reshape)
    _assign(pairs)


def load_weights_from_hdf5_group_by_name(
    f: Any, layers: Sequence, skip_mismatch: bool = False, reshape: bool = False
) -> None:
    """Give each of `layers` the weights under its name in an h5py group; see `load_weights`."""
    with _as_in_keras(), reading(f) as group:
        pairs = _matched_by_name(group, layers, skip_mismatch, reshape)
    _assign(pairs)


def _matched_by_order(group, layers, reshape) -> list:
    """(variable, value) pairs: the n-th layer with weights gets the weights of the n-th such layer in the file."""
    layers = [layer for layer in layers if layer.weights]
    found = [name for name in group.names("layer_names") if group[name].names("weight_names")]
    if len(found) != len(layers):
        raise _Misfit(
            f"You are trying to load a weight file containing {len(found)} layers into a model with {len(layers)} "
            "layers."
        )
    pairs, origin = [], _origin(group)
    for number, (name, layer) in enumerate(zip(found, layers, strict=True)):
        arrays, variables = _arrays(group[name].arrays(), origin, layer, reshape), layer.weights
        if len(arrays) != len(variables):
            raise _Misfit(
                f'Layer #{number} (named "{layer.name}" in the current model) was found to correspond to layer {name} '
                f"in the save file. However the new layer {layer.name} expects {len(variables)} weights, but the saved "
                f"weights have {len(arrays)} elements."
            )
        for variable, array in zip(variables, arrays, strict=True):
            value = _fitted(array, variable, reshape)
            if value is None:
                raise _Misfit(_misfit(number, layer, variable, array))
            pairs.append((variable, value))
    return pairs


def _matched_by_name(group, layers, skip_mismatch, reshape) -> list:
    """(variable, value) pairs: each layer gets the weights under its name; names that one side lacks are left out."""
    by_name, origin = {layer.name: layer for layer in layers}, _origin(group)
    pairs = []
    for number, name in enumerate(group.names("layer_names")):
        if name not in by_name:
            continue
        layer = by_name[name]
        arrays, variables = _arrays(group[name].arrays(), origin, layer, reshape), layer.weights
        if len(arrays) != len(variables):
            if not skip_mismatch:
                raise _Misfit(
                    f'Layer #{number} (named "{name}") expects {len(variables)} weight(s), but the saved weights have '
                    f"{len(arrays)} element(s)."
                )
            warnings.warn(
                f"Skipping loading of weights for layer {name} due to mismatch in number of weights "
                f"({len(variables)} vs {len(arrays)}).",
                stacklevel=4,
            )
            continue
        for variable, array in zip(variables, arrays, strict=True):
            value = _fitted(array, variable, reshape)
            if value is not None:
                pairs.append((variable, value))
            elif skip_mismatch:
                warnings.warn(
                    f"Skipping loading of weights for layer {name} due to mismatch in shape "
                    f"({variable.shape} vs {array.shape}).",
                    stacklevel=4,
                )
            else:
                raise _Misfit(_misfit(number, layer, variable, array))
    return pairs


def _misfit(number, layer, variable, array) -> str:
    return (
        f'Layer #{number} (named "{layer.name}"), weight {variable.name} has shape {variable.shape}, but the saved '
        f"weight has shape {array.shape}."
    )


def _assign(pairs):
    with Shield():  # Ctrl-C does not leave half of the weights behind
        for variable, value in pairs:
            variable.value = value


def save_weights(model: Any, filepath: PathLike, overwrite: bool = True):
    """Write the weights of `model` to an HDF5 file, completely or not at all.

    Arguments:
        filepath: a path, or an h5py file or group.
        overwrite: whether an existing file may be replaced without asking.

    Raises:
        FileExistsError: if it may not, and there is no terminal to ask on.
    """
    if _may_write(filepath, overwrite):
        with hdf5.writing(filepath) as group:
            save_weights_to_hdf5_group(group, model.layers)


def load_weights(
    model: Any, filepath: PathLike, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
):
    """Load weights from an HDF5 file of weights or of a whole model; everything is checked before anything is changed.

    Arguments:
        filepath: a path, an h5py file or group, the bytes of a file, or an object that reads them.
        by_name: whether layers are matched by name instead of by order.
        skip_mismatch: with `by_name`, leave out weights that do not fit, with a warning.
        reshape: reshape arrays that have the right number of entries.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the weights do not fit; if the file is damaged, it is a `LoadError`.
    """
    with _as_in_keras(), reading(filepath) as group:
        if not group.names("layer_names") and "model_weights" in group:
            group = group["model_weights"]
        if by_name:
            pairs = _matched_by_name(group, model.layers, skip_mismatch, reshape)
        else:
            pairs = _matched_by_order(group, model.layers, reshape)
    _assign(pairs)


def _may_write(filepath, overwrite) -> bool:
    exists = isinstance(filepath, (str, os.PathLike)) and os.path.isfile(filepath)
    return overwrite or not exists or ask_to_proceed_with_overwrite(filepath)


# ------------------------------------------------------------------------------------------------------ whole models


def save_model(model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True):
    """Write graph, weights, compile arguments and optimizer state to one HDF5 file, completely or not at all.

    Arguments:
        model: a `Model` or `Sequential`.
        filepath: a path, or an h5py file or group.
        overwrite: whether an existing file may be replaced without asking.
        include_optimizer: whether the compile arguments and the state of the optimizer are written too.

    Raises:
        FileExistsError: if the file may not be replaced, and there is no terminal to ask on.
    """
    if _may_write(filepath, overwrite):
        with hdf5.writing(filepath) as group:
            _write_model(group, model, include_optimizer)


def _write_model(group, model, include_optimizer):
    hdf5.write_text(group, "keras_version", hdf5.KERAS_VERSION)
    hdf5.write_text(group, "backend", hdf5.BACKEND)
    hdf5.write_text(group, "model_config", json.dumps(_described(model), default=plain))
    save_weights_to_hdf5_group(group.create_group("model_weights"), model.layers)
    if include_optimizer and model.optimizer is not None:
        _write_training(group, model)


def _write_training(group, model):
    optimizer = model.optimizer
    try:
        optimizer_config = optimizer.get_config()
    except NotImplementedError as error:
        warnings.warn(f"The optimizer was left out of the file: {error}", stacklevel=6)
        return
    training = {
        "optimizer_config": {"class_name": type(optimizer).__name__, "config": optimizer_config},
        "loss": model.loss,
        "metrics": model.metrics,
        "sample_weight_mode": model.sample_weight_mode,
        "loss_weights": model.loss_weights,
    }
    if model.weighted_metrics:  # which Keras 2.2.4 forgets
        training["weighted_metrics"] = model.weighted_metrics
    hdf5.write_text(group, "training_config", json.dumps(training, default=plain))
    weights = optimizer.get_weights()
    if weights:
        prefix = f"training/{type(optimizer).__name__}/Variable"
        named = [(f"{prefix}_{number}:0", weight) for number, weight in enumerate(weights)]
        hdf5.write_arrays(group.create_group("optimizer_weights"), named)


def load_model(filepath: Any, custom_objects: CustomObjects = None, compile: bool = True, allow_code: bool = False):
    """A model from a file that `save_model`, of this package or of Keras 2, wrote.

    Arguments:
        filepath: a path, an h5py file or group, the bytes of a file, or an object that reads them.
        custom_objects: dict name -> class or function, of what is not this package's.
        compile: whether to compile the model as it was, and restore the state of its optimizer.
        allow_code: whether Python code in the file (of `Lambda` layers) may be run. Only for files that you trust.

    Raises:
        FileNotFoundError: if there is no such file.
        LoadError: if the file is damaged, holds no model, or one that does not fit itself; if classes or functions are
            not known; if it holds code and that was not allowed. It is a `ValueError`, which says where in the file.
    """
    custom_objects, unknown, training = dict(custom_objects or {}), Unknown(), None
    with reading(filepath) as group:
        text = group.text("model_config")
        if text is None:
            raise LoadError("No model found: it has no 'model_config'. If it holds weights, use load_weights.")
        with unknown.noted(), at("model_config"):
            model = model_from_config(parsed_json(text), custom_objects, allow_code=allow_code)
        if compile:
            with unknown.noted(), at("training_config"):
                training = _training_arguments(group.text("training_config"), custom_objects)
        unknown.tell()
        _assign(_matched_by_order(group["model_weights"], model.layers, reshape=False))
        if training is not None:
            with at("training_config"):
                model.compile(**training)
            if "optimizer_weights" in group:
                _restore_optimizer(model, [one.read() for one in group["optimizer_weights"].arrays()])
    return model


#: Metrics whose function `compile` chooses.
_CHOSEN_METRICS = ("accuracy", "acc", "crossentropy", "ce")


def _training_arguments(text, custom_objects) -> dict | None:
    """What `compile` is to be called with, as a file says."""
    if text is None:
        warnings.warn(
            "No training configuration found in save file: the model was *not* compiled. Compile it manually.",
            stacklevel=4,
        )
        return None
    training, unknown = parsed_json(text), Unknown()

    def resolved(value, known):
        if isinstance(value, list):
            return [resolved(part, known) for part in value]
        if isinstance(value, dict):
            return {name: resolved(part, known) for name, part in value.items()}
        if isinstance(value, str) and value not in _CHOSEN_METRICS:
            with unknown.noted():
                known(value, custom_objects)
        return custom_objects.get(value, value)

    arguments = {
        "loss": resolved(training["loss"], losses.deserialize),
        "metrics": resolved(training["metrics"], metrics.deserialize),
        "loss_weights": training["loss_weights"],
        "sample_weight_mode": training["sample_weight_mode"],
        "weighted_metrics": resolved(training.get("weighted_metrics"), metrics.deserialize),
    }
    with unknown.noted():
        arguments["optimizer"] = optimizers.deserialize(training["optimizer_config"], custom_objects=custom_objects)
    unknown.tell()
    return arguments


def _restore_optimizer(model, arrays):
    with model.trainer.core.precision():
        model.trainer.begin()
        try:
            model.optimizer.set_weights(arrays)
        except ValueError as error:
            warnings.warn(
                "Error in loading the saved optimizer state. As a result, your model is starting with a freshly "
                f"initialized optimizer. ({error})",
                stacklevel=5,
            )


# ----------------------------------------------------------------------------------------------------------- pickles


def pickle_model(model: Any) -> bytes:
    """What a pickle holds of `model`: the bytes of the file that `save_model` writes."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        _write_model(file, model, include_optimizer=True)
    return buffer.getvalue()


def unpickle_model(state: bytes):
    """The model of `pickle_model`. A pickle can run any code by itself, so that of `Lambda` layers may run too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No training configuration")
        return load_model(state, allow_code=True)
