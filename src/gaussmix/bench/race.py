"""One case of the benchmark: its contenders take turns, and their answers are checked.

An EM iteration is the difference between two fits that differ in nothing but `max_iter`, divided
by the difference in iterations: what comes before and after the iterations drops out.
`gaussmix.bench.timing` says how often each is timed. An answer is correct if it is scikit-learn's,
or the NumPy reference's where scikit-learn is missing. Rows in float32 are those in float64, so
what was right for these is right for them. A rate is 4 N K F over the time, F the terms of a row
and a component.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix.bench import machine
from gaussmix.bench.cases import (
    EM,
    FROM_FILES,
    ITERATED,
    Answer,
    Call,
    Case,
    Contender,
    Problem,
    limited,
    make_problem,
)
from gaussmix.bench.contenders import gaussmix
from gaussmix.bench.timing import FIRST_FIT, Timing
from gaussmix.display import progress
from gaussmix.model.statistics import pass_flops

# Relative. In float32 rounding may decide a tie, which moves a count of 10^4 rows by one.
TOLERANCES = {"float64": 1e-8, "float32": 1e-4}
REST = 0.04
"""Seconds before a contender's turn: after a product threads of BLAS wait busily for the next one,
and would take time from whoever comes then."""
TURN = 0.05
"""Seconds that a contender's turn lasts at least: a fit of a millisecond that follows a rest, or
another's turn, mostly waits for memory, and not as it does where many follow each other."""
LIKELIHOOD_MARGIN = 1e-3  # the default tol: fits from different starts end so near the optimum

Truths = dict[tuple[object, ...], Answer]
"""Cases, without precision and threads -> the right answer."""


class Row(NamedTuple):
    """One contender's result in one case."""

    case: Case
    library: str
    version: str
    isa: str
    threads: int
    seconds: float
    """NaN if other work on the machine hid it."""
    uncertainty: float
    """How far off the seconds may be, as a part of them."""
    ratio: float
    """Seconds over those of the first contender in the same case of the same run."""
    gflops: float | None
    gemm_gflops: float | None
    """Rate of a large matrix product just before or after, with the same dtype and threads."""
    peak_bytes: int | None
    """Memory at most beyond what there was before; None where it cannot be measured."""
    value: float | None
    """Mean log-likelihood reached, for K-means the inertia; None for arrays."""
    error: float
    """Relative difference from the right answer."""
    correct: bool


def run_case(
    case: Case, entrants: Sequence[Contender], n_threads: int, truths: Truths
) -> list[Row]:
    """Return a row for each contender that can do a case, in their order.

    Ratios are to the first one's time. Values that double rows reached are kept in `truths`.
    """
    with limited(n_threads):
        problem = make_problem(case)
        races = list(_warmed_up(problem, entrants, n_threads))
        gemm = machine.gemm_rate(case.dtype) if case.task == EM else None
        while sum(race.lap() for race in races):  # all take their turn, so not any()
            pass
        if gemm:  # once more, in case other work got in its way
            gemm = max(gemm, machine.gemm_rate(case.dtype))
        truth = _truth(problem, races, truths)
    return [_row(problem, race, races[0].timing.seconds, n_threads, gemm, truth) for race in races]


def _warmed_up(problem: Problem, entrants: Sequence[Contender], n_threads: int) -> Iterable["Race"]:
    """Yield a race for each contender that enters; a rival that fails is left out."""
    case = problem.case
    for entrant in entrants:
        if not entrant.enters(case):
            continue
        try:
            race = Race(entrant, entrant.tasks[case.task](problem, n_threads), case)
            race.warm_up()
        except Exception as error:  # whatever another library raises
            if entrant.library == "gaussmix":
                raise
            reason = f"{type(error).__name__}: {error}"
            progress.print_above(f"{case}: {entrant.library} is left out: {reason}")
        else:
            yield race


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

    def __init__(self, contender: Contender, run: Call, case: Case) -> None:
        self.contender = contender
        self.case = case
        self.peak_bytes: int | None = None
        self._run = run

    def warm_up(self) -> None:
        """Run once, and keep the answer."""
        before = machine.reset_peak()
        seconds, self.answer = self._timed(FIRST_FIT)
        if before is not None:
            self.peak_bytes = max(0, machine.peak() - before)
        self.timing = Timing(self.case.repeats, self.case.task in ITERATED, seconds)

    def lap(self) -> bool:
        """Run each length of fit once more, unless enough is known; tell whether it was not."""
        wanted = self.timing.wanted()
        if wanted:
            sleep(REST)
        for n_iter in wanted:
            times = [self._timed(n_iter)[0]]
            while sum(times) < TURN:
                times.append(self._timed(n_iter)[0])
            self.timing.note(n_iter, min(times), sum(times))
        return bool(wanted)

    def _timed(self, n_iter: int) -> tuple[float, Answer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that so few iterations do not converge is meant
            start = perf_counter()
            answer = self._run(n_iter)
            return perf_counter() - start, answer


def _row(
    problem: Problem, race: Race, first: float, n_threads: int, gemm: float | None, truth: Answer
) -> Row:
    contender, case, seconds = race.contender, problem.case, race.timing.seconds
    tolerance = max(TOLERANCES[case.dtype], contender.tolerance)
    return Row(
        case=case,
        library=contender.library,
        version=contender.version,
        isa=contender.isa,
        threads=n_threads,
        seconds=seconds,
        uncertainty=race.timing.uncertainty,
        ratio=seconds / first,
        gflops=pass_flops(problem.X, problem.start) / seconds / 1e9 if gemm else None,
        gemm_gflops=gemm,
        peak_bytes=race.peak_bytes,
        value=_value(race.answer),
        error=difference(race.answer, truth),
        correct=agrees(race.answer, truth, tolerance),
    )


def _value(answer: Answer) -> float | None:
    if isinstance(answer, Mapping):
        return next((float(value) for value in answer.values()), None)
    return answer if isinstance(answer, float) else None


def truths_of(rows: Iterable[Row]) -> Truths:
    """Return what the EM iterations of earlier rows tell."""
    return {
        (EM, *row.case.shape, row.case.structure): {FIRST_FIT: row.value}
        for row in rows
        if row.library == "scikit-learn" and row.case.task == EM and row.case.dtype == "float64"
        if row.value is not None
    }


def _truth(problem: Problem, races: Iterable[Race], truths: Truths) -> Answer:
    """scikit-learn's answer or the reference's; what double rows reached serves single ones."""
    case = problem.case
    task = EM if case.task == FROM_FILES else case.task  # the same rows
    key = (task, *case.shape, case.structure)
    double = case.dtype == "float64"
    answers = [race.answer for race in races if race.contender.library == "scikit-learn"]
    if answers and double:
        answer = answers[0]
    else:
        answer = truths[key] if key in truths else reference_answer(problem)
    if double and isinstance(answer, Mapping):  # arrays are large, and never asked for again
        truths[key] = answer
    return answer


def reference_answer(problem: Problem, n_iter: int = FIRST_FIT) -> Answer:
    """Return what the NumPy reference makes of a problem, in as many EM iterations."""
    with dispatch.using("reference"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix().tasks[problem.case.task](problem, 1)(n_iter)


def agrees(answer: Answer, truth: Answer, tolerance: float) -> bool:
    """Tell whether an answer is right, to a relative tolerance.

    A likelihood alone may be as much worse than the true one as fits from different starts are.
    """
    allowed = LIKELIHOOD_MARGIN if isinstance(truth, float) else tolerance
    return difference(answer, truth) <= allowed


def difference(answer: Answer, truth: Answer) -> float:
    """Relative difference between answers; of arrays by their largest element.

    Values reached after iterations agree only if as many were made, and more than one: the first
    says nothing of the M-step. A likelihood alone may be any better than the true one. What has
    no answer is not wrong.
    """
    if answer is None:
        return 0.0
    if isinstance(answer, tuple) and isinstance(truth, tuple):
        if len(answer) != len(truth):
            return float("inf")
        return float(np.max([_apart(*pair) for pair in zip(answer, truth, strict=True)]))
    if isinstance(answer, Mapping) and isinstance(truth, Mapping):
        if answer.keys() != truth.keys() or min(truth) < 2:
            return float("inf")
        return float(np.max([abs(answer[n] - truth[n]) / abs(truth[n]) for n in truth]))
    if isinstance(answer, float) and isinstance(truth, float):
        return float(np.maximum(0.0, truth - answer)) / max(1.0, abs(truth))
    raise TypeError(f"cannot compare {type(answer).__name__} with {type(truth).__name__}")


def _apart(answer: NDArray[Any], truth: NDArray[Any]) -> float:
    if answer.shape != truth.shape:
        return float("inf")
    largest = float(np.max(np.abs(truth))) or 1.0
    return float(np.max(np.abs(answer - truth))) / largest
