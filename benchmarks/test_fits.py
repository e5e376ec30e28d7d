"""Fits and predictions, beside the rivals that are installed, from equal starts."""

from collections.abc import Callable

import pytest

from gaussmix.contenders import (
    EM,
    FIT,
    FIT_FROM_START,
    KMEANS,
    PREDICT_PROBA,
    SCORE_SAMPLES,
    Case,
    Contender,
    contenders,
)

CASES = (
    Case(EM, 100_000, 2, 8),
    Case(EM, 100_000, 8, 16),
    Case(EM, 50_000, 32, 8),
    Case(EM, 100_000, 8, 16, "diag"),
    Case(EM, 100_000, 8, 16, "tied"),
    Case(EM, 100_000, 8, 16, "spherical"),
    Case(EM, 100_000, 8, 16, dtype="float32"),
    Case(FIT_FROM_START, 1_000, 4, 3, repeats=20),
    Case(FIT, 1_000, 4, 3, repeats=20),
    Case(PREDICT_PROBA, 100_000, 8, 16),
    Case(SCORE_SAMPLES, 100_000, 8, 16),
    Case(KMEANS, 100_000, 8, 16),
)


PAIRS = [(case, entrant) for case in CASES for entrant in contenders() if entrant.enters(case)]


@pytest.mark.filterwarnings("ignore")  # that five iterations do not converge is meant
@pytest.mark.parametrize(
    ("case", "contender"), PAIRS, ids=[f"{case}-{entrant.library}" for case, entrant in PAIRS]
)
def test_fit(measure: Callable[[Contender, Case], None], case: Case, contender: Contender) -> None:
    measure(contender, case)
