"""What an iteration of each family costs beside VVV's or VVI's: ``python -m benchmarks.families``.

One million rows, eight features, sixteen components. An iteration is a pass and an M-step. Families
take turns, so that a busy machine slows all alike.
"""

from time import perf_counter

import numpy as np

from gaussmix.data.base import InMemory
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.parameters import Parameters

N, D, K, ROUNDS = 1_000_000, 8, 16, 5
DIAGONAL = ("VVI", "EII", "VII", "EEI", "VEI", "EVI")
ROTATED = ("VVV", "EEE", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV")


def main() -> None:
    """Print milliseconds, and the ratio to the most general family of the kind."""
    rng = np.random.default_rng(0)
    means = rng.normal(scale=3.0, size=(K, D))
    X = means[rng.integers(K, size=N)] + rng.normal(size=(N, D)) * rng.uniform(0.5, 1.5, D)
    objective = MaximumLikelihood(InMemory(X, None), 1e-6)
    points = {}
    for name in (*DIAGONAL, *ROTATED):
        blank = Parameters.unset(name, K, D)
        spread = blank.structure.alike(np.eye(D), K)
        points[name] = Parameters.from_covariances(name, np.full(K, 1 / K), means, spread)
    best = dict.fromkeys(points, np.inf)
    for _ in range(ROUNDS):
        for name, point in points.items():
            start = perf_counter()
            points[name], _ = objective.m_step(objective.e_step(point), point)
            best[name] = min(best[name], perf_counter() - start)
    for names in (ROTATED, DIAGONAL):
        for name in names:
            print(f"{name} {1e3 * best[name]:7.1f} ms {best[name] / best[names[0]]:5.2f}")


if __name__ == "__main__":
    main()
