"""Every name of Keras 2.2.4 at its address, to be called as there: argument names, their order and defaults.

`tests/data/surface.json` holds the facts: module -> names, and how each thing is called; of a class, what differs from
the classes above it.
"""

import importlib
import importlib.util
import inspect
import json
import pathlib
import subprocess
import sys

DATA = json.loads((pathlib.Path(__file__).parent / "data" / "surface.json").read_text(encoding="utf-8"))

# What is not here, and why.
NOT_HERE = {
    "activations:Layer": "an import of Keras's own, at an address where nobody looks for it",
    **{
        f"{module}:keras_modules_injection": "hands Keras's modules to the package keras_applications"
        for module in DATA["addresses"]
        if module.startswith("applications")
    },
    "callbacks:standardize_input_data": "an import of Keras's own",
    "utils.multi_gpu_utils:Lambda": "an import of Keras's own",
    "utils.multi_gpu_utils:Model": "an import of Keras's own",
    "utils.multi_gpu_utils:clone_model": "an import of Keras's own",
    "utils.multi_gpu_utils:concatenate": "an import of Keras's own",
    "utils.multi_gpu_utils:to_list": "an import of Keras's own",
    "utils.data_utils:get_index": "the inside of Keras's enqueuers",
    "utils.data_utils:init_pool": "the inside of Keras's enqueuers",
    "utils.data_utils:init_pool_generator": "the inside of Keras's enqueuers",
    "utils.data_utils:next_sample": "the inside of Keras's enqueuers",
    **{
        f"engine.topology:Network.{name}": "it is `Model` that is saved and shown"
        for name in ("load_weights", "save", "save_weights", "summary", "to_json", "to_yaml")
    },
}

# What is called otherwise, and why.
OTHERWISE = {
    "callbacks:TensorBoard.on_train_end": "`_` is called `logs`, as everywhere else",
    "engine.topology:Network.from_config": "a network is made again by `Model`",
    "engine.topology:Node": "a node is made by the call of a layer",
    "layers:Layer.assert_input_compatibility": "shapes are what a pure layer checks",
    "models:Sequential.predict_classes": "batch_size=None is 32, as in `predict`",
    "models:Sequential.predict_proba": "batch_size=None is 32, as in `predict`",
    **dict.fromkeys(["layers:Highway.call", "layers:MaxoutDense.call"], "`x` is called `inputs`, as everywhere else"),
}


def addresses():
    return [f"{module}:{name}" for module, names in DATA["addresses"].items() for name in names]


def calls():
    """(key, text) of each function, constructor and method."""
    for key, called in DATA["calls"].items():
        for method, text in called.items() if isinstance(called, dict) else [("", called)]:
            yield (f"{key}.{method}" if method else key), text


def known(key, *tables):
    return any(part in table for table in tables for part in (key, key.partition(":")[0], key.partition(".")[0]))


def at(key):
    """What stands at "module:name" or "module:name.method".

    Raises:
        ImportError, AttributeError: if nothing does.
    """
    module, _, path = key.partition(":")
    value = importlib.import_module(f"jkeras.{module}")
    for part in path.split("."):
        value = inspect.getattr_static(value, part) if isinstance(value, type) else getattr(value, part)
    return value


def is_there(key):
    try:
        at(key)
    except ImportError as error:
        return "scikit-learn" in str(error)  # an optional package
    except AttributeError:
        return False
    return True


def misfit(text, function):
    """Why `function` cannot be called as `text` says, None if it can: as many arguments by position, each by its name,
    with the same defaults. It may take more, and may ask for less."""
    wanted = [
        p for p in inspect.signature(eval(f"lambda {text}: 0")).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    have = list(inspect.signature(function).parameters.values())
    plain = [p for p in have if p.kind is p.POSITIONAL_OR_KEYWORD]
    if plain and plain[0].name in ("self", "cls"):
        del plain[0]
    passed_on = any(p.kind is p.VAR_KEYWORD for p in have)
    for place, parameter in enumerate(wanted):
        if place >= len(plain) and passed_on:
            return None
        if place >= len(plain) or plain[place].name != parameter.name:
            return f"({text}) is ({', '.join(map(str, have))})"
        default = plain[place].default
        if parameter.default is not parameter.empty and repr(default) != repr(parameter.default):
            return f"{parameter} is {plain[place]}"
    needed = [p.name for p in plain[len(wanted) :] if p.default is p.empty]
    return f"needs {needed}" if needed and "**" not in text else None


def problem(key, text):
    value = at(key)
    value = getattr(value, "__func__", value)
    if text == "property" or isinstance(value, property):
        return None
    return misfit(text, value.__init__ if isinstance(value, type) else value)


def test_every_name_is_at_its_address():
    assert [key for key in addresses() if not known(key, NOT_HERE) and not is_there(key)] == []


def test_everything_is_called_as_in_keras():
    problems = {}
    for key, text in calls():
        if known(key, NOT_HERE, OTHERWISE):
            continue
        if not is_there(key):
            problems[key] = "is not there"
        elif not key.startswith("wrappers") or importlib.util.find_spec("sklearn"):
            problems[key] = problem(key, text)
    assert {key: found for key, found in problems.items() if found} == {}


def test_what_is_mended_leaves_the_tables():
    texts = dict(calls())
    everything = [*addresses(), *texts]
    mended = [key for key in everything if known(key, NOT_HERE) and is_there(key)]
    mended += [key for key in OTHERWISE if problem(key, texts[key]) is None]
    assert mended == []


def test_all_layers_come_with_a_star():
    found: dict = {}
    exec("from jkeras.layers import *", found)
    assert [name for name in DATA["addresses"]["layers"] if name[0].isupper() and name not in found] == []


def test_old_addresses_import_nothing_heavy():
    """Packages that only some functions need are not imported before."""
    names = [module for module in DATA["addresses"] if not module.startswith("wrappers")]
    names += [f"engine.{name}" for name in ("base_layer", "input_layer", "network", "saving", "sequential", "training")]
    names += ["engine.training_utils", "legacy.interfaces", "legacy.layers", "utils.test_utils", "objectives"]
    heavy = ["h5py", "yaml", "sklearn", "pydot", "scipy", "matplotlib", "IPython", "pandas", "PIL", "tensorboardX"]
    code = (
        "import importlib, importlib.util, sys, jax, optax; before = set(sys.modules)\n"
        "for name in sys.argv[1].split():\n"
        "    try: importlib.import_module('jkeras.' + name)\n"
        "    except ModuleNotFoundError: pass\n"
        "print(*sorted((set(sys.modules) - before) & set(sys.argv[2].split())))"
    )
    run = [sys.executable, "-c", code, " ".join(names), " ".join(heavy)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == ""
