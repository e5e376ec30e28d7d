"""Features that make every covariance singular: found once, before any mixture is fitted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import solve_triangular

from gaussmix._core.density import EPS, PIVOT_NOISE, RESOLUTION
from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass
from gaussmix.model.structures import DIAG, FULL, Matrices

SHOWN_FEATURES = 5  # that a sentence lists
ROUNDING = 1000 * EPS
"""A feature that is a combination of others differs from it by less than this part of its values,
in float64. Groups that lie very far apart, in a line, leave larger differences."""
NO_PART = 1e-6  # a standardised feature with a smaller coefficient has no part in a combination


@dataclass(frozen=True)
class Degenerate:
    """Sentences about features, by what they make singular.

    Attributes
    ----------
    constant : str
        Names the features that have one value only: no variance of theirs is positive.
    combined : str
        Names the features that are combinations of others: no matrix has an inverse.
    all_constant : bool
        Whether no feature varies.
    """

    constant: str = ""
    combined: str = ""
    all_constant: bool = False

    def problem(self, structure: CovarianceStructure) -> str:
        """Return why no mixture of this structure can be fitted; empty if nothing is known."""
        if isinstance(structure, Matrices):
            sentences = [self.constant, self.combined]
        elif structure.form == "diag" or self.all_constant:
            sentences = [self.constant]
        else:  # one variance for all features: those that vary make it positive
            sentences = []
        found = "; ".join(filter(None, sentences))
        return f"singular: {found}" if found else ""


def find_degenerate(data: Data, matrices: bool, names: Sequence[str] | None) -> Degenerate:
    """Look for features that are constant, or combinations of others, in one pass.

    Parameters
    ----------
    data : Data
    matrices : bool
        Whether to look for combinations, in a pass that takes a time quadratic in the features.
    names : sequence of str or None
        Of the features.
    """
    head: FloatArray = data.head().astype(np.float64)
    statistics = _moments(data, FULL if matrices else DIAG, np.median(head, axis=0))
    try:
        _, collapsed = m_step(statistics, 0.0)
    except ValueError:  # moments overflow, which the fits will say
        return Degenerate()
    if not collapsed:
        return Degenerate()
    covariance, noise = _with_noise(statistics)
    variances = covariance.diagonal() if matrices else covariance
    varying = np.flatnonzero(variances > noise)
    constant = np.flatnonzero(variances <= noise).tolist()
    combined: list[str] = []
    if matrices:
        rounding = ROUNDING * float(np.finfo(data.dtype).eps) / EPS
        combined = list(_combinations(covariance, noise, varying.tolist(), head, rounding, names))
    sentences = [] if not constant else [f"{_listed(constant, names)} constant"]
    return Degenerate("".join(sentences), "; ".join(_shortened(combined)), not len(varying))


def _moments(data: Data, structure: CovarianceStructure, center: FloatArray) -> Statistics:
    """Return the statistics of all rows as one component."""
    n_features = len(center)
    shape = structure.shape(1, n_features)
    unit = np.broadcast_to(structure.identity(n_features), shape).copy()
    one = Parameters.from_covariances(structure, np.ones(1), center[None], unit)
    return data.total(partial(StatisticsPass, one))


def _with_noise(statistics: Statistics) -> tuple[FloatArray, FloatArray]:
    """Return the covariance (D, D), or variances (D,), and what is rounding error in them (D,)."""
    total = statistics.n_k[0]
    move = statistics.first[0] / total
    second = statistics.second[0] / total
    square = np.outer(move, move) if second.ndim == 2 else move**2
    covariance = second - square
    variances = np.maximum(covariance.diagonal() if second.ndim == 2 else covariance, 0.0)
    mean = statistics.shift[0] + move
    noise = PIVOT_NOISE * (variances + move**2) + RESOLUTION**2 * (mean**2 + variances)
    return covariance, noise


def _combinations(
    covariance: FloatArray,
    noise: FloatArray,
    varying: Sequence[int],
    head: FloatArray,
    rounding: float,
    names: Sequence[str] | None,
) -> Iterator[str]:
    """Yield a sentence for every feature that is a combination of those before it.

    It is one if those before leave nothing of its variance, a pivot of Cholesky's that is rounding
    error, and nothing of its values in the first rows. The second condition is for groups that lie
    so far apart that the covariance of all rows does not see the spread within them.
    """
    kept: list[int] = []
    factor = np.zeros((len(varying), len(varying)))  # lower, of the features that were kept
    for feature in varying:
        n = len(kept)
        row = np.zeros(0)
        if n:
            row = solve_triangular(factor[:n, :n], covariance[kept, feature], lower=True)
        pivot = covariance[feature, feature] - row @ row
        if pivot > noise[feature]:
            factor[n, :n], factor[n, n] = row, np.sqrt(pivot)
            kept.append(feature)
            continue
        parts = _parts(head, feature, kept, rounding)
        if parts is not None:
            of = (
                f" of {_joined(parts, names)}" if 0 < len(parts) <= SHOWN_FEATURES else " of others"
            )
            yield f"{_listed([feature], names)} a combination{of}"


def _parts(
    head: FloatArray, feature: int, others: Sequence[int], rounding: float
) -> list[int] | None:
    """Return the features that one is a combination of, in these rows; None if it is none."""
    deviations = head - head.mean(axis=0)
    spread = deviations.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    columns, target = deviations[:, others] / scale[others], deviations[:, feature]
    coefficients = np.linalg.lstsq(columns, target, rcond=None)[0]
    size = np.abs(head[:, feature]).max() + np.abs(coefficients).sum()
    if np.abs(target - columns @ coefficients).max() > rounding * size:
        return None
    share = np.abs(coefficients) > NO_PART * max(spread[feature], np.finfo(float).tiny)
    return [other for other, has in zip(others, share.tolist(), strict=True) if has]


def _listed(features: Sequence[int], names: Sequence[str] | None) -> str:
    """Name features as the subject of a sentence, with its verb."""
    one = len(features) == 1
    return f"feature{'' if one else 's'} {_joined(features, names)} {'is' if one else 'are'}"


def _joined(features: Sequence[int], names: Sequence[str] | None) -> str:
    shown = [str(i) if names is None else repr(str(names[i])) for i in features]
    return ", ".join(_shortened(shown))


def _shortened(parts: Sequence[str]) -> list[str]:
    rest = len(parts) - SHOWN_FEATURES
    return [*parts[:SHOWN_FEATURES], *([f"and {rest} more"] if rest > 0 else [])]
