"""What can be asked of a mixture once it is fitted: methods of `GaussianMixture`."""

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, Generic, TypeVar, overload

import numpy as np

from gaussmix._core import threads
from gaussmix._core.types import DistanceKind, FloatArray, NumbersLike, PathLike, Rows, Seed
from gaussmix.data.inputs import opened, route
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import gaussians_of, parameters_of
from gaussmix.estimators.base import by_row, check_output, feature_names
from gaussmix.estimators.pictures import Pictures
from gaussmix.model.parameters import Parameters
from gaussmix.queries import conditioning, hdr, imputation, univariate
from gaussmix.queries.divergences import DISTANCES
from gaussmix.queries.features import Indices, check_features, check_some_features, check_targets
from gaussmix.queries.hdr import LEVEL_SAMPLES
from gaussmix.queries.outliers import OutlierTest
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_numbers,
    check_random_state,
    check_rows,
)

M = TypeVar("M")


class Queries(Pictures, Generic[M]):
    """Marginals, conditionals, regression, missing values, quantiles, levels and distances.

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

    def regress(
        self,
        features: object,
        X: object,
        *,
        targets: object = None,
        return_std: bool = False,
        return_cov: bool = False,
        out: PathLike | None = None,
    ) -> Any:
        """Predict unknown features of rows from known ones: Gaussian mixture regression.

        The prediction is the mean of the conditional mixture, which is the best one in mean square
        (Ghahramani & Jordan, 1994).

        Parameters
        ----------
        features : int, str or sequence of them
            Indices or names of the features that are known.
        X : array-like of shape (n_samples, n_known), or what `scan` or Dask take
            Their values, in the same order. With `missing_values='marginalize'` a row may lack
            some, or all: it is predicted from those that it has.
        targets : int, str or sequence of them, optional
            Features to predict; by default all others, in their order.
        return_std : bool, default=False
            Also return the standard deviations of the conditional mixtures.
        return_cov : bool, default=False
            Also return their covariances.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file: first the
            columns of the mean, then those of the spread.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_targets)
            float32 for float32 rows, else float64; of shape (n_samples,) if `targets` is one index
            or name instead of a sequence.
        std : ndarray of the same shape
            If `return_std`.
        cov : ndarray of shape (n_samples, n_targets, n_targets)
            If `return_cov`.

        Of a Dask collection they are lazy dask arrays; with `out` its path is returned instead.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0, 0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> mean, std = mixture.regress(0, [[1.0], [2.0]], targets=1, return_std=True)
        >>> mean.round(3), std.round(3)
        (array([0.8, 1.6]), array([0.6, 0.6]))
        """
        parameters = gaussians_of(self)
        size, names = parameters.n_features, self._names()
        given, others = check_some_features("features", features, size, names)
        if targets is not None:
            others = check_targets(targets, given, size, names)
        _check_spreads(return_std, return_cov)
        check_output(out)
        X = opened(X)
        _check_columns(X, None if names is None else [names[i] for i in given])
        data = route(
            X,
            None,
            self.n_threads,
            estimator="regression from the given features",
            n_features=len(given),
            allow_nan=self._takes_gaps,
        )
        regression = imputation.GappyRegression(parameters, given, others, return_std, return_cov)
        columns = _result_names(others, names, return_std, return_cov)
        found = by_row(data, regression, out, columns)
        if out is not None:
            return found
        return _split(found, len(others), return_cov, isinstance(targets, str | Integral))

    def predict_missing(
        self, X: object, *, return_std: bool = False, out: PathLike | None = None
    ) -> Any:
        """Fill in missing values of rows with their conditional means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
            NaN stands for what is missing, and so do None, `pandas.NA`, nulls, masked elements
            and empty fields of text files; a row may lack all features.
        return_std : bool, default=False
            Also return the standard deviations of what was filled in.
        out : path, optional
            Write the result block by block, to a .npy, .csv, .tsv or .parquet file: first the
            columns of X, then those of the standard deviations.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            A copy without gaps; float32 for float32 rows, else float64.
        std : ndarray of the same shape
            If `return_std`; 0 where nothing was missing.

        Of a Dask collection they are lazy dask arrays; with `out` its path is returned instead.

        Notes
        -----
        Rows that lack the same features are predicted together, so that many rows with few
        patterns are fast.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0, 0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> mixture.predict_missing([[1.0, None], [None, None], [3.0, 2.0]])
        array([[1. , 0.8],
               [0. , 0. ],
               [3. , 2. ]])
        """
        check_boolean("return_std", return_std)
        parameters = gaussians_of(self)
        check_output(out)
        data = self._data(X, None, self.n_threads, allow_nan=True)
        features = np.arange(parameters.n_features)
        columns = _result_names(features, self._names(), return_std, False)
        found = by_row(data, partial(imputation.filled, parameters, return_std), out, columns)
        return found if out is not None else _split(found, len(features), False, False)

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
        n_samples = check_integer("n_samples", n_samples, 1)
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

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else list(names)

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


def _check_spreads(return_std: object, return_cov: object) -> None:
    if check_boolean("return_std", return_std) and check_boolean("return_cov", return_cov):
        raise ParameterError(
            "return_std and return_cov are both True, but only one spread can be returned: "
            "variances are the diagonal of cov"
        )


def _check_columns(X: object, wanted: list[str] | None) -> None:
    """Raise if X is a frame whose columns are not the known features, in their order."""
    names = feature_names(X)
    if names is not None and wanted is not None and list(names) != wanted:
        raise ValueError(f"X must have the columns {wanted}, as features says, got {list(names)}")


def _result_names(
    features: Indices, names: list[str] | None, return_std: bool, return_cov: bool
) -> list[str]:
    """Return names for the columns of predicted features, and then for those of their spread."""
    means = [f"feature {j}" if names is None else names[j] for j in features]
    if return_cov:
        return means + [f"covariance of {one} and {other}" for one in means for other in means]
    return means + [f"std of {name}" for name in means] * bool(return_std)


def _split(found: Any, n_targets: int, return_cov: bool, single: bool) -> Any:
    """Return the means, and beside them their spread if the columns of `found` have it.

    `single` is for one target, whose means are a column.
    """
    mean, spread = found[:, :n_targets], found[:, n_targets:]
    if return_cov:
        spread = _matrices(spread, n_targets)
    if single:
        mean, spread = mean[:, 0], spread[:, 0] if spread.shape[1] else spread
    if not found.shape[1] > n_targets:
        return mean
    return _contiguous(mean), _contiguous(spread)


def _matrices(rows: Any, n: int) -> Any:
    """Return rows of n * n numbers as matrices; Dask must not need to know how many there are."""
    if isinstance(rows, np.ndarray):
        return rows.reshape(-1, n, n)
    chunks = rows.chunks[0], (n,), (n,)
    return rows.map_blocks(_matrices, n, new_axis=2, chunks=chunks, dtype=rows.dtype)


def _contiguous(values: Any) -> Any:
    """Return an array of its own; a lazy one stays as it is."""
    return np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values
