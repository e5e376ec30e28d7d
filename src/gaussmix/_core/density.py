"""The numbers a pass over the data needs to know of a mixture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussmix._core.types import FloatArray, Structure

LOG_LOWEST: dict[np.dtype[np.floating], float] = {
    np.dtype(np.float64): -1e300,
    np.dtype(np.float32): -1e35,
}
"""Log-densities are kept above this, in each precision, where they are compared or added up. So a
row that is impossible under every component belongs to all equally, and a block's sum is finite."""

GROUP_ROWS = 1024
"""Kernels add up groups of this many rows, and then the groups in order. So parts of data that
are whole groups, given to them one after the other, lead to the bits of the whole."""

WINDOW_BYTES, WINDOW_GROUPS = 1 << 22, 64
"""Rows that may lack values are taken in windows: of these, rows that lack the same are gathered. A
window is of so many bytes of float64, and of so many groups, at most."""

EPS = float(np.finfo(np.float64).eps)
LOG_2_PI = float(np.log(2 * np.pi))

EMPTY = 1e-10
"""A component with less than this part of one row has no rows: 10 eps would show in its mean."""

LEAST_WEIGHT = float(np.finfo(np.float64).tiny)
"""An expected weight is no less: sticks far down the process have next to nothing."""

PIVOT_NOISE = 1e-14
"""Moments of 1e6 rows in 100 dimensions carry a relative rounding error of a few 1e-15."""

RESOLUTION = 16 * EPS
"""A distance below this part of a coordinate, or of the data's spread, is rounding error."""

STRUCTURES: tuple[Structure, ...] = ("full", "tied", "diag", "spherical")


class Density(NamedTuple):
    """Constants of K weighted Gaussian log-densities in D dimensions.

    With z = x - center, the log-density of component k at a row x is
    log_scales[k] - 0.5 * |U[k]' (z - means[k])|^2.

    Rows are centred first, so that data far from the origin loses no digits.
    All arrays are float64 and C-contiguous; centre and means hold values of the rows' dtype.
    """

    structure: Structure
    center: FloatArray  # (D,), subtracted from every row
    means: FloatArray  # (K, D), relative to the centre
    factors: FloatArray
    """Upper factors U of the precisions, P = U U': full (K, D, D), tied (D, D), diag (K, D),
    spherical (K,)."""
    log_scales: FloatArray  # (K,), log weight_k + log det U_k - D/2 log 2 pi
    log_noise: float | None = None
    """Weighted log-density of the noise, the same at every row; None if there is none."""
    gaps: bool = False
    """Whether rows, of float64, may lack values, which are NaN. The density of such a row is the
    marginal one of the values that it has."""

    @property
    def n_terms(self) -> int:
        """T, the terms of the log-sum-exp: the components, and the noise if there is any."""
        return len(self.means) + (self.log_noise is not None)

    def of(self, components: NDArray[np.integer]) -> "Density":
        """Return the constants of some components."""
        shared = self.structure == "tied"
        return self._replace(
            means=self.means[components],
            factors=self.factors if shared else self.factors[components],
            log_scales=self.log_scales[components],
        )


def window_groups(n_features: int) -> int:
    """Return the groups of a window, a power of two: so blocks of a file are whole windows."""
    fitting = WINDOW_BYTES // (8 * n_features * GROUP_ROWS)
    return 1 << (min(max(fitting, 1), WINDOW_GROUPS).bit_length() - 1)


def rounded(values: FloatArray, dtype: DTypeLike) -> FloatArray:
    """Return numbers as they are in another precision, as a C-contiguous float64 array."""
    return values.astype(dtype, copy=False).astype(np.float64, order="C", copy=False)


def nearest_density(centers: FloatArray, dtype: DTypeLike = np.float64) -> Density:
    """Constants that make the most probable component the nearest of the centres (K, D).

    The data's centre and the centred means are rounded to the rows' dtype, so that sums of
    deviations from them are from what the kernel really subtracted.
    """
    # Near the data, so that an offset costs no digits; added one by one, as the kernels do.
    n_clusters = len(centers)
    center = rounded(centers.cumsum(axis=0)[-1] / n_clusters, dtype)
    means = rounded(centers - center, dtype)
    return Density("spherical", center, means, np.ones(n_clusters), np.zeros(n_clusters))


def factors_shape(structure: Structure, n_components: int, n_features: int) -> tuple[int, ...]:
    """Shape of covariances, precisions, factors and second moments under a structure."""
    if structure == "full":
        return n_components, n_features, n_features
    if structure == "tied":
        return n_features, n_features
    return (n_components, n_features) if structure == "diag" else (n_components,)
