"""Shapes as numbers: the ellipses of Gaussians, and the cells of nearest centres."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv

from gaussmix._core.types import FloatArray


class Ellipses(NamedTuple):
    """Ellipses around centres (K, 2): full widths (K, 2) of both axes, the first's angle (K,)."""

    centers: FloatArray
    widths: FloatArray
    degrees: FloatArray

    def drawn(self) -> Iterator[tuple[FloatArray, FloatArray, float]]:
        """Return each ellipse's centre (2,), widths (2,) and angle."""
        return zip(self.centers, self.widths, self.degrees.tolist(), strict=True)


def chi_squared_radius(coverage: float, n_features: int) -> float:
    """Return the Mahalanobis distance within which a Gaussian has so much of its probability.

    Its square is the quantile of chi-squared with `n_features` degrees of freedom.
    """
    return float(np.sqrt(2 * gammaincinv(n_features / 2, coverage)))


def ellipses(means: FloatArray, covariances: FloatArray, coverage: float) -> Ellipses:
    """Return the ellipses that hold so much of each Gaussian of two features."""
    variances, directions = np.linalg.eigh(covariances)
    widths = 2 * chi_squared_radius(coverage, 2) * np.sqrt(np.maximum(variances, 0.0))
    degrees = np.degrees(np.arctan2(directions[:, 1, 0], directions[:, 0, 0]))
    return Ellipses(means, widths, degrees)


def bounds(means: FloatArray, covariances: FloatArray, radius: float) -> tuple[FloatArray, ...]:
    """Return the lowest and the highest values (d,) within a Mahalanobis distance of any mean."""
    reach = radius * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return (means - reach).min(axis=0), (means + reach).max(axis=0)


def cells(centers: FloatArray, low: FloatArray, high: FloatArray) -> list[FloatArray]:
    """Return the corners (n, 2) of the part of a rectangle that is nearest to each centre (K, 2).

    The rectangle is cut along the bisectors with all other centres, the nearest first. A cell
    outside of it has no corners.
    """
    frame = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    return [_cell(centers, k, frame) for k in range(len(centers))]


def _cell(centers: FloatArray, k: int, corners: FloatArray) -> FloatArray:
    squares = ((centers - centers[k]) ** 2).sum(axis=1)
    for other in np.argsort(squares, kind="stable"):
        if squares[other] > 0 and len(corners):
            step = centers[other] - centers[k]
            corners = _cut(corners, step, step @ (centers[other] + centers[k]) / 2)
    return corners


def _cut(corners: FloatArray, normal: FloatArray, bound: float) -> FloatArray:
    """Keep the part of a convex polygon with x @ normal <= bound (Sutherland & Hodgman, 1974)."""
    beyond = corners @ normal - bound
    if (beyond <= 0).all():
        return corners
    kept = []
    for here, there, a, b in zip(
        corners, np.roll(corners, -1, axis=0), beyond, np.roll(beyond, -1), strict=True
    ):
        if a <= 0:
            kept.append(here)
        if (a <= 0) != (b <= 0):
            kept.append(here + (there - here) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)
