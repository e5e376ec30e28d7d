"""EM runs that race: those that may still overtake the best go on."""

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.loop import EMState, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.trials import EQUAL
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.starts.budget import Work, allowed, pass_cost

THIN = 1 / 300
"""A component of few rows is a needle if its variance in some direction is below this part of the
average component's."""

FEW_ROWS_PER_FEATURE = 10
"""A component that holds more rows than this for every feature, and one feature more, is believed
however thin it is."""

FIRST_ITERATIONS, FIRST_MICROSECONDS, MOST_FIRST = 6, 120, 20
NEXT_ITERATIONS, NEXT_MICROSECONDS, MOST_NEXT = 6, 120, 40
"""Iterations at a time: more where one costs next to nothing, since each call does."""

FEWEST = 4  # rows that a component needs, also if its covariance is that of all
SETTLED = 5e-5  # a run that gains less in an iteration has nothing more to show
HORIZON = 40
"""A run may come to gain this many times its last gain. 20, 40 and 100 found the best as often, 10
lost runs on plateaus."""

CALL = 35  # microseconds of a call that takes a run further, and of a look for needles


class Run:
    """A mixture on its way, and what kind of start it came from."""

    def __init__(self, kind: str, start: Parameters) -> None:
        self.kind = kind
        self.state = EMState(start, SETTLED)
        self.spoiled = self.repaired = False

    @property
    def parameters(self) -> Parameters:
        """Where it stands."""
        return self.state.point

    @property
    def bound(self) -> float:
        """Mean log-likelihood of a row before the last M-step."""
        return self.state.monitor.last

    @property
    def gains(self) -> FloatArray:
        """By how much its iterations changed that."""
        return np.abs(np.diff(self.state.monitor.lower_bounds))

    @property
    def promise(self) -> float:
        """What it may come to."""
        return self.bound + HORIZON * abs(self.state.monitor.change)


class Race:
    """Runs on the same rows, and the best of them that is not spurious.

    Parameters
    ----------
    sample : Sample
    structure : CovarianceStructure
    n_components : int
    reg_covar : float
    random_state : RandomState
    n_threads : int or None
    """

    def __init__(
        self,
        sample: Sample,
        structure: CovarianceStructure,
        n_components: int,
        reg_covar: float,
        random_state: np.random.RandomState,
        n_threads: int | None,
    ) -> None:
        self.sample, self.structure, self.n_components = sample, structure, n_components
        self.reg_covar, self.random_state, self.n_threads = reg_covar, random_state, n_threads
        self.n_rows, self.n_features = sample.rows.shape
        self.objective = MaximumLikelihood(InMemory(*sample, n_threads), reg_covar)
        self.size = self.n_rows, self.n_features, n_components, structure
        self.cost = cost = pass_cost(*self.size)
        self.first = min(max(int(FIRST_MICROSECONDS / cost), FIRST_ITERATIONS), MOST_FIRST)
        self.next = min(max(int(NEXT_MICROSECONDS / cost), NEXT_ITERATIONS), MOST_NEXT)
        self.work = Work(allowed(*self.size))
        self.runs: list[Run] = []
        self.best: Run | None = None

    @property
    def fewest(self) -> int:
        """Rows that a component needs to be believed."""
        return max(self.structure.fewest_rows(self.n_features), FEWEST)

    def add(self, kind: str, start: Parameters) -> Run:
        """Let a start take part, and take it its first iterations."""
        run = Run(kind, start)
        self.runs.append(run)
        self.advance(run, self.first)
        return run

    def advance(self, run: Run, n_iter: int) -> None:
        """Take a run further. It is spoiled if a component collapses or owes all to few rows."""
        state, before = run.state, run.state.n_iter
        try:
            collapsed = self._iterate(state, before + n_iter)
        except ValueError:  # rows out of its reach: the fit will say so, if no run is better
            collapsed = True
        self.work.add(CALL + self.cost * (state.n_iter - before))
        few = run.parameters.weights.min() * self.n_rows < self.fewest
        run.spoiled = bool(collapsed or few or not np.isfinite(run.bound))
        self._judge(run)

    def _iterate(self, state: EMState, most: int) -> bool:
        """Go on until there are `most` iterations; return whether a component has collapsed."""
        self.objective.fast_forward(state, most)
        while state.n_iter < most and not state.converged:  # compiled code leaves hard M-steps
            if proceed(state, self.objective, max_iter=state.n_iter + 1).collapsed:
                return True
        return False

    def _judge(self, run: Run) -> None:
        """Look for needles only where the run would be the best: most never are."""
        best = self.best
        leads = best is None or best is run or run.bound > best.bound + EQUAL
        if leads and not run.spoiled:
            self.work.add(CALL)
            run.spoiled = has_needle(run.parameters, self.n_rows)
            if not run.spoiled:
                self.best = run
        if run.spoiled and run is self.best:
            sound = [other for other in self.runs if not other.spoiled]
            self.best = max(sound, key=lambda other: other.bound, default=None)

    def hopeful(self) -> Run | None:
        """Return the unsettled run of most promise, if it is the best or may overtake it."""
        waiting = [run for run in self.runs if not (run.spoiled or run.state.converged)]
        run = max(waiting, key=lambda other: other.promise, default=None)
        if run is None or self.best is None or run is self.best:
            return run
        return run if run.promise > self.best.bound else None


def has_needle(parameters: Parameters, n_rows: int) -> bool:
    """Whether a component of few rows is far thinner than the average component."""
    if parameters.structure.shared:
        return False
    few = parameters.weights * n_rows < FEW_ROWS_PER_FEATURE * (parameters.n_features + 1)
    if not few.any():
        return False
    covariances = parameters.covariances
    within = (parameters.weights @ covariances.reshape(len(few), -1)).reshape(covariances.shape[1:])
    if parameters.structure.form != "full":
        return bool((covariances[few] < THIN * within).any())
    return _is_thin(parameters.precisions_cholesky[few], within)


def _is_thin(factors: FloatArray, within: FloatArray) -> bool:
    """Whether a covariance, given by its precision factor U, is thin beside another one.

    The largest eigenvalue of U' within U says so. The trace bounds it, and nearly always settles
    the matter.
    """
    products = within @ factors
    if (np.einsum("kij,kij->k", factors, products) < 1 / THIN).all():
        return False
    ratios = factors.transpose(0, 2, 1) @ products
    return bool((np.linalg.eigvalsh(ratios)[:, -1] > 1 / THIN).any())
