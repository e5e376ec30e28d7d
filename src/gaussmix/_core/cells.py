"""Cells: rows that go over the same few components."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import Labels


class Cells(NamedTuple):
    """C cells, each of some rows and of a list of the components that matter to them.

    Cell c has the rows `order[rows[c] : rows[c + 1]]`, and the components
    `components[lists[c] : lists[c + 1]]`, at least one, in rising order. A row is in one
    cell, or in none where these are some of the cells.
    """

    order: Labels  # (N,)
    rows: NDArray[np.int64]  # (C + 1,)
    lists: NDArray[np.int64]  # (C + 1,)
    components: Labels

    @property
    def n_cells(self) -> int:
        """C."""
        return len(self.rows) - 1
