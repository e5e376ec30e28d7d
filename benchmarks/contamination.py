"""How often fits find the true groups under outliers: ``python -m benchmarks.contamination``.

Four groups in three dimensions, and 1, 5 or 20 per cent of outliers: uniform over a box of three
times the groups' range, or in one far dense clump. A fit finds the groups if the adjusted Rand
index of the rows that are no outliers is at least 0.9.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as ScikitLearn

from gaussmix import GaussianMixture

Array: TypeAlias = NDArray[Any]
Method: TypeAlias = Callable[[Array, float, int], Array]
PARTS = 0.01, 0.05, 0.2
SEEDS = 20
N_GROUPS, N_ROWS, N_FEATURES = 4, 800, 3
FOUND = 0.9
RATIO = 20.0  # the groups' variances differ by less than 6


def contaminated(part: float, kind: str, seed: int) -> tuple[Array, Array]:
    """Rows, and their groups; -1 is an outlier."""
    rng = np.random.default_rng([seed, int(part * 100)])
    centers = np.array([[0, 0, 0], [7, 0, 0], [0, 7, 0], [0, 0, 7.0]])
    group = rng.integers(N_GROUPS, size=N_ROWS)
    spread = rng.uniform(0.6, 1.4, size=(N_GROUPS, N_FEATURES))
    X = centers[group] + rng.normal(size=(N_ROWS, N_FEATURES)) * spread[group]
    n_outliers = round(part * N_ROWS / (1 - part))
    if kind == "uniform":
        outliers = rng.uniform(-15, 20, size=(n_outliers, N_FEATURES))
    else:
        outliers = rng.normal([25, 25, 25], 1.0, size=(n_outliers, N_FEATURES))
    order = rng.permutation(N_ROWS + n_outliers)
    groups = np.concatenate([group, np.full(n_outliers, -1)])
    return np.vstack([X, outliers])[order], groups[order]


def trimmed_k_means(X: Array, part: float, seed: int) -> Array:
    """Labels of the best of ten trimmed K-means (Cuesta-Albertos, Gordaliza & Matran, 1997)."""
    rng, best, labels = np.random.default_rng(seed), np.inf, np.zeros(len(X), dtype=int)
    n_kept = round((1 - part) * len(X))
    for _ in range(10):
        centers = X[rng.choice(len(X), N_GROUPS, replace=False)]
        for _ in range(50):
            squares = ((X[:, None] - centers) ** 2).sum(axis=2)
            found, nearest = squares.argmin(axis=1), squares.min(axis=1)
            kept = np.argsort(nearest)[:n_kept]
            own = [X[kept][found[kept] == k] for k in range(N_GROUPS)]
            moved = [rows.mean(axis=0) if len(rows) else centers[k] for k, rows in enumerate(own)]
            centers = np.array(moved)
        if nearest[kept].sum() < best:
            best, labels = nearest[kept].sum(), found
    return labels


def of(mixture: type, n_components: int = N_GROUPS, **options: Any) -> Method:
    """Return what fits a mixture and says where rows belong."""

    def method(X: Array, _part: float, seed: int) -> Array:
        labels: Array = mixture(n_components, random_state=seed, **options).fit_predict(X)
        return labels

    return method


METHODS: dict[str, Method] = {
    "`noise=True`": of(GaussianMixture, noise=True),
    "`noise=True`, one more component": of(GaussianMixture, N_GROUPS + 1, noise=True),
    "`eigenvalue_ratio=20`": of(GaussianMixture, eigenvalue_ratio=RATIO),
    "`eigenvalue_ratio=20`, one more component": of(
        GaussianMixture, N_GROUPS + 1, eigenvalue_ratio=RATIO
    ),
    "both": of(GaussianMixture, noise=True, eigenvalue_ratio=RATIO),
    "both, one more component": of(
        GaussianMixture, N_GROUPS + 1, noise=True, eigenvalue_ratio=RATIO
    ),
    "gaussmix": of(GaussianMixture),
    "gaussmix, one more component": of(GaussianMixture, N_GROUPS + 1),
    "scikit-learn": of(ScikitLearn),
    "trimmed k-means, told the part": trimmed_k_means,
}


def main() -> None:
    """Print the table."""
    cases = [(kind, part) for kind in ("uniform", "clustered") for part in PARTS]
    print("| | " + " | ".join(f"{part:.0%} {kind}" for kind, part in cases) + " |")
    print("|---" * (len(cases) + 1) + "|")
    for name, method in METHODS.items():
        cells = []
        for kind, part in cases:
            hits = 0
            for seed in range(SEEDS):
                X, groups = contaminated(part, kind, seed)
                labels = method(X, part, seed)
                true = groups >= 0
                hits += adjusted_rand_score(groups[true], labels[true]) >= FOUND
            cells.append(f"{hits / SEEDS:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
