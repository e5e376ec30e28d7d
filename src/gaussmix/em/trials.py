"""Short EM runs side by side: which of many starts deserve a long one."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.loop import EMState, Objective, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import TIED, Variances

THIN = 1e-5
"""A component is a needle if its variance in some direction is below this part of what it is in the
average component: 300 times narrower. Rows that share a rounded value make one."""

EQUAL = 1e-9
"""Runs whose lower bounds differ by less have met, and rounding must not choose between them."""

SETTLED = 1e-5  # a run that gains less than this in an iteration has nothing more to show


class Round(NamedTuple):
    """Every run goes on for n_iter iterations, and the best are kept."""

    n_iter: int
    kept: int


class Trial(NamedTuple):
    """A run from one of the starts, and how it stands."""

    number: int  # of the start
    parameters: Parameters
    lower_bound: float  # mean log-likelihood of a row before the last M-step
    n_spurious: int


def best_trials(
    sample: Sample,
    starts: Iterable[Parameters],
    rounds: Sequence[Round],
    *,
    reg_covar: float,
    n_threads: int | None,
) -> list[Trial]:
    """Run EM from every start, in rounds with ever fewer runs, and return the best, best first.

    This is successive halving (Jamieson & Talwalkar, 2016), with the rounds as they are given.
    Runs with fewer spurious components come first (see `n_spurious`), then those of larger
    likelihood, then those that started earlier.

    Parameters
    ----------
    sample : Sample
    starts : iterable of Parameters
    rounds : sequence of Round
    reg_covar : float
        As in `m_step`.
    n_threads : int or None

    Returns
    -------
    list of Trial
        As many as the last round keeps, or as there are starts.
    """
    objective, n_rows = MaximumLikelihood(InMemory(*sample, n_threads), reg_covar), _n_rows(sample)
    trials = [Trial(number, start, -np.inf, 0) for number, start in enumerate(starts)]
    for n_iter, kept in rounds:
        trials = [_further(trial, objective, n_rows, n_iter) for trial in trials]
        trials = _ranked(trials)[:kept]
    return trials


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Sort runs: likelihood counts only among those that owe it to as few spurious components."""
    top = max(trial.lower_bound for trial in trials)

    def rank(trial: Trial) -> tuple[int, float, int]:
        behind = float(np.rint((top - trial.lower_bound) / EQUAL))
        return trial.n_spurious, behind, trial.number

    return sorted(trials, key=rank)


def _further(trial: Trial, objective: Objective, n_rows: int, n_iter: int) -> Trial:
    """Go on with a run from where it stands."""
    result = proceed(EMState(trial.parameters, SETTLED), objective, max_iter=n_iter)
    spurious = n_spurious(result.parameters, n_rows, result.collapsed)
    return Trial(trial.number, result.parameters, result.lower_bounds[-1], spurious)


def _n_rows(sample: Sample) -> int:
    return len(sample.rows) if sample.weight is None else int(np.count_nonzero(sample.weight))


def n_spurious(parameters: Parameters, n_rows: int, collapsed: Sequence[int] = ()) -> int:
    """Count the components that owe their likelihood to too few rows, or to none.

    The likelihood of a mixture has no bound: a component that shrinks onto a few rows, or onto rows
    that lie in a plane, makes it as large as one likes (McLachlan & Peel, 2000, section 3.10). So
    a component does not count as found if it

    - collapsed: held no rows, or had to be regularised,
    - holds fewer than the structure's `fewest_rows`,
    - or is thinner than THIN in some direction, compared with the average of the components.

    None of this depends on the features' units, nor on rotation.

    Parameters
    ----------
    parameters : Parameters
    n_rows : int
        Rows that they were fitted to.
    collapsed : sequence of int
        Components that `m_step` says have collapsed.
    """
    try:
        thickness = _thickness(parameters)
    except NotPositiveDefiniteError:
        return parameters.n_components
    fewest = parameters.structure.fewest_rows(parameters.n_features)
    few = parameters.weights * n_rows < fewest
    spurious = few | (thickness < THIN)
    spurious[list(collapsed)] = True
    return int(spurious.sum())


def _thickness(parameters: Parameters) -> FloatArray:
    """Return the smallest variance of components in any direction, if the average one's is 1: (K,).

    Raises NotPositiveDefiniteError if the average component has none.
    """
    structure, covariances = parameters.structure, parameters.covariances
    if isinstance(structure, Variances):
        variances = structure.diagonals(covariances)
        average = structure.pooled(parameters.weights, variances)
        if not (average > 0).all():
            raise NotPositiveDefiniteError(None)
        return np.asarray((variances / average).min(axis=1))
    if structure.shared:
        structure.precision_factors(covariances)
        return np.ones(parameters.n_components)
    average = np.tensordot(parameters.weights, covariances, axes=1)
    factor = TIED.precision_factors(average)
    return np.asarray(np.linalg.eigvalsh(factor.T @ covariances @ factor)[:, 0])
