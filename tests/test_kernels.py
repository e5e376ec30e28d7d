"""Every kernel of every compiled build against the reference, and what passes must not change."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from inspect import getdoc, isfunction
from itertools import combinations, product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from gaussmix._core import dispatch, reference, reference_bayesian, reference_estimates
from gaussmix._core.density import GROUP_ROWS, LOG_LOWEST, STRUCTURES, Density, factors_shape
from gaussmix._core.interface import Bayesian, Estimates, Kernels
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.cli.kernel_cases import make_mixture

pytestmark = pytest.mark.kernels

Array: TypeAlias = NDArray[Any]

BUILDS = dispatch.available() if find_spec("gaussmix._core.build_info") else ("reference",)
MODULES = [
    dispatch.load(name).kernels(np.dtype(dtype)) for name in BUILDS for dtype in ("f4", "f8")
]
GROUP = GROUP_ROWS
BLOCK = MODULES[0].BLOCK_ROWS
PANELS = sorted({module.PANEL_ROWS for module in MODULES})

AROUND = (BLOCK - 1, BLOCK, BLOCK + 1, 1000, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP + BLOCK + 1)
SAMPLES = sorted({1, 2, 3, *(panel + i for panel in PANELS for i in (0, 1)), *AROUND})
# Tiles have up to 6 components and 6 features.
FEATURES = (1, 2, 3, 5, 8, 17)
COMPONENTS = (1, 2, 3, 4, 5, 6, 7, 13)
THREADS = (1, 2, 3)
KINDS = ("round", "elongated", "offset")

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
FAR = {"float32": 1e30, "float64": 1e200}  # its square overflows

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


class Case(NamedTuple):
    """One problem that every build is given."""

    structure: Structure
    dtype: str
    n_features: int
    n_components: int
    n_samples: int = 2 * GROUP + 100
    n_threads: int = 1
    kind: str = "round"
    weighted: bool = True

    def __str__(self) -> str:
        return "-".join(map(str, self))


class Problem(NamedTuple):
    X: Rows
    sample_weight: FloatArray | None
    density: Density


class Truth(NamedTuple):
    """What the reference makes of a problem in float64, and what its log-densities are made of."""

    log_prob: FloatArray  # (N, K)
    scale: FloatArray  # (N, K), the larger of the two terms of a log-density, at least 1
    log_likelihood: FloatArray  # (N,)
    resp: FloatArray  # (N, K)
    row_scale: FloatArray  # (N,), the mean scale under the posterior


class Sums(NamedTuple):
    """The arrays that `accumulate` adds to."""

    n_k: FloatArray
    first: FloatArray
    second: FloatArray
    totals: FloatArray


def cases() -> list[Case]:
    """Every structure, dtype, D and K with each other, that is every tile; the rest goes round."""
    tiles = product(STRUCTURES, TOLERANCES, FEATURES, COMPONENTS)
    return [
        Case(
            *tile,
            n_samples=SAMPLES[(3 * i + i // 24) % len(SAMPLES)],  # meets all, whatever their number
            n_threads=THREADS[i % len(THREADS)],
            kind=KINDS[i // 3 % len(KINDS)],
            weighted=i // 9 % 2 == 1,
        )
        for i, tile in enumerate(tiles)
    ]


def larger_cases() -> Iterator[Case]:
    """Many features or components: blocks of fewer rows, down to a single panel."""
    for structure, dtype in product(STRUCTURES, TOLERANCES):
        yield Case(structure, dtype, 130, 3, GROUP + 1, 2)
        yield Case(structure, dtype, 2, 400, GROUP + 1, 2)
    for dtype in TOLERANCES:
        yield Case("spherical", dtype, 1, 20_000, 37, 2)


@lru_cache(maxsize=1)  # cases come one after another, each for all builds
def make_problem(case: Case) -> Problem:
    """A mixture of spread about 1, a sample of it, one row in fifty far out, and weights."""
    rng = np.random.default_rng([case.n_samples, case.n_features, case.n_components])
    sizes = case.n_components, case.n_features
    parameters = make_mixture(case.structure, case.dtype, case.kind, *sizes, rng)
    labels = rng.integers(case.n_components, size=case.n_samples)
    noise = rng.normal(size=(case.n_samples, case.n_features))
    noise *= np.where(rng.random(case.n_samples) < 0.02, 4.0, 1.0)[:, None]
    axes = np.linalg.cholesky(parameters.full_covariances())
    X = parameters.means[labels]
    for k in np.unique(labels):
        X[labels == k] += noise[labels == k] @ axes[k].T
    weight = rng.uniform(0.0, 3.0, size=case.n_samples) if case.weighted else None
    return Problem(X.astype(case.dtype), weight, parameters.density(case.dtype))


def zero_sums(density: Density) -> Sums:
    k, d = density.means.shape
    second = np.zeros(factors_shape(density.structure, k, d))
    return Sums(np.zeros(k), np.zeros((k, d)), second, np.zeros(2))


@lru_cache(maxsize=1)
def solve(case: Case) -> Truth:
    X, _, density = make_problem(case)
    X = X.astype(np.float64)
    log_prob = np.empty((len(X), len(density.means)))
    resp, log_likelihood = np.empty_like(log_prob), np.empty(len(X))
    reference.log_density(X, density, log_prob)
    reference.log_likelihood(X, density, log_likelihood)
    reference.responsibilities(X, density, resp)
    quadratic = density.log_scales - log_prob
    scale = np.maximum(np.maximum(np.abs(density.log_scales), quadratic), 1.0)
    return Truth(log_prob, scale, log_likelihood, resp, (resp * scale).sum(axis=1))


@lru_cache(maxsize=1)
def true_sums(case: Case) -> Sums:
    problem = make_problem(case)
    sums = zero_sums(problem.density)
    X = problem.X.astype(np.float64)
    reference.accumulate(X, problem.sample_weight, problem.density, *sums)
    return sums


@lru_cache(maxsize=1)
def contributions(case: Case) -> Sums:
    """Sums of the absolute contributions to `true_sums`.

    The relative error of a responsibility is the absolute one of its log-density, so it counts as
    often. One below 2^-100 is 0 in float32, so that much counts, too.
    """
    (X, sample_weight, density), truth = make_problem(case), solve(case)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    resp = weight[:, None] * (truth.resp * (truth.scale + truth.row_scale[:, None]) + 1e-23)
    z = X.astype(np.float64) - density.center
    deviations = np.abs(z - density.means[:, None, :])  # (K, N, D)
    reach = np.abs(z) + np.abs(density.means[:, None, :])
    weighted = resp.T[:, :, None] * deviations
    if density.structure in ("full", "tied"):
        second = weighted.transpose(0, 2, 1) @ reach
        second = second if density.structure == "full" else second.sum(axis=0)
    else:
        second = (weighted * deviations).sum(axis=1)
        second = second if density.structure == "diag" else second.sum(axis=1)
    totals = np.array([weight @ truth.row_scale, weight.sum()])
    return Sums(resp.sum(axis=0), weighted.sum(axis=1), second, totals)


def guarded(shape: tuple[int, ...], dtype: DTypeLike) -> tuple[Array, Array]:
    """An output array, and the memory behind it, which no kernel may touch."""
    memory = np.full((shape[0] + 16, *shape[1:]), -77, dtype=dtype)
    return memory[: shape[0]], memory[shape[0] :]


def output_of(kernel: Callable[..., None], case: Case, shape: tuple[int, ...]) -> FloatArray:
    """What a kernel writes into an array of that shape."""
    X, _, density = make_problem(case)
    out, beyond = guarded(shape, X.dtype)
    kernel(X, density, out, case.n_threads)
    assert (beyond == -77).all()
    return out.astype(np.float64)


def check_log_density(kernels: Kernels, case: Case) -> None:
    truth = solve(case)
    out = output_of(kernels.log_density, case, truth.log_prob.shape)
    assert_close(out, truth.log_prob, truth.scale, case)


def check_log_likelihood(kernels: Kernels, case: Case) -> None:
    truth = solve(case)
    out = output_of(kernels.log_likelihood, case, truth.log_likelihood.shape)
    assert_close(out, truth.log_likelihood, truth.row_scale, case)


def check_responsibilities(kernels: Kernels, case: Case) -> None:
    truth = solve(case)
    out = output_of(kernels.responsibilities, case, truth.resp.shape)
    assert_close(out, truth.resp, np.ones(1), case)


def check_assign(kernels: Kernels, case: Case) -> None:
    (X, _, density), truth = make_problem(case), solve(case)
    labels, beyond_labels = guarded((len(X),), np.int32)
    best, beyond_best = guarded((len(X),), X.dtype)
    kernels.assign(X, density, labels, best, case.n_threads)
    assert (beyond_labels == -77).all()
    assert (beyond_best == -77).all()
    assert_most_probable(labels, case)
    highest = truth.log_prob.max(axis=1)
    assert_close(best, highest, of_labels(truth.scale, labels), case)
    alone = np.empty_like(labels)
    kernels.assign(X, density, alone, None, case.n_threads)
    assert np.array_equal(alone, labels)


def check_accumulate(kernels: Kernels, case: Case) -> None:
    problem = make_problem(case)
    sums = zero_sums(problem.density)
    kernels.accumulate(*problem, *sums, case.n_threads)
    for got, want, scale in zip(sums, true_sums(case), contributions(case), strict=True):
        assert_close(got, want, scale, case)
    if case.structure in ("full", "tied"):
        assert np.array_equal(sums.second, np.swapaxes(sums.second, -1, -2))
    check_accumulate_labelled(kernels, case)


def check_accumulate_labelled(kernels: Kernels, case: Case) -> None:
    """Rows that have labels: the sums of each component's own, of which some have none."""
    X, sample_weight, density = make_problem(case)
    n_components, labels = len(density.means), np.arange(len(X), dtype=np.int32) % 11 - 1
    sums, want, scale = (zero_sums(density) for _ in range(3))
    kernels.accumulate(X, sample_weight, density, *sums, case.n_threads, labels)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    z = X.astype(np.float64) - density.center
    resp = (labels[:, None] == np.arange(n_components)) * weight[:, None]
    for k in range(min(n_components, 10)):  # the others have no rows
        own = resp[:, k, None]
        for into, deviations in (
            (want, z - density.means[k]),
            (scale, abs(z) + abs(density.means[k])),
        ):
            into.n_k[k] = own.sum()
            into.first[k] = (own * deviations).sum(axis=0)
            products = (own * deviations).T @ deviations
            if case.structure == "full":
                into.second[k] = products
            elif case.structure == "tied":
                into.second[...] += products
            else:
                squares = products.diagonal()
                into.second[k] = squares if case.structure == "diag" else squares.sum()
    want.totals[1] = scale.totals[1] = weight.sum()
    for got, expected, terms in zip(sums, want, scale, strict=True):
        assert_close(got, expected, terms, case)


def check_accumulate_hard(kernels: Kernels, case: Case) -> None:
    problem, truth = make_problem(case), solve(case)
    X, sample_weight, density = problem
    labels, beyond = guarded((len(X),), np.int32)
    n_k, first, _, totals = zero_sums(density)
    kernels.accumulate_hard(*problem, labels, n_k, first, totals, case.n_threads)
    assert (beyond == -77).all()
    assert_most_probable(labels, case)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    z, means = X.astype(np.float64) - density.center, density.means[labels]
    true_first, first_scale = np.zeros_like(first), np.zeros_like(first)
    np.add.at(true_first, labels, weight[:, None] * (z - means))
    np.add.at(first_scale, labels, weight[:, None] * (abs(z) + abs(means)))
    true_n_k = np.zeros_like(n_k)
    np.add.at(true_n_k, labels, weight)
    assert_close(n_k, true_n_k, true_n_k, case)
    assert_close(first, true_first, first_scale, case)
    true_totals = np.array([weight @ truth.log_prob.max(axis=1), weight.sum()])
    scales = np.array([weight @ of_labels(truth.scale, labels), weight.sum()])
    assert_close(totals, true_totals, scales, case)


def check_accumulate_likelihood(kernels: Kernels, case: Case) -> None:
    totals = np.zeros(2)
    kernels.accumulate_likelihood(*make_problem(case), totals, case.n_threads)
    assert_close(totals, true_sums(case).totals, contributions(case).totals, case)


CHECKS = {
    "log_density": check_log_density,
    "log_likelihood": check_log_likelihood,
    "responsibilities": check_responsibilities,
    "assign": check_assign,
    "accumulate": check_accumulate,
    "accumulate_hard": check_accumulate_hard,
    "accumulate_likelihood": check_accumulate_likelihood,
}


def assert_close(got: Array, want: FloatArray, scale: FloatArray, case: Case) -> None:
    """Errors are at most the dtype's tolerance times a scale; NaN is never close."""
    error = np.abs(got - want)
    close = error <= TOLERANCES[case.dtype] * scale
    assert close.all(), f"error {np.max(error / scale):.1e} of the scale"


def assert_most_probable(labels: NDArray[np.int32], case: Case) -> None:
    """Labels are those of the largest log-density, or of one that rounding cannot tell from it."""
    truth = solve(case)
    assert labels.min() >= 0
    assert labels.max() < case.n_components
    chosen = of_labels(truth.log_prob, labels)
    assert_close(chosen, truth.log_prob.max(axis=1), of_labels(truth.scale, labels), case)


def of_labels(array: FloatArray, labels: NDArray[np.int32]) -> FloatArray:
    return array[np.arange(len(labels)), labels]


@pytest.mark.parametrize("case", [*cases(), *larger_cases()], ids=str)
def test_every_build_agrees_with_the_reference(case: Case, compiled: tuple[str, ...]) -> None:
    for isa, (name, check) in product(compiled, CHECKS.items()):
        build = dispatch.load(isa)
        try:
            check(build.kernels(np.dtype(case.dtype)), case)
        except AssertionError as error:
            raise AssertionError(f"{name} of {isa}: {error}") from error


def test_any_two_sizes_structures_and_dtypes_meet_in_a_case() -> None:
    columns = list(zip(*cases(), strict=True))
    for one, other in combinations(columns, 2):
        assert set(zip(one, other, strict=True)) == set(product(set(one), set(other)))
    assert set(columns[4]) == set(SAMPLES)
    assert set(columns[6]) == set(KINDS)


def test_builds_differ_in_their_panels_alone() -> None:
    for module in MODULES:
        assert vars(module)["GROUP_ROWS"] == GROUP
        assert module.BLOCK_ROWS == BLOCK
        assert GROUP % BLOCK == BLOCK % module.PANEL_ROWS == 0


def first_lines(module: object, protocol: type) -> dict[str, str]:
    """The first line of the docstring of every function that a protocol asks for, by name."""
    names = [name for name, value in vars(protocol).items() if isfunction(value) and name[0] != "_"]
    assert names
    return {name: (getdoc(getattr(module, name)) or "").split("\n")[0] for name in names}


def test_compiled_functions_say_what_the_reference_says(compiled: tuple[str, ...]) -> None:
    says = first_lines(reference, Kernels)
    assert all(says.values())
    for isa, dtype in product(compiled, TOLERANCES):
        assert first_lines(dispatch.load(isa).kernels(np.dtype(dtype)), Kernels) == says
    assert first_lines(dispatch.estimates(), Estimates) == first_lines(
        reference_estimates, Estimates
    )
    assert first_lines(dispatch.bayesian(), Bayesian) == first_lines(reference_bayesian, Bayesian)


def run_all(problem: Problem, n_threads: int = 1) -> dict[str, Array]:
    """All that the kernels of the active build make of a problem, by name."""
    X, sample_weight, density = problem
    kernels = dispatch.kernels(X)
    log_prob = np.full((len(X), len(density.means)), np.nan, dtype=X.dtype)
    resp, log_likelihood, best = log_prob.copy(), log_prob[:, 0].copy(), log_prob[:, 0].copy()
    labels, hard_labels = np.full(len(X), -1, np.int32), np.full(len(X), -1, np.int32)
    sums, hard, likelihood = zero_sums(density), zero_sums(density), np.zeros(2)
    kernels.log_density(X, density, log_prob, n_threads)
    kernels.log_likelihood(X, density, log_likelihood, n_threads)
    kernels.responsibilities(X, density, resp, n_threads)
    kernels.assign(X, density, labels, best, n_threads)
    kernels.accumulate(X, sample_weight, density, *sums, n_threads)
    kernels.accumulate_hard(
        X, sample_weight, density, hard_labels, hard.n_k, hard.first, hard.totals, n_threads
    )
    kernels.accumulate_likelihood(X, sample_weight, density, likelihood, n_threads)
    return {
        "log_density": log_prob,
        "log_likelihood": log_likelihood,
        "responsibilities": resp,
        "labels": labels,
        "best": best,
        "hard_labels": hard_labels,
        "soft likelihood": likelihood,
        **{f"soft {name}": array for name, array in sums._asdict().items()},
        **{f"hard {name}": array for name, array in hard._asdict().items()},
    }


def assert_same_bits(one: dict[str, Array], other: dict[str, Array]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


def assert_no_nan(results: dict[str, Array]) -> None:
    assert [name for name, array in results.items() if np.isnan(array).any()] == []


def assert_same_sums(one: dict[str, Array], other: dict[str, Array], dtype: str) -> None:
    """Sums of moderate numbers, equal but for rounding."""
    for name in (name for name in one if name.startswith(("soft ", "hard "))):
        scale = max(1.0, float(np.abs(other[name]).max()))
        error = np.abs(one[name] - other[name])
        assert (error <= TOLERANCES[dtype] * scale).all(), name


@pytest.mark.usefixtures("compiled_isa")
@each_dtype
@each_structure
def test_any_number_of_threads_gives_the_same_bits(structure: Structure, dtype: str) -> None:
    problem = make_problem(Case(structure, dtype, 5, 7, 6 * GROUP + 100))
    alone = run_all(problem)
    for n_threads in (2, 3, 4):
        assert_same_bits(run_all(problem, n_threads), alone)


@pytest.mark.usefixtures("compiled_isa")
def test_the_same_bits_where_sums_are_too_large_for_all_groups_to_be_in_flight() -> None:
    # One group's sums fill the memory that groups in flight may have: a group for each thread.
    X = np.random.default_rng(0).normal(size=(GROUP + 1, 1500)).astype(np.float32)
    means = np.zeros((1, 1500))
    density = Density("full", np.zeros(1500), means, np.eye(1500)[None], np.zeros(1))
    one, two = zero_sums(density), zero_sums(density)
    dispatch.kernels(X).accumulate(X, None, density, *one, 1)
    dispatch.kernels(X).accumulate(X, None, density, *two, 2)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)
    rows = X.astype(np.float64)
    assert one.n_k == [GROUP + 1]
    assert np.allclose(one.second[0], rows.T @ rows, rtol=0, atol=1e-5 * (GROUP + 1))


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_chunks_of_whole_groups_give_the_same_bits(structure: Structure, dtype: str) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7, 3 * GROUP + 300))
    assert weight is not None
    kernels = dispatch.kernels(X)
    whole, chunks = zero_sums(density), zero_sums(density)
    hard, hard_chunks = zero_sums(density), zero_sums(density)
    likelihood = np.zeros(2)
    kernels.accumulate(X, weight, density, *whole)
    kernels.accumulate_hard(X, weight, density, None, hard.n_k, hard.first, hard.totals)
    for a, b in ((0, GROUP), (GROUP, 3 * GROUP), (3 * GROUP, len(X))):
        rows, w = X[a:b], weight[a:b]
        kernels.accumulate(rows, w, density, *chunks)
        n_k, first, _, totals = hard_chunks
        kernels.accumulate_hard(rows, w, density, None, n_k, first, totals)
        kernels.accumulate_likelihood(rows, w, density, likelihood)
    assert likelihood.tobytes() == whole.totals.tobytes()
    assert_same_bits(chunks._asdict(), whole._asdict())
    assert_same_bits(hard_chunks._asdict(), hard._asdict())


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_sums_are_added_to_what_is_there(structure: Structure, dtype: str) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7, GROUP))
    kernels = dispatch.kernels(X)
    fresh, added = zero_sums(density), zero_sums(density)
    hard, hard_added = zero_sums(density), zero_sums(density)
    for array in (*added, *hard_added):
        array[...] = 3.5
    kernels.accumulate(X, weight, density, *fresh)
    kernels.accumulate(X, weight, density, *added)
    kernels.accumulate_hard(X, weight, density, None, hard.n_k, hard.first, hard.totals)
    n_k, first, _, totals = hard_added
    kernels.accumulate_hard(X, weight, density, None, n_k, first, totals)
    for zero, start in zip((*fresh, *hard), (*added, *hard_added), strict=True):
        assert np.allclose(start, zero + 3.5, rtol=1e-13, atol=1e-11)


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_inputs_may_be_read_only_and_are_not_modified(structure: Structure, dtype: str) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7))
    assert weight is not None
    expected = run_all(Problem(X, weight, density))
    originals: list[Array] = [X, weight, *density[1:5]]
    arrays = [array.copy() for array in originals]
    for array in arrays:
        array.flags.writeable = False
    center, means, factors, log_scales = arrays[2:]
    read_only = Density(structure, center, means, factors, log_scales)
    frozen = Problem(arrays[0], arrays[1], read_only)
    assert_same_bits(run_all(frozen), expected)
    for array, original in zip(arrays, originals, strict=True):
        assert np.array_equal(array, original)


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_no_rows_change_nothing(structure: Structure, dtype: str) -> None:
    X, _, density = make_problem(Case(structure, dtype, 5, 7))
    for weight in (None, np.empty(0)):
        results = run_all(Problem(X[:0], weight, density))
        assert not any(array.any() for array in results.values())


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_weights_count_as_repeats_and_those_of_zero_not_at_all(
    structure: Structure, dtype: str
) -> None:
    X, _, density = make_problem(Case(structure, dtype, 5, 7, GROUP + 1))
    repeats = np.random.default_rng(5).integers(0, 4, size=len(X))
    weighted = run_all(Problem(X, repeats.astype(np.float64), density))
    repeated = run_all(Problem(np.repeat(X, repeats, axis=0), None, density))
    assert_same_sums(weighted, repeated, dtype)
    kept = repeats > 0
    without = run_all(Problem(X[kept], repeats[kept].astype(np.float64), density))
    assert_same_sums(weighted, without, dtype)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("exponent", [-200, -20, 20, 200])
@each_dtype
def test_sums_are_proportional_to_weights_of_any_magnitude(dtype: str, exponent: int) -> None:
    X, weight, density = make_problem(Case("full", dtype, 5, 7, 300))
    assert weight is not None
    results = run_all(Problem(X, weight, density))
    scaled = run_all(Problem(X, np.ldexp(weight, exponent), density))
    for name in (name for name in results if name.startswith(("soft ", "hard "))):
        assert np.array_equal(scaled[name], np.ldexp(results[name], exponent)), name


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("absent", [0, 3, 6])
@each_dtype
@each_structure
def test_a_component_of_weight_zero_is_as_if_it_were_not_there(
    structure: Structure, dtype: str, absent: int
) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7, 300))
    log_scales = density.log_scales.copy()
    log_scales[absent] = -np.inf
    results = run_all(Problem(X, weight, density._replace(log_scales=log_scales)))
    assert_no_nan(results)
    assert (results["log_density"][:, absent] == -np.inf).all()
    for name in ("responsibilities", "soft n_k", "soft first", "hard n_k", "hard first"):
        rows = results[name].T if name == "responsibilities" else results[name]
        assert not rows[absent].any(), name
    assert not (results["labels"] == absent).any()
    assert not (results["hard_labels"] == absent).any()
    others = np.delete(np.arange(7), absent)
    rest = run_all(Problem(X, weight, components(density, others)))
    assert np.allclose(
        results["responsibilities"][:, others], rest["responsibilities"], rtol=0, atol=1e-6
    )
    assert np.allclose(results["log_likelihood"], rest["log_likelihood"], rtol=1e-6)


def components(density: Density, indices: NDArray[np.intp]) -> Density:
    """The density of some of its components."""
    factors = density.factors if density.structure == "tied" else density.factors[indices]
    return density._replace(
        means=density.means[indices], factors=factors, log_scales=density.log_scales[indices]
    )


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
@pytest.mark.parametrize("n_components", [1, 2, 7])
def test_a_row_absurdly_far_away_has_a_finite_log_likelihood(
    n_components: int, structure: Structure, dtype: str
) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, n_components, 300))
    far = X.copy()
    far[100] = FAR[dtype]
    far[200, 1] = -FAR[dtype]
    results = run_all(Problem(far, weight, density))
    assert_no_nan(results)
    assert np.isfinite(results["log_likelihood"]).all()
    assert np.isfinite(results["soft totals"]).all()
    assert (results["log_likelihood"][[100, 200]] < -1e30).all()
    assert np.allclose(results["responsibilities"].sum(axis=1), 1.0)
    near = np.delete(np.arange(300), [100, 200])
    without = run_all(Problem(X, weight, density))
    for name in ("responsibilities", "log_likelihood", "log_density"):
        assert np.array_equal(results[name][near], without[name][near])


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
@pytest.mark.parametrize("weighted", [False, True])
def test_likelihoods_of_rows_that_are_all_absurdly_far_away_add_up(
    weighted: bool, structure: Structure, dtype: str
) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7, 2 * GROUP))
    assert weight is not None
    weight = np.full(len(X), weight.max())
    results = run_all(Problem(np.full_like(X, FAR[dtype]), weight if weighted else None, density))
    lowest = LOG_LOWEST[np.dtype(dtype)]
    for name in ("soft totals", "soft likelihood"):
        assert results[name][0] / results[name][1] == pytest.approx(lowest, rel=1e-5)


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_a_row_of_weight_zero_counts_nothing_however_far_away(
    structure: Structure, dtype: str
) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 5, 7, 300))
    assert weight is not None
    weight = np.append(weight, 0.0)
    nearby, far = np.vstack([X, X[:1]]), np.vstack([X, np.full_like(X[:1], FAR[dtype])])
    expected = run_all(Problem(nearby, weight, density))
    assert_same_sums(run_all(Problem(far, weight, density)), expected, dtype)


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
@pytest.mark.parametrize("n_components", [1, 2, 7])
def test_a_row_of_the_largest_numbers_has_a_finite_log_likelihood(
    n_components: int, structure: Structure, dtype: str
) -> None:
    X, _, density = make_problem(Case(structure, dtype, 5, n_components, 1))
    largest = np.finfo(dtype).max * np.array([[1, -1, 1, -1, -1]])
    results = run_all(Problem(largest.astype(X.dtype), None, density))
    assert np.isfinite(results["log_likelihood"]).all()
    assert np.isclose(results["responsibilities"].sum(), 1.0)
    assert np.isfinite(results["soft totals"]).all()


@pytest.mark.usefixtures("isa")
@each_dtype
@each_structure
def test_the_first_of_equal_components_wins(structure: Structure, dtype: str) -> None:
    X, weight, density = make_problem(Case(structure, dtype, 3, 4, 300))
    twins = components(density, np.array([2, 1, 2, 1, 2, 1, 2]))
    results = run_all(Problem(X, weight, twins))
    assert set(results["labels"]) == set(results["hard_labels"]) == {0, 1}


class BadCall(NamedTuple):
    """A kernel's name, the arguments that are wrong, and what is said about them."""

    kernel: str
    changes: dict[str, object]
    error: type[Exception]
    message: str

    def __str__(self) -> str:
        return f"{self.kernel}: {self.message}"


N, K, D = 6, 3, 2


def good_density() -> Density:
    identities = np.tile(np.eye(D), (K, 1, 1))
    return Density("full", np.zeros(D), np.zeros((K, D)), identities, np.zeros(K))


def good_arguments(kernel: str) -> dict[str, object]:
    """Arguments of float64 that a kernel accepts."""
    shared: dict[str, object] = {"X": np.zeros((N, D)), "density": good_density()}
    n_k, first, second, totals = zero_sums(good_density())
    weighted = {"sample_weight": np.ones(N), "n_k": n_k, "first": first, "totals": totals}
    labels = np.zeros(N, np.int32)
    own: dict[str, dict[str, Array]] = {
        "log_density": {"out": np.zeros((N, K))},
        "log_likelihood": {"out": np.zeros(N)},
        "responsibilities": {"out": np.zeros((N, K))},
        "assign": {"labels": labels, "best": np.zeros(N)},
        "accumulate": {**weighted, "second": second, "labels": labels},
        "accumulate_hard": {**weighted, "labels": labels},
        "accumulate_likelihood": {"sample_weight": np.ones(N), "totals": totals},
    }
    return {**shared, **own[kernel]}


def bad_calls() -> Iterator[BadCall]:
    for kernel in CHECKS:
        for changes, error, message in bad_for_all():
            yield BadCall(kernel, changes, error, message)
        for name, array in good_arguments(kernel).items():
            if name not in ("X", "density"):
                assert isinstance(array, np.ndarray)
                for bad, error, message in bad_arrays(name, array):
                    yield BadCall(kernel, {name: bad}, error, message)


def bad_for_all() -> Iterator[tuple[dict[str, object], type[Exception], str]]:
    """What is wrong for every kernel: rows, density, threads."""
    X, density = np.zeros((N, D)), good_density()
    bad_rows: list[tuple[object, type[Exception], str]] = [
        (X.tolist(), TypeError, "X must be a 2-dimensional numpy array, got list"),
        (X[0], TypeError, "X must be a 2-dimensional numpy array"),
        (X.astype(int), TypeError, "X must have dtype float32 or float64, got int64"),
        (X.astype(np.longdouble), TypeError, "X must have dtype float32 or float64"),
        (X.astype(">f8"), TypeError, "X must have dtype float32 or float64, got >f8"),
        (np.asfortranarray(X), ValueError, "X must be C-contiguous"),
        (np.zeros((2 * N, D))[::2], ValueError, "X must be C-contiguous"),
        (unaligned(X), ValueError, "X must be aligned to its dtype"),
        (np.zeros((N, D + 1)), ValueError, "center must have shape (3,), got (2,)"),
    ]
    for rows, error, message in bad_rows:
        yield {"X": rows}, error, message
    for name in ("center", "means", "factors", "log_scales"):
        for bad, error, message in bad_arrays(name, getattr(density, name)):
            changed = Density(**{**density._asdict(), name: bad})
            yield {"density": changed}, error, message
    unknown = density._replace(structure="banded")  # type: ignore[arg-type]
    yield {"density": unknown}, ValueError, "structure must be one of ('full', 'tied', 'diag', "
    wrong = density._replace(structure="tied")
    yield {"density": wrong}, ValueError, "factors must have shape (2, 2), got (3, 2, 2)"
    for n_threads in (0, -1):
        message = f"n_threads must be at least 1, got {n_threads}"
        yield {"n_threads": n_threads}, ValueError, message


def unaligned(array: Array) -> Array:
    """Zeros like an array, one byte off where they should lie."""
    return np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)


def bad_arrays(name: str, array: Array) -> Iterator[tuple[object, type[Exception], str]]:
    """What is wrong with an array whose dtype, shape and order are set."""
    longer = np.zeros((*array.shape[:-1], array.shape[-1] + 1), array.dtype)
    strided = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    other = np.dtype(np.int64 if array.dtype == np.int32 else np.float32)
    if name != "means":  # the number of components is read from them
        yield array.tolist(), TypeError, f"{name} must be a numpy array, got list"
    yield array.astype(other), TypeError, f"{name} must have dtype {array.dtype}, got {other}"
    yield longer, ValueError, f"{name} must have shape {array.shape}, got {longer.shape}"
    yield strided, ValueError, f"{name} must be C-contiguous"
    yield unaligned(array), ValueError, f"{name} must be aligned to its dtype"
    if array.ndim > 1:
        yield np.asfortranarray(array), ValueError, f"{name} must be C-contiguous"


@pytest.mark.parametrize("call", list(bad_calls()), ids=str)
def test_bad_arguments_raise_the_same_errors_everywhere(
    call: BadCall, compiled: tuple[str, ...]
) -> None:
    for isa in (*compiled, "reference"):
        kernel = getattr(dispatch.load(isa).float64, call.kernel)
        kernel(**good_arguments(call.kernel))
        with pytest.raises(call.error) as raised:
            kernel(**{**good_arguments(call.kernel), **call.changes})
        assert str(raised.value).startswith(call.message), isa


@pytest.mark.parametrize("kernel", CHECKS)
def test_outputs_that_cannot_be_written_are_an_error(kernel: str, isa: str) -> None:
    arguments = good_arguments(kernel)
    inputs = {"X", "density", "sample_weight"} | ({"labels"} if kernel == "accumulate" else set())
    for name in arguments.keys() - inputs:
        frozen = np.copy(arguments[name])  # type: ignore[call-overload]
        frozen.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            getattr(dispatch.load(isa).float64, kernel)(**{**arguments, name: frozen})


@pytest.mark.parametrize("kernel", CHECKS)
def test_a_build_takes_rows_of_its_own_precision_only(kernel: str, compiled_isa: str) -> None:
    build = dispatch.load(compiled_isa)
    arguments = good_arguments(kernel)
    if kernel in ("assign", "accumulate"):  # those for float32 take float64 too
        single = {**arguments, "X": np.asarray(arguments["X"], np.float32)}
        with pytest.raises(TypeError, match="X must have dtype float64, got float32"):
            getattr(build.float64, kernel)(**single)
        return
    with pytest.raises(TypeError, match="X must have dtype float32, got float64"):
        getattr(build.float32, kernel)(**arguments)
