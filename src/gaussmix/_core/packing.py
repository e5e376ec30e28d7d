"""Density constants in the order in which the compiled tiles read them, packed once per pass."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import Density

Packed = NDArray[np.floating]


class PackedDensity(NamedTuple):
    """Arrays of the precision that a build computes in. Absent ones are empty."""

    means: Packed  # (K, D + 1), relative to the centre; the last column is 0
    factors: Packed  # tile by tile, [j][i <= j][component] full, [j][component] otherwise
    offsets: Packed  # U_k' means_k, tile by tile, [j][component]
    rotation: Packed  # (D, D), the tied factor
    log_scales: Packed  # (K,)


def pack(density: Density, tile: int, dtype: np.dtype) -> PackedDensity:
    """Pack a density for tiles of so many components (the last tile may have fewer)."""
    n_components, n_features = density.means.shape
    rotation = density.factors if density.structure == "tied" else np.empty(0)
    if density.structure == "full":
        row, column = triangle(n_features)
        factors = density.factors[:, row, column]
        offsets = (density.means[:, None, :] @ density.factors)[:, 0, :]
    elif density.structure == "tied":
        factors = np.ones((n_components, n_features))
        offsets = density.means @ density.factors
    else:
        per_component = density.factors.reshape(n_components, -1)  # one number if spherical
        factors = np.broadcast_to(per_component, (n_components, n_features))
        offsets = density.means * factors
    arrays = (
        np.hstack([density.means, np.zeros((n_components, 1))]),
        _by_tile(factors, tile),
        _by_tile(offsets, tile),
        rotation,
        density.log_scales,
    )
    return PackedDensity(*(np.ascontiguousarray(array, dtype) for array in arrays))


@cache
def triangle(n_features: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows i and columns j of an upper triangle, column by column: for each j, the rows i <= j."""
    column, row = np.tril_indices(n_features)
    return row, column


def _by_tile(values: NDArray[np.float64], tile: int) -> NDArray[np.float64]:
    """(K, F) as the tiles' [F][component] one after another."""
    starts = range(0, len(values), tile)
    return np.concatenate([values[k : k + tile].T.ravel() for k in starts])
