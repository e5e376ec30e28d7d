"""The benchmark's pictures. matplotlib is imported only when one is drawn."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import bound
from benchmarks.efficiency import LEAST_OF_NEIGHBOUR, Grid, Pair, pairs
from gaussmix.bench.cases import EM
from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row
from gaussmix.io.atomic import replacing

BACKGROUND, INK, FAINT, DPI = "white", "black", "0.35", 120
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#3A2FA8", "#E69F00")  # gaussmix first
REACH = 2.0  # factor between the outermost points and the frame


def save_roofline(
    path: Path, rows: Sequence[Row], ceilings: Ceilings, exp_rate: float, caption: str
) -> None:
    """Draw rates of EM iterations against arithmetic intensity, beneath the measured ceilings.

    The intensity of an iteration is its operations per byte of X, which it reads once. A dash is
    what an iteration would reach if it did nothing but what `benchmarks.bounds` says, with so
    many exponentials in 1e9/s a thread (after Williams, Waterman and Patterson, Roofline, 2009).

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    points = on_roofline(rows, ceilings.threads)
    what = f"EM iterations, full covariances, float64, {ceilings.threads} threads"
    figure, axes = _canvas((9.0, 5.6), f"{caption}\n{what}")
    _draw_ceilings(axes, points, ceilings)
    for color, library in zip(COLORS, dict.fromkeys(row.library for row in points), strict=False):
        _draw_library(axes, library, [row for row in points if row.library == library], color)
    ours = [row for row in points if row.library == "gaussmix"]
    axes.scatter(
        [intensity(row) for row in ours], [_reachable(row, ceilings, exp_rate) for row in ours],
        marker="_", s=260, color=INK, label="products, exponentials and memory",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("floating-point operations per byte of X", color=FAINT)
    axes.set_ylabel("GFLOP/s", color=FAINT)
    axes.legend(loc="lower right", facecolor=BACKGROUND, edgecolor=FAINT, labelcolor=INK)
    _write(figure, path)


def on_roofline(rows: Sequence[Row], n_threads: int) -> list[Row]:
    """Return the rows that a roofline shows: EM of full covariances in float64."""
    return [
        row
        for row in rows
        if (row.case.task, row.case.structure, row.case.dtype) == (EM, "full", "float64")
        and row.threads == n_threads
        and row.gflops is not None
        and row.gflops > 0
    ]


def intensity(row: Row) -> float:
    """Floating-point operations of an EM iteration per byte of X."""
    case = row.case
    size = case.n_samples * case.n_features * np.dtype(case.dtype).itemsize
    return float(_flops(row) / size)


def _flops(row: Row) -> float:
    assert row.gflops is not None
    return 1e9 * row.gflops * row.seconds


def _draw_ceilings(axes: Any, points: Sequence[Row], ceilings: Ceilings) -> None:
    gemm, memory = ceilings.gemm["float64"], ceilings.memory
    at = [intensity(row) for row in points] or [1.0]
    x = np.geomspace(min(*at, gemm / memory) / REACH, max(at) * REACH, 200)
    axes.plot(x, np.minimum(gemm, memory * x), color=FAINT, lw=1.5)
    axes.annotate(
        f"matrix product, {gemm:.0f} GFLOP/s", (x[-1], gemm), xytext=(0, 4),
        textcoords="offset points", ha="right", color=FAINT,
    )  # fmt: skip
    axes.annotate(
        f"memory, {memory:.0f} GB/s", (x[0], memory * x[0]), xytext=(6, -2),
        textcoords="offset points", ha="left", va="top", color=FAINT,
    )  # fmt: skip


def _draw_library(axes: Any, library: str, rows: Sequence[Row], color: str) -> None:
    ours = library == "gaussmix"
    axes.scatter(
        [intensity(row) for row in rows], [row.gflops for row in rows], label=library,
        color=color, s=60 if ours else 28, zorder=3,
    )  # fmt: skip
    if not ours:
        return
    for place, row in enumerate(rows):
        side = -1 if place % 2 else 1  # S4 and S5 have almost the same intensity
        axes.annotate(
            row.case.name, (intensity(row), row.gflops), xytext=(9 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center", color=INK,
        )  # fmt: skip


def _reachable(row: Row, ceilings: Ceilings, exp_rate: float) -> float:
    least = bound(row.case, ceilings, exp_rate)
    assert least is not None
    return 1e-9 * _flops(row) / least.total


def save_efficiency(path: Path, grid: Grid, ceilings: Ceilings, caption: str) -> None:
    """Draw a pass's part of a matrix product's rate at every number of features and components.

    A frame marks an odd shape that falls short of its regular neighbour.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    features = sorted({d for d, _ in grid.rates})
    components = sorted({k for _, k in grid.rates})
    gemm = ceilings.gemm["float64"]
    parts = np.array([[grid.rates[d, k] / gemm for k in components] for d in features])
    what = f"a pass, as a part of the rate of a matrix product, {gemm:.0f} GFLOP/s"
    figure, axes = _canvas((8.0, 8.0), f"{caption}\n{what}")
    axes.imshow(parts, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (i, j), part in np.ndenumerate(parts):
        ink = BACKGROUND if part > 0.6 else INK
        axes.text(j, i, f"{part:.2f}", ha="center", va="center", color=ink)
    for pair in _short(grid):
        d, k = pair.odd
        _frame(axes, features.index(d), components.index(k))
    axes.set_xticks(range(len(components)), components)
    axes.set_yticks(range(len(features)), features)
    axes.set_xlabel("components", color=FAINT)
    axes.set_ylabel("features", color=FAINT)
    _write(figure, path)


def _short(grid: Grid) -> Iterator[Pair]:
    return (pair for pair in pairs(grid) if pair.ratio < LEAST_OF_NEIGHBOUR)


def _frame(axes: Any, i: int, j: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec=COLORS[-1], lw=2))


def _canvas(size: tuple[float, float], caption: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor(BACKGROUND)
    axes.set_title(caption, color=INK, fontsize=10, loc="left")
    axes.tick_params(which="both", colors=FAINT)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return figure, axes


def _write(figure: Any, path: Path) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png")
