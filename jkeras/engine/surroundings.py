"""The variables from outside that losses, metrics and penalties read: part of the training state."""

from jkeras.graph.layer import OUTSIDE
from jkeras.graph.scope import Finder

__all__ = ["PLACE", "Surroundings"]

PLACE = OUTSIDE


class Surroundings:
    """What surrounds the steps of `model`.

    Attributes:
        variables: those from outside the model, in the order in which they were found.
    """

    def __init__(self, model):
        self.model = model
        self.variables: list = []
        self.finder = None

    def names(self) -> dict:
        """name -> variable, of those that the model's layers read and of those that were found."""
        own = self.model.outside
        new = [variable for variable in self.variables if variable not in own.values()]
        return own | {f"{place:04}": variable for place, variable in enumerate(new, len(own))}

    def tree(self) -> dict:
        """The variables from outside, as they stand in the tree of state."""
        found = self.names()
        return {PLACE: found} if found else {}

    def finding(self):
        """Around an abstract run that may meet new variables; `grow` afterwards."""
        self.finder = Finder()
        return self.finder

    def grow(self) -> bool:
        """Take up the variables that the last abstract run met; whether there were any."""
        new = list(self.finder.found)
        self.variables += new
        return bool(new)

    def __call__(self, params, state, key, training):
        """The scope around one step on `params` and `state`."""
        return self.model.bind(params, state, key=key, training=training, also=self.names())
