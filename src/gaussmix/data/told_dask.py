"""What is told of rows in the partitions of a Dask collection: it stays where they are."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.data.base import MakePass
from gaussmix.data.dask import DaskData, rows_of, weights_of
from gaussmix.data.partitions import Parts, dask_module, is_dask, parts_of
from gaussmix.data.told import Classes, ToldData, ToldPass, checked_told
from gaussmix.errors import ParameterError

R = TypeVar("R")


class ToldPartitions(ToldData):
    """Rows of a Dask collection with labels or priors in partitions of their own.

    Parameters
    ----------
    rows : DaskData
    name : {'labels', 'row_priors'}
    values : dask array, list of Delayed or Future, or array
        With the partitions of X.
    classes, n_components, noise
        As in `gaussmix.data.told.tell`.
    """

    def __init__(
        self,
        rows: DaskData,
        name: str,
        values: Any,
        classes: Classes | None,
        n_components: int,
        *,
        noise: bool,
    ) -> None:
        self._describe(rows)
        self._data = rows
        self._name, self._collection = name, collection_beside(name, values, rows)
        self._parts_told = parts_beside(name, self._collection, rows)
        self._n_columns = 1 if name == "labels" else n_components + noise
        self._check = partial(
            checked_told, name, classes=classes, n_components=n_components, noise=noise
        )

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once, on the workers."""
        go_over = partial(_go_over, self.dtype, self._check)
        result: R = self._data.sum_beside(go_over, make, self._parts_told)
        return result

    def by_row(self, function: Callable[..., NDArray[Any]]) -> Any:
        """Return what a function says of each row, given what is told of it: a lazy array."""
        told = self._collection
        if isinstance(told, list):
            raise ParameterError(
                f"{self._name} must be a dask array for results by row, got a list of {len(told)}: "
                "dask.array.from_delayed makes arrays of them"
            )
        told = told[:, None] if told.ndim == 1 else told
        blank = np.full((1, self._n_columns), -1 if self._name == "labels" else 1)
        answer = partial(_given, function, self._check, self._name == "labels")
        return self._data.by_row(answer, told, blank)

    def write_by_row(
        self, function: Callable[..., NDArray[Any]], path: PathLike, names: Sequence[str]
    ) -> Path:
        """Raise: results stay with the workers."""
        return self._data.write_by_row(function, path, names)

    def told_blocks(self) -> Iterator[tuple[Rows, FloatArray | None, Told]]:
        """Raise: there is no order in which partitions are read."""
        raise ParameterError(
            "X is a Dask collection, whose rows stay with the workers: use algorithm='em'"
        )


def parts_beside(name: str, values: Any, rows: DaskData) -> Parts:
    """Return the partitions of what stands beside the rows, as many as X has."""
    parts = parts_of(collection_beside(name, values, rows))
    if len(parts.keys) != rows.n_parts:
        raise ParameterError(
            f"{name} must have the partitions of X, but it has {len(parts.keys)}, and X "
            f"{rows.n_parts}"
        )
    return parts


def collection_beside(name: str, values: Any, rows: DaskData) -> Any:
    """Return what stands beside the rows as a dask array, or as a list of partitions.

    The array has the chunks of X if they are known.
    """
    collection = rows.collection
    if isinstance(values, list | tuple) and is_dask(values):
        return [dask_module().delayed(part) for part in values]
    array: Any = values
    if hasattr(type(values), "to_dask_array"):
        array = values.to_dask_array()
    known = not isinstance(collection, list) and not np.isnan(collection.shape[0])
    if not (known or is_dask(array)):
        raise ParameterError(
            f"{name} must be a Dask collection with the partitions of X, whose row counts are "
            f"not known, got {type(values).__name__}"
        )
    array = array if is_dask(array) else np.asarray(array)
    if known and not np.isnan(array.shape[0]):
        if array.shape[0] != collection.shape[0]:
            raise ParameterError(
                f"{name} must have a row for each of the {collection.shape[0]} of X, got "
                f"{array.shape[0]}"
            )
        chunks = collection.chunks[0], *array.shape[1:]
        in_memory = isinstance(array, np.ndarray)
        from_array = dask_module().array.from_array
        array = (partial(from_array, array) if in_memory else array.rechunk)(chunks=chunks)
    return array


def _given(
    function: Callable[..., NDArray[Any]],
    check: Callable[..., Told],
    is_column: bool,
    rows: Rows,
    n_threads: int | None,
    values: NDArray[Any],
) -> NDArray[Any]:
    """Return what a function says of rows, given what is told of them (n, T)."""
    told = check(values[:, 0] if is_column else values, dtype=rows.dtype)
    _require_even(told, rows)
    return function(rows, n_threads, told)


def _require_even(told: Told, rows: Rows) -> None:
    if len(told) != len(rows):
        raise ParameterError(
            f"labels and row_priors must have the partitions of X, got {len(told)} rows for "
            f"{len(rows)}"
        )


def _go_over(
    dtype: np.dtype[Any],
    check: Callable[..., Told],
    make: MakePass[R],
    block: object,
    beside: tuple[object, object],
) -> R:
    """Run a pass over the rows of a partition and what is told of them."""
    rows = rows_of(block, dtype)
    weight, values = beside
    told = check(values, dtype=dtype)
    _require_even(told, rows)
    running = make(1)
    if not isinstance(running, ToldPass):
        raise ParameterError(
            f"labels and row_priors do not go with {type(running).__name__}, which does not take "
            "them in"
        )
    running.add_told(rows, weights_of(weight, len(rows)), told)
    return running.result()
