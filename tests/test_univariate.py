"""Distribution function and quantiles against SciPy, mpmath and each other."""

import mpmath
import numpy as np
import pytest
from scipy.stats import norm

from gaussmix._core.types import FloatArray, Structure
from gaussmix.model.parameters import Parameters
from gaussmix.queries.univariate import Line, cdf, line, log_density, quantile

MIXTURES = {
    "one": Line(np.array([1.0]), np.array([3.0]), np.array([0.25])),
    "overlapping": Line(np.array([0.3, 0.7]), np.array([0.0, 1.0]), np.array([1.0, 2.0])),
    "separated": Line(np.array([0.5, 0.5]), np.array([-1e3, 1e3]), np.array([1.0, 1.0])),
    "unequal": Line(
        np.array([1e-6, 0.6, 0.4 - 1e-6]), np.array([50.0, 0.0, 1e-3]), np.array([9.0, 1.0, 1e-4])
    ),
    "far": Line(np.array([0.2, 0.8]), np.array([1e6, 1e6 + 3]), np.array([1.0, 0.5])),
}

each_mixture = pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)


def exact_tail(mixture: Line, x: float, upper: bool) -> mpmath.mpf:
    """P(X <= x) or P(X > x), to 50 digits."""
    sign = 1 if upper else -1
    with mpmath.workdps(50):
        return mpmath.fsum(
            mpmath.mpf(w) * mpmath.erfc(sign * (mpmath.mpf(x) - m) / s / mpmath.sqrt(2)) / 2
            for w, m, s in zip(*(part.tolist() for part in mixture), strict=True)
        )


def test_one_component_is_the_normal_distribution() -> None:
    x = np.linspace(-1, 7, 33).reshape(3, 11)
    np.testing.assert_allclose(cdf(MIXTURES["one"], x), norm(3, 0.25).cdf(x), rtol=1e-12)
    p = np.concatenate([10.0 ** -np.arange(1, 300, 7), 1 - 10.0 ** -np.arange(1, 15)])
    np.testing.assert_allclose(quantile(MIXTURES["one"], p), norm(3, 0.25).ppf(p), rtol=1e-10)


@each_mixture
def test_the_lower_tail_has_ten_digits(mixture: Line) -> None:
    for p in (1e-300, 1e-100, 1e-20, 1e-5, 0.01, 0.3):
        x = float(quantile(mixture, np.array(p)))
        step = 1e-10 * p / max(np.exp(log_density(mixture, np.array([x]))[0]), 1e-320)
        if step > np.spacing(abs(x)):  # else no float is nearer
            assert float(exact_tail(mixture, x, upper=False) / p) == pytest.approx(1, abs=1e-10)
        low, high = (
            exact_tail(mixture, x + sign * 8 * np.spacing(abs(x)), False) for sign in (-1, 1)
        )
        assert low <= p * (1 + 1e-10)
        assert high >= p * (1 - 1e-10)
        assert float(cdf(mixture, np.array(x)) / exact_tail(mixture, x, False)) == pytest.approx(
            1, abs=1e-10
        )


@each_mixture
def test_the_upper_tail_has_ten_digits(mixture: Line) -> None:
    for q in (2.0**-53, 2.0**-40, 2.0**-20, 0.25):
        x = float(quantile(mixture, np.array(1 - q)))
        low, high = (
            exact_tail(mixture, x + sign * 8 * np.spacing(abs(x)), True) for sign in (-1, 1)
        )
        assert low >= q * (1 - 1e-10)
        assert high <= q * (1 + 1e-10)


@each_mixture
def test_quantiles_rise_and_undo_the_cdf(mixture: Line) -> None:
    p = np.sort(np.random.default_rng(0).uniform(size=2000))
    x = quantile(mixture, p)
    assert (np.diff(x) >= 0).all()
    resolution = np.exp(log_density(mixture, x)) * np.spacing(abs(x)) * 8
    assert (abs(cdf(mixture, x) - p) <= 1e-12 + resolution).all()


def test_the_ends() -> None:
    mixture = MIXTURES["overlapping"]
    assert quantile(mixture, np.array([0.0, 1.0])).tolist() == [-np.inf, np.inf]
    assert cdf(mixture, np.array([-np.inf, np.inf])).tolist() == [0, 1]
    assert np.isfinite(quantile(mixture, np.array([5e-324, 1 - 2.0**-53]))).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sigma", [1e-140, 1e-8, 1.0])
def test_the_ends_of_floating_point(sigma: float) -> None:
    mixture = Line(np.array([0.5, 0.5]), np.array([0.0, sigma]), np.array([sigma, sigma]))
    ends = np.array([-np.inf, -1.7e308, 1.7e308, np.inf])
    assert cdf(mixture, ends).tolist() == [0, 0, 1, 1]


def test_between_groups_the_median_is_any_point_of_the_gap() -> None:
    median = float(quantile(MIXTURES["separated"], np.array(0.5)))
    assert -1e3 + 8 < median < 1e3 - 8


def test_symmetric_mixtures_have_symmetric_quantiles() -> None:
    mixture = Line(np.array([0.5, 0.5]), np.array([-2.0, 2.0]), np.array([1.0, 1.0]))
    p = np.array([0.125, 0.25, 0.375])
    np.testing.assert_allclose(quantile(mixture, 1 - p), -quantile(mixture, p), rtol=1e-13)


def test_many_points_are_taken_in_blocks() -> None:
    mixture = MIXTURES["overlapping"]
    x = np.linspace(-9, 9, 200_001)
    expected = 0.3 * norm(0, 1).cdf(x) + 0.7 * norm(1, 2).cdf(x)
    np.testing.assert_allclose(cdf(mixture, x), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("structure", "covariances", "sigmas"),
    [
        ("full", np.array([[[4.0]], [[1.0]], [[9.0]]]), [2, 3]),
        ("tied", np.array([[4.0]]), [2, 2]),
        ("diag", np.array([[4.0], [1.0], [9.0]]), [2, 3]),
        ("spherical", np.array([4.0, 1.0, 9.0]), [2, 3]),
    ],
)
def test_a_line_leaves_out_components_of_weight_zero(
    structure: Structure, covariances: FloatArray, sigmas: list[float]
) -> None:
    means = np.array([[1.0], [2.0], [3.0]])
    weights = np.array([0.25, 0.0, 0.75])
    found = line(Parameters.from_covariances(structure, weights, means, covariances))
    assert found.weights.tolist() == [0.25, 0.75]
    assert found.means.tolist() == [1, 3]
    assert found.sigmas.tolist() == sigmas
