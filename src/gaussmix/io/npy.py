"""Rows of `.npy` files, read and not memory-mapped: the memory they take stays bounded."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gaussmix.io import headers
from gaussmix.io.blocks import Block
from gaussmix.io.conversion import precision
from gaussmix.io.headers import Layout
from gaussmix.io.readers import (
    Array,
    Choice,
    DataError,
    Reader,
    block_rows,
    join,
    located,
)
from gaussmix.io.readers import take as taken


class NpyReader(Reader):
    """Rows of a `.npy` file, of either memory order; a 1-dimensional array is one column."""

    columns = None

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._layout = read_layout(path)
        self.n_samples = self._layout.shape[0]
        self.n_columns = 1 if len(self._layout.shape) == 1 else self._layout.shape[1]

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return the precision, that of all columns."""
        return precision(self._layout.dtype)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns."""
        return located(self._path, self._read(choice))

    def _read(self, choice: Choice) -> Iterator[Block]:
        by_columns = self._layout.fortran_order and self.n_columns > 1
        n_rows = block_rows(self.n_columns, self._layout.dtype.itemsize)
        with self._path.open("rb") as file:
            file.seek(self._layout.offset)
            for start in range(0, self._layout.shape[0], n_rows):
                n = min(n_rows, self._layout.shape[0] - start)
                if by_columns:
                    yield join([self._part(file, j, start, n) for j in choice.columns], choice)
                else:
                    yield taken(self._next(file, (n, self.n_columns), start), choice)

    def _part(self, file: BinaryIO, column: int, start: int, n: int) -> Array:
        """Read rows of a column of an array in Fortran's order."""
        before = column * self._layout.shape[0] + start
        file.seek(self._layout.offset + before * self._layout.dtype.itemsize)
        return self._next(file, (n,), start)

    def _next(self, file: BinaryIO, shape: tuple[int, ...], start: int) -> Array:
        values: Array = np.empty(shape, self._layout.dtype)
        if file.readinto(values.reshape(-1).view(np.uint8)) < values.nbytes:  # type: ignore[attr-defined]
            raise DataError(f"{self._path}: cut short while it was read, after row {start}")
        return values


def read_layout(path: Path) -> Layout:
    """Read the header of a `.npy` file with a table of numbers.

    Raises
    ------
    DataError
        If the file is something else, or shorter than its header says.
    """
    with path.open("rb") as file:
        layout = _header(path, file)
    _check_layout(path, layout)
    rows = layout.shape[0]
    missing = layout.offset + layout.n_bytes - path.stat().st_size
    if missing > 0:
        raise DataError(
            f"{path}: not a .npy array of numbers (its header says {rows} rows, but the last "
            f"{missing} bytes of them are not there)"
        )
    return layout


def _header(path: Path, file: BinaryIO) -> Layout:
    magic = file.read(len(np.lib.format.MAGIC_PREFIX))
    if magic != np.lib.format.MAGIC_PREFIX:
        raise DataError(f"{path}: not a .npy file: it starts with {magic!r}")
    file.seek(0)
    try:
        return headers.read_layout(file)
    except ValueError as error:
        raise DataError(f"{path}: not a .npy array of numbers ({error})") from None


def _check_layout(path: Path, layout: Layout) -> None:
    names, dtype = layout.dtype.names, layout.dtype
    if names is not None:
        raise DataError(
            f"{path}: a structured array with fields {', '.join(names)}; a plain array of numbers "
            "is wanted"
        )
    if dtype.kind not in "fiub":
        found = "Python objects" if dtype.hasobject else f"dtype {dtype}"
        raise DataError(f"{path}: real numbers are wanted, got {found}")
    if len(layout.shape) not in (1, 2) or 0 in layout.shape:
        raise DataError(f"{path}: rows and columns are wanted, got shape {layout.shape}")
