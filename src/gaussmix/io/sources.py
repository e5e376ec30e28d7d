"""Rows of any kind, block by block: what `scan` makes of files, arrays, frames and functions."""

import numbers
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import RowsLike
from gaussmix.conversion import place
from gaussmix.errors import ParameterError
from gaussmix.io import arrow, frames
from gaussmix.io.atomic import shown_ending
from gaussmix.io.blocks import Block, joined
from gaussmix.io.frames import ArrayReader
from gaussmix.io.npy import NpyReader
from gaussmix.io.readahead import read_ahead
from gaussmix.io.readers import Array, Choice, DataError, Reader, take
from gaussmix.io.text import (
    MISSING,
    PLAIN,
    TEXT_ENDINGS,
    TextFormat,
    TextReader,
    check_format,
    ending_of,
)
from gaussmix.validation import check_numbers

FILE_READERS: dict[str, Callable[[Path], Reader]] = {
    ".npy": NpyReader,
    **dict.fromkeys(TEXT_ENDINGS, TextReader),
    **dict.fromkeys(arrow.PARQUET_ENDINGS, arrow.ParquetReader),
    **dict.fromkeys(arrow.IPC_ENDINGS, arrow.IpcReader),
}
SHOWN_COLUMNS = 20  # names of columns listed in an error


@runtime_checkable
class Source(Protocol):
    """Rows that can be read again and again, in blocks of bounded size."""

    @property
    def n_features(self) -> int:
        """Number of columns."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features, if they have names."""

    @property
    def n_samples(self) -> int | None:
        """Number of rows, if it is known without reading them."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of the rows, float32 or float64."""

    def blocks(self) -> Iterator[Block]:
        """Read the rows, at every call from the first one on."""


@dataclass(frozen=True)
class Table:
    """Rows (n, D), and the names of their columns and their weights (n,) if they have any.

    It is a frame of sorts: estimators find its names in `columns`, and its rows by `np.asarray`.
    """

    rows: Array
    columns: tuple[str, ...] | None
    weight: NDArray[np.float64] | None = None
    source: "Scan | None" = field(default=None, repr=False)
    """What the rows are a part of."""
    first_row: int = 0
    """Number of the first of them in the source."""

    def __str__(self) -> str:
        return "X" if self.source is None else str(self.source)

    def place(self, row: int, column: int | None) -> str:
        """Return what errors call the place of a value, in the source if there is one."""
        if self.source is None:
            return place(row, column, self.columns)
        return self.source.place(self.first_row + row, column)

    def __len__(self) -> int:
        return len(self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is None:  # which NumPy 1 does not know
            return np.asanyarray(self.rows, dtype=dtype)
        return np.array(self.rows, dtype=dtype, copy=copy, subok=True)


class Scan:
    """Chosen columns of a table, read block by block: what `scan` returns.

    To iterate over it gives tables, read ahead in a thread, that every method of an estimator takes
    in the place of an array: their `columns` are the names of the features, `rows` an array
    (n, n_features), `weight` the weights (n,) or None.

    Attributes
    ----------
    n_features : int
    columns : tuple of str, or None
        Names of the features.
    all_columns : tuple of str, or None
        Names of all columns that there are to choose from.
    n_samples : int or None
        Number of rows; None if it is not known without reading.
    dtype : numpy dtype
        float32 if all features are, otherwise float64.
    """

    def __init__(
        self, reader: Reader, choice: Choice, weights: Reader | None, labels: int | None = None
    ) -> None:
        self._reader = reader
        self._choice = choice
        self._weights = weights
        self._labels = labels
        self.n_features = len(choice.features)
        self.n_samples = reader.n_samples
        self.dtype = choice.dtype
        self.all_columns = names = reader.columns
        self.columns = None if names is None else tuple(names[j] for j in choice.features)

    def blocks(self) -> Iterator[Block]:
        """Read the rows from the first one on, and their weights."""
        blocks = self._reader.read(self._choice)
        return blocks if self._weights is None else _with_weights(blocks, self._weights)

    def labels(self) -> NDArray[Any] | None:
        """Read the column of labels, numbers or texts (N,); None if there is none."""
        if self._labels is None:
            return None
        try:
            choice = Choice((self._labels,), None, self._reader.dtype(self._labels))
            return np.concatenate([block.rows[:, 0] for block in self._reader.read(choice)])
        except DataError:  # no numbers
            found = [value for (value,) in self._reader.values([self._labels])]
            return np.array([None if value == "" else value for value in found], dtype=object)

    def values(
        self, columns: Sequence[str | int]
    ) -> tuple[list[str], Iterator[tuple[object, ...]]]:
        """Return names of columns, chosen or not, and what stands in them, row by row."""
        chosen = [_column(self._reader, column) for column in columns]
        names = self._reader.columns
        shown = [f"column {j}" if names is None else names[j] for j in chosen]
        return shown, self._reader.values(chosen)

    def place(self, row: int, column: int | None) -> str:
        """Return what errors call the place of a value; None stands for the weights."""
        chosen = self._choice.weight if column is None else self._choice.features[column]
        return place(row) if chosen is None else self._reader.place(row, chosen)

    def __iter__(self) -> Iterator[Table]:
        first_row = 0
        with read_ahead(self.blocks()) as blocks:
            for rows, weight in blocks:
                yield Table(rows, self.columns, weight, self, first_row)
                first_row += len(rows)

    def __str__(self) -> str:
        return self._reader.name

    def __repr__(self) -> str:
        n_samples = "?" if self.n_samples is None else self.n_samples
        return f"<Scan of {self}: {n_samples} x {self.n_features} {self.dtype}>"


class SourceReader(Reader):
    """A source, anybody's."""

    def __init__(self, source: Source) -> None:
        self.name = str(source)
        self.columns, self.n_columns = source.columns, source.n_features
        self.n_samples = source.n_samples
        self._source = source

    def place(self, row: int, column: int) -> str:
        """Return what errors call the place of a value, if the source has its own word for it."""
        own = getattr(self._source, "place", None)
        return super().place(row, column) if own is None else str(own(row, column))

    def dtype(self, _column: int) -> np.dtype[np.floating]:
        """Return the precision, that of all columns."""
        return self._source.dtype

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns; the source's own weights stay, unless a column has others."""
        for rows, weight in self._source.blocks():
            block = take(rows, choice)
            yield block if block.weight is not None else Block(block.rows, weight)


class Chain(Reader):
    """Tables one below the other: of a list, or what a function's iterator yields."""

    def __init__(self, name: str, parts: Callable[[], Iterable[object]]) -> None:
        self.name = name
        self._parts = parts
        readers = self._readers()
        first = next(readers, None)
        readers.close()
        if first is None:
            raise ParameterError(f"{name}: at least one block of rows is wanted, got none")
        self.columns, self.n_columns = first.columns, first.n_columns
        self.weighted = first.weighted
        self.n_samples = None
        self.known: Sequence[Reader] = [first]
        """The tables that are known before they are read: all those of a list."""

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return the widest precision that a column has in the tables that are known."""
        found = [reader.dtype(column) for reader in self.known if column < reader.n_columns]
        return max(found, key=lambda dtype: dtype.itemsize)

    def place(self, row: int, column: int) -> str:
        """Return what errors call the place of a value, in the whole and in its own table."""
        found, start = super().place(row, column), 0
        for reader in self.known:
            if reader.n_samples is None:
                break
            if row < start + reader.n_samples:
                return f"{found} ({reader.place(row - start, column)} of {reader.name})"
            start += reader.n_samples
        return found

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns of all tables."""
        for number, reader in enumerate(self._readers()):
            self._check(number, reader, choice)
            yield from reader.read(choice)

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Return what stands in columns of all tables, row by row."""
        for reader in self._readers():
            yield from reader.values(columns)

    def _readers(self) -> Generator[Reader, None, None]:
        for number, part in enumerate(self._parts()):
            yield _part_reader(part, f"{self.name}, block {number}")

    def _check(self, number: int, reader: Reader, choice: Choice) -> None:
        if reader.columns != self.columns or reader.n_columns != self.n_columns:
            self._refuse(number, _shown_columns(self), _shown_columns(reader))
        if reader.weighted != self.weighted:
            shown = {True: "weights", False: "no weights"}
            self._refuse(number, shown[self.weighted], shown[reader.weighted])
        found = _precision(reader, choice.features)
        if found.itemsize > choice.dtype.itemsize:  # digits would be lost
            self._refuse(number, str(choice.dtype), str(found))

    def _refuse(self, number: int, wanted: str, found: str) -> None:
        raise DataError(f"{self.name}, block {number}: {wanted} as in block 0 wanted, got {found}")


def scan(
    data: RowsLike,
    columns: Sequence[str | int] | str | int | None = None,
    weights: object = None,
    *,
    labels: str | int | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    missing: Sequence[str] = MISSING,
) -> "Scan":
    """Prepare to read rows block by block, as often as is needed, in memory that stays bounded.

    Parameters
    ----------
    data : path, array-like, list, function, frame or pyarrow object
        - A path to a .npy, .csv, .tsv, .parquet, .arrow, .feather or .ipc file, or to a folder of
          .parquet files, which are read in the order of their names. A text file may be compressed
          (.csv.gz, .bz2, .xz, .zst); folders in it may say values of columns, as Hive has them
          (year=2026).
        - An array, a memory-mapped one too, or a data frame of pandas or polars, lazy ones of
          polars too.
        - A list of arrays (n, D), frames or paths, whose rows follow each other.
        - A function without arguments that returns an iterator of arrays or frames, or of pairs
          (array, weights); it is called anew for every reading, and once by `scan`. Arrays are
          copied, so that it may fill the same one again.
        - A pyarrow Table, RecordBatch, Dataset or ParquetFile.
        - What `scan` returned, or any other `Source`.
    columns : sequence of str or int, optional
        Columns to read, in this order, by name or index; all if not given.
    weights : str, int, path or array-like of shape (n_samples,), optional
        Weights of the rows: a column, which is no feature then, numbers, or a file with one column.
    labels : str or int, optional
        Column of labels, which is no feature then: `fit` takes them as if they were given to it.
    delimiter : str, optional
        What separates the fields of a text file. By default a tab in a .tsv file, and else that of
        comma, semicolon, tab and bar which fits the first rows.
    decimal : {'.', ','}, default='.'
        Decimal mark of numbers in a text file.
    missing : sequence of str, optional
        Fields of a text file that stand for missing values, which become NaN: by default those
        that pandas reads so, as an empty one and NA.

    Returns
    -------
    Scan
        A `Source`, accepted wherever estimators take rows. To iterate over it gives tables of
        bounded size, so that ``map(model.predict_proba, scan(path))`` works.

    Raises
    ------
    ParameterError
        If there is no way to read such data again and again, or no such column.
    DataError
        If a file or a chosen column holds anything but numbers.
    OSError
        If a file cannot be opened.
    """
    text = check_format(delimiter, decimal, missing)
    if isinstance(data, Scan) and columns is None and weights is None and labels is None:
        return data
    if text != PLAIN and not _may_hold_text(data):
        raise ParameterError(
            "delimiter, decimal and missing are for text files "
            f"({', '.join(TEXT_ENDINGS)}), but data is {_shown_data(data)}"
        )
    return _scanned(_reader(data, "data", text), columns, weights, labels, text)


def scan_text(
    path: Path,
    name: str,
    columns: Sequence[str | int] | None = None,
    weights: object = None,
    *,
    delimiter: str | None = None,
    decimal: str = ".",
) -> Scan:
    """Scan a text file, whatever its ending, which errors call by a name: see `scan`."""
    text = check_format(delimiter, decimal, MISSING)
    return _scanned(TextReader(path, text, name), columns, weights, None, text)


def _scanned(
    reader: Reader, columns: Any, weights: object, labels: object, text: TextFormat
) -> Scan:
    """Choose columns of a table. `text` is the format of a file with weights."""
    weight = None if weights is None else _weight_column(reader, weights)
    label = None if labels is None else _column(reader, labels)
    if label is not None and columns is None:
        columns = [j for j in range(reader.n_columns) if j not in (label, weight)]
    features = _features(reader, columns, weight)
    if label is not None and label in (*features, weight):
        raise ParameterError(
            f"labels must be a column of its own, but {reader.column_name(label)} is a feature or "
            "the weights"
        )
    choice = Choice(features, weight, _precision(reader, features))
    if weight is not None:
        reader.dtype(weight)
    if weights is None or weight is not None:
        return Scan(reader, choice, None, label)
    return Scan(reader, choice, _weight_reader(reader, weights, text), label)


def read_all(source: "Scan") -> Table:
    """Return all rows of a source, in memory."""
    rows, weight = joined(list(source.blocks()))
    return Table(rows, source.columns, weight, source)


def streams(data: object) -> bool:
    """Whether such data is for `scan`: all but arrays, frames and nested numbers."""
    return (
        isinstance(data, str | os.PathLike)
        or _is_source(data)
        or _once(data)
        or arrow.is_arrow(data)
        or frames.is_lazy(data)
        or _is_list_of_tables(data)
        or (callable(data) and not hasattr(data, "__array__"))
    )


def _is_source(data: object) -> TypeGuard[Source]:
    """Whether something has all that a `Source` has.

    `blocks` is asked for first. A lazy frame has none, and its `columns` warn when they are read.
    """
    return hasattr(data, "blocks") and isinstance(data, Source)


def _may_hold_text(data: object) -> bool:
    """Whether something is a path to a text file, or a list with one."""
    items = data if isinstance(data, list | tuple) else [data]
    paths = [Path(item) for item in items if isinstance(item, str | os.PathLike)]
    return any(ending_of(path) in TEXT_ENDINGS for path in paths)


def _shown_data(data: object) -> str:
    return str(data) if isinstance(data, str | os.PathLike) else f"a {type(data).__name__}"


def _reader(data: object, name: str, text: TextFormat = PLAIN) -> Reader:
    if isinstance(data, str | os.PathLike):
        return _path_reader(Path(data), text)
    if _is_source(data):
        return SourceReader(data)
    known = arrow.reader(data) or frames.reader(data)
    if known is not None:
        return known
    if _once(data):
        raise ParameterError(
            f"{name} is a {type(data).__name__}, which can be read only once; pass a function that "
            "returns a new one at every call"
        )
    if _is_list_of_tables(data):
        return _chain(name, data, text)  # type: ignore[arg-type]
    if callable(data) and not hasattr(data, "__array__"):
        return Chain(f"function {getattr(data, '__name__', 'of data')!r}", _Repeated(data))
    return ArrayReader(_table(data, name), name=name)


def _path_reader(path: Path, text: TextFormat = PLAIN) -> Reader:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return _folder_reader(path)
    ending = ending_of(path)
    if ending not in FILE_READERS:
        raise DataError(
            f"{path}: the ending must be one of {', '.join(FILE_READERS)}, got {shown_ending(path)}"
        )
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: a file is wanted, not a pipe or a device, to read it again")
    return TextReader(path, text) if ending in TEXT_ENDINGS else FILE_READERS[ending](path)


def _folder_reader(folder: Path) -> Reader:
    beside, below = sorted(folder.glob("*.parquet")), sorted(folder.rglob("*/*.parquet"))
    below = [file for file in below if not _is_hidden(file.relative_to(folder))]
    if below:
        return arrow.partitioned(folder, [*beside, *below])
    if not beside:
        raise DataError(f"{folder}: a folder without .parquet files; there is nothing to read")
    return _chain(str(folder), beside)


def _is_hidden(path: Path) -> bool:
    """Whether a file, or a folder on the way to it, is none of a table's: see Hive and Spark."""
    return any(part.startswith(("_", ".")) for part in path.parts)


def _chain(name: str, parts: Sequence[object], text: TextFormat = PLAIN) -> Chain:
    readers = [
        _part_reader(part, f"{name}, block {number}", text) for number, part in enumerate(parts)
    ]
    chain = Chain(name, lambda: readers)
    chain.known = readers
    counts = [reader.n_samples for reader in readers]
    known = [count for count in counts if count is not None]
    chain.n_samples = sum(known) if len(known) == len(counts) else None
    return chain


def _part_reader(part: object, name: str, text: TextFormat = PLAIN) -> Reader:
    """Return the reader of a table of a list or function."""
    if isinstance(part, Reader):
        return part
    if isinstance(part, tuple):
        if len(part) != 2:
            raise ParameterError(f"{name}: a table, or a pair of one and weights, is wanted")
        rows, weight = _table(part[0], name), part[1]
        if weight is not None:
            weight = _weight_values(weight, len(rows), f"weights of {name}")
        return ArrayReader(rows, weight, name)
    reader = _reader(part, name, text)
    if not isinstance(part, str | os.PathLike):
        reader.name = name
    return reader


class _Repeated:
    """Calls a function for an iterator, which must be another one every time."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._last: object = None

    def __call__(self) -> Iterator[object]:
        items = self._function()
        if not isinstance(items, Iterable):
            raise ParameterError(
                f"a function of data must return an iterator of arrays, got {type(items).__name__}"
            )
        if items is self._last and isinstance(items, Iterator):
            raise ParameterError(
                "a function of data must return a new iterator at every call, got the same one"
            )
        self._last = items
        return map(_owned, items)


def _owned(part: object) -> object:
    """Return a copy of an array, or of a pair of arrays: a function may fill the same one again."""
    if isinstance(part, tuple):
        return tuple(_owned(item) for item in part)
    return part.copy() if isinstance(part, np.ndarray) else part


def _once(data: object) -> bool:
    """Whether something can be read only once."""
    return isinstance(data, Iterator) or hasattr(data, "read_next_batch")


def _is_list_of_tables(data: object) -> bool:
    return isinstance(data, list | tuple) and len(data) > 0 and _is_table(data[0])


def _is_table(item: object) -> bool:
    if isinstance(item, tuple):  # rows and weights; tuples of numbers are rows of an array-like
        return len(item) == 2 and _is_table(item[0])
    two_dimensional = len(getattr(item, "shape", ())) == 2
    return (
        two_dimensional
        or isinstance(item, str | os.PathLike)
        or arrow.is_arrow(item)
        or frames.is_lazy(item)
    )


def _table(data: object, name: str) -> Array:
    array = check_numbers(data, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ParameterError(f"{name} must have shape (n_rows, n_columns), got {array.shape}")
    return array


def _precision(reader: Reader, features: Sequence[int]) -> np.dtype[np.floating]:
    """Return float32 if all features are, float64 otherwise."""
    return max((reader.dtype(column) for column in features), key=lambda dtype: dtype.itemsize)


def _features(reader: Reader, columns: Any, weight: int | None) -> tuple[int, ...]:
    if columns is None:
        features = tuple(j for j in range(reader.n_columns) if j != weight)
    else:
        listed = [columns] if isinstance(columns, str | numbers.Integral) else columns
        if not isinstance(listed, Iterable):
            raise ParameterError(f"columns must be names or numbers of columns, got {columns!r}")
        features = tuple(_column(reader, column) for column in listed)
    if not features:
        raise ParameterError(f"columns must be at least one column of {reader.name}, got none")
    for j, column in enumerate(features):
        if column == weight or column in features[:j]:
            also = "the weights too" if column == weight else "there twice"
            raise ParameterError(
                f"columns must be different features, but {reader.column_name(column)} is {also}"
            )
    return features


def _column(reader: Reader, column: object) -> int:
    if isinstance(column, str) and reader.columns is not None and column in reader.columns:
        if reader.columns.count(column) > 1:
            raise ParameterError(
                f"{reader.name} has {reader.columns.count(column)} columns named {column!r}; "
                "choose one of them by its number"
            )
        return reader.columns.index(column)
    by_number = isinstance(column, numbers.Integral) and not isinstance(column, bool)
    if by_number and 0 <= int(column) < reader.n_columns:  # type: ignore[call-overload]
        return int(column)  # type: ignore[call-overload, no-any-return]
    raise ParameterError(
        f"{reader.name} has no column {column!r}; there are {_shown_columns(reader)}"
    )


def _shown_columns(reader: Reader) -> str:
    if reader.columns is None:
        return f"{reader.n_columns} columns without names"
    more = ", ..." if reader.n_columns > SHOWN_COLUMNS else ""
    listed = ", ".join(map(repr, reader.columns[:SHOWN_COLUMNS]))
    return f"{reader.n_columns} columns {listed}{more}"


def _weight_column(reader: Reader, weights: object) -> int | None:
    """Return the column that holds the weights; None if it is none."""
    if reader.weighted:
        raise ParameterError(f"weights are given, but {reader.name} has weights of its own")
    if isinstance(weights, numbers.Integral):
        return _column(reader, weights)
    if not isinstance(weights, str):
        return None
    names = reader.columns or ()
    is_file = weights not in names and ending_of(Path(weights)) in FILE_READERS
    return None if is_file else _column(reader, weights)


def _weight_reader(reader: Reader, weights: Any, text: TextFormat) -> Reader:
    if not isinstance(weights, str | os.PathLike):
        values = _weight_values(weights, reader.n_samples, "weights")
        return ArrayReader(values[:, None], name="weights")
    found = _path_reader(Path(weights), text)
    if found.n_columns != 1:
        raise DataError(f"{weights}: one column of numbers is wanted, got {found.n_columns}")
    if None not in (found.n_samples, reader.n_samples) and found.n_samples != reader.n_samples:
        raise _uneven(found.name, f"{found.n_samples}", reader.n_samples)
    return found


def _weight_values(weights: object, n_rows: int | None, name: str) -> NDArray[np.float64]:
    values = check_numbers(weights, name)
    if values.ndim != 1 or n_rows not in (None, len(values)):
        wanted = "n_rows" if n_rows is None else n_rows
        raise ParameterError(f"{name} must have shape ({wanted},), got {values.shape}")
    return np.asarray(values, dtype=np.float64)


def _with_weights(blocks: Iterator[Block], weights: Reader) -> Iterator[Block]:
    """Give blocks the weights that a table of one column holds for them."""
    read = weights.read(Choice((0,), None, np.dtype(np.float64)))
    left: NDArray[Any] = np.empty(0)
    row = 0
    for rows, weight in blocks:
        if weight is not None:
            raise ParameterError("weights are given, but the data has weights of its own")
        while len(left) < len(rows):
            part = next(read, None)
            if part is None:
                raise _uneven(weights.name, f"{row + len(left)}", f"{row + len(rows)} or more")
            left = np.concatenate([left, part.rows[:, 0]]) if len(left) else part.rows[:, 0]
        yield Block(rows, left[: len(rows)])
        left, row = left[len(rows) :], row + len(rows)
    if len(left) or next(read, None) is not None:
        raise _uneven(weights.name, f"more than {row}", row)


def _uneven(name: str, found: str, wanted: object) -> DataError:
    return DataError(f"{name}: one weight per row is wanted, got {found} for {wanted} rows")
