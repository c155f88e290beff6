"""Where a NaN or an infinity began: one training step, looked at layer by layer, forward and backward."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import traits, trees
from jkeras.data.checks import wrong_labels
from jkeras.graph.function import observed
from jkeras.serialize import checkpoint
from jkeras.train.mapping import copied, whole
from jkeras.train.observe import Observer, View
from jkeras.train.state import TrainState
from jkeras.typing import PathLike

__all__ = ["Watch", "diagnose", "reproduce"]


@jax.jit
def _finite(tree):
    """Whether all floating-point numbers in `tree` are finite."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    return jnp.all(jnp.asarray([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def _is_fine(tree) -> bool:
    return bool(_finite(tree))


def _result(train_state):
    """What must be finite after a step: metrics may have their reasons not to be."""
    return train_state.params, train_state.state, train_state.metrics["sums"]["loss"]


class Watch(Observer):
    """Looks after each dispatch whether its result is finite; see `callbacks.NaNPostMortem`.

    Arguments:
        trainer: what trains; directory: where to write a bad step.
    """

    def __init__(self, trainer: Any, directory: str):
        self.trainer, self.directory = trainer, directory
        self._before: Any = None

    def before(self, view: View):
        # A copy of the state, whose memory the dispatch takes over.
        self._before = copied(whole(view.train_state))

    def after(self, view: View):
        """Look at the result of a dispatch.

        Raises:
            FloatingPointError: if it is not finite, naming where that began.
        """
        if _is_fine(_result(whole(view.train_state))):
            return
        now, data = self._before, ()
        step = jax.jit(self.trainer.steps.train)
        for made in view.batches:
            data = made()
            after, _ = step(now, data)
            if not _is_fine(_result(after)):
                break
            now = after
        view.train_state = now
        found = diagnose(self.trainer, now, data)
        path = os.path.join(self.directory, f"step_{int(now.step)}.npz")
        os.makedirs(self.directory, exist_ok=True)
        leaves = jax.device_get(jax.tree.leaves(now))
        checkpoint.write(path, {"finding": found, "leaves": leaves, "data": jax.tree.map(np.asarray, list(data))})
        raise FloatingPointError(f"Step {int(now.step)}: {found['message']} What reproduces it is in {path}.")


def reproduce(trainer: Any, path: PathLike) -> dict:
    """Repeat the step in a file that `Watch` wrote; the trainer takes over the state from before it.

    Raises:
        ValueError: if the file is of another model, or damaged.
    """
    saved = checkpoint.read(path)
    data = tuple(saved["data"])
    with trainer.core.precision():
        leaves, treedef = jax.tree.flatten(trainer.first("train", lambda: (data, None)))
        shapes = [[np.shape(leaf) for leaf in part] for part in (leaves, saved["leaves"])]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{path} is of another model: it has arrays of the shapes {shapes[1]}, this one {shapes[0]}."
            )
        train_state = treedef.unflatten([jnp.asarray(leaf) for leaf in saved["leaves"]])
        trainer.restore(train_state)
        return diagnose(trainer, train_state, data)


# ----------------------------------------------------------------------------------------------------- one step


def diagnose(trainer: Any, train_state: TrainState, data: tuple) -> dict:
    """Where the first number that is not finite came from in a training step on `data`.

    Returns:
        A dict of 'where', 'name' and 'message'; see `callbacks.NaNPostMortem.reproduce`.
    """
    steps = trainer.steps
    params = trees.merge(train_state.params, train_state.frozen)
    found = _in_data(trainer, data) or _in_weights(trainer, params, train_state.state)
    if found:
        return found
    key = steps.batch_key(train_state)
    forward = _Forward()
    with observed(forward):
        _, (state, _) = steps.evaluate(params, train_state.state, data, key, True)
    found = forward.found or _in_losses(trainer, params, train_state.state, data, key)
    if found:
        return found
    gradients, found = _backward(trainer, forward, train_state, data, key)
    found = found or _in_update(trainer, train_state, data, gradients)
    return found or _finding("step", "", "the step as it was compiled only")


def _finding(where, name, what):
    return {"where": where, "name": name, "message": f"NaN or infinity in {what}."}


def _in_data(trainer, data):
    inputs, targets, weights = data
    named = [("input", name, array) for name, array in zip(trainer.core.network.input_names, inputs, strict=True)]
    made = zip(trainer.steps.objective.outputs, trainer.core.network.outputs, strict=True)
    outputs = [(output, symbol.shape) for output, symbol in made if output.loss]
    names = [output.name for output, _ in outputs]
    named += [("target", name, array) for name, array in zip(names, targets, strict=True)]
    named += [("sample weight", name, array) for name, array in zip(names, weights, strict=True) if array is not None]
    for kind, name, array in named:
        if not _is_fine(array):
            return _finding("input", name, f"the {kind} {name!r} of the batch")
    for (output, shape), target in zip(outputs, targets, strict=True):  # those on a device were not looked at before
        if traits.of(output.loss).targets == "classes" and shape[-1] is not None:
            wrong = wrong_labels(target, shape[-1])
            if wrong:
                return _finding("input", output.name, f"the loss: the target {output.name!r} of the batch has {wrong}")
    return None


def _in_weights(trainer, params, state):
    for variables, values in zip(trainer.core.variables, (params, state), strict=True):
        for variable, value in zip(jax.tree.leaves(variables), jax.tree.leaves(values), strict=True):
            if not _is_fine(value):
                return _finding("weights", variable.name, f"the weight {variable.name!r}, before the step")
    return None


class _Observer:
    """Follows the calls of layers, also inside models that are layers."""

    def __init__(self):
        self.path: list = []
        self.count = 0

    def __call__(self, node, execution):
        place, self.count = self.count, self.count + 1
        layer = getattr(node, "layer", None)
        self.path.append(getattr(layer or getattr(node, "function", None), "name", type(node).__name__))
        try:
            self.visit(place, node, execution)
        finally:
            self.path.pop()

    @property
    def name(self):
        """The layer's name, after those of the models it is in."""
        return "/".join(self.path)


class _Forward(_Observer):
    """Notes the calls, and the first one whose outputs, state or losses are not finite.

    Attributes:
        calls: place -> (name, inner calls or not, layer), of calls whose values were at hand (not in loops or maps).
    """

    def __init__(self):
        super().__init__()
        self.found = None
        self.calls: dict = {}

    def visit(self, place, node, execution):
        losses = len(execution.losses)
        inside = self.count
        node.evaluate(execution)
        values = [execution.values[symbol] for symbol in node.outputs]
        if any(isinstance(value, jax.core.Tracer) for value in jax.tree.leaves(values)):
            return
        has_inner = any(number in self.calls for number in range(inside, self.count))
        self.calls[place] = (self.name, has_inner, getattr(node, "layer", None))
        for what, made in (
            ("the output", values),
            ("the next state", execution.weights(node.layer, execution.moved)[1] if node.layer else {}),
            ("the added losses", execution.losses[losses:]),
        ):
            if self.found is None and not _is_fine(made):
                self.found = _finding("forward", self.name, f"{what} of the layer {self.name!r}")


def _in_losses(trainer, params, state, data, key):
    """The loss or penalty that is not finite though the outputs are."""
    steps = trainer.steps
    inputs, targets, weights = data
    with steps.core.bind(params, state, key=key, training=True) as bound:
        call = bound.run(inputs)
        outputs = zip(steps.objective.outputs, trees.as_list(call.outputs), trees.as_list(call.mask), strict=True)
        with_loss = [each for each in outputs if each[0].loss]
        for (output, prediction, mask), target, weight in zip(with_loss, targets, weights, strict=True):
            total = type(steps.objective)([output])([prediction], [mask], [target], [weight])[0]
            if not _is_fine(total):
                name = getattr(output.loss, "__name__", type(output.loss).__name__)
                return _finding("loss", name, f"the loss {name!r} of the output {output.name!r}")
        for name, layer in trainer.core.network.sublayers().items():
            if not _is_fine(layer.regularization(params.get(name, {}))):
                return _finding("loss", layer.name, f"the weight penalties of the layer {layer.name!r}")
        if not _is_fine(call.losses):
            return _finding("loss", "add_loss", "a loss that was added by add_loss")
    return None


class _Backward(_Observer):
    """Adds to every floating-point input of every noted call a zero, whose gradient is what the call sends back.

    Arguments:
        calls: see `_Forward`.
        zeros: place -> list of arrays, or None to only note the shapes.
    """

    def __init__(self, calls, zeros=None):
        super().__init__()
        self.calls, self.zeros, self.shapes = calls, zeros, {}

    def visit(self, place, node, execution):
        if place not in self.calls:
            node.evaluate(execution)
            return
        inputs = [symbol for symbol in dict.fromkeys(node.inputs) if symbol in execution.values]
        inputs = [s for s in inputs if jnp.issubdtype(jnp.result_type(execution.values[s]), jnp.floating)]
        kept = {symbol: jnp.asarray(execution.values[symbol]) for symbol in inputs}
        self.shapes[place] = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in kept.values()]
        if self.zeros is not None:
            for symbol, zero in zip(inputs, self.zeros[place], strict=True):
                execution.values[symbol] = kept[symbol] + zero
        node.evaluate(execution)
        execution.values.update(kept)


def _backward(trainer, forward, train_state, data, key):
    """The gradients, and the call or loss whose backward pass made the first number that is not finite."""
    steps = trainer.steps

    def total(params, zeros, after):
        observer = _Backward(forward.calls, zeros)
        with observed(observer):
            result = _with_zeros_behind(
                steps, trees.merge(params, train_state.frozen), train_state.state, data, key, after
            )
        shapes.update(observer.shapes)
        return result

    shapes: dict = {}
    after = _no_zeros(steps, trees.merge(train_state.params, train_state.frozen), train_state.state, data, key)
    jax.eval_shape(lambda params: total(params, None, after), train_state.params)
    zeros = {place: [jnp.zeros(s.shape, s.dtype) for s in found] for place, found in shapes.items()}
    gradients, sent, arrived = jax.grad(total, argnums=(0, 1, 2))(train_state.params, zeros, after)
    if not _is_fine(arrived):
        names = [getattr(o.loss, "__name__", "loss") for o in steps.objective.outputs if o.loss]
        bad = [name for name, part in zip(names, arrived, strict=False) if not _is_fine(part)]
        name = bad[0] if bad else "loss"
        return gradients, _finding("backward", name, f"the gradient of the loss {name!r}")
    for place in sorted(shapes, reverse=True):
        name, has_inner, layer = forward.calls[place]
        if has_inner:
            continue  # a model that is a layer: its own layers tell
        weights = set() if layer is None else set(jax.tree.leaves(layer.variables()[0]))
        pairs = zip(jax.tree.leaves(trainer.trained), jax.tree.leaves(gradients), strict=True)
        own = [gradient for variable, gradient in pairs if variable in weights]
        if not _is_fine((sent[place], own)):
            return gradients, _finding("backward", name, f"the gradient of the layer {name!r} (its output is finite)")
    return gradients, None


def _no_zeros(steps, params, state, data, key):
    """A zero for each output that has a loss."""

    def outputs():
        with steps.core.bind(params, state, key=key, training=True) as bound:
            return trees.as_list(bound.run(data[0]).outputs)

    call = jax.eval_shape(outputs)
    return [jnp.zeros(s.shape, s.dtype) for s, o in zip(call, steps.objective.outputs, strict=True) if o.loss]


def _with_zeros_behind(steps, params, state, data, key, after):
    """The total loss, a zero being added to each output on its way into its loss."""
    zeros = iter(after)

    def shifted(predictions, *others):
        moved = [p + next(zeros) if o.loss else p for p, o in zip(predictions, objective.outputs, strict=True)]
        return objective(moved, *others)

    objective = steps.objective
    return steps.evaluate(params, state, data, key, True, shifted)[0]


def _in_update(trainer, train_state, data, gradients):
    """The weight whose update or constraint is not finite though its gradient is."""
    steps, variables = trainer.steps, jax.tree.leaves(trainer.trained)
    for variable, gradient in zip(variables, jax.tree.leaves(gradients), strict=True):
        if not _is_fine(gradient):
            return _finding("backward", variable.name, f"the gradient of the weight {variable.name!r}")
    moved, _ = steps.updated(train_state, data, gradients, jnp.zeros(()))
    name = type(trainer.optimizer).__name__
    for what, tree in (("the update", moved), ("the constraint", steps.constrained(moved, train_state))):
        for variable, value in zip(variables, jax.tree.leaves(tree), strict=True):
            if not _is_fine(value):
                return _finding("optimizer", name, f"{what} of the weight {variable.name!r} by {name}")
    return None
