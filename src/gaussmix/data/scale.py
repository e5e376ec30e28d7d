"""Rows so close to each other that their squared distances fall below the range of their dtype."""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data


def smallest_spread(dtype: np.dtype[np.floating]) -> float:
    """Return the spread below which sums of squares lose digits.

    Its square is the smallest normal number. The error of a smaller square is at most eps of that
    number, so it does not show in a sum that is larger.
    """
    return float(np.sqrt(np.finfo(dtype).tiny))


def require_features_to_scale(data: Data, reg_covar: float) -> None:
    """Raise ValueError if a feature varies by less than its variance can show.

    reg_covar hides what lies below it. Only a feature that varies little among the first rows is
    looked at in the others.
    """
    least = smallest_spread(data.dtype)
    if reg_covar >= least**2:
        return
    first = np.ptp(data.head().astype(np.float64), axis=0)  # NaN where values are lacking
    if not _too_small(first, least).any():
        return
    spreads = _spreads(data)
    features = np.flatnonzero(_too_small(spreads, least))
    if len(features):
        _refuse(f"feature {features[0]} of X varies", spreads[features[0]], data.dtype)


def require_rows_to_scale(data: Data) -> None:
    """Raise ValueError if rows differ, but by less than squared distances can show."""
    spread = float(_spreads(data).max())
    if 0 < spread < smallest_spread(data.dtype):
        _refuse("all features of X vary", spread, data.dtype)


def require_centers_to_scale(centers: FloatArray, dtype: np.dtype[np.floating]) -> None:
    """Raise ValueError if centres differ, but by less than squared distances can show."""
    spread = float(np.ptp(centers, axis=0).max())
    if 0 < spread < smallest_spread(dtype):
        _refuse("all features of the centers vary", spread, dtype)


def _too_small(spreads: FloatArray, least: float) -> NDArray[np.bool_]:
    return ~((spreads <= 0) | (spreads >= least))


def _spreads(data: Data) -> FloatArray:
    """Return the largest minus the smallest value of every feature: (D,)."""
    low, high = data.total(_RangePass).bounds
    return np.asarray(high - low)


class _RangePass:
    """Finds the smallest and the largest value of every feature: what + joins is the result."""

    def __init__(self, _n_threads: int | None = None) -> None:
        self.bounds: tuple[FloatArray | float, FloatArray | float] = np.inf, -np.inf  # (D,) each

    def add(self, rows: Rows, weight: FloatArray | None) -> None:  # noqa: ARG002, of any weight
        """Look at the next rows."""
        if len(rows):
            low = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
            self._extend(*(bound.astype(np.float64) for bound in low))

    def result(self) -> "_RangePass":
        """Return this pass."""
        return self

    def __add__(self, other: "_RangePass") -> "_RangePass":
        joined = _RangePass()
        joined._extend(*self.bounds)
        joined._extend(*other.bounds)
        return joined

    def _extend(self, low: FloatArray | float, high: FloatArray | float) -> None:
        self.bounds = np.fmin(self.bounds[0], low), np.fmax(self.bounds[1], high)


def _refuse(what: str, spread: float, dtype: np.dtype[np.floating]) -> NoReturn:
    convert = ", or convert X to float64" if dtype == np.float32 else ""
    raise ValueError(
        f"{what} by no more than {spread:.3g}, whose square is too small for {dtype}: scale the "
        f"features, so that they vary by more than {smallest_spread(dtype):.0e}{convert}"
    )
