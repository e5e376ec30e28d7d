"""Pictures of the docs: the fourteen families, and few labels beside LabelSpreading.

``python -m benchmarks.pictures_told`` writes docs/families.png and docs/labels.png.
"""

from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from sklearn.semi_supervised import LabelSpreading

from gaussmix import GaussianMixture

FAMILIES = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE"),
    *("EVE", "VEE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)
COLOURS = "#1b6ca8", "#d1495b", "#4f7942"
N_LABELS = 8


def three_groups() -> NDArray[np.float64]:
    """Rows of three groups of different size, shape and direction."""
    rng = np.random.default_rng(4)
    parts = []
    for center, deviations, angle in (
        ((0.0, 0.0), (2.0, 0.4), 0.5),
        ((5.0, 1.0), (0.7, 0.5), 0.0),
        ((2.0, 5.0), (1.2, 0.3), -0.9),
    ):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        parts.append(center + rng.normal(size=(150, 2)) * deviations @ turn)
    return np.vstack(parts)


def ellipses(axes: Any, mixture: GaussianMixture) -> None:
    """Draw where components are, to two standard deviations."""
    shape = np.asarray(mixture.covariances_)
    for k, mean in enumerate(mixture.means_):
        own = shape if mixture.covariance_type in ("EEE", "tied") else shape[k]
        matrix = own * np.eye(2) if own.ndim < 2 else own
        variances, directions = np.linalg.eigh(matrix)
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        width, height = 4 * np.sqrt(variances[::-1])
        axes.add_patch(
            Ellipse(
                tuple(mean), width, height, angle=angle, fill=False, lw=1.6, color=COLOURS[k % 3]
            )
        )


def families() -> None:
    """Draw the fourteen families on one data set."""
    X = three_groups()
    figure, grid = plt.subplots(2, 7, figsize=(14, 4.6), sharex=True, sharey=True)
    for axes, name in zip(grid.ravel(), FAMILIES, strict=True):
        mixture = GaussianMixture(
            3, covariance_type=cast(Any, name), random_state=0, tol=1e-6, max_iter=1000
        ).fit(X)
        axes.scatter(*X.T, s=2, color="0.7")
        ellipses(axes, mixture)
        axes.set_title(f"{name}   BIC {mixture.bic(X):.0f}", fontsize=9)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.tight_layout()
    figure.savefig("docs/families.png", dpi=110)


def few_labels() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of two long crossing groups, their groups, and the few labels that are known."""
    rng = np.random.default_rng(0)
    group = rng.integers(2, size=600)
    long = rng.normal(size=(600, 2)) * [3.0, 0.5]
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    X = np.where(group[:, None] == 0, long @ turn, long @ turn.T + [2.0, 0.0])
    labels = np.full(600, -1)
    for k in range(2):
        labels[np.flatnonzero(group == k)[: N_LABELS // 2]] = k
    return X, group, labels


def labels() -> None:
    """Draw what a mixture and LabelSpreading make of the same labels; print how often right."""
    X, group, known = few_labels()
    mixture = GaussianMixture(2, random_state=0).fit(X, labels=known)
    spreading = LabelSpreading(kernel="knn", n_neighbors=10).fit(X, known)
    figure, grid = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
    for axes, name, found in (
        (grid[0], "gaussmix, labels=", mixture.predict(X)),
        (grid[1], "LabelSpreading", spreading.predict(X)),
    ):
        right = float((found == group)[known < 0].mean())
        axes.scatter(*X.T, s=7, c=[COLOURS[k] for k in found], alpha=0.6, lw=0)
        given = known >= 0
        axes.scatter(*X[given].T, s=70, c=[COLOURS[k] for k in known[given]], edgecolor="black")
        axes.set_title(f"{name}: {right:.1%} right")
        axes.set_aspect("equal")
        print(name, f"{right:.3f}")
    figure.tight_layout()
    figure.savefig("docs/labels.png", dpi=100)


if __name__ == "__main__":
    families()
    labels()
