"""The speeds that the library is held to, and whether a run of the benchmark found them.

Unless it is said, a target is for all threads, full covariances and float64. The rate of an EM
iteration is a part of that of a large matrix product of NumPy, measured in the same case. Beside
what is measured stands what bounds it, by `benchmarks.bounds`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import NamedTuple

from benchmarks.bounds import Bound, bound, milliseconds
from benchmarks.efficiency import LEAST_OF_NEIGHBOUR, Grid, pairs
from benchmarks.from_files import MAPPED, NPY, PARQUET, READING
from gaussmix._core.types import Structure
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    PREDICTIONS,
    SHAPES,
    Case,
)
from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row

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
AS_GOOD = 1e-3  # below the other's mean log-likelihood: the default tol
KMEANS_SHAPES = ((1_000_000, 8, 64), (1_000_000, 32, 64))
KMEANS_GAIN = 1.0
FILES_SHAPE = SHAPES["S2"]
FILES_PART = {MAPPED: 0.9, NPY: 0.9}  # of the speed in memory
PARQUET_PART = 0.5  # of the slower of reading alone and rows in memory


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
    bound: str = ""
    """What it is bound by, and what would be measured if nothing else took time."""

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

    @property
    def exp_rate(self) -> float:
        """Exponentials in 1e9/s of a thread: NumPy's, or those of the log-sum-exp if faster."""
        return max(self.ceilings[self.n_threads].exp, log_sum_exp_rate(self) or 0.0)

    def bound(self, case: Case, n_threads: int = 0) -> Bound | None:
        """Return what a case takes at least, None if nothing tells."""
        ceilings = self.ceilings.get(n_threads or self.n_threads)
        return bound(case, ceilings, self.exp_rate) if ceilings else None

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
        *_files(results),
    ]


def compare(
    results: Results, case: Case, what: str, wanted: Mapping[str, float]
) -> Iterator[Target]:
    """Yield the targets of a case: a part of a matrix product's rate, or a gain on a rival."""
    ours = results.row(case)
    for against, least in wanted.items():
        rival = results.row(case, LIBRARIES[against]) if against in LIBRARIES else None
        measured = _part_of_gemm(ours) if against == GEMM else _over(rival, ours)
        notes = ["their answer differs"] if rival and not rival.correct else []
        if ours and measured and _in_doubt(measured, least, ours, rival):
            notes.append("the times are not sure enough to tell")
        note = "; ".join(notes)
        target = Target(_name(case), f"{what} {against}", least, measured, _right(ours), note)
        yield _bounded(target, results.bound(case), ours)


def _in_doubt(measured: float, least: float, ours: Row, rival: Row | None) -> bool:
    uncertainty = ours.uncertainty + (rival.uncertainty if rival else 0.0)
    return abs(measured - least) <= uncertainty * measured


def _bounded(target: Target, least: Bound | None, ours: Row | None) -> Target:
    """Add what binds the figure of a row, and the figure at these rates and nothing else."""
    if least is None or ours is None or target.measured is None or least.total > ours.seconds:
        return target  # without the log-sum-exp's rate NumPy's exponentials may be the slower ones
    reachable = target.measured * ours.seconds / least.total
    text = (
        f"{least.binding}: {least} = {milliseconds(least.total)} "
        f"of {milliseconds(ours.seconds)}; without the rest {reachable:.2f}"
    )
    return target._replace(bound=text)


def _iterations(results: Results) -> Iterator[Target]:
    for name, wanted in EM_TARGETS.items():
        yield from compare(results, Case(EM, *SHAPES[name]), "EM", wanted)


def _bounds(results: Results) -> Iterator[Target]:
    yield _log_sum_exp(results)
    yield _smallest_shape(results)


def _log_sum_exp(results: Results) -> Target:
    """The log-sum-exp of S1 on one thread, beside numpy's exponential."""
    what = "log-sum-exp, of numpy's exp"
    likelihood = results.row(Case("log_likelihood", *SHAPES["S1"]), n_threads=1)
    rate = log_sum_exp_rate(results)
    if not likelihood or rate is None:
        return Target("S1", what, EXP_PART, None)
    n, _, k = SHAPES["S1"]
    numpys = results.ceilings[results.n_threads].exp
    whole = 1e-9 * n * k / likelihood.seconds / numpys
    note = f"one thread; {whole:.2f} with the log-densities counted in"
    return Target("S1", what, EXP_PART, rate / numpys, likelihood.correct, note)


def log_sum_exp_rate(results: Results) -> float | None:
    """Return exponentials in 1e9/s, None if the run does not tell.

    They take what `log_likelihood` takes longer than `assign`. Both compute the log-densities and
    the largest of a row; the one then takes the exponentials, their sum and its logarithm, the
    other the place of the largest.
    """
    n, _, k = SHAPES["S1"]
    likelihood, assign = (
        results.row(Case(task, *SHAPES["S1"]), n_threads=1) for task in ("log_likelihood", "assign")
    )
    if not likelihood or not assign or not likelihood.seconds > assign.seconds:
        return None
    return 1e-9 * n * k / (likelihood.seconds - assign.seconds)


def _smallest_shape(results: Results) -> Target:
    """How near S6 comes to what binds it: reading the rows, or taking the exponentials."""
    case = Case(EM, *SHAPES["S6"])
    ours, least = results.row(case), results.bound(case)
    if ours is None or least is None:
        return Target("S6", "EM, of its bound", None, None)
    measured = _known(max(least) / ours.seconds)
    note = f"bound by {least.binding}: {least}, measured {milliseconds(ours.seconds)}"
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
        target = Target(name, what, SINGLE_GAIN, _over(double, single), _right(single))
        yield _bounded(target, results.bound(single.case) if single else None, single)
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
    target = Target("D x K", what, LEAST_OF_NEIGHBOUR, worst.ratio, True, note)
    odd, near = (
        results.bound(Case(EM, 1, *shape), results.grid.threads)
        for shape in (worst.odd, worst.neighbour)
    )
    if not odd or not near:
        yield target
        return
    allowed = (odd.products / odd.total) / (near.products / near.total)
    yield target._replace(bound=f"{odd.binding}: by what cannot be left out {allowed:.2f}")


def _threads(results: Results) -> Iterator[Target]:
    """The gain from one thread to all, as a part of a matrix product's gain."""
    if results.n_threads > 1:
        for name, shape in SHAPES.items():
            yield _gain_of_threads(results, name, Case(EM, *shape))


def _gain_of_threads(results: Results, name: str, case: Case) -> Target:
    count = results.n_threads
    what = f"gain of {count} threads, of gemm's"
    one, all_ = (results.row(case, n_threads=number) for number in (1, count))
    if not one or not all_ or not one.gemm_gflops or not all_.gemm_gflops:
        return Target(name, what, THREADS_GAIN, None)
    gain, of_gemm = one.seconds / all_.seconds, all_.gemm_gflops / one.gemm_gflops
    note = f"{gain:.2f} against {of_gemm:.2f}"
    target = Target(name, what, THREADS_GAIN, _known(gain / of_gemm), _right(all_), note)
    alone, together = results.bound(case, 1), results.bound(case, count)
    if not alone or not together:
        return target
    allowed = alone.total / together.total
    return target._replace(bound=f"{together.binding}: {together}, a gain of {allowed:.2f}")


def _fits(results: Results) -> Iterator[Target]:
    yield _small_fit(results)
    if results.n_threads > 1:
        small = Case(FIT, *SMALL_FIT)
        ours, one = results.row(small), results.row(small, n_threads=1)
        what = f"default fit, {results.n_threads} threads against one"
        yield Target(_name(small), what, SMALL_FIT_THREADS, _over(one, ours), _right(ours))
    yield _large_fit(results)


def _small_fit(results: Results) -> Target:
    case = Case(FIT, *SMALL_FIT)
    (target,) = compare(results, case, "default fit", {SCIKIT_LEARN: SMALL_FIT_GAIN})
    ours, from_start = results.row(case), results.row(Case(FIT_FROM_START, *SMALL_FIT))
    if not ours or not from_start:
        return target
    parts = f"{milliseconds(from_start.seconds)} of {milliseconds(ours.seconds)}"
    return target._replace(bound=f"Python around short passes: from a given start {parts}")


def _large_fit(results: Results) -> Target:
    """A default fit, which is to end as well as the other's: its start and EM, not EM alone."""
    case = Case(FIT, *SHAPES["S2"])
    (target,) = compare(results, case, "default fit", {SCIKIT_LEARN: FIT_GAIN})
    ours, theirs = results.row(case), results.row(case, "scikit-learn")
    if not ours or not theirs or ours.value is None or theirs.value is None:
        return target
    note = f"log-likelihood {ours.value:.6f}, scikit-learn's {theirs.value:.6f}"
    as_good = ours.value >= theirs.value - AS_GOOD
    target = target._replace(correct=target.correct and as_good, note=note)
    if not (iteration := results.row(Case(EM, *SHAPES["S2"]))):
        return target
    passes = ours.seconds / iteration.seconds
    return target._replace(bound=f"passes: as long as {passes:.0f} EM iterations")


def _predictions(results: Results) -> Iterator[Target]:
    for task in PREDICTIONS:
        for name in PREDICTED:
            case = Case(task, *SHAPES[name])
            yield from compare(results, case, task, {SCIKIT_LEARN: PREDICTION_GAIN})


def _kmeans(results: Results) -> Iterator[Target]:
    for shape in KMEANS_SHAPES:
        yield from compare(results, Case(KMEANS, *shape), "K-means", {SCIKIT_LEARN: KMEANS_GAIN})


def _files(results: Results) -> Iterator[Target]:
    case = Case(FROM_FILES, *FILES_SHAPE)
    memory, reading = results.row(case), results.row(case, READING)
    for library, least in FILES_PART.items():
        row = results.row(case, library)
        what = f"EM iteration, {library.removeprefix('gaussmix ')}, of the speed in memory"
        target = Target(_name(case), what, least, _over(memory, row), _right(row))
        yield target._replace(note=_times({"memory": memory, "file": row}))
    row = results.row(case, PARQUET)
    slower = max((memory, reading), key=lambda found: found.seconds if found else float("inf"))
    what = "EM iteration, Parquet, of the slower of memory and reading"
    target = Target(_name(case), what, PARQUET_PART, _over(slower, row), _right(row))
    if memory and reading:
        in_turn = milliseconds(memory.seconds + reading.seconds)
        target = target._replace(bound=f"reading: it and a pass, one after the other, {in_turn}")
    yield target._replace(note=_times({"memory": memory, "reading": reading, "file": row}))


def _times(rows: Mapping[str, Row | None]) -> str:
    return ", ".join(f"{name} {milliseconds(row.seconds)}" for name, row in rows.items() if row)


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
