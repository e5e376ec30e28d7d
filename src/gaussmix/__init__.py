"""Fast, exact Gaussian mixtures for CPUs, with scikit-learn's interface."""

from gaussmix.config import show_config
from gaussmix.errors import (
    CheckpointError,
    CheckpointWarning,
    CollapseWarning,
    ConvergenceWarning,
    ModelFileError,
    NotFittedError,
    ParameterError,
    PrecisionWarning,
)
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io.readers import DataError
from gaussmix.io.sources import scan
from gaussmix.queries.hierarchy import Hierarchy
from gaussmix.selection.candidates import Candidate, Selection
from gaussmix.selection.search import select
from gaussmix.storage import load, save

__all__ = [
    "Candidate",
    "CheckpointError",
    "CheckpointWarning",
    "CollapseWarning",
    "ConvergenceWarning",
    "DataError",
    "GaussianMixture",
    "Hierarchy",
    "KMeans",
    "ModelFileError",
    "NotFittedError",
    "ParameterError",
    "PrecisionWarning",
    "Selection",
    "__version__",
    "load",
    "save",
    "scan",
    "select",
    "show_config",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> str:
    if name == "__version__":
        from gaussmix.config import version

        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
