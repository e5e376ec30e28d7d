"""The progress of EM runs, printed."""

import logging
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter
from typing import NamedTuple

from gaussmix.display.progress import PROGRESS, Pace, speaks

LOGGER = logging.getLogger("gaussmix")
SEEN_LINES = 3  # that an estimate of the time left looks back on


class Extent(NamedTuple):
    """How much a run has to do."""

    n_samples: int
    max_iter: int
    tol: float


class Line(NamedTuple):
    """An iteration that a line was printed of, and the change of the mean log-likelihood there."""

    n_iter: int
    change: float


class Printer:
    """Prints the progress of EM runs, in scikit-learn's words.

    Where logging is enabled for INFO, `gaussmix.progress` has a line every so often too.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 starts with their time, runs and iterations, 2 also times and changes, 3
        also rows per second and the time that is left.
    interval : int
        Iterations between lines.
    extent : Extent
    value : str
        What the objective is called.
    """

    def __init__(
        self, verbose: int, interval: int, extent: Extent, value: str = "mean log-likelihood"
    ) -> None:
        self.verbose = verbose
        self.interval = interval
        self.extent = extent
        self.value = value
        self._pace = Pace()

    @property
    def watches(self) -> bool:
        """Whether anything is said of iterations."""
        return self.verbose > 0 or speaks()

    def say(self, text: str) -> None:
        """Say something once."""
        say(text, self.verbose)

    @contextmanager
    def starting(self, method: str) -> Iterator[None]:
        """Time what finds the starts."""
        begin = perf_counter()
        yield
        if self.verbose:
            print(f"Start by {method}\t time lapse {perf_counter() - begin:.5f}s")

    def start(self, run: int) -> None:
        """Announce a run."""
        self._start = self._lap = perf_counter()
        self._lines: deque[Line] = deque([Line(0, math.nan)], maxlen=SEEN_LINES)
        if self.verbose:
            print(f"Initialization {run}")

    def step(self, n_iter: int, lower_bound: float, change: float) -> None:
        """Report an iteration: a callback for `em`."""
        if self._pace.due():
            left = f"of at most {self.extent.max_iter}"
            PROGRESS.info("iteration %d %s, %s %.6g", n_iter, left, self.value, lower_bound)
        if not self.verbose or n_iter % self.interval:
            return
        now, before = perf_counter(), self._lines[-1].n_iter
        details = ""
        if self.verbose > 1:
            details = f"\t time lapse {now - self._lap:.5f}s\t ll change {change:.5f}"
        self._lines.append(Line(n_iter, change))
        if self.verbose > 2 and n_iter > before:
            details += self._outlook((now - self._lap) / (n_iter - before))
        self._lap = now
        print(f"  Iteration {n_iter}{details}")

    def end(self, lower_bound: float, converged: bool) -> None:
        """Report how a run ended."""
        if not self.verbose:
            return
        seconds = perf_counter() - self._start
        details = f" time lapse {seconds:.5f}s\t lower bound {lower_bound:.5f}."
        outcome = "converged" if converged else "did not converge"
        print(f"Initialization {outcome}.{details if self.verbose > 1 else ''}")

    def _outlook(self, seconds: float) -> str:
        """Say how fast iterations of so many seconds are, and how long the others will take."""
        most = self.extent.max_iter - self._lines[-1].n_iter
        left = most if self.extent.tol == 0 else self._iterations_left()
        known = "at most " if left is None else ""
        time = duration(seconds * (most if left is None else min(most, left)))
        return f"\t {self.extent.n_samples / seconds:.3g} rows/s\t {known}{time} left"

    def _iterations_left(self) -> float | None:
        """Iterations to go, if changes shrink as slowly as they did between the last lines.

        None where that cannot be known: among the first lines, or where changes have grown.
        """
        changes = [line.change for line in self._lines]
        if len(changes) < SEEN_LINES or not all(0 < change < math.inf for change in changes):
            return None
        rate = max(
            math.log(after.change / before.change) / (after.n_iter - before.n_iter)
            for before, after in pairwise(self._lines)
        )
        return None if rate >= 0 else max(0.0, math.log(self.extent.tol / changes[-1]) / rate)


def say(text: str, verbose: int) -> None:
    """Log something, and print it if asked to."""
    LOGGER.info(text)
    if verbose:
        print(text)


def duration(seconds: float) -> str:
    """Round a time to what a person wants to know: 12 s, 3 min, 1 h 20 min."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
