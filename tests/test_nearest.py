"""The screen and the bounds of Lloyd's passes: labels and sums of plain passes, to the last bit."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from gaussmix._core import dispatch
from gaussmix._core.density import nearest_density
from gaussmix._core.types import FloatArray, Labels, Rows

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

Outcome = tuple[int, bool, FloatArray, Labels, FloatArray, FloatArray]


def plain(X: Rows, weight: FloatArray | None, start: FloatArray, max_iter: int) -> Outcome:
    """What `lloyd` computes, by passes of `accumulate_hard`: it has neither screen nor bounds."""
    centers, labels = start.copy(), np.full(len(X), -1, np.int32)
    n_k, totals = np.zeros(len(start)), np.zeros(2)
    same, n_iter = False, 0
    while True:
        density = nearest_density(centers, X.dtype)
        n_k, first, totals = np.zeros(len(start)), np.zeros(start.shape), np.zeros(2)
        found = np.empty_like(labels)
        dispatch.kernels(X).accumulate_hard(X, weight, density, found, n_k, first, totals)
        if n_iter == max_iter:
            return n_iter, True, centers, found, n_k, totals
        if not n_k.all():
            return n_iter, False, centers, labels, np.zeros(len(start)), np.zeros(2)
        same, labels = bool((found == labels).all()), found
        n_iter += 1
        if same:
            return n_iter, True, centers, labels, n_k, totals
        centers = density.center + (density.means + first / n_k[:, None])


def screened(
    X: Rows, weight: FloatArray | None, start: FloatArray, max_iter: int, n_threads: int = 1
) -> Outcome:
    """The kernel `lloyd`."""
    centers, labels = start.copy(), np.full(len(X), -1, np.int32)
    n_k, totals = np.zeros(len(start)), np.zeros(2)
    n_iter, ended = dispatch.kernels(X).lloyd(
        X, weight, centers, labels, n_k, totals, max_iter, 0.0, n_threads
    )
    return n_iter, ended, centers, labels, n_k, totals


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


def outliers(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    return groups(rng, shape) * np.where(rng.random((shape[0], 1)) < 0.01, 1e4, 1.0)


KINDS = (groups, grid, duplicates, far_out, tight, small, large, outliers)


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
    weight = rng.integers(1, 5, size=len(X)) / 8 if weighted else None
    start = np.unique(X, axis=0).astype(np.float64)
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
