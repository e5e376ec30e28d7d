"""Files whose parts Dask's workers read for themselves."""

from pathlib import Path
from typing import Any

import numpy as np

from gaussmix._core.types import Rows
from gaussmix.errors import ParameterError
from gaussmix.io.arrow import PARQUET_ENDINGS
from gaussmix.io.readers import block_rows
from gaussmix.io.scans import scan

PART_BLOCKS = 16  # of a .npy file: some 64 MB, which a worker reads in a moment


def collection(
    path: Path,
    columns: list[str | int] | None,
    weights: str | None,
    **text: Any,
) -> tuple[Any, Any]:
    """Return rows, and weights or None, that Dask's workers read from a file.

    Parameters
    ----------
    path : Path
        Of a .npy, .csv or .parquet file, or a folder of .parquet files, that workers see under the
        same name.
    columns : list of str or int, optional
        As `scan` takes them.
    weights : str, optional
        A column of a file whose columns have names.
    **text
        The delimiter and the decimal mark of a text file, as `scan` takes them.

    Raises
    ------
    ParameterError
        If the file is of another kind, or weights are no column.
    """
    source = scan(
        path, columns, weights, **text
    )  # what is wrong with the file is said before the work
    path = path.resolve()
    if path.suffix.lower() == ".npy" and weights is None:
        return _parts(path, columns), None
    frame = _frame(path, text)
    if weights is not None and weights not in frame.columns:
        raise ParameterError(
            f"weights must be a column of {path.name} where its rows are read by a cluster, got "
            f"{weights!r}"
        )
    return frame[list(source.columns or ())], None if weights is None else frame[weights]


def _frame(path: Path, text: dict[str, Any]) -> Any:
    import dask.dataframe as dd

    if path.is_dir() or path.suffix.lower() in PARQUET_ENDINGS:
        return dd.read_parquet(path)
    if path.suffix.lower() == ".csv":
        return dd.read_csv(path, **text)
    raise ParameterError(
        f"{path}: a .npy file, a .csv file with a header, or .parquet is wanted where a cluster "
        "reads the rows"
    )


def _parts(path: Path, columns: list[str | int] | None) -> list[Any]:
    from dask import delayed

    array = np.load(path, mmap_mode="r")
    step = PART_BLOCKS * block_rows(array[0].size, array.itemsize)
    read = delayed(_read_part, pure=False)
    return [read(path, columns, start, start + step) for start in range(0, len(array), step)]


def _read_part(path: Path, columns: list[int] | None, start: int, stop: int) -> Rows:
    array = np.load(path, mmap_mode="r")
    rows: Rows = array.reshape(len(array), -1)[start:stop]
    return np.array(rows if columns is None else rows[:, columns])
