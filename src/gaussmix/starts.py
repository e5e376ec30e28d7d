"""Where EM begins: parameters from a quick look at the data, or those that the user gives."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix._core.constants import FloatArray, Structure, factors_shape
from gaussmix._core.interface import Rows
from gaussmix.covariance import RESOLUTION, m_step
from gaussmix.lloyd import lloyd, mean_variance
from gaussmix.nearest import Labels, assign, nearest_density
from gaussmix.parameters import NotPositiveDefiniteError, Parameters, factors_of_precisions
from gaussmix.sampling import Sample, subsample
from gaussmix.seeding import plus_plus
from gaussmix.statistics import Statistics
from gaussmix.validation import check_numbers

LLOYD_ITERATIONS = 100
LLOYD_TOL = 1e-4  # scikit-learn's; a start need not be a better K-means than that

WEIGHT_SUM = 1e-6  # by how much given weights may miss 1: what thirds in float32 may
SYMMETRY = 1e-8  # by how much of its largest entry a given matrix may differ from its transpose

LOWEST_PIVOT = float(np.finfo(np.float64).tiny)  # the inverse of a smaller one overflows

BLOCK_ROWS = 1024  # of random responsibilities held at a time

Grouping: TypeAlias = Callable[[Sample, int, np.random.RandomState, int | None], Labels]


class Given(NamedTuple):
    """Initial parameters that a user gives; a start fills in those that are None."""

    weights: FloatArray | None = None
    means: FloatArray | None = None
    precisions: FloatArray | None = None


NOTHING_GIVEN = Given()


@np.errstate(over="ignore", invalid="ignore")  # a moment may overflow: the M-step says so
def initial_parameters(
    X: Rows,
    sample_weight: FloatArray | None,
    *,
    structure: Structure,
    n_components: int,
    method: str,
    reg_covar: float,
    random_state: np.random.RandomState,
    n_threads: int | None,
    given: Given = NOTHING_GIVEN,
) -> Parameters:
    """Parameters for EM to begin with.

    Rows are grouped, in units of each feature's standard deviation, and every group becomes a
    component. Of many rows only a sample is looked at.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        C-contiguous, float32 or float64.
    sample_weight : ndarray of shape (n_samples,) or None
    structure : {'full', 'tied', 'diag', 'spherical'}
    n_components : int
        At most n_samples.
    method : {'kmeans', 'k-means++', 'random', 'random_from_data'}
    reg_covar : float
    random_state : RandomState
    n_threads : int or None
    given : Given
        Checked parameters that take the place of the start's. Where all are given nothing is
        computed.
    """
    weights, means, precisions = given
    if weights is not None and means is not None and precisions is not None:
        return Parameters.from_precisions(structure, weights, means, precisions)
    sample = subsample(X, sample_weight, n_components, random_state)
    if method == "random":
        statistics = random_statistics(sample, structure, n_components, random_state)
    else:
        scaled = Sample(standardised(sample), sample.weight)
        labels = GROUPINGS[method](scaled, n_components, random_state, n_threads)
        statistics = hard_statistics(sample, labels, structure, n_components)
    start, _ = m_step(statistics, reg_covar)
    start = replace(
        start,
        weights=start.weights if weights is None else weights,
        means=start.means if means is None else means,
    )
    if precisions is None:
        return start
    return Parameters.from_precisions(structure, start.weights, start.means, precisions)


def standardised(sample: Sample) -> FloatArray:
    """Copy the rows, with mean 0 and standard deviation 1 in every feature (0 if constant)."""
    weight = _weights(sample)
    mean = weight @ sample.rows / weight.sum()
    scaled: FloatArray = sample.rows - mean
    spread = np.sqrt(weight @ scaled**2 / weight.sum())
    scaled /= np.where(spread > RESOLUTION * np.abs(mean), spread, np.inf)
    return scaled


def hard_statistics(
    sample: Sample, labels: Labels, structure: Structure, n_components: int
) -> Statistics:
    """Statistics of rows that belong to one component each, about the components' means.

    A component without rows is shifted to the mean of all.
    """
    weight = _weights(sample)
    shift = np.tile(weight @ sample.rows / weight.sum(), (n_components, 1))
    statistics = Statistics.zeros(structure, shift)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(n_components + 1))
    for k in range(n_components):
        members = order[bounds[k] : bounds[k + 1]]
        total = weight[members].sum()
        if total > 0:
            rows = sample.rows[members].astype(np.float64)
            shift[k] = weight[members] @ rows / total
            _add(statistics, k, rows - shift[k], weight[members])
    return replace(statistics, weight=float(weight.sum()), n_samples=len(labels))


def random_statistics(
    sample: Sample, structure: Structure, n_components: int, random_state: np.random.RandomState
) -> Statistics:
    """Statistics under responsibilities random_state.uniform(size=(N, K)), normalised."""
    weight = _weights(sample)
    mean = weight @ sample.rows / weight.sum()
    statistics = Statistics.zeros(structure, np.tile(mean, (n_components, 1)))
    for start in range(0, len(sample.rows), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        deviations = sample.rows[rows] - mean
        resp = random_state.uniform(size=(len(deviations), n_components))
        resp *= (weight[rows] / resp.sum(axis=1))[:, None]
        for k in range(n_components):
            _add(statistics, k, deviations, resp[:, k])
    return replace(statistics, weight=float(weight.sum()), n_samples=len(sample.rows))


def _weights(sample: Sample) -> FloatArray:
    return np.ones(len(sample.rows)) if sample.weight is None else sample.weight


def _add(statistics: Statistics, k: int, deviations: FloatArray, weight: FloatArray) -> None:
    """Add rows, given as deviations (B, D) from the shift, to component k, in place."""
    statistics.n_k[k] += weight.sum()
    statistics.first[k] += weight @ deviations
    if statistics.structure == "tied":
        statistics.second[...] += (weight[:, None] * deviations).T @ deviations
    elif statistics.structure == "full":
        statistics.second[k] += (weight[:, None] * deviations).T @ deviations
    else:
        squares = weight @ deviations**2
        statistics.second[k] += squares if statistics.structure == "diag" else squares.sum()


def _kmeans(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    rows, weight = scaled
    centers = plus_plus(rows, n_components, weight, random_state, n_threads)
    threshold = LLOYD_TOL * mean_variance(rows, n_threads)
    return lloyd(
        rows, weight, centers, max_iter=LLOYD_ITERATIONS, threshold=threshold, n_threads=n_threads
    ).labels


def _plus_plus(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    rows, weight = scaled
    return _nearest(rows, plus_plus(rows, n_components, weight, random_state, n_threads), n_threads)


def _random_from_data(
    scaled: Sample, n_components: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    """Group rows around distinct rows.

    Those with the smallest exponential draws over weight are drawn with a chance proportional to
    weight, and rows of weight 0 come last (Efraimidis & Spirakis, 2006).
    """
    rows, weight = scaled
    if weight is None:
        chosen = random_state.choice(len(rows), n_components, replace=False)
    else:
        with np.errstate(divide="ignore"):
            keys = random_state.standard_exponential(len(rows)) / weight
        chosen = np.argsort(keys)[:n_components]
    return _nearest(rows, rows[chosen], n_threads)


def _nearest(rows: Rows, centers: Rows, n_threads: int | None) -> Labels:
    labels = np.empty(len(rows), dtype=np.int32)
    assign(rows, nearest_density(centers.astype(np.float64)), labels, None, n_threads)
    return labels


GROUPINGS: dict[str, Grouping] = {
    "kmeans": _kmeans,
    "k-means++": _plus_plus,
    "random_from_data": _random_from_data,
}

METHOD_NAMES = ("kmeans", "k-means++", "random", "random_from_data")


def check_weights(weights: object, n_components: int, name: str = "weights") -> FloatArray:
    """Return a copy of the weights of components, shape (K,), each in [0, 1], that sum to 1."""
    array = check_floats(name, weights, (n_components,)).copy()
    if (array < 0).any() or (array > 1).any():
        raise ValueError(
            f"The parameter '{name}' should be in the range [0, 1], but got max value "
            f"{array.max():.5f}, min value {array.min():.5f}"
        )
    if abs(1 - array.sum()) > WEIGHT_SUM:
        raise ValueError(
            f"The parameter '{name}' should be normalized, but got sum({name}) = {array.sum():.5f}"
        )
    return array


def check_means(
    means: object, n_components: int, n_features: int, name: str = "means"
) -> FloatArray:
    """Return a copy of the means, shape (K, D)."""
    return check_floats(name, means, (n_components, n_features)).copy()


def check_matrices(
    kind: str, matrices: object, structure: Structure, n_components: int, n_features: int
) -> FloatArray:
    """Return a copy of positive definite matrices in the structure's shape; `kind` names them."""
    name = f"{structure} {kind}"
    array = check_floats(name, matrices, factors_shape(structure, n_components, n_features)).copy()
    if structure in ("diag", "spherical"):
        if (array <= 0).any():
            raise ValueError(f"'{name}' should be positive, but got {array.min():g}")
        pivots = array
    else:
        pivots = _pivots(name, structure, array)
    if pivots.min() < LOWEST_PIVOT:
        raise ValueError(
            f"'{name}' should have an inverse within float64, but a pivot is {pivots.min():g}, "
            f"below {LOWEST_PIVOT:.3g}"
        )
    return array


def _pivots(name: str, structure: Structure, array: FloatArray) -> FloatArray:
    """Squared diagonals of Cholesky factors; raises if matrices are not positive definite."""
    scale = np.abs(array).max(axis=(-2, -1), keepdims=True)
    if (np.abs(array - np.swapaxes(array, -2, -1)) > SYMMETRY * scale).any():
        raise ValueError(f"'{name}' should be symmetric, positive-definite, but is not symmetric")
    try:
        factors = factors_of_precisions(structure, array)
    except NotPositiveDefiniteError as error:
        raise ValueError(f"'{name}' should be symmetric, positive-definite, but {error}") from None
    pivots: FloatArray = np.diagonal(factors, axis1=-2, axis2=-1) ** 2
    return pivots


def check_floats(name: str, values: object, shape: tuple[int, ...]) -> FloatArray:
    """Return finite numbers of a shape as a float64 array, the same one if it is that already."""
    numbers = check_numbers(values, name)
    if numbers.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {numbers.shape}"
        )
    array: FloatArray = np.ascontiguousarray(numbers, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' should be finite, but contains NaN or infinity")
    return array
