"""What missing values cost: passes over rows with gaps beside one over the complete rows.

python -m benchmarks.gaps
"""

from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import StatisticsPass

REPEATS = 3


class Size(NamedTuple):
    """Rows, features and components."""

    n_rows: int
    n_features: int
    n_components: int


SIZES = {
    Size(1_000_000, 10, 8): ("1 %", "ten patterns", "one each", "10 %", "30 %"),
    Size(400_000, 40, 8): ("2 %", "10 %"),
}
"""Shares of cells that are missing at random; "ten patterns", one cell of every tenth row; "one
each", one cell of every row."""


def problem(size: Size) -> tuple[Parameters, FloatArray]:
    """Return a mixture of full covariances, and rows around its means."""
    n, d, k = size
    rng = np.random.default_rng(0)
    roots = 0.3 * rng.normal(size=(k, d, d)) + np.eye(d)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d)
    means = 2 * rng.normal(size=(k, d))
    parameters = Parameters.from_covariances("full", np.full(k, 1 / k), means, covariances)
    return parameters, means[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def with_gaps(X: FloatArray, kind: str) -> FloatArray:
    """Return rows of which values are missing."""
    rng = np.random.default_rng(1)
    lacking: NDArray[np.bool_] = np.zeros(X.shape, dtype=np.bool_)
    if kind.endswith("%"):
        lacking = rng.random(X.shape) < float(kind[:-1]) / 100
    else:
        rows = np.flatnonzero(rng.random(len(X)) < (0.1 if kind == "ten patterns" else 1))
        lacking[rows, rng.integers(X.shape[1], size=len(rows))] = True
    return np.where(lacking, np.nan, X)


def seconds(parameters: Parameters, X: FloatArray, *, gaps: bool) -> float:
    """Return what a pass takes, the best of several."""
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        running = StatisticsPass(parameters, gaps=gaps)
        running.add(X, None)
        running.result()
        times.append(perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the table."""
    print(f"{'':28} {'patterns':>9} {'rows':>6} {'ms':>8} {'ratio':>6}")
    for size, kinds in SIZES.items():
        parameters, X = problem(size)
        base = seconds(parameters, X, gaps=False)
        name = f"N={size.n_rows} D={size.n_features} K={size.n_components}"
        print(f"{name:28} {'':9} {'':6} {1e3 * base:8.1f} {1:6.2f}")
        for kind in kinds:
            Y = with_gaps(X, kind)
            lacking = np.isnan(Y)
            n_patterns = len(np.unique(np.packbits(lacking, axis=1), axis=0))
            time = seconds(parameters, Y, gaps=True)
            print(
                f"  {kind:26} {n_patterns:9} {lacking.any(axis=1).mean():6.0%} {1e3 * time:8.1f} "
                f"{time / base:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
