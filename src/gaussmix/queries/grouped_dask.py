"""Sufficient statistics of groups of rows in the partitions of a Dask collection."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.dask import DaskData, rows_of, weights_of
from gaussmix.data.told_dask import parts_beside
from gaussmix.io.blocks import Block
from gaussmix.model.parameters import Parameters
from gaussmix.queries.grouped import Codes, SufficientStatistics, Sums, check_groups


@dataclass(frozen=True)
class _Present:
    """The statistics of the groups that partitions have rows of."""

    groups: Codes  # in order
    arrays: tuple[FloatArray, ...]  # n, first, second, log_likelihood of these

    def __add__(self, other: "_Present") -> "_Present":
        if not isinstance(other, _Present):
            return NotImplemented
        groups = np.union1d(self.groups, other.groups)
        sums = tuple(np.zeros((len(groups), *array.shape[1:])) for array in self.arrays)
        for part in (self, other):
            places = np.searchsorted(groups, part.groups)
            for total, array in zip(sums, part.arrays, strict=True):
                total[places] += array
        return _Present(groups, sums)


def statistics_of_partitions(
    parameters: Parameters, data: DaskData, groups: Any
) -> SufficientStatistics:
    """Return the statistics of every group of rows, in one pass on the workers.

    A worker sends those of the groups that its partitions have rows of.

    Parameters
    ----------
    parameters : Parameters
    data : DaskData
    groups : dask array or series, list of Delayed or Future, or array-like of int
        Numbers of the groups, not negative, with the partitions of X. If the chunks of X are known
        other chunks are rechunked, and arrays of this machine will do.

    Raises
    ------
    ParameterError
        If the groups have other partitions or numbers.
    """
    beside = parts_beside("groups", groups, data)
    go_over = partial(_go_over, data.dtype)
    found: _Present = data.sum_beside(go_over, partial(Sums, parameters), beside)
    whole = Sums(parameters, int(found.groups[-1]) + 1, 1).result()
    own = whole.n, whole.first, whole.second, whole.log_likelihood
    for array, present in zip(own, found.arrays, strict=True):
        array[found.groups] = present
    return whole


def _go_over(
    dtype: np.dtype[Any],
    sums_of: Callable[[int, int], Sums],
    block: object,
    beside: tuple[object, object],
) -> _Present:
    """Add up the rows of a partition, which was checked."""
    rows = rows_of(block, dtype)
    weight, codes = beside
    groups, own = np.unique(check_groups(codes, len(rows)), return_inverse=True)
    sums = sums_of(len(groups), 1)
    sums.add(Block(rows, weights_of(weight, len(rows))), own)
    found = sums.result()
    return _Present(groups, (found.n, found.first, found.second, found.log_likelihood))
