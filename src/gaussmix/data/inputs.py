"""What users pass as X, and what it is: decided here, and nowhere else."""

from typing import Any

import numpy as np

from gaussmix.data.base import Data, InMemory
from gaussmix.data.dask import DaskData
from gaussmix.data.partitions import is_dask
from gaussmix.data.sparse import check_sparse, is_sparse
from gaussmix.data.streamed import Streamed
from gaussmix.io.scans import Scan, Table, scan
from gaussmix.io.sources import streams
from gaussmix.validation import (
    check_n_features,
    check_n_threads,
    check_rows,
    check_sample_weight,
    has_nan,
)


def opened(X: Any) -> Any:
    """Return X, or a `Scan` of it where X is read block by block: it may have column names then."""
    is_table = isinstance(X, np.ndarray) or is_dask(X) or not streams(X)
    return X if is_table else scan(X)


def route(
    X: Any,
    sample_weight: object = None,
    n_threads: object = None,
    *,
    estimator: str = "",
    n_features: int | None = None,
    allow_nan: bool = False,
    sparse: bool = False,
) -> Data:
    """Return rows and weights, wherever they lie: `InMemory`, `Streamed` or `DaskData`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), Dask collection, or what `scan` takes
    sample_weight : array-like of shape (n_samples,) or None
        By default the weights that a table of a `scan` has.
    n_threads : int or None
    estimator : str
        Name of the estimator, for errors.
    n_features : int, optional
        Number of columns that X must have.
    allow_nan : bool
        Whether values may be missing; they are NaN then.
    sparse : bool
        Whether X may be a SciPy sparse matrix, of which the rows are `SparseRows` in memory.

    Raises
    ------
    TypeError, ValueError
        See `check_rows`, `check_sample_weight` and `scan`. Of rows that are read block by block
        the first pass checks the values.
    """
    count = check_n_threads(n_threads)
    X = opened(X)
    if not (isinstance(X, Scan) or is_dask(X)):
        if sparse and is_sparse(X):
            rows: Any = check_sparse(X, n_features=n_features, estimator=estimator)
            return InMemory(rows, check_sample_weight(sample_weight, len(rows)), count)
        return _in_memory(X, sample_weight, count, estimator, n_features, allow_nan)
    elsewhere = Streamed if isinstance(X, Scan) else DaskData
    data: Data = elsewhere(X, sample_weight, count, allow_nan=allow_nan)
    if n_features is not None:
        check_n_features(data.n_features, n_features, "X", estimator)
    return data


def _in_memory(
    X: Any,
    sample_weight: object,
    n_threads: int | None,
    estimator: str,
    n_features: int | None,
    allow_nan: bool,
) -> InMemory:
    """Return an array, a frame, or a table of a `scan`, in whose source errors name the place."""
    name, place = (str(X), X.place) if isinstance(X, Table) else ("X", None)
    rows = check_rows(
        X,
        name=name,
        n_features=n_features,
        estimator=estimator,
        allow_nan=allow_nan,
        place=place,
    )
    gaps = allow_nan and has_nan(rows)
    if not isinstance(X, Table) or sample_weight is not None:
        weight = check_sample_weight(sample_weight, len(rows))
    else:
        weight = check_sample_weight(X.weight, len(rows), place)
    return InMemory(rows, weight, n_threads, gaps=gaps)
