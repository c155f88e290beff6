"""Keras's address of `Model`, beside what checks and standardizes its data."""

from jkeras.engine.training_utils import (
    check_array_length_consistency,
    check_loss_and_target_compatibility,
    collect_metrics,
    standardize_class_weights,
    standardize_input_data,
    standardize_sample_weights,
    standardize_weights,
    weighted_masked_objective,
)
from jkeras.graph.layer import Layer
from jkeras.graph.topology import Network
from jkeras.models import Model

__all__ = [
    "Layer", "Model", "Network", "check_array_length_consistency", "check_loss_and_target_compatibility",
    "collect_metrics", "standardize_class_weights", "standardize_input_data", "standardize_sample_weights",
    "standardize_weights", "weighted_masked_objective",
]  # fmt: skip
