"""Private methods of scikit-learn's mixtures that other programs call.

They are here so that such programs work on our mixtures too. Their names, arguments and results
are scikit-learn's.
"""

from functools import partial
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.estimators.attributes import mixture_of, parameters_of
from gaussmix.estimators.base import Estimator
from gaussmix.model.scoring import log_densities


class Hooks(Estimator):
    """Logarithms of densities and responsibilities, (N, K), and the number of parameters."""

    def _estimate_log_prob(self, X: object) -> Any:
        """Return the log-density of each row under each component, (N, K)."""
        return self._each_row(partial(log_densities, mixture_of(self, "_estimate_log_prob")), X)

    def _estimate_log_weights(self) -> FloatArray:
        """Return the logarithms of the weights, (K,)."""
        with np.errstate(divide="ignore"):  # -inf is the logarithm of no weight
            return np.log(mixture_of(self, "_estimate_log_weights").weights)

    def _estimate_weighted_log_prob(self, X: object) -> Any:
        """Return the log-density of each row under each component and its weight, (N, K)."""
        log_prob = self._estimate_log_prob(X)
        return log_prob + self._estimate_log_weights().astype(log_prob.dtype)

    def _estimate_log_prob_resp(self, X: object) -> tuple[Rows, Rows]:
        """Return the log-likelihood of each row, (N,), and its log-responsibilities, (N, K)."""
        weighted = self._estimate_weighted_log_prob(X)
        log_likelihoods = np.logaddexp.reduce(weighted, axis=1)
        return log_likelihoods, weighted - log_likelihoods[:, None]

    def _e_step(self, X: object) -> tuple[np.floating, Rows]:
        """Return the mean log-likelihood of the rows, and their log-responsibilities, (N, K)."""
        log_likelihoods, log_resp = self._estimate_log_prob_resp(X)
        return log_likelihoods.mean(), log_resp

    def _n_parameters(self) -> int:
        """Return the number of free parameters."""
        return parameters_of(self).n_free()
