"""The reference against SciPy, against 50 digits of mpmath, and against plain loops."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from gaussmix._core import reference
from gaussmix._core.density import GROUP_ROWS, STRUCTURES, factors_shape
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.model.parameters import Parameters

N, K, D = 7, 3, 4
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
each_offset = pytest.mark.parametrize("offset", [0.0, 1e6])


def mixture(structure: Structure, offset: float = 0.0) -> Parameters:
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(K, D, D))
    full = factors @ factors.transpose(0, 2, 1) + np.eye(D)
    variances = np.diagonal(full, axis1=1, axis2=2).copy()
    covariances = {"full": full, "tied": full[0], "diag": variances, "spherical": variances[:, 0]}
    means = rng.normal(size=(K, D)) + offset
    weights = np.array([0.2, 0.5, 0.3])
    return Parameters.from_covariances(structure, weights, means, covariances[structure].copy())


def rows(parameters: Parameters, n_samples: int = N) -> FloatArray:
    """Rows around the components, the last of them far from all."""
    rng = np.random.default_rng(2)
    X = parameters.means[rng.integers(K, size=n_samples)] + rng.normal(size=(n_samples, D))
    X[-1] += 30.0
    return X


def by_scipy(X: FloatArray, parameters: Parameters) -> FloatArray:
    """Weighted log-densities (N, K)."""
    terms = zip(parameters.means, parameters.full_covariances(), strict=True)
    columns = [multivariate_normal(mean, covariance).logpdf(X) for mean, covariance in terms]
    return np.stack(columns, axis=1) + np.log(parameters.weights)


def by_mpmath(X: FloatArray, parameters: Parameters) -> list[list[mpmath.mpf]]:
    """Weighted log-densities (N, K) of the very covariances, in 50 digits."""
    with mpmath.workdps(50):
        components = [
            (mpmath.mpf(w), mpmath.matrix(mean.tolist()), mpmath.matrix(covariance.tolist()))
            for w, mean, covariance in zip(
                parameters.weights, parameters.means, parameters.full_covariances(), strict=True
            )
        ]
        return [[exact_term(row, *component) for component in components] for row in X]


def exact_term(
    row: FloatArray, weight: mpmath.mpf, mean: mpmath.matrix, covariance: mpmath.matrix
) -> mpmath.mpf:
    deviation = mpmath.matrix(row.tolist()) - mean
    distance = (deviation.T * mpmath.lu_solve(covariance, deviation))[0]
    volume = D * mpmath.log(2 * mpmath.pi) + mpmath.log(mpmath.det(covariance))
    return mpmath.log(weight) - (distance + volume) / 2


def exact_posterior(terms: list[list[mpmath.mpf]]) -> tuple[FloatArray, FloatArray]:
    """Responsibilities (N, K) and log-likelihoods (N,), rounded once."""
    with mpmath.workdps(50):
        likelihoods = [mpmath.fsum(mpmath.exp(term) for term in row) for row in terms]
        resp = [
            [float(mpmath.exp(term) / likelihood) for term in row]
            for row, likelihood in zip(terms, likelihoods, strict=True)
        ]
        return np.array(resp), np.array([float(mpmath.log(total)) for total in likelihoods])


def computed(kernel: Callable[..., None], X: Rows, parameters: Parameters) -> FloatArray:
    """What a kernel writes for each row, or for each row and component."""
    per_row = kernel is reference.log_likelihood
    out = np.full(len(X) if per_row else (len(X), K), np.nan, dtype=X.dtype)
    kernel(X, parameters.density(X.dtype), out)
    return out.astype(np.float64)


def assert_close(got: FloatArray, want: FloatArray, tolerance: float) -> None:
    assert (np.abs(got - want) <= tolerance * np.maximum(np.abs(want), 1.0)).all()


@each_structure
@each_dtype
def test_densities_are_those_of_scipy(structure: Structure, dtype: str) -> None:
    parameters = mixture(structure)
    X = rows(parameters, GROUP_ROWS + 5).astype(dtype)
    log_prob = by_scipy(X.astype(np.float64), parameters)
    tolerance = TOLERANCES[dtype]
    assert_close(computed(reference.log_density, X, parameters), log_prob, tolerance)
    log_likelihood = computed(reference.log_likelihood, X, parameters)
    assert_close(log_likelihood, logsumexp(log_prob, axis=1), tolerance)
    resp = computed(reference.responsibilities, X, parameters)
    assert_close(resp, softmax(log_prob, axis=1), 10 * tolerance)
    labels, best = np.empty(len(X), np.int32), np.empty(len(X), dtype)
    reference.assign(X, parameters.density(dtype), labels, best)
    assert np.array_equal(labels, log_prob.argmax(axis=1))
    assert_close(best, log_prob.max(axis=1), tolerance)


@each_offset
@each_structure
def test_densities_are_exact_wherever_the_data_lie(structure: Structure, offset: float) -> None:
    parameters = mixture(structure, offset)
    X = rows(parameters)
    terms = by_mpmath(X, parameters)
    resp, log_likelihood = exact_posterior(terms)
    assert_close(computed(reference.log_density, X, parameters), np.array(terms, float), 1e-12)
    assert_close(computed(reference.log_likelihood, X, parameters), log_likelihood, 1e-12)
    got = computed(reference.responsibilities, X, parameters)
    assert_close(got, resp, 1e-12)
    assert np.allclose(got, resp, rtol=1e-10, atol=0)  # small ones too, down to 1e-100


def moments_by_loops(
    X: FloatArray, weight: FloatArray, resp: FloatArray, parameters: Parameters
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n_k, first and full second moments about the means: the definition, term by term."""
    n_k, first, second = np.zeros(K), np.zeros((K, D)), np.zeros((K, D, D))
    for n in range(len(X)):
        for k in range(K):
            share = weight[n] * resp[n, k]
            n_k[k] += share
            for i in range(D):
                first[k, i] += share * (X[n, i] - parameters.means[k, i])
                for j in range(D):
                    deviations = X[n, i] - parameters.means[k, i], X[n, j] - parameters.means[k, j]
                    second[k, i, j] += share * deviations[0] * deviations[1]
    return n_k, first, second


def in_structure(second: FloatArray, structure: Structure) -> FloatArray:
    """Full moments as a structure keeps them."""
    kept = {
        "full": second,
        "tied": sum(second),
        "diag": np.array([moments.diagonal() for moments in second]),
        "spherical": np.array([moments.trace() for moments in second]),
    }
    return np.asarray(kept[structure])


@pytest.mark.parametrize("weighted", [False, True])
@each_offset
@each_structure
def test_statistics_are_the_sums_of_the_definition(
    structure: Structure, offset: float, weighted: bool
) -> None:
    parameters = mixture(structure, offset)
    X = rows(parameters)
    weight = np.random.default_rng(3).uniform(0, 2, size=N) if weighted else np.ones(N)
    resp, log_likelihood = exact_posterior(by_mpmath(X, parameters))
    n_k, first, second = moments_by_loops(X, weight, resp, parameters)
    totals = np.array([weight @ log_likelihood, weight.sum()])
    expected = n_k, first, in_structure(second, structure), totals
    sums = np.zeros(K), np.zeros((K, D)), np.zeros(factors_shape(structure, K, D)), np.zeros(2)
    given = weight if weighted else None
    reference.accumulate(X, given, parameters.density(), *sums)
    tolerance = 1e-12 if offset == 0 else 1e-9  # the loops subtract means that are rounded there
    for got, want in zip(sums, expected, strict=True):
        scale = np.abs(want).max()
        assert np.allclose(got, want, rtol=0, atol=tolerance * scale)
    likelihood = np.zeros(2)
    reference.accumulate_likelihood(X, given, parameters.density(), likelihood)
    assert np.allclose(likelihood, totals, rtol=tolerance, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
@each_structure
def test_hard_statistics_are_the_sums_over_the_most_probable(
    structure: Structure, weighted: bool
) -> None:
    parameters = mixture(structure)
    X = rows(parameters, 20)
    weight = np.random.default_rng(3).uniform(0, 2, size=20) if weighted else np.ones(20)
    log_prob = by_scipy(X, parameters)
    winners = log_prob.argmax(axis=1)
    chosen = (winners[:, None] == np.arange(K)).astype(float)
    n_k, first, _ = moments_by_loops(X, weight, chosen, parameters)
    labels, sums = np.empty(20, np.int32), (np.zeros(K), np.zeros((K, D)), np.zeros(2))
    reference.accumulate_hard(X, weight if weighted else None, parameters.density(), labels, *sums)
    assert np.array_equal(labels, winners)
    expected = n_k, first, np.array([weight @ log_prob.max(axis=1), weight.sum()])
    for got, want in zip(sums, expected, strict=True):
        assert np.allclose(got, want, rtol=1e-12, atol=1e-12)
