"""Expectation maximisation: the loop, and the monitor that ends it."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix.parameters import Parameters
from gaussmix.statistics import Statistics

EStep: TypeAlias = Callable[[Parameters], Statistics]
MStep: TypeAlias = Callable[[Statistics], tuple[Parameters, tuple[int, ...]]]
Callback: TypeAlias = Callable[[int, float, float], None]


class EMResult(NamedTuple):
    """Where an EM run ended and how it got there."""

    parameters: Parameters
    lower_bounds: list[float]
    """Mean log-likelihood of a row before each M-step, so one entry an iteration."""
    converged: bool
    n_iter: int
    collapsed: tuple[int, ...]
    """Components that the last M-step had to regularise or found without rows."""


class Monitor:
    """Watches the mean log-likelihood and says when it has settled.

    Parameters
    ----------
    tol : float
        Converged when the value changes by less than this; 0 never converges.
    previous : float
        Value before the first, from an earlier run that is being continued.
    """

    def __init__(self, tol: float, previous: float = -np.inf) -> None:
        self.tol = tol
        self.lower_bounds: list[float] = []
        self.change = np.inf
        self._last = previous

    def update(self, lower_bound: float) -> float:
        """Note the next value and return its change."""
        self.change = lower_bound - self._last
        self._last = lower_bound
        self.lower_bounds.append(lower_bound)
        return self.change

    @property
    def converged(self) -> bool:
        """Whether the last change was less than the tolerance."""
        return abs(self.change) < self.tol


class Printer:
    """Prints the progress of EM runs, in scikit-learn's words.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 runs and iterations, 2 also times and changes.
    interval : int
        Iterations between lines.
    """

    def __init__(self, verbose: int, interval: int) -> None:
        self.verbose = verbose
        self.interval = interval

    def start(self, run: int) -> None:
        """Announce a run."""
        self._start = self._lap = perf_counter()
        if self.verbose:
            print(f"Initialization {run}")

    def step(self, n_iter: int, _lower_bound: float, change: float) -> None:
        """Report an iteration: a callback for `em`."""
        if not self.verbose or n_iter % self.interval:
            return
        now = perf_counter()
        details = f"\t time lapse {now - self._lap:.5f}s\t ll change {change:.5f}"
        self._lap = now
        print(f"  Iteration {n_iter}{details if self.verbose > 1 else ''}")

    def end(self, lower_bound: float, converged: bool) -> None:
        """Report how a run ended."""
        if not self.verbose:
            return
        seconds = perf_counter() - self._start
        details = f" time lapse {seconds:.5f}s\t lower bound {lower_bound:.5f}."
        outcome = "converged" if converged else "did not converge"
        print(f"Initialization {outcome}.{details if self.verbose > 1 else ''}")


def em(
    start: Parameters,
    e_step: EStep,
    m_step: MStep,
    *,
    tol: float,
    max_iter: int,
    callback: Callback | None = None,
    previous: float = -np.inf,
) -> EMResult:
    r"""Repeat E-step and M-step until the likelihood settles (Dempster, Laird & Rubin, 1977).

    No iteration lowers the log-likelihood L beyond rounding, if the M-step maximises the expected
    log-likelihood. With reg_covar it maximises that less a penalty, so what cannot fall from an
    iteration to the next is

    .. math:: L(\theta) - \tfrac12 reg\_covar \sum_k n_k\, tr\, \Sigma_k^{-1},

    n_k being those of the iteration's E-step, and L itself may fall a little. It may also fall
    where a component has collapsed and was regularised.

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
        Number of iterations at most; 0 returns the start.
    callback : callable, optional
        Called after every M-step with the iteration (from 1), the mean log-likelihood before it,
        and its change.
    previous : float
        Mean log-likelihood before the first iteration, when an earlier run is continued.

    Returns
    -------
    EMResult

    References
    ----------
    Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm,
    Journal of the Royal Statistical Society B 39, 1-38.
    """
    parameters = start
    collapsed: tuple[int, ...] = ()
    monitor = Monitor(tol, previous)
    for n_iter in range(1, max_iter + 1):
        statistics = e_step(parameters)
        parameters, collapsed = m_step(statistics)
        change = monitor.update(statistics.mean_log_likelihood)
        if callback is not None:
            callback(n_iter, statistics.mean_log_likelihood, change)
        if monitor.converged:
            break
    n_iter = len(monitor.lower_bounds)
    return EMResult(parameters, monitor.lower_bounds, monitor.converged, n_iter, collapsed)
