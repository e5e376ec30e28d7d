"""What `scan` reads: files, arrays, lists and functions, against NumPy's own readers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import DataError, GaussianMixture, ParameterError, scan
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray
from gaussmix.io.blocks import Block
from gaussmix.io.readers import BLOCK_BYTES
from gaussmix.io.sources import Source, streams

Make = Callable[[NDArray[Any], Path], Any]


def rows_of(source: Source) -> NDArray[Any]:
    """All rows, read twice to see that they can be."""
    once, again = (np.concatenate([b.rows for b in source.blocks()]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    return once


def weights_of(source: Source) -> FloatArray:
    weights = [block.weight for block in source.blocks()]
    return np.concatenate([weight for weight in weights if weight is not None])


def check_blocks(source: Source) -> None:
    """What kernels rely on, and what bounds memory."""
    for rows, weight in source.blocks():
        assert rows.flags.c_contiguous
        assert rows.dtype == source.dtype
        assert rows.shape[1] == source.n_features
        assert rows.nbytes <= max(BLOCK_BYTES, GROUP_ROWS * rows[:1].nbytes)
        if weight is not None:
            assert weight.flags.c_contiguous
            assert weight.dtype == np.float64
            assert weight.shape == (len(rows),)


def npy(X: NDArray[Any], folder: Path) -> Path:
    np.save(folder / "rows.npy", X)
    return folder / "rows.npy"


def fortran_npy(X: NDArray[Any], folder: Path) -> Path:
    return npy(np.asfortranarray(X), folder)


def text(X: NDArray[Any], folder: Path) -> str:
    np.savetxt(folder / "rows.csv", X, delimiter=",", fmt="%.17g")
    return str(folder / "rows.csv")


def tabs(X: NDArray[Any], folder: Path) -> Path:
    np.savetxt(folder / "rows.tsv", X, delimiter="\t", fmt="%.17g", header="a\tb\tc", comments="")
    return folder / "rows.tsv"


def array(X: NDArray[Any], folder: Path) -> NDArray[Any]:
    return X


def fortran_array(X: NDArray[Any], folder: Path) -> NDArray[Any]:
    return np.asfortranarray(X)


def mapped(X: NDArray[Any], folder: Path) -> NDArray[Any]:
    return np.load(npy(X, folder), mmap_mode="r")  # type: ignore[no-any-return]


def nested(X: NDArray[Any], folder: Path) -> list[list[float]]:
    return X.tolist()  # type: ignore[no-any-return]


def listed(X: NDArray[Any], folder: Path) -> list[NDArray[Any]]:
    return [X[:1], X[1:1], X[1:]]


def function(X: NDArray[Any], folder: Path) -> Callable[[], Iterator[NDArray[Any]]]:
    return lambda: (X[i : i + 100] for i in range(0, len(X), 100))


def files(X: NDArray[Any], folder: Path) -> list[Path]:
    np.save(folder / "a.npy", X[:10])
    np.save(folder / "b.npy", X[10:])
    return [folder / "a.npy", folder / "b.npy"]


def pandas_frame(X: NDArray[Any], folder: Path) -> Any:
    return pytest.importorskip("pandas").DataFrame(X)


def polars_frame(X: NDArray[Any], folder: Path) -> Any:
    return pytest.importorskip("polars").DataFrame(X)


IN_FILES: list[Make] = [npy, fortran_npy, text, tabs]
IN_MEMORY: list[Make] = [array, fortran_array, mapped, nested, listed, function, files]
KINDS = [*IN_FILES, *IN_MEMORY, pandas_frame, polars_frame]
each_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


@pytest.fixture
def X() -> FloatArray:
    return np.random.default_rng(0).normal(size=(700, 3))


# all kinds alike


@each_kind
def test_all_rows(X: FloatArray, tmp_path: Path, make: Make) -> None:
    source = scan(make(X, tmp_path))
    np.testing.assert_array_equal(rows_of(source), X)
    assert source.n_features == 3
    assert source.n_samples in (None, len(X))
    assert source.dtype == np.float64
    check_blocks(source)


@each_kind
def test_many_blocks(
    X: FloatArray, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.tile(X, (7, 1))
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 2 * GROUP_ROWS * 3 * 8)
    source = scan(make(X, tmp_path))
    np.testing.assert_array_equal(rows_of(source), X)
    lengths = [len(block.rows) for block in source.blocks()]
    assert len(lengths) >= 3
    assert max(lengths) <= 2 * GROUP_ROWS
    if make not in (listed, function, files):
        assert set(lengths[:-1]) == {2 * GROUP_ROWS}


@each_kind
def test_columns_and_weights_from_among_them(X: FloatArray, tmp_path: Path, make: Make) -> None:
    X = np.abs(X)
    data = make(X, tmp_path)
    source = scan(data, columns=[2, 0], weights=1)
    np.testing.assert_array_equal(rows_of(source), X[:, [2, 0]])
    np.testing.assert_array_equal(weights_of(source), X[:, 1])
    check_blocks(source)
    others = scan(data, weights=1)
    np.testing.assert_array_equal(rows_of(others), X[:, [0, 2]])
    np.testing.assert_array_equal(rows_of(scan(data, columns=1)), X[:, [1]])


@each_kind
def test_weights_of_their_own(X: FloatArray, tmp_path: Path, make: Make) -> None:
    weight = np.arange(700.0)
    np.save(tmp_path / "weights.npy", weight)
    data = make(X, tmp_path)
    for weights in (weight, weight.astype(np.int32), weight.tolist(), tmp_path / "weights.npy"):
        source = scan(data, weights=weights)
        np.testing.assert_array_equal(rows_of(source), X)
        np.testing.assert_array_equal(weights_of(source), weight)
        check_blocks(source)


@each_kind
def test_too_few_and_too_many_weights(X: FloatArray, tmp_path: Path, make: Make) -> None:
    data = make(X, tmp_path)
    for n in (699, 701):
        np.save(tmp_path / "weights.npy", np.ones(n))
        for weights in (np.ones(n), str(tmp_path / "weights.npy")):
            with pytest.raises((DataError, ParameterError), match="weight"):
                list(scan(data, weights=weights).blocks())


@pytest.mark.parametrize("make", [npy, fortran_npy, *IN_MEMORY, pandas_frame, polars_frame])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("f4", "f4"),
        (">f4", "f4"),
        (">f8", "f8"),
        ("f2", "f8"),
        ("i4", "f8"),
        ("u8", "f8"),
        ("?", "f8"),
    ],
)
def test_precisions(X: FloatArray, tmp_path: Path, make: Make, given: str, wanted: str) -> None:
    if make in (pandas_frame, polars_frame):
        given = given.removeprefix(">")  # frames have the machine's own byte order
    values = (10 * np.abs(X)).astype(given)
    source = scan(make(values, tmp_path))
    if make is nested:
        wanted = "f8"
    assert source.dtype == np.dtype(wanted)
    np.testing.assert_array_equal(rows_of(source), values.astype(np.float64).astype(wanted))


# names


def test_names(X: FloatArray, tmp_path: Path) -> None:
    path = tabs(X, tmp_path)
    source = scan(path, columns=["c", "a"])
    assert source.columns == ("c", "a")
    np.testing.assert_array_equal(rows_of(source), X[:, [2, 0]])
    assert scan(path, weights="b").columns == ("a", "c")
    assert scan(path, columns="b").columns == ("b",)
    assert scan(npy(X, tmp_path)).columns is None


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_names_of_frames(X: FloatArray, package: str) -> None:
    library = pytest.importorskip(package)
    words = library.Series(["w"] * 700, dtype="string" if package == "pandas" else None)
    frame = library.DataFrame({"a": X[:, 0], "word": words, "b": X[:, 1]})
    assert scan(frame, columns=["b", "a"]).columns == ("b", "a")
    with pytest.raises(DataError, match=f"{package} frame, column 'word': real numbers are wanted"):
        scan(frame)


def test_texts_beside_the_chosen_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('name,x,y\n"Smith, J.",1,2\nmiss,3,4\n')
    np.testing.assert_array_equal(rows_of(scan(path, columns=["y", "x"])), [[2, 1], [4, 3]])
    with pytest.raises(DataError, match=r"line 2, column 1 \(name\): a finite number is wanted"):
        rows_of(scan(path))
    path.write_text("name,x,y\na,1,2\nb,3\n")
    with pytest.raises(DataError, match="line 3: 2 comma-separated fields, where 3 are wanted"):
        rows_of(scan(path, columns=["x"]))


@pytest.mark.parametrize(
    ("columns", "weights", "message"),
    [
        (["z"], None, "rows.tsv has no column 'z'; there are 3 columns 'a', 'b', 'c'"),
        ([3], None, "has no column 3"),
        ([-1], None, "has no column -1"),
        ([], None, "columns must be at least one column"),
        (["a", 0], None, "column 'a' is there twice"),
        (["a", "b"], "b", "column 'b' is the weights too"),
        (None, "z", "has no column 'z'"),
        (None, 7, "has no column 7"),
        (None, np.ones((2, 2)), r"weights must have shape \(n_rows,\), got \(2, 2\)"),
        (None, ["x", "y"], "weights must hold numbers"),
    ],
)
def test_wrong_columns(
    X: FloatArray, tmp_path: Path, columns: Any, weights: Any, message: str
) -> None:
    with pytest.raises(ParameterError if "hold" not in message else ValueError, match=message):
        scan(tabs(X, tmp_path), columns, weights)


def test_a_weights_file_has_one_column(X: FloatArray, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one column of numbers is wanted, got 3"):
        scan(X, weights=npy(X, tmp_path))


# what estimators take


def test_iterating_gives_tables_that_estimators_take(X: FloatArray, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    source = scan(tabs(X, tmp_path))
    found = np.concatenate(list(map(model.predict_proba, source)))
    np.testing.assert_array_equal(found, model.predict_proba(frame))
    with pytest.raises(ValueError, match="same order"):
        list(map(model.predict, scan(tabs(X, tmp_path), columns=["b", "a", "c"])))
    weighted = scan(X, weights=np.arange(700))
    np.testing.assert_array_equal(
        [weight for t in weighted if t.weight is not None for weight in t.weight], range(700)
    )


def test_arrays_are_viewed_and_not_copied(X: FloatArray, tmp_path: Path) -> None:
    weight = np.ones(700)
    for data in (X, [X], mapped(X, tmp_path)):
        for rows, weights in scan(data, weights=weight).blocks():
            assert np.shares_memory(rows, X if not isinstance(data, np.memmap) else data)
            assert weights is not None
            assert np.shares_memory(weights, weight)


class Own:
    """A source that somebody else has written."""

    n_features, columns, n_samples, dtype = 2, ("x", "y"), None, np.dtype(np.float32)

    def __init__(self, weight: FloatArray | None) -> None:
        self._weight = weight

    def blocks(self) -> Iterator[Block]:
        yield Block(np.eye(2, dtype=np.float32), self._weight)

    def __str__(self) -> str:
        return "my data"


def test_other_sources(X: FloatArray) -> None:
    source = scan(X)
    assert isinstance(source, Source)
    assert scan(source) is source
    np.testing.assert_array_equal(rows_of(scan(source, columns=[2], weights=0)), X[:, [2]])
    assert streams(Own(None))
    own = scan(Own(np.ones(2)), columns=["y", "x"])
    assert own.columns == ("y", "x")
    assert own.dtype == np.float32
    assert str(own) == "my data"
    np.testing.assert_array_equal(rows_of(own), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(weights_of(own), [1, 1])
    with pytest.raises(ParameterError, match="the data has weights of its own"):
        list(scan(Own(np.ones(2)), weights=np.ones(2)).blocks())


def test_what_is_read_as_a_source(X: FloatArray) -> None:
    data: object
    for data in ("a.csv", Path("a.csv"), scan(X), [X, X], (X,), [(X, X[:, 0])], lambda: iter([X])):
        assert streams(data)
    assert streams(iter([X]))  # to be refused in so many words
    for data in (X, X.tolist(), [X[0], X[1]], [(1, 2), (3, 4)], [], 3.0, None):
        assert not streams(data)


def test_shown(X: FloatArray, tmp_path: Path) -> None:
    assert repr(scan(X.astype(np.float32))) == "<Scan of data: 700 x 3 float32>"
    path = tabs(X, tmp_path)
    assert repr(scan(path)) == f"<Scan of {path}: ? x 3 float64>"
    assert str(scan(path)) == str(path)


# lists and functions


def test_weights_beside_the_blocks(X: FloatArray) -> None:
    weight = np.arange(700.0)
    pairs = [(X[:9], weight[:9]), Block(X[9:], weight[9:])]
    for data in (pairs, lambda: iter(pairs)):
        source = scan(data)
        np.testing.assert_array_equal(rows_of(source), X)
        np.testing.assert_array_equal(weights_of(source), weight)
        with pytest.raises(ParameterError, match="has weights of its own"):
            scan(data, weights=weight)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.eye(3), np.eye(2)], "block 1: 3 columns .* wanted, got 2 columns"),
        ([np.eye(3), (np.eye(3), np.ones(3))], "block 1: no weights .* got weights"),
        ([np.eye(3), np.ones(3)], r"block 1 must have shape \(n_rows, n_columns\), got \(3,\)"),
        ([np.eye(3), np.array([["a"]])], "block 1 must hold numbers"),
        ([np.eye(3), (np.eye(3), np.ones(2))], r"block 1 must have shape \(3,\), got \(2,\)"),
        ([np.eye(3), (np.eye(3),)], "block 1: a table, or a pair of one and weights"),
        ([np.eye(3), iter([np.eye(3)])], "block 1 is a list_iterator"),
    ],
)
def test_a_later_block_that_does_not_fit(blocks: Sequence[Any], message: str) -> None:
    for data in (list(blocks), lambda: iter(blocks)):
        with pytest.raises(ValueError, match=message):
            list(scan(data).blocks())


def test_blocks_of_two_precisions() -> None:
    """A list has the widest of its blocks, as in memory; of a function the first one decides."""
    single, double = np.eye(3, dtype=np.float32) / 3, np.eye(3) / 3
    for blocks in ([single, double], [double, single]):
        source = scan(blocks)
        assert source.dtype == np.float64
        np.testing.assert_array_equal(rows_of(source), np.concatenate(blocks))
    np.testing.assert_array_equal(
        rows_of(scan(lambda: iter([double, single]))), np.concatenate([double, single])
    )
    with pytest.raises(DataError, match="block 1: float32 as in block 0 wanted, got float64"):
        list(scan(lambda: iter([single, double])).blocks())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            iter([np.eye(2)]),
            "data is a list_iterator, which can be read only once; pass a function",
        ),
        ((row for row in np.eye(2)), "data is a generator"),
        (lambda: 3, "must return an iterator of arrays, got int"),
        (lambda: iter([]), "at least one block of rows is wanted"),
        (np.ones(3), r"must have shape \(n_rows, n_columns\), got \(3,\)"),
        (np.array([["a"]]), "must hold numbers"),
        (None, "must have shape|table of numbers"),
        ({"a": 1}, "must be a table of numbers, got dict"),
    ],
)
def test_what_cannot_be_read_again(data: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        scan(data)


def test_a_function_must_return_a_new_iterator(X: FloatArray) -> None:
    only = iter([X, X])
    with pytest.raises(ParameterError, match="a new iterator at every call, got the same one"):
        list(scan(lambda: only).blocks())


def test_an_error_of_a_function_stays_as_it_is(X: FloatArray) -> None:
    def broken() -> Iterator[FloatArray]:
        yield X
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        list(scan(broken))


# files


@pytest.mark.parametrize("ending", [".npy", ".csv", ".parquet", ".arrow"])
def test_missing_files(tmp_path: Path, ending: str) -> None:
    if ending in (".parquet", ".arrow"):
        pytest.importorskip("pyarrow")
    path = tmp_path / f"missing{ending}"
    with pytest.raises(FileNotFoundError) as caught:
        scan(path)
    assert caught.value.filename == str(path)


def test_folders_and_endings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder without \.parquet files"):
        scan(tmp_path)
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(DataError, match=r"must be one of \.npy, .*, got '\.xlsx'"):
        scan(tmp_path / "a.xlsx")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataError, match="not a pipe or a device"):
        scan(tmp_path / "a.npy")


@pytest.mark.parametrize("make", [npy, fortran_npy])
def test_a_file_cut_short(
    X: FloatArray, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    path = make(np.tile(X, (4, 1)), tmp_path)
    source, whole = scan(path), path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"its header says 2800 rows, but the last 1 bytes"):
        scan(path)
    with pytest.raises(DataError, match=r"rows\.npy: cut short while it was read, after row 2048"):
        list(source.blocks())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not a \.npy file"),
        (b"\x93NUMPY\x03\x00\x10\x00\x00\x00", r"does not start as .* format 1\.0 or 2\.0"),
        (b"\x93NUMPY\x01\x00", r"not a \.npy array of numbers"),
    ],
)
def test_damaged_npy(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        scan(tmp_path / "a.npy")


def test_a_fault_in_a_later_block_of_text(
    X: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    path = tabs(np.tile(X, (4, 1)), tmp_path)
    lines = path.read_bytes().split(b"\n")
    for fault, message in (
        (b"1\t2\tx", r"line 2502, column 3 \(c\): a finite number is wanted, got 'x'"),
        (b"1\t2", "line 2502: 2 tab-separated fields, where 3 are wanted"),
        (b"1\t2\t\xff", "after row 2048: not UTF-8 text"),
    ):
        path.write_bytes(b"\n".join([*lines[:2501], fault, *lines[2502:]]))
        blocks = scan(path).blocks()
        assert [len(next(blocks).rows), len(next(blocks).rows)] == [GROUP_ROWS, GROUP_ROWS]
        with pytest.raises(DataError, match=message):
            next(blocks)


def test_an_error_of_the_system_names_file_and_place(
    X: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gaussmix.io.readers import located

    def failing() -> Iterator[Block]:
        yield Block(X, None)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error, after row 700") as caught:
        list(located(tmp_path / "a.npy", failing()))
    assert (caught.value.errno, caught.value.filename) == (5, str(tmp_path / "a.npy"))


SMALL_MEMORY = """
import resource, sys
import numpy as np
from gaussmix import scan
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20),) * 2)
n, total = 0, 0.0
for table in scan(sys.argv[1]):
    n, total = n + len(table), total + table.rows.sum()
print(n, total)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space on Linux")
@pytest.mark.parametrize("make", [npy, fortran_npy])
@pytest.mark.slow
def test_more_rows_than_memory(tmp_path: Path, make: Make) -> None:
    path = make(np.ones((1_500_000, 8)), tmp_path)  # 96 MB where 60 may be used
    done = subprocess.run(
        [sys.executable, "-c", SMALL_MEMORY, path],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (done.stdout, done.stderr) == ("1500000 12000000.0\n", "")
