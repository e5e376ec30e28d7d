"""Draws docs/hierarchy.png: four clusters, none Gaussian, as three methods see them.

Run as `python benchmarks/hierarchy.py [PICTURE]`; needs matplotlib and scikit-learn.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from gaussmix import GaussianMixture, KMeans
from gaussmix._core.types import FloatArray
from gaussmix.plotting import DARK, palette, srgb

N_SAMPLES, NOISE = 20_000, 0.09
SHARES = (0.22, 0.22, 0.46, 0.10)  # of the moons, the large ring and the small one
GAP = 0.25  # by which each moon is moved away from the other
RINGS, RADII = np.array([3.9, 0.25]), (1.2, 0.3)
N_COMPONENTS, N_CLUSTERS = 12, 4
OUTLINE = 1.5  # standard deviations
PICTURE = Path(__file__).parents[1] / "docs" / "hierarchy.png"


def moons_and_rings(seed: int) -> tuple[FloatArray, NDArray[np.integer]]:
    """Two moons in each other's arms, and a ring in a ring: rows (N, 2) and their clusters."""
    rng = np.random.default_rng(seed)
    y = rng.choice(4, size=N_SAMPLES, p=SHARES)
    half, whole = np.pi * rng.uniform(size=N_SAMPLES), 2 * np.pi * rng.uniform(size=N_SAMPLES)
    arc, ring = (np.stack([np.cos(t), np.sin(t)], axis=1) for t in (half, whole))
    upper, lower = arc + np.array([0.0, GAP]), np.array([1.0, 0.5 - GAP]) - arc
    curves = np.stack([upper, lower, *(RINGS + radius * ring for radius in RADII)])
    return curves[y, np.arange(N_SAMPLES)] + NOISE * rng.normal(size=(N_SAMPLES, 2)), y


def main(picture: Path) -> None:
    X, y = moons_and_rings(seed=1)
    kmeans = KMeans(N_CLUSTERS, random_state=0).fit(X)
    flat = fitted(N_CLUSTERS, X)
    fine = fitted(N_COMPONENTS, X)
    hierarchy = fine.hierarchy(X)
    colors = palette(means_of(hierarchy.predict_proba(X), X))

    with mpl.rc_context(DARK):
        figure: Any = Figure(figsize=(14.0, 12.4), dpi=100)
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.75, 1.0))
        (hard, soft), (fines, nested) = top.subplots(2, 2, sharex=True, sharey=True)
        matched = colors[matching(kmeans.labels_, hierarchy.predict(X))]
        draw(hard, X, matched[kmeans.labels_])
        describe(hard, "K-means", f"{N_CLUSTERS} centres", y, kmeans.labels_)
        matched = colors[matching(flat.predict(X), hierarchy.predict(X))]
        draw(soft, X, flat.predict_proba(X) @ matched, flat)
        describe(soft, "A mixture", f"{N_CLUSTERS} components", y, flat.predict(X))
        draw(fines, X, fine.predict_proba(X) @ palette(fine.means_), fine, numbered=True)
        describe(fines, "A finer mixture", f"{N_COMPONENTS} components", y, fine.predict(X))
        draw(nested, X, hierarchy.predict_proba(X) @ colors, fine)
        note = f"{hierarchy.n_clusters} clusters, the number chosen by the elbow"
        describe(nested, "Its hierarchy", note, y, hierarchy.predict(X))
        hierarchy.plot(bottom, srgb(colors).tolist())
        tree, curve = bottom.axes
        tree.set_title("what merges with what", pad=12)
        curve.set_title("what each level leaves unsure", pad=12)
        for axes in (tree, curve):
            axes.spines[["top", "right"]].set_visible(False)
        top.subplots_adjust(left=0.02, right=0.98, bottom=0.01, top=0.9, wspace=0.05, hspace=0.27)
        bottom.subplots_adjust(left=0.08, right=0.95, bottom=0.14, top=0.87, wspace=0.1)
        figure.savefig(picture)
    print(f"{picture}: elbow at {hierarchy.n_clusters}, entropies {hierarchy.entropies}")


def fitted(n_components: int, X: FloatArray) -> GaussianMixture:
    return GaussianMixture(n_components, n_init=10, tol=1e-4, max_iter=500, random_state=0).fit(X)


def means_of(proba: Any, X: FloatArray) -> FloatArray:
    """Means of soft clusters, about the middle of all."""
    return np.asarray(proba.T @ (X - X.mean(axis=0)) / proba.sum(axis=0)[:, None])


def matching(labels: NDArray[np.integer], reference: NDArray[np.integer]) -> NDArray[np.intp]:
    """The cluster of the reference whose colour each label gets, one each."""
    counts = np.zeros((N_CLUSTERS, N_CLUSTERS))
    np.add.at(counts, (labels, reference), 1)
    return np.asarray(linear_sum_assignment(counts, maximize=True)[1])


def draw(
    axes: Any,
    X: FloatArray,
    linear: FloatArray,
    model: GaussianMixture | None = None,
    numbered: bool = False,
) -> None:
    """Rows in their colours, and the outlines of a model's components."""
    axes.scatter(*X.T, c=srgb(linear), s=2.0, linewidths=0)
    axes.set_aspect("equal")
    axes.axis("off")
    if model is None:
        return
    for k, (mean, covariance) in enumerate(zip(model.means_, model.covariances_, strict=True)):
        variances, directions = np.linalg.eigh(covariance)
        width, height = 2 * OUTLINE * np.sqrt(variances)
        angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
        outline = {"fill": False, "ec": DARK["text.color"], "lw": 1.0, "alpha": 0.8}
        axes.add_patch(Ellipse(mean, width, height, angle=angle, **outline))
        if numbered:
            axes.text(*mean, str(k), ha="center", va="center", weight="bold", size=12)


def describe(
    axes: Any, title: str, note: str, truth: NDArray[np.integer], found: NDArray[np.integer]
) -> None:
    axes.set_title(title, size=20, pad=26)
    index = adjusted_rand_score(truth, found)
    note = f"{note}, adjusted Rand index {index:.3f}"
    axes.text(0.5, 1.02, note, transform=axes.transAxes, ha="center", color=DARK["xtick.color"])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
