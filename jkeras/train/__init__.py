"""Training as pure functions: a model's pure pair, a loss and an optimizer become one step; the loop runs steps.

    init_state, step = make_step(model, loss, optimizer)

Nothing here knows a layer: everything is handed in as functions.
"""

from jkeras.train.state import TrainState
from jkeras.train.step import make_step

__all__ = ["TrainState", "make_step"]
