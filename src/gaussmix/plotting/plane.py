"""A mixture of many features, seen in two directions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from gaussmix._core.types import FloatArray
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import log_likelihoods
from gaussmix.plotting import backend
from gaussmix.plotting.colors import mixed
from gaussmix.plotting.shapes import bounds, cells, chi_squared_radius, ellipses
from gaussmix.plotting.subjects import MOST_LISTED, Points, Subject
from gaussmix.plotting.views import View, in_lines, percent

ROW_AREA = 6000.0  # square points that all rows' dots take together, within DOT_AREAS each
DOT_AREAS = (2.0, 20.0)
UNSURE_AREA = 110.0  # of the dot of a row that could be anybody's
SHOWN_UNCERTAINTIES = (0.0, 0.25, 0.5)
BARE = 0.4  # part of a dot's area, in a matrix of pictures
CHARACTERS = 14.0  # of a label, in an inch
SMALL = 2.6  # inches: of sides that leave a legend little room
CENTER = 70.0  # square points: of a centre of K-means
LINE = 1.2  # points
FILL = 0.25  # opacity of what is filled
REGIONS = (0.25, 0.5, 0.75)  # probabilities of the densest regions drawn, besides the level asked
REGION_COLOR = "#0072B2"
REGIONS_TITLE = "densest regions"
GRID, NEAR_MEANS = 160, np.linspace(-3.0, 3.0, 13)  # where the density is looked at
MOST_NEAR = 32  # components around which it is looked at more closely
MARGIN = 0.04  # of the width of what is drawn
FAR = 3.0  # Mahalanobis distance that is in the picture
BEYOND = 2.0  # widths of the picture that cells go on, should it be moved or made larger
EXACT = 1e-9  # part of squared distances that may be lost where cells are drawn
LABEL_SIZE, SMALL_LABEL_SIZE, FEW_LABELS = 9.0, 7.0, 32


def draw_classification(axes: Any, subject: Subject, view: View) -> None:
    """Draw rows in the colours of their components, mixed where they are unsure, and ellipses."""
    mixture = subject.seen_from(view)
    shown = _draw_points(axes, subject, view)
    if subject.hard:
        if len(mixture.means) > MOST_LISTED:
            _write_numbers(axes, mixture.means)
        else:
            _draw_centers(axes, subject, mixture.means)
        _frame(axes, shown, mixture.means, mixture.means)
        _draw_cells(axes, subject, mixture.means)
    else:
        filled = FILL if subject.points is None else 0.0
        _draw_ellipses(axes, subject, mixture, filled)
        _draw_means(axes, mixture.means)
        _frame(axes, shown, *_reach(mixture, subject))
    _finish(axes, subject, view, legend_handles(axes, subject))


def draw_bare(axes: Any, subject: Subject, view: View, *, with_points: bool) -> None:
    """Draw a picture for a matrix of them: rows and outlines, or components alone; no legend."""
    mixture = subject.seen_from(view)
    shown = np.empty((0, 2))
    if with_points:
        shown = _draw_points(axes, subject, view, share=BARE)
    if subject.hard:
        _draw_centers(axes, subject, mixture.means, CENTER / 2)
        _frame(axes, shown, mixture.means, mixture.means)
    else:
        _draw_ellipses(axes, subject, mixture, 0.0 if len(shown) else FILL)
        _frame(axes, shown, *_reach(mixture, subject))


def legend_handles(axes: Any, subject: Subject) -> list[Any]:
    """Return what a legend shows for components, and for their ellipses."""
    handles = component_handles(subject)
    return handles if subject.hard else [*handles, _ellipse_handle(axes, subject)]


def draw_components(axes: Any, subject: Subject, view: View) -> None:
    """Draw the ellipses of components, filled and numbered, on grey rows if there are any."""
    mixture = subject.seen_from(view)
    shown = _draw_points(axes, subject, view, grey=True)
    _draw_ellipses(axes, subject, mixture, FILL)
    _write_numbers(axes, mixture.means)
    _frame(axes, shown, *_reach(mixture, subject))
    _finish(axes, subject, view, legend_handles(axes, subject))


def draw_uncertainty(axes: Any, subject: Subject, view: View) -> None:
    """Draw rows as dots whose area grows with 1 minus the largest responsibility."""
    assert subject.points is not None
    mixture = subject.seen_from(view)
    _draw_ellipses(axes, subject, mixture, 0.0, alpha=0.5)
    points = subject.points
    order = np.argsort(points.uncertainty, kind="stable")  # the unsure on top
    shown = view.points(points.rows[order])
    axes.scatter(
        *shown.T,
        c=mixed(points.resp[order], subject.colors),
        s=_unsure_areas(points.uncertainty[order], points),
        linewidths=0,
        alpha=0.8,
        rasterized=True,
    )
    _frame(axes, shown, *_reach(mixture, subject))
    grey = {"marker": "o", "ls": "", "color": backend.ink(axes), "alpha": 0.5}
    handles = [
        backend.mark(label=f"uncertainty {value:g}", markersize=float(np.sqrt(area)), **grey)
        for value, area in zip(
            SHOWN_UNCERTAINTIES,
            _unsure_areas(np.array(SHOWN_UNCERTAINTIES), points),
            strict=True,
        )
    ]
    _finish(axes, subject, view, [*handles, _ellipse_handle(axes, subject)])


def draw_density(axes: Any, subject: Subject, view: View) -> None:
    """Draw the densest regions of given probabilities, one in the other, on grey rows."""
    assert subject.levels is not None
    mixture = subject.seen_from(view)
    shown = _draw_points(axes, subject, view, grey=True)
    _frame(axes, shown, *_reach(mixture, subject))
    probabilities = region_probabilities(subject.level)
    levels = subject.levels(mixture, np.array(probabilities))
    x, y = (_ticks(axis, mixture, i) for i, axis in enumerate((axes.get_xlim(), axes.get_ylim())))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    density = np.asarray(log_likelihoods(mixture, grid, None)).reshape(len(y), len(x))
    within = levels < density.max()
    fill_regions(
        levels[within],
        lambda level, alpha: axes.contourf(
            x, y, density, [level, np.inf], colors=[REGION_COLOR], alpha=alpha, zorder=1.5
        ),
    )
    style: dict[str, Any] = {"linewidths": LINE / 2, "linestyles": "-", "zorder": 1.6}
    axes.contour(x, y, density, np.sort(levels[within]), colors=[backend.ink(axes)], **style)
    _finish(axes, subject, view, region_handles(probabilities), REGIONS_TITLE)


def region_probabilities(level: float) -> list[float]:
    """Return the probabilities of the densest regions to draw: the level is the largest."""
    return [*(p for p in REGIONS if p < level), level]


def fill_regions(levels: FloatArray, fill: Callable[[float, float], Any]) -> None:
    """Fill regions above log-densities, each a little darker than the one around it."""
    for level in np.sort(levels):
        fill(float(level), FILL)


def region_handles(probabilities: Sequence[float]) -> list[Any]:
    """Return what a legend shows for densest regions: fills that lie on each other."""
    return [
        backend.swatch(color=REGION_COLOR, alpha=1 - (1 - FILL) ** depth, label=percent(p))
        for depth, p in enumerate(sorted(probabilities, reverse=True), 1)
    ]


def name_axes(axes: Any, xlabel: str, ylabel: str) -> None:
    """Name the axes, in two lines where one is too long for their sides."""
    width, height = backend.inches(axes)
    axes.set_xlabel(in_lines(xlabel, int(CHARACTERS * width)))
    axes.set_ylabel(in_lines(ylabel, int(CHARACTERS * height)))


def place_legend(
    axes: Any, subject: Subject, handles: list[Any], title: str | None, loc: str
) -> None:
    """Draw the legend, if it has anything to show, and say above it if the rows are a sample."""
    note = None if subject.points is None else subject.points.note()
    lines = "\n".join(filter(None, [title, note]))
    if handles or lines:
        size = "small" if min(backend.inches(axes)) > SMALL else "xx-small"
        small = {"fontsize": size, "title_fontsize": size}
        axes.legend(handles=handles, title=lines or None, loc=loc, **small)


def component_handles(subject: Subject) -> list[Any]:
    """Return what a legend shows for components: none if they are too many."""
    if subject.parameters.n_components > MOST_LISTED:
        return []
    marker = {"marker": "o", "ls": "", "markersize": 6}
    return [
        backend.mark(color=color, label=label, **marker)
        for color, label in zip(subject.colors, subject.component_labels(), strict=True)
    ]


def dot_area(n_points: int, share: float = 1.0) -> float:
    """Return the area of a dot, in square points: smaller where there are many."""
    return share * float(np.clip(ROW_AREA / max(n_points, 1), *DOT_AREAS))


def _ellipse_handle(axes: Any, subject: Subject) -> Any:
    label = f"{percent(subject.level)} of a component"
    return backend.mark(color=backend.ink(axes), lw=LINE, label=label)


def _draw_points(
    axes: Any, subject: Subject, view: View, *, grey: bool = False, share: float = 1.0
) -> FloatArray:
    """Draw the rows, and return where they are seen."""
    if subject.points is None:
        return np.empty((0, 2))
    points = subject.points.in_any_order()
    shown = view.points(points.rows)
    style: dict[str, Any] = {"s": dot_area(len(shown), share), "linewidths": 0, "rasterized": True}
    if grey:
        axes.scatter(*shown.T, color="0.6", alpha=0.6, **style)
    else:
        axes.scatter(*shown.T, c=mixed(points.resp, subject.colors), **style)
    return shown


def _unsure_areas(uncertainty: FloatArray, points: Points) -> FloatArray:
    return dot_area(len(points.resp)) + UNSURE_AREA * uncertainty


def _draw_ellipses(
    axes: Any, subject: Subject, mixture: Parameters, filled: float, alpha: float = 0.9
) -> None:
    """Outline the components in the text's colour, or fill them with their own."""
    found = ellipses(mixture.means, mixture.covariances, subject.level)
    for outline, color in zip(found.drawn(), subject.colors, strict=True):
        style: dict[str, Any] = {"fill": False, "ec": backend.ink(axes), "lw": LINE, "alpha": alpha}
        if filled:
            style = {"fc": (*color, filled), "ec": (*color, 1.0), "lw": 1.5 * LINE}
        axes.add_patch(backend.ellipse(*outline, zorder=2, **style))


def _draw_means(axes: Any, means: FloatArray) -> None:
    if len(means) > MOST_LISTED:
        _write_numbers(axes, means)
        return
    axes.plot(*means.T, "+", color=backend.ink(axes), markersize=7, mew=1.5, zorder=3)


def _write_numbers(axes: Any, means: FloatArray) -> None:
    size = LABEL_SIZE if len(means) <= FEW_LABELS else SMALL_LABEL_SIZE
    for k, mean in enumerate(means):
        backend.write_at(axes, mean, str(k), color=backend.ink(axes), fontsize=size, zorder=4)


def _draw_centers(axes: Any, subject: Subject, centers: FloatArray, area: float = CENTER) -> None:
    axes.scatter(
        *centers.T, c=subject.colors, s=area, marker="X", edgecolors=backend.ink(axes), zorder=3
    )


def _draw_cells(axes: Any, subject: Subject, centers: FloatArray) -> None:
    """Draw the cells of nearest centres, unless distances that the view hides would move them."""
    if not _keeps_distances(subject.parameters.means, centers):
        return
    low, high = np.sort([axes.get_xlim(), axes.get_ylim()], axis=1).T
    around = BEYOND * (high - low)
    found = cells(centers, low - around, high + around)
    for corners, color in zip(found, subject.colors, strict=True):
        if len(corners):
            style = {"fc": (*color, 0.5 * FILL), "ec": backend.ink(axes), "lw": 0.6 * LINE}
            axes.add_artist(backend.polygon(corners, zorder=0.5, **style))  # no new limits


def _keeps_distances(centers: FloatArray, seen: FloatArray) -> bool:
    """Whether centres are as far apart in the view as they are."""
    full = cdist(centers, centers, "sqeuclidean")
    return bool(np.abs(full - cdist(seen, seen, "sqeuclidean")).max() <= EXACT * full.max())


def _reach(mixture: Parameters, subject: Subject) -> tuple[FloatArray, ...]:
    radius = max(chi_squared_radius(subject.level, 2), FAR if subject.points is None else 0.0)
    return bounds(mixture.means, mixture.covariances, radius)


def _frame(axes: Any, shown: FloatArray, low: FloatArray, high: FloatArray) -> None:
    """Frame all points and components, and what the axes have already shown."""
    corners = np.vstack([shown, low, high])
    axes.update_datalim(corners)
    axes.margins(MARGIN)
    axes.autoscale_view()


def _ticks(limits: Sequence[float], mixture: Parameters, i: int) -> FloatArray:
    """Places along an axis to look at the density: evenly, and more closely around means."""
    even = np.linspace(min(limits), max(limits), GRID)
    if mixture.n_components > MOST_NEAR:
        return even
    sigmas = np.sqrt(mixture.covariances[:, i, i])
    near = (mixture.means[:, i, None] + sigmas[:, None] * NEAR_MEANS).ravel()
    inside = near[(near > even[0]) & (near < even[-1])]
    return np.asarray(np.unique(np.concatenate([even, inside])))


def _finish(
    axes: Any, subject: Subject, view: View, handles: list[Any], title: str | None = None
) -> None:
    """Name the axes and place the legend, where there are few points."""
    name_axes(axes, *view.labels)
    seen = subject.parameters.means if subject.points is None else subject.points.rows
    place = backend.legend_place(axes, view.points(seen))
    place_legend(axes, subject, handles, title, place)
