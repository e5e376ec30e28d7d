"""Whatever holds numbers, as arrays of them: the one conversion that every input goes through.

A missing value becomes NaN, however it is marked: None, `pandas.NA`, a null or a masked element.
The result has float32 only where all of it was; all other numbers become float64.
"""

import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError

Array = NDArray[Any]

NUMBERS = "fiub"
"""Kinds of dtype whose values are real numbers."""
MARKS = ("NoneType", "NAType", "NaTType", "MaskedConstant")
"""Types of objects that stand for a missing value."""
REAL = (float, int, np.floating, np.integer, np.bool_)
"""Types of objects that NumPy converts as they are."""


def as_numbers(values: object, name: str) -> Array:
    """Return an array of real numbers of any shape; NaN stands for what is missing.

    An array of numbers is returned as it is, objects become float64.

    Raises
    ------
    TypeError
        If the values are sparse or hold objects that are not numbers.
    ValueError
        If they are ragged, complex, text, dates or records.
    """
    frame = frame_of(values)
    if frame is not None:
        return frame.numbers(name)
    array = _as_array(values, name)
    kind = array.dtype.kind
    if kind in NUMBERS:
        return array
    if kind == "O":
        return as_floats(array, lambda *index: ", ".join([name, *_places(index)]))
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} must be real, got {array.dtype}")
    raise ValueError(
        f"{name} must hold numbers, got dtype {array.dtype}; text, dates and records have to "
        "be converted to numbers first"
    )


def as_floats(objects: Array, where: Callable[..., str]) -> Array:
    """Return an array of objects as float64; TypeError at the first that is no number.

    `where` names the place of an index.
    """
    kinds = {type(value) for value in objects.flat}
    marks = {kind for kind in kinds if kind.__name__ in MARKS}
    if marks - {type(None)}:  # NumPy itself makes NaN of None
        missing = np.frompyfunc(lambda value: type(value) in marks, 1, 1)(objects)
        objects = np.where(missing.astype(bool), np.nan, objects)
    if not all(issubclass(kind, REAL) for kind in kinds - marks):
        _check_objects(objects, where)
    try:
        return objects.astype(np.float64)
    except OverflowError:
        _check_objects(objects, where)
        raise


def precision(dtype: Any) -> np.dtype[np.floating]:
    """Return the precision that numbers of a dtype are worked on in: float32 if they have it."""
    single = dtype.kind == "f" and dtype.itemsize == 4
    return np.dtype(np.float32 if single else np.float64)


def place(row: int, column: int | None = None, names: Sequence[str] | None = None) -> str:
    """Return what errors call a place in a table, or in a sequence."""
    if column is None:
        return f"row {row}"
    return f"row {row}, column {column if names is None else repr(names[column])}"


class Frame(ABC):
    """A data frame: columns that each have a type of their own.

    Attributes
    ----------
    package : str
        That the frame comes from.
    n_rows, n_columns : int
    names : tuple of str, or None
        Of the columns, if all are strings.
    """

    package: str

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.n_rows, self.n_columns = frame.shape
        names = tuple(frame.columns)
        self.names = names if all(isinstance(name, str) for name in names) else None

    @abstractmethod
    def kind(self, column: int) -> Any:
        """Return the type of a column."""

    @abstractmethod
    def precision(self, column: int) -> np.dtype[np.floating] | None:
        """Return float32 for a column that has it, float64 for other numbers and for objects.

        None stands for text, dates and all else that is no number.
        """

    @abstractmethod
    def part(self, start: int, stop: int) -> "Frame":
        """Return some of the rows."""

    @abstractmethod
    def values(self, column: int) -> Array:
        """Return a column, of numbers or objects."""

    @abstractmethod
    def whole(self) -> Array | None:
        """Return all columns in one array if all have the same type, one of NumPy's numbers."""

    def column(self, column: int, name: str, first_row: int = 0) -> Array:
        """Return a column as numbers; NaN stands for what is missing."""
        values = self.values(column)
        return column_numbers(values, name, first_row, column, self.names)

    def numbers(self, name: str) -> Array:
        """Return all columns as numbers."""
        whole = self.whole()
        if whole is not None:
            return whole
        columns = [self.column(j, name) for j in range(self.n_columns)]
        dtypes = [self.precision(j) or np.dtype(np.float64) for j in range(self.n_columns)]
        rows = np.empty((self.n_rows, self.n_columns), max(dtypes, key=lambda d: d.itemsize))
        for j, column in enumerate(columns):
            rows[:, j] = column
        return rows


def column_numbers(
    values: Array, name: str, first_row: int, column: int, names: Sequence[str] | None
) -> Array:
    """Return a column of a frame as numbers; errors name its place in the frame."""
    kind = values.dtype.kind
    if kind in NUMBERS:
        return values
    called = column if names is None else repr(names[column])
    if kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must be real, got {values.dtype} in column "
            f"{called}"
        )
    if kind != "O":
        raise ValueError(
            f"{name} must hold numbers, got dtype {values.dtype} in column {called}; text, dates "
            "and records have to be converted to numbers first, or left out"
        )
    return as_floats(values, lambda row: f"{name}, {place(first_row + row, column, names)}")


class PandasFrame(Frame):
    """A data frame of pandas, with NumPy's types, its own nullable ones or Arrow's."""

    package = "pandas"

    def kind(self, column: int) -> Any:
        """Return the type of a column."""
        return self._frame.dtypes.iloc[column]

    def precision(self, column: int) -> np.dtype[np.floating] | None:
        """Return float32 for a column that has it, float64 for other numbers and for objects."""
        kind = self.kind(column)
        kind = getattr(kind, "subtype", kind)  # of a sparse column, and not of an interval
        # text has the kind of objects too, and so have categories and decimals of Arrow
        is_text = not isinstance(kind, np.dtype) and issubclass(kind.type, str)
        return precision(kind) if kind.kind in NUMBERS + "O" and not is_text else None

    def part(self, start: int, stop: int) -> "PandasFrame":
        """Return some of the rows."""
        return PandasFrame(self._frame.iloc[start:stop])

    def values(self, column: int) -> Array:
        """Return a column, of numbers or objects."""
        series = self._frame.iloc[:, column]
        nullable = not isinstance(series.dtype, np.dtype) and series.dtype.kind in NUMBERS
        if nullable and not hasattr(series.dtype, "fill_value"):  # which sparse columns have
            found: Array = series.to_numpy(dtype=precision(series.dtype), na_value=np.nan)
            return found
        return np.asarray(series)

    def whole(self) -> Array | None:
        """Return all columns in one array if all have the same type, one of NumPy's numbers."""
        kinds = set(self._frame.dtypes)
        kind = kinds.pop() if len(kinds) == 1 else None
        uniform = isinstance(kind, np.dtype) and kind.kind in NUMBERS
        return np.asarray(self._frame) if uniform else None


class PolarsFrame(Frame):
    """A data frame of polars."""

    package = "polars"

    def kind(self, column: int) -> Any:
        """Return the type of a column."""
        return self._frame.dtypes[column]

    def precision(self, column: int) -> np.dtype[np.floating] | None:
        """Return float32 for a column that has it, float64 for other numbers and for objects."""
        kind = self.kind(column)
        if not (kind.is_numeric() or str(kind) in ("Boolean", "Object", "Null")):
            return None
        return np.dtype(np.float32 if str(kind) == "Float32" else np.float64)

    def part(self, start: int, stop: int) -> "PolarsFrame":
        """Return some of the rows."""
        return PolarsFrame(self._frame.slice(start, stop - start))

    def values(self, column: int) -> Array:
        """Return a column, of numbers or objects."""
        values: Array = self._frame.to_series(column).to_numpy()
        return values

    def whole(self) -> Array | None:
        """Return all columns in one array if all have the same type, one of NumPy's numbers."""
        kinds = set(map(str, self._frame.dtypes))
        uniform = len(kinds) == 1 and kinds <= {"Float32", "Float64"}
        return np.asarray(self._frame) if uniform else None


FRAMES: dict[str, type[Frame]] = {"pandas": PandasFrame, "polars": PolarsFrame}


def frame_of(values: object) -> Frame | None:
    """Return a data frame of pandas or polars; None for anything else. Neither is imported."""
    kind = type(values)
    package = kind.__module__.partition(".")[0]
    return FRAMES[package](values) if package in FRAMES and kind.__name__ == "DataFrame" else None


def _as_array(values: object, name: str) -> Array:
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. {_way_out(name)}"
        )
    if isinstance(values, list | tuple) and any(isinstance(v, np.ma.MaskedArray) for v in values):
        values = [_unmasked(value) for value in values]  # NumPy would forget their masks
    try:
        array = np.asarray(_unmasked(values))
    except ValueError as error:  # ragged sequences
        raise ValueError(
            f"{name} must be a table of numbers whose rows have equal lengths: {error}"
        ) from None
    is_number = isinstance(values, numbers.Number) or type(values).__name__ in MARKS[1:]
    if array.ndim == 0 and array.dtype.kind == "O" and not is_number:
        raise ParameterError(f"{name} must be a table of numbers, got {type(values).__name__}")
    return array


def _unmasked(values: Any) -> Any:
    """Return a masked array with NaN in the place of what is masked."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return values
    if values.dtype.kind == "O":
        return np.where(np.ma.getmaskarray(values), np.array(None), values.data)
    floats: Any = values if values.dtype.kind in "fc" else values.astype(np.float64)
    return floats.filled(np.nan)


def _places(index: Sequence[int]) -> list[str]:
    """Return what errors call an index of an array, in no words or in one."""
    return [place(index[0], index[1] if len(index) > 1 else None)] if index else []


def _check_objects(array: Array, where: Callable[..., str]) -> None:
    """Raise unless every object is a real number or missing."""
    for index, value in np.ndenumerate(array):
        _check_object(value, where(*index))


def _check_object(value: object, where: str) -> None:
    if type(value).__name__ in MARKS:
        return
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        raise ValueError(f"Complex data not supported: {where} is {value!r}")
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"Input contains a value too large for float64: {where}") from None
    except (TypeError, ValueError):
        raise TypeError(
            f"argument must be a real number (a string is not a number): {where} is {value!r}"
        ) from None


def _way_out(name: str) -> str:
    """Say what to do with sparse data of this name."""
    if name != "X":
        return "Use '.toarray()' to convert it to an array."
    return (
        "Only KMeans takes sparse rows, in one matrix of SciPy. Use '.toarray()' to convert them "
        "to an array, or TruncatedSVD of scikit-learn to reduce many features to few."
    )
