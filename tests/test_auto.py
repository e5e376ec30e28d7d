"""The start 'auto': a race of short EM runs that no rotation or scaling defeats."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.subsample import START_ROWS, Sample
from gaussmix.model.covariance import structure_of
from gaussmix.model.parameters import Parameters
from gaussmix.starts.auto import Found, auto
from gaussmix.starts.budget import (
    SHORTEST,
    Work,
    allowed,
    expected,
    iterations_promised,
    pass_cost,
)
from gaussmix.starts.candidates import KINDS, WIDE_KINDS, described, kinds_for
from gaussmix.starts.race import APART, FEW_ROWS_PER_FEATURE, Clusters, Race, are_apart, has_needle

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
FINE: dict[str, Any] = {"tol": 1e-7, "max_iter": 2000, "accelerate": "squarem"}
FITTED = ("weights_", "means_", "covariances_")


def auto_mixture(k: int, **params: Any) -> GaussianMixture:
    """Return a mixture that starts by 'auto', unless it is told otherwise."""
    return GaussianMixture(k, **{"init_params": "auto", **params})


def raced(
    X: Any, k: int, structure: Structure = "full", seed: int = 0, **changes: Any
) -> Found | None:
    settings: dict[str, Any] = {"reg_covar": 1e-6, "n_threads": 1, **changes}
    sample = Sample(X, settings.pop("weight", None))
    state = np.random.RandomState(seed)
    return auto(sample, structure_of(structure), k, random_state=state, **settings)


def stretched(k: int = 2, n_features: int = 10, seed: int = 33) -> FloatArray:
    """Groups 6 apart along a direction, of unit width there and 30 in all others, rotated."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(500 * k, n_features)) * np.r_[1.0, np.full(n_features - 1, 30.0)]
    rows[:, 0] += 6 * np.repeat(np.arange(k), 500)
    turn, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    return np.ascontiguousarray(rng.permutation(rows @ turn))


def three_groups(n_rows: int = 600, dtype: type = np.float64) -> Any:
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 0, 0], [7, 0, 0], [0, 7, 7]])
    return (means[rng.integers(3, size=n_rows)] + rng.normal(size=(n_rows, 3))).astype(dtype)


def mean_of_all(model: GaussianMixture) -> FloatArray:
    mean: FloatArray = model.weights_ @ model.means_
    return mean


@pytest.mark.parametrize("seed", range(4))
def test_long_parallel_groups_are_found(seed: int) -> None:
    X = stretched()
    model = auto_mixture(2, random_state=seed, **FINE).fit(X)
    by_kmeans = auto_mixture(2, random_state=seed, init_params="kmeans", **FINE).fit(X)
    assert model.lower_bound_ == pytest.approx(-45.2392, abs=1e-4)
    assert by_kmeans.lower_bound_ < model.lower_bound_ - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "wine"])
@pytest.mark.parametrize("seed", range(6))
def test_the_best_known_optima_of_small_tables_are_found(name: str, seed: int) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    X = np.ascontiguousarray(getattr(datasets, f"load_{name}")().data)
    structure, best = {"iris": ("full", -1.2012), "wine": ("tied", -17.8123)}[name]
    model = auto_mixture(3, covariance_type=structure, random_state=seed, **FINE).fit(X)
    if name == "iris":
        assert model.lower_bound_ == pytest.approx(best, abs=1e-4)
    else:
        assert model.lower_bound_ > -17.88  # K-means ends below -17.9


def race_of(X: FloatArray, k: int, most: float, structure: Structure = "full") -> Race:
    state = np.random.RandomState(0)
    return Race(Sample(X, None), structure_of(structure), k, 1e-6, state, 1, Work(most))


def races_to_come(monkeypatch: pytest.MonkeyPatch) -> list[Race]:
    """Return a list to which all races of `auto` will be added."""
    races: list[Race] = []

    class Watched(Race):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            races.append(self)

    monkeypatch.setattr("gaussmix.starts.auto.Race", Watched)
    return races


def test_a_candidate_that_does_not_fit_is_left_out() -> None:
    """Of work that pays for so many passes little is done beyond, but for the first candidate's."""
    X = three_groups(2000)
    race = race_of(X, 3, 100.0)
    race.entries.extend([50.0, 70.0])
    race.work.add(100 - 60)
    assert race.affords_another
    race.work.add(1)
    assert not race.affords_another
    runs = [raced(X, 3, n_passes=n) for n in (1, 100, 200)]
    assert runs[0] is not None
    assert runs[0].n_runs == 1
    assert all(a is not None and b is not None and a.n_runs < b.n_runs for a, b in pairwise(runs))


def test_the_second_candidate_must_fit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    X, races = three_groups(2000), races_to_come(monkeypatch)
    raced(X, 3, n_passes=1)  # one candidate
    done, (entry,) = races[0].work.done, races[0].entries
    for part, n_entries in ((0.99, 1), (1.01, 2)):
        raced(X, 3, n_passes=(done + part * entry) / pass_cost(*races[0].size))
        assert len(races[-1].entries) == n_entries


@each_structure
def test_components_are_apart_by_the_covariance_of_either(structure: Structure) -> None:
    """One mean is that far from the other in deviations of the wider of the two."""
    form = structure_of(structure)
    variances = np.array([4.0, 4.0] if form.shared else [1.0, 4.0])
    for part, wanted in ((0.99, False), (1.01, True)):
        means = part * APART * 2.0 * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        common = {"full": np.eye(3), "tied": np.eye(3), "diag": np.ones(3), "spherical": 1.0}
        covariances = np.array([v * np.asarray(common[structure]) for v in variances])
        covariances = covariances[0] if form.shared else covariances
        mixture = Parameters.from_covariances(form, np.full(2, 0.5), means, covariances)
        assert are_apart(mixture) is wanted
        far = replace(mixture, means=means[::-1].copy())
        assert are_apart(far) is wanted


@pytest.mark.parametrize("n_passes", [None, 400.0])
def test_a_search_that_has_found_groups_far_apart_is_allowed_less(
    monkeypatch: pytest.MonkeyPatch, n_passes: float | None
) -> None:
    """But not where its budget is given."""
    races = races_to_come(monkeypatch)
    for rows in (np.random.default_rng(0).normal(size=(600, 3)), three_groups()):
        raced(rows, 3, n_passes=n_passes)
    near, far = (race.work.most for race in races)
    if n_passes is None:
        assert far == allowed(*races[1].size, SHORTEST) < near
    else:
        assert far == near


def test_the_best_is_not_followed_where_nothing_may_overtake_it() -> None:
    """That is for the fit to do, and takes time that another candidate may use."""

    def run(bound: float, promise: float, *, spoiled: bool = False, converged: bool = False) -> Any:
        state = SimpleNamespace(converged=converged)
        return SimpleNamespace(bound=bound, promise=promise, spoiled=spoiled, state=state)

    race = race_of(three_groups(), 3, np.inf)
    assert race.decided
    best, hopeless = run(-1.0, -0.5), run(-3.0, -1.1)
    finished, broken = run(-1.5, 0.0, converged=True), run(-1.2, 0.0, spoiled=True)
    race.runs, race.best = [best, hopeless, finished, broken], best
    assert race.decided
    assert race.hopeful() is best
    race.runs.append(run(-1.5, -0.9))
    assert not race.decided
    race.best = None
    assert not race.decided


@pytest.mark.parametrize(
    ("structure", "n_features", "k", "wanted"),
    [
        ("full", 5, 3, ["t-high 1", "t-high 3"]),
        ("full", 2, 3, ["t-high 1", "svd"]),
        ("full", 5, 6, ["svd", "t-high 3"]),
        ("full", 5, 9, ["svd", "raw"]),
        ("full", 15, 4, ["svd", "t-high 3"]),  # with fewer rows than parameters
        ("tied", 5, 3, ["t-high 2", "svd"]),
        ("tied", 2, 3, ["t-high 1", "svd"]),
        ("diag", 20, 3, ["raw", "std"]),
        ("full", 20, 9, ["raw", "std"]),
        ("full", 1, 3, ["std", "far white"]),
        ("diag", 60, 3, ["std", "raw"]),
    ],
)
def test_the_first_kinds_of_candidates(
    structure: Structure, n_features: int, k: int, wanted: list[str]
) -> None:
    X = np.random.default_rng(0).normal(size=(400, n_features))
    kinds = kinds_for(race_of(X, k, np.inf, structure))
    assert kinds[:2] == wanted


@each_structure
def test_a_run_begins_with_the_clusters_of_kmeans(structure: Structure) -> None:
    """Compiled code, and the loop that does what it leaves, take it to the same mixture."""
    X: FloatArray = three_groups()
    found = []

    def without_iterations(*args: Any) -> Any:
        *before, _, tol, n_threads = args
        kernels: Any = dispatch.kernels(X)
        return kernels.em_from_kmeans(*before, np.empty(0), tol, n_threads)

    for compiled in (True, False):
        race = race_of(X, 3, np.inf, structure)
        if not compiled:
            race._kernels = SimpleNamespace(em_from_kmeans=without_iterations)
        found.append(race.add("raw", Clusters(X, 3)))
        assert race.best is found[-1]
        assert found[-1].state.n_iter > 1
    one, other = (run.parameters for run in found)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.covariances, other.covariances, rtol=1e-9, atol=1e-12)


def test_groups_that_are_no_clusters_are_left_to_the_loop() -> None:
    race = race_of(np.ones((50, 2)), 3, np.inf)
    run = race.add("raw", Clusters(np.ones((50, 2)), 1))
    assert run.spoiled
    assert race.best is None


@pytest.mark.slow
def test_twenty_groups_are_found_more_often_than_by_kmeans() -> None:
    rng = np.random.default_rng(5)
    means = 4 * rng.normal(size=(20, 4))
    X = np.ascontiguousarray(np.repeat(means, 200, axis=0) + rng.normal(size=(4000, 4)))

    def ends(method: str) -> list[float]:
        fits = (auto_mixture(20, init_params=method, random_state=s, **FINE) for s in range(5))
        return [fit.fit(X).lower_bound_ for fit in fits]

    by_auto, by_kmeans = ends("auto"), ends("kmeans")
    best = max(by_auto + by_kmeans)
    hits = [sum(end > best - 1e-4 for end in several) for several in (by_auto, by_kmeans)]
    assert hits[0] >= max(hits[1], 4)


@each_structure
def test_units_do_not_matter(structure: Structure) -> None:
    X = three_groups()
    scale = 1e3 if structure == "spherical" else np.array([1e-3, 1.0, 1e4])
    scaled = np.ascontiguousarray(X * scale)
    one, other = (raced(rows, 3, structure, reg_covar=0.0) for rows in (X, scaled))
    assert one is not None
    assert other is not None
    assert (one.kind, one.n_runs) == (other.kind, other.n_runs)
    assert np.allclose(other.parameters.means / scale, one.parameters.means, rtol=1e-5, atol=1e-5)


def test_rotations_do_not_matter() -> None:
    X = stretched(n_features=4)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    ends = [
        auto_mixture(2, random_state=0, reg_covar=0.0, **FINE).fit(rows).lower_bound_
        for rows in (X, np.ascontiguousarray(X @ turn))
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


@each_structure
def test_a_seed_repeats_on_any_number_of_threads(structure: Structure) -> None:
    X = np.random.default_rng(1).normal(size=(START_ROWS + 5, 3))
    one, two, other = (
        auto_mixture(6, covariance_type=structure, max_iter=0, random_state=s, n_threads=n).fit(X)
        for s, n in ((5, 1), (5, 2), (6, 1))
    )
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in FITTED)
    assert not np.array_equal(one.means_, other.means_)


@each_structure
@pytest.mark.parametrize("n_rows", [5, 7])
def test_as_few_rows_as_components(structure: Structure, n_rows: int) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    ends = [
        auto_mixture(
            5, covariance_type=structure, init_params=method, max_iter=0, random_state=0
        ).fit(X)
        for method in ("auto", "kmeans")
    ]
    assert np.isfinite(ends[0].lower_bound_)
    if raced(X, 5, structure) is None:
        assert np.allclose(mean_of_all(ends[0]), X.mean(axis=0))


@each_structure
def test_constant_equal_and_repeated_features(structure: Structure) -> None:
    X = three_groups(300)
    table = np.column_stack([X, np.full(300, 0.1), X[:, 0], np.round(X[:, 1])])
    for rows in (table, np.repeat(table[:30], 10, axis=0), np.full((20, 2), 0.1)):
        model = auto_mixture(3, covariance_type=structure, max_iter=0, random_state=0).fit(rows)
        assert np.isfinite(model.means_).all()
        assert np.allclose(mean_of_all(model), rows.mean(axis=0), atol=0.05)


@each_structure
def test_more_features_than_rows(structure: Structure) -> None:
    X = np.random.default_rng(0).normal(size=(20, 60))
    model = auto_mixture(2, covariance_type=structure, max_iter=0, random_state=0).fit(X)
    assert np.isfinite(model.lower_bound_)


def test_wide_rows_need_no_matrix_of_features() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 100)) + 3 * np.repeat([[0.0], [1.0]], 30, axis=0)
    kinds = []
    for seed in range(3):
        found = raced(X, 2, "diag", seed)
        assert found is not None
        kinds.append(found.kind)
        assert np.allclose(found.parameters.weights, 0.5)
    assert set(kinds) <= set(WIDE_KINDS)


def test_rows_of_weight_zero_are_not_there() -> None:
    X = three_groups()
    weight = np.ones(len(X))
    weight[::3] = 0
    X[::3] = 1e8
    one, other = raced(X, 3, weight=weight), raced(X[weight > 0], 3, weight=weight[weight > 0])
    assert one is not None
    assert other is not None
    assert np.array_equal(one.parameters.means, other.parameters.means)


def test_weights_count() -> None:
    X = three_groups()
    weight = np.where(X[:, 0] > 3.5, 4.0, 1.0)
    found = raced(X, 3, weight=weight)
    assert found is not None
    share = weight[X[:, 0] > 3.5].sum() / weight.sum()
    assert found.parameters.weights.max() == pytest.approx(share, abs=0.01)


@each_structure
def test_float32_rows_lead_where_float64_rows_do(structure: Structure) -> None:
    X = three_groups(dtype=np.float32)
    one, other = raced(X, 3, structure), raced(X.astype(np.float64), 3, structure)
    assert one is not None
    assert other is not None
    assert np.allclose(
        np.sort(one.parameters.means, axis=0), np.sort(other.parameters.means, axis=0), atol=1e-2
    )


@pytest.mark.parametrize("scale", [1e-30, 1e100])
def test_rows_of_any_size(scale: float) -> None:
    found = raced(scale * three_groups(), 3, reg_covar=0.0)
    assert found is not None
    assert np.allclose(np.sort(found.parameters.weights), 1 / 3, atol=0.06)


def test_rows_whose_squares_overflow_leave_the_start_to_kmeans() -> None:
    assert raced(1e200 * three_groups(), 3) is None


def mixture(width: float, weight: float) -> Parameters:
    covariances = np.array([np.eye(2), np.diag([1.0, width])])
    weights, means = np.array([1 - weight, weight]), np.zeros((2, 2))
    return Parameters.from_covariances("full", weights, means, covariances)


def dtypes_of(races: list[Race]) -> list[Any]:
    """Return the precisions of races."""
    return [race.sample.rows.dtype for race in races]


@pytest.mark.parametrize("exponent", [-400, -80, -27, 27, 80, 400])
def test_a_unit_changes_no_bit(exponent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares of rows in most of these units are beyond float32."""
    races, unit = races_to_come(monkeypatch), 2.0**exponent
    one, other = (raced(X, 3, reg_covar=0.0) for X in (three_groups(), unit * three_groups()))
    assert one is not None
    assert other is not None
    assert np.array_equal(other.parameters.means / unit, one.parameters.means)
    assert np.array_equal(other.parameters.covariances / unit**2, one.parameters.covariances)
    assert dtypes_of(races) == ["float32", "float32"]


@pytest.mark.parametrize(
    ("n_features", "distance", "structure"),
    [(1, 1e7, "tied"), (2, 1e8, "diag"), (5, 3e7, "spherical"), (1, 1e8, "spherical")],
)
def test_groups_far_apart_are_not_rounded(
    n_features: int, distance: float, structure: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six groups of unit width, of which float32 cannot tell three from each other."""
    rng = np.random.default_rng(0)
    places = np.array([0.0, 8.0, 20.0])[rng.integers(3, size=1000)]
    X = rng.normal(size=(1000, n_features)) + places[:, None]
    X[:500] += distance
    races, found = races_to_come(monkeypatch), []
    for seed in range(8):
        model = auto_mixture(
            6, covariance_type=structure, random_state=seed, tol=1e-6, max_iter=500
        ).fit(X)
        low, high = np.sort(model.means_[:, 0]).reshape(2, 3)
        found.append(np.allclose([low, high - distance], [0, 8, 20], atol=0.5))
    assert np.mean(found) > 0.5  # a quarter from float32, at most
    assert dtypes_of(races) == 8 * ["float32", "float64"]


@pytest.mark.parametrize("width", [1e-3, 1e-4, 3e-5, 1e-5])
def test_groups_too_thin_for_float32_are_found(
    width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two groups on lines that cross: float32 does not hold the squares of their widths."""
    rng = np.random.default_rng(0)
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    groups = [rng.normal(size=(300, 2)) * spread @ turn for spread in ([1, width], [width, 1])]
    covariances = np.array([np.cov(group.T) for group in groups])
    truth = Parameters.from_covariances("full", np.full(2, 0.5), np.zeros((2, 2)), covariances)
    settings: dict[str, Any] = {"reg_covar": 0.0, "tol": 1e-6, "max_iter": 500}
    given: dict[str, Any] = {"means_init": truth.means, "precisions_init": truth.precisions}
    by_truth = GaussianMixture(2, **given, **settings)
    X = np.concatenate(groups)
    wanted = by_truth.fit(X).lower_bound_
    assert wanted > 3.0  # a single Gaussian has less than -2
    races = races_to_come(monkeypatch)
    ends = [auto_mixture(2, random_state=seed, **settings).fit(X) for seed in range(6)]
    assert ("float64" in dtypes_of(races)) == (width < 1e-3)
    assert np.mean([end.lower_bound_ > wanted - 1e-3 for end in ends]) >= 0.5


def test_a_thin_component_is_a_needle_if_few_rows_make_it() -> None:
    few = FEW_ROWS_PER_FEATURE * 3 - 1
    assert has_needle(mixture(1e-4, few / 1000), 1000)
    assert not has_needle(mixture(1e-4, (few + 2) / 1000), 1000)
    assert not has_needle(mixture(0.1, few / 1000), 1000)


def test_components_of_few_rows_may_win_in_a_sample() -> None:
    """Four rows far from a thousand: spurious if they are all, but not if they stand for many."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(1004, 2))
    X[:4] += 1e3
    found = raced(X, 2, n_passes=50)
    assert found is not None
    assert found.parameters.weights.min() == pytest.approx(4 / 1004)
    assert raced(X, 2) is None


def test_a_needle_does_not_win() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 2))
    X[:12, 1] = 0.5 + 1e-7 * rng.normal(size=12)  # twelve rows on a line
    for seed in range(3):
        found = raced(X, 3, seed=seed)
        assert found is not None
        assert not has_needle(found.parameters, len(X))


def test_work_grows_with_all_that_takes_time() -> None:
    full, diag = structure_of("full"), structure_of("diag")
    assert pass_cost(1000, 4, 3, full) > pass_cost(1000, 4, 3, diag)
    assert pass_cost(2000, 4, 3, full) > pass_cost(1000, 4, 3, full)
    assert allowed(1000, 4, 3, full, 9) > allowed(1000, 4, 3, full, 8)


def test_the_iterations_expected_of_a_fit_grow_up_to_a_bound() -> None:
    few, many = [[expected(n, k) for n in (0, 6, 20, 36, 999)] for k in (3, 6)]
    assert few[0] < few[1] < few[2] < few[3] == few[4]
    assert many[0] < many[1] < many[2] == many[3] == many[4]
    assert [expected(n, 3, told=True) for n in (0, 4, 8.5)] == [SHORTEST, 4, 8.5]
    assert expected(999, 3, told=True) == few[4]


@pytest.mark.parametrize(
    ("gains", "wanted"),
    [([0.5, 5e-4], 3), ([0.4, 0.2, 0.1, 0.05], 10), ([1.0, 1.0, 1.0, 1.0], 140), ([np.nan] * 4, 3)],
)
def test_iterations_that_a_run_promises(gains: list[float], wanted: float) -> None:
    assert iterations_promised(np.array(gains)) == pytest.approx(wanted, abs=1)


def test_every_kind_has_words() -> None:
    words = {kind: described(kind) for kind in (*KINDS, *WIDE_KINDS, "repair", "insertion")}
    assert len(set(words.values())) == len(words)
    assert words["far white"] == "random whitened rows, far apart"
    assert words["t-high 1"] == "K-means in 1 invariant coordinate (t-high 1)"


def test_verbose_says_which_candidate_won(capsys: pytest.CaptureFixture[str]) -> None:
    X = three_groups()
    auto_mixture(3, random_state=0, verbose=1).fit(X)
    first = capsys.readouterr().out.splitlines()[0]
    found = raced(X, 3)
    assert found is not None
    assert first == f"start: the best of {found.n_runs} short runs, from {described(found.kind)}"


def test_streamed_rows_begin_where_rows_in_memory_do() -> None:
    X = three_groups(3000)
    one = auto_mixture(3, random_state=0).fit(X)
    other = auto_mixture(3, random_state=0).fit([X[:1000], X[1000:]])
    for name in FITTED:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
