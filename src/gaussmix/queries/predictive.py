"""What a posterior predicts of new rows: a mixture of Student's t distributions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, softmax

from gaussmix._core import dispatch
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray, Rows
from gaussmix.bayes.posterior import Posterior
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_reach
from gaussmix.model.statistics import threads_for
from gaussmix.model.structures import FULL
from gaussmix.queries.conditioning import marginal
from gaussmix.queries.features import Indices
from gaussmix.queries.imputation import patterns
from gaussmix.queries.sampling import draw

BLOCK_VALUES = 64 * GROUP_ROWS  # log-densities held at a time: half a megabyte


@dataclass(frozen=True)
class Predictive:
    r"""The density of a new row, averaged over the posterior (Bishop, PRML, 10.81 and 10.82).

        p(x) = sum_k weight_k St(x | m_k, L_k, nu_k + 1 - D)
        L_k = (nu_k + 1 - D) beta_k / (1 + beta_k) W_k

    It integrates to one.

    Parameters
    ----------
    mixture : Parameters
        The expected weights, the locations m_k, and inv(L_k) as covariances.
    degrees_of_freedom : ndarray of shape (K,)
    """

    mixture: Parameters
    degrees_of_freedom: FloatArray

    @classmethod
    def of(cls, posterior: Posterior) -> Self:
        """Return the predictive density of a posterior."""
        n_components, n_features = posterior.means.shape
        freedom = posterior.degrees_of_freedom
        left = np.broadcast_to(freedom + 1.0 - n_features, (n_components,))
        widened = (1 + posterior.mean_precision) / posterior.mean_precision
        spread = widened * freedom / left  # in units of inv(nu_k W_k), which may be one for all
        structure = posterior.structure
        structure = FULL if structure.shared else structure
        own = posterior.full_covariances() if structure is FULL else posterior.covariances
        spread = spread.reshape(-1, *(1,) * (own.ndim - 1))
        mixture = Parameters.from_covariances(
            structure, posterior.weights, posterior.means, spread * own
        )
        return cls(mixture, left)

    def log_likelihoods(
        self, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
    ) -> Rows:
        """Return the log-density of each row, (N,), of what it has if it may have `gaps`."""
        out = np.empty(len(rows), dtype=rows.dtype)
        for own, log_prob in (self._by_pattern if gaps else self._by_block)(rows, n_threads):
            out[own] = logsumexp(log_prob, axis=1)
        return out

    def responsibilities(
        self, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
    ) -> Rows:
        """Return the probability that each component made each row, (N, K)."""
        out = np.empty((len(rows), self.mixture.n_components), dtype=rows.dtype)
        for own, log_prob in (self._by_pattern if gaps else self._by_block)(rows, n_threads):
            out[own] = softmax(log_prob, axis=1)
        return out

    def marginal(self, features: Indices) -> Self:
        """Return the predictive density of some features: t distributions again, as free."""
        return replace(self, mixture=marginal(self.mixture, features))

    def draw(
        self, n_samples: int, random_state: np.random.RandomState, n_threads: int = 1
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return new rows (N, D), grouped by component, and their components (N,).

        A row of Student's t is a normal one, stretched by the root of nu / chi-square(nu).
        """
        rows, labels = draw(self.mixture, n_samples, random_state, n_threads)
        freedom, means = self.degrees_of_freedom[labels], self.mixture.means[labels]
        stretch = np.sqrt(freedom / random_state.chisquare(freedom))
        return means + stretch[:, None] * (rows - means), labels

    def _by_block(self, rows: Rows, n_threads: int | None) -> Iterator[tuple[Indices, FloatArray]]:
        """Return weighted log-densities (B, K) of one block of rows after the other, and which."""
        mixture, freedom = self.mixture, self.degrees_of_freedom
        n_components, n_features = mixture.means.shape
        density = mixture.density(rows.dtype)
        halves = (freedom + n_features) / 2
        constants = density.log_scales + gammaln(halves) - gammaln(freedom / 2)
        constants -= n_features / 2 * np.log(freedom / 2)  # a normal one has log 2 pi already
        distances_alone = density._replace(log_scales=np.zeros(n_components))
        size = max(1, BLOCK_VALUES // n_components)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            found = np.empty((len(part), n_components), dtype=rows.dtype)
            count = threads_for(n_threads, part, mixture)
            dispatch.kernels(rows).log_density(part, distances_alone, found, count)
            require_reach(found.max(axis=1), part, density, start)
            squares = -2 * found.astype(np.float64)
            yield (
                np.arange(start, start + len(part)),
                constants - halves * np.log1p(squares / freedom),
            )

    def _by_pattern(
        self, rows: Rows, n_threads: int | None
    ) -> Iterator[tuple[Indices, FloatArray]]:
        """Return those of rows that may lack values, of rows that lack the same together."""
        for lacking, own in patterns(np.isnan(rows), complete=True):
            there = np.flatnonzero(~lacking)
            if not len(there):
                yield own, np.tile(np.log(self.mixture.weights), (len(own), 1))
                continue
            some = np.ascontiguousarray(rows[np.ix_(own, there)])
            for block, log_prob in self.marginal(there)._by_block(some, n_threads):
                yield own[block], log_prob
