"""Sufficient statistics of groups of rows: what supervectors and Fisher vectors are made from."""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.density import GROUP_ROWS, Density
from gaussmix._core.types import FloatArray
from gaussmix.data.base import Data
from gaussmix.data.parallel import for_blocks
from gaussmix.errors import ParameterError
from gaussmix.io.blocks import Block
from gaussmix.model.covariance import structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import require_mean_within_reach
from gaussmix.model.statistics import StatisticsPass, pass_flops
from gaussmix.validation import check_numbers

Codes = NDArray[np.intp]

PIECE_ROWS = 16 * GROUP_ROWS
"""Rows that are gathered at a time where those of a group do not lie together. A group of more uses
all threads by itself."""
GROUPS_AT_ONCE = 64
"""Smaller groups that a thread takes at a time. A call of the kernel for one costs some 25 us."""
LEAST_FLOPS = 5e5
"""Work of a group from which on threads take groups side by side: with 1e5 two of them took 1.4
times as long as one, since calls of Python waited for each other; with 1e6, 0.7 times."""


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    r"""Moments of the rows of every group under a mixture, for G groups, K components, D features.

    They are also known as Baum-Welch statistics. With responsibilities r_k, sample weights w and
    deviations d_k = x - shift_k, summed over the rows x of a group:

    Attributes
    ----------
    n : ndarray of shape (G, K)
        sum w r_k. Its sum over components is the number, or weight, of a group's rows.
    first : ndarray of shape (G, K, D)
        sum w r_k d_k.
    second : ndarray of shape (G, ...)
        sum w r_k d_k d_k': (G, K, D, D) for 'full', (G, D, D), summed over components, for 'tied',
        the diagonals (G, K, D) for 'diag', and their sums (G, K) for 'spherical'. Families are
        like the one of these that their covariances are like.
    log_likelihood : ndarray of shape (G,)
        sum w log p(x).
    shift : ndarray of shape (K, D)
        What deviations are from: the means of the mixture, or what `about` was given.
    covariance_type : str
        That of the mixture.
    """

    n: FloatArray
    first: FloatArray
    second: FloatArray
    log_likelihood: FloatArray
    shift: FloatArray
    covariance_type: str

    def about(self, shift: object) -> "SufficientStatistics":
        """Return the same moments about another shift.

        Parameters
        ----------
        shift : array-like that broadcasts to shape (K, D)
            0 is the origin. About points far from the rows, digits are lost.

        Raises
        ------
        ParameterError
            If the shape is another, or a number is not finite.

        Examples
        --------
        >>> from gaussmix import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[5.0]], [1.0], "spherical")
        >>> found = mixture.statistics([[4.0], [8.0]])
        >>> found.first, found.about(0).first
        (array([[[2.]]]), array([[[12.]]]))
        """
        given = np.asarray(check_numbers(shift, "shift"), np.float64)
        try:
            wanted = np.broadcast_to(given, self.shift.shape).copy()
        except ValueError:
            raise ParameterError(
                f"shift must be a number or have shape {self.shift.shape}, got {given.shape}"
            ) from None
        if not np.isfinite(wanted).all():
            raise ParameterError(f"shift must be finite, got {shift!r}")
        step = self.shift - wanted
        second = self.second + self._change(step)
        first = self.first + self.n[:, :, None] * step
        return replace(self, first=first, second=second, shift=wanted)

    def _change(self, step: FloatArray) -> FloatArray:
        """Return by how much second moments change if every deviation changes by step (K, D)."""
        structure = structure_named(self.covariance_type)
        if structure.shared:  # it adds up the components of each group
            groups = zip(self.n, self.first, strict=True)
            return np.array([structure.change_of_shift(n, first, step) for n, first in groups])
        first = self.first.reshape(-1, step.shape[1])  # all components of all groups
        steps = np.tile(step, (len(self.n), 1))
        change = structure.change_of_shift(self.n.ravel(), first, steps)
        return change.reshape(self.second.shape)


def grouped_statistics(
    parameters: Parameters, data: Data, groups: Codes | None
) -> SufficientStatistics:
    """Return the statistics of every group of rows, in one pass.

    Where the rows of a group do not lie together, they are put in order, PIECE_ROWS at a time, and
    of rows in memory there is an array of their places. A group's sums do not depend on the number
    of threads.

    Parameters
    ----------
    parameters : Parameters
    data : Data
        Rows in order, if there are groups: `gaussmix.queries.grouped_dask` is for the others.
    groups : ndarray of shape (N,), or None
        Numbers of the groups, not negative. None puts all rows into one group.
    """
    name, means = parameters.structure.name, parameters.means
    if groups is None:
        found = data.total(partial(StatisticsPass, parameters)).about(means)
        total = np.array([found.log_likelihood])
        moments = found.n_k[None], found.first[None], found.second[None]
        return SufficientStatistics(*moments, total, means, name)
    sums = Sums(parameters, int(groups.max()) + 1, data.n_threads)
    start = 0
    for block in data.blocks():
        stop = start + len(block.rows)
        sums.add(block, groups[start:stop])
        start = stop
    return sums.result()


def check_groups(groups: object, n_samples: int) -> Codes:
    """Return numbers of groups for every row; raises ParameterError."""
    found = check_numbers(groups, "groups")
    if found.dtype.kind not in "iu":
        raise ParameterError(f"groups must be integers, got an array of {found.dtype}")
    if found.shape != (n_samples,):
        raise ParameterError(
            f"groups must have a number for each of the {n_samples} rows of X, got shape "
            f"{found.shape}"
        )
    if found.min() < 0:
        raise ParameterError(f"groups must not be negative, got {found.min()}")
    if found.max() >= np.iinfo(np.intp).max:
        raise _too_many(found.max())
    return found.astype(np.intp, copy=False)


def _too_many(largest: int) -> ParameterError:
    return ParameterError(
        "groups must be numbers from 0 on without large gaps, since memory is taken for each, got "
        f"{largest}: np.unique(groups, return_inverse=True)[1] are such numbers"
    )


class _Run(NamedTuple):
    """The rows of one group, from `start` to `stop` of those in order."""

    group: int
    start: int
    stop: int


class Sums:
    """Adds up the statistics of groups."""

    def __init__(self, parameters: Parameters, n_groups: int, n_threads: int | None) -> None:
        shape = parameters.means.shape
        self._parameters = parameters
        self._n_threads = n_threads
        self._density: Density | None = None
        sizes = shape[:1], shape, parameters.structure.shape(*shape), (2,)
        try:
            sums = [np.zeros((n_groups, *size)) for size in sizes]
        except (MemoryError, ValueError):  # the latter if no array can be so large
            raise _too_many(n_groups - 1) from None
        self._n, self._first, self._second, self._totals = sums

    def add(self, block: Block, codes: Codes) -> None:
        """Add rows with the numbers of their groups."""
        if self._density is None:
            self._density = self._parameters.density(block.rows.dtype)
        density = self._density
        apart = bool((codes[1:] < codes[:-1]).any())
        order = np.argsort(codes, kind="stable") if apart else None
        runs = _runs(codes if order is None else codes[order])
        small = [run for run in runs if run.stop - run.start < PIECE_ROWS]
        flops = pass_flops(block.rows, self._parameters)
        count = threads.for_work(self._n_threads, flops)
        side_by_side = count if flops >= LEAST_FLOPS * len(runs) else 1

        def add_small(part: slice) -> None:
            for run in small[part]:
                self._add_run(block, order, run, density, 1)

        for run in runs:
            if run.stop - run.start >= PIECE_ROWS:
                self._add_run(block, order, run, density, count)
        for_blocks(add_small, len(small), GROUPS_AT_ONCE, side_by_side)
        self._require_reach(block, [run.group for run in runs], density)

    def result(self) -> SufficientStatistics:
        """Return the statistics, about the means."""
        parameters = self._parameters
        means = parameters.means
        density = self._density
        shift = means if density is None else density.center + density.means
        found = SufficientStatistics(
            self._n,
            self._first,
            self._second,
            self._totals[:, 0].copy(),
            shift,
            parameters.structure.name,
        )
        return found.about(means)  # the kernels round means to the rows' dtype

    def _add_run(
        self, block: Block, order: Codes | None, run: _Run, density: Density, n_threads: int
    ) -> None:
        group, start, stop = run
        sums = self._n[group], self._first[group], self._second[group], self._totals[group]
        step = stop - start if order is None else PIECE_ROWS
        for begin in range(start, stop, step):
            part = slice(begin, min(begin + step, stop))
            places = part if order is None else order[part]
            rows, weight = block.rows[places], _at(block.weight, places)
            dispatch.kernels(rows).accumulate(rows, weight, density, *sums, n_threads)

    def _require_reach(self, block: Block, present: list[int], density: Density) -> None:
        """Raise ValueError if a row of the block is out of reach of every component."""
        totals = self._totals[present]
        weights = totals[:, 1]
        means = np.divide(totals[:, 0], weights, where=weights > 0, out=np.zeros(len(weights)))
        require_mean_within_reach(totals[means.argmin()], block.rows, block.weight, density)


def _runs(codes: Codes) -> list[_Run]:
    """Return where each group begins and ends among codes in order."""
    edges = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(codes)]
    return [_Run(*run) for run in zip(codes[starts].tolist(), starts, stops, strict=True)]


def _at(weight: FloatArray | None, places: slice | Codes) -> FloatArray | None:
    return None if weight is None else weight[places]
