"""The shapes that the library is judged by, beside the rivals that are installed.

A fit from a given start makes three EM iterations. `python -m benchmarks --full` tells what one
takes.
"""

from collections.abc import Callable

import pytest

from benchmarks.libraries import contenders
from benchmarks.plan import cases_of
from benchmarks.targets import KMEANS_SHAPES, SMALL_FIT
from gaussmix.bench.cases import FIT, FIT_FROM_START, KMEANS, SHAPES, Case, Contender

CASES = (
    *(case for name in SHAPES for case in cases_of(name)),
    Case(FIT, *SMALL_FIT, repeats=20),
    Case(FIT_FROM_START, *SMALL_FIT, repeats=20),
    *(Case(KMEANS, *shape) for shape in KMEANS_SHAPES),
)
# scikit-learn first: its answers are what the others' are compared with
ENTRANTS = sorted(contenders(), key=lambda entrant: entrant.library != "scikit-learn")
PAIRS = [(case, entrant) for case in CASES for entrant in ENTRANTS if entrant.enters(case)]


@pytest.mark.filterwarnings("ignore")  # that so few iterations do not converge is meant
@pytest.mark.parametrize(
    ("case", "contender"), PAIRS, ids=[f"{case}-{entrant.library}" for case, entrant in PAIRS]
)
def test_fit(measure: Callable[[Contender, Case], None], case: Case, contender: Contender) -> None:
    measure(contender, case)
