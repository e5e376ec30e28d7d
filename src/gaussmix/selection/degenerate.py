"""Features that make every covariance singular: found once, before any mixture is fitted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from gaussmix._core.density import PIVOT_NOISE, RESOLUTION
from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass
from gaussmix.model.structures import DIAG, FULL, Matrices

SHOWN_FEATURES = 5  # that a sentence lists
SAMPLE_ROWS = 1024  # in which a combination is looked at
MOMENTS = 8  # eps of the rows, by which their moments may be rounded
ROUNDING = 1000
"""A combination differs from its feature by less than this many times the values' rounding error.
Groups that lie very far apart, in a line, leave larger differences."""
NO_PART = 1e-6  # a standardised feature with a smaller coefficient has no part in a combination


class _Spread(NamedTuple):
    """How rows spread: covariance (D, D) or variances (D,), variances (D,), their noise (D,)."""

    covariance: FloatArray
    variances: FloatArray
    noise: FloatArray


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
    sample = data.sample(1, np.random.RandomState(0), SAMPLE_ROWS).counted(1)
    rows: FloatArray = sample.rows.astype(np.float64)
    if data.gaps:  # conditional moments under a guess would not tell what is constant
        return Degenerate()
    try:
        statistics = _moments(data, FULL if matrices else DIAG, np.median(rows, axis=0))
        _, collapsed = m_step(statistics, 0.0)
    except ValueError:  # distances or moments overflow, which the fits will say
        return Degenerate()
    single = data.dtype != np.float64  # the fits then see the moments' rounding, or not, by luck
    if not (collapsed or single):
        return Degenerate()
    eps = float(np.finfo(data.dtype).eps)
    spread = _spread(statistics, eps)
    varies = spread.variances > spread.noise
    constant = np.flatnonzero(~varies).tolist()
    combined: list[str] = []
    if matrices:
        rounding = ROUNDING * eps
        combined = [
            f"{_listed([feature], names)} a combination of {_named_parts(parts, names)}"
            for feature, parts in _combinations(spread, np.flatnonzero(varies), rows, rounding)
        ]
    return Degenerate(
        f"{_listed(constant, names)} constant" if constant else "",
        "; ".join(_shortened(combined)),
        not varies.any(),
    )


def _moments(data: Data, structure: CovarianceStructure, center: FloatArray) -> Statistics:
    """Return the statistics of all rows as one component."""
    n_features = len(center)
    shape = structure.shape(1, n_features)
    unit = np.broadcast_to(structure.identity(n_features), shape).copy()
    one = Parameters.from_covariances(structure, np.ones(1), center[None], unit)
    return data.total(partial(StatisticsPass, one))


def _spread(statistics: Statistics, eps: float) -> _Spread:
    """Return how the rows spread about their mean. Moments of rows are known to some eps."""
    total = statistics.n_k[0]
    move = statistics.first[0] / total
    mean = statistics.shift[0] + move
    second = statistics.about(mean[None]).second
    covariance = second[0] / total
    variances = np.maximum(statistics.structure.diagonals(second)[0] / total, 0.0)
    noise = max(PIVOT_NOISE, MOMENTS * eps) * (variances + move**2)
    noise += RESOLUTION**2 * (mean**2 + variances)
    return _Spread(covariance, variances, noise)


def _combinations(
    spread: _Spread, features: NDArray[np.intp], rows: FloatArray, rounding: float
) -> Iterator[tuple[int, list[int]]]:
    """Yield every feature that is a combination of those before it, and which these are.

    It is one if those before leave nothing of its variance, a pivot of Cholesky's that is rounding
    error, and nothing of its values in some rows. The second condition is for groups that lie so
    far apart that the covariance of all rows does not see the spread within them.
    """
    covariance, kept = spread.covariance, list[int]()
    factor = np.zeros((len(features), len(features)))  # lower, of the features that were kept
    for feature in features.tolist():
        n = len(kept)
        row = np.zeros(0)
        if n:
            row = solve_triangular(factor[:n, :n], covariance[kept, feature], lower=True)
        pivot = covariance[feature, feature] - row @ row
        if pivot > spread.noise[feature]:
            factor[n, :n], factor[n, n] = row, np.sqrt(pivot)
            kept.append(feature)
            continue
        parts = _parts(rows, feature, kept, rounding)
        if parts is not None:
            yield feature, parts


def _parts(
    rows: FloatArray, feature: int, others: Sequence[int], rounding: float
) -> list[int] | None:
    """Return the features that one is a combination of, in these rows; None if it is none."""
    deviations = rows - rows.mean(axis=0)
    scale = deviations.std(axis=0)
    scale[scale == 0] = 1.0
    columns, target = deviations[:, others] / scale[others], deviations[:, feature]
    coefficients = np.linalg.lstsq(columns, target, rcond=None)[0]
    size = np.abs(rows[:, feature]).max() + np.abs(coefficients).sum()
    if np.abs(target - columns @ coefficients).max() > rounding * size:
        return None
    takes_part = np.abs(coefficients) > NO_PART * scale[feature]
    return [other for other, has in zip(others, takes_part.tolist(), strict=True) if has]


def _named_parts(parts: Sequence[int], names: Sequence[str] | None) -> str:
    return _joined(parts, names) if 0 < len(parts) <= SHOWN_FEATURES else "others"


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
