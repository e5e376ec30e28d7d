"""Passes in float32 over rows of float64: the kernels, and the fits that begin with them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import ConvergenceWarning, GaussianMixture, ParameterError, scan
from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES, Density, factors_shape
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.data.base import InMemory
from gaussmix.data.subsample import Sample
from gaussmix.em import mixed_precision, objective
from gaussmix.em.loop import Monitor
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass
from gaussmix.starts import methods
from gaussmix.starts.completion import in_single

each_structure = pytest.mark.parametrize("structure", STRUCTURES)

K, D = 4, 8


def rows(n_samples: int = 6000, seed: int = 0) -> FloatArray:
    """Four groups that overlap, so that EM takes some dozens of iterations."""
    rng = np.random.default_rng(seed)
    centers = 1.5 * rng.normal(size=(K, D))
    return centers[rng.integers(K, size=n_samples)] + rng.normal(size=(n_samples, D))


X = rows()


def start(structure: Structure = "full", X: FloatArray = X, scale: float = 1.0) -> Parameters:
    """A mixture about the first rows, of the data's variance."""
    variances = np.full(D, 3.0 * scale**2)
    covariances = structure_of(structure).of_variances(variances, K)
    return Parameters.from_covariances(structure, np.full(K, 1 / K), X[:K].copy(), covariances)


def initial(structure: Structure = "full", **params: Any) -> dict[str, Any]:
    begin = start(structure)
    return {
        "n_components": K,
        "covariance_type": structure,
        "weights_init": begin.weights,
        "means_init": begin.means,
        "precisions_init": begin.precisions,
        "tol": 1e-5,
        "max_iter": 500,
        **params,
    }


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Small data is worth float32; for every pass of EM, whether it was single."""
    seen: list[bool] = []

    class Noted(StatisticsPass):
        def __init__(self, *args: Any, single: bool = False, **kwargs: Any) -> None:
            seen.append(single)
            super().__init__(*args, single=single, **kwargs)

    monkeypatch.setattr(objective, "StatisticsPass", Noted)
    monkeypatch.setattr(mixed_precision, "LEAST_FLOPS", 0.0)
    return seen


def collected(
    X: Any, parameters: Parameters, *, n_threads: int = 1, single: bool = True, told: Any = None
) -> Statistics:
    running = StatisticsPass(parameters, n_threads, single=single)
    if told is None:
        running.add(X, None)
    else:
        running.add_told(X, None, told)
    return running.result()


def accumulated(X: Rows, density: Density) -> tuple[FloatArray, ...]:
    """What the kernels for float32 add up: n_k, first, second, totals."""
    second = np.zeros(factors_shape(density.structure, K, D))
    sums = np.zeros(K), np.zeros((K, D)), second, np.zeros(2)
    dispatch.active().float32.accumulate(X, None, density, *sums)
    return sums


def assert_same_bits(found: GaussianMixture, wanted: GaussianMixture) -> None:
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.lower_bounds_ == wanted.lower_bounds_
    assert found.lower_bound_ == wanted.lower_bound_


# Kernels --------------------------------------------------------------------------------------


@each_structure
@pytest.mark.parametrize("n_samples", [1, 1037, 2500])
def test_the_pass_is_that_of_float32_rows(
    compiled_isa: str, structure: Structure, n_samples: int
) -> None:
    """To the bit, where rows and centre are such that subtracting them rounds nothing."""
    wide = np.round(8 * X[:n_samples]) / 8
    begin = start(structure, np.round(8 * X) / 8)
    density = begin.density(np.float32)._replace(center=np.full(D, 0.25))
    found, wanted = (accumulated(part, density) for part in (wide, wide.astype(np.float32)))
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@each_structure
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_the_pass_is_close_to_that_of_float64(
    isa: str, structure: Structure, offset: float
) -> None:
    """Also where X itself would have no digits left in float32."""
    far = X + offset
    begin = start(structure, far)
    found, wanted = collected(far, begin), collected(far, begin, single=False)
    wanted = wanted.about(found.shift)
    scale = len(X) / K
    np.testing.assert_allclose(found.n_k, wanted.n_k, rtol=1e-5)
    np.testing.assert_allclose(found.first, wanted.first, atol=1e-4 * scale)
    np.testing.assert_allclose(found.second, wanted.second, atol=1e-4 * scale * D)
    assert abs(found.mean_log_likelihood - wanted.mean_log_likelihood) < 1e-5
    assert found.mean_log_likelihood != wanted.mean_log_likelihood or isa == "reference"


def test_bits_do_not_depend_on_threads_nor_on_how_rows_are_cut(compiled_isa: str) -> None:
    begin = start()
    whole = collected(X, begin)
    threads = collected(X, begin, n_threads=3)
    running = StatisticsPass(begin, 1, single=True)
    for part in (X[:2048], X[2048:3072], X[3072:]):
        running.add(part, None)
    for other in (threads, running.result()):
        np.testing.assert_array_equal(other.second, whole.second)
        assert other.log_likelihood == whole.log_likelihood


def test_what_is_told_of_rows_counts(isa: str) -> None:
    """Rows that are told to be of the first component are there alone."""
    codes = np.where(np.arange(len(X)) < 1000, 0, -1).astype(np.int32)
    told = Told(codes, np.arange(K, dtype=np.int32))
    found, wanted = (collected(X, start(), single=single, told=told) for single in (True, False))
    np.testing.assert_allclose(found.n_k, wanted.n_k, rtol=1e-5)


def test_only_float32_takes_both_precisions(compiled_isa: str) -> None:
    begin = start()
    sums = np.zeros(K), np.zeros((K, D)), np.zeros((K, D, D)), np.zeros(2)
    build = dispatch.active()
    with pytest.raises(TypeError, match="X must have dtype float64"):
        build.float64.accumulate(X.astype(np.float32), None, begin.density(), *sums)
    with pytest.raises(TypeError, match="X must have dtype float32"):
        build.float32.accumulate(X, None, begin.density(np.float32, gaps=True), *sums)


# Fits -----------------------------------------------------------------------------------------


@each_structure
def test_a_fit_ends_in_float64_and_no_lower(structure: Structure, passes: list[bool]) -> None:
    plain = GaussianMixture(**initial(structure)).fit(X)
    passes.clear()
    mixed = GaussianMixture(**initial(structure, mixed_precision=True)).fit(X)
    assert mixed.converged_
    n_single = sum(passes)
    assert passes == [True] * n_single + [False] * (len(passes) - n_single)
    assert n_single > 3
    assert 1 <= len(passes) - n_single <= max(3, mixed.n_iter_ // 2)
    assert mixed.lower_bound_ == mixed.score(X)
    assert mixed.lower_bound_ >= plain.lower_bound_ - 1e-9
    assert np.diff(mixed.lower_bounds_).min() > -1e-5


def test_a_small_tol_leads_to_the_fixed_point_of_float64(passes: list[bool]) -> None:
    plain = GaussianMixture(**initial(tol=1e-12, max_iter=5000)).fit(X)
    mixed = GaussianMixture(**initial(tol=1e-12, max_iter=5000, mixed_precision=True)).fit(X)
    assert mixed.converged_
    np.testing.assert_allclose(mixed.means_, plain.means_, atol=1e-4)
    assert abs(mixed.lower_bound_ - plain.lower_bound_) < 1e-9
    gains = np.diff(mixed.lower_bounds_[passes.count(True) + 1 :])
    assert gains.min() > -1e-13


def test_a_change_from_float32_to_float64_ends_no_fit_that_it_could_mislead(
    passes: list[bool],
) -> None:
    """With a large tol one pass in float64 is enough, with a small one it takes two."""
    counts = []
    for tol in (1e-2, 1e-7):
        passes.clear()
        GaussianMixture(**initial(tol=tol, mixed_precision=True)).fit(X)
        counts.append(passes.count(False))
    assert counts[0] == 1
    assert counts[1] >= 2


@pytest.mark.parametrize(
    "params",
    [
        {"accelerate": "anderson"},
        {"accelerate": "squarem"},
        {"covariance_type": "VEV"},
        {"noise": True},
        {"reg_covar": "relative"},
        {"weights": "equal"},
    ],
)
def test_whatever_else_a_fit_does(passes: list[bool], params: dict[str, Any]) -> None:
    begin = {**initial(), **params}
    if "weights" in params:
        begin["weights_init"] = None
    if "covariance_type" in params:
        begin["precisions_init"] = None
    plain = GaussianMixture(**begin, random_state=0).fit(X)
    passes.clear()
    mixed = GaussianMixture(**begin, random_state=0, mixed_precision=True).fit(X)
    assert any(passes)
    assert not passes[-1]
    assert mixed.converged_
    assert mixed.lower_bound_ >= plain.lower_bound_ - 2e-5


def test_weights_count_as_copies(passes: list[bool]) -> None:
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    copies = np.repeat(X, weight.astype(int), axis=0)
    found = GaussianMixture(**initial(mixed_precision=True)).fit(X, sample_weight=weight)
    wanted = GaussianMixture(**initial(mixed_precision=True)).fit(copies)
    assert passes[0]
    assert found.lower_bound_ == pytest.approx(wanted.lower_bound_, abs=1e-6)


def test_files_and_threads_give_the_same_bits(passes: list[bool], tmp_path: Path) -> None:
    wanted = GaussianMixture(**initial(mixed_precision=True, n_threads=1)).fit(X)
    assert passes[0]
    path = tmp_path / "rows.npy"
    np.save(path, X)
    for data, n_threads in ((X, 3), (scan(path), 1)):
        model = GaussianMixture(**initial(mixed_precision=True, n_threads=n_threads))
        assert_same_bits(model.fit(data), wanted)


def test_dask_goes_the_same_way(passes: list[bool]) -> None:
    da = pytest.importorskip("dask.array")
    wanted = GaussianMixture(**initial(mixed_precision=True)).fit(X)
    found = GaussianMixture(**initial(mixed_precision=True)).fit(da.from_array(X, (2048, D)))
    assert any(passes)
    np.testing.assert_allclose(found.means_, wanted.means_, atol=1e-4)


@pytest.mark.parametrize("after", [1, 4, 1000])
def test_a_checkpoint_goes_on_in_the_same_precision(
    passes: list[bool], tmp_path: Path, after: int
) -> None:
    params = initial(mixed_precision=True, tol=1e-6)
    wanted = GaussianMixture(**params).fit(X)
    n_single = passes.count(True)
    stop = min(after, n_single + 1)
    path = tmp_path / "run.ckpt"
    checked = {**params, "checkpoint": path, "checkpoint_interval": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(**checked).set_params(max_iter=stop).fit(X)
    passes.clear()
    found = GaussianMixture(**checked).fit(X)
    assert passes.count(True) == max(n_single - stop, 0)
    assert_same_bits(found, wanted)


# Where it is of no use ------------------------------------------------------------------------


def pays(X: Any, parameters: Parameters, **params: Any) -> bool:
    return mixed_precision.single_pays(InMemory(X, None, **params), parameters)


def test_it_is_for_float64_rows_that_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not pays(X, start())
    monkeypatch.setattr(mixed_precision, "LEAST_FLOPS", 0.0)
    assert pays(X, start())
    assert not pays(X.astype(np.float32), start())
    assert not pays(X, start(), gaps=True)
    one = Parameters.from_covariances("full", np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)))
    assert not pays(X[:, :1].copy(), one)


@pytest.mark.parametrize("scale", [1e-17, 1e17])
def test_a_range_beyond_float32_stays_in_float64(passes: list[bool], scale: float) -> None:
    begin = start("full", scale * X, scale)
    assert not pays(scale * X, begin)
    params = initial(means_init=begin.means, precisions_init=begin.precisions, reg_covar=0.0)
    plain = GaussianMixture(**params).fit(scale * X)
    assert_same_bits(GaussianMixture(**params, mixed_precision=True).fit(scale * X), plain)
    assert not any(passes)


def test_a_row_whose_square_float32_does_not_hold_is_gone_over_in_float64(
    passes: list[bool],
) -> None:
    far = X.copy()
    far[0] = 1e25
    params = initial("spherical", max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = GaussianMixture(**params).fit(far)
        passes.clear()
        mixed = GaussianMixture(**params, mixed_precision=True).fit(far)
    assert passes.count(True) <= 2
    assert mixed.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-9)


def test_a_run_leaves_float32_where_components_become_too_small_for_it() -> None:
    """What float32 gets wrong grows with distances over deviations."""
    near, far = start(), start()
    far.means[0] += 1e6
    assert mixed_precision.error_of_single(near, -10.0) < 1e-5
    assert mixed_precision.error_of_single(far, -10.0) > 1e-2
    assert mixed_precision.error_of_single(near, -1e9) > 1.0


@pytest.mark.usefixtures("compiled_isa")
def test_rounding_lends_no_variance_to_a_component_without_any(passes: list[bool]) -> None:
    """Eight rows on a line have next to none across it: second moments nearly cancel there."""
    rng = np.random.default_rng(0)
    spread, along = rng.normal(size=(2000, 2)) @ [[300.0, 200.0], [0.0, 100.0]], rng.normal(size=8)
    own = np.concatenate([spread, [900.0, 700.0] + along[:, None] * [300.0, 200.0]])
    line = np.cov(own[-8:].T, bias=True) + 1e-6 * np.eye(2)
    weights, means = (
        np.array([2000.0, 8.0]) / len(own),
        np.array([[0.0, 0.0], own[-8:].mean(axis=0)]),
    )
    begin = Parameters.from_covariances("full", weights, means, np.array([np.cov(spread.T), line]))
    assert not mixed_precision.holds_moments(begin, len(own))
    ridge = objective.MaximumLikelihood(InMemory(own, None), 1e-6)
    found, _ = ridge.m_step(ridge.e_step(begin, single=True), begin)
    least = np.linalg.eigvalsh(found.covariances[1])[0]
    assert least == pytest.approx(1e-6, rel=1e-2)  # 4e-3 in float32
    assert not any(passes)
    wide = Parameters.from_covariances("full", weights, means, np.array([np.cov(spread.T)] * 2))
    assert mixed_precision.holds_moments(wide, len(own))
    ridge.e_step(wide, single=True)
    assert any(passes)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mixed_precision": 1.5}, "mixed_precision must be"),
        ({"mixed_precision": True, "algorithm": "incremental"}, "needs algorithm='em', got"),
        (
            {"mixed_precision": True, "missing_values": "marginalize"},
            "missing_values='marginalize' and mixed_precision=True are both given",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(K, **params).fit(X)


# Starts ---------------------------------------------------------------------------------------


def test_a_start_looks_at_deviations_in_float32() -> None:
    far = Sample(X + 1e9, None)
    found, origin = in_single(far)
    assert found.rows.dtype == np.float32
    assert origin is not None
    np.testing.assert_allclose(found.rows + origin, far.rows, atol=1e-6)


@pytest.mark.parametrize("change", ["float32", "constant", "far row", "tiny", "huge"])
def test_a_sample_that_float32_does_not_suit_stays_as_it_is(change: str) -> None:
    own = X.copy()
    if change == "constant":
        own[:, 1] = 7.0
    elif change == "far row":
        own[5, 2] = 1e6
    elif change in ("tiny", "huge"):
        own *= 1e-17 if change == "tiny" else 1e17
    sample = Sample(own.astype(np.float32) if change == "float32" else own, None)
    found, origin = in_single(sample)
    assert found is sample
    assert origin is None


@pytest.mark.parametrize("method", ["auto", "kmeans", "random"])
def test_a_start_in_float32_is_as_good(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr("gaussmix.data.subsample.START_ROWS", 1024)
    data = InMemory(rows(16384) + 1e6, None)
    taken: list[str] = []

    def noted(sample: Sample) -> Any:
        found = in_single(sample)
        taken.append(found[0].rows.dtype.name)
        return found

    monkeypatch.setattr(methods, "in_single", noted)
    bounds = []
    for is_single in (False, True):
        begin = methods.initial_parameters(
            data,
            structure="full",
            n_components=K,
            method=method,
            reg_covar=1e-6,
            random_state=np.random.RandomState(0),
            single=is_single,
        )
        bounds.append(collected(data.rows, begin, single=False).mean_log_likelihood)
    assert taken == ["float32"]
    assert bounds[1] == pytest.approx(bounds[0], abs=0.05)


def test_a_monitor_that_begins_anew_compares_with_nothing() -> None:
    monitor = Monitor(1e-3)
    monitor.update(-1.0)
    monitor.restart()
    assert monitor.update(-1.0) == np.inf
    assert not monitor.settled
