"""Rows in memory: arrays, and frames of pandas and polars, converted block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.conversion import Frame, frame_of, precision
from gaussmix.io.blocks import Block
from gaussmix.io.readers import Array, Choice, Reader, block_rows, join, take


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
    frame = frame_of(data)
    return None if frame is None else FrameReader(frame)
