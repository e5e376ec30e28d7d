"""Columns that are kept from the rows' own file, and answers written beside them."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gaussmix.errors import ParameterError
from gaussmix.io import arrow
from gaussmix.io.atomic import replacing
from gaussmix.io.readers import Array, DataError
from gaussmix.io.sinks import check_ending, packed, text_format
from gaussmix.io.text import delimiter_of


class Kept(NamedTuple):
    """Columns of any values: their names, and the rows of them."""

    names: list[str]
    rows: Iterator[tuple[object, ...]]


def check_beside(path: Path) -> str:
    """Return a path's ending; DataError unless a file of that kind holds text and numbers."""
    ending = check_ending(path)
    if ending == ".npy":
        raise DataError(f"{path}: a .npy file has no place for columns that are kept; write .csv")
    return ending


def write_beside(path: Path, kept: Kept, blocks: Iterable[Array], names: Sequence[str]) -> None:
    """Write kept columns, and the numbers in blocks beside them, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in .csv, .csv.gz, .tsv, .tsv.gz or .parquet.
    kept : Kept
        Of as many rows as the blocks have.
    blocks : iterable of ndarrays, of shape (n, n_columns) or all (n,)
    names : sequence of str
        Names of the numbers' columns.
    """
    ending = check_beside(path)
    header = _header(str(path), kept, names)
    with replacing(path) as file:
        parts = _parts(kept, blocks)
        if ending in arrow.PARQUET_ENDINGS:
            arrow.write_columns(file, map(_columns, parts), header, str(path))
        else:
            with packed(path, file) as text:
                _write_text(text, parts, header, delimiter_of(path))


def write_text_beside(
    file: BinaryIO, kept: Kept, blocks: Iterable[Array], names: Sequence[str]
) -> None:
    """Write the same as text to an open file, such as standard output."""
    _write_text(file, _parts(kept, blocks), _header("the output", kept, names), ",")


def _header(name: str, kept: Kept, names: Sequence[str]) -> list[str]:
    header = [*kept.names, *names]
    if len({*header}) < len(header):
        raise ParameterError(f"columns of {name} must have different names, got {header}")
    return header


Part = tuple[list[tuple[object, ...]], Array]


def _parts(kept: Kept, blocks: Iterable[Array]) -> Iterator[Part]:
    for block in blocks:
        yield list(itertools.islice(kept.rows, len(block))), block.reshape(len(block), -1)


def _columns(part: Part) -> list[Sequence[object]]:
    rows, numbers = part
    return [*zip(*rows, strict=True), *numbers.T.copy()]


def _write_text(
    file: BinaryIO, parts: Iterator[Part], header: Sequence[str], delimiter: str
) -> None:
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        for rows, numbers in parts:
            form = text_format(numbers.dtype)
            for values, answers in zip(rows, numbers.tolist(), strict=True):
                writer.writerow([*values, *(form % answer for answer in answers)])
    finally:
        text.detach()  # the file is another's to close
