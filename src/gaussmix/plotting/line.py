"""A mixture of one feature, or seen along one: a histogram, its components and their sum."""

from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import log_likelihoods, responsibilities
from gaussmix.plotting import backend
from gaussmix.plotting.colors import mixed, with_noise
from gaussmix.plotting.plane import (
    LINE,
    REGION_COLOR,
    REGIONS_TITLE,
    component_handles,
    dot_area,
    fill_regions,
    name_axes,
    place_legend,
    region_handles,
    region_probabilities,
)
from gaussmix.plotting.shapes import bounds, chi_squared_radius
from gaussmix.plotting.subjects import MOST_LISTED, Subject
from gaussmix.plotting.views import View, percent

PLACES = 600  # where curves are computed, evenly
NEAR_MEANS = np.linspace(-4.0, 4.0, 25)  # and in sigmas around means
FAR = 4.0  # sigmas
TALLEST = 5.0  # times the density that half of the probability exceeds
FEWEST_BINS, MOST_BINS = 20, 100
STRIP = 0.12  # of the curves' height, below zero, for the intervals of components
BAR = 0.55  # opacity of a histogram


def draw_histogram(axes: Any, subject: Subject, view: View) -> None:
    """Draw rows as a stack of bars, each component's share in its colour, and curves on them."""
    mixture = subject.seen_from(view)
    bars = _draw_bars(axes, subject, view, soft=True)
    if subject.hard:
        _draw_centers(axes, subject, mixture.means[:, 0])
        handles, seen = component_handles(subject), None
    else:
        x, parts = _curves(mixture, _range(mixture, subject, view))
        width = LINE if len(mixture.means) <= MOST_LISTED else LINE / 2
        for part, color in zip(parts.T, subject.colors, strict=True):
            axes.plot(x, part, "--", color=color, lw=width)
        density = parts.sum(axis=1)
        axes.plot(x, density, color=backend.ink(axes), lw=1.5 * LINE)
        height = _height(x, density, bars)
        _draw_intervals(axes, subject, mixture, height)
        _cut_peaks(axes, subject, x, parts, height, -1.2 * STRIP * height)
        handles = [
            *component_handles(subject),
            backend.mark(color=backend.ink(axes), lw=1.5 * LINE, label="their sum"),
            _interval_handle(subject),
        ]
        seen = np.column_stack([x, density])
    _finish(axes, subject, view, "density", handles, seen=seen)


def draw_line_density(axes: Any, subject: Subject, view: View) -> None:
    """Draw the density, and below it the densest regions of given probabilities."""
    assert subject.levels is not None
    mixture = subject.seen_from(view)
    bars = _draw_bars(axes, subject, view, soft=False)
    x, parts = _curves(mixture, _range(mixture, subject, view))
    density = parts.sum(axis=1)
    axes.plot(x, density, color=backend.ink(axes), lw=1.5 * LINE)
    _cut_peaks(axes, subject, x, parts, _height(x, density, bars))
    probabilities = region_probabilities(subject.level)
    levels = np.exp(subject.levels(mixture, np.array(probabilities)))
    fill_regions(
        levels,
        lambda level, alpha: axes.fill_between(
            x, density, where=density >= level, color=REGION_COLOR, alpha=alpha, lw=0
        ),
    )
    for level in levels:
        axes.axhline(level, color=backend.ink(axes), lw=0.5 * LINE, ls=":")
    seen = np.column_stack([x, density])
    _finish(axes, subject, view, "density", region_handles(probabilities), REGIONS_TITLE, seen)


def draw_line_uncertainty(axes: Any, subject: Subject, view: View) -> None:
    """Draw 1 minus the largest responsibility of each row, and along the feature."""
    assert subject.points is not None
    points = subject.points.in_any_order()
    mixture = subject.seen_from(view)
    x, _ = _curves(mixture, _range(mixture, subject, view))
    if subject.parameters.n_features == 1:
        unsure = 1 - responsibilities(mixture, x[:, None], None).max(axis=1)
        axes.plot(x, unsure, color=backend.ink(axes), lw=LINE, zorder=1)
    axes.scatter(
        view.points(points.rows)[:, 0], points.uncertainty,
        c=mixed(points.resp, subject.colors), s=2 * dot_area(len(points.resp)), linewidths=0,
        rasterized=True,
    )  # fmt: skip
    _finish(axes, subject, view, "uncertainty", component_handles(subject))


def draw_diagonal(axes: Any, subject: Subject, view: View) -> None:
    """Draw a histogram for the diagonal of a matrix of pictures: no legend, no labels."""
    bars = _draw_bars(axes, subject, view, soft=True)
    mixture = subject.seen_from(view)
    if not subject.hard:
        x, parts = _curves(mixture, _range(mixture, subject, view))
        for part, color in zip(parts.T, subject.colors, strict=True):
            axes.plot(x, part, color=color, lw=LINE)
        _cut_peaks(axes, subject, x, parts, _height(x, parts.sum(axis=1), bars))


def _range(mixture: Parameters, subject: Subject, view: View) -> tuple[float, float]:
    """Values of the feature between which curves are drawn: all rows, and all components."""
    low, high = (float(end[0]) for end in bounds(mixture.means, mixture.covariances, FAR))
    if subject.points is None:
        return low, high
    values = view.points(subject.points.rows)
    width = float(np.ptp(values))
    return min(low, float(values.min()) - 0.02 * width), max(high, float(values.max()))


def _curves(mixture: Parameters, ends: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Places (n,), and at each the weighted densities of components (n, K)."""
    sigmas = np.sqrt(mixture.covariances[:, 0, 0])
    near = mixture.means[:, 0, None] + sigmas[:, None] * NEAR_MEANS
    x = np.unique(np.concatenate([np.linspace(*ends, PLACES), near.ravel()]))
    density = np.exp(log_likelihoods(mixture, x[:, None], None))
    return x, density[:, None] * responsibilities(mixture, x[:, None], None)


def _bins(values: FloatArray) -> FloatArray:
    """Edges of bars by Freedman & Diaconis' rule (1981), within bounds."""
    low, high = float(values.min()), float(values.max())
    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    width = 2 * (three_quarters - quarter) / len(values) ** (1 / 3)
    wanted = (high - low) / width if width > 0 else MOST_BINS
    step = 4 * float(np.spacing(max(-low, high)))  # edges that are nearer fall together
    if high - low < FEWEST_BINS * step:
        around = max(0.5, FEWEST_BINS * step)
        low, high = low - around, high + around
    count = min(np.clip(wanted, FEWEST_BINS, MOST_BINS), (high - low) / step)
    return np.linspace(low, high, int(count) + 1)


def _draw_bars(axes: Any, subject: Subject, view: View, *, soft: bool) -> float:
    """Draw rows as bars of area 1 in all, a part for each component if `soft`: the highest."""
    if subject.points is None:
        return 0.0
    values = view.points(subject.points.rows)[:, 0]
    edges = _bins(values)
    scale = 1 / (len(values) * np.diff(edges))
    shares = subject.points.resp.T.astype(np.float64) if soft else np.ones((1, len(values)))
    colors = with_noise(subject.colors if soft else np.empty((0, 3)), len(shares))
    top = np.zeros(len(scale))
    for share, color in zip(shares, colors, strict=True):
        below, top = top, top + np.histogram(values, edges, weights=share)[0] * scale
        axes.stairs(top, edges, baseline=below, fill=True, color=color, alpha=BAR, lw=0)
    return float(top.max())


def _draw_centers(axes: Any, subject: Subject, centers: FloatArray) -> None:
    """Mark the centres of K-means (K,), and the borders of their cells if there are no others."""
    if subject.parameters.n_features == 1:
        inner = np.sort(centers)
        for border in (inner[1:] + inner[:-1]) / 2:
            axes.axvline(border, color=backend.ink(axes), lw=LINE, ls=":")
    axes.scatter(
        centers, np.zeros(len(centers)), c=subject.colors, s=70, marker="X",
        edgecolors=backend.ink(axes), zorder=3, clip_on=False,
    )  # fmt: skip


def _height(x: FloatArray, density: FloatArray, bars: float) -> float:
    """Return the height up to which the density is shown, so that no peak hides all else.

    Half of the probability lies where the density is larger than some value. A peak is shown up to
    TALLEST times that, and bars are shown whole.
    """
    order = np.argsort(-density)
    mass = np.cumsum((density * np.gradient(x))[order])
    half = float(density[order[np.searchsorted(mass, 0.5 * mass[-1])]])
    return min(float(density.max()), max(TALLEST * half, bars))


def _cut_peaks(
    axes: Any, subject: Subject, x: FloatArray, parts: FloatArray, height: float, low: float = 0.0
) -> None:
    """Cut off what is higher, and mark each component that is at the upper edge."""
    if height == parts.sum(axis=1).max():
        return
    axes.set_ylim(low, 1.05 * height)
    for k in np.flatnonzero(parts.max(axis=0) > height):
        peak, color = x[parts[:, k].argmax()], subject.colors[k]
        axes.plot(peak, 1.0, "^", color=color, transform=axes.get_xaxis_transform(), clip_on=False)


def _draw_intervals(axes: Any, subject: Subject, mixture: Parameters, height: float) -> None:
    """Draw the interval that holds so much of each component, below the curves."""
    radius = chi_squared_radius(subject.level, 1)
    step = STRIP * height / mixture.n_components
    for k, (mean, variance, color) in enumerate(
        zip(mixture.means[:, 0], mixture.covariances[:, 0, 0], subject.colors, strict=True)
    ):
        reach = radius * np.sqrt(variance)
        y = -step * (k + 1)
        axes.plot([mean - reach, mean + reach], [y, y], color=color, lw=2 * LINE)
    axes.axhline(0.0, color=backend.ink(axes), lw=0.5 * LINE)


def _interval_handle(subject: Subject) -> Any:
    label = f"{percent(subject.level)} of a component"
    return backend.mark(color="0.6", lw=2 * LINE, label=label)


def _finish(
    axes: Any, subject: Subject, view: View, what: str, handles: list[Any],
    title: str | None = None, seen: FloatArray | None = None,
) -> None:  # fmt: skip
    """Name the axes and place the legend, where there is little of a curve (n, 2), if there is."""
    name_axes(axes, view.labels[0], what)
    place = "upper right" if seen is None else backend.legend_place(axes, seen)
    place_legend(axes, subject, handles, title, place)
