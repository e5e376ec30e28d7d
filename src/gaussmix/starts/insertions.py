"""A component where a mixture is far less dense than its rows: two others become one for it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import TIED
from gaussmix.starts.race import Race, Run
from gaussmix.starts.splits import TINY, merge_losses, merged

PART, LEAST = 1 / 16, 64
SIZES = (2, 5)  # times the fewest rows that a component needs
MOVES = 1


class Spot(NamedTuple):
    """Rows for a component of their own, and the log-likelihood that it is guessed to add."""

    gain: float
    part: float
    mean: FloatArray
    covariance: FloatArray


def insertions(race: Race, best: Run) -> Iterator[tuple[str, Parameters | None]]:
    parameters = best.parameters
    rows, weight = race.sample
    n, k = race.n_rows, race.n_components
    logs = np.empty((n, k), dtype=rows.dtype)
    dispatch.kernels(rows).log_density(rows, parameters.density(rows.dtype), logs, 1)
    columns = np.ascontiguousarray(logs.T, dtype=np.float64)
    top = columns.max(axis=0)
    columns -= top
    np.exp(columns, out=columns)
    total = columns.sum(axis=0)
    columns /= total
    if weight is not None:
        columns *= weight
    total = np.log(total) + top
    race.work.add(race.cost + 30 + n * k * 0.015)
    try:
        losses = merge_losses(race, parameters, columns)
        spots = _spots(race, parameters, total)
    except NotPositiveDefiniteError:
        return
    pairs = sorted(losses, key=lambda pair: losses[pair])
    for spot in spots[:MOVES]:
        if not np.isfinite(spot.gain):
            return
        try:
            yield "insertion", _inserted(parameters, pairs[0], spot)
        except NotPositiveDefiniteError:
            race.work.add(50)
            yield "insertion", None


def _spots(race: Race, parameters: Parameters, logs: FloatArray) -> list[Spot]:
    n, d = race.n_rows, race.n_features
    weights = race.sample.weights
    mass = weights.sum()
    fewest = race.fewest
    n_low = min(n, max(int(PART * n), LEAST, 4 * fewest))
    low = np.argpartition(logs, n_low - 1)[:n_low]
    form = parameters.structure.form
    pooled = np.tensordot(parameters.weights, parameters.full_covariances(), axes=1)
    factor = TIED.precision_factors(pooled)
    log_det = -np.log(factor.diagonal()).sum()  # of half the pooled covariance
    origin = race.sample.rows[low[0]]
    rows = (race.sample.rows[low] - origin) @ factor
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    found = []
    sizes = [s * fewest for s in SIZES if s * fewest < n_low]
    order = None
    if sizes:
        order = np.argpartition(distances, sizes, axis=1)
    sets = [order[:, :s] for s in sizes] if order is not None else []
    sets.append(np.arange(n_low)[None])
    race.work.add(150 + n * 0.01 + n_low**2 * 0.03)
    for chosen in sets:
        w = weights[low][chosen]
        total = np.maximum(w.sum(axis=1), TINY)
        x = rows[chosen]
        mean = np.einsum("nq,nqd->nd", w, x) / total[:, None]
        x = x - mean[:, None]
        cov = np.einsum("nqi,nqj->nij", x * w[:, :, None], x) / total[:, None, None]
        race.work.add(50 + chosen.size * d * (0.02 + 0.002 * d))
        trace = np.trace(cov, axis1=1, axis2=2)
        if form == "tied":
            bits = trace
        elif form == "full":
            bits = np.linalg.slogdet(cov + FLOOR * np.eye(d))[1] + d
        elif form == "diag":
            bits = np.log(np.einsum("nii->ni", cov) + FLOOR).sum(axis=1) + d
        else:
            bits = d * np.log(trace / d + FLOOR) + d
        gain = total * (np.log(total / mass) - 0.5 * (bits + d * np.log(2 * np.pi)) - log_det)
        gain -= (w * logs[low][chosen]).sum(axis=1)
        i = int(np.argmax(gain))
        back = np.linalg.inv(factor)
        found.append(
            Spot(float(gain[i]), float(total[i] / mass), origin + mean[i] @ back, back.T @ (cov[i] + FLOOR * np.eye(d)) @ back)
        )
    found.sort(key=lambda s: -s.gain)
    return found


FLOOR = 0.01


def _inserted(parameters: Parameters, pair: tuple[int, int], spot: Spot) -> Parameters:
    structure, j = parameters.structure, pair[1]
    weights, means, covariances = merged(parameters, pair)
    weights[j] = spot.part
    means[j] = spot.mean
    if not structure.shared:
        c = spot.covariance
        covariances[j] = {
            "full": lambda: c,
            "diag": lambda: c.diagonal(),
            "spherical": lambda: c.trace() / len(c),
        }[structure.form]()
    return Parameters.from_covariances(structure, weights / weights.sum(), means, covariances)
