"""The moments of all rows: what priors and relative regularisation are made from."""

from dataclasses import replace

import numpy as np

from gaussmix._core import dispatch, threads
from gaussmix._core.density import GROUP_ROWS, RESOLUTION, Density, rounded
from gaussmix._core.types import FloatArray, Rows
from gaussmix.model.statistics import Statistics, flops_of
from gaussmix.model.structures import DIAG, FULL

BLOCK_ROWS = 64 * GROUP_ROWS  # whose labels, all 0, are held


class MomentsPass:
    """Adds up the mean and the scatter of rows, about a shift that is near them.

    Parameters
    ----------
    shift : ndarray of shape (n_features,)
        Such as the mean of the first rows. It is rounded to the rows' dtype.
    matrices : bool
        Whether covariances are wanted, and not variances alone.
    n_threads : int or None
    """

    def __init__(self, shift: FloatArray, matrices: bool, n_threads: int | None = None) -> None:
        structure = FULL if matrices else DIAG
        self._n_threads = n_threads
        self._sums = Statistics.zeros(structure, shift[None])
        self._totals = np.zeros(2)
        self._n_samples = 0

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Add the moments of the next rows."""
        sums = self._sums
        if self._n_samples == 0:
            self._sums = sums = replace(sums, shift=rounded(sums.shift, rows.dtype))
        means, factors = np.zeros(sums.shift.shape), np.ones(sums.second.shape)
        density = Density(sums.structure.form, sums.shift[0], means, factors, np.zeros(1))
        for start in range(0, len(rows), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            block = rows[part]
            dispatch.kernels(block).accumulate(
                block,
                None if weight is None else weight[part],
                density,
                sums.n_k,
                sums.first,
                sums.second,
                self._totals,
                threads.for_work(self._n_threads, flops_of(block, sums.structure, 1)),
                np.zeros(len(block), np.int32),
            )
        self._n_samples += len(rows)

    def result(self) -> Statistics:
        """Return the moments of all rows, as statistics of one component."""
        return replace(self._sums, weight=float(self._totals[1]), n_samples=self._n_samples)


def mean_of(moments: Statistics) -> FloatArray:
    """Return the mean of all rows: (D,)."""
    return np.asarray((moments.shift + moments.first / moments.n_k[:, None])[0])


@np.errstate(over="ignore", invalid="ignore")  # the first M-step says that moments overflow
def scatter_of(moments: Statistics) -> FloatArray:
    """Return the scatter of all rows about their mean: (D, D), or its diagonal (D,)."""
    return np.asarray(moments.about(mean_of(moments)[None]).second[0])


@np.errstate(over="ignore")
def variances_of(moments: Statistics) -> FloatArray:
    """Return the variances of all rows, (D,), 1 for features that are constant."""
    structure = moments.structure
    variances = structure.diagonals(scatter_of(moments)[None])[0] / moments.weight
    constant = variances <= (RESOLUTION * mean_of(moments)) ** 2
    return np.where(constant, 1.0, variances)
