"""Unconstrained coordinates: round trips, and the metric that they promise."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import cholesky, sqrtm

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.em.coordinates import Chart
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect

SIZES = [(1, 1), (1, 3), (3, 1), (4, 5)]


def random_parameters(structure: Structure, k: int, d: int, seed: int) -> Parameters:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d + 2)) * rng.uniform(0.1, 10, size=(k, d, 1))
    matrices = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2).copy(),
        "spherical": matrices[:, 0, 0].copy(),
    }[structure]
    weights = rng.dirichlet(np.ones(k))
    return Parameters.from_covariances(structure, weights, 5 * rng.normal(size=(k, d)), covariances)


def assert_same(found: Parameters, wanted: Parameters) -> None:
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-12)
    np.testing.assert_allclose(found.means, wanted.means, rtol=0, atol=1e-11)
    scale = np.abs(wanted.covariances).max()
    np.testing.assert_allclose(
        found.covariances, wanted.covariances, rtol=1e-10, atol=1e-12 * scale
    )
    scale = np.abs(wanted.precisions_cholesky).max()
    np.testing.assert_allclose(
        found.precisions_cholesky, wanted.precisions_cholesky, rtol=1e-10, atol=1e-12 * scale
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_round_trip(structure: Structure, size: tuple[int, int]) -> None:
    chart = Chart(random_parameters(structure, *size, seed=0))
    there = random_parameters(structure, *size, seed=1)
    assert_same(chart.parameters(chart.coordinates(there)), there)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_reference_lies_at_zero(structure: Structure) -> None:
    reference = random_parameters(structure, 3, 2, seed=0)
    chart = Chart(reference)
    np.testing.assert_allclose(chart.coordinates(reference), 0, atol=1e-14)
    assert_same(chart.parameters(np.zeros_like(chart.coordinates(reference))), reference)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_vector_is_a_mixture(structure: Structure) -> None:
    chart = Chart(random_parameters(structure, 3, 4, seed=0))
    n_coordinates = len(chart.coordinates(chart.reference))
    for seed in range(5):
        vector = np.random.default_rng(seed).normal(size=n_coordinates)
        parameters = chart.parameters(vector)
        assert (parameters.weights > 0).all()
        assert abs(parameters.weights.sum() - 1) < 1e-14
        for covariance in parameters.full_covariances():
            cholesky(covariance)  # raises if it is not positive definite


@pytest.mark.parametrize("structure", STRUCTURES)
def test_one_number_for_each_free_parameter_and_one_for_the_scale_of_weights(
    structure: Structure,
) -> None:
    reference = random_parameters(structure, 3, 4, seed=0)
    assert len(Chart(reference).coordinates(reference)) == reference.n_free() + 1


def divergence(image: Parameters, point: Parameters) -> float:
    """Kullback-Leibler divergence of the joint densities of row and component, by its formula."""
    total = 0.0
    pairs = zip(image.full_covariances(), point.full_covariances(), strict=True)
    for k, (new, old) in enumerate(pairs):
        step = image.means[k] - point.means[k]
        inverse = np.linalg.inv(old)
        gaussian = np.trace(inverse @ new) - len(step) + step @ inverse @ step
        gaussian -= np.linalg.slogdet(new)[1] - np.linalg.slogdet(old)[1]
        ratio = np.log(image.weights[k] / point.weights[k])
        total += image.weights[k] * (ratio + 0.5 * gaussian)
    return total


@pytest.mark.parametrize("structure", STRUCTURES)
def test_squared_length_is_twice_the_divergence_of_near_mixtures(structure: Structure) -> None:
    chart = Chart(random_parameters(structure, 3, 4, seed=0))
    vector = np.random.default_rng(1).normal(size=len(chart.coordinates(chart.reference)))
    vector[:3] -= np.sqrt(chart.reference.weights) * (np.sqrt(chart.reference.weights) @ vector[:3])
    near = chart.parameters(1e-4 * vector)
    assert abs(divergence(near, chart.reference) / (0.5e-8 * vector @ vector) - 1) < 1e-3


@pytest.mark.parametrize("structure", STRUCTURES)
def test_an_em_step_is_the_gradient(structure: Structure, blobs: NDArray[np.float64]) -> None:
    X = blobs[:300]
    start = random_parameters(structure, 2, 3, seed=2)
    point, _ = m_step(collect(X, None, start), 0.0)
    for _ in range(30):  # near a maximum, where steps are short
        point, _ = m_step(collect(X, None, point), 0.0)
    chart = Chart(point)
    step = chart.coordinates(m_step(collect(X, None, point), 0.0)[0])
    n_coordinates, h = len(step), 1e-5
    gradient = np.empty(n_coordinates)
    for i, direction in enumerate(np.eye(n_coordinates)):
        ends = [chart.parameters(sign * h * direction) for sign in (1, -1)]
        up, down = (collect(X, None, end).mean_log_likelihood for end in ends)
        gradient[i] = (up - down) / (2 * h)
    np.testing.assert_allclose(step, gradient, atol=2 * float(step @ step) + 1e-8)


def transformed(parameters: Parameters, matrix: FloatArray, shift: FloatArray) -> Parameters:
    """The mixture of rows x A' + b."""
    covariances = matrix @ parameters.covariances @ matrix.T
    means = parameters.means @ matrix.T + shift
    return Parameters.from_covariances(parameters.structure, parameters.weights, means, covariances)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_lengths_do_not_depend_on_units_and_orientation(structure: Structure) -> None:
    rng = np.random.default_rng(3)
    reference = random_parameters(structure, 3, 4, seed=0)
    chart = Chart(reference)
    near = chart.parameters(1e-5 * rng.normal(size=len(chart.coordinates(reference))))
    matrix, shift = rng.normal(size=(4, 4)) + 2 * np.eye(4), rng.normal(size=4)
    length = np.linalg.norm(chart.coordinates(near))
    other = Chart(transformed(reference, matrix, shift))
    moved = np.linalg.norm(other.coordinates(transformed(near, matrix, shift)))
    assert abs(moved / length - 1) < 1e-4


def test_largest_change_is_in_standard_deviations_and_log_ratios() -> None:
    covariance = np.array([[4.0, 1.2], [1.2, 9.0]])
    means = np.array([[0.0, 0.0], [1.0, 1.0]])
    weights = np.array([0.2, 0.8])
    reference = Parameters.from_covariances("tied", weights, means, covariance)
    chart = Chart(reference)
    moved_means = means.copy()
    moved_means[0] += 3 * sqrtm(covariance)[0]
    moved = Parameters.from_covariances("tied", weights, moved_means, covariance)
    step = chart.coordinates(moved) / np.sqrt(0.2)
    assert abs(np.linalg.norm(step) - 3) < 1e-12
    assert abs(chart.largest_change(chart.coordinates(moved)) - np.abs(step).max()) < 1e-12
    heavier = Parameters.from_covariances("tied", np.array([0.4, 0.6]), means, covariance)
    assert abs(chart.largest_change(chart.coordinates(heavier)) - np.log(2)) < 1e-12
