"""What users pass as rows, and the reader of each kind: files, arrays, frames and functions."""

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError
from gaussmix.io import arrow, frames
from gaussmix.io.atomic import shown_ending
from gaussmix.io.blocks import Block
from gaussmix.io.conversion import as_numbers
from gaussmix.io.frames import ArrayReader
from gaussmix.io.npy import NpyReader
from gaussmix.io.readers import Array, Choice, DataError, Reader, take
from gaussmix.io.text import PLAIN, TEXT_ENDINGS, TextFormat, TextReader, ending_of

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
            self._refuse(number, shown_columns(self), shown_columns(reader))
        if reader.weighted != self.weighted:
            shown = {True: "weights", False: "no weights"}
            self._refuse(number, shown[self.weighted], shown[reader.weighted])
        found = precision_of(reader, choice.features)
        if found.itemsize > choice.dtype.itemsize:  # digits would be lost
            self._refuse(number, str(choice.dtype), str(found))

    def _refuse(self, number: int, wanted: str, found: str) -> None:
        raise DataError(f"{self.name}, block {number}: {wanted} as in block 0 wanted, got {found}")


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


def may_hold_text(data: object) -> bool:
    """Whether something is a path to a text file, or a list with one."""
    items = data if isinstance(data, list | tuple) else [data]
    paths = [Path(item) for item in items if isinstance(item, str | os.PathLike)]
    return any(ending_of(path) in TEXT_ENDINGS for path in paths)


def shown_data(data: object) -> str:
    """Return what errors call such data."""
    return str(data) if isinstance(data, str | os.PathLike) else f"a {type(data).__name__}"


def reader_of(data: object, name: str, text: TextFormat = PLAIN) -> Reader:
    """Return the reader of data that errors call by a name; ParameterError if it has none."""
    if isinstance(data, str | os.PathLike):
        return path_reader(Path(data), text)
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


def path_reader(path: Path, text: TextFormat = PLAIN) -> Reader:
    """Return the reader of a file, by its ending, or of a folder."""
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
            weight = weight_values(weight, len(rows), f"weights of {name}")
        return ArrayReader(rows, weight, name)
    reader = reader_of(part, name, text)
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
    array = as_numbers(data, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ParameterError(f"{name} must have shape (n_rows, n_columns), got {array.shape}")
    return array


def precision_of(reader: Reader, features: Sequence[int]) -> np.dtype[np.floating]:
    """Return float32 if all features are, float64 otherwise."""
    return max((reader.dtype(column) for column in features), key=lambda dtype: dtype.itemsize)


def shown_columns(reader: Reader) -> str:
    """Return how many columns there are, and the names of the first."""
    if reader.columns is None:
        return f"{reader.n_columns} columns without names"
    more = ", ..." if reader.n_columns > SHOWN_COLUMNS else ""
    listed = ", ".join(map(repr, reader.columns[:SHOWN_COLUMNS]))
    return f"{reader.n_columns} columns {listed}{more}"


def weight_values(weights: object, n_rows: int | None, name: str) -> NDArray[np.float64]:
    """Return the weights (n_rows,) of so many rows, or of any number."""
    values = as_numbers(weights, name)
    if values.ndim != 1 or n_rows not in (None, len(values)):
        wanted = "n_rows" if n_rows is None else n_rows
        raise ParameterError(f"{name} must have shape ({wanted},), got {values.shape}")
    return np.asarray(values, dtype=np.float64)
