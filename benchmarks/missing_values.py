"""What filling in gaps does to an outlier test: recall and false alarms of four ways.

python -m benchmarks.missing_values [--picture docs/missing-values.png]

The picture has a twin on a dark background beside it, docs/missing-values-dark.png.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix import GaussianMixture
from gaussmix._core.types import FloatArray
from gaussmix.plotting.colors import COLORS

N_ROWS, N_FEATURES, N_COMPONENTS, N_OUTLIERS = 200_000, 10, 5, 200
SHARES = (0.001, 0.005, 0.02, 0.05)  # of the cells, missing at random
PROBABILITY = 0.999  # of the region that outliers lie outside of
NEIGHBOURS, NEIGHBOUR_ROWS = 5, 5_000  # rows that gaps are filled in from


class Found(NamedTuple):
    """How an outlier test did."""

    recall: float
    false_alarms: int
    with_gaps: float  # the part of the false alarms in rows with gaps


def problem(share: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return rows of a mixture with correlated features, outliers among them, and gaps."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(N_COMPONENTS, N_FEATURES, 3))
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(N_FEATURES)
    truth = GaussianMixture.from_parameters(
        np.full(N_COMPONENTS, 1 / N_COMPONENTS),
        3 * rng.normal(size=(N_COMPONENTS, N_FEATURES)),
        covariances,
    )
    X, _ = truth.sample(N_ROWS, random_state=0)
    outlying = np.zeros(N_ROWS, dtype=np.bool_)
    outlying[rng.choice(N_ROWS, N_OUTLIERS, replace=False)] = True
    X[outlying] = rng.permuted(X[outlying] + 2 * rng.normal(size=(N_OUTLIERS, N_FEATURES)), axis=0)
    X[rng.random(X.shape) < share] = np.nan
    return X, outlying


def mean_imputed(X: FloatArray) -> FloatArray:
    """Fill in gaps with the features' means."""
    return np.where(np.isnan(X), np.nanmean(X, axis=0), X)


def neighbour_imputed(X: FloatArray) -> FloatArray:
    """Fill in gaps with the means of the nearest rows, of a sample without gaps."""
    from sklearn.impute import KNNImputer

    complete = X[~np.isnan(X).any(axis=1)][:NEIGHBOUR_ROWS]
    lacking = np.isnan(X).any(axis=1)
    filled = X.copy()
    filled[lacking] = KNNImputer(n_neighbors=NEIGHBOURS).fit(complete).transform(X[lacking])
    return filled


def tested(X: FloatArray, gaps: NDArray[np.bool_], outlying: NDArray[np.bool_]) -> Found:
    """Fit a mixture and compare what it says is an outlier with what is one."""
    model = GaussianMixture(
        N_COMPONENTS, n_init=3, random_state=0, tol=1e-5, max_iter=300, missing_values="marginalize"
    ).fit(X)
    said = model.is_outlier(X, PROBABILITY)
    false = said & ~outlying
    part = float((false & gaps).sum() / max(1, false.sum()))
    return Found(float(said[outlying].mean()), int(false.sum()), part)


WAYS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "mean-imputed": mean_imputed,
    "neighbour-imputed": neighbour_imputed,
    "marginalised": lambda X: X,
}


def run() -> dict[float, dict[str, Found]]:
    """Test every way at every share of missing cells, and print the table."""
    whole, outlying = problem(0.0)
    complete = tested(whole, np.zeros(N_ROWS, dtype=np.bool_), outlying)
    print(f"{'cells':>6} {'':18} {'recall':>7} {'false alarms':>13} {'in rows with gaps':>18}")
    print(f"{0:6.1%} {'complete':18} {complete.recall:7.1%} {complete.false_alarms:13,}")
    found: dict[float, dict[str, Found]] = {0.0: dict.fromkeys(WAYS, complete)}
    for share in SHARES:
        X, _ = problem(share)
        gaps: NDArray[np.bool_] = np.asarray(np.isnan(X).any(axis=1))
        found[share] = {}
        for name, fill in WAYS.items():
            result = found[share][name] = tested(fill(X), gaps, outlying)
            print(
                f"{share:6.1%} {name:18} {result.recall:7.1%} {result.false_alarms:13,} "
                f"{result.with_gaps:18.0%}",
                flush=True,
            )
    return found


def draw(found: dict[float, dict[str, Found]], path: Path) -> None:
    """Draw false alarms and recall against the share of missing cells."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    shares = [100 * share for share in found]
    for name, color, mark in zip(WAYS, COLORS, "s^o", strict=False):
        results = [found[share][name] for share in found]
        style = {"marker": mark, "color": color, "label": name}
        panels[0].plot(shares, [result.false_alarms for result in results], **style)
        panels[1].plot(shares, [100 * result.recall for result in results], **style)
    panels[0].set(xlabel="missing cells, %", ylabel="false alarms", yscale="log")
    panels[1].set(xlabel="missing cells, %", ylabel="recall, %", ylim=(0, 104))
    panels[1].legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="file for a picture")
    arguments = parser.parse_args()
    found = run()
    if arguments.picture:
        from matplotlib import pyplot as plt

        for ending, style in {"": "default", "-dark": "dark_background"}.items():
            with plt.style.context(style):
                draw(found, arguments.picture.with_stem(arguments.picture.stem + ending))


if __name__ == "__main__":
    main()
