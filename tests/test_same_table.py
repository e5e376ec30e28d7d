"""One table, told in many ways, gives the same bits: in memory, in blocks, from files, on Dask."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import DataError, GaussianMixture, scan
from gaussmix._core.types import FloatArray
from gaussmix.io.sources import streams

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")

NAMES = ["a", "b", "c"]
Make = Callable[[Any, Path], Any]

# The table that all the others are: floats, small integers and halves, so that decimals are exact.
rng = np.random.default_rng(0)
GROUP = rng.integers(2, size=3000)
ROWS: FloatArray = np.stack(
    [rng.normal(size=3000) + 9 * GROUP, rng.integers(9, size=3000), rng.integers(9, size=3000) / 2],
    axis=1,
)
GAPS = rng.uniform(size=ROWS.shape) < 0.1


def plain(rows: FloatArray) -> Any:
    """A frame of pandas, with NaN for what is missing."""
    return pd.DataFrame(rows.copy(), columns=NAMES)  # pandas 2 would share the memory


def nullable(rows: FloatArray) -> Any:
    frame = plain(rows).astype({"a": "Float64", "b": "Int64", "c": "Float64"})
    assert frame.dtypes["b"] == "Int64"
    return frame


def of_arrow(rows: FloatArray) -> Any:
    frame = plain(rows).astype({"a": "double[pyarrow]", "b": "int64[pyarrow]"})
    cells = [None if np.isnan(value) else Decimal(value) for value in rows[:, 2]]
    frame["c"] = pd.arrays.ArrowExtensionArray(pa.array(cells, pa.decimal128(4, 1)))
    return frame


def of_objects(rows: FloatArray) -> Any:
    """Python's numbers, Decimals and `pandas.NA`."""
    frame = plain(rows).astype(object)
    frame["c"] = [pd.NA if np.isnan(value) else Decimal(value) for value in rows[:, 2]]
    frame["b"] = [None if np.isnan(value) else int(value) for value in rows[:, 1]]
    return frame


def of_polars(rows: FloatArray) -> Any:
    columns = [[None if np.isnan(v) else v for v in column] for column in rows.T.tolist()]
    return pl.DataFrame(
        dict(zip(NAMES, columns, strict=True)),
        schema={"a": pl.Float64, "b": pl.Float64, "c": pl.Decimal(10, 1)},
    )


def as_it_is(frame: Any, folder: Path) -> Any:
    return frame


def scanned(frame: Any, folder: Path) -> Any:
    return scan(frame)


def halves(frame: Any, folder: Path) -> list[Any]:
    return [frame[:1234], frame[1234:]]


def called(frame: Any, folder: Path) -> Callable[[], Any]:
    return lambda: (frame[i : i + 700] for i in range(0, 3000, 700))


def arrow_table(frame: Any, folder: Path) -> Any:
    return frame.to_arrow() if isinstance(frame, pl.DataFrame) else pa.table(arrow_columns(frame))


def arrow_columns(frame: Any) -> dict[str, Any]:
    return {name: pa.array(frame[name], from_pandas=True) for name in NAMES}


def parquet_file(frame: Any, folder: Path) -> Path:
    parquet.write_table(arrow_table(frame, folder), folder / "rows.parquet")
    return folder / "rows.parquet"


def csv_file(frame: Any, folder: Path) -> Path:
    """As pandas and polars write it: an index without a name, and "" for what is missing."""
    if isinstance(frame, pl.DataFrame):
        frame.write_csv(folder / "rows.csv")
    else:
        frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def on_dask(frame: Any, folder: Path) -> Any:
    if isinstance(frame, pl.DataFrame):
        pytest.skip("Dask has no frames of polars")
    with dask.config.set({"dataframe.convert-string": False}):  # Dask's own: all objects to text
        return dd.from_pandas(frame, npartitions=1)  # one, since sums of partitions round otherwise


FRAMES = [plain, nullable, of_arrow, of_objects, of_polars]
WAYS: list[Make] = [as_it_is, scanned, halves, called]
WAYS += [arrow_table, parquet_file, csv_file, on_dask]
each_frame = pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.__name__)
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def mixture(X: Any, **fit: Any) -> GaussianMixture:
    return GaussianMixture(2, random_state=0, max_iter=5, tol=0, **fit).fit(X)


@pytest.fixture(scope="module")
def expected() -> GaussianMixture:
    with pytest.warns(UserWarning, match="did not converge"):
        return mixture(plain(ROWS))


@pytest.mark.filterwarnings("ignore:.*did not converge")
@each_frame
@each_way
def test_a_fit_has_the_same_bits(
    frame: Any, way: Make, tmp_path: Path, expected: GaussianMixture
) -> None:
    found = mixture(way(frame(ROWS), tmp_path))
    assert np.array_equal(found.means_, expected.means_)
    assert np.array_equal(found.covariances_, expected.covariances_)
    assert found.feature_names_in_.tolist() == NAMES


@each_frame
@each_way
def test_missing_values_are_filled_in_alike(
    frame: Any, way: Make, tmp_path: Path, expected: GaussianMixture
) -> None:
    rows = np.where(GAPS, np.nan, ROWS)
    filled = expected.predict_missing(plain(rows))
    found = np.asarray(expected.predict_missing(way(frame(rows), tmp_path)))
    np.testing.assert_array_equal(found, filled)
    assert not np.isnan(filled).any()


@each_frame
@each_way
def test_missing_values_are_refused_alike(
    frame: Any, way: Make, tmp_path: Path, expected: GaussianMixture
) -> None:
    rows = ROWS.copy()
    rows[2345, 2] = np.nan
    place = r"line 2347, column 3 \(c\)" if way is csv_file else "row 2345, column ('c'|2)"
    for method in (mixture, lambda X: np.asarray(expected.predict(X))):
        with pytest.raises(ValueError, match=f"NaN, first at {place}"):
            method(way(frame(rows), tmp_path))


def test_masked_arrays(expected: GaussianMixture) -> None:
    rows = np.where(GAPS, np.nan, ROWS)
    masked = np.ma.masked_array(ROWS, mask=GAPS)
    filled = expected.predict_missing(plain(rows))
    objects = np.ma.masked_array(ROWS.astype(object), mask=GAPS)
    for X in (masked, [masked[:9], masked[9:]], list(masked), scan(masked), objects):
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            found = expected.predict_missing(X)
        np.testing.assert_array_equal(found, filled)


def test_single_precision_is_that_of_all_columns() -> None:
    whole = pd.DataFrame(ROWS.astype(np.float32), columns=NAMES)
    frames = [whole, whole.astype("Float32"), whole.astype("float[pyarrow]"), pl.from_pandas(whole)]
    for frame in frames:
        assert scan(frame).dtype == np.float32
        assert mixture_dtype(frame) == np.float32
        mixed = (
            frame.with_columns(pl.col("a").cast(pl.Int8))
            if isinstance(frame, pl.DataFrame)
            else frame.astype({"a": "int8"})
        )
        assert scan(mixed).dtype == np.float64
        assert mixture_dtype(mixed) == np.float64


def mixture_dtype(X: Any) -> np.dtype[Any]:
    """The precision that rows in memory are worked on in."""
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), np.eye(3)[None])
    model.feature_names_in_ = np.array(NAMES, dtype=object)
    return model.score_samples(X).dtype  # type: ignore[no-any-return]


def test_sparse_columns_and_categories_of_numbers(expected: GaussianMixture) -> None:
    frame = plain(ROWS)
    others = frame.astype({"a": pd.SparseDtype("float64"), "b": "category"})
    wanted = expected.predict_proba(frame)
    for X in (others, scan(others)):
        np.testing.assert_array_equal(expected.predict_proba(X), wanted)


@each_frame
@each_way
def test_queries_take_it_too(
    frame: Any, way: Make, tmp_path: Path, expected: GaussianMixture
) -> None:
    data, whole = way(frame(ROWS), tmp_path), plain(ROWS)
    found = np.asarray(expected.is_outlier(data, 0.9))
    assert found.dtype == bool
    np.testing.assert_array_equal(found, expected.is_outlier(whole, 0.9))
    known = way(frame(ROWS)[["c", "a"]] if way not in BY_COLUMN else frame(ROWS), tmp_path)
    if way in BY_COLUMN:
        known = scan(known, columns=["c", "a"])
    mean, cov = (np.asarray(part) for part in expected.regress(["c", "a"], known, return_cov=True))
    expected_mean, expected_cov = expected.regress(["c", "a"], whole[["c", "a"]], return_cov=True)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-13)
    np.testing.assert_allclose(cov, expected_cov, rtol=1e-13)


BY_COLUMN = (arrow_table, parquet_file, csv_file)  # made of all columns


def test_results_are_written_block_by_block(
    tmp_path: Path, expected: GaussianMixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    frame = plain(np.where(GAPS, np.nan, ROWS))
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    out = tmp_path / "out.csv"
    assert expected.predict_missing(tmp_path / "gaps.csv", out=out) == out
    pd.testing.assert_frame_equal(
        pd.read_csv(out), pd.DataFrame(expected.predict_missing(frame), columns=NAMES)
    )
    expected.predict_missing(frame, return_std=True, out=out)
    assert list(pd.read_csv(out).columns) == [*NAMES, "std of a", "std of b", "std of c"]
    known = scan(plain(ROWS), columns="b")
    expected.regress("b", known, return_cov=True, out=out)
    table, covariance = pd.read_csv(out), "covariance of {} and {}".format
    assert list(table.columns) == ["a", "c", *(covariance(i, j) for i in "ac" for j in "ac")]
    mean, cov = expected.regress("b", plain(ROWS)[["b"]], return_cov=True)
    np.testing.assert_allclose(table.to_numpy()[:, :2], mean, rtol=1e-13)
    np.testing.assert_allclose(table.to_numpy()[:, 2:], cov.reshape(-1, 4), rtol=1e-13)
    expected.is_outlier(plain(ROWS), out=tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected.is_outlier(plain(ROWS)))


def test_partitions_on_dask(expected: GaussianMixture) -> None:
    """Many of them, whose lengths are not known: results by row have the bits all the same."""
    frame, rows = nullable(np.where(GAPS, np.nan, ROWS)), plain(ROWS)
    gaps = dd.from_pandas(frame, npartitions=3)
    for found, wanted in zip(
        expected.predict_missing(gaps, return_std=True),
        expected.predict_missing(frame, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(found.compute(), wanted)
    on_workers = dd.from_pandas(rows, npartitions=3)[["a"]]
    for found, wanted in zip(
        expected.regress("a", on_workers, targets="b", return_std=True),
        expected.regress("a", rows[["a"]], targets="b", return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(found.compute(), wanted, rtol=1e-13)
    rows.loc[2500, "b"] = np.nan
    spoilt = dd.from_pandas(rows, npartitions=3)
    for method in (mixture, lambda X: expected.predict(X).compute()):
        with pytest.raises(
            ValueError, match=r"X of partition 2 contains NaN, .* row 500, col.* 'b'"
        ):
            method(spoilt)


# folders and lazy frames


def test_partitions_of_hive(tmp_path: Path, expected: GaussianMixture) -> None:
    frame = plain(ROWS).assign(year=np.arange(3000) // 1000 + 2020)
    frame.to_parquet(tmp_path / "table", partition_cols=["year"])
    (tmp_path / "table" / "_delta_log").mkdir()
    (tmp_path / "table" / "_delta_log" / "checkpoint.parquet").touch()
    source = scan(tmp_path / "table", columns=NAMES)
    assert source.n_samples == 3000
    found = mixture_quietly(source)
    assert np.array_equal(found.means_, expected.means_)
    years = [block.weight for block in scan(tmp_path / "table", NAMES, "year").blocks()]
    np.testing.assert_array_equal(np.concatenate(years), frame["year"])  # type: ignore[arg-type]
    some = next((tmp_path / "table" / "year=2021").glob("*.parquet"))
    some.write_bytes(some.read_bytes()[:99])
    with pytest.raises(DataError, match="table: not a folder of Parquet files"):
        scan(tmp_path / "table")


def test_lazy_frames_of_polars(
    tmp_path: Path, expected: GaussianMixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    of_polars(ROWS).write_parquet(tmp_path / "rows.parquet")
    lazy = pl.scan_parquet(tmp_path / "rows.parquet")
    for data in (lazy, scan(lazy), [lazy.head(1000), lazy.tail(2000)]):
        found = mixture_quietly(data)
        assert np.array_equal(found.means_, expected.means_)
        assert found.feature_names_in_.tolist() == NAMES
    source = scan(lazy.with_columns(word=pl.lit("w")), columns=["c", "a"], weights="b")
    np.testing.assert_array_equal(
        np.concatenate([b.rows for b in source.blocks()]), ROWS[:, [2, 0]]
    )
    assert max(len(block.rows) for block in source.blocks()) <= 1024
    with pytest.raises(
        DataError, match="polars lazy frame, column 'word': real numbers are wanted"
    ):
        scan(lazy.with_columns(word=pl.lit("w")))
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="polars lazy frame"):
        scan(pl.scan_parquet(tmp_path / "rows.parquet"))


def test_nothing_is_asked_for_its_columns_before_its_blocks() -> None:
    class Lazy:
        @property
        def columns(self) -> list[str]:
            raise AssertionError("polars warns here, and the order of a set decides whether")

    assert not streams(Lazy())


def mixture_quietly(X: Any) -> GaussianMixture:
    with pytest.warns(UserWarning, match="did not converge"):
        return mixture(X)
