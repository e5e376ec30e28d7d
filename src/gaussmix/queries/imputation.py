"""Rows with missing values, filled in by the mixture: each row from the features it has."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Rows
from gaussmix.model.parameters import Parameters
from gaussmix.queries.conditioning import (
    Regression,
    marginal,
    predict,
    predictions,
    regression,
)
from gaussmix.queries.features import Indices

CHUNK_ROWS = 1 << 17  # rows of one pattern that are gathered at a time

Missing = NDArray[np.bool_]


def filled(parameters: Parameters, with_std: bool, X: Rows, n_threads: int | None) -> Rows:
    """Rows (N, D) without gaps, where NaN stands for what is missing.

    The standard deviations of what was filled in follow as further columns, if asked for.
    """
    missing = np.isnan(X)
    found = np.zeros((len(X), X.shape[1] * (1 + bool(with_std))), X.dtype)
    rows, std = found[:, : X.shape[1]], found[:, X.shape[1] :]
    np.copyto(rows, X, where=~missing)
    fill(rows, missing, parameters, std if with_std else None, n_threads)
    return found


@dataclass(frozen=True)
class GappyRegression:
    """Predicts features of rows from others, of which a row may lack some."""

    parameters: Parameters
    given: Indices
    features: Indices
    with_std: bool
    with_cov: bool
    _models: dict[bytes, Regression] = field(default_factory=dict, repr=False)

    def __call__(self, X: Rows, n_threads: int | None) -> Rows:
        """Conditional moments of every row of X (N, a), in one table as of `predictions`."""
        missing = np.isnan(X)
        if not missing.any():
            return self._of(self.given, X, n_threads)
        n_targets = len(self.features)
        width = n_targets * (1 + (n_targets if self.with_cov else bool(self.with_std)))
        found = np.empty((len(X), width), X.dtype)
        for pattern, rows in patterns(missing, complete=True):
            there = np.flatnonzero(~pattern)
            if len(there):
                part = np.ascontiguousarray(X[np.ix_(rows, there)])
                found[rows] = self._of(self.given[there], part, n_threads)
            else:
                found[rows] = self._of_nothing()
        return found

    def _of(self, given: Indices, X: Rows, n_threads: int | None) -> Rows:
        key = given.tobytes()
        if key not in self._models:
            self._models[key] = regression(self.parameters, given, self.features)
        model = self._models[key]
        return predictions(model, self.with_std, self.with_cov, X, n_threads)

    def _of_nothing(self) -> FloatArray:
        """Moments of the features in a row of which nothing is known."""
        mixture = marginal(self.parameters, self.features)
        mean, std = moments(mixture)
        if not self.with_cov:
            return np.concatenate([mean, std] if self.with_std else [mean])
        weights, away = mixture.weights / mixture.weights.sum(), mixture.means - mean
        spread = np.einsum("k,kij->ij", weights, mixture.full_covariances())
        return np.concatenate([mean, (spread + away.T @ (weights[:, None] * away)).ravel()])


def fill(
    X: Rows, missing: Missing, parameters: Parameters, std: Rows | None, n_threads: int | None
) -> None:
    """Write the conditional means of what is missing into X (N, D), INOUT.

    std (N, D), if given, INOUT: the conditional standard deviations, in the same places.
    """
    for pattern, rows in patterns(missing):
        if pattern.all():
            _fill_empty(X, rows, parameters, std)
            continue
        given, features = np.flatnonzero(~pattern), np.flatnonzero(pattern)
        model = regression(parameters, given, features)
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            mean = np.empty((len(chunk), len(features)), X.dtype)
            spread = None if std is None else np.empty_like(mean)
            predict(model, X[np.ix_(chunk, given)], mean, spread, n_threads)
            X[np.ix_(chunk, features)] = mean
            if std is not None:
                std[np.ix_(chunk, features)] = spread


def moments(parameters: Parameters) -> tuple[Rows, Rows]:
    """Mean and standard deviation of every feature of the mixture: (D,), (D,)."""
    weights = parameters.weights / parameters.weights.sum()
    mean = weights @ parameters.means
    variances = parameters.structure.diagonals(parameters.covariances)
    return mean, np.sqrt(weights @ (variances + (parameters.means - mean) ** 2))


def _fill_empty(X: Rows, rows: Indices, parameters: Parameters, std: Rows | None) -> None:
    mean, deviation = moments(parameters)
    X[rows] = mean
    if std is not None:
        std[rows] = deviation


def patterns(missing: Missing, *, complete: bool = False) -> Iterator[tuple[Missing, Indices]]:
    """Every pattern in which something is missing (D,), and its rows in order.

    With `complete` rows in which nothing is missing are a pattern too.
    """
    rows = np.arange(len(missing)) if complete else np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return
    bits = np.packbits(missing[rows], axis=1)
    words = np.zeros((len(rows), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : bits.shape[1]] = bits
    keys = words.view(np.uint64)
    order = np.lexsort(keys.T)
    changes = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    for group in np.split(rows[order], np.flatnonzero(changes) + 1):
        yield missing[group[0]], group
