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
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import random, trees
from jkeras.graph.scope import Scope, current_scope
from jkeras.graph.tensor import Variable
from jkeras.serialize.objects import has_arg

__all__ = [
    "adopt", "apply_from_call", "bound_scope", "call_in_scope", "call_native", "declared", "drawn", "drawn_again",
    "name_scope", "native_declare", "scoped_name", "shape_of", "through_run",
]  # fmt: skip

# ------------------------------------------------------------------------------------------- where the pair comes from


def adopt(cls: type) -> None:
    """Give `cls`, a new subclass of Layer, a `declare` and an `apply` for what it defines."""
    own = vars(cls)
    is_ours = not is_written_by_user(cls)
    for name in ("init", "compute_call"):
        if name in own and not is_ours:
            setattr(cls, name, _with_plain_key(own[name]))
    if "declare" not in own and not ("init" in own and is_ours):
        if "init" in own:
            cls.declare = declare_from_init
        elif "build" in own:
            cls.declare = declare_from_build
    if "apply" in own:
        cls.apply = through_run(own["apply"] if is_ours else _with_plain_key(own["apply"]))
    elif "call" in own:
        cls.apply = through_run(apply_from_call)
    if ("apply" in own or "call" in own) and "compute_call" not in own:
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
    twin = self.twin()
    twin.built = False
    twin.forget_weights()
    with name_scope(self.name):
        twin.build(input_shape)
    return twin.own_variables()


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
        if isinstance(part, Variable)
        else part
        for name, part in tree.items()
    }


def drawn_again(layer: Any, key: Any):
    """New initial arrays for a layer that is built, like its variables."""
    return tuple(
        trees.mapped(lambda path, one: _on_host(one.draw, key.fold(*path), one.shape, one.dtype), tree)
        for tree in layer.variables()
    )


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
    layer = self.twin()
    if not self.built:
        layer.build(jax.tree.map(lambda array: tuple(array.shape), inputs))
    with bound_scope(layer, params, state, key=key, training=training) as bound:
        call = layer.call
        if mask is not None and "mask" not in arguments and has_arg(call, "mask"):
            arguments["mask"] = mask
        if "training" not in arguments and has_arg(call, "training"):
            arguments["training"] = training
        outputs = call(inputs, **arguments)
        outputs = jax.tree.map(lambda leaf: leaf.value if isinstance(leaf, Variable) else leaf, outputs)
    around.add_losses(bound.losses, self)
    return outputs, bound.next_state


class bound_scope(Scope):
    """A scope in which the variables of `layer` stand for the arrays of `params` and `state`.

    On leaving it, `next_state` holds the state with the updates that were asked for.
    """

    def __init__(self, layer: Any, params: dict, state: dict, *, key: Any = None, training: bool = False):
        variables = layer.all_variables()
        bindings = {}
        for tree, arrays in zip(variables, (params, state), strict=True):
            found = {variable: trees.get(arrays, path) for path, variable in trees.leaves(tree)}
            bindings |= {variable: array for variable, array in found.items() if array is not None}
        key = None if key is None else random.as_key(key)
        super().__init__(bindings, layer=layer, training=training, key=key)
        self.places = {variable: path for path, variable in trees.leaves(variables[1])}
        self.next_state = state

    def __exit__(self, exception_type, exception, traceback):
        super().__exit__(exception_type, exception, traceback)
        for variable, value in self.updates.items():
            if variable in self.places:
                value = value.value if isinstance(value, Variable) else value
                value = jnp.asarray(value, variable.dtype).reshape(variable.shape)
                self.next_state = trees.put(self.next_state, self.places[variable], value)


# -------------------------------------------------------------------------------------- the other way: super().call(x)


def call_native(layer: Any, inputs: Any, *, mask: Any = None, training: bool | None = None, **arguments: Any):
    """The built-in `apply` of `layer` on the values its variables stand for here; updates go to the scope."""
    compute = native_apply(type(layer))

    def run(*weights, **options):
        return compute(layer, *weights, **options)

    return _called(layer, run, inputs, mask, training, arguments)


def call_in_scope(layer: Any, inputs: Any, *, mask: Any = None, training: bool | None = None, **arguments: Any):
    """Call `layer` on arrays inside another layer's `call`."""
    if not layer.built:
        with name_scope(layer.name):
            layer.build(jax.tree.map(lambda array: tuple(array.shape), inputs))
            layer.built = True
    return _called(layer, layer.apply, inputs, mask, training, arguments)


def _called(layer, apply, inputs, mask, training, arguments):
    scope = current_scope()
    if scope is None:
        raise ValueError(
            f"Layer {layer.name}: `call` computes on arrays inside a model. Outside of one, use "
            "layer.apply(params, state, inputs)."
        )
    variables = layer.variables()
    params, state = jax.tree.map(lambda variable: variable.value, variables)
    training = scope.training if training is None else training
    key = scope.key and scope.next_key()
    outputs, after = apply(params, state, inputs, key=key, training=training, mask=mask, **arguments)
    for path, variable in trees.leaves(variables[1]):
        if trees.get(after, path) is not trees.get(state, path):
            scope.update(variable, trees.get(after, path))
    return outputs


# --------------------------------------------------------------------------------------------------- weights' names

_scope_name: contextvars.ContextVar[str] = contextvars.ContextVar("scope_name", default="")


@contextlib.contextmanager
def name_scope(name: str):
    """Weights created inside are called `name/...`, below the names of the enclosing scopes."""
    token = _scope_name.set(_scope_name.get() + name + "/")
    try:
        yield
    finally:
        _scope_name.reset(token)


def scoped_name(layer: Any, name: str) -> str:
    """The full name of a new weight, as Keras writes it: 'dense_1/kernel:0'."""
    return f"{_scope_name.get() or layer.name + '/'}{name}:0"
