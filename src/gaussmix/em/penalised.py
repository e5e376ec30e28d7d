"""What EM climbs where a prior, or a ridge of its own for each feature, adds to the likelihood."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data
from gaussmix.data.gaussian import gaussian_moments
from gaussmix.data.told import ToldData
from gaussmix.em.loop import EMState
from gaussmix.em.objective import MaximumLikelihood, Ridge
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import RIDGE, m_step
from gaussmix.model.moments import MomentsPass, variances_of
from gaussmix.model.parameters import Parameters
from gaussmix.model.prior import Prior, PriorRows, rows_of
from gaussmix.model.scoring import LikelihoodPass
from gaussmix.model.statistics import Statistics
from gaussmix.model.structures import DIAG, FULL, Matrices


@dataclass(frozen=True)
class MaximumAPosteriori(MaximumLikelihood):
    r"""The mean log-likelihood of a row, plus the logarithm of a prior's density: an `Objective`.

    With the summed weight W of the rows it is L + log p(parameters) / W, less a constant (see
    `PriorRows.log_density`). The ridge v (D,) adds W weight_k diag(v) to the scatter of component
    k. What no iteration lowers is then the objective less

        1/2 sum_k weight_k tr(diag(v) precision_k)

    with the weights of the iteration's M-step.

    Parameters
    ----------
    data : Data
        The rows, and their weights.
    reg_covar : float
        The ridge, if it is the same for all features.
    prior : PriorRows, optional
    by_feature : ndarray of shape (D,), optional
        The ridge of each feature, instead of `reg_covar`.
    """

    prior: PriorRows | None = None
    by_feature: FloatArray | None = None

    @property
    def ridge(self) -> Ridge:
        """What is added to the variance of every feature, or of each."""
        return self.reg_covar if self.by_feature is None else self.by_feature

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        """Return the parameters of largest expected penalised likelihood."""
        prior, of_components = self.prior, statistics.weight - statistics.n_noise
        if prior is None:
            return m_step(self._ridged(statistics, statistics.n_k, of_components), 0.0, previous)
        weights = prior.weights(statistics)
        n_k = of_components * weights
        ridged = self._ridged(prior.added_to(statistics), n_k, of_components)
        found, collapsed = m_step(ridged, 0.0, previous)
        if found.noise is None:
            return replace(found, weights=weights), collapsed
        noise = found.noise._replace(weight=prior.noise_weight(statistics))
        return replace(found, weights=prior.shares(statistics), noise=noise), collapsed

    def first_at_rest(self, means: FloatArray) -> FloatArray:
        """Return those that outweigh the prior, which draws means to its own."""
        if self.prior is None:
            return super().first_at_rest(means)
        return np.asarray(self.prior.mean_precision * (means - self.prior.mean))

    def lower_bound(self, parameters: Parameters, statistics: Statistics) -> float:
        """Return the mean log-likelihood of a row plus the prior's part."""
        return statistics.mean_log_likelihood + self._of_prior(parameters, statistics.weight)

    def score(self, parameters: Parameters) -> float:
        """Return the same, which takes a pass."""
        score = self.data.total(partial(LikelihoodPass, parameters, gaps=self.data.gaps))
        return score.mean + self._of_prior(parameters, score.weight)

    def fast_forward(self, state: EMState, max_iter: int) -> None:
        """Leave the run to the loop: the kernels know the likelihood alone."""

    def _of_prior(self, parameters: Parameters, weight: float) -> float:
        return 0.0 if self.prior is None else self.prior.log_density(parameters) / weight

    def _ridged(self, statistics: Statistics, n_k: FloatArray, weight: float) -> Statistics:
        """Return statistics with the ridge added to the scatter of n_k rows, `weight` in all."""
        structure, (n_components, n_features) = statistics.structure, statistics.shift.shape
        ridge = np.broadcast_to(self.ridge, n_features)
        spread = structure.of_variances(ridge, n_components)
        added = structure.remembered(spread, n_k, weight, n_features)
        return replace(statistics, second=statistics.second + added)


def objective_for(
    data: Data | ToldData,
    structure: CovarianceStructure,
    n_components: int,
    *,
    reg_covar: float = 0.0,
    relative: bool = False,
    prior: Prior | None = None,
) -> MaximumLikelihood:
    """Return what EM is to climb. A prior without a scale, or a relative ridge, takes a pass.

    Where rows lack values it takes several.

    Parameters
    ----------
    data : Data or ToldData
    structure : CovarianceStructure
    n_components : int
    reg_covar : float
        The ridge, unless it is relative.
    relative : bool
        Whether the ridge is RIDGE times the variances of the features.
    prior : Prior, optional

    Raises
    ------
    ParameterError
        If a part of the prior does not fit the structure or the features.
    """
    if prior is None and not relative:
        return MaximumLikelihood(data, reg_covar)
    moments = None
    if relative or (prior is not None and prior.needs_moments):
        matrices = prior is not None and prior.scale is None and isinstance(structure, Matrices)
        rows = data.untold if isinstance(data, ToldData) else data
        if rows.gaps:
            moments = gaussian_moments(rows, FULL if matrices else DIAG)
        else:
            shift = rows.head().mean(axis=0, dtype=np.float64)
            moments = rows.total(partial(MomentsPass, shift, matrices))
    shape = n_components, data.n_features
    return MaximumAPosteriori(
        data,
        reg_covar,
        None if prior is None else rows_of(prior, structure, shape, moments),
        RIDGE * variances_of(moments) if relative and moments is not None else None,
    )
