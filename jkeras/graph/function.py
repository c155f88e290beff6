"""A set of symbols becomes a pure function. Only this file walks a graph.

`nodes_between` finds the calls that lead to some symbols, `Execution` runs them on values, `gradients` makes the
symbols of derivatives. Models, `K.function` and added losses are all made of these.
"""

import collections
import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import batch, config, random, sparse, trees
from jkeras.forked import check_not_forked
from jkeras.graph.scope import Again, Scope, current_scope
from jkeras.graph.tensor import Node, SymbolicTensor, Variable, is_symbol, map_symbols, symbols_in, unique_name
from jkeras.graph.value import Value, compute
from jkeras.lift import Symbol, instances, map_nest

__all__ = [
    "Execution", "Function", "gradients", "gradients_or_none", "layers_of", "nodes_between", "observed",
    "variables_of",
]  # fmt: skip


def nodes_between(inputs: Any, outputs: Any) -> list:
    """The nodes needed to compute `outputs` from `inputs`, each after those it depends on.

    Raises:
        ValueError: if an output depends on an input that is not among `inputs`.
    """
    given = set(inputs)
    order, done, in_progress = [], set(), set()
    stack = [(symbol, None) for symbol in reversed(list(outputs))]
    while stack:
        symbol, finished = stack.pop()
        if finished is not None:
            in_progress.discard(finished)
            done.add(finished)
            order.append(finished)
            continue
        node = symbol.node
        if symbol in given or node in done or isinstance(symbol, Variable):
            continue
        if node is None:
            if getattr(symbol, "is_learning_phase", False):
                continue
            raise ValueError(
                f"Graph disconnected: cannot obtain value for tensor {symbol!r}: it is an input that is not among the "
                f"given ones ({', '.join(str(s.name) for s in inputs) or 'none'})."
            )
        if node in in_progress:
            raise ValueError(f"The graph has a cycle at {symbol!r}.")
        in_progress.add(node)
        stack.append((symbol, node))
        stack.extend((previous, None) for previous in reversed(node.inputs))
    return order


def layers_of(nodes: Iterable) -> list:
    """The layers called by `nodes`, each once, in order."""
    found = []
    for node in nodes:
        found += [node.layer] if node.layer is not None else layers_of(node.path) if hasattr(node, "path") else []
    return list(dict.fromkeys(found))


def variables_of(nodes: Iterable, symbols: Iterable = ()) -> list:
    """The variables that `nodes` and `symbols` read themselves (not as weights of a layer that is called)."""
    found = [symbol for symbol in symbols if isinstance(symbol, Variable)]
    for node in nodes:
        found += [symbol for symbol in node.inputs if isinstance(symbol, Variable)]
        if isinstance(node, GradientNode):
            found += variables_of(node.path, [node.of])
    return list(dict.fromkeys(found))


class Execution(Scope):
    """One run of nodes on values, and the scope around it.

    Arguments:
        values: symbol -> value, of the inputs and of variables; holds all values afterwards.
        key: the run's key or None; training: a Python bool.
        positions: layer -> its position in the model, which is its part in the key's path.

    Attributes:
        moved: variable -> its next value, as calls of layers left it. The next call of the layer goes on with that; to
            all others the variable is what it was before.
        asked: the same of what symbols of layers' updates came to.
        losses: the scalars that the layers' calls added.
    """

    def __init__(self, values: Any, *, key: Any = None, training: bool = False, positions: dict | None = None):
        super().__init__(dict(values), training=training, key=None if key is None else random.as_key(key))
        self.values = self.bindings
        self.positions, self.shards = positions, batch.shards()
        self.moved: dict = {}
        self.asked: dict = {}
        self._calls: collections.Counter = collections.Counter()

    def value(self, symbol: Any):
        """The value of `symbol`: given, computed, or bound to it by who runs this."""
        if symbol in self.values:
            return self.values[symbol]
        found = self.lookup(symbol)
        if found is None:
            raise KeyError(symbol.name)
        return found

    def found_here(self, symbol: Any) -> Any:
        """The value of a symbol, computed on the spot if it was not needed so far; of the whole batch where that is
        what is computed with now."""
        if isinstance(symbol, Variable) or self.shards == batch.shards():
            return self._known(symbol)
        with batch.mapped(self.shards):
            value = self._known(symbol)
            return batch.whole(value) if symbol.shape[:1] == (None,) else value

    def _known(self, symbol):
        if symbol in self.values or symbol.node is None:
            return self.values.get(symbol)
        try:
            nodes = nodes_between(list(filter(is_symbol, self.values)), [symbol])
        except ValueError:  # it depends on other inputs
            return None
        # In a run of its own: what is computed inside a loop or a map must not stay.
        with self.fresh(self.values) as inner:
            inner._calls.update(self._calls)
            return inner.compute(nodes).values[symbol]

    def fresh(self, values: Any) -> "Execution":
        """Another run, on `values`, with the same key, phase and positions."""
        return Execution(values, key=self.key, training=self.training, positions=self.positions)

    def enter(self, layer: Any):
        """The key, params and state for the next call of `layer`."""
        params, state = self.weights(layer, self.moved)
        call = self._calls[layer]
        self._calls[layer] += 1
        key = self.key
        if key is not None:
            key = key.fold(self.place(layer), call)
        return key, params, state

    def weights(self, layer: Any, made: dict):
        """The params and state of `layer`, those that are in `made` as they are there."""
        return jax.tree.map(lambda one: made[one] if one in made else self.value(one), layer.variables())

    def place(self, layer: Any):
        """The part that `layer` has in the path of keys."""
        return layer.name if self.positions is None else self.positions.get(layer, layer.name)

    def leave(self, layer: Any, state: dict, losses: Any):
        """Take what a call of `layer` left: its next state and its losses."""
        for path, variable in trees.leaves(layer.variables()[1]):
            value = trees.get(state, path)
            if value is not None:
                self.moved[variable] = value
        self.losses.extend(losses)

    def compute(self, nodes: Iterable):
        """Evaluate `nodes` in order; returns self."""
        for node in nodes:
            self.step(node)
        return self

    def step(self, node: Any):
        """Evaluate `node` unless its outputs are known."""
        if not all(symbol in self.values for symbol in node.outputs):
            observer = _observer.get()
            if observer is None:
                node.evaluate(self)
            else:
                observer(node, self)


_observer: contextvars.ContextVar = contextvars.ContextVar("observer", default=None)


def observed(observer: Callable) -> contextlib.AbstractContextManager:
    """Inside, `observer(node, execution)` is called wherever a node is to be evaluated; it calls `node.evaluate`."""
    return config.holding(_observer, observer)


class GradientNode(Node):
    """The derivatives of a symbol with respect to others (inputs, intermediate symbols, variables)."""

    def __init__(self, of: Any, wrt: Iterable):
        self.of, self.wrt = of, list(wrt)
        self.path = nodes_between(self.wrt + _placeholders(of), [of])
        reached = {symbol for node in self.path for symbol in node.inputs} | {of}
        reached |= {v for layer in layers_of(self.path) for v in jax.tree.leaves(layer.variables())}
        reached |= {variable for node in self.path for variable in node.reads}
        for symbol in self.wrt:
            if symbol not in reached:
                raise ValueError(f"gradients: {of!r} does not depend on {symbol!r}.")
        self.reads = [variable for node in self.path for variable in node.reads]
        produced = {symbol for node in self.path for symbol in node.outputs}
        needed = [symbol for node in self.path for symbol in node.inputs if symbol not in produced]
        self.inputs = list(dict.fromkeys([s for s in self.wrt if not isinstance(s, Variable)] + needed))
        self.outputs = [SymbolicTensor(s.shape, s.dtype, unique_name("gradient"), self) for s in self.wrt]
        self.result = self.outputs

    def evaluate(self, execution: Any):
        """Differentiate a fresh run of the path from `wrt` to `of`."""

        def total(wrt_values):
            values = {symbol: execution.value(symbol) for symbol in self.inputs}
            with execution.fresh(values | dict(zip(self.wrt, wrt_values, strict=True))) as inner:
                return jnp.sum(inner.compute(self.path).value(self.of))

        derivatives = jax.grad(total)([jnp.asarray(execution.value(symbol)) for symbol in self.wrt])
        for symbol, value in zip(self.outputs, derivatives, strict=True):
            execution.values[symbol] = value


def _placeholders(symbol) -> list:
    """The inputs (symbols that nobody makes) that `symbol` depends on."""
    found, seen, stack = [], set(), [symbol]
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.node is not None:
            stack.extend(current.node.inputs)
        elif not isinstance(current, Variable):
            found.append(current)
    return found


def gradients(of: Any, wrt: Iterable) -> list:
    """The symbols of the derivatives of the sum of `of` with respect to each symbol of `wrt`.

    Raises:
        ValueError: if `of` does not depend on one of them.
    """
    # Weights in one pass; a symbol that others are computed from needs a pass of its own.
    weights = [symbol for symbol in wrt if isinstance(symbol, Variable)]
    found = dict(zip(weights, GradientNode(of, weights).outputs if weights else [], strict=True))
    return [found[symbol] if symbol in found else GradientNode(of, [symbol]).outputs[0] for symbol in wrt]


def gradients_or_none(of: Any, wrt: Iterable) -> list:
    """`gradients`, with None for each symbol that `of` does not depend on."""
    if any(isinstance(one, Value) for one in [of, *wrt]):
        return _gradients_within_a_call(of, wrt)
    found = []
    for symbol in wrt:
        try:
            GradientNode(of, [symbol])
        except ValueError:
            found.append(None)
        else:
            found.append(symbol)
    of_these = iter(gradients(of, [symbol for symbol in found if symbol is not None]))
    return [None if symbol is None else next(of_these) for symbol in found]


def _as_symbols(of, known) -> None:
    """Add to `known`, Value -> symbol, those of `of` and of what it was computed of: the symbol that one is the value
    of, or one that is computed again. What no symbol enters stays an array."""
    waiting = [of]
    while waiting:
        value = waiting.pop()
        if value in known:
            continue
        if value.like is not None or value.recipe is None:
            known[value] = value.array if value.like is None else value.like
            continue
        function, args, kwargs, place, draws = value.recipe
        unknown = [one for one in instances([args, kwargs], Symbol) if isinstance(one, Value) and one not in known]
        if unknown:
            waiting += [value, *unknown]
            continue
        args, kwargs = map_nest(lambda one: known.get(one, one), [args, kwargs], Symbol)
        again = Node(_again(function, draws), args, kwargs).outputs if symbols_in([args, kwargs]) else None
        known[value] = value.array if again is None else again[place]


def _again(function, draws):
    """`function` for a second run, like that in the scope of now after so many `draws`."""
    scope = current_scope()
    assert scope is not None, "Values are computed with in a scope"

    @functools.wraps(function)
    def again(*args, **kwargs):
        with Again(scope, draws):
            return function(*args, **kwargs)

    return again


def _gradients_within_a_call(of, wrt) -> list:
    """`gradients_or_none` of what user code has computed: that is made of symbols again, and differentiated here."""
    scope = current_scope()
    if scope is None:
        raise ValueError(f"gradients: {of!r} was computed in a call that is over.")
    values = [one for one in wrt if isinstance(one, Value)]
    known = {one: one.like for one in values if one.like is not None}
    holes = {}  # what this very call has computed is no symbol of the graph around it
    for one in values:
        if one not in known:
            known[one] = SymbolicTensor(one._keras_shape, str(one.dtype), unique_name("value"))
            holes[known[one]] = one
    if isinstance(of, Value):
        _as_symbols(of, known)
    of, wrt = known.get(of, of), [known.get(one, one) for one in wrt]
    found = gradients_or_none(of, wrt) if is_symbol(of) else [None] * len(wrt)
    return [None if symbol is None else _derivative(symbol, holes) for symbol in found]


def _derivative(symbol, holes) -> Value:
    """The Value of a derivative, which is differentiated again like any other; `holes`: symbol -> Value."""
    node = symbol.node
    leaves = list(dict.fromkeys([*node.inputs, *(one for one in node.wrt if isinstance(one, Variable))]))

    def gradient(arrays):
        scope = current_scope()
        assert scope is not None, "compute runs it in the call, or where symbols are inferred or computed"
        with Execution(dict(zip(leaves, arrays, strict=True)), key=scope.key, training=scope.training) as run:
            return run.compute([node]).values[symbol]

    return compute(gradient, ([holes.get(leaf, leaf) for leaf in leaves],), {})


def _is_learning_phase(symbol) -> bool:
    return getattr(symbol, "is_learning_phase", False)


#: A function of at most so many calls is not compiled before it is called a second time.
SMALL = 12


def _count(nodes):
    return sum(1 + _count(getattr(node, "path", ())) for node in nodes)


class Function:
    """The values of symbols as a compiled function of the values of others; calling it also carries out updates.

    Weights and variables are read when it is called. It is compiled once for each learning phase; a small one when it
    is called again: the first time its operations run one by one, which are compiled once for all functions.

    Arguments:
        inputs: symbols; the learning phase may be one of them, and is 0 in calls if it is not, or where it is the last
            one and no value is given for it.
        outputs: symbols, or nests of them.
        updates: pairs (variable, symbol or array): all next values are computed from the current ones. Pairs that are
            symbols themselves, with further pairs in `beside`, are carried out also where they are outputs.
        name: its name.

    Raises:
        TypeError: if inputs, outputs or updates are no lists.
        ValueError: if something depends on a hole that is not among the inputs, and for options of sessions.
    """

    def __init__(
        self, inputs: Sequence, outputs: Sequence, updates: Sequence | None = None, name: str | None = None,
        **session_kwargs: Any,
    ):  # fmt: skip
        for argument, value in (("inputs", inputs), ("outputs", outputs), ("updates", updates := updates or [])):
            if not isinstance(value, (list, tuple)):
                raise TypeError(
                    f"`{argument}` of a backend function should be a list or tuple; got {type(value).__name__}."
                )
        if session_kwargs:
            raise ValueError(f"function: unknown arguments {sorted(session_kwargs)}: sessions do not exist here.")
        for symbol in inputs:
            if not is_symbol(symbol):
                raise TypeError(f"The inputs of a backend function are symbols; {symbol!r} was given.")
        self.name = name
        self.inputs, self.outputs, self.updates = list(inputs), list(outputs), []
        for asked in [*updates, *(output for output in outputs if hasattr(output, "beside"))]:
            self.updates += [tuple(asked), *getattr(asked, "beside", ())]
        self._given = [symbol for symbol in self.inputs if not _is_learning_phase(symbol)]
        self._targets = [self.outputs, [new for _, new in self.updates]]
        symbols = symbols_in(self._targets)
        self._nodes = nodes_between(self._given, symbols)
        self._layers = layers_of(self._nodes)
        weights = jax.tree.leaves([layer.variables() for layer in self._layers])
        read = [variable for node in self._nodes for variable in node.reads]
        self._read = list(dict.fromkeys([*variables_of(self._nodes, symbols), *weights, *read]))
        self._dtypes = {symbol.dtype for symbol in [*self._read, *symbols, *self._given]}
        on_host = any(getattr(node, "on_host", False) for node in self._nodes)
        self._compiled = self._compute if on_host else jax.jit(self._compute, static_argnames="training")
        self._small = not self._layers and _count(self._nodes) <= SMALL

    def _compute(self, values, read, key, *, training):
        given = dict(zip(self._given, values, strict=True)) | dict(zip(self._read, read, strict=True))
        positions = {layer: position for position, layer in enumerate(self._layers)}
        with Execution(given, key=key, training=training, positions=positions) as execution:
            found = map_symbols(execution.compute(self._nodes).value, self._targets)
        return jax.tree.map(lambda value: jnp.asarray(sparse.to_dense(value)), found, is_leaf=sparse.is_sparse)

    def __call__(self, values) -> list:
        """The values of the outputs, numpy arrays, for a list of the values of the inputs."""
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"A backend function takes a list of values; {type(values).__name__} was given.")
        check_not_forked()
        left_out = self.inputs[len(values) :]
        if len(values) > len(self.inputs) or not all(map(_is_learning_phase, left_out)):
            raise ValueError(f"A function of {len(self.inputs)} inputs was called with {len(values)} values.")
        training, arrays = False, []
        for symbol, value in zip(self.inputs, values, strict=False):
            if _is_learning_phase(symbol):
                training = bool(value)
            else:
                arrays.append(_checked(symbol, value))
        with config.precision(self._dtypes):
            read = [variable.device_value() for variable in self._read]
            run, self._small = self._compute if self._small else self._compiled, False
            outputs, new = run(arrays, read, random.next_run_key(), training=training)
            for (variable, _), value in zip(self.updates, new, strict=True):
                variable.value = jnp.asarray(value, variable.dtype).reshape(variable.shape)
            return jax.tree.map(np.asarray, outputs)


def _checked(symbol, value):
    """`value` as an array of the type of `symbol`, sparse if that is."""
    if symbol.sparse:
        return sparse.as_bcoo(value, jnp.dtype(symbol.dtype))
    value = sparse.to_dense(value)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    fits = len(array.shape) == len(symbol.shape) and all(
        known in (None, size) for known, size in zip(symbol.shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{symbol!r} was given a value of shape {tuple(array.shape)}.")
    return array if array.dtype == symbol.dtype else array.astype(jnp.dtype(symbol.dtype))
