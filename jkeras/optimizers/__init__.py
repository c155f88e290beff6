"""Optimizers with the arithmetic of Keras 2.2.4: a pure rule, and an object that is a view of the run.

    optimizer.as_rule(weights)                            -> rule
    rule.init(params)                                     -> state
    rule(gradients, state, params, value=loss, key=key)   -> params, state       (pure; see `train.rule`)

`params` is any tree of arrays. The numbers that users change while training (`lr`, `momentum`, ...) are part of the
state, so that a new learning rate compiles nothing. `optimizer.init` and `optimizer.update` are the same in the form of
optax, without constraints.

A variant, also one of the user's, says how to train in one of two ways:

* by a formula for one array: `slot_names` names what is kept for each parameter, and `rule(now, gradient, *slots)`
  gives the update and the next slots;
* as in Keras 2.2.4: `get_updates(loss, params)` lists updates of variables. They become a function of the same kind.

`optimizer.watch(source)` lets the object show a run: `lr`, `iterations`, `weights`, `get_weights` and the variables
that users keep read its state, and setting them sets it.
"""

from typing import Any

from jkeras.optimizers.base import Optimizer
from jkeras.optimizers.formula import clip_norm
from jkeras.optimizers.optax import OptaxOptimizer, TFOptimizer
from jkeras.optimizers.state import Hyperparameter, OptimizerState
from jkeras.optimizers.variants import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop
from jkeras.serialize.objects import deserialize_keras_object, serialize_keras_object  # noqa: F401

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Hyperparameter", "Nadam", "OptaxOptimizer", "Optimizer",
    "OptimizerState", "RMSprop", "TFOptimizer", "clip_norm", "deserialize", "get", "serialize",
]  # fmt: skip

sgd, rmsprop, adagrad, adadelta, adam, adamax, nadam = SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam

_BUILT_IN = (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam, TFOptimizer)
_CLASSES = {found.__name__.lower(): found for found in _BUILT_IN}


def serialize(optimizer: Optimizer) -> dict:
    """The class name and the config of an optimizer."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def deserialize(config: dict, custom_objects: dict | None = None) -> Optimizer:
    """The optimizer of a dict of `class_name` (of built-in ones in any case) and `config`.

    Raises:
        ValueError: if the name is unknown.
    """
    name = str(config.get("class_name", ""))
    if name.lower() in _CLASSES:
        config["class_name"] = name.lower()  # in the dict that was given, as Keras does and its users compare
    return deserialize_keras_object(config, _CLASSES, custom_objects, printable_module_name="optimizer")


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` means.

    Arguments:
        identifier: a name, a dict of `class_name` and `config`, an `Optimizer`, or any optax transformation.

    Raises:
        ValueError: if it is none of these, or the name is unknown.
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}})
    if isinstance(identifier, Optimizer):
        return identifier
    if hasattr(identifier, "init") and hasattr(identifier, "update") and not isinstance(identifier, type):
        return OptaxOptimizer(identifier)
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected a name, a dict of 'class_name' and "
        "'config', an optimizer of jkeras.optimizers (an instance, not the class), or an optax transformation."
    )
