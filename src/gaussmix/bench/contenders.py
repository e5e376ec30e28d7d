"""gaussmix as a contender, and the rivals that are installed.

A rival has a file of its own: `MODULE`, the module that it is found by, and `contender()`.
"""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.density import Density, factors_shape
from gaussmix._core.interface import KERNELS, Kernels
from gaussmix._core.types import Rows
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    KMEANS_PASSES,
    PREDICTIONS,
    Answer,
    Arrays,
    Call,
    Contender,
    Prepare,
    Problem,
)
from gaussmix.config import config
from gaussmix.display import progress
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.model.parameters import Parameters


class Rival(Protocol):
    """The file of another library."""

    MODULE: str
    """The module that it is found by."""

    def contender(self) -> Contender:
        """Import the library, and tell what it can be timed at."""


def with_rivals(rivals: Iterable[Rival]) -> list[Contender]:
    """Return gaussmix, first, and those rivals that are installed and can be imported."""
    entrants = [gaussmix()]
    for rival in rivals:
        if find_spec(rival.MODULE) is None:
            continue
        try:
            entrants.append(rival.contender())
        except Exception as error:  # whatever a broken installation raises
            reason = f"{type(error).__name__}: {error}"
            progress.print_above(f"{rival.MODULE} is left out: {reason}")
    return entrants


def gaussmix() -> Contender:
    """Return this library on its active build: its estimators, and its kernels alone."""
    build = dispatch.active()
    tasks = {
        **estimator_tasks(GaussianMixture, KMeans, lambda count: {"n_threads": count}),
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


# Libraries with scikit-learn's interface: the very same calls.

Threads: TypeAlias = Callable[[int], dict[str, int]]  # the argument that a library takes, if any


def estimator_tasks(mixture: Any, kmeans: Any, threads: Threads) -> dict[str, Prepare]:
    """Return the tasks of two classes, a mixture and K-means, that take scikit-learn's calls."""
    return {
        EM: _em(mixture, threads),
        FROM_FILES: _em(mixture, threads),
        FIT_FROM_START: _fit_from_start(mixture, threads),
        FIT: _fit(mixture, threads),
        **{method: _prediction(mixture, threads, method) for method in PREDICTIONS},
        KMEANS: _kmeans(kmeans, threads),
    }


def _em(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Call:
        settings = {**_given(problem.start), **threads(n_threads), "tol": 0, "reg_covar": 0}

        def run(n_iter: int) -> Answer:
            return _reached(mixture(**settings, max_iter=n_iter).fit(problem.X))

        return run

    return prepare


def _fit_from_start(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Call:
        settings = {**_given(problem.start), **threads(n_threads)}
        return lambda _: _reached(mixture(**settings).fit(problem.X))

    return prepare


def _fit(mixture: Any, threads: Threads) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Call:
        settings = {
            "n_components": problem.start.n_components,
            "covariance_type": problem.start.structure.name,
            "random_state": 0,
            **threads(n_threads),
        }
        return lambda _: max(_reached(mixture(**settings).fit(problem.X)).values())

    return prepare


def _prediction(mixture: Any, threads: Threads, method: str) -> Prepare:
    def prepare(problem: Problem, n_threads: int) -> Call:
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
    def prepare(problem: Problem, n_threads: int) -> Call:
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
    def prepare(problem: Problem, n_threads: int) -> Call:
        kernels = build.kernels(problem.X.dtype)
        call = kernel_call(name, kernels, problem.X, problem.start.density(), n_threads)
        return lambda _: call()

    return prepare


def kernel_call(
    name: str, kernels: Kernels, X: Rows, density: Density, n_threads: int
) -> Callable[[], Arrays]:
    """Prepare a call of one kernel on all rows, which returns what it writes except labels.

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
