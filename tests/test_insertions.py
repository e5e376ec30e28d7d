"""A component for rows that a mixture does not cover, two others made one."""

from typing import Any

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.subsample import Sample
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters
from gaussmix.starts.budget import Work
from gaussmix.starts.insertions import inserted
from gaussmix.starts.race import Race, Run

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def tiny_group(n_features: int = 2) -> FloatArray:
    """Two large groups, and one of 20 rows that lie where those have hardly any: the last."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(2000, n_features))
    rows[1000:, 0] += 3.5
    small = 0.15 * rng.normal(size=(20, n_features)) + np.r_[1.7, 3.4, np.zeros(n_features - 2)]
    return np.concatenate([rows, small])


def without_it(X: FloatArray, structure: Structure = "full", **fitted: Any) -> Parameters:
    """Three components of the two large groups: the second one twice."""
    groups = [X[:1000], X[1000:1500], X[1500:2000]]
    means = np.array([group.mean(axis=0) for group in groups])
    covariance = np.cov((X[:1000] - means[0]).T)
    form = structure_of(structure)
    weights = np.array([0.5, 0.25, 0.25])
    return Parameters.from_covariances(form, weights, means, form.alike(covariance, 3))


def after_insertion(
    X: Any, parameters: Parameters, weight: FloatArray | None = None
) -> Parameters | None:
    structure, k = parameters.structure, parameters.n_components
    race = Race(Sample(X, weight), structure, k, 1e-6, np.random.RandomState(0), 1, Work(np.inf))
    before = race.work.done
    start = inserted(race, Run("given", parameters, 1e-6))
    assert race.work.done > before
    return start


@each_structure
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_component_begins_where_the_rows_are(structure: Structure, dtype: type) -> None:
    X = tiny_group()
    start = after_insertion(X.astype(dtype), without_it(X, structure))
    assert start is not None
    last = start.means[2]  # of the pair that became one, the second
    assert np.abs(last - [1.7, 3.4]).max() < 0.5
    assert start.weights[2] < 0.03
    assert start.weights.sum() == pytest.approx(1)
    assert np.allclose(start.means[1], X[1000:2000].mean(axis=0), atol=1e-6)


def test_it_is_the_same_after_a_linear_map() -> None:
    X = tiny_group(3)
    turn = np.random.default_rng(0).normal(size=(3, 3))
    mapped = np.ascontiguousarray(X @ turn + 7.0)
    one, other = (after_insertion(rows, without_it(rows)) for rows in (X, mapped))
    assert one is not None
    assert other is not None
    assert np.allclose(one.means @ turn + 7.0, other.means)
    assert np.allclose(turn.T @ one.full_covariances() @ turn, other.full_covariances())


def test_a_weight_of_two_counts_as_two_rows() -> None:
    X, wanted = tiny_group(), []
    for repeats in (1, 3):
        weight = np.full(len(X), float(repeats))
        start = after_insertion(X, without_it(X), weight)
        assert start is not None
        wanted.append(start)
    plain = after_insertion(X, without_it(X))
    assert plain is not None
    for start in wanted:
        assert np.allclose(start.means, plain.means)
        assert np.allclose(start.covariances, plain.covariances)
        assert np.allclose(start.weights, plain.weights)


def test_rows_of_more_weight_draw_the_component_to_them() -> None:
    X = np.concatenate([tiny_group(), tiny_group()[-20:] * [1.0, -1.0]])
    weight = np.ones(len(X))
    weight[-20:] = 3
    start = after_insertion(X, without_it(X), weight)
    assert start is not None
    assert start.means[2, 1] == pytest.approx(-3.4, abs=0.3)


def test_a_mixture_that_covers_all_rows_stays() -> None:
    rng = np.random.default_rng(1)
    centers = np.array([[0.0, 0], [9, 0], [0, 9]])
    X = np.repeat(centers, 300, axis=0) + rng.normal(size=(900, 2))
    weights, covariances = np.full(3, 1 / 3), np.repeat(np.eye(2)[None], 3, axis=0)
    assert (
        after_insertion(X, Parameters.from_covariances("full", weights, centers, covariances))
        is None
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_default_start_finds_a_tiny_group(seed: int) -> None:
    X = np.random.default_rng(0).permutation(tiny_group())
    ends = [
        GaussianMixture(
            3, init_params=method, random_state=seed, tol=1e-7, max_iter=2000, accelerate="squarem"
        )
        .fit(X)
        .weights_.min()
        for method in ("auto", "kmeans")
    ]
    assert ends[0] == pytest.approx(0.01, abs=0.002)
    assert ends[1] > 0.02  # K-means divides a large group
