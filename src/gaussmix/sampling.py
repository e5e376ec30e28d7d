"""The rows that a start looks at: enough of them to be as good as all, however many there are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import FloatArray
from gaussmix._core.interface import Rows

START_ROWS = 16384
START_ROWS_PER_CLUSTER = 256
"""A start looks at no more rows than the larger of START_ROWS and this for every cluster. The mean
of 256 rows lies within sigma / 16 of its group's, which the first passes over all rows correct; and
K-means on 16384 rows costs less than one such pass over a million."""

BLOCK_WEIGHTS = 1 << 16  # added up at a time when rows are drawn by weight


class Sample(NamedTuple):
    """The rows a start looks at, and their weights."""

    rows: Rows
    weight: FloatArray | None


def subsample(
    X: Rows,
    sample_weight: FloatArray | None,
    n_clusters: int,
    random_state: np.random.RandomState,
    most: int | None = None,
) -> Sample:
    """All rows if no more than `most`, else a stratified sample of them, in the order of X.

    Without weights it has one random row of each of m equal strides. With weights a row is drawn
    at random from every m-th of the summed weight, a row that is drawn r times has weight r, and a
    few rows of weight 0 see to it that there are at least as many as groups. A row at every m-th
    step exactly would fall in with data that have a period. By default `most` is the larger of
    START_ROWS and START_ROWS_PER_CLUSTER for each cluster.
    """
    n_rows = most or max(START_ROWS, START_ROWS_PER_CLUSTER * n_clusters)
    if len(X) <= n_rows:
        return Sample(X, sample_weight)
    if sample_weight is None:
        return Sample(X[_strided(len(X), n_rows, random_state)], None)
    drawn = _drawn_by_weight(sample_weight, n_rows, random_state)
    spare = _strided(len(X), n_clusters, random_state)
    rows, position = np.unique(np.concatenate([drawn, spare]), return_inverse=True)
    counts = np.bincount(position[: len(drawn)], minlength=len(rows))
    return Sample(X[rows], counts.astype(np.float64))


def _strided(n_samples: int, n_rows: int, random_state: np.random.RandomState) -> NDArray[np.int64]:
    edges = np.arange(n_rows + 1, dtype=np.int64) * n_samples // n_rows
    return random_state.randint(edges[:-1], edges[1:], dtype=np.int64)


def _drawn_by_weight(
    weight: FloatArray, n_rows: int, random_state: np.random.RandomState
) -> NDArray[np.int64]:
    """Rows where the summed weight passes a random point of each of n_rows equal steps."""
    starts = range(0, len(weight), BLOCK_WEIGHTS)
    totals = np.array([weight[start : start + BLOCK_WEIGHTS].sum() for start in starts])
    reached = np.concatenate([[0.0], np.cumsum(totals)])
    points = (random_state.uniform(size=n_rows) + np.arange(n_rows)) * (reached[-1] / n_rows)
    drawn = []
    for i, start in enumerate(starts):
        sums = reached[i] + np.cumsum(weight[start : start + BLOCK_WEIGHTS])
        first, last = np.searchsorted(points, reached[i : i + 2])
        inside = np.searchsorted(sums, points[first:last], side="right")
        heaviest = np.flatnonzero(np.diff(sums, prepend=reached[i]) > 0)[-1:]
        drawn.append(start + np.minimum(inside, heaviest))
    return np.concatenate(drawn)
