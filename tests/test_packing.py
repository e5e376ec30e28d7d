"""Packed constants are the density again, whatever the tiles they fall into."""

import numpy as np
import pytest

from gaussmix._core import dispatch, reference
from gaussmix._core.density import STRUCTURES, Density, factors_shape
from gaussmix._core.types import FloatArray, Rows, Structure

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("compiled_isa")]
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def density(structure: Structure, n_components: int, n_features: int) -> Density:
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.5, 2.0, size=factors_shape(structure, n_components, n_features))
    if structure in ("full", "tied"):
        factors = np.triu(factors)
    center, means = rng.normal(size=n_features), rng.normal(size=(n_components, n_features))
    return Density(structure, center, means, factors, rng.normal(size=n_components))


def log_density(X: Rows, constants: Density) -> tuple[FloatArray, FloatArray]:
    """What the build makes of it, and what the reference does."""
    shape = len(X), len(constants.means)
    found, true = np.empty(shape, X.dtype), np.empty(shape)
    dispatch.kernels(X).log_density(X, constants, found)
    reference.log_density(X.astype(np.float64), constants, true)
    return found.astype(np.float64), true


@pytest.mark.parametrize("n_components", [1, 2, 5, 6, 7, 11, 12, 13, 25])
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 6, 7, 13])
@each_structure
def test_tiles_of_every_size_give_the_density(
    structure: Structure, n_features: int, n_components: int
) -> None:
    X = np.random.default_rng(1).normal(size=(3, n_features))
    found, true = log_density(X, density(structure, n_components, n_features))
    assert np.allclose(found, true, rtol=1e-13, atol=1e-13)


@each_structure
def test_a_component_of_weight_zero_has_no_density(structure: Structure) -> None:
    constants = density(structure, 2, 3)
    constants.log_scales[1] = -np.inf
    for dtype in (np.float32, np.float64):
        found, true = log_density(np.ones((3, 3), dtype), constants)
        assert (found[:, 1] == -np.inf).all()
        assert np.allclose(found[:, 0], true[:, 0], rtol=1e-6)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_factors_whose_squares_leave_the_precision_are_not_squared(factor: float) -> None:
    constants = density("spherical", 2, 3)._replace(center=np.zeros(3), factors=np.full(2, factor))
    constants.means[:] /= factor
    X = (np.random.default_rng(1).normal(size=(5, 3)) / factor).astype(np.float32)
    found, true = log_density(X, constants)
    assert np.allclose(found, true, rtol=1e-5, atol=1e-5)


@each_structure
def test_a_centre_that_the_precision_has_not_is_made_up_for_by_the_means(
    structure: Structure,
) -> None:
    constants = density(structure, 2, 3)._replace(center=np.array([1e3 + 0.01, 1 / 3, 0.0]))
    X = (constants.center + np.random.default_rng(1).normal(size=(5, 3))).astype(np.float32)
    found, true = log_density(X, constants)
    assert np.allclose(found, true, rtol=3e-4, atol=3e-4)
