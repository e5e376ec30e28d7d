"""Truncated EM: bounds that rise, a certificate, and the end of EM itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gaussmix.em.listed as module
import gaussmix.em.truncated as truncated
from gaussmix import GaussianMixture, ParameterError, Prior, load, save, scan
from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Structure
from gaussmix.data.base import InMemory
from gaussmix.em.listed import ListedRows, _mattering, _thinned
from gaussmix.em.loop import Monitor
from gaussmix.em.objective import MaximumLikelihood
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics, StatisticsPass

K = 40
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def groups(distance: float = 4.0, n_samples: int = 4000, seed: int = 0) -> FloatArray:
    """K groups in two dimensions, of several sizes and shapes."""
    rng = np.random.default_rng(seed)
    centers, labels = distance * rng.normal(size=(K, 2)), rng.integers(K, size=n_samples)
    shapes = np.eye(2) + 0.3 * rng.normal(size=(K, 2, 2))
    spread = np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n_samples, 2)))
    X: FloatArray = centers[labels] + spread
    return X


def apart(n_samples: int = 4000) -> FloatArray:
    """K groups on a grid, which do not overlap."""
    rng = np.random.default_rng(1)
    place = np.arange(n_samples) % K
    return np.column_stack([place % 8, place // 8]) * 9.0 + rng.normal(size=(n_samples, 2))


def fitted(X: Any, sample_weight: FloatArray | None = None, **params: Any) -> GaussianMixture:
    defaults: dict[str, Any] = {
        "algorithm": "truncated",
        "init_params": "kmeans",
        "max_iter": 3000,
        "tol": 1e-5,
        "random_state": 0,
        "n_threads": 1,
    }
    model = GaussianMixture(K, **(defaults | params))
    return model.fit(X, sample_weight=sample_weight)


@pytest.fixture(autouse=True)
def rows_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists pay for the few components and features of these tests, too."""
    monkeypatch.setattr(module, "ROW_COST", 0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of the components in every pass over lists, on average."""
    found: list[int] = []
    e_step = ListedRows.e_step

    def counted(self: ListedRows, parameters: Any, **options: Any) -> Any:
        found.append(sum(len(cells.components) // cells.n_cells for cells in self._cells))
        return e_step(self, parameters, **options)

    monkeypatch.setattr(ListedRows, "e_step", counted)
    return found


def same_bits(one: GaussianMixture, other: GaussianMixture) -> bool:
    return bool(
        one.lower_bounds_ == other.lower_bounds_
        and (one.means_ == other.means_).all()
        and (one.covariances_ == other.covariances_).all()
    )


def stop_after(
    n_passes: int, monkeypatch: pytest.MonkeyPatch, X: FloatArray, path: Path, **params: Any
) -> None:
    """Interrupt a fit with a checkpoint after so many passes."""
    left = n_passes
    result = StatisticsPass.result

    def stopped(self: StatisticsPass) -> Statistics:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return result(self)

    with monkeypatch.context() as patch:
        patch.setattr(StatisticsPass, "result", stopped)
        with pytest.raises(KeyboardInterrupt):
            fitted(X, checkpoint=path, checkpoint_interval=0, **params)


@each_structure
@pytest.mark.usefixtures("compiled_isa")
def test_a_fit_ends_where_em_ends(structure: Structure, passes: list[int]) -> None:
    X = groups()
    model = fitted(X, covariance_type=structure)
    bounds = np.array(model.lower_bounds_)
    assert model.converged_
    assert len(passes) >= 3
    assert max(passes) < K / 2
    assert np.diff(bounds).min() > -1e-8
    assert model.truncation_gap_ == 0
    assert model.lower_bound_ == model.score(X) >= bounds[-1] - 1e-8
    exact = fitted(X, algorithm="em", covariance_type=structure)
    further = GaussianMixture(
        K,
        covariance_type=structure,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=model.precisions_,
        tol=0,
        max_iter=1,
    )
    with pytest.warns(match="did not converge"):
        further.fit(X)
    assert abs(further.lower_bound_ - model.lower_bound_) < 1e-5
    assert model.lower_bound_ > exact.lower_bound_ - 0.05


@each_structure
def test_the_fixed_point_is_that_of_em(structure: Structure, passes: list[int]) -> None:
    X = apart()
    listed, exact = (
        fitted(X, covariance_type=structure, algorithm=algorithm, tol=1e-14)
        for algorithm in ("truncated", "em")
    )
    assert passes
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(listed, name), getattr(exact, name), rtol=0, atol=1e-10)
    assert listed.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_iter", [1, 2, 3, 6, 25, 400])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_the_certificate_holds_wherever_a_fit_ends(seed: int, max_iter: int) -> None:
    X = groups(distance=2.0 + seed, seed=seed, n_samples=2000)
    structure = STRUCTURES[seed]
    weight = None if seed % 2 else np.random.default_rng(seed).uniform(0, 2, size=len(X))
    model = fitted(X, weight, max_iter=max_iter, covariance_type=structure)
    score = model.score(X, sample_weight=weight)
    assert model.n_iter_ <= max_iter
    assert model.lower_bound_ <= score <= model.lower_bound_ + model.truncation_gap_
    assert np.diff([*model.lower_bounds_, model.lower_bound_]).min(initial=0) > -1e-8
    assert model.truncation_gap_ < 1e-2


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_a_fit_that_max_iter_ends_in_its_lists_has_a_gap_and_keeps_it(tmp_path: Path) -> None:
    X = groups()
    model = fitted(X, max_iter=2, checkpoint=tmp_path / "run.ckpt")
    assert 0 < model.truncation_gap_ < 1e-2
    save(model, tmp_path / "model.npz")
    back = load(tmp_path / "model.npz")
    assert isinstance(back, GaussianMixture)
    assert back.truncation_gap_ == model.truncation_gap_
    again = fitted(X, max_iter=2, checkpoint=tmp_path / "run.ckpt")
    assert again.truncation_gap_ == model.truncation_gap_
    assert again.lower_bound_ == model.lower_bound_
    assert same_bits(again, model)
    assert fitted(X, algorithm="em", max_iter=2).truncation_gap_ == 0
    assert model.partial_fit(X).truncation_gap_ == 0


@each_structure
def test_the_bits_do_not_depend_on_threads(structure: Structure, monkeypatch: Any) -> None:
    monkeypatch.setattr("gaussmix._core.threads.PARALLEL_FLOPS", 0)
    X = groups(n_samples=3000)
    one, three = (fitted(X, covariance_type=structure, n_threads=n) for n in (1, 3))
    assert same_bits(one, three)


def test_weights_count_as_rows_that_are_there_so_often() -> None:
    X = apart(1600)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X)).astype(float)
    start = fitted(X, algorithm="em", max_iter=50)
    given: dict[str, Any] = {
        "weights_init": start.weights_,
        "means_init": start.means_,
        "precisions_init": start.precisions_,
        "tol": 1e-12,
    }
    weighted = fitted(X, weight, **given)
    repeated = fitted(X.repeat(weight.astype(int), axis=0), **given)
    np.testing.assert_allclose(weighted.means_, repeated.means_, atol=1e-9)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, atol=1e-9)


def test_float32_and_files(tmp_path: Path, passes: list[int]) -> None:
    X = apart().astype(np.float32)
    np.save(tmp_path / "rows.npy", X)
    from_memory = fitted(X, tol=1e-7)
    n_listed = len(passes)
    from_file = fitted(scan(tmp_path / "rows.npy"), tol=1e-7)
    assert 0 < n_listed < len(passes)
    np.testing.assert_allclose(from_file.means_, from_memory.means_, atol=1e-4)
    assert from_file.lower_bound_ == pytest.approx(from_memory.lower_bound_, abs=1e-5)


def test_several_segments_end_at_the_same_fixed_point(
    monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    X = apart()
    whole = fitted(X, tol=1e-13)
    monkeypatch.setattr(module, "SEGMENT_ROWS", 1100)
    monkeypatch.setattr(module, "CELL_ROWS", 20)
    monkeypatch.setattr(module, "CELL_COST", 1)
    parts = fitted(X, tol=1e-13)
    assert len(passes) > 4
    np.testing.assert_allclose(parts.means_, whole.means_, atol=1e-9)


def test_few_components_and_lists_that_do_not_pay_are_left_to_em(passes: list[int]) -> None:
    X = np.random.default_rng(0).normal(size=(3000, 4))
    for n_components in (4, K):
        listed, exact = (
            GaussianMixture(n_components, algorithm=algorithm, random_state=0, max_iter=200)
            for algorithm in ("truncated", "em")
        )
        assert same_bits(listed.fit(X), exact.fit(X))
    assert not passes


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("params", [{}, {"accelerate": "squarem"}], ids=["", "squarem"])
def test_a_run_looks_again_whether_lists_pay(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    """And it can be interrupted before, to the same bits."""
    X, path = groups(distance=2.5, n_samples=2000), tmp_path / "run.ckpt"
    answers: list[bool] = []
    pays = ListedRows.pays

    def not_at_first(self: ListedRows, *args: Any, **options: Any) -> bool:
        answers.append(len(answers) % 2 == 1 and pays(self, *args, **options))
        return answers[-1]

    monkeypatch.setattr(ListedRows, "pays", not_at_first)
    monkeypatch.setattr(module, "LARGEST_COST", 2.0)
    model = fitted(X, **params)
    assert answers[:2] == [False, True]
    assert passes
    assert model.n_iter_ > 10
    assert np.diff(model.lower_bounds_).min() > -1e-8
    assert model.lower_bound_ <= model.score(X) <= model.lower_bound_ + model.truncation_gap_
    exact = fitted(X, algorithm="em", max_iter=10, tol=0, **params)
    assert model.lower_bounds_[:10] == exact.lower_bounds_

    answers.clear()
    stop_after(7, monkeypatch, X, path, **params)
    assert same_bits(fitted(X, checkpoint=path, **params), model)


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson"])
@pytest.mark.parametrize("look", [0, 10])
def test_lists_that_do_not_pay_after_all_change_nothing(
    look: int, accelerate: str | None, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    """One row in eight said that they would pay."""
    X = groups(distance=2.5, n_samples=2000)
    asked: list[bool] = []

    def by_some(self: ListedRows, *_args: Any, **_options: Any) -> bool:
        asked.append(True)
        return truncated.LOOKS[len(asked) - 1] >= look

    monkeypatch.setattr(ListedRows, "pays", by_some)
    monkeypatch.setattr(ListedRows, "renew", lambda *_args, **_options: False)
    listed, exact = (
        fitted(X, algorithm=algorithm, accelerate=accelerate, max_iter=60)
        for algorithm in ("truncated", "em")
    )
    assert len(asked) > 1
    assert not passes
    assert same_bits(listed, exact)


@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson"])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_each_of_the_first_iterations_has_lists_of_its_own(
    accelerate: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_COST", np.inf)
    made: list[int] = []
    renew, e_step = ListedRows.renew, ListedRows.e_step

    def renewed(self: ListedRows, *args: Any, **options: Any) -> bool:
        made.append(0)
        return renew(self, *args, **options)

    def counted(self: ListedRows, *args: Any, **options: Any) -> Any:
        made[-1] += 1
        return e_step(self, *args, **options)

    monkeypatch.setattr(ListedRows, "renew", renewed)
    monkeypatch.setattr(ListedRows, "e_step", counted)
    model = fitted(groups(distance=2.5), accelerate=accelerate, max_iter=60)
    assert model.n_iter_ > 30
    assert made[:20] == [1] * 20
    assert max(made) > 8


def test_refused_lists_are_not_gone_back_to() -> None:
    data = InMemory(apart(), None)
    start = fitted(data.rows, algorithm="em", max_iter=50)
    point = Parameters.from_covariances(
        "full", start.weights_, start.means_, np.asarray(start.covariances_)
    )
    listed = ListedRows(data)
    options: dict[str, Any] = {"n_passes": 1, "thinned": False, "single": False}
    for _ in range(2):  # nothing is there to go back to, the second time, too
        assert listed.renew(point, 1e-4, **options)
        assert not listed.restore()
    for _ in range(2):
        assert listed.renew(point, 1e-4, **options)
    assert listed.restore()


@pytest.mark.parametrize("max_iter", [10, 35])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_a_run_that_is_over_looks_no_more(
    max_iter: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped in its last pass, after as many iterations as those of a look."""
    X, path = groups(distance=2.5, n_samples=2000), tmp_path / "run.ckpt"
    monkeypatch.setattr(module, "LARGEST_COST", 2.0)
    monkeypatch.setattr(truncated, "LOOKS", (0, 10, 35))
    pays = ListedRows.pays
    looks: list[int] = []

    def not_at_first(self: ListedRows, *args: Any, **options: Any) -> bool:
        looks.append(1)
        return len(looks) > 1 + (max_iter == 35) and pays(self, *args, **options)

    def stopped(self: MaximumLikelihood, parameters: Parameters) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(ListedRows, "pays", not_at_first)
    wanted = fitted(X, max_iter=max_iter, tol=0)
    looks.clear()
    with monkeypatch.context() as patch:
        patch.setattr(MaximumLikelihood, "score", stopped)
        with pytest.raises(KeyboardInterrupt):
            fitted(X, max_iter=max_iter, tol=0, checkpoint=path, checkpoint_interval=0)
    again = fitted(X, max_iter=max_iter, tol=0, checkpoint=path)
    assert again.n_iter_ == max_iter
    assert same_bits(again, wanted)


@each_structure
def test_jumps_need_fewer_iterations_and_never_lower_the_bound(
    structure: Structure, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    monkeypatch.setattr(module, "LARGEST_COST", np.inf)
    X = groups(distance=2.5, n_samples=2000)
    found = []
    for accelerate in ("squarem", "anderson", None):
        model = fitted(X, covariance_type=structure, accelerate=accelerate)
        assert passes
        assert model.converged_
        assert model.truncation_gap_ == 0
        assert np.diff(model.lower_bounds_).min() > -1e-8
        found.append(model.n_iter_)
    assert max(found[:2]) < 0.8 * found[2]


@pytest.mark.parametrize("distance", [2.5, 4.0])
def test_a_fit_goes_where_em_goes(distance: float, passes: list[int]) -> None:
    """Its lists follow components that move far in the first iterations."""
    X = groups(distance)
    listed, exact = (fitted(X, algorithm=name) for name in ("truncated", "em"))
    assert passes
    n = min(listed.n_iter_, exact.n_iter_, 30)
    np.testing.assert_allclose(listed.lower_bounds_[:n], exact.lower_bounds_[:n], atol=2e-3)


def test_a_fit_ends_with_an_iteration_of_em_that_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    X = apart()
    exact: list[float] = []
    e_step = MaximumLikelihood.e_step

    def counted(self: MaximumLikelihood, parameters: Parameters, **options: Any) -> Statistics:
        found = e_step(self, parameters, **options)
        exact.append(found.mean_log_likelihood)
        return found

    monkeypatch.setattr(MaximumLikelihood, "e_step", counted)
    model = fitted(X)
    assert model.converged_
    assert len(exact) < len(passes) / 2
    assert model.lower_bounds_[-1] == exact[-1]
    assert 0 <= model.score(X) - exact[-1] < 1e-5


@pytest.fixture
def precisions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Small data is worth float32; whether every pass over lists was in float32."""
    monkeypatch.setattr("gaussmix.em.mixed_precision.LEAST_FLOPS", 0.0)
    found: list[bool] = []
    e_step = ListedRows.e_step

    def noted(self: ListedRows, parameters: Any, **options: Any) -> Any:
        found.append(options["single"])
        return e_step(self, parameters, **options)

    monkeypatch.setattr(ListedRows, "e_step", noted)
    return found


@each_structure
@pytest.mark.usefixtures("compiled_isa")
def test_lists_are_gone_over_in_float32_while_they_gain_more_than_it_rounds(
    structure: Structure, precisions: list[bool]
) -> None:
    X = groups() + 100.0
    model = fitted(X, covariance_type=structure)
    assert model.converged_
    assert precisions[0]
    assert np.diff(model.lower_bounds_).min() > -1e-6
    assert model.lower_bound_ == model.score(X)
    exact = fitted(X, algorithm="em", covariance_type=structure)
    assert model.lower_bound_ > exact.lower_bound_ - 0.05


@each_structure
def test_the_fixed_point_is_that_of_em_after_float32(
    structure: Structure, precisions: list[bool]
) -> None:
    X = apart()
    listed, exact = (
        fitted(X, covariance_type=structure, algorithm=algorithm, tol=1e-14)
        for algorithm in ("truncated", "em")
    )
    assert precisions[0]
    assert not precisions[-1]  # under the last lists
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(listed, name), getattr(exact, name), rtol=0, atol=1e-10)


def test_a_monitor_that_restarted_does_not_hide_the_last_gain() -> None:
    monitor = Monitor(1e-3)
    assert truncated._last_gain(monitor) == np.inf
    monitor.update(-2.0)
    assert truncated._last_gain(monitor) == np.inf
    monitor.restart()
    monitor.update(-1.75)
    assert monitor.change == np.inf
    assert truncated._last_gain(monitor) == 0.25


@pytest.mark.parametrize("max_iter", [1, 4, 25])
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_the_certificate_holds_after_float32(max_iter: int, precisions: list[bool]) -> None:
    X = groups() + 1e4
    weight = np.random.default_rng(0).uniform(0, 2, size=len(X))
    model = fitted(X, weight, max_iter=max_iter)
    assert any(precisions)
    score = model.score(X, sample_weight=weight)
    assert model.lower_bound_ <= score <= model.lower_bound_ + model.truncation_gap_


def test_the_bits_do_not_depend_on_threads_in_float32(
    precisions: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix._core.threads.PARALLEL_FLOPS", 0)
    X = groups(n_samples=3000)
    assert same_bits(*(fitted(X, n_threads=n) for n in (1, 3)))
    assert any(precisions)


def test_a_component_stays_on_the_lists_of_the_cells_that_have_its_rows() -> None:
    n_rows, owners = np.array([100, 100]), np.array([0, 1])
    masses = np.array([[99.999, 0.0, 0.001], [0.0, 100.0, 1e-9]])
    matters = _mattering(masses, n_rows, owners, 1e-3, masses.sum(axis=0))
    np.testing.assert_array_equal(matters, [[True, False, True], [False, True, False]])
    matters = _mattering(masses, n_rows, owners, 1e-3, np.array([100.0, 100.0, 1.0]))
    np.testing.assert_array_equal(matters, [[True, False, False], [False, True, False]])
    matters = _mattering(masses, n_rows, owners, 1e-12, np.full(3, 1e9))
    np.testing.assert_array_equal(matters, [[True, False, True], [False, True, True]])


def test_a_look_at_some_rows_sees_other_ones_each_time() -> None:
    order = np.random.default_rng(0).permutation(1000).astype(np.int32)
    edges = np.array([10, 30, 31, 230, 1000])
    seen = set()
    for offset in range(8):
        some, ends = _thinned(order, edges, offset)
        assert ends[0] == 0
        assert ends[-1] == len(some)
        assert np.diff(ends).tolist()[:2] == [20, 1]  # all rows of small cells
        for i in range(4):
            assert {*some[ends[i] : ends[i + 1]]} <= {*order[edges[i] : edges[i + 1]]}
        assert len(some) < 0.2 * len(order)
        seen |= {*some}
    assert seen == {*order[10:]}


@pytest.mark.parametrize("before_the_end", [False, True])
def test_a_fit_goes_on_from_its_checkpoint_to_the_same_bits(
    before_the_end: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    """One that is stopped among its lists goes on from where these began."""
    X, path = apart(1000), tmp_path / "run.ckpt"
    wanted = fitted(X)
    assert passes
    stop_after(wanted.n_iter_ - 1 if before_the_end else 2, monkeypatch, X, path)
    assert same_bits(fitted(X, checkpoint=path), wanted)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"noise": True}, "noise"),
        ({"prior": Prior()}, "prior"),
        ({"reg_covar": "relative"}, "reg_covar='relative'"),
        ({"weights": "equal"}, "fixed or weights='equal'"),
        ({"missing_values": "marginalize"}, "missing_values='marginalize'"),
        ({"eigenvalue_ratio": 5.0}, "eigenvalue_ratio"),
        ({"covariance_type": "VVE"}, "covariance_type='VVE'"),
        ({"covariance_type": "tied-diag"}, "covariance_type='tied-diag'"),  # not 'EEI'
    ],
)
def test_what_lists_do_not_know_is_refused_by_name(params: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError, match=f"algorithm='truncated' and {name} are both given"):
        fitted(groups(n_samples=200), **params)


def test_labels_are_refused_by_name() -> None:
    X = groups(n_samples=200)
    with pytest.raises(ParameterError, match="do not go with algorithm='truncated'"):
        GaussianMixture(K, algorithm="truncated").fit(X, labels=np.full(200, -1))


def test_kernels_that_are_active_make_the_passes(isa: str, passes: list[int]) -> None:
    fitted(apart(800))
    assert passes
    assert dispatch.active().name == isa
