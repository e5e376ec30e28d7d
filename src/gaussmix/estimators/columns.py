"""Many mixtures of one feature at once: one for each column of a table."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, overload

import numpy as np

from gaussmix._core import threads
from gaussmix._core.types import Rows, SupportsArray
from gaussmix.data.partitions import is_dask
from gaussmix.errors import Noted, ParameterError, noting_warnings, one_line, warn, warn_fit_failed
from gaussmix.estimators.base import feature_names
from gaussmix.estimators.bayesian import BayesianGaussianMixture
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io.conversion import place
from gaussmix.io.sources import streams
from gaussmix.validation import (
    check_choice,
    check_n_threads,
    check_numbers,
    check_random_state,
    check_rows,
)

M = TypeVar("M", GaussianMixture, BayesianGaussianMixture)

MOST_NAMES = 8  # of columns in one warning

OWN = ("n_threads", "checkpoint", "warm_start")  # parameters that many fits cannot share


@overload
def fit_columns(
    X: SupportsArray | list[Any],
    *,
    estimator: type[M],
    on_error: Literal["raise"] = "raise",
    n_threads: int | None = None,
    **parameters: Any,
) -> list[M]: ...
@overload
def fit_columns(
    X: SupportsArray | list[Any],
    *,
    on_error: Literal["raise"] = "raise",
    n_threads: int | None = None,
    **parameters: Any,
) -> list[BayesianGaussianMixture]: ...
@overload
def fit_columns(
    X: SupportsArray | list[Any],
    *,
    estimator: type[M],
    on_error: Literal["skip"],
    n_threads: int | None = None,
    **parameters: Any,
) -> list[M | None]: ...
@overload
def fit_columns(
    X: SupportsArray | list[Any],
    *,
    on_error: Literal["skip"],
    n_threads: int | None = None,
    **parameters: Any,
) -> list[BayesianGaussianMixture | None]: ...
def fit_columns(
    X: SupportsArray | list[Any],
    *,
    estimator: Any = BayesianGaussianMixture,
    on_error: Literal["raise", "skip"] = "raise",
    n_threads: int | None = None,
    **parameters: Any,
) -> Any:
    """Fit a mixture of one feature to each column of a table, several columns at a time.

    Tools that make synthetic tables model every numeric column so. Each thread fits a column on
    its own, which keeps all threads busy where one small fit could not. A column's missing values
    (NaN, None, nulls) are left out of its fit.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_columns)
        An array, or a frame of pandas or polars. Each thread holds one column at a time in memory.
    estimator : {BayesianGaussianMixture, GaussianMixture}, default=BayesianGaussianMixture
        The class of the mixtures.
    on_error : {'raise', 'skip'}, default='raise'
        What becomes of a column that cannot be fitted, such as one without values. 'raise' ends all
        fits. 'skip' fits the other columns, and warns once of those that it left out.
    n_threads : int, optional
        Number of columns that are fitted at a time; by default as many threads as
        `gaussmix.show_config` shows.
    **parameters
        The constructor's, such as ``n_components=10``. An int `random_state` is that of every fit;
        anything else is drawn from once for each column.

    Returns
    -------
    list of estimators
        A fitted one for each column, in order: that of a separate fit with ``n_threads=1``. None
        for a column that was left out.

    Raises
    ------
    ValueError
        If a parameter is not acceptable, or a column cannot be fitted, whose name or number the
        error begins with. With ``on_error='skip'`` if no column can be fitted.
    TypeError
        If X is no table in memory.

    Warns
    -----
    ConvergenceWarning
        If fits did not converge. Every warning of a fit is given once for all columns that it is
        about, and names them.
    FitFailedWarning
        If columns were left out, with the reasons.

    Examples
    --------
    >>> import numpy as np
    >>> import gaussmix
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=900), rng.normal(size=900) + 9 * (np.arange(900) % 2)])
    >>> X[::3, 0] = np.nan
    >>> settings = {"tol": 1e-6, "max_iter": 1000, "accelerate": "squarem"}
    >>> mixtures = gaussmix.fit_columns(X, n_components=4, random_state=0, **settings)
    >>> [mixture.n_effective_ for mixture in mixtures]
    [1, 2]

    A column without values has no mixture:

    >>> import warnings
    >>> X[:, 0] = np.nan
    >>> with warnings.catch_warnings(action="ignore"):
    ...     mixtures = gaussmix.fit_columns(X, n_components=4, on_error="skip", **settings)
    >>> [mixture is None for mixture in mixtures]
    [True, False]
    """
    if not any(estimator is known for known in (BayesianGaussianMixture, GaussianMixture)):
        raise ParameterError(
            "estimator must be BayesianGaussianMixture or GaussianMixture (the class), got "
            f"{estimator!r}"
        )
    skips = check_choice("on_error", on_error, ("raise", "skip")) == "skip"
    for name in OWN:
        if name in parameters:
            raise ParameterError(f"{name} is not for fit_columns, which makes many fits")
    columns, names = _columns_of(X)
    if not names:
        raise ParameterError("X must have at least one column, got none")
    seeds = _seeds(parameters.pop("random_state", None), len(names))
    models = [estimator(**parameters, random_state=seed, n_threads=1) for seed in seeds]
    count = min(threads.resolve(check_n_threads(n_threads)).number, len(names))

    def fit(number: int) -> Noted | Exception:
        try:
            with noting_warnings() as noted:
                models[number].fit(columns(number))
        except (TypeError, ValueError) as error:
            if skips:
                return error
            raise _of_column(names[number], error) from error
        return noted

    pool = ThreadPoolExecutor(count)
    try:
        outcomes = list(pool.map(fit, range(len(names))))
    finally:  # an error, or Ctrl-C, does not wait for the columns that are being fitted
        pool.shutdown(wait=False, cancel_futures=True)
    failed = [
        (name, found)
        for name, found in zip(names, outcomes, strict=True)
        if isinstance(found, Exception)
    ]
    if len(failed) == len(names):
        raise _of_column(*failed[0]) from failed[0][1]
    _warn_of_failures(failed, len(names))
    _warn(outcomes, names)
    return [
        None if isinstance(found, Exception) else model
        for model, found in zip(models, outcomes, strict=True)
    ]


def _of_column(name: str, error: Exception) -> Exception:
    """Return the error of a column's fit, with the column's name."""
    return type(error)(f"column {name}: {error}")


def _warn_of_failures(failed: list[tuple[str, Exception]], number: int) -> None:
    """Warn once of the columns that could not be fitted, and say why."""
    if not failed:
        return
    reasons = "; ".join(one_line(_of_column(*one)) for one in failed[:MOST_NAMES])
    warn_fit_failed(
        f"{len(failed)} of {number} columns could not be fitted, and have None for a mixture: "
        f"{reasons}{_and_more(len(failed))}"
    )


def _warn(outcomes: list[Noted | Exception], names: list[str]) -> None:
    """Warn of what the fits have noted: once of the same for all columns."""
    columns = defaultdict(list)
    for name, noted in zip(names, outcomes, strict=True):
        for found in [] if isinstance(noted, Exception) else noted:
            columns[found].append(name)
    for (message, category), own_names in columns.items():
        those = "columns" if len(own_names) > 1 else "column"
        named = ", ".join(own_names[:MOST_NAMES])
        warn(f"{those} {named}{_and_more(len(own_names))}: {message}", category)


def _and_more(number: int) -> str:
    """Return what stands for the columns that a warning does not name."""
    return f" and {number - MOST_NAMES} more" if number > MOST_NAMES else ""


def _columns_of(X: Any) -> tuple[Any, list[str]]:
    """Return a function that gives a column's present values, (n, 1), and the columns' names."""
    if is_dask(X) or (streams(X) and not isinstance(X, list)):
        raise TypeError(
            f"X must be a table in memory, such as an array or a frame, got {type(X).__name__}"
        )
    found = feature_names(X)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        names = [repr(name) for name in X.columns]
        return lambda number: _present(X.iloc[:, [number]]), names
    if found is not None:
        return lambda number: _present(X[[found[number]]]), [repr(name) for name in found]
    array = X if isinstance(X, np.ndarray) and X.ndim == 2 else check_rows(X, allow_nan=True)
    return lambda number: _present(array[:, number : number + 1]), [
        str(i) for i in range(array.shape[1])
    ]


def _present(column: Any) -> Rows:
    """Return the values of a column that are not missing, (n, 1)."""
    numbers = check_numbers(column, "X")
    values = numbers[:, 0]  # a mask of one axis selects without numbers of rows
    missing = np.isnan(values)
    if not missing.any():
        return check_rows(numbers, place=lambda row, _: place(row))
    if missing.all():
        raise ParameterError(f"X has no values in the column: all {len(values)} are missing")
    kept = ~missing
    return check_rows(
        values[kept][:, None], place=lambda row, _: place(int(kept.nonzero()[0][row]))
    )


def _seeds(random_state: Any, number: int) -> Iterator[Any]:
    """Return a seed for each column."""
    source = check_random_state(random_state)
    if isinstance(random_state, int | np.integer):
        return iter([random_state] * number)
    return iter(source.randint(2**31, size=number).tolist())
