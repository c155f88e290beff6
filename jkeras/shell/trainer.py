"""`Trainer`: what `compile` makes of a model. It owns the state of a run, and runs steps on it."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jkeras import random, trees
from jkeras.data import feeding
from jkeras.forked import check_not_forked
from jkeras.graph.tensor import Variable, values_of
from jkeras.interrupt import Shield
from jkeras.optimizers.view import Source
from jkeras.shell.core import NetworkCore
from jkeras.train import loop, process
from jkeras.train.dispatch import Feed, Programs
from jkeras.train.mapping import OneDevice, copied, whole
from jkeras.train.objective import Objective
from jkeras.train.observe import Observer, View
from jkeras.train.rule import Rule, as_rule
from jkeras.train.state import TrainState
from jkeras.train.step import Steps

__all__ = ["Flight", "Trainer"]


class Trainer:
    """Runs the steps of a model, with an objective and an optimizer, over the devices of a mapping.

    The weights live in the layers' variables. To train, the trainer takes copies and lends the variables: they hold
    nothing then, and ask here. So what users hold is never taken over by a step, and what they read, in any thread, is
    of one step. `land` gives the values back by reference.

    Arguments:
        core: see `shell.core.NetworkCore`.
        objective: see `train.objective`; none for predictions only.
        optimizer: one of `jkeras.optimizers`; none for predictions only.
        mapping: see `train.mapping`.

    Attributes:
        steps, programs: the pure steps, and what is compiled of them.
        optimized: the optimizer's state, as the optimizer sees it; None where there is none.
        lock: held while the state changes.
        flying: whether a `fit` is under way.
    """

    def __init__(self, core: NetworkCore, objective: Objective | None = None, optimizer: Any = None,
                 mapping: OneDevice | None = None):  # fmt: skip
        process.prepare()
        self.objective, self.optimizer = objective, optimizer
        self.mapping = mapping or OneDevice()
        self.lock, self.flying = threading.RLock(), False
        self._turn = threading.RLock()  # of who runs single steps
        self._held: loop.Held | None = None
        self._step, self._predicted, self._key = np.int32(0), 0, None
        self._foreign: list = []
        paths = {variable: path for path, variable in trees.leaves(core.variables[0])}
        weights = {paths[variable]: variable for variable in core.trained}
        self.optimized = None if optimizer is None else _Optimized(as_rule(optimizer, weights), self)
        self._take_up(core)
        if optimizer is not None:
            optimizer.watch(self.optimized)

    def _take_up(self, core):
        """Take over a core: another one once it was found to read more than was known."""
        self.core = core
        self.steps = Steps(core, self.objective, None if self.optimized is None else self.optimized.rule)
        self.programs = Programs(self.steps, self.mapping)
        params, state = core.variables
        trainable, frozen = trees.split(params, core.is_trainable)
        self._variables = {"params": trainable, "frozen": frozen, "state": state}
        before = self._places if self._held is not None else {}
        self._places = {
            variable: (part, path) for part, tree in self._variables.items() for path, variable in trees.leaves(tree)
        }
        self._leaves, self._treedef = jax.tree.flatten(self._variables)
        self._explored: set = set()
        self._gradients = None
        self._copies: tuple = (None, 0, {})
        if self._held is not None:
            for variable in [variable for variable in self._places if variable not in before]:
                self._hold(variable, self.mapping.near(copied(variable.device_value())))
                self._lend([variable])

    @property
    def trained(self) -> dict:
        """The variables that are trained, as they stand in `TrainState.params`."""
        return self._variables["params"]

    @property
    def one_batch_key(self):
        """The key of steps on single batches, tests and predictions."""
        if self._key is None:
            self._key = random.next_run_key()
        return self._key

    # ------------------------------------------------------------------------------------------------ lent variables

    # No trainer calls another one while it holds its lock.

    def read(self, variables: Sequence) -> list:
        """The values of variables, arrays that no step takes over; all that are read before the next dispatch are of
        the same step."""
        with self.lock:
            if self._held is not None and all(variable.lent_to is self for variable in variables):
                copies = self._current_copies()
                new = [variable for variable in variables if variable not in copies]
                copies |= dict(zip(new, copied(whole([self._leaf(variable) for variable in new])), strict=True))
                return [copies[variable] for variable in variables]
        return values_of(variables)

    def _current_copies(self):
        held = self._flown()
        if self._copies[0] is not held or self._copies[1] != held.version:  # each run counts its own versions
            self._copies = (held, held.version, {})
        return self._copies[2]

    def set(self, variable: Variable) -> None:
        """Let the next step find what was stored in a variable that is lent."""
        with self.lock:
            if self._held is not None and variable.lent_to is self and variable.stored is not None:
                self._hold(variable, self.mapping.like(variable.stored, self._leaf(variable)))
                variable.lend(self, holding=False)

    def refresh(self, variable: Variable) -> None:
        """Let the next step find the number of a variable that is not lent."""
        self._hold(variable, self.mapping.like(variable.device_value(), self._leaf(variable)))

    def hand_over(self, variables: Sequence) -> list | None:
        """The arrays of variables for another trainer, who lends them from now on; None while this one is at work."""
        if self.flying or not self._turn.acquire(blocking=False):
            return None
        try:
            with self.lock:
                return None if self._held is None else whole([self._leaf(variable) for variable in variables])
        finally:
            self._turn.release()

    @property
    def reads_optimizer(self) -> bool:
        """Whether losses or layers read what the optimizer moves on, which reaches them between dispatches."""
        own = [] if self.optimized is None else self.optimized.rule.view.own()
        return not set(own).isdisjoint(self.core.outside_variables)

    def _flown(self) -> loop.Held:
        assert self._held is not None, "the weights are in the variables"
        return self._held

    def _leaf(self, variable):
        part, path = self._places[variable]
        return trees.get(getattr(self._flown().train_state, part), path)

    def _hold(self, variable, array):
        part, path = self._places[variable]
        held = self._flown()
        state = held.train_state
        held.replace(state.replace(**{part: trees.put(getattr(state, part), path, array)}))

    def _lend(self, variables):
        """Lend what can be lent; what flies elsewhere stays there, and gets its value at the end."""
        for variable in variables:
            owner = variable.lent_to
            if not variable.lends:
                continue
            if owner is not None and owner is not self and owner.flying:
                self._foreign.append(variable)
            else:
                variable.lend(self, holding=False)

    # ------------------------------------------------------------------------------------------------ gather, publish

    def gather(self, key: Any) -> loop.Held:
        """The state to train on, which nobody else holds; the variables are lent."""
        if self._held is None:
            state = self.current().replace(opt_state=self.begin(), step=self._step, key=key)
            self._held = held = _Running(self.mapping.place(state), self)
            if self.optimized is not None:
                self.optimized.held = held
            self._lend(list(self._places))
        else:
            self._fetch([variable for variable in self._places if variable.lends and variable.lent_to is not self])
        state = self._held.train_state
        self._held.replace(state.replace(key=key, metrics=self.steps.no_metrics()))
        return self._held

    def _fetch(self, variables):
        """Take back variables that another trainer has, or that were given back to."""
        by_owner: dict = {}
        for variable in variables:
            by_owner.setdefault(variable.lent_to, []).append(variable)
        for owner, group in by_owner.items():
            handed = None if owner is None else owner.hand_over(group)
            for variable, array in zip(group, handed or values_of(group), strict=True):
                self._hold(variable, array if handed else self.mapping.like(array, self._leaf(variable)))
        self._lend(variables)

    def begin(self):
        """The optimizer's state to go on from, made if there is none yet."""
        if self.optimized is None:
            return None
        self.optimizer.watch(self.optimized)
        if self.optimized.landed is None:
            params = jax.tree.map(lambda variable: variable.device_value(), self._variables["params"])
            self.optimized.landed = self.optimized.rule.init(params)
        return self.optimizer.with_hyperparameters(self.optimized.landed)

    def current(self) -> TrainState:
        """The weights as they are now, in arrays that no step takes over."""
        parts = jax.tree.unflatten(self._treedef, values_of(self._leaves))
        return TrainState(step=np.int32(0), opt_state=None, key=None, metrics=self.steps.no_metrics(), **parts)

    def land(self) -> None:
        """Give the values back to the variables, by reference."""
        if self._held is None:
            return
        with self.lock:
            state, foreign, self._foreign = self._held.train_state, self._foreign, []
            self._step = whole(state.step)
            if self.optimized is not None:
                self.optimized.landed, self.optimized.held = whole(state.opt_state), None
            abroad = [copied(whole(self._leaf(variable))) for variable in foreign]
            for variable in self._places:
                if variable.lent_to is self:
                    variable.give_back(whole(self._leaf(variable)))
            self._held, self._copies = None, (None, 0, {})
        for variable, array in zip(foreign, abroad, strict=True):
            variable.value = array

    def restore(self, state: TrainState) -> None:
        """Go on from another state."""
        self.land()
        self._step = state.step
        if self.optimized is not None:
            self.optimized.landed = state.opt_state
        for part, tree in self._variables.items():
            for path, variable in trees.leaves(tree):
                variable.value = trees.get(getattr(state, part), path)

    def first(self, kind: str, example: Callable) -> TrainState:
        """The state from which steps of `kind` would start now; see `ready`."""
        self.ready(kind, example)
        return self._beginning(kind)

    def _beginning(self, kind):
        if self._held is not None:
            return self._held.train_state
        state = self.current().replace(key=self.one_batch_key)
        return state.replace(opt_state=self.begin(), step=self._step) if kind == "train" else state

    # ---------------------------------------------------------------------------------------------------------- runs

    def ready(self, kind: str, example: Callable) -> None:
        """Find what steps of `kind` read; `example()` gives data, and how many of its rows make a batch (None: all)."""
        check_not_forked()
        if kind in self._explored:
            return

        data = example()

        def trace(core, looking):
            if core is not self.core:
                self._take_up(core)
            beginning = self._beginning(kind)
            with looking:
                self.programs.explore(kind, beginning, *data)

        self.core.reading(trace)
        self._explored.add(kind)

    def check_free(self) -> None:
        """Check that no run of training is under way.

        Raises:
            RuntimeError: if one is.
        """
        if self.flying:
            name = self.core.network.name
            raise RuntimeError(f"Model {name} is being trained already: two runs cannot train the same model.")

    @contextlib.contextmanager
    def flight(self, key: Any):
        """A run of training: inside, this trainer has the weights, and Ctrl-C waits until they are whole.

        Raises:
            RuntimeError: if there is one already.
        """
        with Shield() as shield:
            with self.lock:
                self.check_free()
                self.flying = True
            try:
                yield Flight(self, self.gather(key), shield)
            finally:
                self.land()
                self.flying = False

    def train_batch(self, data: tuple) -> View:
        """One step of training on a batch. The trainer keeps the weights until somebody else needs them."""
        with Shield() as shield, self._turn:
            before = self._flown().train_state if self.flying else None
            held = self.gather(self.one_batch_key)
            view = loop.run(
                held, Feed(self.programs, "train", feeding.Batches(lambda: iter([data]))), shield, [_EachStep()]
            )
            if before is not None:  # called by a callback: its own run goes on
                held.replace(held.train_state.replace(key=before.key, metrics=before.metrics))
            elif self._foreign:
                self.land()
            return view

    def run(self, kind: str, source: Any, observers: Sequence = ()) -> tuple[TrainState, View]:
        """A pass of tests or predictions over `source`, beside whatever else runs: the state at its end, and what was
        seen last."""
        self.ready(kind, source.example)
        step = np.int32(0)
        if kind == "predict":
            step = np.int32(self._predicted + 1)
            self._predicted += source.steps
        state = self.mapping.near(self.current().replace(key=self.one_batch_key, step=step))
        moving, still = self.steps.parts(kind, state)
        if not moving["state"]:  # nothing has to be kept whole
            held = loop.Held(state)
            view = loop.run(held, Feed(self.programs, kind, source), Shield(), observers)
            return held.train_state, view
        with Shield() as shield:
            moving["state"] = copied(moving["state"])
            held = loop.Held(self.steps.joined(state, moving, still))
            view = loop.run(held, Feed(self.programs, kind, source), shield, observers)
            moved = self.steps.parts(kind, held.train_state)[0]["state"]
            for path, array in trees.leaves(moved):
                trees.get(self._variables["state"], path).value = whole(array)
        return held.train_state, view

    def loss_gradients(self, data: tuple) -> dict:
        """variable -> the gradient of the loss on a batch, as in tests."""
        if self._gradients is None:
            steps = self.steps

            def loss(params, state, data):
                return steps.test(state.replace(params=params), data)[1]["loss"]

            self._gradients = jax.jit(jax.grad(loss))
        with self.core.precision():
            state = self.current().replace(key=self.one_batch_key)
            found = self._gradients(state.params, state.replace(params={}), data)
        return dict(zip(jax.tree.leaves(self._variables["params"]), jax.tree.leaves(found), strict=True))


class Flight:
    """A run of training that is under way.

    Attributes:
        held: the state that it moves on.
    """

    def __init__(self, trainer: Trainer, held: loop.Held, shield: Shield):
        self.trainer, self.held, self.shield = trainer, held, shield
        self._feeds: dict = {}

    def open(self):
        """The context for user code: Ctrl-C is acted on at once."""
        return self.shield.open()

    def run(self, kind: str, source: Any, observers: Sequence = (), *, epoch: int = 0, start: int = 0) -> View:
        """A pass of training or tests over `source`."""
        programs = self.trainer.programs
        if (programs, source) not in self._feeds:
            self._feeds[programs, source] = Feed(programs, kind, source)
        feed = self._feeds[programs, source]
        if kind == "train" and self.trainer.reads_optimizer:
            observers = [*observers, _EachStep()]
        return loop.run(self.held, feed, self.shield, observers, epoch=epoch, start=start)

    def start_metrics(self) -> None:
        """Let the running sums of loss and metrics start anew."""
        self.held.replace(self.held.train_state.replace(metrics=self.trainer.steps.no_metrics()))

    def restore(self, train_state: TrainState) -> None:
        """Go on from a state of a backup."""
        self.held.replace(self.trainer.mapping.place(train_state))


class _Running(loop.Held):
    """The state of a training run; what is set in the optimizer, and in numbers that cannot be lent, reaches it."""

    def __init__(self, train_state: TrainState, trainer: Trainer):
        super().__init__(train_state, trainer.lock)
        self.trainer = trainer
        self._unlent: dict = {}

    def settle(self):
        self.trainer.optimizer.watch(self.trainer.optimized)
        opt_state = self.trainer.optimizer.with_hyperparameters(self.train_state.opt_state)
        self.train_state = self.train_state.replace(opt_state=opt_state)
        for variable in self.trainer.core.outside_variables:
            if variable.lends:
                continue
            value = variable.current()
            if variable not in self._unlent or not np.array_equal(self._unlent[variable], value):
                self._unlent[variable] = value
                self.trainer.refresh(variable)


class _Optimized(Source):
    """The optimizer's state of a trainer as its optimizer sees it.

    Attributes:
        held: the state of the run that has it, None between runs; landed: the optimizer's state between runs.
    """

    def __init__(self, rule: Rule, trainer: Trainer):
        self.rule, self.trainer = rule, trainer
        self.held: loop.Held | None = None
        self.landed: Any = None

    @property
    def opt_state(self):
        return self.peek(lambda opt_state: opt_state)

    @opt_state.setter
    def opt_state(self, opt_state):
        with self.trainer.lock:
            if self.held is None:
                self.landed = opt_state
            else:
                self.held.replace(self.held.train_state.replace(opt_state=self.trainer.mapping.place(opt_state)))

    def peek(self, select):
        with self.trainer.lock:
            if self.held is None:
                return select(self.landed)
            return copied(whole(select(self.held.train_state.opt_state)))

    def change(self, function):
        with self.trainer.lock:
            if self.held is None:
                self.landed = function(self.landed)
                return
            before, like = self.held.train_state.opt_state, self.trainer.mapping.like
            after = jax.tree.map(lambda new, old: new if new is old else like(new, old), function(before), before)
            self.held.replace(self.held.train_state.replace(opt_state=after))


class _EachStep(Observer):
    """Every step is a dispatch of its own."""

    def room(self, step: int) -> Any:
        return 1
