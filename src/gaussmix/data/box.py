"""The box that rows take: the smaller of two around them."""

from functools import partial
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data
from gaussmix.errors import ParameterError

PART_ROWS = 1 << 14  # turned into other directions at a time


class Box(NamedTuple):
    """A box along any directions."""

    corner_and_edges: FloatArray
    """A corner (D,), and the edges that leave it (D, D), as rows: (D + 1, D)."""
    log_volume: float


class _BoxPass:
    """Finds the ranges of rows along directions, and adds up their moments about a centre."""

    def __init__(
        self, center: FloatArray, directions: FloatArray, _n_threads: int | None = None
    ) -> None:
        d = len(center)
        self._center, self._directions = center, directions
        self.low, self.high = np.full(d, np.inf), np.full(d, -np.inf)
        self.n_rows, self.first, self.second = 0, np.zeros(d), np.zeros((d, d))

    @np.errstate(over="ignore", invalid="ignore")  # the first M-step says that moments overflow
    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Look at the next rows; those of weight 0 do not count."""
        for start in range(0, len(rows), PART_ROWS):
            part = rows[start : start + PART_ROWS].astype(np.float64) - self._center
            if weight is not None:
                part = part[weight[start : start + PART_ROWS] > 0]
            if len(part) == 0:
                continue
            along = part @ self._directions
            self.low = np.minimum(self.low, along.min(axis=0))
            self.high = np.maximum(self.high, along.max(axis=0))
            self.n_rows += len(part)
            self.first += part.sum(axis=0)
            self.second += part.T @ part

    def result(self) -> "_BoxPass":
        """Return this pass."""
        return self

    def __add__(self, other: "_BoxPass") -> "_BoxPass":
        total = _BoxPass(self._center, self._directions)
        total.low, total.high = (
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )
        total.n_rows = self.n_rows + other.n_rows
        total.first, total.second = self.first + other.first, self.second + other.second
        return total


def box_around(data: Data) -> Box:
    """Return the smaller of two boxes around the rows: its volume is mclust's `hypvol`.

    One has the features' directions, the other the principal ones of the rows' covariance. It takes
    two passes.
    """
    center = data.head().astype(np.float64).mean(axis=0)
    axes = np.eye(len(center))
    found = data.total(partial(_BoxPass, center, axes))
    ranges = found.high - found.low
    if not (ranges > 0).all():
        feature = int(np.flatnonzero(~(ranges > 0))[0])
        raise ParameterError(
            f"noise=True needs a box of positive volume around X, but feature {feature} is "
            "constant: leave it out, or pass noise=volume"
        )
    mean = found.first / found.n_rows
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = found.second / found.n_rows - np.outer(mean, mean)
    directions = np.linalg.eigh(covariance)[1]
    turned = data.total(partial(_BoxPass, center, directions))
    boxes = [_box(center, axes, found)]
    if (turned.high > turned.low).all():
        boxes.append(_box(center, directions, turned))
    return min(boxes, key=lambda box: box.log_volume)


def _box(center: FloatArray, directions: FloatArray, found: _BoxPass) -> Box:
    """Return the box of the ranges along directions, the columns (D, D)."""
    ranges = found.high - found.low
    corner = center + directions @ found.low
    return Box(np.vstack([corner, ranges[:, None] * directions.T]), float(np.log(ranges).sum()))
