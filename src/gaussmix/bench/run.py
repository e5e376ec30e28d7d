"""Times this installation, beside scikit-learn where that is installed, and checks every answer.

`gaussmix.bench.race` says how a case is measured.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from gaussmix._core import threads
from gaussmix._core.types import PathLike
from gaussmix.bench import scikit_learn, table
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    KMEANS,
    PREDICT_PROBA,
    SCORE_SAMPLES,
    Case,
    Contender,
    limited,
    version_of,
)
from gaussmix.bench.contenders import with_rivals
from gaussmix.bench.machine import Ceilings, about, better, ceilings, reached
from gaussmix.bench.race import Row, run_case, truths_of

DISTRIBUTIONS = ("numpy", "scipy", "scikit-learn")
TIME_TAKEN = "time taken"

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


class Entry(NamedTuple):
    """A case, who runs it, and on how many threads."""

    case: Case
    entrants: Sequence[Contender]
    threads: int

    def __str__(self) -> str:
        return f"{self.case}, {self.threads} thread" + "s" * (self.threads > 1)


def main(only: str | None = None, output: PathLike | None = None) -> int:
    """Run the benchmark and print its table as it grows.

    Parameters
    ----------
    only : str, optional
        A regular expression: of all the parts only those whose names it is found in, which are
        printed as they run.
    output : path-like, optional
        Folder for ``benchmark.json`` and ``benchmark.md``, written anew after each part.

    Returns
    -------
    int
        Exit status: 0, or 1 if gaussmix gave a wrong answer.

    Raises
    ------
    ValueError
        If `only` is not a regular expression, or is found in no part's name.
    """
    entries, _ = chosen(short(with_rivals([scikit_learn])), only)
    folder = None if output is None else made(output)
    session = Session(machine_facts(DISTRIBUTIONS))
    session.measure_ceilings(entries)
    for _ in session.run(entries):  # what was measured before an interruption counts
        if folder:
            _save(session, folder)
    session.measure_ceilings(entries)
    if folder:
        _save(session, folder)
    return session.status


def short(entrants: Sequence[Contender]) -> list[Entry]:
    """Return the short form, which runs on all threads."""
    count = threads.resolve().number
    return [Entry(case, entrants, count) for case in SHORT]


def chosen(
    entries: Iterable[Entry], only: str | None, others: Iterable[str] = ()
) -> tuple[list[Entry], list[str]]:
    """Return the parts in whose names a regular expression is found: cases, and other parts.

    Parameters
    ----------
    entries : iterable of Entry
    only : str or None
        None chooses all.
    others : iterable of str, optional
        Names of parts that are no cases.

    Raises
    ------
    ValueError
        If `only` is not a regular expression, or is found in no name.
    """
    try:
        pattern = re.compile(only or "")
    except re.error as error:
        raise ValueError(f"only must be a regular expression, got {only!r}: {error}") from None
    cases = [entry for entry in entries if pattern.search(str(entry))]
    names = [name for name in others if pattern.search(name)]
    if not cases and not names:
        raise ValueError(f"only must be found in the name of a part, got {only!r}")
    return cases, names


def made(output: PathLike) -> Path:
    """Make the folder, if there is none, and return it."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def machine_facts(distributions: Iterable[str]) -> dict[str, str]:
    """Tell what the figures are measured on, and with which versions."""
    return about({name: version_of(name) for name in distributions})


class Session:
    """What one run has found so far.

    Parameters
    ----------
    facts : mapping of str to str
        What the figures are measured on.
    rows : iterable of Row, optional
        What an earlier run found.
    before : str, optional
        The time that it took.
    """

    def __init__(
        self, facts: Mapping[str, str], rows: Iterable[Row] = (), before: str = ""
    ) -> None:
        self.rows = list(rows)
        self.ceilings: dict[int, Ceilings] = {}
        self._facts, self._before = dict(facts), before
        self._begin = perf_counter()

    def measure_ceilings(self, entries: Iterable[Entry]) -> None:
        """Measure what the machine can do on as many threads; the better of two figures counts."""
        counts = {entry.threads for entry in entries} | {row.threads for row in self.rows}
        for count in sorted(counts | {threads.resolve().number}):
            with limited(count):
                found = ceilings(count)
            known = self.ceilings.get(count)
            self.ceilings[count] = better(known, found) if known else found

    def run(self, entries: Sequence[Entry]) -> Iterator[list[Row]]:
        """Run case by case, print the rows and yield them; standard error says what comes next."""
        print("\n".join(f"{name}: {text}" for name, text in self._machine().items()))
        truths = truths_of(self.rows)
        if entries:
            print("", table.line(table.COLUMNS), sep="\n", flush=True)
        for done, entry in enumerate(entries, start=1):
            place = f"[{done} of {len(entries)}, {self._clock()}]"
            print(place, entry, file=sys.stderr, flush=True)
            rows = run_case(*entry, truths)
            print("\n".join(table.line(table.cells(row)) for row in rows), flush=True)
            self.rows.extend(rows)
            yield rows

    @property
    def about(self) -> dict[str, str]:
        """The machine, the most that it can do, and the time taken so far."""
        taken = " + ".join(filter(None, (self._before, self._clock())))
        return self._machine() | {TIME_TAKEN: taken}

    @property
    def status(self) -> int:
        """Exit status: 0, or 1 if gaussmix gave a wrong answer."""
        return int(not all(row.correct for row in self.rows if row.library == "gaussmix"))

    def _machine(self) -> dict[str, str]:
        words = {
            f"{count} thread" + "s" * (count > 1): reached(found)
            for count, found in sorted(self.ceilings.items())
        }
        return self._facts | words

    def _clock(self) -> str:
        minutes, seconds = divmod(int(perf_counter() - self._begin), 60)
        return f"{minutes}:{seconds:02d}"


def _save(session: Session, folder: Path) -> None:
    found = table.as_dict(session.about, session.ceilings.values(), session.rows)
    parts = [table.bullets(session.about), "## Times", table.times(session.rows)]
    table.write(folder, found, "\n\n".join(parts) + "\n")
