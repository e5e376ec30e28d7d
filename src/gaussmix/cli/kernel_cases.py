"""Problems that every build of the kernels is given: of any structure, precision and odd size."""

from typing import NamedTuple

import numpy as np

from gaussmix._core.density import STRUCTURES, Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.model.parameters import Parameters

# Around the tiles of samples, of components and of features that the builds work in.
SAMPLES = (1, 2, 255, 256, 257, 1000, 1023, 1024, 1025, 2500)
FEATURES = (1, 2, 3, 5, 8, 17, 33)
COMPONENTS = (1, 2, 3, 7, 16, 19)
THREADS = (1, 2, 4)  # more than there are CPUs, perhaps: then too they must be right

OFFSETS = {"float32": 1e3, "float64": 1e6}  # standard deviations from the origin
ELONGATIONS = {"float32": 10.0, "float64": 100.0}  # longest axis over shortest
DTYPES = ("float32", "float64")
KINDS = ("round", "elongated", "offset")


class KernelCase(NamedTuple):
    """One problem that all kernels of all builds are given."""

    structure: Structure
    dtype: str
    kind: str
    n_samples: int
    n_features: int
    n_components: int
    weighted: bool
    n_threads: int

    def __str__(self) -> str:
        weighted = " weighted" if self.weighted else ""
        return (
            f"{self.structure} N={self.n_samples} D={self.n_features} K={self.n_components} "
            f"{self.kind}{weighted} threads={self.n_threads}"
        )


class KernelProblem(NamedTuple):
    """The numbers that all builds are given for a case."""

    X: Rows
    sample_weight: FloatArray | None
    density: Density
    n_threads: int
    told: Told | None = None


def all_cases() -> list[KernelCase]:
    """Return structures x dtypes x sizes x kinds of data, in which any two values meet.

    Every N meets every D; K, kind, weights and threads go round, so that each also meets every
    other within a structure and dtype.
    """
    return [
        KernelCase(
            structure,
            dtype,
            KINDS[(i + 2 * j + s) % len(KINDS)],
            n_samples,
            n_features,
            COMPONENTS[(i + j) % len(COMPONENTS)],
            weighted=(i + j // 2 + s) % 2 == 1,
            n_threads=THREADS[(i // 2 + j) % len(THREADS)],
        )
        for s, structure in enumerate(STRUCTURES)
        for dtype in DTYPES
        for i, n_samples in enumerate(SAMPLES)
        for j, n_features in enumerate(FEATURES)
    ]


def make_kernel_problem(case: KernelCase) -> KernelProblem:
    """Make data and mixture of a case; the same ones at every call."""
    rng = np.random.default_rng([case.n_samples, case.n_features, case.n_components])
    sizes = case.n_components, case.n_features
    parameters = make_mixture(case.structure, case.dtype, case.kind, *sizes, rng)
    X = _rows(parameters, case, rng)
    sample_weight = _sample_weight(case.n_samples, rng) if case.weighted else None
    return KernelProblem(X, sample_weight, parameters.density(), case.n_threads)


def with_told(problem: KernelProblem, case: KernelCase) -> KernelProblem:
    """Add noise, and tell codes of every other component of some rows, or priors of all terms."""
    rng = np.random.default_rng([case.n_features, case.n_components, case.n_samples])
    n_samples, density = len(problem.X), problem.density._replace(log_noise=-2.0 - case.n_features)
    owners = (np.arange(density.n_terms) // 2).astype(np.int32)
    told = Told(rng.integers(-3, owners[-1] + 1, size=n_samples, dtype=np.int32), owners)
    if (case.n_samples + case.n_features + case.n_components) % 2:
        priors = rng.gamma(0.3, size=(n_samples, density.n_terms))  # from next to 0 to above 1
        priors[rng.random(priors.shape) < 0.2] = 0.0
        priors[:, -1] += 1e-3
        single = case.n_features % 2 == 1
        told = Told(priors.astype(np.float32) if single else priors)
    return problem._replace(density=density, told=told)


def make_mixture(
    structure: Structure, dtype: str, kind: str, k: int, d: int, rng: np.random.Generator
) -> Parameters:
    """Make k overlapping components of spread about 1, rotated where the structure lets them be."""
    elongation = ELONGATIONS[dtype] if kind == "elongated" else 2.0
    deviations = elongation ** rng.uniform(-0.5, 0.5, size=(k, d))
    rotations = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    axes = rotations * deviations[:, None, :]
    covariances = {
        "full": axes @ axes.transpose(0, 2, 1),
        "tied": axes[0] @ axes[0].T,
        "diag": deviations**2,
        "spherical": deviations[:, 0] ** 2,
    }
    means = rng.normal(scale=2.0, size=(k, d))
    if kind == "offset":
        means += OFFSETS[dtype] * rng.choice((-1.0, 1.0), size=d)
    weights = rng.dirichlet(np.full(k, 5.0))
    return Parameters.from_covariances(
        structure, weights, means, np.ascontiguousarray(covariances[structure])
    )


def _rows(parameters: Parameters, case: KernelCase, rng: np.random.Generator) -> Rows:
    """Draw from the mixture; one row in fifty lies ten times as far out."""
    factors = np.linalg.cholesky(parameters.full_covariances())
    labels = rng.integers(case.n_components, size=case.n_samples)
    noise = rng.normal(size=(case.n_samples, case.n_features))
    noise *= np.where(rng.random(case.n_samples) < 0.02, 10.0, 1.0)[:, None]
    X = parameters.means[labels] + np.einsum("nde,ne->nd", factors[labels], noise)
    return np.ascontiguousarray(X, dtype=case.dtype)


def _sample_weight(n_samples: int, rng: np.random.Generator) -> FloatArray:
    """Weights between 0 and 3, some of them 0 and the first one not."""
    weight = rng.uniform(0.0, 3.0, size=n_samples)
    weight[rng.random(n_samples) < 0.1] = 0.0
    weight[0] = 1.0
    return weight
