"""Parameters: factors, precisions and densities against NumPy and SciPy."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES, factors_shape
from gaussmix._core.types import FloatArray, Structure
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect

WEIGHTS = np.array([0.2, 0.3, 0.5])
MEANS = np.random.default_rng(0).normal(size=(3, 4))

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def covariances(structure: Structure) -> FloatArray:
    rng = np.random.default_rng(1)
    shape = factors_shape(structure, 3, 4)
    if structure in ("diag", "spherical"):
        return rng.uniform(0.1, 10, size=shape)
    root = rng.normal(size=shape)
    return root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(4)


def parameters(structure: Structure) -> Parameters:
    return Parameters.from_covariances(structure, WEIGHTS, MEANS, covariances(structure))


def as_matrices(structure: Structure, values: FloatArray) -> FloatArray:
    """Variances or matrices of any structure as matrices (K, D, D)."""
    if structure == "spherical":
        values = np.repeat(values[:, None], 4, axis=1)
    if structure in ("diag", "spherical"):
        return np.stack([np.diag(row) for row in values])
    return np.broadcast_to(values, (3, 4, 4))


@each_structure
def test_factors_are_upper_and_multiply_to_the_inverse(structure: Structure) -> None:
    mixture = parameters(structure)
    inverses = np.linalg.inv(as_matrices(structure, covariances(structure)))
    factors = as_matrices(structure, mixture.precisions_cholesky)
    assert np.array_equal(factors, np.triu(factors))
    assert np.allclose(factors @ factors.transpose(0, 2, 1), inverses, rtol=1e-10, atol=1e-12)
    assert np.allclose(as_matrices(structure, mixture.precisions), inverses, rtol=1e-10, atol=1e-12)


@each_structure
def test_precisions_and_covariances_lead_to_the_same(structure: Structure) -> None:
    one = parameters(structure)
    other = Parameters.from_precisions(structure, WEIGHTS, MEANS, one.precisions)
    assert np.allclose(other.covariances, one.covariances, rtol=1e-10)
    assert np.allclose(other.precisions_cholesky, one.precisions_cholesky, rtol=1e-10, atol=1e-12)


@each_structure
def test_full_covariances(structure: Structure) -> None:
    expected = as_matrices(structure, covariances(structure))
    assert np.array_equal(parameters(structure).full_covariances(), expected)


@each_structure
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_density_is_that_of_scipy(structure: Structure, offset: float) -> None:
    X = np.random.default_rng(2).normal(size=(20, 4))
    moved = Parameters.from_covariances(structure, WEIGHTS, MEANS + offset, covariances(structure))
    log_density = np.empty((20, 3))
    dispatch.kernels(X).log_density(X + offset, moved.density(), log_density)
    for k, matrix in enumerate(as_matrices(structure, covariances(structure))):
        expected = np.log(WEIGHTS[k]) + multivariate_normal(MEANS[k], matrix).logpdf(X)
        assert np.allclose(log_density[:, k], expected, rtol=1e-8 if offset else 1e-12)


@each_structure
@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan])
def test_a_matrix_without_a_factor_is_named(structure: Structure, bad: float) -> None:
    matrices = covariances(structure)
    if structure == "tied":
        matrices[0] = matrices[:, 0] = bad
    else:
        matrices[1] = bad
    owner = "the tied matrix" if structure == "tied" else "the matrix of component 1"
    for build in (Parameters.from_covariances, Parameters.from_precisions):
        with pytest.raises(NotPositiveDefiniteError, match=owner) as caught:
            build(structure, WEIGHTS, MEANS, matrices)
        assert caught.value.component == (None if structure == "tied" else 1)


@pytest.mark.parametrize(
    ("structure", "expected"), [("full", 44), ("tied", 24), ("diag", 26), ("spherical", 17)]
)
def test_free_parameters(structure: Structure, expected: int) -> None:
    assert parameters(structure).n_free() == expected  # K = 3, D = 4: 12 means, 2 weights


def test_a_weight_of_zero_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        density = Parameters.from_covariances(
            "full", np.array([0.0, 0.5, 0.5]), MEANS, covariances("full")
        ).density()
    assert density.log_scales[0] == -np.inf
    assert np.isfinite(density.log_scales[1:]).all()


def unaligned(array: FloatArray) -> FloatArray:
    """The same numbers, one byte off where they should lie."""
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    moved: FloatArray = buffer[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


@each_structure
def test_arrays_that_another_process_sent_may_lie_anywhere(structure: Structure) -> None:
    given = parameters(structure)
    arrays = given.weights, given.means, given.covariances, given.precisions_cholesky
    weights, means, covariances, factors = (unaligned(array) for array in arrays)
    sent = Parameters(given.structure, weights, means, covariances, factors)
    for found_array, wanted_array in zip(sent.density()[:5], given.density()[:5], strict=True):
        assert np.array_equal(found_array, wanted_array)
    factors = given.structure.precision_factors(sent.covariances)
    assert np.array_equal(factors, given.structure.precision_factors(given.covariances))
    rows = np.random.default_rng(0).normal(size=(50, 4))
    statistics = collect(rows, None, given)
    moved = replace(
        statistics,
        shift=unaligned(statistics.shift),
        n_k=unaligned(statistics.n_k),
        first=unaligned(statistics.first),
        second=unaligned(statistics.second),
    )
    (found, _), (wanted, _) = m_step(moved, 0.1), m_step(statistics, 0.1)
    assert np.array_equal(found.covariances, wanted.covariances)
