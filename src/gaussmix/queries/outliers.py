"""Rows outside the smallest region of a probability, of what each of them has."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import threads
from gaussmix._core.types import Rows
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import log_likelihoods
from gaussmix.queries.conditioning import marginal
from gaussmix.queries.hdr import LEVEL_SAMPLES, hdr_levels
from gaussmix.queries.imputation import patterns

PATTERN_SAMPLES = 1 << 15
"""Rows that are drawn for the level of rows that lack values: of them a part 1 - p is outside to
within 0.0006 for p = 0.99 (one standard deviation). There may be thousands of patterns."""


@dataclass
class OutlierTest:
    """Tells which rows are less likely than a part p of those that the mixture makes.

    A row that lacks values is compared with rows of the features that it has: their density has
    a level of its own. A row without any value is no outlier.

    Parameters
    ----------
    parameters : Parameters
    p : float
        Greater than 0 and less than 1.
    level : float
        The log-density of complete rows above which a part p of them lies.
    seed : int
        Of the rows that are drawn for other levels.
    """

    parameters: Parameters
    p: float
    level: float
    seed: int
    _levels: dict[bytes, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        parameters: Parameters,
        p: float,
        random_state: np.random.RandomState,
        n_threads: int | None,
    ) -> "OutlierTest":
        """Return the test of a mixture; finds the level of complete rows."""
        count = threads.resolve(n_threads).number
        level = hdr_levels(parameters, np.array([p]), LEVEL_SAMPLES, random_state, count)
        return cls(parameters, p, float(level[0]), int(random_state.randint(2**31)))

    def __call__(
        self, rows: Rows, n_threads: int | None = None, *, gaps: bool = False
    ) -> NDArray[np.bool_]:
        """Return whether each row is an outlier, (N,)."""
        scores = log_likelihoods(self.parameters, rows, n_threads, gaps=gaps)
        found = scores < self.level
        for lacking, own in patterns(np.isnan(rows)) if gaps else ():
            found[own] = scores[own] < self._level_of(lacking, n_threads)
        return np.asarray(found)

    def _level_of(self, lacking: NDArray[np.bool_], n_threads: int | None) -> float:
        """Return the level of rows that lack some features (D,); it is found once."""
        if lacking.all():
            return -np.inf
        key = lacking.tobytes()
        if key not in self._levels:
            source = np.random.RandomState(self.seed)
            known = marginal(self.parameters, np.flatnonzero(~lacking))
            count = threads.resolve(n_threads).number
            level = hdr_levels(known, np.array([self.p]), PATTERN_SAMPLES, source, count)
            self._levels[key] = float(level[0])
        return self._levels[key]
