"""What a script uses of Keras that is missing here or called otherwise, and what could stand for its TensorFlow.

The source of the script, and of what it imported that uses Keras, is read; nothing of it is run for this.
"""

import ast
import importlib
import inspect
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

import jkeras
from jkeras import backend
from jkeras.typing import PathLike

__all__ = ["findings", "print_report", "substitute"]

# What stands for functions of TensorFlow under another name; those of the same name are found.
_SUBSTITUTES = {
    "Session": "K.eval or K.function: values are computed when asked for",
    "InteractiveSession": "K.eval or K.function",
    "ConfigProto": "nothing: JAX is configured by its own options (jax.config)",
    "GPUOptions": "nothing; XLA_PYTHON_CLIENT_MEM_FRACTION in the environment",
    "global_variables_initializer": "nothing: variables have their values at once",
    "local_variables_initializer": "nothing: variables have their values at once",
    "get_default_graph": "nothing: there is no global graph",
    "Graph": "nothing: there is no global graph",
    "reset_default_graph": "K.clear_session",
    "set_random_seed": "numpy.random.seed for initial values, fit(key=...) for the rest",
    "Tensor": "K.is_tensor(x)",
    "Variable": "K.variable",
    "get_variable": "K.variable",
    "constant": "K.constant",
    "convert_to_tensor": "K.constant",
    "assign": "K.update",
    "assign_add": "K.update_add",
    "assign_sub": "K.update_sub",
    "reduce_sum": "K.sum",
    "reduce_mean": "K.mean",
    "reduce_max": "K.max",
    "reduce_min": "K.min",
    "reduce_prod": "K.prod",
    "reduce_any": "K.any",
    "reduce_all": "K.all",
    "reduce_logsumexp": "K.logsumexp",
    "transpose": "K.permute_dimensions (K.transpose where no order is given)",
    "concat": "K.concatenate",
    "matmul": "jnp.matmul (K.batch_dot)",
    "add_n": "sum",
    "div": "jnp.divide",
    "sub": "jnp.subtract",
    "mul": "jnp.multiply",
    "neg": "jnp.negative",
    "floordiv": "jnp.floor_divide",
    "truediv": "jnp.true_divide",
    "squared_difference": "K.square(a - b)",
    "range": "K.arange",
    "pad": "jnp.pad",
    "fill": "jnp.full",
    "norm": "jnp.linalg.norm",
    "gather_nd": "jnp indexing: x[tuple(jnp.moveaxis(indices, -1, 0))]",
    "scatter_nd": "jnp.zeros(shape).at[...].add(updates)",
    "boolean_mask": "jnp.where (a shape cannot depend on values)",
    "unstack": "jnp.unstack",
    "is_nan": "jnp.isnan",
    "is_inf": "jnp.isinf",
    "clip_by_value": "K.clip",
    "clip_by_norm": "clipnorm= of the optimizer",
    "random_normal": "K.random_normal",
    "random_uniform": "K.random_uniform",
    "random_shuffle": "jax.random.permutation",
    "while_loop": "jax.lax.while_loop",
    "cond": "K.switch (jax.lax.cond)",
    "case": "jax.lax.switch",
    "scan": "jax.lax.scan",
    "map_fn": "K.map_fn (jax.vmap)",
    "py_func": "jax.pure_callback",
    "Print": "K.print_tensor",
    "gradients": "K.gradients",
    "custom_gradient": "jax.custom_vjp",
    "device": "compile(devices=...)",
    "control_dependencies": "nothing: order follows from the values",
    "name_scope": "K.name_scope",
    "variable_scope": "K.name_scope",
    "placeholder": "K.placeholder",
    "divide": "jnp.divide",
    "is_tensor": "K.is_tensor",
    "to_float": "K.cast(x, 'float32')",
    "to_int32": "K.cast(x, 'int32')",
    "image.resize_images": "K.resize_images (jax.image.resize)",
    "image.resize_bilinear": "jax.image.resize(..., method='bilinear')",
    "image.resize_nearest_neighbor": "jax.image.resize(..., method='nearest')",
    "nn.leaky_relu": "K.relu(x, alpha=0.2)",
    "nn.moments": "K.mean and K.var",
    "nn.embedding_lookup": "K.gather",
    "nn.convolution": "K.conv2d",
    "nn.max_pool": "K.pool2d",
    "nn.avg_pool": "K.pool2d(..., pool_mode='avg')",
    "nn.softmax_cross_entropy_with_logits": "K.categorical_crossentropy(..., from_logits=True)",
    "nn.softmax_cross_entropy_with_logits_v2": "K.categorical_crossentropy(..., from_logits=True)",
    "nn.sparse_softmax_cross_entropy_with_logits": "K.sparse_categorical_crossentropy(..., from_logits=True)",
    "nn.sigmoid_cross_entropy_with_logits": "K.binary_crossentropy(..., from_logits=True)",
    "nn.top_k": "jax.lax.top_k",
    "nn.depth_to_space": "reshape and transpose",
    "depth_to_space": "K.reshape and K.permute_dimensions",
    "space_to_depth": "K.reshape and K.permute_dimensions",
    "extract_image_patches": "jax.lax.conv_general_dilated_patches",
    "train": "keras.optimizers, or one of optax",
    "contrib": "nothing of it",
    "summary": "keras.callbacks.TensorBoard",
    "data": "keras.utils.Sequence",
    "logging": "Python's logging",
}
_TYPES = re.compile(r"(u?int|float|bfloat|complex)\d+|bool|string")


def substitute(name: str) -> str:
    """What stands for `tf.<name>` here.

    Example:
        >>> substitute("reduce_mean"), substitute("math.cumsum"), substitute("einsum")
        ('K.mean', 'K.cumsum', 'jnp.einsum')
    """
    parts = name.split(".")
    if parts[0] in ("keras", "python") and "keras" in parts:
        return ".".join(parts[parts.index("keras") :])
    for known in (name, parts[-1], parts[0]):
        if known in _SUBSTITUTES:
            return _SUBSTITUTES[known]
    last = parts[-1]
    if _TYPES.fullmatch(last):
        return f"'{last}'"
    for prefix, module in (("K", backend), ("jnp", jnp), ("jax.nn", jax.nn), ("jnp.linalg", jnp.linalg)):
        if last in getattr(module, "__all__", ()) or callable(getattr(module, last, None)):
            return f"{prefix}.{last}"
    return "no known counterpart"


class _Uses(ast.NodeVisitor):
    """Dotted names of modules that a source imports, where it uses them, with the call if it is one."""

    def __init__(self):
        self.bound: dict[str, str] = {}
        self.found: list[tuple[int, str, ast.Call | None]] = []

    def visit_Import(self, node):
        for alias in node.names:
            self.found.append((node.lineno, alias.name, None))
            first = alias.name if alias.asname else alias.name.partition(".")[0]
            self.bound[alias.asname or first] = first

    def visit_ImportFrom(self, node):
        if node.level or not node.module:
            return
        for alias in node.names:
            dotted = node.module if alias.name == "*" else f"{node.module}.{alias.name}"
            self.found.append((node.lineno, dotted, None))
            self.bound[alias.asname or alias.name] = dotted

    def _dotted(self, node) -> str | None:
        if isinstance(node, ast.Name):
            return self.bound.get(node.id)
        if isinstance(node, ast.Attribute) and (value := self._dotted(node.value)):
            return f"{value}.{node.attr}"
        return None

    def visit_Call(self, node):
        if name := self._dotted(node.func):
            self.found.append((node.lineno, name, node))
        else:
            self.visit(node.func)
        for part in [*node.args, *node.keywords]:
            self.visit(part)

    def visit_Attribute(self, node):
        if name := self._dotted(node):
            self.found.append((node.lineno, name, None))
        else:
            self.generic_visit(node)


def _resolved(name: str) -> tuple[Any, str | None]:
    """(what a dotted name of Keras is, the part of the name that is missing)."""
    value: Any = jkeras
    parts = name.split(".")
    for place, part in enumerate(parts[1:], 2):
        if not isinstance(value, (types.ModuleType, type)):
            return None, None  # an attribute of an object: only running tells
        if not hasattr(value, part) and isinstance(value, types.ModuleType):
            try:
                importlib.import_module(f"{value.__name__}.{part}")
            except ImportError as error:
                return None, ".".join(parts[:place]) if isinstance(error, ModuleNotFoundError) else str(error)
        if not hasattr(value, part):
            return None, ".".join(parts[:place])
        value = getattr(value, part)
    return value, None


def _misfit(value: Any, call: ast.Call) -> str | None:
    """Why `value` cannot be called so; None if it can, or nobody knows."""
    if any(isinstance(argument, ast.Starred) for argument in call.args) or not callable(value):
        return None
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    try:
        inspect.signature(value).bind(*call.args, **{str(keyword.arg): None for keyword in call.keywords})
    except TypeError as error:
        return str(error)
    except ValueError:  # no signature
        return None
    return None


def findings(source: str, path: PathLike = "<string>") -> Iterator[tuple[str, str, str]]:
    """(place, name, what is the matter) of what `source` uses of Keras and TensorFlow that is not simply there.

    Arguments:
        source: the text of a script.
        path: what places in it are called.
    """
    uses = _Uses()
    uses.visit(ast.parse(source))
    told = set()
    for line, name, call in sorted(uses.found, key=lambda use: use[0]):
        matter = None
        root, _, rest = name.partition(".")
        if root == "tensorflow" and rest and rest not in told:
            told.add(rest)
            name, matter = f"tf.{rest}", f"TensorFlow; use {substitute(rest)}"
        elif root == "keras":
            value, missing = _resolved(name)
            if missing is not None and missing not in told:
                told.add(missing)
                name, matter = missing, "missing"
            elif value is not None and call is not None and (misfit := _misfit(value, call)):
                matter = f"called otherwise: {misfit}"
        if matter:
            yield f"{path}:{line}", name, matter


def _files(main: str | None, seen: Iterable[str]) -> Iterator[str]:
    """The script, and the modules that it imported or that a traceback went through which use Keras."""
    own, standard = jkeras.__path__[0], sysconfig.get_path("stdlib")
    yielded = set()
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    for path in (main, *seen, *loaded):
        installed = path and (path.startswith(standard) and "site-packages" not in path or path.startswith(own))
        if path and path.endswith(".py") and not installed and path not in yielded:
            yielded.add(path)
            yield path


def print_report(main: str | None = None, seen: Iterable[str] = ()) -> None:
    """Print the findings in a script and in what it imported, on the standard error.

    Arguments:
        main: the file of the script.
        seen: further files.
    """
    print("\njkeras --report", file=sys.stderr)
    count = 0
    for path in _files(main, seen):
        try:
            with open(path, encoding="utf-8") as file:
                source = file.read()
            if path != main and not re.search(r"^\s*(from|import)\s+keras\b", source, re.MULTILINE):
                continue
            for place, name, matter in findings(source, path):
                print(f"  {place}: {name}: {matter}", file=sys.stderr)
                count += 1
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue
    if not count:
        print("  nothing is missing or called otherwise", file=sys.stderr)
