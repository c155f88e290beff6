"""Training one model on several devices, under Keras's name."""

from collections.abc import Sequence
from typing import Any

import jax

__all__ = ["multi_gpu_model"]


def multi_gpu_model(
    model: Any, gpus: int | Sequence[int] | None = None, cpu_merge: bool = True, cpu_relocation: bool = False
) -> Any:
    """A model that shares the layers and weights of `model` and, once compiled, splits each batch over several devices.

    The same as `model.compile(..., devices=gpus)`. Save and load through `model`.

    Arguments:
        model: a built model.
        gpus: how many devices, or a list of their numbers; None for all.
        cpu_merge, cpu_relocation: accepted; the mapping leaves nothing to merge or move.

    Raises:
        ValueError: for fewer than two devices, or more than there are.

    Example:
        >>> parallel_model = multi_gpu_model(model, gpus=2)
        >>> parallel_model.compile("sgd", "mse")
    """
    from jkeras.models import Model  # models use this package's other modules

    available = jax.devices()
    if gpus is None:
        gpus = len(available)
    numbers = list(range(gpus)) if isinstance(gpus, int) else list(gpus)
    if len(numbers) < 2:
        raise ValueError(
            "For multi-gpu usage to be effective, call `multi_gpu_model` with `gpus >= 2` (or a list of at least two "
            f"device numbers). Received: `gpus={gpus}`"
        )
    missing = [number for number in numbers if not 0 <= number < len(available)]
    if missing:
        raise ValueError(
            f"To call `multi_gpu_model` with `gpus={gpus}`, we expect the devices {numbers} to be available; there are "
            f"{len(available)}: {available}."
        )
    parallel_model = Model(model.inputs, model.outputs)
    parallel_model.default_devices = [available[number] for number in numbers]
    return parallel_model
