"""Checks of what users pass in: every public entry goes through here, and so does its error."""

import math
import numbers
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussmix._core.checks import aligned
from gaussmix._core.types import FloatArray, PathLike, Rows
from gaussmix.errors import ParameterError
from gaussmix.io.conversion import as_numbers, frame_of, place

Place: TypeAlias = Callable[[int, int | None], str]
"""Names the place of a value, by its row and column; None stands for the weights."""

BLOCK_VALUES = 1 << 16  # values looked at together when searching for one that is not finite

WEIGHT_RANGE = (1e-150, 1e150)  # of summed weights: beyond, weighted squares soon leave float64


def check_rows(
    X: object,
    *,
    name: str = "X",
    n_features: int | None = None,
    estimator: str = "",
    allow_nan: bool = False,
    place: Place | None = None,
) -> Rows:
    """Return X as a finite, C-contiguous float32 or float64 table of rows.

    A C-contiguous native float32 or float64 array is returned as it is. Other numbers are
    converted: big-endian float32 and frames of nothing else to float32, everything else to
    float64. None, `pandas.NA`, nulls and masked elements are missing values, as NaN is.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Nested sequences, arrays of any numeric dtype and memory order, pandas and polars frames.
    name : str
        What to call X in errors.
    n_features : int, optional
        Number of columns that X must have.
    estimator : str
        Name of the estimator, for errors.
    allow_nan : bool
        Whether values may be missing; they are NaN then.
    place : callable, optional
        Names the place of a value in errors: see `Place`.

    Raises
    ------
    TypeError
        If X is sparse, or holds objects that are not numbers.
    ValueError
        If X is not a table, is too small, or holds complex numbers, text, NaN or infinity.
    """
    array = check_numbers(X, name)
    _check_shape(array, X, name, n_features, estimator)
    array = _contiguous(array)
    _check_finite(array, name, place or _place_in(X), allow_nan=allow_nan)
    return array


def check_csr(X: Any, *, n_features: int | None = None, estimator: str = "") -> Any:
    """Return a SciPy sparse matrix as finite rows in CSR form, float32 or float64.

    Rows that are so, and hold no place twice, are returned as they are. Other formats and numbers
    are converted, as by `check_rows`.

    Raises
    ------
    ValueError
        If X is not a table, is too small, or holds complex numbers, NaN or infinity, or values at
        places where it has none.
    """
    _check_shape(X, X, "X", n_features, estimator)
    _check_places(X)
    rows = X.tocsr()
    values = _contiguous(check_numbers(rows.data, "X"))
    if values is not rows.data:
        rows = type(rows)((values, rows.indices, rows.indptr), shape=rows.shape)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if not math.isfinite(_sum(rows.data)):
        _check_finite_entries(rows)
    return rows


def check_n_features(found: int, wanted: int, name: str, estimator: str = "") -> None:
    """Raise ValueError unless rows have as many features as the model."""
    if found != wanted:
        raise ValueError(
            f"{name} has {found} features, but {estimator or 'the model'} is expecting "
            f"{wanted} features as input."
        )


def check_numbers(values: object, name: str) -> NDArray[np.generic]:
    """Return an array of real numbers, of any shape and numeric dtype; objects become float64.

    NaN stands for what is missing. Raises as `check_rows` does for what is no array of numbers.
    """
    return as_numbers(values, name)


def check_sample_weight(
    sample_weight: object, n_samples: int, place: Place | None = None
) -> FloatArray | None:
    """Return weights of the rows as float64, shape (n_samples,); None stays None.

    A number stands for the same weight everywhere. `place` names the place of a weight in errors.

    Raises
    ------
    TypeError
        If the weights are sparse or hold objects that are not numbers.
    ValueError
        If they are not a sequence of n_samples finite, non-negative numbers, not all zero, or
        their sum is so large or small that weighted squares would leave the range of float64.
    """
    if sample_weight is None:
        return None
    weights = check_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must be a number or have shape ({n_samples},), one weight per row, "
            f"got shape {weights.shape}"
        )
    checked: FloatArray = aligned(np.ascontiguousarray(weights, dtype=np.float64))
    _check_finite(checked, "sample_weight", place, rows=False)
    _check_weight_values(checked, place)
    return checked


def check_block(
    rows: Rows,
    weight: FloatArray | None,
    name: str,
    first_row: int,
    place: Place | None = None,
    *,
    allow_nan: bool = False,
) -> None:
    """Raise unless a part of a table, from row `first_row` on, and its weights are as they must be.

    Raises
    ------
    ValueError
        At the first NaN (unless `allow_nan`) or infinity, and at a weight that is negative.
    """
    _check_finite(rows, name, place, first_row, allow_nan=allow_nan)
    if weight is not None and len(weight):
        _check_finite(weight, f"weights of {name}", place, first_row, rows=False)
        _check_not_negative(weight, first_row, place)


def has_nan(rows: Rows) -> bool:
    """Whether any of finite or missing values is missing."""
    return any(np.isnan(block).any() for _, block in _blocks(rows.reshape(-1)))


def check_total_weight(total: float) -> None:
    """Raise unless the sum of weights lies where weighted squares do."""
    low, high = WEIGHT_RANGE
    if not low <= total <= high:
        seen = "all weights are zero" if total == 0 else f"got {total:g}"
        raise ValueError(f"sample_weight must have a sum from {low:g} to {high:g}, but {seen}")


def check_random_state(seed: object) -> np.random.RandomState:
    """Return the RandomState that `seed` stands for.

    None is NumPy's global state, an integer seeds a new one, a RandomState is returned as it is,
    and a Generator lends its stream.
    """
    if seed is None:
        return np.random.mtrand._rand
    if isinstance(seed, np.random.RandomState):
        return seed
    if isinstance(seed, np.random.Generator):
        return np.random.RandomState(seed.bit_generator)
    if isinstance(seed, numbers.Integral) and 0 <= int(seed) < 2**32:
        return _seeded(int(seed))
    raise ParameterError(
        "random_state must be None, an integer from 0 to 2**32 - 1, a numpy RandomState or a "
        f"numpy Generator, got {seed!r}"
    )


class _NoEntropy(np.random.SeedSequence):
    """Zeros, for a state that is seeded right afterwards: hashing entropy for it takes longer."""

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> Any:  # noqa: ARG002
        """Return zeros, as a list: NumPy takes them one by one, which is slow of an array."""
        return [0] * n_words


NO_ENTROPY = _NoEntropy(0)


def _seeded(seed: int) -> np.random.RandomState:
    """Return np.random.RandomState(seed), in a twentieth of the time."""
    random_state = np.random.RandomState(np.random.MT19937(NO_ENTROPY))
    random_state.seed(seed)
    return random_state


def check_n_threads(n_threads: object) -> int | None:
    """Return a number of threads, or None, which leaves the choice to the library."""
    return None if n_threads is None else check_integer("n_threads", n_threads, 1)


def check_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return an integer that is at least `low`, and at most `high` if that is given."""
    if isinstance(value, int | numbers.Integral) and not isinstance(value, bool):
        number = int(value)
        if high is not None and number > high:
            raise ParameterError(f"{name} must be at most {high}, got {value!r}")
        if number >= low:
            return number
    raise ParameterError(f"{name} must be an integer of at least {low}, got {value!r}")


def check_real(name: str, value: object, low: float, *, strict: bool = False) -> float:
    """Return a finite number that is at least `low`, or greater than it if `strict`."""
    number = _real(value)
    if math.isfinite(number) and (number > low or (number == low and not strict)):
        return number
    bound = "greater than" if strict else "of at least"
    raise ParameterError(f"{name} must be a finite number {bound} {low:g}, got {value!r}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return a string that is one of the choices."""
    if isinstance(value, str) and value in choices:
        return value
    wanted = ", ".join(repr(choice) for choice in choices)
    raise ParameterError(
        f"{name} must be {'one of ' if len(choices) > 1 else ''}{wanted}, got {value!r}"
    )


def check_boolean(name: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_path(name: str, value: object) -> PathLike:
    """Return a path."""
    if not isinstance(value, str | os.PathLike):
        raise ParameterError(f"{name} must be a str or path-like, got {value!r}")
    return value


def check_verbose(value: object) -> int:
    """Return how much to print: True and False count as 1 and 0."""
    number = int(value) if isinstance(value, bool | np.bool_) else value
    return check_integer("verbose", number, 0)


def _real(value: object) -> float:
    """Return a real number as a float, NaN if it is none or too large."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.floating):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _check_shape(
    array: NDArray[np.generic],
    X: object,
    name: str,
    n_features: int | None,
    estimator: str,
) -> None:
    if array.ndim != 2:
        raise ValueError(_dimension_message(array, X, name))
    by = f" by {estimator}" if estimator else ""
    if array.shape[0] < 1:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is "
            f"required{by}."
        )
    if array.shape[1] < 1:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is "
            f"required{by}."
        )
    if n_features is not None:
        check_n_features(array.shape[1], n_features, name, estimator)


def _dimension_message(array: NDArray[np.generic], X: object, name: str) -> str:
    if array.ndim > 2:
        return f"Found array with dim {array.ndim}, while {name} must have 2: {array.shape}."
    got = "scalar array" if array.ndim == 0 else "1D array"
    return (
        f"Expected 2D array, got {got} instead: {name} is a {type(X).__name__} of shape "
        f"{array.shape}. Reshape your data either using array.reshape(-1, 1) if it has a single "
        "feature or array.reshape(1, -1) if it contains a single sample."
    )


def _contiguous(array: NDArray[np.generic]) -> Rows:
    if array.dtype in (np.float64, np.float32) and array.flags.c_contiguous:
        return aligned(cast(Rows, array))
    single = array.dtype.kind == "f" and array.dtype.itemsize == 4
    with np.errstate(over="ignore"):  # a long double too large becomes inf, which is refused
        return np.ascontiguousarray(array, dtype=np.float32 if single else np.float64)


def _check_finite(
    array: Rows,
    name: str,
    place: Place | None = None,
    first_row: int = 0,
    *,
    allow_nan: bool = False,
    rows: bool = True,
) -> None:
    """Raise at the first NaN or infinity. A finite sum has neither, so most data is only added."""
    if math.isfinite(_sum(array)):
        return
    for start, block in _blocks(array.reshape(-1)):
        bad = np.flatnonzero(np.isinf(block) if allow_nan else ~np.isfinite(block))
        if len(bad):
            row, *column = map(int, np.unravel_index(start + bad[0], array.shape))
            found = (place or _place)(first_row + row, column[0] if column else None)
            raise ValueError(_not_finite_message(block[bad[0]], name, found, rows))


def _place_in(X: object) -> Place:
    """Return what names places in X: by the columns' names if it is a frame."""
    frame = frame_of(X)
    names = None if frame is None else frame.names
    return lambda row, column: place(row, column, names)


def _check_places(X: Any) -> None:
    """Raise if a sparse matrix has indices beyond its shape, which SciPy follows into nowhere."""
    if X.format == "coo":
        places = [(X.row, X.shape[0]), (X.col, X.shape[1])]
    elif X.format in ("csr", "csc", "bsr"):
        block = X.blocksize if X.format == "bsr" else (1, 1)
        lengths = [size // part for size, part in zip(X.shape, block, strict=True)]
        n_lines, n_places = lengths[::-1] if X.format == "csc" else lengths
        ends, stored = X.indptr, min(len(X.indices), len(X.data))
        if len(ends) != n_lines + 1 or ends[0] != 0 or ends[-1] > stored or np.diff(ends).min() < 0:
            raise ValueError(
                f"X is a damaged {X.format} matrix: indptr must have {n_lines + 1} numbers that "
                f"rise from 0 to at most {stored}, the number of stored values"
            )
        places = [(X.indices[: ends[-1]], n_places)]
    else:  # none that could be wrong
        return
    for indices, size in places:
        if len(indices) and not (indices.min() >= 0 and indices.max() < size):
            raise ValueError(
                f"X is a damaged {X.format} matrix: indices must be from 0 to {size - 1}, got "
                f"{indices.min()} to {indices.max()}"
            )


def _check_finite_entries(rows: Any) -> None:
    """Raise at the first NaN or infinity of a CSR matrix."""
    for start, block in _blocks(rows.data):
        bad = np.flatnonzero(~np.isfinite(block))
        if len(bad):
            entry = start + bad[0]
            row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
            found = place(row, int(rows.indices[entry]))
            raise ValueError(_not_finite_message(block[bad[0]], "X", found, rows=True))


@np.errstate(over="ignore", invalid="ignore")
def _sum(values: Rows) -> float:
    return float(values.sum())


def _not_finite_message(value: np.floating, name: str, found: str, rows: bool) -> str:
    what = "NaN" if np.isnan(value) else f"infinity or a value too large for {value.dtype}"
    message = f"Input {name} contains {what}, first at {found}."
    if rows and np.isnan(value):
        message += (
            " Missing values are not accepted: leave out their rows, fill them in first, or set "
            "missing_values='marginalize' of a mixture (--missing marginalize of the command)."
        )
    return message


def _blocks(values: Rows) -> Iterator[tuple[int, Rows]]:
    for start in range(0, len(values), BLOCK_VALUES):
        yield start, values[start : start + BLOCK_VALUES]


def _place(row: int, column: int | None) -> str:
    return place(row, column)


def _check_weight_values(weights: FloatArray, place: Place | None) -> None:
    _check_not_negative(weights, place=place)
    with np.errstate(over="ignore"):
        check_total_weight(float(weights.sum()))


def _check_not_negative(
    weights: FloatArray, first_row: int = 0, place: Place | None = None
) -> None:
    lowest = int(weights.argmin())
    if weights[lowest] < 0:
        raise ValueError(
            f"sample_weight must not be negative, got {weights[lowest]:g} at "
            f"{(place or _place)(first_row + lowest, None)}"
        )
