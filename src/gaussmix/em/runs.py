"""EM runs from several starts, of which the best is kept."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix.em.loop import Callback, EMResult, EMState, Objective, proceed
from gaussmix.em.verbose import Printer


class Run(NamedTuple):
    """An EM run: waiting, under way, or at its end."""

    number: int
    state: EMState
    end: float | None = None
    """Mean log-likelihood of a row where it ended; None before."""

    @property
    def result(self) -> EMResult:
        """What it has come to."""
        return self.state.result

    @property
    def lower_bound(self) -> float:
        """Mean log-likelihood of a row where it ended."""
        assert self.end is not None, "only a run that has ended is asked"
        return self.end

    @property
    def certificate(self) -> tuple[float, float]:
        """A lower bound of that, and what added to it is not less: 0 but under lists."""
        listed = self.state.listed
        if listed is None:
            return self.lower_bound, 0.0
        gap = max(self.lower_bound - listed, 0.0)
        return self.lower_bound - gap, gap + 2 * float(np.spacing(abs(self.lower_bound)))

    def rank(self) -> tuple[bool, float]:
        """Return what is larger for a better run.

        One with a regularised component owes its likelihood to a few rows, so it comes last.
        """
        return not self.state.last.collapsed, self.lower_bound

    def ended(self, max_iter: int) -> bool:
        """Whether nothing is left to do in a fit of `max_iter` iterations."""
        return self.end is not None and (self.state.converged or self.state.n_iter >= max_iter)


Runs: TypeAlias = tuple[Run, ...]
Note: TypeAlias = Callable[[Runs], None]
Opening: TypeAlias = Callable[[EMState, Callback], int]
"""Advances a run that it finds at a number of iterations that it waits for, and returns the next
such number, or NEVER."""


def _silent(_runs: Runs) -> None:
    pass


@dataclass(frozen=True)
class Search:
    """Takes runs to their ends.

    Parameters
    ----------
    objective : Objective
    max_iter : int
        Of a run, at most.
    printer : Printer
    opening : callable
        What a run does before EM, and after some iterations of it. One that is interrupted there
        goes on from where it was before.
    """

    objective: Objective
    max_iter: int
    printer: Printer
    opening: Opening

    def best(self, runs: Runs, note: Note = _silent) -> Run:
        """Return the run that ends best: of largest likelihood, those that collapsed last.

        Parameters
        ----------
        runs : tuple of Run
            They stay as they are.
        note : callable
            Called at first, and after every iteration, with the runs as they are then: what is
            best of those is best of these.
        """
        note(runs)
        for run in runs:
            if not run.ended(self.max_iter):
                runs = _worth_keeping(self._with_end(run, runs, note))
                note(runs)
        return max(runs, key=Run.rank)

    def _with_end(self, run: Run, runs: Runs, note: Note) -> Runs:
        """Take one of the runs to its end."""
        state = copy(run.state)

        def callback(n_iter: int, lower_bound: float, change: float) -> None:
            self.printer.step(n_iter, lower_bound, change)
            if note is not _silent:
                note(_with(runs, Run(run.number, copy(state))))

        self.printer.start(run.number)
        watched = note is not _silent or self.printer.watches
        while not (state.converged or state.n_iter >= self.max_iter):
            pause = self.opening(state, self.printer.step)
            proceed(
                state,
                self.objective,
                max_iter=min(pause, self.max_iter),
                callback=callback if watched else None,
            )
        end = state.end
        if end is None:
            end = self.objective.score(state.result.parameters)
        self.printer.end(end, state.converged)
        return _with(runs, Run(run.number, state, end))


def _with(runs: Runs, changed: Run) -> Runs:
    return tuple(changed if run.number == changed.number else run for run in runs)


def _worth_keeping(runs: Runs) -> Runs:
    """Drop runs that converged to less than the best that did: nothing can change that."""
    if len(runs) == 1:
        return runs
    settled = [run for run in runs if run.end is not None and run.state.converged]
    best = max(settled, key=Run.rank, default=None)
    return tuple(run for run in runs if run is best or run not in settled)
