"""Streams and sweeps: prints the tables of docs/streams.md.

Nothing is timed, so the figures are the same on a busy machine.
"""

import sys
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.base import InMemory
from gaussmix.em.acceleration import strategy_of
from gaussmix.em.incremental import SWEEPS_BEFORE_JUMPS, sweep
from gaussmix.em.loop import EMState, em, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.online import Pace, Seen, online_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect
from gaussmix.starts.methods import initial_parameters

REG_COVAR = 1e-6
NEAR = 1e-6
N_STREAM = 200_000
N_SWEPT = 20_000
FIRST_ROWS = 1000
DECAYS = (0.6, 0.7, 0.75, 0.8, 0.9, 1.0)


class Truth(NamedTuple):
    """Groups whose centres are some distance, in standard deviations, apart."""

    n_features: int
    n_components: int
    distance: float

    @property
    def parameters(self) -> Parameters:
        d, k, distance = self
        rng = np.random.default_rng([d, k])
        centers = rng.normal(size=(k, d)) * distance / np.sqrt(2 * d)
        shapes = np.eye(d) + 0.4 * rng.normal(size=(k, d, d))
        covariances = shapes @ shapes.transpose(0, 2, 1)
        return Parameters.from_covariances(
            "full", rng.dirichlet(np.full(k, 5.0)), centers, covariances
        )

    def draw(self, n_samples: int, seed: int, drift: float = 0.0) -> FloatArray:
        """Rows, whose centres move by `drift` in all along every feature."""
        truth, rng = self.parameters, np.random.default_rng(seed)
        groups = rng.choice(self.n_components, size=n_samples, p=truth.weights)
        noise = rng.normal(size=(n_samples, self.n_features, 1))
        rows = truth.means[groups] + (np.linalg.cholesky(truth.covariances)[groups] @ noise)[..., 0]
        moved: FloatArray = rows + np.linspace(0, drift, n_samples)[:, None]
        return moved

    def __str__(self) -> str:
        d, k, distance = self
        return f"{k} groups in {d} dimensions, {distance:g} sd apart"


PROBLEMS = (Truth(2, 3, 3), Truth(5, 3, 3), Truth(8, 6, 3), Truth(2, 3, 8), Truth(5, 4, 8))


def likelihood(X: FloatArray) -> MaximumLikelihood:
    return MaximumLikelihood(InMemory(X, None), REG_COVAR)


def score(parameters: Parameters, X: FloatArray) -> float:
    return collect(X, None, parameters).mean_log_likelihood


def kmeans_start(X: FloatArray, n_components: int) -> Parameters:
    return initial_parameters(
        InMemory(X, None),
        structure="full",
        n_components=n_components,
        method="kmeans",
        reg_covar=REG_COVAR,
        random_state=np.random.RandomState(0),
    )


def optimum(X: FloatArray, start: Parameters) -> Parameters:
    strategy = strategy_of("anderson", REG_COVAR, 1e-10)
    return em(start, likelihood(X), tol=1e-10, max_iter=2000, strategy=strategy).parameters


def follow(start: Parameters, X: FloatArray, n_rows: int, pace: Pace | None) -> Parameters:
    """Online EM; without a pace every batch replaces all that was before."""
    parameters, seen = start, Seen()
    for first in range(0, len(X), n_rows):
        batch = collect(X[first : first + n_rows], None, parameters)
        parameters, _ = online_step(
            parameters, batch, seen if pace else Seen(), pace or Pace(1.0, None), REG_COVAR
        )
        seen = seen.after(batch)
    return parameters


def stationary() -> None:
    print(f"| {N_STREAM:,} rows | batch | {' | '.join(str(d) for d in DECAYS)} | no memory |")
    print("|---|" + "---|" * (len(DECAYS) + 2))
    for truth in PROBLEMS[:4]:
        X = truth.draw(N_STREAM, 1)
        start = kmeans_start(X[:FIRST_ROWS], truth.n_components)
        best = max(score(optimum(X, p), X) for p in (start, truth.parameters))
        for n_rows in (200, 1000, 5000):
            paces = [*(Pace(decay, None) for decay in DECAYS), None]
            short = [best - score(follow(start, X, n_rows, pace), X) for pace in paces]
            cells = " | ".join(f"{value:.4f}" for value in short)
            print(f"| {truth} | {n_rows} | {cells} |", flush=True)


def drifting() -> None:
    lives = (200.0, 1000.0, 5000.0, 20_000.0, None)
    print(f"| drift, sd in 1,000 rows | {' | '.join(f'{h:,g}' if h else 'None' for h in lives)} |")
    print("|---|" + "---|" * len(lives))
    truth = PROBLEMS[0]
    for speed in (0.0, 0.1, 1.0, 5.0):
        X = truth.draw(60_000, 2, drift=60 * speed)
        start, now = kmeans_start(X[:FIRST_ROWS], 3), X[-2000:]
        best = score(optimum(now, follow(start, X, 200, Pace(0.75, 1000.0))), now)
        short = [best - score(follow(start, X, 200, Pace(0.75, life)), now) for life in lives]
        print(f"| {speed:g} | {' | '.join(f'{value:.3f}' for value in short)} |", flush=True)


def passes(
    X: FloatArray, start: Parameters, swept: bool, accelerate: str | None, tol: float
) -> tuple[list[float], int]:
    """Mean log-likelihoods where every pass ended, and the number of passes to convergence."""
    points: list[Parameters] = []
    state = EMState(start, tol, strategy=strategy_of(accelerate, REG_COVAR, tol))

    def callback(*_seen: object) -> None:
        points.append(state.last.image)

    if swept:
        most = SWEEPS_BEFORE_JUMPS if accelerate else 1500
        sweep(state, likelihood(X), max_iter=most, callback=callback)
    result = proceed(state, likelihood(X), max_iter=1500, callback=callback)
    return [score(point, X) for point in points], result.n_iter


def sweeps() -> None:
    print("| | order | EM | incremental | anderson | incremental, then anderson |")
    print("|---|---|---|---|---|---|")
    for truth in PROBLEMS:
        drawn = truth.draw(N_SWEPT, 3)
        for order, X in (("random", drawn), ("sorted", drawn[np.argsort(drawn[:, 0])])):
            start = kmeans_start(X, truth.n_components)
            ways = [(False, None), (True, None), (False, "anderson"), (True, "anderson")]
            near = [passes(X, start, *way, 1e-9)[0] for way in ways]
            top = max(max(curve) for curve in near)
            found = [next((i + 1 for i, v in enumerate(c) if v > top - NEAR), None) for c in near]
            total = [passes(X, start, *way, 1e-3)[1] for way in ways]
            cells = " | ".join(f"{f or '-'} ({t})" for f, t in zip(found, total, strict=True))
            print(f"| {truth} | {order} | {cells} |", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or ("stationary", "drifting", "sweeps"):
        {"stationary": stationary, "drifting": drifting, "sweeps": sweeps}[name]()
        print()
