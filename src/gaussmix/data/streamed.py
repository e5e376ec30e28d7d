"""Rows that are read anew for every pass: from files, frames, functions, larger than memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import GROUP_ROWS, window_groups
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.data.base import ByRow, InMemory, MakePass, R
from gaussmix.data.subsample import Reservoir, Sample, most_rows, stratified
from gaussmix.errors import ParameterError
from gaussmix.io import sinks
from gaussmix.io.blocks import Block, joined
from gaussmix.io.readahead import read_ahead
from gaussmix.io.sources import Source
from gaussmix.model.statistics import Statistics
from gaussmix.validation import check_block, check_sample_weight, check_total_weight, has_nan

HELD_BYTES = 1 << 27
"""Rows that take no more than this stay in memory when they have been read once."""


class Streamed:
    """Rows of a source, given to a pass in whole groups, so that the bits are those of an array.

    The first reading to the end checks all values and counts. What takes more than HELD_BYTES is
    read again by every pass, which sees to it that there are as many rows as then.

    Parameters
    ----------
    source : Source
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the rows, of a source that has none.
    n_threads : int or None
    allow_nan : bool
        Whether values may be missing; they are NaN then.
    """

    def __init__(
        self,
        source: Source,
        sample_weight: object,
        n_threads: int | None,
        *,
        allow_nan: bool = False,
    ) -> None:
        self.source = source
        self.gaps = allow_nan
        self.n_threads = n_threads
        self.n_features = source.n_features
        self.dtype = source.dtype
        self._given = self._checked_weight(sample_weight)
        self._weighted = sample_weight is not None
        self._counted: tuple[int, float] | None = None
        self._held: list[Block] | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows; a source that does not know it is read."""
        known = self.source.n_samples
        return self._count()[0] if known is None else known

    @property
    def weight(self) -> float:
        """Summed weight of the rows, their number without weights."""
        return self._count()[1]

    def total(self, make: MakePass[R]) -> R:
        """Read all rows once."""
        running = make(self.n_threads)
        for rows, weight in self.blocks():
            running.add(rows, weight)
        result = running.result()
        if isinstance(result, Statistics) and not np.isfinite(result.second).all():
            deque(self._checked(self._read()), 0)  # there may be others than those first checked
        return result

    def blocks(self) -> Iterator[Block]:
        """Read the rows in order, in whole groups of GROUP_ROWS, or windows, but for the last."""
        n_groups = window_groups(self.n_features) if self.gaps else 1
        return whole_groups(self._read(), n_groups)

    def in_memory(self) -> InMemory | None:
        """Return the rows as one array if they are few enough to be held, else None."""
        if (self.source.n_samples or 0) > self._most_held:
            return None
        self._count()
        if self._held is None:
            return None
        rows, weight = joined(self._held)
        return InMemory(rows, weight, self.n_threads, gaps=self.gaps and has_nan(rows))

    def head(self) -> Rows:
        """Return the first rows."""
        with read_ahead(self.source.blocks()) as blocks:
            return next(whole_groups(blocks)).rows[:GROUP_ROWS].copy()

    def sample(
        self, n_groups: int, random_state: np.random.RandomState, most: int | None = None
    ) -> Sample:
        """Return the rows that a start looks at: those of an array, unless weights are read too."""
        n_rows = most or most_rows(n_groups)
        n_samples = self.n_samples
        if n_samples <= n_rows:
            return Sample(*joined(list(self._read())))
        if self._given is None and self._has_weights():
            return self._drawn(n_rows, random_state)
        rows, counts = stratified(n_samples, self._given, n_groups, random_state, n_rows)
        return Sample(self._picked(rows), counts)

    def by_row(self, function: ByRow) -> NDArray[Any]:
        """Return what a function says of each row, in one array."""
        return np.concatenate(list(self._results(function)))

    def write_by_row(
        self, function: ByRow, path: PathLike, names: Sequence[str] | None = None
    ) -> Path:
        """Write what a function says of each row to a file, block by block."""
        sinks.write(path, self._results(function), names)
        return Path(path)

    def _results(self, function: ByRow) -> Iterator[NDArray[Any]]:
        return (function(block.rows, self.n_threads) for block in self.blocks())

    @property
    def _most_held(self) -> int:
        """Number of rows that take HELD_BYTES."""
        return HELD_BYTES // (self.dtype.itemsize * self.n_features)

    def _has_weights(self) -> bool:
        self._count()
        return self._weighted

    def _drawn(self, n_rows: int, random_state: np.random.RandomState) -> Sample:
        reservoir = Reservoir(n_rows, int(random_state.randint(2**31)))
        for rows, weight in self._read():
            reservoir.add(rows, weight)
        return reservoir.sample()

    def _picked(self, places: NDArray[np.int64]) -> Rows:
        """Return the rows at these places, which are in order."""
        picked, start = np.empty((len(places), self.n_features), self.dtype), 0
        for rows, _ in self._read():
            first, last = np.searchsorted(places, (start, start + len(rows)))
            picked[first:last] = rows[places[first:last] - start]
            start += len(rows)
        return picked

    def _count(self) -> tuple[int, float]:
        if self._counted is None:
            deque(self._read(), 0)
        assert self._counted is not None
        return self._counted

    def _read(self) -> Iterator[Block]:
        """Return the blocks with their weights, from memory if they were held."""
        if self._held is not None:
            return iter(self._held)
        return self._read_again() if self._counted else self._read_first()

    def _read_first(self) -> Iterator[Block]:
        """Read all blocks, and check, count and hold them."""
        held: list[Block] = []
        n_samples, weight = 0, 0.0
        known = self.source.n_samples
        for block in self._checked(self._from_source()):
            n_samples += len(block.rows)
            weight += float(len(block.rows) if block.weight is None else block.weight.sum())
            if max(known or 0, n_samples) <= self._most_held:
                held.append(block)
            else:
                held.clear()
            yield block
        self._finish(n_samples, weight)
        if n_samples <= self._most_held:
            self._held = held

    def _read_again(self) -> Iterator[Block]:
        assert self._counted is not None
        n_samples = 0
        for block in self._from_source():
            n_samples += len(block.rows)
            yield block
        self._check_length(n_samples, self._counted[0])

    def _checked(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Check the values of blocks, as they come."""
        name, row = str(self.source), 0
        place = getattr(self.source, "place", None)  # a `Source` of anybody's need not have it
        for block in blocks:
            check_block(*block, name, row, place, allow_nan=self.gaps)
            row += len(block.rows)
            yield block

    def _from_source(self) -> Iterator[Block]:
        n_samples = 0
        with read_ahead(self.source.blocks()) as blocks:
            for block in blocks:
                yield self._with_weight(block, n_samples)
                n_samples += len(block.rows)

    def _with_weight(self, block: Block, start: int) -> Block:
        if block.weight is not None:
            if self._given is not None:
                raise ParameterError(
                    f"sample_weight is given, but {self.source} has weights of its own: give one"
                )
            self._weighted = True
        if self._given is None:
            return block
        return Block(block.rows, self._given[start : start + len(block.rows)])

    def _checked_weight(self, sample_weight: object) -> FloatArray | None:
        if sample_weight is None:
            return None
        known = self.source.n_samples
        if known is None:
            known = np.size(sample_weight)  # type: ignore[arg-type]
        return check_sample_weight(sample_weight, known)

    def _finish(self, n_samples: int, weight: float) -> None:
        """Remember what the first reading found."""
        if n_samples == 0:
            raise ValueError(f"{self.source} has no rows; at least one is wanted")
        if self._given is not None and len(self._given) != n_samples:
            raise ValueError(
                f"sample_weight must have one weight per row, got {len(self._given)} weights for "
                f"the {n_samples} rows of {self.source}"
            )
        self._check_length(n_samples, self.source.n_samples)
        if self._weighted:
            check_total_weight(weight)
        self._counted = n_samples, weight

    def _check_length(self, n_samples: int, wanted: int | None) -> None:
        if wanted is not None and n_samples != wanted:
            raise ValueError(
                f"{self.source} has changed while it was read: it has {n_samples} rows, where it "
                f"had {wanted}"
            )


def whole_groups(blocks: Iterable[Block], n_groups: int = 1) -> Iterator[Block]:
    """Cut blocks of any length anew, into such of whole groups of GROUP_ROWS but for the last.

    With `n_groups` they are of so many groups, or a multiple. What is left of a block waits for the
    rows that fill them: no more than that are copied.
    """
    size = n_groups * GROUP_ROWS
    waiting: list[Block] = []
    n_waiting = 0
    for block in blocks:
        if n_waiting:
            head, block = _split(block, size - n_waiting)
            waiting.append(head)
            n_waiting += len(head.rows)
            if n_waiting < size:
                continue
            yield joined(waiting)
        whole, rest = _split(block, len(block.rows) // size * size)
        if len(whole.rows):
            yield whole
        waiting, n_waiting = [rest], len(rest.rows)
    if n_waiting:
        yield joined(waiting)


def _split(block: Block, n_rows: int) -> tuple[Block, Block]:
    rows, weight = block
    if weight is None:
        return Block(rows[:n_rows], None), Block(rows[n_rows:], None)
    return Block(rows[:n_rows], weight[:n_rows]), Block(rows[n_rows:], weight[n_rows:])
