"""Packed constants: read in the order of the tiles, they are the density again."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from gaussmix._core import reference
from gaussmix._core.constants import STRUCTURES, Density, Structure, factors_shape
from gaussmix._core.packing import Packed, PackedDensity, pack

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
# Fewer components than a tile holds, as many, and more with every remainder.
each_size = pytest.mark.parametrize(
    ("n_components", "n_features", "tile"),
    [(1, 1, 6), (2, 3, 6), (6, 2, 6), (7, 3, 6), (13, 4, 6), (5, 5, 4), (8, 2, 4), (3, 3, 1)],
)


def density(structure: Structure, n_components: int, n_features: int) -> Density:
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.5, 2.0, size=factors_shape(structure, n_components, n_features))
    if structure in ("full", "tied"):
        factors = np.triu(factors)
    center, means = rng.normal(size=n_features), rng.normal(size=(n_components, n_features))
    return Density(structure, center, means, factors, rng.normal(size=n_components))


def tiled(flat: Packed, n_components: int, widest: int) -> Iterator[Packed]:
    """The rows of each component, (F,), from [tile][F][component of the tile]."""
    n_values, start, left = len(flat) // n_components, 0, n_components
    for n_tiles in range(math.ceil(n_components / widest), 0, -1):
        size = math.ceil(left / n_tiles)
        yield from flat[start : start + size * n_values].reshape(n_values, size).T
        start, left = start + size * n_values, left - size
    assert start == len(flat)


def log_density(z: Packed, packed: PackedDensity, structure: Structure, widest: int) -> Packed:
    """log_scale_k - half_k sum_j (sum_{i<=j} U_k[i, j] z_i + b_kj)^2 of a centred row z, (K,)."""
    n_components = len(packed.log_scales)
    if structure == "tied":
        tiles = packed.rotation.reshape(-1, len(z), widest)
        z = np.concatenate([z @ tile for tile in tiles])[: len(z)]
    out = packed.log_scales.copy()
    ones = np.ones(n_components * len(z))
    factors = tiled(packed.factors if len(packed.factors) else ones, n_components, widest)
    offsets = tiled(packed.offsets, n_components, widest)
    for k, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
        values = iter(factor)
        for j in range(len(z)):
            first = 0 if structure == "full" else j
            y = sum(next(values) * z[i] for i in range(first, j + 1)) + offset[j]
            out[k] -= packed.halves[k] * y * y
        assert next(values, None) is None
    return out


@each_size
@each_structure
def test_packed_constants_give_the_density(
    structure: Structure, n_components: int, n_features: int, tile: int
) -> None:
    constants = density(structure, n_components, n_features)
    X = np.random.default_rng(1).normal(size=(3, n_features))
    expected = np.empty((3, n_components))
    reference.log_density(X, constants, expected)
    packed = pack(constants, tile, np.dtype(np.float64))
    for row, want in zip(X - constants.center, expected, strict=True):
        assert np.allclose(log_density(row, packed, structure, tile), want, rtol=1e-13, atol=1e-13)


@each_size
@each_structure
def test_means_are_followed_by_the_zero_that_the_feature_of_ones_has(
    structure: Structure, n_components: int, n_features: int, tile: int
) -> None:
    constants = density(structure, n_components, n_features)
    packed = pack(constants, tile, np.dtype(np.float64))
    assert np.array_equal(packed.means[:, :-1], constants.means)
    assert not packed.means[:, -1].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_structure
def test_all_arrays_are_contiguous_and_of_the_precision_of_the_build(
    structure: Structure, dtype: type[np.floating]
) -> None:
    packed = pack(density(structure, 7, 3), 6, np.dtype(dtype))
    for array in packed:
        assert array.dtype == dtype
        assert array.flags.c_contiguous
    assert packed.factors.shape == ({"full": 7 * 6, "diag": 7 * 3}.get(structure, 0),)
    assert packed.offsets.shape == (7 * 3,)
    assert packed.rotation.shape == ((3 * 6,) if structure == "tied" else (0,))


@each_structure
def test_a_component_of_weight_zero_keeps_its_log_scale(structure: Structure) -> None:
    constants = density(structure, 2, 3)
    constants.log_scales[1] = -np.inf
    for dtype in (np.float32, np.float64):
        assert pack(constants, 6, np.dtype(dtype)).log_scales[1] == -np.inf


@pytest.mark.parametrize("factor", [1e30, 1e-30, 0.0])
def test_factors_whose_squares_leave_the_precision_are_not_squared(factor: float) -> None:
    constants = density("spherical", 2, 3)
    assert pack(constants, 6, np.dtype(np.float32)).factors.shape == (0,)
    constants.factors[1] = factor
    packed = pack(constants, 6, np.dtype(np.float32))
    assert np.array_equal(packed.factors, np.tile(constants.factors.astype(np.float32), 3))
    assert np.array_equal(packed.halves, np.full(2, 0.5, np.float32))


@each_structure
def test_a_centre_that_the_precision_has_not_is_made_up_for_by_the_means(
    structure: Structure,
) -> None:
    constants = density(structure, 2, 3)._replace(center=np.array([1e6 + 0.01, 1 / 3, 0.0]))
    packed = pack(constants, 6, np.dtype(np.float32))
    assert np.allclose(
        packed.center.astype(np.float64) + packed.means[:, :-1],
        constants.center + constants.means,
        rtol=1e-7,
        atol=1e-7,
    )
    assert packed.center[0] != constants.center[0]
