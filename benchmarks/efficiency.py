"""Rates of a pass over many shapes at equal work: no shape is to be a cliff beside its neighbour.

A pass is one E-step with its sums, everything of an EM iteration but the K small factorisations.
Every shape gets as many rows as make the same number of operations, within bounds.
"""

from math import log
from time import perf_counter
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.display.progress import Progress
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect, pass_flops

FEATURES = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 32, 33, 64, 100, 128)
COMPONENTS = (1, 2, 3, 7, 8, 16, 32, 64, 100, 256)
ODD_FEATURES = (3, 5, 7, 12, 17, 33, 100)
ODD_COMPONENTS = (1, 3, 7, 100)
LEAST_OF_NEIGHBOUR = 0.6

FLOPS = 1e9
FEWEST_ROWS, MOST_ROWS = 1 << 12, 1_000_000
REPEATS = 3

Shape = tuple[int, int]  # features, components


class Grid(NamedTuple):
    """GFLOP/s of a pass, by features and components."""

    threads: int
    rates: dict[Shape, float]


class Pair(NamedTuple):
    """An odd shape and its regular neighbour, and how their rates compare."""

    odd: Shape
    neighbour: Shape
    ratio: float


def measure(
    n_threads: int,
    features: tuple[int, ...] = FEATURES,
    components: tuple[int, ...] = COMPONENTS,
    progress: Progress = lambda _done, _total: None,
) -> Grid:
    """Time a pass at every shape; shapes that fall short of a neighbour, and it, once more."""
    shapes = [(d, k) for d in features for k in components]
    rates: dict[Shape, float] = {}
    for done, shape in enumerate(shapes, start=1):
        rates[shape] = _rate(*shape, n_threads)
        progress(done, len(shapes))
    grid = Grid(n_threads, rates)
    for pair in pairs(grid):
        if pair.ratio < LEAST_OF_NEIGHBOUR:
            for shape in (pair.odd, pair.neighbour):
                rates[shape] = max(rates[shape], _rate(*shape, n_threads))
    return grid


def pairs(grid: Grid) -> list[Pair]:
    """Compare odd numbers of features, then of components, with the nearest regular ones."""
    rates = grid.rates
    features = {d for d, _ in rates}
    components = {k for _, k in rates}
    found = []
    for d, k in rates:
        if d in ODD_FEATURES and (regular := _nearest(d, features - set(ODD_FEATURES))):
            found.append(((d, k), (regular, k)))
        if k in ODD_COMPONENTS and (regular := _nearest(k, components - set(ODD_COMPONENTS))):
            found.append(((d, k), (d, regular)))
    return [Pair(odd, near, rates[odd] / rates[near]) for odd, near in found if near in rates]


def _nearest(number: int, others: set[int]) -> int | None:
    """The number with the ratio nearest to one; the larger of two."""
    return min(others, key=lambda other: (abs(log(other / number)), -other), default=None)


def _rate(n_features: int, n_components: int, n_threads: int) -> float:
    X, parameters = _problem(n_features, n_components)
    collect(X, None, parameters, n_threads)
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        collect(X, None, parameters, n_threads)
        times.append(perf_counter() - start)
    return 1e-9 * pass_flops(X, parameters) / min(times)


def _problem(d: int, k: int) -> tuple[FloatArray, Parameters]:
    """Rows of one cloud, and unit spheres about means in it, so that no exponential is skipped."""
    rng = np.random.default_rng([d, k])
    covariances = np.tile(np.eye(d), (k, 1, 1))
    means = rng.normal(scale=1 / np.sqrt(d), size=(k, d))
    parameters = Parameters.from_covariances("full", np.full(k, 1 / k), means, covariances)
    row_flops = pass_flops(np.empty((1, d)), parameters)
    return rng.normal(size=(int(np.clip(FLOPS / row_flops, FEWEST_ROWS, MOST_ROWS)), d)), parameters
