"""The backend functions of Keras, `K`, on JAX.

On arrays they compute; on symbols (inputs, variables, what layers return) they make the symbol of the result, whose
value `K.eval` and `K.function` give.

Example:
    >>> from jkeras import backend as K
    >>> x = K.placeholder(shape=(None, 3))
    >>> total = K.function([x], [K.sum(x, axis=-1)])
    >>> total([[[1.0, 2.0, 3.0]]])[0].tolist()
    [6.0]
"""

# ruff: noqa: I001 (names that are only passed on stand close together)
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# fmt: off
from jkeras.backend.ctc import ctc_batch_cost, ctc_decode, ctc_label_dense_to_sparse
from jkeras.backend.legacy import (
    get_session, image_dim_ordering, manual_variable_initialization, no_such_name, set_image_dim_ordering, set_session,
)
from jkeras.backend.math import (
    abs, all, any, argmax, argmin, batch_dot, cast, clip, cos, cumprod, cumsum, dot, equal, exp, greater, greater_equal,
    identity, in_top_k, l2_normalize, less, less_equal, log, logsumexp, max, maximum, mean, min, minimum, not_equal,
    pow, prod, round, sign, sin, sqrt, square, std, stop_gradient, sum, transpose, var,
)
from jkeras.backend.nn import (
    batch_normalization, bias_add, binary_crossentropy, categorical_crossentropy, conv1d, conv2d, conv2d_transpose,
    conv3d, conv3d_transpose, depthwise_conv2d, dropout, elu, foldl, foldr, hard_sigmoid, local_conv1d, local_conv2d,
    map_fn, normalize_batch_in_training, pool2d, pool3d, relu, rnn, separable_conv1d, separable_conv2d, sigmoid,
    softmax, softplus, softsign, sparse_categorical_crossentropy, switch, tanh,
)
from jkeras.backend.random import (
    random_binomial,
    random_normal,
    random_normal_variable,
    random_uniform,
    random_uniform_variable,
    truncated_normal,
)
from jkeras.backend.sizes import count_params, int_shape, ndim, shape
from jkeras.backend.shapes import (
    arange, batch_flatten, concatenate, expand_dims, flatten, gather, one_hot, permute_dimensions, repeat,
    repeat_elements, reshape, resize_images, resize_volumes, reverse, slice, spatial_2d_padding, spatial_3d_padding,
    squeeze, stack, temporal_padding, tile,
)
from jkeras.backend.variables import (
    batch_get_value, batch_set_value, clear_session, constant, dtype, eval, eye, function, get_uid,
    get_value, get_variable_shape, gradients, in_test_phase, in_train_phase, is_keras_tensor, is_placeholder,
    is_sparse, is_tensor, is_variable, learning_phase, moving_average_update, ones, ones_like, placeholder,
    reset_uids, set_learning_phase, set_value, to_dense, update, update_add, update_sub, variable, zeros,
    zeros_like,
)
from jkeras.config import data_format as normalize_data_format
from jkeras.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from jkeras.graph.adapter import name_scope
from jkeras.graph.function import Function
from jkeras.lift import lift
from jkeras.serialize.objects import has_arg
from jkeras.typing import ArrayLike
from jkeras.utils.generic_utils import transpose_shape
__all__ = [
    "Function", "abs", "all", "any", "arange", "argmax", "argmin", "backend", "batch_dot", "batch_flatten",
    "batch_get_value", "batch_normalization", "batch_set_value", "bias_add", "binary_crossentropy", "cast",
    "cast_to_floatx", "categorical_crossentropy", "clear_session", "clip", "concatenate", "constant", "conv1d",
    "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "cos", "count_params", "ctc_batch_cost", "ctc_decode",
    "ctc_label_dense_to_sparse", "cumprod", "cumsum", "depthwise_conv2d", "dot", "dropout", "dtype", "elu", "epsilon",
    "equal", "eval", "exp", "expand_dims", "eye", "flatten", "floatx", "foldl", "foldr", "function", "gather",
    "get_session", "get_uid", "get_value", "get_variable_shape", "gradients", "greater", "greater_equal",
    "hard_sigmoid", "has_arg", "identity", "image_data_format", "image_dim_ordering", "in_test_phase", "in_top_k",
    "in_train_phase", "int_shape", "is_keras_tensor", "is_placeholder", "is_sparse", "is_tensor", "is_variable",
    "l2_normalize", "learning_phase", "less", "less_equal", "local_conv1d", "local_conv2d", "log", "logsumexp",
    "manual_variable_initialization", "map_fn", "max", "maximum", "mean", "min", "minimum", "moving_average_update",
    "name_scope", "ndim", "normalize_batch_in_training", "normalize_data_format", "not_equal", "one_hot", "ones",
    "ones_like", "permute_dimensions", "placeholder", "pool2d", "pool3d", "pow", "print_tensor", "prod",
    "random_binomial", "random_normal", "random_normal_variable", "random_uniform", "random_uniform_variable", "relu",
    "repeat", "repeat_elements", "reset_uids", "reshape", "resize_images", "resize_volumes", "reverse", "rnn",
    "round", "separable_conv1d", "separable_conv2d", "set_epsilon", "set_floatx", "set_image_data_format",
    "set_image_dim_ordering", "set_learning_phase", "set_session", "set_value", "shape", "sigmoid", "sign", "sin",
    "slice", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "spatial_2d_padding",
    "spatial_3d_padding", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "sum", "switch", "tanh",
    "temporal_padding", "tile", "to_dense", "transpose", "transpose_shape", "truncated_normal", "update",
    "update_add", "update_sub", "var", "variable", "zeros", "zeros_like",
]  # fmt: skip


def cast_to_floatx(x: ArrayLike) -> np.ndarray:
    """`x` as a numpy array of the default float type."""
    return np.asarray(x, dtype=jnp.dtype(floatx()))


@lift
def print_tensor(x: ArrayLike, message: str = "") -> ArrayLike:
    """`x`, which is printed after `message` whenever it is computed."""
    jax.debug.print("{message}{x}", message=message, x=x)
    return x


def __getattr__(name: str) -> Any:
    if name == "_BACKEND":  # older code asks so
        return backend()
    if name == "tensorflow_backend":
        return importlib.import_module("jkeras.backend.tensorflow_backend")
    raise no_such_name(name)
