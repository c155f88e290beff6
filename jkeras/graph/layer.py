"""The Layer contract: a layer is a description, and a pure pair.

    init(key, input_shape)                                        -> params, state     two dicts, name -> array
    apply(params, state, inputs, *, key, training, mask)          -> outputs, state

Both read the hyperparameters of `self` and assign nothing. A built-in layer does not write `init` but declares its
weights, `declare(input_shape)`, from which they are drawn, built and named; a researcher's layer may write `init`. A
layer that is made of others names them in `sublayers` and their shapes in `sublayer_shapes`, and its dicts hold theirs.

All that a call gives, outputs, state, mask and losses, is a `Call`:

    run(params, state, inputs, *, key, training, mask)            -> Call      what callers call
    compute_call(params, state, inputs, *, key, training, mask)   -> Call      `run` without `activity_regularizer`

A layer made of others calls them by `run`; it may write `compute_call` in place of `apply`, merging what they give.
`apply` of a layer, called from elsewhere, goes through `run` and hands the losses to the call around it.

Everything else about a layer is done here once: names, config from the signature, weights found by
`<weight>_initializer/_regularizer/_constraint`, the call on symbols, masks, activity losses, `get_weights`.
Layers in Keras style (`build`, `call`) get their pure pair from `graph.adapter`.
"""

import copy
import dataclasses
import inspect
import numbers
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jkeras import batch, config, random, trees
from jkeras.graph import adapter
from jkeras.graph.connect import LayerNode, NodeAccess
from jkeras.graph.infer import infer
from jkeras.graph.questions import Questions
from jkeras.graph.scope import Finder, Scope, current_scope
from jkeras.graph.tensor import SymbolicTensor, is_symbol, symbols_in, unique_number
from jkeras.graph.weights import HoldsWeights, free_name
from jkeras.serialize.trust import check_size

__all__ = ["Call", "InputSpec", "Layer", "call_with_training", "free_name"]


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

    def mismatch(self, shape: Any) -> str | None:
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
    """What one call of a layer gives: outputs, next state, the outputs' mask(s), and what it adds to the loss."""

    outputs: Any
    state: dict
    mask: Any
    losses: list


def _call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None, **arguments: Any) -> Any:
    """`Layer.call` for layers whose `call` in Keras has `training` first: `super().call(inputs, training)`."""
    return adapter.call_native(self, inputs, mask=mask, training=training, **arguments)


call_with_training: Any = _call


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


def as_shape(value: Any, argument: str, who: str) -> tuple:
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


def config_value(value: Any) -> Any:
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


class Layer(NodeAccess, HoldsWeights, Questions):
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

    built = False
    supports_masking = False
    stateful = False
    input_spec = None
    activity_regularizer = None
    #: Whether it calls functions of the user, which may read what they are not handed.
    calls_user_code = False
    #: Whether a `call` of its class is not what `apply` computes.
    has_graph = False
    #: Whether the mask of its outputs follows from those of its inputs, where each has one.
    masks_by_masks = False
    #: Whether its parts are called on more than an input, which only it knows (cells).
    runs_parts = False
    #: Whether it is handed Values (see `graph.value`), not arrays.
    takes_values = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        adapter.adopt(cls)

    def __init__(self, **kwargs: Any):
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
        elif not isinstance(name, str):
            raise TypeError(f"The name of a {type(self).__name__} must be text. Found: {name!r}")
        self.name = name
        self.trainable = kwargs.get("trainable", True)
        self._trainable_weights: list = []
        self._non_trainable_weights: list = []
        self._unsaved_state: list = []
        self._initial_weights = kwargs.get("weights")
        self._added: dict = {"losses": [], "updates": []}
        self._inbound_nodes: list = []
        self._outbound_nodes: list = []
        #: The layers that its `call` made.
        self._made: list = []
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

    def init(self, key: Any, input_shape: Any) -> tuple[dict, dict]:
        """Initial weights and state for inputs of `input_shape` (a tuple with the batch axis, or a list of them).

        Arguments:
            key: a JAX key.

        Returns:
            params, state: two dicts of arrays by name; those of sublayers as dicts inside them.
        """
        key = random.as_key(key)
        whole = adapter.whole(self, input_shape)
        if whole is not None:
            return adapter.drawn_again(whole, key)
        own = self.declare(input_shape)
        params, state = (adapter.drawn(tree, key) for tree in own)
        shapes = self.sublayer_shapes(input_shape)
        for name, layer in self.sublayers().items():
            own_key = key.fold(name)
            inner = layer.init(own_key, shapes[name]) if name in shapes else adapter.drawn_again(layer, own_key)
            self.place_parts((params, state), name, inner)
        return params, state

    @staticmethod
    def place_parts(own: tuple, name: str, parts: tuple) -> None:
        """Put the params and state of the sublayer `name`, unless empty, into those of the layer around it. Variables
        from outside belong to the outermost layer."""
        for tree, part in zip(own, parts, strict=True):
            if part := trees.own(part):
                tree[name] = part
            elif name in tree:
                del tree[name]

    @adapter.through_run
    def apply(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None
    ) -> tuple:
        """Outputs and next state for `inputs` (an array, or a list of arrays).

        Arguments:
            params, state: as from `init`.
            key: a JAX key, needed by layers that draw random numbers while training.
            training: whether this call is part of training (a Python bool).
            mask: of a sequence input, which time steps count: (batch, time) of bool, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither `apply` nor `call`.")

    def sublayer_shapes(self, input_shape: Any) -> dict:
        """The input shape of each of `sublayers` when this layer's input has `input_shape`."""
        return {}

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask(s) of the outputs: that of the inputs for layers which support masking."""
        if not self.supports_masking:
            if any(part is not None for part in jax.tree.leaves(mask)):
                raise TypeError(f"Layer {self.name} does not support masking, but was passed an input_mask: {mask}")
            return None
        return mask

    def draw_key(self, key: Any) -> random.Key:
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

    def run(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
        **arguments: Any,
    ) -> Call:  # fmt: skip
        """A call of the layer with all that belongs to it: see `apply` for the arguments."""
        try:
            call = self.compute_call(params, state, inputs, key=key, training=training, mask=mask, **arguments)
        except jax.errors.TracerBoolConversionError as error:
            if not isinstance(training, jax.core.Tracer):
                raise
            raise TypeError(
                f"Layer {self.name} ({type(self).__name__}): `training` must be a Python bool, and is traced. Under "
                'jax.jit say jax.jit(model.apply, static_argnames="training").'
            ) from error
        for output in jax.tree.leaves(call.outputs):
            check_size(getattr(output, "shape", ()), f"Layer {self.name} ({type(self).__name__}): its output")
        if self.activity_regularizer is None:
            return call
        # A sum over the batch: each part of a split batch holds its share, and parts are averaged.
        penalties = [self.activity_regularizer(output) * batch.shards() for output in jax.tree.leaves(call.outputs)]
        return dataclasses.replace(call, losses=[*call.losses, *penalties])

    def compute_call(
        self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
        **arguments: Any,
    ) -> Call:  # fmt: skip
        """`apply`, the outputs' mask and what was added to the loss meanwhile."""
        key = None if key is None else random.as_key(key)
        with Scope(layer=self, training=training, key=key) as scope:
            outputs, after = self.apply(params, state, inputs, key=key, training=training, mask=mask, **arguments)
            out_mask = adapter.mask_from(scope.twin or self, inputs, mask)
        losses = scope.losses
        if losses and batch.shards() > 1:  # of which nobody knows whether they are sums over the batch, or means
            losses = self._losses_of_whole(params, state, inputs, key, training, mask, arguments)
        return Call(outputs, after, out_mask, losses)

    def _losses_of_whole(self, params, state, inputs, key, training, mask, arguments) -> list:
        """What the call adds to the loss, computed from the whole batch on every device."""
        inputs, mask, arguments = batch.whole((inputs, mask, arguments))
        with batch.gathered(), Scope(layer=self, training=training, key=key) as scope:
            self.apply(params, state, inputs, key=key, training=training, mask=mask, **arguments)
        return scope.losses

    # ------------------------------------------------------------------------------------------------------- build

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of `input_shape`. Called once, when the layer is first called on symbols."""
        own = adapter.native_declare(type(self))(self, input_shape)
        shapes = self.sublayer_shapes(input_shape)
        for name, layer in self.sublayers().items():
            for tree in own:
                tree.pop(name, None)
            if layer.built or (name not in shapes and name in self.held_layers()):  # then `call` says on what
                continue
            layer.build(adapter.shape_of(self, shapes, name))
        self._empty_parts = tuple(list(trees.empty(tree)) for tree in own)
        key = random.next_key()
        for tree, trainable in zip(own, (True, False), strict=True):
            for place, variable in trees.leaves(tree):
                self.adopt_weight(place, variable, trainable).key = key
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None, **arguments: Any) -> Any:
        """The built-in computation of this layer, for subclasses that extend `call` by `super().call(inputs)`."""
        return adapter.call_native(self, inputs, mask=mask, training=training, **arguments)

    # --------------------------------------------------------------------------------------------- call on symbols

    def __call__(self, inputs: Any, **arguments: Any) -> Any:
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
        self.assert_input_compatibility([symbol._keras_shape for symbol in symbols])
        shape = symbols[0]._keras_shape if len(symbols) == 1 else [symbol._keras_shape for symbol in symbols]
        if not self.built:
            with adapter.name_scope(self.name):
                self.build(shape)
            self.built = True
        self.take_initial_weights()
        with adapter.name_scope(self.name):
            return LayerNode(self, symbols, arguments).result

    def take_initial_weights(self) -> None:
        """Set the weights that were given to the constructor, once the layer is built."""
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    def assert_input_compatibility(self, shapes: Sequence) -> None:
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

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output(s) for inputs of `input_shape` (a tuple, or a list of tuples), inferred from
        `apply`. In a subclass that overrides this method, `super()` answers for the built-in computation; that of a
        layer written from scratch is taken to keep the shape."""
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        shapes = [tuple(shape) for shape in input_shape] if several else [tuple(input_shape)]
        dtype = getattr(self, "dtype", None) or config.floatx()
        inputs = [SymbolicTensor(shape, dtype, "shape") for shape in shapes]
        layer = self if self.built else adapter.whole(self, input_shape) or self
        compute = None
        if adapter.is_written_by_user(type(self).compute_output_shape):
            compute = adapter.native_apply(type(self))
            if compute is Layer.apply.__wrapped__:
                return input_shape
        flat, treedef = jax.tree.flatten(layer.variables() if layer.built else adapter.declared(layer, input_shape))

        def outputs(*arrays):
            params, state = jax.tree.unflatten(treedef, arrays[len(inputs) :])
            values = list(arrays[: len(inputs)])
            values = values if several else values[0]
            if compute is None:
                return layer.run(params, state, values, key=random.as_key(0)).outputs
            return compute(layer, params, state, values, key=random.as_key(0))[0]

        with Finder():
            specs = infer(outputs, [*inputs, *flat])
        return jax.tree.map(lambda spec: tuple(spec.shape), specs)

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
    def from_config(cls, config: dict) -> "Layer":
        """A new layer from a config as `get_config` gives."""
        return cls(**config)

    def __copy__(self):
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for group in ("_trainable_weights", "_non_trainable_weights", "_unsaved_state"):
            twin.__dict__[group] = list(self.__dict__.get(group, ()))
        twin._added = {what: list(added) for what, added in self.__dict__.get("_added", {}).items()}
        return twin

    def __getstate__(self):
        """What deep copies and pickles hold: the layer and its weights, not the calls that were made of it."""
        return {**vars(self), "_inbound_nodes": [], "_outbound_nodes": []}

    def twin(self):
        """A copy that shares the weights, for one call of user code."""
        twin = copy.copy(self)
        own = vars(twin)
        for name, before in own.pop("_before_call", {}).items():
            own.pop(name, None)
            own.update((name, value) for value in before)
        if adapter.is_written_by_user(type(self)):
            public = (name for name, value in own.items() if type(value) in (list, dict, set) and name[:1] != "_")
            own.update([(name, copy.copy(own[name])) for name in public])
        return twin
