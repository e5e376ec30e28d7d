"""K-means beside a mixture: hard colours and soft ones, for the command line's demonstration."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gaussmix._core.types import FloatArray
from gaussmix.errors import ParameterError
from gaussmix.model.parameters import Parameters
from gaussmix.plotting import backend
from gaussmix.plotting.colors import component_colors, mixed
from gaussmix.plotting.shapes import ellipses
from gaussmix.plotting.views import View, percent, separating_view

SIZE, DPI = (14.0, 7.9), 120
COVERAGE = 0.68
HIDDEN = 0.0005  # part of the points that may lie outside on each side
MARGIN = 0.04  # of the width of the rest


class Comparison(NamedTuple):
    """Points as K-means and as a mixture see them."""

    X: NDArray[np.floating]  # (N, D)
    centers: FloatArray  # (K, D), of K-means
    labels: NDArray[np.integer]  # (N,), of K-means
    parameters: Parameters
    resp: NDArray[np.floating]  # (N, K), of the mixture


def save_comparison(path: Path, comparison: Comparison, caption: str) -> None:
    """Draw K-means' hard colours beside the mixture's soft ones, and save the picture.

    Both are seen in the plane that separates the mixture's means best. The picture's format is that
    of the path's ending.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are fewer than 2 features, or the ending is not one that matplotlib writes.
    """
    parameters = comparison.parameters
    if parameters.n_features < 2:
        raise ParameterError(f"a picture needs at least 2 features, got {parameters.n_features}")
    with backend.saved(path, SIZE, DPI) as figure:
        view = separating_view(parameters)
        colors = component_colors(view.points(parameters.means))
        hard, soft = figure.subplots(1, 2, sharex=True, sharey=True)
        points = view.points(comparison.X)
        matched = _matching(comparison.centers, parameters.means)
        _draw_points(hard, points, colors[matched[comparison.labels]])
        _write_title(hard, "K-means", "every point has one colour")
        _draw_points(soft, points, mixed(comparison.resp, colors))
        note = f"colours mix on the borders; an ellipse holds {percent(COVERAGE)} of its component"
        _write_title(soft, "Gaussian mixture", note)
        _draw_ellipses(soft, parameters, view)
        _frame(hard, points)
        figure.text(0.5, 0.03, caption, fontsize=12, ha="center", alpha=0.7)
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.075, top=0.88, wspace=0.02)


def _matching(centers: FloatArray, means: FloatArray) -> NDArray[np.intp]:
    """Find the mean that stands for each centre, one each, nearest in all."""
    distances = ((centers[:, None] - means) ** 2).sum(axis=-1)
    matched: NDArray[np.intp] = linear_sum_assignment(distances)[1]
    return matched


def _draw_points(axes: Any, points: FloatArray, colors: FloatArray) -> None:
    axes.scatter(*points.T, c=colors, s=1.3, linewidths=0, rasterized=True)


def _write_title(axes: Any, title: str, note: str) -> None:
    axes.set_title(title, fontsize=19, pad=30)
    axes.text(0.5, 1.02, note, transform=axes.transAxes, fontsize=13, ha="center", alpha=0.7)


def _draw_ellipses(axes: Any, parameters: Parameters, view: View) -> None:
    seen = view.mixture(parameters)
    for outline in ellipses(seen.means, seen.covariances, COVERAGE).drawn():
        style = {"fill": False, "ec": backend.ink(axes), "lw": 1.2, "alpha": 0.9}
        axes.add_patch(backend.ellipse(*outline, **style))


def _frame(axes: Any, points: FloatArray) -> None:
    """Frame almost all points; the other panel shares the axes."""
    low, high = np.quantile(points, [HIDDEN, 1 - HIDDEN], axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for panel in axes.figure.axes:
        panel.set_aspect("equal")
        panel.axis("off")
