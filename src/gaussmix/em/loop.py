"""Expectation maximisation: the loop, the points it looks at, and the monitor that ends it."""

from collections.abc import Callable
from copy import copy
from typing import NamedTuple, Protocol, Self, TypeAlias

import numpy as np

from gaussmix._core import dispatch, threads
from gaussmix.data.base import InMemory
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, pass_flops

EStep: TypeAlias = Callable[[Parameters], Statistics]
MStep: TypeAlias = Callable[[Statistics], tuple[Parameters, tuple[int, ...]]]
Callback: TypeAlias = Callable[[int, float, float], None]

MOST_AT_ONCE = 1000  # iterations in one call of a kernel: someone may ask for very many


class Step(NamedTuple):
    """What one pass over the data says about a point."""

    point: Parameters
    image: Parameters
    """Where EM goes from the point."""
    collapsed: tuple[int, ...]
    """Components that the M-step had to regularise or found without rows."""
    lower_bound: float
    """Mean log-likelihood of a row at the point."""


class Strategy(Protocol):
    """Chooses the points that passes look at: EM's own, or others that promise more."""

    def follow(self, step: Step) -> Parameters:
        """Return the next point after a good step; `step.image` itself if it is EM's."""

    def accepts(self, step: Step, last: Step) -> bool:
        """Whether a step is good whose point, chosen after the last good step, is not EM's."""


class PlainEM:
    """The strategy of going where EM goes."""

    def follow(self, step: Step) -> Parameters:
        """Return EM's next point."""
        return step.image

    def accepts(self, step: Step, last: Step) -> bool:  # noqa: ARG002, there is nothing to judge
        """Accept everything."""
        return True

    def __copy__(self) -> Self:
        return self  # it remembers nothing


class EMResult(NamedTuple):
    """Where an EM run ended and how it got there."""

    parameters: Parameters
    lower_bounds: list[float]
    """Mean log-likelihood of a row before each M-step, so one entry an iteration. Where there was
    an acceleration, points that it tried and left are among them."""
    converged: bool
    n_iter: int
    collapsed: tuple[int, ...]
    """Components that the last M-step had to regularise or found without rows."""


class Monitor:
    """Watches the mean log-likelihood and says when it has settled.

    Parameters
    ----------
    tol : float
        Settled when the value changes by less than this; 0 never settles.
    previous : float
        Value before the first, from an earlier run that is being continued.

    Attributes
    ----------
    lower_bounds : list of float
        All values.
    change : float
        The last change.
    last, before : float
        What the next value is compared with, and what the present one was compared with.
    """

    def __init__(self, tol: float, previous: float = -np.inf) -> None:
        self.tol = tol
        self.lower_bounds: list[float] = []
        self.change = np.inf
        self.last = self.before = previous

    def update(self, lower_bound: float) -> float:
        """Note the next value and return its change."""
        self.change = lower_bound - self.last
        self.before, self.last = self.last, lower_bound
        self.lower_bounds.append(lower_bound)
        return self.change

    def refuse(self) -> None:
        """Compare the next value with that before the present one, whose point was not kept."""
        self.last = self.before

    @property
    def settled(self) -> bool:
        """Whether the last change was less than the tolerance."""
        return abs(self.change) < self.tol

    def __copy__(self) -> "Monitor":
        twin = Monitor(self.tol)
        vars(twin).update(vars(self), lower_bounds=[*self.lower_bounds])
        return twin


class EMState:
    """An EM run between two iterations: all that it takes to go on as if it had never stopped.

    Parameters
    ----------
    start : Parameters
        Where to begin.
    tol : float
        Settled when the mean log-likelihood of a row changes by less.
    previous : float
        Mean log-likelihood before the first iteration, when an earlier run is continued.
    strategy : Strategy, optional
        What chooses the points; EM if not given.

    Attributes
    ----------
    point : Parameters
        What the next pass looks at.
    last : Step
        The last good step.
    monitor : Monitor
    strategy : Strategy
    converged : bool
    """

    def __init__(
        self,
        start: Parameters,
        tol: float,
        previous: float = -np.inf,
        strategy: Strategy | None = None,
    ) -> None:
        self.point = start
        self.last = Step(start, start, (), previous)  # as if an EM step had led to the start
        self.monitor = Monitor(tol, previous)
        self.strategy = strategy or PlainEM()
        self.converged = False

    def take(self, step: Step) -> None:
        """Go on from what a pass has found at the point."""
        self.monitor.update(step.lower_bound)
        by_em = self.by_em
        if by_em or self.strategy.accepts(step, self.last):
            self.last = step
            self.converged = by_em and self.monitor.settled
            self.point = step.image if self.monitor.settled else self.strategy.follow(step)
        else:
            self.monitor.refuse()
            self.point = self.last.image

    def leap(self, point: Parameters, lower_bounds: list[float], converged: bool) -> None:
        """Go on from where so many iterations of EM, by other means, have led."""
        for lower_bound in lower_bounds:
            self.monitor.update(lower_bound)
        self.last = Step(point, point, (), lower_bounds[-1])
        self.point = point
        self.converged = converged

    @property
    def by_em(self) -> bool:
        """Whether the point is where EM itself went from the last good step."""
        return self.point is self.last.image

    @property
    def follows_em(self) -> bool:
        """Whether no strategy chooses other points than EM's."""
        return isinstance(self.strategy, PlainEM)

    @property
    def n_iter(self) -> int:
        """Number of iterations so far."""
        return len(self.monitor.lower_bounds)

    @property
    def result(self) -> EMResult:
        """What the run has come to, if it ends here."""
        bounds = self.monitor.lower_bounds
        return EMResult(self.last.image, bounds, self.converged, self.n_iter, self.last.collapsed)

    def __copy__(self) -> Self:
        twin = self.__class__.__new__(self.__class__)
        parts = {"monitor": copy(self.monitor), "strategy": copy(self.strategy)}
        vars(twin).update(vars(self), **parts)
        return twin


def em(
    start: Parameters,
    e_step: EStep,
    m_step: MStep,
    *,
    tol: float,
    max_iter: int,
    callback: Callback | None = None,
    previous: float = -np.inf,
    strategy: Strategy | None = None,
) -> EMResult:
    r"""Repeat E-step and M-step until the likelihood settles (Dempster, Laird & Rubin, 1977).

    No iteration lowers the log-likelihood L beyond rounding, if the M-step maximises the expected
    log-likelihood. With reg_covar it maximises that less a penalty, so what cannot fall from an
    iteration to the next is

    .. math:: L(\theta) - \tfrac12 reg\_covar \sum_k n_k\, tr\, \Sigma_k^{-1},

    n_k being those of the iteration's E-step, and L itself may fall a little. It may also fall
    where a component has collapsed and was regularised.

    A strategy may choose other points for the passes than EM's. Where one turns out to be worse
    than the strategy accepts, EM goes on from the last good one. Every pass counts as an
    iteration, and only the change by an EM step says that the likelihood has settled: what a
    leap gains by accident says little about the next one.

    Parameters
    ----------
    start : Parameters
        Where to begin.
    e_step : callable
        A pass over the data: parameters in, `Statistics` out.
    m_step : callable
        Statistics in, new parameters and the components that collapsed out.
    tol : float
        Stop when the mean log-likelihood of a row changes by less. 0 runs all of `max_iter`.
    max_iter : int
        Number of iterations, that is of passes, at most; 0 returns the start.
    callback : callable, optional
        Called after every M-step with the iteration (from 1), the mean log-likelihood before it,
        and its change.
    previous : float
        Mean log-likelihood before the first iteration, when an earlier run is continued.
    strategy : Strategy, optional
        What chooses the points, such as `gaussmix.em.acceleration.Accelerator`; EM if not given.

    Returns
    -------
    EMResult

    References
    ----------
    Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm,
    Journal of the Royal Statistical Society B 39, 1-38.
    """
    state = EMState(start, tol, previous, strategy)
    return proceed(state, e_step, m_step, max_iter=max_iter, callback=callback)


def proceed(
    state: EMState,
    e_step: EStep,
    m_step: MStep,
    *,
    max_iter: int,
    callback: Callback | None = None,
) -> EMResult:
    """Go on with a run, as `em` does, until it has settled or done `max_iter` iterations in all.

    The state is advanced in place; between two iterations, when the callback is called, a copy of
    it is where the run can be taken up again.
    """
    while state.n_iter < max_iter and not state.converged:
        statistics = e_step(state.point)
        state.take(Step(state.point, *m_step(statistics), statistics.mean_log_likelihood))
        if callback is not None:
            callback(state.n_iter, state.monitor.lower_bounds[-1], state.monitor.change)
    return state.result


def hasten(state: EMState, data: InMemory, reg_covar: float, max_iter: int) -> None:
    """Go on with a run as far as a kernel does in one call, which saves small data much time.

    The bits are those of `proceed` with passes over the data and `m_step`, which goes on from
    there: where a component collapses, or has lost its rows. Nothing is done where a strategy
    chooses the points, or the kernels do not know the structure's M-step.
    """
    if not state.point.structure.is_general:
        return
    while state.follows_em and state.n_iter < max_iter and not state.converged:
        start = state.point
        arrays = start.weights, start.means, start.covariances, start.precisions_cholesky
        point = Parameters(start.structure, *(np.array(array, order="C") for array in arrays))
        bounds = np.empty(min(max_iter - state.n_iter, MOST_AT_ONCE))
        n_iter, converged = dispatch.kernels(data.rows).em(
            data.rows,
            data.sample_weight,
            point.structure.form,
            point.weights,
            point.means,
            point.covariances,
            point.precisions_cholesky,
            bounds,
            reg_covar,
            state.monitor.tol,
            state.monitor.last,
            threads.for_work(data.n_threads, pass_flops(data.rows, point)),
        )
        if n_iter:
            state.leap(point, bounds[:n_iter].tolist(), converged)
        if n_iter < len(bounds):
            break
