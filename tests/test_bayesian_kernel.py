"""Variational Bayes in one call of a kernel: the bits of the loop, and what is left to the loop."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.bayes.posterior import Posterior
from gaussmix.bayes.prior import PRIOR_TYPES, Beliefs, prior_of
from gaussmix.data.base import InMemory
from gaussmix.em.acceleration import strategy_of
from gaussmix.em.loop import EMState, proceed
from gaussmix.em.variational import EvidenceBound, PosteriorChart
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters

pytestmark = pytest.mark.kernels

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def rows(n: int = 1500) -> FloatArray:
    """Rows of two groups."""
    rng = np.random.default_rng(5)
    return np.asarray(rng.normal(size=(n, 2)) + 4.0 * (np.arange(n) % 3 == 0)[:, None] + 100)


def problem(
    structure: Structure, data: InMemory, weights: str = PRIOR_TYPES[0], **settings: Any
) -> tuple[EvidenceBound, Posterior]:
    """What is climbed by mixtures of four components, and where it begins."""
    beliefs = Beliefs(weights, None, None, None, None, None)
    prior = prior_of(beliefs, structure_of(structure), 4, data)
    objective = EvidenceBound(data, prior, **settings)
    spread = np.ones(prior.structure.shape(4, data.n_features))
    if structure in ("full", "tied"):
        spread[...] = np.eye(data.n_features)
    means = data.rows[:4].astype(np.float64)
    start = Parameters.from_covariances(structure, np.full(4, 0.25), means, spread)
    return objective, objective.begin(start)


def run(
    objective: EvidenceBound, start: Posterior, tol: float, max_iter: int, fast: bool
) -> tuple[EMState, int]:
    """A run to its end, and how far the kernel took it."""
    state = EMState(start, tol)
    if fast:
        objective.fast_forward(state, max_iter)
    done = state.n_iter
    proceed(state, objective, max_iter=max_iter, callback=lambda *_: None)  # watched: by Python
    return state, done


def bits(state: EMState) -> tuple[object, ...]:
    assert isinstance(state.point, Posterior)
    assert state.last.image is state.point
    arrays = [array.tobytes() for array in (*state.point.arrays().values(), state.point.weights)]
    return *arrays, state.monitor.lower_bounds, state.converged


@each_structure
@pytest.mark.parametrize("weights", PRIOR_TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("tol", "max_iter"), [(1.0, 99), (0.0, 5), (1e-9, 1), (1e-9, 0)])
@pytest.mark.usefixtures("isa")
def test_the_kernel_makes_the_iterations_of_python(
    structure: Structure,
    weights: str,
    dtype: type[np.floating],
    weighted: bool,
    tol: float,
    max_iter: int,
) -> None:
    X = rows().astype(dtype)
    weight = np.random.default_rng(0).uniform(0, 2, size=len(X)) if weighted else None
    objective, start = problem(structure, InMemory(X, weight, 1), weights, reg_covar=1e-6)
    before = bits(EMState(start, tol))
    state, done = run(objective, start, tol, max_iter, fast=True)
    by_python, _ = run(objective, start, tol, max_iter, fast=False)
    assert done == state.n_iter
    assert bits(state) == bits(by_python)
    assert state.converged == (max_iter == 99)
    assert bits(EMState(start, tol)) == before  # the start is as it was


@each_structure
def test_compiled_iterations_are_those_of_the_reference(structure: Structure) -> None:
    objective, start = problem(structure, InMemory(rows(), None, 1), reg_covar=1e-6)
    found = []
    for isa in dispatch.available():
        with dispatch.using(isa):
            found.append(run(objective, start, 0.0, 12, fast=True)[0])
    with dispatch.using("reference"):
        wanted, _ = run(objective, start, 0.0, 12, fast=True)
    for state in found:
        assert state.monitor.lower_bounds == pytest.approx(wanted.monitor.lower_bounds, rel=1e-11)
        for name, array in state.point.arrays().items():
            np.testing.assert_allclose(array, wanted.point.arrays()[name], rtol=1e-8, atol=1e-9)


@pytest.mark.usefixtures("compiled_isa")
def test_the_same_bits_for_any_number_of_threads() -> None:
    X, found = np.tile(rows(), (200, 1)), []  # enough that two threads pay
    for n_threads in (1, 2, 3):
        objective, start = problem("full", InMemory(X, None, n_threads))
        found.append(bits(run(objective, start, 0.0, 3, fast=True)[0]))
    assert found[0] == found[1] == found[2]


@pytest.mark.usefixtures("isa")
def test_a_posterior_without_factors_is_left_to_python() -> None:
    X = np.column_stack([np.arange(50.0), 2.0 * np.arange(50.0)])
    objective, start = problem("full", InMemory(X, None, 1))
    flat = replace(objective.prior, covariances=np.zeros_like(objective.prior.covariances))
    state = EMState(start, 0.0)
    EvidenceBound(objective.data, flat).fast_forward(state, 10)
    assert state.n_iter < 10
    with pytest.raises(ValueError, match="in the posterior: second moments of X overflow, or feat"):
        proceed(state, EvidenceBound(objective.data, flat), max_iter=10)


@pytest.mark.usefixtures("isa")
def test_rows_out_of_reach_are_found_by_python() -> None:
    X = rows(300).astype(np.float32)
    objective, start = problem("full", InMemory(X, None, 1))
    far = np.vstack([X, np.full((1, 2), 1e25, np.float32)])
    objective = replace(objective, data=InMemory(far, None, 1))
    state = EMState(start, 0.0)
    objective.fast_forward(state, 3)
    assert state.n_iter == 0
    with pytest.raises(ValueError, match="squared distances overflow float32 at row 300"):
        proceed(state, objective, max_iter=3)


def test_what_kernels_do_not_know_is_left_alone() -> None:
    X = rows()
    gone = X.copy()
    gone[0, 0] = np.nan
    objective, start = problem("full", InMemory(X, None, 1))
    gaps = InMemory(gone, None, 1, gaps=True)
    for other in (replace(objective, sort=True), replace(objective, data=gaps)):
        state = EMState(start, 0.0)
        other.fast_forward(state, 3)
        assert state.n_iter == 0
    chart = partial(PosteriorChart, objective.prior)
    state = EMState(start, 0.0, strategy=strategy_of("squarem", 0.0, 0.0, chart))
    objective.fast_forward(state, 3)
    assert state.n_iter == 0


def test_what_em_climbs_must_be_of_its_build(compiled_isa: str) -> None:
    objective, start = problem("full", InMemory(rows(), None, 1))
    kernels = dispatch.load(compiled_isa).float64
    with pytest.raises(TypeError, match="ascent"):
        kernels.em(rows(), None, None, np.empty(3), 0.0, -np.inf)
    with dispatch.using(compiled_isa):
        ascent = dispatch.bayesian().EvidenceAscent
    with pytest.raises(TypeError, match="posterior must be Conjugate, got NoneType"):
        ascent(objective.prior.conjugate, None, 0.0)  # type: ignore[arg-type]
    frozen = start.copied()
    frozen.means.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"read-?only|not writable"):
        ascent(objective.prior.conjugate, frozen.conjugate, 0.0)
