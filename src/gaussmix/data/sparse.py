"""Rows of a SciPy sparse matrix, in CSR form: K-means takes them as they are.

SciPy's sparse matrices are imported here alone, and only after a user has passed one.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.validation import check_csr


def is_sparse(X: object) -> bool:
    """Whether X is a sparse matrix or array of SciPy; imports nothing."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(X))


class Entries(NamedTuple):
    """Values of a table at different places; the others are 0."""

    rows: NDArray[np.integer]
    columns: NDArray[np.integer]
    values: FloatArray

    def add_to(self, table: FloatArray) -> None:
        """Add the values to those of a table."""
        table[self.rows, self.columns] += self.values


class SparseRows:
    """Rows (N, D) of a CSR matrix: as much of an array's interface as K-means asks of its rows.

    Attributes
    ----------
    matrix : csr_array or csr_matrix of shape (N, D), float32 or float64
    shape : tuple of int
    dtype : numpy dtype
    itemsize : int
        Bytes of one value.
    size : int
        Number of stored values, to which the work of a pass is proportional.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape: tuple[int, int] = matrix.shape
        self.dtype: np.dtype[np.floating] = matrix.dtype
        self.itemsize: int = matrix.dtype.itemsize
        self.size: int = matrix.nnz

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> "SparseRows":
        return SparseRows(self.matrix[rows])

    def take(self, rows: NDArray[np.integer], axis: int) -> Rows:
        """Return some rows as an array, (n, D): `axis` must be 0."""
        assert axis == 0, "a CSR matrix gives up rows, not columns"
        dense: Rows = self.matrix[rows].toarray()
        return dense

    def double(self) -> "SparseRows":
        """Return these rows as float64."""
        return SparseRows(self.matrix.astype(np.float64, copy=False))

    def squares(self) -> FloatArray:
        """Return the squared norm of each row, (N,), added up as a product with it would be."""
        squared = self.matrix.copy()
        squared.data *= squared.data
        return self._product(squared, np.ones(self.shape[1]))

    def products(self, columns: FloatArray) -> FloatArray:
        """Return the products of the rows with columns (D, K): (N, K)."""
        return self._product(self.matrix, columns)

    def group_sums(self, labels: Labels, weight: FloatArray, n_groups: int) -> Entries:
        """Return the summed weighted rows of each group: a table of `n_groups` rows."""
        from scipy.sparse import csr_array

        order = np.argsort(labels, kind="stable")
        ends = np.searchsorted(labels[order], np.arange(n_groups + 1))
        groups = csr_array((weight[order], order, ends), shape=(n_groups, len(self)))
        sums = groups @ csr_array(self.matrix)
        return Entries(
            np.repeat(np.arange(n_groups), np.diff(sums.indptr)), sums.indices, sums.data
        )

    @staticmethod
    def _product(matrix: Any, dense: FloatArray) -> FloatArray:
        product: FloatArray = matrix @ dense
        return product


def check_sparse(X: Any, n_features: int | None = None, estimator: str = "") -> SparseRows:
    """Return a sparse matrix as finite float32 or float64 rows; see `check_csr`."""
    return SparseRows(check_csr(X, n_features=n_features, estimator=estimator))
