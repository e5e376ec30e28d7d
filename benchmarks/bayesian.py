"""What variational Bayes costs: its iterations beside EM's, its fits beside scikit-learn's.

python -m benchmarks.bayesian iterations fit columns sklearn-columns

Iterations and fits take turns with what they are compared with, so that a busy machine slows all
alike. Columns take too long for that.
"""

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import gaussmix
from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import Beliefs, prior_of
from gaussmix.data.base import InMemory
from gaussmix.em.loop import EMState, Objective, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.variational import EvidenceBound
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import FULL

SHAPES = {(100_000, 1, 10): (10, 61), (1_000_000, 8, 16): (4, 7)}
"""Rows, features and components, the iterations of a turn, and the turns."""

COLUMN: dict[str, Any] = {
    "n_components": 10,
    "weight_concentration_prior_type": "dirichlet_process",
    "weight_concentration_prior": 0.001,
    "n_init": 1,
    "max_iter": 100,
    "random_state": 0,
}
"""What tools for synthetic tables ask of a column."""

FIT_ROWS, FIT_TURNS = (100_000, 1_000), 3
LARGE_SIZE = 1_000_000, 8, 16
LARGE: dict[str, Any] = {
    "n_components": 16,
    "init_params": "random_from_data",
    "tol": 0,
    "max_iter": 10,
    "random_state": 0,
}
"""Ten iterations, of full covariances."""

SMALL_COLUMNS, SMALL_ROWS = 60, 1_000
COLUMNS, COLUMN_ROWS = 50, 1_000_000


def groups(n: int, d: int, k: int) -> FloatArray:
    """Return rows around k means."""
    rng = np.random.default_rng(0)
    means = rng.normal(scale=3.0, size=(k, d))
    return means[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def column(number: int, n: int) -> FloatArray:
    """Return a column of two groups, of which no two columns have the same."""
    rng = np.random.default_rng(number)
    values = [rng.normal(size=n // 2), rng.normal(4 + number % 5, 0.5, size=n - n // 2)]
    return np.concatenate(values)[:, None]


def alternating(n_turns: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of every turn of each call."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(n_turns):
        for call, own in zip(calls, times, strict=True):
            begun = perf_counter()
            call()
            own.append(perf_counter() - begun)
    return times


def iterations() -> None:
    """Time iterations from the same start."""
    for (n, d, k), (n_iter, n_turns) in SHAPES.items():
        X = groups(n, d, k)
        data = InMemory(X, None)
        means = X[np.random.default_rng(1).permutation(n)[:k]].copy()
        start = Parameters.from_covariances(
            "full", np.full(k, 1 / k), means, FULL.alike(np.cov(X.T).reshape(d, d), k)
        )
        likelihood, bound = MaximumLikelihood(data, 1e-6), EvidenceBound(data, prior(k, data), 1e-6)

        def run(objective: Objective, point: Parameters, n_iter: int = n_iter) -> None:
            proceed(EMState(point, 0.0), objective, max_iter=n_iter)

        calls = [(likelihood, start), (bound, bound.begin(start))]
        em, vb = alternating(n_turns, *(lambda c=c: run(*c) for c in calls))
        ratios = [b / a for a, b in zip(em, vb, strict=True)]
        shown = (f"{1e3 * min(times) / n_iter:.2f} ms" for times in (em, vb))
        print(
            f"N={n:,} D={d} K={k}: EM {next(shown)}, VB {next(shown)}, the best of {n_turns} "
            f"turns; {min(vb) / min(em):.2f} times, median of the turns {median(ratios):.2f}"
        )


def prior(k: int, data: InMemory) -> Posterior:
    """Return the default prior of a Dirichlet process."""
    return prior_of(Beliefs("dirichlet_process", None, None, None, None, None), FULL, k, data)


def fit() -> None:
    """Time whole fits of a column, and of many rows of several features."""
    cases = [(column(0, n), COLUMN, FIT_TURNS) for n in FIT_ROWS]
    for X, options, n_turns in [*cases, (groups(*LARGE_SIZE), LARGE, 1)]:
        time_fits(X, options, n_turns)


def time_fits(X: FloatArray, options: dict[str, Any], n_turns: int) -> None:
    """Time whole fits in turn with scikit-learn's."""
    from sklearn.mixture import BayesianGaussianMixture

    ours, theirs = gaussmix.BayesianGaussianMixture(**options), BayesianGaussianMixture(**options)
    own, other = alternating(n_turns, partial(ours.fit, X), partial(theirs.fit, X))
    print(
        f"N={len(X):,} D={len(X.T)} K={options['n_components']}: gaussmix {min(own):.4f} s, "
        f"{ours.n_iter_} iterations; scikit-learn {min(other):.3f} s, {theirs.n_iter_} iterations; "
        f"{min(other) / min(own):.0f} times"
    )


def our_columns() -> None:
    """Time many columns at once."""
    for n_columns, n in ((SMALL_COLUMNS, SMALL_ROWS), (COLUMNS, COLUMN_ROWS)):
        table = np.hstack([column(number, n) for number in range(n_columns)])
        begun = perf_counter()
        found = gaussmix.fit_columns(table, **COLUMN)
        seconds = perf_counter() - begun
        n_iter = sum(model.n_iter_ for model in found)
        print(
            f"gaussmix, {n_columns} columns of {n:,} rows: {seconds:.2f} s, {n_iter} iterations, "
            f"{1e3 * seconds / n_columns:.1f} ms a column"
        )


def their_columns() -> None:
    """Time as many columns of scikit-learn's as there are cores, at the same time.

    All columns would take an hour. They have as many rows and take as many iterations.
    """
    from sklearn.mixture import BayesianGaussianMixture

    n_cores = len(os.sched_getaffinity(0))
    data = [column(number, COLUMN_ROWS) for number in range(n_cores)]
    begun = perf_counter()
    with ThreadPoolExecutor(n_cores) as pool:
        found = list(pool.map(lambda x: BayesianGaussianMixture(**COLUMN).fit(x), data))
    seconds = perf_counter() - begun
    print(
        f"scikit-learn, {n_cores} columns of {COLUMN_ROWS:,} rows side by side: {seconds:.1f} s, "
        f"iterations {[model.n_iter_ for model in found]}; at this rate {COLUMNS} columns, which "
        f"were not run, take {seconds * COLUMNS / n_cores:.0f} s"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for part in sys.argv[1:]:
        {
            "iterations": iterations,
            "fit": fit,
            "columns": our_columns,
            "sklearn-columns": their_columns,
        }[part]()
