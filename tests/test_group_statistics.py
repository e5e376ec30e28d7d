"""Statistics of groups of rows, and the Fisher vectors and supervectors that are made from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture as Theirs

import gaussmix
from gaussmix import GaussianMixture, ParameterError, SufficientStatistics
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import CovarianceType, FloatArray
from gaussmix.model.families import CODES
from gaussmix.queries import grouped

each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def rows(n_samples: int = 500, n_features: int = 3) -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, n_features)) + 2.0 * rng.integers(3, size=(n_samples, 1))


def world(structure: CovarianceType = "diag", n_features: int = 3) -> GaussianMixture:
    return GaussianMixture(3, covariance_type=structure, random_state=0, tol=1e-2).fit(
        rows(n_features=n_features)
    )


X = rows()
GROUPS = np.random.default_rng(1).integers(7, size=len(X))


def by_hand(
    model: GaussianMixture,
    X: FloatArray,
    groups: NDArray[Any],
    weight: FloatArray,
    shift: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return n, first, full second moments (G, K, D, D) and log-likelihoods, by the definition."""
    resp = model.predict_proba(X) * weight[:, None]
    member = groups[None] == np.arange(groups.max() + 1)[:, None]
    d = X[:, None] - shift
    n = np.einsum("gn,nk->gk", member, resp)
    first = np.einsum("gn,nk,nki->gki", member, resp, d, optimize=True)
    second = np.einsum("gn,nk,nki,nkj->gkij", member, resp, d, d, optimize=True)
    return n, first, second, member @ (weight * model.score_samples(X))


def in_form(second: FloatArray, form: str) -> FloatArray:
    if form == "full":
        return second
    if form == "tied":
        return np.asarray(second.sum(axis=1))
    diagonals = np.einsum("gkii->gki", second)
    return diagonals if form == "diag" else np.asarray(diagonals.sum(axis=2))


@each_structure
def test_the_definition(structure: CovarianceType) -> None:
    model, weight = world(structure), np.random.default_rng(2).uniform(0, 2, len(X))
    found = model.statistics(X, GROUPS, sample_weight=weight)
    n, first, second, log_likelihood = by_hand(model, X, GROUPS, weight, model.means_)
    assert isinstance(found, SufficientStatistics)
    assert_array_equal(found.shift, model.means_)
    assert_allclose(found.n, n, rtol=1e-10)
    assert_allclose(found.first, first, rtol=1e-8, atol=1e-9)
    assert_allclose(found.second, in_form(second, structure), rtol=1e-8, atol=1e-9)
    assert_allclose(found.log_likelihood, log_likelihood, rtol=1e-10)


@each_structure
@pytest.mark.parametrize("shift", [0.0, [1.0, -2.0, 3.0]])
def test_another_shift(structure: CovarianceType, shift: Any) -> None:
    model = world(structure)
    found = model.statistics(X, GROUPS).about(shift)
    wanted = np.broadcast_to(np.asarray(shift, np.float64), (3, 3))
    _, first, second, _ = by_hand(model, X, GROUPS, np.ones(len(X)), wanted)
    assert_array_equal(found.shift, wanted)
    assert_allclose(found.first, first, rtol=1e-8, atol=1e-9)
    assert_allclose(found.second, in_form(second, structure), rtol=1e-8, atol=1e-9)


def test_all_rows_are_one_group() -> None:
    model = world()
    found = model.statistics(X)
    assert found.n.shape == (1, 3)
    assert_allclose(found.n.sum(), len(X))
    assert_allclose(found.log_likelihood, [model.score(X) * len(X)])


@pytest.mark.parametrize("structure", CODES)
def test_groups_add_up(structure: CovarianceType) -> None:
    model = world(structure)
    apart, together = model.statistics(X, GROUPS), model.statistics(X)
    for name in ("n", "first", "second", "log_likelihood"):
        parts, whole = getattr(apart, name), getattr(together, name)
        assert_allclose(parts.sum(axis=0), whole[0], rtol=1e-8, atol=1e-9)


def test_groups_without_rows_are_zero() -> None:
    found = world().statistics(X[:4], [5, 1, 5, 1])
    assert found.n.shape == (6, 3)
    assert not found.n[[0, 2, 3, 4]].any()
    assert_allclose(found.n[[1, 5]].sum(axis=1), 2)


@each_structure
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("size", [3, 1500])
def test_the_same_bits_for_any_number_of_threads(
    structure: CovarianceType, in_order: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "PIECE_ROWS", 1024)
    many = rows(6000)
    groups = np.random.default_rng(3).permutation(len(many)) // size
    groups = np.sort(groups) if in_order else groups
    model = world(structure)
    wanted = model.statistics(many, groups)
    alone = [model.statistics(many[groups == g]) for g in range(3)]
    for n_threads in (1, 2, 3):
        found = model.set_params(n_threads=n_threads).statistics(many, groups)
        for name in ("n", "first", "second", "log_likelihood"):
            assert_array_equal(getattr(found, name), getattr(wanted, name))
            for g, other in enumerate(alone):
                assert_array_equal(getattr(found, name)[g], getattr(other, name)[0])


def test_files_and_single_precision(tmp_path: Path) -> None:
    many = rows(400_000)  # more than one block of a file
    groups = np.arange(len(many)) // 1000
    np.save(tmp_path / "rows.npy", many)
    model = world()
    wanted = model.statistics(many, groups)
    assert_allclose(model.statistics(tmp_path / "rows.npy", groups).first, wanted.first, atol=1e-8)
    single = model.statistics(many.astype(np.float32), groups)
    assert_array_equal(single.shift, model.means_)
    assert_allclose(single.first, wanted.first, atol=0.1)
    assert_allclose(single.n, wanted.n, atol=1e-2)


def test_a_row_out_of_reach_is_told() -> None:
    far = X.astype(np.float32)
    far[7] = 1e25
    with pytest.raises(ValueError, match="row 7"):
        world().statistics(far, GROUPS)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(3, int), "a number for each of the 500 rows"),
        (np.zeros(len(X)), "integers"),
        (-GROUPS, "negative"),
        (np.zeros((len(X), 1), int), "shape"),
        (["a"] * len(X), "groups"),
        (np.full(len(X), 2**63 - 1), "groups must be numbers from 0 on .*got 9223372036854775807"),
        (np.full(len(X), 2**64 - 1, np.uint64), "groups must be numbers from 0 on without large"),
        (np.full(len(X), 2**62), r"groups must be .*got 4611686018427387904: np.unique\(groups"),
    ],
)
def test_groups_are_checked(groups: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        world().statistics(X, groups)


@each_structure
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_groups_in_partitions(structure: CovarianceType, dtype: Any) -> None:
    dask_array = pytest.importorskip("dask.array")
    numbers = np.where(GROUPS == 5, 9, GROUPS)  # groups without rows, and one in all partitions
    numbers[:300] = np.minimum(numbers[:300], 2)
    weight = np.random.default_rng(2).uniform(0, 2, size=len(X))
    model, own = world(structure), X.astype(dtype)
    wanted = model.statistics(own, numbers, weight)
    lazy = dask_array.from_array(own, chunks=((200, 0, 100, 150, 50), 3))
    beside = [dask_array.from_array(a, chunks=lazy.chunks[:1]) for a in (numbers, weight)]
    for given in (numbers, beside[0], dask_array.from_array(numbers, chunks=77)):
        found = model.statistics(lazy, given, beside[1])
        assert found.n.shape == (10, 3)
        for name in ("n", "first", "second", "log_likelihood", "shift"):
            one, other = getattr(found, name), getattr(wanted, name)
            tolerance = 1e-9 if dtype == np.float64 else 1e-2  # products of blocks are float32
            assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    total = model.statistics(lazy, sample_weight=beside[1])
    assert_allclose(found.n.sum(axis=0), total.n[0], rtol=1e-5)


def test_groups_of_partitions_are_checked() -> None:
    dask_array = pytest.importorskip("dask.array")
    model, lazy = world(), dask_array.from_array(X, chunks=(100, 3))
    parts = lazy.to_delayed().ravel().tolist()
    short = dask_array.from_array(GROUPS, chunks=100).to_delayed().tolist()
    with pytest.raises(ParameterError, match="groups must have a row for each of the 500 of X"):
        model.statistics(lazy, GROUPS[:400])
    with pytest.raises(ParameterError, match="groups must not be negative"):
        model.statistics(lazy, -GROUPS)
    with pytest.raises(ParameterError, match="groups must be integers"):
        model.statistics(lazy, GROUPS * 1.0)
    with pytest.raises(ParameterError, match=r"groups must have the partitions of X.* 4, and X 5"):
        model.statistics(parts, short[:4])
    with pytest.raises(ParameterError, match="number for each of the 100 rows"):
        model.statistics(parts, [*short[:4], dask_array.from_array(GROUPS[:9]).to_delayed()[0]])
    assert_allclose(model.statistics(parts, short).n, model.statistics(X, GROUPS).n, rtol=1e-9)


@pytest.mark.parametrize("shift", [[1.0, 2.0], np.nan])
def test_shifts_are_checked(shift: Any) -> None:
    with pytest.raises(ParameterError, match="shift"):
        world().statistics(X).about(shift)


# --- What they are for ----------------------------------------------------------------------------


def fisher_vectors(model: GaussianMixture, X: FloatArray, groups: NDArray[Any]) -> FloatArray:
    """Encode groups of descriptors: the example of docs/priors.md."""
    found = model.statistics(X, groups)
    sigma, root, total = np.sqrt(model.covariances_), np.sqrt(model.weights_), found.n.sum(axis=1)
    n, first, second = (
        s / total.reshape(-1, *[1] * (s.ndim - 1)) for s in (found.n, found.first, found.second)
    )
    of_weights = (n - model.weights_) / root
    of_means = first / (root[:, None] * sigma)
    of_spreads = (n[:, :, None] - second / sigma**2) / (np.sqrt(2) * root[:, None])
    parts = of_weights, of_means, of_spreads
    return np.concatenate([part.reshape(len(n), -1) for part in parts], axis=1)


def test_fisher_vectors_are_gradients_of_the_log_likelihood() -> None:
    """Perronnin, Sanchez & Mensink (2010), by finite differences of the mean log-likelihood."""
    model, step = world(), 1e-6
    vectors = fisher_vectors(model, X, GROUPS)
    K, D = model.means_.shape
    ours = X[GROUPS == 2]

    def score(means: FloatArray, variances: FloatArray) -> float:
        other = GaussianMixture.from_parameters(model.weights_, means, variances, "diag")
        return other.score(ours)

    for k, i in np.ndindex(K, D):
        move = np.zeros((K, D))
        move[k, i] = step
        place, sigma = k * D + i, np.sqrt(model.covariances_[k, i])
        of_mean = score(model.means_ + move, model.covariances_)
        of_mean -= score(model.means_ - move, model.covariances_)
        wanted = of_mean / (2 * step) * sigma / np.sqrt(model.weights_[k])
        assert_allclose(vectors[2, K + place], wanted, atol=1e-6)
        sigmas = np.sqrt(model.covariances_)
        of_sigma = score(model.means_, (sigmas + move) ** 2)
        of_sigma -= score(model.means_, (sigmas - move) ** 2)
        wanted = -of_sigma / (2 * step) * sigma / np.sqrt(2 * model.weights_[k])
        assert_allclose(vectors[2, K + K * D + place], wanted, atol=1e-6)


def test_fisher_vectors_are_scikit_images() -> None:
    feature = pytest.importorskip("skimage.feature")
    model = world()
    theirs = Theirs(3, covariance_type="diag")
    theirs.weights_, theirs.means_ = model.weights_, model.means_
    theirs.covariances_ = model.covariances_
    theirs.precisions_cholesky_ = model.precisions_cholesky_
    vectors = fisher_vectors(model, X, GROUPS)
    for g in range(7):
        wanted = feature.fisher_vector(X[g == GROUPS], theirs, improved=False)
        assert_allclose(vectors[g], wanted, rtol=1e-8, atol=1e-9)


def test_supervectors_are_the_means_of_adapted_models() -> None:
    model = world()
    found = model.statistics(X, GROUPS)
    supervectors = model.means_ + found.first / (found.n[:, :, None] + 16)
    for g in range(7):
        assert_allclose(supervectors[g], model.adapt(X[g == GROUPS]).means_, rtol=1e-9)


def test_the_name_is_public() -> None:
    assert gaussmix.SufficientStatistics is SufficientStatistics
