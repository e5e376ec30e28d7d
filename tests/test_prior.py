"""Conjugate priors: published fits, SciPy's densities, and everything that a fit goes through."""

import copy
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone

import gaussmix
from gaussmix import CollapseWarning, ConvergenceWarning, GaussianMixture, ParameterError, Prior
from gaussmix._core.types import CovarianceType, FloatArray
from gaussmix.data.base import InMemory
from gaussmix.em.penalised import MaximumAPosteriori, objective_for
from gaussmix.estimators.attributes import parameters_of
from gaussmix.model.covariance import structure_named

DATA = Path(__file__).parent / "data"
IRIS = np.loadtxt(DATA / "iris.csv", delimiter=",", skiprows=1)
FAITHFUL = np.loadtxt(DATA / "old_faithful.csv", delimiter=",", skiprows=1)

SHARED: tuple[CovarianceType, ...] = ("tied", "EEI", "EII")
VARYING: tuple[CovarianceType, ...] = ("VEI", "EVI", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV")
SIMPLE: tuple[CovarianceType, ...] = ("full", "diag", "spherical", *SHARED)
each_structure = pytest.mark.parametrize("structure", [*SIMPLE, *VARYING])
each_simple = pytest.mark.parametrize("structure", SIMPLE)


def mixture(n_components: int = 3, **params: Any) -> GaussianMixture:
    defaults = {"tol": 1e-12, "max_iter": 2000, "reg_covar": 0.0, "random_state": 0}
    return GaussianMixture(n_components, **{**defaults, "prior": Prior(), **params})


def fitted(model: GaussianMixture, X: Any, sample_weight: Any = None) -> GaussianMixture:
    """Fit without a word about convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, sample_weight=sample_weight)


def overlapping(n_samples: int = 300) -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, 2)) + 3 * rng.integers(3, size=(n_samples, 1))


X = overlapping()


# --- Truth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "n_components", "structure", "log_likelihood"),
    [
        (IRIS, 3, "full", -192.6953),
        (IRIS, 2, "full", -223.6022),
        (IRIS, 3, "tied", -257.7394),
        (FAITHFUL, 2, "full", -1130.5093),
        (FAITHFUL, 2, "tied", -1140.2609),
    ],
)
def test_published_fits_of_mclust(
    rows: FloatArray, n_components: int, structure: CovarianceType, log_likelihood: float
) -> None:
    model = mixture(n_components, covariance_type=structure, init_params="auto").fit(rows)
    assert_allclose(model.score(rows) * len(rows), log_likelihood, atol=2e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("concentration", [1.0, 2.0])
@pytest.mark.parametrize("weights", [[1, 0], [0, 1]])
def test_a_start_may_have_a_component_without_weight(
    weights: list[int], concentration: float
) -> None:
    means = FAITHFUL.mean(axis=0) + np.array([[-1.0, -10.0], [1.0, 10.0]])
    options: dict[str, Any] = {"weights_init": weights, "means_init": means, "max_iter": 1000}
    prior = Prior(weight_concentration=concentration)
    model = GaussianMixture(2, prior=prior, random_state=0, **options).fit(FAITHFUL)
    assert model.converged_
    assert not np.isnan(model.lower_bounds_).any()
    assert (model.weights_[weights.index(0)] > 0.1) == (concentration > 1)  # the prior revives it


def log_posterior(model: GaussianMixture, rows: FloatArray, prior: Prior) -> float:
    """Log-likelihood plus the log-density of the prior, with every constant, by SciPy."""
    k, (n_features, name) = model.n_components, (rows.shape[1], model.covariance_type)
    nu, kappa, mean = prior.degrees_of_freedom, prior.mean_precision, np.asarray(prior.mean)
    scale = np.asarray(prior.scale)
    assert nu is not None
    concentration = np.full(k, prior.weight_concentration)
    total = model.score(rows) * len(rows) + stats.dirichlet.logpdf(model.weights_, concentration)
    if structure_named(name).form in ("full", "tied"):
        matrices = np.broadcast_to(model.covariances_, (k, n_features, n_features))
        distinct = matrices[:1] if name in SHARED else matrices
        total += sum(stats.invwishart.logpdf(matrix, nu, scale) for matrix in distinct)
    else:
        variances = model.covariances_.reshape(k, -1)
        distinct = variances[:1] if name in SHARED else variances
        total += stats.invgamma.logpdf(distinct, nu / 2, scale=scale / 2).sum()
        spread = np.broadcast_to(variances, (k, n_features))
        matrices = spread[:, :, None] * np.eye(n_features)
    for center, matrix in zip(model.means_, matrices, strict=True):
        total += stats.multivariate_normal.logpdf(center, mean, matrix / kappa)
    return float(total)


def informative(structure: str) -> Prior:
    scale: dict[str, Any] = {"full": [[2.0, 0.5], [0.5, 3.0]], "diag": [2.0, 3.0], "spherical": 2.5}
    scale["tied"] = scale["full"]
    return Prior([1.0, 2.0], 3.0, 6.0, scale[structure_named(structure).form], 2.5)


@each_structure
def test_the_objective_is_the_log_posterior(structure: CovarianceType) -> None:
    prior = informative(structure)
    early, late = (
        fitted(mixture(covariance_type=structure, prior=prior, max_iter=n, tol=0.0), X)
        for n in (1, 8)
    )
    wanted = log_posterior(late, X, prior) - log_posterior(early, X, prior)
    assert wanted > 0.1
    assert_allclose(len(X) * (late.lower_bound_ - early.lower_bound_), wanted, rtol=1e-8)


@each_structure
def test_the_fit_is_a_maximum_of_the_log_posterior(structure: CovarianceType) -> None:
    prior, rng = informative(structure), np.random.default_rng(1)
    model = mixture(covariance_type=structure, prior=prior, tol=1e-15, max_iter=5000).fit(X)
    best = log_posterior(model, X, prior)
    for _ in range(20):
        weights = model.weights_ * np.exp(1e-4 * rng.normal(size=3))
        means = model.means_ + 1e-4 * rng.normal(size=model.means_.shape)
        spread = moved(model.covariances_, structure, rng)
        other = GaussianMixture.from_parameters(
            weights / weights.sum(), means, spread, structure, project=True
        )
        assert log_posterior(other, X, prior) < best


def moved(covariances: FloatArray, structure: str, rng: np.random.Generator) -> FloatArray:
    """Covariances nearby that have the form of a structure, but need not be members of it."""
    if structure_named(structure).form in ("full", "tied"):
        turned = np.eye(2) + 1e-4 * rng.normal(size=covariances.shape)
        return np.asarray(turned @ covariances @ np.swapaxes(turned, -1, -2))
    return np.asarray(covariances * np.exp(1e-4 * rng.normal(size=covariances.shape)))


def test_denominators() -> None:
    """One component holds all rows, so that the fit has a closed form."""
    n, (D, nu) = len(X), (2, 4.0)
    center, scatter = X.mean(axis=0), np.cov(X.T) * (len(X) - 1)
    scale = np.cov(X.T)
    wanted = {
        "full": (scatter + scale) / (n + nu + D + 2),
        "tied": (scatter + scale) / (n + nu + D + 1 + 1),
        "diag": np.diag(scatter + scale) / (n + nu + 3),
        "spherical": (np.trace(scatter) + np.trace(scale) / D) / (nu + (n + 1) * D + 2),
    }
    for structure, covariance in wanted.items():
        model = mixture(1, covariance_type=structure).fit(X)
        assert_allclose(np.squeeze(model.covariances_), covariance, rtol=1e-12)
        assert_allclose(model.means_[0], center, rtol=1e-12)
    prior = Prior(mean=[9.0, 9.0], mean_precision=100.0)
    pulled = mixture(1, prior=prior).fit(X)
    assert_allclose(pulled.means_[0], (n * center + 100 * 9.0) / (n + 100), rtol=1e-12)


def test_weights_have_a_dirichlet_prior() -> None:
    rows = np.concatenate([X[:20] - 100, X[:60], X[:20] + 100])
    model = mixture(prior=Prior(weight_concentration=11.0)).fit(rows)
    assert_allclose(np.sort(model.weights_), np.array([30, 30, 70]) / 130, rtol=1e-12)


# --- What a prior is for --------------------------------------------------------------------------


@each_structure
def test_nothing_collapses_that_would_without(structure: CovarianceType) -> None:
    rows = np.concatenate([np.zeros((30, 2)), 20 + X])
    model = mixture(2, covariance_type=structure)
    bounds = fitted(model, rows).lower_bounds_  # a CollapseWarning would be an error
    assert np.diff(bounds).min() > -1e-12
    if structure in ("full", "diag", "spherical"):
        with pytest.warns(CollapseWarning):
            fitted(mixture(2, covariance_type=structure, prior=None), rows)


def test_fewer_rows_than_features() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 20))
    scale = np.eye(20)
    model = fitted(mixture(2, prior=Prior(scale=scale)), rows)
    assert (np.linalg.eigvalsh(model.covariances_) > 0).all()


@each_simple
def test_units_do_not_matter(structure: CovarianceType) -> None:
    units = np.full(2, 1e-3) if structure in ("spherical", "EII") else np.array([1e-3, 1e4])
    there, here = (mixture(covariance_type=structure).fit(rows) for rows in (X, X * units))
    assert_allclose(here.means_, there.means_ * units, rtol=1e-6)
    assert_allclose(here.weights_, there.weights_, rtol=1e-6)


def test_criteria_are_of_the_bare_likelihood() -> None:
    model = mixture().fit(X)
    log_likelihood = float(model.score_samples(X).sum())
    assert abs(len(X) * model.lower_bound_ - log_likelihood) > 1
    n_free = 2 + 6 + 9
    assert_allclose(model.bic(X), -2 * log_likelihood + n_free * np.log(len(X)))
    selection = gaussmix.select(X, [3], ["full"], prior=Prior(), random_state=0, n_init=1)
    assert_allclose(selection.best.log_likelihood, selection.best_model.score(X) * len(X))
    assert_allclose(selection.best.bic, selection.best_model.bic(X))


def test_select_tries_what_is_singular_without() -> None:
    rows = np.column_stack([X, X.sum(axis=1)])
    prior = Prior(scale=np.eye(3))
    one: dict[str, Any] = {"n_init": 1, "init_params": "kmeans"}
    (row,) = gaussmix.select(rows, [2], ["full"], prior=prior, random_state=0, **one).table
    assert np.isfinite(row.bic)


# --- Everything that a fit goes through -----------------------------------------------------------


@each_simple
@pytest.mark.parametrize("method", ["squarem", "anderson"])
def test_acceleration_climbs_the_same_objective(structure: CovarianceType, method: Any) -> None:
    plain = mixture(covariance_type=structure, reg_covar=1e-3).fit(X)
    quick = mixture(covariance_type=structure, reg_covar=1e-3, accelerate=method).fit(X)
    assert quick.lower_bound_ > plain.lower_bound_ - 1e-7
    assert quick.n_iter_ <= plain.n_iter_


@each_simple
def test_a_ridge_and_a_prior_add_up(structure: CovarianceType) -> None:
    model = fitted(mixture(covariance_type=structure, reg_covar=0.1, max_iter=300, tol=0.0), X)
    penalised = np.asarray(model.lower_bounds_)
    assert penalised[-1] == pytest.approx(penalised[-2], abs=1e-9)
    bare = mixture(covariance_type=structure).fit(X)
    assert model.lower_bound_ < bare.lower_bound_
    assert model.covariances_.sum() > bare.covariances_.sum()


@each_simple
def test_what_no_iteration_lowers_under_a_large_ridge(structure: CovarianceType) -> None:
    ridge = np.array([2.0, 0.3])
    model = fitted(mixture(covariance_type=structure, max_iter=0), X)
    objective = objective_for(InMemory(X, None), structure_named(structure), 3, prior=Prior())
    assert isinstance(objective, MaximumAPosteriori)
    objective = replace(objective, by_feature=ridge)
    point = parameters_of(model)
    for _ in range(10):
        statistics = objective.e_step(point)
        image, _ = objective.m_step(statistics, point)
        penalties = [
            0.5
            * image.weights
            @ (np.diagonal(np.linalg.inv(p.full_covariances()), 0, 1, 2) @ ridge)
            for p in (image, point)
        ]
        gain = objective.score(image) - objective.lower_bound(point, statistics)
        assert gain - penalties[0] + penalties[1] > -1e-12
        point = image


@each_simple
def test_weights_count_like_repeated_rows(structure: CovarianceType) -> None:
    rows, times = X[:90], np.arange(90) % 3 + 1
    means = rows[:3]
    shapes = {"full": np.eye(2) * np.ones((3, 1, 1)), "tied": np.eye(2), "diag": np.ones((3, 2))}
    shapes |= {"EEI": shapes["diag"], "spherical": np.ones(3), "EII": np.ones(3)}
    model = mixture(
        covariance_type=structure,
        weights_init=[0.2, 0.3, 0.5],
        means_init=means,
        precisions_init=shapes[structure],
        max_iter=20,
        tol=0.0,
    )
    weighted = fitted(clone(model), rows, times)
    repeated = fitted(clone(model), np.repeat(rows, times, axis=0))
    assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-10)
    assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-10)


def test_single_precision() -> None:
    double = mixture(tol=1e-6).fit(X)
    single = mixture(tol=1e-6).fit(X.astype(np.float32))
    assert_allclose(single.means_, double.means_, atol=1e-3)


def test_files_and_threads_give_the_same_bits(tmp_path: Path) -> None:
    rows = overlapping(5000)
    np.save(tmp_path / "rows.npy", rows)
    wanted = mixture(n_threads=1, tol=1e-6).fit(rows)
    for source, n_threads in ((tmp_path / "rows.npy", 2), (rows, 3)):
        found = mixture(n_threads=n_threads, tol=1e-6).fit(source)
        assert_array_equal(found.covariances_, wanted.covariances_)
        assert found.lower_bounds_ == wanted.lower_bounds_


def test_incremental_em_ends_at_the_same_optimum() -> None:
    rows = overlapping(10_000)
    plain = mixture(tol=1e-10).fit(rows)
    swept = mixture(tol=1e-10, algorithm="incremental").fit(rows)
    assert_allclose(swept.lower_bound_, plain.lower_bound_, atol=1e-7)


def test_a_checkpoint_tells_priors_apart(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    whole = fitted(mixture(max_iter=30), X)
    fitted(mixture(max_iter=10, checkpoint=path), X)
    resumed = fitted(mixture(max_iter=30, checkpoint=path), X)
    assert resumed.lower_bounds_ == whole.lower_bounds_
    assert_array_equal(resumed.covariances_, whole.covariances_)
    with pytest.raises(gaussmix.CheckpointError, match="prior"):
        mixture(max_iter=30, checkpoint=path, prior=Prior(mean_precision=0.02)).fit(X)


def test_models_keep_their_prior_in_files(tmp_path: Path) -> None:
    prior = informative("full")
    model = mixture(prior=prior).fit(X)
    gaussmix.save(model, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz", GaussianMixture)
    assert isinstance(loaded.prior, Prior)
    assert loaded.prior.plain() == prior.plain()
    assert_array_equal(loaded.fit(X).covariances_, model.covariances_)


def test_copies() -> None:
    model = mixture(prior=informative("full"))
    for other in (clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.prior.plain() == model.prior.plain()  # type: ignore[union-attr]
    assert "Prior(" in repr(model)


def test_warm_starts_go_on() -> None:
    model = mixture(max_iter=5, warm_start=True, tol=0.0)
    first = fitted(model, X).lower_bound_
    assert fitted(model, X).lower_bounds_[0] == pytest.approx(first, rel=1e-12)


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean_precision": 0}, "mean_precision"),
        ({"degrees_of_freedom": -1}, "degrees_of_freedom"),
        ({"weight_concentration": 0.5}, "weight_concentration"),
        ({"mean": ["a"]}, "mean"),
        ({"scale": "wide"}, "scale"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prior(**arguments)


@pytest.mark.parametrize(
    ("prior", "structure", "message"),
    [
        (Prior(mean=[0.0]), "full", "prior.mean"),
        (Prior(scale=[1.0, 1.0]), "full", "prior.scale"),
        (Prior(scale=[[1.0, 2.0], [2.0, 1.0]]), "full", "positive-definite"),
        (Prior(scale=[1.0, -1.0]), "diag", "positive"),
        (Prior(scale=np.eye(2)), "spherical", "prior.scale"),
        (Prior(degrees_of_freedom=1.0), "full", "prior.degrees_of_freedom"),
        ("yes", "full", "gaussmix.Prior"),
    ],
)
def test_what_does_not_fit_is_named(prior: Any, structure: CovarianceType, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(covariance_type=structure, prior=prior).fit(X)


def test_batches_cannot_be_followed() -> None:
    with pytest.raises(ParameterError, match="partial_fit does not go with prior"):
        mixture().partial_fit(X)


def test_rows_of_little_weight_need_a_scale() -> None:
    with pytest.raises(ParameterError, match=r"prior\.scale must be given"):
        mixture().fit(X, sample_weight=np.full(len(X), 1e-3))
