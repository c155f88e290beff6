"""Models as estimators of scikit-learn."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier, is_regressor  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from jkeras.callbacks import Callback  # noqa: E402
from jkeras.layers import Dense  # noqa: E402
from jkeras.models import Sequential  # noqa: E402
from jkeras.wrappers.scikit_learn import KerasClassifier, KerasRegressor  # noqa: E402

RANDOM = np.random.RandomState(0)
LABELS = np.repeat([0, 1, 2], 20)
X = (RANDOM.normal(size=(60, 4)) + 3 * np.eye(4)[LABELS]).astype("float32")
NAMES = np.array(["ant", "bee", "cat"])[LABELS]


def classifier(units=4, lr=0.1):
    model = Sequential([Dense(units, activation="relu", input_shape=(4,)), Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def binary():
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


def regressor(units=4):
    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse")
    return model


class Built:
    def __call__(self, units=4):
        return classifier(units)


class Own(KerasClassifier):
    def __call__(self, units=4):
        return classifier(units)


@pytest.mark.parametrize(
    "make", [lambda **k: KerasClassifier(classifier, **k), lambda **k: KerasClassifier(Built(), **k), Own]
)
def test_classifier(make):
    estimator = make(units=3, epochs=2, batch_size=20, verbose=0)
    history = estimator.fit(X, NAMES)
    assert len(history.history["loss"]) == 2 and estimator.model.layers[0].units == 3
    assert list(estimator.classes_) == ["ant", "bee", "cat"] and estimator.n_classes_ == 3
    assert set(estimator.predict(X)) <= set(NAMES)
    np.testing.assert_allclose(estimator.predict_proba(X, batch_size=7).sum(axis=1), np.ones(60), rtol=1e-5)
    assert estimator.score(X, NAMES) == pytest.approx((estimator.predict(X) == NAMES).mean())
    one_hot = make(verbose=0)
    one_hot.fit(X, np.eye(3)[LABELS], sample_weight=np.ones(60))
    assert one_hot.score(X, np.eye(3)[LABELS]) == pytest.approx((one_hot.predict(X) == LABELS).mean())


def test_one_output_stands_for_two_classes():
    estimator = KerasClassifier(binary, verbose=0)
    estimator.fit(X, NAMES == "ant")
    assert estimator.predict(X).shape == (60, 1) and estimator.predict(X).dtype == bool  # as in Keras
    assert estimator.predict_proba(X).shape == (60, 2)


def test_regressor():
    estimator = KerasRegressor(regressor, epochs=1, verbose=0)
    estimator.fit(X, LABELS)
    assert estimator.predict(X).shape == (60,)
    assert estimator.score(X, LABELS) == pytest.approx(-((estimator.predict(X) - LABELS) ** 2).mean(), rel=1e-4)


def test_what_scikit_learn_asks_of_an_estimator():
    calls = [Callback()]
    estimator = KerasClassifier(classifier, units=3, callbacks=calls, verbose=0)
    assert is_classifier(estimator) and is_regressor(KerasRegressor(regressor))
    assert clone(estimator).get_params()["units"] == 3 and "units=3" in repr(estimator)
    assert estimator.set_params(units=5, build_fn=Built()).get_params()["units"] == 5
    for call in (lambda: KerasClassifier(classifier, unit=3), lambda: estimator.set_params(unit=3)):
        with pytest.raises(ValueError, match="unit is not a legal parameter"):
            call()
    with pytest.raises(ValueError, match="accuracy"):
        unmeasured = KerasClassifier(regressor, verbose=0)
        unmeasured.fit(X, LABELS)
        unmeasured.score(X, LABELS)


def test_pipelines_searches_and_cross_validation():
    estimator = KerasClassifier(classifier, epochs=2, verbose=0)
    pipeline = make_pipeline(StandardScaler(), estimator)
    assert cross_val_score(pipeline, X, NAMES, cv=3, scoring="accuracy").shape == (3,)
    search = GridSearchCV(pipeline, {"kerasclassifier__units": [2, 3], "kerasclassifier__batch_size": [30]}, cv=2)
    search.fit(X, NAMES)
    assert search.best_params_["kerasclassifier__units"] in (2, 3)
    assert set(search.predict(X)) <= set(NAMES)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
