"""Times gaussmix beside all rivals that are installed, and judges the speeds that are aimed at.

`benchmarks.plan` says what runs, `gaussmix.bench.race` how a case is measured, `benchmarks.targets`
what is hoped for.
"""

import math
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from benchmarks import charts, efficiency
from benchmarks.libraries import DISTRIBUTIONS, contenders
from benchmarks.plan import all_of_it
from benchmarks.report import Report, read, save, target_lines
from benchmarks.targets import Results, judge
from gaussmix._core import threads
from gaussmix._core.types import PathLike
from gaussmix.bench.cases import limited
from gaussmix.bench.race import Row
from gaussmix.bench.run import TIME_TAKEN, Session, chosen, machine_facts, made, short
from gaussmix.display import progress

EFFICIENCY = "efficiency"
NOTHING = Report({}, [], [], [])


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
        rows from files, the rates of many shapes, and the table of targets. It takes some 25
        minutes on two cores where scikit-learn and oneDAL are installed. By default the cases of
        `gaussmix bench`, beside all rivals.
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
    return run.session.status


class _Run:
    """One run: what is left to do, and what is known so far."""

    def __init__(self, full: bool, only: str | None, output: PathLike | None, resume: bool) -> None:
        entries = all_of_it() if full else short(contenders())
        entries, others = chosen(entries, only, [EFFICIENCY] if full else [])
        self._full, self._only = full, only
        self._folder = made(output or ".") if output is not None or full or resume else None
        machine = machine_facts(DISTRIBUTIONS)
        earlier = _earlier(self._folder, machine) if resume and self._folder else NOTHING
        rows = _resolved(earlier.rows)
        done = {(str(row.case), row.threads) for row in rows}
        self._entries = [e for e in entries if (str(e.case), e.threads) not in done]
        self._grid = earlier.grid
        self._charted = bool(others) and not self._grid
        self.session = Session(machine, rows, earlier.about.get(TIME_TAKEN, ""))
        self.session.measure_ceilings(entries)

    def measure(self) -> None:
        """Run case by case, and keep each one's rows."""
        for _ in self.session.run(self._entries):
            if self._folder:
                save(self._report(), self._folder)
        if self._charted:
            self._grid = _grid()
        self.session.measure_ceilings(self._entries)

    def end(self) -> None:
        """Write the report and its pictures, and print the targets."""
        report = self._report()
        if self._folder:
            save(report, self._folder, _draw(report, self._folder) if self._full else ())
        print("\n".join(["", *target_lines(report.targets)]) if report.targets else "")

    def _report(self) -> Report:
        session = self.session
        targets = judge(Results(session.rows, session.ceilings, self._grid)) if self._full else []
        kept = [target for target in targets if not self._only or target.measured is not None]
        ceilings = list(session.ceilings.values())
        return Report(session.about, ceilings, session.rows, kept, self._grid)


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
