"""matplotlib: where it is imported, and what the other files of this room need of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError
from gaussmix.io.atomic import replacing, shown_ending

OUTLINE = 2.5  # points, of the background's colour around text that lies on dots


def require_matplotlib() -> None:
    """Raise ImportError, which names the extra, if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib, which is not installed: pip install "gaussmix[plot]"'
        ) from error


def axes_on(ax: Any, size: tuple[float, float] | None = None) -> Any:
    """Return the axes that a user gave, or those of a new figure of pyplot's.

    Raises
    ------
    ParameterError
        If `ax` is neither None nor axes of matplotlib.
    ImportError
        If matplotlib is not installed.
    """
    require_matplotlib()
    if ax is None:
        return new_figure(size).add_subplot()
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise ParameterError(f"ax must be Axes of matplotlib, or None for a new figure, got {ax!r}")
    return ax


def new_figure(size: tuple[float, float] | None = None) -> Any:
    """Return a new figure of pyplot's, in inches; by default as large as the user's style says."""
    require_matplotlib()
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout="constrained")


def is_figure(ax: object) -> bool:
    """Whether it is a figure of matplotlib, or a part of one."""
    from matplotlib.figure import FigureBase

    return isinstance(ax, FigureBase)


def check_colors(
    name: str, colors: Sequence[Any] | NDArray[Any], wanted: int
) -> Sequence[Any] | NDArray[Any]:
    """Return so many colours of matplotlib; raises ParameterError."""
    from matplotlib.colors import is_color_like

    if len(colors) != wanted:
        raise ParameterError(f"{name} must be {wanted}, one for each cluster, got {len(colors)}")
    for color in colors:
        if not is_color_like(color):
            raise ParameterError(f"{name} must be colours of matplotlib, got {color!r}")
    return colors


def ellipse(center: Any, widths: Any, degrees: float, **style: Any) -> Any:
    """Return an ellipse of the full widths (2,) of its axes, for `Axes.add_patch`."""
    from matplotlib.patches import Ellipse

    return Ellipse(center, *widths, angle=degrees, **style)


def polygon(corners: Any, **style: Any) -> Any:
    """Return a polygon, for `Axes.add_patch`."""
    from matplotlib.patches import Polygon

    return Polygon(corners, **style)


def mark(**style: Any) -> Any:
    """Return a line that is shown in legends alone."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


def swatch(**style: Any) -> Any:
    """Return a filled rectangle that is shown in legends alone."""
    from matplotlib.patches import Patch

    return Patch(**style)


def write_at(axes: Any, place: Any, text: str, **style: Any) -> None:
    """Write text around a point of the data, legible on whatever lies there."""
    from matplotlib.patheffects import withStroke

    around = [withStroke(linewidth=OUTLINE, foreground=axes.get_facecolor())]
    axes.text(*place, text, ha="center", va="center", path_effects=around, **style)


def moved(transform: Any, axes: Any, points: float) -> Any:
    """Return a transform that also moves to the right, by a number of points."""
    from matplotlib.transforms import ScaledTranslation

    return transform + ScaledTranslation(points / 72, 0.0, axes.figure.dpi_scale_trans)


def inches(axes: Any) -> tuple[float, float]:
    """Return the width and the height of axes."""
    extent = axes.get_window_extent()
    return extent.width / axes.figure.dpi, extent.height / axes.figure.dpi


def ink(axes: Any) -> Any:
    """Return the colour of the axes' text, which is seen on its background in every style."""
    return axes.xaxis.label.get_color()


@contextmanager
def saved(path: Path, size: tuple[float, float], dpi: int, layout: str = "none") -> Iterator[Any]:
    """Give a figure, and save it in the format of the path's ending once all is drawn.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is not one that matplotlib writes.
    """
    check_ending(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout=layout)  # type: ignore[arg-type]
    yield figure
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower())


def check_ending(path: Path) -> None:
    """Raise ValueError unless the path ends in the name of a format that matplotlib writes."""
    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ValueError(
            f"{path}: a picture's ending must be one of .{', .'.join(sorted(formats))}, "
            f"got {shown_ending(path)}"
        )


def move_legend_out(axes: Any) -> None:
    """Put the legend to the right of the axes, for which the figure's layout makes room."""
    legend = axes.get_legend()
    if legend is not None:
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1.01, 1.01), transform=axes.transAxes)


def legend_place(axes: Any, points: Any) -> str:
    """Return the place by the frame with the fewest points (n, 2), for a legend: a corner if equal.

    matplotlib's own search for the best place takes long where there are many.
    """
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x = (np.asarray(points)[:, 0] - left) / (right - left)
    y = (np.asarray(points)[:, 1] - low) / (high - low)
    if axes.xaxis_inverted():
        x = 1 - x
    if axes.yaxis_inverted():
        y = 1 - y
    middle = (x > 0.3) & (x < 0.7)
    places = {
        "upper right": (x > 0.6) & (y > 0.6),
        "upper left": (x < 0.4) & (y > 0.6),
        "lower right": (x > 0.6) & (y < 0.4),
        "lower left": (x < 0.4) & (y < 0.4),
        "upper center": middle & (y > 0.6),
        "lower center": middle & (y < 0.4),
    }
    return min(places, key=lambda name: int(np.count_nonzero(places[name])))
