"""Highest-density regions: their probability, and that nothing denser lies outside."""

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal, norm

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.queries import hdr
from gaussmix.queries.hdr import LEVEL_SAMPLES, hdr_levels
from gaussmix.queries.sampling import draw

P = np.array([1e-3, 0.05, 0.5, 0.9, 0.99, 1 - 1e-9, 1 - 2.0**-53])


def on_the_line(weights: list[float], means: list[float], sigmas: list[float]) -> Parameters:
    columns = np.array(means)[:, None], np.array(sigmas)[:, None] ** 2
    return Parameters.from_covariances("diag", np.array(weights), *columns)


def found(parameters: Parameters, p: FloatArray, n_samples: int = LEVEL_SAMPLES) -> FloatArray:
    return hdr_levels(parameters, p, n_samples, np.random.RandomState(0), 2)


def probability(parameters: Parameters, level: float) -> float:
    """Of the region above a level on the line, from its ends on a fine grid."""
    x = np.linspace(-30, 30, 300_001)
    table = (parameters.weights, parameters.means[:, 0], np.sqrt(parameters.covariances[:, 0]))
    parts = list(zip(*table, strict=True))
    above = sum(w * norm.pdf(x, m, s) for w, m, s in parts) - np.exp(level)
    left = np.flatnonzero((above[1:] > 0) != (above[:-1] > 0))
    ends = x[left] + above[left] / (above[left] - above[left + 1]) * (x[1] - x[0])
    signs = np.where(above[left] > 0, 1, -1)
    return float(sum(w * (signs * norm.cdf(ends, m, s)).sum() for w, m, s in parts))


LINES = {
    "one mode": on_the_line([0.4, 0.6], [0, 1], [1, 2]),
    "two modes": on_the_line([0.3, 0.7], [-4, 4], [1, 1]),
    "apart": on_the_line([0.3, 0.5, 0.2], [-20, 0, 20], [0.5, 0.7, 0.2]),
    "narrow on wide": on_the_line([0.1, 0.9], [0.3, 0], [0.05, 3]),
    "same mean": on_the_line([0.5, 0.5, 0.0], [1, 1, 9], [1, 3, 1]),
}


@pytest.mark.parametrize("parameters", LINES.values(), ids=LINES)
def test_regions_on_the_line_have_their_probability(parameters: Parameters) -> None:
    got = found(parameters, P)
    assert (np.diff(got) < 0).all()
    for p, level in zip(P[1:], got[1:], strict=True):  # near its top the grid is too coarse
        assert probability(parameters, level) == pytest.approx(p, abs=1e-6)


def test_a_level_on_the_line_is_exact() -> None:
    """Far apart, three equal components share the probability, each the region of a Gaussian."""
    parameters = on_the_line([1 / 3, 1 / 3, 1 / 3], [-500, 0, 500], [1, 1, 1])
    expected = np.log(norm.pdf(norm.isf((1 - P) / 2)) / 3)
    np.testing.assert_allclose(found(parameters, P), expected, rtol=1e-10, atol=1e-12)


def test_extremes_of_equal_height_are_no_trouble() -> None:
    parameters = on_the_line([0.5, 0.5], [-3, 3], [1, 1])
    assert probability(parameters, found(parameters, np.array([0.8]))[0]) == pytest.approx(
        0.8, abs=1e-6
    )


@pytest.mark.parametrize("n_features", [1, 2, 7])
def test_one_gaussian_is_a_chi_squared_ellipsoid(n_features: int) -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(n_features, n_features))
    cov, mean = root @ root.T + np.eye(n_features), rng.normal(size=n_features)
    parameters = Parameters.from_covariances("full", np.ones(1), mean[None], cov[None])
    expected = multivariate_normal(mean, cov).logpdf(mean) - chi2(n_features).ppf(P) / 2
    np.testing.assert_allclose(found(parameters, P), expected, rtol=1e-9)


def test_drawn_levels_have_their_probability() -> None:
    rng = np.random.default_rng(2)
    parameters = Parameters.from_covariances(
        "diag", np.array([0.2, 0.8]), rng.normal(size=(2, 3)), rng.uniform(0.5, 2, size=(2, 3))
    )
    p = np.array([0.05, 0.5, 0.99])
    X, _ = draw(parameters, 200_000, np.random.RandomState(7))
    log_likelihood = np.empty(len(X))
    dispatch.kernels(X).log_likelihood(X, parameters.density(), log_likelihood)
    inside = (log_likelihood[:, None] >= found(parameters, p)).mean(axis=0)
    bound = 5 * np.sqrt(p * (1 - p) * (1 / len(X) + 1 / LEVEL_SAMPLES))
    assert (abs(inside - p) < bound).all()


def test_a_line_and_its_drawn_level_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = LINES["two modes"]
    flat = Parameters.from_covariances(  # a second feature that says nothing
        "diag",
        parameters.weights,
        np.hstack([parameters.means, np.zeros((2, 1))]),
        np.hstack([parameters.covariances, np.ones((2, 1))]),
    )
    assert found(flat, np.array([0.5]))[0] < found(parameters, np.array([0.5]))[0]
    monkeypatch.setattr(hdr, "draw", None)  # would fail
    assert np.isfinite(found(parameters, P)).all()
