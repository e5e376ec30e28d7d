"""What every reader of rows shares: which columns are wanted, and in blocks of which size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.checks import aligned
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import PathLike
from gaussmix.io.blocks import Block
from gaussmix.io.conversion import place

BLOCK_BYTES = 1 << 22  # of rows read at once: what transposing columns into them keeps in the cache

Array = NDArray[Any]


class DataError(ValueError):
    """Data cannot be read or written as asked; the message names the file and the place."""


class Choice(NamedTuple):
    """Columns to read, by index, and the precision of the features."""

    features: tuple[int, ...]
    weight: int | None
    dtype: np.dtype[np.floating]

    @property
    def columns(self) -> tuple[int, ...]:
        """All of them, the weight's last."""
        return self.features if self.weight is None else (*self.features, self.weight)


class Reader(ABC):
    """A table that can be read again and again, from its first row, in blocks of bounded size."""

    name: str
    """What errors call it."""
    columns: tuple[str, ...] | None
    """Names of all columns, if they have names."""
    n_columns: int
    n_samples: int | None
    """Number of rows, if it is known without reading."""
    weighted = False
    """Whether blocks have weights that are no column."""

    @abstractmethod
    def dtype(self, column: int) -> np.dtype[np.floating]:
        """Return float32 or float64 for a column; DataError if it does not hold numbers."""

    @abstractmethod
    def read(self, choice: Choice) -> Iterator[Block]:
        """Read chosen columns."""

    def values(self, columns: Sequence[int]) -> Iterator[tuple[object, ...]]:
        """Return what stands in columns, row by row; it need not be numbers."""
        dtype = max((self.dtype(column) for column in columns), key=lambda found: found.itemsize)
        for block in self.read(Choice(tuple(columns), None, dtype)):
            yield from map(tuple, block.rows.tolist())

    def column_name(self, column: int) -> str:
        """Return what errors call a column."""
        return f"column {column}" if self.columns is None else f"column {self.columns[column]!r}"

    def place(self, row: int, column: int) -> str:
        """Return what errors call the place of a value."""
        return place(row, column, self.columns)

    def without_numbers(self, column: int, found: object) -> NoReturn:
        """Raise the error for a column of other things than numbers."""
        raise DataError(
            f"{self.name}, {self.column_name(column)}: real numbers are wanted, got {found}; "
            "choose other columns by columns=[...], or --columns a,b"
        )


def block_rows(n_columns: int, itemsize: int = 8) -> int:
    """Return how many rows to read at once: whole groups of them."""
    return max(1, BLOCK_BYTES // (n_columns * itemsize * GROUP_ROWS)) * GROUP_ROWS


def take(part: Array, choice: Choice) -> Block:
    """Return chosen columns of rows (n, n_columns): views where they need no change."""
    everything = choice.features == tuple(range(part.shape[1]))
    rows = part if everything else np.take(part, choice.features, axis=1)
    weight = None if choice.weight is None else part[:, choice.weight]
    with np.errstate(over="ignore"):  # a long double too large becomes inf, which is refused later
        rows = aligned(np.ascontiguousarray(rows, dtype=choice.dtype))
    if weight is not None:
        weight = aligned(np.ascontiguousarray(weight, dtype=np.float64))
    return Block(rows, weight)


def join(columns: Sequence[Array], choice: Choice) -> Block:
    """Return rows made of chosen columns (n,), and their weights."""
    n_features = len(choice.features)
    rows = np.empty((len(columns[0]), n_features), choice.dtype)
    for j, column in enumerate(columns[:n_features]):
        rows[:, j] = column
    weight = None if choice.weight is None else np.array(columns[-1], dtype=np.float64)
    return Block(rows, weight)


def located(
    path: PathLike, blocks: Iterator[Block], errors: tuple[type[Exception], ...] = ()
) -> Iterator[Block]:
    """Return a file's blocks; what fails in their midst tells the file and the place.

    Of what fails, an OSError that the operating system gave stays one, all else is a DataError.
    """
    row = 0
    try:
        for block in blocks:
            yield block
            row += len(block.rows)
    except DataError:
        raise
    except OSError as error:
        if error.errno is None:  # pyarrow's own
            raise DataError(f"{path}, after row {row}: {error}") from error
        reason = f"{error.strerror}, after row {row}"
        raise OSError(error.errno, reason, str(path)) from error
    except errors as error:
        raise DataError(f"{path}, after row {row}: {error}") from error
