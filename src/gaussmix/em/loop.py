"""Expectation maximisation: the loop, the points it looks at, and the monitor that ends it."""

import sys
from collections.abc import Callable
from copy import copy
from typing import NamedTuple, Protocol, Self, TypeAlias

import numpy as np

from gaussmix.em.mixed_precision import NEGLIGIBLE, error_of_single
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics

Callback: TypeAlias = Callable[[int, float, float], None]
"""Called after an iteration with its number from 1, the lower bound before its M-step, and by how
much that has changed."""

NEVER = sys.maxsize
"""An iteration that no run comes to."""


class Step(NamedTuple):
    """What one pass over the data says about a point."""

    point: Parameters
    image: Parameters
    """Where EM goes from the point."""
    collapsed: tuple[int, ...]
    """Components that the M-step had to regularise or found without rows."""
    lower_bound: float
    """The objective at the point: for the likelihood, the mean log-likelihood of a row."""


class Objective(Protocol):
    """What EM climbs: the rows, and the parameters that follow from what a pass over them adds up.

    `gaussmix.em.objective` has the likelihood. A prior, a bound or a cheaper pass is another class.
    """

    def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
        """Go over the rows under the parameters; `single` if float32 is precise enough."""

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        """Return the best parameters for the statistics, and the components that collapsed.

        `previous` are those of the E-step. The result suits the statistics no worse than they do.
        """

    def lower_bound(self, parameters: Parameters, statistics: Statistics) -> float:
        """Return the value at parameters, of which these are the E-step's statistics."""

    def score(self, parameters: Parameters) -> float:
        """Return the value at parameters, by a pass of its own."""

    def fast_forward(self, state: "EMState", max_iter: int) -> None:
        """Advance a run without a callback in compiled code, if there is any, to the same bits."""


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
    """The objective before each M-step, so one entry an iteration. Where there was an acceleration,
    points that it tried and left are among them."""
    converged: bool
    n_iter: int
    collapsed: tuple[int, ...]
    """Components that the last M-step had to regularise or found without rows."""


class Monitor:
    """Watches the objective and says when it has settled.

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
        self.extend([lower_bound])
        return self.change

    def extend(self, lower_bounds: list[float]) -> None:
        """Note several next values, at least one."""
        self.before = lower_bounds[-2] if len(lower_bounds) > 1 else self.last
        self.last = lower_bounds[-1]
        self.change = self.last - self.before
        self.lower_bounds.extend(lower_bounds)

    def refuse(self) -> None:
        """Compare the next value with that before the present one, whose point was not kept."""
        self.last = self.before

    def restart(self) -> None:
        """Compare the next value with none: what came before was gained by other means."""
        self.last = -np.inf

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
    single : bool
        Whether passes may be made in float32: the end is far. It ends by itself, and a run
        converges after that.
    listed : float or None
        Mean lower bound of a row at the point, if passes over lists of components have led there;
        None after a pass over all. See `gaussmix.em.truncated`.
    end : float or None
        The objective where the last step led, if a run ends there and a pass has told it.
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
        self.single = False
        self.listed: float | None = None
        self.end: float | None = None

    def take(self, step: Step) -> None:
        """Go on from what a pass has found at the point."""
        self.monitor.update(step.lower_bound)
        by_em = self.by_em
        if by_em or self.strategy.accepts(step, self.last):
            self.last = step
            settled = self.monitor.settled
            self.converged = by_em and settled and not self.single
            if self.single and by_em:
                settled = self._leave_single(step) or settled
            self.point = step.image if settled else self.strategy.follow(step)
        else:
            self.monitor.refuse()
            self.point = self.last.image

    def fast_forward(self, point: Parameters, lower_bounds: list[float], converged: bool) -> None:
        """Go on from the point that iterations of EM in compiled code have led to."""
        self.monitor.extend(lower_bounds)
        self.last = Step(point, point, (), lower_bounds[-1])
        self.point = point
        self.converged = converged

    def take_sweep(self, step: Step) -> None:
        """Go on from the end of a sweep over blocks of rows."""
        self.monitor.update(step.lower_bound)
        self.last = step
        self.point = step.image

    def _leave_single(self, step: Step) -> bool:
        """Go over to float64 if an EM step gained too little for float32 to tell."""
        monitor = self.monitor
        error = error_of_single(step.image, step.lower_bound)
        self.single = monitor.change > max(monitor.tol, error)  # not if it is NaN
        if not self.single and error > NEGLIGIBLE * monitor.tol:
            monitor.restart()
        return not self.single

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
    objective: Objective,
    *,
    tol: float,
    max_iter: int,
    callback: Callback | None = None,
    previous: float = -np.inf,
    strategy: Strategy | None = None,
) -> EMResult:
    r"""Repeat E-step and M-step until the objective settles (Dempster, Laird & Rubin, 1977).

    No iteration lowers the log-likelihood L beyond rounding, if the M-step maximises the expected
    log-likelihood. With reg_covar the M-step maximises that less a penalty. What cannot fall from
    an iteration to the next is then

        L - reg_covar / 2 sum_k n_k trace(precision_k)

    with the n_k of the iteration's E-step. L itself may fall a little. L may also fall where a
    component has collapsed and was regularised.

    A strategy may choose other points for the passes than EM's. Where a point turns out to be worse
    than the strategy accepts, EM goes on from the last good one. Every pass counts as an
    iteration. Only the change by an EM step says that the objective has settled: what a jump gains
    by accident says little about the next one.

    Parameters
    ----------
    start : Parameters
        Where to begin.
    objective : Objective
        What to climb, such as `gaussmix.em.objective.MaximumLikelihood`.
    tol : float
        Stop when the objective changes by less. 0 runs all of `max_iter`.
    max_iter : int
        Number of iterations, that is of passes, at most; 0 returns the start.
    callback : callable, optional
        Called after every M-step with the iteration (from 1), the objective before it, and its
        change.
    previous : float
        Value before the first iteration, when an earlier run is continued.
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
    return proceed(state, objective, max_iter=max_iter, callback=callback)


def proceed(
    state: EMState, objective: Objective, *, max_iter: int, callback: Callback | None = None
) -> EMResult:
    """Go on with a run, as `em` does, until it has settled or done `max_iter` iterations in all.

    The state is advanced in place. Between two iterations, when the callback is called, a copy of
    it is where the run can be taken up again. A run without a callback may be done in compiled
    code, to the same bits.
    """
    if callback is None and not state.single:
        objective.fast_forward(state, max_iter)
    while state.n_iter < max_iter and not state.converged:
        statistics = objective.e_step(state.point, single=state.single)
        lower_bound = objective.lower_bound(state.point, statistics)
        image, collapsed = objective.m_step(statistics, state.point)
        state.take(Step(state.point, image, collapsed, lower_bound))
        if callback is not None:
            callback(state.n_iter, lower_bound, state.monitor.change)
    return state.result
