"""Features of rows predicted from others: regression, and what is missing filled in."""

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from gaussmix._core.types import PathLike
from gaussmix.data.inputs import opened, route
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import gaussians_of
from gaussmix.estimators.base import Estimator, by_row, check_output, feature_names
from gaussmix.queries import imputation
from gaussmix.queries.features import Indices, check_some_features, check_targets
from gaussmix.validation import check_boolean


class Regression(Estimator):
    """Conditional means of features: a mixin, of an estimator with the parameters of a mixture.

    Of a mixture with noise they are those of the Gaussian components alone, as for `Queries`.
    """

    n_threads: int | None

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

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else list(names)


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
