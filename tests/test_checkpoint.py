"""Checkpoints: fits that stop at any moment and go on to the same bits."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import (
    CheckpointError,
    CheckpointWarning,
    ConvergenceWarning,
    GaussianMixture,
    ParameterError,
    load,
    save,
)
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.em.fingerprint import Digest, DigestPass
from gaussmix.model.statistics import Statistics, StatisticsPass

Params: TypeAlias = dict[str, Any]

METHODS = (None, "squarem", "anderson")

each_structure = pytest.mark.parametrize("structure", STRUCTURES)
each_method = pytest.mark.parametrize("method", METHODS)


def rows(n_samples: int = 400) -> FloatArray:
    """Three groups in two dimensions that overlap, so that EM is slow."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, 2)) + 2 * rng.integers(3, size=(n_samples, 1))


X = rows()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt"


def mixture(n_components: int = 3, **params: Any) -> GaussianMixture:
    defaults: Params = {
        "init_params": "kmeans",  # farther from the end than "auto" begins
        "tol": 1e-12,
        "max_iter": 40,
        "random_state": 0,
        "checkpoint_interval": 0,
    }
    return GaussianMixture(n_components, **{**defaults, **params})


def fitted(model: GaussianMixture, X: Any = X, sample_weight: Any = None) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, sample_weight=sample_weight)


def assert_same_bits(found: GaussianMixture, wanted: GaussianMixture) -> None:
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.lower_bounds_ == wanted.lower_bounds_
    assert (found.n_iter_, found.converged_) == (wanted.n_iter_, wanted.converged_)
    assert found.lower_bound_ == wanted.lower_bound_


class StopError(Exception):
    """Raised in the middle of a pass."""


class Passes:
    """Counts the passes of EM, and ends a fit in the middle of one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        self.left = sys.maxsize
        self.error: type[BaseException] = StopError
        passes = self

        class Counted(StatisticsPass):
            def result(self) -> Statistics:
                if passes.left == 0:
                    raise passes.error
                passes.left -= 1
                passes.n += 1
                return super().result()

        monkeypatch.setattr("gaussmix.em.objective.StatisticsPass", Counted)

    def stop(self, model: GaussianMixture, after: int, **data: Any) -> None:
        """Fit, and stop in the pass after so many."""
        self.left = after
        with pytest.raises(self.error):
            fitted(model, **data)
        self.left = sys.maxsize

    def count(self, model: GaussianMixture, **data: Any) -> int:
        """Fit to the end, and return how many passes it took."""
        before = self.n
        fitted(model, **data)
        return self.n - before


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    return Passes(monkeypatch)


# to the same bits


@each_structure
@each_method
@pytest.mark.parametrize("n_init", [1, 3])
def test_a_fit_that_was_stopped_gives_the_same_bits(
    structure: Structure, method: str | None, n_init: int, path: Path, passes: Passes
) -> None:
    params: Params = {"covariance_type": structure, "accelerate": method, "n_init": n_init}
    params["max_iter"] = 14
    wanted = fitted(mixture(**params))
    for after in (0, 1, 4, 5, 2) if n_init == 1 else (2, 15, 1, 15):
        passes.stop(mixture(**params, checkpoint=path), after)
    assert_same_bits(fitted(mixture(**params, checkpoint=path)), wanted)


@each_method
def test_wherever_it_stops(method: str | None, path: Path, passes: Passes) -> None:
    """After every iteration once, among them jumps, refusals, and steps after them."""
    params: Params = {"accelerate": method, "max_iter": 60, "tol": 0, "reg_covar": 0.2}
    wanted = fitted(mixture(**params))
    for _ in range(59):
        passes.stop(mixture(**params, checkpoint=path), 1)
    model = mixture(**params, checkpoint=path)
    assert passes.count(model) == 1
    assert_same_bits(model, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_dtypes(dtype: type, path: Path, passes: Passes) -> None:
    data: Params = {"X": X.astype(dtype), "sample_weight": np.arange(400) % 7}
    wanted = fitted(mixture(), **data)
    passes.stop(mixture(checkpoint=path), 5, **data)
    assert_same_bits(fitted(mixture(checkpoint=path), **data), wanted)


def test_components_that_collapsed(path: Path, passes: Passes) -> None:
    flat = np.column_stack([X, np.zeros(400)])
    model = mixture(reg_covar=0, accelerate="squarem", checkpoint=path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        passes.stop(model, 5, X=flat)
        wanted = mixture(reg_covar=0, accelerate="squarem").fit(flat)
        assert_same_bits(model.fit(flat), wanted)


@each_method
def test_warm_starts(method: str | None, path: Path, passes: Passes) -> None:
    params: Params = {"accelerate": method, "warm_start": True, "max_iter": 7, "tol": 1e-9}
    wanted, model = mixture(**params), mixture(**params, checkpoint=path)
    for _ in range(4):  # the first from K-means, the others from where the last one ended
        passes.stop(model, 3)
        assert_same_bits(fitted(model), fitted(wanted))


def test_a_warm_start_from_elsewhere_is_refused(path: Path, passes: Passes) -> None:
    params: Params = {"warm_start": True, "checkpoint": path}
    begin = [GaussianMixture.from_parameters([1], [[m, m]], [np.eye(2)], **params) for m in (0, 1)]
    passes.stop(begin[0], 1)
    with pytest.raises(CheckpointError, match="warm_start='True from parameters with digest"):
        fitted(begin[1])
    with pytest.raises(CheckpointError, match=r"this one has .*warm_start=False"):
        fitted(GaussianMixture(1, checkpoint=path))


def test_a_finished_fit_returns_at_once(path: Path, passes: Passes) -> None:
    wanted = fitted(mixture(n_init=3, checkpoint=path))
    before = path.read_bytes()
    model = mixture(n_init=3, checkpoint=path)
    assert passes.count(model) == 0
    assert_same_bits(model, wanted)
    assert path.read_bytes() == before


def test_nothing_is_read_anew_that_has_no_effect(path: Path, passes: Passes) -> None:
    wanted = fitted(mixture())
    passes.stop(mixture(checkpoint=path), 5)
    other = shutil.copy(path, path.with_name("moved"))
    changes: Params = {"n_threads": 1, "verbose_interval": 3, "checkpoint_interval": 1e3}
    model = mixture(checkpoint=str(other), **changes)
    assert passes.count(model) == wanted.n_iter_ - 5
    assert_same_bits(model, wanted)


@each_method
@pytest.mark.parametrize("n_init", [1, 3])
def test_max_iter_may_grow(method: str | None, n_init: int, path: Path) -> None:
    params: Params = {"accelerate": method, "n_init": n_init, "tol": 1e-6}
    for max_iter in (9, 30):
        params["max_iter"] = max_iter
        assert_same_bits(fitted(mixture(**params, checkpoint=path)), fitted(mixture(**params)))
    with pytest.raises(CheckpointError, match=r"max_iter=\d+, this one has max_iter=8"):
        fitted(mixture(**{**params, "max_iter": 8}, checkpoint=path))


def test_incremental_em(path: Path, passes: Passes) -> None:
    """A run that is stopped among its sweeps begins anew, one that is stopped later does not."""
    data = {"X": rows(9000)}
    params: Params = {"algorithm": "incremental", "n_init": 2, "tol": 1e-4}
    wanted = fitted(mixture(**params), **data)
    assert wanted.n_iter_ < 40
    for after in (0, 1, 0, 2):
        passes.stop(mixture(**params, checkpoint=path), after, **data)
    assert_same_bits(fitted(mixture(**params, checkpoint=path), **data), wanted)
    with pytest.raises(CheckpointError, match="max_iter=40, this one has max_iter=41"):
        fitted(mixture(**params, max_iter=41, checkpoint=path), **data)


def test_without_iterations(path: Path) -> None:
    wanted = fitted(mixture(max_iter=0, checkpoint=path))
    assert_same_bits(fitted(mixture(max_iter=0, checkpoint=path)), wanted)
    with pytest.raises(CheckpointError, match="max_iter=0, this one has max_iter=40"):
        fitted(mixture(checkpoint=path))


# random numbers


def test_without_a_seed_the_starts_are_kept(
    path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mixture(random_state=None, n_init=2, checkpoint=path)
    passes.stop(model, 3)
    copied = shutil.copy(path, path.with_name("copy"))
    monkeypatch.delattr("gaussmix.estimators.fitting.initial_parameters")
    again = mixture(random_state=None, n_init=2, checkpoint=copied)
    assert_same_bits(fitted(again), fitted(model))


BITS = (np.random.MT19937, np.random.PCG64, np.random.SFC64)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.Generator])
def test_generators_are_left_alike(kind: Any, bits: Any, path: Path, passes: Passes) -> None:
    generators = [kind(bits(7)) for _ in range(3)]
    wanted = fitted(mixture(random_state=generators[0]))
    passes.stop(mixture(random_state=generators[1], checkpoint=path), 3)
    found = fitted(mixture(random_state=generators[2], checkpoint=path))
    assert_same_bits(found, wanted)
    np.testing.assert_array_equal(found.sample(9)[0], wanted.sample(9)[0])
    assert len({generator.uniform() for generator in generators[::2]}) == 1


# other fits


@pytest.mark.parametrize(
    ("change", "before", "now"),
    [
        ({"n_components": 4}, "n_components=3", "n_components=4"),
        ({"covariance_type": "tied"}, "covariance_type='full'", "covariance_type='tied'"),
        ({"tol": 1e-6}, "tol=1e-12", "tol=1e-06"),
        ({"reg_covar": 0}, "reg_covar=1e-06", "reg_covar=0"),
        ({"accelerate": "squarem"}, "accelerate=None", "accelerate='squarem'"),
        ({"n_init": 2}, "n_init=1", "n_init=2"),
        ({"init_params": "random"}, "init_params='kmeans'", "init_params='random'"),
        ({"random_state": 1}, "random_state=0", "random_state=1"),
        ({"random_state": None}, "random_state=0", "random_state=None"),
        ({"max_iter": 4}, "max_iter=40", "max_iter=4"),
        ({"means_init": X[:3]}, "means_init=None", r"means_init='an array of shape \(3, 2\)"),
        ({"tol": 0, "n_init": 2}, "tol=1e-12, n_init=1", "tol=0, n_init=2"),
    ],
)
def test_other_options_are_refused(
    change: Params, before: str, now: str, path: Path, passes: Passes
) -> None:
    passes.stop(mixture(checkpoint=path), 2)
    content = path.read_bytes()
    message = f"run.ckpt: .* by a fit with {before}, this one has {now}.*; delete the file or"
    with pytest.raises(CheckpointError, match=message):
        fitted(mixture(**{**change, "checkpoint": path}))
    assert path.read_bytes() == content


def test_equal_options_may_be_written_otherwise(path: Path, passes: Passes) -> None:
    given: Params = {"means_init": X[:3], "n_init": 2, "reg_covar": 0.0, "random_state": 1}
    other: Params = {
        "means_init": X[:3].tolist(),
        "n_init": np.int64(2),
        "reg_covar": 0,
        "random_state": np.int32(1),
    }
    passes.stop(mixture(**given, checkpoint=path), 2)
    assert_same_bits(fitted(mixture(**other, checkpoint=path)), fitted(mixture(**given)))


def swapped(X: FloatArray) -> FloatArray:
    """Two values of a column trade places: sums and squares are the same."""
    other = X.copy()
    other[[3, 300], 1] = X[[300, 3], 1]
    return other


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"X": X[:-1]}, r"X of shape \(400, 2\), not \(399, 2\)"),
        ({"X": X[:, :1]}, r"X of shape \(400, 2\), not \(400, 1\)"),
        ({"X": X.astype(np.float32)}, "float64, not float32 rows"),
        ({"X": np.nextafter(X, np.where(np.arange(800).reshape(400, 2) == 77, 9, X))}, "values"),
        ({"X": swapped(X)}, "other values"),
        ({"sample_weight": np.arange(400)}, "another sample_weight, labels or row_priors"),
    ],
)
def test_other_data_are_refused(data: Params, message: str, path: Path, passes: Passes) -> None:
    passes.stop(mixture(checkpoint=path), 2)
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"{message}; delete the file or choose another"):
        fitted(mixture(checkpoint=path), **data)
    assert path.read_bytes() == content


def test_rows_in_another_order_are_the_same_data(path: Path, passes: Passes) -> None:
    passes.stop(mixture(checkpoint=path), 2)
    found, wanted = fitted(mixture(checkpoint=path), X=X[::-1]), fitted(mixture())
    np.testing.assert_allclose(found.means_, wanted.means_, rtol=1e-9)


# data that are not in memory


def test_a_fit_to_a_file_goes_on_in_memory(path: Path, passes: Passes) -> None:
    table, file = rows(5000), path.with_name("data.npy")
    np.save(file, table)
    wanted = fitted(mixture(random_state=1), X=file)
    passes.stop(mixture(random_state=1, checkpoint=path), 3, X=file)
    passes.stop(mixture(random_state=1, checkpoint=path), 3, X=table)
    assert_same_bits(fitted(mixture(random_state=1, checkpoint=path), X=file), wanted)


class Failing:
    """Blocks of rows, of which the second cannot be read from some reading on."""

    def __init__(self, n_good: int) -> None:
        self.n_good = n_good
        self.n = 0

    def __call__(self) -> Iterator[FloatArray]:
        self.n += 1
        yield X[:200]
        if self.n > self.n_good:
            raise OSError("the disk has gone")
        yield X[200:]


def test_a_source_that_fails_leaves_the_last_good_state(
    path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", 0)  # every pass reads it again
    sound = Failing(sys.maxsize)
    wanted = fitted(mixture(), X=sound)
    n_others = sound.n - wanted.n_iter_ - 1  # readings before EM's; one after them is the score
    with pytest.raises(OSError, match="the disk has gone"):
        fitted(mixture(checkpoint=path), X=Failing(n_others + 1 + 6))  # one for the digest
    assert n_iter(path) == 6
    model = mixture(checkpoint=path)
    assert passes.count(model, X=sound) == wanted.n_iter_ - 6
    assert_same_bits(model, wanted)


def test_a_file_that_is_spoilt_and_mended(path: Path, passes: Passes) -> None:
    file, spoilt = path.with_name("data.npy"), X.copy()
    np.save(file, X)
    passes.stop(mixture(checkpoint=path), 5, X=file)
    spoilt[277, 1] = np.nan
    np.save(file, spoilt)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="NaN, first at row 277, column 1"):
        fitted(mixture(checkpoint=path), X=file)
    assert path.read_bytes() == content
    np.save(file, X)
    assert_same_bits(fitted(mixture(checkpoint=path), X=file), fitted(mixture()))


# fingerprints


def digest(X: NDArray[Any], weight: FloatArray | None = None, cuts: tuple[int, ...] = ()) -> Digest:
    running = DigestPass()
    weights = [None] * (len(cuts) + 1) if weight is None else np.split(weight, cuts)
    for part, its_weight in zip(np.split(X, cuts), weights, strict=True):
        running.add(part, its_weight)
    return running.result()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digests_do_not_depend_on_how_rows_are_cut(dtype: type) -> None:
    X: Rows = np.random.default_rng(0).normal(size=(50_000, 3)).astype(dtype)
    weight = np.random.default_rng(1).uniform(size=50_000)
    whole = digest(X, weight)
    assert digest(X, weight, (1, 1024, 40_000)) == whole
    assert digest(X[20_000:], weight[20_000:]) + digest(X[:20_000], weight[:20_000]) == whole
    order = np.random.default_rng(2).permutation(50_000)
    assert digest(X[order], weight[order]) == whole
    assert digest(X, weight[order]).weights != whole.weights
    assert digest(X, weight[order]).rows == whole.rows


def test_digests_of_nothing() -> None:
    nothing, something = DigestPass().result(), digest(X)
    assert nothing + something == something + nothing == something
    assert nothing + nothing == nothing


def test_digests_of_round_numbers_differ() -> None:
    """Their bits are mostly zeros, and sums of products of them could be so too."""
    pairs = np.stack(np.meshgrid(np.arange(256.0), np.arange(256.0)), axis=-1).reshape(-1, 2)
    for dtype in (np.float32, np.float64):
        seen = {digest(pair[None]).rows for pair in pairs[:4096].astype(dtype)}
        assert len(seen) == 4096


def test_digests_are_the_same_on_every_machine() -> None:
    X, weight = np.array([[1.0, 2.5], [-3.0, 1e300]]), np.array([1.0, 2.0])
    sums = 0xB70ECDE43568E85F, 0x795384AD25160B6C  # by Python's integers
    assert digest(X, weight) == Digest((2, 2), "float64", *sums)
    assert digest(X[:1].astype(np.float32)) == Digest((1, 2), "float32", 0x491DC4988BC09298, 0)


# files


def test_what_was_no_checkpoint_is_refused_and_kept(path: Path) -> None:
    model = mixture(checkpoint=path)
    save(fitted(mixture()), path.with_name("model.npz"))
    path.with_name("model.npz").rename(path)
    with pytest.raises(CheckpointError, match="not a gaussmix checkpoint: the archive was"):
        fitted(model)
    path.write_text("precious")
    with pytest.raises(CheckpointError, match="not a gaussmix checkpoint, or one that was cut"):
        fitted(model)
    assert path.read_text() == "precious"
    path.unlink()
    path.mkdir()
    with pytest.raises(FileExistsError, match="is a folder"):
        fitted(model)


def test_damaged_files_are_refused(path: Path, passes: Passes) -> None:
    wanted = fitted(mixture(accelerate="anderson"))
    model = mixture(accelerate="anderson", checkpoint=path)
    passes.stop(model, 6)
    content = path.read_bytes()
    rng = np.random.RandomState(0)
    n_refused = 0
    for place in rng.randint(len(content), size=40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randint(8)
        path.write_bytes(damaged)
        try:
            assert_same_bits(fitted(model), wanted)  # dates and the like do not matter
        except CheckpointError:
            n_refused += 1
    assert n_refused > 20
    for length in rng.randint(len(content), size=10):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="delete the file"):
            fitted(model)


def rewrite(path: Path, changes: Params) -> None:
    """Change entries of a checkpoint, and things in its "fit"; None removes one."""
    with np.load(path) as archive:
        entries = dict(archive)
    fit = json.loads(str(entries["fit"]))
    for name, value in changes.items():
        place, _, key = name.partition("/")
        inner = fit if place == "fit" and key else entries
        if key.startswith("options/"):
            inner, key = fit["options"], key.removeprefix("options/")
        inner[key or place] = value
    if "fit" not in changes:
        entries["fit"] = json.dumps({k: v for k, v in fit.items() if v != "removed"})
    with path.open("wb") as file:
        np.savez(file, **{key: entry for key, entry in entries.items() if entry is not None})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("0.last.image.means", np.zeros((3, 9)), r"must have shape \(3, 2\), got \(3, 9\)"),
        ("0.last.image.means", np.zeros((3, 2), np.float32), "must be float64, got float32"),
        ("0.last.image.means", np.full((3, 2), np.nan), "finite"),
        ("0.last.image.means", np.full((3, 2), 1e151), r"means must be at most 1e\+150"),
        ("0.last.image.means", np.empty((3, 2), object), "must be float64, got Python objects"),
        ("0.last.image.weights", np.array([1.5, -0.25, -0.25]), r"range \[0, 1\]"),
        ("0.last.image.weights", np.array([0.1, 0.1, 0.1]), "normalized"),
        ("0.last.image.factors", np.zeros((3, 2, 2)), "with a positive diagonal"),
        ("0.last.image.factors", np.ones((3, 2, 2)), "upper triangular"),
        ("0.last.image.covariances", np.zeros((3, 2, 2)), "positive variances"),
        ("0.last.image.covariances", np.tile(9 * np.eye(2), (3, 1, 1)), "contradict"),
        ("0.last.point.factors", np.tile(9 * np.eye(2), (3, 1, 1)), "contradict"),
        ("0.last.point.covariances", None, "lacks '0.last.point.covariances'"),
        ("0.last.collapsed", np.array([7]), "collapsed must be different components"),
        ("0.last.collapsed", np.array([1, 1]), "collapsed must be different components"),
        ("0.last.collapsed", np.zeros(10**6, int), r"must have shape \(0 to 3,\), got"),
        ("0.last.lower_bound", np.nan, "lower_bound must be less than infinity, and not NaN"),
        ("0.lower_bounds", np.zeros(41), r"must have shape \(0 to 40,\), got \(41,\)"),
        ("0.lower_bounds", np.full(3, np.nan), "lower_bounds must be less than infinity"),
        ("0.monitor", np.zeros(1), r"monitor must have shape \(3,\), got \(1,\)"),
        ("0.monitor", np.full(3, np.nan), "monitor must not be NaN"),
        ("0.converged", 1.0, "converged must be a bool, got float64"),
        ("0.end", np.inf, "end must be finite"),
        ("0.end", "x", "end must be float64, got <U1"),
        ("0.plan.reach", np.nan, "none that an acceleration has"),
        ("0.plan.counts", np.array([2, 4, 4]), "none that an acceleration has"),
        ("0.plan.points", np.zeros((3, 4)), "points must have shape"),
        ("0.plan.moves", np.full((3, 18), np.nan), r"moves must be at most 1e\+150, and finite"),
        ("runs", np.array([0, 0]), "runs must have shape"),
        ("runs", np.array([1]), "runs must be different numbers below 1"),
        ("runs", np.array([], int), "runs must have shape"),
        ("structure", "round", "structure must be full, got 'round'"),
        ("fit", "{}", "lacks 'options'"),
        ("fit", "[]", "fit must be a mapping"),
        ("fit", "{", "Expecting"),
        ("fit/options", [], "options, shape, digest or end"),
        ("fit/options", {}, "a fit with n_components=None"),
        ("fit/options/tol", {}, "options, shape, digest or end"),
        ("fit/options/max_iter", "3", "max_iter='3'"),
        ("fit/options/max_iter", None, "max_iter=None"),
        ("fit/options/warm_start", None, "warm_start=None"),
        ("fit/end", False, "options, shape, digest or end"),
        ("fit/digest", [1], "options, shape, digest or end"),
        ("fit/shape", 3, "options, shape, digest or end"),
        ("fit/shape", [[], {}], "cannot go on"),
        ("fit/end", "removed", "lacks 'end'"),
        ("fit/random_state", "removed", "lacks 'random_state'"),
        ("format_version", 99, "upgrade gaussmix"),
        ("format_version", "1", "format_version must be integers"),
    ],
)
def test_entries_that_are_wrong_are_refused(
    name: str, value: Any, message: str, path: Path, passes: Passes
) -> None:
    params: Params = {"checkpoint": path, "accelerate": "anderson"}
    passes.stop(mixture(**params), 3)
    rewrite(path, {name: value})
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"(?s){message}.*delete the file"):
        fitted(mixture(**params))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("kind", "bits", "name", "value"),
    [
        (np.random.RandomState, np.random.MT19937, "pos", 10**6),
        (np.random.Generator, np.random.MT19937, "pos", -1),
        (np.random.Generator, np.random.Philox, "buffer_pos", 99),
        (np.random.Generator, np.random.PCG64, "state", None),
    ],
)
def test_states_of_generators_are_checked(
    kind: Any, bits: Any, name: str, value: Any, path: Path, passes: Passes
) -> None:
    """NumPy reads beyond its buffer where a state says so."""
    passes.stop(mixture(random_state=kind(bits(7)), checkpoint=path), 3)
    with np.load(path) as archive:
        state = json.loads(str(archive["fit"]))["random_state"]
    place = state["state"] if name == "pos" else state
    assert name in place
    place[name] = value
    rewrite(path, {"fit/random_state": state})
    with pytest.raises(CheckpointError, match="random_state"):
        fitted(mixture(random_state=kind(bits(7)), checkpoint=path))


def test_where_there_can_be_no_file_is_said_before_the_work(
    tmp_path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("gaussmix.estimators.fitting.initial_parameters")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fitted(mixture(checkpoint=tmp_path / "nowhere" / "run.ckpt"))


def test_bad_parameters() -> None:
    for name in (3, b"run", True):
        with pytest.raises(ParameterError, match="checkpoint must be a str or path-like"):
            mixture(checkpoint=name).fit(X)
    for seconds in (-1, np.nan, "often"):
        with pytest.raises(ParameterError, match="checkpoint_interval must be a finite number"):
            mixture(checkpoint_interval=seconds).fit(X)


def test_a_model_file_does_not_keep_the_path(path: Path) -> None:
    save(fitted(mixture(checkpoint=path)), path.with_name("model.npz"))
    model = load(path.with_name("model.npz"))
    assert isinstance(model, GaussianMixture)
    assert model.checkpoint is None


# when it is written


def n_iter(path: Path) -> int:
    with np.load(path) as archive:
        return len(archive["0.lower_bounds"])


@pytest.mark.parametrize(("interval", "written"), [(0, 6), (1e6, 0)])
def test_the_interval(
    interval: float, written: int, path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.em.checkpoint.Checkpoint.__exit__", lambda *_: None)
    passes.stop(mixture(checkpoint=path, checkpoint_interval=interval), 6)
    assert n_iter(path) == written  # the starts are written at once: they may have taken long


def test_time_passes(path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaussmix.em.checkpoint.Checkpoint.__exit__", lambda *_: None)
    monkeypatch.setattr("gaussmix.em.checkpoint.monotonic", lambda: 10.0 * passes.n)
    passes.stop(mixture(checkpoint=path, checkpoint_interval=25), 8)
    assert n_iter(path) == 6


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError, MemoryError])
def test_what_was_reached_is_written_on_the_way_out(
    error: type[BaseException], path: Path, passes: Passes
) -> None:
    wanted = fitted(mixture())
    model = mixture(checkpoint=path, checkpoint_interval=1e6)
    passes.error = error
    passes.stop(model, 6)
    assert n_iter(path) == 6
    assert not hasattr(model, "means_")
    assert passes.count(model) == wanted.n_iter_ - 6
    assert_same_bits(model, wanted)


def test_an_interrupted_fit_says_how_to_go_on_and_where(
    path: Path, passes: Passes, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    passes.left = 6
    passes.error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        fitted(mixture(checkpoint=path))
    (note,) = caught.value.__notes__
    assert note == f"{path} holds the fit's progress: run the same again to go on from there"
    passes.left = sys.maxsize
    with caplog.at_level(logging.INFO, "gaussmix"):
        fitted(mixture(checkpoint=path))
        assert capsys.readouterr().out == ""
        fitted(mixture(checkpoint=path, verbose=1))
    assert caplog.messages == [
        f"going on from {path}: initialization 0 after 6 iterations",
        f"{path} holds the end of this fit",
    ]
    assert capsys.readouterr().out.splitlines() == caplog.messages[1:]


@pytest.mark.parametrize("n_good", [0, 4])
def test_a_full_disk_does_not_lose_the_fit(
    n_good: int, path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, fsync, n_synced = fitted(mixture()), os.fsync, 0

    def full(file: int) -> None:
        nonlocal n_synced
        n_synced += 1
        if n_synced > n_good:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    model = mixture(checkpoint=path)
    message = rf"run\.ckpt: .* \(No space left on device\); {'the one' if n_good else 'there is'}"
    with pytest.warns(CheckpointWarning, match=message) as caught:
        fitted(model)
    assert len([w for w in caught if issubclass(w.category, CheckpointWarning)]) == 1
    assert_same_bits(model, wanted)
    assert os.listdir(path.parent) == [path.name] * bool(n_good)
    monkeypatch.undo()
    if n_good:
        assert n_iter(path) == n_good - 1
        assert_same_bits(fitted(mixture(checkpoint=path)), wanted)


def test_writing_is_tried_again(
    path: Path, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def sometimes(file: int) -> None:
        if passes.n in (3, 4, 6):
            raise OSError(errno.EIO, "Input/output error")
        fsync(file)

    monkeypatch.setattr(os, "fsync", sometimes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        passes.stop(mixture(checkpoint=path), 8)
    assert [w.category for w in caught] == [CheckpointWarning] * 2
    assert n_iter(path) == 8


# processes that are killed

KILLS = """
import json, os, signal, sys, time, warnings
import numpy as np
from gaussmix import GaussianMixture
from gaussmix.io.archive import Archive

warnings.simplefilter("ignore")
path, (n_kills, n_finished, seed) = sys.argv[1], map(int, sys.argv[2:])
delays = np.random.RandomState(seed)
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 2)) + 2 * rng.integers(3, size=(300, 1))
params = dict(n_init=2, accelerate="anderson", tol=0, max_iter=60, random_state=seed)


def fit(checkpoint=None):
    return GaussianMixture(3, **params, checkpoint=checkpoint, checkpoint_interval=0).fit(X)


def bits(model):
    return [model.means_.tobytes(), model.precisions_cholesky_.tobytes(), model.lower_bounds_]


def forked():
    child = os.fork()
    if child == 0:
        fit(path)
        os._exit(0)
    return child


def killed(delay):
    child = forked()
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


wanted = bits(fit())
longest = 0.1  # seconds; it follows what a fit takes, as busy as the machine is
counts = dict(kills=0, finished=0, none=0, most_files=0)
while counts["kills"] < n_kills or counts["finished"] < n_finished:
    in_time = killed(delays.uniform(0, longest))
    longest *= 1.1 if in_time else 0.7
    counts["kills"] += in_time
    counts["most_files"] = max(counts["most_files"], len(os.listdir(os.path.dirname(path))))
    if not os.path.exists(path):
        counts["none"] += 1
        continue
    with open(path, "rb") as file:
        saved = Archive(file, "checkpoint", 1).text("fit")
    if json.loads(saved)["end"] is not None:
        assert bits(fit(path)) == wanted
        os.remove(path)
        counts["finished"] += 1
assert bits(fit(path)) == wanted
print(json.dumps({**counts, "files": os.listdir(os.path.dirname(path))}))
"""


def kill(path: Path, n_kills: int, n_finished: int, seed: int) -> Params:
    """Kill fits at random moments and let them go on, until so many were; what was the outcome."""
    numbers = map(str, (n_kills, n_finished, seed))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLS, str(path), *numbers],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    outcome: Params = json.loads(done.stdout)
    return outcome


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.slow
@needs_fork
def test_a_killed_process_loses_nothing(path: Path) -> None:
    outcome = kill(path, 10, 0, 0)
    assert outcome["kills"] == 10
    assert outcome["files"] == [path.name]


@needs_fork
@pytest.mark.slow
def test_forty_kills(path: Path) -> None:
    outcome = kill(path, 40, 3, 1)
    assert outcome["kills"] >= 40
    assert outcome["most_files"] <= 2  # what one killed process left, and the checkpoint
    assert outcome["files"] == [path.name]


@needs_fork
def test_files_that_may_not_grow(path: Path) -> None:
    """A limit of the system, not a made-up error."""
    pytest.importorskip("resource")
    code = (
        "import resource, signal, sys, warnings; import numpy as np\n"
        "from gaussmix import CheckpointWarning, GaussianMixture\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "X = np.random.default_rng(0).normal(size=(100, 2))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    model = GaussianMixture(2, random_state=0, checkpoint=sys.argv[1]).fit(X)\n"
        "print(*{w.category.__name__ for w in caught}, 'large' in str(caught[0].message))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["CheckpointWarning", "True"], done.stderr
    assert os.listdir(path.parent) == []


KILLED = """
import os, signal, sys
from gaussmix.cli.main import main

replace, left = os.replace, 3


def last(*paths):
    global left
    replace(*paths)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


os.replace = last
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_command_goes_on(path: Path) -> None:
    """What the kills above leave out: a process of its own, with threads, its data in a file."""
    data, model = path.with_name("data.npy"), path.with_name("model.npz")
    np.save(data, rows(20_000))
    command = ["fit", str(data), "-k", "3", "-o", str(model), "--checkpoint", str(path)]
    command += ["--seed", "0", "--tol", "0", "--max-iter", "99", "--checkpoint-interval", "0"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert 0 < n_iter(path) < 99
    assert not model.exists()
    command = [sys.executable, "-m", "gaussmix", *command]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = load(model)
    assert isinstance(found, GaussianMixture)
    assert found.checkpoint is None
    assert_same_bits(found, fitted(mixture(init_params="auto", tol=0, max_iter=99), X=rows(20_000)))
