"""Fast, exact Gaussian mixtures for CPUs, with scikit-learn's interface."""

from gaussmix.config import show_config
from gaussmix.errors import (
    CollapseWarning,
    ConvergenceWarning,
    ModelFileError,
    NotFittedError,
    ParameterError,
)
from gaussmix.kmeans import KMeans
from gaussmix.mixture import GaussianMixture
from gaussmix.selection import select
from gaussmix.storage import load, save

__all__ = [
    "CollapseWarning",
    "ConvergenceWarning",
    "GaussianMixture",
    "KMeans",
    "ModelFileError",
    "NotFittedError",
    "ParameterError",
    "__version__",
    "load",
    "save",
    "select",
    "show_config",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from gaussmix.config import version

        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
