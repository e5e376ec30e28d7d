"""Rows in memory: arrays, and frames of pandas and polars, converted block by block."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.io.blocks import Block
from gaussmix.io.conversion import Frame, PolarsFrame, frame_of, precision
from gaussmix.io.readers import (
    Array,
    Choice,
    DataError,
    Reader,
    block_rows,
    join,
    located,
    take,
)


class ArrayReader(Reader):
    """An array (N, D), with weights (N,) if any."""

    columns = None

    def __init__(self, array: Array, weight: FloatArray | None = None, name: str = "array") -> None:
        self.name = name
        self.n_samples, self.n_columns = array.shape
        self.weighted = weight is not None
        self._array = array
        self._weight = weight

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return the precision, that of all columns."""
        return precision(self._array.dtype)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Return views where that can be."""
        n_rows = block_rows(self.n_columns, self._array.dtype.itemsize)
        for start in range(0, len(self._array), n_rows):
            block = take(self._array[start : start + n_rows], choice)
            if self._weight is not None:
                block = Block(block.rows, self._weight[start : start + n_rows])
            yield block


class FrameReader(Reader):
    """A data frame of pandas or polars, or a batch of a lazy one."""

    def __init__(self, frame: Frame) -> None:
        self.name = f"{frame.package} frame"
        self.n_samples, self.n_columns = frame.n_rows, frame.n_columns
        self.columns = frame.names
        self._frame = frame

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 for a column that has it, float64 for other numbers and for objects."""
        found = self._frame.precision(column)
        if found is None:
            self.without_numbers(column, self._frame.kind(column))
        return found

    def read(self, choice: Choice) -> Iterator[Block]:
        """Convert chosen columns; what is missing becomes NaN."""
        n_rows = block_rows(len(choice.columns), choice.dtype.itemsize)
        for start in range(0, self._frame.n_rows, n_rows):
            part = self._frame.part(start, start + n_rows)
            columns = [part.column(column, self.name, start) for column in choice.columns]
            yield join(columns, choice)


def reader(data: Any) -> Reader | None:
    """Return a reader of a data frame; None for anything else."""
    if is_lazy(data):
        return LazyReader(data)
    frame = frame_of(data)
    return None if frame is None else FrameReader(frame)


class LazyReader(Reader):
    """A lazy frame of polars, whose query is run for every reading, in batches."""

    n_samples = None

    def __init__(self, frame: Any) -> None:
        self.name = "polars lazy frame"
        self._frame = frame
        self._errors = (sys.modules["polars"].exceptions.PolarsError,)
        try:
            self._empty = FrameReader(PolarsFrame(frame.head(0).collect()))
        except self._errors as error:
            raise DataError(f"{self.name}: {error}") from error
        self._empty.name = self.name
        self.columns, self.n_columns = self._empty.columns, self._empty.n_columns

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 for a column that has it, float64 for other numbers."""
        return self._empty.dtype(column)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Run the query for the chosen columns, and convert them."""
        return located(self.name, self._read(choice), self._errors)

    def _read(self, choice: Choice) -> Iterator[Block]:
        assert self.columns is not None
        query = self._frame.select([self.columns[column] for column in choice.columns])
        n_rows = block_rows(len(choice.columns), choice.dtype.itemsize)
        n_features = len(choice.features)
        weight = None if choice.weight is None else n_features
        for batch in _batches(query, n_rows):
            reader = FrameReader(PolarsFrame(batch))
            reader.name = self.name
            yield from reader.read(Choice(tuple(range(n_features)), weight, choice.dtype))


def _batches(query: Any, n_rows: int) -> Iterable[Any]:
    """Return the result of a query in frames; before polars had batches, in one."""
    if hasattr(query, "collect_batches"):
        batches: Iterable[Any] = query.collect_batches(chunk_size=n_rows, maintain_order=True)
        return batches
    return [query.collect()]


def is_lazy(data: object) -> bool:
    """Whether something is a lazy frame of polars."""
    kind = type(data)
    return kind.__module__.partition(".")[0] == "polars" and kind.__name__ == "LazyFrame"
