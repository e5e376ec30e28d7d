"""What the benchmark times, on which data, and what a contender is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Rows, Structure
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
Call: TypeAlias = Callable[[int], Answer]
"""Number of EM iterations -> answer; what is not EM takes no notice of it."""
Prepare: TypeAlias = "Callable[[Problem, int], Call]"
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


@contextmanager
def limited(n_threads: int) -> Iterator[None]:
    """Hold BLAS and OpenMP to so many threads.

    threadpoolctl does it, which comes with scikit-learn. Without it they use what they use.
    """
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
