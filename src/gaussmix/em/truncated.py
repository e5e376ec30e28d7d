"""Truncated EM: passes over the components that matter to cells of rows, before EM itself."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.cells import Cells
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.base import Data
from gaussmix.data.told import ToldData
from gaussmix.em.incremental import OfRows
from gaussmix.em.loop import Callback, EMState, Step, proceed
from gaussmix.io.blocks import Block
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass, pass_flops

FEWEST_COMPONENTS = 32
"""With fewer, lists save too little."""
LARGEST_COST = 0.6
"""Of a pass over lists, as a part of one over all components. Lists that cost more do not pay."""
CELL_COST = 128
"""Rows that take as long as what a cell takes beside its rows."""
FIRST_LOST = 1e-3
"""Lists leave out at most this part of the responsibilities."""
GAINS = 4
"""They leave out at most this many times what the last iteration gained."""
LEAST_LOST = 1e-9
"""Where lists that leave out so little still lower the bound, EM goes on."""
LAST_LOST = 0.1
"""The part of the tolerance that the last lists leave out."""
LONGEST_SPAN = 32
"""Passes over the same lists at most. The first lists serve one, the next two, then four."""
SEGMENT_ROWS = 1 << 18
"""Rows at most that are cut into cells together."""
CELL_ROWS = 1024
"""Rows of a cell at most."""
WEIGHED = 1 << 20
"""Masses, of a cell and a component each, that are held at a time."""
THINNED = 8
"""One row in so many tells at first whether lists pay."""


def climb(
    state: EMState,
    objective: OfRows,
    *,
    max_iter: int,
    callback: Callback | None = None,
) -> None:
    r"""Open a run of EM with passes over the components that matter to cells of rows.

    A cell has rows with the same most probable component. With a list K_c of components for every
    cell c, the truncated E-step has for its rows n the responsibilities

        r_nk = exp(l_k(x_n)) / sum_(m in K_c) exp(l_m(x_n)),   k in K_c,

    and 0 for other components. The logarithm of that sum is a lower bound of the row's
    log-likelihood, the free energy of these responsibilities. An M-step never lowers it, less the
    penalty of reg_covar (see `em`). New cells and lists take a look at all components. A list
    leaves out those to which least of the rows belongs, in all at most a share of the rows. New
    lists with which the bound would fall are left for longer ones.

    Lists are made anew after 1, 2, 4 and up to LONGEST_SPAN iterations, or when the bound has
    settled. The share follows what an iteration gains. When new lists of the least share gain no
    more than the tolerance, two passes of EM itself tell whether it has settled too. If not, lists
    go on from there. All ends when EM has settled, or when lists are too long to save time. Then it
    is for `proceed` to take the run to a fixed point of EM.

    Parameters
    ----------
    state : EMState
        Advanced in place. A run that has begun is left as it is, as is one of few components. If
        `max_iter` ends it here, `state.listed` is the lower bound at its end.
    objective : OfRows
        Of rows without gaps, of which nothing is told, and of a mixture without noise.
    max_iter : int
        Number of iterations at most. Each is a pass over the listed components. What makes lists
        goes over all components, and does not count.
    callback : callable, optional
        As in `em`, with the mean lower bound of a row.

    References
    ----------
    Neal & Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and other
    variants, in Jordan (ed.), Learning in Graphical Models, Kluwer, 355-368.

    Forster & Luecke (2018), Can clustering scale sublinearly with its clusters? A variational EM
    acceleration of GMMs and k-means, AISTATS, 124-132.
    """
    if state.n_iter > 0 or state.point.n_components < FEWEST_COMPONENTS:
        return
    assert not isinstance(objective.data, ToldData), "nothing is told of the rows"
    listed = ListedRows(objective.data)
    if not listed.pays(state.point, FIRST_LOST):
        return
    state.monitor.restart()  # a bound of lists is not to be compared with a likelihood
    tol = state.monitor.tol
    lost, least, span = FIRST_LOST, max(LAST_LOST * tol, LEAST_LOST), 1
    while state.n_iter < max_iter and listed.renew(state.point, lost):
        left = max_iter - state.n_iter
        n_iter = _iterate(state, objective, listed, min(span, left), callback)
        if n_iter == 0:
            if lost <= LEAST_LOST:
                break
            lost /= GAINS
            continue
        settled = abs(state.monitor.change) < tol
        if settled and lost <= least and n_iter <= 2:
            state.monitor.restart()  # what lists gain does not say whether EM has settled
            if not state.follows_em:
                return
            proceed(state, objective, max_iter=min(state.n_iter + 2, max_iter), callback=callback)
            if state.converged or state.n_iter >= max_iter:
                return
            continue
        gain = max(state.monitor.change, 0.0)
        lost = least if settled else min(lost, max(GAINS * gain, least))
        span = min(2 * span, LONGEST_SPAN)
    if state.n_iter >= max_iter > 0:
        state.listed = listed.bound(state.point)
    state.monitor.restart()


def _iterate(
    state: EMState,
    objective: OfRows,
    listed: "ListedRows",
    n_iter: int,
    callback: Callback | None,
) -> int:
    """Iterate over the same lists until the bound settles; return how many iterations were made.

    None is made where new lists would lower the bound.
    """
    for i in range(n_iter):
        point = state.point
        statistics = listed.e_step(point)
        bound = statistics.mean_log_likelihood
        if i == 0 and bound < state.monitor.last:
            return 0
        image, collapsed = objective.m_step(statistics, point)
        state.take_sweep(Step(point, image, collapsed, bound))
        if callback is not None:
            callback(state.n_iter, bound, state.monitor.change)
        if abs(state.monitor.change) < state.monitor.tol:
            return i + 1
    return n_iter


class ListedRows:
    """Rows, the cells that they are in, and the lists of components that matter to these.

    For each row two integers are held: its place in the order of the cells, and its most probable
    component.

    Parameters
    ----------
    data : Data
        Its cells are made and used in the order of its blocks.
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self._cells: list[Cells] = []
        self._labels: list[Labels] = []

    def pays(self, parameters: Parameters, lost: float) -> bool:
        """Whether lists are likely to save time: what some of the first rows say."""
        rows, weight = next(self._segments())
        thinned = np.ascontiguousarray(rows[::THINNED])
        own = None if weight is None else np.ascontiguousarray(weight[::THINNED])
        if own is not None and not own.any():
            return False
        density = parameters.density(self._data.dtype)
        count = self._count(thinned, parameters)
        labels = np.empty(len(thinned), np.int32)
        dispatch.kernels(thinned).assign(thinned, density, labels, None, count)
        cells = _listed(Block(thinned, own), density, labels, lost, count)
        n_pairs = int(np.diff(cells.rows) @ np.diff(cells.lists))
        return n_pairs < LARGEST_COST * len(thinned) * parameters.n_components

    def renew(self, parameters: Parameters, lost: float) -> bool:
        """Cut the rows into cells and list what matters to them; whether that is worth while.

        Lists leave out `lost` of the rows' weight at most.
        """
        density = parameters.density(self._data.dtype)
        self._cells = []
        cost = n_samples = 0
        for i, block in enumerate(self._segments()):
            rows, _ = block
            count = self._count(rows, parameters)
            if i == len(self._labels):
                self._labels.append(np.empty(len(rows), np.int32))
                dispatch.kernels(rows).assign(rows, density, self._labels[i], None, count)
            cells = _listed(block, density, self._labels[i], lost, count)
            self._cells.append(cells)
            cost += int((np.diff(cells.rows) + CELL_COST) @ np.diff(cells.lists))
            n_samples += len(rows)
        return cost < LARGEST_COST * n_samples * parameters.n_components

    def e_step(self, parameters: Parameters) -> Statistics:
        """Go over the rows and the components that their cells list."""
        running = StatisticsPass(parameters, self._data.n_threads)
        for cells, labels, (rows, weight) in zip(
            self._cells, self._labels, self._segments(), strict=True
        ):
            running.add_cells(rows, weight, cells, labels)
        return running.result()

    def bound(self, parameters: Parameters) -> float:
        """Return the mean lower bound of a row, the cells and lists being as they are."""
        density = parameters.density(self._data.dtype)
        totals = np.zeros(2)
        for cells, (rows, weight) in zip(self._cells, self._segments(), strict=True):
            count = self._count(rows, parameters)
            masses = np.empty(len(cells.components))
            dispatch.kernels(rows).weigh_cells(
                rows, weight, density, cells, totals, masses, None, count
            )
        return float(totals[0] / totals[1])

    def _count(self, rows: Rows, parameters: Parameters) -> int:
        """Return the number of threads for a pass over all components."""
        return threads.for_work(self._data.n_threads, pass_flops(rows, parameters))

    def _segments(self) -> Iterator[Block]:
        """Return the rows in parts of nearly the same size, of SEGMENT_ROWS at most."""
        for rows, weight in self._data.blocks():
            n_parts = -(-len(rows) // SEGMENT_ROWS)
            edges = [len(rows) * i // n_parts for i in range(n_parts + 1)]
            for start, end in pairwise(edges):
                yield Block(rows[start:end], None if weight is None else weight[start:end])


def _listed(block: Block, density: Density, labels: Labels, lost: float, n_threads: int) -> Cells:
    """Return cells of the rows of each label, and lists that leave out `lost` of their weight."""
    rows, weight = block
    n_components = len(density.means)
    owners, edges = _cut(labels, n_components)
    order = np.argsort(labels, kind="stable").astype(np.int32)
    step = max(WEIGHED // n_components, 1)
    kept = []
    for first in range(0, len(owners), step):
        own = owners[first : first + step]
        n_cells = len(own)
        part = edges[first : first + n_cells + 1]
        every = np.tile(np.arange(n_components, dtype=np.int32), n_cells)
        cells = Cells(order, part, n_components * np.arange(n_cells + 1), every)
        masses = np.empty(len(every))
        dispatch.kernels(rows).weigh_cells(
            rows, weight, density, cells, np.zeros(2), masses, None, n_threads
        )
        kept.append(_mattering(masses.reshape(n_cells, n_components), np.diff(part), own, lost))
    lengths = np.concatenate([part.sum(axis=1) for part in kept])
    components = np.concatenate([part.nonzero()[1] for part in kept]).astype(np.int32)
    return Cells(order, edges, np.append(0, lengths.cumsum()).astype(np.int64), components)


def _mattering(
    masses: FloatArray, n_rows: NDArray[np.int64], owners: NDArray[np.intp], lost: float
) -> NDArray[np.bool_]:
    """Return which components are on the lists of cells, of which (C, K) masses are known.

    What a list leaves out saves a pair with each row of its cell. So the least masses for a row
    are left out, and all together are at most `lost` of the whole.
    """
    by_use = (masses / n_rows[:, None]).ravel().argsort(kind="stable")
    matters = np.empty(masses.size, dtype=bool)
    matters[by_use] = masses.ravel()[by_use].cumsum() > lost * masses.sum()
    kept: NDArray[np.bool_] = matters.reshape(masses.shape)
    kept[np.arange(len(owners)), owners] = True
    return kept


def _cut(labels: Labels, n_components: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the label of each cell, and where its rows begin and end among the sorted ones."""
    counts = np.bincount(labels, minlength=n_components)
    parts = -(-counts // CELL_ROWS)
    owners = np.arange(n_components).repeat(parts)
    number = np.arange(len(owners)) - (parts.cumsum() - parts)[owners]  # of a cell, of its label
    starts = (counts.cumsum() - counts)[owners] + counts[owners] * number // parts[owners]
    return owners, np.append(starts, len(labels)).astype(np.int64)
