"""What Keras 2 still had of older days, and what only TensorFlow has."""

from typing import Any, NoReturn

from jkeras import config

_LAYOUTS = {"tf": "channels_last", "th": "channels_first"}


def image_dim_ordering() -> str:
    """The image layout under its Keras 1 name: 'tf' for channels_last, 'th' for channels_first."""
    return {layout: name for name, layout in _LAYOUTS.items()}[config.image_data_format()]


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Set the image layout by its Keras 1 name, 'tf' or 'th'.

    Raises:
        ValueError: if it is neither.
    """
    if dim_ordering not in _LAYOUTS:
        raise ValueError(f"set_image_dim_ordering: unknown layout {dim_ordering!r}; expected 'tf' or 'th'.")
    config.set_image_data_format(_LAYOUTS[dim_ordering])


def manual_variable_initialization(value: bool) -> None:
    """Keras's switch for who gives variables their first values.

    Here that is settled for each variable by itself, whatever `value`: its initial value is drawn when first asked for,
    and never if the variable was set or loaded before.

    Raises:
        TypeError: if `value` is no bool.
    """
    if value not in (True, False):
        raise TypeError(f"manual_variable_initialization: a bool was expected, {value!r} was given.")


def get_session() -> NoReturn:
    """There are no sessions.

    Raises:
        NotImplementedError: always; it says what to use.
    """
    raise NotImplementedError(
        "K.get_session: there are no sessions on JAX. In place of session.run use K.eval(x), K.get_value(variable) or "
        "K.function(inputs, outputs, updates); variables have their values from the start; save with model.save."
    )


def set_session(session: Any) -> NoReturn:
    """There are no sessions.

    Raises:
        NotImplementedError: always; it says what to use.
    """
    raise NotImplementedError(
        "K.set_session: there are no sessions on JAX. What their configuration is for: the share of a GPU's memory is "
        "the environment variable XLA_PYTHON_CLIENT_MEM_FRACTION (XLA_PYTHON_CLIENT_PREALLOCATE=false: as needed), the "
        "choice of devices CUDA_VISIBLE_DEVICES or jax.default_device."
    )


_ELSEWHERE = {
    "tf": "TensorFlow is not part of this backend: use the K function of that name, or that of jax.numpy in a Lambda",
    "control_flow_ops": "use K.switch, K.rnn, K.map_fn, or jax.lax.cond and jax.lax.while_loop in a Lambda",
    "tensor_array_ops": "use K.rnn, K.map_fn, or jax.lax.scan in a Lambda",
    "functional_ops": "use K.map_fn, K.foldl, or jax.lax.scan in a Lambda",
    "ctc": "use K.ctc_batch_cost and K.ctc_decode",
    "th_sparse_module": "use scipy.sparse or jax.experimental.sparse",
}


def no_such_name(name: str) -> AttributeError:
    """The error for a name that the backend of Keras on TensorFlow has by accident, with what to use instead."""
    return AttributeError(f"jkeras.backend has no {name!r}" + (f": {_ELSEWHERE[name]}." if name in _ELSEWHERE else "."))
