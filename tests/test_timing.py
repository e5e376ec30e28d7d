"""How times are taken: which calls are asked for, and what is made of them. Nothing is timed."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from gaussmix.bench.timing import (
    FIRST_FIT,
    LONG_FIT,
    MOST_ITERATIONS,
    MOST_PATIENCE,
    NOISE,
    PATIENCE,
    RESOLVED,
    Timing,
)


def timed(
    cost: Callable[[int], float], repeats: int = 5, iterated: bool = True
) -> tuple[Timing, list[int]]:
    """Time fits that cost what they are told, and return which lengths they had."""
    calls = [FIRST_FIT]
    timing = Timing(repeats, iterated, cost(FIRST_FIT))
    while wanted := timing.wanted():
        for n_iter in wanted:
            timing.note(n_iter, cost(n_iter))
        calls += wanted
    return timing, calls


def steady(overhead: float, iteration: float) -> Callable[[int], float]:
    return lambda n_iter: overhead + n_iter * iteration


def test_an_iteration_is_the_difference_between_two_fits() -> None:
    timing, calls = timed(steady(0.3, 0.025))
    assert timing.seconds == pytest.approx(0.025)
    assert timing.uncertainty == pytest.approx(0, abs=1e-9)
    longer = int(FIRST_FIT * LONG_FIT / 0.375)
    assert calls == [FIRST_FIT, *[1, longer] * 5]


def test_a_call_is_timed_as_a_whole() -> None:
    costs = iter([0.5, 0.4, 0.45, 0.6])
    timing, calls = timed(lambda _: next(costs), repeats=4, iterated=False)
    assert timing.seconds == 0.4
    assert timing.uncertainty == pytest.approx(0.05 / 0.4)
    assert calls == [FIRST_FIT, 1, 1, 1]  # the first counts


def test_short_iterations_are_many() -> None:
    _, calls = timed(steady(0.0, 1e-5))
    assert set(calls) == {FIRST_FIT, 1, MOST_ITERATIONS}


@pytest.mark.parametrize(("iterated", "calls"), [(True, [3, 1]), (False, [3])])
def test_what_is_slow_is_called_as_seldom_as_can_be(iterated: bool, calls: list[int]) -> None:
    timing, made = timed(steady(0.0, 2 * PATIENCE), iterated=iterated)
    assert made == calls
    assert timing.seconds == pytest.approx(2 * PATIENCE * (1 if iterated else FIRST_FIT))
    assert timing.uncertainty == pytest.approx(2 * NOISE if iterated else NOISE)


def test_the_best_of_each_length_counts() -> None:
    busy = chain([0.0, 0.3, 0.0, 0.0, 0.2], repeat(0.0))
    timing, _ = timed(lambda n_iter: 1.0 + 0.5 * n_iter + next(busy), repeats=3)
    assert timing.seconds == pytest.approx(0.5)
    assert timing.uncertainty < RESOLVED


def noisy(overhead: float, iteration: float, noise: float) -> Callable[[int], float]:
    """Fits that take by turns much longer, so that their best two are never near each other."""
    extra: Iterator[float] = iter(noise * (1 + 0.9**call) for call in range(1000))
    return lambda n_iter: overhead + n_iter * iteration + next(extra)


def test_a_difference_that_noise_may_have_made_is_measured_between_fits_further_apart() -> None:
    timing, calls = timed(noisy(0.5, 0.05, 0.5), repeats=3)
    assert max(calls) > int(FIRST_FIT * LONG_FIT / 1.65)
    assert timing.seconds == pytest.approx(0.05, rel=0.5)


def test_a_time_that_noise_hides_is_none_and_ends() -> None:
    costs = (4.0 - 0.1 * call for call in range(1000))  # longer fits come later, and take less
    timing, calls = timed(lambda _: next(costs))
    assert np.isnan(timing.seconds)
    assert timing.uncertainty == np.inf
    assert len(calls) <= MOST_PATIENCE


def test_calls_that_take_no_time_end() -> None:
    timing, _ = timed(lambda _: 0.0)
    assert np.isnan(timing.seconds)
