"""Which features a question is about: by index or by name."""

import numbers
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError

Indices = NDArray[np.intp]


def check_features(
    name: str, features: object, n_features: int, names: Sequence[str] | None
) -> Indices:
    """Return the indices of features given as indices (-1 is the last) or names, or one of either.

    Raises
    ------
    ParameterError
        If one is neither, not among the features, or there twice.
    """
    chosen = _listed(features)
    places = None if names is None else {each: i for i, each in enumerate(names)}
    indices = [_index(name, feature, n_features, places) for feature in chosen]
    if not indices:
        raise ParameterError(f"{name} must have at least one feature, got {features!r}")
    counts = Counter(indices)
    twice = [f for f, index in zip(chosen, indices, strict=True) if counts[index] > 1]
    if twice:
        raise ParameterError(f"{name} must be different features, but {twice[0]!r} is there twice")
    return np.array(indices, dtype=np.intp)


def check_some_features(
    name: str, features: object, n_features: int, names: Sequence[str] | None
) -> tuple[Indices, Indices]:
    """Return the indices of features that are not all there are, and those of the others."""
    indices = check_features(name, features, n_features, names)
    others = np.setdiff1d(np.arange(n_features), indices)
    if not len(others):
        raise ParameterError(
            f"{name} must leave at least one feature unknown, got all {n_features} of them"
        )
    return indices, others


def check_targets(
    targets: object, given: Indices, n_features: int, names: Sequence[str] | None
) -> Indices:
    """Return the indices of features to predict, none of which is given."""
    indices = check_features("targets", targets, n_features, names)
    known = np.intersect1d(indices, given)
    if len(known):
        feature = known[0] if names is None else repr(names[known[0]])
        raise ParameterError(f"targets must be unknown features, but {feature} is a known one")
    return indices


def _listed(features: object) -> list[object]:
    if isinstance(features, str | numbers.Integral):
        return [features]
    try:
        return list(features)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        return [features]


def _index(name: str, feature: object, n_features: int, places: Mapping[str, int] | None) -> int:
    if isinstance(feature, str):
        if places is not None and feature in places:
            return places[feature]
        known = "the model has no feature names" if places is None else f"there are {[*places]}"
        raise ParameterError(f"{name} must name features of the model, got {feature!r}; {known}")
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, numbers.Integral):
        raise ParameterError(f"{name} must be indices or names of features, got {feature!r}")
    index = int(feature)
    if not -n_features <= index < n_features:
        raise ParameterError(
            f"{name} must be indices below the number of features, {n_features}, got {feature!r}"
        )
    return index % n_features
