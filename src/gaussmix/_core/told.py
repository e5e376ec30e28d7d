"""What is told of rows beforehand: which components they may come from, or beliefs about that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import Labels, Rows


@dataclass(frozen=True)
class Told:
    """Codes of rows, or priors of terms for rows, beside the rows that they are about.

    A term of the log-sum-exp is a component, or the noise, which comes last. A row of code c counts
    for the terms that belong to c alone, each with its own weight; of code -1 nothing is known. A
    row with priors counts for term k with prior times weight. Priors need not sum to one. Whatever
    is told adds to the log-densities, and is in the log-likelihood too.
    """

    rows: Labels | Rows
    """Codes (N,), int32, or priors (N, T), float32 or float64, finite and not negative. A prior
    below the least normal number of the precision of X counts as 0."""

    owners: Labels | None = None
    """The code that each term belongs to, (T,), int32; None beside priors."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | NDArray[np.integer]) -> "Told":
        return Told(self.rows[part], self.owners)
