r"""The kernels of K-means for sparse rows, by sparse products of SciPy.

Names, signatures and results are those of `_core.reference`, and `Density` is that of
`nearest_density`. With a centre c the squared distance of a row x is

    |x - c|^2 = |x|^2 - 2 x'c + |c|^2,

in float64, so that a row costs its stored values times K. Rows are worked on in blocks, which do
not depend on the number of threads, and the blocks are added up in order. SciPy's products release
the GIL.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import reference
from gaussmix._core.density import LOG_LOWEST, RESOLUTION, Density, nearest_density
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.parallel import for_blocks, in_order
from gaussmix.data.sparse import Entries, SparseRows

BLOCK_VALUES = 1 << 18
"""Distances, or stored values, that a block has at most: 2 MB."""


def assign(
    X: SparseRows, density: Density, labels: Labels, best: Rows | None, n_threads: int = 1
) -> None:
    """Write the nearest centre of each row, and -1/2 its squared distance if wanted."""
    distances = _Distances(density, X.dtype)

    def work(rows: slice) -> None:
        squared = distances.bounded(X[rows].double())
        labels[rows] = squared.argmin(axis=1)
        if best is not None:
            best[rows] = squared.min(axis=1) / -2

    for_blocks(work, len(X), _block_rows(X, len(density.means)), n_threads)


def log_density(X: SparseRows, density: Density, out: Rows, n_threads: int = 1) -> None:
    """Write -1/2 the squared distances of rows from centres into `out` (N, K)."""
    distances = _Distances(density, X.dtype)

    def work(rows: slice) -> None:
        with np.errstate(over="ignore"):  # infinity, as from the kernels
            out[rows] = distances(X[rows].double()) / -2

    for_blocks(work, len(X), _block_rows(X, len(density.means)), n_threads)


def accumulate_hard(
    X: SparseRows,
    sample_weight: FloatArray | None,
    density: Density,
    labels: Labels,
    n_k: FloatArray,
    first: FloatArray,
    totals: FloatArray,
    n_threads: int = 1,
) -> None:
    """Assign each row to its nearest centre, and add up the rows of each."""
    distances = _Distances(density, X.dtype)
    sums, counts = np.zeros(first.shape), np.zeros(len(n_k))
    weights = np.ones(len(X)) if sample_weight is None else sample_weight

    def work(rows: slice) -> tuple[Entries, FloatArray, tuple[float, float]]:
        block, weight = X[rows].double(), weights[rows]
        squared = distances.bounded(block)
        labels[rows] = squared.argmin(axis=1)
        entries = block.group_sums(labels[rows], weight, len(n_k))
        count = np.asarray(np.bincount(labels[rows], weight, len(n_k)), dtype=np.float64)
        return entries, count, ((weight * squared.min(axis=1)).sum() / -2, weight.sum())

    blocks = in_order(work, len(X), _block_rows(X, len(n_k)), n_threads)
    for entries, count, total in blocks:
        entries.add_to(sums)
        counts += count
        totals += total
    n_k += counts
    first += sums - counts[:, None] * distances.centers


def plus_plus(
    X: SparseRows,
    sample_weight: FloatArray | None,
    uniforms: FloatArray,
    chosen: NDArray[np.int64],
    n_trials: int,
    n_threads: int = 1,
) -> None:
    """Choose first centres by greedy k-means++, with the draws of the kernels."""

    def closeness(rows: NDArray[np.intp]) -> Rows:
        density = nearest_density(X.take(rows, axis=0).astype(np.float64), X.dtype)
        out = np.empty((len(X), len(rows)), dtype=X.dtype)
        log_density(X, density, out, n_threads)
        return out

    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    reference.greedy_plus_plus(weight, uniforms, chosen, n_trials, closeness)


def squared_deviations(X: SparseRows) -> float:
    """Return the summed squared deviations of the rows from their mean.

    The zeros that are not stored count too. The mean comes first, so that no digits cancel.
    """
    sums, stored = np.zeros((2, X.shape[1]))
    parts = [slice(i, i + BLOCK_VALUES) for i in range(0, X.size, BLOCK_VALUES)]
    values, columns = X.matrix.data, X.matrix.indices
    for part in parts:
        sums += np.bincount(columns[part], values[part], len(sums))
        stored += np.bincount(columns[part], minlength=len(sums))
    mean = sums / len(X)
    total = float(((len(X) - stored) * mean**2).sum())
    return total + sum(float(((values[part] - mean[columns[part]]) ** 2).sum()) for part in parts)


class _Distances:
    """Squared distances from centres: in each call of a block of rows, (n, K), float64."""

    def __init__(self, density: Density, dtype: np.dtype[np.floating]) -> None:
        self.centers = density.center + density.means
        self._columns = np.ascontiguousarray(self.centers.T)
        with np.errstate(over="ignore"):
            self._squares = (self.centers**2).sum(axis=1)
        self._most = -2 * LOG_LOWEST[dtype]

    @np.errstate(over="ignore", invalid="ignore")  # beyond float64 all centres are alike
    def __call__(self, rows: SparseRows) -> FloatArray:
        squared = rows.products(self._columns)
        size = rows.squares()[:, None] + self._squares
        squared *= -2
        squared += size
        squared[squared <= RESOLUTION * size] = 0  # rounding error
        squared[np.isinf(size)] = np.inf
        return squared

    def bounded(self, rows: SparseRows) -> FloatArray:
        """Return them no larger than the kernels' own: see `LOG_LOWEST`."""
        squared = self(rows)
        return np.minimum(squared, self._most, out=squared)


def _block_rows(X: SparseRows, n_columns: int) -> int:
    """Rows of a block, whatever the number of threads."""
    return max(1, BLOCK_VALUES // max(n_columns, ceil(X.size / len(X))))
