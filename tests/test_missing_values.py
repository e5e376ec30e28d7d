"""Rows with missing values: the likelihood of what they have, and exact EM for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

import gaussmix
from gaussmix import GaussianMixture, ParameterError
from gaussmix._core import dispatch, reference
from gaussmix._core.density import GROUP_ROWS, STRUCTURES
from gaussmix._core.reference_gaps import filled as filled_in
from gaussmix._core.told import Told
from gaussmix._core.types import CovarianceType, FloatArray, InitMethod
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import StatisticsPass
from gaussmix.starts.methods import METHOD_NAMES

Array = NDArray[Any]
STARTS = {1: np.zeros(150, int), 2: np.repeat([0, 1, 1], 50), 3: np.repeat([0, 1, 2], 50)}
PUBLISHED = {
    1: (-374.274322, [1.0]),
    2: (-225.089680, [0.333244, 0.666756]),
    3: (-194.557859, [0.320810, 0.333327, 0.345864]),
}
"""Observed-data log-likelihoods of iris with gaps, full covariances, and weights."""


def rows_of_iris() -> FloatArray:
    return np.array(load_iris().data, order="C")


def gappy_iris() -> FloatArray:
    """Iris with 72 cells missing in 64 rows."""
    X = rows_of_iris()
    for i in range(len(X)):
        if i % 3 == 0:
            X[i, i % 4] = np.nan
        if i % 7 == 0:
            X[i, (i + 1) % 4] = np.nan
    return X


def from_groups(X: FloatArray, labels: Array, **params: Any) -> GaussianMixture:
    """Return a mixture that begins at the groups' moments."""
    k = int(labels.max()) + 1
    groups = [X[labels == i] for i in range(k)]
    return GaussianMixture(
        k,
        weights_init=[len(group) / len(X) for group in groups],
        means_init=[np.nanmean(group, axis=0) for group in groups],
        precisions_init=[np.diag(1 / np.nanvar(group, axis=0)) for group in groups],
        missing_values="marginalize",
        **params,
    )


def problem(
    structure: str, n: int, d: int, k: int, share: float
) -> tuple[Parameters, FloatArray, FloatArray]:
    """Return a mixture, rows of which a share of the values is missing, and weights."""
    rng = np.random.default_rng([n, d, k])
    roots = 0.5 * rng.normal(size=(k, d, d)) + np.eye(d)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d)
    variances = covariances.diagonal(axis1=1, axis2=2)
    given = {
        "full": covariances,
        "tied": covariances.mean(axis=0),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }[structure]
    means = 2 * rng.normal(size=(k, d))
    spread = np.ascontiguousarray(given)
    parameters = Parameters.from_covariances(structure, rng.dirichlet([5.0] * k), means, spread)
    X = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    X[rng.random((n, d)) < share] = np.nan
    return parameters, X, rng.random(n)


def true_log_likelihoods(parameters: Parameters, X: FloatArray) -> FloatArray:
    """By SciPy, of what is there."""
    terms = np.tile(np.log(parameters.weights), (len(X), 1))
    patterns, pattern_of_row = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    components = list(zip(parameters.means, parameters.full_covariances(), strict=True))
    for pattern, there in enumerate(patterns):
        rows = pattern_of_row.ravel() == pattern
        for k, (mean, covariance) in enumerate(components if there.any() else []):
            component = multivariate_normal(mean[there], covariance[there][:, there])
            terms[rows, k] += component.logpdf(X[rows][:, there])
    found: FloatArray = logsumexp(terms, axis=1)
    return found


@pytest.mark.kernels
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(
    ("n", "d", "k", "share"),
    [
        (50, 1, 1, 0.3),
        (300, 2, 2, 0.3),
        (2500, 3, 1, 0.5),  # rows that lack the same are many, and share constants
        (700, 4, 13, 0.2),
        (70, 17, 13, 0.1),
        (60, 40, 2, 0.6),
        (120, 70, 2, 0.01),  # more features than a key has bits
    ],
)
def test_every_kernel_says_what_the_reference_says(
    structure: str, n: int, d: int, k: int, share: float
) -> None:
    parameters, X, weight = problem(structure, n, d, k, share)
    density = parameters.density(gaps=True)
    told = Told(np.random.default_rng(0).random((n, k)))

    def everything(kernels: Any, n_threads: int) -> list[Array]:
        scores, resp = np.empty((2, n, k))
        likelihood, best = np.empty((2, n))
        labels = np.empty(n, np.int32)
        kernels.log_density(X, density, scores, n_threads)
        kernels.responsibilities(X, density, resp, n_threads, told)
        kernels.log_likelihood(X, density, likelihood, n_threads)
        kernels.assign(X, density, labels, best, n_threads)
        sums = np.zeros(k), np.zeros((k, d)), np.zeros(parameters.structure.shape(k, d))
        totals, alone = np.zeros((2, 2))
        kernels.accumulate(X, weight, density, *sums, totals, n_threads)
        kernels.accumulate_likelihood(X, None, density, alone, n_threads, told)
        return [scores, resp, likelihood, labels, best, *sums, totals, alone]

    truth = everything(reference, 1)
    np.testing.assert_allclose(truth[2], true_log_likelihoods(parameters, X), 1e-9, 1e-9)
    for name in dispatch.available():
        kernels = dispatch.load(name).float64
        found = everything(kernels, 2)
        for mine, theirs in zip(found, truth, strict=True):
            np.testing.assert_allclose(mine, theirs, 1e-10, 1e-10 * max(1, np.abs(theirs).max()))
        for one, two in zip(found, everything(kernels, 1), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.kernels
def test_windows_add_up_to_the_sums_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaussmix._core.density.WINDOW_GROUPS", 2)
    n, d, k = 5 * GROUP_ROWS + 33, 3, 2
    parameters, X, weight = problem("full", n, d, k, 0.2)
    X[: GROUP_ROWS + 7, 1] = np.nan  # one pattern of more rows than a piece has
    X[3 * GROUP_ROWS : 4 * GROUP_ROWS] = 1.0  # a group that lacks nothing
    density = parameters.density(gaps=True)

    def sums(kernels: Any, n_threads: int) -> list[Array]:
        found = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d)), np.zeros(2)
        kernels.accumulate(X, weight, density, *found, n_threads)
        return list(found)

    truth = sums(reference, 1)
    for name in dispatch.available():
        kernels = dispatch.load(name).float64
        for mine, one, theirs in zip(sums(kernels, 3), sums(kernels, 1), truth, strict=True):
            np.testing.assert_allclose(mine, theirs, 1e-10)
            np.testing.assert_array_equal(mine, one)


def test_conditional_moments_in_many_digits() -> None:
    mpmath = pytest.importorskip("mpmath")
    parameters, X, _ = problem("full", 6, 4, 2, 0.4)
    filled = filled_in(X - parameters.density().center, parameters.density(gaps=True))
    with mpmath.workdps(40):
        for k, covariance in enumerate(parameters.covariances):
            for row, values in enumerate(X):
                there = np.flatnonzero(~np.isnan(values))
                lacking = np.flatnonzero(np.isnan(values))
                if not (len(there) and len(lacking)):
                    continue
                known = mpmath.matrix(covariance[np.ix_(there, there)].tolist())
                across = mpmath.matrix(covariance[np.ix_(lacking, there)].tolist())
                own = mpmath.matrix((values - parameters.means[k])[there].tolist())
                slopes = across * known**-1
                rest = mpmath.matrix(covariance[np.ix_(lacking, lacking)].tolist())
                mean, spread = slopes * own, rest - slopes * across.T
                np.testing.assert_allclose(
                    filled.deviations[k, row, lacking], np.array(mean.tolist(), float)[:, 0], 1e-9
                )
                np.testing.assert_allclose(
                    filled.covariances[k, row][np.ix_(lacking, lacking)],
                    np.array(spread.tolist(), float),
                    1e-8,
                )


@pytest.mark.parametrize("k", PUBLISHED)
def test_em_is_exact(k: int) -> None:
    X = gappy_iris()
    model = from_groups(X, STARTS[k], reg_covar=0, tol=1e-11, max_iter=1000).fit(X)
    total, weights = PUBLISHED[k]
    assert model.score(X) * 150 == pytest.approx(total, abs=1e-6)
    np.testing.assert_allclose(np.sort(model.weights_), weights, atol=1e-6)
    assert np.diff(model.lower_bounds_).min() > -1e-12


def test_the_gradient_vanishes_at_convergence() -> None:
    X = gappy_iris()
    model = from_groups(X, STARTS[2], reg_covar=0, tol=1e-14, max_iter=5000).fit(X)

    def score(step: float, where: tuple[int, ...], what: str) -> float:
        given: dict[str, Any] = {
            "means": model.means_.copy(),
            "covariances": model.covariances_.copy(),
        }
        given[what][where] += step
        if what == "covariances" and where[1] != where[2]:
            given[what][where[0], where[2], where[1]] += step
        return GaussianMixture.from_parameters(
            model.weights_, **given, missing_values="marginalize"
        ).score(X)

    places = [("means", (1, 2)), ("covariances", (0, 1, 1)), ("covariances", (1, 0, 3))]
    for what, where in places:
        slope = (score(1e-5, where, what) - score(-1e-5, where, what)) / 2e-5
        assert abs(slope) < 1e-5


def test_rows_that_have_one_feature_each_are_marginals() -> None:
    parameters, X, _ = problem("full", 60, 3, 2, 0.0)
    one = np.full_like(X, np.nan)
    one[:, 1] = X[:, 1]
    model = GaussianMixture.from_parameters(
        parameters.weights, parameters.means, parameters.covariances, missing_values="marginalize"
    )
    np.testing.assert_allclose(
        model.score_samples(one), model.marginal(1).score_samples(X[:, 1:2]), 1e-12
    )


@pytest.mark.parametrize("structure", [*STRUCTURES, "VEV", "EVE"])
def test_complete_rows_lead_to_the_same_bits(structure: CovarianceType) -> None:
    X = rows_of_iris()
    fits = [
        GaussianMixture(3, covariance_type=structure, random_state=0, missing_values=how).fit(X)
        for how in ("error", "marginalize")
    ]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)
    np.testing.assert_array_equal(fits[0].score_samples(X), fits[1].score_samples(X))


def test_groups_of_complete_rows_add_up_to_the_same_bits() -> None:
    parameters, X, weight = problem("full", 3 * GROUP_ROWS + 5, 4, 3, 0.0)
    for rows in (X, X.astype(np.float32)):
        sums = []
        for gaps in (False, True):
            running = StatisticsPass(parameters, 1, gaps=gaps)
            running.add(rows, weight)
            sums.append(running.result().second)
        np.testing.assert_array_equal(sums[0], sums[1])


@pytest.mark.parametrize("structure", [*STRUCTURES, "VEV"])
def test_the_likelihood_never_falls(structure: CovarianceType) -> None:
    X = gappy_iris()
    model = GaussianMixture(
        3, covariance_type=structure, reg_covar=0, random_state=0, missing_values="marginalize"
    )
    model.set_params(tol=1e-9, max_iter=500, init_params="random_from_data")
    assert np.diff(model.fit(X).lower_bounds_).min() > -1e-10


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_start_works(method: InitMethod) -> None:
    X = gappy_iris()
    model = GaussianMixture(
        3, init_params=method, random_state=0, max_iter=500, missing_values="marginalize"
    )
    assert model.fit(X).score(X) * 150 > -215
    assert model.predict(X).shape == (150,)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_rows_without_values_say_nothing() -> None:
    X = gappy_iris()
    model = from_groups(X, STARTS[2], reg_covar=0, tol=1e-12, max_iter=1000).fit(X)
    empty = np.full((3, 4), np.nan)
    np.testing.assert_allclose(model.score_samples(empty), 0, atol=1e-13)
    np.testing.assert_allclose(model.predict_proba(empty), np.tile(model.weights_, (3, 1)), 1e-13)
    more = from_groups(X, STARTS[2], reg_covar=0, tol=1e-12, max_iter=1000)
    more.fit(np.concatenate([X, empty]))
    np.testing.assert_allclose(more.means_, model.means_, 1e-6)


def test_weights_are_repeats() -> None:
    X = gappy_iris()
    weight = np.arange(150) % 3
    model = from_groups(X, STARTS[2], tol=1e-9, max_iter=500).fit(X, sample_weight=weight)
    again = from_groups(X, STARTS[2], tol=1e-9, max_iter=500).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(model.means_, again.means_, 1e-6)
    assert model.bic(X, weight) == pytest.approx(again.bic(np.repeat(X, weight, axis=0)))


def test_single_precision_is_as_good_as_its_rows() -> None:
    X = gappy_iris()
    rows = X.astype(np.float32)
    params: dict[str, Any] = {"tol": 1e-13, "max_iter": 10_000}  # to where both fits end
    model = from_groups(X, STARTS[3], **params).fit(X)
    single = from_groups(X, STARTS[3], **params).fit(rows)
    np.testing.assert_allclose(single.means_, model.means_, 1e-4)
    proba = single.predict_proba(rows)
    assert proba.dtype == np.float32
    same = single.predict_proba(rows.astype(np.float64))  # the same values, and no others
    np.testing.assert_allclose(proba, same, atol=1e-6)
    sure = same.max(axis=1) > 0.5 + 1e-6
    np.testing.assert_array_equal(single.predict(rows)[sure], same.argmax(axis=1)[sure])


def test_files_and_threads_lead_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix._core.density.WINDOW_GROUPS", 2)
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)  # blocks of one group
    _, X, _ = problem("full", 5 * GROUP_ROWS + 100, 4, 3, 0.2)
    np.save(tmp_path / "rows.npy", X)

    def fitted(rows: Any, n_threads: int) -> GaussianMixture:
        model = GaussianMixture(3, random_state=0, n_threads=n_threads, max_iter=20, tol=1e-9)
        return model.set_params(missing_values="marginalize").fit(rows)

    with pytest.warns(gaussmix.ConvergenceWarning):
        fits = [fitted(X, 1), fitted(X, 3), fitted(gaussmix.scan(tmp_path / "rows.npy"), 2)]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.covariances_, fits[0].covariances_)
    file = gaussmix.scan(tmp_path / "rows.npy")
    np.testing.assert_array_equal(fits[0].predict_proba(file), fits[0].predict_proba(X))


def test_incremental_accelerated_and_online_fits() -> None:
    _, X, _ = problem("full", 20 * GROUP_ROWS, 3, 2, 0.2)
    params: dict[str, Any] = {"missing_values": "marginalize", "random_state": 0, "tol": 1e-7}
    plain = GaussianMixture(2, max_iter=1000, **params).fit(X)
    others: list[dict[str, Any]] = [{"algorithm": "incremental"}, {"accelerate": "squarem"}]
    for other in others:
        model = GaussianMixture(2, max_iter=1000, **params, **other).fit(X)
        assert model.score(X) == pytest.approx(plain.score(X), abs=1e-4)
    model = GaussianMixture(2, **params)
    for start in range(0, len(X), 1000):
        model.partial_fit(X[start : start + 1000])
    assert model.score(X) == pytest.approx(plain.score(X), abs=0.1)


def test_selection_hierarchy_and_outliers() -> None:
    X = gappy_iris()
    selection = gaussmix.select(
        X, [1, 2, 3], ["full"], random_state=0, missing_values="marginalize"
    )
    assert selection.best.n_components == 2
    assert selection.best.bic == pytest.approx(2 * 225.08968 + 29 * np.log(150), abs=1e-2)
    model = selection.best_model
    assert model is not None
    hierarchy = model.hierarchy(X)
    np.testing.assert_allclose(hierarchy.predict_proba(X, 2), model.predict_proba(X))
    assert model.icl(X) >= model.bic(X)
    assert model.is_outlier(X).sum() < 10


def test_frames_and_checkpoints(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    X = gappy_iris()
    frame = pd.DataFrame(X, columns=list("abcd"), dtype=object).where(~np.isnan(X), None)
    model = from_groups(X, STARTS[3]).fit(X)
    np.testing.assert_array_equal(from_groups(X, STARTS[3]).fit(frame).means_, model.means_)
    path = tmp_path / "fit.checkpoint"
    for _ in range(2):
        resumed = from_groups(X, STARTS[3], checkpoint=path, checkpoint_interval=0).fit(X)
        np.testing.assert_array_equal(resumed.means_, model.means_)


def test_models_remember_the_setting(tmp_path: Path) -> None:
    X = gappy_iris()
    model = from_groups(X, STARTS[2]).fit(X)
    gaussmix.save(model, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_what_is_refused() -> None:
    X = gappy_iris()
    with pytest.raises(ValueError, match="missing_values must be one of 'error', 'marginalize'"):
        GaussianMixture(missing_values="drop").fit(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contains NaN, first at row 0"):
        GaussianMixture().fit(X)
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="feature 2 of X has no value in any row"):
        GaussianMixture(missing_values="marginalize").fit(X)
    X[:, 2] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        GaussianMixture(missing_values="marginalize").fit(X)


def test_the_tag_follows_the_setting() -> None:
    pytest.importorskip("sklearn")
    assert GaussianMixture(missing_values="marginalize").__sklearn_tags__().input_tags.allow_nan
    assert not GaussianMixture().__sklearn_tags__().input_tags.allow_nan


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gaussmix.cli.main import main

    X = gappy_iris()
    rows = [",".join("" if np.isnan(x) else f"{x}" for x in row) for row in X]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["a,b,c,d", *rows]) + "\n", encoding="utf-8")
    model = tmp_path / "model.npz"
    arguments = [str(file), "-k", "2", "--seed", "0", "--missing", "marginalize", "-o", str(model)]
    assert main(["fit", *arguments]) == 0
    answers = tmp_path / "labels.npy"
    asked = [str(model), str(file), "--missing", "marginalize", "-o", str(answers)]
    assert main(["predict", *asked]) == 0
    capsys.readouterr()
    fitted = gaussmix.load(model)
    np.testing.assert_array_equal(np.load(answers).reshape(-1), fitted.predict(gaussmix.scan(file)))


def test_dask_arrays() -> None:
    array = pytest.importorskip("dask.array")
    X = gappy_iris()
    lazy = array.from_array(X, chunks=(40, 4))
    model = from_groups(X, STARTS[2], tol=1e-10, max_iter=500).fit(lazy)
    whole = from_groups(X, STARTS[2], tol=1e-10, max_iter=500).fit(X)
    np.testing.assert_allclose(model.means_, whole.means_, 1e-9)
    np.testing.assert_array_equal(model.predict(lazy).compute(), model.predict(X))


def test_what_does_not_go_with_gaps_says_so() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[::7, 1] = np.nan
    model = GaussianMixture(2, missing_values="marginalize", random_state=0)
    with pytest.raises(ParameterError, match="noise are both given, and do not go together"):
        GaussianMixture(2, missing_values="marginalize", noise=True).fit(X)
    model.fit(X)
    for call in (model.adapt, model.statistics):
        with pytest.raises(ParameterError, match="does not go with missing_values"):
            call(X)


def test_rows_that_lack_values_are_not_drawn() -> None:
    pytest.importorskip("matplotlib").use("agg")
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[::7, 1] = np.nan
    model = GaussianMixture(2, missing_values="marginalize", random_state=0).fit(X)
    drawn = model.plot(X).collections[0].get_offsets()
    assert len(drawn) == np.isfinite(X).all(axis=1).sum()
    with pytest.raises(ParameterError, match="rows without missing values"):
        model.plot(np.where(np.arange(2) == 1, np.nan, X))


def test_private_densities_are_those_of_the_values_that_there_are() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[::7, 1] = np.nan
    model = GaussianMixture(2, missing_values="marginalize", random_state=0).fit(X)
    weighted = model._estimate_weighted_log_prob(X)
    np.testing.assert_allclose(np.logaddexp(*weighted.T), model.score_samples(X))
