"""scikit-learn takes our estimators for its own: its checks, its tools, and nothing imported."""

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone, is_clusterer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import gaussmix
from gaussmix import GaussianMixture, KMeans

# As few iterations as scikit-learn's own tests give to its estimators of these names.
CHECKED = [GaussianMixture(max_iter=5, n_init=2), KMeans(n_clusters=2, max_iter=5, n_init=2)]


def expected_failed_checks(estimator: object) -> dict[str, str]:
    """What scikit-learn expects of its own class: random starts draw from other rows."""
    if isinstance(estimator, KMeans):
        return {
            f"check_sample_weight_equivalence_on_{kind}_data": (
                "sample_weight is not equivalent to removing/repeating samples."
            )
            for kind in ("dense", "sparse")
        }
    return {}


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from `sklearn.base")
    each_check = parametrize_with_checks(CHECKED, expected_failed_checks=expected_failed_checks)


@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
@each_check  # type: ignore[untyped-decorator]
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_tags() -> None:
    mixture, kmeans = get_tags(GaussianMixture()), get_tags(KMeans())
    assert mixture.estimator_type == "density_estimator"
    assert mixture.transformer_tags is None
    assert is_clusterer(KMeans())
    assert kmeans.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert kmeans.input_tags.sparse
    assert not mixture.input_tags.sparse
    assert not mixture.target_tags.required


@pytest.mark.parametrize("estimator", [GaussianMixture(3, tol=1e-4), KMeans(3, init="random")])
def test_clone_keeps_parameters_alone(estimator: Any, blobs: NDArray[np.float64]) -> None:
    copy = clone(estimator.fit(blobs))
    assert copy.get_params() == estimator.get_params()
    assert vars(copy).keys() == copy.get_params().keys()


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(3, random_state=0), KMeans(3, random_state=0)]
)
def test_pickle_predicts_the_same(estimator: Any, blobs: NDArray[np.float64]) -> None:
    again = pickle.loads(pickle.dumps(estimator.fit(blobs)))
    assert np.array_equal(again.predict(blobs), estimator.predict(blobs))


@pytest.mark.parametrize(
    "estimator", [GaussianMixture(3, random_state=0), KMeans(3, random_state=0)]
)
def test_pipeline(estimator: Any, blobs: NDArray[np.float64]) -> None:
    pipeline = make_pipeline(StandardScaler(), estimator).fit(blobs)
    scaled = StandardScaler().fit_transform(blobs)
    assert np.array_equal(pipeline.predict(blobs), clone(estimator).fit(scaled).predict(scaled))
    assert type(estimator).__name__ in repr(pipeline)
    assert type(estimator).__name__ in pipeline._repr_html_()


def test_weights_reach_the_last_step_of_a_pipeline(blobs: NDArray[np.float64]) -> None:
    weight = (np.arange(len(blobs)) % 2).astype(float)
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    mean = pipeline.fit(blobs, gaussianmixture__sample_weight=weight)[-1].means_[0]
    expected = StandardScaler().fit_transform(blobs)[1::2].mean(axis=0)
    np.testing.assert_allclose(mean, expected, atol=1e-12)


def test_kmeans_in_the_middle_of_a_pipeline_makes_frames(blobs: NDArray[np.float64]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs, columns=["a", "b", "c"])
    pipeline = make_pipeline(KMeans(3, random_state=0), StandardScaler())
    made = pipeline.set_output(transform="pandas").fit_transform(frame)
    assert list(made.columns) == ["kmeans0", "kmeans1", "kmeans2"]


def test_grid_search_finds_the_number_of_components(blobs: NDArray[np.float64]) -> None:
    search = GridSearchCV(
        GaussianMixture(random_state=0, covariance_type="spherical"),
        {"n_components": [1, 2, 3]},
        cv=3,
    )
    search.fit(blobs[:600])
    assert search.best_params_ == {"n_components": 3}
    assert search.best_score_ == pytest.approx(
        cross_val_score(search.best_estimator_, blobs[:600], cv=3).mean()
    )


def test_frames(blobs: NDArray[np.float64]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs, columns=["a", "b", "c"])
    for estimator in (GaussianMixture(3, random_state=0), KMeans(3, random_state=0)):
        labels = estimator.fit(frame).predict(frame)
        assert estimator.feature_names_in_.tolist() == ["a", "b", "c"]
        assert np.array_equal(labels, estimator.fit(blobs).predict(blobs))


def test_our_errors_are_scikit_learns(blobs: NDArray[np.float64]) -> None:
    for estimator in (GaussianMixture(), KMeans()):
        with pytest.raises(NotFittedError):
            estimator.predict(blobs)
    with pytest.warns(ConvergenceWarning):
        GaussianMixture(3, max_iter=1, tol=0, random_state=0).fit(blobs)
    with pytest.warns(gaussmix.ConvergenceWarning, match="distinct clusters"):
        KMeans(3).fit(np.ones((5, 2)))


def test_importing_gaussmix_imports_no_optional_library() -> None:
    code = (
        "import sys, gaussmix; gaussmix.KMeans(1).fit([[0.0], [1.0]]).predict([[0.5]]);"
        "print(*{'sklearn', 'matplotlib', 'tqdm', 'pandas', 'polars'} & sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.split() == []
