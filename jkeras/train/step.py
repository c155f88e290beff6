"""Steps: a model's core, an objective and an optimizer's rule become pure functions `(train_state, data)`.

    train, test, predict: (train_state, data) -> (train_state, results)

`data` is (inputs, targets, weights), for `predict` inputs. What of the state a kind of step moves on, and what it only
reads, is said here once, so that a program can take over the memory of the one and leave the other alone.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import batch, config, random, traits, trees
from jkeras.train.core import Core, as_core
from jkeras.train.objective import Metric, Objective, Output
from jkeras.train.rule import Rule, as_rule, of_whole_batch
from jkeras.train.state import TrainState

__all__ = ["Steps", "batch_size", "make_step"]

# What each kind of step changes, and what it reads beside that; of the state, tests and predictions move a part only.
_MOVES = {
    "train": ("step", "params", "state", "opt_state", "metrics"),
    "test": ("state", "metrics"),
    "predict": ("step", "state"),
}
_READS = {
    "train": ("frozen", "key"),
    "test": ("params", "frozen", "state", "key"),
    "predict": ("params", "frozen", "state", "key"),
}
_NOTHING = TrainState(step=np.int32(0), params={}, frozen={}, state={}, opt_state=(), key=None, metrics={})


def batch_size(tree: Any) -> int:
    """The number of examples in a batch."""
    return jax.tree.leaves(tree)[0].shape[0]


class Steps:
    """The pure steps of a model with an objective and an optimizer's rule.

    Arguments:
        core: see `train.core.Core`.
        objective: see `train.objective`; none where there is only prediction.
        rule: see `train.rule`; none where nothing is trained.
    """

    def __init__(self, core: Core, objective: Objective | None = None, rule: Rule | None = None):
        self.core, self.rule = core, rule
        self.objective = objective or Objective([Output(name, None) for name in core.output_names])
        self._no_metrics = self._zeros()

    def init(self, key: Any, params: dict | None = None, state: dict | None = None) -> TrainState:
        """The first `TrainState`: weights drawn from `key` unless they are given."""
        assert self.rule is not None, "made for predictions only"
        key = random.as_key(key)
        with self.core.precision():
            if params is None or state is None:
                drawn = self.core.init(key.fold("init"))
                params, state = (given if given is not None else own for given, own in zip((params, state), drawn))  # noqa: B905
            state = self.core.outside() | state
            trainable, frozen = trees.split(params, self.core.is_trainable)
            return TrainState(
                step=jnp.zeros((), jnp.int32),
                # Copies: a step that is compiled with donation takes over their memory.
                params=jax.tree.map(jnp.array, trainable),
                frozen=jax.tree.map(jnp.array, frozen),
                state=jax.tree.map(jnp.array, state),
                opt_state=self.rule.init(trainable),
                key=dataclasses.replace(key, base=key.base.copy()),
                metrics=self.no_metrics(),
            )

    def no_metrics(self) -> dict:
        """Running sums of nothing yet."""
        return self._no_metrics

    def _zeros(self):
        running = self.objective.running
        zeros = {name: np.zeros((), np.float32) for name in ("loss", *self.objective.names)}
        return {
            "count": np.zeros((), np.float32),
            "sums": {name: zero for name, zero in zeros.items() if name not in running},
            "latest": {name: zeros[name] for name in running},
        }

    # ------------------------------------------------------------------------------------------- what moves, what not

    def parts(self, kind: str, train_state: TrainState) -> tuple[dict, dict]:
        """What a step of `kind` moves on, and what it only reads, as dicts of parts of the state."""
        moving = {name: getattr(train_state, name) for name in _MOVES[kind]}
        still = {name: getattr(train_state, name) for name in _READS[kind]}
        if kind != "train":
            moving["state"], still["state"] = trees.split(train_state.state, self._moves_on(kind))
        return moving, still

    def joined(self, train_state: TrainState, moving: dict, still: dict | None = None) -> TrainState:
        """`train_state` with the given parts in it."""
        still = still or {}
        state = trees.merge(moving["state"], still.get("state", train_state.state))
        return train_state.replace(**{**still, **moving, "state": state})

    def _moves_on(self, kind):
        if kind == "test":
            return self.core.moves_on
        # As in Keras, only stateful layers move while predicting.
        return lambda path: path[0] != trees.OUTSIDE and self.core.moves_on(path)

    def on_parts(self, kind: str):
        """The step of `kind` as a function `(moving, still, data) -> moving, results`."""
        step = getattr(self, kind)

        def on_parts(moving, still, data):
            train_state, results = step(self.joined(_NOTHING, moving, still), data)
            return self.parts(kind, train_state)[0], results

        return on_parts

    # -------------------------------------------------------------------------------------------------------- steps

    def batch_key(self, train_state: TrainState, number: Any = None):
        """The key of one batch."""
        assert train_state.key is not None, "steps draw from the key of a run"
        return train_state.key.step(train_state.step if number is None else number)

    def constrained(self, params: dict, train_state: TrainState):
        """The trained parameters with their constraints applied."""
        params = self.core.constrain(trees.merge(params, train_state.frozen), train_state.state)
        return trees.split(params, self.core.is_trainable)[0]

    def evaluate(
        self, params: dict, state: dict, data: tuple, key: Any, training: bool, objective: Objective | None = None
    ):
        """The total loss of a batch, and (next state, logs); `objective` may stand in for the own one."""
        inputs, targets, weights = data
        with self.core.bind(params, state, key=key, training=training) as bound:
            call = bound.run(inputs)
            outputs, masks = trees.as_list(call.outputs), trees.as_list(call.mask)
            total, logs = (objective or self.objective)(outputs, masks, targets, weights)
            for scalar in (*call.losses, *bound.penalties()):
                total = total + jnp.mean(jnp.asarray(scalar))
            state = bound.next_state()
        return total, (state, {"loss": total, **logs})

    def _loss(self, params, train_state, data):
        """The total loss of a training step with these trained parameters, and (next state, logs)."""
        params = trees.merge(params, train_state.frozen)
        return self.evaluate(params, train_state.state, data, self.batch_key(train_state), True)

    def _gradients(self, train_state, data):
        """The gradients of the loss by the trained parameters, and (next state, logs).

        Raises:
            ValueError: if it does not depend on any of them.
        """
        reached = []

        @jax.custom_jvp
        def noting(total):
            return total

        def noted(primals, tangents):
            if not isinstance(tangents[0], jax.custom_derivatives.SymbolicZero):
                reached.append(True)
            return primals[0], tangents[0]

        noting.defjvp(noted, symbolic_zeros=True)

        def loss(params):
            total, results = self._loss(params, train_state, data)
            return noting(total), results

        found = jax.grad(loss, has_aux=True)(train_state.params)
        if not reached and jax.tree.leaves(train_state.params):
            raise ValueError(
                "The loss has no gradient: it does not depend on any weight that is trained, or only through what has "
                "no derivative (argmax, round, comparisons, casts to integers, K.stop_gradient). Compute it from the "
                "outputs of layers by functions that have one, as K.softmax in place of K.argmax."
            )
        return found

    def updated(
        self, train_state: TrainState, data: tuple, gradients: dict, value: Any, constrain: Callable | None = None
    ):
        """The parameters and the optimizer's state after one update by the rule."""
        assert self.rule is not None, "made for predictions only"
        return self.rule(
            gradients,
            train_state.opt_state,
            train_state.params,
            value=value,
            key=self.batch_key(train_state).fold("optimizer"),
            value_fn=of_whole_batch(lambda params: self._loss(params, train_state, data)[0]),
            constrain=constrain,
        )

    def train(self, train_state: TrainState, data: tuple):
        """One step of training on a batch `(inputs, targets, weights)`: the next state, and the batch's logs."""
        gradients, (state, logs) = self._gradients(train_state, data)
        kept, _ = trees.split(train_state.state, self.core.keeps_state)
        gradients, logs, state = batch.means((gradients, logs, trees.merge(kept, state)))
        constrain = lambda params: self.constrained(params, train_state)  # noqa: E731
        params, opt_state = self.updated(train_state, data, gradients, logs["loss"], constrain)
        return train_state.replace(
            step=train_state.step + 1,
            params=params,
            state=state,
            opt_state=opt_state,
            metrics=_added(train_state.metrics, logs, batch_size(data)),
        ), logs

    def test(self, train_state: TrainState, data: tuple):
        """The next state and the losses and metrics of a batch; only running sums and what moves on change."""
        # Layers that draw whatever the phase: a key for each batch, known by the examples seen before.
        key = self.batch_key(train_state, train_state.metrics["count"].astype(jnp.int32))
        params = trees.merge(train_state.params, train_state.frozen)
        _, (after, logs) = self.evaluate(params, train_state.state, data, key, False)
        moved, _ = trees.split(after, self.core.moves_on)
        logs, moved = batch.means((logs, moved))
        state = trees.merge(moved, train_state.state)
        return train_state.replace(state=state, metrics=_added(train_state.metrics, logs, batch_size(data))), logs

    def predict(self, train_state: TrainState, inputs: Any):
        """The next state and the outputs, as a list, for a batch of inputs; `step` counts the batches."""
        key = self.batch_key(train_state)
        params = trees.merge(train_state.params, train_state.frozen)
        with self.core.bind(params, train_state.state, key=key, training=False) as bound:
            call = bound.run(inputs)
        moved = batch.means(trees.split(call.state, self._moves_on("predict"))[0])
        state = trees.merge(moved, train_state.state)
        return train_state.replace(step=train_state.step + 1, state=state), trees.as_list(call.outputs)


def _added(metrics, logs, size):
    size = size * batch.shards()
    return {
        "count": metrics["count"] + size,
        "sums": {name: total + logs[name].astype(jnp.float32) * size for name, total in metrics["sums"].items()},
        "latest": {name: logs[name].astype(jnp.float32) for name in metrics["latest"]},
    }


def make_step(model: Any, loss: Any, optimizer: Any, *, metrics: dict | None = None, variables: Iterable = ()):
    """The pure training step of a model: what `compile` and `fit` run.

    Arguments:
        model: a Model (or anything with its pure pair). Layers that are not `trainable` now stay as they are.
        loss: `loss(y_true, y_pred)` -> scores of shape (batch, ...), one for all outputs or a list.
        optimizer: any optax transformation, or one of `jkeras.optimizers`.
        metrics: dict name -> `metric(y_true, y_pred)`, logged for the first output.
        variables: `K.variable`s, or weights of other models, that losses and layers read, where they are not found by
            themselves (by tracing the losses on targets that look like the outputs). They live in the state.

    Returns:
        init_state: `init_state(key, params=None, state=None)` -> TrainState.
        step: `step(train_state, (x, y))` or `(x, y, sample_weight)` -> TrainState, logs. Both are pure: use them under
            `jax.jit`, `jax.vmap` (several seeds at once), `jax.lax.scan`, `jax.grad`.

    A loop over `step` gives what `fit` gives, to the bit; `jkeras.random.as_run(key).order(True, batch_size)(epoch, n)`
    are the rows in the order in which `fit(key=key)` takes them.

    Raises:
        TypeError: if a loss or metric is not a function.
        ValueError: by `step`, if a target does not fit its output, or something is read that is not in the state.

    Example:
        >>> init_state, step = make_step(model, jkeras.losses.mean_squared_error, optax.sgd(0.1))
        >>> train_state = init_state(jax.random.key(0))
        >>> train_state, logs = jax.jit(step)(train_state, (x, y))
    """
    core, rule = as_core(model), as_rule(optimizer)
    objective = _objective(core.output_names, loss, metrics or {})
    core = core.reading(lambda core, looking: _trace(Steps(core, objective, rule), looking), tuple(variables))
    steps = Steps(core, objective, rule)

    def step(train_state, data):
        inputs, targets, *weights = data
        targets = trees.as_list(targets)
        weights = trees.as_list(weights[0]) if weights else [None] * len(targets)
        held = jax.tree.leaves((train_state.params, train_state.frozen, train_state.state))
        inputs, targets, weights = config.settled((inputs, targets, weights), {leaf.dtype for leaf in held})
        with core.precision():
            return steps.train(train_state, (inputs, targets, weights))

    return steps.init, step


def _objective(names, loss, metrics):
    losses = list(loss) if isinstance(loss, (list, tuple)) else [loss] * len(names)
    for function in [*losses, *metrics.values()]:
        if not callable(function):
            raise TypeError(
                f"make_step takes functions (y_true, y_pred) as losses and metrics; got {function!r}. "
                "Names are looked up by jkeras.losses.get and jkeras.metrics.get."
            )
    return Objective(
        Output(
            name,
            function,
            f"{name}_loss" if len(names) > 1 else None,
            metrics=tuple(Metric(*item) for item in metrics.items()) if place == 0 else (),
            per_example=traits.of(function).per_example,
            alike=traits.of(function).alike,
        )
        for place, (name, function) in enumerate(zip(names, losses, strict=True))
    )


def _trace(steps, looking):
    """Trace what a step computes on what inputs look like, with targets that look like the outputs."""
    example = steps.core.example()
    if example is None:
        return

    def run(params, state, inputs):
        with steps.core.bind(params, state, key=random.as_key(0), training=True) as bound:
            outputs = trees.as_list(bound.run(inputs).outputs)
            bound.penalties()
        steps.core.constrain(params, state)
        return outputs

    def loss(params, state, inputs, targets):
        data = (inputs, targets, [None] * len(targets))
        return steps.evaluate(params, state, data, random.as_key(0), True)[0]

    # Losses may want other targets: what is not found is named when the step is traced.
    with looking, steps.core.precision(), contextlib.suppress(Exception):
        outputs = jax.eval_shape(run, *example)
        jax.eval_shape(loss, *example, outputs)
