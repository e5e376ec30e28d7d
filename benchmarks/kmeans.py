"""K-means with many clusters beside scikit-learn and faiss: twenty passes from the same centres.

python -m benchmarks.kmeans [N,D,K ...]

scikit-learn runs both of its algorithms, faiss its own (float32 alone, without subsampling), all
with all threads. "ratio" is the time of the fastest of them over ours; for float64 that of
scikit-learn, and beside it that of faiss, which computes in float32.
"""

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.bench.cases import KMEANS, KMEANS_PASSES, Case, make_problem
from gaussmix.estimators.kmeans import KMeans

SHAPES = ((200_000, 32, 256), (100_000, 64, 1_000), (500_000, 3, 256), (1_000_000, 8, 64))
DTYPES = ("float64", "float32")
REPEATS = 3
LONG = 3.0
"""Seconds of a run that is not repeated."""

Fit = Callable[[Rows, FloatArray], float]
"""Rows and starting centres -> inertia."""


class Timed(NamedTuple):
    """Seconds of the fastest run, and the inertia that it reached."""

    seconds: float
    inertia: float


def settings(centers: Rows) -> dict[str, Any]:
    return {
        "n_clusters": len(centers),
        "init": centers,
        "n_init": 1,
        "max_iter": KMEANS_PASSES,
        "tol": 0,
    }


def gaussmix(X: Rows, centers: FloatArray) -> float:
    return KMeans(**settings(centers)).fit(X).inertia_


def scikit_learn(algorithm: str) -> Fit:
    def fit(X: Rows, centers: FloatArray) -> float:
        from sklearn import cluster

        start = centers.astype(X.dtype)
        return float(cluster.KMeans(**settings(start), algorithm=algorithm).fit(X).inertia_)

    return fit


def faiss(X: Rows, centers: FloatArray) -> float:
    import faiss as library  # type: ignore[import-not-found,unused-ignore]

    n_clusters, n_features = centers.shape
    limits = {"min_points_per_centroid": 1, "max_points_per_centroid": len(X)}
    run = library.Kmeans(n_features, n_clusters, niter=KMEANS_PASSES, **limits)
    run.train(X.astype(np.float32, copy=False), init_centroids=centers.astype(np.float32))
    return float(run.obj[-1])


def rivals() -> dict[str, Fit]:
    found: dict[str, Fit] = {}
    if find_spec("sklearn"):
        found |= {f"sklearn {name}": scikit_learn(name) for name in ("lloyd", "elkan")}
    if find_spec("faiss"):
        found["faiss"] = faiss
    return found


def timed(fits: dict[str, Fit], X: Rows, centers: FloatArray) -> dict[str, Timed]:
    """Run the fits in turn, those again that cost little, and keep the shortest run of each."""
    found: dict[str, Timed] = {}
    for _ in range(REPEATS):
        for name, fit in fits.items():
            if name in found and found[name].seconds > LONG:
                continue
            start = perf_counter()
            inertia = fit(X, centers)
            run = Timed(perf_counter() - start, inertia)
            found[name] = min(found.get(name, run), run)
    return found


def main(shapes: tuple[tuple[int, int, int], ...] = SHAPES) -> None:
    """Print the table."""
    warnings.filterwarnings("ignore")  # that so few passes do not converge is meant
    others = rivals()
    names = ["gaussmix", *others]
    print(f"{'N':>9} {'D':>3} {'K':>5} {'dtype':8}", *(f"{name:>14}" for name in names), "ratio")
    for shape in shapes:
        for dtype in DTYPES:
            problem = make_problem(Case(KMEANS, *shape, dtype=dtype))
            centers = np.ascontiguousarray(problem.start.means)
            found = timed({"gaussmix": gaussmix, **others}, problem.X, centers)
            ours = found.pop("gaussmix")
            alike = {n: t for n, t in found.items() if dtype == "float32" or n != "faiss"}
            best = min(each.seconds for each in alike.values()) if alike else float("nan")
            ratio = f"{best / ours.seconds:.2f}"
            if dtype == "float64" and "faiss" in found:
                ratio += f" ({found['faiss'].seconds / ours.seconds:.2f})"
            times = (f"{each.seconds:12.3f} s" for each in (ours, *found.values()))
            print("{:>9} {:>3} {:>5}".format(*shape), f"{dtype:8}", *times, ratio, flush=True)
            for name, each in found.items():
                off = each.inertia / ours.inertia - 1
                if name != "faiss" and abs(off) > 1e-4:
                    print(f"  {name}: inertia off by {off:.1e}")


if __name__ == "__main__":
    given = tuple(tuple(int(n) for n in text.split(",")) for text in sys.argv[1:])
    main(given or SHAPES)  # type: ignore[arg-type]
