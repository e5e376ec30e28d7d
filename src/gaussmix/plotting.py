"""Pictures of mixtures, for the command line. matplotlib is imported only when one is drawn."""

from collections.abc import Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gaussmix._core.types import FloatArray
from gaussmix.io.atomic import replacing, shown_ending
from gaussmix.model.parameters import Parameters

BACKGROUND, INK, FAINT = "#0d1117", "#e6edf3", "#8b949e"
ELLIPSE_RADIUS = 1.5  # Mahalanobis distance of the outline from the mean
SIZE, DPI = (14.0, 7.9), 120
DARK: Any = {
    "figure.facecolor": BACKGROUND,
    "axes.facecolor": BACKGROUND,
    "savefig.facecolor": BACKGROUND,
    "legend.facecolor": BACKGROUND,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "legend.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.prop_cycle": "cycler('color', ['#58a6ff', '#ffa657', '#7ee787', '#ff7b72'])",
    "font.size": 13.0,
}
N_COLORS, LINE_STYLES = 4, ("-", "--", ":", "-.")  # lines beyond the colours differ in style
FARTHEST = 4.0  # from the best value of a criterion, in units of half the values' distance
HIDDEN = 0.0005  # part of the points that may lie outside on each side
MARGIN = 0.04  # of the width of the rest

CHROMA = 0.15
LIGHTNESS = (0.82, 0.64)  # neighbours differ in it, for those who do not see their hues differ
LINEAR_FROM_CUBES = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
CUBE_ROOTS_FROM_OKLAB = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)


class Comparison(NamedTuple):
    """Points as K-means and as a mixture see them."""

    X: NDArray[np.floating]  # (N, D)
    centers: FloatArray  # (K, D), of K-means
    labels: NDArray[np.integer]  # (N,), of K-means
    parameters: Parameters
    resp: NDArray[np.floating]  # (N, K), of the mixture


class Curves(NamedTuple):
    """A criterion of mixtures against their number of components."""

    n_components: Sequence[int]
    values: Mapping[str, Sequence[float]]  # per covariance type, NaN where a fit failed
    best: tuple[int, str]
    title: str


class Plane(NamedTuple):
    """A plane in feature space: points x are drawn at (x - origin) @ axes."""

    origin: FloatArray  # (D,)
    axes: FloatArray  # (D, 2), orthonormal

    def points(self, X: NDArray[np.floating]) -> FloatArray:
        """Project rows (N, D) to points (N, 2)."""
        return np.asarray((X - self.origin) @ self.axes)


def save_comparison(path: Path, comparison: Comparison, caption: str) -> None:
    """Draw K-means' hard colours beside the mixture's soft ones, and save the picture.

    Both are seen in the plane in which the mixture's means lie farthest apart. The picture's
    format is that of the path's ending.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are fewer than 2 features, or the ending is not one that matplotlib writes.
    """
    from matplotlib.figure import Figure

    check_ending(path)
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor=BACKGROUND)
    plane = widest_plane(comparison.parameters)
    linear = palette(plane.points(comparison.parameters.means))
    hard, soft = figure.subplots(1, 2, sharex=True, sharey=True)
    matched = _matching(comparison.centers, comparison.parameters.means)
    points = plane.points(comparison.X)
    _draw_points(hard, points, linear[matched[comparison.labels]])
    _write_title(hard, "K-means", "every point has one colour")
    _draw_points(soft, points, comparison.resp @ linear)
    _write_title(soft, "Gaussian mixture", "colours mix on the borders")
    _draw_ellipses(soft, comparison.parameters, plane)
    _frame(hard, points)
    figure.text(0.5, 0.03, caption, color=FAINT, fontsize=12, ha="center")
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.075, top=0.88, wspace=0.02)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower())


def draw_curves(curves: Curves, axes: Any = None) -> Any:
    """Draw a criterion, a line for each covariance type, on axes or a new figure of pyplot's."""
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.figure().add_subplot()
    best_count, best_name = curves.best
    best = curves.values[best_name][list(curves.n_components).index(best_count)]
    low, high = _shown_values(curves, best)
    for number, (name, values) in enumerate(curves.values.items()):
        style = LINE_STYLES[number // N_COLORS % len(LINE_STYLES)]
        (line,) = axes.plot(curves.n_components, values, f"o{style}", markersize=5, label=name)
        hidden = {"v": np.less(values, low), "^": np.greater(values, high)}
        for height, (arrow, places) in enumerate(hidden.items()):
            for count in np.extract(places, curves.n_components):
                edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
                axes.plot(count, height, arrow, color=line.get_color(), **edge)
    ring = {"markersize": 14, "fillstyle": "none", "color": axes.xaxis.label.get_color()}
    axes.plot(best_count, best, "o", label=f"best: {best_count} {best_name}", **ring)
    axes.set(xlabel="number of components", ylabel=curves.title, ylim=(low, high))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    return axes


def _shown_values(curves: Curves, best: float) -> tuple[float, float]:
    """Limits of an axis on which the good values lie apart, however bad the others are."""
    values = np.array(list(curves.values.values()))
    reach = FARTHEST * float(np.nanmedian(np.abs(values - best))) or 1.0
    room = 0.05 * reach
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return max(low, best - reach) - room, min(high, best + reach) + room


def save_curves(path: Path, curves: Curves) -> None:
    """Draw a criterion, and save the picture in the format of the path's ending.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is not one that matplotlib writes.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_ending(path)
    with rc_context(DARK), replacing(path) as file:
        figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
        draw_curves(curves, figure.add_subplot())
        figure.savefig(file, format=path.suffix[1:].lower())


def check_ending(path: Path) -> None:
    """Raise ValueError unless the path ends in the name of a format that matplotlib writes."""
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ValueError(
            f"{path}: a picture's ending must be one of .{', .'.join(sorted(formats))}, "
            f"got {shown_ending(path)}"
        )


def widest_plane(parameters: Parameters) -> Plane:
    """Return the plane through the mixture's mean in which its means vary most."""
    if parameters.n_features < 2:
        raise ValueError(f"a picture needs at least 2 features, got {parameters.n_features}")
    origin = parameters.weights @ parameters.means
    spread = np.sqrt(parameters.weights)[:, None] * (parameters.means - origin)
    axes = np.linalg.eigh(spread.T @ spread)[1][:, :-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the same way up every time
    return Plane(origin, axes * signs)


def palette(positions: FloatArray) -> FloatArray:
    """Choose linear RGB colours (K, 3) of points (K, 2), other ones for neighbours.

    Hues are spread evenly in OKLCH (Ottosson, 2020) and dealt out around the middle.
    """
    n_colors = len(positions)
    rank = np.arctan2(positions[:, 1], positions[:, 0]).argsort().argsort()
    stride = next(s for s in (3, 5, 7, 1) if gcd(s, n_colors) == 1)
    hue = 2 * np.pi * (rank * stride % n_colors) / n_colors
    lightness = np.array(LIGHTNESS)[rank % 2]
    oklab = np.stack([lightness, CHROMA * np.cos(hue), CHROMA * np.sin(hue)], axis=1)
    linear: FloatArray = (oklab @ CUBE_ROOTS_FROM_OKLAB.T) ** 3 @ LINEAR_FROM_CUBES.T
    return linear.clip(0.0, 1.0)


def srgb(linear: FloatArray) -> FloatArray:
    """Encode linear RGB for a screen (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _matching(centers: FloatArray, means: FloatArray) -> NDArray[np.intp]:
    """Find the mean that stands for each centre, one each, nearest in all."""
    distances = ((centers[:, None] - means) ** 2).sum(axis=-1)
    matched: NDArray[np.intp] = linear_sum_assignment(distances)[1]
    return matched


def _draw_points(axes: Any, points: FloatArray, linear: FloatArray) -> None:
    axes.scatter(*points.T, c=srgb(linear), s=1.3, linewidths=0, rasterized=True)


def _write_title(axes: Any, title: str, note: str) -> None:
    axes.set_title(title, color=INK, fontsize=19, pad=30)
    axes.text(0.5, 1.02, note, transform=axes.transAxes, color=FAINT, fontsize=13, ha="center")


def _draw_ellipses(axes: Any, parameters: Parameters, plane: Plane) -> None:
    from matplotlib.patches import Ellipse

    covariances = plane.axes.T @ parameters.full_covariances() @ plane.axes
    for mean, covariance in zip(plane.points(parameters.means), covariances, strict=True):
        variances, directions = np.linalg.eigh(covariance)
        width, height = 2 * ELLIPSE_RADIUS * np.sqrt(variances)
        angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
        outline = Ellipse(mean, width, height, angle=angle, fill=False, ec=INK, lw=1.2, alpha=0.9)
        axes.add_patch(outline)


def _frame(axes: Any, points: FloatArray) -> None:
    """Frame almost all points; the other panel shares the axes."""
    low, high = np.quantile(points, [HIDDEN, 1 - HIDDEN], axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for panel in axes.figure.axes:
        panel.set_aspect("equal")
        panel.axis("off")
