"""Predictions written block by block to `.npy`, `.csv`, `.tsv` and `.parquet` files.

Those of text may be compressed by gzip.
"""

import gzip
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gaussmix._core.types import PathLike
from gaussmix.errors import ParameterError
from gaussmix.io import arrow
from gaussmix.io.atomic import replacing, shown_ending
from gaussmix.io.readers import Array, DataError
from gaussmix.io.text import TEXT_ENDINGS, delimiter_of, ending_of, number

PACKED = ".gz"  # after the ending of a text file
ENDINGS = (
    ".npy",
    *TEXT_ENDINGS,
    *(ending + PACKED for ending in TEXT_ENDINGS),
    *arrow.PARQUET_ENDINGS,
)
LEVEL = 6  # of gzip, its program's own: 9 takes twice as long for labels, and saves 2 %
HEADER_BYTES = 128  # of a .npy file: room for any number of rows
GROUP_VALUES = 1 << 20  # of a row group in a Parquet file: enough to be read fast


def write(path: PathLike, blocks: Iterable[Array], names: Sequence[str] | None = None) -> None:
    """Write the rows of many blocks to one file, whole or not at all.

    Blocks are written as they come, so memory stays bounded however many there are, and numbers so
    that they read back the same. When anything fails, a file that was there is as it was.

    Parameters
    ----------
    path : str or path
        Ends in .npy, .csv, .csv.gz, .tsv, .tsv.gz or .parquet.
    blocks : iterable of ndarrays, of shape (n, n_columns) or all (n,)
        Of one dtype; what `predict` or `predict_proba` return for the blocks of a source, say.
    names : sequence of str, optional
        Names of the columns. A text file starts with them as a header, unless they would not read
        back as one; a Parquet file has "0", "1", ... without; a .npy file has no place for them.

    Raises
    ------
    DataError
        If the ending is none of those, or blocks do not fit together.
    OSError
        If the file cannot be written; it names the path.
    """
    path = Path(path)
    ending = check_ending(path)
    with replacing(path) as file:
        first, parts = _alike(path, blocks, names)
        if ending == ".npy":
            _write_npy(file, first, parts)
        elif ending in arrow.PARQUET_ENDINGS:
            columns = names or [str(column) for column in range(_n_columns(first))]
            arrow.write_parquet(file, _gathered(parts), columns, str(path))
        else:
            with packed(path, file) as text:
                _write_text(text, parts, names, delimiter_of(path))


def write_text(file: BinaryIO, blocks: Iterable[Array], names: Sequence[str] | None = None) -> None:
    """Write the rows of many blocks as text to an open file, such as standard output."""
    _, parts = _alike(Path("-"), blocks, names)
    _write_text(file, parts, names, ",")


def check_ending(path: Path) -> str:
    """Return a path's ending, of compressed text its own; DataError if none can be written."""
    ending = ending_of(path)
    if ending not in ENDINGS or path.suffix.lower() not in (ending, PACKED):
        raise DataError(
            f"{path}: the ending must be one of {', '.join(ENDINGS)}, got {shown_ending(path)}"
        )
    return ending


@contextmanager
def packed(path: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """Return where the text of a path's file goes: the file, or what compresses for it.

    No name and no time is written, so that the same text gives the same file.
    """
    if path.suffix.lower() != PACKED:
        yield file
        return
    with (
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as compressing,
        BufferedWriter(cast(RawIOBase, compressing)) as text,  # rows are written one by one
    ):
        yield text


def _alike(
    path: Path, blocks: Iterable[Array], names: Sequence[str] | None
) -> tuple[Array, Iterator[Array]]:
    """Return the first block, and all of them, checked to fit together."""
    iterator = map(np.asarray, blocks)
    first = next(iterator, None)
    if first is None:
        raise DataError(f"{path}: there are no blocks to write; at least one is wanted")
    if first.dtype.kind == "U" and ending_of(path) == ".npy":
        raise DataError(
            f"{path}: names of classes are text, and no numbers; write .csv or .parquet"
        )
    if first.ndim not in (1, 2) or first.dtype.kind not in "fiubU":
        raise DataError(
            f"{path}: blocks of numbers, (n,) or (n, n_columns), are wanted, got shape "
            f"{first.shape} and dtype {first.dtype}"
        )
    if names is not None and len(names) != _n_columns(first):
        raise ParameterError(
            f"names must be one per column, got {len(names)} for {_n_columns(first)} columns"
        )
    return first, _checked(path, itertools.chain([first], iterator), first)


def _checked(path: Path, blocks: Iterator[Array], first: Array) -> Iterator[Array]:
    for place, block in enumerate(blocks):
        if block.dtype != first.dtype or block.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{path}: block {place} has shape {block.shape} and dtype {block.dtype}, where the "
                f"first has {first.shape} and {first.dtype}; only numbers of rows may differ"
            )
        yield block


def _n_columns(block: Array) -> int:
    return 1 if block.ndim == 1 else block.shape[1]


def _write_npy(file: BinaryIO, first: Array, parts: Iterator[Array]) -> None:
    """Write the numbers after a header with room, and the header when their count is known.

    They are written and not memory-mapped: a full disk is then an error and not a SIGBUS.
    """
    n_rows = 0
    file.seek(HEADER_BYTES)
    for part in parts:
        file.write(np.ascontiguousarray(part).data)
        n_rows += len(part)
    file.seek(0)
    file.write(_npy_header(first.dtype, (n_rows, *first.shape[1:])))


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of format 1.0, which np.load wants to end at a multiple of 64 bytes."""
    fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    start = np.lib.format.magic(1, 0)
    length = HEADER_BYTES - len(start) - 2
    return start + struct.pack("<H", length) + f"{fields!r}".ljust(length - 1).encode() + b"\n"


def _gathered(parts: Iterator[Array]) -> Iterator[Array]:
    """Join blocks, as tables, until they are large enough for a row group."""
    waiting: list[Array] = []
    for part in parts:
        waiting.append(part.reshape(len(part), -1))
        if sum(table.size for table in waiting) >= GROUP_VALUES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _write_text(
    file: BinaryIO, parts: Iterator[Array], names: Sequence[str] | None, delimiter: str
) -> None:
    if names is not None and _is_header(names):
        file.write((_line(names, delimiter) + "\n").encode())
    for part in parts:
        if part.dtype.kind == "U":
            rows = part.reshape(len(part), -1).tolist()
            file.writelines((_line(row, delimiter) + "\n").encode() for row in rows)
        else:
            np.savetxt(file, part, fmt=text_format(part.dtype), delimiter=delimiter)


def _is_header(names: Sequence[str]) -> bool:
    """Whether the names, written as a first row, would be read as the same names."""
    return len(set(names)) == len(names) and all(
        name.strip().splitlines() == [name] and number(name) is None for name in names
    )


def _line(texts: Sequence[str], delimiter: str) -> str:
    special = {delimiter, '"', "\n", "\r"}
    quoted = ('"' + t.replace('"', '""') + '"' if not t or set(t) & special else t for t in texts)
    return delimiter.join(quoted)


def text_format(dtype: np.dtype[Any]) -> str:
    """Return how numbers, or names, are written in text, so that they read back the same."""
    if dtype.kind == "U":
        return "%s"
    if dtype.kind in "iub":
        return "%d"
    return "%.9g" if dtype == np.float32 else "%.17g"
