"""Curves: a criterion against the number of components, and the climb of a fit."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.plotting import backend
from gaussmix.plotting.colors import COLORS

MARKERS = ("o", "s", "D", "P", "X", "h", "*", "p", "<", ">", "d", "8", "H", "|")
DASHES = ("-", "--", "-.", ":")  # the next ones, once all colours were used
FARTHEST = 4.0  # from the best value of a criterion, in units of half the values' distance
APART = 7.0  # points between marks of values that are not shown
MOST_TICKS = 30  # numbers of components that are written
SIZE = (7.0, 5.0)  # inches
SAVED_SIZE, DPI = (9.0, 5.6), 160
FEW_LINES = 6  # of a legend in one column
MOST_MARKED = 40  # iterations that have a mark each


class Curves(NamedTuple):
    """A criterion of mixtures against their number of components."""

    n_components: Sequence[int]
    values: Mapping[str, Sequence[float]]  # per covariance type, NaN where a fit failed
    best: tuple[int, str]
    title: str


def draw_curves(curves: Curves, ax: Any = None) -> Any:
    """Draw a criterion, a line for each covariance type, on axes or a new figure of pyplot's.

    Values too bad to be shown are triangles on the edge, side by side.
    """
    axes = backend.axes_on(ax, SIZE)
    best_count, best_name = curves.best
    best = curves.values[best_name][list(curves.n_components).index(best_count)]
    low, high = _shown_values(curves, best)
    for number, (name, values) in enumerate(curves.values.items()):
        style = MARKERS[number % len(MARKERS)] + DASHES[number // len(COLORS) % len(DASHES)]
        color = COLORS[number % len(COLORS)]
        axes.plot(curves.n_components, values, style, color=color, markersize=5, label=name)
    _draw_hidden(axes, curves, low, high)
    ring = {"markersize": 14, "fillstyle": "none", "color": backend.ink(axes)}
    axes.plot(best_count, best, "o", label=f"best: {best_count} {best_name}", **ring)
    axes.set(xlabel="number of components", ylabel=curves.title, ylim=(low, high))
    _set_ticks(axes, curves.n_components)
    axes.legend(fontsize="small", ncols=ceil((len(curves.values) + 1) / (FEW_LINES + 1)))
    return axes


def save_curves(path: Path, curves: Curves) -> None:
    """Draw a criterion, and save the picture in the format of the path's ending.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is not one that matplotlib writes.
    """
    with backend.saved(path, SAVED_SIZE, DPI, layout="constrained") as figure:
        draw_curves(curves, figure.add_subplot())


def draw_convergence(bounds: Sequence[float], converged: bool, value: str, ax: Any = None) -> Any:
    """Draw what a fit climbed, of this name, before and after its iterations."""
    axes = backend.axes_on(ax, SIZE)
    n_iter = len(bounds) - 1
    iterations = np.arange(len(bounds))
    marker = "o" if len(bounds) <= MOST_MARKED else ""
    axes.plot(iterations, bounds, color=COLORS[0], marker=marker, markersize=4)
    outcome = "converged" if converged else "not converged"
    ring = {"markersize": 12, "fillstyle": "none", "color": backend.ink(axes), "ls": ""}
    number = f"{n_iter} iteration{'' if n_iter == 1 else 's'}"
    axes.plot(n_iter, bounds[-1], "o", label=f"{outcome} after {number}", **ring)
    axes.set(xlabel="iteration", ylabel=value)
    axes.locator_params(axis="x", integer=True)
    axes.ticklabel_format(axis="y", useOffset=False)  # numbers as `lower_bounds_` has them
    axes.legend(loc="lower right", fontsize="small")
    return axes


def _draw_hidden(axes: Any, curves: Curves, low: float, high: float) -> None:
    """Mark on the edges what lies beyond them, those of one place beside each other."""
    edges = {"v": (0.0, low, np.less), "^": (1.0, high, np.greater)}
    for arrow, (height, edge, beyond) in edges.items():
        for place, count in enumerate(curves.n_components):
            hidden = [
                number
                for number, values in enumerate(curves.values.values())
                if beyond(values[place], edge)
            ]
            for i, number in enumerate(hidden):
                step = APART * (i - (len(hidden) - 1) / 2)
                transform = backend.moved(axes.get_xaxis_transform(), axes, step)
                axes.plot(
                    count, height, arrow, color=COLORS[number % len(COLORS)], markersize=6,
                    transform=transform, clip_on=False, zorder=3,
                )  # fmt: skip


def _set_ticks(axes: Any, counts: Sequence[int]) -> None:
    """Give every number of components a tick, and as many as there is room for a label."""
    step = ceil(len(counts) / MOST_TICKS)
    axes.set_xticks(list(counts)[::step])
    axes.set_xticks(list(counts), minor=True)
    room = max(0.5, 0.04 * (max(counts) - min(counts)))
    axes.set_xlim(min(counts) - room, max(counts) + room)


def _shown_values(curves: Curves, best: float) -> tuple[float, float]:
    """Limits of an axis on which the good values lie apart, however bad the others are."""
    values: FloatArray = np.array(list(curves.values.values()))
    reach = FARTHEST * float(np.nanmedian(np.abs(values - best))) or 1.0
    room = 0.05 * reach
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return max(low, best - reach) - room, min(high, best + reach) + room
