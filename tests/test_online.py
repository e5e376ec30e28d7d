"""Online EM: steps that do not depend on the cuts, exact averages, streams that drift."""

import math
import pickle
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

import gaussmix
from gaussmix import CollapseWarning, GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.data.base import InMemory
from gaussmix.em.loop import em
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.em.online import Pace, Seen, online_step, remembered, step_size
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import parameters_of
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect

Array = NDArray[np.float64]

MEANS = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 3.0]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def draw(n_samples: int, seed: int, drift: float = 0.0) -> Array:
    """Rows of three overlapping groups that move by `drift` in all, along every feature."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(3, size=n_samples, p=WEIGHTS)
    moved: Array = MEANS[groups] + np.linspace(0, drift, n_samples)[:, None]
    return moved + rng.normal(size=moved.shape)


def fitted(structure: Structure, X: Array) -> Parameters:
    model = GaussianMixture(3, covariance_type=structure, random_state=0, max_iter=5, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gaussmix.ConvergenceWarning)
        return parameters_of(model.fit(X))


def follow(
    start: Parameters, X: Array, n_rows: int, pace: Pace, weight: Array | None = None
) -> Parameters:
    """Online EM over batches of n_rows."""
    parameters, seen = start, Seen()
    for i in range(0, len(X), n_rows):
        part = slice(i, i + n_rows)
        batch = collect(X[part], None if weight is None else weight[part], parameters)
        parameters, _ = online_step(parameters, batch, seen, pace, 0.0)
        seen = seen.after(batch)
    return parameters


def mean_log_likelihood(parameters: Parameters, X: Array) -> float:
    return collect(X, None, parameters).mean_log_likelihood


# the half-life alone rules the last one, from row 10 on
PACES = (Pace(0.6, None), Pace(0.75, None), Pace(1.0, None), Pace(1.0, 5.0))


@pytest.mark.parametrize("pace", PACES)
def test_the_cuts_of_a_stream_do_not_matter(pace: Pace) -> None:
    def kept(cuts: list[float]) -> float:
        return math.prod(1 - step_size(b - a, a, pace) for a, b in pairwise(cuts))

    whole = kept([10, 1000])
    assert kept([10, 500, 501, 1000]) == pytest.approx(whole, rel=1e-11, abs=1e-15)
    assert kept([float(n) for n in range(10, 1001)]) == pytest.approx(whole, rel=1e-11, abs=1e-15)


def test_steps_of_single_rows_are_those_of_the_paper() -> None:
    for n in (1e3, 1e6):
        assert step_size(1, n - 1, Pace(0.6, None)) == pytest.approx(n**-0.6, rel=0.02)


def test_a_decay_of_one_is_the_running_average() -> None:
    assert step_size(3, 9, Pace(1.0, None)) == pytest.approx(0.25, rel=1e-15)
    assert step_size(3, 0, Pace(0.6, None)) == 1


def test_half_of_the_past_is_gone_after_the_half_life() -> None:
    assert step_size(100, 1e9, Pace(1.0, 100.0)) == pytest.approx(0.5, rel=1e-12)
    assert step_size(100, 1e-3, Pace(1.0, 100.0)) > 0.999  # but what was hardly seen goes sooner


def test_tiny_weights_are_averaged_and_not_ignored() -> None:
    assert step_size(1e-9, 3e-9, Pace(0.6, None)) == pytest.approx(0.25)


@each_structure
def test_remembered_statistics_lead_back_to_the_parameters(structure: Structure) -> None:
    parameters = fitted(structure, draw(500, 0) + 1e4)
    back, collapsed = m_step(replace(remembered(parameters, 77.0, 1e-6), n_samples=77), 1e-6)
    assert collapsed == ()
    np.testing.assert_allclose(back.weights, parameters.weights, rtol=1e-12)
    np.testing.assert_array_equal(back.means, parameters.means)
    np.testing.assert_allclose(back.covariances, parameters.covariances, rtol=0, atol=1e-12)


@each_structure
def test_the_first_batch_is_an_iteration_of_em(structure: Structure) -> None:
    X = draw(900, 1)
    start = fitted(structure, X[:100])
    batch = collect(X, None, start)
    parameters, _ = online_step(start, batch, Seen(), Pace(0.75, 10.0), 1e-6)
    expected, _ = m_step(batch, 1e-6)
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        np.testing.assert_array_equal(getattr(parameters, name), getattr(expected, name))


@each_structure
@pytest.mark.parametrize("weighted", [False, True])
def test_one_component_has_the_moments_of_all_rows(structure: Structure, weighted: bool) -> None:
    X = draw(1000, 2)
    weight = np.random.default_rng(0).uniform(0, 3, size=1000) if weighted else None
    all_rows = collect(X, weight, one_component(structure))
    expected, _ = m_step(all_rows, 0.0)
    parameters = follow(one_component(structure), X, 77, Pace(1.0, None), weight)
    np.testing.assert_allclose(parameters.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(parameters.covariances, expected.covariances, atol=1e-13)


def one_component(structure: Structure) -> Parameters:
    shapes = {"full": (1, 2, 2), "tied": (2, 2), "diag": (1, 2), "spherical": (1,)}
    unit = np.eye(2) if structure in ("full", "tied") else np.ones(1)
    covariances = np.broadcast_to(unit, shapes[structure]).copy()
    return Parameters.from_covariances(structure, np.ones(1), np.zeros((1, 2)), covariances)


def exact_forgetting(X: Array, n_rows: int, half_life: float) -> tuple[float, float]:
    """Mean and variance of one feature with batches forgotten by half-life, to 50 digits."""
    with mpmath.workdps(50):
        n_batches = len(X) // n_rows
        age = [mpmath.mpf(n_rows) * (n_batches - 1 - b) for b in range(n_batches)]
        kept = [mpmath.mpf(2) ** (-a / mpmath.mpf(half_life)) for a in age]
        # a batch enters with its step size, and the first with all that there is
        step = 1 - mpmath.mpf(2) ** (-n_rows / mpmath.mpf(half_life))
        share = [kept[b] * (1 if b == 0 else step) / n_rows for b in range(n_batches)]
        values = [(share[i // n_rows], mpmath.mpf(float(x))) for i, x in enumerate(X[:, 0])]
        mean = mpmath.fsum(w * x for w, x in values)
        variance = mpmath.fsum(w * (x - mean) ** 2 for w, x in values)
        return float(mean), float(variance)


def test_a_stream_that_drifts_by_a_million_deviations_loses_no_digits() -> None:
    X = draw(20_000, 3, drift=1e6)
    parameters = follow(one_component("full"), X, 100, Pace(1.0, 50.0))
    mean, variance = exact_forgetting(X, 100, 50.0)
    assert variance > 1e6  # what is remembered covers thousands of deviations
    assert parameters.means[0, 0] == pytest.approx(mean, rel=1e-15)
    assert parameters.covariances[0, 0, 0] == pytest.approx(variance, rel=1e-12)


def test_digits_are_kept_far_from_the_origin() -> None:
    far = np.array([1e6, -1e6])  # where a unit of rounding is 1e-10 deviations
    X, pace = draw(20_000, 3) + far, Pace(1.0, 2000.0)
    origin = one_component("full")
    parameters = follow(replace(origin, means=far[None, :]), X, 100, pace)
    near = follow(origin, X - far, 100, pace)
    np.testing.assert_allclose(parameters.means - far, near.means, rtol=0, atol=1e-9)
    np.testing.assert_allclose(parameters.covariances, near.covariances, rtol=0, atol=1e-11)


def test_a_stationary_stream_leads_to_the_optimum_of_all_rows() -> None:
    X = draw(200_000, 4)
    start = fitted("full", X[:1000])
    best = em(start, MaximumLikelihood(InMemory(X, None)), tol=1e-7, max_iter=99)
    optimum = mean_log_likelihood(best.parameters, X)
    online = mean_log_likelihood(follow(start, X, 1000, Pace(0.75, None)), X)
    forgetful = mean_log_likelihood(follow(start, X, 1000, Pace(1.0, 1.0)), X)
    assert abs(optimum - online) < 1e-3
    assert optimum - forgetful > 2e-3


def test_a_half_life_follows_a_drift() -> None:
    X = draw(60_000, 5, drift=60.0)
    start, now = fitted("full", X[:1000]), X[-2000:]
    near = mean_log_likelihood(follow(start, X, 500, Pace(0.75, 1000.0)), now)
    behind = mean_log_likelihood(follow(start, X, 500, Pace(1.0, None)), now)
    assert near > mean_log_likelihood(fitted("full", now), now) - 0.3
    assert behind < near - 1


@each_structure
def test_a_component_without_rows_keeps_its_mean_and_its_past(structure: Structure) -> None:
    X = draw(1000, 6)
    parameters = fitted(structure, X)
    far = np.full((50, 2), 40.0) + np.random.default_rng(0).normal(size=(50, 2))
    batch = collect(far, None, parameters)
    after, collapsed = online_step(parameters, batch, Seen(1000, 1000.0), Pace(1.0, None), 1e-6)
    assert collapsed == ()
    unmoved = batch.n_k < 1e-6
    assert unmoved.any()
    np.testing.assert_allclose(after.means[unmoved], parameters.means[unmoved], atol=1e-6)


def test_guards_look_at_rows_of_their_mean_weight() -> None:
    X = draw(600, 7)
    start = fitted("full", X[:100])
    light = follow(start, X, 50, Pace(0.75, None), np.full(600, 1e-30))
    average = follow(start, X, 50, Pace(1.0, None))
    np.testing.assert_allclose(light.means, average.means, rtol=1e-9)


def online(**params: Any) -> GaussianMixture:
    return GaussianMixture(3, random_state=0, **params)


def one_iteration(X: Array, **params: Any) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gaussmix.ConvergenceWarning)
        return online(max_iter=1, **params).fit(X)


def assert_same_bits(one: GaussianMixture, other: GaussianMixture) -> None:
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.n_samples_seen_ == other.n_samples_seen_
    assert one.weight_seen_ == other.weight_seen_


@each_structure
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_partial_fit_of_all_rows_is_one_iteration_of_fit(
    structure: Structure, dtype: type[np.floating], weighted: bool
) -> None:
    X = draw(3000, 8).astype(dtype)
    weight = np.random.default_rng(0).uniform(0, 3, size=len(X)) if weighted else None
    model = online(covariance_type=structure).partial_fit(X, sample_weight=weight)
    once = online(covariance_type=structure, max_iter=1)
    with pytest.warns(gaussmix.ConvergenceWarning):
        once.fit(X, sample_weight=weight)
    assert_same_bits(model, once)
    assert model.lower_bound_ == once.lower_bounds_[0]
    assert (model.n_iter_, model.converged_) == (1, False)


def test_partial_fit_starts_where_it_is_told() -> None:
    X = draw(500, 8)
    given = {
        "weights_init": WEIGHTS,
        "means_init": MEANS + 0.3,
        "precisions_init": np.tile(np.eye(2), (3, 1, 1)),
    }
    assert_same_bits(online(**given).partial_fit(X), one_iteration(X, **given))


def test_partial_fit_says_what_it_has_seen() -> None:
    X = draw(500, 9)
    model = online().partial_fit(X[:300], sample_weight=2.0)
    before = model.score(X[300:])
    model.partial_fit(X[300:])
    assert (model.n_samples_seen_, model.weight_seen_, model.n_iter_) == (500, 800.0, 2)
    assert model.lower_bound_ == pytest.approx(before, abs=1e-13)


def test_partial_fit_may_go_on_with_a_single_row() -> None:
    model = online().partial_fit(draw(300, 9))
    means = model.means_.copy()
    model.partial_fit([[0.5, 0.5]])
    assert 0 < np.abs(model.means_ - means).max() < 0.1


def test_a_fit_counts_for_its_rows() -> None:
    X = draw(6000, 10)
    model = online(learning_decay=1.0, tol=1e-6, max_iter=500).fit(X)
    parameters, seen = parameters_of(model), Seen(6000, 6000.0)
    assert (model.n_samples_seen_, model.weight_seen_) == seen
    batch = draw(100, 11)
    model.partial_fit(batch)
    statistics = collect(batch, None, parameters)
    expected, _ = online_step(parameters, statistics, seen, Pace(1.0, None), 1e-6)
    np.testing.assert_array_equal(model.means_, expected.means)
    np.testing.assert_allclose(model.means_, parameters.means, atol=0.05)


def test_parameters_by_hand_count_for_no_rows_unless_said_so() -> None:
    X = draw(900, 12)
    unit = np.tile(np.eye(2), (3, 1, 1))
    light = GaussianMixture.from_parameters(WEIGHTS, MEANS, unit).partial_fit(X)
    expected, _ = m_step(collect(X, None, fitted_by_hand(unit)), 1e-6)
    np.testing.assert_array_equal(light.means_, expected.means)
    heavy = GaussianMixture.from_parameters(WEIGHTS, MEANS, unit, learning_decay=1.0)
    heavy.weight_seen_, heavy.n_samples_seen_ = 1e6, 10**6
    np.testing.assert_allclose(heavy.partial_fit(X).means_, MEANS, atol=1e-3)


def fitted_by_hand(covariances: Array) -> Parameters:
    return Parameters.from_covariances("full", WEIGHTS, MEANS, covariances)


@pytest.mark.parametrize("by", ["pickle", "file"])
def test_a_stored_model_goes_on_to_the_same_bits(by: str, tmp_path: Path) -> None:
    X = draw(3000, 13)
    model = online(half_life=500.0)
    for i in range(0, 1500, 300):
        model.partial_fit(X[i : i + 300])
    if by == "pickle":
        back = pickle.loads(pickle.dumps(model))
    else:
        gaussmix.save(model, tmp_path / "model.npz")
        back = gaussmix.load(tmp_path / "model.npz")
    for i in range(1500, 3000, 300):
        model.partial_fit(X[i : i + 300])
        back.partial_fit(X[i : i + 300])
    assert_same_bits(model, back)
    assert back.n_iter_ == model.n_iter_ == 10


def test_bits_do_not_depend_on_threads() -> None:
    X = draw(40_000, 14)
    models = [online(n_threads=count) for count in (1, 3)]
    for i in range(0, len(X), 20_000):
        for model in models:
            model.partial_fit(X[i : i + 20_000])
    assert_same_bits(*models)


def test_a_collapsed_component_is_warned_of_once() -> None:
    model = GaussianMixture(2, reg_covar=0.0, random_state=0)
    X = np.array([[0.0], [0.0], [0.0], [5.0], [6.0], [7.0]])
    with pytest.warns(CollapseWarning, match=r"Component \d collapsed"):
        model.partial_fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            model.partial_fit(X)
    assert np.isfinite(model.covariances_).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learning_decay": 0.5}, "learning_decay must be a finite number greater than 0.5"),
        ({"learning_decay": 1.5}, r"learning_decay must be .* at most 1, got 1\.5"),
        ({"learning_decay": "fast"}, "learning_decay must be"),
        ({"half_life": 0}, "half_life must be a finite number greater than 0, got 0"),
        ({"half_life": np.inf}, "half_life must be"),
    ],
)
def test_a_pace_that_is_none(params: dict[str, Any], message: str) -> None:
    X = draw(50, 15)
    with pytest.raises(ParameterError, match=message):
        online(**params).partial_fit(X)
    with pytest.raises(ParameterError, match=message):
        online(**params).fit(X)


def test_the_first_batch_has_a_row_for_each_component() -> None:
    model = online()
    with pytest.raises(ValueError, match="n_components = 3, n_samples = 2"):
        model.partial_fit([[0.0], [1.0]])
    assert not hasattr(model, "means_")


def test_later_batches_are_checked_and_change_nothing_if_bad() -> None:
    model = online().partial_fit(draw(300, 16))
    means = model.means_
    for bad, message in (
        (np.zeros((5, 3)), "X has 3 features, but GaussianMixture is expecting 2"),
        ([[np.nan, 0.0]], "NaN"),
        (np.zeros((0, 2)), "0 sample"),
        ([[1e200, 0.0]], "overflow"),
    ):
        with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match=message):
            model.partial_fit(bad)
    with pytest.raises(ValueError, match="partial_fit cannot continue from means_"):
        model.set_params(n_components=2).partial_fit(draw(50, 16))
    assert model.means_ is means
    assert (model.n_samples_seen_, model.n_iter_) == (300, 1)


def test_a_weight_seen_that_is_none() -> None:
    model = online().partial_fit(draw(300, 16))
    model.weight_seen_ = -1.0
    with pytest.raises(ParameterError, match="weight_seen_ must be"):
        model.partial_fit(draw(50, 16))


def test_feature_names_are_those_of_the_first_batch() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(draw(300, 17), columns=["a", "b"])
    model = online().partial_fit(frame).partial_fit(frame)
    assert list(model.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="order"):
        model.partial_fit(frame[["b", "a"]])
