"""Optimizers with the arithmetic of Keras 2.2.4, as optax transformations.

An optimizer describes; what training changes lives in an `OptimizerState`:

    init(params)                          -> state
    update(gradients, state, params)      -> updates, state        (pure; the new parameters are params + updates)

`params` is any tree of arrays. The numbers that users change while training (`lr`, `momentum`, ...) are part of the
state, so that a new learning rate compiles nothing. Constraints are not applied here.

A variant, also one of the user's, is a rule for one array: `slot_names` names what is kept for each parameter, and
`rule(now, gradient, *slots)` gives the update and the next slots.
"""

import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import config
from jkeras.lift import Symbol
from jkeras.serialize.objects import config_from_signature, deserialize_keras_object, serialize_keras_object

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Hyperparameter",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "OptimizerState",
    "RMSprop",
    "TFOptimizer",
    "clip_norm",
    "deserialize",
    "get",
    "serialize",
]


class OptimizerState(NamedTuple):
    """What an optimizer keeps from step to step.

    Attributes:
        iterations: how many updates were made, an int32 scalar.
        hyperparameters: name -> scalar, the numbers that may be changed while training.
        scalars: name -> scalar, what the optimizer itself carries on.
        slots: name -> a tree like the parameters.
    """

    iterations: Any
    hyperparameters: dict
    scalars: dict
    slots: Any


def _float_type():
    # 64 bits only where they are asked for; 16 bits are too few for a decay or a beta close to 1.
    return np.dtype(np.float64 if config.floatx() == "float64" else np.float32)


class Hyperparameter(np.lib.mixins.NDArrayOperatorsMixin):
    """A number of an optimizer that may be changed while training: reads and computes like a numpy scalar.

    Raises:
        ValueError: if the value is not one number.
    """

    shape = ()
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    def __init__(self, value, name: str):
        self.name = name
        self.dtype = _float_type()
        self.value = value

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = self._checked(value)

    def _checked(self, value):
        array = np.asarray(value)
        if array.dtype.kind in "OSUMm" or array.shape != ():
            raise ValueError(
                f"The hyperparameter '{self.name}' of an optimizer must be one number; {value!r} was given. A schedule "
                "goes to the callback LearningRateScheduler, or into an optax optimizer."
            )
        return self.dtype.type(array)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        inputs = [value.value if isinstance(value, Hyperparameter) else value for value in inputs]
        return getattr(ufunc, method)(*inputs, **options)

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __format__(self, specification):
        return format(self.value, specification)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r} {self.value}>"


class Iterations(Hyperparameter):
    """How many updates an optimizer has made: a view of its state, or where it will start."""

    def __init__(self, optimizer):
        self.name, self.dtype = "iterations", np.dtype(np.int32)
        self.optimizer, self.start = optimizer, np.int32(0)

    @property
    def value(self):
        state = self.optimizer.state
        return self.start if state is None else np.int32(state.iterations)

    @value.setter
    def value(self, value):
        self.start, state = self._checked(value), self.optimizer.state
        if state is not None:
            self.optimizer.state = state._replace(iterations=self.start)


def clip_norm(g, c, n):
    """`g`, scaled by c / n where the norm `n` is at least `c`; unchanged if c <= 0."""
    if c <= 0:
        return g
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
        first_scalars: name -> first value of what the optimizer carries on beside the slots.
        state: the current `OptimizerState`, None until trained. Setting it to None forgets the slots, not the
            iterations: what compiling again does in Keras.

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

    def __init__(self, **kwargs):
        for name in kwargs:
            if name not in ("clipnorm", "clipvalue"):
                raise TypeError(f"Unexpected keyword argument passed to optimizer: {name} (in {type(self).__name__})")
        self.__dict__.update(kwargs)
        self.iterations = Iterations(self)

    def __setattr__(self, name, value):
        """`optimizer.lr = 0.1` changes the number, not the object that others may hold."""
        held = self.__dict__.get(name)
        if not isinstance(held, (Hyperparameter, Symbol)) or isinstance(value, (Hyperparameter, Symbol)):
            super().__setattr__(name, value)
        elif isinstance(held, Hyperparameter):
            held.value = value
        else:
            held.value = np.asarray(value, held.dtype)

    def _keep(self, epsilon=None, **numbers):
        """Keep an epsilon, and numbers as hyperparameters."""
        self.epsilon = config.epsilon() if epsilon is None else epsilon
        for name, value in numbers.items():
            setattr(self, name, Hyperparameter(value, name))
        self.initial_decay = float(numbers.get("decay", 0.0))

    def init(self, params) -> OptimizerState:
        """The state before the first update: zeros, or what `set_weights` was given before."""
        slots = {name: jax.tree.map(lambda leaf, name=name: self.slot(name, leaf), params) for name in self.slot_names}
        scalars = {name: _float_type().type(value) for name, value in self.first_scalars.items()}
        state = OptimizerState(self.iterations.start, self.hyperparameters(), scalars, slots)
        return state if self._loaded is None else self._restored(state, self._loaded)

    def update(self, gradients, state, params=None):
        """What to add to the parameters, and the next state; pure.

        Arguments:
            gradients: a tree like the parameters.
            state: an `OptimizerState`.
            params: not needed.
        """
        del params
        now = types.SimpleNamespace(**state.hyperparameters, **state.scalars)
        now.t = state.iterations.astype(np.float32) + 1
        now.rate = getattr(now, "lr", None)
        if self.initial_decay > 0:
            now.rate = now.lr * (1.0 / (1.0 + now.decay * (now.t - 1)))
        self.prepare(now)
        scalars = {name: getattr(now, name).astype(old.dtype) for name, old in state.scalars.items()}
        leaves, treedef = jax.tree.flatten(gradients)
        wide = self._clipped([leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves])
        slots = [treedef.flatten_up_to(state.slots[name]) for name in self.slot_names]
        results = [self.rule(now, gradient, *old) for gradient, *old in zip(wide, *slots, strict=True)]
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
        raise NotImplementedError(f"{type(self).__name__} has neither a `rule` nor an `update` of its own.")

    def hyperparameters(self) -> dict:
        """name -> current value of the numbers that may be changed while training."""
        return {name: held.value for name, held in vars(self).items() if type(held) is Hyperparameter}

    def with_hyperparameters(self, state):
        """`state` with the current numbers in it. Call it before compiled steps: users may have set them meanwhile."""
        return state._replace(hyperparameters=self.hyperparameters())

    @property
    def state(self):
        return self._state

    @state.setter
    def state(self, state):
        if state is None:
            self.iterations.start = self.iterations.value
        self._state, self._loaded = state, None

    def _saved(self, state) -> list:
        """The arrays of `state` that are saved, in Keras's order."""
        saved = [state.iterations] if self.saves_iterations else []
        for leaves in (jax.tree.leaves(state.slots[name]) for name in self.slot_names):
            saved += leaves if self.order is None else [leaves[place] for place in self.order]
        return saved

    def _restored(self, state, weights):
        """`state` with `weights`, in the form of `_saved`, in it."""
        leaves, treedef = jax.tree.flatten(state)
        places = self._saved(treedef.unflatten(range(len(leaves))))
        name = f"{type(self).__name__}.set_weights"
        if len(places) != len(weights):
            raise ValueError(
                f"{name}: Length of the specified weight list ({len(weights)}) does not match the number of weights of "
                f"the optimizer ({len(places)})"
            )
        for place, weight in zip(places, weights, strict=True):
            expected, given = np.shape(leaves[place]), np.shape(weight)
            if expected != given:
                raise ValueError(
                    f"{name}: Optimizer weight shape {expected} not compatible with provided weight shape {given}"
                )
            leaves[place] = np.asarray(weight, leaves[place].dtype)
        return treedef.unflatten(leaves)

    def get_weights(self) -> list:
        """The optimizer's arrays, as numpy arrays in the order in which Keras 2.2.4 saves them; [] before training.

        RMSprop, Adagrad and Adadelta do not save the number of updates, nor Nadam its momentum schedule: as in Keras
        these start again after loading.
        """
        if self.state is None:
            return [np.array(weight) for weight in self._loaded or []]
        weights = [np.array(weight) for weight in jax.device_get(self._saved(self.state))]
        if self.saves_iterations:
            weights[0] = weights[0].astype(np.int64)
        return weights

    def set_weights(self, weights) -> None:
        """Take over arrays in the form of `get_weights`; before training they are kept for `init`, which checks them.

        Raises:
            ValueError: if their number or a shape does not fit.
        """
        weights = [np.asarray(weight) for weight in weights]
        if self.state is None:
            self._loaded = weights
        else:
            self.state = self._restored(self.state, weights)

    def get_config(self) -> dict:
        """The arguments of the constructor, as plain numbers."""
        kept = {name: getattr(self, name) for name in ("clipnorm", "clipvalue") if hasattr(self, name)}
        kept |= config_from_signature(self)
        return {name: float(held) if isinstance(held, Hyperparameter) else held for name, held in kept.items()}

    @classmethod
    def from_config(cls, config):
        """The optimizer of a `get_config`."""
        return cls(**config)


# ----------------------------------------------------------------------------------------------------- the variants
#
# In the formulas g is the gradient, t = 1, 2, ... the number of the update, and lr the learning rate after decay:
# lr / (1 + decay * (t - 1)). As in Keras 2.2.4 `decay` has no effect if it was 0 when the optimizer was made.


class SGD(Optimizer):
    """Gradient descent: v = momentum * v - lr * g; the update is v, with Nesterov momentum momentum * v - lr * g.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        momentum: how much of the last update is kept.
        nesterov: whether to look ahead.

    Reference: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    slot_names = ("v",)

    def __init__(self, lr=0.01, momentum=0.0, decay=0.0, nesterov=False, **kwargs):
        super().__init__(**kwargs)
        self._keep(lr=lr, momentum=momentum, decay=decay)
        self.nesterov = nesterov

    def rule(self, now, g, v):
        v = now.momentum * v - now.rate * g
        return (now.momentum * v - now.rate * g if self.nesterov else v), v


class RMSprop(Optimizer):
    """a = rho * a + (1 - rho) * g^2; the update is -lr * g / (sqrt(a) + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        rho: how much of the running mean of squares is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Hinton, Neural Networks for Machine Learning, lecture 6, 2012.
    """

    slot_names = ("a",)
    saves_iterations = False

    def __init__(self, lr=0.001, rho=0.9, epsilon=None, decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, rho=rho, decay=decay)

    def rule(self, now, g, a):
        a = now.rho * a + (1.0 - now.rho) * jnp.square(g)
        return -now.rate * g / (jnp.sqrt(a) + self.epsilon), a


class Adagrad(Optimizer):
    """a = a + g^2; the update is -lr * g / (sqrt(a) + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Duchi et al., Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, 2011.
    """

    slot_names = ("a",)
    saves_iterations = False

    def __init__(self, lr=0.01, epsilon=None, decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, decay=decay)

    def rule(self, now, g, a):
        a = a + jnp.square(g)
        return -now.rate * g / (jnp.sqrt(a) + self.epsilon), a


class Adadelta(Optimizer):
    """a = rho * a + (1 - rho) * g^2; u = g * sqrt(d + epsilon) / sqrt(a + epsilon) with the old d;
    d = rho * d + (1 - rho) * u^2; the update is -lr * u.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        rho: how much of the running means of squares is kept; fixed once compiled.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Zeiler, ADADELTA: An Adaptive Learning Rate Method, arXiv:1212.5701.
    """

    slot_names = ("a", "d")
    saves_iterations = False

    def __init__(self, lr=1.0, rho=0.95, epsilon=None, decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, decay=decay)
        self.rho = rho

    def rule(self, now, g, a, d):
        a = self.rho * a + (1.0 - self.rho) * jnp.square(g)
        u = g * jnp.sqrt(d + self.epsilon) / jnp.sqrt(a + self.epsilon)
        return -now.rate * u, a, self.rho * d + (1.0 - self.rho) * jnp.square(u)


class Adam(Optimizer):
    """m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g^2; the update is
    -lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon); AMSGrad takes the largest v so far for v.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        beta_1, beta_2: how much of the running means of g and of g^2 is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.
        amsgrad: whether to never let v fall.

    Reference: Kingma, Ba, arXiv:1412.6980; Reddi et al., On the Convergence of Adam and Beyond, 2018.
    """

    slot_names = ("m", "v", "vhat")

    def __init__(self, lr=0.001, beta_1=0.9, beta_2=0.999, epsilon=None, decay=0.0, amsgrad=False, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2, decay=decay)
        self.amsgrad = amsgrad

    def slot(self, name, leaf, shape=None):
        # Files of Keras hold one zero per weight where AMSGrad would have its maximum.
        return super().slot(name, leaf, (1,) if name == "vhat" and not self.amsgrad else shape)

    def prepare(self, now):
        now.rate = now.rate * (jnp.sqrt(1.0 - now.beta_2**now.t) / (1.0 - now.beta_1**now.t))

    def rule(self, now, g, m, v, vhat):
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        v = now.beta_2 * v + (1.0 - now.beta_2) * jnp.square(g)
        vhat = jnp.maximum(vhat, v) if self.amsgrad else vhat
        return -now.rate * m / (jnp.sqrt(vhat if self.amsgrad else v) + self.epsilon), m, v, vhat


class Adamax(Optimizer):
    """m = beta_1 * m + (1 - beta_1) * g; u = max(beta_2 * u, |g|);
    the update is -lr / (1 - beta_1^t) * m / (u + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        beta_1, beta_2: how much of the running mean of g and of the largest |g| is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Kingma, Ba, Adam: A Method for Stochastic Optimization, section 7, arXiv:1412.6980.
    """

    slot_names = ("m", "u")

    def __init__(self, lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=None, decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2, decay=decay)

    def prepare(self, now):
        now.rate = now.rate / (1.0 - now.beta_1**now.t)

    def rule(self, now, g, m, u):
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        u = jnp.maximum(now.beta_2 * u, jnp.abs(g))
        return -now.rate * m / (u + self.epsilon), m, u


class Nadam(Optimizer):
    """Adam with Nesterov momentum: with m and v as in Adam, mu(t) = beta_1 * (1 - 0.96^(t * schedule_decay) / 2) and
    M = mu(1) * ... * mu(t), the update is -lr / (sqrt(v / (1 - beta_2^t)) + epsilon)
    * ((1 - mu(t)) * g / (1 - M) + mu(t+1) * m / (1 - M * mu(t+1))).

    Arguments:
        lr: learning rate.
        beta_1, beta_2: how much of the running means of g and of g^2 is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.
        schedule_decay: how fast the momentum warms up; fixed once compiled.

    Reference: Dozat, Incorporating Nesterov Momentum into Adam, 2015.
    """

    slot_names = ("m", "v")
    first_scalars = {"m_schedule": 1.0}

    def __init__(self, lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=None, schedule_decay=0.004, **kwargs):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2)
        self.schedule_decay = schedule_decay

    def prepare(self, now):
        now.mu, now.next_mu = (now.beta_1 * (1.0 - 0.5 * 0.96 ** (t * self.schedule_decay)) for t in (now.t, now.t + 1))
        now.m_schedule = now.m_schedule * now.mu
        now.v_scale = 1.0 - now.beta_2**now.t

    def rule(self, now, g, m, v):
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        v = now.beta_2 * v + (1.0 - now.beta_2) * jnp.square(g)
        ahead = now.next_mu * (m / (1.0 - now.m_schedule * now.next_mu))
        ahead = (1.0 - now.mu) * (g / (1.0 - now.m_schedule)) + ahead
        return -now.rate * ahead / (jnp.sqrt(v / now.v_scale) + self.epsilon), m, v


# ------------------------------------------------------------------------------------------------- other optimizers


class OptaxOptimizer(Optimizer):
    """An optax transformation where a Keras optimizer is expected.

    Made with `optax.inject_hyperparams(...)(learning_rate=number)` its rate is `lr`, and callbacks can change it.

    Arguments:
        transformation: anything with `init(params)` and `update(gradients, state, params)`.
    """

    def __init__(self, transformation):
        super().__init__()
        import optax

        self.optax, self._trees = transformation, optax.tree_utils
        try:
            rate = self._trees.tree_get(transformation.init({}), "learning_rate")
        except Exception:  # whatever a transformation may raise on no parameters: it then has no rate to be set
            rate = None
        if rate is not None:
            self._keep(lr=rate)

    def init(self, params):
        state = OptimizerState(self.iterations.start, {}, {}, self.optax.init(params))
        return state if self._loaded is None else self._restored(state, self._loaded)

    def update(self, gradients, state, params=None):
        updates, slots = self.optax.update(gradients, state.slots, params)
        return updates, state._replace(iterations=state.iterations + 1, slots=slots)

    def with_hyperparameters(self, state):
        if hasattr(self, "lr"):
            state = state._replace(slots=self._trees.tree_set(state.slots, learning_rate=self.lr.value))
        return state

    def _saved(self, state):
        return [state.iterations, *jax.tree.leaves(state.slots)]

    def get_config(self):
        raise NotImplementedError(
            "An optax transformation has no config. Save the model with include_optimizer=False, and compile it again."
        )


class TFOptimizer(Optimizer):
    """Where Keras wraps an optimizer of TensorFlow: not available."""

    def __init__(self, optimizer=None):
        raise NotImplementedError(
            "TFOptimizer: there is no TensorFlow here. Pass an optax transformation instead, as optax.adamw(1e-3)."
        )


sgd, rmsprop, adagrad, adadelta, adam, adamax, nadam = SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam

_BUILT_IN = (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam, TFOptimizer)
_CLASSES = {found.__name__.lower(): found for found in _BUILT_IN}


def serialize(optimizer):
    """The class name and the config of an optimizer."""
    return serialize_keras_object(optimizer)


def deserialize(config: dict, custom_objects: dict | None = None):
    """The optimizer of a dict of `class_name` (of built-in ones in any case) and `config`.

    Raises:
        ValueError: if the name is unknown.
    """
    name = str(config.get("class_name", ""))
    if name.lower() in _CLASSES:
        config = {**config, "class_name": name.lower()}
    return deserialize_keras_object(config, _CLASSES, custom_objects, printable_module_name="optimizer")


def get(identifier):
    """The optimizer that `identifier` means.

    Arguments:
        identifier: a name, a dict of `class_name` and `config`, an `Optimizer`, or any optax transformation.

    Raises:
        ValueError: if it is none of these, or the name is unknown.
        NotImplementedError: for an optimizer whose `get_updates` lists assignments and which has no `update`.
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}})
    if isinstance(identifier, Optimizer):
        own = type(identifier)
        if hasattr(own, "get_updates") and own.update is Optimizer.update and own.rule is Optimizer.rule:
            raise NotImplementedError(
                f"{own.__name__} says by get_updates(loss, params) how to train. Give it slot_names and a rule instead "
                "(see jkeras.optimizers.Optimizer), or pass an optax transformation."
            )
        return identifier
    if hasattr(identifier, "init") and hasattr(identifier, "update") and not isinstance(identifier, type):
        return OptaxOptimizer(identifier)
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected a name, a dict of 'class_name' and "
        "'config', an optimizer of jkeras.optimizers (an instance, not the class), or an optax transformation."
    )
