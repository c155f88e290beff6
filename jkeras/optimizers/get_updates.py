"""Optimizers that say by `get_updates(loss, params)` how to train, as in Keras 2.2.4: symbols become a pure function.

`get_updates` is called once, outside of any trace. The weights it is given are the model's variables; the loss it is
given is a symbol whose derivatives with respect to them are placeholders for the gradients of the step. What it returns
are next values of variables. Those of the weights are the step's result; the other variables that it updates are kept
in the optimizer's state, and those that it only reads are numbers which may be set between steps.
"""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jkeras import random
from jkeras.graph.function import Execution, layers_of, nodes_between, variables_of
from jkeras.graph.tensor import SymbolicTensor, Variable, is_symbol, symbols_in
from jkeras.lift import lift
from jkeras.optimizers.state import Iterations, OptimizerState, writing
from jkeras.train.mapping import whole as one_copy

__all__ = ["Program", "begin", "program_of"]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["program"])
@dataclasses.dataclass(frozen=True)
class Written:
    """The slots in the state of such an optimizer: the values of its variables, and the program that they belong to."""

    values: list
    program: "Program"


def program_of(state) -> "Program | None":
    """The program that an `OptimizerState` belongs to, None for an optimizer that has none."""
    return state.slots.program if state is not None and isinstance(state.slots, Written) else None


def begin(optimizer, params):
    """The first `OptimizerState` for a tree of parameters."""
    variables, order, are_ours = _weights(optimizer, params)
    optimizer.updates, optimizer.weights = [], []
    program = Program(optimizer, variables, order)
    state = program.first_state()
    # Another run of the same program (another seed, say) must not be compiled again.
    if optimizer._program is not None and optimizer._program.does_the_same(program, state):
        program = optimizer._program
        state = state._replace(slots=Written(state.slots.values, program))
    optimizer._program = program
    optimizer.updates, optimizer.weights = program.asked, program.weights
    if are_ours:
        for variable in variables:
            variable._value = None
    return state


def _weights(optimizer, params):
    """The variables of a tree of parameters in Keras's order, the places of these among its leaves, and whether they
    are only stand-ins."""
    structure = jax.tree.structure(params)
    if optimizer.owner is not None:
        tree = optimizer.owner._variables["params"]
        if jax.tree.structure(tree) == structure:
            leaves = jax.tree.leaves(tree)
            return [leaves[place] for place in optimizer.order], list(optimizer.order), False
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    variables = [
        Variable(np.shape(leaf), leaf.dtype, f"{jax.tree_util.keystr(path, simple=True, separator='/')}:0", value=leaf)
        for path, leaf in paths
    ]
    return variables, list(range(len(variables))), True


@lift
def loss(value, gradients, params):
    # Its value is `value`, its derivative with respect to each parameter the gradient given for it.
    return value + sum(jnp.sum(g * (p - lax.stop_gradient(p))) for g, p in zip(gradients, params, strict=True))


def _kept(variable):
    """A copy on the host of a variable's value, in the widest type that JAX now computes with."""
    return np.array(variable.numpy(), jax.dtypes.canonicalize_dtype(variable.dtype))


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

    def __init__(self, optimizer, params, order):
        self.params, self.order, self.iterations = params, order, optimizer.iterations
        self.title = f"{type(optimizer).__name__}.get_updates"
        self.gradients = [SymbolicTensor(p.shape, p.dtype, f"{p.name}/gradient") for p in params]
        self.value = SymbolicTensor((), jnp.result_type(jnp.float32, *(p.dtype for p in params)), "loss")
        symbol = loss(self.value, self.gradients, params)
        with writing():
            self.asked = optimizer.get_updates(loss=symbol, params=params)
        self.next_values = self._merged(self._pairs())
        self.nodes = self._nodes(self.next_values.values())
        self._check()
        self.reads_loss = symbol.node in self.nodes
        self._place_draws()
        self.weights = [weight for weight in optimizer.weights if isinstance(weight, Variable)]
        apart = {*params, self.iterations}
        found = dict.fromkeys([*self.next_values, *self.weights])
        self.slots = [variable for variable in found if variable not in apart]
        read = variables_of(self.nodes, symbols_in(list(self.next_values.values())))
        names = {held: name for name, held in vars(optimizer).items() if isinstance(held, Variable)}
        self.numbers: dict = {}
        for variable in read:
            if variable not in apart and variable not in found:
                self.numbers[names.get(variable, f"number {len(self.numbers)}")] = variable
        self._note()

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
        """variable -> next value. What is added to a variable adds up, as in Keras, on what is assigned to it."""
        together: dict = {}
        for variable, new in pairs:
            together.setdefault(variable, []).append(new)
        merged = {}
        for variable, news in together.items():
            changes = [_increment(variable, new) for new in news]
            assigned = [new for new, change in zip(news, changes, strict=True) if change is None]
            if len(assigned) > 1:
                raise ValueError(
                    f"{self.title} assigns {variable.name} {len(assigned)} times: which of them counts is not said."
                )
            merged[variable] = news[0]
            if len(news) > 1:
                total = assigned[0] if assigned else variable
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
        """Let a draw be known by its place in the program: its name counts all draws of the process."""
        draws = [node for node in self.nodes if hasattr(node, "place")]
        self.draws = bool(draws)
        for number, node in enumerate(draws):
            if isinstance(node.place[-1], str):
                node.place = ("draw", number)

    # --------------------------------------------------------------------------------------------- state and values

    def _variables(self):
        return [*self.slots, self.iterations]

    def _note(self):
        """Note which arrays the variables hold: one that holds another one later was set by the user."""
        self.seen = [variable._value for variable in self._variables()]

    def first_state(self) -> OptimizerState:
        """The state in which the variables have their current values."""
        iterations = self.iterations
        iterations = np.int32(iterations.start if isinstance(iterations, Iterations) else iterations.numpy())
        self._note()
        slots = Written([_kept(variable) for variable in self.slots], self)
        return OptimizerState(iterations, self.current_numbers(), {}, slots)

    def current_numbers(self) -> dict:
        """name -> current value, of the variables that are only read."""
        # On the host: a compiled step takes over the memory of what it is given, and these may be shared.
        return {name: _kept(variable) for name, variable in self.numbers.items()}

    def with_numbers(self, state):
        """`state` with what users set since it was published."""
        old = [*state.slots.values, state.iterations]
        variables = self._variables()
        values = [
            value if variable._value is seen else _kept(variable).astype(value.dtype)
            for variable, seen, value in zip(variables, self.seen, old, strict=True)
        ]
        if isinstance(self.iterations, Iterations):  # which sets the state itself
            values[-1] = state.iterations
        slots = Written(values[:-1], self)
        return state._replace(iterations=values[-1], hyperparameters=self.current_numbers(), slots=slots)

    def take_numbers(self, state):
        """Set the variables that are only read to what they are in `state`."""
        for name, variable in self.numbers.items():
            variable.value = np.asarray(state.hyperparameters[name], variable.dtype)

    def publish(self, state):
        """Let the variables refer to their values in `state`."""
        for variable, value in zip(self.slots, one_copy(state.slots.values), strict=True):
            variable._value = value
        if not isinstance(self.iterations, Iterations):
            self.iterations._value = one_copy(state.iterations)
        self._note()

    def withdraw(self):
        """Let the variables hold copies of their values, so that no step takes their memory."""
        for variable in self._variables():
            variable._value = np.array(variable.numpy())

    def saved(self, state) -> list:
        """The values in `state` of the optimizer's weights."""
        places = {variable: place for place, variable in enumerate(self.slots)}
        return [
            state.iterations if weight is self.iterations else state.slots.values[places[weight]]
            for weight in self.weights
            if weight is self.iterations or weight in places
        ]

    # ------------------------------------------------------------------------------------------------- the function

    def assign(self, gradients, state, params, value=None, key=None):
        """The next parameters and the next state; pure. See `Optimizer.assign`."""
        leaves, treedef = jax.tree.flatten(params)
        gradients = treedef.flatten_up_to(gradients)
        weights, slots, iterations = self._compute(
            [leaves[place] for place in self.order],
            [gradients[place] for place in self.order],
            state,
            value,
            key,
        )
        for place, weight in zip(self.order, weights, strict=True):
            leaves[place] = weight
        return treedef.unflatten(leaves), state._replace(iterations=iterations, slots=Written(slots, self))

    def _compute(self, params, gradients, state, value, key):
        if value is None:
            if self.reads_loss:
                raise ValueError(f"{self.title} uses the value of the loss, which was not given: `assign(value=...)`.")
            value = jnp.nan  # what depends on it after all must not look like a number
        if key is None and self.draws:
            raise ValueError(f"{self.title} draws random numbers and was given no key: `assign(key=...)`.")
        variables = [*self.params, *self._variables()]
        values = [*params, *state.slots.values, state.iterations]
        given = dict(zip(variables, values, strict=True)) | dict(zip(self.gradients, gradients, strict=True))
        given |= {variable: state.hyperparameters[name] for name, variable in self.numbers.items()}
        given[self.value] = jnp.asarray(value).astype(self.value.dtype)
        given = {symbol: jnp.asarray(array) for symbol, array in given.items()}
        execution = Execution(given, {}, key=key, training=True).run(self.nodes)
        new = [self._next(variable, old, execution) for variable, old in zip(variables, values, strict=True)]
        count = len(self.params)
        return new[:count], new[count:-1], new[-1]

    def _next(self, variable, old, execution):
        if variable not in self.next_values:
            return old
        new = self.next_values[variable]
        new = execution.value(new) if is_symbol(new) else new
        return jnp.broadcast_to(jnp.asarray(new).astype(old.dtype), np.shape(old))

    def does_the_same(self, other, state) -> bool:
        """Whether `other`, of which `state` is a first state, is this same function of variables alike."""
        names, other_names = ([param.name for param in program.params] for program in (self, other))
        slots, other_slots = ([(slot.shape, str(slot.dtype)) for slot in program.slots] for program in (self, other))
        if names != other_names or slots != other_slots or self.numbers.keys() != other.numbers.keys():
            return False
        mine, others = self.current_numbers(), state.hyperparameters
        if not all(np.array_equal(mine[name], others[name]) for name in mine):
            return False
        (mine, constants), (others, other_constants) = self._text(state), other._text(state)
        return mine == others and all(map(np.array_equal, constants, other_constants))

    def _text(self, state):
        """The function, printed, and the arrays that it holds."""
        key = random.as_key(jax.random.key(0)) if self.draws else None
        params = [jax.ShapeDtypeStruct(param.shape, jnp.dtype(param.dtype)) for param in self.params]
        state = state._replace(slots=Written(state.slots.values, self))
        traced = jax.make_jaxpr(lambda p, g, s: self._compute(p, g, s, 0.0, key))(params, params, state)
        return str(traced.jaxpr), traced.consts


def _increment(variable, new):
    """(operation, amount) if `new` is `variable` plus or minus something, else None."""
    node = getattr(new, "node", None)
    function, arguments = getattr(node, "function", None), getattr(node, "args", ())
    if len(arguments) != 2 or arguments[0] is not variable:
        return None
    if function in (operator.add, jnp.add):
        return operator.add, arguments[1]
    if function in (operator.sub, jnp.subtract):
        return operator.sub, arguments[1]
    return None
