"""The screen and the bounds of Lloyd's passes: labels and sums of plain passes, to the last bit."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.plain_lloyd import plain_lloyd
from gaussmix._core.types import FloatArray, Labels, Rows

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

Outcome = tuple[int, bool, FloatArray, Labels, FloatArray, FloatArray]


def plain(X: Rows, weight: FloatArray | None, start: FloatArray, max_iter: int) -> Outcome:
    """What `lloyd` computes, by passes of `accumulate_hard`: it has neither screen nor bounds."""
    return outcome(
        partial(plain_lloyd, dispatch.kernels(X).accumulate_hard), X, weight, start, max_iter
    )


def screened(
    X: Rows, weight: FloatArray | None, start: FloatArray, max_iter: int, n_threads: int = 1
) -> Outcome:
    """The kernel `lloyd`."""
    return outcome(dispatch.kernels(X).lloyd, X, weight, start, max_iter, n_threads)


def outcome(
    lloyd: Callable[..., tuple[int, bool]],
    X: Rows,
    weight: FloatArray | None,
    start: FloatArray,
    max_iter: int,
    n_threads: int = 1,
) -> Outcome:
    centers, labels = start.copy(), np.full(len(X), -1, np.int32)
    sums = n_k, totals = np.zeros(len(start)), np.zeros(2)
    n_iter, ended = lloyd(X, weight, centers, labels, *sums, max_iter, 0.0, n_threads)
    if not ended:  # sums are of no use then
        n_k[:], totals[:] = 0, 0
    return n_iter, ended, centers, labels, n_k, totals


def tally(X: Rows, start: FloatArray, max_iter: int) -> NDArray[np.int64]:
    """How many rows of all passes a bound, the screen, and comparing all distances settled."""
    n_k, totals, found = np.zeros(len(start)), np.zeros(2), np.full(3, -1, np.int64)
    labels = np.full(len(X), -1, np.int32)
    dispatch.kernels(X).lloyd(X, None, start.copy(), labels, n_k, totals, max_iter, 0.0, 1, found)
    return found


def require_same_bits(got: Outcome, want: Outcome) -> None:
    assert got[:2] == want[:2]
    names = "centers", "labels", "n_k", "totals"
    arrays: Iterable[tuple[str, Rows | Labels, Rows | Labels]] = zip(
        names, got[2:], want[2:], strict=True
    )
    for name, one, other in arrays:
        assert one.tobytes() == other.tobytes(), name


def groups(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return rng.normal(size=shape) + 4 * rng.integers(3, size=(shape[0], 1))


def grid(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Rows that lie at the same distance from many others, exactly."""
    return rng.integers(0, 4, size=shape).astype(np.float64)


def duplicates(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return groups(rng, (60, shape[1]))[rng.integers(60, size=shape[0])]


def far_out(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return groups(rng, shape) + 1e6


def tight(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Groups a million times smaller than their distances: float32 products tell none apart."""
    return 1e3 * rng.integers(0, 2, size=shape) + 1e-3 * rng.normal(size=shape)


def small(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return 1e-8 * groups(rng, shape)


def large(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return 1e8 * groups(rng, shape)


def tiny(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Squares of them are next to the smallest numbers of float32."""
    return 1e-18 * groups(rng, shape)


def huge(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Squares of them are next to the largest numbers of float32."""
    return 1e15 * groups(rng, shape)


def very_far_out(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """In float32 there are few different rows, and they lie in a row."""
    return groups(rng, shape) + 1e8


def outliers(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return groups(rng, shape) * np.where(rng.random((shape[0], 1)) < 0.01, 1e4, 1.0)


KINDS = (groups, grid, duplicates, far_out, very_far_out, tight, small, large, tiny, huge, outliers)


@pytest.mark.parametrize("draw", KINDS)
@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n_features", "n_clusters"), [(1, 128), (3, 140), (8, 129), (33, 130), (64, 128)]
)
@pytest.mark.usefixtures("compiled_isa")
def test_bits_are_those_of_plain_passes(
    draw: Callable[[np.random.Generator, tuple[int, int]], FloatArray],
    dtype: type[np.floating],
    weighted: bool,
    n_features: int,
    n_clusters: int,
) -> None:
    rng = np.random.default_rng([n_features, n_clusters, KINDS.index(draw)])
    X = draw(rng, (2100, n_features)).astype(dtype)
    weight = rng.integers(0, 5, size=len(X)) / 8 if weighted else None
    counted = X if weight is None else X[weight > 0]
    start = np.unique(counted, axis=0).astype(np.float64)
    start = rng.permutation(start)[:n_clusters]
    if len(start) < n_clusters:
        start = np.concatenate([start, X[: n_clusters - len(start)] + 0.25])
    want = plain(X, weight, start, 6)
    require_same_bits(screened(X, weight, start, 6), want)


@each_dtype
@pytest.mark.usefixtures("compiled_isa")
def test_bounds_hold_until_the_end(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(6000, 3)).astype(dtype)
    start = X[:128].astype(np.float64)
    want = plain(X, None, start, 300)
    assert 20 < want[0] < 300
    for n_threads in (1, 2, 3):
        require_same_bits(screened(X, None, start, 300, n_threads), want)


@each_dtype
@pytest.mark.usefixtures("compiled_isa")
def test_the_first_of_equal_centres_wins(dtype: type[np.floating]) -> None:
    X = np.arange(320.0).astype(dtype)[:, None] / 4
    start = np.repeat(np.array([[0.0], [70.0]]), 64, axis=0)
    n_iter, ended, _, _, _, _ = screened(X, None, start, 5)
    assert (n_iter, ended) == (0, False)  # all but the first of either have no row
    start = np.arange(160.0)[:, None] / 2 + 0.125  # every row lies halfway or nearest to one
    require_same_bits(screened(X, None, start, 0), plain(X, None, start, 0))


@each_dtype
@pytest.mark.usefixtures("compiled_isa")
def test_rows_beyond_the_floor_of_distances_have_label_0(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4)).astype(dtype)
    X[::7] *= np.float32(3e18) if dtype == np.float32 else 3e151
    start = X[np.arange(400) % 7 != 0][:150].astype(np.float64)
    want = plain(X, None, start, 0)
    assert (want[3][::7] == 0).any()
    require_same_bits(screened(X, None, start, 0), want)


# What settles labels ---------------------------------------------------------------------------


@each_dtype
@pytest.mark.usefixtures("compiled_isa")
def test_most_rows_are_screened_and_later_skipped(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(6000, 3)).astype(dtype)
    start = X[:160].astype(np.float64)
    first, passes, all_passes = (tally(X, start, count) for count in (0, 1, 30))
    assert first[0] == 0
    assert first[1] > 0.95 * first.sum()
    assert first.sum() == len(X)
    assert passes.sum() == 2 * len(X)
    assert passes[0] > 0
    assert all_passes.sum() == 31 * len(X)
    assert all_passes[0] > 0.4 * all_passes.sum()
    assert all_passes[2] < 0.05 * all_passes.sum()


@each_dtype
@pytest.mark.usefixtures("compiled_isa")
def test_a_screen_that_settles_too_little_is_given_up(dtype: type[np.floating]) -> None:
    """Every row is as far from two centres: nothing but the tiles can tell which is the first."""
    X = np.repeat(np.arange(200.0)[:, None], 10, axis=0).astype(dtype)
    start = np.repeat(np.arange(200.0)[:, None], 2, axis=0)
    assert tally(X, start, 0).tolist() == [0, 0, len(X)]


@each_dtype
@pytest.mark.usefixtures("isa")
def test_few_clusters_are_compared_one_by_one(dtype: type[np.floating]) -> None:
    X = np.random.default_rng(5).normal(size=(500, 2)).astype(dtype)
    assert tally(X, X[:4].astype(np.float64), 1).tolist() == [0, 0, 2 * len(X)]
