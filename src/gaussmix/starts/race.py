"""EM runs that race: those that may still overtake the best go on."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gaussmix._core import dispatch, threads
from gaussmix._core.types import FloatArray, Labels
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.loop import EMState, proceed
from gaussmix.em.mixed_precision import SINGLE, error_of_single
from gaussmix.em.objective import MaximumLikelihood, ascent_from
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import TOLERATED_ERROR, may_be_rounded
from gaussmix.model.statistics import collect_labelled, flops_of
from gaussmix.starts.budget import Work, kmeans_cost, pass_cost, seeding_cost

THIN = 1 / 300
"""A component of few rows is a needle if its variance in some direction is below this part of the
average component's."""

FEW_ROWS_PER_FEATURE = 10
"""A component that holds more rows than this for every feature, and one feature more, is believed
however thin it is."""

FIRST_ITERATIONS, FIRST_MICROSECONDS, MOST_FIRST = 6, 60, 20
NEXT_ITERATIONS, NEXT_MICROSECONDS, MOST_NEXT = 10, 200, 40
"""Iterations at a time: more where one costs next to nothing, since each call does."""

FEWEST = 4  # rows that a component needs, also if its covariance is that of all
SETTLED = 5e-4  # a run that gains less in an iteration has nothing more to show
HORIZON = 40
"""A run may come to gain this many times its last gain. 40, 80 and 100 found the best as often, 20
less so."""

APART = 6
"""Standard deviations between means. Groups so far apart hardly overlap."""

EQUAL = 1e-5
"""Bounds that differ by less are equal: float32 gets about so much of them wrong."""

LLOYD_ITERATIONS, LLOYD_TOL = 30, 1e-4

CALL, ENTRY, CLUSTERS = 45, 50, 105
"""Microseconds of a call that takes a run further, or looks for needles; of one that begins with a
run; and of one that finds clusters."""


class Clusters(NamedTuple):
    """Clusters that K-means finds in a view (N, E) of the rows, each to become a component.

    The next centre is the best of `n_trials` candidates.
    """

    view: FloatArray
    n_trials: int


Start: TypeAlias = Parameters | Clusters


class NeedsDoubleError(Exception):
    """A mixture is too thin, or too far from the rows' mean, for runs in float32."""


class Run:
    """A mixture on its way, and what kind of start it came from. Iterations move it in place."""

    def __init__(self, kind: str, start: Parameters, reg_covar: float) -> None:
        self.kind = kind
        self.state = EMState(start, SETTLED)
        self.spoiled = self.collapsed = self.repaired = False
        self.apart: bool | None = None
        """Whether its components are far apart, once that was asked."""
        self._reg_covar = reg_covar
        self._ascent: tuple[Parameters, Any] | None = None

    @property
    def parameters(self) -> Parameters:
        """Where it stands."""
        return self.state.point

    @property
    def ascent(self) -> Any:
        """What compiled code takes to move it: made once, since that takes microseconds."""
        if self._ascent is None or self._ascent[0] is not self.parameters:
            self._ascent = self.parameters, ascent_from(self.parameters, self._reg_covar)
        return self._ascent[1]

    def note(self, lower_bounds: FloatArray, settled: bool) -> None:
        """Note the iterations in which compiled code moved it, if there were any."""
        if len(lower_bounds):
            self.state.fast_forward(self.parameters, lower_bounds.tolist(), settled)

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
        Centred rows of float32 or float64. Runs are in that precision.
    structure : CovarianceStructure
    n_components : int
    reg_covar : float
    random_state : RandomState
    n_threads : int or None
    work : Work
        What the race costs is added to it.
    """

    def __init__(
        self,
        sample: Sample,
        structure: CovarianceStructure,
        n_components: int,
        reg_covar: float,
        random_state: np.random.RandomState,
        n_threads: int | None,
        work: Work,
    ) -> None:
        self.sample, self.structure, self.n_components = sample, structure, n_components
        self.reg_covar, self.random_state, self.n_threads = reg_covar, random_state, n_threads
        self.n_rows, self.n_features = sample.rows.shape
        self.objective = MaximumLikelihood(InMemory(*sample, n_threads), reg_covar)
        self.size = self.n_rows, self.n_features, n_components, structure
        self.cost = cost = pass_cost(*self.size, single=self.is_single)
        self.first = min(max(int(FIRST_MICROSECONDS / cost), FIRST_ITERATIONS), MOST_FIRST)
        self.next = min(max(int(NEXT_MICROSECONDS / cost), NEXT_ITERATIONS), MOST_NEXT)
        self.work = work
        self.entries: list[float] = []
        """The work of each candidate, its first iterations included."""
        self.runs: list[Run] = []
        self.best: Run | None = None
        self._kernels = dispatch.kernels(sample.rows)
        flops = flops_of(sample.rows, structure, n_components)
        self._n_threads = threads.for_work(n_threads, flops)

    @property
    def is_single(self) -> bool:
        """Whether runs are in float32."""
        return self.sample.rows.dtype == SINGLE

    @property
    def affords_another(self) -> bool:
        """Whether what is left pays for another candidate like those before."""
        return self.work.left >= sum(self.entries) / len(self.entries)

    def affordable(self, n_iter: int) -> int:
        """Return how many iterations what is left pays for, of so many."""
        return min(n_iter, int((self.work.left - CALL) / self.cost))

    @property
    def fewest(self) -> int:
        """Rows that a component needs to be believed."""
        return max(self.structure.fewest_rows(self.n_features), FEWEST)

    def add(self, kind: str, start: Start) -> Run:
        """Let a start take part, and take it its first iterations."""
        self.work.add(ENTRY)
        size = self.structure, self.n_components, self.n_features
        point = all_alike(*size) if isinstance(start, Clusters) else start
        run = Run(kind, point, self.reg_covar)
        self.runs.append(run)
        if isinstance(start, Clusters):
            self._begin_with_clusters(run, start)
        else:
            self.advance(run, self.first)
        return run

    def advance(self, run: Run, n_iter: int) -> None:
        """Take a run further."""
        state = run.state
        self.work.add(CALL)
        if self.structure.is_general:
            bounds = np.empty(n_iter)
            n_done, settled = self._kernels.em(
                *self.sample, run.ascent, bounds, SETTLED, run.bound, self._n_threads
            )
            run.note(bounds[:n_done], settled)
            self.work.add(self.cost * n_done)
            n_iter -= n_done
        self._go_on(run, state.n_iter + n_iter)

    def _begin_with_clusters(self, run: Run, start: Clusters) -> None:
        """Do K-means, the M-step of its clusters, and first iterations."""
        (rows, weight), (view, n_trials), k = self.sample, start, self.n_components
        view = np.ascontiguousarray(view, dtype=rows.dtype)
        labels = np.empty(self.n_rows, dtype=np.int32)
        bounds = np.empty(self.first if self.structure.is_general else 0)
        n_passes, n_iter, settled = self._kernels.em_from_kmeans(
            view,
            rows,
            weight,
            self.random_state.random_sample(1 + (k - 1) * n_trials),
            n_trials,
            LLOYD_ITERATIONS,
            LLOYD_TOL * float(np.vdot(view, view)) / view.size,
            labels,
            run.ascent,
            bounds,
            SETTLED,
            self._n_threads,
        )
        size = self.n_rows, view.shape[1], k
        kmeans = seeding_cost(*size, n_trials) + kmeans_cost(*size, n_passes)
        self.work.add(CLUSTERS + kmeans + self.cost)
        run.note(bounds[:n_iter], settled)
        self.work.add(self.cost * n_iter)
        # without an iteration the M-step of the clusters is left to the loop, too
        self._go_on(run, self.first, labels if n_iter == 0 else None)

    def _go_on(self, run: Run, most: int, labels: Labels | None = None) -> None:
        """Do what compiled code has left. A run is spoiled if a component owes all to few rows.

        Raises NeedsDoubleError in float32 if a component collapses where all have rows enough.
        """
        try:
            run.collapsed = self._iterate(run.state, most, labels)
        except ValueError:  # rows out of its reach: the fit will say so, if no run is better
            run.collapsed = True
        few = bool(run.parameters.weights.min() * self.n_rows < self.fewest)
        if self.is_single and run.collapsed and not few:
            raise NeedsDoubleError
        run.spoiled = run.collapsed or few or not np.isfinite(run.bound)
        self._judge(run)

    def _iterate(self, state: EMState, most: int, labels: Labels | None) -> bool:
        """Go on until there are `most` iterations; return whether a component has collapsed."""
        if labels is not None:
            middle = np.zeros((self.n_components, self.n_features))
            rows, weight = self.sample.rows.astype(np.float64, copy=False), self.sample.weight
            sums = collect_labelled(rows, weight, labels, self.structure, middle, self.n_threads)
            state.point = m_step(sums, self.reg_covar)[0]
        while state.n_iter < most and not state.converged:
            self.work.add(self.cost)
            if proceed(state, self.objective, max_iter=state.n_iter + 1).collapsed:
                return True
        return False

    def _judge(self, run: Run) -> None:
        """Look for needles only where the run would be the best: most never are."""
        best = self.best
        leads = best is None or best is run or run.bound > best.bound + EQUAL
        if leads and run.spoiled:
            self.require_precision(run)
        elif leads:
            self.work.add(CALL)
            run.spoiled = has_needle(run.parameters, self.n_rows)
            if not run.spoiled:
                self.best = run
        if run.spoiled and run is self.best:
            self.best = _highest([other for other in self.runs if not other.spoiled])

    def require_precision(self, run: Run | None) -> None:
        """Raise NeedsDoubleError where rows of float32 are rounded too much to show a mixture."""
        if run is None or not (self.is_single and may_be_rounded(run.parameters, SINGLE)):
            return
        if not error_of_single(run.parameters, 0.0) <= TOLERATED_ERROR:  # NaN, too
            raise NeedsDoubleError

    @property
    def shows_groups(self) -> bool:
        """Whether the best run has settled on groups that are far apart."""
        best = self.best
        if best is None or not best.state.converged:
            return False
        if best.apart is None:
            self.work.add(CALL)
            best.apart = are_apart(best.parameters)
        return best.apart

    @property
    def best_of_spoiled(self) -> Run | None:
        """The best run without a collapsed component, were it spoiled or not.

        A component of few rows in a sample, thin or not, may have enough of all rows.
        """
        return _highest([run for run in self.runs if np.isfinite(run.bound) and not run.collapsed])

    def hopeful(self) -> Run | None:
        """Return the unsettled run of most promise, if it is the best or may overtake it."""
        return max(self._contenders(), key=lambda run: run.promise, default=None)

    @property
    def decided(self) -> bool:
        """Whether no unsettled run may overtake the best."""
        return all(run is self.best for run in self._contenders())

    def _contenders(self) -> list[Run]:
        """Return the unsettled runs that are the best or may overtake it."""
        best = self.best
        return [
            run
            for run in self.runs
            if not (run.spoiled or run.state.converged)
            and (best is None or run is best or run.promise > best.bound)
        ]


def _highest(runs: list[Run]) -> Run | None:
    """Return the run of the largest bound."""
    return max(runs, key=lambda run: run.bound, default=None)


def all_alike(structure: CovarianceStructure, n_components: int, n_features: int) -> Parameters:
    """Return components that are all alike, at 0."""
    found = Parameters.unset(structure, n_components, n_features)
    found.weights.fill(1 / n_components)
    found.means.fill(0)
    found.covariances.fill(1)
    found.precisions_cholesky.fill(1)
    return found


def from_groups(
    sample: Sample,
    labels: Labels,
    structure: CovarianceStructure,
    n_components: int,
    reg_covar: float,
    n_iter: int,
    n_threads: int | None,
    tol: float = 0.0,
) -> Run:
    """Return a run that begins with the M-step of groups of rows of float64, after iterations.

    There are none if compiled code finds something wrong.
    """
    rows, weight = sample
    run = Run("groups", all_alike(structure, n_components, rows.shape[1]), reg_covar)
    bounds = np.empty(n_iter)
    count = threads.for_work(n_threads, flops_of(rows, structure, n_components))
    n_done, settled = dispatch.kernels(rows).em(
        rows, weight, run.ascent, bounds, tol, -np.inf, count, labels
    )
    run.note(bounds[:n_done], settled)
    return run


def are_apart(parameters: Parameters) -> bool:
    """Whether all means are APART from each other, by the covariance of either component."""
    structure, means = parameters.structure, parameters.means
    for i, mean in enumerate(means):
        steps = structure.in_units(parameters.precisions_cholesky, mean - means)
        squares = (steps**2).sum(axis=1)
        squares[i] = np.inf
        if not (squares >= APART**2).all():
            return False
    return True


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
