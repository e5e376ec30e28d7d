"""Fast, exact Gaussian mixtures for CPUs, with scikit-learn's interface.

What is public is imported when it is first asked for, so that the command `gaussmix` can look after
its signals before anything large is imported.
"""

TYPE_CHECKING = False  # type checkers know this name; importing it from typing takes longer
if TYPE_CHECKING:
    from gaussmix.config import show_config
    from gaussmix.errors import (
        CheckpointError,
        CheckpointWarning,
        CollapseWarning,
        ConvergenceWarning,
        FitFailedWarning,
        ModelFileError,
        NotFittedError,
        ParameterError,
        PrecisionWarning,
    )
    from gaussmix.estimators.bayesian import BayesianGaussianMixture
    from gaussmix.estimators.columns import fit_columns
    from gaussmix.estimators.kmeans import KMeans
    from gaussmix.estimators.mixture import GaussianMixture
    from gaussmix.io.readers import DataError
    from gaussmix.io.scans import scan
    from gaussmix.model.prior import Prior
    from gaussmix.patch.classes import patch_sklearn, unpatch_sklearn
    from gaussmix.queries.grouped import SufficientStatistics
    from gaussmix.queries.hierarchy import Hierarchy
    from gaussmix.selection.candidates import Candidate, Selection
    from gaussmix.selection.search import select
    from gaussmix.storage import load, save

    __version__: str

_HOMES = {
    "BayesianGaussianMixture": "estimators.bayesian",
    "Candidate": "selection.candidates",
    "CheckpointError": "errors",
    "CheckpointWarning": "errors",
    "CollapseWarning": "errors",
    "ConvergenceWarning": "errors",
    "DataError": "io.readers",
    "FitFailedWarning": "errors",
    "GaussianMixture": "estimators.mixture",
    "Hierarchy": "queries.hierarchy",
    "KMeans": "estimators.kmeans",
    "ModelFileError": "errors",
    "NotFittedError": "errors",
    "ParameterError": "errors",
    "PrecisionWarning": "errors",
    "Prior": "model.prior",
    "Selection": "selection.candidates",
    "SufficientStatistics": "queries.grouped",
    "fit_columns": "estimators.columns",
    "load": "storage",
    "patch_sklearn": "patch.classes",
    "save": "storage",
    "scan": "io.scans",
    "select": "selection.search",
    "show_config": "config",
    "unpatch_sklearn": "patch.classes",
}

__all__ = [
    "BayesianGaussianMixture",
    "Candidate",
    "CheckpointError",
    "CheckpointWarning",
    "CollapseWarning",
    "ConvergenceWarning",
    "DataError",
    "FitFailedWarning",
    "GaussianMixture",
    "Hierarchy",
    "KMeans",
    "ModelFileError",
    "NotFittedError",
    "ParameterError",
    "PrecisionWarning",
    "Prior",
    "Selection",
    "SufficientStatistics",
    "__version__",
    "fit_columns",
    "load",
    "patch_sklearn",
    "save",
    "scan",
    "select",
    "show_config",
    "unpatch_sklearn",
]


def __dir__() -> list[str]:
    return __all__


def _lazily(name: str) -> object:
    """Return a public name or a room, which is from then on an ordinary attribute (PEP 562)."""
    from importlib import import_module

    if name == "__version__":
        value: object = import_module("gaussmix.config").version()
    elif name in _HOMES:
        value = getattr(import_module(f"gaussmix.{_HOMES[name]}"), name)
    elif not name.startswith("_") and _is_room(name):
        return import_module(f"gaussmix.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _is_room(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"gaussmix.{name}") is not None


if not TYPE_CHECKING:  # a type checker that sees it would believe in any name
    __getattr__ = _lazily
