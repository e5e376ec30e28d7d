"""Precision factors of many matrices: the compiled ones against the reference and against NumPy."""

from importlib.util import find_spec

import numpy as np
import pytest

from gaussmix._core import dispatch, reference
from gaussmix._core.constants import FloatArray
from gaussmix._core.interface import Matrices


def modules() -> list[Matrices]:
    if find_spec("gaussmix._core.factors") is None:
        return [reference]
    from gaussmix._core import factors

    return [reference, factors]


each_module = pytest.mark.parametrize("module", modules())
each_size = pytest.mark.parametrize("n_features", [1, 2, 3, 5, 16, 65])


def matrices(n_features: int, n: int = 4) -> FloatArray:
    """Positive definite matrices (n, D, D) of all sizes and scales."""
    rng = np.random.default_rng(n_features)
    roots = rng.normal(size=(n, n_features, 2 * n_features))
    scales = 10.0 ** rng.uniform(-6, 6, size=(n, n_features))
    covariances = roots @ roots.transpose(0, 2, 1) * scales[:, :, None] * scales[:, None, :]
    return (covariances + covariances.transpose(0, 2, 1)) / 2


def factorised(module: Matrices, covariances: FloatArray) -> FloatArray:
    out = np.full_like(covariances, 7.0)  # nothing of what was there may stay
    module.precision_factors(covariances, out)
    return out


@each_module
@each_size
def test_factors_are_upper_and_make_the_covariance_one(module: Matrices, n_features: int) -> None:
    covariances = matrices(n_features)
    factors = factorised(module, covariances)
    assert np.array_equal(factors, np.triu(factors))
    assert (np.diagonal(factors, axis1=1, axis2=2) > 0).all()
    ones = factors.transpose(0, 2, 1) @ covariances @ factors  # U' C U
    assert np.allclose(ones, np.eye(n_features), atol=1e-9)


@each_size
def test_compiled_factors_have_the_bits_of_the_reference(n_features: int) -> None:
    covariances = matrices(n_features)
    results = [factorised(module, covariances) for module in modules()]
    assert all(np.array_equal(results[0], other) for other in results)


@each_module
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_what_is_not_positive_definite_is_nan_and_harms_no_other(
    module: Matrices, bad: float
) -> None:
    covariances = matrices(3)
    expected = factorised(module, covariances)
    covariances[1] = covariances[2, 2, 2] = bad
    factors = factorised(module, covariances)
    assert np.isnan(factors[1:3]).all()
    assert np.array_equal(factors[[0, 3]], expected[[0, 3]])


@each_module
def test_only_lower_triangles_are_read(module: Matrices) -> None:
    covariances = matrices(4)
    expected = factorised(module, covariances)
    covariances[:, 0, 1:] = np.nan
    assert np.array_equal(factorised(module, covariances), expected)


@each_module
def test_no_matrices_have_no_factors(module: Matrices) -> None:
    assert factorised(module, np.empty((0, 3, 3))).shape == (0, 3, 3)


@each_module
def test_wrong_arrays_are_refused(module: Matrices) -> None:
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


def test_the_reference_runs_on_its_own_matrices(isa: str) -> None:
    module = dispatch.matrices()
    assert (module is reference) == (isa == "reference")
    assert module in modules()
