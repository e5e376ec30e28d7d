"""What a fit reads: rows in memory, in files or on a cluster, which passes go over in turn."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.data.subsample import Sample, subsample
from gaussmix.io import sinks
from gaussmix.io.blocks import Block
from gaussmix.io.readers import block_rows

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Pass(Protocol[R_co]):
    """Adds up something over rows; it can be pickled before the first are added.

    Results of the parts of a data set add up, by +, to that of the whole. What many small parts
    of one pass give has the same bits however the rows are cut at multiples of GROUP_ROWS.
    """

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Take in the next rows."""

    def result(self) -> R_co:
        """Return the sums over all rows so far."""


MakePass: TypeAlias = Callable[[int | None], Pass[R]]
"""Makes a pass that runs on a number of threads; None leaves the choice to the library."""


ByRow: TypeAlias = Callable[[Rows, int | None], NDArray[Any]]
"""Rows and a number of threads -> a result for each row, (n,) or (n, m). It can be pickled."""


class Data(Protocol):
    """Rows and their weights: all that the rest of the library knows of them."""

    n_threads: int | None

    @property
    def gaps(self) -> bool:
        """Whether rows may lack values, which are NaN then."""

    @property
    def n_features(self) -> int:
        """Number of columns."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the rows."""

    @property
    def n_samples(self) -> int:
        """Number of rows; to know it may take a pass."""

    @property
    def weight(self) -> float:
        """Summed weight of the rows, their number without weights; to know it may take a pass."""

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once."""

    def blocks(self) -> Iterator[Block]:
        """Return the rows in order, in blocks. All but the last are whole groups of GROUP_ROWS."""

    def head(self) -> Rows:
        """Return the first rows, GROUP_ROWS of them or as many as there are."""

    def sample(
        self, n_groups: int, random_state: np.random.RandomState, most: int | None = None
    ) -> Sample:
        """Return the rows that a start looks at: see `gaussmix.data.subsample.subsample`."""

    def by_row(self, function: ByRow) -> Any:
        """Return what a function says of each row, as an array; a lazy one where rows are lazy."""

    def write_by_row(
        self, function: ByRow, path: PathLike, names: Sequence[str] | None = None
    ) -> Path:
        """Write what a function says of each row to a file, block by block, and return its path."""


class InMemory:
    """Rows of an array.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Finite, C-contiguous, float32 or float64.
    sample_weight : ndarray of shape (n_samples,), float64, or None
    n_threads : int or None
    gaps : bool
        Whether rows lack values, which are NaN then.
    """

    def __init__(
        self,
        rows: Rows,
        sample_weight: FloatArray | None,
        n_threads: int | None = None,
        *,
        gaps: bool = False,
    ) -> None:
        self.rows = rows
        self.sample_weight = sample_weight
        self.n_threads = n_threads
        self.gaps = gaps
        self.n_samples, self.n_features = rows.shape
        self.dtype = rows.dtype

    @property
    def weight(self) -> float:
        """Summed weight of the rows, their number without weights."""
        if self.sample_weight is None:
            return float(self.n_samples)
        return float(self.sample_weight.sum())

    def total(self, make: MakePass[R]) -> R:
        """Go over all rows once."""
        running = make(self.n_threads)
        running.add(self.rows, self.sample_weight)
        return running.result()

    def blocks(self) -> Iterator[Block]:
        """Return the rows, all in one block."""
        yield Block(self.rows, self.sample_weight)

    def head(self) -> Rows:
        """Return the first rows."""
        return self.rows[:GROUP_ROWS]

    def sample(
        self, n_groups: int, random_state: np.random.RandomState, most: int | None = None
    ) -> Sample:
        """Return the rows that a start looks at."""
        return subsample(self.rows, self.sample_weight, n_groups, random_state, most)

    def by_row(self, function: ByRow) -> NDArray[Any]:
        """Return what a function says of each row."""
        return function(self.rows, self.n_threads)

    def write_by_row(
        self, function: ByRow, path: PathLike, names: Sequence[str] | None = None
    ) -> Path:
        """Write what a function says of each row to a file, block by block."""
        # sparse rows have fewer values than features
        step = block_rows(max(1, self.rows.size // self.n_samples), self.rows.itemsize)
        blocks = (self.rows[start : start + step] for start in range(0, self.n_samples, step))
        sinks.write(path, (function(block, self.n_threads) for block in blocks), names)
        return Path(path)
