"""`keras` in processes that one with `jkeras.as_keras` started: this module makes way for jkeras."""

import importlib
import os
import sys

del sys.modules["keras"]
importlib.import_module("jkeras.as_keras")
if os.environ.get("JKERAS_REPAIR"):
    importlib.import_module("jkeras.as_keras.repairs").install()
