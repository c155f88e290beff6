"""Rooms: which way imports point, how long files and functions are, and that importing touches no device."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "jkeras"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"config", "batch", "forked", "interrupt", "random", "lift", "sparse", "threefry", "traits", "trees", "typing"}
LEAVES = {"activations", "initializers", "regularizers", "constraints", "losses", "metrics"}
CORE = BASE | LEAVES | {"serialize", "graph"}
# Public addresses of helpers that the shell itself needs; they stand below it, and may not import it.
HELPERS = {"utils.conv_utils", "utils.generic_utils", "utils.layer_utils"}
FILES_OF_MODELS = {"engine.conversion", "engine.saving"}
SHELL = CORE | HELPERS | FILES_OF_MODELS | {"layers", "train", "data", "optimizers", "callbacks"}

# What each inner room may import, besides itself. A room that is not here is an outer one (backend, utils, datasets,
# ...): it may import anything, and no inner room may import it.
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    "serialize": BASE,
    **dict.fromkeys(LEAVES, BASE | LEAVES | {"serialize"}),
    "graph": CORE,
    "layers": CORE | {"utils.generic_utils"},
    "train": {"config", "random", "batch", "interrupt", "traits", "trees", "typing"},
    "data": {"config", "sparse", "traits", "trees", "typing"},
    **dict.fromkeys(HELPERS, CORE | HELPERS | {"layers", "data"}),
    "utils.generic_utils": BASE | {"serialize"},
    "optimizers": CORE | {"train"},
    "callbacks": SHELL - FILES_OF_MODELS,
    **dict.fromkeys(FILES_OF_MODELS, SHELL),
    "shell": SHELL - FILES_OF_MODELS,
    "models": SHELL | {"shell"},
}
TRAIN_USES = set(sys.stdlib_module_names) | {"jax", "numpy", "optax", "jkeras"}


def room_of(name):
    """The room of a dotted name without "jkeras": its first part, or for Keras's addresses, whose files differ, two."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("engine", "utils") else parts[0]


def room(path):
    """The room a file stands in."""
    return room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def modules_imported(path):
    """(line, dotted name) of each module that a file imports, also inside functions; `from a import b` is a.b."""
    package = ["jkeras", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*start, *filter(None, [node.module]), alias.name])


def length_without_docstring(node):
    docstring = ast.get_docstring(node, clean=False)
    return node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)


def each_file(files):
    return pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in files])


@each_file([path for path in FILES if room(path) in MAY_IMPORT])
def test_imports_point_one_way(path):
    own = room(path)
    wrong = []
    for line, name in modules_imported(path):
        if name.split(".")[0] == "jkeras":
            target = room_of(name.removeprefix("jkeras").removeprefix("."))
            if target != own and target not in MAY_IMPORT[own]:
                wrong.append(f"{path.name}:{line} imports {name}")
        elif own == "train" and name.split(".")[0] not in TRAIN_USES:
            wrong.append(f"{path.name}:{line} imports {name}")
    assert not wrong, f"the room {own} may import {sorted(MAY_IMPORT[own])}: {wrong}"


@each_file(FILES)
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 650
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {
        f"{node.name} (line {node.lineno})": length_without_docstring(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions)
    }
    assert not {name: length for name, length in lengths.items() if length > 60}


def test_importing_touches_no_device():
    """With a platform that does not exist, whatever asks JAX for a device fails."""
    names = [
        ".".join(["jkeras", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        for path in FILES
        if path.stem not in ("__main__", "scikit_learn") and "as_keras" not in path.parts
    ]
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)",
            *names,
        ],
        env={**os.environ, "JAX_PLATFORMS": "no_such_platform", "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
