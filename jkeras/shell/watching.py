"""How the optimizer object sees the state of a run, until it is a view of it."""

import jax
import numpy as np

__all__ = ["claimed", "settled", "show"]


def claimed(trainer):
    """Make the optimizer tell of this trainer; gives the state to start with. Models that share an optimizer share its
    numbers, not its slots."""
    optimizer = trainer.optimizer
    if optimizer.owner is not trainer:
        leaves = {variable: place for place, variable in enumerate(jax.tree.leaves(trainer._variables["params"]))}
        state = trainer._opt_state if trainer._held is None else trainer._held.train_state.opt_state
        iterations = optimizer.iterations.value
        optimizer.state = None if state is None else state._replace(iterations=np.asarray(iterations))
        optimizer.order = [leaves[variable] for variable in trainer.core.trained if variable in leaves]
        optimizer.owner = trainer
    return optimizer.state


def settled(trainer, opt_state):
    """The state with what users set in the optimizer."""
    state = claimed(trainer)
    return trainer.optimizer.with_hyperparameters(opt_state if state is None else state)


def show(trainer, opt_state):
    """Let the optimizer tell of this state."""
    if trainer.optimizer is not None and trainer.optimizer.owner is trainer:
        trainer.optimizer.state = opt_state
