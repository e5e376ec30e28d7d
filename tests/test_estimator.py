"""What the base classes give every estimator, tried on the smallest ones that use them."""

import copy
import pickle
import re
from typing import Any, Self

import numpy as np
import pytest

import gaussmix.estimators.base
from gaussmix.errors import NotFittedError, ParameterError
from gaussmix.estimators.base import Estimator, Transformer, remember_features


class Model(Estimator):
    def __init__(self, size: int = 1, *, start: object = None, scale: float = 0.5) -> None:
        self.size = size
        self.start = start
        self.scale = scale

    def fit(self, X: object) -> Self:
        data, names = self._data_for_fit(X)
        remember_features(self, data.n_features, names)
        self.mean_ = data.head().mean(axis=0)
        return self

    def predict(self, X: object) -> Any:
        return next(self._data(X, None, None).blocks()).rows - self.mean_


class Columns(Transformer):
    def fit(self, X: object) -> Self:
        data, names = self._data_for_fit(X)
        remember_features(self, data.n_features, names)
        self.mean_ = data.head().mean(axis=0)
        self._n_features_out = 2
        return self

    def transform(self, X: object) -> Any:
        return self._wrapped(next(self._data(X, None, None).blocks()).rows[:, :2], X)


X = np.arange(12.0).reshape(4, 3)


def frame(*names: object) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X[:, : len(names)], columns=list(names), index=[3, 1, 4, 5])


def test_parameters_are_those_of_the_constructor() -> None:
    model = Model(3, start="here")
    assert model.get_params() == {"size": 3, "start": "here", "scale": 0.5}
    assert model.set_params(scale=2.0, size=4) is model
    assert (model.size, model.start, model.scale) == (4, "here", 2.0)
    assert model.set_params() is model


def test_parameters_of_an_estimator_inside() -> None:
    outer = Model(start=Model(7))
    assert outer.get_params()["start__size"] == 7
    assert "start__size" not in outer.get_params(deep=False)
    outer.set_params(start__size=8, start__scale=1.0)
    assert (outer.start.size, outer.start.scale) == (8, 1.0)  # type: ignore[attr-defined]
    inner = Model()
    outer.set_params(start__size=9, start=inner)
    assert inner.size == 9


@pytest.mark.parametrize("start", [None, "here", 3])
def test_parameters_of_what_has_none_are_refused(start: Any) -> None:
    model = Model(start=start)
    with pytest.raises(ParameterError, match=f"start__size cannot be set, since start={start!r}"):
        model.set_params(start__size=8)
    assert model.start == start


def test_a_class_as_parameter_is_not_asked_for_its_own() -> None:
    assert Model(start=Model).get_params() == {"size": 1, "start": Model, "scale": 0.5}


@pytest.mark.parametrize("name", ["width", "width__size"])
def test_an_unknown_parameter_is_named_with_those_there_are(name: str) -> None:
    message = (
        "Invalid parameter 'width' for estimator Model(size=2). "
        "Valid parameters are: ['scale', 'size', 'start']."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        Model(2).set_params(**{name: 1})


def test_repr_shows_what_is_not_default() -> None:
    assert repr(Model()) == "Model()"
    assert repr(Model(1, scale=0.5)) == "Model()"
    assert repr(Model(2, start="a")) == "Model(size=2, start='a')"
    assert repr(Model(start=np.zeros((40, 3)))) == "Model(start=<array of shape (40, 3)>)"
    assert repr(Model(start=np.array([1, 2]))) == "Model(start=array([1, 2]))"
    assert repr(Model(start=Model(3))) == "Model(start=Model(size=3))"


def test_nothing_works_before_fit() -> None:
    with pytest.raises(NotFittedError, match="This Model instance is not fitted yet"):
        Model().predict(X)
    with pytest.raises(NotFittedError, match="This Columns instance is not fitted yet"):
        Columns().get_feature_names_out()


def test_a_fit_that_fails_leaves_the_model_unfitted() -> None:
    model = Model()
    with pytest.raises(ValueError, match="minimum of 1 is required by Model"):
        model.fit(X[:0])
    assert vars(model) == {"size": 1, "start": None, "scale": 0.5}
    model.n_features_in_ = 3  # as after a fit that failed later
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_the_number_of_features_is_remembered() -> None:
    model = Model().fit(X)
    assert model.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 2 features, but Model is expecting 3 features as"):
        model.predict(X[:, :2])
    assert model.fit(X[:, :2]).n_features_in_ == 2


@pytest.mark.filterwarnings("error")
def test_names_of_columns_are_remembered() -> None:
    model = Model().fit(frame("a", "b", "c"))
    assert model.feature_names_in_.dtype == object
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert np.array_equal(model.predict(frame("a", "b", "c")), model.mean_ * [-1] + X)
    assert not hasattr(model.fit(X), "feature_names_in_")
    assert not hasattr(model.fit(frame(0, 1, 2)), "feature_names_in_")


def test_names_of_polars_columns_too() -> None:
    polars = pytest.importorskip("polars")
    model = Model().fit(polars.DataFrame(X, schema=["a", "b", "c"], orient="row"))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


def test_names_on_one_side_only_warn_at_the_caller() -> None:
    with pytest.warns(UserWarning, match="X does not have valid feature names, but Model") as seen:
        Model().fit(frame("a", "b", "c")).predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but Model was fitted without") as so:
        Model().fit(X).predict(frame("a", "b", "c"))
    assert [record.filename for record in (*seen, *so)] == [__file__, __file__]


def test_mixed_names_are_refused() -> None:
    with pytest.raises(TypeError, match=r"your input has \['int', 'str'\] as feature name"):
        Model().fit(frame("a", 1, "c"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("bac", "Feature names must be in the same order as they were in fit.\n"),
        (
            "axc",
            "unseen at fit time:\n- x\nFeature names seen at fit time, yet now missing:\n- b\n",
        ),
        ("ab", "Feature names seen at fit time, yet now missing:\n- c\n"),
    ],
)
def test_other_names_are_refused(names: str, message: str) -> None:
    model = Model().fit(frame("a", "b", "c"))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        model.predict(frame(*names))
    assert str(caught.value).startswith("The feature names should match those that were passed")


def test_at_most_five_names_are_listed() -> None:
    pandas = pytest.importorskip("pandas")
    wide = np.zeros((2, 8))
    model = Model().fit(pandas.DataFrame(wide, columns=list("abcdefgh")))
    with pytest.raises(ValueError, match=r"now missing:\n- a\n- b\n- c\n- d\n- e\n- \.\.\.\n$"):
        model.predict(pandas.DataFrame(wide[:, 6:], columns=list("gh")))


@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
@pytest.mark.filterwarnings("error")
def test_models_pickle(again: Any) -> None:
    model = Model(2).fit(X)
    other = again(model)
    assert vars(other).keys() == vars(model).keys()
    assert np.array_equal(other.predict(X), model.predict(X))


def test_a_pickle_of_another_version_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussmix.estimators.base, "version", lambda: "7.5")
    pickled = pickle.dumps(Model(2).fit(X))
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"This Model was pickled by gaussmix 7\.5 and is read by"):
        model = pickle.loads(pickled)
    assert model.size == 2


def test_names_of_made_columns() -> None:
    model = Columns().fit(frame("a", "b", "c"))
    assert model.get_feature_names_out().tolist() == ["columns0", "columns1"]
    assert model.get_feature_names_out(["a", "b", "c"]).dtype == object
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        model.get_feature_names_out(["a", "b", "d"])
    with pytest.raises(ValueError, match=r"equal to number of features \(3\), got 2"):
        Columns().fit(X).get_feature_names_out(["a", "b"])
    with pytest.raises(ValueError, match="input_features should have length"):
        Columns().fit(X).get_feature_names_out("abc")


def test_made_columns_come_in_the_container_asked_for() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    model = Columns().fit(frame("a", "b", "c"))
    assert model.set_output() is model
    assert type(model.transform(frame("a", "b", "c"))) is np.ndarray

    made = model.set_output(transform="pandas").transform(frame("a", "b", "c"))
    assert isinstance(made, pandas.DataFrame)
    assert (list(made.columns), list(made.index)) == (["columns0", "columns1"], [3, 1, 4, 5])
    assert np.array_equal(made.to_numpy(), X[:, :2])

    made = Columns().fit(X).set_output(transform="pandas").transform(X.tolist())
    assert list(made.index) == [0, 1, 2, 3]  # a list has an `index` too, which is a method

    made = model.set_output(transform="polars").transform(frame("a", "b", "c"))
    assert isinstance(made, polars.DataFrame)
    assert made.columns == ["columns0", "columns1"]
    assert np.array_equal(made.to_numpy(), X[:, :2])

    model.set_output(transform="default")
    assert type(model.transform(frame("a", "b", "c"))) is np.ndarray
    with pytest.raises(ValueError, match="transform must be one of 'default', 'pandas', 'polars'"):
        model.set_output(transform="arrow")
