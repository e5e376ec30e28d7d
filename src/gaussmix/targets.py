"""The speeds that the library is held to, and whether a run of the benchmark found them.

Unless it is said, a target is for all threads, full covariances and float64. The rate of an EM
iteration is a part of that of a large matrix product of NumPy, measured in the same case.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import NamedTuple

from gaussmix._core.constants import Structure
from gaussmix.contenders import (
    EM,
    FIT,
    KMEANS,
    PREDICTIONS,
    SHAPES,
    Case,
)
from gaussmix.efficiency import LEAST_OF_NEIGHBOUR, Grid, pairs
from gaussmix.machine import Ceilings
from gaussmix.race import Row

GEMM, ONEDAL, SCIKIT_LEARN = "of gemm", "against oneDAL", "against scikit-learn"
LIBRARIES = {ONEDAL: "oneDAL", SCIKIT_LEARN: "scikit-learn"}

EM_TARGETS: dict[str, dict[str, float]] = {
    "S1": {ONEDAL: 4.0, SCIKIT_LEARN: 100.0},
    "S2": {GEMM: 0.60, ONEDAL: 4.5, SCIKIT_LEARN: 70.0},
    "S3": {GEMM: 0.72, ONEDAL: 3.5, SCIKIT_LEARN: 35.0},
    "S4": {GEMM: 0.80, ONEDAL: 2.0, SCIKIT_LEARN: 10.0},
    "S5": {GEMM: 0.80, ONEDAL: 2.0, SCIKIT_LEARN: 7.0},
    "S6": {ONEDAL: 3.0, SCIKIT_LEARN: 80.0},
    "S7": {GEMM: 0.80, ONEDAL: 5.0, SCIKIT_LEARN: 50.0},
}
STRUCTURED = ("S2", "S4", "S7")
STRUCTURE_TARGETS: dict[Structure, dict[str, float]] = {
    "diag": {ONEDAL: 3.0, SCIKIT_LEARN: 30.0},
    "tied": {SCIKIT_LEARN: 30.0},
    "spherical": {SCIKIT_LEARN: 30.0},
}
SINGLE = ("S3", "S4", "S7")
SINGLE_GAIN = 1.7
SINGLE_ONEDAL = ("S2", 3.0)
PREDICTED = ("S1", "S2", "S3", "S4", "S5")
PREDICTION_GAIN = 15.0
EXP_PART = 0.8
THREADS_GAIN = 0.95
SMALL_FIT = (1_000, 4, 3)
SMALL_FIT_GAIN = 10.0
SMALL_FIT_THREADS = 0.9  # of the speed on one thread: that starting threads costs nothing
FIT_GAIN = 30.0
KMEANS_SHAPES = ((1_000_000, 8, 64), (1_000_000, 32, 64))
KMEANS_GAIN = 1.0


class Target(NamedTuple):
    """One speed that is aimed at, and what was found."""

    shape: str
    what: str
    least: float | None
    """None where only the figure is asked for."""
    measured: float | None
    """None if the run does not tell."""
    correct: bool = True
    """Whether the answer was right; a wrong one meets nothing."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met, None if the run does not tell."""
        if self.measured is None or self.least is None:
            return None
        return self.correct and self.measured >= self.least


class Results:
    """The rows of a run, found by case, library and threads."""

    def __init__(
        self, rows: Iterable[Row], ceilings: Mapping[int, Ceilings], grid: Grid | None
    ) -> None:
        self.ceilings = ceilings
        self.grid = grid
        self.n_threads = max(ceilings)
        self._rows = {(str(row.case), row.library, row.threads): row for row in rows}

    def row(self, case: Case, library: str = "gaussmix", n_threads: int = 0) -> Row | None:
        """Return a row, None if there is none; without a number of threads, that of all."""
        return self._rows.get((str(case), library, n_threads or self.n_threads))


def judge(results: Results) -> list[Target]:
    """Return all targets, with what the run found."""
    return [
        *_iterations(results),
        *_bounds(results),
        *_structures(results),
        *_single(results),
        *_odd_shapes(results),
        *_threads(results),
        *_fits(results),
        *_predictions(results),
        *_kmeans(results),
    ]


def compare(
    results: Results, case: Case, what: str, wanted: Mapping[str, float]
) -> Iterator[Target]:
    """Yield the targets of a case: a part of a matrix product's rate, or a gain on a rival."""
    ours = results.row(case)
    for against, least in wanted.items():
        rival = results.row(case, LIBRARIES[against]) if against in LIBRARIES else None
        measured = _part_of_gemm(ours) if against == GEMM else _over(rival, ours)
        note = "their answer differs" if rival and not rival.correct else ""
        yield Target(_name(case), f"{what} {against}", least, measured, _right(ours), note)


def _iterations(results: Results) -> Iterator[Target]:
    for name, wanted in EM_TARGETS.items():
        yield from compare(results, Case(EM, *SHAPES[name]), "EM", wanted)


def _bounds(results: Results) -> Iterator[Target]:
    yield _log_sum_exp(results)
    yield _smallest_shape(results)


def _log_sum_exp(results: Results) -> Target:
    """The log-sum-exp of S1 on one thread, as what `log_likelihood` takes longer than `assign`.

    Both compute the log-densities and the largest of a row; the one then takes the exponentials,
    their sum and its logarithm, the other the place of the largest.
    """
    n, _, k = SHAPES["S1"]
    likelihood = results.row(Case("log_likelihood", *SHAPES["S1"]), n_threads=1)
    assign = results.row(Case("assign", *SHAPES["S1"]), n_threads=1)
    what = "log-sum-exp, of numpy's exp"
    if not likelihood or not assign or not likelihood.seconds > assign.seconds:
        return Target("S1", what, EXP_PART, None)
    rate = 1e9 * results.ceilings[results.n_threads].exp
    whole = n * k / likelihood.seconds / rate
    measured = n * k / (likelihood.seconds - assign.seconds) / rate
    note = f"one thread; {whole:.2f} with the log-densities counted in"
    return Target("S1", what, EXP_PART, measured, likelihood.correct, note)


def _smallest_shape(results: Results) -> Target:
    """How near S6 comes to what binds it: reading the rows, or taking the exponentials.

    The rate of these is numpy's or, where that is higher, that of the log-sum-exp of S1.
    """
    case = Case(EM, *SHAPES["S6"])
    ours = results.row(case)
    if ours is None:
        return Target("S6", "EM, of its bound", None, None)
    found = results.ceilings[results.n_threads]
    rate = 1e9 * found.exp * max(1.0, _log_sum_exp(results).measured or 0.0)
    bounds = {
        "memory": case.n_samples * case.n_features * 8 / (1e9 * found.memory),
        "exp": case.n_samples * case.n_components / (rate * found.threads),
    }
    binding = max(bounds, key=lambda name: bounds[name])
    parts = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in bounds.items())
    note = f"bound by {binding}: {parts}, measured {1e3 * ours.seconds:.2f} ms"
    measured = _known(bounds[binding] / ours.seconds)
    return Target("S6", "EM, of its bound", None, measured, True, note)


def _structures(results: Results) -> Iterator[Target]:
    for structure, wanted in STRUCTURE_TARGETS.items():
        for name in STRUCTURED:
            case = Case(EM, *SHAPES[name], structure)
            yield from compare(results, case, f"EM {structure}", wanted)


def _single(results: Results) -> Iterator[Target]:
    for name in SINGLE:
        double, single = (
            results.row(Case(EM, *SHAPES[name], dtype=dtype)) for dtype in ("float64", "float32")
        )
        what = "EM float32 against float64"
        yield Target(name, what, SINGLE_GAIN, _over(double, single), _right(single))
    name, least = SINGLE_ONEDAL
    case = Case(EM, *SHAPES[name], dtype="float32")
    yield from compare(results, case, "EM float32", {ONEDAL: least})


def _odd_shapes(results: Results) -> Iterator[Target]:
    what = "rate of odd shapes, of their neighbours'"
    if results.grid is None:
        yield Target("D x K", what, LEAST_OF_NEIGHBOUR, None)
        return
    found = pairs(results.grid)
    worst = min(found, key=lambda pair: pair.ratio)
    short = sum(pair.ratio < LEAST_OF_NEIGHBOUR for pair in found)
    (d, k), (near_d, near_k) = worst.odd, worst.neighbour
    note = f"worst: D={d} K={k} beside D={near_d} K={near_k}; {short} of {len(found)} fall short"
    yield Target("D x K", what, LEAST_OF_NEIGHBOUR, worst.ratio, True, note)


def _threads(results: Results) -> Iterator[Target]:
    """The gain from one thread to all, as a part of a matrix product's gain."""
    count = results.n_threads
    if count == 1:
        return
    for name, shape in SHAPES.items():
        one, all_ = (results.row(Case(EM, *shape), n_threads=number) for number in (1, count))
        what = f"gain of {count} threads, of gemm's"
        if not one or not all_ or not one.gemm_gflops or not all_.gemm_gflops:
            yield Target(name, what, THREADS_GAIN, None)
            continue
        gain, of_gemm = one.seconds / all_.seconds, all_.gemm_gflops / one.gemm_gflops
        note = f"{gain:.2f} against {of_gemm:.2f}"
        yield Target(name, what, THREADS_GAIN, _known(gain / of_gemm), _right(all_), note)


def _fits(results: Results) -> Iterator[Target]:
    small = Case(FIT, *SMALL_FIT)
    yield from compare(results, small, "default fit", {SCIKIT_LEARN: SMALL_FIT_GAIN})
    if results.n_threads > 1:
        ours, one = results.row(small), results.row(small, n_threads=1)
        what = f"default fit, {results.n_threads} threads against one"
        yield Target(_name(small), what, SMALL_FIT_THREADS, _over(one, ours), _right(ours))
    large = Case(FIT, *SHAPES["S2"])
    (target,) = compare(results, large, "default fit", {SCIKIT_LEARN: FIT_GAIN})
    ours, theirs = results.row(large), results.row(large, "scikit-learn")
    if ours and theirs:
        note = f"log-likelihood {ours.value:.6f}, scikit-learn's {theirs.value:.6f}"
        target = target._replace(note=note)
    yield target


def _predictions(results: Results) -> Iterator[Target]:
    for task in PREDICTIONS:
        for name in PREDICTED:
            case = Case(task, *SHAPES[name])
            yield from compare(results, case, task, {SCIKIT_LEARN: PREDICTION_GAIN})


def _kmeans(results: Results) -> Iterator[Target]:
    for shape in KMEANS_SHAPES:
        yield from compare(results, Case(KMEANS, *shape), "K-means", {SCIKIT_LEARN: KMEANS_GAIN})


def _name(case: Case) -> str:
    if case.name:
        return case.name
    n, d, k = case.shape
    return f"N={n:,} D={d} K={k}"


def _part_of_gemm(row: Row | None) -> float | None:
    if row is None or not row.gflops or not row.gemm_gflops:
        return None
    return _known(row.gflops / row.gemm_gflops)


def _over(slow: Row | None, fast: Row | None) -> float | None:
    return _known(slow.seconds / fast.seconds) if slow and fast else None


def _known(figure: float) -> float | None:
    """The figure, None where noise on the machine hid a time."""
    return None if isnan(figure) else figure


def _right(row: Row | None) -> bool:
    return row is None or row.correct


def summary(targets: Sequence[Target]) -> str:
    """Count the targets met, missed and not measured."""
    verdicts = [target.met for target in targets if target.least is not None]
    met, missed = verdicts.count(True), verdicts.count(False)
    return f"{met} targets met, {missed} missed, {verdicts.count(None)} not measured"
