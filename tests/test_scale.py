"""Rows so close to each other that their squares underflow, and components that rounding hides."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture, KMeans, PrecisionWarning, scan
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import rounding_errors

SMALL: list[tuple[Any, float]] = [(np.float32, 1e-21), (np.float32, 1e-23), (np.float32, 1e-40)]
SMALL += [(np.float64, 1e-157), (np.float64, 1e-170)]
BARELY = [(np.float32, 1e-18), (np.float64, 1e-152)]

Blobs = NDArray[np.float64]

each_small = pytest.mark.parametrize(("dtype", "scale"), SMALL)
each_barely = pytest.mark.parametrize(("dtype", "scale"), BARELY)


@pytest.mark.filterwarnings("error")
@each_small
def test_k_means_refuses_rows_too_close_to_each_other(
    isa: str, blobs: Blobs, dtype: Any, scale: float
) -> None:
    X = (scale * blobs).astype(dtype)
    for init in ("k-means++", "random"):
        with pytest.raises(ValueError, match=r"all features of X vary by no .*: scale the f"):
            KMeans(3, init=init, random_state=0).fit(X)


@pytest.mark.filterwarnings("error")
@each_small
def test_centers_too_close_together_are_refused(blobs: Blobs, dtype: Any, scale: float) -> None:
    model = KMeans(3, random_state=0).fit(blobs)
    model.cluster_centers_ *= scale
    X = (scale * blobs).astype(dtype)
    for call in (model.predict, model.transform, model.score):
        with pytest.raises(ValueError, match=r"features of the centers vary by no .*: scale"):
            call(X)


@pytest.mark.filterwarnings("error")
@each_barely
def test_the_clusters_of_small_rows(isa: str, blobs: Blobs, dtype: Any, scale: float) -> None:
    expected = KMeans(3, random_state=0).fit(blobs.astype(dtype))
    X = (scale * blobs).astype(dtype)
    model = KMeans(3, random_state=0).fit(X)
    assert np.array_equal(model.labels_, expected.labels_)
    assert np.array_equal(model.predict(X), model.labels_)
    assert model.inertia_ == pytest.approx(expected.inertia_ * scale**2, rel=1e-5)


@pytest.mark.filterwarnings("error")
@each_small
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_mixture_refuses_a_feature_that_varies_too_little(
    blobs: Blobs, structure: Structure, dtype: Any, scale: float, tmp_path: Path
) -> None:
    X = (blobs * [1, scale, 1]).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    model = GaussianMixture(3, covariance_type=structure, reg_covar=0, random_state=0)
    for data in (X, scan(tmp_path / "X.npy")):
        for call in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=r"feature 1 of X varies by no .*: scale the"):
                call(data)


@pytest.mark.filterwarnings("error")
@each_barely
@pytest.mark.parametrize("structure", ["full", "diag"])
def test_the_mixture_of_small_rows(
    isa: str, blobs: Blobs, structure: Structure, dtype: Any, scale: float
) -> None:
    def fit(X: Blobs) -> float:
        model = GaussianMixture(3, covariance_type=structure, reg_covar=0, random_state=0)
        return model.fit(X.astype(dtype)).lower_bound_

    assert fit(scale * blobs) == pytest.approx(fit(blobs) - 3 * np.log(scale), rel=1e-5)


def test_reg_covar_hides_what_varies_too_little(blobs: Blobs) -> None:
    X = (blobs * [1, 1e-23, 1]).astype(np.float32)
    model = GaussianMixture(3, random_state=0).fit(X)
    assert model.converged_
    np.testing.assert_allclose(model.covariances_[:, 1, 1], 1e-6)


def test_a_constant_feature_is_not_too_small(blobs: Blobs) -> None:
    X = (blobs * [1, 0, 1]).astype(np.float32)
    with pytest.warns(UserWarning, match="collapsed"):
        GaussianMixture(3, reg_covar=0, random_state=0).fit(X)
    with pytest.warns(UserWarning, match=r"distinct clusters \(1\)"):
        KMeans(2, random_state=0).fit(0 * X)


def test_only_the_first_rows_are_close_to_each_other(blobs: Blobs) -> None:
    X = np.concatenate([1e-23 * blobs, blobs]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first rows are a point
        model = GaussianMixture(3, reg_covar=0, random_state=0).fit(X)
    assert np.isfinite(model.lower_bound_)


def test_rows_of_a_dask_collection_too_close_to_each_other(blobs: Blobs) -> None:
    dask_array = pytest.importorskip("dask.array")
    X = dask_array.from_array((1e-23 * blobs).astype(np.float32), chunks=(1024, 3))
    with pytest.raises(ValueError, match="all features of X vary by no more than"):
        KMeans(3, random_state=0).fit(X)
    with pytest.raises(ValueError, match="feature 0 of X varies by no more than"):
        GaussianMixture(3, reg_covar=0, random_state=0).fit(X)


# Rounding -------------------------------------------------------------------------------------


def two_far_groups(ratio: float, n_features: int) -> Blobs:
    """Two close groups, whose sigma is a ratio of their distance from the mean, and a wide one."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4000, n_features))
    noise[:2000] *= ratio
    centers = np.repeat([1.0, 1 + 3 * ratio, -1.0], [1000, 1000, 2000])
    return rng.permutation(centers[:, None] + noise)


def fit_far_groups(X: NDArray[Any], ratio: float, structure: Structure) -> GaussianMixture:
    size = 3, X.shape[1]
    start = Parameters.from_covariances(
        structure,
        np.array([0.25, 0.25, 0.5]),
        np.outer([1, 1 + 3 * ratio, -1], np.ones(size[1])),
        np.array([ratio**2, ratio**2, 1.0]).reshape(3, *(1,) * (1 + (structure == "full")))
        * (np.eye(size[1]) if structure == "full" else np.ones(size[1])),
    )
    return GaussianMixture(
        3,
        covariance_type=structure,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
        reg_covar=0,
        tol=0,
        max_iter=20,
    ).fit(X)


@pytest.mark.filterwarnings("ignore:Best performing:UserWarning")
@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("n_features", [2, 8, 32])
@pytest.mark.parametrize("ratio", [1e-3, 1e-4, 1e-5, 1e-6])
def test_how_far_em_falls_in_float32(
    compiled_isa: str, ratio: float, n_features: int, structure: Structure
) -> None:
    X = two_far_groups(ratio, n_features).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PrecisionWarning)
        model = fit_far_groups(X, ratio, structure)
    parameters = Parameters(
        model._fitted_structure,
        model.weights_,
        model.means_,
        model.covariances_,
        model.precisions_cholesky_,
    )
    expected = rounding_errors(parameters, X.dtype).max()
    assert expected == pytest.approx(6e-8 / ratio, rel=2)
    assert np.diff(model.lower_bounds_).min() > -2 * expected
    messages = [str(w.message) for w in caught if w.category is PrecisionWarning]
    assert len(messages) == (expected > 1e-2)
    for message in messages:
        assert "Components 0, 1 lost digits" in message
        assert "Convert X to float64" in message


@pytest.mark.filterwarnings("ignore:Best performing:UserWarning")
def test_online_em_warns_of_lost_digits_once() -> None:
    X = two_far_groups(1e-6, 3).astype(np.float32)
    with pytest.warns(PrecisionWarning, match="Components 0, 1 lost digits"):
        start = fit_far_groups(X, 1e-6, "full")
    model = GaussianMixture.from_parameters(start.weights_, start.means_, start.covariances_)
    model.set_params(reg_covar=0)
    with pytest.warns(PrecisionWarning, match="Components 0, 1 lost digits"):
        model.partial_fit(X)
    model.partial_fit(X)  # warnings are errors
    with pytest.warns(PrecisionWarning, match="Components 0, 1 lost digits"):
        model.set_params(warm_start=True, max_iter=1, tol=10).fit(X)


@pytest.mark.filterwarnings("ignore:Best performing:UserWarning")
@pytest.mark.filterwarnings("error::gaussmix.PrecisionWarning")
def test_float64_has_digits_enough() -> None:
    assert np.isfinite(fit_far_groups(two_far_groups(1e-6, 3), 1e-6, "full").lower_bound_)
