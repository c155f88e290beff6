"""Keras's other address of the backend functions, and the question which devices there are."""

from typing import Any

import jax

from jkeras import backend as _backend

__all__ = list(_backend.__all__)


def __getattr__(name: str) -> Any:
    return getattr(_backend, name)


def _get_available_gpus() -> list[str]:
    """The names of the devices that compute. What Keras keeps for GPUs, as `CuDNNLSTM`, runs here on each of them."""
    return [f"/device:{device.platform.upper()}:{device.id}" for device in jax.local_devices()]
