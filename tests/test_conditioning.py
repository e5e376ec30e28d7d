"""Marginals, conditionals and regression against densities, formulas and integrals."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import FULL, Matrices
from gaussmix.queries import conditioning
from gaussmix.queries.conditioning import conditional, marginal, predict, regression

D, K = 4, 3
GIVEN, OTHERS = np.array([3, 0]), np.array([1, 2])

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def mixture(structure: Structure, n_features: int = D, n_components: int = K) -> Parameters:
    """Overlapping components with correlated features."""
    rng = np.random.default_rng(n_features)
    roots = rng.normal(size=(n_components, n_features, n_features))
    matrices = roots @ np.swapaxes(roots, 1, 2) + 0.3 * np.eye(n_features)
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": variances.copy(),
        "spherical": variances.mean(axis=1),
    }
    weights = rng.dirichlet(np.full(n_components, 4.0))
    means = rng.normal(size=(n_components, n_features))
    return Parameters.from_covariances(structure, weights, means, covariances[structure])


def pdf(parameters: Parameters, X: FloatArray) -> Any:
    parts = zip(parameters.weights, parameters.means, parameters.full_covariances(), strict=True)
    return sum(w * multivariate_normal(mean, cov).pdf(X) for w, mean, cov in parts)


def rows(n_samples: int, seed: int = 0) -> FloatArray:
    return 2 * np.random.default_rng(seed).normal(size=(n_samples, D))


def moments(parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of a mixture."""
    w, means = parameters.weights, parameters.means
    mean = w @ means
    within = np.einsum("k,kij->ij", w, parameters.full_covariances())
    return mean, within + np.einsum("k,ki,kj->ij", w, means - mean, means - mean)


def assert_sound(parameters: Parameters) -> None:
    """Factors are upper triangular, positive on the diagonal, and those of the covariances."""
    expected = Parameters.from_covariances(
        parameters.structure, parameters.weights, parameters.means, parameters.covariances
    )
    factors = parameters.precisions_cholesky
    np.testing.assert_allclose(factors, expected.precisions_cholesky, rtol=1e-9, atol=1e-12)
    if isinstance(parameters.structure, Matrices):
        assert np.array_equal(factors, np.triu(factors))
    for array in (parameters.means, parameters.covariances, factors):
        assert array.flags.c_contiguous


@each_structure
def test_a_marginal_has_its_part_of_the_covariances(structure: Structure) -> None:
    joint = mixture(structure)
    part = marginal(joint, GIVEN)
    assert part.structure.name == structure
    assert_sound(part)
    assert np.array_equal(part.means, joint.means[:, GIVEN])
    expected = joint.full_covariances()[:, GIVEN][:, :, GIVEN]
    np.testing.assert_allclose(part.full_covariances(), expected, rtol=1e-12, atol=1e-13)


@each_structure
def test_joint_is_marginal_times_conditional(structure: Structure) -> None:
    joint, X = mixture(structure), rows(20)
    for x in X:
        rest = conditional(joint, GIVEN, OTHERS, x[GIVEN])
        assert rest.structure.name == structure
        assert rest.weights.sum() == pytest.approx(1, rel=1e-12)
        assert_sound(rest)
        product = pdf(marginal(joint, GIVEN), x[GIVEN]) * pdf(rest, x[OTHERS])
        assert product == pytest.approx(pdf(joint, x), rel=1e-9)


@each_structure
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_regression_has_the_moments_of_the_conditionals(
    structure: Structure, n_threads: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditioning, "BLOCK_VALUES", 1 << 10)
    monkeypatch.setattr("gaussmix._core.threads.for_work", lambda *_: n_threads)
    joint, X = mixture(structure), rows(1111).astype(dtype)
    model = regression(joint, GIVEN, OTHERS)
    mean, std = np.empty((1111, 2), dtype), np.empty((1111, 2), dtype)
    again, cov = np.empty((1111, 2), dtype), np.empty((1111, 2, 2), dtype)
    known = np.ascontiguousarray(X[:, GIVEN])
    predict(model, known, mean, std, None)
    predict(model, known, again, cov, None)
    assert np.array_equal(mean, again)
    rtol = 1e-11 if dtype == np.float64 else 1e-5
    for i in range(0, 1111, 10):
        expected = moments(conditional(joint, GIVEN, OTHERS, known[i]))
        np.testing.assert_allclose(mean[i], expected[0], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(cov[i], expected[1], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(std[i], np.sqrt(np.diagonal(expected[1])), rtol=rtol)


def test_regression_is_the_integral_over_the_joint_density() -> None:
    joint = mixture("full", n_features=2)
    model = regression(joint, np.array([1]), np.array([0]))
    x = np.array([[-1.0], [0.3], [2.0]])
    mean, std = np.empty((3, 1)), np.empty((3, 1))
    predict(model, x, mean, std, 1)
    y = np.linspace(-40, 40, 8001)
    for i in range(3):
        density = pdf(joint, np.stack([y, np.full_like(y, x[i, 0])], axis=1))
        mass, first, second = (float((density * y**p).sum()) for p in range(3))
        assert mean[i, 0] == pytest.approx(first / mass, rel=1e-10)
        assert std[i, 0] ** 2 == pytest.approx(second / mass - (first / mass) ** 2, rel=1e-9)


def loop(X: FloatArray, joint: Parameters) -> NDArray[np.float64]:
    """Gaussian mixture regression of the last feature, one component at a time."""
    log_prob, predicted = np.empty((joint.n_components, len(X))), 0
    for k, (mean, cov) in enumerate(zip(joint.means, joint.full_covariances(), strict=True)):
        log_prob[k] = multivariate_normal(mean[:-1], cov[:-1, :-1]).logpdf(X)
    resp = joint.weights[:, None] * np.exp(log_prob - log_prob.max(axis=0))
    for r, mean, cov in zip(resp, joint.means, joint.full_covariances(), strict=True):
        slope = np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
        predicted = predicted + r * (mean[-1] + (X - mean[:-1]) @ slope)
    return np.asarray(predicted / resp.sum(axis=0))


def test_regression_of_one_feature_on_seven_is_that_of_a_plain_loop() -> None:
    joint = mixture("full", n_features=8, n_components=16)
    X = np.random.default_rng(1).normal(size=(5000, 7))
    mean = np.empty((5000, 1))
    predict(regression(joint, np.arange(7), np.array([7])), X, mean, None, 2)
    np.testing.assert_allclose(mean[:, 0], loop(X, joint), rtol=1e-10, atol=1e-10)


def test_threads_and_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    joint, X = mixture("full"), np.ascontiguousarray(rows(30_000)[:, GIVEN])
    results = []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr("gaussmix._core.threads.for_work", lambda *_, n=n_threads: n)
        mean, std = np.empty((len(X), 2)), np.empty((len(X), 2))
        predict(regression(joint, GIVEN, OTHERS), X, mean, std, None)
        results.append((mean, std))
    for mean, std in results[1:]:
        assert np.array_equal(mean, results[0][0])
        assert np.array_equal(std, results[0][1])


def test_far_from_the_origin_no_digits_are_lost() -> None:
    joint, X = mixture("full"), rows(50)
    far = Parameters(
        FULL, joint.weights, joint.means + 2**20, joint.covariances, joint.precisions_cholesky
    )
    near, there = np.empty((50, 2)), np.empty((50, 2))
    spread, spread_there = np.empty((50, 2)), np.empty((50, 2))
    X = np.round(X[:, GIVEN] * 1024) / 1024  # so that moving them is exact
    predict(regression(joint, GIVEN, OTHERS), X, near, spread, 1)
    predict(regression(far, GIVEN, OTHERS), X + 2**20, there, spread_there, 1)
    np.testing.assert_allclose(there - 2**20, near, atol=1e-8)
    np.testing.assert_allclose(spread_there, spread, rtol=1e-8)


def test_nearly_singular_covariances() -> None:
    """The third feature is the sum of the others but for 1e-7 of noise."""
    cov = np.array([[1.0, 0.5, 1.5], [0.5, 1.0, 1.5], [1.5, 1.5, 3.0 + 1e-14]])
    joint = Parameters.from_covariances("full", np.ones(1), np.zeros((1, 3)), cov[None])
    rest = conditional(joint, np.array([0, 2]), np.array([1]), np.array([0.25, 1.0]))
    assert rest.means[0, 0] == pytest.approx(0.75, abs=0.01)
    assert 0 < rest.covariances[0, 0, 0] < 1e-12
    model = regression(joint, np.array([2, 1]), np.array([0]))
    mean, std = np.empty((1, 1)), np.empty((1, 1))
    predict(model, np.array([[1.0, 0.25]]), mean, std, 1)
    assert mean[0, 0] == pytest.approx(0.75, abs=0.01)
    assert 0 < std[0, 0] < 1e-6


def test_a_component_of_weight_zero_says_nothing() -> None:
    joint = mixture("full")
    weights = np.array([0.25, 0.0, 0.75])
    changed = Parameters(FULL, weights, joint.means, joint.covariances, joint.precisions_cholesky)
    rest = conditional(changed, GIVEN, OTHERS, np.zeros(2))
    assert rest.weights[1] == 0
    assert rest.weights.sum() == pytest.approx(1)
