"""Fits on many machines: the rows are the partitions of a Dask collection and stay where they lie.

Every partition gets a pass of its own, on the worker that holds it, and the results, a few numbers
for each component, are added up in a tree. Nothing but their sum comes to the client.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from operator import add, or_
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np

from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.data.base import ByRow, MakePass, Pass
from gaussmix.data.subsample import Reservoir, Sample, most_rows
from gaussmix.errors import ParameterError, warn
from gaussmix.io.blocks import Block
from gaussmix.validation import check_numbers, check_rows, check_sample_weight, check_total_weight

FAN_IN = 8
"""Results added by one task. A task costs the scheduler more than a sum of a few small results."""

ANSWER_SECONDS = 10.0  # that a scheduler has to answer

NOT_INSTALLED = "Dask is needed for this; install it with: pip install 'gaussmix[dask]'"

R = TypeVar("R")
Model = TypeVar("Model", bound=Any)


class Parts(NamedTuple):
    """Partitions of a collection: their keys, and the graph that makes them."""

    keys: Sequence[Any]
    graph: dict[Any, Any]


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
    ) -> None:
        self.n_threads = n_threads
        self._client = client
        self._collection = _rows_collection(X)
        self._rows = _parts(self._collection)
        self._weighted = sample_weight is not None
        self._weights = _weight_parts(sample_weight, self._collection, len(self._rows.keys))
        self._sources = self._rows.graph | self._weights.graph

    @cached_property
    def _filled(self) -> "Filled":
        """What the first look at all partitions finds; it checks all values."""
        summary: Summary = self._sum(
            _summary, range(len(self._rows.keys)), self._rows, self._weights
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
    def n_features(self) -> int:
        """Number of columns."""
        if isinstance(self._collection, list) or np.isnan(self._collection.shape[1]):
            return self._filled.summary.n_features
        return int(self._collection.shape[1])

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return sum(self._filled.summary.counts)

    @property
    def weight(self) -> float:
        """Summed weight of the rows, their number without weights."""
        return self._filled.summary.weight

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the rows."""
        return np.result_type(*self._filled.summary.dtypes)

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once."""
        # As a key of its own what makes the passes, the parameters above all, is sent to one
        # worker, and by workers to each other, once each. Scattered it would be as fast, but lost
        # with the worker that holds it; a graph brings it back.
        key = f"gaussmix-parameters-{uuid4().hex}"
        go_over, (_, rows, weights) = partial(_go_over, self.dtype), self._filled
        # They may well be larger than what Dask takes for data sent by mistake.
        with _dask().config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            result: R = self._sum(go_over, [key] * len(rows.keys), rows, weights, {key: make})
        return result

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
        rows: Rows = self._run({name: (first, self._filled.rows.keys[0])}, name)
        return rows

    def sample(
        self, n_groups: int, random_state: np.random.RandomState, most: int | None = None
    ) -> Sample:
        """Return a random sample of the rows, or all, in order, if there are no more than `most`.

        A reservoir is filled from every partition, and they are added up.
        """
        n_rows = most or most_rows(n_groups)
        _, rows, weights = self._filled
        seeds = np.zeros(len(rows.keys), dtype=np.uint32)
        if self.n_samples > n_rows:  # else nothing is drawn, as from rows in memory
            seeds = random_state.randint(2**32, size=len(seeds), dtype=np.uint32)
        makers = [partial(_reservoir, n_rows, int(seed)) for seed in seeds]
        found: Reservoir = self._sum(partial(_go_over, self.dtype), makers, rows, weights)
        return found.sample()

    def by_row(self, function: ByRow) -> Any:
        """Return what a function says of each row: a lazy dask array with the chunks of X."""
        array = self._collection
        if isinstance(array, list):
            raise TypeError(
                "X must be a dask array or dataframe for results by row, got a list of "
                f"{len(array)} Delayed or Future: dask.array.from_delayed makes arrays of them"
            )
        single = array.dtype.kind == "f" and array.dtype.itemsize == 4
        one = np.zeros((1, self.n_features), dtype=np.float32 if single else np.float64)
        like = function(one, 1)
        chunks = array.chunks[:1] if like.ndim == 1 else (array.chunks[0], like.shape[1:])
        return array.map_blocks(
            _block_by_row,
            _dask().delayed(function, traverse=False),
            like[:0],
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

    def _sum(
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
        root = _add_tree(graph, list(graph))
        return self._run(graph | (shared or {}), root)

    def _run(self, graph: dict[Any, Any], key: Any) -> Any:
        """Run a graph that hangs on those of the partitions, and return what the key stands for."""
        return _compute(self._sources | graph, key, self._client)


def data(
    X: Any, sample_weight: Any = None, n_threads: int | None = None, client: Any = None
) -> DaskData:
    """Return the rows of a Dask collection, checked, for a fit: see `DaskData`."""
    found = DaskData(X, sample_weight, n_threads, client)
    assert found.n_samples > 0, "the first look has checked this"
    return found


def is_dask(X: object) -> bool:
    """Whether X is a Dask collection, or a list of Delayed or Future; imports nothing."""
    first = X[0] if isinstance(X, list | tuple) and X else X
    return type(first).__module__.partition(".")[0] in ("dask", "dask_expr", "distributed")


def fit(model: Model, X: Any, sample_weight: Any = None, client: Any = None) -> Model:
    """Fit a model to the rows of a Dask collection, where they lie.

    Parameters
    ----------
    model : GaussianMixture or KMeans
    X : dask array or dataframe of shape (n_samples, n_features), or list of Delayed or Future
        Persisted, if the workers' memory holds it: every iteration reads all rows.
    sample_weight : dask array or series of shape (n_samples,), optional
        Weights of the rows, with the partitions of X.
    client : distributed.Client, optional
        Of the cluster to fit on. By default the current client, or else Dask's scheduler on
        threads of this process.

    Returns
    -------
    The model, fitted.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError, ValueError
        As the model's own `fit` does.

    Examples
    --------
    >>> import dask.array as da
    >>> import gaussmix
    >>> from gaussmix import distributed
    >>> X = da.random.default_rng(0).normal(size=(100_000, 2), chunks=(25_000, 2)).persist()
    >>> mixture = distributed.fit(gaussmix.GaussianMixture(2, random_state=0), X)
    >>> mixture.means_.shape
    (2, 2)
    """
    _dask()
    with nullcontext() if client is None else client.as_current():
        model.fit(X, sample_weight=sample_weight)
    return model


def connect(address: str, timeout: float = ANSWER_SECONDS) -> Any:
    """Return a client of the Dask scheduler at an address, to be handed to `fit`.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``.
    timeout : float
        Seconds that it has to answer.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ConnectionError
        If there is no scheduler at the address, or it does not answer in time.

    Warns
    -----
    UserWarning
        If the scheduler has no workers yet: a fit will wait for the first.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.comm.registry import get_backend
    except ImportError as error:
        raise ImportError(NOT_INSTALLED) from error
    try:
        if not address:  # Dask would start workers of its own
            raise ValueError("no address")
        scheme, location = parse_address(address)
        get_backend(scheme)  # raises, as the next, where a client would hang
        if scheme != "inproc":
            parse_host_port(location)
        # One that fails would stay the current client, and all later work wait for it.
        client = Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address!r} within {timeout:g} s ({error}). Start one "
            "with 'dask scheduler', and give the address that it prints, such as "
            "tcp://10.0.0.1:8786"
        ) from error
    if not client.scheduler_info()["workers"]:
        warn(
            f"the Dask scheduler at {address} has no workers; a fit waits for the first. Start "
            f"some with 'dask worker {address}'",
            UserWarning,
        )
    return client


def _dask() -> Any:
    try:
        import dask.array
        import dask.delayed
    except ImportError as error:
        raise ImportError(NOT_INSTALLED) from error
    return dask


def _rows_collection(X: Any) -> Any:
    """Return X as a dask array chunked along rows alone, or a list of Delayed."""
    if isinstance(X, list | tuple):
        return [_dask().delayed(part) for part in X]
    array = X.to_dask_array() if _is_frame(X) else X
    if not isinstance(array, _dask().array.Array):
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


def _parts(collection: Any) -> Parts:
    if isinstance(collection, list):
        graphs = (dict(part.__dask_graph__()) for part in collection)
        return Parts([part.key for part in collection], reduce(or_, graphs, {}))
    whole, delayed = collection.__dask_graph__(), collection.to_delayed().ravel()
    keys = [part.key for part in delayed]
    graph = dict(delayed[0].__dask_graph__())  # it is that of all, optimised
    lost = {key: whole[key] for key in keys if key not in graph}  # persisted on a cluster
    return Parts(keys, graph | lost)


def _weight_parts(sample_weight: Any, rows: Any, n_parts: int) -> Parts:
    """Return the partitions of the weights, as many as X has."""
    if sample_weight is None:
        return Parts([None] * n_parts, {})
    if not is_dask(sample_weight):
        if np.ndim(sample_weight) == 0:
            return Parts([float(check_sample_weight(sample_weight, 1)[0])] * n_parts, {})  # type: ignore[index]
        sample_weight = _local_weight(sample_weight, rows)
    parts = _parts(_weight_collection(sample_weight, rows))
    if len(parts.keys) != n_parts:
        raise ValueError(
            f"sample_weight must have the partitions of X, but it has {len(parts.keys)}, and X "
            f"{n_parts}"
        )
    return parts


def _weight_collection(weight: Any, rows: Any) -> Any:
    if isinstance(weight, list | tuple):
        return [_dask().delayed(part) for part in weight]
    array = weight.to_dask_array() if _is_frame(weight) else weight
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
    return _dask().array.from_array(checked, chunks=(rows.chunks[0],))


def _add_tree(graph: dict[Any, Any], keys: list[Any]) -> Any:
    """Add tasks to a graph that add up the results of keys; return the key of their sum."""
    name, level = f"gaussmix-add-{uuid4().hex}", 0
    while len(keys) > 1:
        groups = [keys[i : i + FAN_IN] for i in range(0, len(keys), FAN_IN)]
        keys = [(name, level, i) for i in range(len(groups))]
        graph.update({key: (_add_up, group) for key, group in zip(keys, groups, strict=True)})
        level += 1
    return keys[0]


def _compute(graph: dict[Any, Any], key: Any, client: Any) -> Any:
    dask = _dask()
    from dask.delayed import Delayed

    return dask.compute(Delayed(key, graph), scheduler=client)[0]


def _add_up(results: Sequence[R]) -> R:
    return reduce(add, results)


def _summary(number: int, block: object, weight: object) -> Summary:
    """Check a partition."""
    name = f"X of partition {number}"
    array = check_numbers(block, name)
    if array.ndim == 2 and len(array) == 0:
        return Summary((0,), 0.0, array.shape[1], frozenset())
    rows = check_rows(block, name=name)
    weights = _weight(weight, len(rows), number)
    total = float(len(rows)) if weights is None else float(weights.sum())
    return Summary((len(rows),), total, rows.shape[1], frozenset({rows.dtype}))


def _weight(weight: object, n_rows: int, number: int) -> FloatArray | None:
    """Check the weights of a partition, which may be zero all of them."""
    weights = _weights_of(weight, n_rows)
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


def _weights_of(weight: object, n_rows: int) -> FloatArray | None:
    if weight is None:
        return None
    weights: FloatArray = np.asarray(check_numbers(weight, "sample_weight"), dtype=np.float64)
    return np.ascontiguousarray(weights if weights.ndim else np.full(n_rows, weights))


def _go_over(dtype: np.dtype[Any], make: MakePass[R], block: object, weight: object) -> R:
    """Run a pass over the rows of a partition, which was checked."""
    rows: Rows = np.ascontiguousarray(check_numbers(block, "X"), dtype=dtype)
    # One thread: a worker runs as many tasks at a time as it has threads, and kernels release the
    # GIL. Threads of their own for each would be as many again, for the same cores.
    running: Pass[R] = make(1)
    running.add(rows, _weights_of(weight, len(rows)))
    return running.result()


def _head(dtype: np.dtype[Any], block: object) -> Rows:
    first: Rows = np.array(check_numbers(block, "X")[:GROUP_ROWS], dtype=dtype, order="C")
    return first


def _reservoir(most: int, seed: int, _n_threads: int | None) -> Reservoir:
    return Reservoir(most, seed)


def _block_by_row(block: Rows, function: ByRow, empty: Rows) -> Any:
    # One thread, as in `_go_over`.
    return function(check_rows(block), 1) if len(block) else empty
