"""Statistics: a commutative monoid whose numbers are the moments they say they are."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect, pass_flops

Array = NDArray[np.float64]

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def mixture(structure: Structure, n_features: int = 3) -> Parameters:
    """Two overlapping components with correlated features, where the structure has any."""
    rng = np.random.default_rng(7)
    factors = rng.normal(size=(2, n_features, n_features)) / 2
    full = factors @ factors.transpose(0, 2, 1) + np.eye(n_features)
    diagonals = np.diagonal(full, axis1=1, axis2=2).copy()
    covariances = {"full": full, "tied": full[0], "diag": diagonals, "spherical": diagonals[:, 0]}
    means = rng.normal(size=(2, n_features))
    weights = np.array([0.3, 0.7])
    return Parameters.from_covariances(structure, weights, means, covariances[structure].copy())


def rows(n_samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n_samples, 3))


def assert_same(one: Statistics, other: Statistics, tolerance: float = 1e-12) -> None:
    assert one.structure == other.structure
    assert one.n_samples == other.n_samples
    for name in ("shift", "n_k", "first", "second", "log_likelihood", "weight"):
        expected = np.asarray(getattr(other, name))
        error = np.abs(getattr(one, name) - expected).max()
        assert error <= tolerance * max(1.0, float(np.abs(expected).max())), name


def direct(X: Array, weight: Array, parameters: Parameters, shift: Array) -> Statistics:
    """The definition, with densities from SciPy."""
    covariances = parameters.full_covariances()
    log_prob = np.stack(
        [
            np.log(w) + multivariate_normal(mean, covariance).logpdf(X)
            for w, mean, covariance in zip(
                parameters.weights, parameters.means, covariances, strict=True
            )
        ],
        axis=1,
    )
    log_likelihood = logsumexp(log_prob, axis=1)
    resp = weight[:, None] * np.exp(log_prob - log_likelihood[:, None])
    deviations = X[:, None, :] - shift
    full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    diagonals = np.einsum("kii->ki", full)
    second = {
        "full": full,
        "tied": full.sum(axis=0),
        "diag": diagonals,
        "spherical": diagonals.sum(axis=1),
    }
    return Statistics(
        parameters.structure,
        shift,
        resp.sum(axis=0),
        np.einsum("nk,nki->ki", resp, deviations),
        second[parameters.structure.name],
        float(weight @ log_likelihood),
        float(weight.sum()),
        len(X),
    )


@each_structure
def test_a_pass_collects_the_moments_of_the_definition(structure: Structure) -> None:
    X, parameters = rows(50), mixture(structure)
    weight = np.random.default_rng(1).uniform(size=50)
    expected = direct(X, weight, parameters, parameters.means)
    assert_same(collect(X, weight, parameters), expected)
    assert_same(collect(X, None, parameters), direct(X, np.ones(50), parameters, parameters.means))


@each_structure
def test_about_moves_the_shift(structure: Structure) -> None:
    X, parameters = rows(50), mixture(structure)
    shift = parameters.means + np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
    moved = collect(X, None, parameters).about(shift)
    assert_same(moved, direct(X, np.ones(50), parameters, shift))
    assert_same(moved.about(parameters.means), collect(X, None, parameters))


@each_structure
def test_addition_is_associative_and_commutative(structure: Structure) -> None:
    parameters = mixture(structure)
    a, b, c = (collect(rows(20, seed), None, parameters) for seed in range(3))
    b = b.about(parameters.means + 0.5)  # the sum is about the first one's shift
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, (b + a).about(a.shift))


@each_structure
def test_chunks_add_up_to_the_whole(structure: Structure) -> None:
    X, parameters = rows(100), mixture(structure)
    weight = np.random.default_rng(2).uniform(size=100)
    bounds = [0, 1, 34, 99, 100]
    chunks = [collect(X[a:b], weight[a:b], parameters) for a, b in pairwise(bounds)]
    whole = collect(X, weight, parameters)
    assert_same(sum(chunks[1:], chunks[0]), whole)
    assert_same(reduce(lambda a, b: b + a, chunks), whole)


@each_structure
def test_no_rows_are_neutral(structure: Structure) -> None:
    parameters = mixture(structure)
    some = collect(rows(20), None, parameters)
    nothing = Statistics.zeros(structure, some.shift)
    assert_same(nothing + some, some, 0.0)
    assert_same(some + nothing, some, 0.0)
    total = sum([some, some])
    assert isinstance(total, Statistics)
    assert total.n_samples == 40


def test_mean_log_likelihood_is_weighted() -> None:
    X, parameters = rows(3), mixture("full")
    singles = [collect(X[i : i + 1], None, parameters).log_likelihood for i in range(3)]
    weighted = collect(X, np.array([1.0, 0.0, 3.0]), parameters)
    assert weighted.mean_log_likelihood == pytest.approx((singles[0] + 3 * singles[2]) / 4)


def test_statistics_of_different_mixtures_cannot_be_added() -> None:
    full = collect(rows(5), None, mixture("full"))
    with pytest.raises(ValueError, match=r"structure 'full'.*'diag'"):
        full + collect(rows(5), None, mixture("diag"))
    with pytest.raises(ValueError, match=r"\(2, 3\), and of 'full', \(2, 2\)"):
        full + collect(rows(5)[:, :2].copy(), None, mixture("full", 2))
    with pytest.raises(TypeError):
        full + 1  # type: ignore[operator]


def test_flops_count_the_terms_of_the_density() -> None:
    X = rows(10)
    assert pass_flops(X, mixture("full")) == 4 * 10 * 2 * (1 + 3 + 6)
    assert pass_flops(X, mixture("diag")) == 4 * 10 * 2 * (1 + 3 + 3)
