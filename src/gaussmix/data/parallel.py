"""Blocks of rows on Python threads: for work in NumPy and kernels, which release the GIL."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")


def for_blocks(
    function: Callable[[slice], None], n_rows: int, block_rows: int, n_threads: int
) -> None:
    """Call the function for every slice of `block_rows` rows, on `n_threads` threads.

    The blocks do not depend on the number of threads, so neither do results that a function writes
    to its own rows.
    """
    blocks = _blocks(n_rows, block_rows)
    if n_threads == 1 or len(blocks) <= 1:
        for rows in blocks:
            function(rows)
        return
    with ThreadPoolExecutor(min(n_threads, len(blocks))) as pool:
        try:
            for future in [pool.submit(function, rows) for rows in blocks]:
                future.result()
        except BaseException:  # an interrupt, too, should not wait for the blocks that are left
            pool.shutdown(cancel_futures=True)
            raise


def in_order(
    function: Callable[[slice], R], n_rows: int, block_rows: int, n_threads: int, ahead: int = 1
) -> Iterator[R]:
    """Yield what the function returns for every slice of `block_rows` rows, in the slices' order.

    So sums of it do not depend on the number of threads. At most `ahead` results for each thread
    wait to be taken.
    """
    blocks = _blocks(n_rows, block_rows)
    if n_threads == 1 or len(blocks) <= 1:
        yield from map(function, blocks)
        return
    step = ahead * n_threads
    with ThreadPoolExecutor(n_threads) as pool:
        for first in range(0, len(blocks), step):
            yield from pool.map(function, blocks[first : first + step])


def _blocks(n_rows: int, block_rows: int) -> list[slice]:
    return [slice(i, min(i + block_rows, n_rows)) for i in range(0, n_rows, block_rows)]
