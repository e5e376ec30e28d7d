"""Variational Bayes for rows with missing values: the bound is over these too."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import digamma, logsumexp
from scipy.stats import multivariate_t
from sklearn.datasets import load_iris

import gaussmix
from gaussmix import BayesianGaussianMixture, ParameterError
from gaussmix._core.density import GROUP_ROWS, STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import Beliefs, prior_of
from gaussmix.data.base import InMemory
from gaussmix.em.variational import EvidenceBound
from gaussmix.estimators.attributes import posterior_of
from gaussmix.model.covariance import structure_named

FloatArray = NDArray[np.float64]


def gappy(n: int = 150, share: float = 0.15) -> FloatArray:
    X = np.array(load_iris().data, order="C")[:n]
    X[np.random.default_rng(0).random(X.shape) < share] = np.nan
    return X


def expected_log_density(posterior: Posterior, k: int, x: FloatArray) -> float:
    """E[log weight_k] + E[log N(x | k)] in full (Bishop, PRML, 10.64 to 10.66)."""
    d = len(x)
    nu = float(np.broadcast_to(posterior.degrees_of_freedom, len(posterior.means))[k])
    scale = np.linalg.inv(posterior.full_covariances()[k]) / nu
    away = x - posterior.means[k]
    alpha = posterior.concentration
    log_weight = digamma(alpha[k]) - digamma(alpha.sum())
    log_det = digamma((nu - np.arange(d)) / 2).sum() + d * np.log(2) + np.linalg.slogdet(scale)[1]
    quadratic = d / posterior.mean_precision[k] + nu * away @ scale @ away
    return float(log_weight + 0.5 * (log_det - d * np.log(2 * np.pi) - quadratic))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_bound_is_that_of_an_integral_over_what_is_missing(structure: Structure) -> None:
    X = np.random.default_rng(1).normal(size=(12, 2)) + np.repeat([[0, 0], [3, 1]], 6, axis=0)
    X[2, 0] = X[5, 1] = X[7, 1] = X[11, 0] = np.nan
    model = BayesianGaussianMixture(
        n_components=2,
        covariance_type=structure,
        weight_concentration_prior_type="dirichlet_distribution",
        missing_values="marginalize",
        random_state=0,
        max_iter=500,
        reg_covar=0,
    ).fit(X)
    posterior = posterior_of(model)
    total = 0.0
    for row in X:
        terms = []
        for k in range(2):
            lacking = np.flatnonzero(np.isnan(row))
            if not len(lacking):
                terms.append(expected_log_density(posterior, k, row))
                continue
            top = expected_log_density(posterior, k, np.where(np.isnan(row), 0, row))

            def density(value: float, k: int = k, top: float = top) -> float:
                filled = np.where(np.isnan(row), value, row)  # noqa: B023
                return float(np.exp(expected_log_density(posterior, k, filled) - top))

            terms.append(top + np.log(quad(density, -40, 40, points=[0, 3], limit=400)[0]))
        total += float(logsumexp(terms))
    beliefs = Beliefs("dirichlet_distribution", None, None, None, None, None)
    data = InMemory(X, None, 1, gaps=True)
    prior = prior_of(beliefs, structure_named(structure), 2, data)
    assert model.lower_bound_ == pytest.approx(total - posterior.divergence(prior), abs=1e-6)
    np.testing.assert_allclose(
        model.score_samples(X).sum() - posterior.divergence(prior), model.lower_bound_
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("kind", ["dirichlet_process", "dirichlet_distribution"])
def test_the_bound_never_falls(structure: Structure, kind: Any) -> None:
    model = BayesianGaussianMixture(
        n_components=5,
        covariance_type=structure,
        weight_concentration_prior_type=kind,
        missing_values="marginalize",
        random_state=0,
        reg_covar=0,
        tol=0,
        max_iter=60,
    )
    with pytest.warns(gaussmix.ConvergenceWarning):
        model.fit(gappy())
    assert np.diff(model.lower_bounds_).min() > -1e-9


def test_no_other_covariance_of_what_is_missing_has_a_larger_bound() -> None:
    """The M-step's maximum, with the moments of an E-step, is the objective's stationary point."""
    X = gappy()
    model = BayesianGaussianMixture(
        n_components=2, missing_values="marginalize", random_state=0, reg_covar=0, tol=1e-12
    ).set_params(max_iter=5000)
    posterior = posterior_of(model.fit(X))
    prior = prior_of(
        Beliefs("dirichlet_process", None, None, None, None, None),
        structure_named("full"), 2, InMemory(X, None, 1, gaps=True),
    )  # fmt: skip
    objective = EvidenceBound(InMemory(X, None, 1, gaps=True), prior)
    best = objective.score(posterior)
    rng = np.random.default_rng(0)
    for size in (1e-3, -1e-3):
        for _ in range(5):
            turn = size * rng.normal(size=(4, 4))
            turn = np.eye(4) + (turn + turn.T) / 2
            other = Posterior.of(
                posterior.structure,
                posterior.concentration,
                posterior.mean_precision,
                posterior.means + size * rng.normal(size=(2, 4)),
                posterior.degrees_of_freedom,
                np.ascontiguousarray(turn @ posterior.covariances @ turn.T),
            )
            assert objective.score(other) < best


@pytest.mark.parametrize("structure", STRUCTURES)
def test_complete_rows_lead_to_the_same_bits(structure: Structure) -> None:
    X = np.array(load_iris().data, order="C")
    fits = [
        BayesianGaussianMixture(
            n_components=3, covariance_type=structure, random_state=0, missing_values=how
        ).fit(X)
        for how in cast(Any, ("error", "marginalize"))
    ]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)
    assert fits[0].lower_bound_ == fits[1].lower_bound_
    np.testing.assert_array_equal(fits[0].score_samples(X), fits[1].score_samples(X))
    np.testing.assert_allclose(
        fits[0].predictive_score_samples(X), fits[1].predictive_score_samples(X)
    )


def test_files_threads_weights_and_stored_models(tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3 * GROUP_ROWS, 3)) + 4 * rng.integers(2, size=(3 * GROUP_ROWS, 1))
    X[rng.random(X.shape) < 0.2] = np.nan
    np.save(tmp_path / "rows.npy", X)

    def fitted(rows: Any, n_threads: int, weight: Any = None) -> BayesianGaussianMixture:
        model = BayesianGaussianMixture(
            n_components=4, missing_values="marginalize", random_state=0, n_threads=n_threads
        ).set_params(max_iter=500, tol=0.1)
        return model.fit(rows, sample_weight=weight)

    one = fitted(X, 1)
    for other in (fitted(X, 2), fitted(gaussmix.scan(tmp_path / "rows.npy"), 2)):
        np.testing.assert_array_equal(other.covariances_, one.covariances_)
    np.testing.assert_allclose(fitted(X, 1, np.ones(len(X))).means_, one.means_, 1e-9)
    gaussmix.save(one, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), one.predict(X))
    assert one.is_outlier(X).mean() < 0.05
    assert not np.isnan(one.predict_missing(X)).any()
    batch = BayesianGaussianMixture(n_components=2, missing_values="marginalize", random_state=0)
    assert batch.partial_fit(X[:1000]).partial_fit(X[1000:2000]).n_samples_seen_ == 2000


@pytest.mark.parametrize("structure", STRUCTURES)
def test_predictive_densities_are_those_of_what_a_row_has(structure: Structure) -> None:
    X = gappy()
    X[4] = np.nan
    model = BayesianGaussianMixture(
        n_components=2, covariance_type=structure, missing_values="marginalize", random_state=0
    ).fit(X)
    d, k = 4, 2
    beta = model.mean_precision_
    nu = np.broadcast_to(model.degrees_of_freedom_, k)
    precisions = np.stack([np.linalg.inv(c) for c in posterior_of(model).full_covariances()])
    found = model.predictive_score_samples(X)
    shares = model.predictive_proba(X)
    for row, value, share in zip(X, found, shares, strict=True):
        there = ~np.isnan(row)
        terms = np.log(model.weights_)
        for j in range(k if there.any() else 0):
            left = nu[j] + 1 - d
            spread = np.linalg.inv(left * beta[j] / (1 + beta[j]) / nu[j] * precisions[j])
            terms[j] += multivariate_t.logpdf(
                row[there], model.means_[j, there], spread[np.ix_(there, there)], df=left
            )
        assert value == pytest.approx(logsumexp(terms), abs=1e-9)
        np.testing.assert_allclose(share, np.exp(terms - logsumexp(terms)), atol=1e-9)


def test_what_is_refused() -> None:
    with pytest.raises(ParameterError, match="missing_values must be one of"):
        BayesianGaussianMixture(missing_values=cast(Any, "drop")).fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="contains NaN"):
        BayesianGaussianMixture().fit(gappy())
    X = gappy()
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match="feature 1 of X has no value"):
        BayesianGaussianMixture(missing_values="marginalize").fit(X)
