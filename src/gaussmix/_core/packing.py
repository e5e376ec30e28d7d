"""Density constants in the order in which the compiled tiles read them, packed once per pass."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import Density

Packed = NDArray[np.floating]


class PackedDensity(NamedTuple):
    """Arrays of the precision that a build computes in. Absent ones are empty."""

    center: Packed  # (D,)
    means: Packed  # (K, D + 1), relative to the centre; the last column is 0
    factors: Packed  # tile by tile, [j][i <= j][component] full, [j][component] diag
    offsets: Packed  # -U_k' means_k, tile by tile, [j][component]
    rotation: Packed  # the tied factor, [tile of columns][row][column], zeros in the last tile
    halves: Packed  # (K,), of which quadratic forms are taken: a common factor of theirs is in it
    log_scales: Packed  # (K,)


def pack(density: Density, widest: int, dtype: np.dtype) -> PackedDensity:
    """Pack a density for tiles of at most so many components."""
    n_components, n_features = density.means.shape
    center = density.center.astype(dtype)
    means = density.means + (density.center - center)
    factors, rotation = density.factors, np.empty(0)
    halves = np.full(n_components, 0.5)
    if density.structure == "full":
        row, column = triangle(n_features)
        offsets = (means[:, None, :] @ factors)[:, 0, :]
        factors = factors[:, row, column]
    elif density.structure == "tied":
        offsets = means @ factors
        rotation, factors = _by_columns(factors, widest), np.empty(0)
    elif density.structure == "spherical" and _squares_fit(factors, dtype):
        offsets = means
        halves, factors = halves * factors**2, np.empty(0)
    else:
        factors = np.broadcast_to(factors.reshape(n_components, -1), means.shape)
        offsets = means * factors
    arrays = (
        center,
        np.hstack([means, np.zeros((n_components, 1))]),
        _by_tile(factors, widest),
        _by_tile(-offsets, widest),
        rotation,
        halves,
        density.log_scales,
    )
    return PackedDensity(*(np.ascontiguousarray(array, dtype) for array in arrays))


def _squares_fit(factors: NDArray[np.float64], dtype: np.dtype) -> bool:
    """Whether neither squared factors nor squared distances of their order leave the precision."""
    limit = float(np.finfo(dtype).max) ** 0.25
    return bool((factors < limit).all() and (factors > 1 / limit).all())


@cache
def triangle(n_features: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows i and columns j of an upper triangle, column by column: for each j, the rows i <= j."""
    column, row = np.tril_indices(n_features)
    return row, column


def _by_tile(values: NDArray[np.float64], widest: int) -> NDArray[np.float64]:
    """(K, F) as the tiles' [F][component] one after another: as few tiles as can be, alike."""
    tiles, start = [values[:0].ravel()], 0
    while start < len(values):
        left = len(values) - start
        size = -(-left // -(-left // widest))
        tiles.append(values[start : start + size].T.ravel())
        start += size
    return np.concatenate(tiles)


def _by_columns(matrix: NDArray[np.float64], widest: int) -> NDArray[np.float64]:
    """(D, D) as [tile][row][column of the tile], with columns of zeros to fill the last one."""
    n_features = len(matrix)
    padded = np.pad(matrix, ((0, 0), (0, -n_features % widest)))
    return padded.reshape(n_features, -1, widest).transpose(1, 0, 2).ravel()
