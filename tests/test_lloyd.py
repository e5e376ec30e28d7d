"""Lloyd's iteration in one call of a kernel: the passes that Python would make, to the last bit."""

import numpy as np
import pytest

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray, Rows
from gaussmix.data.base import InMemory
from gaussmix.kmeans.lloyd import LloydResult, lloyd

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_shape = pytest.mark.parametrize("shape", [(5000, 1, 11), (3000, 3, 4), (40, 2, 1)])


def groups(shape: tuple[int, int, int], dtype: type[np.floating]) -> tuple[Rows, FloatArray]:
    """Overlapping groups far from the origin, and rows to start from."""
    n_samples, n_features, n_clusters = shape
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)) + 3 * rng.integers(5, size=(n_samples, 1)) + 100
    X = X.astype(dtype)
    return X, X[:n_clusters].astype(np.float64)


def weights(n_samples: int) -> FloatArray:
    return np.random.default_rng(1).integers(0, 4, size=n_samples) / 8 + 0.1


def bits(result: LloydResult) -> tuple[object, ...]:
    assert result.labels is not None
    arrays = result.centers, result.labels, result.n_k
    return *(array.tobytes() for array in arrays), result.inertia, result.n_iter


@pytest.mark.parametrize(("max_iter", "threshold"), [(99, 0.0), (99, 1e-3), (3, 0.0), (1, 0.0)])
@pytest.mark.parametrize("weighted", [False, True])
@each_dtype
@each_shape
@pytest.mark.usefixtures("isa")
def test_the_kernel_makes_the_passes_of_python(
    shape: tuple[int, int, int],
    dtype: type[np.floating],
    weighted: bool,
    max_iter: int,
    threshold: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    X, start = groups(shape, dtype)
    data = InMemory(X, weights(len(X)) if weighted else None, 1)
    found = lloyd(data, start, max_iter=max_iter, threshold=threshold)
    assert capsys.readouterr().out == ""
    # Only Python prints.
    by_python = lloyd(data, start, max_iter=max_iter, threshold=threshold, verbose=True)
    assert capsys.readouterr().out.count("\nIteration ") == by_python.n_iter == found.n_iter
    assert bits(found) == bits(by_python)


@each_dtype
def test_every_build_does_what_the_reference_does(
    dtype: type[np.floating], compiled: tuple[str, ...]
) -> None:
    X, start = groups((3000, 3, 4), dtype)
    X = X.round(2)  # that no row lies between two centres by its last bit
    results = []
    for isa in (*compiled, "reference"):
        with dispatch.using(isa):
            results.append(lloyd(InMemory(X, weights(len(X)), 1), start, max_iter=5, threshold=0))
    want = results.pop()
    for got in results:
        assert got.n_iter == want.n_iter
        assert np.array_equal(got.labels, want.labels)  # type: ignore[arg-type]
        assert np.allclose(got.centers, want.centers, rtol=1e-6 if dtype == np.float32 else 1e-13)
        assert np.allclose(got.n_k, want.n_k, rtol=1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.usefixtures("compiled_isa")
@each_dtype
def test_any_number_of_threads_gives_the_same_bits(dtype: type[np.floating]) -> None:
    X, start = groups((50_000, 3, 4), dtype)
    one, *others = (
        bits(lloyd(InMemory(X, None, count), start, max_iter=9, threshold=0.0))
        for count in (1, 2, 3)
    )
    assert others == [one, one]


@pytest.mark.usefixtures("isa")
def test_the_start_is_not_changed() -> None:
    X, start = groups((3000, 3, 4), np.float64)
    before = start.copy()
    lloyd(InMemory(X, None), start, max_iter=9, threshold=0.0)
    assert np.array_equal(start, before)


@pytest.mark.usefixtures("isa")
def test_a_cluster_without_rows_is_left_to_the_caller() -> None:
    X = np.array([[0.0], [1.0], [10.0], [11.0]])
    centers, labels = np.array([[0.0], [10.0], [1e6]]), np.full(4, 7, np.int32)
    n_k, totals = np.zeros(3), np.zeros(2)
    call = dispatch.kernels(X).lloyd
    assert call(X, None, centers, labels, n_k, totals, 9, 0.0) == (0, False)
    assert centers.ravel().tolist() == [0.0, 10.0, 1e6]
    assert labels.tolist() == [7, 7, 7, 7]
    found = lloyd(InMemory(X, None), centers, max_iter=9, threshold=0.0)
    assert sorted(found.centers.ravel().tolist()) in ([0.0, 1.0, 10.5], [0.5, 10.0, 11.0])
    assert found.inertia == pytest.approx(0.5)


@pytest.mark.usefixtures("isa")
def test_a_cluster_that_empties_later_keeps_what_came_before() -> None:
    X = np.array([[3.5], [4.0], [6.0], [6.5]])  # the two in the middle go to either side
    centers, labels = np.array([[2.4], [5.0], [7.6]]), np.full(4, -1, np.int32)
    call = dispatch.kernels(X).lloyd
    assert call(X, None, centers, labels, np.zeros(3), np.zeros(2), 9, 0.0) == (1, False)
    assert centers.ravel().tolist() == [3.5, 5.0, 6.5]
    assert labels.tolist() == [0, 1, 1, 2]
    found = lloyd(InMemory(X, None), centers, max_iter=9, threshold=0.0)
    assert found.n_k.all()
    assert found.inertia == pytest.approx(0.125)


@pytest.mark.usefixtures("isa")
def test_no_rows_leave_every_cluster_empty() -> None:
    X, centers = np.empty((0, 2)), np.ones((2, 2))
    call = dispatch.kernels(X).lloyd
    result = call(X, None, centers, np.empty(0, np.int32), np.zeros(2), np.zeros(2), 9, 0.0)
    assert result == (0, False)
