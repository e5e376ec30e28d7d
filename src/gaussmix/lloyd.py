"""Lloyd's iteration: assign rows to the nearest centre, move centres to the mean, repeat."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.constants import Density, FloatArray
from gaussmix._core.interface import Rows
from gaussmix.nearest import HardSums, Labels, assign, check_squares, hard_pass


class LloydResult(NamedTuple):
    """Where Lloyd's iteration ended: labels and inertia belong to exactly these centres."""

    centers: FloatArray  # (K, D)
    labels: Labels  # (N,)
    inertia: float
    n_iter: int


def lloyd(
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    *,
    max_iter: int,
    threshold: float,
    n_threads: int | None,
    verbose: bool = False,
) -> LloydResult:
    """Improve centres by Lloyd's iteration (Bishop, PRML, section 9.1).

    It ends when no label changes, when the centres' squared movement in all is at most `threshold`,
    or after `max_iter` passes: scikit-learn's rules. A cluster without weight moves to the row
    farthest from its centre.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None
    centers : ndarray of shape (n_clusters, n_features), float64
        Where to start.
    max_iter : int
    threshold : float
        scikit-learn's is `tol` times the mean variance of the features.
    n_threads : int or None
    verbose : bool
        Print the inertia of every pass.

    Returns
    -------
    LloydResult
    """
    labels = np.full(len(X), -1, dtype=np.int32)
    for n_iter in range(1, max_iter + 1):
        previous = labels.copy()
        sums = hard_pass(X, sample_weight, centers, labels, n_threads)
        if verbose:
            print(f"Iteration {n_iter}, inertia {sums.inertia:.6g}.")
        if np.array_equal(labels, previous):
            return LloydResult(centers, labels, sums.inertia, n_iter)
        moved = _moved(X, sample_weight, centers, labels, sums, n_threads)
        shift, centers = ((moved - centers) ** 2).sum(), moved
        if shift <= threshold:
            break
    inertia = hard_pass(X, sample_weight, centers, labels, n_threads).inertia
    return LloydResult(centers, labels, inertia, n_iter)


def _moved(
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    labels: Labels,
    sums: HardSums,
    n_threads: int | None,
) -> FloatArray:
    """Means of the clusters, (K, D), after empty ones were given a row."""
    density, n_k, first, _ = sums
    if n_k.all():
        return density.center + (density.means + first / n_k[:, None])
    _relocate(X, sample_weight, labels, sums, np.flatnonzero(n_k == 0), n_threads)
    filled = n_k > 0
    moved = centers.copy()
    moved[filled] = density.center + (density.means[filled] + first[filled] / n_k[filled, None])
    moved[~filled] = moved[n_k.argmax()]  # nowhere to go: all rows lie on their centres
    return moved


def _relocate(
    X: Rows,
    sample_weight: FloatArray | None,
    labels: Labels,
    sums: HardSums,
    empty: NDArray[np.intp],
    n_threads: int | None,
) -> None:
    """Give each empty cluster the farthest row that is not alone in its own: changes the sums."""
    density, n_k, first, _ = sums
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    waiting = list(empty)
    for row in _farthest(X, weight, density, labels, n_threads):
        old = labels[row]
        if not waiting or n_k[old] <= weight[row] * (1 + 1e-9):
            continue
        new, z = waiting.pop(0), X[row] - density.center
        for cluster, change in ((old, -weight[row]), (new, weight[row])):
            n_k[cluster] += change
            first[cluster] += change * (z - density.means[cluster])


def _farthest(
    X: Rows, weight: FloatArray, density: Density, labels: Labels, n_threads: int | None
) -> NDArray[np.intp]:
    """Rows of positive weight farthest from their centres, farthest first, 2 K at most."""
    best = np.empty(len(X), dtype=X.dtype)
    assign(X, density, labels, best, n_threads)  # the labels stay as they are
    best[weight == 0] = 0
    n_rows = min(2 * len(density.means), len(X))
    rows = np.argpartition(best, n_rows - 1)[:n_rows]
    rows = rows[np.lexsort((rows, best[rows]))]
    return rows[best[rows] < 0]


@np.errstate(over="ignore", invalid="ignore")  # told as a spread that is too large
def mean_variance(X: Rows, n_threads: int | None) -> float:
    """Variance of a feature, averaged over the features.

    One component with factor 0 takes every row fully, so its moments are those of the data.

    Raises ValueError if rows are so far apart that the kernels cannot compare their distances.
    """
    shift = X[:: max(1, len(X) // 1024)].mean(axis=0, dtype=np.float64)
    density = Density("spherical", shift, np.zeros((1, len(shift))), np.zeros(1), np.zeros(1))
    n_k, first, second, totals = np.zeros(1), np.zeros((1, len(shift))), np.zeros(1), np.zeros(2)
    count = threads.for_work(n_threads, 4.0 * X.size)
    dispatch.kernels(X).accumulate(X, None, density, n_k, first, second, totals, count)
    check_squares(float(second[0]), X.dtype, "Squared deviations of X from its mean add up to")
    squares = second[0] / len(X) - ((first / len(X)) ** 2).sum()
    return max(0.0, float(squares)) / len(shift)
