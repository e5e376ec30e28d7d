"""Types that the whole library names: arrays, what users pass for them, and named choices."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

Rows: TypeAlias = NDArray[np.floating]
"""Rows of data, (N, D), or what has a value per row: float32 or float64."""

Labels: TypeAlias = NDArray[np.int32]
"""The component or cluster of each row, (N,)."""

Seed: TypeAlias = int | np.random.RandomState | np.random.Generator | None
"""What `random_state` may be."""

PathLike: TypeAlias = str | os.PathLike[str]

Structure: TypeAlias = Literal["full", "tied", "diag", "spherical"]
"""A form of covariances that the kernels know."""

CovarianceType: TypeAlias = Literal[
    "full", "tied", "diag", "spherical", "tied-diag", "tied-spherical",
    "EII", "VII", "EEI", "VEI", "EVI", "VVI",
    "EEE", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV", "VVV",
]  # fmt: skip
"""What users write as `covariance_type`."""

InitMethod: TypeAlias = Literal[
    "auto", "kmeans", "k-means++", "random", "random_from_data", "hierarchical", "emem"
]
"""How a mixture's start groups the rows."""

Algorithm: TypeAlias = Literal["em", "incremental", "truncated"]
"""How a mixture is fitted."""

MissingValues: TypeAlias = Literal["error", "marginalize"]
"""What becomes of rows in which values are missing."""

Acceleration: TypeAlias = Literal["squarem", "anderson"]
"""How EM jumps ahead."""

CentersMethod: TypeAlias = Literal["k-means++", "random"]
"""How K-means' first centres are chosen."""

KMeansAlgorithm: TypeAlias = Literal["lloyd", "elkan"]

MergeCriterion: TypeAlias = Literal["entropy", "bhattacharyya"]
"""What components are merged by."""

DistanceKind: TypeAlias = Literal["bhattacharyya", "hellinger", "kl"]
"""A distance between components."""

PlotKind: TypeAlias = Literal["classification", "uncertainty", "density", "pairs", "components"]
"""What a picture of a mixture shows."""

SelectionCriterion: TypeAlias = Literal["bic", "aic", "icl", "cv"]
"""What the best of several mixtures is chosen by."""


class SupportsArray(Protocol):
    """An array, or what NumPy makes one of: a frame of pandas or polars, a tensor."""

    def __array__(self) -> NDArray[Any]: ...


class SupportsBlocks(Protocol):
    """What `scan` returns, or another source of rows that are read block by block."""

    def blocks(self) -> Iterator[Any]: ...


class SupportsArrow(Protocol):
    """A table, record batch, dataset or file of pyarrow."""

    @property
    def schema(self) -> Any: ...


class SupportsDask(Protocol):
    """A dask array, dataframe or Delayed."""

    def __dask_graph__(self) -> Any: ...


class SupportsKey(Protocol):
    """A Delayed or Future of Dask."""

    @property
    def key(self) -> Any: ...


class SupportsSparse(Protocol):
    """A sparse matrix of SciPy."""

    @property
    def nnz(self) -> Any: ...
    def toarray(self) -> Any: ...


DaskLike: TypeAlias = SupportsDask | Sequence[SupportsKey]
"""Rows with Dask's workers, of which results are lazy."""

TableLike: TypeAlias = SupportsArray | SupportsBlocks | SupportsArrow | PathLike
"""A table of rows, in memory or in a file."""

RowsLike: TypeAlias = (
    TableLike
    | SupportsDask
    | Sequence[Sequence[SupportsFloat] | TableLike | tuple[SupportsArray, Any] | SupportsKey]
    | Callable[[], Iterable[Any]]
)
"""What estimators take for X: a table, rows of numbers, a list of tables or of pairs of a table and
weights, a function that returns an iterator of tables, or a Dask collection. There is one Sequence
in it: of several mypy cannot choose one for lists that mix int and float."""

WeightLike: TypeAlias = (
    SupportsFloat | SupportsArray | SupportsDask | Sequence[SupportsFloat | SupportsKey] | None
)
"""What estimators take for `sample_weight`."""

CentersLike: TypeAlias = SupportsArray | Sequence[Sequence[SupportsFloat] | SupportsArray]
"""A row of numbers for each cluster."""

NumbersLike: TypeAlias = SupportsArray | Sequence[Any]
"""Numbers of any shape, if not a single one."""
