"""K-means on sparse rows against its own on the same rows as an array, and scikit-learn's."""

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.distance import cdist

import gaussmix
from gaussmix import GaussianMixture, KMeans
from gaussmix.data.base import InMemory
from gaussmix.data.inputs import route
from gaussmix.data.sparse import SparseRows
from gaussmix.data.subsample import START_ROWS
from gaussmix.errors import ConvergenceWarning
from gaussmix.kmeans import sparse as kernels
from gaussmix.kmeans.lloyd import mean_variance

Floats = NDArray[Any]

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def table(n_rows: int = 900, n_features: int = 40, seed: int = 0) -> Floats:
    """Rows of which a tenth of the values, about three groups of features, are not 0."""
    rng = np.random.default_rng(seed)
    group = rng.integers(3, size=n_rows)
    chance = np.where(np.arange(n_features) % 3 == group[:, None], 0.2, 0.05)
    return np.where(rng.uniform(size=chance.shape) < chance, rng.uniform(1, 2, chance.shape), 0.0)


def weights(n_rows: int) -> Floats:
    return np.random.default_rng(1).uniform(0, 3, size=n_rows)


def assert_same(one: Any, other: Any, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=rtol, atol=rtol)
    assert np.array_equal(one.labels_, other.labels_)
    assert one.inertia_ == pytest.approx(other.inertia_, rel=rtol)
    assert one.n_iter_ == other.n_iter_


@pytest.mark.parametrize("tol", [0, 1e-2])
@pytest.mark.parametrize("max_iter", [1, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_start_ends_as_scikit_learns(tol: float, max_iter: int, weighted: bool) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    X = table()
    weight = weights(len(X)) if weighted else None
    options: Any = {"init": X[:5], "n_init": 1, "tol": tol, "max_iter": max_iter}
    ours = KMeans(5, **options).fit(sparse.csr_array(X), sample_weight=weight)
    theirs = cluster.KMeans(5, **options).fit(sparse.csr_array(X), sample_weight=weight)
    assert_same(ours, theirs)
    assert_same(ours, KMeans(5, **options).fit(X, sample_weight=weight))


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [900, START_ROWS + 100])
def test_the_same_seed_ends_as_of_an_array(init: Any, weighted: bool, n_rows: int) -> None:
    X = table(n_rows, 20)
    weight = weights(n_rows) if weighted else None
    options: Any = {"init": init, "n_init": 2, "max_iter": 20, "random_state": 3}
    ours = KMeans(4, **options).fit(sparse.csr_array(X), sample_weight=weight)
    assert_same(ours, KMeans(4, **options).fit(X, sample_weight=weight))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 7, 1 << 18]),
)
def test_passes_of_any_shape(
    n_rows: int, n_features: int, n_clusters: int, seed: int, block_values: int
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=(n_rows, n_features)) * (rng.uniform(size=(n_rows, 1)) < 0.8)
    centers = rng.normal(size=(n_clusters, n_features))
    model = KMeans(n_clusters, init=centers)
    model.cluster_centers_ = centers
    rows = sparse.csr_array(X)
    distances = cdist(X, centers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "BLOCK_VALUES", block_values)
        np.testing.assert_allclose(model.transform(rows), distances, rtol=1e-10)
        assert np.array_equal(model.predict(rows), distances.argmin(axis=1))
        inertia = (distances.min(axis=1) ** 2).sum()
        assert model.score(rows) == pytest.approx(-inertia, rel=1e-10)
        spread = mean_variance(route(rows, sparse=True))
    assert spread == pytest.approx(X.var(axis=0).mean(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_the_same_bits_for_any_number_of_threads(
    init: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "BLOCK_VALUES", 1000)
    monkeypatch.setattr("gaussmix._core.threads.PARALLEL_FLOPS", 0)
    rows = sparse.csr_array(table(2000))
    weight = weights(2000)
    fits = [
        KMeans(6, init=init, n_init=1, max_iter=4, random_state=0, n_threads=n).fit(
            rows, sample_weight=weight
        )
        for n in (1, 2, 3)
    ]
    for other in fits[1:]:
        assert np.array_equal(other.cluster_centers_, fits[0].cluster_centers_)
        assert np.array_equal(other.labels_, fits[0].labels_)
        assert other.inertia_ == fits[0].inertia_
        assert np.array_equal(other.transform(rows), fits[0].transform(rows))


def test_an_empty_cluster_moves_to_the_farthest_row() -> None:
    X = table(300)
    start = np.concatenate([X[:2], np.full((2, X.shape[1]), 500.0)])
    ours = KMeans(4, init=start).fit(sparse.csr_array(X))
    assert_same(ours, KMeans(4, init=start).fit(X))
    assert np.bincount(ours.labels_, minlength=4).min() > 0


def test_more_clusters_than_distinct_rows() -> None:
    X = np.repeat([[0.0, 0.3, 0.7], [1.1, 0, 0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\).*n_clusters \(4\)"):
        model = KMeans(4, random_state=0).fit(sparse.csr_array(X))
    assert model.inertia_ == 0
    assert model.transform(sparse.csr_array(model.cluster_centers_)).diagonal().tolist() == 4 * [0]


@pytest.mark.parametrize("container", ["array", "matrix"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(kind: str, container: str) -> None:
    X = table(100, 12)
    rows = getattr(sparse, f"csr_{container}")(X).asformat(kind)
    model = KMeans(3, init=X[:3]).fit(rows)
    assert_same(model, KMeans(3, init=X[:3]).fit(X))
    assert np.array_equal(model.fit_predict(rows), model.labels_)
    np.testing.assert_allclose(model.fit_transform(rows), model.transform(X), rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.bool_, np.longdouble])
def test_every_dtype(kind: Any) -> None:
    X = table(200, 12).astype(kind)
    model = KMeans(3, init=X[:3].astype(float)).fit(sparse.csr_array(X))
    digits = 1e-6 if kind == np.float32 else 1e-12
    plain = KMeans(3, init=X[:3].astype(float)).fit(X.astype(float))
    np.testing.assert_allclose(model.cluster_centers_, plain.cluster_centers_, atol=digits)
    assert model.cluster_centers_.dtype == np.float64
    assert model.transform(sparse.csr_array(X)).dtype == (
        np.float32 if kind == np.float32 else np.float64
    )


def test_wide_indices() -> None:
    rows = sparse.csr_array(table())
    plain = KMeans(3, random_state=0).fit(rows)
    rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    assert_same(KMeans(3, random_state=0).fit(rows), plain, rtol=1e-15)


def test_rows_are_used_in_place_and_left_alone() -> None:
    rows = sparse.csr_array(table())
    for array in (rows.data, rows.indices, rows.indptr):
        array.flags.writeable = False
    data = route(rows, sparse=True)
    assert isinstance(data, InMemory)
    assert isinstance(data.rows, SparseRows)
    assert data.rows.matrix is rows
    before = rows.copy()
    KMeans(3, random_state=0).fit(rows).transform(rows)
    assert (rows != before).nnz == 0


def test_entries_of_one_place_add_up() -> None:
    data, columns, ends = [1.0, 2, 5, 1], [1, 1, 0, 2], [0, 2, 4]
    rows = sparse.csr_array((data, columns, ends), shape=(2, 3))
    model = KMeans(2, init=rows.toarray()).fit(rows)
    assert model.cluster_centers_.tolist() == [[0, 3, 0], [5, 0, 1]]
    assert rows.nnz == 4


def test_rows_are_never_made_dense(tmp_path: Path) -> None:
    n_rows, n_features = 20_000, 5_000  # 800 MB as an array
    rng = np.random.default_rng(0)
    columns = rng.integers(n_features, size=(n_rows, 10))
    ends = np.arange(0, 10 * n_rows + 1, 10)
    rows = sparse.csr_array((np.ones(10 * n_rows), columns.ravel(), ends), (n_rows, n_features))
    model = KMeans(20, max_iter=3, tol=0, random_state=0, n_threads=1)
    tracemalloc.start()
    labels = model.fit(rows).predict(rows)
    model.score(rows)
    model.predict(rows, out=tmp_path / "labels.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the sample that a start looks at, blocks of 2 MB, and a few tables of the centers' size
    assert peak < 40e6
    assert np.array_equal(np.load(tmp_path / "labels.npy"), labels)


@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
@pytest.mark.slow
def test_no_table_of_all_distances_is_made() -> None:
    rows = sparse.csr_array(table(20_000, 10))
    model = KMeans(400, init=table(400, 10, seed=1), max_iter=2)
    tracemalloc.start()
    model.fit(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 20_000 * 400 / 2


def test_a_function_gets_the_rows_in_csr_form() -> None:
    X = table(100, 12)

    def first_rows(rows: Any, n_clusters: int, random_state: Any) -> Any:
        assert sparse.issparse(rows)
        assert rows.format == "csr"
        return rows[:n_clusters].toarray()

    model = KMeans(3, init=first_rows).fit(sparse.csc_array(X))
    assert_same(model, KMeans(3, init=X[:3]).fit(X))
    with pytest.raises(TypeError, match="Sparse data was passed for init"):
        KMeans(3, init=sparse.csr_array(X[:3])).fit(X)


def test_inertia_is_printed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    rows = sparse.csr_array([[0.0], [1.0], [4.0]])
    KMeans(2, init=[[0.0], [4.0]], verbose=1).fit(rows)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "Initialization complete",
        "Iteration 1, inertia 1.",
        "Iteration 2, inertia 0.5.",
        "Converged at iteration 2: strict convergence.",
    ]


def test_wrong_rows() -> None:
    rows = sparse.csr_array(table(30, 6))
    model = KMeans(2, random_state=0).fit(rows)
    before = model.cluster_centers_
    wrong = rows.copy()
    wrong.data[-1] = np.nan
    column = wrong.indices[-1]
    row = int(np.searchsorted(wrong.indptr, wrong.nnz - 1, side="right")) - 1
    with pytest.raises(
        ValueError, match=f"Input X contains NaN, first at row {row}, column {column}"
    ):
        model.fit(wrong)
    wrong.data[-1] = -np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        model.predict(wrong)
    with pytest.raises(ValueError, match="Complex data not supported"):
        model.fit(rows * 1j)
    with pytest.raises(ValueError, match="X has 3 features, but KMeans is expecting 6"):
        model.predict(rows[:, :3])
    with pytest.raises(ValueError, match=r"0 sample\(s\).* minimum of 1 is required by KMeans"):
        model.fit(rows[:0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.fit(sparse.coo_array(np.ones(5)))
    with pytest.raises(ValueError, match="n_samples=1 should be >= n_clusters=2"):
        model.fit(rows[:1])
    with pytest.raises(ValueError, match="sample_weight must be a number or have shape"):
        model.fit(rows, sample_weight=[1, 2])
    assert model.cluster_centers_ is before


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("dtype", "far"), [(np.float32, 1e19), (np.float64, 1e151), (float, 1e300)]
)
def test_rows_too_far_apart_are_refused(dtype: Any, far: float) -> None:
    rows = sparse.csr_array(far * np.eye(20)[:, :4] + np.eye(20)[:, 1:5], dtype=dtype)
    start = np.eye(4)[:3]
    for init in ("k-means++", "random", start):
        with pytest.raises(ValueError, match=r"deviations of X.* but must stay below .* scale the"):
            KMeans(3, init=init, n_init=1, random_state=0).fit(rows)
    model = KMeans(3, init=start).fit(sparse.csr_array(np.eye(4), dtype=dtype))
    with pytest.raises(ValueError, match="distances of X from the nearest centers add up to"):
        model.score(rows)
    assert model.predict(rows).max() < 3
    assert not np.isnan(model.transform(rows)).any()


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo"])
@pytest.mark.parametrize("place", [-1, 900])
def test_indices_beyond_the_shape_are_refused(kind: str, place: int) -> None:
    """SciPy looks at them in products, outside of its arrays."""
    X: Any = sparse.csr_array(table()).asformat(kind).copy()
    kmeans = KMeans(3, random_state=0).fit(X)
    (X.col if kind == "coo" else X.indices)[7] = place
    for method in (kmeans.fit, kmeans.predict, kmeans.transform, kmeans.score):
        with pytest.raises(ValueError, match=f"X is a damaged {kind} matrix: indices must be from"):
            method(X)


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr"])
@pytest.mark.parametrize(("place", "end"), [(0, 1), (5, -1), (5, 10**6), (-1, 10**6)])
def test_ends_of_rows_beyond_the_values_are_refused(kind: str, place: int, end: int) -> None:
    X: Any = sparse.csr_array(table()).asformat(kind).copy()
    X.indptr[place] = end
    with pytest.raises(ValueError, match=f"X is a damaged {kind} matrix: indptr must have"):
        KMeans(3).fit(X)


def test_only_kmeans_takes_sparse_rows() -> None:
    X = table(60, 4)
    rows = sparse.csr_array(X)
    mixture = GaussianMixture(2, random_state=0).fit(
        X + np.random.default_rng(0).normal(size=X.shape)
    )
    said = r"Sparse data was passed for X.* Only KMeans takes sparse rows.*toarray.*TruncatedSVD"
    calls: list[Any] = [
        GaussianMixture(2).fit,
        GaussianMixture(2).partial_fit,
        GaussianMixture(2).fit_predict,
        mixture.predict,
        mixture.predict_proba,
        mixture.score_samples,
        mixture.score,
        mixture.bic,
        mixture.predict_missing,
        mixture.hierarchy,
        gaussmix.select,
    ]
    for call in calls:
        with pytest.raises(TypeError, match=said):
            call(rows)
    for several in ([rows, rows], lambda: iter([rows])):
        with pytest.raises(TypeError, match=r"Sparse data was passed for .*toarray"):
            KMeans(2).fit(several)


def test_tf_idf_in_a_pipeline() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    pipeline = pytest.importorskip("sklearn.pipeline")
    documents = 10 * [
        "the cat sat on the mat",
        "a cat and a dog",
        "stocks fell",
        "stocks rose, bonds",
    ]
    model = pipeline.make_pipeline(text.TfidfVectorizer(), KMeans(2, random_state=0))
    labels = model.fit(documents).predict(documents)
    rows = model[0].transform(documents)
    assert sparse.issparse(rows)
    assert np.array_equal(labels, model[-1].labels_)
    assert np.array_equal(labels, model[-1].predict(rows.toarray()))


def test_dense_rows_do_not_import_scipys_sparse_matrices() -> None:
    code = (
        "import sys, gaussmix; gaussmix.KMeans(1).fit([[0.0], [1.0]]).predict([[0.5]]);"
        "print('scipy.sparse' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.split() == ["False"]
