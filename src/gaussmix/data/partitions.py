"""Partitions of Dask collections: their keys, the graphs that make them, and sums over them."""

from collections.abc import Sequence
from functools import reduce
from operator import add, or_
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np

from gaussmix.io.conversion import as_numbers, frame_of
from gaussmix.validation import check_sample_weight

FAN_IN = 8
"""Results added by one task. A task costs the scheduler more than a sum of a few small results."""

NOT_INSTALLED = "Dask is needed for this; install it with: pip install 'gaussmix[dask]'"

R = TypeVar("R")


class Parts(NamedTuple):
    """Partitions of a collection: their keys, and the graph that makes them."""

    keys: Sequence[Any]
    graph: dict[Any, Any]


def is_dask(X: object) -> bool:
    """Whether X is a Dask collection, or a list of Delayed or Future; imports nothing."""
    first = X[0] if isinstance(X, list | tuple) and X else X
    return type(first).__module__.partition(".")[0] in ("dask", "dask_expr", "distributed")


def dask_module() -> Any:
    """Return the module dask; ImportError says how to install it."""
    try:
        import dask.array
        import dask.delayed
    except ImportError as error:
        raise ImportError(NOT_INSTALLED) from error
    return dask


def rows_collection(X: Any) -> Any:
    """Return X as a dask array chunked along rows alone, or a list of Delayed."""
    if isinstance(X, list | tuple):
        return [dask_module().delayed(part) for part in X]
    array = _numbers(X).to_dask_array() if _is_frame(X) else X
    if not isinstance(array, dask_module().array.Array):
        raise TypeError(
            "X must be a dask array or dataframe, or a list of Delayed or Future that each stand "
            f"for a table of rows, got {type(X).__module__}.{type(X).__qualname__}"
        )
    if array.ndim != 2:
        raise ValueError(f"Expected 2D array, got a dask array of shape {array.shape} instead")
    return array if len(array.chunks[1]) == 1 else array.rechunk({1: array.shape[1]})


def _is_frame(X: Any) -> bool:
    """Whether X is a dataframe or series. A Delayed has every attribute one asks it for."""
    return hasattr(type(X), "to_dask_array")


def column_names(X: Any) -> list[str] | None:
    """Return the names of a dataframe's columns, if it has any and all are strings."""
    names = list(X.columns) if _is_frame(X) and X.ndim == 2 else []
    return names if names and all(isinstance(name, str) for name in names) else None


def _numbers(X: Any) -> Any:
    """Return a dataframe whose columns all are of NumPy's float32 or float64.

    Nullable columns and those of Arrow become so on the workers, partition by partition: as an
    array of their own they would be objects.
    """
    meta = X._meta.to_frame() if X.ndim == 1 else X._meta
    frame = frame_of(meta)
    if frame is None or frame.whole() is not None:
        return X
    kinds = [frame.precision(column) for column in range(frame.n_columns)]
    dtype = max((kind or np.dtype(np.float64) for kind in kinds), key=lambda kind: kind.itemsize)
    return X.map_partitions(_partition_numbers, dtype, meta=_partition_numbers(X._meta, dtype))


def _partition_numbers(part: Any, dtype: np.dtype[np.floating]) -> Any:
    values = as_numbers(part, "X").astype(dtype, copy=False)
    if part.ndim == 1:
        return type(part)(values, index=part.index, name=part.name)
    return type(part)(values, index=part.index, columns=part.columns)


def parts_of(collection: Any) -> Parts:
    """Return the partitions of a dask array, or of a list of Delayed."""
    if isinstance(collection, list):
        graphs = (dict(part.__dask_graph__()) for part in collection)
        return Parts([part.key for part in collection], reduce(or_, graphs, {}))
    whole, delayed = collection.__dask_graph__(), collection.to_delayed().ravel()
    keys = [part.key for part in delayed]
    graph = dict(delayed[0].__dask_graph__())  # it is that of all, optimised
    lost = {key: whole[key] for key in keys if key not in graph}  # persisted on a cluster
    return Parts(keys, graph | lost)


def weight_parts(sample_weight: Any, rows: Any, n_parts: int) -> Parts:
    """Return the partitions of the weights, as many as X has."""
    if sample_weight is None:
        return Parts([None] * n_parts, {})
    if not is_dask(sample_weight):
        if np.ndim(sample_weight) == 0:
            return Parts([float(check_sample_weight(sample_weight, 1)[0])] * n_parts, {})  # type: ignore[index]
        sample_weight = _local_weight(sample_weight, rows)
    parts = parts_of(_weight_collection(sample_weight, rows))
    if len(parts.keys) != n_parts:
        raise ValueError(
            f"sample_weight must have the partitions of X, but it has {len(parts.keys)}, and X "
            f"{n_parts}"
        )
    return parts


def _weight_collection(weight: Any, rows: Any) -> Any:
    if isinstance(weight, list | tuple):
        return [dask_module().delayed(part) for part in weight]
    array = _numbers(weight).to_dask_array() if _is_frame(weight) else weight
    if array.ndim != 1:
        raise ValueError(f"sample_weight must have one dimension, got shape {array.shape}")
    if isinstance(rows, list) or np.isnan(rows.shape[0]) or np.isnan(array.shape[0]):
        return array  # lengths are compared partition by partition
    if array.shape[0] != rows.shape[0]:
        raise ValueError(
            f"sample_weight must have shape ({rows.shape[0]},), one weight per row, got shape "
            f"{array.shape}"
        )
    return array.rechunk((rows.chunks[0],))


def _local_weight(weight: Any, rows: Any) -> Any:
    """Return weights of this machine as a dask array with the chunks of X."""
    if isinstance(rows, list) or np.isnan(rows.shape[0]):
        raise ValueError(
            "sample_weight must be a Dask collection with the partitions of X, whose row counts "
            f"are not known, got {type(weight).__name__}; X.compute_chunk_sizes() of a dask array "
            "finds them"
        )
    checked = check_sample_weight(weight, rows.shape[0])
    return dask_module().array.from_array(checked, chunks=(rows.chunks[0],))


def add_tree(graph: dict[Any, Any], keys: list[Any]) -> Any:
    """Add tasks to a graph that add up the results of keys; return the key of their sum."""
    name, level = f"gaussmix-add-{uuid4().hex}", 0
    while len(keys) > 1:
        groups = [keys[i : i + FAN_IN] for i in range(0, len(keys), FAN_IN)]
        keys = [(name, level, i) for i in range(len(groups))]
        graph.update({key: (_add_up, group) for key, group in zip(keys, groups, strict=True)})
        level += 1
    return keys[0]


def compute(graph: dict[Any, Any], key: Any, client: Any) -> Any:
    """Run a graph and return what a key stands for."""
    dask = dask_module()
    from dask.delayed import Delayed

    return dask.compute(Delayed(key, graph), scheduler=client)[0]


def _add_up(results: Sequence[R]) -> R:
    return reduce(add, results)
