"""The weights of a layer: how they are described, made, named, listed, read and set."""

import contextlib
import functools
from collections.abc import Container, Iterable
from typing import Any

import jax
import numpy as np

from jkeras import config, initializers, random, regularizers, trees
from jkeras.graph import adapter
from jkeras.graph.assigned import check_held
from jkeras.graph.scope import current_scope
from jkeras.graph.tensor import Variable, values_of
from jkeras.graph.value import as_arrays
from jkeras.serialize.trust import check_size

__all__ = ["HoldsWeights", "free_name"]


def free_name(name: str, taken: Container) -> str:
    """`name`, or if it is among `taken`, with the first number that makes it another: 'kernel_1'."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _place(variable) -> tuple:
    # A variable that the user put among the weights has no place, or one that is good for another layer.
    return variable.place or (variable.name.rpartition("/")[2].partition(":")[0],)


class HoldsWeights(adapter.AnyLayer):
    """What a layer does about its weights. Their values live in `Variable`s; params and state are trees like them."""

    name: str
    trainable: bool
    built: bool
    _trainable_weights: list
    _non_trainable_weights: list
    _unsaved_state: list
    #: The paths of dicts in params, and in state, that hold nothing: those of a layer without weights inside.
    _empty_parts: tuple = ((), ())

    #: State that is not among the weights (not in `get_weights`, not in weight files): the names of its entries.
    unsaved_state: tuple = ()

    # ------------------------------------------------------------------------------------------- described and made

    def declare(self, input_shape: Any) -> tuple[dict, dict]:
        """The layer's own params and state for inputs of `input_shape`, those of `sublayers` aside: two dicts of
        `Variable`s by name, as from `weight`; a state that always starts the same may be given as an array."""
        return {}, {}

    def weight(self, name: str, shape: Iterable, initializer: Any = None, *, prefix: str | None = None,
               dtype: str | None = None) -> Variable:  # fmt: skip
        """The description of a weight: drawn by `<prefix>_initializer` of this layer (`prefix` is `name` unless given),
        with the regularizer and the constraint of that prefix."""
        prefix = prefix or name
        initializer = initializers.get(initializer or getattr(self, prefix + "_initializer"))
        regularizer, constraint = (getattr(self, f"{prefix}_{kind}", None) for kind in ("regularizer", "constraint"))
        return _drawn(name, tuple(shape), dtype, initializer, regularizer=regularizer, constraint=constraint)

    def add_weight(
        self, name: str | None = None, shape: Iterable | None = None, dtype: str | None = None, initializer: Any = None,
        regularizer: Any = None, trainable: bool = True, constraint: Any = None,
    ) -> Variable:  # fmt: skip
        """A new weight, for use in `build`; `initializer` is Glorot's uniform unless given.

        Raises:
            ValueError: inside `call`, where a new one would be made in every run.
        """
        scope = current_scope()
        if scope is not None and scope.layer is self:
            raise ValueError(
                f"Layer {self.name} ({type(self).__name__}): add_weight was called inside `call`, which is run many "
                "times. Make the weights in build(input_shape)."
            )
        name = name or "variable"
        variable = _drawn(
            name,
            () if shape is None else tuple(int(size) for size in shape),
            dtype,
            initializers.get(initializer or "glorot_uniform"),
            regularizer=regularizers.get(regularizer),
            constraint=constraint,
            key=random.next_key(),
        )
        self.adopt_weight((name,), variable, trainable)
        return variable

    def adopt_weight(self, place: tuple, variable: Any, trainable: bool = True) -> Variable:
        """Take a `Variable` (or the array that a state starts from) among the weights, under the path `place`."""
        if not isinstance(variable, Variable):
            start = np.asarray(variable)
            variable = Variable(start.shape, start.dtype, place[-1], draw=lambda key: start)
        variable.trainable = trainable
        own = [*self._trainable_weights, *self._non_trainable_weights, *self._unsaved_state]
        siblings = [taken[-1] for taken in map(_place, own) if taken[:-1] == place[:-1]]
        variable.place = (*place[:-1], free_name(place[-1], siblings))
        variable.name = adapter.scoped_name(self, "/".join(variable.place))
        if place[0] in self.unsaved_state:
            self._unsaved_state.append(variable)
        else:
            (self._trainable_weights if trainable else self._non_trainable_weights).append(variable)
        return variable

    def forget_weights(self) -> None:
        """Have no weights, as before `build`."""
        self._trainable_weights, self._non_trainable_weights, self._unsaved_state = [], [], []

    # ------------------------------------------------------------------------------------------------------- listed

    def own_variables(self) -> tuple[dict, dict]:
        """The layer's own `Variable`s in the shape of its params and state, those of sublayers aside."""
        both = self._trainable_weights, self._non_trainable_weights + self._unsaved_state
        if self.built:
            both = (
                both[0] + _only_stated(self, "trainable_weights"),
                both[1] + _only_stated(self, "non_trainable_weights"),
            )
        inner: set = set()
        if both[0] or both[1]:
            inner = {one for layer in self.sublayers().values() for one in jax.tree.leaves(layer.variables())}
        own = [_by_place(one for one in dict.fromkeys(group) if one not in inner) for group in both]
        params, state = (
            functools.reduce(lambda tree, path: trees.put(tree, path, {}), empty, tree)
            for tree, empty in zip(own, self._empty_parts, strict=True)
        )
        return params, state

    def states_weights(self) -> bool:
        """Whether a user's class states its weights in a property of its own."""
        return bool(_only_stated(self, "trainable_weights") or _only_stated(self, "non_trainable_weights"))

    def variables(self) -> tuple[dict, dict]:
        """The layer's `Variable`s in the shape of its params and state."""
        params, state = self.own_variables()
        for name, layer in self.sublayers().items():
            for tree, part in zip((params, state), layer.variables(), strict=True):
                if part:
                    tree[name] = part
        return params, state

    def unsaved_variables(self) -> list:
        """The variables of state that is not among the weights, those of sublayers too."""
        inner = [one for layer in self.sublayers().values() for one in layer.unsaved_variables()]
        return self._unsaved_state + inner

    def all_variables(self) -> tuple[dict, dict]:
        """`variables`, and in the state those from outside that the layer reads."""
        return self.variables()

    def sublayers(self) -> dict:
        """The layers this one is made of, by the name under which its params and state hold theirs: of a user's layer
        those that its attributes hold, also in lists, tuples and dicts."""
        return self.held_layers()

    def held_layers(self, named: dict | None = None) -> dict:
        """`named`, layers by name, and beside them those that the attributes of a user's layer with a `call` hold."""
        found = dict(named or {})
        if not adapter.is_written_by_user(type(self)) or not adapter.is_adapted(self):
            return found
        known = set(found.values())
        held = {**vars(self), "_made": ()}
        for path, layer in [*adapter.layers_in(held), *adapter.layers_in({"_made": vars(self).get("_made", ())})]:
            if layer not in known and layer is not self and not adapter.reaches(layer, self):
                known.add(layer)
                found[free_name("_".join(path).lstrip("_"), found)] = layer
        return found

    #: Layers that this one holds, and that have a place of their own in a model: their weights count there.
    elsewhere: frozenset = frozenset()

    @property
    def trainable_weights(self) -> list:
        """The weights that training changes: none if the layer is not `trainable`."""
        return self._all_trainable() if self.trainable else []

    @trainable_weights.setter
    def trainable_weights(self, weights: Iterable):
        self._trainable_weights = list(weights)

    def _all_trainable(self) -> list:
        layers = _counted(self)
        inner = [weight for layer in layers for weight in layer.trainable_weights]
        # Of what a layer took over from those inside it, they decide. They are asked only where there is something, as
        # each of them asks again.
        theirs = (
            {weight for layer in layers for weight in layer.weights} - set(inner) if self._trainable_weights else ()
        )
        return list(dict.fromkeys([*(weight for weight in self._trainable_weights if weight not in theirs), *inner]))

    @property
    def non_trainable_weights(self) -> list:
        """The weights that training leaves to the layer itself (moving averages), or alone."""
        weights = [*self._non_trainable_weights, *(w for one in _counted(self) for w in one.non_trainable_weights)]
        weights = list(dict.fromkeys(weights))
        return weights if self.trainable else list(dict.fromkeys(self._all_trainable() + weights))

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: Iterable):
        self._non_trainable_weights = list(weights)

    @property
    def weights(self) -> list:
        """All weights, the trainable ones first."""
        return self.trainable_weights + self.non_trainable_weights

    def saved_weights(self) -> list:
        """The weights in the order of `get_weights`."""
        return self.weights

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

    # ------------------------------------------------------------------------------------------------- read and set

    def get_weights(self) -> list:
        """The current values of the weights, as numpy arrays."""
        return [np.array(value) for value in values_of(self.saved_weights(), lambda weight: weight.current())]

    def set_weights(self, weights: Iterable) -> None:
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

    def get_trees(self) -> tuple[dict, dict]:
        """The current values as params and state: trees of arrays, as from `init` and for `apply`."""
        leaves, treedef = jax.tree.flatten(self.all_variables())
        return treedef.unflatten(values_of(leaves, lambda variable: variable.value))

    def set_trees(self, params: dict, state: dict | None = None) -> None:
        """Take over params, and state unless it is None, in the form of `get_trees`.

        Raises:
            ValueError: if an array is missing, too many or of another shape; then nothing is changed.
        """
        pairs = []
        for what, variables, arrays in zip(("params", "state"), self.all_variables(), (params, state), strict=True):
            if arrays is None:
                continue
            expected, given = dict(trees.leaves(variables)), dict(trees.leaves(arrays))
            for path in dict.fromkeys([*expected, *given]):
                wanted = expected[path].shape if path in expected else None
                found = tuple(np.shape(given[path])) if path in given else None
                if wanted != found:
                    raise ValueError(
                        f"{self.name}.set_trees: at {'/'.join(path)!r} {what} should have {_shown(wanted)} and have "
                        f"{_shown(found)}."
                    )
            pairs += [(variable, np.array(given[path], variable.dtype)) for path, variable in expected.items()]
        for variable, array in pairs:
            variable.value = array

    def __setattr__(self, name, value):
        if self.__dict__.get("_inbound_nodes") and "_is_twin" not in self.__dict__:
            check_held(self, name, value)
            self.__dict__.get("_before_call", {}).pop(name, None)  # runs start from what is stated now
        super().__setattr__(name, value)

    def __getattr__(self, name):
        if name in self.__dict__.get("_before_call", ()):
            raise AttributeError(
                f"{self.name}.{name} is assigned in the `call` of {type(self).__name__}, and is a tensor or differs "
                "from run to run: it is there until that call ends, and not kept. Let `call` return it, too."
            )
        found = getattr(type(self), name, None)
        if isinstance(found, property):  # which raised an AttributeError: it has more to say than this method
            return found.__get__(self)
        if not name.startswith("_"):
            for group in ("_trainable_weights", "_non_trainable_weights", "_unsaved_state"):
                for variable in self.__dict__.get(group, ()):
                    if _place(variable) == (name,):
                        return variable
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --------------------------------------------------------------------------------- what training does with them

    def regularization(self, params: dict, state: dict | None = None) -> list:
        """The penalties of the weights' regularizers: a list of scalars. `state`, as from `init` of a model, holds the
        variables from outside that they read."""
        with _what_is_read(self, params, state):
            given = [(one.regularizer, value) for _, one, value in _given(self, params)]
            return as_arrays([regularizer(value) for regularizer, value in given if regularizer is not None])

    def constrain(self, params: dict, state: dict | None = None) -> dict:
        """`params` with the constraints of the weights applied; `state` as of `regularization`."""
        with _what_is_read(self, params, state):
            for path, variable, value in _given(self, params):
                if variable.constraint is not None:
                    params = trees.put(params, path, as_arrays(variable.constraint(value)))
        return params


def _given(layer, params):
    """(path, variable, value) of the weights that `params` has values for."""
    found = [(path, one, trees.get(params, path)) for path, one in trees.leaves(layer.variables()[0])]
    return [each for each in found if each[2] is not None]


def _what_is_read(layer, params, state):
    """The scope of regularizers and constraints, unless there is one: that of a step."""
    around = current_scope()
    return adapter.bound_scope(layer, params, state or {}) if around is None else contextlib.nullcontext()


def _counted(layer):
    """The layers inside whose weights count as those of `layer`."""
    return [inner for inner in layer.sublayers().values() if inner not in layer.elsewhere]


def _shown(shape) -> str:
    return "nothing" if shape is None else f"an array of shape {shape}"


def _drawn(name, shape, dtype, initializer, **options) -> Variable:
    dtype = dtype or config.floatx()
    check_size(shape, f"its weight {name!r}")

    def draw(key):
        return initializers.draw(initializer, random.as_key(key).fold(name), shape, dtype)

    return Variable(shape, dtype, name, draw=draw, **options)


def _by_place(variables) -> dict:
    tree: dict = {}
    for variable in variables:
        *outer, name = _place(variable)
        siblings = trees.get(tree, tuple(outer), {})
        tree = trees.put(tree, (*outer, free_name(name, siblings)), variable)
    return tree


def _only_stated(layer, what: str) -> list:
    """The weights that a user's class states in a property of its own."""
    stated = getattr(type(layer), what)
    ours = not isinstance(stated, property) or not adapter.is_written_by_user(stated.fget)
    return [] if ours else [weight for weight in getattr(layer, what) if isinstance(weight, Variable)]
