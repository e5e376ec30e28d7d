"""Starts of rows of which something is told: groups that grow from the rows that are known."""

import numpy as np

from gaussmix._core import reference
from gaussmix._core.types import FloatArray, Labels
from gaussmix.data.told import ToldData, is_known
from gaussmix.kmeans.seeding import drawn_rows
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.starts.completion import completed
from gaussmix.starts.methods import hard_statistics, scaled_rows

ITERATIONS = 50  # of K-means; a start need not be a better one than that


def seeded(
    data: ToldData,
    structure: CovarianceStructure,
    n_components: int,
    reg_covar: float,
    random_state: np.random.RandomState,
) -> Parameters:
    """Return a start by K-means that begins at what is told, and keeps to it.

    That is seeded K-means with constraints (Basu, Banerjee & Mooney, 2002). A component begins at
    the mean of the rows that are told to be its own. Components of which the same is told share
    those rows, and begin at some of them, far apart. Components of which nothing is told begin far
    from all others. Then every row goes to the nearest centre, by |x - c|^2 / (2 s^2) less the
    logarithm of its prior, where s^2 is the mean variance in groups.
    """
    drawn, told = data.told_sample(n_components, random_state)
    sample = completed(drawn, data.n_threads)
    log_priors = reference.log_priors(told, np.dtype(np.float64))[:, :n_components]
    rows = scaled_rows(sample, structure)
    shares = np.exp(log_priors - log_priors.max(axis=1, keepdims=True))
    shares = np.nan_to_num(shares) * is_known(told)[:, None]
    shares *= (sample.weights / np.maximum(shares.sum(axis=1), 1.0))[:, None]
    centers = _centers(rows, shares, sample.weights, random_state)
    labels = _grouped(rows, sample.weights, centers, log_priors)
    return m_step(hard_statistics(sample, labels, structure, n_components), reg_covar)[0]


def _centers(
    rows: FloatArray, shares: FloatArray, weights: FloatArray, random_state: np.random.RandomState
) -> FloatArray:
    """Return where components begin, from the shares (n, K) that known rows have in them."""
    centers = np.zeros((shares.shape[1], rows.shape[1]))
    closest = np.full(len(rows), np.inf)
    alike: dict[bytes, list[int]] = {}
    for k, column in enumerate(shares.T):
        alike.setdefault(column.tobytes(), []).append(k)
    told_first = sorted(alike.values(), key=lambda group: shares[:, group[0]].sum() == 0)
    for group in told_first:
        own = shares[:, group[0]]
        for number, k in enumerate(group):
            if len(group) == 1 and own.any():
                centers[k] = own @ rows / own.sum()
            else:
                chances = own if own.any() else weights
                if np.isfinite(closest).all() and (own.any() == 0 or number > 0):
                    chances = chances * closest
                chances = chances if chances.any() else np.maximum(own, weights)
                centers[k] = rows[int(drawn_rows(chances, 1, random_state)[0])]
            closest = np.minimum(closest, ((rows - centers[k]) ** 2).sum(axis=1))
    return centers


def _grouped(
    rows: FloatArray, weights: FloatArray, centers: FloatArray, log_priors: FloatArray
) -> Labels:
    """Return the groups of K-means from these centres, which keeps to the priors (n, K)."""
    labels = np.full(len(rows), -1, dtype=np.int32)
    squares = (rows**2).sum(axis=1)
    spread = float(weights @ squares / weights.sum()) / rows.shape[1]
    for _ in range(ITERATIONS):
        distances = squares[:, None] - 2 * rows @ centers.T + (centers**2).sum(axis=1)
        scores = log_priors - 0.5 * distances / max(spread, 1e-300)
        found = scores.argmax(axis=1).astype(np.int32)
        if np.array_equal(found, labels):
            break
        labels = found
        for k in range(len(centers)):
            own = weights * (labels == k)
            if own.any():
                centers[k] = own @ rows / own.sum()
        within = ((rows - centers[labels]) ** 2).sum(axis=1)
        spread = float(weights @ within / weights.sum()) / rows.shape[1]
    return labels
