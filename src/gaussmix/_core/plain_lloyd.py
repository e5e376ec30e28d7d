"""Lloyd's iteration by passes over all rows: what `lloyd` must do, whatever it leaves out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import Density, nearest_density
from gaussmix._core.types import FloatArray, Labels, Rows


def plain_lloyd(
    accumulate_hard: Callable[..., None],
    X: Rows,
    sample_weight: FloatArray | None,
    centers: FloatArray,
    labels: Labels,
    n_k: FloatArray,
    totals: FloatArray,
    max_iter: int,
    threshold: float,
    n_threads: int = 1,
    tally: NDArray[np.int64] | None = None,
) -> tuple[int, bool]:
    """Do what `reference.lloyd` says, by passes of the kernel `accumulate_hard`."""
    first, found, movement, same = np.empty_like(centers), labels.copy(), np.inf, False
    n_iter = 0
    if tally is not None:
        tally[:] = 0

    def find_nearest() -> Density:
        density = nearest_density(centers, X.dtype)
        n_k[:], first[:], totals[:] = 0, 0, 0
        accumulate_hard(X, sample_weight, density, found, n_k, first, totals, n_threads)
        if tally is not None:
            tally[2] += len(X)
        return density

    while not same and n_iter < max_iter and not movement <= threshold:
        density = find_nearest()
        if not n_k.all():
            return n_iter, False
        same = bool((found == labels).all())
        labels[:] = found
        if not same:
            moved = density.center + (density.means + first / n_k[:, None])
            movement = ((moved - centers) ** 2).sum()
            centers[:] = moved
        n_iter += 1
    if not same:
        find_nearest()
        labels[:] = found
    return n_iter, True
