"""Where a mixture of many features is looked at from: one or two directions, and their labels."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import Variances

NO_SEPARATION = 1e-9
"""Part of the variance within components below which a direction separates no means: rounding."""
TIE = 1e-6  # weight of the width of a direction, where no spread tells directions apart


class View(NamedTuple):
    """Directions in feature space: rows x are drawn at (x - origin) @ axes."""

    origin: FloatArray  # (D,)
    axes: FloatArray  # (D, d)
    labels: tuple[str, ...]  # (d,)

    def points(self, rows: Any) -> FloatArray:
        """Project rows (n, D), sparse or not, to (n, d)."""
        if isinstance(rows, np.ndarray):
            return np.asarray((rows - self.origin) @ self.axes)
        return np.asarray(rows @ self.axes) - self.origin @ self.axes

    def mixture(self, parameters: Parameters) -> Parameters:
        """Return the marginal of a mixture in these directions, of full covariances (K, d, d)."""
        n_components = parameters.n_components
        covariances = parameters.covariances
        if isinstance(parameters.structure, Variances):
            seen = np.einsum("da,kd,db->kab", self.axes, _variances(parameters), self.axes)
        else:
            one = self.axes.T @ covariances @ self.axes
            seen = np.broadcast_to(one, (n_components, *one.shape[-2:]))
        symmetric = np.ascontiguousarray((seen + np.swapaxes(seen, 1, 2)) / 2)
        means = np.ascontiguousarray(self.points(parameters.means))
        return Parameters.from_covariances("full", parameters.weights, means, symmetric)


def features_view(features: NDArray[np.intp], names: Sequence[str]) -> View:
    """Look along features, whose values the axes then have."""
    axes = np.zeros((len(names), len(features)))
    axes[features, np.arange(len(features))] = 1.0
    return View(np.zeros(len(names)), axes, tuple(names[i] for i in features))


def separating_view(parameters: Parameters) -> View:
    r"""Look at the plane in which the means of components lie farthest apart.

    The directions are the discriminant ones of Fisher and Rao: they maximise
    v' B v / v' W v, with B the scatter of the means, sum_k w_k (m_k - m)(m_k - m)', and W the
    covariance within components, sum_k w_k S_k. They are scaled to v' W v = 1. Where means span
    less than a plane, the rest is where the covariances differ most, the leading eigenvector of
    sum_k w_k (W^-1/2 S_k W^-1/2 - I)^2 (Scrucca, 2010), and where they do not differ either, the
    widest direction.

    References
    ----------
    L. Scrucca, Dimension reduction for model-based clustering. Statistics and Computing 20, 2010.
    """
    weights = parameters.weights / parameters.weights.sum()
    origin = weights @ parameters.means
    within = _Within(parameters, weights)
    spread = np.sqrt(weights)[:, None] * within.white(parameters.means - origin)  # (K, D)
    _, singular, directions = np.linalg.svd(spread, full_matrices=False)
    shares = singular**2
    found = int((shares[:2] > NO_SEPARATION * max(1.0, shares.sum())).sum())
    white = directions[:found].T  # (D, found)
    if found < 2:
        white = np.column_stack([white, within.rest(white, 2 - found)])
    axes = within.coloured(white)
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the same way up every time
    return View(origin, axes, _labels(shares / max(float(shares.sum()), 1e-300), found))


def _labels(shares: FloatArray, found: int) -> tuple[str, ...]:
    labels = [
        f"discriminant {i + 1} (projection, {percent(shares[i])} of separation)"
        for i in range(found)
    ]
    if found == 1:
        labels.append("direction 2 (projection, means do not differ)")
    if found == 0:
        labels = [f"principal direction {i} (projection)" for i in (1, 2)]
    return tuple(labels)


def in_lines(name: str, width: int) -> str:
    """Break a name into two lines of a width; of a longer one the middle is left out."""
    if len(name) <= width:
        return name
    if len(name) > 2 * width:
        return f"{name[: width - 1]}…\n{name[-width:]}"
    lines = wrap(name, width)
    return "\n".join(lines if len(lines) == 2 else [name[:width], name[width:]])


def percent(part: float) -> str:
    """Return a part as a percentage of three digits at most."""
    return "< 0.01 %" if 0 < part < 5e-5 else f"{100 * part:.3g} %"


def _variances(parameters: Parameters) -> FloatArray:
    """Return the variances (K, D) of diagonal covariances, which may be one for each component."""
    variances = parameters.covariances
    columns = variances[:, None] if variances.ndim == 1 else variances
    return np.broadcast_to(columns, parameters.means.shape)


class _Within:
    """The mean covariance W within components, by its factor, and coordinates in which it is I."""

    def __init__(self, parameters: Parameters, weights: FloatArray) -> None:
        self._weights = weights
        self._covariances = parameters.covariances
        self._diagonal = isinstance(parameters.structure, Variances)
        if self._diagonal:
            self._covariances = _variances(parameters)
            self._root = np.sqrt(weights @ self._covariances)  # (D,)
        elif parameters.structure.shared:
            self._covariances = self._covariances[None]
            self._weights = np.ones(1)
            self._root = np.linalg.cholesky(self._covariances[0])
        else:
            self._root = np.linalg.cholesky(np.tensordot(weights, self._covariances, axes=1))

    def white(self, rows: FloatArray) -> FloatArray:
        """Rows (n, D) in coordinates in which W is I."""
        if self._diagonal:
            return np.asarray(rows / self._root)
        return np.asarray(solve_triangular(self._root, rows.T, lower=True).T)

    def coloured(self, directions: FloatArray) -> FloatArray:
        """Directions (D, d) of white coordinates as directions of feature space."""
        if self._diagonal:
            return np.asarray(directions / self._root[:, None])
        return np.asarray(solve_triangular(self._root, directions, lower=True, trans="T"))

    def rest(self, taken: FloatArray, number: int) -> FloatArray:
        """White directions (D, number) orthogonal to those taken, where covariances differ."""
        if self._diagonal:
            ratios = self._covariances / self._root**2
            differ = self._weights @ (ratios - 1) ** 2
            wide = self._root**2
            gains = differ / max(differ.max(), 1.0) + TIE * wide / wide.max()
            best = np.argsort(-gains, kind="stable")[: number + taken.shape[1] + 1]
            candidates = np.zeros((len(wide), len(best)))
            candidates[best, np.arange(len(best))] = 1.0
            return _orthogonal(taken, candidates)[:, :number]
        white = np.array([self.white(self.white(each).T) for each in self._covariances])
        difference = white - np.eye(len(self._root))
        differ = np.tensordot(self._weights, difference @ difference, axes=1)
        wide = self._root.T @ self._root
        matrix = differ / max(float(np.trace(differ)), 1.0) + TIE * wide / np.trace(wide)
        outside = np.eye(len(matrix)) - taken @ taken.T
        vectors = np.linalg.eigh(outside @ matrix @ outside)[1]
        return np.asarray(vectors[:, : -number - 1 : -1])


def _orthogonal(taken: FloatArray, candidates: FloatArray) -> FloatArray:
    """Return candidates (D, m) made orthonormal to each other and to those taken."""
    basis = taken
    for column in candidates.T:
        for _ in range(2):  # once more for what rounding leaves
            column = column - basis @ (basis.T @ column)
        length = float(np.linalg.norm(column))
        if length > 1e-3:
            basis = np.column_stack([basis, column / length])
    return basis[:, taken.shape[1] :]
