"""Labels, priors per row, and parameters that stay: what a mixture is told beforehand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import gaussmix
from gaussmix import GaussianMixture, ParameterError, Prior, scan
from gaussmix._core.types import Algorithm, FloatArray

Array = NDArray[np.float64]


def two_moons_of_blobs(n: int = 400, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """Four round groups; the first two are class 0, the others class 1."""
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [6.0, 6.0], [6.0, 0.0], [0.0, 6.0]])
    group = rng.integers(4, size=n)
    return centers[group] + rng.normal(size=(n, 2)), group


def joint(mixture: GaussianMixture, X: Array) -> Array:
    """log(pi_k N_k) by SciPy."""
    return np.column_stack(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
            for weight, mean, covariance in zip(
                mixture.weights_, mixture.means_, mixture.covariances_, strict=True
            )
        ]
    )


def slow_em(X: Array, priors: Array, mixture: GaussianMixture, n_iter: int) -> Array:
    """Means after EM with row priors, as the formulas have it, from a mixture's parameters."""
    weights, means, covariances = mixture.weights_, mixture.means_, mixture.covariances_
    for _ in range(n_iter):
        parts = zip(weights, means, covariances, strict=True)
        logs = np.column_stack(
            [np.log(w) + multivariate_normal(m, c).logpdf(X) for w, m, c in parts]
        )
        with np.errstate(divide="ignore"):
            logs = logs + np.log(priors)
        resp = np.exp(logs - logsumexp(logs, axis=1)[:, None])
        n_k = resp.sum(axis=0)
        weights, means = n_k / n_k.sum(), resp.T @ X / n_k[:, None]
        covariances = np.array(
            [
                (r[:, None] * (X - m)).T @ (X - m) / n
                for r, m, n in zip(resp.T, means, n_k, strict=True)
            ]
        )
    return means


def test_every_iteration_is_that_of_the_formulas() -> None:
    X, group = two_moons_of_blobs()
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(len(X)) < 0.3, group, -1)
    start = GaussianMixture(4, random_state=0, max_iter=0).fit(X, labels=labels)
    priors = np.where(labels[:, None] < 0, 1.0, labels[:, None] == np.arange(4))
    for told in ({"labels": labels}, {"row_priors": priors}):
        fit = GaussianMixture(
            4,
            weights_init=start.weights_,
            means_init=start.means_,
            precisions_init=start.precisions_,
            reg_covar=0,
            tol=0,
            max_iter=5,
        )
        with pytest.warns(gaussmix.ConvergenceWarning):
            fit.fit(X, **told)
        assert np.allclose(fit.means_, slow_em(X, priors, start, 5), rtol=1e-9)


def test_likelihood_never_falls_and_is_the_sum_over_what_is_possible() -> None:
    X, group = two_moons_of_blobs()
    priors = np.random.default_rng(3).gamma(0.5, size=(len(X), 4))
    priors[:50, 1] = 0
    mixture = GaussianMixture(4, random_state=0, reg_covar=0, tol=1e-8, max_iter=500)
    mixture.fit(X, row_priors=priors)
    bounds = np.array(mixture.lower_bounds_)
    assert (np.diff(bounds) > -1e-12).all()
    with np.errstate(divide="ignore"):
        truth = logsumexp(joint(mixture, X) + np.log(priors), axis=1)
    found = mixture.score_samples(X, row_priors=priors)
    assert np.allclose(found, truth, rtol=1e-9)
    assert np.isclose(mixture.lower_bound_, truth.mean(), rtol=1e-9)
    resp = mixture.predict_proba(X, row_priors=priors)
    assert (resp[:50, 1] == 0).all()
    del group


def test_labelled_rows_name_the_components() -> None:
    X, group = two_moons_of_blobs()
    labels = np.full(len(X), -1)
    for k in range(4):
        labels[np.flatnonzero(group == k)[:3]] = k
    found = GaussianMixture(4, random_state=0).fit(X, labels=labels).predict(X)
    assert (found == group).mean() > 0.98
    resp = GaussianMixture(4, random_state=0).fit(X, labels=labels).predict_proba(X, labels=labels)
    known = labels >= 0
    assert np.array_equal(resp[known], np.eye(4)[labels[known]])


def test_strings_are_classes_and_a_class_may_own_several_components() -> None:
    X, group = two_moons_of_blobs()
    names = np.array(["diagonal", "other"], dtype=object)[group // 2]
    for unknown in (None, np.nan, -1):
        labels = names.copy()
        labels[40:] = unknown
        mixture = GaussianMixture(4, random_state=0)
        mixture.fit(X, labels=labels, component_labels=["diagonal", "diagonal", "other", "other"])
        assert mixture.classes_.tolist() == ["diagonal", "other"]
        assert mixture.predict_proba(X).shape == (len(X), 2)
        assert np.allclose(mixture.predict_proba(X).sum(axis=1), 1)
        assert (mixture.predict(X) == names).mean() > 0.97
    plain = GaussianMixture(2, random_state=0).fit(X, labels=names.astype(str))
    assert plain.predict(X).dtype.kind == "U"
    assert not hasattr(plain.fit(X), "classes_")


def test_files_and_memory_give_the_same_bits(tmp_path: Path) -> None:
    X, group = two_moons_of_blobs(5000)
    labels = np.where(np.arange(len(X)) % 7 == 0, group, -1)
    priors = np.random.default_rng(0).uniform(0.1, 1, size=(len(X), 4)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    for told in ({"labels": labels}, {"row_priors": priors}):
        one = GaussianMixture(4, random_state=0).fit(X, **told)
        two = GaussianMixture(4, random_state=0).fit(scan(tmp_path / "X.npy"), **told)
        assert np.array_equal(one.means_, two.means_)
        assert one.lower_bound_ == two.lower_bound_
        path = one.predict_proba(X, **told, out=tmp_path / "proba.npy")
        assert np.array_equal(np.load(path), one.predict_proba(X, **told))


def test_labels_may_be_a_column_of_a_file(tmp_path: Path) -> None:
    X, group = two_moons_of_blobs()
    labels = np.where(np.arange(len(X)) % 5 == 0, group, -1)
    one = GaussianMixture(4, random_state=0).fit(X, labels=labels)
    np.savetxt(
        tmp_path / "n.csv", np.column_stack([labels, X]), "%.17g", ",", header="k,x,y", comments=""
    )
    two = GaussianMixture(4, random_state=0).fit(scan(tmp_path / "n.csv", labels="k"))
    assert np.array_equal(one.means_, two.means_)
    names = np.array(["a", "b", "c", "d", ""])[labels]
    lines = [f"{x!r},{name},{y!r}" for (x, y), name in zip(X.tolist(), names, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(["x,k,y", *lines]))
    three = GaussianMixture(4, random_state=0).fit(scan(tmp_path / "s.csv", labels="k"))
    assert three.classes_.tolist() == ["a", "b", "c", "d"]
    assert np.array_equal(one.means_, three.means_)
    with pytest.raises(ParameterError, match="a column of its own"):
        scan(tmp_path / "n.csv", ["k", "x"], labels="k")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_priors_may_be_columns_of_a_file(ending: str, tmp_path: Path) -> None:
    frames = pytest.importorskip("pandas")
    X, _ = two_moons_of_blobs(3000)
    priors = np.random.default_rng(0).uniform(0.1, 1, size=(len(X), 5))
    table = frames.DataFrame(np.column_stack([priors[:, :2], X, priors[:, 2:]]))
    table.columns = ["a", "b", "x", "y", "c", "d", "noise"]
    path = tmp_path / f"rows{ending}"
    if ending == ".csv":
        table.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    one = GaussianMixture(4, noise=True, random_state=0).fit(X, row_priors=priors)
    source = scan(path, row_priors=["a", "b", "c", "d", "noise"])
    assert source.columns == ("x", "y")
    two = GaussianMixture(4, noise=True, random_state=0).fit(source)
    assert np.array_equal(one.means_, two.means_)
    assert one.lower_bound_ == two.lower_bound_
    beside = scan(path, ["a", "b", "c", "d", "noise"])
    three = GaussianMixture(4, noise=True, random_state=0).fit(X, row_priors=beside)
    assert np.array_equal(one.means_, three.means_)
    assert np.array_equal(
        one.predict_proba(X, row_priors=beside), one.predict_proba(X, row_priors=priors)
    )
    with pytest.raises(ParameterError, match="a column for each of 5"):
        GaussianMixture(4, noise=True).fit(scan(path, ["x", "y"], row_priors=[0, 1]))
    with pytest.raises(ParameterError, match="row_priors must be a column of its own"):
        scan(path, ["a", "x"], row_priors=["a", "b"])
    with pytest.raises(ParameterError, match="different columns"):
        scan(path, row_priors=["a", "a"])
    with pytest.raises(ParameterError, match="for each of the 2999"):
        GaussianMixture(4, noise=True).fit(X[1:], row_priors=beside)
    table.loc[2100, "c"] = -1
    bad = scan(table, row_priors=["a", "b", "c", "d", "noise"])
    with pytest.raises(ParameterError, match=r"not negative.* at row 2100"):
        GaussianMixture(4, noise=True).fit(bad)


def test_partitions_of_dask_and_memory_agree() -> None:
    da = pytest.importorskip("dask.array")
    X, group = two_moons_of_blobs(5000)
    labels = np.where(np.arange(len(X)) % 7 == 0, group, -1)
    names = np.array(["a", "b", "c", "d", "?"])[labels]
    priors = np.random.default_rng(0).uniform(0.1, 1, size=(len(X), 4)).astype(np.float32)
    rows = da.from_array(X, chunks=(1024, 2))
    owners = ["a", "b", "c", "d"]
    for told, lazy, options in (
        ({"labels": labels}, {"labels": da.from_array(labels, chunks=1024)}, {}),
        ({"labels": labels}, {"labels": labels}, {"noise": True}),
        ({"row_priors": priors}, {"row_priors": da.from_array(priors, chunks=(900, 2))}, {}),
    ):
        settings: dict[str, Any] = {"random_state": 0, "tol": 1e-9, "max_iter": 1000, **options}
        one = GaussianMixture(4, **settings).fit(X, **told)
        two = GaussianMixture(4, **settings).fit(rows, **lazy)
        assert np.allclose(one.means_, two.means_, atol=1e-5)
        assert np.isclose(one.lower_bound_, two.lower_bound_)
    some = np.where(labels < 0, "", names).astype(object)
    some[labels < 0] = None
    by_name = GaussianMixture(4, random_state=0)
    by_name.fit(rows, labels=da.from_array(some, chunks=1024), component_labels=owners)
    assert (by_name.predict(X) == np.array(owners)[group]).mean() > 0.98
    assert (by_name.predict(rows).compute() == by_name.predict(X)).all()
    with pytest.raises(ParameterError, match="for each of the 5000"):
        GaussianMixture(4).fit(rows, labels=labels[:-1])
    with pytest.raises(ParameterError, match="from 0 to 3"):
        GaussianMixture(4).fit(rows, labels=da.from_array(labels + 2, chunks=1024))
    asked: tuple[Any, ...] = (by_name.predict_proba, by_name.score_samples)
    for ask in asked:
        for told, lazy in (
            ({"labels": some}, {"labels": da.from_array(some, chunks=700)}),
            ({"row_priors": priors}, {"row_priors": da.from_array(priors, chunks=(900, 2))}),
            ({"row_priors": priors}, {"row_priors": priors}),
        ):
            found = ask(rows, **lazy)
            assert found.chunks[0] == rows.chunks[0]
            assert np.allclose(found.compute(), ask(X, **told), atol=1e-12)
    unknown = rows[rows[:, 0] > -99]  # whose row counts Dask does not know
    ask = asked[0]
    found = ask(unknown, labels=da.from_array(some, chunks=1024))
    assert np.allclose(found.compute(), by_name.predict_proba(X, labels=some))
    with pytest.raises(ParameterError, match="out must be None"):
        by_name.predict_proba(rows, labels=some, out="p.npy")


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "VEE", "EVE"])
def test_float32_and_weights_and_families_work(covariance_type: str) -> None:
    X, group = two_moons_of_blobs()
    labels = np.where(np.arange(len(X)) % 3 == 0, group, -1)
    doubled = GaussianMixture(4, covariance_type=covariance_type, random_state=0, tol=1e-9)  # type: ignore[arg-type]
    doubled.set_params(max_iter=1000)
    twice = doubled.fit(X, sample_weight=np.full(len(X), 2.0), labels=labels)
    doubled.set_params(tol=1e-6)  # float32 tells no less apart
    single = GaussianMixture(**doubled.get_params()).fit(X.astype(np.float32), labels=labels)
    assert np.allclose(single.means_, twice.means_, atol=1e-3)


def test_a_checkpoint_knows_its_labels(tmp_path: Path) -> None:
    X, group = two_moons_of_blobs()
    path = tmp_path / "fit"
    first = GaussianMixture(4, random_state=0, checkpoint=path).fit(X, labels=group)
    again = GaussianMixture(4, random_state=0, checkpoint=path).fit(X, labels=group)
    assert np.array_equal(first.means_, again.means_)
    with pytest.raises(gaussmix.CheckpointError, match="labels or row_priors"):
        GaussianMixture(4, random_state=0, checkpoint=path).fit(X, labels=(group + 1) % 4)


def test_models_keep_their_classes(tmp_path: Path) -> None:
    X, group = two_moons_of_blobs()
    names = np.array(["a", "b", "c", "d"])[group]
    mixture = GaussianMixture(4, random_state=0).fit(X, labels=names)
    gaussmix.save(mixture, tmp_path / "m.npz")
    loaded = gaussmix.load(tmp_path / "m.npz", GaussianMixture)
    assert np.array_equal(loaded.predict(X), mixture.predict(X))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"labels": [0, 1]}, "for each of the 400"),
        ({"labels": np.full(400, 4)}, r"from 0 to 3, .*got .*4"),
        ({"labels": np.full(400, 0.5)}, "whole numbers"),
        ({"labels": np.full(400, "a")}, "component_labels"),
        ({"labels": np.zeros(400, int), "row_priors": np.ones((400, 4))}, "both given"),
        ({"row_priors": np.ones((400, 3))}, "a column for each of 4"),
        ({"row_priors": np.full((400, 4), np.nan)}, "finite and not negative.*row 0"),
        ({"row_priors": np.zeros((400, 4))}, "row 0 has none above 0"),
        ({"labels": np.zeros(400, int), "component_labels": [0, 0, 1]}, "each of 4 components"),
        ({"labels": np.full(400, 3), "component_labels": [0, 0, 1, 1]}, "among the classes"),
        ({"labels": [[0, 1]] + [[0]] * 399}, "labels must be whole numbers or strings"),
        ({"labels": [0, "a"] + [None] * 398}, "labels must be all strings or all whole"),
        ({"labels": [0, 0.5] + [None] * 398}, "labels must be whole numbers, .*fractions"),
        ({"labels": [object()] * 400}, "labels must be whole numbers or strings"),
        ({"labels": np.full(400, 2**64 - 1, np.uint64)}, "labels must be numbers of components"),
        ({"component_labels": [0, None, 1, 1]}, "component_labels must name .*got None"),
        ({"component_labels": [0, -1, 1, 1]}, "component_labels must name .*got -1"),
        ({"component_labels": [0, np.nan, 1, 1]}, "component_labels must name .*got nan"),
        ({"component_labels": [[0], [0], 1, 1]}, "component_labels must be whole numbers or"),
        ({"component_labels": [0.5, 1, 1, 1]}, "component_labels must be whole .*fractions"),
        ({"component_labels": [{}] * 4}, "component_labels must be whole numbers or strings"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, object], message: str) -> None:
    X, _ = two_moons_of_blobs()
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(4).fit(X, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [False, True])
def test_what_is_not_known_can_be_written_in_many_ways(noise: bool) -> None:
    X, group = two_moons_of_blobs()
    known = np.arange(400) % 10 == 0
    labels = np.where(known, group, -1)

    def fit(told: object) -> FloatArray:
        return GaussianMixture(4, noise=noise, random_state=0).fit(X, labels=told).means_

    expected = fit(labels)
    ways: list[Any] = [
        np.ma.array(group, mask=~known),
        np.where(known, group, np.nan),
        [int(label) if there else None for label, there in zip(group, known, strict=True)],
        [float(label) if there else None for label, there in zip(group, known, strict=True)],
        np.where(known, group, -2).astype(object),
    ]
    for way in ways:
        assert np.array_equal(fit(way), expected)


def test_options_that_do_not_go_together_are_refused() -> None:
    X, group = two_moons_of_blobs()
    with pytest.raises(ParameterError, match="init_params"):
        GaussianMixture(4, init_params="emem").fit(X, labels=group)


def test_fixed_parameters_stay_and_covariances_are_about_them() -> None:
    X, _ = two_moons_of_blobs()
    means = np.array([[0.0, 0.5], [6.0, 6.0], [6.0, 0.5], [0.0, 6.0]])
    weights = np.array([0.4, 0.2, 0.2, 0.2])
    mixture = GaussianMixture(
        4,
        means_init=means,
        weights_init=weights,
        fixed={"means": [0, 2], "weights": [0]},
        reg_covar=0,
        tol=1e-9,
        max_iter=1000,
    ).fit(X)
    assert np.array_equal(mixture.means_[[0, 2]], means[[0, 2]])
    assert mixture.weights_[0] == 0.4
    assert np.isclose(mixture.weights_.sum(), 1)
    assert (np.diff(mixture.lower_bounds_) > -1e-12).all()
    resp = mixture.predict_proba(X)
    deviations = X - means[0]
    about = (resp[:, :1] * deviations).T @ deviations / resp[:, 0].sum()
    assert np.allclose(mixture.covariances_[0], about, atol=1e-4)
    free = resp.sum(axis=0)[1:]
    assert np.allclose(mixture.weights_[1:], 0.6 * free / free.sum(), atol=1e-4)


def test_fixed_covariances_and_equal_weights() -> None:
    X, _ = two_moons_of_blobs()
    unit = np.tile(np.eye(2), (4, 1, 1))
    mixture = GaussianMixture(
        4, precisions_init=unit, fixed={"covariances": True}, weights="equal", random_state=0
    ).fit(X)
    assert np.array_equal(mixture.covariances_, unit)
    assert (mixture.weights_ == 0.25).all()
    part = GaussianMixture(
        4, covariance_type="diag", precisions_init=unit[:, 0] + unit[:, 1], random_state=0
    )
    part.set_params(fixed={"covariances": [1]}).fit(X)
    assert np.allclose(part.covariances_[1], 1)
    assert not np.allclose(part.covariances_[0], 1)


@pytest.mark.parametrize(
    "options",
    [
        {"accelerate": "squarem"},
        {"accelerate": "anderson"},
        {"algorithm": "incremental"},
        {"accelerate": "anderson", "covariance_type": "VEE"},
        {"accelerate": "squarem", "noise": 400.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("equal", [False, True])
def test_rules_are_kept_on_every_way(options: dict[str, Any], equal: bool) -> None:
    X = np.vstack([two_moons_of_blobs()[0]] * 12)  # several blocks
    means = np.array([[0.0, 0.5], [6.0, 6.0], [6.0, 0.5], [0.0, 6.0]])
    weights = np.array([0.4, 0.2, 0.2, 0.1 if "noise" in options else 0.2])
    weights[3] = 1 - weights[:3].sum()
    fixed: dict[str, Any] = {"means": [0, 2]} | ({} if equal else {"weights": [0]})
    ways: dict[str, Any] = {
        "means_init": means,
        "weights_init": weights,
        "fixed": fixed,
        "weights": "equal" if equal else None,
    }
    settings: dict[str, Any] = {"tol": 1e-12, "max_iter": 3000, "reg_covar": 0, "random_state": 0}
    family = options.get("covariance_type", "full")
    noise = options.get("noise", False)
    plain = GaussianMixture(4, covariance_type=family, noise=noise, **ways, **settings).fit(X)
    other = GaussianMixture(4, **options, **ways, **settings).fit(X)
    assert np.array_equal(other.means_[[0, 2]], means[[0, 2]])
    if equal:
        assert (other.weights_ == other.weights_[0]).all()
    else:
        assert other.weights_[0] == plain.weights_[0]
    assert np.isclose(other.lower_bound_, plain.lower_bound_, atol=1e-9)
    assert np.allclose(other.covariances_, plain.covariances_, atol=1e-3)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_prior_keeps_to_fixed_means_and_equal_weights(covariance_type: str) -> None:
    X, _ = two_moons_of_blobs()
    means = np.array([[0.0, 0.5], [6.0, 6.0], [6.0, 0.5], [0.0, 6.0]])
    prior = Prior([1.0, 2.0], 5.0, 7.0, np.eye(2) if covariance_type == "full" else np.ones(2))
    mixture = GaussianMixture(
        4,
        covariance_type=covariance_type,  # type: ignore[arg-type]
        prior=prior,
        means_init=means,
        fixed={"means": [0, 2]},
        weights="equal",
        reg_covar=0,
        tol=1e-13,
        max_iter=2000,
    ).fit(X)
    assert np.array_equal(mixture.means_[[0, 2]], means[[0, 2]])
    assert (mixture.weights_ == 0.25).all()
    assert (np.diff(mixture.lower_bounds_) > -1e-12).all()
    resp = mixture.predict_proba(X)
    d, pull = X - means[0], means[0] - [1.0, 2.0]
    scatter = (resp[:, :1] * d).T @ d + np.eye(2) + 5.0 * np.outer(pull, pull)
    rows = resp[:, 0].sum() + 7.0 + (2 + 2 if covariance_type == "full" else 3)
    wanted = scatter / rows if covariance_type == "full" else np.diag(scatter) / rows
    assert np.allclose(mixture.covariances_[0], wanted, atol=1e-6)


def test_a_ratio_of_eigenvalues_goes_with_equal_weights() -> None:
    X, _ = two_moons_of_blobs()
    mixture = GaussianMixture(4, eigenvalue_ratio=2.0, weights="equal", random_state=0).fit(X)
    eigenvalues = np.linalg.eigvalsh(mixture.covariances_)
    assert eigenvalues.max() <= 2.0 * eigenvalues.min() * (1 + 1e-9)
    assert (mixture.weights_ == 0.25).all()


def test_incremental_em_takes_labels() -> None:
    X, group = two_moons_of_blobs()
    X, group = np.vstack([X] * 12), np.tile(group, 12)
    labels = np.where(np.arange(len(X)) % 9 == 0, group, -1)
    settings: dict[str, Any] = {"tol": 1e-12, "max_iter": 2000, "random_state": 0}
    algorithms: tuple[Algorithm, ...] = ("em", "incremental")
    fits = [
        GaussianMixture(4, algorithm=algorithm, **settings).fit(X, labels=labels)
        for algorithm in algorithms
    ]
    assert np.allclose(fits[0].means_, fits[1].means_, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"mean": True}}, "some of weights, means, covariances, got 'mean'"),
        ({"fixed": {"means": [4]}}, "components from 0 to 3"),
        ({"fixed": {"means": [0]}}, "needs means_init"),
        ({"fixed": [0]}, "must be a dict"),
        ({"weights": "same"}, "None or 'equal'"),
        ({"fixed": {"covariances": True}, "eigenvalue_ratio": 9.0}, "fixed.* and eigenvalue_ratio"),
        ({"fixed": {"covariances": [0]}, "covariance_type": "tied"}, "depend on each other"),
    ],
    ids=str,
)
def test_rules_that_cannot_be_kept_are_refused(options: dict[str, object], message: str) -> None:
    X, _ = two_moons_of_blobs()
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(4, **options).fit(X)  # type: ignore[arg-type]
