"""A matrix of pictures: every pair of features, and each alone on the diagonal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.plotting import backend
from gaussmix.plotting.line import draw_diagonal
from gaussmix.plotting.plane import draw_bare, legend_handles
from gaussmix.plotting.subjects import Subject
from gaussmix.plotting.views import features_view, in_lines

PANEL, LARGEST = 2.1, 15.0  # inches: of a panel, and of the figure at most
LEGEND = 1.9  # inches to the right
WIDTH = 16  # characters of a line of a feature's name, along a panel of full size
NAME_SIZE, TICK_SIZE = 9.0, 7.0  # points
TICKS = 3


def draw_pairs(subject: Subject, features: NDArray[np.intp]) -> NDArray[Any]:
    """Draw all pairs of features on a new figure, and return its axes (d, d).

    Below the diagonal are the rows, in the colours of their components, and above it the
    components alone.
    """
    number = len(features)
    side = min(PANEL * number, LARGEST)
    figure = backend.new_figure((side + LEGEND, side))
    panels: NDArray[Any] = figure.subplots(number, number, squeeze=False, sharex="col")
    for row, i in enumerate(features):
        for column, j in enumerate(features):
            axes = panels[row, column]
            if row == column:
                draw_diagonal(axes, subject, features_view(np.array([i]), subject.names))
            else:
                view = features_view(np.array([j, i]), subject.names)
                draw_bare(axes, subject, view, with_points=row > column)
            axes.tick_params(labelsize=TICK_SIZE)
    _share(panels)
    _name(panels, [subject.names[i] for i in features], side / number / PANEL)
    note = None if subject.points is None else subject.points.note()
    figure.legend(
        handles=legend_handles(panels[0, 0], subject), title=note, loc="outside right upper",
        fontsize="small", title_fontsize="small",
    )  # fmt: skip
    return panels


def _share(panels: NDArray[Any]) -> None:
    """Give every row of panels the limits of its feature, which its column has along the width."""
    for row, line in enumerate(panels):
        for column, axes in enumerate(line):
            if row != column:
                axes.set_ylim(panels[row, row].get_xlim())
            axes.locator_params(nbins=TICKS)
            axes.label_outer()


def _name(panels: NDArray[Any], names: list[str], size: float) -> None:
    """Write the names of features, in lines as wide as their panels, along the left and below."""
    style = {"fontsize": max(NAME_SIZE * min(size, 1.0), TICK_SIZE)}
    for i, name in enumerate(names):
        text = in_lines(name, int(WIDTH * size * NAME_SIZE / style["fontsize"]))
        panels[i, 0].set_ylabel(text, **style)
        panels[-1, i].set_xlabel(text, **style)
    panels[0, 0].set_yticks([])
    for axes in panels.diagonal()[1:]:
        axes.tick_params(left=False)
