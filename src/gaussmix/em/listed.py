"""Rows in cells, and lists of the components that matter to them, for `gaussmix.em.truncated`."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.cells import Cells
from gaussmix._core.density import Density
from gaussmix._core.interface import Kernels
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.base import Data
from gaussmix.em import mixed_precision
from gaussmix.em.mixed_precision import SINGLE
from gaussmix.io.blocks import Block
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass, n_terms, threads_for

LARGEST_COST = 0.7
"""Of a pass over lists and what it takes to make them, as a part of a pass over all components.
Lists that cost more do not pay."""
CELL_COST = 128
"""Rows that take as long as what a cell takes beside its rows."""
ROW_COST, PAIR_COST = 840, 28
"""A row of a cell takes as long, beside its components, as ROW_COST / (PAIR_COST + F) components of
F terms each."""
SEGMENT_ROWS = 1 << 18
"""Rows at most that are cut into cells together."""
CELL_ROWS = 1024
"""Rows of a cell at most."""
WEIGHED = 1 << 20
"""Masses, of a cell and a component each, that are held at a time."""
THINNED = 8
"""One row in so many tells at first whether lists pay, and later what matters to its cell."""
FEWEST_THINNED = 64
"""Rows of a cell that tell this, at least, or all."""
SHIFTED = 3
"""Which rows tell this moves by so many from look to look."""
OWN = 0.02
"""A component is on the list of a cell in which it has this part of its rows."""
LIGHT = 0.5
"""The part of what lists may leave out that is left out unsorted, each mass being small."""


class ListedRows:
    """Rows, the cells that they are in, and the lists of components that matter to these.

    For each row three integers are held: its place in the order of the cells, that in the order of
    the former cells, and its most probable component.

    Parameters
    ----------
    data : Data
        Its cells are made and used in the order of its blocks.
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self._cells: list[Cells] = []
        self._former: list[Cells] = []
        self._labels: list[Labels] = []
        self._n_looks = 0

    def pays(self, parameters: Parameters, lost: float, *, single: bool) -> bool:
        """Whether lists are likely to save time: what some of the first rows say.

        `single` if float32 is precise enough, here and below.
        """
        rows, weight = next(self._segments())
        thinned = np.ascontiguousarray(rows[::THINNED])
        own = None if weight is None else np.ascontiguousarray(weight[::THINNED])
        if own is not None and not own.any():
            return False
        count = self._count(thinned, parameters)
        labels = np.empty(len(thinned), np.int32)
        precision = self._precision(single)
        look = _Look(parameters, parameters.density(precision), precision, lost, None, count)
        look.label(thinned, labels)
        cells = look.listed(Block(thinned, own), labels)
        # What is there of a cell stands for THINNED times as many rows.
        cost = _cost(cells, parameters, CELL_COST / THINNED) + _look_cost(len(thinned), parameters)
        return cost < _limit(len(thinned), parameters)

    def renew(
        self, parameters: Parameters, lost: float, *, n_passes: int, thinned: bool, single: bool
    ) -> bool:
        """Cut the rows into cells and list what matters to them; whether that is worth while.

        Lists are for so many passes. They leave out `lost` of the rows' weight at most; if
        `thinned`, by what one row in THINNED says. The cells before are kept for `restore`.
        """
        precision = self._precision(single)
        density = parameters.density(precision)
        offset = SHIFTED * self._n_looks if thinned else None
        self._n_looks += 1
        self._former, self._cells = self._cells, []
        cost, n_samples = 0.0, 0
        for i, block in enumerate(self._segments()):
            rows, _ = block
            count = self._count(rows, parameters)
            look = _Look(parameters, density, precision, lost, offset, count)
            if i == len(self._labels):
                self._labels.append(np.empty(len(rows), np.int32))
                look.label(rows, self._labels[i])
            cells = look.listed(block, self._labels[i])
            self._cells.append(cells)
            cost += _cost(cells, parameters, CELL_COST)
            n_samples += len(rows)
        cost += _look_cost(n_samples, parameters) / n_passes
        return cost < _limit(n_samples, parameters)

    def restore(self) -> bool:
        """Go back to the cells and lists before the last ones; whether there are any."""
        if not self._former:
            self._cells = []
            return False
        self._cells, self._former = self._former, []
        return True

    def forget(self) -> None:
        """Leave nothing to go back to."""
        self._cells = []

    def e_step(self, parameters: Parameters, *, single: bool, labelled: bool) -> Statistics:
        """Go over the rows and the components that their cells list.

        New cells will be of the rows' labels, as they were in the last pass that was `labelled`.
        """

        def collect(single: bool) -> Statistics:
            running = StatisticsPass(parameters, self._data.n_threads, single=single)
            for cells, labels, (rows, weight) in zip(
                self._cells, self._labels, self._segments(), strict=True
            ):
                running.add_cells(rows, weight, cells, labels if labelled else None)
            return running.result()

        return mixed_precision.e_step(collect, parameters, self._data.n_samples, single=single)

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

    def _precision(self, single: bool) -> np.dtype[np.floating]:
        return SINGLE if single else self._data.dtype

    def _count(self, rows: Rows, parameters: Parameters) -> int:
        """Return the number of threads for a pass over all components."""
        return threads_for(self._data.n_threads, rows, parameters)

    def _segments(self) -> Iterator[Block]:
        """Return the rows in parts of nearly the same size, of SEGMENT_ROWS at most."""
        for rows, weight in self._data.blocks():
            n_parts = -(-len(rows) // SEGMENT_ROWS)
            edges = [len(rows) * i // n_parts for i in range(n_parts + 1)]
            for start, end in pairwise(edges):
                yield Block(rows[start:end], None if weight is None else weight[start:end])


class _Look(NamedTuple):
    """A look at all components, which makes lists."""

    parameters: Parameters
    density: Density
    precision: np.dtype[np.floating]
    lost: float
    offset: int | None
    """Which of the rows to look at, in a cell; None for all."""
    n_threads: int

    def label(self, rows: Rows, labels: Labels) -> None:
        """Find the most probable component of each row."""
        self._kernels.assign(rows, self.density, labels, None, self.n_threads)

    def listed(self, block: Block, labels: Labels) -> Cells:
        """Return cells of the rows of each label, and lists that leave out part of their weight."""
        rows, weight = block
        n_components = self.parameters.n_components
        owners, edges = _cut(labels, n_components)
        narrow = labels.astype(np.int16) if n_components <= 1 << 15 else labels  # by radix
        order = np.argsort(narrow, kind="stable").astype(np.int32)
        step = max(WEIGHED // n_components, 1)
        total = float(len(rows)) if weight is None else float(weight.sum())
        n_k = total * self.parameters.weights
        kept = []
        for first in range(0, len(owners), step):
            own = owners[first : first + step]
            part = edges[first : first + len(own) + 1]
            masses = self._masses(block, order, part)
            kept.append(_mattering(masses, np.diff(part), own, self.lost, n_k))
        lengths = np.concatenate([part.sum(axis=1) for part in kept])
        components = np.concatenate([part.nonzero()[1] for part in kept]).astype(np.int32)
        return Cells(order, edges, np.append(0, lengths.cumsum()).astype(np.int64), components)

    def _masses(self, block: Block, order: Labels, edges: NDArray[np.int64]) -> FloatArray:
        """Return how much of each of C cells each component has, (C, K), or about how much."""
        rows, weight = block
        n_components, n_cells = self.parameters.n_components, len(edges) - 1
        n_rows = np.diff(edges)
        if self.offset is not None:
            order, edges = _thinned(order, edges, self.offset)
            rows, weight = rows[order], None if weight is None else weight[order]
            order = np.arange(len(order), dtype=np.int32)
        every = np.tile(np.arange(n_components, dtype=np.int32), n_cells)
        cells = Cells(order, edges, n_components * np.arange(n_cells + 1), every)
        masses = np.empty(len(every))
        self._kernels.weigh_cells(
            rows, weight, self.density, cells, np.zeros(2), masses, None, self.n_threads
        )
        found: FloatArray = masses.reshape(n_cells, n_components)
        return found * (n_rows / np.diff(edges))[:, None]

    @property
    def _kernels(self) -> Kernels:
        return dispatch.active().kernels(self.precision)


def _thinned(
    order: Labels, edges: NDArray[np.int64], offset: int
) -> tuple[Labels, NDArray[np.int64]]:
    """Return some of the rows of cells, and where those of each cell begin and end."""
    n_rows = np.diff(edges)
    steps = np.clip(n_rows // FEWEST_THINNED, 1, THINNED)
    places = np.arange(edges[0], edges[-1]) - edges[:-1].repeat(n_rows)
    chosen = places % steps.repeat(n_rows) == (offset % steps).repeat(n_rows)
    ends = chosen.cumsum()[edges[1:] - edges[0] - 1]
    return order[edges[0] : edges[-1]][chosen], np.append(0, ends)


def _mattering(
    masses: FloatArray,
    n_rows: NDArray[np.int64],
    owners: NDArray[np.intp],
    lost: float,
    n_k: FloatArray,
) -> NDArray[np.bool_]:
    """Return which components are on the lists of cells, of which (C, K) masses are known.

    What a list leaves out saves a pair with each row of its cell. So the least masses for a row
    are left out, and all together are at most `lost` of the whole. A component that has few rows
    would lose them all so. It stays where it has OWN of its n_k.
    """
    most = lost * masses.sum()
    light = masses <= LIGHT * most / masses.size
    heavy = (~light).ravel().nonzero()[0]
    by_use = heavy[(masses / n_rows[:, None]).ravel()[heavy].argsort(kind="stable")]
    left = masses[light].sum() + masses.ravel()[by_use].cumsum()
    kept: NDArray[np.bool_] = masses > OWN * n_k
    kept.ravel()[by_use[left > most]] = True
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


def _cost(cells: Cells, parameters: Parameters, cell_cost: float) -> float:
    """Return the time of a pass over cells, in rows and components of one over all."""
    n_rows = np.diff(cells.rows)
    beside_pairs = float(n_rows.sum()) * _row_cost(parameters)
    return float((n_rows + cell_cost) @ np.diff(cells.lists)) + beside_pairs


def _look_cost(n_samples: int, parameters: Parameters) -> float:
    """Return the time of a look by some of so many rows, in the same unit."""
    densities = parameters.n_components / (2 * THINNED)  # half of what an iteration takes
    return n_samples * (densities + _row_cost(parameters))


def _row_cost(parameters: Parameters) -> float:
    """Return the time that a row takes beside its components, in these."""
    return ROW_COST / (PAIR_COST + n_terms(parameters.structure, parameters.n_features))


def _limit(n_samples: int, parameters: Parameters) -> float:
    """Return the cost of the longest lists that pay."""
    return LARGEST_COST * n_samples * parameters.n_components
