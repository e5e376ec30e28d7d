"""M-step, density constants and factors: the compiled ones against the reference and SciPy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Self, cast

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gaussmix._core import dispatch, reference_estimates
from gaussmix._core.density import STRUCTURES
from gaussmix._core.interface import Estimates
from gaussmix._core.types import FloatArray, Structure
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters

pytestmark = pytest.mark.kernels


def modules() -> list[Estimates]:
    if find_spec("gaussmix._core.estimates") is None:
        return [reference_estimates]
    return [reference_estimates, cast(Estimates, import_module("gaussmix._core.estimates"))]


each_module = pytest.mark.parametrize("module", modules())
each_size = pytest.mark.parametrize("n_features", [1, 2, 3, 5, 16, 65])


def matrices(n_features: int, n: int = 4) -> FloatArray:
    """Positive definite matrices (n, D, D) of all sizes and scales."""
    rng = np.random.default_rng(n_features)
    roots = rng.normal(size=(n, n_features, 2 * n_features))
    scales = 10.0 ** rng.uniform(-6, 6, size=(n, n_features))
    covariances = roots @ roots.transpose(0, 2, 1) * scales[:, :, None] * scales[:, None, :]
    return (covariances + covariances.transpose(0, 2, 1)) / 2


def factorised(module: Estimates, covariances: FloatArray) -> FloatArray:
    out = np.full_like(covariances, 7.0)  # nothing of what was there may stay
    module.precision_factors(covariances, out)
    return out


@each_module
@each_size
def test_factors_are_upper_and_make_the_covariance_one(module: Estimates, n_features: int) -> None:
    covariances = matrices(n_features)
    factors = factorised(module, covariances)
    assert np.array_equal(factors, np.triu(factors))
    assert (np.diagonal(factors, axis1=1, axis2=2) > 0).all()
    ones = factors.transpose(0, 2, 1) @ covariances @ factors  # U' C U
    assert np.allclose(ones, np.eye(n_features), atol=1e-9)


@pytest.mark.parametrize("n_features", [*range(1, 25), 65])
def test_compiled_factors_are_those_of_the_reference(n_features: int) -> None:
    covariances = matrices(n_features)
    scales = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    results = [factorised(module, covariances) * scales[:, :, None] for module in modules()]
    largest = np.abs(results[0]).max(axis=(1, 2), keepdims=True)
    assert all((np.abs(other - results[0]) < 1e-13 * largest**2).all() for other in results)


@each_module
@pytest.mark.parametrize("n_features", [1, 3, 40])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_what_is_not_positive_definite_is_nan_and_harms_no_other(
    module: Estimates, bad: float, n_features: int
) -> None:
    covariances = matrices(n_features)
    expected = factorised(module, covariances)
    covariances[1] = covariances[2, -1, -1] = bad
    factors = factorised(module, covariances)
    assert np.isnan(factors[1:3]).all()
    assert np.array_equal(factors[[0, 3]], expected[[0, 3]])


@each_module
@pytest.mark.parametrize("n_features", [4, 40])
def test_only_lower_triangles_are_read(module: Estimates, n_features: int) -> None:
    covariances = matrices(n_features)
    expected = factorised(module, covariances)
    covariances[:, 0, 1:] = np.nan
    assert np.array_equal(factorised(module, covariances), expected)


@each_module
def test_no_matrices_have_no_factors(module: Estimates) -> None:
    assert factorised(module, np.empty((0, 3, 3))).shape == (0, 3, 3)


@each_module
def test_wrong_arrays_are_refused(module: Estimates) -> None:
    good = matrices(3)
    for shape in ((3, 3), (2, 3, 4), (2, 0, 0)):
        with pytest.raises(ValueError, match=r"matrices must have shape \(M, D, D\)"):
            module.precision_factors(np.ones(shape), np.ones(shape))
    with pytest.raises(ValueError, match=r"got \(\)"):
        module.precision_factors(None, good)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="matrices must have dtype float64"):
        module.precision_factors(good.astype(np.float32), good)
    with pytest.raises(ValueError, match="matrices must be C-contiguous"):
        module.precision_factors(good.transpose(0, 2, 1), good)
    with pytest.raises(ValueError, match=r"factors must have shape \(4, 3, 3\)"):
        module.precision_factors(good, np.empty((3, 3, 3)))


@dataclass
class Problem:
    """Moments of random components, and room for the estimates."""

    structure: Structure
    shift: FloatArray
    n_k: FloatArray
    first: FloatArray
    second: FloatArray

    @classmethod
    def make(cls, structure: Structure, n_components: int = 4, n_features: int = 3) -> Self:
        rng = np.random.default_rng(n_components)
        X = rng.normal(size=(60, n_features)) * 10.0 ** rng.uniform(-2, 2, size=n_features)
        resp = rng.dirichlet(np.ones(n_components), size=60)
        shift = X[:n_components] + 0.1
        deviations = X[:, None, :] - shift
        full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
        variances = np.einsum("kii->ki", full).copy()
        second = {"full": full, "tied": full.sum(0), "diag": variances}
        second["spherical"] = variances.sum(1)
        first = np.einsum("nk,nki->ki", resp, deviations)
        return cls(structure, shift, resp.sum(0), first, second[structure])

    def estimates(
        self, module: Estimates, reg_covar: float = 0.0
    ) -> tuple[bool, tuple[FloatArray, ...]]:
        shape, spread = self.shift.shape, self.second.shape
        out = np.empty(shape[0]), np.empty(shape), np.empty(spread), np.empty(spread)
        for array in out:
            array.fill(7.0)  # nothing of what was there may stay
        sound = module.maximise(
            self.structure, self.shift, self.n_k, self.first, self.second, 1.0, reg_covar, *out
        )
        return sound, out


each_structure = pytest.mark.parametrize("structure", STRUCTURES)


@each_structure
@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (2, 17), (7, 2)])
@pytest.mark.parametrize("reg_covar", [0.0, 0.5])
def test_estimates_are_those_of_the_reference(
    structure: Structure, shape: tuple[int, int], reg_covar: float
) -> None:
    problem = Problem.make(structure, *shape)
    want_sound, want = problem.estimates(reference_estimates, reg_covar)
    assert want_sound is True
    for module in modules():
        sound, got = problem.estimates(module, reg_covar)
        assert sound is True
        for one, other in zip(got[:3], want[:3], strict=True):
            assert np.allclose(one, other, rtol=1e-13, atol=1e-13 * np.abs(other).max())
        assert np.allclose(got[3], want[3], rtol=1e-10, atol=1e-10 * np.abs(want[3]).max())


def without_rows(problem: Problem) -> None:
    problem.n_k[1] = 1e-11
    problem.first[1] = 1e-11


def overflown(problem: Problem) -> None:
    problem.second.flat[-1] = np.inf


def unknown(problem: Problem) -> None:
    problem.second.flat[0] = np.nan


def flat(problem: Problem) -> None:
    problem.second[...] = 0.0
    problem.first[...] = 0.0


def below_zero(problem: Problem) -> None:
    problem.second[...] *= -1


def far_away(problem: Problem) -> None:
    problem.shift += 1e25


@each_module
@each_structure
@pytest.mark.parametrize(
    "harm", [without_rows, overflown, unknown, flat, below_zero, far_away], ids=lambda f: f.__name__
)
def test_what_is_wrong_is_told(
    module: Estimates, structure: Structure, harm: Callable[[Problem], None]
) -> None:
    problem = Problem.make(structure)
    harm(problem)
    sound, (weights, means, _, _) = problem.estimates(module)
    assert sound is False
    assert weights.sum() == pytest.approx(1)
    if harm is without_rows:
        assert np.array_equal(means[1], problem.shift[1])
        assert weights[1] == pytest.approx(1e-11 / problem.n_k.sum(), rel=1e-3)


@each_module
@each_structure
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_are_those_of_the_densities(
    module: Estimates, structure: Structure, dtype: type[np.floating]
) -> None:
    _, (weights, means, covariances, factors) = Problem.make(structure).estimates(
        reference_estimates, 0.1
    )
    weights[2], weights[3] = 0.0, weights[2] + weights[3]
    center, deviations, log_scales = np.empty(3), np.empty((4, 3)), np.empty(4)
    module.density_constants(
        structure, weights, means, factors, dtype, center, deviations, log_scales
    )
    assert np.array_equal(center, center.astype(dtype))
    assert np.array_equal(deviations, deviations.astype(dtype))
    eps = float(np.finfo(dtype).eps)
    scale = np.abs(means).max()
    assert np.allclose(center, weights @ means, rtol=0, atol=2 * eps * scale)
    assert np.allclose(center + deviations, means, rtol=0, atol=2 * eps * scale)
    mixture = Parameters(structure_of(structure), weights, means, covariances, factors)
    full = mixture.full_covariances()
    peaks = [multivariate_normal(np.zeros(3), matrix).logpdf(np.zeros(3)) for matrix in full]
    with np.errstate(divide="ignore"):
        assert np.allclose(log_scales, np.log(weights) + peaks, rtol=1e-12)
    assert log_scales[2] == -np.inf


@each_module
def test_wrong_moments_and_estimates_are_refused(module: Estimates) -> None:
    problem = Problem.make("full")
    for name in ("shift", "n_k", "first", "second"):
        good = getattr(problem, name)
        for bad, error, message in (
            (good.astype(np.float32), TypeError, f"{name} must have dtype float64, got float32"),
            (np.repeat(good, 2, axis=0)[::2], ValueError, f"{name} must be C-contiguous"),
            (np.concatenate([good, good]), ValueError, "must have shape"),
        ):
            with pytest.raises(error, match=message):
                replace(problem, **{name: bad}).estimates(module)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shift must have shape \(K, D\), .*, got \(3,\)"):
        replace(problem, shift=problem.shift[0]).estimates(module)
    with pytest.raises(ValueError, match="structure must be one of"):
        replace(problem, structure="banded").estimates(module)  # type: ignore[arg-type]
    outputs = ("weights", "means", "covariances", "factors")
    out = dict(zip(outputs, problem.estimates(module)[1], strict=True))
    moments = problem.shift, problem.n_k, problem.first, problem.second
    for name in outputs:
        for bad, error in ((out[name].astype(np.float32), TypeError), (out[name][:-1], ValueError)):
            with pytest.raises(error, match=f"{name} must have "):
                module.maximise("full", *moments, 1.0, 0.0, **{**out, name: bad})  # type: ignore[arg-type]
    constants = {"center": np.empty(3), "deviations": np.empty((4, 3)), "log_scales": np.empty(4)}
    given = out["weights"], out["means"], out["factors"], np.float64
    for name, array in constants.items():
        with pytest.raises(ValueError, match=f"{name} must have shape"):
            module.density_constants("full", *given, **{**constants, name: array[:-1]})


def test_the_reference_runs_on_its_own_matrices(isa: str) -> None:
    module = dispatch.estimates()
    assert (module is reference_estimates) == (isa == "reference")
    assert module in modules()
