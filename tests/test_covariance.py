"""The M-step: its formulas against NumPy's, and what it does where there are no covariances."""

from dataclasses import replace

import numpy as np
import pytest

from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.model import m_step as m_step_module
from gaussmix.model.covariance import structure_of
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def moments(structure: Structure, X: FloatArray, resp: FloatArray, shift: FloatArray) -> Statistics:
    """Statistics of rows X with responsibilities resp (N, K) about a shift."""
    deviations = X[:, None, :] - shift
    full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    variances = np.einsum("kii->ki", full)
    second = {
        "full": full,
        "tied": full.sum(axis=0),
        "diag": variances,
        "spherical": variances.sum(axis=1),
    }
    first = np.einsum("nk,nki->ki", resp, deviations)
    weight = float(resp.sum())
    return Statistics(
        structure_of(structure),
        shift,
        resp.sum(axis=0),
        first,
        second[structure],
        0.0,
        weight,
        len(X),
    )


def expected_covariances(
    structure: Structure, X: FloatArray, resp: FloatArray, reg_covar: float
) -> FloatArray:
    full = np.stack([np.cov(X.T, ddof=0, aweights=resp[:, k]) for k in range(resp.shape[1])])
    full += reg_covar * np.eye(X.shape[1])
    variances = np.einsum("kii->ki", full)
    shares = resp.sum(axis=0) / resp.sum()
    by_structure: dict[Structure, FloatArray] = {
        "full": full,
        "tied": np.einsum("k,kij->ij", shares, full),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    return by_structure[structure]


def example(seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 3)) * [1, 5, 0.2] + [10, 0, -3]
    return X, rng.dirichlet(np.ones(2), size=40), rng.normal(size=(2, 3)) + X[0]


def hard(labels: list[int], n_components: int) -> FloatArray:
    one_hot: FloatArray = np.equal.outer(labels, range(n_components)).astype(np.float64)
    return one_hot


def is_sound(parameters: Parameters) -> bool:
    """Finite, and positive definite as NumPy sees it."""
    np.linalg.cholesky(parameters.full_covariances())
    return all(
        bool(np.isfinite(values).all())
        for values in (parameters.means, parameters.covariances, parameters.precisions_cholesky)
    )


@each_structure
@pytest.mark.parametrize("reg_covar", [0.0, 0.25])
def test_maximum_likelihood_estimates(structure: Structure, reg_covar: float) -> None:
    X, resp, shift = example()
    parameters, collapsed = m_step(moments(structure, X, resp, shift), reg_covar)
    assert collapsed == ()
    assert np.allclose(parameters.weights, resp.sum(axis=0) / 40, rtol=1e-12)
    means = np.stack([np.average(X, axis=0, weights=resp[:, k]) for k in range(2)])
    assert np.allclose(parameters.means, means, rtol=1e-12)
    expected = expected_covariances(structure, X, resp, reg_covar)
    assert np.allclose(parameters.covariances, expected, rtol=1e-10)
    assert parameters.weights.sum() == pytest.approx(1, abs=1e-15)


@each_structure
def test_the_scale_of_weights_does_not_matter(structure: Structure) -> None:
    X, resp, shift = example()
    one, _ = m_step(moments(structure, X, resp, shift), 0.0)
    for scale in (1e-20, 1e20):
        other, collapsed = m_step(moments(structure, X, resp * scale, shift), 0.0)
        assert collapsed == ()
        assert np.allclose(other.covariances, one.covariances, rtol=1e-12)
        assert np.allclose(other.weights, one.weights, rtol=1e-12)


@each_structure
def test_a_component_without_rows_keeps_its_mean(structure: Structure) -> None:
    X, resp, shift = example()
    resp = np.column_stack([resp, np.full(40, 1e-15)])
    shift = np.vstack([shift, [7.0, 8.0, 9.0]])
    parameters, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    assert collapsed == (2,)
    assert np.array_equal(parameters.means[2], [7.0, 8.0, 9.0])
    assert 0 < parameters.weights[2] < 1e-14
    if structure != "tied":
        pooled = np.tensordot(parameters.weights[:2], parameters.covariances[:2], axes=1)
        assert np.allclose(parameters.covariances[2], pooled, rtol=1e-10)


@each_structure
def test_a_component_on_one_point_is_regularised(structure: Structure) -> None:
    X, _, _ = example()
    X[:10] = X[0]
    resp = hard([0] * 10 + [1] * 30, 2)
    shift = np.stack([X[0], X[10:].mean(axis=0)])
    parameters, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    assert collapsed == (() if structure == "tied" else (0,))
    assert is_sound(parameters)
    spread = parameters.full_covariances()
    if structure != "tied":  # small against the data, but far from rounding error
        ratio = np.diagonal(spread[0]) / np.diagonal(spread[1])
        assert ((ratio > 1e-8) & (ratio < 1e-4)).all()


@each_structure
def test_a_covariance_of_rounding_errors_is_no_covariance(structure: Structure) -> None:
    X, _, _ = example()
    X[:10] = X[0] * (1 + 1e-16 * np.arange(10)[:, None])
    resp = hard([0] * 10 + [1] * 30, 2)
    shift = np.stack([X[0], X[10:].mean(axis=0)])
    parameters, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    assert collapsed == (() if structure == "tied" else (0,))
    assert is_sound(parameters)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_combination_of_features_is_regularised(structure: Structure) -> None:
    X, resp, shift = example()
    X[:, 2] = X[:, 0] - 3 * X[:, 1]
    parameters, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    assert collapsed == (0, 1)
    assert is_sound(parameters)
    assert np.allclose(
        parameters.covariances, expected_covariances(structure, X, resp, 0.0), rtol=1e-4
    )


@each_structure
@pytest.mark.parametrize("value", [0.0, 0.1, -3e5])
def test_a_constant_feature_gets_a_variance(structure: Structure, value: float) -> None:
    X, resp, shift = example()
    X[:, 1] = value
    shift[:, 1] = np.nextafter(value, 1)  # as the mean of equal numbers may come out
    parameters, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    assert collapsed == (() if structure == "spherical" else (0, 1))
    assert is_sound(parameters)


@each_structure
def test_identical_rows_survive(structure: Structure) -> None:
    X = np.full((5, 2), 0.3)
    resp = np.full((5, 2), 0.5)
    parameters, collapsed = m_step(moments(structure, X, resp, np.zeros((2, 2))), 0.0)
    assert collapsed == (0, 1)
    assert np.allclose(parameters.means, 0.3)
    assert is_sound(parameters)


@pytest.mark.parametrize("structure", ["full", "tied", "diag"])
def test_regularisation_follows_the_units_of_each_feature(structure: Structure) -> None:
    X, _, _ = example()
    X[:10] = X[0]
    X[:, 2] = X[:, 0] - 3 * X[:, 1]
    resp = hard([0] * 10 + [1] * 30, 2)
    shift = np.stack([X[0], X[10:].mean(axis=0)])
    units = np.array([2.0**-27, 1.0, 2.0**27])  # powers of two, so that nothing is rounded
    one, collapsed = m_step(moments(structure, X, resp, shift), 0.0)
    other, collapsed_too = m_step(moments(structure, X * units, resp, shift * units), 0.0)
    assert collapsed == collapsed_too != ()
    scale = units if structure == "diag" else np.sqrt(np.outer(units, units))
    assert np.allclose(other.covariances / scale**2, one.covariances, rtol=1e-9)


def test_a_distant_shift_loses_the_covariance_but_not_the_fit() -> None:
    X, resp, shift = example()
    parameters, collapsed = m_step(moments("full", X, resp, shift + 1e10), 0.0)
    assert collapsed == (0, 1)
    assert is_sound(parameters)
    near, collapsed = m_step(moments("full", X, resp, shift + 1e4), 0.0)
    assert collapsed == ()
    assert np.allclose(near.covariances, expected_covariances("full", X, resp, 0.0), rtol=1e-4)


@each_structure
def test_moments_that_overflow_are_refused(structure: Structure) -> None:
    X, resp, shift = example()
    with np.errstate(over="ignore", invalid="ignore"):
        statistics = moments(structure, X * 1e200, resp, shift)
    with pytest.raises(ValueError, match="second moments of X overflow: scale"):
        m_step(statistics, 0.0)


def test_a_negative_reg_covar_is_refused() -> None:
    with pytest.raises(ValueError, match="reg_covar must be a finite number of at least 0, got -1"):
        m_step(moments("full", *example()), -1)


def test_no_rows_are_refused() -> None:
    statistics = Statistics.zeros("full", np.zeros((2, 3)))
    with pytest.raises(ValueError, match="positive weight, got 0"):
        m_step(statistics, 0.0)
    with pytest.raises(ValueError, match="positive weight, got nan"):
        m_step(replace(statistics, weight=float("nan"), n_samples=1), 0.0)


@each_structure
def test_where_every_component_is_a_point_the_spread_is_a_part_of_the_data(
    structure: Structure,
) -> None:
    X = np.array([[0.0, 0.0], [10.0, 2.0], [20.0, 4.0]])
    parameters, collapsed = m_step(moments(structure, X, np.eye(3), X.copy()), 0.0)
    assert collapsed == (0, 1, 2)
    total = X.var(axis=0).mean() if structure == "spherical" else X.var(axis=0)
    variances = np.diagonal(parameters.full_covariances(), axis1=1, axis2=2)
    assert ((variances > 1e-7 * total) & (variances < 1e-5 * total)).all()


@each_structure
@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("spread", [1e-12, 1.0, 1e6])
@pytest.mark.usefixtures("isa")
def test_the_quick_bound_is_above_all_noise(
    structure: Structure, offset: float, spread: float
) -> None:
    """What `maximise` calls sound the M-step would not regularise, and seldom calls it unsound."""
    X, resp, shift = example()
    found = Parameters.unset(structure, 2, 3)
    arrays = found.weights, found.means, found.covariances, found.precisions_cholesky
    seen = set()
    for power in range(-16, 1):
        flat = [1, 1, 10.0**power] if structure != "spherical" else 10.0**power
        rows = (X - X[0]) * flat * spread + [offset, 0, -offset]
        about = (shift - X[0]) * flat * spread + [offset, 0, -offset]
        given = moments(structure, rows, resp, about)
        sound = dispatch.estimates().maximise(
            structure,
            given.shift,
            given.n_k,
            np.ascontiguousarray(given.first),
            np.ascontiguousarray(given.second),
            1.0,
            0.0,
            *arrays,
        )
        pivots = found.structure.diagonals(found.precisions_cholesky) ** -2.0
        scale = m_step_module._scale(found, about)
        regularised = m_step_module._regularise_collapsed(given, found, None).any()
        assert not (sound and regularised)
        assert sound or not pivots.min() > 30 * scale.noise.max()
        seen.add(sound)
    assert True in seen or offset  # which may drown even the widest spread
    assert False in seen or structure == "spherical"


@each_structure
@pytest.mark.parametrize("scale", [1e155, 1e200, 1e300])
def test_means_whose_noise_overflows_are_refused(structure: Structure, scale: float) -> None:
    """Even where the moments about them do not; it once tried to regularise them for ever."""
    X = np.array([[1.0, 2.0], [1.0, 2.0]]) * scale
    with pytest.raises(ValueError, match=r"overflow: .* and of 0 .* the largest mean is"):
        m_step(moments(structure, X, np.ones((2, 1)), X[:1]), 0.0)
