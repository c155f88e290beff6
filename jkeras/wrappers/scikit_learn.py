"""Models as scikit-learn's estimators: in pipelines, cross-validation and searches."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jkeras.callbacks import History
from jkeras.models import Sequential
from jkeras.typing import ArrayLike
from jkeras.utils.generic_utils import has_arg, to_list
from jkeras.utils.np_utils import to_categorical

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ImportError as error:
    raise ImportError(
        "jkeras.wrappers.scikit_learn needs scikit-learn: pip install jkeras[scikit-learn] (or scikit-learn itself)."
    ) from error

__all__ = ["BaseWrapper", "KerasClassifier", "KerasRegressor"]


class BaseWrapper(BaseEstimator):
    """What `KerasClassifier` and `KerasRegressor` share.

    Arguments:
        build_fn: a function, or an object to be called, that returns a compiled model. None for a subclass that defines
            `__call__`, which is taken then.
        **sk_params: arguments of `build_fn`, and of the model's `fit`, `predict` and `evaluate`. What a call of these
            is given goes before.

    Raises:
        ValueError: if none of these has such an argument.
    """

    def __init__(self, build_fn: Callable | None = None, **sk_params: Any):
        self.build_fn = build_fn
        self.sk_params = sk_params
        self.check_params(sk_params)

    def _build_function(self) -> Callable:
        build_fn: Any = self.__call__ if self.build_fn is None else self.build_fn  # type: ignore[attr-defined]
        return build_fn if inspect.isroutine(build_fn) else build_fn.__call__

    def check_params(self, params: Mapping[str, Any]) -> None:
        """Check that each of `params` is an argument of `build_fn`, `fit`, `predict` or `evaluate`.

        Raises:
            ValueError: if one is not.
        """
        functions = [Sequential.fit, Sequential.predict, Sequential.predict_classes, Sequential.evaluate]
        functions.append(self._build_function())
        for name in params:
            if name != "nb_epoch" and not any(has_arg(function, name) for function in functions):
                raise ValueError(f"{name} is not a legal parameter")

    def get_params(self, **params: Any) -> dict:
        """The arguments of the constructor, by name; `params` is there for scikit-learn, and ignored."""
        return {**self.sk_params, "build_fn": self.build_fn}

    def set_params(self, **params: Any) -> "BaseWrapper":
        """Change arguments of the constructor.

        Raises:
            ValueError: if nothing has such an argument.
        """
        self.build_fn = params.pop("build_fn", self.build_fn)
        self.check_params(params)
        self.sk_params = {**self.sk_params, **params}
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model")

    def fit(self, x: ArrayLike, y: ArrayLike, **kwargs: Any) -> History:
        """Build a new model and fit it.

        Arguments:
            x: (n, ...).
            y: (n,) or (n, outputs); class numbers become one-hot rows under the loss `categorical_crossentropy`.
            **kwargs: of the model's `fit`.

        Returns:
            What the model's `fit` returns.
        """
        build = self._build_function()
        self.model = build(**self.filter_sk_params(build))
        arguments = copy.deepcopy(self.filter_sk_params(Sequential.fit)) | kwargs
        return self.model.fit(x, self._targets(y), **arguments)

    def _targets(self, y):
        """`y` as the loss of the model wants it."""
        loss = getattr(self.model.loss, "__name__", self.model.loss)
        one_hot = loss == "categorical_crossentropy" and np.ndim(y) != 2
        return to_categorical(y) if one_hot else y

    def filter_sk_params(self, fn: Callable, override: Mapping[str, Any] | None = None) -> dict:
        """Those of the constructor's arguments that `fn` has, and `override` over them."""
        return {name: value for name, value in self.sk_params.items() if has_arg(fn, name)} | dict(override or {})


class KerasClassifier(ClassifierMixin, BaseWrapper):
    """A model as a classifier of scikit-learn; arguments as of `BaseWrapper`.

    Attributes:
        model: what `build_fn` made for the last `fit`.
        classes_: the labels, in the order of the model's outputs.
        n_classes_: how many.

    Example:
        >>> classifier = KerasClassifier(make_model, units=8, epochs=5, verbose=0)
        >>> cross_val_score(classifier, x, y)
    """

    def fit(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, **kwargs: Any) -> History:
        """Build a new model and fit it.

        Arguments:
            x: (n, ...).
            y: labels of any kind, (n,) or (n, 1), or one-hot rows (n, classes).
            sample_weight: (n,), or None.
            **kwargs: of the model's `fit`.

        Raises:
            ValueError: if `y` has more than two axes.
        """
        y = np.array(y)
        if y.ndim == 2 and y.shape[1] > 1:
            self.classes_ = np.arange(y.shape[1])
        elif y.ndim in (1, 2):
            self.classes_ = np.unique(y)
            y = np.searchsorted(self.classes_, y)
        else:
            raise ValueError(f"Invalid shape for y: {y.shape}")
        self.n_classes_ = len(self.classes_)
        if sample_weight is not None:
            kwargs["sample_weight"] = sample_weight
        return super().fit(x, y, **kwargs)

    def predict(self, x: ArrayLike, **kwargs: Any) -> np.ndarray:
        """The label of each example: (n,), or (n, 1) for a model with one output.

        Arguments:
            x: (n, ...).
            **kwargs: of the model's `predict`.
        """
        scores = self.model.predict(x, **self.filter_sk_params(Sequential.predict_classes, kwargs))
        several = scores.shape[-1] > 1
        return self.classes_[scores.argmax(axis=-1) if several else (scores > 0.5).astype("int32")]

    def predict_proba(self, x: ArrayLike, **kwargs: Any) -> np.ndarray:
        """The probability of each class, (n, classes); two columns also for a model with one output.

        Arguments:
            x: (n, ...).
            **kwargs: of the model's `predict`.
        """
        scores = self.model.predict(x, **self.filter_sk_params(Sequential.predict_proba, kwargs))
        return np.hstack([1 - scores, scores]) if scores.shape[1] == 1 else scores

    def score(self, x: ArrayLike, y: ArrayLike, **kwargs: Any) -> float:
        """The accuracy as the model measures it.

        Arguments:
            x, y: as of `fit`.
            **kwargs: of the model's `evaluate`.

        Raises:
            ValueError: if the model was compiled without `metrics=["accuracy"]`.
        """
        y = np.array(y)
        if y.ndim == 1 or y.shape[1] == 1:
            y = np.searchsorted(self.classes_, y)
        kwargs = self.filter_sk_params(Sequential.evaluate, kwargs)
        results = to_list(self.model.evaluate(x, self._targets(y), **kwargs))
        for name, result in zip(self.model.metrics_names, results, strict=True):
            if name == "acc":
                return result
        raise ValueError(
            "The model is not configured to compute accuracy. You should pass `metrics=['accuracy']` to the "
            "`model.compile()` method."
        )


class KerasRegressor(RegressorMixin, BaseWrapper):
    """A model as a regressor of scikit-learn; arguments as of `BaseWrapper`.

    Attributes:
        model: what `build_fn` made for the last `fit`.
    """

    def predict(self, x: ArrayLike, **kwargs: Any) -> np.ndarray:
        """The outputs, without axes of size 1.

        Arguments:
            x: (n, ...).
            **kwargs: of the model's `predict`.
        """
        return np.squeeze(self.model.predict(x, **self.filter_sk_params(Sequential.predict, kwargs)))

    def score(self, x: ArrayLike, y: ArrayLike, **kwargs: Any) -> float:
        """The loss with its sign turned: the greater the better.

        Arguments:
            x, y: as of `fit`.
            **kwargs: of the model's `evaluate`.
        """
        results = self.model.evaluate(x, y, **self.filter_sk_params(Sequential.evaluate, kwargs))
        return -to_list(results)[0]
