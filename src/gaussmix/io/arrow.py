"""Rows of pyarrow: Parquet and Arrow files, tables, datasets. Nothing else imports pyarrow."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from gaussmix.io.blocks import Block
from gaussmix.io.conversion import column_numbers
from gaussmix.io.readahead import read_ahead
from gaussmix.io.readers import Array, Choice, DataError, Reader, block_rows, join, located

PARQUET_ENDINGS = (".parquet",)
IPC_ENDINGS = (".arrow", ".feather", ".ipc")
IPC_MAGIC = b"ARROW1"  # of the format for files; that for streams has none

# Each column of a Parquet file is read through a buffer, all of them together of this size and
# none larger or smaller than so. Without, pyarrow holds all of a row group's compressed bytes, and
# those of the groups before: 330 MB for a file of 256, where this takes 90 and is no slower.
BUFFERS_BYTES = 1 << 24
BUFFER_BYTES = (1 << 16, 1 << 20)

# Batches of a Parquet file are so many blocks long, and decoded in a thread of their own while the
# last one is turned from columns to rows. With 4 all takes 1.0 to 1.3 of pyarrow's time to decode
# alone, with 1 it takes 1.1 to 1.5 and 60 MB less; without the thread it took 1.5 to 1.8.
BATCH_BLOCKS = 2


class ArrowReader(Reader):
    """What comes in record batches."""

    def __init__(self, name: str, schema: Any, n_samples: int | None = None) -> None:
        self.name = name
        self.columns = tuple(schema.names)
        self.n_columns = len(schema.names)
        self.n_samples = n_samples
        self._types = schema.types

    @abstractmethod
    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Return record batches with at least these columns, mostly of n_rows or fewer rows."""

    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 for what is, float64 for other numbers, booleans and nulls."""
        assert self.columns is not None
        name = self.columns[column]
        if self.columns.count(name) > 1:
            raise DataError(f"{self.name}: two columns are named {name!r}; one is wanted")
        kind, types = self._types[column], _pyarrow(self.name).types
        inner = kind.value_type if types.is_dictionary(kind) else kind
        known = ("floating", "integer", "boolean", "decimal", "null")
        if not any(getattr(types, f"is_{one}")(inner) for one in known):
            self.without_numbers(column, kind)
        return np.dtype(np.float32 if types.is_float32(kind) else np.float64)

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Return what stands in columns, row by row, as Python has it."""
        assert self.columns is not None
        names = [self.columns[column] for column in columns]
        for batch in self.batches(names, block_rows(len(names))):
            parts = [batch.column(batch.schema.get_field_index(name)) for name in names]
            yield from zip(*(part.to_pylist() for part in parts), strict=True)

    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns; an error tells the place."""
        errors = (_pyarrow(self.name).ArrowException,)
        return located(self.name, self._read(choice), errors)

    def _read(self, choice: Choice) -> Iterator[Block]:
        assert self.columns is not None
        names = [self.columns[column] for column in choice.columns]
        n_rows, row = block_rows(len(names), choice.dtype.itemsize), 0
        for batch in self.batches(names, n_rows):
            for start in range(0, batch.num_rows, n_rows):
                part = batch.slice(start, n_rows)
                yield join([self._numbers(part, name, row) for name in names], choice)
                row += part.num_rows

    def _numbers(self, batch: Any, name: str, row: int) -> Array:
        column = batch.column(batch.schema.get_field_index(name))
        assert self.columns is not None
        values: Array = column.to_numpy(zero_copy_only=False)
        return column_numbers(values, self.name, row, self.columns.index(name), self.columns)


class TableReader(ArrowReader):
    """A table in memory."""

    def __init__(self, table: Any) -> None:
        super().__init__("pyarrow table", table.schema, table.num_rows)
        self._table = table

    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Return views."""
        return iter(self._table.select(names).to_batches(max_chunksize=n_rows))


class DatasetReader(ArrowReader):
    """A dataset: many files, say."""

    def __init__(self, dataset: Any, name: str = "pyarrow dataset") -> None:
        kind = getattr(getattr(dataset, "format", None), "default_extname", None)
        counted = dataset.count_rows() if kind == "parquet" else None  # others would be read for it
        super().__init__(name, dataset.schema, counted)
        self._dataset = dataset

    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Read the files in their order; pyarrow has a row group or two in memory."""
        ahead = {"batch_readahead": 1, "fragment_readahead": 1}
        batches: Iterator[Any] = self._dataset.to_batches(columns=names, batch_size=n_rows, **ahead)
        return batches


class ParquetFileReader(ArrowReader):
    """A ParquetFile that the caller has opened."""

    def __init__(self, file: Any) -> None:
        super().__init__("pyarrow ParquetFile", file.schema_arrow, file.metadata.num_rows)
        self._file = file

    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Read one row group after the other."""
        batches: Iterator[Any] = self._file.iter_batches(n_rows, columns=names)
        return batches


class ParquetReader(ArrowReader):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        try:
            with self._open(1) as file:
                super().__init__(self.name, file.schema_arrow, file.metadata.num_rows)
        except _unreadable(path) as error:
            raise DataError(f"{path}: not a Parquet file ({error})") from None

    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Read one row group after the other."""
        with self._open(len(names)) as file:
            decoded = file.iter_batches(BATCH_BLOCKS * n_rows, columns=names)
            with read_ahead(decoded) as batches:
                yield from batches

    def _open(self, n_columns: int) -> Any:
        _pyarrow(self.name)
        from pyarrow import parquet

        least, most = BUFFER_BYTES
        size = min(max(BUFFERS_BYTES // n_columns, least), most)
        return parquet.ParquetFile(self._path, buffer_size=size, pre_buffer=False)


class IpcReader(ArrowReader):
    """A file of Arrow's own formats, the one for files (Feather) or the one for streams."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        arrow = _pyarrow(self.name)
        try:
            with arrow.OSFile(self.name) as file:
                super().__init__(self.name, self._opened(file, None).schema)
        except _unreadable(path) as error:
            raise DataError(f"{path}: not an Arrow file ({error})") from None

    def batches(self, names: list[str], n_rows: int) -> Iterator[Any]:
        """Read the file's batches one after the other."""
        assert self.columns is not None
        wanted = sorted(self.columns.index(name) for name in names)
        with _pyarrow(self.name).OSFile(self.name) as file:  # not memory-mapped: memory is bounded
            opened = self._opened(file, wanted)
            if hasattr(opened, "get_batch"):
                yield from map(opened.get_batch, range(opened.num_record_batches))
            else:
                yield from opened

    def _opened(self, file: Any, columns: list[int] | None) -> Any:
        from pyarrow import ipc

        of_files = file.read(len(IPC_MAGIC)) == IPC_MAGIC
        file.seek(0)
        opener = ipc.open_file if of_files else ipc.open_stream
        return opener(file, options=ipc.IpcReadOptions(included_fields=columns))


def reader(data: object) -> Reader | None:
    """Return a reader of an object of pyarrow's that can be read again; None for anything else."""
    if not is_arrow(data):
        return None
    import pyarrow
    from pyarrow import dataset, parquet

    if isinstance(data, pyarrow.RecordBatch):
        return TableReader(pyarrow.Table.from_batches([data]))
    kinds: dict[Any, Callable[[Any], Reader]] = {
        pyarrow.Table: TableReader,
        dataset.Dataset: DatasetReader,
        parquet.ParquetFile: ParquetFileReader,
    }
    return next((make(data) for kind, make in kinds.items() if isinstance(data, kind)), None)


def partitioned(folder: Path, files: Sequence[Path]) -> Reader:
    """Return a reader of the Parquet files of a folder whose folders say values of columns.

    Such partitions are Hive's: ``year=2026/month=1/part.parquet``.
    """
    arrow = _pyarrow(str(folder))
    from pyarrow import dataset

    try:
        found = dataset.dataset(
            [str(file) for file in files],
            format="parquet",
            partitioning=dataset.partitioning(flavor="hive"),
            partition_base_dir=str(folder),
        )
        return DatasetReader(found, str(folder))
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{folder}: not a folder of Parquet files ({error})") from None


def is_arrow(data: object) -> bool:
    """Whether something is one of pyarrow's objects."""
    return type(data).__module__.partition(".")[0] == "pyarrow"


def decompressed(path: Path) -> Any:
    """Open a file compressed by Zstandard."""
    arrow = _pyarrow(str(path))
    with path.open("rb"):  # what the system says of a missing file is better than pyarrow's word
        return arrow.CompressedInputStream(arrow.OSFile(str(path)), "zstd")


def write_parquet(file: BinaryIO, parts: Iterable[Array], names: Sequence[str], name: str) -> None:
    """Write tables (n, len(names)) as the row groups of a Parquet file; there is at least one."""
    arrow = _pyarrow(name)
    from pyarrow import parquet

    writer = None
    try:
        for part in parts:
            columns = [arrow.array(np.ascontiguousarray(column)) for column in part.T]
            batch = arrow.record_batch(columns, names=list(names))
            if writer is None:
                writer = parquet.ParquetWriter(file, batch.schema)
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def write_columns(
    file: BinaryIO, parts: Iterable[Sequence[Sequence[object]]], names: Sequence[str], name: str
) -> None:
    """Write columns of any values, all parts of them of one kind, as `write_parquet` does."""
    arrow = _pyarrow(name)
    from pyarrow import parquet

    writer, schema = None, None
    try:
        for part in parts:
            columns = [arrow.array(column) for column in part]
            if writer is None or schema is None:
                schema = arrow.schema(
                    (label, arrow.string() if arrow.types.is_null(column.type) else column.type)
                    for label, column in zip(names, columns, strict=True)
                )
                writer = parquet.ParquetWriter(file, schema)
            typed = [column.cast(kind) for column, kind in zip(columns, schema.types, strict=True)]
            writer.write_batch(arrow.record_batch(typed, schema=schema))
    finally:
        if writer is not None:
            writer.close()


def _pyarrow(name: str) -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f'{name} needs pyarrow: pip install "gaussmix[arrow]"') from error
    return pyarrow  # type: ignore[no-any-return]


def _unreadable(path: Path) -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for a file that is there, but not what its ending says."""
    with path.open("rb"):  # what the system says of a missing file is better than pyarrow's word
        return (_pyarrow(str(path)).ArrowException, OSError)
