"""How users see the state of a run: an optimizer's variables, lent to its view, and the arrays that are saved."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from jkeras.graph.tensor import Variable
from jkeras.optimizers.state import OptimizerState
from jkeras.train.rule import Rule, by_updates

__all__ = ["Held", "Source", "View", "places_of"]


class Source(Protocol):
    """A run of training, as an optimizer sees it.

    Attributes:
        rule: the rule that it trains by, from the optimizer's `as_rule`.
        opt_state: its current state, None before the first update. Whoever reads it may hold the arrays; setting it
            changes what the run goes on with.
    """

    rule: Rule
    opt_state: OptimizerState | None

    def peek(self, select: Callable[[OptimizerState | None], Any]) -> Any:
        """`select(opt_state)`; whoever asks may hold the arrays in it, and no others need to be copied."""
        return select(self.opt_state)

    def change(self, function: Callable[[OptimizerState | None], OptimizerState | None]) -> None:
        """Go on with `function(opt_state)`, in which some leaves are other ones, on the host."""
        self.opt_state = function(self.opt_state)


class Held(Source):
    """A `Source` that only holds a state: what an optimizer outside of a model watches."""

    def __init__(self, rule: Rule, opt_state: OptimizerState | None = None):
        self.rule, self.opt_state = rule, opt_state


def numbered(state: OptimizerState) -> OptimizerState:
    """A tree like `state` of the places of its leaves."""
    treedef = jax.tree.structure(state)
    return treedef.unflatten(range(treedef.num_leaves))


def places_of(tree: Any, weights: Mapping[tuple, Variable]) -> list[int]:
    """The places, among the leaves of `tree`, of the paths of `weights`.

    Raises:
        ValueError: if the paths are others.
    """
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    found = {tuple(getattr(part, "key", part) for part in path): place for place, (path, _) in enumerate(paths)}
    if found.keys() != set(weights):
        raise ValueError(f"The rule was made for the weights {sorted(weights)}; given were {sorted(found)}.")
    return [found[path] for path in weights]


class View:
    """The rule of an optimizer that says by a formula how to train, or is one of optax's, and how users see its state.

    The variables that stand for a part of the state are lent to the view of the run that the optimizer watches: reading
    one reads the state, and setting one sets it there. A variable which another run has taken meanwhile (two models may
    share an optimizer and what it holds, as its iterations) brings its value along when it is lent again.

    Arguments:
        optimizer: the object that users hold.
        weights: see `train.rule.as_rule`.

    Attributes:
        source: the run, None as long as nobody said whose state this is.
        loaded: what `set_weights` was given before training.
    """

    def __init__(self, optimizer: Any, weights: Mapping[tuple, Variable] | None):
        self.optimizer, self.given = optimizer, weights
        self.source: Source | None = None
        self.loaded: list | None = None
        # What a variable stored when it and the state last agreed: something else was stored by somebody else.
        self._agreed: dict[Variable, Any] = {}
        self._weights: list[Variable] = []

    def rule(self) -> Rule:
        """The rule."""
        rule = by_updates(lambda params: self.first(self.optimizer.first_state(params)), self.optimizer.update)
        return Rule(rule.init, rule.step, view=self)

    def __reduce__(self):
        return _nobody, ()  # copies of lent variables are on their own

    @property
    def has_begun(self) -> bool:
        """Whether there is a state."""
        return self.source is not None and self.source.peek(lambda state: None if state is None else ()) is not None

    def numbers(self) -> dict[str, Variable]:
        """name -> variable, of the numbers that users may change: the state's `hyperparameters`."""
        return self.optimizer.numbers()

    def own(self) -> list[Variable]:
        """The variables that are lent to the view of the run that is watched."""
        return [*self._weights, self.optimizer.iterations]

    def variables(self, state: OptimizerState) -> dict[Variable, Any]:
        """variable -> the part of `state` that it stands for."""
        saved = self.saved(state) if self._weights else []
        return dict(zip(self._weights, saved, strict=True)) | {self.optimizer.iterations: state.iterations}

    def saved(self, state: OptimizerState) -> list:
        """The parts of `state` that are saved."""
        return self.optimizer.saved(state, self.given)

    def weights(self, state: OptimizerState) -> list[Variable]:
        """The variables of what is saved, in the same order."""
        leaves, places = jax.tree.leaves(state), self.saved(numbered(state))
        if [variable.shape for variable in self._weights] != [np.shape(leaves[place]) for place in places]:
            prefix = f"training/{type(self.optimizer).__name__}/Variable"
            types = ["int64" if place == 0 else leaves[place].dtype for place in places]  # iterations, as in Keras
            self._weights = [
                Variable(np.shape(leaves[place]), dtype, f"{prefix}_{number}:0", trainable=False)
                for number, (place, dtype) in enumerate(zip(places, types, strict=True))
            ]
            self.lend(self._weights)
        return self._weights

    # ---------------------------------------------------------------------------------------- variables on the state

    def read(self, variables: list[Variable]) -> list[np.ndarray]:
        """The values of lent variables, copies."""

        def select(state):
            if state is None:
                return [variable.stored for variable in variables]
            parts = self.variables(state)
            return [parts[variable] for variable in variables]

        found = select(None) if self.source is None else self.source.peek(select)
        return [np.array(value, np.dtype(variable.dtype)) for variable, value in zip(variables, found, strict=True)]

    def set(self, variable: Variable) -> None:
        """Let what a lent variable stores be its value in the state."""

        def change(state):
            if state is None:
                return None
            leaves, treedef = jax.tree.flatten(state)
            place = self.variables(numbered(state))[variable]
            leaves[place] = np.asarray(variable.stored, leaves[place].dtype)
            return treedef.unflatten(leaves)

        self.agree([variable])
        if self.source is not None:
            self.source.change(change)

    def agree(self, variables: list[Variable]) -> None:
        """Note that the state has the values that the variables store."""
        self._agreed |= {variable: variable.stored for variable in variables}

    def lend(self, variables: list[Variable]) -> None:
        """Lend the variables to this view. What they were set to elsewhere since they agreed goes into the state."""
        for variable in variables:
            elsewhere = variable in self._agreed and variable.stored is not self._agreed[variable]
            if elsewhere or not self.has_begun:
                variable.give_back(variable.numpy())
            variable.lend(self)
            variable.lends = False  # to a run that reads it
            self.agree([variable])
            if elsewhere:
                self.set(variable)

    def release(self) -> None:
        """Give the variables back with their values, but for those that another run has taken."""
        for variable, stored in self._agreed.items():
            if variable.stored is stored:
                variable.give_back(variable.numpy())
        self._agreed = {}

    # -------------------------------------------------------------------------------------------------------- arrays

    def get_weights(self) -> list[np.ndarray] | None:
        """The saved arrays, None before training."""
        state = None if self.source is None else self.source.opt_state
        if state is None:
            return None if self.loaded is None else [np.array(array) for array in self.loaded]
        arrays = jax.device_get(self.saved(state))
        return [np.array(array, np.dtype(held.dtype)) for array, held in zip(arrays, self.weights(state), strict=True)]

    def restored(self, state: OptimizerState, weights: list) -> OptimizerState:
        """`state` with `weights`, in the form of `get_weights`, in it.

        Raises:
            ValueError: if their number or a shape does not fit.
        """
        leaves, treedef = jax.tree.flatten(state)
        places = self.saved(numbered(state))
        check(type(self.optimizer).__name__, [leaves[place] for place in places], weights)
        for place, weight in zip(places, weights, strict=True):
            leaves[place] = np.asarray(weight, leaves[place].dtype)
        return treedef.unflatten(leaves)

    def first(self, state: OptimizerState) -> OptimizerState:
        """The first state, with what was loaded before."""
        return state if self.loaded is None else self.restored(state, self.loaded)


def _nobody():
    return None


def check(name: str, kept: list, weights: list) -> None:
    """Check that `weights` can take the places of the arrays of the optimizer `name`."""
    if len(kept) != len(weights):
        raise ValueError(
            f"{name}.set_weights: Length of the specified weight list ({len(weights)}) does not match the number of "
            f"weights of the optimizer ({len(kept)})"
        )
    for expected, given in zip(map(np.shape, kept), map(np.shape, weights), strict=True):
        if expected != given:
            raise ValueError(
                f"{name}.set_weights: Optimizer weight shape {expected} not compatible with provided weight shape "
                f"{given}"
            )
