"""MAP adaptation: a mixture drawn to new rows, as far as they tell (Reynolds et al., 2000)."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics

ADAPTABLE = ("weights", "means", "covariances")


def adapted(
    parameters: Parameters, statistics: Statistics, relevance: float, parts: Collection[str]
) -> tuple[Parameters, tuple[int, ...]]:
    r"""Return parameters on the way to those of new rows, and the components that collapsed.

    A component that holds n_k of the new rows goes by the part a_k = n_k / (n_k + relevance), with
    E_k the mean over its rows and T their weight (Reynolds, Quatieri & Dunn, 2000):

        weight'_k = (a_k n_k / T + (1 - a_k) weight_k) / sum
        mean'_k = a_k E_k[x] + (1 - a_k) mean_k
        covariance'_k = a_k E_k[(x - mean'_k)(x - mean'_k)']
            + (1 - a_k) (covariance_k + (mean_k - mean'_k)(mean_k - mean'_k)')

    So the present parameters count for `relevance` rows of each component, and means and
    covariances are the M-step of these and the new ones, for every structure. Where the means stay,
    mean'_k is mean_k.

    Parameters
    ----------
    parameters : Parameters
    statistics : Statistics
        Of the new rows, under these parameters.
    relevance : float
        Positive.
    parts : collection of str
        Those of `ADAPTABLE` that are to change.

    References
    ----------
    Reynolds, Quatieri & Dunn (2000), Speaker verification using adapted Gaussian mixture models,
    Digital Signal Processing 10, 19-41.
    """
    structure, n_components = parameters.structure, parameters.n_components
    n_k, weight = np.full(n_components, relevance), n_components * relevance
    second = structure.remembered(parameters.covariances, n_k, weight, parameters.n_features)
    blank = Statistics.zeros(structure, parameters.means)
    total = replace(blank, n_k=n_k, second=second, weight=weight) + statistics
    if "means" not in parts:
        total = replace(total, first=np.zeros(total.first.shape))
    found, collapsed = m_step(total, 0.0, parameters)
    part = statistics.n_k / (statistics.n_k + relevance)
    weights = part * statistics.n_k / statistics.weight + (1 - part) * parameters.weights
    new = replace(found, weights=weights / weights.sum())
    spread = new if "covariances" in parts else parameters
    return Parameters(
        structure,
        (new if "weights" in parts else parameters).weights.copy(),
        (new if "means" in parts else parameters).means.copy(),
        spread.covariances.copy(),
        spread.precisions_cholesky.copy(),
    ), collapsed if "covariances" in parts else ()
