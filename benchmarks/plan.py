"""What the full benchmark runs: every case, who enters it, and on how many threads."""

from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.from_files import readers
from benchmarks.libraries import contenders
from benchmarks.targets import (
    FILES_SHAPE,
    KMEANS_SHAPES,
    PREDICTED,
    SINGLE,
    SINGLE_ONEDAL,
    SMALL_FIT,
    STRUCTURED,
)
from gaussmix._core import threads
from gaussmix._core.density import STRUCTURES
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    PREDICTIONS,
    SHAPES,
    Case,
    Contender,
)
from gaussmix.bench.contenders import builds
from gaussmix.bench.machine import DTYPES
from gaussmix.bench.run import Entry

NOT_ON_ONE_THREAD = ("S3", "S4", "S5", "S7")  # of scikit-learn: minutes, which no target asks for

EVERY_BUILD = tuple(
    Case("accumulate", 100_000, 8, 16, structure, dtype)
    for dtype in DTYPES
    for structure in STRUCTURES
)


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
