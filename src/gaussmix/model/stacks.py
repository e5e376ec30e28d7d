"""Linear algebra of stacks of matrices (K, D, D)."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray

Flags: TypeAlias = NDArray[np.bool_]


def diagonals(matrices: FloatArray) -> FloatArray:
    """Return a view of the diagonals (K, D), which can be written to."""
    found: FloatArray = np.einsum("kii->ki", matrices)
    return found


def cholesky(matrices: FloatArray) -> FloatArray:
    """Return lower factors (K, D, D), NaN where a matrix is not positive definite."""
    try:
        return np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.stack([_cholesky_or_nan(matrix) for matrix in matrices])


def _cholesky_or_nan(matrix: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)


def geometric_means(rows: FloatArray) -> FloatArray:
    """Return the geometric mean of each row: (K,)."""
    return np.asarray(np.exp(np.log(rows).mean(axis=1)))


def variances_along(axes: FloatArray, matrices: FloatArray) -> FloatArray:
    """Return the diagonals of Q' S_k Q, (K, D), for axes Q (D, D)."""
    return np.asarray(((matrices @ axes) * axes).sum(axis=1))


def rotated(axes: FloatArray, variances: FloatArray) -> FloatArray:
    """Return Q_k diag(variances_k) Q_k' (K, D, D), exactly symmetric.

    Axes are (D, D), the same for all, or (K, D, D).
    """
    half = axes * np.sqrt(variances)[:, None, :]
    found = half @ half.swapaxes(-1, -2)
    return np.asarray((found + found.swapaxes(-1, -2)) / 2)


def principal_axes(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues (K, D), in decreasing order, and eigenvectors (K, D, D), as columns.

    They come from the singular values of Cholesky factors. The eigenvalues of the matrices
    themselves lose the square of the ratio of features' scales: with one of 1e5 the likelihood
    fell by 5e-5.
    """
    lower = cholesky(matrices)
    singular: Flags = np.isnan(lower[:, 0, 0])
    if singular.any():
        lower[singular] = _symmetric_roots(matrices[singular])
    axes, roots, _ = np.linalg.svd(lower)
    return np.asarray(roots**2), np.asarray(axes)


def _symmetric_roots(matrices: FloatArray) -> FloatArray:
    """Return square roots of matrices, which may be singular."""
    variances, axes = np.linalg.eigh(matrices)
    return np.asarray(axes * np.sqrt(np.maximum(variances, 0.0))[:, None, :])


def common_axes(matrices: FloatArray) -> FloatArray:
    """Return axes (D, D) that matrices share, as columns, if they share any.

    They are the eigenvectors of a weighted sum. Its weights differ, so that two of its eigenvalues
    are equal only where they are equal in every matrix. Then any axes in that plane are shared.
    """
    sizes = diagonals(matrices).sum(axis=1)
    golden = (np.sqrt(5) - 1) / 2
    weights = 1 + (golden * np.arange(len(sizes))) % 1
    return np.asarray(np.linalg.eigh(np.tensordot(weights / sizes, matrices, axes=1))[1])
