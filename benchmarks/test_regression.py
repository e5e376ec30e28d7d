"""One feature from seven, a million rows: `regress` beside a NumPy loop over the components."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.linalg import solve_triangular

from gaussmix import GaussianMixture
from gaussmix._core.types import FloatArray

N_ROWS, N_KNOWN, N_COMPONENTS = 1_000_000, 7, 16

Regress = Callable[[GaussianMixture, FloatArray], FloatArray]


@cache
def problem() -> tuple[GaussianMixture, FloatArray]:
    """A mixture of eight correlated features whose components overlap, and seven of its rows."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(N_COMPONENTS, N_KNOWN + 1, N_KNOWN + 1))
    covariances = roots @ np.swapaxes(roots, 1, 2) + np.eye(N_KNOWN + 1)
    means = 3 * rng.normal(size=(N_COMPONENTS, N_KNOWN + 1))
    weights = np.full(N_COMPONENTS, 1 / N_COMPONENTS)
    model = GaussianMixture.from_parameters(weights, means, covariances)
    rows, _ = model.sample(N_ROWS, random_state=0)
    return model, np.ascontiguousarray(rng.permutation(rows)[:, :N_KNOWN])


def gaussmix(model: GaussianMixture, X: FloatArray) -> FloatArray:
    mean: FloatArray = model.regress(range(N_KNOWN), X, targets=N_KNOWN)
    return mean


def loop_of_solves(model: GaussianMixture, X: FloatArray) -> FloatArray:
    """For each component whitened rows by a triangular solve, and its prediction."""
    log_prob = np.empty((N_COMPONENTS, len(X)))
    predicted = np.empty_like(log_prob)
    for k, (weight, mean, cov) in enumerate(components(model)):
        lower = np.linalg.cholesky(cov[:-1, :-1])
        deviations = X - mean[:-1]
        y = solve_triangular(lower, deviations.T, lower=True, check_finite=False)
        log_prob[k] = np.log(weight / np.diagonal(lower).prod()) - 0.5 * np.einsum("in,in->n", y, y)
        predicted[k] = mean[-1] + deviations @ np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
    resp = np.exp(log_prob - log_prob.max(axis=0))
    return np.asarray((resp * predicted).sum(axis=0) / resp.sum(axis=0))


def loop_of_products(model: GaussianMixture, X: FloatArray) -> FloatArray:
    """The same with inverse factors, so that BLAS multiplies long matrices; less memory, too."""
    log_prob = np.empty((N_COMPONENTS, len(X)))
    for k, (weight, mean, cov) in enumerate(components(model)):
        upper = np.linalg.inv(np.linalg.cholesky(cov[:-1, :-1])).T
        y = (X - mean[:-1]) @ upper
        log_prob[k] = np.log(weight * np.diagonal(upper).prod()) - 0.5 * np.einsum("ni,ni->n", y, y)
    log_prob -= log_prob.max(axis=0)
    resp = np.exp(log_prob, out=log_prob)
    out = np.zeros(len(X))
    for r, (_, mean, cov) in zip(resp, components(model), strict=True):
        slope = np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
        out += r * (X @ slope + (mean[-1] - mean[:-1] @ slope))
    return np.asarray(out / resp.sum(axis=0))


def components(model: GaussianMixture) -> "zip[tuple[float, FloatArray, FloatArray]]":
    return zip(model.weights_, model.means_, model.covariances_, strict=True)


@cache
def truth() -> FloatArray:
    return loop_of_solves(*problem())


@pytest.mark.parametrize("regress", [gaussmix, loop_of_products, loop_of_solves])
def test_regression(benchmark: BenchmarkFixture, regress: Regress) -> None:
    benchmark.group = f"regress {N_ROWS} rows, {N_KNOWN} known, {N_COMPONENTS} components"
    model, X = problem()
    answer = benchmark.pedantic(  # type: ignore[no-untyped-call]
        regress, (model, X), rounds=5, warmup_rounds=1
    )
    correct = bool((abs(answer - truth()) < 1e-10).all())
    benchmark.extra_info |= {"library": regress.__name__, "correct": correct}
    assert correct
