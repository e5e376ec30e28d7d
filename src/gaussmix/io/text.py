"""Rows of `.csv` and `.tsv` files, which may be compressed."""

import bz2
import gzip
import itertools
import lzma
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.io import arrow
from gaussmix.io.blocks import Block
from gaussmix.io.readers import Choice, DataError, Reader, block_rows, join, located

TEXT_ENDINGS = (".csv", ".tsv")
COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": arrow.decompressed,
}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)
"""What decompression raises, besides an OSError that the operating system did not give."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""What a delimiter is looked for among; of two that fit alike the first one counts."""
SNIFFED_RECORDS = 5

MISSING = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
"""What stands for a missing value: what it is to pandas."""

MOST_RECORD = 1 << 24  # characters of a row: a quote that is never closed takes no more memory
SHOWN_CHARACTERS = 60  # of a field, in an error


class TextFormat(NamedTuple):
    """How numbers are written in a text file."""

    delimiter: str | None = None  # None: the one that fits
    decimal: str = "."
    missing: tuple[str, ...] = MISSING


PLAIN = TextFormat()


class TextReader(Reader):
    """Rows of a text file, which may start with a header: a first row with no number in it."""

    n_samples = None

    def __init__(self, path: Path, text: TextFormat = PLAIN, name: str = "") -> None:
        self.name = name or str(path)
        self._path = path
        self._decimal = text.decimal
        self._delimiter = text.delimiter or self._fitting_delimiter()
        first, *others = self._first_records(self._delimiter)
        fields = split(first, self._delimiter)
        self._missing = frozenset(text.missing)
        self._header = self._is_header(fields)
        if self._header and not others:
            raise DataError(f"{self.name}: no rows below the header; rows of numbers are wanted")
        self.columns = tuple(field.strip() for field in fields) if self._header else None
        self.n_columns = len(fields)
        self._marks = _marks(text.missing, self._delimiter)

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float64; DataError if the column is to be read and has no name of its own."""
        if self.columns is not None:
            self._check_name(column, self.columns)
        return np.dtype(np.float64)

    def place(self, row: int, column: int) -> str:
        """Return what errors call the place of a value: its line in the file."""
        with self._open() as file:
            rows = self._records(file)
            line, _ = next(itertools.islice(rows, row + self._header, None), (0, ""))
        return f"line {line}, {self._shown_column(column)}"

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Return the fields of columns, row by row."""
        with self._open() as file:
            for _, record in itertools.islice(self._records(file), int(self._header), None):
                fields = split(record, self._delimiter)
                yield tuple(fields[column].strip() for column in columns)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns; what stands in others need not be numbers."""
        return located(self.name, self._read(choice), DAMAGED)

    def _read(self, choice: Choice) -> Iterator[Block]:
        n_rows, row = block_rows(self.n_columns), 0
        with self._open() as file:
            rows = self._records(file)
            if self._header:
                next(rows)
            try:
                while chunk := list(itertools.islice(rows, n_rows)):
                    yield self._parsed(chunk, choice)
                    row += len(chunk)
            except UnicodeDecodeError:
                raise DataError(f"{self.name}, after row {row}: not UTF-8 text") from None

    def _parsed(self, chunk: list[tuple[int, str]], choice: Choice) -> Block:
        """Return rows by NumPy's fast reader; where it fails, say why."""
        wanted, rows = choice.columns, None
        if all(self._is_whole(record) for _, record in chunk):
            rows = self._numbers([record for _, record in chunk], wanted)
        if rows is None or len(rows) != len(chunk) or np.isinf(rows).any():
            raise DataError(self._first_fault(chunk, wanted))
        return join(list(rows.T), choice)

    def _numbers(self, rows: list[str], wanted: Sequence[int]) -> FloatArray | None:
        """Return the wanted columns; None if one holds something that is no number."""
        if self._decimal != ".":  # a point is then no part of a number
            rows = [row.translate(_swapped(self._decimal)) for row in rows]
        found = self._loaded(rows, wanted)
        if found is None and self._missing:
            found = self._loaded([self._marks.sub("nan", row) for row in rows], wanted)
        return found

    def _loaded(self, rows: list[str], wanted: Sequence[int]) -> FloatArray | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                return np.loadtxt(
                    rows,
                    delimiter=self._delimiter,
                    comments=None,
                    quotechar='"',
                    usecols=wanted,
                    ndmin=2,
                )
            except ValueError:
                return None

    def _is_whole(self, record: str) -> bool:
        """Whether a row has as many fields as the first; NumPy looks at the wanted ones alone."""
        if '"' in record:
            return len(split(record, self._delimiter)) == self.n_columns
        return record.count(self._delimiter) == self.n_columns - 1

    def _is_header(self, fields: list[str]) -> bool:
        """Whether a first row has names: no numbers, or pandas' own beside its index."""
        numbered = [str(j) for j in range(len(fields) - 1)]
        if fields[0] == "" and fields[1:] == numbered and numbered:
            return True
        if all(field.strip() in self._missing for field in fields):
            return False
        return all(number(field, self._decimal) is None for field in fields)

    def _check_name(self, column: int, names: tuple[str, ...]) -> None:
        where, name = f"{self.name}, line 1, column {column + 1}", names[column]
        others = ",".join(other for other in names if other and names.count(other) == 1)
        remedy = f"by columns=[...], or --columns {others or '1,2'}"
        if not name:
            raise DataError(
                f"{where}: the column has no name; name it, or choose others {remedy}, if it is a "
                "row index"
            )
        if name in names[:column]:
            raise DataError(f"{where}: the name {name!r} occurs twice; choose others {remedy}")

    def _fitting_delimiter(self) -> str:
        """Return what cuts the first rows alike and leaves most numbers in the last of them."""
        if ending_of(self._path) == ".tsv":
            return "\t"

        def fit(delimiter: str) -> float:
            try:
                rows = [split(record, delimiter) for record in self._first_records(delimiter)]
            except DataError:  # a quote that is not closed
                return 0.0
            if len({len(row) for row in rows}) > 1 or len(rows[0]) == 1:
                return 0.0
            numbers = [number(field, self._decimal) is not None for field in rows[-1]]
            return (1 + sum(numbers)) / (1 + len(numbers))

        return max((d for d in DELIMITERS if d != self._decimal), key=fit)

    def _first_records(self, delimiter: str) -> list[str]:
        try:
            with self._open() as file:
                found = [
                    record
                    for _, record in itertools.islice(
                        records(file, delimiter, self.name), SNIFFED_RECORDS
                    )
                ]
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: not UTF-8 text (byte {error.start})") from None
        except DAMAGED as error:
            raise DataError(f"{self.name}: damaged ({error})") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise DataError(f"{self.name}: damaged ({error})") from None
        if not found:
            raise DataError(f"{self.name}: the file is empty; rows of numbers are wanted")
        return found

    def _records(self, file: TextIO) -> Iterator[tuple[int, str]]:
        return records(file, self._delimiter, self.name)

    def _first_fault(self, chunk: list[tuple[int, str]], wanted: Sequence[int]) -> str:
        """Say where the first field or row is that is not as it should be."""
        for line, record in chunk:
            fault = self._fault(split(record, self._delimiter), wanted)
            if fault is not None:
                return f"{self.name}, line {line}{fault}"
        return f"{self.name}: not a table of numbers"

    def _fault(self, fields: list[str], wanted: Sequence[int]) -> str | None:
        if len(fields) != self.n_columns:
            kind = _separated(self._delimiter)
            return f": {len(fields)} {kind} fields, where {self.n_columns} are wanted"
        for j in sorted(wanted):
            value = number(fields[j], self._decimal)
            if fields[j].strip() in self._missing or (value is not None and not np.isinf(value)):
                continue
            shown = _shown_field(fields[j], self._delimiter)
            return f", {self._shown_column(j)}: a finite number is wanted, got {shown}"
        return None

    def _shown_column(self, column: int) -> str:
        name = "" if self.columns is None else f" ({self.columns[column]})"
        return f"column {column + 1}{name}"

    def _open(self) -> TextIO:
        ending = self._path.suffix.lower()
        if ending not in COMPRESSIONS:
            return self._path.open(encoding="utf-8-sig", newline="")
        return TextIOWrapper(COMPRESSIONS[ending](self._path), encoding="utf-8-sig", newline="")


def check_format(delimiter: object, decimal: object, missing: object) -> TextFormat:
    """Return how numbers are written in a text file; ParameterError if it cannot be so."""
    if delimiter is not None and not (
        isinstance(delimiter, str) and len(delimiter) == 1 and not _in_numbers(delimiter)
    ):
        raise ParameterError(
            f"delimiter must be one character that is no part of a number, got {delimiter!r}"
        )
    if decimal not in (".", ","):
        raise ParameterError(f"decimal must be '.' or ',', got {decimal!r}")
    if delimiter == decimal:
        raise ParameterError(f"delimiter and decimal must differ, got {decimal!r} for both")
    marks = [missing] if isinstance(missing, str) else missing
    if not isinstance(marks, list | tuple | set | frozenset) or not all(
        isinstance(mark, str) for mark in marks
    ):
        raise ParameterError(f"missing must be strings, got {missing!r}")
    return TextFormat(delimiter, str(decimal), tuple(marks))


def ending_of(path: Path) -> str:
    """Return the ending of a file's name in lower case, that of a compressed text's own."""
    ending = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if ending in COMPRESSIONS and inner in TEXT_ENDINGS else ending


def delimiter_of(path: Path) -> str:
    """Return what separates the fields of a file that is written."""
    return "\t" if ending_of(path) == ".tsv" else ","


def number(field: str, decimal: str = ".") -> float | None:
    """Return the number that a field holds."""
    if decimal != ".":
        field = field.translate(_swapped(decimal))
    try:
        return None if "_" in field else float(field)  # Python alone reads 1_000 as a number
    except ValueError:
        return None


def records(file: TextIO, delimiter: str, name: str) -> Iterator[tuple[int, str]]:
    """Return rows that are not blank, and their first lines' numbers. Quotes may hold lines' ends.

    Raises
    ------
    DataError
        If a quote is not closed again.
    """
    waiting: list[str] = []
    first, n_waiting, inside = 0, 0, False
    for line, text in enumerate(file, 1):
        if not inside and '"' not in text:
            if delimiter in text or not text.isspace():
                yield line, text
            continue
        if not inside:
            waiting, first, n_waiting = [], line, 0
        waiting.append(text)
        n_waiting += len(text)
        inside = ends_inside(text, inside, delimiter)
        if inside and n_waiting > MOST_RECORD:
            break
        if not inside:
            yield first, "".join(waiting)
    if inside:
        within = f"within {MOST_RECORD:,} characters" if n_waiting > MOST_RECORD else "in the file"
        raise DataError(f"{name}, line {first}: a quote is opened and not closed again {within}")


def split(record: str, delimiter: str) -> list[str]:
    """Return the fields of a row. A quote counts where a field starts, and doubled within one."""
    record = record.rstrip("\r\n")
    if '"' not in record:
        return record.split(delimiter)
    d = re.escape(delimiter)
    field = re.compile(rf'(?:^|{d})(?:"((?:[^"]|"")*+)"([^{d}]*)|([^{d}]*))')
    return [
        plain if quoted is None else quoted.replace('""', '"') + (rest or "")
        for quoted, rest, plain in (match.groups() for match in field.finditer(record))
    ]


def ends_inside(line: str, inside: bool, delimiter: str) -> bool:
    """Whether a line ends within quotes, if it starts `inside` some or not."""
    d = re.escape(delimiter)
    if inside:
        closed = re.match(r'(?:[^"]|"")*+"', line)
        if closed is None:
            return True
        line = "x" + line[closed.end() :]  # what follows is no start of a field
    left = re.sub(rf'(^|{d})"(?:[^"]|"")*+"', r"\1", line)
    return re.search(rf'(?:^|{d})"', left) is not None


def _swapped(decimal: str) -> dict[int, int]:
    """Return what makes a point of a decimal mark, and the mark, no part of a number, of points."""
    return {ord(decimal): ord("."), ord("."): ord(decimal)}


def _in_numbers(character: str) -> bool:
    return character.isalnum() or character in '+-."\r\n_'


def _marks(missing: Sequence[str], delimiter: str) -> re.Pattern[str]:
    """Return what finds the fields of a row that stand for missing values."""
    d, space = re.escape(delimiter), "" if delimiter == " " else " *"
    marks = "|".join(re.escape(mark) for mark in sorted(missing, key=len, reverse=True))
    return re.compile(rf'(?:^|(?<={d})){space}(?:"(?:{marks})"|(?:{marks})){space}(?={d}|\r|\n|\Z)')


def _shown_field(field: str, delimiter: str) -> str:
    """Show a field that is no number, and what separates fields if it holds something that may."""
    separators = set(" ,;\t|") & set(field.strip())
    shown = repr(field)
    if len(field) > SHOWN_CHARACTERS:
        shown = f"{field[:SHOWN_CHARACTERS]!r}... ({len(field)} characters)"
    if not separators:
        return shown
    return (
        f"{shown}; {_separated(delimiter)} fields are wanted, or another delimiter or decimal "
        "mark said (--delimiter, --decimal)"
    )


def _separated(delimiter: str) -> str:
    return f"{DELIMITERS.get(delimiter, repr(delimiter))}-separated"
