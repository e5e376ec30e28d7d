"""Checks every compiled build of the kernels against the reference, on this machine's CPU.

The reference computes in float64 on the very numbers the build is given. An error is divided by
its scale, the size of the terms that enter, so that one tolerance fits all:

- log-density of component k at a row: s_k = 1 + |log_scales_k| + q_k / 2, q_k the squared
  Mahalanobis distance;
- log-likelihood and responsibilities of a row: s = sum_k r_k s_k, since dr_k and d log sum exp
  are averages of the errors of the l_k;
- sums over rows: the sum of absolute contributions, each times its row's s: w r_k, w r_k a and
  w r_k a a' with a = |z| + |means_k|, the terms of z - means_k. Here r_k counts as 1/100 at
  least: a responsibility is a number on [0, 1], and builds leave out those that are next to 0.

A label counts with the log-density it gives away against the best one, divided by that
label's scale: a tie within rounding is no error.

Lloyd's passes begin at rows, so many that builds screen rows and keep bounds. They must end with
the bits of plain passes of the same build, whose labels count as above.

Every case is done twice: as it is, and with noise and something told of the rows, codes or priors.
The noise is a term like a component's, of scale 1 + |l|. What is told adds log prior to l_k, and
its size to s_k.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from gaussmix._core import dispatch, reference
from gaussmix._core.cells import Cells
from gaussmix._core.density import LOG_LOWEST, Density, factors_shape, nearest_density
from gaussmix._core.dispatch import Build
from gaussmix._core.interface import CELL_KERNELS, KERNELS, Kernels
from gaussmix._core.plain_lloyd import plain_lloyd
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.cli.kernel_cases import (
    KernelCase,
    KernelProblem,
    all_cases,
    make_kernel_problem,
    with_told,
)

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}

LEAST_RESP = 0.01
VERIFIED = (*KERNELS, *CELL_KERNELS, "lloyd")
CELL_ROWS = 300  # of a cell at most
LLOYD_CENTERS = 140  # enough for the screen of either precision, and no multiple of a tile
LLOYD_PASSES = 4


class Result(NamedTuple):
    """The worst relative error of a kernel of a build in a precision, and where it occurred."""

    kernel: str
    build: str
    dtype: str
    error: float
    case: KernelCase

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance of its dtype."""
        return self.error <= TOLERANCES[self.dtype]


class KernelAnswer(NamedTuple):
    """What the reference makes of a problem in float64, and the scales of its numbers."""

    log_prob: FloatArray  # (N, T), without what is told
    log_prob_scale: FloatArray  # (N, T), s_k
    judged: FloatArray  # (N, T), with what is told
    log_likelihood: FloatArray  # (N,)
    resp: FloatArray  # (N, T)
    row_scale: FloatArray  # (N,), s
    labels: Labels  # (N,)
    sums: tuple[FloatArray, ...]  # n_k, first, second, totals
    sum_scales: tuple[FloatArray, ...]
    hard_sums: tuple[FloatArray, ...]  # n_k, first, totals
    labelled_sums: tuple[FloatArray, ...]  # n_k, first, second, totals, of rows that have labels
    hard_sum_scales: tuple[FloatArray, ...]  # of both
    cells: "CellAnswer"


class CellAnswer(NamedTuple):
    """What the reference makes of cells in float64, without noise and what is told, and scales."""

    cells: Cells
    log_prob: FloatArray  # (N, K), -inf for what is not on the list of a row's cell
    sums: tuple[FloatArray, ...]  # n_k, first, second, totals
    sum_scales: tuple[FloatArray, ...]
    masses: FloatArray
    mass_scales: FloatArray


def compiled_builds() -> list[Build]:
    """Return every compiled build that runs on this CPU, slowest first."""
    try:
        names = dispatch.available()
    except ModuleNotFoundError:  # a source tree that was never built
        return []
    return [dispatch.load(name) for name in names]


def verify(
    builds: Iterable[Build] | None = None,
    cases: Sequence[KernelCase] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Find the worst relative error of every kernel of every build, in float32 and in float64.

    Parameters
    ----------
    builds : iterable of Build, optional
        By default every compiled build that runs here; none gives an empty list.
    cases : sequence of KernelCase, optional
        By default `all_cases()`.
    progress : callable, optional
        Told after every case how many are done, and of how many.

    Returns
    -------
    list of Result
        A result passes if its error is at most `TOLERANCES` of its dtype.
    """
    builds = compiled_builds() if builds is None else list(builds)
    cases = all_cases() if cases is None else cases
    worst: dict[tuple[str, str, str], Result] = {}
    for done, case in enumerate(cases if builds else (), 1):
        plain = make_kernel_problem(case)
        for problem in (plain, with_told(plain, case)):
            answer = solve(problem)
            for build in builds:
                for kernel, error in errors(build.kernels(problem.X.dtype), problem, answer):
                    key = kernel, build.name, case.dtype
                    if key not in worst or error > worst[key].error:
                        worst[key] = Result(*key, error, case)
        if progress is not None:
            progress(done, len(cases))
    return list(worst.values())


def table(results: Sequence[Result]) -> str:
    """Show a line per kernel, a column per build and dtype, and failures with their cases."""
    columns = list(dict.fromkeys((r.build, r.dtype) for r in results))
    cells = {(r.kernel, r.build, r.dtype): r for r in results}
    width = max(map(len, VERIFIED)) + 1
    lines = [
        f"{'worst relative error':<{width}}" + "".join(f"{build:>11}" for build, _ in columns),
        " " * width + "".join(f"{dtype:>11}" for _, dtype in columns),
    ]
    for kernel in VERIFIED:
        row = (cells[kernel, *column] for column in columns)
        marked = (f"{r.error:.1e}" + (" " if r.passed else "!") for r in row)
        lines.append(f"{kernel:<{width}}" + "".join(f"{cell:>11}" for cell in marked))
    tolerances = (f"{TOLERANCES[dtype]:.0e} " for _, dtype in columns)
    lines.append(f"{'tolerance':<{width}}" + "".join(f"{cell:>11}" for cell in tolerances))
    lines += [
        f"FAILED {r.kernel} ({r.build}, {r.dtype}): {r.error:.1e} at {r.case}"
        for r in results
        if not r.passed
    ]
    return "\n".join(lines)


def solve(problem: KernelProblem) -> KernelAnswer:
    """Return the reference's answer in float64, from the very numbers of the problem."""
    X, weight, density, _, told = problem
    X = X.astype(np.float64)
    log_prob = np.empty((len(X), density.n_terms))
    log_likelihood, resp = np.empty(len(X)), np.empty_like(log_prob)
    reference.log_density(X, density, log_prob)
    reference.log_likelihood(X, density, log_likelihood, told=told)
    reference.responsibilities(X, density, resp, told=told)
    tops = density.log_scales
    if density.log_noise is not None:
        tops = np.append(tops, density.log_noise)
    scale = 1.0 + np.abs(tops) + (tops - log_prob)
    log_priors = np.zeros(1) if told is None else reference.log_priors(told, problem.X.dtype)
    judged = np.maximum(log_prob + log_priors, LOG_LOWEST[X.dtype])
    judged_scale = scale + np.where(np.isfinite(log_priors), np.abs(log_priors), 0.0)
    row_scale = (resp * judged_scale).sum(axis=1)
    components = density._replace(log_noise=None)
    sums, hard_sums = _zero_sums(density), _zero_hard_sums(components)
    labelled = _zero_sums(components)
    labels = np.empty(len(X), dtype=np.int32)
    reference.accumulate(X, weight, density, *sums, told=told)
    reference.accumulate_hard(X, weight, components, labels, *hard_sums)
    reference.accumulate(X, weight, components, *labelled, 1, labels)
    soft = np.maximum(resp, LEAST_RESP) * row_scale[:, None]
    hard = scale[:, : len(density.means)] * (labels[:, None] == np.arange(len(density.means)))
    return KernelAnswer(
        log_prob,
        judged_scale,
        judged,
        log_likelihood,
        resp,
        row_scale,
        labels,
        sums,
        _sum_scales(problem, soft),
        hard_sums,
        labelled,
        _sum_scales(problem, hard),
        _solve_cells(problem, log_prob[:, : len(density.means)], scale[:, : len(density.means)]),
    )


def _solve_cells(problem: KernelProblem, log_prob: FloatArray, scale: FloatArray) -> CellAnswer:
    """Return the answer for cells of rows of the same label, and every second component on lists.

    The first of them has all components.
    """
    X, weight, density = problem.X.astype(np.float64), problem.sample_weight, problem.density
    density = density._replace(log_noise=None)
    n_samples, n_components = log_prob.shape
    order = log_prob.argmax(axis=1).argsort(kind="stable").astype(np.int32)
    edges = np.append(np.arange(0, n_samples, CELL_ROWS), n_samples)
    listed = (np.arange(len(edges) - 1)[:, None] + np.arange(n_components)) % 2 == 0
    listed[0] = True
    listed[:, 0] |= ~listed.any(axis=1)
    lists = np.append(0, listed.sum(axis=1).cumsum())
    cells = Cells(order, edges, lists, listed.nonzero()[1].astype(np.int32))
    cell_of_row = np.empty(n_samples, dtype=np.intp)
    cell_of_row[order] = np.arange(n_samples) // CELL_ROWS
    log_prob = np.where(listed[cell_of_row], log_prob, -np.inf)
    resp = np.exp(log_prob - np.logaddexp.reduce(log_prob, axis=1, keepdims=True))
    row_scale = (resp * scale).sum(axis=1)
    soft = np.where(listed[cell_of_row], np.maximum(resp, LEAST_RESP), 0.0) * row_scale[:, None]
    sums, masses = _zero_sums(density), np.empty(len(cells.components))
    reference.accumulate_cells(X, weight, density, cells, *sums, masses, None)
    weighted = soft if weight is None else soft * weight[:, None]
    by_cell = np.zeros(listed.shape)
    np.add.at(by_cell, cell_of_row, weighted)
    scales = _sum_scales(problem._replace(density=density), soft)
    return CellAnswer(cells, log_prob, sums, scales, masses, by_cell[listed])


def errors(
    kernels: Kernels, problem: KernelProblem, answer: KernelAnswer
) -> Iterator[tuple[str, float]]:
    """Yield name and relative error of each kernel on a problem; NaN comes as infinite."""
    for name, check in zip(VERIFIED, CHECKS, strict=True):
        error = check(kernels, problem, answer)
        yield name, float("inf") if np.isnan(error) else error


def _log_density_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    out = _blank(answer.log_prob.shape, problem.X.dtype)
    kernels.log_density(problem.X, problem.density, out, problem.n_threads)
    return _worst(out, answer.log_prob, answer.log_prob_scale)


def _log_likelihood_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    out = _blank(answer.log_likelihood.shape, problem.X.dtype)
    kernels.log_likelihood(problem.X, problem.density, out, problem.n_threads, problem.told)
    return _worst(out, answer.log_likelihood, answer.row_scale)


def _responsibilities_error(
    kernels: Kernels, problem: KernelProblem, answer: KernelAnswer
) -> float:
    out = _blank(answer.resp.shape, problem.X.dtype)
    kernels.responsibilities(problem.X, problem.density, out, problem.n_threads, problem.told)
    return _worst(out, answer.resp, answer.row_scale[:, None])


def _assign_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    labels, alone = _blank_labels(answer), _blank_labels(answer)
    best = _blank(labels.shape, problem.X.dtype)
    kernels.assign(problem.X, problem.density, labels, best, problem.n_threads, problem.told)
    kernels.assign(problem.X, problem.density, alone, None, problem.n_threads, problem.told)
    winners = answer.judged.argmax(axis=1)[:, None]
    best_error = _worst(best, _take(answer.judged, winners), _take(answer.log_prob_scale, winners))
    found = (_label_error(each, answer.judged, answer.log_prob_scale) for each in (labels, alone))
    return _largest([*found, best_error])


def _accumulate_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    X, weight, density, n_threads, told = problem
    components = density._replace(log_noise=None)
    sums, labelled = _zero_sums(density), _zero_sums(components)
    kernels.accumulate(X, weight, density, *sums, n_threads, None, told)
    kernels.accumulate(X, weight, components, *labelled, n_threads, answer.labels)
    errors = map(_worst, sums, answer.sums, answer.sum_scales)
    return _largest([*errors, *map(_worst, labelled, answer.labelled_sums, answer.hard_sum_scales)])


def _accumulate_hard_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    X, weight, density, n_threads, _ = problem
    components = density._replace(log_noise=None)
    labels, sums = _blank_labels(answer), _zero_hard_sums(components)
    kernels.accumulate_hard(X, weight, components, labels, *sums, n_threads)
    error = _label_error(labels, answer.log_prob[:, : len(density.means)], answer.log_prob_scale)
    if not np.array_equal(labels, answer.labels):  # then the sums must differ, and say nothing
        return error
    n_k, first, _, totals = answer.hard_sum_scales
    return _largest([error, *map(_worst, sums, answer.hard_sums, (n_k, first, totals))])


def _accumulate_likelihood_error(
    kernels: Kernels, problem: KernelProblem, answer: KernelAnswer
) -> float:
    X, weight, density, n_threads, told = problem
    totals = np.zeros(2)
    kernels.accumulate_likelihood(X, weight, density, totals, n_threads, told)
    return _worst(totals, answer.sums[-1], answer.sum_scales[-1])


def _accumulate_cells_error(
    kernels: Kernels, problem: KernelProblem, answer: KernelAnswer
) -> float:
    X, weight, density, n_threads, _ = problem
    density, found = density._replace(log_noise=None), answer.cells
    sums, masses = _zero_sums(density), np.full_like(found.masses, np.nan)
    labels = _blank_labels(answer)
    kernels.accumulate_cells(X, weight, density, found.cells, *sums, masses, labels, n_threads)
    errors = map(_worst, sums, found.sums, found.sum_scales)
    mass_error = _worst(masses, found.masses, found.mass_scales)
    return _largest(
        [*errors, mass_error, _label_error(labels, found.log_prob, answer.log_prob_scale)]
    )


def _weigh_cells_error(kernels: Kernels, problem: KernelProblem, answer: KernelAnswer) -> float:
    X, weight, density, n_threads, _ = problem
    density, found = density._replace(log_noise=None), answer.cells
    totals, masses = np.zeros(2), np.full_like(found.masses, np.nan)
    labels = _blank_labels(answer)
    kernels.weigh_cells(X, weight, density, found.cells, totals, masses, labels, n_threads)
    return _largest(
        [
            _worst(totals, found.sums[-1], found.sum_scales[-1]),
            _worst(masses, found.masses, found.mass_scales),
            _label_error(labels, found.log_prob, answer.log_prob_scale),
        ]
    )


def _lloyd_error(kernels: Kernels, problem: KernelProblem, _answer: KernelAnswer) -> float:
    X, weight, _, n_threads, told = problem
    if told is not None:  # K-means knows nothing of it: that was all before
        return 0.0
    start = X if weight is None else X[weight > 0]
    start = start[:: -(-len(start) // LLOYD_CENTERS)]

    def outcome(lloyd: Callable[..., tuple[int, bool]]) -> tuple[list[object], FloatArray, Labels]:
        centers, labels = start.astype(np.float64), np.full(len(X), -1, dtype=np.int32)
        n_k, totals = np.zeros(len(start)), np.zeros(2)
        arrays = centers, labels, n_k, totals
        n_iter, ended = lloyd(X, weight, *arrays, LLOYD_PASSES, 0.0, n_threads)
        bits = [array.tobytes() for array in (arrays if ended else arrays[:2])]
        return [n_iter, ended, *bits], centers, labels

    found, centers, labels = outcome(kernels.lloyd)
    if found != outcome(partial(plain_lloyd, kernels.accumulate_hard))[0]:
        return float("inf")
    if not found[1]:  # a cluster had no rows: the labels are of earlier centres
        return 0.0
    log_prob = np.empty((len(X), len(centers)))
    reference.log_density(X.astype(np.float64), nearest_density(centers, X.dtype), log_prob)
    return _label_error(labels, log_prob, 1.0 - log_prob)


CHECKS: tuple[Callable[[Kernels, KernelProblem, KernelAnswer], float], ...] = (
    _log_density_error,
    _log_likelihood_error,
    _responsibilities_error,
    _assign_error,
    _accumulate_error,
    _accumulate_hard_error,
    _accumulate_likelihood_error,
    _accumulate_cells_error,
    _weigh_cells_error,
    _lloyd_error,
)


def _worst(got: Rows, want: FloatArray, scale: FloatArray) -> float:
    """Largest error in units of its scale; a sum over no rows has scale 0 and must be exact."""
    error = np.abs(got.astype(np.float64) - want)
    return float(np.max(error / np.maximum(scale, np.finfo(np.float64).tiny)))


def _largest(found: Iterable[float]) -> float:
    return float(np.max(list(found)))  # unlike max, NaN if any of them is


def _label_error(labels: Labels, log_prob: FloatArray, scale: FloatArray) -> float:
    if labels.min() < 0 or labels.max() >= log_prob.shape[1]:
        return float("inf")
    column = labels[:, None]
    lost = log_prob.max(axis=1) - _take(log_prob, column)
    return float(np.max(lost / _take(scale, column)))


def _take(array: FloatArray, column: Labels) -> FloatArray:
    return np.take_along_axis(array, column.astype(np.intp), axis=1)[:, 0]


def _blank(shape: tuple[int, ...], dtype: DTypeLike) -> Rows:
    return np.full(shape, np.nan, dtype=dtype)  # what a kernel forgets to write is seen


def _blank_labels(answer: KernelAnswer) -> Labels:
    return np.full_like(answer.labels, -1)


def _zero_sums(density: Density) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    n_components, n_features = density.means.shape
    second = np.zeros(factors_shape(density.structure, n_components, n_features))
    n_k, first, totals = _zero_hard_sums(density)
    return n_k, first, second, totals


def _zero_hard_sums(density: Density) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.zeros(density.n_terms), np.zeros_like(density.means), np.zeros(2)


def _sum_scales(
    problem: KernelProblem, resp: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sum absolute contributions for responsibilities (N, T): n_k, first, second, totals."""
    X, density = problem.X, problem.density
    weight = np.ones(len(X)) if problem.sample_weight is None else problem.sample_weight
    resp = resp * weight[:, None]
    n_k, total = resp.sum(axis=0), resp.sum()
    resp = resp[:, : len(density.means)]
    reach = np.abs(X.astype(np.float64) - density.center) + np.abs(density.means)[:, None, :]
    first = np.einsum("nk,knd->kd", resp, reach)
    products = (resp.T[:, :, None] * reach).transpose(0, 2, 1) @ reach  # (K, D, D)
    second = {
        "full": products,
        "tied": products.sum(axis=0),
        "diag": products.diagonal(axis1=1, axis2=2),
        "spherical": products.trace(axis1=1, axis2=2),
    }[density.structure]
    return n_k, first, second, np.array([total, weight.sum()])
