"""What variational Bayes climbs: the evidence lower bound."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.bayes.m_step import variational_m_step
from gaussmix.bayes.posterior import Posterior
from gaussmix.data.base import Data
from gaussmix.em.compiled import fast_forward
from gaussmix.em.coordinates import Chart
from gaussmix.em.loop import EMState
from gaussmix.em.online import remembered
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import LikelihoodPass
from gaussmix.model.statistics import Statistics, StatisticsPass

HALF_A_ROW = 0.5
"""A component that holds no more is empty. Coordinates count so much more for each, so that one
that empties does not run away to minus infinity."""


@dataclass(frozen=True)
class EvidenceBound:
    r"""The evidence lower bound of all rows, in nats: an `Objective` whose points are posteriors.

    With q the posterior of the parameters, p their prior, and the responsibilities that are best
    under q, it is (Bishop, PRML, 10.70)

        log p(X) >= sum_n log sum_k exp(E_q[log weight_k] + E_q[log N(x_n | k)]) - KL(q | p)

    Where a row lacks values x_m, q is a distribution of them too. The best one given k is normal,
    about their conditional mean, with the covariance inv(nu_k (W_k)_mm). A row then counts by

        log sum_k int exp(E_q[log weight_k] + E_q[log N(x_n | k)]) dx_m

    No iteration lowers it where `reg_covar` is 0. Otherwise the M-step maximises it less
    reg_covar / 2 sum_k n_k tr(nu_k W_k), as in `gaussmix.em.loop.em`.

    Parameters
    ----------
    data : Data
        The rows, and their weights.
    prior : Posterior
    reg_covar : float
        Non-negative variance that the M-step adds to every feature.
    sort : bool
        Whether the M-step orders components by their rows.
    """

    data: Data
    prior: Posterior
    reg_covar: float = 0.0
    sort: bool = False

    def begin(self, start: Parameters) -> Posterior:
        """Return the posterior of all rows, if they belonged to components as a start says."""
        weight = self.data.weight
        rows = replace(remembered(start, weight, self.reg_covar), n_samples=self.data.n_samples)
        return self.m_step(rows, start)[0]

    def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
        """Go over the rows once."""
        make = partial(StatisticsPass, parameters, gaps=self.data.gaps, single=single)
        return self.data.total(make)

    def m_step(
        self, statistics: Statistics, _previous: Parameters
    ) -> tuple[Posterior, tuple[int, ...]]:
        """Return the posterior of largest bound: see `variational_m_step`. None collapses."""
        return variational_m_step(statistics, self.prior, self.reg_covar, sort=self.sort), ()

    def lower_bound(self, parameters: Parameters, statistics: Statistics) -> float:
        """Return the evidence lower bound."""
        return statistics.log_likelihood - self._divergence(parameters)

    def score(self, parameters: Parameters) -> float:
        """Return the evidence lower bound, which takes a pass."""
        found = self.data.total(partial(LikelihoodPass, parameters, gaps=self.data.gaps))
        return found.total - self._divergence(parameters)

    def fast_forward(self, state: EMState, max_iter: int) -> None:
        """Advance a run in compiled code, which orders no components."""
        if not self.sort:
            fast_forward(state, max_iter, self.data, self._ascent, of_all=True)

    def _ascent(self, start: Parameters) -> tuple[Parameters, Any]:
        point = cast(Posterior, start).copied()
        make = dispatch.bayesian().EvidenceAscent
        return point, make(self.prior.conjugate, point.conjugate, self.reg_covar)

    def _divergence(self, parameters: Parameters) -> float:
        return cast(Posterior, parameters).divergence(self.prior)


class PosteriorChart(Chart):
    """Coordinates of posteriors: those of a mixture whose weights are parts of the rows.

    Counts of rows, means and covariances say all of a posterior, once the prior is known. The
    weights are (n_k + 1/2) / sum_j (n_j + 1/2).

    Parameters
    ----------
    prior : Posterior
    reference : Posterior
    """

    def __init__(self, prior: Posterior, reference: Parameters) -> None:
        self._prior = prior
        self._counted = float(self._counts(reference).sum())
        super().__init__(reference)

    def _counts(self, parameters: Parameters) -> FloatArray:
        counts = cast(Posterior, parameters).counts_beyond(self._prior)
        return np.asarray(np.maximum(counts, 0.0) + HALF_A_ROW)

    def _shares(self, parameters: Parameters) -> FloatArray:
        counts = self._counts(parameters)
        return np.asarray(counts / counts.sum())

    def _completed(self, mixture: Parameters) -> Parameters:
        counts = np.maximum(mixture.weights * self._counted - HALF_A_ROW, 0.0)
        return self._prior.after(counts, mixture.means, mixture.covariances)
