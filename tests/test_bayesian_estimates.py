"""Variational Bayes between passes: the compiled code against the reference and many digits."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias, cast

import numpy as np
import pytest

from gaussmix import BayesianGaussianMixture
from gaussmix._core import dispatch, reference_bayesian
from gaussmix._core.conjugate import Conjugate
from gaussmix._core.density import STRUCTURES, factors_shape
from gaussmix._core.interface import Bayesian
from gaussmix._core.types import FloatArray, Structure

Moments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray]

pytestmark = pytest.mark.kernels


def modules() -> list[Bayesian]:
    if find_spec("gaussmix._core.bayesian") is None:
        return [reference_bayesian]
    return [reference_bayesian, cast(Bayesian, import_module("gaussmix._core.bayesian"))]


each_module = pytest.mark.parametrize("module", modules())
each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_process = pytest.mark.parametrize("process", [False, True])


def filled(structure: Structure, k: int, d: int, process: bool) -> Conjugate:
    """Room for a posterior."""
    spread = factors_shape(structure, k, d)
    freedom = () if structure == "tied" else (k,)
    shapes = (k,), (k, d), spread, spread, (2, k) if process else (k,), (k,), freedom
    return Conjugate(structure, *(np.full(shape, 7.0) for shape in shapes))


def prior_of(structure: Structure, k: int, d: int, process: bool, rows: int) -> Conjugate:
    """A prior of any numbers, the same for all components if it has one row."""
    rng = np.random.default_rng(k)
    found = filled(structure, rows, d, process)
    matrices = structure in ("full", "tied")
    covariances = rng.uniform(0.5, 2, size=found.covariances.shape)
    if matrices:
        roots = rng.normal(size=(*found.covariances.shape[:-1], 3 * d))
        covariances = roots @ roots.swapaxes(-1, -2)
    found = replace(
        found,
        weights=np.full(k, 1 / k),
        means=rng.normal(size=(rows, d)),
        covariances=covariances,
        concentration=rng.uniform(1e-3, 2, size=(2, k) if process else k),
        mean_precision=rng.uniform(0.1, 2, size=rows),
        degrees_of_freedom=np.array(d + rng.uniform(1, 5, size=found.degrees_of_freedom.shape)),
    )
    if matrices:
        upper = np.linalg.cholesky(np.linalg.inv(covariances)[..., ::-1, ::-1])[..., ::-1, ::-1]
        return replace(found, factors=np.ascontiguousarray(upper))
    return replace(found, factors=covariances**-0.5)


def moments_of(structure: Structure, k: int, d: int, n: int = 60) -> Moments:
    """Shift, n_k, first and second moments of random rows."""
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-2, 2, size=d)
    resp = rng.dirichlet(np.ones(k), size=n)
    shift = X[:k] + 0.1
    deviations = X[:, None, :] - shift
    full = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    variances = np.einsum("kii->ki", full).copy()
    second = {"full": full, "tied": full.sum(axis=0), "diag": variances}
    second["spherical"] = variances.sum(axis=1)
    return shift, resp.sum(axis=0), np.einsum("nk,nki->ki", resp, deviations), second[structure]


def everything(module: Bayesian, prior: Conjugate, k: int, d: int) -> list[Any]:
    """All that a module makes of a prior and moments."""
    posterior = filled(prior.structure, k, d, prior.is_process)
    moments = moments_of(prior.structure, k, d)
    sound = module.maximise_bound(prior, *moments, 2.0, 0.3, posterior)
    again = replace(
        filled(prior.structure, k, d, prior.is_process),
        means=posterior.means,
        covariances=posterior.covariances,
    )
    counts = posterior.mean_precision - prior.mean_precision
    assert module.add_counts(prior, counts, again) is True
    for one, other in zip(arrays(again), arrays(posterior), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    constants = np.empty(d), np.empty((k, d)), np.empty(k)
    module.expected_constants(posterior, np.float64, *constants)
    return [sound, *arrays(posterior), *constants, module.divergence(posterior, prior)]


def arrays(given: Conjugate) -> list[FloatArray]:
    return list(vars(given).values())[1:]


@each_structure
@each_process
@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (10, 1), (2, 17), (7, 2)])
@pytest.mark.parametrize("alike", [False, True])
def test_compiled_numbers_are_those_of_the_reference(
    structure: Structure, process: bool, shape: tuple[int, int], alike: bool
) -> None:
    prior = prior_of(structure, *shape, process, 1 if alike else shape[0])
    expected, *others = (everything(module, prior, *shape) for module in modules())
    assert expected[0] is True
    for found in others:
        for one, other in zip(found, expected, strict=True):
            scale = float(np.abs(other).max())
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13 * scale)


def divergence_in_digits(posterior: Conjugate, prior: Conjugate) -> Any:
    """The divergence for one feature and sticks: normals, Betas and gammas (Penny, 2001)."""
    mp = pytest.importorskip("mpmath")
    total = mp.mpf(0)
    for k in range(len(posterior.weights)):
        a, b, a_0, b_0 = (
            mp.mpf(float(given.concentration[i, k])) for given in (posterior, prior) for i in (0, 1)
        )
        total += mp.log(mp.beta(a_0, b_0)) - mp.log(mp.beta(a, b))
        total += (a - a_0) * mp.digamma(a) + (b - b_0) * mp.digamma(b)
        total -= (a - a_0 + b - b_0) * mp.digamma(a + b)
        beta, nu, m, spread = numbers(mp, posterior, k)
        beta_0, nu_0, m_0, spread_0 = numbers(mp, prior, k)
        expected = 1 / spread  # of the precision, a gamma variable of this shape and rate
        shape, rate, shape_0, rate_0 = nu / 2, nu * spread / 2, nu_0 / 2, nu_0 * spread_0 / 2
        total += (shape - shape_0) * mp.digamma(shape) - mp.loggamma(shape) + mp.loggamma(shape_0)
        total += shape_0 * (mp.log(rate) - mp.log(rate_0)) + shape * (rate_0 - rate) / rate
        total += (mp.log(beta / beta_0) + beta_0 / beta - 1) / 2
        total += beta_0 * expected * (m - m_0) ** 2 / 2
    return total


def numbers(mp: Any, given: Conjugate, k: int) -> Any:
    each = given.mean_precision, given.degrees_of_freedom, given.means, given.covariances
    return [mp.mpf(float(array.flat[k if len(array) > 1 else 0])) for array in each]


@each_module
@pytest.mark.parametrize("n", [1.0, 1e3, 1e6])
def test_many_digits(module: Bayesian, n: float) -> None:
    mp = pytest.importorskip("mpmath")
    k = 5
    prior = replace(
        prior_of("full", k, 1, True, 1), concentration=np.stack([np.ones(k), np.full(k, 1e-3)])
    )
    posterior = filled("full", k, 1, True)
    counts = n * np.array([0.7, 1e-12, 0.2, 0.1, 1e-300])
    posterior.means[:, 0], posterior.covariances[:, 0, 0] = np.arange(k), 1 + np.arange(k)
    assert module.add_counts(prior, counts, posterior)
    with mp.workdps(50):
        expected = divergence_in_digits(posterior, prior)
        # the terms cancel: each is of the size of n log n
        size = n * np.log(n + 2)
        assert abs(module.divergence(posterior, prior) - expected) < 1e-14 * size + 1e-12
        log_scales = np.empty(k)
        module.expected_constants(posterior, np.float64, np.empty(1), np.empty((k, 1)), log_scales)
        left = mp.mpf(0)
        for j in range(k):
            a, b = (mp.mpf(float(x)) for x in posterior.concentration[:, j])
            beta, nu, _, spread = numbers(mp, posterior, j)
            want = mp.digamma(a) - mp.digamma(a + b) + left - 1 / beta / 2
            want += (mp.digamma(nu / 2) - mp.log(nu * spread / 2) - mp.log(2 * mp.pi)) / 2
            left += mp.digamma(b) - mp.digamma(a + b)
            assert abs(log_scales[j] - want) < 1e-14 * (1 + abs(want)) * 4


@each_module
@each_structure
@each_process
def test_a_prior_is_no_distance_from_itself(
    module: Bayesian, structure: Structure, process: bool
) -> None:
    prior = prior_of(structure, 4, 3, process, 4)
    assert module.divergence(prior, prior) == pytest.approx(0, abs=1e-12)


@each_module
def test_weights_are_expected_and_never_zero(module: Bayesian) -> None:
    weights = np.empty(3)
    module.expected_weights(np.array([1.0, 2.0, 5.0]), weights)
    assert np.array_equal(weights, [0.125, 0.25, 0.625])
    module.expected_weights(np.array([[1.0, 3.0, 1.0], [1.0, 1.0, 3.0]]), weights)
    parts = np.array([1 / 2, 1 / 2 * 3 / 4, 1 / 8 * 1 / 4])
    np.testing.assert_allclose(weights, parts / parts.sum(), rtol=1e-15)
    module.expected_weights(np.array([[1.0, 1.0, 1.0], [1e-320, 1.0, 1.0]]), weights)
    assert weights[0] == 1
    assert (weights > 0).all()


def overflown(moments: Moments) -> None:
    moments[3].flat[-1] = np.inf


def unknown(moments: Moments) -> None:
    moments[2].flat[0] = np.nan


def negative(moments: Moments) -> None:
    moments[3].flat[:] *= -1e9


@each_module
@each_structure
@pytest.mark.parametrize("harm", [overflown, unknown, negative], ids=lambda f: f.__name__)
def test_what_has_no_factors_is_told(
    module: Bayesian, structure: Structure, harm: Callable[[Moments], None]
) -> None:
    moments, posterior = moments_of(structure, 4, 3), filled(structure, 4, 3, False)
    harm(moments)
    prior = prior_of(structure, 4, 3, False, 1)
    assert module.maximise_bound(prior, *moments, 1.0, 0.0, posterior) is False


@each_module
def test_wrong_arrays_are_refused(module: Bayesian) -> None:
    prior, posterior = prior_of("full", 4, 3, True, 1), filled("full", 4, 3, True)
    moments = moments_of("full", 4, 3)
    for name in ("weights", "means", "covariances", "factors", "concentration", "mean_precision"):
        good = getattr(posterior, name)
        for bad, error in ((good.astype(np.float32), TypeError), (good[..., :-1], ValueError)):
            with pytest.raises(error, match=" must "):
                replace(posterior, **{name: bad})
    with pytest.raises(ValueError, match="structure must be one of"):
        replace(posterior, structure="banded")  # type: ignore[arg-type]
    for other in (
        filled("full", 3, 3, True),
        filled("full", 4, 3, False),
        filled("diag", 4, 3, True),
    ):
        with pytest.raises(ValueError, match="of a posterior must be its prior's"):
            module.divergence(other, prior)
    with pytest.raises(ValueError, match="means of a posterior must be 4, got 1"):
        module.expected_constants(prior, np.float64, np.empty(3), np.empty((4, 3)), np.empty(4))
    with pytest.raises(TypeError, match="posterior must be Conjugate, got tuple"):
        module.divergence((), prior)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prior must be Conjugate, got NoneType"):
        module.divergence(posterior, None)  # type: ignore[arg-type]
    for shape in ((3, 3), (4, 2)):
        with pytest.raises(ValueError, match=r"shift must have shape \(4, 3\)"):
            module.maximise_bound(prior, *moments_of("full", *shape), 1.0, 0.0, posterior)
    with pytest.raises(TypeError, match="n_k must have dtype float64"):
        module.maximise_bound(prior, moments[0], np.ones(4, int), *moments[2:], 1.0, 0.0, posterior)
    with pytest.raises(ValueError, match=r"counts must have shape \(4,\)"):
        module.add_counts(prior, np.ones(3), posterior)
    with pytest.raises(ValueError, match=r"concentration must have shape"):
        module.expected_weights(np.ones((3, 4)), np.empty(4))
    for shapes in ((4, (4, 3), 4), (3, (4, 4), 4), (3, (4, 3), 5)):
        constants = [np.empty(shape) for shape in shapes]
        with pytest.raises(ValueError, match="must have shape"):
            module.expected_constants(posterior, np.float64, *constants)
    posterior.means.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"read-?only|not writable"):
        module.maximise_bound(prior, *moments, 1.0, 0.0, posterior)


@pytest.mark.filterwarnings("ignore::gaussmix.ConvergenceWarning")
@each_structure
def test_fits_on_the_reference_are_those_of_compiled_code(structure: Structure) -> None:
    X = np.random.default_rng(0).normal([[0, 0]] * 60 + [[6, 1]] * 40)
    settings: dict[str, Any] = {"n_components": 4, "covariance_type": structure, "max_iter": 30}
    found = []
    for name in ("reference", dispatch.available()[-1]):
        with dispatch.using(name):
            found.append(BayesianGaussianMixture(**settings, tol=0, random_state=0).fit(X))
    assert found[0].lower_bound_ == pytest.approx(found[1].lower_bound_, rel=1e-12)
    np.testing.assert_allclose(found[0].covariances_, found[1].covariances_, rtol=1e-9)
