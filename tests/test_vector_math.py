"""Exponentials and logarithms of the compiled builds, seen through posteriors of known values.

In one dimension, components of log-scale 0 and factor 0 or 1 at mean 0 have log-densities 0 and
-x^2/2, and for x of few enough bits the square is exact. Kernels take powers of two: with factor
sqrt(2 ln 2) the density is 2^(-x^2), and of that exponent nothing is rounded either.
"""

from collections.abc import Callable
from functools import partial

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.density import Density
from gaussmix._core.types import FloatArray, Rows

DTYPES = ("float32", "float64")
BITS = {"float32": 11, "float64": 25}  # of an x whose square is exact
# exp(-t) counts up to LAST, and is nothing from ZERO on.
LAST = {"float32": 69.0, "float64": 686.0}
POWER_OF_TWO = np.sqrt(2 * np.log(2))  # the factor
FLAT = {"float32": 1e-8, "float64": 1e-30}  # a factor next to 0, whose square is still a number
ZERO = {"float32": 70.0, "float64": 687.0}

pytestmark = pytest.mark.usefixtures("compiled_isa")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def one_dimensional(factors: FloatArray) -> Density:
    """Components of log-density -(factor x)^2 / 2."""
    n_components = len(factors)
    zeros = np.zeros(n_components)
    return Density("spherical", np.zeros(1), zeros[:, None], factors, zeros)


def few_bits(x: FloatArray, dtype: str) -> Rows:
    """Rows (N, 1) of numbers near x whose squares are exact in their dtype."""
    mantissa, exponent = np.frexp(x)
    scale = 2.0 ** BITS[dtype]
    return np.ldexp(np.rint(mantissa * scale) / scale, exponent).astype(dtype)[:, None]


def grid(largest: float, dtype: str) -> Rows:
    """Rows x with x^2/2 from 0 to `largest`, dense near 0 and everywhere else."""
    halves = np.concatenate(
        [[0.0], np.geomspace(1e-30, largest, 1500), np.linspace(0.0, largest, 1500)]
    )
    X = few_bits(np.sqrt(2 * halves), dtype)
    return np.ascontiguousarray(X[0.5 * X[:, 0].astype(float) ** 2 < largest])


def responsibilities(X: Rows, density: Density) -> FloatArray:
    out = np.full((len(X), len(density.means)), np.nan, dtype=X.dtype)
    dispatch.kernels(X).responsibilities(X, density, out)
    return out.astype(np.float64)


def log_likelihoods(X: Rows, density: Density) -> FloatArray:
    out = np.full(len(X), np.nan, dtype=X.dtype)
    dispatch.kernels(X).log_likelihood(X, density, out)
    return out.astype(np.float64)


def exact(X: Rows, function: Callable[[mpmath.mpf], mpmath.mpf]) -> list[mpmath.mpf]:
    """A function of x^2/2 in 40 digits."""
    with mpmath.workdps(40):
        return [function(mpmath.mpf(float(x)) ** 2 / 2) for x in X[:, 0]]


def units(got: FloatArray, want: list[mpmath.mpf], dtype: str) -> FloatArray:
    """Relative errors in units of the precision."""
    with mpmath.workdps(40):
        errors = [abs((mpmath.mpf(g) - w) / w) for g, w in zip(got.tolist(), want, strict=True)]
    return np.asarray(errors, np.float64) / float(np.finfo(dtype).eps)


@each_dtype
def test_powers_of_two_are_accurate_down_to_underflow(dtype: str) -> None:
    X = grid(LAST[dtype] / (2 * np.log(2)) - 0.1, dtype)
    got = responsibilities(X, one_dimensional(np.array([FLAT[dtype], POWER_OF_TWO])))
    smaller = exact(X, lambda t: 1 / (1 + mpmath.mpf(2) ** (2 * t)))
    larger = exact(X, lambda t: 1 / (1 + mpmath.mpf(2) ** (-2 * t)))
    assert units(got[:, 1], smaller, dtype).max() <= 2
    assert units(got[:, 0], larger, dtype).max() <= 2


@each_dtype
def test_exponentials_are_as_accurate_as_a_rounded_exponent(dtype: str) -> None:
    X = grid(LAST[dtype], dtype)
    got = responsibilities(X, one_dimensional(np.array([0.0, 1.0])))
    halves = 0.5 * X[:, 0].astype(np.float64) ** 2  # of which half a unit may be rounded
    smaller = exact(X, lambda t: 1 / (1 + mpmath.exp(t)))
    larger = exact(X, lambda t: 1 / (1 + mpmath.exp(-t)))
    assert (units(got[:, 1], smaller, dtype) <= 2 + 0.7 * halves).all()
    assert units(got[:, 0], larger, dtype).max() <= 2


@each_dtype
def test_exp_underflows_to_zero_and_never_to_anything_else(dtype: str) -> None:
    halves = np.concatenate(
        [np.linspace(LAST[dtype], ZERO[dtype], 2000), np.geomspace(ZERO[dtype], 1e35, 2000)]
    )
    X = few_bits(np.sqrt(2 * halves), dtype)
    got = responsibilities(X, one_dimensional(np.array([0.0, 1.0])))
    assert np.array_equal(got[:, 0], np.ones(len(X)))
    assert (got[:, 1] >= 0).all()
    assert (got[:, 1] <= 2 * np.exp(-LAST[dtype])).all()
    assert not got[halves >= ZERO[dtype] * (1 + 1e-3), 1].any()


@each_dtype
def test_log_is_accurate_from_one_to_two(dtype: str) -> None:
    X = grid(LAST[dtype], dtype)
    got = log_likelihoods(X, one_dimensional(np.array([0.0, 1.0])))
    want = exact(X, lambda t: mpmath.log1p(mpmath.exp(-t)))
    # The sum 1 + exp(-t) is rounded before its logarithm is taken.
    error = np.abs(got - np.array(want, float))
    assert (error <= 2 * np.finfo(dtype).eps).all()


def log_sum(n_others: int, t: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log1p(n_others * mpmath.exp(-t))


@each_dtype
def test_log_is_accurate_for_sums_of_many(dtype: str) -> None:
    X = grid(LAST[dtype], dtype)[::10].copy()
    for n_others in (2, 3, 5, 6, 11, 22):
        got = log_likelihoods(X, one_dimensional(np.array([0.0] + n_others * [1.0])))
        want = exact(X, partial(log_sum, n_others))
        roundings = 3 + n_others / 2  # half a unit when a term is added, the rest as above
        error = np.abs(got - np.array(want, float))
        assert (error <= roundings * np.finfo(dtype).eps).all(), n_others


@each_dtype
def test_log_of_whole_numbers(dtype: str) -> None:
    X = np.zeros((5, 1), dtype)
    for total in (*range(1, 130), 1023, 1024, 1025, 4096):
        got = log_likelihoods(X, one_dimensional(np.zeros(total)))
        error = np.abs(got - float(mpmath.log(total)))
        assert (error <= np.finfo(dtype).eps * max(1.0, np.log(total))).all(), total
    assert not log_likelihoods(X, one_dimensional(np.zeros(1))).any()


@each_dtype
def test_sums_share_a_logarithm_whatever_their_number(dtype: str) -> None:
    X = np.zeros((500, 1), dtype)
    for total in (3, 127, 128, 255, 256, 4095, 4096):
        density = one_dimensional(np.zeros(total))
        n_k, first, second = np.zeros(total), np.zeros((total, 1)), np.zeros(total)
        totals = np.zeros(2)
        dispatch.kernels(X).accumulate(X, None, density, n_k, first, second, totals)
        tolerance = 20 * np.finfo(dtype).eps
        assert np.allclose(totals, [500 * np.log(total), 500], rtol=tolerance), total
        assert np.allclose(n_k, 500 / total, rtol=tolerance), total


@each_dtype
def test_a_lone_component_has_all_and_its_own_density(dtype: str) -> None:
    X = grid(1e30, dtype)
    density = one_dimensional(np.ones(1))
    assert np.array_equal(responsibilities(X, density), np.ones((len(X), 1)))
    own = -0.5 * X[:, 0].astype(np.float64) ** 2
    assert np.allclose(log_likelihoods(X, density), own, rtol=1.5 * np.finfo(dtype).eps, atol=0)


@each_dtype
def test_no_number_gives_nan(dtype: str) -> None:
    limits = np.finfo(dtype)
    positive = [0.0, limits.smallest_subnormal, limits.tiny, limits.eps, 1.0, limits.max**0.5]
    numbers: NDArray[np.floating] = np.array([*positive, limits.max], dtype)
    X = np.concatenate([numbers, -numbers])[:, None]
    for factors in ([0.0], [1.0], [0.0, 1.0], [1e-3, 1.0, 1e3]):
        density = one_dimensional(np.array(factors))
        resp = responsibilities(X, density)
        assert np.allclose(resp.sum(axis=1), 1.0)
        assert ((resp >= 0) & (resp <= 1)).all()
        assert np.isfinite(log_likelihoods(X, density)).all()
