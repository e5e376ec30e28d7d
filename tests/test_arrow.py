"""Rows of pyarrow's files and objects, against what pyarrow itself reads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import DataError, GaussianMixture, ParameterError, scan
from gaussmix._core.density import GROUP_ROWS
from gaussmix._core.types import FloatArray
from gaussmix.io.sources import Source, streams

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
dataset = pytest.importorskip("pyarrow.dataset")
feather = pytest.importorskip("pyarrow.feather")

Make = Callable[[Any, Path], Any]


def rows_of(source: Source) -> FloatArray:
    once, again = (np.concatenate([b.rows for b in source.blocks()]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    return once


def parquet_file(table: Any, folder: Path) -> Path:
    path = folder / "rows.parquet"
    parquet.write_table(table, path, row_group_size=1500)
    return path


def parquet_folder(table: Any, folder: Path) -> Path:
    for i in range(0, len(table), 1000):
        parquet.write_table(table.slice(i, 1000), folder / f"part-{i:09}.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def parquet_list(table: Any, folder: Path) -> list[Path]:
    return sorted(parquet_folder(table, folder).glob("*.parquet"))


def feather_file(table: Any, folder: Path) -> Path:
    feather.write_feather(table, folder / "rows.feather", chunksize=700)
    return folder / "rows.feather"


def stream_file(table: Any, folder: Path) -> Path:
    path = folder / "rows.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=900)
    return path


def in_memory(table: Any, folder: Path) -> Any:
    return table


def record_batch(table: Any, folder: Path) -> Any:
    return table.combine_chunks().to_batches()[0]


def opened_file(table: Any, folder: Path) -> Any:
    return parquet.ParquetFile(parquet_file(table, folder))


def parquet_dataset(table: Any, folder: Path) -> Any:
    return dataset.dataset(parquet_folder(table, folder) and parquet_list(table, folder))


def memory_dataset(table: Any, folder: Path) -> Any:
    return dataset.dataset(table)


def reader_function(table: Any, folder: Path) -> Callable[[], Any]:
    return lambda: table.to_reader(max_chunksize=800)


KINDS: list[Make] = [parquet_file, parquet_folder, parquet_list, feather_file, stream_file]
KINDS += [in_memory, record_batch, opened_file, parquet_dataset, memory_dataset, reader_function]
each_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
IN_FILES: list[Make] = [parquet_file, feather_file, stream_file]


@pytest.fixture
def table() -> Any:
    rng = np.random.default_rng(0)
    columns = {
        "x": pa.array(rng.normal(size=5000)),
        "word": pa.array(["w"] * 5000),
        "single": pa.array(rng.normal(size=5000).astype(np.float32)),
        "count": pa.array(rng.integers(9, size=5000)),
        "flag": pa.array(rng.integers(2, size=5000) == 1),
    }
    return pa.table(columns)


def expected(table: Any, names: list[str]) -> FloatArray:
    return np.stack([table[n].to_numpy().astype(np.float64) for n in names], axis=1)


@each_kind
def test_chosen_columns_and_weights(table: Any, tmp_path: Path, make: Make) -> None:
    data = make(table, tmp_path)
    names = ["flag", "single", "x"]
    source = scan(data, columns=names, weights="count")
    np.testing.assert_array_equal(rows_of(source), expected(table, names))
    weights = [block.weight for block in source.blocks()]
    assert all(weight is not None and weight.dtype == np.float64 for weight in weights)
    np.testing.assert_array_equal(np.concatenate(weights), table["count"].to_numpy())  # type: ignore[arg-type]
    assert source.columns == tuple(names)
    assert source.n_samples in (None, 5000)
    assert streams(data)


@each_kind
def test_numbers_are_known_where_files_say_them(table: Any, tmp_path: Path, make: Make) -> None:
    unknown = make in (feather_file, stream_file, reader_function, memory_dataset)
    assert scan(make(table, tmp_path), columns="x").n_samples == (None if unknown else 5000)


@each_kind
def test_single_precision_stays(table: Any, tmp_path: Path, make: Make) -> None:
    source = scan(make(table, tmp_path), columns=["single"], weights="x")
    assert source.dtype == np.float32
    np.testing.assert_array_equal(rows_of(source)[:, 0], table["single"].to_numpy())
    assert {block.rows.dtype for block in source.blocks()} == {np.dtype(np.float32)}


@each_kind
def test_bounded_blocks(
    table: Any, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    source = scan(make(table, tmp_path), columns=["x", "count"])
    lengths = [len(block.rows) for block in source.blocks()]
    assert max(lengths) <= GROUP_ROWS
    assert sum(lengths) == 5000


@each_kind
def test_words_are_refused_unless_left_out(table: Any, tmp_path: Path, make: Make) -> None:
    with pytest.raises(DataError, match="column 'word': real numbers are wanted, got string"):
        scan(make(table, tmp_path))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array(["1", "2"]).dictionary_encode(), "dictionary<values=string"),
        (pa.array([[1.0], [2.0]]), "list<"),
        (pa.array([{"a": 1}, {"a": 2}]), "struct<a: int64>"),
        (pa.array([1, 2], pa.timestamp("s")), r"timestamp\[s\]"),
        (pa.array([b"1", b"2"]), "binary"),
    ],
)
def test_what_are_no_numbers(tmp_path: Path, values: Any, found: str) -> None:
    table = pa.table({"a": [1.0, 2.0], "b": values})
    for data in (table, dataset.dataset(table)):
        with pytest.raises(DataError, match=f"column 'b': real numbers are wanted, got {found}"):
            scan(data)
        with pytest.raises(DataError, match="column 'b': real numbers are wanted"):
            scan(data, weights="b")
        np.testing.assert_array_equal(rows_of(scan(data, columns="a")), [[1], [2]])


@each_kind
def test_nulls_are_refused_with_their_place(tmp_path: Path, make: Make) -> None:
    values: list[float | None] = [0.5] * 4000
    values[3141] = None
    table = pa.table({"a": np.zeros(4000), "b": pa.array(values)})
    data = make(table, tmp_path)
    np.testing.assert_array_equal(rows_of(scan(data, columns="a")), np.zeros((4000, 1)))
    assert np.isnan(rows_of(scan(data, columns="b"))).sum() == 1
    with pytest.raises(ValueError, match="contains NaN, first at row 3141, column 'b'") as caught:
        GaussianMixture(1).fit(data)
    in_a_file = "(row 141, column 'b' of " in str(caught.value)
    assert in_a_file == (make in (parquet_folder, parquet_list))


@pytest.mark.parametrize("make", IN_FILES, ids=lambda make: make.__name__)
def test_no_rows(table: Any, tmp_path: Path, make: Make) -> None:
    source = scan(make(table.slice(0, 0), tmp_path), columns=["x"])
    assert list(source.blocks()) == []


@pytest.mark.parametrize("make", IN_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("damage", ["empty", "other", "end"])
def test_damaged_files(table: Any, tmp_path: Path, make: Make, damage: str) -> None:
    path = make(table, tmp_path)
    whole = path.read_bytes()
    other = b"1,2\n3,4\n" * 99
    path.write_bytes({"empty": b"", "other": other, "end": whole[: len(whole) // 2]}[damage])
    with pytest.raises(DataError, match=f"{path.name}(: not an? |, after row )"):
        list(scan(path, columns="x").blocks())


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_damage_in_the_midst(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    path = tmp_path / "rows.parquet"
    table = pa.table({"x": np.random.default_rng(0).normal(size=9000)})
    parquet.write_table(
        table, path, row_group_size=3000, compression=compression, use_dictionary=False
    )
    offset = parquet.read_metadata(path).row_group(2).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 30] = b"\xff" * 30
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"rows\.parquet, after row 4096: "):
        list(scan(path).blocks())


def test_a_reader_of_one_use_is_refused(table: Any) -> None:
    with pytest.raises(ParameterError, match="RecordBatchReader, which can be read only once"):
        scan(table.to_reader())


def test_parts_must_have_the_same_columns(table: Any, tmp_path: Path) -> None:
    folder = parquet_folder(table, tmp_path)
    parquet.write_table(table.select(["x"]), folder / "part-9.parquet")
    with pytest.raises(DataError, match=r"block 5: 5 columns .* got 1 columns 'x'"):
        list(scan(folder, columns="x").blocks())


def test_names_are_one_each() -> None:
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    with pytest.raises(DataError, match="two columns are named 'a'"):
        scan(table)


def test_names_with_dots(tmp_path: Path) -> None:
    table = pa.table({"a.b": [1.0], "a": [2.0]})
    for names in (["a"], ["a.b"], ["a", "a.b"]):
        source = scan(parquet_file(table, tmp_path), columns=names)
        np.testing.assert_array_equal(rows_of(source), expected(table, names))


def test_arrow_types_of_frames() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    frames = [
        pandas.DataFrame({"a": pandas.array([1, None], "Int64"), "b": [True, False]}),
        pandas.DataFrame({"a": pandas.array([1, None], "double[pyarrow]"), "b": [1.0, 0.0]}),
        polars.DataFrame({"a": [1, None], "b": [True, False]}),
    ]
    for frame in frames:
        source = scan(frame)
        assert source.dtype == np.float64
        np.testing.assert_array_equal(rows_of(source), [[1, 1], [np.nan, 0]])
    single = pandas.DataFrame({"a": pandas.array([1.5, 2.5], "Float32")})
    assert scan(single).dtype == np.float32
    words_of_pandas = pandas.DataFrame({"a": pandas.array(["x", "y"], "string")})
    for words in (words_of_pandas, polars.DataFrame({"a": ["x", "y"]})):
        with pytest.raises(DataError, match="frame, column 'a': real numbers are wanted, got"):
            scan(words)


def test_without_pyarrow(table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(table, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'needs pyarrow: pip install "gaussmix\[arrow\]"'):
        scan(path)


def test_blocks_of_a_function_of_tables(table: Any) -> None:
    def tables() -> Iterator[Any]:
        for i in range(0, 5000, 1234):
            yield table.select(["x", "count"]).slice(i, 1234)

    np.testing.assert_array_equal(rows_of(scan(tables)), expected(table, ["x", "count"]))
