"""Kernels with noise and with what is told of rows, on every build, against SciPy's log-sum-exp."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from gaussmix._core import dispatch, reference
from gaussmix._core.density import GROUP_ROWS, STRUCTURES, Density, factors_shape
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.cli.kernel_cases import KernelCase, make_kernel_problem

pytestmark = pytest.mark.kernels

Array = NDArray[Any]
N, D = GROUP_ROWS + 77, 3
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}
TELLING = ("nothing", "codes", "owners", "float32", "float64")


def problem(
    structure: Structure, dtype: str, n_components: int, log_noise: float | None
) -> tuple[Rows, FloatArray, Density]:
    case = KernelCase(structure, dtype, "round", N, D, n_components, True, 1)
    X, weight, density, _, _ = make_kernel_problem(case)
    assert weight is not None
    return X, weight, density._replace(log_noise=log_noise)


def told_of(how: str, n_terms: int) -> Told | None:
    rng = np.random.default_rng(n_terms)
    if how == "nothing":
        return None
    if how in ("codes", "owners"):
        owners = np.arange(n_terms, dtype=np.int32) // (1 if how == "codes" else 2)
        return Told(rng.integers(-2, owners[-1] + 1, N, dtype=np.int32), owners.astype(np.int32))
    priors = np.exp(rng.normal(scale=6.0, size=(N, n_terms)))
    priors[rng.random(priors.shape) < 0.3] = 0.0
    priors[:, rng.integers(n_terms)] += 1e-20  # of any row something is possible
    return Told(priors.astype(how))


def log_prior(told: Told | None, n_terms: int) -> FloatArray:
    """What is told, row by row, as the definition has it."""
    found = np.zeros((N, n_terms))
    if told is None:
        return found
    for n, k in product(range(N), range(n_terms)):
        if told.owners is None:
            p = float(told.rows[n, k])
            found[n, k] = np.log(p) if p > 0 else -np.inf
        elif told.rows[n] >= 0 and told.rows[n] != told.owners[k]:
            found[n, k] = -np.inf
    return found


def terms(X: Rows, density: Density, told: Told | None) -> FloatArray:
    """All weighted log-densities (N, T) with what is told: those of components by the reference."""
    found = np.empty((N, len(density.means)))
    reference.log_density(X.astype(np.float64), density._replace(log_noise=None), found)
    if density.log_noise is not None:
        found = np.column_stack([found, np.full(N, density.log_noise)])
    return found + log_prior(told, density.n_terms)


def zeros(density: Density) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    k, d = density.means.shape
    second = np.zeros(factors_shape(density.structure, k, d))
    return np.zeros(density.n_terms), np.zeros((k, d)), second, np.zeros(2)


def all_of(
    X: Rows, weight: FloatArray | None, density: Density, told: Told | None, n_threads: int = 1
) -> dict[str, Array]:
    """What the kernels of the active build say."""
    kernels, sums, likelihood = dispatch.kernels(X), zeros(density), np.zeros(2)
    log_likelihood, resp = np.empty(len(X), X.dtype), np.empty((len(X), density.n_terms), X.dtype)
    labels, best = np.empty(len(X), np.int32), np.empty(len(X), X.dtype)
    kernels.log_likelihood(X, density, log_likelihood, n_threads, told)
    kernels.responsibilities(X, density, resp, n_threads, told)
    kernels.assign(X, density, labels, best, n_threads, told)
    kernels.accumulate(X, weight, density, *sums, n_threads, None, told)
    kernels.accumulate_likelihood(X, weight, density, likelihood, n_threads, told)
    names = "n_k", "first", "second", "totals"
    return {
        "log_likelihood": log_likelihood,
        "responsibilities": resp,
        "labels": labels,
        "best": best,
        "likelihood": likelihood,
        **dict(zip(names, sums, strict=True)),
    }


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("how", TELLING)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_noise_and_what_is_told_are_terms_of_the_log_sum_exp(
    structure: Structure, dtype: str, how: str
) -> None:
    tolerance = TOLERANCES[dtype]
    for n_components, log_noise in product((1, 2, 3, 7), (None, -4.0)):
        X, weight, density = problem(structure, dtype, n_components, log_noise)
        told = told_of(how, density.n_terms)
        found, joint = all_of(X, weight, density, told), terms(X, density, told)
        truth = logsumexp(joint, axis=1)
        resp = np.exp(joint - truth[:, None])
        scale = 1 + np.abs(truth)
        assert np.abs((found["log_likelihood"] - truth) / scale).max() < tolerance
        assert np.abs(found["responsibilities"] - resp).max() < 100 * tolerance
        chosen = joint[np.arange(N), found["labels"]]
        assert ((joint.max(axis=1) - chosen) / scale).max() < tolerance
        assert np.abs((found["best"] - joint.max(axis=1)) / scale).max() < tolerance
        weighted = resp * weight[:, None]
        assert np.allclose(found["n_k"], weighted.sum(axis=0), rtol=1e2 * tolerance, atol=1e-9)
        totals = weight @ truth, weight.sum()
        assert np.allclose(found["totals"], totals, rtol=10 * tolerance)
        assert np.allclose(found["likelihood"], totals, rtol=10 * tolerance)
        deviations = X - density.center - density.means[:, None]
        first = np.einsum("nk,knd->kd", weighted[:, :n_components], deviations)
        reach = np.einsum("nk,knd->kd", weighted[:, :n_components], np.abs(deviations))
        assert (np.abs(found["first"] - first) <= 1e2 * tolerance * reach + 1e-9).all()
        trace = np.einsum("nk,knd,knd->", weighted[:, :n_components], deviations, deviations)
        second = found["second"]
        if structure in ("full", "tied"):
            second = np.trace(second, axis1=-2, axis2=-1)
        assert np.isclose(second.sum(), trace, rtol=1e2 * tolerance)


@pytest.mark.usefixtures("compiled_isa")
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_what_says_nothing_leaves_every_bit(n_components: int, dtype: str) -> None:
    X, weight, density = problem("full", dtype, n_components, None)
    plain = all_of(X, weight, density, None)
    unknown = Told(np.full(N, -1, np.int32), np.arange(n_components, dtype=np.int32))
    for told in (unknown, Told(np.ones((N, n_components), dtype))):
        for name, array in all_of(X, weight, density, told).items():
            assert np.array_equal(array, plain[name]), name


@pytest.mark.usefixtures("compiled_isa")
@pytest.mark.parametrize("how", TELLING)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_threads_and_blocks_leave_every_bit(dtype: str, how: str) -> None:
    X, weight, density = problem("diag", dtype, 4, -3.0)
    told = told_of(how, 5)
    whole = all_of(X, weight, density, told)
    for name, array in all_of(X, weight, density, told, 3).items():
        assert np.array_equal(array, whole[name]), name
    sums = zeros(density)
    for part in (slice(0, GROUP_ROWS), slice(GROUP_ROWS, None)):
        some = None if told is None else told[part]
        dispatch.kernels(X).accumulate(X[part], weight[part], density, *sums, 1, None, some)
    for total, name in zip(sums, ("n_k", "first", "second", "totals"), strict=True):
        assert np.array_equal(total, whole[name]), name


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_prior_below_normal_numbers_is_0(dtype: str) -> None:
    X, _, density = problem("spherical", dtype, 2, None)
    tiny = np.finfo(dtype).tiny
    priors = np.ones((N, 2), dtype)
    priors[:, 0] = tiny / 2
    resp = np.empty((N, 2), dtype)
    dispatch.kernels(X).responsibilities(X, density, resp, 1, Told(priors))
    assert np.array_equal(resp[:, 1], np.ones(N))
    priors[:, 1] = tiny  # the least that counts, and alone
    dispatch.kernels(X).responsibilities(X, density, resp, 1, Told(priors))
    assert np.array_equal(resp[:, 1], np.ones(N))


def test_bad_arguments_raise_the_same_errors_everywhere(isa: str) -> None:
    X, density, out = (
        np.zeros((4, 2)),
        Density("full", np.zeros(2), np.zeros((3, 2)), np.tile(np.eye(2), (3, 1, 1)), np.zeros(3)),
        np.zeros(4),
    )
    kernels = dispatch.load(isa).float64
    codes, owners = np.zeros(4, np.int32), np.arange(3, dtype=np.int32)
    kernels.log_likelihood(X, density, out, 1, Told(codes, owners))
    for told, error, message in (
        (Told(codes[:3].copy(), owners), ValueError, r"codes must have shape \(4,\), got \(3,\)"),
        (Told(codes.astype(np.int64), owners), TypeError, "codes must have dtype int32, got int64"),  # type: ignore[arg-type]
        (Told(codes, owners[:2].copy()), ValueError, r"owners must have shape \(3,\), got \(2,\)"),
        (Told(np.ones((4, 2))), ValueError, r"priors must have shape \(4, 3\), got \(4, 2\)"),
        (Told(np.ones((4, 3), int)), TypeError, "priors must have dtype float32 or float64"),
        (Told(np.ones((4, 6))[:, ::2]), ValueError, "priors must be C-contiguous"),
    ):
        with pytest.raises(error, match=message):
            kernels.log_likelihood(X, density, out, 1, told)
    n_k, first, _, totals = zeros(density)
    noisy = density._replace(log_noise=-1.0)
    with pytest.raises(ValueError, match=r"log_noise must be None for hard assignment, got -1.0"):
        kernels.accumulate_hard(X, None, noisy, None, np.zeros(4), first, totals)
    with pytest.raises(ValueError, match=r"n_k must have shape \(4,\), got \(3,\)"):
        kernels.accumulate_hard(X, None, noisy, None, n_k, first, totals)


def test_what_is_told_has_parts() -> None:
    told = told_of("owners", 4)
    assert told is not None
    part = told[100:]
    assert np.array_equal(part.rows, told.rows[100:])
    assert part.owners is told.owners
    assert (len(told), len(part)) == (N, N - 100)
