"""The log-likelihood of all rows under a mixture, and the information criteria made from it."""

from functools import partial
from typing import Any

from gaussmix._core.types import RowsLike, WeightLike
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.base import Estimator
from gaussmix.model.scoring import LikelihoodPass, Score, UncertaintyPass


class Criteria(Estimator):
    """Information criteria of a mixture: a mixin."""

    n_threads: int | None

    def aic(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return Akaike's information criterion on X, lower being better.

        It is -2 log-likelihood + 2 p, with p free parameters (Akaike, 1974).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> X = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
        >>> [round(GaussianMixture(k, random_state=0).fit(X).aic(X), 1) for k in (1, 2)]
        [40.5, 32.9]
        """
        return total_score(self, X, sample_weight).aic(parameters_of(self).n_free())

    def bic(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return the Bayesian information criterion on X, lower being better.

        It is -2 log-likelihood + p log n, with p free parameters and n rows (Schwarz, 1978).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times: n is their sum.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> X = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
        >>> [round(GaussianMixture(k, random_state=0).fit(X).bic(X), 1) for k in (1, 2)]
        [40.1, 31.9]
        """
        return total_score(self, X, sample_weight).bic(parameters_of(self).n_free())

    def icl(self, X: RowsLike, sample_weight: WeightLike = None) -> float:
        """Return the integrated completed likelihood criterion on X, lower being better.

        It is the BIC of a model that gives every row wholly to its most probable component,
        BIC - 2 sum_n log max_k r[n, k] with responsibilities r (Biernacki, Celeux &
        Govaert, 2000), mclust's with the sign reversed. Components that overlap cost more than
        by the BIC, so that it counts clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[-1], [1]], [1, 1], "spherical")
        >>> X = mixture.sample(1000, random_state=0)[0]
        >>> mixture.icl(X) > mixture.bic(X)  # the components overlap
        True
        """
        data, parameters = self._data(X, sample_weight, self.n_threads), parameters_of(self)
        score = data.total(partial(LikelihoodPass, parameters, gaps=data.gaps))
        uncertainty = data.total(partial(UncertaintyPass, parameters, gaps=data.gaps)).total
        return score.bic(parameters.n_free()) + 2 * uncertainty


def total_score(model: Any, X: object, sample_weight: object = None) -> Score:
    """Return the log-likelihood of all rows of X under a fitted mixture, and their weight."""
    data = model._data(X, sample_weight, model.n_threads)
    score: Score = data.total(partial(LikelihoodPass, model._present(), gaps=data.gaps))
    return score
