"""Layers around a layer: `TimeDistributed` applies it to every time step, `Bidirectional` runs it both ways."""

import copy
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jkeras import random
from jkeras.graph import adapter
from jkeras.graph.layer import Call, InputSpec, Layer, call_with_training
from jkeras.layers.cell import first, join_inputs, listed, split_inputs
from jkeras.serialize.objects import CustomObjectScope, has_arg
from jkeras.typing import CustomObjects
from jkeras.utils.generic_utils import object_list_uid  # noqa: F401

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper", "has_arg"]


def call_inner(
    layer: Layer, name: str, params: dict, state: dict, inputs: Any, *, key: Any = None, **arguments: Any
) -> Call:
    """The call of the layer that `params` and `state` hold under `name`, without its activity penalty. The `state` of
    the result is that of the wrapper."""
    key = None if key is None else random.as_key(key).fold(name)
    call = layer.compute_call(params.get(name, {}), state.get(name, {}), inputs, key=key, **arguments)
    return dataclasses.replace(call, state={**state, name: call.state} if call.state else state)


class Wrapper(Layer):
    """The base of layers around a layer.

    Arguments:
        layer: the layer inside.

    As in Keras 2.2.4, `trainable` is that of the layer inside, and making the wrapper sets it (to True unless given).
    """

    declare = Layer.declare  # which does not go through `build` below

    def __init__(self, layer: Layer, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__} wraps a layer; got {layer!r}.")
        self.layer = layer
        super().__init__(**kwargs)

    def build(self, input_shape: Any = None):
        """Build the layer inside for `input_shape`, if that is given and it is not built yet."""
        if input_shape is not None:
            super().build(input_shape)
        self.built = True

    def sublayers(self):
        return self.held_layers({"layer": self.layer})

    def saved_weights(self):
        return self.layer.saved_weights()

    def sublayer_shapes(self, input_shape: Any):
        return {"layer": input_shape}

    @property
    def activity_regularizer(self):
        """That of the layer inside, applied to the wrapper's outputs."""
        return getattr(self.layer, "activity_regularizer", None)

    @property
    def trainable(self):
        """Whether training changes the weights."""
        return self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool):
        self.layer.trainable = value

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        from jkeras.layers import deserialize

        layer = deserialize(config["layer"], custom_objects=custom_objects)
        with CustomObjectScope(custom_objects):
            return cls(**{**config, "layer": layer})


class TimeDistributed(Wrapper):
    """Apply a layer to every time step.

    Arguments:
        layer: a layer, or a model.

    Input shape: (batch, time, ...). Output shape: (batch, time, *output shape of the layer).

    The time steps become examples, (batch * time, ...), and the layer is applied once: dropout differs between time
    steps, batch normalization takes its mean over them, too. (Where the batch size is fixed, Keras 2.2.4 loops and
    ignores the mask; that is not imitated.)

    Example:
        >>> layer = TimeDistributed(Dense(8))
        >>> layer.compute_output_shape((None, 10, 16))
        (None, 10, 8)
    """

    supports_masking = True
    input_spec = InputSpec(min_ndim=3)
    call = call_with_training

    def sublayer_shapes(self, input_shape: Any):
        return {"layer": (input_shape[0], *input_shape[2:])}

    def compute_call(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None
    ):
        batch, time = inputs.shape[:2]
        if key is not None:
            key = random.as_key(key)
            key = key.at(key.first * time)  # the place of the first of (batch * time) examples
        call = call_inner(
            self.layer, "layer", params, state, _steps_as_examples(inputs), key=key, training=training,
            mask=_steps_as_examples(mask),
        )  # fmt: skip
        outputs = jax.tree.map(lambda array: array.reshape((batch, time, *array.shape[1:])), call.outputs)
        return dataclasses.replace(call, outputs=outputs, mask=self._joined(call.mask, inputs, mask))

    def compute_mask(self, inputs: Any, mask: Any = None):
        """The mask that the layer makes of each time step; failing that, which time steps have anything unmasked."""
        return self._joined(self.layer.compute_mask(_steps_as_examples(inputs), _steps_as_examples(mask)), inputs, mask)

    @staticmethod
    def _joined(made, inputs, mask):
        """The mask `made` of the single steps, or if there is none that of which steps have anything unmasked."""
        if made is not None:
            return made.reshape((*inputs.shape[:2], *made.shape[1:]))
        if mask is None or mask.ndim == 2:
            return mask
        return jnp.any(mask, axis=tuple(range(2, mask.ndim)))


def _steps_as_examples(array):
    """(batch, time, ...) -> (batch * time, ...); None stays."""
    return None if array is None else jnp.reshape(array, (array.shape[0] * array.shape[1], *array.shape[2:]))


_MERGES = {
    "sum": lambda forward, backward: forward + backward,
    "mul": lambda forward, backward: forward * backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    None: lambda forward, backward: [forward, backward],
}


#: What a layer has that Bidirectional wraps.
_OF_RECURRENT = ("return_sequences", "return_state", "go_backwards", "get_config")


class Bidirectional(Wrapper):
    """Run a recurrent layer forwards, a second one like it backwards, and merge their outputs.

    Arguments:
        layer: a recurrent layer. Its copy `forward_layer` and its mirror image `backward_layer` have their own weights.
        merge_mode: 'sum', 'mul', 'ave', 'concat', or None for a list of both outputs.
        weights: initial weights, as of `get_weights`: those of the forward layer, then those of the backward layer.

    Input shape: as of the layer; as a list: [inputs, *forward initial states, *backward initial states, *constants].

    Output shape: as of the layer, the last axis twice as long with 'concat'; with `return_state` a list of it and of
    the states of both.

    As in Keras 2.2.4, a Bidirectional is not `stateful` itself: a stateful layer inside carries its states from batch
    to batch in training only, and a model's `reset_states` does not reset them; its own does.

    Reference:
        Schuster and Paliwal, Bidirectional recurrent neural networks, https://doi.org/10.1109/78.650093

    Example:
        >>> layer = Bidirectional(LSTM(8, return_sequences=True), merge_mode="concat")
        >>> layer.compute_output_shape((None, 10, 3))
        (None, 10, 16)
    """

    declare = Layer.declare
    supports_masking = True

    def __init__(self, layer: Layer, merge_mode: str | None = "concat", weights: Sequence | None = None, **kwargs: Any):
        if not (merge_mode is None or isinstance(merge_mode, str)) or merge_mode not in _MERGES:
            raise ValueError(
                'Bidirectional: Invalid merge mode. Merge mode should be one of {"sum", "mul", "ave", "concat", None}. '
                f"Received: {merge_mode!r}"
            )
        if missing := [name for name in _OF_RECURRENT if not hasattr(layer, name)]:
            raise ValueError(f"Bidirectional wraps a recurrent layer; {layer!r} has no {', '.join(missing)}.")
        self.forward_layer = copy.copy(layer)
        with CustomObjectScope(_objects_of(layer)):
            config = layer.get_config()
            self.backward_layer = type(layer).from_config({**config, "go_backwards": not layer.go_backwards})
        self.forward_layer.name = "forward_" + layer.name
        self.backward_layer.name = "backward_" + layer.name
        self.merge_mode = merge_mode
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        super().__init__(layer, **({} if weights is None else {"weights": weights}), **kwargs)
        self.input_spec = layer.input_spec

    @property
    def trainable(self):
        """Whether training changes the weights: of both layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool):
        self._trainable = self.forward_layer.trainable = self.backward_layer.trainable = value

    @property
    def num_constants(self):
        return getattr(self.forward_layer, "num_constants", None)

    @num_constants.setter
    def num_constants(self, count: int | None):
        self.forward_layer.num_constants = self.backward_layer.num_constants = count

    def saved_weights(self):
        return self.forward_layer.saved_weights() + self.backward_layer.saved_weights()

    @property
    def constraints(self) -> dict:
        """variable -> constraint, of the weights of both layers that have one."""
        return {one: one.constraint for one in jax.tree.leaves(self.variables()[0]) if one.constraint is not None}

    # ------------------------------------------------------------------------------------------------ the pure pair

    def sublayers(self):
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    def sublayer_shapes(self, input_shape: Any):
        if not isinstance(input_shape[0], (list, tuple)):
            return {"forward_layer": input_shape, "backward_layer": input_shape}
        forward, backward = self._both(*split_inputs(list(input_shape), None, None, self.num_constants))
        return {"forward_layer": forward, "backward_layer": backward}

    def _both(self, inputs, initial_state, constants):
        """What each of the two layers is called on: [inputs, *its initial states, *constants]."""
        half = len(listed(initial_state)) // 2
        halves = listed(initial_state)[:half], listed(initial_state)[half:]
        return [[inputs, *states, *listed(constants)] for states in halves]

    def compute_call(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
        initial_state: Any = None, constants: Any = None,
    ):  # fmt: skip
        parts = split_inputs(inputs, initial_state, constants, self.num_constants)
        outputs, states, losses = [], [], []
        for (name, layer), given in zip(self.sublayers().items(), self._both(*parts), strict=True):
            given = given if len(given) > 1 else given[0]
            call = call_inner(layer, name, params, state, given, key=key, training=training, mask=first(mask))
            made, *last = call.outputs if self.return_state else [call.outputs]
            outputs.append(made)
            states += last
            losses += call.losses
            state = call.state
        if self.return_sequences:
            outputs[1] = jnp.flip(outputs[1], axis=1)
        merged = _MERGES[self.merge_mode](*outputs)
        merged = listed(merged) + states if self.return_state else merged
        return Call(merged, state, self.compute_mask(inputs, mask), losses)

    def compute_mask(self, inputs: Any, mask: Any = None):
        output = first(mask) if self.return_sequences else None
        outputs = [output, output] if self.merge_mode is None else [output]
        if self.return_state:
            outputs += [None] * 2 * len(self.forward_layer.states)
        return outputs if len(outputs) > 1 else output

    # --------------------------------------------------------------------------------------------- call on symbols

    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **arguments: Any):
        """Call the layer on a symbol, or on a list as in *Input shape*, whose parts may also be given by name."""
        inputs, initial_state, constants = split_inputs(inputs, initial_state, constants, self.num_constants)
        if constants is not None:
            self.num_constants = len(constants)
        if initial_state is not None:
            if len(initial_state) % 2:
                raise ValueError(
                    f"Layer {self.name}: When passing `initial_state` to a Bidirectional RNN, the state should be a "
                    f"list containing the states of the underlying RNNs. Found: {initial_state}"
                )
            shapes = [tuple(one.shape) for one in initial_state]
            self.forward_layer.check_states(shapes[: len(shapes) // 2])
            self.backward_layer.check_states(shapes[len(shapes) // 2 :])
        inputs, given = join_inputs(self, inputs, initial_state, constants)
        return super().__call__(inputs, **given, **arguments)

    def assert_input_compatibility(self, shapes: Sequence):
        self.forward_layer.assert_input_compatibility(shapes)

    def build(self, input_shape: Any):
        """Build both layers."""
        for name, shape in self.sublayer_shapes(input_shape).items():
            layer = self.sublayers()[name]
            if not layer.built:
                with adapter.name_scope(layer.name):
                    layer.build(shape)
                layer.built = True
        self.built = True

    def reset_states(self):
        """Set the states of both layers to zeros."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    # ------------------------------------------------------------------------------------------------------ config

    @classmethod
    def _config_names(cls):
        return [name for name in super()._config_names() if name != "weights"]

    def get_config(self):
        constants = {} if self.num_constants is None else {"num_constants": self.num_constants}
        return super().get_config() | constants

    @classmethod
    def from_config(cls, config: dict, custom_objects: CustomObjects = None):
        config = dict(config)
        constants = config.pop("num_constants", None)
        layer = super().from_config(config, custom_objects)
        if constants is not None:
            layer.num_constants = constants
        return layer


def _objects_of(layer) -> dict:
    """The classes and functions that a config of `layer` names, by name: so that those of the user are found."""
    found = {}
    for value in vars(layer).values():
        if inspect.isfunction(value):
            found[value.__name__] = value
        elif hasattr(value, "get_config"):
            found[type(value).__name__] = type(value)
    for inner in layer.sublayers().values():
        found |= {type(inner).__name__: type(inner)} | _objects_of(inner)
    return found
