"""Many mixtures of one feature: those of separate fits, whatever the table and the threads."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gaussmix
from gaussmix import (
    BayesianGaussianMixture,
    ConvergenceWarning,
    FitFailedWarning,
    GaussianMixture,
    ParameterError,
    fit_columns,
)

Array = NDArray[np.float64]
SETTINGS: dict[str, Any] = {"n_components": 3, "max_iter": 2000, "tol": 1e-2}


@pytest.fixture
def table() -> Array:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) + np.array([0, 8, 20]) * rng.integers(2, size=(400, 1))
    X[::5, 1] = np.nan
    return X


@pytest.mark.parametrize("kind", [BayesianGaussianMixture, GaussianMixture])
@pytest.mark.parametrize("n_threads", [1, 2, None])
def test_the_mixtures_are_those_of_separate_fits(
    table: Array, kind: Any, n_threads: int | None
) -> None:
    before = table.copy()
    found = fit_columns(table, estimator=kind, n_threads=n_threads, random_state=0, **SETTINGS)
    assert np.array_equal(table, before, equal_nan=True)
    assert len(found) == 3
    for column, model in zip(table.T, found, strict=True):
        assert type(model) is kind
        rows = column[~np.isnan(column)][:, None]
        alone = kind(n_threads=1, random_state=0, **SETTINGS).fit(rows)
        assert np.array_equal(model.means_, alone.means_)
        assert np.array_equal(model.covariances_, alone.covariances_)


def test_frames_and_arrays_agree(table: Array) -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = fit_columns(table, random_state=0, **SETTINGS)
    names = ["a", "b", "c"]
    twice = pd.DataFrame(table, columns=["a", "a", "c"])  # names need not differ
    for frame in (
        pd.DataFrame(table, columns=names), pl.DataFrame(table, schema=names), table.tolist(),
        np.asfortranarray(table), pd.DataFrame(table, columns=names).convert_dtypes(), twice,
    ):  # fmt: skip
        for model, alike in zip(
            fit_columns(frame, random_state=0, **SETTINGS), expected, strict=True
        ):
            assert np.array_equal(model.means_, alike.means_)


def test_float32_columns_stay_so(table: Array) -> None:
    found = fit_columns(table.astype(np.float32), random_state=0, **SETTINGS)
    assert found[0].predict_proba(np.ones((2, 1), dtype=np.float32)).dtype == np.float32


def test_a_generator_is_drawn_from_for_each_column(table: Array) -> None:
    same = np.repeat(table[:, :1], 2, axis=1)
    settings: dict[str, Any] = {"init_params": "random", "max_iter": 0}
    fits = [
        fit_columns(same, n_components=2, random_state=np.random.RandomState(1), **settings)
        for _ in range(2)
    ]
    for first, second in zip(*fits, strict=True):
        assert np.array_equal(first.means_, second.means_)
    assert not np.array_equal(fits[0][0].means_, fits[0][1].means_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": gaussmix.KMeans}, "estimator must be BayesianGaussianMixture or"),
        ({"estimator": GaussianMixture()}, "estimator must be BayesianGaussianMixture or"),
        ({"estimator": np.zeros(2)}, "estimator must be BayesianGaussianMixture or"),
        ({"checkpoint": "run.ckpt"}, "checkpoint is not for fit_columns"),
        ({"on_error": "ignore"}, "on_error must be one of 'raise', 'skip', got 'ignore'"),
        ({"on_error": None}, "on_error must be one of 'raise', 'skip', got None"),
        ({"n_components": 0, "on_error": "skip"}, "column 0: n_components must be"),
        ({"n_threads": 0}, "n_threads must be"),
        ({"random_state": -1}, "^random_state must be None, an integer from 0 to"),
        ({"random_state": 2.5}, "^random_state must be None, an integer from 0 to"),
        ({"n_components": 0}, "column 0: n_components must be"),
    ],
)
def test_bad_arguments_are_named(table: Array, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        fit_columns(table, **arguments)


def test_a_bad_column_is_named(table: Array) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(table, columns=["a", "b", "c"])
    some = np.where(np.arange(400) == 7, np.inf, table[:, 1])  # missing values do not count
    few = np.where(np.arange(400) < 2, 1.0, np.nan)
    for bad, message in (
        (np.inf, "Input X contains infinity .* first at row 0.$"),
        (some, "Input X contains infinity .* first at row 7.$"),
        (np.nan, "X has no values in the column: all 400 are missing"),
        (few, "n_components = 3, n_samples = 2"),
        ("text", "argument must be a real number"),
    ):
        frame["b"] = bad
        with pytest.raises((ValueError, TypeError), match=f"column 'b': .*{message}"):
            fit_columns(frame, **SETTINGS)
    with pytest.raises(TypeError, match="X must be a table in memory"):
        fit_columns("table.csv")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="Expected 2D array"):
        fit_columns(table[:, 0])
    with pytest.raises(ParameterError, match="X must have at least one column, got none"):
        fit_columns(table[:, :0])


@pytest.mark.parametrize("kind", [BayesianGaussianMixture, GaussianMixture])
def test_columns_that_cannot_be_fitted_are_skipped(table: Array, kind: Any) -> None:
    pd = pytest.importorskip("pandas")
    expected = fit_columns(table, estimator=kind, random_state=0, **SETTINGS)
    frame = pd.DataFrame(table, columns=["a", "b", "c"])
    frame.insert(1, "empty", np.nan)
    frame.insert(2, "text", "red")
    frame["few"] = np.where(np.arange(400) < 2, 1.0, np.nan)
    with pytest.warns(FitFailedWarning) as found:
        mixtures = fit_columns(
            frame, estimator=kind, on_error="skip", random_state=0, n_threads=2, **SETTINGS
        )
    assert [mixture is None for mixture in mixtures] == [False, True, True, False, False, True]
    fitted = [mixture for mixture in mixtures if mixture is not None]
    for mixture, alike in zip(fitted, expected, strict=True):
        assert np.array_equal(mixture.means_, alike.means_)
    (warning,) = found
    assert warning.filename == __file__
    message = str(warning.message)
    assert message.startswith("3 of 6 columns could not be fitted, and have None for a mixture: ")
    assert "column 'empty': X has no values in the column: all 400 are missing; " in message
    assert "column 'text': X must hold numbers" in message or "column 'text': " in message
    assert message.endswith(
        "column 'few': Expected n_samples >= n_components but got n_components = 3, n_samples = 2"
    )


def test_many_skipped_columns_are_counted(table: Array) -> None:
    X = np.where(np.arange(12) < 1, table[:, :1], np.nan)
    with pytest.warns(FitFailedWarning, match="^11 of 12 .*column 8: [^;]* and 3 more$"):
        assert len(fit_columns(X, on_error="skip", random_state=0)) == 12
    with pytest.raises(ParameterError, match="column 0: X has no values"):  # none is left
        fit_columns(X[:, 1:], on_error="skip")


def test_scikit_learn_s_warning_is_one_too(table: Array) -> None:
    exceptions = pytest.importorskip("sklearn.exceptions")
    table[:, 1] = np.nan
    with pytest.warns(exceptions.FitFailedWarning):
        fit_columns(table, on_error="skip", random_state=0, **SETTINGS)


def test_fits_warn_once_and_name_their_columns(table: Array) -> None:
    settings: dict[str, Any] = {"n_components": 3, "max_iter": 2, "tol": 0, "random_state": 0}
    for number, names in ((2, "0, 1"), (12, "0, 1, 2, 3, 4, 5, 6, 7 and 4 more")):
        with pytest.warns(ConvergenceWarning) as found:
            fit_columns(np.tile(table, 4)[:, :number], **settings)
        (warning,) = found
        assert str(warning.message).startswith(f"columns {names}: Best performing")
        assert warning.filename == __file__  # not a thread's own


@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_thread_holds_one_column(order: Any, gaps: bool) -> None:
    n = 400_000
    X = np.random.default_rng(0).normal(size=(n, 3))
    if gaps:
        X[::9] = np.nan
    X = np.asarray(X, order=order)
    settings: dict[str, Any] = {"n_components": 2, "max_iter": 2, "random_state": 0}
    fit_columns(X[:100], **settings)
    tracemalloc.start()
    try:
        fit_columns(X, n_threads=1, **settings)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * 8 * n
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
def test_odd_columns_are_fitted() -> None:
    rng = np.random.default_rng(0)
    n = 500
    normal = rng.normal(size=n)
    columns = {
        "constant": (np.full(n, 1e9), 1e9, 1e-3),  # reg_covar is left
        "two values": (rng.integers(2, size=n).astype(float), 0.5, 0.5),
        "ties": (np.where(np.arange(n) < 0.9 * n, 0.0, normal), 0.0, 0.32),
        "far": (1e9 + normal, 1e9, 1.0),
        "three rows": (np.where(np.arange(n) < 3, normal, np.nan), float(normal[:3].mean()), None),
    }
    table = np.column_stack([column for column, _, _ in columns.values()])
    found = fit_columns(table, n_components=3, random_state=0)
    for model, (_, mean, deviation) in zip(found, columns.values(), strict=True):
        center = model.weights_ @ model.means_[:, 0]
        assert center == pytest.approx(mean, abs=0.1)
        if deviation is not None:
            spread = model.covariances_[:, 0, 0] + (model.means_[:, 0] - center) ** 2
            assert np.sqrt(model.weights_ @ spread) == pytest.approx(deviation, rel=0.15)
