"""What EM climbs: the log-likelihood of rows."""

from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from gaussmix._core import dispatch, threads
from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data, InMemory
from gaussmix.data.told import ToldData
from gaussmix.em.loop import EMState
from gaussmix.em.single import is_sound
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import is_suspicious
from gaussmix.model.scoring import LikelihoodPass
from gaussmix.model.statistics import Statistics, StatisticsPass, pass_flops

MOST_AT_ONCE = 1000  # iterations in one call of a kernel: someone may ask for very many

Ridge: TypeAlias = float | FloatArray
"""What is added to the variance of every feature, or of each (D,)."""


@dataclass(frozen=True)
class MaximumLikelihood:
    """The mean log-likelihood of a row, which EM maximises: an `Objective`.

    Parameters
    ----------
    data : Data or ToldData
        The rows, and their weights.
    reg_covar : float
        Non-negative variance that the M-step adds to every feature.
    """

    data: Data | ToldData
    reg_covar: float = 0.0

    @property
    def ridge(self) -> Ridge:
        """What is added to the variance of every feature."""
        return self.reg_covar

    def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
        """Go over the rows once; once more where float32 turns out not to hold their squares."""
        make = partial(StatisticsPass, parameters, gaps=self.data.gaps)
        if single:
            found = self.data.total(partial(make, single=True))
            if is_sound(found):
                return found
        return self.data.total(make)

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        """Return the parameters of largest expected likelihood: see `m_step`."""
        return m_step(statistics, self.reg_covar, previous)

    def first_at_rest(self, means: FloatArray) -> FloatArray:
        """Return first moments about means (K, D) by which the M-step leaves these as they are."""
        return np.zeros(means.shape)

    def lower_bound(self, _parameters: Parameters, statistics: Statistics) -> float:
        """Return the mean log-likelihood of a row."""
        return statistics.mean_log_likelihood

    def score(self, parameters: Parameters) -> float:
        """Return the mean log-likelihood of a row, which takes a pass."""
        return self.data.total(partial(LikelihoodPass, parameters, gaps=self.data.gaps)).mean

    def fast_forward(self, state: EMState, max_iter: int) -> None:
        """Advance a run over rows in memory by EM in one call of a kernel.

        The kernel saves small data much time, and its bits are those of the loop. It ends before an
        M-step in which a component collapses or has lost its rows: that one is left to the loop.
        It does nothing where a strategy chooses the points, where rows lack values, or where the
        kernels do not know the structure's M-step.
        """
        data = self.data
        start = state.point
        if not (isinstance(data, InMemory) and start.structure.is_general):
            return
        if data.gaps or start.noise is not None:
            return
        while state.follows_em and state.n_iter < max_iter and not state.converged:
            start = state.point
            arrays = start.weights, start.means, start.covariances, start.precisions_cholesky
            weights, means, covs, factors = (np.array(array, order="C") for array in arrays)
            point = Parameters(start.structure, weights, means, covs, factors)
            bounds = np.empty(min(max_iter - state.n_iter, MOST_AT_ONCE))
            n_iter, converged = dispatch.kernels(data.rows).em(
                data.rows,
                data.sample_weight,
                point.structure.form,
                point.weights,
                point.means,
                point.covariances,
                point.precisions_cholesky,
                bounds,
                self.reg_covar,
                state.monitor.tol,
                state.monitor.last,
                threads.for_work(data.n_threads, pass_flops(data.rows, point)),
            )
            if is_suspicious(bounds[:n_iter], data.dtype):
                break  # the loop finds the row
            if n_iter:
                state.fast_forward(point, bounds[:n_iter].tolist(), converged)
            if n_iter < len(bounds):
                break
