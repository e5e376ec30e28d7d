"""The estimator: published fits, scikit-learn's numbers, and data that breaks other libraries."""

import pickle
import warnings
from copy import copy, deepcopy
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gaussmix import (
    BayesianGaussianMixture,
    CollapseWarning,
    ConvergenceWarning,
    GaussianMixture,
    NotFittedError,
    ParameterError,
    load,
    save,
)
from gaussmix._core.density import STRUCTURES, factors_shape
from gaussmix._core.types import FloatArray, InitMethod, Rows, Structure
from gaussmix.estimators.attributes import SPREADS, parameters_of

DATA = Path(__file__).parent / "data"
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
METHODS = ("kmeans", "k-means++", "random", "random_from_data")

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_method = pytest.mark.parametrize("method", METHODS)
unconverged = pytest.mark.filterwarnings("ignore:Best performing:UserWarning")
collapsing = pytest.mark.filterwarnings("ignore:.*collapsed:UserWarning")


def read(name: str) -> FloatArray:
    return np.loadtxt(DATA / name, delimiter=",", skiprows=1)


def overlapping(n_samples: int = 300, seed: int = 0) -> FloatArray:
    """Three groups that overlap, with correlated features: (N, 3)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3)) @ [[1, 0.5, 0], [0, 1, 0.3], [0, 0, 0.5]]
    return np.asarray(X + 3 * rng.integers(0, 3, size=(n_samples, 1)))


def initial(structure: Structure, X: Rows) -> dict[str, Any]:
    """Constructor arguments that leave nothing to a start."""
    shape = factors_shape(structure, 3, X.shape[1])
    unit = np.eye(X.shape[1]) if structure in ("full", "tied") else 1.0
    return {
        "covariance_type": structure,
        "weights_init": [0.2, 0.3, 0.5],
        "means_init": X[:3].astype(float),
        "precisions_init": np.broadcast_to(unit, shape) / X.var(axis=0).mean(),
    }


def fitted(structure: Structure = "full", **changes: Any) -> GaussianMixture:
    settings: dict[str, Any] = {"covariance_type": structure, "random_state": 0}
    return GaussianMixture(3, **(settings | changes)).fit(overlapping())


def error(got: Any, expected: Any) -> float:
    """Largest difference relative to the largest number."""
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(got) - expected).max() / np.abs(expected).max())


def is_sound(model: GaussianMixture, X: Any) -> bool:
    arrays = [getattr(model, name) for name in FITTED] + [model.predict_proba(X)]
    return np.isfinite(model.lower_bound_) and all(np.isfinite(a).all() for a in arrays)


# Published fits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "structure", "n_components", "published"),
    [
        ("iris.csv", "full", 2, -214.3547),  # mclust: Scrucca et al., R Journal 8(1), 2016
        ("iris.csv", "full", 3, -180.1855),
        ("iris.csv", "tied", 3, -256.3540),
        ("old_faithful.csv", "tied", 3, -1126.3159),
        ("old_faithful.csv", "full", 2, -1130.2640),
    ],
)
def test_published_fits_are_reached(
    name: str, structure: Structure, n_components: int, published: float
) -> None:
    X = read(name)
    model = GaussianMixture(
        n_components,
        covariance_type=structure,
        reg_covar=0,
        tol=1e-10,
        max_iter=3000,
        n_init=3,
        random_state=0,
    ).fit(X)
    assert model.converged_
    assert model.score(X) * len(X) == pytest.approx(published, abs=6e-5)


# scikit-learn's numbers -----------------------------------------------------------------------


@each_structure
@pytest.mark.parametrize("n_iter", [1, 2, 25])
@unconverged
def test_iterations_are_those_of_scikit_learn(structure: Structure, n_iter: int) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    X = overlapping()
    arguments = initial(structure, X) | {"tol": 0, "max_iter": n_iter}
    ours = GaussianMixture(3, **arguments).fit(X)
    theirs = mixture.GaussianMixture(3, **arguments).fit(X)
    for name in (*FITTED, "lower_bounds_"):
        assert error(getattr(ours, name), getattr(theirs, name)) < 1e-10, name
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    assert ours.lower_bound_ == pytest.approx(theirs.score(X), rel=1e-12)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-12)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-12)
    other = overlapping(seed=1)
    assert error(ours.score_samples(other), theirs.score_samples(other)) < 1e-10
    assert error(ours.predict_proba(other), theirs.predict_proba(other)) < 1e-9
    assert np.array_equal(ours.predict(other), theirs.predict(other))


@each_structure
def test_convergence_is_that_of_scikit_learn(structure: Structure) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    X = overlapping()
    ours = GaussianMixture(3, **initial(structure, X)).fit(X)
    theirs = mixture.GaussianMixture(3, **initial(structure, X)).fit(X)
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    assert ours.lower_bounds_[-1] == pytest.approx(theirs.lower_bound_, rel=1e-12)


def test_arguments_are_those_of_scikit_learn() -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    theirs = mixture.GaussianMixture().get_params()
    own = {
        "accelerate": None,
        "algorithm": "em",
        "checkpoint": None,
        "checkpoint_interval": 30.0,
        "eigenvalue_ratio": None,
        "half_life": None,
        "learning_decay": 0.75,
        "missing_values": "error",
        "mixed_precision": False,
        "n_threads": None,
        "prior": None,
        "fixed": None,
        "noise": False,
        "weights": None,
    }
    assert GaussianMixture().get_params() == theirs | own | {"init_params": "auto"}


# Invariances ----------------------------------------------------------------------------------

seeds = st.integers(0, 2**16)
structures = st.sampled_from(STRUCTURES)
few = settings(max_examples=15, deadline=None)


def run(X: Rows, structure: Structure, **changes: Any) -> GaussianMixture:
    """Ten iterations of EM from a start that is part of the arguments."""
    weight = changes.pop("sample_weight", None)
    arguments = {"tol": 0, "max_iter": 10, "reg_covar": 1e-3, **initial(structure, X), **changes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(3, **arguments).fit(X, sample_weight=weight)


@few
@given(seeds, structures)
def test_the_order_of_rows_does_not_matter(seed: int, structure: Structure) -> None:
    X = overlapping(60, seed)
    shuffled = np.random.default_rng(seed).permutation(X)
    one, other = run(X, structure), run(shuffled, structure, **initial(structure, X))
    for name in FITTED:
        assert error(getattr(other, name), getattr(one, name)) < 1e-9


@few
@given(seeds, structures, st.floats(-1e5, 1e5))
def test_shifted_data_gives_a_shifted_fit(seed: int, structure: Structure, shift: float) -> None:
    X = overlapping(60, seed)
    one, other = run(X, structure), run(X + shift, structure)
    assert error(other.means_ - shift, one.means_) < 1e-7
    assert error(other.covariances_, one.covariances_) < 1e-7
    assert error(other.weights_, one.weights_) < 1e-7


@few
@given(seeds, structures, st.floats(1e-8, 1e8))
def test_scaled_data_gives_a_scaled_fit(seed: int, structure: Structure, scale: float) -> None:
    X = overlapping(60, seed)
    one = run(X, structure)
    other = run(X * scale, structure, reg_covar=1e-3 * scale**2)
    assert error(other.means_ / scale, one.means_) < 1e-9
    assert error(other.covariances_ / scale**2, one.covariances_) < 1e-9
    assert other.lower_bound_ == pytest.approx(one.lower_bound_ - 3 * np.log(scale), rel=1e-9)


@few
@given(seeds, structures)
def test_weights_are_repeats(seed: int, structure: Structure) -> None:
    X = overlapping(60, seed)
    counts = np.random.default_rng(seed).integers(0, 4, size=60)
    repeated = np.repeat(X, counts, axis=0)
    one = run(X, structure, sample_weight=counts)
    other = run(repeated, structure, **initial(structure, X))
    for name in (*FITTED, "lower_bound_"):
        assert error(getattr(one, name), getattr(other, name)) < 1e-9
    for method in ("score", "aic", "bic"):
        weighted = getattr(one, method)(X, sample_weight=counts)
        assert weighted == pytest.approx(getattr(other, method)(repeated), rel=1e-9)


@few
@given(seeds, structures, st.sampled_from(METHODS))
def test_the_likelihood_never_falls(seed: int, structure: Structure, method: InitMethod) -> None:
    X = overlapping(80, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", CollapseWarning)
        try:
            model = GaussianMixture(
                3,
                covariance_type=structure,
                reg_covar=0,
                init_params=method,
                tol=0,
                max_iter=30,
                random_state=seed,
            ).fit(X)
        except CollapseWarning:
            return  # a regularised component is allowed to cost likelihood
    if len(X) * model.weights_.min() < 2 * (X.shape[1] + 1):
        return  # so few rows may have collapsed on the way, such as those of seed 11221
    assert np.diff([*model.lower_bounds_, model.lower_bound_]).min() > -1e-9


# Survival -------------------------------------------------------------------------------------

NORMAL = np.random.default_rng(3).normal(size=(120, 3))
HOSTILE = {
    "identical rows": np.full((30, 3), 0.1),
    "zeros": np.zeros((30, 3)),
    "two distinct rows": np.repeat([[0.0, 1, 2], [3, 4, 5]], 15, axis=0),
    "duplicates": np.repeat(NORMAL[:12], 10, axis=0),
    "constant feature": np.column_stack([NORMAL[:, :2], np.full(120, 0.3)]),
    "combined features": np.column_stack([NORMAL[:, :2], NORMAL[:, :2] @ [2, -1]]),
    "scale 1e-8": NORMAL * 1e-8,
    "scale 1e8": NORMAL * 1e8,
    "mixed scales": NORMAL * [1e-8, 1, 1e8],
    "far outlier": np.vstack([NORMAL, [1e9, 0, 0]]),
    "as many components as rows": NORMAL[:4],
    "float32": NORMAL.astype(np.float32) + np.float32(1000),
}


@each_structure
@each_method
@pytest.mark.parametrize("name", HOSTILE)
@unconverged
@collapsing
def test_hostile_data_survives(name: str, method: InitMethod, structure: Structure) -> None:
    X = HOSTILE[name]
    for reg_covar in (0.0, 1e-6):
        model = GaussianMixture(
            4, covariance_type=structure, init_params=method, reg_covar=reg_covar, random_state=1
        ).fit(X)
        assert is_sound(model, X)
        assert model.weights_.sum() == pytest.approx(1)


@each_structure
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
@collapsing
def test_one_row(structure: Structure, reg_covar: float) -> None:
    X = np.array([[1.0, 2.0]])
    model = GaussianMixture(covariance_type=structure, reg_covar=reg_covar).fit(X)
    assert is_sound(model, X)
    assert np.array_equal(model.means_, X)


@each_structure
def test_data_a_million_sigmas_away_loses_nothing(structure: Structure) -> None:
    X = np.round(overlapping(), 6)
    near, far = run(X, structure), run(X + 2.0**20, structure)
    assert error(far.covariances_, near.covariances_) < 1e-8
    assert error(far.means_ - 2.0**20, near.means_) < 1e-8


@each_structure
def test_float32_data_gives_the_parameters_of_float64(structure: Structure) -> None:
    X = overlapping().astype(np.float32) + np.float32(100)
    one, other = run(X, structure), run(X.astype(np.float64), structure)
    for name in FITTED:
        assert getattr(one, name).dtype == np.float64
        assert error(getattr(one, name), getattr(other, name)) < 1e-4


def test_a_collapsed_component_is_named_once() -> None:
    X = np.vstack([np.full((20, 2), 50.0), NORMAL[:, :2]])
    with pytest.warns(CollapseWarning) as caught:
        model = GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    (message,) = [str(w.message) for w in caught if issubclass(w.category, CollapseWarning)]
    culprit = model.predict(X[:1])[0]
    assert message.startswith(f"Component {culprit} collapsed: ")
    assert "Reduce n_components=2, increase reg_covar=0, or" in message


def test_many_collapsed_components_are_counted() -> None:
    with pytest.warns(CollapseWarning, match="Components 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"):
        GaussianMixture(12, reg_covar=0, random_state=0).fit(NORMAL[:12])


@pytest.mark.filterwarnings("error")
def test_sound_data_is_not_warned_about() -> None:
    assert fitted().converged_


@collapsing
def test_a_run_that_collapsed_is_kept_only_if_all_did() -> None:
    X = read("iris.csv")
    arguments: dict[str, Any] = {"reg_covar": 0, "tol": 1e-6, "max_iter": 2000}
    arguments["init_params"] = "random_from_data"
    collapsed = GaussianMixture(3, random_state=2, **arguments).fit(X)
    assert collapsed.score(X) * 150 > -100  # a component on few rows: the likelihood has no bound
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        kept = GaussianMixture(3, random_state=2, n_init=8, **arguments).fit(X)
    assert kept.score(X) * 150 == pytest.approx(-180.1855, abs=1e-3)


# The interface --------------------------------------------------------------------------------


@each_structure
def test_what_a_fit_leaves_behind(structure: Structure) -> None:
    model = fitted(structure)
    X = overlapping()
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-14)
    assert model.lower_bound_ >= model.lower_bounds_[-1]
    assert len(model.lower_bounds_) == model.n_iter_
    assert model.n_features_in_ == 3
    covariances = parameters_of(model).full_covariances()
    log_prob = np.stack(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(X)
            for w, m, c in zip(model.weights_, model.means_, covariances, strict=True)
        ],
        axis=1,
    )
    expected = logsumexp(log_prob, axis=1)
    assert np.allclose(model.score_samples(X), expected, rtol=1e-10)
    assert np.allclose(model.predict_proba(X), np.exp(log_prob - expected[:, None]), atol=1e-12)
    assert np.array_equal(model.predict(X), log_prob.argmax(axis=1))
    weight = np.arange(300.0)
    average = np.average(expected, weights=weight)
    assert model.score(X, sample_weight=weight) == pytest.approx(average, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@unconverged
def test_a_score_is_the_next_lower_bound_to_the_bit(weighted: bool) -> None:
    X = overlapping()
    weight = np.linspace(0, 1, 300) if weighted else None
    model = GaussianMixture(3, max_iter=2, random_state=0, warm_start=True)
    score = model.fit(X, sample_weight=weight).score(X, sample_weight=weight)
    assert score == model.lower_bound_
    assert model.fit(X, sample_weight=weight).lower_bounds_[0] == score


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_of_predictions(dtype: type[np.floating]) -> None:
    model, X = fitted(), overlapping().astype(dtype)
    assert model.predict(X).dtype == np.int32
    assert model.predict_proba(X).dtype == dtype
    assert model.score_samples(X).dtype == dtype


@each_method
@unconverged
def test_fit_predict_is_fit_and_predict(method: str) -> None:
    X, weight = overlapping(), np.linspace(0, 1, 300)
    arguments: dict[str, Any] = {"init_params": method, "max_iter": 2, "random_state": 3}
    one, other = GaussianMixture(3, **arguments), GaussianMixture(3, **arguments)
    labels = one.fit_predict(X, sample_weight=weight)
    assert np.array_equal(labels, other.fit(X, sample_weight=weight).predict(X))
    assert np.array_equal(one.means_, other.means_)


def test_more_starts_are_not_worse() -> None:
    X = overlapping()
    arguments: dict[str, Any] = {"init_params": "random", "max_iter": 50, "tol": 1e-2}
    bounds = [
        GaussianMixture(3, n_init=n_init, random_state=0, **arguments).fit(X).lower_bound_
        for n_init in (1, 5)
    ]
    assert bounds[1] > bounds[0]


def test_no_iterations_keep_the_start() -> None:
    X = overlapping()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = GaussianMixture(3, max_iter=0, **initial("full", X)).fit(X)
    assert np.array_equal(model.means_, X[:3])
    assert (model.n_iter_, model.converged_, model.lower_bounds_) == (0, False, [])
    assert model.lower_bound_ == pytest.approx(model.score(X))


def test_a_fit_that_is_cut_short_says_how_to_go_on() -> None:
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 iterations .* tol=1e-09\.$"):
        fitted(max_iter=2, tol=1e-9, init_params="random")


@unconverged
def test_warm_start_continues() -> None:
    X = overlapping()
    whole = GaussianMixture(3, tol=0, max_iter=12, **initial("full", X)).fit(X)
    parts = GaussianMixture(3, tol=0, max_iter=6, warm_start=True, **initial("full", X))
    parts.fit(X).fit(X)
    for name in FITTED:
        assert error(getattr(parts, name), getattr(whole, name)) < 1e-12


def test_warm_start_compares_with_the_iteration_before() -> None:
    X = overlapping()
    arguments = initial("full", X) | {"tol": 1e-5, "warm_start": True}
    model = GaussianMixture(3, max_iter=2, **arguments)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    with pytest.warns(ConvergenceWarning):  # the data are the same, and yet it goes on
        model.fit(X)
    whole = GaussianMixture(3, max_iter=100, **arguments).fit(X)
    model.set_params(max_iter=100).fit(X)
    assert model.n_iter_ + 4 == whole.n_iter_
    assert model.fit(X).n_iter_ == 1


def test_warm_start_needs_parameters_that_fit() -> None:
    model = fitted(warm_start=True)
    with pytest.raises(ValueError, match=r"warm_start cannot continue from means_ of shape \(3, 3"):
        model.set_params(n_components=2).fit(overlapping())
    model.set_params(n_components=3, covariance_type="diag")
    with pytest.raises(ValueError, match=r"covariance_type is 'diag', .*='full': set it back"):
        model.fit(overlapping())
    model.set_params(warm_start=False).fit(overlapping())
    assert model.covariances_.shape == (3, 3)


@pytest.mark.parametrize(("fit", "then"), [("tied", "diag"), ("diag", "tied"), ("full", "round")])
def test_another_covariance_type_needs_another_fit(fit: Structure, then: str) -> None:
    X = overlapping()
    model = fitted(fit)  # with as many components as features, tied and diag have one shape
    expected = model.score(X)
    model.set_params(covariance_type=then)
    for call in (model.predict, model.score, model.bic, lambda _: model.sample()):
        with pytest.raises(ValueError, match=f"covariance_type is '{then}', but .*='{fit}'"):
            call(X)
    assert pickle.loads(pickle.dumps(model)).set_params(covariance_type=fit).score(X) == expected


def test_a_fit_that_fails_leaves_the_model_as_it_was() -> None:
    X = overlapping()
    model = fitted()
    before = model.score(X)
    failures: list[tuple[Any, Any, dict[str, Any]]] = [
        (X[:2, :2], None, {}),
        (X[:, :2], -1, {}),
        (X[:, :2] * 1e200, None, {}),
        (X[:, :2], None, {"weights_init": [1.0]}),
        (X[:, :2], None, {"warm_start": True, "weights_init": None}),
    ]
    for other, weight, changes in failures:
        with pytest.raises(ValueError, match=r"n_samples = 2|negative|overflow|shape"):
            model.set_params(**changes).fit(other, sample_weight=weight)
        assert model.score(X) == before


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_any_kind_of_number_is_a_number(kind: Any) -> None:
    X = overlapping()
    plain = fitted(n_init=2, reg_covar=0.5, tol=0.25, max_iter=120)
    other = GaussianMixture(
        kind(3),
        n_init=kind(2),
        reg_covar=Fraction(1, 2),  # type: ignore[arg-type]
        tol=Fraction(1, 4),  # type: ignore[arg-type]
        max_iter=kind(120),
        verbose=np.False_,  # type: ignore[arg-type]
        verbose_interval=kind(3),
        n_threads=kind(1),
        random_state=0,
    ).fit(X)
    assert np.array_equal(other.means_, plain.means_)
    with pytest.warns(ConvergenceWarning, match=r"tol=1e-09"):
        other.set_params(tol=Fraction(1, 10**9), max_iter=2).fit(X)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("init_params", METHODS)
@pytest.mark.parametrize(
    ("scale", "means_init", "message"),
    [
        (1e200, None, r"means_init with .* 1e150 .* largest mean is .*_weight 1$"),
        (
            1.0,
            np.full((2, 3), 1e300),
            r"float64 at row 0 of X .*, and the nearest .* 1e\+300: ",
        ),
    ],
    ids=["X", "means_init"],
)
def test_squares_that_overflow_are_explained(
    scale: float, means_init: Any, message: str, init_params: InitMethod
) -> None:
    model = GaussianMixture(2, init_params=init_params, means_init=means_init, random_state=0)
    with pytest.raises(ValueError, match=message):
        model.fit(scale * overlapping())


@pytest.mark.usefixtures("compiled_isa")  # the reference adds up in float64
def test_squares_that_overflow_in_float32_are_explained() -> None:
    X = (1e19 * overlapping()).astype(np.float32)
    with pytest.raises(ValueError, match=r"overflow: .*1e18 if X is float32"):
        GaussianMixture(2, random_state=0).fit(X)


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(verbose=1, verbose_interval=2, n_init=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" of ")[0] for line in lines[:2]] == ["start: the best"] * 2
    assert lines[2].startswith("Start by auto\t time lapse ")
    assert lines[3:5] == ["Initialization 0", "  Iteration 2"]
    assert lines[-1] == "Initialization converged."
    assert "Initialization 1" in lines


@pytest.mark.parametrize("method", METHODS)
def test_same_bits_for_any_number_of_threads(method: str) -> None:
    X = overlapping(20_000)
    arguments: dict[str, Any] = {"init_params": method, "random_state": 0, "tol": 0, "max_iter": 3}
    with pytest.warns(ConvergenceWarning):
        one, *others = (
            GaussianMixture(3, n_threads=count, **arguments).fit(X) for count in (1, 2, 3)
        )
    for other in others:
        for name in (*FITTED, "lower_bound_"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer of at least 1, got 0"),
        ({"covariance_type": "round"}, "covariance_type must be one of .* got 'round'"),
        ({"tol": -1e-3}, "tol must be .* got -0.001"),
        ({"reg_covar": -1.0}, "reg_covar must be .* got -1.0"),
        ({"max_iter": -1}, "max_iter must be .* got -1"),
        ({"n_init": 0}, "n_init must be .* got 0"),
        ({"init_params": "best"}, "init_params must be one of .* got 'best'"),
        ({"verbose_interval": 0}, "verbose_interval must be .* got 0"),
        ({"n_threads": 0}, "n_threads must be .* got 0"),
        ({"random_state": "x"}, "random_state must be .* got 'x'"),
        ({"warm_start": "no"}, "warm_start must be True or False, got 'no'"),
        ({"verbose": "abc"}, "verbose must be an integer of at least 0, got 'abc'"),
        ({"verbose": None}, "verbose must be an integer of at least 0, got None"),
        ({"verbose": np.nan}, "verbose must be an integer of at least 0, got nan"),
        ({"weights_init": [0.5, 0.6]}, "'weights' should be normalized.*: see weights_init"),
        (
            {"weights_init": ["0.5", "0.5"]},
            "weights must hold numbers, got dtype <U3.*: see weights_init",
        ),
        ({"weights_init": {0.5}}, "weights must be a table of numbers, got set"),
        ({"means_init": [[0.0], [1.0]]}, r"'means' should have the shape of \(2, 3\)"),
        ({"means_init": [[0.0, 1, 2], [1]]}, "means must be .* rows have equal lengths"),
        ({"means_init": np.ones((2, 3), complex)}, "Complex data not supported: means"),
        ({"precisions_init": [1.0, 2.0]}, "'full precision' should have the shape of"),
        ({"n_components": 301}, "Expected n_samples >= n_components but got n_components = 301, "),
        ({"n_components": 2**80}, "Expected n_samples >= n_components but got n_components = 120"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**({"n_components": 2} | changes)).fit(overlapping())


@pytest.mark.parametrize(
    "call", ["predict", "predict_proba", "score", "score_samples", "aic", "bic"]
)
def test_not_fitted(call: str) -> None:
    with pytest.raises(NotFittedError, match="GaussianMixture instance is not fitted yet"):
        getattr(GaussianMixture(), call)(overlapping())


def test_sampling_before_fitting() -> None:
    with pytest.raises(NotFittedError):
        GaussianMixture().sample()


def test_the_arguments_are_left_alone() -> None:
    X = overlapping()
    weights = [0.2, 0.3, 0.5]
    model = GaussianMixture(3, weights_init=weights).fit(X)
    assert model.weights_init is weights


# Models that were not fitted ------------------------------------------------------------------


@each_structure
def test_a_model_from_parameters_is_that_model(structure: Structure) -> None:
    X, model = overlapping(), fitted(structure)
    built = GaussianMixture.from_parameters(
        model.weights_.tolist(), model.means_, model.covariances_, structure, tol=0.5
    )
    assert (built.n_components, built.covariance_type, built.tol) == (3, structure, 0.5)
    assert built.n_features_in_ == 3
    for name in FITTED:
        assert error(getattr(built, name), getattr(model, name)) < 1e-10
    assert np.array_equal(built.predict(X), model.predict(X))
    assert built.sample(5)[0].shape == (5, 3)


def test_a_model_from_parameters_can_be_fitted_from_there() -> None:
    X, model = overlapping(), fitted(tol=1e-8, max_iter=500)
    built = GaussianMixture.from_parameters(
        model.weights_, model.means_, model.covariances_, warm_start=True
    )
    assert built.fit(X).n_iter_ == 2  # nothing to compare the first iteration with
    assert built.lower_bound_ >= model.lower_bound_ - 1e-12


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "structure", "message"),
    [
        ([1.0], [0.0, 1.0], [[[1.0]]], "full", r"shape of \(n_components, n_features\), but got"),
        ([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0], "spherical", "should be normalized"),
        ([1.0], [[0.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]], "tied", "'tied covariance' should be symm"),
        ([1.0], [[0.0, 1.0]], [[1.0, 0.0]], "diag", "'diag covariance' should be positive"),
        ([1.0], [[0.0, 1.0]], [[1.0]], "diag", r"'diag covariance' should have the shape of \(1"),
        ([1.0], [[0.0]], [1.0], "round", "covariance_type must be one of"),
        ([1.0], [["a"]], [1.0], "spherical", "means must hold numbers, got dtype <U1"),
        ([1.0], [[0.0], [1.0, 2.0]], [1.0], "spherical", "means must be a table .* equal lengths"),
        ([1j], [[0.0]], [1.0], "spherical", "Complex data not supported: weights must be real"),
        ([1.0], [[0.0]], ["1"], "diag", "diag covariance must hold numbers"),
        ([1.0], [[0.0]], [1e-320], "spherical", "an inverse within float64, but a pivot is 9.9"),
        ([1.0], [[0.0, 0]], [[1.0, 0], [0, 1e-320]], "tied", "an inverse within float64, but a"),
    ],
)
def test_bad_parameters(
    weights: Any, means: Any, covariances: Any, structure: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(weights, means, covariances, structure)


@each_structure
def test_attributes_set_by_hand(structure: Structure) -> None:
    X, model = overlapping(), fitted(structure)
    by_hand = GaussianMixture(3, covariance_type=structure)
    by_hand.weights_, by_hand.means_ = model.weights_, model.means_
    by_hand.covariances_ = model.covariances_
    assert np.allclose(by_hand.score_samples(X), model.score_samples(X), rtol=1e-12)
    del by_hand.covariances_
    by_hand.precisions_cholesky_ = model.precisions_cholesky_
    assert np.allclose(by_hand.score_samples(X), model.score_samples(X), rtol=1e-12)


@pytest.mark.filterwarnings("error")
@each_structure
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("means_", lambda v: v * np.nan, "'means_' should be finite"),
        ("means_", lambda v: v[:, :2], r"'means_' should have the shape of \(3, 3\), but got"),
        ("means_", lambda v: v[0], r"'means_' should have the shape of \(n_components, n_feat"),
        ("weights_", lambda v: v[:2], r"'weights_' should have the shape of \(3,\), but got"),
        ("weights_", lambda v: [-0.5, 0.5, 1], r"'weights_' should be in the range \[0, 1\]"),
        ("weights_", lambda v: 0 * v, "'weights_' should be normalized, but got sum"),
        ("covariances_", lambda v: v[:-1], "'covariances_' should have the shape of"),
        ("precisions_cholesky_", lambda v: v * np.nan, "'precisions_cholesky_' should be finite"),
        ("precisions_cholesky_", lambda v: v[:-1], "'precisions_cholesky_' should have the shape"),
        ("precisions_cholesky_", lambda v: 0 * v, "precisions_cholesky_ must have no zero pivot"),
        ("precisions_cholesky_", lambda v: "no", "precisions_cholesky_ must hold numbers"),
    ],
)
def test_wrong_attributes_set_by_hand(
    name: str, change: Any, message: str, structure: Structure
) -> None:
    X, model = overlapping(), fitted(structure)
    setattr(model, name, change(getattr(model, name)))
    for call in (model.predict_proba, model.score, lambda _: model.sample()):
        with pytest.raises(ValueError, match=message):
            call(X)


@pytest.mark.parametrize("names", [["means_"], ["weights_"], ["weights_", "means_"]])
def test_a_part_of_the_parameters_is_no_model(names: list[str]) -> None:
    source, model = fitted(), GaussianMixture(3)
    for name in names:
        setattr(model, name, getattr(source, name))
    for call in (model.predict, model.score, lambda _: model.sample()):
        with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted"):
            call(overlapping())


@each_structure
def test_lists_and_negative_factors_set_by_hand(structure: Structure) -> None:
    X, model = overlapping(), fitted(structure)
    expected = model.score_samples(X)
    for name in FITTED:
        setattr(model, name, getattr(model, name).tolist())
    assert np.array_equal(model.score_samples(X), expected)
    model.precisions_cholesky_ = -np.array(model.precisions_cholesky_)  # U U' is the same
    assert np.allclose(model.score_samples(X), expected, rtol=1e-12)
    by_hand = GaussianMixture(3, covariance_type=structure)
    for name in ("weights_", "means_", "covariances_"):
        setattr(by_hand, name, getattr(model, name))
    assert np.allclose(by_hand.score_samples(X), expected, rtol=1e-10)


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_lower_factor_set_by_hand_is_understood(structure: Structure) -> None:
    X, model = overlapping(), fitted(structure)
    expected = model.score_samples(X)
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances_))
    assert np.allclose(model.score_samples(X), expected, rtol=1e-10)
    factors = parameters_of(model).precisions_cholesky  # the compiled kernels read the upper half
    assert np.array_equal(factors, np.triu(factors))


def ninefold(model: GaussianMixture, name: str, *, in_place: bool) -> None:
    """Give a mixture nine times its covariances, by one of its attributes."""
    factor = {"covariances_": 9.0, "precisions_": 1 / 9, "precisions_cholesky_": 1 / 3}[name]
    if in_place:
        getattr(model, name)[...] *= factor
    else:
        setattr(model, name, factor * getattr(model, name))


@each_structure
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", SPREADS)
def test_what_is_set_by_hand_after_a_fit_rules(
    name: str, in_place: bool, structure: Structure, tmp_path: Path
) -> None:
    X, model = overlapping(), fitted(structure)
    expected = GaussianMixture.from_parameters(
        model.weights_, model.means_, 9 * model.covariances_, structure
    )
    ninefold(model, name, in_place=in_place)
    save(model, tmp_path / "model.npz")
    copies = copy(model), deepcopy(model), pickle.loads(pickle.dumps(model))
    for same in (model, *copies, load(tmp_path / "model.npz")):
        assert isinstance(same, GaussianMixture)
        assert error(same.score_samples(X), expected.score_samples(X)) < 1e-12
        assert error(same.sample(50, 0)[0], expected.sample(50, 0)[0]) < 1e-12
        marginals = same.marginal([0, 2]), expected.marginal([0, 2])
        for attribute in FITTED:
            assert error(*(getattr(one, attribute) for one in marginals)) < 1e-12


@each_structure
@pytest.mark.parametrize("left_out", SPREADS)
def test_components_in_another_order(left_out: str, structure: Structure) -> None:
    X, model = overlapping(), fitted(structure)
    expected = model.score_samples(X)
    for name in FITTED:
        array = getattr(model, name)
        if name != left_out and not (structure == "tied" and name in SPREADS):
            setattr(model, name, array[::-1])
    assert error(model.score_samples(X), expected) < 1e-10


@each_structure
@pytest.mark.parametrize("pair", list(combinations(SPREADS, 2)))
@pytest.mark.parametrize("was_fitted", [False, True])
def test_attributes_set_by_hand_that_contradict_each_other(
    pair: tuple[str, str], was_fitted: bool, structure: Structure
) -> None:
    X, source = overlapping(), fitted(structure)
    model = source if was_fitted else GaussianMixture(3, covariance_type=structure)
    for name in ("weights_", "means_", *pair):
        setattr(model, name, getattr(source, name).copy())
    ninefold(model, pair[0], in_place=True)
    if was_fitted:
        assert np.isfinite(model.score(X))  # only one of them was changed
        getattr(model, pair[1])[...] *= 4
    with pytest.raises(ValueError, match=f"{pair[0]} and {pair[1]} were both set by hand and cont"):
        model.score(X)


@each_structure
def test_attributes_set_by_hand_that_agree(structure: Structure) -> None:
    X, model = overlapping(), fitted(structure, reg_covar=0)
    # a covariance near a singular one, in units far apart, as another library may invert it
    units = np.array([1e-9, 1.0, 1e9])
    by_hand = GaussianMixture(3, covariance_type=structure)
    by_hand.weights_, by_hand.means_ = model.weights_, model.means_ * units
    if structure in ("full", "tied"):
        root = np.array([[1, 1, 1], [0, 1e-3, 1], [0, 0, 1e-3]]) * units
        by_hand.covariances_ = np.broadcast_to(root.T @ root, model.covariances_.shape)
        inverse = np.linalg.inv(root)
        by_hand.precisions_cholesky_ = np.broadcast_to(inverse, model.covariances_.shape)
    else:
        by_hand.covariances_ = (1e-9 * model.covariances_).astype(np.float32)
        by_hand.precisions_cholesky_ = 1 / np.sqrt(by_hand.covariances_)
    assert np.isfinite(by_hand.score(X * units))


def test_a_pickled_model_is_the_same() -> None:
    X, model = overlapping(), fitted()
    model.sample()
    assert np.array_equal(
        pickle.loads(pickle.dumps(model)).score_samples(X), model.score_samples(X)
    )


# Sampling -------------------------------------------------------------------------------------


@each_structure
def test_samples_have_the_moments_of_the_model(structure: Structure) -> None:
    model = fitted(structure, init_params="kmeans")
    X, labels = model.sample(200_000, random_state=1)
    assert X.dtype == np.float64
    assert labels.dtype == np.int64
    assert (np.diff(labels) >= 0).all()
    covariances = parameters_of(model).full_covariances()
    for k in range(3):
        group = X[labels == k]
        assert len(group) / len(X) == pytest.approx(model.weights_[k], abs=0.005)
        assert np.allclose(group.mean(axis=0), model.means_[k], atol=0.05)
        assert np.allclose(np.cov(group.T), covariances[k], atol=0.05)


def test_samples_are_new_at_every_call_unless_seeded() -> None:
    model, again = fitted(), fitted()
    first, second = model.sample(10)[0], model.sample(10)[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(again.sample(10)[0], first)
    assert np.array_equal(again.sample(10)[0], second)
    model.fit(overlapping())
    assert np.array_equal(model.sample(10)[0], first)
    seeded = [model.sample(10, random_state=5)[0] for _ in range(2)]
    assert np.array_equal(seeded[0], seeded[1])


def test_a_new_seed_is_a_new_sample() -> None:
    model, other = fitted(), fitted().set_params(random_state=5)
    first = model.sample(10)[0]
    seeded = model.set_params(random_state=5).sample(10)[0]
    assert np.array_equal(seeded, other.sample(10)[0])
    assert np.array_equal(model.set_params(random_state=0).sample(10)[0], first)


def test_samples_without_a_seed_differ_between_models() -> None:
    models = [fitted(random_state=None, **initial("full", overlapping())) for _ in range(2)]
    assert not np.array_equal(models[0].sample(5)[0], models[1].sample(5)[0])


@pytest.mark.parametrize("n_samples", [0, -1])
def test_too_few_samples(n_samples: int) -> None:
    with pytest.raises(ValueError, match=f"'n_samples': {n_samples} . The sampling requires at"):
        fitted().sample(n_samples)


def test_bad_number_of_samples() -> None:
    bad: Any = 2.5
    with pytest.raises(ValueError, match=r"n_samples must be an integer of at least 1, got 2.5"):
        fitted().sample(bad)


@pytest.mark.parametrize("n_samples", [10**30, 2**63, np.uint64(2**64 - 1), 2**60])
def test_more_samples_than_an_array_can_hold(n_samples: Any) -> None:
    model = fitted()
    most = (2**63 - 1) // (8 * model.n_features_in_)
    bayesian = BayesianGaussianMixture(n_components=2).fit(np.eye(3))
    message = rf"n_samples must be at most {most}, got .*{n_samples}"
    with pytest.raises(ParameterError, match=message):
        model.sample(n_samples)
    with pytest.raises(ParameterError, match=message):
        model.hdr_level(0.5, n_samples=n_samples)
    for predictive in (False, True):
        with pytest.raises(ParameterError, match=r"n_samples must be at most \d+, got"):
            bayesian.sample(n_samples, predictive=predictive)


def test_predictions_do_not_write_to_read_only_rows(blobs: NDArray[np.float64]) -> None:
    blobs.flags.writeable = False
    before = blobs.copy()
    model = GaussianMixture(3, random_state=0).fit(blobs)
    model.predict_proba(blobs)
    assert np.array_equal(blobs, before)
