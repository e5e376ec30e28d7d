"""Blocks of rows on Python threads: for work in NumPy and kernels, which release the GIL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def for_blocks(
    function: Callable[[slice], None], n_rows: int, block_rows: int, n_threads: int
) -> None:
    """Call the function for every slice of `block_rows` rows, on `n_threads` threads.

    The blocks do not depend on the number of threads, so neither do results that a function writes
    to its own rows.
    """
    blocks = [slice(i, min(i + block_rows, n_rows)) for i in range(0, n_rows, block_rows)]
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
