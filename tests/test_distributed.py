"""Fits on Dask: on threads, and on a real cluster of two processes, one of which dies."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture, KMeans
from gaussmix import distributed as on_dask
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.partitions import compute, is_dask
from gaussmix.data.subsample import subsample
from gaussmix.validation import check_sample_weight

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dask_distributed = pytest.importorskip("distributed")

N_WORKERS = 2
PART_ROWS = 400
N_PARTS = 10  # more than one task adds up, so the tree has two levels
STATE = ("weights_", "means_", "covariances_", "lower_bounds_", "lower_bound_")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A client of two worker processes; none is left when the tests are over."""
    with (
        dask_distributed.LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            memory_limit=0,
        ) as workers,
        dask_distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client
        pids = client.run(os.getpid).values()
    end = time.monotonic() + 60
    while any(map(lives, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(lives, pids))


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def on_cluster(cluster: Any) -> Iterator[Any]:
    """Makes the cluster's client the current one, as a user's would be."""
    try:
        cluster.wait_for_workers(N_WORKERS, timeout=30)
    except TimeoutError:  # a worker that a test has killed did not come back
        cluster.restart()
    with cluster.as_current():
        yield cluster


def part(number: int) -> FloatArray:
    """The rows of a partition, which anybody can make again."""
    rng = np.random.default_rng(number)
    centers = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 3.0], [0.0, 5.0, -3.0]])
    return centers[rng.integers(3, size=PART_ROWS)] + rng.normal(size=(PART_ROWS, 3))


def part_with_an_accident(accident: Path, number: int) -> FloatArray:
    """The same, unless a file says that the process is to die, once."""
    try:
        accident.unlink()
    except FileNotFoundError:
        return part(number)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


X = np.concatenate([part(number) for number in range(N_PARTS)])
WEIGHT = np.random.default_rng(1).uniform(0, 2, size=len(X))
START = {
    "weights_init": [0.2, 0.3, 0.5],
    "means_init": X[:3],
    "precisions_init": np.stack([np.eye(3)] * 3),
}


def array(rows: NDArray[Any] = X, make: Callable[[int], FloatArray] | None = None) -> Any:
    """The rows in N_PARTS partitions, which a function makes on the workers if there is one."""
    if make is None:
        return da.from_array(rows, chunks=(PART_ROWS, -1))
    parts = [dask.delayed(make)(number) for number in range(N_PARTS)]
    shape = (PART_ROWS, 3)
    return da.concatenate([da.from_delayed(one, shape, dtype=np.float64) for one in parts])


def unknown(rows: Any) -> Any:
    """The array without its lengths, and with a partition that is empty."""
    return rows[da.from_array(np.arange(len(X)) % (2 * PART_ROWS) < PART_ROWS, chunks=PART_ROWS)]


def weights(chunks: int = PART_ROWS) -> Any:
    return da.from_array(WEIGHT, chunks=chunks)


def mixture(**params: Any) -> GaussianMixture:
    settings: dict[str, Any] = {"tol": 0, "max_iter": 5, "random_state": 0, **START}
    return GaussianMixture(3, **(settings | params))


def fitted(X: Any, sample_weight: Any = None, **params: Any) -> GaussianMixture:
    with pytest.warns(UserWarning, match="did not converge"):
        return mixture(**params).fit(X, sample_weight=sample_weight)


def assert_close(one: Any, other: Any, tolerance: float = 1e-12) -> None:
    for name in STATE:
        expected = np.asarray(getattr(other, name))
        error = np.abs(np.asarray(getattr(one, name)) - expected).max()
        assert error <= tolerance * np.abs(expected).max(), name


def assert_same_bits(one: Any, other: Any) -> None:
    for name in STATE:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


# Equal to the fit in memory


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_fit_on_threads_of_this_process_is_the_fit_in_memory(structure: str) -> None:
    given = {"covariance_type": structure, "precisions_init": None}
    assert_close(fitted(array(), **given), fitted(X, **given))


@pytest.mark.parametrize(("dtype", "weighted"), [(np.float64, True), (np.float32, False)])
def test_a_fit_on_a_cluster_is_the_fit_in_memory(
    on_cluster: Any, dtype: type, weighted: bool
) -> None:
    rows: Rows = X.astype(dtype)
    found = fitted(array(rows).persist(), weights() if weighted else None)
    expected = fitted(rows, WEIGHT if weighted else None)
    # groups of rows are summed in the rows' dtype, and partitions are no whole groups
    assert_close(found, expected, 1e-12 if dtype is np.float64 else 1e-5)
    assert_same_bits(found, fitted(array(rows), weights() if weighted else None))


def test_whoever_does_the_work_the_bits_are_the_same(cluster: Any) -> None:
    on_threads = fitted(array())
    with pytest.warns(UserWarning, match="did not converge"):
        on_workers = on_dask.fit(mixture(), array(), client=cluster)
    assert_same_bits(on_workers, on_threads)


def test_few_rows_have_the_start_they_have_in_memory(on_cluster: Any) -> None:
    model = GaussianMixture(3, random_state=0, n_init=2)
    assert_close(model.fit(array()), GaussianMixture(3, random_state=0, n_init=2).fit(X))


def test_kmeans_is_that_in_memory(on_cluster: Any) -> None:
    found = KMeans(3, random_state=0).fit(array(), sample_weight=weights())
    expected = KMeans(3, random_state=0).fit(X, sample_weight=WEIGHT)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-12)
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-12)
    assert found.n_iter_ == expected.n_iter_
    assert np.array_equal(found.predict(array()).compute(), expected.labels_)


# What may stand for X


def frame() -> Any:
    dd = pytest.importorskip("dask.dataframe")
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(w=WEIGHT)
    return dd.from_pandas(table, npartitions=N_PARTS, sort=True)


def test_a_dataframe_and_a_series() -> None:
    table = frame()
    model = fitted(table[["a", "b", "c"]], table["w"])
    assert_close(model, fitted(X, WEIGHT))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    labels = model.predict(table[["a", "b", "c"]]).compute()
    assert np.array_equal(labels, model.predict(table[["a", "b", "c"]].compute()))


@pytest.mark.slow
def test_tables_to_come(on_cluster: Any) -> None:
    promised = [dask.delayed(part)(number) for number in range(N_PARTS)]
    assert_same_bits(fitted(promised), fitted(array()))
    futures = on_cluster.map(part, range(N_PARTS), pure=False)
    assert_same_bits(fitted(futures), fitted(array()))


def test_unknown_lengths_and_empty_partitions() -> None:
    kept = np.arange(len(X)) % (2 * PART_ROWS) < PART_ROWS
    data = on_dask.data(unknown(array()), unknown(weights()))
    assert (data.n_samples, data.n_features) == (int(kept.sum()), 3)
    assert data.weight == pytest.approx(WEIGHT[kept].sum(), rel=1e-14)
    model = fitted(unknown(array()), unknown(weights()))
    assert_close(model, fitted(X[kept], WEIGHT[kept]))


@pytest.mark.parametrize("chunks", [(PART_ROWS, 2), (PART_ROWS, 1), (len(X), 3)])
def test_chunks_along_columns_are_put_together(chunks: tuple[int, int]) -> None:
    assert_close(fitted(da.from_array(X, chunks=chunks)), fitted(X))


@pytest.mark.parametrize(
    "weight",
    [weights(), weights(333), WEIGHT, WEIGHT.tolist()],
    ids=["same", "other", "np", "list"],
)
def test_weights_are_cut_as_the_rows_are(weight: Any) -> None:
    assert_close(fitted(array(), weight), fitted(X, WEIGHT))


def test_a_number_is_the_weight_of_every_row() -> None:
    assert on_dask.data(array(), 2).weight == 2 * len(X)


def test_numbers_of_other_kinds() -> None:
    whole = np.round(10 * X).astype(np.int32)
    assert_close(fitted(array(whole)), fitted(whole))
    mixed = [dask.delayed(X[:2048].astype(np.float32)), dask.delayed(X[2048:])]
    expected = np.concatenate([X[:2048].astype(np.float32).astype(np.float64), X[2048:]])
    assert_close(fitted(mixed), fitted(expected))


def test_what_is_dask() -> None:
    known = [array(), [dask.delayed(part)(0)], frame()]
    assert all(is_dask(collection) for collection in known)
    assert not any(is_dask(other) for other in (X, [X], [], [[1.0]], None))


# Faults


def test_a_worker_that_dies_between_passes_takes_no_rows_with_it(on_cluster: Any) -> None:
    expected = fitted(array())
    rows = array(make=part).persist()
    dask_distributed.wait(rows)
    data = on_dask.data(rows)
    kill_one(on_cluster)
    assert data.n_samples == len(X)
    assert_same_bits(fitted(rows), expected)


@pytest.mark.slow
@pytest.mark.parametrize("persisted", [False, True])
def test_a_worker_that_dies_in_a_pass_changes_no_bit(
    on_cluster: Any, monkeypatch: pytest.MonkeyPatch, persisted: bool, tmp_path: Path
) -> None:
    expected = fitted(array())
    accident = tmp_path / "accident"
    rows = array(make=partial(part_with_an_accident, accident))
    if persisted:
        rows = rows.persist()
        dask_distributed.wait(rows)
    before = set(on_cluster.run(os.getpid).values())
    passes, total = [], on_dask.DaskData.total

    def with_an_accident(data: on_dask.DaskData, make: Any) -> Any:
        passes.append(make)
        if len(passes) == 3:
            if persisted:  # its rows are lost, and the scheduler does not know it yet
                kill(min(before))
            else:
                accident.touch()
        return total(data, make)

    monkeypatch.setattr(on_dask.DaskData, "total", with_an_accident)
    model = fitted(rows)
    assert len(passes) == 6
    on_cluster.wait_for_workers(N_WORKERS, timeout=60)
    assert set(on_cluster.run(os.getpid).values()) != before
    assert_same_bits(model, expected)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_one(client: Any) -> None:
    """Kill a worker process and wait until the scheduler has seen it go."""
    address, pid = next(iter(client.run(os.getpid).items()))
    kill(pid)
    while address in client.scheduler_info(n_workers=-1)["workers"]:
        time.sleep(0.02)


def broken(number: int) -> FloatArray:
    if number == 3:
        raise OSError("disk on fire")
    return part(number)


def test_an_error_of_a_partition_reaches_the_user(on_cluster: Any) -> None:
    with pytest.raises(OSError, match="disk on fire"):
        mixture().fit(array(make=broken))


def with_value(value: float, row: int = 7 * PART_ROWS + 11) -> FloatArray:
    rows = X.copy()
    rows[row, 2] = value
    return rows


def with_weight(value: float, row: int = 4 * PART_ROWS + 5) -> FloatArray:
    weight = WEIGHT.copy()
    weight[row] = value
    return weight


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda: array(with_value(np.nan)), "X of partition 7 contains NaN, first at row 11, colu"),
        (lambda: array(with_value(np.inf)), "X of partition 7 contains infinity.*row 11, column 2"),
        (lambda: array(X.astype(complex)), "Complex data not supported: X of partition"),
        (lambda: array()[:, 0], "Expected 2D array, got a dask array of shape"),
        (lambda: array()[:0], "at least one row"),
        (lambda: array()[:, :0], "0 feature"),
        (lambda: array()[:2], "n_components = 3, n_samples = 2"),
        (lambda: [dask.delayed(X), dask.delayed(X[:, :2])], "same number of features, got 3 and 2"),
        (lambda: [dask.delayed(X[:, 0])], "Expected 2D array, got 1D array.*partition 0"),
    ],
)
def test_rows_that_will_not_do(rows: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture().fit(rows())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (lambda: da.from_array(with_weight(-1.0), chunks=PART_ROWS), "got -1 at row 5 of part.* 4"),
        (lambda: da.from_array(with_weight(np.nan), chunks=PART_ROWS), "nan at row 5 of part.* 4"),
        (lambda: da.zeros(len(X), chunks=PART_ROWS), "all weights are zero"),
        (lambda: weights()[:-1], r"must have shape \(4000,\), one weight per row, got .*3999"),
        (lambda: weights()[:, None], "one dimension"),
        (lambda: unknown(weights()), r"one weight per row, but that of partition \d has shape"),
        (lambda: [dask.delayed(WEIGHT)], "must have the partitions of X, but it has 1, and X 10"),
        (lambda: WEIGHT[:-1], "one weight per row"),
    ],
)
def test_weights_that_will_not_do(weight: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture().fit(array(), sample_weight=weight())


def test_weights_of_this_machine_need_known_lengths() -> None:
    with pytest.raises(ValueError, match=r"must be a Dask collection.*compute_chunk_sizes"):
        mixture().fit(unknown(array()), sample_weight=WEIGHT)


def test_what_is_no_table() -> None:
    with pytest.raises(TypeError, match="X must be a dask array or dataframe, or a list"):
        mixture().fit(dask.delayed(X))


def test_rows_are_not_to_be_had_in_order() -> None:
    with pytest.raises(ValueError, match="stay with the workers"):
        on_dask.data(array()).blocks()


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ImportError, match=r"pip install 'gaussmix\[dask\]'"):
        on_dask.fit(mixture(), X)


# What moves, and where it runs


class ThreadsPass:
    """Counts rows by the number of threads the pass was made for, and where it ran."""

    def __init__(self, n_threads: int | None) -> None:
        self.n_threads = n_threads
        self.n_rows: list[int] = []

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        self.n_rows.append(len(rows))

    def result(self) -> list[Any]:
        return [(self.n_threads, n_rows) for n_rows in self.n_rows]


def test_a_partition_is_one_pass_on_one_thread(on_cluster: Any) -> None:
    assert on_dask.data(array(), n_threads=2).total(ThreadsPass) == [(1, PART_ROWS)] * N_PARTS


def test_only_sums_and_a_sample_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def measured(*args: Any) -> Any:
        result = compute(*args)
        sizes.append(len(pickle.dumps(result)))
        return result

    monkeypatch.setattr("gaussmix.data.dask.compute", measured)
    rows = da.concatenate([array()] * 10)
    GaussianMixture(3, random_state=0, tol=0, max_iter=0).fit(rows)
    *_, sample, _ = sizes
    assert sample < 1.1 * 16385 * 8 * (3 + 2)  # rows, weights, priorities
    assert max(size for size in sizes if size != sample) < 5000


def test_large_parameters_are_no_cause_for_a_warning(on_cluster: Any) -> None:
    ballast = np.zeros(3_000_000)
    data = on_dask.data(array())
    assert data.total(partial(BallastPass, ballast)) == N_PARTS * ballast.nbytes


class BallastPass:
    def __init__(self, ballast: FloatArray, n_threads: int | None) -> None:
        self.ballast = ballast

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        pass

    def result(self) -> int:
        return self.ballast.nbytes


# The sample for a start


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_a_sample_of_all_rows_is_all_rows(weight: FloatArray | None) -> None:
    state, unused = np.random.RandomState(0), np.random.RandomState(0)
    found = on_dask.data(array(), weight).sample(3, state)
    rows, weights = subsample(X, weight, 3, unused)
    assert np.array_equal(found.rows, rows)
    assert (found.weight is None) == (weight is None)
    if found.weight is not None and weights is not None:
        assert np.array_equal(found.weight, weights)
    assert state.uniform() == unused.uniform()


def test_a_sample_depends_on_the_seed_alone(on_cluster: Any) -> None:
    def drawn(seed: int, client: Any = None) -> Rows:
        data = on_dask.data(array(), client=client)
        return data.sample(3, np.random.RandomState(seed), most=100).rows

    with dask.config.set(scheduler="threads"):
        alone = drawn(0)
    assert np.array_equal(alone, drawn(0, on_cluster))
    assert not np.array_equal(alone, drawn(1))
    assert alone.shape == (100, 3)
    assert len(np.unique(alone, axis=0)) == 100


def test_a_sample_is_drawn_from_all_partitions_by_weight() -> None:
    weight = np.where(np.arange(len(X)) < len(X) / 2, 1.0, 3.0)
    numbered = np.arange(len(X), dtype=np.float64)[:, None]
    data = on_dask.data(array(numbered), weight)
    samples = [data.sample(1, np.random.RandomState(seed), most=100) for seed in range(50)]
    sums = [check_sample_weight(sample.weight, 100) for sample in samples]
    late = [np.mean(sample.rows >= len(X) / 2) for sample in samples]
    assert np.mean(late) == pytest.approx(0.75, abs=0.02)  # the standard error is 0.006
    totals = [0.0 if one is None else one.sum() for one in sums]
    assert np.mean(totals) == pytest.approx(weight.sum(), rel=0.03)
    seen = np.unique(np.concatenate([sample.rows for sample in samples]) // PART_ROWS)
    assert seen.tolist() == list(range(N_PARTS))


# Scores and predictions


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_predictions_are_lazy_and_those_in_memory(method: str, dtype: type) -> None:
    model = fitted(X)
    rows: Rows = X.astype(dtype)
    expected = getattr(model, method)(rows)
    lazy = getattr(model, method)(array(rows))
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype, lazy.chunks[0]) == (
        expected.shape,
        expected.dtype,
        (PART_ROWS,) * N_PARTS,
    )
    model.means_ = model.means_ + 1  # a lazy result is that of the model as it was
    assert np.array_equal(lazy.compute(), expected)


def test_predictions_of_partitions_that_may_be_empty(on_cluster: Any) -> None:
    model = fitted(X)
    kept = np.arange(len(X)) % (2 * PART_ROWS) < PART_ROWS
    found = model.predict_proba(unknown(array())).compute()
    assert np.array_equal(found, model.predict_proba(X[kept]))


def test_distances_are_those_in_memory() -> None:
    model = KMeans(3, random_state=0).fit(X)
    assert np.array_equal(model.transform(array()).compute(), model.transform(X))


def test_a_score_is_that_in_memory(on_cluster: Any) -> None:
    model = fitted(X)
    assert model.score(array()) == pytest.approx(model.score(X), rel=1e-13)
    found = model.score(array(), sample_weight=weights())
    assert found == pytest.approx(model.score(X, sample_weight=WEIGHT), rel=1e-13)
    assert model.bic(array()) == pytest.approx(model.bic(X), rel=1e-13)


def test_predictions_need_the_features_of_the_fit() -> None:
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        fitted(X).predict(array()[:, :2])


def test_predictions_have_no_place_for_tables_without_a_shape() -> None:
    with pytest.raises(TypeError, match=r"X must be a dask array.*got a list of 1 Delayed"):
        fitted(X).predict([dask.delayed(X)])


# Schedulers


def test_a_scheduler_is_found_by_its_address(cluster: Any) -> None:
    with (
        on_dask.connect(cluster.scheduler.address) as client,
        pytest.warns(UserWarning, match="did not converge"),
    ):
        there = on_dask.fit(mixture(), array(), client=client)
    assert_same_bits(there, fitted(array()))


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "no/such:place", "nonsense://x", "nowhere", ""]
)
def test_nobody_there(address: str) -> None:
    with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at '{address}'"):
        on_dask.connect(address, timeout=0.2)
    fitted(array())  # does not wait for who is not there


def test_a_scheduler_without_workers() -> None:
    with (
        dask_distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.warns(UserWarning, match="has no workers; a fit waits"),
    ):
        on_dask.connect(empty.scheduler_address).close()
