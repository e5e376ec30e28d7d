"""Merging components: the published criteria by brute force, and soft clusters that nest."""

import pickle
import tracemalloc
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, dendrogram, is_monotonic, is_valid_linkage
from scipy.integrate import quad
from scipy.special import xlogy
from scipy.stats import norm

from gaussmix import GaussianMixture, NotFittedError, scan
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, MergeCriterion, Rows, Structure
from gaussmix.data.base import Data, InMemory
from gaussmix.estimators.attributes import parameters_of
from gaussmix.queries import merging as merging_module
from gaussmix.queries.hierarchy import Hierarchy, elbow
from gaussmix.queries.merging import cluster_shares, gains
from gaussmix.queries.moment_matching import WithVariances

Partition = set[frozenset[int]]


def mixture(n_components: int = 6, n_features: int = 2, seed: int = 0) -> GaussianMixture:
    """A mixture whose components overlap, in chains and at random."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_components, n_features, n_features))
    return GaussianMixture.from_parameters(
        rng.dirichlet(np.full(n_components, 3.0)),
        rng.uniform(-4, 4, size=(n_components, n_features)),
        factors @ np.swapaxes(factors, 1, 2) + 0.3 * np.eye(n_features),
    )


def rows_of(model: GaussianMixture, n_samples: int = 500, seed: int = 0) -> FloatArray:
    X, _ = model.sample(n_samples, random_state=seed)
    return np.random.default_rng(seed).permutation(X)


def entropy(proba: Rows, weight: Any = 1.0) -> float:
    return float(-(xlogy(proba, proba).sum(axis=1) * weight).sum())


def entropies_of(hierarchy: Hierarchy) -> FloatArray:
    assert hierarchy.entropies is not None
    return hierarchy.entropies


def partition(hierarchy: Hierarchy, n_clusters: int) -> Partition:
    labels = hierarchy.labels(n_clusters)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}


def merged(proba: Rows, i: int, j: int) -> Rows:
    union = proba.copy()
    union[:, i] += union[:, j]
    return np.delete(union, j, axis=1)


def brute_force(proba: Rows, weight: Any = 1.0) -> tuple[list[Partition], list[float]]:
    """Baudry et al. by the definition: compute the entropy after every possible merge."""
    clusters = [frozenset((k,)) for k in range(proba.shape[1])]
    levels, entropies = [set(clusters)], [entropy(proba, weight)]
    while len(clusters) > 1:
        i, j = min(
            combinations(range(len(clusters)), 2),
            key=lambda pair: entropy(merged(proba, *pair), weight),
        )
        proba = merged(proba, i, j)
        clusters[i] |= clusters.pop(j)
        levels.append(set(clusters))
        entropies.append(entropy(proba, weight))
    return levels[::-1], entropies[::-1]


def shapes(n_samples: int, seed: int = 0) -> tuple[FloatArray, NDArray[np.int64]]:
    """Two arcs and two blobs far from each other."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, size=n_samples)
    angle = np.pi * rng.uniform(size=n_samples)
    arcs = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 3
    centers = np.array([[0.0, 0.0], [0.0, -9.0], [9.0, 0.0], [9.0, -9.0]])
    X = np.where((y < 2)[:, None], arcs, 0.0) + centers[y]
    return X + 0.3 * rng.normal(size=X.shape), y


# Entropy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_merges_are_those_of_brute_force(seed: int, weighted: bool) -> None:
    model = mixture(n_components=7, seed=seed)
    X = rows_of(model, 300)
    weight = np.random.default_rng(seed).uniform(size=300) ** 4 if weighted else None
    hierarchy = model.hierarchy(X, weight)
    levels, entropies = brute_force(model.predict_proba(X), 1.0 if weight is None else weight)
    assert [partition(hierarchy, m) for m in range(1, 8)] == levels
    assert np.allclose(entropies_of(hierarchy), entropies, rtol=1e-11, atol=1e-10)
    drops = np.diff(entropies)[::-1]
    assert np.allclose(hierarchy.linkage[:, 2], np.cumsum(drops), rtol=1e-11)


def test_a_wrong_rehearsal_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mixture(n_components=8, seed=3)
    X = rows_of(model, 2000)
    expected, _ = brute_force(model.predict_proba(X))
    passes: list[int] = []

    def counted(pairs: Any, parameters: Any, data: Data) -> Any:
        passes.extend([len(pairs)] if data.n_samples == len(X) else [])
        return gains(pairs, parameters, data)

    monkeypatch.setattr(merging_module, "gains", counted)
    for rehearsal_rows in (2, 8):  # foresees next to nothing
        monkeypatch.setattr(merging_module, "REHEARSAL_ROWS", rehearsal_rows)
        passes.clear()
        hierarchy = model.hierarchy(X)
        assert [partition(hierarchy, m) for m in range(1, 9)] == expected
        assert 2 < len(passes) <= 7
    before = len(passes)
    monkeypatch.setattr(merging_module, "REHEARSAL_ROWS", 1999)
    passes.clear()
    assert np.array_equal(model.hierarchy(X).linkage, hierarchy.linkage)
    assert len(passes) < before


def test_one_pass_is_enough_where_the_rehearsal_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mixture(n_components=8)
    asked: list[int] = []

    def counted(pairs: Any, parameters: Any, data: Data) -> Any:
        asked.append(len(pairs))
        return gains(pairs, parameters, data)

    monkeypatch.setattr(merging_module, "gains", counted)
    model.hierarchy(rows_of(model, 400))  # all rows are rehearsed
    *rehearsed, carried = asked
    assert sum(rehearsed) == carried
    assert carried < 8 * 7 / 2 + 7 * 6 / 2  # far clusters are never looked at


def test_gains_bound_those_of_unions() -> None:
    model = mixture(n_components=5)
    data = InMemory(rows_of(model), None)
    a, b, c = (frozenset((k,)) for k in (0, 1, 2))
    pairs = [frozenset((a, c)), frozenset((b, c)), frozenset((a | b, c))]
    found = gains(set(pairs), parameters_of(model), data)
    first, second, union = (found[pair] for pair in pairs)
    assert max(first, second) < union < first + second


def test_gains_of_distant_clusters_are_right_however_small() -> None:
    means = np.array([[0.0], [14.0], [29.0]])
    model = GaussianMixture.from_parameters(
        np.full(3, 1 / 3), means, np.ones(3), covariance_type="spherical"
    )
    X = np.linspace(-2, 31, 100)[:, None]
    logs = norm(means.T).logpdf(X)
    expected = 0.0
    for row in logs:  # of the two on the left, from the logarithms of their ratio
        low, high = np.sort(row[:2])
        ratio = np.exp(low - high)
        share = np.exp(high - np.logaddexp.reduce(row))
        expected += share * (np.log1p(ratio) + ratio * (np.log1p(ratio) + high - low))
    near, far = frozenset((0,)), frozenset((1,))
    data, parameters = InMemory(X, None), parameters_of(model)
    pair = frozenset((near, far))
    assert gains({pair}, parameters, data)[pair] == pytest.approx(expected, rel=1e-12)
    data = InMemory(X[(X < 3).ravel()], None)  # where they are e^-55 of a row or less
    found = gains({pair, frozenset((near, frozenset((2,))))}, parameters, data)
    low = logs[(X < 3).ravel()]
    tiny = np.exp(low[:, 1] - low[:, 0])
    assert found.pop(pair) == pytest.approx(tiny @ (1 + low[:, 0] - low[:, 1]), rel=0.05)
    assert 0 < found.popitem()[1] < 1e-100


def test_far_clusters_are_merged_nearest_first() -> None:
    model = GaussianMixture.from_parameters(
        np.full(4, 0.25), [[0.0], [35.0], [100.0], [80.0]], np.ones(4), covariance_type="spherical"
    )
    X = (model.means_ + np.linspace(-3, 3, 50)).reshape(-1, 1)
    assert partition(model.hierarchy(X), 2) == {frozenset((0, 1)), frozenset((2, 3))}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_structure_and_precision(structure: Structure, dtype: type) -> None:
    X: Rows = rows_of(mixture(), 400).astype(dtype)
    model = GaussianMixture(5, covariance_type=structure, max_iter=5, tol=0, random_state=0)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(X)
    hierarchy = model.hierarchy(X)
    levels, entropies = brute_force(model.predict_proba(X.astype(np.float64)))
    assert [partition(hierarchy, m) for m in range(1, 6)] == levels
    assert np.allclose(entropies_of(hierarchy), entropies, rtol=1e-11)
    assert hierarchy.predict_proba(X).dtype == dtype


def test_weights_are_repeats() -> None:
    model = mixture()
    X, weight = rows_of(model, 60), np.random.default_rng(0).integers(0, 4, size=60)
    weighted, repeated = model.hierarchy(X, weight), model.hierarchy(np.repeat(X, weight, axis=0))
    assert np.allclose(weighted.linkage, repeated.linkage, rtol=1e-12)
    assert weighted.n_clusters == repeated.n_clusters


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "BLOCK_VALUES", 1 << 10)
    model = mixture(seed=1)
    X = rows_of(model, 40_000)
    weight = np.random.default_rng(0).uniform(size=len(X))
    results: list[tuple[Rows, ...]] = []
    for n_threads in (1, 2, 3):
        model.set_params(n_threads=n_threads)
        hierarchy = model.hierarchy(X, weight)
        results.append((hierarchy.linkage, entropies_of(hierarchy), hierarchy.predict_proba(X, 3)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_rows_read_block_by_block_change_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", 0)
    model = mixture(n_components=7, seed=1)  # blocks of 9362 rows, no multiple of a group's
    X = rows_of(model, 40_000)
    weight = np.random.default_rng(0).uniform(size=len(X))
    np.save(tmp_path / "X.npy", X)
    expected = model.hierarchy(X, weight)
    cut = np.split(X, [1, 1000, 17_000])
    for rows in (tmp_path / "X.npy", scan(X), cut, lambda: iter(cut)):
        found = model.hierarchy(rows, weight)
        assert np.array_equal(found.linkage, expected.linkage)
        assert np.array_equal(entropies_of(found), entropies_of(expected))
        assert np.array_equal(found.predict_proba(rows, 3), expected.predict_proba(X, 3))
        path = found.predict(rows, 3, out=tmp_path / "labels.npy")
        assert np.array_equal(np.load(path), expected.predict(X, 3))
    weights_read = model.hierarchy(scan(X, weights=weight))
    assert np.array_equal(weights_read.linkage, expected.linkage)


def test_rows_on_dask() -> None:
    dask_array = pytest.importorskip("dask.array")
    model = mixture(n_components=5, seed=1)
    X = rows_of(model, 5000)
    expected, rows = model.hierarchy(X), dask_array.from_array(X, chunks=(1300, 2))
    found = model.hierarchy(rows)
    np.testing.assert_allclose(found.linkage, expected.linkage, rtol=1e-11)
    assert np.array_equal(found.predict(rows, 3).compute(), expected.predict(X, 3))


def test_memory_does_not_grow_with_the_rows() -> None:
    model = mixture(n_components=12)
    model.n_threads = 1  # each thread holds a few blocks
    X = np.repeat(rows_of(model, 20_000), 10, axis=0)
    tracemalloc.start()
    model.hierarchy(X).predict(X, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.6 * len(X) * 12 * 8


# Elbow -----------------------------------------------------------------------------------------


def test_the_elbow_is_where_two_lines_meet() -> None:
    for corner in range(2, 8):
        levels = np.arange(1, 9)
        entropies = np.maximum(levels - corner, 0) * 5.0 + 0.1 * levels
        assert elbow(entropies, total=100.0) == corner


def test_the_elbow_by_definition() -> None:
    rng = np.random.default_rng(0)
    levels = np.arange(1, 11)
    for _ in range(20):
        entropies = np.cumsum(rng.exponential(size=10) ** 2)
        misfits = {}
        for c in range(2, 10):
            residuals = [
                np.polyfit(levels[s], entropies[s], 1, full=True)[1]
                for s in (slice(0, c), slice(c - 1, None))
            ]
            misfits[c] = sum(float(r.sum()) for r in residuals)
        assert elbow(entropies, total=1.0) == min(misfits, key=misfits.__getitem__)


def test_clear_clusters_are_left_alone() -> None:
    means = np.arange(5.0)[:, None] * 20
    model = GaussianMixture.from_parameters(
        np.full(5, 0.2), means, np.ones(5), covariance_type="spherical"
    )
    X = rows_of(model)
    assert model.hierarchy(X).n_clusters == 5
    assert model.hierarchy(criterion="bhattacharyya").n_clusters == 5


def test_clusters_that_are_not_gaussian_are_found() -> None:
    X, y = shapes(4000)
    model = GaussianMixture(9, n_init=3, random_state=0).fit(X)
    hierarchy = model.hierarchy(X)
    assert hierarchy.n_clusters == 4
    pairs = set(zip(hierarchy.predict(X).tolist(), y.tolist(), strict=True))
    assert len(pairs) == 4  # every cluster found is one true one


# Bhattacharyya ---------------------------------------------------------------------------------


def test_distances_are_integrals() -> None:
    model = GaussianMixture.from_parameters(
        [0.3, 0.7], [[0.0], [2.0]], [1.0, 4.0], covariance_type="spherical"
    )
    one, other = norm(0, 1), norm(2, 2)
    coefficient, _ = quad(lambda x: np.sqrt(one.pdf(x) * other.pdf(x)), -30, 30)
    height = model.hierarchy(criterion="bhattacharyya").linkage[0, 2]
    assert height == pytest.approx(-np.log(coefficient), rel=1e-9)


def bhattacharyya(one: list[Any], other: list[Any]) -> float:
    (_, mean, cov), (_, mean2, cov2) = one, other
    average = (cov + cov2) / 2
    delta = mean - mean2
    determinants = [np.linalg.det(matrix) for matrix in (average, cov, cov2)]
    ratio = determinants[0] / np.sqrt(determinants[1] * determinants[2])
    return float(delta @ np.linalg.inv(average) @ delta / 8 + np.log(ratio) / 2)


def union_of(one: list[Any], other: list[Any]) -> list[Any]:
    weight = one[0] + other[0]
    mean = (one[0] * one[1] + other[0] * other[1]) / weight
    second = sum(w * (c + np.outer(m, m)) for w, m, c in (one, other)) / weight
    return [weight, mean, second - np.outer(mean, mean)]


def structured(structure: Structure, n_features: int, seed: int) -> GaussianMixture:
    """Seven components like those of `mixture`."""
    if structure == "full":
        return mixture(7, n_features, seed)
    rng = np.random.default_rng(seed)
    covariances: dict[str, FloatArray] = {
        "tied": mixture(1, n_features, seed).covariances_[0],
        "diag": rng.uniform(0.2, 9, size=(7, n_features)),
        "spherical": rng.uniform(0.2, 9, size=7),
    }
    return GaussianMixture.from_parameters(
        rng.dirichlet(np.full(7, 3.0)),
        rng.uniform(-4, 4, size=(7, n_features)),
        covariances[structure],
        covariance_type=structure,
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n_features", [3, 10])
@pytest.mark.parametrize("seed", range(3))
def test_merges_by_distance_are_those_of_brute_force(
    structure: Structure, n_features: int, seed: int
) -> None:
    model = structured(structure, n_features, seed)
    hierarchy = model.hierarchy(criterion="bhattacharyya")
    covariances = parameters_of(model).full_covariances()
    clusters = {
        frozenset((k,)): [model.weights_[k], model.means_[k], covariances[k]] for k in range(7)
    }
    distances: list[float] = []
    for level in range(6, 0, -1):
        pairs = list(combinations(clusters, 2))
        found = [bhattacharyya(clusters[a], clusters[b]) for a, b in pairs]
        one, other = pairs[int(np.argmin(found))]
        distances.append(min(found))
        clusters[one | other] = union_of(clusters.pop(one), clusters.pop(other))
        assert partition(hierarchy, level) == set(clusters)
    heights = np.maximum.accumulate(distances)
    assert np.allclose(hierarchy.linkage[:, 2], heights, rtol=1e-9)
    assert hierarchy.n_clusters == 1 + np.sum(np.exp(-heights) < 0.1)
    assert hierarchy.entropies is None


@pytest.mark.parametrize("structure", ["diag", "spherical"])
def test_merges_by_distance_of_many_features_take_little_memory(structure: Structure) -> None:
    """Features that tell nothing apart change no distance; matrices would take 120 GB."""
    n_features = 50_000
    few = structured(structure, 3, 0)
    variances = few.covariances_
    if structure == "diag":
        variances = np.hstack([variances, np.full((7, n_features - 3), 2.0)])
    else:
        few.covariances_ = variances = np.full(7, 2.0)
    means = np.hstack([few.means_, np.full((7, n_features - 3), 5.0)])
    many = GaussianMixture.from_parameters(
        few.weights_, means, variances, covariance_type=structure
    )
    tracemalloc.start()
    found = many.hierarchy(criterion="bhattacharyya").linkage
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * means.nbytes
    np.testing.assert_allclose(
        found, few.hierarchy(criterion="bhattacharyya").linkage, rtol=1e-9, atol=1e-12
    )


def test_distances_far_apart_keep_their_digits() -> None:
    """A cluster of two that lie 1e8 deviations apart, and a third that lies beside both."""
    means = np.zeros((3, 4))
    means[1, 0], means[2] = 1e8, (5e7, 3.0, 4.0, 0.0)
    gaussians = WithVariances(np.full(3, 1 / 3), means, np.ones((3, 4)))
    gaussians.unite(0, 1)
    across = 5e7**2 + 1  # variance of the union along the first feature
    expected = 25 / 8 + 0.5 * np.log((across + 1) / 2 / np.sqrt(across))
    assert gaussians.distances_from(0)[1] == pytest.approx(expected, rel=1e-12)


def test_rows_add_the_entropies_of_merges_by_distance() -> None:
    model = mixture(seed=2)
    X = rows_of(model)
    weight = np.random.default_rng(0).uniform(size=len(X))
    hierarchy = model.hierarchy(X, weight, criterion="bhattacharyya")
    expected = [entropy(hierarchy.predict_proba(X, m), weight) for m in range(1, 7)]
    assert np.allclose(entropies_of(hierarchy), expected, rtol=1e-11, atol=1e-10)
    assert np.array_equal(hierarchy.linkage, model.hierarchy(criterion="bhattacharyya").linkage)


def test_components_without_weight_are_merged_too() -> None:
    model = GaussianMixture.from_parameters(
        [0.0, 0.0, 1.0], [[0.0], [1.0], [9.0]], np.ones(3), covariance_type="spherical"
    )
    for hierarchy in (model.hierarchy(criterion="bhattacharyya"), model.hierarchy([[1.0], [8.0]])):
        assert is_valid_linkage(hierarchy.linkage)
        assert np.array_equal(hierarchy.predict_proba([[0.0]], 1), [[1.0]])
    assert partition(model.hierarchy(criterion="bhattacharyya"), 2) == {
        frozenset((0, 1)),
        frozenset((2,)),
    }


# Levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["entropy", "bhattacharyya"])
def test_memberships_sum_to_one_and_nest(criterion: MergeCriterion) -> None:
    model = mixture()
    X = rows_of(model)
    hierarchy = model.hierarchy(X, criterion=criterion)
    resp = model.predict_proba(X)
    assert np.array_equal(hierarchy.predict_proba(X, 6), resp)
    for m in range(1, 7):
        proba, labels = hierarchy.predict_proba(X, m), hierarchy.labels(m)
        assert proba.shape == (len(X), m)
        assert np.allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-14)
        assert np.allclose(proba, resp @ np.eye(m)[labels], rtol=0, atol=1e-15)
        assert np.array_equal(hierarchy.predict(X, m), proba.argmax(axis=1))
        if m > 1:
            parents = {*zip(labels.tolist(), hierarchy.labels(m - 1).tolist(), strict=True)}
            assert len(parents) == m  # each cluster has one parent
            for child, parent in parents:
                wider = hierarchy.predict_proba(X, m - 1)[:, parent]
                assert (proba[:, child] <= wider + 1e-15).all()


def test_labels_are_in_order_of_first_components() -> None:
    hierarchy = mixture(seed=4).hierarchy(criterion="bhattacharyya")
    for m in range(1, 7):
        labels = hierarchy.labels(m)
        assert labels.dtype == np.int32
        _, first = np.unique(labels, return_index=True)
        assert np.array_equal(first, np.sort(first))
        assert np.array_equal(np.unique(labels), np.arange(m))


@pytest.mark.parametrize("criterion", ["entropy", "bhattacharyya"])
def test_linkage_is_scipys(criterion: MergeCriterion) -> None:
    model = mixture(n_components=9, seed=5)
    hierarchy = model.hierarchy(rows_of(model), criterion=criterion)
    linkage = hierarchy.linkage
    assert is_valid_linkage(linkage, throw=True)
    assert is_monotonic(linkage)
    assert sorted(dendrogram(linkage, no_plot=True)["leaves"]) == list(range(9))
    for m in range(1, 10):
        cut = cut_tree(linkage, n_clusters=m).ravel()
        assert {frozenset(np.flatnonzero(cut == c).tolist()) for c in cut} == partition(
            hierarchy, m
        )


@pytest.mark.parametrize("criterion", ["entropy", "bhattacharyya"])
def test_one_component(criterion: MergeCriterion) -> None:
    model = mixture(n_components=1)
    X = rows_of(model, 20)
    hierarchy = model.hierarchy(X, criterion=criterion)
    assert hierarchy.linkage.shape == (0, 4)
    assert np.array_equal(entropies_of(hierarchy), [0.0])
    assert hierarchy.n_clusters == 1
    assert np.array_equal(hierarchy.predict_proba(X), np.ones((20, 1)))


def test_two_components() -> None:
    model = mixture(n_components=2)
    X = rows_of(model)
    hierarchy = model.hierarchy(X)
    total = entropy(model.predict_proba(X))
    assert np.allclose(hierarchy.linkage, [[0, 1, total, 2]], rtol=1e-12)
    assert np.allclose(entropies_of(hierarchy), [0.0, total], rtol=1e-12)
    assert hierarchy.n_clusters == 2
    assert np.array_equal(hierarchy.predict_proba(X), model.predict_proba(X))


def test_a_later_fit_changes_nothing() -> None:
    model = mixture(n_components=3)
    X = rows_of(model, 100)
    hierarchy = model.hierarchy(X)
    before = hierarchy.predict_proba(X, 2)
    model.set_params(n_components=2).fit(X[:, :1])
    assert np.array_equal(hierarchy.predict_proba(X, 2), before)
    copied = pickle.loads(pickle.dumps(hierarchy))
    assert np.array_equal(copied.predict_proba(X, 2), before)


def test_shares_of_rows(isa: str) -> None:
    model = mixture()
    X = rows_of(model, 100)
    density = parameters_of(model).density(X.dtype)
    shares = cluster_shares(X, density, [[0, 3], [5]])
    resp = model.predict_proba(X)
    assert np.allclose(shares, [resp[:, 0] + resp[:, 3], resp[:, 5]], rtol=1e-13, atol=1e-300)


# Pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["entropy", "bhattacharyya"])
@pytest.mark.parametrize("n_components", [1, 2, 7])
def test_the_picture_has_every_merge(criterion: MergeCriterion, n_components: int) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    model = mixture(n_components=n_components)
    X = None if criterion == "bhattacharyya" else rows_of(model)
    hierarchy = model.hierarchy(X, criterion=criterion)
    figure = figures.Figure()
    hierarchy.plot(figure)
    figure.canvas.draw()
    tree, *curves = figure.axes
    assert len(curves) == (criterion == "entropy")
    bars = [line for line in tree.lines if line.get_linestyle() == "-"]
    assert len(bars) == 3 * (n_components - 1)
    order = [int(label.get_text()) for label in tree.get_xticklabels()]
    assert sorted(order) == list(range(n_components))
    if curves:
        assert np.array_equal(curves[0].lines[0].get_xdata(), entropies_of(hierarchy))


def test_the_picture_needs_a_colour_for_each_cluster() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    hierarchy = mixture(n_components=2).hierarchy(rows_of(mixture(n_components=2)))
    figure = figures.Figure()
    with pytest.raises(ValueError, match="colors must be 2, one for each cluster, got 1"):
        hierarchy.plot(figure, ["red"])
    hierarchy.plot(figure, np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    colors = {tuple(np.ravel(line.get_color())) for line in figure.axes[0].lines}
    assert {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)} <= colors


# Errors ----------------------------------------------------------------------------------------


def test_a_model_that_was_not_fitted() -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        GaussianMixture(3).hierarchy([[1.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": None}, "X must be given for criterion='entropy'.*None"),
        ({"X": None, "criterion": "ward"}, "criterion must be one of 'entropy', .*got 'ward'"),
        ({"X": None, "sample_weight": [1.0]}, "sample_weight needs the rows"),
        ({"X": [[1.0, np.nan]]}, "X contains NaN"),
        ({"X": [[1.0, 2.0, 3.0]]}, "X has 3 features, but GaussianMixture is expecting 2"),
        ({"X": np.empty((0, 2))}, "0 sample"),
        ({"X": [[1.0, 2.0]], "sample_weight": [1.0, 2.0]}, "sample_weight must .*shape"),
        ({"X": [[1.0, 2.0]], "sample_weight": [-1.0]}, "sample_weight must not be negative"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture().hierarchy(**arguments)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_bad_levels_and_rows(method: str) -> None:
    hierarchy = mixture().hierarchy(criterion="bhattacharyya")
    predict = getattr(hierarchy, method)
    bad: Any
    for bad in (0, -1, 7, 2.0, "2", True):
        with pytest.raises(ValueError, match=f"n_clusters must be .*got {bad!r}"):
            predict([[1.0, 2.0]], bad)
        with pytest.raises(ValueError, match="n_clusters must be"):
            hierarchy.labels(bad)
    with pytest.raises(ValueError, match="X has 1 features"):
        predict([[1.0]])
    with pytest.raises(ValueError, match="infinity"):
        predict([[np.inf, 1.0]])
