"""Training as pure functions: a model's core, a loss and an optimizer become one step; the loop runs steps.

    init_state, step = make_step(model, loss, optimizer)

Nothing here knows a layer: everything is handed in as functions.
"""

from jkeras.train.mapping import Meshed, OneDevice, Pmapped
from jkeras.train.observe import Observer, View
from jkeras.train.state import TrainState
from jkeras.train.step import Steps, make_step

__all__ = ["Meshed", "Observer", "OneDevice", "Pmapped", "Steps", "TrainState", "View", "make_step"]
