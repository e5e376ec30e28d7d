"""Iterations in one call of a kernel, where rows are in memory and EM chooses the points."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from gaussmix._core import dispatch
from gaussmix.data.base import Data, InMemory
from gaussmix.data.told import ToldData
from gaussmix.em.loop import EMState
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import is_suspicious
from gaussmix.model.statistics import threads_for

MOST_AT_ONCE = 1000  # iterations in one call of a kernel: someone may ask for very many

Begin: TypeAlias = Callable[[Parameters], tuple[Parameters, Any]]
"""Returns a copy of a point, and what `Kernels.em` takes to move it."""


def fast_forward(
    state: EMState, max_iter: int, data: Data | ToldData, begin: Begin, *, of_all: bool = False
) -> None:
    """Advance a run by calls of a kernel, which save small data much time, to the loop's bits.

    It ends before an M-step in which the kernel finds something wrong, such as a component that
    has lost its rows: that one is left to the loop. It does nothing where a strategy chooses the
    points, where rows are not in memory, or where they lack values.

    Parameters
    ----------
    state : EMState
    max_iter : int
        Number of iterations of the run, at most.
    data : Data or ToldData
    begin : callable
    of_all : bool
        Whether the objective is the value of all rows, and not of one in the mean.
    """
    if not isinstance(data, InMemory) or data.gaps:
        return
    weight = data.weight if of_all else 1.0
    while state.follows_em and state.n_iter < max_iter and not state.converged:
        point, ascent = begin(state.point)
        bounds = np.empty(min(max_iter - state.n_iter, MOST_AT_ONCE))
        n_iter, converged = dispatch.kernels(data.rows).em(
            data.rows,
            data.sample_weight,
            ascent,
            bounds,
            state.monitor.tol,
            state.monitor.last,
            threads_for(data.n_threads, data.rows, point),
        )
        if is_suspicious(bounds[:n_iter] / weight, data.dtype):
            break  # the loop finds the row
        if n_iter:
            state.fast_forward(point, bounds[:n_iter].tolist(), converged)
        if n_iter < len(bounds):
            break
