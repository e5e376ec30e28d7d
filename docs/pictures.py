"""Draws the pictures of README.md and of docs/, each on a light background and on a dark one.

Run as `python docs/pictures.py [NAME ...]`, in the root of the repository; needs matplotlib,
pandas and scikit-learn. The pictures take the style that is set: the dark
ones are drawn in matplotlib's own `dark_background`. The results of a long experiment are drawn by
`python -m benchmarks.missing_values --picture docs/missing-values.png`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from numpy.typing import NDArray

import gaussmix
from gaussmix import GaussianMixture, KMeans
from gaussmix._core.types import FloatArray
from gaussmix.cli import demo
from gaussmix.estimators.attributes import parameters_of
from gaussmix.model.families import CODES
from gaussmix.plotting.backend import ellipse, ink, write_at
from gaussmix.plotting.colors import COLORS, component_colors, mixed, rgb
from gaussmix.plotting.comparison import Comparison, save_comparison
from gaussmix.plotting.curves import save_curves
from gaussmix.plotting.shapes import ellipses
from gaussmix.plotting.views import features_view

DOCS = Path(__file__).parent
DATA = DOCS.parent / "tests" / "data"
STYLES = {"": "default", "-dark": "dark_background"}
DPI = 90

Draw = Callable[[Path], None]

DEMO_ROWS, DEMO_SEED = 2_000_000, 0
N_SAMPLES, NOISE = 20_000, 0.09
SHARES = (0.22, 0.22, 0.46, 0.10)  # of the moons, the large ring and the small one
GAP = 0.25  # by which each moon is moved away from the other
RINGS, RADII = np.array([3.9, 0.25]), (1.2, 0.3)
N_COMPONENTS, N_CLUSTERS = 12, 4
COVERAGE = 0.68

GROUPS = (  # centres, standard deviations along the axes of the group, and its angle
    ((0.0, 0.0), (2.0, 0.4), 0.5),
    ((5.0, 1.0), (0.7, 0.5), 0.0),
    ((2.0, 5.0), (1.2, 0.3), -0.9),
)
N_LABELLED, N_LABELS = 600, 8


def table(name: str) -> FloatArray:
    """Return the numbers of a file of the tests."""
    path = DATA / f"{name}.csv"
    n_columns = 4 if name == "iris" else 2
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(n_columns))


def demonstration() -> Draw:
    """K-means beside a mixture: what `gaussmix demo` draws."""
    truth = demo.flower()
    X, labels = demo.generate(truth, DEMO_ROWS, DEMO_SEED)
    outcome = demo.run(truth, X, labels, seed=DEMO_SEED)
    shown = X[: demo.PICTURE_ROWS]
    comparison = Comparison(
        shown,
        outcome.kmeans.cluster_centers_,
        outcome.kmeans.labels_[: len(shown)],
        parameters_of(outcome.model),
        outcome.model.predict_proba(shown),
    )
    return lambda path: save_comparison(path, comparison, demo.caption(outcome))


def selection() -> Draw:
    """A criterion against the number of components, for Old Faithful."""
    chosen = gaussmix.select(table("old_faithful"), range(1, 7), random_state=0)
    return lambda path: save_curves(path, chosen.curves())


def kinds() -> Draw:
    """Old Faithful in every kind of picture, and the climb of its fit."""
    X = pd.read_csv(DATA / "old_faithful.csv").set_axis(
        ["minutes of eruption", "minutes of waiting"], axis=1
    )
    model = GaussianMixture(
        3, covariance_type="tied", init_params="random_from_data", tol=1e-5, random_state=0
    ).fit(X)

    def draw(path: Path) -> None:
        figure, axes = plt.subplots(3, 2, figsize=(10, 11.5), layout="constrained")
        *first, fourth, fifth, sixth = axes.flat
        for panel, kind in zip(first, ("classification", "uncertainty", "density"), strict=True):
            model.plot(X, kind=kind, ax=panel)
            panel.set_title(f'kind="{kind}"')
        model.plot(kind="components", ax=fourth)
        fourth.set_title('kind="components", without rows')
        model.plot(X, features=1, ax=fifth)
        fifth.set_title("features=1")
        model.plot_convergence(ax=sixth)
        sixth.set_title("plot_convergence()")
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


def pairs() -> Draw:
    """Iris: all pairs of features."""
    X = table("iris")
    model = GaussianMixture(3, n_init=5, random_state=0).fit(X)

    def draw(path: Path) -> None:
        figure = model.plot(X, kind="pairs")[0, 0].figure
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


def plane() -> Draw:
    """Iris: the plane that separates the means, and the cells of K-means in theirs."""
    X = table("iris")
    model = GaussianMixture(3, n_init=5, random_state=0).fit(X)
    kmeans = KMeans(3, random_state=0).fit(X)

    def draw(path: Path) -> None:
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
        model.plot(X, ax=left).set_title("GaussianMixture(3)")
        kmeans.plot(X, ax=right).set_title("KMeans(3)")
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


def hierarchy() -> Draw:
    """Four clusters, none Gaussian, as three methods see them."""
    X, y = moons_and_rings(seed=1)
    kmeans = KMeans(N_CLUSTERS, random_state=0).fit(X)
    flat, fine = fitted(N_CLUSTERS, X), fitted(N_COMPONENTS, X)
    nested = fine.hierarchy(X)
    colors = rgb(COLORS)[: nested.n_clusters]

    def draw(path: Path) -> None:
        figure: Any = plt.figure(figsize=(14.0, 12.4))
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.75, 1.0))
        panels = top.subplots(2, 2, sharex=True, sharey=True)
        reference = nested.predict(X)
        one = colors[matching(kmeans.labels_, reference)]
        show(panels[0, 0], X, one[kmeans.labels_])
        describe(panels[0, 0], "K-means", f"{N_CLUSTERS} centres", y, kmeans.labels_)
        one = colors[matching(flat.predict(X), reference)]
        show(panels[0, 1], X, mixed(flat.predict_proba(X), one), flat)
        describe(panels[0, 1], "A mixture", f"{N_CLUSTERS} components", y, flat.predict(X))
        many = component_colors(fine.means_)
        show(panels[1, 0], X, mixed(fine.predict_proba(X), many), fine, numbered=True)
        note = f"{N_COMPONENTS} components"
        describe(panels[1, 0], "A finer mixture", note, y, fine.predict(X))
        show(panels[1, 1], X, mixed(nested.predict_proba(X), colors), fine)
        note = f"{nested.n_clusters} clusters, the number chosen by the elbow"
        describe(panels[1, 1], "Its hierarchy", note, y, reference)
        tree, curve = nested.plot(bottom, colors)
        tree.set_title("what merges with what", pad=12)
        curve.set_title("what each level leaves unsure", pad=12)
        top.subplots_adjust(left=0.02, right=0.98, bottom=0.01, top=0.9, wspace=0.05, hspace=0.27)
        bottom.subplots_adjust(left=0.08, right=0.95, bottom=0.14, top=0.87, wspace=0.1)
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


def moons_and_rings(seed: int) -> tuple[FloatArray, NDArray[np.integer]]:
    """Two moons in each other's arms, and a ring in a ring: rows (N, 2) and their clusters."""
    rng = np.random.default_rng(seed)
    y = rng.choice(4, size=N_SAMPLES, p=SHARES)
    half, whole = np.pi * rng.uniform(size=N_SAMPLES), 2 * np.pi * rng.uniform(size=N_SAMPLES)
    arc, ring = (np.stack([np.cos(t), np.sin(t)], axis=1) for t in (half, whole))
    upper, lower = arc + np.array([0.0, GAP]), np.array([1.0, 0.5 - GAP]) - arc
    curves = np.stack([upper, lower, *(RINGS + radius * ring for radius in RADII)])
    return curves[y, np.arange(N_SAMPLES)] + NOISE * rng.normal(size=(N_SAMPLES, 2)), y


def fitted(n_components: int, X: FloatArray) -> GaussianMixture:
    """Fit with care."""
    return GaussianMixture(n_components, n_init=10, tol=1e-4, max_iter=500, random_state=0).fit(X)


def matching(labels: NDArray[np.integer], reference: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the cluster of the reference whose colour each label gets, one each."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((N_CLUSTERS, N_CLUSTERS))
    np.add.at(counts, (labels, reference), 1)
    return np.asarray(linear_sum_assignment(counts, maximize=True)[1])


def show(
    axes: Any,
    X: FloatArray,
    colors: FloatArray,
    model: GaussianMixture | None = None,
    numbered: bool = False,
) -> None:
    """Draw rows in their colours, and the outlines of a model's components."""
    axes.scatter(*X.T, c=colors, s=2.0, linewidths=0)
    axes.set_aspect("equal")
    axes.axis("off")
    if model is None:
        return
    seen = features_view(np.arange(2), ("", "")).mixture(parameters_of(model))
    found = ellipses(seen.means, seen.covariances, COVERAGE)
    for k, outline in enumerate(found.drawn()):
        axes.add_patch(ellipse(*outline, fill=False, ec=ink(axes), lw=1.0, alpha=0.8))
        if numbered:
            write_at(axes, outline[0], str(k), weight="bold", size=12)


def describe(
    axes: Any, title: str, note: str, truth: NDArray[np.integer], found: NDArray[np.integer]
) -> None:
    """Write a title, and how well the clusters are found."""
    from sklearn.metrics import adjusted_rand_score

    axes.set_title(title, size=20, pad=26)
    note = f"{note}, adjusted Rand index {adjusted_rand_score(truth, found):.3f}"
    axes.text(0.5, 1.02, note, transform=axes.transAxes, ha="center", alpha=0.7)


def families() -> Draw:
    """Three groups, fitted by each of the fourteen families."""
    rng = np.random.default_rng(4)
    X = np.vstack(
        [
            center + rng.normal(size=(150, 2)) * deviations @ rotation(angle)
            for center, deviations, angle in GROUPS
        ]
    )
    models = [
        GaussianMixture(3, covariance_type=code, tol=1e-6, max_iter=1000, random_state=0).fit(X)
        for code in CODES
    ]
    group = KMeans(3, init=[center for center, _, _ in GROUPS]).fit(X)

    def draw(path: Path) -> None:
        figure, axes = plt.subplots(3, 5, figsize=(10, 6.6), sharex=True, sharey=True)
        axes[-1, -1].remove()
        for panel, model in zip(axes.flat, models, strict=False):
            colors = rgb(COLORS)[group.predict(model.means_)]
            show(panel, X, mixed(model.predict_proba(X), colors), model)
            panel.set_title(f"{model.covariance_type}, BIC {model.bic(X):,.0f}")
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.95, wspace=0.05)
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


def rotation(angle: float) -> FloatArray:
    """Return the matrix that turns rows by an angle."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def labels() -> Draw:
    """Two crossing groups, of which four rows each are known, and what two methods make of it."""
    from sklearn.semi_supervised import LabelSpreading

    rng = np.random.default_rng(0)
    group = rng.integers(2, size=N_LABELLED)
    rows = rng.normal(size=(N_LABELLED, 2)) * [3.0, 0.5]
    turn = rotation(np.pi / 4)
    X = np.where(group[:, None] == 0, rows @ turn, rows @ turn.T + [2.0, 0.0])
    known = np.concatenate([np.flatnonzero(group == k)[: N_LABELS // 2] for k in range(2)])
    told = np.full(N_LABELLED, -1)
    told[known] = group[known]
    mixture = GaussianMixture(2, random_state=0).fit(X, labels=told)
    spreading = LabelSpreading(kernel="knn", n_neighbors=10).fit(X, told)
    found = {"gaussmix": mixture.predict(X), "LabelSpreading": spreading.predict(X)}
    colors = rgb(COLORS)

    def draw(path: Path) -> None:
        figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), layout="compressed")
        for panel, (name, each) in zip(axes, found.items(), strict=True):
            panel.scatter(*X.T, s=9, c=colors[each], linewidths=0)
            panel.scatter(*X[known].T, s=70, c=colors[group[known]], edgecolors=ink(panel))
            right = (each == group)[told < 0].mean()
            panel.set_title(f"{name}: {right:.1%} of the unknown rows right")
            panel.set_aspect("equal")
        figure.savefig(path, dpi=DPI)
        plt.close(figure)

    return draw


PICTURES: dict[str, Callable[[], Draw]] = {
    "demo": demonstration,
    "families": families,
    "hierarchy": hierarchy,
    "kinds": kinds,
    "labels": labels,
    "pairs": pairs,
    "plane": plane,
    "selection": selection,
}


def main(names: list[str]) -> None:
    """Draw the pictures of these names, by default all."""
    plt.switch_backend("agg")
    for name in names or list(PICTURES):
        draw = PICTURES[name]()
        for ending, style in STYLES.items():
            path = DOCS / f"{name}{ending}.png"
            with plt.style.context(style):
                draw(path)
            print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
