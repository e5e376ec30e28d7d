"""MAP adaptation: Reynolds's formulas, written out, and the case that speech toolkits check."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import gaussmix
from gaussmix import GaussianMixture, ParameterError
from gaussmix._core.types import CovarianceType, FloatArray
from gaussmix.model.families import CODES

ALL = ("weights", "means", "covariances")


def world(structure: CovarianceType = "full", n_components: int = 3) -> GaussianMixture:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 2)) + 3 * rng.integers(3, size=(400, 1))
    model = GaussianMixture(n_components, covariance_type=structure, random_state=0, tol=1e-2)
    return model.fit(rows)


X = np.random.default_rng(1).normal(size=(70, 2)) * 1.5 + [2.0, 3.0]


def test_the_checked_case() -> None:
    means = np.array([[2.0] * 3, [8.0] * 3])
    model = GaussianMixture.from_parameters([0.5, 0.5], means, np.ones((2, 3)), "diag")
    rows = np.array([[1, 2, 2], [2, 1, 2], [7, 8, 9], [7, 7, 8], [7, 9, 7]], np.float64)
    found = model.adapt(rows, relevance=4, parameters=("weights", "means"))
    assert_allclose(found.means_, [[1.83333, 1.83333, 2.0], [7.57143, 8.0, 8.0]], rtol=0, atol=1e-5)
    assert_allclose(found.weights_, [0.46226415, 0.53773585], rtol=0, atol=1e-8)
    assert_array_equal(found.covariances_, np.ones((2, 3)))
    assert_array_equal(model.means_, means)
    assert_array_equal(model.weights_, [0.5, 0.5])


def reynolds(
    model: GaussianMixture, rows: FloatArray, weight: FloatArray, r: float, parts: tuple[str, ...]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and covariances (K, D, D) by the formulas of the paper."""
    resp = model.predict_proba(rows) * weight[:, None]
    n = resp.sum(axis=0)
    part = n / (n + r)
    mean = resp.T @ rows / n[:, None]
    square = np.einsum("nk,ni,nj->kij", resp, rows, rows) / n[:, None, None]
    weights = part * n / weight.sum() + (1 - part) * model.weights_
    weights = weights / weights.sum() if "weights" in parts else model.weights_
    means = part[:, None] * mean + (1 - part)[:, None] * model.means_
    old = np.einsum("ki,kj->kij", model.means_, model.means_)
    if model.covariance_type == "diag":
        spread = model.covariances_[:, :, None] * np.eye(2)
    else:
        spread = model.covariances_
    a = part[:, None, None]
    if "means" not in parts:
        cross = np.einsum("ki,kj->kij", mean, model.means_)
        about = square - cross - cross.swapaxes(1, 2) + old
        covariances = a * about + (1 - a) * spread
        means = model.means_
    else:
        covariances = a * square + (1 - a) * (spread + old) - np.einsum("ki,kj->kij", means, means)
    return weights, means, covariances


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("parts", [ALL, ("covariances",), ("means", "covariances"), ("weights",)])
def test_formulas(structure: CovarianceType, parts: tuple[str, ...]) -> None:
    model = world(structure)
    weight = np.random.default_rng(2).uniform(0.5, 2, size=len(X))
    found = model.adapt(X, 7.5, parts, sample_weight=weight)
    weights, means, covariances = reynolds(model, X, weight, 7.5, parts)
    assert_allclose(found.weights_, weights, rtol=1e-10)
    assert_allclose(found.means_, means, rtol=1e-10)
    if "covariances" not in parts:
        assert_array_equal(found.covariances_, model.covariances_)
        return
    if structure == "diag":
        covariances = np.einsum("kii->ki", covariances)
    assert_allclose(found.covariances_, covariances, rtol=1e-9, atol=1e-12)
    assert_allclose(
        found.precisions_,
        np.reciprocal(covariances) if structure == "diag" else (np.linalg.inv(covariances)),
        rtol=1e-8,
    )


def test_one_matrix_counts_for_the_rows_of_every_component() -> None:
    model = world("tied")
    found = model.adapt(X, 10, "covariances")
    resp = model.predict_proba(X)
    scatter = 3 * 10 * model.covariances_
    for k, mean in enumerate(model.means_):
        scatter += (resp[:, [k]] * (X - mean)).T @ (X - mean)
    assert_allclose(found.covariances_, scatter / (len(X) + 3 * 10), rtol=1e-9)
    assert_array_equal(found.means_, model.means_)


@pytest.mark.parametrize("structure", CODES)
def test_every_family_stays_in_it(structure: CovarianceType) -> None:
    model = world(structure)
    found = model.adapt(X, parameters=ALL)
    again = GaussianMixture.from_parameters(  # refuses what is not of the family
        found.weights_, found.means_, found.covariances_, structure
    )
    assert again.score(X) > model.score(X)
    assert_allclose(model.adapt(X, 1e9, ALL).covariances_, model.covariances_, rtol=1e-5)


def test_a_component_without_rows_stays() -> None:
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0.0, 0.0], [1e3, 1e3]], [np.eye(2)] * 2, "full"
    )
    found = model.adapt(X - X.mean(axis=0), parameters=ALL)
    assert_array_equal(found.means_[1], model.means_[1])
    assert_allclose(found.covariances_[1], np.eye(2), rtol=1e-9)


def test_the_new_model_stands_by_itself() -> None:
    model = world()
    found = model.adapt(X, parameters="means")
    found.weights_[0] += 0.1
    assert model.weights_.sum() == pytest.approx(1)
    assert found.get_params() == model.get_params()
    assert not hasattr(found, "lower_bound_")
    assert hasattr(model, "lower_bound_")


def test_files_dtypes_and_scoring(tmp_path: Path) -> None:
    model = world()
    np.save(tmp_path / "rows.npy", X)
    found = model.adapt(X, parameters=ALL)
    assert_array_equal(model.adapt(tmp_path / "rows.npy", parameters=ALL).means_, found.means_)
    assert_allclose(model.adapt(X.astype(np.float32)).means_, found.means_, atol=1e-4)
    gaussmix.save(found, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz", GaussianMixture)
    assert_array_equal(loaded.score_samples(X), found.score_samples(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"relevance": 0}, "relevance"),
        ({"relevance": np.nan}, "relevance"),
        ({"parameters": ()}, "parameters must not be empty"),
        ({"parameters": ("means", "size")}, "parameters must be"),
        ({"parameters": 3}, "parameters must be names"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        world().adapt(X, **arguments)


def test_a_model_must_be_fitted() -> None:
    with pytest.raises(gaussmix.NotFittedError):
        GaussianMixture().adapt(X)
