"""One table, told in many ways, gives the same bits: in memory, in blocks, from files, on Dask."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import GaussianMixture, scan
from gaussmix._core.types import FloatArray

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
    return pd.DataFrame(rows, columns=NAMES)


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
    with pytest.warns(UserWarning):
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
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        for X in (masked, [masked[:9], masked[9:]], list(masked), scan(masked)):
            np.testing.assert_array_equal(expected.predict_missing(X), filled)


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
