"""Greedy k-means++: the compiled one against the reference, draw by draw."""

import numpy as np
import pytest

from gaussmix._core import dispatch, reference
from gaussmix._core.types import FloatArray
from gaussmix.data.subsample import Sample
from gaussmix.kmeans.seeding import plus_plus


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("shape", "n_trials"), [((3000, 1, 7), 3), ((900, 3, 4), 1), ((9, 2, 9), 5)]
)
def test_every_build_chooses_the_rows_of_the_reference(
    shape: tuple[int, int, int],
    n_trials: int,
    weighted: bool,
    dtype: type[np.floating],
    compiled_isa: str,
) -> None:
    n_samples, n_features, n_clusters = shape
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(n_samples, n_features)) * 10).round(1).astype(dtype) + dtype(1000)
    weight = rng.integers(0, 4, size=n_samples).astype(float) if weighted else None
    uniforms = rng.uniform(size=1 + (n_clusters - 1) * n_trials)
    want, got = np.zeros(n_clusters, np.int64), np.zeros(n_clusters, np.int64)
    reference.plus_plus(X, weight, uniforms, want, n_trials)
    dispatch.kernels(X).plus_plus(X, weight, uniforms, got, n_trials)
    assert np.array_equal(got, want)
    assert weight is None or n_clusters == n_samples or (weight[got] > 0).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("level", [0.0, 0.5, np.nextafter(1.0, 0.0)])
def test_rows_that_are_all_alike_can_be_chosen(level: float) -> None:
    X, chosen = np.ones((4, 2)), np.full(3, -1, np.int64)
    dispatch.kernels(X).plus_plus(X, None, np.full(5, level), chosen, 2)
    assert ((chosen >= 0) & (chosen < 4)).all()


@pytest.mark.usefixtures("isa")
def test_a_draw_lands_where_the_cumulated_chances_say() -> None:
    X = np.array([[0.0], [1.0], [10.0]])
    weight = np.array([1.0, 2.0, 1.0])  # chances 1/4, 1/2, 1/4, then 0, 2, 100 of the first
    for level, first in ((0.0, 0), (0.25, 0), (0.26, 1), (0.75, 1), (0.76, 2), (0.999, 2)):
        chosen = np.zeros(1, np.int64)
        dispatch.kernels(X).plus_plus(X, weight, np.array([level]), chosen, 1)
        assert chosen[0] == first
    for level, second in ((0.01, 1), (0.0196, 1), (0.0197, 2), (0.9, 2)):
        chosen = np.zeros(2, np.int64)
        dispatch.kernels(X).plus_plus(X, weight, np.array([0.0, level]), chosen, 1)
        assert chosen[1] == second


def test_centres_are_the_rows_drawn(isa: str) -> None:
    X: FloatArray = np.random.default_rng(0).normal(size=(500, 2))
    centers = plus_plus(Sample(X, None), 4, np.random.RandomState(0), 1)
    assert isa
    assert all((center == X).all(axis=1).any() for center in centers)


@pytest.mark.usefixtures("isa")
def test_where_all_distances_are_0_rows_without_weight_are_not_drawn() -> None:
    X, chosen = np.array([[9.0], [1.0], [1.0]]), np.zeros(3, np.int64)
    weight, uniforms = np.array([0.0, 1.0, 1.0]), np.full(5, 1e-9)
    dispatch.kernels(X).plus_plus(X, weight, uniforms, chosen, 2)
    assert 0 not in chosen
