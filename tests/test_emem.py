"""Starts from many short EM runs: they find the best optimum, whatever the units."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure

datasets = pytest.importorskip("sklearn.datasets")
Rows = NDArray[np.float64]

IRIS_BEST = -180.1854 / 150  # VVV,3: mclust's log-likelihood
FINE = {"tol": 1e-7, "max_iter": 2000, "reg_covar": 0.0}


def iris() -> Rows:
    return np.ascontiguousarray(datasets.load_iris().data)


def mixture(X: Rows, seed: int, structure: Structure = "full", **params: object) -> GaussianMixture:
    model = GaussianMixture(
        3,
        covariance_type=structure,
        init_params="emem",
        random_state=seed,
        **{**FINE, **params},  # type: ignore[arg-type]
    )
    return model.fit(X)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_known_optimum_of_iris_is_found(seed: int) -> None:
    assert mixture(iris(), seed).lower_bound_ == pytest.approx(IRIS_BEST, abs=1e-4)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_units_do_not_matter(structure: Structure) -> None:
    X = iris()
    scale = 1e4 if structure == "spherical" else np.array([1e-3, 1.0, 1e4, 10.0])
    one, other = mixture(X, 0, structure), mixture(np.ascontiguousarray(X * scale), 0, structure)
    jacobian = np.log(np.broadcast_to(scale, 4)).sum()
    assert other.lower_bound_ + jacobian == pytest.approx(one.lower_bound_, abs=1e-6)
    assert np.allclose(other.means_ / scale, one.means_, rtol=1e-3)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_rotations_do_not_matter(structure: Structure) -> None:
    X = iris() - iris().mean(axis=0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    one, other = mixture(X, 0, structure), mixture(np.ascontiguousarray(X @ rotation), 0, structure)
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, abs=1e-6)
    assert np.allclose(other.means_ @ rotation.T, one.means_, atol=1e-3)


def test_a_start_repeats_on_any_number_of_threads() -> None:
    X = np.random.default_rng(1).normal(size=(20_000, 3))
    one, two = (mixture(X, 5, max_iter=0, n_threads=n) for n in (1, 2))
    assert np.array_equal(one.means_, two.means_)
    assert np.array_equal(one.covariances_, two.covariances_)
