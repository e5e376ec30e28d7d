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
)
from gaussmix.kmeans import KMeans
from gaussmix.mixture import GaussianMixture
from gaussmix.readers import DataError
from gaussmix.selection import select
from gaussmix.sources import scan
from gaussmix.storage import load, save

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "CollapseWarning",
    "ConvergenceWarning",
    "DataError",
    "GaussianMixture",
    "KMeans",
    "ModelFileError",
    "NotFittedError",
    "ParameterError",
    "__version__",
    "load",
    "save",
    "scan",
    "select",
    "show_config",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from gaussmix.config import version

        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
