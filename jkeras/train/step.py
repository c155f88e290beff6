"""Steps: a model's pure pair, an objective and an optimizer become pure functions of (TrainState, batch).

* `train(train_state, data)` -> train_state, logs
* `test((state, metrics), (params, key), data)` -> (state, metrics), logs
* `predict(params, state, inputs, key, number)` -> outputs, state
"""

import jax
import jax.numpy as jnp
import numpy as np

from jkeras import batch, random
from jkeras.train.objective import Metric, Objective, Output
from jkeras.train.state import TrainState, merge, split

__all__ = ["Steps", "make_step"]


def as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def batch_size(tree) -> int:
    """The number of examples in a batch."""
    return jax.tree.leaves(tree)[0].shape[0]


class Steps:
    """The pure steps of a model with an objective and an optimizer.

    Arguments:
        model: `init(key) -> params, state`; `run(params, state, inputs, key=, training=)` -> something with `outputs`,
            `state`, `mask` and `losses`; `regularization(params)` -> scalars; `constrain(params)` -> params.
        objective: see `train.objective`.
        optimizer: `init(params)`, `update(gradients, opt_state, params)`: an optax transformation.
        is_trainable: of the path of a parameter, whether training changes it.
        keeps_state: of the path of a piece of state, whether training leaves it alone (a frozen layer's averages).
        is_stateful: of the path of a piece of state, whether it also moves on when only evaluating or predicting.
        surroundings: `surroundings(params, state, key, training)` -> a context in which the model and the objective are
            computed. It is told of the model's call by `ran(call)`, and asked for the `next_state(state)`.
    """

    def __init__(
        self,
        model,
        objective,
        optimizer,
        *,
        is_trainable=lambda path: True,
        keeps_state=lambda path: False,
        is_stateful=lambda path: False,
        surroundings=None,
    ):
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.is_trainable, self.keeps_state, self.is_stateful = is_trainable, keeps_state, is_stateful
        self.surroundings = surroundings or (lambda p, s, k, t: model.bind(p, s, key=k, training=t))

    def init(self, key, params=None, state=None) -> TrainState:
        """The first `TrainState`: initial weights from `key` unless they are given."""
        key = random.as_key(key)
        if params is None:
            params, state = self.model.init(key.fold("init"))
        trainable, frozen = split(params, self.is_trainable)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=jax.tree.map(jnp.asarray, trainable),
            frozen=jax.tree.map(jnp.asarray, frozen),
            state=jax.tree.map(jnp.asarray, state or {}),
            opt_state=self.optimizer.init(trainable),
            key=key,
            metrics=self.no_metrics(),
        )

    def no_metrics(self) -> dict:
        """Running sums of nothing yet."""
        running = self.objective.running
        zeros = {name: np.zeros((), np.float32) for name in ("loss", *self.objective.names)}
        return {
            "count": np.zeros((), np.float32),
            "sums": {name: zero for name, zero in zeros.items() if name not in running},
            "latest": {name: zeros[name] for name in running},
        }

    def evaluate(self, params, state, data, key, training, objective=None):
        """The total loss of a batch, and (next state, logs); `objective` may stand in for the own one."""
        objective = objective or self.objective
        inputs, targets, weights = data
        with self.surroundings(params, state, key, training) as around:
            call = around.run(inputs)
            total, logs = objective(as_list(call.outputs), as_list(call.mask), targets, weights)
            for scalar in (*call.losses, *around.penalties()):
                total = total + jnp.mean(jnp.asarray(scalar))
            state = around.next_state()
        return total, (state, {"loss": total, **logs})

    def train(self, train_state, data):
        """One step of training on a batch `(inputs, targets, weights)`: the next TrainState, and the batch's logs."""
        size = batch_size(data)
        key = train_state.key.step(train_state.step)

        def loss(params):
            params = merge(params, train_state.frozen)
            return self.evaluate(params, train_state.state, data, key, True)

        gradients, (state, logs) = jax.grad(loss, has_aux=True)(train_state.params)
        kept, _ = split(train_state.state, self.keeps_state)
        state = merge(kept, state)
        gradients, logs, state = batch.means((gradients, logs, state))
        if getattr(self.optimizer, "assigns", False):
            params, opt_state = self.optimizer.assign(
                gradients,
                train_state.opt_state,
                train_state.params,
                value=logs["loss"],
                # Not the key of this device's examples: all devices must draw the same.
                key=train_state.key.step(train_state.step).fold("optimizer"),
            )
        else:
            updates, opt_state = self.optimizer.update(gradients, train_state.opt_state, train_state.params)
            params = jax.tree.map(lambda old, update: (old + update).astype(old.dtype), train_state.params, updates)
            params = self.model.constrain(params)
        return train_state.replace(
            step=train_state.step + 1,
            params=params,
            state=state,
            opt_state=opt_state,
            metrics=_added(train_state.metrics, logs, size),
        ), logs

    def test(self, carry, fixed, data):
        """The losses and metrics of a batch; of `carry` = (state, running sums), only stateful layers' states and the
        sums change."""
        state, metrics = carry
        params, key = fixed
        size = batch_size(data)
        # Layers that draw whatever the phase: a key for each batch, known by the examples seen before.
        key = key.step(metrics["count"].astype(jnp.int32))
        _, (after, logs) = self.evaluate(params, state, data, key, False)
        logs, state = batch.means((logs, self._moved_on(state, after)))
        return (state, _added(metrics, logs, size)), logs

    def predict(self, params, state, inputs, key, number):
        """The outputs for a batch of inputs, as a list, and the next state; `number` counts the batches of the key."""
        key = key.step(number)
        with self.surroundings(params, state, key, False) as around:
            call = around.run(inputs)
        return as_list(call.outputs), self._moved_on(state, call.state)

    def _moved_on(self, state, after):
        """`state`, with what moves on without training from `after`."""
        moved, _ = split(after, self.is_stateful)
        return merge(moved, state)


def _added(metrics, logs, size):
    size = size * batch.shards()
    return {
        "count": metrics["count"] + size,
        "sums": {name: total + logs[name].astype(jnp.float32) * size for name, total in metrics["sums"].items()},
        "latest": {name: logs[name].astype(jnp.float32) for name in metrics["latest"]},
    }


def make_step(model, loss, optimizer, *, metrics=None):
    """The pure training step of a model.

    Arguments:
        model: a Model (or anything with its pure pair).
        loss: `loss(y_true, y_pred)` -> scores of shape (batch, ...), one for all outputs or a list.
        optimizer: any optax transformation, or one of `jkeras.optimizers`.
        metrics: dict name -> `metric(y_true, y_pred)`, logged for the first output.

    Returns:
        init_state: `init_state(key, params=None, state=None)` -> TrainState.
        step: `step(train_state, (x, y))` or `(x, y, sample_weight)` -> TrainState, logs. Both are pure: use them under
            `jax.jit`, `jax.vmap` (several seeds at once), `jax.lax.scan`, `jax.grad`.

    Raises:
        TypeError: if a loss or metric is not a function.

    Example:
        >>> init_state, step = make_step(model, jkeras.losses.mean_squared_error, optax.sgd(0.1))
        >>> train_state = init_state(jax.random.key(0))
        >>> train_state, logs = jax.jit(step)(train_state, (x, y))
    """
    losses = list(loss) if isinstance(loss, (list, tuple)) else [loss] * len(getattr(model, "outputs", [None]))
    for function in [*losses, *(metrics or {}).values()]:
        if not callable(function):
            raise TypeError(
                f"make_step takes functions (y_true, y_pred) as losses and metrics; got {function!r}. "
                "Names are looked up by jkeras.losses.get and jkeras.metrics.get."
            )
    names = getattr(model, "output_names", ["output"])
    outputs = [
        Output(
            name,
            function,
            f"{name}_loss" if len(names) > 1 else None,
            metrics=tuple(Metric(*item) for item in (metrics or {}).items()) if place == 0 else (),
        )
        for place, (name, function) in enumerate(zip(names, losses, strict=True))
    ]
    steps = Steps(model, Objective(outputs), optimizer)

    def step(train_state, data):
        inputs, targets, *weights = data
        targets = as_list(targets)
        weights = as_list(weights[0]) if weights else [None] * len(targets)
        return steps.train(train_state, (inputs, targets, weights))

    return steps.init, step
