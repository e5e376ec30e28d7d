"""Passes over the data that EM, SQUAREM and Anderson acceleration need: prints the docs' table.

A pass counts until the mean log-likelihood is within 1e-9 of the best that any of the three ends
with. All begin with the same parameters, those of a K-means start, and run with reg_covar=0 until
it changes by less than 1e-13. Nothing is timed, so the figures are the same on a busy machine.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.base import InMemory
from gaussmix.em.acceleration import METHODS, strategy_of
from gaussmix.em.loop import EMResult, em
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.parameters import Parameters
from gaussmix.starts.methods import initial_parameters

DATA = Path(__file__).parents[1] / "tests" / "data"
NEAR = 1e-9
SETTLED = 1e-13
MAX_ITER = 20_000
N_SAMPLES = 2000


class EMProblem(NamedTuple):
    """Rows and the mixture to fit to them."""

    name: str
    X: FloatArray
    structure: Structure
    n_components: int


class PassCounts(NamedTuple):
    """Passes of EM and of each method, and by how much their optima miss the best of them."""

    problem: EMProblem
    passes: list[int]
    shortfalls: list[float]


def real(name: str, file: str, n_features: int, structure: Structure, k: int) -> EMProblem:
    columns = range(n_features)
    X = np.loadtxt(DATA / file, delimiter=",", skiprows=1, usecols=columns, ndmin=2)
    return EMProblem(name, np.ascontiguousarray(X), structure, k)


def synthetic(d: int, k: int, structure: Structure, distance: float) -> EMProblem:
    """Groups whose centres are some `distance` standard deviations apart."""
    rng = np.random.default_rng([d, k])
    centers = rng.normal(size=(k, d)) * distance / np.sqrt(2 * d)
    shapes = np.eye(d) + 0.4 * rng.normal(size=(k, d, d))
    if structure == "tied":
        shapes[:] = shapes[0]
    elif structure != "full":
        widths = rng.uniform(0.5, 1.5, size=(k, d if structure == "diag" else 1))
        shapes = widths[:, :, None] * np.eye(d)
    labels = rng.integers(k, size=N_SAMPLES)
    noise = np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(N_SAMPLES, d)))
    name = f"{k} groups in {d} dimensions, {distance:g} sd apart"
    return EMProblem(name, centers[labels] + noise, structure, k)


def overlapping() -> list[EMProblem]:
    return [
        real("Old Faithful", "old_faithful.csv", 2, "tied", 3),
        real("Old Faithful", "old_faithful.csv", 2, "full", 3),
        real("iris", "iris.csv", 4, "full", 3),
        real("iris", "iris.csv", 4, "tied", 3),
        real("iris", "iris.csv", 4, "diag", 3),
        synthetic(1, 2, "full", 2),
        synthetic(1, 3, "tied", 4),
        synthetic(2, 3, "full", 3),
        synthetic(2, 4, "diag", 3),
        synthetic(2, 3, "tied", 3),
        synthetic(5, 3, "full", 3),
        synthetic(5, 4, "spherical", 3),
        synthetic(8, 4, "diag", 3),
        synthetic(8, 3, "full", 3),
        synthetic(8, 3, "tied", 3),
    ]


def separated() -> list[EMProblem]:
    return [
        real("Old Faithful", "old_faithful.csv", 2, "full", 2),
        real("iris", "iris.csv", 4, "full", 2),
        synthetic(1, 2, "full", 12),
        synthetic(2, 3, "tied", 8),
        synthetic(5, 3, "full", 8),
        synthetic(8, 4, "diag", 8),
        synthetic(8, 3, "spherical", 8),
    ]


def start_of(problem: EMProblem) -> Parameters:
    return initial_parameters(
        InMemory(problem.X, None),
        structure=problem.structure,
        n_components=problem.n_components,
        method="kmeans",
        reg_covar=0.0,
        random_state=np.random.RandomState(0),
    )


def run(problem: EMProblem, start: Parameters, accelerate: str | None) -> EMResult:
    return em(
        start,
        MaximumLikelihood(InMemory(problem.X, None)),
        tol=SETTLED,
        max_iter=MAX_ITER,
        strategy=strategy_of(accelerate, 0.0, SETTLED),
    )


def measure(problem: EMProblem) -> PassCounts:
    start = start_of(problem)
    runs = [run(problem, start, accelerate) for accelerate in (None, *METHODS)]
    assert all(result.converged for result in runs), problem
    best = max(max(result.lower_bounds) for result in runs)
    passes = [
        next((n for n, value in enumerate(result.lower_bounds, 1) if value > best - NEAR), 0)
        for result in runs
    ]
    return PassCounts(problem, passes, [best - max(result.lower_bounds) for result in runs])


def print_table(title: str, outcomes: list[PassCounts]) -> None:
    print(f"| {title} | structure | K | EM | {' | '.join(METHODS)} |")
    print(f"|---|---|---|---|{'---|' * len(METHODS)}")
    for problem, passes, _ in outcomes:
        counts = " | ".join(str(n) for n in passes)
        print(f"| {problem.name} | {problem.structure} | {problem.n_components} | {counts} |")
    ratios = np.array([outcome.passes[1:] for outcome in outcomes])
    ratios = ratios / np.array([outcome.passes[:1] for outcome in outcomes])
    for name, values in (("median", np.median(ratios, axis=0)), ("worst", ratios.max(axis=0))):
        print(f"| **{name} part of EM's** | | | 1 | {' | '.join(f'{v:.2f}' for v in values)} |")
    missed = max(max(outcome.shortfalls) for outcome in outcomes)
    print(f"\nOptima agree to {missed:.0e}.\n")


def main() -> None:
    print_table("overlapping", [measure(problem) for problem in overlapping()])
    print_table("separated", [measure(problem) for problem in separated()])


if __name__ == "__main__":
    main()
