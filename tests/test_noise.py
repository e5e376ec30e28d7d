"""A component of constant density: mclust's figures, likelihoods by SciPy, files, checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, multivariate_normal

import gaussmix
from gaussmix import CollapseWarning, ConvergenceWarning, GaussianMixture, ParameterError, scan
from gaussmix._core.types import CovarianceType, MergeCriterion
from gaussmix.data.base import InMemory
from gaussmix.em.penalised import objective_for
from gaussmix.estimators.attributes import parameters_of
from gaussmix.model.covariance import structure_named
from gaussmix.model.parameters import Parameters

Array = NDArray[np.float64]
OLD_FAITHFUL = Path(__file__).parent / "data" / "old_faithful.csv"


@pytest.fixture(scope="module")
def faithful() -> Array:
    """Old Faithful, and a grid of 6 x 6 points over its ranges."""
    X = np.loadtxt(OLD_FAITHFUL, delimiter=",", skiprows=1)
    axes = [np.linspace(column.min(), column.max(), 6) for column in X.T]
    return np.vstack([X, np.array([(a, b) for a in axes[0] for b in axes[1]])])


def fitted(X: Any, **options: Any) -> GaussianMixture:
    settings = {"noise": True, "tol": 1e-9, "max_iter": 5000, "reg_covar": 0, "random_state": 0}
    return GaussianMixture(2, **{**settings, **options}).fit(X)


@pytest.mark.parametrize(
    ("covariance_type", "log_likelihood", "weights", "noise"),
    [
        ("full", -1367.950842, (0.284014, 0.521670), 0.194316),
        ("tied", -1379.573499, (0.293061, 0.509851), 0.197088),
    ],
)
def test_published_fits_are_reached_without_a_guess(
    faithful: Array,
    covariance_type: str,
    log_likelihood: float,
    weights: tuple[float, ...],
    noise: float,
) -> None:
    mixture = fitted(faithful, covariance_type=covariance_type)
    assert np.isclose(np.exp(-mixture.noise_log_density_), 185.5)
    assert np.isclose(mixture.score(faithful) * len(faithful), log_likelihood, atol=1e-4)
    assert np.allclose(np.sort(mixture.weights_), weights, atol=2e-5)
    assert np.isclose(mixture.noise_weight_, noise, atol=2e-5)
    assert np.isclose(mixture.weights_.sum() + mixture.noise_weight_, 1)
    n_free = {"full": 11, "tied": 8}[covariance_type] + 2
    bic = -2 * log_likelihood + n_free * np.log(len(faithful))
    assert np.isclose(mixture.bic(faithful), bic, atol=1e-3)
    assert (np.diff(mixture.lower_bounds_) > -1e-12).all()


def test_probabilities_are_those_of_the_definition(faithful: Array) -> None:
    mixture = fitted(faithful)
    parts = [
        w * multivariate_normal(m, c).pdf(faithful)
        for w, m, c in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ]
    constant = mixture.noise_weight_ * np.exp(mixture.noise_log_density_)
    joint = np.column_stack([*parts, np.full(len(faithful), constant)])
    assert np.allclose(mixture.score_samples(faithful), np.log(joint.sum(axis=1)))
    proba = joint / joint.sum(axis=1, keepdims=True)
    assert np.allclose(mixture.predict_proba(faithful), proba)
    labels = proba.argmax(axis=1)
    assert np.array_equal(mixture.predict(faithful), np.where(labels == 2, -1, labels))


def test_the_smaller_box_is_that_of_principal_directions() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) * [5.0, 0.5] @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    scores = (X - X.mean(axis=0)) @ np.linalg.eigh(np.cov(X.T))[1]
    volume = np.ptp(scores, axis=0).prod()
    assert volume < np.ptp(X, axis=0).prod()
    assert np.isclose(np.exp(-fitted(X).noise_log_density_), volume)
    assert np.isclose(np.exp(-fitted(X, noise=123.0).noise_log_density_), 123.0)


@pytest.mark.parametrize("part", [0.05, 0.2, 0.4])
def test_groups_are_found_under_noise(part: float) -> None:
    rng = np.random.default_rng(1)
    centers = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    group = rng.integers(3, size=900)
    n_noise = int(part * len(group))
    X = np.vstack([centers[group] + rng.normal(size=(900, 2)), rng.uniform(-20, 26, (n_noise, 2))])
    mixture = GaussianMixture(3, noise=True, random_state=0).fit(X)
    order = np.argmin(((mixture.means_[:, None] - centers) ** 2).sum(axis=2), axis=1)
    assert sorted(order) == [0, 1, 2]
    found = mixture.predict(X[:900])
    assert (np.append(order, -1)[found] == group).mean() > 0.9
    assert abs(mixture.noise_weight_ - part / (1 + part)) < 0.05


def test_files_float32_and_weights(faithful: Array, tmp_path: Path) -> None:
    mixture = fitted(faithful)
    np.save(tmp_path / "X.npy", faithful)
    streamed = fitted(scan(tmp_path / "X.npy"))
    assert np.array_equal(streamed.means_, mixture.means_)
    single = fitted(faithful.astype(np.float32), tol=1e-7)
    assert abs(single.noise_weight_ - mixture.noise_weight_) < 1e-3
    weight = np.ones(len(faithful))
    weight[:50] = 2
    twice = fitted(np.vstack([faithful, faithful[:50]]))
    weighted = GaussianMixture(**twice.get_params()).fit(faithful, sample_weight=weight)
    assert abs(weighted.noise_weight_ - twice.noise_weight_) < 1e-4


def test_models_and_checkpoints_keep_the_noise(faithful: Array, tmp_path: Path) -> None:
    mixture = fitted(faithful, checkpoint=tmp_path / "fit", checkpoint_interval=0)
    gaussmix.save(mixture, tmp_path / "m.npz")
    loaded = gaussmix.load(tmp_path / "m.npz", GaussianMixture)
    assert np.array_equal(loaded.predict_proba(faithful), mixture.predict_proba(faithful))
    again = fitted(faithful, checkpoint=tmp_path / "fit")
    assert again.noise_weight_ == mixture.noise_weight_
    plain = mixture.set_params(noise=False, checkpoint=None).fit(faithful)
    assert not hasattr(plain, "noise_weight_")


@pytest.mark.parametrize("accelerate", ["squarem", "anderson"])
def test_a_checkpoint_goes_on_with_jumps_beside_noise(
    faithful: Array, tmp_path: Path, accelerate: str
) -> None:
    options = {"accelerate": accelerate, "covariance_type": "EEV", "tol": 1e-13}
    kept = {**options, "checkpoint": tmp_path / "fit", "checkpoint_interval": 0}
    with pytest.warns(ConvergenceWarning):
        fitted(faithful, max_iter=7, **kept)
    resumed = fitted(faithful, **kept)
    whole = fitted(faithful, **options)
    assert resumed.n_iter_ == whole.n_iter_
    assert np.array_equal(resumed.means_, whole.means_)
    assert resumed.noise_weight_ == whole.noise_weight_


def test_labels_go_with_noise(faithful: Array) -> None:
    labels = np.full(len(faithful), -1)
    labels[:40] = (faithful[:40, 0] > 3).astype(int)
    settings: dict[str, Any] = {"noise": True, "random_state": 0, "tol": 1e-8, "max_iter": 2000}
    mixture = GaussianMixture(2, **settings).fit(faithful, labels=labels)
    assert mixture.means_[1, 0] > mixture.means_[0, 0]
    assert 0.1 < mixture.noise_weight_ < 0.3
    priors = np.ones((len(faithful), 3))
    priors[:, 2] = 0
    without = GaussianMixture(2, **settings).fit(faithful, row_priors=priors)
    assert without.noise_weight_ == 0


def test_a_warm_start_gains_or_loses_noise(faithful: Array) -> None:
    mixture = fitted(faithful)
    weight = mixture.noise_weight_
    plain = mixture.set_params(noise=False, warm_start=True).fit(faithful)
    assert np.isclose(plain.weights_.sum(), 1)
    assert not hasattr(plain, "noise_weight_")
    again = fitted(faithful, warm_start=True)
    again.fit(faithful)
    assert np.isclose(again.noise_weight_, weight, atol=1e-4)
    assert plain.set_params(noise=True).fit(faithful).noise_weight_ > 0


@pytest.mark.parametrize("kind", ["classification", "uncertainty", "density", "pairs"])
def test_rows_of_noise_are_drawn(faithful: Array, kind: Any) -> None:
    pytest.importorskip("matplotlib").use("agg")
    assert fitted(faithful).plot(faithful, kind=kind) is not None


@pytest.mark.parametrize("turned", [False, True])
def test_noise_is_drawn_from_its_box(turned: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 2)) * [9.0, 1.0]
    X[:200] = [3.0, 0.5] + 0.1 * rng.normal(size=(200, 2))
    if turned:
        X = X @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    mixture = GaussianMixture(1, noise=True, random_state=0).fit(X)
    corner, edges = mixture.noise_box_[0], mixture.noise_box_[1:]
    assert np.isclose(abs(np.linalg.det(edges)), np.exp(-mixture.noise_log_density_))
    inside = np.linalg.solve(edges.T, (X - corner).T).T
    assert np.allclose([inside.min(axis=0), inside.max(axis=0)], [[0, 0], [1, 1]])
    rows, labels = mixture.sample(4000, random_state=1)
    noise = labels == -1
    assert np.array_equal(np.flatnonzero(noise), np.arange(4000 - noise.sum(), 4000))
    assert abs(noise.mean() - mixture.noise_weight_) < 0.03
    places = np.linalg.solve(edges.T, (rows[noise] - corner).T)
    for along in places:
        assert kstest(along, "uniform").pvalue > 1e-3
    assert np.allclose(rows[~noise].mean(axis=0), mixture.means_[0], atol=0.05)
    gaussmix.save(mixture, tmp_path / "m.npz")
    loaded = gaussmix.load(tmp_path / "m.npz", GaussianMixture)
    assert np.array_equal(loaded.sample(50, random_state=1)[0], mixture.sample(50, 1)[0])
    selected = gaussmix.select(X, [1], "full", noise=True, random_state=0).best_model
    assert np.allclose(selected.noise_box_, mixture.noise_box_)


def test_a_volume_does_not_say_where_the_noise_is(faithful: Array) -> None:
    mixture = fitted(faithful, noise=185.5)
    with pytest.raises(ParameterError, match="noise=volume does not say"):
        mixture.sample(3)
    mixture.noise_box_ = [[1.6, 43.0], [3.5, 0.0], [0.0, 53.0]]  # type: ignore[assignment]
    rows, labels = mixture.sample(500, random_state=0)
    assert (rows[labels == -1] > [1.6, 43.0]).all()
    assert not hasattr(fitted(faithful, noise=185.5), "noise_box_")


def test_features_are_asked_of_the_components_alone(faithful: Array) -> None:
    mixture = fitted(faithful)
    weights = mixture.weights_ / mixture.weights_.sum()
    alone = GaussianMixture.from_parameters(weights, mixture.means_, mixture.covariances_)
    some = faithful[:9].copy()
    some[3, 1] = np.nan
    asked: tuple[Callable[[GaussianMixture], Any], ...] = (
        lambda model: model.marginal(0).score_samples(faithful[:, :1]),
        lambda model: model.marginal(1).cdf(faithful[:, 1]),
        lambda model: model.conditional(0, [2.0]).means_,
        lambda model: model.regress(0, faithful[:, :1]),
        lambda model: model.predict_missing(some),
        lambda model: model.hdr_level(0.9),
        lambda model: model.is_outlier(faithful, 0.9),
    )
    for ask in asked:
        assert np.allclose(ask(mixture), ask(alone), rtol=1e-12)
    assert 0.05 < mixture.is_outlier(faithful, 0.99).mean() < 0.3


def test_noise_stays_apart_in_hierarchies(faithful: Array, tmp_path: Path) -> None:
    mixture = GaussianMixture(4, noise=True, random_state=0, tol=1e-6, max_iter=500).fit(faithful)
    proba = mixture.predict_proba(faithful)
    criteria: tuple[MergeCriterion, ...] = ("entropy", "bhattacharyya")
    for criterion in criteria:
        tree = mixture.hierarchy(faithful, criterion=criterion)
        assert tree.entropies is not None
        levels = []
        for n in range(1, 5):
            labels = tree.labels(n)
            shares = np.column_stack([proba[:, :4][:, labels == c].sum(axis=1) for c in range(n)])
            shares = np.column_stack([shares, proba[:, 4]])
            assert np.allclose(tree.predict_proba(faithful, n), shares)
            best = shares.argmax(axis=1)
            assert np.array_equal(tree.predict(faithful, n), np.where(best == n, -1, best))
            levels.append(-(shares * np.log(np.maximum(shares, 1e-300))).sum())
        assert np.allclose(tree.entropies, np.array(levels) - levels[0], atol=1e-8)
    tree.predict_proba(faithful, 2, out=tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "cluster 0,cluster 1,noise"


@pytest.mark.parametrize(
    "options",
    [
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"algorithm": "incremental"},
        {"accelerate": "anderson", "eigenvalue_ratio": 1e6},
        {"accelerate": "squarem", "init_params": "kmeans", "n_init": 2},
    ],
)
def test_every_way_to_climb_ends_at_the_published_fit(
    faithful: Array, options: dict[str, Any]
) -> None:
    X = np.vstack([faithful] * 20) if "algorithm" in options else faithful  # several blocks
    mixture = fitted(X, **options)
    assert np.isclose(mixture.score(faithful) * len(faithful), -1367.950842, atol=1e-4)
    assert np.isclose(mixture.noise_weight_, 0.194316, atol=1e-4)


def test_acceleration_saves_passes_beside_noise(faithful: Array) -> None:
    plain, fast = fitted(faithful), fitted(faithful, accelerate="anderson")
    assert fast.n_iter_ < plain.n_iter_


@pytest.mark.parametrize("covariance_type", ["full", "tied", "VEI"])
def test_a_prior_and_noise_climb_the_log_posterior(
    faithful: Array, covariance_type: CovarianceType
) -> None:
    scale = np.diag([0.3, 40.0]) if covariance_type != "VEI" else np.array([0.3, 40.0])
    prior = gaussmix.Prior([3.5, 70.0], 2.0, 5.0, scale, 4.0)
    objective = objective_for(
        InMemory(faithful, None), structure_named(covariance_type), 2, prior=prior
    )
    options: dict[str, Any] = {"covariance_type": covariance_type, "prior": prior, "tol": 1e-13}
    mixture = fitted(faithful, **options)
    bounds = mixture.lower_bounds_
    assert bounds[-1] > bounds[0]
    assert (np.diff(bounds) > -1e-12).all()
    of_prior = mixture.lower_bound_ - mixture.score(faithful)
    point = parameters_of(mixture)
    assert objective.score(point) == pytest.approx(mixture.lower_bound_, abs=1e-12)
    assert of_prior != 0
    n_k = mixture.predict_proba(faithful).sum(axis=0)
    rows = n_k + np.array([3.0, 3.0, 0.0])  # a concentration of 4 counts for 3 rows; noise has none
    found = np.append(mixture.weights_, mixture.noise_weight_)
    assert np.allclose(found, rows / rows.sum(), atol=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(10):  # no mixture nearby is better
        shares = found * np.exp(1e-3 * rng.normal(size=3))
        shares /= shares.sum()
        means = mixture.means_ * (1 + 1e-3 * rng.normal(size=(2, 2)))
        spread = mixture.covariances_ * np.exp(1e-3 * rng.normal())
        other = Parameters.from_covariances(point.structure, shares[:2], means, spread)
        other = other.with_noise(float(shares[2]), mixture.noise_log_density_)
        assert objective.score(other) < mixture.lower_bound_


def test_a_relative_ridge_is_as_one_by_hand(faithful: Array) -> None:
    X = faithful / faithful.std(axis=0)
    relative, by_hand = (fitted(X, reg_covar=value) for value in ("relative", 1e-6))
    assert np.allclose(relative.covariances_, by_hand.covariances_, rtol=1e-5)
    assert np.allclose(relative.noise_weight_, by_hand.noise_weight_, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"covariance_type": "VEV"},
        {"weights": "equal"},
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"eigenvalue_ratio": 10},
        {"algorithm": "incremental"},
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_may_take_all_rows(options: dict[str, Any], dtype: Any) -> None:
    # reg_covar=1e-6 is large beside variances of 1e-16, so that every row is likelier as noise.
    X = (np.random.default_rng(0).normal(size=(50, 2)) * 1e-8).astype(dtype)
    with pytest.warns(CollapseWarning, match=r"Noise took all rows.*reg_covar=1e-06 is large"):
        mixture = GaussianMixture(1, noise=True, init_params="random", **options).fit(X)
    assert np.isclose(mixture.noise_weight_, 1)
    assert np.allclose(mixture.score_samples(X), mixture.noise_log_density_)
    assert (mixture.predict(X) == -1).all()
    assert np.isfinite(mixture.means_).all()
    assert np.isfinite(mixture.bic(X))
    relative = GaussianMixture(1, noise=True, reg_covar="relative").fit(X)
    assert relative.noise_weight_ < 0.9


@pytest.mark.parametrize("weights", [None, "equal"])
@pytest.mark.parametrize("n_rows", [2, 50])
def test_a_prior_stands_beside_noise_that_takes_all_rows(weights: Any, n_rows: int) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 2)) * 1e-8
    settings: dict[str, Any] = {"noise": True, "prior": gaussmix.Prior(), "weights": weights}
    with pytest.warns(CollapseWarning, match=r"Noise took all rows.*reg_covar=0\.001 is large"):
        mixture = GaussianMixture(1, reg_covar=1e-3, init_params="random", **settings).fit(X)
    assert np.isfinite(mixture.lower_bounds_).all()
    assert np.isfinite(mixture.covariances_).all()
    assert np.isclose(mixture.weights_.sum() + mixture.noise_weight_, 1)


def test_a_batch_after_noise_goes_on_with_the_components_alone(faithful: Array) -> None:
    mixture = fitted(faithful).set_params(noise=False)
    expected = GaussianMixture.from_parameters(
        mixture.weights_ / mixture.weights_.sum(), mixture.means_, mixture.covariances_
    )
    expected.set_params(reg_covar=mixture.reg_covar)
    expected.n_samples_seen_, expected.weight_seen_ = len(faithful), float(len(faithful))
    mixture.partial_fit(faithful)
    assert not hasattr(mixture, "noise_weight_")
    assert not hasattr(mixture, "noise_box_")
    assert np.isclose(mixture.weights_.sum(), 1)
    expected.partial_fit(faithful)
    assert np.allclose(mixture.means_, expected.means_, rtol=1e-12)


def test_what_knows_no_noise_says_so(faithful: Array) -> None:
    mixture = fitted(faithful)
    for call in (
        lambda: mixture._estimate_log_prob(faithful),
        lambda: mixture.adapt(faithful),
        lambda: mixture.statistics(faithful),
    ):
        with pytest.raises(ParameterError, match="not for a mixture with noise"):
            call()
    with pytest.raises(ParameterError, match="partial_fit does not go with noise"):
        mixture.partial_fit(faithful)
    with pytest.raises(ParameterError, match="noise must be"):
        fitted(faithful, noise=-1.0)
    flat = np.column_stack([faithful, np.ones(len(faithful))])
    with pytest.raises(ParameterError, match="feature 2 is constant"):
        fitted(flat, reg_covar=1e-6)
