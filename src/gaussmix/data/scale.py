"""Rows so close to each other that their squared distances fall below the range of their dtype."""

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data


def smallest_spread(dtype: np.dtype[np.floating]) -> float:
    """Return the distance below whose square sums of squares lose digits.

    Its square is the smallest normal number. Squares below that keep an absolute error, which is
    what rounding makes in a sum of larger ones.
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
    first = np.ptp(data.head().astype(np.float64), axis=0)
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
    return (spreads > 0) & (spreads < least)


def _spreads(data: Data) -> FloatArray:
    """Return the largest minus the smallest value of every feature: (D,)."""
    low = high = data.head()[0].astype(np.float64)
    for block in data.blocks():
        low = np.minimum(low, block.rows.min(axis=0))
        high = np.maximum(high, block.rows.max(axis=0))
    return np.asarray(high - low)


def _refuse(what: str, spread: float, dtype: np.dtype[np.floating]) -> None:
    convert = ", or convert X to float64" if dtype == np.float32 else ""
    raise ValueError(
        f"{what} by no more than {spread:.3g}, whose square is too small for {dtype}: scale the "
        f"features, so that they vary by more than {smallest_spread(dtype):.0e}{convert}"
    )
