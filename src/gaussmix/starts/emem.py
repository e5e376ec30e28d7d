"""Starts by many short EM runs from random rows, of which the best is returned."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.types import FloatArray
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.trials import Round, best_trials
from gaussmix.kmeans.lloyd import lloyd
from gaussmix.kmeans.seeding import distinct_rows, drawn_rows, plus_plus
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import DIAG, FULL, TIED, Variances

N_STARTS = 64
ROUNDS = (Round(n_iter=5, kept=8), Round(n_iter=30, kept=1))
"""Of 64 starts the 8 best after 5 iterations go on for 30, which is some 500 passes in all. Fewer
starts missed the best optimum more often; deeper first rounds gained less than they cost."""

SPREAD = 0.5
"""Starting covariances, as a part of the data's own over K^(2/D), the K-th part of its volume."""

NEIGHBOUR_ROWS = 256  # looked at for what lies near what: all pairs of them
NEIGHBOURS = 5  # or one more than there are features, where their covariances are looked for
NEIGHBOUR_ROUNDS = 4
NEIGHBOUR_FLOOR = 1e-3
"""Part of the data's covariance that is added to that of neighbours, which is zero in a feature of
few values."""

LLOYD_ITERATIONS = 10


def emem(
    sample: Sample,
    total: Parameters,
    n_components: int,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> Parameters:
    """Parameters where the best of many short EM runs ended (Biernacki, Celeux & Govaert, 2003).

    The runs begin around rows. Distances are Mahalanobis's, by the data's covariance or by that
    within its groups (see `within_groups`), so that no start depends on the features' units, nor
    on rotation where the structure allows any. Neither do the runs, since they have no `reg_covar`,
    nor what is compared: likelihood, once spurious components are counted (`trials.n_spurious`).

    Parameters
    ----------
    sample : Sample
    total : Parameters
        Mean and covariance of the sample: a mixture of one component, of the structure wanted.
    n_components : int
    random_state : RandomState
    n_threads : int or None

    References
    ----------
    Biernacki, Celeux & Govaert (2003), Choosing starting values for the EM algorithm for getting
    the highest likelihood in multivariate Gaussian mixture models, Computational Statistics &
    Data Analysis 41, 561-575.
    """
    if n_components == 1:
        return total
    counted = sample.counted(n_components)
    starts = _random_starts(counted, total, n_components, random_state, n_threads)
    (best,) = best_trials(sample, starts, ROUNDS, reg_covar=0.0, n_threads=n_threads)
    return best.parameters


def _random_starts(
    sample: Sample,
    total: Parameters,
    n_components: int,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> Iterator[Parameters]:
    """Components of one size and shape around rows, in turn of four kinds.

    By either metric, around rows far apart or just any; and at every eighth start, around centres
    of K-means, which find what the others do not where there are many components.
    """
    metrics = total, within_groups(sample, total, random_state)
    for number in range(N_STARTS):
        metric = metrics[number % 2]
        if number % 8 == 7:
            means = _kmeans_centers(sample, metric, n_components, random_state, n_threads)
        elif number % 4 < 2:
            means = _far_apart(sample, metric, n_components, random_state, n_threads)
        else:
            drawn = distinct_rows(len(sample.rows), n_components, sample.weight, random_state)
            means = sample.rows[drawn].astype(np.float64)
        yield _around(means, metric, total.structure)


def _around(means: FloatArray, metric: Parameters, structure: CovarianceStructure) -> Parameters:
    n_components, n_features = means.shape
    part = SPREAD * n_components ** (-2 / n_features)
    if _only_variances(metric):
        covariances = np.repeat(metric.covariances * part, n_components, axis=0)
    else:
        covariances = structure.alike(metric.full_covariances()[0] * part, n_components)
    weights = np.full(n_components, 1 / n_components)
    return Parameters.from_covariances(structure, weights, means, covariances)


def within_groups(
    sample: Sample, total: Parameters, random_state: np.random.RandomState
) -> Parameters:
    """Estimate the covariance within groups before there are any, as a mixture of one component.

    Near rows are of one group, as a rule. So their differences tell its covariance, and by that
    what is near, and so on (Art, Gnanadesikan & Kettenring, 1982). Where groups are long, thin
    and parallel this is a far better metric than the covariance of all rows. It is scaled to the
    size of that. It has variances alone where `total` has, and is `total` for spheres.
    """
    rows = sample.counted(0).rows
    n_rows = min(len(rows), NEIGHBOUR_ROWS)
    variances = _only_variances(total)
    if n_rows < 2 or (variances and total.structure.form == "spherical"):
        return total
    drawn = random_state.choice(len(rows), n_rows, replace=False)
    deviations = rows[drawn] - total.means[0]
    if variances:
        structure: CovarianceStructure = DIAG
        within = _variances_within(deviations, total.covariances[0])
    else:
        structure = FULL
        within = matrix_within(deviations, total.full_covariances()[0])
    return Parameters.from_covariances(structure, np.ones(1), total.means, within[None])


def _only_variances(metric: Parameters) -> bool:
    """Whether a metric has variances alone.

    One variance is a matrix: all structures of one feature are the same model, and begin alike.
    """
    return isinstance(metric.structure, Variances) and metric.n_features > 1


def n_nearest(n_rows: int, n_features: int) -> int:
    """How many neighbours of each row tell a covariance."""
    return min(n_rows - 1, max(NEIGHBOURS, n_features + 1))


def matrix_within(
    deviations: FloatArray, whole: FloatArray, n_rounds: int = NEIGHBOUR_ROUNDS
) -> FloatArray:
    """Return the covariance of near rows, from deviations (n, D) and that of all rows (D, D)."""
    n_features = deviations.shape[1]
    n_neighbours = n_nearest(*deviations.shape)
    within = whole
    for _ in range(n_rounds):
        nearest = _neighbours(deviations @ TIED.precision_factors(within), n_neighbours)
        steps = (deviations[:, None] - deviations[nearest]).reshape(-1, n_features)
        within = steps.T @ steps / (2 * len(steps)) + NEIGHBOUR_FLOOR * whole
    factor = TIED.precision_factors(within)
    within *= np.trace(factor.T @ whole @ factor) / n_features
    return within


def _variances_within(deviations: FloatArray, whole: FloatArray) -> FloatArray:
    """Return the variances of near rows, from deviations (n, D) and those of all rows (D,)."""
    n_neighbours = min(len(deviations) - 1, NEIGHBOURS)
    within = whole
    for _ in range(NEIGHBOUR_ROUNDS):
        nearest = _neighbours(deviations / np.sqrt(within), n_neighbours)
        squares = np.zeros_like(whole)
        for others in nearest.T:
            squares += ((deviations - deviations[others]) ** 2).sum(axis=0)
        within = squares / (2 * nearest.size) + NEIGHBOUR_FLOOR * whole
    return np.asarray(within * (whole / within).mean())


def _neighbours(rows: FloatArray, n_neighbours: int) -> NDArray[np.intp]:
    """Indices of each row's nearest others: (n_rows, n_neighbours)."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    np.fill_diagonal(distances, np.inf)
    return np.argpartition(distances, n_neighbours - 1, axis=1)[:, :n_neighbours]


def _far_apart(
    sample: Sample,
    metric: Parameters,
    n_components: int,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> FloatArray:
    """Rows drawn with a chance proportional to the squared distance from those drawn before.

    That is k-means++ (Arthur & Vassilvitskii, 2007), by Mahalanobis's distance.
    """
    rows, chances = sample.rows, sample.weights
    chosen = [int(drawn_rows(chances, 1, random_state)[0])]
    closest = np.full(len(rows), -np.inf)
    while len(chosen) < n_components:
        center = replace(metric, means=rows[chosen[-1:]].astype(np.float64))
        np.maximum(closest, _closeness(sample, center, n_threads), out=closest)
        chosen.append(int(drawn_rows(-chances * closest, 1, random_state)[0]))
    return rows[chosen].astype(np.float64)


def _closeness(sample: Sample, center: Parameters, n_threads: int | None) -> FloatArray:
    """Return -1/2 the squared distances of rows from the mean of one component: (N,)."""
    rows, density = sample.rows, center.density(sample.rows.dtype)
    density = density._replace(log_scales=np.zeros(1))
    out = np.empty((len(rows), 1), dtype=rows.dtype)
    count = threads.for_work(n_threads, 3.0 * rows.size)
    dispatch.kernels(rows).log_density(rows, density, out, count)
    return out[:, 0].astype(np.float64)


def _kmeans_centers(
    sample: Sample,
    metric: Parameters,
    n_components: int,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> FloatArray:
    """Return centres of K-means by the metric."""
    variances = _only_variances(metric)
    if variances:
        factor = metric.structure.diagonals(metric.precisions_cholesky)  # (1, D), spherical (1, 1)
        rows = (sample.rows - metric.means[0]) * factor
    else:
        factor = TIED.precision_factors(metric.full_covariances()[0])
        rows = (sample.rows - metric.means[0]) @ factor
    start = plus_plus(Sample(rows, sample.weight), n_components, random_state, n_threads)
    data = InMemory(rows, sample.weight, n_threads)
    centers = lloyd(data, start, max_iter=LLOYD_ITERATIONS, threshold=0.0).centers
    steps = centers / factor if variances else np.linalg.solve(factor.T, centers.T).T
    return np.ascontiguousarray(metric.means[0] + steps)
