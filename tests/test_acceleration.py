"""Acceleration: the optimum of EM in fewer passes, and no harm where it cannot help."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture, load, save
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Acceleration, FloatArray, Structure
from gaussmix.cli.main import main
from gaussmix.data.base import InMemory
from gaussmix.em.acceleration import METHODS, Accelerator, anderson, squarem, strategy_of
from gaussmix.em.coordinates import Chart
from gaussmix.em.loop import EMResult, PlainEM, Step, em
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.errors import ConvergenceWarning, ParameterError
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect
from gaussmix.starts.methods import initial_parameters

DATA = Path(__file__).parent / "data"
METHOD_NAMES = tuple(METHODS)
Map: TypeAlias = Callable[[FloatArray], FloatArray]

each_method = pytest.mark.parametrize("method", METHOD_NAMES)
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


class Problem(NamedTuple):
    """Rows, their weights, and where EM begins."""

    X: FloatArray
    weight: FloatArray | None
    start: Parameters
    reg_covar: float = 0.0

    @property
    def objective(self) -> MaximumLikelihood:
        return MaximumLikelihood(InMemory(self.X, self.weight), self.reg_covar)

    def e_step(self, parameters: Parameters) -> Statistics:
        return collect(self.X, self.weight, parameters)

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        return m_step(statistics, self.reg_covar, previous)

    def run(self, method: str | None, tol: float = 1e-13, max_iter: int = 10_000) -> EMResult:
        strategy = strategy_of(method, self.reg_covar, tol)
        return em(self.start, self.objective, tol=tol, max_iter=max_iter, strategy=strategy)

    def score(self, parameters: Parameters) -> float:
        return self.e_step(parameters).mean_log_likelihood


def start_of(X: FloatArray, structure: Structure, k: int, reg_covar: float = 0.0) -> Parameters:
    return initial_parameters(
        InMemory(X, None, 1),
        structure=structure,
        n_components=k,
        method="kmeans",
        reg_covar=reg_covar,
        random_state=np.random.RandomState(0),
    )


def table(name: str, n_features: int) -> FloatArray:
    rows = np.loadtxt(DATA / name, delimiter=",", skiprows=1, usecols=range(n_features))
    return np.ascontiguousarray(rows)


@cache
def overlapping(structure: Structure, d: int, reg_covar: float = 0.0) -> Problem:
    """400 rows of three groups two to three standard deviations apart."""
    rng = np.random.default_rng(d)
    centers = 3 * np.linspace(-1, 1, 3)[:, None] * np.ones(d) / np.sqrt(d)
    X = centers[rng.integers(3, size=400)] + rng.normal(size=(400, d))
    return Problem(X, None, start_of(X, structure, 3, reg_covar), reg_covar)


@cache
def by_em(structure: Structure, d: int, reg_covar: float = 0.0) -> EMResult:
    """Where EM ends on the overlapping rows."""
    return overlapping(structure, d, reg_covar).run(None)


def faithful(structure: Structure, k: int) -> Problem:
    X = table("old_faithful.csv", 2)
    return Problem(X, None, start_of(X, structure, k))


def assert_same_optimum(problem: Problem, found: EMResult, wanted: EMResult) -> None:
    assert found.converged
    assert problem.score(found.parameters) >= problem.score(wanted.parameters) - 1e-8


@each_method
@pytest.mark.parametrize("d", [1, 2, 5])
@each_structure
def test_it_reaches_the_optimum_of_em_in_fewer_passes(
    structure: Structure, d: int, method: str
) -> None:
    problem = overlapping(structure, d)
    plain, fast = by_em(structure, d), problem.run(method)
    assert_same_optimum(problem, fast, plain)
    assert fast.n_iter <= 0.6 * plain.n_iter


@each_method
@pytest.mark.parametrize(("structure", "k", "most"), [("tied", 3, 40), ("full", 3, 90)])
def test_old_faithful(structure: Structure, k: int, most: int, method: str) -> None:
    problem = faithful(structure, k)
    plain, fast = problem.run(None), problem.run(method)
    assert_same_optimum(problem, fast, plain)
    best = problem.score(fast.parameters)
    passes, plain_passes = (
        next(n for n, value in enumerate(run.lower_bounds, 1) if value > best - 1e-9)
        for run in (fast, plain)
    )
    assert passes <= most
    assert passes <= plain_passes / 2


@each_method
@pytest.mark.parametrize("k", [2, 3])
@each_structure
def test_iris(structure: Structure, k: int, method: str) -> None:
    X = table("iris.csv", 4)
    problem = Problem(X, None, start_of(X, structure, k))
    assert_same_optimum(problem, problem.run(method), problem.run(None))


@each_method
@each_structure
def test_where_em_is_fast_no_pass_is_wasted(
    structure: Structure, method: str, blobs: NDArray[np.float64]
) -> None:
    problem = Problem(blobs, None, start_of(blobs, structure, 3))
    plain, fast = problem.run(None), problem.run(method)
    assert_same_optimum(problem, fast, plain)
    assert fast.n_iter <= 1.1 * plain.n_iter


@each_method
@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-7])
def test_it_never_needs_many_more_passes_to_settle(tol: float, method: str) -> None:
    for structure in STRUCTURES:
        problem = overlapping(structure, 2)
        plain, fast = problem.run(None, tol), problem.run(method, tol)
        assert fast.converged
        assert fast.n_iter <= 1.1 * plain.n_iter
        # it stops where EM's own step gains less than tol, which is no worse a place to stop
        assert problem.score(fast.parameters) >= problem.score(plain.parameters) - tol


class Watch:
    """An accelerator that keeps the steps it was shown, and whether it took the jumps."""

    def __init__(self, method: str, reg_covar: float = 0.0) -> None:
        self.inner = Accelerator(method, reg_covar, 0.0)
        self.followed: list[Step] = []
        self.judged: list[tuple[Step, Step, bool]] = []

    def follow(self, step: Step) -> Parameters:
        self.followed.append(step)
        return self.inner.follow(step)

    def accepts(self, step: Step, last: Step) -> bool:
        accepted = self.inner.accepts(step, last)
        self.judged.append((step, last, accepted))
        return accepted


def watched(problem: Problem, method: str, max_iter: int = 300) -> tuple[EMResult, Watch]:
    watch = Watch(method, problem.reg_covar)
    result = em(problem.start, problem.objective, tol=0, max_iter=max_iter, strategy=watch)
    return result, watch


@each_method
@each_structure
def test_the_likelihood_of_what_is_kept_never_falls(structure: Structure, method: str) -> None:
    _, watch = watched(overlapping(structure, 2), method)
    kept = np.array([step.lower_bound for step in watch.followed])
    assert (np.diff(kept) >= -1e-13 * np.abs(kept[0])).all()
    assert any(accepted for *_, accepted in watch.judged)


@each_method
def test_refused_passes_are_few_and_are_those_that_were_worse(method: str) -> None:
    result, watch = watched(faithful("full", 3), method, 120)
    refused = [(step, last) for step, last, accepted in watch.judged if not accepted]
    assert refused
    assert len(refused) <= 0.1 * result.n_iter
    assert all(step.lower_bound < last.lower_bound for step, last in refused)


def penalised(parameters: Parameters, weights: FloatArray, mean: float, reg_covar: float) -> float:
    inverses = np.linalg.inv(parameters.full_covariances())
    return mean - 0.5 * reg_covar * float(weights @ np.trace(inverses, axis1=1, axis2=2))


@each_method
@pytest.mark.parametrize("reg_covar", [1e-6, 0.2])
@each_structure
def test_the_fixed_point_is_that_of_em_with_reg_covar(
    structure: Structure, reg_covar: float, method: str
) -> None:
    problem = overlapping(structure, 2, reg_covar)
    plain, fast = by_em(structure, 2, reg_covar), problem.run(method)
    assert fast.converged
    assert fast.n_iter < plain.n_iter
    # with reg_covar EM's fixed point is not quite the likelihood's maximum, so both sides count
    assert abs(problem.score(fast.parameters) - problem.score(plain.parameters)) < 1e-8


@each_method
@each_structure
def test_jumps_are_judged_by_what_em_cannot_lower(structure: Structure, method: str) -> None:
    _, watch = watched(overlapping(structure, 2, 0.5), method, 60)
    assert watch.judged
    for step, last, accepted in watch.judged:
        weights = last.image.weights
        before, after = (
            penalised(place.point, weights, place.lower_bound, 0.5) for place in (last, step)
        )
        assert accepted == (after >= before) or abs(after - before) < 1e-12


@each_method
def test_a_fixed_point_is_stayed_at(method: str) -> None:
    problem = overlapping("full", 2)
    there = problem.run("anderson", tol=1e-15).parameters
    result = problem._replace(start=there).run(method, tol=0, max_iter=30)
    assert abs(problem.score(result.parameters) - problem.score(there)) < 1e-13
    chart = Chart(there)
    assert np.linalg.norm(chart.coordinates(result.parameters)) < 1e-5


@each_method
@each_structure
def test_one_component_is_fitted_at_once(
    structure: Structure, method: str, blobs: NDArray[np.float64]
) -> None:
    problem = Problem(blobs, None, start_of(blobs[:40], structure, 1))
    result = problem.run(method, tol=1e-9)
    assert result.converged
    assert result.n_iter == problem.run(None, tol=1e-9).n_iter == 3
    np.testing.assert_allclose(result.parameters.means[0], blobs.mean(axis=0), atol=1e-12)


@each_method
@each_structure
def test_weights_count_as_repeated_rows(structure: Structure, method: str) -> None:
    problem = overlapping(structure, 2)
    counts = np.random.default_rng(0).integers(0, 4, size=len(problem.X))
    weighted = problem._replace(weight=counts.astype(np.float64))
    repeated = problem._replace(X=np.repeat(problem.X, counts, axis=0))
    found, wanted = weighted.run(method), repeated.run(None)
    assert abs(weighted.score(found.parameters) - repeated.score(wanted.parameters)) < 1e-8
    assert found.n_iter < wanted.n_iter


@each_method
def test_the_units_of_features_do_not_matter(method: str) -> None:
    problem = overlapping("full", 2)
    units, origin = np.array([1e6, 1e-6]), np.array([1e8, -3.0])
    X = problem.X * units + origin
    start = problem.start
    covariances = start.covariances * units * units[:, None]
    moved = Parameters.from_covariances(
        "full", start.weights, start.means * units + origin, covariances
    )
    other = Problem(X, None, moved).run(method, tol=1e-9)
    assert abs(other.n_iter - problem.run(method, tol=1e-9).n_iter) <= 2


@each_method
@pytest.mark.parametrize("max_iter", range(12))
def test_max_iter_is_the_number_of_passes(max_iter: int, method: str) -> None:
    problem, passes = overlapping("full", 2), 0

    class Counted(MaximumLikelihood):
        def e_step(self, parameters: Parameters, *, single: bool = False) -> Statistics:
            nonlocal passes
            passes += 1
            return super().e_step(parameters, single=single)

    strategy, objective = strategy_of(method, 0.0, 0.0), Counted(problem.objective.data)
    result = em(problem.start, objective, tol=0, max_iter=max_iter, strategy=strategy)
    assert result.n_iter == len(result.lower_bounds) == passes == max_iter
    assert not result.converged
    best = max(result.lower_bounds, default=-np.inf)
    assert problem.score(result.parameters) >= best - 1e-12


@each_method
def test_the_first_passes_are_ems(method: str) -> None:
    problem = overlapping("full", 2)
    assert (
        problem.run(method, max_iter=4).lower_bounds == problem.run(None, max_iter=4).lower_bounds
    )


@each_method
@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_component_that_stays_collapsed_is_left_to_em(structure: Structure, method: str) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(200, 2)), np.zeros(200)])  # no spread in a feature
    problem = Problem(X, None, start_of(X, structure, 2))
    plain, fast = problem.run(None, max_iter=60), problem.run(method, max_iter=60)
    assert plain.collapsed == fast.collapsed != ()
    assert plain.lower_bounds == fast.lower_bounds


@each_method
def test_an_empty_component_is_no_obstacle(method: str) -> None:
    problem = overlapping("diag", 2)
    weights = np.array([0.5, 0.5, 0.0])
    start = Parameters.from_covariances(
        "diag", weights, problem.start.means, problem.start.covariances
    )
    problem = problem._replace(start=start)
    result = problem.run(method, max_iter=500)
    assert np.isfinite(result.lower_bounds).all()
    assert problem.score(result.parameters) >= problem.score(problem.run(None).parameters) - 1e-8


def test_a_jump_that_collapses_a_component_is_refused() -> None:
    problem = overlapping("full", 2)
    step = Step(problem.start, problem.start, (), -2.0)
    strategy = Accelerator("squarem", 0.0, 0.0)
    assert strategy.accepts(step._replace(lower_bound=-1.0), step)
    assert not strategy.accepts(step._replace(lower_bound=-1.0, collapsed=(1,)), step)
    assert not strategy.accepts(step._replace(lower_bound=np.nan), step)


@each_method
def test_refusals_in_a_row_grow_rare(method: str) -> None:
    problem = overlapping("full", 2)
    strategy, asked = Accelerator(method, 0.0, 0.0), []
    point = problem.start
    for n in range(70):
        statistics = problem.e_step(point)
        step = Step(point, *problem.m_step(statistics, point), statistics.mean_log_likelihood)
        if strategy.follow(step) is not step.image:
            asked.append(n)
            assert not strategy.accepts(step._replace(lower_bound=-np.inf), step)
        point = step.image
    assert asked == [3, 11, 27, 59]


def quadratic(eigenvalues: list[float], seed: int) -> tuple[FloatArray, FloatArray, Map]:
    """An EM whose Jacobian has these eigenvalues: a maximum, the Jacobian and the map."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues), len(eigenvalues))))
    jacobian = basis @ np.diag(eigenvalues) @ basis.T
    top = rng.normal(size=len(eigenvalues))
    return top, jacobian, lambda x: top + jacobian @ (x - top)


def trail(step: Map, start: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    points = [start]
    for _ in range(n - 1):
        points.append(step(points[-1]))
    return np.array(points), np.array([step(point) - point for point in points])


def test_anderson_solves_a_linear_problem_once_it_has_seen_its_directions() -> None:
    top, _, step = quadratic([0.9, 0.2], 0)
    points, moves = trail(step, np.ones(2), 3)
    jump = anderson(points, moves, 1e9)
    np.testing.assert_allclose(points[-1] + moves[-1] + jump.displacement, top, atol=1e-6)
    assert not jump.limited


def test_anderson_turns_away_from_a_saddle() -> None:
    top, jacobian, step = quadratic([1.1, 0.5], 0)
    points, moves = trail(step, top + 0.1, 3)
    values, vectors = np.linalg.eigh(jacobian)
    uphill = vectors[:, values > 1][:, 0]
    jump = anderson(points, moves, 100.0)
    assert (uphill @ jump.displacement) * (uphill @ moves[-1]) > 0
    wanted = abs(uphill @ moves[-1]) * (1 / 0.1 - 1)
    assert abs(abs(uphill @ jump.displacement) / wanted - 1) < 1e-6


def test_anderson_keeps_to_its_reach() -> None:
    _, _, step = quadratic([0.999], 0)
    points, moves = trail(step, np.ones(1) * 5, 2)
    jump = anderson(points, moves, 8.0)
    assert jump.limited
    np.testing.assert_allclose(jump.displacement, 7 * moves[-1])


def test_anderson_trusts_no_estimate_that_is_not_symmetric() -> None:
    """A Jacobian with rotation has complex eigenvalues, so there is no direction to extend."""
    turn = np.array([[0.9, -2.0], [2.0, 0.9]])
    points, moves = trail(lambda x: turn @ x, np.array([1.0, 0.5]), 3)
    jump = anderson(points, moves, 1e9)
    np.testing.assert_allclose(jump.displacement, 0, atol=1e-12)


def test_anderson_at_rest_stays() -> None:
    jump = anderson(np.zeros((3, 2)), np.zeros((3, 2)), 4.0)
    assert not jump.displacement.any()


def test_squarem_is_its_formula() -> None:
    points, moves = np.random.default_rng(0).normal(size=(2, 2, 5))
    moves[1] = 0.6 * moves[0] + 0.01 * moves[1]
    points[1] = points[0] + moves[0]
    r, v = moves[0], moves[1] - moves[0]
    a = np.linalg.norm(r) / np.linalg.norm(v)
    jump = squarem(points, moves, 4.0)
    wanted = points[0] + 2 * a * r + a**2 * v
    np.testing.assert_allclose(points[1] + moves[1] + jump.displacement, wanted)
    assert not jump.limited
    limited = squarem(points, moves, 2.0)
    wanted = points[0] + 2 * 2 * r + 2**2 * v
    np.testing.assert_allclose(points[1] + moves[1] + limited.displacement, wanted)
    assert limited.limited


def test_squarem_is_em_where_em_overshoots() -> None:
    moves = np.array([[1.0, 0.0], [-0.5, 0.0]])
    assert not squarem(np.zeros((2, 2)), moves, 4.0).displacement.any()


@each_method
def test_the_estimator_gives_the_same_bits_for_any_number_of_threads(method: Acceleration) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3)) + rng.integers(3, size=(20_000, 1))
    fits = [
        GaussianMixture(
            3, accelerate=method, tol=1e-6, max_iter=300, random_state=0, n_threads=n
        ).fit(X)
        for n in (1, 2, 3)
    ]
    for fit in fits[1:]:
        assert fit.lower_bounds_ == fits[0].lower_bounds_
        np.testing.assert_array_equal(fit.covariances_, fits[0].covariances_)


@each_method
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_estimator_counts_passes(method: Acceleration, dtype: type) -> None:
    X: FloatArray = overlapping("full", 2).X.astype(dtype)
    fits = [
        GaussianMixture(3, accelerate=name, tol=1e-6, max_iter=1000, random_state=0).fit(X)
        for name in (None, method)
    ]
    assert all(fit.converged_ and fit.n_iter_ == len(fit.lower_bounds_) for fit in fits)
    assert fits[1].n_iter_ < fits[0].n_iter_
    assert fits[1].lower_bound_ >= fits[0].lower_bound_ - 1e-6


@each_method
def test_warm_starts_go_on(method: Acceleration) -> None:
    X = overlapping("full", 2).X
    model = GaussianMixture(
        3, accelerate=method, tol=1e-9, max_iter=7, warm_start=True, random_state=0
    )
    bounds: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        while not bounds or (len(bounds) < 40 and not model.converged_):
            bounds.append(model.fit(X).lower_bound_)
    assert model.converged_
    assert (np.diff(bounds) >= -1e-12).all()


def test_without_acceleration_nothing_changes() -> None:
    assert isinstance(strategy_of(None, 0.0, 0.0), PlainEM)
    assert GaussianMixture().accelerate is None


@pytest.mark.parametrize("value", ["em", "SQUAREM", True, 3, "", 0, [], np.zeros(2)])
def test_other_names_are_refused(value: object) -> None:
    model = GaussianMixture(accelerate=value)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="accelerate must be one of 'squarem', 'anderson'"):
        model.fit([[0.0], [1.0]])


def test_a_model_file_keeps_the_setting(tmp_path: Path) -> None:
    model = GaussianMixture(1, accelerate="anderson").fit([[0.0], [1.0], [3.0]])
    save(model, tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert isinstance(loaded, GaussianMixture)
    assert loaded.accelerate == "anderson"


@each_method
def test_the_command_takes_it(method: str, tmp_path: Path) -> None:
    output = tmp_path / "model.npz"
    arguments = ["fit", str(DATA / "old_faithful.csv"), "-k", "3", "--seed", "0", "-o", str(output)]
    assert main([*arguments, "--accelerate", method, "--tol", "1e-8"]) == 0
    model = load(output)
    assert isinstance(model, GaussianMixture)
    assert model.accelerate == method
