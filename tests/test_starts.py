"""Starts: where EM begins, whatever the data's units, size and weights."""

import tracemalloc
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, InitMethod, Labels, Rows, Structure
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import START_ROWS, Sample
from gaussmix.model.checks import check_matrices, check_means, check_weights
from gaussmix.model.covariance import structure_of
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect
from gaussmix.starts import methods
from gaussmix.starts.methods import (
    METHOD_NAMES,
    MOST_ROTATED,
    ROWS_PER_KMEANS,
    TRIALS_PAY,
    Given,
    hard_statistics,
    initial_parameters,
    promising,
    random_statistics,
    scaled_rows,
)

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_method = pytest.mark.parametrize("method", METHOD_NAMES)
groups = pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "random"])


def start(X: Any, weight: FloatArray | None = None, **changes: Any) -> Parameters:
    settings: dict[str, Any] = {
        "structure": "full",
        "n_components": 3,
        "method": "kmeans",
        "reg_covar": 1e-6,
        "random_state": np.random.RandomState(changes.pop("seed", 0)),
    }
    n_threads = changes.pop("n_threads", None)
    data: Any = None if X is None else InMemory(X, weight, n_threads)
    return initial_parameters(data, **(settings | changes))


def assert_equal(one: Parameters, other: Parameters) -> None:
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def ordered(parameters: Parameters) -> FloatArray:
    """Means by their first feature, then the second."""
    return parameters.means[np.lexsort(np.round(parameters.means.T[::-1]))]


def definition(
    structure: Structure, X: FloatArray, resp: FloatArray, shift: FloatArray
) -> Statistics:
    deviations = X[:, None, :] - shift
    full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    variances = np.einsum("kii->ki", full)
    second = {
        "full": full,
        "tied": full.sum(axis=0),
        "diag": variances,
        "spherical": variances.sum(axis=1),
    }[structure]
    first = np.einsum("nk,nki->ki", resp, deviations)
    return Statistics(
        structure_of(structure),
        shift,
        resp.sum(axis=0),
        first,
        second,
        0.0,
        float(resp.sum()),
        len(X),
    )


def assert_close(one: Statistics, other: Statistics) -> None:
    for name in ("n_k", "first", "second", "weight", "n_samples"):
        assert np.allclose(getattr(one, name), getattr(other, name), rtol=1e-10, atol=1e-10), name


@each_structure
def test_statistics_of_labels(structure: Structure) -> None:
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(50, 3)) + 1e5, rng.uniform(size=50)
    labels = rng.integers(0, 3, size=50, dtype=np.int32)
    labels[labels == 1] = 2  # nobody in 1
    got = hard_statistics(Sample(X, weight), labels, structure, 3)
    means = [np.average(X, axis=0, weights=weight * (labels == k)) for k in (0, 2)]
    assert np.allclose(got.shift[[0, 2]], means, rtol=1e-14)
    assert np.allclose(got.shift[1], np.average(X, axis=0, weights=weight), rtol=1e-14)
    resp = np.eye(3)[labels] * weight[:, None]
    assert_close(got, definition(structure, X, resp, got.shift))


def test_a_group_of_rows_without_weight_is_empty() -> None:
    X = np.array([[0.0], [1.0], [5.0]])
    got = hard_statistics(
        Sample(X, np.array([1.0, 1.0, 0.0])), np.array([0, 0, 1], dtype=np.int32), "full", 2
    )
    assert np.array_equal(got.n_k, [2, 0])
    assert got.shift[1] == 0.5


@each_structure
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_of_random_responsibilities(structure: Structure, dtype: type) -> None:
    rng = np.random.default_rng(0)
    X: Rows = rng.normal(size=(2500, 2)).astype(dtype)  # more than two blocks
    weight = rng.uniform(size=2500)
    got = random_statistics(Sample(X, weight), structure, 3, np.random.RandomState(5))
    resp = np.random.RandomState(5).uniform(size=(2500, 3))
    resp *= (weight / resp.sum(axis=1))[:, None]
    assert_close(got, definition(structure, X.astype(float), resp, got.shift))


@pytest.mark.parametrize(("spread", "offset"), [(1e-8, 1.0), (0.0, 0.1), (1e8, 1e9), (1, 1e6)])
def test_a_feature_alone_is_standardised(spread: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 1)) * spread + offset
    weight = rng.uniform(size=100)
    scaled = scaled_rows(Sample(X, weight))
    assert np.average(scaled[:, 0], weights=weight) == pytest.approx(0, abs=1e-7)
    expected = float(spread > 0)
    assert np.average(scaled[:, 0] ** 2, weights=weight) == pytest.approx(expected, rel=1e-6)
    assert spread or not scaled.any()


@each_structure
@pytest.mark.parametrize("garbage", [1e18, 1e300])
def test_rows_without_weight_may_hold_anything(structure: Structure, garbage: float) -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.arange(50, dtype=np.int32) % 3
    weight = np.where((labels == 0) | (np.arange(50) % 7 == 0), 0.0, 1.0)  # nobody in 0
    kept = weight > 0
    X[~kept] = garbage
    got = hard_statistics(Sample(X, weight), labels, structure, 3)
    want = hard_statistics(Sample(X[kept], weight[kept]), labels[kept], structure, 3)
    assert np.allclose(got.shift, want.shift)
    assert_close(got, replace(want, n_samples=50))


@pytest.mark.parametrize("garbage", [1e18, 1e300])
@each_method
def test_no_start_is_put_off_by_rows_without_weight(method: InitMethod, garbage: float) -> None:
    X = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0.0], [9]], 100, axis=0)
    weight = np.ones(200)
    X[::20], weight[::20] = garbage, 0
    model = GaussianMixture(2, init_params=method, random_state=0, tol=1e-6, max_iter=1000)
    model.fit(X, sample_weight=weight)
    assert np.allclose(np.sort(model.means_, axis=0), [[0, 0], [9, 9]], atol=0.5)


@each_structure
def test_moments_of_a_start_have_all_digits_in_float32(structure: Structure) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    X = np.column_stack([z, z + 1e-3 * rng.normal(size=2000)])
    X[-1] = 30
    X, labels = X.astype(np.float32), np.zeros(2000, np.int32)
    single = hard_statistics(Sample(X, None), labels, structure, 1)
    double = hard_statistics(Sample(X.astype(np.float64), None), labels, structure, 1)
    assert np.array_equal(single.second, double.second)


def test_rows_are_scaled_by_their_singular_values() -> None:
    """U sqrt(S), but for a factor, where U S V' are the standardised rows (Scrucca & Raftery)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 3)) + [1e3, 0, 0]
    left, values, _ = np.linalg.svd((X - X.mean(axis=0)) / X.std(axis=0), full_matrices=False)
    scaled = scaled_rows(Sample(X, None))[:, ::-1]  # the largest direction is the last
    wanted = left * np.sqrt(values) * len(X) ** 0.25
    assert np.allclose(scaled * np.sign(scaled[0]), wanted * np.sign(wanted[0]))
    units = scaled_rows(Sample(X * [1e-3, 1, 1e5], None))[:, ::-1]
    assert np.allclose(np.abs(units), np.abs(scaled))


@pytest.mark.parametrize("weighted", [False, True])
def test_fewer_rows_than_features_are_scaled_by_their_products(weighted: bool) -> None:
    """The distances are those of U sqrt(S), of the rows that count."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 40)) * np.exp(rng.normal(size=40)) + 5
    X[:, 3] = 7  # constant
    weight = rng.integers(0, 3, size=12).astype(float) if weighted else np.ones(12)
    mean = np.average(X, axis=0, weights=weight)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    Z = (X - mean) / np.where(spread > 1e-9, spread, np.inf)
    variances, directions = np.linalg.eigh((weight[:, None] * Z).T @ Z / weight.sum())
    held = variances > 1e-9
    wanted = Z @ directions[:, held] * variances[held] ** -0.25
    got = scaled_rows(Sample(X, weight if weighted else None))
    counts = weight > 0
    assert got.shape == (12, 12)
    assert np.allclose((got @ got.T)[counts][:, counts], (wanted @ wanted.T)[counts][:, counts])


def test_of_fewer_rows_that_are_equal_nothing_is_left() -> None:
    assert not scaled_rows(Sample(np.full((3, 5), 0.1), None)).any()


@pytest.mark.parametrize("structure", ["diag", "spherical"])
def test_many_features_are_standardised_for_variances(structure: Structure) -> None:
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, MOST_ROTATED + 1)), rng.uniform(size=60)
    X[:, 0] *= 1e9
    X[:, 1] = 0.1
    X[3], weight[3] = 1e300, 0.0
    scaled = scaled_rows(Sample(X, weight), structure_of(structure))
    assert np.allclose(np.average(scaled, axis=0, weights=weight), 0, atol=1e-9)
    wanted = np.ones(MOST_ROTATED + 1)
    wanted[1] = 0
    assert np.allclose(
        np.average(scaled[weight > 0] ** 2, axis=0, weights=weight[weight > 0]), wanted
    )
    few = Sample(np.ascontiguousarray(X[:, 2:-1]), weight)
    assert np.array_equal(scaled_rows(few, structure_of(structure)), scaled_rows(few))


@pytest.mark.parametrize("structure", ["full", "diag"])
@pytest.mark.parametrize("n_samples", [20, 60])
def test_where_moments_overflow_no_start_fails_before_the_m_step(
    structure: Structure, n_samples: int
) -> None:
    X = 1e300 * np.random.default_rng(0).normal(size=(n_samples, MOST_ROTATED + 1))
    with pytest.raises(ValueError, match="the second moments of X overflow"):
        start(X, structure=structure)


@pytest.mark.parametrize("method", methods.GROUPINGS)
def test_one_component_needs_no_scaling(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(50, 3))
    monkeypatch.delattr(methods, "scaled_rows")
    found = start(X, n_components=1, method=method)
    assert np.allclose(found.means[0], X.mean(axis=0))


def test_features_that_say_the_same_are_one_when_scaled() -> None:
    X = np.random.default_rng(0).normal(size=(100, 1))
    X = np.hstack([X, 2 * X, -X, np.full_like(X, 0.1)])
    scaled = scaled_rows(Sample(X, np.ones(100)))
    assert np.allclose(scaled[:, :-1], 0, atol=1e-3)
    alone = scaled_rows(Sample(X[:, :1].copy(), None))[:, 0]
    assert np.allclose(np.abs(scaled[:, -1]), 3**0.25 * np.abs(alone))


def many_rows(n_rows: int) -> Rows:
    """Twenty overlapping groups, in which one K-means misses some."""
    rng = np.random.default_rng(5)
    centers = 4 * rng.normal(size=(20, 2))
    return centers[rng.integers(20, size=n_rows)] + rng.normal(size=(n_rows, 2))


def test_of_many_rows_the_best_of_several_k_means_is_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = many_rows(4 * ROWS_PER_KMEANS)
    assert_equal(start(X, n_components=20, n_threads=1), start(X, n_components=20, n_threads=2))
    rng = np.random.default_rng(0)
    good, tries = methods.GROUPINGS["kmeans"], []

    def once_good(scaled: Sample, k: int, state: np.random.RandomState, n: int | None) -> Labels:
        tries.append(k)
        found = good(scaled, k, np.random.RandomState(0), n)
        return found if len(tries) % 5 == 3 else rng.permutation(found)

    monkeypatch.setitem(methods.GROUPINGS, "kmeans", once_good)
    best = start(X, n_components=20)
    assert len(tries) == 5
    monkeypatch.setattr(methods, "MOST_KMEANS", 1)
    tries[:] = [0, 0]
    assert_equal(best, start(X, n_components=20))


def test_where_the_sample_tells_enough_the_start_is_followed_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(8)
    means = 1.5 * rng.normal(size=(5, 3))
    labels = rng.integers(5, size=TRIALS_PAY * START_ROWS)
    X = means[labels] + rng.normal(size=(len(labels), 3))
    weights, covariances = np.full(5, 0.2), np.tile(np.eye(3), (5, 1, 1))
    truth = Parameters.from_covariances("full", weights, means, covariances)

    def behind(parameters: Parameters) -> float:
        best, found = (collect(X, None, each).mean_log_likelihood for each in (truth, parameters))
        return best - found

    assert behind(start(X, n_components=5)) < 2e-3
    assert behind(start(X[:-1], n_components=5)) > 1e-2  # too few rows to be worth it
    assert_equal(start(X, n_components=5), start(X, n_components=5, n_threads=2))
    monkeypatch.setattr(methods, "ROWS_PER_PARAMETER", START_ROWS / 49 + 1)  # 49 are free
    assert behind(start(X, n_components=5)) > 1e-2


def test_promising_starts() -> None:
    X = many_rows(TRIALS_PAY * START_ROWS)
    means = [4 * np.random.default_rng(100 + i).normal(size=(20, 2)) for i in range(11)]
    means[7] = 4 * np.random.default_rng(5).normal(size=(20, 2))  # the truth
    starts = [start(X[:1000], n_components=20, given=Given(None, one)) for one in means]

    def kept(starts: Any, rows: Rows, n_threads: int = 1) -> list[int]:
        state = np.random.RandomState(0)
        chosen = promising(
            starts, InMemory(rows, None, n_threads), reg_covar=1e-6, random_state=state
        )
        return [next(i for i, one in enumerate(starts) if one is other) for other in chosen]

    assert kept(starts, X)[0] == 7
    assert len(kept(starts, X)) == 4
    assert kept(starts, X, 2) == kept(starts, X)
    assert len(kept(starts[:5], X)) == 3
    assert kept(starts[:3], X) == [0, 1, 2]
    assert kept(starts, X[:-1]) == list(range(11))


@groups
def test_three_groups_are_found(method: str, blobs: NDArray[np.float64]) -> None:
    found = [ordered(start(blobs, method=method, seed=seed)) for seed in range(5)]
    centers = [[0, 0, 0], [0, 9, -4], [8, 0, 4]]
    hits = sum(np.allclose(means, centers, atol=0.3) for means in found)
    assert hits >= (1 if method == "random_from_data" else 4)


@groups
def test_units_do_not_matter(method: str, blobs: NDArray[np.float64]) -> None:
    units = np.array([2.0**-20, 1.0, 2.0**20])
    one = start(blobs, method=method, reg_covar=0.0)
    other = start(blobs * units, method=method, reg_covar=0.0)
    tolerance = 1e-5 if method == "auto" else 1e-9  # whose EM iterations are in float32
    assert np.allclose(other.means / units, one.means, rtol=tolerance, atol=tolerance)
    assert np.allclose(other.weights, one.weights, rtol=tolerance)


def test_a_feature_of_large_noise_does_not_hide_the_groups(blobs: NDArray[np.float64]) -> None:
    noise = 1e6 * np.random.default_rng(0).normal(size=(len(blobs), 1))
    found = start(np.ascontiguousarray(np.hstack([blobs, noise])))
    assert np.allclose(ordered(found)[:, :3], [[0, 0, 0], [0, 9, -4], [8, 0, 4]], atol=0.3)


@each_method
@each_structure
def test_the_seed_decides(method: str, structure: Structure, blobs: NDArray[np.float64]) -> None:
    X = blobs[:200]
    one, same, other = (
        start(X, method=method, structure=structure, n_components=7, seed=seed)
        for seed in (0, 0, 1)
    )
    assert_equal(one, same)
    assert np.array_equal(one.means, other.means) == (method == "hierarchical")  # of all rows


@each_method
@pytest.mark.parametrize("weighted", [False, True])
def test_large_data_is_sampled(method: str, weighted: bool) -> None:
    n_samples = 8 * START_ROWS
    X = np.random.default_rng(0).normal(size=(n_samples, 4))
    X[n_samples // 2 :] += 10
    weight = np.where(np.arange(n_samples) < n_samples // 2, 3.0, 1.0) if weighted else None
    tracemalloc.start()
    one, other = (
        start(X, weight, method=method, n_components=2, n_threads=count) for count in (1, 2)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_equal(one, other)
    assert peak < (12e6 if method == "hierarchical" else X.nbytes)  # distances of 1024 rows
    share = 0.75 if weighted else 0.5
    assert np.allclose(one.weights @ one.means, 10 * (1 - share), atol=0.2)
    if method not in ("random", "random_from_data"):
        assert np.allclose(ordered(one), [[0] * 4, [10] * 4], atol=0.1)
        assert one.weights.max() == pytest.approx(share, abs=0.02)


@each_method
@pytest.mark.parametrize("n_samples", [1000, 3 * START_ROWS])
def test_rows_without_weight_are_not_there(method: str, n_samples: int) -> None:
    X = np.random.default_rng(0).normal(size=(n_samples, 2))
    X[::2] = 1e6
    weight = np.ones(n_samples)
    weight[::2] = 0
    found = start(X, weight, method=method)
    assert np.abs(found.means).max() < 10


@each_method
def test_fewer_weighted_rows_than_components(method: str) -> None:
    X = np.random.default_rng(0).normal(size=(3 * START_ROWS, 2))
    weight = np.zeros(len(X))
    weight[[5, 7]] = 1.0
    found = start(X, weight, method=method, n_components=6)
    assert np.isfinite(found.precisions_cholesky).all()


@each_method
@each_structure
def test_fewer_distinct_rows_than_components(method: str, structure: Structure) -> None:
    X = np.repeat([[0.0, 1.0], [2.0, 5.0]], 10, axis=0)
    found = start(X, method=method, structure=structure, n_components=6, reg_covar=0.0)
    assert np.isfinite(found.precisions_cholesky).all()
    assert found.weights.sum() == pytest.approx(1)


def test_random_rows_are_distinct() -> None:
    X = np.arange(12.0)[:, None]
    for weight in (None, np.ones(12)):
        found = start(X, weight, method="random_from_data", n_components=12)
        assert np.array_equal(np.sort(found.means[:, 0]), X[:, 0])


def test_random_rows_prefer_weight() -> None:
    X = np.arange(40.0)[:, None]
    weight = np.where(np.arange(40) < 3, 1e9, 1.0)
    found = start(X, weight, method="random_from_data", reg_covar=0.0)
    assert np.allclose(np.sort(found.means[:, 0]), [0, 1, 2], atol=1e-3)


@each_structure
def test_all_given_parameters_are_taken_without_a_look(structure: Structure) -> None:
    shape = {"full": (3, 2, 2), "tied": (2, 2), "diag": (3, 2), "spherical": (3,)}[structure]
    matrices = structure in ("full", "tied")
    precisions = np.broadcast_to(4 * np.eye(2) if matrices else 4.0, shape).copy()
    means = np.arange(6.0).reshape(3, 2)
    given = Given(np.array([0.2, 0.3, 0.5]), means, precisions)
    found = start(None, structure=structure, given=given)
    assert np.array_equal(found.weights, [0.2, 0.3, 0.5])
    assert np.array_equal(found.means, means)
    assert np.allclose(found.precisions, precisions)
    assert np.allclose(found.covariances * 16, precisions)


def test_a_start_fills_in_what_is_not_given(blobs: NDArray[np.float64]) -> None:
    plain = start(blobs)
    weights, means = np.array([0.2, 0.3, 0.5]), np.arange(9.0).reshape(3, 3)
    precisions = np.stack([4 * np.eye(3)] * 3)
    found = start(blobs, given=Given(weights, None, precisions))
    assert np.array_equal(found.weights, weights)
    assert np.array_equal(found.means, plain.means)
    assert np.allclose(found.precisions, precisions)
    found = start(blobs, given=Given(None, means, None))
    assert np.array_equal(found.means, means)
    assert np.array_equal(found.weights, plain.weights)
    assert np.array_equal(found.covariances, plain.covariances)


@each_structure
def test_random_start_is_that_of_scikit_learn(
    structure: Structure, blobs: NDArray[np.float64]
) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mixture.GaussianMixture(
            3, covariance_type=structure, init_params="random", max_iter=0, random_state=4
        ).fit(blobs)
    ours = start(blobs, structure=structure, method="random", seed=4)
    assert np.allclose(ours.weights, theirs.weights_, rtol=1e-10)
    assert np.allclose(ours.means, theirs.means_, rtol=1e-10)
    assert np.allclose(ours.precisions_cholesky, theirs.precisions_cholesky_, rtol=1e-9, atol=1e-12)


def test_statistics_of_a_start_make_sense_to_the_m_step(blobs: NDArray[np.float64]) -> None:
    labels = (blobs[:, 0] > 4).astype(np.int32)
    parameters, collapsed = m_step(hard_statistics(Sample(blobs, None), labels, "full", 2), 0.0)
    assert collapsed == ()
    for k in range(2):
        assert np.allclose(parameters.covariances[k], np.cov(blobs[labels == k].T, ddof=0))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.3, 0.2], r"'weights' should have the shape of \(2,\), but got \(3,\)"),
        ([1.5, -0.5], r"range \[0, 1\], but got max value 1.50000, min value -0.50000"),
        ([0.5, 0.4], r"normalized, but got sum\(weights\) = 0.90000"),
        ([0.5, np.nan], "'weights' should be finite, but contains NaN or infinity"),
    ],
)
def test_bad_weights(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 2)


def test_float32_weights_may_sum_to_one_less_exactly() -> None:
    third = np.full(3, 1 / 3, dtype=np.float32)
    assert check_weights(third, 3).dtype == np.float64


def test_bad_means() -> None:
    with pytest.raises(ValueError, match=r"'means' should have the shape of \(2, 3\), but got"):
        check_means(np.zeros((3, 2)), 2, 3)
    with pytest.raises(ValueError, match="'means' should be finite"):
        check_means(np.full((2, 3), np.inf), 2, 3)


@pytest.mark.parametrize(
    ("structure", "matrices", "message"),
    [
        ("full", np.eye(2), r"'full precision' should have the shape of \(3, 2, 2\), but got"),
        ("tied", np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric, positive-definite, but is not"),
        ("tied", -np.eye(2), "symmetric, positive-definite, but the tied matrix"),
        ("full", np.stack([np.eye(2), 2 - np.eye(2), np.eye(2)]), "matrix of component 1"),
        ("diag", np.array([[1.0, 2], [1, 2], [0, 1]]), "'diag precision' should be positive"),
        ("spherical", np.array([1.0, -2, 3]), "precision' should be positive, but got -2"),
        ("spherical", np.array([1.0, np.nan, 3]), "'spherical precision' should be finite"),
    ],
)
def test_bad_matrices(structure: Structure, matrices: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_matrices("precision", matrices, structure_of(structure), 3, 2)


def test_given_arrays_are_copied() -> None:
    means = np.zeros((2, 3))
    assert not np.shares_memory(check_means(means, 2, 3), means)
