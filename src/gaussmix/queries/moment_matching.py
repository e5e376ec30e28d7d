"""Moment matching: each cluster of components has a Gaussian of its mean and covariance.

The covariance of a union is C = sum_k w_k C_k + w_1 w_2 d d' for shares w and the step d between
the means. So if the components have variances only, that of a cluster of m of them is
diag(v) + B B' with v their mean variances and m - 1 columns of B: no matrix (D, D) is needed.
"""

from abc import ABC, abstractmethod

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import Variances
from gaussmix.queries.divergences import bhattacharyya_from, bhattacharyya_of_variances


class Gaussians(ABC):
    """Gaussians, each of a cluster, that unite two at a time.

    Parameters
    ----------
    weights : ndarray of shape (n_clusters,)
    means : ndarray of shape (n_clusters, n_features)
    """

    def __init__(self, weights: FloatArray, means: FloatArray) -> None:
        self.weights, self.means = weights, means

    def unite(self, i: int, j: int) -> None:
        """Put the Gaussian of both in the place of the first, and take out the second."""
        pair = [i, j]
        total = self.weights[pair].sum()
        share = self.weights[pair] / total if total > 0 else np.full(2, 0.5)
        self._unite(i, j, share, self.means[j] - self.means[i])
        self.weights[i], self.means[i] = total, share @ self.means[pair]
        self.weights, self.means = (np.delete(a, j, axis=0) for a in (self.weights, self.means))

    @abstractmethod
    def _unite(self, i: int, j: int, share: FloatArray, step: FloatArray) -> None:
        """Do so with the covariances, whose shares (2,) are given, and the means' step (D,)."""

    @abstractmethod
    def distances_from(self, i: int) -> FloatArray:
        """Return Bhattacharyya's distances of one from all: (n_clusters,)."""


class WithMatrices(Gaussians):
    """Gaussians of any covariances.

    Parameters
    ----------
    weights, means
        As of `Gaussians`.
    factors : ndarray of shape (n_clusters, n_features, n_features)
        Upper ones of the precisions.
    """

    def __init__(self, weights: FloatArray, means: FloatArray, factors: FloatArray) -> None:
        super().__init__(weights, means)
        self._factors = factors

    def _unite(self, i: int, j: int, share: FloatArray, step: FloatArray) -> None:
        # The covariance is R'R for the R of a QR decomposition of the roots inv(U_k) and the step.
        # It is never formed, so no digits are lost twice.
        roots = np.sqrt(share)[:, None, None] * np.linalg.inv(self._factors[[i, j]])
        root = np.linalg.qr(np.vstack([*roots, np.sqrt(share.prod()) * step]), mode="r")
        self._factors[i] = np.triu(np.linalg.inv(root))
        self._factors = np.delete(self._factors, j, axis=0)

    def distances_from(self, i: int) -> FloatArray:
        """Return the distances, by singular values."""
        return bhattacharyya_from(i, self.means, self._factors)


class WithVariances(Gaussians):
    """Gaussians of covariances diag(v) + B B', in a time and memory linear in the features.

    Parameters
    ----------
    weights, means
        As of `Gaussians`.
    variances : ndarray of shape (n_clusters, n_features)
        The v. There is no B yet.
    """

    def __init__(self, weights: FloatArray, means: FloatArray, variances: FloatArray) -> None:
        super().__init__(weights, means)
        self._variances = variances
        self._roots = [np.empty((means.shape[1], 0)) for _ in means]  # B of each

    def _unite(self, i: int, j: int, share: FloatArray, step: FloatArray) -> None:
        columns = np.sqrt(share.prod()) * step[:, None]
        scaled = (np.sqrt(w) * self._roots[k] for w, k in zip(share, (i, j), strict=True))
        self._roots[i] = np.hstack([*scaled, columns])
        del self._roots[j]
        self._variances[i] = share @ self._variances[[i, j]]
        self._variances = np.delete(self._variances, j, axis=0)

    def distances_from(self, i: int) -> FloatArray:
        """Return the distances: those of the variances, and what is added to them."""
        spreads = bhattacharyya_of_variances(i, self._variances)
        pairs = zip(self._variances, self._roots, strict=True)
        added = [_solved(variances, roots)[0] for variances, roots in pairs]
        between = np.array([self._between(i, j, added) for j in range(len(self.means))])
        return np.asarray(spreads + np.maximum(between, 0.0))

    def _between(self, i: int, j: int, added: list[float]) -> float:
        """What the means and B add to the distance of the variances."""
        middle = (self._variances[i] + self._variances[j]) / 2
        roots = np.hstack([self._roots[i], self._roots[j]]) / np.sqrt(2)
        log_added, square = _solved(middle, roots, self.means[i] - self.means[j])
        return square / 8 + (log_added - (added[i] + added[j]) / 2) / 2


def single_components(parameters: Parameters) -> Gaussians:
    """Return the Gaussians of a mixture's components, in the form that takes less memory."""
    structure, factors = parameters.structure, parameters.precisions_cholesky
    weights, means = parameters.weights.copy(), parameters.means.copy()
    diagonal = structure.shared or isinstance(structure, Variances)
    if not diagonal or len(means) > means.shape[1]:
        return WithMatrices(weights, means, structure.as_matrices(factors, *means.shape))
    if structure.shared:  # in units of the shared covariance it is the identity
        return WithVariances(weights, means @ factors, np.ones_like(means))
    variances = np.broadcast_to(structure.diagonals(factors) ** -2.0, means.shape)
    return WithVariances(weights, means, variances.copy())


def _solved(
    variances: FloatArray, roots: FloatArray, step: FloatArray | None = None
) -> tuple[float, float]:
    """Return log det C - log det V, and d' inv(C) d, for C = V + B B', V a diagonal, and d a step.

    Both are in the R of a QR decomposition of [inv(V)^(1/2) (B, d); (I, 0)]: det C / det V is the
    determinant of I + B' inv(V) B, and d' inv(C) d the least square of inv(V)^(1/2) (d - B z), and
    of z, over all z.
    """
    n_roots = roots.shape[1]
    columns = roots if step is None else np.column_stack([roots, step])
    above = columns / np.sqrt(variances)[:, None]
    stacked = np.vstack([above, np.eye(n_roots, columns.shape[1])])
    diagonal = np.abs(np.asarray(np.linalg.qr(stacked, mode="r")).diagonal())
    square = 0.0 if step is None else float(diagonal[-1] ** 2)
    return 2 * float(np.log(diagonal[:n_roots]).sum()), square
