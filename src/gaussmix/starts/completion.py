"""Samples as starts look at them: without gaps, and in float32 where that is enough.

EM afterwards uses only what is there.
"""

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data, InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.loop import EMState, proceed
from gaussmix.em.mixed_precision import FARTHEST
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import FULL

MOST_FEATURES = 64  # of more, gaps are filled with means: a matrix of all would cost more than EM
ITERATIONS, TOL, RIDGE = 10, 1e-2, 1e-9
BLOCK_VALUES = 1 << 20  # numbers of matrices that are solved with at a time

MOST_TYPICAL = 1e3
"""Times that the farthest row of a sample may lie as far out as half of the rows, for float32: it
then keeps four digits of the others, wherever the mean lies."""


def sample_of(data: Data, n_groups: int, random_state: np.random.RandomState) -> Sample:
    """Return the rows that a start looks at, without gaps."""
    return completed(data.sample(n_groups, random_state), data.n_threads)


def completed(sample: Sample, n_threads: int | None) -> Sample:
    """Return a sample without gaps.

    What is lacking is the conditional mean under one Gaussian, which a few EM iterations on the
    sample find, so that groups show in what a row has.
    """
    if not np.isnan(sample.rows).any():
        return sample
    return Sample(_completed(sample, n_threads), sample.weight)


def in_single(sample: Sample) -> tuple[Sample, FloatArray | None]:
    """Return a sample's deviations from its mean in float32, and the mean (D,).

    Where rows are float32 anyway, or float32 has too small a range or too few digits for them, the
    sample is returned as it is, and None.
    """
    rows, weight = sample
    if rows.dtype == np.float32:
        return sample, None
    mean: FloatArray = np.average(rows, axis=0, weights=weight)
    deviations = rows - mean
    distances = np.abs(deviations)
    farthest, typical = distances.max(axis=0), np.median(distances, axis=0)
    held = (farthest >= 1 / FARTHEST) & (farthest <= np.minimum(FARTHEST, MOST_TYPICAL * typical))
    if not held.all():
        return sample, None
    return Sample(deviations.astype(np.float32), weight), mean


def _completed(sample: Sample, n_threads: int | None) -> Rows:
    rows = sample.rows.astype(np.float64)
    lacking = np.isnan(rows)
    weight = np.where(lacking, 0.0, sample.weights[:, None])
    total = weight.sum(axis=0)
    divisor = np.where(total > 0, total, 1.0)
    mean = np.where(lacking, 0.0, rows * weight).sum(axis=0) / divisor
    squares = np.where(lacking, 0.0, weight * (rows - mean) ** 2).sum(axis=0) / divisor
    spread = np.sqrt(np.where(squares > 0, squares, 1.0))
    scaled = (rows - mean) / spread
    if 1 < rows.shape[1] <= MOST_FEATURES:
        scaled = _expected(scaled, sample.weight, n_threads)
    filled = np.where(lacking, np.nan_to_num(scaled) * spread + mean, rows)
    return filled.astype(sample.rows.dtype)


def _expected(scaled: FloatArray, weight: FloatArray | None, n_threads: int | None) -> FloatArray:
    """Fill in standardised rows by one Gaussian."""
    n_features = scaled.shape[1]
    one, mean = np.ones(1), np.zeros((1, n_features))
    start = Parameters.from_covariances(FULL, one, mean, np.eye(n_features)[None])
    objective = MaximumLikelihood(InMemory(scaled, weight, n_threads, gaps=True), RIDGE)
    found = proceed(EMState(start, TOL), objective, max_iter=ITERATIONS).parameters
    filled = scaled - found.means[0]
    lacking = np.isnan(filled)
    known = np.where(lacking, 0.0, filled)
    gradient = known @ found.precisions[0]
    counts = lacking.sum(axis=1)
    for n_lacking in np.unique(counts[counts > 0]):
        chosen = np.flatnonzero(counts == n_lacking)
        step = max(1, BLOCK_VALUES // int(n_lacking) ** 2)
        for first in range(0, len(chosen), step):
            part = chosen[first : first + step]
            index = np.nonzero(lacking[part])[1].reshape(len(part), -1)
            matrices = found.precisions[0][index[:, :, None], index[:, None, :]]
            right = np.take_along_axis(gradient[part], index, axis=1)
            values = np.linalg.solve(matrices, -right[:, :, None])[:, :, 0]
            known[part[:, None], index] = values
    return np.asarray(known + found.means[0])
