"""A component for rows that a mixture does not cover; two others become one for it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import CovarianceStructure, NotPositiveDefiniteError, structure_of
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import TIED
from gaussmix.starts.budget import factor_cost
from gaussmix.starts.race import Race, Run
from gaussmix.starts.splits import TINY, least_merge_loss, merged
from gaussmix.starts.views import squared_lengths

LOW_PART, LEAST_LOW = 1 / 16, 64
"""Part of the rows, those of least density, among which a component may begin, and how many there
are at least."""

ANCHORS = 24  # rows whose neighbourhoods are looked at, and a few more
NEIGHBOURS = 4  # rows of a neighbourhood, times the fewest that a component needs
FLOOR = 0.01  # part of the average component's variance that is added to a neighbourhood's
LOSS = 0.1  # log-likelihood per row that an insertion may be estimated to lose
LOG_2_PI = float(np.log(2 * np.pi))


class Spot(NamedTuple):
    """Rows for a component of their own, and the log-likelihood that it is estimated to add."""

    gain: float
    part: float  # of all rows
    mean: FloatArray
    covariance: FloatArray


def inserted(race: Race, best: Run) -> Parameters | None:
    """Merge two components of a mixture, and begin one where it is too thin.

    The new component is the group of rows of least density that would gain most by it (Vlassis &
    Likas, 2002): all of them, or the neighbours of one of them. Those two are merged that lose
    least (Ueda et al., 2000). None if the gain less the loss is estimated to be a loss of more than
    LOSS per row.

    References
    ----------
    Vlassis & Likas (2002), A greedy EM algorithm for Gaussian mixture learning, Neural Processing
    Letters 15, 77-87.
    """
    parameters, least = best.parameters, -LOSS * float(race.sample.weights.sum())
    race.work.add(look_cost(race))
    try:
        logs, shares = _densities(race, parameters)
        spot = _spot(race, parameters, logs)
        if not spot.gain > least:
            return None
        pair, loss = least_merge_loss(race, parameters, shares)
        if not spot.gain - loss > least:
            return None
        return _moved(parameters, pair, spot)
    except NotPositiveDefiniteError:
        return None


def look_cost(race: Race) -> float:
    """Microseconds of a look for rows that a mixture does not cover."""
    n, d, low = race.n_rows, race.n_features, _n_low(race)
    near = ANCHORS * low * (0.015 + 1e-3 * d)
    sets = (ANCHORS * NEIGHBOURS * race.fewest + low) * d * (3e-3 + 1e-3 * d)
    passes = race.cost + n * (0.02 + 0.012 * race.n_components)
    return float(600 + passes + near + sets + low * d * d * 2e-3 + ANCHORS * factor_cost(d))


def _n_low(race: Race) -> int:
    most = max(int(LOW_PART * race.n_rows), LEAST_LOW, 4 * race.fewest)
    return int(min(race.n_rows, most))


def _densities(race: Race, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Return log densities (N,) and weighted responsibilities, a row for each component: (K, N)."""
    rows, weight = race.sample
    logs = np.empty((race.n_rows, race.n_components), dtype=rows.dtype)
    dispatch.kernels(rows).log_density(rows, parameters.density(rows.dtype), logs, 1)
    shares = np.ascontiguousarray(logs.T, dtype=np.float64)
    top = shares.max(axis=0)
    np.exp(shares - top, out=shares)
    total = shares.sum(axis=0)
    shares /= total if weight is None else total / weight
    return np.log(total) + top, shares


def _spot(race: Race, parameters: Parameters, logs: FloatArray) -> Spot:
    """Return the rows that would gain most, under log densities (N,), by a component of their own.

    Their coordinates are those in which the average component has unit covariance.
    """
    (rows, weight), d = race.sample, race.n_features
    n_low = _n_low(race)
    low = np.argpartition(logs, n_low - 1)[:n_low]
    within = np.tensordot(parameters.weights, parameters.full_covariances(), axes=1)
    factor, middle = TIED.precision_factors(within), parameters.weights @ parameters.means
    coordinates = (rows[low] - middle) @ factor
    table = np.column_stack((np.ones(n_low), coordinates, logs[low]))
    if weight is not None:
        table *= np.sqrt(weight[low])[:, None]
    sets = table[None], table[_neighbourhoods(race, coordinates)]
    sums = np.concatenate([each.transpose(0, 2, 1) @ each for each in sets])
    total = np.maximum(sums[:, 0, 0], TINY)
    sums /= total[:, None, None]
    means = sums[:, 0, 1:-1]
    covariances = sums[:, 1:-1, 1:-1] - means[:, :, None] * means[:, None, :] + FLOOR * np.eye(d)
    parts = total / (race.n_rows if weight is None else weight.sum())
    half_log_det = -np.log(factor.diagonal()).sum()  # of the average component's covariance
    own = np.log(parts) - (d * LOG_2_PI + _bits(parameters.structure, covariances)) / 2
    gains = total * (own - half_log_det - sums[:, 0, -1])
    best = int(np.argmax(gains))
    back = np.linalg.inv(factor)
    mean, covariance = middle + means[best] @ back, back.T @ covariances[best] @ back
    return Spot(float(gains[best]), float(parts[best]), mean, covariance)


def _neighbourhoods(race: Race, coordinates: FloatArray) -> NDArray[np.intp]:
    """Return the rows nearest to each of A anchors, (A, m); of m rows or fewer none, (0, m)."""
    size = NEIGHBOURS * race.fewest
    if size >= len(coordinates):
        return np.empty((0, size), dtype=np.intp)
    anchors = coordinates[:: max(len(coordinates) // ANCHORS, 1)]
    distances = squared_lengths(coordinates) - anchors @ (2 * coordinates.T)
    return np.argpartition(distances, size, axis=1)[:, :size]


def _bits(structure: CovarianceStructure, covariances: FloatArray) -> FloatArray:
    """Return log |S| and the mean squared distance by S of rows with such covariances (A, D, D).

    S is what the structure makes of them: the unit matrix where components share one.
    """
    d = covariances.shape[1]
    if structure.form == "full":
        return np.asarray(np.linalg.slogdet(covariances)[1] + d)
    variances = np.einsum("aii->ai", covariances)
    if structure.shared:
        return np.asarray(variances.sum(axis=1))
    if structure.form == "diag":
        return np.asarray(np.log(variances).sum(axis=1) + d)
    return np.asarray(d * np.log(variances.mean(axis=1)) + d)


def _moved(parameters: Parameters, pair: tuple[int, int], spot: Spot) -> Parameters:
    """Let i of a pair (i, j) hold both; j becomes the new component."""
    structure, j = parameters.structure, pair[1]
    weights, means, covariances = merged(parameters, pair)
    weights[j], means[j] = spot.part, spot.mean
    if not structure.shared:
        covariances[j] = structure_of(structure.form).alike(spot.covariance, 1)[0]
    return Parameters.from_covariances(structure, weights / weights.sum(), means, covariances)
