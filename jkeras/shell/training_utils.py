"""What the arguments of `compile` mean: losses, loss weights, metrics and sample-weight modes, output by output."""

import dataclasses
import reprlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jkeras import losses, metrics, traits
from jkeras.graph.adapter import is_written_by_user
from jkeras.graph.tensor import Variable, is_hole, is_symbol
from jkeras.graph.value import with_values
from jkeras.train.objective import Metric, Objective, Output
from jkeras.trees import as_list

__all__ = ["CompileSpec", "collect_metrics", "resolve_compile"]


@dataclasses.dataclass
class CompileSpec:
    """The resolved arguments of `compile`.

    Attributes:
        objective: the pure function of outputs and targets.
        loss_functions: one per output, None for outputs without a loss.
        targets: the positions of the outputs that have one, and so a target.
        modes: their sample-weight modes, 'temporal' or None.
        metrics_names: 'loss' and the names of what is logged beside it, in Keras's order.
        stateful_metrics: name -> metric object that keeps a running state.
        target_tensors: position of an output -> the symbol that is its target.
        fed: the positions of the outputs for whose targets data are passed; the other targets are computed.
    """

    objective: Objective
    loss_functions: list
    targets: list
    modes: list
    metrics_names: list
    stateful_metrics: dict
    target_tensors: dict
    fed: list

    def mode(self, place: int) -> str | None:
        """The sample-weight mode of the output at a position; None for one without a loss."""
        return dict(zip(self.targets, self.modes, strict=True)).get(place)


def _per_output(value, names, argument, default):
    """One entry per output from a dict by output name, a list, or one value for all."""
    if isinstance(value, dict):
        unknown = [name for name in value if name not in names]
        if unknown:
            raise ValueError(
                f'Unknown entry in {argument} dictionary: "{unknown[0]}". Only expected the following keys: {names}'
            )
        return [value.get(name, default) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(
                f"When passing a list as {argument}, it should have one entry per model output. The model has "
                f"{len(names)} outputs, but you passed {argument.strip('`')}={value}. The outputs are: {names}"
            )
        return list(value)
    return [value] * len(names)


def _loss_functions(loss, names):
    if isinstance(loss, dict):
        for name in names:
            if name not in loss and all(key in names for key in loss):
                warnings.warn(
                    f'Output "{name}" missing from loss dictionary. We assume this was done on purpose, and we will '
                    f'not be expecting any data to be passed to "{name}" during training.',
                    stacklevel=4,
                )
    return [losses.get(entry) if entry is not None else None for entry in _per_output(loss, names, "loss", None)]


def _loss_weights(loss_weights, names):
    if loss_weights is None:
        return [1.0] * len(names)
    if not isinstance(loss_weights, (list, dict)):
        raise TypeError(f"Could not interpret loss_weights argument: {loss_weights} - expected a list or a dict.")
    return _per_output(loss_weights, names, "loss_weights", 1.0)


def _factor(weight):
    """A loss weight: a number, or a variable, which may be set while training."""
    if isinstance(weight, Variable):
        return weight
    try:
        return float(np.asarray(weight))
    except (TypeError, ValueError):
        raise ValueError(f"Each of the loss_weights must be a number. Found: {reprlib.repr(weight)}") from None


def _as_called(function, output):
    """A loss or metric as it is called beside the symbol `output`: a user's is handed what answers as tensors do."""
    return with_values(function, (None,) * len(output.shape), output) if is_written_by_user(function) else function


def collect_metrics(metrics: Any, output_names: Sequence[str]) -> list:
    """The list of metrics of each output.

    Arguments:
        metrics: a list for all outputs, or a dict of metrics or lists of them by name.

    Raises:
        TypeError: if it is neither.
        ValueError: if there is no output of a name.
    """
    if not metrics:
        return [[] for _ in output_names]
    if isinstance(metrics, dict):
        return [as_list(entry) for entry in _per_output(metrics, output_names, "metrics", [])]
    if isinstance(metrics, (list, tuple)):
        return [list(metrics) for _ in output_names]
    raise TypeError(f"Type of `metrics` argument not understood. Expected a list or dictionary, found: {metrics}")


def _target_tensors(given, names) -> dict:
    """position -> symbol, of the targets that are given by symbols."""
    if given is None:
        return {}
    if is_symbol(given):
        if len(names) != 1:
            raise ValueError(
                f"The model has {len(names)} outputs, but you passed a single tensor as `target_tensors`. Expected a "
                "list or a dict of tensors."
            )
        given = [given]
    if not isinstance(given, (list, tuple, dict)):
        raise TypeError(
            f"Expected `target_tensors` to be a symbol, a list of symbols, or a dict of them. Found: {given}"
        )
    found = enumerate(_per_output(given, names, "`target_tensors`", None))
    return {place: symbol for place, symbol in found if symbol is not None}


def _for_all_of_a_layer(given, model):
    """What a dict gives under the name of a layer is for each of its outputs, which Keras calls by one name."""
    if not isinstance(given, dict):
        return given
    owners = {name: layer.name for name, layer in zip(model.output_names, model.output_layers, strict=True)}
    return {**{name: given[owner] for name, owner in owners.items() if owner in given}, **given}


def resolve_compile(
    model: Any, loss: Any, loss_weights: Any, metric_spec: Any, weighted_spec: Any, sample_weight_mode: Any,
    target_tensors: Any = None,
) -> CompileSpec:  # fmt: skip
    """The meaning of the arguments of `model.compile`.

    Raises:
        ValueError, TypeError: for unknown names in dicts, lists of the wrong length, unknown losses and metrics.
    """
    names = model.output_names
    loss, loss_weights, metric_spec, weighted_spec, sample_weight_mode = (
        _for_all_of_a_layer(given, model)
        for given in (loss, loss_weights, metric_spec, weighted_spec, sample_weight_mode)
    )
    shapes = [symbol.shape for symbol in model.outputs]
    functions = _loss_functions(loss, names)
    weights = _loss_weights(loss_weights, names)
    modes = _per_output(sample_weight_mode, names, "sample_weight_mode", None)
    for mode in modes:
        if mode is not None and mode != "temporal":
            raise ValueError(f"sample_weight_mode must be None or 'temporal'. Found: {reprlib.repr(mode)}")
    if isinstance(sample_weight_mode, dict):
        for name, function in zip(names, functions, strict=True):
            if function is not None and name not in sample_weight_mode:
                raise ValueError(f'Output "{name}" missing from sample_weight_modes dictionary')
    several = len(names) > 1
    logged = ["loss"] + [f"{n}_loss" for n, f in zip(names, functions, strict=True) if f is not None and several]
    plain, weighted = collect_metrics(metric_spec, names), collect_metrics(weighted_spec, names)
    outputs, stateful = [], {}
    for place, name in enumerate(names):
        found = []
        if functions[place] is not None:
            for metric, use_weights in [(m, False) for m in plain[place]] + [(m, True) for m in weighted[place]]:
                base, function = metrics.beside(metric, functions[place], shapes[place])
                base = ("weighted_" if use_weights else "") + base
                base = f"{name}_{base}" if several else base
                unique = next(n for n in (base, *(f"{base}_{i}" for i in range(1, 99))) if n not in logged)
                logged.append(unique)
                running = bool(getattr(function, "stateful", False))
                called = _as_called(function, model.outputs[place])
                found.append(Metric(unique, called, use_weights, traits.of(function).per_example, running))
                if running:
                    stateful[unique] = function
        outputs.append(
            Output(
                name,
                functions[place] and _as_called(functions[place], model.outputs[place]),
                f"{name}_loss" if several else None,
                _factor(weights[place]),
                tuple(found),
                functions[place] is not None and traits.of(functions[place]).per_example,
            )
        )
    targets = [place for place, function in enumerate(functions) if function is not None]
    modes, tensors = [modes[place] for place in targets], _target_tensors(target_tensors, names)
    fed = [place for place in targets if place not in tensors or is_hole(tensors[place])]
    return CompileSpec(Objective(outputs), functions, targets, modes, logged, stateful, tensors, fed)
