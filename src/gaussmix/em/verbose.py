"""The progress of EM runs, printed."""

import math
from time import perf_counter
from typing import NamedTuple


class Extent(NamedTuple):
    """How much a run has to do."""

    n_samples: int
    max_iter: int
    tol: float


class Printer:
    """Prints the progress of EM runs, in scikit-learn's words.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 runs and iterations, 2 also times and changes, 3 also rows per second
        and the time that is left.
    interval : int
        Iterations between lines.
    extent : Extent
    """

    def __init__(self, verbose: int, interval: int, extent: Extent) -> None:
        self.verbose = verbose
        self.interval = interval
        self.extent = extent

    def start(self, run: int) -> None:
        """Announce a run."""
        self._start = self._lap = perf_counter()
        self._n_iter, self._change = 0, math.nan
        if self.verbose:
            print(f"Initialization {run}")

    def step(self, n_iter: int, _lower_bound: float, change: float) -> None:
        """Report an iteration: a callback for `em`."""
        if not self.verbose or n_iter % self.interval:
            return
        now = perf_counter()
        details = ""
        if self.verbose > 1:
            details = f"\t time lapse {now - self._lap:.5f}s\t ll change {change:.5f}"
        if self.verbose > 2 and n_iter > self._n_iter:
            details += self._outlook(n_iter, change, (now - self._lap) / (n_iter - self._n_iter))
        self._lap, self._n_iter, self._change = now, n_iter, change
        print(f"  Iteration {n_iter}{details}")

    def end(self, lower_bound: float, converged: bool) -> None:
        """Report how a run ended."""
        if not self.verbose:
            return
        seconds = perf_counter() - self._start
        details = f" time lapse {seconds:.5f}s\t lower bound {lower_bound:.5f}."
        outcome = "converged" if converged else "did not converge"
        print(f"Initialization {outcome}.{details if self.verbose > 1 else ''}")

    def _outlook(self, n_iter: int, change: float, seconds: float) -> str:
        left = self._iterations_left(n_iter, change)
        rate = self.extent.n_samples / seconds
        return f"\t {rate:.3g} rows/s\t {duration(left * seconds)} left"

    def _iterations_left(self, n_iter: int, change: float) -> float:
        """Iterations to go, if changes go on to shrink as they did since the last line."""
        most = self.extent.max_iter - n_iter
        if not (self.extent.tol > 0 and math.inf > self._change > change > 0):
            return most
        rate = math.log(change / self._change) / (n_iter - self._n_iter)
        return max(0.0, min(most, math.log(self.extent.tol / change) / rate))


def duration(seconds: float) -> str:
    """Round a time to what a person wants to know: 12 s, 3 min, 1 h 20 min."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
