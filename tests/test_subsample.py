"""The rows that a start looks at."""

import numpy as np
import pytest

from gaussmix.data.subsample import BLOCK_WEIGHTS, START_ROWS, subsample

MANY = 5 * START_ROWS + 123


def test_few_rows_are_all_taken() -> None:
    X, weight = np.zeros((START_ROWS, 2)), np.ones(START_ROWS)
    sample = subsample(X, weight, 3, np.random.RandomState(0))
    assert sample.rows is X
    assert sample.weight is weight


@pytest.mark.parametrize(("n_clusters", "n_rows"), [(1, 16384), (64, 16384), (100, 25600)])
def test_of_many_rows_one_is_taken_from_each_stride(n_clusters: int, n_rows: int) -> None:
    X = np.arange(float(MANY))[:, None]
    rows, weight = subsample(X, None, n_clusters, np.random.RandomState(0))
    assert weight is None
    assert rows.shape == (n_rows, 1)
    strides = np.arange(n_rows + 1) * MANY // n_rows
    assert (rows[:, 0] >= strides[:-1]).all()
    assert (rows[:, 0] < strides[1:]).all()
    assert len(np.unique(np.diff(rows[:, 0]))) > 1


def test_rows_are_drawn_in_proportion_to_weight() -> None:
    X = np.arange(float(MANY))[:, None]
    weights = np.where(X[:, 0] < MANY // 2, 3.0, 1.0)
    weights[BLOCK_WEIGHTS - 500 : BLOCK_WEIGHTS + 500] = 0
    rows, drawn = subsample(X, weights, 2, np.random.RandomState(0))
    assert drawn is not None
    assert drawn.sum() == START_ROWS
    assert (np.diff(rows[:, 0]) > 0).all()
    expected = weights[: MANY // 2].sum() / weights.sum()
    assert drawn[rows[:, 0] < MANY // 2].sum() / START_ROWS == pytest.approx(expected, abs=2e-4)
    assert drawn[weights[rows[:, 0].astype(int)] == 0].sum() == 0


def test_a_heavy_row_is_drawn_as_often_as_it_weighs() -> None:
    X = np.arange(float(MANY))[:, None]
    weights = np.full(MANY, 1 / MANY)
    weights[70_000] = 1
    rows, drawn = subsample(X, weights, 2, np.random.RandomState(0))
    assert drawn is not None
    assert drawn[rows[:, 0] == 70_000].sum() == pytest.approx(START_ROWS / 2, abs=2)


def test_there_are_as_many_rows_as_clusters_whatever_the_weights() -> None:
    X, weights = np.zeros((MANY, 1)), np.zeros(MANY)
    weights[-1] = 1
    rows, drawn = subsample(X, weights, 10, np.random.RandomState(0))
    assert drawn is not None
    assert len(rows) >= 10
    assert drawn[-1] == START_ROWS
