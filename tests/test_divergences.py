"""Distances between components against formulas with inverses, integrals and bounds."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.model.parameters import Parameters
from gaussmix.queries.divergences import DISTANCES, bhattacharyya, hellinger, kullback_leibler

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def mixture(structure: Structure, n_features: int = 3) -> Parameters:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, n_features, n_features))
    matrices = root @ np.swapaxes(root, 1, 2) + 0.2 * np.eye(n_features)
    variances = np.diagonal(matrices, axis1=1, axis2=2).copy()
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    weights, means = np.full(4, 0.25), rng.normal(size=(4, n_features))
    return Parameters.from_covariances(structure, weights, means, covariances[structure])


def textbook(parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """KL and Bhattacharyya's distance as they are usually written."""
    means, covs = parameters.means, parameters.full_covariances()
    kl, overlap = np.empty((4, 4)), np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            d, precision = means[i] - means[j], np.linalg.inv(covs[j])
            middle = (covs[i] + covs[j]) / 2
            log_dets = [np.linalg.slogdet(c)[1] for c in (covs[i], covs[j], middle)]
            trace = np.trace(precision @ covs[i]) - len(d)
            kl[i, j] = 0.5 * (trace + d @ precision @ d + log_dets[1] - log_dets[0])
            overlap[i, j] = (
                d @ np.linalg.inv(middle) @ d / 8
                + 0.5 * log_dets[2]
                - 0.25 * (log_dets[0] + log_dets[1])
            )
    return kl, overlap


@each_structure
def test_they_are_the_textbook_formulas(structure: Structure) -> None:
    parameters = mixture(structure)
    kl, overlap = textbook(parameters)
    np.testing.assert_allclose(kullback_leibler(parameters), kl, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(bhattacharyya(parameters), overlap, rtol=1e-10, atol=1e-13)
    expected = np.sqrt(1 - np.exp(-overlap.clip(0)))
    np.testing.assert_allclose(hellinger(parameters), expected, rtol=1e-10, atol=1e-7)


@each_structure
def test_a_component_is_at_no_distance_from_itself(structure: Structure) -> None:
    for name, distance in DISTANCES.items():
        distances = distance(mixture(structure))
        assert (np.diagonal(distances) == 0).all(), name
        off_diagonal = distances[~np.eye(4, dtype=bool)]
        assert (off_diagonal > 0).all(), name
        assert np.array_equal(distances, distances.T) == (name != "kl" or structure == "tied"), name


def test_they_are_the_integrals() -> None:
    first, second = norm(0.0, 1.0), norm(1.5, 0.5)
    parameters = Parameters.from_covariances(
        "spherical", np.array([0.5, 0.5]), np.array([[0.0], [1.5]]), np.array([1.0, 0.25])
    )
    kl = quad(lambda x: first.pdf(x) * (first.logpdf(x) - second.logpdf(x)), -12, 12)[0]
    overlap = quad(lambda x: np.sqrt(first.pdf(x) * second.pdf(x)), -12, 12)[0]
    assert kullback_leibler(parameters)[0, 1] == pytest.approx(kl, rel=1e-9)
    assert bhattacharyya(parameters)[0, 1] == pytest.approx(-np.log(overlap), rel=1e-9)
    assert hellinger(parameters)[0, 1] == pytest.approx(np.sqrt(1 - overlap), rel=1e-9)


def test_near_twins_keep_their_digits() -> None:
    step = 2.0**-30
    parameters = Parameters.from_covariances(
        "full",
        np.array([0.5, 0.5]),
        np.array([[0.0, 1.0], [step, 1.0]]),
        np.array([np.eye(2), np.eye(2)]),
    )
    assert kullback_leibler(parameters)[0, 1] == pytest.approx(step**2 / 2, rel=1e-12)
    assert bhattacharyya(parameters)[0, 1] == pytest.approx(step**2 / 8, rel=1e-12)
    assert hellinger(parameters)[0, 1] == pytest.approx(step / np.sqrt(8), rel=1e-12)


def test_far_apart_they_stay_finite() -> None:
    parameters = Parameters.from_covariances(
        "diag",
        np.array([0.5, 0.5]),
        np.array([[0.0, 0.0], [1e100, 0.0]]),
        np.array([[1e-20, 1.0], [1e20, 1e-20]]),
    )
    for name, distance in DISTANCES.items():
        assert np.isfinite(distance(parameters)).all(), name
    assert hellinger(parameters)[0, 1] == 1


@each_structure
def test_they_do_not_depend_on_the_units(structure: Structure) -> None:
    parameters = mixture(structure)
    scaled = Parameters.from_covariances(
        structure, parameters.weights, parameters.means * 1e5, parameters.covariances * 1e10
    )
    for name, distance in DISTANCES.items():
        np.testing.assert_allclose(
            distance(scaled), distance(parameters), rtol=1e-9, atol=1e-12, err_msg=name
        )
