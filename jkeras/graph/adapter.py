"""How what users write becomes a pure pair.

* A class that defines `call` gets an `apply` that binds the arrays of `params` and `state` to the layer's variables,
  runs `call` in a `Scope`, and collects what it added; one that defines `build` gets a `declare` that builds a copy.
  Both leave nothing on the layer. Seen from the other side, `super().call(x)` and `super().build(shape)` reach the pure
  pair of the built-in class.
* A class that defines `init` gets a `declare` from it. Its `init`, `apply`, `compute_call` are handed plain JAX keys.
* Every `apply` goes through the layer's `run` unless it is called from there.
"""

import contextlib
import contextvars
import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config, random, trees
from jkeras.graph.function import Execution
from jkeras.graph.infer import Spec, infer
from jkeras.graph.scope import Finder, current_scope, outside
from jkeras.graph.tensor import Node, Variable, symbols_in
from jkeras.graph.value import Reading, Value, as_arrays, as_values, compute, tried
from jkeras.lift import Symbol, map_nest
from jkeras.serialize.objects import has_arg

__all__ = [
    "AnyLayer", "adopt", "apply_from_call", "bound_scope", "call_in_scope", "call_native", "declared", "drawn",
    "drawn_again", "is_adapted", "is_written_by_user", "layers_in", "mask_from", "name_scope", "native_apply",
    "native_declare", "noting_assignments", "reaches", "runs_user_code", "scoped_name", "shape_of", "through_run",
    "whole", "with_readings",
]  # fmt: skip


class AnyLayer:
    """What every layer is, for those who need not know more of it."""


#: Where layers note their calls: not what they are made of.
_NODES = {"_inbound_nodes", "_outbound_nodes"}


def layers_in(nest: Any, path: tuple = ()):
    """(path of names, layer) of the layers in nested lists, tuples and dicts, or in the attributes of a layer."""
    if isinstance(nest, AnyLayer):
        yield path, nest
    elif isinstance(nest, (list, tuple, dict)):
        for name, part in nest.items() if isinstance(nest, dict) else enumerate(nest):
            if name not in _NODES:
                yield from layers_in(part, (*path, str(name)))


def reaches(layer: Any, other: Any) -> bool:
    """Whether `layer` holds `other` in its attributes, at any depth."""
    waiting, seen = [layer], {layer}
    while waiting:
        for _, inner in layers_in(vars(waiting.pop())):
            if inner is other:
                return True
            if inner not in seen:
                seen.add(inner)
                waiting.append(inner)
    return False


# ------------------------------------------------------------------------------------------- where the pair comes from


def adopt(cls: type) -> None:
    """Give `cls`, a new subclass of Layer, a `declare` and an `apply` for what it defines."""
    own = vars(cls)
    ours = not is_written_by_user(cls)
    for name in ("init", "compute_call"):
        if name in own and not ours:
            setattr(cls, name, _with_plain_key(own[name]))
    if "compute_mask" in own and ours:
        cls.compute_mask = _mask_of_symbols(own["compute_mask"])
    if "build" in own and not ours:
        cls.build = _built_outside(own["build"])
    if "call" in own and not ours and not cls.has_graph:
        cls.call = _called_on_twin(own["call"])
    if "declare" not in own and not ("init" in own and ours):
        if "init" in own:
            cls.declare = declare_from_init
        elif "build" in own:
            cls.declare = declare_from_build
    if "apply" in own:
        cls.apply = through_run(own["apply"] if ours else _with_plain_key(own["apply"]))
        cls.takes_values = own.get("takes_values", False)
    elif "call" in own and "compute_call" not in own and not cls.has_graph:
        cls.apply = through_run(apply_from_call)
        cls.takes_values = True
    if ("apply" in own or ("call" in own and not cls.has_graph)) and "compute_call" not in own:
        cls.compute_call = _call_from_apply(cls)


def native_declare(cls: type):
    """The nearest `declare` of `cls` that is written as a pure function, not made here from a `build`."""
    return next(
        own["declare"] for own in map(vars, cls.__mro__) if own.get("declare") not in (None, declare_from_build)
    )


def native_apply(cls: type):
    """The nearest `apply` of `cls` (or a `compute_call`, as an `apply`) that is written as a pure function, not made
    here from a `call`."""
    for own in map(vars, cls.__mro__):
        if own.get("compute_call") not in (None, _call_from_apply(cls)):
            return functools.partial(_handing_on, own["compute_call"])
        method = getattr(own.get("apply"), "__wrapped__", None)
        if method not in (None, apply_from_call):
            return method
    raise AttributeError(f"{cls.__name__} has no apply.")


def _call_from_apply(cls):
    """`compute_call` of the base of all layers."""
    return next(own["compute_call"] for own in map(vars, reversed(cls.__mro__)) if "compute_call" in own)


def _handing_on(call_of, layer, *args, **options):
    """Outputs and next state of a call of `layer`, its losses being handed to the call around it."""
    call, scope = call_of(layer, *args, **options), current_scope()
    if scope is not None:
        scope.add_losses(call.losses, layer)
    return call.outputs, call.state


def is_adapted(layer: Any) -> bool:
    """Whether the layer computes in a `call`."""
    return getattr(type(layer).apply, "__wrapped__", None) is apply_from_call


def is_written_by_user(thing: Any) -> bool:
    """Whether a function, or the class of an object, is none of ours; None is nobody's."""
    home = thing.__module__ if inspect.isroutine(thing) or isinstance(thing, type) else type(thing).__module__
    return thing is not None and (home or "").partition(".")[0] != __name__.partition(".")[0]


def runs_user_code(layer: Any) -> bool:
    """Whether the layer, or one inside it, may read what it was not handed."""
    return is_written_by_user(layer) or layer.calls_user_code or any(map(runs_user_code, layer.sublayers().values()))


def _with_plain_key(method):
    """`method` of a user's layer, handed a plain JAX key in place of a `jkeras.random.Key`."""

    @functools.wraps(method)
    def called(self, *args, **kwargs):
        args = [arg.draw_key() if isinstance(arg, random.Key) else arg for arg in args]
        if isinstance(kwargs.get("key"), random.Key):
            kwargs["key"] = kwargs["key"].draw_key()
        return method(self, *args, **kwargs)

    return called


def _mask_of_symbols(compute_mask):
    """A `compute_mask` on arrays that also takes symbols."""

    @functools.wraps(compute_mask)
    def masked(self, inputs, mask=None):
        if current_scope() is None and symbols_in([inputs, mask]):
            if self.masks_by_masks and isinstance(mask, (list, tuple)) and all(part is not None for part in mask):
                return Node(functools.partial(compute_mask, self, inputs), (mask,), {}).result
            return Node(functools.partial(compute_mask, self), (inputs, mask), {}).result
        return compute_mask(self, inputs, mask)

    return masked


def _built_outside(build):
    """A user's `build`, in which there is no scope: what it makes is not of the call that comes upon it."""

    @functools.wraps(build)
    def built(self, *args, **kwargs):
        with outside():
            return build(self, *args, **kwargs)

    return built


def _called_on_twin(call):
    """A user's `call`: where the code of another layer calls it, on a copy of the layer, like that of the other."""

    @functools.wraps(call)
    def called(self, *args, **kwargs):
        scope = current_scope()
        if scope is None or "_is_twin" in vars(self):
            return call(self, *args, **kwargs)
        twin = with_readings(self.twin(), getattr(scope, "form", as_values))
        with noting_assignments(self, twin):
            return call(twin, *args, **kwargs)

    return called


def through_run(compute: Callable) -> Callable:
    """An `apply` that goes through `run`, which calls it again and is answered by `compute`."""

    @functools.wraps(compute)
    def apply(self, params, state, inputs, **options):
        scope = current_scope()
        if scope is not None and scope.layer is self:
            return compute(self, params, state, inputs, **options)
        return _handing_on(type(self).run, self, params, state, inputs, **options)

    return apply


# ------------------------------------------------------------------------------------------------------- descriptions


def declare_from_build(self, input_shape: Any):
    """What a layer declares that creates its weights in `build`."""
    return _built_twin(self, input_shape).own_variables()


def _built_twin(layer, input_shape):
    """A copy of `layer` that is built for `input_shape`, on copies of those inside it that are not built."""
    twin = _unbuilt(layer, {})
    with name_scope(layer.name), outside():
        twin.build(input_shape)
    twin.built = True
    return twin


def _unbuilt(layer, copies):
    if layer not in copies:
        copies[layer] = twin = layer.twin()
        twin.built = False
        twin.forget_weights()
        twin._made = []
        for name, held in list(vars(twin).items()):
            if any(True for _ in layers_in(held)):
                twin.__dict__[name] = map_nest(
                    lambda inner: inner if inner.built and not layer.built else _unbuilt(inner, copies), held, AnyLayer
                )
    return copies[layer]


def _is_found_by_running(layer) -> bool:
    """Whether what is inside of `layer` is known when it was run: what a `call` holds, or that of its cell."""
    if layer.runs_parts and not is_adapted(layer):
        return not layer.built and any(map(_is_found_by_running, layer.sublayers().values()))
    return is_written_by_user(type(layer)) and is_adapted(layer)


def _holds_layers(layer) -> bool:
    return bool(layer.held_layers()) or layer.runs_parts and any(map(_holds_layers, layer.sublayers().values()))


def whole(layer: Any, input_shape: Any) -> Any:
    """`layer`, or if it is not built a copy of it and of what it holds that was built and called, for inputs of
    `input_shape`; None for a layer that holds no others as attributes.

    Raises:
        ValueError: if its `call` cannot be run on an input alone.
    """
    if not _is_found_by_running(layer):
        return None
    if layer.built:
        return layer if layer.held_layers() or layer.states_weights() else None
    twin = _built_twin(layer, input_shape)
    several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
    dtype = getattr(layer, "dtype", None) or config.floatx()
    inputs = [Spec(tuple(shape), dtype) for shape in (input_shape if several else [input_shape])]
    weights = jax.tree.map(lambda one: np.zeros(one.shape, jnp.dtype(one.dtype)), twin.variables())

    def run(*arrays):
        values = [Value(array, shape=spec.shape) for array, spec in zip(arrays, inputs, strict=True)]
        return twin.run(*weights, values if several else values[0], key=random.as_key(0)).outputs

    try:
        with Finder(key=random.as_key(0)):
            infer(run, inputs)
    except Exception as error:
        if not _holds_layers(twin):
            return None
        error.add_note(f"Layer {layer.name} ({type(layer).__name__}) was run to find out the weights of those inside.")
        raise
    return twin if _holds_layers(twin) else None


def declare_from_init(self, input_shape: Any):
    """What a layer declares that draws its weights in `init`."""
    key = jax.random.key(0)
    try:
        specs = jax.eval_shape(lambda key: self.init(key, input_shape), key)
    except Exception:  # numpy draws, which cannot be traced: whatever they raise, they can be made
        specs = self.init(key, input_shape)
    specs = tuple(map(trees.own, specs))  # variables that a model inside reads stand in the state of the model around
    for what, tree in zip(("params", "state"), specs, strict=True):
        for path, leaf in trees.leaves(tree):
            if not hasattr(leaf, "shape") or not all(isinstance(name, str) for name in path):
                raise TypeError(
                    f"Layer {self.name} ({type(self).__name__}): params and state are nested dicts of arrays by names "
                    f'(of a list: {{"0": ..., "1": ...}}); the {what} that `init` returns have a '
                    f"{type(leaf).__name__} at {path}."
                )
    made: dict = {}

    def everything(key):
        words = np.asarray(jax.random.key_data(random.as_key(key).draw_key())).tobytes()
        if words not in made:
            made.clear()
            made[words] = self.init(key, input_shape)
        return made[words]

    def described(path, spec):
        which, *names = path
        draw = lambda key: trees.get(everything(key)[which], tuple(names))  # noqa: E731
        return Variable(spec.shape, spec.dtype, names[-1], draw=draw)

    return tuple(
        trees.mapped(lambda path, spec: described(path, spec), tree, (which,)) for which, tree in enumerate(specs)
    )


def declared(layer: Any, input_shape: Any):
    """What a layer and its sublayers declare, as trees."""
    complete = whole(layer, input_shape)
    if complete is not None:
        return complete.variables()
    own = layer.declare(input_shape)
    shapes = layer.sublayer_shapes(input_shape)
    for name, inner in layer.sublayers().items():
        layer.place_parts(
            own, name, inner.variables() if inner.built else declared(inner, shape_of(layer, shapes, name))
        )
    return own


def shape_of(layer: Any, shapes: dict, name: str) -> Any:
    """The input shape of the sublayer `name`.

    Raises:
        ValueError: if the layer does not say.
    """
    if name not in shapes:
        raise ValueError(
            f"Layer {layer.name} ({type(layer).__name__}) is made of {name!r} (`sublayers`) and does not say "
            "on what shape that is called: define sublayer_shapes(input_shape) -> {name: shape}."
        )
    return shapes[name]


def drawn(tree: dict, key: Any) -> dict:
    """Initial arrays for a tree of variables; what is an array already stays."""
    return {
        name: drawn(part, key)
        if isinstance(part, dict)
        else _on_host(part.draw, key, part.shape, part.dtype)
        if isinstance(part, Variable) and part.draw is not None
        else part.current()
        if isinstance(part, Variable)
        else part
        for name, part in tree.items()
    }


def drawn_again(layer: Any, key: Any) -> Any:
    """New initial arrays for a layer that is built, like its variables."""

    def again(path, one):
        if one.draw is None:  # it was made with a value
            return one.current()
        return _on_host(one.draw, key.fold(*path), one.shape, one.dtype)

    return tuple(trees.mapped(again, tree) for tree in layer.variables())


def _on_host(draw, key, shape, dtype):
    """`draw(key)`, a numpy computation, also where the key is traced (then as a callback to the host)."""
    base = random.as_key(key).base
    if not isinstance(base, jax.core.Tracer):
        return np.asarray(draw(key))
    path = random.as_key(key).path

    def from_data(data):
        return np.asarray(draw(random.Key(jax.random.wrap_key_data(jnp.asarray(data)), path=path)))

    spec = jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
    return jax.pure_callback(from_data, spec, jax.random.key_data(base), vmap_method="sequential")


# ------------------------------------------------------------------------------------------------ layers with a `call`


def apply_from_call(
    self, params: dict, state: dict, inputs: Any, *, key: Any = None, training: bool = False, mask: Any = None,
    **arguments: Any,
):  # fmt: skip
    """Outputs and next state of a layer that computes in `call`."""
    around = current_scope()
    assert around is not None, "run opens a scope around apply"
    if mask is not None and "mask" not in arguments and has_arg(self.call, "mask"):
        arguments["mask"] = mask
    if "training" not in arguments and has_arg(self.call, "training"):
        arguments["training"] = training

    def run(form):
        owner = self
        if not self.built:
            shapes = _shapes_of(inputs)
            owner = whole(self, shapes) or _built_twin(self, shapes)
        layer = owner.twin()
        with bound_scope(layer, params, state, key=key, training=training, owner=owner, form=form) as bound:
            with noting_assignments(self, with_readings(layer, form)):
                outputs = layer.call(form(inputs), **form(arguments))
            if outputs is None or isinstance(outputs, str):
                raise TypeError(
                    f"Layer {self.name} ({type(self).__name__}): `call` must return tensors, and returned {outputs!r}."
                )
            return as_arrays(outputs), bound

    outputs, bound = tried(run)
    around.twin = bound.layer
    around.add_losses(bound.losses, self)
    return outputs, bound.next_state


#: Where a layer keeps its weights as what they are.
_GROUPS = {"_trainable_weights", "_non_trainable_weights", "_unsaved_state", "_added"}


def _shapes_of(inputs):
    """The shapes that a layer is built for which is called on `inputs`, arrays or Values."""

    def shape_of_one(array):
        sizes = array._keras_shape if isinstance(array, Value) else array.shape
        return tuple(size if isinstance(size, int) else None for size in sizes)

    return jax.tree.map(shape_of_one, inputs, is_leaf=lambda one: isinstance(one, Value))


def with_readings(layer: Any, form: Callable = as_values) -> Any:
    """`layer`, a copy, its attributes being what its weights are inside `call`: tensors, or with `as_arrays` arrays."""
    layer.__dict__["_is_twin"] = True

    def stand(variable):
        return Reading(variable) if form is as_values else variable.value

    own = layer.__dict__
    for variable in [one for group in sorted(_GROUPS - {"_added"}) for one in own.get(group, ())]:
        path = variable.place or ()
        if len(path) == 1 and not hasattr(type(layer), path[0]):
            own.setdefault(path[0], variable)
    for name, held in list(own.items()):
        if name not in _GROUPS and any(isinstance(symbol, Variable) for symbol in symbols_in(held)):
            own[name] = map_nest(stand, held, Variable)
    return layer


def _parts(value):
    return [*value, *value.values()] if isinstance(value, dict) else list(value) if type(value) in (list, set) else []


def _is_untouched(value, before, parts) -> bool:
    """Whether an attribute is the same as before, and if it is a list or dict, holds the same."""
    now = _parts(value)
    return value is before and len(now) == len(parts) and all(map(operator.is_, now, parts))


@contextlib.contextmanager
def noting_assignments(layer: Any, twin: Any):
    """Inside, code of `layer` runs on `twin`, a copy: what it assigns to that is told to who makes a graph."""
    before = {name: (value, _parts(value)) for name, value in vars(twin).items()}
    yield
    made = {
        name: value
        for name, value in vars(twin).items()
        if name not in _GROUPS and (name not in before or not _is_untouched(value, *before[name]))
    }
    scope = current_scope()
    if scope is not None and made:
        scope.assigned(layer, made)


def mask_from(layer: Any, inputs: Any, mask: Any) -> Any:
    """The mask of what `layer` makes of `inputs`, by its `compute_mask`."""
    written, computed = type(layer).compute_mask, type(layer).apply
    users = is_written_by_user(written) and not is_written_by_user(getattr(computed, "__wrapped__", computed))
    if not layer.takes_values and not users:
        return layer.compute_mask(inputs, mask)
    return tried(lambda form: as_arrays(layer.compute_mask(form(inputs), form(mask))))


def _claimed(scope: "bound_scope", layer: Any) -> None:
    """Let `layer`, which a `call` calls and nobody holds, be that which an earlier run of the same `call` made in its
    place; the first one belongs from now on to the layer whose `call` it is."""
    made = scope.owner.__dict__.setdefault("_made", [])
    places = [place for place, one in enumerate(made) if one is layer]
    if not places and (layer.built or reaches(scope.owner, layer)):
        return
    place = places[0] if places else scope.made
    scope.made = place + 1
    if place == len(made):
        made.append(layer)
    elif type(made[place]) is not type(layer):
        raise ValueError(
            f"Layer {scope.owner.name} ({type(scope.owner).__name__}): `call` made a {type(layer).__name__} where it "
            f"made a {type(made[place]).__name__} before. Make the layers in __init__, and keep them as attributes."
        )
    elif made[place] is not layer:
        layer.__dict__ = made[place].__dict__


class bound_scope(Execution):
    """A scope in which the variables of `layer`, a copy of `owner` (or itself), stand for the arrays of `params` and
    `state`; tensors are handed to user code in `form`.

    On leaving it, `next_state` holds the state with the updates that were asked for.
    """

    def __init__(
        self, layer: Any, params: dict, state: dict, *, key: Any = None, training: bool = False, owner: Any = None,
        form: Callable = as_values,
    ):  # fmt: skip
        variables = layer.all_variables()
        bindings = {}
        for tree, arrays in zip(variables, (params, state), strict=True):
            given = ((variable, trees.get(arrays, path)) for path, variable in trees.leaves(tree))
            bindings |= {variable: array for variable, array in given if array is not None}
        super().__init__(bindings, training=training, key=key)
        self.layer, self.owner, self.form, self.made = layer, owner or layer, form, 0
        self.places = {variable: path for path, variable in trees.leaves(variables[1])}
        self.next_state = state

    def __exit__(self, exception_type, exception, traceback):
        super().__exit__(exception_type, exception, traceback)
        for variable, value in self.updates.items():
            if variable in self.places:
                value = jnp.asarray(value, variable.dtype).reshape(variable.shape)
                self.next_state = trees.put(self.next_state, self.places[variable], value)


# -------------------------------------------------------------------------------------- the other way: super().call(x)


def call_native(layer: Any, inputs: Any, *, mask: Any = None, training: bool | None = None, **arguments: Any):
    """The built-in `apply` of `layer` on the values its variables stand for here; updates go to the scope."""
    native = native_apply(type(layer))

    def run(params, state, inputs, **options):
        return (*native(layer, params, state, inputs, **options), None)

    return _called(layer, run, inputs, mask, training, arguments)[0]


def call_in_scope(layer: Any, inputs: Any, *, mask: Any = None, training: bool | None = None, **arguments: Any):
    """Call `layer` on arrays inside another layer's `call`."""
    scope = current_scope()
    if isinstance(scope, bound_scope):
        _claimed(scope, layer)
    if not layer.built:
        try:
            with name_scope(layer.name), outside():
                layer.build(_shapes_of(inputs))
        except Exception:  # which may be that of a size that is tried: half built, the next attempt would add to it
            layer.forget_weights()
            raise
        layer.built = True
    layer.take_initial_weights()
    if mask is None:
        masks = [getattr(one, "_keras_mask", None) for one in trees.as_list(inputs)]
        mask = masks if isinstance(inputs, (list, tuple)) and any(one is not None for one in masks) else masks[0]

    def run(params, state, inputs, **options):
        call = layer.run(params, state, inputs, **options)
        scope = current_scope()
        assert scope is not None
        scope.add_losses(call.losses, layer)
        return call.outputs, call.state, call.mask

    outputs, masks = _called(layer, run, inputs, mask, training, arguments)
    for one, made in zip(trees.as_list(outputs), trees.as_list(masks), strict=False):
        if made is not None and isinstance(one, Value):
            one._keras_mask = made
    if scope is not None:
        scope.called(layer, outputs)
    return outputs


def _called(layer, run, inputs, mask, training, arguments):
    """Outputs and masks of a call of `layer` among the symbols of another's `call`."""
    scope = current_scope()
    if scope is None and symbols_in(inputs):
        return _node_of(layer, run, inputs, mask, bool(training), arguments), None
    if scope is None:
        raise ValueError(
            f"Layer {layer.name}: `call` computes on arrays inside a model. Outside of one, use "
            "layer.apply(params, state, inputs)."
        )
    training = scope.training if training is None else training
    variables = layer.variables()

    def called(inputs, mask, arguments):
        scope = current_scope()
        assert scope is not None, "it is called at once, or where shapes are inferred, under a Finder"
        params, state = jax.tree.map(lambda variable: variable.value, variables)
        key = scope.key and scope.next_key()
        outputs, after, made = run(params, state, inputs, key=key, training=training, mask=mask, **arguments)
        for path, variable in trees.leaves(variables[1]):
            if trees.get(after, path) is not trees.get(state, path):
                scope.update(variable, trees.get(after, path))
        return outputs, made

    called.__name__ = layer.name
    return compute(called, (inputs, mask, arguments), {})


def _node_of(layer, run, inputs, mask, training, arguments):
    """The symbols of what `layer`, which is no part of any network thereby, makes of symbols."""
    if not layer.built:
        with name_scope(layer.name):
            layer.build(map_nest(lambda symbol: tuple(symbol.shape), inputs, Symbol))
        layer.built = True

    def called(variables, inputs, mask, arguments):
        scope = current_scope()
        assert scope is not None, "symbols are computed in an execution, shapes are inferred under a Finder"
        key = random.as_key(0) if isinstance(scope, Finder) else scope.key and scope.next_key()
        return run(*variables, inputs, key=key, training=training, mask=mask, **arguments)[0]

    called.__name__ = layer.name
    return Node(called, (list(layer.variables()), inputs, mask, arguments), {}).result


# --------------------------------------------------------------------------------------------------- weights' names

_scope_name: contextvars.ContextVar[str] = contextvars.ContextVar("scope_name", default="")


def name_scope(name: str) -> contextlib.AbstractContextManager:
    """Weights created inside are called `name/...`, below the names of the enclosing scopes."""
    return config.holding(_scope_name, _scope_name.get() + name + "/")


def scoped_name(layer: Any, name: str) -> str:
    """The full name of a new weight, as Keras writes it: 'dense_1/kernel:0'."""
    return f"{_scope_name.get() or layer.name + '/'}{name}:0"
