"""Fits on many machines: the rows are the partitions of a Dask collection and stay where they lie.

Every partition gets a pass of its own, on the worker that holds it, and the results, a few numbers
for each component, are added up in a tree. Nothing but their sum comes to the client.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np

from gaussmix._core.checks import aligned
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.data.base import ByRow, MakePass, Pass
from gaussmix.data.partitions import (
    Parts,
    add_tree,
    column_names,
    compute,
    dask_module,
    parts_of,
    rows_collection,
    weight_parts,
)
from gaussmix.data.subsample import Reservoir, Sample, most_rows
from gaussmix.errors import ParameterError
from gaussmix.io.blocks import Block
from gaussmix.io.conversion import place
from gaussmix.validation import check_numbers, check_rows, check_total_weight

R = TypeVar("R")


@dataclass(frozen=True)
class Summary:
    """What a first look at partitions finds."""

    counts: tuple[int, ...]  # rows of each
    weight: float
    n_features: int
    dtypes: frozenset[np.dtype[Any]]

    def __add__(self, other: "Summary") -> "Summary":
        if not isinstance(other, Summary):
            return NotImplemented
        if self.n_features != other.n_features:
            raise ValueError(
                "All partitions of X must have the same number of features, got "
                f"{self.n_features} and {other.n_features}"
            )
        return Summary(
            self.counts + other.counts,
            self.weight + other.weight,
            self.n_features,
            self.dtypes | other.dtypes,
        )


class Filled(NamedTuple):
    """The partitions that have rows, and what the first look at all of them found."""

    summary: Summary
    rows: Parts
    weights: Parts


class DaskData:
    """Rows in the partitions of a Dask collection: `Data` that never come to this machine.

    Parameters
    ----------
    X : dask array or dataframe of shape (n_samples, n_features), or list of Delayed or Future
        Row counts may be unknown. An array chunked along columns too is rechunked. The first pass
        reads and checks all rows and weights, and every pass reads them again, so they should be
        persisted.
    sample_weight : dask array or series of shape (n_samples,), list of Delayed or Future, or None
        With the partitions of X. If the chunks of X are known other chunks are rechunked, and
        arrays of NumPy and numbers will do.
    n_threads : int or None
        Threads for work on this machine. A partition's pass always runs on one.
    client : distributed.Client, optional
        By default the current client, or else Dask's scheduler on threads of this process.
    allow_nan : bool
        Whether values may be missing; they are NaN then.

    Raises
    ------
    TypeError, ValueError
        See `check_rows` and `check_sample_weight`; partitions are named by number, from 0.
    """

    def __init__(
        self,
        X: Any,
        sample_weight: Any = None,
        n_threads: int | None = None,
        client: Any = None,
        *,
        allow_nan: bool = False,
    ) -> None:
        self.n_threads = n_threads
        self.gaps = allow_nan
        self._client = client
        self.collection = rows_collection(X)
        self._names = column_names(X)
        self._rows = parts_of(self.collection)
        self._weighted = sample_weight is not None
        self._weights = weight_parts(sample_weight, self.collection, len(self._rows.keys))
        self._sources = self._rows.graph | self._weights.graph

    @cached_property
    def filled(self) -> "Filled":
        """What the first look at all partitions finds; it checks all values."""
        summary: Summary = self.sum_over(
            partial(_summary, self._names, self.gaps),
            range(len(self._rows.keys)),
            self._rows,
            self._weights,
        )
        if sum(summary.counts) == 0:
            raise ValueError("X must have at least one row, but all its partitions are empty")
        if self._weighted:
            check_total_weight(summary.weight)
        filled = [i for i, count in enumerate(summary.counts) if count]
        return Filled(
            summary,
            self._rows._replace(keys=[self._rows.keys[i] for i in filled]),
            self._weights._replace(keys=[self._weights.keys[i] for i in filled]),
        )

    @property
    def n_parts(self) -> int:
        """Number of partitions, those without rows too."""
        return len(self._rows.keys)

    @property
    def n_features(self) -> int:
        """Number of columns."""
        if isinstance(self.collection, list) or np.isnan(self.collection.shape[1]):
            return self.filled.summary.n_features
        return int(self.collection.shape[1])

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return sum(self.filled.summary.counts)

    @property
    def weight(self) -> float:
        """Summed weight of the rows, their number without weights."""
        return self.filled.summary.weight

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the rows."""
        return np.result_type(*self.filled.summary.dtypes)

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once."""
        _, rows, weights = self.filled
        result: R = self._sum_with(partial(_go_over, self.dtype), make, rows, weights, {})
        return result

    def sum_beside(self, function: Callable[..., Any], argument: object, beside: Parts) -> Any:
        """Sum of function(argument, block, (weight, beside)) over the partitions that have rows."""
        name = f"gaussmix-beside-{uuid4().hex}"
        summary, rows, weights = self.filled
        filled = [key for key, n in zip(beside.keys, summary.counts, strict=True) if n]
        both = zip(weights.keys, filled, strict=True)
        pairs = {(name, i): (_pair, *one) for i, one in enumerate(both)}
        graph = pairs | beside.graph
        return self._sum_with(function, argument, rows, Parts(list(pairs), {}), graph)

    def blocks(self) -> Iterator[Block]:
        """Raise: there is no order in which partitions are read."""
        raise ValueError(
            "X is a Dask collection, whose rows stay with the workers; this needs all rows in "
            "order on one machine: use algorithm='em', or pass the rows in blocks yourself"
        )

    def head(self) -> Rows:
        """Return the first rows, of the first partition that has any."""
        first = partial(_head, self.dtype)
        name = f"gaussmix-head-{uuid4().hex}"
        rows: Rows = self._run({name: (first, self.filled.rows.keys[0])}, name)
        return rows

    def sample(
        self, n_groups: int, random_state: np.random.RandomState, most: int | None = None
    ) -> Sample:
        """Return a random sample of the rows, or all, in order, if there are no more than `most`.

        A reservoir is filled from every partition, and they are added up.
        """
        n_rows = most or most_rows(n_groups)
        _, rows, weights = self.filled
        seeds = np.zeros(len(rows.keys), dtype=np.uint32)
        if self.n_samples > n_rows:  # else nothing is drawn, as from rows in memory
            seeds = random_state.randint(2**32, size=len(seeds), dtype=np.uint32)
        makers = [partial(_reservoir, n_rows, int(seed)) for seed in seeds]
        found: Reservoir = self.sum_over(partial(_go_over, self.dtype), makers, rows, weights)
        return found.sample()

    def by_row(self, function: Callable[..., Any], told: Any = None, blank: Any = None) -> Any:
        """Return what a function says of each row: a lazy dask array with the chunks of X.

        `told` may be a dask array (N, T) with the chunks of X, of which the function then takes the
        values (n, T) beside rows (n, D), and `blank` (1, T) what it takes beside a row of zeros.
        """
        array = self.collection
        if isinstance(array, list):
            raise TypeError(
                "X must be a dask array or dataframe for results by row, got a list of "
                f"{len(array)} Delayed or Future: dask.array.from_delayed makes arrays of them"
            )
        single = array.dtype.kind == "f" and array.dtype.itemsize == 4
        one = np.zeros((1, self.n_features), dtype=np.float32 if single else np.float64)
        like = function(one, 1) if told is None else function(one, 1, blank)
        chunks = array.chunks[:1] if like.ndim == 1 else (array.chunks[0], like.shape[1:])
        return array.map_blocks(
            _block_by_row,
            told,
            dask_module().delayed(function, traverse=False),
            like[:0],
            self.gaps,
            self._names,
            drop_axis=1 if like.ndim == 1 else None,
            chunks=chunks,
            meta=like[:0],
            dtype=like.dtype,
        )

    def write_by_row(
        self,
        function: ByRow,  # noqa: ARG002
        path: PathLike,
        names: Sequence[str] | None = None,  # noqa: ARG002
    ) -> Path:
        """Raise: results stay with the workers."""
        raise ParameterError(
            "out must be None where X is a Dask collection, whose results stay with the "
            f"workers, got {os.fspath(path)!r}: write the lazy array that is returned"
        )

    def sum_over(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        rows: Parts,
        weights: Parts,
        shared: dict[str, Any] | None = None,
    ) -> Any:
        """Sum of function(argument, block, weight) over the partitions, on the workers.

        The tree is that of the partitions' order. So results have the same bits whichever worker
        does what, or does it again in place of one that died.
        """
        name = f"gaussmix-pass-{uuid4().hex}"
        tasks = zip(arguments, rows.keys, weights.keys, strict=True)
        graph = {(name, i): (function, *task) for i, task in enumerate(tasks)}
        root = add_tree(graph, list(graph))
        return self._run(graph | (shared or {}), root)

    def _sum_with(
        self,
        function: Callable[..., Any],
        argument: object,
        rows: Parts,
        weights: Parts,
        graph: dict[Any, Any],
    ) -> Any:
        """Return the same of one argument for all partitions."""
        # As a key of its own what makes the passes, the parameters above all, is sent to one
        # worker, and by workers to each other, once each. Scattered it would be as fast, but lost
        # with the worker that holds it; a graph brings it back.
        key = f"gaussmix-parameters-{uuid4().hex}"
        arguments, shared = [key] * len(rows.keys), graph | {key: argument}
        # They may well be larger than what Dask takes for data sent by mistake.
        with dask_module().config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.sum_over(function, arguments, rows, weights, shared)

    def _run(self, graph: dict[Any, Any], key: Any) -> Any:
        """Run a graph that hangs on those of the partitions, and return what the key stands for."""
        return compute(self._sources | graph, key, self._client)


def _summary(
    names: Sequence[str] | None, allow_nan: bool, number: int, block: object, weight: object
) -> Summary:
    """Check a partition."""
    name = f"X of partition {number}"
    array = check_numbers(block, name)
    if array.ndim == 2 and len(array) == 0:
        return Summary((0,), 0.0, array.shape[1], frozenset())
    rows = check_rows(block, name=name, allow_nan=allow_nan, place=partial(place, names=names))
    weights = _weight(weight, len(rows), number)
    total = float(len(rows)) if weights is None else float(weights.sum())
    return Summary((len(rows),), total, rows.shape[1], frozenset({rows.dtype}))


def _weight(weight: object, n_rows: int, number: int) -> FloatArray | None:
    """Check the weights of a partition, which may be zero all of them."""
    weights = weights_of(weight, n_rows)
    if weights is None:
        return None
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have one weight per row, but that of partition {number} has "
            f"shape {weights.shape} for {n_rows} rows"
        )
    bad = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if len(bad):
        raise ValueError(
            "sample_weight must be finite and not negative, got "
            f"{weights[bad[0]]:g} at row {bad[0]} of partition {number}"
        )
    return weights


def weights_of(weight: object, n_rows: int) -> FloatArray | None:
    """Return the weights of a partition, which were checked."""
    if weight is None:
        return None
    weights: FloatArray = np.asarray(check_numbers(weight, "sample_weight"), dtype=np.float64)
    return aligned(np.ascontiguousarray(weights if weights.ndim else np.full(n_rows, weights)))


def rows_of(block: object, dtype: np.dtype[Any]) -> Rows:
    """Return the rows of a partition, which was checked, as kernels take them."""
    return aligned(np.ascontiguousarray(check_numbers(block, "X"), dtype=dtype))


def _pair(weight: object, beside: object) -> tuple[object, object]:
    return weight, beside


def _go_over(dtype: np.dtype[Any], make: MakePass[R], block: object, weight: object) -> R:
    """Run a pass over the rows of a partition, which was checked."""
    rows = rows_of(block, dtype)
    # One thread: a worker runs as many tasks at a time as it has threads, and kernels release the
    # GIL. Threads of their own for each would be as many again, for the same cores.
    running: Pass[R] = make(1)
    running.add(rows, weights_of(weight, len(rows)))
    return running.result()


def _head(dtype: np.dtype[Any], block: object) -> Rows:
    first: Rows = np.array(check_numbers(block, "X")[:GROUP_ROWS], dtype=dtype, order="C")
    return first


def _reservoir(most: int, seed: int, _n_threads: int | None) -> Reservoir:
    return Reservoir(most, seed)


def _block_by_row(
    block: Rows,
    told: Any,
    function: Callable[..., Any],
    empty: Rows,
    allow_nan: bool,
    names: Sequence[str] | None,
    block_id: tuple[int, ...],
) -> Any:
    if not len(block):
        return empty
    rows = check_rows(
        block,
        name=f"X of partition {block_id[0]}",
        allow_nan=allow_nan,
        place=partial(place, names=names),
    )
    own = () if told is None else (told,)
    return function(rows, 1, *own)  # one thread, as in `_go_over`
