"""Every kind of input that is taken, and every sentence that refuses one."""

import pickle
import re
import tracemalloc
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import scan
from gaussmix.errors import ParameterError
from gaussmix.model.checks import check_floats
from gaussmix.validation import (
    BLOCK_VALUES,
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_random_state,
    check_real,
    check_rows,
    check_sample_weight,
    check_verbose,
)

TABLE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fitting_arrays_are_used_in_place(dtype: type[np.floating]) -> None:
    X = np.array(TABLE, dtype=dtype)
    assert check_rows(X) is X
    X.flags.writeable = False
    assert check_rows(X) is X


def test_memory_mapped_rows_are_used_in_place(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", TABLE)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    rows = check_rows(X)
    assert np.shares_memory(rows, X)
    assert rows.tolist() == TABLE


@pytest.mark.parametrize(
    "X",
    [
        TABLE,
        tuple(map(tuple, TABLE)),
        [np.array(row) for row in TABLE],
        np.array(TABLE, dtype=np.int8),
        np.array(TABLE, dtype=np.uint64),
        np.array(TABLE, dtype=np.float16),
        np.array(TABLE, dtype=np.longdouble),
        np.array(TABLE, dtype=">f8"),
        np.array(TABLE, dtype=">i2"),
        np.array(TABLE, dtype=object),
        np.array([[Decimal(1), Fraction(2)], [np.float32(3), 4], [5, 6.0]], dtype=object),
        np.array(TABLE, order="F"),
        np.repeat(TABLE, 2, axis=0)[::2],
        np.array(TABLE)[::-1][::-1],
        np.ma.masked_array(TABLE, mask=False),
    ],
)
def test_whatever_converts_safely_becomes_float64(X: object) -> None:
    rows = check_rows(X)
    assert type(rows) is np.ndarray
    assert rows.dtype == np.float64
    assert rows.dtype.isnative
    assert rows.flags.c_contiguous
    assert rows.tolist() == TABLE


def test_booleans_are_zeros_and_ones() -> None:
    assert check_rows([[True, False]]).tolist() == [[1.0, 0.0]]


def unaligned(array: Any) -> Any:
    """The same numbers, one byte off where they should lie."""
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    moved = buffer[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert moved.flags.c_contiguous
    assert not moved.flags.aligned
    return moved


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unaligned_rows_are_copied(dtype: type) -> None:
    X: Any = np.array(TABLE, dtype)
    weight = np.ones(len(TABLE))
    (block,) = scan(unaligned(X), weights=unaligned(weight)).blocks()
    weights = check_sample_weight(unaligned(weight), len(X))
    for rows in (check_rows(unaligned(X)), block.rows):
        assert rows.flags.aligned
        assert rows.dtype == dtype
        assert rows.tolist() == TABLE
    for found in (weights, block.weight):
        assert found is not None
        assert found.flags.aligned
    assert check_floats("means", unaligned(X), X.shape).flags.aligned


@pytest.mark.parametrize("X", [np.array(TABLE, ">f4"), np.array(TABLE, np.float32, order="F")])
def test_float32_stays_float32(X: np.ndarray) -> None:
    rows = check_rows(X)
    assert rows.dtype == np.float32
    assert rows.dtype.isnative
    assert rows.flags.c_contiguous
    assert rows.tolist() == TABLE


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64", object])
def test_pandas_frames(dtype: str | type) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE, columns=["a", "b"]).astype(dtype)
    assert check_rows(frame).tolist() == TABLE


def test_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    assert check_rows(polars.DataFrame(TABLE, orient="row")).tolist() == TABLE


def test_a_lazy_frame_is_no_table() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(ParameterError, match="X must be a table of numbers, got LazyFrame"):
        check_rows(polars.LazyFrame({"a": [1.0]}))


def test_missing_values_of_frames_are_nan() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, None]}, dtype="Int64")
    with pytest.raises(ValueError, match=r"Input X contains NaN.* row 2, column 'a'"):
        check_rows(frame)
    polars = pytest.importorskip("polars")
    with pytest.raises(ValueError, match=r"Input X contains NaN.* row 1, column 'a'"):
        check_rows(polars.DataFrame({"a": [1, None]}))


def test_text_in_a_frame_is_named() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": ["1", "two"]})
    with pytest.raises(TypeError, match=r"X, row 0, column 'b' is '1'"):
        check_rows(frame)


REFUSED = [
    (np.array([[1 + 2j]]), ValueError, "Complex data not supported: X must be real, got complex"),
    ([[1.0, 2j]], ValueError, "Complex data not supported"),
    (np.array([[0, 2j]], object), ValueError, "Complex data not supported: X, row 0, column 1"),
    ([["1", "2"]], ValueError, "X must hold numbers, got dtype <U1"),
    ([[b"1"]], ValueError, "X must hold numbers, got dtype |S1"),
    (np.array([["2020-01-01"]], "M8[D]"), ValueError, "got dtype datetime64[D]"),
    (np.zeros((2, 1), [("a", "f8")]), ValueError, "X must hold numbers"),
    ([[1.0, {}]], TypeError, "argument must be a real number (a string is not a number): X, row 0"),
    (np.array([[1.5], ["2"]], object), TypeError, "X, row 1, column 0 is '2'"),
    ([[1.0], [None]], ValueError, "Input X contains NaN, first at row 1, column 0"),
    ([[0], [10**400]], ValueError, "a value too large for float64: X, row 1, column 0"),
    ({"a": [1.0]}, ParameterError, "X must be a table of numbers, got dict"),
    ({1.0, 2.0}, ParameterError, "X must be a table of numbers, got set"),
    ((row for row in TABLE), ParameterError, "X must be a table of numbers, got generator"),
    (None, ParameterError, "X must be a table of numbers, got NoneType"),
    ([[1.0, 2.0], [3.0]], ValueError, "X must be a table of numbers whose rows have equal lengths"),
    (
        np.ma.masked_array(np.array(TABLE), mask=np.array([[False, True]] * 3)),
        ValueError,
        "Input X contains NaN, first at row 0, column 1",
    ),
    (5.0, ValueError, "Expected 2D array, got scalar array instead: X is a float"),
    ("data.csv", ValueError, "X must hold numbers"),
    ([1.0, 2.0], ValueError, "Expected 2D array, got 1D array instead: X is a list of shape (2,)"),
    (np.zeros((2, 2, 2)), ValueError, "Found array with dim 3, while X must have 2"),
    ([], ValueError, "Expected 2D array"),
    (np.zeros((0, 3)), ValueError, "Found array with 0 sample(s) (shape=(0, 3))"),
    (np.zeros((3, 0)), ValueError, "0 feature(s) (shape=(3, 0)) while a minimum of 1 is required."),
]


@pytest.mark.parametrize(("X", "error", "message"), REFUSED)
def test_everything_else_is_refused_by_name(
    X: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_rows(X)


def test_a_call_may_ask_for_columns_and_names_itself() -> None:
    with pytest.raises(ValueError, match=r"with 0 sample.* minimum of 1 is required by Mixture\."):
        check_rows(np.empty((0, 2)), estimator="Mixture")
    with pytest.raises(ValueError, match="points has 2 features, but Mixture is expecting 3 feat"):
        check_rows(TABLE, name="points", n_features=3, estimator="Mixture")
    with pytest.raises(ValueError, match="X has 2 features, but the model is expecting 3 feat"):
        check_rows(TABLE, n_features=3)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([1j, 2.0], ValueError, "Complex data not supported: X must be real, got complex128 in"),
        (["x", "y"], TypeError, "X, row 0, column 'b' is 'x'"),
        ([{}, 1], TypeError, "X, row 0, column 'b' is {}"),
        (np.array([1, 2], "M8[s]"), ValueError, "got dtype datetime64[s] in column 'b'; text, dat"),
        ([1.0, np.inf], ValueError, "first at row 1, column 'b'"),
    ],
)
def test_columns_of_frames_are_named(column: object, error: type[Exception], message: str) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(error, match=re.escape(message)):
        check_rows(pandas.DataFrame({"a": [1, 2], "b": column}))


def test_sparse_data_is_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        check_rows(sparse.csr_array(TABLE))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("row", [0, 17, BLOCK_VALUES // 3, BLOCK_VALUES - 1])
def test_the_first_value_that_is_not_finite_is_named(
    dtype: type[np.floating], value: float, words: str, row: int
) -> None:
    X = np.zeros((BLOCK_VALUES, 3), dtype=dtype)
    X[row, 2] = value
    X[row + 1 :, 0] = np.nan
    with pytest.raises(ValueError, match=rf"Input X contains {words}.* row {row}, column 2\b"):
        check_rows(X)


@pytest.mark.filterwarnings("error")
def test_only_the_sum_overflows() -> None:
    X = np.full((10, 2), 1e308)
    assert check_rows(X) is X
    X[::2] = -1e308
    assert check_rows(X) is X
    small = np.full((10, 2), 3e38, dtype=np.float32)
    assert check_rows(small) is small


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(float).max, reason="long double is float64 here"
)
def test_a_long_double_beyond_float64_is_refused() -> None:
    with pytest.raises(ValueError, match="infinity or a value too large for float64"):
        check_rows(np.array([[np.finfo(np.longdouble).max]]))


@pytest.mark.parametrize("last", [0.0, np.nan])
def test_looking_for_nan_needs_no_memory(last: float) -> None:
    X = np.zeros((500_000, 4))
    X[-1, -1] = last
    tracemalloc.start()
    try:
        check_rows(X)
    except ValueError:
        assert np.isnan(last)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.05 * X.nbytes


def test_weights() -> None:
    assert check_sample_weight(None, 3) is None
    weights = np.array([0.0, 1.0, 2.5])
    assert check_sample_weight(weights, 3) is weights
    for other in (2, 2.0, np.float32(2), np.array(2)):
        found = check_sample_weight(other, 3)
        assert found is not None
        assert found.tolist() == [2.0, 2.0, 2.0]
    for same in ([1, 0], np.array([1, 0], np.float32), np.array([1, 9, 0, 9])[::2], [True, False]):
        found = check_sample_weight(same, 2)
        assert found is not None
        assert found.dtype == np.float64
        assert found.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, -2.5, -1], ValueError, "sample_weight must not be negative, got -2.5 at row 1"),
        (-1, ValueError, "sample_weight must not be negative, got -1 at row 0"),
        ([1, np.nan, 1], ValueError, "Input sample_weight contains NaN, first at row 1"),
        ([1, 1, np.inf], ValueError, "Input sample_weight contains infinity"),
        ([0, 0, 0], ValueError, "a sum from 1e-150 to 1e+150, but all weights are zero"),
        ([1e308, 1e308, 1e308], ValueError, "a sum from 1e-150 to 1e+150, but got inf"),
        ([1e306, 1, 1], ValueError, "a sum from 1e-150 to 1e+150, but got 1e+306"),
        ([1e-320, 0, 0], ValueError, "a sum from 1e-150 to 1e+150, but got 9.99989e-321"),
        ({1, 2, 3}, ValueError, "sample_weight must be a table of numbers, got set"),
        ([1, 1], ValueError, "have shape (3,), one weight per row, got shape (2,)"),
        ([[1, 1, 1]], ValueError, "have shape (3,), one weight per row, got shape (1, 3)"),
        ("balanced", ValueError, "sample_weight must hold numbers"),
        ([1j, 1, 1], ValueError, "Complex data not supported: sample_weight"),
        ([1, 1, []], ValueError, "sample_weight must be a table of numbers whose rows"),
    ],
)
def test_wrong_weights(weights: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_sample_weight(weights, 3)


def test_random_states() -> None:
    state = np.random.RandomState(3)
    assert check_random_state(state) is state
    assert check_random_state(7).uniform() == np.random.RandomState(7).uniform()
    assert check_random_state(np.uint8(7)).uniform() == np.random.RandomState(7).uniform()
    np.random.seed(5)
    expected = np.random.RandomState(5).uniform()
    assert check_random_state(None).uniform() == expected


def test_a_generator_lends_its_stream() -> None:
    first, second = (check_random_state(np.random.default_rng(3)).uniform() for _ in range(2))
    assert first == second
    generator = np.random.default_rng(3)
    check_random_state(generator).uniform()
    assert check_random_state(generator).uniform() != first


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_a_seed_gives_the_state_of_numpy_which_can_be_copied(seed: int) -> None:
    state, expected = check_random_state(seed), np.random.RandomState(seed)
    copies = [pickle.loads(pickle.dumps(state)), deepcopy(state)]
    for twin in (state, *copies):
        assert repr(twin.get_state()) == repr(expected.get_state())
    wanted = expected.normal(size=700)  # more than a state holds
    for twin in (state, *copies):
        assert np.array_equal(twin.normal(size=700), wanted)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "seed", [1]])
def test_wrong_random_states(seed: object) -> None:
    with pytest.raises(
        ParameterError, match=r"random_state must be None.*got " + re.escape(repr(seed))
    ):
        check_random_state(seed)


def test_integers() -> None:
    assert check_integer("n", np.int16(3), 1) == 3
    assert type(check_integer("n", np.int16(3), 1)) is int
    for wrong in (0, 1.0, True, "3", None, [3]):
        with pytest.raises(ParameterError, match="n must be an integer of at least 1, got "):
            check_integer("n", wrong, 1)


def test_numbers() -> None:
    assert check_real("tol", 0, 0) == 0.0
    assert check_real("tol", np.float32(0.5), 0) == 0.5
    assert check_real("tol", Fraction(1, 4), 0, strict=True) == 0.25
    for wrong in (-1e-9, np.nan, np.inf, True, "1", None, 1j, 10**400):
        with pytest.raises(ParameterError, match="tol must be a finite number of at least 0, got "):
            check_real("tol", wrong, 0)
    with pytest.raises(ParameterError, match=r"tol must be a finite number greater than 0, got 0$"):
        check_real("tol", 0, 0, strict=True)


def test_switches() -> None:
    assert check_boolean("warm_start", np.True_) is True
    for wrong in ("no", 1, None):
        with pytest.raises(ParameterError, match="warm_start must be True or False, got "):
            check_boolean("warm_start", wrong)


def test_verbose() -> None:
    assert [check_verbose(value) for value in (False, True, np.True_, 2, np.int8(3))] == [
        0,
        1,
        1,
        2,
        3,
    ]
    wrong: object
    for wrong in (None, "abc", np.nan, [], -1):
        with pytest.raises(ParameterError, match="verbose must be an integer of at least 0, got "):
            check_verbose(wrong)


def test_only_rows_are_told_of_marginalising() -> None:
    advice = "set missing_values='marginalize'"
    with pytest.raises(ValueError, match=advice):
        check_rows([[np.nan]])
    with pytest.raises(ValueError, match=r"contains NaN, first at row 0\.$"):
        check_sample_weight([np.nan], 1)


def test_choices() -> None:
    assert check_choice("kind", "full", ("full", "tied")) == "full"
    for wrong in ("round", None, 3, ["full"], np.array(["full"])):
        with pytest.raises(ParameterError, match="kind must be one of 'full', 'tied', got "):
            check_choice("kind", wrong, ("full", "tied"))
    with pytest.raises(ParameterError, match="algorithm must be 'lloyd', got 'elkan'"):
        check_choice("algorithm", "elkan", ("lloyd",))


def test_threads() -> None:
    assert check_n_threads(None) is None
    assert check_n_threads(np.int64(2)) == 2
    for wrong in (0, -1, 1.5, "all"):
        with pytest.raises(ParameterError, match="n_threads must be an integer of at least 1, got"):
            check_n_threads(wrong)
