"""What EM climbs: the log-likelihood of rows."""

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data
from gaussmix.data.told import ToldData
from gaussmix.em import mixed_precision
from gaussmix.em.compiled import fast_forward
from gaussmix.em.loop import EMState
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import LikelihoodPass
from gaussmix.model.statistics import Statistics, StatisticsPass

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

        def collect(single: bool) -> Statistics:
            make = partial(StatisticsPass, parameters, gaps=self.data.gaps, single=single)
            return self.data.total(make)

        return mixed_precision.e_step(collect, parameters, self.data.n_samples, single=single)

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
        """Advance a run in compiled code, which knows the M-steps of the general structures."""
        if state.point.structure.is_general and state.point.noise is None:
            fast_forward(state, max_iter, self.data, self._ascent)

    def _ascent(self, start: Parameters) -> tuple[Parameters, Any]:
        point = start.copied()
        return point, ascent_from(point, self.reg_covar)


def ascent_from(point: Parameters, reg_covar: float) -> Any:
    """Return what `Kernels.em` takes to move a point, in place."""
    arrays = point.weights, point.means, point.covariances, point.precisions_cholesky
    return dispatch.estimates().LikelihoodAscent(point.structure.form, *arrays, reg_covar)
