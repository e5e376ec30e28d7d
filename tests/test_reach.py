"""Rows whose squared distances leave the range of their dtype: an error wherever they are met."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from gaussmix import GaussianMixture, KMeans, scan
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, InitMethod, Rows, Structure
from gaussmix.model import reach

FAR = [(np.float32, 1e18), (np.float32, 1e20), (np.float32, 9.97e36), (np.float64, 1e152)]

each_far = pytest.mark.parametrize(("dtype", "far"), FAR)


def mixture(n_components: int = 2, structure: Structure = "full") -> GaussianMixture:
    """Components about 0, the first ones narrow and the last one wide."""
    variances = np.full(n_components, 1e-2)
    variances[-1] = 4.0
    covariances: FloatArray = {
        "full": variances[:, None, None] * np.eye(3),
        "tied": np.eye(3),
        "diag": np.repeat(variances[:, None], 3, axis=1),
        "spherical": variances,
    }[structure]
    return GaussianMixture.from_parameters(
        np.full(n_components, 1 / n_components),
        np.arange(n_components)[:, None] * np.ones(3),
        covariances,
        structure,
    )


def rows(dtype: DTypeLike, far: float) -> Rows:
    """Rows about 0, of which row 5 has a fill value in feature 1: (40, 3)."""
    X: Rows = np.random.default_rng(0).normal(size=(40, 3)).astype(dtype)
    X[5, 1] = far
    return X


CALLS: dict[str, Callable[[GaussianMixture, Rows], object]] = {
    "predict": lambda m, X: m.predict(X),
    "predict_proba": lambda m, X: m.predict_proba(X),
    "score_samples": lambda m, X: m.score_samples(X),
    "score": lambda m, X: m.score(X),
    "bic": lambda m, X: m.bic(X),
    "icl": lambda m, X: m.icl(X),
    "partial_fit": lambda m, X: m.partial_fit(X),
    "warm start": lambda m, X: m.set_params(warm_start=True).fit(X),
}


@pytest.mark.filterwarnings("error")
@each_far
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_row_out_of_reach_is_refused(
    isa: str,
    call: Callable[[GaussianMixture, Rows], object],
    structure: Structure,
    dtype: Any,
    far: float,
) -> None:
    for n_components in (2, 3):
        model, X = mixture(n_components, structure), rows(dtype, far)
        with pytest.raises(ValueError, match=r"overflow .* at row 5 of X .*: feature 1 is .*e\+"):
            call(model, X)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("far", [1e152, 1e200, -1e308])
def test_known_features_out_of_reach_are_refused(isa: str, far: float) -> None:
    model, X = mixture(3), rows(float, far)
    with pytest.raises(ValueError, match=r"overflow float64 at row 5 of X"):
        model.regress([0, 1], X[:, :2])
    with pytest.raises(ValueError, match=r"overflow float64 at row 0 of X"):
        model.conditional([0, 1], X[5, :2])
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"overflow float64 at row 5 of X"):
        model.predict_missing(X)


def test_a_hierarchy_refuses_rows_out_of_reach(isa: str) -> None:
    X = rows(np.float32, 1e20)  # within reach of float64, in which the merges are found
    hierarchy = mixture(3).hierarchy(X)
    with pytest.raises(ValueError, match="overflow float32 at row 5 of X"):
        hierarchy.predict_proba(X, n_clusters=2)
    with pytest.raises(ValueError, match="overflow float64 at row 5 of X"):
        mixture(3).hierarchy(rows(float, 1e152))


@pytest.mark.parametrize(("dtype", "near"), [(np.float32, 1e16), (np.float64, 1e148)])
def test_within_reach_the_wide_component_wins(isa: str, dtype: Any, near: float) -> None:
    for n_components in (2, 3):
        model, X = mixture(n_components), rows(dtype, near)
        assert model.predict(X)[5] == n_components - 1
        assert model.predict_proba(X)[5].tolist() == [0.0] * (n_components - 1) + [1.0]
        assert model.score_samples(X)[5] == pytest.approx(-(near**2) / 8)


def test_one_component_has_the_row_wherever_it_lies() -> None:
    model, X = mixture(1), rows(np.float32, 1e30)
    assert not model.predict(X).any()
    assert (model.predict_proba(X) == 1).all()
    with pytest.raises(ValueError, match="overflow float32 at row 5"):
        model.score_samples(X)


def test_rows_that_belong_to_all_components_alike_are_not_far() -> None:
    model = GaussianMixture.from_parameters([0.5, 0.5], [[-1.0], [1.0]], [1, 1], "spherical")
    assert model.predict_proba([[0.0]]).tolist() == [[0.5, 0.5]]


def test_rows_without_weight_may_lie_anywhere() -> None:
    X, weight = rows(np.float32, 1e30), np.ones(40)
    weight[5] = 0
    assert mixture().score(X, sample_weight=weight) == pytest.approx(
        mixture().score(np.delete(X, 5, axis=0)), rel=1e-6
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [1e-140, 1e30, 1e140])
def test_weights_hide_no_row_out_of_reach(weight: float) -> None:
    X, scale = rows(np.float64, 1e152), np.full(40, weight)
    for call in (mixture().score, mixture().bic):
        with pytest.raises(ValueError, match=r"squared distances overflow .* row 5 of X"):
            call(X, sample_weight=scale)
        assert np.isfinite(call(rows(np.float64, 1.0), sample_weight=scale))


def test_a_row_of_any_chunk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "CHUNK_ROWS", 2)
    for call in ("predict", "predict_proba", "score"):
        with pytest.raises(ValueError, match="overflow float32 at row 5 of X"):
            getattr(mixture(), call)(rows(np.float32, 1e20))


def test_rows_read_block_by_block(tmp_path: Any) -> None:
    np.save(tmp_path / "X.npy", rows(np.float32, 1e20))
    for call in ("predict", "predict_proba", "score"):
        with pytest.raises(ValueError, match="overflow float32 at row 5 of X"):
            getattr(mixture(), call)(scan(tmp_path / "X.npy"))


@pytest.mark.parametrize(("dtype", "far"), [*FAR[1:3], (np.float64, 1e155)])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("init_params", ["kmeans", "random", "random_from_data"])
def test_a_fit_refuses_fill_values(
    init_params: InitMethod, structure: Structure, dtype: Any, far: float
) -> None:
    X = np.random.default_rng(0).normal(size=(400, 3)).astype(dtype)
    X[::10] = far
    model = GaussianMixture(2, covariance_type=structure, init_params=init_params, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations before
        with pytest.raises(ValueError, match=r"overflow.* scale"):
            model.fit(X)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e20), (np.float64, 1e152)])
def test_k_means_refuses_rows_out_of_reach(isa: str, dtype: Any, far: float) -> None:
    X = rows(dtype, 0)
    model = KMeans(3, random_state=0).fit(X)
    X[5, 1] = far
    for call in (model.predict, model.transform):
        with pytest.raises(ValueError, match=r"row 5 of X .* feature 1 is 1e\+.* nearest center"):
            call(X)
