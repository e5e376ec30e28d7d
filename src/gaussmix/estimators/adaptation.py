"""What speech and vision do with a mixture of many speakers or images: methods of a mixture."""

from collections.abc import Iterable
from copy import copy
from functools import partial
from typing import Self

from gaussmix._core.types import RowsLike, WeightLike
from gaussmix.data.dask import DaskData
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import mixture_of, set_parameters
from gaussmix.estimators.base import Estimator
from gaussmix.estimators.diagnostics import warn_collapsed
from gaussmix.model.adaptation import ADAPTABLE, adapted
from gaussmix.model.statistics import StatisticsPass
from gaussmix.queries.grouped import SufficientStatistics, check_groups, grouped_statistics
from gaussmix.queries.grouped_dask import statistics_of_partitions
from gaussmix.validation import check_choice, check_n_threads, check_real

HISTORY = (
    "converged_",
    "n_iter_",
    "lower_bound_",
    "lower_bounds_",
    "truncation_gap_",
    "n_samples_seen_",
    "weight_seen_",
    "_warned",
    "_rounded",
    "_sampler",
)
"""Attributes that say how a fit went, which an adapted model was not part of."""


class Adaptation(Estimator):
    """Adaptation to new rows, and statistics of groups of rows: a mixin."""

    n_threads: int | None

    def adapt(
        self,
        X: RowsLike,
        relevance: float = 16,
        parameters: str | Iterable[str] = ("means",),
        sample_weight: WeightLike = None,
    ) -> Self:
        """Return a new mixture, drawn from the present one to the rows of X as far as they tell.

        This is MAP adaptation (Reynolds, Quatieri & Dunn, 2000), one pass over X: a component that
        holds n of the new rows goes by the part n / (n + relevance) of the way to them. The present
        mixture stays as it is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        relevance : float, default=16
            Positive number of rows that each component's present parameters count for.
        parameters : str or iterable of str, default=('means',)
            What is adapted: 'weights', 'means', 'covariances'. One that is tied counts for
            `relevance` rows of every component.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Returns
        -------
        GaussianMixture
            Of the same class and constructor's parameters. It has no history of a fit.

        Raises
        ------
        ValueError
            If an argument is not acceptable.

        References
        ----------
        Reynolds, Quatieri & Dunn (2000), Speaker verification using adapted Gaussian mixture
        models, Digital Signal Processing 10, 19-41.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> world = GaussianMixture.from_parameters([0.5, 0.5], [[2.0], [8.0]], [1, 1], "spherical")
        >>> world.adapt([[1.0], [1.0], [1.0], [1.0]], relevance=4).means_.round(3)
        array([[1.5],
               [8. ]])
        """
        relevance = check_real("relevance", relevance, 0, strict=True)
        parts = _check_parts(parameters)
        _require_no_gaps(self, "adapt")
        data = self._data(X, sample_weight, check_n_threads(self.n_threads))
        present = mixture_of(self, "adapt")
        statistics = data.total(partial(StatisticsPass, present))
        found, collapsed = adapted(present, statistics, relevance, parts)
        model = copy(self)
        for name in HISTORY:
            vars(model).pop(name, None)
        set_parameters(model, found)
        warn_collapsed(model, collapsed)
        return model

    def statistics(
        self, X: RowsLike, groups: object = None, sample_weight: WeightLike = None
    ) -> SufficientStatistics:
        """Return the sufficient statistics of groups of rows under the mixture, in one pass.

        Supervectors, Fisher vectors, i-vectors and M-steps of one's own are made from them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        groups : array-like of int, shape (n_samples,), optional
            Number of each row's group, such as its utterance, image or patient, from 0. Numbers may
            be in any order; rows of a group that lie together are quicker. By default all rows are
            one group. Of a Dask collection they are one too, with the partitions of X.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows, as if each were there so many times.

        Returns
        -------
        SufficientStatistics
            With `n`, `first`, `second` and `log_likelihood` of every group, about the means. Groups
            without rows have zeros.

        Raises
        ------
        ValueError
            If an argument is not acceptable.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> means = [[0.0], [99.0]]
        >>> model = GaussianMixture.from_parameters([0.5, 0.5], means, [1, 1], "spherical")
        >>> found = model.statistics([[1.0], [2.0], [98.0]], groups=[0, 1, 1])
        >>> found.n.round(3)
        array([[1., 0.],
               [1., 1.]])
        >>> found.first[:, :, 0].round(3)
        array([[ 1.,  0.],
               [ 2., -1.]])
        """
        _require_no_gaps(self, "statistics")
        data = self._data(X, sample_weight, check_n_threads(self.n_threads))
        present = mixture_of(self, "statistics")
        if groups is not None and isinstance(data, DaskData):
            return statistics_of_partitions(present, data, groups)
        codes = None if groups is None else check_groups(groups, data.n_samples)
        return grouped_statistics(present, data, codes)


def _check_parts(parameters: object) -> tuple[str, ...]:
    names = (parameters,) if isinstance(parameters, str) else parameters
    if not isinstance(names, Iterable):
        raise ParameterError(f"parameters must be names of parameters, got {parameters!r}")
    parts = tuple(check_choice("parameters", name, ADAPTABLE) for name in names)
    if not parts:
        raise ParameterError(f"parameters must not be empty: choose of {', '.join(ADAPTABLE)}")
    return parts


def _require_no_gaps(model: Estimator, method: str) -> None:
    """Raise ParameterError where rows may lack values."""
    if model._takes_gaps:
        raise ParameterError(
            f"{method} does not go with missing_values='marginalize': fill the gaps, for example "
            "by predict_missing, and set missing_values='error'"
        )
