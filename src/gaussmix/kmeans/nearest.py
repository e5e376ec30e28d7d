"""Distances from centres, by the mixture's kernels.

The nearest centre is the most probable of unit Gaussians with equal weights:
l_k(x) = -1/2 |x - center_k|^2.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.density import LOG_LOWEST, Density, nearest_density
from gaussmix._core.interface import Kernels
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.sparse import SparseRows
from gaussmix.kmeans import sparse

MOST_PASSES = 2**31 - 1  # that a kernel counts


@dataclass(frozen=True)
class HardSums:
    """What an assignment to the nearest centre adds up, with z = x - density.center."""

    density: Density
    n_k: FloatArray  # (K,), summed weight
    first: FloatArray  # (K, D), weighted sums of z - means_k
    inertia: float  # weighted sum of squared distances
    labels_digest: bytes
    """The same for the same labels, and for no others; empty if the labels are kept."""

    def __add__(self, other: "HardSums") -> "HardSums":
        if not isinstance(other, HardSums):
            return NotImplemented
        # a part may be of another dtype, and its centre rounded to that
        step = other.density.center - self.density.center
        step = step + (other.density.means - self.density.means)
        return HardSums(
            self.density,
            self.n_k + other.n_k,
            self.first + other.first + other.n_k[:, None] * step,
            self.inertia + other.inertia,
            blake2b(self.labels_digest + other.labels_digest).digest(),
        )


class HardPass:
    """Assigns every row to its nearest centre and adds up the rows of each.

    Labels (N,) are kept if there is an array for them, and else only their digest.
    """

    def __init__(
        self, centers: FloatArray, n_threads: int | None = None, labels: Labels | None = None
    ) -> None:
        self._centers = centers
        self._n_threads = n_threads
        self._labels = labels
        self._density: Density | None = None
        self._n_k, self._first = np.zeros(len(centers)), np.zeros(centers.shape)
        self._totals = np.zeros(2)
        self._n_samples = 0
        self._digests: list[bytes] = []

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Assign the next rows."""
        if self._density is None:
            self._density = nearest_density(self._centers, rows.dtype)
        start, self._n_samples = self._n_samples, self._n_samples + len(rows)
        if self._labels is None:
            labels = np.empty(len(rows), dtype=np.int32)
        else:
            labels = self._labels[start : self._n_samples]
        count = thread_count(rows, len(self._centers), self._n_threads)
        kernels(rows).accumulate_hard(
            rows, weight, self._density, labels, self._n_k, self._first, self._totals, count
        )
        if self._labels is None:
            self._digests.append(blake2b(labels.data).digest())

    def result(self) -> HardSums:
        """Return the sums over all rows."""
        density = self._density or nearest_density(self._centers)
        digest = b"".join(self._digests)
        return HardSums(density, self._n_k, self._first, _inertia(self._totals), digest)


def _inertia(totals: FloatArray) -> float:
    return max(0.0, -2.0 * float(totals[0]))


class Farthest(NamedTuple):
    """Rows of positive weight that lie farthest from their centres, farthest first."""

    closeness: NDArray[np.floating]  # (n,), -1/2 the squared distance
    places: NDArray[np.int64]  # (n,), numbers of the rows
    rows: Rows  # (n, D)
    weight: FloatArray  # (n,)
    labels: Labels  # (n,)


class FarthestPass:
    """Finds the rows that lie farthest from their centres: `most` of them, which must be >= 1."""

    def __init__(self, centers: FloatArray, most: int, n_threads: int | None = None) -> None:
        self._centers = centers
        self._most = most
        self._n_threads = n_threads
        self._n_samples = 0
        self._found: Farthest | None = None

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Look through the next rows."""
        best = np.empty(len(rows), dtype=rows.dtype)
        labels = np.empty(len(rows), dtype=np.int32)
        assign(rows, nearest_density(self._centers, rows.dtype), labels, best, self._n_threads)
        weights = np.ones(len(rows)) if weight is None else weight
        best[weights == 0] = 0
        chosen = np.arange(len(rows))
        if len(rows) > self._most:
            chosen = np.argpartition(best, self._most - 1)[: self._most]
        chosen = chosen[best[chosen] < 0]
        found = Farthest(
            best[chosen],
            self._n_samples + chosen,
            rows.take(chosen, axis=0),
            weights[chosen],
            labels[chosen],
        )
        self._n_samples += len(rows)
        self._found = found if self._found is None else _joined(self._found, found)

    def result(self) -> "FarthestPass":
        """Return this pass: passes over the parts of data add up, by +."""
        return self

    def __add__(self, other: "FarthestPass") -> "FarthestPass":
        merged = FarthestPass(self._centers, self._most, self._n_threads)
        merged._n_samples = self._n_samples + other._n_samples
        if self._found is not None and other._found is not None:
            later = other._found._replace(places=other._found.places + self._n_samples)
            merged._found = _joined(self._found, later)
        else:
            merged._found = self._found or other._found
        return merged

    @property
    def found(self) -> Farthest:
        """The rows, farthest first."""
        assert self._found is not None, "no rows were added"
        order = np.lexsort((self._found.places, self._found.closeness))[: self._most]
        return Farthest(*(part[order] for part in cast(tuple[Any, ...], self._found)))


def _joined(one: Farthest, other: Farthest) -> Farthest:
    pairs = zip(cast(tuple[Any, ...], one), cast(tuple[Any, ...], other), strict=True)
    return Farthest(*(np.concatenate(pair) for pair in pairs))


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


def kernels(X: Rows | SparseRows) -> Kernels:
    """Return the kernels for an array, or those for sparse rows, which are K-means' alone."""
    return cast(Kernels, sparse) if isinstance(X, SparseRows) else dispatch.kernels(X)


def assign(
    X: Rows, density: Density, labels: Labels, best: Rows | None, n_threads: int | None
) -> None:
    """Write the nearest centre of each row, and -1/2 its squared distance if wanted."""
    count = thread_count(X, len(density.means), n_threads)
    kernels(X).assign(X, density, labels, best, count)


def improve(
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    labels: Labels,
    *,
    max_iter: int,
    threshold: float,
    n_threads: int | None,
) -> tuple[int, FloatArray, float | None]:
    """Improve centres, and labels of rows, in place, by the kernels' `lloyd`.

    Returns the number of passes, n_k and the inertia: None where a cluster lost all its weight,
    before which the passes ended.
    """
    n_k, totals = np.zeros(len(centers)), np.zeros(2)
    count = thread_count(X, len(centers), n_threads)
    n_iter, ended = dispatch.kernels(X).lloyd(
        X, sample_weight, centers, labels, n_k, totals, min(max_iter, MOST_PASSES), threshold, count
    )
    return n_iter, n_k, _inertia(totals) if ended else None


def closeness(X: Rows, centers: FloatArray, n_threads: int | None) -> Rows:
    """Return -1/2 the squared distances of rows from centres, (N, K), of X's dtype."""
    out = np.empty((len(X), len(centers)), dtype=X.dtype)
    count = thread_count(X, len(centers), n_threads)
    kernels(X).log_density(X, nearest_density(centers, X.dtype), out, count)
    return out


def nearest_labels(X: Rows, centers: FloatArray, n_threads: int | None) -> Labels:
    """Return the nearest centre of each row: (N,)."""
    labels = np.empty(len(X), dtype=np.int32)
    assign(X, nearest_density(centers), labels, None, n_threads)
    return labels


def thread_count(X: Rows, n_centers: int, n_threads: int | None) -> int:
    """Return the number of threads for a pass that finds distances from `n_centers` centres."""
    return threads.for_work(n_threads, 3.0 * X.size * n_centers)
