"""What users pass as X, turned into data for a fit."""

from typing import Any, NamedTuple

import numpy as np

from gaussmix.data.base import Data, InMemory
from gaussmix.data.dask import DaskData, is_dask
from gaussmix.data.streamed import Streamed
from gaussmix.io.sources import Table, scan, streams
from gaussmix.validation import check_n_threads, check_rows, check_sample_weight


class Input(NamedTuple):
    """Checked data, and what may have names for its columns, as `columns`."""

    data: Data
    named: object


def in_memory(X: object) -> bool:
    """Whether X is an array or becomes one, rather than read or asked for block by block."""
    return isinstance(X, np.ndarray) or not (is_dask(X) or streams(X))


def weight_of(X: object, sample_weight: object) -> object:
    """Return the weights that are given, or else those that blocks of a `scan` have."""
    return X.weight if sample_weight is None and isinstance(X, Table) else sample_weight


def as_data(X: Any, sample_weight: object, n_threads: object, estimator: str) -> Input:
    """Return rows and weights to fit.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), Dask collection, or what `scan` takes
    sample_weight : array-like of shape (n_samples,) or None
    n_threads : int or None
    estimator : str
        Name of the estimator, for errors.

    Raises
    ------
    TypeError, ValueError
        See `check_rows`, `check_sample_weight` and `scan`. Of rows that are read block by block
        the values are checked by the first pass.
    """
    count = check_n_threads(n_threads)
    if in_memory(X):
        rows = check_rows(X, estimator=estimator)
        weight = check_sample_weight(weight_of(X, sample_weight), len(rows))
        return Input(InMemory(rows, weight, count), X)
    if is_dask(X):
        return Input(DaskData(X, sample_weight, count), X)
    source = scan(X)
    return Input(Streamed(source, sample_weight, count), source)
