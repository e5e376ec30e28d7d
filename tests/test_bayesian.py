"""The Bayesian mixture: scikit-learn's numbers, an exact bound, and a density that is one."""

import pickle
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import gammaln, multigammaln, psi
from scipy.stats import multivariate_t

from gaussmix import (
    BayesianGaussianMixture,
    CheckpointError,
    ConvergenceWarning,
    GaussianMixture,
    NotFittedError,
    load,
    save,
    scan,
)
from gaussmix._core.types import FloatArray, Structure
from gaussmix.em import incremental

STRUCTURES: tuple[Structure, ...] = ("full", "tied", "diag", "spherical")
PRIORS = ("dirichlet_process", "dirichlet_distribution")
STATE = (
    "weight_concentration_",
    "mean_precision_",
    "means_",
    "degrees_of_freedom_",
    "covariances_",
    "weights_",
    "precisions_",
    "precisions_cholesky_",
)

pytestmark = pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_prior = pytest.mark.parametrize("prior", PRIORS)


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0, 0], [5, 1, 0], [0, 6, 2]])[rng.choice(3, 400, p=[0.5, 0.3, 0.2])]
    return centers + rng.normal(size=(400, 3)) * [1.0, 0.5, 2.0]


def mixture(n_components: int = 5, **params: Any) -> BayesianGaussianMixture:
    return BayesianGaussianMixture(
        **{"n_components": n_components, "random_state": 0, "init_params": "random", **params}
    )


def state(model: Any) -> list[FloatArray]:
    return [np.asarray(getattr(model, name)) for name in STATE]


def assert_same(one: Any, other: Any, rtol: float = 1e-10) -> None:
    for name, a, b in zip(STATE, state(one), state(other), strict=True):
        scale = np.abs(b).max() if b.size else 1.0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * 1e-3 * scale, err_msg=name)


# --- scikit-learn's numbers -----------------------------------------------------------------------


@each_prior
@each_structure
@pytest.mark.parametrize("n_iter", [0, 1, 30])
def test_scikit_learns_parameters(
    X: FloatArray, structure: Structure, prior: str, n_iter: int
) -> None:
    sklearn = pytest.importorskip("sklearn.mixture")
    params: dict[str, Any] = {
        "n_components": 5,
        "covariance_type": structure,
        "weight_concentration_prior_type": prior,
        "init_params": "random",  # both draw the same responsibilities
        "random_state": 3,
        "max_iter": n_iter,
        "tol": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn.BayesianGaussianMixture(**params).fit(X)
    ours = BayesianGaussianMixture(**params).fit(X)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-10)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    for name in ("weight_concentration", "mean_precision", "mean", "degrees_of_freedom"):
        own, other = (getattr(m, f"{name}_prior_") for m in (ours, theirs))
        np.testing.assert_allclose(own, other, rtol=1e-12)
    np.testing.assert_allclose(ours.covariance_prior_, theirs.covariance_prior_, rtol=1e-12)
    assert np.shape(ours.covariance_prior_) == np.shape(theirs.covariance_prior_)


@each_structure
def test_scikit_learns_parameters_under_a_given_prior(X: FloatArray, structure: Structure) -> None:
    sklearn = pytest.importorskip("sklearn.mixture")
    spread = {
        "full": np.eye(3) * [1.0, 2, 3],
        "tied": np.eye(3) * [1.0, 2, 3],
        "diag": np.array([1.0, 2, 3]),
        "spherical": 2.5,
    }
    params: dict[str, Any] = {
        "n_components": 4,
        "covariance_type": structure,
        "weight_concentration_prior": 0.01,
        "mean_precision_prior": 0.3,
        "mean_prior": [1.0, -2.0, 0.5],
        "degrees_of_freedom_prior": 7.5,
        "covariance_prior": spread[structure],
        "init_params": "random",
        "random_state": 1,
        "max_iter": 20,
        "tol": 0,
        "reg_covar": 0.1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn.BayesianGaussianMixture(**params).fit(X)
    assert_same(BayesianGaussianMixture(**params).fit(X), theirs)


def test_the_constructor_is_scikit_learns_and_more() -> None:
    sklearn = pytest.importorskip("sklearn.mixture")
    theirs, ours = sklearn.BayesianGaussianMixture().get_params(), mixture().get_params()
    assert theirs.items() <= BayesianGaussianMixture().get_params().items()
    assert {*ours} - {*theirs} == {
        "accelerate",
        "algorithm",
        "sort_components",
        "n_threads",
        "checkpoint",
        "checkpoint_interval",
        "missing_values",
    }


# --- The bound ------------------------------------------------------------------------------------


def log_evidence(X: FloatArray, freedom: float) -> float:
    """Log-evidence of one Gaussian under a normal-Wishart prior (Murphy, 2007, equation 266)."""
    n, d = X.shape
    scatter, mean = np.cov(X.T) * (n - 1), X.mean(axis=0)
    before, after = np.cov(X.T), np.cov(X.T) + scatter
    del mean  # that of the prior, so that nothing is added for its distance
    return float(
        -n * d / 2 * np.log(np.pi)
        + multigammaln((freedom + n) / 2, d)
        - multigammaln(freedom / 2, d)
        + freedom / 2 * np.linalg.slogdet(before)[1]
        - (freedom + n) / 2 * np.linalg.slogdet(after)[1]
        + d / 2 * np.log(1 / (1 + n))
    )


@pytest.mark.parametrize(
    ("freedom", "known"), [(4, -415.843332), (6, -418.955376), (10, -431.980318)]
)
def test_with_one_component_the_bound_is_the_evidence(freedom: float, known: float) -> None:
    iris = pytest.importorskip("sklearn.datasets").load_iris().data
    model = mixture(
        1,
        weight_concentration_prior_type="dirichlet_distribution",
        degrees_of_freedom_prior=freedom,
        reg_covar=0,
    ).fit(iris)
    assert model.lower_bound_ == pytest.approx(known, abs=1e-6)
    assert model.lower_bound_ == pytest.approx(log_evidence(iris, freedom), rel=1e-12)
    assert model.lower_bounds_[-1] == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("structure", ["diag", "spherical", "tied"])
def test_one_feature_is_exact_for_every_structure(X: FloatArray, structure: Structure) -> None:
    line = X[:, :1]
    fits = [
        mixture(1, covariance_type=s, weight_concentration_prior_type=PRIORS[1], reg_covar=0).fit(
            line
        )
        for s in ("full", structure)
    ]
    assert fits[1].lower_bound_ == pytest.approx(fits[0].lower_bound_, rel=1e-13)


def bound_by_hand(model: BayesianGaussianMixture, X: FloatArray) -> float:
    """The bound of full covariances, term by term (Bishop, PRML, 10.71 to 10.77)."""
    k, d = model.means_.shape
    resp = model.predict_proba(X)
    nu, beta = np.asarray(model.degrees_of_freedom_), model.mean_precision_
    W = model.precisions_ / nu[:, None, None]
    nu_0, beta_0, m_0 = (
        model.degrees_of_freedom_prior_,
        model.mean_precision_prior_,
        model.mean_prior_,
    )
    inverse_W_0 = model.covariance_prior_
    concentration = np.asarray(model.weight_concentration_)
    alpha_0 = model.weight_concentration_prior_
    log_weights = psi(concentration) - psi(concentration.sum())
    log_det = (
        np.array([psi((nu - i) / 2) for i in range(d)]).sum(axis=0)
        + d * np.log(2)
        + np.linalg.slogdet(W)[1]
    )

    def log_b(scale: Any, freedom: Any) -> Any:
        value = -freedom / 2 * np.linalg.slogdet(scale)[1] - freedom * d / 2 * np.log(2)
        return value - np.array([multigammaln(f / 2, d) for f in np.atleast_1d(freedom)])

    total: Any = 0.0
    for j in range(k):
        away = X - model.means_[j]
        squares = d / beta[j] + nu[j] * np.einsum("nd,de,ne->n", away, W[j], away)
        total += resp[:, j] @ (log_det[j] - squares - d * np.log(2 * np.pi)) / 2
        total += resp[:, j].sum() * log_weights[j]
        moved = model.means_[j] - m_0
        distance = d * beta_0 / beta[j] + beta_0 * nu[j] * moved @ W[j] @ moved
        total += (d * np.log(beta_0 / (2 * np.pi)) + log_det[j] - distance) / 2
        total += log_b(np.linalg.inv(inverse_W_0), nu_0)[0] + (nu_0 - d - 1) / 2 * log_det[j]
        total -= nu[j] / 2 * np.trace(inverse_W_0 @ W[j])
        total -= (log_det[j] + d * np.log(beta[j] / (2 * np.pi)) - d) / 2
        total += -log_b(W[j], nu[j])[0] - (nu[j] - d - 1) / 2 * log_det[j] + nu[j] * d / 2
    positive = resp[resp > 0]
    total -= positive @ np.log(positive)
    total += gammaln(k * alpha_0) - k * gammaln(alpha_0) + (alpha_0 - 1) * log_weights.sum()
    total -= gammaln(concentration.sum()) - gammaln(concentration).sum()
    return float(total - (concentration - 1) @ log_weights)


def test_the_bound_is_the_sum_of_bishops_terms(X: FloatArray) -> None:
    model = mixture(3, weight_concentration_prior_type=PRIORS[1], max_iter=7).fit(X)
    assert model.lower_bound_ == pytest.approx(bound_by_hand(model, X), rel=1e-12)


@each_prior
@each_structure
@pytest.mark.parametrize("sort", [False, True])
def test_the_bound_never_falls(X: FloatArray, structure: Structure, prior: str, sort: bool) -> None:
    weight = np.random.default_rng(1).uniform(0.1, 3, len(X))
    model = mixture(
        6,
        covariance_type=structure,
        weight_concentration_prior_type=prior,
        sort_components=sort,
        reg_covar=0,
        tol=0,
        max_iter=60,
    ).fit(X, sample_weight=weight)
    bounds = [*model.lower_bounds_, model.lower_bound_]
    assert min(b - a for a, b in pairwise(bounds)) > -1e-9
    assert bounds[-1] - bounds[0] > 1


def test_sorted_components_fit_broken_sticks_no_worse(X: FloatArray) -> None:
    ordered, free = (mixture(6, sort_components=s, max_iter=300).fit(X) for s in (True, False))
    assert (np.diff(ordered.weights_) <= 0).all()
    assert ordered.lower_bound_ > free.lower_bound_


def test_the_bound_finds_the_number_of_groups(X: FloatArray) -> None:
    bounds = {
        k: mixture(
            k,
            init_params="auto",
            max_iter=500,
            weight_concentration_prior_type=PRIORS[1],
            weight_concentration_prior=1.0,
        )
        .fit(X)
        .lower_bound_
        for k in range(1, 6)
    }
    assert max(bounds, key=lambda k: bounds[k]) == 3


def log_evidence_of_mixtures(x: FloatArray, k: int, concentration: float) -> float:
    """Log-evidence of at most k components in a line, summed over all ways to share out the rows.

    The prior has mean 0, mean precision 0.05, 3 degrees of freedom and inv(W) = 2.
    """
    n = len(x)
    members = np.arange(2**n)[:, None] >> np.arange(n) & 1  # of every subset
    count = members.sum(axis=1)
    mean = members @ x / np.maximum(count, 1)
    after = 2 + members @ x**2 - count * mean**2 + 0.05 * count / (0.05 + count) * mean**2
    alone = (
        -count / 2 * np.log(np.pi)
        + gammaln((3 + count) / 2)
        - gammaln(3 / 2)
        + 3 / 2 * np.log(2)
        - (3 + count) / 2 * np.log(after)
        + np.log(0.05 / (0.05 + count)) / 2
        + gammaln(concentration + count)
        - gammaln(concentration)
    )
    shared = alone
    for _ in range(k - 1):  # the rows of a subset: some for one more component, the others before
        found = np.full(2**n, -np.inf)
        for some in range(2**n):
            others = np.flatnonzero(np.arange(2**n) & some == 0)
            joined = others | some
            found[joined] = np.logaddexp(found[joined], shared[others] + alone[some])
        shared = found
    return float(shared[-1] + gammaln(k * concentration) - gammaln(k * concentration + n))


@pytest.mark.parametrize(
    ("k", "concentration"), [(1, 1.0), (2, 1.0), (2, 0.01), (3, 0.01), (4, 0.01)]
)
def test_what_trading_places_adds_to_the_bound(k: int, concentration: float) -> None:
    """The bound is of one way to number the components, as docs/bayesian.md says."""
    x = np.array([-4.3, -3.9, -4.1, -5.2, -2.8, 4.5, 3.6, 4.9, 4.0])
    fits = [
        mixture(
            k,
            weight_concentration_prior_type=PRIORS[1],
            weight_concentration_prior=concentration,
            mean_prior=[0.0],
            mean_precision_prior=0.05,
            degrees_of_freedom_prior=3,
            covariance_prior=[[2.0]],
            reg_covar=0,
            tol=1e-9,
            max_iter=1000,
            random_state=seed,
        ).fit(x[:, None])
        for seed in range(10)
    ]
    best = max(fits, key=lambda fit: fit.lower_bound_)
    evidence = log_evidence_of_mixtures(x, k, concentration)
    alike = k - best.n_effective_
    assert alike == max(0, k - 2)
    bound = best.lower_bound_ + gammaln(k + 1) - gammaln(alike + 1)
    assert evidence - 0.03 < bound < evidence + 1e-9
    if alike > 1:  # log K! would count places among the empty ones, too
        assert best.lower_bound_ + gammaln(k + 1) > evidence + 0.5


# --- Weights, dtypes, threads, sources ------------------------------------------------------------


@each_prior
@each_structure
def test_weights_count_like_repeated_rows(X: FloatArray, structure: Structure, prior: str) -> None:
    counts = np.random.default_rng(2).integers(0, 4, len(X))
    params: dict[str, Any] = {
        "covariance_type": structure,
        "weight_concentration_prior_type": prior,
        "max_iter": 15,
        "tol": 0,
    }
    start = mixture(3, init_params="kmeans", **params).fit(X)
    begun = [pickle.loads(pickle.dumps(start)).set_params(warm_start=True) for _ in range(2)]
    weighted = begun[0].fit(X, sample_weight=counts.astype(float))
    repeated = begun[1].fit(np.repeat(X, counts, axis=0))
    assert_same(weighted, repeated, 1e-9)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-11)
    np.testing.assert_allclose(weighted.covariance_prior_, repeated.covariance_prior_, rtol=1e-12)
    np.testing.assert_allclose(weighted.mean_prior_, repeated.mean_prior_, rtol=1e-10, atol=1e-12)


@each_structure
def test_float32(X: FloatArray, structure: Structure) -> None:
    params: dict[str, Any] = {"covariance_type": structure, "max_iter": 10, "tol": 0}
    rows = X.astype(np.float32)
    narrow, wide = mixture(3, **params).fit(rows), mixture(3, **params).fit(rows.astype(float))
    np.testing.assert_allclose(narrow.means_, wide.means_, rtol=1e-4, atol=1e-4)
    assert narrow.lower_bound_ == pytest.approx(wide.lower_bound_, rel=1e-4)
    assert narrow.score_samples(rows).dtype == np.float32
    assert narrow.predictive_score_samples(rows).dtype == np.float32
    assert narrow.predictive_proba(rows).dtype == np.float32


def test_the_same_bits_for_any_number_of_threads(X: FloatArray) -> None:
    rows = np.tile(X, (60, 1)) + np.random.default_rng(0).normal(size=(60 * len(X), 3))
    fits = [mixture(5, n_threads=n, max_iter=5).fit(rows) for n in (1, 2, 3)]
    for fit in fits[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(state(fit), state(fits[0]), strict=True))
        assert fit.lower_bounds_ == fits[0].lower_bounds_


def test_rows_of_a_file_lead_to_the_same_bits(X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, X)
    memory = mixture(4, max_iter=20).fit(X)
    for source in (path, scan(path), [X[:150], X[150:]]):
        fit = mixture(4, max_iter=20).fit(source)
        assert all(np.array_equal(a, b) for a, b in zip(state(fit), state(memory), strict=True))
    out = memory.predictive_score_samples(path, out=tmp_path / "scores.npy")
    np.testing.assert_array_equal(np.load(out), memory.predictive_score_samples(X))


def test_rows_of_dask(X: FloatArray) -> None:
    da = pytest.importorskip("dask.array")
    rows = da.from_array(X, chunks=(150, 3))
    fit, memory = (mixture(3, init_params="kmeans", max_iter=9).fit(x) for x in (rows, X))
    assert_same(fit, memory, 1e-8)
    lazy = fit.predictive_score_samples(rows)
    np.testing.assert_allclose(lazy.compute(), memory.predictive_score_samples(X), rtol=1e-8)


def test_the_best_of_several_starts_is_kept(X: FloatArray) -> None:
    alone = [mixture(4, random_state=s).fit(X).lower_bound_ for s in range(2)]
    state_ = np.random.RandomState(5)
    best = mixture(4, n_init=3, random_state=state_).fit(X)
    assert best.lower_bound_ > min(alone) - 20
    singles = np.random.RandomState(5)
    each = [mixture(4, random_state=singles).fit(X).lower_bound_ for _ in range(3)]
    assert best.lower_bound_ == max(each)


def test_a_warm_start_goes_on(X: FloatArray) -> None:
    whole = mixture(4, max_iter=12, tol=0).fit(X)
    parts = mixture(4, max_iter=5, tol=0, warm_start=True).fit(X)
    parts.set_params(max_iter=7).fit(X)
    assert all(np.array_equal(a, b) for a, b in zip(state(parts), state(whole), strict=True))


@pytest.mark.parametrize("method", ["squarem", "anderson"])
def test_acceleration_reaches_the_bound_in_fewer_passes(method: Any) -> None:
    skewed = np.random.default_rng(0).gamma(3, size=(1000, 1))
    params: dict[str, Any] = {
        "tol": 1e-6,
        "max_iter": 5000,
        "reg_covar": 0,
        "init_params": "kmeans",
    }
    plain = mixture(6, **params).fit(skewed)
    quick = mixture(6, accelerate=method, **params).fit(skewed)
    assert quick.converged_
    assert quick.n_iter_ < plain.n_iter_ / 2
    assert quick.lower_bound_ > plain.lower_bound_ - 1e-4
    assert quick.n_effective_ == plain.n_effective_


# --- Batches --------------------------------------------------------------------------------------


@each_structure
@each_prior
def test_sweeps_over_blocks_end_where_the_bound_is_stationary(
    X: FloatArray, structure: Structure, prior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incremental, "FEWEST_ROWS", 1024)
    rows = np.tile(X, (13, 1)) + np.random.default_rng(0).normal(size=(13 * len(X), 3))
    own: dict[str, Any] = {
        "covariance_type": structure,
        "weight_concentration_prior_type": prior,
        "init_params": "kmeans",
        "tol": 1e-4,
        "max_iter": 2000,
        "reg_covar": 0,
    }
    swept, plain = (mixture(3, algorithm=a, **own).fit(rows) for a in ("incremental", "em"))
    assert swept.converged_
    assert swept.n_iter_ <= plain.n_iter_
    assert swept.lower_bounds_[1:] != plain.lower_bounds_[1:]
    assert swept.lower_bound_ == pytest.approx(plain.lower_bound_, abs=0.05)
    bound = swept.lower_bound_
    on = swept.set_params(algorithm="em", warm_start=True, tol=0, max_iter=1).fit(rows)
    assert -1e-7 < on.lower_bound_ - bound < 1e-4


def test_batches_of_one_component_are_all_rows_at_once(X: FloatArray) -> None:
    prior: dict[str, Any] = {
        "mean_prior": [1.0, 2.0, 3.0],
        "covariance_prior": np.eye(3),
        "weight_concentration_prior_type": PRIORS[1],
        "reg_covar": 0,
    }
    whole, batches = mixture(1, **prior).fit(X), mixture(1, **prior)
    total = 0.0
    for start in range(0, len(X), 100):
        total += batches.partial_fit(X[start : start + 100]).lower_bound_
    assert_same(batches, whole)
    assert total == pytest.approx(whole.lower_bound_, rel=1e-12)
    assert (batches.n_samples_seen_, batches.weight_seen_) == (400, 400.0)


@each_structure
def test_batches_bound_the_evidence_of_all_rows(X: FloatArray, structure: Structure) -> None:
    model, total = mixture(3, covariance_type=structure, init_params="kmeans", max_iter=200), 0.0
    for start in range(0, len(X), 80):
        total += model.partial_fit(X[start : start + 80]).lower_bound_
    assert model.n_effective_ == 3
    assert model._counts(model._present()).sum() == pytest.approx(len(X))
    whole = mixture(3, covariance_type=structure, init_params="kmeans", max_iter=200).fit(X)
    np.testing.assert_allclose(np.sort(model.weights_), np.sort(whole.weights_), atol=0.02)


# --- The predictive density -----------------------------------------------------------------------


def test_the_predictive_density_integrates_to_one() -> None:
    rng = np.random.default_rng(3)
    line = np.append(rng.normal(0, 1, 12), rng.normal(8, 0.5, 8))[:, None]  # 20 rows
    model = mixture(3, init_params="kmeans").fit(line)

    def mass(scores: Any) -> float:
        points = np.linspace(-4000, 4000, 2_000_001)[:, None]
        return float(np.exp(scores(points)).sum() * (points[1, 0] - points[0, 0]))

    assert mass(model.predictive_score_samples) == pytest.approx(1, abs=2e-4)
    assert mass(model.score_samples) < 0.95  # scikit-learn's is no density
    inner = quad(lambda x: np.exp(model.predictive_score_samples([[x]])[0]), -300, 300, limit=500)
    assert inner[0] == pytest.approx(1, abs=1e-2)


@each_prior
@each_structure
def test_the_predictive_density_is_a_mixture_of_students(
    X: FloatArray, structure: Structure, prior: str
) -> None:
    model = mixture(3, covariance_type=structure, weight_concentration_prior_type=prior).fit(X)
    freedom = np.broadcast_to(model.degrees_of_freedom_, (3,)) + 1 - 3
    spreads = model._plain(model._present(), np.arange(3))  # covariances as matrices
    matrices = np.array([spreads.marginal([0, 1, 2])._present().full_covariances()])[0]
    dense = np.array(
        [
            model.weights_[k]
            * multivariate_t(
                model.means_[k],
                matrices[k]
                * np.broadcast_to(model.degrees_of_freedom_, (3,))[k]
                * (1 + model.mean_precision_[k])
                / (model.mean_precision_[k] * freedom[k]),
                df=freedom[k],
            ).pdf(X)
            for k in range(3)
        ]
    ).T
    np.testing.assert_allclose(
        model.predictive_score_samples(X), np.log(dense.sum(axis=1)), rtol=1e-9
    )
    shares = dense / dense.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predictive_proba(X), shares, atol=1e-10)


def test_rows_drawn_from_the_predictive_density() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 1))
    model = mixture(1, max_iter=3).fit(rows)
    drawn, labels = model.sample(200_000, random_state=1, predictive=True)
    assert drawn.shape == (200_000, 1)
    assert not labels.any()
    freedom = float(np.atleast_1d(model.degrees_of_freedom_)[0])
    centred = np.sort(np.abs(drawn[:, 0] - model.means_[0, 0]))
    scale = np.sqrt(
        model.covariances_[0, 0, 0] * (1 + 1 / model.mean_precision_[0])
    )  # nu + 1 - D is nu
    from scipy.stats import t

    for q in (0.5, 0.9, 0.99):
        assert centred[int(q * len(centred))] == pytest.approx(
            scale * t(freedom).ppf((1 + q) / 2), rel=0.02
        )
    plain, _ = model.sample(200_000, random_state=1)
    assert plain.var() < drawn.var()
    again, _ = model.sample(200_000, random_state=1, predictive=True)
    assert np.array_equal(drawn, again)


# --- Comforts -------------------------------------------------------------------------------------


@each_prior
@each_structure
def test_pruning_leaves_the_components_in_use(
    X: FloatArray, structure: Structure, prior: str
) -> None:
    model = mixture(
        8,
        covariance_type=structure,
        weight_concentration_prior_type=prior,
        weight_concentration_prior=1e-3,
        max_iter=600,
    ).fit(X)
    used = model._counts(model._present()) > 0.5
    assert 1 <= model.n_effective_ == used.sum() < 8
    pruned = model.prune()
    assert pruned.n_components == model.n_effective_ == len(pruned.means_)
    assert pruned.lower_bound_ == model.lower_bound_
    np.testing.assert_array_equal(pruned.means_, model.means_[used])
    np.testing.assert_allclose(
        pruned.predictive_score_samples(X), model.predictive_score_samples(X), atol=0.3
    )
    assert model.n_components == 8


def test_a_note_when_all_components_are_used(
    X: FloatArray, capsys: pytest.CaptureFixture[str]
) -> None:
    mixture(2, verbose=1).fit(X)
    assert "all n_components=2 components are used" in capsys.readouterr().out
    mixture(9, verbose=1, weight_concentration_prior=1e-3, max_iter=600).fit(X)
    assert "components are used" not in capsys.readouterr().out


def test_queries_are_of_the_expected_mixture(X: FloatArray) -> None:
    model = mixture(3, init_params="kmeans").fit(X)
    plain = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    marginal = model.marginal([0, 1])
    assert type(marginal) is GaussianMixture
    np.testing.assert_array_equal(marginal.means_, model.means_[:, :2])
    np.testing.assert_allclose(model.regress([0], X[:, :1]), plain.regress([0], X[:, :1]))
    assert model.hdr_level(0.9) == pytest.approx(plain.hdr_level(0.9))
    assert np.array_equal(model.is_outlier(X), plain.is_outlier(X))
    np.testing.assert_allclose(model.component_distances(), plain.component_distances())
    tree = model.hierarchy(X)
    np.testing.assert_allclose(tree.predict_proba(X, 3).sum(axis=1), 1)


# --- Files ----------------------------------------------------------------------------------------


@each_prior
@each_structure
def test_a_model_file_keeps_everything(
    X: FloatArray, tmp_path: Path, structure: Structure, prior: str
) -> None:
    model = mixture(4, covariance_type=structure, weight_concentration_prior_type=prior).fit(X)
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz", BayesianGaussianMixture)
    assert vars(back).keys() == vars(model).keys()
    assert back.get_params() == model.get_params()
    assert all(np.array_equal(a, b) for a, b in zip(state(back), state(model), strict=True))
    np.testing.assert_array_equal(back.covariance_prior_, model.covariance_prior_)
    np.testing.assert_array_equal(back.mean_prior_, model.mean_prior_)
    assert back.n_effective_ == model.n_effective_
    np.testing.assert_array_equal(back.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(back.partial_fit(X).means_, model.partial_fit(X).means_)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("mean_precision_", np.array([1.0, -1, 1, 1]), "mean_precision.* must be greater than 0"),
        ("mean_precision_", np.ones(3), "shape"),
        ("degrees_of_freedom_", np.full(4, 2.0), "degrees_of_freedom.* must be greater than 2"),
        ("weight_concentration_", np.full((2, 4), np.nan), "finite"),
        ("weight_concentration_", np.ones(4), "shape"),
    ],
)
def test_a_damaged_model_file(
    X: FloatArray, tmp_path: Path, name: str, value: Any, reason: str
) -> None:
    path = tmp_path / "m.npz"
    save(mixture(4).fit(X), path)
    with np.load(path) as archive:
        entries = {**archive, name: value}
    np.savez(path, **entries)
    with pytest.raises(ValueError, match=reason):
        load(path)


@each_structure
@pytest.mark.parametrize("params", [{}, {"accelerate": "squarem"}, {"n_init": 2}])
def test_a_checkpoint_goes_on_to_the_same_bits(
    X: FloatArray, tmp_path: Path, structure: Structure, params: dict[str, Any]
) -> None:
    own = {"covariance_type": structure, "tol": 0, **params}
    wanted = mixture(4, max_iter=20, **own).fit(X)
    path = tmp_path / "fit.ckpt"
    kept = {**own, "checkpoint": path, "checkpoint_interval": 0}
    mixture(4, max_iter=8, **kept).fit(X)
    gone_on = mixture(4, max_iter=20, **kept).fit(X)
    assert all(np.array_equal(a, b) for a, b in zip(state(gone_on), state(wanted), strict=True))
    assert gone_on.lower_bounds_ == wanted.lower_bounds_
    with pytest.raises(CheckpointError, match="mean_precision_prior"):
        mixture(4, max_iter=20, mean_precision_prior=2.0, **kept).fit(X)


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weight_concentration_prior_type": "pitman_yor"}, "weight_concentration_prior_type must"),
        (
            {"weight_concentration_prior": 0},
            "weight_concentration_prior must be a finite number greater than",
        ),
        (
            {"mean_precision_prior": -1.0},
            "mean_precision_prior must be a finite number greater than 0",
        ),
        (
            {"mean_prior": [1.0, 2.0]},
            r"'mean_prior' should have the shape of \(3,\), but got \(2,\)",
        ),
        ({"degrees_of_freedom_prior": 2.0}, "should be greater than 2, but got 2.000"),
        ({"covariance_prior": np.eye(2)}, r"should have the shape of \(3, 3\), but got \(2, 2\)"),
        ({"covariance_prior": -np.eye(3)}, "should be symmetric, positive-definite"),
        ({"covariance_prior": 5e-324 * np.eye(3)}, "covariance_prior' should have an inverse"),
        (
            {"covariance_type": "spherical", "covariance_prior": 1e-320},
            "'spherical covariance_prior' should have an inverse within float64",
        ),
        (
            {"weight_concentration_prior": 1e-310},
            "weight_concentration_prior must be at least 1e-300, got 1e-310",
        ),
        ({"mean_precision_prior": 5e-324}, "mean_precision_prior must be at least 1e-300, got"),
        ({"covariance_type": "VEV"}, "covariance_type must be one of 'full', 'tied', 'diag', 'sph"),
        ({"covariance_type": "diag", "covariance_prior": [1, 2, -3]}, "should be positive"),
        ({"sort_components": 1}, "sort_components must be"),
        ({"algorithm": "online"}, "algorithm must be one of 'em', 'incremental'"),
        (
            {"algorithm": "incremental", "sort_components": True},
            "algorithm='incremental' and sort_components=True do not go together",
        ),
    ],
)
def test_parameters_that_are_refused(X: FloatArray, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(2, **params).fit(X)


def test_a_single_row_has_no_covariance() -> None:
    with pytest.raises(ValueError, match=r"n_samples = 1.*give a covariance_prior"):
        mixture(1).fit([[1.0, 2.0]])
    model = mixture(1, covariance_prior=np.eye(2), mean_prior=[0, 0]).fit([[1.0, 2.0]])
    np.testing.assert_allclose(model.means_, [[0.5, 1.0]])


def test_before_a_fit() -> None:
    for method in ("predict", "predictive_score_samples", "predictive_proba"):
        with pytest.raises(NotFittedError, match="BayesianGaussianMixture instance is not fitted"):
            getattr(mixture(), method)([[1.0]])
    with pytest.raises(NotFittedError):
        mixture().prune()


def test_a_posterior_set_by_hand_is_checked(X: FloatArray) -> None:
    model = mixture(2).fit(X)
    model.mean_precision_ = np.array([1.0, -1.0])
    with pytest.raises(ValueError, match="mean_precision_ must be greater than 0, got -1"):
        model.predict(X)


@each_structure
def test_constant_and_collinear_features(X: FloatArray, structure: Structure) -> None:
    rows = np.column_stack([X, np.full(len(X), 7.0), X[:, 0] * 2])
    model = mixture(3, covariance_type=structure, reg_covar=0).fit(rows)
    assert np.isfinite(model.lower_bound_)
    assert np.isfinite(model.score_samples(rows)).all()


def test_a_fit_that_did_not_converge_warns(X: FloatArray) -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        mixture(3, max_iter=2, tol=1e-9).fit(X)


def test_rows_far_from_the_origin_lose_nothing(X: FloatArray) -> None:
    near = mixture(3, max_iter=20, tol=0).fit(X)
    far = mixture(3, max_iter=20, tol=0).fit(X + 2.0**20)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-5)
    assert far.lower_bound_ == pytest.approx(near.lower_bound_, rel=1e-6)


def labels_of(model: BayesianGaussianMixture, X: FloatArray) -> NDArray[np.int32]:
    return model.predict(X)


def test_fit_predict_is_fit_and_predict(X: FloatArray) -> None:
    assert np.array_equal(mixture(4).fit_predict(X), labels_of(mixture(4).fit(X), X))
