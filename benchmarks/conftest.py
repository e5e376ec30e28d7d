"""What the benchmarks share: one way to time a contender in a case and to check its answer."""

from collections.abc import Callable
from functools import cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gaussmix._core import threads
from gaussmix.benchmark import TOLERANCES, agrees, reference_answer
from gaussmix.contenders import Answer, Case, Contender, Problem, limited, make_problem

N_ITER = 5  # of a fit whose iterations are timed


@cache
def problem_of(case: Case) -> Problem:
    return make_problem(case)


@cache
def truth_of(case: Case) -> Answer:
    return reference_answer(problem_of(case), N_ITER)


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Callable[[Contender, Case], None]:
    """Time a contender in a case; a row says who, on how many threads, and whether it is right."""

    def measure(contender: Contender, case: Case) -> None:
        n_threads = threads.resolve().number
        run = contender.tasks[case.task](problem_of(case), n_threads)
        benchmark.group = str(case)
        with limited(n_threads):
            answer = benchmark.pedantic(  # type: ignore[no-untyped-call]
                run, (N_ITER,), rounds=case.repeats, warmup_rounds=1
            )
        correct = agrees(answer, truth_of(case), TOLERANCES[case.dtype])
        benchmark.extra_info |= {
            "library": contender.library,
            "version": contender.version,
            "isa": contender.isa,
            "threads": n_threads,
            "correct": correct,
        }
        assert correct

    return measure
