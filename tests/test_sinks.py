"""Predictions written block by block, against NumPy's and pyarrow's readers."""

import errno
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import DataError, GaussianMixture, ParameterError, scan
from gaussmix.io.sinks import HEADER_BYTES, write

KINDS = [".npy", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"]


def parts(values: NDArray[Any], step: int = 7) -> Iterator[NDArray[Any]]:
    return (values[i : i + step] for i in range(0, len(values), step))


def read(path: Path) -> NDArray[Any]:
    """Read a file by another library."""
    if path.suffix == ".npy":
        return np.load(path)  # type: ignore[no-any-return]
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = [column.to_numpy() for column in parquet.read_table(path).columns]
        return np.stack(columns, axis=1)
    return np.loadtxt(path, delimiter="," if ".csv" in path.name else "\t", skiprows=1, ndmin=2)


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("n_columns", [None, 1, 3])
def test_all_numbers_are_there(
    tmp_path: Path, ending: str, dtype: type[np.number], n_columns: int | None
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    shape = (50,) if n_columns is None else (50, n_columns)
    values = (np.random.default_rng(0).normal(size=shape) * 1e3).astype(dtype)
    path = tmp_path / f"out{ending}"
    write(path, parts(values), [f"c{j}" for j in range(n_columns or 1)])
    found = read(path)
    np.testing.assert_array_equal(found.astype(dtype).reshape(shape), values)
    if ending == ".npy":
        assert found.shape == shape
    if ending in (".npy", ".parquet"):
        assert found.dtype == dtype


def test_npy_header_is_one_of_numpys(tmp_path: Path) -> None:
    path = tmp_path / "out.npy"
    write(path, parts(np.eye(30, 2)))
    assert path.stat().st_size == HEADER_BYTES + 30 * 2 * 8
    mapped = np.load(path, mmap_mode="r")
    assert mapped.offset == HEADER_BYTES
    assert HEADER_BYTES % 64 == 0


def test_names_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    write(path, [np.eye(2)], ["a", "b,c"])
    assert parquet.read_schema(path).names == ["a", "b,c"]
    write(path, [np.eye(2)])
    assert parquet.read_schema(path).names == ["0", "1"]


def test_small_blocks_share_row_groups(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    write(path, (np.full((3, 2), float(i)) for i in range(1000)))
    assert parquet.ParquetFile(path).num_row_groups == 1
    np.testing.assert_array_equal(read(path)[:, 1], np.repeat(np.arange(1000.0), 3))


@pytest.mark.parametrize("ending", KINDS)
def test_predictions_of_a_source(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    X = np.random.default_rng(0).normal(size=(500, 2))
    model = GaussianMixture(2, random_state=0).fit(X)
    path = tmp_path / f"out{ending}"
    source = scan(lambda: parts(X, 64))
    write(path, map(model.predict_proba, source), ["component 0", "component 1"])
    np.testing.assert_array_equal(read(path), model.predict_proba(X))


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_fails_leaves_the_old_file(
    tmp_path: Path, ending: str, error: type[BaseException]
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")

    def failing() -> Iterator[NDArray[Any]]:
        yield np.zeros((2, 2))
        raise error("stop")

    path = tmp_path / f"out{ending}"
    path.write_bytes(b"old")
    with pytest.raises(error, match="stop"):
        write(path, failing())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


FULL_DISK = """
import resource, sys
import numpy as np
from gaussmix.io.sinks import write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write(sys.argv[1], (np.random.rand(1000, 5) for _ in range(300)))
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.skipif(os.name == "nt", reason="resource limits of POSIX")
@pytest.mark.parametrize("ending", KINDS)
def test_a_full_disk(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"out{ending}"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} {path}\n", "")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "no blocks to write"),
        ([np.zeros((2, 2, 2))], r"got shape \(2, 2, 2\) and dtype float64"),
        ([np.array(["a"])], "names of classes are text"),
        ([np.array([1j])], "got shape .* and dtype complex128"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], r"block 1 has shape \(2, 3\)"),
        ([np.zeros(2), np.zeros((2, 1))], r"block 1 has shape \(2, 1\)"),
        ([np.zeros(2), np.zeros(2, np.float32)], "block 1 .* float32, where the first .* float64"),
    ],
)
def test_blocks_that_do_not_fit(tmp_path: Path, blocks: list[NDArray[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path / "out.npy", blocks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_compressed_text_is_the_same_text(tmp_path: Path, ending: str) -> None:
    values = np.random.default_rng(0).normal(size=(100, 2))
    plain, compressed = tmp_path / f"out{ending}", tmp_path / f"out{ending}.GZ"
    for path in (plain, compressed):
        write(path, parts(values), ["a", "b c"])
    assert gzip.decompress(compressed.read_bytes()) == plain.read_bytes()
    source = scan(compressed)
    assert source.columns == ("a", "b c")
    np.testing.assert_array_equal(np.concatenate([table.rows for table in source]), values)
    write(tmp_path / f"other{ending}.gz", parts(values), ["a", "b c"])
    assert (tmp_path / f"other{ending}.gz").read_bytes() == compressed.read_bytes()


@pytest.mark.parametrize("name", ["a.npy.gz", "a.csv.bz2", "a.parquet.gz", "a.gz", ".csv", "a"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"the ending must be one of \.npy, .*, got "):
        write(tmp_path / name, [np.zeros(2)])


def test_other_misuse(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one of \.npy, \.csv, \.tsv, \.csv\.gz, .*, got '\.txt'"):
        write(tmp_path / "out.txt", [np.zeros(2)])
    with pytest.raises(ParameterError, match="got 1 for 2 columns"):
        write(tmp_path / "out.csv", [np.zeros((2, 2))], ["a"])
    with pytest.raises(OSError, match="there is no folder"):
        write(tmp_path / "none" / "out.csv", [np.zeros((2, 2))])
