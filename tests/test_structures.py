"""Covariance structures: what each object promises, and that a new one needs no other file."""

import copy
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES as FORMS
from gaussmix._core.density import factors_shape
from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.model.covariance import (
    STRUCTURES,
    CovarianceStructure,
    NotPositiveDefiniteError,
    structure_named,
    structure_of,
)
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, collect
from gaussmix.model.structures import DIAG, FULL, SPHERICAL, TIED, Spherical

K, D = 3, 4
WEIGHTS = np.array([0.2, 0.3, 0.5])

GENERAL = FULL, TIED, DIAG, SPHERICAL

each_structure = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=repr)


def random_matrices(seed: int = 0) -> FloatArray:
    """Positive definite matrices (K, D, D)."""
    roots = np.random.default_rng(seed).normal(size=(K, D, D))
    return np.asarray(roots @ roots.swapaxes(1, 2) + np.eye(D))


def covariances_of(structure: CovarianceStructure, seed: int = 0) -> FloatArray:
    full = random_matrices(seed)
    variances = np.einsum("kii->ki", full)
    by_form: dict[str, FloatArray] = {
        "full": full,
        "tied": full[0],
        "diag": variances.copy(),
        "spherical": variances.mean(axis=1),
    }
    return structure.nearest(WEIGHTS, by_form[structure.form])


def mixture(structure: CovarianceStructure, seed: int = 0) -> Parameters:
    means = np.random.default_rng(seed + 1).normal(scale=5, size=(K, D))
    return Parameters.from_covariances(structure, WEIGHTS, means, covariances_of(structure, seed))


def test_the_four_forms_are_there() -> None:
    assert tuple(STRUCTURES)[:4] == FORMS
    assert [(s.name, s.form) for s in GENERAL] == [(f, f) for f in FORMS]
    assert [s for s in STRUCTURES.values() if s.is_general] == [*GENERAL]


@each_structure
def test_there_is_one_object(structure: CovarianceStructure) -> None:
    assert structure_named(structure.name) is structure
    assert structure_of(structure) is structure_of(structure.name) is structure
    assert pickle.loads(pickle.dumps(structure)) is structure
    assert copy.copy(structure) is copy.deepcopy([structure])[0] is structure
    assert repr(structure) == str(structure) == structure.name
    with pytest.raises(AttributeError):
        structure.name = "other"


@pytest.mark.parametrize("name", ["VVV?", None, FULL])
def test_an_unknown_name_is_refused(name: object) -> None:
    with pytest.raises(ParameterError, match=r"^covariance_type must be one of 'full', 'tied', "):
        structure_named(name)
    with pytest.raises(ParameterError, match=r"^covariance_type must be one of 'full', 'tied', "):
        GaussianMixture(covariance_type=name).fit(np.zeros((5, 2)))  # type: ignore[arg-type]


@each_structure
def test_shapes_are_those_of_the_kernels(structure: CovarianceStructure) -> None:
    shape = structure.shape(K, D)
    assert shape == factors_shape(structure.form, K, D) == covariances_of(structure).shape
    assert Statistics.zeros(structure, np.zeros((K, D))).second.shape == shape
    assert structure.shared == (shape[0] != K)
    assert (structure.identity(D) + np.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    ("structure", "free", "fewest", "products"),
    [(FULL, 30, 10, 10), (TIED, 10, 0, 4), (DIAG, 12, 4, 4), (SPHERICAL, 3, 4, 4)],
    ids=repr,
)
def test_counts(structure: CovarianceStructure, free: int, fewest: int, products: int) -> None:
    assert structure.n_free(K, D) == free
    assert structure.fewest_rows(D) == fewest
    assert structure.n_products(D) == products


def test_equal_models_have_one_representative() -> None:
    of_one_component = [s.representative(1, D) for s in GENERAL]
    assert of_one_component == [FULL, FULL, DIAG, SPHERICAL]
    of_one_feature = [s.representative(K, 1) for s in GENERAL]
    assert of_one_feature == [FULL, TIED, FULL, FULL]
    assert all(s.representative(K, D) is s for s in STRUCTURES.values())


@each_structure
def test_factors_lead_to_precisions_and_covariances(structure: CovarianceStructure) -> None:
    covariances = covariances_of(structure)
    factors = structure.precision_factors(covariances)
    precisions = structure.precisions_of_factors(factors)
    full = structure.as_matrices(covariances, K, D)
    assert_allclose(
        structure.as_matrices(precisions, K, D), np.linalg.inv(full), rtol=1e-10, atol=1e-13
    )
    assert_allclose(structure.factors_of_precisions(precisions), factors, rtol=1e-10, atol=1e-13)
    assert_allclose(structure.covariances_of_factors(factors), covariances, rtol=1e-10, atol=1e-13)
    assert structure.is_upper(factors)
    pivots = structure.checked_pivots("x", precisions)
    assert_allclose(pivots, structure.diagonals(factors).reshape(pivots.shape) ** 2, rtol=1e-10)


@pytest.mark.parametrize("structure", [FULL, TIED], ids=repr)
def test_a_lower_factor_is_not_upper(structure: CovarianceStructure) -> None:
    factors = structure.precision_factors(covariances_of(structure))
    assert not structure.is_upper(factors.swapaxes(-1, -2))


@each_structure
def test_what_is_not_definite_is_named(structure: CovarianceStructure) -> None:
    covariances = covariances_of(structure)
    diagonals = structure.diagonals(covariances)
    diagonals[-1] = -1.0  # a view
    owner = "the tied matrix" if structure.shared else f"the matrix of component {K - 1}"
    with pytest.raises(NotPositiveDefiniteError, match=owner):
        structure.precision_factors(covariances)
    with pytest.raises(NotPositiveDefiniteError, match=owner):
        structure.factors_of_precisions(covariances)
    with pytest.raises(ValueError, match=r"^'x' should be "):
        structure.checked_pivots("x", covariances)


@each_structure
def test_a_matrix_for_all(structure: CovarianceStructure) -> None:
    matrix = random_matrices()[0]
    full = structure.as_matrices(structure.alike(matrix, K), K, D)
    expected = {
        "full": matrix,
        "tied": matrix,
        "diag": np.diag(np.diag(matrix)),
        "spherical": np.eye(D) * np.trace(matrix) / D,
    }[structure.form]
    assert_allclose(full, np.broadcast_to(expected, (K, D, D)), rtol=1e-13)


@each_structure
def test_diagonals_and_traces(structure: CovarianceStructure) -> None:
    parameters = mixture(structure)
    full = parameters.full_covariances()
    diagonals = np.broadcast_to(structure.diagonals(parameters.covariances), (K, D))
    assert_allclose(diagonals, np.einsum("kii->ki", full))
    within = structure.pooled(WEIGHTS, structure.diagonals(parameters.covariances))
    assert_allclose(np.broadcast_to(within, D), WEIGHTS @ np.einsum("kii->ki", full))
    trace = structure.mean_trace(parameters.precisions_cholesky, WEIGHTS, D)
    assert trace == pytest.approx(WEIGHTS @ np.einsum("kii->k", np.linalg.inv(full)))


@each_structure
def test_roots_give_the_covariances(structure: CovarianceStructure) -> None:
    parameters = mixture(structure)
    roots = structure.roots(parameters.precisions_cholesky, K, D)
    squares = (
        roots.swapaxes(1, 2) @ roots if roots.ndim == 3 else roots[:, :, None] ** 2 * np.eye(D)
    )
    assert_allclose(squares, parameters.full_covariances(), rtol=1e-10, atol=1e-12)


@each_structure
def test_moments_add_up_and_move(structure: CovarianceStructure) -> None:
    """Statistics of rows with weights, about two shifts, by the definition."""
    rng = np.random.default_rng(3)
    X, resp, shift = rng.normal(size=(50, D)), rng.uniform(size=(50, K)), rng.normal(size=(K, D))

    def second_about(shift: FloatArray) -> FloatArray:
        second = np.zeros(structure.shape(K, D))
        for k in range(K):
            structure.add_moments(second, k, resp[:, k], X - shift[k])
        return second

    deviations = X[:, None] - shift
    full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    variances = np.einsum("kii->ki", full)
    expected = {"full": full, "tied": full.sum(axis=0), "diag": variances}
    second = second_about(shift)
    assert_allclose(second, expected.get(structure.form, variances.sum(axis=1)))
    first = np.einsum("nk,nki->ki", resp, deviations)
    step = rng.normal(size=(K, D))
    change = structure.change_of_shift(resp.sum(axis=0), first, step)
    assert_allclose(second + change, second_about(shift - step))


@each_structure
def test_remembered_moments_lead_back(structure: CovarianceStructure) -> None:
    parameters, weight = mixture(structure), 80.0
    n_k = weight * WEIGHTS
    second = structure.remembered(parameters.covariances, n_k, weight, D)
    statistics = Statistics(
        structure, parameters.means, n_k, np.zeros((K, D)), second, 0.0, weight, 80
    )
    found, collapsed = m_step(statistics, 0.0)
    assert collapsed == ()
    assert_allclose(found.covariances, parameters.covariances, rtol=1e-9, atol=1e-12)


@each_structure
def test_coordinates_turn_round(structure: CovarianceStructure) -> None:
    reference = mixture(structure).precisions_cholesky
    other = mixture(structure, seed=9).precisions_cholesky
    inverses = structure.inverses(reference)
    coordinates = structure.log_relative(inverses, other)
    assert structure.information_roots(WEIGHTS, D).size == coordinates.size
    assert coordinates.size == structure.general.n_free(K, D)
    there = structure.from_log_relative(reference, coordinates.ravel())
    assert_allclose(there, other, rtol=1e-10, atol=1e-13)
    deviations = np.random.default_rng(0).normal(size=(K, D))
    units = structure.in_units(reference, deviations)
    full = structure.as_matrices(mixture(structure).covariances, K, D)
    squares = np.einsum("ki,kij,kj->k", deviations, np.linalg.inv(full), deviations)
    assert_allclose((units**2).sum(axis=1), squares)
    assert_allclose(structure.in_units(inverses, units), deviations)


@pytest.mark.parametrize("structure", GENERAL, ids=repr)
def test_the_most_general_structure_of_a_form_needs_no_constraint(
    structure: CovarianceStructure,
) -> None:
    assert structure.is_general
    assert structure.general is structure
    covariances = covariances_of(structure)
    assert structure.nearest(WEIGHTS, covariances) is covariances
    with pytest.raises(NotImplementedError, match=f"^{structure.name} is the most general"):
        structure.constrain(WEIGHTS, covariances)


# --- A new structure is one class, here, and an entry in STRUCTURES -------------------------------


class OneSphere(Spherical):
    """One variance for all components and features: mclust's EII."""

    def n_free(self, n_components: int, n_features: int) -> int:
        return 1

    def constrain(
        self, weights: FloatArray, covariances: FloatArray, _previous: FloatArray | None = None
    ) -> FloatArray:
        return np.full(len(weights), weights @ covariances)


TOY = OneSphere("one-sphere")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> CovarianceStructure:
    monkeypatch.setitem(STRUCTURES, TOY.name, TOY)
    return TOY


@pytest.fixture
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    groups = [
        rng.normal(m, s, size=(n, 2)) for m, s, n in ((0, 1, 300), (8, 2, 200), (-7, 0.5, 99))
    ]
    return np.concatenate(groups)


def fitted(X: FloatArray, **params: object) -> GaussianMixture:
    settings: dict[str, object] = {"covariance_type": TOY.name, "random_state": 0, **params}
    return GaussianMixture(3, **settings).fit(X)  # type: ignore[arg-type]


@pytest.mark.usefixtures("toy")
def test_a_new_structure_is_fitted(X: FloatArray) -> None:
    model = fitted(X, tol=1e-10, max_iter=1000, reg_covar=0.0)
    assert model.converged_
    assert np.ptp(model.covariances_) == 0
    resp = model.predict_proba(X)
    assert_allclose(model.means_, resp.T @ X / resp.sum(axis=0)[:, None], rtol=1e-5)
    squares = ((X[:, None] - model.means_) ** 2).sum(axis=2)
    assert model.covariances_[0] == pytest.approx((resp * squares).sum() / X.size, rel=1e-5)
    bounds = model.lower_bounds_
    assert all(later >= before - 1e-13 for before, later in pairwise(bounds))
    n_free = 3 * 2 + 2 + 1
    assert model.bic(X) == pytest.approx(-2 * model.score(X) * len(X) + n_free * np.log(len(X)))


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "params",
    [
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"algorithm": "incremental"},
        {"init_params": "random"},
        {"init_params": "emem"},
        {"n_init": 4},
        {"warm_start": True},
    ],
    ids=repr,
)
def test_a_new_structure_works_with_every_way_to_fit(
    X: FloatArray, params: dict[str, object]
) -> None:
    model = fitted(X, **{"tol": 1e-9, "max_iter": 500, **params})
    assert np.ptp(model.covariances_) == 0
    assert model.score(X) == pytest.approx(fitted(X, tol=1e-9, max_iter=500).score(X), abs=1e-6)


@pytest.mark.usefixtures("toy")
def test_a_new_structure_learns_online(X: FloatArray) -> None:
    model = fitted(X)
    before = model.score(X)
    model.partial_fit(X).partial_fit(X)
    assert np.ptp(model.covariances_) == 0
    assert model.score(X) == pytest.approx(before, abs=1e-3)


@pytest.mark.usefixtures("toy")
def test_a_new_structure_keeps_its_shape_where_a_component_has_no_rows() -> None:
    X, shift = (
        np.random.default_rng(0).normal(size=(60, 2)),
        np.array([[0.0, 0], [0.1, 0], [99, 9]]),
    )
    start = Parameters.from_covariances(TOY.name, np.full(3, 1 / 3), shift, np.ones(3))
    found, collapsed = m_step(collect(X, None, start), 0.0)
    assert collapsed == (2,)
    assert np.ptp(found.covariances) == 0
    assert_allclose(found.means[2], shift[2])


@pytest.mark.usefixtures("toy")
def test_a_new_structure_answers_and_is_stored(X: FloatArray, tmp_path: Path) -> None:
    model = fitted(X)
    labels = model.predict(X)
    rows, drawn = model.sample(1000)
    assert rows.shape == (1000, 2)
    assert set(drawn) == set(labels) == {0, 1, 2}
    assert model.component_distances().shape == (3, 3)
    assert model.marginal([1]).covariance_type == "spherical"
    assert model.conditional([0], [0.5]).covariance_type == "spherical"
    gaussmix.save(model, tmp_path / "model.npz")
    loaded = gaussmix.load(tmp_path / "model.npz")
    for again in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert isinstance(again, GaussianMixture)
        assert again.covariance_type == TOY.name
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    toy: Any = TOY.name  # the types know the built-in structures alone
    by_hand = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_, toy)
    assert np.array_equal(by_hand.predict(X), labels)


@pytest.mark.usefixtures("toy")
def test_a_new_structure_is_checkpointed(X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    whole = fitted(X, tol=1e-9, max_iter=50)
    fitted(X, tol=1e-9, max_iter=3, checkpoint=path)
    again = fitted(X, tol=1e-9, max_iter=50, checkpoint=path)
    assert np.array_equal(again.means_, whole.means_)
    assert np.array_equal(again.covariances_, whole.covariances_)


@pytest.mark.usefixtures("toy")
def test_a_new_structure_can_be_selected(X: FloatArray) -> None:
    toy: Any = TOY.name
    selection = gaussmix.select(X, 3, (toy, "full"), random_state=0)
    assert [row.covariance_type for row in selection.table] == [TOY.name, "full"]
