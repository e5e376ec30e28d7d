"""Rows on their way to a model: without those that have gaps, and with a word on how many."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from gaussmix.display.progress import Progress
from gaussmix.io.blocks import Block
from gaussmix.io.readers import Array, DataError
from gaussmix.io.scans import Scan, Table
from gaussmix.io.sources import Source

Answer = Callable[[Table], Array]


class Wrapped:
    """A source that is read through: what it says of itself is what that says."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.n_features, self.columns = source.n_features, source.columns
        self.n_samples, self.dtype = source.n_samples, source.dtype

    def __str__(self) -> str:
        return str(self._source)


class Complete(Wrapped):
    """The rows of a source that have no gaps.

    Attributes
    ----------
    n_left_out : int
        Number of the others, once the rows were read.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.n_samples = None
        self.n_left_out = 0

    def blocks(self) -> Iterator[Block]:
        """Read the rows; DataError if all have gaps."""
        self.n_left_out = n_rows = 0
        for rows, weight in self._source.blocks():
            gaps = has_gaps(rows)
            self.n_left_out += int(gaps.sum())
            n_rows += len(rows)
            if not gaps.any():
                yield Block(rows, weight)
            elif not gaps.all():
                yield Block(rows[~gaps], None if weight is None else weight[~gaps])
        if self.n_left_out == n_rows:
            raise DataError(f"{self}: every row lacks a value; rows without gaps are wanted")


class Watched(Wrapped):
    """Rows of a file, or some of them, that tell how many were read."""

    def __init__(self, source: Scan, tell: Progress) -> None:
        super().__init__(source)
        self.place = source.place
        self._tell = tell

    def blocks(self) -> Iterator[Block]:
        """Read the rows."""
        done = 0
        for block in self._source.blocks():
            yield block
            done += len(block.rows)
            self._tell(done, self.n_samples or done)


def has_gaps(rows: Array) -> NDArray[np.bool_]:
    """Say which rows (n, D) lack a value."""
    return np.asarray(np.isnan(rows).any(axis=1))


def in_place(answer: Answer) -> Answer:
    """Return an answer that leaves rows with gaps in their places.

    -1 or NaN stands for them, and an empty text among names.
    """

    def answered(table: Table) -> Array:
        gaps = has_gaps(table.rows)
        if not gaps.any():
            return answer(table)
        rows = table.rows[~gaps] if not gaps.all() else np.zeros_like(table.rows[:1])
        known = answer(Table(rows, table.columns))
        blank = {"i": -1, "u": -1, "U": ""}.get(known.dtype.kind, np.nan)
        whole = np.full((len(gaps), *known.shape[1:]), blank, known.dtype)
        if not gaps.all():
            whole[~gaps] = known
        return whole

    return answered
