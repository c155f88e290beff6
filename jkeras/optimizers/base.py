"""What all optimizers share: the contract, clipping, saving, and both ways of saying how to train."""

import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras.graph.function import Function, gradients_or_none
from jkeras.graph.tensor import SymbolicTensor, Variable, unique_name
from jkeras.lift import lift
from jkeras.optimizers import get_updates
from jkeras.optimizers.state import Hyperparameter, Iterations, OptimizerState, float_type, writing

__all__ = ["Optimizer", "clip_norm"]


def clip_norm(g, c, n):
    """`g`, scaled by c / n where the norm `n` is at least `c`; unchanged if c <= 0."""
    return g if c <= 0 else _clip_norm(g, c, n)


@lift
def _clip_norm(g, c, n):
    return g * jnp.where(n >= c, c / jnp.where(n > 0, n, 1), 1).astype(g.dtype)


class Optimizer:
    """The base of all optimizers.

    Arguments:
        clipnorm: if positive, all gradients are scaled together so that their common L2 norm is at most this.
        clipvalue: if positive, each entry of each gradient is then clipped to +- this.

    Attributes:
        slot_names: the names of the arrays kept for each parameter, in the order in which they are saved.
        saves_iterations: whether `get_weights` starts with the number of updates.
        order: the places, among the leaves of the tree of parameters, of the first, second, ... weight as Keras orders
            them; None where that is the order of the leaves.
        owner: the model whose weights it trains, None outside of a model.
        first_scalars: name -> first value of what the optimizer carries on beside the slots.
        state: the current `OptimizerState`, None until trained. Setting it to None forgets the slots, not the
            iterations: what compiling again does in Keras.
        updates: what `get_updates` returned last.

    Raises:
        TypeError: for any other argument.
    """

    slot_names: tuple = ()
    first_scalars: dict = {}
    saves_iterations = True
    initial_decay = 0.0
    order = owner = None
    _state = None
    _loaded = None
    _program = None
    #: Whether the class says by `get_updates`, not by a rule, how to train.
    _is_written = False

    def __init__(self, **kwargs):
        for name in kwargs:
            if name not in ("clipnorm", "clipvalue"):
                raise TypeError(f"Unexpected keyword argument passed to optimizer: {name} (in {type(self).__name__})")
        self.__dict__.update(kwargs)
        self.iterations = Iterations(self)
        self.updates, self._weights = [], []

    def __init_subclass__(cls, **kwargs):
        """Note which of the two ways of saying how to train the class has."""
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if {"rule", "update", "advance"} & own.keys():
            cls._is_written = False
        elif {"get_updates", "get_gradients"} & own.keys():
            cls._is_written = True
        if cls._is_written:
            for name in {"__init__", "get_updates", "get_gradients"} & own.keys():
                setattr(cls, name, writing()(own[name]))

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
        """What copies and pickles hold: not the model, and of what `get_updates` wrote only the weights."""
        kept = {**vars(self), "owner": None, "updates": [], "_weights": [], "_program": None}
        if get_updates.program_of(self.state) is not None or (self.state is None and self._weights):
            kept |= {"_state": None, "_loaded": self.get_weights()}
        return kept

    def _keep(self, epsilon=None, **numbers):
        """Keep an epsilon, and numbers as hyperparameters."""
        self.epsilon = config.epsilon() if epsilon is None else epsilon
        for name, value in numbers.items():
            setattr(self, name, Hyperparameter(value, name))
        self.initial_decay = float(numbers.get("decay", 0.0))

    # ------------------------------------------------------------------------------------------ as pure functions

    @property
    def assigns(self) -> bool:
        """Whether the optimizer gives next values, by `assign`, and sees to constraints itself: one that says by
        `get_updates` how to train."""
        return self._is_written or bool({"get_updates", "get_gradients"} & vars(self).keys())

    def init(self, params) -> OptimizerState:
        """The state before the first update: zeros, or what `set_weights` was given before."""
        state = get_updates.begin(self, params) if self.assigns else self.first_state(params)
        return state if self._loaded is None else self._restored(state, self._loaded)

    def first_state(self, params) -> OptimizerState:
        """The state before the first update, whatever was loaded."""
        slots = {name: jax.tree.map(lambda leaf, name=name: self.slot(name, leaf), params) for name in self.slot_names}
        scalars = {name: float_type().type(value) for name, value in self.first_scalars.items()}
        return OptimizerState(self._start(), self.hyperparameters(), scalars, slots)

    def _start(self):
        return np.int32(self.iterations.start if isinstance(self.iterations, Iterations) else self.iterations.numpy())

    def update(self, gradients, state, params=None):
        """What to add to the parameters, and the next state; pure.

        Arguments:
            gradients: a tree like the parameters.
            state: an `OptimizerState`.
            params: needed only by optimizers that say by `get_updates` how to train.
        """
        if get_updates.program_of(state) is not None:
            new, state = self.assign(gradients, state, params)
            return jax.tree.map(lambda after, before: after - before, new, params), state
        leaves, treedef = jax.tree.flatten(gradients)
        clipped = self._clipped([leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves])
        updates, state = self.advance(treedef.unflatten(clipped), state, params)
        return jax.tree.map(lambda update, like: update.astype(like.dtype), updates, gradients), state

    def assign(self, gradients, state, params, *, value=None, key=None):
        """The next parameters themselves, after constraints, and the next state; pure. Only if the optimizer `assigns`.

        Arguments:
            gradients, params: trees alike.
            state: an `OptimizerState`.
            value: the loss, for optimizers that use it.
            key: a key, the same on all devices, for optimizers that draw random numbers.

        Raises:
            ValueError: if it uses one of the last two and was not given it.
        """
        return get_updates.program_of(state).assign(gradients, state, params, value, key)

    def advance(self, gradients, state, params=None):
        """`update`, from gradients that are clipped already and have at least 32 bits."""
        del params
        now = types.SimpleNamespace(**state.hyperparameters, **state.scalars)
        now.t = state.iterations.astype(np.float32) + 1
        now.rate = getattr(now, "lr", None)
        if self.initial_decay > 0:
            now.rate = now.lr * (1.0 / (1.0 + now.decay * (now.t - 1)))
        self.prepare(now)
        scalars = {name: getattr(now, name).astype(old.dtype) for name, old in state.scalars.items()}
        leaves, treedef = jax.tree.flatten(gradients)
        slots = [treedef.flatten_up_to(state.slots[name]) for name in self.slot_names]
        results = [self.rule(now, gradient, *old) for gradient, *old in zip(leaves, *slots, strict=True)]
        trees = [
            treedef.unflatten([result[place].astype(old.dtype) for result, old in zip(results, like, strict=True)])
            for place, like in enumerate([leaves, *slots])
        ]
        slots = dict(zip(self.slot_names, trees[1:], strict=True))
        return trees[0], OptimizerState(state.iterations + 1, state.hyperparameters, scalars, slots)

    def transformation(self):
        """The pair as optax has it, for `optax.chain` and its like."""
        import optax  # here, not above: it takes half as long as all of jkeras

        return optax.GradientTransformation(self.init, self.update)

    def _clipped(self, gradients):
        clipnorm, clipvalue = getattr(self, "clipnorm", None), getattr(self, "clipvalue", None)
        if clipnorm and clipnorm > 0:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
            gradients = [clip_norm(gradient, clipnorm, norm) for gradient in gradients]
        if clipvalue and clipvalue > 0:
            gradients = [jnp.clip(gradient, -clipvalue, clipvalue) for gradient in gradients]
        return gradients

    def slot(self, name, leaf, shape=None):
        """The first value of the slot `name` of the parameter `leaf`: zeros of its shape, in at least 32 bits."""
        # On the host where we are not traced, so that nothing is compiled.
        make = jnp.zeros if isinstance(leaf, jax.core.Tracer) else np.zeros
        return make(np.shape(leaf) if shape is None else shape, jnp.promote_types(leaf.dtype, jnp.float32))

    def prepare(self, now) -> None:
        """Compute what all parameters have in common, before the rule, from `now` and into it."""

    def rule(self, now, gradient, *slots) -> tuple:
        """The update of one parameter and its next slots: `(update, *slots)`.

        Arguments:
            now: the hyperparameters and scalars by name; `rate`, the learning rate after decay; `t`, the number of this
                update, starting at 1; and what `prepare` added.
            gradient: after clipping, in at least 32 bits.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither a `rule` nor `get_updates` nor an `update`.")

    # ----------------------------------------------------------------------------------------- as symbols, for Keras

    def get_gradients(self, loss, params) -> list:
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
        return lift(self._clipped)(found) if found and clips else found

    @writing()
    def get_updates(self, *args, **kwargs) -> list:
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
            state = OptimizerState(iterations, {}, *treedef.unflatten(kept))
            advance = self.advance if type(self).update is Optimizer.update else self.update
            updates, state = advance(gradients, self._with_numbers(state, numbers), params)
            new = [(param + update).astype(param.dtype) for param, update in zip(params, updates, strict=True)]
            return new, jax.tree.leaves((state.scalars, state.slots))

        new, kept_next = step(gradients, params, self.iterations, numbers, kept)
        new = [
            value if getattr(param, "constraint", None) is None else param.constraint(value)
            for param, value in zip(params, new, strict=True)
        ]
        self.updates = [(self.iterations, self.iterations + 1)]
        self.updates += [*zip(kept, kept_next, strict=True), *zip(params, new, strict=True)]
        self.weights = self._saved(OptimizerState(self.iterations, {}, *treedef.unflatten(kept)), None)
        return self.updates

    @property
    def weights(self) -> list:
        """The optimizer's own variables in the order in which they are saved; [] before training."""
        if self.state is None or get_updates.program_of(self.state) is not None:
            return self._weights
        return [Saved(self, place, np.shape(leaf), leaf.dtype) for place, leaf in enumerate(self._saved(self.state))]

    @weights.setter
    def weights(self, weights):
        self._weights = weights

    # --------------------------------------------------------------------------------------- the numbers users change

    def hyperparameters(self) -> dict:
        """name -> current value of the numbers that may be changed while training."""
        return {name: held.current() for name, held in vars(self).items() if type(held) is Hyperparameter}

    def with_hyperparameters(self, state):
        """`state` with the current numbers in it. Call it before compiled steps: users may have set them meanwhile."""
        program = get_updates.program_of(state)
        return self._with_numbers(state, self.hyperparameters()) if program is None else program.with_numbers(state)

    def take_hyperparameters(self, state) -> None:
        """Set the numbers to those of `state`: the way back from `with_hyperparameters`."""
        program = get_updates.program_of(state)
        if program is not None:
            program.take_numbers(state)
            return
        for name, value in state.hyperparameters.items():
            setattr(self, name, np.asarray(value)[()])

    def _with_numbers(self, state, numbers):
        return state._replace(hyperparameters=numbers)

    @property
    def state(self):
        return self._state

    @state.setter
    def state(self, state):
        before, program = get_updates.program_of(self._state), get_updates.program_of(state)
        if state is None:
            if isinstance(self.iterations, Iterations):
                self.iterations.value = self.iterations.current()
            if before is not None:
                before.withdraw()
                self._weights = []
            self._program = None
        self._state, self._loaded = state, None
        if program is not None:
            self._weights = program.weights
            program.publish(state)

    # ------------------------------------------------------------------------------------------------ saving, loading

    def _saved(self, state, *order) -> list:
        """The arrays of `state` that are saved, in Keras's order; `order` instead of the optimizer's."""
        program = get_updates.program_of(state)
        if program is not None:
            return program.saved(state)
        places = order[0] if order else self.order
        saved = [state.iterations] if self.saves_iterations else []
        for leaves in (jax.tree.leaves(state.slots[name]) for name in self.slot_names):
            saved += leaves if places is None else [leaves[place] for place in places]
        return saved

    def _restored(self, state, weights):
        """`state` with `weights`, in the form of `_saved`, in it."""
        leaves, treedef = jax.tree.flatten(state)
        places = self._saved(treedef.unflatten(range(len(leaves))))
        self._check([leaves[place] for place in places], weights)
        for place, weight in zip(places, weights, strict=True):
            leaves[place] = np.asarray(weight, leaves[place].dtype)
        return treedef.unflatten(leaves)

    def _check(self, kept, weights):
        name = f"{type(self).__name__}.set_weights"
        if len(kept) != len(weights):
            raise ValueError(
                f"{name}: Length of the specified weight list ({len(weights)}) does not match the number of weights of "
                f"the optimizer ({len(kept)})"
            )
        for expected, given in zip(map(np.shape, kept), map(np.shape, weights), strict=True):
            if expected != given:
                raise ValueError(
                    f"{name}: Optimizer weight shape {expected} not compatible with provided weight shape {given}"
                )

    def get_weights(self) -> list:
        """The optimizer's arrays, as numpy arrays in the order in which Keras 2.2.4 saves them; [] before training.

        RMSprop, Adagrad and Adadelta do not save the number of updates, nor Nadam its momentum schedule: as in Keras
        these start again after loading.
        """
        if self.state is None:
            return [np.array(weight) for weight in self._loaded or [held.numpy() for held in self._weights]]
        weights = [np.array(weight) for weight in jax.device_get(self._saved(self.state))]
        program = get_updates.program_of(self.state)
        if program is not None:
            return [weight.astype(held.dtype) for weight, held in zip(weights, program.weights, strict=True)]
        if self.saves_iterations:
            weights[0] = weights[0].astype(np.int64)
        return weights

    def set_weights(self, weights) -> None:
        """Take over arrays in the form of `get_weights`; before training they are kept for `init`, which checks them.

        Raises:
            ValueError: if their number or a shape does not fit.
        """
        weights = [np.asarray(weight) for weight in weights]
        if self.state is not None:
            self.state = self._restored(self.state, weights)
        elif self._weights:
            self._check([held.numpy() for held in self._weights], weights)
            for held, weight in zip(self._weights, weights, strict=True):
                held.value = weight.astype(held.dtype)
        else:
            self._loaded = weights

    def get_config(self) -> dict:
        """The arguments of the constructor, as plain numbers; called from a subclass's, those of its base."""
        overriding = [cls for cls in type(self).__mro__ if "get_config" in vars(cls) and cls is not Optimizer]
        described = overriding[-1].__mro__[1] if overriding else type(self)
        names = ["clipnorm", "clipvalue", *inspect.signature(described).parameters]
        return {name: _plain(getattr(self, name)) for name in names if hasattr(self, name)}

    @classmethod
    def from_config(cls, config):
        """The optimizer of a `get_config`."""
        return cls(**config)


class Saved(Variable):
    """One of the arrays that an optimizer saves: a view of its state."""

    def __init__(self, optimizer, place, shape, dtype):
        name = f"training/{type(optimizer).__name__}/Variable_{place}:0"
        super().__init__(shape, dtype, name, trainable=False)
        self.optimizer, self.place = optimizer, place

    def current(self):
        """The current array, on the host."""
        return self.optimizer.get_weights()[self.place]

    def device_value(self):
        """The current array, as a JAX array."""
        return jnp.asarray(self.current())

    @Variable.value.setter
    def value(self, value):
        weights = self.optimizer.get_weights()
        weights[self.place] = np.asarray(value)
        self.optimizer.set_weights(weights)


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
