"""Lloyd's iteration: assign rows to the nearest centre, move centres to the mean, repeat."""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.base import Data, InMemory
from gaussmix.data.scale import require_rows_to_scale, smallest_spread
from gaussmix.data.sparse import SparseRows
from gaussmix.kmeans.nearest import FarthestPass, HardPass, HardSums, check_squares, improve
from gaussmix.kmeans.sparse import squared_deviations
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import StatisticsPass
from gaussmix.model.structures import SPHERICAL


class LloydResult(NamedTuple):
    """Where Lloyd's iteration ended: labels and inertia belong to exactly these centres."""

    centers: FloatArray  # (K, D)
    labels: Labels | None  # (N,), of rows in memory
    n_k: FloatArray  # (K,), summed weight
    inertia: float
    n_iter: int


def lloyd(
    data: Data, centers: FloatArray, *, max_iter: int, threshold: float, verbose: bool = False
) -> LloydResult:
    """Improve centres by Lloyd's iteration (Bishop, PRML, section 9.1).

    It ends when no label changes, when the centres' squared movement in all is at most `threshold`,
    or after `max_iter` passes: scikit-learn's rules. A cluster without weight moves to the row
    farthest from its centre.

    Parameters
    ----------
    data : Data
    centers : ndarray of shape (n_clusters, n_features), float64
        Where to start.
    max_iter : int
    threshold : float
        scikit-learn's is `tol` times the mean variance of the features.
    verbose : bool
        Print the inertia of every pass, and why the last one is the last.

    Returns
    -------
    LloydResult
    """
    labels: Labels | None = None
    digest, done = b"", 0
    if isinstance(data, InMemory):
        labels = np.full(data.n_samples, -1, dtype=np.int32)
        if not (verbose or isinstance(data.rows, SparseRows)):
            centers = centers.copy()
            done, n_k, inertia = improve(
                data.rows,
                data.sample_weight,
                centers,
                labels,
                max_iter=max_iter,
                threshold=threshold,
                n_threads=data.n_threads,
            )
            if inertia is not None:
                return LloydResult(centers, labels, n_k, inertia, done)
    if verbose:
        print("Initialization complete")
    # Rows that are elsewhere or sparse, or a cluster that waits for a row.
    for n_iter in range(done + 1, max_iter + 1):
        previous, previous_digest = labels if labels is None else labels.copy(), digest
        sums = data.total(partial(HardPass, centers, labels=labels))
        digest = sums.labels_digest
        if verbose:
            print(f"Iteration {n_iter}, inertia {sums.inertia:.6g}.")
        if digest == previous_digest and _equal(labels, previous):
            if verbose:
                print(f"Converged at iteration {n_iter}: strict convergence.")
            return LloydResult(centers, labels, sums.n_k, sums.inertia, n_iter)
        moved = _moved(data, centers, sums)
        shift, centers = ((moved - centers) ** 2).cumsum()[-1], moved  # one by one, as the kernels
        if shift <= threshold:
            if verbose:
                print(
                    f"Converged at iteration {n_iter}: center shift {shift:g} within tolerance "
                    f"{threshold:g}."
                )
            break
    sums = data.total(partial(HardPass, centers, labels=labels))
    return LloydResult(centers, labels, sums.n_k, sums.inertia, n_iter)


def _equal(labels: Labels | None, previous: Labels | None) -> bool:
    return labels is None or previous is None or bool((labels == previous).all())


def _moved(data: Data, centers: FloatArray, sums: HardSums) -> FloatArray:
    """Means of the clusters, (K, D), after empty ones were given a row."""
    density, n_k, first = sums.density, sums.n_k, sums.first
    if n_k.all():
        return density.center + (density.means + first / n_k[:, None])
    _relocate(data, centers, sums, np.flatnonzero(n_k == 0))
    filled = n_k > 0
    moved = centers.copy()
    moved[filled] = density.center + (density.means[filled] + first[filled] / n_k[filled, None])
    moved[~filled] = moved[n_k.argmax()]  # nowhere to go: all rows lie on their centres
    return moved


def _relocate(data: Data, centers: FloatArray, sums: HardSums, empty: NDArray[np.intp]) -> None:
    """Give each empty cluster the farthest row that is not alone in its own: changes the sums."""
    density, n_k, first = sums.density, sums.n_k, sums.first
    found = data.total(partial(FarthestPass, centers, 2 * len(centers))).found
    waiting = list(empty)
    for row, weight, old in zip(found.rows, found.weight, found.labels, strict=True):
        if not waiting or n_k[old] <= weight * (1 + 1e-9):
            continue
        new, z = waiting.pop(0), row - density.center
        for cluster, change in ((old, -weight), (new, weight)):
            n_k[cluster] += change
            first[cluster] += change * (z - density.means[cluster])


@np.errstate(over="ignore", invalid="ignore")  # told as a spread that is too large
def mean_variance(data: Data) -> float:
    """Variance of a feature, averaged over the features. As in scikit-learn weights do not count.

    Raises ValueError if rows are so far apart, or so close, that the kernels cannot compare their
    distances.
    """
    what = "Squared deviations of X from its mean add up to"
    if isinstance(data, InMemory) and isinstance(data.rows, SparseRows):
        total = squared_deviations(data.rows)
        check_squares(total, data.dtype, what)
        return total / data.n_samples / data.n_features
    shift = data.head().mean(axis=0, dtype=np.float64)
    sums = data.total(partial(_MomentsPass, shift))
    second, first = float(sums.second[0]), sums.first / sums.n_samples
    check_squares(second, data.dtype, what)
    if second < sums.n_samples * smallest_spread(data.dtype) ** 2:
        require_rows_to_scale(data)
    squares = second / sums.n_samples - float((first**2).sum())
    return max(0.0, squares) / len(shift)


class _MomentsPass(StatisticsPass):
    """Adds up moments of rows, whatever their weights: they all belong to one component."""

    def __init__(self, shift: FloatArray, n_threads: int | None = None) -> None:
        one = np.ones(1)
        super().__init__(Parameters(SPHERICAL, one, shift[None], one, one), n_threads)

    def add(self, rows: Rows, weight: FloatArray | None) -> None:  # noqa: ARG002
        super().add(rows, None)

    def _require_reach(
        self, rows: Rows, weight: FloatArray | None, density: Density, told: Told | None
    ) -> None:
        """Accept all: the sum of squares tells whether rows lie too far apart."""
