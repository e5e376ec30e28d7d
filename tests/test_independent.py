"""Answers of one mixture against its definition, by SciPy's densities and sums over a fine grid.

Nothing of the library takes part in what is expected. Fits are compared with those of the same rows
in another unit, and about another origin.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import multivariate_normal

from gaussmix import BayesianGaussianMixture, GaussianMixture, Prior
from gaussmix._core.types import FloatArray

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[0.0, 0.0], [2.5, 1.0], [-1.0, 4.0]])
COVARIANCES = np.array(
    [[[1.0, 0.6], [0.6, 1.5]], [[0.8, -0.3], [-0.3, 0.5]], [[2.0, 0.2], [0.2, 0.7]]]
)
N_FREE = 2 + 3 * 2 + 3 * 3

ENDS = np.array([[-11.0, 11.0], [-9.0, 12.0]])
STEP = 1 / 32
GRID = [np.arange(low, high, STEP) for low, high in ENDS]
CELLS = np.stack(np.meshgrid(*GRID, indexing="ij"), axis=-1)  # (m, n, 2)
AREA = STEP**2


@pytest.fixture(scope="module")
def mixture() -> GaussianMixture:
    return GaussianMixture.from_parameters(WEIGHTS, MEANS, COVARIANCES)


@pytest.fixture(scope="module")
def rows() -> FloatArray:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, p=WEIGHTS, size=400)
    return np.array([rng.multivariate_normal(MEANS[k], COVARIANCES[k]) for k in labels])


def parts(X: FloatArray) -> FloatArray:
    """Weighted densities of the components: (..., K)."""
    return np.stack(
        [
            w * multivariate_normal(m, c).pdf(X)
            for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
        ],
        axis=-1,
    )


def responsibilities(X: FloatArray) -> FloatArray:
    joint = parts(X)
    return np.asarray(joint / joint.sum(axis=-1, keepdims=True))


def test_the_grid_holds_everything() -> None:
    assert (parts(CELLS).sum(axis=(0, 1)) * AREA).tolist() == pytest.approx(
        WEIGHTS.tolist(), abs=1e-9
    )


def test_criteria(mixture: GaussianMixture, rows: FloatArray) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 2, size=len(rows))
    for w in (None, weight):
        each = np.ones(len(rows)) if w is None else w
        total, n = each @ np.log(parts(rows).sum(axis=1)), each.sum()
        bic = -2 * total + N_FREE * np.log(n)
        unsure = each @ np.log(responsibilities(rows).max(axis=1))
        assert mixture.score(rows, sample_weight=w) == pytest.approx(total / n, rel=1e-12)
        assert mixture.aic(rows, w) == pytest.approx(-2 * total + 2 * N_FREE, rel=1e-12)
        assert mixture.bic(rows, w) == pytest.approx(bic, rel=1e-12)
        assert mixture.icl(rows, w) == pytest.approx(bic - 2 * unsure, rel=1e-12)


def test_entropies_of_merges(mixture: GaussianMixture, rows: FloatArray) -> None:
    resp = responsibilities(rows)

    def entropy(memberships: FloatArray) -> float:
        return float(-xlogy(memberships, memberships).sum())

    def united(i: int, j: int) -> FloatArray:
        (other,) = {0, 1, 2} - {i, j}
        return np.column_stack([resp[:, i] + resp[:, j], resp[:, other]])

    best = min(combinations(range(3), 2), key=lambda pair: entropy(united(*pair)))
    found = mixture.hierarchy(rows)
    assert found.entropies is not None
    expected = [0.0, entropy(united(*best)), entropy(resp)]
    assert found.entropies.tolist() == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert tuple(found.linkage[0, :2]) == best
    labels = found.labels(2)
    assert labels[best[0]] == labels[best[1]]
    memberships = found.predict_proba(rows, n_clusters=2)[:, labels[best[0]]]
    np.testing.assert_allclose(memberships, united(*best)[:, 0], rtol=1e-10)


def test_divergences(mixture: GaussianMixture) -> None:
    densities = parts(CELLS) / WEIGHTS
    overlap = np.einsum("mni,mnj->ij", np.sqrt(densities), np.sqrt(densities)) * AREA
    with np.errstate(divide="ignore"):
        logs = np.log(densities)
    kl = np.array(
        [
            [(xlogy(p, p) - p * q).sum() * AREA for q in np.moveaxis(logs, -1, 0)]
            for p in np.moveaxis(densities, -1, 0)
        ]
    )
    assert kl.min() > -1e-6
    np.testing.assert_allclose(mixture.component_distances("kl"), kl, atol=1e-7)
    np.testing.assert_allclose(mixture.component_distances(), -np.log(overlap), atol=1e-7)
    np.testing.assert_allclose(
        mixture.component_distances("hellinger"), np.sqrt(np.maximum(1 - overlap, 0)), atol=1e-4
    )


def test_the_first_merge_by_distance(mixture: GaussianMixture) -> None:
    """The first height is the distance of the two nearest components, the second of a union."""
    found = mixture.hierarchy(criterion="bhattacharyya")
    densities = parts(CELLS)

    def gaussian(members: list[int]) -> FloatArray:
        density = densities[..., members].sum(axis=-1)
        total = density.sum()
        mean = np.einsum("mn,mni->i", density, CELLS) / total
        deviation = CELLS - mean
        matrix = np.einsum("mn,mni,mnj->ij", density, deviation, deviation) / total
        return np.asarray(multivariate_normal(mean, matrix).pdf(CELLS))

    def distance(one: list[int], other: list[int]) -> float:
        return float(-np.log(np.sqrt(gaussian(one) * gaussian(other)).sum() * AREA))

    first = min(combinations(range(3), 2), key=lambda pair: distance([pair[0]], [pair[1]]))
    (rest,) = {0, 1, 2} - {*first}
    assert tuple(found.linkage[0, :2]) == first
    assert found.linkage[0, 2] == pytest.approx(distance([first[0]], [first[1]]), abs=1e-6)
    assert found.linkage[1, 2] == pytest.approx(distance([*first], [rest]), abs=1e-6)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9, 0.99])
def test_regions_hold_their_probability(mixture: GaussianMixture, p: float) -> None:
    density = parts(CELLS).sum(axis=-1)
    inside = np.log(density) >= mixture.hdr_level(p)
    deviation = np.sqrt(p * (1 - p) / 262144)
    assert density[inside].sum() * AREA == pytest.approx(p, abs=5 * deviation + 1e-4)
    outlying = mixture.is_outlier(CELLS[::16, ::16].reshape(-1, 2), p)
    assert np.array_equal(outlying, ~inside[::16, ::16].ravel())


@pytest.mark.parametrize(("known", "unknown"), [(0, 1), (1, 0)])
def test_conditionals_and_regression(mixture: GaussianMixture, known: int, unknown: int) -> None:
    values = np.array([-2.0, 0.3, 3.0, 5.0])
    line = GRID[unknown]
    X = np.empty((len(values), len(line), 2))
    X[..., known], X[..., unknown] = values[:, None], line
    joint = parts(X)
    density = joint.sum(axis=-1)
    total = density.sum(axis=1)
    mean = density @ line / total
    std = np.sqrt((density * (line - mean[:, None]) ** 2).sum(axis=1) / total)
    found = mixture.regress(known, values[:, None], return_std=True)
    np.testing.assert_allclose(found[0][:, 0], mean, atol=1e-9)
    np.testing.assert_allclose(found[1][:, 0], std, atol=1e-9)
    gaps = np.full((len(values), 2), np.nan)
    gaps[:, known] = values
    filled, spread = mixture.predict_missing(gaps, return_std=True)
    np.testing.assert_allclose(filled[:, unknown], mean, atol=1e-9)
    np.testing.assert_allclose(spread[:, unknown], std, atol=1e-9)
    for i, value in enumerate(values):
        rest = mixture.conditional(known, value)
        np.testing.assert_allclose(rest.weights_, joint[i].sum(axis=0) / total[i], atol=1e-9)
        below = np.array([density[i, line < edge].sum() for edge in (0.0, 2.0)])
        edges = np.array([0.0, 2.0]) - STEP / 2
        np.testing.assert_allclose(rest.cdf(edges), below / total[i], atol=2e-4)
    marginal = density.sum(axis=1) * STEP
    scores = mixture.marginal(known).score_samples(values[:, None])
    np.testing.assert_allclose(scores, np.log(marginal), atol=1e-9)


FITS: dict[str, dict[str, Any]] = {
    "VEV": {"covariance_type": "VEV"},
    "hierarchical": {"init_params": "hierarchical"},
    "noise": {"noise": True},
    "prior": {"prior": Prior()},
    "relative": {"reg_covar": "relative"},
    "ratio": {"eigenvalue_ratio": 5},
    "marginalize": {"missing_values": "marginalize"},
}


@pytest.mark.parametrize(
    ("unit", "origin"), [(2.0**-30, 0.0), (2.0**30, 0.0), (1.0, 2.0**20)], ids=str
)
@pytest.mark.parametrize("name", [*FITS, "Bayesian"])
def test_fits_go_along_with_unit_and_origin(
    rows: FloatArray, name: str, unit: float, origin: float
) -> None:
    X = np.round(rows * 2**20) / 2**20  # moves without rounding
    if name == "marginalize":
        X[::9, 1] = np.nan
    common: dict[str, Any] = {"reg_covar": 0.0, "tol": 1e-4, "max_iter": 500, "random_state": 0}

    def fit(X: FloatArray) -> Any:
        if name == "Bayesian":
            return BayesianGaussianMixture(n_components=3, **common).fit(X)
        return GaussianMixture(3, **(common | FITS[name])).fit(X)

    here, there = fit(X), fit(X * unit + origin)
    assert there.n_iter_ == here.n_iter_
    np.testing.assert_allclose((there.means_ - origin) / unit, here.means_, atol=1e-8)
    np.testing.assert_allclose(there.covariances_ / unit**2, here.covariances_, atol=1e-8)
    np.testing.assert_allclose(there.weights_, here.weights_, atol=1e-8)
