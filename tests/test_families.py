"""The fourteen families: slow solvers, published fits, properties, singular data, all that fits."""

import copy
import pickle
import warnings
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.optimize import minimize
from sklearn.datasets import load_iris

import gaussmix
from gaussmix import CollapseWarning, GaussianMixture, Prior
from gaussmix._core.types import CovarianceType, FloatArray
from gaussmix.cli.main import main
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em.acceleration import strategy_of
from gaussmix.em.loop import EMResult, em
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.penalised import objective_for
from gaussmix.errors import ParameterError
from gaussmix.model.covariance import STRUCTURES, CovarianceStructure, structure_named
from gaussmix.model.families import CODES, FAMILIES
from gaussmix.model.m_step import m_step
from gaussmix.model.orientations import Profile
from gaussmix.model.parameters import Parameters
from gaussmix.model.stacks import common_axes
from gaussmix.model.statistics import Statistics, collect
from gaussmix.model.structures import DIAG, FULL, SPHERICAL, TIED
from gaussmix.starts.methods import hard_statistics

DATA = Path(__file__).parent / "data"

IRIS = {
    2: "-536.6525 -478.5591 -488.9148 -443.0667 -463.5690 -386.1853 -296.4476 -273.4962 -278.0571 "
    "-244.5706 -259.6669 -215.7260 -259.0164 -214.3547",
    3: "-401.8022 -384.3141 -361.4255 -339.4687 -338.7896 -306.8605 -256.3540 -234.1402 -237.5602 "
    "-214.0532 -214.8504 -186.0733 -205.5359 -180.1855",
}
"""Log-likelihoods at the optimum near the species, in the order of CODES; EVI, 3 is mclust's."""

FAITHFUL = {
    2: "-3452.998 -3458.305 -2354.601 -2350.607 -2352.618 -2346.065 -2325.220 -2324.273 -2322.972 "
    "-2320.433 -2329.115 -2325.416 -2327.598 -2322.192",
    3: "-3377.701 -3336.598 -2323.014 -2332.687 -2332.205 -2342.366 -2314.316 -2342.319 -2322.103 "
    "-2336.271 -2325.322 -2329.648 -2339.983 -2349.696",
}
"""mclust's BIC, of which larger is better, in the same order."""

each_code = pytest.mark.parametrize("code", CODES)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


def published(table: dict[int, str], n_components: int, code: CovarianceType) -> float:
    return float(table[n_components].split()[CODES.index(code)])


def random_covariances(
    n_components: int, n_features: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Weights, and matrices (K, D, D) of no family."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    axes = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    variances = np.exp(rng.normal(size=(n_components, n_features)))
    return weights, np.asarray((axes * variances[:, None]) @ axes.swapaxes(1, 2))


def in_form(family: CovarianceStructure, matrices: FloatArray) -> FloatArray:
    """The general covariances of the family's form, from matrices (K, D, D)."""
    variances = np.einsum("kii->ki", matrices)
    forms: dict[str, FloatArray] = {
        "full": matrices,
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    return forms[family.form].copy()


def constrained(
    family: CovarianceStructure, weights: FloatArray, matrices: FloatArray
) -> FloatArray:
    """Matrices (K, D, D) of the family where its M-step stays."""
    found = family.constrain(weights, in_form(family, matrices))
    for _ in range(3):
        found = family.constrain(weights, in_form(family, matrices), found)
    return family.as_matrices(found, *matrices.shape[:2])


def deviance(covariances: FloatArray, weights: FloatArray, matrices: FloatArray) -> float:
    """What M-steps minimise, for scatter of weights times matrices."""
    ratios = np.linalg.solve(covariances, matrices)
    terms = np.linalg.slogdet(covariances)[1] + np.trace(ratios, axis1=1, axis2=2)
    return float(weights @ terms)


# --- The families as objects ----------------------------------------------------------------------


def test_the_codes_are_the_fourteen() -> None:
    assert len(set(CODES)) == 14
    synonyms = {"VVV": FULL, "EEE": TIED, "VVI": DIAG, "VII": SPHERICAL}
    synonyms |= {
        "tied-diag": structure_named("EEI"),
        "tied-spherical": structure_named("EII"),
    }
    for name, structure in synonyms.items():
        assert structure_named(name) is structure
    assert {structure_named(code) for code in CODES} == set(STRUCTURES.values())


def test_numbers_of_free_parameters() -> None:
    k, d = 5, 4
    matrix, turns = d * (d + 1) // 2, d * (d - 1) // 2
    expected = {
        "EII": 1,
        "VII": k,
        "EEI": d,
        "VEI": k + d - 1,
        "EVI": 1 + k * (d - 1),
        "VVI": k * d,
        "EEE": matrix,
        "VEE": k - 1 + matrix,
        "EVE": 1 + k * (d - 1) + turns,
        "VVE": k + k * (d - 1) + turns,
        "EEV": 1 + (d - 1) + k * turns,
        "VEV": k + (d - 1) + k * turns,
        "EVV": 1 + k * (d - 1) + k * turns,
        "VVV": k * matrix,
    }
    assert {code: structure_named(code).n_free(k, d) for code in CODES} == expected


def test_rows_that_a_component_needs() -> None:
    needed = {"EII": 0, "EEI": 0, "VEI": 4, "EVI": 4, "EVE": 10, "VEE": 4, "VVE": 10}
    needed |= {"EEV": 0, "VEV": 4, "EVV": 10}
    assert {family.name: family.fewest_rows(4) for family in FAMILIES} == needed


@each_code
def test_equal_models_have_one_representative(code: CovarianceType) -> None:
    structure = structure_named(code)
    for size in ((1, 4), (5, 1), (1, 1)):
        stands = structure.representative(*size)
        assert stands.is_general
        assert stands.n_free(*size) == structure.n_free(*size)
        assert stands.representative(*size) is stands
    assert structure.representative(5, 4) is structure


# --- M-steps --------------------------------------------------------------------------------------

N_SEARCHES = {"I": 1, "E": 8, "V": 2}
"""By the letter of orientation: a common one has several local optima."""


def matrices_of(name: str, x: FloatArray, base: FloatArray) -> FloatArray:
    """Covariances (K, D, D) of free numbers x: log-volumes, log-shapes, turns from base."""
    n_components, n_features = base.shape[:2]
    count = {"E": 1, "V": n_components, "I": 0}
    volumes, x = np.split(x, [count[name[0]]])
    shapes, turns = np.split(x, [count[name[1]] * (n_features - 1)])
    logs = np.zeros((1, n_features))
    if len(shapes):
        logs = shapes.reshape(-1, n_features - 1)
        logs = np.hstack([logs, -logs.sum(axis=1, keepdims=True)])
    eigenvalues = np.exp(np.broadcast_to(volumes[:, None] + logs, (n_components, n_features)))
    axes = np.broadcast_to(axes_of(turns, base), base.shape)
    return np.asarray((axes * eigenvalues[:, None]) @ axes.swapaxes(1, 2))


def axes_of(turns: FloatArray, base: FloatArray) -> FloatArray:
    n_features = base.shape[-1]
    identity = np.eye(n_features)
    if not len(turns):
        return identity[None]
    rows, columns = np.triu_indices(n_features, 1)
    skew = np.zeros((len(turns) // len(rows), n_features, n_features))
    skew[:, rows, columns] = turns.reshape(len(skew), -1)
    skew -= skew.swapaxes(1, 2)
    rotations = np.linalg.solve(identity - skew / 2, identity + skew / 2)
    return np.asarray(base[: len(skew)] @ rotations)


def slow_minimum(family: CovarianceStructure, weights: FloatArray, matrices: FloatArray) -> float:
    """The least deviance that quasi-Newton searches from random points find."""
    rng = np.random.default_rng(0)
    n_free = family.n_free(*matrices.shape[:2])

    def objective(x: FloatArray, base: FloatArray) -> float:
        return deviance(matrices_of(family.name, x, base), weights, matrices)

    least = np.inf
    for _ in range(N_SEARCHES[family.name[2]]):
        base = np.linalg.qr(rng.normal(size=matrices.shape))[0]
        x = 0.1 * rng.normal(size=n_free)
        for _ in range(2):  # again from the end: turns are not small before
            x = minimize(objective, x, (base,), "BFGS", jac="3-point", options={"gtol": 1e-8}).x
        least = min(least, objective(x, base))
    return least


@pytest.mark.slow
@each_family
@pytest.mark.parametrize(("n_components", "n_features"), [(3, 3), (4, 2)])
def test_a_slow_solver_agrees(
    family: CovarianceStructure, n_components: int, n_features: int
) -> None:
    weights, matrices = random_covariances(n_components, n_features, n_components)
    reached = deviance(constrained(family, weights, matrices), weights, matrices)
    assert reached == pytest.approx(slow_minimum(family, weights, matrices), abs=1e-9)


@each_family
@pytest.mark.parametrize("seed", range(3))
def test_no_member_nearby_is_better(family: CovarianceStructure, seed: int) -> None:
    weights, matrices = random_covariances(6, 5, seed)
    found = constrained(family, weights, matrices)
    least = deviance(found, weights, matrices)
    rng = np.random.default_rng(seed)
    for size in (1e-2, 1e-4, 1e-6):
        noise = np.eye(5) + size * rng.normal(size=matrices.shape)
        moved = in_form(family, noise @ found @ noise.swapaxes(1, 2))
        member = family.as_matrices(family.nearest(weights, moved, moved), 6, 5)
        assert deviance(member, weights, matrices) >= least - 1e-12 * abs(least)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize("seed", range(5))
def test_a_common_orientation_never_gets_worse(name: str, seed: int) -> None:
    family = structure_named(name)
    weights, matrices = random_covariances(8, 6, seed)
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    last = np.repeat((axes * np.arange(1, 7.0) @ axes.T)[None], 8, axis=0)
    values = []
    for _ in range(12):
        last = family.constrain(weights, matrices, last)
        values.append(deviance(last, weights, matrices))
    assert all(later <= value + 1e-13 * abs(value) for value, later in pairwise(values))


@pytest.mark.parametrize("equal_volume", [False, True])
def test_derivatives_by_turns(equal_volume: bool) -> None:
    weights, matrices = random_covariances(3, 4, 12)
    turn, other = np.random.default_rng(12).normal(size=(2, 4, 4))
    turn, other = turn - turn.T, other - other.T
    here = Profile(weights[:, None, None] * matrices, weights, equal_volume)
    found, size = here.derivatives(), 1e-4
    ahead, behind = (here.turned(expm(sign * size * turn)).value for sign in (1, -1))
    slope = (ahead - behind) / (2 * size)
    bend = (ahead - 2 * here.value + behind) / size**2
    assert slope == pytest.approx(np.vdot(found.gradient, turn), rel=1e-5)
    image = found.hessian_times(turn)
    assert bend == pytest.approx(np.vdot(image, turn), rel=1e-5)
    assert np.vdot(image, other) == pytest.approx(np.vdot(found.hessian_times(other), turn))


def test_common_axes_are_recovered() -> None:
    rng = np.random.default_rng(11)
    axes = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    matrices = (axes * np.exp(3 * rng.normal(size=(3, 5)))[:, None]) @ axes.T
    turned = axes.T @ common_axes(matrices)
    assert_allclose(np.abs(turned).max(axis=0), 1, rtol=1e-10)


@pytest.mark.parametrize("name", ["VEI", "VEE", "VEV"])
def test_more_components_than_entries(name: str) -> None:
    """The same covariances many times over stay the same."""
    family = structure_named(name)
    weights, matrices = random_covariances(5, 2, 13)
    general = in_form(family, matrices)
    many = np.concatenate([general] * 40)
    found = family.constrain(np.tile(weights / 40, 40), many)
    assert_allclose(found[:5], family.constrain(weights, general), rtol=1e-9, atol=1e-12)


@each_family
def test_members_are_their_own_nearest(family: CovarianceStructure) -> None:
    weights, matrices = random_covariances(4, 3, 5)
    member = family.constrain(weights, in_form(family, matrices))
    assert_allclose(family.nearest(np.ones(4), member), member, rtol=1e-9, atol=1e-12)
    found = family.as_matrices(member, 4, 3)
    for other in FAMILIES:
        again = other.as_matrices(other.nearest(weights, in_form(other, found)), 4, 3)
        letters = zip(family.name, other.name, strict=True)
        contains = all("IEV".find(a) <= "IEV".find(b) for a, b in letters)
        assert np.allclose(again, found, rtol=1e-7, atol=1e-9) == contains


# --- Published fits, and the likelihood -----------------------------------------------------------


def from_labels(X: FloatArray, labels: NDArray[np.int32], code: CovarianceType, k: int) -> EMResult:
    statistics = hard_statistics(Sample(X, None), labels, code, k)
    start, _ = m_step(statistics, 0.0)
    return em(start, MaximumLikelihood(InMemory(X, None)), tol=1e-12, max_iter=5000)


def assert_never_falls(bounds: list[float], rounding: float = 1e-12) -> None:
    assert min(np.diff(bounds)) >= -rounding * abs(bounds[-1])


@each_code
@pytest.mark.parametrize("k", [2, 3])
def test_iris(code: CovarianceType, k: int) -> None:
    X = np.ascontiguousarray(load_iris().data)
    labels = np.minimum(np.repeat(np.arange(3), 50), k - 1).astype(np.int32)
    result = from_labels(X, labels, code, k)
    assert result.converged
    assert_never_falls(result.lower_bounds)
    reached = 150 * result.lower_bounds[-1]
    if (code, k) == ("EVI", 3):  # mclust's is better than the one near the species
        assert reached == pytest.approx(-340.0856, abs=1e-3)
        model = GaussianMixture(
            3, covariance_type=code, init_params="emem", tol=1e-9, reg_covar=0.0, random_state=0
        ).fit(X)
        reached = 150 * model.score(X)
    assert reached > published(IRIS, k, code) - 1e-3


@pytest.mark.slow
@each_code
@pytest.mark.parametrize("k", [2, 3])
def test_old_faithful(code: CovarianceType, k: int) -> None:
    X = np.loadtxt(DATA / "old_faithful.csv", delimiter=",", skiprows=1)
    model = GaussianMixture(
        k,
        covariance_type=code,
        init_params="emem",
        tol=1e-9,
        reg_covar=0.0,
        max_iter=5000,
        random_state=0,
    ).fit(X)
    assert model.converged_
    assert -model.bic(X) > published(FAITHFUL, k, code) - 2e-3


@pytest.fixture(scope="module")
def heavy_tailed() -> FloatArray:
    rng = np.random.default_rng(1)
    return np.asarray(rng.standard_t(4, size=(300, 4)) @ rng.normal(size=(4, 4)))


@each_family
@pytest.mark.parametrize(("scale", "rounding"), [(1.0, 1e-12), (1e5, 1e-10)])
def test_the_likelihood_never_falls(
    family: CovarianceStructure, heavy_tailed: FloatArray, scale: float, rounding: float
) -> None:
    X = heavy_tailed * [1, scale, 1, 1]
    labels = np.random.default_rng(0).integers(3, size=300).astype(np.int32)
    start, _ = m_step(hard_statistics(Sample(X, None), labels, family, 3), 0.0)
    result = em(start, MaximumLikelihood(InMemory(X, None)), tol=0.0, max_iter=80)
    assert_never_falls(result.lower_bounds, rounding)
    assert result.lower_bounds[-1] > result.lower_bounds[0] + 0.01


@each_family
def test_the_penalised_likelihood_never_falls(
    family: CovarianceStructure, heavy_tailed: FloatArray
) -> None:
    X, reg_covar = heavy_tailed, 0.5
    objective = MaximumLikelihood(InMemory(X, None), reg_covar)
    labels = np.random.default_rng(2).integers(3, size=300).astype(np.int32)
    point, _ = m_step(hard_statistics(Sample(X, None), labels, family, 3), reg_covar)
    for _ in range(30):
        statistics = objective.e_step(point)
        image, _ = objective.m_step(statistics, point)

        def penalised(at: Parameters, weights: FloatArray) -> float:
            trace = family.mean_trace(at.precisions_cholesky, weights, 4)
            return objective.score(at) - reg_covar / 2 * trace

        before, after = (penalised(at, image.weights) for at in (point, image))
        assert after >= before - 1e-12 * abs(before)
        point = image


@each_family
def test_a_slow_optimiser_agrees_under_a_prior(family: CovarianceStructure) -> None:
    """From elsewhere in the family it ends at the same penalised likelihood, and no higher."""
    rng, (k, d) = np.random.default_rng(3), (2, 2)
    X = np.vstack([rng.normal(size=(40, d)) @ [[1, 0.6], [0, 0.5]], 4 + rng.normal(size=(25, d))])
    prior = Prior(mean_precision=1.0, degrees_of_freedom=8.0)
    objective = objective_for(InMemory(X, None), family, k, prior=prior)
    labels = (X[:, 0] > 2).astype(np.int32)
    start, _ = m_step(hard_statistics(Sample(X, None), labels, family, k), 0.1)
    found = em(start, objective, tol=1e-13, max_iter=3000).parameters
    base = np.linalg.eigh(found.full_covariances())[1]
    n_spread = family.n_free(k, d)

    def loss(x: FloatArray) -> float:
        weights, means = np.array([1.0, np.exp(x[0])]), x[1 : 1 + k * d].reshape(k, d)
        spread = in_form(family, matrices_of(family.name, x[1 + k * d :], base))
        at = Parameters.from_covariances(family, weights / weights.sum(), means, spread)
        return -objective.score(at)

    begin = np.concatenate([[0.3], found.means.ravel() + 0.1, 0.1 * rng.normal(size=n_spread)])
    slow = minimize(loss, begin, method="BFGS", jac="3-point", options={"gtol": 1e-7})
    assert objective.score(found) == pytest.approx(-slow.fun, abs=1e-9)


@each_family
@pytest.mark.parametrize("method", ["squarem", "anderson"])
def test_acceleration_leads_to_a_fixed_point_of_em(
    family: CovarianceStructure, heavy_tailed: FloatArray, method: str
) -> None:
    X = heavy_tailed
    labels = (X[:, 0] > np.median(X[:, 0])).astype(np.int32)
    start, _ = m_step(hard_statistics(Sample(X, None), labels, family, 2), 0.0)
    objective, strategy = MaximumLikelihood(InMemory(X, None)), strategy_of(method, 0.0, 1e-10)
    plain = em(start, objective, tol=1e-10, max_iter=3000)
    fast = em(start, objective, tol=1e-10, max_iter=3000, strategy=strategy)
    assert fast.converged
    assert fast.n_iter <= plain.n_iter + 10
    assert fast.lower_bounds[-1] > fast.lower_bounds[0]
    after = em(fast.parameters, objective, tol=0.0, max_iter=20)
    assert_never_falls(after.lower_bounds)
    assert after.lower_bounds[-1] == pytest.approx(fast.lower_bounds[-1], abs=1e-7)
    assert_belongs(family, fast.parameters.covariances)


# --- Components that collapse ---------------------------------------------------------------------


def assert_belongs(family: CovarianceStructure, covariances: FloatArray) -> None:
    again = family.nearest(np.ones(len(covariances)), covariances, covariances)
    assert_allclose(again, covariances, rtol=1e-6, atol=1e-8 * np.abs(covariances).max())


def collapsing(
    family: CovarianceStructure, matrices: FloatArray, n_k: FloatArray
) -> tuple[Parameters, tuple[int, ...]]:
    k, d = matrices.shape[:2]
    general = in_form(family, n_k[:, None, None] * matrices)
    second = general * d if family.form == "spherical" else general
    means, weight = np.zeros((k, d)), float(n_k.sum())
    statistics = Statistics(
        family, means, n_k, np.zeros((k, d)), second, 0.0, weight, max(1, int(weight))
    )
    return m_step(statistics, 0.0)


@each_family
def test_a_component_without_rows_takes_nothing_from_the_others(
    family: CovarianceStructure,
) -> None:
    _, matrices = random_covariances(3, 3, 8)
    n_k, kept = np.array([90.0, 0.0, 60.0]), [0, 2]
    expected, _ = collapsing(family, matrices[kept], n_k[kept])
    found, collapsed = collapsing(family, matrices * [[[1]], [[0]], [[1]]], n_k)
    assert collapsed == (1,)
    assert_allclose(found.covariances[kept], expected.covariances, rtol=1e-6, atol=1e-9)
    assert_belongs(family, found.covariances)


@each_family
@pytest.mark.parametrize("case", ["no spread", "one direction", "constant feature", "constant"])
def test_singular_scatter_stays_in_the_family(family: CovarianceStructure, case: str) -> None:
    _, matrices = random_covariances(3, 3, 9)
    n_k = np.array([90.0, 10.0, 60.0])
    if case == "no spread":
        matrices[1] = 0
    elif case == "one direction":
        matrices[1] = np.outer([1.0, 2, -1], [1.0, 2, -1])
    elif case == "constant feature":
        matrices[:, 2] = matrices[:, :, 2] = 0
    else:
        matrices[:] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, collapsed = collapsing(family, matrices, n_k)
    assert np.isfinite(found.precisions_cholesky).all()
    assert_belongs(family, found.covariances)
    if case == "no spread":
        assert collapsed == ((1,) if "V" in family.name[:2] else ())
    elif case == "constant":
        assert collapsed == (0, 1, 2)


def test_a_fit_says_what_collapsed() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(100, 3)), np.full((10, 3), 20.0)])
    with pytest.warns(CollapseWarning, match=r"a simpler covariance_type than 'VVE'"):
        model = GaussianMixture(2, covariance_type="VVE", random_state=0, reg_covar=0.0).fit(X)
    assert_belongs(structure_named("VVE"), model.covariances_)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        GaussianMixture(2, covariance_type="EEV", random_state=0, reg_covar=0.0).fit(X)


# --- Everything works with them -------------------------------------------------------------------


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    groups = ((0, 1, 300), (8, 2, 200), (-7, 0.5, 99))
    return np.concatenate([rng.normal(m, s, size=(n, 3)) for m, s, n in groups])


def name_of(family: CovarianceStructure) -> CovarianceType:
    return cast(CovarianceType, family.name)


def fitted(
    X: object, code: CovarianceType, weight: object = None, **params: object
) -> GaussianMixture:
    settings: dict[str, object] = {"covariance_type": code, "random_state": 0, **params}
    return GaussianMixture(3, **settings).fit(X, sample_weight=weight)  # type: ignore[arg-type]


@each_code
def test_attributes_have_the_shapes_of_the_code(X: FloatArray, code: CovarianceType) -> None:
    model = fitted(X, code)
    shapes = {"EII": (3,), "VII": (3,), "EEE": (3, 3)}
    expected = shapes.get(code, (3, 3) if code[2] == "I" else (3, 3, 3))
    assert model.covariances_.shape == model.precisions_.shape == expected
    assert model.get_params()["covariance_type"] == code
    n_free = 2 + 9 + structure_named(code).n_free(3, 3)
    assert model.bic(X) == pytest.approx(-2 * model.score(X) * len(X) + n_free * np.log(len(X)))


@pytest.mark.parametrize(
    ("code", "name"), [("VVV", "full"), ("EEE", "tied"), ("VVI", "diag"), ("VII", "spherical")]
)
def test_codes_of_the_forms_have_their_bits(
    X: FloatArray, code: CovarianceType, name: CovarianceType, tmp_path: Path
) -> None:
    one, other = fitted(X, code), fitted(X, name)
    assert np.array_equal(one.covariances_, other.covariances_)
    gaussmix.save(one, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz")
    assert isinstance(loaded, GaussianMixture)
    assert loaded.covariance_type == code
    one.set_params(covariance_type=name)
    assert np.array_equal(one.predict(X), other.predict(X))


@each_family
@pytest.mark.parametrize(
    "params",
    [
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"algorithm": "incremental"},
        {"init_params": "hierarchical"},
        {"n_init": 4},
        {"warm_start": True},
    ],
    ids=str,
)
def test_every_way_to_fit(
    X: FloatArray, family: CovarianceStructure, params: dict[str, object]
) -> None:
    settings: dict[str, object] = {"tol": 1e-8, "max_iter": 500}
    model = fitted(X, name_of(family), **settings, **params)
    if "warm_start" in params:
        model.fit(X)
    assert_belongs(family, model.covariances_)
    expected = fitted(X, name_of(family), **settings).score(X)
    assert model.score(X) > expected - 1e-5


@each_family
def test_weights_float32_and_blocks_of_rows(
    X: FloatArray, family: CovarianceStructure, tmp_path: Path
) -> None:
    weight = np.random.default_rng(1).integers(1, 4, size=len(X))
    means = np.array([[0.0] * 3, [8.0] * 3, [-7.0] * 3])
    settings: dict[str, object] = {"means_init": means, "tol": 1e-6, "max_iter": 300}
    weighted = fitted(X, name_of(family), weight, **settings)
    repeated = fitted(np.repeat(X, weight, axis=0), name_of(family), **settings)
    assert weighted.score(X) == pytest.approx(repeated.score(X), abs=1e-6)
    narrow = fitted(X.astype(np.float32), name_of(family), **settings)
    whole = fitted(X, name_of(family), **settings)
    assert narrow.score(X) == pytest.approx(whole.score(X), abs=1e-4)
    np.save(tmp_path / "X.npy", X)
    streamed = fitted(gaussmix.scan(tmp_path / "X.npy"), name_of(family), **settings)
    assert streamed.score(X) == pytest.approx(whole.score(X), abs=1e-6)
    assert_belongs(family, streamed.covariances_)


@each_family
def test_online(X: FloatArray, family: CovarianceStructure) -> None:
    model = fitted(X, name_of(family), reg_covar=1e-3)
    before = model.score(X)
    model.partial_fit(X).partial_fit(X)
    assert_belongs(family, model.covariances_)
    assert model.score(X) == pytest.approx(before, abs=2e-3)
    anew = GaussianMixture(3, covariance_type=name_of(family), random_state=0)
    for rows in np.array_split(np.random.default_rng(0).permutation(X), 5):
        anew.partial_fit(rows)
    assert_belongs(family, anew.covariances_)


@each_family
def test_answers_and_files(X: FloatArray, family: CovarianceStructure, tmp_path: Path) -> None:
    model = fitted(X, name_of(family), init_params="kmeans")
    rows, drawn = model.sample(600)
    assert rows.shape == (600, 3)
    assert set(drawn) == set(model.predict(X)) == {0, 1, 2}
    assert model.marginal([1]).covariance_type == family.form
    assert model.conditional([0], [0.5]).covariance_type == family.form
    assert model.hierarchy(X).linkage.shape == (2, 4)
    gaussmix.save(model, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz")
    for again in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert isinstance(again, GaussianMixture)
        assert again.covariance_type == name_of(family)
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


@each_family
@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
def test_checkpoints(X: FloatArray, family: CovarianceStructure, tmp_path: Path) -> None:
    path, settings = tmp_path / "fit.npz", {"tol": 1e-9, "init_params": "random"}
    whole = fitted(X, name_of(family), max_iter=20, **settings)
    fitted(X, name_of(family), max_iter=3, checkpoint=path, **settings)
    again = fitted(X, name_of(family), max_iter=20, checkpoint=path, **settings)
    assert np.array_equal(again.covariances_, whole.covariances_)


@each_family
def test_parameters_by_hand(X: FloatArray, family: CovarianceStructure) -> None:
    model = fitted(X * [1, 1e4, 1], name_of(family))
    given = model.weights_, model.means_, model.covariances_
    by_hand = GaussianMixture.from_parameters(*given, name_of(family))
    assert np.array_equal(by_hand.covariances_, model.covariances_)
    again = GaussianMixture(
        3,
        covariance_type=name_of(family),
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=model.precisions_,
        max_iter=0,
    ).fit(X)
    assert_allclose(again.covariances_, model.covariances_, rtol=1e-8)


@each_family
def test_matrices_of_no_family_are_refused_or_projected(family: CovarianceStructure) -> None:
    weights, matrices = random_covariances(3, 3, 1)
    general = in_form(family, matrices)
    means = np.zeros((3, 3))
    name = name_of(family)
    message = (
        rf"^'{name} covariance' should be of covariance_type='{name}', but an "
        r"entry differs by .* of a variance from the nearest that are: pass project=True"
    )
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(weights, means, general, name_of(family))
    model = GaussianMixture.from_parameters(weights, means, general, name_of(family), project=True)
    assert_belongs(family, model.covariances_)
    mixture = GaussianMixture(3, covariance_type=name_of(family), precisions_init=general)
    with pytest.raises(ValueError, match=rf"^'{name_of(family)} precision' should be of "):
        mixture.fit(np.random.default_rng(0).normal(size=(30, 3)))


def test_project_is_checked() -> None:
    with pytest.raises(ParameterError, match=r"^project must be True or False, got 1"):
        GaussianMixture.from_parameters(
            [1.0],
            [[0.0]],
            [1.0],
            "EII",
            project=1,  # type: ignore[arg-type]
        )


@pytest.mark.slow
def test_all_families_can_be_selected(X: FloatArray) -> None:
    selection = gaussmix.select(X, [1, 3], "all", random_state=0, n_init=1)
    assert [row.covariance_type for row in selection.table] == [*CODES, *CODES]
    assert selection.best_model.covariance_type == "VII"
    assert selection.best.n_components == 3
    alone = [row for row in selection.table if row.n_components == 1]
    assert sum(row.seconds > 0 for row in alone) == 3  # a matrix, variances, one variance


@pytest.mark.slow
def test_iris_is_chosen_as_by_mclust() -> None:
    """VEV with two components: 26 parameters, and BIC -561.7285 with mclust's sign."""
    X = np.ascontiguousarray(load_iris().data)
    selection = gaussmix.select(X, [1, 2], "all", random_state=0, n_init=1)
    best = selection.best
    assert (best.n_components, best.covariance_type, best.n_parameters) == (2, "VEV", 26)
    assert best.bic == pytest.approx(561.7285, abs=0.01)


@each_family
def test_one_component_and_one_feature(X: FloatArray, family: CovarianceStructure) -> None:
    one = GaussianMixture(1, covariance_type=name_of(family)).fit(X)
    stands = name_of(family.representative(1, 3))
    expected = GaussianMixture(1, covariance_type=stands).fit(X)
    assert one.score(X) == pytest.approx(expected.score(X), abs=1e-9)
    settings: dict[str, object] = {"means_init": [[0.0], [8.0], [-7.0]], "tol": 1e-9}
    column = X[:, :1].copy()
    narrow = fitted(column, name_of(family), **settings)
    expected = fitted(column, name_of(family.representative(3, 1)), **settings)
    assert narrow.score(column) == pytest.approx(expected.score(column), abs=1e-6)


@pytest.mark.parametrize("name", ["EVE", "EII"])
def test_statistics_of_a_family_and_its_form_are_alike(X: FloatArray, name: CovarianceType) -> None:
    family = structure_named(name)
    model = fitted(X, name)
    point = Parameters.from_covariances(family, model.weights_, model.means_, model.covariances_)
    general = Parameters.from_covariances(
        family.general, model.weights_, model.means_, model.covariances_
    )
    one, other = collect(X, None, point), collect(X, None, general)
    assert np.array_equal(one.second, other.second)
    assert one.mean_log_likelihood == other.mean_log_likelihood


@pytest.mark.parametrize("code", ["EII", "VEI", "EVE", "VEV"])
def test_rows_on_dask(X: FloatArray, code: CovarianceType) -> None:
    da = pytest.importorskip("dask.array")
    settings: dict[str, object] = {"means_init": [[0.0] * 3, [8.0] * 3, [-7.0] * 3], "tol": 1e-6}
    there = fitted(da.from_array(X, chunks=(200, 3)), code, **settings)
    here = fitted(X, code, **settings)
    assert there.covariance_type == code
    assert_allclose(there.covariances_, here.covariances_, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_the_command_takes_codes(
    X: FloatArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, model, best = (tmp_path / name for name in ("X.npy", "model.npz", "best.npz"))
    np.save(rows, X)
    options = [str(rows), "--seed", "0", "-k", "3"]
    assert main(["fit", *options, "--covariance", "VEV", "-o", str(model)]) == 0
    loaded = gaussmix.load(model)
    assert isinstance(loaded, GaussianMixture)
    assert loaded.covariance_type == "VEV"
    types = ["--covariance-types", "all", "--n-init", "1"]
    assert main(["select", *options, *types, "-o", str(best)]) == 0
    assert "".join(f"{code:>14}  " for code in CODES).rstrip() in capsys.readouterr().out
    chosen = gaussmix.load(best)
    assert isinstance(chosen, GaussianMixture)
    assert chosen.covariance_type == "VII"


def test_a_name_and_its_code_are_fitted_once(X: FloatArray) -> None:
    selection = gaussmix.select(X, 3, ["full", "VVV"], random_state=0, n_init=1)
    one, other = selection.table
    assert (one.covariance_type, other.covariance_type) == ("full", "VVV")
    assert one.bic == other.bic
    assert other.seconds == 0


@pytest.mark.slow
def test_many_curves_can_be_told_apart(X: FloatArray) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    axes = gaussmix.select(X, [2, 3], "all", random_state=0, n_init=1).plot()
    styles = {
        (line.get_color(), line.get_linestyle())
        for line in axes.get_lines()
        if line.get_label() in CODES
    }
    assert len(styles) == len(CODES)
    pyplot.close(axes.figure)
