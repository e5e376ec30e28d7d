"""Starts beside noise: which rows are noise, found without a guess by the user."""

import numpy as np

from gaussmix.data.base import Data, InMemory
from gaussmix.data.subsample import Sample
from gaussmix.data.told import ToldData
from gaussmix.em.loop import EMState, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.trials import SETTLED
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import assign, log_likelihoods
from gaussmix.starts.methods import GROUPINGS, hard_statistics, scaled_rows

FIRST_ITERATIONS, TRIAL_ITERATIONS = 20, 30
PARTS = 0.02, 0.1, 0.3
"""Parts of the rows that are taken for noise at first, beside those that the first fit makes less
likely than noise. EM finds the part in the end: this is where it begins."""


def noisy(
    data: Data | ToldData,
    start: Parameters,
    log_density: float,
    reg_covar: float,
    random_state: np.random.RandomState,
) -> Parameters:
    """Return a start with noise of this log-density, from one without.

    The rows of lowest density under a first fit are taken for noise, in several parts, and the
    others are grouped as the fit or as K-means has them. The best of short EM runs from there wins.

    Where something is told of rows, the start is kept, and only the noise's weight is tried.
    """
    if isinstance(data, ToldData):
        sample, told = data.told_sample(start.n_components, random_state)
        rows: InMemory | ToldData = ToldData(InMemory(*sample, data.n_threads), told)
        starts = [start.with_noise(part, log_density) for part in PARTS]
    else:
        sample = data.sample(start.n_components, random_state)
        rows = InMemory(*sample, data.n_threads)
        starts = _trimmed(sample, start, log_density, reg_covar, random_state, data.n_threads)
    objective = MaximumLikelihood(rows, reg_covar)
    results = [
        proceed(EMState(each, SETTLED), objective, max_iter=TRIAL_ITERATIONS) for each in starts
    ]
    return max(results, key=lambda found: (not found.collapsed, found.lower_bounds[-1])).parameters


def _trimmed(
    sample: Sample,
    start: Parameters,
    log_density: float,
    reg_covar: float,
    random_state: np.random.RandomState,
    n_threads: int | None,
) -> list[Parameters]:
    """Return starts from the rows that are not taken for noise."""
    structure, n_components = start.structure, start.n_components
    objective = MaximumLikelihood(InMemory(*sample, n_threads), reg_covar)
    first = proceed(EMState(start, SETTLED), objective, max_iter=FIRST_ITERATIONS).parameters
    density = log_likelihoods(first, sample.rows, n_threads)
    labels = assign(first, sample.rows, n_threads)
    below = float(sample.weights @ (density < log_density) / sample.weights.sum())
    starts = [start.with_noise(PARTS[0], log_density)]
    for part in (min(max(below, 0.005), 0.5), *PARTS):
        kept = density >= np.quantile(density, part)
        rest = Sample(sample.rows[kept], None if sample.weight is None else sample.weight[kept])
        if len(rest.rows) < n_components or not rest.weights.any():
            continue
        scaled = Sample(scaled_rows(rest, structure), rest.weight)
        groups = GROUPINGS["kmeans"](scaled, n_components, random_state, n_threads)
        for found in (labels[kept], groups):
            sums = hard_statistics(rest, found, structure, n_components, n_threads)
            starts.append(m_step(sums, reg_covar)[0].with_noise(part, log_density))
    return starts
