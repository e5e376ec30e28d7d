"""What a mixture says of rows with missing values, and tables that have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2
from sklearn.datasets import load_iris

import gaussmix
from gaussmix import GaussianMixture, Prior
from gaussmix.cli.main import main

Array = NDArray[Any]
Capture = pytest.CaptureFixture[str]
NAMES = list("abcd")


def gappy_iris(share: float = 0.1) -> Array:
    X = np.array(load_iris().data, order="C")
    X[np.random.default_rng(0).random(X.shape) < share] = np.nan
    return X


def mixture(structure: Any = "full") -> GaussianMixture:
    return GaussianMixture(
        2, covariance_type=structure, missing_values="marginalize", random_state=0, max_iter=500
    ).fit(gappy_iris())


@pytest.fixture(scope="module")
def model() -> GaussianMixture:
    return mixture()


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_rows_are_regressed_on_what_they_have(structure: Any) -> None:
    model = mixture(structure)
    known = gappy_iris(0.4)[:40, [3, 0]]
    known[5] = np.nan
    mean, cov = model.regress([3, 0], known, return_cov=True)
    also, std = model.regress([3, 0], known, return_std=True)
    np.testing.assert_array_equal(also, mean)
    np.testing.assert_allclose(std, np.sqrt(cov.diagonal(axis1=1, axis2=2)))
    for row, expected, spread in zip(known, mean, cov, strict=True):
        there = np.flatnonzero(~np.isnan(row))
        given = [[3, 0][i] for i in there]
        rest = model.conditional(given, row[there]).means_ if given else model.means_
        others = [j for j in range(4) if j not in given]
        alone = model.conditional(given, row[there]) if given else model
        columns = [others.index(j) for j in (1, 2)]
        weights, means = alone.weights_, rest[:, columns]
        np.testing.assert_allclose(expected, weights @ means)
        wanted = sum(
            w * (c[np.ix_(columns, columns)] + np.outer(m - expected, m - expected))
            for w, m, c in zip(weights, means, full(alone), strict=True)
        )
        np.testing.assert_allclose(spread, wanted, atol=1e-12)


def full(model: GaussianMixture) -> Array:
    """Return covariances as matrices."""
    k, d = model.means_.shape
    own = model.covariances_
    if model.covariance_type in ("diag", "spherical"):
        return np.stack([np.eye(d) * np.broadcast_to(c, d) for c in own])
    return np.broadcast_to(own, (k, d, d))


def test_values_that_are_not_known_do_not_condition(model: GaussianMixture) -> None:
    found = model.conditional([0, 2], [np.nan, 1.5])
    wanted = model.conditional(2, 1.5).marginal([1, 2])
    np.testing.assert_allclose(found.means_, wanted.means_)
    np.testing.assert_allclose(found.weights_, wanted.weights_)
    nothing = model.conditional([0, 2], [np.nan, np.nan])
    np.testing.assert_allclose(nothing.means_, model.means_[:, [1, 3]])
    strict = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    with pytest.raises(ValueError, match="contains NaN"):
        strict.conditional([0, 2], [np.nan, 1.5])
    with pytest.raises(ValueError, match="contains NaN"):
        strict.regress([0, 2], [[np.nan, 1.5]])


def test_rows_that_lack_values_are_outliers_as_often_as_others(model: GaussianMixture) -> None:
    rows, _ = model.sample(40_000, random_state=1)
    for lacking in ([1], [0, 2], [0, 1, 3]):
        X = rows.copy()
        X[:, lacking] = np.nan
        assert model.is_outlier(X, 0.95).mean() == pytest.approx(0.05, abs=0.006)
    X = np.concatenate([rows[:50], np.full((2, 4), np.nan)])
    X[::3, 2] = np.nan
    found = model.is_outlier(X, 0.5)
    assert not found[-2:].any()
    np.testing.assert_array_equal(found[10:20], model.is_outlier(X[10:20], 0.5))


def test_one_gaussian_has_chi_square_levels() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    model = GaussianMixture.from_parameters(
        [1.0], [[1.0, 2.0, 3.0]], [root @ root.T + np.eye(3)], missing_values="marginalize"
    )
    X = 3 * rng.normal(size=(500, 3)) + model.means_
    X[rng.random(X.shape) < 0.3] = np.nan
    found = model.is_outlier(X, 0.9)
    for row, outside in zip(X, found, strict=True):
        there = ~np.isnan(row)
        away = (row - model.means_[0])[there]
        covariance = model.covariances_[0][np.ix_(there, there)]
        squared = away @ np.linalg.solve(covariance, away) if there.any() else 0.0
        assert outside == (there.any() and squared > chi2.ppf(0.9, there.sum()))


def test_labelled_rows_with_gaps_are_fitted_class_by_class() -> None:
    X, y = gappy_iris(), np.repeat([0, 1, 2], 50)
    params: dict[str, Any] = {"missing_values": "marginalize", "reg_covar": 0, "tol": 1e-12}
    together = GaussianMixture(3, random_state=0, max_iter=2000, **params).fit(X, labels=y)
    for k in range(3):
        alone = GaussianMixture(1, max_iter=2000, **params).fit(X[y == k])
        np.testing.assert_allclose(together.means_[k], alone.means_[0], 1e-5)
        np.testing.assert_allclose(together.covariances_[k], alone.covariances_[0], atol=1e-5)
    proba = together.predict_proba(X, labels=y)
    np.testing.assert_array_equal(proba.argmax(axis=1), y)
    priors = np.ones((150, 3))
    np.testing.assert_allclose(
        together.predict_proba(X, row_priors=priors), together.predict_proba(X)
    )


def test_labels_beside_files_and_dask(tmp_path: Path) -> None:
    array = pytest.importorskip("dask.array")
    X, y = gappy_iris(), np.where(np.arange(150) % 4, -1, np.repeat([0, 1, 2], 50))
    params: dict[str, Any] = {"missing_values": "marginalize", "tol": 1e-10, "max_iter": 2000}

    def fitted(rows: Any) -> GaussianMixture:
        return GaussianMixture(3, random_state=0, **params).fit(rows, labels=y)

    whole = fitted(X)
    np.save(tmp_path / "rows.npy", X)
    np.testing.assert_array_equal(fitted(gaussmix.scan(tmp_path / "rows.npy")).means_, whole.means_)
    lazy = fitted(array.from_array(X, chunks=(40, 4)))
    np.testing.assert_allclose(lazy.score(X), whole.score(X), atol=1e-4)


def test_nulls_of_tables(model: GaussianMixture, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = gappy_iris()
    columns = {
        name: [None if np.isnan(x) else x for x in column]
        for name, column in zip(NAMES, X.T, strict=True)
    }
    fresh = GaussianMixture(2, missing_values="marginalize", random_state=0, max_iter=500)
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    tables = [pa.table(columns), gaussmix.scan(tmp_path / "rows.parquet")]
    polars = pytest.importorskip("polars")
    tables.append(polars.DataFrame(columns))
    for table in tables:
        np.testing.assert_array_equal(fresh.fit(table).means_, model.means_)
        np.testing.assert_array_equal(fresh.predict(table), model.predict(X))
        filled = fresh.predict_missing(table)
        np.testing.assert_array_equal(filled, model.predict_missing(X))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    rows = [",".join("" if np.isnan(x) else repr(x) for x in row) for row in gappy_iris().tolist()]
    file.write_text("\n".join([",".join(NAMES), *rows]) + "\n", encoding="utf-8")
    return file


def test_the_commands(table: Path, tmp_path: Path, capsys: Capture) -> None:
    X, saved = gappy_iris(), tmp_path / "model.npz"
    how = ["--missing", "marginalize"]
    chosen = ["-k", "1-3", "--covariance-types", "full", "--seed", "0", "-o", str(saved)]
    assert main(["select", str(table), *chosen, *how]) == 0
    best = gaussmix.load(saved)
    assert isinstance(best, GaussianMixture)
    wanted = gaussmix.select(
        X, [1, 2, 3], ["full"], random_state=0, missing_values="marginalize"
    ).best_model
    assert wanted is not None
    np.testing.assert_allclose(best.means_, wanted.means_)
    capsys.readouterr()
    scores = tmp_path / "scores.npy"
    assert main(["score", str(saved), str(table), "-o", str(scores), *how]) == 0
    np.testing.assert_allclose(np.load(scores).ravel(), wanted.score_samples(X))
    said = capsys.readouterr()
    assert f"{wanted.score(X):.6g}" in said.out + said.err
    found = tmp_path / "outliers.npy"
    asked = ["outliers", str(saved), str(table), "-p", "0.9", "-o", str(found), *how]
    assert main(asked) == 0
    np.testing.assert_array_equal(np.load(found).ravel(), wanted.is_outlier(X, 0.9))
    capsys.readouterr()
    assert main(["fit", str(table), "-k", "2", "-o", str(saved)]) == 2  # an error by default
    assert "missing_values='marginalize'" in capsys.readouterr().err


def test_a_fit_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    X = gappy_iris()
    params: dict[str, Any] = {"missing_values": "marginalize", "random_state": 0, "tol": 0}
    with pytest.warns(gaussmix.ConvergenceWarning):
        whole = GaussianMixture(3, max_iter=30, **params).fit(X)
    path = tmp_path / "fit.checkpoint"
    params |= {"checkpoint": path, "checkpoint_interval": 0}
    for most in (7, 30):
        with pytest.warns(gaussmix.ConvergenceWarning):
            resumed = GaussianMixture(3, max_iter=most, **params).fit(X)
    np.testing.assert_array_equal(resumed.covariances_, whole.covariances_)
    params["missing_values"] = "error"
    with pytest.raises((gaussmix.CheckpointError, ValueError)):
        GaussianMixture(3, max_iter=30, **params).fit(np.nan_to_num(X))


def test_dask_workers_answer_for_rows_with_gaps(model: GaussianMixture) -> None:
    array = pytest.importorskip("dask.array")
    X = gappy_iris()
    lazy = array.from_array(X, chunks=(40, 4))
    np.testing.assert_allclose(model.score_samples(lazy).compute(), model.score_samples(X))
    np.testing.assert_array_equal(model.is_outlier(lazy).compute(), model.is_outlier(X))
    np.testing.assert_allclose(model.predict_missing(lazy).compute(), model.predict_missing(X))
    known = lazy[:, 1:3]
    np.testing.assert_allclose(
        model.regress([1, 2], known).compute(), model.regress([1, 2], X[:, 1:3])
    )
    assert model.score(lazy) == pytest.approx(model.score(X))


def test_the_error_names_the_way_out() -> None:
    X = gappy_iris()
    with pytest.raises(ValueError, match=r"^Input X contains NaN.*missing_values='marginalize'"):
        GaussianMixture(2).fit(X)


def test_bounded_eigenvalues_and_fixed_parameters() -> None:
    X = gappy_iris()
    params: dict[str, Any] = {"missing_values": "marginalize", "random_state": 0, "max_iter": 500}
    bounded = GaussianMixture(3, eigenvalue_ratio=5, **params).fit(X)
    values = np.linalg.eigvalsh(bounded.covariances_)
    assert values.max() / values.min() < 5 + 1e-6
    means = np.array([[5.0, 3.4, 1.5, 0.2], [6.0, 2.8, 4.5, 1.5]])
    kept = GaussianMixture(2, means_init=means, fixed={"means": True}, **params).fit(X)
    np.testing.assert_array_equal(kept.means_, means)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_maximum_a_posteriori_of_rows_with_gaps(structure: Any) -> None:
    X = gappy_iris()
    params: dict[str, Any] = {"missing_values": "marginalize", "random_state": 0, "reg_covar": 0}
    params |= {"covariance_type": structure, "max_iter": 3000, "tol": 1e-12}
    model = GaussianMixture(3, prior=Prior(), **params).fit(X)
    assert np.diff(model.lower_bounds_).min() > -1e-12
    complete = np.array(load_iris().data, order="C")
    whole = GaussianMixture(3, prior=Prior(), **params).fit(complete)
    params["missing_values"] = "error"
    plain = GaussianMixture(3, prior=Prior(), **params).fit(complete)
    np.testing.assert_array_equal(whole.means_, plain.means_)


def test_a_default_prior_is_made_of_the_gaussian_of_what_there_is() -> None:
    X = gappy_iris(0.2)
    params: dict[str, Any] = {"missing_values": "marginalize", "max_iter": 3000, "tol": 1e-13}
    alone = GaussianMixture(1, reg_covar=0, **params).fit(X)
    own = Prior(mean=alone.means_[0], scale=alone.covariances_[0] * 150 / 149)
    given = GaussianMixture(1, reg_covar=0, prior=own, **params).fit(X)
    found = GaussianMixture(1, reg_covar=0, prior=Prior(), **params).fit(X)
    np.testing.assert_allclose(found.covariances_, given.covariances_, 1e-4)
    np.testing.assert_allclose(found.means_, given.means_, 1e-4)


def test_a_relative_ridge_is_a_part_of_the_variance_of_what_there_is() -> None:
    X = gappy_iris()
    scales = np.array([1.0, 1e3, 1e-3, 1e6])
    params: dict[str, Any] = {"missing_values": "marginalize", "random_state": 0, "tol": 1e-10}
    params |= {"reg_covar": "relative", "max_iter": 2000}
    model = GaussianMixture(2, **params).fit(X)
    other = GaussianMixture(2, **params).fit(X * scales)
    np.testing.assert_allclose(np.sort(other.weights_), np.sort(model.weights_), 1e-4)
