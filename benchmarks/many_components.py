"""Truncated EM beside EM: prints the tables of docs/many-components.md.

Both begin at the same parameters, with the same `tol` unless `--tol` gives the truncated fit its
own. EM's time is that of the shortest fit that comes within NEAR of where the whole one ends, by
its share of the passes. Arguments name problems; all without any. `--state FOLDER` keeps what has
been done there, and `--minutes M` stops after about so long: the same command again goes on, until
it prints the row. "limits" prints the second table: what a fit takes where lists do not pay, over
EM.
"""

import argparse
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
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
PART = 25
"""Iterations of EM that are done before the clock is looked at."""


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
    """Rows, and the mixture to fit."""

    rows: Callable[[], FloatArray]
    n_components: int
    structure: Structure
    target: float


PROBLEMS = {
    "separated": Problem(lambda: groups(3.0), 256, "full", 8),
    "pixels": Problem(pixels, 256, "full", 6),
    "pixels1024": Problem(pixels, 1024, "full", 6),
    "patches": Problem(lambda: patches(16), 256, "full", 3),
    "overlapping": Problem(lambda: groups(1.05), 256, "full", 2),
    "diagonal": Problem(lambda: patches(32), 1024, "diag", 5),
}


class Limit(NamedTuple):
    """Rows and a mixture where lists are of little use, and iterations at most."""

    rows: Callable[[], FloatArray]
    n_components: int
    max_iter: int


LIMITS = {
    "8 components": Limit(lambda: groups(3.0), 8, 20),
    "one group, 64 components": Limit(lambda: normal(100_000, 16), 64, 20),
    "one feature, 64 components": Limit(lambda: pixels()[:, :1].copy(), 64, 40),
    "one feature, 32 components": Limit(lambda: normal(1_000_000, 1), 32, 40),
    "overlapping, 5 iterations": Limit(lambda: groups(1.05), 256, 5),
    "overlapping, 20 iterations": Limit(lambda: groups(1.05), 256, 20),
    "separated, 3 iterations": Limit(lambda: groups(3.0), 256, 3),
    "separated, 6 iterations": Limit(lambda: groups(3.0), 256, 6),
}


def normal(n_samples: int, n_features: int) -> FloatArray:
    return np.random.default_rng(0).normal(size=(n_samples, n_features))


def start_of(X: FloatArray, structure: Structure, n_components: int, seed: int) -> Parameters:
    return initial_parameters(
        InMemory(X, None),
        structure=structure,
        n_components=n_components,
        method="kmeans",
        reg_covar=1e-6,
        random_state=np.random.RandomState(seed),
    )


def model_of(start: Parameters, algorithm: Any, max_iter: int, tol: float = TOL) -> GaussianMixture:
    return GaussianMixture(
        start.n_components,
        covariance_type=start.structure.form,
        algorithm=algorithm,
        tol=tol,
        max_iter=max_iter,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    )


def fit(model: GaussianMixture, X: FloatArray) -> float:
    """Fit, and return the seconds that it took."""
    began = perf_counter()
    model.fit(X)
    return perf_counter() - began


class Progress(NamedTuple):
    """How far EM has come."""

    start: Parameters
    model: GaussianMixture | None
    bounds: list[float]
    seconds: float


def em_until(deadline: float, X: FloatArray, problem: Problem, kept: Path, seed: int) -> Progress:
    """Do iterations of EM until it has converged, or a moment has passed; keep how far it came."""
    if kept.exists():
        progress: Progress = pickle.loads(kept.read_bytes())
    else:
        progress = Progress(
            start_of(X, problem.structure, problem.n_components, seed), None, [], 0.0
        )
    start, model, bounds, seconds = progress
    while (model is None or not model.converged_) and perf_counter() < deadline:
        if model is None:
            model = model_of(start, "em", PART).set_params(warm_start=True)
        seconds += fit(model, X)
        bounds.extend(model.lower_bounds_)
    progress = Progress(start, model, bounds, seconds)
    kept.write_bytes(pickle.dumps(progress))
    return progress


def row_of(name: str, folder: Path, deadline: float, tol: float, seed: int) -> str | None:
    """Return the row of the table, or None if EM has not ended yet."""
    problem = PROBLEMS[name]
    X = problem.rows()
    kept = folder / f"{name}-{seed}.pickle"
    start, exact, bounds, seconds = em_until(deadline, X, problem, kept, seed)
    if exact is None or not exact.converged_ or perf_counter() > deadline:
        return None
    listed = model_of(start, "truncated", MAX_ITER, tol)
    own = fit(listed, X)
    near = np.array(bounds) > exact.lower_bound_ - NEAR
    n_needed = int(near.argmax()) + 1
    needed = seconds * n_needed / len(bounds)
    cells = (
        name,
        f"{len(X):,} x {X.shape[1]}",
        f"{problem.n_components:,}",
        problem.structure,
        f"{n_needed}, {needed:.1f} s",
        f"{listed.n_iter_}, {own:.1f} s",
        f"{needed / own:.1f}",
        f"{problem.target:g}",
        f"{listed.lower_bound_ - exact.lower_bound_:+.1e}",
    )
    return f"| {' | '.join(cells)} |"


def limit_of(name: str) -> str:
    """Return the row of the second table: the better of two fits of each, in turns."""
    rows, n_components, max_iter = LIMITS[name]
    X = rows()
    start = start_of(X, "full", n_components, 0)
    seconds: dict[str, list[float]] = {"em": [], "truncated": []}
    for _ in range(2):
        for algorithm, found in seconds.items():
            found.append(fit(model_of(start, algorithm, max_iter), X))
    whole, own = (min(found) for found in seconds.values())
    cells = name, f"{len(X):,} x {X.shape[1]}", f"{whole:.2f} s", f"{own:.2f} s"
    return f"| {' | '.join(cells)} | {own / whole:.2f} |"


def print_limits() -> None:
    print("| data | N x D | EM | truncated | ratio |\n|---|---|---|---|---|")
    for name in LIMITS:
        print(limit_of(name), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*PROBLEMS, "limits"]))
    parser.add_argument("--state", type=Path, help="folder that keeps what has been done")
    parser.add_argument("--tol", type=float, default=TOL, help="of the truncated fits")
    parser.add_argument("--seed", type=int, default=0, help="of the starts")
    parser.add_argument("--minutes", type=float, default=np.inf)
    options = parser.parse_args()
    folder = options.state or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    deadline = perf_counter() + 60 * options.minutes
    names = options.names or [*PROBLEMS, "limits"]
    if names != ["limits"]:
        print("| data | N x D | K | covariances | EM | truncated | ratio | target | above |")
        print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        if name == "limits":
            print_limits()
            continue
        row = row_of(name, folder, deadline, options.tol, options.seed)
        if row is None:
            sys.exit("EM has not ended: the same command with --state goes on")
        print(row, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
