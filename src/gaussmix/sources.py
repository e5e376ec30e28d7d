"""Rows in files: `.npy`, `.csv` and `.tsv`, read for the command line and written back."""

import csv
import itertools
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from gaussmix.atomic import replacing, shown_ending

ENDINGS = (".npy", ".csv", ".tsv")
BLOCK_ROWS = 1 << 17  # rows worked on at once: enough for all threads, a few MB each

Array = NDArray[Any]


class DataFileError(ValueError):
    """A data file cannot be read or written as asked; the message names the file and the place."""


@dataclass(frozen=True)
class Table:
    """Rows (N, D) of a file and, when it has a header, the names of its columns.

    It is a frame of sorts: estimators find its names in `columns`, and its rows by `np.asarray`.
    """

    rows: Array
    columns: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.rows)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Array:
        return np.array(self.rows, dtype=dtype, copy=copy, subok=True)  # type: ignore[call-overload, no-any-return]

    def blocks(self) -> Iterator["Table"]:
        """Return the table in parts of bounded size, views of it."""
        return (Table(part, self.columns) for part in blocks(self.rows))


def read_table(path: Path) -> Table:
    """Read the rows of a `.npy` file, memory-mapped, or of a `.csv` or `.tsv` file, as float64.

    A 1-dimensional `.npy` array is one column. A text file may start with a header: a first row
    in which no field is a number.

    Raises
    ------
    DataFileError
        If the ending is not one of those, the path is not a regular file, or the file holds
        anything but a table of numbers.
    OSError
        If the file cannot be opened.
    """
    ending = check_ending(path)
    if not stat.S_ISREG(path.stat().st_mode):  # it is opened twice
        raise DataFileError(f"{path}: a file is wanted, not a folder, a pipe or a device")
    if ending == ".npy":
        return Table(_read_npy(path), None)
    try:
        return _read_text(path)
    except csv.Error as error:
        raise DataFileError(f"{path}: not a table of numbers ({error})") from None
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path}: not UTF-8 text (byte {error.start})") from None


def read_column(path: Path) -> NDArray[np.float64]:
    """Read the single column (N,) of a file, as float64: row weights."""
    rows = read_table(path).rows
    if rows.shape[1] != 1:
        raise DataFileError(f"{path}: one column of numbers is wanted, got {rows.shape[1]}")
    return np.ascontiguousarray(rows[:, 0], dtype=np.float64)


def check_ending(path: Path) -> str:
    """Return a path's ending in lower case; DataFileError unless it is an accepted one."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataFileError(
            f"{path}: the ending must be one of {', '.join(ENDINGS)}, got {shown_ending(path)}"
        )
    return ending


def blocks(rows: Array) -> Iterator[Array]:
    """Return the rows in views of bounded size."""
    return (rows[i : i + BLOCK_ROWS] for i in range(0, len(rows), BLOCK_ROWS))


def write_blocks(
    path: Path,
    parts: Iterable[Array],
    shape: tuple[int, ...],
    names: Sequence[str] | None = None,
) -> None:
    """Write an array of that shape, given in parts along its first axis, whole or not at all.

    Parts are written as they come, so memory stays bounded however long the array is. Numbers are
    written so that they read back the same. Text files start with a header when names are given
    that would read back as one.
    """
    ending = check_ending(path)
    with replacing(path) as file:
        if ending == ".npy":
            _write_npy(file, parts, shape)
        else:
            _write_text(file, parts, names, _delimiter(ending))


def _read_npy(path: Path) -> Array:
    array = _map_npy(path)
    if array.dtype.names is not None:
        fields = ", ".join(array.dtype.names)
        raise DataFileError(
            f"{path}: a structured array with fields {fields}; a plain array of numbers is wanted"
        )
    if array.dtype.kind not in "fiub":
        raise DataFileError(f"{path}: real numbers are wanted, got dtype {array.dtype}")
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataFileError(f"{path}: rows and columns are wanted, got shape {array.shape}")
    return array[:, None] if array.ndim == 1 else array


def _map_npy(path: Path) -> Array:
    with path.open("rb") as file:
        magic = file.read(len(np.lib.format.MAGIC_PREFIX))
    if magic != np.lib.format.MAGIC_PREFIX:
        raise DataFileError(f"{path}: not a .npy file: it starts with {magic!r}")
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # on a damaged header the parsers raise errors of many kinds
        raise DataFileError(f"{path}: not a .npy array of numbers ({error})") from None
    return array


def _read_text(path: Path) -> Table:
    delimiter = _delimiter(path.suffix.lower())
    with _open_text(path) as file:
        first = next((row for _, row in _rows(file, delimiter)), None)
    if first is None:
        raise DataFileError(f"{path}: the file is empty; rows of numbers are wanted")
    header = all(_number(field) is None for field in first)
    rows = _parse(path, delimiter, header)
    if rows is not None and len(rows) == 0:
        raise DataFileError(f"{path}: no rows below the header; rows of numbers are wanted")
    if rows is None or rows.shape[1] != len(first) or not np.isfinite(rows).all():
        raise DataFileError(_first_fault(path, delimiter, header))
    return Table(rows, _names(path, first) if header else None)


def _names(path: Path, header: list[str]) -> tuple[str, ...]:
    names = tuple(field.strip() for field in header)
    for column, name in enumerate(names, 1):
        if not name:
            raise DataFileError(
                f"{path}, line 1, column {column}: the column has no name; name it, or remove it "
                "if it is a row index"
            )
        if name in names[: column - 1]:
            raise DataFileError(f"{path}, line 1, column {column}: the name {name!r} occurs twice")
    return names


def _parse(path: Path, delimiter: str, header: bool) -> NDArray[np.float64] | None:
    """All rows by NumPy's fast reader; None if it meets anything but equally long rows."""
    with _open_text(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no data: the caller says so
        lines = (line for line in file if delimiter in line or not line.isspace())
        if header:
            next(lines)
        try:
            rows: NDArray[np.float64] = np.loadtxt(
                lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2
            )
        except UnicodeDecodeError:
            raise
        except ValueError:
            return None
    return rows


def _first_fault(path: Path, delimiter: str, header: bool) -> str:
    """Says where the first field or row is that is not as it should be."""
    with _open_text(path) as file:
        rows = _rows(file, delimiter)
        start = next(rows)
        first = start[1]
        for line, row in rows if header else itertools.chain([start], rows):
            if len(row) != len(first):
                return (
                    f"{path}, line {line}: {len(row)} {_separated(delimiter)} fields, "
                    f"where {len(first)} are wanted"
                )
            for column, field in enumerate(row, 1):
                if _number(field) is None or not np.isfinite(float(field)):
                    name = f" ({first[column - 1].strip()})" if header else ""
                    return (
                        f"{path}, line {line}, column {column}{name}: "
                        f"a finite number is wanted, got {_shown_field(field, delimiter)}"
                    )
    return f"{path}: not a table of numbers"


def _rows(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields of the rows that are not blank."""
    reader = csv.reader(file, delimiter=delimiter)
    return ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())


def _shown_field(field: str, delimiter: str) -> str:
    """Show a field that is no number, and what separates fields if it holds something that may."""
    separators = set(" ,;\t") & set(field.strip())
    return f"{field!r}" + (f"; {_separated(delimiter)} fields are wanted" if separators else "")


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)  # Python alone reads 1_000 as a number
    except ValueError:
        return None


def _open_text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(ending: str) -> str:
    return "\t" if ending == ".tsv" else ","


def _separated(delimiter: str) -> str:
    return "tab-separated" if delimiter == "\t" else "comma-separated"


def _is_header(names: Sequence[str]) -> bool:
    """Whether the names, written as a first row, would be read as the same names."""
    return len(set(names)) == len(names) and all(
        name.strip().splitlines() == [name] and _number(name) is None for name in names
    )


def _header_line(names: Sequence[str], delimiter: str) -> str:
    quoted = ('"' + n.replace('"', '""') + '"' if set(n) & {delimiter, '"'} else n for n in names)
    return delimiter.join(quoted)


def _text_format(dtype: np.dtype[Any]) -> str:
    if dtype.kind in "iub":
        return "%d"
    return "%.9g" if dtype == np.float32 else "%.17g"


def _write_npy(file: BinaryIO, parts: Iterable[Array], shape: tuple[int, ...]) -> None:
    # written and not memory-mapped: a full disk is then an error and not a SIGBUS
    for i, part in enumerate(parts):
        if i == 0:
            descr = np.lib.format.dtype_to_descr(part.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(np.ascontiguousarray(part).data)


def _write_text(
    file: BinaryIO, parts: Iterable[Array], names: Sequence[str] | None, delimiter: str
) -> None:
    if names is not None and _is_header(names):
        file.write((_header_line(names, delimiter) + "\n").encode())
    for part in parts:
        np.savetxt(file, part, fmt=_text_format(part.dtype), delimiter=delimiter)
