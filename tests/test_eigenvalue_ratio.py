"""Eigenvalues within a factor of each other, and a ridge relative to each feature's variance."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

import gaussmix
from gaussmix import ConvergenceWarning, GaussianMixture, ParameterError, Prior
from gaussmix._core.types import CovarianceType, FloatArray
from gaussmix.estimators.settings import settings_of
from gaussmix.model.covariance import structure_named
from gaussmix.model.eigenvalues import bounded, truncated

STRUCTURES: tuple[CovarianceType, ...] = ("full", "tied", "diag", "spherical", "EEI", "EII")
each_structure = pytest.mark.parametrize("structure", STRUCTURES)
METHODS = ("kmeans", "auto", "k-means++", "random_from_data", "random", "hierarchical", "emem")


def rows(n_samples: int = 300) -> FloatArray:
    """Three groups of very different sizes and shapes."""
    rng = np.random.default_rng(0)
    scales = np.array([[1.0, 1.0], [0.05, 3.0], [0.2, 0.2]])
    group = rng.integers(3, size=n_samples)
    found: FloatArray = rng.normal(size=(n_samples, 2)) * scales[group] + 4 * group[:, None]
    return found


X = rows()


def mixture(n_components: int = 3, **params: Any) -> GaussianMixture:
    defaults = {"tol": 1e-10, "max_iter": 1000, "reg_covar": 0.0, "random_state": 0}
    return GaussianMixture(n_components, **{**defaults, "eigenvalue_ratio": 5.0, **params})


def fitted(model: GaussianMixture, X: Any = X, sample_weight: Any = None) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, sample_weight=sample_weight)


def eigenvalues(model: GaussianMixture) -> FloatArray:
    """Return all eigenvalues of all components."""
    if model.covariances_.ndim == 3 or model.covariance_type == "tied":
        return np.asarray(np.linalg.eigvalsh(model.covariances_).ravel(), np.float64)
    return model.covariances_.ravel()


def ratio(model: GaussianMixture) -> float:
    found = eigenvalues(model)
    return float(found.max() / found.min())


# --- The closed form ------------------------------------------------------------------------------


def loss(cut: FloatArray, values: FloatArray, counts: FloatArray) -> float:
    return float((counts * (np.log(cut) + values / cut)).sum())


@pytest.mark.parametrize("seed", range(30))
def test_truncation_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    drawn = np.exp(3.0 * rng.normal(size=shape))
    values = np.where(rng.integers(3, size=shape) == 0 if seed % 2 else False, 0.0, drawn)
    values[0, 0] = 1.0
    counts = np.broadcast_to(rng.uniform(0.1, 10, size=shape[:1])[:, None], shape)
    factor = float(np.exp(rng.uniform(0, 4)))
    found = truncated(values, counts, factor)
    if values.min() > 0 and values.max() <= factor * values.min():
        assert found is values
        return
    assert found.max() <= factor * found.min() * (1 + 1e-12)

    def at(log_floor: float) -> float:
        floor = np.exp(log_floor)
        return loss(np.clip(values, floor, factor * floor), values, counts)

    grid = np.linspace(np.log(1e-8), np.log(values.max() * 2), 2_001)
    start = int(np.argmin([at(place) for place in grid]))
    around = grid[max(start - 1, 0)], grid[min(start + 1, len(grid) - 1)]
    best = minimize_scalar(at, bounds=around, method="bounded", options={"xatol": 1e-12}).fun
    assert_allclose(loss(found, values, counts), best, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EEI"])
def test_an_m_step_is_the_best_of_the_structure(structure: str) -> None:
    """No members that are drawn at random, nor any near it, are better."""
    rng = np.random.default_rng(3)
    shared = structure in ("tied", "EEI")
    limited = bounded(structure_named(structure), 3.0)
    weights = np.array([0.2, 0.3, 0.5])
    shape = limited.shape(3, 3)
    roots = rng.normal(size=(3, 3, 3)) * np.array([5.0, 1.0, 0.1])
    matrices = roots @ roots.swapaxes(1, 2)
    matrices = matrices[0] if structure == "tied" else matrices
    given = (
        matrices
        if len(shape) > 1 and shape[-2:] == (3, 3) and matrices.ndim == len(shape)
        else (np.abs(rng.normal(size=shape)) * 3)
    )

    def deviance(members: FloatArray) -> float:
        spread = limited.as_matrices(members, 3, 3)
        scatter = limited.as_matrices(given, 3, 3)
        terms = np.linalg.slogdet(spread)[1] + np.trace(
            np.linalg.solve(spread, scatter), axis1=1, axis2=2
        )
        return float(weights @ terms)

    found = limited.constrain(weights, given)
    best = deviance(found)
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(50):
            noise = size * rng.normal(size=given.shape)
            if len(given.shape) == 1 or structure in ("diag", "EEI"):
                other = limited.constrain(weights, np.abs(found + noise))
            else:
                other = limited.constrain(weights, found + noise @ noise.swapaxes(-1, -2))
            assert deviance(other) >= best - 1e-12
    assert not shared or np.ptp(limited.as_matrices(found, 3, 3), axis=0).max() == 0


def test_what_keeps_to_the_factor_is_left_as_it_is() -> None:
    limited = bounded(structure_named("full"), 10.0)
    matrices = np.array([[[2.0, 0.5], [0.5, 1.0]], [[5.0, 0.0], [0.0, 3.0]]])
    assert limited.constrain(np.array([0.4, 0.6]), matrices) is matrices


# --- Fits -----------------------------------------------------------------------------------------


@each_structure
@pytest.mark.parametrize("factor", [1.0, 5.0, 1e6])
def test_fits_keep_to_the_factor_and_rise(structure: CovarianceType, factor: float) -> None:
    model = fitted(mixture(covariance_type=structure, eigenvalue_ratio=factor))
    assert ratio(model) <= factor * (1 + 1e-9)
    assert np.diff(model.lower_bounds_).min(initial=0) > -1e-12
    if factor == 1e6:
        free = fitted(mixture(covariance_type=structure, eigenvalue_ratio=None))
        assert_allclose(model.lower_bound_, free.lower_bound_, rtol=1e-9)


def test_a_factor_of_one_is_eii() -> None:
    for structure in ("full", "diag", "spherical"):
        model = fitted(mixture(covariance_type=structure, eigenvalue_ratio=1.0))
        other = fitted(mixture(covariance_type="EII", eigenvalue_ratio=None))
        assert_allclose(model.lower_bound_, other.lower_bound_, rtol=1e-6)


def test_the_factor_does_not_depend_on_a_scale_of_all_features() -> None:
    here, there = fitted(mixture()), fitted(mixture(), 1e-6 * X)
    assert_allclose(there.means_, 1e-6 * here.means_, rtol=1e-6)


SINGULAR = {
    "duplicates": np.concatenate([np.repeat([[20.0, 0.0]], 60, axis=0), X]),
    "a constant feature": np.column_stack([X, np.full(len(X), 3.0)]),
    "a sum of features": np.column_stack([X, X.sum(axis=1)]),
    "few rows": np.random.default_rng(0).normal(size=(6, 8)),
}


@each_structure
@pytest.mark.parametrize("name", SINGULAR)
def test_nothing_collapses(structure: CovarianceType, name: str) -> None:
    if structure == "EEI" and name == "few rows":
        structure = "full"
    model = fitted(mixture(covariance_type=structure, eigenvalue_ratio=20.0), SINGULAR[name])
    assert np.isfinite(model.covariances_).all()
    assert ratio(model) <= 20 * (1 + 1e-9)
    assert np.diff(model.lower_bounds_).min(initial=0) > -1e-12


@pytest.mark.parametrize("method", METHODS)
def test_every_start(method: Any) -> None:
    model = fitted(mixture(init_params=method, max_iter=3, tol=0.0))
    assert ratio(model) <= 5 * (1 + 1e-9)


@each_structure
@pytest.mark.parametrize("method", ["squarem", "anderson"])
def test_acceleration(structure: CovarianceType, method: Any) -> None:
    plain = fitted(mixture(covariance_type=structure))
    quick = fitted(mixture(covariance_type=structure, accelerate=method))
    assert quick.lower_bound_ > plain.lower_bound_ - 1e-7
    assert ratio(quick) <= 5 * (1 + 1e-9)


def test_a_prior_and_a_factor_go_together() -> None:
    model = fitted(mixture(prior=Prior()))
    assert ratio(model) <= 5 * (1 + 1e-9)
    assert np.diff(model.lower_bounds_).min() > -1e-12


def test_weights_dtypes_files_and_sweeps(tmp_path: Path) -> None:
    many = rows(10_000)
    np.save(tmp_path / "rows.npy", many)
    wanted = fitted(mixture(tol=1e-6, n_threads=1), many)
    found = fitted(mixture(tol=1e-6, n_threads=2), tmp_path / "rows.npy")
    assert_array_equal(found.covariances_, wanted.covariances_)
    for model in (
        fitted(mixture(tol=1e-6), many.astype(np.float32)),
        fitted(mixture(tol=1e-6), many, np.full(len(many), 2.0)),
        fitted(mixture(tol=1e-8, algorithm="incremental"), many),
    ):
        assert_allclose(model.lower_bound_, wanted.lower_bound_, atol=1e-3)
        assert ratio(model) <= 5 * (1 + 1e-9)


def test_batches() -> None:
    model = mixture()
    for batch in np.split(rows(3000), 10):
        model.partial_fit(batch)
        assert ratio(model) <= 5 * (1 + 1e-9)


@pytest.mark.parametrize("method", [None, "anderson"])
def test_checkpoints_go_on_within_the_factor(tmp_path: Path, method: Any) -> None:
    path = tmp_path / "run.ckpt"
    whole = fitted(mixture(max_iter=12, tol=0.0, accelerate=method))
    fitted(mixture(max_iter=7, tol=0.0, accelerate=method, checkpoint=path))
    resumed = fitted(mixture(max_iter=12, tol=0.0, accelerate=method, checkpoint=path))
    assert resumed.lower_bounds_ == whole.lower_bounds_
    assert_array_equal(resumed.covariances_, whole.covariances_)


def test_copies_files_and_warm_starts(tmp_path: Path) -> None:
    model = fitted(mixture(max_iter=5, tol=0.0))
    gaussmix.save(model, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz", GaussianMixture)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_array_equal(other.score_samples(X), model.score_samples(X))
        other.set_params(warm_start=True, eigenvalue_ratio=2.0)
        assert ratio(fitted(other)) <= 2 * (1 + 1e-9)
    structure = settings_of(model).structure
    assert pickle.loads(pickle.dumps(structure)) is structure


def test_select() -> None:
    selection = gaussmix.select(
        SINGULAR["duplicates"],
        [2, 4],
        ["full", "tied"],
        eigenvalue_ratio=10.0,
        random_state=0,
        n_init=1,
        init_params="kmeans",
    )
    assert all(np.isfinite(row.bic) for row in selection.table)
    assert ratio(selection.best_model) <= 10 * (1 + 1e-9)


@pytest.mark.parametrize("structure", ["VEI", "EVI", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV"])
def test_families_whose_eigenvalues_are_tied(structure: CovarianceType) -> None:
    with pytest.raises(ParameterError, match=f"eigenvalue_ratio .* covariance_type='{structure}'"):
        mixture(covariance_type=structure).fit(X)
    with pytest.raises(ParameterError, match="eigenvalue_ratio"):
        gaussmix.select(X, [2], ["full", structure], eigenvalue_ratio=3.0)


@pytest.mark.parametrize("value", [0.5, -1, "wide", np.nan])
def test_the_factor_is_checked(value: Any) -> None:
    with pytest.raises(ParameterError, match="eigenvalue_ratio"):
        mixture(eigenvalue_ratio=value).fit(X)


def test_given_precisions_must_keep_to_it() -> None:
    precisions = np.array([np.diag([1.0, 100.0])] * 3)
    with pytest.raises(ValueError, match="eigenvalue_ratio=5"):
        mixture(precisions_init=precisions).fit(X)


# --- A relative ridge -----------------------------------------------------------------------------

UNITS = np.array([1e-6, 1e5])


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "VEE", "VEI", "EVV", "VVI", "EEI"])
@pytest.mark.parametrize("method", [None, "squarem"])
def test_a_relative_ridge_knows_no_units(structure: CovarianceType, method: Any) -> None:
    params: dict[str, Any] = {"eigenvalue_ratio": None, "reg_covar": "relative", "tol": 1e-8}
    here, there = (
        fitted(mixture(covariance_type=structure, accelerate=method, **params), data)
        for data in (X, X * UNITS)
    )
    assert_allclose(there.means_, here.means_ * UNITS, rtol=1e-4)
    assert_allclose(there.weights_, here.weights_, rtol=1e-4)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "VEV", "EII"])
def test_a_relative_ridge_is_a_millionth_of_each_variance(structure: CovarianceType) -> None:
    """Of standardised features it is 1e-6, the default."""
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    shared: dict[str, Any] = {"eigenvalue_ratio": None, "covariance_type": structure}
    first = fitted(mixture(max_iter=0, reg_covar=0.0, **shared), standard)
    start: dict[str, Any] = {
        "max_iter": 10,
        "tol": 0.0,
        "weights_init": first.weights_,
        "means_init": first.means_,
        "precisions_init": first.precisions_,
    }
    relative = fitted(mixture(reg_covar="relative", **shared, **start), standard)
    absolute = fitted(mixture(reg_covar=1e-6, **shared, **start), standard)
    bare = fitted(mixture(reg_covar=0.0, **shared, **start), standard)
    apart = np.abs(absolute.covariances_ - bare.covariances_).max()
    assert apart > 3e-7
    assert_allclose(relative.covariances_, absolute.covariances_, atol=1e-3 * apart)


def test_a_relative_ridge_keeps_combinations_of_features_sound() -> None:
    params: dict[str, Any] = {"eigenvalue_ratio": None, "reg_covar": "relative"}
    for data in (SINGULAR["a sum of features"], SINGULAR["a constant feature"]):
        fitted(mixture(1, **params), data)  # a CollapseWarning would be an error
        fitted(mixture(1, **params), 1e-8 * data)


def test_a_relative_ridge_everywhere(tmp_path: Path) -> None:
    params: dict[str, Any] = {"eigenvalue_ratio": None, "reg_covar": "relative", "tol": 1e-6}
    many = rows(5000)
    np.save(tmp_path / "rows.npy", many)
    wanted = fitted(mixture(**params, n_threads=1), many)
    found = fitted(mixture(**params, n_threads=2), tmp_path / "rows.npy")
    assert_array_equal(found.covariances_, wanted.covariances_)
    weighted = fitted(mixture(**params), many, np.full(len(many), 3.0))
    assert_allclose(weighted.covariances_, wanted.covariances_, rtol=1e-3)
    with_prior = fitted(mixture(**params, prior=Prior(), accelerate="anderson"), many)
    assert np.isfinite(with_prior.lower_bound_)
    gaussmix.save(wanted, tmp_path / "model.npz")
    assert gaussmix.load(tmp_path / "model.npz", GaussianMixture).reg_covar == "relative"
    with pytest.raises(ParameterError, match="partial_fit does not go with reg_covar='relative'"):
        wanted.partial_fit(many)
    with pytest.raises(ParameterError, match="number of at least 0, or 'relative', got"):
        mixture(reg_covar="much").fit(many)
