"""Starting centres for K-means: rows of the data."""

import math

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.subsample import Sample
from gaussmix.kmeans.nearest import kernels, thread_count


def plus_plus(
    sample: Sample,
    n_clusters: int,
    random_state: np.random.RandomState,
    n_threads: int | None,
    n_trials: int | None = None,
) -> FloatArray:
    """Choose rows as starting centres by greedy k-means++: (n_clusters, n_features), float64.

    Each next centre is the best of n_trials candidates, drawn with probability proportional to
    weight times squared distance from the nearest centre so far (Arthur & Vassilvitskii, 2007,
    sections 2.2 and 5). By default there are 2 + log K: scikit-learn's draws, and so its centres.
    """
    rows, weight = sample
    n_trials = n_trials or 2 + int(math.log(n_clusters))
    uniforms = random_state.random_sample(1 + (n_clusters - 1) * n_trials)
    chosen = np.empty(n_clusters, dtype=np.int64)
    count = thread_count(rows, n_trials, n_threads)
    kernels(rows).plus_plus(rows, weight, uniforms, chosen, n_trials, count)
    return _centers(rows, chosen)


def random_rows(sample: Sample, n_clusters: int, random_state: np.random.RandomState) -> FloatArray:
    """Distinct rows drawn with probability proportional to weight: (n_clusters, n_features)."""
    X, weight = sample.rows, sample.weights
    chance = weight / weight.sum()  # of the tiniest weights it is zero
    n_positive = np.count_nonzero(chance)
    if n_positive < n_clusters:
        raise ValueError(
            f"init='random' needs at least n_clusters={n_clusters} rows of positive "
            f"sample_weight, as a part of its sum, got {n_positive}"
        )
    rows = random_state.choice(len(X), n_clusters, replace=False, p=chance)
    return _centers(X, rows)


def _centers(X: Rows, rows: NDArray[np.integer]) -> FloatArray:
    return X.take(rows, axis=0).astype(np.float64)


def distinct_rows(
    n_samples: int,
    n_rows: int,
    sample_weight: FloatArray | None,
    random_state: np.random.RandomState,
) -> NDArray[np.intp]:
    """Indices of distinct rows, drawn with a chance proportional to weight.

    Those with the smallest exponential draws over weight are drawn, and rows of weight 0 come last
    (Efraimidis & Spirakis, 2006).
    """
    if sample_weight is None:
        return random_state.choice(n_samples, n_rows, replace=False)
    with np.errstate(divide="ignore"):
        keys = random_state.standard_exponential(n_samples) / sample_weight
    return np.argsort(keys)[:n_rows]


def drawn_rows(
    chances: FloatArray, n_rows: int, random_state: np.random.RandomState
) -> NDArray[np.intp]:
    """Indices of rows, drawn one by one with probability proportional to their chances."""
    cumulated = chances.cumsum()
    levels = random_state.random_sample(n_rows) * cumulated[-1]
    drawn: NDArray[np.intp] = cumulated.searchsorted(levels)
    return np.minimum(drawn, len(cumulated) - 1, out=drawn)
