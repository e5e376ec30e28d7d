"""Incremental EM: sweeps with an M-step after every block of rows, before EM itself."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol

import numpy as np

from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import Data
from gaussmix.data.told import ToldData
from gaussmix.em.loop import Callback, EMState, Objective, Step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass

MOST_BLOCKS = 16
FEWEST_ROWS = 4 * GROUP_ROWS
"""Rows that a block has at least: with fewer, its M-step costs as much as its pass."""
SWEEPS_BEFORE_JUMPS = 8
"""Where EM is accelerated, more sweeps than these only delay it: where EM needs 700 passes, sweeps
to the end need 400, and jumps 80."""


class OfRows(Objective, Protocol):
    """What EM climbs, of rows that it knows: all that its statistics depend on."""

    @property
    def data(self) -> Data | ToldData:
        """The rows."""


def sweep(
    state: EMState,
    objective: OfRows,
    *,
    max_iter: int,
    callback: Callback | None = None,
) -> None:
    r"""Open a run of EM with sweeps over blocks of rows, with an M-step after each block.

    The statistics s_b of every block are kept (Neal & Hinton, 1998). At block b only its own are
    made anew, under the present parameters. The new parameters are then

        M(sum_(j < b) s_j(new) + s(X_b; parameters) + sum_(j > b) s_j(old))

    This never lowers the bound F(q, parameters) of the log-likelihood, or of the evidence, less the
    penalty of reg_covar (see `em`). Nothing is subtracted to replace a block: the two sums are
    built up anew in every sweep, so that rounding does not add up over sweeps. The first sweep is
    an iteration of EM itself, in which all blocks see the start. Sweeps end when one gains no more
    than the tolerance. Then it is for `proceed` to take the run to a fixed point of EM.

    Parameters
    ----------
    state : EMState
        Advanced in place. A run that has begun is left as it is.
    objective : Objective
        Its rows are taken in their order, in at most MOST_BLOCKS blocks of whole groups of
        GROUP_ROWS, and of no fewer than FEWEST_ROWS. Rows that make a single block are left to EM.
    max_iter : int
        Number of sweeps at most: each is a pass over the data, and an iteration of the run.
    callback : callable, optional
        As in `em`, with the value that rows had, each under the parameters of its moment.

    References
    ----------
    Neal & Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and other
    variants, in Jordan (ed.), Learning in Graphical Models, Kluwer, 355-368.
    """
    n_samples = objective.data.n_samples
    size = rows_per_block(n_samples)
    if state.n_iter > 0 or size >= n_samples:
        return
    kept: list[Statistics] = []
    change = np.inf
    while state.n_iter < max_iter and change > state.monitor.tol:
        by_em = not kept
        sweeping = _Sweep(state.point, objective, size)
        kept = sweeping.over(kept)
        state.take_sweep(sweeping.step())
        change = state.monitor.change
        state.converged = by_em and state.monitor.settled
        if callback is not None:
            callback(state.n_iter, state.monitor.last, change)
    state.monitor.restart()  # what a sweep gains does not say whether EM has settled


def rows_per_block(n_samples: int) -> int:
    """Return the rows of a block, a multiple of GROUP_ROWS."""
    most = max(FEWEST_ROWS, -(-n_samples // MOST_BLOCKS))
    return -(-most // GROUP_ROWS) * GROUP_ROWS


def _blocks(data: Data | ToldData) -> Iterator[tuple[Rows, FloatArray | None, Told | None]]:
    """Blocks of rows with their weights, and with what is told of them, if anything is."""
    if isinstance(data, ToldData):
        return data.told_blocks()
    return ((rows, weight, None) for rows, weight in data.blocks())


class _Sweep:
    """One sweep over the blocks.

    Parameters
    ----------
    point : Parameters
        Where it begins; it moves after every block.
    objective : Objective
    size : int
        Rows of a block.
    """

    def __init__(self, point: Parameters, objective: OfRows, size: int) -> None:
        self.point = point
        self._objective = objective
        self._size = size
        self._done = Statistics.zeros(point.structure, point.means)

    def over(self, old: list[Statistics]) -> list[Statistics]:
        """Go over the blocks, with M-steps in between if there are old statistics of each."""
        later = list(
            accumulate(reversed(old[1:]))
        )  # of the blocks after each, the first one's last
        new = []
        for statistics in self._by_block():
            new.append(statistics)
            self._done = statistics + self._done
            if later:
                self.point, _ = self._objective.m_step(self._done + later.pop(), self.point)
        return new

    def step(self) -> Step:
        """Return what the sweep says: its end, and where the M-step of all blocks goes."""
        image, collapsed = self._objective.m_step(self._done, self.point)
        lower_bound = self._objective.lower_bound(self.point, self._done)
        return Step(self.point, image, collapsed, lower_bound)

    def _by_block(self) -> Iterator[Statistics]:
        """Statistics of every block, under what the point is when the block begins."""
        data = self._objective.data
        running, room = self._pass(), self._size
        for rows, weight, told in _blocks(data):
            start = 0
            while start < len(rows):
                if room == 0:
                    yield running.result()
                    running, room = self._pass(), self._size
                part = slice(start, start + room)
                own = None if weight is None else weight[part]
                if told is None:
                    running.add(rows[part], own)
                else:
                    running.add_told(rows[part], own, told[part])
                taken = len(rows[part])
                start, room = start + taken, room - taken
        yield running.result()

    def _pass(self) -> StatisticsPass:
        """Return a pass under the present point."""
        data = self._objective.data
        return StatisticsPass(self.point, data.n_threads, gaps=data.gaps)
