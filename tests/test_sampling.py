"""New rows: their distribution, and that threads do not change them."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.model.parameters import Parameters
from gaussmix.queries import sampling
from gaussmix.queries.sampling import draw


def mixture(structure: Structure) -> Parameters:
    matrix = np.array([[2.0, 0.7], [0.7, 1.0]])
    covariances = {
        "full": np.array([matrix, np.eye(2), 3 * matrix]),
        "tied": matrix,
        "diag": np.array([[1.0, 4.0], [2.0, 0.5], [1.0, 1.0]]),
        "spherical": np.array([1.0, 4.0, 0.25]),
    }
    means = np.array([[0.0, 0.0], [10.0, -5.0], [0.0, 100.0]])
    weights = np.array([0.5, 0.0, 0.5])
    return Parameters.from_covariances(structure, weights, means, covariances[structure])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_squared_distances_are_chi_squared(structure: Structure) -> None:
    parameters = mixture(structure)
    X, labels = draw(parameters, 100_000, np.random.RandomState(0))
    counts = np.bincount(labels, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] - 50_000) < 5 * np.sqrt(25_000)
    assert (np.diff(labels) >= 0).all()
    for k in (0, 2):
        deviations = X[labels == k] - parameters.means[k]
        precision = np.linalg.inv(parameters.full_covariances()[k])
        squares = np.einsum("nd,de,ne->n", deviations, precision, deviations)
        assert kstest(squares, chi2(2).cdf).pvalue > 1e-4
        covariance = np.cov(deviations.T)
        assert np.allclose(covariance, parameters.full_covariances()[k], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_threads_do_not_change_a_bit(structure: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PARALLEL_VALUES", 0)
    monkeypatch.setattr(sampling, "BLOCK_VALUES", 1 << 10)
    results = [draw(mixture(structure), 20_001, np.random.RandomState(3), n) for n in (1, 2, 5)]
    for X, labels in results[1:]:
        assert np.array_equal(X, results[0][0])
        assert np.array_equal(labels, results[0][1])


def test_blocks_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_VALUES", 64)
    parameters = Parameters.from_covariances("spherical", np.ones(1), np.zeros((1, 1)), np.ones(1))
    X, _ = draw(parameters, 64_000, np.random.RandomState(0))
    assert len(np.unique(X)) == len(X)
    blocks = X.reshape(1000, 64)
    assert abs(np.corrcoef(blocks[:-1].ravel(), blocks[1:].ravel())[0, 1]) < 0.02
    assert kstest(X[:, 0], "norm").pvalue > 1e-4


def test_every_call_goes_on_with_the_stream() -> None:
    stream = np.random.RandomState(0)
    first, second = (draw(mixture("full"), 10, stream)[0] for _ in range(2))
    assert not np.isin(first, second).any()
    assert np.array_equal(draw(mixture("full"), 10, np.random.RandomState(0))[0], first)
