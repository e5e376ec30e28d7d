"""What the benchmarks share: one way to time a contender in a case and to check its answer."""

from collections.abc import Callable
from functools import cache
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gaussmix._core import threads
from gaussmix.bench.cases import Answer, Case, Contender, limited, make_problem
from gaussmix.bench.race import TOLERANCES, agrees, reference_answer

N_ITER = 3  # of a fit whose iterations are timed
SLOW = 2.0  # seconds of a call that is run only once more

_answers: dict[Case, Answer] = {}  # scikit-learn's, which goes first


@cache
def reference_of(case: Case) -> Answer:
    return reference_answer(make_problem(case), N_ITER)


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Callable[[Contender, Case], None]:
    """Time a contender in a case; a row says who, on how many threads, and whether it is right.

    What is slow is run once more after the run that warms up, all else as often as the case says.
    """

    def measure(contender: Contender, case: Case) -> None:
        n_threads = threads.resolve().number
        benchmark.group = str(case)
        with limited(n_threads):
            run = contender.tasks[case.task](make_problem(case), n_threads)
            start = perf_counter()
            answer = run(N_ITER)
            rounds = 1 if perf_counter() - start >= SLOW else case.repeats
            benchmark.pedantic(run, (N_ITER,), rounds=rounds)  # type: ignore[no-untyped-call]
        if contender.library == "scikit-learn" and case.dtype == "float64":
            if any(other.shape != case.shape for other in _answers):
                _answers.clear()  # arrays may be large
            _answers[case] = answer
        double = case._replace(dtype="float64")
        truth = _answers[double] if double in _answers else reference_of(case)
        correct = agrees(answer, truth, max(TOLERANCES[case.dtype], contender.tolerance))
        benchmark.extra_info |= {
            "library": contender.library,
            "version": contender.version,
            "isa": contender.isa,
            "threads": n_threads,
            "correct": correct,
        }
        assert correct

    return measure
