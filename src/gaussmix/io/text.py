"""Rows of `.csv` and `.tsv` files."""

import csv
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.io.blocks import Block
from gaussmix.io.readers import Choice, DataError, Reader, block_rows, join, located


class TextReader(Reader):
    """Rows of a text file, which may start with a header: a first row with no number in it."""

    n_samples = None

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._delimiter = delimiter_of(path)
        first, *others = self._first_rows()
        self._header = all(number(field) is None for field in first)
        if self._header and not others:
            raise DataError(f"{path}: no rows below the header; rows of numbers are wanted")
        self.columns = _names(path, first) if self._header else None
        self.n_columns = len(first)

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float64, whatever the column."""
        return np.dtype(np.float64)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns; what stands in others need not be numbers."""
        return located(self._path, self._read(choice))

    def _read(self, choice: Choice) -> Iterator[Block]:
        n_rows, row = block_rows(self.n_columns), 0
        with _open(self._path) as file:
            lines = (line for line in file if self._delimiter in line or not line.isspace())
            if self._header:
                next(lines)
            try:
                while chunk := list(itertools.islice(lines, n_rows)):
                    yield self._parsed(chunk, choice)
                    row += len(chunk)
            except UnicodeDecodeError:
                raise DataError(f"{self._path}, after row {row}: not UTF-8 text") from None

    def _parsed(self, lines: list[str], choice: Choice) -> Block:
        """Return rows by NumPy's fast reader; where it fails, say why."""
        wanted = choice.columns
        rows = self._numbers(lines, wanted) if all(map(self._is_whole, lines)) else None
        if rows is None or len(rows) != len(lines) or not np.isfinite(rows).all():
            raise DataError(self._first_fault(wanted))
        return join(list(rows.T), choice)

    def _numbers(self, lines: list[str], wanted: Sequence[int]) -> FloatArray | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                return np.loadtxt(
                    lines,
                    delimiter=self._delimiter,
                    comments=None,
                    quotechar='"',
                    usecols=wanted,
                    ndmin=2,
                )
            except ValueError:
                return None

    def _is_whole(self, line: str) -> bool:
        """Whether a line has as many fields as the first; NumPy looks at the wanted ones alone."""
        if '"' in line:
            return len(next(csv.reader([line], delimiter=self._delimiter))) == self.n_columns
        return line.count(self._delimiter) == self.n_columns - 1

    def _first_rows(self) -> list[list[str]]:
        with _open(self._path) as file:
            try:
                rows = [row for _, row in itertools.islice(self._rows(file), 2)]
            except csv.Error as error:
                raise DataError(f"{self._path}: not a table of numbers ({error})") from None
            except UnicodeDecodeError as error:
                raise DataError(f"{self._path}: not UTF-8 text (byte {error.start})") from None
        if not rows:
            raise DataError(f"{self._path}: the file is empty; rows of numbers are wanted")
        return rows

    def _first_fault(self, wanted: Sequence[int]) -> str:
        """Say where the first field or row is that is not as it should be."""
        with _open(self._path) as file:
            try:
                for line, row in itertools.islice(self._rows(file), int(self._header), None):
                    fault = self._fault(row, wanted)
                    if fault is not None:
                        return f"{self._path}, line {line}{fault}"
            except csv.Error as error:
                return f"{self._path}: not a table of numbers ({error})"
        return f"{self._path}: not a table of numbers"

    def _fault(self, row: list[str], wanted: Sequence[int]) -> str | None:
        if len(row) != self.n_columns:
            kind = _separated(self._delimiter)
            return f": {len(row)} {kind} fields, where {self.n_columns} are wanted"
        for j in sorted(wanted):
            if number(row[j]) is None or not np.isfinite(float(row[j])):
                name = "" if self.columns is None else f" ({self.columns[j]})"
                shown = _shown_field(row[j], self._delimiter)
                return f", column {j + 1}{name}: a finite number is wanted, got {shown}"
        return None

    def _rows(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and fields of the rows that are not blank."""
        reader = csv.reader(file, delimiter=self._delimiter)
        return ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())


def delimiter_of(path: Path) -> str:
    """Return what separates the fields of a file."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def number(field: str) -> float | None:
    """Return the number that a field holds."""
    try:
        return None if "_" in field else float(field)  # Python alone reads 1_000 as a number
    except ValueError:
        return None


def _names(path: Path, header: list[str]) -> tuple[str, ...]:
    names = tuple(field.strip() for field in header)
    for column, name in enumerate(names, 1):
        if not name:
            raise DataError(
                f"{path}, line 1, column {column}: the column has no name; name it, or remove it "
                "if it is a row index"
            )
        if name in names[: column - 1]:
            raise DataError(f"{path}, line 1, column {column}: the name {name!r} occurs twice")
    return names


def _shown_field(field: str, delimiter: str) -> str:
    """Show a field that is no number, and what separates fields if it holds something that may."""
    separators = set(" ,;\t") & set(field.strip())
    return f"{field!r}" + (f"; {_separated(delimiter)} fields are wanted" if separators else "")


def _separated(delimiter: str) -> str:
    return "tab-separated" if delimiter == "\t" else "comma-separated"


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")
