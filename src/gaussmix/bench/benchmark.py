"""Times gaussmix beside the rivals that are installed, and checks every answer: what runs when.

`gaussmix.bench.race` says how a case is measured, `gaussmix.bench.targets` what is hoped for.
"""

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from gaussmix import progress
from gaussmix._core import threads
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import PathLike
from gaussmix.bench import charts, efficiency
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    PREDICT_PROBA,
    PREDICTIONS,
    SCORE_SAMPLES,
    SHAPES,
    Case,
    Contender,
    builds,
    limited,
    version_of,
)
from gaussmix.bench.from_files import readers
from gaussmix.bench.machine import DTYPES, Ceilings, about, better, ceilings, reached
from gaussmix.bench.race import Row, Truths, run_case, truths_of
from gaussmix.bench.report import COLUMNS, Report, cells, line, read, save, target_lines
from gaussmix.bench.rivals import contenders
from gaussmix.bench.targets import (
    FILES_SHAPE,
    KMEANS_SHAPES,
    PREDICTED,
    SINGLE,
    SINGLE_ONEDAL,
    SMALL_FIT,
    STRUCTURED,
    Results,
    judge,
)

DISTRIBUTIONS = (
    *("numpy", "scipy", "scikit-learn", "daal", "torch", "pomegranate", "torchgmm"),
    *("jax", "gmmx"),
)
EFFICIENCY = "efficiency"
TIME_TAKEN = "time taken"
NOT_ON_ONE_THREAD = ("S3", "S4", "S5", "S7")  # of scikit-learn: minutes, which no target asks for
NOTHING = Report({}, [], [], [])

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
EVERY_BUILD = tuple(
    Case("accumulate", 100_000, 8, 16, structure, dtype)
    for dtype in DTYPES
    for structure in STRUCTURES
)


class Entry(NamedTuple):
    """A case, who runs it, and on how many threads."""

    case: Case
    entrants: Sequence[Contender]
    threads: int

    def __str__(self) -> str:
        return f"{self.case}, {self.threads} thread" + "s" * (self.threads > 1)


def main(
    full: bool = False,
    only: str | None = None,
    output: PathLike | None = None,
    resume: bool = False,
) -> int:
    """Run the benchmark and print its table as it grows.

    Parameters
    ----------
    full : bool, default=False
        All shapes and structures, both precisions, one thread and all, predictions, fits, K-means,
        rows from files, the rates of many shapes, and the table of targets. Takes some 25
        minutes on two cores where scikit-learn and oneDAL are installed, the short form about one.
    only : str, optional
        A regular expression: of all the parts only those whose names it is found in, which are
        printed as they run. The name of the rates of many shapes is "efficiency".
    output : path-like, optional
        Folder for ``benchmark.json`` and ``benchmark.md``, written anew after each part, and of
        the full form for the pictures ``roofline.png`` and ``efficiency.png``, if matplotlib is
        installed. By default the full form writes them to the current folder, and the short form
        does not.
    resume : bool, default=False
        Keep what ``benchmark.json`` in that folder has, and run the parts that it lacks, or in
        which a time was not resolved.

    Returns
    -------
    int
        Exit status: 0, or 1 if gaussmix gave a wrong answer.

    Raises
    ------
    ValueError
        If `only` is not a regular expression, or is found in no part's name; if there is no run to
        resume, or it ran on another machine or with other versions.
    """
    run = _Run(full, only, output, resume)
    try:
        run.measure()
    finally:  # what was measured before an interruption counts
        run.end()
    return int(not all(row.correct for row in run.rows if row.library == "gaussmix"))


class _Run:
    """One run: what is left to do, and what is known so far."""

    def __init__(self, full: bool, only: str | None, output: PathLike | None, resume: bool) -> None:
        self._begin = perf_counter()
        entries, charted = chosen(full, only)
        self._full, self._only = full, only
        self._folder = _folder(output, full or resume)
        self._facts = about({name: version_of(name) for name in DISTRIBUTIONS})
        earlier = _earlier(self._folder, self._facts) if resume and self._folder else NOTHING
        self.rows = _resolved(earlier.rows)
        self._grid = earlier.grid
        self._before = earlier.about.get(TIME_TAKEN, "")
        done = {(str(row.case), row.threads) for row in self.rows}
        self._entries = [e for e in entries if (str(e.case), e.threads) not in done]
        self._charted = charted and not self._grid
        self._limits = _ceilings({threads.resolve().number, *(e.threads for e in entries)})

    def measure(self) -> None:
        """Run case by case, and keep each one's rows."""
        facts = self._facts | _in_words(self._limits)
        print("\n".join(f"{name}: {text}" for name, text in facts.items()))
        for rows in _rows(self._entries, self._begin, truths_of(self.rows)):
            self.rows.extend(rows)
            self._save()
        self._grid = _grid() if self._charted else self._grid
        again = _ceilings(set(self._limits))
        self._limits = {at: better(found, again[at]) for at, found in self._limits.items()}

    def end(self) -> None:
        """Write the report and its pictures, and print the targets."""
        report = self._report()
        if self._folder:
            save(report, self._folder, _draw(report, self._folder) if self._full else ())
        print("\n".join(["", *target_lines(report.targets)]) if report.targets else "")

    def _save(self) -> None:
        if self._folder:
            save(self._report(), self._folder)

    def _report(self) -> Report:
        results = Results(self.rows, self._limits, self._grid)
        targets = judge(results) if self._full else []
        kept = [target for target in targets if not self._only or target.measured is not None]
        return Report(self._about(), list(self._limits.values()), self.rows, kept, self._grid)

    def _about(self) -> dict[str, str]:
        taken = " + ".join(filter(None, (self._before, _clock(self._begin))))
        return self._facts | _in_words(self._limits) | {TIME_TAKEN: taken}


def _folder(output: PathLike | None, wanted: bool) -> Path | None:
    if output is None and not wanted:
        return None
    folder = Path(output or ".")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _earlier(folder: Path, facts: Mapping[str, str]) -> Report:
    """What an earlier run found, with the same machine and versions."""
    found = read(folder)
    for name, text in facts.items():
        if found.about.get(name) != text:
            raise ValueError(
                f"the run to be resumed had {name} {found.about.get(name)!r}, this one {text!r}"
            )
    return found


def _resolved(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of those parts in which every time is known."""
    hidden = {(row.case, row.threads) for row in rows if math.isnan(row.seconds)}
    return [row for row in rows if (row.case, row.threads) not in hidden]


def chosen(full: bool, only: str | None) -> tuple[list[Entry], bool]:
    """Return what is to run, and whether the rates of many shapes are measured."""
    try:
        pattern = re.compile(only or "")
    except re.error as error:
        raise ValueError(f"only must be a regular expression, got {only!r}: {error}") from None
    entries = [entry for entry in (all_of_it() if full else short()) if pattern.search(str(entry))]
    charted = full and pattern.search(EFFICIENCY) is not None
    if not entries and not charted:
        raise ValueError(f"only must be found in the name of a part, got {only!r}")
    return entries, charted


def short() -> list[Entry]:
    """Return the short form, which runs on all threads."""
    entrants, count = contenders(), threads.resolve().number
    return [Entry(case, entrants, count) for case in SHORT]


def all_of_it() -> list[Entry]:
    """Return the full form; cases on the same rows follow each other."""
    entrants, every_build = contenders(), builds()
    count = threads.resolve().number
    entries = []
    for name, shape in SHAPES.items():
        for case in cases_of(name):
            # on other shapes single precision is compared with double, not with the rivals'
            alone = case.dtype == "float32" and name != SINGLE_ONEDAL[0]
            entries.append(Entry(case, entrants[:1] if alone else entrants, count))
        entries += _held(Case(EM, *shape, repeats=4), entrants, count)
        if shape == FILES_SHAPE:
            entries.append(Entry(Case(FROM_FILES, *shape, repeats=4), readers(), count))
        if name == "S1":  # tells what a log-sum-exp takes
            kernels = [Case(task, *shape, repeats=10) for task in ("log_likelihood", "assign")]
            entries += [Entry(case, entrants[:1], 1) for case in kernels]
    small = [Case(FIT, *SMALL_FIT, repeats=50), Case(FIT_FROM_START, *SMALL_FIT, repeats=50)]
    entries += [Entry(case, entrants, count) for case in small]
    entries += [held for case in small for held in _held(case, entrants, count)]
    entries += [Entry(Case(KMEANS, *shape), entrants, count) for shape in KMEANS_SHAPES]
    entries += [Entry(case, every_build, 1) for case in EVERY_BUILD]
    return entries


def cases_of(name: str) -> list[Case]:
    """Return the cases of a named shape."""
    shape = SHAPES[name]
    structures = STRUCTURES if name in STRUCTURED else STRUCTURES[:1]
    cases = [Case(EM, *shape, structure, repeats=4) for structure in structures]
    if name in (*SINGLE, SINGLE_ONEDAL[0]):
        cases.append(Case(EM, *shape, dtype="float32", repeats=4))
    if name in PREDICTED:
        cases += [Case(task, *shape) for task in PREDICTIONS]
    if name == "S2":
        cases.append(Case(FIT, *shape))
    return cases


def _held(case: Case, entrants: Sequence[Contender], count: int) -> list[Entry]:
    """The same on one thread, if BLAS and OpenMP can be held to it, by those that can."""
    if count == 1 or find_spec("threadpoolctl") is None:
        return []
    stays_away = "scikit-learn" if case.name in NOT_ON_ONE_THREAD else None
    able = [entrant for entrant in entrants if entrant.held and entrant.library != stays_away]
    return [Entry(case, able, 1)]


def _ceilings(counts: set[int]) -> dict[int, Ceilings]:
    limits = {}
    for count in sorted(counts):
        with limited(count):
            limits[count] = ceilings(count)
    return limits


def _in_words(limits: Mapping[int, Ceilings]) -> dict[str, str]:
    return {f"{count} thread" + "s" * (count > 1): reached(at) for count, at in limits.items()}


def _rows(entries: Sequence[Entry], begin: float, truths: Truths) -> Iterator[list[Row]]:
    """Run case by case, print the rows, and say on standard error what comes next."""
    if entries:
        print("", line(COLUMNS), sep="\n", flush=True)
    for done, entry in enumerate(entries, start=1):
        place = f"[{done} of {len(entries)}, {_clock(begin)}]"
        print(place, entry, file=sys.stderr, flush=True)
        rows = run_case(*entry, truths)
        print("\n".join(line(cells(row)) for row in rows), flush=True)
        yield rows


def _grid() -> efficiency.Grid:
    count = threads.resolve().number
    with progress.bar("rates of many shapes", "shapes") as tell, limited(count):
        return efficiency.measure(count, progress=tell)


def _draw(report: Report, folder: Path) -> list[str]:
    """Draw the pictures that there are figures for, and return their names."""
    if find_spec("matplotlib") is None:
        progress.print_above('no pictures without matplotlib: pip install "gaussmix[plot]"')
        return []
    limits = max(report.ceilings, key=lambda found: found.threads)
    caption = f"{report.about['CPU']}\ngaussmix {report.about['gaussmix']}"
    names = []
    if charts.on_roofline(report.rows, limits.threads):
        names.append("roofline.png")
        exp_rate = Results(report.rows, {limits.threads: limits}, None).exp_rate
        charts.save_roofline(folder / names[-1], report.rows, limits, exp_rate, caption)
    if report.grid:
        names.append("efficiency.png")
        charts.save_efficiency(folder / names[-1], report.grid, limits, caption)
    return names


def _clock(begin: float) -> str:
    minutes, seconds = divmod(int(perf_counter() - begin), 60)
    return f"{minutes}:{seconds:02d}"
