"""Starting centres for K-means: rows of the data."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.constants import FloatArray
from gaussmix._core.interface import Rows
from gaussmix.nearest import closeness
from gaussmix.sampling import Sample


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
    rows, weight = sample.rows, sample.weights
    chosen = [drawn_rows(weight, 1, random_state)[0]]
    closest = closeness(rows, _centers(rows, chosen), n_threads)[:, 0]
    n_trials = n_trials or 2 + int(np.log(n_clusters))
    while len(chosen) < n_clusters:
        candidates = drawn_rows(-weight * closest, n_trials, random_state)
        nearer = closeness(rows, _centers(rows, candidates), n_threads)
        np.maximum(nearer, closest[:, None], out=nearer)  # with each candidate as a centre
        best = np.einsum("n,nt->t", weight, nearer).argmax()  # BLAS adds in varying orders
        chosen.append(candidates[best])
        closest = nearer[:, best].copy()
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


def _centers(X: Rows, rows: Sequence[int] | NDArray[np.intp]) -> FloatArray:
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
