"""Where EM begins: parameters from a quick look at the data, or those that the user gives."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from scipy.linalg.lapack import dsyevd

from gaussmix._core.density import RESOLUTION
from gaussmix._core.types import FloatArray, Labels
from gaussmix.data.base import Data, InMemory
from gaussmix.data.subsample import Sample, subsample
from gaussmix.em.trials import Round, best_trials
from gaussmix.kmeans.lloyd import lloyd
from gaussmix.kmeans.nearest import nearest_labels
from gaussmix.kmeans.seeding import distinct_rows, plus_plus
from gaussmix.model.covariance import AnyStructure, CovarianceStructure, structure_of
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect, collect_labelled
from gaussmix.model.structures import FULL, Variances
from gaussmix.starts.auto import Found, auto
from gaussmix.starts.budget import n_free
from gaussmix.starts.candidates import described
from gaussmix.starts.completion import in_single, sample_of
from gaussmix.starts.emem import emem
from gaussmix.starts.ward import ward

LLOYD_ITERATIONS = 100
LLOYD_TOL = 1e-4  # scikit-learn's; a start need not be a better K-means than that

MOST_CANDIDATES = 20
"""K-means begins with centres that are each the best of K candidates, and of no more than these.
With scikit-learn's 2 + log K it found twenty groups a quarter as often."""

MOST_KMEANS = 5
ROWS_PER_KMEANS = 1 << 18
"""The start by K-means is the best of several, one more for so many rows: beside passes over all of
them, K-means and a few EM iterations on a sample cost nothing that shows."""
KMEANS_ROUNDS = (Round(n_iter=10, kept=1),)

ROWS_PER_PARAMETER = 8
SAMPLE_ROUNDS = (Round(n_iter=10, kept=2), Round(n_iter=90, kept=1))
"""Where a sample has so many rows for every free parameter, EM by its rows alone comes close to
where EM by all of them goes, and the start by K-means is followed there: an iteration costs next to
nothing, and one over all rows that gains less than tol is seldom the last that there is to gain."""

RACE_PASSES = 28
"""A race for large data may take the time of so many EM iterations on the sample for each K-means
that 'kmeans' would do there: it then takes about as long as that."""
RACE_ROWS, RACE_ROWS_PER_PARAMETER = 2048, 4
"""The race for large data is run on no more rows of the sample than the larger of RACE_ROWS and
this for every free parameter: four times the candidates find better optima than four times the
rows. The winner is followed on the sample."""

FEW_STARTS = 3
TRIAL_ITERATIONS = 20
"""Of more than FEW_STARTS starts, the best third after so many EM iterations on a sample is run to
the end. After 5 or 10 the start that would end best was more often among those dropped."""
TRIALS_PAY = 8  # where X has so many times the rows of the sample; below, they cost what they save

MOST_ROTATED = 32
"""Of more features than these, rows are only standardised for covariances that are variances: the
cost is then linear in the features. With 13, K-means after a rotation led to the best optimum twice
as often; with 60 to 4000, less often, or as often."""

BLOCK_ROWS = 1024  # of random responsibilities held at a time

Tell: TypeAlias = Callable[[str], None]
Grouping: TypeAlias = Callable[[Sample, int, np.random.RandomState, int | None], Labels]


class Given(NamedTuple):
    """Initial parameters that a user gives; a start fills in those that are None."""

    weights: FloatArray | None = None
    means: FloatArray | None = None
    precisions: FloatArray | None = None


NOTHING_GIVEN = Given()


@np.errstate(over="ignore", invalid="ignore")  # a moment may overflow: the M-step says so
def initial_parameters(
    data: Data,
    *,
    structure: AnyStructure,
    n_components: int,
    method: str,
    reg_covar: float,
    random_state: np.random.RandomState,
    given: Given = NOTHING_GIVEN,
    tell: Tell | None = None,
    single: bool = False,
) -> Parameters:
    """Parameters for EM to begin with.

    Rows are grouped, as `scaled_rows` scales them, and every group becomes a component; or, by
    'random' and 'emem', belong to components by degrees. Of many rows only a sample is looked at,
    and where that tells enough, 'auto' and 'kmeans' are followed by EM on it.

    Parameters
    ----------
    data : Data
    structure : CovarianceStructure or str
    n_components : int
        At most n_samples.
    method : {'auto', 'kmeans', 'k-means++', 'random', 'random_from_data', 'hierarchical', 'emem'}
    reg_covar : float
    random_state : RandomState
    given : Given
        Checked parameters that take the place of the start's. Where all are given nothing is
        computed.
    tell : callable, optional
        Called with a line that says which candidate of 'auto' has won.
    single : bool
        Whether to look at a sample in float32, where X has TRIALS_PAY times its rows and float32
        holds it.
    """
    structure = structure_of(structure)
    weights, means, precisions = given
    if weights is not None and means is not None and precisions is not None:
        return Parameters.from_precisions(structure, weights, means, precisions)
    sample, n_threads = sample_of(data, n_components, random_state), data.n_threads
    origin = None
    if single and data.n_samples >= TRIALS_PAY * len(sample.rows):
        sample, origin = in_single(sample)
    if method == "random":
        statistics = random_statistics(sample, structure, n_components, random_state)
        start, _ = m_step(statistics, reg_covar)
    elif method == "emem":
        alike = np.zeros(len(sample.rows), dtype=np.int32)
        total, _ = m_step(hard_statistics(sample, alike, structure, 1, n_threads), 0.0)
        found = emem(sample, total, n_components, random_state, n_threads)
        start, _ = m_step(collect(*sample, found, n_threads), reg_covar)
    elif method == "auto" and n_components > 1:
        sizes = structure, n_components
        start = _raced(data, sample, sizes, reg_covar, random_state, tell)
    else:
        sizes = structure, n_components
        method = "kmeans" if method == "auto" else method
        start = _grouped(method, data, sample, sizes, reg_covar, random_state)
    if origin is not None:
        start = replace(start, means=start.means + origin)
    if weights is None and means is None and precisions is None:
        return start
    start = replace(
        start,
        weights=start.weights if weights is None else weights,
        means=start.means if means is None else means,
    )
    if precisions is None:
        return start
    return Parameters.from_precisions(structure, start.weights, start.means, precisions)


def promising(
    starts: Sequence[Parameters],
    data: Data,
    *,
    reg_covar: float,
    random_state: np.random.RandomState,
) -> Sequence[Parameters]:
    """Return those of many starts that are worth a run to the end, the best first.

    After some EM iterations on the sample that a start looks at, the best third and no fewer than
    FEW_STARTS go on, from where they started. So few are returned as they are, and so are all if
    there are less than TRIALS_PAY times the rows of the sample.
    """
    kept = max(FEW_STARTS, -(-len(starts) // 3))
    if len(starts) <= kept:
        return starts
    sample = sample_of(data, starts[0].n_components, random_state)
    if data.n_samples < TRIALS_PAY * len(sample.rows):
        return starts
    return _best(starts, sample, (Round(TRIAL_ITERATIONS, kept),), reg_covar, data.n_threads)


def _best(
    starts: Sequence[Parameters],
    sample: Sample,
    rounds: Sequence[Round],
    reg_covar: float,
    n_threads: int | None,
) -> Sequence[Parameters]:
    """Return the starts of the best short runs; a single start is not run."""
    if len(starts) == 1:
        return starts
    trials = best_trials(sample, starts, rounds, reg_covar=reg_covar, n_threads=n_threads)
    return [starts[trial.number] for trial in trials]


def _tells(sample: Sample, start: Parameters, n_samples: int) -> bool:
    """Whether EM on a sample is worth its time, and leads where EM on all rows does."""
    n_rows = len(sample.rows)
    return n_samples >= TRIALS_PAY * n_rows and n_rows >= ROWS_PER_PARAMETER * start.n_free()


def _raced(
    data: Data,
    sample: Sample,
    sizes: tuple[CovarianceStructure, int],
    reg_covar: float,
    random_state: np.random.RandomState,
    tell: Tell | None,
) -> Parameters:
    """Return the winner of many short EM runs, or 'kmeans' if there is none.

    Of large data it costs no more than 'kmeans' does.
    """
    n_threads = data.n_threads
    field, n_passes = sample, None
    if data.n_samples > len(sample.rows):
        field = _race_sample(sample, sizes, random_state)
        most = RACE_PASSES * _n_groupings("kmeans", data.n_samples)
        n_passes = most * len(sample.rows) / len(field.rows)
    found = auto(
        field,
        *sizes,
        reg_covar=reg_covar,
        random_state=random_state,
        n_threads=n_threads,
        n_passes=n_passes,
    )
    if tell is not None:
        tell(_verdict(found))
    if found is None:
        return _grouped("kmeans", data, sample, sizes, reg_covar, random_state)
    start = found.parameters
    if not _tells(sample, start, data.n_samples):
        return start
    (trial,) = best_trials(
        sample, [start], SAMPLE_ROUNDS[1:], reg_covar=reg_covar, n_threads=n_threads
    )
    return trial.parameters


def _race_sample(
    sample: Sample, sizes: tuple[CovarianceStructure, int], random_state: np.random.RandomState
) -> Sample:
    """Return the rows of a sample that short EM runs race on."""
    structure, k = sizes
    parameters = n_free(sample.rows.shape[1], k, structure)
    most = max(RACE_ROWS, RACE_ROWS_PER_PARAMETER * parameters)
    return subsample(*sample, k, random_state, most)


def _verdict(found: Found | None) -> str:
    if found is None:
        return "start: K-means, since every short run was spurious"
    return f"start: the best of {found.n_runs} short runs, from {described(found.kind)}"


def _grouped(
    method: str,
    data: Data,
    sample: Sample,
    sizes: tuple[CovarianceStructure, int],
    reg_covar: float,
    random_state: np.random.RandomState,
) -> Parameters:
    """A component for every group of rows."""
    structure, n_components = sizes
    apart = n_components > 1  # one group needs no distances
    scaled = Sample(scaled_rows(sample, structure) if apart else sample.rows, sample.weight)
    starts = []
    for _ in range(_n_groupings(method, data.n_samples)):
        labels = GROUPINGS[method](scaled, n_components, random_state, data.n_threads)
        statistics = hard_statistics(sample, labels, structure, n_components, data.n_threads)
        starts.append(m_step(statistics, reg_covar)[0])
    if method == "kmeans" and _tells(sample, starts[0], data.n_samples):
        trials = best_trials(
            sample, starts, SAMPLE_ROUNDS, reg_covar=reg_covar, n_threads=data.n_threads
        )
        return trials[0].parameters
    return _best(starts, sample, KMEANS_ROUNDS, reg_covar, data.n_threads)[0]


def _n_groupings(method: str, n_samples: int) -> int:
    return min(MOST_KMEANS, 1 + n_samples // ROWS_PER_KMEANS) if method == "kmeans" else 1


def scaled_rows(sample: Sample, structure: CovarianceStructure = FULL) -> FloatArray:
    """Copy the rows in principal directions of the features, on a scale between two.

    Where Z = U L V' are the standardised rows, it returns U L^(1/2) times a number:
    mclust's SVD scaling (Scrucca & Raftery, 2015). Units do not matter; features that say the
    same thing count less than once each; and directions with hardly any spread are
    not blown up to the size of the others, as they are by whitening. A constant feature counts for
    nothing.

    Of fewer rows than features it takes the products (N, N). If the structure has variances alone,
    and there are more than MOST_ROTATED features, it returns Z, in a time linear in D.
    """
    weight = sample.weights
    total = weight.sum()
    mean = weight @ sample.rows / total
    scaled: FloatArray = sample.rows - mean
    weighted = scaled if sample.weight is None else weight[:, None] * scaled
    n_rows, n_features = scaled.shape
    only_variances = isinstance(structure, Variances) and n_features > MOST_ROTATED
    if only_variances or n_rows < n_features:
        scaled *= _inverse_spread(np.einsum("nd,nd->d", weighted, scaled) / total, mean)
        if not np.isfinite(scaled).all():
            return np.zeros(sample.rows.shape)  # moments overflow, which the M-step will say
        return scaled if only_variances else _by_products_of_rows(scaled, weight / total)
    covariance = weighted.T @ scaled / total
    scale = _inverse_spread(covariance.diagonal(), mean)
    correlation = scale[:, None] * covariance * scale
    if not np.isfinite(correlation).all():
        return np.zeros(sample.rows.shape)  # moments overflow, which the M-step will say
    variances, directions, failed = dsyevd(correlation)
    if failed:
        return scaled * scale
    directions *= scale[:, None] * np.maximum(variances, RESOLUTION) ** -0.25
    whitened: FloatArray = scaled @ directions
    return whitened


def _inverse_spread(variances: FloatArray, mean: FloatArray) -> FloatArray:
    """Return what standardises the features (D,), 0 for those that are constant."""
    spread = np.sqrt(variances)
    return np.asarray(1.0 / np.where(spread > RESOLUTION * np.abs(mean), spread, np.inf))


def _by_products_of_rows(standard: FloatArray, weight: FloatArray) -> FloatArray:
    """Scale standardised rows (N, D), as `scaled_rows` does, where there are fewer than features.

    Their products (N, N), under weights of sum 1, have the same eigenvalues as the correlations of
    the features (D, D) that are not 0, and lead to the same directions.
    """
    weighted = np.sqrt(weight)[:, None] * standard
    products = weighted @ weighted.T
    variances, vectors, failed = dsyevd(products)
    if failed:
        return standard
    floor = RESOLUTION * max(variances[-1], 1.0)
    vectors *= np.maximum(variances, floor) ** -0.75
    whitened: FloatArray = standard @ (weighted.T @ vectors)
    return whitened


def hard_statistics(
    sample: Sample,
    labels: Labels,
    structure: AnyStructure,
    n_components: int,
    n_threads: int | None = None,
) -> Statistics:
    """Statistics of rows that belong to one component each, about the components' means.

    A component without rows, or whose rows have no weight, is shifted to the mean of all. Moments
    are float64 in every part, whatever the rows are.
    """
    rows, weight = sample.rows.astype(np.float64, copy=False), sample.weight
    columns = rows.T if weight is None else rows.T * weight
    groups = labels.astype(np.intp)  # as bincount would have them for every column
    n_k = np.bincount(groups, weight, n_components)
    sums = np.array([np.bincount(groups, column, n_components) for column in columns])
    if not n_k.all():
        empty = n_k == 0
        sums[:, empty] = sums.sum(axis=1, keepdims=True) / n_k.sum()
        n_k[empty] = 1
    shift = np.ascontiguousarray((sums / n_k).T)
    return collect_labelled(rows, weight, labels, structure_of(structure), shift, n_threads)


def random_statistics(
    sample: Sample, structure: AnyStructure, n_components: int, random_state: np.random.RandomState
) -> Statistics:
    """Statistics under responsibilities random_state.uniform(size=(N, K)), normalised."""
    weight = sample.weights
    mean = weight @ sample.rows / weight.sum()
    statistics = Statistics.zeros(structure, np.tile(mean, (n_components, 1)))
    for start in range(0, len(sample.rows), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        deviations = sample.rows[rows] - mean
        resp = random_state.uniform(size=(len(deviations), n_components))
        resp *= (weight[rows] / resp.sum(axis=1))[:, None]
        for k in range(n_components):
            own = resp[:, k]
            statistics.n_k[k] += own.sum()
            statistics.first[k] += own @ deviations
            statistics.structure.add_moments(statistics.second, k, own, deviations)
    return replace(statistics, weight=float(weight.sum()), n_samples=len(sample.rows))


def _kmeans(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    rows, weight = scaled
    n_trials = min(n_components, MOST_CANDIDATES)
    centers = plus_plus(scaled, n_components, random_state, n_threads, n_trials)
    threshold = LLOYD_TOL * float(np.vdot(rows, rows)) / rows.size
    data = InMemory(rows, weight, n_threads)
    found = lloyd(data, centers, max_iter=LLOYD_ITERATIONS, threshold=threshold)
    return cast(Labels, found.labels)


def _plus_plus(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    centers = plus_plus(scaled, n_components, random_state, n_threads)
    return nearest_labels(scaled.rows, centers, n_threads)


def _random_from_data(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    """Group rows around distinct rows."""
    rows, weight = scaled
    chosen = distinct_rows(len(rows), n_components, weight, random_state)
    return nearest_labels(rows, rows[chosen].astype(np.float64), n_threads)


GROUPINGS: dict[str, Grouping] = {
    "kmeans": _kmeans,
    "k-means++": _plus_plus,
    "random_from_data": _random_from_data,
    "hierarchical": ward,
}

METHOD_NAMES = (
    "auto",
    "kmeans",
    "k-means++",
    "random",
    "random_from_data",
    "hierarchical",
    "emem",
)
