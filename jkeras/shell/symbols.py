"""What code of Keras's time asks a compiled model for: the symbols of its targets, weights, losses and metrics, what is
fed in which order, and the functions of one batch."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jkeras import config
from jkeras.data import arrays
from jkeras.graph.function import Function
from jkeras.graph.questions import StateUpdate
from jkeras.graph.scope import Finder
from jkeras.graph.tensor import Node, SymbolicTensor, map_symbols, symbols_in
from jkeras.graph.topology import Network
from jkeras.lift import lift
from jkeras.shell.core import frozen_state
from jkeras.train.objective import Objective
from jkeras.trees import as_list

__all__ = ["Answers", "LossSymbols"]

#: The sizes of unknown axes where the objective is tried out: of the batch, and of any other axis.
_BATCH, _LENGTH = 2, 16


class ObjectiveNode(Node):
    """An objective applied to symbols: its outputs are the total loss, and what is logged beside it, by name."""

    def __init__(self, objective: Objective, predictions: list, targets: list, weights: list):
        self.objective = objective
        masks = [symbol._keras_mask for symbol in predictions]
        self.arguments = [predictions, masks, targets, weights]
        self.inputs = symbols_in(self.arguments)
        self.result = {
            name: SymbolicTensor((), config.floatx(), f"loss/{name}:0", self) for name in ("loss", *objective.names)
        }
        self.outputs = list(self.result.values())
        self.reads = self._read()

    def _read(self):
        """The variables that losses and metrics read, found on targets that look like the outputs."""
        predictions, masks, _, weights = self.arguments
        used = [symbol for symbol, output in zip(predictions, self.objective.outputs, strict=True) if output.loss]

        def example(symbol):
            sizes = [_LENGTH if size is None else size for size in symbol.shape]
            return jax.ShapeDtypeStruct((_BATCH, *sizes[1:]), jnp.dtype(symbol.dtype))

        arguments = jax.tree.map(example, [predictions, masks, used, weights])
        with Finder() as finder:
            try:
                jax.eval_shape(self.objective, *arguments)
            except Exception:  # the losses want other targets: what they read is missed where it is asked for
                finder.found.clear()
        return list(finder.found)

    def evaluate(self, execution: Any) -> None:
        """The values of the outputs in `execution`."""
        total, logs = self.objective(*map_symbols(execution.value, self.arguments))
        execution.values.update((self.result[name], value) for name, value in {**logs, "loss": total}.items())


class LossSymbols:
    """The symbols of a compiled model's loss.

    Arguments:
        model: whose they are; spec: what its `compile` was told.

    Attributes:
        targets, sample_weights: one hole per output, None for those without a loss.
    """

    def __init__(self, model: Any, spec: Any):
        self._model, self._spec = model, spec
        self.targets: list[Any] = [None] * len(model.outputs)
        self.sample_weights: list[Any] = [None] * len(model.outputs)
        for place in spec.targets:
            name, output = model.output_names[place], model.outputs[place]
            given = spec.target_tensors.get(place)
            self.targets[place] = _hole(f"{name}_target", output.ndim, output.dtype) if given is None else given
            if place in spec.fed:
                rank = 2 if spec.mode(place) == "temporal" else 1
                self.sample_weights[place] = _hole(f"{name}_sample_weights", rank, config.floatx())

    @functools.cached_property
    def _logged(self):
        used = [[holes[place] for place in self._spec.targets] for holes in (self.targets, self.sample_weights)]
        return ObjectiveNode(self._spec.objective, self._model.outputs, *used).result

    @functools.cached_property
    def total(self) -> SymbolicTensor:
        """What training minimises."""
        return _total(self._logged["loss"], *self._model.losses)

    @property
    def metrics(self) -> list:
        """What is logged beside it, in the order of `metrics_names`."""
        return [self._logged[name] for name in self._spec.metrics_names[1:]]


def _hole(name, rank, dtype):
    return SymbolicTensor((None,) * rank, dtype, f"{name}:0")


@lift
def _total(loss, *added):
    return loss + sum(jnp.mean(jnp.asarray(each)) for each in added)


class OneBatch:
    """One step of a model as Keras's function: the values of inputs, targets, sample weights and learning phase in one
    list; a list of results. In another phase than the step's own the symbols are computed.

    Arguments:
        kind: 'train', 'test' or 'predict'.
    """

    def __init__(self, model: Any, kind: str):
        self.model, self.kind = model, kind

    def __call__(self, values: Iterable) -> list:
        """The results for `values`; of a training step also the weights change."""
        model, values = self.model, list(values)
        fed = len(model._feed_inputs), 0 if self.kind == "predict" else len(model._feed_targets)
        count = fed[0] + 2 * fed[1]
        if len(values) not in (count, count + 1):
            raise ValueError(f"{self.kind}_function takes {count} arrays, and the learning phase; got {len(values)}.")
        phase = bool(values[count]) if len(values) > count else self.kind == "train"
        if phase != (self.kind == "train"):
            return self._in_phase(phase)(values)
        x, y, weights = values[: fed[0]], values[fed[0] : sum(fed)], values[sum(fed) : count]
        if self.kind == "predict":
            return as_list(model.predict_on_batch(x))
        step = model.train_on_batch if self.kind == "train" else model.test_on_batch
        return as_list(step(x, y, sample_weight=weights))

    def _in_phase(self, phase):
        if self.kind == "train":
            raise ValueError("train_function trains in the training phase: pass 1 as the learning phase.")
        learning_phase = SymbolicTensor((), "bool", "learning_phase:0")
        learning_phase.is_learning_phase = True
        model = self.model
        if self.kind == "predict":
            return Function([*model._feed_inputs, learning_phase], model.outputs)
        fed = [*model._feed_inputs, *model._feed_targets, *model._feed_sample_weights]
        return Function([*fed, learning_phase], [model.total_loss, *model.metrics_tensors])


def _function(kind: str) -> property:
    """The `OneBatch` of a kind. It is always current: setting None, as code that changed the model does, is fine."""

    def replace(model, value):
        if value is not None:
            raise AttributeError(
                f"{kind}_function of model {model.name} cannot be replaced: what trains is compiled from the loss and "
                "the optimizer. See jkeras.train.make_step for a step of your own."
            )

    return property(lambda model: OneBatch(model, kind), replace)


def _over_fed(read: Callable) -> property:
    """A list of `read(model, place)`, over the places of the outputs for which data are passed."""
    return property(lambda model: [read(model, place) for place in model.compiled_spec.fed])


def _over_inputs(read: Callable) -> property:
    """A list of `read(layer, symbol)`, over the inputs for which data are passed."""
    return property(
        lambda model: [
            read(layer, symbol)
            for layer, symbol in zip(model.input_layers, model.inputs, strict=True)
            if layer.is_placeholder
        ]
    )


class Answers(Network):
    """A network with Keras's names for what the trainer and the objective of a compiled model know."""

    #: It is made of a graph.
    _is_graph_network = True
    optimizer: Any = None
    _spec: Any = None
    _symbols: LossSymbols | None = None
    # What a model has that can be trained.
    check_trainable: Callable
    renew_trainer: Callable
    train_on_batch: Callable
    test_on_batch: Callable
    predict_on_batch: Callable
    trainer: Any
    spec: Any
    _standardize: Callable
    _standardize_inputs: Callable

    @property
    def compiled_spec(self) -> Any:
        """What the arguments of `compile` mean; as an attribute that a model has from then on."""
        if self._spec is None:
            raise AttributeError(f"Model {self.name} has no targets, losses and functions before it is compiled.")
        return self._spec

    @property
    def loss_symbols(self) -> LossSymbols:
        """The symbols of the loss; new ones after each `compile`."""
        if self._symbols is None:
            self._symbols = LossSymbols(self, self.compiled_spec)
        return self._symbols

    targets = property(lambda self: self.loss_symbols.targets)
    sample_weights = property(lambda self: self.loss_symbols.sample_weights)
    total_loss = property(lambda self: self.loss_symbols.total)
    metrics_tensors = property(lambda self: self.loss_symbols.metrics)
    loss_functions = property(lambda self: self.compiled_spec.loss_functions)
    stateful_metric_names = property(lambda self: list(self.compiled_spec.stateful_metrics))
    stateful_metric_functions = property(lambda self: list(self.compiled_spec.stateful_metrics.values()))
    sample_weight_modes = property(lambda self: [self.compiled_spec.mode(n) for n in range(len(self.outputs))])
    _is_compiled = property(lambda self: self._spec is not None)
    _collected_trainable_weights = property(lambda self: list(self.compiled_spec and self.trainer.core.trained))

    _input_layers = property(lambda self: list(self.input_layers))
    _output_layers = property(lambda self: list(self.output_layers))
    _feed_inputs = _over_inputs(lambda layer, symbol: symbol)
    _feed_input_names = _over_inputs(lambda layer, symbol: layer.name)
    _feed_input_shapes = _over_inputs(lambda layer, symbol: symbol.shape)
    _feed_outputs = _over_fed(lambda model, place: model.outputs[place])
    _feed_output_names = _over_fed(lambda model, place: model.output_names[place])
    _feed_output_shapes = _over_fed(lambda model, place: model.outputs[place].shape)
    _feed_targets = _over_fed(lambda model, place: model.targets[place])
    _feed_sample_weights = _over_fed(lambda model, place: model.sample_weights[place])
    _feed_sample_weight_modes = _over_fed(lambda model, place: model.sample_weight_modes[place])
    _feed_loss_fns = _over_fed(lambda model, place: model.loss_functions[place])

    train_function, test_function, predict_function = map(_function, ("train", "test", "predict"))

    @property
    def updates(self) -> list:
        """Pairs (variable, symbol) of what calls of layers make of their state while training, and what was added."""
        frozen = frozen_state(self)
        return [update for update in super().updates if not (isinstance(update, StateUpdate) and update[0] in frozen)]

    @property
    def uses_learning_phase(self) -> bool:
        """Whether the outputs are computed in another way while training."""
        return any(symbol._uses_learning_phase for symbol in self.outputs)

    @property
    def _layers_by_depth(self) -> dict:
        """depth -> layers: the distance from the outputs, of the call that is farthest."""
        depths = {node.layer: depth for depth in sorted(self._nodes_by_depth) for node in self._nodes_by_depth[depth]}
        return {depth: [one for one in self._layers if depths[one] == depth] for depth in self._nodes_by_depth}

    def _standardize_user_data(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None,
        check_array_lengths: bool = True, batch_size: int | None = None,
    ) -> tuple:  # fmt: skip
        """Lists of arrays, checked: what is fed for inputs, targets and weights (all of them 1 unless given)."""
        del check_array_lengths, batch_size
        if y is None:
            return self._standardize_inputs(x), [], []
        inputs, targets, weights = self._standardize(x, y, sample_weight, class_weight)
        return inputs, targets, arrays.with_ones(targets, weights)

    def _set_inputs(self, inputs: Any, outputs: Any = None, training: bool | None = None) -> None:
        """Let the graph begin at other symbols, of a model whose `inputs` were set to None.

        Raises:
            ValueError: if they were not, or the outputs depend on others.
        """
        del training
        if self.inputs:
            raise ValueError(f"The inputs of model {self.name} are set already.")
        self._connect(inputs, outputs or self.outputs)
        self.renew_trainer()

    def _make_train_function(self) -> None:
        """Make the optimizer's first state, which the first step would make."""
        self.spec  # noqa: B018
        self.check_trainable()
        self.trainer.begin()

    def _make_test_function(self) -> None:
        """Check that there is something to test by; the function is compiled with the first batch."""
        self.spec  # noqa: B018

    def _make_predict_function(self) -> None:
        """Make what predicts; it is compiled with the first batch."""
        self.trainer  # noqa: B018
