"""Truncated EM beside EM: prints the table of docs/many-components.md.

Both begin at the same parameters. EM's time is that of the shortest fit that comes within NEAR of
where the whole one with TOL ends, by its share of the passes. Arguments name data sets; all
without any.
"""

import sys
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from gaussmix import GaussianMixture
from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.base import InMemory
from gaussmix.model.parameters import Parameters
from gaussmix.starts.methods import initial_parameters

NEAR = 1e-4
TOL = 1e-5
MAX_ITER = 5000


def groups(distance: float) -> FloatArray:
    """256 groups in 16 dimensions, whose centres have this standard deviation."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(256, 16)) * distance
    shapes = np.eye(16) * rng.uniform(0.6, 1.4, size=(256, 1, 1))
    shapes = shapes + 0.25 * rng.normal(size=(256, 16, 16))
    labels, X = rng.integers(256, size=200_000), rng.normal(size=(200_000, 16))
    for k in range(256):
        X[labels == k] = centers[k] + X[labels == k] @ shapes[k].T
    return X


def images() -> list[FloatArray]:
    from sklearn.datasets import load_sample_images

    return [image.astype(np.float64) for image in load_sample_images().images]


def pixels() -> FloatArray:
    """Every second pixel of two photographs, RGB; uniform noise undoes the rounding to integers."""
    X = np.concatenate([image.reshape(-1, 3) for image in images()])[::2]
    return X + np.random.default_rng(0).uniform(-0.5, 0.5, size=X.shape)


def patches(n_features: int) -> FloatArray:
    """300,000 patches of 8 x 8 pixels of the photographs in grey, as principal components."""
    rng, found = np.random.default_rng(0), []
    for image in images():
        grey = image.mean(axis=2)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (8, 8))
        rows, columns = (rng.integers(size - 7, size=150_000) for size in grey.shape)
        found.append(windows[rows, columns].reshape(-1, 64))
    X = np.concatenate(found)
    X -= X.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(X.T))
    return np.ascontiguousarray(X @ vectors[:, ::-1][:, :n_features])


class Problem(NamedTuple):
    """Rows, of which some are taken at random, and the mixture to fit."""

    rows: Callable[[], FloatArray]
    n_samples: int
    n_components: int
    structure: Structure
    target: float
    tol: float = 1e-5
    """Of the truncated fit: where EM creeps over plateaus, both end anywhere with the same one."""


PROBLEMS = {
    "separated": Problem(lambda: groups(3.0), 100_000, 256, "full", 8),
    "pixels": Problem(pixels, 50_000, 256, "full", 6, 1e-6),
    "pixels1024": Problem(pixels, 20_000, 1024, "full", 6, 1e-6),
    "patches": Problem(lambda: patches(16), 25_000, 256, "full", 3, 1e-6),
    "overlapping": Problem(lambda: groups(1.05), 8_000, 256, "full", 2),
    "diagonal": Problem(lambda: patches(32), 40_000, 256, "diag", 5, 1e-6),
}


def fit(
    X: FloatArray, start: Parameters, algorithm: Any, tol: float
) -> tuple[GaussianMixture, float]:
    """Return a fit, and the seconds that it took."""
    model = GaussianMixture(
        start.n_components,
        covariance_type=start.structure.form,
        algorithm=algorithm,
        tol=tol,
        max_iter=MAX_ITER,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    )
    began = perf_counter()
    model.fit(X)
    return model, perf_counter() - began


def row_of(name: str) -> str:
    """Return the row of the table."""
    rows, n_samples, n_components, structure, target, tol = PROBLEMS[name]
    X = rows()
    X = np.ascontiguousarray(X[np.random.default_rng(1).permutation(len(X))[:n_samples]])
    start = initial_parameters(
        InMemory(X, None),
        structure=structure,
        n_components=n_components,
        method="kmeans",
        reg_covar=1e-6,
        random_state=np.random.RandomState(0),
    )
    listed, seconds = fit(X, start, "truncated", tol)
    exact, whole = fit(X, start, "em", TOL)
    bounds = np.array(exact.lower_bounds_)
    n_needed = int(np.argmax(bounds > exact.lower_bound_ - NEAR)) + 1
    needed = whole * n_needed / len(bounds)
    cells = (
        name,
        f"{n_samples:,} x {X.shape[1]}",
        f"{n_components:,}",
        structure,
        f"{n_needed}, {needed:.1f} s",
        f"{listed.n_iter_}, {seconds:.1f} s",
        f"{needed / seconds:.1f}",
        f"{target:g}",
        f"{tol:g}",
        f"{listed.lower_bound_ - exact.lower_bound_:+.0e}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("| data | N x D | K | covariances | EM | truncated | ratio | target | tol | above |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or PROBLEMS:
        print(row_of(name), flush=True)
