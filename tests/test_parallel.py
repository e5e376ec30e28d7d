"""Blocks of rows on Python threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gaussmix.data.parallel import for_blocks, in_order


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(("n_rows", "blocks"), [(0, []), (4, [4]), (5, [4, 1]), (12, [4, 4, 4])])
def test_every_row_is_in_one_block(n_rows: int, blocks: list[int], n_threads: int) -> None:
    seen: list[slice] = []
    for_blocks(seen.append, n_rows, 4, n_threads)
    seen.sort(key=lambda rows: rows.start)
    assert [rows.stop - rows.start for rows in seen] == blocks
    assert [row for rows in seen for row in range(rows.start, rows.stop)] == list(range(n_rows))


def test_blocks_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=60)
    for_blocks(lambda _: print(barrier.wait()), 3, 1, 3)
    assert not barrier.broken


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_ends_it(n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other blocks wait until it was seen."""
    n_calls, seen = 0, threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            seen.set()
            super().shutdown(wait)

    def fail(rows: slice) -> None:
        nonlocal n_calls
        n_calls += 1
        if rows.start == 0:
            raise KeyboardInterrupt
        assert seen.wait(60)

    monkeypatch.setattr("gaussmix.data.parallel.ThreadPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt):
        for_blocks(fail, 500, 1, n_threads)
    assert n_calls <= 1 + n_threads


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("ahead", [1, 4])
def test_results_come_in_the_order_of_the_blocks(n_threads: int, ahead: int) -> None:
    found = list(in_order(lambda rows: (rows.start, rows.stop), 22, 4, n_threads, ahead))
    assert found == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 22)]
    assert not list(in_order(lambda rows: rows, 0, 4, n_threads, ahead))
