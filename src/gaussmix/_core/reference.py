r"""The kernels in plain NumPy, to be read beside the formulas.

Same names, signatures and errors as the compiled builds, and everything in the library runs on
it. With z = x - center, the weighted log-density of component k at a row (Bishop, PRML, 2.43) is

    l_k(x) = log_scales_k - 1/2 |y_k|^2,        y_k = U_k' (z - means_k),

its responsibility (Bishop, PRML, 9.23) is r_k(x) = exp(l_k(x) - log sum_m exp l_m(x)), and the
sufficient statistics are weighted sums about the component's present mean:

    n_k = sum w r_k,  first_k = sum w r_k d_k,  second_k = sum w r_k d_k d_k',  d_k = z - means_k.

The sums over m have T terms: the K components, and the noise if there is any, whose l is the same
at every row. What is told of a row multiplies the weights of its terms: see `told`.

Rows are read in blocks, so no array of size N x K is made here either.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.cells import Cells
from gaussmix._core.checks import (
    FLOAT64,
    INT32,
    require_array,
    require_cells,
    require_clusters,
    require_em,
    require_lloyd,
    require_no_gaps,
    require_pass,
    require_seeding,
    require_sums,
    require_told,
)
from gaussmix._core.density import (
    GROUP_ROWS,
    LOG_LOWEST,
    Density,
    nearest_density,
)
from gaussmix._core.plain_lloyd import plain_lloyd
from gaussmix._core.reference_gaps import filled
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows

BLOCK_ROWS = GROUP_ROWS
PANEL_ROWS = 1


@np.errstate(over="ignore")  # of float32
def log_density(X: Rows, density: Density, out: Rows, n_threads: int = 1) -> None:
    """Weighted log-densities, log(weight_k N(x | mean_k, cov_k)), into `out` (N, T), X's dtype."""
    n_samples, _, _ = require_pass(X, density, n_threads)
    require_array("out", out, (n_samples, density.n_terms), X.dtype)
    for rows in _blocks(X):
        out[rows] = _log_density(X[rows], density)


def log_likelihood(
    X: Rows, density: Density, out: Rows, n_threads: int = 1, told: Told | None = None
) -> None:
    """Log-likelihood of each row, log sum_k exp l_k(x), into `out` (N,), X's dtype."""
    n_samples, _, _ = require_pass(X, density, n_threads)
    require_array("out", out, (n_samples,), X.dtype)
    require_told(told, n_samples, density.n_terms)
    for rows in _blocks(X):
        _, out[rows] = _responsibilities(_bounded(X, rows, density, told))


def responsibilities(
    X: Rows, density: Density, out: Rows, n_threads: int = 1, told: Told | None = None
) -> None:
    """Posterior probability of each component given each row, into `out` (N, T), X's dtype."""
    n_samples, _, _ = require_pass(X, density, n_threads)
    require_array("out", out, (n_samples, density.n_terms), X.dtype)
    require_told(told, n_samples, density.n_terms)
    for rows in _blocks(X):
        out[rows], _ = _responsibilities(_bounded(X, rows, density, told))


def assign(
    X: Rows,
    density: Density,
    labels: NDArray[np.int32],
    best: Rows | None,
    n_threads: int = 1,
    told: Told | None = None,
) -> None:
    """Most probable component of each row into `labels` (N,), its l_k into `best` (N,) if given."""
    n_samples, _, _ = require_pass(X, density, n_threads)
    require_array("labels", labels, (n_samples,), INT32)
    if best is not None:
        require_array("best", best, (n_samples,), X.dtype)
    require_told(told, n_samples, density.n_terms)
    for rows in _blocks(X):
        log_prob = _bounded(X, rows, density, told)
        labels[rows] = log_prob.argmax(axis=1)
        if best is not None:
            best[rows] = log_prob.max(axis=1)


@np.errstate(over="ignore", invalid="ignore")  # a moment may overflow: the M-step says so
def accumulate(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    n_k: FloatArray,
    first: FloatArray,
    second: FloatArray,
    totals: FloatArray,
    n_threads: int = 1,
    labels: NDArray[np.int32] | None = None,
    told: Told | None = None,
) -> None:
    """Add the statistics of soft assignment: the one pass that EM makes over the data.

    IN: X (N, D), sample_weight (N,) or None, density. INOUT, float64: n_k (K,), first (K, D),
    second (full (K, D, D), tied (D, D) summed over components, diag (K, D), spherical (K,) summed
    over features), totals (2,) = weighted log-likelihood and weight. With noise n_k is (K + 1,):
    its own comes last.

    With labels (N,) a row belongs to that component alone, to none where there is no such
    component, and has no log-likelihood.

    Compiled kernels for float32 also take X of float64, unless rows may lack values. They round
    what is left of a row when the centre has been subtracted.
    """
    n_samples, n_components, _ = require_pass(X, density, n_threads, sample_weight)
    require_sums(density, n_k, first, second, totals)
    require_told(told, n_samples, density.n_terms)
    if labels is not None:
        require_no_gaps(density)
        require_array("labels", labels, (n_samples,), INT32)
    for rows, weight in _weighted_blocks(X, sample_weight):
        z = _centred(X[rows], density)
        if labels is None:
            resp, log_likelihood = _responsibilities(_bounded(X, rows, density, told))
        else:
            resp = (labels[rows, None] == np.arange(density.n_terms)).astype(np.float64)
            log_likelihood = np.zeros(len(z))
        resp *= weight[:, None]
        deviations = z - density.means[:, None, :]  # (K, B, D)
        if density.gaps and np.isnan(z).any():
            _, deviations, covariances = filled(z, density)
            second += _conditional_moments(resp, covariances, density.structure)
        n_k += resp.sum(axis=0)
        resp = resp[:, :n_components]
        first += np.einsum("nk,knd->kd", resp, deviations)
        second += _second_moments(resp, deviations, density.structure)
        totals += weight @ log_likelihood, weight.sum()


def accumulate_hard(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    labels: NDArray[np.int32] | None,
    n_k: FloatArray,
    first: FloatArray,
    totals: FloatArray,
    n_threads: int = 1,
) -> None:
    """Add the sums of hard assignment, each row to its most probable component: K-means' pass.

    As `accumulate` with responsibilities 0 and 1 and no second moments; totals[0] grows by the
    weighted sum of the winning l_k. Labels (N,) are written if given. With factors 1 and
    log_scales 0 the most probable centre is the nearest, and -2 totals[0] the inertia.
    """
    n_samples, n_components, _ = require_pass(X, density, n_threads, sample_weight)
    require_no_gaps(density)
    require_sums(density, n_k, first, None, totals)
    if labels is not None:
        require_array("labels", labels, (n_samples,), INT32)
    for rows, weight in _weighted_blocks(X, sample_weight):
        z = _centred(X[rows], density)
        log_prob = _bounded(X, rows, density, None)
        winners = log_prob.argmax(axis=1)
        n_k += np.bincount(winners, weight, n_components)
        np.add.at(first, winners, weight[:, None] * (z - density.means[winners]))
        totals += weight @ log_prob.max(axis=1), weight.sum()
        if labels is not None:
            labels[rows] = winners


def accumulate_likelihood(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    totals: FloatArray,
    n_threads: int = 1,
    told: Told | None = None,
) -> None:
    """Add the rows' weighted log-likelihood and weight to totals (2,): those of `accumulate`."""
    n_samples, _, _ = require_pass(X, density, n_threads, sample_weight)
    require_array("totals", totals, (2,), FLOAT64)
    require_told(told, n_samples, density.n_terms)
    for rows, weight in _weighted_blocks(X, sample_weight):
        _, log_likelihood = _responsibilities(_bounded(X, rows, density, told))
        totals += weight @ log_likelihood, weight.sum()


def accumulate_cells(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    cells: Cells,
    n_k: FloatArray,
    first: FloatArray,
    second: FloatArray,
    totals: FloatArray,
    masses: FloatArray,
    labels: NDArray[np.int32] | None,
    n_threads: int = 1,
) -> None:
    """Add the statistics of soft assignment to the components on each cell's list.

    As `accumulate`, but the rows of a cell belong to the components on its list alone, so that
    their log-likelihood is a lower bound (Neal & Hinton, 1998). OUT: masses (L,), the part of n_k
    that each listed component has of its cell; labels (N,), the most probable component of each row
    on its cell's list, if given. For densities without noise, and rows without gaps.
    """
    require_pass(X, density, n_threads, sample_weight)
    require_sums(density, n_k, first, second, totals)
    for chosen, rows, weight, place in _cells(X, sample_weight, density, cells, masses, labels):
        components = cells.components[place]
        shared = density.structure == "tied"
        own = np.zeros(len(components)), np.zeros_like(chosen.means), np.zeros_like(chosen.factors)
        accumulate(rows, weight, chosen, *own, totals)
        masses[place] = own[0]
        n_k[components] += own[0]
        first[components] += own[1]
        second[... if shared else components] += own[2]


def weigh_cells(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    cells: Cells,
    totals: FloatArray,
    masses: FloatArray,
    labels: NDArray[np.int32] | None,
    n_threads: int = 1,
) -> None:
    """Find how much each component on a cell's list matters to it, and no more.

    Adds to totals (2,), and finds masses (L,) and labels (N,), as `accumulate_cells` does.
    """
    require_pass(X, density, n_threads, sample_weight)
    require_array("totals", totals, (2,), FLOAT64)
    for chosen, rows, weight, place in _cells(X, sample_weight, density, cells, masses, labels):
        masses[place] = 0
        for part, own in _weighted_blocks(rows, weight):
            resp, log_likelihood = _responsibilities(_bounded(rows, part, chosen, None))
            masses[place] += (resp * own[:, None]).sum(axis=0)
            totals += own @ log_likelihood, own.sum()


def lloyd(
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    labels: NDArray[np.int32],
    n_k: FloatArray,
    totals: FloatArray,
    max_iter: int,
    threshold: float,
    n_threads: int = 1,
    tally: NDArray[np.int64] | None = None,
) -> tuple[int, bool]:
    """Move centres to the means of their rows, until labels or centres stay (Bishop, PRML, 9.1).

    IN: X (N, D), sample_weight (N,) or None. INOUT: centers (K, D), labels (N,). OUT: n_k (K,),
    the weight of each cluster, and totals (2,), as of `accumulate_hard` for the last centres; and
    tally (3,) if given: the rows of all passes whose labels a bound of an earlier pass settled, a
    screen in float32, and a comparison of all distances. Here that are all.

    Passes end when no label changes, when the sum of the centres' squared moves is at most
    `threshold`, or after `max_iter`. If the centres moved in the last pass, one more finds their
    labels, and is not counted. Returns the number of passes and True. Where a cluster is left
    without weight, returns the number of passes before and False; centres and labels are theirs.
    """
    require_lloyd(X, sample_weight, centers, labels, n_k, totals, n_threads, tally)
    arrays = X, sample_weight, centers, labels, n_k, totals
    return plain_lloyd(accumulate_hard, *arrays, max_iter, threshold, n_threads, tally)


def em(
    X: Rows,
    sample_weight: FloatArray | None,
    ascent: Any,
    bounds: FloatArray,
    tol: float,
    previous: float,
    n_threads: int = 1,
    labels: NDArray[np.int32] | None = None,
) -> tuple[int, bool]:
    """Repeat E-step and M-step until what they climb settles (Bishop, PRML, 9.2.2 and 10.2.1).

    IN: X (N, D), sample_weight (N,) or None. INOUT: ascent, such as `LikelihoodAscent` of
    `reference_estimates`. OUT: bounds (max_iter,), the value before each M-step. With labels (N,)
    rows belong to one component each in a first M-step, which does not count as an iteration: of
    the point it needs the means alone, about which moments are taken.

    Iterations end when the value changes by less than tol, the first one compared with `previous`;
    after max_iter iterations; or when the M-step finds something wrong, whose iteration then does
    not count. Returns the number of iterations, and whether the value settled.
    """
    require_em(X, sample_weight, ascent.n_features, bounds, n_threads)
    if labels is not None:
        require_array("labels", labels, X.shape[:1], INT32)
    n_iter = 0
    while n_iter < len(bounds):
        density = ascent.density(X.dtype)
        n_k, first = np.zeros(len(density.means)), np.zeros_like(density.means)
        second, totals = np.zeros_like(density.factors), np.zeros(2)
        accumulate(X, sample_weight, density, n_k, first, second, totals, labels=labels)
        found = ascent.bound(*totals)
        shift = density.center + density.means
        if not ascent.move(shift, n_k, first, second, totals[1] / len(X)):
            return n_iter, False
        if labels is not None:
            labels = None
            continue
        bounds[n_iter] = found
        n_iter += 1
        if abs(found - previous) < tol:
            return n_iter, True
        previous = found
    return len(bounds), False


def plus_plus(
    X: Rows,
    sample_weight: FloatArray | None,
    uniforms: FloatArray,
    chosen: NDArray[np.int64],
    n_trials: int,
    n_threads: int = 1,
) -> None:
    """Choose first centres by greedy k-means++ (Arthur & Vassilvitskii, 2007, 2.2 and 5).

    IN: X (N, D), sample_weight (N,) or None, uniforms (1 + (K - 1) n_trials,) on [0, 1). OUT:
    chosen (K,), numbers of rows. The first is drawn with a chance proportional to weight; each next
    one is the best of n_trials, drawn by weight times squared distance from the nearest so far, by
    weight alone if all of these are 0.
    """
    require_seeding(X, sample_weight, uniforms, chosen, n_trials, n_threads)

    def closeness(rows: NDArray[np.intp]) -> Rows:
        density = nearest_density(X[rows].astype(np.float64), X.dtype)
        out = np.empty((len(X), len(rows)), dtype=X.dtype)
        log_density(X, density, out)
        return out

    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    greedy_plus_plus(weight, uniforms, chosen, n_trials, closeness)


def em_from_kmeans(
    view: Rows,
    X: Rows,
    sample_weight: FloatArray | None,
    uniforms: FloatArray,
    n_trials: int,
    max_passes: int,
    threshold: float,
    labels: NDArray[np.int32],
    ascent: Any,
    bounds: FloatArray,
    tol: float,
    n_threads: int = 1,
) -> tuple[int, int, bool]:
    """Do `em` from the clusters that K-means finds in other coordinates of the rows.

    IN: view (N, E), the rows in those coordinates; X (N, D), sample_weight (N,) or None; uniforms
    and n_trials as in `plus_plus`, max_passes and threshold as in `lloyd`. OUT: labels (N,), the
    nearest centre of each row. INOUT: ascent and bounds as in `em`, of whose point the means alone
    are needed.

    Returns the number of passes of `lloyd`, and what `em` returns: no iteration if the first M-step
    finds something wrong, such as a cluster that has lost its rows.
    """
    chosen = np.empty(ascent.n_components, dtype=np.int64)
    require_em(X, sample_weight, ascent.n_features, bounds, n_threads)
    shapes = sample_weight, uniforms, chosen, n_trials, labels, n_threads
    require_clusters(X, view, *shapes)
    plus_plus(view, sample_weight, uniforms, chosen, n_trials)
    labels.fill(-1)
    centers, sums = view[chosen].astype(np.float64), (np.zeros(len(chosen)), np.zeros(2))
    n_passes, ended = lloyd(view, sample_weight, centers, labels, *sums, max_passes, threshold)
    if not ended:
        assign(view, nearest_density(centers, view.dtype), labels, None)
    return n_passes, *em(X, sample_weight, ascent, bounds, tol, -np.inf, n_threads, labels)


def greedy_plus_plus(
    weight: FloatArray,
    uniforms: FloatArray,
    chosen: NDArray[np.int64],
    n_trials: int,
    closeness: Callable[[NDArray[np.intp]], Rows],
) -> None:
    """Choose as `plus_plus`, from -1/2 the squared distances of all rows from some: (N, n)."""

    def drawn(chances: FloatArray, levels: FloatArray) -> NDArray[np.intp]:
        cumulated = chances.cumsum()
        if not cumulated[-1] > 0:  # every row of any weight is a centre
            cumulated = weight.cumsum()
        rows: NDArray[np.intp] = cumulated.searchsorted(levels * cumulated[-1])
        return np.minimum(rows, len(weight) - 1, out=rows)

    chosen[:1] = drawn(weight, uniforms[:1])
    closest = closeness(chosen[:1])[:, 0]
    for c in range(1, len(chosen)):
        first = 1 + (c - 1) * n_trials
        candidates = drawn(-weight * closest, uniforms[first : first + n_trials])
        nearer = np.maximum(closeness(candidates), closest[:, None])
        best = np.einsum("n,nt->t", weight, nearer).argmax()  # BLAS adds in varying orders
        chosen[c] = candidates[best]
        closest = nearer[:, best]


def log_priors(told: Told, dtype: np.dtype[np.floating]) -> FloatArray:
    """Logarithms of what the terms' weights are multiplied with: (B, T)."""
    if told.owners is None:
        priors = told.rows.astype(dtype)
        priors[priors < np.finfo(dtype).tiny] = 0
    else:
        codes = told.rows[:, None]
        priors = ((codes < 0) | (codes == told.owners)).astype(dtype)
    with np.errstate(divide="ignore"):
        return np.log(priors, dtype=np.float64)


def _blocks(X: Rows) -> Iterator[slice]:
    return (slice(i, i + BLOCK_ROWS) for i in range(0, len(X), BLOCK_ROWS))


def _weighted_blocks(
    X: Rows, sample_weight: FloatArray | None
) -> Iterator[tuple[slice, FloatArray]]:
    for rows in _blocks(X):
        yield rows, np.ones(len(X[rows])) if sample_weight is None else sample_weight[rows]


def _cells(
    X: Rows,
    sample_weight: FloatArray | None,
    density: Density,
    cells: Cells,
    masses: FloatArray,
    labels: NDArray[np.int32] | None,
) -> Iterator[tuple[Density, Rows, FloatArray | None, slice]]:
    """Each cell's density, rows, weights and place on the lists; its labels are written."""
    require_cells(len(X), density, cells, masses, labels)
    order, edges, lists, components = cells
    for c in range(cells.n_cells):
        rows, place = order[edges[c] : edges[c + 1]], slice(lists[c], lists[c + 1])
        chosen = density.of(components[place])
        if labels is not None:
            assigned = np.empty(len(rows), np.int32)
            assign(X[rows], chosen, assigned, None)
            labels[rows] = components[place][assigned]
        yield chosen, X[rows], None if sample_weight is None else sample_weight[rows], place


def _centred(rows: Rows, density: Density) -> FloatArray:
    return rows.astype(np.float64) - density.center


@np.errstate(over="ignore", invalid="ignore")  # a square may overflow: it is bounded later
def _log_density(rows: Rows, density: Density) -> FloatArray:
    """l_k of rows (B, D) under every component, and then the noise: (B, T)."""
    if density.gaps and np.isnan(rows).any():
        return filled(_centred(rows, density), density).log_prob
    deviations = _centred(rows, density) - density.means[:, None, :]  # (K, B, D)
    factors = density.factors
    if density.structure in ("full", "tied"):
        y = deviations @ factors
    elif density.structure == "diag":
        y = deviations * factors[:, None, :]
    else:
        y = deviations * factors[:, None, None]
    log_prob: FloatArray = density.log_scales - 0.5 * np.einsum("knd,knd->nk", y, y)
    if density.log_noise is None:
        return log_prob
    return np.column_stack([log_prob, np.full(len(rows), density.log_noise)])


def _bounded(X: Rows, rows: slice, density: Density, told: Told | None) -> FloatArray:
    """l_k of some rows of X with what is told of them, kept above LOG_LOWEST: (B, T)."""
    log_prob = _log_density(X[rows], density)
    if told is not None:
        log_prob += log_priors(told[rows], X.dtype)
    return np.fmax(log_prob, LOG_LOWEST[X.dtype])


def _responsibilities(log_prob: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Responsibilities (B, T) and log-likelihoods (B,) by log-sum-exp.

    The largest term is taken out first, so that nothing overflows and the sum is at least 1.
    """
    largest = log_prob.max(axis=1)
    resp = np.exp(log_prob - largest[:, None])
    total = resp.sum(axis=1)
    return resp / total[:, None], largest + np.log(total)


def _second_moments(resp: FloatArray, deviations: FloatArray, structure: str) -> FloatArray:
    weighted = resp.T[:, :, None] * deviations  # (K, B, D)
    if structure in ("full", "tied"):
        outer: FloatArray = weighted.transpose(0, 2, 1) @ deviations
        return outer if structure == "full" else outer.sum(axis=0)
    per_feature: FloatArray = np.einsum("knd,knd->kd", weighted, deviations)
    return per_feature if structure == "diag" else per_feature.sum(axis=1)


def _conditional_moments(resp: FloatArray, covariances: FloatArray, structure: str) -> FloatArray:
    """Weighted sums of what rows leave open of each component's second moments."""
    total: FloatArray = np.einsum("nk,knij->kij", resp, covariances)
    if structure in ("full", "tied"):
        return total if structure == "full" else total.sum(axis=0)
    per_feature = total.diagonal(axis1=1, axis2=2)
    return per_feature if structure == "diag" else per_feature.sum(axis=1)
