"""Decorators with which a constructor or method of the user takes the arguments of Keras 1, as Keras's own do.

Example:
    >>> class Twice(Layer):
    ...     @legacy_dropout_support
    ...     def __init__(self, rate, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.rate = rate
    >>> with warnings.catch_warnings(record=True):
    ...     Twice(p=0.5).rate
    0.5
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence

from jkeras.layers.legacy import RULES, Rule, accepting

_Decorator = Callable[[Callable], Callable]


def _support(rule: Rule, method: bool = False) -> _Decorator:
    return lambda function: accepting(function, rule, function.__name__ if method else None)


def generate_legacy_interface(
    allowed_positional_args: Sequence[str] | None = None,
    conversions: Sequence[tuple[str, str]] | None = None,
    preprocessor: Callable | None = None,
    value_conversions: Mapping[str, Mapping] | None = None,
    object_type: str = "class",
) -> _Decorator:
    """A decorator for constructors and methods, which then take old arguments, with a warning that shows the new call.

    Arguments:
        allowed_positional_args: the names of those that may be given by position; None for any.
        conversions: pairs (old name, new name).
        preprocessor: `preprocessor(args, kwargs) -> args, kwargs, converted`, called first, `self` among `args`;
            `converted` is a list, empty if nothing was old.
        value_conversions: old name -> old value -> new value.
        object_type: 'class' or 'method': whether warnings name the class or the method.

    Raises:
        TypeError: the decorated, if called with more arguments by position, or with an argument by both its names.
    """

    def prepare(args, kwargs):
        changed: Sequence = ()
        if preprocessor is not None:
            (_, *args), new, changed = preprocessor((None, *args), dict(kwargs))
            kwargs.clear()
            kwargs.update(new)
        if allowed_positional_args is not None and len(args) > len(allowed_positional_args):
            raise TypeError(
                f"At most {len(allowed_positional_args)} arguments may be given by position, "
                f"{tuple(allowed_positional_args)}; received: {list(args)}"
            )
        return tuple(args), bool(changed)

    return _support(Rule(dict(conversions or ()), prepare, dict(value_conversions or {})), object_type != "class")


generate_legacy_method_interface = functools.partial(generate_legacy_interface, object_type="method")


def raise_duplicate_arg_error(old_arg: str, new_arg: str) -> None:
    """Raise the TypeError for an argument that is given by its old and by its new name."""
    raise TypeError(f"`{old_arg}` is the old name of `{new_arg}`, and both were given. Use `{new_arg}`.")


legacy_dense_support = _support(RULES["Dense"])
legacy_dropout_support = _support(RULES["Dropout"])
legacy_embedding_support = _support(RULES["Embedding"])
legacy_pooling1d_support = _support(RULES["MaxPooling1D"])
legacy_pooling2d_support = _support(RULES["MaxPooling2D"])
legacy_pooling3d_support = _support(RULES["MaxPooling3D"])
legacy_global_pooling_support = _support(RULES["GlobalMaxPooling2D"])
legacy_prelu_support = _support(RULES["PReLU"])
legacy_gaussiannoise_support = _support(RULES["GaussianNoise"])
legacy_gaussiandropout_support = _support(RULES["GaussianDropout"])
legacy_spatialdropout1d_support = _support(RULES["SpatialDropout1D"])
legacy_spatialdropoutNd_support = _support(RULES["SpatialDropout2D"])
legacy_recurrent_support = _support(RULES["LSTM"])
legacy_upsampling1d_support = _support(RULES["UpSampling1D"])
legacy_upsampling2d_support = _support(RULES["UpSampling2D"])
legacy_upsampling3d_support = _support(RULES["UpSampling3D"])
legacy_conv1d_support = _support(RULES["Conv1D"])
legacy_conv2d_support = _support(RULES["Conv2D"])
legacy_conv3d_support = _support(RULES["Conv3D"])
legacy_deconv2d_support = _support(RULES["Conv2DTranspose"])
legacy_separable_conv2d_support = _support(RULES["SeparableConv2D"])
legacy_convlstm2d_support = _support(RULES["ConvLSTM2D"])
legacy_batchnorm_support = _support(RULES["BatchNormalization"])
legacy_zeropadding2d_support = _support(RULES["ZeroPadding2D"])
legacy_zeropadding3d_support = _support(RULES["ZeroPadding3D"])
legacy_cropping2d_support = _support(RULES["Cropping2D"])
legacy_cropping3d_support = _support(RULES["Cropping3D"])
legacy_input_support = _support(RULES["InputLayer"])
legacy_lambda_support = generate_legacy_interface(["function", "output_shape"])
legacy_model_constructor_support = _support(Rule({"input": "inputs", "output": "outputs"}))


def _of_generator(args, kwargs):
    if "samples_per_epoch" not in kwargs:
        return args, False
    generator = args[0] if args else kwargs["generator"]
    kwargs["steps_per_epoch"] = kwargs.pop("samples_per_epoch") // getattr(generator, "batch_size", 1)
    warnings.warn("`steps_per_epoch` counts batches, where `samples_per_epoch` counted examples.", stacklevel=3)
    return args, True


legacy_generator_methods_support = _support(
    Rule(
        {
            "val_samples": "steps",
            "nb_epoch": "epochs",
            "nb_val_samples": "validation_steps",
            "nb_worker": "workers",
            "pickle_safe": "use_multiprocessing",
            "max_q_size": "max_queue_size",
        },
        _of_generator,
    ),
    method=True,
)


def _of_weight(args, kwargs):
    """`add_weight(shape, name)` of Keras 1 as `add_weight(name, shape)`."""
    if args and isinstance(args[0], (tuple, list)):
        kwargs["shape"], *args = args
        if args and isinstance(args[0], str):
            kwargs["name"], *args = args
    return tuple(args), False


def _of_updates(args, kwargs):
    """`get_updates(params, constraints, loss)` of Keras 1 as `get_updates(loss, params)`."""
    if len(args) == 3 or (len(args) == 2 and isinstance(args[0], (list, tuple)) and "loss" in kwargs):
        kwargs["params"] = args[0]
        kwargs.update(zip(["loss"], args[2:], strict=False))
        return (), False
    return args, False


legacy_add_weight_support = _support(Rule({}, _of_weight), method=True)
legacy_get_updates_support = _support(Rule({}, _of_updates), method=True)
