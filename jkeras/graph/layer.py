"""The Layer contract: a layer is a description, and a pure pair.

    init(key, input_shape)                                        -> params, state     two dicts, name -> array
    apply(params, state, inputs, *, key, training, mask)          -> outputs, state

`init` and `apply` read the hyperparameters of `self` and assign nothing. Every built-in layer is written this way; a
layer that is made of others names them in `sublayers` and their shapes in `sublayer_shapes`, and its dicts hold theirs.
Everything else about a layer is done here once: names, config from the signature, weights found by
`<weight>_initializer/_regularizer/_constraint`, the call on symbols, masks, activity losses, `get_weights`.

Layers in Keras style (`build`, `call`) get their pure pair from `graph.adapter`.
"""

import copy
import dataclasses
import inspect
import numbers
import re
from typing import Any

import jax
import numpy as np

from jkeras import batch, config, initializers, random, regularizers
from jkeras.graph import adapter
from jkeras.graph.connect import LayerNode, NodeAccess
from jkeras.graph.infer import infer
from jkeras.graph.scope import Scope, current_scope
from jkeras.graph.tensor import SymbolicTensor, Variable, is_symbol, symbols_in, unique_number

__all__ = ["Call", "InputSpec", "Layer"]


@dataclasses.dataclass
class InputSpec:
    """What a layer expects of one of its inputs; None means anything.

    Arguments:
        dtype: the type. shape: the sizes, None for any. ndim: the rank; max_ndim, min_ndim: bounds of it.
        axes: axis -> size, for single axes.
    """

    dtype: str | None = None
    shape: tuple | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: dict | None = None

    def __post_init__(self):
        if self.shape is not None:
            self.ndim = len(self.shape)

    def mismatch(self, shape) -> str | None:
        """What about `shape` does not fit, in words; None if it fits."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"expected ndim={self.ndim}, found ndim={rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected min_ndim={self.min_ndim}, found ndim={rank}"
        wanted = dict(self.axes or {})
        if self.shape is not None:
            wanted.update(enumerate(self.shape))
        for axis, size in wanted.items():
            if size is not None and shape[int(axis)] not in (size, None):
                return f"expected axis {axis} of input shape to have value {size} but got shape {tuple(shape)}"
        return None


@dataclasses.dataclass
class Call:
    """What one call of a layer gives: outputs, next state, the outputs' mask(s), and what it adds to the loss; of a
    network also the execution of its graph."""

    outputs: Any
    state: dict
    mask: Any
    losses: list
    execution: Any = None


_BASE_ARGUMENTS = {
    "input_shape",
    "batch_input_shape",
    "batch_size",
    "dtype",
    "name",
    "trainable",
    "weights",
    "input_dtype",
    "input_dim",
}


def snake_case(name: str) -> str:
    """'MaxPooling2D' -> 'max_pooling2d', as Keras names layers."""
    name = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
    return "private" + name if name[0] == "_" else name


def as_shape(value, argument: str, who: str) -> tuple:
    """`value` as a shape, a tuple of sizes and Nones; the message calls it `argument` of `who`.

    Raises:
        TypeError: if it is none.
    """
    fits = isinstance(value, (list, tuple)) and all(
        size is None or (isinstance(size, numbers.Integral) and not isinstance(size, bool)) for size in value
    )
    if not fits:
        raise TypeError(f"{who}: `{argument}` must be a tuple of integers and Nones. Received: {value!r}")
    return tuple(size if size is None else int(size) for size in value)


def free_name(name: str, taken) -> str:
    """`name`, or if it is among `taken`, with the first number that makes it another: 'kernel_1'."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def config_value(value):
    """`value` as config files hold it: objects as {'class_name', 'config'}, functions by name, arrays as lists."""
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, (list, tuple)):
        return type(value)(config_value(item) for item in value)
    if isinstance(value, dict):
        return {key: config_value(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.__name__ if callable(value) else value


class Layer(NodeAccess):
    """The base of all layers.

    Arguments:
        name: its name, unique within a model; made from the class's name if not given.
        trainable: whether `fit` may change its weights.
        input_shape: the shape of one example, for the first layer of a `Sequential`.
        batch_input_shape: the same with the batch size (or None) in front.
        batch_size: the batch size to go with `input_shape`.
        input_dim: the size of a one-dimensional `input_shape`.
        dtype: the type of the input, float32 unless given.
        weights: a list of arrays, the initial values of its weights in the order of `get_weights`.

    Raises:
        TypeError: for an argument that no layer knows.
    """

    supports_masking = False
    stateful = False
    input_spec = None
    activity_regularizer = None

    #: State that is not among the weights (not in `get_weights`, not in weight files): the names of its entries.
    unsaved_state: tuple = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        adapter.adopt(cls)

    def __init__(self, **kwargs):
        for argument in kwargs:
            if argument not in _BASE_ARGUMENTS:
                raise TypeError(
                    f"Keyword argument not understood: {argument!r} (given to {type(self).__name__}; beside its own "
                    f"arguments it takes {', '.join(sorted(_BASE_ARGUMENTS))})."
                )
        name = kwargs.get("name")
        if name is None:
            prefix = snake_case(type(self).__name__)
            name = f"{prefix}_{unique_number(prefix)}"
        self.name = name
        self.trainable = kwargs.get("trainable", True)
        self.built = False
        self._trainable_weights: list[Variable] = []
        self._non_trainable_weights: list[Variable] = []
        self._unsaved_state: list[Variable] = []
        self._initial_weights = kwargs.get("weights")
        self._added_losses: list = []
        self._inbound_nodes: list = []
        self._outbound_nodes: list = []
        shape = self._stated_shape(kwargs)
        if shape is not None:
            self.batch_input_shape = shape
            self.dtype = kwargs.get("dtype") or kwargs.get("input_dtype") or config.floatx()

    def _stated_shape(self, arguments) -> tuple | None:
        """The input shape, batch size in front, that the arguments of the constructor state; None if they do not."""
        who = f"Layer {self.name} ({type(self).__name__})"
        if arguments.get("batch_input_shape") is not None:
            return as_shape(arguments["batch_input_shape"], "batch_input_shape", who)
        batch_size = as_shape((arguments.get("batch_size"),), "batch_size", who)
        if arguments.get("input_shape") is not None:
            return batch_size + as_shape(arguments["input_shape"], "input_shape", who)
        if arguments.get("input_dim") is not None:
            return batch_size + as_shape((arguments["input_dim"],), "input_dim", who)
        return None

    # ------------------------------------------------------------------------------------------------ the pure pair

    def init(self, key, input_shape):
        """Initial weights and state for inputs of `input_shape` (a tuple with the batch axis, or a list of them).

        Arguments:
            key: a JAX key. With None, `Variable`s that describe the arrays are returned in their place.

        Returns:
            params, state: two dicts of arrays by name; those of sublayers as dicts inside them.
        """
        params, state = {}, {}
        shapes = self.sublayer_shapes(input_shape)
        for name, layer in self.sublayers().items():
            inner_key = None if key is None else random.as_key(key).fold(name)
            for tree, part in zip((params, state), layer.init(inner_key, shapes[name]), strict=True):
                if part:
                    tree[name] = part
        return params, state

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        """Outputs and next state for `inputs` (an array, or a list of arrays).

        Arguments:
            params, state: as from `init`.
            key: a JAX key, needed by layers that draw random numbers while training.
            training: whether this call is part of training (a Python bool).
            mask: of a sequence input, which time steps count: (batch, time) of bool, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither `apply` nor `call`.")

    def sublayers(self) -> dict:
        """The layers this one is made of, by the name under which its params and state hold theirs."""
        return {}

    def sublayer_shapes(self, input_shape) -> dict:
        """The input shape of each of `sublayers` when this layer's input has `input_shape`."""
        return {}

    def compute_mask(self, inputs, mask=None):
        """The mask(s) of the outputs: that of the inputs for layers which support masking."""
        if not self.supports_masking:
            if any(part is not None for part in jax.tree.leaves(mask)):
                raise TypeError(f"Layer {self.name} does not support masking, but was passed an input_mask: {mask}")
            return None
        return mask

    def weight(self, key, name, shape, initializer=None, *, prefix=None, dtype=None):
        """An initial weight, drawn by `<prefix>_initializer` of this layer (`prefix` is `name` unless given).

        Without a key it is the `Variable` that describes the weight.
        """
        prefix = prefix or name
        initializer = initializers.get(initializer or getattr(self, prefix + "_initializer"))
        dtype = dtype or config.floatx()

        def draw(key):
            return initializers.draw(initializer, random.as_key(key).fold(name), tuple(shape), dtype)

        if key is not None:
            return adapter.on_host(draw, key, tuple(shape), dtype)
        return Variable(
            shape,
            dtype,
            name,
            draw=draw,
            regularizer=getattr(self, prefix + "_regularizer", None),
            constraint=getattr(self, prefix + "_constraint", None),
        )

    def draw_key(self, key):
        """`key`, for a layer that draws random numbers while training.

        Raises:
            ValueError: if there is none.
        """
        if key is None:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}) draws random numbers while training and was given no key: "
                "pass key= (for example jax.random.key(0)) to apply."
            )
        return random.as_key(key)

    # ------------------------------------------------------------------------------------- one call, with all around

    def run(self, params, state, inputs, *, key=None, training=False, mask=None, **arguments) -> Call:
        """`apply` and what belongs to it: the outputs' mask, activity losses and losses added in user code."""
        with Scope(training=training, key=key) as scope:
            outputs, state = self.apply(params, state, inputs, key=key, training=training, mask=mask, **arguments)
            mask = self.compute_mask(inputs, mask)
            losses = list(scope.losses)
            scope.losses.clear()
            if self.activity_regularizer is not None:
                # A sum over the batch: each part of a split batch holds its share, and parts are averaged.
                losses += [self.activity_regularizer(output) * batch.shards() for output in jax.tree.leaves(outputs)]
        return Call(outputs, state, mask, losses)

    def regularization(self, params) -> list:
        """The penalties of the weights' regularizers: a list of scalars."""
        own = [v for v in self._trainable_weights + self._non_trainable_weights if v.regularizer is not None]
        penalties = [v.regularizer(params[name]) for name, v in self._named(own) if name in params]
        for name, layer in self.sublayers().items():
            penalties += layer.regularization(params.get(name, {}))
        return penalties

    def constrain(self, params):
        """`params` with the constraints of the weights applied."""
        constrained = dict(params)
        for name, variable in self._named(self._trainable_weights):
            if variable.constraint is not None and name in params:
                constrained[name] = variable.constraint(params[name])
        for name, layer in self.sublayers().items():
            if name in params:
                constrained[name] = layer.constrain(params[name])
        return constrained

    # ------------------------------------------------------------------------------------------------------- build

    def build(self, input_shape):
        """Create the weights for inputs of `input_shape`. Called once, when the layer is first called on symbols."""
        own, own_state = adapter.native(type(self), "init")(self, None, input_shape)
        shapes = self.sublayer_shapes(input_shape)
        for name, layer in self.sublayers().items():
            own.pop(name, None)
            own_state.pop(name, None)
            if not layer.built:
                layer.build(shapes[name])
        for name, variable in own.items():
            self._adopt(name, variable)
        for name, value in own_state.items():
            self._adopt(name, value, trainable=False)
        self.built = True

    def _adopt(self, name, variable, trainable=True):
        if not isinstance(variable, Variable):  # a state with a fixed start, given as an array
            start = variable
            variable = Variable(start.shape, start.dtype, name, draw=lambda key: start)
        variable.trainable = trainable
        self._give_names(variable, name)
        variable._key = random.next_key()
        if name in self.unsaved_state:
            self._unsaved_state.append(variable)
        else:
            (self._trainable_weights if trainable else self._non_trainable_weights).append(variable)

    def add_weight(
        self,
        name=None,
        shape=None,
        dtype=None,
        initializer=None,
        regularizer=None,
        trainable=True,
        constraint=None,
    ) -> Variable:
        """A new weight, for use in `build`; `initializer` is Glorot's uniform unless given."""
        shape = () if shape is None else tuple(int(size) for size in shape)
        dtype = dtype or config.floatx()
        initializer = initializers.get(initializer or "glorot_uniform")
        name = name or "variable"

        def draw(key):
            return initializers.draw(initializer, random.as_key(key).fold(name), shape, dtype)

        variable = Variable(
            shape,
            dtype,
            name,
            draw=draw,
            trainable=trainable,
            regularizer=regularizers.get(regularizer),
            constraint=constraint,
            key=random.next_key(),
        )
        self._give_names(variable, name)
        (self._trainable_weights if trainable else self._non_trainable_weights).append(variable)
        return variable

    def add_loss(self, losses, inputs=None):
        """Add scalars to the loss: inside `call` those of this call, outside of it symbols."""
        losses = losses if isinstance(losses, (list, tuple)) else [losses]
        scope = current_scope()
        (scope.losses if scope is not None else self._added_losses).extend(losses)

    def add_update(self, updates, inputs=None):
        """Inside `call`: pairs (variable, next value) that a training step carries out."""
        scope = current_scope()
        if scope is None:
            raise ValueError(f"Layer {self.name}: add_update works inside `call`, and was called outside of it.")
        if updates and not isinstance(updates, list):
            updates = [updates]
        for variable, value in updates or ():
            scope.update(variable, value)

    def call(self, inputs, mask=None, training=None, **arguments):
        """The built-in computation of this layer, for subclasses that extend `call` by `super().call(inputs)`."""
        return adapter.call_native(self, inputs, mask=mask, training=training, **arguments)

    # --------------------------------------------------------------------------------------------- call on symbols

    def __call__(self, inputs, **arguments):
        """Call the layer on a symbol, or a list of them; returns the symbols of its outputs.

        Raises:
            ValueError: if what is given are not symbols, or have shapes that do not fit.
        """
        symbols = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if not symbols_in(symbols) and current_scope() is not None:
            return adapter.call_in_scope(self, inputs, **arguments)
        for symbol in symbols:
            if not is_symbol(symbol):
                raise ValueError(
                    f"Layer {self.name} was called with an input that isn't a symbolic tensor. Received type: "
                    f"{type(symbol)}. All inputs to the layer should be tensors: call it on Input(...) or on another "
                    "layer's output, or use layer.init(key, shape) and layer.apply(params, state, x) on arrays."
                )
        self.assert_input_compatibility([symbol.shape for symbol in symbols])
        shape = symbols[0].shape if len(symbols) == 1 else [symbol.shape for symbol in symbols]
        if not self.built:
            with adapter.name_scope(self.name):
                self.build(shape)
            self.built = True
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None
        return LayerNode(self, symbols, arguments).result

    def assert_input_compatibility(self, shapes):
        """Check shapes against `input_spec`.

        Raises:
            ValueError: naming the layer, the input, what was expected and what was found.
        """
        specs = self.input_spec
        if specs is None:
            return
        specs = specs if isinstance(specs, (list, tuple)) else [specs]
        if len(shapes) != len(specs):
            raise ValueError(
                f"Layer {self.name} expects {len(specs)} inputs, but it received {len(shapes)} input tensors. "
                f"Input shapes received: {shapes}"
            )
        for index, (shape, spec) in enumerate(zip(shapes, specs, strict=True)):
            problem = spec.mismatch(shape) if spec is not None else None
            if problem:
                raise ValueError(
                    f"Input {index} is incompatible with layer {self.name}: {problem}. Input shape: {tuple(shape)}."
                )

    def compute_output_shape(self, input_shape):
        """The shape of the output(s) for inputs of `input_shape` (a tuple, or a list of tuples), inferred from
        `apply`."""
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        shapes = [tuple(shape) for shape in input_shape] if several else [tuple(input_shape)]
        dtype = getattr(self, "dtype", None) or config.floatx()
        inputs = [SymbolicTensor(shape, dtype, "shape") for shape in shapes]
        params, state = self.variables() if self.built else self.init(None, input_shape)
        flat, treedef = jax.tree.flatten((params, state))

        def outputs(*arrays):
            params, state = jax.tree.unflatten(treedef, arrays[len(inputs) :])
            values = list(arrays[: len(inputs)])
            return self.run(params, state, values if several else values[0], key=random.as_key(0)).outputs

        specs = infer(outputs, [*inputs, *flat])
        return jax.tree.map(lambda spec: spec.shape, specs)

    # ----------------------------------------------------------------------------------------------------- weights

    def _give_names(self, variable, name):
        """Name a new weight: within the layer, a name used before gets a number, and in full as Keras writes it."""
        own = [*self._trainable_weights, *self._non_trainable_weights, *self._unsaved_state]
        variable.own_name = free_name(name, [name for name, _ in self._named(own)])
        variable.name = adapter.scoped_name(self, variable.own_name)

    @staticmethod
    def _named(variables):
        """(name within the layer, variable) for each of `variables`."""
        named: list = []
        for variable in variables:
            # A variable that the user put among the weights has no such name, or one that is good for another layer.
            name = getattr(variable, "own_name", None) or variable.name.rpartition("/")[2].partition(":")[0]
            named.append((free_name(name, [taken for taken, _ in named]), variable))
        return named

    def variables(self):
        """The layer's `Variable`s in the shape of its params and state."""
        params = dict(self._named(self._trainable_weights))
        state = dict(self._named(self._non_trainable_weights + self._unsaved_state))
        for name, layer in self.sublayers().items():
            for tree, part in zip((params, state), layer.variables(), strict=True):
                if part:
                    tree[name] = part
        return params, state

    @property
    def trainable_weights(self) -> list:
        """The weights that training changes: none if the layer is not `trainable`."""
        return self._all_trainable() if self.trainable else []

    @trainable_weights.setter
    def trainable_weights(self, weights):
        self._trainable_weights = list(weights)

    def _all_trainable(self) -> list:
        return self._trainable_weights + [w for layer in self.sublayers().values() for w in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list:
        """The weights that training leaves to the layer itself (moving averages), or alone."""
        weights = self._non_trainable_weights + [
            weight for layer in self.sublayers().values() for weight in layer.non_trainable_weights
        ]
        return weights if self.trainable else self._all_trainable() + weights

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights):
        self._non_trainable_weights = list(weights)

    @property
    def weights(self) -> list:
        """All weights, the trainable ones first."""
        return self.trainable_weights + self.non_trainable_weights

    def saved_weights(self) -> list:
        """The weights in the order of `get_weights`."""
        return self.weights

    def get_weights(self) -> list:
        """The current values of the weights, as numpy arrays."""
        return [weight.numpy() for weight in self.saved_weights()]

    def set_weights(self, weights):
        """Replace the values of the weights by `weights`, arrays in the order of `get_weights`.

        Raises:
            ValueError: if their number or a shape is wrong; then nothing is changed.
        """
        variables = self.saved_weights()
        arrays = [np.asarray(weight) for weight in weights]
        if len(variables) != len(arrays):
            raise ValueError(
                f'You called `set_weights(weights)` on layer "{self.name}" with a weight list of length {len(arrays)}, '
                f"but the layer was expecting {len(variables)} weights."
            )
        for variable, array in zip(variables, arrays, strict=True):
            if variable.shape != array.shape:
                raise ValueError(
                    f"Layer weight shape {variable.shape} not compatible with provided weight shape {array.shape} "
                    f"(weight {variable.name} of layer {self.name})."
                )
        for variable, array in zip(variables, arrays, strict=True):
            variable.value = np.array(array, dtype=variable.dtype)

    def count_params(self) -> int:
        """The number of numbers in the weights.

        Raises:
            RuntimeError: if the layer has no weights yet because it was never called.
        """
        if not self.built:
            raise RuntimeError(
                f"You tried to call `count_params` on {self.name}, but the layer isn't built. "
                f"You can build it manually via: `{self.name}.build(batch_input_shape)`."
            )
        return sum(int(np.prod(weight.shape)) for weight in dict.fromkeys(self.saved_weights()))

    def __getattr__(self, name):
        found = getattr(type(self), name, None)
        if isinstance(found, property):  # which raised an AttributeError: it has more to say than this method
            return found.__get__(self)
        if not name.startswith("_"):
            values = self.__dict__
            for group in ("_trainable_weights", "_non_trainable_weights", "_unsaved_state"):
                for own_name, variable in self._named(values.get(group, ())):
                    if own_name == name:
                        return variable
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ------------------------------------------------------------------------------------------------------ config

    @classmethod
    def _config_names(cls) -> list:
        """The argument names of the nearest built-in class: what its config holds."""
        package = __name__.partition(".")[0]
        for base in cls.__mro__:
            if base.__module__.partition(".")[0] == package and "__init__" in vars(base):
                parameters = inspect.signature(base.__init__).parameters.values()
                return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        return []

    def get_config(self) -> dict:
        """What it takes to make the same layer again by `from_config`: name, trainable, input shape, arguments."""
        base = {"name": self.name, "trainable": self.trainable}
        if hasattr(self, "batch_input_shape"):
            base["batch_input_shape"] = self.batch_input_shape
        if hasattr(self, "dtype"):
            base["dtype"] = self.dtype
        return base | {name: config_value(getattr(self, name)) for name in self._config_names()}

    @classmethod
    def from_config(cls, config):
        """A new layer from a config as `get_config` gives."""
        return cls(**config)

    def __copy__(self):
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for group in ("_trainable_weights", "_non_trainable_weights", "_unsaved_state", "_added_losses"):
            twin.__dict__[group] = list(self.__dict__.get(group, ()))
        return twin

    def twin(self):
        """A copy that shares the weights: what user code assigns to it is gone after the call."""
        return copy.copy(self)
