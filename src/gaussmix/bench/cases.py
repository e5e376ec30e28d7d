"""What the benchmark times, on which data, and what a contender is; gaussmix and its builds.

`gaussmix.bench.rivals` adds the other libraries. scikit-learn stands here: it takes the very same
calls.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES, Density, factors_shape
from gaussmix._core.interface import KERNELS, Kernels
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.config import config
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.model.parameters import Parameters

EM = "EM iteration"
FIT_FROM_START = "fit from start"
FIT = "fit"
PREDICT = "predict"
PREDICT_PROBA = "predict_proba"
SCORE_SAMPLES = "score_samples"
KMEANS = "KMeans"
FROM_FILES = "EM iteration from files"
PREDICTIONS = (PREDICT, PREDICT_PROBA, SCORE_SAMPLES)
ITERATED = (EM, FROM_FILES)
"""Tasks of which one iteration is timed."""

SHAPES = {
    "S1": (1_000_000, 2, 8),
    "S2": (1_000_000, 8, 16),
    "S3": (500_000, 16, 32),
    "S4": (200_000, 64, 32),
    "S5": (100_000, 128, 16),
    "S6": (1_000_000, 1, 2),
    "S7": (200_000, 16, 256),
}
"""Rows, features and components that the library is judged by."""
NAMES = {shape: name for name, shape in SHAPES.items()}

KMEANS_PASSES = 20
BLOCK_ROWS = 1 << 16  # rows drawn at a time

Arrays: TypeAlias = tuple[NDArray[Any], ...]
Answer: TypeAlias = Mapping[int, float] | Arrays | float | None
"""Iterations made -> value reached; arrays computed; a likelihood, the more the better; or none."""
Run: TypeAlias = Callable[[int], Answer]
"""Number of EM iterations -> answer; what is not EM takes no notice of it."""
Prepare: TypeAlias = "Callable[[Problem, int], Run]"
"""Problem and number of threads -> what is timed."""


class Case(NamedTuple):
    """What is timed, and on what."""

    task: str
    n_samples: int
    n_features: int
    n_components: int
    structure: Structure = "full"
    dtype: str = "float64"
    repeats: int = 3
    """Times it is run at most; slow contenders run less often."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, components."""
        return self.n_samples, self.n_features, self.n_components

    @property
    def name(self) -> str:
        """The name of its shape, as S2, or nothing."""
        return NAMES.get(self.shape, "")

    def __str__(self) -> str:
        structure = "" if self.task == KMEANS else self.structure
        size = f"N={self.n_samples:,} D={self.n_features} K={self.n_components}"
        single = "float32" if self.dtype == "float32" else ""
        return " ".join(filter(None, (self.task, structure, self.name, size, single)))


class Problem(NamedTuple):
    """A case's data, and the parameters that all contenders start from or compute with."""

    case: Case
    X: Rows
    start: Parameters


class Contender(NamedTuple):
    """A library, or a build of this one, and what it can be timed at."""

    library: str
    version: str
    isa: str
    tasks: Mapping[str, Prepare]
    structures: Sequence[Structure] = STRUCTURES
    dtypes: Sequence[str] = ("float64", "float32")
    tolerance: float = 0.0
    """Relative error that it is allowed, where it computes in part in single precision."""
    held: bool = True
    """Whether it can be held to fewer threads than there are."""

    def enters(self, case: Case) -> bool:
        """Whether it can do a case."""
        able = case.structure in self.structures and case.dtype in self.dtypes
        return able and case.task in self.tasks


def make_problem(case: Case) -> Problem:
    """Draw groups of different shapes, the same ones at every call, and a rough start.

    Two groups are some four deviations apart whatever the dimension, so that they overlap and
    responsibilities take all values. All rows are representable in float32, so that either
    precision sees the same data. The rows of the last shape are kept, for the cases that follow.
    """
    X, means = _draw(*case.shape)
    return Problem(case, X.astype(case.dtype, copy=False), _start(case.structure, means))


@lru_cache(maxsize=1)
def _draw(n: int, d: int, k: int) -> tuple[FloatArray, FloatArray]:
    """Rows (N, D), and means (K, D) about half a deviation off those that they were drawn with."""
    rng = np.random.default_rng([n, d, k])
    means = rng.normal(scale=3.0 / np.sqrt(d), size=(k, d))
    axes = np.eye(d) + 0.3 * rng.normal(size=(k, d, d)) / np.sqrt(d)
    X = np.empty((n, d))
    for start in range(0, n, BLOCK_ROWS):
        rows = X[start : start + BLOCK_ROWS]
        labels = rng.integers(k, size=len(rows))
        noise = rng.normal(size=rows.shape)
        for group in range(k):
            noise[labels == group] @= axes[group]
        rows[:] = (means[labels] + noise).astype(np.float32)
    return X, means + rng.normal(scale=0.5 / np.sqrt(d), size=(k, d))


def _start(structure: Structure, means: FloatArray) -> Parameters:
    """Equal weights and unit spheres."""
    k, d = means.shape
    covariances: dict[Structure, FloatArray] = {
        "full": np.tile(np.eye(d), (k, 1, 1)),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    return Parameters.from_covariances(structure, np.full(k, 1 / k), means, covariances[structure])


def gaussmix() -> Contender:
    """Return this library on its active build: its estimators, and its kernels alone."""
    build = dispatch.active()
    tasks = {
        **_estimator_tasks(GaussianMixture, KMeans, lambda count: {"n_threads": count}),
        **_kernel_tasks(build),
    }
    return Contender("gaussmix", config()["version"], build.name, tasks)


def builds() -> list[Contender]:
    """Return the kernels of every build that runs here and of the reference, the active first."""
    active = dispatch.active().name
    names = [active, *(name for name in (*dispatch.available(), "reference") if name != active)]
    number = config()["version"]
    return [
        Contender("gaussmix", number, name, _kernel_tasks(dispatch.load(name))) for name in names
    ]


@contextmanager
def limited(n_threads: int) -> Iterator[None]:
    """Hold BLAS and OpenMP to so many threads, and oneDAL, which stays there until told otherwise.

    BLAS and OpenMP are held by threadpoolctl, which comes with scikit-learn; without it they use
    what they use.
    """
    if daal4py := sys.modules.get("daal4py"):
        daal4py.daalinit(n_threads)
    if find_spec("threadpoolctl") is None:
        yield
        return
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(n_threads):
        yield


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution, or nothing if pip knows none."""
    try:
        return distribution_version(distribution)
    except PackageNotFoundError:
        return ""


# Libraries with scikit-learn's interface: the very same calls.

Threads: TypeAlias = Callable[[int], dict[str, int]]  # the argument that a library takes, if any


def scikit_learn() -> Contender:
    """Return scikit-learn."""
    from sklearn.cluster import KMeans as RivalKMeans
    from sklearn.mixture import GaussianMixture as RivalMixture

    tasks = _estimator_tasks(RivalMixture, RivalKMeans, lambda count: {})  # noqa: ARG005
    return Contender("scikit-learn", version_of("scikit-learn"), "", tasks)


def _estimator_tasks(mixture: Any, kmeans: Any, threads: Threads) -> dict[str, Prepare]:
    return {
        EM: _em(mixture, threads),
        FROM_FILES: _em(mixture, threads),
        FIT_FROM_START: _fit_from_start(mixture, threads),
        FIT: _fit(mixture, threads),
        **{method: _prediction(mixture, threads, method) for method in PREDICTIONS},
        KMEANS: _kmeans(kmeans, threads),
    }


def _em(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        settings = {**_given(problem.start), **threads(n_threads), "tol": 0, "reg_covar": 0}

        def run(n_iter: int) -> Answer:
            return _reached(mixture(**settings, max_iter=n_iter).fit(problem.X))

        return run

    return prepare


def _fit_from_start(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        settings = {**_given(problem.start), **threads(n_threads)}
        return lambda _: _reached(mixture(**settings).fit(problem.X))

    return prepare


def _fit(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        settings = {
            "n_components": problem.start.n_components,
            "covariance_type": problem.start.structure.name,
            "random_state": 0,
            **threads(n_threads),
        }
        return lambda _: max(_reached(mixture(**settings).fit(problem.X)).values())

    return prepare


def _prediction(mixture: Any, threads: Threads, method: str) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        start = problem.start
        model = mixture(
            start.n_components, covariance_type=start.structure.name, **threads(n_threads)
        )
        model.weights_, model.means_ = start.weights, start.means
        model.covariances_ = start.covariances
        model.precisions_cholesky_ = start.precisions_cholesky
        return lambda _: (getattr(model, method)(problem.X),)

    return prepare


def _kmeans(kmeans: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        centers = starting_centers(problem)
        settings = {"init": centers, "n_init": 1, "max_iter": KMEANS_PASSES, "tol": 0}

        def run(_: int) -> Answer:
            model = kmeans(len(centers), **settings, **threads(n_threads)).fit(problem.X)
            return {model.n_iter_: float(model.inertia_)}

        return run

    return prepare


def _given(start: Parameters) -> dict[str, Any]:
    return {
        "n_components": start.n_components,
        "covariance_type": start.structure.name,
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": start.precisions,
    }


def _reached(model: Any) -> dict[int, float]:
    """Return how many iterations were made, and the log-likelihood before the last M-step."""
    history = getattr(model, "lower_bounds_", None)  # before 1.7 scikit-learn has the last alone
    return {model.n_iter_: float(history[-1] if history else model.lower_bound_)}


def starting_centers(problem: Problem) -> Rows:
    """Return the centers that K-means starts from (K, D)."""
    return problem.start.means.astype(problem.X.dtype)


# Kernels alone


def _kernel_tasks(build: dispatch.Build) -> dict[str, Prepare]:
    return {name: _kernel(name, build) for name in KERNELS}


def _kernel(name: str, build: dispatch.Build) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        kernels = build.kernels(problem.X.dtype)
        call = kernel_call(name, kernels, problem.X, problem.start.density(), n_threads)
        return lambda _: call()

    return prepare


def kernel_call(
    name: str, kernels: Kernels, X: Rows, density: Density, n_threads: int
) -> Callable[[], Arrays]:
    """Prepare a call of one kernel on all rows, which returns what it writes but for labels.

    A tie between components may give either label.
    """
    adds = name.startswith("accumulate")
    inputs = (X, None, density) if adds else (X, density)
    outputs = _outputs(name, X, density)

    def call() -> Arrays:
        for array in outputs if adds else ():
            array.fill(0)
        getattr(kernels, name)(*inputs, *outputs, n_threads)
        return tuple(array for array in outputs if array.dtype != np.int32)

    return call


def _outputs(name: str, X: Rows, density: Density) -> Arrays:
    (n, _), (k, d) = X.shape, density.means.shape
    n_k, first, totals = np.zeros(k), np.zeros((k, d)), np.zeros(2)
    match name:
        case "log_likelihood":
            return (np.empty(n, X.dtype),)
        case "assign":
            return np.empty(n, np.int32), np.empty(n, X.dtype)
        case "accumulate":
            return n_k, first, np.zeros(factors_shape(density.structure, k, d)), totals
        case "accumulate_hard":
            return np.empty(n, np.int32), n_k, first, totals
        case "accumulate_likelihood":
            return (totals,)
        case _:
            return (np.empty((n, k), X.dtype),)
