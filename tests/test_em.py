"""The EM loop, its monitor and what it prints."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core.density import STRUCTURES, factors_shape
from gaussmix._core.types import Structure
from gaussmix.data.base import InMemory
from gaussmix.em.loop import EMResult, EMState, Monitor, Step, em, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.covariance import structure_of
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect


def unit(structure: Structure, means: NDArray[np.float64]) -> Parameters:
    """Equal weights and unit covariances."""
    shape = factors_shape(structure, *means.shape)
    matrices = structure in ("full", "tied")
    ones = np.broadcast_to(np.eye(means.shape[1]) if matrices else 1.0, shape).copy()
    weights = np.full(len(means), 1 / len(means))
    return Parameters(structure_of(structure), weights, means, ones, ones)


class Script:
    """An objective whose passes give values from a list."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = iter(values)
        self.n_passes = 0

    def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
        self.n_passes += 1
        statistics = Statistics.zeros("full", parameters.means)
        values = (statistics.n_k, statistics.first, statistics.second, next(self.values), 1.0, 1)
        return Statistics(statistics.structure, parameters.means, *values)

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        assert previous is not None
        return unit("full", statistics.shift + 1), (self.n_passes,)

    def lower_bound(self, parameters: Parameters, statistics: Statistics) -> float:
        return statistics.mean_log_likelihood

    def score(self, parameters: Parameters) -> float:
        raise NotImplementedError

    def fast_forward(self, state: EMState, max_iter: int) -> None:
        """Nothing is compiled."""


START = unit("full", np.zeros((1, 1)))


def test_it_stops_when_the_change_is_small() -> None:
    script = Script([-5.0, -4.0, -3.95, 0.0])
    result = em(START, script, tol=0.1, max_iter=10)
    assert result.converged
    assert result.n_iter == script.n_passes == 3
    assert result.lower_bounds == [-5.0, -4.0, -3.95]
    assert result.parameters.means[0, 0] == 3
    assert result.collapsed == (3,)


def test_a_fall_is_a_change_too() -> None:
    script = Script([-5.0, -6.0, -6.05])
    assert em(START, script, tol=0.1, max_iter=10).n_iter == 3


def test_tolerance_zero_runs_all_iterations() -> None:
    script = Script([-5.0] * 10)
    result = em(START, script, tol=0, max_iter=7)
    assert (result.n_iter, result.converged) == (7, False)


def test_no_iterations_return_the_start() -> None:
    script = Script([])
    result = em(START, script, tol=0.1, max_iter=0)
    assert result.parameters is START
    assert (result.n_iter, result.converged, result.lower_bounds) == (0, False, [])
    assert result.collapsed == ()


def test_a_continued_run_compares_with_where_it_left() -> None:
    script = Script([-5.0])
    result = em(START, script, tol=0.1, max_iter=5, previous=-5.05)
    assert (result.n_iter, result.converged) == (1, True)


def test_the_callback_sees_every_iteration() -> None:
    script, seen = Script([-5.0, -4.0, -3.5]), []
    em(
        START,
        script,
        tol=0,
        max_iter=3,
        callback=lambda *args: seen.append(args),
    )
    assert seen == [(1, -5.0, np.inf), (2, -4.0, 1.0), (3, -3.5, 0.5)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_a_pass_raises_is_not_swallowed(error: type[BaseException]) -> None:
    class Failing(Script):
        def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
            raise error

    with pytest.raises(error):
        em(START, Failing([]), tol=0.1, max_iter=3)


class Ahead:
    """A strategy that looks 10 beyond EM's point after some passes, and takes what it is told."""

    def __init__(self, after: set[int], accepted: bool) -> None:
        self.after = after
        self.accepted = accepted
        self.n_followed = 0
        self.judged: list[tuple[float, float]] = []

    def follow(self, step: Step) -> Parameters:
        self.n_followed += 1
        if self.n_followed in self.after:
            return unit("full", step.image.means + 10)
        return step.image

    def accepts(self, step: Step, last: Step) -> bool:
        self.judged.append((step.lower_bound, last.lower_bound))
        return self.accepted


def follow(
    values: list[float], strategy: Ahead, tol: float = 0.1, max_iter: int = 10
) -> tuple[EMResult, Script]:
    script = Script(values)
    result = em(START, script, tol=tol, max_iter=max_iter, strategy=strategy)
    return result, script


def test_a_point_that_is_accepted_is_where_em_goes_on() -> None:
    strategy = Ahead(after={1}, accepted=True)
    result, _ = follow([-5.0, -3.0, -2.0], strategy, max_iter=3)
    assert strategy.judged == [(-3.0, -5.0)]
    assert result.parameters.means[0, 0] == 1 + 10 + 1 + 1
    assert result.lower_bounds == [-5.0, -3.0, -2.0]


def test_a_point_that_is_refused_costs_a_pass_and_nothing_else() -> None:
    strategy = Ahead(after={1}, accepted=False)
    result, _ = follow([-5.0, -9.0, -4.0], strategy, max_iter=3)
    assert result.parameters.means[0, 0] == 2
    assert result.lower_bounds == [-5.0, -9.0, -4.0]
    assert result.n_iter == 3


def test_a_refused_point_at_the_end_leaves_the_good_one() -> None:
    result, _ = follow([-5.0, -9.0], Ahead(after={1}, accepted=False), max_iter=2)
    assert result.parameters.means[0, 0] == 1
    assert result.collapsed == (1,)


def test_a_refused_point_does_not_settle_the_likelihood() -> None:
    strategy = Ahead(after={1, 2}, accepted=False)
    result, _ = follow([-5.0, -5.01, -4.0, -4.01, -3.0, -2.99], strategy)
    assert (result.n_iter, result.converged) == (6, True)
    assert strategy.judged == [(-5.01, -5.0), (-4.01, -4.0)]


def test_only_a_step_of_em_settles_the_likelihood() -> None:
    strategy = Ahead(after={1}, accepted=True)
    result, _ = follow([-5.0, -4.99, -4.0, -3.99], strategy)
    assert (result.n_iter, result.converged) == (4, True)
    assert strategy.n_followed == 2  # not asked where to go when EM is to have its say


def test_the_callback_sees_changes_from_the_last_good_point() -> None:
    script, seen = Script([-5.0, -9.0, -4.0]), []
    em(
        START,
        script,
        tol=0,
        max_iter=3,
        callback=lambda *args: seen.append(args),
        strategy=Ahead(after={1}, accepted=False),
    )
    assert seen == [(1, -5.0, np.inf), (2, -9.0, -4.0), (3, -4.0, 1.0)]


def test_monitor() -> None:
    monitor = Monitor(0.5)
    assert not monitor.settled
    assert monitor.update(-2.0) == np.inf
    assert not monitor.settled
    assert monitor.update(-1.5) == 0.5
    assert not monitor.settled  # less than, as in scikit-learn
    assert monitor.update(-1.25) == 0.25
    assert monitor.settled
    assert monitor.lower_bounds == [-2.0, -1.5, -1.25]


def test_a_refused_value_is_kept_but_not_compared_with() -> None:
    monitor = Monitor(0.5)
    monitor.update(-2.0)
    monitor.update(-7.0)
    monitor.refuse()
    assert monitor.update(-1.0) == 1.0
    assert monitor.lower_bounds == [-2.0, -7.0, -1.0]


def test_a_likelihood_that_is_nan_does_not_settle() -> None:
    monitor = Monitor(0.5)
    for value in (np.nan, np.nan):
        monitor.update(value)
    assert not monitor.settled


def penalty(parameters: Parameters, n_k: NDArray[np.float64], reg_covar: float) -> float:
    inverses = np.linalg.inv(parameters.full_covariances())
    return 0.5 * reg_covar * float(n_k @ np.trace(inverses, axis1=1, axis2=2))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("reg_covar", [0.0, 0.5])
def test_the_penalised_likelihood_never_falls(
    structure: Structure, reg_covar: float, blobs: NDArray[np.float64]
) -> None:
    parameters = unit(structure, blobs[:4].copy())
    statistics = collect(blobs, None, parameters)
    for _ in range(15):
        following, _ = m_step(statistics, reg_covar)
        before = statistics.log_likelihood - penalty(parameters, statistics.n_k, reg_covar)
        after = -penalty(following, statistics.n_k, reg_covar)
        parameters, statistics = following, collect(blobs, None, following)
        assert statistics.log_likelihood + after >= before - 1e-9 * abs(before)


def test_the_likelihood_itself_may_fall_with_reg_covar() -> None:
    X = np.array([[-1.0], [1.0]])
    best, _ = m_step(collect(X, None, unit("full", np.zeros((1, 1)))), 0.0)
    statistics = collect(X, None, best)
    blurred, _ = m_step(statistics, 1.0)
    assert collect(X, None, blurred).log_likelihood < statistics.log_likelihood - 0.1


def run(
    start: Parameters, data: InMemory, *, tol: float, max_iter: int, reg_covar: float, fast: bool
) -> tuple[EMState, int]:
    """A run to its end, and how far the kernel took it."""
    state, objective = EMState(start, tol), MaximumLikelihood(data, reg_covar)
    if fast:
        objective.fast_forward(state, max_iter)
    done = state.n_iter
    proceed(state, objective, max_iter=max_iter, callback=lambda *_: None)  # watched: by Python
    return state, done


def bits(state: EMState) -> tuple[object, ...]:
    point = state.point
    arrays = point.weights, point.means, point.covariances, point.precisions_cholesky
    assert state.last.image is point
    return *(array.tobytes() for array in arrays), state.monitor.lower_bounds, state.converged


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("tol", "max_iter"), [(1e-3, 99), (0.0, 5), (1e-9, 1), (1e-9, 0)])
@pytest.mark.usefixtures("isa")
def test_the_kernel_makes_the_iterations_of_python(
    structure: Structure,
    dtype: type[np.floating],
    weighted: bool,
    tol: float,
    max_iter: int,
    blobs: NDArray[np.float64],
) -> None:
    X = blobs[:1500].astype(dtype) + dtype(100)
    weight = np.random.default_rng(0).uniform(0, 2, size=len(X)) if weighted else None
    start, data = unit(structure, X[:3].astype(np.float64)), InMemory(X, weight, 1)
    before = bits(EMState(start, tol))
    state, done = run(start, data, tol=tol, max_iter=max_iter, reg_covar=1e-6, fast=True)
    by_python, _ = run(start, data, tol=tol, max_iter=max_iter, reg_covar=1e-6, fast=False)
    assert done == state.n_iter
    assert bits(state) == bits(by_python)
    assert state.converged == (max_iter == 99)
    assert bits(EMState(start, tol)) == before  # the start is as it was


@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.usefixtures("isa")
def test_where_a_component_collapses_python_goes_on(structure: Structure) -> None:
    rng = np.random.default_rng(1)
    X = np.vstack([rng.normal(size=(200, 2)), np.full((40, 2), 9.0)])
    start = unit(structure, np.array([[0.0, 0.0], [7.0, 7.0]]))
    data, settings = InMemory(X, None, 1), {"tol": 1e-6, "max_iter": 50, "reg_covar": 0.0}
    state, done = run(start, data, fast=True, **settings)  # type: ignore[arg-type]
    by_python, _ = run(start, data, fast=False, **settings)  # type: ignore[arg-type]
    assert done < state.n_iter
    assert state.last.collapsed == (1,)
    assert bits(state) == bits(by_python)


def test_very_many_iterations_are_made_in_parts(
    monkeypatch: pytest.MonkeyPatch, blobs: NDArray[np.float64]
) -> None:
    data, start = InMemory(blobs, None, 1), unit("full", blobs[:3].copy())
    settings = {"tol": 1e-9, "max_iter": 10**12, "reg_covar": 0.0, "fast": True}
    monkeypatch.setattr("gaussmix.em.compiled.MOST_AT_ONCE", 2)
    in_parts, done = run(start, data, **settings)  # type: ignore[arg-type]
    assert done == in_parts.n_iter > 4
    monkeypatch.undo()
    assert bits(run(start, data, **settings)[0]) == bits(in_parts)  # type: ignore[arg-type]


def test_a_strategy_is_left_alone(blobs: NDArray[np.float64]) -> None:
    class Other:
        def follow(self, step: Step) -> Parameters:
            return step.image

        def accepts(self, step: Step, last: Step) -> bool:
            return True

    state = EMState(unit("full", blobs[:3].copy()), 1e-3, strategy=Other())
    MaximumLikelihood(InMemory(blobs, None, 1)).fast_forward(state, 10)
    assert state.n_iter == 0
