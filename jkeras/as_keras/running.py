"""Runs a script or module as `python` does, `keras` being jkeras."""

import atexit
import importlib.util
import io
import os
import sys
import types
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from typing import Any, NoReturn

USAGE = """usage: python -m jkeras [--repair] [--report] [--backend NAME] (script.py | -m module | -c code) [arguments]

Runs a script, module or code as python does, with `keras` being jkeras.

  --repair        what Python and numpy have dropped since (np.float, inspect.getargspec, ...) is there; what was used
                  is listed at the end
  --report        lists at the end what the code uses of Keras that is missing or called otherwise, and what could stand
                  for what it uses of TensorFlow
  --backend NAME  what K.backend() answers: "tensorflow" unless given, or "jax"
"""


def _stop(message: str, status: int = 2) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(status)


def _parsed(arguments: Sequence[str]) -> tuple[dict, list[str]]:
    """(options, what is left: the script and its arguments)."""
    rest = list(arguments)
    options: dict[str, Any] = {"repair": False, "report": False, "backend": None}
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        option = rest.pop(0)
        if option in ("--repair", "--report"):
            options[option[2:]] = True
        elif option == "--backend" and rest:
            options["backend"] = rest.pop(0)
        elif option in ("-h", "--help"):
            print(USAGE)
            raise SystemExit(0)
        else:
            _stop(f"{USAGE}\npython -m jkeras: unknown option {option}")
    if not rest or (rest[0] in ("-m", "-c") and len(rest) < 2):
        _stop(USAGE)
    return options, rest


def _of_script(path: str, main):
    """The code of a script; its folder is the first on the path, as `python` has it."""
    path = os.path.abspath(path)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        _stop(f"python -m jkeras: can't open file {path!r}: [Errno {error.errno}] {error.strerror}")
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main.__file__, main.__cached__ = path, None
    main.__loader__ = SourceFileLoader("__main__", path)
    return compile(source, path, "exec", dont_inherit=True)


def _of_module(name: str, main):
    """The code of a module, or of the `__main__` of a package."""
    try:
        spec: Any = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(name + ".__main__")
    except ModuleNotFoundError as error:
        _stop(f"python -m jkeras: {error}", 1)
    if spec is None or spec.loader is None:
        _stop(f"python -m jkeras: No module named {name}", 1)
    main.__spec__, main.__package__, main.__file__, main.__loader__ = spec, spec.parent, spec.origin, spec.loader
    return spec.loader.get_code(spec.name)


def _of_text(source: str, main):
    if not sys.flags.safe_path:
        sys.path[0] = ""
    return compile(source, "<string>", "exec", dont_inherit=True)


def _hide_own_frames(namespace: dict, seen: set):
    """Tracebacks of uncaught exceptions begin in the script; `seen` gets the files that they go through."""
    shown = sys.excepthook

    def hook(kind, error, trace):
        while trace is not None and trace.tb_frame.f_globals is not namespace:
            trace = trace.tb_next
        shown(kind, error.with_traceback(trace), trace)
        while trace is not None:
            seen.add(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next

    sys.excepthook = hook


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says.

    Arguments:
        arguments: of the command line, without the program; `sys.argv[1:]` unless given.
    """
    options, (first, *rest) = _parsed(sys.argv[1:] if arguments is None else arguments)
    from jkeras import as_keras

    try:
        as_keras.install(options["backend"])
    except ValueError as error:
        _stop(f"python -m jkeras: {error}")
    module: Any = types.ModuleType("__main__")
    module.__builtins__ = __builtins__
    seen: set[str] = set()
    _hide_own_frames(vars(module), seen)
    if first == "-m":
        code, place = _of_module(rest.pop(0), module), module.__file__
    elif first == "-c":
        code, place = _of_text(rest.pop(0), module), "-c"
    else:
        code, place = _of_script(first, module), first
    if options["report"]:
        from jkeras.as_keras.report import print_report

        atexit.register(print_report, module.__dict__.get("__file__"), seen)
    if options["repair"]:
        from jkeras.as_keras import repairs

        repairs.install()
        atexit.register(repairs.print_used)
    sys.argv = [place, *rest]
    sys.modules["__main__"] = module
    exec(code, vars(module))
