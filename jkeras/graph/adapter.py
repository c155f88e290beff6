"""Layers in Keras style become pure pairs: one adapter for `build` + `call` and for subclasses of built-in layers.

A class that defines `call` gets an `apply` that binds the arrays of `params` and `state` to the layer's variables, runs
`call` in a `Scope`, and collects what it added; a class that defines `build` gets an `init` that builds a copy and
draws its weights. Both leave nothing on the layer. Seen from the other side, `super().call(x)` and
`super().build(shape)` reach the pure pair of the built-in class.
"""

import contextlib
import contextvars

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import random
from jkeras.graph.scope import Scope, current_scope
from jkeras.graph.tensor import Variable
from jkeras.serialize.objects import has_arg

__all__ = ["adopt", "bound_scope", "call_in_scope", "call_native", "name_scope", "native", "on_host", "scoped_name"]


# ------------------------------------------------------------------------------------------- where the pair comes from


def adopt(cls):
    """Give `cls`, a new subclass of Layer, an `init` for its `build` and an `apply` for its `call`, where it defines
    them."""
    own = vars(cls)
    if "build" in own and "init" not in own:
        cls.init = init_from_build
    if "call" in own and "apply" not in own:
        cls.apply = apply_from_call


def native(cls, name):
    """The nearest `init` or `apply` of `cls` that is written as a pure function, not made here."""
    for base in cls.__mro__:
        method = vars(base).get(name)
        if method is not None and method not in (init_from_build, apply_from_call):
            return method
    raise AttributeError(f"{cls.__name__} has no {name}.")


def init_from_build(self, key, input_shape):
    """Initial weights and state of a layer that creates them in `build`."""
    twin = self.twin()
    twin.built = False
    twin._trainable_weights, twin._non_trainable_weights, twin._unsaved_state = [], [], []
    with name_scope(self.name):
        twin.build(input_shape)

    def draw(tree, key):
        drawn = {}
        for name, part in tree.items():
            inner = None if key is None else random.as_key(key).fold(name)
            if isinstance(part, dict):
                drawn[name] = draw(part, inner)
            else:
                drawn[name] = part if key is None else on_host(part.draw, inner, part.shape, part.dtype)
        return drawn

    params, state = twin.variables()
    return draw(params, key), draw(state, key)


def apply_from_call(self, params, state, inputs, *, key=None, training=False, mask=None, **arguments):
    """Outputs and next state of a layer that computes in `call`."""
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
    return _arrays(outputs), bound.next_state


def _arrays(nest):
    """`nest` with variables replaced by their values: a `call` may return a weight as it is."""
    return jax.tree.map(lambda leaf: leaf.value if isinstance(leaf, Variable) else leaf, nest)


class bound_scope(Scope):
    """A scope in which the variables of `layer` stand for the arrays of `params` and `state`.

    On leaving it, `next_state` holds the state with the updates that were asked for.
    """

    def __init__(self, layer, params, state, *, key=None, training=False):
        trees = layer.variables()
        bindings = {}
        self.places = {}
        for variables, arrays, kind in zip(trees, (params, state), ("params", "state"), strict=True):
            for path, variable in _walk(variables):
                bindings[variable] = _at(arrays, path)
                self.places[variable] = (kind, path)
        super().__init__(bindings, training=training, key=None if key is None else random.as_key(key))
        self.next_state = state

    def __exit__(self, exception_type, exception, traceback):
        super().__exit__(exception_type, exception, traceback)
        for variable, value in self.updates.items():
            kind, path = self.places.get(variable, (None, ()))
            if kind == "state":
                value = jnp.asarray(_arrays(value), variable.dtype)
                self.next_state = _with(self.next_state, path, value.reshape(variable.shape))


def _walk(tree, path=()):
    for name, part in tree.items():
        if isinstance(part, dict):
            yield from _walk(part, (*path, name))
        else:
            yield (*path, name), part


def _at(tree, path):
    for name in path:
        tree = tree[name]
    return tree


def _with(tree, path, value):
    """`tree` with `value` at `path`; nothing is changed in place."""
    if not path:
        return value
    return {**tree, path[0]: _with(tree[path[0]], path[1:], value)}


# -------------------------------------------------------------------------------------- the other way: super().call(x)


def _values(layer):
    """The current (inside a scope: bound) values of the layer's variables, as params and state."""
    return jax.tree.map(lambda variable: variable.value, layer.variables())


def call_native(layer, inputs, *, mask=None, training=None, **arguments):
    """The built-in `apply` of `layer` on the values its variables stand for here; updates go to the scope."""
    return _run(layer, native(type(layer), "apply"), inputs, mask, training, arguments)


def call_in_scope(layer, inputs, *, mask=None, training=None, **arguments):
    """Call `layer` on arrays inside another layer's `call`."""
    if not layer.built:
        with name_scope(layer.name):
            layer.build(jax.tree.map(lambda array: tuple(array.shape), inputs))
            layer.built = True
    return _run(layer, type(layer).apply, inputs, mask, training, arguments)


def _run(layer, apply, inputs, mask, training, arguments):
    scope = current_scope()
    if scope is None:
        raise ValueError(
            f"Layer {layer.name}: `call` computes on arrays inside a model. Outside of one, use "
            "layer.apply(params, state, inputs)."
        )
    params, state = _values(layer)
    training = scope.training if training is None else training
    key = scope.key and scope.next_key()
    outputs, next_state = apply(layer, params, state, inputs, key=key, training=training, mask=mask, **arguments)
    for path, variable in _walk(layer.variables()[1]):
        value = _at(next_state, path)
        if value is not _at(state, path):
            scope.update(variable, value)
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


def scoped_name(layer, name: str) -> str:
    """The full name of a new weight, as Keras writes it: 'dense_1/kernel:0'."""
    return f"{_scope_name.get() or layer.name + '/'}{name}:0"


# --------------------------------------------------------------------------------------------------- initial weights


def on_host(draw, key, shape, dtype):
    """`draw(key)`, a numpy computation, also where the key is traced (then as a callback to the host)."""
    base = random.as_key(key).base
    if not isinstance(base, jax.core.Tracer):
        return np.asarray(draw(key))
    path = random.as_key(key).path

    def from_data(data):
        return np.asarray(draw(random.Key(jax.random.wrap_key_data(jnp.asarray(data)), path=path)))

    spec = jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
    return jax.pure_callback(from_data, spec, jax.random.key_data(base), vmap_method="sequential")
