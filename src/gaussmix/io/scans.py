"""Chosen columns of a table, read block by block: `scan`, and what it returns."""

import numbers
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import RowsLike
from gaussmix.errors import ParameterError
from gaussmix.io.blocks import Block, joined
from gaussmix.io.conversion import place
from gaussmix.io.frames import ArrayReader
from gaussmix.io.readahead import read_ahead
from gaussmix.io.readers import Array, Choice, DataError, Reader
from gaussmix.io.sources import (
    FILE_READERS,
    may_hold_text,
    path_reader,
    precision_of,
    reader_of,
    shown_columns,
    shown_data,
    weight_values,
)
from gaussmix.io.text import (
    MISSING,
    PLAIN,
    TEXT_ENDINGS,
    TextFormat,
    TextReader,
    check_format,
    ending_of,
)


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
        self,
        reader: Reader,
        choice: Choice,
        weights: Reader | None,
        labels: int | None = None,
        row_priors: tuple[int, ...] = (),
    ) -> None:
        self._reader = reader
        self._choice = choice
        self._weights = weights
        self._labels = labels
        self._row_priors = row_priors
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

    def row_priors(self) -> "Scan | None":
        """Return the columns of priors of the rows, to be read beside them; None without any."""
        if not self._row_priors:
            return None
        dtype = precision_of(self._reader, self._row_priors)
        return Scan(self._reader, Choice(self._row_priors, None, dtype), None)

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


def scan(
    data: RowsLike,
    columns: Sequence[str | int] | str | int | None = None,
    weights: object = None,
    *,
    labels: str | int | None = None,
    row_priors: Sequence[str | int] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    missing: Sequence[str] = MISSING,
) -> Scan:
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
    row_priors : sequence of str or int, optional
        Columns of priors of the rows, one for each component and then the noise if there is any,
        which are no features then: `fit` reads them beside the rows.
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

    Examples
    --------
    >>> import numpy as np
    >>> import gaussmix
    >>> np.save("rows.npy", np.arange(8.0).reshape(4, 2))
    >>> gaussmix.scan("rows.npy")
    <Scan of rows.npy: 4 x 2 float64>
    >>> [table.rows.shape for table in gaussmix.scan("rows.npy", columns=[1])]
    [(4, 1)]
    """
    text = check_format(delimiter, decimal, missing)
    if isinstance(data, Scan) and (columns, weights, labels, row_priors) == (None,) * 4:
        return data
    if text != PLAIN and not may_hold_text(data):
        raise ParameterError(
            "delimiter, decimal and missing are for text files "
            f"({', '.join(TEXT_ENDINGS)}), but data is {shown_data(data)}"
        )
    return _scanned(reader_of(data, "data", text), columns, weights, labels, row_priors, text)


def scan_text(
    path: Path,
    name: str,
    columns: Sequence[str | int] | None = None,
    weights: object = None,
    *,
    labels: str | int | None = None,
    row_priors: Sequence[str | int] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
) -> Scan:
    """Scan a text file, whatever its ending, which errors call by a name: see `scan`."""
    text = check_format(delimiter, decimal, MISSING)
    return _scanned(TextReader(path, text, name), columns, weights, labels, row_priors, text)


def read_all(source: Scan) -> Table:
    """Return all rows of a source, in memory."""
    rows, weight = joined(list(source.blocks()))
    return Table(rows, source.columns, weight, source)


def _scanned(
    reader: Reader,
    columns: Any,
    weights: object,
    labels: object,
    row_priors: Any,
    text: TextFormat,
) -> Scan:
    """Choose columns of a table. `text` is the format of a file with weights."""
    weight = None if weights is None else _weight_column(reader, weights)
    label = None if labels is None else _column(reader, labels)
    priors = _prior_columns(reader, row_priors)
    told = priors if label is None else (label, *priors)
    if told and columns is None:
        columns = [j for j in range(reader.n_columns) if j not in (*told, weight)]
    features = _features(reader, columns, weight)
    for column in told:
        if column in (*features, weight):
            name = "labels" if column == label else "row_priors"
            raise ParameterError(
                f"{name} must be a column of its own, but {reader.column_name(column)} is a "
                "feature or the weights"
            )
    choice = Choice(features, weight, precision_of(reader, features))
    if weight is not None:
        reader.dtype(weight)
    if weights is None or weight is not None:
        return Scan(reader, choice, None, label, priors)
    return Scan(reader, choice, _weight_reader(reader, weights, text), label, priors)


def _prior_columns(reader: Reader, row_priors: Any) -> tuple[int, ...]:
    if row_priors is None:
        return ()
    listed = [row_priors] if isinstance(row_priors, str | numbers.Integral) else row_priors
    if not isinstance(listed, Iterable) or isinstance(listed, np.ndarray):
        raise ParameterError(
            f"row_priors must be names or numbers of columns, got {type(row_priors).__name__}: "
            "give arrays to fit"
        )
    found = tuple(_column(reader, column) for column in listed)
    if not found or len({*found}) < len(found):
        raise ParameterError(f"row_priors must be different columns, got {listed!r}")
    return found


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
        f"{reader.name} has no column {column!r}; there are {shown_columns(reader)}"
    )


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
        values = weight_values(weights, reader.n_samples, "weights")
        return ArrayReader(values[:, None], name="weights")
    found = path_reader(Path(weights), text)
    if found.n_columns != 1:
        raise DataError(f"{weights}: one column of numbers is wanted, got {found.n_columns}")
    if None not in (found.n_samples, reader.n_samples) and found.n_samples != reader.n_samples:
        raise _uneven(found.name, f"{found.n_samples}", reader.n_samples)
    return found


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
