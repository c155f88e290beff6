"""What to do when a number is no longer finite: find out where that began."""

import os
from typing import Any

from jkeras.callbacks.base import Callback
from jkeras.callbacks.diagnosis import Watch, reproduce
from jkeras.typing import PathLike

__all__ = ["NaNPostMortem"]


class NaNPostMortem(Callback):
    """Stops training at the first step that makes a NaN or an infinity, and names the layer or loss that made it.

    Training runs as fast as without it, but for a copy of the state and a look at the result per dispatch. When the
    loss, a weight or a state is not finite, the dispatch is repeated step by step, the first bad step layer by layer,
    forward and backward. What reproduces it (state, key, step, batch) is written to a file, and a `FloatingPointError`
    with the finding is raised; the model keeps the state from before the bad step.

    Arguments:
        directory: where to write the file; made if it is not there.

    Raises:
        FloatingPointError: by `fit`, naming the place, the step and the file.

    Example:
        In a new process, with the model built and compiled by the same code::

            finding = NaNPostMortem.reproduce("nan/step_1234.npz", model)
            finding["name"], finding["where"]     # 'dense_2', 'backward'
    """

    def __init__(self, directory: PathLike):
        self.directory = os.fspath(directory)

    def observer(self, fitting: Any):
        return Watch(fitting.trainer, self.directory)

    @staticmethod
    def reproduce(path: PathLike, model: Any) -> dict:
        """Repeat the step in the file `path` on `model`, which takes over the state from before it.

        Returns:
            The finding: 'where' ('input', 'weights', 'forward', 'loss', 'backward', 'optimizer', or 'step' if nothing
            of it shows when the step is computed layer by layer), the 'name' of the layer ('model_1/dense_2' inside of
            a model), loss, input, weight or optimizer, and a 'message'.

        Raises:
            ValueError: if the file is of another model, or damaged.
        """
        return reproduce(model.trainer, path)
