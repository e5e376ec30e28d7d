"""scikit-learn takes our estimators for its own: its checks, its tools, and nothing imported."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", minversion="1.6")

from sklearn import cluster, config_context
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import gaussmix
from gaussmix import BayesianGaussianMixture, GaussianMixture, KMeans

# As few iterations as scikit-learn's own tests give to its estimators of these names.
CHECKED = [
    GaussianMixture(max_iter=5, n_init=2),
    BayesianGaussianMixture(max_iter=5, n_init=2),
    KMeans(n_clusters=2, max_iter=5, n_init=2),
]


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


@pytest.fixture
def routing() -> Iterator[None]:
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_requests_are_those_of_scikit_learns_own_classes() -> None:
    ours, theirs = KMeans().get_metadata_routing(), cluster.KMeans().get_metadata_routing()
    assert str(ours) == str(theirs)
    asked = GaussianMixture().get_metadata_routing()
    for method in ("fit", "partial_fit", "score"):
        assert getattr(asked, method).requests == {"sample_weight": None}
    assert asked.predict.requests == {}


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("estimator", [GaussianMixture(2), KMeans(2)])
def test_weights_are_routed_through_a_pipeline(estimator: Any, blobs: NDArray[np.float64]) -> None:
    weight = (np.arange(len(blobs)) % 2).astype(float)
    estimator = clone(estimator).set_params(random_state=0)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
    with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
        pipeline.fit(blobs, sample_weight=weight)
    assert estimator.set_fit_request(sample_weight=True) is estimator
    estimator.set_score_request(sample_weight=True)
    scaled = StandardScaler().fit_transform(blobs)
    expected = clone(estimator).fit(scaled, sample_weight=weight)
    assert np.array_equal(
        pipeline.fit(blobs, sample_weight=weight).predict(blobs), expected.predict(scaled)
    )
    score = pipeline.score(blobs, sample_weight=weight)
    assert score == expected.score(scaled, sample_weight=weight)
    assert score != expected.score(scaled)


@pytest.mark.usefixtures("routing")
def test_weights_are_routed_through_a_grid_search(blobs: NDArray[np.float64]) -> None:
    X, weight = blobs[:600], np.arange(1.0, 601)
    mixture = GaussianMixture(2, random_state=0)
    mixture.set_fit_request(sample_weight="mass").set_score_request(sample_weight="mass")
    search = GridSearchCV(mixture, {"n_components": [2]}, cv=2).fit(X, mass=weight)
    halves = (slice(0, 300), slice(300, 600))
    scores = [
        GaussianMixture(2, random_state=0)
        .fit(X[other], sample_weight=weight[other])
        .score(X[half], sample_weight=weight[half])
        for half, other in (halves, halves[::-1])
    ]
    assert search.best_score_ == pytest.approx(np.mean(scores), rel=1e-12)
    whole = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    assert np.array_equal(search.best_estimator_.means_, whole.means_)


@pytest.mark.usefixtures("routing")
def test_requests_are_kept_and_can_be_changed() -> None:
    mixture = GaussianMixture().set_fit_request(sample_weight=True)
    mixture.set_partial_fit_request(sample_weight=False).set_score_request()
    for copy in (clone(mixture), pickle.loads(pickle.dumps(mixture)), deepcopy(mixture)):
        asked = copy.get_metadata_routing()
        assert asked.fit.requests == {"sample_weight": True}
        assert asked.partial_fit.requests == {"sample_weight": False}
        assert asked.score.requests == {"sample_weight": None}
    clone(mixture).set_fit_request(sample_weight=None)
    assert mixture.get_metadata_routing().fit.requests == {"sample_weight": True}
    with pytest.raises(ValueError, match="should be either a valid identifier or one of"):
        mixture.set_fit_request(sample_weight="no name")
    assert mixture.get_metadata_routing().fit.requests == {"sample_weight": True}


def test_requests_need_routing() -> None:
    with pytest.raises(RuntimeError, match=r"set_fit_request is only .*enable_metadata_routing"):
        KMeans().set_fit_request(sample_weight=True)


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
