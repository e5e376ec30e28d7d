"""The demonstration: a large mixture that is known, fitted, and compared with the truth."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gaussmix._core import dispatch, threads
from gaussmix._core.types import FloatArray
from gaussmix.bench.machine import lifetime_peak
from gaussmix.data.base import InMemory
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.estimators.settings import settings_of
from gaussmix.model.parameters import Parameters
from gaussmix.starts.methods import initial_parameters
from gaussmix.validation import check_random_state

N_FEATURES = 8
TOL = 1e-5  # the default, 1e-3, ends while variances are still a quarter off
PICTURE_ROWS = 120_000
BLOCK_ROWS = 1 << 16  # rows generated at a time, so that memory never exceeds the data by much

TILT = 1.0  # radians between a component's long axis and its ray
DEPTH = 0.3  # standard deviation of the means outside the plane of the rings


class Ring(NamedTuple):
    """Components evenly around the middle, so wide that each overlaps with its neighbours."""

    number: int
    radius: float
    long_axis: float  # standard deviations
    short_axis: float


RINGS = (Ring(1, 0.0, 0.9, 0.9), Ring(5, 3.6, 1.6, 0.8), Ring(10, 7.4, 2.0, 0.9))
N_COMPONENTS = sum(ring.number for ring in RINGS)


class Matched(NamedTuple):
    """How a clustering agrees with the truth, after the best matching of their components."""

    order: NDArray[np.intp]  # (K,), the found component that stands for each true one
    agreement: float  # part of the rows that are with the right component


class Demo(NamedTuple):
    """A fit of known data, all that the table and the picture need."""

    X: FloatArray
    model: GaussianMixture
    kmeans: KMeans
    start_seconds: float
    fit_seconds: float
    memory_growth: int | None  # bytes
    truth_log_likelihood: float
    agreement: float
    kmeans_agreement: float
    best_agreement: float  # of the true parameters with the true labels
    mean_error: float
    covariance_error: float

    @property
    def total_seconds(self) -> float:
        """Time of start and iterations."""
        return self.start_seconds + self.fit_seconds


def run(
    truth: Parameters,
    X: FloatArray,
    labels: NDArray[np.uint8],
    *,
    seed: int = 0,
    n_threads: int | None = None,
    verbose: int = 0,
) -> Demo:
    """Fit rows that `generate` has drawn from `flower`, and compare the fit with the truth.

    Parameters
    ----------
    truth : Parameters
    X : ndarray of shape (N, D)
    labels : ndarray of shape (N,)
    seed : int
        Of the start.
    n_threads : int, optional
    verbose : int
        Passed to `GaussianMixture`.
    """
    before = lifetime_peak()
    model, start_seconds, fit_seconds = _timed_fit(X, seed, n_threads, verbose)
    after = lifetime_peak()
    kmeans = KMeans(N_COMPONENTS, random_state=seed, n_threads=n_threads).fit(X)
    ideal = GaussianMixture.from_parameters(
        truth.weights, truth.means, truth.covariances, n_threads=n_threads
    )
    matched = match(labels, model.predict(X))
    mean_error, covariance_error = parameter_errors(truth, model, matched.order)
    return Demo(
        X,
        model,
        kmeans,
        start_seconds,
        fit_seconds,
        None if before is None or after is None else after - before,
        ideal.score(X),
        matched.agreement,
        match(labels, kmeans.labels_).agreement,
        match(labels, ideal.predict(X)).agreement,
        mean_error,
        covariance_error,
    )


def flower() -> Parameters:
    """Return the true mixture: sixteen components in eight dimensions.

    Seen from the right side they form three rings. They are turned, so that every feature tells
    something of every component.
    """
    rng = np.random.default_rng(2026)
    turn = np.linalg.qr(rng.normal(size=(N_FEATURES, N_FEATURES)))[0]
    petals = [
        _petal(ring, 2 * np.pi * (i + 0.5) / ring.number, rng)
        for ring in RINGS
        for i in range(ring.number)
    ]
    means = np.array([mean for mean, _ in petals]) @ turn.T
    covariances = turn @ np.array([covariance for _, covariance in petals]) @ turn.T
    weights = np.full(N_COMPONENTS, 1 / N_COMPONENTS)
    return Parameters.from_covariances("full", weights, means, covariances)


def generate(
    parameters: Parameters,
    n_samples: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Draw rows (N, D) of a mixture in random order, and the component of each (N,).

    `progress` is told how many rows have been drawn, and of how many.
    """
    rng = np.random.default_rng(seed)
    X = np.empty((n_samples, parameters.n_features))
    labels = np.empty(n_samples, dtype=np.uint8)
    factors = np.linalg.cholesky(parameters.full_covariances())
    for start in range(0, n_samples, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block, chosen = X[rows], labels[rows]
        chosen[:] = rng.choice(len(factors), size=len(chosen), p=parameters.weights)
        rng.standard_normal(out=block)
        for k, factor in enumerate(factors):
            members = np.flatnonzero(chosen == k)
            block[members] = block[members] @ factor.T + parameters.means[k]
        if progress is not None:
            progress(min(start + BLOCK_ROWS, n_samples), n_samples)
    return X, labels


def match(truth: NDArray[np.integer], found: NDArray[np.integer]) -> Matched:
    """Match components so that most rows agree (Kuhn, 1955, The Hungarian method)."""
    counts = np.bincount(
        truth.astype(np.intp) * N_COMPONENTS + found, minlength=N_COMPONENTS**2
    ).reshape(N_COMPONENTS, N_COMPONENTS)
    rows, order = linear_sum_assignment(counts, maximize=True)
    return Matched(order, float(counts[rows, order].sum() / len(truth)))


def parameter_errors(
    truth: Parameters, model: GaussianMixture, order: NDArray[np.intp]
) -> tuple[float, float]:
    """Return the worst error of a mean and the worst relative error of a variance.

    The mean's is in true standard deviations along the error, the variance is that in whatever
    direction its error is largest.
    """
    steps = (model.means_[order] - truth.means)[:, None, :] @ truth.precisions_cholesky
    upper = truth.precisions_cholesky
    white = np.swapaxes(upper, 1, 2) @ model.covariances_[order] @ upper  # ideally all 1
    variances = np.linalg.eigvalsh(white)
    return float(np.linalg.norm(steps, axis=-1).max()), float(np.abs(variances - 1).max())


def table(demo: Demo) -> str:
    """Describe the outcome for people."""
    model = demo.model
    outcome = (
        f"converged to tol {model.tol:g}"
        if model.converged_
        else f"not converged within {model.max_iter}"
    )
    grown, truth = demo.memory_growth, demo.truth_log_likelihood
    memory = "not measured here" if grown is None else f"{grown / 1e6:.0f} MB beyond the data's"
    rows = [
        ("rows x features", f"{len(demo.X):,} x {demo.X.shape[1]}, {demo.X.nbytes / 1e6:.0f} MB"),
        ("components", f"{model.n_components}, {model.covariance_type} covariances"),
        ("kernels", f"{dispatch.active().name}, {_threads(model.n_threads)}"),
        ("start", f"{demo.start_seconds:.2f} s"),
        ("iterations", f"{demo.fit_seconds:.2f} s, {model.n_iter_} of them, {outcome}"),
        ("total", f"{demo.total_seconds:.2f} s"),
        ("memory", memory),
        ("log-likelihood", f"{model.lower_bound_:.6f} a row (truth: {truth:.6f})"),
        ("agreement", f"{demo.agreement:.2%} of the rows (truth: {demo.best_agreement:.2%})"),
        ("  of K-means", f"{demo.kmeans_agreement:.2%}"),
        ("worst mean", f"{demo.mean_error:.4f} standard deviations off"),
        ("worst variance", f"{demo.covariance_error:.2%} off, in any direction"),
    ]
    return "\n".join(f"{name:<16} {value}" for name, value in rows)


def caption(demo: Demo) -> str:
    """Return one line to go below the picture."""
    return (
        f"{len(demo.X):,} points in {demo.X.shape[1]} dimensions, {N_COMPONENTS} components, "
        f"fitted in {demo.total_seconds:.1f} s on {_threads(demo.model.n_threads)}; "
        f"{min(PICTURE_ROWS, len(demo.X)):,} of the points drawn"
    )


def _petal(ring: Ring, angle: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of one component, the rings' plane being the first two features."""
    depth = N_FEATURES - 2
    place = ring.radius * np.array([np.cos(angle), np.sin(angle)])
    mean = np.concatenate([place, DEPTH * rng.normal(size=depth)])
    c, s = np.cos(angle + TILT), np.sin(angle + TILT)
    axes = np.zeros((N_FEATURES, N_FEATURES))
    axes[:2, :2] = np.array([[c, -s], [s, c]]) * (ring.long_axis, ring.short_axis)
    axes[2:, 2:] = np.linalg.qr(rng.normal(size=(depth, depth)))[0]
    axes[2:, 2:] *= np.exp(rng.uniform(-0.5, 0.5, size=depth))
    return mean, axes @ axes.T


def _timed_fit(
    X: FloatArray, seed: int, n_threads: int | None, verbose: int
) -> tuple[GaussianMixture, float, float]:
    """Fit as GaussianMixture(N_COMPONENTS, tol=TOL) does, timing start and iterations."""
    model = GaussianMixture(N_COMPONENTS, tol=TOL, n_threads=n_threads)
    begin = perf_counter()
    start = initial_parameters(
        InMemory(X, None, n_threads),
        structure="full",
        n_components=N_COMPONENTS,
        method=model.init_params,
        reg_covar=settings_of(model).reg_covar,
        random_state=check_random_state(seed),
    )
    started = perf_counter()
    model.set_params(
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
        verbose=verbose,
        verbose_interval=1,
    )
    model.fit(X)
    return model, started - begin, perf_counter() - started


def _threads(n_threads: int | None) -> str:
    count = threads.resolve(n_threads).number
    return f"{count} thread{'s' if count > 1 else ''}"
