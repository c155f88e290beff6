"""What Keras asks a layer about its calls: what they add to the loss, what they update, whether the phase matters."""

from collections.abc import Callable
from typing import Any

from jkeras import trees
from jkeras.graph.scope import current_scope
from jkeras.graph.value import as_arrays

__all__ = ["Questions", "StateUpdate"]


class StateUpdate(tuple):
    """A pair (variable, symbol of its next value), and in `beside` those that go with it."""

    beside: tuple = ()


def _same(inputs, others) -> bool:
    """Whether two inputs (symbols, or lists of them) are the same symbols."""
    inputs, others = trees.as_list(inputs), trees.as_list(others)
    return len(inputs) == len(others) and all(one is other for one, other in zip(inputs, others, strict=True))


class Questions:
    """What a layer answers about losses and updates. Those that a call makes are conditional on its inputs."""

    name: str
    trainable: bool
    stateful: bool
    _inbound_nodes: list
    _added: dict
    variables: Callable
    sublayers: Callable
    #: Whether the outputs depend on whether it is training, where the layer says so itself.
    uses_learning_phase = False

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add scalars to the loss: inside `call` those of this call, outside of it symbols.

        Arguments:
            losses: a scalar (a symbol, or a number), or a list of them.
            inputs: the symbol(s) that they depend on, for `get_losses_for`.
        """
        losses = [] if losses is None else losses if isinstance(losses, (list, tuple)) else [losses]
        scope = current_scope()
        if scope is None:
            self._added["losses"] += [(loss, inputs) for loss in losses]
        else:
            scope.add_losses(as_arrays(losses), self)

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Inside `call`, ask for updates: pairs (variable, next value) that a training step carries out. Outside of it
        they are noted for `updates` and `get_updates_for`.

        Arguments:
            updates: a pair, or a list of pairs.
            inputs: the symbol(s) that they depend on.
        """
        updates = [] if updates is None or updates == [] else updates if isinstance(updates, list) else [updates]
        scope = current_scope()
        if scope is None:
            self._added["updates"] += [(update, inputs) for update in updates]
            return
        for variable, value in updates:
            scope.update(getattr(variable, "variable", variable), as_arrays(value))

    @property
    def added_losses(self) -> list:
        """The symbols and numbers added to the loss outside of calls, to this layer and to those it is made of."""
        return [loss for loss, _ in self._all_added("losses")]

    @property
    def asked_calls(self) -> list:
        """The calls about which `losses` and `updates` tell: those of the layer."""
        return self._inbound_nodes

    @property
    def losses(self) -> list:
        """The symbols of what regularizers of weights and calls add to the loss, and of what was added."""
        calls = [loss for node in self.asked_calls for loss in node.losses]
        return self._penalties() + calls + self.added_losses

    @property
    def updates(self) -> list:
        """Pairs (variable, symbol of its next value) of what calls update, and what was added; none of a layer that is
        frozen and not stateful."""
        if not (self.trainable or self.stateful):
            return []
        calls = [pair for node in self.asked_calls for pair in _updates_of(node)]
        return calls + [update for update, _ in self._all_added("updates")]

    def get_losses_for(self, inputs: Any = None) -> list:
        """Those of `losses` that depend on `inputs`, the symbol(s) of a call; with None those that depend on none."""
        added = [loss for loss, given in self._all_added("losses") if _same(given, inputs)]
        if inputs is None:
            return self._penalties() + added
        return [loss for node in self._inbound_nodes if _same(node.call_inputs, inputs) for loss in node.losses] + added

    def get_updates_for(self, inputs: Any = None) -> list:
        """Those of `updates` that depend on `inputs`, the symbol(s) of a call; with None those that depend on none."""
        if not (self.trainable or self.stateful):
            return []
        calls = [node for node in self._inbound_nodes if _same(node.call_inputs, inputs)]
        added = [update for update, given in self._all_added("updates") if _same(given, inputs)]
        return [pair for node in calls for pair in _updates_of(node)] + added

    def _penalties(self) -> list:
        penalties = (variable.penalty for _, variable in trees.leaves(self.variables()[0]))
        return [penalty for penalty in dict.fromkeys(penalties) if penalty is not None]

    def _all_added(self, what: str) -> list:
        """(what was added, what it depends on) to this layer and to those it is made of."""
        inner = [one for layer in self.sublayers().values() for one in layer._all_added(what)]
        return self._added[what] + inner


def _updates_of(node: Any) -> list:
    """What a call updates that is a weight; what is none goes with it."""
    unsaved = set(node.layer.unsaved_variables())
    pairs = [StateUpdate(pair) for pair in node.updates.items() if pair[0] not in unsaved]
    rest = tuple(pair for pair in node.updates.items() if pair[0] in unsaved)
    if pairs:
        pairs[0].beside = rest
        return pairs
    return [StateUpdate(pair) for pair in rest]
