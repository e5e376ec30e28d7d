"""K-means against scikit-learn's, SciPy's distances, and its own invariances."""

import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gaussmix._core.density import nearest_density
from gaussmix._core.types import CentersMethod
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import START_ROWS, Sample, subsample
from gaussmix.errors import ConvergenceWarning, NotFittedError, ParameterError
from gaussmix.estimators.kmeans import KMeans
from gaussmix.kmeans.lloyd import lloyd, mean_variance
from gaussmix.kmeans.seeding import plus_plus

Floats = NDArray[Any]


def groups(n_rows: int, n_features: int, n_groups: int, seed: int = 0) -> Floats:
    """Overlapping groups on a grid of 2^-10, so that shifts by integers are exact."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) + 3 * rng.integers(n_groups, size=(n_rows, 1))
    return np.round(X * 1024) / 1024


def scikit_learn(X: Floats, start: Floats, weight: Floats | None = None, **settings: Any) -> Any:
    cluster = pytest.importorskip("sklearn.cluster")
    return cluster.KMeans(len(start), init=start, n_init=1, **settings).fit(X, sample_weight=weight)


def started(X: Floats, start: Floats, weight: Floats | None = None, **settings: Any) -> KMeans:
    return KMeans(len(start), init=start, **settings).fit(X, sample_weight=weight)


def assert_same(ours: KMeans, theirs: Any, rtol: float = 1e-8) -> None:
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=rtol, atol=rtol)
    assert np.array_equal(ours.labels_, theirs.labels_)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=rtol)
    assert ours.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("tol", [0, 1e-4, 0.1])
@pytest.mark.parametrize("max_iter", [1, 2, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_start_ends_as_scikit_learns(tol: float, max_iter: int, weighted: bool) -> None:
    X = groups(1500, 3, 4)
    weight = np.random.default_rng(1).uniform(0, 3, size=1500) if weighted else None
    stop = {"tol": tol, "max_iter": max_iter}
    assert_same(started(X, X[:5], weight, **stop), scikit_learn(X, X[:5], weight, **stop))


def test_the_same_seed_gives_scikit_learns_clusters() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    X = groups(800, 4, 3)
    for init, n_init in (("k-means++", "auto"), ("k-means++", 3), ("random", "auto")):
        settings: dict[str, Any] = {"init": init, "n_init": n_init, "random_state": 5}
        ours, theirs = KMeans(4, **settings).fit(X), cluster.KMeans(4, **settings).fit(X)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_clusters", [1, 2, 9])
def test_starts_are_scikit_learns(n_clusters: int, weighted: bool) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    X = groups(700, 2, 5)
    weight = np.random.default_rng(1).uniform(0, 3, size=700) if weighted else None
    ours = plus_plus(Sample(X, weight), n_clusters, np.random.RandomState(3), 1)
    theirs, _ = cluster.kmeans_plusplus(X, n_clusters, sample_weight=weight, random_state=3)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("dtype", "offset"), [(np.float64, 10**6), (np.float32, 1000)])
def test_an_offset_costs_nothing(isa: str, dtype: type[np.floating], offset: int) -> None:
    X = groups(1000, 3, 4)
    plain = started(X, X[:4])
    shifted = started((X + offset).astype(dtype), X[:4] + offset)
    assert shifted.n_iter_ == plain.n_iter_
    assert np.array_equal(shifted.labels_, plain.labels_)
    digits = 1e-9 if dtype == np.float64 else 1e-6
    moved = shifted.cluster_centers_ - offset
    np.testing.assert_allclose(moved, plain.cluster_centers_, atol=digits)
    assert shifted.inertia_ == pytest.approx(plain.inertia_, rel=digits)


def test_float32_rows_give_scikit_learns_clusters(isa: str) -> None:
    X = groups(1000, 3, 4).astype(np.float32)
    ours, theirs = started(X, X[:4]), scikit_learn(X, X[:4])
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, atol=1e-4)
    assert ours.cluster_centers_.dtype == np.float64
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=40, max_size=40).filter(lambda w: sum(w) > 8))
def test_weights_are_repeats(weights: list[int]) -> None:
    X = groups(40, 2, 3)
    weighted = started(X, X[:3], np.array(weights), tol=0)
    repeated = started(np.repeat(X, weights, axis=0), X[:3], tol=0)
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, atol=1e-10)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-10, abs=1e-10)
    score = repeated.score(np.repeat(X, weights, axis=0))
    assert weighted.score(X, sample_weight=weights) == pytest.approx(score, rel=1e-10, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 1.0, 1024.0]), st.integers(-50, 50))
def test_order_scale_and_place_of_the_rows_do_not_matter(
    seed: int, scale: float, shift: int
) -> None:
    X = groups(200, 2, 3)
    order = np.random.default_rng(seed).permutation(200)
    plain = started(X, X[:3])
    other = started(scale * (X[order] + shift), scale * (X[:3] + shift))
    assert np.array_equal(other.labels_, plain.labels_[order])
    expected = scale * (plain.cluster_centers_ + shift)
    np.testing.assert_allclose(other.cluster_centers_, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("max_iter", [1, 300])
def test_labels_are_those_of_predict(isa: str, dtype: type[np.floating], max_iter: int) -> None:
    X = groups(3000, 3, 6).astype(dtype)
    model = KMeans(6, max_iter=max_iter, random_state=0).fit(X)
    assert np.array_equal(model.predict(X), model.labels_)
    assert model.score(X) == -model.inertia_
    nearest = cdist(X.astype(float), model.cluster_centers_)
    assert np.array_equal(model.labels_, nearest.argmin(axis=1))
    assert model.inertia_ == pytest.approx((nearest.min(axis=1) ** 2).sum(), rel=1e-6)
    assert np.array_equal(
        KMeans(6, max_iter=max_iter, random_state=0).fit_predict(X), model.labels_
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transform_gives_distances(isa: str, dtype: type[np.floating]) -> None:
    X = groups(500, 3, 3).astype(dtype)
    model = KMeans(3, random_state=0).fit(X)
    distances = model.transform(X)
    assert distances.dtype == dtype
    expected = cdist(X.astype(float), model.cluster_centers_)
    np.testing.assert_allclose(distances, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert np.array_equal(KMeans(3, random_state=0).fit_transform(X), distances)
    assert model.transform(model.cluster_centers_).diagonal().tolist() == [0, 0, 0]


@pytest.mark.parametrize("weighted", [False, True])
def test_an_empty_cluster_moves_to_the_farthest_row(isa: str, weighted: bool) -> None:
    X = groups(300, 2, 3)
    weight = np.random.default_rng(1).uniform(1, 3, size=300) if weighted else None
    start = np.array([[0.0, 0.0], [3.0, 3.0], [500.0, 500.0]])
    assert_same(started(X, start, weight), scikit_learn(X, start, weight))
    moved = started(X, start, weight, max_iter=1).cluster_centers_[2]
    distances = cdist(X, start[:2]).min(axis=1)
    np.testing.assert_allclose(moved, X[distances.argmax()], atol=1e-10)


def test_many_empty_clusters_are_all_filled() -> None:
    X = groups(300, 2, 3)
    model = started(X, np.concatenate([X[:1], np.full((7, 2), 500.0)]))
    assert np.bincount(model.labels_, minlength=8).min() > 0
    assert np.array_equal(model.predict(X), model.labels_)


def test_an_empty_cluster_takes_no_row_of_weight_zero_nor_one_that_is_alone() -> None:
    X = np.array([[0.0], [1.0], [10.0], [90.0]])
    start = np.array([[0.0], [50.0], [500.0]])
    # the row at 90 would be alone in the second cluster, so it is that at 1 that moves, not 10
    moved = started(X, start, np.array([1.0, 1.0, 0.0, 1.0]), max_iter=1).cluster_centers_
    np.testing.assert_allclose(moved.ravel(), [0, 90, 1], atol=1e-12)


def test_more_clusters_than_distinct_rows() -> None:
    X = np.repeat([[0.0], [1.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\).*n_clusters \(4\)"):
        model = KMeans(4, random_state=0).fit(X)
    assert model.inertia_ == 0
    assert np.isfinite(model.cluster_centers_).all()
    assert np.array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_bits_for_any_number_of_threads(init: CentersMethod, weighted: bool) -> None:
    X = groups(3 * START_ROWS, 3, 12)
    weight = np.random.default_rng(1).uniform(0, 3, size=len(X)) if weighted else None
    fits = [
        KMeans(12, init=init, n_init=1, max_iter=3, random_state=0, n_threads=n).fit(
            X, None, weight
        )
        for n in (1, 2, 3, 4)
    ]
    for other in fits[1:]:
        assert np.array_equal(other.cluster_centers_, fits[0].cluster_centers_)
        assert np.array_equal(other.labels_, fits[0].labels_)
        assert other.inertia_ == fits[0].inertia_


def test_of_many_starts_the_best_is_kept() -> None:
    X = groups(400, 2, 8)
    state = np.random.RandomState(0)
    inertias = [
        KMeans(8, init="random", n_init=1, random_state=state).fit(X).inertia_ for _ in "1234"
    ]
    best = KMeans(8, init="random", n_init=4, random_state=0).fit(X)
    assert best.inertia_ == min(inertias)
    assert len(set(inertias)) > 1


def test_an_array_or_a_function_gives_the_start() -> None:
    X = groups(100, 2, 3)
    calls = []

    def first_rows(X: Floats, n_clusters: int, random_state: np.random.RandomState) -> Any:
        calls.append(random_state)
        return X[:n_clusters].tolist()

    called = KMeans(3, init=first_rows).fit(X)
    assert len(calls) == 10
    given = KMeans(3, init=X[:3].tolist()).fit(X)
    assert np.array_equal(called.cluster_centers_, given.cluster_centers_)
    with pytest.warns(RuntimeWarning, match="only one init in KMeans instead of n_init=5"):
        KMeans(3, init=X[:3], n_init=5).fit(X)


@pytest.mark.parametrize("order", ["C", "F"])
def test_data_and_start_are_left_alone(order: Any) -> None:
    X = np.asarray(groups(200, 2, 3), order=order)
    start, weight = X[:3].copy(), np.ones(200)
    before = X.copy(), start.copy(), weight.copy()
    for array in (X, start, weight):
        array.flags.writeable = False
    started(X, start, weight).transform(X)
    assert all(map(np.array_equal, before, (X, start, weight)))


def test_a_fit_makes_no_copy_of_the_rows() -> None:
    X = groups(200_000, 8, 4)
    start = X[:4].copy()
    model = KMeans(4, max_iter=2)
    for init in ("k-means++", start):
        tracemalloc.start()
        model.set_params(init=init).fit(X)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.5 * X.nbytes


def test_elkan_is_lloyd_and_says_so_once() -> None:
    X = groups(400, 2, 3)
    with pytest.warns(UserWarning, match="'elkan' gives the same clusters as 'lloyd'") as warned:
        model = KMeans(4, algorithm="elkan", n_init=3, random_state=0).fit(X)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    plain = KMeans(4, n_init=3, random_state=0).fit(X)
    assert np.array_equal(model.cluster_centers_, plain.cluster_centers_)
    assert np.array_equal(model.labels_, plain.labels_)
    assert np.array_equal(model.predict(X), plain.predict(X))


def test_inertia_is_printed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    X = np.array([[0.0], [1.0], [4.0]])
    KMeans(2, init=[[0.0], [4.0]], verbose=1).fit(X)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "Initialization complete",
        "Iteration 1, inertia 1.",
        "Iteration 2, inertia 0.5.",
        "Converged at iteration 2: strict convergence.",
    ]
    KMeans(2, init=[[0.0], [4.0]]).fit(X)
    assert capsys.readouterr().out == ""


def test_nearest_density_is_exact_far_from_the_origin() -> None:
    density = nearest_density(np.array([[1e9, 0.0], [1e9 + 1, 2.0]]))
    assert density.center.tolist() == [1e9 + 0.5, 1.0]
    assert density.means.tolist() == [[-0.5, -1.0], [0.5, 1.0]]


def test_lloyd_stops_by_movement_relative_to_the_spread() -> None:
    X = groups(1000, 2, 3)
    assert mean_variance(InMemory(X, None)) == pytest.approx(X.var(axis=0).mean())
    passes = [
        started(scale * X, scale * X[:3], max_iter=99, tol=1e-2).n_iter_
        for scale in (2.0**-20, 1.0, 2.0**20)
    ]
    assert passes[0] == passes[1] == passes[2]
    assert passes[0] < lloyd(InMemory(X, None), X[:3], max_iter=99, threshold=0.0).n_iter


def test_there_may_be_more_passes_than_a_kernel_counts() -> None:
    X = groups(100, 2, 3)
    assert_same(started(X, X[:3], max_iter=10**30), started(X, X[:3]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters must be an integer of at least 1, got 0"),
        ({"max_iter": 0}, "max_iter must be an integer of at least 1, got 0"),
        ({"tol": -1}, "tol must be a finite number of at least 0, got -1"),
        ({"verbose": -1}, "verbose must be an integer of at least 0, got -1"),
        ({"verbose": "no"}, "verbose must be an integer of at least 0, got 'no'"),
        ({"verbose": None}, "verbose must be an integer of at least 0, got None"),
        ({"algorithm": "auto"}, "algorithm must be one of 'lloyd', 'elkan', got 'auto'"),
        ({"n_threads": 0}, "n_threads must be an integer of at least 1, got 0"),
        ({"n_init": 0}, "n_init must be an integer of at least 1, got 0"),
        ({"n_init": "best"}, "n_init must be 'auto', got 'best'"),
        ({"init": "median"}, r"init must be one of 'k-means\+\+', 'random', got 'median'"),
        ({"random_state": "x"}, "random_state must be None"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    model = KMeans().set_params(**parameters)
    with pytest.raises(ParameterError, match=message):
        model.fit(groups(20, 2, 2))


def test_wrong_data() -> None:
    X = groups(20, 2, 2)
    with pytest.raises(ValueError, match="n_samples=3 should be >= n_clusters=8"):
        KMeans().fit(X[:3])
    with pytest.raises(ValueError, match=r"initial centers \(3, 2\) does not match.* clusters 4"):
        KMeans(4, init=X[:3]).fit(X)
    with pytest.raises(ValueError, match=r"initial centers \(3, 1\).* features of the data 2"):
        KMeans(3, init=X[:3, :1]).fit(X)
    with pytest.raises(ValueError, match="Input init contains NaN"):
        KMeans(2, init=np.array([[0, 0], [0, np.nan]])).fit(X)
    with pytest.raises(ValueError, match=r"needs at least n_clusters=3 rows of positive.*got 2"):
        KMeans(3, init="random").fit(X, sample_weight=[1, 1] + 18 * [0])
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        KMeans(2).fit(X, sample_weight=-1)
    with pytest.raises(NotFittedError):
        KMeans(2).transform(X)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float32, 2e18), (np.float32, 3e37), (np.float64, 1e150), (float, 1e307)],
)
@pytest.mark.parametrize("tol", [0, 1e-4])
def test_rows_too_far_apart_are_refused(isa: str, dtype: Any, scale: float, tol: float) -> None:
    X = (scale * np.repeat([[0.0, 1], [1, 0], [5, 4]], 9, axis=0)).astype(dtype)
    init: Any
    for init in ("k-means++", "random", X[[0, 9, 18]]):
        with pytest.raises(ValueError, match=r"deviations of X.* but must stay below .* scale the"):
            KMeans(3, init=init, n_init=1, tol=tol, random_state=0).fit(X)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e19), (np.float64, 1e151)])
def test_rows_too_far_from_the_centers_are_refused(isa: str, dtype: Any, far: Any) -> None:
    X = groups(50, 2, 2).astype(dtype)
    with pytest.raises(ValueError, match=r"distances of init from the first row .* below 1e\+3"):
        KMeans(2, init=[[far, 0.0], [0.0, 0.0]]).fit(X)
    model = KMeans(2, random_state=0).fit(X)
    outlier = np.array([[far, 0]], dtype=dtype)
    for weight in (None, [1e-30]):
        with pytest.raises(ValueError, match="distances of X from the nearest centers add up to"):
            model.score(outlier, sample_weight=weight)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 2.0**51), (np.float64, 2.0**490)])
def test_a_spread_just_below_the_limit_costs_nothing(isa: str, dtype: Any, scale: float) -> None:
    X = groups(100, 2, 3).astype(dtype)
    near, far = started(X, X[:3]), started(X * dtype(scale), X[:3].astype(float) * scale)
    assert np.array_equal(far.labels_, near.labels_)
    assert far.inertia_ / scale / scale == pytest.approx(near.inertia_, rel=1e-6)
    assert np.array_equal(far.predict(X * dtype(scale)), near.labels_)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_small_integer_types_do_not_overflow(kind: Any, init: CentersMethod) -> None:
    X = groups(300, 2, 3)
    plain = KMeans(3, init=init, n_init=2, max_iter=127, random_state=0).fit(X)
    small = KMeans(kind(3), init=init, n_init=kind(2), max_iter=kind(127), random_state=0)
    assert np.array_equal(small.set_params(n_threads=kind(1)).fit(X).labels_, plain.labels_)
    assert np.array_equal(small.predict(X), plain.labels_)
    tolerant = KMeans(3, init=init, n_init=2, tol=Fraction(1, 10**4), random_state=0)  # type: ignore[arg-type]
    assert tolerant.fit(X).inertia_ == pytest.approx(plain.inertia_, rel=1e-3)


@pytest.mark.parametrize("kind", [list, np.float32])
def test_centers_set_by_hand(kind: Any) -> None:
    X = groups(50, 2, 2)
    centers = [[0.0, 0.0], [3.0, 3.0]]
    model = KMeans(2)
    by_hand: Any = centers if kind is list else np.array(centers, kind)
    model.cluster_centers_ = by_hand
    assert np.array_equal(model.predict(X), cdist(X, centers).argmin(axis=1))
    np.testing.assert_allclose(model.transform(X), cdist(X, centers), rtol=1e-12)
    assert model.score(X) == pytest.approx(-(cdist(X, centers).min(axis=1) ** 2).sum())
    assert len(model.get_feature_names_out()) == 2


def test_wrong_centers_set_by_hand() -> None:
    X = groups(50, 2, 2)
    model = KMeans(2, random_state=0).fit(X)
    wrong: Any
    for wrong, message in (
        ([[0.0, np.nan]], "Input cluster_centers_ contains NaN"),
        ([[0.0, 1.0, 2.0]], "cluster_centers_ has 3 features, but KMeans is expecting 2"),
        ([0.0, 1.0], "Expected 2D array, got 1D array instead: cluster_centers_"),
    ):
        model.cluster_centers_ = wrong
        for call in (model.predict, model.transform, model.score):
            with pytest.raises(ValueError, match=message):
                call(X)
    model = KMeans(2)
    model.inertia_ = 3.0
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_fit_that_fails_leaves_the_model_as_it_was() -> None:
    X = groups(50, 2, 2)
    model = KMeans(2, random_state=0).fit(X)
    before = model.predict(X)
    for other, weight in ((X[:1, :1], None), (X[:, :1], -1), (1e200 * X[:, :1], None)):
        with pytest.raises(ValueError, match=r"n_samples=1|negative|must stay below"):
            model.fit(other, sample_weight=weight)
        assert np.array_equal(model.predict(X), before)


def test_random_rows_need_weights_that_count() -> None:
    X = groups(20, 2, 2)
    with pytest.raises(ValueError, match=r"n_clusters=3 rows of positive.* part of its sum, got 1"):
        KMeans(3, init="random").fit(X, sample_weight=[1e149] + 19 * [1e-200])
    KMeans(3, init="random", random_state=0).fit(X, sample_weight=[1e149] + 19 * [1e-100])


def started_centers(X: Floats, n_clusters: int, weight: Floats | None) -> Floats:
    random_state = np.random.RandomState(0)
    sample = subsample(X, weight, n_clusters, random_state)
    return plus_plus(sample, n_clusters, random_state, 1)


def test_a_start_on_many_rows_sees_groups_that_come_in_turn() -> None:
    """Every fourth row belongs to one group; a sample of every fourth row would see only that."""
    n_rows = 4 * START_ROWS
    X = 100.0 * (np.arange(n_rows) % 4)[:, None] + np.random.default_rng(0).normal(size=(n_rows, 1))
    for weight in (None, np.ones(n_rows)):
        centers = started_centers(X, 4, weight)
        assert np.sort(np.round(centers.ravel() / 100)).tolist() == [0, 1, 2, 3]


def test_a_start_on_many_rows_draws_by_weight() -> None:
    X = np.arange(3.0 * START_ROWS)[:, None]
    weight = np.zeros(len(X))
    weight[[7, 20_000, 40_000]] = 1, 1e-3, 1e3
    centers = started_centers(X, 2, weight)
    assert np.sort(centers.ravel()).tolist() == [7, 40_000]
