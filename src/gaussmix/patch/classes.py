"""Puts our classes into scikit-learn's modules, and scikit-learn's back."""

from importlib import import_module
from typing import Self

from gaussmix.estimators.bayesian import BayesianGaussianMixture
from gaussmix.estimators.counterparts import REPLACED, Name, StandIn, register
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture

CLASSES: tuple[type[StandIn], ...] = (BayesianGaussianMixture, GaussianMixture, KMeans)
"""Our classes, each of which names the one of scikit-learn's whose place it takes."""


class Patch:
    """What one call of `patch_sklearn` replaced. At the end of a ``with`` block it is put back."""

    def __init__(self, names: list[Name]) -> None:
        self._names = names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _put_back(self._names)


def patch_sklearn() -> Patch:
    """Put our mixtures and `KMeans` in the places of scikit-learn's classes of these names.

    ``from sklearn.mixture import GaussianMixture`` and ``sklearn.mixture.GaussianMixture`` are
    gaussmix's from then on, in all modules of the process. A module that had imported the class by
    its name before keeps scikit-learn's: so patch before such imports. scikit-learn's own modules
    ``sklearn.mixture._gaussian_mixture`` and ``sklearn.cluster._kmeans`` are left as they are, so
    that its pickled models still load.

    A second call changes nothing. `unpatch_sklearn` undoes it.

    Returns
    -------
    Patch
        A context manager, at whose end what this call replaced is put back.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> import gaussmix
    >>> with gaussmix.patch_sklearn():
    ...     from sklearn.mixture import GaussianMixture
    >>> GaussianMixture is gaussmix.GaussianMixture
    True
    """
    names = []
    for ours in CLASSES:
        place = ours._stands_for
        try:
            module = import_module(place.module)
        except ModuleNotFoundError as error:
            raise ImportError(
                "patch_sklearn needs scikit-learn: pip install scikit-learn"
            ) from error
        register(ours)
        if place not in REPLACED:
            REPLACED[place] = getattr(module, place.name)
            setattr(module, place.name, ours)
            names.append(place)
    return Patch(names)


def unpatch_sklearn() -> None:
    """Put scikit-learn's classes back, if `patch_sklearn` replaced them.

    Examples
    --------
    >>> import gaussmix
    >>> from sklearn import mixture
    >>> patch = gaussmix.patch_sklearn()
    >>> gaussmix.unpatch_sklearn()
    >>> mixture.GaussianMixture is gaussmix.GaussianMixture
    False
    """
    _put_back(list(REPLACED))


def _put_back(names: list[Name]) -> None:
    for place in names:
        if place in REPLACED:
            setattr(import_module(place.module), place.name, REPLACED.pop(place))
