"""Short runs side by side: the best start wins, and nobody wins by a needle."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.subsample import Sample
from gaussmix.em.trials import Round, best_trials, n_spurious
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect

CENTERS = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 4.0], [0.0, 9.0, -4.0]])


def around(means: FloatArray, variance: float = 1.0) -> Parameters:
    covariances = np.stack([variance * np.eye(3)] * len(means))
    return Parameters.from_covariances(
        "full", np.full(len(means), 1 / len(means)), means, covariances
    )


def lower_bound(X: FloatArray, parameters: Parameters) -> float:
    return collect(X, None, parameters).mean_log_likelihood


def mixture(covariances: NDArray[np.float64], weights: list[float]) -> Parameters:
    means = np.zeros(covariances.shape[:2])
    return Parameters.from_covariances("full", np.array(weights), means, covariances)


def test_the_best_start_wins(blobs: NDArray[np.float64]) -> None:
    starts = [
        around(CENTERS[[0, 0, 1]]),  # components that are equal stay equal
        around(CENTERS + 1),
        around(CENTERS[[2, 2, 2]]),
    ]
    rounds = [Round(2, 2), Round(10, 1)]
    (best,) = best_trials(Sample(blobs, None), iter(starts), rounds, reg_covar=0.0, n_threads=1)
    assert best.number == 1
    assert best.n_spurious == 0
    assert np.allclose(best.parameters.means, CENTERS, atol=0.1)
    assert best.lower_bound == pytest.approx(lower_bound(blobs, best.parameters), abs=1e-9)


def test_rounds_go_on_where_the_last_ended(blobs: NDArray[np.float64]) -> None:
    X = blobs[:300]
    starts = [around(CENTERS + shift, 9.0) for shift in (1, 2)]
    once = best_trials(Sample(X, None), starts, [Round(5, 2)], reg_covar=0.0, n_threads=1)
    twice = best_trials(
        Sample(X, None), starts, [Round(2, 2), Round(3, 2)], reg_covar=0.0, n_threads=1
    )
    for one, other in zip(once, twice, strict=True):
        assert one.number == other.number
        assert np.allclose(one.parameters.means, other.parameters.means, rtol=1e-12)


def test_of_runs_that_meet_the_first_wins(blobs: NDArray[np.float64]) -> None:
    orders = ([2, 1, 0], [0, 1, 2], [1, 0, 2])
    starts = [around(CENTERS[order]) for order in orders]
    found = best_trials(Sample(blobs, None), starts, [Round(50, 3)], reg_covar=0.0, n_threads=1)
    assert [trial.number for trial in found] == [0, 1, 2]


def test_a_needle_does_not_win() -> None:
    """Equal rows make a component whose likelihood has no bound."""
    rng = np.random.default_rng(0)
    X = np.concatenate(
        [rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 6, np.full((20, 3), 3.0)]
    )
    needle = mixture(np.stack([10 * np.eye(3), 1e-3 * np.eye(3)]), [0.9, 0.1])
    needle = Parameters.from_covariances(
        "full", needle.weights, np.array([[3.0] * 3, [3.0] * 3]), needle.covariances
    )
    sound = around(np.array([[0.0] * 3, [6.0] * 3]))
    first, second = best_trials(
        Sample(X, None), [needle, sound], [Round(10, 2)], reg_covar=1e-9, n_threads=1
    )
    assert second.lower_bound > first.lower_bound
    assert (first.number, first.n_spurious) == (1, 0)
    assert second.n_spurious == 1


def test_too_few_rows_are_spurious() -> None:
    parameters = mixture(np.stack([np.eye(2)] * 3), [0.5, 0.45, 0.05])
    assert parameters.structure.fewest_rows(2) == 6
    assert n_spurious(parameters, 121) == 0
    assert n_spurious(parameters, 119) == 1
    assert n_spurious(parameters, 12) == 2


def test_thin_and_collapsed_components_are_spurious() -> None:
    thin = mixture(np.stack([np.eye(2), np.diag([1.0, 1e-7]), 5 * np.eye(2)]), [0.3, 0.3, 0.4])
    assert n_spurious(thin, 1000) == 1
    assert n_spurious(thin, 1000, (0, 1)) == 2
    small = mixture(np.stack([np.eye(2), 1e-3 * np.eye(2)]), [0.5, 0.5])
    assert n_spurious(small, 1000) == 0


def test_units_and_rotation_do_not_matter() -> None:
    turn = np.random.default_rng(1).normal(size=(2, 2)) * [[1e-6], [1e6]]
    covariances = np.stack([np.eye(2), np.diag([1.0, 3e-6]), np.diag([1e-3, 5.0])])
    weights = [0.3, 0.3, 0.4]
    turned = mixture(turn @ covariances @ turn.T, weights)
    assert n_spurious(mixture(covariances, weights), 1000) == n_spurious(turned, 1000) == 1


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_is_judged(structure: Structure) -> None:
    shapes = {"full": (2, 2, 2), "tied": (2, 2), "diag": (2, 2), "spherical": (2,)}
    covariances = np.broadcast_to(
        np.eye(2) if structure in ("full", "tied") else 1.0, shapes[structure]
    )
    parameters = Parameters.from_covariances(
        structure, np.array([0.99, 0.01]), np.zeros((2, 2)), covariances.copy()
    )
    assert n_spurious(parameters, 1000) == 0
    assert n_spurious(parameters, 100) == (0 if structure == "tied" else 1)


@pytest.mark.parametrize("structure", ["diag", "spherical", "tied"])
def test_a_structure_is_judged_as_its_matrices_are(structure: Structure) -> None:
    rng = np.random.default_rng(0)
    shape = {"diag": (4, 3), "spherical": (4,), "tied": (3, 3)}[structure]
    spread = (
        np.diag([1.0, 1e-8, 1e3]) if structure == "tied" else 10.0 ** -rng.integers(0, 9, shape)
    )
    weights, means = np.array([0.4, 0.3, 0.2, 0.1]), np.zeros((4, 3))
    mixture = Parameters.from_covariances(structure, weights, means, spread)
    full = Parameters.from_covariances("full", weights, means, mixture.full_covariances())
    for n_rows in (1000, 10**6):
        expected = n_spurious(full, n_rows)
        assert n_spurious(mixture, n_rows) == expected
    assert expected == (0 if structure == "tied" else expected) < 4


def test_variances_that_are_zero_everywhere_are_all_spurious() -> None:
    means, ones = np.zeros((2, 2)), np.ones((2, 2))
    flat = Parameters(structure_of("diag"), np.full(2, 0.5), means, ones * [1.0, 0.0], ones)
    assert n_spurious(flat, 1000) == 2
