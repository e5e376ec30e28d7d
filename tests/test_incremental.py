"""Incremental EM: Neal and Hinton's algorithm, honest counts, and an end where EM ends."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Acceleration, Structure
from gaussmix.data.base import InMemory, MakePass, R
from gaussmix.em import incremental
from gaussmix.em.incremental import rows_per_block, sweep
from gaussmix.em.loop import EMResult, EMState, em, proceed
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.verbose import Printer
from gaussmix.estimators.attributes import parameters_of
from gaussmix.io.blocks import Block
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass, collect

Array = NDArray[np.float64]
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "FEWEST_ROWS", 1024)


@pytest.fixture(scope="module")
def X() -> Array:
    """5,000 rows of three overlapping groups, sorted by their first feature."""
    rng = np.random.default_rng(0)
    groups = rng.choice(3, size=5000, p=[0.5, 0.3, 0.2])
    rows = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 3.0]])[groups] + rng.normal(size=(5000, 2))
    ordered: Array = rows[np.argsort(rows[:, 0])]
    return ordered


def start(structure: Structure) -> Parameters:
    means = np.array([[-1.0, 0.0], [1.0, 1.0], [3.0, 2.0]])
    weights = np.array([0.2, 0.3, 0.5])
    shapes = {"full": (3, 2, 2), "tied": (2, 2), "diag": (3, 2), "spherical": (3,)}
    unit = np.eye(2) if structure in ("full", "tied") else np.ones(1)
    covariances = np.broadcast_to(unit, shapes[structure]).copy()
    return Parameters.from_covariances(structure, weights, means, covariances)


def to_image(statistics: Statistics) -> tuple[Parameters, tuple[int, ...]]:
    return m_step(statistics, 0.0)


def run(data: InMemory, parameters: Parameters, tol: float = 1e-6, max_iter: int = 500) -> EMResult:
    state = EMState(parameters, tol)
    objective = MaximumLikelihood(data)
    sweep(state, objective, max_iter=max_iter)
    return proceed(state, objective, max_iter=max_iter, callback=lambda *_: None)  # every pass seen


def e_step(data: InMemory, parameters: Parameters) -> Statistics:
    return data.total(partial(StatisticsPass, parameters))


class Brute:
    """Neal and Hinton's algorithm with all responsibilities in memory, and its bound F."""

    def __init__(self, X: Array, parameters: Parameters) -> None:
        self.X = X
        self.structure = parameters.structure.name
        self.weights, self.means = parameters.weights, parameters.means
        self.covariances = parameters.full_covariances()
        self.resp = np.zeros((len(X), len(self.weights)))

    def joint(self, X: Array) -> Array:
        return np.stack(
            [
                np.log(w) + multivariate_normal(mean, covariance).logpdf(X)
                for w, mean, covariance in zip(
                    self.weights, self.means, self.covariances, strict=True
                )
            ],
            axis=1,
        )

    def look(self, rows: slice) -> None:
        joint = np.exp(self.joint(self.X[rows]))
        self.resp[rows] = joint / joint.sum(axis=1, keepdims=True)

    def maximise(self) -> None:
        n_k = self.resp.sum(axis=0)
        self.weights, self.means = n_k / n_k.sum(), self.resp.T @ self.X / n_k[:, None]
        d = self.X[:, None, :] - self.means
        sums = np.einsum("nk,nki,nkj->kij", self.resp, d, d)
        if self.structure == "tied":
            self.covariances = np.tile(sums.sum(axis=0) / n_k.sum(), (3, 1, 1))
            return
        self.covariances = sums / n_k[:, None, None]
        if self.structure != "full":
            variances = np.einsum("kii->ki", self.covariances)
            if self.structure == "spherical":
                variances = variances.mean(axis=1, keepdims=True)
            self.covariances = variances[:, :, None] * np.eye(2)

    def bound(self) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(self.resp > 0, self.resp * np.log(self.resp), 0.0)
        return float((self.resp * self.joint(self.X) - entropy).sum())


@each_structure
def test_it_is_neal_and_hintons_algorithm(structure: Structure, X: Array) -> None:
    brute, bounds = Brute(X, start(structure)), []
    brute.look(slice(None))
    brute.maximise()
    for _ in range(3):
        for first in range(0, len(X), 1024):
            brute.look(slice(first, first + 1024))
            brute.maximise()
            bounds.append(brute.bound())
    state = EMState(start(structure), 0.0)
    sweep(state, MaximumLikelihood(InMemory(X, None)), max_iter=4)
    assert state.n_iter == 4
    np.testing.assert_allclose(state.point.weights, brute.weights, rtol=1e-10)
    np.testing.assert_allclose(state.point.means, brute.means, rtol=0, atol=1e-10)
    np.testing.assert_allclose(state.point.full_covariances(), brute.covariances, atol=1e-10)
    assert (np.diff(bounds) > 0).all()  # what the docstring promises


@each_structure
def test_it_ends_at_a_fixed_point_of_em(structure: Structure, X: Array) -> None:
    data = InMemory(X, None)
    result = run(data, start(structure), tol=1e-8, max_iter=2000)
    assert result.converged
    here = collect(X, None, result.parameters)
    further = collect(X, None, to_image(here)[0])
    assert 0 <= further.mean_log_likelihood - here.mean_log_likelihood < 1e-8
    by_em = em(start(structure), MaximumLikelihood(data), tol=1e-8, max_iter=2000)
    assert here.mean_log_likelihood == pytest.approx(by_em.lower_bounds[-1], abs=1e-5)


def test_passes_gain_more_than_those_of_em(X: Array) -> None:
    data = InMemory(np.random.default_rng(0).permutation(X), None)
    swept = run(data, start("full"), tol=0, max_iter=12).parameters
    by_em = em(start("full"), MaximumLikelihood(data), tol=0, max_iter=16).parameters
    assert e_step(data, swept).log_likelihood > e_step(data, by_em).log_likelihood


class Counting(InMemory):
    """Rows in blocks as a file may have them, that count how often they are read."""

    n_passes = 0
    cut = 2048

    def total(self, make: MakePass[R]) -> R:
        self.n_passes += 1
        return super().total(make)

    def blocks(self) -> Iterator[Block]:
        self.n_passes += 1
        for first in range(0, len(self.rows), self.cut):
            rows = slice(first, first + self.cut)
            weight = None if self.sample_weight is None else self.sample_weight[rows]
            yield Block(self.rows[rows], weight)


def test_every_pass_counts(X: Array) -> None:
    data = Counting(X, None)
    result = run(data, start("full"))
    assert result.n_iter == len(result.lower_bounds) == data.n_passes


def assert_same_bits(one: Parameters, other: Parameters) -> None:
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("cut", [1024, 2048, 3072, 1 << 20])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_bits_depend_neither_on_cuts_nor_on_threads(cut: int, n_threads: int, X: Array) -> None:
    weight = np.random.default_rng(1).uniform(0, 3, size=len(X))
    expected = run(InMemory(X, weight, 1), start("full"), max_iter=5, tol=0)
    data = Counting(X, weight, n_threads)
    data.cut = cut
    assert_same_bits(run(data, start("full"), max_iter=5, tol=0).parameters, expected.parameters)


def test_a_weight_is_a_number_of_repeats(X: Array) -> None:
    groups = X[:4096].reshape(4, 1024, 2)
    twice = np.repeat(groups, 2, axis=0).reshape(-1, 2)  # each block of rows, and it again
    weighted = InMemory(X[:4096], np.full(4096, 2.0))
    by_weight = run(weighted, start("full"), tol=0, max_iter=1).parameters
    by_rows = run(InMemory(twice, None), start("full"), tol=0, max_iter=1).parameters
    np.testing.assert_allclose(by_weight.means, by_rows.means, rtol=0, atol=1e-12)


def test_rows_of_a_single_block_are_left_to_em(X: Array) -> None:
    data = InMemory(X[:1024].copy(), None)
    by_em = em(start("full"), MaximumLikelihood(data), tol=1e-4, max_iter=100)
    result = run(data, start("full"), tol=1e-4, max_iter=100)
    assert result.lower_bounds == by_em.lower_bounds
    assert_same_bits(result.parameters, by_em.parameters)


@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_sweeps_keep_to_the_number_of_passes(max_iter: int, X: Array) -> None:
    result = run(InMemory(X, None), start("full"), tol=1e-9, max_iter=max_iter)
    assert (result.n_iter, result.converged) == (max_iter, False)


def test_the_first_sweep_is_an_iteration_of_em(X: Array) -> None:
    swept = run(InMemory(X, None), start("full"), max_iter=1).parameters
    expected, _ = to_image(collect(X, None, start("full")))
    np.testing.assert_allclose(swept.means, expected.means, rtol=0, atol=1e-12)
    np.testing.assert_allclose(swept.covariances, expected.covariances, rtol=0, atol=1e-12)


def test_a_run_that_has_begun_is_not_swept(X: Array) -> None:
    state = EMState(start("full"), 1e-6)
    proceed(state, MaximumLikelihood(InMemory(X, None)), max_iter=1)
    point = state.point
    sweep(state, MaximumLikelihood(InMemory(X, None)), max_iter=9)
    assert state.point is point
    assert state.n_iter == 1


def test_a_warm_start_at_the_optimum_takes_one_pass(X: Array) -> None:
    data = InMemory(X, None)
    best = run(data, start("full"), tol=1e-8, max_iter=2000)
    state = EMState(best.parameters, 1e-6, best.lower_bounds[-1])
    sweep(state, MaximumLikelihood(data), max_iter=9)
    assert (state.n_iter, state.converged) == (1, True)


def test_the_callback_sees_every_sweep(X: Array) -> None:
    seen: list[tuple[int, float, float]] = []
    state = EMState(start("full"), 0.0)
    sweep(
        state, MaximumLikelihood(InMemory(X, None)), max_iter=3, callback=lambda *a: seen.append(a)
    )
    bounds = state.monitor.lower_bounds
    assert [number for number, _, _ in seen] == [1, 2, 3]
    assert [bound for _, bound, _ in seen] == bounds
    assert seen[0][2] == np.inf
    assert seen[2][2] == bounds[2] - bounds[1]


@pytest.mark.parametrize("n_samples", [1, 1023, 5000, 40_000, 10**6 + 1, 10**9])
def test_blocks_are_whole_groups_and_few(n_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    size = rows_per_block(n_samples)
    assert size % 1024 == 0
    assert size >= incremental.FEWEST_ROWS
    assert -(-n_samples // size) <= incremental.MOST_BLOCKS


@pytest.mark.parametrize("accelerate", [None, "anderson"])
def test_the_estimator_sweeps_first(accelerate: Acceleration | None, X: Array) -> None:
    settings: dict[str, Any] = {
        "init_params": "kmeans",  # far enough from the end that a sweep shows
        "tol": 1e-8,
        "max_iter": 2000,
        "random_state": 0,
    }
    model = GaussianMixture(3, algorithm="incremental", accelerate=accelerate, **settings).fit(X)
    by_em = GaussianMixture(3, **settings).fit(X)
    assert model.converged_
    assert model.n_iter_ == len(model.lower_bounds_)
    assert model.lower_bounds_[0] == pytest.approx(by_em.lower_bounds_[0], abs=1e-12)
    assert model.lower_bounds_[1] > by_em.lower_bounds_[1]  # later blocks saw a better point
    assert model.lower_bound_ == pytest.approx(by_em.lower_bound_, abs=1e-5)


def test_sweeps_are_shown(X: Array, capsys: pytest.CaptureFixture[str]) -> None:
    GaussianMixture(
        2, algorithm="incremental", verbose=1, verbose_interval=1, random_state=0, tol=1e-2
    ).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("start: the best of ")
    assert lines[1].startswith("Start by auto")
    assert lines[2:5] == ["Initialization 0", "  Iteration 1", "  Iteration 2"]
    assert lines[-1] == "Initialization converged."


def test_an_algorithm_that_is_none(X: Array) -> None:
    known = "algorithm must be one of 'em', 'incremental', 'truncated', got 'sgd'"
    with pytest.raises(ValueError, match=known):
        GaussianMixture(2, algorithm="sgd").fit(X)  # type: ignore[arg-type]


@pytest.mark.parametrize("stop", [3, -1])  # in the sweeps, and before the last pass of EM
def test_a_fit_that_was_stopped_comes_to_the_same_bits(
    stop: int, X: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(**params: Any) -> GaussianMixture:
        model = GaussianMixture(3, algorithm="incremental", tol=1e-5, random_state=0, **params)
        return model.fit(X)

    def interrupt(_self: Printer, n_iter: int, *_args: float) -> None:
        if n_iter == stop % expected.n_iter_:
            raise KeyboardInterrupt

    expected = fit()
    how = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_interval": 0}
    with monkeypatch.context() as patch:
        patch.setattr(Printer, "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(**how)
    resumed = fit(**how)
    assert resumed.lower_bounds_ == expected.lower_bounds_
    assert_same_bits(parameters_of(resumed), parameters_of(expected))
