"""How often each start leads to the best known optimum, and at what cost: docs/starts.md's table.

Run ``OMP_NUM_THREADS=1 python benchmarks/starts.py``, with names of data sets to do only those.
Every start has the same 20 seeds. What is reached is judged by fits to tol=1e-7, cost by fits with
default arguments.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets, mixture

from gaussmix import GaussianMixture
from gaussmix._core.types import FloatArray, Structure
from gaussmix.em.trials import n_spurious
from gaussmix.model.parameters import Parameters

SEEDS = range(20)
ENOUGH = 1e-4  # mean log-likelihood of a row that a hit may lack
FINE: dict[str, Any] = {"tol": 1e-7, "max_iter": 3000}


class SearchProblem(NamedTuple):
    """Rows and the mixture to find in them."""

    rows: FloatArray
    n_components: int
    structure: Structure


class Optimum(NamedTuple):
    """Where a fit ended."""

    lower_bound: float
    spurious: bool


def main() -> None:
    """Print the two tables of the problems that the command line names, or of all."""
    rates, costs = [], []
    for name in sys.argv[1:] or list(PROBLEMS):
        problem = PROBLEMS[name]()
        n_rows, n_features = problem.rows.shape
        label = f"| {name} | {n_rows} x {n_features}, {problem.n_components} {problem.structure} "
        hits = " | ".join(f"{rate:.2f}" for rate in _rates(problem))
        rates.append(f"{label} | {hits} |")
        costs.append(f"{label} | {' | '.join(f'{cost:.2g}' for cost in _costs(problem))} |")
    for title, lines in (("best optimum reached", rates), ("cost of a fit", costs)):
        print(
            f"| {title} | data | {' | '.join(STARTS)} |", "|---" * (len(STARTS) + 2) + "|", sep="\n"
        )
        print(*lines, "", sep="\n")


def _rates(problem: SearchProblem) -> Iterator[float]:
    """Part of the seeds with which each start reaches the best that any reached."""
    outcomes = {name: [_outcome(problem, name, seed) for seed in SEEDS] for name in STARTS}
    sound = [o.lower_bound for several in outcomes.values() for o in several if not o.spurious]
    for several in outcomes.values():
        hits = [not o.spurious and o.lower_bound > max(sound) - ENOUGH for o in several]
        yield float(np.mean(hits))


def _outcome(problem: SearchProblem, name: str, seed: int) -> Optimum:
    model = _fitted(problem, name, seed, **FINE)
    parameters = Parameters.from_precisions(
        problem.structure, model.weights_, model.means_, model.precisions_
    )
    spurious = n_spurious(parameters, len(problem.rows)) > 0
    return Optimum(float(model.score(problem.rows)), spurious)


def _costs(problem: SearchProblem) -> Iterator[float]:
    """Median CPU time of a fit with each start, over that of scikit-learn's default fit."""
    medians = {name: _median_time(problem, name) for name in STARTS}
    return (seconds / medians["scikit-learn"] for seconds in medians.values())


def _median_time(problem: SearchProblem, name: str) -> float:
    times = []
    for seed in SEEDS:
        begin = process_time()
        _fitted(problem, name, seed)
        times.append(process_time() - begin)
    return float(np.median(times))


def _fitted(problem: SearchProblem, name: str, seed: int, **changes: Any) -> Any:
    estimator, settings = STARTS[name]
    model = estimator(
        problem.n_components,
        covariance_type=problem.structure,
        random_state=seed,
        **(settings | changes),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(problem.rows)


STARTS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "scikit-learn": (mixture.GaussianMixture, {}),
    "auto": (GaussianMixture, {"init_params": "auto", "n_threads": 1}),
    "kmeans": (GaussianMixture, {"init_params": "kmeans", "n_threads": 1}),
    "k-means++": (GaussianMixture, {"init_params": "k-means++"}),
    "random": (GaussianMixture, {"init_params": "random"}),
    "random_from_data": (GaussianMixture, {"init_params": "random_from_data"}),
    "hierarchical": (GaussianMixture, {"init_params": "hierarchical"}),
    "kmeans, n_init=10": (GaussianMixture, {"init_params": "kmeans", "n_init": 10}),
    "emem": (GaussianMixture, {"init_params": "emem"}),
}


def _bundled(name: str, features: slice | list[int] = slice(None)) -> FloatArray:
    data: FloatArray = getattr(datasets, f"load_{name}")().data[:, features]
    return np.ascontiguousarray(data)


def _principal(rows: FloatArray, n_features: int) -> FloatArray:
    centred = rows - rows.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return np.ascontiguousarray(centred @ directions[:n_features].T)


def _groups(
    seed: int, sizes: list[int], n_features: int, distance: float, least: float
) -> FloatArray:
    """Gaussian groups of random shapes, centres so far apart."""
    rng = np.random.default_rng(seed)
    groups = []
    for size in sizes:
        factor = rng.normal(size=(n_features, n_features))
        covariance = factor @ factor.T / n_features + least * np.eye(n_features)
        mean = distance * rng.normal(size=n_features)
        groups.append(rng.multivariate_normal(mean, covariance, size))
    return rng.permutation(np.concatenate(groups))


def _parallel(seed: int, n_groups: int, n_features: int) -> FloatArray:
    """Groups of unit width 6 apart along one direction, stretched 30 times in all others."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(500 * n_groups, n_features))
    rows *= np.r_[1.0, np.full(n_features - 1, 30.0)]
    rows[:, 0] += 6 * np.repeat(np.arange(n_groups), 500)
    turn, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    return rng.permutation(rows @ turn)


def _standardised(rows: FloatArray) -> FloatArray:
    scaled: FloatArray = np.ascontiguousarray((rows - rows.mean(axis=0)) / rows.std(axis=0))
    return scaled


def _faithful() -> FloatArray:
    path = Path(__file__).parents[1] / "tests" / "data" / "old_faithful.csv"
    rows: FloatArray = np.loadtxt(path, delimiter=",", skiprows=1)[:, :2]
    return np.ascontiguousarray(rows)


def _heavy_tails() -> FloatArray:
    """Four groups with the tails of Student's t."""
    rng = np.random.default_rng(11)
    centers = 5 * rng.normal(size=(4, 3))
    groups = [center + rng.standard_t(3, size=(250, 3)) for center in centers]
    return np.ascontiguousarray(np.concatenate(groups))


def _crosses() -> FloatArray:
    """Pairs of long groups that cross at right angles."""
    rng = np.random.default_rng(17)
    groups = []
    for center in ([0, 0], [8, 3]):
        groups.append(rng.normal(size=(300, 2)) * [4, 0.2] + center)
        groups.append(rng.normal(size=(300, 2)) * [0.2, 4] + center)
    return rng.permutation(np.concatenate(groups))


def _noise() -> FloatArray:
    """Six round groups of several sizes among uniform noise."""
    rng = np.random.default_rng(13)
    sizes = [0.3, 0.5, 1, 0.4, 0.8, 0.6]
    centers = rng.uniform(-10, 10, (6, 2))
    pairs = zip(centers, sizes, strict=True)
    groups = [rng.normal(size=(150, 2)) * size + center for center, size in pairs]
    return np.concatenate([*groups, rng.uniform(-14, 14, (200, 2))])


def _tiny() -> FloatArray:
    """Two large overlapping groups and one of a hundredth, between and above them."""
    rng = np.random.default_rng(3)
    large = rng.normal(size=(2000, 2)) + np.repeat([[0.0, 0.0], [3.5, 0.0]], 1000, axis=0)
    small = 0.15 * rng.normal(size=(20, 2)) + [1.7, 3.4]
    return rng.permutation(np.concatenate([large, small]))


def _elongated() -> FloatArray:
    """Four groups side by side, twenty times as long as wide."""
    rng = np.random.default_rng(4)
    groups = []
    for k in range(4):
        turn = np.array(
            [[np.cos(0.15 * k), -np.sin(0.15 * k)], [np.sin(0.15 * k), np.cos(0.15 * k)]]
        )
        rows = rng.normal(size=(300, 3)) * [5.0, 0.25, 0.25]
        rows[:, :2] = rows[:, :2] @ turn.T
        groups.append(rows + np.array([0, 1.5 * k, 0.8 * (k % 2)]))
    return rng.permutation(np.concatenate(groups))


PROBLEMS: dict[str, Callable[[], SearchProblem]] = {
    "iris": lambda: SearchProblem(_bundled("iris"), 3, "full"),
    "iris, standardised": lambda: SearchProblem(_standardised(_bundled("iris")), 3, "full"),
    "wine": lambda: SearchProblem(_bundled("wine"), 3, "tied"),
    "wine, standardised": lambda: SearchProblem(_standardised(_bundled("wine")), 3, "full"),
    "wine, diag": lambda: SearchProblem(_standardised(_bundled("wine")), 3, "diag"),
    "breast cancer": lambda: SearchProblem(_bundled("breast_cancer", slice(10)), 2, "full"),
    "breast cancer, standardised": lambda: SearchProblem(
        _standardised(_bundled("breast_cancer", slice(10))), 2, "full"
    ),
    "digits": lambda: SearchProblem(_principal(_bundled("digits"), 12), 10, "full"),
    "digits, tied": lambda: SearchProblem(
        _standardised(_principal(_bundled("digits"), 12)), 3, "tied"
    ),
    "Old Faithful, 2": lambda: SearchProblem(_faithful(), 2, "full"),
    "Old Faithful, 3": lambda: SearchProblem(_faithful(), 3, "tied"),
    "2 parallel": lambda: SearchProblem(_parallel(31, 2, 2), 2, "full"),
    "3 parallel": lambda: SearchProblem(_parallel(32, 3, 2), 3, "full"),
    "2 parallel, D = 10": lambda: SearchProblem(_parallel(33, 2, 10), 2, "full"),
    "overlapping": lambda: SearchProblem(_groups(1, [400] * 5, 4, 1.5, 0.2), 5, "full"),
    "a tiny group": lambda: SearchProblem(_tiny(), 3, "full"),
    "unequal sizes": lambda: SearchProblem(
        _groups(2, [2000, 600, 200, 80, 40], 3, 3.0, 0.1), 5, "full"
    ),
    "twenty groups": lambda: SearchProblem(_groups(5, [200] * 20, 4, 4.0, 0.05), 20, "full"),
    # The order of the candidates of 'auto' was not chosen on these.
    "heavy tails": lambda: SearchProblem(_heavy_tails(), 4, "full"),
    "crosses": lambda: SearchProblem(_crosses(), 4, "full"),
    "noise": lambda: SearchProblem(_noise(), 7, "full"),
    "elongated": lambda: SearchProblem(_elongated(), 4, "full"),
    "wine, 5 features": lambda: SearchProblem(_bundled("wine", [0, 6, 9, 10, 12]), 3, "full"),
    "breast cancer, 5 features": lambda: SearchProblem(
        _bundled("breast_cancer", [0, 1, 4, 6, 9]), 2, "full"
    ),
    "twelve round groups": lambda: SearchProblem(
        _groups(41, [100] * 12, 5, 2.0, 0.1), 12, "spherical"
    ),
}

if __name__ == "__main__":
    main()
