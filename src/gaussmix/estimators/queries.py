"""What can be asked of a mixture once it is fitted: methods of `GaussianMixture`."""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, overload

import numpy as np

from gaussmix._core import threads
from gaussmix._core.types import DistanceKind, FloatArray, NumbersLike, PathLike, Rows, Seed
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import gaussians_of, parameters_of
from gaussmix.estimators.base import check_output
from gaussmix.estimators.pictures import Pictures
from gaussmix.estimators.regression import Regression
from gaussmix.model.parameters import Parameters
from gaussmix.queries import conditioning, hdr, univariate
from gaussmix.queries.divergences import DISTANCES
from gaussmix.queries.features import Indices, check_features, check_some_features
from gaussmix.queries.hdr import LEVEL_SAMPLES
from gaussmix.queries.outliers import OutlierTest
from gaussmix.queries.sampling import check_n_samples
from gaussmix.validation import (
    check_choice,
    check_n_threads,
    check_numbers,
    check_random_state,
    check_rows,
)

M = TypeVar("M")


class Queries(Regression, Pictures, Generic[M]):
    """Marginals, conditionals, quantiles, levels, outliers and distances.

    Of a mixture with noise they are about the Gaussian components alone, with weights that sum to
    1: noise is as likely everywhere, and says nothing of one feature given the others.

    A mixin: the estimator has the parameters of a mixture, and `M` is the class of a plain one.
    """

    n_threads: int | None
    random_state: Seed
    score_samples: Callable[[Any], Rows]
    _plain: Callable[[Parameters, Indices], M]
    """Returns a mixture of some features of this one, of class `M`."""

    def marginal(self, features: object) -> M:
        """Return the mixture of some of the features, whatever the others are.

        Parameters
        ----------
        features : int, str or sequence of them
            Indices or names of features, in the order that the marginal is to have them.

        Returns
        -------
        GaussianMixture
            A plain one, also from a subclass. It has no noise.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> means, variances = [[0, 0], [4, 8]], [[1, 1], [2, 2]]
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], means, variances, "diag")
        >>> mixture.marginal(1).means_
        array([[0.],
               [8.]])
        """
        parameters = gaussians_of(self)
        chosen = check_features("features", features, parameters.n_features, self._names())
        return self._plain(conditioning.marginal(parameters, chosen), chosen)

    def conditional(self, features: object, values: object) -> M:
        """Return the mixture of the other features in a row of which some are known.

        Parameters
        ----------
        features : int, str or sequence of them
            Indices or names of the features that are known.
        values : float or array-like of shape (n_known,)
            Their values, in the same order. With `missing_values='marginalize'` NaN is a value that
            is not known after all.

        Returns
        -------
        GaussianMixture
            Of the other features, in the order they have here (Bishop, PRML, section 2.3). Its
            weights are the responsibilities of the components for the known values. It is a plain
            mixture, also from a subclass.

        Raises
        ------
        ValueError
            If the features are none, all or no features of the mixture, or values do not fit.

        See Also
        --------
        regress : Means and spreads for many rows.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> means, variances = [[0, 0], [4, 8]], [[1, 1], [1, 2]]
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], means, variances, "diag")
        >>> mixture.conditional(features=0, values=2.5).weights_.round(3)
        array([0.119, 0.881])
        """
        parameters = gaussians_of(self)
        given, others = check_some_features(
            "features", features, parameters.n_features, self._names()
        )
        row = _check_values(values, len(given), allow_nan=self._takes_gaps)
        known = ~np.isnan(row)
        if not known.any():
            return self._plain(conditioning.marginal(parameters, others), others)
        found = conditioning.conditional(parameters, given[known], others, row[known])
        return self._plain(found, others)

    @overload
    def cdf(self, x: float) -> np.float64: ...
    @overload
    def cdf(self, x: NumbersLike) -> FloatArray: ...
    def cdf(self, x: float | NumbersLike) -> Any:
        """Return the probability of values up to x, for a mixture of one feature.

        Parameters
        ----------
        x : float or array-like
            Infinities included.

        Returns
        -------
        float or ndarray of the shape of x, float64

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[-1], [1]], [1, 1], "spherical")
        >>> mixture.cdf([0, 1, float("inf")]).round(3)
        array([0.5  , 0.739, 1.   ])
        """
        mixture = self._line("cdf")
        points = check_numbers(x, "x").astype(np.float64)
        if np.isnan(points).any():
            raise ParameterError("x must not be NaN")
        return univariate.cdf(mixture, points)[()]

    @overload
    def quantile(self, p: float) -> np.float64: ...
    @overload
    def quantile(self, p: NumbersLike) -> FloatArray: ...
    def quantile(self, p: float | NumbersLike) -> Any:
        """Return the value up to which lies the probability p, for a mixture of one feature.

        Parameters
        ----------
        p : float or array-like
            From 0 to 1, which give -inf and inf.

        Returns
        -------
        float or ndarray of the shape of p, float64

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[-1], [1]], [1, 1], "spherical")
        >>> mixture.quantile([0.1, 0.9]).round(3)
        array([-1.849,  1.849])
        """
        mixture = self._line("quantile")
        return univariate.quantile(mixture, _check_probabilities(p))[()]

    @overload
    def hdr_level(
        self, p: float, *, n_samples: int = LEVEL_SAMPLES, random_state: Seed = 0
    ) -> np.float64: ...
    @overload
    def hdr_level(
        self, p: NumbersLike, *, n_samples: int = LEVEL_SAMPLES, random_state: Seed = 0
    ) -> FloatArray: ...
    def hdr_level(
        self, p: float | NumbersLike, *, n_samples: int = LEVEL_SAMPLES, random_state: Seed = 0
    ) -> Any:
        """Return the log-density above which lies the smallest region of probability p.

        That is the highest-density region (Hyndman, 1996): the rows whose `score_samples` is not
        below the level. Of a mixture with noise it is that of the Gaussian components, whose
        `score_samples` are those of ``marginal(range(n_features))``.

        Parameters
        ----------
        p : float or array-like
            Greater than 0 and less than 1.
        n_samples : int, default=262144
            Rows that are drawn to find the level. The probability of the region is then p to
            within a standard deviation of sqrt(p (1 - p) / n_samples). None are drawn for a
            mixture of one feature or one component, whose level is computed.
        random_state : int, RandomState, Generator or None, default=0
            Source of those rows.

        Returns
        -------
        float or ndarray of the shape of p, float64

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> mixture.hdr_level([0.95]).round(3)
        array([-2.84])
        >>> mixture.score_samples([[1.96]]).round(3)  # 95 % lie within 1.96 standard deviations
        array([-2.84])
        """
        parameters = gaussians_of(self)
        inside = _check_probabilities(p, open_interval=True)
        n_samples = check_n_samples(n_samples, parameters.n_features)
        count = threads.resolve(check_n_threads(self.n_threads)).number
        source = check_random_state(random_state)
        found = hdr.hdr_levels(parameters, inside.reshape(-1), n_samples, source, count)
        return found.reshape(inside.shape)[()]

    def is_outlier(
        self,
        X: object,
        p: float = 0.99,
        *,
        random_state: Seed = 0,
        out: PathLike | None = None,
    ) -> Any:
        """Say which rows of X lie outside the smallest region of probability p.

        Of rows that come from the mixture itself, a part 1 - p does. A row that lacks values is
        compared with such rows of the features that it has. One without any value is no outlier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        p : float, default=0.99
            Greater than 0 and less than 1.
        random_state : int, RandomState, Generator or None, default=0
            As for `hdr_level`.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file.

        Returns
        -------
        ndarray of shape (n_samples,), bool
            Of a Dask collection a lazy dask array; with `out` its path.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
        >>> mixture.is_outlier([[0.0], [2.0]], p=0.95)
        array([False,  True])
        """
        if np.ndim(p):
            raise ParameterError(f"p must be one number, got {p!r}")
        check_output(out)
        return outlier_test(self, p, random_state)[0](X, out)

    def component_distances(self, kind: DistanceKind = "bhattacharyya") -> FloatArray:
        """Return how far apart the components are, every pair in closed form.

        Parameters
        ----------
        kind : {'bhattacharyya', 'hellinger', 'kl'}, default='bhattacharyya'
            Bhattacharyya's distance, minus the logarithm of the overlap; Hellinger's, from 0 to 1;
            or the Kullback-Leibler divergence in nats, of the row's component from the column's,
            which is not symmetric. Weights have no part in any.

        Returns
        -------
        ndarray of shape (n_components, n_components), float64

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0], [4]], [1, 1], "spherical")
        >>> mixture.component_distances()
        array([[0., 2.],
               [2., 0.]])
        """
        return DISTANCES[check_choice("kind", kind, tuple(DISTANCES))](parameters_of(self))

    def _line(self, method: str) -> univariate.Line:
        parameters = gaussians_of(self)
        if parameters.n_features != 1:
            raise ValueError(
                f"{method} is for mixtures of one feature, but this one has "
                f"{parameters.n_features}: take the `marginal` of one first"
            )
        return univariate.line(parameters)


def outlier_test(model: Any, p: float, random_state: Seed = 0) -> tuple[Any, float]:
    """Return a function of X that tells which rows are outliers, and the level of complete rows."""
    inside = float(_check_probabilities(p, open_interval=True))
    source, count = check_random_state(random_state), check_n_threads(model.n_threads)
    test = OutlierTest.of(gaussians_of(model), inside, source, count)
    return partial(model._each_row, test, names=["outlier"]), test.level


def _check_values(values: object, n_known: int, *, allow_nan: bool) -> FloatArray:
    """Return a finite number for each known feature, or NaN where that may be."""
    numbers = np.atleast_1d(check_numbers(values, "values"))
    if numbers.shape != (n_known,):
        raise ParameterError(
            f"values must have {n_known} numbers, one for each known feature, got "
            f"{numbers.size if numbers.ndim == 1 else f'shape {numbers.shape}'}"
        )
    row = check_rows(numbers[None], name="values", allow_nan=allow_nan)[0]
    return np.asarray(row, dtype=np.float64)


def _check_probabilities(p: object, open_interval: bool = False) -> FloatArray:
    values = check_numbers(p, "p").astype(np.float64)
    inside = (values > 0) & (values < 1) if open_interval else (values >= 0) & (values <= 1)
    if not inside.all():
        wanted = "greater than 0 and less than 1" if open_interval else "from 0 to 1"
        raise ParameterError(f"p must be {wanted}, got {values[~inside].flat[0]:g}")
    return values
