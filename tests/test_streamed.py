"""Rows that are read block by block are fitted, scored and predicted as those in memory."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gaussmix import (
    GaussianMixture,
    KMeans,
    NotFittedError,
    ParameterError,
    load,
    save,
    scan,
)
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray
from gaussmix.data.streamed import Streamed, whole_groups
from gaussmix.io.blocks import Block

Blocks = Callable[[], Iterator[Any]]

rng = np.random.default_rng(0)
X = 4.0 * rng.integers(3, size=(20_000, 1)) + rng.normal(size=(20_000, 2))
WEIGHT = rng.uniform(0, 3, size=len(X))
CUTS = (1, 1000, 30, 5000, 1023, 1024, 1025, 7)

ATTRIBUTES = ("weights_", "means_", "covariances_", "lower_bound_", "lower_bounds_", "n_iter_")


@pytest.fixture(autouse=True)
def always_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", 0)


def cut(rows: NDArray[Any], lengths: tuple[int, ...] = CUTS) -> list[NDArray[Any]]:
    return np.split(rows, np.cumsum(lengths))


def function(rows: NDArray[Any], weight: FloatArray | None = None) -> Blocks:
    if weight is None:
        return lambda: iter(cut(rows))
    return lambda: zip(cut(rows), cut(weight), strict=True)


def mixture(**params: Any) -> GaussianMixture:
    return GaussianMixture(3, random_state=0, **params)


def same(one: Any, other: Any, names: tuple[str, ...] = ATTRIBUTES) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


# the same bits


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("init", ["kmeans", "random", "emem"])
def test_a_fit_has_the_bits_of_one_in_memory(dtype: type, init: str, tmp_path: Path) -> None:
    rows: NDArray[Any] = X.astype(dtype)
    np.save(tmp_path / "X.npy", rows)
    expected = mixture(init_params=init).fit(rows)
    for source in (tmp_path / "X.npy", cut(rows), function(rows), scan(rows)):
        assert same(mixture(init_params=init).fit(source), expected)


def test_weights_of_an_array_have_the_bits_too() -> None:
    expected = mixture().fit(X, sample_weight=WEIGHT)
    assert same(mixture().fit(cut(X), sample_weight=WEIGHT), expected)
    assert same(mixture().fit(function(X), sample_weight=WEIGHT), expected)


def test_weights_that_are_read_have_the_bits_from_given_parameters() -> None:
    start: dict[str, Any] = {
        "means_init": X[:3],
        "weights_init": [0.2, 0.3, 0.5],
        "precisions_init": [np.eye(2)] * 3,
    }
    expected = mixture(**start).fit(X, sample_weight=WEIGHT)
    assert same(mixture(**start).fit(function(X, WEIGHT)), expected)
    assert same(mixture(**start).fit(scan(X, weights=WEIGHT)), expected)


def test_a_start_with_weights_that_are_read_finds_the_same_groups() -> None:
    expected = mixture().fit(X, sample_weight=WEIGHT)
    found = mixture().fit(function(X, WEIGHT))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-3)
    np.testing.assert_allclose(
        np.sort(found.means_, axis=0), np.sort(expected.means_, axis=0), atol=0.05
    )


def test_scores_and_predictions(tmp_path: Path) -> None:
    model, source = mixture().fit(X), function(X)
    assert model.score(source) == model.score(X)
    assert model.score(source, sample_weight=WEIGHT) == model.score(X, sample_weight=WEIGHT)
    assert model.bic(source) == pytest.approx(model.bic(X), rel=1e-14)
    assert model.icl(source) == pytest.approx(model.icl(X), rel=1e-14)
    for method in (model.predict, model.predict_proba, model.score_samples):
        np.testing.assert_array_equal(method(source), method(X))
        path = method(source, out=tmp_path / "out.npy")
        np.testing.assert_array_equal(np.load(path), method(X))
    np.testing.assert_array_equal(mixture().fit_predict(source), model.predict(X))


@pytest.mark.parametrize("init", ["k-means++", X[[5, 77, 4000]]])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_kmeans_has_the_bits_too(init: Any, weight: FloatArray | None) -> None:
    expected = KMeans(3, init=init, random_state=0).fit(X, sample_weight=weight)
    found = KMeans(3, init=init, random_state=0).fit(function(X), sample_weight=weight)
    assert same(found, expected, ("cluster_centers_", "inertia_", "n_iter_"))
    assert not hasattr(found, "labels_")
    np.testing.assert_array_equal(found.predict(function(X)), expected.labels_)
    np.testing.assert_array_equal(
        KMeans(3, init=init, random_state=0).fit_predict(function(X), sample_weight=weight),
        expected.labels_,
    )
    assert found.score(function(X)) == pytest.approx(expected.score(X), rel=1e-12)


def test_kmeans_fills_empty_clusters_as_in_memory() -> None:
    init = np.array([[0.0, 0.0], [4.0, 4.0], [500.0, 500.0]])
    expected, found = (KMeans(3, init=init).fit(rows) for rows in (X, function(X)))
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-12)


def test_kmeans_from_random_rows_finds_the_groups() -> None:
    found = KMeans(3, init="random", random_state=0).fit(function(X))
    expected = KMeans(3, random_state=0).fit(X)
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-3)


def test_a_model_of_kmeans_without_labels_is_saved(tmp_path: Path) -> None:
    model = KMeans(3, random_state=0).fit(X).fit(function(X))
    save(model, tmp_path / "m.npz")
    np.testing.assert_array_equal(load(tmp_path / "m.npz").predict(X), model.predict(X))


# blocks


@given(st.lists(st.integers(0, 3 * GROUP_ROWS), max_size=8), st.booleans())
@settings(deadline=None)
def test_whole_groups_are_the_same_rows(lengths: list[int], weighted: bool) -> None:
    rows = np.arange(float(sum(lengths)))[:, None]
    weight = -rows[:, 0] if weighted else None
    bounds = np.cumsum([0, *lengths])
    blocks = [
        Block(rows[a:b], None if weight is None else weight[a:b]) for a, b in pairwise(bounds)
    ]
    groups = list(whole_groups(blocks))
    assert all(len(block.rows) % GROUP_ROWS == 0 for block in groups[:-1])
    assert all(len(block.rows) for block in groups)
    if groups:
        np.testing.assert_array_equal(np.concatenate([block.rows for block in groups]), rows)
    for block in groups:
        assert (block.weight is not None) == weighted
        assert block.weight is None or np.array_equal(block.weight, -block.rows[:, 0])


def test_small_data_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []

    def counted() -> Iterator[Any]:
        readings.append(1)
        return iter(cut(X))

    mixture().fit(counted)
    again = len(readings)
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", X.nbytes)
    readings.clear()
    mixture().fit(counted)
    assert len(readings) == 2 < again  # scan looks at the first block


def test_small_data_become_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def streamed(rows: NDArray[Any]) -> Streamed:
        return Streamed(scan(function(rows, WEIGHT)), None, 1, allow_nan=True)

    assert streamed(X).in_memory() is None
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", X.nbytes)
    whole = streamed(X).in_memory()
    assert whole is not None
    np.testing.assert_array_equal(whole.rows, X)
    np.testing.assert_array_equal(whole.sample_weight, WEIGHT)
    assert not whole.gaps
    gaps = np.where(X > 5, np.nan, X)
    whole = streamed(gaps).in_memory()
    assert whole is not None
    assert whole.gaps


def test_data_known_to_be_large_are_not_read_to_see_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    source = scan(tmp_path / "x.npy")
    (tmp_path / "x.npy").unlink()
    assert Streamed(source, None, 1).in_memory() is None


def test_a_function_may_fill_the_same_array_again() -> None:
    def blocks() -> Iterator[Any]:
        block = np.empty((1000, 2))
        for start in range(0, len(X), 1000):
            block[:] = X[start : start + 1000]
            yield block

    assert same(mixture().fit(blocks), mixture().fit(X))


def test_blocks_of_a_scan_bring_their_weights() -> None:
    (table,) = scan(X[:5000], weights=WEIGHT[:5000])
    expected = mixture().fit(X[:5000], sample_weight=WEIGHT[:5000])
    assert same(mixture().fit(table), expected)
    assert expected.score(table) == expected.score(X[:5000], sample_weight=WEIGHT[:5000])


# faults


def test_nan_is_told_with_its_place() -> None:
    spoilt = X.copy()
    spoilt[13_579, 1] = np.nan
    with pytest.raises(ValueError, match="NaN, first at row 13579, column 1"):
        mixture().fit(function(spoilt))
    with pytest.raises(ValueError, match="NaN, first at row 13579, column 1"):
        mixture().fit(X).predict(function(spoilt))


def test_nan_that_comes_later_is_told_with_its_place() -> None:
    spoilt, readings = X.copy(), []
    spoilt[13_579, 1] = np.nan

    def later() -> Iterator[Any]:
        readings.append(1)
        return iter(cut(X if len(readings) < 6 else spoilt))

    with pytest.raises(ValueError, match="NaN, first at row 13579, column 1"):
        mixture(tol=0).fit(later)


def test_rows_that_go_missing_are_noticed() -> None:
    readings = []

    def shrinking() -> Iterator[Any]:
        readings.append(1)
        return iter(cut(X[: len(X) - (len(readings) > 4)]))

    with pytest.raises(ValueError, match="has changed while it was read: it has 19999 rows"):
        mixture(tol=0).fit(shrinking)


def test_weights_are_checked() -> None:
    for weight, message in (
        (WEIGHT[:-1], r"19999 weights for the 20000 rows|shape \\(20000,\\)"),
        (-WEIGHT, "must not be negative"),
        (0 * WEIGHT, "all weights are zero"),
    ):
        with pytest.raises(ValueError, match=message):
            mixture().fit(function(X), sample_weight=weight)
    with pytest.raises(ValueError, match=r"must not be negative, got -.* at row 1031"):
        mixture().fit(function(X, np.where(np.arange(len(X)) == 1031, -WEIGHT, WEIGHT)))
    with pytest.raises(ValueError, match="all weights are zero"):
        mixture().fit(function(X, 0 * WEIGHT))
    with pytest.raises(ParameterError, match="has weights of its own: give one"):
        mixture().fit(function(X, WEIGHT), sample_weight=WEIGHT)


def test_too_few_rows_and_other_features() -> None:
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        mixture().fit(lambda: iter([X[:2]]))
    with pytest.raises(ValueError, match="has no rows"):
        mixture().fit(lambda: iter([X[:0]]))
    model = mixture().fit(X)
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
        model.score(function(X[:, :1]))
    with pytest.raises(NotFittedError):
        mixture().predict(function(X))


def test_what_needs_rows_in_memory_says_so() -> None:
    with pytest.raises(ParameterError, match="init may be a function only where X is an array"):
        KMeans(3, init=lambda X, k, random_state: X[:k]).fit(function(X))


def test_out_must_be_a_path_that_can_be_written(tmp_path: Path) -> None:
    model = mixture().fit(X)
    with pytest.raises(ParameterError, match="out must be a str or path-like, got array"):
        model.predict(X, out=np.empty(3))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"got '\.txt'"):
        model.predict(X, out=tmp_path / "out.txt")
    with pytest.raises(OSError, match="there is no folder"):
        model.predict(X, out=tmp_path / "nowhere" / "out.npy")


def test_a_source_that_is_not_read_to_the_end_is_not_counted() -> None:
    data = Streamed(scan(function(X)), None, None)
    assert len(data.head()) == GROUP_ROWS
    assert (data.n_samples, data.weight) == (len(X), len(X))
