"""Features that no row has: nothing can be said of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data


def require_observed(data: Data, names: Sequence[str] | None) -> None:
    """Raise ValueError, which names a feature, if all its values are missing."""
    if not data.gaps:
        return
    unseen = np.flatnonzero(~data.total(_SeenPass).seen)
    if len(unseen):
        feature = int(unseen[0])
        name = f"feature {feature}" if names is None else f"feature {names[feature]!r}"
        raise ValueError(
            f"{name} of X has no value in any row of positive weight: every feature must have "
            "some; leave it out"
        )


class _SeenPass:
    """Finds the features that have a value in any row of positive weight."""

    def __init__(self, _n_threads: int | None = None) -> None:
        self.seen: NDArray[np.bool_] = np.zeros(1, dtype=np.bool_)

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Look at the next rows, if any feature was not seen yet."""
        if not len(rows) or (self.seen.all() and len(self.seen) == rows.shape[1]):
            return
        counted = rows if weight is None else rows[weight > 0]
        self.seen = self.seen | ~np.isnan(np.fmin.reduce(counted, axis=0, initial=np.nan))

    def result(self) -> "_SeenPass":
        """Return this pass."""
        return self

    def __add__(self, other: "_SeenPass") -> "_SeenPass":
        both = _SeenPass()
        both.seen = self.seen | other.seen
        return both
