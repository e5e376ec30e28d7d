"""The moments of all rows under the one Gaussian that makes what they have most likely."""

from functools import partial

import numpy as np

from gaussmix.data.base import Data
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass

MOST_PASSES, SETTLED = 100, 1e-7  # for rows that lack values: priors need no more digits


def gaussian_moments(data: Data, structure: CovarianceStructure) -> Statistics:
    """Return the statistics of all rows as those of one component; where rows lack values, by EM.

    Parameters
    ----------
    data : Data
    structure : CovarianceStructure
        Of the Gaussian, the most general one of its form.
    """
    head = data.head().astype(np.float64)
    known = ~np.isnan(head)
    center = np.where(known, head, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    spread = structure.alike(np.eye(data.n_features), 1)
    guess = Parameters.from_covariances(structure, np.ones(1), center[None], spread)
    statistics = data.total(partial(StatisticsPass, guess, gaps=data.gaps))
    for _ in range(MOST_PASSES if data.gaps else 0):
        before = statistics.mean_log_likelihood
        found, _ = m_step(statistics, 0.0)
        statistics = data.total(partial(StatisticsPass, found, gaps=True))
        if abs(statistics.mean_log_likelihood - before) < SETTLED:
            break
    return statistics
