"""Distances from centres, by the mixture's kernels.

The nearest centre is the most probable of unit Gaussians with equal weights:
l_k(x) = -1/2 |x - center_k|^2.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.constants import LOG_LOWEST, Density, FloatArray
from gaussmix._core.interface import Rows

Labels: TypeAlias = NDArray[np.int32]


class HardSums(NamedTuple):
    """What an assignment to the nearest centre adds up, with z = x - density.center."""

    density: Density
    n_k: FloatArray  # (K,), summed weight
    first: FloatArray  # (K, D), weighted sums of z - means_k
    inertia: float  # weighted sum of squared distances


def nearest_density(centers: FloatArray, dtype: DTypeLike = np.float64) -> Density:
    """Constants that make the most probable component the nearest of the centres (K, D).

    The data's centre and the centred means are rounded to the rows' dtype, so that sums of
    deviations from them are from what the kernel really subtracted.
    """
    # near the data, so that an offset costs no digits
    center = centers.mean(axis=0).astype(dtype).astype(np.float64)
    means = np.ascontiguousarray((centers - center).astype(dtype), np.float64)
    n_clusters = len(centers)
    return Density("spherical", center, means, np.ones(n_clusters), np.zeros(n_clusters))


def hard_pass(
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    labels: Labels | None,
    n_threads: int | None,
) -> HardSums:
    """Assign every row to its nearest centre, in one pass, and write its label if wanted."""
    density = nearest_density(centers, X.dtype)
    n_k, first, totals = np.zeros(len(centers)), np.zeros_like(centers), np.zeros(2)
    count = _thread_count(X, centers, n_threads)
    dispatch.kernels(X).accumulate_hard(
        X, sample_weight, density, labels, n_k, first, totals, count
    )
    return HardSums(density, n_k, first, max(0.0, -2.0 * float(totals[0])))


def check_squares(squares: float, dtype: np.dtype[np.floating], what: str) -> None:
    """Raise if a sum of squared distances is so large that the kernels stop to tell them apart.

    Squared distances of rows from each other are at most twice the sum of those from their mean,
    so where that passes every -1/2 |x - center|^2 lies above the kernels' floor.
    """
    limit = -LOG_LOWEST[dtype]
    if not squares < limit:
        raise ValueError(
            f"{what} {squares:.3g}, but must stay below {limit:g} where X is {dtype}: scale the "
            "features of X"
        )


def assign(
    X: Rows, density: Density, labels: Labels, best: Rows | None, n_threads: int | None
) -> None:
    """Write the nearest centre of each row, and -1/2 its squared distance if wanted."""
    count = _thread_count(X, density.means, n_threads)
    dispatch.kernels(X).assign(X, density, labels, best, count)


def closeness(X: Rows, centers: FloatArray, n_threads: int | None) -> Rows:
    """Return -1/2 the squared distances of rows from centres, (N, K), of X's dtype."""
    out = np.empty((len(X), len(centers)), dtype=X.dtype)
    count = _thread_count(X, centers, n_threads)
    dispatch.kernels(X).log_density(X, nearest_density(centers, X.dtype), out, count)
    return out


def nearest_labels(X: Rows, centers: FloatArray, n_threads: int | None) -> Labels:
    """Return the nearest centre of each row: (N,)."""
    labels = np.empty(len(X), dtype=np.int32)
    assign(X, nearest_density(centers), labels, None, n_threads)
    return labels


def _thread_count(X: Rows, centers: FloatArray, n_threads: int | None) -> int:
    return threads.for_work(n_threads, 3.0 * X.size * len(centers))
