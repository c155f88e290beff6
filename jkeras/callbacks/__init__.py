"""Callbacks: what users have called while a model trains."""

from jkeras.callbacks.backup import BackupAndRestore
from jkeras.callbacks.base import Callback, CallbackList, LambdaCallback
from jkeras.callbacks.control import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from jkeras.callbacks.log import BaseLogger, CSVLogger, History, RemoteMonitor
from jkeras.callbacks.post_mortem import NaNPostMortem
from jkeras.callbacks.progress import ProgbarLogger
from jkeras.callbacks.tensorboard import TensorBoard
from jkeras.utils.generic_utils import Progbar

__all__ = [
    "BackupAndRestore", "BaseLogger", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History",
    "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "NaNPostMortem", "Progbar", "ProgbarLogger",
    "ReduceLROnPlateau", "RemoteMonitor", "TensorBoard", "TerminateOnNaN",
]  # fmt: skip
