"""The object that users hold: hyperparameters, how it is saved, and both ways of saying how to train."""

import inspect
import numbers
import reprlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras.graph.function import Function, gradients_or_none
from jkeras.graph.tensor import SymbolicTensor, Variable, unique_name
from jkeras.lift import lift
from jkeras.optimizers.formula import Formula
from jkeras.optimizers.get_updates import Written
from jkeras.optimizers.state import Hyperparameter, OptimizerState, float_type, on_host, writing
from jkeras.optimizers.view import Held, Source, View, check
from jkeras.train.rule import Rule

__all__ = ["Optimizer"]

_FORMULAS, _UPDATES = {"rule", "update", "advance"}, {"get_updates", "get_gradients"}


class Optimizer(Formula):
    """The base of all optimizers. What trains is its rule (`as_rule`); the object is a view of the run that it watches.

    Arguments:
        clipnorm: if positive, all gradients are scaled together so that their common L2 norm is at most this.
        clipvalue: if positive, each entry of each gradient is then clipped to +- this.

    Attributes:
        updates: what `get_updates` returned last.
        declared: what it called the optimizer's weights.

    Raises:
        TypeError: for any other argument.
        ValueError: if one of the two is no number.
    """

    _watched: Source | None = None
    _alone: Held | None = None
    _loaded: list | None = None

    def __init__(self, **kwargs: Any):
        for name in kwargs:
            if name not in ("clipnorm", "clipvalue"):
                raise TypeError(f"Unexpected keyword argument passed to optimizer: {name} (in {type(self).__name__})")
        self.__dict__.update({name: _number(self, name, value) for name, value in kwargs.items()})
        if not isinstance(getattr(type(self), "iterations", None), property):  # as that of an optimizer inside
            self.iterations = Hyperparameter(0, "iterations", np.int32)
        self.updates, self.declared = [], []

    def __init_subclass__(cls, **kwargs):
        """Arithmetic on numbers makes symbols in the methods of a class that says by `get_updates` how to train."""
        super().__init_subclass__(**kwargs)
        if _is_written(cls):
            for name in ({"__init__"} | _UPDATES) & vars(cls).keys():
                setattr(cls, name, writing()(vars(cls)[name]))

    def __setattr__(self, name, value):
        """`optimizer.lr = 0.1` changes the number, not the object that others may hold."""
        held = self.__dict__.get(name)
        if not isinstance(held, Variable) or isinstance(value, SymbolicTensor):
            super().__setattr__(name, value)
        elif isinstance(held, Hyperparameter):
            held.value = value
        else:
            held.value = np.asarray(value, held.dtype)

    def __getstate__(self):
        """What copies and pickles hold: the numbers, and the weights as arrays; not the run."""
        view = self.source.rule.view
        view.release()  # so that the variables hold their values themselves
        view.lend(view.own())
        own = {"updates": [], "declared": [], "_watched": None, "_alone": None, "_loaded": self.get_weights() or None}
        return {**vars(self), **own}

    def _keep(self, epsilon=None, **hyperparameters):
        """Keep an epsilon, and numbers as hyperparameters."""
        self.epsilon = config.epsilon() if epsilon is None else _number(self, "epsilon", epsilon)
        for name, value in hyperparameters.items():
            setattr(self, name, Hyperparameter(value, name))
        self.initial_decay = float(hyperparameters.get("decay", 0.0))

    # ------------------------------------------------------------------------------------------ as pure functions

    def as_rule(self, weights: Mapping[tuple, Variable] | None = None) -> Rule:
        """The rule that trains, and nothing but a function: it is reached by changes of this object through its state.

        Arguments:
            weights: path -> variable, of the parameters that are trained, in the order in which Keras saves what
                belongs to them; None for parameters that are no weights of a model.
        """
        view = (Written if _says_updates(self) else View)(self, weights)
        before = self._watched or self._alone
        if before is None:
            view.loaded = self._loaded
        elif not before.rule.view.has_begun:
            view.loaded = before.rule.view.loaded
        return view.rule()

    @property
    def _outside(self) -> Held:
        """What is watched outside of a model."""
        if self._alone is None:
            self._alone = Held(self.as_rule())
            self._alone.rule.view.source = self._alone
        return self._alone

    def init(self, params: Any) -> OptimizerState:
        """The state before the first update: zeros, or what `set_weights` was given before."""
        return self._outside.rule.init(params)

    def first_state(self, params: Any) -> OptimizerState:
        """The state of a formula before the first update, whatever was loaded."""
        slots = {name: jax.tree.map(lambda leaf, name=name: self.slot(name, leaf), params) for name in self.slot_names}
        scalars = {name: float_type().type(value) for name, value in self.first_scalars.items()}
        return OptimizerState(on_host(self.iterations), self.hyperparameters(), scalars, slots)

    def update(self, gradients: Any, state: OptimizerState, params: Any = None) -> tuple[Any, OptimizerState]:
        """What to add to the parameters, and the next state; pure.

        Arguments:
            gradients: a tree like the parameters.
            state: the current state.
            params: needed only by optimizers that say by `get_updates` how to train.
        """
        if _says_updates(self):
            new, state = self._outside.rule(gradients, state, params)
            return jax.tree.map(lambda after, before: after - before, new, params), state
        leaves, treedef = jax.tree.flatten(gradients)
        leaves = [leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves]
        updates, state = self.advance(treedef.unflatten(self.clipped(leaves)), state, params)
        return jax.tree.map(lambda update, like: update.astype(like.dtype), updates, gradients), state

    def transformation(self) -> Any:
        """The pair as optax has it, for `optax.chain` and its like."""
        import optax  # here, not above: it takes half as long as all of jkeras

        update: Any = self.update  # whose arguments have names of their own
        return optax.GradientTransformation(self.init, update)

    # ----------------------------------------------------------------------------------------- as symbols, for Keras

    def get_gradients(self, loss: Any, params: list) -> list:
        """The symbols of the derivatives of `loss` with respect to each of `params`, clipped.

        Raises:
            ValueError: if the loss does not depend on one of them.
        """
        found = gradients_or_none(loss, list(params))
        missing = [param.name for param, gradient in zip(params, found, strict=True) if gradient is None]
        if missing:
            raise ValueError(
                f"{type(self).__name__}.get_gradients: the gradient of the loss is `None` for {', '.join(missing)}: it "
                "does not depend on it, or only through operations that have no gradient."
            )
        clips = getattr(self, "clipnorm", None) or getattr(self, "clipvalue", None)
        return lift(self.clipped)(found) if found and clips else found

    @writing()
    def get_updates(self, *args: Any, **kwargs: Any) -> list:
        """Pairs (variable, symbol of its next value) that make one step of training, as for `K.function(updates=)`.

        Arguments:
            loss: a symbol.
            params: the variables to train. The order of Keras 1, `(params, constraints, loss)`, is understood too.

        Each call makes new slots, all of them variables; they are the optimizer's `weights`.

        Raises:
            ValueError: if the loss does not depend on one of the parameters.

        Example:
            >>> import jkeras
            >>> K, opt = jkeras.backend, jkeras.optimizers.SGD(lr=0.25)
            >>> x = K.variable([4.0])
            >>> train = K.function([], [], updates=opt.get_updates(K.sum(K.square(x)), [x]))
            >>> _ = train([])
            >>> K.get_value(x).tolist()
            [2.0]
        """
        loss, params = _loss_and_params(*args, **kwargs)
        gradients = self.get_gradients(loss, params)
        first = self.first_state([_concrete(param) for param in params])
        kept, treedef = jax.tree.flatten((first.scalars, first.slots))
        prefix = f"training/{type(self).__name__}/Variable"
        kept = [
            Variable(np.shape(value), value.dtype, f"{unique_name(prefix)}:0", value=np.asarray(value), trainable=False)
            for value in kept
        ]
        numbers = {
            name: held
            for name, held in vars(self).items()
            if isinstance(held, SymbolicTensor) and held.shape == () and name != "iterations"
        }

        @lift
        def step(gradients, params, iterations, numbers, kept):
            state = OptimizerState(iterations, numbers, *treedef.unflatten(kept))
            advance = self.advance if type(self).update is Optimizer.update else self.update
            updates, state = advance(gradients, state, params)
            new = [(param + update).astype(param.dtype) for param, update in zip(params, updates, strict=True)]
            return new, jax.tree.leaves((state.scalars, state.slots))

        new, kept_next = step(gradients, params, self.iterations, numbers, kept)
        new = [
            value if getattr(param, "constraint", None) is None else param.constraint(value)
            for param, value in zip(params, new, strict=True)
        ]
        pairs = [*zip(kept, kept_next, strict=True), *zip(params, new, strict=True)]
        self.updates = [_asked(*pair) for pair in [(self.iterations, self.iterations + 1), *pairs]]
        self.weights = self.saved(OptimizerState(self.iterations, {}, *treedef.unflatten(kept)))
        return self.updates

    # --------------------------------------------------------------------------------------------- a view of the run

    def watch(self, source: Source) -> None:
        """Show the state of another run from now on. Runs share the numbers and iterations, not the slots: watching one
        that has no state yet forgets these, which is what compiling again does in Keras."""
        view = source.rule.view
        if self._watched is not source or view.source is not source:
            self._watched, view.source, view.loaded = source, source, None
            if not view.has_begun:
                self.updates, self.declared = [], []
            view.lend(view.own())

    @property
    def source(self) -> Source:
        """The run whose state is shown."""
        return self._watched or self._outside

    @property
    def state(self) -> OptimizerState | None:
        """The state of the run, None until trained. Set to None, the slots are forgotten and the iterations kept."""
        return self.source.opt_state

    @state.setter
    def state(self, state: OptimizerState | None):
        source, view = self.source, self.source.rule.view
        if state is None:
            view.release()
            self.declared = []
        else:
            view.agree(view.own())
        source.opt_state, view.loaded = state, None
        view.lend(view.own())

    def numbers(self) -> dict[str, Variable]:
        """name -> variable, of the numbers that may be changed while training."""
        return {name: v for name, v in vars(self).items() if type(v) is Hyperparameter and name != "iterations"}

    def hyperparameters(self) -> dict:
        """name -> current value, of what the state of the run has as its hyperparameters."""
        return {name: on_host(variable) for name, variable in self.source.rule.view.numbers().items()}

    def with_hyperparameters(self, state: OptimizerState) -> OptimizerState:
        """`state` with the current numbers in it. Call it before compiled steps: users may have set them meanwhile."""
        return state._replace(hyperparameters=state.hyperparameters | self.hyperparameters())

    def take_hyperparameters(self, state: OptimizerState) -> None:
        """Set the numbers to those of `state`: the way back from `with_hyperparameters`."""
        for name, variable in self.source.rule.view.numbers().items():
            variable.value = np.asarray(state.hyperparameters[name], variable.dtype)

    # ------------------------------------------------------------------------------------------------ saving, loading

    @property
    def weights(self) -> list:
        """The optimizer's own variables in the order in which they are saved; [] before training."""
        state = self.state
        return self.declared if state is None else self.source.rule.view.weights(state)

    @weights.setter
    def weights(self, weights: list):
        self.declared = weights

    def stated_weights(self) -> list:
        """What `get_updates` called the optimizer's weights, or what the class says in a property of its own."""
        return self.declared if type(self).weights is Optimizer.weights else list(self.weights)

    def get_weights(self) -> list:
        """The optimizer's arrays, as numpy arrays in the order in which Keras 2.2.4 saves them; [] before training.

        RMSprop, Adagrad and Adadelta do not save the number of updates, nor Nadam its momentum schedule: as in Keras
        these start again after loading.
        """
        arrays = self.source.rule.view.get_weights()
        return [held.numpy() for held in self.declared] if arrays is None else arrays

    def set_weights(self, weights: list) -> None:
        """Take over arrays in the form of `get_weights`; before training they are kept for `init`, which checks them.

        Raises:
            ValueError: if their number or a shape does not fit.
        """
        weights = [np.asarray(weight) for weight in weights]
        state, view = self.state, self.source.rule.view
        if state is not None:
            self.source.opt_state = view.restored(state, weights)
        elif self.declared:
            check(type(self).__name__, [held.numpy() for held in self.declared], weights)
            for held, weight in zip(self.declared, weights, strict=True):
                held.value = weight.astype(held.dtype)
        else:
            view.loaded = weights

    def get_config(self) -> dict:
        """The arguments of the constructor, as plain numbers; called from a subclass's, those of its base."""
        overriding = [cls for cls in type(self).__mro__ if "get_config" in vars(cls) and cls is not Optimizer]
        described = overriding[-1].__mro__[1] if overriding else type(self)
        arguments = inspect.signature(described).parameters.values()
        stated = [one.name for one in arguments if one.kind is not one.VAR_KEYWORD]
        names = [name for name in ("clipnorm", "clipvalue", *stated) if hasattr(self, name)]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict) -> "Optimizer":
        """The optimizer of a `get_config`."""
        return cls(**config)


def _says_updates(optimizer) -> bool:
    """Whether an optimizer says by `get_updates`, not by a formula, how to train."""
    return _is_written(type(optimizer)) or bool(_UPDATES & vars(optimizer).keys())


def _is_written(cls) -> bool:
    """Whether what comes first among the methods of `cls` says by `get_updates` how to train."""
    for base in cls.__mro__:
        if base is Optimizer or _FORMULAS & vars(base).keys():
            return False
        if _UPDATES & vars(base).keys():
            return True
    return False


def _asked(variable, new):
    """What `K.update` returns, whoever has replaced it meanwhile: optimizers around others do, to see what these ask
    for. The pair where nobody has imported the backend."""
    backend = sys.modules.get(f"{__name__.partition('.')[0]}.backend")
    return (variable, new) if backend is None else backend.update(variable, new)


def _loss_and_params(*args, loss=None, params=None):
    """(loss, params) from the arguments of `get_updates`: (loss, params), or (params, constraints, loss)."""
    if len(args) == 3 or (len(args) == 2 and isinstance(args[0], (list, tuple)) and isinstance(args[1], dict)):
        args = ((args[2],) if len(args) == 3 else (loss,)) + (args[0],)
    loss, params = args + (loss, params)[len(args) :]
    if loss is None or not isinstance(params, (list, tuple)):
        raise TypeError(
            f"get_updates expects (loss, params), a symbol and a list of variables; got {(loss, params)!r}."
        )
    return loss, list(params)


def _concrete(param):
    """An array like the parameter, with its value if it has one outside of a trace."""
    value = param.current()
    return np.zeros(param.shape, jnp.dtype(param.dtype)) if isinstance(value, jax.core.Tracer) else value


def _plain(value):
    """A number of an optimizer as a config keeps it."""
    if isinstance(value, Variable):
        return float(value.numpy()) if value.shape == () else value.numpy().tolist()
    return float(Function([], [value])([])[0]) if isinstance(value, SymbolicTensor) else value


def _number(optimizer, name, value) -> Any:
    """`value`, an argument of an optimizer: one number or None."""
    if value is None or isinstance(value, numbers.Real) or getattr(value, "shape", None) == ():
        return value
    raise ValueError(f"{type(optimizer).__name__}: {name} must be a number. Found: {reprlib.repr(value)}")
