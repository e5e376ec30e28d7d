"""Repairs of a mixture: two components become one, and a third becomes two (Ueda et al., 2000)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.data.subsample import Sample
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import FULL
from gaussmix.starts.budget import eigenvectors_cost, factor_cost
from gaussmix.starts.race import Race, Run, from_groups
from gaussmix.starts.views import squared_lengths

SPLIT_COMPONENTS, REPAIRS = 3, 4  # components tried to split, and starts that are made of all
REPAIR_LOSS = 0.03  # log-likelihood per row that a repair may be estimated to lose
FLANKS_PART = 0.03
"""What a component with heavy tails counts, beside one that is flatter than a Gaussian: fewer of
the splits into a core and flanks last."""

OWN_SHARE = 0.05  # rows that belong to a component less, beside the surest one, are left out
SHARED = 1e-4  # a row belongs to two components if it does to both by more
SPLIT_ITERATIONS, SPLIT_TOL = 20, 1e-3
CUT, SPLIT = 140, 450
"""Microseconds of a look at how a component's rows lie, and of one as two by EM."""

TINY = 1e-300


Indices: TypeAlias = NDArray[np.signedinteger[Any]]


class _Own(NamedTuple):
    """A component, the rows that belong to it, and how much they do."""

    component: int
    rows: NDArray[np.intp]
    weight: FloatArray


class Split(NamedTuple):
    """A component as two, and the log-likelihood that this adds."""

    component: int
    gain: float
    halves: Parameters


def repairs(race: Race, best: Run) -> Iterator[tuple[str, Parameters | None]]:
    """Yield starts that merge two components of a mixture and split a third.

    Those come first that are estimated to gain most.

    References
    ----------
    Ueda, Nakano, Ghahramani & Hinton (2000), SMEM algorithm for mixture models, Neural Computation
    12, 2109-2128.
    """
    parameters = best.parameters.copied()  # the run may move on
    shares = _shares(race, parameters)
    try:
        losses, splits = merge_losses(race, parameters, shares), _splits(race, parameters, shares)
    except NotPositiveDefiniteError:
        return
    moves = [
        (split.gain - loss, pair, split)
        for pair, loss in losses.items()
        for split in splits
        if split.component not in pair
    ]
    moves.sort(key=lambda move: -move[0])
    for gain, pair, split in moves[:REPAIRS]:
        if gain < -REPAIR_LOSS * shares.sum():
            return
        try:
            yield "repair", _moved(parameters, pair, split)
        except NotPositiveDefiniteError:
            race.work.add(50)
            yield "repair", None


def repairs_cost(race: Race) -> float:
    """Return about how many microseconds the first repair of a mixture takes."""
    k = race.n_components
    pairs = k * k / 2 * (1 + factor_cost(race.n_features))
    merges = 190 + pairs + max(6, k) * _entropy_cost(race)
    looks = k * _look_cost(race, 2 * race.n_rows / k)
    splits = SPLIT_COMPONENTS * (SPLIT + 20 * race.cost / k)
    return float(race.cost + merges + looks + splits)


def _shares(race: Race, parameters: Parameters) -> FloatArray:
    """Return weighted responsibilities, a row for each component: (K, N)."""
    rows, weight = race.sample
    shares = np.empty((race.n_rows, race.n_components), dtype=rows.dtype)
    dispatch.kernels(rows).responsibilities(rows, parameters.density(rows.dtype), shares, 1)
    race.work.add(race.cost)
    columns = np.ascontiguousarray(shares.T, dtype=np.float64)
    return columns if weight is None else columns * weight


class _Pairs(NamedTuple):
    """Pairs of components, those first whose merge is estimated to lose least; no entropy yet."""

    one: Indices
    other: Indices
    loss: FloatArray


def merge_losses(
    race: Race, parameters: Parameters, shares: FloatArray
) -> dict[tuple[int, int], float]:
    """Return the log-likelihood that merging two components loses, of the pairs that lose least.

    It is what their rows lose under one Gaussian of the same moments, less the entropy of who
    belongs to which.
    """
    one, other, loss = _pairs(race, parameters, shares)
    race.work.add(len(one) * _entropy_cost(race))
    return {
        (int(i), int(j)): float(least) + _entropy(shares[i], shares[j])
        for i, j, least in zip(one, other, loss, strict=True)
    }


def least_merge_loss(
    race: Race, parameters: Parameters, shares: FloatArray
) -> tuple[tuple[int, int], float]:
    """Return the pair whose merge loses least, and its loss: see `merge_losses`."""
    best, least = (0, 1), np.inf
    for i, j, bound in zip(*_pairs(race, parameters, shares), strict=True):
        if bound >= least:
            break
        race.work.add(_entropy_cost(race))
        loss = float(bound) + _entropy(shares[i], shares[j])
        if loss < least:
            best, least = (int(i), int(j)), loss
    return best, least


def _pairs(race: Race, parameters: Parameters, shares: FloatArray) -> _Pairs:
    k, n_k = race.n_components, np.maximum(shares.sum(axis=1), TINY)
    one, other = np.triu_indices(k, 1)
    part = n_k[one] / (n_k[one] + n_k[other])
    loss = _gaussian_losses(parameters, n_k, one, other, part)
    entropy = -(part * np.log(part) + (1 - part) * np.log1p(-part))
    loss -= (n_k[one] + n_k[other]) * np.where(np.isfinite(entropy), entropy, 0.0)
    race.work.add(190 + len(one) * (1 + factor_cost(race.n_features)) + race.n_rows * k * 0.003)
    chosen = np.argsort(loss)[: max(6, k)]
    return _Pairs(one[chosen], other[chosen], loss[chosen])


def _entropy_cost(race: Race) -> float:
    return float(25 + race.n_rows * 0.008)


def _entropy(one: FloatArray, other: FloatArray) -> float:
    """Return the entropy of which of two components rows belong to, of rows that both share."""
    shared = np.flatnonzero(np.minimum(one, other) > SHARED)
    both = np.array([one[shared], other[shared]])
    return float(np.vdot(both, np.log(both.sum(axis=0)) - np.log(both)))


def _gaussian_losses(
    parameters: Parameters, n_k: FloatArray, one: Indices, other: Indices, part: FloatArray
) -> FloatArray:
    """Return what the rows of two components lose in density under one of the same moments."""
    means, structure = parameters.means, parameters.structure
    apart = means[one] - means[other]
    if structure.form in ("diag", "spherical"):
        variances = np.broadcast_to(structure.diagonals(parameters.covariances), means.shape)
        a, b = part[:, None], 1 - part[:, None]
        joint = np.log(a * variances[one] + b * variances[other] + a * b * apart**2).sum(axis=1)
        logs = np.log(variances).sum(axis=1)
    else:
        covariances = parameters.full_covariances()
        a, b = part[:, None, None], 1 - part[:, None, None]
        union = a * covariances[one] + b * covariances[other]
        union += a * b * apart[:, :, None] * apart[:, None, :]
        logs, joint = np.linalg.slogdet(covariances)[1], np.linalg.slogdet(union)[1]
    own = n_k * logs
    loss: FloatArray = ((n_k[one] + n_k[other]) * joint - own[one] - own[other]) / 2
    return loss


def _splits(race: Race, parameters: Parameters, shares: FloatArray) -> list[Split]:
    """Split the components that are least Gaussian, by their rows' kurtosis in some direction.

    Where it is small a component is cut in two across the direction, where it is large into a core
    and its flanks.
    """
    d = race.n_features
    factors = FULL.precision_factors(parameters.full_covariances())
    found = []
    for k, factor in enumerate(factors):
        share = shares[k]
        chosen = np.flatnonzero(share > OWN_SHARE * share.max())
        weight = share[chosen]
        rows = (race.sample.rows[chosen] - parameters.means[k]) @ factor
        total = max(weight.sum(), TINY)
        fourth = (rows * (weight * squared_lengths(rows))[:, None]).T @ rows / total
        kurtosis, directions = np.linalg.eigh(fourth)
        low, high = min(kurtosis[0] - (d + 2), 0.0), max(kurtosis[-1] - (d + 2), 0.0)
        own = _Own(k, chosen, weight)
        found.append((total * low**2, own, rows @ directions[:, 0], False))
        found.append((FLANKS_PART * total * high**2, own, rows @ directions[:, -1], True))
        race.work.add(_look_cost(race, len(rows)))
    found.sort(key=lambda entry: -entry[0])
    splits = (
        _split(race, own, along, flanks=flanks)
        for _, own, along, flanks in found[:SPLIT_COMPONENTS]
    )
    return [split for split in splits if split is not None]


def _look_cost(race: Race, n_own: float) -> float:
    """Return microseconds of a look at how so many rows of a component lie."""
    d = race.n_features
    own = n_own * d * (0.01 + 7e-4 * d)
    return float(CUT + eigenvectors_cost(d) + race.n_rows * 1e-3 + own)


def _split(race: Race, own: _Own, along: FloatArray, *, flanks: bool) -> Split | None:
    """Return two components instead of one, by a few EM iterations on its rows alone."""
    component, chosen, weight = own
    labels = (np.abs(along) > 1.5 if flanks else along > _cut(along, weight)).astype(np.int32)
    if np.bincount(labels, minlength=2).min() < race.fewest:
        return None
    rows, total = race.sample.rows[chosen], float(weight.sum())
    mean = weight @ rows / total
    part, general, ridge = Sample(rows - mean, weight), race.structure.general, race.reg_covar
    one = from_groups(part, np.zeros_like(labels), general, 1, ridge, 1, race.n_threads)
    two = from_groups(part, labels, general, 2, ridge, SPLIT_ITERATIONS, race.n_threads, SPLIT_TOL)
    size = 2 * len(chosen) / (race.n_rows * race.n_components)
    race.work.add(SPLIT + (two.state.n_iter + 2) * (4 + race.cost * size))
    if one.state.n_iter == 0 or two.state.n_iter == 0:
        return None
    halves = replace(two.parameters, means=two.parameters.means + mean)
    return Split(component, (two.bound - one.bound) * total, halves)


def _cut(values: FloatArray, weight: FloatArray) -> float:
    """Return where two means divide numbers: K-means with two clusters, a few iterations."""
    total, whole = float(weight @ values), float(weight.sum())
    cut = total / whole
    for _ in range(5):
        above = np.where(values > cut, weight, 0.0)
        upper = float(above.sum())
        if not 0 < upper < whole:
            break
        sum_above = float(above @ values)
        cut = (sum_above / upper + (total - sum_above) / (whole - upper)) / 2
    return cut


def merged(
    parameters: Parameters, pair: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and covariances where i of a pair (i, j) holds both, and j is free."""
    structure, (i, j) = parameters.structure, pair
    weights, means = parameters.weights.copy(), parameters.means.copy()
    covariances = parameters.covariances.copy()
    part, apart = weights[i] / (weights[i] + weights[j]), means[i] - means[j]
    if not structure.shared:
        square = {
            "full": np.outer(apart, apart),
            "diag": apart**2,
            "spherical": apart @ apart / len(apart),
        }[structure.form]
        covariances[i] = part * covariances[i] + (1 - part) * covariances[j]
        covariances[i] += part * (1 - part) * square
    means[i] = part * means[i] + (1 - part) * means[j]
    weights[i] += weights[j]
    return weights, means, covariances


def _moved(parameters: Parameters, pair: tuple[int, int], split: Split) -> Parameters:
    """Let i of a pair (i, j) hold both; j and the split component become the halves."""
    structure, k, halves, j = parameters.structure, split.component, split.halves, pair[1]
    weights, means, covariances = merged(parameters, pair)
    if not structure.shared:
        covariances[k], covariances[j] = halves.covariances
    weights[[k, j]] = weights[k] * halves.weights
    means[[k, j]] = halves.means
    return Parameters.from_covariances(structure, weights / weights.sum(), means, covariances)
