"""Choosing the number of components and the covariance type."""

import math
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import CovarianceType, FloatArray, SelectionCriterion, Structure
from gaussmix.data.base import Data
from gaussmix.estimators import fitting
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.settings import Settings
from gaussmix.model.families import CODES
from gaussmix.selection import search
from gaussmix.selection.candidates import Candidate, Selection

DATA = Path(__file__).parent / "data"
NUMBERS = ("log_likelihood", "bic", "aic", "icl")


def read(name: str) -> FloatArray:
    rows = np.genfromtxt(DATA / name, delimiter=",", skip_header=1)
    return np.ascontiguousarray(rows[:, :4])


def row_of(chosen: Selection, n_components: int, structure: str) -> Candidate:
    return next(row for row in chosen.table if row[:2] == (n_components, structure))


def timeless(chosen: Selection) -> list[Candidate]:
    return [
        row._replace(seconds=0.0, cv=0.0 if math.isnan(row.cv) else row.cv) for row in chosen.table
    ]


@pytest.fixture(scope="module")
def groups() -> FloatArray:
    """Three round groups far from each other, 80 rows of 2 features."""
    rng = np.random.default_rng(3)
    centers = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    return rng.permutation(np.repeat(centers, [30, 30, 20], axis=0) + rng.normal(size=(80, 2)))


@pytest.fixture(scope="module")
def iris() -> Selection:
    return gaussmix.select(read("iris.csv"), range(1, 4), random_state=0)


@pytest.fixture(scope="module")
def old_faithful() -> Selection:
    return gaussmix.select(read("old_faithful.csv"), (2, 3), ("tied", "full"), random_state=0)


# Published values -----------------------------------------------------------------------------

# mclust's, with the sign reversed: EEE is tied, VVV full, VVI diag, VII spherical
# (Scrucca, Fop, Murphy & Raftery, R Journal 8(1), 2016)


@pytest.mark.parametrize(
    ("n_components", "structure", "bic"),
    [
        (1, "full", 829.978),
        (1, "tied", 829.978),
        (1, "diag", 1522.120),
        (1, "spherical", 1804.085),
        (2, "full", 574.018),
        (2, "tied", 688.097),
        (2, "diag", 857.551),
        (2, "spherical", 1012.235),
        (3, "full", 580.839),
        (3, "tied", 632.963),
        (3, "spherical", 853.814),
    ],
)
def test_bic_of_iris_is_mclusts(
    iris: Selection, n_components: int, structure: str, bic: float
) -> None:
    assert row_of(iris, n_components, structure).bic == pytest.approx(bic, abs=0.01)


def test_bic_of_old_faithful_is_mclusts(old_faithful: Selection) -> None:
    assert row_of(old_faithful, 3, "tied").bic == pytest.approx(2314.296, abs=0.01)
    assert row_of(old_faithful, 2, "full").bic == pytest.approx(2322.192, abs=0.01)


def test_the_published_choice_is_made(iris: Selection, old_faithful: Selection) -> None:
    assert iris.best[:2] == (2, "full")
    assert old_faithful.best[:2] == (3, "tied")


# Rows of the table ----------------------------------------------------------------------------


def test_the_table_has_all_combinations_in_order(iris: Selection) -> None:
    assert [row[:2] for row in iris.table] == [(k, s) for k in (1, 2, 3) for s in STRUCTURES]
    assert all(row.converged and not row.problem for row in iris.table)
    assert all(math.isnan(row.cv) for row in iris.table)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_row_is_what_a_single_fit_gives(iris: Selection, structure: Structure) -> None:
    X = read("iris.csv")
    settings = {**search.DEFAULTS, "init_params": search.START}
    model = GaussianMixture(3, covariance_type=structure, random_state=0, **settings).fit(X)
    row = row_of(iris, 3, structure)
    assert row.log_likelihood == pytest.approx(model.score_samples(X).sum(), rel=1e-12)
    expected = (model.bic(X), model.aic(X), model.icl(X))
    assert (row.bic, row.aic, row.icl) == pytest.approx(expected, rel=1e-12)
    assert (row.n_iter, row.converged) == (model.n_iter_, model.converged_)
    assert row.seconds > 0


@pytest.mark.slow
def test_the_best_model_is_one_that_fit_would_make(groups: FloatArray) -> None:
    best = gaussmix.select(groups, range(1, 5), random_state=7, n_threads=1).best_model
    assert type(best) is GaussianMixture
    assert (best.n_components, best.covariance_type) == (3, "spherical")
    assert (best.n_threads, best.random_state, best.n_features_in_) == (1, 7, 2)
    again = GaussianMixture(**best.get_params()).fit(groups)
    np.testing.assert_array_equal(best.means_, again.means_)
    np.testing.assert_array_equal(best.predict(groups), again.predict(groups))


def test_parameters_reach_the_fits(groups: FloatArray) -> None:
    best = gaussmix.select(groups, 3, "diag", random_state=0, reg_covar=0.5, tol=1e-3).best_model
    assert (best.reg_covar, best.tol, best.max_iter) == (0.5, 1e-3, 1000)
    assert best.covariances_.min() > 0.9


def test_feature_names_are_remembered(groups: FloatArray) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(groups, columns=["x", "y"])
    best = gaussmix.select(frame, 3, "full", random_state=0).best_model
    assert best.feature_names_in_.tolist() == ["x", "y"]


def test_the_best_model_has_all_that_a_fit_leaves(groups: FloatArray) -> None:
    weight = np.full(len(groups), 2.0)
    best = gaussmix.select(groups, 3, "full", random_state=0, sample_weight=weight).best_model
    assert (best.n_samples_seen_, best.weight_seen_) == (len(groups), weight.sum())
    single = GaussianMixture(3, random_state=0).fit(groups)
    assert {name for name in vars(single) if name.endswith("_")} <= set(vars(best))
    assert f"{len(groups):,} rows" in repr(best)


@pytest.mark.parametrize(
    ("n_features", "counts", "fits"), [(1, (1, 2), 3), (2, (1, 2), 7), (2, (1,), 3)]
)
def test_the_same_model_is_fitted_once(
    monkeypatch: pytest.MonkeyPatch, n_features: int, counts: tuple[int, ...], fits: int
) -> None:
    X = np.random.default_rng(0).normal(size=(60, n_features))
    done = []

    def counted(data: Data, settings: Settings, *arguments: Any) -> Any:
        done.append((settings.n_components, settings.structure.name))
        return fitting.best_run(data, settings, *arguments)

    monkeypatch.setattr("gaussmix.selection.search.best_run", counted)
    chosen = gaussmix.select(X, counts, random_state=0, n_init=1)
    monkeypatch.undo()
    assert len(done) == fits
    for row in chosen.table:
        model = GaussianMixture(
            row.n_components,
            covariance_type=row.covariance_type,
            random_state=0,
            **{**search.DEFAULTS, "n_init": 1, "init_params": search.START},
        ).fit(X)
        assert row.bic == pytest.approx(model.bic(X), rel=1e-9)
        assert row.n_parameters == parameters_of(model).n_free()
        assert (row.seconds == 0) == (row[:2] not in done)


def test_one_component_needs_one_start(groups: FloatArray) -> None:
    assert gaussmix.select(groups, 1, n_init=9).best_model.n_init == 1


@pytest.mark.slow
def test_weights_are_repetitions(groups: FloatArray) -> None:
    weight = np.random.default_rng(1).integers(0, 4, len(groups)).astype(np.float64)
    weighted = gaussmix.select(groups, (1, 3), sample_weight=weight, random_state=0)
    repeated = gaussmix.select(
        np.repeat(groups, weight.astype(int), axis=0), (1, 3), random_state=0
    )
    for one, other in zip(weighted.table, repeated.table, strict=True):
        assert one[2:7] == pytest.approx(other[2:7], rel=1e-6)


# Completed likelihood -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_icl_is_bic_of_a_hard_assignment(
    monkeypatch: pytest.MonkeyPatch, dtype: type, structure: Structure
) -> None:
    monkeypatch.setattr("gaussmix.model.scoring.GROUP_ROWS", 40)  # several blocks, and a rest
    monkeypatch.setattr("gaussmix.model.scoring.BLOCK_VALUES", 150)
    X: Any = read("iris.csv")[:, :2].astype(dtype)
    weight = np.random.default_rng(0).uniform(size=len(X))
    model = GaussianMixture(3, covariance_type=structure, random_state=0, tol=1e-2).fit(X)
    certainty = np.log(model.predict_proba(X.astype(np.float64)).max(axis=1))
    rel = 1e-12 if dtype == np.float64 else 1e-5
    assert certainty.min() < -0.5  # the groups do overlap
    assert model.icl(X) == pytest.approx(model.bic(X) - 2 * certainty.sum(), rel=rel)
    expected = model.bic(X, weight) - 2 * weight @ certainty
    assert model.icl(X, weight) == pytest.approx(expected, rel=rel)


def test_icl_of_one_component_is_bic(groups: FloatArray) -> None:
    model = GaussianMixture().fit(groups)
    assert model.icl(groups) == model.bic(groups)


# Criteria -------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_the_lowest_is_chosen(criterion: SelectionCriterion) -> None:
    chosen = gaussmix.select(
        read("old_faithful.csv"), (2, 3), STRUCTURES[:2], criterion=criterion, random_state=0
    )
    values = [getattr(row, criterion) for row in chosen.table]
    assert getattr(chosen.best, criterion) == min(values)
    assert chosen.ranked() == chosen.ranked(criterion)
    assert [getattr(row, criterion) for row in chosen.ranked()] == sorted(values)
    model = chosen.best_model
    assert (model.n_components, model.covariance_type) == chosen.best[:2]


@pytest.mark.slow
def test_overlap_costs_by_icl() -> None:
    X = read("old_faithful.csv")
    assert gaussmix.select(X, (2, 3), criterion="icl", random_state=0).best[:2] == (2, "full")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.slow
def test_held_out_likelihood_is_that_of_separate_fits(groups: FloatArray, weighted: bool) -> None:
    weight = np.random.default_rng(2).uniform(0.5, 2.0, len(groups)) if weighted else None
    chosen = gaussmix.select(
        groups,
        (1, 3),
        criterion="cv",
        n_splits=4,
        sample_weight=weight,
        random_state=5,
        n_init=1,
    )
    folds = np.random.RandomState(5).permutation(len(groups)) % 4
    w = np.ones(len(groups)) if weight is None else weight
    for row in chosen.table:
        scores = np.empty(len(groups))
        for fold in range(4):
            model = GaussianMixture(
                row.n_components,
                covariance_type=row.covariance_type,
                random_state=0,
                **{**search.DEFAULTS, "n_init": 1, "init_params": search.START},
            ).fit(groups[folds != fold], sample_weight=w[folds != fold])
            scores[folds == fold] = model.score_samples(groups[folds == fold])
        assert row.cv == pytest.approx(np.average(scores, weights=w), rel=1e-6)
    assert chosen.best.cv == max(row.cv for row in chosen.table)
    assert chosen.best.n_components == 3


def test_held_out_likelihood_is_scikit_learns(groups: FloatArray) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    chosen = gaussmix.select(
        groups, 3, "full", criterion="cv", n_splits=4, random_state=5, n_init=1
    )
    folds = np.random.RandomState(5).permutation(len(groups)) % 4
    total = 0.0
    for fold in range(4):
        model = mixture.GaussianMixture(3, reg_covar=0, tol=1e-9, random_state=0)
        total += model.fit(groups[folds != fold]).score_samples(groups[folds == fold]).sum()
    assert chosen.best.cv == pytest.approx(total / len(groups), rel=1e-5)


def test_a_part_without_weight_is_left_out(groups: FloatArray) -> None:
    folds = np.random.RandomState(5).permutation(len(groups)) % 4
    chosen = gaussmix.select(
        groups,
        3,
        "diag",
        criterion="cv",
        n_splits=4,
        random_state=5,
        sample_weight=(folds != 1).astype(float),
    )
    assert math.isfinite(chosen.best.cv)


# Failures -------------------------------------------------------------------------------------


def test_too_few_rows_fail_with_a_reason(groups: FloatArray) -> None:
    chosen = gaussmix.select(groups[:6], (1, 7), ("diag", "tied"), random_state=0)
    for row in chosen.table[2:]:
        assert row.problem == "fewer rows (6) than components"
        assert all(math.isnan(getattr(row, name)) for name in NUMBERS)
        assert not row.converged
    assert row_of(chosen, 7, "tied").n_parameters == 7 * 2 + 3 + 6
    assert chosen.best.n_components == 1
    assert [row.n_components for row in chosen.ranked()] == [1, 1]


def test_rows_without_weight_do_not_count(groups: FloatArray) -> None:
    weight = (np.arange(len(groups)) < 2).astype(float)
    chosen = gaussmix.select(groups, (1, 3), "spherical", sample_weight=weight)
    assert row_of(chosen, 3, "spherical").problem == "fewer rows (2) than components"


def test_a_collapsed_fit_is_not_chosen(groups: FloatArray) -> None:
    X = np.concatenate([groups, np.full((15, 2), 50.0)])  # a group of equal rows
    types: tuple[CovarianceType, ...] = ("full", "tied")
    chosen = gaussmix.select(X, range(1, 6), types, init_params="kmeans", random_state=0)
    for count in (4, 5):
        assert row_of(chosen, count, "full").problem == search.COLLAPSED
    assert math.isnan(row_of(chosen, 4, "full").bic)
    assert chosen.best[:2] == (4, "tied")
    assert not hasattr(row_of(chosen, 4, "full"), "model")


def test_a_part_that_cannot_be_left_out_is_named() -> None:
    X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]  # any two of them lie on a line
    chosen = gaussmix.select(X, 1, ("full", "spherical"), criterion="cv", n_splits=3)
    assert row_of(chosen, 1, "full").problem == (
        "singular: fewer rows (2) than a covariance of 2 features needs (3) (without part 1 of 3)"
    )
    assert chosen.best[:2] == (1, "spherical")


def test_moments_that_overflow_are_a_reason() -> None:
    X = np.random.default_rng(0).normal(size=(30, 2)) * 1e160
    chosen = gaussmix.select(X, (1, 2), "diag")
    assert all("second moments of X overflow" in row.problem for row in chosen.table)
    with pytest.raises(ValueError, match=r"none of the 2 mixtures.*second moments of X overflow"):
        chosen.best_model  # noqa: B018


def test_the_table_is_there_if_nothing_fits(groups: FloatArray) -> None:
    chosen = gaussmix.select(groups[:3], (4, 5), ("full", "tied"))
    assert [row.problem for row in chosen.table] == ["fewer rows (3) than components"] * 4
    assert chosen.model is None
    assert chosen.ranked() == []
    assert not chosen.at_edge
    reason = "none of the 4 mixtures could be fitted; n_components=4, covariance_type='full': fewer"
    for name in ("best", "best_model", "best_estimator_"):
        with pytest.raises(ValueError, match=reason):
            getattr(chosen, name)
    with pytest.raises(ValueError, match=reason):
        chosen.predict(groups)
    with pytest.raises(ValueError, match=reason):
        chosen.curves()
    shown = str(chosen).split("\n\n")
    assert shown[0].split("\n")[2] == "         4        failed          failed"
    assert shown[1] == "failed, fewer rows (3) than components: all full, all tied"
    assert shown[2].startswith("nothing could be fitted. Leave out features")
    assert len(shown) == 3
    assert str(pickle.loads(pickle.dumps(chosen))) == str(chosen)


# Features that decide beforehand --------------------------------------------------------------


def not_to_be_called(*_arguments: object) -> None:
    raise AssertionError("a fit that cannot succeed was tried")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_constant_feature_is_found_before_any_fit(
    groups: FloatArray, monkeypatch: pytest.MonkeyPatch, dtype: type, value: float
) -> None:
    X: Any = np.column_stack([groups, np.full(len(groups), value)]).astype(dtype)
    monkeypatch.setattr(search, "best_run", not_to_be_called)
    chosen = gaussmix.select(X, range(1, 11), ("full", "tied", "diag"))
    assert {row.problem for row in chosen.table} == {"singular: feature 2 is constant"}
    assert "all full, all tied, all diag" in str(chosen)
    monkeypatch.undo()
    assert gaussmix.select(X, 3, "full", reg_covar=1e-6, random_state=0).best.converged


def test_spheres_bear_a_constant_feature(groups: FloatArray) -> None:
    """Their variance is a mean over the features."""
    X = np.column_stack([groups, np.ones(len(groups))])
    chosen = gaussmix.select(X, (1, 3), random_state=0)
    assert chosen.best.covariance_type == "spherical"
    assert [row.problem != "" for row in chosen.table] == [True, True, True, False] * 2
    nothing = gaussmix.select(np.ones((9, 2)), 1)
    assert {row.problem for row in nothing.table} == {"singular: features 0, 1 are constant"}


def test_combinations_are_named(groups: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(groups * [1e-3, 0.1] + [3, 1e6], columns=["x", "y"])
    frame["z"] = np.random.default_rng(0).normal(size=len(frame))
    frame["sum"] = 2 * frame.x - frame.y
    frame["twice"] = 2 * frame.z + 1
    monkeypatch.setattr(search, "best_run", not_to_be_called)
    chosen = gaussmix.select(frame, (1, 2), ("full", "tied"))
    assert {row.problem for row in chosen.table} == {
        "singular: feature 'sum' is a combination of 'x', 'y'; "
        "feature 'twice' is a combination of 'z'"
    }
    monkeypatch.undo()
    both = gaussmix.select(frame, 2, ("full", "diag"), random_state=0)
    assert both.best.covariance_type == "diag"


def test_many_combinations_are_counted() -> None:
    X = np.random.default_rng(0).normal(size=(60, 8))
    X = np.hstack([X, X @ np.random.default_rng(1).normal(size=(8, 7)), np.ones((60, 6))])
    (row,) = gaussmix.select(X, 2, "tied").table
    assert row.problem.startswith("singular: features 15, 16, 17, 18, 19, and 1 more are constant;")
    assert "; feature 8 is a combination of others; " in row.problem
    assert row.problem.endswith("; feature 12 is a combination of others; and 2 more")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_combinations_are_combinations(dtype: type) -> None:
    """Also where moments in float32 happen to be rounded so that a fit would not fail."""
    for seed in range(8):
        X = np.random.default_rng(seed).normal(size=(500, 3)).astype(dtype) + dtype(100)
        X = np.column_stack([X, X.sum(axis=1, dtype=dtype)])
        (row,) = gaussmix.select(X, 1, "full").table
        assert row.problem == "singular: feature 3 is a combination of 0, 1, 2"
    X[:, 3] += np.random.default_rng(1).normal(scale=0.01, size=500)
    (row,) = gaussmix.select(X, 1, "full").table
    assert row.problem == ""


def test_groups_far_apart_are_no_combination() -> None:
    """The covariance of all rows is singular to rounding, those within the groups are not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)) + np.repeat([[0.0], [1e9]], 100, axis=0)
    chosen = gaussmix.select(rng.permutation(X), 2, "full", random_state=0)
    assert chosen.best.problem == ""
    assert np.allclose(np.sort(chosen.best_model.means_[:, 0]), [0, 1e9], atol=1)


def test_nearly_constant_is_not_constant(groups: FloatArray) -> None:
    small, other = np.random.default_rng(0).normal(size=(2, len(groups)))
    X = np.column_stack([groups, 1 + 1e-9 * small, groups[:, 0] + 1e-5 * other])
    assert gaussmix.select(X, 1, "full").best.converged


def test_fewer_rows_than_a_covariance_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(20, 20))
    chosen = gaussmix.select(X, (1, 2), random_state=0, n_init=1)
    problems = {row.problem for row in chosen.table if row.covariance_type in ("full", "tied")}
    assert problems == {"singular: fewer rows (20) than a covariance of 20 features needs (21)"}
    assert chosen.best.covariance_type in ("diag", "spherical")
    assert gaussmix.select(X, 1, "full", reg_covar=1e-3).best.converged


def test_rows_without_weight_hide_nothing(groups: FloatArray) -> None:
    X = np.column_stack([groups, np.ones(len(groups))])
    weight = np.ones(len(X))
    X[::9], weight[::9] = 1e18, 0
    X = np.column_stack([X, np.where(weight > 0, X[:, 0] - X[:, 1], 0)])
    row, full = gaussmix.select(X, 2, ("diag", "full"), sample_weight=weight).table
    assert row.problem == "singular: feature 2 is constant"
    assert full.problem == f"{row.problem}; feature 3 is a combination of 0, 1"


# Ends of the range ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((1, 2, 3), "the best has the most components that were tried: try more than 3"),
        ((3, 4, 5), "the best has the fewest components that were tried: try fewer than 3"),
        ((2, 3, 4), ""),
        ((3,), ""),
    ],
)
def test_the_edge_of_the_range_is_said(
    groups: FloatArray, counts: tuple[int, ...], said: str
) -> None:
    chosen = gaussmix.select(groups, counts, "spherical", random_state=0)
    assert chosen.best.n_components == 3
    assert chosen.at_edge == bool(said)
    assert str(chosen).endswith(f"\n\n{said}") if said else "were tried" not in str(chosen)


def test_one_component_is_no_edge() -> None:
    X = np.random.default_rng(0).normal(size=(80, 2))
    chosen = gaussmix.select(X, (1, 2), "tied", random_state=0)
    assert (chosen.best.n_components, chosen.at_edge) == (1, False)


# Starts ---------------------------------------------------------------------------------------


def test_the_best_known_optimum_is_found() -> None:
    """K-means starts end at 2333.73 with every seed."""
    found = [
        gaussmix.select(read("old_faithful.csv"), 3, "full", random_state=seed).best.bic
        for seed in range(3)
    ]
    assert min(found) == pytest.approx(2324.178, abs=0.01)
    assert max(found) < 2333.74


def test_large_data_has_quick_starts(groups: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gaussmix.select(groups, (1, 3), "diag").best_model.init_params == search.START
    asked = gaussmix.select(groups, (1, 3), "diag", init_params="random", random_state=0)
    assert asked.best_model.init_params == "random"
    monkeypatch.setattr(search, "START_FLOPS", 4.0 * len(groups) * 3 * 5 - 1)
    assert gaussmix.select(groups, (1, 3), "diag").best_model.init_params == search.QUICK_START
    assert gaussmix.select(groups, (1, 2), "diag").best_model.init_params == search.START


def test_families_with_a_longer_m_step_have_quick_starts(groups: FloatArray) -> None:
    found = gaussmix.select(groups, 2, "EVI").best_model
    assert found.init_params == search.QUICK_START


# Rows elsewhere -------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [True, False])
def test_rows_of_a_file(
    groups: FloatArray, tmp_path: Path, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", groups.nbytes - 1)
    np.save(tmp_path / "x.npy", groups)
    there = gaussmix.select(tmp_path / "x.npy", (1, 3), random_state=0, n_threads=1)
    here = gaussmix.select(groups, (1, 3), random_state=0, n_threads=1)
    assert timeless(there) == timeless(here)
    np.testing.assert_array_equal(there.best_model.means_, here.best_model.means_)
    np.testing.assert_array_equal(there.predict(groups), here.best_model.predict(groups))
    if held:
        there, here = (
            gaussmix.select(X, 2, "diag", criterion="cv", random_state=0)
            for X in (tmp_path / "x.npy", groups)
        )
        assert there.best.cv == here.best.cv
    else:
        with pytest.raises(ValueError, match="criterion='cv' deals rows out to parts, and needs"):
            gaussmix.select(tmp_path / "x.npy", criterion="cv")


def test_weights_and_names_of_a_file(groups: FloatArray, tmp_path: Path) -> None:
    weight = np.random.default_rng(1).integers(1, 4, len(groups)).astype(float)
    table = np.column_stack([groups, weight, np.ones(len(groups))])
    np.savetxt(tmp_path / "x.csv", table, delimiter=",", header="x,y,w,one", comments="")
    source = gaussmix.scan(tmp_path / "x.csv", ["x", "y"], weights="w")
    there = gaussmix.select(source, 3, "diag", random_state=0)
    here = gaussmix.select(groups, 3, "diag", sample_weight=weight, random_state=0)
    assert there.best.bic == pytest.approx(here.best.bic, rel=1e-12)
    assert there.best_model.feature_names_in_.tolist() == ["x", "y"]
    constant = gaussmix.select(gaussmix.scan(tmp_path / "x.csv"), 2, "full", random_state=0)
    assert constant.table[0].problem == "singular: feature 'one' is constant"


def test_rows_on_dask(groups: FloatArray) -> None:
    array = pytest.importorskip("dask.array")
    there = gaussmix.select(
        array.from_array(groups, chunks=(30, 2)), (1, 3), "diag", random_state=0
    )
    here = gaussmix.select(groups, (1, 3), "diag", random_state=0)
    for one, other in zip(there.table, here.table, strict=True):
        assert one[:2] == other[:2]
        assert one[2:7] == pytest.approx(other[2:7], rel=1e-9)


def test_a_fit_that_did_not_converge_counts(groups: FloatArray) -> None:
    chosen = gaussmix.select(groups, 2, "full", max_iter=2, tol=0, random_state=0)
    assert not chosen.best.converged
    assert chosen.best.n_iter == 2
    shown = str(chosen).split("\n")
    assert shown[2].endswith("*?")
    assert shown[-1] == "? did not converge: increase max_iter or tol"


def test_all_families_may_stand_among_others(groups: FloatArray) -> None:
    chosen = gaussmix.select(groups, 1, ["tied", "all", "VVV"], n_init=1, random_state=0)
    assert [row.covariance_type for row in chosen.table] == ["tied", *CODES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer of at least 1, got 0"),
        ({"n_components": [2, 1.5]}, "n_components must be an integer of at least 1, got 1.5"),
        ({"n_components": 10**30}, "n_components must be at most 2147483647, got 1000"),
        ({"n_components": [2, 2**63]}, "n_components must be at most 2147483647, got 9223"),
        ({"n_components": np.array(2.5)}, "n_components must be an integer or several of them"),
        ({"n_components": "12"}, "n_components must be an integer or several of them, got '12'"),
        ({"n_components": b"12"}, "n_components must be an integer or several of them, got b'12'"),
        ({"n_components": None}, "n_components must be an integer or several of them, got None"),
        ({"n_components": []}, r"n_components must not be empty, got \[\]"),
        (
            {"covariance_types": "round"},
            "covariance_types must be one of 'all', 'full', .*, 'VVV', .*, got 'round'",
        ),
        ({"covariance_types": 3}, "covariance_types must be a string or several of them, got 3"),
        ({"covariance_types": np.array(3)}, "covariance_types must be a string or several"),
        ({"covariance_types": ()}, r"covariance_types must not be empty, got \(\)"),
        ({"criterion": "BIC"}, "criterion must be one of .*, got 'BIC'"),
        ({"n_splits": "5"}, "n_splits must be an integer of at least 2, got '5'"),
        ({"criterion": "cv", "n_splits": 1}, "n_splits must be an integer of at least 2, got 1"),
        ({"criterion": "cv", "n_splits": 81}, "n_splits must be at most the 80 rows of X, got 81"),
        ({"tol": -1}, "tol must be a finite number of at least 0, got -1"),
        ({"init_params": "luck"}, "init_params must be one of .*, got 'luck'"),
        ({"means_init": [[0, 0]]}, "means_init cannot be given"),
        ({"estimator": GaussianMixture}, "estimator is not for select, which fits GaussianMixture"),
        (
            {"weight_concentration_prior": 1.0},
            "weight_concentration_prior is not for select.* lower_bound_ compares fits",
        ),
        ({"random_state": -1}, "random_state must be"),
        ({"n_threads": 0}, "n_threads must be an integer of at least 1, got 0"),
        ({"progress": 1}, "progress must be True or False, got 1"),
        ({"sample_weight": [1.0]}, r"sample_weight must .* have shape \(80,\)"),
    ],
)
def test_bad_arguments(groups: FloatArray, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussmix.select(groups, **arguments)


def test_choices_may_be_arrays_and_iterators(groups: FloatArray) -> None:
    expected = [(1, "diag"), (1, "full"), (2, "diag"), (2, "full")]
    counts: list[Any] = [np.array([1, 2]), iter([1, 2]), {1, 2}]
    names: list[Any] = [np.array(["diag", "full"]), iter(["diag", "full"]), ("diag", "full")]
    for count, name in zip(counts, names, strict=True):
        found = gaussmix.select(groups, count, name, n_init=1, random_state=0)
        assert [row[:2] for row in found.table] == expected
    one: Any = np.array(2)
    name = np.array("diag")
    found = gaussmix.select(groups, one, name, n_init=1, random_state=0)
    assert [row[:2] for row in found.table] == [(2, "diag")]


def test_features_that_vary_too_little_are_refused(groups: FloatArray) -> None:
    with pytest.raises(ValueError, match=r"feature 0 of X varies by no more than .* too small"):
        gaussmix.select(groups * 1e-160, 1, "full")
    found = gaussmix.select(groups * 1e-160, 1, "full", reg_covar=1e-6)
    assert found.best.n_components == 1


def test_unknown_arguments_and_bad_data(groups: FloatArray) -> None:
    with pytest.raises(TypeError, match="n_clusters"):
        gaussmix.select(groups, n_clusters=3)
    with pytest.raises(ValueError, match="contains NaN"):
        gaussmix.select([[0.0, math.nan]])


# Seeds and threads ----------------------------------------------------------------------------


def test_seeds_repeat(groups: FloatArray) -> None:
    def table(random_state: Any) -> list[Candidate]:
        X = read("iris.csv")
        return timeless(
            gaussmix.select(
                X, 4, init_params="random_from_data", n_init=1, random_state=random_state
            )
        )

    assert table(1) == table(1)
    assert table(1) != table(2)
    assert table(np.random.RandomState(1)) == table(np.random.RandomState(1))
    assert table(np.random.default_rng(1)) == table(np.random.default_rng(1))
    source = np.random.RandomState(1)
    assert table(source) != table(source)


@pytest.mark.parametrize("criterion", ["icl", "cv"])
def test_threads_change_nothing(
    monkeypatch: pytest.MonkeyPatch, criterion: SelectionCriterion
) -> None:
    X = read("iris.csv")

    def chosen(n_threads: int) -> Selection:
        return gaussmix.select(
            X,
            (1, 2, 3, 200),
            random_state=0,
            n_threads=n_threads,
            criterion=criterion,
            n_splits=2,
            n_init=1,
        )

    alone = chosen(1)
    monkeypatch.setattr(search, "POOLED_FLOPS", (0.0, math.inf))
    used: set[int] = set()
    fit = search._fit

    def seen(*arguments: Any) -> Any:
        used.add(threading.get_ident())
        return fit(*arguments)

    monkeypatch.setattr(search, "_fit", seen)
    for n_threads in (2, 3):
        other = chosen(n_threads)
        np.testing.assert_equal(timeless(other), timeless(alone))
        np.testing.assert_array_equal(other.best_model.means_, alone.best_model.means_)
        assert other.best_model.n_threads == n_threads
    assert used
    assert threading.get_ident() not in used


def test_an_error_in_a_thread_is_raised(
    monkeypatch: pytest.MonkeyPatch, groups: FloatArray
) -> None:
    monkeypatch.setattr(search, "POOLED_FLOPS", (0.0, math.inf))

    def broken(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(search, "_fit", broken)
    with pytest.raises(MemoryError, match="no room"):
        gaussmix.select(groups, n_threads=2)


def test_progress_counts_all_fits(monkeypatch: pytest.MonkeyPatch, groups: FloatArray) -> None:
    from contextlib import nullcontext

    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "gaussmix.display.progress.bar", lambda *_: nullcontext(lambda *now: told.append(now))
    )
    gaussmix.select(groups, (1, 2), random_state=0, progress=True)
    assert told == [(done, 7) for done in range(1, 8)]


def test_the_data_is_only_read(groups: FloatArray) -> None:
    X = groups.copy()
    X.flags.writeable = False
    gaussmix.select(X, 2, criterion="cv", n_splits=2, random_state=0, n_init=1)
    np.testing.assert_array_equal(X, groups)


# The result -----------------------------------------------------------------------------------

TABLE = (
    Candidate(1, "full", 5, -30.0, 70.0, 65.0, 70.0, converged=True, seconds=0.5),
    Candidate(1, "diag", 4, -40.0, 88.5, 84.0, 88.5, converged=False, seconds=0.25),
    Candidate(2, "full", 11, problem="singular: too bad"),
    Candidate(2, "diag", 9, -20.0, 60.0, 55.0, 72.0, converged=True, seconds=1.0),
)


@pytest.fixture
def made(groups: FloatArray) -> Selection:
    return Selection(GaussianMixture().fit(groups), TABLE, "bic")


def test_printed(made: Selection) -> None:
    assert str(made) == repr(made)
    assert str(made).split("\n") == [
        "BIC, lower is better",
        "components          full            diag",
        "         1        70.000          88.500?",
        "         2        failed          60.000*",
        "",
        "best            log-likelihood    parameters           BIC           AIC           ICL"
        "       seconds",
        "2 diag                 -20.000             9        60.000        55.000        72.000"
        "         1.000",
        "1 full                 -30.000             5        70.000        65.000        70.000"
        "         0.500",
        "1 diag                 -40.000             4        88.500        84.000        88.500"
        "         0.250",
        "",
        "? did not converge: increase max_iter or tol",
        "",
        "failed, singular: too bad: 2 full",
        "",
        "the best has the most components that were tried: try more than 2",
    ]


def test_ranked_by_another_criterion(made: Selection) -> None:
    assert [row.icl for row in made.ranked("icl")] == [70.0, 72.0, 88.5]
    with pytest.raises(ValueError, match="criterion must be one of 'bic', 'aic', 'icl', got 'cv'"):
        made.ranked("cv")


def test_frame(made: Selection) -> None:
    pytest.importorskip("pandas")
    frame = made.to_frame()
    assert frame.shape == (4, 11)
    assert "cv" not in frame
    assert frame.bic.idxmin() == 3
    assert frame.problem.tolist() == ["", "", "singular: too bad", ""]
    held_out = Selection(made.best_model, tuple(row._replace(cv=-1.0) for row in TABLE), "cv")
    assert (held_out.to_frame().cv == -1).all()


def test_pickled(iris: Selection) -> None:
    again = pickle.loads(pickle.dumps(iris))
    assert str(again) == str(iris)
    np.testing.assert_array_equal(again.best_model.means_, iris.best_model.means_)


def test_curves_are_drawn(made: Selection) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = made.plot(ax=figure.add_subplot())
    assert axes.figure is figure
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["full"][0] == [1, 70]
    assert math.isnan(lines["full"][1][1])  # a gap
    assert lines["diag"] == [[1, 88.5], [2, 60]]
    assert lines["best: 2 diag"] == [[2, 60]]
    assert axes.get_ylabel() == "BIC, lower is better"
    assert made.plot("icl", ax=figure.add_subplot()).lines[-1].get_label() == "best: 1 full"


@pytest.mark.parametrize(("sign", "marker", "height"), [(1, "^", 1), (-1, "v", 0)])
def test_bad_values_do_not_hide_the_good_ones(sign: int, marker: str, height: int) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    from gaussmix.plotting.curves import Curves, draw_curves

    values = [sign * value for value in (9000.0, 10.0, 11.0, 12.0, 14.0)]
    curves = Curves([1, 2, 3, 4, 5], {"full": values}, (2, "full"), "BIC")
    axes = draw_curves(curves, figure.add_subplot())
    low, high = axes.get_ylim()
    assert sum(low < value < high for value in values) == 4
    assert high - low < 20
    arrows = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata())]
    assert [line.get_xydata().tolist() for line in arrows] == [[[1, height]]]


def test_one_candidate_can_be_drawn(groups: FloatArray) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    gaussmix.select(groups, 3, "full", random_state=0).plot(ax=figure.add_subplot())
    figure.canvas.draw()


def test_plot_makes_its_own_figure(made: Selection) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = made.plot()
    assert axes.figure.number in pyplot.get_fignums()
    pyplot.close(axes.figure)
