"""What a fitted mixture can be asked: methods, their arguments and their errors."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from gaussmix import GaussianMixture, NotFittedError, ParameterError
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.estimators.attributes import parameters_of

pd = pytest.importorskip("pandas")

NAMES = ["age", "height", "weight"]

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def data(n_samples: int = 400) -> FloatArray:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3)) @ [[1, 0.5, 0], [0, 1, 0.3], [0, 0, 0.5]]
    return np.asarray(X + 4 * rng.integers(0, 2, size=(n_samples, 1)))


def fitted(structure: Structure = "full", **settings: Any) -> GaussianMixture:
    return GaussianMixture(2, covariance_type=structure, random_state=0, **settings).fit(data())


def named() -> GaussianMixture:
    return GaussianMixture(2, random_state=0).fit(pd.DataFrame(data(), columns=NAMES))


def on_the_line() -> GaussianMixture:
    return GaussianMixture.from_parameters([0.3, 0.7], [[0.0], [5.0]], [[[1.0]], [[4.0]]])


# Marginals and conditionals -------------------------------------------------------------------


@each_structure
def test_a_marginal_is_a_mixture_of_its_features(structure: Structure) -> None:
    model = fitted(structure, n_threads=1)
    part = model.marginal([2, 0])
    assert isinstance(part, GaussianMixture)
    assert part.get_params() == model.get_params()
    assert part.n_features_in_ == 2
    covs = parameters_of(model).full_covariances()[:, [2, 0]][:, :, [2, 0]]
    parts = zip(model.weights_, model.means_[:, [2, 0]], covs, strict=True)
    density = sum(
        w * multivariate_normal(mean, cov).pdf(data()[:, [2, 0]]) for w, mean, cov in parts
    )
    np.testing.assert_allclose(part.score_samples(data()[:, [2, 0]]), np.log(density), rtol=1e-10)
    assert part.sample(3)[0].shape == (3, 2)
    assert np.isfinite(pickle.loads(pickle.dumps(part)).bic(data()[:, :2]))


@each_structure
def test_marginal_and_conditional_make_the_joint(structure: Structure) -> None:
    model = fitted(structure)
    for x in data(5):
        parts = (
            model.marginal(1).score_samples([[x[1]]])[0],
            model.conditional(1, x[1]).score_samples([x[[0, 2]]])[0],
        )
        assert sum(parts) == pytest.approx(model.score_samples([x])[0], rel=1e-10)


def test_names_are_passed_on() -> None:
    model = named()
    part = model.marginal(["weight", "age"])
    assert part.feature_names_in_.tolist() == ["weight", "age"]
    part.score_samples(pd.DataFrame(data()[:, [2, 0]], columns=["weight", "age"]))
    rest = model.conditional("height", 1.5)
    assert rest.feature_names_in_.tolist() == ["age", "weight"]
    expected = fitted().conditional([1], [1.5])
    assert np.array_equal(rest.means_, expected.means_)
    assert not hasattr(expected, "feature_names_in_")


def test_a_conditional_of_a_near_singular_mixture_can_be_sampled() -> None:
    cov = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]])
    model = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [cov])
    rest = model.conditional(0, 2.0)
    X, _ = rest.sample(100, random_state=0)
    np.testing.assert_allclose(X, 2.0, atol=1e-6)
    np.testing.assert_allclose(model.marginal([1, 0]).sample(50, 0)[0] @ [1, -1], 0, atol=1e-6)


# Regression -----------------------------------------------------------------------------------


@each_structure
def test_regression_has_the_moments_of_conditionals(structure: Structure) -> None:
    model, X = fitted(structure), data(7)
    mean, std = model.regress([0, 2], X[:, [0, 2]], return_std=True)
    again, cov = model.regress([0, 2], X[:, [0, 2]], return_cov=True)
    assert mean.shape == std.shape == (7, 1)
    assert cov.shape == (7, 1, 1)
    assert np.array_equal(mean, again)
    np.testing.assert_allclose(cov[:, :, 0], std**2, rtol=1e-12)
    for x, expected, spread in zip(X, mean[:, 0], std[:, 0], strict=True):
        rest = model.conditional([0, 2], x[[0, 2]])
        y = np.linspace(-30, 30, 4001)
        density = np.exp(rest.score_samples(y[:, None]))
        assert expected == pytest.approx((density * y).sum() / density.sum(), rel=1e-9)
        variance = (density * (y - expected) ** 2).sum() / density.sum()
        assert spread == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_targets() -> None:
    model, X = named(), data(6)
    both = model.regress("height", X[:, [1]])
    assert both.shape == (6, 2)
    column, std = model.regress("height", X[:, [1]], targets="weight", return_std=True)
    assert column.shape == std.shape == (6,)
    np.testing.assert_allclose(column, both[:, 1], rtol=1e-13)
    turned = model.regress("height", X[:, [1]], targets=["weight", "age"])
    np.testing.assert_allclose(turned, both[:, ::-1], rtol=1e-13)
    frame = pd.DataFrame(X[:, [2, 1]], columns=["weight", "height"])
    expected = model.regress([2, 1], X[:, [2, 1]])
    assert np.array_equal(model.regress(["weight", "height"], frame), expected)
    with pytest.raises(ValueError, match=r"X must have the columns \['height', 'weight'\], as fea"):
        model.regress(["height", "weight"], frame)


def test_float32_rows_give_float32() -> None:
    model, X = fitted(), data(50)
    mean, std = model.regress(0, X[:, :1].astype(np.float32), return_std=True)
    assert mean.dtype == std.dtype == np.float32
    expected = model.regress(0, X[:, :1], return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(std, expected[1], rtol=1e-4)


# Missing values -------------------------------------------------------------------------------


def test_missing_values_are_filled_in() -> None:
    model, X = fitted(), data(60)
    gaps = X.copy()
    gaps[::2, 0] = gaps[::3, 2] = np.nan
    kept = gaps.copy()
    filled, std = model.predict_missing(gaps, return_std=True)
    np.testing.assert_array_equal(gaps, kept)
    gone = np.isnan(gaps)
    assert np.array_equal(filled[~gone], X[~gone])
    assert ((std > 0) == gone).all()
    only_first = gone.tolist().index([True, False, False])
    x = X[only_first, 1:]
    expected = model.regress([1, 2], x[None], return_std=True)
    assert (filled[only_first, 0], std[only_first, 0]) == pytest.approx(
        (expected[0][0, 0], expected[1][0, 0]), rel=1e-12
    )
    assert np.array_equal(model.predict_missing(gaps), filled)


def test_missing_values_in_all_containers() -> None:
    gaps = data(10)
    gaps[1, 2] = gaps[3, 0] = np.nan
    expected = fitted().predict_missing(gaps)
    frame = pd.DataFrame(gaps, columns=NAMES)
    assert np.array_equal(named().predict_missing(frame), expected)
    objects = np.where(np.isnan(gaps), None, gaps)  # type: ignore[call-overload]
    assert np.array_equal(fitted().predict_missing(objects.tolist()), expected)
    single = fitted().predict_missing(gaps.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(fitted().predict_missing(np.ones((2, 3), dtype=int)), np.ones((2, 3)))


# One feature ----------------------------------------------------------------------------------


def test_cdf_and_quantile_keep_shapes() -> None:
    model = on_the_line()
    assert isinstance(model.cdf(1), float)
    assert model.cdf(1.0) == pytest.approx(0.3 * norm.cdf(1) + 0.7 * norm.cdf(-2))
    assert model.cdf([[1, 2, np.inf]]).shape == (1, 3)
    assert isinstance(model.quantile(0.5), float)
    p = np.linspace(0, 1, 12).reshape(3, 4)
    np.testing.assert_allclose(model.cdf(model.quantile(p)), p, rtol=1e-12)
    assert model.cdf(np.ones(1, np.float32)).dtype == np.float64


def test_cdf_is_the_share_of_sampled_rows() -> None:
    model = fitted().marginal(2)
    X, _ = model.sample(100_000, random_state=0)
    for p in (0.01, 0.5, 0.9):
        share = (model.quantile(p) >= X[:, 0]).mean()
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(X))


# Levels and outliers --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [on_the_line, fitted])
def test_the_share_of_outliers(make: Callable[[], GaussianMixture]) -> None:
    model = make()
    X, _ = model.sample(50_000, random_state=3)
    for p in (0.5, 0.99):
        outliers = model.is_outlier(X, p)
        assert outliers.dtype == bool
        assert abs(outliers.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / len(X))
        assert np.array_equal(outliers, model.score_samples(X) < model.hdr_level(p))
    assert model.is_outlier(X.mean(axis=0, keepdims=True) + 1e3).all()


def test_levels_keep_shapes_and_seeds() -> None:
    model = fitted()
    level = model.hdr_level(0.9)
    assert isinstance(level, float)
    assert model.hdr_level(0.9) == level
    assert model.hdr_level(0.9, random_state=1) != level
    assert model.hdr_level(0.9, random_state=1, n_samples=100) != level
    levels = model.hdr_level([[0.5, 0.9]])
    assert levels.shape == (1, 2)
    assert levels[0, 1] == level
    state: Any = np.random.get_state()
    before = state[1].copy()
    model.hdr_level(0.5)
    state = np.random.get_state()
    assert np.array_equal(state[1], before)


# Distances ------------------------------------------------------------------------------------


def test_component_distances() -> None:
    model = on_the_line()
    overlap = -np.log(np.sqrt(2 * 1 * 2 / 5) * np.exp(-25 / (4 * 5)))
    assert model.component_distances()[0, 1] == pytest.approx(overlap, rel=1e-12)
    assert model.component_distances("hellinger")[1, 0] == pytest.approx(
        np.sqrt(1 - np.exp(-overlap)), rel=1e-12
    )
    kl = np.log(2) + (1 + 25) / 8 - 0.5
    assert model.component_distances("kl")[0, 1] == pytest.approx(kl, rel=1e-12)


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("marginal", (0,)),
        ("conditional", (0, 1.0)),
        ("regress", (0, [[1.0]])),
        ("predict_missing", ([[1.0, np.nan]],)),
        ("cdf", (0,)),
        ("quantile", (0.5,)),
        ("hdr_level", (0.5,)),
        ("is_outlier", ([[1.0]],)),
        ("component_distances", ()),
    ],
)
def test_unfitted(method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotFittedError):
        getattr(GaussianMixture(2), method)(*arguments)


@pytest.mark.parametrize(
    ("method", "arguments", "settings", "message"),
    [
        ("marginal", ([],), {}, "features must have at least one feature"),
        ("marginal", ("age",), {}, "features must name features of the model, got 'age'"),
        ("conditional", ([0, 1, 2], [1, 2, 3]), {}, "must leave at least one feature unknown"),
        ("conditional", ([], []), {}, "features must have at least one feature"),
        ("conditional", ([0, 1], [1.0]), {}, "values must have 2 numbers, one for each .* got 1"),
        ("conditional", ([0, 1], [1.0, np.nan]), {}, "Input values contains NaN"),
        ("conditional", (0, "tall"), {}, "values must hold numbers"),
        ("regress", (range(3), [[1.0] * 3]), {}, "must leave at least one feature unknown"),
        ("regress", ([0, 1], [[1.0]]), {}, "X has 1 features, but .* is expecting 2"),
        ("regress", (0, [[np.nan]]), {}, "Input X contains NaN"),
        ("regress", (0, [[1.0]]), {"targets": [0]}, "targets must be unknown features, but 0 is"),
        ("regress", (0, [[1.0]]), {"targets": []}, "targets must have at least one feature"),
        ("regress", (0, [[1.0]]), {"return_std": 1}, "return_std must be True or False, got 1"),
        (
            "regress",
            (0, [[1.0]]),
            {"return_std": True, "return_cov": True},
            "return_std and return_cov are both True",
        ),
        ("predict_missing", ([[np.inf, 1, 1]],), {}, "Input X contains infinity"),
        ("predict_missing", ([[np.nan, 1]],), {}, "X has 2 features, but .* is expecting 3"),
        ("predict_missing", ([np.nan, 1, 1],), {}, "Expected 2D array"),
        ("predict_missing", ([[1, 1, 1]],), {"return_std": "no"}, "return_std must be True or"),
        ("cdf", (0.0,), {}, "cdf is for mixtures of one feature, but this one has 3: take the"),
        ("quantile", (0.5,), {}, "quantile is for mixtures of one feature, but this one has 3"),
        ("hdr_level", (0.0,), {}, "p must be greater than 0 and less than 1, got 0"),
        ("hdr_level", ([0.5, 1.0],), {}, "p must be greater than 0 and less than 1, got 1"),
        ("hdr_level", (np.nan,), {}, "p must be greater than 0 and less than 1, got nan"),
        ("hdr_level", (0.5,), {"n_samples": 0}, "n_samples must be an integer of at least 1"),
        ("hdr_level", (0.5,), {"random_state": "x"}, "random_state must be None, an integer"),
        ("is_outlier", ([[1.0, 1, 1]], 99), {}, "p must be greater than 0 and less than 1, got 99"),
        ("is_outlier", ([[1.0, 1, 1]], [0.5]), {}, r"p must be one number, got \[0.5\]"),
        ("component_distances", ("euclid",), {}, "kind must be one of 'kl', 'bhattacharyya', 'hel"),
    ],
)
def test_bad_arguments(
    method: str, arguments: tuple[Any, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(fitted(), method)(*arguments, **settings)


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("cdf", np.nan, "x must not be NaN"),
        ("cdf", "zero", "x must hold numbers"),
        ("quantile", [0.5, 1.5], r"p must be from 0 to 1, got 1\.5"),
        ("quantile", -0.1, r"p must be from 0 to 1, got -0\.1"),
        ("quantile", np.nan, "p must be from 0 to 1, got nan"),
    ],
)
def test_bad_points(method: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError if "must hold" not in message else ValueError, match=message):
        getattr(on_the_line(), method)(value)


class Pinned(GaussianMixture):
    """A subclass whose constructor has arguments of its own."""

    def __init__(self, label: str, *, random_state: int | None = None) -> None:
        super().__init__(2, covariance_type="diag", random_state=random_state)
        self.label = label


def test_marginals_and_conditionals_of_a_subclass_are_plain_mixtures() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    model = Pinned("mine", random_state=0).fit(X)
    plain = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
    for found, expected in (
        (model.marginal([0, 2]), plain.marginal([0, 2])),
        (model.conditional(1, 0.5), plain.conditional(1, 0.5)),
    ):
        assert type(found) is GaussianMixture
        assert found.get_params() == expected.get_params()
        assert np.array_equal(found.means_, expected.means_)
        assert np.array_equal(found.predict(X[:, :2]), expected.predict(X[:, :2]))
