"""Models in files, and files written whole or not at all."""

import io
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import (
    GaussianMixture,
    KMeans,
    ModelFileError,
    NotFittedError,
    ParameterError,
    load,
    save,
)
from gaussmix._core.types import FloatArray, Structure
from gaussmix.io.atomic import replacing
from gaussmix.io.readers import DataError
from gaussmix.io.scans import scan

STRUCTURES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)) + 6 * rng.integers(3, size=(300, 1))


@pytest.fixture
def saved(X: FloatArray, tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    save(GaussianMixture(3, random_state=0).fit(X), path)
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a model file; None removes one."""
    with np.load(path) as archive:
        entries = {**archive, **changes}
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mixture_round_trip_is_bit_for_bit(
    X: FloatArray, tmp_path: Path, structure: Structure, dtype: type[np.floating]
) -> None:
    rows = X.astype(dtype)
    model = GaussianMixture(3, covariance_type=structure, random_state=0).fit(rows)
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    assert vars(back).keys() == vars(model).keys()
    assert back.get_params() == model.get_params()
    np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
    np.testing.assert_array_equal(back.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(back.precisions_, model.precisions_)
    assert (back.n_iter_, back.converged_) == (model.n_iter_, model.converged_)
    assert back.lower_bounds_ == model.lower_bounds_


def test_kmeans_round_trip(X: FloatArray, tmp_path: Path) -> None:
    model = KMeans(4, random_state=0).fit(X)
    save(model, tmp_path / "k.npz")
    back = load(tmp_path / "k.npz")
    assert isinstance(back, KMeans)
    assert vars(model).keys() - vars(back).keys() == {"labels_"}
    np.testing.assert_array_equal(back.transform(X), model.transform(X))
    assert list(back.get_feature_names_out()) == list(model.get_feature_names_out())


def test_the_class_that_is_wanted(saved: Path, X: FloatArray, tmp_path: Path) -> None:
    mixture = load(saved, GaussianMixture)
    assert np.array_equal(mixture.predict(X), load(saved, kind=GaussianMixture).predict(X))
    path = tmp_path / "kmeans.npz"
    save(KMeans(2, random_state=0).fit(X), path)
    assert load(path, KMeans).cluster_centers_.shape == (2, X.shape[1])
    with pytest.raises(ModelFileError, match=r"kmeans\.npz: a GaussianMixture is wanted, got a KM"):
        load(path, GaussianMixture)
    with pytest.raises(ModelFileError, match=r"a KMeans is wanted, got a GaussianMixture"):
        load(saved, kind=KMeans)
    kind: Any
    for kind in (int, "KMeans", mixture):
        with pytest.raises(
            ParameterError, match=r"kind must be GaussianMixture, Bayes.* or KMeans, got"
        ):
            load(saved, kind)


def test_feature_names_survive(X: FloatArray, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["länge", "b", "c"])
    save(GaussianMixture(2, random_state=0).fit(frame), tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert list(back.feature_names_in_) == ["länge", "b", "c"]
    with pytest.raises(ValueError, match="order"):
        back.predict(frame[["b", "länge", "c"]])


def test_from_parameters_needs_no_history(tmp_path: Path) -> None:
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [5.0]], [1.0, 2.0], "spherical")
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    np.testing.assert_array_equal(
        back.predict_proba([[1.0], [3.0]]),
        model.predict_proba([[1.0], [3.0]]),
    )


def test_array_parameters_are_kept_and_generators_are_not(X: FloatArray, tmp_path: Path) -> None:
    generator = np.random.RandomState(0)
    model = GaussianMixture(2, means_init=X[:2], random_state=generator).fit(X)
    save(model, tmp_path / "m.npz")
    back = load(tmp_path / "m.npz")
    assert isinstance(back, GaussianMixture)
    np.testing.assert_array_equal(back.means_init, X[:2])
    assert back.random_state is None


def test_save_refuses(X: FloatArray, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        save(GaussianMixture(), tmp_path / "m.npz")
    with pytest.raises(TypeError, match="BayesianGaussianMixture or KMeans, got dict"):
        save({}, tmp_path / "m.npz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"m\.csv: .* must end in \.npz, got '\.csv'"):
        save(GaussianMixture().fit(X), tmp_path / "m.csv")
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(ValueError, match=r"must end in \.npz, got no ending"):
        save(GaussianMixture().fit(X), tmp_path / ".npz")
    with pytest.raises(ValueError, match="max_iter must be an integer"):
        save(GaussianMixture().fit(X).set_params(max_iter=-1), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 5, b"m.npz"])
def test_a_path_that_is_none(path: Any, X: FloatArray) -> None:
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {path!r}"):
        load(path)
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {path!r}"):
        save(GaussianMixture().fit(X), path)


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_cut_short(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match="not a gaussmix model, or one that was cut short"):
        load(saved)


def test_flipped_bit(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        data[archive.getinfo("means_.npy").header_offset + 200] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged"):
        load(saved)


def test_damage_never_raises_anything_else(saved: Path, X: FloatArray) -> None:
    whole, predicted = saved.read_bytes(), load(saved).predict(X)
    rng = random.Random(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        saved.write_bytes(damaged[: rng.choice([len(whole), rng.randrange(len(whole))])])
        try:
            model = load(saved)
        except ModelFileError as error:
            assert str(error).startswith(f"{saved}: ")  # noqa: PT017
        else:  # a byte that means nothing, such as of a date
            np.testing.assert_array_equal(model.predict(X), predicted)


def with_member(path: Path, name: str, content: bytes) -> None:
    """Put other bytes in the place of a member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            if member != "means_.npy":
                archive.writestr(member, old)
        archive.writestr(name, content)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("means_", ""),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (3, {"),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 99), }"),
        ("means_.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }"),
    ],
)
def test_members_that_are_no_arrays(saved: Path, name: str, header: str) -> None:
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with_member(saved, name, magic + header.encode() + bytes(72) if header else b"3")
    with pytest.raises(ModelFileError, match=str(saved)):
        load(saved)


def packed(path: Path, **changes: Any) -> None:
    """Change entries of a model file, and compress all."""
    with np.load(path) as archive:
        entries = {**archive, **changes}
    np.savez_compressed(path, **entries)


def peak(action: Callable[[], object]) -> int:
    """Most bytes that are allocated while something is done."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_model_does_not_have_is_not_unpacked(saved: Path, X: FloatArray) -> None:
    wanted = load(saved).predict(X)
    packed(saved, junk=np.zeros(8_000_000), pickled=np.array([{}], dtype=object))
    assert saved.stat().st_size < 200_000
    assert peak(lambda: load(saved)) < 4_000_000
    np.testing.assert_array_equal(load(saved).predict(X), wanted)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("weights_", np.zeros(8_000_000), r"weights_ must have shape \(3,\), got \(8000000,\)"),
        ("means_", np.zeros((8_000_000, 1)), "means_ must have 3 rows of features"),
        ("means_", np.zeros((3, 2_000_000)), "covariances_ must have shape"),
        ("means_", np.zeros((3, 3_000_000)), "covariances_ must have shape"),
        ("lower_bounds_", np.zeros(9_000_000), "lower_bounds_ has 72000000 bytes, more than such"),
        ("n_iter_", np.zeros(8_000_000, int), "n_iter_ has the wrong type"),
        ("feature_names_in_", np.zeros(8_000_000, "U1"), "8000000 feature names for 3"),
        ("class", np.array("x" * 20_000_000), "class has 80000000 bytes, more than such"),
        ("params", np.zeros(8_000_000, "U1"), r"params must have shape \(\), got"),
        ("format", np.zeros(8_000_000, "U1"), r"format must have shape \(\), got"),
    ],
)
def test_sizes_are_judged_before_anything_is_unpacked(
    saved: Path, name: str, values: NDArray[Any], message: str
) -> None:
    packed(saved, **{name: values})

    def refused() -> None:
        with pytest.raises(ModelFileError, match=message):
            load(saved)

    assert peak(refused) < 4_000_000


@pytest.mark.parametrize(
    "header", [b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", b"\x93NUMPY\x01\x00\xff\xff"]
)
def test_headers_are_judged_before_they_are_read(saved: Path, header: bytes) -> None:
    content = header + b" " * 70_000
    with_member(saved, "means_.npy", content)
    with pytest.raises(ModelFileError, match="more than 10000") as caught:
        load(saved)
    assert "allow_pickle" not in str(caught.value)
    path = saved.with_name("data.npy")
    path.write_bytes(content)
    with pytest.raises(DataError, match="more than 10000") as refused:
        scan(path)
    assert "allow_pickle" not in str(refused.value)


def test_a_compressed_model_may_be_read(saved: Path, X: FloatArray) -> None:
    wanted = load(saved).predict(X)
    packed(saved, means_=np.asfortranarray(load(saved).means_))  # type: ignore[union-attr]
    back = load(saved)
    assert isinstance(back, GaussianMixture)
    assert back.means_.flags.c_contiguous
    np.testing.assert_array_equal(back.predict(X), wanted)


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.npz")
    with pytest.raises(ModelFileError, match=r"m\.npz: a file is wanted, not a pipe or a device"):
        load(tmp_path / "m.npz")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_covariances_that_are_hardly_definite_are_no_contradiction(
    tmp_path: Path, structure: Structure
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4)) * [1e-7, 1, 1e4, 1e7]
    X[:, 3] += 1e7 * X[:, 1] + rng.normal(size=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = GaussianMixture(3, covariance_type=structure, reg_covar=0, random_state=0).fit(X)
    save(model, tmp_path / "m.npz")
    np.testing.assert_array_equal(load(tmp_path / "m.npz").predict(X), model.predict(X))


def test_a_checkpoint_s_path_is_not_kept(saved: Path, X: FloatArray) -> None:
    model = load(saved).set_params(checkpoint=saved.with_name("run.ckpt"))
    save(model, saved)
    back = load(saved)
    assert isinstance(back, GaussianMixture)
    assert back.checkpoint is None
    params = {"n_components": 3, "checkpoint": str(saved.with_name("run.ckpt"))}
    rewrite(saved, params=json.dumps(params))  # as files had it before
    back = load(saved)
    assert isinstance(back, GaussianMixture)
    assert back.checkpoint is None
    back.fit(X)
    assert not saved.with_name("run.ckpt").exists()


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, means=np.zeros(3))
    with pytest.raises(ModelFileError, match="written by something else"):
        load(path)
    path.write_text("hello")
    with pytest.raises(ModelFileError, match="not a gaussmix model"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")


def test_newer_version_says_what_to_do(saved: Path) -> None:
    rewrite(saved, format_version=2, gaussmix_version="9.1")
    with pytest.raises(ModelFileError, match=r"version 2, written by gaussmix 9\.1.*upgrade"):
        load(saved)


def test_pickled_entry_is_never_run(saved: Path) -> None:
    means = np.empty((3, 3), dtype=object)
    means[...] = [{"a": 1}]
    rewrite(saved, means_=means)
    with pytest.raises(ModelFileError, match="means_ must be float64, got Python objects"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_": np.array([0.5, 0.5])}, "weights"),
        ({"weights_": np.array([0.5, 0.6, 0.1])}, "normalized"),
        ({"means_": np.full((3, 3), np.nan)}, "NaN"),
        ({"means_": np.zeros(3)}, r"means_ must have 3 rows of features, got shape \(3,\)"),
        ({"covariances_": np.zeros((3, 3, 3))}, "positive-definite"),
        ({"covariances_": np.zeros((3, 2, 2))}, "shape"),
        ({"precisions_cholesky_": np.zeros((3, 3, 3))}, "positive diagonal"),
        ({"precisions_cholesky_": np.zeros((3, 3))}, "precisions_cholesky_ must have shape"),
        ({"precisions_cholesky_": np.zeros((3, 3, 3), "f4")}, "precisions_cholesky_ must be float"),
        ({"means_": np.full((3, 3), "1")}, "means_ must be float64, got <U1"),
        ({"means_": np.ones((3, 3), complex)}, "means_ must be float64, got complex128"),
        ({"covariances_": np.full((3, 3, 3), "1")}, "covariances_ must be float64, got <U1"),
        ({"weights_": np.array(["1", "0", "0"])}, "weights_ must be float64, got <U1"),
        ({"n_iter_": "x"}, "n_iter_ has the wrong type: <U1"),
        ({"converged_": 1.0}, "converged_ has the wrong type: float64"),
        ({"lower_bounds_": 1.0}, "lower_bounds_ has the wrong type"),
        ({"feature_names_in_": np.arange(3)}, "feature_names_in_ must be text"),
        ({"format_version": np.inf}, "format_version must be integers, got float64"),
        ({"weights_": np.array([1.5, -0.25, -0.25])}, r"range \[0, 1\], .* min value -0.25"),
        ({"covariances_": np.tile(9 * np.eye(3), (3, 1, 1))}, "contradict each other"),
        ({"precisions_cholesky_": np.tile(9 * np.eye(3), (3, 1, 1))}, "contradict each other"),
        ({"precisions_cholesky_": np.ones((3, 3, 3))}, "must be upper triangular"),
        ({"precisions_cholesky_": np.full((3, 3, 3), np.nan)}, "precisions_cholesky_' .* finite"),
        ({"n_iter_": -1}, "n_iter_ must be at least 0"),
        ({"lower_bound_": np.nan}, "lower_bound_ must be at least -inf and less than inf"),
        ({"lower_bounds_": np.array([1.0, np.inf])}, "lower_bounds_ must be at least"),
        ({"n_samples_seen_": -5}, "n_samples_seen_ must be at least 0"),
        ({"weight_seen_": -0.5}, "weight_seen_ must be at least 0"),
        ({"params": json.dumps({"n_components": 3, "random_state": "x"})}, "random_state must be"),
        ({"params": json.dumps({"n_components": 3, "means_init": [[1]]})}, "means_init"),
        ({"params": json.dumps({"n_components": 3, "weights_init": {}})}, "weights_init"),
        ({"params": json.dumps({"n_components": 3, "tol": None})}, "tol must be"),
        ({"params": json.dumps({"n_components": 3, "init_params": ["kmeans"]})}, "init_params"),
        ({"params": "[" * 100_000}, "damaged"),
        ({"params": "[1]"}, "mapping"),
        ({"params": json.dumps({"n_components": "x"})}, "n_components must be an integer"),
        ({"params": json.dumps({"n_components": 5})}, "means_ must have 5 rows"),
        ({"params": json.dumps({"n_components": 3, "n_threads": -1})}, "n_threads must be"),
        ({"feature_names_in_": np.array(["a"])}, "1 feature names for 3"),
        (
            {"class": "Forest"},
            "class must be one of GaussianMixture, Bayes.*, KMeans, got 'Forest'",
        ),
        ({"covariances_": None}, "lacks 'covariances_'"),
        ({"params": "{"}, "Expecting property name"),
        ({"params": json.dumps({"n_trees": 3})}, "n_trees"),
        ({"params": json.dumps({"covariance_type": "cubic"})}, "cubic"),
    ],
)
def test_unsound_contents(saved: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(saved)
    assert str(saved) in str(caught.value)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Interrupt:
    """Raises KeyboardInterrupt at one step of what writes files, counted in bytecode."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, frame: FrameType, event: str, _argument: object) -> "Interrupt | None":
        if Path(frame.f_code.co_filename).name not in ("atomic.py", "contextlib.py"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file not closed
def test_an_interrupt_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    found = set()
    steps = itertools.count(1)
    for step in steps:
        path.write_bytes(b"old")
        interrupt = Interrupt(step)
        before = sys.gettrace()
        try:
            sys.settrace(interrupt)
            with replacing(path) as file:
                file.write(b"new")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        assert list(tmp_path.iterdir()) == [path], step
        found.add(path.read_bytes())
        if interrupt.left > 0:
            break
    assert next(steps) > 100
    assert found == {b"old", b"new"}


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no file that is open")
def test_what_another_process_takes_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was just created has no lock yet, like one whose writer was killed."""
    create, written = os.open, threading.Event()
    others: list[threading.Thread] = []

    def remove(path: Path, handle: int) -> None:
        written.wait(0.2)  # the writer should wait for this, and not write before
        path.unlink()
        os.close(handle)

    def taken(path: Path, *options: int) -> int:
        handle = create(path, *options)
        if not others:
            theirs = create(path, os.O_RDWR)
            fcntl.flock(theirs, fcntl.LOCK_EX)
            others.append(threading.Thread(target=remove, args=(path, theirs)))
            others[0].start()
        return handle

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(os, "open", taken)
    with replacing(tmp_path / "a") as file:
        written.set()
        others[0].join()
        file.write(b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


WRITER = """
import os, signal, sys, time
from gaussmix.io.atomic import replacing

with replacing(sys.argv[1]) as file:
    file.write(b"part")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the midst of writing to the file `a`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_the_next_write_removes_what_a_killed_process_left(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    writer.kill()
    writer.wait()
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".tmp"
    with replacing(tmp_path / "b"):
        pass  # another file: what was left of `a` stays
    assert left.exists()
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_a_living_process_writes_stays(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    (theirs,) = tmp_path.iterdir()
    with replacing(tmp_path / "a") as file, replacing(tmp_path / "a"):
        assert len([*tmp_path.iterdir()]) == 3
        file.write(b"new")
    assert theirs.exists()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a", theirs])


def test_errors_name_the_target(tmp_path: Path) -> None:
    def written(path: Path) -> None:
        with replacing(path) as file:
            file.write(b"new")

    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError, match="there is no folder") as caught:
        written(path)
    assert caught.value.filename == str(path)
    with pytest.raises(FileExistsError, match="is a folder"):
        written(tmp_path)
    with pytest.raises(OSError, match="disk is full") as full, replacing(tmp_path / "a"):
        raise OSError(28, "the disk is full")
    assert full.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="names, pipes and permissions of POSIX")
def test_long_names_pipes_and_permissions(tmp_path: Path) -> None:
    path, pipe = tmp_path / ("n" * 250), tmp_path / "pipe"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="is a folder, a pipe or a device"):
        replacing(pipe).__enter__()
    assert pipe.is_fifo()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="is not writable"):
        replacing(tmp_path / "a").__enter__()


def test_write_follows_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as file:
        assert isinstance(file, io.BufferedWriter)
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0], "spherical")
    with pytest.raises(ValueError, match="means_ must have 5 rows"):
        save(model.set_params(n_components=5), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []
