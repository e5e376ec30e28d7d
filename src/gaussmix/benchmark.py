"""Times gaussmix beside the rivals that are installed, and checks every answer.

An EM iteration is the difference between two fits that differ in nothing but `max_iter`, divided
by the difference in iterations: what comes before and after the iterations drops out. The
contenders of a case take turns, and the best time of each length of fit counts. An answer is
correct if it is scikit-learn's, or the NumPy reference's where scikit-learn is missing or the rows
are float32. A rate is 4 N K F over the time, F the terms of a row and a component.
"""

import json
import os
import platform
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch, threads
from gaussmix._core.constants import STRUCTURES
from gaussmix._core.interface import KERNELS
from gaussmix.atomic import replacing
from gaussmix.config import config
from gaussmix.contenders import (
    EM,
    FIT,
    FIT_FROM_START,
    KMEANS,
    PREDICT_PROBA,
    SCORE_SAMPLES,
    Answer,
    Case,
    Contender,
    Problem,
    Run,
    builds,
    contenders,
    gaussmix,
    limited,
    make_problem,
    version_of,
)
from gaussmix.statistics import pass_flops

# Relative. In float32 rounding may decide a tie, which moves a count of 10^4 rows by one.
TOLERANCES = {"float64": 1e-8, "float32": 1e-4}
LIKELIHOOD_MARGIN = 1e-3  # the default tol: fits from different starts end so near the optimum

LONG_FIT = 0.5  # seconds that the longer of two fits should take
MOST_ITERATIONS = 50
SLOW = 2.0  # seconds of a fit so slow that one more iteration has to do
GEMM_SIZE = 2048

SHORT = (
    Case(EM, 1_000_000, 8, 16, repeats=2),
    Case(EM, 200_000, 2, 8),
    Case(EM, 100_000, 32, 8),
    Case(EM, 200_000, 16, 32, "diag"),
    Case(FIT_FROM_START, 1_000, 4, 3, repeats=50),
    Case(FIT, 1_000, 4, 3, repeats=10),
    Case(PREDICT_PROBA, 200_000, 8, 16, repeats=2),
    Case(SCORE_SAMPLES, 200_000, 8, 16, repeats=2),
    Case(KMEANS, 200_000, 8, 16),
)

SHAPES = (
    (1_000_000, 2, 8),
    (1_000_000, 8, 16),
    (500_000, 16, 32),
    (200_000, 64, 32),
    (100_000, 128, 16),
    (1_000_000, 1, 2),
    (200_000, 16, 256),
)
FULL = (
    *(Case(EM, *shape, repeats=2) for shape in SHAPES),
    *(Case(EM, 1_000_000, 8, 16, name, repeats=2) for name in STRUCTURES if name != "full"),
    *(Case(EM, *shape, dtype="float32", repeats=2) for shape in SHAPES[1:4]),
    Case(FIT_FROM_START, 1_000, 4, 3, repeats=50),
    Case(FIT, 1_000, 4, 3, repeats=10),
    Case(PREDICT_PROBA, 1_000_000, 8, 16),
    Case(SCORE_SAMPLES, 1_000_000, 8, 16),
    Case(KMEANS, 1_000_000, 8, 64),
    Case(KMEANS, 1_000_000, 32, 64),
)
EVERY_BUILD = tuple(
    Case(name, 100_000, 8, 16, structure, dtype)
    for dtype in TOLERANCES
    for structure in STRUCTURES
    for name in KERNELS
)


class Row(NamedTuple):
    """One contender's result in one case."""

    case: str
    library: str
    version: str
    isa: str
    dtype: str
    threads: int
    seconds: float
    ratio: float
    """Seconds over those of gaussmix in the same case of the same run."""
    gflops: float | None
    gemm_gflops: float | None
    """Rate of a large matrix product just before or after, with the same dtype and threads."""
    peak_bytes: int | None
    """Memory at most beyond what there was before; None where it cannot be measured."""
    correct: bool


def main(full: bool = False, output: str | os.PathLike[str] | None = None) -> int:
    """Run the benchmark and print its table as it grows.

    Parameters
    ----------
    full : bool, default=False
        More shapes, all structures, both precisions, one thread and all, and every build of the
        kernels. Takes the better part of an hour, the short form a minute or two.
    output : path-like, optional
        Folder for ``benchmark.json`` and ``benchmark.md``. By default the full form writes them to
        the current folder, and the short form does not.

    Returns
    -------
    int
        Exit status: 0, or 1 if gaussmix gave a wrong answer.
    """
    about = machine()
    print("\n".join(f"{name}: {value}" for name, value in about.items()), end="\n\n")
    print(_line(COLUMNS), flush=True)
    rows: list[Row] = []
    for group in run_full() if full else run(SHORT, contenders(), threads.resolve().number):
        print("\n".join(_line(cells(row)) for row in group), flush=True)
        rows += group
    if full or output is not None:
        save(rows, about, Path(output or "."))
    return int(not all(row.correct for row in rows if row.library == "gaussmix"))


def run_full() -> Iterator[list[Row]]:
    """Yield the rows of the full form, case by case."""
    count = threads.resolve().number
    counts = sorted({1, count}) if find_spec("threadpoolctl") else [count]  # see `limited`
    for n_threads in counts:
        yield from run(FULL, contenders(), n_threads)
        yield from run(EVERY_BUILD, builds(), n_threads)


def run(
    cases: Iterable[Case], entrants: Sequence[Contender], n_threads: int
) -> Iterator[list[Row]]:
    """Yield the rows of each case, one for each contender that can do it, in their order.

    Ratios are to the first contender's time.
    """
    for case in cases:
        with limited(n_threads):
            rows = _run_case(make_problem(case), entrants, n_threads)
        yield rows


def _run_case(problem: Problem, entrants: Sequence[Contender], n_threads: int) -> list[Row]:
    case = problem.case
    races = [
        Race(entrant, entrant.tasks[case.task](problem, n_threads), case)
        for entrant in entrants
        if entrant.enters(case)
    ]
    gemm = gemm_rate(case.dtype) if case.task == EM else None
    for race in races:
        race.warm_up()
    for _ in range(case.repeats):
        for race in races:
            race.lap()
    if gemm:  # once more, in case other work got in its way
        gemm = max(gemm, gemm_rate(case.dtype))
    truth = _truth(problem, races)
    return [_row(problem, race, races[0].seconds, n_threads, gemm, truth) for race in races]


class Race:
    """One contender's runs of one case.

    Parameters
    ----------
    contender : Contender
    run : callable
        Number of EM iterations -> answer.
    case : Case
        EM iterations are timed by difference, everything else as a whole.
    """

    def __init__(self, contender: Contender, run: Run, case: Case) -> None:
        self.contender = contender
        self.case = case
        self.peak_bytes: int | None = None
        self._run = run
        self._times: dict[int, list[float]] = {1: []}  # EM iterations -> seconds

    def warm_up(self) -> None:
        """Run once, to warm up, keep the answer, and see how long the longer fits may be."""
        before = _reset_peak()
        seconds, self.answer = self._timed(2)
        if before is not None:
            self.peak_bytes = max(0, _memory("VmHWM") - before)
        if self.case.task != EM:
            return
        fewest = 1 if seconds >= SLOW else 2
        longer = 1 + int(np.clip(2 * LONG_FIT / seconds, fewest, MOST_ITERATIONS))
        # a fit as slow as that is not slower for being the first, so it counts
        self._times[longer] = [seconds] if longer == 2 else []

    def lap(self) -> None:
        """Time each length of fit once more, unless that was done often enough."""
        for n_iter, times in self._times.items():
            if len(times) < self.case.repeats:
                times.append(self._timed(n_iter)[0])

    @property
    def seconds(self) -> float:
        """Best time of the call or of an iteration, NaN if other work on the machine hid it."""
        best = {n_iter: min(times) for n_iter, times in self._times.items()}
        longer = max(best)
        if longer == 1:
            return best[1]
        difference = (best[longer] - best[1]) / (longer - 1)
        return difference if difference > 0 else float("nan")

    def _timed(self, n_iter: int) -> tuple[float, Answer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that so few iterations do not converge is meant
            start = perf_counter()
            answer = self._run(n_iter)
            return perf_counter() - start, answer


def _row(
    problem: Problem, race: Race, first: float, n_threads: int, gemm: float | None, truth: Answer
) -> Row:
    contender, case, seconds = race.contender, problem.case, race.seconds
    return Row(
        case=str(case),
        library=contender.library,
        version=contender.version,
        isa=contender.isa,
        dtype=case.dtype,
        threads=n_threads,
        seconds=seconds,
        ratio=seconds / first,
        gflops=pass_flops(problem.X, problem.start) / seconds / 1e9 if gemm else None,
        gemm_gflops=gemm,
        peak_bytes=race.peak_bytes,
        correct=agrees(race.answer, truth, TOLERANCES[case.dtype]),
    )


def _truth(problem: Problem, races: Iterable[Race]) -> Answer:
    """scikit-learn's answer, or the reference's, which computes in float64 from any rows."""
    for race in races:
        if race.contender.library == "scikit-learn" and problem.case.dtype == "float64":
            return race.answer
    return reference_answer(problem)


def reference_answer(problem: Problem, n_iter: int = 2) -> Answer:
    """Return what the NumPy reference makes of a problem, in as many EM iterations."""
    with dispatch.using("reference"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix().tasks[problem.case.task](problem, 1)(n_iter)


def agrees(answer: Answer, truth: Answer, tolerance: float) -> bool:
    """Tell whether an answer is right, to a relative tolerance; arrays by their largest element.

    Values reached after iterations agree only if as many were made, and more than one: the first
    says nothing of the M-step. A likelihood alone may be any better than the true one, and as much
    worse as fits from different starts are.
    """
    if isinstance(answer, tuple) and isinstance(truth, tuple):
        return len(answer) == len(truth) and all(
            _near(found, true, tolerance) for found, true in zip(answer, truth, strict=True)
        )
    if isinstance(answer, Mapping) and isinstance(truth, Mapping):
        return answer.keys() == truth.keys() and all(
            n > 1 and abs(answer[n] - truth[n]) <= tolerance * abs(truth[n]) for n in truth
        )
    if isinstance(answer, float) and isinstance(truth, float):
        return answer >= truth - LIKELIHOOD_MARGIN * max(1.0, abs(truth))
    raise TypeError(f"cannot compare {type(answer).__name__} with {type(truth).__name__}")


def _near(answer: NDArray[Any], truth: NDArray[Any], tolerance: float) -> bool:
    return answer.shape == truth.shape and bool(
        np.max(np.abs(answer - truth)) <= tolerance * np.max(np.abs(truth))
    )


def gemm_rate(dtype: str = "float64", size: int = GEMM_SIZE, repeats: int = 3) -> float:
    """Measure the GFLOP/s of numpy's product of two square matrices, the best of some."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    times = []
    for _ in range(1 + repeats):  # the first one wakes the threads
        start = perf_counter()
        a @ a
        times.append(perf_counter() - start)
    return 2e-9 * size**3 / min(times[1:])


def _reset_peak() -> int | None:
    """Set the peak of this process's memory to what it has now, and return that, on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _memory("VmRSS")
    except (OSError, KeyError):
        return None


def _memory(field: str) -> int:
    """Bytes that this process has (VmRSS) or has had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = dict(line.split(":", 1) for line in lines)[field].split()[0]
    return 1024 * int(kilobytes)


def machine() -> dict[str, str]:
    """Tell what the figures are measured on and with."""
    found = config()
    names = ("numpy", "scipy", "scikit-learn", "daal")
    versions = [f"{name} {number}" for name in names if (number := version_of(name))]
    rates = [f"{dtype} {gemm_rate(dtype):.0f}" for dtype in TOLERANCES]
    return {
        "CPU": f"{_cpu_name()}, {os.cpu_count()} in all, {found['threads']} threads used",
        "gaussmix": f"{found['version']}, {found['isa']}, {found['compiler']}",
        "Python": ", ".join([platform.python_version(), *versions]),
        "gemm": f"{', '.join(rates)} GFLOP/s (numpy, {GEMM_SIZE} x {GEMM_SIZE})",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def save(rows: Sequence[Row], about: Mapping[str, str], folder: Path) -> None:
    """Write ``benchmark.json`` and ``benchmark.md`` to a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"machine": about, "rows": [_without_nan(row) for row in rows]}
    with replacing(folder / "benchmark.json") as file:
        file.write(json.dumps(report, indent=1, allow_nan=False).encode())
    with replacing(folder / "benchmark.md") as file:
        file.write(markdown(rows, about).encode())


def _without_nan(row: Row) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in row._asdict().items()}


def markdown(rows: Iterable[Row], about: Mapping[str, str]) -> str:
    """Return the machine as a list and the rows as a table."""
    rules = [":--", *["--:"] * (len(COLUMNS) - 1)]
    table = [list(COLUMNS), rules, *(cells(row) for row in rows)]
    lines = [f"- {name}: {value}" for name, value in about.items()]
    return "\n".join([*lines, "", *(f"| {' | '.join(line)} |" for line in table), ""])


COLUMNS = {
    "case": 48,
    "library": 13,
    "version": 9,
    "isa": 10,
    "threads": 8,
    "time": 10,
    "ratio": 8,
    "of gemm": 8,
    "memory": 8,
    "correct": 8,
}
"""Headings, and widths in characters."""


def cells(row: Row) -> list[str]:
    """Return what stands under `COLUMNS` in a row."""
    rate = row.gflops / row.gemm_gflops if row.gflops and row.gemm_gflops else None
    return [
        row.case,
        row.library,
        row.version,
        row.isa,
        str(row.threads),
        f"{row.seconds:.2f} s" if row.seconds >= 1 else f"{row.seconds * 1e3:.2f} ms",
        f"{row.ratio:.2f}",
        "" if rate is None else f"{rate:.2f}",
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f} MB",
        "yes" if row.correct else "NO",
    ]


def _line(texts: Iterable[str]) -> str:
    (first, width), *rest = zip(texts, COLUMNS.values(), strict=True)
    return f"{first:<{width}}" + "".join(f"{text:>{width}}" for text, width in rest)
