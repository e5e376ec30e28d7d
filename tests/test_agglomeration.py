"""Starts by Ward's agglomeration, against SciPy's."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import ward as scipy_ward

from gaussmix import GaussianMixture
from gaussmix.data.subsample import Sample
from gaussmix.starts.ward import WARD_ROWS, ward


def same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = {*zip(one.tolist(), other.tolist(), strict=True)}
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def test_few_rows_are_grouped_as_by_scipy() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    labels = ward(Sample(X, None), 5, np.random.RandomState(0), 1)
    assert same_groups(labels, fcluster(scipy_ward(X), 5, "maxclust"))


def test_of_many_rows_a_sample_leads_the_rest(blobs: np.ndarray) -> None:
    assert len(blobs) > WARD_ROWS
    labels = ward(Sample(blobs, None), 3, np.random.RandomState(0), 1)
    nearest = np.argmin([np.abs(blobs - blobs[labels == k].mean(0)).sum(1) for k in range(3)], 0)
    assert same_groups(labels, nearest)
    assert (np.bincount(labels) == 1000).all()


def test_rows_of_weight_zero_take_no_part() -> None:
    X = np.array([[0.0], [0.1], [5.0], [5.1], [100.0]])
    weight = np.array([1.0, 1, 1, 1, 0])
    labels = ward(Sample(X, weight), 2, np.random.RandomState(0), 1)
    assert labels[0] == labels[1] != labels[2] == labels[3]


@pytest.mark.parametrize("n_components", [1, 3])
def test_a_mixture_starts_from_it(blobs: np.ndarray, n_components: int) -> None:
    model = GaussianMixture(n_components, init_params="hierarchical", random_state=0).fit(blobs)
    assert model.converged_
    if n_components == 3:
        assert np.allclose(model.weights_, 1 / 3, atol=1e-3)
