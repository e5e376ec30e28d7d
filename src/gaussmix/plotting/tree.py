"""The tree of merged components, level by level, and the entropies of the levels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.plotting import backend
from gaussmix.plotting.colors import ordered_colors

FAINT = "0.5"  # a grey, seen on light and dark
HEIGHT, CURVE = 4.6, 3.2  # inches: of the figure, and of the curve along its width
LEAF, LEAST, MOST = 0.2, 3.6, 16.0  # inches: of a component along the width, of the tree
DPI = 160  # of a picture that is saved
LARGEST_LABEL, SMALLEST_LABEL, CHARACTER = 10.0, 5.0, 0.7  # points, and a digit's part of them


Colors = Sequence[Any] | NDArray[Any]


class Tree(NamedTuple):
    """Components merged two at a time."""

    linkage: FloatArray  # (K - 1, 4), SciPy's form
    labels: NDArray[np.integer]  # (K,), of the suggested clusters
    entropies: FloatArray | None  # (K,)
    fits: Sequence[tuple[FloatArray, NDArray[np.intp]]]  # lines to draw: entropies and levels

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def n_clusters(self) -> int:
        """The suggested number of clusters."""
        return int(self.labels.max()) + 1

    def leaves(self) -> list[int]:
        """Return the components in an order in which no branches cross."""
        leaves = [[k] for k in range(self.n_components)]
        for i, j in self.linkage[:, :2].astype(int):
            leaves.append(leaves[i] + leaves[j])
        return leaves[-1]


def draw_tree(tree: Tree, ax: Any = None, colors: Colors | None = None) -> Any:
    """Draw the tree on axes, or on a figure with the entropies beside it, and return the axes.

    Without `ax` it is a new figure, as wide as the components need.
    """
    backend.require_matplotlib()
    chosen = _colors(tree, colors)
    if ax is not None and not backend.is_figure(ax):
        axes = backend.axes_on(ax)
        _draw_branches(axes, tree, chosen, backend.inches(axes)[0])
        return axes
    width, beside = _widths(tree)
    figure = backend.new_figure((width + beside, HEIGHT)) if ax is None else ax
    if tree.entropies is None:
        panels = figure.subplots(1, 1, squeeze=False)[0]
    else:
        ratios = {"width_ratios": (width, beside)}
        panels = figure.subplots(1, 2, sharey=True, gridspec_kw=ratios)
        _draw_entropies(panels[1], tree, tree.entropies)
    whole = figure.bbox.width / figure.dpi
    _draw_branches(panels[0], tree, chosen, whole * width / (width + beside))
    return panels


def save_tree(path: Path, tree: Tree) -> None:
    """Draw the tree, and save the picture in the format of the path's ending.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is not one that matplotlib writes.
    """
    with backend.saved(path, (sum(_widths(tree)), HEIGHT), DPI, layout="constrained") as figure:
        draw_tree(tree, figure)


def _widths(tree: Tree) -> tuple[float, float]:
    """Return the widths of the tree and of the entropies beside it, in inches."""
    width = float(np.clip(LEAF * tree.n_components, LEAST, MOST))
    return width, CURVE if tree.entropies is not None else 0.0


def _colors(tree: Tree, colors: Colors | None) -> Colors:
    """Return a colour for each cluster: by default neighbours in the tree have different ones."""
    if colors is not None:
        return backend.check_colors("colors", colors, tree.n_clusters)
    in_order = dict.fromkeys(tree.labels[tree.leaves()].tolist())
    found = dict(zip(in_order, ordered_colors(tree.n_clusters).tolist(), strict=True))
    return [found[label] for label in range(tree.n_clusters)]


def _draw_branches(axes: Any, tree: Tree, colors: Colors, inches: float) -> None:
    number, order = tree.n_components, tree.leaves()
    tops = {k: (float(place), number, k) for place, k in enumerate(order)}
    for i, pair in enumerate(tree.linkage[:, :2].astype(int)):
        level = number - 1 - i
        (left, _, leaf), (right, _, _) = branches = [tops[k] for k in pair]
        lines = [([place] * 2, [top, level], top, member) for place, top, member in branches]
        for x, y, top, member in [*lines, ([left, right], [level] * 2, level, leaf)]:
            color = colors[tree.labels[member]] if top >= tree.n_clusters else FAINT
            axes.plot(x, y, color=color, lw=1.5)
        tops[number + i] = ((left + right) / 2, level, leaf)
    size = float(np.clip(72 * inches / number / CHARACTER / 1.2, SMALLEST_LABEL, LARGEST_LABEL))
    digits = len(str(number - 1))
    upright = digits * CHARACTER * size > 72 * inches * 0.8 / number
    axes.set_xticks(range(number), order, fontsize=size, rotation=90 if upright else 0)
    axes.axhline(tree.n_clusters, color=FAINT, ls=":", zorder=0)
    axes.set(xlabel="component", ylabel="number of clusters")
    axes.set_xlim(-0.7, number - 0.3)
    axes.set_ylim(number + 0.5, 0.5)
    axes.locator_params(axis="y", integer=True)


def _draw_entropies(axes: Any, tree: Tree, entropies: FloatArray) -> None:
    levels = np.arange(1, len(entropies) + 1)
    size = float(np.clip(200 / len(levels), 3.0, 6.0))
    axes.plot(entropies, levels, "o", color=backend.ink(axes), markersize=size, alpha=0.7)
    for fitted, along in tree.fits:
        axes.plot(fitted, along, color=FAINT, ls="--")
    axes.axhline(tree.n_clusters, color=FAINT, ls=":", zorder=0)
    axes.annotate(
        f"{tree.n_clusters} suggested", (1.0, tree.n_clusters), xycoords=axes.get_yaxis_transform(),
        xytext=(-2, 3), textcoords="offset points", ha="right", fontsize="small",
    )  # fmt: skip
    axes.set_xlabel("entropy (nats)")
