"""The single numbers of docs/ that no other benchmark prints, each under the page that has it.

python -m benchmarks.claims [NAME ...]
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._core.types import FloatArray
from gaussmix.bench.machine import best_seconds

DATA = Path(__file__).parents[1] / "tests" / "data"
REPEATS = 5
SLACK = 1e-6  # of a mean log-likelihood: what is another optimum


def groups() -> Iterator[str]:
    """docs/priors.md: statistics of groups of rows."""
    model = overlapping_mixture(16, 8)
    X = model.sample(1_000_000, random_state=1)[0]
    of_rows = np.arange(len(X)) // 100
    yield f"10,000 groups of 100 rows: {seconds(lambda: model.statistics(X, of_rows)):.2f} s"
    yield f"the same rows without groups: {seconds(lambda: model.statistics(X)):.2f} s"


def patterns() -> Iterator[str]:
    """docs/missing-values.md: the level of a pattern of gaps. docs/queries.md: its regression."""
    model = overlapping_mixture(8, 10)
    model.missing_values = "marginalize"
    X = model.sample(1000, random_state=1)[0]
    X[np.random.default_rng(0).random(X.shape) < 0.5] = np.nan
    lacking = np.isnan(X)
    X = X[lacking.any(axis=1) & ~lacking.all(axis=1)]
    X = X[np.unique(np.isnan(X), axis=0, return_index=True)[1]]
    ms = 1000 * seconds(lambda: model.predict_missing(X)) / len(X)
    yield f"predict_missing: {ms:.2f} ms a pattern, of {len(X)}"
    ms = 1000 * seconds(lambda: model.is_outlier(X[:30])) / 30
    yield f"is_outlier: {ms:.1f} ms a pattern, of 30"


def rounding() -> Iterator[str]:
    """docs/numerics.md: by how much the likelihood falls in float32."""
    worst = {False: 0.0, True: 0.0}
    for d in (2, 8, 32):
        for sigma in (1e-3, 1e-4, 1e-5):
            for seed in range(5):
                rng = np.random.default_rng(seed)
                X = rng.normal(size=(2000, d))
                X[:1000] = 1 + sigma * X[:1000] / np.sqrt(d)
                model = mixture(2, tol=0, reg_covar=0, max_iter=40, random_state=seed)
                with warnings.catch_warnings(record=True) as given:
                    warnings.simplefilter("always")
                    model.fit(X.astype(np.float32))
                warned = any(each.category is gaussmix.PrecisionWarning for each in given)
                distances = np.linalg.norm(model.means_ - model.weights_ @ model.means_, axis=1)
                deviations = np.sqrt(np.linalg.eigvalsh(model.covariances_)[:, 0])
                bound = 6e-8 * np.max(distances / deviations)
                fall = -np.diff(model.lower_bounds_).min() / bound
                worst[warned] = max(worst[warned], fall)
    yield f"without a warning it falls by at most {worst[False]:.2f} times the rounding"
    yield f"with a warning it falls by up to {worst[True]:.0f} times the rounding"


def optima() -> Iterator[str]:
    """docs/selection.md: where three full components for Old Faithful end."""
    X = np.loadtxt(DATA / "old_faithful.csv", delimiter=",", skiprows=1)
    for start in ("emem", "auto", "kmeans"):
        found = [
            gaussmix.select(X, [3], ["full"], init_params=start, random_state=seed).best.bic
            for seed in range(8)
        ]
        values, counts = np.unique(np.round(found, 2), return_counts=True)
        yield f"{start}: " + ", ".join(
            f"{value} from {count} of 8 seeds"
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        )


def many_features() -> Iterator[str]:
    """docs/starts.md: a start with more features than rows."""
    X = np.random.default_rng(0).normal(size=(60, 20_000))
    X[:30] += 0.2
    fit = partial(GaussianMixture(2, covariance_type="diag", random_state=0).fit, X)
    yield f"60 rows of 20,000 features: {seconds(fit):.1f} s"


def many_rows() -> Iterator[str]:
    """docs/starts.md: default fits of many rows, from two starts."""
    yield "| groups | features, components | start | behind the best | iterations | s |"
    yield "|---|---|---|--:|--:|--:|"
    for name, stretch, d, k in (("round", 0, 8, 16), ("long", 1, 8, 16), ("long", 1, 10, 32)):
        X = overlapping_mixture(k, d, stretch).sample(400_000, random_state=1)[0]
        fits: dict[str, list[tuple[float, int, float]]] = {"auto": [], "kmeans": []}
        for seed in range(5):
            for start, ends in fits.items():
                began = time.perf_counter()
                model = mixture(k, init_params=start, random_state=seed).fit(X)
                ends.append((model.score(X), model.n_iter_, time.perf_counter() - began))
        best = max(score for ends in fits.values() for score, _, _ in ends)
        for start, ends in fits.items():
            score, n_iter, spent = np.mean(ends, axis=0)
            numbers = f"{best - score:.4f} | {n_iter:.0f} | {spent:.2f}"
            yield f"| {name} | {d}, {k} | {start} | {numbers} |"


def passes() -> Iterator[str]:
    """docs/acceleration.md: what a pass over few rows costs."""
    X = overlapping_mixture(3, 4).sample(1000, random_state=1)[0]
    for accelerate in (None, "squarem", "anderson"):
        model = mixture(3, tol=0, max_iter=300, accelerate=accelerate, random_state=0, n_threads=1)
        ms = 1000 * seconds(partial(model.fit, X)) / model.n_iter_
        yield f"{accelerate}: {ms:.3f} ms a pass"


def jumps() -> Iterator[str]:
    """docs/acceleration.md: where accelerated fits of random mixtures end."""
    rng = np.random.default_rng(0)
    problems = []
    for seed in range(400):
        k, d = int(rng.integers(2, 6)), int(rng.integers(1, 9))
        settings = {
            "n_components": k,
            "init_params": str(rng.choice(["kmeans", "random_from_data"])),
            "reg_covar": float(rng.choice([0, 1e-6, 1e-3, 0.1])),
            "random_state": seed,
        }
        centers = 2 * rng.normal(size=(k, d))
        n = int(rng.choice([150, 400]))
        problems.append((centers[rng.integers(k, size=n)] + rng.normal(size=(n, d)), settings))
    plain = [ended(X, settings) for X, settings in problems]
    for method in ("squarem", "anderson"):
        fits = [ended(X, {**settings, "accelerate": method}) for X, settings in problems]
        gains = np.array([fit[0] - other[0] for fit, other in zip(fits, plain, strict=True)])
        parts = np.array([fit[1] / other[1] for fit, other in zip(fits, plain, strict=True)])
        yield (
            f"{method}: of {len(fits)} lower than EM {np.sum(gains < -SLACK)}, higher "
            f"{np.sum(gains > SLACK)}; passes over EM's: median {np.median(parts):.2f}, "
            f"more than 1.1 times {np.sum(parts > 1.1)}, the most {parts.max():.1f} times"
        )


def sizes() -> Iterator[str]:
    """docs/checkpoints.md: files of a fit."""
    X = overlapping_mixture(16, 16).sample(20_000, random_state=1)[0]
    with tempfile.TemporaryDirectory() as folder:
        model_file, checkpoint = Path(folder) / "model.npz", Path(folder) / "run.ckpt"
        for accelerate in (None, "anderson"):
            settings = {"tol": 0, "accelerate": accelerate, "random_state": 0}
            model = mixture(16, max_iter=30, checkpoint=checkpoint, **settings).fit(X)
            gaussmix.save(model, model_file)
            times = checkpoint.stat().st_size / model_file.stat().st_size
            yield f"accelerate={accelerate}: {times:.1f} times the model's file"
            checkpoint.unlink()


def ended(X: FloatArray, settings: dict[str, Any]) -> tuple[float, int]:
    """Return the log-likelihood where a long fit ends, and its passes."""
    model = mixture(tol=1e-9, max_iter=5000, n_threads=1, **settings).fit(X)
    return model.score(X), model.n_iter_


def overlapping_mixture(k: int, d: int, stretch: float = 0) -> GaussianMixture:
    """Return components a few deviations apart: spheres that are stretched in random directions."""
    rng = np.random.default_rng(0)
    means = 1.5 * rng.normal(size=(k, d))
    roots = np.eye(d) + stretch * rng.normal(size=(k, d, d))
    covariances = roots @ roots.transpose(0, 2, 1)
    return GaussianMixture.from_parameters(np.full(k, 1 / k), means, covariances)


def mixture(*arguments: Any, **settings: Any) -> GaussianMixture:
    """Return a mixture whose fits do not warn."""
    warnings.simplefilter("ignore")
    return GaussianMixture(*arguments, **settings)


def seconds(call: Callable[[], object]) -> float:
    """Return what a call takes, the best of several."""
    return best_seconds(call, REPEATS)


CLAIMS = (groups, patterns, rounding, optima, many_features, many_rows, passes, jumps, sizes)


def main(names: list[str]) -> None:
    """Print the numbers of these names, by default all."""
    for claim in CLAIMS:
        if not names or claim.__name__ in names:
            print(claim.__doc__, flush=True)
            for line in claim():
                print(" ", line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
