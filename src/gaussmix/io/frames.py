"""Rows in memory: arrays, and frames of pandas and polars, converted block by block."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.io.blocks import Block
from gaussmix.io.readers import Array, Choice, Reader, block_rows, join, precision, take

NUMBERS = "fiub"  # kinds of dtype


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


class PandasReader(Reader):
    """A data frame of pandas. Missing values become NaN."""

    def __init__(self, frame: Any) -> None:
        self.name = "pandas frame"
        self.n_samples, self.n_columns = frame.shape
        names = tuple(frame.columns)
        self.columns = names if all(isinstance(name, str) for name in names) else None
        self._frame = frame

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 for what is, float64 for other floats, integers and booleans."""
        kind = self._frame.dtypes.iloc[column]
        if kind.kind not in NUMBERS:
            self.without_numbers(column, f"dtype {kind}")
        return precision(kind)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Convert chosen columns."""
        n_rows = block_rows(len(choice.columns), choice.dtype.itemsize)
        for start in range(0, len(self._frame), n_rows):
            part = self._frame.iloc[start : start + n_rows]
            yield join([_of_pandas(part.iloc[:, column]) for column in choice.columns], choice)


class PolarsReader(Reader):
    """A data frame of polars. Nulls become NaN."""

    def __init__(self, frame: Any) -> None:
        self.name = "polars frame"
        self.n_samples, self.n_columns = frame.shape
        self.columns = tuple(frame.columns)
        self._frame = frame

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 for what is, float64 for other floats, integers and booleans."""
        kind = self._frame.dtypes[column]
        if not (kind.is_float() or kind.is_integer() or str(kind) == "Boolean"):
            self.without_numbers(column, kind)
        return np.dtype(np.float32 if str(kind) == "Float32" else np.float64)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Convert chosen columns."""
        n_rows = block_rows(len(choice.columns), choice.dtype.itemsize)
        for start in range(0, len(self._frame), n_rows):
            part = self._frame.slice(start, n_rows)
            columns = [part.to_series(column).to_numpy() for column in choice.columns]
            yield join(columns, choice)


def reader(data: Any) -> Reader | None:
    """Return a reader of a data frame; None for anything else."""
    package = type(data).__module__.partition(".")[0]
    if package in FRAMES and type(data).__name__ == "DataFrame":
        return FRAMES[package](data)
    return None


def _of_pandas(series: Any) -> Array:
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series)
    values: Array = series.to_numpy(dtype=precision(series.dtype), na_value=np.nan)
    return values


FRAMES: dict[str, Callable[[Any], Reader]] = {"pandas": PandasReader, "polars": PolarsReader}
