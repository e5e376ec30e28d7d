"""Rows that lack values, in the parts that kernels take: they score such rows in float64 alone."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.density import GROUP_ROWS, Density, window_groups
from gaussmix._core.types import Rows

MOST_WINDOWS = 4  # of float32 rows that are held in float64 at a time


class Part(NamedTuple):
    """Rows that one call of a kernel takes, where they lie among all, and under what density."""

    place: slice
    rows: Rows
    density: Density


def parts(rows: Rows, density: Density) -> Iterator[Part]:
    """Cut rows into what kernels take at once, in order.

    These are all rows, unless the rows are float32 and may lack values. Then windows in which any
    row lacks one are converted. Kernels add up windows in order, so that the bits of sums do not
    depend on how windows are taken together.
    """
    if not density.gaps or rows.dtype == np.float64:
        yield Part(slice(0, len(rows)), rows, density)
        return
    size = window_groups(rows.shape[1]) * GROUP_ROWS
    starts = range(0, len(rows), size)
    lacking = np.isnan(np.add.reduceat(np.einsum("nd->n", rows), starts)) if len(rows) else ()
    for lacks, run in groupby(zip(starts, lacking, strict=True), lambda window: bool(window[1])):
        places = [start for start, _ in run]
        step = MOST_WINDOWS if lacks else len(places)
        for first in range(0, len(places), step):
            end = places[min(first + step, len(places)) - 1] + size
            place = slice(places[first], min(end, len(rows)))
            if lacks:
                yield Part(place, rows[place].astype(np.float64), density)
            else:
                yield Part(place, rows[place], density._replace(gaps=False))


def target(out: NDArray[Any], part: Part) -> NDArray[Any]:
    """Return where a kernel writes numbers of a part's rows that belong in `out`."""
    own = out[part.place]
    return own if own.dtype == part.rows.dtype else np.empty(own.shape, part.rows.dtype)


def keep(out: NDArray[Any], part: Part, found: NDArray[Any]) -> None:
    """Put what a kernel wrote into a `target` where it belongs."""
    if found.dtype != out.dtype:
        out[part.place] = found
