"""Who takes part in the benchmark, gaussmix, its builds, and the rivals installed, and on what."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.constants import (
    STRUCTURES,
    Density,
    FloatArray,
    Structure,
    factors_shape,
)
from gaussmix._core.interface import KERNELS, Kernels, Rows
from gaussmix.config import config
from gaussmix.kmeans import KMeans
from gaussmix.mixture import GaussianMixture
from gaussmix.parameters import Parameters

EM = "EM iteration"
FIT_FROM_START = "fit from start"
FIT = "fit"
PREDICT_PROBA = "predict_proba"
SCORE_SAMPLES = "score_samples"
KMEANS = "KMeans"

KMEANS_PASSES = 20
BLOCK_ROWS = 1 << 16  # rows drawn at a time

Arrays: TypeAlias = tuple[NDArray[Any], ...]
Answer: TypeAlias = Mapping[int, float] | Arrays | float
"""Iterations made -> value reached; arrays computed; or a likelihood, the more the better."""
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

    def __str__(self) -> str:
        structure = "" if self.task == KMEANS else f" {self.structure}"
        size = f"N={self.n_samples:,} D={self.n_features} K={self.n_components}"
        return f"{self.task}{structure} {size}" + (" float32" if self.dtype == "float32" else "")


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

    def enters(self, case: Case) -> bool:
        """Whether it can do a case."""
        return case.task in self.tasks and case.structure in self.structures


def make_problem(case: Case) -> Problem:
    """Draw groups of different shapes, the same ones at every call, and a rough start.

    Two groups are some four deviations apart whatever the dimension, so that they overlap and
    responsibilities take all values. All rows are representable in float32, so that either
    precision sees the same data.
    """
    rng = np.random.default_rng([case.n_samples, case.n_features, case.n_components])
    k, d = case.n_components, case.n_features
    means = rng.normal(scale=3.0 / np.sqrt(d), size=(k, d))
    axes = np.eye(d) + 0.3 * rng.normal(size=(k, d, d)) / np.sqrt(d)
    X = np.empty((case.n_samples, d), dtype=case.dtype)
    for start in range(0, case.n_samples, BLOCK_ROWS):
        rows = X[start : start + BLOCK_ROWS]
        labels = rng.integers(k, size=len(rows))
        noise = rng.normal(size=rows.shape)
        for group in range(k):
            noise[labels == group] @= axes[group]
        rows[:] = (means[labels] + noise).astype(np.float32)
    return Problem(case, X, _start(case.structure, means, rng))


def _start(structure: Structure, means: FloatArray, rng: np.random.Generator) -> Parameters:
    """Equal weights, means about half a deviation off, and unit spheres."""
    k, d = means.shape
    covariances: dict[Structure, FloatArray] = {
        "full": np.tile(np.eye(d), (k, 1, 1)),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    off = means + rng.normal(scale=0.5 / np.sqrt(d), size=(k, d))
    return Parameters.from_covariances(structure, np.full(k, 1 / k), off, covariances[structure])


def contenders() -> list[Contender]:
    """Return gaussmix, first, and the rivals that are installed."""
    entrants = [gaussmix()]
    if find_spec("sklearn") is not None:
        entrants.append(_scikit_learn())
    if find_spec("daal4py") is not None:
        entrants.append(_onedal())
    return entrants


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
    """Hold BLAS and rivals to so many threads. oneDAL stays with them until it is told otherwise.

    BLAS and OpenMP are held by threadpoolctl, which comes with scikit-learn; without it they use
    what they use.
    """
    if find_spec("daal4py") is not None:
        import daal4py

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


def _scikit_learn() -> Contender:
    from sklearn.cluster import KMeans as RivalKMeans
    from sklearn.mixture import GaussianMixture as RivalMixture

    tasks = _estimator_tasks(RivalMixture, RivalKMeans, lambda count: {})  # noqa: ARG005
    return Contender("scikit-learn", version_of("scikit-learn"), "", tasks)


def _estimator_tasks(mixture: Any, kmeans: Any, threads: Threads) -> dict[str, Prepare]:
    return {
        EM: _em(mixture, threads),
        FIT_FROM_START: _fit_from_start(mixture, threads),
        FIT: _fit(mixture, threads),
        PREDICT_PROBA: _prediction(mixture, threads, PREDICT_PROBA),
        SCORE_SAMPLES: _prediction(mixture, threads, SCORE_SAMPLES),
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
            "covariance_type": problem.start.structure,
            "random_state": 0,
            **threads(n_threads),
        }
        return lambda _: max(_reached(mixture(**settings).fit(problem.X)).values())

    return prepare


def _prediction(mixture: Any, threads: Threads, method: str) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        start = problem.start
        model = mixture(start.n_components, covariance_type=start.structure, **threads(n_threads))
        model.weights_, model.means_ = start.weights, start.means
        model.covariances_ = start.covariances
        model.precisions_cholesky_ = start.precisions_cholesky
        return lambda _: (getattr(model, method)(problem.X),)

    return prepare


def _kmeans(kmeans: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Run:
        centers = _centers(problem)
        settings = {"init": centers, "n_init": 1, "max_iter": KMEANS_PASSES, "tol": 0}

        def run(_: int) -> Answer:
            model = kmeans(len(centers), **settings, **threads(n_threads)).fit(problem.X)
            return {model.n_iter_: float(model.inertia_)}

        return run

    return prepare


def _given(start: Parameters) -> dict[str, Any]:
    return {
        "n_components": start.n_components,
        "covariance_type": start.structure,
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": start.precisions,
    }


def _reached(model: Any) -> dict[int, float]:
    """Return how many iterations were made, and the log-likelihood before the last M-step."""
    history = getattr(model, "lower_bounds_", None)  # before 1.7 scikit-learn has the last alone
    return {model.n_iter_: float(history[-1] if history else model.lower_bound_)}


def _centers(problem: Problem) -> Rows:
    return problem.start.means.astype(problem.X.dtype)


# oneDAL, through the daal4py that the distribution scikit-learn-intelex brings


def _onedal() -> Contender:
    tasks: dict[str, Prepare] = {EM: _onedal_em, KMEANS: _onedal_kmeans}
    return Contender("oneDAL", version_of("daal"), "", tasks, ("full", "diag"))


def _onedal_em(problem: Problem, _: int) -> Run:
    import daal4py

    start, structure = problem.start, problem.case.structure
    settings = {
        "fptype": _precision(problem),
        "accuracyThreshold": 0.0,
        "regularizationFactor": 0.0,
        "covarianceStorage": "diagonal" if structure == "diag" else "full",
    }
    matrices = list(start.covariances.reshape(start.n_components, -1, start.n_features))

    def run(n_iter: int) -> Answer:
        algorithm = daal4py.em_gmm(start.n_components, maxIterations=n_iter, **settings)
        result = algorithm.compute(problem.X, start.weights[None], start.means, matrices)
        return {int(result.nIterations[0, 0]): result.goalFunction[0, 0] / len(problem.X)}

    return run


def _onedal_kmeans(problem: Problem, _: int) -> Run:
    import daal4py

    centers = _centers(problem)
    settings = {"fptype": _precision(problem), "accuracyThreshold": 0.0, "assignFlag": True}

    def run(_: int) -> Answer:
        algorithm = daal4py.kmeans(len(centers), KMEANS_PASSES, **settings)
        result = algorithm.compute(problem.X, centers)
        return {int(result.nIterations[0, 0]): float(result.objectiveFunction[0, 0])}

    return run


def _precision(problem: Problem) -> str:
    return "float" if problem.case.dtype == "float32" else "double"


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
        case _:
            return (np.empty((n, k), X.dtype),)
