"""Optimizers that say by `get_updates(loss, params)` how to train, as in Keras 2.2.4: symbols become a pure function.

`get_updates` is called once for each run, outside of any trace. The weights it is given are the model's variables; the
loss it is given is a symbol whose derivatives with respect to them are placeholders for the gradients of the step. What
it returns are next values of variables. Those of the weights are the step's result; the values of the other variables
that it updates are kept as a list, and those that it only reads are numbers which may be set between steps.
"""

import operator
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jkeras import batch
from jkeras.graph.function import Execution, layers_of, nodes_between, variables_of
from jkeras.graph.tensor import SymbolicTensor, Variable, is_symbol, symbols_in
from jkeras.lift import lift
from jkeras.optimizers.state import OptimizerState, on_host, writing
from jkeras.optimizers.view import View, places_of
from jkeras.train.rule import Rule

__all__ = ["Program", "Written"]


# Methods keep what they ask for on the optimizer, which two models may share: one thread at a time.
_asking = threading.RLock()


class Written(View):
    """The rule of an optimizer that says by `get_updates` how to train, and the view of its state.

    `init` calls the method and takes first values and function from what it says. All runs of parameters of the same
    structure, shapes and types then go by the function that was said last, so that another run (another seed, say)
    compiles nothing. What the method reads from variables may change at any time; what it reads from plain attributes
    is fixed in compiled steps. `compile`, and each `as_rule`, starts anew.
    """

    def __init__(self, optimizer: Any, weights: Mapping[tuple, Variable] | None):
        super().__init__(optimizer, weights)
        self.programs: dict[Any, Program] = {}
        self.program: Program | None = None

    def rule(self) -> Rule:
        """The rule. Constraints are the method's to apply if it is given the variables that have them."""
        return Rule(self._init, self._step, sees_to_constraints=self.given is not None, view=self)

    def _init(self, params):
        leaves, treedef = jax.tree.flatten(params)
        if self.given is None:
            paths, _ = jax.tree_util.tree_flatten_with_path(params)
            names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
            variables = [
                Variable(np.shape(leaf), leaf.dtype, f"{name}:0", value=leaf)
                for name, leaf in zip(names, leaves, strict=True)
            ]
            order = list(range(len(leaves)))
        else:
            variables, order = list(self.given.values()), places_of(params, self.given)
        with jax.ensure_compile_time_eval():
            program = Program(self.optimizer, variables, order)
            state = program.first_state()
        if self.given is None:
            for variable in variables:
                variable.give_back(None)
        self.programs[_structure(leaves, treedef)] = program
        if not self.has_begun:
            self.release()
            self.program = program
            if self.source is not None:
                self.lend(self.own())
        return self.first(state)

    def _step(self, gradients, opt_state, params, *, value=None, key=None, value_fn=None):
        del value_fn
        leaves, treedef = jax.tree.flatten(params)
        program = self.programs.get(_structure(leaves, treedef))
        if program is None:
            raise ValueError(
                f"{type(self.optimizer).__name__}: the rule was given parameters of another structure than its `init`."
            )
        gradients = treedef.flatten_up_to(gradients)
        leaves, opt_state = program.assign(gradients, opt_state, leaves, value, key)
        return treedef.unflatten(leaves), opt_state

    def numbers(self) -> dict[str, Variable]:
        return {} if self.program is None else self.program.numbers

    def own(self) -> list[Variable]:
        return [*([] if self.program is None else self.program.slots), self.optimizer.iterations]

    def variables(self, state: OptimizerState) -> dict[Variable, Any]:
        slots = {} if self.program is None else dict(zip(self.program.slots, state.slots, strict=True))
        return slots | {self.optimizer.iterations: state.iterations}

    def weights(self, state: OptimizerState) -> list[Variable]:
        parts = self.variables(state)
        return [] if self.program is None else [weight for weight in self.program.weights if weight in parts]

    def saved(self, state: OptimizerState) -> list:
        parts = self.variables(state)
        return [parts[weight] for weight in self.weights(state)]


def _structure(leaves, treedef):
    return treedef, tuple((np.shape(leaf), str(leaf.dtype)) for leaf in leaves)


@lift
def loss(value: Any, gradients: Sequence, params: Sequence):
    # Its value is `value`, its derivative with respect to each parameter the gradient given for it.
    return value + sum(jnp.sum(g * (p - lax.stop_gradient(p))) for g, p in zip(gradients, params, strict=True))


class Program:
    """What a `get_updates` asks for, as a pure function.

    Arguments:
        optimizer: where the method is found.
        params: the variables that are trained, in Keras's order.
        order: their places among the leaves of the tree of parameters.

    Attributes:
        asked: what `get_updates` returned.
        weights: what it called the optimizer's weights, in the order in which they are saved.
        slots: the variables, other than `params` and the optimizer's `iterations`, that it updates or calls weights.
        numbers: name -> variable, those that it only reads.

    Raises:
        ValueError, TypeError: if the method does not return updates of the parameters.
    """

    def __init__(self, optimizer: Any, params: list[Variable], order: list[int]):
        self.params, self.order, self.iterations = params, order, optimizer.iterations
        self.title = f"{type(optimizer).__name__}.get_updates"
        self.gradients = [SymbolicTensor(p.shape, p.dtype, f"{p.name}/gradient") for p in params]
        self.value = SymbolicTensor((), jnp.result_type(jnp.float32, *(p.dtype for p in params)), "loss")
        symbol = loss(self.value, self.gradients, params)
        with _asking, writing():
            optimizer.updates, optimizer.declared = [], []
            self.asked = optimizer.get_updates(loss=symbol, params=params)
            declared = optimizer.stated_weights()
        self.next_values = self._merged(self._pairs())
        self.nodes = self._nodes(self.next_values.values())
        self._check()
        self.reads_loss = symbol.node in self.nodes
        self._place_draws()
        self.weights = [weight for weight in declared if isinstance(weight, Variable)]
        apart = dict.fromkeys([*params, self.iterations])
        found = dict.fromkeys([*self.next_values, *self.weights])
        self.slots = [variable for variable in found if variable not in apart]
        read = variables_of(self.nodes, symbols_in(list(self.next_values.values())))
        names = {held: name for name, held in vars(optimizer).items() if isinstance(held, Variable)}
        self.numbers: dict = {}
        for variable in read:
            if variable not in apart and variable not in found:
                self.numbers[names.get(variable, f"number {len(self.numbers)}")] = variable

    # ------------------------------------------------------------------------------------------ what was asked for

    def _nodes(self, values):
        try:
            return nodes_between([self.value, *self.gradients], symbols_in(list(values)))
        except ValueError as error:
            raise ValueError(f"{self.title}: {error}") from error

    def _pairs(self) -> list:
        """(variable, next value) of all that was asked for, also of updates whose results only go into others."""
        if not isinstance(self.asked, (list, tuple)):
            raise TypeError(f"{self.title} must return a list of updates; it returned {self.asked!r}.")
        waiting, pairs, done = list(self.asked), [], set()
        while waiting:
            found = [pair for update in waiting for pair in self._pairs_of(update)]
            pairs += found
            done.update(map(id, waiting))
            results = [symbol for node in self._nodes(new for _, new in found) for symbol in node.outputs]
            waiting = [symbol for symbol in results if hasattr(symbol, "target") and id(symbol) not in done]
        return pairs

    def _pairs_of(self, update) -> list:
        if not hasattr(update, "target") and not (isinstance(update, (tuple, list)) and len(update) == 2):
            raise TypeError(
                f"{self.title}: what K.update and its like return, or a pair (variable, next value), was expected "
                f"among the updates; got {update!r}. An update on a condition is written as "
                "K.update(x, K.switch(condition, new, x))."
            )
        pairs = [tuple(update), *getattr(update, "beside", ())]
        for variable, new in pairs:
            if not isinstance(variable, Variable):
                raise TypeError(f"{self.title} asks for an update of {variable!r}, which is no variable.")
            if np.shape(new) not in ((), variable.shape):
                raise ValueError(
                    f"{self.title}: {variable.name} has shape {variable.shape}; its next value has {np.shape(new)}."
                )
        return pairs

    def _merged(self, pairs) -> dict:
        """variable -> next value. What is added to a variable adds up, as in Keras, on what is assigned to it last."""
        together: dict = {}
        for variable, new in pairs:
            together.setdefault(variable, []).append(new)
        merged = {}
        for variable, news in together.items():
            changes = [_increment(variable, new) for new in news]
            assigned = [new for new, change in zip(news, changes, strict=True) if change is None]
            merged[variable] = news[0]
            if len(news) > 1:
                total = assigned[-1] if assigned else variable
                for change in changes:
                    if change is not None:
                        total = change[0](total, change[1])
                merged[variable] = total
        return merged

    def _check(self):
        if not any(param in self.next_values for param in self.params):
            names = ", ".join(param.name for param in self.params[:3])
            raise ValueError(
                f"{self.title} returned no update of any of the {len(self.params)} weights it was given ({names}, ...)."
            )
        layers = layers_of(self.nodes)
        if layers:
            raise ValueError(f"{self.title} calls the layer {layers[0].name}: updates are computed without layers.")

    def _place_draws(self):
        """Let a draw be known by its place in the program: its own number is of this making of it."""
        draws = [node for node in self.nodes if hasattr(node, "place")]
        self.draws = bool(draws)
        for number, node in enumerate(draws):
            if not node.has_seed:
                node.place = ("draw", number)

    # ------------------------------------------------------------------------------------------------- the function

    def first_state(self) -> OptimizerState:
        """The state in which the variables have their current values."""
        iterations = np.int32(self.iterations.numpy())
        numbers = {name: on_host(variable) for name, variable in self.numbers.items()}
        return OptimizerState(iterations, numbers, {}, [on_host(variable) for variable in self.slots])

    def assign(self, gradients: list, state: OptimizerState, leaves: list, value: Any, key: Any) -> tuple:
        """The next leaves of the tree of parameters, and the next state; pure.

        Raises:
            ValueError: if the loss or a key is used and was not given.
        """
        if value is None:
            if self.reads_loss:
                raise ValueError(f"{self.title} uses the value of the loss, which was not given: pass `value=`.")
            value = jnp.nan  # what depends on it after all must not look like a number
        if key is None and self.draws:
            raise ValueError(f"{self.title} draws random numbers and was given no key: pass `key=`.")
        variables = [*self.params, *self.slots, self.iterations]
        values = [*(leaves[place] for place in self.order), *state.slots, state.iterations]
        given = dict(zip(variables, values, strict=True))
        given |= dict(zip(self.gradients, (gradients[place] for place in self.order), strict=True))
        given |= {variable: state.hyperparameters[name] for name, variable in self.numbers.items()}
        given[self.value] = jnp.asarray(value).astype(self.value.dtype)
        given = {symbol: jnp.asarray(array) for symbol, array in given.items()}
        with batch.gathered(), Execution(given, key=key, training=True) as execution:  # all devices draw the same
            execution.compute(self.nodes)
        new = [self._next(variable, old, execution) for variable, old in zip(variables, values, strict=True)]
        leaves = list(leaves)
        for place, weight in zip(self.order, new, strict=False):
            leaves[place] = weight
        return leaves, state._replace(iterations=new[-1], slots=new[len(self.order) : -1])

    def _next(self, variable, old, execution):
        if variable not in self.next_values:
            return old
        new = self.next_values[variable]
        new = execution.value(new) if is_symbol(new) else new
        return jnp.broadcast_to(jnp.asarray(new).astype(old.dtype), np.shape(old))


def _increment(variable, new):
    """(operation, amount) if `new` is `variable` plus or minus something, else None."""
    node = getattr(new, "node", None)
    function, arguments = getattr(node, "function", None), getattr(node, "args", ())
    if len(arguments) != 2 or arguments[0] is not variable:
        return None
    functions = {function, getattr(function, "__wrapped__", None)}  # an operator of symbols wraps that of arrays
    if functions & {operator.add, jnp.add}:
        return operator.add, arguments[1]
    if functions & {operator.sub, jnp.subtract}:
        return operator.sub, arguments[1]
    return None
